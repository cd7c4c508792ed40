// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens when an entry of one size meets a fault of another: one test
 * for each cell of the table, asserted by the step "lock the entry" that the
 * fault traced, and by the size that came to be mapped.
 *
 *   found            4K read         4K write        2M read      2M write
 *   nothing          insert 4K       insert 4K       insert 2M    insert 2M
 *   4K, any kind     lock            lock            promote      promote
 *   2M mapped        lock            lock, dirty 2M  lock         lock
 *   2M zero          lock, keep it   demote          lock         lock, replace
 *   2M empty         demote          demote          lock         lock
 *
 * A fault of 4 KiB comes from a mapping of one page, a fault of 2 MiB from an
 * aligned one. Empty entries are what a refused 2 MiB fault leaves behind.
 */
#include "dax_harness.h"

#define PAGE	37	/* the page that 4 KiB faults are about */

static void touch(char *p, bool write)
{
	if (write)
		dax_poke(p, 'w');
	else
		dax_peek(p);
}

/* Maps and touches page PAGE of the first 2 MiB alone. */
static char *fault_4k(int fd, bool write)
{
	char *p = dax_map(fd, PAGE * SZ_4K, SZ_4K);

	touch(p, write);
	return p;
}

/* Maps and touches the first 2 MiB; returns where page PAGE is. */
static char *fault_2m(int fd, bool write)
{
	char *p = dax_map(fd, 0, SZ_2M) + PAGE * SZ_4K;

	touch(p, write);
	return p;
}

#define GRAB(order, rw, found, action) \
	dax_count("dax_grab_entry", "order %u %s, found %s, action %s", \
		  order, rw, found, action)

/* A 4 KiB fault that finds 2 MiB. */
#define GRAB_OF_2M(rw, found, action) \
	dax_count("dax_grab_entry", \
		  "order 0 %s, found %s, found_order 9, action %s", \
		  rw, found, action)

#define GRABS()		dax_count_all("dax_grab_entry")
#define FALLBACK(why)	dax_count("dax_fault_fallback", "reason %s", why)
#define STORED(order, kind, dirty) \
	dax_count("dax_store_entry", "order %u, kind %s, %s", order, kind, dirty)
#define DEMOTED(kind) \
	dax_count("dax_delete_entry", "pgoff 0x0, order 9, kind %s, by demote", kind)

/* Sets up a file and starts to count. */
static int start(size_t len, enum dax_layout layout)
{
	int fd = dax_file(len, layout);

	dax_trace(fd, NULL);
	return fd;
}

/* Row: nothing there. */

TEST_F(dax, none_4k_read_of_hole)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_4k(start(SZ_2M, HOLE), false);
	EXPECT_EQ(1, GRAB(0, "read", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(0, "zero", "clean"));
	EXPECT_MAPPED("4K zero", p);
	EXPECT_EQ(0, dax_peek(p));
}

TEST_F(dax, none_4k_read_of_blocks)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_4k(start(SZ_2M, WRITTEN), false);
	EXPECT_EQ(1, GRAB(0, "read", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(0, "mapped", "clean"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p));
}

TEST_F(dax, none_4k_write)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_4k(start(SZ_2M, HOLE), true);
	EXPECT_EQ(1, GRAB(0, "write", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(0, "mapped", "dirty"));
	EXPECT_MAPPED("4K", p);
}

TEST_F(dax, none_2m_read_of_hole)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_2m(start(SZ_2M, HOLE), false);
	EXPECT_EQ(1, GRAB(9, "read", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(9, "zero", "clean"));
	EXPECT_MAPPED("2M zero", p);
	EXPECT_EQ(0, dax_peek(p));
}

TEST_F(dax, none_2m_read_of_blocks)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_2m(start(SZ_2M, WRITTEN), false);
	EXPECT_EQ(1, GRAB(9, "read", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(9, "mapped", "clean"));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(FILL, dax_peek(p));
}

TEST_F(dax, none_2m_write)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_2m(start(SZ_2M, PREALLOC), true);
	EXPECT_EQ(1, GRAB(9, "write", "none", "insert"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(9, "mapped", "dirty"));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(0, dax_peek(p + 1));
}

/* Row: 4 KiB entries. */

