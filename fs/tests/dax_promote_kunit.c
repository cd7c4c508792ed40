// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of promotion (fs/dax-promote.c): small entries are replaced by a
 * large one, and are restored if the range cannot be one entry.
 *
 * See dax_kunit_lib.h for the helpers.  tools/testing/dax/ also runs this file
 * in user space.  Tests that need a failing allocation or a hook in the middle
 * of a promotion exist only there, in promotion.c.
 */

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/xarray.h>

#include "../dax-internal.h"
#include "../dax-trace.h"
#include "dax_kunit_lib.h"

/* How many times a promotion waits for a locked entry. */
#define MAX_WAITS	16

static const struct order_param promotable[] = {
	{ "order 4", 4 },
	{ "order 9", 9 },
};

KUNIT_ARRAY_PARAM_DESC(promotable, promotable, desc);

/* Too large for the stack.  Tests run one at a time. */
static struct dt_snapshot before;

/* Lock the small entry at @index as a fault does.  Returns the entry. */
static void *lock(struct kunit *test, pgoff_t index)
{
	return dt_grab(test, index, 0, false);
}

/*
 * Unlock it without a wakeup.  The tree looks the same when an unlock has woken
 * one waiter that has not run yet, while others still sleep.
 */
static void unlock_quietly(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_store(&xas, entry);
	xas_unlock_irq(&xas);
}

/* Wake a waiter as an unlock does, but leave the entry locked. */
static void wake_without_unlock(struct kunit *test, pgoff_t index, void *entry)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, index);

	xas_lock_irq(&xas);
	xas_load(&xas);
	dax_put_unlocked_entry(&xas, entry);
	xas_unlock_irq(&xas);
	dt_wait_idle(test);
}

static void continue_undo(struct kunit *test, struct dt_task *task)
{
	task->undo = true;
	dt_continue(test, task);
}

/* --- promotion and rollback ---------------------------------------------- */

/*
 * The contents of a range: the letters of dt_fill(), repeated; or, with @once,
 * one entry at offset @at, which is counted from the end if it is negative.
 */
struct mix {
	const char *desc;
	const char *cycle;
	bool once;
	int at;
};

static const struct mix mixes[] = {
	{ "mapped", "m" },
	{ "dirty", "M" },
	{ "zero", "z" },
	{ "empty", "e" },
	{ "of all kinds", "mMze.Tzm" },
	{ "mapped with gaps", "m.." },
	{ "zero with gaps", "..z" },
	{ "one of them dirty", "zmzmzmzM" },
	{ "one of them to be flushed", "T.zzemm" },
	{ "half of them zero", "MMMMMMMMzzzzzzzz" },
	{ "the first mapped", "m", true, 0 },
	{ "the first dirty", "T", true, 0 },
	{ "the first zero", "z", true, 0 },
	{ "the first empty", "e", true, 0 },
	{ "the second dirty", "M", true, 1 },
	{ "the eighth zero", "z", true, 7 },
	{ "the ninth mapped", "m", true, 8 },
	{ "the last but seven to be flushed", "T", true, -8 },
	{ "the last dirty", "M", true, -1 },
};

KUNIT_ARRAY_PARAM_DESC(mixes, mixes, desc);

static void fill_mix(struct kunit *test, pgoff_t start, unsigned int order,
		     const struct mix *mix)
{
	unsigned int offset = mix->at + (mix->at < 0 ? 1 << order : 0);

	if (mix->once)
		dt_fill_page(test, start + offset, BLOCKS + offset, mix->cycle[0]);
	else
		dt_fill(test, start, order, mix->cycle);
}

/* Check what a promotion has recorded. */
static void check_promotion(struct kunit *test,
			    const struct dax_promotion *promotion)
{
	unsigned int from = before.start - before.first;
	unsigned int nr = 0, nr_mapped = 0, nr_zero = 0, nr_dirty = 0;

	for (unsigned int i = from; i < from + (1U << before.order); i++) {
		void *entry = before.entry[i];

		nr += !!entry;
		nr_mapped += entry && dax_is_mapped(entry);
		nr_zero += entry && dax_is_zero(entry);
		nr_dirty += before.dirty[i];
	}
	KUNIT_EXPECT_EQ(test, promotion->order, before.order);
	KUNIT_EXPECT_EQ(test, promotion->nr, nr);
	KUNIT_EXPECT_EQ(test, promotion->nr_mapped, nr_mapped);
	KUNIT_EXPECT_EQ(test, promotion->nr_zero, nr_zero);
	KUNIT_EXPECT_EQ(test, promotion->nr_dirty, nr_dirty);
	if (nr_mapped)
		KUNIT_EXPECT_EQ(test, promotion->pfn, BLOCKS);
}

/* Change a snapshot to one in which @entry is the only entry of the range. */
static void snapshot_large(struct dt_snapshot *p, void *entry)
{
	unsigned int from = p->start - p->first;
	unsigned int to = from + (1U << p->order);
	bool dirty = false, towrite = false;

	for (unsigned int i = from; i < to; i++) {
		dirty |= p->dirty[i];
		towrite |= p->towrite[i];
		p->nrpages += !p->entry[i];
	}
	for (unsigned int i = from; i < to; i++) {
		p->entry[i] = entry;
		p->dirty[i] = dirty;
		p->towrite[i] = towrite;
	}
}

static void expect_large(struct kunit *test, void *entry)
{
	static struct dt_snapshot after;

	after = before;
	snapshot_large(&after, entry);
	dt_expect_snapshot(test, &after);
}

static void expect_undone(struct kunit *test, bool towrite, bool with_zero)
{
	static struct dt_snapshot after;

	after = before;
	dt_snapshot_undone(&after, towrite, with_zero);
	dt_expect_snapshot(test, &after);
}

/* Store entries beside the range.  They must not change. */
static void fill_neighbours(struct kunit *test, pgoff_t start,
			    unsigned int order)
{
	if (start) {
		dt_fill_page(test, start - 1, 5, 'T');
		dt_fill_page(test, start - 3, 5, 'z');
	}
	dt_fill_page(test, start + (1UL << order), 5, 'T');
	dt_fill_page(test, start + (1UL << order) + 2, 7, 'm');
	dt_put(test, BEYOND, DAX_MAPPED, 0);
}

