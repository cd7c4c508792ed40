// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: the operations. An operation is a kind and four words; which file,
 * mapping, offset and length they stand for depends on what there is when it
 * runs, so that each list of operations means something. It changes the
 * kernel's file or mapping, then the model, and then looks at what it touched
 * through a way that is random, too.
 *
 * One of many workers chooses its range, then holds it, and then looks again
 * whether the range is within the file. Loads, stores, reads and writes are of
 * one of its own lines. An operation that holds nothing expects no value.
 *
 * An operation that finds nothing to work on, no mapping or an empty file, does
 * nothing, and is not counted.
 */
#include <assert.h>

#include "stress.h"

#define KEEP	FALLOC_FL_KEEP_SIZE

/* The target of an operation, as its words and its pick function choose it. */
struct work {
	const uint32_t *arg;
	const char *how;	/* for a person; or NULL */
	bool write;
	struct file *f, *to;
	struct map *m;
	size_t at, len;		/* in the mapping */
	size_t off, dest;	/* in the file, and in the other one */
};

/* The objects that words stand for. */

static struct file *some_file(struct model *md, uint32_t word)
{
	return &md->file[word % md->profile->files];
}

static bool pick_file(struct model *md, struct work *w)
{
	w->f = some_file(md, w->arg[0]);
	return true;
}

static struct map *some_map(struct model *md, uint32_t word)
{
	unsigned int nr = md->profile->maps;

	for (unsigned int i = 0; i < nr; i++)
		if (md->map[(word + i) % nr].used)
			return &md->map[(word + i) % nr];
	return NULL;
}

static bool pick_map(struct model *md, struct work *w)
{
	w->m = some_map(md, w->arg[0]);
	return w->m;
}

/* One that no other thread has. */
static bool pick_own_map(struct model *md, struct work *w)
{
	return pick_map(md, w) && map_nr(md, w->m) >= md->common;
}

/*
 * Below @limit, which is not 0. Half of them meet at few places: the start, the
 * borders of 2 MiB, the end.
 */
static size_t some_offset(size_t limit, uint32_t word)
{
	size_t n = word >> 3, at;

	switch (word & 7) {
	case 0:
	case 1:
		at = n % (16 * SZ_4K);
		break;
	case 2:
		at = (1 + n % 2) * SZ_2M - 4 * SZ_4K + (n >> 2) % (8 * SZ_4K);
		break;
	case 3:
		at = limit - 1 - n % min_size(limit, 2 * SZ_4K);
		break;
	default:
		at = n;
	}
	return at % limit;
}

static size_t some_length(struct model *md, size_t limit, uint32_t word)
{
	size_t n = word >> 10, len;

	if (md->profile->large)
		len = 1 + n % (word % 4 ? 3 * SZ_4K : SZ_2M / 8);
	else if (word % 16)
		len = 1 + n % 64;
	else if (word / 16 % 16)
		len = 1 + n % (2 * SZ_4K);
	else
		len = 1 + n % (SZ_2M / 8);
	return min_size(len, limit);
}

/* For what works on ranges: half of them are whole pages, few are large. */
static bool some_range(struct work *w, size_t limit)
{
	size_t how = w->arg[2], n = how >> 4;

	if (!limit)
		return false;
	w->len = 1 + n % (how % 32 ? 4 * SZ_4K : SZ_2M);
	w->off = some_offset(limit, w->arg[1]);
	if (how % 64 == 9) {
		w->off = w->off / SZ_2M * SZ_2M;
		w->len = SZ_2M;
	}
	if (how % 2) {
		w->off = page_down(w->off);
		w->len = page_up(w->len);
	}
	w->len = min_size(w->len, limit - w->off);
	return true;
}

/* Whole pages below @limit; 0 if there is none. */
static size_t some_pages(size_t limit, uint32_t where, uint32_t how, size_t *off)
{
	size_t len;

	limit = page_down(limit);
	if (!limit)
		return 0;
	*off = page_down(some_offset(limit, where));
	len = how % 32 ? 1 + (how >> 5) % 8 : 1 + (how >> 5) % 256;
	return min_size(len * SZ_4K, limit - *off);
}

/* Bytes to store; none is zero, and a shift by any power of two shows. */
#define PATTERN	(SZ_2M + SZ_4K)
static char pattern[PATTERN];

static const char *some_bytes(uint32_t word)
{
	return pattern + word % SZ_4K;
}

/* The bytes that an operation reads, or keeps while it copies them. */
static __thread char bytes[SZ_2M / 8];

/* One in so many, and the same ones in a replay. */
static bool is_broken(struct model *md, const struct work *w,
		      enum stress_break broken, unsigned int one_in)
{
	return md->target->broken == broken &&
	       stress_random(w->arg[0], w->arg[1]) % one_in == 0;
}

static bool overlap(const struct file *f, size_t off, const struct file *g,
		    size_t to, size_t len)
{
	return f == g && off < to + len && to < off + len;
}

/* A look at the edges of a range, by read() or through any mapping. */
static void look_at(struct model *md, struct file *f, size_t off, size_t len,
		    uint32_t word)
{
	unsigned int nr = md->profile->maps, which = word % (nr + 2);
	struct map *m = &md->map[which % nr];
	size_t margin = alone(md) ? 32 : 0;
	size_t begin = off > margin ? off - margin : 0;
	size_t end = min_size(off + len + margin, md->len);
	bool mapped = which < nr && m->used && m->file == f;

	if (!alone(md) && !md->holds)
		return;
	if (!alone(md) && (m->kind == MAP_KIND_PRIVATE || begin < m->off ||
			   end > m->off + m->len || begin >= end))
		mapped = false;
	if (!mapped) {
		file_compare(md, f, begin, min_size(end - begin, 128));
		if (end - begin > 128)
			file_compare(md, f, end - 128, 128);
		return;
	}
	if (begin < m->off || begin >= m->off + m->len)
		begin = m->off;
	if (end > m->off + m->len || end <= begin)
		end = m->off + m->len;
	map_compare(md, m, begin - m->off, min_size(end - begin, 128));
	if (end - begin > 128)
		map_compare(md, m, end - 128 - m->off, 128);
}

