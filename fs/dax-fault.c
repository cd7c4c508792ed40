// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults on DAX files.
 *
 * dax-quick.c serves faults on known memory first.  This file serves all
 * others, which need blocks from the filesystem.
 *
 * There is one path for all orders.  Only huge faults promote entries, join
 * extents and fall back.  The steps are:
 *
 *	eligible?	address, VMA, file size: can this order be mapped here?
 *	grab		Lock the entry.  No other fault, writeback or truncate
 *			works on this part of the file until it is unlocked.
 *	raced?		mm checked the page table before it called the fault
 *			handler.  Check it again.
 *	iomap_begin	Get the blocks; may allocate.  Called again for the next
 *			extent if the range and its blocks continue in it.
 *	  store		Store the new entry, and mark it dirty.
 *	  map		Map the page, after the entry is stored.
 *	iomap_end	Called after each iomap_begin that succeeded; with 0
 *			bytes if the fault did not use the extent.  Extents that
 *			are joined end before the next one begins.
 *	unlock		Unlock the entry, or delete it if it cannot be replaced.
 *
 * The grab may have promoted small entries.  If the fault does not store an
 * entry, it restores the small entries, which are unlocked, in place of the
 * unlock.  If the fault stores one, pages of the small entries stay mapped if
 * they have the same memory, and zero pages are unmapped if the range has blocks
 * now.
 *
 * A huge fault that cannot be served falls back.  It leaves the page table in a
 * state in which the next smaller order can be mapped, and reports the reason
 * in the dax_fault_fallback event.
 *
 * LOCKS	invalidate_lock (shared); for a write, also freeze protection
 *	and, on ext4, a transaction; the caller takes them; then
 *	  entry lock
 *	    iomap_begin .. iomap_end
 *	    dax_share_rwsem, i_mmap_rwsem, page table locks
 *
 * Only this file, dax-around.c, dax-quick.c, dax-collapse.c and dax-fault.h use
 * vm_fault_t and page table entries.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/iomap.h>
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
 * @request: The fields that are the same for all attempts.
 * @vmf: The fault.
 * @order: The order of the page to map.
 * @pfnp: For MAP_SYNC: where to put a pfn that must not be mapped before an
 *	fsync.
 * @collapse: Remove a page table that is in the way.
 * @dropped_in_use: An entry that an attempt deleted had a page in use.
 * @reason: The reason for the fallback.
 * @attempt: The fields that each attempt sets anew.
 * @error: The errno, if there was an error.
 * @xas: The place of the entry in the mapping.
 * @entry: The entry without the lock bit.  The fault holds its lock.
 * @promotion: The smaller entries that @entry has replaced, until it is certain
 *	that they are not restored.
 * @crowded: @entry was by page (dax-dirty.c), and the store of the fault has
 *	shown that huge pages are better.
 * @drop_entry: Delete @entry instead of unlocking it.
 * @iomap_called: ->iomap_begin was called, and may have allocated blocks.
 * @need_sync: An earlier extent has metadata that are not durable.
 * @extent_kind: The kind of the earlier extents, or DAX_EMPTY if there are
 *	none.
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
		bool			crowded;
		bool			drop_entry;
		bool			iomap_called;
		bool			need_sync;
		enum dax_kind		extent_kind;
		pfn_t			pfn;
		struct iomap_iter	iter;
	);
};

/* Give up the order.  @reason is traced at the end of the fault. */
static vm_fault_t dax_fault_fallback(struct dax_fault *df,
				     enum dax_fallback reason)
{
	df->reason = reason;
	return VM_FAULT_FALLBACK;
}

/* Fall back if there is a smaller order, otherwise fail. */
static vm_fault_t dax_fault_error(struct dax_fault *df, int error,
				  enum dax_fallback reason)
{
	df->error = error;
	return df->order ? dax_fault_fallback(df, reason) : vmf_error(error);
}

#ifdef CONFIG_FS_DAX_PMD
/*
 * Map the huge zero page, unless the page table was filled meanwhile.  A fault
 * in another thread that makes a private page does not take the entry lock.
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

	/* The mm owns the reference, and drops it when it exits. */
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

static vm_fault_t dax_fault_raced(struct dax_fault *df)
{
	if (dax_page_table_fits(df->vmf, df->order) || df->collapse)
		return 0;
	/*
	 * Another fault has mapped the range huge.  If that is not enough, mm
	 * calls again.
	 */
	if (df->order == 0)
		return VM_FAULT_NOPAGE;
	return dax_fault_fallback(df, DAX_FALLBACK_PAGE_TABLE);
}

