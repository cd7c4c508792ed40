// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two files over the same blocks (XFS): a store to one of them gets a block
 * of its own, with the old bytes around it, and the other file does not change.
 */
#include <linux/futex.h>

#include "dax_harness.h"
#include "dax_hold.h"

DAX_NEEDS(dax_no_reflink())

DAX_SIZES(dax);

/* Where the other size makes no difference, or has nothing to test. */
DAX_FIXTURE(one_size, dax_needs())

/* A clone of @fd, and where both are mapped. */
static int map_clone(int fd, size_t len, size_t shift, char **a, char **b)
{
	int clone = dax_clone(fd, "clone");

	*a = dax_map_shift(fd, len, shift);
	*b = dax_map_shift(clone, len, shift);
	return clone;
}

TEST_F(dax, write_each_side)
{
	char *a, *b;
	int fd = dax_file(SZ_2M, WRITTEN);
	int clone = map_clone(fd, SZ_2M, variant->shift, &a, &b);

	ASSERT_EQ(dax_block(fd, 0), dax_block(clone, 0));
	EXPECT_EQ(FILL, dax_peek(a));
	EXPECT_EQ(FILL, dax_peek(b));
	EXPECT_EQ(dax_pfn(a), dax_pfn(b));

	dax_poke(a + 100, 'a');
	EXPECT_PART('a', a, 100, 101, SZ_2M);
	EXPECT_BYTES(FILL, b, SZ_2M);
	EXPECT_NE(dax_pfn(a), dax_pfn(b));

	dax_poke(b + 200, 'b');
	EXPECT_EQ('b', dax_peek(b + 200));
	EXPECT_EQ(FILL, dax_peek(b + 100));
	EXPECT_EQ(FILL, dax_peek(a + 200));
	EXPECT_EQ('a', dax_peek(a + 100));
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
}

/* A small store to what is mapped huge: all of the 2 MiB have to make way. */
TEST_F(one_size, small_store_under_huge)
{
	size_t at = 37 * SZ_4K;
	char *a, *b, *page;
	int fd = dax_file(SZ_2M, WRITTEN);

	map_clone(fd, SZ_2M, 0, &a, &b);
	dax_peek(a);
	dax_peek(b);
	ASSERT_MAPPED("2M", a);
	page = dax_map(fd, at, SZ_4K);
	dax_poke(page, 'w');
	EXPECT_NE(dax_pfn(page), dax_pfn(b + at));
	EXPECT_PART('w', a, at, at + 1, SZ_2M);
	EXPECT_BYTES(FILL, b, SZ_2M);
}

/*
 * A store to a part that is not shared makes the whole huge entry dirty. That does
 * not unshare the other part.
 */
TEST_F(dax, dirty_beside_shared)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_file(SZ_2M, HOLE);
	char *a = dax_map_shift(fd, SZ_2M, variant->shift), *b;

	dax_poke(a + SZ_4K, 'a');
	dax_fsync(fd);
	dax_share_page(fd, 0, clone);
	b = dax_map_shift(clone, SZ_2M, variant->shift);
	EXPECT_EQ(FILL, dax_peek(b));

	/* Far away: XFS copies its neighbours, too. */
	dax_poke(a + 300 * SZ_4K, 'a');
	dax_zap(a, SZ_2M - variant->shift);
	dax_poke(a, 'a');
	EXPECT_EQ(FILL, dax_peek(b));
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
}

/*
 * A page of an entry is shared that is dirty, and of which only a part was
 * flushed: no mapping may stay writable, or a store changes both files.
 */
TEST_F(dax, share_a_page_of_dirty)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_file(SZ_2M, HOLE);
	char *a = dax_map_shift(fd, SZ_2M, variant->shift), *b;

	for (size_t at = 0; at < 4 * SZ_4K; at += SZ_4K) {
		dax_poke(a + at, 'a');
		dax_msync(a + SZ_4K, SZ_4K);
		dax_share_page(fd, at, clone);
		dax_poke(a + at, 'b');
		b = dax_map_shift(clone, SZ_2M, variant->shift);
		EXPECT_EQ('a', dax_peek(b));
		EXPECT_EQ('b', dax_peek(a + at));
		EXPECT_NE(dax_block(fd, at), dax_block(clone, 0));
		dax_unmap(b, SZ_2M);
	}
}

TEST_F(dax, dedupe_a_page_of_dirty)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_file(SZ_2M, WRITTEN);
	char *a = dax_map_shift(fd, SZ_2M, variant->shift);

	dax_poke(a, FILL);
	dax_poke(a + SZ_4K, 'a');
	dax_msync(a + SZ_4K, SZ_4K);
	ASSERT_EQ(SZ_4K, dax_dedupe(fd, 0, SZ_4K, other, 0));
	EXPECT_EQ(dax_block(fd, 0), dax_block(other, 0));
	dax_poke(a, 'b');
	EXPECT_FILE(FILL, other, 0, SZ_4K);
	EXPECT_EQ('b', dax_peek(a));
}

/* The first access is the store: the block is copied before it can be seen. */
TEST_F(dax, write_first)
{
	char *a, *b;

	map_clone(dax_file(2 * SZ_2M, WRITTEN), 2 * SZ_2M, variant->shift, &a,
		  &b);
	for (size_t at = 0; at < 2 * SZ_2M; at += SZ_2M / 2) {
		dax_poke(a + at + 5, 'a');
		ASSERT_BYTES(FILL, a + at + 6, SZ_4K - 6);
		ASSERT_EQ(FILL, dax_peek(b + at + 5));
	}
}

/*
 * Ways to change a part of one file: the rest of its pages is copied, its mappings
 * show the copy on all pages of the range, and the other file does not change.
 */
static void by_write(int fd, off_t at, off_t len)
{
	dax_fill(fd, at, len, 'w');
}

