// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the dirty pages of large entries: fs/dax-dirty.c, and what
 * fs/dax-grab.c does with an entry whose stores are tracked by page.
 *
 * tools/testing/dax/ also runs this file in user space.  The page flags need a
 * device: tools/testing/selftests/dax/by_page.c has them.
 */

#include <kunit/test.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/xarray.h>

#include "../dax-internal.h"
#include "dax_kunit_lib.h"

/* The smallest one that has dirt, one with some pages a part, and 2 MiB. */
static const struct order_param orders[] = {
	{ "order 3", 3 },
	{ "order 5", 5 },
	{ "order 9", 9 },
};

KUNIT_ARRAY_PARAM_DESC(orders, orders, desc);

/* More than any count that the word has. */
#define MANY		200

static unsigned int use_order(struct kunit *test)
{
	dt_need_order(test, param_order(test));
	if (!DAX_DIRT_BITS)
		kunit_skip(test, "a word of 32 bits has no room for dirt");
	return param_order(test);
}

/* A flush as by writeback. */
static void *flush(struct kunit *test)
{
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, BASE);
	void *entry;

	xas_lock_irq(&xas);
	entry = xas_load(&xas);
	dax_lock_entry(&xas, entry);
	entry = dax_record_flush(&xas, entry);
	xas_clear_mark(&xas, PAGECACHE_TAG_DIRTY);
	__dax_unlock_entry(&xas, entry);
	xas_unlock_irq(&xas);
	return entry;
}

/* A write fault as in the quick path. */
static bool store(struct kunit *test, pgoff_t index, unsigned int order,
		  struct dax_grab *grab)
{
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, index, order);
	bool served;

	*grab = (struct dax_grab) {
		.order = order,
		.write = true,
		.unshared = true,
	};
	served = dax_grab_mapped(&xas, grab);
	if (served)
		dax_unlock_entry(&xas, grab->entry);
	return served;
}

/* How many flushes the entry takes to be by page; at most MANY. */
static unsigned int flushes_to_by_page(struct kunit *test)
{
	unsigned int nr = 1;

	while (!dax_is_by_page(flush(test)) && nr < MANY)
		nr++;
	return nr;
}

/* How many stores it takes to be whole again, to one page; at most MANY. */
static unsigned int stores_to_whole(struct kunit *test)
{
	struct dax_grab grab;
	unsigned int nr = 0;

	do {
		KUNIT_ASSERT_TRUE(test, store(test, BASE, 0, &grab));
	} while (++nr < MANY && dax_is_by_page(grab.entry));
	KUNIT_EXPECT_TRUE(test, grab.crowded);
	return nr;
}

static void put_by_page(struct kunit *test, unsigned int order)
{
	dt_put_dirty(test, BASE, order);
	KUNIT_ASSERT_LT(test, flushes_to_by_page(test), MANY);
}

/* --- the word ------------------------------------------------------------ */

/* Whatever the dirt is, the other fields stay. */
static void dirt_stays_in_its_field(struct kunit *test)
{
	unsigned int order = use_order(test);
	unsigned long pfn = 5UL << order;
	void *plain = dax_make_mapped(pfn, order);

	KUNIT_EXPECT_EQ(test, dax_entry_dirt(plain), 0);
	for (unsigned int bit = 0; bit <= DAX_DIRT_BITS; bit++) {
		unsigned long dirt = bit < DAX_DIRT_BITS ? BIT(bit) :
				     BIT(DAX_DIRT_BITS) - 1;
		void *entry = dax_set_dirt(plain, dirt);

		KUNIT_EXPECT_EQ(test, dax_entry_dirt(entry), dirt);
		KUNIT_EXPECT_EQ(test, dax_entry_pfn(entry), pfn);
		KUNIT_EXPECT_EQ(test, dax_entry_order(entry), order);
		KUNIT_EXPECT_TRUE(test, dax_is_mapped(entry));
		KUNIT_EXPECT_FALSE(test, dax_is_locked(entry));
		KUNIT_EXPECT_EQ(test, dax_is_by_page(entry), (dirt & 1) == 1);
		KUNIT_EXPECT_TRUE(test, dax_entry_covers(entry, plain, BASE));
		KUNIT_EXPECT_TRUE(test, dax_entry_covers(plain, entry, BASE));
		KUNIT_EXPECT_PTR_EQ(test, dax_set_dirt(entry, 0), plain);
	}
}

