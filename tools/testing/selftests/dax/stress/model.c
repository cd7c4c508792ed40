// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: the model of what each worker does, which defines each byte.
 *
 * A file is its size and its bytes in anonymous memory, zero behind the size:
 * nothing is stored there, so the rest of the last page must be zero, too. A
 * mapping is a range of a file and, for each page, whether it is still mapped,
 * whether it is writable, and whether it is a copy (private, written to);
 * copies have bytes of their own. This defines what a load returns, or which
 * signal it raises: SIGSEGV where nothing is mapped or it is read-only, SIGBUS
 * for pages that lie wholly behind the size of the file.
 *
 * POSIX does not define what a private page shows when the file changes before
 * its first write. Linux shows the file, and with a single thread the model can
 * expect that. Truncation drops copies. Collapse and insert range may,
 * depending on the filesystem; the model forgets the copies then.
 *
 * Each mapping has two windows of address space that stay reserved, from 2 MiB
 * borders, so that each replay has the same colours, and unmapped ranges stay
 * unmapped.
 *
 * Many workers have the same files, and each has mappings of its own besides
 * those that all threads of a process use. Each worker owns some cache lines of
 * each page, and no other worker stores to them, so that each of its loads is
 * compared exactly. Each file is cut into chunks with a lock each. An operation
 * on own lines holds their chunks for reading. One that zeroes, moves or
 * replaces bytes of others holds all of its chunks for writing. Locks are taken
 * in the order of files and chunks. Faults without a value, flushes, zaps and
 * collapses hold no lock.
 *
 * The size of a file changes only with all chunks locked that lie behind the
 * smaller of both sizes. The holder of a chunk therefore knows whether a page
 * of it is behind the end, where an access must raise SIGBUS.
 *
 * Of a private copy a worker knows its own lines only: which bytes of others
 * the copy got is not defined. A file counts its truncations and moves; a worker
 * that sees the count changed forgets its copies.
 */
#include <stdarg.h>

#include "stress.h"

#define WINDOW_LEN	(STRESS_LEN + 2 * SZ_2M)
#define LINE	64UL
#define LINES	(SZ_4K / LINE)

/* The end of a round. */

static __thread struct model *the_model;

void round_ends(struct model *md, enum verdict end, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(md->report->text, sizeof(md->report->text), fmt, ap);
	va_end(ap);
	_exit(end);
}

void model_enter(struct model *md)
{
	the_model = md;
}

static void stray_signal(const siginfo_t *info)
{
	round_ends(the_model, ROUND_CRASHED, "signal %d at %p", info->si_signo,
		   info->si_addr);
}

/* Files. */

unsigned int file_nr(const struct model *md, const struct file *f)
{
	return f - md->file;
}

void file_grows(struct file *f, size_t size)
{
	if (size > f->size)
		f->size = size;
}

static void drop_copies(struct map *m, size_t at)
{
	for (; at < m->len; at += SZ_4K)
		m->page[at / SZ_4K] &= ~PAGE_COPIED;
}

/* From the page at @from on; here only, or in the kernel, too. */
static void forget_copies(struct model *md, struct file *f, size_t from,
			  bool zap)
{
	for (unsigned int i = 0; i < STRESS_MAPS; i++) {
		struct map *m = &md->map[i];
		size_t at = from > m->off ? from - m->off : 0;

		if (!m->used || m->file != f || m->kind != MAP_KIND_PRIVATE)
			continue;
		if (zap && at < m->len)
			dax_zap(m->addr + at, m->len - at);
		drop_copies(m, at);
	}
	__atomic_add_fetch(&f->moves, 1, __ATOMIC_RELEASE);
}

void file_shrinks(struct model *md, struct file *f, size_t size)
{
	memset(f->data + size, 0, f->size - size);
	f->size = size;
	forget_copies(md, f, page_up(size), false);
}

void file_written(struct file *f, size_t off, const void *data, size_t len)
{
	memcpy(f->data + off, data, len);
	file_grows(f, off + len);
}

void maps_forget(struct model *md, struct file *f, size_t from)
{
	forget_copies(md, f, page_down(from), true);
}

/* Locks of many workers. */

size_t own_line(const struct model *md, size_t *off, size_t len)
{
	size_t own, nr = LINES / md->workers;

	if (alone(md) || !len)
		return len;
	own = md->id + *off / sizeof(uint64_t) % nr * md->workers;
	*off = page_down(*off) + own * LINE;
	return min_size(len, LINE);
}

static void add_chunks(struct model *md, struct file *f, size_t off, size_t len)
{
	for (size_t i = off / STRESS_CHUNK;
	     i < STRESS_CHUNKS && i * STRESS_CHUNK < off + len; i++)
		md->chunks[file_nr(md, f)] |= 1U << i;
}

