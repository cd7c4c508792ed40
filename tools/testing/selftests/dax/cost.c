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

FIXTURE_VARIANT(dax) {
	size_t shift;		/* off colour gives 4 KiB entries */
	unsigned long entry;	/* pages of one */
};

FIXTURE_VARIANT_ADD(dax, 4k) { .shift = SZ_4K, .entry = 1 };
FIXTURE_VARIANT_ADD(dax, 2m) { .shift = 0, .entry = PAGES_2M };

/*
 * From one to the next a cost that grows is many times as much. Where not all
 * rounds are run the last one is left out: on a debug kernel to fill it takes long.
 */
static const size_t sizes[] = { SZ_2M, 32 * SZ_2M, 256 * SZ_2M };

static unsigned int nr_sizes(void)
{
	return dax_scale(100) < 100 ? ARRAY_LEN(sizes) - 1 : ARRAY_LEN(sizes);
}

/* A file all of whose pages have been touched; its last 2 MiB are a hole. */
struct scene {
	int fd;
	size_t len;
	char *map;		/* NULL: it is not mapped any more */
};

static void touch_all(const char *map, size_t len)
{
	if (madvise((void *)map, len, MADV_POPULATE_READ))
		dax_exit_fail("MADV_POPULATE_READ: %s", strerror(errno));
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
	dax_unlink(s->fd);
	close(s->fd);
}

/* Pages that a touch would find mapped. */
static unsigned long mapped_pages(const struct scene *s)
{
	unsigned char *there = malloc(s->len / SZ_4K);
	unsigned long nr = 0;

	if (!there || mincore(s->map, s->len, there))
		dax_exit_fail("mincore: %s", strerror(errno));
	for (size_t i = 0; i < s->len / SZ_4K; i++)
		nr += there[i] & 1;
	free(there);
	return nr;
}

/* The calls. Each has a page in the middle that is its own, or the last one. */

static void punch_page(const struct scene *s)
{
	dax_punch_hole(s->fd, s->len / 2, SZ_4K);
}

static void punch_part_of_page(const struct scene *s)
{
	dax_punch_hole(s->fd, s->len / 2 + 2 * SZ_4K + 100, 200);
}

static void zero_page(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_ZERO_RANGE, s->len / 2 + 4 * SZ_4K, SZ_4K);
}

static void allocate_page(const struct scene *s)
{
	dax_falloc(s->fd, 0, s->len / 2 + 6 * SZ_4K, SZ_4K);
}

static void punch_hole(const struct scene *s)
{
	dax_punch_hole(s->fd, s->len + SZ_1M, SZ_4K);
}

static void insert_page(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_INSERT_RANGE, s->len + SZ_1M, SZ_4K);
}

static void collapse_page(const struct scene *s)
{
	dax_falloc(s->fd, FALLOC_FL_COLLAPSE_RANGE, s->len + SZ_1M, SZ_4K);
}

static void cut_hole(const struct scene *s)
{
	dax_truncate(s->fd, s->len);
}

static void cut_last_page(const struct scene *s)
{
	dax_truncate(s->fd, s->len - SZ_4K);
}

static void cut_part_of_page(const struct scene *s)
{
	dax_truncate(s->fd, s->len - SZ_4K - 100);
}

/* In this order: the last ones make the file shorter. */
static const struct call {
	const char *name;
	void (*run)(const struct scene *s);
	unsigned long pages;	/* of the file, in its range */
} calls[] = {
	{ "punch a page", punch_page, 1 },
	{ "punch a part of a page", punch_part_of_page, 1 },
	{ "zero a page", zero_page, 1 },
	{ "allocate a page", allocate_page, 1 },
	{ "punch a page of a hole", punch_hole, 0 },
	{ "insert a page behind all that is mapped", insert_page, 0 },
	{ "collapse a page behind all that is mapped", collapse_page, 0 },
	{ "cut off a hole", cut_hole, 0 },
	{ "cut off the last page", cut_last_page, 1 },
	{ "cut off a part of a page", cut_part_of_page, 1 },
};

