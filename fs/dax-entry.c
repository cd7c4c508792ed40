// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock of a DAX entry: look up, wait, wake, lock, unlock, delete.
 *
 * The lock bit of an entry is to a DAX mapping what the folio lock is to other
 * mappings.  It serialises faults, writeback, truncation and memory failure on
 * the pages that the entry stands for.  The bit changes only under the xa_lock
 * of i_pages.  It is held while the filesystem allocates blocks and while page
 * tables are walked, so a task that finds it set sleeps.  The holder keeps the
 * unlocked value, and stores it to unlock.  Lock order:
 *
 *	entry lock			may sleep
 *	  mapping->i_pages.xa_lock	irqs off, must not sleep
 *
 * A waiter sleeps in one of a table of wait queues.  The key is the tree and
 * the first page offset of the entry that was found, whatever order was
 * requested.  The waiter adds itself to the queue in the xa_lock section in
 * which it finds the bit set, and the bit is cleared in an xa_lock section,
 * too.  So no wakeup is lost.
 *
 * There are two kinds of waiters, and three rules that prevent lost wakeups:
 *
 *  - A fault, and the deletion of a single entry, wait exclusively:
 *    dax_get_unlocked_entry().  An unlock wakes one exclusive waiter.  If that
 *    waiter does not lock the entry, it must wake the next one:
 *    dax_put_unlocked_entry().
 *  - A walk over many entries, promotion and memory failure wait
 *    non-exclusively, even if they lock the entry afterwards: dax_wait_entry(),
 *    dax_wait_entry_unlock().  Each unlock wakes all of them, and they need not
 *    wake others.  Memory failure could not, because the inode may have been
 *    freed during the wait.
 *  - When an entry is deleted or its order changes, all waiters are woken.
 *    Nothing else would wake them, because their key is not used any more.
 *
 * This file uses neither struct page nor fault codes.  It also builds in user
 * space, see tools/testing/dax/.
 */

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <linux/xarray_slot.h>

#include "dax-internal.h"
#include "dax-trace.h"

#define DAX_WAIT_TABLE_BITS	12

static wait_queue_head_t dax_wait_table[1 << DAX_WAIT_TABLE_BITS];

/*
 * The number of waiters in all queues.  It is 0 most of the time, and then no
 * queue needs a look.
 */
static atomic_t dax_nr_sleepers = ATOMIC_INIT(0);

/*
 * The wait key.  The first page offset is enough to identify an entry: at most
 * one entry starts there at a time, whatever its order.
 */
struct dax_wait_key {
	struct xarray *xa;
	pgoff_t start;
};

struct dax_waiter {
	wait_queue_entry_t wait;
	struct dax_wait_key key;
};

static int __init dax_init_wait_table(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(dax_wait_table); i++)
		init_waitqueue_head(&dax_wait_table[i]);
	return 0;
}
fs_initcall(dax_init_wait_table);

static struct dax_wait_key dax_wait_key(const struct xa_state *xas, void *entry)
{
	return (struct dax_wait_key) {
		.xa = xas->xa,
		.start = dax_entry_start(entry, xas->xa_index),
	};
}

static wait_queue_head_t *dax_wait_queue(const struct dax_wait_key *key)
{
	unsigned long token = (unsigned long)key->xa ^ key->start;

	return &dax_wait_table[hash_long(token, DAX_WAIT_TABLE_BITS)];
}

static int dax_wake_function(wait_queue_entry_t *wait, unsigned int mode,
			     int sync, void *arg)
{
	struct dax_waiter *waiter = container_of(wait, struct dax_waiter, wait);
	struct dax_wait_key *key = arg;

	if (waiter->key.xa != key->xa || waiter->key.start != key->start)
		return 0;
	return autoremove_wake_function(wait, mode, sync, NULL);
}

static void dax_wake_key(struct dax_wait_key *key, enum dax_wake_mode mode)
{
	wait_queue_head_t *wq = dax_wait_queue(key);

	/*
	 * No barrier is needed: a waiter was added to the queue in an earlier
	 * xa_lock section.
	 */
	if (waitqueue_active(wq))
		__wake_up(wq, TASK_NORMAL, mode == DAX_WAKE_ALL ? 0 : 1, key);
}

