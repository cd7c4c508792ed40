// SPDX-License-Identifier: GPL-2.0-only
/*
 * Soft-dirty bits tell which pages a process has stored to since they were
 * cleared, and a checkpoint saves no others. No collapse loses them, be it of
 * this process, of another one, or by the policy "eager". Nor does a store to
 * a huge page.
 */
#include "dax_harness.h"

#define STORE_EVERY	7	/* a prime: every 7th page is stored to */

/* Tracks the stores of this process from now on, in its present mappings. */
static void track(void)
{
	dax_must_write("/proc/self/clear_refs", "4");
}

static bool is_soft_dirty(const char *p)
{
	uint64_t entry;

	dax_pagemap(p, &entry, 1);
	return entry >> 55 & 1;
}

static const char *cannot_track(void)
{
	char *p = dax_anonymous(2 * SZ_4K, PROT_READ | PROT_WRITE);

	dax_poke(p, 'a');
	dax_poke(p + SZ_4K, 'a');
	track();
	dax_poke(p, 'b');
	return is_soft_dirty(p) && !is_soft_dirty(p + SZ_4K) ? NULL :
		"needs CONFIG_MEM_SOFT_DIRTY";
}

DAX_NEEDS(dax_policy("off") ?: dax_no_event("dax_collapse") ?: cannot_track())

static bool is_stored(size_t at)
{
	return at / SZ_4K % STORE_EVERY == 3;
}

static void store_to_some(char *p, char c)
{
	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		if (is_stored(at))
			dax_poke(p + at, c);
}

/* Pages with a store and no bit, or the other way round. */
static unsigned int wrong_bits(const char *p)
{
	unsigned int wrong = 0;

	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		wrong += is_soft_dirty(p + at) != is_stored(at);
	return wrong;
}

/* It is mapped by ptes, tracked, and some pages are stored to. */
static char *tracked(int fd)
{
	char *p = dax_map(fd, 0, SZ_2M);

	dax_touch_by_ptes(fd, p, SZ_2M, true);
	ASSERT_MAPPED("4K", p);
	track();
	store_to_some(p, 'x');
	ASSERT_EQ(0, wrong_bits(p));
	return p;
}

/* After a checkpoint, stores are tracked again. */
static void next_checkpoint(char *p)
{
	track();
	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		ASSERT_FALSE(is_soft_dirty(p + at));
	store_to_some(p, 'y');
	EXPECT_EQ(0, wrong_bits(p));
}

TEST_F(dax, own_collapse)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = tracked(fd);

	dax_trace(fd, "dax_collapse");
	EXPECT_EQ(EBUSY, dax_collapse(p, SZ_2M));
	EXPECT_EQ(1, dax_count("dax_collapse",
			       "result %d, reason page-table", -EBUSY));
	EXPECT_EQ(0, wrong_bits(p));
	next_checkpoint(p);
}

/* A run of stores makes no page writable that was not stored to. */
TEST_F(dax, stores_in_a_row)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_touch_by_ptes(fd, p, SZ_2M, true);
	ASSERT_MAPPED("4K", p);
	dax_fsync(fd);
	track();
	for (int i = 100; i < 120; i++)
		dax_poke(p + i * SZ_4K, 'r');
	for (int i = 0; i < PAGES_2M; i++)
		ASSERT_EQ(i >= 100 && i < 120, is_soft_dirty(p + i * SZ_4K));
}

/* Nor do the first stores of all. */
TEST_F(dax, first_stores_in_a_row)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_small(fd, SZ_2M);

	track();
	for (int i = 100; i < 120; i++)
		dax_poke(p + i * SZ_4K, 'r');
	for (int i = 0; i < PAGES_2M; i++)
		ASSERT_EQ(i >= 100 && i < 120, is_soft_dirty(p + i * SZ_4K));
}

/*
 * Few stores between two flushes are made through small pages, but not here: the
 * huge page would be split, and its bit be lost.
 */
