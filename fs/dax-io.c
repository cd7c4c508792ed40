// SPDX-License-Identifier: GPL-2.0-only
/*
 * read(2), write(2) and zeroing on DAX files: memcpy between the caller and the
 * blocks themselves.
 *
 * Faults are not locked out: who maps the file sees a write as it happens.
 * What must not happen is that somebody goes on to see the blocks that were
 * there before, or a zero page.  Where a write gets new blocks, the entries of
 * the range are dropped, with the pages that they map, at the moment from which
 * a fault would find the new blocks:
 *
 *	hole filled	the filesystem shows the new blocks, zeroed, when
 *			->iomap_begin returns: dropped before the copy
 *	blocks shared	until ->iomap_end a read fault finds the old blocks:
 *			dropped after it, but before the copy as well, so
 *			that no store goes to the old ones meanwhile
 *
 * A block that replaces a shared one is complete before ->iomap_end, also
 * around what the caller writes, and also if the caller's buffer ends early.
 *
 * LOCKS	i_rwsem (exclusive to write), then entry locks, one at a time,
 *		inside ->iomap_begin .. ->iomap_end
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>

#include "dax-internal.h"

/* Does the current extent of a write take the place of shared blocks? */
static bool dax_iter_cow(const struct iomap_iter *iter)
{
	return (iter->flags & (IOMAP_WRITE | IOMAP_ZERO)) &&
		(iter->iomap.flags & IOMAP_F_SHARED);
}

static void dax_drop_bytes(const struct iomap_iter *iter,
			   struct dax_device *dax_dev, loff_t pos, u64 len)
{
	dax_drop_range(iter->inode->i_mapping, dax_dev, pos >> PAGE_SHIFT,
		       (pos + len - 1) >> PAGE_SHIFT);
}

/**
 * struct dax_cow - What has to be dropped once ->iomap_end was called
 * @dax_dev: The device, or NULL if there is nothing to drop.
 * @pos: First byte of the range.
 * @len: Its length in bytes.
 */
struct dax_cow {
	struct dax_device *dax_dev;
	loff_t pos;
	u64 len;
};

/*
 * iomap_iter() for those who may write to shared blocks: drops what a fault
 * inserted of the old ones between ->iomap_begin and ->iomap_end.
 */
static int dax_iomap_iter(struct iomap_iter *iter, const struct iomap_ops *ops,
			  struct dax_cow *cow)
{
	int ret = iomap_iter(iter, ops);

	if (cow->dax_dev)
		dax_drop_bytes(iter, cow->dax_dev, cow->pos, cow->len);
	cow->dax_dev = NULL;
	if (ret > 0 && dax_iter_cow(iter)) {
		cow->dax_dev = iter->iomap.dax_dev;
		cow->pos = iter->pos;
		cow->len = iomap_length(iter);
		dax_drop_bytes(iter, cow->dax_dev, cow->pos, cow->len);
	}
	return ret;
}

/*
 * Complete the first page of new blocks up to @pos, and the last one from @end
 * on, with what the file held there.
 */
static int dax_fill_head(const struct iomap_iter *iter, loff_t pos)
{
	return dax_iomap_copy_range(iter, pos & PAGE_MASK, offset_in_page(pos));
}

static int dax_fill_tail(const struct iomap_iter *iter, loff_t end)
{
	return dax_iomap_copy_range(iter, end, PAGE_ALIGN(end) - end);
}

/* Copy at most @len bytes at @pos, as far as memory is contiguous. */
static ssize_t dax_copy_some(const struct iomap_iter *iomi, loff_t pos,
			     size_t len, struct iov_iter *iter)
{
	const struct iomap *iomap = &iomi->iomap;
	struct dax_device *dax_dev = iomap->dax_dev;
	pgoff_t pgoff = dax_iomap_pgoff(iomap, pos);
	bool write = iov_iter_rw(iter) == WRITE;
	bool recover = false;
	size_t copied;
	ssize_t n;
	void *kaddr;

	n = dax_iomap_access(iomap, pos, len, &kaddr);
	if (n == -EHWPOISON && write) {
		/* New data make bad memory good. */
		n = dax_iomap_access_poisoned(iomap, pos, len, &kaddr);
		recover = true;
	}
	if (n < 0)
		return dax_mem2blk_err(n);

	if (recover) {
		copied = dax_recovery_write(dax_dev, pgoff, kaddr, n, iter);
		return copied ? copied : -EIO;
	}
	if (write)
		copied = dax_copy_from_iter(dax_dev, pgoff, kaddr, n, iter);
	else
		copied = dax_copy_to_iter(dax_dev, pgoff, kaddr, n, iter);
	return copied ? copied : -EFAULT;
}

