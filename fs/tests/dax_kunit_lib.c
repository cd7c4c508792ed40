// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers of the KUnit tests of the DAX entries: tasks, and entries.  See
 * dax_kunit_lib.h.
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
#include "dax_kunit_lib.h"

/* --- tasks --------------------------------------------------------------- */

struct address_space *dt_new_mapping(struct kunit *test, struct super_block *sb)
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

void dt_free_mapping(struct address_space *mapping)
{
	if (!mapping)
		return;
	xa_destroy(&mapping->i_pages);
	kfree(mapping->host);
}

/* A probe: a task is about to sleep on @entry. */
static void probe_wait(void *data, struct address_space *mapping, pgoff_t index,
		       void *entry)
{
	struct dax_test *dt = data;

	for (int i = 0; i < MAX_TASKS; i++) {
		struct dt_task *task = &dt->tasks[i];

		if (READ_ONCE(task->self) != current)
			continue;
		WRITE_ONCE(task->slept_at, dax_entry_start(entry, index));
		WRITE_ONCE(task->slept_order, dax_entry_order(entry));
		WRITE_ONCE(task->sleeps, task->sleeps + 1);
	}
}

/* A probe: the driver grabs an entry. */
static void probe_grab(void *data, struct address_space *mapping, pgoff_t index,
		       unsigned int order, bool write, void *found,
		       enum dax_grab_action action)
{
	struct dax_test *dt = data;

	if (current != dt->driver || dt->nr_grabs == MAX_GRABS)
		return;
	dt->grabs[dt->nr_grabs] = action;
	dt->found[dt->nr_grabs] = found;
	dt->nr_grabs++;
}

/* A probe: a step of a promotion.  The xa_lock is held at REPLACE. */
static void probe_promotion(void *data, struct address_space *mapping,
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

enum dt_state dt_state(struct dt_task *task)
{
	unsigned int state;

	if (completion_done(&task->done))
		return DT_DONE;
	state = READ_ONCE(task->thread->__state);
	if (state & TASK_UNINTERRUPTIBLE)
		return DT_SLEEPS;
	/* After completion_done(), the result of the task can be read. */
	if (state & TASK_INTERRUPTIBLE && completion_done(&task->stopped) &&
	    !completion_done(&task->go))
		return DT_HOLDS;
	return DT_RUNS;
}

void dt_hold(struct dt_task *task)
{
	complete_all(&task->stopped);
	wait_for_completion_interruptible(&task->go);
}

/*
 * Wait until no task runs.  All states must be the same in two rounds: then no
 * task has run between the end of the first round and the start of the second,
 * and no task is left that could wake another.
 */
void dt_wait_idle(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	enum dt_state state[MAX_TASKS] = {};
	unsigned int sleeps[MAX_TASKS] = {};
	unsigned long end = jiffies + PATIENCE;
	unsigned int same = 0;

	while (same < 2 * dt->nr_tasks) {
		unsigned int i = same % dt->nr_tasks;
		struct dt_task *task = &dt->tasks[i];
		enum dt_state now = dt_state(task);
		unsigned int slept = READ_ONCE(task->sleeps);

		if (now == DT_RUNS ||
		    (same >= dt->nr_tasks &&
		     (now != state[i] || slept != sleeps[i]))) {
			KUNIT_ASSERT_TRUE_MSG(test, time_before(jiffies, end),
					      "task %u runs for ever", i);
			usleep_range(100, 1000);
			same = 0;
			continue;
		}
		state[i] = now;
		sleeps[i] = slept;
		same++;
	}
}

/* One letter for each task, in the order in which they were started: "HSS". */
const char *dt_states(struct kunit *test)
{
	struct dax_test *dt = test->priv;

	for (unsigned int i = 0; i < dt->nr_tasks; i++)
		dt->states[i] = "RSHD"[dt_state(&dt->tasks[i])];
	dt->states[dt->nr_tasks] = '\0';
	return dt->states;
}

/* For tasks that were woken at the same time, in any order. */
unsigned int dt_nr_tasks(struct kunit *test, enum dt_state state)
{
	struct dax_test *dt = test->priv;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < dt->nr_tasks; i++)
		nr += dt_state(&dt->tasks[i]) == state;
	return nr;
}

static int task_thread(void *data)
{
	struct dt_task *task = data;

	WRITE_ONCE(task->self, current);
	task->job(task);
	WRITE_ONCE(task->self, NULL);
	complete_all(&task->done);
	return 0;
}

