// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the DAX entries: the layout of an entry (fs/dax-entry.h), and
 * its lock (fs/dax-entry.c).
 *
 * Tests of waiters and wakeups are scripts, see dax_kunit_lib.h.  Tests of
 * promotion are in dax_promote_kunit.c.
 *
 * tools/testing/dax/ also runs this file in user space, with sanitizers and
 * with XArrays of two geometries.  Tests that need a failing allocation or a
 * hook in a callback exist only there, in injection.c.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/xarray.h>
#include <linux/xarray_slot.h>

#include "../dax-internal.h"
#include "../dax-trace.h"
#include "dax_kunit_lib.h"
#include "dax_order_rules.h"

static const struct order_param orders[] = {
	{ "order 0", 0 },
	{ "order 9", 9 },
	{ "order 18", 18 },
};

KUNIT_ARRAY_PARAM_DESC(orders, orders, desc);

/* --- the entry word ------------------------------------------------------ */

static void check_word(struct kunit *test, void *entry, enum dax_kind kind,
		       unsigned long pfn, unsigned int order, bool locked)
{
	KUNIT_EXPECT_TRUE(test, xa_is_value(entry));
	KUNIT_EXPECT_EQ(test, dax_entry_kind(entry), kind);
	KUNIT_EXPECT_EQ(test, dax_is_mapped(entry), kind == DAX_MAPPED);
	KUNIT_EXPECT_EQ(test, dax_is_zero(entry), kind == DAX_ZERO);
	KUNIT_EXPECT_EQ(test, dax_is_empty(entry), kind == DAX_EMPTY);
	KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
	KUNIT_EXPECT_EQ(test, dax_entry_nr_pages(entry), 1UL << order);
	KUNIT_EXPECT_EQ(test, dax_is_locked(entry), locked);
	if (kind == DAX_MAPPED)
		KUNIT_EXPECT_EQ(test, dax_entry_pfn(entry), pfn);
}

static void check_lock_bit(struct kunit *test, void *entry, enum dax_kind kind,
			   unsigned long pfn, unsigned int order)
{
	void *locked = dax_make_locked(entry);

	check_word(test, entry, kind, pfn, order, false);
	check_word(test, locked, kind, pfn, order, true);
	KUNIT_EXPECT_EQ(test, xa_to_value(entry) ^ xa_to_value(locked),
			DAX_LOCKED);
	KUNIT_EXPECT_PTR_EQ(test, dax_make_locked(locked), locked);
}

static void word_round_trip(struct kunit *test)
{
	const unsigned long max = ~0UL >> (DAX_PFN_SHIFT + 1);
	const unsigned long pfns[] = { 0, 1, 0x12345, 0x100000, max };
	unsigned int order = param_order(test);

	check_lock_bit(test, dax_make_empty(order), DAX_EMPTY, 0, order);
	check_lock_bit(test, dax_make_zero(order), DAX_ZERO, 0, order);
	for (int i = 0; i < ARRAY_SIZE(pfns); i++) {
		unsigned long pfn = round_down(pfns[i], 1UL << order);

		check_lock_bit(test, dax_make_mapped(pfn, order), DAX_MAPPED,
			       pfn, order);
	}
}

static void word_range(struct kunit *test)
{
	unsigned int order = param_order(test);
	unsigned long nr = 1UL << order;
	unsigned long offsets[] = { 0, nr / 3, nr / 2, nr - 1 };
	unsigned long pfn = 5 * nr;
	void *entry = dax_make_mapped(pfn, order);

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		pgoff_t index = BASE + offsets[i];

		KUNIT_EXPECT_EQ(test, dax_entry_start(entry, index), BASE);
		KUNIT_EXPECT_EQ(test, dax_entry_pfn_at(entry, index),
				pfn + offsets[i]);
	}
	KUNIT_EXPECT_EQ(test, dax_entry_start(entry, BASE - 1), BASE - nr);
	KUNIT_EXPECT_EQ(test, dax_entry_start(entry, BASE + nr), BASE + nr);
}

static void mapped_covers_same_blocks(struct kunit *test)
{
	unsigned int order = param_order(test);
	unsigned long nr = 1UL << order;
	unsigned long pfn = 8 * nr;
	void *entry = dax_make_mapped(pfn, order);
	unsigned long offsets[] = { 0, nr / 3, nr / 2, nr - 1 };

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		unsigned long off = offsets[i];
		pgoff_t index = BASE + off;
		void *small = dax_make_mapped(pfn + off, 0);
		void *other = dax_make_mapped(pfn + off + 1, 0);

		KUNIT_EXPECT_TRUE(test, dax_entry_covers(entry, entry, index));
		KUNIT_EXPECT_TRUE(test, dax_entry_covers(entry, small, index));
		KUNIT_EXPECT_FALSE(test, dax_entry_covers(entry, other, index));
		KUNIT_EXPECT_EQ(test, dax_entry_covers(small, entry, index),
				order == 0);
	}
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(entry,
						  dax_make_mapped(pfn + nr, order),
						  BASE));
}

static void zero_covers_zero(struct kunit *test)
{
	unsigned int order = param_order(test);
	pgoff_t index = BASE + (1UL << order) / 2;
	void *zero = dax_make_zero(order);

	KUNIT_EXPECT_TRUE(test, dax_entry_covers(zero, zero, index));
	KUNIT_EXPECT_TRUE(test, dax_entry_covers(zero, dax_make_zero(0), index));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(zero, dax_make_zero(order + 1),
						  index));
	/* A zero entry has no pfn, which differs from pfn 0. */
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(zero,
						  dax_make_mapped(0, order), BASE));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(dax_make_mapped(0, order),
						  zero, BASE));
}

static void empty_covers_nothing(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *empty = dax_make_empty(order);
	void *zero = dax_make_zero(order);
	void *mapped = dax_make_mapped(0, order);

	KUNIT_EXPECT_FALSE(test, dax_entry_covers(empty, empty, BASE));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(empty, zero, BASE));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(empty, mapped, BASE));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(zero, empty, BASE));
	KUNIT_EXPECT_FALSE(test, dax_entry_covers(mapped, empty, BASE));
}

