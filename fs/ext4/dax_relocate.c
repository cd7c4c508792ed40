// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move the blocks of a DAX file to where a huge page can map them.
 *
 * dax_alloc.c aligns new blocks.  The blocks of an older file, and those for
 * which no free window was found, stay until MADV_COLLAPSE moves them.
 *
 * A window is moved with the help of a donor, an inode without a name:
 *
 *	check		All of the window has blocks, and at least half of them
 *			are written.
 *	allocate	A free window of the device, for the donor.
 *	flush, unmap	From then on, no page table and no entry points to the
 *			old blocks.
 *	copy		All of it, and flush the copy.
 *	swap		Exchange the extents of the file and of the donor.
 *	free		Drop the donor, which has the old blocks now.
 *
 * Each pair of extents is swapped in a transaction of its own.  A crash between
 * two of them leaves the file with old and new blocks, which have the same
 * contents.  The donor is on the orphan list, so recovery frees its blocks.
 * With data=ordered, blocks that are freed are not used again before the swap
 * is durable.  With data=writeback or without a journal, they may be, so
 * nothing is moved there.
 *
 * Fast commits know nothing of a swap, so each step asks for a full commit.
 *
 * LOCKING	i_rwsem and invalidate_lock exclusive, for one window at a time:
 *		no read, no write and no fault sees the file in between.  Then
 *		the journal handle, and i_data_sem of both inodes.
 */

#include <linux/blkdev.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/pagemap.h>

#include "ext4.h"
#include "ext4_jbd2.h"
#include "ext4_extents.h"
#include "dax.h"

static ext4_lblk_t ext4_dax_window_size(struct inode *inode)
{
	return EXT4_SB(inode->i_sb)->s_dax_align;
}

/* The place of a block in its window of the device. */
static unsigned int ext4_dax_block_place(struct inode *inode, ext4_fsblk_t pblk)
{
	struct ext4_sb_info *sbi = EXT4_SB(inode->i_sb);

	return (pblk + sbi->s_dax_phase) & (sbi->s_dax_align - 1);
}

/* Look up at most @len blocks.  Returns how many there are in one piece. */
static int ext4_dax_look_up(struct inode *inode, ext4_lblk_t lblk,
			    ext4_lblk_t len, struct ext4_map_blocks *map)
{
	int ret;

	*map = (struct ext4_map_blocks) { .m_lblk = lblk, .m_len = len };
	ret = ext4_map_blocks(NULL, inode, map, 0);
	if (ret < 0)
		return ret;
	if (!(map->m_flags & (EXT4_MAP_MAPPED | EXT4_MAP_UNWRITTEN)))
		return -EINVAL;
	return map->m_len;
}

static bool ext4_dax_may_move_blocks_of(struct inode *inode)
{
	return EXT4_SB(inode->i_sb)->s_dax_align && dax_align_enabled() &&
	       ext4_test_inode_flag(inode, EXT4_INODE_EXTENTS) &&
	       !ext4_should_writeback_data(inode) &&
	       !IS_SWAPFILE(inode) && !IS_NOQUOTA(inode);
}

/**
 * ext4_dax_may_relocate - whether the blocks of a window can and need be moved
 * @inode: file
 * @start: first block of the window
 *
 * Another task may have moved them since the caller saw that no huge page can map
 * them.
 *
 * Context: i_rwsem and invalidate_lock held exclusive.
 * Return: 0 if so; -EALREADY if there is no need; -EINVAL if they cannot be moved;
 * or another negative errno.
 */
int ext4_dax_may_relocate(struct inode *inode, ext4_lblk_t start)
{
	ext4_lblk_t size = ext4_dax_window_size(inode), done = 0, written = 0;
	ext4_fsblk_t first = 0;
	bool huge = true;
	int nr;

	if (!ext4_dax_may_move_blocks_of(inode) ||
	    (loff_t)(start + size) << inode->i_blkbits > i_size_read(inode))
		return -EINVAL;

	while (done < size) {
		struct ext4_map_blocks map;

		nr = ext4_dax_look_up(inode, start + done, size - done, &map);
		if (nr < 0)
			return nr;
		if (!done)
			first = map.m_pblk;
		if (ext4_dax_block_place(inode, map.m_pblk) != done ||
		    map.m_pblk != first + done)
			huge = false;
		if (!(map.m_flags & EXT4_MAP_UNWRITTEN))
			written += nr;
		done += nr;
	}
	if (written < size / 2)
		return -EINVAL;
	return huge ? -EALREADY : 0;
}

