// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on one mapping, by one thread, against a plain model: a
 * sorted array of what the tree should hold.  After each of them the whole of
 * the tree is compared with the whole of the model.
 *
 * The model knows the rules of fs/dax-entry.c in their simplest form, and
 * nothing of the XArray.  It never does what would sleep.  Part of the time an
 * allocation fails.
 *
 * DAX_TEST_SEED=N runs that seed only.
 */
#include <kunit/test.h>
#include <linux/xarray_slot.h>

#include "dax-internal.h"

#define OPERATIONS	5000
#define MAX_ENTRIES	256
#define PAGES		BIT(20)

/* The entries that a promotion replaced come back, however full it is then. */
#define MAX_RETURNED	4096

/* Those of x86-64, and one more that needs siblings with both fan-outs. */
static const unsigned int orders[] = { 0, 0, 4, 9, 9, 18 };

struct model_entry {
	unsigned long start;
	void *word;		/* without the lock bit */
	bool locked;
	bool dirty;
	bool towrite;

	/* If it took the place of small ones: those, to be freed. */
	struct dax_promotion *promotion;
	struct model_entry *small;
	unsigned int nr_small;
};

static struct model_entry model[MAX_ENTRIES + MAX_RETURNED];
static unsigned int nr_entries;

static struct inode inode;
static struct address_space *mapping = &inode.i_data;

static unsigned long nr_unmaps, unmaps_wanted;
static unsigned long nr_promoted, nr_undone;

/* For the message of a failure. */
static struct kunit *the_test;
static unsigned long seed, operation;
static char what[100];

#define TELL(fmt, ...)	snprintf(what, sizeof(what), fmt, ##__VA_ARGS__)
#define CHECK(left, right)						\
	KUNIT_COMPARE(the_test, true, left, ==, right,			\
		      ": operation %lu, %s", operation, what)

/* --- chance ------------------------------------------------------------- */

static unsigned long chance;

static unsigned long random_below(unsigned long limit)
{
	/* xorshift64 */
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (chance >> 11) % limit;
}

static unsigned int random_order(void)
{
	return orders[random_below(ARRAY_SIZE(orders))];
}

/* Mostly in a few crowded places, so that entries meet. */
static unsigned long random_index(void)
{
	unsigned long place = random_below(3) * (1UL << 18);

	switch (random_below(20)) {
	case 0:
		return random_below(PAGES);
	case 1 ... 8:
		return place + random_below(1200);
	default:
		return place + random_below(32);
	}
}

/* Mostly with the block that fits to those of its neighbours. */
static void *random_word(unsigned long index, unsigned int order)
{
	switch (random_below(4)) {
	case 0:
		return dax_make_zero(order);
	case 1:
		return dax_make_empty(order);
	default:
		if (random_below(20))
			return dax_make_mapped(round_down(index, 1UL << order),
					       order);
		return dax_make_mapped((1 + random_below(1000)) << order,
				       order);
	}
}

/* --- the model ---------------------------------------------------------- */

static unsigned long nr_pages(const struct model_entry *e)
{
	return dax_entry_nr_pages(e->word);
}

static unsigned long model_nrpages(void)
{
	unsigned long sum = 0;

	for (unsigned int i = 0; i < nr_entries; i++)
		sum += nr_pages(&model[i]);
	return sum;
}

/* The first entry that ends behind @index. */
static unsigned int model_find(unsigned long index)
{
	unsigned int i = 0;

	while (i < nr_entries && model[i].start + nr_pages(&model[i]) <= index)
		i++;
	return i;
}

/* The first entry that overlaps the range of @order around @index. */
static struct model_entry *model_overlap(unsigned long index,
					 unsigned int order)
{
	unsigned long start = round_down(index, 1UL << order);
	unsigned int i = model_find(start);

	if (i == nr_entries || model[i].start >= start + (1UL << order))
		return NULL;
	return &model[i];
}

static struct model_entry *model_insert(unsigned long index, void *word)
{
	unsigned long start = dax_entry_start(word, index);
	unsigned int i = model_find(start);

	memmove(&model[i + 1], &model[i], (nr_entries - i) * sizeof(model[0]));
	nr_entries++;
	model[i] = (struct model_entry) { .start = start, .word = word };
	return &model[i];
}

