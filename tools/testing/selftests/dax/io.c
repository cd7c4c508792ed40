// SPDX-License-Identifier: GPL-2.0-only
/*
 * read(2) and write(2) on a DAX file: short ones, odd ones and refused ones.
 */
#include "dax_harness.h"

#ifndef RWF_ATOMIC
#define RWF_ATOMIC	0x40
#endif

static ssize_t write_flags(int fd, const void *buf, size_t len, off_t off,
			   int flags)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return pwritev2(fd, &iov, 1, off, flags);
}

/* ext4 takes RWF_NOWAIT for writes with O_DIRECT only; to DAX it is all one. */
static int nowait_file(enum dax_layout layout)
{
	int fd = dax_file(SZ_2M, layout);

	if (fcntl(fd, F_SETFL, O_DIRECT))
		dax_exit_fail("O_DIRECT: %m");
	return fd;
}

/*
 * A write that may not wait cannot allocate. Nor may it wait for the file's time
 * stamp, for which alone it is refused, unless a write just before has set that:
 * so it is tried often.
 */
TEST_F(dax, nowait_into_hole)
{
	unsigned int refused = 0;
	int fd;

	NEED(dax_is_xfs() ? NULL : "ext4 allocates even with RWF_NOWAIT");
	fd = nowait_file(HOLE);
	for (int i = 0; i < 200; i++) {
		if (pwrite(fd, "-", 1, SZ_1M) != 1)
			dax_exit_fail("pwrite: %m");
		refused += write_flags(fd, "x", 1, 0, RWF_NOWAIT) < 0 &&
			   errno == EAGAIN;
	}
	EXPECT_EQ(200, refused);
	EXPECT_EQ(0, dax_block(fd, 0));
}

/*
 * A write to existing blocks need not wait, except for the file's time stamp: a
 * filesystem may refuse some of them for that reason.
 */
TEST_F(dax, nowait_over_blocks)
{
	unsigned int written = 0, other = 0;
	int fd = nowait_file(WRITTEN);
	struct iovec iov;
	char c = 0;

	for (int i = 0; i < 200; i++) {
		if (pwrite(fd, "-", 1, 5) != 1)
			dax_exit_fail("pwrite: %m");
		if (write_flags(fd, "x", 1, 5, RWF_NOWAIT) == 1)
			written++;
		else
			other += errno != EAGAIN;
	}
	EXPECT_LT(0, written);
	EXPECT_EQ(0, other);
	iov = (struct iovec){ &c, 1 };
	EXPECT_EQ(1, preadv2(fd, &iov, 1, 6, RWF_NOWAIT));
	EXPECT_EQ(FILL, c);
}

/* A length of zero does nothing, and returns. */
TEST_F(dax, zero_length)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char c;

	EXPECT_EQ(0, pread(fd, &c, 0, 0));
	EXPECT_EQ(0, pread(fd, &c, 0, SZ_2M));
	EXPECT_EQ(0, pwrite(fd, &c, 0, 0));
	EXPECT_EQ(0, pwrite(fd, &c, 0, 2 * SZ_2M));
	EXPECT_EQ(SZ_2M, lseek(fd, 0, SEEK_END));
}

TEST_F(dax, read_at_the_end)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char buf[SZ_4K];

	dax_truncate(fd, SZ_2M - 100);
	EXPECT_EQ(0, pread(fd, buf, sizeof(buf), SZ_2M - 100));
	EXPECT_EQ(0, pread(fd, buf, sizeof(buf), 4 * SZ_2M));
	EXPECT_EQ(50, pread(fd, buf, sizeof(buf), SZ_2M - 150));
	EXPECT_BYTES(FILL, buf, 50);
}

/* Untorn writes are not for DAX. */
TEST_F(dax, atomic_write_refused)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	EXPECT_ERRNO(EOPNOTSUPP, write_flags(fd, "x", 1, 0, RWF_ATOMIC));
}

/* Journalled data are not where the file has its blocks. */
static int journal_data(int fd)
{
	unsigned int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		dax_exit_fail("FS_IOC_GETFLAGS: %m");
	flags |= FS_JOURNAL_DATA_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) ? errno : 0;
}

TEST_F(dax, journalled_data)
{
	int fd, dir, err;

	NEED(dax_is_xfs() ? "XFS journals no data" : NULL);
	/* With delayed allocation ext4 does not mind the flag. */
	NEED(dax_scratch(96, "", "dax=always,nodelalloc"));
	fd = dax_file(SZ_2M, WRITTEN);
	ASSERT_TRUE(dax_file_is_dax(fd));
	err = journal_data(fd);
	EXPECT_EQ(EBUSY, err);
	EXPECT_TRUE(dax_file_is_dax(fd));

	/* A file that inherits the flag is none from the beginning. */
	dir = open(dax_work_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, journal_data(dir));
	close(dir);
	fd = dax_create("journalled");
	EXPECT_FALSE(dax_file_is_dax(fd));
	dax_fill(fd, 0, SZ_4K, 'j');
	dax_fsync(fd);
	EXPECT_FILE('j', fd, 0, SZ_4K);
}

/*
 * Blocks change places by way of the page cache, which a DAX file has not: it is
 * refused on either side.
 */
#define MOVED_PAGES	16

struct move_extents {
	uint32_t unused, donor;
	uint64_t from, to, nr, moved;
};

#define MOVE_EXTENTS	_IOWR('f', 15, struct move_extents)

static int move_extents(int fd, int donor)
{
	struct move_extents move = { .donor = donor, .nr = MOVED_PAGES };

	if (ioctl(fd, MOVE_EXTENTS, &move))
		return -errno;
	return move.moved;
}

