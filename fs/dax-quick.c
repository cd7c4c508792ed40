// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults that need nothing but a DAX entry.
 *
 * If the range of a fault has a mapped entry, its memory is known.  A fault
 * that changes no blocks has nothing to ask the filesystem then.  It locks the
 * entry, maps the page, and unlocks the entry.  For order 0, it also maps pages
 * around it (dax-around.c).  ->iomap_begin is not called, and a filesystem that
 * needs a transaction for ->iomap_begin starts none.
 *
 *	read		any mapped entry of the order of the fault or larger
 *	write		a mapped entry as above, if no other file can share
 *			blocks of the file; otherwise a dirty 4 KiB entry
 *	MAP_SYNC write	a mapped entry as above, if no other file can share
 *			blocks of the file, and if the metadata of the range are
 *			durable
 *
 * The core asks the filesystem whether the metadata are durable while it holds
 * the entry lock.  A fault that changes the metadata of these blocks holds the
 * lock meanwhile, so the answer covers its change.
 *
 * The entry does not tell whether its memory can be accessed now.  The device
 * may have been removed and a page may be bad since the entry was stored.  So
 * the fault asks the driver, and holds the pgmap until the page is mapped.
 * Another device may have been added at the same place.  So the file must be
 * the owner of the page, see dax-page.c.  If another file owns the page, the
 * fault cannot tell whether the files share it or the device was removed.  It
 * then takes the path of dax-fault.c.
 *
 * A huge write fault on an entry that is by page (dax-dirty.c) falls back here.
 * If no other file can share blocks of the file, the core tries the small fault
 * at once, which saves a second call by mm.
 *
 * A fault that is not served here takes the path of dax-fault.c, which also
 * reports all errors.  A write fault that is not served after
 * dax_grab_mapped() leaves the entry marked dirty.  The only cost is one flush.
 *
 * LOCKS	invalidate_lock (shared) and, for a write, freeze protection;
 *	the caller takes both; then
 *	  entry lock
 *	    i_mmap_rwsem, page table locks
 *	No transaction is open.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/vmstat.h>
#include <linux/xarray_slot.h>

#include "dax-fault.h"
#include "dax-internal.h"
#include "dax-trace.h"

/**
 * __dax_fault_eligible() - Check whether a fault can be served with an order
 * @vmf: The fault.
 * @order: The order, not 0.
 *
 * Checks the address, the VMA and the file size, but not the entries or the
 * extents.
 *
 * Context: Any.  The file size is reliable only under invalidate_lock.
 * Return: DAX_FALLBACK_NONE if it can; otherwise the reason why it cannot.
 */
enum dax_fallback __dax_fault_eligible(const struct vm_fault *vmf,
				       unsigned int order)
{
	const struct vm_area_struct *vma = vmf->vma;
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = round_down(vmf->address, size);
	pgoff_t colour_mask = (1UL << order) - 1;

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
 * dax_fault_fell_back() - End a huge fault that falls back
 * @vmf: The fault.
 * @order: The order that was tried.
 * @ret: What the fault returns.
 * @reason: Why it falls back.
 *
 * Splits a huge mapping, even of the huge zero page, because it would prevent
 * small pages from being mapped.
 *
 * Context: Process context, without the lock of the entry.
 */
void dax_fault_fell_back(struct vm_fault *vmf, unsigned int order,
			 vm_fault_t ret, enum dax_fallback reason)
{
	trace_dax_fault_fallback(vmf, order, reason, (__force int)ret);
	dax_count_fallback(reason);
	if (order != PMD_ORDER || !IS_ENABLED(CONFIG_FS_DAX_PMD))
		return;
	split_huge_pmd(vmf->vma, vmf->pmd, vmf->address);
	count_vm_event(THP_FAULT_FALLBACK);
}

/*
 * dax_map_entry() and dax_fault_known() are compiled once for each order,
 * because they are mostly arithmetic with it.
 */

/*
 * Map the page of the locked @entry, and pages around it if @around.  Returns 0
 * if it cannot be mapped, because the page table does not fit, the device was
 * removed or the page is poisoned.
 */
static __always_inline vm_fault_t
dax_map_entry(struct vm_fault *vmf, unsigned int order, struct xa_state *xas,
	      void *entry, bool write, bool around)
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
	if (write && dax_is_by_page(entry))
		dax_set_page_dirty(entry, xas->xa_index);
	ret = dax_map_pfn(vmf, phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP),
			  order, write);
	if (order == 0 && around && ret == VM_FAULT_NOPAGE)
		dax_map_around(vmf, entry, pgmap, write);
	put_dev_pagemap(pgmap);
	dax_trace_fault_done(vmf, order, ret);
	return ret;
}

/*
 * The range of the locked @entry is better mapped huge.  Map nothing, and make
 * room for a huge page, which the next fault maps.
 */
