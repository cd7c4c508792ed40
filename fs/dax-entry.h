/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The DAX entry: the layout of one word in a mapping's i_pages.
 *
 * The XArray of a DAX mapping holds value entries, not folios.  Each of them
 * stands for 1 << order consecutive pages of the file, naturally aligned in the
 * file:
 *
 *	 62 ... 23   22 ... 8   7 ... 3   2 ... 1    0
 *	+----------+----------+---------+---------+--------+
 *	|   pfn    |   dirt   |  order  |  kind   | locked |
 *	+----------+----------+---------+---------+--------+
 *
 * kind is one of
 *
 *	mapped	The range has blocks.  pfn is the first one; it is aligned to
 *		the order, and the others follow without a gap.
 *	zero	The range is a hole that was read.  The shared zero page of
 *		that order is mapped.  There is no pfn.
 *	empty	The contents are not known.  The entry exists for its lock.
 *
 * dirt is what dax-dirty.c knows of the stores to a large mapped entry.  The
 * low bits of an aligned pfn are 0, so dirt extends to the lowest three bits of
 * the pfn.  It is 0 in all other entries.  A value of 32 bits has no room for
 * it: the pfn begins at bit 8 there.
 *
 * This header builds entries and reads their fields.  It takes no lock and
 * knows no page.  Only this header knows the place of a field in the word;
 * dax-dirty.c divides the dirt further.  The size of an entry is never stored,
 * because it follows from the order.
 */
#ifndef _FS_DAX_ENTRY_H
#define _FS_DAX_ENTRY_H

#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/types.h>
#include <linux/xarray.h>

/**
 * enum dax_kind - What an entry stands for
 * @DAX_MAPPED: Blocks, starting at dax_entry_pfn().
 * @DAX_ZERO: A hole, mapped by a zero page.
 * @DAX_EMPTY: Not known; the entry exists for its lock.
 */
enum dax_kind {
	DAX_MAPPED,
	DAX_ZERO,
	DAX_EMPTY,
};

#define DAX_LOCKED		BIT(0)
#define DAX_KIND_SHIFT		1
#define DAX_KIND_MASK		GENMASK(1, 0)
#define DAX_ORDER_SHIFT		3
#define DAX_ORDER_MASK		GENMASK(4, 0)
#define DAX_DIRT_SHIFT		8
#define DAX_DIRT_BITS		(BITS_PER_LONG == 64 ? 18 : 0)
/* Entries of smaller orders have no dirt. */
#define DAX_DIRT_MIN_ORDER	3
#define DAX_PFN_SHIFT		\
	(DAX_DIRT_SHIFT + (DAX_DIRT_BITS ? DAX_DIRT_BITS - DAX_DIRT_MIN_ORDER : 0))

/* An unlocked entry of @kind.  @pfn must be 0 unless @kind is DAX_MAPPED. */
static inline void *dax_make_entry(enum dax_kind kind, unsigned long pfn,
				   unsigned int order)
{
	return xa_mk_value(pfn << DAX_PFN_SHIFT |
			   (unsigned long)order << DAX_ORDER_SHIFT |
			   (unsigned long)kind << DAX_KIND_SHIFT);
}

static inline void *dax_make_mapped(unsigned long pfn, unsigned int order)
{
	return dax_make_entry(DAX_MAPPED, pfn, order);
}

static inline void *dax_make_zero(unsigned int order)
{
	return dax_make_entry(DAX_ZERO, 0, order);
}

static inline void *dax_make_empty(unsigned int order)
{
	return dax_make_entry(DAX_EMPTY, 0, order);
}

static inline void *dax_make_locked(void *entry)
{
	return xa_mk_value(xa_to_value(entry) | DAX_LOCKED);
}

static inline bool dax_is_locked(void *entry)
{
	return xa_to_value(entry) & DAX_LOCKED;
}

static inline enum dax_kind dax_entry_kind(void *entry)
{
	return (xa_to_value(entry) >> DAX_KIND_SHIFT) & DAX_KIND_MASK;
}

static inline bool dax_is_mapped(void *entry)
{
	return dax_entry_kind(entry) == DAX_MAPPED;
}

