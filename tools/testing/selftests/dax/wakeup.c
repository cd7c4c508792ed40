// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiters for an entry: each one gets its turn, whatever happens to the entry
 * that it waits for. A lost wakeup hangs a test until its timeout; the
 * assertions are about the bytes that each thread sees.
 */
#include "dax_harness.h"

#define FILE_LEN	(2 * SZ_2M)

/* The file, how all have it mapped, and what any has found wrong. */
static int fd;
static char *aligned, *shifted;
static volatile unsigned int wrong;

static void file_for_all(enum dax_layout layout)
{
	fd = dax_file(FILE_LEN, layout);
	aligned = dax_map(fd, 0, FILE_LEN);
	shifted = dax_map_small(fd, FILE_LEN);
	wrong = 0;
}

static void forget_file(void)
{
	dax_unmap(aligned, FILE_LEN);
	dax_unmap(shifted, FILE_LEN);
	dax_remove(fd);
}

/* Where thread @id stores: a cache line of its own on a page that all share. */
static size_t place(unsigned int id, unsigned int i)
{
	return i * 16 * SZ_4K + (id / 4) * SZ_4K + id * 64;
}

#define PLACES	(FILE_LEN / (16 * SZ_4K))

static void first_touch(unsigned int id, void *arg)
{
	char *p = id % 2 ? shifted : aligned;

	for (unsigned int i = 0; i < PLACES; i++)
		if ((id + i) % 3)
			dax_poke(p + place(id, i), id + 1);
		else
			dax_peek(p + place(id, i));
}

static void check_first_touch(unsigned int nr)
{
	for (unsigned int id = 0; id < nr; id++)
		for (unsigned int i = 0; i < PLACES; i++) {
			char want = (id + i) % 3 ? id + 1 : 0;

			wrong += dax_peek(aligned + place(id, i)) != want;
			wrong += dax_peek(shifted + place(id, i)) != want;
		}
}

/* Huge and small first touches of one fresh file. */
static void crowd_on(enum dax_layout layout)
{
	unsigned int rounds = dax_scale(12), nr = 16;

	for (unsigned int i = 0; i < rounds; i++) {
		file_for_all(layout);
		dax_run_threads(nr, first_touch, NULL);
		check_first_touch(nr);
		ASSERT_EQ(0, wrong);
		forget_file();
	}
}

TEST_F(dax, first_touch_of_hole) DAX_CALL(crowd_on(HOLE))
TEST_F(dax, first_touch_of_prealloc) DAX_CALL(crowd_on(PREALLOC))

/* The same from processes, which share no mmap lock. */
TEST_F(dax, first_touch_by_processes)
{
	unsigned int rounds = dax_scale(6), nr = 8;

	for (unsigned int i = 0; i < rounds; i++) {
		pid_t pid[8];

		file_for_all(i % 2 ? HOLE : PREALLOC);
		for (unsigned int id = 0; id < nr; id++)
			pid[id] = dax_spawn((first_touch(id, NULL), 0));
		for (unsigned int id = 0; id < nr; id++)
			ASSERT_EQ(0, dax_wait(pid[id]));
		check_first_touch(nr);
		ASSERT_EQ(0, wrong);
		forget_file();
	}
}

/*
 * One huge zero page, and many stores to pages of it: the first one demotes it
 * while the others wait on its key.
 */
static void write_one_page(unsigned int id, void *arg)
{
	dax_poke(shifted + (id + 2) * SZ_4K, id + 1);
}

TEST_F(dax, demotion_wakes_all)
{
	unsigned int rounds = dax_scale(60), nr = 8;

	file_for_all(HOLE);
	for (unsigned int i = 0; i < rounds; i++) {
		dax_peek(aligned);
		dax_run_threads(nr, write_one_page, NULL);
		for (unsigned int id = 0; id < nr; id++)
			ASSERT_EQ(id + 1, dax_peek(aligned + (id + 2) * SZ_4K));
		dax_punch_hole(fd, 0, SZ_2M);
		ASSERT_EQ(0, dax_peek(shifted + 2 * SZ_4K));
		dax_punch_hole(fd, 0, SZ_2M);
	}
}

/*
 * write(2) into fresh holes invalidates the entries that faults have just made:
 * a waiter for an invalidation wakes the next one, even if there is nothing
 * left for it to do.
 */
static void write_and_fault(unsigned int id, void *arg)
{
	char c = id + 1;

	for (size_t page = 0; page < 64; page++) {
		if (id % 2) {
			off_t at = page * SZ_4K + id * 64;

			if (pwrite(fd, &c, 1, at) != 1)
				wrong++;
		} else {
			dax_peek(shifted + page * SZ_4K);
		}
	}
}

TEST_F(dax, writes_against_faults)
{
	unsigned int rounds = dax_scale(20), nr = 8;

	for (unsigned int i = 0; i < rounds; i++) {
		file_for_all(HOLE);
		dax_run_threads(nr, write_and_fault, NULL);
		ASSERT_EQ(0, wrong);
		for (size_t page = 0; page < 64; page++)
			for (unsigned int id = 1; id < nr; id += 2)
				ASSERT_EQ(id + 1, dax_peek(shifted +
						page * SZ_4K + id * 64));
		forget_file();
	}
}

/* fsync, faults of both sizes, write(2) and punch, all at once. */
static void everything(unsigned int id, void *arg)
{
	char buf[256];

	memset(buf, 'b', sizeof(buf));
	for (unsigned int i = 0; i < 12; i++) {
		size_t at = (i * 1031 + id * 77) % (FILE_LEN / SZ_4K) * SZ_4K;

		switch (id % 6) {
		case 0:
			dax_fsync(fd);
			break;
		case 1:
			dax_poke(aligned + at, 'a');
			break;
		case 2:
			dax_poke(shifted + at, 'a');
			break;
		case 3:
			if (pwrite(fd, buf, sizeof(buf), at) < 0)
				wrong++;
			break;
		case 4:
			dax_punch_hole(fd, at & -SZ_2M, 64 * SZ_4K);
			break;
		case 5:
			dax_zap(aligned, FILE_LEN);
			dax_peek(aligned + at);
			break;
		}
	}
}

TEST_F(dax, everything_at_once)
{
	unsigned int rounds = dax_scale(10);

	file_for_all(HOLE);
	for (unsigned int i = 0; i < rounds; i++) {
		dax_run_threads(12, everything, NULL);
		ASSERT_EQ(0, wrong);
		ASSERT_TRUE(dax_file_is(fd, 0, aligned, FILE_LEN));
		ASSERT_EQ(0, memcmp(aligned, shifted, FILE_LEN));
	}
}

TEST_HARNESS_MAIN
