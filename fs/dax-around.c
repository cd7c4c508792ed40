// SPDX-License-Identifier: GPL-2.0-only
/*
 * Map more pages than a 4 KiB fault asks for.
 *
 * Where 2 MiB pages cannot be mapped, each 4 KiB page costs a fault.  Most of
 * that is spent on the way to the page table and back.  So a fault that has
 * mapped its page also maps pages around it that are known:
 *
 *	read		the pages that mm would choose in the page cache: an
 *			aligned window of fault_around_bytes
 *	write, large	the same window, within the entry.  The entry is dirty
 *			as a whole, so this adds nothing to its flush.
 *	write, small	the pages of that window that follow and are dirty.
 *			After a run of at least DAX_AROUND_MIN_RUN pages that
 *			were stored to, the fault also maps half as many clean
 *			pages, and marks them dirty.  After a shorter run it
 *			does not, because stores to single pages must not cause
 *			flushes of others.
 *	first read	Where there are no entries yet: the pages that follow,
 *			as many as there are entries in a row before the fault.
 *			They get entries.
 *	first write	The same after a run of pages that were stored to, but
 *			half as many as the run has.  They become dirty.
 *
 * The pages that are mapped after a run end at the border of a window, if they
 * reach one.
 *
 * A page is mapped if its entry is mapped and unlocked (or the one that the
 * fault has locked), its memory is contiguous with that of the fault, the file
 * owns it, and the device can access it.  In a window of known entries, a page
 * that several files share is mapped for its owner only.  A first read or write
 * leaves out blocks that another file shares.
 *
 * Times are as with a huge page: the fault has updated mtime for all pages that
 * it makes writable.
 *
 * A page that is mapped writable here is not dirty in the page table until the
 * CPU stores to it.  So a run counts no page that a fault has mapped in vain.
 * Beyond the start of the page table or the VMA there is no pte to check, and
 * each dirty entry counts.
 *
 * A first read or write looks up the blocks twice: first without entry locks,
 * and again after it has inserted a locked empty entry for each page.  It
 * unlocks the entries after it has mapped the pages.  Holes stay holes.  A
 * first write converts unwritten blocks and zeroes them.  They belong to the
 * file already, so disk usage does not change.
 *
 * NO ENTRY LOCK	is taken for entries that are there.  Under the page table
 *		lock, the entries are checked and marked with the xa_lock held,
 *		and then the pages are mapped.  A task that deletes or
 *		write-protects an entry locks it first, or deletes it under the
 *		xa_lock and unmaps it later.  In both cases its walk of the page
 *		tables waits for the page table lock, and finds the pte.  If the
 *		lock bit was set before, the entry is skipped.  The ptes are set
 *		without the xa_lock, because on some machines this waits for
 *		other CPUs.
 *
 * LOCKS	the entry lock of the fault; or the locks of the entries that
 *	the fault has inserted, for which it never waits; then
 *	  iomap_begin .. iomap_end
 *	    dax_share_rwsem	if other files may have the pages
 *	  page table lock
 *	    i_pages.xa_lock
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/pgtable.h>
#include <linux/userfaultfd_k.h>
#include <linux/xarray_slot.h>
#include <trace/events/fs_dax.h>

#include "dax-access.h"
#include "dax-fault.h"
#include "dax-internal.h"
#include "dax-trace.h"

/*
 * A page that is dirtied for nothing costs a flush of 4 KiB, and a fault that is
 * saved is worth some ten of them.  After stores to so many pages in a row, one to
 * the next page is likely.
 */
#define DAX_AROUND_MIN_RUN	8UL

/* An entry and a pte that are not used cost a twentieth of a fault. */
#define DAX_AHEAD_MIN_RUN	2UL

/* So many pages at most follow a run. */
#define DAX_AROUND_MAX		64UL

/**
 * struct dax_around - The pages around a fault
 * @vmf: The fault.
 * @entry: The entry of the fault.  It is locked, but not if @ahead.
 * @write: Whether the pages are mapped writable.
 * @ahead: The fault has inserted the entries, and they are locked.
 * @first: The first page offset to map.
 * @last: The last page offset to map.
 * @last_clean: Small pages up to here may become dirty.
 * @prot: The protection of the ptes.
 * @nr: How many pages were mapped.
 * @marked: Whether entries became dirty.
 * @known: One bit for each page from @first on that can be mapped.
 */
