// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX support of XFS.
 *
 * The core (fs/dax.c) copies, maps and flushes; the iomap operations tell it
 * which blocks a range has.  This file has the locks around the calls to the
 * core:
 *
 * inodes    S_DAX is decided when an inode is set up, and never changes while
 *           the inode is in memory.  So mmap can choose the vm_operations for
 *           the life of the mapping.
 * read      IOLOCK shared.
 * write     IOLOCK exclusive; the size grows when the data has been copied.
 * faults    A fault changes the file only if it writes through a shared
 *           mapping.  Only such a fault takes freeze protection, and uses the
 *           operations that allocate and unshare.  All others only read.
 * layouts   No block is freed or moved while a device does DMA to it: callers
 *           break the layout first, and MADV_COLLAPSE moves nothing then.  A
 *           deleted file is kept until its pages are idle, or until an unmount
 *           stops waiting.
 *
 * LOCKING, outermost first:
 *
 *   IOLOCK                            (read, write, truncate; not faults)
 *     mm->mmap_lock
 *       sb_start_pagefault()
 *         MMAPLOCK                    (shared: faults; exclusive: truncate;
 *                                      it is the mapping's invalidate_lock)
 *           DAX entry lock            (in the core)
 *             transaction, ILOCK      (in the iomap operations)
 *
 * MADV_COLLAPSE holds mmap_lock, so it takes the IOLOCK by trylock to move
 * blocks.
 */
#include "xfs.h"
#include "xfs_fs.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_inode.h"
#include "xfs_trans.h"
#include "xfs_inode_item.h"
#include "xfs_trace.h"
#include "xfs_iomap.h"
#include "xfs_aops.h"
#include "xfs_file.h"
#include "xfs_icache.h"
#include "xfs_reflink.h"
#include "xfs_dax.h"

#include <linux/dax.h>

/* How often to poll for an idle page that may become idle without a wakeup. */
#define XFS_DAX_POLL	(HZ / 20)

/* Can the CPU address the data of this kind of file, on this device? */
static bool xfs_inode_supports_dax(struct xfs_inode *ip)
{
	return S_ISREG(VFS_I(ip)->i_mode) &&
	       ip->i_mount->m_sb.sb_blocksize == PAGE_SIZE &&
	       xfs_inode_buftarg(ip)->bt_daxdev;
}

/**
 * xfs_inode_should_enable_dax - whether an inode being set up gets S_DAX
 * @ip: new, or just read from disk
 *
 * Return: true if the file supports DAX, and the mount options or the inode's
 * flag enable it.
 */
bool xfs_inode_should_enable_dax(struct xfs_inode *ip)
{
	struct xfs_mount *mp = ip->i_mount;

	if (xfs_has_dax_never(mp) || !xfs_inode_supports_dax(ip))
		return false;
	return xfs_has_dax_always(mp) || (ip->i_diflags2 & XFS_DIFLAG2_DAX);
}

/**
 * xfs_file_dax_read - read from a DAX file
 * @iocb: file and position
 * @to: buffer to read to
 *
 * Context: Takes the IOLOCK shared.
 * Return: bytes read, or a negative errno.
 */
ssize_t xfs_file_dax_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	ssize_t ret;

	trace_xfs_file_dax_read(iocb, to);

	/* a read of 0 bytes does not change atime */
	if (!iov_iter_count(to))
		return 0;

	ret = xfs_ilock_iocb(iocb, XFS_IOLOCK_SHARED);
	if (ret)
		return ret;
	ret = dax_iomap_rw(iocb, to, &xfs_read_iomap_ops);
	xfs_iunlock(XFS_I(file_inode(file)), XFS_IOLOCK_SHARED);

	file_accessed(file);
	return ret;
}

/*
 * Copies on write have left blocks in the CoW fork.  An allocation that finds no
 * space frees those of other files, but not those of a file that is locked.
 * Free them for the file itself.  The caller holds no MMAPLOCK.  Returns true if
 * a retry may succeed.
 */
