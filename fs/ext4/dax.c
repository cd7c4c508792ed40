// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX support of ext4.
 *
 * The core (fs/dax.c) copies, maps and flushes; ext4_iomap_ops tells it which
 * blocks a range has.  This file has the locks and the journal around the calls
 * to the core:
 *
 * inodes    S_DAX is decided when an inode is set up, and never changes while
 *           the inode is in memory.
 * read      i_rwsem shared.
 * write     i_rwsem exclusive.  A write past the size on disk keeps the inode
 *           on the orphan list until that size covers the new data.  If the
 *           write starts beyond the end of the file, the rest of the last block
 *           is zeroed.
 * faults    A fault changes the file only if it writes through a shared
 *           mapping.  Only such a fault takes freeze protection and a handle.
 *           A private write only reads the file, which may be read-only.
 * layouts   No block is freed or moved while a device does DMA to it: callers
 *           use dax_break_layout() first, and MADV_COLLAPSE moves nothing then.
 *           A deleted file stays on the orphan list until its pages are idle,
 *           or until an unmount stops waiting.
 *
 * LOCKING, outermost first:
 *
 *   inode->i_rwsem                    (read, write, truncate; not faults)
 *     mm->mmap_lock
 *       sb_start_pagefault()
 *         mapping->invalidate_lock    (shared: faults; exclusive: truncate)
 *           journal handle
 *             DAX entry lock          (in the core)
 *               i_data_sem            (in ext4_iomap_begin())
 *
 * MADV_COLLAPSE holds mmap_lock, so it takes i_rwsem by trylock to move blocks.
 *
 * dax_finish_sync_fault() may commit the running transaction, so it is called
 * after the handle is closed.
 */

#include <linux/dax.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/uio.h>
#include <linux/writeback.h>

#include "ext4.h"
#include "ext4_jbd2.h"
#include "dax.h"

#include <trace/events/ext4.h>

/* Does the file have blocks of its own that hold its data unchanged? */
static bool ext4_data_is_plain(struct inode *inode)
{
	return !ext4_should_journal_data(inode) &&
	       !ext4_has_inline_data(inode) &&
	       !ext4_test_inode_flag(inode, EXT4_INODE_ENCRYPT) &&
	       !ext4_test_inode_flag(inode, EXT4_INODE_VERITY);
}

/**
 * ext4_should_enable_dax - whether an inode that is being set up gets S_DAX
 * @inode: new, or just read from disk
 *
 * Return: true if the device and the kind of file support DAX, and the mount
 * options or the inode's flag enable it.
 */
bool ext4_should_enable_dax(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;

	if (!test_bit(EXT4_FLAGS_BDEV_IS_DAX, &EXT4_SB(sb)->s_ext4_flags) ||
	    test_opt2(sb, DAX_NEVER))
		return false;
	if (!S_ISREG(inode->i_mode) || !ext4_data_is_plain(inode))
		return false;
	return test_opt(sb, DAX_ALWAYS) ||
	       ext4_test_inode_flag(inode, EXT4_INODE_DAX);
}

/**
 * ext4_dax_read_iter - read from a DAX file
 * @iocb: file and position
 * @to: buffer to read to
 *
 * Context: Takes i_rwsem shared.
 * Return: bytes read, or a negative errno.
 */
ssize_t ext4_dax_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	if (!(iocb->ki_flags & IOCB_NOWAIT))
		inode_lock_shared(inode);
	else if (!inode_trylock_shared(inode))
		return -EAGAIN;

	ret = dax_iomap_rw(iocb, to, &ext4_iomap_ops);
	inode_unlock_shared(inode);

	file_accessed(iocb->ki_filp);
	return ret;
}

/* After a crash, orphan processing frees the blocks beyond i_disksize. */
static int ext4_dax_orphan_add(struct inode *inode)
{
	handle_t *handle;
	int err;

	handle = ext4_journal_start(inode, EXT4_HT_INODE, 2);
	if (IS_ERR(handle))
		return PTR_ERR(handle);

	err = ext4_orphan_add(handle, inode);
	ext4_journal_stop(handle);
	return err;
}

