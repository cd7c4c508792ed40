/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that dax-around.c, dax-quick.c, dax-fault.c and dax-collapse.c
 * share: the promotion policy, which dax-collapse.c defines, and the steps of a
 * fault.
 */
#ifndef _FS_DAX_FAULT_H
#define _FS_DAX_FAULT_H

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/khugepaged.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/pfn_t.h>
#include <linux/pgtable.h>
#include <trace/events/fs_dax.h>

#include "dax-internal.h"

struct dev_pagemap;
struct iomap_ops;

/**
 * enum dax_policy - When small entries become a large one without a request
 * @DAX_POLICY_OFF: Never.
 * @DAX_POLICY_FAULT: When a huge fault finds them in its range.
 * @DAX_POLICY_EAGER: Also when a 4 KiB fault finds that they fill most of the
 *	range.
 */
enum dax_policy {
	DAX_POLICY_OFF,
	DAX_POLICY_FAULT,
	DAX_POLICY_EAGER,
};

extern enum dax_policy dax_policy;

/*
 * With the policy eager, a fault in the last page of each so many checks whether
 * the range is to be huge, or one in the window around that page.
 */
#define DAX_EAGER_STRIDE	128

/* May a huge fault promote small entries? */
static inline bool dax_promotion_enabled(void)
{
	return READ_ONCE(dax_policy) != DAX_POLICY_OFF;
}

/*
 * The start of the window around the last page of the stride of @pgoff; 0 if
 * the policy is not eager.
 */
static inline pgoff_t dax_eager_window(pgoff_t pgoff, unsigned long window)
{
	if (READ_ONCE(dax_policy) != DAX_POLICY_EAGER)
		return 0;
	return round_down(pgoff | (DAX_EAGER_STRIDE - 1), window);
}

static inline struct address_space *dax_vmf_mapping(const struct vm_fault *vmf)
{
	return vmf->vma->vm_file->f_mapping;
}

/*
 * Does the fault write to the file?  A write to a private mapping only reads
 * it.
 */
static inline bool dax_vmf_writes(const struct vm_fault *vmf)
{
	return (vmf->flags & FAULT_FLAG_WRITE) &&
		(vmf->vma->vm_flags & VM_SHARED);
}

/*
 * Soft-dirty tracking (clear_refs) records stores in the page table.  A page
 * table must stay then, a huge page must not be split, and neither must say that
 * a page was stored to for nothing.
 */
static inline bool dax_vma_tracks_soft_dirty(const struct vm_area_struct *vma)
{
	return IS_ENABLED(CONFIG_MEM_SOFT_DIRTY) &&
		!(vma->vm_flags & VM_SOFTDIRTY);
}

/* The first page offset beyond the end of the file. */
static inline pgoff_t dax_vmf_max_pgoff(const struct vm_fault *vmf)
{
	return DIV_ROUND_UP(i_size_read(dax_vmf_mapping(vmf)->host), PAGE_SIZE);
}

static inline bool dax_pmd_is_huge(pmd_t pmd)
{
	return pmd_trans_huge(pmd) || pmd_devmap(pmd);
}

/*
 * mm checked the page table before it called the fault handler, but the fault
 * has slept since.  Check again with the entry locked.
 */
static inline bool dax_page_table_fits(const struct vm_fault *vmf,
				       unsigned int order)
{
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	return order ? pmd_none(pmd) || dax_pmd_is_huge(pmd) :
		       !dax_pmd_is_huge(pmd);
}

static inline void dax_trace_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;

	if (order == 0)
		trace_dax_pte_fault(inode, vmf, 0);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault(inode, vmf, dax_vmf_max_pgoff(vmf), 0);
}

static inline void dax_trace_fault_done(struct vm_fault *vmf,
					unsigned int order, vm_fault_t ret)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;
	int result = (__force int)ret;

	if (order == 0)
		trace_dax_pte_fault_done(inode, vmf, result);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault_done(inode, vmf, dax_vmf_max_pgoff(vmf),
					 result);
	if (!(ret & (VM_FAULT_ERROR | VM_FAULT_FALLBACK)))
		dax_count_served(order);
}

/*
 * Remove the page tables of the range of @entry in all processes that could map
 * it huge.  The entry is locked, so no DAX fault fills them meanwhile.  Their
 * ptes hold no references or counts, and stores through them are marked in the
 * tree, so they can be dropped.  mm skips page tables that have private pages,
 * and mappings that track soft-dirty pages.
 */
static inline void dax_retract_entry(const struct vm_fault *vmf, void *entry)
{
	retract_page_tables(dax_vmf_mapping(vmf),
			    dax_entry_start(entry, vmf->pgoff));
}

/*
 * Map file memory.  Only this function, dax_load_zero() with its helpers, and
 * dax_around_set_pte() map pages; mm maps the private copies.
 */
static inline vm_fault_t dax_map_pfn(struct vm_fault *vmf, pfn_t pfn,
				     unsigned int order, bool write)
{
	if (order == 0 && write)
		return vmf_insert_mixed_mkwrite(vmf->vma, vmf->address, pfn);
	if (order == 0)
		return vmf_insert_mixed(vmf->vma, vmf->address, pfn);
	if (order == PMD_ORDER && IS_ENABLED(CONFIG_FS_DAX_PMD))
		return vmf_insert_pfn_pmd(vmf, pfn, write);
	return VM_FAULT_FALLBACK;
}

void dax_map_around(struct vm_fault *vmf, void *entry,
		    struct dev_pagemap *pgmap, bool write);
void dax_read_ahead(struct vm_fault *vmf, void *entry,
		    const struct iomap_ops *ops);

enum dax_fallback __dax_fault_eligible(const struct vm_fault *vmf,
				       unsigned int order);

/* Order 0 can always be served. */
static inline enum dax_fallback dax_fault_eligible(const struct vm_fault *vmf,
						   unsigned int order)
{
	return order ? __dax_fault_eligible(vmf, order) : DAX_FALLBACK_NONE;
}

void dax_fault_fell_back(struct vm_fault *vmf, unsigned int order,
			 vm_fault_t ret, enum dax_fallback reason);
vm_fault_t dax_fault_for_collapse(struct vm_fault *vmf, unsigned int order,
				  const struct iomap_ops *ops,
				  enum dax_fallback *reasonp, int *errorp);

#endif /* _FS_DAX_FAULT_H */
