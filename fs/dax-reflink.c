// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX files that share blocks: unshare one, compare two, and prepare to share;
 * and the copy for a file whose blocks are moved.
 *
 * Two extents that are copied or compared may be in different pieces on their
 * devices.  Each step covers what is contiguous in both.
 *
 * LOCKS	i_rwsem and invalidate_lock (exclusive) of the files, then entry
 *		locks, one at a time, inside ->iomap_begin .. ->iomap_end
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "dax-access.h"
#include "dax-internal.h"

static s64 dax_unshare_extent(struct iomap_iter *iter)
{
	u64 len = iomap_length(iter);
	loff_t start = round_down(iter->pos, PAGE_SIZE);
	loff_t end = round_up(iter->pos + len, PAGE_SIZE);
	bool in_use;
	int err;

	if (!iomap_want_unshare_iter(iter)) {
		/* Not shared, but a hole may have been filled. */
		dax_drop_range(iter->inode->i_mapping, iter->pos, len,
			       DAX_DROP_ZERO);
		return len;
	}

	/* Copy whole blocks, because the new ones have no contents yet. */
	in_use = dax_drop_range(iter->inode->i_mapping, start, end - start,
				DAX_DROP_ALL);
	dax_flag_source_in_use(iter, start, end - start, in_use);
	err = dax_iomap_copy_range(iter, start, end - start);
	return err ? dax_mem2blk_err(err) : len;
}

static int dax_unshare_piece(struct inode *inode, loff_t pos, loff_t len,
			     const struct iomap_ops *ops)
{
	struct dax_walk walk = {
		.kind	= DAX_WALK_UNSHARE,
		.pages	= DIV_ROUND_UP(len, PAGE_SIZE),
	};
	struct iomap_iter iter = {
		.inode	= inode,
		.pos	= pos,
		.len	= len,
		.flags	= IOMAP_WRITE | IOMAP_UNSHARE | IOMAP_DAX,
	};
	int ret;

	while ((ret = iomap_iter(&iter, ops)) > 0)
		iter.processed = dax_unshare_extent(&iter);
	dax_walk_end(&walk, inode->i_mapping);
	return ret;
}

/* The end of the 2 MiB piece that @pos is in (with pages of 4 KiB). */
static loff_t dax_piece_end(loff_t pos)
{
	loff_t size = (loff_t)DAX_WALK_PAGES << PAGE_SHIFT;

	return round_down(pos, size) + size;
}

/*
 * Drop invalidate_lock to allow faults, retake it, and break the layout again.
 */
static int dax_let_faults_in(struct inode *inode, loff_t pos, loff_t end)
{
	filemap_invalidate_unlock(inode->i_mapping);
	cond_resched();
	filemap_invalidate_lock(inode->i_mapping);
	return dax_break_layout(inode, pos, end - 1);
}

/**
 * dax_file_unshare() - Give a file blocks of its own
 * @inode: The file.
 * @pos: First byte of the range.
 * @len: Its length in bytes.  A part beyond the end of the file is ignored.
 * @ops: The filesystem's block lookup, for writing.
 *
 * Allows faults after each 2 MiB, and then breaks the layout of the next 2 MiB.
 * The caller has broken the layout of the first.
 *
 * Context: Process context; i_rwsem and invalidate_lock held exclusively; the
 * latter is dropped in between.  May sleep.
 * Return: 0; -EIO on a memory error; -ERESTARTSYS if a signal came while a page
 * was in use; an errno of @ops.
 */
