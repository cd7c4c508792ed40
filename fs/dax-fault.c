// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults on DAX files.
 *
 * There is one path for all orders.  The order decides the alignment, which
 * faults are eligible, and which page table call maps the result, and nothing
 * else:
 *
 *	eligible?	address, VMA, file size: can this order be mapped here?
 *	grab		lock the entry: from here to its unlock nobody else
 *			faults on, writes back or deletes this part of the file
 *	raced?		mm looked at the page table before it called us
 *	known?		the entry says it all, for a page that is in use: map it
 *	iomap_begin	which blocks; may allocate; again for the next extent if
 *			the fault goes on in it and so do the blocks
 *	  store		what the entry says from now on, and that it is dirty
 *	  map		the page table, last
 *	iomap_end	always, and told of 0 bytes if nothing was stored
 *	unlock		or delete, where the entry is in the way
 *
 * If the grab has promoted smaller entries, they come back in place of the
 * unlock unless something was stored.  What they had mapped stays mapped, so
 * long as it is the same memory; only zero pages have to go.
 *
 * A fault of a larger order that cannot be served falls back: it leaves the
 * page table in a state in which the next smaller order can finish, and says
 * why in the dax_fault_fallback event.  Nothing is lost by it but the size.
 *
 * LOCKS	freeze protection, invalidate_lock (shared), the filesystem's
 *		transaction, all taken by the caller, then
 *		  entry lock
 *		    iomap_begin .. iomap_end, i_mmap_rwsem, page table locks
 *
 * This is the only file of the core that speaks vm_fault_t and page tables.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/iomap.h>
#include <linux/khugepaged.h>
#include <linux/memcontrol.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/pgalloc.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>
#include <trace/events/fs_dax.h>

#include "dax-access.h"
#include "dax-fault.h"
#include "dax-internal.h"
#include "dax-trace.h"

/**
 * struct dax_fault - A fault, and the current attempt to serve it
 * @request: What does not change from attempt to attempt.
 * @vmf: The fault.
 * @order: The order of the page to map.
 * @pfnp: For MAP_SYNC: where to put a pfn that must not be mapped before an
 *	fsync.
 * @collapse: Remove a page table that is in the way.
 * @dropped_in_use: An entry that an attempt deleted had a page in use.
 * @reason: The reason for the fallback.
 * @attempt: What each attempt starts anew.
 * @error: The errno, if there was an error.
 * @xas: The place of the entry in the mapping.
 * @entry: The entry without the lock bit.  The fault holds its lock.
 * @promotion: The smaller entries that @entry has replaced, until it is certain
 *	that they are not restored.
 * @found_dirty: @entry was dirty when it was locked.
 * @drop_entry: Delete @entry instead of unlocking it.
 * @iomap_called: ->iomap_begin was called, and may have allocated blocks.
 * @need_sync: An earlier extent has metadata that are not durable.
 * @extent_kind: The kind of the earlier extents, or DAX_EMPTY if there are none.
 * @pfn: The pfn of the start of the range, if @extent_kind is DAX_MAPPED.
 * @iter: The iteration over the extents of the range.
 */
struct dax_fault {
	struct_group_tagged(dax_fault_request, request,
		struct vm_fault		*vmf;
		unsigned int		order;
		pfn_t			*pfnp;
		bool			collapse;
		bool			dropped_in_use;
		enum dax_fallback	reason;
	);
	struct_group_tagged(dax_fault_attempt, attempt,
		int			error;
		struct xa_state		xas;
		void			*entry;
		struct dax_promotion	*promotion;
		bool			found_dirty;
		bool			drop_entry;
		bool			iomap_called;
		bool			need_sync;
		enum dax_kind		extent_kind;
		pfn_t			pfn;
		struct iomap_iter	iter;
	);
};

static struct address_space *dax_vmf_mapping(const struct vm_fault *vmf)
{
	return vmf->vma->vm_file->f_mapping;
}

/* Does the fault write to the file?  A private write only reads from it. */
static bool dax_vmf_writes(const struct vm_fault *vmf)
{
	return (vmf->flags & FAULT_FLAG_WRITE) &&
		(vmf->vma->vm_flags & VM_SHARED);
}

/* The first page offset behind the end of the file. */
static pgoff_t dax_vmf_max_pgoff(const struct vm_fault *vmf)
{
	return DIV_ROUND_UP(i_size_read(dax_vmf_mapping(vmf)->host), PAGE_SIZE);
}

/* Give the order up; @reason is traced when the fault is done. */
static vm_fault_t dax_fault_fallback(struct dax_fault *df,
				     enum dax_fallback reason)
{
	df->reason = reason;
	return VM_FAULT_FALLBACK;
}

