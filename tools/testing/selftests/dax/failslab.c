// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocations of XArray nodes that fail during a fault. The fault is retried,
 * or raises SIGBUS; nothing hangs, and all stored data is there. Failures
 * of the filesystem's own allocations are not tested.
 *
 * A promotion needs nodes, and a record of what it replaces. Without them the
 * small entries stay, and the fault falls back to 4 KiB.
 */
#include "dax_harness.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define CACHE(name)	"/sys/kernel/slab/" name "/failslab"
#define NODES		CACHE("radix_tree_node")
#define RECORDS		CACHE("kmalloc-512")	/* struct dax_promotion */

static const char *failslab_off(void)
{
	if (access(FAILSLAB "probability", W_OK))
		return "needs CONFIG_FAILSLAB with its debugfs files";
	if (access(NODES, W_OK))
		return "needs " NODES;
	return NULL;
}

DAX_NEEDS(failslab_off())

/*
 * This percentage of the allocations from @cache fails, in threads that opt in.
 */
static void failslab_arm_cache(const char *cache, unsigned int percent)
{
	if (dax_write_file(cache, "1") ||
	    dax_write_file(FAILSLAB "cache-filter", "1") ||
	    dax_write_file(FAILSLAB "task-filter", "1") ||
	    dax_write_file(FAILSLAB "ignore-gfp-wait", "0") ||
	    dax_write_file(FAILSLAB "verbose", "0") ||
	    dax_write_file(FAILSLAB "interval", "1") ||
	    dax_write_file(FAILSLAB "space", "0") ||
	    dax_write_file(FAILSLAB "times", "-1") ||
	    dax_write_file(FAILSLAB "probability", "%u", percent))
		dax_exit_fail("failslab cannot be set up");
}

static void failslab_arm(unsigned int percent)
{
	failslab_arm_cache(NODES, percent);
}

static void failslab_disarm(void)
{
	dax_write_file(FAILSLAB "probability", "0");
	dax_write_file(FAILSLAB "task-filter", "0");
	dax_write_file(NODES, "0");
	dax_write_file(RECORDS, "0");
}

struct counts {
	unsigned int stored, refused, odd;
};

static int touch_failing(char *p, bool write)
{
	int sig;

	dax_fail_me(true);
	sig = dax_touch_signal(p, write, NULL);
	dax_fail_me(false);
	return sig;
}

static void store_failing(char *p, size_t len, size_t step, struct counts *n)
{
	for (size_t at = 0; at < len; at += step) {
		int sig = touch_failing(p + at, true);

		n->stored += !sig;
		n->refused += sig == SIGBUS;
		n->odd += sig && sig != SIGBUS;
	}
}

static void check(char *p, size_t len, size_t step, struct counts *n)
{
	unsigned int stored = 0, odd = 0;

	dax_print_msg("%u stores, %u SIGBUS", n->stored, n->refused);
	EXPECT_EQ(0, n->odd);
	EXPECT_EQ(len / step, n->stored + n->refused);
	for (size_t at = 0; at < len; at += step) {
		stored += dax_peek(p + at) == 'w';
		odd += dax_peek(p + at) != 'w' && dax_peek(p + at) != 0;
		odd += dax_peek(p + at + 1) != 0;
	}
	EXPECT_EQ(n->stored, stored);
	EXPECT_EQ(0, odd);
	/* And with memory back, all of it can be stored to. */
	for (size_t at = 0; at < len; at += step) {
		dax_poke(p + at, 'x');
		ASSERT_EQ('x', dax_peek(p + at));
	}
}

static void fresh_range(size_t shift, bool read_first)
{
	size_t len = 8 * SZ_2M, step = shift ? 8 * SZ_4K : SZ_2M / 8;
	unsigned int rounds = dax_scale(4);

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(len, PREALLOC);
		char *p = dax_map_shift(fd, len, shift);
		struct counts n = {};

		failslab_arm(30 + 10 * i);
		if (read_first)
			for (size_t at = 0; at < len; at += SZ_2M)
				touch_failing(p + at, false);
		store_failing(p, len, step, &n);
		failslab_disarm();
		check(p, len, step, &n);
		dax_unmap(p, len);
		dax_remove(fd);
	}
}

TEST_F(dax, huge_faults) DAX_CALL(fresh_range(0, false))
TEST_F(dax, small_faults) DAX_CALL(fresh_range(SZ_4K, false))
TEST_F(dax, huge_over_zero_pages) DAX_CALL(fresh_range(0, true))

/* A thread that faults without failures. */
static struct {
	char *p;
	size_t len;
} helper;

static void fault_on(unsigned long nr)
{
	dax_touch_each(helper.p, helper.len, 8 * SZ_4K, false);
}