/*
 * A mapping of the last block allows stores beyond the end of the file.  They
 * become visible when the file grows, so zero the part of the block before
 * @pos.  The block exists, so this needs no handle.
 */
static int ext4_dax_zero_tail(struct inode *inode, loff_t pos)
{
	loff_t size = i_size_read(inode);
	loff_t end = min(round_up(size, i_blocksize(inode)), pos);

	if (size >= end)
		return 0;
	return dax_zero_range(inode, size, end - size, NULL, &ext4_iomap_ops);
}

/*
 * The size grows by the number of bytes written, and not on error.  Blocks that
 * a short write leaves beyond the size are freed.
 */
static ssize_t ext4_dax_extend(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t count = iov_iter_count(from);
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	ret = ext4_dax_zero_tail(inode, pos);
	if (ret)
		return ret;
	ret = ext4_dax_orphan_add(inode);
	if (ret)
		return ret;

	ret = dax_iomap_rw(iocb, from, &ext4_iomap_ops);
	if (ret > 0)
		ret = ext4_handle_inode_extension(inode, pos, ret, count);
	ext4_inode_extension_cleanup(inode, ret < count);
	return ret;
}

static ssize_t ext4_dax_write_locked(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t count;

	count = ext4_write_checks(iocb, from);
	if (count <= 0)
		return count;
	if (iocb->ki_pos + count > EXT4_I(inode)->i_disksize)
		return ext4_dax_extend(iocb, from);
	return dax_iomap_rw(iocb, from, &ext4_iomap_ops);
}

/**
 * ext4_dax_write_iter - write to a DAX file
 * @iocb: file and position
 * @from: buffer to write from
 *
 * Context: Takes i_rwsem exclusive.
 * Return: bytes written, and synced if the file requires it; or a negative
 * errno.
 */
ssize_t ext4_dax_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	ssize_t ret;

	if (!(iocb->ki_flags & IOCB_NOWAIT))
		inode_lock(inode);
	else if (!inode_trylock(inode))
		return -EAGAIN;

	ret = ext4_dax_write_locked(iocb, from);
	inode_unlock(inode);

	return ret > 0 ? generic_write_sync(iocb, ret) : ret;
}

static vm_fault_t ext4_dax_quick_fault(struct vm_fault *vmf, unsigned int order,
				       dax_durable_t durable)
{
	struct super_block *sb = file_inode(vmf->vma->vm_file)->i_sb;

	return dax_fault_quick(vmf, order, EXT4_SB(sb)->s_daxdev, durable);
}

/* The file does not change: no freeze protection, no transaction. */
static vm_fault_t ext4_dax_read_fault(struct vm_fault *vmf, unsigned int order)
{
	struct address_space *mapping = vmf->vma->vm_file->f_mapping;
	vm_fault_t ret;

	filemap_invalidate_lock_shared(mapping);
	ret = ext4_dax_quick_fault(vmf, order, NULL);
	/* no pfn is returned: only a write fault can need a sync */
	if (!ret)
		ret = dax_iomap_fault(vmf, order, NULL, NULL, &ext4_iomap_ops);
	filemap_invalidate_unlock_shared(mapping);

	return ret;
}

/* One attempt, in a transaction with credits for the blocks it may allocate. */
static vm_fault_t ext4_dax_fault_in_handle(struct vm_fault *vmf,
					   unsigned int order, pfn_t *pfnp,
					   int *errp)
{
	struct super_block *sb = file_inode(vmf->vma->vm_file)->i_sb;
	/*
	 * A huge fault may continue in a second extent, and allocate there.  A
	 * small one may write unwritten blocks ahead.
	 */
	int credits = 2 * EXT4_DATA_TRANS_BLOCKS(sb);
	handle_t *handle;
	vm_fault_t ret;

	*errp = 0;
	handle = ext4_journal_start_sb(sb, EXT4_HT_WRITE_PAGE, credits);
	if (IS_ERR(handle))
		return vmf_error(PTR_ERR(handle));

	ret = dax_iomap_fault(vmf, order, pfnp, errp, &ext4_iomap_ops);
	if (!order)
		dax_write_ahead(vmf, ret, &ext4_iomap_ops, &ext4_iomap_ops);
	ext4_journal_stop(handle);
	return ret;
}