/* Fall back if there is a smaller order to fall back to, else fail. */
static vm_fault_t dax_fault_error(struct dax_fault *df, int error,
				  enum dax_fallback reason)
{
	df->error = error;
	return df->order ? dax_fault_fallback(df, reason) : vmf_error(error);
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
	/* A huge page table entry must not straddle two entries of the tree. */
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

#ifdef CONFIG_FS_DAX_PMD
/*
 * Make way for smaller pages.  What was mapped huge, be it only the huge zero
 * page, would keep them from being mapped for ever.
 */
static void dax_split_huge(struct vm_fault *vmf)
{
	split_huge_pmd(vmf->vma, vmf->pmd, vmf->address);
	count_vm_event(THP_FAULT_FALLBACK);
}

/*
 * Map the huge zero page, unless the page table has filled up meanwhile: a
 * fault in another thread of this process need not have met our entry lock if
 * it made a private page.
 */
static vm_fault_t dax_map_zero_pmd(struct dax_fault *df, struct folio *folio,
				   pgtable_t pgtable)
{
	struct vm_fault *vmf = df->vmf;
	struct mm_struct *mm = vmf->vma->vm_mm;
	vm_fault_t ret = VM_FAULT_NOPAGE;
	spinlock_t *ptl = pmd_lock(mm, vmf->pmd);
	pmd_t pmd;

	if (pmd_none(*vmf->pmd)) {
		if (pgtable) {
			pgtable_trans_huge_deposit(mm, vmf->pmd, pgtable);
			mm_inc_nr_ptes(mm);
			pgtable = NULL;
		}
		pmd = mk_pmd(&folio->page, vmf->vma->vm_page_prot);
		set_pmd_at(mm, vmf->address & PMD_MASK, vmf->pmd,
			   pmd_mkhuge(pmd));
	} else if (!is_huge_zero_pmd(*vmf->pmd)) {
		ret = dax_fault_fallback(df, DAX_FALLBACK_PAGE_TABLE);
	}
	spin_unlock(ptl);

	if (pgtable)
		pte_free(mm, pgtable);
	return ret;
}

static vm_fault_t dax_load_huge_zero(struct dax_fault *df, struct folio **folio)
{
	struct mm_struct *mm = df->vmf->vma->vm_mm;
	pgtable_t pgtable = NULL;

	/* The reference belongs to the mm, which puts it when it exits. */
	*folio = mm_get_huge_zero_folio(mm);
	if (!*folio)
		return dax_fault_fallback(df, DAX_FALLBACK_NO_ZERO_PAGE);
	if (arch_needs_pgtable_deposit()) {
		pgtable = pte_alloc_one(mm);
		if (!pgtable)
			return dax_fault_fallback(df, DAX_FALLBACK_NO_MEMORY);
	}
	return dax_map_zero_pmd(df, *folio, pgtable);
}
#else
static void dax_split_huge(struct vm_fault *vmf)
{
}

static vm_fault_t dax_load_huge_zero(struct dax_fault *df, struct folio **folio)
{
	*folio = NULL;
	return dax_fault_fallback(df, DAX_FALLBACK_UNSUPPORTED);
}
#endif /* CONFIG_FS_DAX_PMD */

static vm_fault_t dax_load_zero(struct dax_fault *df)
{
	struct vm_fault *vmf = df->vmf;
	struct inode *inode = df->iter.inode;
	struct folio *folio;
	vm_fault_t ret;

	if (df->order == 0) {
		pfn_t pfn = pfn_to_pfn_t(my_zero_pfn(vmf->address));

		ret = vmf_insert_mixed(vmf->vma, vmf->address, pfn);
		trace_dax_load_hole(inode, vmf, (__force int)ret);
		return ret;
	}

	ret = dax_load_huge_zero(df, &folio);
	if (ret & VM_FAULT_FALLBACK)
		trace_dax_pmd_load_hole_fallback(inode, vmf, folio, df->entry);
	else
		trace_dax_pmd_load_hole(inode, vmf, folio, df->entry);
	return ret;
}

/* Map file memory.  With dax_load_zero(), all that knows page table levels. */
static vm_fault_t dax_map_pfn(struct vm_fault *vmf, pfn_t pfn,
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

static bool dax_pmd_is_huge(pmd_t pmd)
{
	return pmd_trans_huge(pmd) || pmd_devmap(pmd);
}

/*
 * mm found the page table fit for this order before it called us, and then we
 * slept.  Is it still, with the entry locked?
 */
static bool dax_page_table_fits(const struct vm_fault *vmf, unsigned int order)
{
	pmd_t pmd = pmdp_get_lockless(vmf->pmd);

	return order ? pmd_none(pmd) || dax_pmd_is_huge(pmd) :
		       !dax_pmd_is_huge(pmd);
}

static vm_fault_t dax_fault_raced(struct dax_fault *df)
{
	if (dax_page_table_fits(df->vmf, df->order) || df->collapse)
		return 0;
	/* Somebody mapped all of it.  If that is not enough, mm comes back. */
	if (df->order == 0)
		return VM_FAULT_NOPAGE;
	return dax_fault_fallback(df, DAX_FALLBACK_PAGE_TABLE);
}

/*
 * May the store be seen before the metadata that lead to it are durable?  Not
 * through a MAP_SYNC mapping: that promises that they are.
 */
static bool dax_fault_is_sync(const struct dax_fault *df)
{
	return (df->iter.flags & IOMAP_WRITE) &&
		(df->vmf->vma->vm_flags & VM_SYNC) &&
		(df->need_sync || (df->iter.iomap.flags & IOMAP_F_DIRTY));
}

/* Are the blocks of @new those that the small entries had, where they had any? */
static bool dax_same_blocks(const struct dax_promotion *promotion, void *new)
{
	return promotion->nr_mapped && dax_is_mapped(new) &&
		promotion->pfn == dax_entry_pfn(new);
}

/*
 * What the small entries had mapped may stay, if it is the same memory.  Zero
 * pages may not, if there are blocks; nor may anything if it is other memory.
 */
static void dax_fault_unmap_promoted(struct dax_fault *df, void *new)
{
	const struct dax_promotion *promotion = df->promotion;

	if (promotion->nr_mapped && !dax_same_blocks(promotion, new))
		dax_unmap_entry(dax_vmf_mapping(df->vmf), df->xas.xa_index,
				df->entry);
	else if (dax_is_mapped(new))
		dax_unmap_promoted_zero(&df->xas, promotion);
}

/*
 * The entry does not say what the filesystem says.  See to it that it can be
 * replaced by @new, and that no page table says what it said.  Returns false if
 * it cannot be: it is larger than @new, or it has blocks, and perhaps marks,
 * and @new has none.  Then it has to go, and the fault to be repeated; but not
 * before ->iomap_end, or the next to lock this range would meet blocks that
 * the filesystem is about to take back from us.
 */
static bool dax_fault_prepare_replace(struct dax_fault *df, void *new)
{
	if (dax_entry_order(df->entry) > df->order ||
	    (dax_is_mapped(df->entry) && !dax_is_mapped(new))) {
		df->drop_entry = true;
		return false;
	}
	if (df->promotion)
		dax_fault_unmap_promoted(df, new);
	else if (!dax_is_empty(df->entry))
		dax_unmap_entry(dax_vmf_mapping(df->vmf), df->xas.xa_index,
				df->entry);
	return true;
}

/* The pages of @new belong to the file now; those of what was there do not. */
static void dax_fault_reassociate(struct dax_fault *df, void *new)
{
	struct address_space *mapping = dax_vmf_mapping(df->vmf);
	pgoff_t index = df->xas.xa_index;
	const unsigned long *associated = NULL;

	if (!df->promotion)
		dax_disassociate_entry(df->entry, mapping, index);
	else if (dax_same_blocks(df->promotion, new))
		associated = df->promotion->mapped;
	else
		dax_disassociate_promoted(df->promotion, mapping, index);
	dax_associate_entry(new, mapping, index, associated);
}

/*
 * Make the entry say @new, unless it does, and mark it if the store that is to
 * come makes it dirty.  From here on the blocks are in use: even if they cannot
 * be mapped in the end, the filesystem must not take them back.
 */
static void dax_fault_store(struct dax_fault *df, void *new)
{
	struct address_space *mapping = dax_vmf_mapping(df->vmf);
	struct xa_state *xas = &df->xas;
	bool write = df->iter.flags & IOMAP_WRITE;
	bool dirty = write && !dax_fault_is_sync(df);
	/* What a write gets in place of shared blocks is its own. */
	bool shared = !write && (df->iter.iomap.flags & IOMAP_F_SHARED);

	if (shared)
		dax_share_read_lock();
	xas_reset(xas);
	xas_lock_irq(xas);
	if (dax_entry_covers(df->entry, new, xas->xa_index)) {
		xas_load(xas);
		if (dax_is_mapped(new))
			dax_adopt_pages(xas, df->entry, df->vmf->pgoff);
	} else {
		dax_fault_reassociate(df, new);
		dax_replace_entry(xas, df->entry, new);
		df->entry = new;
	}
	if (dirty)
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
	trace_dax_store_entry(mapping, xas->xa_index, df->entry, dirty);
	xas_unlock_irq(xas);
	if (shared)
		dax_share_read_unlock();
	/* After the mark: the flusher clears this and then looks for marks. */
	if (dirty)
		__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);
	if (df->promotion)
		dax_finish_promotion(xas, df->promotion);
	df->promotion = NULL;
	df->iter.processed = iomap_length(&df->iter);
}

/*
 * A collapse is about to map what the entry says.  Take away the page tables
 * of the range: of this process, and of all others that could map it huge.  The
 * entry is locked, so nobody fills one meanwhile.  What the ptes map is not
 * counted anywhere, and marked dirty in the tree, so nothing else has to be
 * done for them; and what is huge already, or can never be, stays mapped.  mm
 * leaves alone page tables with private pages, and those of a process that asks
 * to which pages it has stored.
 */
static vm_fault_t dax_fault_retract_page_tables(struct dax_fault *df)
{
	if (!df->collapse)
		return 0;
	retract_page_tables(dax_vmf_mapping(df->vmf), df->xas.xa_index);
	if (!dax_page_table_fits(df->vmf, df->order))
		return dax_fault_fallback(df, DAX_FALLBACK_PAGE_TABLE);
	return 0;
}

/* A hole or an unwritten extent is read. */
static vm_fault_t dax_fault_hole(struct dax_fault *df)
{
	void *new = dax_make_zero(df->order);
	vm_fault_t ret;

	/* The fs does not know blocks that are mapped: not for us to judge. */
	if (df->promotion && df->promotion->nr_mapped)
		return dax_fault_fallback(df, DAX_FALLBACK_FRAGMENTED);
	if (!dax_entry_covers(df->entry, new, df->xas.xa_index) &&
	    !dax_fault_prepare_replace(df, new))
		return VM_FAULT_NOPAGE;

	dax_fault_store(df, new);
	ret = dax_fault_retract_page_tables(df);
	return ret ? ret : dax_load_zero(df);
}

/*
 * The pfn that the whole range starts at, if the current extent is all that
 * stands behind it, or goes on where the last one ended.
 */
static vm_fault_t dax_fault_pfn(struct dax_fault *df, pfn_t *pfnp)
{
	const struct iomap_iter *iter = &df->iter;
	pgoff_t offset = PHYS_PFN(iter->pos) - df->xas.xa_index;
	pfn_t pfn;
	int err;

	err = dax_iomap_pfn(&iter->iomap, iter->pos, iomap_length(iter), &pfn);
	if (err)
		return dax_fault_error(df, err, err == -ERANGE ?
				       DAX_FALLBACK_DEVICE_SHORT :
				       DAX_FALLBACK_DEVICE_ERROR);
	pfn.val -= offset;
	if (df->extent_kind == DAX_MAPPED && pfn.val != df->pfn.val)
		return dax_fault_fallback(df, DAX_FALLBACK_EXTENT_SHORT);
	/* More than a pte needs struct pages that GUP may take. */
	if (df->order && (!IS_ALIGNED(pfn_t_to_pfn(pfn), 1UL << df->order) ||
			  !pfn_t_devmap(pfn)))
		return dax_fault_fallback(df, DAX_FALLBACK_MISALIGNED_PFN);
	*pfnp = pfn;
	return 0;
}

/*
 * The last part of a range has its pages, and their device stays until they are
 * mapped.  Are those of the parts before it on the same one?
 */
static bool dax_fault_on_one_device(const struct dax_fault *df, pfn_t pfn)
{
	return df->extent_kind != DAX_MAPPED ||
		dax_pfns_on_device(pfn_t_to_pfn(pfn), 1UL << df->order);
}

/*
 * If the extent of a write has new blocks in place of shared ones, fill them.
 * The source is not mapped any more, so it does not change during the copy.
 */
static vm_fault_t dax_fault_copy_shared(struct dax_fault *df, void *new)
{
	struct iomap_iter *iter = &df->iter;
	u64 len = iomap_length(iter);
	int err;

	if (!(iter->flags & IOMAP_WRITE) ||
	    !(iter->iomap.flags & IOMAP_F_SHARED))
		return 0;
	/* An earlier copy is in use: do not overwrite stores to it. */
	if (df->promotion && dax_same_blocks(df->promotion, new))
		return dax_fault_fallback(df, DAX_FALLBACK_EXTENT_TYPE);
	dax_flag_source_in_use(iter, iter->pos, len, df->dropped_in_use);
	err = dax_iomap_copy_range(iter, iter->pos, len);
	if (err)
		return dax_fault_error(df, err, DAX_FALLBACK_DEVICE_ERROR);
	return 0;
}

/* Map the blocks of the extent.  The caller keeps the device alive. */
static vm_fault_t __dax_fault_mapped(struct dax_fault *df)
{
	bool write = df->iter.flags & IOMAP_WRITE;
	vm_fault_t ret;
	void *new;
	pfn_t pfn;

	ret = dax_fault_pfn(df, &pfn);
	if (ret)
		return ret;
	if (!dax_fault_on_one_device(df, pfn))
		return dax_fault_fallback(df, DAX_FALLBACK_DEVICE_SHORT);
	if (dax_fault_is_sync(df) && WARN_ON_ONCE(!df->pfnp))
		return VM_FAULT_SIGBUS;

	new = dax_make_mapped(pfn_t_to_pfn(pfn), df->order);
	if (!dax_entry_covers(df->entry, new, df->xas.xa_index)) {
		if (!dax_fault_prepare_replace(df, new))
			return VM_FAULT_NOPAGE;
		/* Copy before the entry or a page table points to the copy. */
		ret = dax_fault_copy_shared(df, new);
		if (ret)
			return ret;
	}
	dax_fault_store(df, new);

	if (dax_fault_is_sync(df)) {
		*df->pfnp = pfn;
		return VM_FAULT_NEEDDSYNC;
	}
	ret = dax_fault_retract_page_tables(df);
	if (ret)
		return ret;
	return dax_map_pfn(df->vmf, pfn, df->order, write);
}

static vm_fault_t dax_fault_mapped(struct dax_fault *df)
{
	vm_fault_t ret;
	int id;

	id = dax_read_lock();
	ret = __dax_fault_mapped(df);
	dax_read_unlock(id);
	return ret;
}

/* Copy one page of the file into the private page that mm has allocated. */
static int dax_copy_cow_page(struct dax_fault *df)
{
	const struct iomap *iomap = &df->iter.iomap;
	struct vm_fault *vmf = df->vmf;
	ssize_t len;
	int id, err = 0;
	void *src, *dst;

	switch (iomap->type) {
	case IOMAP_HOLE:
	case IOMAP_UNWRITTEN:
		clear_user_highpage(vmf->cow_page, vmf->address);
		return 0;
	case IOMAP_MAPPED:
		break;
	default:
		WARN_ON_ONCE(1);
		return -EIO;
	}

	id = dax_read_lock();
	len = dax_iomap_access(iomap, df->iter.pos, PAGE_SIZE, &src);
	if (len < 0) {
		err = len;
	} else {
		dst = kmap_local_page(vmf->cow_page);
		if (copy_mc_to_kernel(dst, src, PAGE_SIZE))
			err = -EHWPOISON;
		kunmap_local(dst);
	}
	dax_read_unlock(id);
	return err;
}

/* A private write: mm maps the copy, and the entry stays as it is. */
static vm_fault_t dax_fault_cow_page(struct dax_fault *df)
{
	struct vm_fault *vmf = df->vmf;
	vm_fault_t ret;
	int err;

	err = dax_copy_cow_page(df);
	if (err)
		return vmf_error(err);

	__folio_mark_uptodate(page_folio(vmf->cow_page));
	df->iter.processed = PAGE_SIZE;
	ret = finish_fault(vmf);
	return ret ? ret : VM_FAULT_DONE_COW;
}

/*
 * One extent of several.  Unwritten and written blocks, or those of two extents
 * that are full, may well be one run in memory; so may two holes.  Not if they
 * are shared: to give up after some were copied would leave small entries that
 * say where the old ones are, and an entry is shared as a whole or not at all.
 */
static vm_fault_t dax_fault_partial_extent(struct dax_fault *df,
					   enum dax_kind kind)
{
	u64 len = iomap_length(&df->iter);
	vm_fault_t ret;

