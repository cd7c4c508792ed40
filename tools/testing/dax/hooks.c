// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks of include/custom.h, set for one test at a time.  They run in the
 * middle of the functions that are tested.
 */
#include "hooks.h"

/* One test runs at a time, and the hooks have to find it. */
static struct kunit *the_test;
static struct address_space *the_mapping;

long nr_allocations;
long first_to_fail;
long last_to_fail;
bool fail_atomic;
void (*while_unlocked)(void);
long act_after;

unsigned int nr_unmaps;
struct unmap unmaps[MAX_UNMAPS];
void (*while_unmapping)(void);

/*
 * Let the allocations from the first to the last to fail do so.  One that may
 * sleep is also the chance to change the tree while the task that needs the
 * memory does not hold the xa_lock.
 */
static bool fail_allocation(gfp_t gfp)
{
	void (*act)(void) = while_unlocked;
	long n = __atomic_fetch_add(&nr_allocations, 1, __ATOMIC_RELAXED);

	if (fail_atomic && !gfpflags_allow_blocking(gfp))
		return true;
	if (act && gfpflags_allow_blocking(gfp) && !act_after--) {
		while_unlocked = NULL;
		act();
		return false;
	}
	return n >= first_to_fail && n <= last_to_fail;
}

static void *entry_at(unsigned long index)
{
	void *entry;

	xa_lock_irq(&the_mapping->i_pages);
	entry = xa_load(&the_mapping->i_pages, index);
	xa_unlock_irq(&the_mapping->i_pages);
	return entry;
}

static void note_unmap(struct address_space *of, unsigned long start,
		       unsigned long nr, bool even_cows)
{
	void (*act)(void) = while_unmapping;

	KUNIT_EXPECT_PTR_EQ(the_test, of, the_mapping);
	assert(nr_unmaps < MAX_UNMAPS);
	unmaps[nr_unmaps++] = (struct unmap) {
		.start = start,
		.nr = nr,
		.cows = even_cows,
		.entry = entry_at(start),
	};
	while_unmapping = NULL;
	if (act)
		act();
}

/* Count from here on. */
void fail_from(long first, long last)
{
	nr_allocations = 0;
	first_to_fail = first;
	last_to_fail = last;
}

void set_hooks(struct kunit *test, struct address_space *mapping)
{
	the_test = test;
	the_mapping = mapping;
	fail_from(LONG_MAX, LONG_MAX);
	fail_atomic = false;
	while_unlocked = NULL;
	act_after = 0;
	nr_unmaps = 0;
	while_unmapping = NULL;
	shim_alloc_hook = fail_allocation;
	shim_unmap_hook = note_unmap;
}

void remove_hooks(void)
{
	shim_alloc_hook = NULL;
	shim_unmap_hook = NULL;
}
