/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of the kernel's definitions, those that stand in headers which cannot be
 * included here, cut down to what the files under test and their tests look at.
 */
#ifndef _DAX_SHIM_DUP_H
#define _DAX_SHIM_DUP_H

#include <linux/bitmap.h>
#include <linux/xarray.h>

typedef unsigned long pgoff_t;

#define PAGECACHE_TAG_DIRTY	XA_MARK_0
#define PAGECACHE_TAG_WRITEBACK	XA_MARK_1
#define PAGECACHE_TAG_TOWRITE	XA_MARK_2

#define for_each_set_bitrange(b, e, addr, size)				\
	for ((b) = find_next_bit(addr, size, 0);			\
	     (b) < (size) &&						\
		((e) = find_next_zero_bit(addr, size, (b) + 1), true);	\
	     (b) = find_next_bit(addr, size, (e) + 1))

struct super_block {
	dev_t s_dev;
};

struct address_space {
	struct inode *host;
	struct xarray i_pages;
	gfp_t gfp_mask;
	unsigned long nrpages;
};

struct inode {
	struct super_block *i_sb;
	struct address_space *i_mapping;
	struct address_space i_data;
};

static inline void address_space_init_once(struct address_space *mapping)
{
	memset(mapping, 0, sizeof(*mapping));
	xa_init_flags(&mapping->i_pages, XA_FLAGS_LOCK_IRQ | XA_FLAGS_ACCOUNT);
}

static inline gfp_t mapping_gfp_mask(const struct address_space *mapping)
{
	return mapping->gfp_mask;
}

static inline void mapping_set_gfp_mask(struct address_space *mapping,
					gfp_t mask)
{
	mapping->gfp_mask = mask;
}

#endif /* _DAX_SHIM_DUP_H */