	/* Less than a block is a filesystem out of its mind. */
	if (WARN_ON_ONCE(!len || !IS_ALIGNED(len, PAGE_SIZE)))
		return dax_fault_error(df, -EIO, DAX_FALLBACK_EXTENT_SHORT);
	if (df->iter.iomap.flags & IOMAP_F_SHARED)
		return dax_fault_fallback(df, DAX_FALLBACK_EXTENT_SHORT);
	if (kind == DAX_MAPPED) {
		ret = dax_fault_pfn(df, &df->pfn);
		if (ret)
			return ret;
	}
	if (dax_fault_is_sync(df))
		df->need_sync = true;
	df->extent_kind = kind;
	df->iter.processed = len;
	return 0;
}

/* One extent, which does for all of the fault, or for its last part, or not. */
static vm_fault_t dax_fault_iter(struct dax_fault *df)
{
	const struct iomap *iomap = &df->iter.iomap;
	bool write = df->iter.flags & IOMAP_WRITE;
	enum dax_kind kind;

	if (df->order == 0 && df->vmf->cow_page)
		return dax_fault_cow_page(df);

	if (!write &&
	    (iomap->type == IOMAP_HOLE || iomap->type == IOMAP_UNWRITTEN)) {
		kind = DAX_ZERO;
	} else if (iomap->type == IOMAP_MAPPED ||
		   (iomap->flags & IOMAP_F_SHARED)) {
		kind = DAX_MAPPED;
	} else {
		/* A write must get blocks, zeroed, or an error. */
		WARN_ON_ONCE(1);
		return dax_fault_error(df, -EIO, DAX_FALLBACK_EXTENT_TYPE);
	}
	if (df->extent_kind != DAX_EMPTY &&
	    (df->extent_kind != kind || (iomap->flags & IOMAP_F_SHARED)))
		return dax_fault_fallback(df, DAX_FALLBACK_EXTENT_SHORT);

	if (iomap_length(&df->iter) < df->iter.len)
		return dax_fault_partial_extent(df, kind);
	return kind == DAX_ZERO ? dax_fault_hole(df) : dax_fault_mapped(df);
}

static vm_fault_t dax_fault_account_major(struct dax_fault *df)
{
	/* Not for huge faults: the trace is parsed for NOPAGE alone. */
	if (df->order || !(df->iter.iomap.flags & IOMAP_F_NEW))
		return 0;
	count_vm_event(PGMAJFAULT);
	count_memcg_event_mm(df->vmf->vma->vm_mm, PGMAJFAULT);
	return VM_FAULT_MAJOR;
}

/*
 * A store changes nothing that the filesystem has to know if an earlier one has
 * made this very page dirty: the blocks were the file's own by then, and who
 * lets other files share them has the mark cleared first.  For a large entry
 * that is not so, since it is dirty as a whole but may be shared in part.
 */
static bool dax_fault_already_dirty(const struct dax_fault *df)
{
	return df->found_dirty && !dax_entry_order(df->entry) &&
		!(df->vmf->vma->vm_flags & VM_SYNC);
}

/*
 * Is the entry all that it takes?  One that has blocks keeps them so long as it
 * is locked, and our caller keeps them in the file; so to map a page of it that
 * was read before, or written before, there is nothing to ask the filesystem.
 */
static bool dax_fault_can_skip_iomap(const struct dax_fault *df)
{
	if (df->order || df->vmf->cow_page || !dax_is_mapped(df->entry))
		return false;
	return !(df->iter.flags & IOMAP_WRITE) || dax_fault_already_dirty(df);
}

/*
 * Returns 0 if the page cannot be mapped: the device has gone, or the page is
 * bad.  The filesystem is asked then, and what it says tells which.
 */
static vm_fault_t dax_fault_map_entry(struct dax_fault *df)
{
	unsigned long pfn = dax_entry_pfn_at(df->entry, df->xas.xa_index);
	bool write = df->iter.flags & IOMAP_WRITE;
	struct dev_pagemap *pgmap;
	vm_fault_t ret;

	pgmap = dax_get_entry_pgmap(&df->xas, df->entry, df->xas.xa_index);
	if (!pgmap)
		return 0;
	trace_dax_store_entry(dax_vmf_mapping(df->vmf), df->xas.xa_index,
			      df->entry, write);
	ret = dax_map_pfn(df->vmf,
			  phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP), 0,
			  write);
	put_dev_pagemap(pgmap);
	return ret;
}