/*
 * Must the metadata be made durable before the page is mapped?  A MAP_SYNC
 * mapping promises that they are durable when a store succeeds.
 *
 * IOMAP_F_DIRTY tells the state at ->iomap_begin().  If the block is shared,
 * ->iomap_end() makes the file point to the copy later, and this change is not
 * durable.
 */
static bool dax_fault_is_sync(const struct dax_fault *df)
{
	return (df->iter.flags & IOMAP_WRITE) &&
		(df->vmf->vma->vm_flags & VM_SYNC) &&
		(df->need_sync ||
		 (df->iter.iomap.flags & (IOMAP_F_DIRTY | IOMAP_F_SHARED)));
}

/* Does @new have the blocks that the small entries had, if they had any? */
static bool dax_same_blocks(const struct dax_promotion *promotion, void *new)
{
	return promotion->nr_mapped && dax_is_mapped(new) &&
		promotion->pfn == dax_entry_pfn(new);
}

/*
 * Pages of the small entries may stay mapped if the memory is the same.  Zero
 * pages must be unmapped if @new has blocks, and all pages if the blocks
 * differ.
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
 * Prepare the entry for its replacement by @new: unmap the pages of the old
 * entry.  Returns false if it cannot be replaced: it is larger than @new, or it
 * has blocks and perhaps marks while @new has none.  It is then deleted and the
 * fault is repeated.  The deletion must wait for ->iomap_end, because until
 * then the filesystem may take the new blocks back, and the next fault would
 * find them.
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

/*
 * Associate the pages of @new with the file, and remove the association of the
 * pages of the old entry.
 */
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
 * The entry is by page, and @xas is walked to it.  Record a store, which the
 * caller has marked.  A collapse asks for a huge page, so the entry is whole
 * after it.
 */
static void dax_fault_by_page(struct dax_fault *df, bool dirty)
{
	struct xa_state *xas = &df->xas;

	if (df->collapse || dirty)
		df->entry = dax_record_store(xas, df->entry, df->vmf->pgoff,
					     df->order);
	if (!dirty)
		return;
	if (dax_is_by_page(df->entry))
		dax_set_page_dirty(df->entry, df->vmf->pgoff);
	else if (!df->order)
		df->crowded = true;
}

/*
 * Replace the entry by @new, unless it includes @new already, and mark it dirty
 * if a store follows.  From here on the blocks are in use: the filesystem must
 * not take them back, even if they cannot be mapped.
 */
static void dax_fault_store(struct dax_fault *df, void *new)
{
	struct address_space *mapping = dax_vmf_mapping(df->vmf);
	struct xa_state *xas = &df->xas;
	bool write = df->iter.flags & IOMAP_WRITE;
	bool dirty = write && !dax_fault_is_sync(df);
	/* A write has got blocks of its own in place of shared ones. */
	bool may_join = !write && dax_is_mapped(new);

	if (may_join)
		dax_share_read_lock();
	xas_reset(xas);
	xas_lock_irq(xas);
	if (dax_entry_covers(df->entry, new, xas->xa_index)) {
		xas_load(xas);
		if (dax_is_mapped(new))
			dax_adopt_pages(xas, df->entry, xas->xa_index,
					df->order);
	} else {
		dax_fault_reassociate(df, new);
		dax_replace_entry(xas, df->entry, new);
		df->entry = new;
	}
	if (dirty)
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
	if (dax_is_by_page(df->entry))
		dax_fault_by_page(df, dirty);
	trace_dax_store_entry(mapping, xas->xa_index, df->entry, dirty);
	xas_unlock_irq(xas);
	if (may_join)
		dax_share_read_unlock();
	/*
	 * After the mark, as the flusher clears I_DIRTY_PAGES and then looks
	 * for marks.
	 */
	if (dirty)
		__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);
	if (df->promotion)
		dax_finish_promotion(xas, df->promotion);
	df->promotion = NULL;
	df->iter.processed = iomap_length(&df->iter);
}

/* For a collapse: make room for the huge page. */
static vm_fault_t dax_fault_retract_page_tables(struct dax_fault *df)
{
	if (!df->collapse)
		return 0;
	dax_retract_entry(df->vmf, df->entry);
	if (!dax_page_table_fits(df->vmf, df->order))
		return dax_fault_fallback(df, DAX_FALLBACK_PAGE_TABLE);
	return 0;
}