static bool xfs_dax_free_left_over(struct xfs_inode *ip, int error)
{
	if ((error != -ENOSPC && error != -EDQUOT) ||
	    !xfs_inode_has_cow_data(ip))
		return false;
	xfs_ilock(ip, XFS_MMAPLOCK_EXCL);
	error = xfs_reflink_cancel_cow_range(ip, 0, NULLFILEOFF, false);
	xfs_iunlock(ip, XFS_MMAPLOCK_EXCL);
	return !error;
}

static ssize_t xfs_dax_write_blocks(struct kiocb *iocb, struct iov_iter *from)
{
	/* under the IOLOCK, the file cannot start to share blocks */
	if (xfs_is_cow_inode(XFS_I(file_inode(iocb->ki_filp))))
		return dax_iomap_write_shared(iocb, from,
					      &xfs_dax_write_iomap_ops);
	return dax_iomap_rw(iocb, from, &xfs_dax_write_iomap_ops);
}

/* The size grows after the data was copied. */
static ssize_t xfs_dax_write_locked(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	loff_t pos = iocb->ki_pos;
	bool again = false;
	ssize_t ret;
	int error;

	trace_xfs_file_dax_write(iocb, from);
	do {
		ret = xfs_dax_write_blocks(iocb, from);
		again = !again && unlikely(ret < 0) &&
			xfs_dax_free_left_over(XFS_I(inode), ret);
	} while (again);
	if (ret <= 0 || pos + ret <= i_size_read(inode))
		return ret;

	i_size_write(inode, pos + ret);
	error = xfs_setfilesize(XFS_I(inode), pos, ret);
	return error ? error : ret;
}

/**
 * xfs_file_dax_write - write to a DAX file
 * @iocb: file and position
 * @from: buffer to write from
 *
 * Context: Takes the IOLOCK exclusive.
 * Return: bytes written, and synced if the file requires it; or a negative
 * errno.
 */
ssize_t xfs_file_dax_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct xfs_inode *ip = XFS_I(file_inode(iocb->ki_filp));
	unsigned int lock_mode = XFS_IOLOCK_EXCL;
	ssize_t ret;

	ret = xfs_ilock_iocb(iocb, lock_mode);
	if (ret)
		return ret;

	/* may drop the lock to wait, and return an error without it */
	ret = xfs_file_write_checks(iocb, from, &lock_mode);
	if (!ret)
		ret = xfs_dax_write_locked(iocb, from);
	if (lock_mode)
		xfs_iunlock(ip, lock_mode);
	if (ret <= 0)
		return ret;

	XFS_STATS_ADD(ip->i_mount, xs_write_bytes, ret);
	return generic_write_sync(iocb, ret);
}

static vm_fault_t xfs_dax_quick_fault(struct vm_fault *vmf, unsigned int order,
				      dax_durable_t durable)
{
	struct xfs_inode *ip = XFS_I(file_inode(vmf->vma->vm_file));

	return dax_fault_quick(vmf, order, xfs_inode_buftarg(ip)->bt_daxdev,
			       durable);
}

/* The file does not change: no freeze protection, no new blocks. */
static vm_fault_t xfs_dax_read_fault(struct vm_fault *vmf, unsigned int order)
{
	struct xfs_inode *ip = XFS_I(file_inode(vmf->vma->vm_file));
	vm_fault_t ret;

	xfs_ilock(ip, XFS_MMAPLOCK_SHARED);
	ret = xfs_dax_quick_fault(vmf, order, NULL);
	/* no pfn is returned: only a write fault can need a sync */
	if (!ret)
		ret = dax_iomap_fault(vmf, order, NULL, NULL,
				      &xfs_read_iomap_ops);
	xfs_iunlock(ip, XFS_MMAPLOCK_SHARED);

	return ret;
}

