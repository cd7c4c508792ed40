// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of a call does not grow with the file. A call that changes a range
 * unmaps that range, looks at its pages, and leaves the rest of the file mapped:
 * a page outside of the range takes no new fault.
 *
 * Costs are counts: the pages in the events dax_walk, the pages of a mapping that
 * are gone, flushes, entries that are deleted, faults.
 */
#include <sys/resource.h>

#include "dax_exchange.h"
#include "dax_harness.h"

/* Of a filesystem of its own: nothing else comes free there, and it can be unmounted. */
static unsigned long before;	/* free blocks */

static const char *fresh_fs(void)
{
	const char *why = dax_scratch(1200, "", "dax=always");

	if (!why)
		before = dax_free_blocks();
	return why;
}

static const char *exchanging_fs(void)
{
	const char *why = dax_no_reflink() ?: fresh_fs();

	if (!why)
		dax_xfs_allow_exchange("dax=always");
	return why;
}

DAX_SIZES(dax);
DAX_FIXTURE(walks, dax_no_walks())
DAX_SIZES(walks);
DAX_FIXTURE(fresh, dax_no_walks() ?: fresh_fs())
DAX_SIZES(fresh);
DAX_FIXTURE(exchange, dax_no_walks() ?: exchanging_fs())
DAX_SIZES(exchange);

#define LEN	(8 * SZ_2M)

/*
 * From one to the next a cost that grows is many times as much. Where not all
 * rounds are run the last one is left out: on a debug kernel to fill it takes long.
 */
static const size_t sizes[] = { SZ_2M, 32 * SZ_2M, 1024 * SZ_2M };

static unsigned int nr_sizes(void)
{
	return ARRAY_LEN(sizes) - (dax_scale(100) < 100);
}

/* A file all of whose pages have been touched; its last 2 MiB are a hole. */
struct scene {
	int fd, other;		/* the other one has a page that is the same */
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
	struct scene s = {
		.fd = dax_create("cost"), .other = dax_create("other"), .len = len,
	};

