// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stage of the KUnit tests of the DAX entries: actors, and the props that
 * more than one file of tests has in hand.  See dax_stage.h.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "../dax-internal.h"
#include "../dax-trace.h"
#include "dax_stage.h"

/* --- actors ------------------------------------------------------------- */

struct address_space *new_mapping(struct kunit *test, struct super_block *sb)
{
	struct inode *inode = kzalloc(sizeof(*inode), GFP_KERNEL);
	struct address_space *mapping;

	KUNIT_ASSERT_NOT_NULL(test, inode);
	inode->i_sb = sb;
	mapping = &inode->i_data;
	address_space_init_once(mapping);
	mapping->host = inode;
	mapping_set_gfp_mask(mapping, GFP_KERNEL);
	inode->i_mapping = mapping;
	return mapping;
}

void free_mapping(struct address_space *mapping)
{
	if (!mapping)
		return;
	xa_destroy(&mapping->i_pages);
	kfree(mapping->host);
}

/* A probe: an actor goes to sleep on @entry. */
static void note_sleep(void *data, struct address_space *mapping, pgoff_t index,
		       void *entry)
{
	struct dax_test *dt = data;

	for (int i = 0; i < MAX_ACTORS; i++) {
		struct actor *actor = &dt->actors[i];

		if (READ_ONCE(actor->self) != current)
			continue;
		WRITE_ONCE(actor->slept_at, dax_entry_start(entry, index));
		WRITE_ONCE(actor->slept_order, dax_entry_order(entry));
		WRITE_ONCE(actor->sleeps, actor->sleeps + 1);
	}
}

/* A probe: somebody grabs. */
static void note_grab(void *data, struct address_space *mapping, pgoff_t index,
		      unsigned int order, bool write, void *found,
		      enum dax_grab_action action)
{
	struct dax_test *dt = data;

	if (current != dt->director || dt->nr_grabs == MAX_GRABS)
		return;
	dt->grabs[dt->nr_grabs] = action;
	dt->found[dt->nr_grabs] = found;
	dt->nr_grabs++;
}

/* A probe: a promotion comes to a point; the xa_lock is held at REPLACE. */
static void note_promotion(void *data, struct address_space *mapping,
			   pgoff_t start, unsigned int order,
			   const struct dax_promotion *promotion,
			   enum dax_promote action)
{
	struct dax_test *dt = data;
	struct xarray *xa = &mapping->i_pages;
	unsigned long flags;

	if (mapping != dt->mapping)
		return;
	spin_lock_irqsave(&dt->lock, flags);
	dt->promotions[action]++;
	if (action == DAX_PROMOTE_REPLACE) {
		dt->put_there = xa_load(xa, start);
		dt->put_dirty = xa_get_mark(xa, start, PAGECACHE_TAG_DIRTY);
		dt->put_towrite = xa_get_mark(xa, start, PAGECACHE_TAG_TOWRITE);
	}
	spin_unlock_irqrestore(&dt->lock, flags);
}

enum actor_state actor_state(struct actor *actor)
{
	unsigned int state;

	if (completion_done(&actor->done))
		return ACTOR_DONE;
	state = READ_ONCE(actor->task->__state);
	if (state & TASK_UNINTERRUPTIBLE)
		return ACTOR_SLEEPS;
	/* Ask this, too, so that what it has found can be read. */
	if (state & TASK_INTERRUPTIBLE && completion_done(&actor->stopped))
		return ACTOR_HOLDS;
	return ACTOR_RUNS;
}

void stop_until_told(struct actor *actor)
{
	complete_all(&actor->stopped);
	wait_for_completion_interruptible(&actor->go);
}

/*
 * Wait until nobody runs.  Everybody has to look the same in two rounds: then
 * nobody has run from the end of the first to the start of the second, and
 * nobody is left to wake anybody.
 */