/* Look at the range that has changed. */
static bool look(struct model *md, const struct work *w)
{
	look_at(md, w->f, w->off, w->len, w->arg[3]);
	return true;
}

/* Loads and stores. */

/* Where to touch a mapping, within the file; 0 if there is no such place. */
static size_t some_place(struct model *md, const struct map *m, uint32_t where,
			 uint32_t how, size_t *at)
{
	size_t limit;

	if (!m || m->off >= m->file->size)
		return 0;
	limit = min_size(m->len, m->file->size - m->off);
	*at = some_offset(limit, where);
	return own_line(md, at, some_length(md, limit - *at, how));
}

static bool hold_place(struct model *md, const struct map *m, size_t at, size_t len)
{
	return hold(md, HOLD_LINES, m->file, m->off + at, len);
}

static bool pick_place(struct model *md, struct work *w)
{
	w->m = some_map(md, w->arg[0]);
	w->len = some_place(md, w->m, w->arg[1], w->arg[2], &w->at);
	if (!w->len || !hold_place(md, w->m, w->at, w->len))
		return false;
	return true;
}

/* Within one page. Stored, and if not, the right signal came. */
static void store_in_page(struct model *md, struct map *m, size_t at,
			  const char *data, size_t len, bool lost)
{
	int want = map_signal(m, at, true), sig;
	siginfo_t info = {};

	sig = lost && !want ? 0 : dax_guarded_copy(m->addr + at, data, len,
						    &info);
	if (md->target->hwpoison && sig == SIGBUS &&
	    info.si_code == BUS_MCEERR_AR) {
		md->report->poisoned++;
		return;
	}
	if (sig != want)
		diverged(md,
			 "file %u, size %#zx: store at %#zx of map %u: signal %d, not %d",
			 file_nr(md, m->file), m->file->size, m->off + at,
			 map_nr(md, m), sig, want);
	if (!sig)
		map_written(m, at, data, len);
}

static void store(struct model *md, struct map *m, size_t at, const char *data,
		  size_t len, bool lost)
{
	for (size_t n; len; at += n, data += n, len -= n) {
		n = in_page(at, len);
		store_in_page(md, m, at, data, n, lost);
	}
}

static bool op_store(struct model *md, struct work *w)
{
	store(md, w->m, w->at, some_bytes(w->arg[3]), w->len,
	      is_broken(md, w, BREAK_STORE, 16));
	map_compare(md, w->m, w->at, min_size(w->len, 64));
	if (w->arg[3] >> 30 == 0)
		look_at(md, w->m->file, w->m->off + w->at, w->len, w->arg[3]);
	return true;
}

static bool op_load(struct model *md, struct work *w)
{
	map_compare(md, w->m, w->at, w->len);
	return true;
}

/* The file may change meanwhile: it has no value then, and any size. */
static void load_unlocked(struct model *md, struct map *m, size_t at)
{
	int sig, want = map_signal(m, at, false);
	char byte;

	sig = dax_guarded_copy(&byte, m->addr + at, 1, NULL);
	if (sig != want && (want == SIGSEGV || (sig && sig != SIGBUS)))
		diverged(md, "file %u: load at %#zx of map %u: signal %d",
			 file_nr(md, m->file), m->off + at, map_nr(md, m), sig);
}

/* Anywhere, behind the end of the file, too: for the signal. */
static bool op_touch(struct model *md, struct work *w)
{
	struct map *m = w->m;
	bool write = w->arg[2] % 2;

	w->at = some_offset(m->len, w->arg[1]);
	w->how = write ? "store" : "load";
	if (!alone(md) && w->arg[2] >> 30) {
		load_unlocked(md, m, w->at);
		return true;
	}
	own_line(md, &w->at, 1);
	hold_place(md, m, w->at, 1);
	if (write && (m->off + w->at < m->file->size ||
		      map_signal(m, w->at, true))) {
		char byte = *map_bytes(m, w->at);

		store_in_page(md, m, w->at, &byte, 1, false);
	} else {
		map_compare(md, m, w->at, 1);
	}
	return true;
}

/* Files. */

static void write_file(struct model *md, struct file *f, size_t off,
		       const char *data, size_t len)
{
	if (pwrite(f->fd, data, len, off) != (ssize_t)len)
		refused(md, "pwrite of %zu bytes at %#zx: %m", len, off);
	file_written(f, off, data, len);
}

/* From @off on; the result is false if they are not all within the file. */
static bool some_lines(struct model *md, struct work *w, size_t off)
{
	w->off = off;
	w->len = own_line(md, &w->off,
			  some_length(md, md->len - off, w->arg[2]));
	return hold(md, HOLD_LINES, w->f, w->off, w->len);
}

static bool op_write(struct model *md, struct work *w)
{
	size_t limit = w->arg[0] & 0x700 ? w->f->size + 1 : md->len;

	if (!some_lines(md, w, min_size(some_offset(limit, w->arg[1]),
					md->len - 1)))
		return false;
	write_file(md, w->f, w->off, some_bytes(w->arg[3]), w->len);
	if (is_broken(md, w, BREAK_WRITE, 16))
		dax_fill(w->f->fd, w->off, 1, 0);
	return look(md, w);
}

/* 2 MiB of a file. */
static bool pick_2m(struct model *md, struct work *w)
{
	w->off = w->arg[1] % (md->len / SZ_2M) * SZ_2M;
	w->len = SZ_2M;
	return pick_file(md, w);
}

static bool op_fill(struct model *md, struct work *w)
{
	if (!hold(md, HOLD_ALL, w->f, w->off, SZ_2M))
		return false;
	write_file(md, w->f, w->off, some_bytes(w->arg[3]), SZ_2M);
	return true;
}

