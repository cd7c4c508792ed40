// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages that a DAX entry points to, and their association with the file.
 *
 * Memory failure starts from a page and must find the file.  Each page of a
 * mapped entry normally has an owner: one entry that points to it.
 * page->mapping and page->index name the file and the offset of the owner, as
 * in the page cache.  Files that share blocks (reflink) share pages.  The first
 * entry that is stored becomes the owner, and page->private counts the other
 * entries, of the same file or of others:
 *
 *	page->mapping	page->private
 *	NULL		0		no entry points to the page
 *	the file	0		one entry
 *	the file	n		the owner and n other entries
 *	NULL		n		n entries; the owner was deleted
 *
 * If the owner was deleted, the next fault that maps the page makes its entry
 * the owner.  A page that is mapped already has none until then.  Only the
 * filesystem can find all files that share a page, so memory failure does not
 * use the owner of a page with a count.
 *
 * An idle page has one reference, which its device holds.  Entries and page
 * tables take no references.  A page with more references is in use, in most
 * cases by DMA.
 *
 * LOCKS	An entry is stored or deleted under the xa_lock of its mapping,
 *		and the association changes in the same section.  Only the owner
 *		clears page->mapping, so it needs no other lock.  cmpxchg()
 *		decides which entry becomes the owner, and the count is atomic.
 *
 * LIFETIME	The page structures are freed with the device, and a file may
 *		outlive its device.  A user of the page structures holds the
 *		pgmap, or stays in the dax_read_lock() section in which
 *		dax_direct_access() has returned the pages.  Faults in
 *		dax-fault.c stay in that section until the pages are mapped.
 *		Faults in dax-quick.c, and dax_finish_sync_fault(), hold the
 *		pgmap.
 *
 * Zero and empty entries have no page of the device.  Only this file, and
 * dax_lock_folio() in dax.c, depend on how the kernel keeps track of DAX pages.
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
#include <linux/percpu-rwsem.h>
#include <linux/pfn_t.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* How often to poll for an idle page that may become idle without a wakeup. */
#define DAX_IDLE_POLL	(HZ / 50)

/* Does @entry have page structures that this file tracks? */
static bool dax_has_pages(void *entry)
{
	return !IS_ENABLED(CONFIG_FS_DAX_LIMITED) && dax_is_mapped(entry);
}

/*
 * Held for writing while memory failure depends on a page not being shared; for
 * reading while a read fault associates pages.  Another file may share them
 * although the filesystem has said that none does, if that file has begun to
 * since.  Readers are many and writers are rare.  Nests inside the entry lock.
 */
DEFINE_STATIC_PERCPU_RWSEM(dax_share_rwsem);

/**
 * dax_share_read_lock() - Exclude memory failure while pages are associated
 *
 * Context: Process context; nests inside entry locks.  May sleep.
 */
void dax_share_read_lock(void)
{
	percpu_down_read(&dax_share_rwsem);
}

/** dax_share_read_unlock() - Undo dax_share_read_lock() */
void dax_share_read_unlock(void)
{
	percpu_up_read(&dax_share_rwsem);
}

/**
 * dax_share_write_lock() - Exclude new sharers of a page
 *
 * Context: Process context; the entry of the page is locked.  May sleep.
 */
void dax_share_write_lock(void)
{
	percpu_down_write(&dax_share_rwsem);
}

/** dax_share_write_unlock() - Undo dax_share_write_lock() */
void dax_share_write_unlock(void)
{
	percpu_up_write(&dax_share_rwsem);
}

/**
 * dax_page_shared() - Check whether entries besides the owner have a page
 * @page: A page of a DAX device.
 *
 * Context: Any; the pgmap of the page is held.
 * Return: true if they have, also if the owner was deleted.
 */
bool dax_page_shared(const struct page *page)
{
	return READ_ONCE(page->private);
}

static atomic_long_t *dax_sharers(struct page *page)
{
	return (atomic_long_t *)&page->private;
}

/* Returns true if @page had no owner, and belongs to @mapping now. */
static bool dax_page_own(struct page *page, struct address_space *mapping,
			 pgoff_t index)
{
	struct address_space *none = NULL;

	if (!try_cmpxchg(&page->mapping, &none, mapping))
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
	/* A device that was removed and added again has new page structures. */
	if (page->mapping == mapping && page->index == index)
		WRITE_ONCE(page->mapping, NULL);
	else
		atomic_long_dec_if_positive(dax_sharers(page));
}

static void dax_join_pages(struct page *page, unsigned long nr,
			   struct address_space *mapping, pgoff_t index)
{
	for (; nr; nr--, page++, index++)
		dax_page_join(page, mapping, index);
}

