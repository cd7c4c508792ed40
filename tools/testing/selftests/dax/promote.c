// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion at a fault: a fault of 2 MiB finds small entries, and one aligned
 * run of blocks behind them. The entries become one of 2 MiB, whatever their
 * mix; bytes, marks and other mappings do not change. Without such a run,
 * everything is as if the promotion had not been tried.
 *
 * The small entries are made through a mapping that is off colour.
 */
#include "dax_harness.h"

DAX_NEEDS(dax_no_promotion())

/* Only events that are counted here are enabled, since each costs time. */
#define EVENTS	"dax_delete_entry dax_fault_fallback dax_insert_pfn_mkwrite " \
		"dax_pmd_fault_done dax_promote_entry dax_pte_fault " \
		"dax_pte_fault_done dax_writeback_one"

/* A file is what pread() says, and what each of its mappings shows. */
static void expect_file(int fd, const char *model, const char *a, const char *b)
{
	EXPECT_TRUE(dax_file_is(fd, 0, model, SZ_2M));
	EXPECT_EQ(0, memcmp(model, a, SZ_2M));
	EXPECT_EQ(0, memcmp(model, b, SZ_2M));
}

/*
 * The case that promotion is for, on 256 MiB: used off colour first, then
 * aligned. 128 faults do, where a stock kernel takes 65,536; only stock events
 * are counted, so that it can show it. A run that is scaled down has 8 MiB.
 */
static void put(char *p, uint64_t word)
{
	*(volatile uint64_t *)p = word;
}

static uint64_t get(const char *p)
{
	return *(const volatile uint64_t *)p;
}

static uint64_t tag(size_t off)
{
	return (off + 1) * 0x9e3779b97f4a7c15ULL;
}

struct tally {
	unsigned int huge_faults, small_faults, wrong;
};

enum walk { WRITE, READ, READ_AGAIN, READ_WRITTEN };

/* Each page of a block. Again: by the older mapping, which is to take no fault. */
static void walk_block(struct tally *tally, char *p, size_t block, enum walk walk)
{
	dax_trace_clear();
	for (size_t off = block; off < block + SZ_2M; off += SZ_4K) {
		if (walk == WRITE)
			put(p + off + 8, ~tag(off));
		else
			tally->wrong += get(p + off) != tag(off);
		if (walk >= READ_AGAIN)
			tally->wrong += get(p + off + 8) !=
					(walk == READ_WRITTEN ? ~tag(off) : 0);
		if (walk == READ_WRITTEN)
			put(p + off + 16, off);
	}
	tally->huge_faults += HUGE_MAPPED();
	tally->small_faults += dax_count_all("dax_pte_fault_done");
}

static void off_colour_then_aligned(bool write)
{
	unsigned int blocks = dax_scale(100) < 100 ? 4 : 128;
	struct tally first = {}, second = {};
	size_t len = blocks * SZ_2M;
	char *small, *huge;
	int fd;

	dax_policy("fault");
	fd = dax_file(len, PREALLOC);
	small = dax_map_small(fd, len);
	for (size_t off = 0; off < len; off += SZ_4K)
		put(small + off, tag(off));
	for (size_t off = 0; off < len; off += SZ_2M)
		ASSERT_TRUE(dax_extent_huge(fd, off));

	dax_trace(fd, "dax_pmd_fault_done dax_pte_fault_done");
	huge = dax_mmap(fd, 0, len, PROT_READ | (write ? PROT_WRITE : 0),
			MAP_SHARED, 0);
	for (size_t off = 0; off < len; off += SZ_2M)
		walk_block(&first, huge, off, write ? WRITE : READ);
	dax_print_msg("%u blocks of 2 MiB: %u faults of 2 MiB and %u of 4 KiB",
		      blocks, first.huge_faults, first.small_faults);
	EXPECT_EQ(blocks, first.huge_faults);
	EXPECT_EQ(0, first.small_faults);
	EXPECT_EQ(0, first.wrong);

	for (size_t off = 0; off < len; off += SZ_2M)
		walk_block(&second, small, off,
			   write ? READ_WRITTEN : READ_AGAIN);
	EXPECT_EQ(0, second.huge_faults);
	EXPECT_EQ(0, second.small_faults);
	EXPECT_EQ(0, second.wrong);

	for (size_t off = 0; off < len; off += SZ_2M) {
		ASSERT_MAPPED("2M", huge + off);
		ASSERT_MAPPED("4K", small + off);
		ASSERT_EQ(dax_pfn(huge + off), dax_pfn(small + off));
		ASSERT_TRUE(dax_file_is(fd, off, huge + off, SZ_2M));
	}
}