static bool op_read(struct model *md, struct work *w)
{
	some_lines(md, w, some_offset(md->len, w->arg[1]));
	file_compare(md, w->f, w->off, w->len);
	return true;
}

static bool op_truncate(struct model *md, struct work *w)
{
	size_t size = some_offset(md->len + 1, w->arg[1]), from;
	struct file *f = w->f;

	if (w->arg[2] % 4 == 0)
		size = page_down(size);
	if (w->arg[2] % 16 < 6)
		size = md->len;
	if (size < md->min_size)
		size = min_size(size + md->min_size, md->len);
	/* The last chunk as well: no other worker changes the size. */
	from = min_size(min_size(size, f->size), md->len - 1);
	hold(md, HOLD_ALL, f, from, STRESS_LEN);
	if (f->size < from)
		return false;
	if (ftruncate(f->fd, size))
		refused(md, "ftruncate to %#zx: %m", size);
	if (size < f->size)
		file_shrinks(md, f, size);
	file_grows(f, size);
	w->off = size;
	w->len = 1;
	return look(md, w);
}

static void falloc(struct model *md, const struct work *w, int mode)
{
	if (fallocate(w->f->fd, mode, w->off, w->len))
		refused(md, "fallocate mode %#x at %#zx+%#zx: %m", mode, w->off,
			w->len);
}

/* They read zeroes now. */
static bool zeroed(struct model *md, const struct work *w)
{
	memset(w->f->data + w->off, 0, w->len);
	return look(md, w);
}

static bool op_punch(struct model *md, struct work *w)
{
	if (!some_range(w, w->f->size))
		return false;
	hold(md, HOLD_ALL, w->f, w->off, w->len);
	if (!is_broken(md, w, BREAK_PUNCH, 1))
		falloc(md, w, PUNCH_HOLE);
	return zeroed(md, w);
}

static bool op_zero(struct model *md, struct work *w)
{
	bool grow = alone(md) && w->arg[3] >> 29 == 0;

	if (!some_range(w, grow ? md->len : w->f->size))
		return false;
	hold(md, HOLD_ALL, w->f, w->off, w->len);
	falloc(md, w, FALLOC_FL_ZERO_RANGE | (grow ? 0 : KEEP));
	file_grows(w->f, grow ? w->off + w->len : 0);
	return zeroed(md, w);
}

static bool op_alloc(struct model *md, struct work *w)
{
	bool grow = alone(md) && w->arg[3] >> 30 == 0;

	some_range(w, md->len);
	falloc(md, w, grow ? 0 : KEEP);
	file_grows(w->f, grow ? w->off + w->len : 0);
	return look(md, w);
}

static bool pick_file_pages(struct model *md, struct work *w)
{
	pick_file(md, w);
	w->len = some_pages(w->f->size, w->arg[1], w->arg[2], &w->off);
	return w->len;
}

static bool op_collapse_range(struct model *md, struct work *w)
{
	char *begin = w->f->data + w->off;
	struct file *f = w->f;
	size_t size;

	hold(md, HOLD_ALL, f, 0, STRESS_LEN);
	if (w->off + w->len >= f->size || f->size - w->len < md->min_size)
		return false;
	size = f->size - w->len;
	falloc(md, w, FALLOC_FL_COLLAPSE_RANGE);
	memmove(begin, begin + w->len, size - w->off);
	file_shrinks(md, f, size);
	maps_forget(md, f, w->off);
	return look(md, w);
}

static bool op_insert_range(struct model *md, struct work *w)
{
	char *begin = w->f->data + w->off;
	struct file *f = w->f;

	hold(md, HOLD_ALL, f, 0, STRESS_LEN);
	if (w->off >= f->size || f->size + w->len > md->len)
		return false;
	falloc(md, w, FALLOC_FL_INSERT_RANGE);
	memmove(begin + w->len, begin, f->size - w->off);
	memset(begin, 0, w->len);
	file_grows(f, f->size + w->len);
	maps_forget(md, f, w->off);
	return look(md, w);
}

/* New blocks for 2 MiB, contiguous if possible. */
static bool op_renew(struct model *md, struct work *w)
{
	hold(md, HOLD_ALL, w->f, w->off, SZ_2M);
	falloc(md, w, PUNCH_HOLE);
	if (w->arg[2] % 4)
		falloc(md, w, KEEP);
	return zeroed(md, w);
}

static bool op_advise(struct model *md, struct work *w)
{
	int err = posix_fadvise(w->f->fd, 0, 0, POSIX_FADV_DONTNEED);

	if (err)
		refused(md, "POSIX_FADV_DONTNEED: %s", strerror(err));
	return true;
}

static bool op_sync(struct model *md, struct work *w)
{
	if (w->arg[1] % 2 ? fsync(w->f->fd) : fdatasync(w->f->fd))
		refused(md, "fsync: %m");
	return true;
}

/* Files that share blocks. */

/* Replaces all of another file. Without a truncation its copies stay. */
static bool op_clone(struct model *md, struct work *w)
{
	struct file *from = some_file(md, w->arg[0]);
	struct file *to = some_file(md, w->arg[0] + 1 + w->arg[1] % 2);

	w->f = from;
	w->to = to;
	hold_two(md, HOLD_ALL, from, 0, to, 0, STRESS_LEN);
	if (!from->size || to == from)
		return false;
	if (w->arg[2] % 2 || to->size > from->size) {
		if (ftruncate(to->fd, 0))
			refused(md, "ftruncate: %m");
		file_shrinks(md, to, 0);
	}
	if (ioctl(to->fd, FICLONE, from->fd))
		refused(md, "FICLONE: %m");
	file_written(to, 0, from->data, from->size);
	look_at(md, to, some_offset(to->size, w->arg[2]), 64, w->arg[3]);
	return true;
}

