// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of promotion (fs/dax-promote.c) that only user space can do: each
 * allocation fails once, the tree changes while the xa_lock is dropped, a task
 * that was woken does not run yet, unmaps are observed.  The entries and tasks
 * are those of fs/tests/dax_promote_kunit.c.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>

#include "dax-internal.h"
#include "hooks.h"
#include "../../../fs/tests/dax_kunit_lib.h"

static const struct order_param promotable[] = {
	{ "order 4", 4 },
	{ "order 9", 9 },
};

KUNIT_ARRAY_PARAM_DESC(promotable, promotable, desc);

static struct kunit *the_test;
static struct dt_snapshot before;

/* The first task to be woken is held back until held_back is cleared. */
static int hold_back;
static bool held_back;

static int promotion_init(struct kunit *test)
{
	int ret = dax_test_init(test);
	struct dax_test *dt = test->priv;

	the_test = test;
	WRITE_ONCE(hold_back, 0);
	memset(nr_promote, 0, sizeof(nr_promote));
	set_hooks(test, dt->mapping);
	return ret;
}

/* The events tell the same as the counters, and nothing is left over. */
static void promotion_exit(struct kunit *test)
{
	dt_join_all(test);
	WRITE_ONCE(shim_resume_hook, NULL);
	remove_hooks();
	for (int i = 0; i < NR_DAX_PROMOTE; i++)
		KUNIT_EXPECT_EQ(test, nr_promote[i], dt_nr_promoted(test, i));
	dt_expect_counts(test);
	dax_test_exit(test);
	KUNIT_EXPECT_EQ(test, shim_nr_nodes, 0);
}

/* --- allocations that fail ---------------------------------------------- */

/* One page, and no other in a range of either order. */
#define DOTS		"......................................................."
#define LONELY		"m" DOTS DOTS DOTS DOTS DOTS DOTS DOTS DOTS DOTS DOTS

/* The cycles of dt_fill() that a test is to be run with, at a start. */
struct layout {
	pgoff_t start;
	const char *cycle;
};

/* The first is the root of its tree, so that a large one needs nodes. */
static const struct layout layouts[] = {
	{ 0, LONELY },
	{ 0, "mMz.e" },
	{ BASE, "M" },
	{ BASE, "zT..emz" },
};

/*
 * Memory ends at the first, at the second, ... allocation: all is as it was,
 * until there is enough.
 */
static void promotion_without_memory(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int refused = 0;

	for (int i = 0; i < ARRAY_SIZE(layouts); i++) {
		pgoff_t start = layouts[i].start;
		unsigned long nodes;
		unsigned int n;

		dt_fill(test, start, order, layouts[i].cycle);
		dt_take_snapshot(test, &before, start, order);
		nodes = shim_nr_nodes;
		for (n = 0;; n++) {
			struct dax_test *dt = test->priv;
			XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, order);
			struct dax_promotion *promotion = NULL;
			void *entry;
			int ret;

			fail_from(n, LONG_MAX);
			ret = dt_grab_entry(&xas, order, true, &entry,
					    &promotion);
			fail_from(LONG_MAX, LONG_MAX);
			if (!ret) {
				KUNIT_ASSERT_NOT_NULL(test, promotion);
				dt_undo(test, start, promotion, true);
				break;
			}
			KUNIT_ASSERT_EQ(test, ret, -ENOMEM);
			dt_expect_snapshot(test, &before);
			/* The way to a root entry may have been begun. */
			if (i)
				KUNIT_EXPECT_EQ(test, shim_nr_nodes, nodes);
			KUNIT_ASSERT_LT(test, n, 100);
		}
		KUNIT_EXPECT_GT(test, n, 0);
		refused += n;
		dt_expect_snapshot(test, &before);
		dt_delete_all(test);
	}
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_NO_MEMORY], refused);
}