void settle(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	enum actor_state state[MAX_ACTORS] = {};
	unsigned int sleeps[MAX_ACTORS] = {};
	unsigned long end = jiffies + PATIENCE;
	unsigned int same = 0;

	while (same < 2 * dt->nr_actors) {
		unsigned int i = same % dt->nr_actors;
		struct actor *actor = &dt->actors[i];
		enum actor_state now = actor_state(actor);
		unsigned int slept = READ_ONCE(actor->sleeps);

		if (now == ACTOR_RUNS ||
		    (same >= dt->nr_actors &&
		     (now != state[i] || slept != sleeps[i]))) {
			KUNIT_ASSERT_TRUE_MSG(test, time_before(jiffies, end),
					      "actor %u runs for ever", i);
			usleep_range(100, 1000);
			same = 0;
			continue;
		}
		state[i] = now;
		sleeps[i] = slept;
		same++;
	}
}

/* One letter an actor, in the order in which they came: "HSS". */
const char *stage(struct kunit *test)
{
	struct dax_test *dt = test->priv;

	for (unsigned int i = 0; i < dt->nr_actors; i++)
		dt->stage[i] = "RSHD"[actor_state(&dt->actors[i])];
	dt->stage[dt->nr_actors] = '\0';
	return dt->stage;
}

/* For those who were woken at once, of whom any may be the first. */
unsigned int nr_actors(struct kunit *test, enum actor_state state)
{
	struct dax_test *dt = test->priv;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < dt->nr_actors; i++)
		nr += actor_state(&dt->actors[i]) == state;
	return nr;
}

static int actor_thread(void *data)
{
	struct actor *actor = data;

	WRITE_ONCE(actor->self, current);
	actor->job(actor);
	WRITE_ONCE(actor->self, NULL);
	complete_all(&actor->done);
	return 0;
}

/* Send an actor out to do @job, and wait until nobody runs. */
struct actor *enter(struct kunit *test, void (*job)(struct actor *actor),
		    pgoff_t index, unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	struct actor *actor = &dt->actors[dt->nr_actors];
	struct task_struct *task;

	KUNIT_ASSERT_LT(test, dt->nr_actors, MAX_ACTORS);
	actor->dt = dt;
	actor->mapping = dt->mapping;
	actor->job = job;
	actor->index = index;
	actor->order = order;
	actor->write = write;
	init_completion(&actor->stopped);
	init_completion(&actor->go);
	init_completion(&actor->done);

	task = kthread_create(actor_thread, actor, "dax-actor/%u",
			      dt->nr_actors);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	actor->task = task;
	dt->nr_actors++;
	wake_up_process(task);
	settle(test);
	return actor;
}

void let_go(struct kunit *test, struct actor *actor)
{
	complete_all(&actor->go);
	settle(test);
}

/* The one actor that holds an entry lock. */
struct actor *holder(struct kunit *test)
{
	struct dax_test *dt = test->priv;

	KUNIT_ASSERT_EQ(test, nr_actors(test, ACTOR_HOLDS), 1);
	for (unsigned int i = 0; i < dt->nr_actors; i++)
		if (actor_state(&dt->actors[i]) == ACTOR_HOLDS)
			return &dt->actors[i];
	return NULL;
}

/* A test has failed and left locks behind: tear them off. */
static void unlock_everything(struct address_space *mapping)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX)
		xas_store(&xas, NULL);
	xas_unlock_irq(&xas);
}

/* Bring an actor home, by force if it sleeps where nobody will wake it. */
static bool bring_home(struct kunit *test, struct actor *actor)
{
	struct dax_test *dt = actor->dt;

	for (int tries = 0; tries < 100; tries++) {
		if (wait_for_completion_timeout(&actor->done, HZ / 20)) {
			put_task_struct(actor->task);
			return true;
		}
		if (tries == 0)
			kunit_err(test, "%s had to be woken by force; it slept at %#lx, order %u",
				  actor->task->comm, READ_ONCE(actor->slept_at),
				  READ_ONCE(actor->slept_order));
		unlock_everything(dt->mapping);
		wake_up_process(actor->task);
	}
	return false;
}

