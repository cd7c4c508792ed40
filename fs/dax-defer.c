// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deleted DAX files whose pages are in use.
 *
 * Before a filesystem takes blocks from a file it waits until no device uses
 * them, see dax_break_layout().  With its last name and its last user a file
 * loses all of its blocks.  The task that lets go of it cannot wait then: a
 * page may be in a pipe of its own, which it closes after the file.  So the
 * filesystem keeps the inode, with its blocks, as it keeps others whose
 * deletion takes long, and this file tells it when to go on.
 *
 *	defer		the filesystem puts an inode here that may be in use
 *	look		a work item asks of each whether it is, again and again
 *	release		it is not: the filesystem deletes it
 *	drain		the filesystem goes.  It waits for a bounded time, and
 *			then releases what there is
 *
 * Whoever has a page when a drain gives up goes on to see the block, whatever
 * becomes of it.  The same holds for pages of a file that keeps its name, as an
 * unmount takes no block from it, and does not wait.
 *
 * To be woken would be nicer than to look, but folio_put() does not wake, and
 * who has a page is anybody.
 *
 * LOCKS	dax_defer.lock, a leaf; inode->i_lock may be held outside it.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/jiffies.h>
#include <linux/llist.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "dax-access.h"
#include "dax-internal.h"

/* From look to look, in jiffies: the first time, and at most. */
#define DAX_DEFER_POLL		(HZ / 50)
#define DAX_DEFER_POLL_MAX	HZ

/* How much longer than a look the pause after it is. */
#define DAX_DEFER_PAUSE_FACTOR		16

/* For how long an unmount waits, in seconds: by default, and at most. */
static unsigned int dax_unmount_wait = 2;
#define DAX_UNMOUNT_WAIT_MAX	60U

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "fs_dax."
module_param_named(unmount_wait, dax_unmount_wait, uint, 0644);
MODULE_PARM_DESC(unmount_wait, "Seconds that an unmount waits for pages of deleted DAX files that are in use, 60 at most");

/* @took: jiffies that a look takes.  Most of the time nobody looks. */
static void dax_schedule_poll(struct dax_defer *defer, unsigned long took)
{
	queue_delayed_work(system_unbound_wq, &defer->work,
			   max(defer->delay, DAX_DEFER_PAUSE_FACTOR * took));
	defer->delay = min_t(unsigned long, 2 * defer->delay,
			     DAX_DEFER_POLL_MAX);
}

static void dax_defer_work(struct work_struct *work)
{
	struct dax_defer *defer =
		container_of(to_delayed_work(work), struct dax_defer, work);
	unsigned long start = jiffies;
	struct llist_node *node, *next;

	WRITE_ONCE(defer->fresh, false);
	node = llist_del_all(&defer->inodes);
	llist_for_each_safe(node, next, node) {
		if (!READ_ONCE(defer->stopped) && defer->ops->in_use(node))
			llist_add(node, &defer->inodes);
		else
			defer->ops->release(node);
	}
	if (!llist_empty(&defer->inodes))
		dax_schedule_poll(defer, jiffies - start);
}

/**
 * dax_defer_init() - Prepare for inodes to be deferred
 * @defer: The list of a superblock.
 * @ops: How the filesystem looks at its inodes.
 *
 * Context: Any.
 */
void dax_defer_init(struct dax_defer *defer, const struct dax_defer_ops *ops)
{
	spin_lock_init(&defer->lock);
	init_llist_head(&defer->inodes);
	INIT_DELAYED_WORK(&defer->work, dax_defer_work);
	defer->delay = DAX_DEFER_POLL;
	defer->fresh = false;
	defer->stopped = false;
	defer->ops = ops;
}
EXPORT_SYMBOL_GPL(dax_defer_init);

/**
 * dax_defer() - Keep a deleted inode until its pages are idle
 * @defer: The list of its superblock.
 * @node: What the inode is known by; the filesystem owns it.
 *
 * Context: Any in which irqs are on.
 * Return: true if ->release will be called; false if the filesystem goes, and
 * the inode has to go as it is.
 */
bool dax_defer(struct dax_defer *defer, struct llist_node *node)
{
	bool taken;

	spin_lock(&defer->lock);
	taken = !defer->stopped;
	if (taken) {
		llist_add(node, &defer->inodes);
		WRITE_ONCE(defer->fresh, true);
		defer->delay = DAX_DEFER_POLL;
		mod_delayed_work(system_unbound_wq, &defer->work,
				 DAX_DEFER_POLL);
	}
	spin_unlock(&defer->lock);
	return taken;
}
EXPORT_SYMBOL_GPL(dax_defer);

/**
 * dax_defer_flush() - Look at inodes that were deferred since the last look
 * @defer: The list of a superblock.
 *
 * For a filesystem that is short of space.  An inode that was seen to be in use
 * is no reason to look again.
 *
 * Context: Process context; nothing held that ->release takes.  Sleeps while
 * those that are idle are deleted, but for no other.
 * Return: true if space may have come free.
 */
