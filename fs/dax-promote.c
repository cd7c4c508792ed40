// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion of DAX entries: many small entries become one large entry.
 *
 * A fault of a large order may find small entries in its range.  The lock of a
 * single entry cannot keep others out of such a range, because the range has
 * many entries and gaps.  Promotion does not lock the small entries.  In one
 * xa_lock section it checks that all of them are unlocked and fit together, and
 * replaces them by one large entry that is locked and empty.  From then on,
 * each task that needs a part of the range waits for the large entry.
 *
 *	prepare		Allocate memory, also for the rollback, which therefore
 *			cannot fail.
 *	replace		Store the large entry.  It inherits DIRTY and TOWRITE in
 *			the same xa_lock section, so an fsync finds it and waits
 *			for it.  All waiters of the small entries are woken,
 *			because their wait keys are not used any more.  If the
 *			tree needs another node, the caller allocates it without
 *			the xa_lock and tries again.
 *
 * The fault then calls ->iomap_begin with the large entry locked, and either
 *
 *	finishes	The fault stores a mapped or zero entry in place of the
 *			empty one.
 *	rolls back	The small entries are restored.  If an fsync has set
 *			TOWRITE meanwhile, each dirty small entry gets it.  All
 *			waiters of the large entry are woken.
 *
 * If a small entry is locked, promotion waits for it and then checks the range
 * again.  The wait is not exclusive, so promotion need not wake other waiters.
 * The number of waits is bounded, because in a busy range each check may find a
 * locked entry.
 *
 * The pages of mapped small entries stay associated with the file throughout
 * (dax-page.c), because they belong to the file all the time.
 *
 * This file uses neither struct page nor fault codes.  It also builds in user
 * space, see tools/testing/dax/.
 */

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/xarray_slot.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* How many times a promotion waits for a locked entry. */
#define DAX_PROMOTE_WAITS	16

/* How many entries are checked before memory is allocated. */
#define DAX_PROMOTE_PEEK	4

/**
 * dax_account_promotion() - Count and trace a step of a promotion
 * @xas: The start of the range.
 * @order: The order of the range.
 * @promotion: The small entries, or NULL if they have not been read.
 * @what: The step.
 *
 * Context: Any.
 */
void dax_account_promotion(struct xa_state *xas, unsigned int order,
			   const struct dax_promotion *promotion,
			   enum dax_promote what)
{
	dax_count_promote(what);
	trace_dax_promote_entry(dax_mapping_of(xas), xas->xa_index, order,
				promotion, what);
}

/*
 * The first pfn of the large mapped entry that would contain the mapped @entry
 * at @offset.
 */
static unsigned long dax_base_pfn(void *entry, unsigned long offset)
{
	return dax_entry_pfn(entry) - offset;
}

/* Check @entry alone: is it small, and are its blocks aligned to @order? */
static bool dax_entry_fits(void *entry, unsigned long offset,
			   unsigned int order)
{
	if (dax_entry_order(entry))
		return false;
	return !dax_is_mapped(entry) ||
		IS_ALIGNED(dax_base_pfn(entry, offset), 1UL << order);
}

/**
 * dax_may_promote() - Check the first entries of a range before promotion
 * @xa: The tree.
 * @start: The first page offset of the range.
 * @order: The order of the range.
 *
 * Most ranges that are fragmented show it in their first few entries.
 *
 * Context: xa_lock held.
 * Return: false if the range cannot be promoted.  true if it may be possible.
 */
bool dax_may_promote(struct xarray *xa, pgoff_t start, unsigned int order)
{
	pgoff_t last = start + (1UL << order) - 1;
	unsigned int seen = 0;
	XA_STATE(xas, xa, start);
	void *entry;

	xas_for_each(&xas, entry, last) {
		if (!xa_is_value(entry))
			return false;
		/* Another fault has replaced the small entries already. */
		if (dax_entry_order(entry) >= order)
			break;
		if (!dax_entry_fits(entry, xas.xa_index - start, order))
			return false;
		if (++seen == DAX_PROMOTE_PEEK)
			break;
	}
	return true;
}

static void dax_clear_small(struct dax_promotion *p)
{
	unsigned int nr = 1U << p->order;

	p->nr_mapped = 0;
	bitmap_zero(p->mapped, nr);
	bitmap_zero(p->zero, nr);
	bitmap_zero(p->empty, nr);
	bitmap_zero(p->dirty, nr);
}