/* The part of a fault that runs with the entry locked. */
static vm_fault_t dax_fault_locked(struct dax_fault *df, int *iomap_errp,
				   const struct iomap_ops *ops)
{
	vm_fault_t ret;
	int error;

	ret = dax_fault_raced(df);
	if (ret)
		return ret;
	if (dax_fault_can_skip_iomap(df)) {
		ret = dax_fault_map_entry(df);
		if (ret)
			return ret;
	}

	df->iomap_called = true;
	while ((error = iomap_iter(&df->iter, ops)) > 0) {
		ret = dax_fault_iter(df);
		if (!(ret & VM_FAULT_ERROR))
			ret |= dax_fault_account_major(df);
	}

	if (df->order == 0 && iomap_errp)
		*iomap_errp = error;
	if (!ret && error)
		ret = dax_fault_error(df, error, DAX_FALLBACK_IOMAP_ERROR);
	return ret;
}

/* What dax_grab_entry() and dax_peek_entry() mean by an errno. */
static enum dax_fallback dax_errno_to_fallback(int err)
{
	switch (err) {
	case 0:
		return DAX_FALLBACK_NONE;
	case -ERANGE:
		return DAX_FALLBACK_FRAGMENTED;
	case -EAGAIN:
		return DAX_FALLBACK_ENTRY_LOCKED;
	default:
		return DAX_FALLBACK_SMALL_ENTRIES;
	}
}