/* These fail on a core that does not promote, and do not skip. */
DAX_FIXTURE(any_core, NULL)

TEST_F(any_core, off_colour_then_aligned_write)
	DAX_CALL(off_colour_then_aligned(true))
TEST_F(any_core, off_colour_then_aligned_read)
	DAX_CALL(off_colour_then_aligned(false))

/* Other mappings of the small entries. */

/* How many pages have another byte there. */
static int count_others(int byte, void *arg)
{
	unsigned int nr = 0;

	for (size_t off = 8; off < SZ_2M; off += SZ_4K)
		nr += dax_peek((char *)arg + off) != byte;
	return nr;
}

/* Another process has mapped the zero page all over the range. */
TEST_F(dax, zero_page_of_another_process)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = dax_map_small(fd, SZ_2M), *huge;
	struct dax_helper peer;

	dax_helper_start(&peer, count_others, small);
	EXPECT_EQ(0, dax_helper_step(&peer, 0));
	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge + 8, '1');
	EXPECT_MAPPED("2M", huge);
	EXPECT_EQ(1, PROMOTED(512, 0, 512, 0));
	for (char c = '1'; c <= '3'; c++) {
		dax_poke_each(huge + 8, SZ_2M, SZ_4K, c);
		EXPECT_EQ(0, dax_helper_step(&peer, c));
	}
}

static int store_and_look(int nr, void *arg)
{
	char **map = arg;

	dax_poke(map[0] + nr * SZ_4K, 'c');	/* small */
	dax_poke(map[1] + nr * SZ_4K + 1, 'C');	/* aligned */
	if (strcmp(dax_mapped(map[0] + nr * SZ_4K), "4K"))
		return 1;
	if (strcmp(dax_mapped(map[1] + nr * SZ_4K), "2M"))
		return 2;
	return dax_peek(map[0]) == 'p' && dax_peek(map[1] + 1) == 'P' ? 0 : 3;
}

TEST_F(dax, fork)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	struct dax_helper before, after;
	char *map[2];

	map[0] = dax_map_small(fd, SZ_2M);
	map[1] = dax_map(fd, 0, SZ_2M);
	dax_poke(map[0], 'p');
	dax_helper_start(&before, store_and_look, map);
	dax_poke(map[1] + 1, 'P');
	EXPECT_MAPPED("2M", map[1]);
	dax_helper_start(&after, store_and_look, map);
	for (int i = 1; i < 10; i++)
		EXPECT_EQ(0, dax_helper_step(i % 2 ? &before : &after, i));
	for (int i = 1; i < 10; i++) {
		EXPECT_EQ('c', dax_peek(map[1] + i * SZ_4K));
		EXPECT_EQ('C', dax_peek(map[0] + i * SZ_4K + 1));
	}
	EXPECT_MAPPED("2M", map[1]);
	EXPECT_MAPPED("4K", map[0]);
}

/* Many fault on the same ranges at the same time: each is promoted once. */
#define CROWD		8
#define CROWD_RANGES	8

static char *crowd[CROWD];

static void touch_ranges(unsigned int id, void *arg)
{
	for (unsigned int i = 0; i < CROWD_RANGES; i++) {
		char *p = crowd[id] + i * SZ_2M + id * 64;

		if ((id + i) % 3)
			dax_poke(p, 'a' + id);
		else
			dax_peek(p);
	}
}

