// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writeback of dirty DAX entries, for fsync and similar calls.
 *
 * Stores to a mapping stay in the CPU's caches until writeback flushes them.
 * Writeback takes these steps with the entry locked, so no fault comes in
 * between:
 *
 *	write-protect	Protect its pages in all page tables.  The next store
 *			faults and waits for the entry lock.
 *	flush		Flush the memory of the whole entry, or of its dirty
 *			pages if they are known (dax-dirty.c).
 *	clear marks	Clear DIRTY and TOWRITE: the entry has not become dirty
 *			since.
 *
 * Small entries with contiguous memory take the steps together.
 *
 * TOWRITE is cleared at the end, too.  All fsyncs share this mark, and an fsync
 * that does not find it may return, so a clear mark must mean that the flush is
 * done.  A mark that another fsync has set meanwhile may be cleared, because
 * the stores that it covers came before the write protection.
 *
 * TOWRITE limits the work of a long walk to the entries that were dirty when it
 * began.  A short range is not tagged: its walk visits each entry that has
 * DIRTY once.  As with TOWRITE, an fsync that does not find DIRTY may return,
 * because the mark is cleared after the flush.
 *
 * Writeback does not skip a locked entry.  The holder may be a read fault, or
 * another fsync that flushed the entry before the stores that this fsync must
 * flush.  Writeback waits for that entry and looks at it again.
 *
 * PARTS	The range of an fsync or msync may begin or end inside a large
 *		entry.  Only the part in the range is flushed then, and neither
 *		the page tables nor the marks change: write protection only
 *		serves to learn of later stores, and DIRTY says that there may
 *		be some.  The next fsync of the whole entry flushes all of it
 *		that may be dirty.
 *
 *		At most the first and the last entry of a range extend beyond
 *		it.  Writeback looks these entries up directly.  It does not use
 *		TOWRITE for them, because the mark may be that of another fsync.
 *		It walks the entries between them.  If promotion puts a large
 *		entry there meanwhile, that entry is flushed as a whole.
 *
 *		file_write_and_wait_range(), which ->fsync calls, sets
 *		wbc->for_fsync.  Only then may writeback flush parts.  Reflink
 *		and freeze do not set it, because they need the write
 *		protection.
 *
 * NO CACHE	If stores to the device are durable without a flush, ->fsync
 *		flushes nothing.  It updates mtime and ctime if a dirty entry is
 *		in the range.  The entries stay dirty and writable.
 *
 * TIMES	A write fault updates mtime and ctime, and stores to a page that
 *		stays writable cause no fault.  So a writeback that leaves dirty
 *		pages writable sets AS_DAX_UNTIMED, with the entry locked.
 *		While the flag is set, each writeback that flushes an entry
 *		updates the times after the flush.  A writeback of the whole
 *		file clears the flag before it tags the entries.  Entries that
 *		were left writable are still dirty, so this writeback flushes
 *		and write-protects them.
 *
 *		The update needs a transaction, and so freeze protection.  A
 *		caller of ->fsync may hold that already, so ->fsync only tries
 *		to get it.  If a freeze has begun, ->fsync leaves DIRTY set, and
 *		the sync of the freeze finds the entry and updates the times.
 *		sync(2) and the sync of a freeze hold s_umount, so the freeze
 *		cannot complete before the update.
 *
 * CONCURRENCY	While writeback flushes a part of an entry, other tasks wait for
 *		the entry lock:
 *
 *		fsync of all	finds the mark DIRTY or TOWRITE, which stays,
 *				waits, and then flushes the whole entry.
 *		promotion, undo	do not conflict.  A promotion replaces small
 *				entries, and writeback flushes parts of large
 *				entries only.  While a promotion or an undo
 *				holds the large entry, and it is dirty,
 *				writeback waits, and looks the range up again.
 *		collapse	maps the entry, and changes no mark.
 *		truncate, punch, copy on write, invalidation
 *				find the mark DIRTY.  They flush the whole entry
 *				before they delete it, unless it lies beyond the
 *				end of the file.  Invalidation leaves a dirty
 *				entry alone.
 *		reflink, dedupe, freeze
 *				write back without for_fsync: the whole entry.
 *		memory failure	locks the entry, too, so one waits for the other.
 *		removal of the device
 *				waits for the flush of one large entry or one
 *				run of small entries.  After the removal, a
 *				flush fails.
 *
 * LOCKS	entry locks: one, or a run of small entries.  Writeback waits
 *		only for the first one.  Then i_mmap_rwsem (shared), page table
 *		locks; for the times, freeze protection (tried) and a
 *		transaction of the filesystem, without an entry lock
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iversion.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/writeback.h>
#include <linux/xarray_slot.h>
#include <trace/events/fs_dax.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* A range of up to so many pages is not tagged. */
#define DAX_UNTAGGED_PAGES	512U