/* Copy until @len bytes are done, or as many as can be.  Bytes or errno. */
static ssize_t dax_copy_extent(const struct iomap_iter *iomi, size_t len,
			       struct iov_iter *iter)
{
	size_t done = 0;
	ssize_t ret = 0;
	int id;

	id = dax_read_lock();
	while (done < len) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ret = dax_copy_some(iomi, iomi->pos + done, len - done, iter);
		if (ret < 0)
			break;
		done += ret;
	}
	dax_read_unlock(id);
	return done ? done : ret;
}

static ssize_t dax_read_extent(const struct iomap_iter *iomi,
			       struct iov_iter *iter)
{
	const struct iomap *iomap = &iomi->iomap;
	loff_t size = i_size_read(iomi->inode);
	u64 len = iomap_length(iomi);

	if (iomi->pos >= size)
		return 0;
	len = min_t(u64, len, size - iomi->pos);

	if (iomap->type == IOMAP_HOLE || iomap->type == IOMAP_UNWRITTEN) {
		len = iov_iter_zero(len, iter);
		return len ? len : -EFAULT;
	}
	if (WARN_ON_ONCE(iomap->type != IOMAP_MAPPED))
		return -EIO;
	return dax_copy_extent(iomi, len, iter);
}

static ssize_t dax_write_extent(const struct iomap_iter *iomi,
				struct iov_iter *iter)
{
	const struct iomap *iomap = &iomi->iomap;
	u64 len = iomap_length(iomi);
	bool cow = dax_iter_cow(iomi);
	ssize_t done;
	int err;

	/* Blocks that are in the file, or are to replace shared ones. */
	if (WARN_ON_ONCE(iomap->type != IOMAP_MAPPED && !cow))
		return -EIO;
	if (!cow) {
		if (iomap->flags & IOMAP_F_NEW)
			dax_drop_bytes(iomi, iomap->dax_dev, iomi->pos, len);
		return dax_copy_extent(iomi, len, iter);
	}

	err = dax_fill_head(iomi, iomi->pos);
	if (err)
		return dax_mem2blk_err(err);
	done = dax_copy_extent(iomi, len, iter);
	if (done <= 0)
		return done;
	err = dax_fill_tail(iomi, iomi->pos + done);
	return err ? dax_mem2blk_err(err) : done;
}

/**
 * dax_iomap_rw() - Read from or write to a DAX file
 * @iocb: The request; ki_pos is advanced by what was done.
 * @iter: Where to copy to or from.
 * @ops: The filesystem's block lookup.
 *
 * A memory error in the middle ends the request early; a write repairs bad
 * memory if the driver can.
 *
 * Context: Process context; i_rwsem held, to write exclusively.  A read on a
 * read-only filesystem may come without it.  May sleep; with IOCB_NOWAIT the
 * filesystem is told not to.
 * Return: Number of bytes, which may be fewer than asked for; 0 at the end of
 * the file; -EFAULT if nothing could be copied from or to the caller; -EIO on
 * a memory error; -EINTR; -EOPNOTSUPP for atomic writes; an errno of @ops.
 */
ssize_t dax_iomap_rw(struct kiocb *iocb, struct iov_iter *iter,
		     const struct iomap_ops *ops)
{
	bool write = iov_iter_rw(iter) == WRITE;
	struct iomap_iter iomi = {
		.inode	= iocb->ki_filp->f_mapping->host,
		.pos	= iocb->ki_pos,
		.len	= iov_iter_count(iter),
		.flags	= IOMAP_DAX,
	};
	struct dax_cow cow = { };
	loff_t done;
	int ret;

	if (!iomi.len)
		return 0;
	if (iocb->ki_flags & IOCB_ATOMIC)
		return -EOPNOTSUPP;
	if (iocb->ki_flags & IOCB_NOWAIT)
		iomi.flags |= IOMAP_NOWAIT;

	if (write) {
		lockdep_assert_held_write(&iomi.inode->i_rwsem);
		iomi.flags |= IOMAP_WRITE;
	} else if (!sb_rdonly(iomi.inode->i_sb)) {
		lockdep_assert_held(&iomi.inode->i_rwsem);
	}

	while ((ret = dax_iomap_iter(&iomi, ops, &cow)) > 0)
		iomi.processed = write ? dax_write_extent(&iomi, iter) :
					 dax_read_extent(&iomi, iter);

	done = iomi.pos - iocb->ki_pos;
	iocb->ki_pos = iomi.pos;
	return done ? done : ret;
}
EXPORT_SYMBOL_GPL(dax_iomap_rw);

