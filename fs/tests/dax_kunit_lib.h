/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the KUnit tests of the DAX entries.
 *
 * A test that needs several tasks is a script.  The thread of the test is the
 * driver.  The tasks are kthreads that make one call each.  A task may stop in
 * the call, with an entry lock held, until the driver continues it.  After each
 * step the driver waits until no task runs: every task sleeps on an entry,
 * holds one, or is done (dt_wait_idle()).  Then it checks the state of each
 * task.  A task that sleeps where it should hold an entry has lost a wakeup.  A
 * task that has slept twice got a wakeup too many: a probe on the
 * dax_wait_entry event counts.  No result depends on a delay.
 *
 * Every global name of this file begins with dt_ or dax_test_.
 */
#ifndef _FS_TESTS_DAX_KUNIT_LIB_H
#define _FS_TESTS_DAX_KUNIT_LIB_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "../dax-internal.h"

/*
 * A page offset that is aligned to all orders, and one beyond a range of any
 * order.
 */
#define BASE		BIT(19)
#define BEYOND		(BASE + BIT(18))

/* Longer than any step takes: the test hangs. */
#define PATIENCE	(30 * HZ)

struct order_param {
	const char *desc;
	unsigned int order;
};

static inline unsigned int param_order(struct kunit *test)
{
	const struct order_param *param = test->param_value;

	return param->order;
}

/* --- tasks --------------------------------------------------------------- */

enum dt_state {
	DT_RUNS,
	DT_SLEEPS,		/* on a locked entry */
	DT_HOLDS,		/* an entry lock, until dt_continue() */
	DT_DONE,
};

#define MAX_SEEN	8

struct dt_task {
	struct dax_test *dt;
	struct address_space *mapping;

	/* The job and its arguments. */
	void (*job)(struct dt_task *task);
	pgoff_t index;
	unsigned int order;
	bool write;
	bool undo;			/* undo the promotion */

	struct task_struct *thread;
	struct task_struct *self;	/* the same; set by the task itself */
	struct completion stopped;
	struct completion go;
	struct completion done;

	/* Written by the probe before the task sleeps, read while it sleeps. */
	unsigned int sleeps;
	pgoff_t slept_at;
	unsigned int slept_order;

	/* The result, valid while the task holds an entry or is done. */
	int ret;
	void *entry;
	bool promoted;
	unsigned int nr_seen;
	pgoff_t seen[MAX_SEEN];
};

#define MAX_TASKS	8
#define MAX_GRABS	4

struct dax_test {
	struct address_space *mapping;
	struct super_block *sb;
	void *room;

	struct dt_task tasks[MAX_TASKS];
	unsigned int nr_tasks;
	char states[MAX_TASKS + 1];
	bool probing;

	/* The trace of the driver's own grabs. */
	struct task_struct *driver;
	unsigned int nr_grabs;
	enum dax_grab_action grabs[MAX_GRABS];
	void *found[MAX_GRABS];

	/* The trace of promotions, and the entry that they have stored. */
	spinlock_t lock;
	unsigned int promotions[NR_DAX_PROMOTE];
	void *put_there;
	bool put_dirty;
	bool put_towrite;

	/* Protected by the entry lock, which is what the test checks. */
	unsigned long nr_owned;
	struct dt_task *owner;
	bool shared;
};

int dax_test_init(struct kunit *test);
void dax_test_exit(struct kunit *test);
struct address_space *dt_new_mapping(struct kunit *test, struct super_block *sb);
void dt_free_mapping(struct address_space *mapping);
enum dt_state dt_state(struct dt_task *task);
void dt_hold(struct dt_task *task);
bool dt_join_all(struct kunit *test);
void dt_wait_idle(struct kunit *test);
const char *dt_states(struct kunit *test);
unsigned int dt_nr_tasks(struct kunit *test, enum dt_state state);
struct dt_task *dt_start(struct kunit *test, void (*job)(struct dt_task *task),
			 pgoff_t index, unsigned int order, bool write);
void dt_continue(struct kunit *test, struct dt_task *task);
struct dt_task *dt_holder(struct kunit *test);

