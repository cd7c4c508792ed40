// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX: files whose blocks are memory that the CPU can address.
 *
 * The blocks of such a file are mapped, read and written in place, so the page
 * cache holds no folios.  Only the XArray i_pages is used.  It has an entry for
 * each part of the file that has been mapped.  The entry says which memory is
 * mapped there, and carries a lock that serialises:
 *
 *	faults		insert and replace entries, and map them
 *	writeback	flushes dirty entries, and write-protects their pages
 *	truncate,	unmap and delete entries
 *	invalidate
 *	memory failure	locks an entry while it looks for the processes that
 *			have mapped a page
 *
 * ENTRIES	have an order, 0 (4 KiB) or 9 (2 MiB), a kind (mapped, zero or
 *		empty) and a lock bit.  dax-entry.h defines their layout, and
 *		dax-entry.c their lock.  dax-grab.c creates them.  An order
 *		conflict is a fault that finds an entry of another order, see
 *		the table in Documentation/filesystems/dax-entries.rst.
 *
 * LOCKS	from the outermost to the innermost:
 *
 *		inode->i_rwsem			write, truncate; not faults
 *		  mm->mmap_lock or VMA lock
 *		    sb_start_pagefault
 *		      mapping->invalidate_lock	shared: faults; exclusive:
 *						truncate
 *			filesystem transaction	if it includes the fault: ext4
 *			  entry lock		may sleep; one at a time, but
 *						writeback and dax-around.c hold
 *						several, and wait for none while
 *						they hold one
 *			    extent locks	in ->iomap_begin, ->iomap_end
 *			    dax_share_rwsem	memory failure, shared blocks
 *			      i_mmap_rwsem	unmap, write-protect
 *				page table lock
 *				  i_pages.xa_lock	irqs off
 *
 *		dax_share_rwsem and the extent locks do not nest in each other.
 *		MADV_COLLAPSE holds mmap_lock.  A filesystem that moves blocks
 *		for it takes i_rwsem by trylock.
 *
 *		dax_read_lock() keeps a device alive while one of its addresses
 *		is in use.  It is an SRCU read lock, and nests in any of these.
 *
 * LIFETIME	A mapped entry is deleted when one of its blocks is freed or
 *		moved, when its inode is evicted, and, if it is clean, by
 *		invalidation.  Copy on write deletes it or gives it the new
 *		blocks.  Memory pressure does not evict it.  Promotion replaces
 *		small entries by one large entry, which inherits their marks.
 *		If a zero or empty entry is locked, only the holder of the lock
 *		may replace or delete it.  If it is unlocked, a task may do so
 *		under the xa_lock.
 *
 * MARKS	PAGECACHE_TAG_DIRTY is set on an entry while a page table may
 *		map one of its pages writable, and stays set until the entry is
 *		flushed.  Only mapped entries, and locked entries that replace
 *		them, have the mark.  When fsync returns 0, each store to its
 *		range that came before the call is durable.  It does not matter
 *		which task held the entry lock in between.
 *
 * FILES	each file calls only those above it:
 *
 *		dax-entry.h	what an entry is
 *		dax-entry.c	the lock of an entry
 *		dax-dirty.c	which pages of a large entry are dirty
 *		dax-promote.c	many small entries to one large entry, and back
 *		dax-grab.c	the entry for a fault
 *		dax-page.c	the pages that an entry points to
 *		dax-access.[ch]	the address of file data
 *		dax.c		this file: operations on a whole mapping
 *		dax-around.c	more pages than a 4 KiB fault asks for
 *		dax-quick.c	page faults on known memory
 *		dax-fault.c	all other page faults, MAP_SYNC
 *		dax-collapse.c	MADV_COLLAPSE, and the promotion policy
 *		dax-io.c	read, write, zero, truncate a block
 *		dax-reflink.c	two files: unshare, compare, remap
 *		dax-writeback.c	flushing of dirty entries
 *		dax-defer.c	deleted files whose pages are in use
 *		dax-align.c	where memory has huge pages
 *
 *		All files may call dax-stat.c, which has the counters and the
 *		pauses of walks, and dax-trace.[ch], which has the trace events
 *		that are not in trace/events/fs_dax.h.  dax-internal.h declares
 *		what the files share, and dax-fault.h what the four files of
 *		page faults share.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <trace/events/fs_dax.h>