/* Small stores have to demote huge zero pages without memory. */
static void over_zero_pages(bool beside)
{
	size_t len = 8 * SZ_2M, step = 16 * SZ_4K;
	int fd = dax_file(len, HOLE);
	char *huge = dax_map(fd, 0, len), *p = dax_map_small(fd, len);
	struct counts n = {};

	helper.p = huge;
	helper.len = len;
	if (beside)
		dax_background(fault_on);
	else
		dax_touch_each(huge, len, SZ_2M, false);
	failslab_arm(50);
	store_failing(p, len, step, &n);
	failslab_disarm();
	if (beside)
		dax_background_stop();
	check(huge, len, step, &n);
}

TEST_F(dax, over_zero_pages) DAX_CALL(over_zero_pages(false))
TEST_F(dax, beside_another_thread) DAX_CALL(over_zero_pages(true))

TEST_F(dax, fsync_and_truncate)
{
	size_t len = 2 * SZ_2M;
	int fd = dax_file(len, PREALLOC);
	char *p = dax_map(fd, 0, len);

	for (int i = 0; i < 10; i++) {
		dax_poke(p + i * SZ_4K, 'a' + i);
		dax_poke(p + SZ_2M, 'A' + i);
		failslab_arm(20);
		dax_fail_me(true);
		fsync(fd);
		fallocate(fd, PUNCH_HOLE, SZ_2M, SZ_2M);
		dax_fail_me(false);
		failslab_disarm();
		EXPECT_EQ('a' + i, dax_peek(p + i * SZ_4K));
	}
	dax_fsync(fd);
}

/* Promotion. */

#define BLOCKS	4

/* Small entries, of which some are dirty, in each block. */
static char *small_entries(int fd)
{
	char *small = dax_map_small(fd, BLOCKS * SZ_2M);

	for (unsigned int i = 0; i < BLOCKS * PAGES_2M; i++) {
		if (DIRTY(i))
			dax_poke(small + i * SZ_4K, 's');
		else if (i % 3 == 0)
			dax_peek(small + i * SZ_4K);
	}
	return small;
}

static unsigned int wrong_bytes(const char *p)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < BLOCKS * PAGES_2M; i++)
		nr += dax_peek(p + i * SZ_4K) != (DIRTY(i) ? 's' : FILL);
	return nr;
}

/* All of them are there, and so are their marks. */
static void expect_small(int fd, const struct dax_ptes *view, const char *small)
{
	EXPECT_EQ(0, dax_count("dax_promote_entry", "done"));
	EXPECT_EQ(0, dax_count_all("dax_delete_entry"));
	for (unsigned int i = 0; i < BLOCKS; i++)
		EXPECT_EQ(0, dax_ptes_changed(&view[i], small + i * SZ_2M));
	EXPECT_SMALL_FLUSHES(NR_DIRTY(BLOCKS * PAGES_2M), fd);
}

DAX_VARIANTS(without, dax_needs() ?: dax_no_promotion() ?:
	     (access(variant->cache, W_OK) ?
	      "the slab cache has no failslab" : NULL), const char *cache; bool collapse;)

FIXTURE_VARIANT_ADD(without, nodes) { .cache = NODES };
FIXTURE_VARIANT_ADD(without, record) { .cache = RECORDS };
FIXTURE_VARIANT_ADD(without, nodes_collapse) { .cache = NODES, .collapse = true };
FIXTURE_VARIANT_ADD(without, record_collapse) { .cache = RECORDS, .collapse = true };

/* A fault is small, and gives the reason. */
static void refuse_faults(char *p)
{
	unsigned int nr, signals = 0;

	for (unsigned int i = 0; i < BLOCKS; i++)
		signals += !!touch_failing(p + i * SZ_2M, false);
	EXPECT_EQ(0, signals);
	nr = FALLBACKS("no-memory");
	EXPECT_LE(BLOCKS, nr);
	EXPECT_GE(2 * BLOCKS, nr);
	EXPECT_EQ(nr, PROMOTE("try"));
	EXPECT_EQ(nr, ALL_FALLBACKS());
	for (unsigned int i = 0; i < BLOCKS; i++)
		EXPECT_MAPPED("4K", p + i * SZ_2M);
}

static void refuse_collapse(char *p)
{
	dax_fail_me(true);
	for (unsigned int i = 0; i < BLOCKS; i++)
		EXPECT_EQ(ENOMEM, dax_collapse(p + i * SZ_2M, SZ_2M));
	EXPECT_EQ(ENOMEM, dax_collapse(p, BLOCKS * SZ_2M));
	dax_fail_me(false);
	EXPECT_EQ(0, dax_count("dax_collapse", "result 0"));
}

