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
 * Nothing here knows a struct page or a fault code.  The file builds in user
 * space as well, over the same lib/xarray.c: see tools/testing/dax/.
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
static bool dax_entry_too_big(void *entry, unsigned int order, bool write)
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
 * dax_has_smaller_entry() - Would a fault of this order meet smaller entries?
 * @mapping: The mapping.
 * @index: A page offset in the range of the fault.
 * @order: The order of the fault.
 * @write: Whether the fault is for writing, for the trace.
 *
 * Spares a filesystem the transaction of a fault that would only be refused.
 *
 * Context: Process context; takes the xa_lock.
 * Return: Whether there are any, which may no longer be true when the answer
 * arrives: only dax_grab_entry() decides.
 */
bool dax_has_smaller_entry(struct address_space *mapping, pgoff_t index,
			   unsigned int order, bool write)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	void *entry;
	bool smaller;

	xas_lock_irq(&xas);
	entry = xas_find_conflict(&xas);
	smaller = xa_is_value(entry) && dax_entry_order(entry) < order;
	if (smaller)
		trace_dax_grab_entry(mapping, xas.xa_index, order, write, entry,
				     DAX_GRAB_REFUSE);
	xas_unlock_irq(&xas);
	return smaller;
}

static int dax_grab_entry_locked(struct xa_state *xas, unsigned int order,
				 bool write, void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	struct address_space *mapping = dax_mapping_of(xas);
	pgoff_t index = xas->xa_index;
	void *entry;
	int ret;

	ret = dax_get_unlocked_entry(xas, order, &entry);
	if (ret == -EBUSY)
		trace_dax_grab_entry(mapping, index, order, write, entry,
				     DAX_GRAB_REFUSE);
	if (ret)
		return ret;

	if (entry && dax_entry_too_big(entry, order, write)) {
		trace_dax_grab_entry(mapping, index, order, write, entry,
				     DAX_GRAB_DEMOTE);
		dax_demote_entry(xas, entry);
		entry = NULL;
	}

	if (entry) {
		trace_dax_grab_entry(mapping, index, order, write, entry,
				     DAX_GRAB_LOCK);
		dax_lock_entry(xas, entry);
	} else {
		entry = dax_insert_empty_entry(xas, order);
		if (!xas_error(xas))
			trace_dax_grab_entry(mapping, index, order, write, NULL,
					     DAX_GRAB_INSERT);
	}
	*entryp = entry;
	return 0;
}

/**
 * dax_grab_entry() - Find or make the entry for a fault, and lock it
 * @xas: Made for @order at the page offset of the fault.
 * @order: The order of the fault.
 * @write: Whether the fault will write to the file.
 * @entryp: Where to put the entry, without the lock bit.
 *
 * What is found may be larger than @order: a mapped entry, which all sizes
 * share, or, if not @write, a zero entry.  Where nothing is found, an empty
 * entry of @order takes the place.
 *
 * A request that meets smaller entries is refused.
 *
 * Context: Process context.  The filesystem's transaction or freeze protection
 * is outside the entry lock, its block lookup inside.  May sleep, may allocate.
 * Return: 0 with the entry locked; -EBUSY if smaller entries are in the way;
 * -ENOMEM; -EIO if a folio is there.
 */
int dax_grab_entry(struct xa_state *xas, unsigned int order, bool write,
		   void **entryp)
{
	gfp_t gfp = mapping_gfp_mask(dax_mapping_of(xas)) & ~__GFP_HIGHMEM;
	int ret;

	do {
		xas_lock_irq(xas);
		ret = dax_grab_entry_locked(xas, order, write, entryp);
		xas_unlock_irq(xas);
		/* Also frees what an earlier round allocated and nobody used. */
	} while (xas_nomem(xas, gfp));

	return ret ?: xas_error(xas);
}
