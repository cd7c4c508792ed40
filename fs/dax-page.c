// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a DAX entry points to: its pages, and what they know of the file.
 *
 * Memory failure starts from a page and has to find the file, so while an
 * entry maps blocks, each page behind it says who maps it:
 *
 *	one file	page->mapping and page->index, as in the page cache
 *	several files	page->mapping is PAGE_MAPPING_DAX_SHARED and
 *	(reflink)	page->share counts the entries; the filesystem's own
 *			reverse map has to tell which
 *
 * The reference count belongs to others: an idle page has one reference, its
 * own, and neither an entry nor a page table takes another.  More than one
 * means that somebody, most often DMA, uses the page at this moment.
 *
 * Association changes together with the tree, in the same xa_lock section;
 * the callers pair the two.  What several files share has a lock of its own,
 * and memory failure, which follows page->mapping, keeps pages from becoming
 * shared with another: the entry lock that it holds is that of one file.
 * Zero and empty entries have no page of the device behind them and are never
 * asked for one.  This file is the one to change when the page bookkeeping of
 * the kernel changes.
 */

#include <linux/fs.h>
#include <linux/libnvdimm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

#include "dax-internal.h"

/* Does @entry have page structures behind it that this file looks after? */
static bool dax_has_pages(void *entry)
{
	return !IS_ENABLED(CONFIG_FS_DAX_LIMITED) && dax_is_mapped(entry);
}

/*
 * Sharing: files that map one page hold different xa_locks.  Taken inside them
 * by who may make a page shared, or find it shared.
 */
static DEFINE_SPINLOCK(dax_share_lock);

/*
 * Held for writing while memory failure relies on the one file of a page, for
 * reading while a fault lets another file share pages.  Both hold an entry lock
 * by then; nobody waits for one inside it.
 */
static DECLARE_RWSEM(dax_share_rwsem);

/**
 * dax_begin_share() - Be about to associate pages that other files may have
 *
 * Context: Process context; entry locks may be held.  May sleep.
 */
void dax_begin_share(void)
{
	down_read(&dax_share_rwsem);
}

/** dax_end_share() - Undo dax_begin_share() */
void dax_end_share(void)
{
	up_read(&dax_share_rwsem);
}

/**
 * dax_keep_unshared() - Let pages stay with the one file that they have
 *
 * Context: Process context; the entry of the page locked.  May sleep.
 */
void dax_keep_unshared(void)
{
	down_write(&dax_share_rwsem);
}

/** dax_allow_share() - Undo dax_keep_unshared() */
void dax_allow_share(void)
{
	up_write(&dax_share_rwsem);
}

static void dax_page_share(struct page *page)
{
	/* The first sharer counts for the file that had the page alone. */
	if (page->mapping != PAGE_MAPPING_DAX_SHARED) {
		page->share = page->mapping ? 1 : 0;
		page->mapping = PAGE_MAPPING_DAX_SHARED;
	}
	page->share++;
}

/* Returns true when no file maps @page any more. */
static bool dax_page_unshare(struct page *page)
{
	return --page->share == 0;
}

static void dax_share_pages(struct page *page, unsigned long nr)
{
	spin_lock(&dax_share_lock);
	for (; nr; nr--, page++)
		dax_page_share(page);
	spin_unlock(&dax_share_lock);
}

static void dax_own_pages(struct page *page, unsigned long nr,
			  struct address_space *mapping, pgoff_t index)
{
	for (; nr; nr--, page++, index++) {
		WARN_ON_ONCE(page->mapping);
		page->mapping = mapping;
		page->index = index;
	}
}

static void dax_associate_pages(struct page *page, unsigned long nr,
				struct address_space *mapping, pgoff_t index,
				bool shared)
{
	if (shared)
		dax_share_pages(page, nr);
	else
		dax_own_pages(page, nr, mapping, index);
}

/**
 * dax_associate_entry() - Tell the pages of an entry which file maps them
 * @entry: The entry that is about to be stored.
 * @mapping: The mapping that will hold it.
 * @index: A page offset within it.
 * @shared: Whether other files may map the same blocks.
 * @known: A bit for each of its pages that is associated already, as smaller
 *	entries had it, which this one replaces; NULL if none is.
 *
 * Context: xa_lock of @mapping held, up to the store.
 */
void dax_associate_entry(void *entry, struct address_space *mapping,
			 pgoff_t index, bool shared, const unsigned long *known)
{
	pgoff_t start = dax_entry_start(entry, index);
	unsigned long nr = dax_entry_nr_pages(entry);
	unsigned long first, end;
	struct page *page;

	if (!dax_has_pages(entry))
		return;
	page = pfn_to_page(dax_entry_pfn(entry));
	if (!known) {
		dax_associate_pages(page, nr, mapping, start, shared);
		return;
	}
	for_each_clear_bitrange(first, end, known, nr)
		dax_associate_pages(page + first, end - first, mapping,
				    start + first, shared);
}

/* Called with dax_share_lock held. */
static void dax_page_forget(struct page *page, struct address_space *mapping)
{
	if (page->mapping == PAGE_MAPPING_DAX_SHARED) {
		if (!dax_page_unshare(page))
			return;
	} else {
		WARN_ON_ONCE(page->mapping != mapping);
	}
	page->mapping = NULL;
	page->index = 0;
}