int dax_stage_init(struct kunit *test)
{
	struct dax_test *dt = kzalloc(sizeof(*dt), GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, dt);
	test->priv = dt;
	dt->director = current;
	spin_lock_init(&dt->lock);
	dt->sb = kzalloc(sizeof(*dt->sb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dt->sb);
	dt->mapping = new_mapping(test, dt->sb);

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS to count sleeps");
	ret = register_trace_dax_wait_entry(note_sleep, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = register_trace_dax_grab_entry(note_grab, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = register_trace_dax_promote_entry(note_promotion, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	dt->probing = true;
	return 0;
}

/* The play is over: all actors finish what they have begun. */
bool send_home(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	bool home = true;

	for (unsigned int i = 0; i < dt->nr_actors; i++)
		complete_all(&dt->actors[i].go);
	for (unsigned int i = 0; i < dt->nr_actors; i++)
		home &= bring_home(test, &dt->actors[i]);
	dt->nr_actors = 0;
	return home;
}

void dax_stage_exit(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	bool home;

	if (!dt)
		return;
	home = send_home(test);
	if (dt->probing) {
		unregister_trace_dax_wait_entry(note_sleep, dt);
		unregister_trace_dax_grab_entry(note_grab, dt);
		unregister_trace_dax_promote_entry(note_promotion, dt);
		tracepoint_synchronize_unregister();
	}
	if (!home) {
		kunit_err(test, "an actor is lost; its stage cannot be freed");
		return;
	}
	free_mapping(dt->mapping);
	kvfree(dt->room);
	kfree(dt->sb);
	kfree(dt);
}

/* --- props -------------------------------------------------------------- */

bool has_order(unsigned int order)
{
	return order == 0 || IS_ENABLED(CONFIG_XARRAY_MULTI);
}

void need_order(struct kunit *test, unsigned int order)
{
	if (!has_order(order))
		kunit_skip(test, "order %u needs CONFIG_FS_DAX_PMD", order);
}

void *make_entry(enum dax_kind kind, unsigned int order)
{
	return dax_make_entry(kind, kind == DAX_MAPPED ? BASE : 0, order);
}

void *grab(struct kunit *test, pgoff_t index, unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	void *entry;

	KUNIT_ASSERT_EQ(test, 0,
			dax_grab_entry(&xas, order, write, &entry, NULL, NULL));
	return entry;
}

void unlock(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	dax_unlock_entry(&xas, entry);
}

void replace(struct kunit *test, pgoff_t index, void *old, void *new)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	dax_replace_entry(&xas, old, new);
	xas_unlock_irq(&xas);
}

void delete(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
	xas_unlock_irq(&xas);
}

void set_mark(struct kunit *test, pgoff_t index, xa_mark_t mark)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	xas_set_mark(&xas, mark);
	xas_unlock_irq(&xas);
}

bool marked(struct kunit *test, pgoff_t index, xa_mark_t mark)
{
	struct dax_test *dt = test->priv;
	bool set;

	xa_lock_irq(&dt->mapping->i_pages);
	set = xa_get_mark(&dt->mapping->i_pages, index, mark);
	xa_unlock_irq(&dt->mapping->i_pages);
	return set;
}

void *peek(struct kunit *test, pgoff_t index)
{
	struct dax_test *dt = test->priv;
	void *entry;

	xa_lock_irq(&dt->mapping->i_pages);
	entry = xa_load(&dt->mapping->i_pages, index);
	xa_unlock_irq(&dt->mapping->i_pages);
	return entry;
}

unsigned long nrpages(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned long nr;

	xa_lock_irq(&dt->mapping->i_pages);
	nr = dt->mapping->nrpages;
	xa_unlock_irq(&dt->mapping->i_pages);
	return nr;
}

/* Put a locked entry of @kind and @order over @index. */
void *put_locked(struct kunit *test, pgoff_t index, enum dax_kind kind,
		 unsigned int order)
{
	void *empty = grab(test, index, order, false);
	void *entry = make_entry(kind, order);

	KUNIT_ASSERT_PTR_EQ(test, empty, dax_make_empty(order));
	replace(test, index, empty, entry);
	return entry;
}

void *put(struct kunit *test, pgoff_t index, enum dax_kind kind,
	  unsigned int order)
{
	void *entry = put_locked(test, index, kind, order);

	unlock(test, index, entry);
	return entry;
}

void put_dirty(struct kunit *test, pgoff_t index, unsigned int order)
{
	put(test, index, DAX_MAPPED, order);
	set_mark(test, index, PAGECACHE_TAG_DIRTY);
}

/* The tree has @entry over @order pages around @index, and ends there. */
void expect_range(struct kunit *test, pgoff_t index, unsigned int order,
		  void *entry)
{
	pgoff_t first = round_down(index, 1UL << order);
	pgoff_t last = first + (1UL << order) - 1;

	KUNIT_EXPECT_PTR_EQ(test, peek(test, first), entry);
	KUNIT_EXPECT_PTR_EQ(test, peek(test, index), entry);
	KUNIT_EXPECT_PTR_EQ(test, peek(test, last), entry);
	KUNIT_EXPECT_PTR_NE(test, peek(test, first - 1), entry);
	KUNIT_EXPECT_PTR_NE(test, peek(test, last + 1), entry);
}

void expect_seen(struct kunit *test, struct actor *walker,
		 const pgoff_t *starts, unsigned int nr)
{
	KUNIT_ASSERT_EQ(test, actor_state(walker), ACTOR_DONE);
	KUNIT_ASSERT_EQ(test, walker->nr_seen, nr);
	for (unsigned int i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, walker->seen[i], starts[i]);
}

/* --- promotion ---------------------------------------------------------- */

/*
 * That small entries can be promoted to @order.  A node of the tree has 64
 * slots in the kernel, but 8 in half of the builds of tools/testing/dax: there
 * promotion ends earlier.
 */
void need_promotable(struct kunit *test, unsigned int order)
{
	need_order(test, order);
	if (order > DAX_PROMOTE_MAX_ORDER)
		kunit_skip(test, "with %u slots a node, nothing is promoted to order %u",
			   (unsigned int)XA_CHUNK_SIZE, order);
}

unsigned int use_promotable(struct kunit *test)
{
	need_promotable(test, param_order(test));
	return param_order(test);
}

static void *page_entry(char what, unsigned long pfn)
{
	switch (what) {
	case 'm':
	case 'M':
	case 'T':
		return dax_make_mapped(pfn, 0);
	case 'x':
		return dax_make_mapped(pfn + 1, 0);
	case 'w':
		return dax_make_mapped(pfn - 1, 0);
	case 'z':
	case 'Z':
		return dax_make_zero(0);
	default:
		return dax_make_empty(0);
	}
}

/*
 * Put an entry of order 0: mapped, zero or empty by its letter, and dirty if
 * that is a capital one.  T is mapped, dirty and about to be flushed; x and w
 * are mapped, but to the blocks behind and before the right one; a dot is
 * nothing.
 */
void lay_page(struct kunit *test, pgoff_t index, unsigned long pfn, char what)
{
	void *empty, *entry = page_entry(what, pfn);

	if (what == '.')
		return;
	empty = grab(test, index, 0, false);
	KUNIT_ASSERT_PTR_EQ(test, empty, dax_make_empty(0));
	replace(test, index, empty, entry);
	if (what < 'a')
		set_mark(test, index, PAGECACHE_TAG_DIRTY);
	if (what == 'T')
		set_mark(test, index, PAGECACHE_TAG_TOWRITE);
	unlock(test, index, entry);
}

/* Lay all pages of a range, by the letters of @cycle over and over. */
void lay(struct kunit *test, pgoff_t start, unsigned int order,
	 const char *cycle)
{
	unsigned int len = strlen(cycle);

	for (unsigned int i = 0; i < 1U << order; i++)
		lay_page(test, start + i, BLOCKS + i, cycle[i % len]);
}

void delete_all(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, 0);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX)
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
	xas_unlock_irq(&xas);
	KUNIT_EXPECT_EQ(test, nrpages(test), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dt->mapping->i_pages));
}