static vm_fault_t dax_fault_grab(struct dax_fault *df)
{
	bool write = df->iter.flags & IOMAP_WRITE;
	struct dax_grab grab = {
		.order		= df->order,
		.write		= write,
		.promote	= df->collapse || dax_promotion_enabled(),
		/* A page that is mapped read-only is clean in most cases. */
		.check_dirty	= write &&
				  !(df->vmf->flags & FAULT_FLAG_MKWRITE),
	};
	int err;

	err = dax_grab_entry(&df->xas, &grab);
	df->entry = grab.entry;
	df->found_dirty = grab.dirty;
	df->promotion = grab.promotion;
	switch (err) {
	case 0:
		return 0;
	case -EBUSY:
	case -ERANGE:
	case -EAGAIN:
		return dax_fault_fallback(df, dax_errno_to_fallback(err));
	case -ENOMEM:
		return dax_fault_error(df, err, DAX_FALLBACK_NO_MEMORY);
	default:
		return vmf_error(err);
	}
}

static void dax_fault_start_attempt(struct dax_fault *df)
{
	struct address_space *mapping = dax_vmf_mapping(df->vmf);
	unsigned int order = df->order;
	pgoff_t index = round_down(df->vmf->pgoff, 1UL << order);

	df->attempt = (struct dax_fault_attempt) {
		.xas = __XA_STATE(&mapping->i_pages, index,
				  order - order % XA_CHUNK_SHIFT,
				  (1U << (order % XA_CHUNK_SHIFT)) - 1),
		.extent_kind = DAX_EMPTY,
		.iter = {
			.inode	= mapping->host,
			.pos	= (loff_t)index << PAGE_SHIFT,
			.len	= PAGE_SIZE << order,
			.flags	= IOMAP_DAX | IOMAP_FAULT |
				  (dax_vmf_writes(df->vmf) ? IOMAP_WRITE : 0),
		},
	};
}