/* Just one fails: it may be one that another try makes up for, or not. */
static void promotion_without_one_node(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int promoted = 0;

	for (int i = 0; i < ARRAY_SIZE(layouts); i++) {
		pgoff_t start = layouts[i].start;
		long n = 0;

		dt_fill(test, start, order, layouts[i].cycle);
		dt_take_snapshot(test, &before, start, order);
		do {
			struct dax_test *dt = test->priv;
			XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, order);
			struct dax_promotion *promotion = NULL;
			void *entry;
			int ret;

			fail_from(n, n);
			ret = dt_grab_entry(&xas, order, true, &entry,
					    &promotion);
			n++;
			if (!ret) {
				KUNIT_ASSERT_NOT_NULL(test, promotion);
				dt_undo(test, start, promotion, true);
				promoted++;
			} else {
				KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
			}
			dt_expect_snapshot(test, &before);
		} while (nr_allocations >= n);
		KUNIT_EXPECT_GT(test, n, 1);
		dt_delete_all(test);
	}
	KUNIT_EXPECT_GT(test, promoted, ARRAY_SIZE(layouts));
}

/* It must not fail, so it does not even ask. */
static void undo_takes_no_memory(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);

	for (int i = 0; i < ARRAY_SIZE(layouts); i++) {
		for (int with_zero = 0; with_zero < 2; with_zero++) {
			pgoff_t start = layouts[i].start;
			struct dax_promotion *promotion;

			dt_fill(test, start, order, layouts[i].cycle);
			dt_take_snapshot(test, &before, start, order);
			promotion = dt_promote(test, start, order, true);
			/* It brings its own nodes, whatever was done since. */
			dt_put(test, BEYOND, DAX_ZERO, 0);
			fail_from(0, LONG_MAX);
			dt_undo(test, start, promotion, with_zero);
			KUNIT_EXPECT_EQ(test, nr_allocations, 0);
			fail_from(LONG_MAX, LONG_MAX);
			dt_delete(test, BEYOND, dax_make_zero(0));
			dt_snapshot_undone(&before, false, with_zero);
			dt_expect_snapshot(test, &before);
			dt_delete_all(test);
		}
	}
	/* And no page table changes by it alone. */
	KUNIT_EXPECT_EQ(test, nr_unmaps, 0);
}

static void finish_takes_no_memory(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "mz.");
	promotion = dt_promote(test, BASE, order, true);
	fail_from(0, LONG_MAX);
	dt_finish(test, BASE, promotion, dax_make_mapped(BLOCKS, order));
	KUNIT_EXPECT_EQ(test, nr_allocations, 0);
	KUNIT_EXPECT_EQ(test, nr_unmaps, 0);
}

/* --- while the xa_lock is dropped to allocate --------------------------- */

static pgoff_t between_start;
static unsigned int between_order;

/*
 * The driver promotes the entries of @layout.  While it has dropped the xa_lock
 * for an allocation, @act is called: at the first allocation, then in another
 * round at the second, and so on.  Then @check looks at the result, an error or
 * an entry.
 */
static void meet_between(struct kunit *test, const struct layout *layout,
			 void (*act)(void),
			 void (*check)(struct kunit *test, int ret, void *entry,
				       struct dax_promotion *promotion))
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t start = layout->start;
	struct dax_promotion *promotion;
	long n = 0;
	int ret;

	between_start = start;
	between_order = order;
	for (;;) {
		struct dax_test *dt = test->priv;
		XA_STATE_ORDER(xas, &dt->mapping->i_pages, start, order);
		void *entry;

		promotion = NULL;
		dt_fill(test, start, order, layout->cycle);
		act_after = n;
		while_unlocked = act;
		fail_atomic = true;
		ret = dt_grab_entry(&xas, order, true, &entry, &promotion);
		fail_atomic = false;
		if (while_unlocked)
			break;
		check(test, ret, entry, promotion);
		dt_delete_all(test);
		n++;
	}
	/* There are not as many allocations: nobody has acted. */
	while_unlocked = NULL;
	KUNIT_EXPECT_GT(test, n, 0);
	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_ASSERT_NOT_NULL(test, promotion);
	dt_undo(test, start, promotion, true);
	dt_delete_all(test);
}

