// SPDX-License-Identifier: GPL-2.0-only
/*
 * The DAX entry that a fault works under: find it or make it, and lock it.
 *
 * Faults of several orders meet in one tree.  What is found may be what was
 * asked for, or larger, or smaller, or nothing; the table of what happens then
 * is in Documentation/filesystems/dax-entries.rst.  It is here that entries
 * come into being and make room for each other.  How one waits for a lock and
 * who is woken is the matter of dax-entry.c, which this file stands on.
 *
 *	insert	nothing was there
 *	demote	a larger one cannot serve, and goes
 *	promote	smaller ones are there, and one takes the place of them all
 *
 * PROMOTION asks for what the lock of one entry cannot give: that nobody
 * touches any part of the range, in which there are many entries, and gaps.
 * So it does not lock them.  In one xa_lock section it sees that all of them
 * are unlocked and fit together, and puts one locked, empty entry in the place
 * of all.  From then on who wants any part of the range waits for that one.
 *
 *	prepare		memory, also for the way back: what follows cannot fail
 *	replace		DIRTY and TOWRITE of the small ones go over to the large
 *			one in the same section: an fsync finds it, and waits.
 *			All who sleep on a small one are woken: its key is dead
 *	then, with the lock held, the fault asks the filesystem, and either
 *	finish		the large entry is mapped, or zero, as if found so
 *	undo		the small ones come back as they were.  A TOWRITE that
 *			has come meanwhile goes to each dirty one, and all who
 *			sleep on the large one are woken
 *
 * A small one that is locked is waited for, not exclusively, so that nobody is
 * owed a wakeup; and then all is looked at again.  That has a bound: in a range
 * that is in full use there is always a lock.  Nothing is held while waiting.
 *
 * Page association is none of this file's business.  The pages of mapped small
 * entries keep theirs throughout: they are in the file all the time.
 *
 * Nothing here knows a struct page or a fault code.  The file builds in user
 * space as well, over the same lib/xarray.c: see tools/testing/dax/.
 */

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "dax-internal.h"
#include "dax-trace.h"

/*
 * An entry of a larger order than was asked for serves if it has blocks: they
 * are shared, and dirtied and flushed as one.  It serves a read if it is zero:
 * a small zero page can be mapped under it.  Else it has to make room.
 */
static bool dax_should_demote(void *entry, unsigned int order, bool write)
{
	if (dax_entry_order(entry) <= order)
		return false;
	return dax_is_empty(entry) || (dax_is_zero(entry) && write);
}

/* Remove the unlocked @entry to make room for a smaller one. */
static void dax_demote_entry(struct xa_state *xas, void *entry)
	__must_hold(xas->xa->xa_lock)
{
	/* An empty entry was never mapped. */
	if (dax_is_zero(entry)) {
		/* Locked, so that it does not change or get mapped again. */
		dax_lock_entry(xas, entry);
		xas_unlock_irq(xas);
		dax_unmap_entry(dax_mapping_of(xas), xas->xa_index, entry);
		xas_lock_irq(xas);
	}
	dax_delete_entry(xas, entry, DAX_DELETE_DEMOTE);
}

/*
 * Insert a locked empty entry where there is none.  If memory is short, the
 * error is left in @xas for xas_nomem().
 */
static void *dax_insert_empty_entry(struct xa_state *xas, unsigned int order)
{
	void *entry = dax_make_empty(order);

	/* A store to a larger entry has made @xas forget how wide it is. */
	xas_set_order(xas, xas->xa_index, order);
	xas_store(xas, dax_make_locked(entry));
	if (!xas_error(xas))
		dax_mapping_of(xas)->nrpages += dax_entry_nr_pages(entry);
	return entry;
}

/*
 * Promotion: how often a locked entry is waited for, and how many entries are
 * looked at before a fault goes to the expense of trying.
 */
#define DAX_PROMOTE_WAITS	16
#define DAX_PROMOTE_PEEK	4

static void dax_account_promotion(struct xa_state *xas, unsigned int order,
				  const struct dax_promotion *promotion,
				  enum dax_promote what)
{
	dax_count_promote(what);
	trace_dax_promote_entry(dax_mapping_of(xas), xas->xa_index, order,
				promotion, what);
}

/*
 * Where a mapped entry of a larger order would begin if it was to hold @entry,
 * which is @offset pages from its start.
 */
static unsigned long dax_base_pfn(void *entry, unsigned long offset)
{
	return dax_entry_pfn(entry) - offset;
}