static void for_chunks(struct model *md, int (*fn)(pthread_rwlock_t *lock))
{
	for (unsigned int i = 0; i < STRESS_FILES * STRESS_CHUNKS; i++) {
		unsigned int file = i / STRESS_CHUNKS, nr = i % STRESS_CHUNKS;
		int err;

		if (!(md->chunks[file] >> nr & 1))
			continue;
		err = fn(&md->file[file].chunk[nr]);
		if (err)
			dax_exit_fail("lock: %s", strerror(err));
	}
}

/* With chunks locked: a move that concerns them is in the count. */
static void follow_moves(struct model *md)
{
	for (unsigned int i = 0; i < STRESS_MAPS; i++) {
		struct map *m = &md->map[i];
		unsigned int now;

		if (!m->used || m->kind != MAP_KIND_PRIVATE)
			continue;
		now = __atomic_load_n(&m->file->moves, __ATOMIC_ACQUIRE);
		if (now == m->moves)
			continue;
		m->moves = now;
		dax_zap(m->addr, m->len);
		drop_copies(m, 0);
	}
}

bool hold_two(struct model *md, enum hold how, struct file *f, size_t off,
	      struct file *g, size_t to, size_t len)
{
	if (alone(md))
		return true;
	add_chunks(md, f, off, len);
	add_chunks(md, g, to, len);
	for_chunks(md, how == HOLD_ALL ? pthread_rwlock_wrlock :
					 pthread_rwlock_rdlock);
	md->holds = true;
	follow_moves(md);
	return off + len <= f->size && to + len <= g->size;
}

bool hold(struct model *md, enum hold how, struct file *f, size_t off, size_t len)
{
	return hold_two(md, how, f, off, f, off, len);
}

void let_go(struct model *md)
{
	if (!md->holds)
		return;
	for_chunks(md, pthread_rwlock_unlock);
	memset(md->chunks, 0, sizeof(md->chunks));
	md->holds = false;
}

/* Mappings. */

const char * const map_kinds[] = { "shared", "MAP_SYNC", "private" };

unsigned int map_nr(const struct model *md, const struct map *m)
{
	return m - md->map;
}

const char *map_bytes(const struct map *m, size_t at)
{
	if (m->page[at / SZ_4K] & PAGE_COPIED)
		return m->copy + at;
	return m->file->data + m->off + at;
}

int map_signal(const struct map *m, size_t at, bool write)
{
	unsigned int page = m->page[at / SZ_4K];

	if (!(page & PAGE_MAPPED) || (write && !(page & PAGE_WRITE)))
		return SIGSEGV;
	return page_down(m->off + at) < m->file->size ? 0 : SIGBUS;
}

bool map_allows(const struct map *m, size_t at, size_t len, bool write)
{
	for (size_t page = page_down(at); page < at + len; page += SZ_4K)
		if (map_signal(m, page, write))
			return false;
	return true;
}

/* All of it is within the file, and may be written. */
void map_written(struct map *m, size_t at, const void *data, size_t len)
{
	if (m->kind != MAP_KIND_PRIVATE) {
		memcpy(m->file->data + m->off + at, data, len);
		return;
	}
	for (size_t page = page_down(at); page < at + len; page += SZ_4K) {
		if (m->page[page / SZ_4K] & PAGE_COPIED)
			continue;
		memcpy(m->copy + page, m->file->data + m->off + page, SZ_4K);
		m->page[page / SZ_4K] |= PAGE_COPIED;
	}
	memcpy(m->copy + at, data, len);
}