/*
 * Nothing came of a promotion.  The zero entries are told apart for the reason
 * that dax_fault_release() has.
 */
static void dax_fault_undo_promotion(struct dax_fault *df)
{
	bool with_zero = !(df->iomap_called && (df->iter.flags & IOMAP_WRITE));

	if (!with_zero)
		dax_unmap_promoted_zero(&df->xas, df->promotion);
	dax_undo_promotion(&df->xas, df->promotion, with_zero);
	df->promotion = NULL;
}

/*
 * Give the entry back.  A write fault that fails or falls back may have left
 * blocks where the entry still says that there is a hole; a write(2) would
 * find them in place, and nothing to unmap.  So the zero entry goes.
 */
static void dax_fault_release(struct dax_fault *df, vm_fault_t ret)
{
	if ((ret & VM_FAULT_ERROR) && (df->iter.flags & IOMAP_WRITE) &&
	    dax_is_zero(df->entry))
		df->drop_entry = true;

	if (df->promotion)
		dax_fault_undo_promotion(df);
	else if (df->drop_entry)
		df->dropped_in_use |= dax_drop_entry(&df->xas, df->entry,
						     DAX_DELETE_DEMOTE);
	else
		dax_unlock_entry(&df->xas, df->entry);
}

/*
 * A fault that may be served with this order, as far as its VMA can tell.  If an
 * entry has to go first, start over at once: to return and be called again
 * would give those who wait for the entry time to put it back.
 */
