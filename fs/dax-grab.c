// SPDX-License-Identifier: GPL-2.0-only
/*
 * Find or create the DAX entry for a fault, and lock it.
 *
 * Faults of several orders use one tree.  A fault may find an entry of its own
 * order, a larger one, smaller ones, or none.  What happens in each case is in
 * the table in Documentation/filesystems/dax-entries.rst:
 *
 *	insert	There is no entry: store an empty one.
 *	lock	The entry can serve the fault, whatever its order.
 *	demote	A larger entry cannot serve the fault: delete it.
 *	promote	Smaller entries are in the range: replace them by one
 *		(dax-promote.c).
 *	refuse	Smaller entries are in the range and cannot be promoted.
 *
 * This file knows neither struct page nor fault codes.  It also builds in user
 * space, see tools/testing/dax/.
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

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

static int dax_try_grab(struct xa_state *xas, unsigned int order, bool write,
			void **entryp, bool *dirtyp, struct dax_promotion *p)
{
	int ret;

	xas_lock_irq(xas);
	ret = dax_grab_entry_locked(xas, order, write, entryp, dirtyp, p);
	xas_unlock_irq(xas);
	return ret;
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
		p = dax_end_attempt(xas, order, p, ret);
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
