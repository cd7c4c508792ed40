// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two files over the same blocks (XFS): a store to one of them gets a block
 * of its own, with the old bytes around it, and the other file does not change.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "dax_harness.h"

FIXTURE_VARIANT(dax) {
	size_t shift;	/* off colour gives 4 KiB faults */
	const char *mapped;
};

FIXTURE_VARIANT_ADD(dax, 4k) { .shift = SZ_4K, .mapped = "4K" };
FIXTURE_VARIANT_ADD(dax, 2m) { .shift = 0, .mapped = "2M" };

static char *map(int fd, size_t len, size_t shift)
{
	return dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			       shift);
}

TEST_F(dax, write_each_side)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	clone = dax_clone(fd, "clone");
	ASSERT_EQ(dax_block(fd, 0), dax_block(clone, 0));
	a = map(fd, SZ_2M, variant->shift);
	b = map(clone, SZ_2M, variant->shift);
	EXPECT_EQ(FILL, dax_peek(a));
	EXPECT_EQ(FILL, dax_peek(b));
	EXPECT_EQ(dax_pfn(a), dax_pfn(b));

	dax_poke(a + 100, 'a');
	EXPECT_EQ('a', dax_peek(a + 100));
	EXPECT_BYTES(FILL, b, SZ_2M);
	EXPECT_BYTES(FILL, a + 101, SZ_2M - 101);
	EXPECT_NE(dax_pfn(a), dax_pfn(b));

	dax_poke(b + 200, 'b');
	EXPECT_EQ('b', dax_peek(b + 200));
	EXPECT_EQ(FILL, dax_peek(b + 100));
	EXPECT_EQ(FILL, dax_peek(a + 200));
	EXPECT_EQ('a', dax_peek(a + 100));
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
}

/* The first access is the store: copied before anybody can see it. */
TEST_F(dax, write_first)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(2 * SZ_2M, WRITTEN);
	clone = dax_clone(fd, "clone");
	a = map(fd, 2 * SZ_2M, variant->shift);
	b = map(clone, 2 * SZ_2M, variant->shift);
	for (size_t at = 0; at < 2 * SZ_2M; at += SZ_2M / 2) {
		dax_poke(a + at + 5, 'a');
		ASSERT_BYTES(FILL, a + at + 6, SZ_4K - 6);
		ASSERT_EQ(FILL, dax_peek(b + at + 5));
	}
}

/* Mapped before the clone was made: the writable mapping has to go. */
TEST_F(dax, writable_before_clone)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	a = map(fd, SZ_2M, variant->shift);
	dax_poke(a, '1');
	EXPECT_MAPPED(variant->mapped, a);
	clone = dax_clone(fd, "clone");
	b = map(clone, SZ_2M, variant->shift);
	EXPECT_EQ('1', dax_peek(b));
	dax_poke(a, '2');
	EXPECT_EQ('1', dax_peek(b));
	EXPECT_EQ('2', dax_peek(a));
}

/* write(2) copies as well, and mappings see the copy. (D4) */
TEST_F(dax, pwrite_one_side)
{
	char *a, *b, buf[SZ_4K];
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	clone = dax_clone(fd, "clone");
	a = map(fd, SZ_2M, variant->shift);
	b = map(clone, SZ_2M, variant->shift);
	dax_peek(a);
	dax_peek(b);
	dax_fill(fd, 1000, 10, 'w');
	EXPECT_BYTES(FILL, a, 1000);
	EXPECT_BYTES('w', a + 1000, 10);
	EXPECT_BYTES(FILL, a + 1010, SZ_2M - 1010);
	EXPECT_BYTES(FILL, b, SZ_2M);
	dax_read(clone, 0, buf, sizeof(buf));
	EXPECT_BYTES(FILL, buf, sizeof(buf));
}

/* Dirty by a store, then written by write(2) with copying. (F7) */
TEST_F(dax, dirty_then_pwrite)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	clone = dax_clone(fd, "clone");
	a = map(fd, SZ_2M, variant->shift);
	b = map(clone, SZ_2M, variant->shift);
	for (int i = 0; i < 8; i++) {
		dax_poke(a + i * SZ_4K, 'a' + i);
		dax_fill(fd, i * SZ_4K + 10, 5, 'w');
		EXPECT_EQ('a' + i, dax_peek(a + i * SZ_4K));
		EXPECT_BYTES('w', a + i * SZ_4K + 10, 5);
		ASSERT_EQ(0, ioctl(clone, FICLONE, fd));
	}
	dax_fsync(fd);
	EXPECT_EQ('h', dax_peek(b + 7 * SZ_4K));
	EXPECT_BYTES('w', b + 10, 5);
}