/* Are the metadata by which the range is found after a power cut durable? */
static bool xfs_dax_durable(struct vm_fault *vmf, unsigned int order)
{
	struct xfs_inode *ip = XFS_I(file_inode(vmf->vma->vm_file));
	pgoff_t end = round_down(vmf->pgoff, 1UL << order) + (1UL << order);
	unsigned int fields;

	if (end > i_size_read(VFS_I(ip)) >> PAGE_SHIFT)
		return false;
	if (!xfs_ipincount(ip))
		return true;
	fields = READ_ONCE(ip->i_itemp->ili_fsync_fields);
	return !(fields & ~XFS_ILOG_TIMESTAMP);
}

/* One attempt; @errorp is set if a fault of order 0 fails. */
static vm_fault_t xfs_dax_try_write_fault(struct vm_fault *vmf,
					  unsigned int order, int *errorp)
{
	struct xfs_inode *ip = XFS_I(file_inode(vmf->vma->vm_file));
	unsigned int lock_mode;
	vm_fault_t ret;
	pfn_t pfn;

	*errorp = 0;
	lock_mode = xfs_ilock_for_write_fault(ip);
	/* a file starts to share blocks under the exclusive MMAPLOCK */
	ret = xfs_dax_quick_fault(vmf, order,
				  xfs_is_cow_inode(ip) ? NULL : xfs_dax_durable);
	if (ret)
		goto unlock;

	ret = dax_iomap_fault(vmf, order, &pfn, errorp,
			      &xfs_dax_write_iomap_ops);
	if (ret & VM_FAULT_NEEDDSYNC)
		ret = dax_finish_sync_fault(vmf, order, pfn);
	else if (!order)
		dax_write_ahead(vmf, ret, &xfs_read_iomap_ops,
				&xfs_dax_write_iomap_ops);
unlock:
	xfs_iunlock(ip, lock_mode);
	return ret;
}

static vm_fault_t xfs_dax_write_fault(struct vm_fault *vmf, unsigned int order)
{
	struct file *file = vmf->vma->vm_file;
	struct xfs_inode *ip = XFS_I(file_inode(file));
	vm_fault_t ret;
	int error;

	sb_start_pagefault(ip->i_mount->m_super);
	file_update_time(file);

	ret = xfs_dax_try_write_fault(vmf, order, &error);
	if ((ret & VM_FAULT_ERROR) && xfs_dax_free_left_over(ip, error))
		ret = xfs_dax_try_write_fault(vmf, order, &error);

	sb_end_pagefault(ip->i_mount->m_super);
	return ret;
}

static vm_fault_t xfs_dax_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct xfs_inode *ip = XFS_I(file_inode(vmf->vma->vm_file));
	bool write_fault;

	write_fault = (vmf->flags & FAULT_FLAG_WRITE) &&
		      (vmf->vma->vm_flags & VM_SHARED);
	trace_xfs_filemap_fault(ip, order, write_fault);

	/* the core may map a page without calling the iomap operations */
	if (xfs_is_shutdown(ip->i_mount))
		return VM_FAULT_SIGBUS;

	/*
	 * updating mtime may need a transaction: do not do it only to fall back
	 */
	if (order && !dax_fault_may_be_huge(vmf, order))
		return VM_FAULT_FALLBACK;

	return write_fault ? xfs_dax_write_fault(vmf, order)
			   : xfs_dax_read_fault(vmf, order);
}

/* Allocates no blocks: like a read, this does not change the file. */
static int __xfs_dax_collapse(struct vm_area_struct *vma, unsigned long addr,
			      bool *needs_blocks)
{
	struct xfs_inode *ip = XFS_I(file_inode(vma->vm_file));
	int error;

	xfs_ilock(ip, XFS_MMAPLOCK_SHARED);
	error = dax_iomap_collapse(vma, addr, &xfs_read_iomap_ops,
				   needs_blocks);
	xfs_iunlock(ip, XFS_MMAPLOCK_SHARED);

	return error;
}

static int xfs_dax_collapse_in_place(struct vm_area_struct *vma,
				     unsigned long addr)
{
	return __xfs_dax_collapse(vma, addr, NULL);
}

static vm_fault_t xfs_dax_page_fault(struct vm_fault *vmf)
{
	vm_fault_t ret = xfs_dax_huge_fault(vmf, 0);

	dax_fault_collapse(vmf, ret, xfs_dax_collapse_in_place);
	return ret;
}