static void reserve(void *addr, size_t len)
{
	if (mmap(addr, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		dax_exit_fail("no address space for %zu bytes", len);
}

static char *window_addr(const struct model *md, const struct map *m,
			 unsigned int window, size_t shift)
{
	return md->windows + (map_nr(md, m) * 2 + window) * WINDOW_LEN +
	       (m->off + shift) % SZ_2M;
}

static void set_pages(struct map *m, size_t from, size_t to, unsigned int flags)
{
	memset(m->page + from / SZ_4K, flags, (to - from) / SZ_4K);
}

/* @m says what file, range, kind and colour; its window is empty. */
void map_make(struct model *md, struct map *m, bool writable)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	int flags = m->kind == MAP_KIND_PRIVATE ? MAP_PRIVATE : MAP_SHARED;

	if (m->kind == MAP_KIND_SYNC && md->target->can & NEED_SYNC)
		flags = MAP_SHARED_VALIDATE | MAP_SYNC;
	m->addr = window_addr(md, m, m->window, m->shift);
	if (mmap(m->addr, m->len, prot, flags | MAP_FIXED, m->file->fd,
		 m->off) == MAP_FAILED)
		refused(md, "mmap: %m");
	m->used = true;
	m->whole = true;
	m->moves = m->file->moves;
	set_pages(m, 0, m->len,
		  writable ? PAGE_MAPPED | PAGE_WRITE : PAGE_MAPPED);
}

/* To the other window: another colour, more or less of the file. */
bool map_move(struct model *md, struct map *m, size_t len, size_t shift)
{
	unsigned int flags = m->page[0] & (PAGE_MAPPED | PAGE_WRITE);
	char *to = window_addr(md, m, !m->window, shift);

	if (!m->whole)		/* mremap() takes one VMA */
		return false;
	if (mremap(m->addr, m->len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) !=
	    to)
		refused(md, "mremap: %m");
	reserve(m->addr, m->len);
	if (len > m->len)
		set_pages(m, m->len, len, flags);
	m->len = len;
	m->addr = to;
	m->shift = shift;
	m->window = !m->window;
	return true;
}

void map_cut(struct model *md, struct map *m, size_t at, size_t len)
{
	if (munmap(m->addr + at, len))
		refused(md, "munmap: %m");
	reserve(m->addr + at, len);
	set_pages(m, at, at + len, 0);
	m->whole = false;
}

void map_gone(struct model *md, struct map *m)
{
	map_cut(md, m, 0, m->len);
	m->used = false;
}

/* Comparisons. */

static size_t first_difference(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

static void map_differs(struct model *md, struct map *m, size_t at,
			const char *got, size_t len)
{
	const char *want = map_bytes(m, at);
	size_t i = first_difference(got, want, len);

	diverged(md,
		 "file %u, size %#zx: byte %#zx of map %u (%s, %#zx, %s%s) is %#x, not %#x",
		 file_nr(md, m->file), m->file->size, m->off + at + i,
		 map_nr(md, m), map_kinds[m->kind], m->shift,
		 m->page[at / SZ_4K] & PAGE_COPIED ? "a copy, " : "",
		 md->target->is_dax ? dax_mapped(m->addr + at) : "page cache",
		 got[i] & 255, want[i] & 255);
}

/* Within one page. */
static void page_compare(struct model *md, struct map *m, size_t at, size_t len)
{
	int want = map_signal(m, at, false), sig;
	siginfo_t info = {};
	char buf[SZ_4K];

	sig = dax_guarded_copy(buf, m->addr + at, len, &info);
	/* A page that failed may raise the signal of a memory failure. */
	if (md->target->hwpoison && sig == SIGBUS &&
	    (info.si_code == BUS_MCEERR_AR || info.si_code == BUS_MCEERR_AO)) {
		md->report->poisoned++;
		return;
	}
	if (sig != want)
		diverged(md,
			 "file %u, size %#zx: load at %#zx of map %u (%s): signal %d, not %d",
			 file_nr(md, m->file), m->file->size, m->off + at,
			 map_nr(md, m), map_kinds[m->kind], sig, want);
	if (!sig && memcmp(buf, map_bytes(m, at), len))
		map_differs(md, m, at, buf, len);
}

void map_compare(struct model *md, struct map *m, size_t at, size_t len)
{
	for (size_t n; len; at += n, len -= n) {
		n = in_page(at, len);
		page_compare(md, m, at, n);
	}
}

/* Reads across the size, too: the file ends where the model says. */
void file_compare(struct model *md, struct file *f, size_t off, size_t len)
{
	static __thread char buf[SZ_2M / 8];

	while (len) {
		size_t n = min_size(len, sizeof(buf));
		size_t want = off < f->size ? min_size(n, f->size - off) : 0;
		ssize_t got = pread(f->fd, buf, n, off);

		if (got < 0)
			refused(md, "pread at %#zx: %m", off);
		if ((size_t)got != want)
			diverged(md,
				 "file %u, size %#zx: pread of %zu bytes at %#zx gives %zd",
				 file_nr(md, f), f->size, n, off, got);
		if (memcmp(buf, f->data + off, want)) {
			size_t i = first_difference(buf, f->data + off, want);

			diverged(md,
				 "file %u, size %#zx: byte %#zx read is %#x, not %#x",
				 file_nr(md, f), f->size, off + i, buf[i] & 255,
				 f->data[off + i] & 255);
		}
		off += n;
		len -= n;
	}
}

void files_compare(struct model *md)
{
	struct stat st;

	for (unsigned int i = 0; i < md->profile->files; i++) {
		struct file *f = &md->file[i];

		if (fstat(f->fd, &st) || (size_t)st.st_size != f->size)
			diverged(md, "file %u has %#llx bytes, not %#zx", i,
				 (long long)st.st_size, f->size);
		file_compare(md, f, 0, STRESS_LEN);
	}
}

void maps_compare(struct model *md, bool all)
{
	uint64_t words[STRESS_PAGES];

	if (!all)
		follow_moves(md);
	for (unsigned int i = 0; i < STRESS_MAPS; i++) {
		struct map *m = &md->map[i];

		if (!m->used)
			continue;
		if (!all)
			dax_pagemap(m->addr, words, m->len / SZ_4K);
		for (size_t page = 0; page < m->len / SZ_4K; page++)
			if (all || (words[page] >> 63 &&
				    !(m->page[page] & PAGE_COPIED)))
				map_compare(md, m, page * SZ_4K, SZ_4K);
	}
}

/* The whole model. */

static void open_files(const struct target *target, struct file *files)
{
	for (unsigned int i = 0; i < target->profile->files; i++) {
		const char *name = dax_text("file-%u", i);

		files[i].fd = target_open(target, name, 0);
		files[i].direct = -1;
		if (target->can & NEED_DIRECT)
			files[i].direct = target_open(target, name, O_DIRECT);
	}
}

void model_open(struct model *md)
{
	open_files(md->target, md->file);
}

void model_close(struct model *md)
{
	for (unsigned int i = 0; i < md->profile->files; i++) {
		close(md->file[i].fd);
		if (md->file[i].direct >= 0)
			close(md->file[i].direct);
	}
}

/* They are empty; many workers find them allocated, in full size. */
/*
 * As LMDB, memkind and a JVM begin: a first page or two are written, then the file
 * has its full size, and blocks come by stores to the holes. Its last name may go.
 */
static void begin_heap(struct file *f, size_t len)
{
	dax_fill(f->fd, 0, 2 * SZ_4K, 'h');
	memset(f->data, 'h', 2 * SZ_4K);
	dax_truncate(f->fd, len);
	f->size = len;
	dax_unlink(f->fd);
}

struct file *files_new(const struct target *target)
{
	const struct profile *profile = target->profile;
	struct file *files = dax_shared(STRESS_FILES * sizeof(*files));
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	open_files(target, files);
	for (unsigned int i = 0; i < profile->files; i++) {
		files[i].data = dax_shared(STRESS_LEN);
		dax_truncate(files[i].fd, 0);
		if (profile->heap) {
			begin_heap(&files[i], profile->len);
		} else if (profile_workers(profile) > 1) {
			dax_falloc(files[i].fd, 0, 0, profile->len);
			files[i].size = profile->len;
		}
		for (unsigned int c = 0; c < STRESS_CHUNKS; c++)
			pthread_rwlock_init(&files[i].chunk[c], &attr);
	}
	return files;
}

static void open_outside(struct model *md)
{
	if (!md->target->outside || !alone(md))
		return;
	md->outside_data = aligned_alloc(SZ_4K, STRESS_OUTSIDE);
	md->outside = open(md->target->outside, O_RDWR | O_DIRECT);
	if (md->outside < 0 || !md->outside_data)
		dax_exit_fail("%s: %m", md->target->outside);
	memset(md->outside_data, 0, STRESS_OUTSIDE);
	if (pwrite(md->outside, md->outside_data, STRESS_OUTSIDE, 0) !=
	    STRESS_OUTSIDE)
		dax_exit_fail("write to %s: %m", md->target->outside);
}

/* No mappings. */
struct model *model_new(const struct target *target, struct file *files,
			struct report *report, unsigned int id)
{
	struct model *md = calloc(1, sizeof(*md));
	char *windows;

	if (!md)
		dax_exit_fail("no memory");
	md->target = target;
	md->profile = target->profile;
	md->report = report;
	md->file = files;
	md->id = id;
	md->workers = profile_workers(md->profile);
	md->len = md->profile->len;
	md->min_size = alone(md) ? 0 : md->len / 2 + 16 * SZ_4K;
	windows = dax_anonymous(STRESS_MAPS * 2 * WINDOW_LEN + SZ_2M, PROT_NONE);
	md->windows = (char *)(((uintptr_t)windows + SZ_2M - 1) & -SZ_2M);
	for (unsigned int i = 0; i < STRESS_MAPS; i++)
		md->map[i].copy = dax_anonymous(STRESS_LEN,
						PROT_READ | PROT_WRITE);
	open_outside(md);
	dax_guard(stray_signal);
	model_enter(md);
	return md;
}
