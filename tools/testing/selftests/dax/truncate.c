// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truncate and hole punch against mappings: beyond the end is SIGBUS, the rest
 * of a page is zero, and a block that was freed is nobody's any more.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "dax_harness.h"

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

FIXTURE_VARIANT(dax) {
	size_t shift;	/* of the mapping: off colour gives 4 KiB entries */
};

FIXTURE_VARIANT_ADD(dax, 4k) { .shift = SZ_4K };
FIXTURE_VARIANT_ADD(dax, 2m) { .shift = 0 };

static char *map(int fd, size_t len, size_t shift)
{
	return dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			       shift);
}

TEST_F(dax, beyond_the_end)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map(fd, 2 * SZ_2M, variant->shift);
	size_t end = SZ_2M + 10 * SZ_4K;

	dax_poke(p + SZ_2M, 'w');
	dax_poke(p + end, 'x');
	dax_truncate(fd, end);
	EXPECT_EQ(0, dax_touch_signal(p + end - 1, true, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + end, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + end, true, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + 2 * SZ_2M - 1, false, NULL));
	EXPECT_EQ('w', dax_peek(p + SZ_2M));

	dax_truncate(fd, 2 * SZ_2M);
	EXPECT_BYTES(0, p + end, 2 * SZ_2M - end);
}

/* The rest of the last page is zeroed, and stays so when the file grows. */
TEST_F(dax, rest_of_the_page)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);
	size_t end = 5 * SZ_4K + 1001;

	dax_poke(p, 'w');
	dax_truncate(fd, end);
	EXPECT_EQ(FILL, dax_peek(p + end - 1));
	EXPECT_BYTES(0, p + end, 6 * SZ_4K - end);
	dax_truncate(fd, SZ_2M);
	EXPECT_EQ(FILL, dax_peek(p + end - 1));
	EXPECT_BYTES(0, p + end, SZ_2M - end);
}

/* A file that has one entry only, truncated from inside of it. (W8) */
TEST_F(dax, inside_the_only_entry)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);

	dax_poke(p + 100 * SZ_4K, 'w');
	dax_truncate(fd, 99 * SZ_4K);
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + 100 * SZ_4K, false, NULL));
	EXPECT_BYTES(FILL, p, 99 * SZ_4K);
	dax_truncate(fd, 0);
	EXPECT_EQ(SIGBUS, dax_touch_signal(p, false, NULL));
}

/* Truncated and extended again, the old bytes are gone. */
TEST_F(dax, down_and_up)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);

	for (int i = 0; i < 5; i++) {
		dax_poke(p + i * SZ_4K, 'w');
		dax_truncate(fd, 0);
		dax_truncate(fd, SZ_2M);
		EXPECT_EQ(0, dax_peek(p + i * SZ_4K));
		dax_poke(p + i * SZ_4K, 'x');
		EXPECT_EQ('x', dax_peek(p + i * SZ_4K));
	}
}

/* A punched page reads zero, in mappings of every kind, and its neighbours not. */
TEST_F(dax, punch_inside)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift), *page;
	size_t at = 40 * SZ_4K;

	page = dax_map(fd, at, SZ_4K);
	dax_poke(p + at, 'w');
	EXPECT_EQ('w', dax_peek(page));
	dax_falloc(fd, PUNCH, at, SZ_4K);
	EXPECT_BYTES(0, page, SZ_4K);
	EXPECT_BYTES(0, p + at, SZ_4K);
	EXPECT_BYTES(FILL, p, at);
	EXPECT_BYTES(FILL, p + at + SZ_4K, SZ_2M - at - SZ_4K);
	dax_poke(page, 'x');
	EXPECT_EQ('x', dax_peek(p + at));
}

/* Parts of pages are zeroed in place, and the mapping sees it. */
TEST_F(dax, punch_odd_bytes)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);
	size_t from = 3 * SZ_4K + 77, to = 9 * SZ_4K + 5;

	dax_peek(p);
	dax_falloc(fd, PUNCH, from, to - from);
	EXPECT_BYTES(FILL, p, from);
	EXPECT_BYTES(0, p + from, to - from);
	EXPECT_BYTES(FILL, p + to, SZ_2M - to);

	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, 20 * SZ_4K + 1, SZ_4K);
	EXPECT_EQ(FILL, dax_peek(p + 20 * SZ_4K));
	EXPECT_BYTES(0, p + 20 * SZ_4K + 1, SZ_4K);
	EXPECT_EQ(FILL, dax_peek(p + 21 * SZ_4K + 1));
}