/* The second buffer is bad: what it was to cover is copied. */
static void by_short_write(int fd, off_t at, off_t len)
{
	char *bad = dax_anonymous(SZ_1M, PROT_NONE);
	char good[] = { [0 ... 9] = 'w' };
	struct iovec iov[2] = { { good, sizeof(good) }, { bad, SZ_1M } };

	if (pwritev(fd, iov, 2, at) != len)
		dax_exit_fail("pwritev: %m");
	munmap(bad, SZ_1M);
}

static void by_truncate(int fd, off_t at, off_t len)
{
	dax_truncate(fd, at);
	dax_truncate(fd, at + len);
}

#define ODD_PLACE	(5 * SZ_4K + 100)

static const struct change {
	const char *name;
	void (*make)(int fd, off_t at, off_t len);
	size_t at, len;
	char byte;
	bool both;	/* have mapped the page before */
} changes[] = {
	{ "write", by_write, 1000, 10, 'w', true },
	{ "write of many pages", by_write, 0, 16 * SZ_4K, 'w', true },
	{ "short write", by_short_write, 1000, 10, 'w', false },
	{ "punch of a part", dax_punch_hole, ODD_PLACE, 200, 0, false },
	{ "truncate", by_truncate, ODD_PLACE, SZ_2M - ODD_PLACE, 0, false },
};

static void change_one_side(size_t shift, const struct change *change)
{
	/* Small pages are alike: some of them will do. */
	size_t all = shift ? 64 * SZ_4K : SZ_2M;
	size_t at = change->at, end = at + change->len;
	int fd = dax_file(SZ_2M, WRITTEN), clone;
	char *a, *b;

	TH_LOG("%s", change->name);
	clone = map_clone(fd, SZ_2M, shift, &a, &b);
	EXPECT_BYTES(FILL, a, 16 * SZ_4K);
	if (change->both)
		EXPECT_BYTES(FILL, b, 16 * SZ_4K);
	change->make(fd, at, change->len);
	EXPECT_NE(dax_block(fd, at), dax_block(clone, at));
	if (end > all)
		end = all;
	EXPECT_PART(change->byte, a, at, end, all);
	EXPECT_BYTES(FILL, b, all);
	EXPECT_FILE(FILL, clone, 0, SZ_4K);
	dax_unmap(a, SZ_2M);
	dax_unmap(b, SZ_2M);
	dax_remove(clone);
	close(fd);
}

TEST_F(dax, change_one_side)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		change_one_side(variant->shift, &changes[i]);
}

/* Dirty by a store, then written by write(2) with copying. */
TEST_F(dax, dirty_then_pwrite)
{
	char *a, *b;
	int fd = dax_file(SZ_2M, WRITTEN);
	int clone = map_clone(fd, SZ_2M, variant->shift, &a, &b);

	for (int i = 0; i < 8; i++) {
		dax_poke(a + i * SZ_4K, 'a' + i);
		dax_fill(fd, i * SZ_4K + 10, 5, 'w');
		EXPECT_EQ('a' + i, dax_peek(a + i * SZ_4K));
		EXPECT_BYTES('w', a + i * SZ_4K + 10, 5);
		ASSERT_EQ(0, ioctl(clone, FICLONE, fd));
	}
	dax_fsync(fd);
	EXPECT_EQ('h', dax_peek(b + 7 * SZ_4K));
	EXPECT_BYTES('w', b + 10, 5);
}

/*
 * A page of a dirty 2 MiB entry is shared, and is written to while fsync holds
 * the entry: it has to go all the same, or mappings go on to show the block
 * that was shared.
 */
#define FAR_PAGE	(300 * SZ_4K)

static void fsync_and_pwrite(unsigned int id, void *fd)
{
	if (id)
		dax_fsync(*(int *)fd);
	else
		dax_fill(*(int *)fd, FAR_PAGE, 8, 'w');
}

TEST_F(one_size, pwrite_beside_fsync)
{
	unsigned int rounds = dax_scale(100), stale = 0;
	int other = dax_create("other");

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(SZ_2M, WRITTEN);
		char *p = dax_map(fd, 0, SZ_2M);

		dax_poke(p, '1');
		ASSERT_MAPPED("2M", p);
		dax_share_page(fd, FAR_PAGE, other);
		dax_poke(p, '2');
		dax_run_threads(2, fsync_and_pwrite, &fd);
		stale += dax_peek(p + FAR_PAGE) != 'w';
		stale += dax_peek(p) != '2';
		dax_unmap(p, SZ_2M);
		dax_remove(fd);
	}
	EXPECT_EQ(0, stale);
}

/*
 * XFS copies a page on write, and allocates blocks for its neighbours as well.
 * These are not written yet: they must not be left in a hole, whether it is
 * punched or zeroed.
 */
TEST_F(dax, hole_beside_copied)
{
	int found = 0;
	int fd = dax_file(3 * SZ_2M, HOLE);
	char *p;

	dax_fill(fd, 0, 24 * SZ_4K, 'a');
	dax_share_page(fd, 14 * SZ_4K, dax_create("other"));
	dax_fill(fd, 14 * SZ_4K, 44, 'b');
	dax_punch_hole(fd, 0, SZ_2M);
	p = dax_map_shift(fd, 3 * SZ_2M, variant->shift);
	dax_poke(p + 222 * SZ_4K, 'c');
	dax_punch_hole(fd, 3 * SZ_4K, 209 * SZ_4K);
	for (unsigned int i = 0; i < 212; i++)
		found += !!dax_block(fd, i * SZ_4K);
	EXPECT_EQ(0, found);
	EXPECT_BYTES(0, p, 222 * SZ_4K - variant->shift);
	EXPECT_EQ(0, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 3 * SZ_4K,
			       209 * SZ_4K));
	EXPECT_EQ('c', dax_peek(p + 13 * SZ_4K));
}

/*
 * A store to a hole may get one of those blocks: what it held before is not of
 * this file. So all blocks hold something before.
 */