/* Could @entry be a part of one of @order, as far as it can tell alone? */
static bool dax_entry_fits(void *entry, unsigned long offset,
			   unsigned int order)
{
	if (dax_entry_order(entry))
		return false;
	return !dax_is_mapped(entry) ||
		IS_ALIGNED(dax_base_pfn(entry, offset), 1UL << order);
}

/*
 * Does it make sense to try?  Smaller entries were found in the range of
 * @order at @start; a look at the first few tells most of those that are
 * fragmented.
 */
static bool dax_may_promote(struct xarray *xa, pgoff_t start,
			    unsigned int order)
{
	pgoff_t last = start + (1UL << order) - 1;
	unsigned int seen = 0;
	XA_STATE(xas, xa, start);
	void *entry;

	xas_for_each(&xas, entry, last) {
		if (!xa_is_value(entry))
			return false;
		/* Another fault was quicker: nothing is in the way any more. */
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

/* The maps are complete. */
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
 * Look at one leaf of the tree, or as much of it as the range has.  This goes
 * by the slots and not by xas_for_each() and xas_get_mark(): there are 512, irqs
 * are off, and most often each is a page on from the one before.
 */
static int dax_scan_leaf(struct xa_state *xas, struct dax_promotion *p,
			 unsigned int offset, unsigned int nr)
{
	struct xa_node *node = xas->xa_node;
	unsigned int slot = xas->xa_offset;
	const unsigned long *dirty =
		node->marks[(__force unsigned int)PAGECACHE_TAG_DIRTY];
	void *expected = NULL;
	int ret;

	for (; nr; nr--, offset++, slot++) {
		void *entry = xa_entry_locked(xas->xa, node, slot);

		if (entry && entry == expected) {
			dax_record_mapped(p, offset, test_bit(slot, dirty));
			expected = dax_next_pfn_entry(entry);
			continue;
		}
		expected = NULL;
		if (!entry)
			continue;
		ret = dax_record_small(p, entry, offset, test_bit(slot, dirty));
		if (ret) {
			p->conflict_offset = offset;
			return ret;
		}
		if (dax_is_mapped(entry))
			expected = dax_next_pfn_entry(entry);
	}
	return 0;
}

/* There is no node, as this is the only entry of the file. */
static int dax_scan_root(struct xa_state *xas, struct dax_promotion *p,
			 void *entry, unsigned int offset)
{
	p->conflict_offset = offset;
	return dax_record_small(p, entry, offset,
				xas_get_mark(xas, PAGECACHE_TAG_DIRTY));
}

/*
 * Look at all entries of the range, and write them down.  Returns 0 if they fit
 * together; -ERANGE if not; -EAGAIN if one is locked, which is
 * at @p->conflict_offset.
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
		if (xas_not_node(xas.xa_node)) {
			if (entry)
				ret = dax_scan_root(&xas, p, entry, offset);
		} else if (!xas.xa_node->shift) {
			ret = dax_scan_leaf(&xas, p, offset, step);
		} else if (entry) {
			ret = -ERANGE;
		}
	}
	if (!ret)
		dax_count_small(p);
	return ret;
}

/*
 * Put one locked empty entry in the place of those that were just looked at.
 * xas_store() lets the new one have each mark that any of the old ones had.  If
 * memory is short, the error is left in @xas for xas_nomem(), and nothing has
 * changed.
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

/*
 * Promote the small entries that were found in the range of @xas.  Returns 0
 * with the large entry in @entryp, or with the want of memory noted in @xas;
 * -EBUSY to look again, as the xa_lock was dropped; -ERANGE or -EAGAIN to give
 * up.
 */
static int dax_promote_small(struct xa_state *xas, struct dax_promotion *p,
			     void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	XA_STATE(scan, xas->xa, 0);
	int ret;

	ret = dax_scan_small(xas->xa, xas->xa_index, p);
	if (!ret) {
		*entryp = dax_replace_small(xas, p);
		return 0;
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

/* What a promotion needs, and what it takes to undo it. */
static struct dax_promotion *dax_alloc_promotion(struct xa_state *xas,
						 unsigned int order, gfp_t gfp)
{
	/* What undo starts from; nobody sees it. */
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
 * dax_unmap_promoted_zero() - Unmap the zero pages of promoted entries
 * @xas: The start of the entry that replaced them.
 * @promotion: The small entries.
 *
 * For who puts blocks in their place.  Pages that are mapped stay mapped.
 *
 * Context: Process context; the large entry locked.  May sleep.
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
 * dax_finish_promotion() - The range is one entry, and stays so
 * @xas: The start of the entry.
 * @promotion: The small entries, which are forgotten.
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

/* The small entry at @offset, as it was; NULL if there was none. */
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

/* Put small entries where xas_split() has left copies of the large one. */
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
		/* The marks of the large one are on each of them. */
		if (!test_bit(offset, p->dirty)) {
			xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
			xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
		}
	}
	return nr;
}

/**
 * dax_undo_promotion() - Give the small entries back their place
 * @xas: The start of the large entry, which the caller has locked.
 * @promotion: The small entries; forgotten afterwards.
 * @with_zero: Whether the zero ones come back, too.  Not if they may have got
 *	blocks: the caller has then called dax_unmap_promoted_zero().
 *
 * Takes no memory.  The entry is unlocked by it, as it goes.
 *
 * Context: Any in which irqs are on; the xa_lock must not be held.
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
 * dax_peek_entry() - Would the grab of an entry be refused?
 * @mapping: The mapping.
 * @index: A page offset in the range of the fault.
 * @order: The order of the fault.
 * @write: Whether the fault is for writing, for the trace.
 * @promote: Whether smaller entries may be promoted.
 *
 * Spares a filesystem the transaction of a fault that would only be refused.
 *
 * Context: Process context; takes the xa_lock.
 * Return: 0 if the fault is worth its while; or as dax_grab_entry(): -EBUSY,
 * -ERANGE.  That may no longer be true when the answer arrives.
 */
int dax_peek_entry(struct address_space *mapping, pgoff_t index,
		   unsigned int order, bool write, bool promote)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	void *entry;
	int ret = 0;

	xas_lock_irq(&xas);
	entry = xas_find_conflict(&xas);
	if (xa_is_value(entry) && dax_entry_order(entry) < order) {
		if (!promote || order > DAX_PROMOTE_MAX_ORDER)
			ret = -EBUSY;
		else if (!dax_may_promote(xas.xa, xas.xa_index, order))
			ret = -ERANGE;
	}
	if (ret == -ERANGE) {
		dax_account_promotion(&xas, order, NULL, DAX_PROMOTE_TRY);
		dax_account_promotion(&xas, order, NULL, DAX_PROMOTE_FRAGMENTED);
	}
	if (ret)
		trace_dax_grab_entry(mapping, xas.xa_index, order, write, entry,
				     DAX_GRAB_REFUSE);
	xas_unlock_irq(&xas);
	return ret;
}

/*
 * Find an entry that is not locked and not too small: so, or by promotion if
 * @p is there to do it with.
 */
static int dax_find_entry(struct xa_state *xas, unsigned int order, bool write,
			  struct dax_promotion *p, void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	void *small = NULL;
	int ret;

	do {
		ret = dax_get_unlocked_entry(xas, order, entryp);
		if (ret != -EBUSY || !p)
			break;
		small = *entryp;
		ret = dax_promote_small(xas, p, entryp);
	} while (ret == -EBUSY);

	if (!ret && p && p->nr)
		trace_dax_grab_entry(dax_mapping_of(xas), xas->xa_index, order,
				     write, small, DAX_GRAB_PROMOTE);
	return ret;
}

static int dax_grab_entry_locked(struct xa_state *xas, unsigned int order,
				 bool write, void **entryp, bool *dirtyp,
				 struct dax_promotion *p)
	__must_hold(xas->xa->xa_lock)
{
	struct address_space *mapping = dax_mapping_of(xas);
	pgoff_t index = xas->xa_index;
	void *entry;
	int ret;

	ret = dax_find_entry(xas, order, write, p, &entry);
	/* Refused; or promoted, and locked; or memory is short. */
	if (ret || xas_error(xas) || (p && p->nr)) {
		*entryp = entry;
		return ret;
	}

	if (entry && dax_should_demote(entry, order, write)) {
		trace_dax_grab_entry(mapping, index, order, write, entry,
				     DAX_GRAB_DEMOTE);
		dax_demote_entry(xas, entry);
		entry = NULL;
	}

	if (entry) {
		trace_dax_grab_entry(mapping, index, order, write, entry,
				     DAX_GRAB_LOCK);
		dax_lock_entry(xas, entry);
		if (dirtyp)
			*dirtyp = xas_get_mark(xas, PAGECACHE_TAG_DIRTY);
	} else {
		entry = dax_insert_empty_entry(xas, order);
		if (!xas_error(xas))
			trace_dax_grab_entry(mapping, index, order, write, NULL,
					     DAX_GRAB_INSERT);
	}
	*entryp = entry;
	return 0;
}

/* Say how it ended that smaller entries were met. */
static void dax_account_attempt(struct xa_state *xas, unsigned int order,
				const struct dax_promotion *p, int ret)
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
		/* Else it was noted under the xa_lock. */
		if (!p->nr)
			dax_account_promotion(xas, order, p, DAX_PROMOTE_GONE);
	}
}

