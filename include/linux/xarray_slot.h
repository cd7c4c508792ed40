/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Access to single slots of an XArray, for callers that know what the slots
 * hold and for which the functions of xarray.h do too much.
 */
#ifndef _LINUX_XARRAY_SLOT_H
#define _LINUX_XARRAY_SLOT_H

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/rcupdate.h>
#include <linux/xarray.h>

/**
 * xas_replace() - Replace the entry at a walked XArray operation state
 * @xas: XArray operation state, walked to the old entry by xas_load() or by an
 *	iterator.  Its order need not be set.
 * @entry: The new entry.
 *
 * xas_store() also handles changes of the order, the counts and the marks.
 * This function only replaces a value entry by another one of the same order.
 * The caller ensures that both entries are values of one order.  The siblings
 * of an entry point to its first slot, so the function writes only that slot.
 *
 * Context: Any context.  The caller must hold the xa_lock since @xas was
 * walked.
 * Return: The old entry; NULL, after a warning, if @xas is not walked.
 */
static inline void *xas_replace(struct xa_state *xas, void *entry)
{
	struct xa_node *node = xas->xa_node;
	void *old;

	if (WARN_ON_ONCE(xas_invalid(xas)))
		return NULL;
	if (!node) {
		old = xa_head_locked(xas->xa);
		rcu_assign_pointer(xas->xa->xa_head, entry);
	} else {
		old = xa_entry_locked(xas->xa, node, xas->xa_offset);
		rcu_assign_pointer(node->slots[xas->xa_offset], entry);
	}
	return old;
}

/**
 * xa_peek() - Look at an entry of an XArray
 * @xa: XArray.
 * @index: Index of the entry.
 *
 * Like xa_load(), but inline and without a retry.  The caller must be able to
 * detect an outdated result.
 *
 * Context: Any context.  Takes and releases the RCU lock.
 * Return: The entry at @index, or an entry that was there before if the XArray
 * changes during the call.  NULL or an internal entry if there is no entry, or
 * if the tree is being changed there.
 */
static inline void *xa_peek(const struct xarray *xa, unsigned long index)
{
	void *entry;

	rcu_read_lock();
	entry = xa_head(xa);
	if (index && (!xa_is_node(entry) ||
		      index >> xa_to_node(entry)->shift > XA_CHUNK_MASK))
		entry = NULL;
	while (xa_is_node(entry)) {
		const struct xa_node *node = xa_to_node(entry);

		entry = xa_entry(xa, node,
				 (index >> node->shift) & XA_CHUNK_MASK);
		if (xa_is_sibling(entry))
			entry = xa_entry(xa, node, xa_to_sibling(entry));
	}
	rcu_read_unlock();
	return entry;
}

/**
 * xas_in_leaf() - Is an XArray operation state in a leaf?
 * @xas: XArray operation state, walked by xas_load().
 *
 * Context: Any context.  The caller must hold the xa_lock since @xas was
 * walked.
 * Return: true if @xas is in a node of which each slot is one index, whether
 * there is an entry at the index or not.
 */
static inline bool xas_in_leaf(const struct xa_state *xas)
{
	struct xa_node *node = xas->xa_node;

	return !xas_not_node(node) && !node->shift;
}

/**
 * xas_leaf_entry() - Read a slot of the leaf that an operation state is in
 * @xas: XArray operation state for which xas_in_leaf() is true.
 * @n: How many slots behind @xas, in the same leaf.
 *
 * Context: Any context.  The caller must hold the xa_lock since @xas was
 * walked.
 * Return: What is in the slot; an internal entry if an entry that began in an
 * earlier slot extends to it.
 */
static inline void *xas_leaf_entry(const struct xa_state *xas, unsigned int n)
{
	return xa_entry_locked(xas->xa, xas->xa_node, xas->xa_offset + n);
}

/**
 * xas_leaf_marked() - Is a slot of the leaf marked?
 * @xas: XArray operation state for which xas_in_leaf() is true.
 * @n: How many slots behind @xas, in the same leaf.
 * @mark: The mark.
 *
 * Context: Any context.  The caller must hold the xa_lock since @xas was
 * walked.
 * Return: true if the entry in the slot has the mark.
 */
static inline bool xas_leaf_marked(const struct xa_state *xas, unsigned int n,
				   xa_mark_t mark)
{
	return test_bit(xas->xa_offset + n,
			xas->xa_node->marks[(__force unsigned int)mark]);
}

/**
 * xas_leaf_run() - Count marked slots of the leaf that follow each other
 * @xas: XArray operation state for which xas_in_leaf() is true.
 * @end: The slot behind the last one to count; at most XA_CHUNK_SIZE.
 * @mark: The mark.
 *
 * Context: Any context.  The caller must hold the xa_lock since @xas was
 * walked.
 * Return: How many slots that end before @end are marked in a row.
 */
static inline unsigned int xas_leaf_run(const struct xa_state *xas,
					unsigned int end, xa_mark_t mark)
{
	DECLARE_BITMAP(clear, XA_CHUNK_SIZE);
	unsigned int last;

	bitmap_complement(clear,
			  xas->xa_node->marks[(__force unsigned int)mark],
			  XA_CHUNK_SIZE);
	last = find_last_bit(clear, end);
	return last < end ? end - 1 - last : end;
}

#endif /* _LINUX_XARRAY_SLOT_H */
