// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a DAX entry points to: its pages, and what they know of the file.
 *
 * Memory failure starts from a page and has to find the file, so while an
 * entry maps blocks, each page behind it knows its owner: page->mapping and
 * page->index, as in the page cache.  Files that share blocks (reflink) share
 * pages.  The first entry that comes owns the page, and page->private counts
 * the others, be they of other files or of the same:
 *
 *	page->mapping	page->private
 *	NULL		0		no entry has the page
 *	the file	0		one entry has it
 *	the file	n		the owner and n others have it
 *	NULL		n		n entries have it, and the owner has gone
 *
 * An entry whose pages have lost their owner takes them over when a fault next
 * looks at one of them.  Of several files the filesystem alone knows all, so memory
 * failure does not follow the owner of a page that is counted.
 *
 * The reference count belongs to others: an idle page has one reference, its
 * own, and neither an entry nor a page table takes another.  More than one
 * means that somebody, most often DMA, uses the page at this moment.
 *
 * LOCKS	An entry comes and goes under the xa_lock of its mapping, and the
 *		association changes in the same section.  Nobody else clears a
 *		page->mapping that names the mapping, so the owner needs no other
 *		lock.  Who becomes the owner cmpxchg() decides; the count is
 *		atomic.
 *
 * LIFETIME	The page structures go with the device, and a file may outlive
 *		that.  A fault has asked the device for the pages, and stays in
 *		that dax_read_lock() section until they are mapped.  All others
 *		hold the pgmap while they look, or find that there is none.
 *
 * Zero and empty entries have no page of the device behind them and are never
 * asked for one.  This file is the one to change when the page bookkeeping of
 * the kernel changes.
 */

#include <linux/atomic.h>
#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/libnvdimm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* How often a sleeper looks that need not be woken, in jiffies. */
#define DAX_IDLE_POLL	(HZ / 50)

/* Does @entry have page structures behind it that this file looks after? */
static bool dax_has_pages(void *entry)
{
	return !IS_ENABLED(CONFIG_FS_DAX_LIMITED) && dax_is_mapped(entry);
}

/*
 * Held for writing while memory failure relies on the one file of a page, for
 * reading while a fault lets another file share pages.  Both hold an entry lock
 * by then; nobody waits for one inside it.
 */
static DECLARE_RWSEM(dax_share_rwsem);

/**
 * dax_share_read_lock() - Be about to associate pages that other files may have
 *
 * Context: Process context; entry locks may be held.  May sleep.
 */
void dax_share_read_lock(void)
{
	down_read(&dax_share_rwsem);
}

/** dax_share_read_unlock() - Undo dax_share_read_lock() */
void dax_share_read_unlock(void)
{
	up_read(&dax_share_rwsem);
}

/**
 * dax_share_write_lock() - Let pages stay with the one file that they have
 *
 * Context: Process context; the entry of the page locked.  May sleep.
 */
void dax_share_write_lock(void)
{
	down_write(&dax_share_rwsem);
}

/** dax_share_write_unlock() - Undo dax_share_write_lock() */
void dax_share_write_unlock(void)
{
	up_write(&dax_share_rwsem);
}

/**
 * dax_page_shared() - Has another entry the page, beside its owner?
 * @page: A page of a DAX device.
 *
 * Context: Any; the pgmap of the page is held.
 * Return: true if so, or if the owner has gone and others remain.
 */
bool dax_page_shared(const struct page *page)
{
	return READ_ONCE(page->private);
}

static atomic_long_t *dax_sharers(struct page *page)
{
	return (atomic_long_t *)&page->private;
}

/* Returns true if @page had no owner and now belongs to @mapping. */
static bool dax_page_own(struct page *page, struct address_space *mapping,
			 pgoff_t index)
{
	if (READ_ONCE(page->mapping) || cmpxchg(&page->mapping, NULL, mapping))
		return false;
	page->index = index;
	return true;
}

static void dax_page_join(struct page *page, struct address_space *mapping,
			  pgoff_t index)
{
	if (!dax_page_own(page, mapping, index))
		atomic_long_inc(dax_sharers(page));
}

