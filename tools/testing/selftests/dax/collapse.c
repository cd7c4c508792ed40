// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page table in the way of a huge fault: MADV_COLLAPSE replaces it by a
 * mapping of 2 MiB, in all processes that map the range, and promotes the
 * entries below. When it cannot, it returns an error, and ptes and entries are
 * unchanged. The policy "eager" does the same without a call.
 *
 * The tests make such page tables while promotion is off.
 */
#include "dax_harness.h"

#define COLLAPSES()	dax_count_all("dax_collapse")
#define COLLAPSED(pgoff) \
	dax_count("dax_collapse", \
		  "pgoff 0x%lx, order 9, result 0, reason none", pgoff)
#define REFUSED(result)	dax_count("dax_collapse", "order 9, result %d", result)
/* The 2 MiB at @p can be huge. */
#define COLLAPSE(p) do {			\
	EXPECT_EQ(0, dax_collapse(p, SZ_2M));	\
	EXPECT_MAPPED("2M", p);			\
} while (0)

DAX_NEEDS(dax_policy("off") ?: dax_no_event("dax_collapse"))

static char *map_by_ptes(int fd, size_t len, bool write)
{
	char *p = dax_map(fd, 0, len);

	dax_touch_by_ptes(fd, p, len, write);
	return p;
}

/* 2 MiB by ptes, which were stored to or only read. */
DAX_FILE_FIXTURE(stored, dax_needs(), dax_file(SZ_2M, WRITTEN),
		 map_by_ptes(self->fd, SZ_2M, true))
DAX_FILE_FIXTURE(by_ptes, dax_needs(), dax_file(SZ_2M, WRITTEN),
		 map_by_ptes(self->fd, SZ_2M, false))

/*
 * From 2 MiB back to a page table: for a while the half of it is a VMA of its
 * own, and faults are small.
 */
static void back_to_ptes(char *p)
{
	char *half = p + SZ_1M;

	if (mprotect(half, SZ_1M, PROT_READ | PROT_WRITE | PROT_EXEC))
		dax_exit_fail("mprotect: %m");
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	if (mprotect(half, SZ_1M, PROT_READ | PROT_WRITE))
		dax_exit_fail("mprotect: %m");
}

static unsigned int wrong_bytes(const char *p, size_t len, char first)
{
	unsigned int nr = 0;

	for (size_t at = 0; at < len; at += SZ_4K)
		nr += dax_peek(p + at) != first ||
		      dax_peek(p + at + 1) != FILL;
	return nr;
}

TEST_F(dax, ranges)
{
	size_t len = 4 * SZ_2M;
	int fd = dax_file(len, WRITTEN);
	char *p = map_by_ptes(fd, len, true);

	ASSERT_MAPPED("4K", p);
	dax_trace(fd, NULL);
	EXPECT_EQ(0, dax_collapse(p, len));
	EXPECT_EQ(4, COLLAPSES());
	EXPECT_EQ(4, PROMOTED(512, 512, 0, 512));
	EXPECT_EQ(4, PROMOTE("try"));
	for (size_t at = 0; at < len; at += SZ_2M) {
		EXPECT_EQ(1, COLLAPSED(at / SZ_4K));
		EXPECT_MAPPED("2M", p + at);
		EXPECT_MAPPED("2M", p + at + SZ_2M - SZ_4K);
	}

	/* Loads have nothing to fault for, and the first store has. */
	dax_trace_clear();
	EXPECT_EQ(0, wrong_bytes(p, len, 'w'));
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ(0, HUGE_FAULTS());
	dax_poke_each(p, len, SZ_4K, 'x');
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ(4, HUGE_FAULTS());
	EXPECT_EQ(0, wrong_bytes(p, len, 'x'));

	dax_trace_clear();
	EXPECT_FLUSHES(4, fd);
	EXPECT_EQ(4, dax_count("dax_writeback_one", "pglen 0x200"));
}