/* Each layout has a page free at the fourth place, and a mapped one. */
static const struct layout with_gap = { BASE, "mMz.mzm." };
static const struct layout lonely = { 0, LONELY };

static void one_more(void)
{
	/* The one that acts needs memory, too. */
	fail_atomic = false;
	dt_fill_page(the_test, between_start + 3, BLOCKS + 3, 'T');
	dt_take_snapshot(the_test, &before, between_start, between_order);
	fail_atomic = true;
}

static void check_promoted(struct kunit *test, int ret, void *entry,
			   struct dax_promotion *promotion)
{
	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_ASSERT_NOT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(between_order));
	dt_undo(test, between_start, promotion, true);
	dt_snapshot_undone(&before, false, true);
	dt_expect_snapshot(test, &before);
}

/* One more comes: it is promoted, too, with its marks. */
static void one_more_between(struct kunit *test)
{
	meet_between(test, &with_gap, one_more, check_promoted);
	meet_between(test, &lonely, one_more, check_promoted);
}

static void an_odd_one(void)
{
	fail_atomic = false;
	dt_fill_page(the_test, between_start + 3, BLOCKS + 3, 'x');
	dt_take_snapshot(the_test, &before, between_start, between_order);
	fail_atomic = true;
}

static void check_fragmented(struct kunit *test, int ret, void *entry,
			     struct dax_promotion *promotion)
{
	KUNIT_EXPECT_EQ(test, ret, -ERANGE);
	dt_expect_snapshot(test, &before);
}

/* One comes that does not fit: all stays as it is. */
static void odd_one_between(struct kunit *test)
{
	meet_between(test, &with_gap, an_odd_one, check_fragmented);
	meet_between(test, &lonely, an_odd_one, check_fragmented);
}

static void all_go(void)
{
	fail_atomic = false;
	dt_delete_all(the_test);
	fail_atomic = true;
}

static void check_inserted(struct kunit *test, int ret, void *entry,
			   struct dax_promotion *promotion)
{
	void *empty = dax_make_empty(between_order);

	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_EXPECT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, empty);
	dt_expect_range(test, between_start, between_order, dax_make_locked(empty));
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << between_order);
	KUNIT_EXPECT_FALSE(test, dt_marked(test, between_start,
					   PAGECACHE_TAG_DIRTY));
	dt_unlock(test, between_start, entry);
}

/* All of them go: it goes on as where nothing was. */
static void all_go_between(struct kunit *test)
{
	meet_between(test, &with_gap, all_go, check_inserted);
	meet_between(test, &lonely, all_go, check_inserted);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_REPLACE], 2);
}

static void a_large_one(void)
{
	fail_atomic = false;
	dt_delete_all(the_test);
	dt_put(the_test, between_start, DAX_MAPPED, between_order);
	fail_atomic = true;
}

static void check_large(struct kunit *test, int ret, void *entry,
			struct dax_promotion *promotion)
{
	void *large = dt_make_entry(DAX_MAPPED, between_order);

	KUNIT_ASSERT_EQ(test, ret, 0);
	KUNIT_EXPECT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, large);
	dt_unlock(test, between_start, entry);
	dt_expect_range(test, between_start, between_order, large);
}

/* Another task has inserted a large entry: it is locked. */
static void large_one_between(struct kunit *test)
{
	meet_between(test, &with_gap, a_large_one, check_large);
	meet_between(test, &lonely, a_large_one, check_large);
}

static void a_larger_zero(void)
{
	fail_atomic = false;
	dt_delete_all(the_test);
	dt_put(the_test, between_start, DAX_ZERO, between_order + 9);
	fail_atomic = true;
}

/* A larger one that does not serve a write: it makes room. */
static void larger_zero_between(struct kunit *test)
{
	meet_between(test, &with_gap, a_larger_zero, check_inserted);
	KUNIT_EXPECT_GT(test, nr_unmaps, 0);
}