/* Start a task that does @job, and wait until no task runs. */
struct dt_task *dt_start(struct kunit *test, void (*job)(struct dt_task *task),
			 pgoff_t index, unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	struct dt_task *task = &dt->tasks[dt->nr_tasks];
	struct task_struct *thread;

	KUNIT_ASSERT_LT(test, dt->nr_tasks, MAX_TASKS);
	task->dt = dt;
	task->mapping = dt->mapping;
	task->job = job;
	task->index = index;
	task->order = order;
	task->write = write;
	init_completion(&task->stopped);
	init_completion(&task->go);
	init_completion(&task->done);

	thread = kthread_create(task_thread, task, "dax-task/%u", dt->nr_tasks);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread);
	get_task_struct(thread);
	task->thread = thread;
	dt->nr_tasks++;
	wake_up_process(thread);
	dt_wait_idle(test);
	return task;
}

void dt_continue(struct kunit *test, struct dt_task *task)
{
	complete_all(&task->go);
	dt_wait_idle(test);
}

/* The only task that holds an entry lock. */
struct dt_task *dt_holder(struct kunit *test)
{
	struct dax_test *dt = test->priv;

	KUNIT_ASSERT_EQ(test, dt_nr_tasks(test, DT_HOLDS), 1);
	for (unsigned int i = 0; i < dt->nr_tasks; i++)
		if (dt_state(&dt->tasks[i]) == DT_HOLDS)
			return &dt->tasks[i];
	return NULL;
}

/* A test has failed and has left locked entries. */
static void delete_everything(struct address_space *mapping)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX)
		xas_store(&xas, NULL);
	xas_unlock_irq(&xas);
}

/* Wait for a task to end.  If it sleeps without a waker, wake it by force. */
static bool join_task(struct kunit *test, struct dt_task *task)
{
	struct dax_test *dt = task->dt;

	for (int tries = 0; tries < 100; tries++) {
		if (wait_for_completion_timeout(&task->done, HZ / 20)) {
			put_task_struct(task->thread);
			return true;
		}
		if (tries == 0)
			kunit_err(test, "%s was woken by force; it slept at %#lx, order %u",
				  task->thread->comm, READ_ONCE(task->slept_at),
				  READ_ONCE(task->slept_order));
		delete_everything(dt->mapping);
		wake_up_process(task->thread);
	}
	return false;
}

int dax_test_init(struct kunit *test)
{
	struct dax_test *dt = kzalloc(sizeof(*dt), GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, dt);
	test->priv = dt;
	dt->driver = current;
	spin_lock_init(&dt->lock);
	dt->sb = kzalloc(sizeof(*dt->sb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dt->sb);
	dt->mapping = dt_new_mapping(test, dt->sb);

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS to count sleeps");
	ret = register_trace_dax_wait_entry(probe_wait, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = register_trace_dax_grab_entry(probe_grab, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = register_trace_dax_promote_entry(probe_promotion, dt);
	KUNIT_ASSERT_EQ(test, ret, 0);
	dt->probing = true;
	return 0;
}

/* Let all tasks finish what they have begun. */
bool dt_join_all(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	bool home = true;

	for (unsigned int i = 0; i < dt->nr_tasks; i++)
		complete_all(&dt->tasks[i].go);
	for (unsigned int i = 0; i < dt->nr_tasks; i++)
		home &= join_task(test, &dt->tasks[i]);
	dt->nr_tasks = 0;
	return home;
}

void dax_test_exit(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	bool home;

	if (!dt)
		return;
	home = dt_join_all(test);
	if (dt->probing) {
		unregister_trace_dax_wait_entry(probe_wait, dt);
		unregister_trace_dax_grab_entry(probe_grab, dt);
		unregister_trace_dax_promote_entry(probe_promotion, dt);
		tracepoint_synchronize_unregister();
	}
	if (!home) {
		kunit_err(test, "a task does not end; its test data cannot be freed");
		return;
	}
	dt_free_mapping(dt->mapping);
	kvfree(dt->room);
	kfree(dt->sb);
	kfree(dt);
}

/* --- entries ------------------------------------------------------------- */

bool dt_has_order(unsigned int order)
{
	return order == 0 || IS_ENABLED(CONFIG_XARRAY_MULTI);
}

void dt_need_order(struct kunit *test, unsigned int order)
{
	if (!dt_has_order(order))
		kunit_skip(test, "order %u needs CONFIG_FS_DAX_PMD", order);
}

void *dt_make_entry(enum dax_kind kind, unsigned int order)
{
	return dax_make_entry(kind, kind == DAX_MAPPED ? BASE : 0, order);
}

void *dt_grab(struct kunit *test, pgoff_t index, unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	void *entry;

	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, write, &entry, NULL));
	return entry;
}

void dt_unlock(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	dax_unlock_entry(&xas, entry);
}

void dt_replace(struct kunit *test, pgoff_t index, void *old, void *new)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	dax_replace_entry(&xas, old, new);
	xas_unlock_irq(&xas);
}