#include "dax-internal.h"

/*
 * Cookies of the lock functions below, besides the entry that was locked.  No
 * XArray value equals either of them.
 */
#define DAX_COOKIE_FAILED	((dax_entry_t)0)
#define DAX_COOKIE_NOTHING	(~(dax_entry_t)0)

/*
 * The entry at @xas is locked, so @folio stays in the mapping.  Exclude new
 * sharers of the folio, and check that it has none.  Returns the cookie, or
 * unlocks the entry and returns DAX_COOKIE_FAILED.
 */
static dax_entry_t dax_verify_folio(struct xa_state *xas, struct folio *folio,
				    void *entry)
{
	dax_share_write_lock();
	if (folio->mapping == dax_mapping_of(xas) &&
	    !dax_page_shared(&folio->page))
		return (dax_entry_t)entry;
	dax_share_write_unlock();
	dax_unlock_entry(xas, entry);
	return DAX_COOKIE_FAILED;
}

/*
 * Try to lock the entry that maps @folio.  Returns 0 with @entryp set to the
 * entry, or to NULL if there is none to lock; -EAGAIN if the attempt must be
 * repeated, with the RCU read lock dropped and retaken if it has waited.
 */
static int dax_try_lock_folio(struct xa_state *xas, struct folio *folio,
			      struct address_space *mapping, void **entryp)
{
	void *entry;

	*entryp = NULL;
	xas->xa = &mapping->i_pages;
	xas_lock_irq(xas);
	if (mapping != folio->mapping) {
		xas_unlock_irq(xas);
		return -EAGAIN;
	}
	xas_set(xas, folio->index);
	entry = xas_load(xas);
	if (xa_is_value(entry) && dax_is_locked(entry)) {
		/* The mapping may be freed during the wait. */
		rcu_read_unlock();
		dax_wait_entry_unlock(xas, entry);
		rcu_read_lock();
		return -EAGAIN;
	}
	if (xa_is_value(entry)) {
		dax_lock_entry(xas, entry);
		*entryp = entry;
	}
	xas_unlock_irq(xas);
	return 0;
}

/**
 * dax_lock_folio() - Lock the entry that maps a folio, for memory failure
 * @folio: A folio of a DAX device, which the caller has not pinned.
 *
 * Finds the file by folio->mapping.  Until dax_unlock_folio(), the folio stays
 * at its place in the file, no other file can start to share it, and the inode
 * cannot be freed.
 *
 * Context: Process context; holds no lock on the inode.  May sleep.
 * Return: A cookie for dax_unlock_folio(); 0 if no file has the folio, or if
 * several files have it: only the filesystem can find all of them.
 */
dax_entry_t dax_lock_folio(struct folio *folio)
{
	XA_STATE(xas, NULL, 0);
	void *entry = NULL;

	rcu_read_lock();
	/* Page structures of a removed device are stale. */
	while (dax_pfns_on_device(folio_pfn(folio), 1)) {
		struct address_space *mapping = READ_ONCE(folio->mapping);

		if (!mapping || !dax_mapping(mapping))
			break;
		/*
		 * Device DAX has no entries.  The pin of its dev_pagemap is
		 * enough.
		 */
		if (S_ISCHR(mapping->host->i_mode)) {
			rcu_read_unlock();
			return DAX_COOKIE_NOTHING;
		}
		if (!dax_try_lock_folio(&xas, folio, mapping, &entry))
			break;
	}
	rcu_read_unlock();
	return entry ? dax_verify_folio(&xas, folio, entry) :
		       DAX_COOKIE_FAILED;
}

/**
 * dax_unlock_folio() - Undo dax_lock_folio()
 * @folio: The folio.
 * @cookie: What dax_lock_folio() returned, other than 0.
 *
 * Context: Any with irqs enabled.
 */
