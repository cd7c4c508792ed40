// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX entries and who holds them: look up, wait, wake, lock, unlock, delete.
 *
 * The lock bit of an entry does for a DAX mapping what the folio lock does for
 * others: it serialises faults, writeback, truncation and memory failure on
 * the pages that the entry stands for.  The bit changes only under the xa_lock
 * of i_pages, but it is held while the filesystem allocates blocks and while
 * page tables are walked, so those who find it set go to sleep:
 *
 *	mapping->i_pages.xa_lock	irqs off, never held asleep
 *	entry lock			held asleep; its owner knows the
 *					unlocked value and stores it back
 *
 * A sleeper waits in one of a table of queues, hashed by the tree and by the
 * first page offset of the entry that it found, whatever order it asked for.
 * It queues itself under the xa_lock while it sees the bit set, so whoever
 * clears the bit, also under the xa_lock, sees it in the queue.
 *
 * Two kinds of sleepers, and three duties that keep each of them from sleeping
 * for ever:
 *
 *  - Who wants to lock the entry waits exclusively: an unlock wakes one such.
 *    If it then does not lock, it passes the wakeup on
 *    (dax_put_unlocked_entry()).
 *  - Who only wants to see the entry unlocked, or may find that the inode has
 *    gone (memory failure), waits beside them, is woken each time, and owes
 *    nothing.
 *  - Who deletes an entry or changes its order wakes all: nobody will ever
 *    again unlock what they sleep on.
 *
 * Nothing here knows a struct page or a fault code.  The file builds in user
 * space as well, over the same lib/xarray.c: see tools/testing/dax/.
 */

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* As many queues as mm/filemap.c had per zone for page locks. */
#define DAX_WAIT_TABLE_BITS	12

static wait_queue_head_t dax_wait_table[1 << DAX_WAIT_TABLE_BITS];

/* In all queues: most often nobody is in any, and nothing is to be looked at. */
static atomic_t dax_nr_sleepers = ATOMIC_INIT(0);

/*
 * What a sleeper sleeps on.  The first page offset and not the order tells
 * entries apart: of all that ever start there, only one exists at a time.
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
	 * No barrier is missing: who saw the lock bit set has queued itself in
	 * the xa_lock section in which it saw it, and that one came before ours.
	 */
	if (waitqueue_active(wq))
		__wake_up(wq, TASK_NORMAL, mode == DAX_WAKE_ALL ? 0 : 1, key);
}

/**
 * dax_wake_entry() - Wake those who sleep on an entry
 * @xas: An index within the entry.
 * @entry: The entry that is there, or that was there until now.
 * @mode: Whom.
 *
 * Context: xa_lock held since @entry was changed or looked up.
 */
void dax_wake_entry(struct xa_state *xas, void *entry, enum dax_wake_mode mode)
{
	struct dax_wait_key key;

	/* Who sleeps on it was counted before we took the xa_lock. */
	if (!atomic_read(&dax_nr_sleepers))
		return;
	key = dax_wait_key(xas, entry);
	dax_wake_key(&key, mode);
}

/**
 * dax_wake_pages() - Wake all who sleep on any of the entries of a range
 * @xas: A cursor in their tree.
 * @start: The first page offset of the range.
 * @nr: How many pages it has, at each of which an entry may have begun.
 *
 * Context: xa_lock held since the entries went.
 */
void dax_wake_pages(struct xa_state *xas, pgoff_t start, unsigned int nr)
{
	struct dax_wait_key key = { .xa = xas->xa };

	/* As above. */
	if (!atomic_read(&dax_nr_sleepers))
		return;
	for (key.start = start; key.start < start + nr; key.start++)
		dax_wake_key(&key, DAX_WAKE_ALL);
}