/*
 * Is the memory of blocks in use that no other file shares?  If the memory of a
 * shared block is in use, sets m_dax_left: the other files that share the block
 * must check its memory when they free it.
 */
static bool xfs_dax_in_use(struct xfs_inode *ip, loff_t pos, loff_t end)
{
	loff_t last = VFS_I(ip)->i_sb->s_maxbytes - 1;
	bool own, shared = false;

	own = dax_blocks_in_use(VFS_I(ip), pos, min(end, last) - pos + 1,
				&xfs_read_iomap_ops, &shared);
	if (shared)
		WRITE_ONCE(ip->i_mount->m_dax_left, true);
	return own;
}

/*
 * May pages of the file be in use that it has no entries for?  That is possible
 * if another file that shared them was deleted, or was written to and got a
 * copy.
 */
static bool xfs_dax_has_left_pages(struct xfs_inode *ip)
{
	return IS_DAX(VFS_I(ip)) && xfs_is_reflink_inode(ip) &&
	       READ_ONCE(ip->i_mount->m_dax_left);
}

/* Is such a page of the range in use? */
static bool xfs_dax_left_in_use(struct xfs_inode *ip, loff_t pos, loff_t end)
{
	return xfs_dax_has_left_pages(ip) && xfs_dax_in_use(ip, pos, end);
}

/* Poll, as there is no wakeup.  The caller must not hold the MMAPLOCK. */
static int xfs_dax_wait_left(void)
{
	schedule_timeout_interruptible(XFS_DAX_POLL);
	return signal_pending(current) ? -ERESTARTSYS : 0;
}

/**
 * xfs_dax_break_layout - wait until no device uses the blocks of a range
 * @inode: file whose blocks the caller is about to free
 * @start: first byte of the range
 * @end: last byte; LLONG_MAX for the end of the file
 *
 * Context: IOLOCK and MMAPLOCK held exclusive; the latter is dropped while
 * waiting.
 * Return: 0, or -ERESTARTSYS if a signal is pending.
 */
int xfs_dax_break_layout(struct inode *inode, loff_t start, loff_t end)
{
	struct xfs_inode *ip = XFS_I(inode);
	int error;

	error = dax_break_layout(inode, start, end);
	while (!error && xfs_dax_left_in_use(ip, start, end)) {
		xfs_iunlock(ip, XFS_MMAPLOCK_EXCL);
		error = xfs_dax_wait_left();
		xfs_ilock(ip, XFS_MMAPLOCK_EXCL);
		if (!error)
			error = dax_break_layout(inode, start, end);
	}
	return error;
}

/* The last byte of a range of @len bytes; 0 means to the end of the file. */
static loff_t xfs_dax_last(loff_t pos, loff_t len)
{
	return len ? pos + len - 1 : LLONG_MAX;
}

static struct page *xfs_dax_busy_page(struct xfs_inode *ip, loff_t pos,
				      loff_t end)
{
	return dax_layout_busy_page_range(VFS_I(ip)->i_mapping, pos, end);
}

static void xfs_dax_mmaplock(struct xfs_inode *ip1, struct xfs_inode *ip2)
{
	xfs_ilock(ip1, XFS_MMAPLOCK_EXCL);
	if (ip1 != ip2)
		xfs_ilock(ip2, XFS_MMAPLOCK_EXCL | (1U << XFS_MMAPLOCK_SHIFT));
}

static void xfs_dax_mmapunlock(struct xfs_inode *ip1, struct xfs_inode *ip2)
{
	if (ip1 != ip2)
		xfs_iunlock(ip2, XFS_MMAPLOCK_EXCL);
	xfs_iunlock(ip1, XFS_MMAPLOCK_EXCL);
}