void dax_unlock_folio(struct folio *folio, dax_entry_t cookie)
{
	if (cookie == DAX_COOKIE_NOTHING)
		return;
	dax_unlock_mapping_entry(folio->mapping, folio->index, cookie);
	dax_share_write_unlock();
}

/**
 * dax_lock_mapping_entry() - Lock the entry at a page offset for memory failure
 * @mapping: The mapping, whose inode the caller holds.
 * @index: The page offset.
 * @page: Where to put the page of @index.  Not written if there is none.
 *
 * Context: Process context.  May sleep.
 * Return: A cookie for dax_unlock_mapping_entry(), also if there is no mapped
 * entry at @index and nothing was locked; 0 if @mapping is not of a DAX file.
 */
dax_entry_t dax_lock_mapping_entry(struct address_space *mapping, pgoff_t index,
				   struct page **page)
{
	dax_entry_t cookie = DAX_COOKIE_NOTHING;
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	if (!dax_mapping(mapping))
		return DAX_COOKIE_FAILED;

	xas_lock_irq(&xas);
	for (;;) {
		entry = xas_load(&xas);
		if (!xa_is_value(entry) || !dax_is_locked(entry))
			break;
		dax_wait_entry(&xas, entry);
	}
	if (xa_is_value(entry) && dax_is_mapped(entry)) {
		dax_lock_entry(&xas, entry);
		*page = dax_entry_page(entry, index);
		cookie = (dax_entry_t)entry;
	}
	xas_unlock_irq(&xas);
	return cookie;
}

/**
 * dax_unlock_mapping_entry() - Undo dax_lock_mapping_entry()
 * @mapping: The mapping.
 * @index: The page offset.
 * @cookie: What dax_lock_mapping_entry() returned, other than 0.
 *
 * Context: Any with irqs enabled.
 */
void dax_unlock_mapping_entry(struct address_space *mapping, pgoff_t index,
			      dax_entry_t cookie)
{
	XA_STATE(xas, &mapping->i_pages, index);

	if (cookie != DAX_COOKIE_NOTHING)
		dax_unlock_entry(&xas, (void *)cookie);
}

/* Must @entry, which may be locked, be deleted before its range is written? */
static bool dax_should_drop(void *entry, enum dax_drop which)
{
	if (which == DAX_DROP_ALL)
		return true;
	/* The holder of an empty entry may be about to make it a zero entry. */
	return dax_is_zero(entry) ||
		(dax_is_empty(entry) && dax_is_locked(entry));
}

/**
 * dax_walk_next() - Find the next entry of a walk, and wait until it is unlocked
 * @walk: What the walk has done since its last pause.
 * @xas: The cursor of the walk.  It is left at the entry.
 * @last: The last page offset of the range.
 * @which: The entries that the caller deletes, now or later.  The walk counts
 *	the others and passes them, locked or not.
 *
 * The wait is not exclusive, so the caller need not wake other waiters if it
 * does not lock the entry.  After a wait, the walk looks at the same page
 * offset again, because the entry may have been resized or deleted.
 *
 * Context: Process context, xa_lock held; dropped and retaken to wait and to
 * pause.  May sleep.
 * Return: The entry, unlocked as long as the caller holds the xa_lock; NULL if
 * there are no more.
 */
static inline void *dax_walk_next(struct dax_walk *walk, struct xa_state *xas,
				  pgoff_t last, enum dax_drop which)
	__must_hold(xas->xa->xa_lock)
{
	void *entry;

	while ((entry = xas_next_entry(xas, last))) {
		if (WARN_ON_ONCE(!xa_is_value(entry)))
			continue;
		if (!dax_should_drop(entry, which))
			dax_walk_step(walk, xas, entry, 1);
		else if (dax_is_locked(entry))
			dax_wait_entry(xas, entry);
		else
			break;
	}
	return entry;
}

/* How many pages of @entry, found at @index, are in the range. */
static unsigned long dax_nr_scanned(void *entry, pgoff_t index, pgoff_t first,
				    pgoff_t last)
{
	pgoff_t start = dax_entry_start(entry, index);

	if (!dax_entry_order(entry) || !dax_is_mapped(entry))
		return 1;
	return min(last, start + dax_entry_nr_pages(entry) - 1) -
		max(first, start) + 1;
}

