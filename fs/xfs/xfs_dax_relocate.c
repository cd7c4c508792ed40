// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move the blocks of a DAX file to where a huge page can map them.
 *
 * xfs_dax_alloc.c aligns new blocks.  The blocks of an older file, and those
 * for which no free window was found, stay until MADV_COLLAPSE moves them.
 *
 * A window is moved by a copy on write without a write:
 *
 *	check		All of the window has blocks, none of them shared, and
 *			at least half of them written.
 *	allocate	A free window of the device, in the CoW fork.
 *	flush, unmap	From then on, no page table and no entry points to the
 *			old blocks.
 *	copy		All of it, and flush the copy.
 *	remap		As at the end of a copy on write.
 *
 * Before the remap, the file has its old blocks, and after a crash, the
 * recovery of the CoW fork frees the new ones.  The remap is a transaction for
 * each old extent.  A crash between two of them leaves the file with old and
 * new blocks, which have the same contents.  After an error, the blocks that
 * are left in the CoW fork are freed.
 *
 * Without reflink, the filesystem has no record of the blocks in the CoW fork,
 * and a crash would lose them.  So nothing is moved there.
 *
 * LOCKING	IOLOCK and MMAPLOCK exclusive, for one window at a time: no
 *		read, no write and no fault sees the file in between.  The
 *		caller has made sure that no page of the window is in use.
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
#include "xfs_trans_space.h"
#include "xfs_bmap.h"
#include "xfs_bmap_btree.h"
#include "xfs_bmap_util.h"
#include "xfs_icache.h"
#include "xfs_iomap.h"
#include "xfs_reflink.h"
#include "xfs_dax.h"

#include <linux/dax.h>

/* The blocks of a window, as far as they are known. */
struct xfs_dax_window {
	xfs_fsblock_t	home;		/* where it begins, by the last extent */
	xfs_filblks_t	written;
	bool		huge;		/* they can be mapped by a huge page */
};

/* Add an extent of the window.  Returns an errno if it cannot be moved. */
static int xfs_dax_window_add(struct xfs_inode *ip,
			      struct xfs_dax_window *window,
			      xfs_fileoff_t start, struct xfs_bmbt_irec *irec)
{
	xfs_filblks_t len = irec->br_blockcount;
	xfs_fsblock_t home;
	bool shared = false;
	int error;

	if (!xfs_dax_is_real(irec))
		return -EINVAL;
	error = xfs_reflink_trim_around_shared(ip, irec, &shared);
	if (error)
		return error;
	if (shared || irec->br_blockcount < len)
		return -EINVAL;

	home = irec->br_startblock - (irec->br_startoff - start);
	if (!xfs_dax_is_aligned(ip->i_mount, irec) ||
	    (irec->br_startoff > start && home != window->home))
		window->huge = false;
	window->home = home;
	if (irec->br_state == XFS_EXT_NORM)
		window->written += len;
	return 0;
}

/**
 * xfs_dax_may_relocate - whether the blocks of a window can and need be moved
 * @ip: file
 * @start: first block of the window
 *
 * Another task may have moved them since the caller saw that no huge page can map
 * them.
 *
 * Context: IOLOCK and MMAPLOCK held exclusive.
 * Return: 0 if so; -EALREADY if there is no need; -EINVAL if they cannot be moved;
 * or another negative errno.
 */
int xfs_dax_may_relocate(struct xfs_inode *ip, xfs_fileoff_t start)
{
	struct xfs_mount *mp = ip->i_mount;
	xfs_fileoff_t at = start, end = start + mp->m_dax_align;
	struct xfs_dax_window window = { .huge = true };
	struct xfs_bmbt_irec irec;
	unsigned int lock;
	int nr, error = 0;

	if (!xfs_dax_aligns(ip) || !xfs_has_reflink(mp) ||
	    IS_SWAPFILE(VFS_I(ip)) || XFS_FSB_TO_B(mp, end) > XFS_ISIZE(ip))
		return -EINVAL;
	/* an allocation of a window must not be rounded up */
	if (mp->m_dax_align % xfs_get_cowextsz_hint(ip))
		return -EINVAL;

	lock = xfs_ilock_data_map_shared(ip);
	while (!error && at < end) {
		nr = 1;
		error = xfs_bmapi_read(ip, at, end - at, &irec, &nr, 0);
		if (error)
			break;
		at = irec.br_startoff + irec.br_blockcount;
		error = xfs_dax_window_add(ip, &window, start, &irec);
	}
	xfs_iunlock(ip, lock);
	if (!error && window.written < mp->m_dax_align / 2)
		error = -EINVAL;
	if (!error && window.huge)
		error = -EALREADY;
	return error;
}

/* The new blocks are in the CoW fork, and the old ones in the data fork. */
static int xfs_dax_relocate_iomap_begin(struct inode *inode, loff_t offset,
					loff_t length, unsigned int flags,
					struct iomap *iomap,
					struct iomap *srcmap)
{
	struct xfs_inode *ip = XFS_I(inode);
	xfs_fileoff_t start = XFS_B_TO_FSBT(ip->i_mount, offset);
	xfs_fileoff_t end = XFS_B_TO_FSB(ip->i_mount, offset + length);
	struct xfs_bmbt_irec old, new;
	struct xfs_iext_cursor icur;
	unsigned int lock;
	int nr = 1, error;