/**
 * dax_wake_entry() - Wake the waiters of an entry
 * @xas: An index within the entry.
 * @entry: The entry, which exists or was deleted just now.
 * @mode: Which waiters.
 *
 * Context: xa_lock held since @entry was changed or looked up.
 */
void dax_wake_entry(struct xa_state *xas, void *entry, enum dax_wake_mode mode)
{
	struct dax_wait_key key;

	/* A waiter of @entry was counted in an earlier xa_lock section. */
	if (!atomic_read(&dax_nr_sleepers))
		return;
	key = dax_wait_key(xas, entry);
	dax_wake_key(&key, mode);
}

/**
 * dax_wake_pages() - Wake all waiters of all entries of a range
 * @xas: A cursor in their tree.
 * @start: The first page offset of the range.
 * @nr: The number of pages of the range, each of which may have been an entry.
 *
 * Context: xa_lock held since the entries were replaced.
 */
void dax_wake_pages(struct xa_state *xas, pgoff_t start, unsigned int nr)
{
	struct dax_wait_key key = { .xa = xas->xa };

	/* As in dax_wake_entry(). */
	if (!atomic_read(&dax_nr_sleepers))
		return;
	for (key.start = start; key.start < start + nr; key.start++)
		dax_wake_key(&key, DAX_WAKE_ALL);
}

enum dax_sleep {
	DAX_SLEEP_SHARED,	/* the waiter locks nothing, and wakes no other */
	DAX_SLEEP_EXCLUSIVE,	/* the waiter locks the entry or wakes the next */
};

/* Sleep until woken for @entry.  Returns without the xa_lock. */
static void dax_sleep_on_entry(struct xa_state *xas, void *entry,
			       enum dax_sleep mode)
	__releases(xas->xa->xa_lock)
{
	struct dax_waiter waiter = { .key = dax_wait_key(xas, entry) };
	wait_queue_head_t *wq = dax_wait_queue(&waiter.key);

	init_wait(&waiter.wait);
	waiter.wait.func = dax_wake_function;
	trace_dax_wait_entry(dax_mapping_of(xas), xas->xa_index, entry);

	atomic_inc(&dax_nr_sleepers);
	if (mode == DAX_SLEEP_EXCLUSIVE)
		prepare_to_wait_exclusive(wq, &waiter.wait,
					  TASK_UNINTERRUPTIBLE);
	else
		prepare_to_wait(wq, &waiter.wait, TASK_UNINTERRUPTIBLE);
	xas_unlock_irq(xas);
	schedule();
	finish_wait(wq, &waiter.wait);
	atomic_dec(&dax_nr_sleepers);
}

/**
 * dax_wait_entry_unlock() - Wait for an entry of a mapping that may be freed
 * @xas: Where @entry was found.
 * @entry: The locked entry.
 *
 * For memory failure, which has no reference to the inode.  The mapping may be
 * freed as soon as the xa_lock is dropped.  The caller must not use the mapping
 * or @xas any more, and must look the mapping up again.
 *
 * Context: Process context, xa_lock held on entry and released on return.  May
 * sleep.
 */
void dax_wait_entry_unlock(struct xa_state *xas, void *entry)
	__releases(xas->xa->xa_lock)
{
	dax_sleep_on_entry(xas, entry, DAX_SLEEP_SHARED);
}

/**
 * dax_wait_entry() - Wait for a locked entry in a walk
 * @xas: Where @entry was found.
 * @entry: The locked entry.
 *
 * When it returns, the entry may be unlocked, locked again, resized or deleted.
 * @xas is reset but keeps its index, so the next step of xas_for_each() or
 * xas_for_each_marked() looks at the same index again.  The caller need not
 * wake other waiters.
 *
 * Context: Process context, xa_lock held; dropped and retaken.  May sleep.
 */
void dax_wait_entry(struct xa_state *xas, void *entry)
	__must_hold(xas->xa->xa_lock)
{
	dax_sleep_on_entry(xas, entry, DAX_SLEEP_SHARED);
	xas_reset(xas);
	xas_lock_irq(xas);
}