static noinline vm_fault_t dax_fault_crowded(struct vm_fault *vmf, void *entry)
{
	dax_trace_fault(vmf, 0);
	dax_retract_entry(vmf, entry);
	dax_trace_fault_done(vmf, 0, VM_FAULT_NOPAGE);
	return VM_FAULT_NOPAGE;
}

/*
 * Serve a fault of a range that has a mapped entry.  Returns 0 if the fault was
 * not served.
 */
static __always_inline vm_fault_t
dax_fault_known(struct vm_fault *vmf, unsigned int order, dax_durable_t durable)
{
	struct address_space *mapping = dax_vmf_mapping(vmf);
	pgoff_t index = round_down(vmf->pgoff, 1UL << order);
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = {
		.order		= order,
		.write		= dax_vmf_writes(vmf),
		.unshared	= durable,
		.keep_huge	= dax_vma_tracks_soft_dirty(vmf->vma),
	};
	bool sync = grab.write && (vmf->vma->vm_flags & VM_SYNC);
	vm_fault_t ret = 0;

	if ((sync && !durable) || vmf->cow_page ||
	    vmf->pgoff >= dax_vmf_max_pgoff(vmf) ||
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
	if (unlikely(grab.crowded))
		ret = dax_fault_crowded(vmf, grab.entry);
	else if (!sync || durable(vmf, order))
		ret = dax_map_entry(vmf, order, &xas, grab.entry, grab.write,
				    !grab.write || (durable && !sync));
	dax_unlock_entry(&xas, grab.entry);
	return ret;
}

static noinline vm_fault_t dax_fault_known_pte(struct vm_fault *vmf,
					       dax_durable_t durable)
{
	return dax_fault_known(vmf, 0, durable);
}

static noinline vm_fault_t dax_fault_known_pmd(struct vm_fault *vmf,
					       dax_durable_t durable)
{
	return dax_fault_known(vmf, PMD_ORDER, durable);
}

/*
 * The huge fault writes to an @entry that is by page (dax-dirty.c).  It falls
 * back, and the small fault that would follow is served at once.
 */
static noinline vm_fault_t dax_fault_small_write(struct vm_fault *vmf,
						 void *entry,
						 dax_durable_t durable)
{
	vm_fault_t ret;

	dax_trace_fault(vmf, PMD_ORDER);
	trace_dax_grab_entry(dax_vmf_mapping(vmf), vmf->pgoff, PMD_ORDER, true,
			     entry, DAX_GRAB_REFUSE);
	dax_fault_fell_back(vmf, PMD_ORDER, VM_FAULT_FALLBACK,
			    DAX_FALLBACK_SMALL_WRITES);
	dax_trace_fault_done(vmf, PMD_ORDER, VM_FAULT_FALLBACK);
	ret = durable ? dax_fault_known_pte(vmf, durable) : 0;
	return ret ? ret : VM_FAULT_FALLBACK;
}

/**
 * dax_fault_quick() - Serve a fault without a block lookup, if that is possible
 * @vmf: The fault.
 * @order: The order that mm requests.
 * @dax_dev: The device of the file.
 * @durable: NULL for a read, and for a file that may share blocks with another
 *	file.  Otherwise a function that returns true if the metadata of the
 *	range are durable.  It is called only for MAP_SYNC, with the entry
 *	locked, and must not start a transaction.
 *
 * For a filesystem to call before it starts a transaction.
 *
 * Context: As dax_iomap_fault(), but outside a transaction.  May sleep.
 * Return: What the fault returns; 0 if the filesystem must call
 * dax_iomap_fault().
 */
vm_fault_t dax_fault_quick(struct vm_fault *vmf, unsigned int order,
			   struct dax_device *dax_dev, dax_durable_t durable)
{
	void *entry = xa_peek(&dax_vmf_mapping(vmf)->i_pages, vmf->pgoff);

	/* No lock is held, so this may be outdated. */
	if (!dax_is_known(entry, order))
		return 0;
	/* The memory may belong to another user now. */
	if (dax_remapped(dax_dev))
		return 0;
	if (order == PMD_ORDER && dax_vmf_writes(vmf) &&
	    dax_is_by_page(entry) && !dax_vma_tracks_soft_dirty(vmf->vma))
		return dax_fault_small_write(vmf, entry, durable);
	/* If blocks may be shared, only a dirty 4 KiB entry can be written. */
	if (!durable && dax_vmf_writes(vmf) && dax_entry_order(entry))
		return 0;
	if (order == 0)
		return dax_fault_known_pte(vmf, durable);
	return order == PMD_ORDER ? dax_fault_known_pmd(vmf, durable) : 0;
}
EXPORT_SYMBOL_GPL(dax_fault_quick);