static void dax_page_leave(struct page *page, struct address_space *mapping,
			   pgoff_t index)
{
	/* A device that went and came back has pages that know of nobody. */
	if (page->mapping == mapping && page->index == index)
		WRITE_ONCE(page->mapping, NULL);
	else
		atomic_long_dec_if_positive(dax_sharers(page));
}

static void dax_join_pages(struct page *page, unsigned long nr,
			   struct address_space *mapping, pgoff_t index)
{
	for (; nr; nr--)
		dax_page_join(page++, mapping, index++);
}

/**
 * dax_associate_entry() - Tell the pages of an entry which file maps them
 * @entry: The entry that is about to be stored.
 * @mapping: The mapping that will hold it.
 * @index: A page offset within it.
 * @associated: A bit for each of its pages that is associated already, as smaller
 *	entries had it, which this one replaces; NULL if none is.
 *
 * Context: xa_lock of @mapping held, up to the store, in the dax_read_lock()
 * section in which the device gave the pages.
 */
void dax_associate_entry(void *entry, struct address_space *mapping,
			 pgoff_t index, const unsigned long *associated)
{
	pgoff_t start = dax_entry_start(entry, index);
	unsigned long nr = dax_entry_nr_pages(entry);
	unsigned long first, end;
	struct page *page;

	if (!dax_has_pages(entry))
		return;
	page = pfn_to_page(dax_entry_pfn(entry));
	if (!associated) {
		dax_join_pages(page, nr, mapping, start);
		return;
	}
	for_each_clear_bitrange(first, end, associated, nr)
		dax_join_pages(page + first, end - first, mapping,
			       start + first);
}

/* Returns true if a page is in use. */
static bool dax_leave_pages(unsigned long pfn, unsigned long nr,
			    struct address_space *mapping, pgoff_t index)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(pfn, NULL);
	struct page *page = pfn_to_page(pfn);
	bool in_use = false;

	/* What the pages knew went with their device. */
	if (!pgmap)
		return false;
	for (; nr; nr--, page++) {
		in_use |= page_ref_count(page) > 1;
		dax_page_leave(page, mapping, index++);
	}
	put_dev_pagemap(pgmap);
	return in_use;
}

/**
 * dax_disassociate_entry() - Make the pages of an entry forget the file
 * @entry: The entry that is about to be removed or replaced.
 * @mapping: The mapping that holds it.
 * @index: A page offset within it.
 *
 * Context: xa_lock of @mapping held, up to the removal.
 * Return: true if a page of the entry is in use.
 */
bool dax_disassociate_entry(void *entry, struct address_space *mapping,
			    pgoff_t index)
{
	return dax_has_pages(entry) &&
		dax_leave_pages(dax_entry_pfn(entry), dax_entry_nr_pages(entry),
				mapping, dax_entry_start(entry, index));
}

/**
 * dax_disassociate_promoted() - The same for small entries that were promoted
 * @promotion: The small entries.
 * @mapping: The mapping that held them.
 * @start: The page offset of the large entry.
 *
 * For when other blocks come to stand behind the range.
 *
 * Context: xa_lock of @mapping held, up to the store of what replaces them.
 */
void dax_disassociate_promoted(const struct dax_promotion *promotion,
			       struct address_space *mapping, pgoff_t start)
{
	unsigned int first, end;

	if (IS_ENABLED(CONFIG_FS_DAX_LIMITED))
		return;
	for_each_set_bitrange(first, end, promotion->mapped,
			      1U << promotion->order)
		dax_leave_pages(promotion->pfn + first, end - first, mapping,
				start + first);
}

/**
 * dax_adopt_pages() - Take over pages whose owner has gone
 * @xas: A cursor in the tree that holds the entry.
 * @entry: A mapped entry.
 * @index: A page offset within it, at which a fault has come.
 *
 * The entry was counted, and becomes the owner.  A futex in the page needs one,
 * to be the same for all processes.  An owner goes with its whole entry, so the
 * page at @index tells for all of them.
 *
 * Context: xa_lock held; the pages cannot go, as for dax_associate_entry().
 */