/* A range of pages, and where in the same or another file it may go to. */
static bool pick_pair(struct model *md, struct work *w)
{
	if (!pick_file_pages(md, w))
		return false;
	w->to = some_file(md, w->arg[0] / md->profile->files);
	w->dest = page_down(some_offset(md->len - w->len + 1, w->arg[3]));
	return !overlap(w->f, w->off, w->to, w->dest, w->len) &&
	       hold_two(md, HOLD_ALL, w->f, w->off, w->to, w->dest, w->len);
}

/* The kernel has copied or shared the range. */
static bool pair_done(struct model *md, struct work *w)
{
	file_written(w->to, w->dest, w->f->data + w->off, w->len);
	look_at(md, w->to, w->dest, w->len, w->arg[3]);
	return true;
}

static bool op_clone_range(struct model *md, struct work *w)
{
	struct file_clone_range arg = {
		.src_fd = w->f->fd, .src_offset = w->off, .src_length = w->len,
		.dest_offset = w->dest,
	};

	if (ioctl(w->to->fd, FICLONERANGE, &arg))
		refused(md, "FICLONERANGE: %m");
	return pair_done(md, w);
}

static void copy_range(struct model *md, const struct file *f, loff_t off,
		       const struct file *to, loff_t dest, size_t len)
{
	while (len) {
		ssize_t n = copy_file_range(f->fd, &off, to->fd, &dest, len, 0);

		if (n <= 0)
			refused(md, "copy_file_range: %zd, %m", n);
		len -= n;
	}
}

static bool op_copy(struct model *md, struct work *w)
{
	copy_range(md, w->f, w->off, w->to, w->dest, w->len);
	return pair_done(md, w);
}

static bool op_dedupe(struct model *md, struct work *w)
{
	const char *from = w->f->data + w->off;
	size_t same;
	ssize_t n;

	if (w->dest + w->len > w->to->size)
		return false;
	if (w->arg[2] >> 30)
		write_file(md, w->to, w->dest, from, w->len);
	same = memcmp(from, w->to->data + w->dest, w->len) ? 0 : w->len;
	n = dax_dedupe(w->f->fd, w->off, w->len, w->to->fd, w->dest);
	if (n < 0)
		refused(md, "FIDEDUPERANGE: %m");
	if ((size_t)n != same)
		diverged(md,
			 "FIDEDUPERANGE says that %zd bytes are equal, and %zu are",
			 n, same);
	look_at(md, w->to, w->dest, w->len, w->arg[3]);
	return true;
}

static bool op_unshare(struct model *md, struct work *w)
{
	if (!some_range(w, alone(md) ? w->f->size : md->min_size))
		return false;
	falloc(md, w, FALLOC_FL_UNSHARE_RANGE | KEEP);
	return look(md, w);
}

/* Mappings. */

/* Half are huge where that can be, and of all of the file. */
static size_t some_shift(const struct model *md, uint32_t word)
{
	if (md->profile->huge || word % 8 > 1)
		return 0;
	return word % 8 ? (word >> 3) % PAGES_2M * SZ_4K : SZ_4K;
}

/* Stores to MAP_SYNC often wait for the journal: few of these. */
static enum map_kind some_kind(const struct model *md, uint32_t word)
{
	if (md->profile->whole || word % 16 > 4)
		return MAP_KIND_SHARED;
	return word % 16 ? MAP_KIND_PRIVATE : MAP_KIND_SYNC;
}

static bool op_map(struct model *md, struct work *w)
{
	unsigned int own = md->profile->maps - md->common;
	struct map *m = &md->map[md->common + w->arg[0] % own];
	bool writable = w->arg[1] >> 8 & 7;

	if (m->used)
		map_gone(md, m);
	m->file = some_file(md, w->arg[0] / own);
	m->kind = some_kind(md, w->arg[1]);
	m->off = 0;
	m->len = md->len;
	if (w->arg[2] % 2 && !md->profile->whole)
		m->len = some_pages(md->len, w->arg[2] >> 1, w->arg[3],
				    &m->off);
	m->shift = some_shift(md, w->arg[3]);
	w->m = m;
	w->how = writable ? NULL : "read-only";
	map_make(md, m, writable);
	return true;
}

static bool op_unmap(struct model *md, struct work *w)
{
	w->len = some_pages(w->m->len, w->arg[1], w->arg[2], &w->at);
	map_cut(md, w->m, w->at, w->len);
	if (w->len == w->m->len)
		w->m->used = false;
	return true;
}

static bool op_remap(struct model *md, struct work *w)
{
	struct map *m = w->m;
	size_t most = (md->len - m->off) / SZ_4K;

	w->len = m->len;
	if (w->arg[1] % 4 == 0)
		w->len = (1 + (w->arg[1] >> 2) % most) * SZ_4K;
	return map_move(md, m, w->len, some_shift(md, w->arg[2]));
}

/* Some pages of a mapping; none of them may be unmapped. */
static bool some_mapped(struct model *md, struct work *w)
{
	w->len = some_pages(w->m->len, w->arg[1], w->arg[2], &w->at);
	if (w->arg[2] >> 27 == 0) {
		w->at = 0;
		w->len = w->m->len;
	}
	for (size_t i = w->at; i < w->at + w->len; i += SZ_4K)
		if (!(w->m->page[i / SZ_4K] & PAGE_MAPPED))
			return false;
	return w->len;
}

static bool pick_pages(struct model *md, struct work *w)
{
	return pick_map(md, w) && some_mapped(md, w);
}

static bool pick_own_pages(struct model *md, struct work *w)
{
	return pick_own_map(md, w) && some_mapped(md, w);
}

/* Changes flags of all of them. */
static void flag_pages(struct work *w, unsigned int clear, unsigned int set)
{
	for (size_t i = w->at / SZ_4K; i < (w->at + w->len) / SZ_4K; i++)
		w->m->page[i] = (w->m->page[i] & ~clear) | set;
}

static bool op_protect(struct model *md, struct work *w)
{
	bool writable = w->arg[3] % 4;

	if (mprotect(w->m->addr + w->at, w->len,
		     writable ? PROT_READ | PROT_WRITE : PROT_READ))
		refused(md, "mprotect: %m");
	flag_pages(w, PAGE_WRITE, writable ? PAGE_WRITE : 0);
	w->m->whole = false;
	return true;
}

