// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of fs/dax-entry.c and fs/dax-grab.c that only user space can do: each
 * allocation fails once, another task acts while the xa_lock is dropped, unmaps
 * are counted, and a warning is expected.
 *
 * The hooks run in the middle of dax_grab_entry().  Where they need a second
 * task, a helper thread does one call.  The task state tells that it sleeps.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "dax-internal.h"
#include "hooks.h"

#define BASE		BIT(19)

struct order_param {
	const char *desc;
	unsigned int order;
};

static const struct order_param orders[] = {
	{ "order 0", 0 },
	{ "order 9", 9 },
	{ "order 18", 18 },
};

KUNIT_ARRAY_PARAM_DESC(orders, orders, desc);

static const struct order_param huge_orders[] = {
	{ "order 9", 9 },
	{ "order 18", 18 },
};

KUNIT_ARRAY_PARAM_DESC(huge_orders, huge_orders, desc);

static unsigned int param_order(struct kunit *test)
{
	return ((const struct order_param *)test->param_value)->order;
}

/* One test runs at a time, and its hooks and threads have to find it. */
static struct kunit *the_test;
static struct inode inode;
static struct address_space *mapping = &inode.i_data;

/* --- entries and helper threads ----------------------------------------- */

static void *peek(unsigned long index)
{
	void *entry;

	xa_lock_irq(&mapping->i_pages);
	entry = xa_load(&mapping->i_pages, index);
	xa_unlock_irq(&mapping->i_pages);
	return entry;
}

static unsigned long nrpages(void)
{
	unsigned long nr;

	xa_lock_irq(&mapping->i_pages);
	nr = mapping->nrpages;
	xa_unlock_irq(&mapping->i_pages);
	return nr;
}

static int injection_init(struct kunit *test)
{
	the_test = test;
	address_space_init_once(mapping);
	mapping->host = &inode;
	mapping_set_gfp_mask(mapping, GFP_KERNEL);

	set_hooks(test, mapping);
	return 0;
}

static void injection_exit(struct kunit *test)
{
	remove_hooks();
	xa_destroy(&mapping->i_pages);
	/* A node that was allocated in vain goes back where it came from. */
	KUNIT_EXPECT_EQ(test, shim_nr_nodes, 0);
}

static int grab(unsigned long index, unsigned int order, bool write,
		void **entry)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = { .order = order, .write = write };
	int ret = dax_grab_entry(&xas, &grab);

	*entry = grab.entry;
	return ret;
}

static void unlock(unsigned long index, void *entry)
{
	XA_STATE(xas, &mapping->i_pages, index);

	dax_unlock_entry(&xas, entry);
}

/* Put an entry there, locked. */
static void put_locked(unsigned long index, void *entry)
{
	unsigned int order = dax_entry_order(entry);
	XA_STATE(xas, &mapping->i_pages, index);
	void *empty = NULL;

	KUNIT_ASSERT_EQ(the_test, grab(index, order, true, &empty), 0);
	xas_lock_irq(&xas);
	dax_replace_entry(&xas, empty, entry);
	xas_unlock_irq(&xas);
}

static void put(unsigned long index, void *entry)
{
	put_locked(index, entry);
	unlock(index, entry);
}

/* A thread that grabs one entry and, when told, unlocks it. */
struct helper {
	struct task_struct *task;
	unsigned long index;
	unsigned int order;
	bool write;

	struct completion go;
	struct completion done;
	int ret;
	void *entry;
};

static int helper_thread(void *data)
{
	struct helper *helper = data;

	helper->ret = grab(helper->index, helper->order, helper->write,
			   &helper->entry);
	if (!helper->ret) {
		wait_for_completion_interruptible(&helper->go);
		unlock(helper->index, helper->entry);
	}
	complete_all(&helper->done);
	return 0;
}

static void send(struct helper *helper, unsigned long index,
		 unsigned int order, bool write)
{
	helper->index = index;
	helper->order = order;
	helper->write = write;
	init_completion(&helper->go);
	init_completion(&helper->done);
	helper->task = kthread_create(helper_thread, helper, "helper");
	get_task_struct(helper->task);
	wake_up_process(helper->task);
}

/* The alarm ends it if that never comes. */
static void wait_for_state(struct task_struct *task, unsigned int state)
{
	while (READ_ONCE(task->__state) != state)
		usleep_range(100, 1000);
}

static void bring_home(struct helper *helper)
{
	complete_all(&helper->go);
	wait_for_completion_timeout(&helper->done, 1000 * HZ);
	put_task_struct(helper->task);
}

/* --- allocations that fail ---------------------------------------------- */

/*
 * Memory ends at the first, at the second, ... allocation: nothing is left
 * behind, until there is enough.
 */