/*
 * So many small entries at most are locked together: a fault on one of them
 * waits for all, and each is one more flush of the TLB with the page table
 * locked.  Devices are aligned to more than that.
 */
#define DAX_RUN_PAGES		16U

/*
 * Write-protect pages of a locked entry in all page tables, whatever their
 * mapping size is and whichever part of the pages a VMA maps.
 */
static void dax_wrprotect(struct address_space *mapping, pgoff_t start,
			  unsigned long pfn, unsigned long nr)
{
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	vma_interval_tree_foreach(vma, &mapping->i_mmap, start, start + nr - 1) {
		pfn_mkclean_range(pfn, nr, start, vma);
		cond_resched();
	}
	i_mmap_unlock_read(mapping);
}

/**
 * struct dax_flush - State of a writeback
 * @mapping: The mapping of the file.
 * @dax_dev: The device of the file.
 * @pgmap: The pgmap of the last entry, kept for the next one.  It is dropped
 *	before a wait for a locked entry, because the removal of the device
 *	waits for it.
 * @reading: Whether the dax_read_lock() is held, which is as long as @pgmap.
 * @id: What dax_read_lock() returned.
 * @first: First page offset of the range.
 * @last: Last page offset of the range.
 * @by_parts: Whether an entry that extends beyond the range is flushed in part.
 * @keep_dirty: Whether DIRTY stays even if a whole entry is flushed.
 * @flushed: Whether anything was flushed.
 * @left: Whether a part was flushed, and its entry left dirty.
 */
struct dax_flush {
	struct address_space	*mapping;
	struct dax_device	*dax_dev;
	struct dev_pagemap	*pgmap;
	bool			reading;
	int			id;
	pgoff_t			first;
	pgoff_t			last;
	bool			by_parts;
	bool			keep_dirty;
	bool			flushed;
	bool			left;
};

/*
 * Hold the device of @entry.  Returns false if it was removed.  Each flush
 * checks that, so the removal waits at most for the flush of one large entry or
 * one run of small entries.
 */
static bool dax_hold_device(struct dax_flush *flush, void *entry)
{
	flush->pgmap = get_dev_pagemap(dax_entry_pfn(entry), flush->pgmap);
	if (!flush->pgmap)
		return false;
	if (!flush->reading) {
		flush->id = dax_read_lock();
		flush->reading = true;
	}
	return dax_alive(flush->dax_dev);
}

static void dax_release_device(struct dax_flush *flush)
{
	if (flush->reading)
		dax_read_unlock(flush->id);
	flush->reading = false;
	put_dev_pagemap(flush->pgmap);
	flush->pgmap = NULL;
}

/* Flush @nr pages of the locked @entry from @offset, in pages. */
static int dax_flush_locked(struct dax_flush *flush, void *entry,
			    unsigned long offset, unsigned long nr)
{
	if (!dax_hold_device(flush, entry))
		return -EIO;
	dax_flush(flush->dax_dev,
		  dax_entry_kaddr(entry) + (offset << PAGE_SHIFT),
		  nr << PAGE_SHIFT);
	flush->flushed = true;
	return 0;
}

