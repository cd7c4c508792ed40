// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on one mapping by many threads at once: faults of order 0,
 * 4 and 9, promotion with all its ends, writeback, truncation, walks that only
 * wait.  These rules have to hold:
 *
 *  - an entry lock has one owner, and so has each page under it;
 *  - every thread ends (the alarm of kunit.c names those that do not);
 *  - a store that was there when writeback began is flushed when it ends,
 *    unless the page was truncated meanwhile;
 *  - nrpages is the sum of the entries.
 *
 * Counters tell what a page holds.  Only the owner of its entry, or a thread
 * that deletes the unlocked entry under the xa_lock, may change them.  Two of
 * them are plain memory, so that ThreadSanitizer sees any other thread.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>

#include "dax-internal.h"

#define THREADS		6
#define ROUNDS		2000
#define HUGE		9
#define HUGE_PAGES	BIT(HUGE)
#define MEDIUM		4
#define RANGES		4
#define PAGES		(RANGES * HUGE_PAGES)

struct page_state {
	unsigned int owners;
	unsigned long touched;		/* plain: owner of the entry */
	unsigned long stores;
	unsigned long flushed;
	unsigned long truncated;	/* how often, twice */
};

struct thread {
	unsigned int number;
	unsigned long chance;
	struct task_struct *task;
	struct completion done;
	unsigned long seen_stores[PAGES];
	unsigned long seen_truncated[PAGES];
};

static struct page_state pages[PAGES];
static struct thread threads[THREADS];

static struct inode inode;
static struct address_space *mapping = &inode.i_data;

/* Counts of what went wrong, and of what happened at all. */
static unsigned int nr_shared, nr_lost, nr_errors;
static unsigned int nr_grabbed, nr_refused, nr_no_memory, nr_unmapped;
static unsigned int nr_deleted, nr_flushed, nr_checked;
static unsigned int nr_promoted, nr_undone;

#define COUNT(n)	__atomic_fetch_add(&(n), 1, __ATOMIC_RELAXED)

static __thread unsigned long *chance;

static unsigned long random_below(unsigned long limit)
{
	/* xorshift64 */
	*chance ^= *chance << 13;
	*chance ^= *chance >> 7;
	*chance ^= *chance << 17;
	return (*chance >> 11) % limit;
}

/* Few pages of each range, so that threads meet. */
static unsigned long random_index(void)
{
	static const unsigned int offsets[] = { 0, 1, 2, 63, 64, 300, 511 };

	return random_below(RANGES) * HUGE_PAGES +
	       offsets[random_below(ARRAY_SIZE(offsets))];
}

/* --- the owner of an entry ---------------------------------------------- */

static void own(unsigned long start, unsigned long nr)
{
	for (unsigned long i = start; i < start + nr; i++) {
		if (COUNT(pages[i].owners))
			COUNT(nr_shared);
		pages[i].touched++;
	}
}

static void disown(unsigned long start, unsigned long nr)
{
	for (unsigned long i = start; i < start + nr; i++)
		__atomic_fetch_sub(&pages[i].owners, 1, __ATOMIC_RELAXED);
}

static void flush(unsigned long start, unsigned long nr)
{
	for (unsigned long i = start; i < start + nr; i++)
		WRITE_ONCE(pages[i].flushed, READ_ONCE(pages[i].stores));
}

static void truncate(unsigned long start, unsigned long nr)
{
	for (unsigned long i = start; i < start + nr; i++) {
		if (READ_ONCE(pages[i].owners))
			COUNT(nr_shared);
		pages[i].touched++;
		/* Odd as long as it lasts, for threads that look without a lock. */
		WRITE_ONCE(pages[i].truncated, pages[i].truncated + 1);
		__atomic_store_n(&pages[i].stores, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&pages[i].flushed, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&pages[i].truncated, pages[i].truncated + 1,
				 __ATOMIC_RELEASE);
	}
}

