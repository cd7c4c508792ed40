// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsync against promotion: while small entries become one, or become one and
 * are rolled back, no dirty entry may be missed.
 *
 * One process stores a byte to some pages of 2 MiB, through a mapping that is
 * off colour, and calls msync(MS_SYNC), round by round. Others fault on the
 * same 2 MiB with a fresh page table each time, or collapse theirs. The msync
 * covers all 2 MiB, or only the pages from the first store to the last. If the
 * 2 MiB are one entry by then, the latter flushes a part of it. Marks in the trace
 * surround each round; the trace clock orders the events of all CPUs. A store was
 * missed if no flush between the marks covers its page.
 *
 * To get small entries again, a page is punched out of the 2 MiB: it gets its
 * block back, or else the test uses the next 2 MiB of the file. Where half of
 * them is unwritten, each reader's attempt ends in a rollback instead.
 */
#include "dax_harness.h"
#include "dax_rounds.h"

DAX_NEEDS(dax_no_promotion())

#define STORES		16
#define STORE_PAGE(i)	(3 + 31 * (i))
#define SPARE_PAGE	(PAGES_2M - 1)	/* the one that is punched */
#define RANGES		32

struct race {
	int fd;
	off_t range;			/* the 2 MiB that it is about */
	char *small;			/* the writer's window on them */
	char *huge;			/* where others map them */
	bool parts;			/* msync of the stores alone */
	volatile bool stop, hold;
	volatile bool held[2], running[2];
	volatile unsigned long laps[2];
};

static void map_range(struct race *race, char *at)
{
	if (mmap(at, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 race->fd, race->range) == MAP_FAILED)
		dax_exit_fail("mmap: %m");
}

static void read_fault(struct race *race, unsigned long lap)
{
	map_range(race, race->huge);
	dax_peek(race->huge + lap * 97 % PAGES_2M * SZ_4K);
}

static void write_fault(struct race *race, unsigned long lap)
{
	map_range(race, race->huge);
	dax_poke(race->huge + lap * 97 % PAGES_2M * SZ_4K + 128, lap);
}

/* Off and on a pte comes first, so that there is a page table to replace. */
static void collapse(struct race *race, unsigned long lap)
{
	map_range(race, race->huge);
	if (lap % 2) {
		mprotect(race->huge + SZ_1M, SZ_1M,
			 PROT_READ | PROT_WRITE | PROT_EXEC);
		dax_peek(race->huge + lap * 97 % PAGES_2M * SZ_4K);
		mprotect(race->huge + SZ_1M, SZ_1M, PROT_READ | PROT_WRITE);
	}
	madvise(race->huge, SZ_2M, MADV_COLLAPSE);
}

static void another_fsync(struct race *race, unsigned long lap)
{
	dax_fsync(race->fd);
}

typedef void (*rival_fn)(struct race *race, unsigned long lap);

FIXTURE_VARIANT(dax) {
	unsigned int rounds;
	bool rolls_back;	/* the 2 MiB can never be one entry */
	rival_fn rival[2];
	bool parts;
};

#define LOAD	FIXTURE_VARIANT(dax)

FIXTURE_VARIANT_ADD(dax, read_faults) { 150, false, { read_fault } };
FIXTURE_VARIANT_ADD(dax, write_faults) { 150, false, { write_fault } };
FIXTURE_VARIANT_ADD(dax, collapses) { 150, false, { collapse } };
FIXTURE_VARIANT_ADD(dax, read_and_write_faults)
	{ 100, false, { read_fault, write_fault } };
FIXTURE_VARIANT_ADD(dax, read_faults_and_fsyncs)
	{ 100, false, { read_fault, another_fsync } };
FIXTURE_VARIANT_ADD(dax, collapses_and_fsyncs)
	{ 100, false, { collapse, another_fsync } };
FIXTURE_VARIANT_ADD(dax, parts_and_faults)
	{ 150, false, { read_fault, write_fault }, true };