TEST_F(dax, store_beside_copied)
{
	int fd, old;
	off_t len;
	char *p;

	NEED(dax_small_scratch());
	old = dax_fill_up(0);
	len = lseek(old, 0, SEEK_END);
	dax_fill(old, 0, len, 'z');
	dax_truncate(old, 0);
	dax_fsync(old);

	fd = dax_file(SZ_2M, HOLE);
	dax_fill(fd, SZ_4K, SZ_4K, 'w');
	dax_share_page(fd, SZ_4K, dax_create("other"));
	dax_fill(fd, SZ_4K + 10, 10, 'c');
	dax_fill(fd, 3 * SZ_4K + 50, 10, 'c');
	p = dax_map_shift(fd, SZ_2M, variant->shift);
	dax_poke(p + 5 * SZ_4K + 60, 'c');
	EXPECT_BYTES(0, p, SZ_4K);
	EXPECT_BYTES('w', p + SZ_4K, 10);
	EXPECT_BYTES('w', p + SZ_4K + 20, SZ_4K - 20);
	EXPECT_BYTES(0, p + 2 * SZ_4K, SZ_4K + 50);
	EXPECT_BYTES('c', p + 3 * SZ_4K + 50, 10);
	EXPECT_BYTES(0, p + 3 * SZ_4K + 60, 2 * SZ_4K);
	EXPECT_EQ('c', dax_peek(p + 5 * SZ_4K + 60));
	EXPECT_BYTES(0, p + 5 * SZ_4K + 61, SZ_2M - 5 * SZ_4K - 61);
}

/*
 * The mapping that was writable before the clone was made has to go. Both are
 * dirty: each fsync flushes its own.
 */
TEST_F(dax, flush_of_the_copy)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *a = dax_map_shift(fd, SZ_2M, variant->shift);

	dax_trace(fd, "dax_writeback_one");
	dax_poke(a, '1');
	EXPECT_FLUSHES(1, fd);
	dax_trace_clear();
	ASSERT_EQ(0, ioctl(clone, FICLONE, fd));
	dax_poke(a, '2');
	EXPECT_FLUSHES(1, fd);
	EXPECT_FILE('1', clone, 0, 1);
}

/* Many files over the same pages come and go. */
TEST_F(dax, many_clones)
{
	char *p[6];
	int fd[6];

	fd[0] = dax_file(SZ_2M, WRITTEN);
	for (int i = 1; i < 6; i++)
		fd[i] = dax_clone(fd[0], dax_text("clone-%d", i));
	for (int i = 0; i < 6; i++) {
		p[i] = dax_map_shift(fd[i], SZ_2M, variant->shift);
		EXPECT_EQ(FILL, dax_peek(p[i] + SZ_2M - 1));
	}
	for (int i = 0; i < 6; i++)
		dax_poke(p[i], 'a' + i);
	for (int i = 0; i < 6; i++)
		EXPECT_EQ('a' + i, dax_peek(p[i]));
	for (int i = 0; i < 5; i++) {
		dax_truncate(fd[i], 0);
		EXPECT_EQ(SIGBUS, dax_touch_signal(p[i], false, NULL));
		EXPECT_EQ('f', dax_peek(p[5]));
		EXPECT_BYTES(FILL, p[5] + 1, SZ_2M - 1);
	}
}

/*
 * A page of several files has a mark that makes it look anonymous: a pin for
 * reading would try to copy it first, for ever, as there is nothing to copy.
 */