/* Write-protect and flush pages of the locked @entry, which is at @start. */
static int dax_clean_pages(struct dax_flush *flush, pgoff_t start, void *entry,
			   unsigned long offset, unsigned long nr)
{
	int ret;

	dax_wrprotect(flush->mapping, start + offset,
		      dax_entry_pfn(entry) + offset, nr);
	ret = dax_flush_locked(flush, entry, offset, nr);
	/* Trace before the marks are cleared. */
	if (!ret)
		trace_dax_writeback_one(flush->mapping->host, start + offset,
					nr);
	return ret;
}

/*
 * Clean the dirty pages of the locked @entry, which is by page.  No page table
 * maps another page of it writable, so the others need no write protection.
 */
static int dax_clean_dirty_pages(struct dax_flush *flush, pgoff_t start,
				 void *entry)
{
	unsigned long parts = dax_dirty_parts(entry);
	unsigned int left = dax_max_dirty_pages(entry);
	unsigned int size = dax_part_pages(entry);
	unsigned int first, end, nr;
	int ret;

	if (!dax_hold_device(flush, entry))
		return -EIO;
	for_each_set_bitrange(first, end, &parts, DAX_NR_PARTS) {
		unsigned int offset = first * size;

		while (left && (nr = dax_next_dirty_pages(entry, end * size,
							  &offset))) {
			ret = dax_clean_pages(flush, start, entry, offset, nr);
			if (ret)
				return ret;
			if (!flush->keep_dirty)
				dax_clear_dirty_pages(entry, offset, nr);
			offset += nr;
			left -= nr;
		}
	}
	return 0;
}

/* Clean a run of @nr locked small entries, of which @entry is the first. */
static int dax_clean_run(struct dax_flush *flush, pgoff_t start, void *entry,
			 unsigned int nr)
{
	int ret;

	dax_wrprotect(flush->mapping, start, dax_entry_pfn(entry), nr);
	ret = dax_flush_locked(flush, entry, 0, nr);
	/* Trace each entry, and before the marks are cleared. */
	for (; !ret && nr && trace_dax_writeback_one_enabled(); nr--)
		trace_dax_writeback_one(flush->mapping->host, start++, 1);
	return ret;
}

/* Clean all of the locked @entry that is dirty. */
static int dax_clean_entry(struct dax_flush *flush, pgoff_t start, void *entry)
{
	unsigned long nr = dax_entry_nr_pages(entry);
	int ret;

	if (dax_is_by_page(entry))
		return dax_clean_dirty_pages(flush, start, entry);
	ret = dax_clean_pages(flush, start, entry, 0, nr);
	if (!ret && dax_flush_ends_whole(entry))
		dax_clear_dirty_pages(entry, 0, nr);
	return ret;
}

/* Write back the unlocked large @entry that the walk has reached. */
static int dax_writeback_large(struct xa_state *xas, struct dax_flush *flush,
			       void *entry)
	__must_hold(xas->xa->xa_lock)
{
	pgoff_t start = dax_entry_start(entry, xas->xa_index);
	int ret;

	dax_lock_entry(xas, entry);
	xas_unlock_irq(xas);

	ret = dax_clean_entry(flush, start, entry);

	xas_reset(xas);
	xas_lock_irq(xas);
	xas_load(xas);
	if (!ret) {
		if (!flush->keep_dirty) {
			entry = dax_record_flush(xas, entry);
			xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
		}
		xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
	}
	dax_unlock_walked(xas, entry);
	return ret;
}

/*
 * Lock the small @entry that the walk has reached, and those with @mark that
 * follow it in the file and in memory.  Does not wait for an entry that is
 * locked, because this task holds locks now.  Returns how many were locked.
 */
static unsigned int dax_lock_run(struct xa_state *xas, void *entry, pgoff_t end,
				 xa_mark_t mark)
{
	unsigned int nr = 0;

	do {
		dax_lock_entry(xas, entry);
		entry = dax_next_pfn_entry(entry);
	} while (++nr < DAX_RUN_PAGES && xas->xa_index < end &&
		 /* Another device may begin here. */
		 dax_entry_pfn(entry) % DAX_RUN_PAGES &&
		 xas_next(xas) == entry && xas_get_mark(xas, mark));
	return nr;
}

