// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsync against another holder of the entry's lock.
 *
 * Writeback that meets a locked entry must wait for it and flush it. Kernels
 * from 4.20 on took a locked entry for one that is gone: fsync returned 0 with
 * nothing flushed, and a power cut lost acknowledged data.
 *
 * One process stores a byte to each entry and calls msync(MS_SYNC), round by
 * round, while another process keeps the entries' locks busy. Marks in the
 * trace surround each round; the trace clock orders the events of all CPUs. A
 * store was missed if no flush of its entry is between the marks.
 *
 * The test uses events of the stock kernel only; a stock kernel runs it and
 * fails.
 */
#include "dax_harness.h"
#include "dax_rounds.h"

struct load {
	size_t size;		/* of an entry */
	unsigned int entries;	/* at the start of the file */
	size_t shift;		/* of the mapping */
	unsigned int rounds;
	size_t sync;		/* at the start of each entry; 0: all of the file */
};

FIXTURE_VARIANT(dax) {
	struct load load;
};

FIXTURE_VARIANT_ADD(dax, 4k)
	{ .load = { SZ_4K, .entries = 16, .shift = SZ_4K, .rounds = 300 } };
FIXTURE_VARIANT_ADD(dax, 2m) { .load = { SZ_2M, .entries = 1, .rounds = 300 } };
/* msync of a part of the entry, which leaves it dirty. */
FIXTURE_VARIANT_ADD(dax, part)
	{ .load = { SZ_2M, .entries = 1, .rounds = 300, .sync = SZ_4K } };

struct race {
	int fd;
	size_t size, len, sync;
	char *writer, *other;
	volatile bool stop;
	volatile unsigned int stored;	/* rounds that wait for their msync */
	unsigned long laps;	/* of the other process */
};

static void read_faults(struct race *race)
{
	for (; !race->stop; race->laps++) {
		dax_zap(race->other, race->len);
		dax_touch_each(race->other, race->len, race->size, false);
	}
}

static void write_faults(struct race *race)
{
	for (; !race->stop; race->laps++) {
		dax_zap(race->other, race->len);
		for (size_t at = 0; at < race->len; at += race->size)
			dax_poke(race->other + at + 128, race->laps);
	}
}

static void fsyncs(struct race *race)
{
	for (; !race->stop; race->laps++)
		dax_fsync(race->fd);
}

/*
 * Of a page of the same entry, in which no store is awaited; not so many that the
 * trace overflows.
 */
static void msyncs_of_another_part(struct race *race)
{
	for (; !race->stop; race->laps++) {
		while (race->laps > 64UL * race->stored && !race->stop)
			sched_yield();
		dax_poke(race->other + race->size - 1, race->laps);
		dax_msync(race->other + race->size - SZ_4K, SZ_4K);
	}
}

/* One fsync to each msync, at the same time. */
static void fsync_in_step(struct race *race)
{
	unsigned int seen = 0;

	race->laps = 1;
	while (!race->stop) {
		if (seen == race->stored)
			continue;
		seen = race->stored;
		dax_fsync(race->fd);
		race->laps++;
	}
}

static void one_round(struct race *race, char byte)
{
	dax_round_begins();
	dax_poke_each(race->writer, race->len, race->size, byte);
	race->stored++;
	dax_msync(race->writer, race->sync ?: race->len);
	dax_round_ends(race->len / race->size);
}

static char *map(const struct load *load, int fd)
{
	return dax_map_shift(fd, load->size * load->entries, load->shift);
}

/* Nothing is missed, while @other does at least @laps, if there is one. */
static void run(const struct load *load, void (*other)(struct race *race),
		unsigned long laps)
{
	unsigned int rounds = dax_scale(load->rounds);
	struct dax_rounds out = { .step = load->size / SZ_4K };
	pid_t pid = 0;
	struct race *race = dax_shared(sizeof(*race));

	race->size = load->size;
	race->sync = load->sync;
	race->len = load->size * load->entries;
	race->fd = dax_file(SZ_2M, WRITTEN);
	race->writer = map(load, race->fd);
	race->other = map(load, race->fd);
	dax_trace(race->fd, "dax_writeback_one dax_writeback_range dax_writeback_range_done");

	if (other) {
		/* A process shares neither the mmap lock nor the TLB with us. */
		pid = dax_spawn((other(race), 0));
		while (!race->laps)
			usleep(1000);
	}
	for (unsigned int i = 0; i < rounds; i++) {
		one_round(race, i);
		if (i % 32 == 31)
			dax_rounds_count(&out);
	}
	race->stop = true;
	if (other)
		dax_wait(pid);
	dax_rounds_count(&out);
	dax_print_msg("%u msyncs of %u stores, %u not flushed; the other process did %lu laps",
		      out.rounds, out.stores, out.missed, race->laps);
	EXPECT_EQ(rounds, out.rounds);
	EXPECT_EQ(0, out.missed);
	EXPECT_LE(laps, race->laps);
}