	dax_fill(s.other, 0, SZ_4K, FILL);
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
	dax_remove(s->other);
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
 * The calls that are no fallocate() or ftruncate(). Each is about the page of the
 * file at @at, and, if it is about two files, about the first page of @other.
 */
static void msync_page(int fd, off_t at, int other)
{
	char *p = dax_map(fd, at, SZ_4K);

	dax_poke(p, FILL);
	dax_msync(p, SZ_4K);
	dax_unmap(p, SZ_4K);
}

static void fsync_page(int fd, off_t at, int other)
{
	char *p = dax_map(fd, at, SZ_4K);

	dax_poke(p, FILL);
	dax_unmap(p, SZ_4K);
	dax_fsync(fd);
}

static void share_with(int fd, off_t at, int other)
{
	dax_share_page(fd, at, other);
}

static void share_from(int fd, off_t at, int other)
{
	struct file_clone_range range = {
		.src_fd = other, .src_length = SZ_4K, .dest_offset = at,
	};

	if (ioctl(fd, FICLONERANGE, &range))
		dax_exit_fail("FICLONERANGE: %m");
}

static void dedupe_with(int fd, off_t at, int other)
{
	if (dax_dedupe(fd, at, SZ_4K, other, 0) != SZ_4K)
		dax_exit_fail("the page is not shared: %m");
}

static void dedupe_from(int fd, off_t at, int other)
{
	if (dax_dedupe(other, 0, SZ_4K, fd, at) != SZ_4K)
		dax_exit_fail("the page is not shared: %m");
}

static void exchange_with(int fd, off_t at, int other)
{
	if (dax_xfs_exchange_page(fd, at, other))
		dax_exit_fail("XFS_IOC_EXCHANGE_RANGE: %m");
}

/*
 * Each call has a page in the middle that is its own, or the last one. In this
 * order: the first ones find a huge entry whole, the last ones make the file
 * shorter.
 */
#define CUT	-1	/* no mode of fallocate(), but ftruncate() */

struct call {
	const char *name;
	int mode;
	enum { MIDDLE, END } from;
	off_t off, len;
	unsigned long pages;	/* of the file, in its range */
	void (*page_call)(int fd, off_t at, int other);
	unsigned int flushes;
	bool shares;		/* blocks, which is a feature of XFS */
};

static const struct call exchange = {
	"exchange a page", .from = MIDDLE, .pages = 1, .page_call = exchange_with
};

static const struct call calls[] = {
	{ "msync a page", .off = 8 * SZ_4K, .pages = 1, .page_call = msync_page,
	  .flushes = 1 },
	{ "fsync a page", .off = 10 * SZ_4K, .pages = 1, .page_call = fsync_page,
	  .flushes = 1 },
	{ "share a page", .off = 12 * SZ_4K, .pages = 1, .page_call = share_with,
	  .shares = true },
	{ "unshare a page", FALLOC_FL_UNSHARE_RANGE, MIDDLE, 12 * SZ_4K, SZ_4K, 1,
	  .shares = true },
	{ "take over a page", .off = 14 * SZ_4K, .pages = 1, .page_call = share_from,
	  .shares = true },
	{ "dedupe a page", .off = 16 * SZ_4K, .pages = 1, .page_call = dedupe_with,
	  .shares = true },
	{ "take over a page that is the same", .off = 18 * SZ_4K, .pages = 1,
	  .page_call = dedupe_from, .shares = true },
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

	if (call->page_call)
		call->page_call(s->fd, off, s->other);
	else if (call->mode == CUT)
		dax_truncate(s->fd, off);
	else
		dax_falloc(s->fd, call->mode, off, call->len);
}

/* Each page of its range is looked at once, or once by each of two steps. */
static void expect_walks(unsigned long most)
{
	EXPECT_GE(most, dax_walks("busy").pages);
	EXPECT_GE(most, dax_walks("write").pages);
	EXPECT_GE(most, dax_walks("unshare").pages);
	EXPECT_GE(most, dax_walks("compare").pages);
	/* Some calls drop a range once before and once after. */
	EXPECT_GE(2 * most, dax_walks("drop").pages);
}

/* The pages that a call may have unmapped, but for the last ones, which may be gone. */
static void touch_again(const struct scene *s)
{
	if (s->len > SZ_2M)
		touch_all(s->map + s->len / 2, SZ_2M);
	touch_all(s->map + s->len - SZ_2M, SZ_2M - 2 * SZ_4K);
}

/* @traced: the kernel has the events that count pages. */
static void pages_looked_at(const struct scene *s, const struct call *call,
			    unsigned long entry, bool traced)
{
	unsigned long most = call->pages + entry, gone = 0;

	if (s->map)
		gone = mapped_pages(s);
	if (traced)
		dax_trace_clear();
	TH_LOG("%s, file of %zu MiB", call->name, s->len >> 20);
	run(s, call);
	if (traced) {
		expect_walks(most);
		EXPECT_EQ(call->flushes, FLUSHES());
	}
	if (!s->map)
		return;
	gone -= mapped_pages(s);
	EXPECT_GE(most, gone);
	touch_again(s);
}

static void all_calls(size_t len, size_t shift, bool mapped, bool traced)
{
	unsigned long entry = shift ? 1 : PAGES_2M;
	struct scene s = scene_open(len, shift, mapped);

	if (mapped)
		ASSERT_EQ(len / SZ_4K, mapped_pages(&s));
	if (traced)
		dax_trace(s.fd, "dax_walk dax_writeback_one");
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++)
		if (!calls[i].shares || dax_is_xfs())
			pages_looked_at(&s, &calls[i], entry, traced);
	scene_close(&s);
}

static void all_sizes(size_t shift, bool mapped)
{
	for (size_t i = 0; i < nr_sizes(); i++)
		all_calls(sizes[i], shift, mapped, true);
}