static int dax_try_grab(struct xa_state *xas, unsigned int order, bool write,
			void **entryp, bool *dirtyp, struct dax_promotion *p)
{
	int ret;

	xas_lock_irq(xas);
	ret = dax_grab_entry_locked(xas, order, write, entryp, dirtyp, p);
	xas_unlock_irq(xas);
	return ret;
}

/* Smaller entries were met.  Is it worth it, and is there memory for it? */
static int dax_prepare_promotion(struct xa_state *xas, unsigned int order,
				 gfp_t gfp, struct dax_promotion **promotionp)
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

/*
 * What dax_grab_entry() does when the first try has ended with @ret: memory is
 * short, or smaller entries are in the way.
 */
static int dax_grab_slowpath(struct xa_state *xas, unsigned int order,
			     bool write, void **entryp,
			     struct dax_promotion **promotionp, int ret)
{
	gfp_t gfp = mapping_gfp_mask(dax_mapping_of(xas)) & ~__GFP_HIGHMEM;
	bool promote = promotionp && order <= DAX_PROMOTE_MAX_ORDER;
	struct dax_promotion *p = NULL;
	bool tried = false;

	for (;;) {
		/* Also frees what an earlier round allocated and nobody used. */
		if (!xas_nomem(xas, gfp)) {
			if (ret != -EBUSY || !promote)
				break;
			tried = true;
			ret = dax_prepare_promotion(xas, order, gfp, &p);
			if (ret)
				break;
		}
		ret = dax_try_grab(xas, order, write, entryp, NULL, p);
	}