/**
 * dax_get_unlocked_entry() - Look up an entry and wait until it is unlocked
 * @xas: Made for @order at the page offset of interest.
 * @order: The order requested.
 * @entryp: Where to put the entry that overlaps the range, of @order or larger;
 *	NULL if there is none; with -EBUSY, the smaller entry.
 *
 * If it returns 0 and an entry, the caller must lock the entry or call
 * dax_put_unlocked_entry() before it drops the xa_lock.
 *
 * Context: Process context, xa_lock held; dropped and retaken to wait.  May
 * sleep.
 * Return: 0; -EBUSY if an entry smaller than @order is in the range, locked or
 * not; -EIO if the tree holds a folio, which it must not.
 */
int dax_get_unlocked_entry(struct xa_state *xas, unsigned int order,
			   void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	void *entry, *waited = NULL;
	int ret = 0;

	for (;;) {
		/* A search from a walked cursor would skip the entry. */
		xas_reset(xas);
		entry = xas_find_conflict(xas);
		if (!entry)
			break;
		if (WARN_ON_ONCE(!xa_is_value(entry))) {
			ret = -EIO;
			break;
		}
		if (dax_entry_order(entry) < order) {
			ret = -EBUSY;
			break;
		}
		if (!dax_is_locked(entry))
			break;
		dax_sleep_on_entry(xas, entry, DAX_SLEEP_EXCLUSIVE);
		xas_lock_irq(xas);
		waited = entry;
	}

	/* An exclusive waiter that does not lock must wake the next one. */
	if (ret && waited)
		dax_wake_entry(xas, waited, DAX_WAKE_NEXT);
	*entryp = entry;
	return ret;
}

/**
 * dax_put_unlocked_entry() - Do not lock an entry that was looked up
 * @xas: Where @entry was found.
 * @entry: The entry from dax_get_unlocked_entry(); may be NULL.
 *
 * Wakes the next exclusive waiter.
 *
 * Context: xa_lock held since @entry was looked up.
 */
void dax_put_unlocked_entry(struct xa_state *xas, void *entry)
{
	if (entry)
		dax_wake_entry(xas, entry, DAX_WAKE_NEXT);
}

/**
 * dax_get_exceeding() - Look up an entry that extends beyond a range
 * @xas: Made for a page offset of the range; left walked to it.
 * @first: First page offset of the range.
 * @last: Last page offset of the range.
 *
 * Waits while such an entry is locked and dirty.  The wait is not exclusive, so
 * the caller need not wake other waiters.
 *
 * Context: Process context, xa_lock held; dropped and retaken to wait.  May
 * sleep.
 * Return: The entry.  It is unlocked unless it is clean.  NULL if there is none,
 * or if it does not extend beyond the range.
 */
void *dax_get_exceeding(struct xa_state *xas, pgoff_t first, pgoff_t last)
	__must_hold(xas->xa->xa_lock)
{
	for (;;) {
		void *entry = xas_load(xas);

		if (!dax_entry_exceeds(entry, xas->xa_index, first, last))
			return NULL;
		if (!dax_is_locked(entry) ||
		    !xas_get_mark(xas, PAGECACHE_TAG_DIRTY))
			return entry;
		dax_wait_entry(xas, entry);
	}
}

/**
 * dax_lock_entry() - Lock an unlocked entry
 * @xas: Walked to @entry.
 * @entry: The entry, which the caller passes to dax_unlock_entry() later.
 *
 * Context: xa_lock held since @entry was looked up.
 */
void dax_lock_entry(struct xa_state *xas, void *entry)
{
	void *old = xas_replace(xas, dax_make_locked(entry));

	WARN_ON_ONCE(old != entry || dax_is_locked(entry));
}

/**
 * dax_unlock_walked() - Unlock the entry that a cursor is walked to
 * @xas: Walked to the entry.
 * @entry: The entry to store, without the lock bit.
 *
 * Wakes the next exclusive waiter.
 *
 * Context: xa_lock held since @xas was walked.
 */
void dax_unlock_walked(struct xa_state *xas, void *entry)
{
	void *old = xas_replace(xas, entry);

	WARN_ON_ONCE(old != dax_make_locked(entry) || dax_is_locked(entry));
	dax_wake_entry(xas, entry, DAX_WAKE_NEXT);
}

/**
 * __dax_unlock_entry() - Unlock an entry with the xa_lock held
 * @xas: An index within the entry; left walked to it.
 * @entry: The entry to store, without the lock bit.
 *
 * Wakes the next exclusive waiter.
 *
 * Context: xa_lock held.
 */
void __dax_unlock_entry(struct xa_state *xas, void *entry)
{
	xas_reset(xas);
	xas_load(xas);
	dax_unlock_walked(xas, entry);
}