/*
 * The first and the last page offset of the entry at @index, or @index if there
 * is none.
 */
static void dax_entry_bounds(struct address_space *mapping, pgoff_t index,
			     pgoff_t *first, pgoff_t *last)
{
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	*first = index;
	*last = index;
	xas_lock_irq(&xas);
	entry = xas_load(&xas);
	if (xa_is_value(entry)) {
		*first = dax_entry_start(entry, index);
		*last = *first + dax_entry_nr_pages(entry) - 1;
	}
	xas_unlock_irq(&xas);
}

/**
 * dax_layout_busy_page_range() - Find a page of a file that is in use
 * @mapping: The mapping of the file.
 * @start: First byte of the range.
 * @end: Last byte of the range; LLONG_MAX for the end of the file.
 *
 * Before a filesystem frees blocks of a file, it must wait until no page table
 * and no DMA uses their pages.  This function unmaps the range and looks for
 * pages with extra references.  DMA does not end with munmap(), so a page may
 * be in use although nothing maps the file.  A page that another file shares
 * does not count, because its block is not freed.
 *
 * An entry that extends beyond the range is later deleted as a whole, and its
 * other pages could not be found any more.  So the range is extended to the
 * boundaries of the entries at both ends.
 *
 * Context: Process context; mapping->invalidate_lock held exclusively, so the
 * range cannot be mapped again.  May sleep.
 * Return: A page for dax_wait_page_idle(), without a reference: it may be
 * removed with its device at any time.  NULL if no page is in use.
 */
struct page *dax_layout_busy_page_range(struct address_space *mapping,
					loff_t start, loff_t end)
{
	pgoff_t first = start >> PAGE_SHIFT;
	pgoff_t last = end == LLONG_MAX ? ULONG_MAX : end >> PAGE_SHIFT;
	struct dax_walk walk = { .kind = DAX_WALK_BUSY };
	XA_STATE(xas, &mapping->i_pages, first);
	struct page *page = NULL;
	pgoff_t other;
	void *entry;

	/* Without page structures, GUP fails, so there is no DMA. */
	if (IS_ENABLED(CONFIG_FS_DAX_LIMITED) || !dax_mapping(mapping))
		return NULL;

	dax_entry_bounds(mapping, last, &other, &last);
	dax_entry_bounds(mapping, first, &first, &other);
	xas_set(&xas, first);

	/*
	 * GUP takes a reference and then checks that the page is still mapped,
	 * or it holds the page table lock, which the unmap takes as well.  So
	 * GUP takes no lasting reference after the unmap.
	 */
	unmap_mapping_pages(mapping, first, last - first + 1, false);

	xas_lock_irq(&xas);
	while ((entry = dax_walk_next(&walk, &xas, last, DAX_DROP_ALL))) {
		if (dax_is_mapped(entry))
			page = dax_busy_page(entry, xas.xa_index, first, last);
		if (page)
			break;
		dax_walk_step(&walk, &xas, entry,
			      dax_nr_scanned(entry, xas.xa_index, first, last));
	}
	xas_unlock_irq(&xas);
	dax_walk_end(&walk, mapping);
	return page;
}
EXPORT_SYMBOL_GPL(dax_layout_busy_page_range);

/**
 * dax_layout_busy_page() - dax_layout_busy_page_range() for a whole file
 * @mapping: The mapping of the file.
 *
 * Context: As dax_layout_busy_page_range().
 * Return: As dax_layout_busy_page_range().
 */
struct page *dax_layout_busy_page(struct address_space *mapping)
{
	return dax_layout_busy_page_range(mapping, 0, LLONG_MAX);
}
EXPORT_SYMBOL_GPL(dax_layout_busy_page);

/**
 * dax_entries_in_use() - Check whether pages of a deleted file are in use
 * @mapping: The mapping of the file, which no user has open or maps.
 *
 * Unlike dax_layout_busy_page(), this also counts pages that other files share.
 *
 * Context: Process context.  May sleep.
 * Return: true if a page of an entry is in use.
 */