/* Unlock @nr entries from @start on.  Leaves @xas at the last one. */
static void dax_unlock_run(struct xa_state *xas, struct dax_flush *flush,
			   pgoff_t start, void *entry, unsigned int nr, int err)
{
	xas_set(xas, start);
	xas_load(xas);
	for (;;) {
		if (!err && !flush->keep_dirty)
			xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
		if (!err)
			xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
		dax_unlock_walked(xas, entry);
		if (!--nr)
			break;
		entry = dax_next_pfn_entry(entry);
		xas_next(xas);
	}
}

/*
 * Write back the unlocked small @entry that the walk has reached, and the run
 * that follows it.
 */
static int dax_writeback_run(struct xa_state *xas, struct dax_flush *flush,
			     void *entry, pgoff_t end, xa_mark_t mark)
	__must_hold(xas->xa->xa_lock)
{
	pgoff_t start = xas->xa_index;
	unsigned int nr = dax_lock_run(xas, entry, end, mark);
	int ret;

	xas_unlock_irq(xas);
	ret = dax_clean_run(flush, start, entry, nr);
	xas_lock_irq(xas);
	dax_unlock_run(xas, flush, start, entry, nr, ret);
	return ret;
}

/*
 * Write back the entries up to @end that have @mark: DIRTY or TOWRITE.  Not by
 * dax_walk_next(), as only this walk goes by a mark, and must not wait while it
 * holds the device.
 */
static int dax_writeback_walk(struct xa_state *xas, struct dax_flush *flush,
			      pgoff_t end, xa_mark_t mark)
{
	unsigned int scanned = 0;
	void *entry;
	int ret = 0;

	xas_lock_irq(xas);
	xas_for_each_marked(xas, entry, end, mark) {
		if (WARN_ON_ONCE(!xa_is_value(entry))) {
			ret = -EIO;
			break;
		}
		if (dax_is_locked(entry)) {
			dax_release_device(flush);
			dax_wait_entry(xas, entry);
			continue;
		}
		if (WARN_ON_ONCE(!dax_is_mapped(entry)))
			ret = -EIO;
		else if (dax_entry_order(entry))
			ret = dax_writeback_large(xas, flush, entry);
		else
			ret = dax_writeback_run(xas, flush, entry, end, mark);
		if (ret)
			break;
		if (++scanned % (XA_CHECK_SCHED / DAX_RUN_PAGES) == 0)
			dax_pause_walk(xas, entry);
	}
	xas_unlock_irq(xas);
	dax_release_device(flush);
	return ret;
}

/* Write back the part of the unlocked @entry that is in the range. */
static int dax_writeback_part(struct xa_state *xas, struct dax_flush *flush,
			      void *entry)
	__must_hold(xas->xa->xa_lock)
{
	pgoff_t start = dax_entry_start(entry, xas->xa_index);
	pgoff_t first = max(start, flush->first);
	pgoff_t last = min(start + dax_entry_nr_pages(entry) - 1, flush->last);
	int ret;

	if (WARN_ON_ONCE(!dax_is_mapped(entry)))
		return -EIO;

	dax_lock_entry(xas, entry);
	xas_unlock_irq(xas);

	ret = dax_flush_locked(flush, entry, first - start, last - first + 1);
	if (!ret)
		trace_dax_writeback_one(flush->mapping->host, first,
					last - first + 1);
	dax_release_device(flush);

	xas_lock_irq(xas);
	/* Before a store can follow that no fault announces. */
	mapping_set_dax_untimed(flush->mapping);
	flush->left = true;
	__dax_unlock_entry(xas, entry);
	return ret;
}

/*
 * Write back the entry at @index, an end of the range, if it extends beyond the
 * range.  Sets @startp to its first page offset, and @nextp to the one behind
 * it.  Leaves both alone if there is no such entry.
 */