static void covers_ignores_lock_bit(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *old = dax_make_mapped(0x40000, order);
	void *new = dax_make_mapped(0x40000, 0);

	KUNIT_EXPECT_TRUE(test, dax_entry_covers(dax_make_locked(old), new,
						 BASE));
	KUNIT_EXPECT_TRUE(test, dax_entry_covers(old, dax_make_locked(new),
						 BASE));
}

static void exceeds_at_either_end(struct kunit *test)
{
	unsigned int order = param_order(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	void *entry = dax_make_mapped(BASE, order);
	bool large = order > 0;

	KUNIT_EXPECT_FALSE(test, dax_entry_exceeds(entry, BASE, BASE, last));
	KUNIT_EXPECT_FALSE(test, dax_entry_exceeds(entry, last, BASE - 1,
						   last + 1));
	KUNIT_EXPECT_FALSE(test, dax_entry_exceeds(entry, BASE, 0, ULONG_MAX));
	KUNIT_EXPECT_EQ(test, dax_entry_exceeds(entry, last, last, ULONG_MAX),
			large);
	KUNIT_EXPECT_EQ(test, dax_entry_exceeds(entry, BASE, 0, BASE), large);
	KUNIT_EXPECT_EQ(test, dax_entry_exceeds(dax_make_locked(entry), BASE,
						BASE, BASE), large);
	KUNIT_EXPECT_EQ(test, dax_entry_exceeds(dax_make_empty(order), BASE,
						BASE, BASE), large);
	/* Not an entry. */
	KUNIT_EXPECT_FALSE(test, dax_entry_exceeds(NULL, BASE, BASE, BASE));
}

static struct kunit_case dax_entry_word_cases[] = {
	KUNIT_CASE_PARAM(word_round_trip, orders_gen_params),
	KUNIT_CASE_PARAM(word_range, orders_gen_params),
	KUNIT_CASE_PARAM(mapped_covers_same_blocks, orders_gen_params),
	KUNIT_CASE_PARAM(zero_covers_zero, orders_gen_params),
	KUNIT_CASE_PARAM(empty_covers_nothing, orders_gen_params),
	KUNIT_CASE_PARAM(covers_ignores_lock_bit, orders_gen_params),
	KUNIT_CASE_PARAM(exceeds_at_either_end, orders_gen_params),
	{}
};

static struct kunit_suite dax_entry_word_suite = {
	.name = "dax_entry_word",
	.test_cases = dax_entry_word_cases,
};

/* --- helpers and jobs ---------------------------------------------------- */

/* The order of the test, if this kernel supports it. */
static unsigned int use_order(struct kunit *test)
{
	dt_need_order(test, param_order(test));
	return param_order(test);
}

/* Wait for the entry, and do not lock it. */
static void job_check(struct dt_task *task)
{
	unsigned int order = task->order;
	XA_STATE_ORDER(xas, &task->mapping->i_pages, task->index, order);

	xas_lock_irq(&xas);
	task->ret = dax_get_unlocked_entry(&xas, order, &task->entry);
	if (!task->ret)
		dax_put_unlocked_entry(&xas, task->entry);
	xas_unlock_irq(&xas);
}

/* Lock the entry only if it needs no blocks. */
static void job_use_mapped(struct dt_task *task)
{
	unsigned int order = task->order;
	XA_STATE_ORDER(xas, &task->mapping->i_pages, task->index, order);
	struct dax_grab grab = { .order = order, .write = task->write };

	task->ret = dax_grab_mapped(&xas, &grab) ? 0 : -EBUSY;
	if (task->ret)
		return;
	task->entry = grab.entry;
	dt_hold(task);
	dax_unlock_entry(&xas, task->entry);
}

/* Invalidate or truncate: wait for the entry and delete it. */
static void job_delete(struct dt_task *task)
{
	XA_STATE(xas, &task->mapping->i_pages, task->index);

	xas_lock_irq(&xas);
	task->ret = dax_get_unlocked_entry(&xas, 0, &task->entry);
	if (!task->ret && task->entry)
		dax_delete_entry(&xas, task->entry, DAX_DELETE_INVALIDATE);
	xas_unlock_irq(&xas);
}

/* Memory failure: wait for an entry of a mapping that may be freed. */
static void job_wait_for_freed(struct dt_task *task)
{
	XA_STATE(xas, &task->mapping->i_pages, task->index);
	void *entry;

	xas_lock_irq(&xas);
	entry = xas_load(&xas);
	if (entry && dax_is_locked(entry))
		dax_wait_entry_unlock(&xas, entry);
	else
		xas_unlock_irq(&xas);
}

#define OWN_ROUNDS	200

/* Lock and unlock many times, and check that there is no other owner. */
static void job_own(struct dt_task *task)
{
	struct dax_test *dt = task->dt;
	unsigned long nr = 1UL << task->order;

	for (unsigned int i = 0; i < OWN_ROUNDS; i++) {
		pgoff_t index = BASE + i % nr;
		unsigned int order = i & 1 ? task->order : 0;
		XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
		void *entry;

		task->ret = dt_grab_entry(&xas, order, true, &entry, NULL);
		if (task->ret)
			return;
		if (dt->owner)
			dt->shared = true;
		dt->owner = task;
		dt->nr_owned++;
		cond_resched();
		if (dt->owner != task)
			dt->shared = true;
		dt->owner = NULL;
		dax_unlock_entry(&xas, entry);
	}
}

/* --- one task ------------------------------------------------------------ */

static void insert(struct kunit *test)
{
	unsigned int order = use_order(test);
	pgoff_t index = BASE + (1UL << order) / 2;
	void *entry = dt_grab(test, index, order, false);

	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
	dt_expect_range(test, index, order, dax_make_locked(entry));
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << order);

	dt_unlock(test, index, entry);
	dt_expect_range(test, index, order, entry);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << order);
}