static void no_memory(struct kunit *test)
{
	unsigned int order = param_order(test);
	unsigned int failed = 0;
	void *entry;

	/* So that the root is taken and every order needs nodes. */
	put(0, dax_make_zero(0));
	for (;; failed++) {
		unsigned long pages = nrpages();
		int ret;

		fail_from(failed, LONG_MAX);
		ret = grab(BASE, order, true, &entry);
		if (!ret)
			break;
		KUNIT_ASSERT_EQ(test, ret, -ENOMEM);
		KUNIT_EXPECT_EQ(test, nrpages(), pages);
		KUNIT_EXPECT_PTR_EQ(test, peek(BASE), NULL);
		KUNIT_ASSERT_LT(test, failed, 100);
	}
	KUNIT_EXPECT_GT(test, failed, 0);
	KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
	KUNIT_EXPECT_EQ(test, nrpages(), 1 + (1UL << order));
	unlock(BASE, entry);
}

/* The n-th allocation fails, and the next may sleep and succeeds. */
static void no_memory_at_once(struct kunit *test)
{
	unsigned int order = param_order(test);
	unsigned long n = 0;
	void *entry;

	put(0, dax_make_zero(0));
	do {
		XA_STATE(xas, &mapping->i_pages, BASE);

		fail_from(n, n);
		nr_dax_grab_entry = 0;
		KUNIT_ASSERT_EQ(test, grab(BASE, order, true, &entry), 0);
		KUNIT_EXPECT_PTR_EQ(test, entry, dax_make_empty(order));
		KUNIT_EXPECT_PTR_EQ(test, peek(BASE), dax_make_locked(entry));
		KUNIT_EXPECT_EQ(test, nrpages(), 1 + (1UL << order));
		KUNIT_EXPECT_EQ(test, nr_dax_grab_entry, 1);

		xas_lock_irq(&xas);
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
		xas_unlock_irq(&xas);
		KUNIT_EXPECT_EQ(test, nrpages(), 1);
		n++;
	} while (nr_allocations >= (long)n);
	KUNIT_EXPECT_GT(test, n, 1);
}

/* --- while the xa_lock is dropped to allocate --------------------------- */

static void *comes_between;
static unsigned long comes_at;

static void put_between(void)
{
	put(comes_at, comes_between);
}

/* @entry of index @at comes while a grab of @order at BASE allocates. */
static int grab_meets(unsigned long at, void *comes, unsigned int order,
		      void **entry)
{
	comes_at = at;
	comes_between = comes;
	while_unlocked = put_between;
	fail_from(0, 0);
	return grab(BASE, order, true, entry);
}

static void same_comes_between(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *comes = dax_make_mapped(BASE, order);
	void *entry;

	put(0, dax_make_zero(0));
	KUNIT_EXPECT_EQ(test, grab_meets(BASE, comes, order, &entry), 0);
	KUNIT_EXPECT_PTR_EQ(test, entry, comes);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE), dax_make_locked(comes));
	KUNIT_EXPECT_EQ(test, nrpages(), 1 + (1UL << order));
}

static void larger_comes_between(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *comes = dax_make_mapped(BASE, order);
	void *entry;

	put(0, dax_make_zero(0));
	KUNIT_EXPECT_EQ(test, grab_meets(BASE, comes, 0, &entry), 0);
	KUNIT_EXPECT_PTR_EQ(test, entry, comes);
	KUNIT_EXPECT_EQ(test, nrpages(), 1 + (1UL << order));
}

static void smaller_comes_between(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *comes = dax_make_mapped(BASE, 0);
	void *entry;

	put(0, dax_make_zero(0));
	KUNIT_EXPECT_EQ(test, grab_meets(BASE + 5, comes, order, &entry),
			-EBUSY);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE + 5), comes);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE), NULL);
	KUNIT_EXPECT_EQ(test, nrpages(), 2);
}

static struct helper rival;
static struct task_struct *test_task;

/* The rival takes the entry, and gives it back when the test sleeps on it. */
static int rival_thread(void *data)
{
	rival.ret = grab(rival.index, rival.order, true, &rival.entry);
	complete_all(&rival.go);
	wait_for_state(test_task, TASK_UNINTERRUPTIBLE);
	unlock(rival.index, rival.entry);
	complete_all(&rival.done);
	return 0;
}

static void rival_comes_first(void)
{
	init_completion(&rival.go);
	init_completion(&rival.done);
	test_task = current;
	rival.task = kthread_create(rival_thread, NULL, "rival");
	get_task_struct(rival.task);
	wake_up_process(rival.task);
	wait_for_completion_interruptible(&rival.go);
}