/* When memory is available again, the next try succeeds. */
TEST_F(without, promotion)
{
	struct dax_ptes *view = calloc(BLOCKS, sizeof(*view));
	size_t len = BLOCKS * SZ_2M;
	char *small, *p, *watched;
	int fd;

	if (variant->collapse)
		ASSERT_EQ(NULL, dax_policy("off"));
	fd = dax_file(len, WRITTEN);
	small = small_entries(fd);
	p = dax_map(fd, 0, len);
	if (variant->collapse)
		EXPECT_EQ(0, wrong_bytes(p));
	watched = variant->collapse ? p : small;
	for (unsigned int i = 0; i < BLOCKS; i++)
		dax_snapshot_ptes(&view[i], watched + i * SZ_2M);
	dax_trace(fd, NULL);
	failslab_arm_cache(variant->cache, 100);
	if (variant->collapse)
		refuse_collapse(p);
	else
		refuse_faults(p);
	failslab_disarm();
	EXPECT_EQ(PROMOTE("try"), PROMOTE("refuse-no-memory"));
	expect_small(fd, view, watched);
	EXPECT_EQ(0, wrong_bytes(p));

	if (variant->collapse) {
		EXPECT_EQ(0, dax_collapse(p, len));
	} else {
		p = dax_map(fd, 0, len);
		for (unsigned int i = 0; i < BLOCKS; i++)
			dax_poke(p + i * SZ_2M + 1, 'w');
	}
	for (unsigned int i = 0; i < BLOCKS; i++)
		EXPECT_MAPPED("2M", p + i * SZ_2M);
	EXPECT_EQ(0, wrong_bytes(p));
	EXPECT_EQ(0, wrong_bytes(small));
	expect_balance();
}

/*
 * One allocation or another of the ten or so fails, so that each is the first
 * one to fail at some time. Stores go on as well, since small entries that are
 * stored to need memory of their own.
 */
DAX_EITHER(failures, dax_needs() ?: dax_no_promotion(), by_collapse, fault,
	   collapse);

TEST_F(failures, promotion)
{
	unsigned int rounds = dax_scale(10), huge = 0, small_ones = 0, odd = 0;
	size_t len = BLOCKS * SZ_2M;

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(len, WRITTEN);
		char *small = small_entries(fd), *p = dax_map(fd, 0, len);

		if (variant->by_collapse) {
			ASSERT_EQ(NULL, dax_policy("off"));
			EXPECT_EQ(0, wrong_bytes(p));
		}
		failslab_arm(3 + i % 10 * 3);
		for (size_t at = 0; at < len; at += SZ_2M) {
			int err = 0;

			dax_fail_me(true);
			if (variant->by_collapse)
				err = dax_collapse(p + at, SZ_2M);
			else if (dax_touch_signal(p + at + 1, at & SZ_2M, NULL))
				odd++;
			dax_fail_me(false);
			odd += err && err != ENOMEM;
			huge += !strcmp(dax_mapped(p + at), "2M");
			small_ones += !strcmp(dax_mapped(p + at), "4K");
		}
		failslab_disarm();
		EXPECT_EQ(0, wrong_bytes(small));
		EXPECT_EQ(0, wrong_bytes(p));
		dax_unmap(p, len);
		dax_unmap(small, len);
		dax_remove(fd);
		expect_balance();
	}
	dax_print_msg("%u rounds: %u times huge, %u times small", rounds, huge,
		      small_ones);
	EXPECT_EQ(0, odd);
	EXPECT_EQ(rounds * BLOCKS, huge + small_ones);
	EXPECT_LT(0, huge);
	EXPECT_LT(0, small_ones);
}

DAX_FIXTURE(collapsed, dax_needs() ?: dax_no_promotion() ?: dax_policy("off"))

/*
 * Allocations before the one that failed are freed. A leak of one node is a
 * thousand of them here; a few nodes come and go for other reasons.
 */
TEST_F(collapsed, no_leak)
{
	static const unsigned int tries = 1000;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *p = dax_map(fd, 0, SZ_2M);
	unsigned long nodes, records;
	unsigned int refused = 0;

	dax_poke(small + 5 * SZ_4K, 's');
	dax_peek(p);
	nodes = dax_slab_objects("radix_tree_node");
	records = dax_slab_objects("kmalloc-512");
	/* It takes eight nodes, and each fifth one fails. */
	failslab_arm(100);
	dax_write_file(FAILSLAB "interval", "5");
	dax_fail_me(true);
	for (unsigned int i = 0; i < tries; i++)
		refused += dax_collapse(p, SZ_2M) == ENOMEM;
	dax_fail_me(false);
	failslab_disarm();
	nodes = dax_slab_objects("radix_tree_node") - nodes;
	records = dax_slab_objects("kmalloc-512") - records;
	dax_print_msg("%u of %u refused: %ld nodes and %ld records more",
		      refused, tries, (long)nodes, (long)records);
	EXPECT_EQ(tries, refused);
	EXPECT_GT((long)tries / 2, (long)nodes);
	EXPECT_GT((long)tries / 2, (long)records);
	expect_balance();
}

TEST_HARNESS_MAIN