static int dax_writeback_end(struct dax_flush *flush, pgoff_t index,
			     pgoff_t *startp, pgoff_t *nextp)
{
	XA_STATE(xas, &flush->mapping->i_pages, index);
	void *entry = xa_peek(xas.xa, index);
	int ret = 0;

	/*
	 * No lock is held.  If a large entry comes there only now, the walk
	 * flushes it.
	 */
	if (!dax_entry_exceeds(entry, index, flush->first, flush->last))
		return 0;

	xas_lock_irq(&xas);
	entry = dax_get_exceeding(&xas, flush->first, flush->last);
	if (entry) {
		*startp = dax_entry_start(entry, index);
		*nextp = *startp + dax_entry_nr_pages(entry);
		if (xas_get_mark(&xas, PAGECACHE_TAG_DIRTY))
			ret = dax_writeback_part(&xas, flush, entry);
	}
	xas_unlock_irq(&xas);
	return ret;
}

/*
 * Write back the entries from @first to @last.  In a long range, those that
 * become dirty now are left for the next fsync.
 */
static int dax_writeback_entries(struct dax_flush *flush, pgoff_t first,
				 pgoff_t last)
{
	struct address_space *mapping = flush->mapping;
	XA_STATE(xas, &mapping->i_pages, first);

	if (last - first < DAX_UNTAGGED_PAGES)
		return dax_writeback_walk(&xas, flush, last,
					  PAGECACHE_TAG_DIRTY);
	tag_pages_for_writeback(mapping, first, last);
	return dax_writeback_walk(&xas, flush, last, PAGECACHE_TAG_TOWRITE);
}

/* Write back the range. */
static int dax_writeback_range(struct dax_flush *flush)
{
	pgoff_t next = flush->first, stop = flush->last + 1, other;
	int ret = 0;

	if (flush->by_parts) {
		ret = dax_writeback_end(flush, next, &other, &next);
		if (!ret && next < stop && flush->first < flush->last)
			ret = dax_writeback_end(flush, stop - 1, &stop, &other);
	}
	if (!ret && next < stop)
		ret = dax_writeback_entries(flush, next, stop - 1);
	return ret;
}

/* Has the clock moved on, or was the change counter read, since the update? */
static bool dax_times_are_old(struct inode *inode)
{
	struct timespec64 mtime = inode_get_mtime(inode);
	struct timespec64 ctime = inode_get_ctime(inode);
	struct timespec64 now = current_time(inode);

	return !timespec64_equal(&now, &mtime) ||
		!timespec64_equal(&now, &ctime) ||
		(IS_I_VERSION(inode) && inode_iversion_need_inc(inode));
}

/*
 * Stores have come without a fault.  There is no file here, and the mount that
 * it is on does not matter, because the stores were allowed.
 */
static int dax_update_times(struct inode *inode)
{
	if (IS_NOCMTIME(inode) || sb_rdonly(inode->i_sb) ||
	    !dax_times_are_old(inode))
		return 0;
	return inode_update_time(inode, S_MTIME | S_CTIME | S_VERSION);
}

/* Write back the range of a file to which stores may have come without a fault. */
static int dax_writeback_untimed(struct dax_flush *flush,
				 const struct writeback_control *wbc)
{
	bool all = !flush->first && wbc->range_end == LLONG_MAX;
	struct super_block *sb = flush->mapping->host->i_sb;
	bool may_start = wbc->for_sync || sb_start_write_trylock(sb);
	int ret, err = 0;

	flush->keep_dirty = !may_start && wbc->for_fsync;
	if (all && may_start)
		mapping_clear_dax_untimed(flush->mapping);
	ret = dax_writeback_range(flush);
	if (may_start && flush->flushed)
		err = dax_update_times(flush->mapping->host);
	if (all && (ret || err))
		mapping_set_dax_untimed(flush->mapping);
	if (may_start && !wbc->for_sync)
		sb_end_write(sb);
	return ret;
}

/*
 * Write back the range of a file, and update the times if stores may have come
 * without a fault.  Another writeback may clear or set the flag at any time.
 */