/* No bit of a pfn is taken for dirt. */
static void small_entries_have_no_dirt(struct kunit *test)
{
	const unsigned long max = ~0UL >> (DAX_PFN_SHIFT + 1);

	for (unsigned int order = 0; order < 3; order++) {
		void *entry = dax_make_mapped(round_down(max, BIT(order)),
					      order);

		KUNIT_EXPECT_FALSE(test, dax_has_dirt(entry));
		KUNIT_EXPECT_FALSE(test, dax_is_by_page(entry));
	}
	KUNIT_EXPECT_FALSE(test, dax_has_dirt(dax_make_zero(9)));
	KUNIT_EXPECT_FALSE(test, dax_has_dirt(dax_make_empty(9)));
	KUNIT_EXPECT_FALSE(test, dax_is_by_page(NULL));
}

/* --- the policy ---------------------------------------------------------- */

static void second_flush_makes_by_page(struct kunit *test)
{
	dt_put_dirty(test, BASE, use_order(test));
	KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), 2);
	KUNIT_EXPECT_EQ(test, dax_dirty_parts(dt_peek(test, BASE)), 0);
	/* It stays so, whether it is dirty or not. */
	for (int i = 0; i < MANY; i++)
		KUNIT_ASSERT_TRUE(test, dax_is_by_page(flush(test)));
}

static void small_entries_stay_whole(struct kunit *test)
{
	dt_put_dirty(test, BASE, 0);
	KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), MANY);
}

/* Each time in a row, the entry is left alone for longer. */
static void many_stores_make_whole(struct kunit *test)
{
	const unsigned int flushes[] = { 2, 8, 32, 127, 127 };
	struct dax_grab grab;

	dt_put_dirty(test, BASE, use_order(test));
	for (int i = 0; i < ARRAY_SIZE(flushes); i++) {
		KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), flushes[i]);
		KUNIT_EXPECT_EQ(test, stores_to_whole(test), 32);
		KUNIT_EXPECT_TRUE(test, dt_marked(test, BASE,
						  PAGECACHE_TAG_DIRTY));
		KUNIT_EXPECT_TRUE(test, store(test, BASE, param_order(test),
					      &grab));
	}
}

static void few_stores_forget_the_many(struct kunit *test)
{
	struct dax_grab grab;

	put_by_page(test, use_order(test));
	stores_to_whole(test);
	KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), 8);
	KUNIT_EXPECT_TRUE(test, store(test, BASE, 0, &grab));
	KUNIT_EXPECT_FALSE(test, grab.crowded);
	KUNIT_EXPECT_TRUE(test, dax_is_by_page(flush(test)));
	stores_to_whole(test);
	KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), 8);
}

/* --- the marks ----------------------------------------------------------- */

/* Each store marks its part, also if the entry is dirty already. */
static void each_store_marks_its_part(struct kunit *test)
{
	unsigned int size, order = use_order(test);
	struct dax_grab grab;
	unsigned long parts = 0;

	put_by_page(test, order);
	size = dax_part_pages(dt_peek(test, BASE));
	KUNIT_ASSERT_EQ(test, size * DAX_NR_PARTS, 1U << order);
	for (unsigned int part = 0; part < DAX_NR_PARTS; part++) {
		/* From the first page of part 0 to the last one of part 7. */
		pgoff_t index = BASE + part * size + part * (size - 1) / 7;

		KUNIT_ASSERT_TRUE(test, store(test, index, 0, &grab));
		KUNIT_EXPECT_EQ(test, grab.dirtied, part == 0);
		parts |= BIT(part);
		KUNIT_EXPECT_EQ(test, dax_dirty_parts(grab.entry), parts);
		KUNIT_EXPECT_EQ(test, dax_max_dirty_pages(grab.entry),
				part + 1);
		KUNIT_EXPECT_PTR_EQ(test, dt_peek(test, index), grab.entry);
		KUNIT_EXPECT_TRUE(test, dt_marked(test, index,
						  PAGECACHE_TAG_DIRTY));
	}
	KUNIT_EXPECT_EQ(test, dax_dirty_parts(flush(test)), 0);
}

static void reads_mark_nothing(struct kunit *test)
{
	unsigned int order = use_order(test);
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, BASE);
	struct dax_grab grab = {};
	void *entry;

	put_by_page(test, order);
	entry = dt_peek(test, BASE);
	KUNIT_ASSERT_TRUE(test, dax_grab_mapped(&xas, &grab));
	KUNIT_EXPECT_PTR_EQ(test, grab.entry, entry);
	KUNIT_EXPECT_FALSE(test, grab.crowded);
	dax_unlock_entry(&xas, grab.entry);
}

/* --- large faults -------------------------------------------------------- */