/* Dirty pages stay dirty, and clean pages stay clean. */
TEST_F(dax, marks)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map_by_ptes(fd, 2 * SZ_2M, false);

	dax_poke(p + 77 * SZ_4K, 'w');
	dax_trace(fd, NULL);
	EXPECT_EQ(0, dax_collapse(p, 2 * SZ_2M));
	EXPECT_EQ(1, PROMOTED(512, 512, 0, 1));
	EXPECT_EQ(1, PROMOTED(512, 512, 0, 0));
	/* The dirty mark is that of all 2 MiB: a page that was clean has it. */
	dax_msync(p + 400 * SZ_4K, SZ_4K);
	EXPECT_EQ(1, FLUSHED(400 * SZ_4K, SZ_4K));
	EXPECT_FLUSHES(2, fd);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));

	/* And each store after that is seen: by_page has those that follow. */
	dax_trace_clear();
	dax_poke(p + 78 * SZ_4K, 'x');
	EXPECT_EQ(1, HUGE_FAULTS());
	EXPECT_FLUSHES(1, fd);
	EXPECT_MAPPED("2M", p);
}

/* Of a range, the 2 MiB that are in it whole. */
TEST_F(dax, odd_range)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *p = map_by_ptes(fd, 3 * SZ_2M, false);

	dax_trace(fd, NULL);
	EXPECT_EQ(0, dax_collapse(p + SZ_4K, 2 * SZ_2M));
	EXPECT_EQ(1, COLLAPSES());
	EXPECT_EQ(1, COLLAPSED(SZ_2M / SZ_4K));
	EXPECT_MAPPED("4K", p);
	EXPECT_MAPPED("2M", p + SZ_2M);
	EXPECT_MAPPED("4K", p + 2 * SZ_2M);
	EXPECT_EQ(0, wrong_bytes(p, 3 * SZ_2M, FILL));
}

TEST_F(dax, huge_already)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_poke(p, 'w');
	ASSERT_MAPPED("2M", p);
	dax_trace(fd, NULL);
	COLLAPSE(p);
	EXPECT_EQ(0, PROMOTE("try"));
	dax_poke(p, 'x');
	EXPECT_FLUSHES(1, fd);
	COLLAPSE(p);
	EXPECT_EQ('x', dax_peek(p));
}

/* Nothing mapped yet, over nothing, small entries, and a huge one. */
TEST_F(dax, not_yet_touched)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *p;

	dax_poke(dax_map(fd, SZ_2M + 5 * SZ_4K, SZ_4K), 's');
	dax_peek(dax_map(fd, 2 * SZ_2M, SZ_2M));
	p = dax_map(fd, 0, 3 * SZ_2M);
	EXPECT_EQ(0, dax_collapse(p, 3 * SZ_2M));
	for (size_t at = 0; at < 3 * SZ_2M; at += SZ_2M) {
		dax_peek(p + at);
		EXPECT_MAPPED("2M", p + at);
	}
	EXPECT_EQ('s', dax_peek(p + SZ_2M + 5 * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(p + SZ_2M + 6 * SZ_4K));
}

/* A page table, and few of its ptes are there. */
TEST_F(dax, sparse)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p;

	dax_peek(dax_map(fd, 9 * SZ_4K, SZ_4K));
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p + 100 * SZ_4K, 'w');
	dax_peek(p + 101 * SZ_4K);
	ASSERT_MAPPED("4K", p + 100 * SZ_4K);
	ASSERT_MAPPED("none", p);
	dax_trace(fd, NULL);
	COLLAPSE(p);
	EXPECT_EQ(1, PROMOTED(3, 3, 0, 1));
	EXPECT_EQ('w', dax_peek(p + 100 * SZ_4K));
	EXPECT_BYTES(FILL, p, 100 * SZ_4K);
}

/* ptes of an entry that is huge already: only the page table goes. */
TEST_F(stored, ptes_of_a_huge_entry)
{
	char *later;

	ASSERT_EQ(NULL, dax_policy("fault"));
	later = dax_map(self->fd, 0, SZ_2M);
	dax_poke(later + 1, 'l');
	ASSERT_MAPPED("2M", later);
	ASSERT_MAPPED("4K", self->p);
	dax_trace(self->fd, NULL);
	COLLAPSE(self->p);
	EXPECT_EQ(0, PROMOTE("try"));
	EXPECT_EQ(1, COLLAPSED(0UL));
	EXPECT_EQ('w', dax_peek(later));
	EXPECT_EQ(dax_pfn(later), dax_pfn(self->p));
	EXPECT_EQ('w', dax_peek(self->p));
	EXPECT_EQ('l', dax_peek(self->p + 1));
	dax_poke(self->p + 2, 'x');
	EXPECT_EQ('x', dax_peek(later + 2));

	/* Any number of times. */
	for (int i = 0; i < 5; i++) {
		back_to_ptes(self->p);
		EXPECT_MAPPED("4K", self->p);
		COLLAPSE(self->p);
	}
	dax_peek(later);
	EXPECT_MAPPED("2M", later);
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
}