TEST_F(walks, of_mapped) DAX_CALL(all_sizes(variant->shift, true))
TEST_F(walks, of_unmapped) DAX_CALL(all_sizes(variant->shift, false))

/* Without the events, only what is gone from the mapping tells. */
TEST_F(dax, rest_stays_mapped)
	DAX_CALL(all_calls(LEN, variant->shift, true, false))

TEST_F(exchange, exchange_a_page)
{
	for (int mapped = 0; mapped < 2; mapped++) {
		for (size_t len = SZ_2M; len <= 32 * SZ_2M; len *= 32) {
			struct scene s = scene_open(len, variant->shift, mapped);

			dax_trace(s.fd, "dax_walk dax_writeback_one");
			pages_looked_at(&s, &exchange, variant->size / SZ_4K, true);
			scene_close(&s);
		}
	}
}

/* Pages of the entries that went with the blocks of the file. */
static unsigned long pages_deleted(void)
{
	return dax_count("dax_delete_entry", "order 0, by truncate") +
		dax_count("dax_delete_entry", "order 9, by truncate") * PAGES_2M;
}

/* Each page of a file is looked at once, and with rests. */
static void once(void)
{
	struct dax_walks busy = dax_walks("busy");

	EXPECT_LE(LEN / SZ_4K, busy.pages);
	EXPECT_GE(LEN / SZ_4K + PAGES_2M, busy.pages);
	EXPECT_GE(WALK_PAGES, busy.longest);
	EXPECT_EQ(LEN / SZ_4K, pages_deleted());
}

static struct scene scene_traced(size_t shift, bool mapped)
{
	struct scene s = scene_open(LEN, shift, mapped);

	dax_trace(s.fd, "dax_walk dax_delete_entry");
	return s;
}

/* Both filesystems do it, or a part of it, in the background. */
static void delete(struct scene *s)
{
	scene_close(s);
	EXPECT_TRUE(dax_space_is_back(before - 64));
}

TEST_F(fresh, delete_once)
{
	struct scene s = scene_traced(variant->shift, false);

	delete(&s);
	once();
}

/* A page that was never mapped cannot be in use. */
TEST_F(fresh, delete_touched_once)
{
	size_t len = dax_scale(100) < 100 ? 32 * SZ_2M : 256 * SZ_2M;
	struct scene s = { .fd = dax_create("cost"), .other = dax_create("other") };
	char *p;

	dax_falloc(s.fd, 0, 0, len);
	dax_fill(s.fd, 0, len, FILL);
	dax_trace(s.fd, "dax_walk dax_delete_entry");
	p = dax_map_shift(s.fd, SZ_2M, variant->shift);
	EXPECT_EQ(FILL, dax_peek(p));
	ASSERT_MAPPED(variant->mapped, p);
	dax_unmap(p, SZ_2M);
	delete(&s);
	EXPECT_GE(PAGES_2M, dax_walks("busy").pages);
	EXPECT_EQ(variant->size / SZ_4K, pages_deleted());
}

TEST_F(fresh, truncate_once)
{
	struct scene s = scene_traced(variant->shift, true);

	dax_truncate(s.fd, 0);
	once();
}

/* An unmount frees no blocks: no page has to be idle. */
TEST_F(fresh, unmount_looks_at_no_page)
{
	struct scene s = scene_traced(variant->shift, false);

	close(s.fd);
	close(s.other);
	dax_scratch_mount_again("dax=always");
	EXPECT_EQ(0, dax_walks(NULL).pages);
	EXPECT_EQ(LEN / SZ_4K, pages_deleted());
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

	/* A huge page is mapped by 4 KiB once. A few faults are the test's. */
	EXPECT_GE(2 * len / SZ_4K + 64, one);
	EXPECT_GE(3 * one + 64, two);
}

TEST_HARNESS_MAIN