static void promote_mix(struct kunit *test, unsigned int order, pgoff_t start,
			bool alone)
{
	const struct mix *mix = test->param_value;
	pgoff_t index = start + (1UL << order) / 3;
	void *empty = dax_make_empty(order);
	void *mapped = dax_make_mapped(BLOCKS, order);
	struct dax_promotion *promotion;

	fill_mix(test, start, order, mix);
	if (!alone)
		fill_neighbours(test, start, order);
	dt_take_snapshot(test, &before, start, order);

	/* Roll back with zero entries, */
	promotion = dt_promote(test, index, order, false);
	check_promotion(test, promotion);
	expect_large(test, dax_make_locked(empty));
	dt_undo(test, start, promotion, true);
	expect_undone(test, false, true);

	/* and again without them. */
	dt_take_snapshot(test, &before, start, order);
	promotion = dt_promote(test, start, order, true);
	expect_large(test, dax_make_locked(empty));
	dt_undo(test, start, promotion, false);
	expect_undone(test, false, false);

	/* Then promote and finish. */
	dt_delete_all(test);
	fill_mix(test, start, order, mix);
	if (!alone)
		fill_neighbours(test, start, order);
	dt_take_snapshot(test, &before, start, order);
	promotion = dt_promote(test, start + (1UL << order) - 1, order, true);
	dt_finish(test, start, promotion, mapped);
	expect_large(test, mapped);
	dt_delete_all(test);
}

/*
 * Each mix becomes one locked empty entry with the marks of all, and can be
 * restored: in the middle of a file, at its start, and without neighbours,
 * where a single entry at offset 0 is the root of the tree.
 */
static void promote_any_mix(struct kunit *test, unsigned int order)
{
	static const pgoff_t starts[] = { BASE, 0, BASE + 3 * BIT(9) };

	dt_need_promotable(test, order);
	for (int i = 0; i < ARRAY_SIZE(starts); i++) {
		promote_mix(test, order, starts[i], true);
		promote_mix(test, order, starts[i], false);
	}
	dt_expect_counts(test);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 18);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_DONE), 6);
}

static void promote_any_mix_to_4(struct kunit *test)
{
	promote_any_mix(test, 4);
}

static void promote_any_mix_to_9(struct kunit *test)
{
	promote_any_mix(test, 9);
}

/* The blocks of a range may be the first of the device. */
static void promote_first_blocks(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);

	dt_fill_page(test, BASE, 0, 'm');
	dt_fill_page(test, BASE + 3, 3, 'M');
	dt_take_snapshot(test, &before, BASE, order);
	dt_undo(test, BASE, dt_promote(test, BASE, order, true), true);
	dt_expect_snapshot(test, &before);

	dt_fill_page(test, BASE + 5, 6, 'm');
	KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order), -ERANGE);
}

/*
 * Zero and empty entries have no blocks that must fit, even if they come first.
 */
static void promote_mapped_after_zero(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "zem");
	promotion = dt_promote(test, BASE, order, true);
	KUNIT_EXPECT_EQ(test, promotion->pfn, BLOCKS);
	dt_undo(test, BASE, promotion, true);
	dt_expect_counts(test);
}

/* A promotion may end as a zero entry. */
static void promote_to_zero(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_test *dt = test->priv;
	void *zero = dax_make_zero(order);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "z.");
	dt_take_snapshot(test, &before, BASE, order);
	dt->nr_grabs = 0;
	promotion = dt_promote(test, BASE, order, false);
	KUNIT_EXPECT_EQ(test, dt->nr_grabs, 1);
	KUNIT_EXPECT_EQ(test, dt->grabs[0], DAX_GRAB_PROMOTE);
	KUNIT_EXPECT_PTR_EQ(test, dt->found[0], dax_make_zero(0));
	dt_finish(test, BASE, promotion, zero);
	expect_large(test, zero);
}

/* Without small entries nothing is promoted, and no promotion is returned. */
static void no_small_entries(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = dt_use_promotable(test);
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	XA_STATE(small, &dt->mapping->i_pages, BASE + 1);
	struct dax_promotion *promotion = (void *)dt;
	void *mapped = dt_make_entry(DAX_MAPPED, order);
	void *entry;

	fill_neighbours(test, BASE, order);
	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, true, &entry, &promotion));
	KUNIT_EXPECT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
	dt_replace(test, BASE, entry, mapped);
	dax_unlock_entry(&xas, mapped);

	promotion = (void *)dt;
	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&xas, order, true, &entry, &promotion));
	KUNIT_EXPECT_NULL(test, promotion);
	KUNIT_EXPECT_PTR_EQ(test, entry, mapped);
	dax_unlock_entry(&xas, mapped);

	promotion = (void *)dt;
	KUNIT_ASSERT_EQ(test, 0,
			dt_grab_entry(&small, 0, true, &entry, &promotion));
	KUNIT_EXPECT_NULL(test, promotion);
	dax_unlock_entry(&small, mapped);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 0);
}

/* If promotion is not allowed, the request is refused at once. */
static void promotion_not_allowed(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	unsigned int order = dt_use_promotable(test);
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	void *entry;

	dt_fill(test, BASE, order, "mMz.");
	dt_take_snapshot(test, &before, BASE, order);
	KUNIT_EXPECT_EQ(test, -EBUSY,
			dt_grab_entry(&xas, order, true, &entry, NULL));
	dt_expect_snapshot(test, &before);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 0);
}

/* The highest order of a promotion is lower than that of an entry. */
static void promotion_too_large(struct kunit *test)
{
	unsigned int order = DAX_PROMOTE_MAX_ORDER + 1;

	dt_need_order(test, order);
	dt_fill(test, BASE, 4, "mMz.");
	dt_take_snapshot(test, &before, BASE, 4);
	for (; order <= 18; order++)
		KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order), -EBUSY);
	dt_expect_snapshot(test, &before);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 0);
}

/* All lower orders can be promoted, not only those of page tables. */
static void promote_each_order(struct kunit *test)
{
	dt_need_order(test, DAX_PROMOTE_MAX_ORDER);
	for (unsigned int order = 1; order <= DAX_PROMOTE_MAX_ORDER; order++) {
		void *mapped = dax_make_mapped(BLOCKS, order);

		dt_fill(test, BASE, order, "Mz");
		fill_neighbours(test, BASE, order);
		dt_take_snapshot(test, &before, BASE, order);
		dt_undo(test, BASE, dt_promote(test, BASE + 1, order, true), true);
		dt_expect_snapshot(test, &before);
		dt_finish(test, BASE, dt_promote(test, BASE, order, true), mapped);
		expect_large(test, mapped);
		dt_delete_all(test);
	}
	dt_expect_counts(test);
}

/*
 * An entry in the range that is larger than order 0 and smaller than the
 * request.
 */