/* Both are dirty: each fsync flushes its own. */
TEST_F(dax, flush_of_the_copy)
{
	char *a;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	clone = dax_clone(fd, "clone");
	a = map(fd, SZ_2M, variant->shift);
	dax_trace(fd, "dax_writeback_one");
	dax_poke(a, '1');
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "%s", ""));
	dax_trace_clear();
	ASSERT_EQ(0, ioctl(clone, FICLONE, fd));
	dax_poke(a, '2');
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "%s", ""));
}

/* Many files over the same pages come and go. (D3) */
TEST_F(dax, many_clones)
{
	char name[16], *p[6];
	int fd[6];

	NEED_XFS();
	fd[0] = dax_file(SZ_2M, WRITTEN);
	for (int i = 1; i < 6; i++) {
		snprintf(name, sizeof(name), "clone-%d", i);
		fd[i] = dax_clone(fd[0], name);
	}
	for (int i = 0; i < 6; i++) {
		p[i] = map(fd[i], SZ_2M, variant->shift);
		EXPECT_EQ(FILL, dax_peek(p[i] + SZ_2M - 1));
	}
	for (int i = 0; i < 6; i++)
		dax_poke(p[i], 'a' + i);
	for (int i = 0; i < 6; i++)
		EXPECT_EQ('a' + i, dax_peek(p[i]));
	for (int i = 0; i < 5; i++) {
		dax_truncate(fd[i], 0);
		EXPECT_EQ(SIGBUS, dax_touch_signal(p[i], false, NULL));
		EXPECT_EQ('f', dax_peek(p[5]));
		EXPECT_BYTES(FILL, p[5] + 1, SZ_2M - 1);
	}
}

/* The source of the copy is a hole or unwritten: zeros, not old bytes. (D5) */
TEST_F(dax, clone_of_holes)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(2 * SZ_2M, HOLE);
	dax_falloc(fd, 0, 0, SZ_2M);
	dax_fill(fd, SZ_4K, SZ_4K, 'w');
	clone = dax_clone(fd, "clone");
	a = map(fd, 2 * SZ_2M, variant->shift);
	b = map(clone, 2 * SZ_2M, variant->shift);
	EXPECT_EQ(0, dax_peek(a));
	EXPECT_EQ('w', dax_peek(a + SZ_4K));
	dax_poke(a, 'a');
	dax_poke(a + SZ_2M, 'a');
	dax_poke(a + SZ_4K, 'a');
	EXPECT_BYTES(0, a + 1, SZ_4K - 1);
	EXPECT_BYTES('w', a + SZ_4K + 1, SZ_4K - 1);
	EXPECT_BYTES(0, a + SZ_2M + 1, SZ_2M - 1);
	EXPECT_EQ(0, dax_peek(b));
	EXPECT_BYTES('w', b + SZ_4K, SZ_4K);
	EXPECT_BYTES(0, b + SZ_2M, SZ_2M);
	dax_fill(clone, 3 * SZ_4K + 50, 10, 'c');
	EXPECT_BYTES(0, b + 3 * SZ_4K, 50);
	EXPECT_BYTES('c', b + 3 * SZ_4K + 50, 10);
	EXPECT_BYTES(0, b + 3 * SZ_4K + 60, SZ_4K - 60);
}

/* Threads store to both sides of a fresh clone at once. */
struct pair {
	char *side[2];
};

static void store_all_pages(unsigned int id, void *arg)
{
	struct pair *pair = arg;

	for (unsigned int i = 0; i < 16; i++)
		dax_poke(pair->side[id % 2] + i * SZ_4K + id * 64, 'a' + id);
}

