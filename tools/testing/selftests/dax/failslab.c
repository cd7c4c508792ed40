// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nodes of the XArray that cannot be allocated under a fault. The fault is
 * tried again, or fails with SIGBUS; nothing hangs, and what was stored is
 * there. (W1) Only these nodes: what a file system makes of failures of its
 * own is not our subject.
 */
#include "dax_harness.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define NODES		"/sys/kernel/slab/radix_tree_node/failslab"

static const char *failslab_off(void)
{
	if (access(FAILSLAB "probability", W_OK))
		return "needs CONFIG_FAILSLAB with its debugfs files";
	if (access(NODES, W_OK))
		return "needs " NODES;
	return NULL;
}

/* Of a thread that asked for it, so many allocations of a node fail. */
static void failslab_arm(unsigned int percent)
{
	int err = 0;

	err |= dax_write_file(NODES, "1");
	err |= dax_write_file(FAILSLAB "cache-filter", "1");
	err |= dax_write_file(FAILSLAB "task-filter", "1");
	err |= dax_write_file(FAILSLAB "ignore-gfp-wait", "0");
	err |= dax_write_file(FAILSLAB "verbose", "0");
	err |= dax_write_file(FAILSLAB "interval", "1");
	err |= dax_write_file(FAILSLAB "space", "0");
	err |= dax_write_file(FAILSLAB "times", "-1");
	err |= dax_write_file(FAILSLAB "probability", "%u", percent);
	if (err)
		dax_die("failslab cannot be set up");
}

static void failslab_disarm(void)
{
	dax_write_file(FAILSLAB "probability", "0");
	dax_write_file(FAILSLAB "task-filter", "0");
	dax_write_file(NODES, "0");
}

static void fail_me(bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/make-it-fail",
		 gettid());
	if (dax_write_file(path, "%d", on))
		dax_die("%s: %s", path, strerror(errno));
}

struct counts {
	unsigned int stored, refused, odd;
};

static int touch_failing(char *p, bool write)
{
	int sig;

	fail_me(true);
	sig = dax_touch_signal(p, write, NULL);
	fail_me(false);
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

static void check(struct __test_metadata *_metadata, char *p, size_t len,
		  size_t step, struct counts *n)
{
	unsigned int stored = 0, odd = 0;

	dax_note("%u stores, %u SIGBUS", n->stored, n->refused);
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

static void fresh_range(struct __test_metadata *_metadata, size_t shift,
			bool read_first)
{
	size_t len = 8 * SZ_2M, step = shift ? 8 * SZ_4K : SZ_2M / 8;
	unsigned int rounds = dax_scale(4);

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(len, PREALLOC);
		char *p = dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE,
					  MAP_SHARED, shift);
		struct counts n = {};

		failslab_arm(30 + 10 * i);
		if (read_first)
			for (size_t at = 0; at < len; at += SZ_2M)
				touch_failing(p + at, false);
		store_failing(p, len, step, &n);
		failslab_disarm();
		check(_metadata, p, len, step, &n);
		dax_unmap(p, len);
		dax_unlink(fd);
		close(fd);
	}
}

TEST_F(dax, huge_faults)
{
	NEED(failslab_off());
	fresh_range(_metadata, 0, false);
}

TEST_F(dax, small_faults)
{
	NEED(failslab_off());
	fresh_range(_metadata, SZ_4K, false);
}

/* Over huge zero pages, small stores have to demote without memory. */
TEST_F(dax, over_zero_pages)
{
	size_t len = 8 * SZ_2M, step = 16 * SZ_4K;
	struct counts n = {};
	char *huge, *p;
	int fd;

	NEED(failslab_off());
	fd = dax_file(len, HOLE);
	huge = dax_map(fd, 0, len);
	p = dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			    SZ_4K);
	for (size_t at = 0; at < len; at += SZ_2M)
		dax_peek(huge + at);
	failslab_arm(50);
	store_failing(p, len, step, &n);
	failslab_disarm();
	check(_metadata, huge, len, step, &n);
}

TEST_F(dax, huge_over_zero_pages)
{
	NEED(failslab_off());
	fresh_range(_metadata, 0, true);
}

/* The same while another thread faults without failures. */
struct helper {
	char *p;
	size_t len;
	volatile bool stop;
};

static void *fault_on(void *arg)
{
	struct helper *helper = arg;

	while (!helper->stop)
		for (size_t at = 0; at < helper->len; at += 8 * SZ_4K)
			dax_peek(helper->p + at);
	return NULL;
}

TEST_F(dax, beside_another_thread)
{
	size_t len = 8 * SZ_2M, step = 16 * SZ_4K;
	struct helper helper = { .len = len };
	struct counts n = {};
	pthread_t thread;
	char *p;
	int fd;

	NEED(failslab_off());
	fd = dax_file(len, HOLE);
	helper.p = dax_map(fd, 0, len);
	p = dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			    SZ_4K);
	thread = dax_thread(fault_on, &helper);
	failslab_arm(50);
	store_failing(p, len, step, &n);
	failslab_disarm();
	helper.stop = true;
	dax_join(thread);
	check(_metadata, p, len, step, &n);
}

TEST_F(dax, fsync_and_truncate)
{
	size_t len = 2 * SZ_2M;
	char *p;
	int fd;

	NEED(failslab_off());
	fd = dax_file(len, PREALLOC);
	p = dax_map(fd, 0, len);
	for (int i = 0; i < 10; i++) {
		dax_poke(p + i * SZ_4K, 'a' + i);
		dax_poke(p + SZ_2M, 'A' + i);
		failslab_arm(20);
		fail_me(true);
		fsync(fd);
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  SZ_2M, SZ_2M);
		fail_me(false);
		failslab_disarm();
		EXPECT_EQ('a' + i, dax_peek(p + i * SZ_4K));
	}
	dax_fsync(fd);
}

TEST_HARNESS_MAIN