/* The rules for order conflicts, where no promotion is allowed. */
struct conflict {
	const char *found;
	int kind;
	unsigned int order;
	enum dax_grab_action action[6];
};

#define NO_ENTRY	-1

/* The words of the table. */
#define found_none	NO_ENTRY
#define found_empty	DAX_EMPTY
#define found_zero	DAX_ZERO
#define found_mapped	DAX_MAPPED
#define to_insert	DAX_GRAB_INSERT
#define to_lock		DAX_GRAB_LOCK
#define to_demote	DAX_GRAB_DEMOTE
#define to_promote	DAX_GRAB_REFUSE

#define CONFLICT(found, order, r0, w0, r9, w9, r18, w18)		\
	{ #found " of order " #order, found_##found, order,		\
	  { to_##r0, to_##w0, to_##r9, to_##w9, to_##r18, to_##w18 } },

static const struct conflict conflicts[] = { DAX_ORDER_RULES(CONFLICT) };

KUNIT_ARRAY_PARAM_DESC(conflicts, conflicts, found);

static void check_traced(struct kunit *test, enum dax_grab_action action,
			 void *found)
{
	struct dax_test *dt = test->priv;
	bool demote = action == DAX_GRAB_DEMOTE;

	/* After a demotion there is no entry, and one is inserted. */
	KUNIT_EXPECT_EQ(test, dt->nr_grabs, demote ? 2 : 1);
	KUNIT_EXPECT_EQ(test, dt->grabs[0], action);
	KUNIT_EXPECT_PTR_EQ(test, dt->found[0], found);
	if (demote) {
		KUNIT_EXPECT_EQ(test, dt->grabs[1], DAX_GRAB_INSERT);
		KUNIT_EXPECT_PTR_EQ(test, dt->found[1], NULL);
	}
}

static void check_conflict(struct kunit *test, const struct conflict *conflict,
			   unsigned int order, bool write,
			   enum dax_grab_action action)
{
	struct dax_test *dt = test->priv;
	unsigned int big = max(order, conflict->order);
	pgoff_t index = BASE + (1UL << big) / 2;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	void *empty = dax_make_empty(order);
	int err = action == DAX_GRAB_REFUSE ? -EBUSY : 0;
	void *entry = NULL, *found = NULL;

	if (conflict->kind != NO_ENTRY)
		found = dt_put(test, index, conflict->kind, conflict->order);
	KUNIT_EXPECT_EQ(test, err,
			dax_peek_entry(dt->mapping, index, order, write,
				       false));

	dt->nr_grabs = 0;
	KUNIT_EXPECT_EQ(test, err,
			dt_grab_entry(&xas, order, write, &entry, NULL));
	check_traced(test, action, found);

	switch (action) {
	case DAX_GRAB_PROMOTE:
		KUNIT_EXPECT_NE(test, action, DAX_GRAB_PROMOTE);
		break;
	case DAX_GRAB_REFUSE:
		dt_expect_range(test, index, conflict->order, found);
		KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << conflict->order);
		dt_delete(test, index, found);
		break;
	case DAX_GRAB_LOCK:
		KUNIT_EXPECT_PTR_EQ(test, entry, found);
		dt_expect_range(test, index, conflict->order,
				dax_make_locked(found));
		KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << conflict->order);
		dax_unlock_entry(&xas, entry);
		dt_expect_range(test, index, conflict->order, found);
		dt_delete(test, index, found);
		break;
	case DAX_GRAB_DEMOTE:
	case DAX_GRAB_INSERT:
		KUNIT_EXPECT_PTR_EQ(test, entry, empty);
		dt_expect_range(test, index, order, dax_make_locked(empty));
		KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << order);
		dax_unlock_entry(&xas, entry);
		dt_expect_range(test, index, order, empty);
		dt_delete(test, index, empty);
		break;
	}
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dt->mapping->i_pages));
}

static void order_conflicts(struct kunit *test)
{
	const struct conflict *conflict = test->param_value;

	dt_need_order(test, conflict->order);
	for (int i = 0; i < ARRAY_SIZE(conflict->action); i++) {
		unsigned int order = i / 2 * 9;

		if (dt_has_order(order))
			check_conflict(test, conflict, order, i & 1,
				       conflict->action[i]);
	}
}

/* A smaller entry anywhere in the range refuses the request, even if locked. */
static void smaller_entry_refuses(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	unsigned long offsets[] = { 0, 1, nr / 2, nr - 1 };

	if (order == 0)
		kunit_skip(test, "nothing is smaller than order 0");
	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		pgoff_t index = BASE + offsets[i];
		void *entry = dt_put_locked(test, index, DAX_ZERO, 0);
		struct dt_task *huge;

		huge = dt_start(test, dt_job_hold, BASE, order, i & 1);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_DONE);
		KUNIT_EXPECT_EQ(test, huge->ret, -EBUSY);
		KUNIT_EXPECT_EQ(test, huge->sleeps, 0);
		KUNIT_EXPECT_EQ(test, -EBUSY,
				dax_peek_entry(dt->mapping, BASE, order, false,
					       false));
		dt_expect_range(test, index, 0, dax_make_locked(entry));
		dt_delete(test, index, entry);
	}
	/* Entries beside the range do not refuse it. */
	dt_put(test, BASE - 1, DAX_ZERO, 0);
	dt_put(test, BASE + nr, DAX_ZERO, 0);
	KUNIT_EXPECT_EQ(test, 0, dax_peek_entry(dt->mapping, BASE, order, false,
						false));
	KUNIT_EXPECT_PTR_EQ(test, dt_grab(test, BASE, order, false),
			    dax_make_empty(order));
}