void dt_delete(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
	xas_unlock_irq(&xas);
}

void dt_set_mark(struct kunit *test, pgoff_t index, xa_mark_t mark)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	xas_set_mark(&xas, mark);
	xas_unlock_irq(&xas);
}

bool dt_marked(struct kunit *test, pgoff_t index, xa_mark_t mark)
{
	struct dax_test *dt = test->priv;
	bool set;

	xa_lock_irq(&dt->mapping->i_pages);
	set = xa_get_mark(&dt->mapping->i_pages, index, mark);
	xa_unlock_irq(&dt->mapping->i_pages);
	return set;
}

void *dt_peek(struct kunit *test, pgoff_t index)
{
	struct dax_test *dt = test->priv;
	void *entry;

	xa_lock_irq(&dt->mapping->i_pages);
	entry = xa_load(&dt->mapping->i_pages, index);
	xa_unlock_irq(&dt->mapping->i_pages);
	return entry;
}

unsigned long dt_nrpages(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned long nr;

	xa_lock_irq(&dt->mapping->i_pages);
	nr = dt->mapping->nrpages;
	xa_unlock_irq(&dt->mapping->i_pages);
	return nr;
}

/* Store a locked entry of @kind and @order at @index. */
void *dt_put_locked(struct kunit *test, pgoff_t index, enum dax_kind kind,
		    unsigned int order)
{
	void *empty = dt_grab(test, index, order, false);
	void *entry = dt_make_entry(kind, order);

	KUNIT_ASSERT_PTR_EQ(test, empty, dax_make_empty(order));
	dt_replace(test, index, empty, entry);
	return entry;
}

void *dt_put(struct kunit *test, pgoff_t index, enum dax_kind kind,
	     unsigned int order)
{
	void *entry = dt_put_locked(test, index, kind, order);

	dt_unlock(test, index, entry);
	return entry;
}

void dt_put_dirty(struct kunit *test, pgoff_t index, unsigned int order)
{
	dt_put(test, index, DAX_MAPPED, order);
	dt_set_mark(test, index, PAGECACHE_TAG_DIRTY);
}

/* Expect @entry in the range of @order around @index, and nowhere beside it. */
void dt_expect_range(struct kunit *test, pgoff_t index, unsigned int order,
		     void *entry)
{
	pgoff_t first = round_down(index, 1UL << order);
	pgoff_t last = first + (1UL << order) - 1;

	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, first), entry);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, index), entry);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, last), entry);
	KUNIT_EXPECT_PTR_NE(test, dt_peek(test, first - 1), entry);
	KUNIT_EXPECT_PTR_NE(test, dt_peek(test, last + 1), entry);
}

void dt_expect_seen(struct kunit *test, struct dt_task *walker,
		    const pgoff_t *starts, unsigned int nr)
{
	KUNIT_ASSERT_EQ(test, dt_state(walker), DT_DONE);
	KUNIT_ASSERT_EQ(test, walker->nr_seen, nr);
	for (unsigned int i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, walker->seen[i], starts[i]);
}

/* --- promotion ----------------------------------------------------------- */

/*
 * Skip unless small entries can be promoted to @order.  A node of the tree has
 * 64 slots in the kernel, but 8 in half of the builds of tools/testing/dax,
 * where the highest order is lower.
 */
void dt_need_promotable(struct kunit *test, unsigned int order)
{
	dt_need_order(test, order);
	if (order > DAX_PROMOTE_MAX_ORDER)
		kunit_skip(test, "with %u slots a node, nothing is promoted to order %u",
			   (unsigned int)XA_CHUNK_SIZE, order);
}

