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
#include <poll.h>
#include <semaphore.h>
#include <sys/mount.h>

#include "dax_harness.h"
#include "dax_hold.h"

/*
 * Lengths for all rounds; where not all are run, an eighth of them. An AG of XFS on
 * a device of 4 GiB has 512 MiB, and a file that has more cannot be huge all over.
 */
#define LONG	(128 * SZ_2M)
#define LONGEST	(192 * SZ_2M)
#define TRIES	20

static size_t scaled(size_t len)
{
	return dax_scale(100) < 100 ? len / 8 : len;
}

/*
 * A thread that faults one page when it is asked to, and then puts a line into the
 * trace. Between two of its lines there is a fault. A truncate may take the page
 * away: then the fault ends with a signal.
 */
struct probe {
	const char *line;
	char *page;
	pthread_t thread;
	sem_t ask;
	volatile bool stop;
};

static void *probe_run(void *arg)
{
	struct probe *probe = arg;
	char byte;

	dax_stall_run_on(DAX_HOLD_CPU, 1);
	while (!sem_wait(&probe->ask) && !probe->stop) {
		dax_zap(probe->page, SZ_4K);
		dax_guarded_copy(&byte, probe->page, 1, NULL);
		dax_trace_mark(probe->line);
	}
	return NULL;
}

/* The other filesystem. */
#define OTHER_DIR	"/tmp/dax-scratch-other"

static const char *other_fs(void)
{
	if (!dax_scratch_device() || !dax_scratch_device()[0])
		return "needs a second device in DAX_SCRATCH";
	/* A test that failed may have left it mounted. */
	umount2(OTHER_DIR, MNT_DETACH);
	if (mkdir(OTHER_DIR, 0700) && errno != EEXIST)
		dax_exit_fail(OTHER_DIR ": %m");
	if (dax_sh("mkfs.ext4 -q -F -b 4096 %s 64m && mount -o dax=always %s %s",
		   dax_scratch_device(), dax_scratch_device(), OTHER_DIR))
		dax_exit_fail("no other filesystem");
	return NULL;
}

static void drop_other_fs(void)
{
	dax_sh("umount %s && rmdir %s", OTHER_DIR, OTHER_DIR);
}

