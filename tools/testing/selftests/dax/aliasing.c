// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies whose buffer is a mapping of the same file. Each call ends and leaves
 * the bytes that it leaves with a separate buffer, wherever source and target
 * are: in one page, in one entry, in blocks that another file shares, in a
 * hole.
 *
 * A fault that the copy takes may undo what the copy has prepared, and the copy
 * may undo the fault; they must not repeat this for ever. A test that does not
 * end is killed, and the names of its tasks tell which case it was in.
 */
#include <sys/sendfile.h>

#include "dax_harness.h"

#define LEN		(2 * SZ_2M)

/* The blocks of source and target when the copy begins. */
enum scenery {
	ALL_WRITTEN,
	ALL_SHARED,		/* with another file */
	TO_HOLE,		/* the source is written */
	FROM_HOLE,		/* the target is written */
	TO_UNWRITTEN,
	FROM_UNWRITTEN,
};

struct setting {
	enum scenery scenery;
	size_t shift;		/* off colour gives 4 KiB faults */
};

FIXTURE_VARIANT(dax) {
	struct setting setting;
};

#define BOTH_SIZES(name, scenery)					\
	FIXTURE_VARIANT_ADD(dax, name##_4k) { { scenery, SZ_4K } };	\
	FIXTURE_VARIANT_ADD(dax, name##_2m) { { scenery, 0 } }

BOTH_SIZES(written, ALL_WRITTEN);
BOTH_SIZES(shared, ALL_SHARED);
BOTH_SIZES(to_hole, TO_HOLE);
BOTH_SIZES(from_hole, FROM_HOLE);
BOTH_SIZES(to_unwritten, TO_UNWRITTEN);
BOTH_SIZES(from_unwritten, FROM_UNWRITTEN);

static const struct geometry {
	const char *name;
	size_t from, to, len;
	bool large;		/* takes long: in one view only */
} geometries[] = {
	{ "a page onto itself", 0, 0, SZ_4K },
	{ "half a page to its other half", 0, SZ_4K / 2, SZ_4K / 2 },
	{ "a page to the next one", 0, SZ_4K, SZ_4K },
	{ "a page to the one before", 4 * SZ_4K, 3 * SZ_4K, SZ_4K },
	{ "odd bytes, 1 MiB further", 77, SZ_1M + 4099, 3 * SZ_4K + 1 },
	{ "64 KiB, 1 MiB back", SZ_1M, 0, 16 * SZ_4K },
	{ "a target that overlaps by 37 bytes", 0, 3 * SZ_4K - 37, 3 * SZ_4K },
	{ "a source that overlaps by 37 bytes", 3 * SZ_4K - 37, 0, 3 * SZ_4K },
	{ "2 MiB to the next 2 MiB", 0, SZ_2M, SZ_2M, true },
	{ "the whole file onto itself", 0, 0, LEN, true },
};

static const struct view {
	const char *name;
	int flags;
	bool touched;
} views[] = {
	{ "touched", MAP_SHARED, true },
	{ "not touched", MAP_SHARED, false },
	{ "private", MAP_PRIVATE, false },
};

struct scene {
	int fd, other;		/* @other has the same blocks, if they are shared */
	int direct;		/* the same file, O_DIRECT */
	int pipe[2];
	char *map;
	char *model;		/* what the file holds before the copy */
};

/* In groups of one direction, each of which is a test. */
enum call {
	WRITE,
	PWRITE,
	DIRECT_WRITE,
	WRITEV,
	PWRITEV,
	PWRITEV2,
	VMSPLICE,
	READ,
	PREAD,
	DIRECT_READ,
	READV,
	PREADV,
	SPLICE_READ,
	VM_READ,
	VM_WRITE,
	VMSPLICE_READ,
	SPLICE,
	SENDFILE,
	COPY_RANGE,
	NR_CALLS,
};

static const char *const call_names[] = {
	[WRITE]		= "write",
	[PWRITE]	= "pwrite",
	[DIRECT_WRITE]	= "pwrite, O_DIRECT",
	[WRITEV]	= "writev",
	[PWRITEV]	= "pwritev",
	[PWRITEV2]	= "pwritev2, RWF_NOWAIT first",
	[VMSPLICE]	= "vmsplice and splice",
	[READ]		= "read",
	[PREAD]		= "pread",
	[DIRECT_READ]	= "pread, O_DIRECT",
	[READV]		= "readv",
	[PREADV]	= "preadv",
	[SPLICE_READ]	= "splice and read",
	[VM_READ]	= "process_vm_readv",
	[VM_WRITE]	= "process_vm_writev",
	[VMSPLICE_READ]	= "vmsplice and read",
	[SPLICE]	= "splice",
	[SENDFILE]	= "sendfile",
	[COPY_RANGE]	= "copy_file_range",
};

/* The target is the mapping, not the file. */
static bool to_map(enum call call)
{
	return call >= READ && call <= VMSPLICE_READ;
}

static char pattern[LEN];

/* Three pieces, none of whose borders is a page's. */
static void split(struct iovec iov[3], char *p, size_t len)
{
	size_t piece = len / 3;

	iov[0] = (struct iovec){ p, piece };
	iov[1] = (struct iovec){ p + piece, piece };
	iov[2] = (struct iovec){ p + 2 * piece, len - 2 * piece };
}

/* The first call may not wait; the second one writes the rest. */
static ssize_t write_nowait(const struct scene *s, const struct geometry *g)
{
	struct iovec iov = { s->map + g->from, g->len };
	ssize_t n = pwritev2(s->direct, &iov, 1, g->to, RWF_NOWAIT), more;

	if (n < 0 && errno != EAGAIN)
		return n;
	if (n < 0)
		n = 0;
	more = pwrite(s->fd, s->map + g->from + n, g->len - n, g->to + n);
	return more < 0 ? more : n + more;
}

/* These two copy what they like of it. */
static ssize_t copy_once(const struct scene *s, const struct geometry *g,
			 enum call call, size_t done)
{
	off_t from = g->from + done, to = g->to + done;

	if (call == COPY_RANGE)
		return copy_file_range(s->fd, &from, s->fd, &to, g->len - done, 0);
	lseek(s->direct, to, SEEK_SET);
	return sendfile(s->direct, s->fd, &from, g->len - done);
}

static ssize_t copy_all(const struct scene *s, const struct geometry *g,
			enum call call)
{
	size_t done = 0;

	while (done < g->len) {
		ssize_t n = copy_once(s, g, call, done);

		if (n <= 0)
			return n;
		done += n;
	}
	return done;
}

/* A pipe between: what goes in is data of the file, or pages of the mapping. */
static ssize_t fill_pipe(const struct scene *s, off_t from, size_t len, bool map)
{
	struct iovec iov = { s->map + from, len };

	return map ? vmsplice(s->pipe[1], &iov, 1, 0) :
		     splice(s->fd, &from, s->pipe[1], NULL, len, 0);
}

static ssize_t drain_pipe(const struct scene *s, off_t to, size_t len, bool map)
{
	return map ? read(s->pipe[0], s->map + to, len) :
		     splice(s->pipe[0], NULL, s->fd, &to, len, 0);
}

static ssize_t pump(const struct scene *s, const struct geometry *g,
		    bool from_map, bool into_map)
{
	size_t room = 15 * SZ_4K;	/* 16 pages, if the first is not whole */
	size_t done = 0;

	while (done < g->len) {
		size_t len = g->len - done < room ? g->len - done : room;
		ssize_t filled = fill_pipe(s, g->from + done, len, from_map), n;

		if (filled <= 0)
			return filled;
		for (; filled; filled -= n, done += n) {
			n = drain_pipe(s, g->to + done, filled, into_map);
			if (n <= 0)
				return n;
		}
	}
	return done;
}

static ssize_t transfer(const struct scene *s, const struct geometry *g,
			enum call call)
{
	char *from = s->map + g->from, *to = s->map + g->to;
	struct iovec in = { from, g->len }, out = { to, g->len }, pieces[3];

	split(pieces, to_map(call) ? to : from, g->len);
	lseek(s->fd, to_map(call) ? g->from : g->to, SEEK_SET);
	switch (call) {
	case WRITE:
		return write(s->fd, from, g->len);
	case PWRITE:
		return pwrite(s->fd, from, g->len, g->to);
	case DIRECT_WRITE:
		return pwrite(s->direct, from, g->len, g->to);
	case WRITEV:
		return writev(s->fd, pieces, 3);
	case PWRITEV:
		return pwritev(s->fd, pieces, 3, g->to);
	case PWRITEV2:
		return write_nowait(s, g);
	case VMSPLICE:
		return pump(s, g, true, false);
	case READ:
		return read(s->fd, to, g->len);
	case PREAD:
		return pread(s->fd, to, g->len, g->from);
	case DIRECT_READ:
		return pread(s->direct, to, g->len, g->from);
	case READV:
		return readv(s->fd, pieces, 3);
	case PREADV:
		return preadv(s->fd, pieces, 3, g->from);
	case SPLICE_READ:
		return pump(s, g, false, true);
	case VM_READ:
		return process_vm_readv(getpid(), &out, 1, &in, 1, 0);
	case VM_WRITE:
		return process_vm_writev(getpid(), &in, 1, &out, 1, 0);
	case VMSPLICE_READ:
		return pump(s, g, true, true);
	case SPLICE:
		return pump(s, g, false, false);
	case SENDFILE:
	default:
		return copy_all(s, g, call);
	}
}

/* Copies, and returns NULL or what went wrong. */
static const char *run(const struct scene *s, const struct geometry *g,
		       enum call call)
{
	ssize_t n = transfer(s, g, call);

	if (n == (ssize_t)g->len)
		return NULL;
	return dax_text("returns %zd for %zu bytes: %s", n, g->len,
			n < 0 ? strerror(errno) : "too few");
}

static void make_pattern(void)
{
	uint64_t x = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < LEN; i += sizeof(x)) {
		uint64_t bytes = x | 0x0101010101010101;

		memcpy(pattern + i, &bytes, sizeof(bytes));
		x = x * 0xd1342543de82ef95 + 0x2545f4914f6cdd1d;
	}
}

static void write_pattern(int fd, size_t off, size_t len)
{
	if (pwrite(fd, pattern + off, len, off) != (ssize_t)len)
		dax_exit_fail("pwrite: %m");
}

static void scene_open(struct scene *s, enum scenery scenery)
{
	char path[PATH_MAX];

	s->model = malloc(LEN);
	if (!s->model || pipe(s->pipe))
		dax_exit_fail("no memory, or no pipe");
	memcpy(s->model, pattern, LEN);
	s->other = dax_file(LEN, PREALLOC);
	write_pattern(s->other, 0, LEN);
	s->fd = scenery == ALL_SHARED ? dax_create("alias") : s->other;
	dax_name(s->fd, path, sizeof(path));
	s->direct = open(path, O_RDWR | O_DIRECT);
	if (s->direct < 0)
		dax_exit_fail("%s, O_DIRECT: %m", path);
}

/* Where only one of the two ranges is written, the other has what both have. */
static void fill_range(const struct scene *s, size_t off, size_t len,
		       size_t hole, size_t hole_len)
{
	for (size_t i = off & -SZ_4K; i < off + len; i += SZ_4K) {
		if (i < hole + hole_len && hole < i + SZ_4K)
			continue;
		write_pattern(s->fd, i, SZ_4K);
		memcpy(s->model + i, pattern + i, SZ_4K);
	}
}

/* As it was before the first case; @last is what the last case has changed. */
static void scene_reset(const struct scene *s, enum scenery below,
			const struct geometry *last, const struct geometry *g)
{
	if (below == ALL_SHARED) {
		if (ioctl(s->fd, FICLONE, s->other))
			dax_exit_fail("FICLONE: %m");
		return;
	}
	if (below == ALL_WRITTEN) {
		write_pattern(s->fd, last->to, last->len);
		return;
	}
	memset(s->model, 0, LEN);
	dax_punch_hole(s->fd, 0, LEN);
	if (below == TO_UNWRITTEN || below == FROM_UNWRITTEN)
		dax_falloc(s->fd, 0, 0, LEN);
	if (below == TO_HOLE || below == TO_UNWRITTEN)
		fill_range(s, g->from, g->len, g->to, g->len);
	else
		fill_range(s, g->to, g->len, g->from, g->len);
}

static void touch(char *p, size_t len)
{
	dax_touch_each(p, len, SZ_4K, false);
	dax_peek(p + len - 1);
}

/*
 * Is @byte what byte @at of the file may be? Where the source overlaps the
 * target, it is open which of the two is copied first, and with it whether a
 * byte that was copied is copied again.
 */
static bool may_be(const struct scene *s, const struct geometry *g, size_t at,
		   char byte)
{
	while (at - g->to < g->len) {
		at += g->from - g->to;
		if (byte == s->model[at])
			return true;
		if (g->from == g->to)
			return false;
	}
	return byte == s->model[at];
}

/* Two pages around a range. */
static size_t begin(size_t off)
{
	return off < 2 * SZ_4K ? 0 : off - 2 * SZ_4K;
}

static size_t end(size_t off)
{
	return off + 2 * SZ_4K > LEN ? LEN : off + 2 * SZ_4K;
}

/* Is the page at @i outside of the target, and what it was? */
static bool page_is_kept(const struct scene *s, const struct geometry *g,
			 const char *got, size_t i)
{
	return i % SZ_4K == 0 && i + SZ_4K <= LEN &&
	       (i + SZ_4K <= g->to || g->to + g->len <= i) &&
	       !memcmp(got + i, s->model + i, SZ_4K);
}

/* Compares the @g->len bytes at @off, and those around them. */
static const char *compare(const struct scene *s, const struct geometry *g,
			   const char *who, const char *got, size_t off)
{
	for (size_t i = begin(off); i < end(off + g->len); i++) {
		if (i == g->to && !memcmp(got + i, s->model + g->from, g->len))
			i += g->len - 1;
		else if (page_is_kept(s, g, got, i))
			i += SZ_4K - 1;
		else if (!may_be(s, g, i, got[i]))
			return dax_text("%s: byte %#zx, %s the target, is %#x",
					who, i,
					i - g->to < g->len ? "in" : "beside",
					got[i] & 255);
	}
	return NULL;
}

static const char *compare_both(const struct scene *s, const struct geometry *g,
				const char *who, const char *got)
{
	return compare(s, g, who, got, g->to) ?:
	       compare(s, g, who, got, g->from);
}

static const char *same(const char *who, int fd, size_t off, size_t len,
			const char *model)
{
	return dax_file_is(fd, off, model + off, len) ?
	       NULL : dax_text("%s has changed", who);
}

static const char *check_file(const struct scene *s, const struct geometry *g)
{
	size_t from = begin(g->from < g->to ? g->from : g->to);
	size_t to = end((g->from < g->to ? g->to : g->from) + g->len);
	static char buf[LEN];

	dax_read(s->fd, from, buf + from, to - from);
	return compare_both(s, g, "the file", buf);
}

/* @kept: the target is a private mapping. */
static const char *check(const struct scene *s, const struct geometry *g,
			 bool kept)
{
	const char *why = compare_both(s, g, "the mapping", s->map);

	if (!why)
		why = kept ? same("the file", s->fd, g->to, g->len, s->model) :
			     check_file(s, g);
	if (!why && s->other != s->fd)
		why = same("the file that shares its blocks", s->other, g->to,
			   g->len, pattern);
	return why;
}

#define OF_ONE_CALL	(ARRAY_LEN(geometries) * ARRAY_LEN(views))

/*
 * With fewer rounds, each setting has a part of the cases, and another part than
 * the setting before it. With 30 percent of the rounds, each call still meets
 * each geometry, each view and each setting. Shared blocks have more cases than
 * the others. Large copies are left to huge pages: with small pages, such a copy
 * takes a thousand faults.
 */
static bool not_this_round(const struct setting *setting, enum call call,
			   unsigned int nr)
{
	unsigned int stride = 100 / dax_scale(100);
	unsigned int part = call + nr + setting->scenery * 2 + !setting->shift;
	bool shared = setting->scenery == ALL_SHARED;

	if (stride == 1)
		return false;
	if (geometries[nr / ARRAY_LEN(views)].large)
		return setting->shift ||
		       (!shared && (call + nr / ARRAY_LEN(views) +
				    setting->scenery) % stride);
	return part % (stride * (shared ? 2 : 4));
}

/* copy_file_range() refuses ranges that overlap, as its manual says. */
static bool left_out(enum call call, const struct geometry *g,
		     const struct view *view)
{
	if (call == COPY_RANGE)
		return g->from < g->to + g->len && g->to < g->from + g->len;
	return g->large && view != views;
}

/* Of whole pages copy_file_range() makes shared ones, and none is huge any more. */
static const char *touch_both(const struct setting *setting, enum call call,
			      const struct scene *s, const struct geometry *g)
{
	const char *mapped;

	touch(s->map + g->from, g->len);
	touch(s->map + g->to, g->len);
	mapped = dax_mapped(s->map + g->from);
	if (setting->scenery > ALL_SHARED || call == COPY_RANGE ||
	    !strcmp(setting->shift ? "4K" : "2M", mapped))
		return NULL;
	return dax_text("the source is mapped by %s", mapped);
}

static const char *one_case(const struct setting *setting, enum call call,
			    struct scene *s, const struct geometry *g,
			    const struct view *view)
{
	const char *why = NULL;

	s->map = dax_mmap(s->fd, 0, LEN, PROT_READ | PROT_WRITE, view->flags,
			  setting->shift);
	if (view->touched)
		why = touch_both(setting, call, s, g);
	why = why ?: run(s, g, call) ?:
	      check(s, g, to_map(call) && view->flags == MAP_PRIVATE);
	dax_unmap(s->map, LEN);
	return why;
}

static void name_task(unsigned int call, unsigned int nr)
{
	pthread_setname_np(pthread_self(), dax_text("case %u-%u", call, nr));
}

/* Calls of the same direction, with all geometries in all views. */
static void all_cases(const struct setting *setting, enum call first,
		      enum call last)
{
	const struct geometry *before = geometries;
	struct scene s;

	if (setting->scenery == ALL_SHARED)
		NEED_XFS();
	make_pattern();
	scene_open(&s, setting->scenery);
	for (unsigned int i = first * OF_ONE_CALL; i < (last + 1) * OF_ONE_CALL; i++) {
		unsigned int nr = i % OF_ONE_CALL;
		const struct geometry *g = &geometries[nr / ARRAY_LEN(views)];
		const struct view *view = &views[nr % ARRAY_LEN(views)];
		enum call call = i / OF_ONE_CALL;
		const char *why;

		if (left_out(call, g, view) || not_this_round(setting, call, nr))
			continue;
		name_task(call, nr);
		scene_reset(&s, setting->scenery, before, g);
		before = g;
		why = one_case(setting, call, &s, g, view);
		/* Pages may be left in the pipe: a new file has none there. */
		EXPECT_EQ(NULL, why) {
			TH_LOG("%s, %s, %s: %s", call_names[call], g->name,
			       view->name, why);
			scene_open(&s, setting->scenery);
		}
	}
}

TEST_F(dax, from_mapping_to_file)
	DAX_CALL(all_cases(&variant->setting, WRITE, VMSPLICE))
TEST_F(dax, from_file_to_mapping)
	DAX_CALL(all_cases(&variant->setting, READ, SPLICE_READ))
TEST_F(dax, from_mapping_to_mapping)
	DAX_CALL(all_cases(&variant->setting, VM_READ, VMSPLICE_READ))

/* The mapping looks on. */
TEST_F(dax, from_file_to_file)
	DAX_CALL(all_cases(&variant->setting, SPLICE, SENDFILE))
TEST_F(dax, copy_file_range)
	DAX_CALL(all_cases(&variant->setting, COPY_RANGE, COPY_RANGE))

/*
 * Others zero, unshare, share, sync or unmap what is copied, or what is beside it
 * in the same entry, while a thread copies.
 */
#define BESIDE	(SZ_2M + SZ_1M)	/* not in one entry with what is copied */

static void sync_all(const struct scene *s)
{
	dax_msync(s->map, LEN);
}

static void zap_all(const struct scene *s)
{
	dax_zap(s->map, LEN);
}

static void share_beside(const struct scene *s)
{
	int fd = dax_create("beside");

	dax_share_page(s->fd, BESIDE, fd);
	close(fd);
}

/*
 * In this order: the last ones break up the file. A mode is one of fallocate().
 *
 * Unsharing and sharing are not where the copy is: they wait for pages in a
 * pipe, and the task that empties the pipe into the file waits for them. A
 * signal ends that.
 */
static const struct other {
	const char *name;
	void (*run)(const struct scene *s);
	int mode;
	bool zeroes, reflink;
} others[] = {
	{ "msync", sync_all },
	{ "unmap", zap_all },
	{ "unshare", .mode = FALLOC_FL_UNSHARE_RANGE, .reflink = true },
	{ "zero a page", .mode = FALLOC_FL_ZERO_RANGE, .zeroes = true },
	{ "punch a page", .mode = PUNCH_HOLE, .zeroes = true },
	{ "share", share_beside, .reflink = true },
};

static struct {
	const struct scene *scene;
	const struct other *other;
} beside;

static void beside_run(unsigned long nr)
{
	if (beside.other->mode)
		dax_falloc(beside.scene->fd, beside.other->mode, BESIDE, SZ_4K);
	else
		beside.other->run(beside.scene);
	sched_yield();
}

static const char *copy_beside(const struct setting *setting, struct scene *s,
			       const struct other *other)
{
	static const struct geometry g = { "", 0, SZ_1M, 16 * SZ_4K };
	static const struct geometry all = { "", 0, 0, LEN };
	const char *why = NULL;

	memcpy(s->model, pattern, LEN);
	scene_reset(s, setting->scenery, &all, &g);
	s->map = dax_map_shift(s->fd, LEN, setting->shift);
	beside.scene = s;
	beside.other = other;
	dax_background(beside_run);
	/* The data stay the same, however often they are copied. */
	for (unsigned int i = dax_scale(30); i && !why; i--)
		why = run(s, &g, PWRITE) ?: run(s, &g, PREAD) ?:
		      run(s, &g, VMSPLICE);
	dax_background_stop();
	if (other->zeroes)
		memset(s->model + BESIDE, 0, SZ_4K);
	why = why ?: check(s, &g, false) ?:
	      same("a page beside", s->fd, BESIDE, SZ_4K, s->model);
	dax_unmap(s->map, LEN);
	return why;
}

TEST_F(dax, beside_others)
{
	struct scene s;

	if (variant->setting.scenery == ALL_SHARED)
		NEED_XFS();
	make_pattern();
	scene_open(&s, variant->setting.scenery);
	for (unsigned int i = 0; i < ARRAY_LEN(others); i++) {
		const char *why;

		if (others[i].reflink && !dax_is_xfs())
			continue;
		name_task(NR_CALLS, i);
		why = copy_beside(&variant->setting, &s, &others[i]);
		EXPECT_EQ(NULL, why) {
			TH_LOG("beside %s: %s", others[i].name, why);
			scene_open(&s, variant->setting.scenery);
		}
	}
}

TEST_HARNESS_MAIN
