// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages of a large DAX entry are dirty.
 *
 * DIRTY is a mark of the entry as a whole.  A program that stores a few bytes,
 * calls fsync and repeats this would flush 2 MiB each time with a large entry,
 * but only 4 KiB with small entries.  A program that fills the range between
 * two fsyncs needs one fault and one flush with a large entry, but 512 of each
 * with small entries.  So a mapped entry of at least DAX_DIRT_MIN_ORDER is in
 * one of two states:
 *
 *	whole	Its pages may be mapped writable by any page size.  A flush
 *		covers the whole entry.
 *	by page	Write faults of a large order are refused, so that the write
 *		faults of order 0 show which pages are stored to.  A flush
 *		covers these pages.
 *
 * The rule: while an entry is by page, each of its pages that a page table may
 * map writable, or that may have been stored to since its last flush, has the
 * page flag of dax_set_page_dirty(), and the bit of its part of the entry is
 * set in the value.  Both are set with the entry locked, before the page is
 * mapped.  Only a flush of the page clears the flag, and only a flush of all
 * flagged pages of the entry clears the bits of the parts.  The value also
 * counts these faults.  The count is an upper bound of the number of flagged
 * pages.
 *
 *	whole -> by page	By a flush, which has write-protected and
 *				flushed all of the entry under its lock just
 *				now.  No page needs a flag, and the flags that
 *				are left from earlier are cleared.
 *	by page -> whole	At any time by the holder of the entry lock.  No
 *				store is lost, because the flush of a whole
 *				entry reads no flags.
 *
 * A flag means nothing while the entry is whole, so nothing clears the flags of
 * an entry that is deleted or becomes whole.
 *
 * POLICY	An entry is whole at first.  A whole entry becomes by page at
 *		the dax_whole_flushes()-th flush after it became whole.  If
 *		DAX_MANY_PAGES write faults come before the next flush, the
 *		entry becomes whole again.  It then stays whole for four times
 *		as many flushes as before, at most DAX_COUNT_MAX.  The last of
 *		these faults also removes the page tables of the range, so the
 *		next fault can be huge.  If a flush finds the entry by page, the
 *		program stores to few pages.  The number of flushes for which
 *		the entry stays whole next time is then reset to its smallest
 *		value.
 *
 * The value of an entry (dax-entry.h) has, from its lowest bit of dirt:
 *
 *	1 bit	by page
 *	2 bits	how many times in a row by page was found to be wrong
 *	7 bits	whole: flushes since it became so.  By page: write faults since
 *		the last flush.
 *	8 bits	by page: the parts, each an eighth of the entry, that have dirty
 *		pages
 *
 * The value changes with the lock of the entry held.  On a 32-bit kernel, the
 * value has no dirt, and each entry stays whole.
 *
 * This file uses neither struct page nor fault codes.  It also builds in user
 * space, see tools/testing/dax/.
 */

#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/xarray_slot.h>

#include "dax-internal.h"

/*
 * A page costs some 5,000 instructions, for its fault, its write protection and
 * its flush, and a whole flush of 2 MiB 133,000.  So if a writer stores to more
 * pages than this, tracking by page costs about as much as one more flush of
 * 2 MiB.
 */
#define DAX_MANY_PAGES		32U

/*
 * How many whole flushes there are before the stores are tracked by page: the
 * first fill of the range, and one more that shows that there is a pattern.
 */
#define DAX_WHOLE_FLUSHES	2U

struct dax_dirt {
	bool by_page;
	unsigned int wrong;
	unsigned int count;
	unsigned long parts;
};

#define DAX_BY_PAGE		BIT(0)
#define DAX_WRONG_SHIFT		1
#define DAX_WRONG_MAX		3U
#define DAX_COUNT_SHIFT		3
#define DAX_COUNT_MAX		127U
#define DAX_PARTS_SHIFT		10

static struct dax_dirt dax_get_dirt(void *entry)
{
	unsigned long dirt = dax_entry_dirt(entry);

	return (struct dax_dirt) {
		.by_page = dirt & DAX_BY_PAGE,
		.wrong = dirt >> DAX_WRONG_SHIFT & DAX_WRONG_MAX,
		.count = dirt >> DAX_COUNT_SHIFT & DAX_COUNT_MAX,
		.parts = dirt >> DAX_PARTS_SHIFT,
	};
}

static void *dax_put_dirt(void *entry, struct dax_dirt dirt)
{
	return dax_set_dirt(entry, dirt.by_page |
			    (unsigned long)dirt.wrong << DAX_WRONG_SHIFT |
			    (unsigned long)dirt.count << DAX_COUNT_SHIFT |
			    dirt.parts << DAX_PARTS_SHIFT);
}