static void one_gets_dirty(void)
{
	dt_set_mark(the_test, between_start, PAGECACHE_TAG_DIRTY);
	dt_set_mark(the_test, between_start, PAGECACHE_TAG_TOWRITE);
	dt_take_snapshot(the_test, &before, between_start, between_order);
}

/* A mark comes: it is on the large one, and comes back. */
static void mark_between(struct kunit *test)
{
	meet_between(test, &with_gap, one_gets_dirty, check_promoted);
	meet_between(test, &lonely, one_gets_dirty, check_promoted);
}

static void one_gets_locked(void)
{
	struct dax_test *dt = the_test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, BASE + 4);

	xas_lock_irq(&xas);
	dax_lock_entry(&xas, xas_load(&xas));
	xas_unlock_irq(&xas);
}

/* One gets locked: it is waited for. */
static void locked_one_between(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;

	dt_fill(test, BASE, order, "m");
	while_unlocked = one_gets_locked;
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(huge->slept_at), BASE + 4);
	dt_unlock(test, BASE + 4, dax_make_mapped(BLOCKS + 4, 0));
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	KUNIT_EXPECT_TRUE(test, huge->promoted);
	dt_continue(test, huge);
}

/* A rival promotes the same entries, and finishes when the test sleeps on it. */
static struct rival {
	struct dax_test *dt;
	struct task_struct *task;
	struct completion there;
	struct completion done;
	bool promoted;
} rival;

static int rival_thread(void *data)
{
	struct address_space *mapping = rival.dt->mapping;
	XA_STATE_ORDER(xas, &mapping->i_pages, BASE, between_order);
	void *new = dax_make_mapped(BLOCKS, between_order);
	struct dax_promotion *promotion = NULL;
	void *entry;

	if (!dt_grab_entry(&xas, between_order, true, &entry, &promotion))
		rival.promoted = promotion;
	complete_all(&rival.there);
	if (promotion) {
		while (READ_ONCE(rival.dt->driver->__state) !=
		       TASK_UNINTERRUPTIBLE)
			usleep_range(100, 1000);
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, entry, new);
		xas_unlock_irq(&xas);
		dax_finish_promotion(&xas, promotion);
		dax_unlock_entry(&xas, new);
	}
	complete_all(&rival.done);
	return 0;
}

static void rival_promotes(void)
{
	rival.task = kthread_create(rival_thread, NULL, "rival");
	get_task_struct(rival.task);
	wake_up_process(rival.task);
	wait_for_completion_interruptible(&rival.there);
}

/* Two promote at once: the second waits for what the first has made. */
static void rival_promotes_between(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	void *large = dax_make_mapped(BLOCKS, order);
	struct dax_promotion *promotion;
	void *entry;

	between_order = order;
	dt_fill(test, BASE, order, "mMz.");
	rival.dt = dt;
	rival.promoted = false;
	init_completion(&rival.there);
	init_completion(&rival.done);
	while_unlocked = rival_promotes;
	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, true, &entry, &promotion));
	wait_for_completion_timeout(&rival.done, 1000 * HZ);
	put_task_struct(rival.task);
	KUNIT_EXPECT_TRUE(test, rival.promoted);
	KUNIT_EXPECT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, large);
	dax_unlock_entry(&xas, entry);
	dt_expect_range(test, BASE, order, large);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_GONE], 1);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_DONE], 1);
}

/* --- a task that was woken does not run yet ----------------------------- */

static void hold_back_first(void)
{
	if (!__atomic_exchange_n(&hold_back, 0, __ATOMIC_RELAXED))
		return;
	WRITE_ONCE(held_back, true);
	while (READ_ONCE(held_back))
		usleep_range(100, 1000);
}

/*
 * Three tasks sleep on a small entry.  An unlock wakes one of them, and before
 * that task can look, the entry has been promoted.  The others sleep on a key
 * that no task will unlock, so the promotion itself has to wake them.
 */