TEST_F(dax, crowd)
{
	unsigned int rounds = dax_scale(8);
	size_t len = CROWD_RANGES * SZ_2M;

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(len, WRITTEN);
		char *small = dax_map_small(fd, len);

		dax_poke_each(small + SZ_4K, len, 64 * SZ_4K, 's');
		dax_trace(fd, EVENTS);
		for (unsigned int id = 0; id < CROWD; id++)
			crowd[id] = dax_map(fd, 0, len);
		dax_run_threads(CROWD, touch_ranges, NULL);
		EXPECT_EQ(CROWD_RANGES, PROMOTE("done"));
		EXPECT_EQ(0, PROMOTE("rollback"));
		EXPECT_EQ(0, ALL_FALLBACKS());
		for (unsigned int id = 0; id < CROWD; id++)
			for (unsigned int j = 0; j < CROWD_RANGES; j++) {
				size_t at = j * SZ_2M + id * 64;

				ASSERT_EQ((id + j) % 3 ? 'a' + id : FILL,
					  dax_peek(small + at));
				ASSERT_MAPPED("2M", crowd[id] + at);
			}
		for (unsigned int id = 0; id < CROWD; id++)
			dax_unmap(crowd[id], len);
		dax_unmap(small, len);
		dax_remove(fd);
		dax_trace_clear();
	}
}

/*
 * Dirty ones that a read promotes. Their ptes stay writable, so what is stored
 * through them later belongs to the same flush, and after it they fault.
 */
TEST_F(dax, dirty_by_old_ptes)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *huge;

	for (int i = 0; i < 3; i++)
		dax_poke(small + i * 170 * SZ_4K, 'a');
	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, SZ_2M);
	dax_peek(huge);
	ASSERT_MAPPED("2M", huge);
	EXPECT_EQ(1, PROMOTED(3, 3, 0, 3));

	dax_trace_clear();
	dax_poke(small + 170 * SZ_4K, 'b');
	EXPECT_EQ(0, SMALL_FAULTS());
	dax_msync(huge, SZ_2M);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	EXPECT_EQ(1, FLUSHES());

	dax_trace_clear();
	EXPECT_FLUSHES(0, fd);
	/* Two flushes of all show that the stores are few. */
	for (int i = 0; i < 3; i++) {
		dax_trace_clear();
		dax_poke(small + i * 170 * SZ_4K, 'c');
		EXPECT_EQ(1, SMALL_MAPPED());
		dax_fsync(fd);
		EXPECT_EQ(1, i ? FLUSHED(i * 170 * SZ_4K, SZ_4K) : FLUSHED(0, SZ_2M));
		EXPECT_EQ(1, FLUSHES());
		EXPECT_EQ('c', dax_peek(huge + i * 170 * SZ_4K));
	}
	dax_trace_clear();
	dax_poke(huge + 1, 'd');
	EXPECT_EQ(1, SMALL_MAPPED());
	EXPECT_FLUSHED(fd, 0, SZ_4K);
}

/* A promoted entry is dropped as a whole, and its dirty pages are flushed. */
TEST_F(dax, punch_of_promoted)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *huge;

	dax_poke(small + 3 * SZ_4K, 's');
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge + 4 * SZ_4K, 'h');
	ASSERT_MAPPED("2M", huge);
	dax_trace(fd, EVENTS);
	dax_punch_hole(fd, 100 * SZ_4K, SZ_4K);
	EXPECT_EQ(1, dax_count("dax_delete_entry", "pgoff 0x0, order 9, kind mapped"));
	EXPECT_MAPPED("none", huge);
	EXPECT_MAPPED("none", small + 3 * SZ_4K);
	EXPECT_EQ('s', dax_peek(huge + 3 * SZ_4K));
	EXPECT_EQ('h', dax_peek(small + 4 * SZ_4K));
	EXPECT_BYTES(0, huge + 100 * SZ_4K, SZ_4K);
	EXPECT_BYTES(FILL, huge + 101 * SZ_4K, SZ_2M - 101 * SZ_4K);
}