TEST_F(dax, both_sides_at_once)
{
	unsigned int rounds = dax_scale(6);

	NEED_XFS();
	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(SZ_2M, WRITTEN);
		struct pair pair = {};
		int clone = dax_clone(fd, "clone");

		pair.side[0] = map(fd, SZ_2M, variant->shift);
		pair.side[1] = map(clone, SZ_2M, variant->shift);
		dax_gang(4, store_all_pages, &pair);
		for (unsigned int page = 0; page < 16; page++)
			for (unsigned int id = 0; id < 4; id++) {
				size_t at = page * SZ_4K + id * 64;

				ASSERT_EQ('a' + id,
					  dax_peek(pair.side[id % 2] + at));
				ASSERT_EQ(FILL,
					  dax_peek(pair.side[1 - id % 2] + at));
			}
		dax_unmap(pair.side[0], SZ_2M);
		dax_unmap(pair.side[1], SZ_2M);
		close(fd);
		close(clone);
	}
}

/* Unshare: blocks of its own, the same bytes, all mappings follow. (D9-D12) */
TEST_F(dax, unshare)
{
	char *a, *b;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(2 * SZ_2M, WRITTEN);
	dax_fill(fd, SZ_2M, SZ_2M, 'g');
	dax_falloc(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * SZ_4K,
		   SZ_4K);
	clone = dax_clone(fd, "clone");
	a = map(fd, 2 * SZ_2M, variant->shift);
	b = map(clone, 2 * SZ_2M, variant->shift);
	dax_peek(a);
	dax_peek(b);
	dax_falloc(fd, FALLOC_FL_UNSHARE_RANGE, 0, 2 * SZ_2M);
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
	EXPECT_NE(dax_block(fd, SZ_2M), dax_block(clone, SZ_2M));
	for (char **side = (char *[]){ a, b, NULL }; *side; side++) {
		EXPECT_BYTES(FILL, *side, 8 * SZ_4K);
		EXPECT_BYTES(0, *side + 8 * SZ_4K, SZ_4K);
		EXPECT_BYTES(FILL, *side + 9 * SZ_4K, SZ_2M - 9 * SZ_4K);
		EXPECT_BYTES('g', *side + SZ_2M, SZ_2M);
	}
	dax_poke(a, 'a');
	EXPECT_EQ(FILL, dax_peek(b));
}

TEST_F(dax, unshare_odd_range)
{
	size_t from = 5 * SZ_4K + 123, len = 3 * SZ_4K + 17;
	char *a, *b, *buf;
	int fd, clone;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	for (size_t i = 0; i < 16; i++)
		dax_fill(fd, i * SZ_4K, SZ_4K, 'A' + i);
	clone = dax_clone(fd, "clone");
	a = map(fd, SZ_2M, variant->shift);
	b = map(clone, SZ_2M, variant->shift);
	dax_peek(a + from);
	dax_falloc(fd, FALLOC_FL_UNSHARE_RANGE, from, len);
	EXPECT_EQ(dax_block(fd, 4 * SZ_4K), dax_block(clone, 4 * SZ_4K));
	EXPECT_NE(dax_block(fd, 5 * SZ_4K), dax_block(clone, 5 * SZ_4K));
	EXPECT_NE(dax_block(fd, 8 * SZ_4K), dax_block(clone, 8 * SZ_4K));
	buf = malloc(SZ_2M);
	dax_read(fd, 0, buf, SZ_2M);
	for (size_t i = 0; i < 16; i++) {
		EXPECT_BYTES('A' + i, a + i * SZ_4K, SZ_4K);
		EXPECT_BYTES('A' + i, b + i * SZ_4K, SZ_4K);
		EXPECT_BYTES('A' + i, buf + i * SZ_4K, SZ_4K);
	}
	free(buf);
}

/* Dedupe: equal bytes are shared, a single odd byte refuses. (D7, D8) */
static int dedupe(int src, off_t src_off, size_t len, int dst, off_t dst_off,
		  uint64_t *done)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = {
		.range = { .src_offset = src_off, .src_length = len,
			   .dest_count = 1 },
		.info = { .dest_fd = dst, .dest_offset = dst_off },
	};

	if (ioctl(src, FIDEDUPERANGE, &arg))
		return -errno;
	*done = arg.info.bytes_deduped;
	return arg.info.status;
}