TEST_F(dax, store_to_huge_by_page)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, "dax_writeback_one");
	dax_poke(p, 'x');
	ASSERT_MAPPED("2M", p);
	dax_fsync(fd);
	track();
	dax_poke(p + 10 * SZ_4K, 'x');
	dax_fsync(fd);
	dax_poke(p + 20 * SZ_4K, 'x');
	EXPECT_MAPPED("2M", p);
	EXPECT_TRUE(is_soft_dirty(p + 10 * SZ_4K));
	EXPECT_TRUE(is_soft_dirty(p + 20 * SZ_4K));
	dax_trace_clear();
	EXPECT_FLUSHES(1, fd);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
}

/* Later mappings are not tracked. */
TEST_F(dax, mapped_later)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = tracked(fd), *later = dax_map(fd, 0, SZ_2M);

	dax_touch_each(later, SZ_2M, SZ_4K, false);
	ASSERT_MAPPED("4K", later);
	EXPECT_EQ(0, dax_collapse(later, SZ_2M));
	EXPECT_MAPPED("2M", later);
	EXPECT_EQ(0, wrong_bits(p));
	EXPECT_EQ('x', dax_peek(later + 3 * SZ_4K));
	next_checkpoint(p);
	EXPECT_EQ('y', dax_peek(later + 3 * SZ_4K));
}

/* Another process, which is not tracked: it was forked before. */
enum { COLLAPSE, FIRST, OTHERS };

static struct {
	int fd;
	char *map;
} other;

static int other_process(int step, void *arg)
{
	if (step == COLLAPSE) {
		dax_touch_by_ptes(other.fd, other.map, SZ_2M, true);
		return dax_collapse(other.map, SZ_2M);
	}
	if (step == FIRST)
		dax_peek(other.map);
	else
		dax_touch_each(other.map + SZ_4K, SZ_2M - SZ_4K, SZ_4K, false);
	return dax_mapped(other.map)[0];
}

static char *tracked_beside(struct dax_helper *peer)
{
	other.fd = dax_file(SZ_2M, WRITTEN);
	other.map = dax_map(other.fd, 0, SZ_2M);
	dax_helper_start(peer, other_process, NULL);
	return tracked(other.fd);
}

TEST_F(dax, collapse_by_another_process)
{
	struct dax_helper peer;
	char *p = tracked_beside(&peer);

	EXPECT_EQ(0, dax_helper_step(&peer, COLLAPSE));
	EXPECT_EQ(0, wrong_bits(p));
	next_checkpoint(p);
	EXPECT_EQ('y', dax_peek(p + 3 * SZ_4K));
	EXPECT_EQ('w', dax_peek(p + 4 * SZ_4K));
}

/* Each store is a fault that makes a small entry, and some of them look. */
TEST_F(dax, eager)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p;

	dax_peek(dax_map(fd, 9 * SZ_4K, SZ_4K));
	p = dax_map(fd, 0, SZ_2M);
	dax_peek(p);
	ASSERT_MAPPED("4K", p);
	track();
	NEED(dax_policy("eager"));
	dax_trace(fd, "dax_collapse");
	store_to_some(p, 'x');
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	EXPECT_EQ(0, dax_count_all("dax_collapse"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(0, wrong_bits(p));
}

TEST_F(dax, eager_in_another_process)
{
	struct dax_helper peer;
	char *p = tracked_beside(&peer);

	ASSERT_EQ('4', dax_helper_step(&peer, FIRST));
	NEED(dax_policy("eager"));
	dax_trace(other.fd, "dax_collapse");
	EXPECT_EQ('2', dax_helper_step(&peer, OTHERS));
	EXPECT_LE(1, dax_count("dax_collapse", "result 0"));
	EXPECT_EQ(0, wrong_bits(p));
	next_checkpoint(p);
}

TEST_HARNESS_MAIN