/* --- operations --------------------------------------------------------- */

/* The blocks of a page are always the same, as if they had been allocated. */
static void *mapped_entry(unsigned long index, unsigned int order)
{
	return dax_make_mapped(round_down(index, 1UL << order), order);
}

/* Back with the entry as a fault leaves it. */
static void finish_fault(struct xa_state *xas, unsigned long index, void *entry,
			 bool write)
{
	unsigned int order = dax_entry_order(entry);
	void *new = entry;

	if (write)
		new = mapped_entry(index, order);
	else if (dax_is_empty(entry) && random_below(4))
		new = random_below(3) ? dax_make_zero(order) :
					mapped_entry(index, order);
	xas_lock_irq(xas);
	dax_replace_entry(xas, entry, new);
	if (write)
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
	xas_unlock_irq(xas);
	if (write)
		WRITE_ONCE(pages[index].stores, pages[index].stores + 1);
	disown(dax_entry_start(entry, index), dax_entry_nr_pages(entry));
	dax_unlock_entry(xas, new);
}

/*
 * The large entry may stay a hole if the small entries were nothing but holes.
 * Otherwise it gets the blocks, or the small entries come back.
 */
static void finish_promotion(struct xa_state *xas, unsigned long index,
			     void *entry, struct dax_promotion *p, bool write)
{
	unsigned long start = dax_entry_start(entry, index);
	unsigned long nr = dax_entry_nr_pages(entry);
	bool with_zero = random_below(2);
	void *new = mapped_entry(index, p->order);

	COUNT(nr_promoted);
	if (p->nr_mapped && p->pfn != start)
		COUNT(nr_errors);
	if (random_below(3) == 0) {
		if (!with_zero)
			dax_unmap_promoted_zero(xas, p);
		disown(start, nr);
		dax_undo_promotion(xas, p, with_zero);
		COUNT(nr_undone);
		return;
	}
	if (!write && !p->nr_mapped)
		new = dax_make_zero(p->order);
	else
		dax_unmap_promoted_zero(xas, p);
	xas_lock_irq(xas);
	dax_replace_entry(xas, entry, new);
	if (write)
		xas_set_mark(xas, PAGECACHE_TAG_DIRTY);
	xas_unlock_irq(xas);
	if (write)
		WRITE_ONCE(pages[index].stores, pages[index].stores + 1);
	disown(start, nr);
	dax_finish_promotion(xas, p);
	dax_unlock_entry(xas, new);
}

/*
 * As dax_fault_quick(), but without xa_peek(), which reads the tree under RCU.
 * The kernel of kernel.c has none.
 */
static bool fault_quick(unsigned long index, unsigned int order, bool write)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = {
		.order = order,
		.write = write,
		.unshared = random_below(2),
	};
	unsigned long start, nr;

	if (!dax_grab_mapped(&xas, &grab))
		return false;
	COUNT(nr_grabbed);
	start = dax_entry_start(grab.entry, index);
	nr = dax_entry_nr_pages(grab.entry);
	own(start, nr);
	if (write)
		WRITE_ONCE(pages[index].stores, pages[index].stores + 1);
	disown(start, nr);
	dax_unlock_entry(&xas, grab.entry);
	return true;
}

static int fault_order(unsigned long index, unsigned int order, bool write)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = {
		.order = order,
		.write = write,
		.promote = random_below(4),
	};
	void *entry;
	int ret;

	if (fault_quick(index, order, write))
		return 0;
	ret = dax_grab_entry(&xas, &grab);
	entry = grab.entry;
	if (ret)
		return ret;
	COUNT(nr_grabbed);
	own(dax_entry_start(entry, index), dax_entry_nr_pages(entry));
	if (random_below(4) == 0)
		cond_resched();
	if (grab.promotion) {
		finish_promotion(&xas, index, entry, grab.promotion, write);
		return 0;
	}
	finish_fault(&xas, index, entry, write);
	return 0;
}