static void large_writes_are_refused(struct kunit *test)
{
	unsigned int order = use_order(test);
	struct dax_test *dt = test->priv;
	XA_STATE_ORDER(xas, &dt->mapping->i_pages, BASE, order);
	struct dax_grab grab;
	void *entry;

	dt_put_dirty(test, BASE, order);
	KUNIT_EXPECT_EQ(test, 0, dax_peek_entry(dt->mapping, BASE, order, true,
						true));
	KUNIT_EXPECT_TRUE(test, store(test, BASE, order, &grab));

	flushes_to_by_page(test);
	/* dax_fault_quick() does better than to refuse. */
	KUNIT_EXPECT_EQ(test, 0, dax_peek_entry(dt->mapping, BASE, order, true,
						true));
	KUNIT_EXPECT_FALSE(test, store(test, BASE, order, &grab));
	KUNIT_EXPECT_EQ(test, -EACCES, dt_grab_entry(&xas, order, true, &entry,
						     NULL));
	KUNIT_EXPECT_FALSE(test, dt_marked(test, BASE, PAGECACHE_TAG_DIRTY));
	KUNIT_EXPECT_FALSE(test, dax_is_locked(dt_peek(test, BASE)));
}

static void large_reads_are_served(struct kunit *test)
{
	unsigned int order = use_order(test);
	struct dax_test *dt = test->priv;
	void *entry;

	put_by_page(test, order);
	KUNIT_EXPECT_EQ(test, 0, dax_peek_entry(dt->mapping, BASE, order, false,
						true));
	entry = dt_grab(test, BASE, order, false);
	KUNIT_EXPECT_TRUE(test, dax_is_by_page(entry));
	dt_unlock(test, BASE, entry);
}

/* A refused fault that has waited wakes the next waiter. */
static void refusal_wakes_next(struct kunit *test)
{
	unsigned int order = use_order(test);
	struct dt_task *holder, *large, *small;

	put_by_page(test, order);
	holder = dt_start(test, dt_job_hold, BASE, 0, true);
	large = dt_start(test, dt_job_hold, BASE, order, true);
	small = dt_start(test, dt_job_hold, BASE, 0, true);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "HSS");
	dt_continue(test, holder);
	KUNIT_EXPECT_STREQ(test, dt_states(test), "DDH");
	KUNIT_EXPECT_EQ(test, large->ret, -EACCES);
	dt_continue(test, small);
	dt_join_all(test);
}

/* A collapse or a MAP_SYNC fault that maps a large page. */
static void large_store_makes_whole(struct kunit *test)
{
	unsigned int order = use_order(test);
	struct dax_test *dt = test->priv;
	XA_STATE(xas, &dt->mapping->i_pages, BASE);
	void *entry;

	put_by_page(test, order);
	entry = dt_grab(test, BASE, order, false);
	xas_lock_irq(&xas);
	xas_load(&xas);
	entry = dax_record_store(&xas, entry, BASE, order);
	xas_unlock_irq(&xas);
	KUNIT_EXPECT_FALSE(test, dax_is_by_page(entry));
	dt_unlock(test, BASE, entry);
	KUNIT_EXPECT_EQ(test, flushes_to_by_page(test), 2);
}

static struct kunit_case dax_dirty_cases[] = {
	KUNIT_CASE_PARAM(dirt_stays_in_its_field, orders_gen_params),
	KUNIT_CASE(small_entries_have_no_dirt),

	KUNIT_CASE_PARAM(second_flush_makes_by_page, orders_gen_params),
	KUNIT_CASE(small_entries_stay_whole),
	KUNIT_CASE_PARAM(many_stores_make_whole, orders_gen_params),
	KUNIT_CASE_PARAM(few_stores_forget_the_many, orders_gen_params),

	KUNIT_CASE_PARAM(each_store_marks_its_part, orders_gen_params),
	KUNIT_CASE_PARAM(reads_mark_nothing, orders_gen_params),

	KUNIT_CASE_PARAM(large_writes_are_refused, orders_gen_params),
	KUNIT_CASE_PARAM(large_reads_are_served, orders_gen_params),
	KUNIT_CASE_PARAM(refusal_wakes_next, orders_gen_params),
	KUNIT_CASE_PARAM(large_store_makes_whole, orders_gen_params),
	{}
};

static struct kunit_suite dax_dirty_suite = {
	.name = "dax_dirty",
	.init = dax_test_init,
	.exit = dax_test_exit,
	.test_cases = dax_dirty_cases,
};

kunit_test_suites(&dax_dirty_suite);