	if (!ret)
		ret = xas_error(xas);
	else if (ret != -EIO)
		trace_dax_grab_entry(dax_mapping_of(xas), xas->xa_index, order,
				     write, *entryp, DAX_GRAB_REFUSE);
	if (tried)
		dax_account_attempt(xas, order, p, ret);
	if (p && (ret || !p->nr)) {
		dax_free_promotion(p);
		p = NULL;
	}
	if (promotionp)
		*promotionp = p;
	return ret;
}

/**
 * dax_grab_entry() - Find or make the entry for a fault, and lock it
 * @xas: Made for @order at the page offset of the fault.
 * @order: The order of the fault.
 * @write: Whether the fault will write to the file.
 * @entryp: Where to put the entry, without the lock bit.
 * @dirtyp: Where to put whether it was found dirty, or NULL.  False, too, if
 *	the grab took more than one try.
 * @promotionp: Where to put what was promoted, or NULL if nothing was; NULL to
 *	have a request refused that meets smaller entries.
 *
 * What is found may be larger than @order: a mapped entry, which all sizes
 * share, or, if not @write, a zero entry.  Where nothing is found, an empty
 * entry of @order takes the place.
 *
 * If something was promoted, the entry is empty, and it may be marked.  The
 * caller passes *@promotionp to dax_finish_promotion() once it has stored an
 * entry that says all that the small ones said, or else to
 * dax_undo_promotion() in place of the unlock.
 *
 * Context: Process context.  The filesystem's transaction or freeze protection
 * is outside the entry lock, its block lookup inside.  May sleep, may allocate.
 * Return: 0 with the entry locked; if smaller entries are in the way and stay:
 * -EBUSY if they may not be promoted, -ERANGE if their blocks are not one run
 * that is aligned to @order, -EAGAIN if one or another of them was always
 * locked; -ENOMEM; -EIO if a folio is there.
 */
int dax_grab_entry(struct xa_state *xas, unsigned int order, bool write,
		   void **entryp, bool *dirtyp,
		   struct dax_promotion **promotionp)
{
	int ret;

	if (dirtyp)
		*dirtyp = false;
	if (promotionp)
		*promotionp = NULL;
	ret = dax_try_grab(xas, order, write, entryp, dirtyp, NULL);
	if (!ret && !xas_error(xas))
		return 0;
	return dax_grab_slowpath(xas, order, write, entryp, promotionp, ret);
}

/**
 * dax_count_mapped_pages() - How much of a range has entries
 * @mapping: The mapping.
 * @index: A page offset in the range.
 * @order: The order of the range.
 *
 * Context: Any in which irqs are on; takes the xa_lock.
 * Return: How many pages of the range have an entry with blocks.
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