static void intermediate_order_refuses(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t middle = BASE + (1UL << order) / 2;

	/*
	 * Alone, behind a small entry, and behind more entries than are peeked
	 * at.
	 */
	dt_put(test, middle, DAX_ZERO, order - 2);
	for (unsigned int nr = 0; nr < middle - BASE; nr++) {
		int ret;

		dt_take_snapshot(test, &before, BASE, order);
		ret = dt_promote_errno(test, BASE, order);
		KUNIT_EXPECT_TRUE(test, ret == -EBUSY || ret == -ERANGE);
		dt_expect_snapshot(test, &before);
		dt_fill_page(test, BASE + nr, BLOCKS + nr, 'M');
	}
	dt_expect_counts(test);
}

/* --- ranges that cannot be promoted -------------------------------------- */

/* One entry at any offset has the wrong block. */
static void fragmented(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;
	unsigned int odds[] = { 0, 1, 7, 8, 9, nr / 2, nr - 1 };

	for (int i = 0; i < 2 * ARRAY_SIZE(odds); i++) {
		unsigned int odd = odds[i / 2];
		pgoff_t index = BASE + odd;

		dt_fill(test, BASE, order, "mM");
		dt_delete(test, index, dax_make_mapped(BLOCKS + odd, 0));
		dt_fill_page(test, index, BLOCKS + odd, i & 1 ? 'x' : 'w');
		fill_neighbours(test, BASE, order);
		dt_take_snapshot(test, &before, BASE, order);
		KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order),
				-ERANGE);
		dt_expect_snapshot(test, &before);
		dt_delete_all(test);
	}
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_FRAGMENTED),
			2 * ARRAY_SIZE(odds));
	dt_expect_counts(test);
}

/* All entries are one run of blocks, or there is only one, but not aligned. */
static void not_aligned(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;
	unsigned int offsets[] = { 1, nr / 2, nr - 1 };

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		unsigned long pfn = BLOCKS + offsets[i];

		for (unsigned int page = 0; page < nr; page++)
			dt_fill_page(test, BASE + page, pfn + page, 'M');
		dt_take_snapshot(test, &before, BASE, order);
		KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order),
				-ERANGE);
		dt_expect_snapshot(test, &before);
		dt_delete_all(test);

		dt_fill_page(test, BASE + nr - 2, pfn + nr - 2, 'M');
		dt_fill_page(test, BASE + nr - 1, 0, 'z');
		dt_take_snapshot(test, &before, BASE, order);
		KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order),
				-ERANGE);
		dt_expect_snapshot(test, &before);
		dt_delete_all(test);
	}
	dt_expect_counts(test);
}

/* Two runs of blocks, each of which is aligned. */
static void two_runs(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;

	for (unsigned int page = 0; page < nr; page++)
		dt_fill_page(test, BASE + page,
			     BLOCKS + page + (page < nr / 2 ? 0 : nr), 'm');
	dt_take_snapshot(test, &before, BASE, order);
	KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order), -ERANGE);
	dt_expect_snapshot(test, &before);
	dt_expect_counts(test);
}

/* A pfn that is smaller than its offset in the range. */
static void block_before_range_start(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);

	dt_fill_page(test, BASE + 5, 3, 'm');
	KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order), -ERANGE);
	dt_fill_page(test, BASE + 7, 5, 'm');
	KUNIT_EXPECT_EQ(test, dt_promote_errno(test, BASE, order), -ERANGE);
}

/*
 * A fragmented range with a locked entry before or behind the wrong block.  The
 * promotion may wait for it or not, but it is refused, and the waiters of the
 * entry get it in their order.
 */
static void fragmented_and_locked(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int locked[] = { 2, 11 };

	for (int i = 0; i < ARRAY_SIZE(locked); i++) {
		pgoff_t index = BASE + locked[i];
		struct dt_task *first, *second, *huge;
		void *entry;

		dt_fill(test, BASE, order, "MzmMz.");
		dt_delete(test, BASE + 8, dax_make_mapped(BLOCKS + 8, 0));
		dt_fill_page(test, BASE + 8, BLOCKS + 8, 'x');
		entry = lock(test, index);
		dt_take_snapshot(test, &before, BASE, order);
		first = dt_start(test, dt_job_hold, index, 0, true);
		second = dt_start(test, dt_job_hold, index, 0, true);
		huge = dt_start(test, dt_job_promote, BASE, order, true);
		KUNIT_EXPECT_EQ(test, READ_ONCE(first->sleeps), 1);
		KUNIT_EXPECT_EQ(test, READ_ONCE(second->sleeps), 1);
		dt_expect_snapshot(test, &before);

		dt_unlock(test, index, entry);
		dt_wait_idle(test);
		dt_continue(test, first);
		KUNIT_ASSERT_EQ(test, dt_state(second), DT_HOLDS);
		dt_continue(test, second);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_DONE);
		KUNIT_EXPECT_EQ(test, huge->ret, -ERANGE);
		KUNIT_EXPECT_EQ(test, first->sleeps, 1);
		KUNIT_EXPECT_EQ(test, second->sleeps, 1);
		dt_delete_all(test);
	}
	dt_expect_counts(test);
}

/* A peek returns the same as a grab, and accounts what it refuses. */
static void peek_at_promotion(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct address_space *mapping = dt->mapping;
	unsigned int order = dt_use_promotable(test);
	pgoff_t index = BASE + (1UL << order) / 2;

	KUNIT_EXPECT_EQ(test, 0,
			dax_peek_entry(mapping, index, order, true, true));
	dt_fill(test, BASE, order, "zMe.");
	dt_take_snapshot(test, &before, BASE, order);
	KUNIT_EXPECT_EQ(test, 0,
			dax_peek_entry(mapping, index, order, true, true));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			dax_peek_entry(mapping, index, order, true, false));
	if (dt_has_order(18))
		KUNIT_EXPECT_EQ(test, -EBUSY,
				dax_peek_entry(mapping, index, 18, true, true));
	KUNIT_EXPECT_EQ(test, 0,
			dax_peek_entry(mapping, BASE + 1, 0, true, true));
	dt_expect_snapshot(test, &before);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 0);

	dt_fill_page(test, BASE + 3, BLOCKS + 3, 'x');
	dt_take_snapshot(test, &before, BASE, order);
	KUNIT_EXPECT_EQ(test, -ERANGE,
			dax_peek_entry(mapping, index, order, true, true));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			dax_peek_entry(mapping, index, order, true, false));
	dt_expect_snapshot(test, &before);
	/* The fault ends there. */
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_FRAGMENTED), 1);
	dt_expect_counts(test);
}