bool dax_entries_in_use(struct address_space *mapping)
{
	struct dax_walk walk = { .kind = DAX_WALK_BUSY };
	XA_STATE(xas, &mapping->i_pages, 0);
	bool in_use = false;
	void *entry;

	if (!dax_mapping(mapping))
		return false;

	xas_lock_irq(&xas);
	while (!in_use && (entry = dax_walk_next(&walk, &xas, ULONG_MAX,
						 DAX_DROP_ALL))) {
		in_use = dax_entry_in_use(entry);
		dax_walk_step(&walk, &xas, entry,
			      dax_nr_scanned(entry, xas.xa_index, 0,
					     ULONG_MAX));
	}
	xas_unlock_irq(&xas);
	dax_walk_end(&walk, mapping);
	return in_use;
}
EXPORT_SYMBOL_GPL(dax_entries_in_use);

/**
 * dax_break_layout() - Wait until the pages of a range of a file are idle
 * @inode: The file, whose blocks the caller is about to free.
 * @start: First byte of the range.
 * @end: Last byte of the range; LLONG_MAX for the end of the file.
 *
 * Unmaps the range.  The caller's lock excludes faults, so an idle page stays
 * idle.
 *
 * Context: Process context; invalidate_lock of the file held exclusively;
 * dropped while waiting.
 * Return: 0; -ERESTARTSYS if a signal is pending.
 */
int dax_break_layout(struct inode *inode, loff_t start, loff_t end)
{
	struct address_space *mapping = inode->i_mapping;
	struct page *page;
	int err = 0;

	rwsem_assert_held_write(&mapping->invalidate_lock);

	while (!err &&
	       (page = dax_layout_busy_page_range(mapping, start, end))) {
		filemap_invalidate_unlock(mapping);
		err = dax_wait_page_idle(inode, page);
		filemap_invalidate_lock(mapping);
	}
	return err;
}
EXPORT_SYMBOL_GPL(dax_break_layout);

static bool dax_entry_marked(struct xa_state *xas)
{
	return xas_get_mark(xas, PAGECACHE_TAG_DIRTY) ||
		xas_get_mark(xas, PAGECACHE_TAG_TOWRITE);
}

/*
 * Can the data of the entry still be read, so that they must be flushed?  Not
 * if the entry lies beyond the end of the file, or if the inode is being
 * evicted.
 */
static bool dax_entry_in_file(struct address_space *mapping, pgoff_t start)
{
	return !mapping_exiting(mapping) &&
		start < DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE);
}

/**
 * dax_drop_entry() - Flush and delete an entry that the caller has locked
 * @xas: An index within the entry.
 * @entry: The entry, without the lock bit.
 * @why: For the trace.
 *
 * The entry may be larger than the range that the caller works on.  The caller
 * unmaps that range only, so all of the entry is unmapped here.  Otherwise,
 * small zero pages outside the range would stay mapped without an entry.  Dirty
 * data are flushed before the mark is deleted with the entry, because fsync
 * would not find them any more.
 *
 * Context: Process context; the entry is locked, the xa_lock is not held.  May
 * sleep.
 * Return: true if a page of the entry is in use.  No entry leads to this page
 * any more.
 */
bool dax_drop_entry(struct xa_state *xas, void *entry, enum dax_delete why)
{
	struct address_space *mapping = dax_mapping_of(xas);
	pgoff_t start = dax_entry_start(entry, xas->xa_index);
	bool dirty, in_use;

	/* Unmap first, so that it cannot become dirty again. */
	if (!dax_is_empty(entry))
		dax_unmap_entry(mapping, start, entry);

	xas_reset(xas);
	xas_lock_irq(xas);
	xas_load(xas);
	dirty = dax_entry_marked(xas) && dax_entry_in_file(mapping, start);
	xas_unlock_irq(xas);
	if (dirty) {
		dax_flush_entry(entry);
		trace_dax_writeback_one(mapping->host, start,
					dax_entry_nr_pages(entry));
	}

	xas_lock_irq(xas);
	in_use = dax_disassociate_entry(entry, mapping, start);
	dax_delete_entry(xas, entry, why);
	xas_unlock_irq(xas);
	return in_use;
}