static unsigned int dax_whole_flushes(unsigned int wrong)
{
	return min(DAX_WHOLE_FLUSHES << 2 * wrong, DAX_COUNT_MAX);
}

/*
 * The value of @entry, which is by page, after a write fault of @order at
 * @index.
 */
static void *dax_written_entry(void *entry, pgoff_t index, unsigned int order)
{
	unsigned long offset = index - dax_entry_start(entry, index);
	struct dax_dirt dirt = dax_get_dirt(entry);

	/*
	 * A collapse, the second half of a MAP_SYNC fault, or a process that
	 * tracks its stores: it must keep the huge page.
	 */
	if (order)
		return dax_set_dirt(entry, 0);
	if (++dirt.count < DAX_MANY_PAGES) {
		dirt.parts |= BIT(offset / dax_part_pages(entry));
		return dax_put_dirt(entry, dirt);
	}
	return dax_put_dirt(entry, (struct dax_dirt) {
		.wrong = min(dirt.wrong + 1, DAX_WRONG_MAX),
	});
}

/* The value of @entry after a flush of all that was dirty. */
static void *dax_flushed_entry(void *entry)
{
	struct dax_dirt dirt = dax_get_dirt(entry);

	if (dirt.by_page)
		return dax_put_dirt(entry, (struct dax_dirt) {
			.by_page = true,
		});
	if (++dirt.count < dax_whole_flushes(dirt.wrong))
		return dax_put_dirt(entry, dirt);
	dirt.by_page = true;
	dirt.count = 0;
	return dax_put_dirt(entry, dirt);
}

/* Store the value of the locked entry that @xas is walked to. */
static void dax_store_dirt(struct xa_state *xas, void *old, void *new)
{
	void *was = xas_replace(xas, dax_make_locked(new));

	WARN_ON_ONCE(was != dax_make_locked(old));
}

/**
 * dax_record_store() - Record a write fault in an entry that is by page
 * @xas: Walked to the entry, which the caller has locked.
 * @entry: The entry, without the lock bit.
 * @index: The page offset of the fault.
 * @order: The order of the page that will be mapped.
 *
 * For an entry that is whole, the mark DIRTY is enough.  If the result is by
 * page, the caller must call dax_set_page_dirty() before it maps the page.  If
 * it is not, the range is better mapped huge.
 *
 * Context: xa_lock held.
 * Return: The entry as it is now, without the lock bit.
 */
void *dax_record_store(struct xa_state *xas, void *entry, pgoff_t index,
		       unsigned int order)
{
	void *new = dax_written_entry(entry, index, order);

	dax_store_dirt(xas, entry, new);
	return new;
}

/**
 * dax_flush_ends_whole() - Will an entry be by page after this flush?
 * @entry: An entry that is whole.
 *
 * Context: The entry is locked.
 * Return: true if dax_record_flush() makes it so.
 */
bool dax_flush_ends_whole(void *entry)
{
	/* Without page structures, no page can have a flag. */
	return dax_has_dirt(entry) && !IS_ENABLED(CONFIG_FS_DAX_LIMITED) &&
		dax_is_by_page(dax_flushed_entry(entry));
}

/**
 * dax_record_flush() - Record that all dirty pages of an entry were flushed
 * @xas: Walked to the entry, which the caller has locked.
 * @entry: The entry, without the lock bit.
 *
 * An entry that was whole may be by page now.  The caller has write-protected
 * and flushed all of it since it locked the entry, and if
 * dax_flush_ends_whole() is true, no page of it has a flag.
 *
 * Context: xa_lock held.
 * Return: The entry as it is now, without the lock bit.
 */
void *dax_record_flush(struct xa_state *xas, void *entry)
{
	void *new;

	if (!dax_has_dirt(entry) || IS_ENABLED(CONFIG_FS_DAX_LIMITED))
		return entry;
	new = dax_flushed_entry(entry);
	dax_store_dirt(xas, entry, new);
	return new;
}

/**
 * dax_dirty_parts() - The parts of an entry that have dirty pages
 * @entry: An entry that is by page.
 *
 * Context: Any.
 * Return: A bitmap of DAX_NR_PARTS bits.
 */
unsigned long dax_dirty_parts(void *entry)
{
	return dax_get_dirt(entry).parts;
}

/**
 * dax_max_dirty_pages() - How many pages of an entry may be dirty
 * @entry: An entry that is by page.
 *
 * Each write fault since the last flush has set the flag of one page at most.
 *
 * Context: Any.
 * Return: The number of pages that can have a flag.
 */
unsigned int dax_max_dirty_pages(void *entry)
{
	return dax_get_dirt(entry).count;
}
