/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a filesystem extent to an address that the CPU can use.  The functions
 * that each read(2) and write(2) call are inline; the rest, and the rules, are
 * in dax-access.c.
 */
#ifndef _FS_DAX_ACCESS_H
#define _FS_DAX_ACCESS_H

#include <linux/dax.h>
#include <linux/iomap.h>
#include <linux/mm.h>
#include <linux/pfn_t.h>

ssize_t dax_iomap_access_good(const struct iomap *iomap, loff_t pos, size_t len,
			      void **kaddr);
ssize_t dax_iomap_access_poisoned(const struct iomap *iomap, loff_t pos,
				  size_t len, void **kaddr);
int dax_iomap_pfn(const struct iomap *iomap, loff_t pos, size_t size,
		  pfn_t *pfnp);
int dax_iomap_copy_range(const struct iomap_iter *iter, loff_t pos, size_t len);
void dax_flag_source_in_use(struct iomap_iter *iter, loff_t pos, u64 len,
			    bool in_use);

/**
 * dax_iomap_pgoff() - The place of file data on the device
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, within @iomap.
 *
 * Context: Any.
 * Return: The device page offset of the page that holds @pos.
 */
static inline pgoff_t dax_iomap_pgoff(const struct iomap *iomap, loff_t pos)
{
	return PHYS_PFN(iomap->addr + (pos & PAGE_MASK) - iomap->offset);
}

/**
 * dax_iomap_access_mode() - Get the address of file data from the driver
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, within @iomap.
 * @len: How many bytes are wanted from @pos.
 * @mode: The mode of dax_direct_access().
 * @kaddr: Where to put the address of the byte at @pos.
 *
 * Context: Inside dax_read_lock(), for as long as the address is used.
 * Return: How many bytes are valid at @kaddr, at least 1 and at most @len; an
 * errno as dax_iomap_access(), but -EHWPOISON if any page of the range is
 * poisoned.
 */
static inline ssize_t dax_iomap_access_mode(const struct iomap *iomap,
					    loff_t pos, size_t len,
					    enum dax_access_mode mode,
					    void **kaddr)
{
	size_t offset = offset_in_page(pos);
	void *page_addr = NULL;
	long nr_pages;

	nr_pages = dax_direct_access(iomap->dax_dev,
				     dax_iomap_pgoff(iomap, pos),
				     PFN_UP(offset + len), mode, &page_addr,
				     NULL);
	if (nr_pages < 0)
		return nr_pages;
	if (!page_addr)
		return -EFAULT;
	*kaddr = page_addr + offset;
	return min_t(u64, len, PFN_PHYS((u64)nr_pages) - offset);
}

/**
 * dax_iomap_access() - Get the address of file data
 * @iomap: A mapped extent on a DAX device.
 * @pos: File position in bytes, within @iomap.
 * @len: How many bytes are wanted from @pos.
 * @kaddr: Where to put the address of the byte at @pos.
 *
 * Context: Inside dax_read_lock(), for as long as the address is used.
 * Return: How many bytes are valid at @kaddr, at least 1 and at most @len;
 * -EHWPOISON if the memory at @pos is poisoned; -ENXIO if the device has been
 * removed; -EFAULT if the memory has no kernel address; another errno of the
 * driver.
 */
static inline ssize_t dax_iomap_access(const struct iomap *iomap, loff_t pos,
				       size_t len, void **kaddr)
{
	ssize_t ret = dax_iomap_access_mode(iomap, pos, len, DAX_ACCESS, kaddr);

	if (unlikely(ret == -EHWPOISON))
		ret = dax_iomap_access_good(iomap, pos, len, kaddr);
	return ret;
}

#endif /* _FS_DAX_ACCESS_H */