/* Are the metadata by which the range is found after a power cut durable? */
static bool ext4_dax_durable(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	pgoff_t end = round_down(vmf->pgoff, 1UL << order) + (1UL << order);

	return end <= i_size_read(inode) >> PAGE_SHIFT &&
	       !ext4_inode_datasync_dirty(inode);
}

static vm_fault_t ext4_dax_write_fault(struct vm_fault *vmf, unsigned int order)
{
	struct file *file = vmf->vma->vm_file;
	struct super_block *sb = file_inode(file)->i_sb;
	int err, retries = 0;
	vm_fault_t ret;
	pfn_t pfn;

	sb_start_pagefault(sb);
	file_update_time(file);
	filemap_invalidate_lock_shared(file->f_mapping);

	/* an emergency remount leaves writable mappings */
	ret = VM_FAULT_SIGBUS;
	if (unlikely(sb_rdonly(sb)))
		goto unlock;
	/* no block belongs to two files */
	ret = ext4_dax_quick_fault(vmf, order, ext4_dax_durable);
	if (ret)
		goto unlock;

	/* Blocks of deleted files become free only with the next commit. */
	do {
		ret = ext4_dax_fault_in_handle(vmf, order, &pfn, &err);
	} while ((ret & VM_FAULT_ERROR) && err == -ENOSPC &&
		 ext4_should_retry_alloc(sb, &retries));

	if (ret & VM_FAULT_NEEDDSYNC)
		ret = dax_finish_sync_fault(vmf, order, pfn);
unlock:
	filemap_invalidate_unlock_shared(file->f_mapping);
	sb_end_pagefault(sb);
	return ret;
}

/*
 * A write through a shared mapping changes the file, a private one does not.
 * vmf->cow_page is not enough to tell: mm sets it for order 0 only.
 */
static bool ext4_dax_changes_file(struct vm_fault *vmf)
{
	return (vmf->flags & FAULT_FLAG_WRITE) &&
	       (vmf->vma->vm_flags & VM_SHARED);
}

static vm_fault_t ext4_dax_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	/* the core may map a page without calling ext4_iomap_begin() */
	if (unlikely(ext4_forced_shutdown(file_inode(vmf->vma->vm_file)->i_sb)))
		return VM_FAULT_SIGBUS;

	/* do not start a transaction only to fall back */
	if (order && !dax_fault_may_be_huge(vmf, order))
		return VM_FAULT_FALLBACK;

	return ext4_dax_changes_file(vmf) ? ext4_dax_write_fault(vmf, order)
					  : ext4_dax_read_fault(vmf, order);
}

/* Allocates no blocks: like a read, this does not change the file. */
static int __ext4_dax_collapse(struct vm_area_struct *vma, unsigned long addr,
			       bool *needs_blocks)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	int err;

	filemap_invalidate_lock_shared(mapping);
	err = dax_iomap_collapse(vma, addr, &ext4_iomap_ops, needs_blocks);
	filemap_invalidate_unlock_shared(mapping);

	return err;
}

static int ext4_dax_collapse_in_place(struct vm_area_struct *vma,
				      unsigned long addr)
{
	return __ext4_dax_collapse(vma, addr, NULL);
}

static vm_fault_t ext4_dax_page_fault(struct vm_fault *vmf)
{
	vm_fault_t ret = ext4_dax_huge_fault(vmf, 0);

	dax_fault_collapse(vmf, ret, ext4_dax_collapse_in_place);
	return ret;
}