TEST_F(dax, small_zero_4k_read)
{
	char *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, HOLE);
	fault_4k(fd, false);
	dax_trace_clear();
	p = fault_4k(fd, false);
	EXPECT_EQ(1, GRAB(0, "read", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("4K zero", p);
}

TEST_F(dax, small_zero_4k_write)
{
	char *zero, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, HOLE);
	zero = fault_4k(fd, false);
	dax_trace_clear();
	p = fault_4k(fd, true);
	EXPECT_EQ(1, GRAB(0, "write", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(0, "mapped", "dirty"));
	EXPECT_MAPPED("4K", p);
	/* Blocks replaced the zero page: nobody may still see it. */
	EXPECT_MAPPED("none", zero);
	EXPECT_EQ('w', dax_peek(zero));
}

TEST_F(dax, small_mapped_4k)
{
	char *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, WRITTEN);
	fault_4k(fd, false);
	dax_trace_clear();
	p = fault_4k(fd, false);
	EXPECT_EQ(1, GRAB(0, "read", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("4K", p);

	dax_trace_clear();
	p = fault_4k(fd, true);
	EXPECT_EQ(1, GRAB(0, "write", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p + 1));
}

/* Promoted: small entries become one of 2 MiB, and that is what is mapped. */

TEST_F(dax, small_zero_2m_read)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = start(SZ_2M, HOLE);
	small = fault_4k(fd, false);
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "zero", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, PROMOTED(1, 0, 1, 0));
	EXPECT_EQ(1, STORED(9, "zero", "clean"));
	EXPECT_MAPPED("2M zero", p);
	EXPECT_MAPPED("4K zero", small);
	EXPECT_EQ(0, dax_peek(p));
}

TEST_F(dax, small_zero_2m_write)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = start(SZ_2M, PREALLOC);
	small = fault_4k(fd, false);
	ASSERT_MAPPED("4K zero", small);
	dax_trace_clear();
	p = fault_2m(fd, true);
	EXPECT_EQ(1, GRAB(9, "write", "zero", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, PROMOTED(1, 0, 1, 0));
	EXPECT_EQ(1, STORED(9, "mapped", "dirty"));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("none", small);
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_EQ(dax_pfn(p), dax_pfn(small));
}

/* What was clean stays clean, and a read has nothing to flush. */
TEST_F(dax, small_mapped_2m_read)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = start(SZ_2M, WRITTEN);
	small = fault_4k(fd, false);
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "mapped", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, PROMOTED(1, 1, 0, 0));
	EXPECT_EQ(1, STORED(9, "mapped", "clean"));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("4K", small);
	EXPECT_EQ(dax_pfn(p), dax_pfn(small));
	EXPECT_EQ(FILL, dax_peek(p));
	dax_fsync(fd);
	EXPECT_EQ(0, dax_count_all("dax_writeback_one"));
}

/* And what was dirty stays dirty, as a part of 2 MiB. */
TEST_F(dax, small_dirty_2m_read)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = start(SZ_2M, WRITTEN);
	small = fault_4k(fd, true);
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "mapped", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, PROMOTED(1, 1, 0, 1));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("4K", small);
	EXPECT_EQ('w', dax_peek(p));
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "pgoff 0x0, pglen 0x200"));
	EXPECT_EQ(1, dax_count_all("dax_writeback_one"));
}

TEST_F(dax, small_mapped_2m_write)
{
	char *small, *p;
	int fd;

	NEED_PROMOTION();
	fd = start(SZ_2M, WRITTEN);
	small = fault_4k(fd, false);
	dax_trace_clear();
	p = fault_2m(fd, true);
	EXPECT_EQ(1, GRAB(9, "write", "mapped", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, PROMOTED(1, 1, 0, 0));
	EXPECT_EQ(1, STORED(9, "mapped", "dirty"));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("4K", small);
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_EQ(FILL, dax_peek(p + 1));
}

/* A small entry elsewhere in the range is met as well. */
TEST_F(dax, small_elsewhere_2m_read)
{
	char *p;
	int fd;

	NEED_PROMOTION();
	fd = start(2 * SZ_2M, WRITTEN);
	dax_peek(dax_map(fd, SZ_2M - SZ_4K, SZ_4K));
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "mapped", "promote"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("2M", p);

	/* but not behind the range */
	dax_trace_clear();
	p = dax_map(fd, SZ_2M, SZ_2M);
	dax_peek(p);
	EXPECT_EQ(1, GRAB(9, "read", "none", "insert"));
	EXPECT_MAPPED("2M", p);
}

/* Row: 2 MiB mapped. */

TEST_F(dax, mapped_4k_read)
{
	char *huge, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, WRITTEN);
	huge = fault_2m(fd, false);
	dax_trace_clear();
	p = fault_4k(fd, false);
	EXPECT_EQ(1, GRAB_OF_2M("read", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("4K", p);
	EXPECT_MAPPED("2M", huge);
	EXPECT_EQ(dax_pfn(huge), dax_pfn(p));
	EXPECT_EQ(FILL, dax_peek(p));
}

/* A store through a pte dirties the 2 MiB, and a flush covers the 2 MiB. */
TEST_F(dax, mapped_4k_write)
{
	char *huge, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, WRITTEN);
	huge = fault_2m(fd, false);
	dax_trace_clear();
	p = fault_4k(fd, true);
	EXPECT_EQ(1, GRAB_OF_2M("write", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(dax_pfn(huge), dax_pfn(p));
	EXPECT_EQ('w', dax_peek(huge));

	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "pgoff 0x0, pglen 0x200"));
	EXPECT_EQ(1, dax_count_all("dax_writeback_one"));
}

TEST_F(dax, mapped_2m_read)
{
	char *first, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, WRITTEN);
	first = fault_2m(fd, true);
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(dax_pfn(first), dax_pfn(p));
	EXPECT_EQ('w', dax_peek(p));
}