/**
 * dax_associate_entry() - Associate the pages of an entry with its file
 * @entry: The entry that is about to be stored.
 * @mapping: The mapping that will hold it.
 * @index: A page offset within it.
 * @associated: One bit for each of its pages that is associated already,
 *	because @entry replaces smaller entries; NULL if none is.
 *
 * Context: xa_lock of @mapping held, up to the store, in the dax_read_lock()
 * section in which dax_direct_access() has returned the pages.
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

	/* The page structures were freed with the device. */
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
 * dax_disassociate_entry() - Remove the association of the pages of an entry
 * @entry: The entry that is about to be deleted or replaced.
 * @mapping: The mapping that holds it.
 * @index: A page offset within it.
 *
 * Context: xa_lock of @mapping held, up to the deletion.
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
 * dax_disassociate_promoted() - dax_disassociate_entry() for promoted entries
 * @promotion: The small entries.
 * @mapping: The mapping that held them.
 * @start: The page offset of the large entry.
 *
 * For a large entry that gets other blocks than the small ones had.
 *
 * Context: xa_lock of @mapping held, up to the store of the entry that replaces
 * them.
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
 * dax_adopt_pages() - Become the owner of pages whose owner was deleted
 * @xas: A cursor in the tree that holds the entry.
 * @entry: A mapped entry, which is counted in the pages.
 * @index: The first page offset that a fault maps.
 * @order: The order of the fault.
 *
 * A futex in a page needs an owner, so that its key is the same in all
 * processes.  The owners of the pages of a large entry may have been small
 * entries, so each page is checked.
 *
 * Context: xa_lock held; the pages cannot be freed, as for
 * dax_associate_entry().
 */
void dax_adopt_pages(struct xa_state *xas, void *entry, pgoff_t index,
		     unsigned int order)
{
	unsigned long nr = 1UL << order;
	struct page *page;

	if (!dax_has_pages(entry))
		return;
	for (page = dax_entry_page(entry, index); nr; nr--, page++, index++) {
		if (!READ_ONCE(page->mapping) &&
		    dax_page_own(page, dax_mapping_of(xas), index))
			atomic_long_dec_if_positive(dax_sharers(page));
	}
}

/*
 * Is @page in use, and is the caller's entry the only one that has it?  The
 * block of a page that another entry has is not freed.
 */
static bool dax_page_busy(const struct page *page)
{
	return page_ref_count(page) > 1 &&
		page->private == (page->mapping ? 0 : 1);
}

/**
 * dax_busy_page() - Find a page of an entry that is in use
 * @entry: The entry; any kind.
 * @index: A page offset within it.
 * @first: The first page offset of interest.
 * @last: The last page offset of interest.
 *
 * Context: xa_lock held, the entry unlocked and its pages unmapped, so that no
 * page table can add a reference.
 * Return: The first page that has an extra reference and that no other entry
 * has; NULL if there is none, or if the device was removed.
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

/**
 * dax_entry_in_use() - Check whether a page of an entry is in use
 * @entry: The entry; any kind.
 *
 * Context: xa_lock held.
 * Return: true if a page has an extra reference, even if other entries have the
 * page; false also if the device was removed.
 */
bool dax_entry_in_use(void *entry)
{
	unsigned long nr = dax_entry_nr_pages(entry);
	struct dev_pagemap *pgmap;
	struct page *page;
	bool in_use = false;

	if (!dax_has_pages(entry))
		return false;
	pgmap = get_dev_pagemap(dax_entry_pfn(entry), NULL);
	if (!pgmap)
		return false;
	for (page = pfn_to_page(dax_entry_pfn(entry)); nr && !in_use;
	     nr--, page++)
		in_use = page_ref_count(page) > 1;
	put_dev_pagemap(pgmap);
	return in_use;
}

/*
 * The pages at @pgoff of @dax_dev, as many as are contiguous, but at most @nr.
 * If one of them is poisoned, only the first.  NULL if there is none.
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
 * dax_memory_in_use() - Check whether memory of a device is in use
 * @dax_dev: The device.
 * @pgoff: The first page on the device.
 * @nr: The number of pages.
 *
 * Context: Process context.
 * Return: true if a page has an extra reference; false also if the device was
 * removed.
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

/* The page is idle as well if its device was removed. */
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

/* Record the wakeup even if the timeout comes first. */
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
 * dax_wait_page_idle() - Wait until a page is not in use
 * @inode: A file that has the page, for the trace.
 * @page: A page from dax_layout_busy_page().
 *
 * put_page() wakes the waiter.  folio_put() and the removal of the device do
 * not, so the waiter also polls.
 *
 * Context: Process context; no lock of the file that a user of the page may
 * need.
 * Return: 0, also if the device was removed; -ERESTARTSYS if a signal is
 * pending.
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
 * dax_entry_page() - The page at a page offset of an entry
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
 * dax_get_entry_pgmap() - Hold the device of a page, if the page can be mapped
 * @xas: A cursor in the tree that holds the entry.
 * @entry: A mapped entry, locked.
 * @index: A page offset within it, aligned to @order.
 * @order: The order of the page.
 *
 * For a fault that does not call ->iomap_begin.  It still checks that the
 * device is alive, that it is the one that had the page when the entry was
 * stored, and that its driver lists none of the pages as bad.  The page tells
 * its device only to the file that owns it; for other files, the filesystem has
 * to look up the block.  Only the first page is checked for PageHWPoison().
 *
 * Context: Process context.
 * Return: The pgmap, for put_dev_pagemap() after the page is mapped; NULL if
 * the page cannot be mapped.
 */