TEST_F(dax, pinned_for_reading)
{
	char buf[64];
	struct iovec here = { buf, sizeof(buf) };
	struct iovec there = { NULL, sizeof(buf) };
	char *a, *b;

	map_clone(dax_file(SZ_2M, WRITTEN), SZ_2M, variant->shift, &a, &b);
	EXPECT_EQ(FILL, dax_peek(a));
	EXPECT_EQ(FILL, dax_peek(b));

	there.iov_base = a;
	ASSERT_EQ((ssize_t)sizeof(buf),
		  process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	EXPECT_BYTES(FILL, buf, sizeof(buf));
}

/*
 * Truncate waits until the pages are idle, and then frees them; if another file
 * shares them, they may be in use again through that file by then. Here the
 * first block of the rest has to be copied, and the device is suspended before
 * the filesystem knows where there is room.
 */
TEST_F(dax, used_while_the_other_is_truncated)
{
	struct iovec iov = { NULL, SZ_4K };
	int fd[2], pipe_fd[2];
	char *p[2];
	pid_t pid;

	NEED(dax_stall_device(600));
	fd[0] = dax_file(SZ_2M, WRITTEN);
	fd[1] = dax_clone(fd[0], "clone");
	dax_fsync(fd[0]);
	dax_fsync(fd[1]);
	dax_stall_remount(fd, 2);
	for (int i = 0; i < 2; i++) {
		p[i] = dax_map_shift(fd[i], SZ_2M, variant->shift);
		dax_touch_each(p[i], SZ_2M, SZ_4K, false);
	}
	ASSERT_EQ(0, pipe(pipe_fd));

	dax_suspend();
	pid = dax_spawn_call(ftruncate(fd[0], 100));
	while (!dax_ended(pid) && !dax_sleeps_in(pid, "xfs_buf"))
		sched_yield();
	EXPECT_FALSE(dax_ended(pid));
	iov.iov_base = p[1] + 37 * SZ_4K;
	EXPECT_EQ((ssize_t)SZ_4K, vmsplice(pipe_fd[1], &iov, 1, 0));
	dax_resume();
	EXPECT_EQ(0, dax_wait(pid));
	EXPECT_PIPED(FILL, pipe_fd);
	EXPECT_BYTES(FILL, p[1], SZ_2M);
}

/*
 * A page that was shared is in a pipe, its file gets a copy of its own, and the
 * other file, which has not accessed that page, is deleted. The block must not
 * go to a third file before the pipe releases the page. Space is so short that
 * the next write gets the block.
 */
struct in_pipe {
	int fd, clone, pipe[2];
	char *p;
	bool by_write;
};

static int copy_all(struct in_pipe *held)
{
	if (held->by_write)
		dax_fill(held->fd, 0, SZ_2M, 'a');
	else
		dax_poke_each(held->p, SZ_2M - SZ_4K, SZ_4K, 'a');
	return 0;
}

/* All that is free now, full of 'o'. */
static void take_space(void)
{
	static char buf[SZ_2M];
	int fd = dax_create("taker");
	off_t len = 0;

	memset(buf, 'o', sizeof(buf));
	sync();
	for (size_t step = SZ_2M; step >= SZ_4K; ) {
		ssize_t n = pwrite(fd, buf, step, len);

		if (n > 0)
			len += n;
		else
			step /= 2;
	}
}

/* How the file that has mapped the page gives it up. */
enum parting {
	STORES,
	WRITES,
	GOES,
};

DAX_VARIANTS(in_use, dax_no_reflink() ?:
	     dax_small_scratch(), enum parting how; size_t shift;)

FIXTURE_VARIANT_ADD(in_use, stored_4k) { STORES, SZ_4K };
FIXTURE_VARIANT_ADD(in_use, stored_2m) { STORES, 0 };
FIXTURE_VARIANT_ADD(in_use, written_4k) { WRITES, SZ_4K };
FIXTURE_VARIANT_ADD(in_use, written_2m) { WRITES, 0 };
FIXTURE_VARIANT_ADD(in_use, deleted_4k) { GOES, SZ_4K };
FIXTURE_VARIANT_ADD(in_use, deleted_2m) { GOES, 0 };

static void part(struct in_pipe *held, enum parting how)
{
	if (how != GOES) {
		/* The process that copies may be the one that has the pipe. */
		held->by_write = how == WRITES;
		EXPECT_EQ(0, dax_stall_ends(dax_spawn(copy_all(held))));
		EXPECT_EQ('a', dax_peek(held->p + SZ_1M));
		return;
	}
	dax_unmap(held->p, SZ_2M);
	dax_remove(held->fd);
	/* XFS deletes it in the background, and statfs() waits for that. */
	EXPECT_EQ(0, dax_sh("sync; stat -f %s >/dev/null; sleep 1", dax_dir()));
}

enum clone_end {
	DELETED,
	PUNCHED,
	UNSHARED,	/* and deleted; it is like any other file then */
};

static void clone_goes(enum parting how, size_t shift, enum clone_end end)
{
	bool punch = end == PUNCHED;
	struct in_pipe held = {};
	pid_t pid = 0;

	held.fd = dax_file(SZ_2M, WRITTEN);
	held.clone = dax_clone(held.fd, "clone");
	held.p = dax_map_shift(held.fd, SZ_2M, shift);
	dax_peek(held.p + SZ_1M);
	ASSERT_EQ(dax_block(held.fd, SZ_1M), dax_block(held.clone, SZ_1M));
	dax_into_pipe(held.pipe, held.p + SZ_1M);
	/* No reserved blocks. */
	ASSERT_EQ(0, dax_sh("xfs_io -x -c 'resblks 0' %s", dax_dir()));
	dax_fill_up(4 * SZ_2M);

	part(&held, how);
	/* Of the range of the page it would wait. */
	if (end == UNSHARED)
		dax_falloc(held.clone, FALLOC_FL_UNSHARE_RANGE, 0, SZ_4K);
	if (punch) {
		pid = dax_spawn((dax_punch_hole(held.clone, 0, SZ_2M), 0));
		/* It may wait for the page, or not. */
		dax_stall_waits(pid);
	} else {
		dax_unlink(held.clone);
	}
	close(held.clone);
	take_space();
	EXPECT_PIPED(FILL, held.pipe);
	close(held.pipe[0]);
	close(held.pipe[1]);
	if (punch)
		EXPECT_EQ(0, dax_stall_ends(pid));
	if (how != GOES)
		EXPECT_EQ('a', dax_peek(held.p + SZ_1M));
}

TEST_F(in_use, clone_deleted)
	DAX_CALL(clone_goes(variant->how, variant->shift, DELETED))
TEST_F(in_use, clone_punched)
	DAX_CALL(clone_goes(variant->how, variant->shift, PUNCHED))
TEST_F(in_use, clone_unshared)
	DAX_CALL(clone_goes(variant->how, variant->shift, UNSHARED))

/*
 * The copy of one block takes blocks for its neighbours, too. A neighbour that no
 * other file shares stays where it is: else its old block would be free at once,
 * although a pipe has its page. (N8)
 */
DAX_VARIANTS(beside, dax_no_reflink() ?:
	     dax_small_scratch(), bool by_write; size_t shift;)

FIXTURE_VARIANT_ADD(beside, stored_4k) { false, SZ_4K };
FIXTURE_VARIANT_ADD(beside, stored_2m) { false, 0 };
FIXTURE_VARIANT_ADD(beside, written_4k) { true, SZ_4K };
FIXTURE_VARIANT_ADD(beside, written_2m) { true, 0 };

TEST_F(beside, copied_in_use)
{
	/* So many blocks that XFS, which never gives the last few, gives them. */
	size_t at = SZ_4K, len = 31 * SZ_4K, used = 5 * SZ_4K;
	struct in_pipe held = {};
	uint64_t block;
	char c;

	held.fd = dax_file(SZ_2M, WRITTEN);
	block = dax_block(held.fd, at);
	held.clone = dax_create("clone");
	dax_share_page(held.fd, 0, held.clone);
	ASSERT_EQ(0, dax_sh("xfs_io -x -c 'resblks 0' %s", dax_dir()));
	dax_fill_up(4 * SZ_2M);

	held.p = dax_map_shift(held.fd, SZ_2M, variant->shift);
	dax_poke(held.p, 'c');
	dax_peek(held.p + used);
	dax_into_pipe(held.pipe, held.p + used);
	if (variant->by_write)
		dax_fill(held.fd, at, len, 'a');
	else
		dax_poke_each(held.p + at, len, 1, 'a');
	EXPECT_EQ(block, dax_block(held.fd, at));
	take_space();
	ASSERT_EQ(1, read(held.pipe[0], &c, 1));
	EXPECT_NE('o', c);
	EXPECT_BYTES('a', held.p + at, len);
}

/*
 * Two processes meet at one word of a file, by what its page is in the file, not by
 * where they have it mapped. A page that was shared and is no more is one like all
 * others; so is a copy.
 */
#define FUTEX_SECONDS	20

static int wait_at(void *arg)
{
	struct timespec limit = { .tv_sec = FUTEX_SECONDS };

	return syscall(SYS_futex, arg, FUTEX_WAIT, 'w', &limit, NULL, 0) ?
	       errno : 0;
}

static unsigned int wake_at(char *p, pid_t pid)
{
	long woken;

	dax_wait_for((woken = syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0)) ||
		     dax_ended(pid));
	return woken;
}