/* Two first faults on one range: one inserts, the other waits for it. */
static void rival_comes_between(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *empty = dax_make_empty(order);
	void *entry;

	put(0, dax_make_zero(0));
	rival.index = BASE;
	rival.order = order;
	while_unlocked = rival_comes_first;
	fail_from(0, 0);
	KUNIT_EXPECT_EQ(test, grab(BASE, order, true, &entry), 0);
	KUNIT_EXPECT_PTR_EQ(test, entry, empty);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE), dax_make_locked(empty));
	KUNIT_EXPECT_EQ(test, nrpages(), 1 + (1UL << order));
	bring_home(&rival);
	KUNIT_EXPECT_EQ(test, rival.ret, 0);
	KUNIT_EXPECT_PTR_EQ(test, rival.entry, empty);
}

/* --- while a demotion unmaps -------------------------------------------- */

static void demotion_unmaps_zero(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *zero = dax_make_zero(order);
	void *entry;

	put(BASE, zero);
	KUNIT_ASSERT_EQ(test, grab(BASE + 5, 0, true, &entry), 0);
	KUNIT_EXPECT_EQ(test, nr_unmaps, 1);
	KUNIT_EXPECT_EQ(test, unmaps[0].start, BASE);
	KUNIT_EXPECT_EQ(test, unmaps[0].nr, 1UL << order);
	/* Private copies are the process's own. */
	KUNIT_EXPECT_FALSE(test, unmaps[0].cows);
	/* Still there, so that nobody maps anything else meanwhile. */
	KUNIT_EXPECT_PTR_EQ(test, unmaps[0].entry, dax_make_locked(zero));
}

static void nothing_else_unmaps(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *mapped = dax_make_mapped(BASE, order);
	void *entry;

	put(BASE, dax_make_empty(order));
	KUNIT_ASSERT_EQ(test, grab(BASE + 5, 0, true, &entry), 0);
	unlock(BASE + 5, entry);
	put(0, mapped);
	KUNIT_ASSERT_EQ(test, grab(5, 0, true, &entry), 0);
	unlock(5, entry);
	put(4 * BASE, dax_make_zero(order));
	KUNIT_ASSERT_EQ(test, grab(4 * BASE + 5, 0, false, &entry), 0);
	unlock(4 * BASE + 5, entry);
	KUNIT_EXPECT_EQ(test, nr_unmaps, 0);
}

static void rival_meets_demotion(void)
{
	send(&rival, BASE + 9, 0, true);
	wait_for_state(rival.task, TASK_UNINTERRUPTIBLE);
}

/*
 * A rival grabs a page of the entry while the entry is being demoted and the
 * xa_lock is dropped.  The entry is locked, so the rival sleeps.  The demotion
 * deletes the entry and wakes the rival, which inserts an entry of its own.
 */
static void rival_sleeps_on_demotion(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *entry;

	put(BASE, dax_make_zero(order));
	while_unmapping = rival_meets_demotion;
	KUNIT_ASSERT_EQ(test, grab(BASE + 5, 0, true, &entry), 0);
	wait_for_state(rival.task, TASK_INTERRUPTIBLE);
	KUNIT_EXPECT_EQ(test, nr_unmaps, 1);
	KUNIT_EXPECT_EQ(test, nrpages(), 2);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE + 9),
			    dax_make_locked(dax_make_empty(0)));
	bring_home(&rival);
	unlock(BASE + 5, entry);
}

/*
 * The demotion has made room, and then there is no memory to fill it: neither
 * for the demotion nor for the rival that slept on the deleted entry.
 */
static void no_memory_after_demotion(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *entry;

	put(BASE, dax_make_zero(order));
	while_unmapping = rival_meets_demotion;
	fail_from(0, LONG_MAX);
	KUNIT_EXPECT_EQ(test, grab(BASE + 5, 0, true, &entry), -ENOMEM);
	bring_home(&rival);
	KUNIT_EXPECT_EQ(test, rival.ret, -ENOMEM);
	KUNIT_EXPECT_EQ(test, nr_unmaps, 1);
	KUNIT_EXPECT_EQ(test, nrpages(), 0);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE + 5), NULL);

	fail_from(LONG_MAX, LONG_MAX);
	KUNIT_EXPECT_EQ(test, grab(BASE + 5, 0, true, &entry), 0);
	KUNIT_EXPECT_EQ(test, nrpages(), 1);
}

/* --- what must not happen unseen ---------------------------------------- */

static void expect_warning(struct kunit *test)
{
	KUNIT_EXPECT_NE(test, shim_nr_warnings, 0);
	shim_nr_warnings = 0;
}

static void no_pfn_but_mapped(struct kunit *test)
{
	unsigned int order = param_order(test);

	dax_entry_pfn(dax_make_mapped(BASE, order));
	KUNIT_EXPECT_EQ(test, shim_nr_warnings, 0);
	dax_entry_pfn(dax_make_zero(order));
	expect_warning(test);
	dax_entry_pfn_at(dax_make_empty(order), BASE);
	expect_warning(test);
}