static void pages_looked_at(struct __test_metadata *_metadata,
			    const struct scene *s, const struct call *call,
			    unsigned long entry)
{
	unsigned long most = call->pages + entry, gone = 0;
	struct dax_walks busy, drop;

	if (s->map)
		gone = mapped_pages(s);
	dax_trace_clear();
	call->run(s);
	busy = dax_walks("busy");
	drop = dax_walks("drop");
	if (s->map)
		gone -= mapped_pages(s);
	EXPECT_GE(most, busy.pages)
		TH_LOG("%s, file of %zu MiB", call->name, s->len >> 20);
	/* Some calls drop a range once before and once after. */
	EXPECT_GE(2 * most, drop.pages)
		TH_LOG("%s, file of %zu MiB", call->name, s->len >> 20);
	EXPECT_GE(most, gone)
		TH_LOG("%s, file of %zu MiB", call->name, s->len >> 20);
	if (s->map)
		touch_all(s->map, s->len - 2 * SZ_4K);
}

static void all_calls(struct __test_metadata *_metadata, size_t len,
		      size_t shift, bool mapped)
{
	unsigned long entry = shift ? 1 : PAGES_2M;
	struct scene s = scene_open(len, shift, mapped);

	dax_trace(s.fd, "dax_walk");
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++)
		pages_looked_at(_metadata, &s, &calls[i], entry);
	scene_close(&s);
}

TEST_F(dax, of_mapped)
{
	NEED_WALKS();
	for (unsigned int i = 0; i < nr_sizes(); i++)
		all_calls(_metadata, sizes[i], variant->shift, true);
}

TEST_F(dax, of_unmapped)
{
	NEED_WALKS();
	for (unsigned int i = 0; i < nr_sizes(); i++)
		all_calls(_metadata, sizes[i], variant->shift, false);
}

/* The last page of a file that is mapped, so that a fault tells where it is. */
TEST_F(dax, rest_stays_mapped)
{
	struct scene s = scene_open(32 * SZ_2M, variant->shift, true);
	unsigned long before = mapped_pages(&s), gone;

	ASSERT_EQ(s.len / SZ_4K, before);
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++) {
		calls[i].run(&s);
		gone = before - mapped_pages(&s);
		EXPECT_GE(calls[i].pages + variant->entry, gone)
			TH_LOG("%s", calls[i].name);
		touch_all(s.map, s.len - 2 * SZ_4K);
		before = mapped_pages(&s);
	}
	scene_close(&s);
}

/* Each page of a file is looked at once at most, and with rests. */
static void once(struct __test_metadata *_metadata, size_t len)
{
	unsigned long most = len / SZ_4K + PAGES_2M;
	struct dax_walks all = dax_walks(NULL);

	EXPECT_GE(most, dax_walks("busy").pages);
	EXPECT_GE(most, dax_walks("drop").pages);
	EXPECT_GE(WALK_PAGES, all.longest);
}

TEST_F(dax, delete_once)
{
	size_t len = 32 * SZ_2M;
	struct scene s;

	NEED_WALKS();
	s = scene_open(len, variant->shift, false);
	dax_trace(s.fd, "dax_walk");
	dax_unlink(s.fd);
	close(s.fd);
	/* XFS does it in the background. */
	for (int i = 0; i < 500 && dax_walks("drop").pages < len / SZ_4K; i++)
		usleep(10000);
	once(_metadata, len);
}

TEST_F(dax, truncate_once)
{
	size_t len = 32 * SZ_2M;
	struct scene s;

	NEED_WALKS();
	s = scene_open(len, variant->shift, true);
	dax_trace(s.fd, "dax_walk");
	dax_truncate(s.fd, 0);
	once(_metadata, len);
	scene_close(&s);
}

/* No pin can be left at unmount: no page is looked at. */
TEST_F(dax, unmount_once)
{
	size_t len = 32 * SZ_2M;
	struct scene s;

	NEED_WALKS();
	NEED(dax_scratch(600, "", "dax=always"));
	s = scene_open(len, variant->shift, false);
	dax_trace(s.fd, "dax_walk");
	close(s.fd);
	dax_scratch_remount("dax=always");
	once(_metadata, len);
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
		dax_exit_fail("getrusage: %s", strerror(errno));
	return usage.ru_minflt;
}

/* Frees a page of each @step bytes, and touches all others after each of them. */
static unsigned long heap_faults(size_t len, size_t shift, size_t step)
{
	struct scene s = scene_open(len, shift, true);
	unsigned long before = faults();

	for (size_t at = 0; at < len; at += step) {
		if (madvise(s.map + at, SZ_4K, MADV_REMOVE))
			dax_exit_fail("MADV_REMOVE: %s", strerror(errno));
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