void dax_adopt_pages(struct xa_state *xas, void *entry, pgoff_t index)
{
	pgoff_t start = dax_entry_start(entry, index);
	unsigned long nr = dax_entry_nr_pages(entry);
	struct page *page;

	if (!dax_has_pages(entry) ||
	    READ_ONCE(dax_entry_page(entry, index)->mapping))
		return;
	for (page = dax_entry_page(entry, start); nr; nr--, page++, start++) {
		if (dax_page_own(page, dax_mapping_of(xas), start))
			atomic_long_dec_if_positive(dax_sharers(page));
	}
}

/*
 * Does somebody use @page, and will nobody have it when the one entry by which
 * it is looked at has gone?  Blocks that another file has are not freed.
 */
static bool dax_page_busy(const struct page *page)
{
	return page_ref_count(page) > 1 &&
		page->private == (page->mapping ? 0 : 1);
}

/**
 * dax_busy_page() - Find a page of an entry that somebody uses
 * @entry: The entry; any kind.
 * @index: A page offset within it.
 * @first: The first page offset that matters.
 * @last: The last one.
 *
 * Context: xa_lock held, the entry unlocked, and its pages unmapped, so that
 * no new user can come by way of a page table.
 * Return: The first page with a reference beside its own that no other entry
 * has; NULL if there is none, or the device has gone.
 */
struct page *dax_busy_page(void *entry, pgoff_t index, pgoff_t first,
			   pgoff_t last)
{
	pgoff_t start = dax_entry_start(entry, index);
	struct page *page, *busy = NULL;
	struct dev_pagemap *pgmap;

	if (!dax_has_pages(entry))
		return NULL;
	pgmap = get_dev_pagemap(dax_entry_pfn(entry), NULL);
	if (!pgmap)
		return NULL;

	first = max(first, start);
	last = min(last, start + dax_entry_nr_pages(entry) - 1);
	page = dax_entry_page(entry, first);
	for (; first <= last && !busy; first++, page++) {
		if (dax_page_busy(page))
			busy = page;
	}
	put_dev_pagemap(pgmap);
	return busy;
}

/*
 * The pages at @pgoff of @dax_dev, as many as are in one piece, but at most @nr;
 * only the first if one of them is bad.  NULL if there is none.
 */
static struct page *dax_device_pages(struct dax_device *dax_dev, pgoff_t pgoff,
				     long *nr)
{
	long got;
	pfn_t pfn;

	got = dax_direct_access(dax_dev, pgoff, *nr, DAX_ACCESS, NULL, &pfn);
	if (got < 0 && *nr > 1)
		got = dax_direct_access(dax_dev, pgoff, 1, DAX_ACCESS, NULL,
					&pfn);
	if (got < 0) {
		*nr = 1;
		return NULL;
	}
	*nr = min(*nr, got);
	return pfn_t_to_page(pfn);
}

/**
 * dax_memory_in_use() - Does anybody use memory of a device?
 * @dax_dev: The device.
 * @pgoff: Where on it, in pages.
 * @nr: How many pages.
 *
 * Context: Process context.
 * Return: true if a page has a reference beside its own; false also if the
 * device has gone.
 */
bool dax_memory_in_use(struct dax_device *dax_dev, pgoff_t pgoff, long nr)
{
	bool in_use = false;
	int id;

	id = dax_read_lock();
	while (nr && !in_use) {
		long i, n = nr;
		struct page *page = dax_device_pages(dax_dev, pgoff, &n);

		for (i = 0; page && i < n && !in_use; i++)
			in_use = page_ref_count(page + i) > 1;
		pgoff += n;
		nr -= n;
	}
	dax_read_unlock(id);
	return in_use;
}

/* The page may be gone, and with it all who used it. */
static bool dax_page_idle(const struct page *page)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(page_to_pfn(page), NULL);
	bool idle = !pgmap || page_ref_count(page) == 1;

	put_dev_pagemap(pgmap);
	return idle;
}