static void ext4_dax_no_fast_commit(struct inode *inode, handle_t *handle)
{
	ext4_fc_mark_ineligible(inode->i_sb, EXT4_FC_REASON_FALLOC_RANGE,
				handle);
}

/* --- the donor ---------------------------------------------------------------- */

/*
 * An inode without links, as for O_TMPFILE, in the group of the file.  Its blocks
 * count for the owner of the file.
 */
static struct inode *ext4_dax_new_donor(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	uid_t owner[2] = { i_uid_read(inode), i_gid_read(inode) };
	struct inode *donor;
	handle_t *handle;
	int err = 0;

	donor = ext4_new_inode_start_handle(&nop_mnt_idmap, d_inode(sb->s_root),
					    S_IFREG, NULL, inode->i_ino, owner,
					    EXT4_HT_MOVE_EXTENTS,
					    EXT4_MAXQUOTAS_TRANS_BLOCKS(sb) +
					    4 + EXT4_XATTR_TRANS_BLOCKS);
	handle = ext4_journal_current_handle();
	if (!IS_ERR(donor)) {
		/* the allocator aligns blocks of large DAX files */
		inode_set_flags(donor, S_DAX, S_DAX);
		i_size_write(donor, i_size_read(inode));
		clear_nlink(donor);
		err = ext4_orphan_add(handle, donor);
		ext4_dax_no_fast_commit(inode, handle);
		mark_inode_dirty(donor);
		unlock_new_inode(donor);
	}
	if (handle)
		ext4_journal_stop(handle);
	if (err) {
		iput(donor);
		donor = ERR_PTR(err);
	}
	return donor;
}

/*
 * Give the donor a free window of the device.  It is unwritten: a swap changes the
 * blocks of extents, and the file's own extents stay written or unwritten.
 */
static int ext4_dax_fill_donor(struct inode *donor, ext4_lblk_t start)
{
	struct ext4_map_blocks map = {
		.m_lblk	= start,
		.m_len	= ext4_dax_window_size(donor),
	};
	unsigned int len = map.m_len;
	handle_t *handle;
	int ret;

	handle = ext4_journal_start(donor, EXT4_HT_MOVE_EXTENTS,
				    ext4_chunk_trans_blocks(donor, len));
	if (IS_ERR(handle))
		return PTR_ERR(handle);
	ext4_dax_no_fast_commit(donor, handle);
	ret = ext4_map_blocks(handle, donor, &map,
			      EXT4_GET_BLOCKS_CREATE_UNWRIT_EXT);
	ext4_journal_stop(handle);
	if (ret < 0)
		return ret;
	return ret == len && !ext4_dax_block_place(donor, map.m_pblk) ?
		0 : -ENOSPC;
}

/* --- copy --------------------------------------------------------------------- */

static void ext4_dax_set_iomap(struct inode *inode,
			       const struct ext4_map_blocks *map,
			       struct iomap *iomap)
{
	struct ext4_sb_info *sbi = EXT4_SB(inode->i_sb);

	iomap->type = map->m_flags & EXT4_MAP_UNWRITTEN ? IOMAP_UNWRITTEN :
							  IOMAP_MAPPED;
	iomap->flags = 0;
	iomap->dax_dev = sbi->s_daxdev;
	iomap->addr = ((u64)map->m_pblk << inode->i_blkbits) +
		      sbi->s_dax_part_off;
	iomap->offset = (u64)map->m_lblk << inode->i_blkbits;
	iomap->length = (u64)map->m_len << inode->i_blkbits;
}

/* The new blocks are those of the donor, which is the private data of the iter. */
static int ext4_dax_relocate_iomap_begin(struct inode *inode, loff_t offset,
					 loff_t length, unsigned int flags,
					 struct iomap *iomap,
					 struct iomap *srcmap)
{
	const struct iomap_iter *iter =
		container_of(iomap, struct iomap_iter, iomap);
	struct inode *donor = iter->private;
	ext4_lblk_t lblk = offset >> inode->i_blkbits;
	struct ext4_map_blocks old, new;
	int nr;

	nr = ext4_dax_look_up(inode, lblk, length >> inode->i_blkbits, &old);
	if (nr < 0)
		return nr;
	nr = ext4_dax_look_up(donor, lblk, nr, &new);
	if (nr < 0)
		return nr;
	ext4_dax_set_iomap(inode, &old, srcmap);
	ext4_dax_set_iomap(donor, &new, iomap);
	return 0;
}