unsigned int dt_use_promotable(struct kunit *test)
{
	dt_need_promotable(test, param_order(test));
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
 * Store an entry of order 0 by its letter.  A capital letter makes it dirty:
 *
 *	m, M	mapped
 *	z, Z	zero
 *	e, E	empty
 *	T	mapped, dirty and TOWRITE
 *	x, w	mapped, but to the block after or before the right one
 *	.	no entry
 */
void dt_fill_page(struct kunit *test, pgoff_t index, unsigned long pfn, char what)
{
	void *empty, *entry = page_entry(what, pfn);

	if (what == '.')
		return;
	empty = dt_grab(test, index, 0, false);
	KUNIT_ASSERT_PTR_EQ(test, empty, dax_make_empty(0));
	dt_replace(test, index, empty, entry);
	if (what < 'a')
		dt_set_mark(test, index, PAGECACHE_TAG_DIRTY);
	if (what == 'T')
		dt_set_mark(test, index, PAGECACHE_TAG_TOWRITE);
	dt_unlock(test, index, entry);
}

/* Fill a range with the letters of @cycle, repeated. */
void dt_fill(struct kunit *test, pgoff_t start, unsigned int order,
	     const char *cycle)
{
	unsigned int len = strlen(cycle);

	for (unsigned int i = 0; i < 1U << order; i++)
		dt_fill_page(test, start + i, BLOCKS + i, cycle[i % len]);
}

void dt_delete_all(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, 0);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX)
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
	xas_unlock_irq(&xas);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dt->mapping->i_pages));
}

void dt_take_snapshot(struct kunit *test, struct dt_snapshot *p, pgoff_t start,
		      unsigned int order)
{
	struct dax_test *dt = test->priv;
	struct xarray *xa = &dt->mapping->i_pages;

	p->start = start;
	p->order = order;
	p->first = start < SNAPSHOT_MARGIN ? 0 : start - SNAPSHOT_MARGIN;
	p->nr = start + (1U << order) + SNAPSHOT_MARGIN - p->first;
	xa_lock_irq(xa);
	p->nrpages = dt->mapping->nrpages;
	for (unsigned int i = 0; i < p->nr; i++) {
		pgoff_t index = p->first + i;

		p->entry[i] = xa_load(xa, index);
		p->dirty[i] = xa_get_mark(xa, index, PAGECACHE_TAG_DIRTY);
		p->towrite[i] = xa_get_mark(xa, index, PAGECACHE_TAG_TOWRITE);
	}
	xa_unlock_irq(xa);
}

/* Report only the first page that differs. */
void dt_expect_snapshot(struct kunit *test, const struct dt_snapshot *p)
{
	static struct dt_snapshot now;
	unsigned int i = 0;

	dt_take_snapshot(test, &now, p->start, p->order);
	while (i < p->nr - 1 && now.entry[i] == p->entry[i] &&
	       now.dirty[i] == p->dirty[i] && now.towrite[i] == p->towrite[i])
		i++;
	KUNIT_EXPECT_PTR_EQ_MSG(test, now.entry[i], p->entry[i], "at %#lx",
				p->first + i);
	KUNIT_EXPECT_EQ_MSG(test, now.dirty[i], p->dirty[i], "dirty at %#lx",
			    p->first + i);
	KUNIT_EXPECT_EQ_MSG(test, now.towrite[i], p->towrite[i],
			    "to be flushed at %#lx", p->first + i);
	KUNIT_EXPECT_EQ(test, now.nrpages, p->nrpages);
}

/*
 * Change a snapshot from before a promotion to what is expected after its
 * rollback.  With @towrite, an fsync has marked the large entry meanwhile.
 */
void dt_snapshot_undone(struct dt_snapshot *p, bool towrite, bool with_zero)
{
	unsigned int from = p->start - p->first;
	unsigned int to = from + (1U << p->order);

	for (unsigned int i = from; i < to; i++)
		towrite |= p->towrite[i];
	for (unsigned int i = from; i < to; i++) {
		if (!with_zero && p->entry[i] && dax_is_zero(p->entry[i])) {
			p->entry[i] = NULL;
			p->dirty[i] = false;
			p->nrpages--;
		}
		p->towrite[i] = towrite && p->dirty[i];
	}
}

/* The driver promotes; no entry is locked. */
struct dax_promotion *dt_promote(struct kunit *test, pgoff_t index,
				 unsigned int order, bool write)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	struct dax_promotion *promotion = NULL;
	void *entry = NULL;

	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, write, &entry, &promotion));
	KUNIT_ASSERT_NOT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
	return promotion;
}

/* The driver tries to promote, and is refused. */
int dt_promote_errno(struct kunit *test, pgoff_t index, unsigned int order)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	struct dax_promotion *promotion = NULL;
	void *entry = NULL;
	int ret = dt_grab_entry(&xas, order, false, &entry, &promotion);

	KUNIT_ASSERT_NE(test, ret, 0);
	return ret;
}

