// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truncate and hole punch against mappings: an access beyond the end raises
 * SIGBUS, the rest of a page is zero, and a freed block is not accessible any
 * more.
 */
#include <linux/userfaultfd.h>

#include "dax_harness.h"
#include "dax_stall.h"

DAX_SIZES(dax);
DAX_SIZES_FILE(mapped, dax_file(SZ_2M, WRITTEN),
	       dax_map_shift(self->fd, SZ_2M, variant->shift));

TEST_F(dax, beyond_the_end)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map_shift(fd, 2 * SZ_2M, variant->shift);
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
TEST_F(mapped, rest_of_the_page)
{
	size_t end = 5 * SZ_4K + 1001;

	dax_poke(self->p, 'w');
	dax_truncate(self->fd, end);
	EXPECT_EQ(FILL, dax_peek(self->p + end - 1));
	EXPECT_BYTES(0, self->p + end, 6 * SZ_4K - end);
	dax_truncate(self->fd, SZ_2M);
	EXPECT_EQ(FILL, dax_peek(self->p + end - 1));
	EXPECT_BYTES(0, self->p + end, SZ_2M - end);
}

/*
 * Bytes that are stored behind the end of a file, in its last page, are not
 * part of it. A file that grows over them reads zeroes there, whichever call
 * makes it grow.
 */
#define OLD_END	((off_t)(5 * SZ_4K + 100))
#define GROWN	10	/* bytes */

static void by_write(int fd, off_t at)
{
	dax_fill(fd, at, GROWN, 'g');
}

static void by_append(int fd, off_t at)
{
	char buf[GROWN];

	memset(buf, 'g', sizeof(buf));
	if (fcntl(fd, F_SETFL, O_APPEND) ||
	    write(fd, buf, sizeof(buf)) != sizeof(buf))
		dax_exit_fail("append: %m");
}

static void by_copy(int fd, off_t at)
{
	int from = dax_create("from");
	loff_t off = 0;

	dax_fill(from, 0, GROWN, 'g');
	if (copy_file_range(from, &off, fd, &at, GROWN, 0) != GROWN)
		dax_exit_fail("copy_file_range: %m");
	close(from);
}

static void by_splice(int fd, off_t at)
{
	char buf[GROWN];
	int pipe_fd[2];

	memset(buf, 'g', sizeof(buf));
	if (pipe(pipe_fd) || write(pipe_fd[1], buf, sizeof(buf)) !=
	    sizeof(buf) || splice(pipe_fd[0], NULL, fd, &at, GROWN, 0) != GROWN)
		dax_exit_fail("splice: %m");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/* Nothing can be copied: a size that stays is right, and a clean end, too. */
static void by_bad_write(int fd, off_t at)
{
	char *bad = dax_anonymous(SZ_4K, PROT_NONE);

	if (pwrite(fd, bad, GROWN, at) >= 0 || errno != EFAULT)
		dax_exit_fail("a write of what cannot be read did not fail");
	munmap(bad, SZ_4K);
	by_write(fd, at);
}

static void by_truncate(int fd, off_t at)
{
	dax_truncate(fd, at);
	by_write(fd, at);
}

static void by_fallocate(int fd, off_t at)
{
	dax_falloc(fd, 0, at, GROWN);
	by_write(fd, at);
}

static void by_zero_range(int fd, off_t at)
{
	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, at, GROWN);
	by_write(fd, at);
}

static const struct growth {
	const char *name;
	void (*grow)(int fd, off_t at);
	off_t at;
} growths[] = {
	{ "write-at-the-end", by_write, OLD_END },
	{ "write-in-the-page", by_write, OLD_END + 1000 },
	{ "write-at-the-next-page", by_write, 6 * SZ_4K },
	{ "write-far", by_write, 100 * SZ_4K + 500 },
	{ "append", by_append, OLD_END },
	{ "copy", by_copy, OLD_END + 1000 },
	{ "copy-far", by_copy, 100 * SZ_4K },
	{ "splice", by_splice, OLD_END + 1000 },
	{ "splice-far", by_splice, 100 * SZ_4K },
	{ "bad-write", by_bad_write, OLD_END + 1000 },
	{ "truncate", by_truncate, OLD_END + 1000 },
	{ "fallocate", by_fallocate, OLD_END + 1000 },
	{ "fallocate-far", by_fallocate, 100 * SZ_4K },
	{ "zero-range", by_zero_range, OLD_END + 1000 },
};