void take_picture(struct kunit *test, struct picture *p, pgoff_t start,
		  unsigned int order)
{
	struct dax_test *dt = test->priv;
	struct xarray *xa = &dt->mapping->i_pages;

	p->start = start;
	p->order = order;
	p->first = start < PICTURE_MARGIN ? 0 : start - PICTURE_MARGIN;
	p->nr = start + (1U << order) + PICTURE_MARGIN - p->first;
	xa_lock_irq(xa);
	p->nrpages = dt->mapping->nrpages;
	for (unsigned int i = 0; i < p->nr; i++) {
		pgoff_t index = p->first + i;

		p->word[i] = xa_load(xa, index);
		p->dirty[i] = xa_get_mark(xa, index, PAGECACHE_TAG_DIRTY);
		p->towrite[i] = xa_get_mark(xa, index, PAGECACHE_TAG_TOWRITE);
	}
	xa_unlock_irq(xa);
}

/* The first page that does not look as it should is told, and no more. */
void expect_picture(struct kunit *test, const struct picture *p)
{
	static struct picture now;
	unsigned int i = 0;

	take_picture(test, &now, p->start, p->order);
	while (i < p->nr - 1 && now.word[i] == p->word[i] &&
	       now.dirty[i] == p->dirty[i] && now.towrite[i] == p->towrite[i])
		i++;
	KUNIT_EXPECT_PTR_EQ_MSG(test, now.word[i], p->word[i], "at %#lx",
				p->first + i);
	KUNIT_EXPECT_EQ_MSG(test, now.dirty[i], p->dirty[i], "dirty at %#lx",
			    p->first + i);
	KUNIT_EXPECT_EQ_MSG(test, now.towrite[i], p->towrite[i],
			    "to be flushed at %#lx", p->first + i);
	KUNIT_EXPECT_EQ(test, now.nrpages, p->nrpages);
}