/* What was dirty and is punched out is not written back. */
TEST_F(dax, punched_is_not_dirty)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);

	dax_trace(fd, "dax_writeback_one");
	dax_poke(p, 'w');
	dax_falloc(fd, PUNCH, 0, SZ_2M);
	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_EQ(0, dax_count("dax_writeback_one", "%s", ""));
}

/*
 * A dirty entry that loses a part goes as a whole. What is left of the file has
 * to be flushed all the same, at once or by fsync.
 */
static void part_of_dirty_goes(struct __test_metadata *_metadata, size_t shift,
			       void (*cut)(int fd))
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, shift);

	dax_trace(fd, "dax_writeback_one");
	dax_poke(p, 'w');
	cut(fd);
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "pgoff 0x0"));
}

static void cut_second_half(int fd)
{
	dax_truncate(fd, SZ_1M);
}

static void cut_one_page(int fd)
{
	dax_falloc(fd, PUNCH, SZ_1M, SZ_4K);
}

TEST_F(dax, truncated_beside_dirty)
{
	part_of_dirty_goes(_metadata, variant->shift, cut_second_half);
}

TEST_F(dax, punched_beside_dirty)
{
	part_of_dirty_goes(_metadata, variant->shift, cut_one_page);
}

/* The blocks move in the file: mappings follow. */
TEST_F(dax, collapse_and_insert)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map(fd, SZ_2M, variant->shift);

	for (int i = 0; i < 16; i++)
		dax_poke(p + i * SZ_4K, 'A' + i);
	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 3 * SZ_4K);
	for (int i = 0; i < 13; i++)
		EXPECT_EQ('A' + 3 + i, dax_peek(p + i * SZ_4K));
	dax_poke(p, 'x');
	dax_falloc(fd, FALLOC_FL_INSERT_RANGE, 0, 5 * SZ_4K);
	EXPECT_BYTES(0, p, 5 * SZ_4K);
	EXPECT_EQ('x', dax_peek(p + 5 * SZ_4K));
	EXPECT_EQ('A' + 4, dax_peek(p + 6 * SZ_4K));
}

/*
 * One thread stores through the mapping, the other punches the same pages,
 * gives the freed blocks to another file, and looks whether its bytes stay: a
 * store through a stale pte would land there. The file system is nearly full
 * and each round is committed, so freed blocks are what is left to give. (D14)
 */
struct reuse {
	int fd, other;
	char *p;
	volatile bool stop;
	unsigned long stores;
};

static void *store_on(void *arg)
{
	struct reuse *reuse = arg;

	for (; !reuse->stop; reuse->stores++)
		dax_poke(reuse->p + reuse->stores * 1031 % SZ_2M, 's');
	return NULL;
}

static void punch_and_watch(struct __test_metadata *_metadata,
			    struct reuse *reuse, void (*release)(int fd))
{
	unsigned int rounds = dax_scale(25);
	char *buf = malloc(SZ_2M);
	pthread_t thread;

	reuse->other = dax_create("other");
	dax_fill_up(5 * SZ_1M);
	thread = dax_thread(store_on, reuse);
	for (unsigned int i = 0; i < rounds; i++) {
		release(reuse->fd);
		dax_fsync(reuse->fd);
		dax_fill(reuse->other, 0, SZ_2M, 'o');
		dax_read(reuse->other, 0, buf, SZ_2M);
		if (dax_differs(buf, SZ_2M, 'o') >= 0)
			break;
		sched_yield();
		dax_read(reuse->other, 0, buf, SZ_2M);
		if (dax_differs(buf, SZ_2M, 'o') >= 0)
			break;
		dax_truncate(reuse->other, 0);
	}
	reuse->stop = true;
	dax_join(thread);
	EXPECT_BYTES('o', buf, SZ_2M);
	EXPECT_LT(0, reuse->stores);
	free(buf);
}

static void release_by_punch(int fd)
{
	dax_falloc(fd, PUNCH, 0, SZ_2M);
}

TEST_F(dax, punch_against_stores)
{
	struct reuse reuse = {};

	NEED(dax_small_scratch());
	reuse.fd = dax_file(SZ_2M, WRITTEN);
	reuse.p = map(reuse.fd, SZ_2M, variant->shift);
	punch_and_watch(_metadata, &reuse, release_by_punch);
}

static void release_by_zero(int fd)
{
	dax_falloc(fd, PUNCH, 0, SZ_1M);
	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, 0, SZ_2M);
}

