// SPDX-License-Identifier: GPL-2.0-only
/*
 * Find or create the DAX entry for a fault, and lock it.
 *
 * Faults of several orders use one tree.  A fault may find an entry of its own
 * order, a larger one, smaller ones, or none.  The table of order conflicts in
 * Documentation/filesystems/dax-entries.rst has the step for each case:
 *
 *	insert	There is no entry: store an empty one.
 *	lock	The entry can serve the fault, whatever its order.
 *	demote	A larger entry cannot serve the fault: delete it.
 *	promote	Smaller entries are in the range: replace them by one
 *		(dax-promote.c).
 *	refuse	Smaller entries are in the range and cannot be promoted.  Or the
 *		fault is a write of a large order, and the stores to the entry
 *		are tracked by page (dax-dirty.c).
 *
 * dax_grab_mapped() is for the common case: it locks a mapped entry that can
 * serve the fault, and takes none of these steps.
 *
 * This file uses neither struct page nor fault codes.  It also builds in user
 * space, see tools/testing/dax/.
 */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "dax-internal.h"
#include "dax-trace.h"

/*
 * Must a larger entry be deleted before the fault can be served?  A mapped
 * entry serves faults of all smaller orders.  A zero entry can serve a read: a
 * small zero page is mapped under it.
 */
static bool dax_should_demote(void *entry, unsigned int order, bool write)
{
	if (dax_entry_order(entry) <= order)
		return false;
	return dax_is_empty(entry) || (dax_is_zero(entry) && write);
}

/* Must the store be made through a small page, see dax-dirty.c? */
static bool dax_refuses(void *entry, const struct dax_grab *grab)
{
	return grab->write && grab->order && !grab->keep_huge &&
		dax_is_by_page(entry);
}

/* Delete the unlocked @entry, so that a smaller one can be inserted. */
static void dax_demote_entry(struct xa_state *xas, void *entry)
	__must_hold(xas->xa->xa_lock)
{
	/* An empty entry is not mapped. */
	if (dax_is_zero(entry)) {
		/*
		 * Locked, so that it does not change and is not mapped again.
		 */
		dax_lock_entry(xas, entry);
		xas_unlock_irq(xas);
		dax_unmap_entry(dax_mapping_of(xas), xas->xa_index, entry);
		xas_lock_irq(xas);
	}
	dax_delete_entry(xas, entry, DAX_DELETE_DEMOTE);
}

/*
 * Insert a locked empty entry where there is none.  If a node cannot be
 * allocated, the error is left in @xas for xas_nomem().
 */
static void *dax_insert_empty_entry(struct xa_state *xas, unsigned int order)
{
	void *entry = dax_make_empty(order);

	/* A store to a larger entry has changed the order in @xas. */
	xas_set_order(xas, xas->xa_index, order);
	xas_store(xas, dax_make_locked(entry));
	if (!xas_error(xas))
		dax_mapping_of(xas)->nrpages += dax_entry_nr_pages(entry);
	return entry;
}

/**
 * dax_grab_mapped() - Lock a mapped entry for a fault that changes no blocks
 * @xas: Made for the order of the grab at the page offset of the fault.
 * @grab: The request, and its result.
 *
 * A mapped entry keeps its blocks while it is locked.  For a read there is
 * nothing to ask the filesystem.  For a write there is not either, if the file
 * shares no blocks, or if the page is dirty already: the blocks were the file's
 * own when the page became dirty, and the mark is cleared before other files
 * may share them.  The mark of a large entry does not tell that, because the
 * entry is dirty as a whole and may be shared in part.
 *
 * The entry of a write is marked dirty.
 *
 * Context: Process context; nests as dax_grab_entry().  May sleep.
 * Return: true with the entry locked; false if the fault needs the filesystem.
 */
bool dax_grab_mapped(struct xa_state *xas, struct dax_grab *grab)
{
	void *entry;
	bool dirty;

	grab->dirtied = false;
	grab->crowded = false;
	xas_lock_irq(xas);
	entry = xas_load(xas);
	if (!xa_is_value(entry) || dax_is_locked(entry)) {
		if (dax_get_unlocked_entry(xas, grab->order, &entry))
			goto refuse;
	}
	dirty = grab->write && entry && xas_get_mark(xas, PAGECACHE_TAG_DIRTY);
	if (!dax_is_known(entry, grab->order) || dax_refuses(entry, grab) ||
	    (grab->write && !grab->unshared &&
	     (!dirty || dax_entry_order(entry)))) {
		dax_put_unlocked_entry(xas, entry);
		goto refuse;
	}
	dax_lock_entry(xas, entry);
	if (grab->write && !dirty) {
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
		grab->dirtied = true;
	}
	/* Even if it is dirty, this page may not be. */
	if (grab->write && dax_is_by_page(entry)) {
		entry = dax_record_store(xas, entry, xas->xa_index,
					 grab->order);
		grab->crowded = !grab->order && !dax_is_by_page(entry);
	}
	xas_unlock_irq(xas);
	grab->entry = entry;
	return true;

refuse:
	xas_unlock_irq(xas);
	return false;
}

/**
 * dax_peek_entry() - Check whether dax_grab_entry() would refuse
 * @mapping: The mapping.
 * @index: A page offset in the range of the fault.
 * @order: The order of the fault.
 * @write: Whether the fault will write to the file.
 * @promote: Whether smaller entries may be promoted.
 *
 * For dax_fault_may_be_huge(), which a filesystem calls before it starts a
 * transaction for the fault.  The result may be outdated on return.
 *
 * Context: Process context; takes the xa_lock.
 * Return: 0 if dax_grab_entry() may succeed, or if dax_fault_quick() can do
 * better than to refuse; -EBUSY or -ERANGE as dax_grab_entry().
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
		dax_account_promotion(&xas, order, NULL,
				      DAX_PROMOTE_FRAGMENTED);
	}
	if (ret)
		trace_dax_grab_entry(mapping, xas.xa_index, order, write, entry,
				     DAX_GRAB_REFUSE);
	xas_unlock_irq(&xas);
	return ret;
}

/*
 * Find an unlocked entry of the order of the grab or larger.  With a promotion
 * prepared, replace smaller entries by a locked large one.
 */