/* The caller holds i_rwsem and invalidate_lock exclusive. */
static int ext4_dax_move_window_locked(struct inode *inode, pgoff_t pgoff)
{
	struct address_space *mapping = inode->i_mapping;
	loff_t pos = (loff_t)pgoff << PAGE_SHIFT;
	struct inode *donor;
	int err;

	err = ext4_dax_may_relocate(inode, pgoff);
	if (err == -EALREADY)		/* by another task, meanwhile */
		return 0;
	if (!err && dax_stores_tracked(mapping, pgoff))
		err = -EBUSY;
	if (!err)
		err = break_layout(inode, false);
	if (err)
		return err;

	donor = ext4_dax_take_window(inode, pgoff);
	if (IS_ERR(donor))
		return PTR_ERR(donor);
	err = -EAGAIN;
	if (!dax_layout_busy_page_range(mapping, pos, pos + PMD_SIZE - 1))
		err = ext4_dax_relocate(inode, donor, pgoff);
	iput(donor);
	return err;
}

/*
 * Move the blocks of a huge page, for a process that may write to the file.  The
 * mmap_lock is held, and ranks below i_rwsem.  So a file that another task reads
 * or writes is left alone.  When a freeze has begun, a flush could not update
 * mtime.
 */
static int ext4_dax_move_window(struct file *file, pgoff_t pgoff)
{
	struct inode *inode = file_inode(file);
	struct super_block *sb = inode->i_sb;
	int err = -EAGAIN;

	if (!(file->f_mode & FMODE_WRITE))
		return -EINVAL;
	if (unlikely(sb_rdonly(sb)))
		return -EROFS;
	sb_start_pagefault(sb);
	if (READ_ONCE(sb->s_writers.frozen) == SB_UNFROZEN &&
	    inode_trylock(inode)) {
		filemap_invalidate_lock(inode->i_mapping);
		err = ext4_dax_move_window_locked(inode, pgoff);
		trace_ext4_dax_relocate(inode, pgoff, err);
		filemap_invalidate_unlock(inode->i_mapping);
		inode_unlock(inode);
	}
	sb_end_pagefault(sb);
	return err;
}

static int ext4_dax_collapse(struct vm_area_struct *vma, unsigned long addr)
{
	bool needs_blocks;
	int err;

	err = __ext4_dax_collapse(vma, addr, &needs_blocks);
	if (!needs_blocks)
		return err;
	err = ext4_dax_move_window(vma->vm_file, linear_page_index(vma, addr));
	if (err)
		return err;
	return ext4_dax_collapse_in_place(vma, addr);
}

/*
 * Making a page writable must mark the entry dirty, so it is a fault as well.
 */
const struct vm_operations_struct ext4_dax_vm_ops = {
	.fault		= ext4_dax_page_fault,
	.huge_fault	= ext4_dax_huge_fault,
	.collapse	= ext4_dax_collapse,
	.page_mkwrite	= ext4_dax_page_fault,
	.pfn_mkwrite	= ext4_dax_page_fault,
};

/**
 * ext4_dax_defer_drop - keep a deleted file while its pages are in use
 * @inode: inode without links and without users
 *
 * The check of a large file may sleep, so the work item does it.  Until then
 * its blocks do not change, and the inode stays on the orphan list.
 *
 * Context: i_lock held.
 * Return: true if the inode has a reference again, and is dropped later.
 */
bool ext4_dax_defer_drop(struct inode *inode)
{
	if (inode->i_nlink || !dax_has_entries(inode) ||
	    !(READ_ONCE(inode->i_sb->s_flags) & SB_ACTIVE) ||
	    ext4_test_inode_state(inode, EXT4_STATE_DAX_IDLE) ||
	    !dax_mapping_in_use(inode->i_mapping))
		return false;

	atomic_inc(&inode->i_count);
	if (!dax_defer(&EXT4_SB(inode->i_sb)->s_dax_defer,
		       &EXT4_I(inode)->i_dax_defer)) {
		atomic_dec(&inode->i_count);
		return false;
	}
	/* otherwise it would be evicted nevertheless */
	inode->i_state &= ~I_DONTCACHE;
	/* it must not prevent a remount read-only */
	atomic_long_dec(&inode->i_sb->s_remove_count);
	return true;
}