/* The other process has it mapped at another address. */
static void meet(char *p, char *other)
{
	pid_t pid;

	dax_peek(p);
	dax_peek(other);
	pid = dax_spawn(wait_at(other));
	EXPECT_EQ(1, wake_at(p, pid));
	EXPECT_EQ(0, dax_wait(pid));
}

static void store_word(int fd, off_t at)
{
	uint32_t word = 'w';

	if (pwrite(fd, &word, sizeof(word), at) != sizeof(word))
		dax_exit_fail("pwrite: %m");
}

/* Words of a file that is mapped twice, and the same words of a clone. */
#define FAR	(5 * SZ_4K)

struct words {
	int clone;
	char *p, *other, *q;
};

/* The one that is looked at first has the pages first. */
static void share_words(struct words *words, size_t shift, bool clone_first)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *first, *second;

	store_word(fd, 0);
	store_word(fd, FAR);
	words->clone = map_clone(fd, SZ_2M, shift, &words->p, &words->q);
	words->other = dax_map_shift(fd, SZ_2M, shift);
	first = clone_first ? words->q : words->p;
	second = clone_first ? words->p : words->q;
	EXPECT_EQ('w', dax_peek(first));
	EXPECT_EQ('w', dax_peek(first + FAR));
	EXPECT_EQ('w', dax_peek(second));
	EXPECT_EQ('w', dax_peek(second + FAR));
	ASSERT_EQ(dax_pfn(words->p), dax_pfn(words->q));
}

TEST_F(dax, futex_after_clone_deleted)
{
	struct words words;

	share_words(&words, variant->shift, false);
	dax_unmap(words.q, SZ_2M);
	dax_remove(words.clone);
	/* The clone gives its blocks back in the background. */
	sync();
	EXPECT_MAPPED(variant->mapped, words.p);
	meet(words.p, words.other);
	meet(words.p + FAR, words.other + FAR);
}

/* One page had an owner of its own, which the store to another page tells not. */
TEST_F(one_size, futex_after_small_owner_deleted)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone;
	char *small, *huge;

	store_word(fd, FAR);
	clone = dax_clone(fd, "clone");
	small = dax_map(fd, FAR, SZ_4K);
	huge = dax_map(clone, 0, SZ_2M);
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_EQ('w', dax_peek(huge + FAR));
	ASSERT_MAPPED("2M", huge);
	dax_unmap(small, SZ_4K);
	dax_remove(fd);
	sync();
	dax_poke(huge, 's');
	ASSERT_MAPPED("2M", huge);
	meet(huge + FAR, dax_map(clone, 0, SZ_2M) + FAR);
}

TEST_F(dax, futex_after_truncate_of_clone)
{
	struct words words;

	share_words(&words, variant->shift, true);
	dax_truncate(words.clone, 0);
	meet(words.p, words.other);
}

TEST_F(dax, futex_after_copy)
{
	struct words words;
	char *theirs;

	share_words(&words, variant->shift, false);
	theirs = dax_map_shift(words.clone, SZ_2M, variant->shift);
	dax_poke(words.p + 8, 'a');
	ASSERT_NE(dax_pfn(words.p), dax_pfn(words.q));
	meet(words.p, words.other);
	/* The other file is the only owner of its blocks by now. */
	meet(words.q, theirs);
}

/*
 * The filesystem reports to a fault that the page belongs to one file. Before
 * the fault marks the page, a second file shares the block, is mapped, and
 * marks the page as shared. Then the fault continues: the page must not be
 * taken for one of the first file alone, or the second file is left out when it
 * is deleted.
 *
 * The fault is held when the filesystem has returned. That needs
 * CONFIG_PREEMPT; on other kernels it is not stopped.
 */
#define ANSWER	"xfs/xfs_iomap_found"

static const char *no_answer(void)
{
	return dax_no_hold() ?:
	       (access("/sys/kernel/tracing/events/" ANSWER, F_OK) ?
		"needs the events of XFS" : NULL);
}

