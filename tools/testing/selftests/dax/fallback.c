// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fault that cannot be huge says why, and costs no more than the 4 KiB fault
 * that follows: ext4 opens no transaction only to learn it.
 */
#include "dax_harness.h"
#include "dax_stall.h"

#define FALLBACKS(why) \
	dax_count("dax_fault_fallback", "order 9, reason %s", why)
#define ALL_FALLBACKS()	dax_count("dax_fault_fallback", "order %s", "9")

/*
 * @nr faults of 2 MiB fell back, all of them for that reason. Without our patch
 * to mm, it takes a fault on ext4 twice when that comes down to 4 KiB: under the
 * VMA lock, where it is turned away, and under the mmap lock.
 */
#define EXPECT_FALLBACKS(nr, why) do {		\
	unsigned int __nr = FALLBACKS(why);	\
	unsigned int __want = (nr);		\
						\
	EXPECT_LE(__want, __nr);		\
	EXPECT_GE(2 * __want, __nr);		\
	EXPECT_EQ(ALL_FALLBACKS(), __nr);	\
} while (0)

/* Journal handles of this thread; type 1 is the inode's time stamp. */
static void count_handles(void)
{
	if (!dax_is_xfs())
		dax_trace_thread("jbd2/jbd2_handle_start", "type != 1");
}

static unsigned int handles(void)
{
	return dax_is_xfs() ? 1 : dax_count_all("jbd2_handle_start");
}

static int start(size_t len, enum dax_layout layout)
{
	int fd = dax_file(len, layout);

	dax_trace(fd, NULL);
	count_handles();
	dax_trace_clear();
	return fd;
}

TEST_F(dax, colour)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(2 * SZ_2M, WRITTEN);
	p = dax_map_small(fd, 2 * SZ_2M);
	dax_poke(p + SZ_2M, 'w');
	EXPECT_FALLBACKS(1, "colour");
	EXPECT_EQ(1, handles());
	EXPECT_EQ(0, dax_count("dax_grab_entry", "order 9"));
	EXPECT_MAPPED("4K", p + SZ_2M);
}

/* The mapping ends inside the 2 MiB. */
TEST_F(dax, vma_end)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(SZ_2M, WRITTEN);
	p = dax_map(fd, 0, SZ_2M - SZ_4K);
	dax_poke(p + SZ_4K, 'w');
	/* mm itself may know that no huge page fits, and not ask. */
	EXPECT_EQ(FALLBACKS("vma"), ALL_FALLBACKS());
	EXPECT_GE(2, ALL_FALLBACKS());
	EXPECT_EQ(1, handles());
	EXPECT_EQ(0, dax_count("dax_grab_entry", "order 9"));
	EXPECT_MAPPED("4K", p + SZ_4K);
}

TEST_F(dax, vma_start)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(2 * SZ_2M, WRITTEN);
	p = dax_map(fd, SZ_4K, 2 * SZ_2M - SZ_4K);
	dax_poke(p, 'w');
	EXPECT_EQ(FALLBACKS("vma"), ALL_FALLBACKS());
	EXPECT_GE(2, ALL_FALLBACKS());
	EXPECT_EQ(1, handles());
	EXPECT_MAPPED("4K", p);

	/* The second 2 MiB are whole. */
	dax_poke(p + SZ_2M - SZ_4K, 'w');
	EXPECT_MAPPED("2M", p + SZ_2M - SZ_4K);
}

TEST_F(dax, eof)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(2 * SZ_2M, WRITTEN);
	dax_truncate(fd, SZ_2M + SZ_1M);
	dax_trace_clear();
	p = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(p + SZ_2M, 'w');
	EXPECT_FALLBACKS(1, "eof");
	EXPECT_EQ(1, handles());
	EXPECT_EQ(0, dax_count("dax_grab_entry", "order 9"));
	EXPECT_MAPPED("4K", p + SZ_2M);
	dax_poke(p, 'w');
	EXPECT_MAPPED("2M", p);
}

TEST_F(dax, private_write)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(SZ_2M, WRITTEN);
	p = dax_map_private(fd, 0, SZ_2M);
	dax_poke(p, 'w');
	EXPECT_FALLBACKS(1, "private-write");
	EXPECT_EQ(0, dax_count("dax_grab_entry", "order 9"));
	EXPECT_MAPPED("4K", p);
	if (!dax_is_xfs())
		EXPECT_EQ(0, dax_count_all("jbd2_handle_start"));
}

/* Smaller entries, where they are not promoted, or cannot be. */

TEST_F(dax, small_entries)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	if (dax_has_event("dax_promote_entry"))
		NEED(dax_policy("off"));
	fd = start(SZ_2M, WRITTEN);
	dax_peek(dax_map(fd, 5 * SZ_4K, SZ_4K));
	dax_trace_clear();
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p, 'w');
	EXPECT_FALLBACKS(1, "small-entries");
	EXPECT_EQ(FALLBACKS("small-entries"),
		  dax_count("dax_grab_entry", "order 9 write, action refuse"));
	EXPECT_EQ(0, dax_count_all("dax_promote_entry"));
	EXPECT_EQ(1, handles());
	EXPECT_MAPPED("4K", p);
}

