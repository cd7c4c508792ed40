// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writeback of dirty DAX entries, for fsync and similar calls.
 *
 * Stores to a mapping stay in the CPU's caches until writeback flushes them.
 * Each entry stays locked throughout, so no fault comes in between:
 *
 *	write-protect	Protect its pages in all page tables.  The next store
 *			faults and waits for the entry lock.
 *	flush		Flush the memory of the whole entry.
 *	clear marks	Clear DIRTY and TOWRITE: the entry has not become dirty
 *			since.
 *
 * TOWRITE is cleared at the end, too.  All fsyncs share this mark, and an fsync
 * that does not find it may return, so a clear mark must mean that the flush is
 * done.  A mark that another fsync has set meanwhile may be cleared, because
 * the stores that it covers came before the write protection.
 *
 * Writeback does not skip a locked entry.  The holder may be a fault that only
 * reads, or another fsync that flushed before the stores that concern this one.
 * Writeback waits for that entry and looks at it again.
 *
 * LOCKS	entry lock, i_mmap_rwsem (shared), page table locks
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/writeback.h>
#include <trace/events/fs_dax.h>

#include "dax-internal.h"
#include "dax-trace.h"

/*
 * Write-protect the pages of the locked @entry in all page tables, whatever
 * their mapping size is and whichever part of the entry a VMA maps.
 */
static void dax_wrprotect_entry(struct address_space *mapping, pgoff_t start,
				void *entry)
{
	unsigned long nr = dax_entry_nr_pages(entry);
	struct vm_area_struct *vma;

	i_mmap_lock_read(mapping);
	vma_interval_tree_foreach(vma, &mapping->i_mmap, start, start + nr - 1) {
		pfn_mkclean_range(dax_entry_pfn(entry), nr, start, vma);
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
 */
struct dax_flush {
	struct address_space	*mapping;
	struct dax_device	*dax_dev;
	struct dev_pagemap	*pgmap;
};

static void dax_put_flushed(struct dax_flush *flush)
{
	put_dev_pagemap(flush->pgmap);
	flush->pgmap = NULL;
}

/* Flush the locked @entry, unless its device was removed. */
static int dax_flush_locked(struct dax_flush *flush, void *entry)
{
	int id, ret = 0;

	flush->pgmap = get_dev_pagemap(dax_entry_pfn(entry), flush->pgmap);
	if (!flush->pgmap)
		return -EIO;
	id = dax_read_lock();
	if (dax_alive(flush->dax_dev))
		dax_flush(flush->dax_dev, dax_entry_kaddr(entry),
			  dax_entry_nr_pages(entry) << PAGE_SHIFT);
	else
		ret = -EIO;
	dax_read_unlock(id);
	return ret;
}

/* Write back the unlocked @entry that the walk has reached. */
static int dax_writeback_one(struct xa_state *xas, struct dax_flush *flush,
			     void *entry)
	__must_hold(xas->xa->xa_lock)
{
	pgoff_t start = dax_entry_start(entry, xas->xa_index);
	int ret;

	if (WARN_ON_ONCE(!dax_is_mapped(entry)))
		return -EIO;

	dax_lock_entry(xas, entry);
	xas_unlock_irq(xas);

	dax_wrprotect_entry(flush->mapping, start, entry);
	ret = dax_flush_locked(flush, entry);

	/* Trace before the marks are cleared. */
	if (!ret)
		trace_dax_writeback_one(flush->mapping->host, start,
					dax_entry_nr_pages(entry));

	xas_lock_irq(xas);
	__dax_unlock_entry(xas, entry);
	if (!ret) {
		xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
		xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
	}
	return ret;
}

static int dax_writeback_walk(struct xa_state *xas, struct dax_flush *flush,
			      pgoff_t end)
{
	unsigned int scanned = 0;
	void *entry;
	int ret = 0;

	xas_lock_irq(xas);
	xas_for_each_marked(xas, entry, end, PAGECACHE_TAG_TOWRITE) {
		if (WARN_ON_ONCE(!xa_is_value(entry))) {
			ret = -EIO;
			break;
		}
		if (dax_is_locked(entry)) {
			dax_put_flushed(flush);
			dax_wait_entry(xas, entry);
			continue;
		}
		ret = dax_writeback_one(xas, flush, entry);
		if (ret)
			break;
		if (++scanned % XA_CHECK_SCHED == 0)
			dax_pause_walk(xas, entry);
	}
	xas_unlock_irq(xas);
	dax_put_flushed(flush);
	return ret;
}

/**
 * dax_writeback_mapping_range() - Make a range of a DAX file durable
 * @mapping: The mapping of the file.
 * @dax_dev: The device of the file.
 * @wbc: The range in bytes, both ends included, and the mode.
 *
 * When it returns 0, each entry that overlaps the range and was dirty at the
 * call has been flushed as a whole.  Does nothing unless @wbc requests
 * WB_SYNC_ALL, because background writeback would not free memory.
 *
 * Context: Process context; needs no lock of the inode.  Takes entry locks, one
 * at a time.  May sleep.
 * Return: 0; -EIO if the device was removed, if the block size is not
 * PAGE_SIZE, or if the tree has an entry that it must not have.  The error is
 * also recorded in @mapping, unless it is the block size.
 */
int dax_writeback_mapping_range(struct address_space *mapping,
				struct dax_device *dax_dev,
				struct writeback_control *wbc)
{
	pgoff_t start = wbc->range_start >> PAGE_SHIFT;
	pgoff_t end = wbc->range_end >> PAGE_SHIFT;
	struct dax_flush flush = { .mapping = mapping, .dax_dev = dax_dev };
	XA_STATE(xas, &mapping->i_pages, start);
	struct inode *inode = mapping->host;
	int ret;

	if (WARN_ON_ONCE(inode->i_blkbits != PAGE_SHIFT))
		return -EIO;
	if (wbc->sync_mode != WB_SYNC_ALL || mapping_empty(mapping))
		return 0;

	trace_dax_writeback_range(inode, start, end);
	/* Entries that become dirty from now on are for the next fsync. */
	tag_pages_for_writeback(mapping, start, end);
	ret = dax_writeback_walk(&xas, &flush, end);
	if (ret)
		mapping_set_error(mapping, ret);
	trace_dax_writeback_range_done(inode, xas.xa_index, end);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_writeback_mapping_range);