/**
 * dax_unlock_entry() - Unlock an entry
 * @xas: An index within the entry; it need not be walked.
 * @entry: The entry to store, without the lock bit.
 *
 * Wakes the next exclusive waiter.
 *
 * Context: Any with irqs enabled; the xa_lock must not be held.
 */
void dax_unlock_entry(struct xa_state *xas, void *entry)
{
	xas_lock_irq(xas);
	__dax_unlock_entry(xas, entry);
	xas_unlock_irq(xas);
}

/**
 * dax_replace_entry() - Replace an entry that the caller has locked
 * @xas: An index within the entry; left walked to it, so that marks can be set.
 * @old: The entry as it was when locked.
 * @new: The new entry, of the same order.  It stays locked.
 *
 * The order and so the wait key do not change, so no waiter is woken.
 *
 * Context: xa_lock held.
 */
void dax_replace_entry(struct xa_state *xas, void *old, void *new)
{
	void *was;

	WARN_ON_ONCE(dax_entry_order(old) != dax_entry_order(new));
	xas_reset(xas);
	xas_load(xas);
	was = xas_replace(xas, dax_make_locked(new));
	WARN_ON_ONCE(was != dax_make_locked(old));
}

/**
 * __dax_delete_entry() - Delete the entry that a cursor is walked to
 * @xas: Walked to @entry.
 * @entry: The entry, unlocked.
 * @why: For the trace.
 *
 * Wakes all waiters.
 *
 * Context: xa_lock held since @entry was looked up.
 */
void __dax_delete_entry(struct xa_state *xas, void *entry, enum dax_delete why)
{
	struct address_space *mapping = dax_mapping_of(xas);

	xas_store(xas, NULL);
	mapping->nrpages -= dax_entry_nr_pages(entry);
	trace_dax_delete_entry(mapping, xas->xa_index, entry, why);
	dax_wake_entry(xas, entry, DAX_WAKE_ALL);
}

/**
 * dax_delete_entry() - Delete an entry
 * @xas: An index within the entry.
 * @entry: The entry, without the lock bit.  The caller has locked it, or has
 *	held the xa_lock since it found it unlocked.
 * @why: For the trace.
 *
 * Wakes all waiters.  The caller takes care of the page tables and of the
 * association of pages.
 *
 * Context: xa_lock held.
 */
void dax_delete_entry(struct xa_state *xas, void *entry, enum dax_delete why)
{
	xas_reset(xas);
	__dax_delete_entry(xas, entry, why);
}

/**
 * dax_unmap_entry() - Remove the pages of an entry from all page tables
 * @mapping: The mapping that holds the entry.
 * @index: An index within the entry.
 * @entry: The entry, which the caller has locked.
 *
 * Unmaps all of the entry, because ptes of any overlapping VMA may map a part
 * of it.  Private copies stay mapped.
 *
 * Context: Process context; takes i_mmap_rwsem and page table locks.  May
 * sleep.
 */
void dax_unmap_entry(struct address_space *mapping, pgoff_t index, void *entry)
{
	unmap_mapping_pages(mapping, dax_entry_start(entry, index),
			    dax_entry_nr_pages(entry), false);
}

/**
 * dax_skip_entry() - Move a walk behind an entry
 * @xas: The walk, at an index within @entry.
 * @entry: The entry, which may have been deleted.
 *
 * Context: Any; the next step of the walk needs the xa_lock.
 */
void dax_skip_entry(struct xa_state *xas, void *entry)
{
	xas_set(xas, dax_entry_start(entry, xas->xa_index) +
		     dax_entry_nr_pages(entry));
}

/**
 * dax_pause_walk() - Drop the xa_lock in the middle of a long walk
 * @xas: The walk, at @entry.
 * @entry: The current entry; the walk continues behind it.
 *
 * xas_pause() cannot be used: it advances by the size of the entry from the
 * current index, which may be in the middle of the entry.
 *
 * Context: Process context, xa_lock held; dropped and retaken.  May sleep.
 */
void dax_pause_walk(struct xa_state *xas, void *entry)
	__must_hold(xas->xa->xa_lock)
{
	dax_skip_entry(xas, entry);
	xas_unlock_irq(xas);
	cond_resched();
	xas_lock_irq(xas);
}
