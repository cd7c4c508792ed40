// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deleted DAX files whose pages are in use.
 *
 * Before a filesystem frees blocks of a file, it waits until their pages are
 * idle, see dax_break_layout().  When the last link and the last user of a file
 * are gone, all of its blocks are freed.  The task that drops the last
 * reference cannot wait: one of its own pipes may hold a page, and it closes
 * the pipe after the file.  So the filesystem keeps the inode with its blocks,
 * as it keeps other inodes whose deletion takes long, and this file tells it
 * when to continue.
 *
 *	defer		The filesystem adds an inode whose pages may be in use.
 *	poll		A work item checks each inode, again and again.
 *	release		The pages are idle: the filesystem deletes the inode.
 *	drain		At unmount, and when the mount becomes read-only: wait
 *			for a bounded time, and then release all inodes.
 *
 * If a drain stops waiting, the users of a page keep access to its block, even
 * when another file gets it.  An unmount does not wait for pages of files that
 * are not deleted, because it does not free their blocks.  After the next
 * mount, such a block can be freed while its page is still in use.
 *
 * The work item polls because folio_put() does not wake waiters.
 *
 * LOCKS	dax_defer.lock, a leaf; nests inside inode->i_lock.
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

/* The time between two polls, in jiffies: at first, and at most. */
#define DAX_DEFER_POLL		(HZ / 50)
#define DAX_DEFER_POLL_MAX	HZ

/* After a poll, wait at least this many times as long as the poll took. */
#define DAX_DEFER_PAUSE_FACTOR		16

/* How long an unmount waits, in seconds: by default, and at most. */
static unsigned int dax_unmount_wait = 2;
#define DAX_UNMOUNT_WAIT_MAX	60U

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "fs_dax."
module_param_named(unmount_wait, dax_unmount_wait, uint, 0644);
MODULE_PARM_DESC(unmount_wait, "How many seconds (at most 60) an unmount waits for pages in use of deleted DAX files");

/* @took: how long the last poll took, in jiffies. */
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
 * dax_defer_init() - Initialise the list of deferred inodes
 * @defer: The list of a superblock.
 * @ops: How the filesystem checks and releases its inodes.
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
 * @node: The inode's list node, which the filesystem owns.
 *
 * Context: Any with irqs enabled.
 * Return: true if ->release will be called; false if the filesystem is being
 * unmounted, and the inode must be deleted now.
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
 * dax_defer_flush() - Check inodes that were deferred since the last poll
 * @defer: The list of a superblock.
 *
 * For a filesystem that is out of space.  An inode that was in use at the last
 * poll is not checked again.
 *
 * Context: Process context; no lock held that ->release takes.  Sleeps while
 * idle inodes are deleted, but does not wait for those in use.
 * Return: true if space may have been freed.
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

static void dax_set_stopped(struct dax_defer *defer, bool stopped)
{
	spin_lock(&defer->lock);
	WRITE_ONCE(defer->stopped, stopped);
	spin_unlock(&defer->lock);
}

/* Poll now.  Returns true if an inode is still in use. */
static bool dax_defer_poll(struct dax_defer *defer)
{
	mod_delayed_work(system_unbound_wq, &defer->work, 0);
	flush_delayed_work(&defer->work);
	return !llist_empty(&defer->inodes);
}

/**
 * dax_defer_drain() - Release all inodes, idle or not, and stop deferring
 * @defer: The list of a superblock.
 * @sb: The superblock, for the log.
 *
 * Context: Process context.  Sleeps for at most fs_dax.unmount_wait seconds,
 * plus the time that polls and deletions take.
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
		pr_warn("dax: %s: made read-only or unmounted while pages of deleted files are in use; their users may see data of other files\n",
			sb->s_id);

	/* A poll in progress may still add inodes to the list. */
	dax_set_stopped(defer, true);
	cancel_delayed_work_sync(&defer->work);
	dax_defer_work(&defer->work.work);
}
EXPORT_SYMBOL_GPL(dax_defer_drain);

/**
 * dax_defer_resume() - Allow deferring again after a drain
 * @defer: The list of a superblock that stays mounted.
 *
 * Context: Any.
 */
void dax_defer_resume(struct dax_defer *defer)
{
	dax_set_stopped(defer, false);
}
EXPORT_SYMBOL_GPL(dax_defer_resume);

/**
 * dax_mapping_in_use() - Check whether pages of a file may be in use
 * @mapping: The mapping of a DAX file that cannot be mapped any more.
 *
 * Checks small files only, and does not sleep.
 *
 * Context: Any with irqs enabled.
 * Return: false if no page of an entry is in use; true if one is, or if there
 * are too many pages to check.
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
 * dax_blocks_in_use() - Check whether the memory of a file's blocks is in use
 * @inode: The file, which may have no entries.
 * @pos: First byte of the range.
 * @len: Its length in bytes.
 * @ops: The filesystem's block lookup, for reading.
 * @sharedp: Set to true if the memory of a block is in use that other files
 *	share.
 *
 * Context: Process context; the range is not mapped and cannot be.  May sleep.
 * Return: true if the memory of a block is in use that no other file shares.
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