TEST_F(dax, read_only)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_mmap(fd, 0, SZ_2M, PROT_READ, MAP_SHARED, 0), *q;

	dax_touch_by_ptes(fd, p, SZ_2M, false);
	ASSERT_MAPPED("4K", p);
	COLLAPSE(p);
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p, true, NULL));
	q = dax_map(fd, 0, SZ_2M);
	dax_poke(q + 5, 'w');
	EXPECT_EQ('w', dax_peek(p + 5));
}

/* Small zero pages become one huge zero page, until the first write. */
TEST_F(dax, hole)
{
	int fd = dax_file(SZ_2M, HOLE);
	char *p = map_by_ptes(fd, SZ_2M, false);

	ASSERT_MAPPED("4K zero", p);
	dax_trace(fd, NULL);
	EXPECT_EQ(0, dax_collapse(p, SZ_2M));
	EXPECT_EQ(1, PROMOTED(512, 0, 512, 0));
	EXPECT_MAPPED("2M zero", p);
	EXPECT_BYTES(0, p, SZ_2M);
	dax_poke(p + 5 * SZ_4K, 'w');
	EXPECT_EQ('w', dax_peek(p + 5 * SZ_4K));
	EXPECT_BYTES(0, p, 5 * SZ_4K);
}

TEST_F(dax, unwritten)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = dax_map_small(fd, SZ_2M), *p;

	dax_peek(small + 100 * SZ_4K);
	p = map_by_ptes(fd, SZ_2M, false);
	ASSERT_MAPPED("4K zero", p);
	EXPECT_EQ(0, dax_collapse(p, SZ_2M));
	EXPECT_MAPPED("2M zero", p);
	dax_poke(p + 100 * SZ_4K, 'w');
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ('w', dax_peek(small + 100 * SZ_4K));
	EXPECT_EQ(0, dax_peek(small + 101 * SZ_4K));
}

TEST_F(dax, map_sync)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_mmap(fd, 0, SZ_2M, PROT_READ | PROT_WRITE,
			   MAP_SHARED_VALIDATE | MAP_SYNC, 0);

	dax_touch_by_ptes(fd, p, SZ_2M, true);
	ASSERT_MAPPED("4K", p);
	COLLAPSE(p);
	dax_poke(p, 'x');
	dax_trace(fd, NULL);
	EXPECT_FLUSHES(1, fd);
	EXPECT_EQ('x', dax_peek(p));
}

/* Calls that fail return an errno, and change nothing. */

/*
 * @p is mapped by ptes, of which @dirty pages are to be flushed, and collapsing
 * it fails.
 */
static void refuse(int fd, char *p, int err, unsigned int dirty)
{
	char *before = malloc(SZ_2M);
	struct dax_ptes view;

	memcpy(before, p, SZ_2M);
	dax_snapshot_ptes(&view, p);
	dax_trace(fd, NULL);
	EXPECT_EQ(err, dax_collapse(p, SZ_2M));
	EXPECT_EQ(0, dax_count("dax_collapse", "result 0"));
	EXPECT_EQ(COLLAPSES(), REFUSED(-err));
	EXPECT_EQ(0, PROMOTE("done"));
	EXPECT_EQ(0, HUGE_FAULTS());
	EXPECT_EQ(0, dax_ptes_changed(&view, p));
	EXPECT_EQ(0, memcmp(before, p, SZ_2M));
	EXPECT_SMALL_FLUSHES(dirty, fd);
	free(before);
}

/* Each page of a private mapping may be a copy. */
TEST_F(dax, private)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_private(fd, 0, SZ_2M);

	dax_touch_by_ptes(fd, p, SZ_2M, false);
	dax_poke(p + 5 * SZ_4K, 'w');
	refuse(fd, p, EINVAL, 0);
	EXPECT_EQ('w', dax_peek(p + 5 * SZ_4K));
}