struct dax_idle_waiter {
	struct wait_bit_queue_entry wait;
	bool woken;
};

/* Notes that a wakeup came, also if the sleeper was about to look anyway. */
static int dax_idle_wake(struct wait_queue_entry *wq_entry, unsigned int mode,
			 int sync, void *arg)
{
	struct dax_idle_waiter *waiter =
		container_of(wq_entry, struct dax_idle_waiter, wait.wq_entry);
	const struct wait_bit_key *key = arg;

	if (waiter->wait.key.flags != key->flags ||
	    waiter->wait.key.bit_nr != key->bit_nr)
		return 0;
	WRITE_ONCE(waiter->woken, true);
	return autoremove_wake_function(wq_entry, mode, sync, arg);
}

/**
 * dax_wait_page_idle() - Sleep until nobody uses a page
 * @inode: A file that has the page, for the trace.
 * @page: What dax_layout_busy_page() returned.
 *
 * put_page() wakes the sleeper.  folio_put() does not, and the removal of the
 * device does not, so the sleeper looks from time to time.
 *
 * Context: Process context; no lock of the file that a user of the page may
 * need.
 * Return: 0, also if the device has gone; -ERESTARTSYS if a signal came first.
 */
int dax_wait_page_idle(struct inode *inode, struct page *page)
{
	wait_queue_head_t *wq = __var_waitqueue(&page->_refcount);
	struct dax_idle_waiter waiter = {};
	long err;

	init_wait_var_entry(&waiter.wait, &page->_refcount, 0);
	waiter.wait.wq_entry.func = dax_idle_wake;
	for (;;) {
		err = prepare_to_wait_event(wq, &waiter.wait.wq_entry,
					    TASK_INTERRUPTIBLE);
		if (dax_page_idle(page)) {
			err = 0;
			break;
		}
		if (err)
			break;
		schedule_timeout(DAX_IDLE_POLL);
	}
	finish_wait(wq, &waiter.wait.wq_entry);
	if (!err)
		trace_dax_idle_page(inode, page_to_pfn(page), waiter.woken);
	return err;
}
EXPORT_SYMBOL_GPL(dax_wait_page_idle);

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
 * dax_get_entry_pgmap() - Keep a page of an entry, if it can be mapped
 * @xas: A cursor in the tree that holds the entry.
 * @entry: A mapped entry, locked.
 * @index: A page offset within it.
 *
 * For a fault that does not ask the filesystem where the page is.  The device
 * is asked all the same whether it has gone, and whether the page is bad.
 *
 * Context: Process context.
 * Return: The pgmap, for put_dev_pagemap() when the page is mapped; NULL if the
 * page cannot be mapped, and the caller has to ask for the reason.
 */
struct dev_pagemap *dax_get_entry_pgmap(struct xa_state *xas, void *entry,
					pgoff_t index)
{
	unsigned long pfn = dax_entry_pfn_at(entry, index);
	struct dev_pagemap *pgmap = get_dev_pagemap(pfn, NULL);
	struct page *page = pfn_to_page(pfn);

	if (!pgmap)
		return NULL;
	if (PageHWPoison(page) || !pgmap_can_access(pgmap, pfn)) {
		put_dev_pagemap(pgmap);
		return NULL;
	}
	if (unlikely(!page->mapping)) {
		xas_lock_irq(xas);
		dax_adopt_pages(xas, entry, index);
		xas_unlock_irq(xas);
	}
	return pgmap;
}

/**
 * dax_pfns_on_device() - Does one device have all pages of a range?
 * @pfn: The first page.
 * @nr: How many there are.
 *
 * Context: Any.
 * Return: true if so, and if the device has not gone.
 */
bool dax_pfns_on_device(unsigned long pfn, unsigned long nr)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(pfn, NULL);
	bool one;

	if (!pgmap)
		return false;
	one = pgmap_pfn_valid(pgmap, pfn + nr - 1);
	put_dev_pagemap(pgmap);
	return one;
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