static void do_fault(struct thread *thread)
{
	unsigned long index = random_index();
	bool write = random_below(3) == 0;
	bool huge = random_below(2);
	int ret = 0;

	if (huge)
		ret = fault_order(index, random_below(2) ? MEDIUM : HUGE, write);
	if (ret == -EBUSY || ret == -ERANGE || ret == -EAGAIN)
		COUNT(nr_refused);
	else if (huge && ret != -ENOMEM)
		return;
	if (ret != -ENOMEM)
		ret = fault_order(index, 0, write);
	if (ret == -ENOMEM)
		COUNT(nr_no_memory);
	else if (ret)
		COUNT(nr_errors);
}

static void do_truncate(struct thread *thread)
{
	unsigned long index = random_index();
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	xas_lock_irq(&xas);
	if (dax_get_unlocked_entry(&xas, 0, &entry)) {
		COUNT(nr_errors);
	} else if (entry && random_below(3)) {
		truncate(dax_entry_start(entry, index),
			 dax_entry_nr_pages(entry));
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
		COUNT(nr_deleted);
	} else {
		dax_put_unlocked_entry(&xas, entry);
	}
	xas_unlock_irq(&xas);
}

/* All of a huge page, so that there is room for huge entries again. */
static void do_truncate_range(struct thread *thread)
{
	unsigned long first = round_down(random_index(), HUGE_PAGES);
	XA_STATE(xas, &mapping->i_pages, first);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, first + HUGE_PAGES - 1) {
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		truncate(dax_entry_start(entry, xas.xa_index),
			 dax_entry_nr_pages(entry));
		dax_delete_entry(&xas, entry, DAX_DELETE_TRUNCATE);
		COUNT(nr_deleted);
	}
	xas_unlock_irq(&xas);
}

/*
 * Flush the unlocked entry that a walk has arrived at.  TOWRITE goes together
 * with DIRTY, or another walk that has counted on it would not wait for this one.
 */
static void flush_one(struct xa_state *xas, void *entry)
{
	unsigned long start = dax_entry_start(entry, xas->xa_index);
	unsigned long nr = dax_entry_nr_pages(entry);

	dax_lock_entry(xas, entry);
	xas_unlock_irq(xas);
	own(start, nr);
	if (random_below(4) == 0)
		cond_resched();
	flush(start, nr);
	disown(start, nr);
	xas_lock_irq(xas);
	__dax_unlock_entry(xas, entry);
	xas_clear_mark(xas, PAGECACHE_TAG_DIRTY);
	xas_clear_mark(xas, PAGECACHE_TAG_TOWRITE);
	COUNT(nr_flushed);
}

static void tag_for_writeback(unsigned long first, unsigned long last)
{
	XA_STATE(xas, &mapping->i_pages, first);
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, last, PAGECACHE_TAG_DIRTY)
		xas_set_mark(&xas, PAGECACHE_TAG_TOWRITE);
	xas_unlock_irq(&xas);
}

static void writeback(unsigned long first, unsigned long last)
{
	XA_STATE(xas, &mapping->i_pages, first);
	void *entry;

	tag_for_writeback(first, last);
	xas_lock_irq(&xas);
	xas_for_each_marked(&xas, entry, last, PAGECACHE_TAG_TOWRITE) {
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		if (!dax_is_mapped(entry))
			COUNT(nr_errors);
		flush_one(&xas, entry);
		if (random_below(4) == 0)
			dax_pause_walk(&xas, entry);
	}
	xas_unlock_irq(&xas);
}