static void woken_but_not_run(struct kunit *test, bool undone)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t index = BASE + 3;
	struct dax_promotion *promotion;
	struct dt_task *tasks[3];
	void *entry;

	dt_fill(test, BASE, order, "Mz.m");
	entry = dt_grab(test, index, 0, true);
	for (int i = 0; i < 3; i++)
		tasks[i] = dt_start(test, dt_job_hold, index, 0, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SSS");
	WRITE_ONCE(hold_back, 1);
	WRITE_ONCE(shim_resume_hook, hold_back_first);
	dt_unlock(test, index, entry);
	while (!READ_ONCE(held_back))
		usleep_range(100, 1000);
	promotion = dt_promote(test, BASE, order, true);

	/* The alarm ends it if they are not woken. */
	for (int i = 1; i < 3; i++)
		while (READ_ONCE(tasks[i]->sleeps) < 2)
			usleep_range(100, 1000);
	KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[0]->sleeps), 1);
	WRITE_ONCE(held_back, false);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SSS");
	for (int i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->sleeps), 2);
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->slept_at), BASE);
	}

	if (undone)
		dt_undo(test, BASE, promotion, true);
	else
		dt_finish(test, BASE, promotion, dax_make_mapped(BLOCKS, order));
	dt_wait_idle(test);
	for (int i = 0; i < 3; i++) {
		struct dt_task *task = dt_holder(test);

		KUNIT_ASSERT_NOT_NULL(test, task);
		KUNIT_EXPECT_EQ(test, dax_entry_order(task->entry),
				undone ? 0 : order);
		dt_continue(test, task);
	}
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDD");
}

static void woken_and_finished(struct kunit *test)
{
	woken_but_not_run(test, false);
}

static void woken_and_undone(struct kunit *test)
{
	woken_but_not_run(test, true);
}

/* --- page tables -------------------------------------------------------- */

/* The zero pages, each run of them at once, and nothing that is mapped. */
static void unmaps_runs_of_zero(struct kunit *test)
{
	static const char *const cycles[] = {
		"z", "m", "zm", "z.", "mzzzm.ez", "Mzzzzzzzzzzzzzzz",
		"zzzzzzzz.zzzzzzM",
	};
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;

	for (int i = 0; i < ARRAY_SIZE(cycles); i++) {
		struct dax_test *dt = test->priv;
		XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
		void *locked = dax_make_locked(dax_make_empty(order));
		unsigned int len = strlen(cycles[i]);
		struct dax_promotion *promotion;
		unsigned int runs = 0;

		dt_fill(test, BASE, order, cycles[i]);
		dt_fill_page(test, BASE - 1, 0, 'z');
		dt_fill_page(test, BASE + nr, 0, 'z');
		nr_unmaps = 0;
		promotion = dt_promote(test, BASE, order, true);
		KUNIT_EXPECT_EQ(test, nr_unmaps, 0);
		dax_unmap_promoted_zero(&xas, promotion);
		for (unsigned int page = 0, end; page < nr; page = end + 1) {
			end = page;
			while (end < nr && cycles[i][end % len] == 'z')
				end++;
			if (end == page)
				continue;
			KUNIT_ASSERT_LT(test, runs, nr_unmaps);
			KUNIT_EXPECT_EQ(test, unmaps[runs].start, BASE + page);
			KUNIT_EXPECT_EQ(test, unmaps[runs].nr, end - page);
			/* Private copies are the process's own. */
			KUNIT_EXPECT_FALSE(test, unmaps[runs].cows);
			KUNIT_EXPECT_PTR_EQ(test, unmaps[runs].entry, locked);
			runs++;
		}
		KUNIT_EXPECT_EQ(test, runs, nr_unmaps);
		dt_undo(test, BASE, promotion, false);
		KUNIT_EXPECT_EQ(test, runs, nr_unmaps);
		dt_delete_all(test);
	}
}

static void small_comes(void)
{
	dt_start(the_test, dt_job_hold, BASE + 1, 0, true);
	dt_start(the_test, dt_job_hold, BASE + 2, 0, false);
}