/* dax_grab_mapped() with plain arguments.  Unlocks the entry again. */
static bool use_mapped(struct kunit *test, unsigned int order, bool write,
		       bool unshared, bool *dirtied)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	struct dax_grab grab = {
		.order = order,
		.write = write,
		.unshared = unshared,
	};
	void *before = dt_peek(test, BASE);

	KUNIT_EXPECT_PTR_EQ(test, before, xa_peek(xas.xa, BASE));
	*dirtied = false;
	if (!dax_grab_mapped(&xas, &grab)) {
		KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE), before);
		return false;
	}
	*dirtied = grab.dirtied;
	KUNIT_EXPECT_PTR_EQ(test, grab.entry, before);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE), dax_make_locked(before));
	dax_unlock_entry(&xas, grab.entry);
	return true;
}

/* A mapped entry serves a read, and a write if its blocks are the file's own. */
static void mapped_needs_no_blocks(struct kunit *test)
{
	unsigned int order = use_order(test);
	bool dirtied;

	dt_put(test, BASE, DAX_MAPPED, order);
	for (unsigned int o = 0; o <= order; o += max(order, 1U)) {
		KUNIT_EXPECT_TRUE(test, use_mapped(test, o, false, false,
						   &dirtied));
		KUNIT_EXPECT_FALSE(test, dirtied);
		KUNIT_EXPECT_FALSE(test, use_mapped(test, o, true, false,
						    &dirtied));
	}
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));

	KUNIT_EXPECT_TRUE(test, use_mapped(test, order, true, true, &dirtied));
	KUNIT_EXPECT_TRUE(test, dirtied);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_TRUE(test, use_mapped(test, 0, true, true, &dirtied));
	KUNIT_EXPECT_FALSE(test, dirtied);

	/* The mark of a large entry does not tell who has each block. */
	KUNIT_EXPECT_EQ(test, order == 0,
			use_mapped(test, 0, true, false, &dirtied));
	KUNIT_EXPECT_FALSE(test, dirtied);
}

/* All other entries need the filesystem, and so does none. */
static void others_need_blocks(struct kunit *test)
{
	unsigned int order = use_order(test);
	enum dax_kind kinds[] = { DAX_ZERO, DAX_EMPTY };
	bool dirtied;

	KUNIT_EXPECT_FALSE(test, use_mapped(test, order, true, true, &dirtied));
	for (int i = 0; i < ARRAY_SIZE(kinds); i++) {
		void *entry = dt_put(test, BASE, kinds[i], order);

		KUNIT_EXPECT_FALSE(test, use_mapped(test, order, false, true,
						    &dirtied));
		KUNIT_EXPECT_FALSE(test, use_mapped(test, 0, true, true,
						    &dirtied));
		dt_delete(test, BASE, entry);
	}
	if (!order)
		return;
	dt_put(test, BASE, DAX_MAPPED, 0);
	KUNIT_EXPECT_FALSE(test, use_mapped(test, order, false, true,
					    &dirtied));
}

/* A mark belongs to the whole entry, whichever index it was set at. */
static void marks_kept_by_replace(struct kunit *test)
{
	unsigned int order = use_order(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	void *entry = dt_put(test, BASE, DAX_ZERO, order);
	void *mapped = dt_make_entry(DAX_MAPPED, order);

	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_ASSERT_PTR_EQ(test, dt_grab(test, last, 0, false), entry);
	dt_replace(test, last, entry, mapped);
	dt_set_mark(test, last, PAGECACHE_TAG_DIRTY);
	dt_set_mark(test, BASE, PAGECACHE_TAG_TOWRITE);
	dt_unlock(test, last, mapped);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_TRUE(test, dt_marked(test, last, PAGECACHE_TAG_DIRTY));

	KUNIT_ASSERT_PTR_EQ(test, dt_grab(test, BASE, order, true), mapped);
	dt_replace(test, BASE, mapped, mapped);
	dt_unlock(test, BASE, mapped);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_TRUE(test, dt_marked(test, last, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_TRUE(test, dt_marked(test, last, PAGECACHE_TAG_TOWRITE));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, last, PAGECACHE_TAG_WRITEBACK));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, last + 1, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE - 1, PAGECACHE_TAG_DIRTY));
}

static void marks_deleted_with_entry(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	pgoff_t last = BASE + (1UL << order) - 1;

	dt_put_dirty(test, BASE, order);
	dt_put_dirty(test, last + 1, 0);
	dt_set_mark(test, BASE, PAGECACHE_TAG_TOWRITE);
	dt_delete(test, last, dt_make_entry(DAX_MAPPED, order));
	dt_put(test, BASE, DAX_EMPTY, order);
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, last, PAGECACHE_TAG_TOWRITE));
	KUNIT_EXPECT_TRUE(test, dt_marked(test, last + 1, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, xa_marked(&dt->mapping->i_pages,
					   PAGECACHE_TAG_TOWRITE));
}

static void delete_whole_entry(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	void *before = dt_put(test, BASE - 1, DAX_ZERO, 0);
	void *entry = dt_put(test, BASE, DAX_MAPPED, order);
	void *after = dt_put(test, BASE + nr, DAX_ZERO, 0);

	KUNIT_EXPECT_EQ(test, dt_nrpages(test), nr + 2);
	dt_delete(test, BASE + nr / 2, entry);
	dt_expect_range(test, BASE, order, NULL);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE - 1), before);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE + nr), after);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 2);

	dt_delete(test, BASE - 1, before);
	dt_delete(test, BASE + nr, after);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dt->mapping->i_pages));
}

/*
 * The only entry of a file at offset 0 is in the root of the tree.  It moves to
 * a node when a second entry is stored, and back when that is deleted.  The
 * cursor of the holder does not know.
 */