static void do_writeback(struct thread *thread)
{
	unsigned long first = random_index();
	unsigned long last = first + random_below(PAGES - first);

	for (unsigned long i = first; i <= last; i++) {
		/* In this order: what is truncated later does not count. */
		thread->seen_truncated[i] =
			__atomic_load_n(&pages[i].truncated, __ATOMIC_ACQUIRE);
		thread->seen_stores[i] = READ_ONCE(pages[i].stores);
	}
	writeback(first, last);
	for (unsigned long i = first; i <= last; i++) {
		unsigned long flushed = __atomic_load_n(&pages[i].flushed,
							__ATOMIC_ACQUIRE);

		if (thread->seen_truncated[i] & 1 ||
		    READ_ONCE(pages[i].truncated) != thread->seen_truncated[i])
			continue;
		COUNT(nr_checked);
		if (flushed < thread->seen_stores[i])
			COUNT(nr_lost);
	}
}

/* A walk that only waits until each entry was seen unlocked. */
static void do_walk(struct thread *thread)
{
	XA_STATE(xas, &mapping->i_pages, random_index());
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, PAGES) {
		if (dax_is_locked(entry))
			dax_wait_entry(&xas, entry);
		else if (random_below(2))
			dax_pause_walk(&xas, entry);
	}
	xas_unlock_irq(&xas);
}

static void do_wait_for_gone(struct thread *thread)
{
	XA_STATE(xas, &mapping->i_pages, random_index());
	void *entry;

	xas_lock_irq(&xas);
	entry = xas_load(&xas);
	if (entry && dax_is_locked(entry))
		dax_wait_entry_unlock(&xas, entry);
	else
		xas_unlock_irq(&xas);
}

static void (*const operations[])(struct thread *thread) = {
	do_fault, do_fault, do_fault, do_fault, do_fault, do_fault, do_fault,
	do_fault, do_truncate, do_truncate_range, do_truncate_range,
	do_writeback, do_walk, do_wait_for_gone,
};

static int thread_main(void *data)
{
	struct thread *thread = data;

	chance = &thread->chance;
	for (unsigned int i = 0; i < ROUNDS; i++)
		operations[random_below(ARRAY_SIZE(operations))](thread);
	complete_all(&thread->done);
	return 0;
}

/* --- the test ----------------------------------------------------------- */

static bool fail_allocation(gfp_t gfp)
{
	return random_below(gfpflags_allow_blocking(gfp) ? 16 : 4) == 0;
}

static void count_unmap(struct address_space *of, unsigned long start,
			unsigned long nr, bool even_cows)
{
	COUNT(nr_unmapped);
}

static unsigned long sum_of_entries(struct kunit *test)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned long sum = 0;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, ULONG_MAX) {
		sum += dax_entry_nr_pages(entry);
		KUNIT_EXPECT_FALSE(test, dax_is_locked(entry));
	}
	xas_unlock_irq(&xas);
	return sum;
}

static void print_counts(struct kunit *test)
{
	kunit_info(test, "%u grabs, %u refused, %u without memory, %lu slept",
		   nr_grabbed, nr_refused, nr_no_memory, nr_dax_wait_entry);
	kunit_info(test, "%u promoted, %u of them undone, %lu fragmented, %lu always locked, %lu gone",
		   nr_promoted, nr_undone, nr_promote[DAX_PROMOTE_FRAGMENTED],
		   nr_promote[DAX_PROMOTE_LOCKED],
		   nr_promote[DAX_PROMOTE_GONE]);
	kunit_info(test, "%u deleted, %u demoted from zero, %u flushed, %u pages checked",
		   nr_deleted, nr_unmapped, nr_flushed, nr_checked);
}