static void shared_after_lookup(size_t shift, bool first_goes_first)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_create("clone");
	char *a = dax_map_shift(fd, SZ_2M, shift), *b;
	struct dax_hold *hold;
	pid_t victim, pid;
	bool held;

	NEED(no_answer());
	ASSERT_EQ(0, system("dmesg -C"));
	hold = dax_hold_start(ANSWER, NULL);
	victim = dax_spawn_held(hold, dax_touch_signal(a, false, NULL));
	held = dax_held(hold, victim);
	if (held) {
		/* The mapping is not in the fault's way; nor is the remap. */
		pid = dax_spawn_call(ioctl(clone, FICLONE, fd));
		while (!dax_ended(pid) && !dax_stall_waits(pid))
			usleep(1000);
		if (dax_ended(pid)) {
			b = dax_map_shift(clone, SZ_2M, shift);
			EXPECT_EQ(FILL, dax_peek(b));
		} else {
			/* It is locked out, and all is well. */
			dax_print_msg("the remap waits for the fault");
		}
		hold->go_on = true;
		EXPECT_EQ(0, dax_stall_ends(pid));
	}
	EXPECT_EQ(0, dax_hold_end(hold, victim));
	if (!held)
		SKIP(return, "the fault is not preempted: needs CONFIG_PREEMPT");

	b = dax_map_shift(clone, SZ_2M, shift);
	EXPECT_EQ(FILL, dax_peek(a));
	EXPECT_EQ(FILL, dax_peek(b));
	EXPECT_EQ(dax_pfn(a), dax_pfn(b));
	dax_truncate(first_goes_first ? fd : clone, 0);
	EXPECT_EQ(FILL, dax_peek(first_goes_first ? b : a));
	dax_truncate(first_goes_first ? clone : fd, 0);
	/* The log has no warning of the kernel's. */
	EXPECT_NE(0, system("dmesg | grep -q 'WARNING: '"));
}

TEST_F(dax, shared_after_lookup)
	DAX_CALL(shared_after_lookup(variant->shift, true))
TEST_F(dax, shared_after_lookup_clone_first)
	DAX_CALL(shared_after_lookup(variant->shift, false))

/* Tests that need no variants. */
DAX_FIXTURE(pair, dax_no_reflink())

/*
 * A remap waits for a page of the file that loses blocks. XFS locks the file with
 * the lower inode number first. The remap must wait whether that is the file with
 * the page or the other one. A signal ends the wait.
 */
static void remap_waits(bool second)
{
	int fd[2], pipe_fd[2], to;
	struct stat st[2];
	bool asleep;
	char *p;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		fd[i] = dax_file(SZ_2M, WRITTEN);
		ASSERT_EQ(0, fstat(fd[i], &st[i]));
	}
	to = (st[0].st_ino < st[1].st_ino) == second;
	p = dax_map(fd[to], 0, SZ_2M);
	dax_peek(p);
	dax_into_pipe(pipe_fd, p);

	pid = dax_spawn_call(ioctl(fd[to], FICLONE, fd[!to]));
	asleep = dax_stall_waits(pid);
	EXPECT_TRUE(asleep);
	if (asleep) {
		kill(pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, dax_stall_ends(pid));
	}
	EXPECT_PIPED(FILL, pipe_fd);
	/* With the page released, a remap that was not killed ends. */
	if (!asleep)
		EXPECT_EQ(0, dax_stall_ends(pid));
}

TEST_F(pair, remap_waits_for_first)
	DAX_CALL(remap_waits(false))
TEST_F(pair, remap_waits_for_second)
	DAX_CALL(remap_waits(true))

/*
 * A dirty page is copied while fsync waits for its entry: the copy has the data
 * that fsync must flush. The page is not shared, but XFS allocates blocks for
 * the neighbours of a page that it copies, and copies them at the next fault.
 *
 * A core that does not ask the filesystem again whether it may write to the page
 * ends the fault before fsync begins.
 */
TEST_F(pair, copied_while_fsync_waits)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_create("other");
	char *p = dax_map_small(fd, SZ_2M), *q = dax_map_small(fd, SZ_2M);
	off_t at = 5 * SZ_4K;
	struct dax_hold *hold;
	pid_t victim, sync;
	uint64_t pfn;
	bool held;

	NEED(no_answer());
	dax_share_page(fd, 0, other);
	dax_poke(p + at + 100, 'd');
	dax_poke(p, 'c');
	pfn = dax_pfn(p + at);
	dax_trace(fd, "dax_writeback_one");

	hold = dax_hold_start(ANSWER, NULL);
	victim = dax_spawn_held(hold, dax_touch_signal(q + at, true, NULL));
	held = dax_held(hold, victim);
	sync = dax_spawn_call(fsync(fd));
	/* fsync waits for the fault, or has ended and flushed. */
	dax_stall_waits(sync);
	EXPECT_EQ(0, dax_hold_end(hold, victim));
	EXPECT_EQ(0, dax_stall_ends(sync));

	EXPECT_EQ('d', dax_peek(p + at + 100));
	if (!held || dax_pfn(p + at) == pfn)
		dax_print_msg("the dirty page is not copied while fsync waits");
	EXPECT_LE(1, dax_count("dax_writeback_one", "pgoff 0x5"));
}

/* The source of the copy is a hole or unwritten: zeros, not old bytes. */
TEST_F(dax, clone_of_holes)
{
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *a, *b;
	int clone;

	dax_falloc(fd, 0, 0, SZ_2M);
	dax_fill(fd, SZ_4K, SZ_4K, 'w');
	clone = map_clone(fd, 2 * SZ_2M, variant->shift, &a, &b);
	EXPECT_EQ(0, dax_peek(a));
	EXPECT_EQ('w', dax_peek(a + SZ_4K));
	dax_poke(a, 'a');
	dax_poke(a + SZ_2M, 'a');
	dax_poke(a + SZ_4K, 'a');
	EXPECT_BYTES(0, a + 1, SZ_4K - 1);
	EXPECT_BYTES('w', a + SZ_4K + 1, SZ_4K - 1);
	EXPECT_BYTES(0, a + SZ_2M + 1, SZ_2M - 1);
	EXPECT_EQ(0, dax_peek(b));
	EXPECT_BYTES('w', b + SZ_4K, SZ_4K);
	EXPECT_BYTES(0, b + SZ_2M, SZ_2M);
	dax_fill(clone, 3 * SZ_4K + 50, 10, 'c');
	EXPECT_BYTES(0, b + 3 * SZ_4K, 50);
	EXPECT_BYTES('c', b + 3 * SZ_4K + 50, 10);
	EXPECT_BYTES(0, b + 3 * SZ_4K + 60, SZ_4K - 60);
}

