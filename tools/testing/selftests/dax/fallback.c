// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 2 MiB fault that falls back reports the reason, and costs no more than the
 * 4 KiB fault that follows: ext4 starts no transaction for it.
 */
#include "dax_harness.h"
#include "dax_stall.h"

/* @nr faults fell back, all of them for that reason; see ONCE_OR_TWICE(). */
#define EXPECT_FALLBACKS(nr, why) do {		\
	unsigned int __nr = FALLBACKS(why);	\
	unsigned int __want = (nr);		\
						\
	EXPECT_LE(__want, __nr);		\
	EXPECT_GE(2 * __want, __nr);		\
	EXPECT_EQ(ALL_FALLBACKS(), __nr);	\
} while (0)

static void expect_handles(unsigned int nr)
{
	if (!dax_is_xfs())
		EXPECT_EQ(nr, dax_count_all("jbd2_handle_start"));
}

static int start(int fd)
{
	dax_trace(fd, NULL);
	/* Journal handles of this thread; type 1 is the inode's time stamp. */
	if (!dax_is_xfs())
		dax_trace_thread("jbd2/jbd2_handle_start", "type != 1");
	dax_trace_clear();
	return fd;
}

DAX_FIXTURE(reasons, dax_no_event("dax_fault_fallback"))

/* A store to @p, which is known not to be huge before an entry is looked at. */
static void falls_back(char *p, const char *why, unsigned int handles)
{
	dax_poke(p, 'w');
	/* mm itself may know that no huge page fits, and not ask. */
	if (strcmp(why, "vma") || ALL_FALLBACKS())
		EXPECT_FALLBACKS(1, why);
	EXPECT_EQ(0, dax_count("dax_grab_entry", "order 9"));
	expect_handles(handles);
	EXPECT_MAPPED("4K", p);
}

TEST_F(reasons, colour)
{
	int fd = start(dax_file(2 * SZ_2M, WRITTEN));

	falls_back(dax_map_small(fd, 2 * SZ_2M) + SZ_2M, "colour", 1);
}

/* The mapping ends inside the 2 MiB. */
TEST_F(reasons, vma_end)
{
	int fd = start(dax_file(SZ_2M, WRITTEN));

	falls_back(dax_map(fd, 0, SZ_2M - SZ_4K) + SZ_4K, "vma", 1);
}

TEST_F(reasons, vma_start)
{
	int fd = start(dax_file(2 * SZ_2M, WRITTEN));
	char *p = dax_map(fd, SZ_4K, 2 * SZ_2M - SZ_4K);

	falls_back(p, "vma", 1);

	/* The second 2 MiB are whole. */
	dax_poke(p + SZ_2M - SZ_4K, 'w');
	EXPECT_MAPPED("2M", p + SZ_2M - SZ_4K);
}

TEST_F(reasons, eof)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 2 * SZ_2M);

	dax_truncate(fd, SZ_2M + SZ_1M);
	start(fd);
	falls_back(p + SZ_2M, "eof", 1);
	dax_poke(p, 'w');
	EXPECT_MAPPED("2M", p);
}

TEST_F(reasons, private_write)
{
	int fd = start(dax_file(SZ_2M, WRITTEN));

	falls_back(dax_map_private(fd, 0, SZ_2M), "private-write", 0);
}

/* Smaller entries, where they are not promoted, or cannot be. */

/* A store to 2 MiB of which page @small has an entry. */
static void stopped_by_entry(int fd, unsigned int small, const char *why)
{
	char *p = dax_map(fd, 0, SZ_2M);

	dax_peek(dax_map(fd, small * SZ_4K, SZ_4K));
	start(fd);
	dax_poke(p, 'w');
	EXPECT_FALLBACKS(1, why);
	EXPECT_EQ(FALLBACKS(why),
		  dax_count("dax_grab_entry", "order 9 write, action refuse"));
	expect_handles(1);
	EXPECT_MAPPED("4K", p);
}

TEST_F(reasons, small_entries)
{
	if (dax_has_event("dax_promote_entry"))
		NEED(dax_policy("off"));
	stopped_by_entry(dax_file(SZ_2M, WRITTEN), 5, "small-entries");
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
}

DAX_FIXTURE(promoted, dax_no_promotion())

/* The first few entries tell: no transaction is opened to learn more. */
TEST_F(promoted, fragmented)
{
	stopped_by_entry(dax_file_fragmented(), 500, "fragmented");
	EXPECT_EQ(FALLBACKS("fragmented"), PROMOTE("refuse-fragmented"));
	EXPECT_EQ(0, PROMOTE("replace"));
}

/* The blocks are not in one piece, which the filesystem tells. */
static char *extent_short(int fd, unsigned int page, bool write)
{
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	dax_touch(p + page * SZ_4K, write);
	EXPECT_FALLBACKS(1, "extent-short");
	EXPECT_MAPPED("4K", p + page * SZ_4K);
	return p;
}

TEST_F(reasons, extent_short)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p;

	dax_punch_hole(fd, 7 * SZ_4K, SZ_4K);
	p = extent_short(fd, 0, false);
	EXPECT_EQ(0, dax_peek(p + 7 * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(p + 8 * SZ_4K));
}