void dt_undo(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	     bool with_zero)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, promotion->order);

	dax_undo_promotion(&xas, promotion, with_zero);
}

/* Finish as a fault does that has got blocks: @new replaces the range. */
void dt_finish(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	       void *new)
{
	struct dax_test *dt = test->priv;
	unsigned int order = promotion->order;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, order);

	dt_replace(test, start, dax_make_empty(order), new);
	dax_finish_promotion(&xas, promotion);
	dax_unlock_entry(&xas, new);
}

/* How many times a step of a promotion was traced. */
unsigned int dt_nr_promoted(struct kunit *test, enum dax_promote what)
{
	struct dax_test *dt = test->priv;
	unsigned long flags;
	unsigned int nr;

	spin_lock_irqsave(&dt->lock, flags);
	nr = dt->promotions[what];
	spin_unlock_irqrestore(&dt->lock, flags);
	return nr;
}

/* Each TRY has ended in one step, and so has each REPLACE. */
void dt_expect_counts(struct kunit *test)
{
	unsigned int nr[NR_DAX_PROMOTE];

	for (int i = 0; i < NR_DAX_PROMOTE; i++)
		nr[i] = dt_nr_promoted(test, i);
	KUNIT_EXPECT_EQ(test, nr[DAX_PROMOTE_TRY],
			nr[DAX_PROMOTE_FRAGMENTED] + nr[DAX_PROMOTE_LOCKED] +
			nr[DAX_PROMOTE_NO_MEMORY] + nr[DAX_PROMOTE_GONE] +
			nr[DAX_PROMOTE_REPLACE]);
	KUNIT_EXPECT_EQ(test, nr[DAX_PROMOTE_REPLACE],
			nr[DAX_PROMOTE_ROLLBACK] + nr[DAX_PROMOTE_DONE]);
}

/* --- jobs ---------------------------------------------------------------- */

/* A fault: lock the entry, hold it until dt_continue(), unlock. */
void dt_job_hold(struct dt_task *task)
{
	unsigned int order = task->order;
	XA_STATE_ORDER(xas, &task->mapping->i_pages, task->index, order);

	task->ret = dt_grab_entry(&xas, order, task->write, &task->entry, NULL);
	if (task->ret)
		return;
	dt_hold(task);
	dax_unlock_entry(&xas, task->entry);
}

/* The same with promotion allowed.  It finishes with blocks, or is undone. */
void dt_job_promote(struct dt_task *task)
{
	unsigned int order = task->order;
	XA_STATE_ORDER(xas, &task->mapping->i_pages, task->index, order);
	void *new = dax_make_mapped(BLOCKS, order);
	struct dax_promotion *promotion;

	task->ret = dt_grab_entry(&xas, order, task->write, &task->entry,
				  &promotion);
	if (task->ret)
		return;
	task->promoted = promotion;
	dt_hold(task);
	if (!promotion) {
		dax_unlock_entry(&xas, task->entry);
	} else if (task->undo) {
		dax_undo_promotion(&xas, promotion, true);
	} else {
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, task->entry, new);
		xas_unlock_irq(&xas);
		dax_finish_promotion(&xas, promotion);
		dax_unlock_entry(&xas, new);
	}
}

/* Visit all entries with a mark from the index on, waiting for locked ones. */
static void walk_marked(struct dt_task *task, xa_mark_t mark)
{
	XA_STATE(xas, &task->mapping->i_pages, task->index);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, ULONG_MAX, mark) {
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		if (task->nr_seen < MAX_SEEN)
			task->seen[task->nr_seen++] =
				dax_entry_start(entry, xas.xa_index);
	}
	xas_unlock_irq(&xas);
}

/* Writeback: tag dirty entries, then flush tagged ones. */
void dt_job_walk_dirty(struct dt_task *task)
{
	walk_marked(task, PAGECACHE_TAG_DIRTY);
}

void dt_job_walk_towrite(struct dt_task *task)
{
	walk_marked(task, PAGECACHE_TAG_TOWRITE);
}

/* fsync of one page: find the entry that extends beyond it. */
void dt_job_find_exceeding(struct dt_task *task)
{
	XA_STATE(xas, &task->mapping->i_pages, task->index);

	xas_lock_irq(&xas);
	task->entry = dax_get_exceeding(&xas, task->index, task->index);
	xas_unlock_irq(&xas);
}