/* Count the pages with blocks, whatever the orders of their entries. */
static void count_pages_with_blocks(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	struct address_space *mapping = dt->mapping;
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;
	struct dax_promotion *promotion;

	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE, order), 0);
	dt_fill(test, BASE, order, "mz.eMz.e");
	fill_neighbours(test, BASE, order);
	lock(test, BASE);
	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE + nr / 2, order),
			nr / 4);
	dt_unlock(test, BASE, dax_make_mapped(BLOCKS, 0));
	promotion = dt_promote(test, BASE, order, false);
	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE, order), 0);
	dt_finish(test, BASE, promotion, dax_make_mapped(BLOCKS, order));
	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE + 1, order), nr);
	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE + 8, 3), 8);
	KUNIT_EXPECT_EQ(test, dax_count_mapped_pages(mapping, BASE + 3, 0), 1);
}

/* --- marks --------------------------------------------------------------- */

/* The large entry has the marks of all small ones when it is stored. */
static void marks_transferred(struct kunit *test)
{
	static const char *const cycles[] = { "mz.", "mMz", "mTe" };
	struct dax_test *dt = test->priv;
	unsigned int order = dt_use_promotable(test);
	void *large = dax_make_locked(dax_make_empty(order));

	for (int i = 0; i < ARRAY_SIZE(cycles); i++) {
		struct dax_promotion *promotion;

		dt_fill(test, BASE, order, cycles[i]);
		promotion = dt_promote(test, BASE, order, true);
		KUNIT_EXPECT_PTR_EQ(test, dt->put_there, large);
		KUNIT_EXPECT_EQ(test, dt->put_dirty, i >= 1);
		KUNIT_EXPECT_EQ(test, dt->put_towrite, i == 2);
		dt_undo(test, BASE, promotion, true);
		dt_delete_all(test);
	}
}

/* TOWRITE is kept even if the entry is not dirty. */
static void towrite_without_dirty(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dax_promotion *promotion;

	dt_fill(test, BASE, order, "m");
	dt_set_mark(test, BASE + 9, PAGECACHE_TAG_TOWRITE);
	promotion = dt_promote(test, BASE, order, true);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE, PAGECACHE_TAG_TOWRITE));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	dt_undo(test, BASE, promotion, true);
}

/*
 * An fsync marks the large entry.  After a rollback, each dirty entry has
 * TOWRITE.
 */
static void fsync_during_promotion(struct kunit *test)
{
	static const char *const cycles[] = { "mMz.", "MTme", "Mzemze" };
	unsigned int order = dt_use_promotable(test);

	for (int i = 0; i < ARRAY_SIZE(cycles); i++) {
		for (int with_zero = 0; with_zero < 2; with_zero++) {
			struct dax_promotion *promotion;

			dt_fill(test, BASE, order, cycles[i]);
			fill_neighbours(test, BASE, order);
			dt_take_snapshot(test, &before, BASE, order);
			promotion = dt_promote(test, BASE, order, true);
			dt_set_mark(test, BASE + 7, PAGECACHE_TAG_TOWRITE);
			dt_undo(test, BASE, promotion, with_zero);
			expect_undone(test, true, with_zero);
			dt_delete_all(test);
		}
	}
}

/* --- waiters of small entries -------------------------------------------- */

/*
 * All waiters of a small entry that is replaced are woken, at any offset, and
 * then wait for the large one: three faults for one page, one for the last
 * page, and a walk.
 */
static void sleep_on_small(struct kunit *test, unsigned int order,
			   struct dt_task *tasks[5])
{
	pgoff_t last = BASE + (1UL << order) - 1;
	pgoff_t index = BASE + 5;
	void *first, *second;

	dt_fill(test, BASE, order, "zm");
	first = lock(test, index);
	second = lock(test, last);
	tasks[0] = dt_start(test, dt_job_hold, index, 0, true);
	tasks[1] = dt_start(test, dt_job_hold, index, 0, false);
	tasks[2] = dt_start(test, dt_job_hold, index, 0, true);
	tasks[3] = dt_start(test, dt_job_hold, last, 0, true);
	dt_set_mark(test, last, PAGECACHE_TAG_DIRTY);
	tasks[4] = dt_start(test, dt_job_walk_dirty, last, 0, false);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SSSSS");
	unlock_quietly(test, index, first);
	unlock_quietly(test, last, second);
}

static void expect_asleep_on_large(struct kunit *test, unsigned int order,
				   struct dt_task *tasks[5])
{
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SSSSS");
	for (int i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->sleeps), 2);
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->slept_at), BASE);
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->slept_order), order);
	}
}

static void replacement_wakes_all(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	void *mapped = dax_make_mapped(BLOCKS, order);
	const pgoff_t starts[] = { BASE };
	struct dax_promotion *promotion;
	struct dt_task *tasks[5];

	sleep_on_small(test, order, tasks);
	promotion = dt_promote(test, BASE, order, true);
	dt_wait_idle(test);
	expect_asleep_on_large(test, order, tasks);

	/* They lock the large entry one after the other. */
	dt_finish(test, BASE, promotion, mapped);
	dt_wait_idle(test);
	for (int i = 0; i < 4; i++) {
		struct dt_task *task = dt_holder(test);

		KUNIT_ASSERT_NOT_NULL(test, task);
		KUNIT_EXPECT_PTR_EQ(test, task->entry, mapped);
		dt_continue(test, task);
	}
	KUNIT_ASSERT_STREQ(test, dt_states(test), "DDDDD");
	dt_expect_seen(test, tasks[4], starts, ARRAY_SIZE(starts));
	dt_expect_range(test, BASE, order, mapped);
}

/* They lock the small entries: one of three at one page, and the other. */
static void undo_wakes_all(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	const pgoff_t starts[] = { last };
	struct dax_promotion *promotion;
	struct dt_task *tasks[5];

	sleep_on_small(test, order, tasks);
	dt_take_snapshot(test, &before, BASE, order);
	promotion = dt_promote(test, BASE, order, true);
	dt_wait_idle(test);
	expect_asleep_on_large(test, order, tasks);

	dt_undo(test, BASE, promotion, true);
	dt_wait_idle(test);
	KUNIT_ASSERT_EQ(test, dt_nr_tasks(test, DT_HOLDS), 2);
	KUNIT_EXPECT_EQ(test, dt_state(tasks[3]), DT_HOLDS);
	dt_continue(test, tasks[3]);
	for (int i = 0; i < 3; i++)
		dt_continue(test, dt_holder(test));
	KUNIT_ASSERT_STREQ(test, dt_states(test), "DDDDD");
	for (int i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, dax_entry_order(tasks[i]->entry), 0);
	dt_expect_seen(test, tasks[4], starts, ARRAY_SIZE(starts));
	dt_expect_snapshot(test, &before);
}