static inline bool dax_is_zero(void *entry)
{
	return dax_entry_kind(entry) == DAX_ZERO;
}

static inline bool dax_is_empty(void *entry)
{
	return dax_entry_kind(entry) == DAX_EMPTY;
}

static inline unsigned int dax_entry_order(void *entry)
{
	return (xa_to_value(entry) >> DAX_ORDER_SHIFT) & DAX_ORDER_MASK;
}

/* How many pages of the file @entry stands for. */
static inline unsigned long dax_entry_nr_pages(void *entry)
{
	return 1UL << dax_entry_order(entry);
}

/* The first page offset of @entry, which was found at @index. */
static inline unsigned long dax_entry_start(void *entry, unsigned long index)
{
	return index & ~(dax_entry_nr_pages(entry) - 1);
}

/*
 * Does @entry, found at @index, extend beyond the page offsets from @first to
 * @last, of which @index is one?  @entry may be whatever the tree holds.
 */
static inline bool dax_entry_exceeds(void *entry, unsigned long index,
				     unsigned long first, unsigned long last)
{
	unsigned long start;

	if (!xa_is_value(entry) || !dax_entry_order(entry))
		return false;
	start = dax_entry_start(entry, index);
	return start < first || start + dax_entry_nr_pages(entry) - 1 > last;
}

/*
 * The first pfn of the mapped @entry.  Zero and empty entries have none.  A
 * call for one of them is a bug, and triggers a warning: the caller would use
 * page structures that do not exist.
 */
static inline unsigned long dax_entry_pfn(void *entry)
{
	WARN_ON_ONCE(!dax_is_mapped(entry));
	return (xa_to_value(entry) >> DAX_PFN_SHIFT) &
		~(dax_entry_nr_pages(entry) - 1);
}

/* The pfn of page offset @index, which lies within the mapped @entry. */
static inline unsigned long dax_entry_pfn_at(void *entry, unsigned long index)
{
	return dax_entry_pfn(entry) + (index - dax_entry_start(entry, index));
}

/* The mapped entry of order 0 with the pfn that follows that of @entry. */
static inline void *dax_next_pfn_entry(void *entry)
{
	return xa_mk_value(xa_to_value(entry) + (1UL << DAX_PFN_SHIFT));
}

/* Can @entry have dirt? */
static inline bool dax_has_dirt(void *entry)
{
	return DAX_DIRT_BITS && dax_is_mapped(entry) &&
		dax_entry_order(entry) >= DAX_DIRT_MIN_ORDER;
}

/* The dirt of @entry, for which dax_has_dirt() is true. */
static inline unsigned long dax_entry_dirt(void *entry)
{
	return (xa_to_value(entry) >> DAX_DIRT_SHIFT) &
		((1UL << DAX_DIRT_BITS) - 1);
}

/* @entry, for which dax_has_dirt() is true, with other dirt. */
static inline void *dax_set_dirt(void *entry, unsigned long dirt)
{
	unsigned long mask = ((1UL << DAX_DIRT_BITS) - 1) << DAX_DIRT_SHIFT;

	return xa_mk_value((xa_to_value(entry) & ~mask) |
			   dirt << DAX_DIRT_SHIFT);
}

/* Are the stores to @entry tracked by page?  See dax-dirty.c. */
static inline bool dax_is_by_page(void *entry)
{
	return DAX_DIRT_BITS && xa_to_value(entry) & BIT(DAX_DIRT_SHIFT);
}

/*
 * Does @entry, found at @index, include all of @new, so that a fault that needs
 * @new can share @entry instead of replacing it?  The lock bits and the dirt
 * are ignored.  An empty entry includes nothing.
 */
static inline bool dax_entry_covers(void *entry, void *new, unsigned long index)
{
	if (dax_is_empty(entry) || dax_entry_kind(entry) != dax_entry_kind(new))
		return false;
	if (dax_entry_order(entry) < dax_entry_order(new))
		return false;
	if (dax_is_zero(entry))
		return true;
	return dax_entry_pfn_at(entry, dax_entry_start(new, index)) ==
		dax_entry_pfn(new);
}

#endif /* _FS_DAX_ENTRY_H */