/* Zero a part of a page, and make the rest of it complete if it is new. */
static int dax_zero_part(const struct iomap_iter *iter, loff_t pos, size_t len)
{
	void *kaddr;
	ssize_t n;
	int err;

	n = dax_iomap_access(&iter->iomap, pos, len, &kaddr);
	if (n < 0)
		return n;
	memset(kaddr, 0, len);
	dax_flush(iter->iomap.dax_dev, kaddr, len);
	if (!dax_iter_cow(iter))
		return 0;

	err = dax_fill_head(iter, pos);
	return err ? err : dax_fill_tail(iter, pos + len);
}

static int dax_zero_page_part(const struct iomap_iter *iter, loff_t pos,
			      size_t len)
{
	int id, err;

	id = dax_read_lock();
	/* A whole page is the driver's: it clears poison on the way. */
	if (len == PAGE_SIZE)
		err = dax_zero_page_range(iter->iomap.dax_dev,
					  dax_iomap_pgoff(&iter->iomap, pos),
					  1);
	else
		err = dax_zero_part(iter, pos, len);
	dax_read_unlock(id);
	return dax_mem2blk_err(err);
}

static s64 dax_zero_extent(const struct iomap_iter *iter, bool *did_zero)
{
	const struct iomap *srcmap = iomap_iter_srcmap(iter);
	u64 len = iomap_length(iter), done = 0;

	/* Nothing there but zeroes. */
	if (srcmap->type == IOMAP_HOLE || srcmap->type == IOMAP_UNWRITTEN)
		return len;

	while (done < len) {
		loff_t pos = iter->pos + done;
		size_t part = min_t(u64, len - done,
				    PAGE_SIZE - offset_in_page(pos));
		int err = dax_zero_page_part(iter, pos, part);

		if (err)
			return err;
		done += part;
		cond_resched();
	}
	if (did_zero)
		*did_zero = true;
	return len;
}

/**
 * dax_zero_range() - Zero and flush a range of a DAX file
 * @inode: The file.
 * @pos: First byte.
 * @len: Number of bytes.
 * @did_zero: Set to true if anything was not zero by definition; may be NULL.
 * @ops: The filesystem's block lookup.
 *
 * Context: Process context; i_rwsem held exclusively.  May sleep.
 * Return: 0; -EIO on a memory error; an errno of @ops.
 */
int dax_zero_range(struct inode *inode, loff_t pos, loff_t len, bool *did_zero,
		   const struct iomap_ops *ops)
{
	struct iomap_iter iter = {
		.inode	= inode,
		.pos	= pos,
		.len	= len,
		.flags	= IOMAP_DAX | IOMAP_ZERO,
	};
	struct dax_cow cow = { };
	int ret;

	while ((ret = dax_iomap_iter(&iter, ops, &cow)) > 0)
		iter.processed = dax_zero_extent(&iter, did_zero);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_zero_range);

/**
 * dax_truncate_page() - Zero the rest of a block
 * @inode: The file.
 * @pos: First byte to zero; nothing is done if a block starts there.
 * @did_zero: As for dax_zero_range().
 * @ops: The filesystem's block lookup.
 *
 * Context: As dax_zero_range().
 * Return: As dax_zero_range().
 */
int dax_truncate_page(struct inode *inode, loff_t pos, bool *did_zero,
		      const struct iomap_ops *ops)
{
	loff_t end = round_up(pos, i_blocksize(inode));

	if (pos == end)
		return 0;
	return dax_zero_range(inode, pos, end - pos, did_zero, ops);
}
EXPORT_SYMBOL_GPL(dax_truncate_page);