static struct inode *ext4_dax_node_inode(struct llist_node *node)
{
	return &llist_entry(node, struct ext4_inode_info, i_dax_defer)->vfs_inode;
}

static bool ext4_dax_node_in_use(struct llist_node *node)
{
	struct inode *inode = ext4_dax_node_inode(node);

	/* on a frozen filesystem, the final iput() would sleep */
	return READ_ONCE(inode->i_sb->s_writers.frozen) != SB_UNFROZEN ||
	       dax_layout_busy_page(inode->i_mapping);
}

static void ext4_dax_node_release(struct llist_node *node)
{
	struct inode *inode = ext4_dax_node_inode(node);

	atomic_long_inc(&inode->i_sb->s_remove_count);
	/* if a file handle was opened meanwhile, new pages may be in use */
	if (atomic_read(&inode->i_count) == 1)
		ext4_set_inode_state(inode, EXT4_STATE_DAX_IDLE);
	iput(inode);
}

static const struct dax_defer_ops ext4_dax_defer_ops = {
	.in_use		= ext4_dax_node_in_use,
	.release	= ext4_dax_node_release,
};

/**
 * ext4_dax_init_defer - initialise the list of deferred inodes
 * @sbi: new superblock
 */
void ext4_dax_init_defer(struct ext4_sb_info *sbi)
{
	dax_defer_init(&sbi->s_dax_defer, &ext4_dax_defer_ops);
}

/**
 * ext4_dax_flush_deferred - free the blocks of deleted files that are idle
 * @sb: superblock
 *
 * Does nothing if the caller has a handle.  An eviction starts its own handle
 * and may wait for a commit, and the commit waits for the caller's handle.
 *
 * Context: Process context; no lock held that an eviction takes.
 * Return: true if space may have been freed.
 */
bool ext4_dax_flush_deferred(struct super_block *sb)
{
	if (journal_current_handle())
		return false;
	return dax_defer_flush(&EXT4_SB(sb)->s_dax_defer);
}

/**
 * ext4_dax_drain - drop all deferred inodes, and stop deferring
 * @sb: superblock that is being unmounted
 *
 * Context: Process context.  Waits for pages in use, for a bounded time.
 */
void ext4_dax_drain(struct super_block *sb)
{
	dax_defer_drain(&EXT4_SB(sb)->s_dax_defer, sb);
}

/**
 * ext4_dax_resume_defer - allow deferring again
 * @sb: superblock that stays mounted
 */
void ext4_dax_resume_defer(struct super_block *sb)
{
	dax_defer_resume(&EXT4_SB(sb)->s_dax_defer);
}

static int ext4_dax_writepages(struct address_space *mapping,
			       struct writeback_control *wbc)
{
	struct inode *inode = mapping->host;
	struct super_block *sb = inode->i_sb;
	long budget = wbc->nr_to_write;
	int nofs, ret;

	if (unlikely(ext4_forced_shutdown(sb)))
		return -EIO;

	nofs = ext4_writepages_down_read(sb);
	trace_ext4_writepages(inode, wbc);
	ret = dax_writeback_mapping_range(mapping, EXT4_SB(sb)->s_daxdev, wbc);
	trace_ext4_writepages_result(inode, wbc, ret,
				     budget - wbc->nr_to_write);
	ext4_writepages_up_read(sb, nofs);

	return ret;
}

const struct address_space_operations ext4_dax_aops = {
	.writepages	= ext4_dax_writepages,
	.dirty_folio	= noop_dirty_folio,
	.bmap		= ext4_bmap,
	.swap_activate	= ext4_iomap_swap_activate,
};