/* write(2) and truncate work on what was promoted as on any entry. */
TEST_F(dax, write_and_truncate)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *huge, *buf;

	dax_poke(small, 's');
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge + 1, 'h');
	ASSERT_MAPPED("2M", huge);
	dax_fill(fd, SZ_4K, SZ_4K, 'w');
	EXPECT_BYTES('w', huge + SZ_4K, SZ_4K);
	EXPECT_BYTES('w', small + SZ_4K, SZ_4K);
	EXPECT_MAPPED("2M", huge);
	dax_truncate(fd, 2 * SZ_4K + 10);
	EXPECT_EQ(SIGBUS, dax_touch_signal(huge + 3 * SZ_4K, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(small + 3 * SZ_4K, false, NULL));
	EXPECT_BYTES(0, small + 2 * SZ_4K + 10, SZ_4K - 10);
	dax_truncate(fd, SZ_2M);
	buf = malloc(SZ_2M);
	dax_read(fd, 0, buf, SZ_2M);
	EXPECT_EQ('s', buf[0]);
	EXPECT_EQ('h', buf[1]);
	EXPECT_BYTES(0, buf + 2 * SZ_4K + 10, SZ_2M - 2 * SZ_4K - 10);
	expect_file(fd, buf, small, huge);
}

/* Blocks that are not one aligned run: nothing changes, and it costs little. */

static int touch_more_pages(int nr, void *arg)
{
	for (size_t at = 0; at < SZ_2M; at += 16 * SZ_4K)
		dax_peek((char *)arg + at);
	return 0;
}

static void expect_fragmented(int fd, const int page[], unsigned int nr)
{
	char *small = dax_map_small(fd, SZ_2M), *huge;
	struct dax_helper peer;
	struct dax_ptes view;

	for (unsigned int i = 0; i < nr; i++)
		dax_poke(small + page[i] * SZ_4K, 's');
	dax_peek(small + 499 * SZ_4K);
	dax_snapshot_ptes(&view, small);
	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, SZ_2M);
	dax_helper_start(&peer, touch_more_pages, huge);
	dax_poke(huge + 300 * SZ_4K, 'h');
	ONCE_OR_TWICE(PROMOTE("try"));
	EXPECT_EQ(PROMOTE("try"), PROMOTE("refuse-fragmented"));
	EXPECT_EQ(0, PROMOTE("replace"));
	EXPECT_EQ(PROMOTE("try"), FALLBACKS("fragmented"));
	EXPECT_EQ(PROMOTE("try"), ALL_FALLBACKS());
	EXPECT_MAPPED("4K", huge + 300 * SZ_4K);
	EXPECT_EQ(0, dax_count_all("dax_delete_entry"));
	EXPECT_EQ(0, dax_ptes_changed(&view, small));

	/* A page table is there now: no other page is tried again. */
	touch_more_pages(0, huge);
	ONCE_OR_TWICE(PROMOTE("try"));
	/* Another process has none, and tries once. */
	dax_trace_clear();
	dax_helper_step(&peer, 0);
	ONCE_OR_TWICE(PROMOTE("try"));
	EXPECT_EQ(PROMOTE("try"), PROMOTE("refuse-fragmented"));
	dax_helper_stop(&peer);

	dax_trace_clear();
	EXPECT_FLUSHES(nr + 1, fd);
	EXPECT_EQ(1, FLUSHED(300 * SZ_4K, SZ_4K));
	for (unsigned int i = 0; i < nr; i++) {
		EXPECT_EQ(1, FLUSHED(page[i] * SZ_4K, SZ_4K));
		EXPECT_EQ('s', dax_peek(huge + page[i] * SZ_4K));
	}
	EXPECT_EQ('h', dax_peek(small + 300 * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(small + 301 * SZ_4K));
}