	lock = xfs_ilock_data_map_shared(ip);
	error = xfs_bmapi_read(ip, start, end - start, &old, &nr, 0);
	if (!error && (!xfs_iext_lookup_extent(ip, ip->i_cowfp, start, &icur,
					       &new) ||
		       new.br_startoff > start))
		error = -EFSCORRUPTED;
	if (!error)
		error = xfs_bmbt_to_iomap(ip, srcmap, &old, flags, 0, 0);
	if (!error) {
		xfs_trim_extent(&new, old.br_startoff, old.br_blockcount);
		error = xfs_bmbt_to_iomap(ip, iomap, &new, flags,
					  IOMAP_F_SHARED, 0);
	}
	xfs_iunlock(ip, lock);
	return error;
}

static const struct iomap_ops xfs_dax_relocate_iomap_ops = {
	.iomap_begin	= xfs_dax_relocate_iomap_begin,
};

/* Allocate a window in the CoW fork, which has no blocks there. */
static int xfs_dax_allocate_window(struct xfs_inode *ip, xfs_fileoff_t start)
{
	struct xfs_mount *mp = ip->i_mount;
	struct xfs_bmbt_irec irec;
	struct xfs_trans *tp;
	int nr = 1, error;

	error = xfs_trans_alloc_inode(ip, &M_RES(mp)->tr_write,
				      XFS_DIOSTRAT_SPACE_RES(mp, mp->m_dax_align),
				      0, false, &tp);
	if (error)
		return error;
	error = xfs_bmapi_write(tp, ip, start, mp->m_dax_align,
				XFS_BMAPI_COWFORK | XFS_BMAPI_PREALLOC, 0,
				&irec, &nr);
	if (error) {
		xfs_trans_cancel(tp);
	} else {
		xfs_inode_set_cowblocks_tag(ip);
		error = xfs_trans_commit(tp);
	}
	xfs_iunlock(ip, XFS_ILOCK_EXCL);
	if (error)
		return error;
	if (irec.br_blockcount < mp->m_dax_align ||
	    !xfs_dax_is_aligned(mp, &irec))
		return -ENOSPC;
	return 0;
}

/**
 * xfs_dax_take_window - allocate the window that the blocks are moved to
 * @ip: file for which xfs_dax_may_relocate() returned 0
 * @start: first block of the window
 *
 * Context: IOLOCK and MMAPLOCK held exclusive since the check.
 * Return: 0, and the caller must call xfs_dax_relocate() or xfs_dax_free_window();
 * -ENOSPC if the device has no free window; or another negative errno.
 */
int xfs_dax_take_window(struct xfs_inode *ip, xfs_fileoff_t start)
{
	int error;

	xfs_ilock(ip, XFS_ILOCK_EXCL);
	xfs_ifork_init_cow(ip);
	xfs_iunlock(ip, XFS_ILOCK_EXCL);
	/* what an earlier copy on write has left */
	xfs_dax_free_window(ip, start);
	error = xfs_dax_allocate_window(ip, start);
	if (error)
		xfs_dax_free_window(ip, start);
	return error;
}

/**
 * xfs_dax_free_window - free what the CoW fork has of a window
 * @ip: file
 * @start: first block of the window
 *
 * Context: IOLOCK and MMAPLOCK held exclusive.
 */
void xfs_dax_free_window(struct xfs_inode *ip, xfs_fileoff_t start)
{
	struct xfs_mount *mp = ip->i_mount;

	xfs_reflink_cancel_cow_range(ip, XFS_FSB_TO_B(mp, start),
				     XFS_FSB_TO_B(mp, mp->m_dax_align), true);
}

/**
 * xfs_dax_relocate - move the blocks of a window to the one that was allocated
 * @ip: file for which xfs_dax_take_window() returned 0
 * @start: first block of the window
 *
 * The contents and the times of the file do not change.  After an error, the
 * window that was allocated is free again.
 *
 * Context: IOLOCK and MMAPLOCK held exclusive since the window was taken; no page of
 * the old one is in use.
 * Return: 0 or a negative errno.
 */
int xfs_dax_relocate(struct xfs_inode *ip, xfs_fileoff_t start)
{
	xfs_off_t pos = XFS_FSB_TO_B(ip->i_mount, start);
	xfs_off_t len = XFS_FSB_TO_B(ip->i_mount, ip->i_mount->m_dax_align);
	int error;

	error = xfs_flush_unmap_range(ip, pos, len);
	if (!error)
		error = dax_iomap_copy_blocks(VFS_I(ip), pos, len, NULL,
					      &xfs_dax_relocate_iomap_ops);
	if (!error)
		error = xfs_reflink_convert_cow(ip, pos, len);
	if (!error)
		error = xfs_reflink_end_cow(ip, pos, len);
	if (error)
		xfs_dax_free_window(ip, start);
	return error;
}