static void tree_moves_under_holder(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, 0);
	void *mapped = dt_make_entry(DAX_MAPPED, 0);
	void *entry, *other;

	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, 0, true, &entry, NULL));
	other = dt_put(test, BASE, DAX_ZERO, 0);
	xas_lock_irq(&xas);
	dax_replace_entry(&xas, entry, mapped);
	xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
	xas_unlock_irq(&xas);
	dt_expect_range(test, 0, 0, dax_make_locked(mapped));
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE), other);

	dt_delete(test, BASE, other);
	dax_unlock_entry(&xas, mapped);
	dt_expect_range(test, 0, 0, mapped);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, 0, PAGECACHE_TAG_DIRTY));

	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, 0, true, &entry, NULL));
	dt_put(test, BASE, DAX_ZERO, 0);
	dax_unlock_entry(&xas, mapped);
	dt_expect_range(test, 0, 0, mapped);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE), other);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 2);

	/* Now the cursor is in a node that is freed. */
	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, 0, true, &entry, NULL));
	dt_delete(test, BASE, other);
	xas_lock_irq(&xas);
	dax_replace_entry(&xas, entry, dt_make_entry(DAX_ZERO, 0));
	xas_unlock_irq(&xas);
	dt_expect_range(test, 0, 0, dax_make_locked(dt_make_entry(DAX_ZERO, 0)));
	dax_unlock_entry(&xas, dt_make_entry(DAX_ZERO, 0));
	dt_expect_range(test, 0, 0, dt_make_entry(DAX_ZERO, 0));
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1);
}

/* A truncate that starts in the middle of an entry. */
static void delete_walk_ends(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	XA_STATE(xas, &dt->mapping->i_pages, BASE + (1UL << order) / 2);
	unsigned int nr = 0;
	void *entry;

	dt_put(test, BASE, DAX_MAPPED, order);
	dt_put(test, BASE + (1UL << order), DAX_ZERO, 0);
	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX) {
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
		if (++nr == 10)
			break;
	}
	xas_unlock_irq(&xas);
	KUNIT_EXPECT_EQ(test, nr, 2);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 0);
}

/*
 * A walk visits each entry once, wherever it starts and however often it
 * pauses.
 */
static void pause_skips_nothing(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	unsigned long offsets[] = { 0, 1, nr / 3, nr / 2, nr - 1 };

	dt_put(test, BASE, DAX_MAPPED, order);
	for (int i = 0; i < 3; i++)
		dt_put(test, BASE + nr + i, DAX_ZERO, 0);
	dt_put(test, BASE + 2 * nr + 7, DAX_ZERO, 0);

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		pgoff_t index = min(BASE + offsets[i], BASE + nr - 1);
		XA_STATE(xas, &dt->mapping->i_pages, index);
		unsigned int seen = 0;
		void *entry;

		xas_lock_irq(&xas);
		xas_for_each(&xas, entry, ULONG_MAX) {
			seen++;
			dax_pause_walk(&xas, entry);
		}
		xas_unlock_irq(&xas);
		KUNIT_EXPECT_EQ_MSG(test, seen, 5, "from offset %lu",
				    index - BASE);
	}
}

/* --- wakeups ------------------------------------------------------------- */

/*
 * Three tasks wait for one entry, at its start, in its middle and at its end.
 * Each unlock wakes one of them, in the order in which they came.
 */
static void unlock_wakes_one(struct kunit *test)
{
	static const char *const states[] = { "HSS", "DHS", "DDH" };
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *tasks[3];

	tasks[0] = dt_start(test, dt_job_hold, BASE, order, true);
	tasks[1] = dt_start(test, dt_job_hold, BASE + nr / 2, 0, false);
	tasks[2] = dt_start(test, dt_job_hold, BASE + nr - 1, 0, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSS");

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	for (int i = 0; i < 3; i++) {
		KUNIT_ASSERT_STREQ(test, dt_states(test), states[i]);
		dt_expect_range(test, BASE, order, dax_make_locked(entry));
		dt_continue(test, tasks[i]);
	}
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDD");
	for (int i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, tasks[i]->sleeps, 1);
		KUNIT_EXPECT_EQ(test, tasks[i]->slept_at, BASE);
		KUNIT_EXPECT_EQ(test, tasks[i]->slept_order, order);
		KUNIT_EXPECT_PTR_EQ(test, tasks[i]->entry, entry);
	}
	dt_expect_range(test, BASE, order, entry);
}

/*
 * The entry is deleted.  All of its waiters are woken and compete for the new
 * one.
 */
static void delete_wakes_all(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *tasks[3];

	for (int i = 0; i < 3; i++)
		tasks[i] = dt_start(test, dt_job_hold, BASE, order, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSS");

	dt_delete(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_EQ(test, dt_nr_tasks(test, DT_HOLDS), 1);
	KUNIT_ASSERT_EQ(test, dt_nr_tasks(test, DT_SLEEPS), 2);
	for (int i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->sleeps),
				tasks[i] == dt_holder(test) ? 1 : 2);
	for (int i = 0; i < 3; i++)
		dt_continue(test, dt_holder(test));
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDD");
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << order);
}

/*
 * Three tasks need 4 KiB each of an entry that is deleted.  Then each has its
 * own.
 */
static void delete_wakes_all_inside(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_ZERO, order);

	if (order == 0)
		kunit_skip(test, "an entry of order 0 has no inside");
	for (int i = 0; i < 3; i++)
		dt_start(test, dt_job_hold, BASE + 5 + i, 0, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSS");

	dt_delete(test, BASE + 1, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HHH");
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 3);
}

/*
 * Three invalidations wait for one entry.  The first deletes it, and the others
 * must be woken, because there is nothing left to wait for.
 */
static void concurrent_invalidations(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);

	for (int i = 0; i < 3; i++)
		dt_start(test, job_delete, BASE + (1UL << order) / 2, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSS");

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDD");
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 0);
	KUNIT_EXPECT_TRUE(test, xa_empty(&dt->mapping->i_pages));
}

/*
 * Three 4 KiB writers wait at different offsets of a huge entry that cannot
 * serve them.  The first demotes it.  The others sleep on a key that is not
 * used any more, and must be woken.
 */