int dax_file_unshare(struct inode *inode, loff_t pos, loff_t len,
		     const struct iomap_ops *ops)
{
	loff_t size = i_size_read(inode);
	loff_t end = pos + min(len, size - pos);
	loff_t next;
	int ret;

	if (pos < 0 || pos >= size)
		return 0;
	for (; pos < end; pos = next) {
		next = min(end, dax_piece_end(pos));
		ret = dax_unshare_piece(inode, pos, next - pos, ops);
		if (!ret && next < end)
			ret = dax_let_faults_in(inode, next,
						min(end, dax_piece_end(next)));
		if (ret)
			return ret;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(dax_file_unshare);

/**
 * dax_iomap_copy_blocks() - Copy a range to the blocks that will replace its own
 * @inode: The file.
 * @pos: First byte of the range, a multiple of PAGE_SIZE.
 * @len: Its length in bytes, a multiple of PAGE_SIZE.
 * @private: For @ops, in struct iomap_iter.
 * @ops: The filesystem's block lookup.  The iomap has the new blocks, and the
 *	srcmap those of the file.
 *
 * Holes and unwritten extents are copied as zeroes.  The copy is flushed.
 *
 * Context: Process context; i_rwsem and invalidate_lock held exclusively.  The
 * range has no entries.  May sleep.
 * Return: 0; -EIO on a memory error; an errno of @ops.
 */
int dax_iomap_copy_blocks(struct inode *inode, loff_t pos, loff_t len,
			  void *private, const struct iomap_ops *ops)
{
	struct iomap_iter iter = {
		.inode		= inode,
		.pos		= pos,
		.len		= len,
		.flags		= IOMAP_WRITE | IOMAP_DAX,
		.private	= private,
	};
	int ret;

	while ((ret = iomap_iter(&iter, ops)) > 0) {
		u64 length = iomap_length(&iter);

		ret = dax_iomap_copy_range(&iter, iter.pos, length);
		iter.processed = ret ? dax_mem2blk_err(ret) : length;
	}
	return ret;
}
EXPORT_SYMBOL_GPL(dax_iomap_copy_blocks);

/* Does the extent read as zeroes, whatever the device holds? */
static bool dax_reads_zero(const struct iomap *iomap)
{
	return iomap->type == IOMAP_HOLE || iomap->type == IOMAP_UNWRITTEN;
}

/* As dax_iomap_access(), but @kaddr is NULL if the extent reads as zeroes. */
static ssize_t dax_compare_access(const struct iomap_iter *iter, u64 offset,
				  size_t len, void **kaddr)
{
	if (dax_reads_zero(&iter->iomap)) {
		*kaddr = NULL;
		return len;
	}
	return dax_iomap_access(&iter->iomap, iter->pos + offset, len, kaddr);
}

static bool dax_bytes_equal(const void *a, const void *b, size_t len)
{
	if (a && b)
		return !memcmp(a, b, len);
	if (!a && !b)
		return true;
	return !memchr_inv(a ? a : b, 0, len);
}

/*
 * Compare the rest of both current extents.  Returns the number of equal bytes,
 * or an errno.
 */
static s64 dax_compare_extents(const struct iomap_iter *src,
			       const struct iomap_iter *dst, bool *same)
{
	u64 len = min(iomap_length(src), iomap_length(dst)), done = 0;
	const u64 piece = (u64)DAX_WALK_PAGES << PAGE_SHIFT;
	struct dax_walk walk = { .kind = DAX_WALK_COMPARE };
	ssize_t n = 0;
	int id;

	id = dax_read_lock();
	while (done < len && *same) {
		void *a, *b;

		n = dax_compare_access(src, done, min_t(u64, len - done, piece),
				       &a);
		if (n < 0)
			break;
		n = dax_compare_access(dst, done, n, &b);
		if (n < 0)
			break;
		*same = dax_bytes_equal(a, b, n);
		done += n;
		walk.pages = PFN_UP(n);
		dax_walk_end(&walk, src->inode->i_mapping);
		cond_resched();
	}
	dax_read_unlock(id);

	if (n < 0)
		return dax_mem2blk_err(n);
	return *same ? done : 0;
}

/**
 * dax_dedupe_file_range_compare() - Compare two ranges of DAX files
 * @src: One file.
 * @srcoff: Where its range starts, in bytes.
 * @dest: The other file, or the same.
 * @destoff: Where its range starts, in bytes.
 * @len: Length of both ranges in bytes.
 * @is_same: Whether the ranges are equal, if 0 is returned.
 * @ops: The filesystem's block lookup, for reading; both files are on one
 *	filesystem.
 *
 * Holes and unwritten extents compare as zeroes.
 *
 * Context: Process context; i_rwsem and invalidate_lock of both files held
 * exclusively.  May sleep.
 * Return: 0; -EIO on a memory error; an errno of @ops.
 */
int dax_dedupe_file_range_compare(struct inode *src, loff_t srcoff,
				  struct inode *dest, loff_t destoff,
				  loff_t len, bool *is_same,
				  const struct iomap_ops *ops)
{
	struct iomap_iter src_iter = {
		.inode	= src,
		.pos	= srcoff,
		.len	= len,
		.flags	= IOMAP_DAX,
	};
	struct iomap_iter dst_iter = {
		.inode	= dest,
		.pos	= destoff,
		.len	= len,
		.flags	= IOMAP_DAX,
	};
	int src_ret, dst_ret;

	*is_same = true;
	for (;;) {
		src_ret = iomap_iter(&src_iter, ops);
		dst_ret = iomap_iter(&dst_iter, ops);
		if (src_ret <= 0 || dst_ret <= 0)
			break;
		src_iter.processed = dax_compare_extents(&src_iter, &dst_iter,
							 is_same);
		dst_iter.processed = src_iter.processed;
	}

	/* If one iteration has failed, end the extent of the other. */
	if (src_ret > 0)
		iomap_iter(&src_iter, ops);
	if (dst_ret > 0)
		iomap_iter(&dst_iter, ops);
	return src_ret < 0 ? src_ret : min(dst_ret, 0);
}

/**
 * dax_remap_file_range_prep() - Check and prepare a request to share blocks
 * @file_in: The file to share from.
 * @pos_in: Where its range starts, in bytes.
 * @file_out: The file to share to.
 * @pos_out: Where its range starts, in bytes.
 * @len: Length in bytes; 0 means to the end of @file_in; may be shortened.
 * @remap_flags: REMAP_FILE_*.
 * @ops: The filesystem's block lookup, for reading.
 *
 * Context: As dax_dedupe_file_range_compare().
 * Return: 0, with *@len 0 if there is nothing to do; -EBADE if the ranges must
 * be equal and are not; another errno of generic_remap_file_range_prep().
 */
int dax_remap_file_range_prep(struct file *file_in, loff_t pos_in,
			      struct file *file_out, loff_t pos_out,
			      loff_t *len, unsigned int remap_flags,
			      const struct iomap_ops *ops)
{
	return __generic_remap_file_range_prep(file_in, pos_in, file_out,
					       pos_out, len, remap_flags, ops);
}
EXPORT_SYMBOL_GPL(dax_remap_file_range_prep);