/**
 * xfs_dax_mmaplock_two - lock two files against faults and DMA
 * @ip1: one inode
 * @pos1: first byte of its range
 * @ip2: the other; may be the same, or the only one of the two that is DAX
 * @pos2: first byte of its range
 * @len: length of both ranges; 0 means to the end of each file
 *
 * The lock of the second inode nests inside that of the first and cannot be
 * dropped alone.  If a page is in use, both are dropped, and both files are
 * checked again.
 *
 * Context: IOLOCK of both held exclusive.  May sleep.
 * Return: 0 with the MMAPLOCK of both held exclusive and no page of either
 * range in use; or -ERESTARTSYS if a signal is pending, with neither held.
 */
int xfs_dax_mmaplock_two(struct xfs_inode *ip1, loff_t pos1,
			 struct xfs_inode *ip2, loff_t pos2, loff_t len)
{
	loff_t end1 = xfs_dax_last(pos1, len), end2 = xfs_dax_last(pos2, len);
	struct page *page;
	int error;

	if (ip1->i_ino > ip2->i_ino) {
		swap(ip1, ip2);
		swap(pos1, pos2);
		swap(end1, end2);
	}

	do {
		xfs_dax_mmaplock(ip1, ip2);
		page = xfs_dax_busy_page(ip1, pos1, end1) ?:
		       xfs_dax_busy_page(ip2, pos2, end2);
		if (!page && !xfs_dax_left_in_use(ip1, pos1, end1) &&
		    !xfs_dax_left_in_use(ip2, pos2, end2))
			return 0;
		xfs_dax_mmapunlock(ip1, ip2);
		error = page ? dax_wait_page_idle(VFS_I(ip1), page) :
			       xfs_dax_wait_left();
	} while (!error);

	return error;
}

/* The caller holds the IOLOCK and the MMAPLOCK exclusive. */
static int xfs_dax_move_window_locked(struct xfs_inode *ip, pgoff_t pgoff)
{
	struct inode *inode = VFS_I(ip);
	loff_t pos = (loff_t)pgoff << PAGE_SHIFT, last = pos + PMD_SIZE - 1;
	int error;

	error = xfs_dax_may_relocate(ip, pgoff);
	if (error == -EALREADY)		/* by another task, meanwhile */
		return 0;
	if (!error && dax_stores_tracked(inode->i_mapping, pgoff))
		error = -EBUSY;
	if (!error)
		error = break_layout(inode, false);
	if (!error)
		error = xfs_dax_take_window(ip, pgoff);
	if (error)
		return error;
	if (!xfs_dax_busy_page(ip, pos, last) &&
	    !xfs_dax_left_in_use(ip, pos, last))
		return xfs_dax_relocate(ip, pgoff);
	xfs_dax_free_window(ip, pgoff);
	return -EAGAIN;
}

/*
 * Move the blocks of a huge page, for a process that may write to the file.  The
 * mmap_lock is held, and ranks below the IOLOCK.  So a file that another task
 * reads or writes is left alone.  When a freeze has begun, a flush could not
 * update mtime.
 */
static int xfs_dax_move_window(struct file *file, pgoff_t pgoff)
{
	struct xfs_inode *ip = XFS_I(file_inode(file));
	struct super_block *sb = ip->i_mount->m_super;
	int error = -EAGAIN;

	if (!(file->f_mode & FMODE_WRITE))
		return -EINVAL;
	if (xfs_is_readonly(ip->i_mount))
		return -EROFS;
	sb_start_pagefault(sb);
	if (READ_ONCE(sb->s_writers.frozen) == SB_UNFROZEN &&
	    xfs_ilock_nowait(ip, XFS_IOLOCK_EXCL)) {
		xfs_ilock(ip, XFS_MMAPLOCK_EXCL);
		error = xfs_dax_move_window_locked(ip, pgoff);
		trace_xfs_dax_relocate(ip, pgoff, error);
		xfs_iunlock(ip, XFS_IOLOCK_EXCL | XFS_MMAPLOCK_EXCL);
	}
	sb_end_pagefault(sb);
	return error;
}

static int xfs_dax_collapse(struct vm_area_struct *vma, unsigned long addr)
{
	bool needs_blocks;
	int error;

	error = __xfs_dax_collapse(vma, addr, &needs_blocks);
	if (!needs_blocks)
		return error;
	error = xfs_dax_move_window(vma->vm_file, linear_page_index(vma, addr));
	if (error)
		return error;
	return xfs_dax_collapse_in_place(vma, addr);
}