static void model_delete(struct model_entry *e)
{
	unsigned int i = e - model;

	nr_entries--;
	memmove(&model[i], &model[i + 1], (nr_entries - i) * sizeof(model[0]));
}

/* One that was not promoted, which has a life of its own. */
static struct model_entry *random_entry(bool locked)
{
	unsigned int first = nr_entries ? random_below(nr_entries) : 0;

	for (unsigned int n = 0; n < nr_entries; n++) {
		struct model_entry *e = &model[(first + n) % nr_entries];

		if (e->locked == locked && !e->promotion)
			return e;
	}
	return NULL;
}

static struct model_entry *random_promoted(void)
{
	unsigned int first = nr_entries ? random_below(nr_entries) : 0;

	for (unsigned int n = 0; n < nr_entries; n++) {
		struct model_entry *e = &model[(first + n) % nr_entries];

		if (e->promotion)
			return e;
	}
	return NULL;
}

static unsigned long random_index_in(const struct model_entry *e)
{
	return e->start + random_below(nr_pages(e));
}

static void *model_word(const struct model_entry *e)
{
	return e->locked ? dax_make_locked(e->word) : e->word;
}

/* --- the comparison ----------------------------------------------------- */

static void compare_entry(const struct model_entry *e, unsigned long index,
			  void *entry)
{
	struct xarray *xa = &mapping->i_pages;
	unsigned long last = e->start + nr_pages(e) - 1;
	void *word = model_word(e);

	CHECK(entry, word);
	CHECK(index, e->start);
	CHECK(xa_load(xa, random_index_in(e)), word);
	CHECK(xa_load(xa, last), word);
	CHECK(xa_get_mark(xa, e->start, PAGECACHE_TAG_DIRTY), e->dirty);
	CHECK(xa_get_mark(xa, last, PAGECACHE_TAG_DIRTY), e->dirty);
	CHECK(xa_get_mark(xa, last, PAGECACHE_TAG_TOWRITE), e->towrite);
	CHECK(xa_get_mark(xa, last, PAGECACHE_TAG_WRITEBACK), false);
}

/* There is one thread, and a failed check must not leave with the lock. */
static void compare(void)
{
	XA_STATE(xas, &mapping->i_pages, 0);
	unsigned int i = 0;
	void *entry;

	rcu_read_lock();
	xas_for_each(&xas, entry, ULONG_MAX) {
		CHECK(i < nr_entries, true);
		compare_entry(&model[i++], xas.xa_index, entry);
	}
	rcu_read_unlock();
	CHECK(i, nr_entries);
	CHECK(mapping->nrpages, model_nrpages());
	CHECK(nr_unmaps, unmaps_wanted);
}

/* --- operations --------------------------------------------------------- */

static int allocations_left;
static bool fail_hard;

/* Fail one allocation, or all from that one on. */
static bool fail_allocation(gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp) && !fail_hard)
		return false;
	return allocations_left-- <= 0 && (fail_hard || allocations_left == -1);
}

static void set_up_failure(void)
{
	switch (random_below(8)) {
	case 0:
		fail_hard = false;
		allocations_left = random_below(6);
		break;
	case 1:
		fail_hard = true;
		allocations_left = random_below(6);
		break;
	default:
		fail_hard = false;
		allocations_left = INT_MAX;
	}
}

/* The action of a grab, before it may have to allocate. */
static enum dax_grab_action expected_action(const struct model_entry *found,
					    unsigned int order, bool write)
{
	if (!found)
		return DAX_GRAB_INSERT;
	if (dax_entry_order(found->word) < order)
		return DAX_GRAB_REFUSE;
	if (dax_entry_order(found->word) == order || dax_is_mapped(found->word))
		return DAX_GRAB_LOCK;
	if (dax_is_zero(found->word) && !write)
		return DAX_GRAB_LOCK;
	return DAX_GRAB_DEMOTE;
}

/* Is any of the entries in the range locked, and would be waited for? */
static bool model_any_locked(unsigned long index, unsigned int order)
{
	unsigned long start = round_down(index, 1UL << order);
	unsigned int i = model_find(start);

	for (; i < nr_entries && model[i].start < start + (1UL << order); i++)
		if (model[i].locked)
			return true;
	return false;
}