static void lock_needs_unlocked(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *entry = dax_make_zero(order);
	XA_STATE(xas, &mapping->i_pages, BASE);

	put(BASE, entry);
	xas_lock_irq(&xas);
	xas_load(&xas);
	dax_lock_entry(&xas, entry);
	KUNIT_EXPECT_EQ(test, shim_nr_warnings, 0);
	dax_lock_entry(&xas, entry);
	xas_unlock_irq(&xas);
	expect_warning(test);
}

static void unlock_needs_locked(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *entry = dax_make_zero(order);

	put(BASE, entry);
	unlock(BASE, entry);
	expect_warning(test);
	put_locked(4 * BASE, entry);
	unlock(4 * BASE, dax_make_mapped(BASE, order));
	expect_warning(test);
}

static void replace_needs_same_order(struct kunit *test)
{
	unsigned int order = param_order(test);
	void *entry = dax_make_zero(order);
	XA_STATE_ORDER(xas, &mapping->i_pages, BASE, order);

	put_locked(BASE, entry);
	xas_lock_irq(&xas);
	dax_replace_entry(&xas, entry, dax_make_zero(order + 1));
	xas_unlock_irq(&xas);
	expect_warning(test);
}

/* Something else than an entry is in the tree: nobody may touch it. */
static void folio_in_the_tree(struct kunit *test)
{
	unsigned int order = param_order(test);
	static long folio;
	void *entry;

	KUNIT_ASSERT_EQ(test, xa_err(xa_store_irq(&mapping->i_pages, BASE,
						  &folio, GFP_KERNEL)), 0);
	KUNIT_EXPECT_EQ(test, grab(BASE, order, true, &entry), -EIO);
	expect_warning(test);
	KUNIT_EXPECT_PTR_EQ(test, peek(BASE), &folio);
	KUNIT_EXPECT_EQ(test, 0,
			dax_peek_entry(mapping, BASE, order, true, false));
}

/*
 * A waiter that meets a folio has used up a wakeup, so it has to wake the next
 * waiter.
 */
static void folio_wakes_next(struct kunit *test)
{
	unsigned int order = param_order(test);
	XA_STATE_ORDER(xas, &mapping->i_pages, BASE, order);
	void *entry = dax_make_mapped(BASE, order);
	struct helper helpers[2];
	static long folio;

	put_locked(BASE, entry);
	for (int i = 0; i < 2; i++) {
		send(&helpers[i], BASE, order, true);
		wait_for_state(helpers[i].task, TASK_UNINTERRUPTIBLE);
	}
	xas_lock_irq(&xas);
	xas_store(&xas, &folio);
	dax_put_unlocked_entry(&xas, entry);
	xas_unlock_irq(&xas);
	for (int i = 0; i < 2; i++) {
		bring_home(&helpers[i]);
		KUNIT_EXPECT_EQ(test, helpers[i].ret, -EIO);
	}
	expect_warning(test);
}

static struct kunit_case injection_cases[] = {
	KUNIT_CASE_PARAM(no_memory, orders_gen_params),
	KUNIT_CASE_PARAM(no_memory_at_once, orders_gen_params),

	KUNIT_CASE_PARAM(same_comes_between, orders_gen_params),
	KUNIT_CASE_PARAM(larger_comes_between, huge_orders_gen_params),
	KUNIT_CASE_PARAM(smaller_comes_between, huge_orders_gen_params),
	KUNIT_CASE_PARAM(rival_comes_between, orders_gen_params),

	KUNIT_CASE_PARAM(demotion_unmaps_zero, huge_orders_gen_params),
	KUNIT_CASE_PARAM(nothing_else_unmaps, huge_orders_gen_params),
	KUNIT_CASE_PARAM(rival_sleeps_on_demotion, huge_orders_gen_params),
	KUNIT_CASE_PARAM(no_memory_after_demotion, huge_orders_gen_params),

	KUNIT_CASE_PARAM(no_pfn_but_mapped, orders_gen_params),
	KUNIT_CASE_PARAM(lock_needs_unlocked, orders_gen_params),
	KUNIT_CASE_PARAM(unlock_needs_locked, orders_gen_params),
	KUNIT_CASE_PARAM(replace_needs_same_order, orders_gen_params),
	KUNIT_CASE_PARAM(folio_in_the_tree, orders_gen_params),
	KUNIT_CASE_PARAM(folio_wakes_next, orders_gen_params),
	{}
};

static struct kunit_suite injection_suite = {
	.name = "dax_entry_injection",
	.init = injection_init,
	.exit = injection_exit,
	.test_cases = injection_cases,
};

kunit_test_suites(&injection_suite);
