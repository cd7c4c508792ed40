// SPDX-License-Identifier: GPL-2.0-only
/*
 * cachestat(2) tells what of a file is, or was, in the page cache: nothing of a
 * DAX file. Its entries are no shadows of pages that were evicted.
 */
#include "dax_harness.h"

#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

struct range {
	uint64_t off, len;
};

struct counts {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static int cachestat(int fd, struct counts *counts)
{
	struct range all = {};

	return syscall(SYS_cachestat, fd, &all, counts, 0) ? errno : 0;
}

/* The kernel has the call, and it counts the pages of another file. */
static const char *cannot_count(void)
{
	int fd = memfd_create("pages", 0);
	struct counts counts = {};
	int err;

	dax_fill(fd, 0, 2 * SZ_4K, 'p');
	err = cachestat(fd, &counts);
	close(fd);
	if (err)
		return "needs CONFIG_CACHESTAT_SYSCALL";
	if (counts.cached != 2)
		dax_exit_fail("of two pages, %lu are cached", counts.cached);
	return NULL;
}

DAX_NEEDS(cannot_count())

static void counts_nothing(int fd)
{
	struct counts counts = { .cached = 1 };

	EXPECT_EQ(0, cachestat(fd, &counts));
	EXPECT_EQ(0, counts.cached);
	EXPECT_EQ(0, counts.dirty);
	EXPECT_EQ(0, counts.writeback);
	EXPECT_EQ(0, counts.evicted);
	EXPECT_EQ(0, counts.recently_evicted);
}

TEST_F(dax, small_entries)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_small(fd, SZ_2M);

	dax_touch_each(p, SZ_2M, 2 * SZ_4K, false);
	ASSERT_MAPPED("4K", p);
	counts_nothing(fd);
	dax_touch_each(p, SZ_2M, 4 * SZ_4K, true);
	counts_nothing(fd);
	dax_unmap(p, SZ_2M);
	counts_nothing(fd);
}

TEST_F(dax, huge_entries)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 3 * SZ_2M);

	dax_peek(p);
	dax_poke(p + 2 * SZ_2M, 'w');
	ASSERT_MAPPED("2M", p);
	ASSERT_MAPPED("2M", p + 2 * SZ_2M);
	counts_nothing(fd);
	dax_fsync(fd);
	counts_nothing(fd);
}

TEST_F(dax, zero_entries)
{
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *p = dax_map(fd, 0, SZ_2M), *small;

	dax_peek(p);
	ASSERT_MAPPED("2M zero", p);
	small = dax_map(fd, SZ_2M, SZ_4K);
	dax_peek(small);
	ASSERT_MAPPED("4K zero", small);
	counts_nothing(fd);
}

TEST_HARNESS_MAIN