struct dax_around {
	struct vm_fault *vmf;
	void *entry;
	bool write;
	bool ahead;
	pgoff_t first;
	pgoff_t last;
	pgoff_t last_clean;
	pgprot_t prot;
	unsigned int nr;
	bool marked;
	DECLARE_BITMAP(known, PTRS_PER_PTE);
};

static unsigned long dax_around_pfn(const struct dax_around *around,
				    pgoff_t index)
{
	pgoff_t fault = around->vmf->pgoff;

	return dax_entry_pfn_at(around->entry, fault) + index - fault;
}

static bool dax_around_large(const struct dax_around *around)
{
	return dax_entry_order(around->entry);
}

/* How many small entries end before @index, up to DAX_AROUND_MAX. */
static unsigned long dax_run_before(struct address_space *mapping,
				    pgoff_t index)
{
	unsigned long max = min(index, DAX_AROUND_MAX), run = 0;
	XA_STATE(xas, &mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	while (run < max && dax_is_known(xas_prev(&xas), 0))
		run++;
	xas_unlock_irq(&xas);
	return run;
}

/* How many dirty small entries end before @index, in its leaf and the one before. */
static unsigned long dax_dirty_before(struct xa_state *xas, pgoff_t index)
{
	unsigned int slot = index % XA_CHUNK_SIZE, run;

	run = xas_leaf_run(xas, slot, PAGECACHE_TAG_DIRTY);
	if (run < slot || index < XA_CHUNK_SIZE)
		return run;
	xas_set(xas, index - slot - 1);
	xas_load(xas);
	if (xas_in_leaf(xas))
		run += xas_leaf_run(xas, XA_CHUNK_SIZE, PAGECACHE_TAG_DIRTY);
	return run;
}

/*
 * The small entry at @index is dirty.  Sets @runp to the number of dirty small
 * entries that end before it.  Returns false if none follows, as far as its leaf
 * tells.
 */
static bool dax_dirty_around(struct address_space *mapping, pgoff_t index,
			     unsigned long *runp)
{
	unsigned int next = index % XA_CHUNK_SIZE + 1;
	XA_STATE(xas, &mapping->i_pages, index);
	bool follows = false;

	*runp = 0;
	xas_lock_irq(&xas);
	xas_load(&xas);
	if (xas_in_leaf(&xas)) {
		follows = next == XA_CHUNK_SIZE ||
			  xas_leaf_marked(&xas, 1, PAGECACHE_TAG_DIRTY);
		*runp = dax_dirty_before(&xas, index);
	}
	xas_unlock_irq(&xas);
	return follows;
}

/* How many of the @max ptes that end before that of the fault are dirty. */
static unsigned long dax_dirty_ptes(const struct vm_fault *vmf,
				    unsigned long max)
{
	pte_t *ptep = pte_offset_map(vmf->pmd, vmf->address);
	unsigned long run = 0;

	if (!ptep)
		return 0;
	__acquire(RCU);		/* sparse cannot see it */
	while (run < max) {
		pte_t pte = ptep_get(ptep - run - 1);

		if (!pte_present(pte) || !pte_write(pte) || !pte_dirty(pte))
			break;
		run++;
	}
	pte_unmap(ptep);
	return run;
}

/*
 * How many pages in a row, before that of the fault, were stored to since their
 * last flush.  Beyond the start of the page table or the VMA, the @dirty entries
 * count.
 */
static unsigned long dax_stores_before(const struct vm_fault *vmf,
				       unsigned long dirty)
{
	unsigned long page = PHYS_PFN(vmf->address), run;
	unsigned long max = min(page % PTRS_PER_PTE,
				page - PHYS_PFN(vmf->vma->vm_start));

	run = dax_dirty_ptes(vmf, min(max, 2 * DAX_AROUND_MAX));
	return run < max ? run : max(run, dirty);
}

/*
 * How many pages after a store may become dirty.  Sets @followsp as
 * dax_dirty_around() returns it.
 */
static unsigned long dax_around_clean_pages(const struct vm_fault *vmf,
					    bool *followsp)
{
	unsigned long run;

	*followsp = dax_dirty_around(dax_vmf_mapping(vmf), vmf->pgoff, &run);
	if (run >= DAX_AROUND_MIN_RUN)
		run = dax_stores_before(vmf, run);
	return run < DAX_AROUND_MIN_RUN ? 0 : min(run / 2, DAX_AROUND_MAX);
}

static void dax_around_clamp(struct dax_around *around, pgoff_t first,
			     pgoff_t last)
{
	around->first = max(around->first, first);
	around->last = min(around->last, last);
}

/*
 * The last of @nr pages after the fault, or an earlier one, so that the next
 * fault of a stream is at the start of a window.
 */
static pgoff_t dax_around_end(const struct vm_fault *vmf, unsigned long nr)
{
	unsigned long window = fault_around_nr_pages();
	pgoff_t first = vmf->pgoff + 1, border = round_down(first + nr, window);
	pgoff_t end = (border > first ? border : first + nr) - 1;
	pgoff_t check = dax_eager_window(vmf->pgoff, window);

	/* Leave a fault to the window in which the policy eager looks. */
	return vmf->pgoff < check && end >= check ? check - 1 : end;
}

/*
 * Stay within the page table and the VMA.  There are no entries beyond the end of
 * the file.
 */
static void dax_around_limit(struct dax_around *around)
{
	const struct vm_fault *vmf = around->vmf;
	unsigned long page = PHYS_PFN(vmf->address);
	unsigned long table = round_down(page, PTRS_PER_PTE);
	unsigned long start = max(table, PHYS_PFN(vmf->vma->vm_start));
	unsigned long end = min(table + PTRS_PER_PTE,
				PHYS_PFN(vmf->vma->vm_end));

	around->first = vmf->pgoff - (page - start);
	around->last = vmf->pgoff + (end - 1 - page);
}

static bool dax_around_enabled(const struct vm_fault *vmf)
{
	return fault_around_nr_pages() > 1 &&
		!uffd_disable_fault_around(vmf->vma);
}

/* A store to a small entry.  Returns false if no page is to be mapped. */
static bool dax_around_stores(struct dax_around *around)
{
	const struct vm_fault *vmf = around->vmf;
	pgoff_t window = vmf->pgoff | (fault_around_nr_pages() - 1);
	bool follows;
	unsigned long clean = dax_around_clean_pages(vmf, &follows);

	if (!clean && !follows)
		return false;
	around->last_clean = dax_around_end(vmf, clean);
	dax_around_clamp(around, vmf->pgoff + 1,
			 max(window, around->last_clean));
	return around->first <= around->last;
}

/* All other faults: a window of the page table, within a large entry. */
static bool dax_around_window(struct dax_around *around)
{
	const struct vm_fault *vmf = around->vmf;
	unsigned long window = fault_around_nr_pages();
	pgoff_t start;

	start = vmf->pgoff - min(vmf->pgoff, PHYS_PFN(vmf->address) % window);
	dax_around_clamp(around, start, start + window - 1);
	if (dax_around_large(around)) {
		start = dax_entry_start(around->entry, vmf->pgoff);
		dax_around_clamp(around, start, start +
				 dax_entry_nr_pages(around->entry) - 1);
	}
	return around->first < around->last;
}

static bool dax_around_choose(struct dax_around *around)
{
	if (around->write && !dax_around_large(around))
		return dax_around_stores(around);
	return dax_around_window(around);
}

/* Is the memory there, and can all of it be accessed? */
static bool dax_around_on_device(const struct dax_around *around,
				 struct dev_pagemap *pgmap)
{
	unsigned long first = dax_around_pfn(around, around->first);
	unsigned long last = dax_around_pfn(around, around->last);

	return pgmap_pfn_valid(pgmap, first) && pgmap_pfn_valid(pgmap, last) &&
		pgmap_can_access(pgmap, first, last - first + 1);
}

/* Does the file own the page, so that the entry is not of another device? */
static bool dax_around_page_ok(const struct dax_around *around,
			       unsigned long pfn)
{
	const struct page *page = pfn_to_page(pfn);

	return page->mapping == dax_vmf_mapping(around->vmf) &&
		!PageHWPoison(page);
}

static void dax_around_set_pte(struct dax_around *around, unsigned long addr,
			       pte_t *ptep, unsigned long pfn)
{
	struct vm_area_struct *vma = around->vmf->vma;
	pte_t old = ptep_get(ptep), pte;

	if (!pte_none(old)) {
		/* A private copy, a marker of mm, or writable already. */
		if (!around->write || !pte_present(old) ||
		    pte_pfn(old) != pfn || pte_write(old))
			return;
		pte = old;
	} else {
		pte = pte_mkdevmap(pfn_pte(pfn, around->prot));
	}
	if (around->write)
		pte = maybe_mkwrite(pte_mkyoung(pte), vma);
	if (pte_none(old))
		set_pte_at(vma->vm_mm, addr, ptep, pte);
	else
		ptep_set_access_flags(vma, addr, ptep, pte, 1);
	update_mmu_cache(vma, addr, ptep);
	around->nr++;
}

/* The fault has locked the entry or the entries. */
static void dax_around_check_locked(struct dax_around *around)
{
	unsigned long nr = around->last - around->first + 1, i;
	unsigned long pfn = dax_around_pfn(around, around->first);

	for (i = 0; i < nr; i++) {
		if (dax_around_page_ok(around, pfn + i))
			__set_bit(i, around->known);
	}
}

/*
 * After the mark, as the flusher clears I_DIRTY_PAGES and then looks for marks.
 * Before the page is mapped, as sync(2) skips an inode that is clean, and another
 * task may store to the page at once.
 */
static void dax_around_dirty_inode(const struct dax_around *around)
{
	__mark_inode_dirty(dax_vmf_mapping(around->vmf)->host, I_DIRTY_PAGES);
}

/*
 * Mark the entry for a page that becomes writable.  Returns false at the end of
 * the pages to map.
 */
static bool dax_around_mark(struct dax_around *around, struct xa_state *xas)
{
	if (!around->write || xas_get_mark(xas, PAGECACHE_TAG_DIRTY))
		return true;
	if (xas->xa_index > around->last_clean)
		return false;
	around->marked = true;
	xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
	return true;
}

/* The fault has not locked the entries. */
static void dax_around_check_small(struct dax_around *around)
{
	struct address_space *mapping = dax_vmf_mapping(around->vmf);
	unsigned long pfn = dax_around_pfn(around, around->first);
	XA_STATE(xas, &mapping->i_pages, around->first);
	void *entry;

	xas_lock_irq(&xas);
	for (entry = xas_load(&xas); xas.xa_index <= around->last;
	     entry = xas_next(&xas), pfn++) {
		/* Also if it is locked, larger, zero, empty or elsewhere. */
		bool known = entry == dax_make_mapped(pfn, 0) &&
			     dax_around_page_ok(around, pfn);

		if (known && dax_around_mark(around, &xas))
			__set_bit(xas.xa_index - around->first, around->known);
		else if (around->write)
			break;
	}
	xas_unlock_irq(&xas);
}

static void dax_around_set_ptes(struct dax_around *around, unsigned long addr,
				pte_t *ptep)
{
	unsigned long nr = around->last - around->first + 1, i;
	unsigned long pfn = dax_around_pfn(around, around->first);

	for_each_set_bit(i, around->known, nr)
		dax_around_set_pte(around, addr + PFN_PHYS(i), ptep + i,
				   pfn + i);
}

/* Map the pages that were chosen, beside that of the fault, which has @pfn. */
static void dax_around_map(struct dax_around *around, pfn_t pfn)
{
	struct vm_fault *vmf = around->vmf;
	struct mm_struct *mm = vmf->vma->vm_mm;
	unsigned long addr = vmf->address + PFN_PHYS(around->first) -
			     PFN_PHYS(vmf->pgoff);
	spinlock_t *ptl;	/* of the page table */
	pte_t *ptep;

	track_pfn_insert(vmf->vma, &around->prot, pfn);
	/* NULL if the page table was removed meanwhile. */
	ptep = pte_offset_map_lock(mm, vmf->pmd, addr, &ptl);
	if (!ptep)
		return;
	__acquire(ptl);		/* sparse cannot see it */
	if (dax_around_large(around) || around->ahead)
		dax_around_check_locked(around);
	else
		dax_around_check_small(around);
	if (around->marked)
		dax_around_dirty_inode(around);
	dax_around_set_ptes(around, addr, ptep);
	pte_unmap_unlock(ptep, ptl);
	if (around->nr)
		trace_dax_map_around(vmf, around->first, around->last,
				     around->write, around->nr);
}

/**
 * dax_map_around() - Map known pages around a fault that was served
 * @vmf: The fault, of order 0, whose page is mapped.
 * @entry: The entry of the fault, without the lock bit.
 * @pgmap: The device of its page.
 * @write: Whether to map pages writable.  No other file may share blocks of the
 *	file then, and @vmf must not be a MAP_SYNC fault.
 *
 * Context: As for the fault: invalidate_lock held shared, @entry locked, @pgmap
 * held; for @write, freeze protection.
 */
void dax_map_around(struct vm_fault *vmf, void *entry,
		    struct dev_pagemap *pgmap, bool write)
{
	struct dax_around around = {
		.vmf	= vmf,
		.entry	= entry,
		.write	= write,
		.prot	= vmf->vma->vm_page_prot,
	};
	unsigned long addr = PFN_PHYS(dax_entry_pfn_at(entry, vmf->pgoff));
	pfn_t pfn = phys_to_pfn_t(addr, PFN_DEV | PFN_MAP);

	if (!pfn_t_devmap(pfn))
		return;
	/* The stores to these are counted one by one. */
	if (write && (dax_is_by_page(entry) ||
		      dax_vma_tracks_soft_dirty(vmf->vma)))
		return;
	if (!dax_around_enabled(vmf))
		return;
	dax_around_limit(&around);
	if (!dax_around_choose(&around) ||
	    !dax_around_on_device(&around, pgmap))
		return;
	dax_around_map(&around, pfn);
}

/*
 * Insert a locked empty entry for each page, up to the first that has one.
 * Until they are unlocked, no other fault works on these pages.
 */
static void dax_lock_ahead(struct dax_around *around)
{
	struct address_space *mapping = dax_vmf_mapping(around->vmf);
	XA_STATE(xas, &mapping->i_pages, around->first);
	pgoff_t index = around->first;
	void *entry;

	xas_lock_irq(&xas);
	for (entry = xas_load(&xas); !entry && index <= around->last;
	     entry = xas_next(&xas), index++) {
		xas_store(&xas, dax_make_locked(dax_make_empty(0)));
		/* No memory: the next fault may wait for it. */
		if (xas_error(&xas))
			break;
		mapping->nrpages++;
	}
	xas_unlock_irq(&xas);
	around->last = index - 1;
}

/* Unlock the entries up to @last.  Those that got no blocks stay empty. */
static void dax_unlock_ahead(struct dax_around *around, pgoff_t last)
{
	struct address_space *mapping = dax_vmf_mapping(around->vmf);
	unsigned long pfn = dax_around_pfn(around, around->first);
	XA_STATE(xas, &mapping->i_pages, around->first);
	pgoff_t index;

	xas_lock_irq(&xas);
	xas_load(&xas);
	for (index = around->first; index <= last; index++, pfn++) {
		dax_unlock_walked(&xas, index <= around->last ?
				  dax_make_mapped(pfn, 0) : dax_make_empty(0));
		xas_next(&xas);
	}
	xas_unlock_irq(&xas);
}

/* Replace the empty entries of @nr pages by mapped ones. */
static void dax_ahead_store(struct dax_around *around, pgoff_t index,
			    unsigned long nr)
{
	struct address_space *mapping = dax_vmf_mapping(around->vmf);
	XA_STATE(xas, &mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	for (; nr; nr--, index++) {
		void *entry = dax_make_mapped(dax_around_pfn(around, index), 0);

		xas_replace(&xas, dax_make_locked(entry));
		dax_associate_entry(entry, mapping, index, NULL);
		if (around->write)
			xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
		trace_dax_store_entry(mapping, index, entry, around->write);
		xas_next(&xas);
	}
	xas_unlock_irq(&xas);
	if (around->write)
		dax_around_dirty_inode(around);
}

/*
 * How many bytes of the extent, which has blocks, can be mapped: no other file
 * shares the blocks, and they follow those of the fault.  The caller holds
 * dax_read_lock().
 */
static u64 dax_ahead_length(const struct dax_around *around,
			    const struct iomap_iter *iter)
{
	u64 len = round_down(iomap_length(iter), PAGE_SIZE);
	const struct iomap *iomap = &iter->iomap;
	pfn_t pfn;

	if (!len || (iomap->flags & IOMAP_F_SHARED))
		return 0;
	if (dax_iomap_pfn(iomap, iter->pos, len, &pfn) || !pfn_t_devmap(pfn))
		return 0;
	return pfn_t_to_pfn(pfn) ==
		dax_around_pfn(around, PHYS_PFN(iter->pos)) ? len : 0;
}

/* The pages of the extent get entries. */
static void dax_ahead_mapped(struct dax_around *around, struct iomap_iter *iter)
{
	u64 len = 0;
	int id;

	dax_share_read_lock();
	id = dax_read_lock();
	if (iter->iomap.type == IOMAP_MAPPED)
		len = dax_ahead_length(around, iter);
	if (len) {
		dax_ahead_store(around, PHYS_PFN(iter->pos), PHYS_PFN(len));
		iter->processed = len;
	}
	dax_read_unlock(id);
	dax_share_read_unlock();
}

/* The extent is unwritten: make it written, for stores. */
static void dax_ahead_unwritten(struct dax_around *around,
				struct iomap_iter *iter,
				const struct iomap_ops *ops)
{
	struct iomap_iter convert = {
		.inode	= iter->inode,
		.pos	= iter->pos,
		.len	= round_down(iomap_length(iter), PAGE_SIZE),
		.flags	= iter->flags | IOMAP_WRITE,
	};

	while (iomap_iter(&convert, ops) > 0)
		dax_ahead_mapped(around, &convert);
	iter->processed = convert.pos - iter->pos;
}

/* Map the pages that have got entries. */
static void dax_ahead_map(struct dax_around *around)
{
	struct address_space *mapping = dax_vmf_mapping(around->vmf);
	unsigned long pfn = dax_around_pfn(around, around->first);
	XA_STATE(xas, &mapping->i_pages, around->first);
	struct dev_pagemap *pgmap;

	pgmap = dax_get_entry_pgmap(&xas, dax_make_mapped(pfn, 0),
				    around->first, 0);
	if (pgmap && dax_around_on_device(around, pgmap))
		dax_around_map(around, phys_to_pfn_t(PFN_PHYS(pfn),
						     PFN_DEV | PFN_MAP));
	put_dev_pagemap(pgmap);
}

static struct iomap_iter dax_ahead_iter(const struct dax_around *around)
{
	return (struct iomap_iter) {
		.inode	= dax_vmf_mapping(around->vmf)->host,
		.pos	= (loff_t)around->first << PAGE_SHIFT,
		.len	= PFN_PHYS(around->last - around->first + 1),
		.flags	= IOMAP_DAX | IOMAP_FAULT,
	};
}

/* A store may make unwritten blocks written. */
static bool dax_ahead_has_blocks(const struct dax_around *around,
				 const struct iomap *iomap)
{
	return iomap->type == IOMAP_MAPPED ||
		(around->write && iomap->type == IOMAP_UNWRITTEN);
}

/*
 * Choose the pages after the fault, up to @end, that are in one extent which
 * can be mapped.  Returns false if there are none.
 */
static bool dax_ahead_choose(struct dax_around *around, pgoff_t end,
			     const struct iomap_ops *ops)
{
	const struct vm_fault *vmf = around->vmf;
	pgoff_t next = vmf->pgoff + 1;
	struct iomap_iter iter;
	u64 len = 0;
	int id;

	dax_around_limit(around);
	dax_around_clamp(around, next, end);
	/* The leaf of the fault exists: an entry needs no memory there. */
	dax_around_clamp(around, next, vmf->pgoff | (XA_CHUNK_SIZE - 1));
	/* Blocks beyond the end of the file have no data. */
	dax_around_clamp(around, next, dax_vmf_max_pgoff(vmf) - 1);
	if (around->last < next)
		return false;

	iter = dax_ahead_iter(around);
	/* An error is that of the fault that needs the page. */
	while (iomap_iter(&iter, ops) > 0) {
		id = dax_read_lock();
		if (dax_ahead_has_blocks(around, &iter.iomap))
			len = dax_ahead_length(around, &iter);
		dax_read_unlock(id);
	}
	around->last = next + PHYS_PFN(len) - 1;
	return len;
}

/* Insert entries for the pages after the fault, up to @end, and map them. */
static void dax_ahead(struct dax_around *around, pgoff_t end,
		      const struct iomap_ops *ops,
		      const struct iomap_ops *write_ops)
{
	struct iomap_iter iter;
	pgoff_t last;

	around->ahead = true;
	if (!dax_ahead_choose(around, end, ops))
		return;
	dax_lock_ahead(around);
	last = around->last;
	if (last < around->first)
		return;

	iter = dax_ahead_iter(around);
	while (iomap_iter(&iter, ops) > 0) {
		if (iter.iomap.type == IOMAP_UNWRITTEN && write_ops)
			dax_ahead_unwritten(around, &iter, write_ops);
		else
			dax_ahead_mapped(around, &iter);
	}
	around->last = PHYS_PFN(iter.pos) - 1;
	if (around->last >= around->first)
		dax_ahead_map(around);
	dax_unlock_ahead(around, last);
}

/**
 * dax_read_ahead() - Map pages that follow a read fault, which have no entries
 * @vmf: The fault, of order 0, whose page is mapped.
 * @entry: The entry of the fault, as it was.
 * @ops: The filesystem's block lookup, for reading.
 *
 * Does nothing unless the pages before that of the fault have entries.
 *
 * Context: invalidate_lock held shared, no entry locked.  May sleep.
 */
void dax_read_ahead(struct vm_fault *vmf, void *entry,
		    const struct iomap_ops *ops)
{
	struct dax_around around = {
		.vmf	= vmf,
		.entry	= entry,
		.prot	= vmf->vma->vm_page_prot,
	};
	struct address_space *mapping = dax_vmf_mapping(vmf);
	unsigned long run;

	if (!dax_around_enabled(vmf) ||
	    xa_peek(&mapping->i_pages, vmf->pgoff + 1))
		return;
	run = dax_run_before(mapping, vmf->pgoff);
	if (run >= DAX_AHEAD_MIN_RUN)
		dax_ahead(&around, dax_around_end(vmf, run), ops, NULL);
}

/* How many pages may become dirty after the page of a first store? */
static unsigned long dax_write_ahead_pages(const struct vm_fault *vmf,
					   void *entry)
{
	struct address_space *mapping = dax_vmf_mapping(vmf);
	bool follows;

	/* No lock is held, so these may be outdated. */
	if (!dax_is_known(entry, 0) || dax_entry_order(entry) ||
	    xa_peek(&mapping->i_pages, vmf->pgoff + 1))
		return 0;
	/* The stores to these are counted one by one. */
	if ((vmf->vma->vm_flags & VM_SYNC) ||
	    dax_vma_tracks_soft_dirty(vmf->vma) || !dax_around_enabled(vmf))
		return 0;
	return dax_around_clean_pages(vmf, &follows);
}

static noinline void __dax_write_ahead(struct vm_fault *vmf,
				       const struct iomap_ops *ops,
				       const struct iomap_ops *write_ops)
{
	struct address_space *mapping = dax_vmf_mapping(vmf);
	struct dax_around around = {
		.vmf	= vmf,
		.entry	= xa_peek(&mapping->i_pages, vmf->pgoff),
		.write	= true,
		.prot	= vmf->vma->vm_page_prot,
	};
	unsigned long nr = dax_write_ahead_pages(vmf, around.entry);

	if (nr)
		dax_ahead(&around, dax_around_end(vmf, nr), ops, write_ops);
}

/**
 * dax_write_ahead() - Map pages that follow a write fault, which have no entries
 * @vmf: The fault, of order 0.
 * @ret: What dax_iomap_fault() has returned for it.
 * @ops: The filesystem's block lookup, for reading.
 * @write_ops: The filesystem's block lookup, for writing.
 *
 * Does nothing unless the fault was served, and the pages before that of the
 * fault were stored to.
 *
 * Context: As for the fault: invalidate_lock held shared, freeze protection, and
 * any transaction that must include the block lookup; no entry locked.  Until
 * the lock is dropped, no other file may begin to share blocks of the file.  May
 * sleep.
 */
void dax_write_ahead(struct vm_fault *vmf, vm_fault_t ret,
		     const struct iomap_ops *ops,
		     const struct iomap_ops *write_ops)
{
	/* There may be nothing to gain in all of the file: do not look often. */
	if ((ret & VM_FAULT_NOPAGE) &&
	    IS_ALIGNED(vmf->pgoff, DAX_AROUND_MIN_RUN))
		__dax_write_ahead(vmf, ops, write_ops);
}
EXPORT_SYMBOL_GPL(dax_write_ahead);