/* A task that grabs a page meanwhile has to wait, be it a zero page or not. */
static void rivals_sleep_on_unmap(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "Mzz.");
	promotion = dt_promote(test, BASE, order, true);
	while_unmapping = small_comes;
	dax_unmap_promoted_zero(&xas, promotion);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SS");
	dt_undo(test, BASE, promotion, false);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HH");
}

/* --- what must not happen unseen ---------------------------------------- */

/* Something else than an entry is there, peeked at or not: hands off. */
static void folio_in_the_range(struct kunit *test)
{
	static const unsigned int offsets[] = { 0, 1, 9, 15 };
	unsigned int order = dt_use_promotable(test);
	/* It would pass for a zero entry of order 0. */
	static char room[1024] __aligned(512);
	void *folio = room + 4;

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		struct dax_test *dt = test->priv;
		pgoff_t index = BASE + offsets[i];
		int ret;

		dt_fill(test, BASE, order, "M");
		dt_delete(test, index, dax_make_mapped(BLOCKS + offsets[i], 0));
		KUNIT_ASSERT_EQ(test, 0, xa_err(xa_store_irq(&dt->mapping->i_pages,
							     index, folio,
							     GFP_KERNEL)));
		dt_take_snapshot(test, &before, BASE, order);
		ret = dt_promote_errno(test, BASE, order);
		KUNIT_EXPECT_TRUE(test, ret == -EIO || ret == -ERANGE);
		dt_expect_snapshot(test, &before);
		shim_nr_warnings = 0;
		xa_erase_irq(&dt->mapping->i_pages, index);
		dt_delete_all(test);
	}
}

/* An undo only accepts the locked empty entry that a promotion has left. */
static void undo_needs_empty(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	void *empty = dax_make_empty(order);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "m");
	promotion = dt_promote(test, BASE, order, true);
	dt_replace(test, BASE, empty, dax_make_zero(order));
	KUNIT_EXPECT_EQ(test, shim_nr_warnings, 0);
	dt_undo(test, BASE, promotion, true);
	KUNIT_EXPECT_NE(test, shim_nr_warnings, 0);
	shim_nr_warnings = 0;
}

static struct kunit_case promotion_cases[] = {
	KUNIT_CASE_PARAM(promotion_without_memory, promotable_gen_params),
	KUNIT_CASE_PARAM(promotion_without_one_node, promotable_gen_params),
	KUNIT_CASE_PARAM(undo_takes_no_memory, promotable_gen_params),
	KUNIT_CASE_PARAM(finish_takes_no_memory, promotable_gen_params),

	KUNIT_CASE_PARAM(one_more_between, promotable_gen_params),
	KUNIT_CASE_PARAM(odd_one_between, promotable_gen_params),
	KUNIT_CASE_PARAM(all_go_between, promotable_gen_params),
	KUNIT_CASE_PARAM(large_one_between, promotable_gen_params),
	KUNIT_CASE_PARAM(larger_zero_between, promotable_gen_params),
	KUNIT_CASE_PARAM(mark_between, promotable_gen_params),
	KUNIT_CASE_PARAM(locked_one_between, promotable_gen_params),
	KUNIT_CASE_PARAM(rival_promotes_between, promotable_gen_params),

	KUNIT_CASE_PARAM(woken_and_finished, promotable_gen_params),
	KUNIT_CASE_PARAM(woken_and_undone, promotable_gen_params),

	KUNIT_CASE_PARAM(unmaps_runs_of_zero, promotable_gen_params),
	KUNIT_CASE_PARAM(rivals_sleep_on_unmap, promotable_gen_params),

	KUNIT_CASE_PARAM(folio_in_the_range, promotable_gen_params),
	KUNIT_CASE_PARAM(undo_needs_empty, promotable_gen_params),
	{}
};

static struct kunit_suite promotion_suite = {
	.name = "dax_promotion",
	.init = promotion_init,
	.exit = promotion_exit,
	.test_cases = promotion_cases,
};

kunit_test_suites(&promotion_suite);
