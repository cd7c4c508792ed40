// SPDX-License-Identifier: GPL-2.0-only
/*
 * Collapse: map a huge page where small pages of a DAX file are mapped.
 *
 * If a process has a page table for a range, mm sends no huge fault for that
 * range.  Collapse takes the fault path without a fault: on request
 * (MADV_COLLAPSE), or after a 4 KiB fault if the policy says so.  With the
 * entry locked, between the store of the entry and the mapping of the huge
 * page, the fault path removes the page tables of the range in all processes
 * that could map it huge.  mm keeps a page table that has private pages, or
 * that tracks stores.
 *
 * POLICY	fs_dax.promote says when small entries become a large one
 *		without a request: enum dax_policy.
 *
 * LOCKS	mmap_lock or VMA lock, invalidate_lock (shared), then as for a
 *		fault
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/pgalloc.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/xarray_slot.h>

#include "dax-fault.h"
#include "dax-internal.h"
#include "dax-trace.h"

enum dax_policy dax_policy = DAX_POLICY_FAULT;

static const char *const dax_policy_names[] = {
	[DAX_POLICY_OFF]	= "off",
	[DAX_POLICY_FAULT]	= "fault",
	[DAX_POLICY_EAGER]	= "eager",
};

static int dax_policy_set(const char *val, const struct kernel_param *kp)
{
	int policy = sysfs_match_string(dax_policy_names, val);

	if (policy < 0)
		return policy;
	WRITE_ONCE(dax_policy, policy);
	return 0;
}

static int dax_policy_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n",
			  dax_policy_names[READ_ONCE(dax_policy)]);
}

static const struct kernel_param_ops dax_policy_ops = {
	.set = dax_policy_set,
	.get = dax_policy_get,
};

/* The parameter is called fs_dax.promote, whichever file defines it. */
#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "fs_dax."
module_param_cb(promote, &dax_policy_ops, NULL, 0644);
MODULE_PARM_DESC(promote, "When to replace 4 KiB DAX entries by a 2 MiB entry: off, fault, eager");

