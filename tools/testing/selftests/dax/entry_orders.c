// SPDX-License-Identifier: GPL-2.0-only
/*
 * Order conflicts: an entry of one size meets a fault of another. There is a
 * variant for each cell of the table in dax_order_rules.h. It checks what the
 * fault traces in the step "lock the entry", what it stores, and the size that
 * is mapped in the end.
 *
 * A fault of 4 KiB comes from a mapping of one page, a fault of 2 MiB from an
 * aligned one. A 2 MiB fault that falls back leaves an empty entry.
 */
#include "dax_harness.h"
#include "dax_rules.h"

DAX_NEEDS(dax_no_event("dax_grab_entry"))

#define PGOFF	37	/* of the page that 4 KiB faults are about */

enum fault { NO_FAULT, READ_4K, WRITE_4K, READ_2M, WRITE_2M };

static bool is_huge(enum fault fault)
{
	return fault >= READ_2M;
}

static bool is_write(enum fault fault)
{
	return fault == WRITE_4K || fault == WRITE_2M;
}

/* Maps the page at PGOFF alone, or the first 2 MiB; returns its address. */
static char *take_fault(int fd, enum fault fault)
{
	char *p;

	if (is_huge(fault))
		p = dax_map(fd, 0, SZ_2M) + PGOFF * SZ_4K;
	else
		p = dax_map(fd, PGOFF * SZ_4K, SZ_4K);
	dax_touch(p, is_write(fault));
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

/*
 * A fault that locks or inserts its entry, or promotes what it finds. The first
 * fault makes the entry that the second one finds.
 */
DAX_VARIANTS(orders, dax_needs(), enum dax_layout layout; enum fault first, fault;)

FIXTURE_VARIANT_ADD(orders, none_4k_read_of_hole) { HOLE, NO_FAULT, READ_4K };
FIXTURE_VARIANT_ADD(orders, none_4k_read_of_blocks) { WRITTEN, NO_FAULT, READ_4K };
FIXTURE_VARIANT_ADD(orders, none_4k_write) { HOLE, NO_FAULT, WRITE_4K };
FIXTURE_VARIANT_ADD(orders, none_2m_read_of_hole) { HOLE, NO_FAULT, READ_2M };
FIXTURE_VARIANT_ADD(orders, none_2m_read_of_blocks) { WRITTEN, NO_FAULT, READ_2M };
FIXTURE_VARIANT_ADD(orders, none_2m_write) { PREALLOC, NO_FAULT, WRITE_2M };
FIXTURE_VARIANT_ADD(orders, small_zero_4k_read) { HOLE, READ_4K, READ_4K };
FIXTURE_VARIANT_ADD(orders, small_zero_4k_write) { HOLE, READ_4K, WRITE_4K };
FIXTURE_VARIANT_ADD(orders, small_mapped_4k_read) { WRITTEN, READ_4K, READ_4K };
FIXTURE_VARIANT_ADD(orders, small_mapped_4k_write) { WRITTEN, READ_4K, WRITE_4K };
FIXTURE_VARIANT_ADD(orders, small_zero_2m_read) { HOLE, READ_4K, READ_2M };
FIXTURE_VARIANT_ADD(orders, small_zero_2m_write) { PREALLOC, READ_4K, WRITE_2M };
FIXTURE_VARIANT_ADD(orders, small_mapped_2m_read) { WRITTEN, READ_4K, READ_2M };
FIXTURE_VARIANT_ADD(orders, small_dirty_2m_read) { WRITTEN, WRITE_4K, READ_2M };
FIXTURE_VARIANT_ADD(orders, small_mapped_2m_write) { WRITTEN, READ_4K, WRITE_2M };
FIXTURE_VARIANT_ADD(orders, mapped_4k_read) { WRITTEN, READ_2M, READ_4K };
FIXTURE_VARIANT_ADD(orders, mapped_4k_write) { WRITTEN, READ_2M, WRITE_4K };
FIXTURE_VARIANT_ADD(orders, mapped_2m_read) { WRITTEN, WRITE_2M, READ_2M };
FIXTURE_VARIANT_ADD(orders, mapped_2m_write) { WRITTEN, READ_2M, WRITE_2M };
FIXTURE_VARIANT_ADD(orders, zero_2m_read) { HOLE, READ_2M, READ_2M };
FIXTURE_VARIANT_ADD(orders, zero_2m_write_replaces) { PREALLOC, READ_2M, WRITE_2M };

static unsigned int order_of(enum fault fault)
{
	return is_huge(fault) ? 9 : 0;
}

/* The action in the table for a fault that finds this. */
static const char *action_of(enum fault fault, const char *found,
			     unsigned int order)
{
	return dax_rule(found, order)->action[fault - READ_4K];
}

static const char *size_of(bool huge, bool zero)
{
	if (huge)
		return zero ? "2M zero" : "2M";
	return zero ? "4K zero" : "4K";
}

TEST_F(orders, fault_meets_entry)
{
	enum fault before = variant->first, fault = variant->fault;
	bool huge = is_huge(before) || is_huge(fault);
	bool dirty = is_write(before) || is_write(fault);
	bool blocks = variant->layout == WRITTEN;
	bool found_zero = before && !blocks && !is_write(before);
	bool zero = !blocks && !dirty;
	const char *kind = !before ? "none" : found_zero ? "zero" : "mapped";
	const char *action = action_of(fault, kind, order_of(before));
	const char *rw = is_write(fault) ? "write" : "read";
	bool promotes = !strcmp(action, "promote");
	enum fault left = strcmp(action, "lock") ? fault : before;
	char fill = blocks ? FILL : 0, byte = dirty ? 'w' : fill;
	char *first = NULL, *p;
	int fd;

	if (promotes)
		NEED(dax_no_promotion());
	fd = start(SZ_2M, variant->layout);
	if (before) {
		first = take_fault(fd, before);
		if (found_zero)
			ASSERT_MAPPED(size_of(is_huge(before), true), first);
		dax_trace_clear();
	}
	p = take_fault(fd, fault);
	EXPECT_EQ(1, is_huge(before) && !is_huge(fault) ?
		     GRAB_OF_2M(rw, kind, action) :
		     GRAB(order_of(fault), rw, kind, action));
	EXPECT_EQ(1, GRABS());
	if (promotes)
		EXPECT_EQ(1, PROMOTED(1, !found_zero, found_zero, is_write(before)));
	EXPECT_EQ(1, STORED(order_of(left), zero ? "zero" : "mapped",
			    is_write(fault) ? "dirty" : "clean"));
	EXPECT_MAPPED(size_of(is_huge(fault), zero), p);
	/* No zero page stays mapped where there are blocks. */
	if (first)
		EXPECT_MAPPED(found_zero && !zero ? "none" :
			      size_of(is_huge(before), found_zero), first);
	EXPECT_EQ(byte, dax_peek(p));
	EXPECT_EQ(fill, dax_peek(p + 1));
	if (first) {
		EXPECT_EQ(byte, dax_peek(first));
		/* The zero page of 4 KiB is no part of that of 2 MiB. */
		if (is_huge(before) == is_huge(fault) || !zero)
			EXPECT_EQ(dax_pfn(p), dax_pfn(first));
		if (dirty)
			EXPECT_MAPPED(size_of(is_huge(before), false), first);
	}
	/* A flush covers the whole entry, and nothing else is dirty. */
	EXPECT_FLUSHES(dirty, fd);
	EXPECT_EQ(dirty, dax_count("dax_writeback_one", "pgoff 0x%x, pglen 0x%x",
				   huge ? 0 : PGOFF, huge ? (int)PAGES_2M : 1));
}

/* Reading one page does not cost the others their huge page. */
TEST_F(dax, zero_4k_read_keeps_entry)
{
	int fd = start(SZ_2M, HOLE);
	char *huge = take_fault(fd, READ_2M), *small, *later;

	dax_trace_clear();
	small = take_fault(fd, READ_4K);
	EXPECT_EQ(1, GRAB_OF_2M("read", "zero", "lock"));
	EXPECT_EQ(1, GRABS());
	EXPECT_EQ(0, dax_count_all("dax_delete_entry"));
	EXPECT_MAPPED("4K zero", small);
	EXPECT_MAPPED("2M zero", huge);

	later = take_fault(fd, READ_2M);
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
	int fd = start(SZ_2M, HOLE);
	char *huge = take_fault(fd, READ_2M), *small;

	dax_trace_clear();
	small = take_fault(fd, WRITE_4K);
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

/*
 * Row: 2 MiB empty. A page that has no block, and cannot get the right one,
 * makes the 2 MiB fault fall back.
 */
DAX_VARIANTS(empty, dax_needs(), enum fault huge, small;)

FIXTURE_VARIANT_ADD(empty, read) { READ_2M, READ_4K };
FIXTURE_VARIANT_ADD(empty, write) { WRITE_2M, WRITE_4K };

TEST_F(empty, small_fault_demotes)
{
	const char *rw = is_write(variant->huge) ? "write" : "read";
	int fd = dax_file_fragmented();
	char *p;

	dax_trace(fd, NULL);
	p = take_fault(fd, variant->huge);
	EXPECT_EQ(1, GRAB(9, rw, "none", action_of(variant->huge, "none", 0)));
	ONCE_OR_TWICE(FALLBACKS("extent-short"));
	EXPECT_EQ(1, GRAB_OF_2M(rw, "empty", action_of(variant->small, "empty", 9)));
	EXPECT_EQ(1, DEMOTED("empty"));
	EXPECT_EQ(1, GRAB(0, rw, "none", "insert"));
	EXPECT_EQ(1, STORED(0, "mapped", is_write(variant->huge) ? "dirty" : "clean"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p + 1));
}

/*
 * An empty entry that is not demoted: in a mapping of 2 MiB an I/O error or a
 * full filesystem ends the fault before the 4 KiB fault. See enospc.c.
 */

TEST_HARNESS_MAIN
