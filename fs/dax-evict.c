// SPDX-License-Identifier: GPL-2.0-only
/*
 * DAX files that go while a device is at their pages.
 *
 * Before a filesystem takes blocks from a file it waits until no device uses
 * them, see dax_layout_busy_page().  With its last name and its last user a
 * file loses all of its blocks, but then nobody is there who might wait: what
 * holds a page may well belong to the task that puts the inode, such as a pipe
 * into which it was vmspliced, and which a task that exits closes after the
 * file.  So the inode stays, with entries and blocks, until its pages are idle;
 * as if somebody had it open.
 *
 * A file that keeps its name keeps its entries, too, as no shrinker takes an
 * inode that has any.  (On virtiofs it does not, and that is left as it is.)  It
 * goes with an unmount at the latest, which therefore waits.  Meanwhile sync(2)
 * waits for the unmount.  So it can be killed; and in a task that cannot be, as
 * it exits or serves all others, it does not wait for long.  Then the inodes go
 * as they are.
 *
 * A device that is removed takes its page structures along, and waits for nobody
 * who has a page; but for each inode or unmount that waits for one.
 *
 * SLEEPERS	Everybody looks at a page from time to time.  To be woken would
 *		be nicer, but put_page() wakes and folio_put() does not, and
 *		who has a page is anybody.  Only an unmount that waits for
 *		inodes which were put off is woken, by each that went, and who
 *		looks an inode up while it is decided whether it goes.
 *
 * LOCKS	inode->i_lock, and inside it dax_evict_lock, a leaf.  An unmount
 *		sleeps with sb->s_umount held, and with nothing else.
 */

#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

/* From look to look, in jiffies: the first time, and at most. */
#define DAX_EVICT_LOOK		msecs_to_jiffies(20)
#define DAX_EVICT_LOOK_MAX	HZ

/* For how long an unmount waits that cannot be killed, in jiffies. */
#define DAX_EVICT_UNKILLABLE	HZ

/**
 * struct dax_eviction - An inode that is to be put when a page of it is idle
 * @list: On dax_evictions, until the inode was put.
 * @work: Looks at @page, and puts @inode.
 * @delay: Jiffies until the next look.
 * @inode: The inode, with a reference of ours.
 * @sb: Its superblock, which stays as long as this is listed.
 * @page: The page that is waited for.
 * @pgmap: What @page belongs to, with a reference of ours.
 */
struct dax_eviction {
	struct list_head list;
	struct delayed_work work;
	unsigned long delay;
	struct inode *inode;
	struct super_block *sb;
	struct page *page;
	struct dev_pagemap *pgmap;
};

static DEFINE_SPINLOCK(dax_evict_lock);
static LIST_HEAD(dax_evictions);

static bool dax_eviction_waits(const struct dax_eviction *eviction)
{
	const struct super_block *sb = eviction->sb;

	if (!(READ_ONCE(sb->s_flags) & SB_ACTIVE))
		return false;
	/* A frozen filesystem would only have the work sleep in iput(). */
	return page_ref_count(eviction->page) > 1 ||
		READ_ONCE(sb->s_writers.frozen) != SB_UNFROZEN;
}

static void dax_eviction_look_later(struct dax_eviction *eviction)
{
	queue_delayed_work(system_unbound_wq, &eviction->work,
			   eviction->delay);
	eviction->delay = min(2 * eviction->delay, DAX_EVICT_LOOK_MAX);
}

static void dax_eviction_free(struct dax_eviction *eviction)
{
	put_dev_pagemap(eviction->pgmap);
	kfree(eviction);
}

/* iput() looks once more whether any page is in use. */
static void dax_eviction_work(struct work_struct *work)
{
	struct dax_eviction *eviction =
		container_of(to_delayed_work(work), struct dax_eviction, work);

	if (dax_eviction_waits(eviction)) {
		dax_eviction_look_later(eviction);
		return;
	}

	iput(eviction->inode);
	spin_lock(&dax_evict_lock);
	list_del(&eviction->list);
	spin_unlock(&dax_evict_lock);
	/* An unmount that has not seen it go must be seen to sleep. */
	smp_mb();
	wake_up_var(&dax_evictions);
	dax_eviction_free(eviction);
}

/* Returns NULL if all pages are idle, or if their device is being removed. */
static struct dax_eviction *dax_eviction_alloc(struct inode *inode)
{
	struct dax_eviction *eviction;
	struct dev_pagemap *pgmap;
	struct page *page;

	page = dax_layout_busy_page(&inode->i_data);
	if (!page)
		return NULL;
	pgmap = get_dev_pagemap(page_to_pfn(page), NULL);
	if (!pgmap)
		return NULL;