/* A read finds a hole or an unwritten extent. */
static vm_fault_t dax_fault_hole(struct dax_fault *df)
{
	void *new = dax_make_zero(df->order);
	vm_fault_t ret;

	/*
	 * The filesystem does not know the blocks of the small entries.  Change
	 * nothing.
	 */
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
 * Get the pfn that the whole range starts at.  The extent must cover the range,
 * or its blocks must follow those of the last extent.  The caller keeps the
 * device alive.
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
	/* A huge mapping needs page structures, for GUP. */
	if (df->order && (!IS_ALIGNED(pfn_t_to_pfn(pfn), 1UL << df->order) ||
			  !pfn_t_devmap(pfn)))
		return dax_fault_fallback(df, DAX_FALLBACK_MISALIGNED_PFN);
	*pfnp = pfn;
	return 0;
}

/*
 * The caller keeps the device of the last extent alive.  Are the pages of the
 * earlier extents on the same device?
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
	if (df->crowded) {
		dax_retract_entry(df->vmf, df->entry);
		return VM_FAULT_NOPAGE;
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

/* A private write: mm maps the copy, and the entry does not change. */
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
 * The extent covers only a part of the range.  Its blocks may still be
 * contiguous with those of the next extent, e.g. if one is written and the
 * other is not; and both may be holes.  Shared extents are not joined: if the
 * fault fell back after some were copied, small entries would still point to
 * the old blocks, and an entry must be shared as a whole or not at all.
 */
static vm_fault_t dax_fault_partial_extent(struct dax_fault *df,
					   enum dax_kind kind)
{
	u64 len = iomap_length(&df->iter);
	vm_fault_t ret;
	int id;

	/* Filesystem bug: the extent is empty or ends within a page. */
	if (WARN_ON_ONCE(!len || !IS_ALIGNED(len, PAGE_SIZE)))
		return dax_fault_error(df, -EIO, DAX_FALLBACK_EXTENT_SHORT);
	if (df->iter.iomap.flags & IOMAP_F_SHARED)
		return dax_fault_fallback(df, DAX_FALLBACK_EXTENT_SHORT);
	if (kind == DAX_MAPPED) {
		id = dax_read_lock();
		ret = dax_fault_pfn(df, &df->pfn);
		dax_read_unlock(id);
		if (ret)
			return ret;
	}
	if (dax_fault_is_sync(df))
		df->need_sync = true;
	df->extent_kind = kind;
	df->iter.processed = len;
	return 0;
}

/*
 * Handle one extent, which may cover the range, the rest of it, or a part of
 * it.
 */
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
		/*
		 * Filesystem bug: a write must get zeroed blocks or an error.
		 */
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
	/*
	 * Not for huge faults: programs that parse the trace expect NOPAGE
	 * alone.
	 */
	if (df->order || !(df->iter.iomap.flags & IOMAP_F_NEW))
		return 0;
	count_vm_event(PGMAJFAULT);
	count_memcg_event_mm(df->vmf->vma->vm_mm, PGMAJFAULT);
	return VM_FAULT_MAJOR;
}