FIXTURE_VARIANT_ADD(dax, parts_and_fsyncs)
	{ 100, false, { read_fault, another_fsync }, true };
FIXTURE_VARIANT_ADD(dax, rolled_back_parts) { 150, true, { read_fault }, true };
FIXTURE_VARIANT_ADD(dax, rolled_back_faults) { 200, true, { read_fault } };
FIXTURE_VARIANT_ADD(dax, rolled_back_collapses) { 200, true, { collapse } };
FIXTURE_VARIANT_ADD(dax, rolled_back_faults_and_fsyncs)
	{ 150, true, { read_fault, another_fsync } };
FIXTURE_VARIANT_ADD(dax, rolled_back_faults_and_collapses)
	{ 150, true, { read_fault, collapse } };

struct outcome {
	struct dax_rounds of;
	unsigned int promotions, rollbacks;
};

static void take_stock(struct outcome *out)
{
	out->promotions += PROMOTE("done");
	out->rollbacks += PROMOTE("rollback");
	dax_rounds_count(&out->of);
}

/* How many pages changes, and so does what meets what. */
static void one_round(struct race *race, unsigned int round)
{
	unsigned long before[2] = { race->laps[0], race->laps[1] };
	unsigned int nr = 1 + round % STORES;

	dax_round_begins();
	for (unsigned int i = 0; i < nr; i++)
		dax_poke(race->small + STORE_PAGE(i) * SZ_4K, round);
	if (race->parts)
		dax_msync(race->small + STORE_PAGE(0) * SZ_4K,
			  (STORE_PAGE(nr - 1) + 1 - STORE_PAGE(0)) * SZ_4K);
	else
		dax_msync(race->small, SZ_2M);
	dax_round_ends(nr);
	/* The slowest sets the pace: a rival that rests proves nothing. */
	for (int id = 0; id < 2; id++)
		while (race->running[id] && race->laps[id] == before[id])
			sched_yield();
}