/*
 * Three tasks need three pages of the large entry that had no entries before.
 */
static void undo_wakes_all_inside(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	struct dax_promotion *promotion;

	for (int with_zero = 0; with_zero < 2; with_zero++) {
		struct dax_test *dt = test->priv;
		unsigned int first = dt->nr_tasks;

		dt_fill_page(test, BASE + 1, 0, 'z');
		promotion = dt_promote(test, BASE, order, true);
		dt_start(test, dt_job_hold, BASE + 1, 0, true);
		dt_start(test, dt_job_hold, BASE + 2, 0, true);
		dt_start(test, dt_job_hold, last, 0, true);
		KUNIT_EXPECT_EQ(test, dt_nr_tasks(test, DT_SLEEPS), 3);
		dt_undo(test, BASE, promotion, with_zero);
		dt_wait_idle(test);
		KUNIT_EXPECT_EQ(test, dt_nr_tasks(test, DT_HOLDS), 3);
		for (int i = 0; i < 3; i++)
			dt_continue(test, &dt->tasks[first + i]);
		KUNIT_EXPECT_EQ(test, dt_nr_tasks(test, DT_DONE), first + 3);
		KUNIT_EXPECT_EQ(test, dt_nrpages(test), 3);
		dt_delete_all(test);
	}
}

/* Waiters of entries beside the range are not woken. */
static void neighbours_not_woken(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t next = BASE + (1UL << order);
	struct dt_task *tasks[2];
	void *before_it, *behind_it;

	dt_fill(test, BASE, order, "mz");
	before_it = dt_put_locked(test, BASE - 1, DAX_ZERO, 0);
	behind_it = dt_put_locked(test, next, DAX_ZERO, 0);
	tasks[0] = dt_start(test, dt_job_hold, BASE - 1, 0, true);
	tasks[1] = dt_start(test, dt_job_hold, next, 0, true);
	dt_undo(test, BASE, dt_promote(test, BASE, order, true), true);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "SS");
	for (int i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, READ_ONCE(tasks[i]->sleeps), 1);
	dt_unlock(test, BASE - 1, before_it);
	dt_unlock(test, next, behind_it);
	dt_wait_idle(test);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HH");
}

/* --- requests during a promotion ----------------------------------------- */

/* A request for a page of the range waits for the promotion. */
static void small_request_waits(struct kunit *test, enum dax_kind kind,
				bool write)
{
	unsigned int order = dt_use_promotable(test);
	void *large = dax_make_entry(kind, kind == DAX_MAPPED ? BLOCKS : 0,
				     order);
	struct dax_promotion *promotion;
	struct dt_task *small;

	dt_fill(test, BASE, order, kind == DAX_MAPPED ? "Mz" : "z.");
	promotion = dt_promote(test, BASE, order, true);
	small = dt_start(test, dt_job_hold, BASE + 7, 0, write);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	KUNIT_EXPECT_EQ(test, READ_ONCE(small->slept_at), BASE);
	dt_finish(test, BASE, promotion, large);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	if (kind == DAX_ZERO && write) {
		KUNIT_EXPECT_PTR_EQ(test, small->entry, dax_make_empty(0));
		KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1);
		return;
	}
	KUNIT_EXPECT_PTR_EQ(test, small->entry, large);
	dt_expect_range(test, BASE, order, dax_make_locked(large));
}

static void small_write_finds_mapped(struct kunit *test)
{
	small_request_waits(test, DAX_MAPPED, true);
}

static void small_read_finds_zero(struct kunit *test)
{
	small_request_waits(test, DAX_ZERO, false);
}

static void small_write_demotes_zero(struct kunit *test)
{
	small_request_waits(test, DAX_ZERO, true);
}

/* Two tasks promote one range.  One does, and the other gets its entry. */
static void two_promote(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *first, *second;

	dt_fill(test, BASE, order, "Mz.");
	first = dt_start(test, dt_job_promote, BASE, order, true);
	second = dt_start(test, dt_job_promote, BASE + 5, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "HS");
	KUNIT_EXPECT_TRUE(test, first->promoted);
	dt_continue(test, first);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "DH");
	KUNIT_EXPECT_FALSE(test, second->promoted);
	KUNIT_EXPECT_PTR_EQ(test, second->entry,
			    dax_make_mapped(BLOCKS, order));
	dt_continue(test, second);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_TRY), 1);
	dt_expect_counts(test);
}

/* The first rolls back, and the second promotes again. */
static void two_promote_one_undoes(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *first, *second;

	dt_fill(test, BASE, order, "Mz.");
	dt_take_snapshot(test, &before, BASE, order);
	first = dt_start(test, dt_job_promote, BASE, order, true);
	second = dt_start(test, dt_job_promote, BASE + 5, order, false);
	dt_start(test, dt_job_hold, BASE + 3, order, false);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "HSS");
	continue_undo(test, first);
	/*
	 * The third may not promote, but can use what the second has promoted.
	 */
	KUNIT_ASSERT_EQ(test, dt_state(second), DT_HOLDS);
	KUNIT_EXPECT_TRUE(test, second->promoted);
	continue_undo(test, second);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "DDD");
	dt_expect_snapshot(test, &before);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_ROLLBACK), 2);
	dt_expect_counts(test);
}