/* One VMA, two, and one again: ptes of whatever entry there is. */
static bool op_split(struct model *md, struct work *w)
{
	struct map *m = w->m;
	size_t at = w->arg[1] % (md->len / SZ_2M) * SZ_2M;

	w->at = at;
	if (at + SZ_2M > m->len)
		return false;
	for (size_t i = 0; i < PAGES_2M; i++)
		if (!(m->page[at / SZ_4K + i] & PAGE_WRITE))
			return false;
	if (mprotect(m->addr + at, SZ_1M, PROT_READ | PROT_WRITE | PROT_EXEC))
		refused(md, "mprotect: %m");
	for (unsigned int i = 0; i < 8; i++)
		load_unlocked(md, m,
			      at + (w->arg[2] >> 3 * i) % PAGES_2M * SZ_4K);
	if (mprotect(m->addr + at, SZ_1M, PROT_READ | PROT_WRITE))
		refused(md, "mprotect: %m");
	m->whole = false;
	return true;
}

static bool op_zap(struct model *md, struct work *w)
{
	if (madvise(w->m->addr + w->at, w->len, MADV_DONTNEED))
		refused(md, "MADV_DONTNEED: %m");
	flag_pages(w, PAGE_COPIED, 0);
	if (alone(md))
		map_compare(md, w->m, w->at, 16);
	return true;
}

static bool op_populate(struct model *md, struct work *w)
{
	bool write = w->arg[3] % 2 && w->m->kind != MAP_KIND_PRIVATE;

	if (!map_allows(w->m, w->at, w->len, write))
		return false;
	if (madvise(w->m->addr + w->at, w->len,
		    write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) &&
	    (alone(md) || errno != EFAULT))
		refused(md, "MADV_POPULATE: %m");
	return true;
}

/* Mostly 2 MiB of the mapping, which are 2 MiB of memory if it is huge. */
static bool op_collapse(struct model *md, struct work *w)
{
	if (w->arg[3] % 8 && w->len < SZ_2M) {
		w->at = w->at / SZ_2M * SZ_2M;
		w->len = min_size(SZ_2M, w->m->len - w->at);
	}
	if (!madvise(w->m->addr + w->at, w->len, MADV_COLLAPSE))
		return true;
	if (errno != EINVAL && errno != EAGAIN && errno != EBUSY &&
	    errno != ENOSPC)
		refused(md, "MADV_COLLAPSE: %m");
	md->report->refused++;
	return true;
}

/* While it is off, files get blocks that a collapse moves later. */
static bool op_align(struct model *md, struct work *w)
{
	(void)md;
	return !dax_align(w->arg[3] % 2);
}

static bool op_msync(struct model *md, struct work *w)
{
	if (msync(w->m->addr + w->at, w->len, MS_SYNC))
		refused(md, "msync: %m");
	return true;
}

/* A mapping as the buffer of I/O. */

/* Pages within the file, whole, that may be read, or written. */
static bool some_buffer(struct model *md, struct work *w, bool write)
{
	struct map *m = some_map(md, w->arg[0]);

	if (!m || m->off >= m->file->size ||
	    (!alone(md) && m->kind == MAP_KIND_PRIVATE))
		return false;
	w->m = m;
	w->len = some_pages(min_size(m->len, m->file->size - m->off), w->arg[1],
			    w->arg[2], &w->at);
	return w->len && map_allows(m, w->at, w->len, write);
}

static void map_gather(const struct map *m, size_t at, size_t len, char *to)
{
	for (size_t n; len; at += n, to += n, len -= n) {
		n = in_page(at, len);
		memcpy(to, map_bytes(m, at), n);
	}
}

/* Of a file or device, from a mapping or to it. */
static void move_bytes(struct model *md, int fd, char *p, size_t len, off_t off,
		       bool write)
{
	ssize_t n = write ? pwrite(fd, p, len, off) : pread(fd, p, len, off);

	if (n != (ssize_t)len)
		refused(md, "%s a mapping: %zd of %zu, %m",
			write ? "pwrite from" : "pread to", n, len);
}

/* read() and write() of another file, with and without O_DIRECT. */
static bool op_map_io(struct model *md, struct work *w)
{
	struct file *f = some_file(md, w->arg[0] / md->profile->maps);
	int fd = w->arg[2] >> 31 ? f->fd : f->direct;
	bool write = w->write;
	size_t limit = write ? md->len : f->size;
	struct map *m;

	if (!some_buffer(md, w, !write) || limit < w->len)
		return false;
	m = w->m;
	w->f = f;
	w->off = page_down(some_offset(limit - w->len + 1, w->arg[3]));
	if (overlap(f, w->off, m->file, m->off + w->at, w->len) ||
	    !hold_two(md, HOLD_ALL, f, w->off, m->file, m->off + w->at, w->len))
		return false;
	move_bytes(md, fd, m->addr + w->at, w->len, w->off, write);
	if (write) {
		map_gather(m, w->at, w->len, f->data + w->off);
		file_grows(f, w->off + w->len);
		return look(md, w);
	}
	map_written(m, w->at, f->data + w->off, w->len);
	map_compare(md, m, w->at, 64);
	return true;
}

/* The pages are pinned, by the kernel's copy between processes. */
static bool op_pinned(struct model *md, struct work *w)
{
	struct map *m = w->m;
	bool write = w->arg[3] % 2;
	size_t at = w->at, len = w->len;
	struct iovec here, there;
	ssize_t n;

	if (!map_allows(m, at, len, write))
		return false;
	w->how = write ? "write" : "read";
	here = (struct iovec){ write ? (void *)some_bytes(w->arg[3]) : bytes,
			       len };
	there = (struct iovec){ m->addr + at, len };
	n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0) :
		    process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (n != (ssize_t)len)
		refused(md, "copy between processes: %zd of %zu, %m", n, len);
	if (write)
		map_written(m, at, here.iov_base, len);
	map_compare(md, m, at, min_size(len, 64));
	for (size_t i = 0; !write && i < len; i++)
		if (bytes[i] != *map_bytes(m, at + i))
			diverged(md,
				 "file %u: byte %#zx of map %u, pinned, is %#x, not %#x",
				 file_nr(md, m->file), m->off + at + i,
				 map_nr(md, m), bytes[i] & 255,
				 *map_bytes(m, at + i) & 255);
	return true;
}