static int rival(struct race *race, unsigned int id, rival_fn run)
{
	/* It would go on after a test that has given up. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; !race->stop; race->laps[id]++) {
		if (race->hold) {
			race->held[id] = true;
			while (race->hold && !race->stop)
				sched_yield();
			race->held[id] = false;
		}
		run(race, race->laps[id]);
	}
	return 0;
}

/* A process of its own shares neither the mmap lock nor the TLB with us. */
static pid_t start_rival(struct race *race, unsigned int id, rival_fn run)
{
	race->running[id] = true;
	return dax_spawn(rival(race, id, run));
}

static void hold_rivals(struct race *race, const LOAD *load)
{
	race->hold = true;
	for (int id = 0; id < 2; id++)
		while (load->rival[id] && !race->held[id])
			sched_yield();
}

/* And has them on the way before a round begins. */
static void let_go(struct race *race)
{
	race->hold = false;
	for (int id = 0; id < 2; id++)
		while (race->held[id])
			sched_yield();
}

/* Makes the entries small again; false if there are no 2 MiB left for it. */
static bool make_small(struct race *race)
{
	off_t spare = race->range + SPARE_PAGE * SZ_4K;

	dax_punch_hole(race->fd, spare, SZ_4K);
	dax_fsync(race->fd);
	dax_fill(race->fd, spare, SZ_4K, FILL);
	dax_fsync(race->fd);
	while (!dax_extent_huge(race->fd, race->range)) {
		if (race->range + SZ_2M == RANGES * SZ_2M)
			return false;
		race->range += SZ_2M;
		map_range(race, race->small);
	}
	dax_poke(race->small + STORE_PAGE(0) * SZ_4K, 0);
	return true;
}

static struct race *start_race(const LOAD *load)
{
	struct race *race = dax_shared(sizeof(*race));

	race->parts = load->parts;
	if (load->rolls_back)
		race->fd = dax_file(SZ_2M, PREALLOC);
	else
		race->fd = dax_file(RANGES * SZ_2M, WRITTEN);
	race->small = dax_map_small(race->fd, SZ_2M);
	race->huge = dax_map(race->fd, 0, SZ_2M);
	for (unsigned int i = 0; i < STORES; i++)
		dax_poke(race->small + STORE_PAGE(i) * SZ_4K, 0);
	dax_trace(race->fd, "dax_writeback_one dax_promote_entry");
	return race;
}

TEST_F(dax, every_store_is_flushed)
{
	const LOAD *load = variant;
	unsigned int rounds = dax_scale(load->rounds), resets = 0;
	struct outcome out = {
		.of = { .first = STORE_PAGE(0),
			.step = STORE_PAGE(1) - STORE_PAGE(0) },
	};
	bool more = true;
	struct race *race = start_race(load);
	pid_t pid[2];

	for (int id = 0; id < 2; id++)
		if (load->rival[id])
			pid[id] = start_rival(race, id, load->rival[id]);
	for (unsigned int i = 0; i < rounds; i++) {
		one_round(race, i);
		if (i % 8 == 7)
			take_stock(&out);
		if (load->rolls_back || !more || i % 2)
			continue;
		hold_rivals(race, load);
		more = make_small(race);
		resets += more;
		let_go(race);
	}
	race->stop = true;
	for (int id = 0; id < 2; id++)
		if (load->rival[id])
			dax_wait(pid[id]);
	take_stock(&out);
	dax_print_msg("%u msyncs of %u stores, %u stores not flushed",
		      out.of.rounds, out.of.stores, out.of.missed);
	dax_print_msg("small again %u times, %u promotions, %u rolled back",
		      resets, out.promotions, out.rollbacks);
	dax_print_msg("rivals did %lu, %lu laps", race->laps[0], race->laps[1]);
	EXPECT_EQ(rounds, out.of.rounds);
	EXPECT_EQ(0, out.of.missed);
	for (int id = 0; id < 2; id++)
		if (load->rival[id])
			EXPECT_LE(rounds, race->laps[id]);
	EXPECT_LT(0, load->rolls_back ? out.rollbacks : out.promotions);
}

/*
 * Whatever the two did, after a last msync everything is write-protected and
 * clean: the next store faults, in either mapping, and the next msync flushes.
 */
TEST_F(dax, clean_after_the_race)
{
	const LOAD *load = variant;
	unsigned int rounds = dax_scale(load->rounds / 10);
	bool more = true;
	struct race *race;

	if (load->rival[1])
		SKIP(return, "another variant has the first of its rivals");
	race = start_race(load);
	dax_trace(race->fd, "dax_pte_fault dax_pmd_fault");
	for (unsigned int i = 0; i < rounds; i++) {
		char *store = race->small + STORE_PAGE(i % STORES) * SZ_4K;
		pid_t pid;

		if (!load->rolls_back && more)
			more = make_small(race);
		race->stop = false;
		pid = start_rival(race, 0, load->rival[0]);
		for (int j = 0; j < 4; j++)
			one_round(race, i + j);
		race->stop = true;
		dax_wait(pid);

		dax_msync(race->small, SZ_2M);
		dax_trace_clear();
		dax_msync(race->small, SZ_2M);
		ASSERT_EQ(0, dax_count_all("dax_writeback_one"));
		dax_poke(store, i);
		ASSERT_LE(1, SMALL_FAULTS());
		dax_msync(race->small, SZ_2M);
		ASSERT_EQ(1, dax_count_all("dax_writeback_one"));
		if (load->rolls_back)
			continue;
		dax_trace_clear();
		map_range(race, race->huge);
		dax_poke(race->huge, i);
		dax_msync(race->small, SZ_2M);
		ASSERT_EQ(1, dax_count_all("dax_writeback_one"));
		dax_trace_clear();
		dax_poke(race->huge, i);
		ASSERT_LE(1, SMALL_FAULTS() +
			     HUGE_FAULTS());
		dax_msync(race->small, SZ_2M);
		ASSERT_EQ(1, dax_count_all("dax_writeback_one"));
	}
}

TEST_HARNESS_MAIN