static const struct iomap_ops ext4_dax_relocate_iomap_ops = {
	.iomap_begin	= ext4_dax_relocate_iomap_begin,
};

/* --- swap --------------------------------------------------------------------- */

/* Swap the extents at @lblk, up to @len blocks.  Returns how many were swapped. */
static int ext4_dax_swap_extent(struct inode *inode, struct inode *donor,
				ext4_lblk_t lblk, ext4_lblk_t len)
{
	struct ext4_map_blocks map;
	handle_t *handle;
	int nr, err = 0;

	nr = ext4_dax_look_up(inode, lblk, len, &map);
	if (nr < 0)
		return nr;
	/* for the metadata of both inodes */
	handle = ext4_journal_start(inode, EXT4_HT_MOVE_EXTENTS,
				    2 * ext4_writepage_trans_blocks(inode));
	if (IS_ERR(handle))
		return PTR_ERR(handle);
	ext4_dax_no_fast_commit(inode, handle);

	ext4_double_down_write_data_sem(inode, donor);
	nr = ext4_swap_extents(handle, inode, donor, lblk, lblk, nr, 0, &err);
	ext4_double_up_write_data_sem(inode, donor);
	/* an fsync, and a MAP_SYNC fault, must commit this */
	if (nr)
		ext4_update_inode_fsync_trans(handle, inode, 1);
	ext4_journal_stop(handle);
	if (err)
		return err;
	return nr ? nr : -EIO;
}

static int ext4_dax_swap_window(struct inode *inode, struct inode *donor,
				ext4_lblk_t start)
{
	ext4_lblk_t size = ext4_dax_window_size(inode), done = 0;
	int nr = 0;

	/* extents can only be swapped of inodes that are locked */
	if (WARN_ON_ONCE(!inode_trylock(donor)))
		return -EIO;
	while (done < size) {
		nr = ext4_dax_swap_extent(inode, donor, start + done,
					  size - done);
		if (nr < 0)
			break;
		done += nr;
	}
	inode_unlock(donor);
	return min(nr, 0);
}

/**
 * ext4_dax_take_window - allocate the window that the blocks are moved to
 * @inode: file for which ext4_dax_may_relocate() returned 0
 * @start: first block of the window
 *
 * Context: i_rwsem and invalidate_lock held exclusive since the check.
 * Return: An inode that has the window, which iput() frees; -ENOSPC if the device
 * has no free window; or another errno.
 */
struct inode *ext4_dax_take_window(struct inode *inode, ext4_lblk_t start)
{
	struct inode *donor = ext4_dax_new_donor(inode);
	int err;

	if (IS_ERR(donor))
		return donor;
	err = ext4_dax_fill_donor(donor, start);
	if (err) {
		iput(donor);
		return ERR_PTR(err);
	}
	return donor;
}

/**
 * ext4_dax_relocate - move the blocks of a window to the one that was allocated
 * @inode: file
 * @donor: from ext4_dax_take_window(); gets the old blocks
 * @start: first block of the window
 *
 * The contents and the times of the file do not change.
 *
 * Context: i_rwsem and invalidate_lock held exclusive since the window was taken;
 * no page of the old one is in use.
 * Return: 0 or a negative errno.
 */
int ext4_dax_relocate(struct inode *inode, struct inode *donor,
		      ext4_lblk_t start)
{
	loff_t pos = (loff_t)start << inode->i_blkbits;
	loff_t last = pos + PMD_SIZE - 1;
	int err;

	err = filemap_write_and_wait_range(inode->i_mapping, pos, last);
	if (err)
		return err;
	truncate_pagecache_range(inode, pos, last);

	err = dax_iomap_copy_blocks(inode, pos, PMD_SIZE, donor,
				    &ext4_dax_relocate_iomap_ops);
	/* the journal may be on another device, and does not flush this one */
	if (!err)
		err = blkdev_issue_flush(inode->i_sb->s_bdev);
	if (!err)
		err = ext4_dax_swap_window(inode, donor, start);
	/* the new blocks hold zeroes where the file had no data */
	if (!err)
		err = ext4_convert_unwritten_extents(NULL, inode, pos,
						     PMD_SIZE);
	ext4_dax_no_fast_commit(inode, NULL);
	return err;
}