TEST_F(dax, colour)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, 3 * SZ_2M), *p;

	dax_touch_each(small, 3 * SZ_2M, SZ_4K, false);
	p = (char *)(((uintptr_t)small + SZ_2M - 1) & -SZ_2M);
	dax_poke(p, 'w');
	refuse(fd, p, EINVAL, 1);
}

/* A range that is not whole, or not in one VMA. */
static void refuse_range(char *p, size_t len)
{
	struct dax_ptes view;

	dax_snapshot_ptes(&view, p);
	EXPECT_EQ(EINVAL, dax_collapse(p, len));
	EXPECT_EQ(0, dax_ptes_changed(&view, p));
}

/* The VMA ends before the 2 MiB do, or begins after them. */
TEST_F(by_ptes, vma_too_small)
{
	dax_unmap(self->p + SZ_2M - SZ_4K, SZ_4K);
	refuse_range(self->p, SZ_2M - SZ_4K);

	self->p = map_by_ptes(self->fd, SZ_2M, false);
	dax_unmap(self->p, SZ_4K);
	refuse_range(self->p + SZ_4K, SZ_2M - SZ_4K);
}

/* One mapping, but two VMAs, by an mprotect() of the half. */
TEST_F(by_ptes, vma_split)
{
	ASSERT_EQ(0, mprotect(self->p + SZ_1M, SZ_1M, PROT_READ));
	refuse_range(self->p, SZ_2M);
}

/* To truncate unmaps all of the file, but leaves the page table. */
TEST_F(dax, eof)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map_by_ptes(fd, 2 * SZ_2M, true);

	dax_truncate(fd, SZ_2M + SZ_1M);
	dax_peek(p);
	dax_peek(p + SZ_2M);
	EXPECT_EQ(EINVAL, dax_collapse(p + SZ_2M, SZ_2M));
	EXPECT_MAPPED("4K", p + SZ_2M);
	EXPECT_EQ('w', dax_peek(p + SZ_2M));

	/* The range before it is whole. */
	EXPECT_EQ(EINVAL, dax_collapse(p, 2 * SZ_2M));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("4K", p + SZ_2M);
	EXPECT_EQ('w', dax_peek(p));
}

/* All of it is mapped, and so many pages in it are stored to. */
static void refuse_file(int fd, unsigned int dirty)
{
	char *p = map_by_ptes(fd, SZ_2M, false);

	dax_touch_each(p, SZ_2M, SZ_2M / dirty & -SZ_4K, true);
	refuse(fd, p, EINVAL, dirty);
}

TEST_F(dax, fragmented) DAX_CALL(refuse_file(dax_file_fragmented(), 2))

/* A collapse reads: what has no bytes yet does not get any by it. */
TEST_F(dax, partly_unwritten)
	DAX_CALL(refuse_file(dax_file(SZ_2M, PREALLOC), 128))

TEST_F(dax, hole_inside)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	dax_punch_hole(fd, 7 * SZ_4K, SZ_4K);
	refuse_file(fd, 1);
}

TEST_F(by_ptes, nohugepage)
{
	dax_poke(self->p, 'w');
	ASSERT_EQ(0, madvise(self->p, SZ_2M, MADV_NOHUGEPAGE));
	refuse(self->fd, self->p, EINVAL, 1);
	ASSERT_EQ(0, madvise(self->p, SZ_2M, MADV_HUGEPAGE));
	COLLAPSE(self->p);
}

/* A range that can be huge is collapsed, and the errno is about the rest. */
TEST_F(dax, one_of_two)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *p;

	dax_punch_hole(fd, SZ_2M + 7 * SZ_4K, SZ_4K);
	p = map_by_ptes(fd, 3 * SZ_2M, false);
	EXPECT_EQ(EINVAL, dax_collapse(p, 3 * SZ_2M));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("4K", p + SZ_2M);
	EXPECT_MAPPED("2M", p + 2 * SZ_2M);
}

enum { TOUCH, LOOK, STORE };

