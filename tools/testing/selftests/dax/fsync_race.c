// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsync against whoever else holds the entry's lock (lesson 7).
 *
 * A writeback that meets a locked entry has to wait for it and flush it. The
 * kernels from 4.20 on took the locked entry for one that is gone: fsync
 * returned 0 with nothing flushed, and a power cut lost acknowledged data.
 *
 * One thread stores a byte and calls msync(MS_SYNC), round by round, while
 * another one keeps the entry's lock busy. Each round is framed by marks in
 * the trace, whose clock orders the events of all CPUs; a round between whose
 * marks no flush event stands is a store that was not covered.
 *
 * Stock events only: a stock kernel runs this test, and fails it.
 */
#include "dax_harness.h"

FIXTURE_VARIANT(dax) {
	size_t size;
	unsigned int rounds;
};

FIXTURE_VARIANT_ADD(dax, 4k) { .size = SZ_4K, .rounds = 1000 };
FIXTURE_VARIANT_ADD(dax, 2m) { .size = SZ_2M, .rounds = 300 };

struct race {
	int fd;
	size_t size;
	char *writer, *other;
	volatile bool stop;
	unsigned long laps;	/* of the other thread */
};

static void *read_faults(void *arg)
{
	struct race *race = arg;

	for (; !race->stop; race->laps++) {
		dax_zap(race->other, race->size);
		dax_peek(race->other);
	}
	return NULL;
}

static void *write_faults(void *arg)
{
	struct race *race = arg;

	for (; !race->stop; race->laps++) {
		dax_zap(race->other, race->size);
		dax_poke(race->other + 128, race->laps);
	}
	return NULL;
}

static void *fsyncs(void *arg)
{
	struct race *race = arg;

	for (; !race->stop; race->laps++)
		dax_fsync(race->fd);
	return NULL;
}

static bool line_is(const char *line, const char *start)
{
	return !strncmp(line, start, strlen(start));
}

/* Rounds in the trace without a flush between their marks. */
static unsigned int uncovered(unsigned int *rounds)
{
	const char *mark;
	bool in_round = false, flushed = false;
	unsigned int missed = 0;

	for (const char *p = dax_trace_text(); *p; ) {
		const char *end = strchrnul(p, '\n');

		mark = strstr(p, "round-");
		if (mark && mark < end) {
			in_round = line_is(mark, "round-begin");
			if (!in_round) {
				missed += !flushed;
				++*rounds;
			}
			flushed = false;
		} else if (in_round && line_is(p, "dax_writeback_one:")) {
			flushed = true;
		}
		p = *end ? end + 1 : end;
	}
	dax_trace_clear();
	return missed;
}

struct outcome {
	unsigned int rounds, missed;
	unsigned long laps;
};

static struct outcome run(const FIXTURE_VARIANT(dax) *variant,
			  void *(*other)(void *))
{
	unsigned int rounds = dax_scale(variant->rounds);
	struct race race = { .size = variant->size };
	struct outcome out = {};
	pthread_t thread;

	race.fd = dax_file(SZ_2M, WRITTEN);
	race.writer = dax_map(race.fd, 0, variant->size);
	race.other = dax_map(race.fd, 0, variant->size);
	dax_trace(race.fd, "dax_writeback_one");
	dax_poke(race.writer, 0);
	dax_msync(race.writer, variant->size);

	thread = dax_thread(other, &race);
	for (unsigned int i = 0; i < rounds; i++) {
		dax_trace_mark("round-begin\n");
		dax_poke(race.writer, i);
		dax_msync(race.writer, variant->size);
		dax_trace_mark("round-end\n");
		if (i % 64 == 63)
			out.missed += uncovered(&out.rounds);
	}
	race.stop = true;
	dax_join(thread);
	out.missed += uncovered(&out.rounds);
	out.laps = race.laps;
	dax_note("%u msyncs, %u flushed nothing; the other thread did %lu laps",
		 out.rounds, out.missed, out.laps);
	return out;
}

TEST_F(dax, alone)
{
	unsigned int rounds = dax_scale(50), seen = 0;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, variant->size);

	dax_trace(fd, "dax_writeback_one");
	for (unsigned int i = 0; i < rounds; i++) {
		dax_trace_mark("round-begin\n");
		dax_poke(p, i);
		dax_msync(p, variant->size);
		dax_trace_mark("round-end\n");
	}
	EXPECT_EQ(0, uncovered(&seen));
	EXPECT_EQ(rounds, seen);
}

TEST_F(dax, against_read_faults)
{
	struct outcome out = run(variant, read_faults);

	EXPECT_EQ(dax_scale(variant->rounds), out.rounds);
	EXPECT_EQ(0, out.missed);
	EXPECT_LT(0, out.laps);
}

TEST_F(dax, against_write_faults)
{
	struct outcome out = run(variant, write_faults);

	EXPECT_EQ(dax_scale(variant->rounds), out.rounds);
	EXPECT_EQ(0, out.missed);
	EXPECT_LT(0, out.laps);
}

TEST_F(dax, against_another_fsync)
{
	struct outcome out = run(variant, fsyncs);

	EXPECT_EQ(dax_scale(variant->rounds), out.rounds);
	EXPECT_EQ(0, out.missed);
	EXPECT_LT(0, out.laps);
}

/*
 * A page is made writable while fsync cleans it. Whatever the two did, after a
 * last msync the page has to be write-protected and clean: the next store
 * faults and the next msync flushes. (F13)
 */
static void *stores(void *arg)
{
	struct race *race = arg;

	for (; !race->stop; race->laps++)
		dax_poke(race->other, race->laps);
	return NULL;
}

TEST_F(dax, clean_after_the_race)
{
	unsigned int rounds = dax_scale(40);
	struct race race = { .size = variant->size };

	race.fd = dax_file(SZ_2M, WRITTEN);
	race.writer = dax_map(race.fd, 0, variant->size);
	race.other = dax_map(race.fd, 0, variant->size);
	dax_trace(race.fd, "dax_writeback_one dax_pte_fault dax_pmd_fault");
	for (unsigned int i = 0; i < rounds; i++) {
		pthread_t thread;

		race.stop = false;
		thread = dax_thread(stores, &race);
		for (int j = 0; j < 5; j++)
			dax_fsync(race.fd);
		race.stop = true;
		dax_join(thread);

		dax_msync(race.writer, race.size);
		dax_trace_clear();
		dax_poke(race.other, i);
		ASSERT_LE(1, dax_count("dax_pte_fault", "%s", "") +
			     dax_count("dax_pmd_fault", "%s", ""));
		dax_msync(race.writer, race.size);
		ASSERT_EQ(1, dax_count("dax_writeback_one", "%s", ""));
	}
}

TEST_HARNESS_MAIN