/* A device reads or writes the pages. */
static bool op_outside(struct model *md, struct work *w)
{
	bool in = w->arg[3] % 2;
	size_t len, off;

	if (!some_buffer(md, w, in))
		return false;
	w->how = in ? "from the device" : "to the device";
	len = min_size(w->len, STRESS_OUTSIDE);
	off = (w->arg[3] >> 1) % ((STRESS_OUTSIDE - len) / SZ_4K + 1) * SZ_4K;
	move_bytes(md, md->outside, w->m->addr + w->at, len, off, !in);
	if (in)
		map_written(w->m, w->at, md->outside_data + off, len);
	else
		map_gather(w->m, w->at, len, md->outside_data + off);
	map_compare(md, w->m, w->at, 64);
	return true;
}

/* The file that a mapping is of, as the other side of a copy. */

/*
 * A place of a mapping, and one of its file which is of the same length: the
 * same one, its neighbour, in the same page or entry, or anywhere. No other one
 * overlaps it: which byte is then copied first is open.
 */
static bool pick_alias(struct model *md, struct work *w)
{
	struct map *m = some_map(md, w->arg[0]);
	size_t len = some_place(md, m, w->arg[1], w->arg[2], &w->at);
	size_t here = len ? m->off + w->at : 0, apart;
	const size_t places[] = {
		here, here + len, here >= len ? here - len : here + len,
		here ^ SZ_4K / 2, here ^ SZ_4K, here ^ SZ_1M,
	};
	unsigned int which = w->arg[3] % 8;

	if (!len)
		return false;
	if (which < ARRAY_LEN(places))
		w->off = places[which];
	else
		w->off = some_offset(md->len, w->arg[3] >> 3);
	if (w->off >= md->len)
		return false;
	len = own_line(md, &w->off, min_size(len, md->len - w->off));
	apart = w->off < here ? here - w->off : w->off - here;
	if (apart)
		len = min_size(len, apart);
	w->m = m;
	w->f = m->file;
	w->len = len;
	return len && hold_two(md, HOLD_LINES, m->file, here, m->file, w->off,
			       len);
}

/* By O_DIRECT, by two buffers, or plainly. */
static void alias_io(struct model *md, struct work *w, bool write)
{
	unsigned int how = w->arg[0] >> 16 & 3;
	struct file *f = w->m->file;
	int fd = how == 1 && f->direct >= 0 ? f->direct : f->fd;
	char *p = w->m->addr + w->at;
	size_t part = w->len / 3;
	struct iovec iov[2] = { { p, part }, { p + part, w->len - part } };
	ssize_t n;

	if (how != 2) {
		move_bytes(md, fd, p, w->len, w->off, write);
		return;
	}
	n = write ? pwritev(fd, iov, 2, w->off) : preadv(fd, iov, 2, w->off);
	if (n != (ssize_t)w->len)
		refused(md, "%s a mapping: %zd of %zu, %m",
			write ? "pwritev from" : "preadv to", n, w->len);
}

/* The file has the contents of bytes[] now. */
static bool alias_written(struct model *md, struct work *w)
{
	file_written(w->m->file, w->off, bytes, w->len);
	look_at(md, w->m->file, w->off, w->len, w->arg[3] >> 3);
	return true;
}

static bool op_alias_write(struct model *md, struct work *w)
{
	if (!map_allows(w->m, w->at, w->len, false))
		return false;
	map_gather(w->m, w->at, w->len, bytes);
	alias_io(md, w, true);
	return alias_written(md, w);
}

static bool op_alias_read(struct model *md, struct work *w)
{
	struct map *m = w->m;

	if (w->off + w->len > m->file->size ||
	    !map_allows(m, w->at, w->len, true))
		return false;
	memcpy(bytes, m->file->data + w->off, w->len);
	alias_io(md, w, false);
	map_written(m, w->at, bytes, w->len);
	map_compare(md, m, w->at, min_size(w->len, 64));
	look_at(md, m->file, m->off + w->at, w->len, w->arg[3] >> 3);
	return true;
}

/*
 * Pages of the mapping, in a pipe, are written to its file. For one worker only:
 * a truncation elsewhere in the same entry waits for the pages, with the lock
 * of the inode that the write then waits for.
 */
static bool op_alias_splice(struct model *md, struct work *w)
{
	loff_t to = w->off;
	int ends[2];

	if (!map_allows(w->m, w->at, w->len, false))
		return false;
	w->len = min_size(w->len, 15 * SZ_4K);	/* what a pipe has room for */
	map_gather(w->m, w->at, w->len, bytes);
	if (pipe(ends))
		dax_exit_fail("pipe: %m");
	if (vmsplice(ends[1], &(struct iovec){ w->m->addr + w->at, w->len }, 1,
		     0) != (ssize_t)w->len)
		refused(md, "vmsplice: %m");
	for (size_t left = w->len; left; ) {
		ssize_t n = splice(ends[0], NULL, w->m->file->fd, &to, left, 0);

		if (n <= 0)
			refused(md, "splice to the file: %zd, %m", n);
		left -= n;
	}
	close(ends[0]);
	close(ends[1]);
	return alias_written(md, w);
}

/* One range of a file to another one of it, while it is mapped. */
static bool op_alias_copy(struct model *md, struct work *w)
{
	struct file *f = w->m->file;
	size_t from = w->m->off + w->at;

	if (from == w->off)
		return false;
	memcpy(bytes, f->data + from, w->len);
	copy_range(md, f, from, f, w->off, w->len);
	file_written(f, w->off, bytes, w->len);
	map_compare(md, w->m, w->at, min_size(w->len, 64));
	look_at(md, f, w->off, w->len, w->arg[3] >> 3);
	return true;
}