static void demotion_wakes_all(struct kunit *test, enum dax_kind kind)
{
	unsigned int order = use_order(test);
	void *entry;

	if (order == 0)
		kunit_skip(test, "an entry of order 0 is never demoted");
	entry = dt_put_locked(test, BASE, kind, order);
	for (int i = 0; i < 3; i++)
		dt_start(test, dt_job_hold, BASE + 2 * i, 0, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSS");

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HHH");
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 3);
	for (int i = 0; i < 3; i++)
		dt_expect_range(test, BASE + 2 * i, 0,
				dax_make_locked(dax_make_empty(0)));
}

static void demotion_of_zero_wakes_all(struct kunit *test)
{
	demotion_wakes_all(test, DAX_ZERO);
}

static void demotion_of_empty_wakes_all(struct kunit *test)
{
	demotion_wakes_all(test, DAX_EMPTY);
}

/* A waiter that does not lock the entry must wake the next one. */
static void leaving_wakes_next(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *last;

	dt_start(test, job_check, BASE, order, false);
	dt_start(test, job_check, BASE + (1UL << order) - 1, 0, false);
	/* The entry is clean, so the write needs the filesystem. */
	dt_start(test, job_use_mapped, BASE, 0, true);
	last = dt_start(test, dt_job_hold, BASE, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SSSS");

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDDH");
	KUNIT_EXPECT_EQ(test, READ_ONCE(last->sleeps), 1);
}

/*
 * A waiter that is refused must do so, too.  To test only that, the huge entry
 * is replaced by a small one without a wakeup, and then only the first waiter
 * is woken.
 */
static void refusal_wakes_next(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	XA_STATE(small, &dt->mapping->i_pages, BASE);
	void *entry = dt_make_entry(DAX_MAPPED, 0);
	struct dt_task *refused;

	if (order == 0)
		kunit_skip(test, "a request of order 0 is never refused");
	dt_put_locked(test, BASE, DAX_MAPPED, order);
	refused = dt_start(test, dt_job_hold, BASE, order, true);
	dt_start(test, dt_job_hold, BASE, 0, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SS");

	xas_lock_irq(&xas);
	xas_store(&xas, NULL);
	xas_store(&small, entry);
	dt->mapping->nrpages -= (1UL << order) - 1;
	dax_put_unlocked_entry(&small, entry);
	xas_unlock_irq(&xas);
	KUNIT_ASSERT_EQ(test, xas_error(&small), 0);
	dt_wait_idle(test);

	KUNIT_ASSERT_STREQ(test, dt_states(test), "DH");
	KUNIT_EXPECT_EQ(test, refused->ret, -EBUSY);
}

/*
 * Do the waiters of two entries share a queue?  If the hash of fs/dax-entry.c
 * changes, the tests that use this still pass but check less.
 */
static bool in_one_queue(struct xarray *xa, pgoff_t start,
			 struct xarray *other_xa, pgoff_t other)
{
	return hash_long((unsigned long)xa ^ start, 12) ==
	       hash_long((unsigned long)other_xa ^ other, 12);
}

/* A mapping whose entry at BASE shares a queue with that of dt->mapping. */
static struct address_space *colliding_mapping(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct address_space *mapping;
	size_t offset = 0;

	dt->room = kvzalloc(SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dt->room);
	do {
		mapping = dt->room + offset;
		offset += sizeof(long);
		if (offset + sizeof(*mapping) > SZ_1M)
			kunit_skip(test, "no place where the hash collides");
	} while (!in_one_queue(&mapping->i_pages, BASE,
			       &dt->mapping->i_pages, BASE));
	address_space_init_once(mapping);
	mapping->host = dt->mapping->host;
	mapping_set_gfp_mask(mapping, GFP_KERNEL);
	return mapping;
}

/* Entries at one offset of two files are different, even in one queue. */
static void other_file_not_woken(struct kunit *test)
{
	struct address_space *second = colliding_mapping(test);
	unsigned int order = use_order(test);
	XA_STATE_ORDER(xas, &second->i_pages, BASE, order);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *task;
	void *other;

	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, true, &other, NULL));
	task = dt_start(test, dt_job_hold, BASE, order, true);
	dax_unlock_entry(&xas, other);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(task->sleeps), 1);
	xa_destroy(&second->i_pages);

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "H");
}

/* Two entries of one file are different, even in one queue. */
static void same_queue_not_woken(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	struct xarray *xa = &dt->mapping->i_pages;
	pgoff_t far = BASE;
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *first;

	do {
		far += 1UL << order;
		if (!far)
			kunit_skip(test, "no offset where the hash collides");
	} while (!in_one_queue(xa, far, xa, BASE));
	dt_put_locked(test, far, DAX_MAPPED, order);
	first = dt_start(test, dt_job_hold, far, order, true);
	dt_start(test, dt_job_hold, BASE, order, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SS");

	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SH");
	KUNIT_EXPECT_EQ(test, READ_ONCE(first->sleeps), 1);
	dt_unlock(test, far, dt_make_entry(DAX_MAPPED, order));
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HH");
}

/* A walk that waits for the entry does not consume the wakeup of a fault. */
static void walker_not_exclusive(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *walker, *fault;

	dt_set_mark(test, BASE, PAGECACHE_TAG_DIRTY);
	walker = dt_start(test, dt_job_walk_dirty, BASE, 0, false);
	fault = dt_start(test, dt_job_hold, BASE, order, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SS");

	/* The walker may find it unlocked, or locked by the fault. */
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_EQ(test, dt_state(fault), DT_HOLDS);

	dt_continue(test, fault);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DD");
	KUNIT_ASSERT_EQ(test, dt_state(walker), DT_DONE);
	KUNIT_EXPECT_EQ(test, walker->nr_seen, 1);
}

/* A fault that came first does not consume the wakeup of a walk. */
static void walker_is_always_woken(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *walker, *fault;

	dt_set_mark(test, BASE, PAGECACHE_TAG_DIRTY);
	fault = dt_start(test, dt_job_hold, BASE, order, true);
	walker = dt_start(test, dt_job_walk_dirty, BASE, 0, false);
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_EQ(test, dt_state(fault), DT_HOLDS);
	/* It waits again for the fault, or it ran before the fault. */
	if (dt_state(walker) == DT_SLEEPS)
		KUNIT_EXPECT_EQ(test, READ_ONCE(walker->sleeps), 2);
	dt_continue(test, fault);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DD");
}

/* --- walks that find a locked entry -------------------------------------- */

/*
 * Store a locked dirty entry of the order of the test, and dirty entries behind
 * it.  Returns the locked one.
 */
static void *put_dirty_row(struct kunit *test, unsigned int order)
{
	unsigned long nr = 1UL << order;
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);

	dt_set_mark(test, BASE, PAGECACHE_TAG_DIRTY);
	dt_put_dirty(test, BASE + nr, 0);
	dt_put_dirty(test, BASE + nr + 3, 0);
	dt_put(test, BASE + nr + 4, DAX_ZERO, 0);
	dt_put_dirty(test, BEYOND + nr, order);
	return entry;
}

/* Writeback finds a locked dirty entry, waits for it, and visits it. */
static void walk_waits_for_entry(struct kunit *test)
{
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	const pgoff_t starts[] = { BASE, BASE + nr, BASE + nr + 3, BEYOND + nr };
	void *entry = put_dirty_row(test, order);
	struct dt_task *walker;

	walker = dt_start(test, dt_job_walk_dirty, BASE + nr / 2, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->slept_at), BASE);
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
	KUNIT_EXPECT_EQ(test, walker->sleeps, 1);
}