/*
 * From what there was before a promotion to what there has to be when it has
 * been undone.  With @towrite, an fsync has marked the large entry.
 */
void picture_undone(struct picture *p, bool towrite, bool with_zero)
{
	unsigned int from = p->start - p->first;
	unsigned int to = from + (1U << p->order);

	for (unsigned int i = from; i < to; i++)
		towrite |= p->towrite[i];
	for (unsigned int i = from; i < to; i++) {
		if (!with_zero && p->word[i] && dax_is_zero(p->word[i])) {
			p->word[i] = NULL;
			p->dirty[i] = false;
			p->nrpages--;
		}
		p->towrite[i] = towrite && p->dirty[i];
	}
}

/* The director promotes, and does not have to wait for it. */
struct dax_promotion *promote(struct kunit *test, pgoff_t index,
			      unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	struct dax_promotion *promotion = NULL;
	void *entry = NULL;

	KUNIT_ASSERT_EQ(test, 0,
			dax_grab_entry(&xas, order, write, &entry, NULL,
				       &promotion));
	KUNIT_ASSERT_NOT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
	return promotion;
}

/* The director tries to promote, and is refused. */
int promote_errno(struct kunit *test, pgoff_t index, unsigned int order)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	struct dax_promotion *promotion = NULL;
	void *entry = NULL;
	int ret = dax_grab_entry(&xas, order, false, &entry, NULL, &promotion);

	KUNIT_ASSERT_NE(test, ret, 0);
	return ret;
}