static int other_process(int step, void *arg)
{
	char *p = arg;

	if (step == TOUCH)
		dax_touch_each(p, SZ_2M, SZ_4K, false);
	else if (step == STORE)
		dax_poke(p + 8 * SZ_4K, 'c');
	return *dax_mapped(p);
}

/* The next touch of another process is huge, and that costs it one fault. */
TEST_F(stored, another_process)
{
	struct dax_helper peer;

	dax_helper_start(&peer, other_process, self->p);
	ASSERT_EQ('4', dax_helper_step(&peer, TOUCH));
	dax_trace(self->fd, NULL);
	COLLAPSE(self->p);
	EXPECT_NE('4', dax_helper_step(&peer, LOOK));
	dax_trace_clear();
	EXPECT_EQ('2', dax_helper_step(&peer, TOUCH));
	EXPECT_GE(1, HUGE_FAULTS());
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ('2', dax_helper_step(&peer, STORE));
	EXPECT_GE(2, HUGE_FAULTS());
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ('c', dax_peek(self->p + 8 * SZ_4K));
	dax_trace_clear();
	EXPECT_FLUSHES(1, self->fd);
}

/* In the same process: one that can be huge, too, and one that never can. */
TEST_F(stored, another_mapping)
{
	char *q = map_by_ptes(self->fd, SZ_2M, false);
	char *small = dax_map_small(self->fd, SZ_2M);

	dax_poke_each(small + 2, SZ_2M, SZ_4K, 's');
	COLLAPSE(self->p);
	dax_peek(q);
	EXPECT_MAPPED("2M", q);
	dax_poke(q + 8 * SZ_4K, 'q');
	dax_poke(small + 9 * SZ_4K, 's');
	EXPECT_MAPPED("4K", small + 9 * SZ_4K);
	EXPECT_EQ(dax_pfn(self->p + 9 * SZ_4K), dax_pfn(small + 9 * SZ_4K));
	EXPECT_EQ('q', dax_peek(self->p + 8 * SZ_4K));
	EXPECT_EQ('q', dax_peek(small + 8 * SZ_4K));
	EXPECT_EQ('s', dax_peek(q + 9 * SZ_4K));
	EXPECT_EQ('w', dax_peek(q));
}

/* The copies that a private mapping has made are nowhere else. */
TEST_F(dax, private_copies_of_others)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *private = dax_map_private(fd, 0, SZ_2M), *p;

	dax_touch_by_ptes(fd, private, SZ_2M, false);
	dax_poke_each(private, SZ_2M, 16 * SZ_4K, 'P');
	p = map_by_ptes(fd, SZ_2M, true);
	COLLAPSE(p);
	for (size_t at = 0; at < SZ_2M; at += SZ_4K) {
		ASSERT_EQ(at % (16 * SZ_4K) ? 'w' : 'P', dax_peek(private + at));
		ASSERT_EQ('w', dax_peek(p + at));
	}
}

/* A small VMA maps the middle, and stays mapped or comes back. */
TEST_F(stored, window_of_others)
{
	char *window = dax_map(self->fd, 100 * SZ_4K, 4 * SZ_4K);

	dax_poke(window, 'x');
	ASSERT_EQ(0, dax_collapse(self->p, SZ_2M));
	EXPECT_EQ('x', dax_peek(window));
	EXPECT_EQ('w', dax_peek(window + SZ_4K));
	dax_poke(window + SZ_4K, 'y');
	EXPECT_EQ('y', dax_peek(self->p + 101 * SZ_4K));
	dax_trace(self->fd, NULL);
	EXPECT_FLUSHES(1, self->fd);
	dax_trace_clear();
	dax_poke(window + SZ_4K, 'z');
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ('z', dax_peek(self->p + 101 * SZ_4K));
}

/*
 * In full use. Each thread counts up words of its own all over the range; no
 * count may get lost when the page table goes away below it.
 */
#define COUNTERS	4
#define BLOCKS		2

struct busy {
	char *map;
	bool processes;
	volatile unsigned int ready, done;
	unsigned int again;	/* EAGAIN, and then it was done */
	unsigned int odd;
	uint32_t tally[COUNTERS][BLOCKS * PAGES_2M];
};