static void dax_count_small(struct dax_promotion *p)
{
	unsigned int nr = 1U << p->order;

	p->nr_mapped = bitmap_weight(p->mapped, nr);
	p->nr_zero = bitmap_weight(p->zero, nr);
	p->nr_dirty = bitmap_weight(p->dirty, nr);
	p->nr = p->nr_mapped + p->nr_zero + bitmap_weight(p->empty, nr);
}

static void dax_record_mapped(struct dax_promotion *p, unsigned int offset,
			      bool dirty)
{
	__set_bit(offset, p->mapped);
	if (dirty)
		__set_bit(offset, p->dirty);
}

/* Returns 0; -ERANGE if @entry does not fit; -EAGAIN if it is locked. */
static int dax_record_small(struct dax_promotion *p, void *entry,
			    unsigned int offset, bool dirty)
{
	if (!xa_is_value(entry) || !dax_entry_fits(entry, offset, p->order))
		return -ERANGE;
	if (dax_is_locked(entry))
		return -EAGAIN;

	if (dax_is_zero(entry)) {
		__set_bit(offset, p->zero);
	} else if (dax_is_empty(entry)) {
		__set_bit(offset, p->empty);
	} else {
		unsigned long base = dax_base_pfn(entry, offset);

		if (p->nr_mapped && base != p->pfn)
			return -ERANGE;
		p->pfn = base;
		p->nr_mapped++;
		dax_record_mapped(p, offset, dirty);
	}
	return 0;
}

/*
 * Record the entries in one leaf of the tree, or in the part of it that belongs
 * to the range.  Reading the slots one by one is faster than xas_for_each() and
 * xas_get_mark().  Irqs are off here, a range has 512 slots, and in most of
 * them the pfn is the next one after that of the slot before.
 */
static int dax_scan_leaf(const struct xa_state *xas, struct dax_promotion *p,
			 unsigned int offset, unsigned int nr)
{
	void *expected = NULL;
	unsigned int slot;
	int ret;

	for (slot = 0; slot < nr; slot++, offset++) {
		void *entry = xas_leaf_entry(xas, slot);
		bool dirty;

		if (!entry) {
			expected = NULL;
			continue;
		}
		dirty = xas_leaf_marked(xas, slot, PAGECACHE_TAG_DIRTY);
		if (entry == expected) {
			dax_record_mapped(p, offset, dirty);
			expected = dax_next_pfn_entry(entry);
			continue;
		}
		ret = dax_record_small(p, entry, offset, dirty);
		if (ret) {
			p->conflict_offset = offset;
			return ret;
		}
		expected = dax_is_mapped(entry) ? dax_next_pfn_entry(entry) :
						  NULL;
	}
	return 0;
}

/*
 * Record an entry that is not in a leaf: the only one of the file, at offset 0,
 * or a larger one, which does not fit.
 */
static int dax_scan_single(struct xa_state *xas, struct dax_promotion *p,
			   void *entry, unsigned int offset)
{
	p->conflict_offset = offset;
	return dax_record_small(p, entry, offset,
				xas_get_mark(xas, PAGECACHE_TAG_DIRTY));
}

/*
 * Record all entries of the range.  Returns 0 if they fit together; -ERANGE if
 * they do not; -EAGAIN if the entry at @p->conflict_offset is locked.
 */
static int dax_scan_small(struct xarray *xa, pgoff_t start,
			  struct dax_promotion *p)
{
	unsigned int step = min(1U << p->order, (unsigned int)XA_CHUNK_SIZE);
	XA_STATE(xas, xa, start);
	unsigned int offset;
	void *entry;
	int ret = 0;

	dax_clear_small(p);
	for (offset = 0; offset < 1U << p->order && !ret; offset += step) {
		xas_set(&xas, start + offset);
		entry = xas_load(&xas);
		if (xas_in_leaf(&xas))
			ret = dax_scan_leaf(&xas, p, offset, step);
		else if (entry)
			ret = dax_scan_single(&xas, p, entry, offset);
	}
	if (!ret)
		dax_count_small(p);
	return ret;
}

/*
 * Replace the small entries that were recorded by one locked empty entry.
 * xas_store() gives it each mark that any of the small entries had.  If a node
 * cannot be allocated, the error is left in @xas for xas_nomem() and the tree
 * is unchanged.
 */
static void *dax_replace_small(struct xa_state *xas, struct dax_promotion *p)
{
	void *entry = dax_make_empty(p->order);

	xas_set_order(xas, xas->xa_index, p->order);
	xas_store(xas, dax_make_locked(entry));
	if (xas_error(xas)) {
		p->nr = 0;
		return NULL;
	}

	dax_mapping_of(xas)->nrpages += dax_entry_nr_pages(entry) - p->nr;
	dax_account_promotion(xas, p->order, p, DAX_PROMOTE_REPLACE);
	dax_wake_pages(xas, xas->xa_index, 1U << p->order);
	return entry;
}