struct dev_pagemap *dax_get_entry_pgmap(struct xa_state *xas, void *entry,
					pgoff_t index, unsigned int order)
{
	unsigned long pfn = dax_entry_pfn_at(entry, index);
	struct dev_pagemap *pgmap = get_dev_pagemap(pfn, NULL);
	struct page *page = pfn_to_page(pfn);

	if (!pgmap)
		return NULL;
	/*
	 * A device that was removed and added again has new page structures,
	 * and a count in them may be of other files.
	 */
	if (unlikely(page->mapping != dax_mapping_of(xas)))
		goto refuse;
	if (PageHWPoison(page) || !pgmap_can_access(pgmap, pfn, 1UL << order))
		goto refuse;
	return pgmap;

refuse:
	put_dev_pagemap(pgmap);
	return NULL;
}

/**
 * dax_pfns_on_device() - Check that one live device has all pages of a range
 * @pfn: The first page.
 * @nr: The number of pages.
 *
 * Context: Any.
 * Return: true if one device has all pages and was not removed.
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
 * dax_entry_kaddr() - The kernel address of the memory of an entry
 * @entry: A mapped entry.
 *
 * Context: Any.  The address is valid while the device exists.
 * Return: The address of its first byte.
 */
void *dax_entry_kaddr(void *entry)
{
	return page_address(pfn_to_page(dax_entry_pfn(entry)));
}

/**
 * dax_flush_entry() - Flush the memory of an entry from the CPU's caches
 * @entry: A mapped entry.
 *
 * For callers that know the mapping but not the device.  Does nothing if the
 * device was removed.
 *
 * Context: The entry is locked and unmapped.  Takes long for a large entry.
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

/**
 * dax_set_page_dirty() - Flag a page of an entry whose stores are tracked by page
 * @entry: The entry, which is by page (dax-dirty.c).
 * @index: The page offset.
 *
 * Nothing else uses PG_dirty of the pages of a filesystem's DAX device: their
 * ->dirty_folio does nothing.
 *
 * Context: The entry is locked and the pgmap is held, as for a fault that maps
 * the page next.
 */
void dax_set_page_dirty(void *entry, pgoff_t index)
{
	SetPageDirty(dax_entry_page(entry, index));
}

/*
 * PageDirty() also looks for the head of a compound page.  The pages of a
 * filesystem's DAX device are not compound.
 */
static bool dax_page_dirty(const struct page *page)
{
	return READ_ONCE(page->flags) & BIT(PG_dirty);
}

/* Is one of four pages flagged? */
static bool dax_four_dirty(const struct page *page)
{
	return (READ_ONCE(page[0].flags) | READ_ONCE(page[1].flags) |
		READ_ONCE(page[2].flags) | READ_ONCE(page[3].flags)) &
		BIT(PG_dirty);
}

/**
 * dax_next_dirty_pages() - Find the next run of flagged pages of an entry
 * @entry: The entry.
 * @end: How many of its pages to look at.
 * @offset: The page of the entry to begin with; set to the first page of the
 *	run.
 *
 * Context: The entry is locked and the pgmap is held.
 * Return: The number of pages of the run; 0 if there is none.
 */
unsigned int dax_next_dirty_pages(void *entry, unsigned int end,
				  unsigned int *offset)
{
	struct page *page = pfn_to_page(dax_entry_pfn(entry));
	unsigned int first = *offset, last;

	/* Most pages are clean, so this loop is most of the cost. */
	while (first + 4 <= end && !dax_four_dirty(page + first))
		first += 4;
	while (first < end && !dax_page_dirty(page + first))
		first++;
	for (last = first; last < end && dax_page_dirty(page + last); )
		last++;
	*offset = first;
	return last - first;
}

/**
 * dax_clear_dirty_pages() - Clear the flags of pages that were flushed
 * @entry: The entry.
 * @offset: The first page, from the start of the entry.
 * @nr: The number of pages.
 *
 * Context: The entry is locked since before the pages were write-protected, and
 * the pgmap is held.
 */
void dax_clear_dirty_pages(void *entry, unsigned int offset, unsigned int nr)
{
	struct page *page = pfn_to_page(dax_entry_pfn(entry)) + offset;

	for (; nr; nr--, page++) {
		if (PageDirty(page))
			ClearPageDirty(page);
	}
}
