// SPDX-License-Identifier: GPL-2.0-only
/*
 * No blocks left during a fault: the store gets SIGBUS or a block, never one of
 * another file, and the filesystem keeps working.
 */
#include "dax_harness.h"

DAX_NEEDS(dax_small_scratch())

static void store_until_full(size_t shift)
{
	size_t len = 4 * SZ_2M;
	unsigned int stored = 0, refused = 0, odd = 0;
	int fd = dax_file(len, HOLE), full;
	char *p = dax_map_shift(fd, len, shift);

	dax_peek(p);
	dax_peek(p + SZ_2M);
	full = dax_fill_up(SZ_1M);
	for (size_t at = 0; at < len; at += 4 * SZ_4K) {
		int sig = dax_touch_signal(p + at, true, NULL);

		stored += !sig;
		refused += sig == SIGBUS;
		odd += sig && sig != SIGBUS;
	}
	dax_print_msg("%u stores got a block, %u got SIGBUS", stored, refused);
	EXPECT_EQ(0, odd);
	EXPECT_LT(0, refused);

	/* A page that can be read has the byte that was stored, and zeros. */
	for (size_t at = 0; at < len; at += SZ_4K) {
		if (dax_touch_signal(p + at, false, NULL))
			continue;
		odd += dax_peek(p + at) && dax_peek(p + at) != 'w';
		odd += dax_differs(p + at + 1, SZ_4K - 1, 0) >= 0;
	}
	EXPECT_EQ(0, odd);

	dax_truncate(full, 0);
	dax_fsync(full);
	sync();
	/* The filesystem still works. */
	fd = dax_create("afterwards");
	dax_fill(fd, 0, SZ_4K, 'u');
	dax_fsync(fd);
	EXPECT_FILE('u', fd, 0, SZ_4K);
	for (size_t at = 0; at < len; at += SZ_2M)
		EXPECT_EQ(0, dax_touch_signal(p + at + SZ_4K, true, NULL));
	EXPECT_EQ('w', dax_peek(p + SZ_4K));
}

TEST_F(dax, huge_faults) DAX_CALL(store_until_full(0))
TEST_F(dax, small_faults) DAX_CALL(store_until_full(SZ_4K))

/*
 * A zero page of 2 MiB is mapped, and a write finds no block at all: the zero
 * page may stay or go, but what is read afterwards is zeros, and with blocks
 * back the store succeeds. The refused fault may leave an empty 2 MiB entry;
 * the next huge fault takes it as it is.
 */
TEST_F(dax, zero_page_stays_zero)
{
	int fd = dax_file(2 * SZ_2M, HOLE), full = dax_fill_up(0);
	char *p;

	dax_trace(fd, NULL);
	p = dax_map(fd, 0, 2 * SZ_2M);
	dax_peek(p);
	ASSERT_MAPPED("2M zero", p);
	if (dax_touch_signal(p + 8, true, NULL))
		EXPECT_BYTES(0, p, SZ_2M);

	/* And where nothing was mapped before. */
	dax_trace_clear();
	dax_touch_signal(p + SZ_2M, true, NULL);
	if (dax_has_event("dax_grab_entry"))
		EXPECT_EQ(1, dax_count("dax_grab_entry",
				       "order 9 write, found none, action insert"));

	dax_truncate(full, 0);
	dax_fsync(full);
	sync();
	dax_trace_clear();
	dax_poke(p + 9, 'x');
	dax_poke(p + SZ_2M + 9, 'y');
	EXPECT_EQ('x', dax_peek(p + 9));
	EXPECT_EQ('y', dax_peek(p + SZ_2M + 9));
	EXPECT_BYTES(0, p + 10, SZ_2M - 10);
	if (dax_has_event("dax_grab_entry"))
		EXPECT_EQ(0, dax_count("dax_grab_entry", "found mapped, action refuse"));
}

/*
 * ext4 keeps a few hundred blocks in reserve when the filesystem is full. But
 * as soon as freed blocks count as free, although they are not available before
 * the commit, it hands out the reserve.
 */
