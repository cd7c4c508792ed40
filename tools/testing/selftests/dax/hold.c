// SPDX-License-Identifier: GPL-2.0-only
/*
 * A long call blocks faults for 2 MiB at a time. Dedupe, truncate and similar calls
 * have to block faults on their own files for all of their time, but they pause after
 * 2 MiB and one entry more, so that other tasks run.
 *
 * While the call runs, probes fault: another page of the same file, a page of
 * another file, and one of another filesystem. The test asserts counts: pages
 * from one rest to the next, as the events show, and faults of a probe that
 * began and ended between the first and the last event of the call.
 */
#include "dax_harness.h"

#define LONG	(16 * SZ_2M)
#define TRIES	50

/*
 * A thread that faults one page over and over, and puts a line into the trace
 * each time. What is between two of its lines has a fault in it.
 */
struct probe {
	const char *line;
	char *page;
	pthread_t thread;
	volatile bool stop;
};

static void *probe_run(void *arg)
{
	struct probe *probe = arg;

	while (!probe->stop) {
		dax_zap(probe->page, SZ_4K);
		dax_peek(probe->page);
		dax_trace_mark(probe->line);
		usleep(200);
	}
	return NULL;
}

/* The other filesystem. */
static const char *other_fs(const char *dir)
{
	if (!dax_scratch_device() || !dax_scratch_device()[0])
		return "needs a second device in DAX_SCRATCH";
	if (mkdir(dir, 0700) && errno != EEXIST)
		dax_exit_fail("%s: %m", dir);
	if (dax_sh("mkfs.ext4 -q -F -b 4096 %s 64m && mount -o dax=always %s %s",
		   dax_scratch_device(), dax_scratch_device(), dir))
		dax_exit_fail("no other filesystem");
	return NULL;
}

/* A file, of which the call takes the first @len bytes, and the probes. */
struct scene {
	int fd;
	size_t len, shift;
	char *map;		/* what the call needs, if anything */
	const char *other_dir;
	struct probe probes[3];	/* of lines[] */
};

static const char *const lines[] = { "same-file", "other-file", "other-fs" };

static char *page_of(int fd)
{
	dax_fill(fd, 0, SZ_4K, FILL);
	return dax_map(fd, 0, SZ_4K);
}

static int open_there(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

	if (fd < 0)
		dax_exit_fail("a file in %s: %m", dir);
	return fd;
}

static void probes_start(struct scene *s)
{
	int other = dax_create("other"), fs = open_there(s->other_dir);
	char *pages[3] = {
		dax_map(s->fd, s->len + SZ_1M, SZ_4K), page_of(other), page_of(fs),
	};

	close(other);
	close(fs);
	for (int i = 0; i < 3; i++) {
		s->probes[i] = (struct probe){ .line = lines[i], .page = pages[i] };
		s->probes[i].thread = dax_thread(probe_run, &s->probes[i]);
	}
}

static void probes_stop(struct scene *s)
{
	for (int i = 0; i < 3; i++) {
		s->probes[i].stop = true;
		dax_join(s->probes[i].thread);
		dax_unmap(s->probes[i].page, SZ_4K);
	}
}

/*
 * How many lines of @who are between the first and the last line that has all of
 * @words in it.
 */
static unsigned int lines_between(const char *words, const char *who)
{
	unsigned int nr = 0, between = 0;
	bool begun = false;
	char line[512];

	for (const char *p = dax_trace_text(); *p; p = dax_next_line(p)) {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);
		if (strstr(line, words)) {
			between = nr;
			begun = true;
		} else if (begun && strstr(line, who)) {
			nr++;
		}
	}
	return between;
}

/* A long call: what it needs, what it does, and the events that it causes. */
struct long_call {
	void (*prepare)(struct scene *s);
	void (*run)(const struct scene *s);
	const char *events;
	const char *words;	/* of each of them; of run() itself, if CALL */
};

#define CALL	"call-"

static void run_once(struct scene *s, const struct long_call *call)
{
	if (call->prepare)
		call->prepare(s);
	dax_trace(s->fd, call->events);
	dax_trace_mark("trace-begins");
	dax_trace_clear();
	probes_start(s);
	dax_trace_mark(CALL "begins");
	call->run(s);
	dax_trace_mark(CALL "ends");
	probes_stop(s);
}

