// SPDX-License-Identifier: GPL-2.0-only
/*
 * Order conflicts: an entry of one size meets a fault of another. There is a
 * variant for each cell of the table. It checks what the fault traces in the
 * step "lock the entry", and the size that is mapped in the end.
 *
 *   found            4K read         4K write        2M read      2M write
 *   nothing          insert 4K       insert 4K       insert 2M    insert 2M
 *   4K, any kind     lock            lock            promote      promote
 *   2M mapped        lock            lock, dirty 2M  lock         lock
 *   2M zero          lock, keep it   demote          lock         lock, replace
 *   2M empty         demote          demote          lock         lock
 *
 * A fault of 4 KiB comes from a mapping of one page, a fault of 2 MiB from an
 * aligned one. A 2 MiB fault that falls back leaves an empty entry.
 */
#include "dax_harness.h"

DAX_NEEDS(dax_no_event("dax_grab_entry"))

#define PAGE	37	/* the page that 4 KiB faults are about */

enum fault { NO_FAULT, READ_4K, WRITE_4K, READ_2M, WRITE_2M };

static bool is_huge(enum fault fault)
{
	return fault >= READ_2M;
}

static bool is_write(enum fault fault)
{
	return fault == WRITE_4K || fault == WRITE_2M;
}

/* Maps page PAGE alone, or the first 2 MiB; returns where that page is. */
static char *take_fault(int fd, enum fault fault)
{
	char *p;

	if (is_huge(fault))
		p = dax_map(fd, 0, SZ_2M) + PAGE * SZ_4K;
	else
		p = dax_map(fd, PAGE * SZ_4K, SZ_4K);
	if (is_write(fault))
		dax_poke(p, 'w');
	else
		dax_peek(p);
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

/* A fault that locks or inserts its entry, or promotes what it finds. */

DAX_FIXTURE(orders, dax_needs())

FIXTURE_VARIANT(orders) {
	enum dax_layout layout;
	enum fault first;		/* makes the entry that is found */
	enum fault fault;
	const char *found, *action;
	const char *stored;		/* the kind that is stored, or NULL */
	const char *mapped;		/* by the fault */
	const char *first_mapped;	/* of the first fault, or NULL */
};

FIXTURE_VARIANT_ADD(orders, none_4k_read_of_hole) {
	.layout = HOLE, .fault = READ_4K,
	.found = "none", .action = "insert", .stored = "zero",
	.mapped = "4K zero",
};

FIXTURE_VARIANT_ADD(orders, none_4k_read_of_blocks) {
	.layout = WRITTEN, .fault = READ_4K,
	.found = "none", .action = "insert", .stored = "mapped",
	.mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, none_4k_write) {
	.layout = HOLE, .fault = WRITE_4K,
	.found = "none", .action = "insert", .stored = "mapped",
	.mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, none_2m_read_of_hole) {
	.layout = HOLE, .fault = READ_2M,
	.found = "none", .action = "insert", .stored = "zero",
	.mapped = "2M zero",
};

FIXTURE_VARIANT_ADD(orders, none_2m_read_of_blocks) {
	.layout = WRITTEN, .fault = READ_2M,
	.found = "none", .action = "insert", .stored = "mapped",
	.mapped = "2M",
};

FIXTURE_VARIANT_ADD(orders, none_2m_write) {
	.layout = PREALLOC, .fault = WRITE_2M,
	.found = "none", .action = "insert", .stored = "mapped",
	.mapped = "2M",
};

FIXTURE_VARIANT_ADD(orders, small_zero_4k_read) {
	.layout = HOLE, .first = READ_4K, .fault = READ_4K,
	.found = "zero", .action = "lock",
	.mapped = "4K zero",
};

FIXTURE_VARIANT_ADD(orders, small_zero_4k_write) {
	.layout = HOLE, .first = READ_4K, .fault = WRITE_4K,
	.found = "zero", .action = "lock", .stored = "mapped",
	.mapped = "4K", .first_mapped = "none",
};

FIXTURE_VARIANT_ADD(orders, small_mapped_4k_read) {
	.layout = WRITTEN, .first = READ_4K, .fault = READ_4K,
	.found = "mapped", .action = "lock",
	.mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, small_mapped_4k_write) {
	.layout = WRITTEN, .first = READ_4K, .fault = WRITE_4K,
	.found = "mapped", .action = "lock",
	.mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, small_zero_2m_read) {
	.layout = HOLE, .first = READ_4K, .fault = READ_2M,
	.found = "zero", .action = "promote", .stored = "zero",
	.mapped = "2M zero", .first_mapped = "4K zero",
};

FIXTURE_VARIANT_ADD(orders, small_zero_2m_write) {
	.layout = PREALLOC, .first = READ_4K, .fault = WRITE_2M,
	.found = "zero", .action = "promote", .stored = "mapped",
	.mapped = "2M", .first_mapped = "none",
};

FIXTURE_VARIANT_ADD(orders, small_mapped_2m_read) {
	.layout = WRITTEN, .first = READ_4K, .fault = READ_2M,
	.found = "mapped", .action = "promote", .stored = "mapped",
	.mapped = "2M", .first_mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, small_dirty_2m_read) {
	.layout = WRITTEN, .first = WRITE_4K, .fault = READ_2M,
	.found = "mapped", .action = "promote",
	.mapped = "2M", .first_mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, small_mapped_2m_write) {
	.layout = WRITTEN, .first = READ_4K, .fault = WRITE_2M,
	.found = "mapped", .action = "promote", .stored = "mapped",
	.mapped = "2M", .first_mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, mapped_4k_read) {
	.layout = WRITTEN, .first = READ_2M, .fault = READ_4K,
	.found = "mapped", .action = "lock",
	.mapped = "4K", .first_mapped = "2M",
};

FIXTURE_VARIANT_ADD(orders, mapped_4k_write) {
	.layout = WRITTEN, .first = READ_2M, .fault = WRITE_4K,
	.found = "mapped", .action = "lock",
	.mapped = "4K",
};

FIXTURE_VARIANT_ADD(orders, mapped_2m_read) {
	.layout = WRITTEN, .first = WRITE_2M, .fault = READ_2M,
	.found = "mapped", .action = "lock",
	.mapped = "2M",
};

FIXTURE_VARIANT_ADD(orders, mapped_2m_write) {
	.layout = WRITTEN, .first = READ_2M, .fault = WRITE_2M,
	.found = "mapped", .action = "lock", .stored = "mapped",
	.mapped = "2M",
};

FIXTURE_VARIANT_ADD(orders, zero_2m_read) {
	.layout = HOLE, .first = READ_2M, .fault = READ_2M,
	.found = "zero", .action = "lock",
	.mapped = "2M zero", .first_mapped = "2M zero",
};

FIXTURE_VARIANT_ADD(orders, zero_2m_write_replaces) {
	.layout = PREALLOC, .first = READ_2M, .fault = WRITE_2M,
	.found = "zero", .action = "lock", .stored = "mapped",
	.mapped = "2M", .first_mapped = "none",
};

static unsigned int expected_grabs(enum fault first, enum fault fault,
				   const char *found, const char *action)
{
	const char *rw = is_write(fault) ? "write" : "read";

	if (is_huge(first) && !is_huge(fault))
		return GRAB_OF_2M(rw, found, action);
	return GRAB(is_huge(fault) ? 9 : 0, rw, found, action);
}

/* A flush covers the whole entry, and nothing else is dirty. */
static void expect_flush(struct __test_metadata *_metadata, int fd, bool huge,
			 bool dirty)
{
	dax_fsync(fd);
	EXPECT_EQ(dirty, dax_count_all("dax_writeback_one"));
	EXPECT_EQ(dirty, dax_count("dax_writeback_one", "pgoff 0x%x, pglen 0x%x",
				   huge ? 0 : PAGE, huge ? (int)PAGES_2M : 1));
}

TEST_F(orders, fault_meets_entry)
{
	bool huge = is_huge(variant->first) || is_huge(variant->fault);
	bool dirty = is_write(variant->first) || is_write(variant->fault);
	bool zero = !strcmp(variant->found, "zero");
	char fill = variant->layout == WRITTEN ? FILL : 0;
	char byte = dirty ? 'w' : fill, *first = NULL, *p;
	bool promotes = !strcmp(variant->action, "promote");
	int fd;

	if (promotes)
		NEED_PROMOTION();
	fd = start(SZ_2M, variant->layout);
	if (variant->first != NO_FAULT) {
		first = take_fault(fd, variant->first);
		if (zero)
			ASSERT_MAPPED(is_huge(variant->first) ? "2M zero" :
				      "4K zero", first);
		dax_trace_clear();
	}
	p = take_fault(fd, variant->fault);
	EXPECT_EQ(1, expected_grabs(variant->first, variant->fault,
				    variant->found, variant->action));
	EXPECT_EQ(1, GRABS());
	if (promotes)
		EXPECT_EQ(1, PROMOTED(1, !zero, zero, is_write(variant->first)));
	if (variant->stored)
		EXPECT_EQ(1, STORED(is_huge(variant->fault) ? 9 : 0,
				    variant->stored, dirty ? "dirty" : "clean"));
	EXPECT_MAPPED(variant->mapped, p);
	if (variant->first_mapped)
		EXPECT_MAPPED(variant->first_mapped, first);
	EXPECT_EQ(byte, dax_peek(p));
	EXPECT_EQ(fill, dax_peek(p + 1));
	if (first) {
		EXPECT_EQ(byte, dax_peek(first));
		/* The zero page of 4 KiB is no part of that of 2 MiB. */
		if (is_huge(variant->first) == is_huge(variant->fault) ||
		    !strstr(variant->mapped, "zero"))
			EXPECT_EQ(dax_pfn(p), dax_pfn(first));
		if (dirty)
			EXPECT_MAPPED(is_huge(variant->first) ? "2M" : "4K",
				      first);
	}
	expect_flush(_metadata, fd, huge, dirty);
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
	p = take_fault(fd, READ_2M);
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

/* Reading one page does not cost the others their huge page. */
TEST_F(dax, zero_4k_read_keeps_entry)
{
	int fd = start(SZ_2M, HOLE);
	char *huge = take_fault(fd, READ_2M);
	char *small, *later;

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
	char *huge = take_fault(fd, READ_2M);
	char *small;

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
static int start_gappy(void)
{
	int fd = dax_file_fragmented();

	dax_trace(fd, NULL);
	return fd;
}

TEST_F(dax, empty_4k_read_demotes)
{
	char *p = take_fault(start_gappy(), READ_2M);

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
	char *p = take_fault(start_gappy(), WRITE_2M);

	EXPECT_EQ(1, GRAB(9, "write", "none", "insert"));
	ONCE_OR_TWICE(FALLBACK("extent-short"));
	EXPECT_EQ(1, GRAB_OF_2M("write", "empty", "demote"));
	EXPECT_EQ(1, DEMOTED("empty"));
	EXPECT_EQ(1, STORED(0, "mapped", "dirty"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(FILL, dax_peek(p + 1));
}

/*
 * An empty entry that is not demoted: in a mapping of 2 MiB an I/O error or a
 * full filesystem ends the fault before the 4 KiB fault. See enospc.c.
 */

TEST_HARNESS_MAIN
