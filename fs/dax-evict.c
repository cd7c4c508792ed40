// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX files that go while a device is at their pages.
 *
 * Before a filesystem takes blocks from a file it waits until no device uses
 * them, see dax_layout_busy_page().  With its last name and its last user a
 * file loses all of its blocks, but then nobody is there who might wait: what
 * holds a page may well belong to the task that puts the inode, such as a pipe
 * into which it was vmspliced, and which a task that exits closes after the
 * file.  So iput() hands over its reference, and the inode stays, with entries
 * and blocks, until its pages are idle.
 *
 * A file that keeps its name keeps its entries, too, as no shrinker takes an
 * inode that has any.  It goes with an unmount at the latest, and so do those
 * that were put off: an unmount waits for all of them, but can be killed, and
 * waits for nothing in a task that exits: that may be waiting for itself.
 *
 * SLEEPERS	An inode that was put off waits with no task, as an entry in the
 *		queue of a busy page.  Whoever makes that idle wakes it, and its
 *		iput() looks for the next one.  An unmount that was killed wakes
 *		it as well, and SB_ACTIVE, off by then, has iput() look at none.
 *		An unmount sleeps on a busy page, and then on dax_evictions, of
 *		which each inode that went wakes it.
 *
 * LOCKS	dax_evict_lock has only the locks of wait queues inside it.  An
 *		unmount sleeps with sb->s_umount held, and with nothing else.
 */

#include <linux/atomic.h>
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

/**
 * struct dax_eviction - An inode that is to be put when a page of it is idle
 * @list: On dax_evictions, until the inode was put.
 * @wait: In the queue of @page.
 * @work: Puts @inode.
 * @inode: The inode, with a reference of ours.
 * @sb: Its superblock, which stays as long as this is listed.
 * @page: The page that is waited for.
 */
struct dax_eviction {
	struct list_head list;
	struct wait_bit_queue_entry wait;
	struct work_struct work;
	struct inode *inode;
	struct super_block *sb;
	struct page *page;
};

static DEFINE_SPINLOCK(dax_evict_lock);
static LIST_HEAD(dax_evictions);

/* Not so any more when the filesystem has been told to go without waiting. */
static bool dax_sb_waits(const struct super_block *sb)
{
	return READ_ONCE(sb->s_flags) & SB_ACTIVE;
}

/* The page is idle, or need not be: off its queue.  Atomic context. */
static int dax_eviction_wake(struct wait_queue_entry *wait, unsigned int mode,
			     int flags, void *arg)
{
	struct dax_eviction *eviction =
		container_of(wait, struct dax_eviction, wait.wq_entry);
	struct wait_bit_key *key = arg;

	/* The queue is shared by all that hash to it. */
	if (key->flags != eviction->wait.key.flags)
		return 0;
	list_del_init(&wait->entry);
	queue_work(system_unbound_wq, &eviction->work);
	return 1;
}

/* The last iput() looks once more whether a page is in use. */
static void dax_eviction_work(struct work_struct *work)
{
	struct dax_eviction *eviction =
		container_of(work, struct dax_eviction, work);

	iput(eviction->inode);
	spin_lock(&dax_evict_lock);
	list_del(&eviction->list);
	spin_unlock(&dax_evict_lock);
	/* An unmount that has not seen it go must be seen to sleep. */
	smp_mb();
	wake_up_var(&dax_evictions);
	kfree(eviction);
}

/*
 * Have the work done when the page is idle.  The lock keeps @eviction from
 * going before this is through with it, and an unmount from overlooking it.
 */
static void dax_eviction_wait(struct dax_eviction *eviction)
{
	atomic_t *refs = &eviction->page->_refcount;

	init_wait_var_entry(&eviction->wait, refs, 0);
	eviction->wait.wq_entry.func = dax_eviction_wake;
	spin_lock(&dax_evict_lock);
	list_add_tail(&eviction->list, &dax_evictions);
	add_wait_queue(__var_waitqueue(refs), &eviction->wait.wq_entry);
	/*
	 * Whoever puts a reference looks afterwards whether somebody waits, and
	 * may have done so just before.
	 */
	smp_mb();
	if (atomic_read(refs) == 1 || !dax_sb_waits(eviction->sb))
		wake_up_var(refs);
	spin_unlock(&dax_evict_lock);
}