static void no_reserve(void)
{
	char dev[PATH_MAX];

	if (!realpath(dax_scratch_device(), dev))
		dax_exit_fail("%s: %m", dax_scratch_device());
	dax_must_write(dax_text("/sys/fs/ext4/%s/reserved_clusters",
				strrchr(dev, '/') + 1), "0");
}

/*
 * Blocks that a commit would free: ext4 retries instead of SIGBUS. None comes
 * by itself before the test has ended.
 */
TEST_F(dax, blocks_freed_just_now)
{
	unsigned int refused = 0;
	int full, fd;
	char *p;

	if (!dax_is_xfs()) {
		dax_scratch_remount("dax=always,commit=600");
		no_reserve();
	}
	fd = dax_file(SZ_2M, HOLE);
	p = dax_map_small(fd, SZ_2M);
	full = dax_fill_up(0);
	if (!dax_is_xfs())
		EXPECT_EQ(SIGBUS, dax_touch_signal(p, true, NULL));
	dax_truncate(full, 0);
	for (size_t at = 0; at < SZ_2M; at += 16 * SZ_4K)
		refused += !!dax_touch_signal(p + at, true, NULL);
	EXPECT_EQ(0, refused);
}

/* A full filesystem refuses write(2) as well, and keeps its data. */
TEST_F(dax, write_when_full)
{
	char buf[SZ_4K] = "x";
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);
	int full, other;

	dax_poke(p, 'w');
	other = dax_create("other");
	full = dax_fill_up(0);
	if (pwrite(other, buf, sizeof(buf), SZ_1M) < 0)
		EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ('w', dax_peek(p));
	EXPECT_BYTES(FILL, p + 1, SZ_2M - 1);
	dax_poke(p + 1, 'x');
	dax_fsync(fd);
	dax_truncate(full, 0);
	/* The filesystem is usable again. */
	dax_remove(full);
	dax_fill(other, 0, SZ_1M, 'y');
}

/*
 * By how many bytes a file grows until there is no space.
 *
 * The copy of a page takes blocks for its neighbours. When all others are taken, the
 * file gets these, by write(2) and by a store, although it is the file itself that
 * keeps them.
 */
static size_t grow_by_write(int fd, off_t end)
{
	static char buf[SZ_1M];
	size_t grown = 0;

	for (size_t step = SZ_1M; step >= SZ_4K; ) {
		ssize_t ret = pwrite(fd, buf, step, end + grown);

		if (ret > 0)
			grown += ret;
		else
			step /= 2;
	}
	return grown;
}

static size_t grow_by_stores(int fd, off_t end)
{
	size_t at = 0;
	char *p;

	dax_truncate(fd, end + 32 * SZ_1M);
	p = dax_map_small(fd, end + 32 * SZ_1M) + end;
	while (at < 32 * SZ_1M && !dax_touch_signal(p + at, true, NULL))
		at += SZ_4K;
	return at;
}

DAX_VARIANTS(left_over, dax_no_reflink() ?: dax_small_scratch(),
	     size_t (*grow)(int fd, off_t end););
FIXTURE_VARIANT_ADD(left_over, by_write) { grow_by_write };
FIXTURE_VARIANT_ADD(left_over, by_stores) { grow_by_stores };

TEST_F(left_over, goes_to_the_file)
{
	size_t len = 8 * SZ_2M;
	int fd = dax_file(len, WRITTEN);
	unsigned long before, after, grown;
	char *p;

	dax_clone(fd, "clone");
	ASSERT_EQ(0, dax_sh("xfs_io -x -c 'resblks 0' %s", dax_dir()));
	dax_fill_up(28 * SZ_1M);
	before = dax_free_blocks();
	p = dax_map_small(fd, len);
	dax_poke_each(p, len, SZ_2M, 'c');
	after = dax_free_blocks();
	dax_print_msg("%lu blocks were free, and %lu when 8 were copied",
		      before, after);
	ASSERT_GT(before - PAGES_2M, after);

	grown = variant->grow(fd, len) / SZ_4K;
	dax_print_msg("the file got %lu more", grown);
	/* Most of what the copies kept is part of that. */
	EXPECT_LT(after + (before - after) / 2, grown);
}

TEST_HARNESS_MAIN