TEST_F(dax, fragmented)
{
	static const int page[] = { 5, 6, DAX_GAP + 100, DAX_GAP + 101 };

	expect_fragmented(dax_file_fragmented(), page, 4);
}

/* All entries are on one side: one run of them, but off the border. */
TEST_F(dax, misaligned)
{
	static const int page[] = { DAX_GAP + 1, 400 };

	expect_fragmented(dax_file_fragmented(), page, 2);
}

/* A store into the hole between them gets a block, and 2 MiB do not. */
TEST_F(dax, write_fault_on_fragmented)
{
	char *huge, *model = malloc(SZ_2M);
	int fd = dax_file_fragmented();
	char *small = dax_map_small(fd, SZ_2M);

	dax_poke(small + 5 * SZ_4K, 's');
	dax_peek(small + DAX_GAP * SZ_4K);
	dax_read(fd, 0, model, SZ_2M);
	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge + DAX_GAP * SZ_4K, model[DAX_GAP * SZ_4K] = 'h');
	EXPECT_MAPPED("4K", huge + DAX_GAP * SZ_4K);
	EXPECT_EQ(0, PROMOTE("done"));
	EXPECT_EQ('h', dax_peek(small + DAX_GAP * SZ_4K));
	expect_file(fd, model, small, huge);
}

/* The end of the file is inside, and then it is not. */
TEST_F(dax, eof_then_growth)
{
	int fd = dax_file_growing(2 * SZ_2M);
	char *small, *huge, *later;

	dax_truncate(fd, SZ_2M + SZ_1M);
	small = dax_map_small(fd, 2 * SZ_2M);
	for (size_t at = SZ_2M; at < SZ_2M + SZ_1M; at += SZ_4K)
		dax_poke(small + at, 's');
	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(huge + SZ_2M + 1, 'h');
	ONCE_OR_TWICE(FALLBACKS("eof"));
	EXPECT_EQ(0, PROMOTE("try"));
	EXPECT_MAPPED("4K", huge + SZ_2M);

	dax_truncate(fd, 2 * SZ_2M);
	dax_trace_clear();
	later = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(later + SZ_2M + 2, 'l');
	EXPECT_EQ(1, PROMOTED(256, 256, 0, 256));
	EXPECT_MAPPED("2M", later + SZ_2M);
	for (size_t at = SZ_2M; at < SZ_2M + SZ_1M; at += SZ_4K)
		ASSERT_EQ('s', dax_peek(later + at));
	EXPECT_EQ('h', dax_peek(later + SZ_2M + 1));
	EXPECT_EQ('l', dax_peek(huge + SZ_2M + 2));
	EXPECT_BYTES(0, later + SZ_2M + SZ_1M, SZ_1M);
}

/* A private mapping may be huge as long as it is only read. */
TEST_F(dax, private_read)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *private;

	dax_poke(small + 7 * SZ_4K, 's');
	dax_trace(fd, EVENTS);
	private = dax_map_private(fd, 0, SZ_2M);
	EXPECT_EQ('s', dax_peek(private + 7 * SZ_4K));
	EXPECT_MAPPED("2M", private);
	EXPECT_EQ(1, PROMOTED(1, 1, 0, 1));
	dax_poke(private + 7 * SZ_4K, 'p');
	dax_poke(small + 8 * SZ_4K, 't');
	EXPECT_EQ('s', dax_peek(small + 7 * SZ_4K));
	EXPECT_EQ('t', dax_peek(private + 8 * SZ_4K));
	EXPECT_EQ('p', dax_peek(private + 7 * SZ_4K));
}