/* Threads store to both sides of a fresh clone at once. */
static char *sides[2];

static void store_all_pages(unsigned int id, void *arg)
{
	for (unsigned int i = 0; i < 16; i++)
		dax_poke(sides[id % 2] + i * SZ_4K + id * 64, 'a' + id);
}

TEST_F(dax, both_sides_at_once)
{
	unsigned int rounds = dax_scale(6);

	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(SZ_2M, WRITTEN);
		int clone = map_clone(fd, SZ_2M, variant->shift, &sides[0],
				      &sides[1]);

		dax_run_threads(4, store_all_pages, NULL);
		for (unsigned int page = 0; page < 16; page++)
			for (unsigned int id = 0; id < 4; id++) {
				size_t at = page * SZ_4K + id * 64;

				ASSERT_EQ('a' + id,
					  dax_peek(sides[id % 2] + at));
				ASSERT_EQ(FILL,
					  dax_peek(sides[1 - id % 2] + at));
			}
		dax_unmap(sides[0], SZ_2M);
		dax_unmap(sides[1], SZ_2M);
		close(fd);
		close(clone);
	}
}

/*
 * A clone is what the file was at one moment. While one of many extents is made,
 * the first and the last page are stored to in turn: no clone may have of the
 * last page what came after its own first one.
 */
static struct {
	volatile uint32_t *first, *last;
} moment;

static void store_in_turn(unsigned long nr)
{
	*moment.first = nr + 1;
	*moment.last = nr + 1;
}

TEST_F(one_size, clone_is_atomic)
{
	unsigned int rounds = dax_scale(60), torn = 0;
	off_t last = (PAGES_2M - 2) * SZ_4K;
	char *p;
	int fd = dax_file(SZ_2M, WRITTEN), clone;

	for (off_t off = SZ_4K; off < SZ_2M; off += 2 * SZ_4K)
		dax_punch_hole(fd, off, SZ_4K);
	dax_fill(fd, 0, sizeof(uint32_t), 0);
	dax_fill(fd, last, sizeof(uint32_t), 0);
	clone = dax_clone(fd, "clone");
	p = dax_map_small(fd, SZ_2M);
	moment.first = (uint32_t *)p;
	moment.last = (uint32_t *)(p + last);
	dax_background(store_in_turn);
	for (unsigned int i = 0; i < rounds; i++) {
		uint32_t a, b, seen = *moment.last;

		if (ioctl(clone, FICLONE, fd))
			dax_exit_fail("FICLONE: %m");
		dax_read(clone, 0, &a, sizeof(a));
		dax_read(clone, last, &b, sizeof(b));
		torn += b > a;
		while (*moment.last == seen)
			sched_yield();
	}
	dax_background_stop();
	EXPECT_EQ(0, torn);
}

/* Unshare: blocks of its own, the same bytes, all mappings follow. */
TEST_F(dax, unshare)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *a, *b;
	int clone;

	dax_fill(fd, SZ_2M, SZ_2M, 'g');
	dax_punch_hole(fd, 8 * SZ_4K, SZ_4K);
	clone = map_clone(fd, 2 * SZ_2M, variant->shift, &a, &b);
	dax_peek(a);
	dax_peek(b);
	dax_falloc(fd, FALLOC_FL_UNSHARE_RANGE, 0, 2 * SZ_2M);
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
	EXPECT_NE(dax_block(fd, SZ_2M), dax_block(clone, SZ_2M));
	for (char **side = (char *[]){ a, b, NULL }; *side; side++) {
		EXPECT_PART(0, *side, 8 * SZ_4K, 9 * SZ_4K, SZ_2M);
		EXPECT_BYTES('g', *side + SZ_2M, SZ_2M);
	}
	/* The old blocks are the clone's alone, also in page tables. */
	dax_poke(b + 9 * SZ_4K, 'b');
	EXPECT_EQ(FILL, dax_peek(a + 9 * SZ_4K));
	dax_poke(a, 'a');
	EXPECT_EQ(FILL, dax_peek(b));
}

TEST_F(dax, unshare_odd_range)
{
	size_t from = 5 * SZ_4K + 123, len = 3 * SZ_4K + 17;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *a, *b, buf[16 * SZ_4K];
	int clone;

	for (size_t i = 0; i < 16; i++)
		dax_fill(fd, i * SZ_4K, SZ_4K, 'A' + i);
	clone = map_clone(fd, SZ_2M, variant->shift, &a, &b);
	dax_peek(a + from);
	dax_falloc(fd, FALLOC_FL_UNSHARE_RANGE, from, len);
	EXPECT_EQ(dax_block(fd, 4 * SZ_4K), dax_block(clone, 4 * SZ_4K));
	EXPECT_NE(dax_block(fd, 5 * SZ_4K), dax_block(clone, 5 * SZ_4K));
	EXPECT_NE(dax_block(fd, 8 * SZ_4K), dax_block(clone, 8 * SZ_4K));
	dax_read(fd, 0, buf, sizeof(buf));
	for (size_t i = 0; i < 16; i++) {
		EXPECT_BYTES('A' + i, a + i * SZ_4K, SZ_4K);
		EXPECT_BYTES('A' + i, b + i * SZ_4K, SZ_4K);
		EXPECT_BYTES('A' + i, buf + i * SZ_4K, SZ_4K);
	}
}

/*
 * The copied range is contiguous in the file, but not on the device: pairs of
 * odd segments are swapped.
 */
static unsigned int wrong_pages(int fd, size_t len)
{
	unsigned int wrong = 0;
	off_t number;

	for (off_t off = 0; off < len; off += SZ_4K) {
		dax_read(fd, off, &number, sizeof(number));
		wrong += number != off;
	}
	return wrong;
}