/**
 * dax_promote_small() - Replace the small entries of a range by a large one
 * @xas: The start of the range.
 * @p: From dax_prepare_promotion().
 * @entryp: Where to put the large entry, without the lock bit.
 *
 * Context: Process context, xa_lock held; dropped and retaken to wait.  May
 * sleep.
 * Return: 0 with the large entry locked and @p->nr set; -ENOMEM, also noted in
 * @xas for xas_nomem(); -EBUSY if the xa_lock was dropped, and the caller must
 * look the range up again; -ERANGE if the entries do not fit together; -EAGAIN
 * if an entry was locked after each of the waits.
 */
int dax_promote_small(struct xa_state *xas, struct dax_promotion *p,
		      void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	XA_STATE(scan, xas->xa, 0);
	int ret;

	ret = dax_scan_small(xas->xa, xas->xa_index, p);
	if (!ret) {
		*entryp = dax_replace_small(xas, p);
		return xas_error(xas);
	}
	p->nr = 0;
	if (ret != -EAGAIN || p->waits == DAX_PROMOTE_WAITS)
		return ret;
	p->waits++;
	xas_set(&scan, xas->xa_index + p->conflict_offset);
	dax_wait_entry(&scan, xas_load(&scan));
	return -EBUSY;
}

static void dax_free_promotion(struct dax_promotion *p)
{
	if (!p)
		return;
	xas_destroy(&p->undo);
	kfree(p);
}

/* Allocate a promotion, and the tree nodes that its rollback needs. */
static struct dax_promotion *dax_alloc_promotion(struct xa_state *xas,
						 unsigned int order, gfp_t gfp)
{
	/* The rollback overwrites these entries before it drops the xa_lock. */
	void *fill = dax_make_locked(dax_make_empty(0));
	struct dax_promotion *p = kzalloc(sizeof(*p), gfp);

	if (!p)
		return NULL;
	p->undo = (struct xa_state)__XA_STATE(xas->xa, xas->xa_index, 0, 0);
	p->order = order;
	xas_split_alloc(&p->undo, fill, order, gfp);
	if (xas_error(&p->undo)) {
		kfree(p);
		return NULL;
	}
	return p;
}

/**
 * dax_prepare_promotion() - Allocate what a promotion and its rollback need
 * @xas: The start of the range, in which small entries were found.
 * @order: The order of the range, at most DAX_PROMOTE_MAX_ORDER.
 * @gfp: How to allocate.
 * @promotionp: Where to put the promotion, for dax_end_attempt().
 *
 * Context: Process context; takes the xa_lock.  May sleep.
 * Return: 0; -ERANGE if the range cannot be promoted; -ENOMEM.
 */
int dax_prepare_promotion(struct xa_state *xas, unsigned int order, gfp_t gfp,
			  struct dax_promotion **promotionp)
{
	bool may;

	dax_account_promotion(xas, order, NULL, DAX_PROMOTE_TRY);
	xas_lock_irq(xas);
	may = dax_may_promote(xas->xa, xas->xa_index, order);
	xas_unlock_irq(xas);
	if (!may)
		return -ERANGE;
	*promotionp = dax_alloc_promotion(xas, order, gfp);
	return *promotionp ? 0 : -ENOMEM;
}

/**
 * dax_end_attempt() - Account how an attempt to promote has ended
 * @xas: The start of the range.
 * @order: The order of the range.
 * @p: From dax_prepare_promotion(), or NULL if that failed.
 * @ret: The result of the grab.
 *
 * Context: Process context.
 * Return: @p if it replaced the small entries; NULL if it did not, and @p is
 * freed.
 */
struct dax_promotion *dax_end_attempt(struct xa_state *xas, unsigned int order,
				      struct dax_promotion *p, int ret)
{
	switch (ret) {
	case -ERANGE:
		dax_account_promotion(xas, order, p, DAX_PROMOTE_FRAGMENTED);
		break;
	case -EAGAIN:
		dax_account_promotion(xas, order, p, DAX_PROMOTE_LOCKED);
		break;
	case -ENOMEM:
		dax_account_promotion(xas, order, p, DAX_PROMOTE_NO_MEMORY);
		break;
	default:
		/* dax_replace_small() has accounted a replacement. */
		if (!p->nr)
			dax_account_promotion(xas, order, p, DAX_PROMOTE_GONE);
	}
	if (ret || !dax_has_promoted(p)) {
		dax_free_promotion(p);
		p = NULL;
	}
	return p;
}