/* The errno of MADV_COLLAPSE.  -EAGAIN means that a retry may succeed. */
static int dax_collapse_errno(vm_fault_t ret, enum dax_fallback reason,
			      int error)
{
	if ((ret & VM_FAULT_OOM) || error == -ENOMEM)
		return -ENOMEM;
	if (!(ret & VM_FAULT_ERROR))
		return 0;
	if (error == -EAGAIN || error == -EINTR)
		return -EAGAIN;
	switch (reason) {
	case DAX_FALLBACK_ENTRY_LOCKED:
		return -EAGAIN;
	case DAX_FALLBACK_PAGE_TABLE:
		return -EBUSY;
	case DAX_FALLBACK_NO_MEMORY:
	case DAX_FALLBACK_NO_ZERO_PAGE:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

/* Is the place of the blocks the only reason? */
static bool dax_collapse_needs_blocks(enum dax_fallback reason, int err)
{
	return err == -EINVAL && (reason == DAX_FALLBACK_FRAGMENTED ||
				  reason == DAX_FALLBACK_EXTENT_SHORT ||
				  reason == DAX_FALLBACK_MISALIGNED_PFN);
}

/* Find the pmd of @addr or allocate it, as mm does before it calls ->fault. */
static pmd_t *dax_collapse_pmd(struct vm_area_struct *vma, unsigned long addr)
{
	struct mm_struct *mm = vma->vm_mm;
	p4d_t *p4d = p4d_alloc(mm, pgd_offset(mm, addr), addr);
	pud_t *pud = p4d ? pud_alloc(mm, p4d, addr) : NULL;

	return pud ? pmd_alloc(mm, pud, addr) : NULL;
}

static vm_fault_t dax_do_collapse(struct vm_fault *vmf,
				  const struct iomap_ops *ops,
				  enum dax_fallback *reasonp, int *errorp)
{
	vmf->pmd = dax_collapse_pmd(vmf->vma, vmf->address);
	if (!vmf->pmd)
		return VM_FAULT_OOM;
	return dax_fault_for_collapse(vmf, PMD_ORDER, ops, reasonp, errorp);
}

/**
 * dax_iomap_collapse() - Map a huge page where small pages are mapped
 * @vma: A shared mapping of a DAX file.
 * @addr: Start of the range, aligned to PMD_SIZE.
 * @ops: The filesystem's block lookup, for reading.
 * @needs_blocks: Set to true with -EINVAL if the range can be huge as soon as its
 *	blocks are elsewhere, otherwise to false.  May be NULL.
 *
 * Promotes the entries of the range if they are small, and maps the range in
 * the current process.  The mapping is read-only, because the filesystem must
 * be called before the next store.  Removes the page tables of the range in
 * other processes, so that their next fault can be huge.  If the range cannot
 * be huge, its mappings do not change.
 *
 * Context: Process context; mmap_lock or the VMA's lock held for reading, and
 * mapping->invalidate_lock shared.  May sleep.
 * Return: 0, also if the range was mapped huge before; -EAGAIN if other users
 * of the range prevented it; -EBUSY if the page table must stay; -ENOMEM;
 * -EINVAL if the range cannot be huge.
 */
int dax_iomap_collapse(struct vm_area_struct *vma, unsigned long addr,
		       const struct iomap_ops *ops, bool *needs_blocks)
{
	struct vm_fault vmf = {
		.vma		= vma,
		.address	= addr,
		.real_address	= addr,
		.pgoff		= linear_page_index(vma, addr),
	};
	vm_fault_t ret = VM_FAULT_FALLBACK;
	enum dax_fallback reason;
	int err, error = 0;

	if (needs_blocks)
		*needs_blocks = false;
	/* Not VM_SHARED: it is clear if the file was opened read-only. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (dax_vma_tracks_soft_dirty(vma))
		reason = DAX_FALLBACK_PAGE_TABLE;
	else
		reason = dax_fault_eligible(&vmf, PMD_ORDER);
	if (!reason)
		ret = dax_do_collapse(&vmf, ops, &reason, &error);
	err = dax_collapse_errno(ret, reason, error);
	trace_dax_collapse(&vmf, PMD_ORDER, reason, err);
	if (needs_blocks)
		*needs_blocks = dax_collapse_needs_blocks(reason, err);
	return err;
}
EXPORT_SYMBOL_GPL(dax_iomap_collapse);

/**
 * dax_stores_tracked() - Check whether a process tracks its stores to a range
 * @mapping: The mapping of the file.
 * @pgoff: First page offset of the range, which is one huge page long.
 *
 * The soft-dirty bits of a page table are lost if the range is unmapped.
 *
 * Context: Process context.  May sleep.
 * Return: true if so.
 */
bool dax_stores_tracked(struct address_space *mapping, pgoff_t pgoff)
{
	struct vm_area_struct *vma;
	bool tracked = false;

	i_mmap_lock_read(mapping);
	vma_interval_tree_foreach(vma, &mapping->i_mmap, pgoff,
				  pgoff + HPAGE_PMD_NR - 1)
		tracked |= dax_vma_tracks_soft_dirty(vma);
	i_mmap_unlock_read(mapping);
	return tracked;
}
EXPORT_SYMBOL_GPL(dax_stores_tracked);

/* So many pages of a range in mapped entries are enough for a huge page. */
#define DAX_EAGER_DENSE		(1U << (PMD_ORDER - 1))

/*
 * Is this the fault that has mapped the last page of a stride, as its own or
 * around it?  A window has one fault in a process, or a few.
 */
static bool dax_ends_stride(const struct vm_fault *vmf)
{
	pgoff_t last = vmf->pgoff | (DAX_EAGER_STRIDE - 1);

	if (vmf->pgoff == last)
		return true;
	return vmf->pgoff >= dax_eager_window(vmf->pgoff,
					      fault_around_nr_pages()) &&
		dax_is_known(xa_peek(&dax_vmf_mapping(vmf)->i_pages, last), 0);
}

/*
 * A page was missing and is mapped now.  Should its range be mapped huge?  The
 * page offset is checked first, so most faults return at once, and a range that
 * cannot be huge is checked only a few times in each process.
 */
static bool dax_should_collapse(const struct vm_fault *vmf, vm_fault_t ret)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned int order = PMD_ORDER;

	if ((ret & VM_FAULT_ERROR) || vmf->pte || !dax_ends_stride(vmf))
		return false;
	if (order > DAX_PROMOTE_MAX_ORDER ||
	    !(vma->vm_flags & VM_MAYSHARE) || dax_vma_tracks_soft_dirty(vma) ||
	    !thp_vma_allowable_order(vma, vma->vm_flags, TVA_IN_PF, order))
		return false;
	if (dax_fault_eligible(vmf, order) ||
	    dax_is_by_page(xa_peek(&vma->vm_file->f_mapping->i_pages,
				   vmf->pgoff)))
		return false;
	return dax_count_mapped_pages(vma->vm_file->f_mapping, vmf->pgoff,
				      order) >= DAX_EAGER_DENSE;
}

/**
 * dax_fault_collapse() - Map a huge page where small faults have filled a range
 * @vmf: A fault of order 0 that is done.
 * @ret: What it returned.
 * @collapse: As ->collapse, but moves no blocks.
 *
 * For a filesystem with a ->collapse to call at the end of its ->fault.  Does
 * nothing unless fs_dax.promote is eager.  Errors are ignored.
 *
 * Context: Process context, as for the fault; no lock of the file and no
 * transaction is held.  May sleep.
 */
void dax_fault_collapse(const struct vm_fault *vmf, vm_fault_t ret,
			dax_collapse_t collapse)
{
	if (READ_ONCE(dax_policy) == DAX_POLICY_EAGER &&
	    dax_should_collapse(vmf, ret))
		collapse(vmf->vma, vmf->address & PMD_MASK);
}
EXPORT_SYMBOL_GPL(dax_fault_collapse);