/* The result of an attempt to promote entries that are all unlocked. */
static int expected_promotion(unsigned long index, unsigned int order)
{
	unsigned long start = round_down(index, 1UL << order);
	unsigned int i = model_find(start);
	bool any_mapped = false;
	unsigned long base = 0;

	if (order > DAX_PROMOTE_MAX_ORDER)
		return -EBUSY;
	for (; i < nr_entries && model[i].start < start + (1UL << order); i++) {
		struct model_entry *e = &model[i];
		unsigned long pfn;

		if (dax_entry_order(e->word))
			return -ERANGE;
		if (!dax_is_mapped(e->word))
			continue;
		pfn = dax_entry_pfn(e->word) - (e->start - start);
		if (pfn & ((1UL << order) - 1) || (any_mapped && pfn != base))
			return -ERANGE;
		any_mapped = true;
		base = pfn;
	}
	return 0;
}

/* Put a locked empty entry in the place of all that are in the range. */
static void model_promote(unsigned long index, unsigned int order,
			  struct dax_promotion *promotion)
{
	unsigned long start = round_down(index, 1UL << order);
	struct model_entry large = {
		.start = start,
		.word = dax_make_empty(order),
		.locked = true,
		.promotion = promotion,
		.small = calloc(MAX_ENTRIES + MAX_RETURNED,
				sizeof(struct model_entry)),
	};
	struct model_entry *e;

	while ((e = model_overlap(start, order))) {
		large.dirty |= e->dirty;
		large.towrite |= e->towrite;
		large.small[large.nr_small] = *e;
		/* Only what has blocks is dirty when it comes back. */
		large.small[large.nr_small].dirty &= dax_is_mapped(e->word);
		large.nr_small++;
		model_delete(e);
	}
	CHECK(promotion->nr, large.nr_small);
	*model_insert(start, large.word) = large;
}

static void do_promote(void)
{
	unsigned long index = random_index();
	/* Also one that is too large, now and then. */
	unsigned int order = 1 + random_below(random_below(4) ? 5 : 10);
	struct model_entry *found = model_overlap(index, order);
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = { .order = order, .promote = true };
	struct dax_promotion *promotion;
	void *entry;
	int want, ret;

	TELL("promote %#lx order %u", index, order);
	if (!found || dax_entry_order(found->word) >= order ||
	    model_any_locked(index, order))
		return;
	want = expected_promotion(index, order);
	/* A peek does not see all. */
	ret = dax_peek_entry(mapping, index, order, true, true);
	CHECK(ret == want || (!ret && want == -ERANGE), true);

	set_up_failure();
	grab.write = random_below(2);
	ret = dax_grab_entry(&xas, &grab);
	promotion = grab.promotion;
	entry = grab.entry;
	if (ret == -ENOMEM && want != -EBUSY && allocations_left < 0)
		return;
	CHECK(ret, want);
	if (ret)
		return;
	CHECK(!promotion, false);
	CHECK(entry, dax_make_empty(order));
	model_promote(index, order, promotion);
	nr_promoted++;
}

/* The promoted entry becomes one for good. */
static void do_finish(void)
{
	struct model_entry *e = random_promoted();

	if (e) {
		unsigned int order = dax_entry_order(e->word);
		XA_STATE_ORDER(xas, &mapping->i_pages, e->start, order);
		void *new = random_word(e->start, order);

		TELL("finish %#lx order %u", e->start, order);
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, e->word, new);
		xas_unlock_irq(&xas);
		dax_finish_promotion(&xas, e->promotion);
		dax_unlock_entry(&xas, new);
		free(e->small);
		e->word = new;
		e->locked = false;
		e->promotion = NULL;
	}
}

/* In how many runs are the zero ones? */
static unsigned int zero_runs(const struct model_entry *e)
{
	unsigned long next = ULONG_MAX;
	unsigned int runs = 0;

	for (unsigned int i = 0; i < e->nr_small; i++) {
		if (!dax_is_zero(e->small[i].word))
			continue;
		runs += e->small[i].start != next;
		next = e->small[i].start + 1;
	}
	return runs;
}

