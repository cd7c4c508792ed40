/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interfaces of the kernel that the headers of a distribution may be too old for.
 */
#ifndef DAXMAP_UAPI_H
#define DAXMAP_UAPI_H

#include <linux/ioctl.h>
#include <linux/stat.h>
#include <linux/types.h>

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX		0x00200000
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN		_IOWR('f', 16, struct pm_scan_arg)

#define PAGE_IS_PRESENT		0x08
#define PAGE_IS_PFNZERO		0x20
#define PAGE_IS_HUGE		0x40

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#endif

#endif /* DAXMAP_UAPI_H */
