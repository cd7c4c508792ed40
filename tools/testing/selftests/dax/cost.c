// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a call costs does not grow with the file. A call that changes a range
 * unmaps that range, looks at its pages, and leaves the rest of the file mapped:
 * a page outside of the range takes no new fault.
 *
 * Costs are counts: the pages that dax_walk tells of, the pages of a mapping that
 * are gone, faults.
 */
#include <sys/resource.h>

#include "dax_harness.h"

DAX_SIZES(dax);
DAX_FIXTURE(walks, dax_no_walks())
DAX_SIZES(walks);
DAX_FIXTURE(unmounted, dax_no_walks() ?: dax_scratch(600, "", "dax=always"))
DAX_SIZES(unmounted);

/*
 * From one to the next a cost that grows is many times as much. Where not all
 * rounds are run the last one is left out: on a debug kernel to fill it takes long.
 */
#define LEN	(8 * SZ_2M)

static const size_t sizes[] = { SZ_2M, LEN, 256 * SZ_2M };

/* A file all of whose pages have been touched; its last 2 MiB are a hole. */
struct scene {
	int fd;
	size_t len;
	char *map;		/* NULL: it is not mapped any more */
};

static void touch_all(const char *map, size_t len)
{
	if (madvise((void *)map, len, MADV_POPULATE_READ))
		dax_exit_fail("MADV_POPULATE_READ: %m");
}

static unsigned int huge_pages(const char *map, size_t len)
{
	unsigned int nr = 0;

	for (size_t at = 0; at < len; at += SZ_2M)
		nr += !strcmp("2M", dax_mapped(map + at));
	return nr;
}

/* Of a large file a few blocks may not be aligned: they are mapped by 4 KiB. */
static struct scene scene_open(size_t len, size_t shift, bool mapped)
{
	struct scene s = { .fd = dax_create("cost"), .len = len };

	dax_falloc(s.fd, 0, 0, len);
	dax_fill(s.fd, 0, len, FILL);
	dax_fsync(s.fd);
	dax_truncate(s.fd, len + SZ_2M);
	s.map = dax_map_shift(s.fd, len, shift);
	touch_all(s.map, len);
	if (!shift && huge_pages(s.map, len) < len / SZ_2M / 2)
		dax_exit_fail("less than a half of the file is huge");
	if (!mapped) {
		dax_unmap(s.map, len);
		s.map = NULL;
	}
	return s;
}

static void scene_close(struct scene *s)
{
	if (s->map)
		dax_unmap(s->map, s->len);
	dax_remove(s->fd);
}

/* Pages that a touch would find mapped. */
static unsigned long mapped_pages(const struct scene *s)
{
	unsigned char *there = malloc(s->len / SZ_4K);
	unsigned long nr = 0;

	if (!there || mincore(s->map, s->len, there))
		dax_exit_fail("mincore: %m");
	for (size_t i = 0; i < s->len / SZ_4K; i++)
		nr += there[i] & 1;
	free(there);
	return nr;
}

/*
 * The calls. Each has a page in the middle that is its own, or the last one. In
 * this order: the last ones make the file shorter.
 */
#define CUT	-1	/* no mode of fallocate(), but ftruncate() */

static const struct call {
	const char *name;
	int mode;
	enum { MIDDLE, END } from;
	off_t off, len;
	unsigned long pages;	/* of the file, in its range */
} calls[] = {
	{ "punch a page", PUNCH_HOLE, MIDDLE, 0, SZ_4K, 1 },
	{ "punch a part of a page", PUNCH_HOLE, MIDDLE, 2 * SZ_4K + 100, 200, 1 },
	{ "zero a page", FALLOC_FL_ZERO_RANGE, MIDDLE, 4 * SZ_4K, SZ_4K, 1 },
	{ "allocate a page", 0, MIDDLE, 6 * SZ_4K, SZ_4K, 1 },
	{ "punch a page of a hole", PUNCH_HOLE, END, SZ_1M, SZ_4K, 0 },
	{ "insert a page behind all that is mapped", FALLOC_FL_INSERT_RANGE,
	  END, SZ_1M, SZ_4K, 0 },
	{ "collapse a page behind all that is mapped", FALLOC_FL_COLLAPSE_RANGE,
	  END, SZ_1M, SZ_4K, 0 },
	{ "cut off a hole", CUT, END, 0, 0, 0 },
	{ "cut off the last page", CUT, END, -SZ_4K, 0, 1 },
	{ "cut off a part of a page", CUT, END, -SZ_4K - 100, 0, 1 },
};

static void run(const struct scene *s, const struct call *call)
{
	off_t off = call->off + (off_t)(call->from == END ? s->len : s->len / 2);

	if (call->mode == CUT)
		dax_truncate(s->fd, off);
	else
		dax_falloc(s->fd, call->mode, off, call->len);
}