TEST_F(dax, unshare_across_segments)
{
	unsigned int mib = 600, sectors = 3 * 2048;
	/* No multiple of a segment: the copy is cut in other places. */
	size_t len = 3 * SZ_2M + SZ_1M;
	char table[16384], *at = table;
	int fd, clone;

	NEED(dax_no_scratch());
	for (unsigned int seg = 0; seg < mib / 3; seg++)
		at += sprintf(at, "%u %u linear %s %u\n", seg * sectors, sectors,
			      dax_scratch_device(), (seg ^ 1) * sectors);
	NEED(dax_scratch_dm(mib, table));
	fd = dax_file(len, WRITTEN);
	for (off_t off = 0; off < len; off += SZ_4K)
		ASSERT_EQ(sizeof(off), pwrite(fd, &off, sizeof(off), off));
	clone = dax_clone(fd, "clone");
	dax_peek(dax_map_shift(clone, len, variant->shift));
	dax_falloc(clone, FALLOC_FL_UNSHARE_RANGE, 0, len);
	EXPECT_NE(dax_block(fd, SZ_2M), dax_block(clone, SZ_2M));
	EXPECT_EQ(0, wrong_pages(fd, len));
	EXPECT_EQ(0, wrong_pages(clone, len));
}

/* Dedupe: equal bytes are shared, a single odd byte refuses. */
TEST_F(dax, dedupe_same)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_file(SZ_2M, WRITTEN);
	char *a = dax_map_shift(fd, SZ_2M, variant->shift);
	char *b = dax_map_shift(other, SZ_2M, variant->shift);

	dax_peek(a);
	dax_peek(b);
	EXPECT_EQ(SZ_2M, dax_dedupe(fd, 0, SZ_2M, other, 0));
	EXPECT_EQ(dax_block(fd, 0), dax_block(other, 0));
	EXPECT_BYTES(FILL, b, SZ_2M);
	dax_poke(a, 'a');
	EXPECT_EQ(FILL, dax_peek(b));
}

TEST_F(one_size, dedupe_one_byte_differs)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_file(SZ_2M, WRITTEN);

	for (size_t at = 0; at < SZ_2M; at += SZ_2M - 1) {
		dax_fill(other, at, 1, 'X');
		EXPECT_EQ(0, dax_dedupe(fd, 0, SZ_2M, other, 0));
		EXPECT_NE(dax_block(fd, 0), dax_block(other, 0));
		dax_fill(other, at, 1, FILL);
	}
}

/* Extents that do not line up, and dirty stores. */
TEST_F(dax, dedupe_other_layout)
{
	int fd = dax_file(SZ_2M, WRITTEN), other;
	char *p;

	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 7 * SZ_4K, 3 * SZ_4K);
	other = dax_create("other");
	for (int page = 14; page >= 0; page -= 2)
		dax_fill(other, page * SZ_4K, SZ_4K, FILL);
	for (int page = 1; page < 15; page += 2)
		dax_fill(other, page * SZ_4K, SZ_4K, FILL);
	EXPECT_EQ(15 * SZ_4K, dax_dedupe(fd, 0, 15 * SZ_4K, other, 0));
	EXPECT_EQ(dax_block(fd, 14 * SZ_4K), dax_block(other, 14 * SZ_4K));

	p = dax_map_shift(fd, SZ_1M, variant->shift);
	dax_poke(p + 9 * SZ_4K + 5, 'X');
	EXPECT_EQ(0, dax_dedupe(fd, 0, 15 * SZ_4K, other, 0));
	EXPECT_EQ(8 * SZ_4K, dax_dedupe(fd, SZ_4K, 8 * SZ_4K, other, SZ_4K));
	EXPECT_EQ('X', dax_peek(p + 9 * SZ_4K + 5));
}

/* A hole and written zeros: shared or not, but both go on reading zeros. */
TEST_F(one_size, dedupe_hole)
{
	int fd = dax_file(SZ_2M, HOLE), other = dax_create("other");

	dax_fill(other, 0, 8 * SZ_4K, 0);
	EXPECT_LE(0, dax_dedupe(fd, 0, 8 * SZ_4K, other, 0));
	EXPECT_FILE(0, fd, 0, 8 * SZ_4K);
	EXPECT_FILE(0, other, 0, 8 * SZ_4K);
	dax_fill(other, 5 * SZ_4K, 1, 'X');
	EXPECT_EQ(0, dax_dedupe(fd, 0, 8 * SZ_4K, other, 0));
}

/* Equal bytes at other offsets; those at the same ones are of no interest. */
TEST_F(one_size, dedupe_other_offset)
{
	int fd = dax_create("a"), other = dax_create("b");

	dax_fill(other, 0, 8 * SZ_4K, 'z');
	for (int page = 0; page < 8; page++) {
		dax_fill(fd, page * SZ_4K, SZ_4K, 'a' + page);
		dax_fill(other, (page + 8) * SZ_4K, SZ_4K, 'a' + page);
	}
	EXPECT_EQ(8 * SZ_4K, dax_dedupe(fd, 0, 8 * SZ_4K, other, 8 * SZ_4K));
	EXPECT_EQ(dax_block(fd, 7 * SZ_4K), dax_block(other, 15 * SZ_4K));
	dax_fill(fd, 0, SZ_4K, 'z');
	EXPECT_EQ(0, dax_dedupe(fd, 0, SZ_4K, other, 8 * SZ_4K));
}

TEST_F(one_size, dedupe_tail)
{
	size_t size = 3 * SZ_4K + 1000;
	int fd = dax_create("a"), other = dax_create("b");

	dax_fill(fd, 0, size, FILL);
	dax_fill(other, 0, size, FILL);
	EXPECT_EQ(size, dax_dedupe(fd, 0, size, other, 0));
	EXPECT_EQ(dax_block(fd, 3 * SZ_4K), dax_block(other, 3 * SZ_4K));
	dax_fill(other, size - 1, 1, 'X');
	EXPECT_EQ(0, dax_dedupe(fd, 0, size, other, 0));
}

TEST_HARNESS_MAIN