/* Both wait for a small entry first, and are woken at the same time. */
static void two_wait_to_promote(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *one;
	void *entry;

	dt_fill(test, BASE, order, "Mz.");
	entry = lock(test, BASE + 4);
	dt_start(test, dt_job_promote, BASE, order, true);
	dt_start(test, dt_job_promote, BASE + 5, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SS");
	dt_unlock(test, BASE + 4, entry);
	dt_wait_idle(test);
	one = dt_holder(test);
	KUNIT_ASSERT_NOT_NULL(test, one);
	KUNIT_EXPECT_TRUE(test, one->promoted);
	dt_continue(test, one);
	one = dt_holder(test);
	KUNIT_ASSERT_NOT_NULL(test, one);
	KUNIT_EXPECT_FALSE(test, one->promoted);
	dt_continue(test, one);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DD");
	dt_expect_counts(test);
}

/* --- walks during a promotion -------------------------------------------- */

/*
 * A walk over marked entries that reaches the range during a promotion,
 * wherever in the range it starts, finds the large entry, waits, and finds it
 * again.
 */
static void walks_wait(struct kunit *test, bool towrite, bool undone)
{
	unsigned int order = dt_use_promotable(test);
	pgoff_t last = BASE + (1UL << order) - 1;
	const pgoff_t froms[] = { 0, BASE, BASE + 3, BASE + 8, last };
	struct dt_task *walkers[ARRAY_SIZE(froms)];
	struct dax_promotion *promotion;

	dt_fill_page(test, BASE, BLOCKS, 'M');
	dt_fill_page(test, BASE + 8, BLOCKS + 8, 'm');
	dt_fill_page(test, last, BLOCKS + (last - BASE), towrite ? 'T' : 'M');
	dt_put_dirty(test, BEYOND, 0);
	dt_set_mark(test, BEYOND, PAGECACHE_TAG_TOWRITE);
	promotion = dt_promote(test, BASE + 8, order, true);
	for (int i = 0; i < ARRAY_SIZE(froms); i++) {
		walkers[i] = dt_start(test, towrite ? dt_job_walk_towrite :
						      dt_job_walk_dirty,
				      froms[i], 0, false);
		KUNIT_ASSERT_EQ(test, dt_state(walkers[i]), DT_SLEEPS);
		KUNIT_EXPECT_EQ(test, READ_ONCE(walkers[i]->slept_at), BASE);
	}
	if (undone)
		dt_undo(test, BASE, promotion, true);
	else
		dt_finish(test, BASE, promotion, dax_make_mapped(BLOCKS, order));
	dt_wait_idle(test);
	for (int i = 0; i < ARRAY_SIZE(froms); i++) {
		const pgoff_t large[] = { BASE, BEYOND };
		const pgoff_t small[] = { BASE, last, BEYOND };
		unsigned int skip = undone && walkers[i]->nr_seen == 2;

		/*
		 * Each dirty entry gets TOWRITE, so both walks see the same.  A
		 * walk that started in the middle may have gone back to the
		 * start of the large entry, or not.
		 */
		if (skip)
			KUNIT_EXPECT_GT(test, froms[i], BASE);
		dt_expect_seen(test, walkers[i], undone ? small + skip : large,
			       undone ? 3 - skip : 2);
		KUNIT_EXPECT_EQ(test, walkers[i]->sleeps, 1);
	}
}

/*
 * fsync of one page waits for a promotion, and looks again: it finds the large
 * entry, or none that extends beyond the page.
 */
static void part_waits(struct kunit *test, bool undone)
{
	unsigned int order = dt_use_promotable(test);
	void *large = dax_make_mapped(BLOCKS, order);
	struct dax_promotion *promotion;
	struct dt_task *task;

	dt_fill_page(test, BASE, BLOCKS, 'm');
	dt_fill_page(test, BASE + 3, BLOCKS + 3, 'M');
	promotion = dt_promote(test, BASE, order, true);
	task = dt_start(test, dt_job_find_exceeding, BASE + 3, 0, false);
	KUNIT_ASSERT_EQ(test, dt_state(task), DT_SLEEPS);
	if (undone)
		dt_undo(test, BASE, promotion, true);
	else
		dt_finish(test, BASE, promotion, large);
	dt_wait_idle(test);
	KUNIT_ASSERT_EQ(test, dt_state(task), DT_DONE);
	KUNIT_EXPECT_PTR_EQ(test, task->entry, undone ? NULL : large);
	KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE + 3, PAGECACHE_TAG_DIRTY));
}

static void part_finds_large(struct kunit *test)
{
	part_waits(test, false);
}

static void part_finds_small(struct kunit *test)
{
	part_waits(test, true);
}

static void dirty_walk_finds_large(struct kunit *test)
{
	walks_wait(test, false, false);
}

static void dirty_walk_finds_small(struct kunit *test)
{
	walks_wait(test, false, true);
}

static void fsync_finds_large(struct kunit *test)
{
	walks_wait(test, true, false);
}

static void fsync_finds_small(struct kunit *test)
{
	walks_wait(test, true, true);
}

/*
 * A walk sleeps on a small entry, which is unlocked and promoted before the
 * walk runs.  It finds the large entry, and waits again.
 */
static void walk_slept_on_small(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;
	unsigned int offsets[] = { 0, 1, nr / 2, nr - 1 };
	struct dax_test *dt = test->priv;

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		const pgoff_t starts[] = { BASE };
		pgoff_t index = BASE + offsets[i];
		struct dax_promotion *promotion;
		struct dt_task *walker;
		void *entry;

		dt_fill(test, BASE, order, "z.");
		dt_fill_page(test, index, 0, offsets[i] & 1 ? 'z' : '.');
		dt_set_mark(test, index, PAGECACHE_TAG_TOWRITE);
		entry = lock(test, index);
		walker = dt_start(test, dt_job_walk_towrite, 0, 0, false);
		KUNIT_ASSERT_EQ(test, dt_state(walker), DT_SLEEPS);
		unlock_quietly(test, index, entry);
		promotion = dt_promote(test, BASE, order, false);
		dt_wait_idle(test);
		KUNIT_ASSERT_EQ(test, dt_state(walker), DT_SLEEPS);
		KUNIT_EXPECT_EQ(test, READ_ONCE(walker->sleeps), 2);
		KUNIT_EXPECT_EQ(test, READ_ONCE(walker->slept_at), BASE);
		dt_finish(test, BASE, promotion, dax_make_zero(order));
		dt_wait_idle(test);
		dt_expect_seen(test, walker, starts, ARRAY_SIZE(starts));
		dt_delete_all(test);
	}
	KUNIT_EXPECT_EQ(test, dt_nr_tasks(test, DT_DONE), dt->nr_tasks);
}

/* --- locked small entries ------------------------------------------------ */

/*
 * Promotion waits for a locked entry at any offset, and then checks all again.
 */
static void locked_is_waited_for(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned int nr = 1U << order;
	unsigned int offsets[] = { 0, 9, nr - 1 };

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		pgoff_t index = BASE + offsets[i];
		struct dt_task *huge;
		void *entry;

		dt_fill(test, BASE, order, "Mmze");
		entry = lock(test, index);
		huge = dt_start(test, dt_job_promote, BASE + 3, order, true);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_SLEEPS);
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->slept_at), index);
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->slept_order), 0);

		/* Three are deleted, one is stored, one becomes dirty. */
		dt_delete(test, BASE + 2, dax_make_zero(0));
		dt_delete(test, BASE + 3, dax_make_empty(0));
		dt_delete(test, BASE + 4, dax_make_mapped(BLOCKS + 4, 0));
		dt_fill_page(test, BASE + 4, 0, 'z');
		dt_set_mark(test, BASE + 5, PAGECACHE_TAG_DIRTY);
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->sleeps), 1);

		unlock_quietly(test, index, entry);
		dt_take_snapshot(test, &before, BASE, order);
		wake_without_unlock(test, index, entry);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_HOLDS);
		KUNIT_EXPECT_TRUE(test, huge->promoted);
		expect_large(test, dax_make_locked(dax_make_empty(order)));
		continue_undo(test, huge);
		dt_expect_snapshot(test, &before);
		dt_delete_all(test);
	}
	dt_expect_counts(test);
}