/* A file that ends at OLD_END, with other bytes behind that in its last page. */
static int stored_behind(size_t shift)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_shift(fd, SZ_2M, shift);

	dax_poke(p, FILL);
	dax_truncate(fd, OLD_END);
	memset(p + OLD_END, 'j', 6 * SZ_4K - OLD_END);
	dax_unmap(p, SZ_2M);
	return fd;
}

static void expect_grown(int fd, const struct growth *growth)
{
	char *buf = malloc(SZ_2M);
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(growth->at + GROWN, st.st_size);
	dax_read(fd, 0, buf, st.st_size);
	EXPECT_BYTES(FILL, buf, OLD_END);
	EXPECT_BYTES(0, buf + OLD_END, growth->at - OLD_END) {
		TH_LOG("%s: bytes from behind the end are in the file",
		       growth->name);
	}
	EXPECT_BYTES('g', buf + growth->at, GROWN);
	free(buf);
}

TEST_F(dax, stored_behind_the_end)
{
	for (size_t i = 0; i < ARRAY_LEN(growths); i++) {
		int fd = stored_behind(variant->shift);

		growths[i].grow(fd, growths[i].at);
		expect_grown(fd, &growths[i]);
		/* Behind the new end it is no other, and zeroed as ever. */
		dax_truncate(fd, SZ_2M);
		EXPECT_BYTES(0, dax_map(fd, 0, SZ_2M) + growths[i].at + GROWN,
			     SZ_2M - growths[i].at - GROWN);
		close(fd);
	}
}

TEST_F(dax, stored_behind_the_end_remounted)
{
	int fd[ARRAY_LEN(growths)];

	NEED(dax_stall_device(600));
	for (size_t i = 0; i < ARRAY_LEN(growths); i++) {
		fd[i] = stored_behind(variant->shift);
		growths[i].grow(fd[i], growths[i].at);
	}
	dax_stall_remount(fd, ARRAY_LEN(growths));
	for (size_t i = 0; i < ARRAY_LEN(growths); i++)
		expect_grown(fd[i], &growths[i]);
}

/* To zero what is a hole, or was never written, takes no block. */
TEST_F(dax, hole_behind_the_end)
{
	int fd = dax_file(OLD_END, HOLE);
	char *buf = malloc(SZ_2M), *p;

	p = dax_map_shift(fd, SZ_2M, variant->shift);
	EXPECT_BYTES(0, p, 6 * SZ_4K);
	dax_fill(fd, 100 * SZ_4K, GROWN, 'g');
	EXPECT_EQ(0, dax_block(fd, OLD_END));
	EXPECT_BYTES(0, p, 100 * SZ_4K);
	EXPECT_BYTES('g', p + 100 * SZ_4K, GROWN);

	fd = dax_file_growing(SZ_2M);
	dax_truncate(fd, OLD_END);
	dax_fill(fd, 100 * SZ_4K, GROWN, 'g');
	dax_read(fd, 0, buf, 100 * SZ_4K + GROWN);
	EXPECT_BYTES(0, buf, 100 * SZ_4K);
	EXPECT_BYTES('g', buf + 100 * SZ_4K, GROWN);
}

/* A file that has one entry only, truncated from inside of it. */
TEST_F(mapped, inside_the_only_entry)
{
	dax_poke(self->p + 100 * SZ_4K, 'w');
	dax_truncate(self->fd, 99 * SZ_4K);
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p + 100 * SZ_4K, false, NULL));
	EXPECT_BYTES(FILL, self->p, 99 * SZ_4K);
	dax_truncate(self->fd, 0);
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p, false, NULL));
}