static volatile uint32_t *counter(struct busy *busy, unsigned int id,
				  unsigned int page)
{
	return (uint32_t *)(busy->map + page * SZ_4K) + id * 16;
}

static unsigned int lost_counts(struct busy *busy)
{
	unsigned int nr = 0;

	for (unsigned int id = 0; id < COUNTERS; id++)
		for (unsigned int page = 0; page < BLOCKS * PAGES_2M; page++)
			nr += busy->tally[id][page] != *counter(busy, id, page);
	return nr;
}

static int count_up(struct busy *busy, unsigned int id)
{
	uint32_t *tally = busy->tally[id];
	unsigned int at = id * 331;

	__sync_fetch_and_add(&busy->ready, 1);
	while (!busy->done) {
		for (int i = 0; i < 200; i++) {
			at = (at * 1103515245 + 12345) % (BLOCKS * PAGES_2M);
			++*counter(busy, id, at);
			tally[at]++;
		}
		if (busy->processes)
			back_to_ptes(busy->map + at % BLOCKS * SZ_2M);
	}
	return 0;
}

static void collapse_them(struct busy *busy)
{
	while (busy->ready < COUNTERS)
		sched_yield();
	for (unsigned int i = 0; i < BLOCKS * 4; i++) {
		char *p = busy->map + i % BLOCKS * SZ_2M;
		unsigned int tries = 0;
		int err;

		if (i >= BLOCKS)
			back_to_ptes(p);
		do {
			err = dax_collapse(p, SZ_2M);
			busy->again += err == EAGAIN;
		} while (err == EAGAIN && ++tries < 1000);
		busy->odd += err != 0;
	}
	busy->done = true;
}

static void collapse_or_count(unsigned int id, void *arg)
{
	struct busy *busy = arg;

	if (id)
		count_up(busy, id - 1);
	else
		collapse_them(busy);
}

static void in_processes(struct busy *busy)
{
	pid_t pid[COUNTERS];

	for (unsigned int id = 0; id < COUNTERS; id++)
		pid[id] = dax_spawn(count_up(busy, id));
	collapse_them(busy);
	for (unsigned int id = 0; id < COUNTERS; id++)
		dax_wait(pid[id]);
}

DAX_EITHER(busy, dax_needs(), in_processes, threads, processes);

TEST_F(busy, store)
{
	unsigned int rounds = dax_scale(4), again = 0;
	size_t len = BLOCKS * SZ_2M;
	struct busy *busy = dax_shared(sizeof(*busy));

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(len, PREALLOC);

		dax_fill(fd, 0, len, 0);
		memset(busy, 0, sizeof(*busy));
		busy->processes = variant->in_processes;
		busy->map = map_by_ptes(fd, len, false);
		ASSERT_MAPPED("4K", busy->map);
		if (variant->in_processes)
			in_processes(busy);
		else
			dax_run_threads(COUNTERS + 1, collapse_or_count, busy);
		ASSERT_EQ(0, busy->odd);
		again += busy->again;
		ASSERT_EQ(0, lost_counts(busy));
		for (size_t at = 0; at < len; at += SZ_2M)
			ASSERT_MAPPED("2M", busy->map + at);
		dax_unmap(busy->map, len);
		dax_remove(fd);
	}
	dax_print_msg("%u times EAGAIN in %u rounds", again, rounds);
}

/* Against everything that takes the same locks: it comes to an end. */
static struct {
	int fd;
	char *p, *small;
	volatile bool stop;
	unsigned int done, again;
	int odd;			/* another errno */
} rivals;

static void rival(unsigned int id, void *arg)
{
	unsigned int rounds = dax_scale(60);

	for (unsigned int i = 0; id ? !rivals.stop : i < rounds; i++) {
		size_t at = i * 37 % PAGES_2M * SZ_4K + id;
		int err;

		switch (id) {
		case 0:
			back_to_ptes(rivals.p);
			err = dax_collapse(rivals.p, SZ_2M);
			rivals.done += !err;
			rivals.again += err == EAGAIN;
			if (err && err != EAGAIN)
				rivals.odd = err;
			break;
		case 1:
			dax_poke(rivals.p + at, i);
			dax_fsync(rivals.fd);
			break;
		case 2:
			dax_poke(rivals.small + at, i);
			dax_zap(rivals.small, SZ_2M);
			break;
		case 3:
			dax_zap(rivals.p + at - id, SZ_4K);
			dax_peek(rivals.p + at);
			break;
		}
	}
	if (!id)
		rivals.stop = true;
}

