// SPDX-License-Identifier: GPL-2.0-only
/*
 * read(2), write(2) and zeroing of DAX files: memcpy between the caller's
 * buffer and the blocks.
 *
 * A process that maps the file sees a write at once.  After the write, no
 * mapping may still show the old blocks or a zero page:
 *
 *	in place	Faults are not excluded.  The filesystem has mapped new,
 *			zeroed blocks into the file when ->iomap_begin returns,
 *			and perhaps more blocks than it reports, as an earlier
 *			call may have converted their neighbours.  So each write
 *			deletes the zero entries of its range before it copies.
 *	shared blocks	New blocks replace the shared ones in ->iomap_end.  A
 *			fault in between would find the old blocks, or fill the
 *			new ones a second time, or take them back.  Faults are
 *			excluded from before ->iomap_begin until after
 *			->iomap_end.
 *
 * The filesystem knows which files may share blocks, and calls
 * dax_iomap_write_shared() for them.  That function writes at most 2 MiB at a
 * time and allows faults in between.
 *
 * While faults are excluded, the caller's buffer must not fault, because it may
 * be a mapping of the same file.  It is faulted in beforehand and copied with
 * page faults disabled.  If it lies in the range that is written, the write
 * itself may unmap it.  The data are then copied to a kernel buffer while
 * faults are allowed, and from there to the file, so each piece makes progress.
 *
 * A block that replaces a shared one is complete before ->iomap_end: the parts
 * around the caller's data are filled, even if the caller's buffer ends early.
 *
 * LOCKS	i_rwsem (exclusive to write)
 *	  invalidate_lock (exclusive), to write to shared blocks
 *	    ->iomap_begin .. ->iomap_end
 *	      entry locks, one at a time
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "dax-access.h"
#include "dax-internal.h"

/*
 * Does the current extent of a write have new blocks in place of shared ones?
 */
static bool dax_iter_cow(const struct iomap_iter *iter)
{
	return (iter->flags & (IOMAP_WRITE | IOMAP_ZERO)) &&
		(iter->iomap.flags & IOMAP_F_SHARED);
}

/* Fill the first page of new blocks up to @pos with the old contents. */
static int dax_fill_head(const struct iomap_iter *iter, loff_t pos)
{
	return dax_iomap_copy_range(iter, pos & PAGE_MASK, offset_in_page(pos));
}

/* Fill the last page of new blocks from @end on with the old contents. */
static int dax_fill_tail(const struct iomap_iter *iter, loff_t end)
{
	return dax_iomap_copy_range(iter, end, PAGE_ALIGN(end) - end);
}

/**
 * struct dax_piece - Contiguous memory for one copy
 * @kaddr: Its address.
 * @len: Its length in bytes.
 * @poisoned: It is poisoned.  New data may repair it; it must not be read.
 */
struct dax_piece {
	void *kaddr;
	ssize_t len;
	bool poisoned;
};

/* These three are inline, because each read(2) and write(2) calls them. */
static __always_inline int dax_get_piece(const struct iomap *iomap, loff_t pos,
					 size_t len, bool write,
					 struct dax_piece *piece)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	piece->poisoned = false;
	piece->len = dax_iomap_access(iomap, pos, len, &piece->kaddr);
	if (unlikely(piece->len == -EHWPOISON) && write) {
		piece->poisoned = true;
		piece->len = dax_iomap_access_poisoned(iomap, pos, len,
						       &piece->kaddr);
	}
	return piece->len < 0 ? dax_mem2blk_err(piece->len) : 0;
}

static __always_inline size_t dax_copy_piece(const struct iomap *iomap,
					     loff_t pos,
					     const struct dax_piece *piece,
					     struct iov_iter *iter)
{
	pgoff_t pgoff = dax_iomap_pgoff(iomap, pos);