static void do_undo(void)
{
	struct model_entry *e = random_promoted();

	if (e) {
		unsigned int order = dax_entry_order(e->word);
		XA_STATE_ORDER(xas, &mapping->i_pages, e->start, order);
		struct model_entry large = *e;
		bool with_zero = random_below(2);

		TELL("undo %#lx order %u", e->start, order);
		if (!with_zero) {
			dax_unmap_promoted_zero(&xas, e->promotion);
			unmaps_wanted += zero_runs(e);
		}
		allocations_left = 0;
		fail_hard = true;
		dax_undo_promotion(&xas, e->promotion, with_zero);
		/* It has not even tried. */
		CHECK(allocations_left, 0);
		model_delete(e);
		for (unsigned int i = 0; i < large.nr_small; i++) {
			struct model_entry *small = &large.small[i];

			if (dax_is_zero(small->word) && !with_zero)
				continue;
			small->towrite = large.towrite && small->dirty;
			*model_insert(small->start, small->word) = *small;
		}
		free(large.small);
		nr_undone++;
	}
}

/* An fsync begins, and marks what is dirty: a promoted one, too. */
static void do_tag(void)
{
	struct model_entry *e = random_promoted();

	if (e && e->dirty) {
		XA_STATE(xas, &mapping->i_pages, random_index_in(e));

		TELL("tag %#lx", xas.xa_index);
		xas_lock_irq(&xas);
		xas_load(&xas);
		xas_set_mark(&xas, PAGECACHE_TAG_TOWRITE);
		xas_unlock_irq(&xas);
		e->towrite = true;
	}
}

static void do_grab(void)
{
	unsigned long index = random_index();
	unsigned int order = random_order();
	bool write = random_below(2);
	struct model_entry *found = model_overlap(index, order);
	enum dax_grab_action action = expected_action(found, order, write);
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	struct dax_grab grab = {
		.order = order,
		.write = write,
	};
	void *entry;
	int ret;

	TELL("grab %#lx order %u %s", index, order, write ? "write" : "read");
	if (action != DAX_GRAB_REFUSE && found && found->locked)
		return;
	if (nr_entries >= MAX_ENTRIES)
		return;
	CHECK(dax_peek_entry(mapping, index, order, write, false),
	      action == DAX_GRAB_REFUSE ? -EBUSY : 0);

	set_up_failure();
	ret = dax_grab_entry(&xas, &grab);
	entry = grab.entry;
	if (action == DAX_GRAB_REFUSE) {
		CHECK(ret, -EBUSY);
		return;
	}
	if (action == DAX_GRAB_LOCK) {
		CHECK(ret, 0);
		CHECK(entry, found->word);
		found->locked = true;
		return;
	}
	if (action == DAX_GRAB_DEMOTE) {
		unmaps_wanted += dax_is_zero(found->word);
		model_delete(found);
	}
	if (ret == -ENOMEM && fail_hard)
		return;
	CHECK(ret, 0);
	CHECK(entry, dax_make_empty(order));
	model_insert(index, entry)->locked = true;
}

/* A fault that asks no filesystem, and leaves anything but mapped entries. */
static void do_grab_mapped(void)
{
	unsigned long index = random_index();
	unsigned int order = random_order();
	struct model_entry *found = model_overlap(index, order);
	struct dax_grab grab = {
		.order = order,
		.write = random_below(2),
		.unshared = random_below(2),
	};
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	bool fits = found && dax_entry_order(found->word) >= order;
	bool may = fits && dax_is_mapped(found->word) &&
		(!grab.write || grab.unshared ||
		 (found->dirty && !dax_entry_order(found->word)));

	TELL("grab mapped %#lx order %u %s", index, order,
	     grab.write ? "write" : "read");
	if (fits)
		CHECK(dax_is_known(xa_peek(&mapping->i_pages, index), order),
		      dax_is_mapped(found->word));
	if (fits && found->locked)
		return;
	CHECK(dax_grab_mapped(&xas, &grab), may);
	if (!may)
		return;
	CHECK(grab.entry, found->word);
	CHECK(grab.dirtied, grab.write && !found->dirty);
	found->dirty |= grab.write;
	found->locked = true;
}

static void do_unlock(void)
{
	struct model_entry *e = random_entry(true);

	if (e) {
		XA_STATE(xas, &mapping->i_pages, random_index_in(e));

		TELL("unlock %#lx", xas.xa_index);
		dax_unlock_entry(&xas, e->word);
		e->locked = false;
	}
}

static void do_replace(void)
{
	struct model_entry *e = random_entry(true);

	if (e) {
		XA_STATE(xas, &mapping->i_pages, random_index_in(e));
		void *new = random_word(e->start, dax_entry_order(e->word));
		bool dirty = dax_is_mapped(new) && random_below(2);

		TELL("replace %#lx", xas.xa_index);
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, e->word, new);
		if (dirty)
			xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
		xas_unlock_irq(&xas);
		e->word = new;
		e->dirty |= dirty;
	}
}