/* The first few entries tell: no transaction is opened to learn more. */
TEST_F(dax, fragmented)
{
	char *p;
	int fd;

	NEED_PROMOTION();
	fd = dax_file_fragmented();
	dax_peek(dax_map(fd, 500 * SZ_4K, SZ_4K));
	dax_trace(fd, NULL);
	count_handles();
	dax_trace_clear();
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p, 'w');
	EXPECT_FALLBACKS(1, "fragmented");
	EXPECT_EQ(FALLBACKS("fragmented"),
		  dax_count("dax_grab_entry", "order 9 write, action refuse"));
	EXPECT_EQ(FALLBACKS("fragmented"), PROMOTE("refuse-fragmented"));
	EXPECT_EQ(0, PROMOTE("replace"));
	EXPECT_EQ(1, handles());
	EXPECT_MAPPED("4K", p);
}

/* The entries do not show it, but the filesystem does: one call is enough. */
TEST_F(dax, extent_short_below_small_entries)
{
	unsigned int tries;
	char *p;
	int fd;

	NEED_PROMOTION();
	fd = dax_file_fragmented();
	dax_peek(dax_map(fd, 5 * SZ_4K, SZ_4K));
	dax_trace(fd, NULL);
	p = dax_map(fd, 0, SZ_2M);
	dax_peek(p);
	tries = PROMOTE("try");
	EXPECT_FALLBACKS(1, "extent-short");
	EXPECT_EQ(FALLBACKS("extent-short"), tries);
	EXPECT_EQ(tries, PROMOTE("rollback"));
	EXPECT_MAPPED("4K", p);
	for (unsigned int page = 0; page < PAGES_2M; page++)
		dax_peek(p + page * SZ_4K);
	EXPECT_EQ(tries, PROMOTE("try"));
}

TEST_F(dax, extent_short)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(SZ_2M, WRITTEN);
	dax_punch_hole(fd, 7 * SZ_4K, SZ_4K);
	dax_trace_clear();
	p = dax_map(fd, 0, SZ_2M);
	dax_peek(p);
	EXPECT_FALLBACKS(1, "extent-short");
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(0, dax_peek(p + 7 * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(p + 8 * SZ_4K));
}

/* A block for the page that has none is not the one that would do. */
TEST_F(dax, extent_short_write)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = dax_file_fragmented();
	dax_trace(fd, NULL);
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p + 8 * SZ_4K, 'w');
	EXPECT_FALLBACKS(1, "extent-short");
	EXPECT_MAPPED("4K", p + 8 * SZ_4K);
	EXPECT_EQ(0, dax_peek(p + DAX_GAP * SZ_4K));
	EXPECT_EQ(FILL, dax_peek(p + (DAX_GAP + 1) * SZ_4K));
}

/* Collapsing one block moves all others off their 2 MiB border. */
TEST_F(dax, misaligned_pfn)
{
	char *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	fd = start(2 * SZ_2M, WRITTEN);
	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K);
	ASSERT_FALSE(dax_extent_huge(fd, 0));
	dax_trace_clear();
	p = dax_map(fd, 0, SZ_2M);
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
TEST_F(dax, device_short)
{
	unsigned int short_ones = 0, mib = 600, sectors = 3 * 2048;
	char table[16384], *at = table, *p;
	int fd;

	NEED_EVENT("dax_fault_fallback");
	NEED(dax_no_scratch());
	for (unsigned int seg = 0; seg < mib / 3; seg++)
		at += sprintf(at, "%u %u linear %s %u\n", seg * sectors, sectors,
			      dax_scratch_device(), seg * sectors);
	NEED(dax_scratch_dm(mib, table));

	fd = start(6 * SZ_2M, WRITTEN);
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

TEST_F(dax, entry_locked)
{
	pid_t holders[HOLDERS], huge;
	unsigned int nr;
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	NEED(dax_stall_file(&fd));
	small = dax_map_small(fd, SZ_2M);
	p = dax_map(fd, 0, SZ_2M);
	dax_trace(fd, NULL);
	dax_trace_clear();
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
	char *p;
	int fd;

	fd = dax_file(8 * SZ_2M, PREALLOC);
	dax_trace(fd, NULL);
	p = dax_map(fd, 0, 8 * SZ_2M);
	for (int i = 0; i < 8; i++) {
		dax_poke(p + i * SZ_2M + i * SZ_4K, 'w');
		EXPECT_MAPPED("2M", p + i * SZ_2M);
	}
	EXPECT_EQ(8, dax_count("dax_pmd_fault_done", "NOPAGE") +
		     dax_count("dax_pmd_fault_done", "MAJOR|NOPAGE") +
		     dax_count("dax_pmd_fault_done", "NOPAGE|MAJOR"));
	EXPECT_EQ(0, dax_count_all("dax_pte_fault"));
	EXPECT_EQ(0, dax_count("dax_fault_fallback", "order 9"));
}

/* Nor where small entries are, if their blocks are in one piece. */
TEST_F(dax, no_fallback_with_small_entries)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = dax_file(8 * SZ_2M, PREALLOC);
	small = dax_map_small(fd, 8 * SZ_2M);
	for (int i = 0; i < 8; i++)
		dax_poke(small + i * SZ_2M + i * 60 * SZ_4K, 's');
	dax_trace(fd, NULL);
	p = dax_map(fd, 0, 8 * SZ_2M);
	for (int i = 0; i < 8; i++) {
		dax_poke(p + i * SZ_2M + i * SZ_4K, 'w');
		EXPECT_MAPPED("2M", p + i * SZ_2M);
	}
	EXPECT_EQ(8, PROMOTE("done"));
	EXPECT_EQ(0, dax_count_all("dax_pte_fault"));
	EXPECT_EQ(0, dax_count("dax_fault_fallback", "order 9"));
}

TEST_HARNESS_MAIN