TEST_F(dax, alone) DAX_CALL(run(&variant->load, NULL, 0))
TEST_F(dax, against_read_faults) DAX_CALL(run(&variant->load, read_faults, 1))
TEST_F(dax, against_write_faults) DAX_CALL(run(&variant->load, write_faults, 1))
TEST_F(dax, against_another_fsync) DAX_CALL(run(&variant->load, fsyncs, 1))

/*
 * The request of an fsync stands in a mark that all share. One that flushes a
 * part, which it has nothing to do with, must leave it alone.
 */
TEST_F(dax, against_msyncs_of_a_part)
	DAX_CALL(run(&variant->load, msyncs_of_another_part, 1))

/*
 * Two calls that flush the same range leapfrog, each past the entry that the
 * other one is at: the second one at the last entry has to wait for it.
 */
TEST_F(dax, in_step_with_another_fsync)
	DAX_CALL(run(&variant->load, fsync_in_step, 2))

/*
 * A page is made writable while fsync cleans it. Whatever the two did, after a
 * last msync the page has to be write-protected and clean: the next store
 * faults and the next msync flushes.
 */
static char *stored_to;

static void store_on(unsigned long nr)
{
	dax_poke(stored_to, nr);
}

TEST_F(dax, clean_after_the_race)
{
	unsigned int rounds = dax_scale(40);
	size_t size = variant->load.size;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, size);

	stored_to = dax_map(fd, 0, size);
	dax_trace(fd, "dax_writeback_one dax_pte_fault dax_pmd_fault");
	for (unsigned int i = 0; i < rounds; i++) {
		dax_background(store_on);
		for (int j = 0; j < 5; j++)
			dax_fsync(fd);
		dax_background_stop();

		dax_msync(p, size);
		dax_trace_clear();
		dax_poke(stored_to, i);
		ASSERT_LE(1, SMALL_FAULTS() +
			     HUGE_FAULTS());
		dax_msync(p, size);
		ASSERT_EQ(1, dax_count_all("dax_writeback_one"));
	}
}

/*
 * One task stores to 16 pages and flushes them.  Stores of another task to the page
 * before them map those that are dirty, while the flush has them locked.  After a last
 * fsync, all have to be clean, as above.
 */
#define AROUND	16

static struct {
	char *p, *other;
	volatile bool flushed;
} beside;

static void flush_or_store(unsigned int id, void *arg)
{
	if (id) {
		while (!beside.flushed) {
			dax_poke(beside.p, 'b');
			dax_msync(beside.p, SZ_4K);
		}
		return;
	}
	dax_poke_each(beside.other + SZ_4K, AROUND * SZ_4K, SZ_4K, 'a');
	dax_msync(beside.other + SZ_4K, AROUND * SZ_4K);
	beside.flushed = true;
}

DAX_FIXTURE(around, dax_no_event("dax_map_around"))

TEST_F(around, clean_after_the_race)
{
	unsigned int rounds = dax_scale(1000);
	int fd = dax_file(SZ_2M, WRITTEN);

	/* Mappings of these pages alone: a run of stores dirties no other. */
	beside.p = dax_map_small(fd, (AROUND + 1) * SZ_4K);
	beside.other = dax_map_small(fd, (AROUND + 1) * SZ_4K);
	dax_trace(fd, "dax_writeback_one");
	for (unsigned int i = 0; i < rounds; i++) {
		beside.flushed = false;
		dax_run_threads(2, flush_or_store, NULL);
		dax_fsync(fd);
		dax_trace_clear();
		dax_poke_each(beside.p + SZ_4K, AROUND * SZ_4K, SZ_4K, 'c');
		dax_fsync(fd);
		ASSERT_EQ(AROUND, dax_count_all("dax_writeback_one"));
	}
}

TEST_HARNESS_MAIN