static vm_fault_t dax_do_fault(struct dax_fault *df, int *iomap_errp,
			       const struct iomap_ops *ops)
{
	vm_fault_t ret;

	do {
		dax_fault_start_attempt(df);
		ret = dax_fault_grab(df);
		if (ret)
			return ret;
		ret = dax_fault_locked(df, iomap_errp, ops);
		dax_fault_release(df, ret);
	} while (df->drop_entry && ret == VM_FAULT_NOPAGE);

	return ret;
}

static void dax_trace_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;

	if (order == 0)
		trace_dax_pte_fault(inode, vmf, 0);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault(inode, vmf, dax_vmf_max_pgoff(vmf), 0);
}

/* What follows a fault of any order, whichever way it went. */
static vm_fault_t dax_fault_done(struct vm_fault *vmf, unsigned int order,
				 vm_fault_t ret, enum dax_fallback reason)
{
	struct inode *inode = dax_vmf_mapping(vmf)->host;
	int result = (__force int)ret;

	if (ret & VM_FAULT_FALLBACK) {
		trace_dax_fault_fallback(vmf, order, reason, result);
		if (order == PMD_ORDER)
			dax_split_huge(vmf);
	}
	if (order == 0)
		trace_dax_pte_fault_done(inode, vmf, result);
	else if (order == PMD_ORDER)
		trace_dax_pmd_fault_done(inode, vmf, dax_vmf_max_pgoff(vmf),
					 result);
	return ret;
}

static enum dax_fallback dax_fault_peek(const struct vm_fault *vmf,
					unsigned int order)
{
	int err = dax_peek_entry(dax_vmf_mapping(vmf), vmf->pgoff, order,
				 dax_vmf_writes(vmf), dax_promotion_enabled());

	return dax_errno_to_fallback(err);
}

/**
 * dax_fault_may_be_huge() - Is a huge fault worth a filesystem's while?
 * @vmf: The fault.
 * @order: The order that mm asks for.
 *
 * For a filesystem that starts a transaction around dax_iomap_fault().  Most
 * faults that cannot be huge show it by their address, VMA, file size or by the
 * entries in their way.
 *
 * Context: Process context; no entry of the file locked.  invalidate_lock need
 * not be held.
 * Return: true to go on.  false if the filesystem shall return
 * VM_FAULT_FALLBACK at once: the fault was traced as such, and the page table
 * is ready for the smaller one.
 */
bool dax_fault_may_be_huge(struct vm_fault *vmf, unsigned int order)
{
	enum dax_fallback reason = dax_fault_eligible(vmf, order);

	if (order == 0)
		return true;
	if (!reason)
		reason = dax_fault_peek(vmf, order);
	if (!reason)
		return true;

	dax_trace_fault(vmf, order);
	dax_fault_done(vmf, order, VM_FAULT_FALLBACK, reason);
	return false;
}
EXPORT_SYMBOL_GPL(dax_fault_may_be_huge);

/**
 * dax_iomap_fault() - Handle a page fault on a DAX file
 * @vmf: The fault, of any kind: missing, or write to a read-only page.
 * @order: Order of the page to map; 0 or PMD_ORDER, others fall back.
 * @pfnp: For a filesystem that allows MAP_SYNC: where to put the pfn for
 *	dax_finish_sync_fault().  Else NULL.
 * @iomap_errp: Where to put the filesystem's errno if a fault of order 0
 *	failed, so that it can see whether to try again.  May be NULL.
 * @ops: The filesystem's block lookup.
 *
 * Context: Process context; the caller holds what keeps blocks in the file
 * (mapping->invalidate_lock shared), and for a write to a shared mapping
 * freeze protection and any transaction that shall span the block lookup.
 * May sleep.
 * Return: VM_FAULT_NOPAGE when the page is mapped or the access is to be
 * repeated, with VM_FAULT_MAJOR if blocks were allocated; VM_FAULT_DONE_COW
 * for a private write; VM_FAULT_NEEDDSYNC if the caller shall call
 * dax_finish_sync_fault(); VM_FAULT_FALLBACK to try a smaller order;
 * VM_FAULT_SIGBUS beyond the end of the file or on an I/O error;
 * VM_FAULT_HWPOISON; VM_FAULT_OOM.
 */