/* --- entries ------------------------------------------------------------- */

/*
 * dax_grab_entry() with plain arguments.  Promotion is not allowed if
 * @promotionp is NULL.
 */
static inline int dt_grab_entry(struct xa_state *xas, unsigned int order,
				bool write, void **entryp,
				struct dax_promotion **promotionp)
{
	struct dax_grab grab = {
		.order = order,
		.write = write,
		.promote = !!promotionp,
	};
	int ret = dax_grab_entry(xas, &grab);

	*entryp = grab.entry;
	if (promotionp)
		*promotionp = grab.promotion;
	return ret;
}

bool dt_has_order(unsigned int order);
void dt_need_order(struct kunit *test, unsigned int order);
void *dt_make_entry(enum dax_kind kind, unsigned int order);
void *dt_grab(struct kunit *test, pgoff_t index, unsigned int order, bool write);
void dt_unlock(struct kunit *test, pgoff_t index, void *entry);
void dt_replace(struct kunit *test, pgoff_t index, void *old, void *new);
void dt_delete(struct kunit *test, pgoff_t index, void *entry);
void dt_set_mark(struct kunit *test, pgoff_t index, xa_mark_t mark);
bool dt_marked(struct kunit *test, pgoff_t index, xa_mark_t mark);
void *dt_peek(struct kunit *test, pgoff_t index);
unsigned long dt_nrpages(struct kunit *test);
void *dt_put_locked(struct kunit *test, pgoff_t index, enum dax_kind kind,
		    unsigned int order);
void *dt_put(struct kunit *test, pgoff_t index, enum dax_kind kind,
	     unsigned int order);
void dt_put_dirty(struct kunit *test, pgoff_t index, unsigned int order);
void dt_expect_range(struct kunit *test, pgoff_t index, unsigned int order,
		     void *entry);
void dt_expect_seen(struct kunit *test, struct dt_task *walker,
		    const pgoff_t *starts, unsigned int nr);

/* --- promotion ----------------------------------------------------------- */

/* The pfn of the first page of a range. */
#define BLOCKS		BASE

#define SNAPSHOT_MARGIN	4
#define SNAPSHOT_PAGES	(512 + 2 * SNAPSHOT_MARGIN)

/* A range and its neighbours. */
struct dt_snapshot {
	pgoff_t start;
	unsigned int order;
	pgoff_t first;
	unsigned int nr;
	unsigned long nrpages;
	void *entry[SNAPSHOT_PAGES];
	bool dirty[SNAPSHOT_PAGES];
	bool towrite[SNAPSHOT_PAGES];
};

void dt_need_promotable(struct kunit *test, unsigned int order);
unsigned int dt_use_promotable(struct kunit *test);
void dt_fill_page(struct kunit *test, pgoff_t index, unsigned long pfn, char what);
void dt_fill(struct kunit *test, pgoff_t start, unsigned int order,
	     const char *cycle);
void dt_delete_all(struct kunit *test);
void dt_take_snapshot(struct kunit *test, struct dt_snapshot *p, pgoff_t start,
		      unsigned int order);
void dt_expect_snapshot(struct kunit *test, const struct dt_snapshot *p);
void dt_snapshot_undone(struct dt_snapshot *p, bool towrite, bool with_zero);
struct dax_promotion *dt_promote(struct kunit *test, pgoff_t index,
				 unsigned int order, bool write);
int dt_promote_errno(struct kunit *test, pgoff_t index, unsigned int order);
void dt_undo(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	     bool with_zero);
void dt_finish(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	       void *new);
unsigned int dt_nr_promoted(struct kunit *test, enum dax_promote what);
void dt_expect_counts(struct kunit *test);

/* --- jobs ---------------------------------------------------------------- */

void dt_job_hold(struct dt_task *task);
void dt_job_promote(struct dt_task *task);
void dt_job_walk_dirty(struct dt_task *task);
void dt_job_walk_towrite(struct dt_task *task);
void dt_job_find_exceeding(struct dt_task *task);

#endif /* _FS_TESTS_DAX_KUNIT_LIB_H */