/*
 * Making a page writable must mark the entry dirty, so it is a fault as well.
 */
const struct vm_operations_struct xfs_dax_vm_ops = {
	.fault		= xfs_dax_page_fault,
	.huge_fault	= xfs_dax_huge_fault,
	.collapse	= xfs_dax_collapse,
	.page_mkwrite	= xfs_dax_page_fault,
	.pfn_mkwrite	= xfs_dax_page_fault,
};

/**
 * xfs_dax_evict_inode - record that pages of a deleted file may be in use
 * @ip: inode that is being evicted, with its entries
 *
 * Context: The caller has the only reference to the inode.  May sleep.
 */
void xfs_dax_evict_inode(struct xfs_inode *ip)
{
	struct inode *inode = VFS_I(ip);

	if (!inode->i_nlink &&
	    (dax_entries_in_use(inode->i_mapping) ||
	     xfs_dax_has_left_pages(ip)))
		xfs_iflags_set(ip, XFS_IDAXUSED);
}

/**
 * xfs_dax_defer_inactive - keep a deleted file while its pages are in use
 * @ip: inode that inodegc is about to inactivate
 *
 * Context: Process context.  May sleep.
 * Return: true if the inode is queued for inodegc again later.
 */
bool xfs_dax_defer_inactive(struct xfs_inode *ip)
{
	if (!xfs_iflags_test(ip, XFS_IDAXUSED))
		return false;
	if (xfs_dax_in_use(ip, 0, LLONG_MAX) &&
	    dax_defer(&ip->i_mount->m_dax_defer, &ip->i_gclist))
		return true;
	xfs_iflags_clear(ip, XFS_IDAXUSED);
	return false;
}

static bool xfs_dax_node_in_use(struct llist_node *node)
{
	struct xfs_inode *ip = llist_entry(node, struct xfs_inode, i_gclist);

	return xfs_dax_in_use(ip, 0, LLONG_MAX);
}

static void xfs_dax_node_release(struct llist_node *node)
{
	struct xfs_inode *ip = llist_entry(node, struct xfs_inode, i_gclist);

	xfs_iflags_clear(ip, XFS_IDAXUSED);
	xfs_inodegc_queue(ip);
}

static const struct dax_defer_ops xfs_dax_defer_ops = {
	.in_use		= xfs_dax_node_in_use,
	.release	= xfs_dax_node_release,
};

/**
 * xfs_dax_init_mount - initialise the list of deferred inodes
 * @mp: new mount
 */
void xfs_dax_init_mount(struct xfs_mount *mp)
{
	dax_defer_init(&mp->m_dax_defer, &xfs_dax_defer_ops);
}

/**
 * xfs_dax_drain - queue all deferred inodes for inodegc, and stop deferring
 * @mp: mount that is being unmounted, or made read-only
 *
 * Context: Process context.  Waits for pages in use, for a bounded time.
 */
void xfs_dax_drain(struct xfs_mount *mp)
{
	dax_defer_drain(&mp->m_dax_defer, mp->m_super);
}

/**
 * xfs_dax_resume_defer - allow deferring again
 * @mp: mount that was read-only, and is writable now
 */
void xfs_dax_resume_defer(struct xfs_mount *mp)
{
	dax_defer_resume(&mp->m_dax_defer);
}

static int xfs_dax_writepages(struct address_space *mapping,
			      struct writeback_control *wbc)
{
	struct xfs_inode *ip = XFS_I(mapping->host);

	xfs_iflags_clear(ip, XFS_ITRUNCATED);
	return dax_writeback_mapping_range(mapping,
			xfs_inode_buftarg(ip)->bt_daxdev, wbc);
}

const struct address_space_operations xfs_dax_aops = {
	.writepages	= xfs_dax_writepages,
	.dirty_folio	= noop_dirty_folio,
	.swap_activate	= xfs_vm_swap_activate,
};