TEST_F(dax, rivals)
{
	rivals.fd = dax_file(SZ_2M, WRITTEN);
	rivals.p = map_by_ptes(rivals.fd, SZ_2M, true);
	rivals.small = dax_map_small(rivals.fd, SZ_2M);
	dax_trace(rivals.fd, "dax_collapse");
	dax_run_threads(4, rival, NULL);
	EXPECT_EQ(0, rivals.odd)
		TH_LOG("%s", dax_trace_text());
	EXPECT_LT(0, rivals.done);
	dax_print_msg("%u times done, %u times EAGAIN", rivals.done,
		      rivals.again);
	COLLAPSE(rivals.p);
	EXPECT_EQ(0, memcmp(rivals.p, rivals.small, SZ_2M));
}

/* Its promotions are counted as those of a fault. */
TEST_F(dax, counters)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map_by_ptes(fd, 2 * SZ_2M, false);
	unsigned long try = dax_promotions("try");
	unsigned long done = dax_promotions("done"), rollback, fragmented;

	EXPECT_EQ(0, dax_collapse(p, 2 * SZ_2M));
	EXPECT_EQ(try + 2, dax_promotions("try"));
	EXPECT_EQ(done + 2, dax_promotions("done"));

	fragmented = dax_promotions("refuse-fragmented");
	p = map_by_ptes(dax_file_fragmented(), SZ_2M, false);
	EXPECT_EQ(EINVAL, dax_collapse(p, SZ_2M));
	EXPECT_EQ(fragmented + 1, dax_promotions("refuse-fragmented"));

	rollback = dax_promotions("rollback");
	fd = dax_file(SZ_2M, PREALLOC);
	p = map_by_ptes(fd, SZ_2M, false);
	dax_poke(p, 'w');
	EXPECT_EQ(EINVAL, dax_collapse(p, SZ_2M));
	EXPECT_EQ(rollback + 1, dax_promotions("rollback"));
	EXPECT_EQ(try + 4, dax_promotions("try"));
	EXPECT_EQ(done + 2, dax_promotions("done"));
}

/*
 * By itself: a 4 KiB fault on a missing pte looks around at some pages of each
 * 2 MiB, the last one of them among these.
 */

#define TRIGGERS	4	/* how many there are in 2 MiB */

DAX_VARIANTS(growth, dax_policy(variant->policy) ?: dax_no_event("dax_collapse"),
	     const char *policy, *mapped;)

FIXTURE_VARIANT_ADD(growth, eager) { .policy = "eager", .mapped = "2M" };
FIXTURE_VARIANT_ADD(growth, fault) { .policy = "fault", .mapped = "4K" };
FIXTURE_VARIANT_ADD(growth, off) { .policy = "off", .mapped = "4K" };

/*
 * The file grows a page a time, and each page is stored to: the first fault
 * came when 2 MiB were not there yet, so there is a page table.
 */
TEST_F(growth, growing_file)
{
	bool huge = *variant->mapped == '2';
	int fd = dax_file_growing(SZ_2M);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, "dax_collapse dax_promote_entry");
	for (size_t at = 0; at < SZ_2M; at += SZ_4K) {
		dax_truncate(fd, at + SZ_4K);
		dax_poke(p + at, 'w');
	}
	/* Each ftruncate() unmaps the file, and leaves the page table. */
	dax_peek(p);
	EXPECT_MAPPED(variant->mapped, p);
	EXPECT_EQ(huge, COLLAPSED(0UL));
	EXPECT_GE(huge ? TRIGGERS : 0, COLLAPSES());
	for (size_t at = 0; at < SZ_2M; at += SZ_4K) {
		ASSERT_EQ('w', dax_peek(p + at));
		ASSERT_EQ(0, dax_peek(p + at + 1));
	}
	dax_trace(fd, "dax_writeback_one");
	EXPECT_FLUSHES(huge ? 1 : PAGES_2M, fd);
}