	if (piece->poisoned)
		return dax_recovery_write(iomap->dax_dev, pgoff, piece->kaddr,
					  piece->len, iter);
	if (iov_iter_rw(iter) == WRITE)
		return dax_copy_from_iter(iomap->dax_dev, pgoff, piece->kaddr,
					  piece->len, iter);
	return dax_copy_to_iter(iomap->dax_dev, pgoff, piece->kaddr,
				piece->len, iter);
}

/*
 * Copy up to @len bytes from or to the current position of @iomi.  Returns the
 * number of bytes, or an errno if there are none.
 */
static __always_inline ssize_t dax_copy_extent(const struct iomap_iter *iomi,
					       size_t len,
					       struct iov_iter *iter)
{
	bool write = iov_iter_rw(iter) == WRITE;
	size_t done = 0, copied;
	int id, err = 0;

	id = dax_read_lock();
	while (done < len) {
		loff_t pos = iomi->pos + done;
		struct dax_piece piece;

		err = dax_get_piece(&iomi->iomap, pos, len - done, write,
				    &piece);
		if (err)
			break;
		copied = dax_copy_piece(&iomi->iomap, pos, &piece, iter);
		done += copied;
		if (copied < piece.len) {
			/*
			 * With page faults disabled, the caller's buffer may
			 * have faulted.
			 */
			err = piece.poisoned && !pagefault_disabled() ?
				-EIO : -EFAULT;
			break;
		}
	}
	dax_read_unlock(id);
	return done ? done : err;
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

/* Write to blocks that belong to the file already. */
static ssize_t dax_write_in_place(const struct iomap_iter *iomi,
				  struct iov_iter *iter)
{
	struct address_space *mapping = iomi->inode->i_mapping;
	u64 len = iomap_length(iomi);