/* Processes, caches, mounts. */

/*
 * A child loads and stores. Its stores to a shared mapping change the file. Its
 * private mapping is a copy: the parent does not see the stores.
 */
static bool op_fork(struct model *md, struct work *w)
{
	struct map *m = w->m, *other = m;
	size_t at = w->at, at2 = 0, len = w->len, len2 = 0;
	int status;
	pid_t pid;

	if (alone(md)) {
		other = some_map(md, w->arg[3]);
		len2 = some_place(md, other, w->arg[2], w->arg[1], &at2);
	}
	pid = dax_fork_process();
	if (!pid) {
		store(md, m, at, some_bytes(w->arg[3]), len, false);
		map_compare(md, m, at, len);
		map_compare(md, other, at2, len2);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || WIFSIGNALED(status))
		round_ends(md, ROUND_CRASHED, "a child ends with status %#x",
			   status);
	if (status)
		_exit(WEXITSTATUS(status));
	for (size_t i = 0; m->kind != MAP_KIND_PRIVATE && i < len; i++)
		if (!map_signal(m, at + i, true))
			map_written(m, at + i, some_bytes(w->arg[3]) + i, 1);
	map_compare(md, m, at, len);
	return true;
}

static void unmap_all_of(struct model *md, const struct file *f)
{
	for (unsigned int i = 0; i < md->profile->maps; i++)
		if (md->map[i].used && md->map[i].file == f)
			map_gone(md, &md->map[i]);
}

/* The inode leaves memory, and with it all of its entries. */
static bool op_evict(struct model *md, struct work *w)
{
	struct file *f = w->f;

	unmap_all_of(md, f);
	model_close(md);
	target_drop_caches(2);
	model_open(md);
	file_compare(md, f, 0, 256);
	return true;
}

static bool op_drop_caches(struct model *md, struct work *w)
{
	target_drop_caches(3);
	return true;
}

static bool op_remount(struct model *md, struct work *w)
{
	for (unsigned int i = 0; i < md->profile->files; i++)
		unmap_all_of(md, &md->file[i]);
	model_close(md);
	target_remount(md->target);
	model_open(md);
	return true;
}

/* Is that page of the file, which this mapping has at @at, also at @addr? */
static bool same_page_at(struct model *md, const struct map *m, size_t at,
			 const char *addr)
{
	for (unsigned int i = 0; i < md->profile->maps; i++) {
		const struct map *o = &md->map[i];

		if (o->used && o->file == m->file && addr >= o->addr &&
		    addr < o->addr + o->len &&
		    o->off + (addr - o->addr) / SZ_4K * SZ_4K == m->off + at)
			return true;
	}
	return false;
}

/*
 * Memory fails under a shared mapping: the access raises a signal with one of
 * the addresses at which the page is mapped.
 */
static bool op_poison(struct model *md, struct work *w)
{
	siginfo_t info = {};
	const char *mapped;
	char *addr;
	int sig;

	if (!some_buffer(md, w, false) || w->m->kind == MAP_KIND_PRIVATE)
		return false;
	/* Not the zero page of a hole: it is everybody's. */
	addr = w->m->addr + w->at;
	mapped = dax_mapped(addr);
	if (strcmp(mapped, "4K") && strcmp(mapped, "2M"))
		return false;
	sig = dax_guarded_copy(addr, NULL, SZ_4K, &info);
	if (sig == SIGBUS) {
		if (!same_page_at(md, w->m, w->at, info.si_addr))
			diverged(md,
				 "memory failed at %p, and the signal says %p",
				 addr, info.si_addr);
	} else if (sig != 0 && sig != -EBUSY && sig != -EHWPOISON) {
		refused(md, "MADV_HWPOISON: %d", sig);
	}
	return true;
}

static bool op_compare(struct model *md, struct work *w)
{
	struct file *f = w->f;
	struct map *m = some_map(md, w->arg[1]);

	if (!m || w->arg[3] % 4 == 0)
		file_compare(md, f, 0, STRESS_LEN);
	if (m)
		map_compare(md, m, 0, m->len);
	return true;
}

/* Which of them, and how often in each mix. */