TEST_F(dax, zero_range_against_stores)
{
	struct reuse reuse = {};

	NEED(dax_small_scratch());
	reuse.fd = dax_file(SZ_2M, WRITTEN);
	reuse.p = map(reuse.fd, SZ_2M, variant->shift);
	punch_and_watch(_metadata, &reuse, release_by_zero);
}

/*
 * read(2) against punch sees the file's bytes or zeros. The read stops in the
 * middle of its copy, as a page of its buffer is not there yet: userfaultfd
 * says so, and holds it back until the punch has come to its end, and another
 * file has got the blocks; or waits for the read. (T9)
 */
#define READ_LEN	(2 * SZ_2M)

struct slow_read {
	int fd;
	char *buf;
	volatile pid_t puncher;
	volatile bool punched;
};

static void *read_slowly(void *arg)
{
	struct slow_read *slow = arg;

	dax_read(slow->fd, 0, slow->buf, READ_LEN);
	return NULL;
}

static void *punch_what_is_read(void *arg)
{
	struct slow_read *slow = arg;

	slow->puncher = gettid();
	dax_falloc(slow->fd, PUNCH, 0, READ_LEN);
	slow->punched = true;
	return NULL;
}

/* Who touches @page has to wait until what is returned is closed. */
static int hold_back(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)page, .len = SZ_4K },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0)
		return -1;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg))
		dax_die("userfaultfd: %s", strerror(errno));
	return uffd;
}

/* A task that is awake is in no system call, says the file. */
static bool sleeps_in(pid_t tid, long nr)
{
	char path[64];
	long now = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (fscanf(f, "%ld", &now) != 1)
		now = -1;
	fclose(f);
	return now == nr;
}

TEST_F(dax, read_against_punch)
{
	struct slow_read slow = {};
	pthread_t reader, puncher;
	struct uffd_msg msg;
	unsigned int odd = 0;
	int other, uffd;

	NEED(access("/proc/self/syscall", R_OK) ?
	     "needs CONFIG_HAVE_ARCH_TRACEHOOK, /proc/self/syscall" : NULL);
	NEED(dax_small_scratch());
	slow.fd = dax_file(READ_LEN, WRITTEN);
	other = dax_create("other");
	dax_fill_up(0);
	slow.buf = mmap(NULL, READ_LEN, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uffd = hold_back(slow.buf);
	NEED(uffd < 0 ? "needs userfaultfd, CONFIG_USERFAULTFD" : NULL);

	reader = dax_thread(read_slowly, &slow);
	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		dax_die("userfaultfd: %s", strerror(errno));
	puncher = dax_thread(punch_what_is_read, &slow);
	while (!slow.punched && !sleeps_in(slow.puncher, SYS_fallocate))
		sched_yield();
	if (slow.punched) {
		/* ext4 keeps less than 2 MiB back that were free before. */
		dax_fsync(slow.fd);
		dax_fill(other, 0, READ_LEN - SZ_1M, 'X');
	}
	close(uffd);
	dax_join(reader);
	dax_join(puncher);
	for (size_t i = 0; i < READ_LEN; i++)
		odd += slow.buf[i] != 0 && slow.buf[i] != FILL;
	EXPECT_EQ(0, odd);
	munmap(slow.buf, READ_LEN);
}

/* Truncate and faults beyond, round by round: SIGBUS or the file's bytes. */
static void *truncate_on(void *arg)
{
	struct reuse *reuse = arg;

	while (!reuse->stop) {
		dax_truncate(reuse->fd, 4 * SZ_4K);
		dax_truncate(reuse->fd, SZ_2M);
	}
	return NULL;
}

TEST_F(dax, truncate_against_faults)
{
	struct reuse reuse = { .fd = dax_file(SZ_2M, WRITTEN) };
	unsigned int rounds = dax_scale(300), other = 0;
	pthread_t thread;

	reuse.p = map(reuse.fd, SZ_2M, variant->shift);
	thread = dax_thread(truncate_on, &reuse);
	for (unsigned int i = 0; i < rounds; i++) {
		int sig = dax_touch_signal(reuse.p + i % PAGES_2M * SZ_4K,
					   i % 3 == 0, NULL);

		other += sig != 0 && sig != SIGBUS;
		other += i % PAGES_2M < 4 && sig;
	}
	reuse.stop = true;
	dax_join(thread);
	EXPECT_EQ(0, other);
}

TEST_HARNESS_MAIN