/**
 * dax_put_off_iput() - Put an inode when no device uses its pages any more
 * @inode: The inode of a DAX file that is to go, with the last reference.
 *
 * Nobody can map the file any more, so what is idle stays idle.
 *
 * Context: Process context; may sleep.  Takes i_mmap_rwsem.
 * Return: true if the reference was taken over; false if the caller still has
 * it and may put it now, since all pages are idle or the filesystem is shut
 * down without regard to them.
 */
bool dax_put_off_iput(struct inode *inode)
{
	struct dax_eviction *eviction;
	struct page *page;

	if (!dax_sb_waits(inode->i_sb))
		return false;
	page = dax_layout_busy_page(inode->i_mapping);
	if (!page)
		return false;

	eviction = kmalloc(sizeof(*eviction), GFP_NOFS | __GFP_NOFAIL);
	INIT_WORK(&eviction->work, dax_eviction_work);
	eviction->inode = inode;
	eviction->sb = inode->i_sb;
	eviction->page = page;
	dax_eviction_wait(eviction);
	return true;
}

/*
 * The inode after @prev, or the first one, that has entries, with a reference;
 * NULL at the end.  Puts @prev.  Now and then one without entries is returned,
 * so that the caller can reschedule.
 */
static struct inode *dax_next_inode(struct super_block *sb, struct inode *prev)
{
	struct inode *inode, *next = NULL;

	spin_lock(&sb->s_inode_list_lock);
	inode = list_prepare_entry(prev, &sb->s_inodes, i_sb_list);
	list_for_each_entry_continue(inode, &sb->s_inodes, i_sb_list) {
		if (dax_has_entries(inode) || need_resched())
			next = igrab(inode);
		if (next)
			break;
	}
	spin_unlock(&sb->s_inode_list_lock);
	iput(prev);
	return next;
}

static int dax_wait_inode_idle(struct inode *inode)
{
	struct page *page;
	int err = 0;

	while (!err && (page = dax_layout_busy_page(inode->i_mapping))) {
		if (current->flags & PF_EXITING)
			return -EINTR;
		err = wait_var_event_killable(&page->_refcount,
					      page_ref_count(page) == 1);
	}
	return err;
}

static void dax_stop_waiting(struct super_block *sb)
{
	struct dax_eviction *eviction;

	pr_warn("dax: %s is unmounted while a device uses its pages, as the task that does it is killed or exits\n",
		sb->s_id);
	sb->s_flags &= ~SB_ACTIVE;
	spin_lock(&dax_evict_lock);
	list_for_each_entry(eviction, &dax_evictions, list)
		if (eviction->sb == sb)
			wake_up_var(&eviction->page->_refcount);
	spin_unlock(&dax_evict_lock);
}

static bool dax_evictions_done(const struct super_block *sb)
{
	struct dax_eviction *eviction;
	bool done = true;

	spin_lock(&dax_evict_lock);
	list_for_each_entry(eviction, &dax_evictions, list)
		if (eviction->sb == sb)
			done = false;
	spin_unlock(&dax_evict_lock);
	return done;
}

/**
 * dax_wait_sb_idle() - Wait until no device uses the files of a filesystem
 * @sb: The superblock of a filesystem, of whatever kind, that is shut down.
 *	Nobody has a file of it open or mapped.
 *
 * Inodes that were put off are gone afterwards.
 *
 * Context: Process context; sb->s_umount held.  May sleep, killably, for as long
 * as a device or a pipe holds a page; not so in a task that exits.
 */
void dax_wait_sb_idle(struct super_block *sb)
{
	struct inode *inode = NULL;
	int err = 0;

	while (!err && (inode = dax_next_inode(sb, inode))) {
		err = dax_wait_inode_idle(inode);
		cond_resched();
	}
	iput(inode);
	if (err)
		dax_stop_waiting(sb);
	wait_var_event(&dax_evictions, dax_evictions_done(sb));
}