/* Truncated and extended again, the old bytes are gone. */
TEST_F(mapped, down_and_up)
{
	for (int i = 0; i < 5; i++) {
		dax_poke(self->p + i * SZ_4K, 'w');
		dax_truncate(self->fd, 0);
		dax_truncate(self->fd, SZ_2M);
		EXPECT_EQ(0, dax_peek(self->p + i * SZ_4K));
		dax_poke(self->p + i * SZ_4K, 'x');
		EXPECT_EQ('x', dax_peek(self->p + i * SZ_4K));
	}
}

/* A punched page reads zero, in mappings of every kind, and its neighbours not. */
TEST_F(mapped, punch_inside)
{
	char *page;
	size_t at = 40 * SZ_4K;

	page = dax_map(self->fd, at, SZ_4K);
	dax_poke(self->p + at, 'w');
	EXPECT_EQ('w', dax_peek(page));
	dax_punch_hole(self->fd, at, SZ_4K);
	EXPECT_BYTES(0, page, SZ_4K);
	EXPECT_PART(0, self->p, at, at + SZ_4K, SZ_2M);
	dax_poke(page, 'x');
	EXPECT_EQ('x', dax_peek(self->p + at));
}

/* Parts of pages are zeroed in place, and the mapping sees it. */
TEST_F(mapped, punch_odd_bytes)
{
	size_t from = 3 * SZ_4K + 77, to = 9 * SZ_4K + 5;

	dax_peek(self->p);
	dax_punch_hole(self->fd, from, to - from);
	EXPECT_PART(0, self->p, from, to, SZ_2M);

	dax_falloc(self->fd, FALLOC_FL_ZERO_RANGE, 20 * SZ_4K + 1, SZ_4K);
	EXPECT_EQ(FILL, dax_peek(self->p + 20 * SZ_4K));
	EXPECT_BYTES(0, self->p + 20 * SZ_4K + 1, SZ_4K);
	EXPECT_EQ(FILL, dax_peek(self->p + 21 * SZ_4K + 1));
}

/* Dirty pages that are punched out are not written back. */
TEST_F(mapped, punched_is_not_dirty)
{
	dax_trace(self->fd, "dax_writeback_one");
	dax_poke(self->p, 'w');
	dax_punch_hole(self->fd, 0, SZ_2M);
	dax_trace_clear();
	EXPECT_FLUSHES(0, self->fd);
}

/*
 * A dirty entry that loses a part is deleted as a whole. The rest of its range
 * must still be flushed, at once or by fsync.
 */
static void part_of_dirty_goes(size_t shift, bool punch)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_shift(fd, SZ_2M, shift);

	dax_trace(fd, "dax_writeback_one");
	dax_poke(p, 'w');
	if (punch)
		dax_punch_hole(fd, SZ_1M, SZ_4K);
	else
		dax_truncate(fd, SZ_1M);
	dax_fsync(fd);
	EXPECT_EQ(1, dax_count("dax_writeback_one", "pgoff 0x0"));
}

TEST_F(dax, truncated_beside_dirty)
	DAX_CALL(part_of_dirty_goes(variant->shift, false))
TEST_F(dax, punched_beside_dirty)
	DAX_CALL(part_of_dirty_goes(variant->shift, true))

/* The blocks move in the file: mappings follow. */
TEST_F(dax, collapse_and_insert)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map_shift(fd, SZ_2M, variant->shift);

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
 * One thread stores through the mapping, the other one punches the same pages,
 * lets another file have the freed blocks, and checks that its bytes do not
 * change: a store through a stale pte would land there. The filesystem is
 * nearly full and each round is committed, so that only freed blocks are
 * available.
 */
static struct {
	int fd;
	char *p;
} reuse;

static void store_on(unsigned long nr)
{
	dax_poke(reuse.p + nr * 1031 % SZ_2M, 's');
}

