// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults for which a DAX entry says all that is needed.
 *
 * If the range of a fault has a mapped entry, its memory is known.  A fault that
 * changes no blocks has nothing to ask the filesystem then: it locks the entry,
 * maps the page and unlocks the entry.  ->iomap_begin is not called, and a
 * filesystem that needs a transaction around it starts none.
 *
 *	read		any mapped entry of the order of the fault or larger
 *	write		the same, if no other file can share blocks of the file;
 *			otherwise, a small entry that is dirty already
 *	MAP_SYNC write	the same, if the metadata of the file are durable
 *
 * The entry does not tell whether its memory can be accessed now.  The device
 * may have been removed and a page may be bad since the entry was stored.  So
 * the fault asks the driver, and holds the pgmap until the page is mapped.
 *
 * A fault that is not served here has changed nothing but the mark of the entry,
 * and takes the path of dax-fault.c.  That path also reports all errors.
 *
 * LOCKS	as in dax-fault.c
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <trace/events/fs_dax.h>

#include "dax-fault.h"
#include "dax-internal.h"
#include "dax-trace.h"

/**
 * dax_trace_fault() - Trace the start of a fault
 * @vmf: The fault.
 * @order: Its order.
 *
 * Context: Any.
 */
void dax_trace_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;

	if (order == 0)
		trace_dax_pte_fault(inode, vmf, 0);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault(inode, vmf, dax_vmf_max_pgoff(vmf), 0);
}

/**
 * dax_trace_fault_done() - Trace the end of a fault
 * @vmf: The fault.
 * @order: Its order.
 * @ret: What it returns.
 *
 * Context: Any.
 */
void dax_trace_fault_done(struct vm_fault *vmf, unsigned int order,
			  vm_fault_t ret)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;
	int result = (__force int)ret;

	if (order == 0)
		trace_dax_pte_fault_done(inode, vmf, result);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault_done(inode, vmf, dax_vmf_max_pgoff(vmf),
					 result);
}

/**
 * dax_fault_eligible() - Check whether a fault can be served with an order
 * @vmf: The fault.
 * @order: The order.
 *
 * Checks the address, the VMA and the file size, but not the entries or the
 * extents.
 *
 * Context: Any.  The file size is reliable only under invalidate_lock.
 * Return: DAX_FALLBACK_NONE if it can; otherwise the reason why it cannot.
 */
enum dax_fallback dax_fault_eligible(const struct vm_fault *vmf,
				     unsigned int order)
{
	const struct vm_area_struct *vma = vmf->vma;
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = round_down(vmf->address, size);
	pgoff_t colour_mask = (1UL << order) - 1;

	if (order == 0)
		return DAX_FALLBACK_NONE;
	if (order != PMD_ORDER || !IS_ENABLED(CONFIG_FS_DAX_PMD))
		return DAX_FALLBACK_UNSUPPORTED;
	/* A huge page must not span two entries of the tree. */
	if ((vmf->pgoff ^ PHYS_PFN(vmf->address)) & colour_mask)
		return DAX_FALLBACK_COLOUR;
	if ((vmf->flags & FAULT_FLAG_WRITE) && !dax_vmf_writes(vmf))
		return DAX_FALLBACK_PRIVATE_WRITE;
	if (addr < vma->vm_start || vma->vm_end - addr < size)
		return DAX_FALLBACK_VMA;
	if ((vmf->pgoff | colour_mask) >= dax_vmf_max_pgoff(vmf))
		return DAX_FALLBACK_EOF;
	return DAX_FALLBACK_NONE;
}

/**
 * dax_map_pfn() - Map file memory
 * @vmf: The fault.
 * @pfn: The first pfn, aligned to @order.
 * @order: The order of the page.
 * @write: Whether to map it writable.
 *
 * Only this function and dax_load_zero() map pages.
 *
 * Context: Process context; the entry is locked and the device kept alive.
 * Return: VM_FAULT_NOPAGE; VM_FAULT_OOM; VM_FAULT_FALLBACK if there are no
 * mappings of @order.
 */
vm_fault_t dax_map_pfn(struct vm_fault *vmf, pfn_t pfn, unsigned int order,
		       bool write)
{
	if (order == 0 && write)
		return vmf_insert_mixed_mkwrite(vmf->vma, vmf->address, pfn);
	if (order == 0)
		return vmf_insert_mixed(vmf->vma, vmf->address, pfn);
	if (order == PMD_ORDER && IS_ENABLED(CONFIG_FS_DAX_PMD))
		return vmf_insert_pfn_pmd(vmf, pfn, write);
	return VM_FAULT_FALLBACK;
}

/*
 * Map the page of the locked @entry.  Returns 0 if it cannot be mapped, because
 * the page table does not fit, the device was removed or the page is poisoned.
 */
static vm_fault_t dax_map_entry(struct vm_fault *vmf, unsigned int order,
				struct xa_state *xas, void *entry, bool write)
{
	unsigned long pfn = dax_entry_pfn_at(entry, xas->xa_index);
	struct address_space *mapping = dax_vmf_mapping(vmf);
	struct dev_pagemap *pgmap;
	vm_fault_t ret;

	if (!dax_page_table_fits(vmf, order))
		return 0;
	pgmap = dax_get_entry_pgmap(xas, entry, xas->xa_index, order);
	if (!pgmap)
		return 0;

	dax_trace_fault(vmf, order);
	trace_dax_grab_entry(mapping, xas->xa_index, order, write, entry,
			     DAX_GRAB_LOCK);
	trace_dax_store_entry(mapping, xas->xa_index, entry, write);
	ret = dax_map_pfn(vmf, phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP),
			  order, write);
	put_dev_pagemap(pgmap);
	dax_trace_fault_done(vmf, order, ret);
	return ret;
}

/**
 * dax_fault_quick() - Serve a fault without the filesystem, if that is possible
 * @vmf: The fault.
 * @order: The order that mm requests.
 * @flags: What the filesystem knows of the file: DAX_QUICK_UNSHARED,
 *	DAX_QUICK_DURABLE.
 *
 * For a filesystem to call before it starts a transaction for a write fault.
 * dax_iomap_fault() itself calls it without flags.
 *
 * Context: Process context, as dax_iomap_fault(), but outside a transaction.
 * May sleep.
 * Return: What the fault returns; 0 if the filesystem must go on to call
 * dax_iomap_fault().
 */
vm_fault_t dax_fault_quick(struct vm_fault *vmf, unsigned int order,
			   unsigned int flags)
{
	struct address_space *mapping = dax_vmf_mapping(vmf);
	pgoff_t index = round_down(vmf->pgoff, 1UL << order);
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = {
		.order		= order,
		.write		= dax_vmf_writes(vmf),
		.unshared	= flags & DAX_QUICK_UNSHARED,
	};
	vm_fault_t ret;

	if (!dax_has_mapped(mapping, index, order) || vmf->cow_page)
		return 0;
	if (grab.write && (vmf->vma->vm_flags & VM_SYNC) &&
	    !(flags & DAX_QUICK_DURABLE))
		return 0;
	if (vmf->pgoff >= dax_vmf_max_pgoff(vmf) ||
	    dax_fault_eligible(vmf, order))
		return 0;
	if (!dax_grab_mapped(&xas, &grab))
		return 0;

	/*
	 * After the mark, as the flusher clears I_DIRTY_PAGES and then looks
	 * for marks.
	 */
	if (grab.dirtied)
		__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);
	ret = dax_map_entry(vmf, order, &xas, grab.entry, grab.write);
	dax_unlock_entry(&xas, grab.entry);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_fault_quick);