vm_fault_t dax_iomap_fault(struct vm_fault *vmf, unsigned int order,
			   pfn_t *pfnp, int *iomap_errp,
			   const struct iomap_ops *ops)
{
	struct dax_fault df;
	vm_fault_t ret;

	df.request = (struct dax_fault_request) {
		.vmf	= vmf,
		.order	= order,
		.pfnp	= pfnp,
		.reason	= dax_fault_eligible(vmf, order),
	};
	dax_trace_fault(vmf, order);
	if (vmf->pgoff >= dax_vmf_max_pgoff(vmf))
		ret = VM_FAULT_SIGBUS;
	else if (df.reason)
		ret = VM_FAULT_FALLBACK;
	else
		ret = dax_do_fault(&df, iomap_errp, ops);
	return dax_fault_done(vmf, order, ret, df.reason);
}
EXPORT_SYMBOL_GPL(dax_iomap_fault);

/* Map @pfn writable, if it is still what the entry says. */
static vm_fault_t dax_map_synced(struct vm_fault *vmf, unsigned int order,
				 pfn_t pfn)
{
	struct address_space *mapping = dax_vmf_mapping(vmf);
	XA_STATE_ORDER(xas, &mapping->i_pages, vmf->pgoff, order);
	void *new = dax_make_mapped(pfn_t_to_pfn(pfn), order);
	struct dev_pagemap *pgmap;
	vm_fault_t ret;
	void *entry;
	int err;

	xas_lock_irq(&xas);
	err = dax_get_unlocked_entry(&xas, order, &entry);
	if (err || !entry || !dax_entry_covers(entry, new, xas.xa_index)) {
		if (!err)
			dax_put_unlocked_entry(&xas, entry);
		xas_unlock_irq(&xas);
		ret = VM_FAULT_NOPAGE;
		trace_dax_insert_pfn_mkwrite_no_entry(mapping->host, vmf,
						      (__force int)ret);
		return ret;
	}
	dax_lock_entry(&xas, entry);
	xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
	xas_unlock_irq(&xas);
	__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);

	/*
	 * While we synced, others may have mapped it by another size, or the
	 * device may have gone; to which the next fault is the answer.
	 */
	ret = VM_FAULT_NOPAGE;
	pgmap = dax_get_entry_pgmap(&xas, entry, vmf->pgoff);
	if (pgmap && dax_page_table_fits(vmf, order))
		ret = dax_map_pfn(vmf, pfn, order, true);
	put_dev_pagemap(pgmap);
	dax_unlock_entry(&xas, entry);
	trace_dax_insert_pfn_mkwrite(mapping->host, vmf, (__force int)ret);
	return ret;
}

/**
 * dax_finish_sync_fault() - Second half of a write fault with MAP_SYNC
 * @vmf: The fault.
 * @order: The order for which dax_iomap_fault() returned VM_FAULT_NEEDDSYNC.
 * @pfn: The pfn that it gave.
 *
 * Makes the metadata of the range durable, and only then lets the process
 * store to it.
 *
 * Context: Process context; mapping->invalidate_lock held shared, but no entry
 * lock and no transaction, since the fsync starts its own.  May sleep.
 * Return: VM_FAULT_NOPAGE, also if the entry has changed meanwhile and the
 * access is to be repeated; VM_FAULT_SIGBUS if the fsync failed.
 */
vm_fault_t dax_finish_sync_fault(struct vm_fault *vmf, unsigned int order,
				 pfn_t pfn)
{
	loff_t start = (loff_t)round_down(vmf->pgoff, 1UL << order) <<
		       PAGE_SHIFT;
	loff_t last = start + (PAGE_SIZE << order) - 1;

	if (vfs_fsync_range(vmf->vma->vm_file, start, last, 1))
		return VM_FAULT_SIGBUS;
	return dax_map_synced(vmf, order, pfn);
}
EXPORT_SYMBOL_GPL(dax_finish_sync_fault);

/**
 * dax_fault_for_collapse() - Take the fault path without a fault
 * @vmf: The range, with a pmd that may point to a page table.
 * @order: The order to map it with, for which it is eligible.
 * @ops: The filesystem's block lookup, for reading.
 * @reasonp: Where to put the reason for a fallback.
 * @errorp: Where to put an errno, if there was an error.
 *
 * Promotes whatever the policy is, and removes page tables that are in the way.
 *
 * Context: As dax_iomap_collapse().
 * Return: As dax_iomap_fault().
 */
vm_fault_t dax_fault_for_collapse(struct vm_fault *vmf, unsigned int order,
				  const struct iomap_ops *ops,
				  enum dax_fallback *reasonp, int *errorp)
{
	struct dax_fault df;
	vm_fault_t ret;

	df.request = (struct dax_fault_request) {
		.vmf		= vmf,
		.order		= order,
		.collapse	= true,
	};
	ret = dax_do_fault(&df, NULL, ops);
	*reasonp = df.reason;
	*errorp = df.error;
	return ret;
}