/* The range fits before the wait, but not after it. */
static void fragments_while_waiting(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;
	void *entry;

	dt_fill(test, BASE, order, "m.");
	entry = lock(test, BASE + 4);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	dt_fill_page(test, BASE + 1, BLOCKS + 1, 'x');
	dt_unlock(test, BASE + 4, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_EQ(test, huge->ret, -ERANGE);
	dt_expect_counts(test);
}

/* All blocks have changed after the wait, but they fit as well. */
static void blocks_change_while_waiting(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	unsigned long others = BLOCKS + 3 * BIT(9);
	struct dt_task *huge;
	void *entry;

	dt_fill_page(test, BASE + 1, BLOCKS + 1, 'm');
	dt_fill_page(test, BASE + 4, 0, 'z');
	entry = lock(test, BASE + 4);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	dt_delete(test, BASE + 1, dax_make_mapped(BLOCKS + 1, 0));
	dt_fill_page(test, BASE + 1, others + 1, 'm');
	dt_fill_page(test, BASE + 2, others + 2, 'M');
	unlock_quietly(test, BASE + 4, entry);
	dt_take_snapshot(test, &before, BASE, order);
	wake_without_unlock(test, BASE + 4, entry);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	KUNIT_EXPECT_TRUE(test, huge->promoted);
	continue_undo(test, huge);
	dt_expect_snapshot(test, &before);
	dt_expect_counts(test);
}

/*
 * The wait is not exclusive.  When the first entry is unlocked, the promotion
 * waits for the second, and a fault that came later gets the first.
 */
static void promotion_not_exclusive(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge, *small;
	void *first, *second;

	dt_fill(test, BASE, order, "m");
	first = lock(test, BASE + 1);
	second = lock(test, BASE + 2);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	small = dt_start(test, dt_job_hold, BASE + 1, 0, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SS");
	dt_unlock(test, BASE + 1, first);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SH");
	dt_unlock(test, BASE + 2, second);
	dt_continue(test, small);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "HD");
	dt_continue(test, huge);
	dt_expect_counts(test);
}

/* A fault that came first does not consume the wakeup of the promotion. */
static void promotion_is_always_woken(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge, *small;
	void *entry;

	dt_fill(test, BASE, order, "m");
	entry = lock(test, BASE + 1);
	small = dt_start(test, dt_job_hold, BASE + 1, 0, true);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "SS");
	dt_unlock(test, BASE + 1, entry);
	dt_wait_idle(test);
	/* Whichever ran first, the other sleeps again. */
	KUNIT_ASSERT_EQ(test, dt_nr_tasks(test, DT_HOLDS), 1);
	KUNIT_EXPECT_EQ(test, READ_ONCE(small->sleeps) +
			      READ_ONCE(huge->sleeps), 3);
	dt_continue(test, dt_holder(test));
	dt_continue(test, dt_holder(test));
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DD");
}

/* The number of waits is bounded, even if it is another entry each time. */
static void waits_have_a_bound(struct kunit *test, unsigned int nr_locked)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;
	void *entries[2];

	dt_fill(test, BASE, order, "Mmz.");
	for (unsigned int i = 0; i < nr_locked; i++)
		entries[i] = lock(test, BASE + i);
	dt_take_snapshot(test, &before, BASE, order);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	for (unsigned int i = 0; i < MAX_WAITS; i++) {
		unsigned int now = i % nr_locked;
		unsigned int then = (i + 1) % nr_locked;

		KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->sleeps), i + 1);
		if (now == then) {
			wake_without_unlock(test, BASE, entries[0]);
			continue;
		}
		/* Of the two, lock the one that it does not wait for. */
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->slept_at), BASE + now);
		unlock_quietly(test, BASE + now, entries[now]);
		wake_without_unlock(test, BASE + now, entries[now]);
		entries[now] = lock(test, BASE + now);
	}
	KUNIT_ASSERT_STREQ(test, dt_states(test), "D");
	KUNIT_EXPECT_EQ(test, huge->ret, -EAGAIN);
	KUNIT_EXPECT_EQ(test, huge->sleeps, MAX_WAITS);
	dt_expect_snapshot(test, &before);
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_LOCKED), 1);
	dt_expect_counts(test);
}

static void one_stays_locked(struct kunit *test)
{
	waits_have_a_bound(test, 1);
}

static void lock_alternates(struct kunit *test)
{
	waits_have_a_bound(test, 2);
}

/* The last wait can succeed. */
static void unlocked_at_last_wait(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;
	void *entry;

	dt_fill(test, BASE, order, "Mmz.");
	entry = lock(test, BASE);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	for (unsigned int i = 1; i < MAX_WAITS; i++)
		wake_without_unlock(test, BASE, entry);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	dt_unlock(test, BASE, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	KUNIT_EXPECT_TRUE(test, huge->promoted);
	KUNIT_EXPECT_EQ(test, huge->sleeps, MAX_WAITS);
}

/* All entries are deleted during the wait.  An empty entry is inserted. */
static void deleted_while_waiting(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;
	void *entry;

	dt_fill_page(test, BASE + 3, BLOCKS + 3, 'M');
	entry = lock(test, BASE + 3);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	dt_delete(test, BASE + 3, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	KUNIT_EXPECT_FALSE(test, huge->promoted);
	KUNIT_EXPECT_PTR_EQ(test, huge->entry, dax_make_empty(order));
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), 1UL << order);
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_GONE), 1);
	dt_expect_counts(test);
	dt_continue(test, huge);
	dt_expect_range(test, BASE, order, dax_make_empty(order));
}

/*
 * A large entry is stored during the wait.  It is locked, so the grab waits for
 * it.  It is of the requested order, or larger.
 */