/* Sleep until woken for @entry.  Drops the xa_lock and leaves it dropped. */
static void dax_sleep_on_entry(struct xa_state *xas, void *entry,
			       bool exclusive)
	__releases(xas->xa->xa_lock)
{
	struct dax_waiter waiter = { .key = dax_wait_key(xas, entry) };
	wait_queue_head_t *wq = dax_wait_queue(&waiter.key);

	init_wait(&waiter.wait);
	waiter.wait.func = dax_wake_function;
	trace_dax_wait_entry(dax_mapping_of(xas), xas->xa_index, entry);

	atomic_inc(&dax_nr_sleepers);
	if (exclusive)
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
 * dax_wait_entry_unlock() - Wait for a locked entry of a mapping that may go
 * @xas: Where @entry was found.
 * @entry: The locked entry.
 *
 * For memory failure, which holds no reference to the inode: once the xa_lock
 * is dropped the mapping may be freed, so neither it nor @xas may be used
 * afterwards without looking the mapping up again.
 *
 * Context: Process context, xa_lock held on entry and released on return.
 * May sleep.
 */
void dax_wait_entry_unlock(struct xa_state *xas, void *entry)
	__releases(xas->xa->xa_lock)
{
	dax_sleep_on_entry(xas, entry, false);
}

/**
 * dax_wait_entry() - Wait for a locked entry that a walk has met
 * @xas: Where @entry was found.
 * @entry: The locked entry.
 *
 * When it returns, the entry may be unlocked, locked by another, resized or
 * gone.  @xas is reset but keeps its index, so that the next step of an
 * xas_for_each() or xas_for_each_marked() looks at this index once more.
 * The caller owes nobody a wakeup.
 *
 * Context: Process context, xa_lock held; dropped and retaken.  May sleep.
 */
void dax_wait_entry(struct xa_state *xas, void *entry)
	__must_hold(xas->xa->xa_lock)
{
	dax_sleep_on_entry(xas, entry, false);
	xas_reset(xas);
	xas_lock_irq(xas);
}

/**
 * dax_get_unlocked_entry() - Look up an entry and wait until it is unlocked
 * @xas: Made for @order at the page offset of interest.
 * @order: The order wanted.
 * @entryp: Where to put the entry that overlaps the range, of @order or
 *	larger, or NULL if there is none; with -EBUSY, the one in the way.
 *
 * On success with an entry, the caller either locks it or calls
 * dax_put_unlocked_entry(), before it drops the xa_lock.
 *
 * Context: Process context, xa_lock held; dropped and retaken if it has to
 * wait.  May sleep.
 * Return: 0; -EBUSY if an entry smaller than @order is in the range, locked or
 * not; -EIO if a folio is there, where only DAX entries may be.
 */
int dax_get_unlocked_entry(struct xa_state *xas, unsigned int order,
			   void **entryp)
	__must_hold(xas->xa->xa_lock)
{
	void *entry, *waited = NULL;
	int ret = 0;

	for (;;) {
		/* From the root: a search from where @xas stands skips it. */
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
		dax_sleep_on_entry(xas, entry, true);
		xas_lock_irq(xas);
		waited = entry;
	}

	/* The wakeup that brought us here was for one who locks. */
	if (ret && waited)
		dax_wake_entry(xas, waited, DAX_WAKE_NEXT);
	*entryp = entry;
	return ret;
}

/**
 * dax_put_unlocked_entry() - Leave an entry that was looked up as it is
 * @xas: Where @entry was found.
 * @entry: What dax_get_unlocked_entry() gave; may be NULL.
 *
 * Context: xa_lock held since @entry was looked up.
 */
void dax_put_unlocked_entry(struct xa_state *xas, void *entry)
{
	if (entry)
		dax_wake_entry(xas, entry, DAX_WAKE_NEXT);
}

/*
 * Make another of the same order of the entry that @xas is walked to, and return
 * what was there.  Nodes, siblings and marks all stay as they are, so this takes
 * one slot and not xas_store(), which would be a tenth of a fault.
 */
static void *dax_set_entry(struct xa_state *xas, void *entry)
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
 * dax_lock_entry() - Take the lock of an unlocked entry
 * @xas: Walked to @entry.
 * @entry: The entry, which the caller gives back to dax_unlock_entry().
 *
 * Context: xa_lock held since @entry was looked up.
 */
void dax_lock_entry(struct xa_state *xas, void *entry)
{
	void *old = dax_set_entry(xas, dax_make_locked(entry));

	WARN_ON_ONCE(old != entry || dax_is_locked(entry));
}

/**
 * __dax_unlock_entry() - dax_unlock_entry() for a caller in mid-walk
 * @xas: An index within the entry; left walked to it.
 * @entry: The entry to leave behind, without the lock bit.
 *
 * Context: xa_lock held.
 */
void __dax_unlock_entry(struct xa_state *xas, void *entry)
{
	void *old;

	xas_reset(xas);
	xas_load(xas);
	old = dax_set_entry(xas, entry);
	WARN_ON_ONCE(old != dax_make_locked(entry) || dax_is_locked(entry));
	dax_wake_entry(xas, entry, DAX_WAKE_NEXT);
}

/**
 * dax_unlock_entry() - Give an entry lock back and wake the next waiter
 * @xas: An index within the entry; it need not be walked.
 * @entry: The entry to leave behind, without the lock bit.
 *
 * Context: Any in which irqs are on; the xa_lock must not be held.
 */
void dax_unlock_entry(struct xa_state *xas, void *entry)
{
	xas_lock_irq(xas);
	__dax_unlock_entry(xas, entry);
	xas_unlock_irq(xas);
}

/**
 * dax_replace_entry() - Put another value into an entry that the caller holds
 * @xas: An index within the entry; left walked to it, so that marks can be set.
 * @old: The entry as it was when locked.
 * @new: What it shall be, of the same order; it stays locked.
 *
 * The order stays, hence the key, so nobody needs to be woken.
 *
 * Context: xa_lock held.
 */
void dax_replace_entry(struct xa_state *xas, void *old, void *new)
{
	void *was;

	WARN_ON_ONCE(dax_entry_order(old) != dax_entry_order(new));
	xas_reset(xas);
	xas_load(xas);
	was = dax_set_entry(xas, dax_make_locked(new));
	WARN_ON_ONCE(was != dax_make_locked(old));
}

/**
 * __dax_delete_entry() - dax_delete_entry() for who has just found it
 * @xas: Walked to @entry.
 * @entry: The entry, unlocked.
 * @why: For the trace.
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
 * dax_delete_entry() - Remove an entry and wake everybody who waits for it
 * @xas: An index within the entry.
 * @entry: The entry, without the lock bit.  Either the caller has locked it,
 *	or it has held the xa_lock since it found it unlocked.
 * @why: For the trace.
 *
 * The caller takes care of what the entry points to: page association and
 * page tables.
 *
 * Context: xa_lock held.
 */
void dax_delete_entry(struct xa_state *xas, void *entry, enum dax_delete why)
{
	xas_reset(xas);
	__dax_delete_entry(xas, entry, why);
}

/**
 * dax_unmap_entry() - Remove an entry's pages from all page tables
 * @mapping: The mapping that holds the entry.
 * @index: An index within the entry.
 * @entry: The entry, which the caller has locked.
 *
 * All of it goes, since an entry may be mapped by ptes of any mapping that
 * overlaps it.  Private copies stay: they are the process's own data.
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
 * dax_skip_entry() - Let a walk go on behind an entry
 * @xas: The walk, at an index within @entry.
 * @entry: The entry, which may be gone meanwhile.
 *
 * Context: Any; the next step of the walk needs the xa_lock.
 */
void dax_skip_entry(struct xa_state *xas, void *entry)
{
	xas_set(xas, dax_entry_start(entry, xas->xa_index) +
		     dax_entry_nr_pages(entry));
}

/**
 * dax_pause_walk() - Let others run in the middle of a long walk
 * @xas: The walk, at @entry.
 * @entry: The entry that was last seen; the walk goes on behind it.
 *
 * Not xas_pause(): that steps on by the size of the entry from wherever in it
 * the walk stands, and so past what follows.
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