void undo(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	  bool with_zero)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, promotion->order);

	dax_undo_promotion(&xas, promotion, with_zero);
}

/* As a fault that has got its blocks: @new is what the range is now. */
void finish(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	    void *new)
{
	struct dax_test *dt = test->priv;
	unsigned int order = promotion->order;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, order);

	replace(test, start, dax_make_empty(order), new);
	dax_finish_promotion(&xas, promotion);
	dax_unlock_entry(&xas, new);
}

/* How many promotions were traced as coming to that point. */
unsigned int nr_promoted(struct kunit *test, enum dax_promote what)
{
	struct dax_test *dt = test->priv;
	unsigned long flags;
	unsigned int nr;

	spin_lock_irqsave(&dt->lock, flags);
	nr = dt->promotions[what];
	spin_unlock_irqrestore(&dt->lock, flags);
	return nr;
}

/* Each try has come to one end, and so has each replacement. */
void expect_counts(struct kunit *test)
{
	unsigned int nr[NR_DAX_PROMOTE];

	for (int i = 0; i < NR_DAX_PROMOTE; i++)
		nr[i] = nr_promoted(test, i);
	KUNIT_EXPECT_EQ(test, nr[DAX_PROMOTE_TRY],
			nr[DAX_PROMOTE_FRAGMENTED] + nr[DAX_PROMOTE_LOCKED] +
			nr[DAX_PROMOTE_NO_MEMORY] + nr[DAX_PROMOTE_GONE] +
			nr[DAX_PROMOTE_REPLACE]);
	KUNIT_EXPECT_EQ(test, nr[DAX_PROMOTE_REPLACE],
			nr[DAX_PROMOTE_ROLLBACK] + nr[DAX_PROMOTE_DONE]);
}

/* --- jobs --------------------------------------------------------------- */

/* A fault: lock the entry, hold it until told, unlock. */
void job_hold(struct actor *actor)
{
	unsigned int order = actor->order;
	XA_STATE_ORDER(xas, &actor->mapping->i_pages, actor->index, order);

	actor->ret = dax_grab_entry(&xas, order, actor->write, &actor->entry,
				    NULL, NULL);
	if (actor->ret)
		return;
	stop_until_told(actor);
	dax_unlock_entry(&xas, actor->entry);
}

/* The same, but it may promote; then it finishes with blocks, or undoes it. */
void job_promote(struct actor *actor)
{
	unsigned int order = actor->order;
	XA_STATE_ORDER(xas, &actor->mapping->i_pages, actor->index, order);
	void *new = dax_make_mapped(BLOCKS, order);
	struct dax_promotion *promotion;

	actor->ret = dax_grab_entry(&xas, order, actor->write, &actor->entry,
				    NULL, &promotion);
	if (actor->ret)
		return;
	actor->promoted = promotion;
	stop_until_told(actor);
	if (!promotion) {
		dax_unlock_entry(&xas, actor->entry);
	} else if (actor->undo) {
		dax_undo_promotion(&xas, promotion, true);
	} else {
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, actor->entry, new);
		xas_unlock_irq(&xas);
		dax_finish_promotion(&xas, promotion);
		dax_unlock_entry(&xas, new);
	}
}

/* Look at all entries with a mark from the index on, unlocked. */
static void walk_marked(struct actor *actor, xa_mark_t mark)
{
	XA_STATE(xas, &actor->mapping->i_pages, actor->index);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, ULONG_MAX, mark) {
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		if (actor->nr_seen < MAX_SEEN)
			actor->seen[actor->nr_seen++] =
				dax_entry_start(entry, xas.xa_index);
	}
	xas_unlock_irq(&xas);
}

/* Writeback, and what it does first and then. */
void job_walk_dirty(struct actor *actor)
{
	walk_marked(actor, PAGECACHE_TAG_DIRTY);
}

void job_walk_towrite(struct actor *actor)
{
	walk_marked(actor, PAGECACHE_TAG_TOWRITE);
}