/* @told: there are events that tell of the pages. */
static void pages_looked_at(const struct scene *s, const struct call *call,
			    unsigned long entry, bool told)
{
	unsigned long most = call->pages + entry, gone = 0;

	if (s->map)
		gone = mapped_pages(s);
	if (told)
		dax_trace_clear();
	TH_LOG("%s, file of %zu MiB", call->name, s->len >> 20);
	run(s, call);
	if (told) {
		EXPECT_GE(most, dax_walks("busy").pages);
		/* Some calls drop a range once before and once after. */
		EXPECT_GE(2 * most, dax_walks("drop").pages);
	}
	if (!s->map)
		return;
	gone -= mapped_pages(s);
	EXPECT_GE(most, gone);
	touch_all(s->map, s->len - 2 * SZ_4K);
}

static void all_calls(size_t len, size_t shift, bool mapped, bool told)
{
	unsigned long entry = shift ? 1 : PAGES_2M;
	struct scene s = scene_open(len, shift, mapped);

	if (mapped)
		ASSERT_EQ(len / SZ_4K, mapped_pages(&s));
	if (told)
		dax_trace(s.fd, "dax_walk");
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++)
		pages_looked_at(&s, &calls[i], entry, told);
	scene_close(&s);
}

static void all_sizes(size_t shift, bool mapped)
{
	size_t nr = ARRAY_LEN(sizes) - (dax_scale(100) < 100);

	for (size_t i = 0; i < nr; i++)
		all_calls(sizes[i], shift, mapped, true);
}

TEST_F(walks, of_mapped) DAX_CALL(all_sizes(variant->shift, true))
TEST_F(walks, of_unmapped) DAX_CALL(all_sizes(variant->shift, false))

/* Without the events, only what is gone from the mapping tells. */
TEST_F(dax, rest_stays_mapped)
	DAX_CALL(all_calls(LEN, variant->shift, true, false))

/* Each page of a file is looked at once at most, and with rests. */
static void once(void)
{
	unsigned long most = LEN / SZ_4K + PAGES_2M;
	struct dax_walks all = dax_walks(NULL);

	EXPECT_GE(most, dax_walks("busy").pages);
	EXPECT_GE(most, dax_walks("drop").pages);
	EXPECT_GE(WALK_PAGES, all.longest);
}

static struct scene scene_traced(size_t shift, bool mapped)
{
	struct scene s = scene_open(LEN, shift, mapped);

	dax_trace(s.fd, "dax_walk");
	return s;
}

TEST_F(walks, delete_once)
{
	struct scene s = scene_traced(variant->shift, false);

	dax_remove(s.fd);
	/* XFS does it in the background. */
	for (int i = 0; i < 500 && dax_walks("drop").pages < LEN / SZ_4K; i++)
		usleep(10000);
	once();
}

TEST_F(walks, truncate_once)
{
	struct scene s = scene_traced(variant->shift, true);

	dax_truncate(s.fd, 0);
	once();
}

/* No pin can be left at unmount: no page is looked at. */
TEST_F(unmounted, unmount_once)
{
	struct scene s = scene_traced(variant->shift, false);

	close(s.fd);
	dax_scratch_remount("dax=always");
	once();
}

/*
 * A heap in one mapping frees its blocks one by one with MADV_REMOVE and uses
 * all others. A freed block must not cost them a fault: a heap of twice the
 * size takes twice the faults, not four times.
 */
static unsigned long faults(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		dax_exit_fail("getrusage: %m");
	return usage.ru_minflt;
}

/* Frees a page of each @step bytes, and touches all others after each of them. */
static unsigned long heap_faults(size_t len, size_t shift, size_t step)
{
	struct scene s = scene_open(len, shift, true);
	unsigned long before = faults();

	for (size_t at = 0; at < len; at += step) {
		if (madvise(s.map + at, SZ_4K, MADV_REMOVE))
			dax_exit_fail("MADV_REMOVE: %m");
		for (size_t i = 0; i < len; i += SZ_4K)
			if (i > at || i % step)
				dax_peek(s.map + i);
	}
	before = faults() - before;
	dax_print_msg("%zu pages, %lu faults", len / SZ_4K, before);
	scene_close(&s);
	return before;
}

TEST_F(dax, heap)
{
	size_t len = variant->shift ? SZ_1M / 2 : SZ_2M;
	size_t step = variant->shift ? SZ_4K : 8 * SZ_4K;
	unsigned long one = heap_faults(len, variant->shift, step);
	unsigned long two = heap_faults(2 * len, variant->shift, step);

	/* What is huge is mapped by 4 KiB once. A few faults are the test's. */
	EXPECT_GE(2 * len / SZ_4K + 64, one);
	EXPECT_GE(3 * one + 64, two);
}

TEST_HARNESS_MAIN