static int dax_writeback_and_update(struct dax_flush *flush,
				    const struct writeback_control *wbc)
{
	int ret;

	if (mapping_dax_untimed(flush->mapping))
		return dax_writeback_untimed(flush, wbc);
	ret = dax_writeback_range(flush);
	/* Another task has left a page writable meanwhile. */
	if (!ret && !flush->left && mapping_dax_untimed(flush->mapping))
		ret = dax_writeback_untimed(flush, wbc);
	return ret;
}

/*
 * fsync without a cache to flush.  Entries of the range that are dirty may have
 * been stored to since the last time.
 */
static int dax_sync_uncached(struct dax_flush *flush)
{
	struct address_space *mapping = flush->mapping;
	struct super_block *sb = mapping->host->i_sb;
	unsigned long index = flush->first;
	bool alive;
	int id;

	id = dax_read_lock();
	alive = dax_alive(flush->dax_dev);
	dax_read_unlock(id);
	if (!alive)
		return -EIO;

	if (xa_find(&mapping->i_pages, &index, flush->last,
		    PAGECACHE_TAG_DIRTY) &&
	    mapping_set_dax_untimed(mapping) && sb_start_write_trylock(sb)) {
		dax_update_times(mapping->host);
		sb_end_write(sb);
	}
	return 0;
}

/*
 * Must the page tables be write-protected, because the caller excludes faults?
 * A caller that sets for_fsync by mistake, and then shares the blocks, would leave
 * them writable.
 */
static bool dax_excludes_faults(struct address_space *mapping)
{
	if (!filemap_invalidate_trylock_shared(mapping))
		return true;
	filemap_invalidate_unlock_shared(mapping);
	return false;
}

/**
 * dax_writeback_mapping_range() - Make a range of a DAX file durable
 * @mapping: The mapping of the file.
 * @dax_dev: The device of the file.
 * @wbc: The range in bytes, both ends included, and the mode.
 *
 * When it returns 0, each store to the range that came before the call is
 * durable.  Of each entry that overlaps the range and was dirty at the call, all
 * pages that may be dirty have been flushed, and all mappings of these pages are
 * write-protected.  There are two exceptions with @wbc->for_fsync.  An entry that
 * extends beyond the range is flushed in the range only, and stays dirty and
 * mapped as it is.  If the device has no volatile cache, nothing is flushed, and
 * all entries stay dirty and mapped as they are.
 *
 * Does nothing unless @wbc requests WB_SYNC_ALL, because background writeback
 * would not free memory.
 *
 * Context: Process context; needs no lock of the inode.  No transaction is open,
 * because one may be started to update the times.  Takes entry locks.  May
 * sleep.
 * Return: 0; -EIO if the device was removed, if the block size is not
 * PAGE_SIZE, or if the tree has an entry that it must not have.  The error is
 * also recorded in @mapping, unless it is the block size.
 */
int dax_writeback_mapping_range(struct address_space *mapping,
				struct dax_device *dax_dev,
				struct writeback_control *wbc)
{
	struct dax_flush flush = {
		.mapping	= mapping,
		.dax_dev	= dax_dev,
		.first		= wbc->range_start >> PAGE_SHIFT,
		.last		= wbc->range_end >> PAGE_SHIFT,
	};
	struct inode *inode = mapping->host;
	int ret = 0;

	if (WARN_ON_ONCE(inode->i_blkbits != PAGE_SHIFT))
		return -EIO;
	if (wbc->sync_mode != WB_SYNC_ALL || mapping_empty(mapping))
		return 0;

	trace_dax_writeback_range(inode, flush.first, flush.last);
	flush.by_parts = wbc->for_fsync && !dax_excludes_faults(mapping);
	if (flush.by_parts && !dax_write_cache_enabled(dax_dev))
		ret = dax_sync_uncached(&flush);
	else
		ret = dax_writeback_and_update(&flush, wbc);
	if (ret)
		mapping_set_error(mapping, ret);
	trace_dax_writeback_range_done(inode, flush.first, flush.last);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_writeback_mapping_range);