static void release_and_watch(size_t shift, bool by_zero)
{
	unsigned int rounds = dax_scale(25);
	bool kept = true;
	int other;

	NEED(dax_small_scratch());
	reuse.fd = dax_file(SZ_2M, WRITTEN);
	reuse.p = dax_map_shift(reuse.fd, SZ_2M, shift);
	other = dax_create("other");
	dax_fill_up(5 * SZ_1M);
	dax_background(store_on);
	for (unsigned int i = 0; i < rounds && kept; i++) {
		dax_punch_hole(reuse.fd, 0, by_zero ? SZ_1M : SZ_2M);
		if (by_zero)
			dax_falloc(reuse.fd, FALLOC_FL_ZERO_RANGE, 0, SZ_2M);
		dax_fsync(reuse.fd);
		dax_fill(other, 0, SZ_2M, 'o');
		kept = dax_file_has(other, 0, SZ_2M, 'o');
		sched_yield();
		kept &= dax_file_has(other, 0, SZ_2M, 'o');
		dax_truncate(other, 0);
	}
	EXPECT_LT(0, dax_background_stop());
	EXPECT_TRUE(kept);
}

TEST_F(dax, punch_against_stores)
	DAX_CALL(release_and_watch(variant->shift, false))
TEST_F(dax, zero_range_against_stores)
	DAX_CALL(release_and_watch(variant->shift, true))

/*
 * read(2) against punch sees the file's bytes or zeros. The read stops in the
 * middle of its copy, as a page of its buffer is not there yet: userfaultfd
 * says so, and holds it back until the punch has come to its end, and another
 * file has got the blocks; or waits for the read.
 */
#define READ_LEN	(2 * SZ_2M)

static struct {
	int fd;
	char *buf;
	volatile pid_t puncher;
	volatile bool punched;
} slow;

static void *read_slowly(void *arg)
{
	dax_read(slow.fd, 0, slow.buf, READ_LEN);
	return NULL;
}

static void *punch_what_is_read(void *arg)
{
	slow.puncher = gettid();
	dax_punch_hole(slow.fd, 0, READ_LEN);
	slow.punched = true;
	return NULL;
}

/* An access to @page waits until the descriptor that is returned is closed. */
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
		dax_exit_fail("userfaultfd: %m");
	return uffd;
}

DAX_FIXTURE(unmapped, access("/proc/self/syscall", R_OK) ?
	    "needs CONFIG_HAVE_ARCH_TRACEHOOK, /proc/self/syscall" :
	    dax_small_scratch())

TEST_F(unmapped, read_against_punch)
{
	pthread_t reader, puncher;
	struct uffd_msg msg;
	unsigned int odd = 0;
	int other, uffd;

	slow.fd = dax_file(READ_LEN, WRITTEN);
	other = dax_create("other");
	dax_fill_up(0);
	slow.buf = dax_anonymous(READ_LEN, PROT_READ | PROT_WRITE);
	uffd = hold_back(slow.buf);
	NEED(uffd < 0 ? "needs userfaultfd, CONFIG_USERFAULTFD" : NULL);

	reader = dax_thread(read_slowly, NULL);
	if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		dax_exit_fail("userfaultfd: %m");
	puncher = dax_thread(punch_what_is_read, NULL);
	while (!slow.punched && dax_syscall(slow.puncher) != SYS_fallocate)
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
}

/* Truncate and faults beyond, round by round: SIGBUS or the file's bytes. */
static void truncate_on(unsigned long nr)
{
	dax_truncate(reuse.fd, 4 * SZ_4K);
	dax_truncate(reuse.fd, SZ_2M);
}

TEST_F(dax, truncate_against_faults)
{
	unsigned int rounds = dax_scale(300), other = 0;

	reuse.fd = dax_file(SZ_2M, WRITTEN);
	reuse.p = dax_map_shift(reuse.fd, SZ_2M, variant->shift);
	dax_background(truncate_on);
	for (unsigned int i = 0; i < rounds; i++) {
		int sig = dax_touch_signal(reuse.p + i % PAGES_2M * SZ_4K,
					   i % 3 == 0, NULL);

		other += sig != 0 && sig != SIGBUS;
		other += i % PAGES_2M < 4 && sig;
	}
	dax_background_stop();
	EXPECT_EQ(0, other);
}

TEST_HARNESS_MAIN