	/*
	 * A fault that inserts the first entry later calls ->iomap_begin after
	 * us.
	 */
	if (!mapping_empty(mapping))
		dax_drop_range(mapping, iomi->pos, len, DAX_DROP_ZERO);
	return dax_copy_extent(iomi, len, iter);
}

/* Write to blocks that replace shared ones.  Faults are excluded. */
static ssize_t dax_write_cow(struct iomap_iter *iomi, struct iov_iter *iter)
{
	struct address_space *mapping = iomi->inode->i_mapping;
	u64 len = iomap_length(iomi);
	ssize_t done;
	bool in_use;
	int err;

	lockdep_assert_held_write(&mapping->invalidate_lock);

	in_use = dax_drop_range(mapping, iomi->pos, len, DAX_DROP_ALL);
	dax_flag_source_in_use(iomi, iomi->pos, len, in_use);
	err = dax_fill_head(iomi, iomi->pos);
	if (err)
		return dax_mem2blk_err(err);

	done = dax_copy_extent(iomi, len, iter);
	if (done <= 0)
		return done;

	err = dax_fill_tail(iomi, iomi->pos + done);
	return err ? dax_mem2blk_err(err) : done;
}

static ssize_t dax_write_extent(struct iomap_iter *iomi,
				struct iov_iter *iter)
{
	if (dax_iter_cow(iomi))
		return dax_write_cow(iomi, iter);
	if (WARN_ON_ONCE(iomi->iomap.type != IOMAP_MAPPED))
		return -EIO;
	return dax_write_in_place(iomi, iter);
}

static ssize_t dax_write_iter(struct iomap_iter *iomi, struct iov_iter *iter,
			      const struct iomap_ops *ops)
{
	int ret;

	while ((ret = iomap_iter(iomi, ops)) > 0)
		iomi->processed = dax_write_extent(iomi, iter);
	return ret;
}

static ssize_t dax_read_iter(struct iomap_iter *iomi, struct iov_iter *iter,
			     const struct iomap_ops *ops)
{
	int ret;

	while ((ret = iomap_iter(iomi, ops)) > 0)
		iomi->processed = dax_read_extent(iomi, iter);
	return ret;
}

/**
 * dax_iomap_rw() - Read from or write to a DAX file
 * @iocb: The request; ki_pos is advanced by the number of bytes.
 * @iter: The buffer to copy to or from.
 * @ops: The filesystem's block lookup.
 *
 * A memory error in the middle ends the request early.  A write repairs
 * poisoned memory if the driver can.
 *
 * Context: Process context; i_rwsem held, exclusively for a write.  A read on a
 * read-only filesystem may come without it.  For a write to a file that may
 * share blocks, use dax_iomap_write_shared().  May sleep; with IOCB_NOWAIT, the
 * filesystem is called with IOMAP_NOWAIT.
 * Return: Number of bytes, which may be fewer than requested; 0 at the end of
 * the file; -EFAULT if nothing could be copied, because of the caller's buffer
 * or because of a memory error that was not known before; -EIO if it was known;
 * -EINTR; -EAGAIN with IOCB_NOWAIT; -EOPNOTSUPP for atomic writes; an errno of
 * @ops.
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
	loff_t done;
	ssize_t ret;

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

	ret = write ? dax_write_iter(&iomi, iter, ops) :
		      dax_read_iter(&iomi, iter, ops);
	done = iomi.pos - iocb->ki_pos;
	iocb->ki_pos = iomi.pos;
	return done ? done : ret;
}
EXPORT_SYMBOL_GPL(dax_iomap_rw);

/* The size of the kernel buffer. */
#define DAX_BOUNCE	((size_t)SZ_64K)

static int dax_lock_faults_out(struct kiocb *iocb)
{
	struct address_space *mapping = iocb->ki_filp->f_mapping;

	if (!(iocb->ki_flags & IOCB_NOWAIT))
		filemap_invalidate_lock(mapping);
	else if (!down_write_trylock(&mapping->invalidate_lock))
		return -EAGAIN;
	return 0;
}

/*
 * Write all of @iter, at most DAX_WALK_PAGES, with faults excluded.  Returns
 * the number of bytes; -EFAULT if the buffer would have to be faulted in.
 */
static ssize_t dax_write_piece(struct kiocb *iocb, struct iov_iter *iter,
			       const struct iomap_ops *ops)
{
	struct address_space *mapping = iocb->ki_filp->f_mapping;
	struct dax_walk walk = { .kind = DAX_WALK_WRITE };
	ssize_t ret;

	ret = dax_lock_faults_out(iocb);
	if (ret)
		return ret;
	pagefault_disable();
	ret = dax_iomap_rw(iocb, iter, ops);
	pagefault_enable();
	filemap_invalidate_unlock(mapping);

	if (ret > 0)
		walk.pages = DIV_ROUND_UP(ret, PAGE_SIZE);
	dax_walk_end(&walk, mapping);
	return ret;
}

/*
 * Write up to @len bytes through @buf.  Reading the caller's buffer may fault.
 */
static ssize_t dax_write_bounced(struct kiocb *iocb, struct iov_iter *iter,
				 size_t len, const struct iomap_ops *ops,
				 void *buf)
{
	struct kvec kvec = { .iov_base = buf };
	struct iov_iter bounce;
	ssize_t ret;

	kvec.iov_len = copy_from_iter(buf, min(len, DAX_BOUNCE), iter);
	if (!kvec.iov_len)
		return -EFAULT;
	iov_iter_kvec(&bounce, ITER_SOURCE, &kvec, 1, kvec.iov_len);
	ret = dax_write_piece(iocb, &bounce, ops);
	iov_iter_revert(iter, kvec.iov_len - max_t(ssize_t, ret, 0));
	return ret;
}

/* Write up to @len bytes directly from the caller's buffer. */
static ssize_t dax_write_direct(struct kiocb *iocb, struct iov_iter *iter,
				size_t len, const struct iomap_ops *ops)
{
	size_t rest = iov_iter_count(iter) - len;
	ssize_t ret;

	/* It may be faulted in partly: the copy then ends there. */
	if (fault_in_iov_iter_readable(iter, len) == len)
		return -EFAULT;
	iov_iter_truncate(iter, len);
	ret = dax_write_piece(iocb, iter, ops);
	iov_iter_reexpand(iter, iov_iter_count(iter) + rest);
	return ret;
}

/* The number of bytes up to the end of the current 2 MiB piece. */
static size_t dax_piece_len(const struct kiocb *iocb,
			    const struct iov_iter *iter)
{
	size_t size = DAX_WALK_PAGES << PAGE_SHIFT;

	return min(iov_iter_count(iter), size - (iocb->ki_pos & (size - 1)));
}

/**
 * dax_iomap_write_shared() - Write to a DAX file that may share blocks
 * @iocb: The request; ki_pos is advanced by the number of bytes.
 * @iter: The buffer to copy from; it may be a mapping of the file.
 * @ops: The filesystem's block lookup, for writing.
 *
 * As dax_iomap_rw(), but excludes faults, for 2 MiB at a time.
 *
 * Context: Process context; i_rwsem held exclusively, so that no other file can
 * start to share blocks; takes invalidate_lock.  May sleep.
 * Return: As dax_iomap_rw(); -ENOMEM; with IOCB_NOWAIT, -EAGAIN also if
 * invalidate_lock is held.
 */
ssize_t dax_iomap_write_shared(struct kiocb *iocb, struct iov_iter *iter,
			       const struct iomap_ops *ops)
{
	ssize_t ret = 0, done = 0;
	void *buf = NULL;

	while (iov_iter_count(iter)) {
		size_t len = dax_piece_len(iocb, iter);

		if (buf)
			ret = dax_write_bounced(iocb, iter, len, ops, buf);
		else
			ret = dax_write_direct(iocb, iter, len, ops);
		if (ret == -EFAULT && !buf) {
			/* The write itself may unmap its source. */
			buf = kvmalloc(DAX_BOUNCE, GFP_KERNEL);
			if (!buf)
				ret = -ENOMEM;
			else
				continue;
		}
		if (ret <= 0)
			break;
		done += ret;
		cond_resched();
	}
	kvfree(buf);
	return done ? done : ret;
}
EXPORT_SYMBOL_GPL(dax_iomap_write_shared);

/* Zero a part of a page, and fill the rest if its block is new. */
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
	/* The driver zeroes a whole page, and clears poison. */
	if (len == PAGE_SIZE)
		err = dax_zero_page_range(iter->iomap.dax_dev,
					  dax_iomap_pgoff(&iter->iomap, pos),
					  1);
	else
		err = dax_zero_part(iter, pos, len);
	dax_read_unlock(id);
	return dax_mem2blk_err(err);
}

static s64 dax_zero_extent(struct iomap_iter *iter, bool *did_zero)
{
	const struct iomap *srcmap = iomap_iter_srcmap(iter);
	u64 len = iomap_length(iter), done = 0;

	/* It reads as zeroes already. */
	if (srcmap->type == IOMAP_HOLE || srcmap->type == IOMAP_UNWRITTEN)
		return len;
	if (dax_iter_cow(iter)) {
		bool in_use = dax_drop_range(iter->inode->i_mapping, iter->pos,
					     len, DAX_DROP_ALL);

		dax_flag_source_in_use(iter, iter->pos, len, in_use);
	}

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
 * @did_zero: Set to true if anything but holes and unwritten extents was found;
 *	may be NULL.
 * @ops: The filesystem's block lookup.
 *
 * Context: Process context; i_rwsem held exclusively, and invalidate_lock too
 * if blocks may be shared.  May sleep.
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
	int ret;

	if (!len)
		return 0;
	while ((ret = iomap_iter(&iter, ops)) > 0)
		iter.processed = dax_zero_extent(&iter, did_zero);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_zero_range);

/**
 * dax_truncate_page() - Zero the rest of a block
 * @inode: The file.
 * @pos: First byte to zero.  If a block starts there, nothing is zeroed.
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