/* A page table of one pte, and from then on the policy. */
static char *start_with_ptes(const char *policy, int fd, size_t len)
{
	char *p;

	dax_peek(dax_map(fd, 9 * SZ_4K, SZ_4K));
	p = dax_map(fd, 0, len);
	dax_peek(p);
	dax_policy(policy);
	dax_trace(fd, NULL);
	return p;
}

static void touch_pages(char *p, unsigned int from, unsigned int to, bool write)
{
	dax_touch_each(p + from * SZ_4K, (to - from) * SZ_4K, SZ_4K, write);
}

DAX_EITHER(eager, dax_needs(), write, reads, writes);

TEST_F(eager, sequence)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = start_with_ptes("eager", fd, SZ_2M);

	ASSERT_MAPPED("4K", p);
	touch_pages(p, 1, PAGES_2M, variant->write);
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("2M", p + SZ_2M - SZ_4K);
	EXPECT_EQ(1, COLLAPSED(0UL));
	EXPECT_EQ(1, PROMOTE("done"));
	/* Half of it was enough. */
	EXPECT_GT(PAGES_2M, SMALL_FAULTS());
	EXPECT_EQ(FILL, dax_peek(p));
	EXPECT_EQ(0, wrong_bytes(p + SZ_4K, SZ_2M - SZ_4K,
				 variant->write ? 'w' : FILL));
	dax_trace_clear();
	EXPECT_FLUSHES(variant->write, fd);
}

/* Less than half of it is there: not worth it. */
TEST_F(dax, eager_skips_sparse)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = start_with_ptes("eager", fd, SZ_2M);

	for (int trigger = 0; trigger < TRIGGERS; trigger++)
		touch_pages(p, 100 + 128 * trigger, 128 + 128 * trigger, true);
	EXPECT_MAPPED("4K", p + 128 * SZ_4K - SZ_4K);
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
	EXPECT_EQ(0, dax_count("dax_collapse", "result 0"));
}

/* Zero pages are no blocks. */
TEST_F(dax, eager_skips_holes)
{
	int fd = dax_file(SZ_2M, HOLE);
	char *p = start_with_ptes("eager", fd, SZ_2M);

	touch_pages(p, 0, PAGES_2M, false);
	EXPECT_MAPPED("4K zero", p);
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
}

/* A range that can never be huge costs a few looks, however often it is touched. */
static void eager_in_vain(int fd, size_t len)
{
	char *p = start_with_ptes("eager", fd, len);

	touch_pages(p, 0, len / SZ_4K, true);
	EXPECT_MAPPED("4K", p);
	EXPECT_GE(TRIGGERS, COLLAPSES());
	EXPECT_GE(TRIGGERS, PROMOTE("try"));
	EXPECT_EQ(0, PROMOTE("done"));
	EXPECT_EQ('w', dax_peek(p + len - SZ_4K));
}

TEST_F(dax, eager_fragmented)
	DAX_CALL(eager_in_vain(dax_file_fragmented(), SZ_2M))
TEST_F(dax, eager_vma)
	DAX_CALL(eager_in_vain(dax_file(SZ_2M, WRITTEN), SZ_2M - SZ_4K))

TEST_F(dax, eager_off_colour)
{
	char *small;
	int fd;

	NEED(dax_policy("eager"));
	fd = dax_file(2 * SZ_2M, WRITTEN);
	small = dax_map_small(fd, 2 * SZ_2M);
	dax_trace(fd, NULL);
	touch_pages(small, 0, 2 * PAGES_2M, true);
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
	EXPECT_EQ(0, dax_count("dax_collapse", "result 0"));
}

TEST_F(dax, eager_private)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p;

	dax_peek(dax_map(fd, 9 * SZ_4K, SZ_4K));
	p = dax_map_private(fd, 0, SZ_2M);
	dax_poke(p, 'p');
	dax_policy("eager");
	for (unsigned int page = 1; page < PAGES_2M; page++)
		if (page % 5)
			dax_peek(p + page * SZ_4K);
		else
			dax_poke(p + page * SZ_4K, 'p');
	for (unsigned int page = 0; page < PAGES_2M; page++)
		ASSERT_EQ(page % 5 ? FILL : 'p', dax_peek(p + page * SZ_4K));
}

TEST_HARNESS_MAIN