/* A block for the page that has none is not the one that would do. */
TEST_F(reasons, extent_short_write)
{
	char *p = extent_short(dax_file_fragmented(), 8, true);

	EXPECT_EQ(0, dax_peek(p + DAX_GAP * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(p + (DAX_GAP + 1) * SZ_4K));
}

/* Collapsing one block moves all others off their 2 MiB border. */
TEST_F(reasons, misaligned_pfn)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K);
	ASSERT_FALSE(dax_extent_huge(fd, 0));
	dax_trace(fd, NULL);
	dax_peek(p);
	/* ext4 may keep the two 2 MiB apart: then the first one is too short */
	if (FALLBACKS("extent-short"))
		EXPECT_FALLBACKS(1, "extent-short");
	else
		EXPECT_FALLBACKS(1, "misaligned-pfn");
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p + SZ_2M - SZ_4K));
}

/*
 * A table of odd segments: the filesystem's extent is contiguous, the device's
 * is not.
 */
TEST_F(reasons, device_short)
{
	unsigned int short_ones = 0, mib = 600, sectors = 3 * 2048;
	char table[16384], *at = table, *p;
	int fd;

	NEED(dax_no_scratch());
	for (unsigned int seg = 0; seg < mib / 3; seg++)
		at += sprintf(at, "%u %u linear %s %u\n", seg * sectors, sectors,
			      dax_scratch_device(), seg * sectors);
	NEED(dax_scratch_dm(mib, table));

	fd = dax_file(6 * SZ_2M, WRITTEN);
	dax_trace(fd, NULL);
	p = dax_map(fd, 0, 6 * SZ_2M);
	for (int i = 0; i < 6; i++) {
		uint64_t block = dax_block(fd, i * SZ_2M);
		bool cut = block / (3 * SZ_1M) !=
			   (block + SZ_2M - 1) / (3 * SZ_1M);

		dax_poke(p + i * SZ_2M, 'w');
		EXPECT_MAPPED(cut ? "4K" : "2M", p + i * SZ_2M);
		short_ones += cut;
	}
	EXPECT_EQ(2, short_ones);
	EXPECT_FALLBACKS(short_ones, "device-short");
}

/*
 * A promotion that waits for one small entry finds the next one locked, and so
 * on: it gives up after 16. All holders are in ->iomap_begin when the device is
 * suspended. On one CPU, each with its own priority, they continue in the order
 * of their pages; the promoting task has the highest one, so it looks at the
 * range each time one of them is done.
 */
#define HOLDERS	24
#define WAITS	16

static int stall_fd;

DAX_FIXTURE(locked, dax_no_promotion() ?: dax_stall_file(&stall_fd))

TEST_F(locked, entry_locked)
{
	pid_t holders[HOLDERS], huge;
	unsigned int nr;
	int fd = stall_fd;
	char *small = dax_map_small(fd, SZ_2M), *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	dax_suspend();
	for (unsigned int i = 0; i < HOLDERS; i++) {
		holders[i] = dax_stall_touch(small + i * SZ_4K, false,
					     HOLDERS + 1 - i);
		dax_stall_until(i + 1, "dax_grab_entry",
				"order 0, action insert");
	}
	huge = dax_stall_touch(p + SZ_1M, false, HOLDERS + 10);
	dax_stall_until(1, "dax_wait_entry", "");
	EXPECT_EQ(0, FALLBACKS("entry-locked"));
	dax_resume();
	EXPECT_EQ(0, dax_wait(huge));
	for (unsigned int i = 0; i < HOLDERS; i++)
		EXPECT_EQ(0, dax_wait(holders[i]));

	/* The holders are off colour, so that their faults are small. */
	nr = FALLBACKS("entry-locked");
	EXPECT_EQ(ALL_FALLBACKS(), nr + FALLBACKS("colour"));
	EXPECT_EQ(nr, PROMOTE("refuse-locked"));
	EXPECT_EQ(nr, dax_count("dax_grab_entry", "order 9, action refuse"));
	EXPECT_LE(WAITS, dax_count_all("dax_wait_entry"));
	EXPECT_EQ(0, dax_count_all("dax_delete_entry"));

	/*
	 * A retry succeeds when fewer entries are locked: on ext4 mm has
	 * retried the fault with the mmap lock.
	 */
	if (dax_is_xfs()) {
		EXPECT_EQ(1, nr);
		EXPECT_EQ(0, PROMOTE("replace"));
	} else {
		ONCE_OR_TWICE(nr);
	}
	dax_poke(p, 'w');
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(1, PROMOTE("done"));
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_BYTES(FILL, p + 1, SZ_2M - 1);
}

/* With nothing in the way, no fault falls back. */
TEST_F(dax, no_fallback)
{
	int fd = dax_file(8 * SZ_2M, PREALLOC);
	char *p = dax_map(fd, 0, 8 * SZ_2M);

	dax_trace(fd, NULL);
	for (int i = 0; i < 8; i++) {
		dax_poke(p + i * SZ_2M + i * SZ_4K, 'w');
		EXPECT_MAPPED("2M", p + i * SZ_2M);
	}
	EXPECT_EQ(8, dax_count_ends("dax_pmd_fault_done", "NOPAGE"));
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ(0, dax_count("dax_fault_fallback", "order 9"));
}

TEST_HARNESS_MAIN