TEST_F(dax, mapped_2m_write)
{
	char *first, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, WRITTEN);
	first = fault_2m(fd, false);
	dax_trace_clear();
	p = fault_2m(fd, true);
	EXPECT_EQ(1, GRAB(9, "write", "mapped", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(9, "mapped", "dirty"));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ('w', dax_peek(first));
}

/* Row: 2 MiB zero. */

/* Reading one page does not cost the others their huge page. */
TEST_F(dax, zero_4k_read_keeps_entry)
{
	char *huge, *small, *later;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, HOLE);
	huge = fault_2m(fd, false);
	dax_trace_clear();
	small = fault_4k(fd, false);
	EXPECT_EQ(1, GRAB_OF_2M("read", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(0, dax_count_all("dax_delete_entry"));
	EXPECT_MAPPED("4K zero", small);
	EXPECT_MAPPED("2M zero", huge);

	later = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "zero", "lock"));
	EXPECT_MAPPED("2M zero", later);
	EXPECT_EQ(0, dax_peek(small));

	/* And the zero page that was mapped under it goes with the rest. */
	dax_poke(later, 'w');
	EXPECT_MAPPED("none", huge);
	EXPECT_MAPPED("none", small);
	EXPECT_EQ('w', dax_peek(huge));
	EXPECT_EQ('w', dax_peek(small));
}

TEST_F(dax, zero_4k_write_demotes)
{
	char *huge, *small;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, HOLE);
	huge = fault_2m(fd, false);
	dax_trace_clear();
	small = fault_4k(fd, true);
	EXPECT_EQ(1, GRAB_OF_2M("write", "zero", "demote"));
	EXPECT_EQ(1, DEMOTED("zero"));
	EXPECT_EQ(1, GRAB(0, "write", "none", "insert"));
	EXPECT_EQ(2, GRABS());
	EXPECT_EQ(1, STORED(0, "mapped", "dirty"));
	EXPECT_MAPPED("4K", small);
	EXPECT_MAPPED("none", huge);
	EXPECT_EQ('w', dax_peek(huge));
	EXPECT_EQ(dax_pfn(small), dax_pfn(huge));
	EXPECT_EQ(0, dax_peek(huge + SZ_4K));
}

TEST_F(dax, zero_2m_read)
{
	char *first, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, HOLE);
	first = fault_2m(fd, false);
	dax_trace_clear();
	p = fault_2m(fd, false);
	EXPECT_EQ(1, GRAB(9, "read", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_MAPPED("2M zero", p);
	EXPECT_MAPPED("2M zero", first);
	EXPECT_EQ(dax_pfn(first), dax_pfn(p));
}

TEST_F(dax, zero_2m_write_replaces)
{
	char *zero, *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	fd = start(SZ_2M, PREALLOC);
	zero = fault_2m(fd, false);
	ASSERT_MAPPED("2M zero", zero);
	dax_trace_clear();
	p = fault_2m(fd, true);
	EXPECT_EQ(1, GRAB(9, "write", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(1, STORED(9, "mapped", "dirty"));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("none", zero);
	EXPECT_EQ('w', dax_peek(zero));
	EXPECT_MAPPED("2M", zero);
	EXPECT_EQ(dax_pfn(p), dax_pfn(zero));
}

/*
 * Row: 2 MiB empty. A page that has no block, and cannot get the right one,
 * makes the 2 MiB fault fall back.
 */
static int start_gappy(void)
{
	int fd = dax_file_fragmented();

	dax_trace(fd, NULL);
	return fd;
}

TEST_F(dax, empty_4k_read_demotes)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_2m(start_gappy(), false);
	EXPECT_EQ(1, GRAB(9, "read", "none", "insert"));
	ONCE_OR_TWICE(FALLBACK("extent-short"));
	EXPECT_EQ(1, GRAB_OF_2M("read", "empty", "demote"));
	EXPECT_EQ(1, DEMOTED("empty"));
	EXPECT_EQ(1, GRAB(0, "read", "none", "insert"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p));
}

TEST_F(dax, empty_4k_write_demotes)
{
	char *p;

	NEED_EVENT("dax_grab_entry");
	p = fault_2m(start_gappy(), true);
	EXPECT_EQ(1, GRAB(9, "write", "none", "insert"));
	ONCE_OR_TWICE(FALLBACK("extent-short"));
	EXPECT_EQ(1, GRAB_OF_2M("write", "empty", "demote"));
	EXPECT_EQ(1, DEMOTED("empty"));
	EXPECT_EQ(1, STORED(0, "mapped", "dirty"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p + 1));
}

/*
 * The empty entry that nobody demoted: in a mapping of 2 MiB an I/O error or a
 * full file system ends the fault before the 4 KiB fault comes. enospc.c has
 * that one.
 */

TEST_HARNESS_MAIN