/**
 * dax_unmap_promoted_zero() - Unmap the zero pages of promoted entries
 * @xas: The start of the large entry.
 * @promotion: The small entries.
 *
 * For a caller that puts blocks in the place of holes.  The pages of mapped
 * small entries stay mapped.
 *
 * Context: Process context; the large entry is locked.  May sleep.
 */
void dax_unmap_promoted_zero(struct xa_state *xas,
			     const struct dax_promotion *promotion)
{
	unsigned int first, end;

	for_each_set_bitrange(first, end, promotion->zero,
			      1U << promotion->order)
		unmap_mapping_pages(dax_mapping_of(xas), xas->xa_index + first,
				    end - first, false);
}

/**
 * dax_finish_promotion() - Complete a promotion: the large entry stays
 * @xas: The start of the large entry.
 * @promotion: The small entries.  Freed.
 *
 * Context: Any.
 */
void dax_finish_promotion(struct xa_state *xas,
			  struct dax_promotion *promotion)
{
	dax_account_promotion(xas, promotion->order, promotion,
			      DAX_PROMOTE_DONE);
	dax_free_promotion(promotion);
}

/* The small entry to restore at @offset, or NULL. */
static void *dax_small_entry(const struct dax_promotion *p,
			     unsigned int offset, bool with_zero)
{
	if (test_bit(offset, p->mapped))
		return dax_make_mapped(p->pfn + offset, 0);
	if (test_bit(offset, p->zero) && with_zero)
		return dax_make_zero(0);
	if (test_bit(offset, p->empty))
		return dax_make_empty(0);
	return NULL;
}

/*
 * Overwrite the entries that xas_split() has left.  Returns how many entries
 * are restored.
 */
static unsigned int dax_restore_small(struct xa_state *xas,
				      const struct dax_promotion *p,
				      bool with_zero)
{
	pgoff_t start = xas->xa_index;
	unsigned int offset, nr = 0;

	for (offset = 0; offset < 1U << p->order; offset++) {
		void *entry = dax_small_entry(p, offset, with_zero);

		xas_set(xas, start + offset);
		xas_store(xas, entry);
		if (!entry)
			continue;
		nr++;
		/* xas_split() has copied the marks of the large entry. */
		if (!test_bit(offset, p->dirty)) {
			xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
			xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
		}
	}
	return nr;
}

/**
 * dax_undo_promotion() - Restore the small entries
 * @xas: The start of the large entry, which the caller has locked.
 * @promotion: The small entries.  Freed.
 * @with_zero: Whether zero entries are restored, too.  false if their holes may
 *	have been filled: the caller has called dax_unmap_promoted_zero() then.
 *
 * Replaces the unlock of the large entry.  Does not allocate.
 *
 * Context: Any with irqs enabled; the xa_lock must not be held.
 */
void dax_undo_promotion(struct xa_state *xas, struct dax_promotion *promotion,
			bool with_zero)
{
	void *large = dax_make_empty(promotion->order);
	XA_STATE(small, xas->xa, xas->xa_index);

	xas_reset(xas);
	xas_lock_irq(xas);
	WARN_ON_ONCE(xas_load(xas) != dax_make_locked(large));
	xas_split(&promotion->undo, large, promotion->order);
	dax_mapping_of(xas)->nrpages -= dax_entry_nr_pages(large) -
		dax_restore_small(&small, promotion, with_zero);
	xas_reset(xas);
	dax_account_promotion(xas, promotion->order, promotion,
			      DAX_PROMOTE_ROLLBACK);
	dax_wake_entry(xas, large, DAX_WAKE_ALL);
	xas_unlock_irq(xas);
	dax_free_promotion(promotion);
}

/**
 * dax_count_mapped_pages() - Count the pages of a range in mapped entries
 * @mapping: The mapping.
 * @index: A page offset in the range.
 * @order: The order of the range.
 *
 * Context: Any with irqs enabled; takes the xa_lock.
 * Return: How many pages of the range are in mapped entries.
 */
unsigned int dax_count_mapped_pages(struct address_space *mapping,
				    pgoff_t index, unsigned int order)
{
	pgoff_t start = round_down(index, 1UL << order);
	pgoff_t last = start + (1UL << order) - 1;
	XA_STATE(xas, &mapping->i_pages, start);
	unsigned int nr = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, last) {
		if (xa_is_value(entry) && dax_is_mapped(entry))
			nr += min(dax_entry_nr_pages(entry), 1UL << order);
	}
	xas_unlock_irq(&xas);
	return nr;
}