/* Many small ones in a row, as reads or writes of 4 KiB leave them. */
static void do_fill(void)
{
	unsigned long first = random_index();
	unsigned long last = first + random_below(40);

	TELL("fill from %#lx to %#lx", first, last);
	for (unsigned long index = first; index <= last; index++) {
		XA_STATE(xas, &mapping->i_pages, index);
		struct dax_grab grab = { .write = true };
		struct model_entry *e;
		void *new;

		if (nr_entries >= MAX_ENTRIES)
			return;
		if (model_overlap(index, 0) || random_below(4) == 0)
			continue;
		new = random_word(index, 0);
		CHECK(dax_grab_entry(&xas, &grab), 0);
		xas_lock_irq(&xas);
		dax_replace_entry(&xas, grab.entry, new);
		e = model_insert(index, new);
		e->dirty = dax_is_mapped(new) && random_below(2);
		if (e->dirty)
			xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
		xas_unlock_irq(&xas);
		dax_unlock_entry(&xas, new);
	}
}

static void do_delete(void)
{
	struct model_entry *e = random_entry(random_below(2));

	if (e) {
		XA_STATE(xas, &mapping->i_pages, random_index_in(e));

		TELL("delete %#lx", xas.xa_index);
		xas_lock_irq(&xas);
		dax_delete_entry(&xas, e->word, random_below(3));
		xas_unlock_irq(&xas);
		model_delete(e);
	}
}

/* Look, and then lock or leave it. */
static void do_look(void)
{
	unsigned long index = random_index();
	unsigned int order = random_order();
	struct model_entry *found = model_overlap(index, order);
	bool small = found && dax_entry_order(found->word) < order;
	XA_STATE_ORDER(xas, &mapping->i_pages, index, order);
	void *want = found ? model_word(found) : NULL;
	void *entry;
	int ret;

	TELL("look %#lx order %u", index, order);
	if (found && found->locked && !small)
		return;
	xas_lock_irq(&xas);
	ret = dax_get_unlocked_entry(&xas, order, &entry);
	if (!ret && entry && random_below(2)) {
		dax_lock_entry(&xas, entry);
		found->locked = true;
	} else if (!ret) {
		dax_put_unlocked_entry(&xas, entry);
	}
	xas_unlock_irq(&xas);
	CHECK(ret, small ? -EBUSY : 0);
	CHECK(entry, want);
}

static void do_mark(void)
{
	struct model_entry *e = random_entry(random_below(2));

	if (e) {
		XA_STATE(xas, &mapping->i_pages, random_index_in(e));
		bool dirty = random_below(2);
		bool towrite = random_below(2);

		TELL("mark %#lx", xas.xa_index);
		xas_lock_irq(&xas);
		xas_load(&xas);
		if (dirty)
			xas_set_mark(&xas, PAGECACHE_TAG_DIRTY);
		else
			xas_clear_mark(&xas, PAGECACHE_TAG_DIRTY);
		if (towrite)
			xas_set_mark(&xas, PAGECACHE_TAG_TOWRITE);
		else
			xas_clear_mark(&xas, PAGECACHE_TAG_TOWRITE);
		xas_unlock_irq(&xas);
		e->dirty = dirty;
		e->towrite = towrite;
	}
}

/* The next entry that a walk of all, or of the dirty, ought to meet. */
static unsigned int model_next(unsigned int i, bool dirty)
{
	while (i < nr_entries && dirty && !model[i].dirty)
		i++;
	return i;
}

static bool walk_step(unsigned int *i, bool dirty, struct xa_state *xas,
		      void *entry)
{
	unsigned int next = model_next(*i, dirty);

	*i = next + 1;
	if (random_below(2))
		dax_pause_walk(xas, entry);
	return next < nr_entries && entry == model_word(&model[next]);
}