	eviction = kmalloc(sizeof(*eviction), GFP_NOFS | __GFP_NOFAIL);
	INIT_DELAYED_WORK(&eviction->work, dax_eviction_work);
	eviction->delay = DAX_EVICT_LOOK;
	eviction->inode = inode;
	eviction->sb = inode->i_sb;
	eviction->page = page;
	eviction->pgmap = pgmap;
	return eviction;
}

/*
 * Not when the filesystem goes: dax_wait_evictions() may have been there.  It
 * comes after SB_ACTIVE has been cleared, and takes the lock.
 */
static bool dax_eviction_start(struct dax_eviction *eviction)
{
	bool active;

	spin_lock(&dax_evict_lock);
	active = READ_ONCE(eviction->sb->s_flags) & SB_ACTIVE;
	if (active) {
		atomic_inc(&eviction->inode->i_count);
		list_add_tail(&eviction->list, &dax_evictions);
		dax_eviction_look_later(eviction);
	}
	spin_unlock(&dax_evict_lock);
	return active;
}

/**
 * dax_put_off_eviction() - Keep an inode while a device uses its pages
 * @inode: The inode of a DAX file that is to go, without any reference.
 *
 * Who has a page of the file does not come by another one: as long as this
 * looks, the file can be neither opened nor mapped, and the inode not looked up.
 *
 * Context: Process context; i_lock of @inode held, and dropped in between.  May
 * sleep, for I/O too.  Takes i_mmap_rwsem.
 * Return: true if the inode has a reference again, which is put when its pages
 * are idle; false if it may go now, since all pages are idle, or the device is
 * removed or the filesystem shut down without regard to them.
 */
bool dax_put_off_eviction(struct inode *inode)
	__must_hold(&inode->i_lock)
{
	struct dax_eviction *eviction;

	WRITE_ONCE(inode->i_state, inode->i_state | I_WILL_FREE);
	spin_unlock(&inode->i_lock);
	eviction = dax_eviction_alloc(inode);
	/* A sync that finds an inode like this leaves the writing to us. */
	if (eviction && inode->i_nlink)
		write_inode_now(inode, 1);
	spin_lock(&inode->i_lock);
	WRITE_ONCE(inode->i_state, inode->i_state & ~I_WILL_FREE);

	if (!eviction)
		return false;
	if (!dax_eviction_start(eviction)) {
		dax_eviction_free(eviction);
		return false;
	}
	/* Who wanted the inode waits as for one that is freed. */
	inode_wake_up_bit(inode, __I_NEW);
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

static bool dax_unmount_waits(unsigned long since)
{
	/* Delayed unmounts share a kworker, and no signal reaches the others. */
	if (current->flags & (PF_EXITING | PF_KTHREAD))
		return time_before(jiffies, since + DAX_EVICT_UNKILLABLE);
	return !fatal_signal_pending(current);
}

static bool dax_wait_page_put(const struct page *page, unsigned long since)
{
	while (page_ref_count(page) > 1) {
		if (!dax_unmount_waits(since))
			return false;
		schedule_timeout_killable(DAX_EVICT_LOOK);
	}
	return true;
}

static bool dax_wait_inode_idle(struct inode *inode, unsigned long since)
{
	struct dev_pagemap *pgmap;
	struct page *page;
	bool idle = true;

	while (idle && (page = dax_layout_busy_page(&inode->i_data))) {
		/* The device may be below one that nobody tells of its removal. */
		pgmap = get_dev_pagemap(page_to_pfn(page), NULL);
		if (!pgmap)
			return true;
		idle = dax_wait_page_put(page, since);
		put_dev_pagemap(pgmap);
	}
	return idle;
}

/**
 * dax_wait_sb_idle() - Wait until no device uses the files of a filesystem
 * @sb: The superblock of a filesystem, of whatever kind, that is to be shut
 *	down.  Nobody has a file of it open or mapped.
 *
 * Context: Process context; sb->s_umount held.  Sleeps for as long as a device
 * or a pipe holds a page, or until it is killed; for a second in a task that
 * exits, and in a kthread.
 */
void dax_wait_sb_idle(struct super_block *sb)
{
	unsigned long since = jiffies;
	struct inode *inode = NULL;
	bool idle = true;

	while (idle && (inode = dax_next_inode(sb, inode))) {
		idle = dax_wait_inode_idle(inode, since);
		cond_resched();
	}
	iput(inode);
	if (!idle)
		pr_warn("dax: %s is unmounted while a device uses its pages, as the task that does it is killed, or cannot be\n",
			sb->s_id);
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
 * dax_wait_evictions() - Wait until the inodes that were put off are gone
 * @sb: The superblock of a filesystem that is shut down, without SB_ACTIVE.
 *
 * No inode of it is put off any more, and those that were wait for nothing.
 *
 * Context: Process context; sb->s_umount held.  Sleeps, for a second and the
 * time that the evictions take.
 */
void dax_wait_evictions(struct super_block *sb)
{
	wait_var_event(&dax_evictions, dax_evictions_done(sb));
}