static void replaced_while_waiting(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);

	for (unsigned int more = 0; more <= 9; more += 9) {
		unsigned int larger = order + more;
		void *large = dt_make_entry(DAX_MAPPED, larger);
		struct dax_test *dt = test->priv;
		XA_STATE(small, &dt->mapping->i_pages, BASE + 3);
		XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, larger);
		struct dt_task *huge;
		void *entry;

		dt_fill_page(test, BASE + 3, BLOCKS + 3, 'M');
		entry = lock(test, BASE + 3);
		huge = dt_start(test, dt_job_promote, BASE, order, true);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_SLEEPS);

		xas_lock_irq(&xas);
		dax_delete_entry(&small, entry, DAX_DELETE_TRUNCATE);
		xas_store(&xas, dax_make_locked(large));
		dt->mapping->nrpages += dax_entry_nr_pages(large);
		xas_unlock_irq(&xas);
		KUNIT_ASSERT_EQ(test, xas_error(&xas), 0);
		dt_wait_idle(test);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_SLEEPS);
		KUNIT_EXPECT_EQ(test, READ_ONCE(huge->slept_order), larger);
		dt_unlock(test, BASE, large);
		dt_wait_idle(test);
		KUNIT_ASSERT_EQ(test, dt_state(huge), DT_HOLDS);
		KUNIT_EXPECT_FALSE(test, huge->promoted);
		KUNIT_EXPECT_PTR_EQ(test, huge->entry, large);
		dt_continue(test, huge);
		dt_expect_range(test, BASE, larger, large);
		dt_delete_all(test);
	}
	KUNIT_EXPECT_EQ(test, dt_nr_promoted(test, DAX_PROMOTE_GONE), 2);
	dt_expect_counts(test);
}

/* The locked entry is deleted, and the others are promoted. */
static void locked_one_deleted(struct kunit *test)
{
	unsigned int order = dt_use_promotable(test);
	struct dt_task *huge;
	void *entry;

	dt_fill(test, BASE, order, "Mz");
	entry = lock(test, BASE + 4);
	huge = dt_start(test, dt_job_promote, BASE, order, true);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "S");
	dt_delete(test, BASE + 4, entry);
	dt_wait_idle(test);
	KUNIT_ASSERT_STREQ(test, dt_states(test), "H");
	KUNIT_EXPECT_TRUE(test, huge->promoted);
	continue_undo(test, huge);
	KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, BASE + 4), NULL);
	KUNIT_EXPECT_EQ(test, dt_nrpages(test), (1UL << order) - 1);
	dt_expect_counts(test);
}

static struct kunit_case dax_promote_cases[] = {
	KUNIT_CASE_PARAM(promote_any_mix_to_4, mixes_gen_params),
	KUNIT_CASE_PARAM(promote_any_mix_to_9, mixes_gen_params),
	KUNIT_CASE_PARAM(promote_first_blocks, promotable_gen_params),
	KUNIT_CASE_PARAM(promote_mapped_after_zero, promotable_gen_params),
	KUNIT_CASE_PARAM(promote_to_zero, promotable_gen_params),
	KUNIT_CASE_PARAM(no_small_entries, promotable_gen_params),
	KUNIT_CASE_PARAM(promotion_not_allowed, promotable_gen_params),
	KUNIT_CASE(promotion_too_large),
	KUNIT_CASE(promote_each_order),
	KUNIT_CASE_PARAM(intermediate_order_refuses, promotable_gen_params),

	KUNIT_CASE_PARAM(fragmented, promotable_gen_params),
	KUNIT_CASE_PARAM(not_aligned, promotable_gen_params),
	KUNIT_CASE_PARAM(two_runs, promotable_gen_params),
	KUNIT_CASE_PARAM(block_before_range_start, promotable_gen_params),
	KUNIT_CASE_PARAM(fragmented_and_locked, promotable_gen_params),
	KUNIT_CASE_PARAM(peek_at_promotion, promotable_gen_params),
	KUNIT_CASE_PARAM(count_pages_with_blocks, promotable_gen_params),

	KUNIT_CASE_PARAM(marks_transferred, promotable_gen_params),
	KUNIT_CASE_PARAM(towrite_without_dirty, promotable_gen_params),
	KUNIT_CASE_PARAM(fsync_during_promotion, promotable_gen_params),

	KUNIT_CASE_PARAM(replacement_wakes_all, promotable_gen_params),
	KUNIT_CASE_PARAM(undo_wakes_all, promotable_gen_params),
	KUNIT_CASE_PARAM(undo_wakes_all_inside, promotable_gen_params),
	KUNIT_CASE_PARAM(neighbours_not_woken, promotable_gen_params),

	KUNIT_CASE_PARAM(small_write_finds_mapped, promotable_gen_params),
	KUNIT_CASE_PARAM(small_read_finds_zero, promotable_gen_params),
	KUNIT_CASE_PARAM(small_write_demotes_zero, promotable_gen_params),
	KUNIT_CASE_PARAM(two_promote, promotable_gen_params),
	KUNIT_CASE_PARAM(two_promote_one_undoes, promotable_gen_params),
	KUNIT_CASE_PARAM(two_wait_to_promote, promotable_gen_params),

	KUNIT_CASE_PARAM(dirty_walk_finds_large, promotable_gen_params),
	KUNIT_CASE_PARAM(part_finds_large, promotable_gen_params),
	KUNIT_CASE_PARAM(part_finds_small, promotable_gen_params),
	KUNIT_CASE_PARAM(dirty_walk_finds_small, promotable_gen_params),
	KUNIT_CASE_PARAM(fsync_finds_large, promotable_gen_params),
	KUNIT_CASE_PARAM(fsync_finds_small, promotable_gen_params),
	KUNIT_CASE_PARAM(walk_slept_on_small, promotable_gen_params),

	KUNIT_CASE_PARAM(locked_is_waited_for, promotable_gen_params),
	KUNIT_CASE_PARAM(fragments_while_waiting, promotable_gen_params),
	KUNIT_CASE_PARAM(blocks_change_while_waiting, promotable_gen_params),
	KUNIT_CASE_PARAM(promotion_not_exclusive, promotable_gen_params),
	KUNIT_CASE_PARAM(promotion_is_always_woken, promotable_gen_params),
	KUNIT_CASE_PARAM(one_stays_locked, promotable_gen_params),
	KUNIT_CASE_PARAM(lock_alternates, promotable_gen_params),
	KUNIT_CASE_PARAM(unlocked_at_last_wait, promotable_gen_params),
	KUNIT_CASE_PARAM(deleted_while_waiting, promotable_gen_params),
	KUNIT_CASE_PARAM(replaced_while_waiting, promotable_gen_params),
	KUNIT_CASE_PARAM(locked_one_deleted, promotable_gen_params),
	{}
};

static struct kunit_suite dax_promote_suite = {
	.name = "dax_promote",
	.init = dax_test_init,
	.exit = dax_test_exit,
	.test_cases = dax_promote_cases,
};

kunit_test_suites(&dax_promote_suite);