/* A file, of which the call takes the first @len bytes, and the probes. */
struct scene {
	int fd;
	size_t len, shift;
	char *map;		/* what the call needs, if anything */
	struct probe probes[3];	/* of lines[] */
	pthread_t asker;
	int events;		/* a pipe with those of the call */
	volatile bool ready, stop;	/* the asker is, or has to */
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

/*
 * Ask each probe for a fault when the call emits an event. The probes are on the
 * call's CPU and go before it: they run when the call rests, and need no luck with
 * timers. A call without events takes longer than some timeouts.
 */
static void *ask_probes(void *arg)
{
	struct scene *s = arg;
	struct pollfd poll_fd = { .fd = s->events, .events = POLLIN };
	char text[SZ_4K];
	int asked;

	dax_stall_run_on(DAX_HOLD_CPU, 2);
	while (!s->stop) {
		poll(&poll_fd, 1, 1);
		while (read(s->events, text, sizeof(text)) > 0)
			;
		for (int i = 0; i < 3; i++)
			if (!sem_getvalue(&s->probes[i].ask, &asked) && !asked)
				sem_post(&s->probes[i].ask);
		s->ready = true;
	}
	return NULL;
}

/* A long call: what it needs, what it does, and the events that it causes. */
struct long_call {
	void (*prepare)(struct scene *s);
	void (*run)(const struct scene *s);
	const char *events;
	const char *words;	/* of each of them; of run() itself, if CALL */
};

#define CALL	"call-"

/*
 * The events of the call once more: the others are for the counts. A call that emits
 * no event has none: those of the probes' own faults would ask for more faults.
 */
static void open_events(struct scene *s, const struct long_call *call)
{
	const char *event = dax_text("fs_dax/%s", call->events);
	struct stat st;

	if (fstat(s->fd, &st))
		dax_exit_fail("fstat: %m");
	if (mkdir(DAX_HOLD, 0700) && errno != EEXIST)
		dax_exit_fail(DAX_HOLD ": %m");
	dax_must_write(DAX_HOLD "/buffer_percent", "0");
	s->events = open(DAX_HOLD "/trace_pipe", O_RDONLY | O_NONBLOCK);
	if (s->events < 0)
		dax_exit_fail(DAX_HOLD "/trace_pipe: %m");
	if (!strcmp(call->words, CALL))
		return;
	if (dax_hold_write(event, "filter", dax_text("ino == %lu", st.st_ino)) ||
	    dax_hold_write(event, "enable", "1"))
		dax_exit_fail("%s of %s: %m", event, DAX_HOLD);
}

static void close_events(struct scene *s)
{
	dax_must_write(DAX_HOLD "/events/enable", "0");
	close(s->events);
}

static void probes_start(struct scene *s)
{
	int other = dax_create("other"), fs = open_there(OTHER_DIR);
	char *pages[3] = {
		dax_map(s->fd, s->len + SZ_1M, SZ_4K), page_of(other), page_of(fs),
	};

	close(other);
	close(fs);
	dax_guard(NULL);
	for (int i = 0; i < 3; i++) {
		s->probes[i] = (struct probe){ .line = lines[i], .page = pages[i] };
		sem_init(&s->probes[i].ask, 0, 0);
		s->probes[i].thread = dax_thread(probe_run, &s->probes[i]);
	}
	s->ready = false;
	s->stop = false;
	s->asker = dax_thread(ask_probes, s);
	while (!s->ready)
		usleep(1000);
}

static void probes_stop(struct scene *s)
{
	s->stop = true;
	dax_join(s->asker);
	for (int i = 0; i < 3; i++) {
		s->probes[i].stop = true;
		sem_post(&s->probes[i].ask);
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

static void stay_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		dax_exit_fail("sched_setaffinity: %m");
}

static void run_once(struct scene *s, const struct long_call *call)
{
	if (call->prepare)
		call->prepare(s);
	dax_trace(s->fd, call->events);
	dax_trace_mark("trace-begins");
	dax_trace_clear();
	open_events(s, call);
	probes_start(s);
	stay_on_cpu(DAX_HOLD_CPU);
	dax_trace_mark(CALL "begins");
	call->run(s);
	dax_trace_mark(CALL "ends");
	probes_stop(s);
	close_events(s);
}

/*
 * The second line says that a fault began after the first one. A busy host may not
 * let a probe run for as long as a call takes, but not each time.
 */
static void run(struct scene *s, const struct long_call *call, bool file_too)
{
	bool seen[3] = { !file_too };

	for (int i = 0; i < TRIES && !(seen[0] && seen[1] && seen[2]); i++) {
		run_once(s, call);
		for (int j = 0; j < 3; j++)
			seen[j] |= lines_between(call->words, lines[j]) >= 2;
	}
	rmdir(DAX_HOLD);
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

/* Another file each time: what is huge stays so, and what is freed is there again. */
static void another_file(struct scene *s)
{
	if (!s->map)
		return;
	dax_unmap(s->map, s->len);
	dax_remove(s->fd);
	s->fd = dax_file(s->len + SZ_2M, WRITTEN);
}

static void populate(char *map, size_t len)
{
	if (madvise(map, len, MADV_POPULATE_READ))
		dax_exit_fail("MADV_POPULATE_READ: %m");
}

static void make_dirty(struct scene *s)
{
	if (!s->map)
		s->map = dax_map_shift(s->fd, s->len, s->shift);
	dax_poke_each(s->map, s->len, SZ_4K, 'd');
}

static void make_small_entries(struct scene *s)
{
	char *p;

	another_file(s);
	p = dax_map_small(s->fd, s->len);
	populate(p, s->len);
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
	dax_remove(s->fd);
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
	dax_remove(dedupe_with);
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
	.len = LONGEST, .what = "", .piece = SZ_2M,
};

FIXTURE_VARIANT_ADD(calls, fsync_of_small_entries) {
	.call = { make_dirty, fsync_it, "dax_writeback_one", "dax_writeback_one:" },
	.len = LONG / 2, .shift = SZ_4K, .what = "", .piece = SZ_4K,
};

FIXTURE_VARIANT_ADD(calls, madvise_collapse) {
	.call = { make_small_entries, collapse_all, "dax_promote_entry",
		  "dax_promote_entry:" },
	.len = LONGEST, .collapses = true, .what = "done", .piece = SZ_2M,
};

TEST_F(calls, faults_go_on)
{
	const struct long_call *call = &variant->call;
	struct scene s = { .len = scaled(variant->len), .shift = variant->shift };

	if (variant->on_shared) {
		NEED_XFS();
		NEED(dax_no_walks());
	}
	if (variant->collapses) {
		NEED(dax_policy("off"));
		NEED_EVENT("dax_promote_entry");
	}
	NEED(other_fs());
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
	drop_other_fs();
}

/*
 * Calls that have to lock faults of their own file out for all of their time. They
 * rest, so that others of the same CPU, and interrupts, have their turn.
 */
static void touch_all(struct scene *s)
{
	another_file(s);
	s->map = dax_map_shift(s->fd, s->len, s->shift);
	populate(s->map, s->len);
}

static void punch_all(const struct scene *s)
{
	dax_punch_hole(s->fd, 0, s->len);
}

static void zero_all(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_ZERO_RANGE, 0, s->len);
}

static void cut_all(const struct scene *s)
{
	dax_truncate(s->fd, 0);
}

static void move_down(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K);
}

static void move_up(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_INSERT_RANGE, 0, SZ_4K);
}

DAX_VARIANTS(rests, dax_no_walks(), void (*run)(const struct scene *s);)

FIXTURE_VARIANT_ADD(rests, punch) { punch_all };
FIXTURE_VARIANT_ADD(rests, zero_range) { zero_all };
FIXTURE_VARIANT_ADD(rests, truncate_to_nothing) { cut_all };
FIXTURE_VARIANT_ADD(rests, collapse_range) { move_down };
FIXTURE_VARIANT_ADD(rests, insert_range) { move_up };

static void rests_of(size_t len, size_t shift,
		     void (*run_it)(const struct scene *s))
{
	struct long_call call = { touch_all, run_it, "dax_walk", " busy entries " };
	struct scene s = { .len = scaled(len), .shift = shift };

	s.fd = dax_file(s.len + SZ_2M, WRITTEN);
	run(&s, &call, false);
	in_pieces("busy", s.len / SZ_4K);
	dax_unmap(s.map, s.len);
	dax_remove(s.fd);
}

TEST_F(rests, others_go_on)
{
	NEED(other_fs());
	rests_of(LONG, 0, variant->run);
	rests_of(LONG / 4, SZ_4K, variant->run);
	drop_other_fs();
}

TEST_HARNESS_MAIN