bool dax_defer_flush(struct dax_defer *defer)
{
	if (!READ_ONCE(defer->fresh) &&
	    !(work_busy(&defer->work.work) & WORK_BUSY_RUNNING))
		return false;
	mod_delayed_work(system_unbound_wq, &defer->work, 0);
	flush_delayed_work(&defer->work);
	return true;
}
EXPORT_SYMBOL_GPL(dax_defer_flush);

static void dax_stop_defer(struct dax_defer *defer, bool stop)
{
	spin_lock(&defer->lock);
	WRITE_ONCE(defer->stopped, stop);
	spin_unlock(&defer->lock);
}

/* Look now, and say whether any inode is still in use. */
static bool dax_defer_poll(struct dax_defer *defer)
{
	mod_delayed_work(system_unbound_wq, &defer->work, 0);
	flush_delayed_work(&defer->work);
	return !llist_empty(&defer->inodes);
}

/**
 * dax_defer_drain() - Release all inodes, idle or not, and defer no more
 * @defer: The list of a superblock.
 * @sb: The superblock, for the log.
 *
 * Context: Process context.  Sleeps for fs_dax.unmount_wait seconds at most, and
 * for as long as the looks and the deletions take.
 */
void dax_defer_drain(struct dax_defer *defer, const struct super_block *sb)
{
	unsigned int seconds = min(READ_ONCE(dax_unmount_wait),
				   DAX_UNMOUNT_WAIT_MAX);
	unsigned long end = jiffies + seconds * HZ;
	bool in_use;

	while ((in_use = dax_defer_poll(defer)) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(DAX_DEFER_POLL);
	if (in_use)
		pr_warn("dax: %s is unmounted while pages of deleted files are in use; whoever has them sees what comes to stand in their blocks\n",
			sb->s_id);

	/* A look that is under way may yet put inodes back. */
	dax_stop_defer(defer, true);
	cancel_delayed_work_sync(&defer->work);
	dax_defer_work(&defer->work.work);
}
EXPORT_SYMBOL_GPL(dax_defer_drain);

/**
 * dax_defer_resume() - Let inodes be deferred again after a drain
 * @defer: The list of a superblock that stays mounted.
 *
 * Context: Any.
 */
void dax_defer_resume(struct dax_defer *defer)
{
	dax_stop_defer(defer, false);
}
EXPORT_SYMBOL_GPL(dax_defer_resume);

/**
 * dax_mapping_in_use() - Might anybody use the pages of a file?
 * @mapping: The mapping of a DAX file that nobody can map any more.
 *
 * Looks at small files only, and does not sleep.
 *
 * Context: Any in which irqs are on.
 * Return: false if no page of an entry is in use; true if one is, or if there
 * are too many to look at.
 */
bool dax_mapping_in_use(struct address_space *mapping)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	bool in_use = false;
	void *entry;

	if (READ_ONCE(mapping->nrpages) > DAX_WALK_PAGES)
		return true;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX) {
		in_use = dax_is_locked(entry) ||
			 dax_busy_page(entry, xas.xa_index, 0, ULONG_MAX);
		if (in_use)
			break;
	}
	xas_unlock_irq(&xas);
	return in_use;
}
EXPORT_SYMBOL_GPL(dax_mapping_in_use);

static bool dax_extent_in_use(const struct iomap_iter *iter)
{
	const struct iomap *iomap = &iter->iomap;
	u64 len = iomap_length(iter), done, part;

	for (done = 0; done < len; done += part) {
		struct dax_walk walk = { .kind = DAX_WALK_BUSY };

		part = min_t(u64, len - done, DAX_WALK_PAGES << PAGE_SHIFT);
		if (dax_memory_in_use(iomap->dax_dev,
				      dax_iomap_pgoff(iomap, iter->pos + done),
				      PFN_UP(part)))
			return true;
		walk.pages = PFN_UP(part);
		dax_walk_end(&walk, iter->inode->i_mapping);
		cond_resched();
	}
	return false;
}

/**
 * dax_blocks_in_use() - Does anybody use the memory of a file's blocks?
 * @inode: The file, which may have lost its entries, or never had any.
 * @pos: First byte of the range.
 * @len: Its length in bytes.
 * @ops: The filesystem's block lookup, for reading.
 * @sharedp: Set to true if memory is in use of a block that other files have,
 *	too.  They need not know of it.
 *
 * Context: Process context; the range is not mapped and cannot be.  May sleep.
 * Return: true if a page is in use behind a block that no other file has.
 */
bool dax_blocks_in_use(struct inode *inode, loff_t pos, loff_t len,
		       const struct iomap_ops *ops, bool *sharedp)
{
	struct iomap_iter iter = {
		.inode	= inode,
		.pos	= pos,
		.len	= len,
		.flags	= IOMAP_DAX | IOMAP_REPORT,
	};
	bool own = false;

	while (iomap_iter(&iter, ops) > 0) {
		if (iter.iomap.addr != IOMAP_NULL_ADDR &&
		    dax_extent_in_use(&iter)) {
			if (iter.iomap.flags & IOMAP_F_SHARED)
				*sharedp = true;
			else
				own = true;
		}
		iter.processed = own ? 0 : iomap_length(&iter);
	}
	return own;
}
EXPORT_SYMBOL_GPL(dax_blocks_in_use);
