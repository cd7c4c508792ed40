// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies whose buffer is a mapping of the same file. Each call ends and leaves
 * the bytes that it leaves with a separate buffer, wherever source and target
 * are: in one page, in one entry, in blocks that another file shares, in a
 * hole.
 *
 * A fault that the copy takes may undo what the copy has prepared, and the copy
 * may undo the fault; they must not repeat this for ever. The cases run in a
 * child process. The parent polls it and kills it when it has not reached the
 * next case after a number of polls. This is no time limit, so a machine that
 * is suspended does not count as a hang. A case that is killed has failed, and
 * the cases after it still run.
 */
#include <linux/fs.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "dax_harness.h"

#define LEN		(2 * SZ_2M)
#define HANG_LOOKS	6000	/* with 10 ms from one to the next, at least */

/* What is below source and target when the copy begins. */
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
	const char *mapped;
};

FIXTURE_VARIANT(dax) {
	struct setting setting;
};

FIXTURE_VARIANT_ADD(dax, written_4k) { { ALL_WRITTEN, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, written_2m) { { ALL_WRITTEN, 0, "2M" } };
FIXTURE_VARIANT_ADD(dax, shared_4k) { { ALL_SHARED, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, shared_2m) { { ALL_SHARED, 0, "2M" } };
FIXTURE_VARIANT_ADD(dax, to_hole_4k) { { TO_HOLE, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, to_hole_2m) { { TO_HOLE, 0, "2M" } };
FIXTURE_VARIANT_ADD(dax, from_hole_4k) { { FROM_HOLE, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, from_hole_2m) { { FROM_HOLE, 0, "2M" } };
FIXTURE_VARIANT_ADD(dax, to_unwritten_4k) { { TO_UNWRITTEN, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, to_unwritten_2m) { { TO_UNWRITTEN, 0, "2M" } };
FIXTURE_VARIANT_ADD(dax, from_unwritten_4k) { { FROM_UNWRITTEN, SZ_4K, "4K" } };
FIXTURE_VARIANT_ADD(dax, from_unwritten_2m) { { FROM_UNWRITTEN, 0, "2M" } };

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

/* @run copies, and returns NULL or what went wrong. */
struct call {
	const char *name;
	const char *(*run)(const struct scene *s, const struct geometry *g);
};

static char pattern[LEN];

static const char *complain(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static const char *complain(const char *fmt, ...)
{
	static char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return text;
}

static const char *whole(ssize_t n, size_t len)
{
	if (n == (ssize_t)len)
		return NULL;
	return complain("returns %zd for %zu bytes: %s", n, len,
			n < 0 ? strerror(errno) : "too few");
}

/* The calls. */

static const char *run_write(const struct scene *s, const struct geometry *g)
{
	lseek(s->fd, g->to, SEEK_SET);
	return whole(write(s->fd, s->map + g->from, g->len), g->len);
}

static const char *run_pwrite(const struct scene *s, const struct geometry *g)
{
	return whole(pwrite(s->fd, s->map + g->from, g->len, g->to), g->len);
}

static const char *run_direct_write(const struct scene *s,
				    const struct geometry *g)
{
	return whole(pwrite(s->direct, s->map + g->from, g->len, g->to),
		     g->len);
}

/* Three pieces, none of whose borders is a page's. */
static void split(struct iovec iov[3], char *p, size_t len)
{
	size_t piece = len / 3;

	iov[0] = (struct iovec){ p, piece };
	iov[1] = (struct iovec){ p + piece, piece };
	iov[2] = (struct iovec){ p + 2 * piece, len - 2 * piece };
}

static const char *run_writev(const struct scene *s, const struct geometry *g)
{
	struct iovec iov[3];

	split(iov, s->map + g->from, g->len);
	lseek(s->fd, g->to, SEEK_SET);
	return whole(writev(s->fd, iov, 3), g->len);
}

static const char *run_pwritev(const struct scene *s, const struct geometry *g)
{
	struct iovec iov[3];

	split(iov, s->map + g->from, g->len);
	return whole(pwritev(s->fd, iov, 3, g->to), g->len);
}

/* What the first call, which may not wait, leaves is the second one's. */
static const char *run_pwritev2(const struct scene *s, const struct geometry *g)
{
	struct iovec iov = { s->map + g->from, g->len };
	ssize_t n = pwritev2(s->direct, &iov, 1, g->to, RWF_NOWAIT);

	if (n < 0 && errno != EAGAIN)
		return complain("RWF_NOWAIT: %s", strerror(errno));
	if (n < 0)
		n = 0;
	return whole(pwrite(s->fd, s->map + g->from + n, g->len - n, g->to + n),
		     g->len - n);
}

static const char *run_read(const struct scene *s, const struct geometry *g)
{
	lseek(s->fd, g->from, SEEK_SET);
	return whole(read(s->fd, s->map + g->to, g->len), g->len);
}

static const char *run_pread(const struct scene *s, const struct geometry *g)
{
	return whole(pread(s->fd, s->map + g->to, g->len, g->from), g->len);
}

static const char *run_direct_read(const struct scene *s,
				   const struct geometry *g)
{
	return whole(pread(s->direct, s->map + g->to, g->len, g->from), g->len);
}

static const char *run_readv(const struct scene *s, const struct geometry *g)
{
	struct iovec iov[3];

	split(iov, s->map + g->to, g->len);
	lseek(s->fd, g->from, SEEK_SET);
	return whole(readv(s->fd, iov, 3), g->len);
}

static const char *run_preadv(const struct scene *s, const struct geometry *g)
{
	struct iovec iov[3];

	split(iov, s->map + g->to, g->len);
	return whole(preadv(s->fd, iov, 3, g->from), g->len);
}

static const char *run_vm_read(const struct scene *s, const struct geometry *g)
{
	struct iovec here = { s->map + g->to, g->len };
	struct iovec there = { s->map + g->from, g->len };

	return whole(process_vm_readv(getpid(), &here, 1, &there, 1, 0),
		     g->len);
}

static const char *run_vm_write(const struct scene *s, const struct geometry *g)
{
	struct iovec here = { s->map + g->from, g->len };
	struct iovec there = { s->map + g->to, g->len };

	return whole(process_vm_writev(getpid(), &here, 1, &there, 1, 0),
		     g->len);
}

static const char *run_copy(const struct scene *s, const struct geometry *g)
{
	off_t from = g->from, to = g->to;
	size_t left = g->len;

	/* It refuses what overlaps, as its manual says. */
	while (left) {
		ssize_t n = copy_file_range(s->fd, &from, s->fd, &to, left, 0);

		if (n <= 0)
			return whole(n, left);
		left -= n;
	}
	return NULL;
}

static const char *run_sendfile(const struct scene *s, const struct geometry *g)
{
	off_t from = g->from;
	size_t left = g->len;

	lseek(s->direct, g->to, SEEK_SET);
	while (left) {
		ssize_t n = sendfile(s->direct, s->fd, &from, left);

		if (n <= 0)
			return whole(n, left);
		left -= n;
	}
	return NULL;
}

/* A pipe between: what goes in is data of the file, or pages of the mapping. */

static ssize_t file_to_pipe(const struct scene *s, size_t from, size_t len)
{
	off_t off = from;

	return splice(s->fd, &off, s->pipe[1], NULL, len, 0);
}

static ssize_t map_to_pipe(const struct scene *s, size_t from, size_t len)
{
	struct iovec iov = { s->map + from, len };

	return vmsplice(s->pipe[1], &iov, 1, 0);
}

static ssize_t pipe_to_file(const struct scene *s, size_t to, size_t len)
{
	off_t off = to;

	return splice(s->pipe[0], NULL, s->fd, &off, len, 0);
}

static ssize_t pipe_to_map(const struct scene *s, size_t to, size_t len)
{
	return read(s->pipe[0], s->map + to, len);
}

typedef ssize_t (*pipe_end)(const struct scene *s, size_t at, size_t len);

static const char *pump(const struct scene *s, const struct geometry *g,
			pipe_end in, pipe_end out)
{
	size_t room = 15 * SZ_4K;	/* 16 pages, if the first is not whole */
	size_t done = 0;

	while (done < g->len) {
		size_t len = g->len - done < room ? g->len - done : room;
		ssize_t filled = in(s, g->from + done, len), n;

		if (filled <= 0)
			return whole(filled, len);
		for (; filled; filled -= n, done += n) {
			n = out(s, g->to + done, filled);
			if (n <= 0)
				return whole(n, filled);
		}
	}
	return NULL;
}

static const char *run_splice(const struct scene *s, const struct geometry *g)
{
	return pump(s, g, file_to_pipe, pipe_to_file);
}

static const char *run_splice_read(const struct scene *s,
				   const struct geometry *g)
{
	return pump(s, g, file_to_pipe, pipe_to_map);
}

static const char *run_vmsplice(const struct scene *s, const struct geometry *g)
{
	return pump(s, g, map_to_pipe, pipe_to_file);
}

static const char *run_vmsplice_read(const struct scene *s,
				     const struct geometry *g)
{
	return pump(s, g, map_to_pipe, pipe_to_map);
}

/* The scene. */

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
		dax_exit_fail("pwrite: %s", strerror(errno));
}

static void scene_open(struct scene *s, enum scenery scenery)
{
	char path[PATH_MAX];

	s->model = malloc(LEN);
	if (!s->model || pipe(s->pipe))
		dax_exit_fail("no memory, or no pipe");
	memcpy(s->model, pattern, LEN);
	s->other = dax_file(LEN, WRITTEN);
	write_pattern(s->other, 0, LEN);
	s->fd = scenery == ALL_SHARED ? dax_create("alias") : s->other;
	dax_name(s->fd, path, sizeof(path));
	s->direct = open(path, O_RDWR | O_DIRECT);
	if (s->direct < 0)
		dax_exit_fail("%s, O_DIRECT: %s", path, strerror(errno));
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
			dax_exit_fail("FICLONE: %s", strerror(errno));
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

static void touch(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i += SZ_4K)
		dax_peek(p + i);
	dax_peek(p + len - 1);
}

/*
 * Is @byte what byte @i of the target may be? Where the source overlaps the
 * target, it is open which of the two is copied first, and with it whether a
 * byte that was copied is copied again.
 */
static bool may_be(const struct scene *s, const struct geometry *g, size_t i,
		   char byte)
{
	size_t at = g->from + i;

	for (;;) {
		if (byte == s->model[at])
			return true;
		if (g->from == g->to || at - g->to >= g->len)
			return false;
		at += g->from - g->to;
	}
}

/* The parts of [@from, @to) that are not in the target. */
static const char *beside(const struct scene *s, const struct geometry *g,
			  const char *who, const char *got, size_t from,
			  size_t to)
{
	for (size_t i = from; i < to; i++)
		if (i - g->to >= g->len && got[i] != s->model[i])
			return complain("%s: byte %#zx, beside the target, is %#x, not %#x",
					who, i, got[i] & 255,
					s->model[i] & 255);
	return NULL;
}

static const char *target(const struct scene *s, const struct geometry *g,
			  const char *who, const char *got)
{
	if (!memcmp(got + g->to, s->model + g->from, g->len))
		return NULL;
	for (size_t i = 0; i < g->len; i++)
		if (!may_be(s, g, i, got[g->to + i]))
			return complain("%s: byte %#zx is %#x, not %#x", who,
					g->to + i, got[g->to + i] & 255,
					s->model[g->from + i] & 255);
	return NULL;
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

/* What is seen of source and target, and around them. */
static const char *compare(const struct scene *s, const struct geometry *g,
			   const char *who, const char *got)
{
	const char *why = target(s, g, who, got);

	if (!why)
		why = beside(s, g, who, got, begin(g->to), g->to);
	if (!why)
		why = beside(s, g, who, got, g->to + g->len,
			     end(g->to + g->len));
	if (!why && g->from != g->to)
		why = beside(s, g, who, got, begin(g->from),
			     end(g->from + g->len));
	return why;
}

static const char *same(const char *who, int fd, size_t off, size_t len,
			const char *model)
{
	static char buf[LEN];

	dax_read(fd, off, buf, len);
	return memcmp(buf, model + off, len) ?
	       complain("%s has changed", who) : NULL;
}

static const char *check_file(const struct scene *s, const struct geometry *g)
{
	size_t from = begin(g->from < g->to ? g->from : g->to);
	size_t to = end((g->from < g->to ? g->to : g->from) + g->len);
	static char buf[LEN];

	dax_read(s->fd, from, buf + from, to - from);
	return compare(s, g, "the file", buf);
}

/* @kept: the target is a private mapping. */
static const char *check(const struct scene *s, const struct geometry *g,
			 bool kept)
{
	const char *why = compare(s, g, "the mapping", s->map);

	if (!why)
		why = kept ? same("the file", s->fd, g->to, g->len, s->model) :
			     check_file(s, g);
	if (!why && s->other != s->fd)
		why = same("the file that shares its blocks", s->other, g->to,
			   g->len, pattern);
	return why;
}

/* Tests. */

/* What a child tells its parent. */
struct progress {
	unsigned int next;	/* the case that begins next */
	char text[300];		/* what was wrong in the last one */
};

/* Calls of the same direction, with all geometries in all views. */
struct cases {
	const struct setting *setting;
	const struct call *calls;
	unsigned int nr;
	bool to_map;		/* the target is the mapping, not the file */
	struct progress *progress;
};

#define OF_ONE_CALL	(ARRAY_LEN(geometries) * ARRAY_LEN(views))

static const struct call *case_call(const struct cases *cases, unsigned int nr)
{
	return &cases->calls[nr / OF_ONE_CALL];
}

static const struct geometry *case_geometry(unsigned int nr)
{
	return &geometries[nr % OF_ONE_CALL / ARRAY_LEN(views)];
}

static const struct view *case_view(unsigned int nr)
{
	return &views[nr % ARRAY_LEN(views)];
}

/*
 * With fewer rounds, each scenery has a part of the cases, and another part than
 * the scenery before it. Shared blocks have twice as many as the others. Large
 * copies are left to huge pages: with small pages, such a copy takes a thousand
 * faults.
 */
static bool not_this_round(const struct cases *cases, unsigned int nr)
{
	unsigned int stride = 100 / dax_scale(100);

	if (stride == 1)
		return false;
	if (case_geometry(nr)->large)
		return cases->setting->shift;
	if (cases->setting->scenery != ALL_SHARED)
		stride *= 2;
	return (nr + nr / ARRAY_LEN(views) + cases->setting->scenery) % stride;
}

/* copy_file_range() refuses ranges that overlap, as its manual says. */
static bool left_out(const struct cases *cases, unsigned int nr)
{
	const struct geometry *g = case_geometry(nr);

	if (case_call(cases, nr)->run == run_copy)
		return g->from < g->to + g->len && g->to < g->from + g->len;
	return g->large && case_view(nr) != views;
}

static const char *touch_both(const struct cases *cases, const struct scene *s,
			      const struct geometry *g)
{
	touch(s->map + g->from, g->len);
	touch(s->map + g->to, g->len);
	if ((cases->setting->scenery != ALL_WRITTEN && cases->setting->scenery != ALL_SHARED) ||
	    cases->calls->run == run_copy)
		return NULL;
	if (!strcmp(cases->setting->mapped, dax_mapped(s->map + g->from)))
		return NULL;
	return complain("the source is mapped by %s",
			dax_mapped(s->map + g->from));
}

static const char *one_case(const struct cases *cases, struct scene *s,
			    unsigned int nr)
{
	const struct geometry *g = case_geometry(nr);
	const struct view *view = case_view(nr);
	const char *why = NULL;

	s->map = dax_mmap(s->fd, 0, LEN, PROT_READ | PROT_WRITE, view->flags,
			  cases->setting->shift);
	if (view->touched)
		why = touch_both(cases, s, g);
	if (!why)
		why = case_call(cases, nr)->run(s, g);
	if (!why)
		why = check(s, g, cases->to_map && view->flags == MAP_PRIVATE);
	dax_unmap(s->map, LEN);
	return why;
}

static int run_cases(const struct cases *cases)
{
	const struct geometry none = {}, *last = &none;
	struct progress *progress = cases->progress;
	const char *why;
	struct scene s;

	make_pattern();
	scene_open(&s, cases->setting->scenery);
	while (progress->next < cases->nr * OF_ONE_CALL) {
		unsigned int nr = progress->next++;

		if (left_out(cases, nr) || not_this_round(cases, nr))
			continue;
		scene_reset(&s, cases->setting->scenery, last, case_geometry(nr));
		why = one_case(cases, &s, nr);
		if (why) {
			snprintf(progress->text, sizeof(progress->text), "%s",
				 why);
			return 1;
		}
		last = case_geometry(nr);
	}
	return 0;
}

#define NO_END	0x10000		/* no status that waitpid() knows */

static bool ends_in(pid_t pid, const struct progress *progress, int *status)
{
	unsigned int seen = progress->next, looks = 0;

	while (looks++ < HANG_LOOKS) {
		if (waitpid(pid, status, WNOHANG))
			return true;
		usleep(10000);
		if (progress->next != seen)
			looks = 0;
		seen = progress->next;
	}
	return false;
}

/* How the child ended. What SIGKILL does not end looks for no signal. */
static int join(pid_t pid, const struct progress *progress)
{
	int status;

	if (ends_in(pid, progress, &status))
		return status;
	kill(pid, SIGKILL);
	return ends_in(pid, progress, &status) ? status : NO_END;
}

static const char *how_it_ended(const struct progress *progress, int status)
{
	if (status == NO_END)
		return "does not end, and SIGKILL does not end it";
	if (!WIFSIGNALED(status))
		return progress->text;
	if (WTERMSIG(status) == SIGKILL)
		return "does not end";
	return strsignal(WTERMSIG(status));
}

/* Goes on behind the case that failed; behind a hang, with the next call. */
static void tell_failure(const struct cases *cases, int status)
{
	struct progress *progress = cases->progress;
	unsigned int nr = progress->next - 1;

	dax_print_msg("%s, %s, %s: %s", case_call(cases, nr)->name,
		      case_geometry(nr)->name, case_view(nr)->name,
		      how_it_ended(progress, status));
	if (status == NO_END || WIFSIGNALED(status))
		progress->next = (nr / OF_ONE_CALL + 1) * OF_ONE_CALL;
}

/* How many cases failed. */
static unsigned int run_all(const struct cases *cases)
{
	unsigned int failed = 0;
	int status;
	pid_t pid;

	for (;;) {
		pid = dax_spawn(run_cases(cases));
		status = join(pid, cases->progress);
		if (!status)
			return failed;
		failed++;
		tell_failure(cases, status);
	}
}

static void all_cases(struct __test_metadata *_metadata,
		      const struct setting *setting, const struct call *calls,
		      unsigned int nr, bool to_map)
{
	struct cases cases = {
		.setting = setting, .calls = calls, .nr = nr, .to_map = to_map,
	};

	if (setting->scenery == ALL_SHARED)
		NEED_XFS();
	cases.progress = dax_shared(sizeof(struct progress));
	EXPECT_EQ(0, run_all(&cases));
}

TEST_F(dax, from_mapping_to_file)
{
	static const struct call calls[] = {
		{ "write", run_write },
		{ "pwrite", run_pwrite },
		{ "pwrite, O_DIRECT", run_direct_write },
		{ "writev", run_writev },
		{ "pwritev", run_pwritev },
		{ "pwritev2, RWF_NOWAIT first", run_pwritev2 },
		{ "vmsplice and splice", run_vmsplice },
	};

	all_cases(_metadata, &variant->setting, calls, ARRAY_LEN(calls), false);
}

TEST_F(dax, from_file_to_mapping)
{
	static const struct call calls[] = {
		{ "read", run_read },
		{ "pread", run_pread },
		{ "pread, O_DIRECT", run_direct_read },
		{ "readv", run_readv },
		{ "preadv", run_preadv },
		{ "splice and read", run_splice_read },
	};

	all_cases(_metadata, &variant->setting, calls, ARRAY_LEN(calls), true);
}

TEST_F(dax, from_mapping_to_mapping)
{
	static const struct call calls[] = {
		{ "process_vm_readv", run_vm_read },
		{ "process_vm_writev", run_vm_write },
		{ "vmsplice and read", run_vmsplice_read },
	};

	all_cases(_metadata, &variant->setting, calls, ARRAY_LEN(calls), true);
}

/* The mapping looks on. */
TEST_F(dax, from_file_to_file)
{
	static const struct call calls[] = {
		{ "splice", run_splice },
		{ "sendfile", run_sendfile },
	};

	all_cases(_metadata, &variant->setting, calls, ARRAY_LEN(calls), false);
}

/* Of whole pages XFS makes shared ones, and nothing is huge any more. */
TEST_F(dax, copy_file_range)
{
	static const struct call calls[] = {
		{ "copy_file_range", run_copy },
	};

	all_cases(_metadata, &variant->setting, calls, ARRAY_LEN(calls), false);
}

/*
 * Others zero, unshare, share, sync or unmap what is copied, or what is beside it
 * in the same entry, while a thread copies.
 */
#define BESIDE	(SZ_2M + SZ_1M)	/* not in one entry with what is copied */

static void beside_zero(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_ZERO_RANGE, BESIDE, SZ_4K);
}

static void beside_punch(const struct scene *s)
{
	dax_punch_hole(s->fd, BESIDE, SZ_4K);
}

/*
 * These two not where the copy is: they wait for pages in a pipe, and the task
 * that empties the pipe into the file waits for them. A signal ends that.
 */
static void beside_unshare(const struct scene *s)
{
	if (dax_is_xfs())
		dax_falloc(s->fd, FALLOC_FL_UNSHARE_RANGE, BESIDE, SZ_4K);
}

static void beside_share(const struct scene *s)
{
	struct file_clone_range range = {
		.src_fd		= s->fd,
		.src_offset	= BESIDE,
		.src_length	= SZ_4K,
		.dest_offset	= BESIDE,
	};
	int fd;

	if (!dax_is_xfs())
		return;
	fd = dax_create("beside");
	if (ioctl(fd, FICLONERANGE, &range))
		dax_exit_fail("FICLONERANGE: %s", strerror(errno));
	close(fd);
}

static void beside_msync(const struct scene *s)
{
	dax_msync(s->map, LEN);
}

static void beside_unmap(const struct scene *s)
{
	dax_zap(s->map, LEN);
}

static const struct other {
	const char *name;
	void (*run)(const struct scene *s);
	bool zeroes;
} others[] = {
	{ "zero a page", beside_zero, true },
	{ "punch a page", beside_punch, true },
	{ "unshare", beside_unshare },
	{ "share", beside_share },
	{ "msync", beside_msync },
	{ "unmap", beside_unmap },
};

struct beside {
	const struct scene *scene;
	const struct other *other;
	volatile bool stop;
};

static void *beside_run(void *arg)
{
	struct beside *beside = arg;

	do {
		beside->other->run(beside->scene);
		sched_yield();
	} while (!beside->stop);
	return NULL;
}

/* What is copied stays what it is, however often. */
static const char *copy_on(const struct scene *s, const struct geometry *g)
{
	const char *why = NULL;

	for (unsigned int i = dax_scale(60); i && !why; i--) {
		why = run_pwrite(s, g);
		if (!why)
			why = run_pread(s, g);
		if (!why)
			why = run_vmsplice(s, g);
	}
	return why;
}

static const char *copy_beside(const struct cases *cases,
			       const struct other *other)
{
	static const struct geometry g = { "", 0, SZ_1M, 16 * SZ_4K };
	struct scene s;
	struct beside beside = { .scene = &s, .other = other };
	pthread_t thread;
	const char *why;

	scene_open(&s, cases->setting->scenery);
	scene_reset(&s, cases->setting->scenery, &g, &g);
	s.map = dax_map_shift(s.fd, LEN, cases->setting->shift);
	thread = dax_thread(beside_run, &beside);
	why = copy_on(&s, &g);
	beside.stop = true;
	dax_join(thread);
	if (other->zeroes)
		memset(s.model + BESIDE, 0, SZ_4K);
	if (!why)
		why = check(&s, &g, false);
	if (!why)
		why = same("a page beside", s.fd, BESIDE, SZ_4K, s.model);
	dax_unlink(s.fd);
	return why;
}

static int run_beside(const struct cases *cases)
{
	struct progress *progress = cases->progress;
	const char *why;

	make_pattern();
	why = copy_beside(cases, &others[progress->next++]);
	snprintf(progress->text, sizeof(progress->text), "%s", why ?: "");
	return !!why;
}

TEST_F(dax, beside_others)
{
	struct cases cases = { .setting = &variant->setting };
	unsigned int failed = 0;
	int status;
	pid_t pid;

	if (variant->setting.scenery == ALL_SHARED)
		NEED_XFS();
	cases.progress = dax_shared(sizeof(struct progress));
	for (unsigned int i = 0; i < ARRAY_LEN(others); i++) {
		pid = dax_spawn(run_beside(&cases));
		status = join(pid, cases.progress);
		if (!status)
			continue;
		dax_print_msg("beside %s: %s", others[i].name,
			      how_it_ended(cases.progress, status));
		failed++;
	}
	EXPECT_EQ(0, failed);
}

TEST_HARNESS_MAIN