static void random_threads(struct kunit *test)
{
	unsigned long seed = *(const unsigned long *)test->param_value;

	for (unsigned int i = 0; i < THREADS; i++) {
		struct thread *thread = &threads[i];

		thread->number = i;
		thread->chance = (seed * THREADS + i + 1) * 0x9e3779b97f4a7c15;
		init_completion(&thread->done);
		thread->task = kthread_create(thread_main, thread, "thread/%u",
					      i);
		get_task_struct(thread->task);
		wake_up_process(thread->task);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		while (!wait_for_completion_timeout(&threads[i].done, HZ))
			;
		put_task_struct(threads[i].task);
	}
	shim_alloc_hook = NULL;
	print_counts(test);

	KUNIT_EXPECT_EQ(test, nr_shared, 0);
	KUNIT_EXPECT_EQ(test, nr_lost, 0);
	KUNIT_EXPECT_EQ(test, nr_errors, 0);
	KUNIT_EXPECT_EQ(test, mapping->nrpages, sum_of_entries(test));
	/* A run in which none of this happened has shown nothing. */
	KUNIT_EXPECT_GT(test, nr_dax_wait_entry, 0);
	KUNIT_EXPECT_GT(test, nr_refused, 0);
	KUNIT_EXPECT_GT(test, nr_unmapped, 0);
	KUNIT_EXPECT_GT(test, nr_no_memory, 0);
	KUNIT_EXPECT_GT(test, nr_checked, 0);
	KUNIT_EXPECT_GT(test, nr_undone, 0);
	KUNIT_EXPECT_GT(test, nr_promoted, nr_undone);
	KUNIT_EXPECT_GT(test, nr_promote[DAX_PROMOTE_NO_MEMORY], 0);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_TRY],
			nr_promote[DAX_PROMOTE_FRAGMENTED] +
			nr_promote[DAX_PROMOTE_LOCKED] +
			nr_promote[DAX_PROMOTE_NO_MEMORY] +
			nr_promote[DAX_PROMOTE_GONE] +
			nr_promote[DAX_PROMOTE_REPLACE]);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_REPLACE], nr_promoted);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_ROLLBACK], nr_undone);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_DONE],
			nr_promoted - nr_undone);

	writeback(0, PAGES);
	KUNIT_EXPECT_FALSE(test, xa_marked(&mapping->i_pages,
					   PAGECACHE_TAG_DIRTY));
	for (unsigned long i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, pages[i].stores, pages[i].flushed);
}

static const void *seed_gen_params(const void *prev, char *desc)
{
	static unsigned long seeds[] = { 1, 2 };
	const char *given = getenv("DAX_TEST_SEED");
	unsigned long *next = prev ? (unsigned long *)prev + 1 : seeds;

	if (given && !prev)
		*next = strtoul(given, NULL, 0);
	if (next - seeds >= (given ? 1 : (long)ARRAY_SIZE(seeds)))
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "seed %lu", *next);
	return next;
}

static int stress_init(struct kunit *test)
{
	static unsigned long main_chance = 1;

	chance = &main_chance;
	address_space_init_once(mapping);
	mapping->host = &inode;
	mapping_set_gfp_mask(mapping, GFP_KERNEL);
	memset(pages, 0, sizeof(pages));
	nr_shared = 0;
	nr_lost = 0;
	nr_errors = 0;
	nr_grabbed = 0;
	nr_refused = 0;
	nr_no_memory = 0;
	nr_unmapped = 0;
	nr_deleted = 0;
	nr_flushed = 0;
	nr_checked = 0;
	nr_promoted = 0;
	nr_undone = 0;
	memset(nr_promote, 0, sizeof(nr_promote));
	nr_dax_wait_entry = 0;
	shim_alloc_hook = fail_allocation;
	shim_unmap_hook = count_unmap;
	return 0;
}

static void stress_exit(struct kunit *test)
{
	xa_destroy(&mapping->i_pages);
	KUNIT_EXPECT_EQ(test, shim_nr_nodes, 0);
}

static struct kunit_case stress_cases[] = {
	KUNIT_CASE_PARAM(random_threads, seed_gen_params),
	{}
};

static struct kunit_suite stress_suite = {
	.name = "dax_entry_stress",
	.init = stress_init,
	.exit = stress_exit,
	.test_cases = stress_cases,
};

kunit_test_suites(&stress_suite);