static vm_fault_t dax_fault_locked(struct dax_fault *df, int *iomap_errp,
				   const struct iomap_ops *ops)
{
	vm_fault_t ret;
	int error;

	ret = dax_fault_raced(df);
	if (ret)
		return ret;

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

/* Convert an errno of dax_grab_entry() or dax_peek_entry(). */
static enum dax_fallback dax_errno_to_fallback(int err)
{
	switch (err) {
	case 0:
		return DAX_FALLBACK_NONE;
	case -ERANGE:
		return DAX_FALLBACK_FRAGMENTED;
	case -EAGAIN:
		return DAX_FALLBACK_ENTRY_LOCKED;
	case -EACCES:
		return DAX_FALLBACK_SMALL_WRITES;
	default:
		return DAX_FALLBACK_SMALL_ENTRIES;
	}
}

static vm_fault_t dax_fault_grab(struct dax_fault *df)
{
	struct dax_grab grab = {
		.order		= df->order,
		.write		= df->iter.flags & IOMAP_WRITE,
		.promote	= df->collapse || dax_promotion_enabled(),
		.keep_huge	= dax_vma_tracks_soft_dirty(df->vmf->vma),
	};
	int err;

	err = dax_grab_entry(&df->xas, &grab);
	df->entry = grab.entry;
	df->promotion = grab.promotion;
	switch (err) {
	case 0:
		return 0;
	case -EBUSY:
	case -ERANGE:
	case -EAGAIN:
	case -EACCES:
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
 * Restore the small entries.  Zero entries are not restored if a write may have
 * left blocks there, see dax_fault_release().
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
 * Unlock or delete the entry.  A write fault that fails or falls back may have
 * left blocks behind a zero entry.  A later write(2) would find these blocks
 * and not unmap the zero page.  So the zero entry is deleted.
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

/* The page of a small read is mapped: map others that are likely to follow. */
static void dax_fault_ahead(struct dax_fault *df, const struct iomap_ops *ops)
{
	if (df->order || (df->iter.flags & IOMAP_WRITE) ||
	    !dax_is_mapped(df->entry) || dax_entry_order(df->entry))
		return;
	dax_read_ahead(df->vmf, df->entry, ops);
}

/*
 * Serve an eligible fault.  If an entry had to be deleted first, repeat the
 * attempt at once.  If the fault returned instead, the waiters of the entry
 * could insert it again before mm calls again.
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

	if (ret == VM_FAULT_NOPAGE)
		dax_fault_ahead(df, ops);
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
 * dax_fault_may_be_huge() - Check whether a huge fault can succeed
 * @vmf: The fault.
 * @order: The order that mm requests.
 *
 * For a filesystem that starts a transaction around dax_iomap_fault().  Most
 * faults that cannot be huge are found by their address, VMA or file size, or
 * by smaller entries in their range.
 *
 * Context: Process context; no entry of the file locked.  invalidate_lock need
 * not be held.
 * Return: true to continue.  false if the filesystem must return
 * VM_FAULT_FALLBACK: the fault was traced as such, and the page table is ready
 * for a smaller page.
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
	dax_fault_fell_back(vmf, order, VM_FAULT_FALLBACK, reason);
	dax_trace_fault_done(vmf, order, VM_FAULT_FALLBACK);
	return false;
}
EXPORT_SYMBOL_GPL(dax_fault_may_be_huge);

/**
 * dax_iomap_fault() - Handle a page fault on a DAX file
 * @vmf: The fault, of any kind: missing page, or write to a read-only page.
 * @order: Order of the page to map; 0 or PMD_ORDER, others fall back.
 * @pfnp: For a filesystem that supports MAP_SYNC: where to put the pfn for
 *	dax_finish_sync_fault().  Otherwise NULL.
 * @iomap_errp: Where to put the filesystem's errno if a fault of order 0
 *	failed, so that the filesystem can decide whether to retry.  May be
 *	NULL.
 * @ops: The filesystem's block lookup.
 *
 * Context: Process context.  The caller holds mapping->invalidate_lock shared
 * and, for a write to a shared mapping, freeze protection and any transaction
 * that must include the block lookup.  May sleep.
 * Return: VM_FAULT_NOPAGE when the page is mapped or the access must be
 * repeated, with VM_FAULT_MAJOR if a fault of order 0 allocated blocks;
 * VM_FAULT_DONE_COW for a private write; VM_FAULT_NEEDDSYNC if the caller must
 * call dax_finish_sync_fault(); VM_FAULT_FALLBACK to try a smaller order;
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
	if (ret & VM_FAULT_FALLBACK)
		dax_fault_fell_back(vmf, order, ret, df.reason);
	dax_trace_fault_done(vmf, order, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(dax_iomap_fault);

/* Map @pfn writable, if the entry still points to it. */
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
	if (dax_is_by_page(entry))
		entry = dax_record_store(&xas, entry, vmf->pgoff, order);
	xas_unlock_irq(&xas);
	__mark_inode_dirty(mapping->host, I_DIRTY_PAGES);

	/*
	 * During the fsync, the range may have been mapped with another order,
	 * or the device may have been removed.  The next fault handles both.
	 */
	ret = VM_FAULT_NOPAGE;
	pgmap = dax_get_entry_pgmap(&xas, entry, xas.xa_index, order);
	if (pgmap && dax_page_table_fits(vmf, order)) {
		if (dax_is_by_page(entry))
			dax_set_page_dirty(entry, vmf->pgoff);
		ret = dax_map_pfn(vmf, pfn, order, true);
	}
	put_dev_pagemap(pgmap);
	dax_unlock_entry(&xas, entry);
	trace_dax_insert_pfn_mkwrite(mapping->host, vmf, (__force int)ret);
	return ret;
}

/**
 * dax_finish_sync_fault() - Second half of a write fault with MAP_SYNC
 * @vmf: The fault.
 * @order: The order for which dax_iomap_fault() returned VM_FAULT_NEEDDSYNC.
 * @pfn: The pfn from dax_iomap_fault().
 *
 * Makes the metadata of the range durable, and then maps the page writable.
 *
 * Context: Process context; mapping->invalidate_lock held shared, but no entry
 * lock and no transaction, because the fsync starts its own.  May sleep.
 * Return: VM_FAULT_NOPAGE, also if the entry has changed meanwhile and the
 * access must be repeated; VM_FAULT_SIGBUS if the fsync failed.
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