/* MAP_SYNC: the metadata is on the media before the 2 MiB are writable. */
TEST_F(dax, map_sync)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = dax_map_small(fd, SZ_2M), *p;

	dax_poke(small + 3 * SZ_4K, 's');
	dax_peek(small + 400 * SZ_4K);
	dax_trace(fd, EVENTS);
	p = dax_mmap(fd, 0, SZ_2M, PROT_READ | PROT_WRITE,
		     MAP_SHARED_VALIDATE | MAP_SYNC, 0);
	dax_poke(p, 'w');
	EXPECT_EQ(1, PROMOTED(2, 1, 1, 1));
	EXPECT_EQ(1, dax_count_all("dax_insert_pfn_mkwrite"));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ('s', dax_peek(p + 3 * SZ_4K));
	dax_poke(p + 400 * SZ_4K, 'x');
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_EQ('x', dax_peek(small + 400 * SZ_4K));
	dax_trace_clear();
	EXPECT_FLUSHED(fd, 0, SZ_2M);
	/* The fault has flushed all, too: these were two. */
	dax_poke(p, 'y');
	dax_trace_clear();
	EXPECT_FLUSHED(fd, 0, SZ_4K);
}

/*
 * A fault that found no blocks left an empty entry; with blocks, it is what is
 * promoted.
 */
DAX_FIXTURE(empty_entry, dax_needs() ?: dax_small_scratch())

static int file_with_empty_entry(void)
{
	int fd = dax_file(2 * SZ_2M, HOLE), full;
	char *small = dax_map_small(fd, 2 * SZ_2M);

	full = dax_fill_up(0);
	EXPECT_EQ(SIGBUS, dax_touch_signal(small + SZ_2M + SZ_4K, true, NULL));
	dax_truncate(full, 0);
	dax_fsync(full);
	sync();
	dax_trace(fd, EVENTS);
	return fd;
}

TEST_F(empty_entry, empty_entry_read)
{
	int fd = file_with_empty_entry();
	char *huge = dax_map(fd, 0, 2 * SZ_2M);

	dax_peek(huge + SZ_2M);
	EXPECT_EQ(1, PROMOTED(1, 0, 0, 0));
	EXPECT_MAPPED("2M zero", huge + SZ_2M);
	EXPECT_BYTES(0, huge + SZ_2M, SZ_2M);
}

TEST_F(empty_entry, empty_entry_write)
{
	char *huge;
	int fd = file_with_empty_entry();

	dax_falloc(fd, 0, SZ_2M, SZ_2M);
	NEED(dax_extent_huge(fd, SZ_2M) ? NULL : "no aligned blocks any more");
	huge = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(huge + SZ_2M + 1, 'w');
	EXPECT_EQ(1, PROMOTED(1, 0, 0, 0));
	EXPECT_MAPPED("2M", huge + SZ_2M);
	EXPECT_BYTES(0, huge + SZ_2M + 2, SZ_2M - 2);
}

DAX_VARIANTS(reflink, dax_no_reflink() ?: dax_no_promotion(),
	     bool read_first, by_clone;)

FIXTURE_VARIANT_ADD(reflink, to_source) { false, false };
FIXTURE_VARIANT_ADD(reflink, to_clone) { false, true };
FIXTURE_VARIANT_ADD(reflink, read_then_to_source) { true, false };
FIXTURE_VARIANT_ADD(reflink, read_then_to_clone) { true, true };