/*
 * A busy host may not let a probe run for as long as a call takes. It does not do
 * so each time. The second line says that a fault began after the first one.
 */
static void run(struct scene *s, const struct long_call *call, bool file_too)
{
	bool seen[3] = { !file_too };

	for (int i = 0; i < TRIES && !(seen[0] && seen[1] && seen[2]); i++) {
		run_once(s, call);
		for (int j = 0; j < 3; j++)
			seen[j] |= lines_between(call->words, lines[j]) >= 2;
	}
	for (int j = 0; j < 3; j++) {
		EXPECT_TRUE(seen[j])
			TH_LOG("no fault of %s during the call", lines[j]);
	}
}

/* So many pieces at least, none of them longer than it may be. */
static void in_pieces(const char *what, unsigned long pages)
{
	struct dax_walks walks = dax_walks(what);

	TH_LOG("walks: %s", what);
	EXPECT_LE(pages / WALK_PAGES, walks.nr);
	EXPECT_LE(pages, walks.pages);
	EXPECT_GE(WALK_PAGES, walks.longest);
}

static void share(struct scene *s)
{
	close(dax_clone(s->fd, "clone"));
}

static void write_all(const struct scene *s)
{
	char *buf = mmap(NULL, s->len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ssize_t n;

	if (buf == MAP_FAILED)
		dax_exit_fail("no memory");
	n = pwrite(s->fd, buf, s->len, 0);
	if (n != (ssize_t)s->len)
		dax_exit_fail("pwrite: %zd, %m", n);
	munmap(buf, s->len);
}

static void unshare_all(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_UNSHARE_RANGE, 0, s->len);
}

static void fsync_it(const struct scene *s)
{
	dax_fsync(s->fd);
}

static void make_dirty(struct scene *s)
{
	if (!s->map)
		s->map = dax_map_shift(s->fd, s->len, s->shift);
	dax_poke_each(s->map, s->len, SZ_4K, 'd');
}

/* Another file each time: what is huge stays so. */
static void make_small_entries(struct scene *s)
{
	char *p;

	if (s->map) {
		dax_unmap(s->map, s->len);
		close(s->fd);
		s->fd = dax_file(s->len + SZ_2M, WRITTEN);
	}
	p = dax_map_small(s->fd, s->len);
	if (madvise(p, s->len, MADV_POPULATE_READ))
		dax_exit_fail("MADV_POPULATE_READ: %m");
	dax_unmap(p, s->len);
	s->map = dax_map(s->fd, 0, s->len);
}

static void collapse_all(const struct scene *s)
{
	int err = dax_collapse(s->map, s->len);

	if (err)
		dax_exit_fail("MADV_COLLAPSE: %s", strerror(err));
}

/* Two files with the same bytes, which then share their blocks. */
static int dedupe_with;

static void two_alike(struct scene *s)
{
	close(s->fd);
	s->fd = dax_file(s->len + SZ_2M, WRITTEN);
	dedupe_with = dax_file(s->len, WRITTEN);
}

static void dedupe_all(const struct scene *s)
{
	for (size_t done = 0; done < s->len; ) {
		ssize_t n = dax_dedupe(s->fd, done, s->len - done,
					    dedupe_with, done);

		if (n <= 0)
			dax_exit_fail("FIDEDUPERANGE: %zd, %m", n);
		done += n;
	}
	close(dedupe_with);
}

DAX_FIXTURE(calls, dax_needs())

FIXTURE_VARIANT(calls) {
	struct long_call call;
	size_t len, shift;
	bool on_shared;		/* blocks, or those that come to be shared */
	bool collapses;
	/* At least one event has this word for each so many bytes, if not 0. */
	const char *what;
	size_t piece;
};

/* Calls that lock faults out, and let them in again. */

FIXTURE_VARIANT_ADD(calls, write_to_shared)
	{ .call = { share, write_all, "dax_walk", " write entries " },
	  .len = LONG, .on_shared = true, .what = "write", .piece = SZ_2M };
FIXTURE_VARIANT_ADD(calls, unshare)
	{ .call = { share, unshare_all, "dax_walk", " unshare entries " },
	  .len = LONG, .on_shared = true, .what = "unshare", .piece = SZ_2M };