/*
 * Do those who delete an entry wait for its pages first?  Not with an unmount that
 * was killed, nor with a device that is removed: see dax-evict.c.  Inodes that are
 * thrown out of memory have kept their blocks.
 */
static bool dax_waits_for_page(struct address_space *mapping,
			       const struct page *page)
{
	const struct inode *inode = mapping->host;
	struct dev_pagemap *pgmap;

	if (!(READ_ONCE(inode->i_sb->s_flags) & SB_ACTIVE) ||
	    (mapping_exiting(mapping) && inode->i_nlink))
		return false;
	/* What the page says of its device was lost with it. */
	pgmap = get_dev_pagemap(page_to_pfn(page), NULL);
	put_dev_pagemap(pgmap);
	return pgmap;
}

/**
 * dax_disassociate_entry() - Make the pages of an entry forget the file
 * @entry: The entry that is about to be removed or replaced.
 * @mapping: The mapping that holds it.
 * @trunc: Whether its blocks are about to be freed.  The filesystem should then
 *	have waited until nobody uses the pages any more.
 *
 * Context: xa_lock of @mapping held, up to the removal.
 */
void dax_disassociate_entry(void *entry, struct address_space *mapping,
			    bool trunc)
{
	unsigned long nr;
	struct page *page;

	if (!dax_has_pages(entry))
		return;

	page = pfn_to_page(dax_entry_pfn(entry));
	spin_lock(&dax_share_lock);
	for (nr = dax_entry_nr_pages(entry); nr; nr--, page++) {
		/* Who shares a page may use it at any time. */
		WARN_ON_ONCE(trunc && page->mapping == mapping &&
			     page_ref_count(page) > 1 &&
			     dax_waits_for_page(mapping, page));
		dax_page_forget(page, mapping);
	}
	spin_unlock(&dax_share_lock);
}

/**
 * dax_disassociate_promoted() - The same for small entries that were promoted
 * @promotion: The small entries.
 * @mapping: The mapping that held them.
 *
 * For when other blocks come to stand behind the range.
 *
 * Context: xa_lock of @mapping held, up to the store of what replaces them.
 */
void dax_disassociate_promoted(const struct dax_promotion *promotion,
			       struct address_space *mapping)
{
	unsigned int i;

	for_each_set_bit(i, promotion->mapped, 1U << promotion->order)
		dax_disassociate_entry(dax_make_mapped(promotion->pfn + i, 0),
				       mapping, false);
}

/**
 * dax_busy_page() - Find a page of an entry that somebody uses
 * @entry: The entry; any kind.
 *
 * Context: xa_lock held, the entry unlocked, and its pages unmapped, so that
 * no new user can come by way of a page table.
 * Return: The first page with a reference beside its own, or NULL.
 */
struct page *dax_busy_page(void *entry)
{
	unsigned long nr;
	struct page *page;

	if (!dax_has_pages(entry))
		return NULL;

	page = pfn_to_page(dax_entry_pfn(entry));
	for (nr = dax_entry_nr_pages(entry); nr; nr--, page++) {
		if (page_ref_count(page) > 1)
			return page;
	}
	return NULL;
}

/**
 * dax_entry_page() - The page behind one page offset of an entry
 * @entry: A mapped entry.
 * @index: The page offset, anywhere within @entry.
 *
 * Context: The entry is locked, or the xa_lock is held.
 * Return: The page of @index, not that of the entry's start.
 */
struct page *dax_entry_page(void *entry, pgoff_t index)
{
	return pfn_to_page(dax_entry_pfn_at(entry, index));
}

/**
 * dax_entry_poisoned() - Has memory failure hit a page of an entry?
 * @entry: A mapped entry.
 * @index: A page offset within it.
 *
 * Context: Any; the entry locked.
 * Return: true if the page of @index was poisoned, so that whether it can be
 * used is for the device to say.
 */
bool dax_entry_poisoned(void *entry, pgoff_t index)
{
	return !dax_has_pages(entry) ||
		PageHWPoison(dax_entry_page(entry, index));
}

/**
 * dax_entry_kaddr() - Where the memory of an entry is mapped in the kernel
 * @entry: A mapped entry.
 *
 * Context: Any.  The address is good while the device is.
 * Return: The address of its first byte.
 */
void *dax_entry_kaddr(void *entry)
{
	return page_address(pfn_to_page(dax_entry_pfn(entry)));
}

/**
 * dax_flush_entry() - Write the memory of an entry back from the CPU's caches
 * @entry: A mapped entry.
 *
 * For those who know the mapping but not the device, which fsync does.  If the
 * device is gone, so is the need.
 *
 * Context: The entry is locked and unmapped.  Takes long for a large one.
 */
void dax_flush_entry(void *entry)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(dax_entry_pfn(entry), NULL);

	if (!pgmap)
		return;
	arch_wb_cache_pmem(dax_entry_kaddr(entry),
			   dax_entry_nr_pages(entry) << PAGE_SHIFT);
	put_dev_pagemap(pgmap);
}
