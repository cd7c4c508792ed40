// SPDX-License-Identifier: GPL-2.0-only
/*
 * The address of file data: from a filesystem extent to a kernel address.
 *
 * A device may be made of several pieces (dm-linear, dm-stripe), so a range
 * that is contiguous in the file and in the extent need not be contiguous in
 * memory.  Each function that returns an address also returns how many bytes
 * are valid there, and copies proceed piece by piece.
 *
 * An address is valid only inside dax_read_lock().  The caller of a function
 * that returns an address or a pfn takes this lock, and holds it until it has
 * used the result.  The functions that copy take the lock themselves; it nests.
 *
 * New blocks that replace shared ones are filled before the filesystem maps
 * them into the file.  The source may have been durable long before, so the
 * copy is flushed at once instead of at the next fsync.
 */

#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pfn_t.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

#include "dax-access.h"
#include "dax-internal.h"

/* The most to copy between two calls of cond_resched(). */
#define DAX_COPY_CHUNK	((size_t)SZ_2M)

/**
 * dax_iomap_access_good() - Get the address of the data before a poisoned page
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, within @iomap.
 * @len: How many bytes were requested from @pos.
 * @kaddr: Where to put the address of the byte at @pos.
 *
 * One poisoned page in the range makes dax_direct_access() return -EHWPOISON
 * for all of it.  This function then requests the first page alone.
 *
 * Context: Inside dax_read_lock(), for as long as the address is used.
 * Return: As dax_iomap_access().
 */
ssize_t dax_iomap_access_good(const struct iomap *iomap, loff_t pos, size_t len,
			      void **kaddr)
{
	size_t page_len = PAGE_SIZE - offset_in_page(pos);

	if (len <= page_len)
		return -EHWPOISON;
	return dax_iomap_access_mode(iomap, pos, page_len, DAX_ACCESS, kaddr);
}

/**
 * dax_iomap_access_poisoned() - Get the address of poisoned memory to overwrite
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, within @iomap.
 * @len: How many bytes are to be written from @pos.
 * @kaddr: Where to put the address, for dax_recovery_write() only.
 *
 * For a write after dax_iomap_access() has returned -EHWPOISON.
 *
 * Context: Inside dax_read_lock(), for as long as the address is used.
 * Return: How many bytes may be passed to dax_recovery_write(); an errno of the
 * driver.
 */
ssize_t dax_iomap_access_poisoned(const struct iomap *iomap, loff_t pos,
				  size_t len, void **kaddr)
{
	return dax_iomap_access_mode(iomap, pos, len, DAX_RECOVERY_WRITE,
				     kaddr);
}

/**
 * dax_iomap_pfn() - Get the pfn of file data that are contiguous in memory
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, a multiple of PAGE_SIZE.
 * @size: Number of bytes, a multiple of PAGE_SIZE.
 * @pfnp: Where to put the first pfn.
 *
 * Context: Inside dax_read_lock(), for as long as the pages are used.
 * Return: 0; -ERANGE if the device is not contiguous over @size bytes;
 * -EHWPOISON, -ENXIO or another errno of the driver.
 */
int dax_iomap_pfn(const struct iomap *iomap, loff_t pos, size_t size,
		  pfn_t *pfnp)
{
	pgoff_t nr_pages = PHYS_PFN(size);
	long avail;

	avail = dax_direct_access(iomap->dax_dev, dax_iomap_pgoff(iomap, pos),
				  nr_pages, DAX_ACCESS, NULL, pfnp);
	if (avail < 0)
		return avail;
	return avail < nr_pages ? -ERANGE : 0;
}

/* Copy @len bytes at @pos of @iomap, which may be several pieces in memory. */
static int dax_copy_pieces(const struct iomap *iomap, loff_t pos, void *dst,
			   size_t len)
{
	while (len) {
		void *src;
		ssize_t n = dax_iomap_access(iomap, pos, len, &src);

		if (n < 0)
			return n;
		if (copy_mc_to_kernel(dst, src, n))
			return -EHWPOISON;
		pos += n;
		dst += n;
		len -= n;
	}
	return 0;
}

/*
 * Fill @dst with the data of the srcmap at @pos, or with zeroes if it is a hole
 * or unwritten, and flush it.
 */
static int dax_fill(const struct iomap_iter *iter, loff_t pos, size_t len,
		    void *dst)
{
	int ret = 0;

	if (iter->srcmap.type == IOMAP_MAPPED)
		ret = dax_copy_pieces(&iter->srcmap, pos, dst, len);
	else
		memset(dst, 0, len);
	if (!ret)
		dax_flush(iter->iomap.dax_dev, dst, len);
	return ret;
}

/**
 * dax_iomap_copy_range() - Fill new blocks with the old contents of the file
 * @iter: The iteration.  The current extent has the new blocks, and its srcmap
 *	has the old data, or says that there are none.
 * @pos: File position in bytes, within the current extent.
 * @len: Number of bytes; may be 0.
 *
 * Copies the old data, or zeroes the new blocks if there are none, and flushes.
 *
 * Context: Process context; takes dax_read_lock().  May sleep.
 * Return: 0; -EHWPOISON if the source cannot be read; -ENXIO if the device was
 * removed; another errno of the driver.  On error the new blocks are undefined.
 */
int dax_iomap_copy_range(const struct iomap_iter *iter, loff_t pos, size_t len)
{
	int id, ret = 0;

	id = dax_read_lock();
	while (len) {
		void *dst;
		ssize_t n = dax_iomap_access(&iter->iomap, pos,
					     min(len, DAX_COPY_CHUNK), &dst);

		if (n < 0) {
			ret = n;
			break;
		}
		ret = dax_fill(iter, pos, n, dst);
		if (ret)
			break;
		pos += n;
		len -= n;
		cond_resched();
	}
	dax_read_unlock(id);
	return ret;
}

/**
 * dax_flag_source_in_use() - Report to the filesystem that a source is in use
 * @iter: The iteration.  The current extent has the new blocks, and its srcmap
 *	has the old ones, which are not mapped any more.
 * @pos: File position in bytes, within the current extent.
 * @len: Number of bytes.
 * @in_use: A page of the entries that were deleted for the copy is in use.
 *
 * The old blocks leave the file while their memory is in use, or stay in it
 * without an entry by which a layout break would find them.  Another file may
 * share them, and must not free them yet.  Sets IOMAP_F_SRC_IN_USE.
 *
 * Context: Process context.
 */
void dax_flag_source_in_use(struct iomap_iter *iter, loff_t pos, u64 len,
			    bool in_use)
{
	const struct iomap *srcmap = &iter->srcmap;
	long nr = PFN_UP(offset_in_page(pos) + len);

	if (!in_use && srcmap->type == IOMAP_MAPPED)
		in_use = dax_memory_in_use(srcmap->dax_dev,
					   dax_iomap_pgoff(srcmap, pos), nr);
	if (in_use)
		iter->iomap.flags |= IOMAP_F_SRC_IN_USE;
}