/* Two files over the same blocks (XFS), both mapped small. */
TEST_F(reflink, store_to_shared)
{
	char *small[2], *huge[2], *model = malloc(SZ_2M), *old = malloc(SZ_2M);
	int fd[2], w = variant->by_clone, o = !variant->by_clone;
	size_t at = 250 * SZ_4K;

	fd[0] = dax_file(SZ_2M, WRITTEN);
	small[0] = dax_map_small(fd[0], SZ_2M);
	dax_poke_each(small[0], SZ_2M, 3 * SZ_4K, 's');
	fd[1] = dax_clone(fd[0], "clone");
	ASSERT_EQ(dax_block(fd[0], 0), dax_block(fd[1], 0));
	small[1] = dax_map_small(fd[1], SZ_2M);
	for (int i = 0; i < 2; i++) {
		dax_touch_each(small[i], SZ_2M, SZ_4K, false);
		huge[i] = dax_map(fd[i], 0, SZ_2M);
	}
	dax_read(fd[0], 0, old, SZ_2M);
	memcpy(model, old, SZ_2M);
	dax_trace(fd[w], EVENTS);

	/* The blocks are one run, so reading may be huge. */
	if (variant->read_first) {
		dax_peek(huge[w] + at);
		EXPECT_MAPPED("2M", huge[w]);
		EXPECT_EQ(1, PROMOTED(512, 512, 0, 0));
		EXPECT_EQ(dax_pfn(huge[w]), dax_pfn(small[o]));
	}
	dax_poke(huge[w] + at, model[at] = 'w');
	dax_print_msg("after the store %s; %u promotions done",
		      dax_mapped(huge[w] + at), PROMOTE("done"));
	expect_file(fd[w], model, small[w], huge[w]);
	expect_file(fd[o], old, small[o], huge[o]);
	EXPECT_NE(dax_block(fd[0], at), dax_block(fd[1], at));

	/*
	 * All mappings of the written file show it, and none of the other file.
	 */
	for (size_t off = 8; off < SZ_2M; off += 5 * SZ_4K) {
		dax_poke(small[w] + off, model[off] = 'x');
		dax_poke(huge[w] + off + 1, model[off + 1] = 'y');
	}
	expect_file(fd[w], model, small[w], huge[w]);
	expect_file(fd[o], old, small[o], huge[o]);
	dax_trace_clear();
	dax_fsync(fd[w]);
	EXPECT_LE(1, FLUSHES());

	/* The other file is the only one that has its blocks now. */
	dax_poke(huge[o] + at + 1, old[at + 1] = 'z');
	expect_file(fd[o], old, small[o], huge[o]);
	expect_file(fd[w], model, small[w], huge[w]);
}

DAX_FIXTURE(shared, dax_no_reflink() ?: dax_no_promotion())

/* One page of the range is shared, by a clone of that page only. */
TEST_F(shared, reflink_one_page)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_create("one-page");
	char *small = dax_map_small(fd, SZ_2M), *huge, *copy;
	char *model = malloc(SZ_2M);

	dax_poke_each(small, SZ_2M, SZ_4K, 's');
	dax_share_page(fd, 9 * SZ_4K, other);
	copy = dax_map(other, 0, SZ_4K);
	EXPECT_EQ('s', dax_peek(copy));
	dax_read(fd, 0, model, SZ_2M);
	huge = dax_map(fd, 0, SZ_2M);
	for (size_t off = 8; off < SZ_2M; off += SZ_4K)
		dax_poke(huge + off, model[off] = 'h');
	expect_file(fd, model, small, huge);
	EXPECT_EQ(FILL, dax_peek(copy + 8));
	EXPECT_EQ('s', dax_peek(copy));
}

/*
 * How often an aligned read tries; all of that has to end in @action. The
 * counters are global: no other program may run.
 */
static unsigned int tries(int fd, const char *action)
{
	unsigned long ended = dax_promotions(action);
	unsigned long nr = dax_promotions("try");

	expect_balance();
	dax_peek(dax_map(fd, 0, SZ_2M));
	expect_balance();
	nr = dax_promotions("try") - nr;
	EXPECT_EQ(nr, dax_promotions(action) - ended);
	return nr;
}

TEST_F(dax, counters)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	dax_peek(dax_map_small(fd, SZ_2M));
	EXPECT_EQ(1, tries(fd, "done"));

	fd = dax_file_fragmented();
	dax_peek(dax_map_small(fd, SZ_2M) + SZ_2M - SZ_4K);
	ONCE_OR_TWICE(tries(fd, "refuse-fragmented"));

	fd = dax_file(SZ_2M, PREALLOC);
	dax_poke(dax_map_small(fd, SZ_2M), 's');
	ONCE_OR_TWICE(tries(fd, "rollback"));
}

TEST_HARNESS_MAIN