/* The entry is deleted during the wait.  The walk continues with the next. */
static void walk_waits_for_deleted(struct kunit *test)
{
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	const pgoff_t starts[] = { BASE + nr, BASE + nr + 3, BEYOND + nr };
	void *entry = put_dirty_row(test, order);
	struct dt_task *walker;

	walker = dt_start(test, dt_job_walk_dirty, BASE + nr / 2, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	dt_delete(test, BASE, entry);
	dt_wait_idle(test);
	dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
}

/* The entry is the only one of the file, in the root of the tree. */
static void walk_waits_in_root(struct kunit *test)
{
	const pgoff_t starts[] = { 0 };
	void *entry = dt_put_locked(test, 0, DAX_MAPPED, 0);
	struct dt_task *walker;

	dt_set_mark(test, 0, PAGECACHE_TAG_DIRTY);
	walker = dt_start(test, dt_job_walk_dirty, 0, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	dt_unlock(test, 0, entry);
	dt_wait_idle(test);
	dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
}

/* Another task locks the entry before the walker runs.  It waits again. */
static void walk_waits_again(struct kunit *test)
{
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	const pgoff_t starts[] = { BASE, BASE + nr, BASE + nr + 3, BEYOND + nr };
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, BASE);
	void *entry = put_dirty_row(test, order);
	struct dt_task *walker;

	walker = dt_start(test, dt_job_walk_dirty, BASE, 0, false);
	/* The lock is released and taken again in one xa_lock section. */
	xas_lock_irq(&xas);
	xas_load(&xas);
	dax_put_unlocked_entry(&xas, entry);
	xas_unlock_irq(&xas);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->sleeps), 2);
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
}

/* Two locked entries, with a queue each. */
static void walk_waits_for_two(struct kunit *test)
{
	unsigned int order = use_order(test);
	unsigned long nr = 1UL << order;
	const pgoff_t starts[] = { BASE, BASE + nr, BASE + nr + 3, BEYOND + nr };
	void *entry = put_dirty_row(test, order);
	struct dt_task *walker;

	KUNIT_ASSERT_PTR_EQ(test, dt_grab(test, BEYOND + nr, order, true), entry);
	walker = dt_start(test, dt_job_walk_dirty, BASE, 0, false);
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->sleeps), 2);
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->slept_at), BEYOND + nr);
	dt_unlock(test, BEYOND + nr, entry);
	dt_wait_idle(test);
	dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
}

/* A huge entry is replaced by dirty small ones during the wait. */
static void walk_waits_for_resized(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	const pgoff_t starts[] = { BASE, BASE + 7 };
	void *small = dt_make_entry(DAX_MAPPED, 0);
	struct dt_task *walker;
	void *entry;

	if (order == 0)
		kunit_skip(test, "nothing is smaller than order 0");
	entry = put_dirty_row(test, order);
	walker = dt_start(test, dt_job_walk_dirty, BASE, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");

	/* In one xa_lock section, so that the walker finds all of them. */
	xa_lock_irq(&dt->mapping->i_pages);
	for (int i = 0; i < 2; i++) {
		XA_STATE(xas, &dt->mapping->i_pages, starts[i]);

		if (i == 0)
			dax_delete_entry(&xas, entry, DAX_DELETE_DEMOTE);
		xas_reset(&xas);
		xas_store(&xas, dax_make_locked(small));
		xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
		dt->mapping->nrpages++;
		KUNIT_EXPECT_EQ(test, xas_error(&xas), 0);
	}
	xa_unlock_irq(&dt->mapping->i_pages);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->slept_order), 0);

	dt_unlock(test, starts[0], small);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(walker->slept_at), starts[1]);
	dt_unlock(test, starts[1], small);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_EQ(test, walker->sleeps, 3);
	KUNIT_ASSERT_EQ(test, walker->nr_seen, 5);
	KUNIT_EXPECT_EQ(test, walker->seen[0], starts[0]);
	KUNIT_EXPECT_EQ(test, walker->seen[1], starts[1]);
}

/* --- the entry at an end of a range -------------------------------------- */

/* The range is one page of it.  The walk waits for a dirty entry that is locked. */
static void exceeding_waits_for_dirty(struct kunit *test)
{
	unsigned int order = use_order(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	void *entry = put_dirty_row(test, order);
	struct dt_task *task;

	task = dt_start(test, dt_job_find_exceeding, last, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), order ? "S" : "D");
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_PTR_EQ(test, task->entry, order ? entry : NULL);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_TOWRITE));
}