static const struct kind {
	const char *name;
	bool (*pick)(struct model *md, struct work *w);
	bool (*run)(struct model *md, struct work *w);
	unsigned int weight[STRESS_MIXES];
	unsigned int needs;
	bool write;		/* of two kinds that are one function */
} kinds[] = {
	{ "store", pick_place, op_store, { 40000, 30000, 120, 40 } },
	{ "load", pick_place, op_load, { 32000, 24000, 80, 0 } },
	{ "touch", pick_map, op_touch, { 4000, 5000, 30, 0 } },
	{ "write", pick_file, op_write, { 8000, 6000, 24, 30 } },
	{ "fill", pick_2m, op_fill, { 10, 5, 2, 5 } },
	{ "read", pick_file, op_read, { 8000, 6000, 24, 0 } },
	{ "truncate", pick_file, op_truncate, { 150, 40, 2, 10 } },
	{ "punch", pick_file, op_punch, { 300, 200, 2, 20 }, NEED_PUNCH },
	{ "zero", pick_file, op_zero, { 200, 200, 2, 10 }, NEED_ZERO_RANGE },
	{ "alloc", pick_file, op_alloc, { 300, 200, 2, 10 } },
	{ "collapse-range", pick_file_pages, op_collapse_range,
	  { 40, 10, 0, 10 }, NEED_COLLAPSE_RANGE },
	{ "insert-range", pick_file_pages, op_insert_range,
	  { 40, 10, 0, 10 }, NEED_INSERT_RANGE },
	{ "renew", pick_2m, op_renew, { 10, 20, 5, 0 }, NEED_PUNCH },
	{ "sync", pick_file, op_sync, { 100, 60, 6, 10 } },
	{ "advise", pick_file, op_advise, { 20, 10, 0, 10 } },
	{ "clone", NULL, op_clone, { 10, 4, 1, 10 }, NEED_REFLINK },
	{ "clone-range", pick_pair, op_clone_range,
	  { 80, 30, 0, 10 }, NEED_REFLINK },
	{ "copy", pick_pair, op_copy, { 60, 30, 0, 0 } },
	{ "dedupe", pick_pair, op_dedupe, { 60, 20, 0, 0 }, NEED_REFLINK },
	{ "unshare", pick_file, op_unshare, { 40, 30, 0, 10 }, NEED_REFLINK },
	{ "map", NULL, op_map, { 800, 300, 14, 5 } },
	{ "unmap", pick_own_map, op_unmap, { 500, 150, 0, 0 } },
	{ "remap", pick_own_map, op_remap, { 400, 120, 0, 0 } },
	{ "protect", pick_own_pages, op_protect, { 400, 150, 0, 0 } },
	{ "split", pick_own_map, op_split, { 20, 20, 3, 0 } },
	{ "zap", pick_pages, op_zap, { 2000, 2500, 6, 10 } },
	{ "populate", pick_pages, op_populate, { 300, 1500, 90, 0 } },
	{ "collapse", pick_pages, op_collapse, { 300, 300, 12, 0 }, NEED_DAX },
	{ "align", NULL, op_align, { 40, 40, 2, 0 }, NEED_ALIGN },
	{ "msync", pick_pages, op_msync, { 300, 300, 6, 0 } },
	{ "read-to-map", NULL, op_map_io, { 100, 50, 0, 0 }, NEED_DIRECT },
	{ "write-from-map", NULL, op_map_io,
	  { 100, 50, 0, 0 }, NEED_DIRECT, .write = true },
	{ "pinned", pick_place, op_pinned, { 500, 800, 0, 0 } },
	{ "alias-write", pick_alias, op_alias_write, { 600, 600, 0, 0 } },
	{ "alias-read", pick_alias, op_alias_read, { 300, 300, 0, 0 } },
	{ "alias-splice", pick_alias, op_alias_splice, { 200, 0, 0, 0 } },
	{ "alias-copy", pick_alias, op_alias_copy, { 100, 100, 0, 0 } },
	{ "outside", NULL, op_outside, { 200, 0, 0, 0 }, NEED_OUTSIDE },
	{ "fork", pick_place, op_fork, { 15, 10, 0, 0 } },
	{ "evict", pick_file, op_evict, { 3, 0, 0, 0 }, NEED_DROP_CACHES },
	{ "drop-caches", NULL, op_drop_caches,
	  { 1, 1, 0, 0 }, NEED_DROP_CACHES },
	{ "remount", NULL, op_remount, { 4, 0, 0, 0 }, NEED_DEVICE },
	{ "poison", NULL, op_poison, { 400, 0, 0, 0 }, NEED_HWPOISON },
	{ "compare", pick_file, op_compare, { 6, 0, 0, 0 } },
};

static_assert(ARRAY_LEN(kinds) <= STRESS_KINDS, "STRESS_KINDS is too small");

unsigned int ops_nr(void)
{
	return ARRAY_LEN(kinds);
}

const char *ops_name(unsigned int kind)
{
	return kinds[kind].name;
}

void ops_weigh(struct ops_weights *weights, const struct target *target)
{
	for (size_t i = 0; i < PATTERN; i += sizeof(uint64_t)) {
		uint64_t bytes = stress_random(0xda5, i) | 0x0101010101010101;

		memcpy(pattern + i, &bytes, sizeof(bytes));
	}
	*weights = (struct ops_weights){};
	for (unsigned int i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].needs & ~target->can ||
		    target_leaves_out(target, kinds[i].name))
			continue;
		weights->kind[i] = kinds[i].weight[target->profile->mix];
		weights->all += weights->kind[i];
	}
}

/* Operation @nr of a seed; the others need not be known for it. */
void ops_choose(struct op *op, const struct ops_weights *weights, uint64_t seed,
		uint64_t nr)
{
	uint64_t one = stress_random(seed, nr * 4);
	uint64_t two = stress_random(seed, nr * 4 + 1);
	unsigned int at = stress_random(seed, nr * 4 + 2) % weights->all;

	for (op->kind = 0; at >= weights->kind[op->kind]; op->kind++)
		at -= weights->kind[op->kind];
	op->arg[0] = one;
	op->arg[1] = one >> 32;
	op->arg[2] = two;
	op->arg[3] = two >> 32;
}

/* Print the target of an operation, for a person. */
static void describe(const struct model *md, const struct work *w)
{
	const struct map *m = w->m;

	printf("# ^ %s%s%#zx bytes", w->how ?: "", w->how ? ", " : "", w->len);
	if (m)
		printf(" at %#zx of map %u (%s, %#zx+%#zx of file %u, colour %#zx)",
		       w->at, map_nr(md, m), map_kinds[m->kind], m->off, m->len,
		       file_nr(md, m->file), m->shift);
	if (w->f)
		printf(" at %#zx of file %u, size %#zx", w->off,
		       file_nr(md, w->f), w->f->size);
	if (w->to)
		printf(" to %#zx of file %u", w->dest, file_nr(md, w->to));
	printf("\n");
}

void ops_run(struct model *md, const struct op *op)
{
	const struct kind *kind = &kinds[op->kind];
	struct work w = { .arg = op->arg, .write = kind->write };
	bool done;

	md->report->kind = op->kind;
	done = md->weights.kind[op->kind] &&
	       (!kind->pick || kind->pick(md, &w)) && kind->run(md, &w);
	if (done && md->describe)
		describe(md, &w);
	if (done && md->profile->compare && pick_file(md, &w))
		op_compare(md, &w);
	let_go(md);
	if (done)
		md->report->done[op->kind]++;
	else
		md->report->idle++;
}