/* One that does so for the files that it is about, as its caller wants it. */
FIXTURE_VARIANT_ADD(calls, dedupe) {
	.call = { two_alike, dedupe_all, "dax_walk", " compare entries " },
	.len = LONG, .on_shared = true, .what = "compare",
	.piece = WALK_PAGES * SZ_4K,
};

/* Calls that do not lock faults out. */

FIXTURE_VARIANT_ADD(calls, write_in_place) {
	.call = { NULL, write_all, "dax_pte_fault_done", CALL }, .len = LONG,
};

FIXTURE_VARIANT_ADD(calls, fsync_of_large_entries) {
	.call = { make_dirty, fsync_it, "dax_writeback_one", "dax_writeback_one:" },
	.len = 2 * LONG, .what = "", .piece = SZ_2M,
};

FIXTURE_VARIANT_ADD(calls, fsync_of_small_entries) {
	.call = { make_dirty, fsync_it, "dax_writeback_one", "dax_writeback_one:" },
	.len = LONG / 2, .shift = SZ_4K, .what = "", .piece = SZ_4K,
};

FIXTURE_VARIANT_ADD(calls, madvise_collapse) {
	.call = { make_small_entries, collapse_all, "dax_promote_entry",
		  "dax_promote_entry:" },
	.len = 2 * LONG, .collapses = true, .what = "done", .piece = SZ_2M,
};

TEST_F(calls, faults_go_on)
{
	const struct long_call *call = &variant->call;
	struct scene s = {
		.len = variant->len, .shift = variant->shift,
		.other_dir = dax_text("/tmp/dax-scratch-%d-other", getpid()),
	};

	if (variant->on_shared) {
		NEED_XFS();
		NEED(dax_no_walks());
	}
	if (variant->collapses) {
		NEED(dax_policy("off"));
		NEED_EVENT("dax_promote_entry");
	}
	NEED(other_fs(s.other_dir));
	/* The page behind s.len is the probe's. */
	s.fd = dax_file(s.len + SZ_2M, WRITTEN);
	run(&s, call, call->run != dedupe_all);
	if (variant->on_shared)
		in_pieces(variant->what, s.len / SZ_4K);
	if (variant->piece)
		EXPECT_LE(s.len / variant->piece,
			  dax_count(call->events, "%s", variant->what));
	if (s.map)
		dax_unmap(s.map, s.len);
	close(s.fd);
	dax_sh("umount %s && rmdir %s", s.other_dir, s.other_dir);
}

/*
 * Calls that have to lock faults out for all of their time. They rest, so that
 * others of the same CPU, and interrupts, have their turn.
 */
#define CUT	-1	/* no mode of fallocate(), but ftruncate() */

/* A length of 0 is all of the file. */
DAX_VARIANTS(rests, dax_no_walks(), int mode; off_t len;)

FIXTURE_VARIANT_ADD(rests, punch) { PUNCH_HOLE };
FIXTURE_VARIANT_ADD(rests, zero_range) { FALLOC_FL_ZERO_RANGE };
FIXTURE_VARIANT_ADD(rests, truncate_to_nothing) { CUT };
FIXTURE_VARIANT_ADD(rests, collapse_range) { FALLOC_FL_COLLAPSE_RANGE, SZ_4K };
FIXTURE_VARIANT_ADD(rests, insert_range) { FALLOC_FL_INSERT_RANGE, SZ_4K };

static void rests_of(size_t len, size_t shift, int mode, off_t range)
{
	int fd = dax_file(len, WRITTEN);
	char *p = dax_mmap(fd, 0, len, PROT_READ, MAP_SHARED, shift);

	ASSERT_EQ(0, madvise(p, len, MADV_POPULATE_READ));
	dax_trace(fd, "dax_walk");
	if (mode == CUT)
		dax_truncate(fd, 0);
	else
		dax_falloc(fd, mode, 0, range ?: (off_t)len);
	in_pieces("busy", len / SZ_4K);
	dax_unmap(p, len);
	close(fd);
}

TEST_F(rests, call_rests)
{
	rests_of(LONG, 0, variant->mode, variant->len);
	rests_of(LONG / 4, SZ_4K, variant->mode, variant->len);
}

TEST_HARNESS_MAIN