/* There is nothing to flush in what is clean, whoever has locked it. */
static void exceeding_passes_clean(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *task;

	task = dt_start(test, dt_job_find_exceeding, BASE, 0, false);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_PTR_EQ(test, task->entry,
			    order ? dax_make_locked(entry) : NULL);
	dt_unlock(test, BASE, entry);
}

/* It is deleted during the wait. */
static void exceeding_waits_for_deleted(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = put_dirty_row(test, order);
	struct dt_task *task;

	task = dt_start(test, dt_job_find_exceeding, BASE, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), order ? "S" : "D");
	dt_delete(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_PTR_EQ(test, task->entry, NULL);
}

/*
 * The inode is freed during the wait.  The wakeup does not access it, and the
 * waiter must not either.  KASAN would report it.
 */
static void wait_for_freed_mapping(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	XA_STATE(xas, &dt->mapping->i_pages, BASE);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *task;

	task = dt_start(test, job_wait_for_freed, BASE, 0, false);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "S");

	dt_free_mapping(dt->mapping);
	dt->mapping = dt_new_mapping(test, dt->sb);
	dax_put_unlocked_entry(&xas, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_EQ(test, task->sleeps, 1);
}

/* Memory failure does not consume the wakeup of a fault. */
static void memory_failure_not_exclusive(struct kunit *test)
{
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);
	struct dt_task *failure, *fault;

	failure = dt_start(test, job_wait_for_freed, BASE, 0, false);
	fault = dt_start(test, dt_job_hold, BASE, order, true);
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_EXPECT_EQ(test, dt_state(failure), DT_DONE);
	KUNIT_EXPECT_EQ(test, dt_state(fault), DT_HOLDS);
}

/*
 * Several tasks lock and unlock in many rounds.  There is only one owner at a
 * time, and all tasks end.
 */
static void lock_is_exclusive(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = use_order(test);
	void *entry = dt_put_locked(test, BASE, DAX_MAPPED, order);

	for (int i = 0; i < MAX_TASKS; i++)
		dt_start(test, job_own, BASE, order, true);
	dt_unlock(test, BASE, entry);
	for (int i = 0; i < MAX_TASKS; i++) {
		struct dt_task *task = &dt->tasks[i];

		KUNIT_ASSERT_NE(test, 0,
				wait_for_completion_timeout(&task->done,
							    PATIENCE));
		KUNIT_EXPECT_EQ(test, task->ret, 0);
	}
	KUNIT_EXPECT_FALSE(test, dt->shared);
	KUNIT_EXPECT_EQ(test, dt->nr_owned, MAX_TASKS * OWN_ROUNDS);
	dt_expect_range(test, BASE, order, entry);
}

static struct kunit_case dax_entry_cases[] = {
	KUNIT_CASE_PARAM(insert, orders_gen_params),
	KUNIT_CASE_PARAM(order_conflicts, conflicts_gen_params),
	KUNIT_CASE_PARAM(smaller_entry_refuses, orders_gen_params),
	KUNIT_CASE_PARAM(mapped_needs_no_blocks, orders_gen_params),
	KUNIT_CASE_PARAM(others_need_blocks, orders_gen_params),
	KUNIT_CASE_PARAM(marks_kept_by_replace, orders_gen_params),
	KUNIT_CASE_PARAM(marks_deleted_with_entry, orders_gen_params),
	KUNIT_CASE_PARAM(delete_whole_entry, orders_gen_params),
	KUNIT_CASE(tree_moves_under_holder),
	KUNIT_CASE_PARAM(delete_walk_ends, orders_gen_params),
	KUNIT_CASE_PARAM(pause_skips_nothing, orders_gen_params),

	KUNIT_CASE_PARAM(unlock_wakes_one, orders_gen_params),
	KUNIT_CASE_PARAM(delete_wakes_all, orders_gen_params),
	KUNIT_CASE_PARAM(delete_wakes_all_inside, orders_gen_params),
	KUNIT_CASE_PARAM(concurrent_invalidations, orders_gen_params),
	KUNIT_CASE_PARAM(demotion_of_zero_wakes_all, orders_gen_params),
	KUNIT_CASE_PARAM(demotion_of_empty_wakes_all, orders_gen_params),
	KUNIT_CASE_PARAM(leaving_wakes_next, orders_gen_params),
	KUNIT_CASE_PARAM(refusal_wakes_next, orders_gen_params),
	KUNIT_CASE_PARAM(other_file_not_woken, orders_gen_params),
	KUNIT_CASE_PARAM(same_queue_not_woken, orders_gen_params),
	KUNIT_CASE_PARAM(walker_not_exclusive, orders_gen_params),
	KUNIT_CASE_PARAM(walker_is_always_woken, orders_gen_params),

	KUNIT_CASE_PARAM(walk_waits_for_entry, orders_gen_params),
	KUNIT_CASE_PARAM(walk_waits_for_deleted, orders_gen_params),
	KUNIT_CASE(walk_waits_in_root),
	KUNIT_CASE_PARAM(walk_waits_again, orders_gen_params),
	KUNIT_CASE_PARAM(walk_waits_for_two, orders_gen_params),
	KUNIT_CASE_PARAM(walk_waits_for_resized, orders_gen_params),
	KUNIT_CASE_PARAM(exceeding_waits_for_dirty, orders_gen_params),
	KUNIT_CASE_PARAM(exceeding_passes_clean, orders_gen_params),
	KUNIT_CASE_PARAM(exceeding_waits_for_deleted, orders_gen_params),
	KUNIT_CASE_PARAM(wait_for_freed_mapping, orders_gen_params),
	KUNIT_CASE_PARAM(memory_failure_not_exclusive, orders_gen_params),
	KUNIT_CASE_PARAM(lock_is_exclusive, orders_gen_params),
	{}
};

static struct kunit_suite dax_entry_suite = {
	.name = "dax_entry",
	.init = dax_test_init,
	.exit = dax_test_exit,
	.test_cases = dax_entry_cases,
};

kunit_test_suites(&dax_entry_word_suite, &dax_entry_suite);