/* Each entry from @first to @last is met once, whatever rests are made. */
static void walk(bool dirty)
{
	unsigned long first = random_index();
	unsigned long last = first + random_below(PAGES / 4);
	unsigned int i = model_find(first);
	XA_STATE(xas, &mapping->i_pages, first);
	bool right = true;
	void *entry;

	TELL("%s from %#lx to %#lx", dirty ? "dirty" : "all", first, last);
	xas_lock_irq(&xas);
	if (dirty) {
		xas_for_each_marked(&xas, entry, last, PAGECACHE_TAG_DIRTY)
			right &= walk_step(&i, dirty, &xas, entry);
	} else {
		xas_for_each(&xas, entry, last)
			right &= walk_step(&i, dirty, &xas, entry);
	}
	xas_unlock_irq(&xas);
	CHECK(right, true);
	i = model_next(i, dirty);
	CHECK(i >= nr_entries || model[i].start > last, true);
}

static void do_walk(void)
{
	walk(false);
}

static void do_walk_dirty(void)
{
	walk(true);
}

static void (*const operations[])(void) = {
	do_grab, do_grab, do_grab, do_grab, do_grab, do_grab_mapped,
	do_grab_mapped, do_unlock, do_unlock, do_unlock, do_unlock, do_replace,
	do_replace, do_delete, do_delete, do_look, do_look, do_mark, do_walk,
	do_walk_dirty, do_promote, do_promote, do_promote, do_finish, do_undo,
	do_undo, do_tag, do_fill,
};

/* --- the test ----------------------------------------------------------- */

static void count_unmap(struct address_space *of, unsigned long start,
			unsigned long nr, bool even_cows)
{
	nr_unmaps++;
}

static const void *seed_gen_params(const void *prev, char *desc)
{
	static unsigned long seeds[] = { 1, 2, 3, 4 };
	const char *given = getenv("DAX_TEST_SEED");
	unsigned long *next = prev ? (unsigned long *)prev + 1 : seeds;

	if (given && !prev)
		*next = strtoul(given, NULL, 0);
	if (next - seeds >= (given ? 1 : (long)ARRAY_SIZE(seeds)))
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "seed %lu", *next);
	return next;
}

static void random_operations(struct kunit *test)
{
	the_test = test;
	seed = *(const unsigned long *)test->param_value;
	chance = seed * 0x9e3779b97f4a7c15 + 1;
	for (operation = 0; operation < OPERATIONS; operation++) {
		operations[random_below(ARRAY_SIZE(operations))]();
		allocations_left = INT_MAX;
		fail_hard = false;
		compare();
	}
	/* A run in which none of this happened has shown nothing. */
	KUNIT_EXPECT_GT(test, nr_promoted, 40);
	KUNIT_EXPECT_GT(test, nr_promote[DAX_PROMOTE_NO_MEMORY], 0);
	KUNIT_EXPECT_GT(test, nr_undone, 20);
	while (random_promoted())
		do_undo();
	compare();
	for (int i = 0; i < NR_DAX_PROMOTE; i++)
		kunit_info(test, "promotions that came to point %d: %lu", i,
			   nr_promote[i]);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_TRY],
			nr_promote[DAX_PROMOTE_FRAGMENTED] +
			nr_promote[DAX_PROMOTE_NO_MEMORY] +
			nr_promote[DAX_PROMOTE_REPLACE]);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_REPLACE], nr_promoted);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_ROLLBACK], nr_undone);
	KUNIT_EXPECT_EQ(test, nr_promote[DAX_PROMOTE_DONE],
			nr_promoted - nr_undone);
}

static int model_init(struct kunit *test)
{
	address_space_init_once(mapping);
	mapping->host = &inode;
	mapping_set_gfp_mask(mapping, GFP_KERNEL);
	nr_entries = 0;
	nr_unmaps = 0;
	unmaps_wanted = 0;
	nr_promoted = 0;
	nr_undone = 0;
	memset(nr_promote, 0, sizeof(nr_promote));
	fail_hard = false;
	allocations_left = INT_MAX;
	shim_alloc_hook = fail_allocation;
	shim_unmap_hook = count_unmap;
	return 0;
}

static void model_exit(struct kunit *test)
{
	xa_destroy(&mapping->i_pages);
	KUNIT_EXPECT_EQ(test, shim_nr_nodes, 0);
}

static struct kunit_case model_cases[] = {
	KUNIT_CASE_PARAM(random_operations, seed_gen_params),
	{}
};

static struct kunit_suite model_suite = {
	.name = "dax_entry_model",
	.init = model_init,
	.exit = model_exit,
	.test_cases = model_cases,
};

kunit_test_suites(&model_suite);