/**
 * dax_drop_range() - Delete the entries of a range whose blocks change
 * @mapping: The mapping.
 * @pos: First byte of the range.
 * @len: Its length in bytes, not 0.
 * @which: Which entries to delete.
 *
 * If the caller does not exclude faults, a fault may insert an entry again at
 * once.  That entry is up to date, because the fault calls ->iomap_begin.
 *
 * Context: Process context; i_rwsem held exclusively.  May sleep.
 * Return: true if a page of a deleted entry is in use.
 */
bool dax_drop_range(struct address_space *mapping, loff_t pos, u64 len,
		    enum dax_drop which)
{
	XA_STATE(xas, &mapping->i_pages, pos >> PAGE_SHIFT);
	struct dax_walk walk = { .kind = DAX_WALK_DROP };
	pgoff_t end = (pos + len - 1) >> PAGE_SHIFT;
	bool in_use = false;
	void *entry;

	xas_lock_irq(&xas);
	while ((entry = dax_walk_next(&walk, &xas, end, which))) {
		dax_lock_entry(&xas, entry);
		xas_unlock_irq(&xas);
		in_use |= dax_drop_entry(&xas, entry, DAX_DELETE_INVALIDATE);
		cond_resched();
		xas_lock_irq(&xas);
		/*
		 * Continue behind it: faults could insert it again without end.
		 */
		dax_skip_entry(&xas, entry);
	}
	xas_unlock_irq(&xas);
	dax_walk_end(&walk, mapping);
	return in_use;
}

/* Returns true if the entry that covers @index was deleted. */
static bool dax_invalidate_entry(struct address_space *mapping, pgoff_t index,
				 enum dax_delete why)
{
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	xas_lock_irq(&xas);
	if (dax_get_unlocked_entry(&xas, 0, &entry) || !entry) {
		xas_unlock_irq(&xas);
		return false;
	}
	if (why != DAX_DELETE_TRUNCATE && dax_entry_marked(&xas)) {
		dax_put_unlocked_entry(&xas, entry);
		xas_unlock_irq(&xas);
		return false;
	}

	/* The caller unmaps the range and discards its data. */
	if (dax_entry_order(entry) == 0) {
		dax_disassociate_entry(entry, mapping, index);
		__dax_delete_entry(&xas, entry, why);
		xas_unlock_irq(&xas);
		return true;
	}

	dax_lock_entry(&xas, entry);
	xas_unlock_irq(&xas);
	dax_drop_entry(&xas, entry, why);
	return true;
}

/**
 * dax_delete_mapping_entry() - Delete an entry whose blocks are freed
 * @mapping: The mapping.
 * @index: A page offset at which the caller has found an entry.
 *
 * Waits for the entry lock.  Deletes the whole entry, even if it is dirty.  A
 * large entry may extend beyond the range that the caller truncates, so it is
 * flushed if it is dirty.
 *
 * Context: Process context; i_rwsem and invalidate_lock held exclusively, or
 * the inode is being evicted.  May sleep.
 * Return: 1; 0, after a warning, if there is no entry.
 */
int dax_delete_mapping_entry(struct address_space *mapping, pgoff_t index)
{
	bool deleted = dax_invalidate_entry(mapping, index,
					    DAX_DELETE_TRUNCATE);

	/* The caller's locks prevent others from deleting it. */
	WARN_ON_ONCE(!deleted);
	return deleted;
}

/**
 * dax_invalidate_mapping_entry_sync() - Delete an entry if it is clean
 * @mapping: The mapping.
 * @index: A page offset.
 *
 * Waits for the entry lock.
 *
 * Context: Process context; i_rwsem held, but not invalidate_lock, so faults
 * are not excluded.  May sleep.
 * Return: 1 if the entry was deleted; 0 if it is dirty, or if there is none.
 */
int dax_invalidate_mapping_entry_sync(struct address_space *mapping,
				      pgoff_t index)
{
	return dax_invalidate_entry(mapping, index, DAX_DELETE_INVALIDATE);
}