static int dax_find_entry(struct xa_state *xas, struct dax_grab *grab)
	__must_hold(xas->xa->xa_lock)
{
	struct dax_promotion *p = grab->promotion;
	void *small = NULL;
	int ret;

	do {
		ret = dax_get_unlocked_entry(xas, grab->order, &grab->entry);
		if (ret != -EBUSY || !p)
			break;
		small = grab->entry;
		ret = dax_promote_small(xas, p, &grab->entry);
	} while (ret == -EBUSY);

	if (!ret && dax_has_promoted(p))
		trace_dax_grab_entry(dax_mapping_of(xas), xas->xa_index,
				     grab->order, grab->write, small,
				     DAX_GRAB_PROMOTE);
	return ret;
}

static int dax_grab_entry_locked(struct xa_state *xas, struct dax_grab *grab)
	__must_hold(xas->xa->xa_lock)
{
	struct address_space *mapping = dax_mapping_of(xas);
	pgoff_t index = xas->xa_index;
	void *entry;
	int ret;

	ret = dax_find_entry(xas, grab);
	/* An entry that was promoted is locked already. */
	if (ret || dax_has_promoted(grab->promotion))
		return ret;

	if (dax_refuses(grab->entry, grab)) {
		dax_put_unlocked_entry(xas, grab->entry);
		return -EACCES;
	}

	if (grab->entry &&
	    dax_should_demote(grab->entry, grab->order, grab->write)) {
		trace_dax_grab_entry(mapping, index, grab->order, grab->write,
				     grab->entry, DAX_GRAB_DEMOTE);
		dax_demote_entry(xas, grab->entry);
		grab->entry = NULL;
	}

	if (grab->entry) {
		trace_dax_grab_entry(mapping, index, grab->order, grab->write,
				     grab->entry, DAX_GRAB_LOCK);
		dax_lock_entry(xas, grab->entry);
		return 0;
	}

	entry = dax_insert_empty_entry(xas, grab->order);
	ret = xas_error(xas);
	if (ret)
		return ret;
	trace_dax_grab_entry(mapping, index, grab->order, grab->write, NULL,
			     DAX_GRAB_INSERT);
	grab->entry = entry;
	return 0;
}

static int dax_try_grab(struct xa_state *xas, struct dax_grab *grab)
{
	int ret;

	xas_lock_irq(xas);
	ret = dax_grab_entry_locked(xas, grab);
	xas_unlock_irq(xas);
	return ret;
}

/*
 * The first try has returned @ret: a node could not be allocated under the
 * xa_lock, or smaller entries are in the range.
 */
static int dax_grab_slowpath(struct xa_state *xas, struct dax_grab *grab,
			     int ret)
{
	gfp_t gfp = mapping_gfp_mask(dax_mapping_of(xas)) & ~__GFP_HIGHMEM;
	bool promote = grab->promote && grab->order <= DAX_PROMOTE_MAX_ORDER;
	bool tried = false;

	for (;;) {
		/* Frees a node that an earlier round did not use, too. */
		if (!xas_nomem(xas, gfp)) {
			if (ret != -EBUSY || !promote)
				break;
			tried = true;
			ret = dax_prepare_promotion(xas, grab->order, gfp,
						    &grab->promotion);
			if (ret)
				break;
		}
		ret = dax_try_grab(xas, grab);
	}

	/* Nothing is refused if only memory is short. */
	if (ret && ret != -EIO && grab->entry)
		trace_dax_grab_entry(dax_mapping_of(xas), xas->xa_index,
				     grab->order, grab->write, grab->entry,
				     DAX_GRAB_REFUSE);
	if (tried)
		grab->promotion = dax_end_attempt(xas, grab->order,
						  grab->promotion, ret);
	return ret;
}

/**
 * dax_grab_entry() - Find or create the entry for a fault, and lock it
 * @xas: Made for the order of the grab at the page offset of the fault.
 * @grab: The request, and its result.
 *
 * The entry may be larger than the order of the grab: a mapped entry serves all
 * orders, and a zero entry serves a read.  If there was no entry, an empty one
 * of the order is inserted.
 *
 * If smaller entries were promoted, the entry is empty and may be marked.  When
 * the caller has stored an entry that includes all that the small ones had, it
 * calls dax_finish_promotion().  Otherwise it calls dax_undo_promotion(), which
 * also replaces the unlock.
 *
 * Context: Process context.  Nests inside freeze protection and the
 * filesystem's transaction; ->iomap_begin nests inside the entry lock.  May
 * sleep, may allocate.
 * Return: 0 with the entry locked; -ENOMEM; -EIO if the tree holds a folio; or,
 * if there are smaller entries in the range: -EBUSY if they may not be
 * promoted, -ERANGE if their blocks are not one run that is aligned to the
 * order, -EAGAIN if one of them was locked each time; -EACCES for a write of a
 * large order if the stores to the entry are tracked by page.
 */
int dax_grab_entry(struct xa_state *xas, struct dax_grab *grab)
{
	int ret;

	grab->promotion = NULL;
	ret = dax_try_grab(xas, grab);
	return likely(!ret) ? 0 : dax_grab_slowpath(xas, grab, ret);
}