TEST_F(dax, move_extents_refused)
{
	size_t len = MOVED_PAGES * SZ_4K;
	uint64_t block[4];
	int fd[4];

	NEED(dax_is_xfs() ? "XFS has another call, which dma.c tests" : NULL);
	NEED(dax_scratch(96, "", "dax=inode"));
	for (int i = 0; i < 4; i++) {
		char name[] = { 'a' + i, 0 };

		/* Two files of each kind. */
		fd[i] = dax_create_as(name, i < 2);
		dax_fill(fd[i], 0, len, name[0]);
		dax_fsync(fd[i]);
		block[i] = dax_block(fd[i], 0);
	}
	EXPECT_EQ(-EOPNOTSUPP, move_extents(fd[0], fd[1]));
	EXPECT_EQ(-EOPNOTSUPP, move_extents(fd[0], fd[2]));
	EXPECT_EQ(-EOPNOTSUPP, move_extents(fd[2], fd[0]));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(block[i], dax_block(fd[i], 0));
		EXPECT_FILE('a' + i, fd[i], 0, len);
	}
	/* The call works on files without DAX. */
	EXPECT_EQ(MOVED_PAGES, move_extents(fd[2], fd[3]));
	EXPECT_EQ(block[3], dax_block(fd[2], 0));
}

/*
 * The second buffer is bad, a page of 'g' comes before it: that is written, no
 * more.
 */
static ssize_t write_good_and_bad(int fd, size_t len)
{
	char good[SZ_4K];
	struct iovec iov[2] = {
		{ good, sizeof(good) }, { dax_anonymous(len, PROT_NONE), len },
	};

	memset(good, 'g', sizeof(good));
	return pwritev(fd, iov, 2, 0);
}

TEST_F(dax, short_copy)
{
	int fd = dax_file(4 * SZ_4K, HOLE);

	EXPECT_EQ(SZ_4K, write_good_and_bad(fd, SZ_4K));
	EXPECT_FILE('g', fd, 0, SZ_4K);
	EXPECT_FILE(0, fd, SZ_4K, SZ_4K);

	EXPECT_ERRNO(EFAULT, pwrite(fd, dax_anonymous(SZ_4K, PROT_NONE), 8, 0));
	EXPECT_FILE('g', fd, 0, SZ_4K);
}

TEST_F(dax, short_copy_beyond_the_end)
{
	int fd = dax_create("short");

	EXPECT_EQ(SZ_4K, write_good_and_bad(fd, SZ_1M));
	EXPECT_EQ(SZ_4K, lseek(fd, 0, SEEK_END));
	dax_fsync(fd);
	if (!dax_is_xfs())	/* XFS may keep blocks beyond the end */
		EXPECT_EQ(0, dax_block(fd, 2 * SZ_4K));
	dax_truncate(fd, SZ_1M);
	EXPECT_FILE(0, fd, SZ_4K, SZ_4K);
}

/* The rest of a fresh block is zero, by write(2)... */
TEST_F(dax, edges_of_a_write)
{
	char buf[3 * SZ_4K];

	for (enum dax_layout layout = HOLE; layout <= PREALLOC; layout++) {
		int fd = dax_file(SZ_2M, layout);

		dax_fill(fd, SZ_4K + 100, SZ_4K, 'w');
		dax_read(fd, 0, buf, 3 * SZ_4K);
		EXPECT_BYTES(0, buf, SZ_4K + 100);
		EXPECT_BYTES('w', buf + SZ_4K + 100, SZ_4K);
		EXPECT_BYTES(0, buf + 2 * SZ_4K + 100, SZ_4K - 100);
	}
}

/*
 * ...and by a fault, also where the blocks held another file's bytes a moment
 * ago.
 */
static void leave_stale_blocks(void)
{
	int fd = dax_file(16 * SZ_2M, WRITTEN);

	dax_fill(fd, 0, 16 * SZ_2M, 'X');
	dax_fsync(fd);
	dax_remove(fd);
	sync();
}

TEST_F(dax, no_stale_bytes_by_read)
{
	size_t len = 4 * SZ_2M;

	leave_stale_blocks();
	EXPECT_FILE(0, dax_file(len, PREALLOC), 0, len);
}

DAX_VARIANTS(stale_blocks, dax_needs(), size_t shift; enum dax_layout layout;)

FIXTURE_VARIANT_ADD(stale_blocks, huge_hole) { .layout = HOLE };
FIXTURE_VARIANT_ADD(stale_blocks, huge_prealloc) { .layout = PREALLOC };
FIXTURE_VARIANT_ADD(stale_blocks, small) { .shift = SZ_4K, .layout = HOLE };

TEST_F(stale_blocks, no_stale_bytes)
{
	size_t len = 4 * SZ_2M;
	char *p;

	leave_stale_blocks();
	p = dax_map_shift(dax_file(len, variant->layout), len, variant->shift);
	for (size_t off = 0; off < len; off += SZ_2M / 4) {
		dax_poke(p + off + 99, 'w');
		ASSERT_BYTES(0, p + off, 99);
		ASSERT_BYTES(0, p + off + 100, SZ_2M / 4 - 100);
	}
}

TEST_F(dax, append)
{
	int fd = dax_create("append");
	char buf[5000], *p;
	size_t size = 20 * sizeof(buf);

	memset(buf, 'a', sizeof(buf));
	for (int i = 0; i < 20; i++)
		ASSERT_EQ(sizeof(buf), write(fd, buf, sizeof(buf)));
	ASSERT_EQ(size, lseek(fd, 0, SEEK_END));
	p = dax_map(fd, 0, SZ_2M);
	EXPECT_BYTES('a', p, size);
	EXPECT_BYTES(0, p + size, SZ_4K - size % SZ_4K);
}

TEST_HARNESS_MAIN