TEST_F(dax, dedupe_same)
{
	uint64_t done = 0;
	char *a, *b;
	int fd, other;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	other = dax_file(SZ_2M, WRITTEN);
	a = map(fd, SZ_2M, variant->shift);
	b = map(other, SZ_2M, variant->shift);
	dax_peek(a);
	dax_peek(b);
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe(fd, 0, SZ_2M, other, 0, &done));
	EXPECT_EQ(SZ_2M, done);
	EXPECT_EQ(dax_block(fd, 0), dax_block(other, 0));
	EXPECT_BYTES(FILL, b, SZ_2M);
	dax_poke(a, 'a');
	EXPECT_EQ(FILL, dax_peek(b));
}

TEST_F(dax, dedupe_one_byte_differs)
{
	uint64_t done = 0;
	int fd, other;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	other = dax_file(SZ_2M, WRITTEN);
	for (size_t at = 0; at < SZ_2M; at += SZ_2M - 1) {
		dax_fill(other, at, 1, 'X');
		EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS,
			  dedupe(fd, 0, SZ_2M, other, 0, &done));
		EXPECT_NE(dax_block(fd, 0), dax_block(other, 0));
		dax_fill(other, at, 1, FILL);
	}
}

/* Extents that do not line up, and dirty stores. */
TEST_F(dax, dedupe_other_layout)
{
	uint64_t done = 0;
	int fd, other;
	char *p;

	NEED_XFS();
	fd = dax_file(SZ_2M, WRITTEN);
	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 7 * SZ_4K, 3 * SZ_4K);
	other = dax_create("other");
	for (int page = 14; page >= 0; page -= 2)
		dax_fill(other, page * SZ_4K, SZ_4K, FILL);
	for (int page = 1; page < 15; page += 2)
		dax_fill(other, page * SZ_4K, SZ_4K, FILL);
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME,
		  dedupe(fd, 0, 15 * SZ_4K, other, 0, &done));
	EXPECT_EQ(15 * SZ_4K, done);
	EXPECT_EQ(dax_block(fd, 14 * SZ_4K), dax_block(other, 14 * SZ_4K));

	p = map(fd, SZ_1M, variant->shift);
	dax_poke(p + 9 * SZ_4K + 5, 'X');
	EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS,
		  dedupe(fd, 0, 15 * SZ_4K, other, 0, &done));
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME,
		  dedupe(fd, SZ_4K, 8 * SZ_4K, other, SZ_4K, &done));
	EXPECT_EQ('X', dax_peek(p + 9 * SZ_4K + 5));
}

/* A hole and written zeros: shared or not, but both go on reading zeros. */
TEST_F(dax, dedupe_hole)
{
	char buf[8 * SZ_4K];
	uint64_t done = 0;
	int fd, other, status;

	NEED_XFS();
	fd = dax_file(SZ_2M, HOLE);
	other = dax_create("other");
	dax_fill(other, 0, 8 * SZ_4K, 0);
	status = dedupe(fd, 0, 8 * SZ_4K, other, 0, &done);
	EXPECT_TRUE(status == FILE_DEDUPE_RANGE_SAME ||
		    status == FILE_DEDUPE_RANGE_DIFFERS);
	dax_read(fd, 0, buf, sizeof(buf));
	EXPECT_BYTES(0, buf, sizeof(buf));
	dax_read(other, 0, buf, sizeof(buf));
	EXPECT_BYTES(0, buf, sizeof(buf));
	dax_fill(other, 5 * SZ_4K, 1, 'X');
	EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS,
		  dedupe(fd, 0, 8 * SZ_4K, other, 0, &done));
}

TEST_F(dax, dedupe_tail)
{
	size_t size = 3 * SZ_4K + 1000;
	uint64_t done = 0;
	int fd, other;

	NEED_XFS();
	fd = dax_create("a");
	other = dax_create("b");
	dax_fill(fd, 0, size, FILL);
	dax_fill(other, 0, size, FILL);
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, dedupe(fd, 0, size, other, 0, &done));
	EXPECT_EQ(size, done);
	EXPECT_EQ(dax_block(fd, 3 * SZ_4K), dax_block(other, 3 * SZ_4K));
	dax_fill(other, size - 1, 1, 'X');
	EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS,
		  dedupe(fd, 0, size, other, 0, &done));
}

TEST_HARNESS_MAIN
