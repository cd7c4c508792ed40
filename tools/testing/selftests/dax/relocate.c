// SPDX-License-Identifier: GPL-2.0-only
/*
 * MADV_COLLAPSE of a file whose blocks no huge page can map (XFS): the blocks are
 * moved to where one can. Nothing else changes, and what cannot be moved stays.
 */
#include "dax_harness.h"

#define RANGES		4
#define LEN		(RANGES * SZ_2M)
#define STEP		(16 * SZ_4K)
#define SHUTDOWN	_IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOG	2

static const char *no_relocation(void)
{
	return dax_no_reflink() ?: dax_align(true) ?: dax_policy("fault") ?:
		dax_scratch_plain(dax_scratch_device(), 512, "");
}

DAX_NEEDS(dax_no_scratch() ?: no_relocation())

/* --- a file in pieces -------------------------------------------------------- */

/* Page @nr of a file begins with this byte. */
static char page_byte(size_t nr)
{
	return 'A' + nr % 53;
}

static void write_step(int fd, size_t at)
{
	char buf[STEP];

	memset(buf, FILL, sizeof(buf));
	for (size_t page = 0; page < STEP; page += SZ_4K)
		buf[page] = page_byte((at + page) / SZ_4K);
	if (pwrite(fd, buf, STEP, at) != (ssize_t)STEP)
		dax_exit_fail("pwrite: %m");
}

/* Files in turn: no piece of any is longer than a step. */
static void in_turn(int *fds, unsigned int nr, size_t len)
{
	for (unsigned int i = 0; i < nr; i++)
		fds[i] = dax_create(dax_text("pieces-%u", i));
	dax_align(false);
	for (size_t at = 0; at < len; at += STEP)
		for (unsigned int i = 0; i < nr; i++)
			write_step(fds[i], at);
	dax_align(true);
	for (unsigned int i = 0; i < nr; i++)
		dax_fsync(fds[i]);
}

static int in_pieces(size_t len, int *other)
{
	int fds[2];

	in_turn(fds, 2, len);
	*other = fds[1];
	return fds[0];
}

static bool has_bytes(const char *p, size_t len)
{
	for (size_t at = 0; at < len; at += SZ_4K)
		if (p[at] != page_byte(at / SZ_4K) ||
		    dax_differs(p + at + 1, SZ_4K - 1, FILL) >= 0)
			return false;
	return true;
}

/* How many ranges have blocks that can be huge. */
static unsigned int huge_ranges(int fd, size_t len)
{
	unsigned int nr = 0;

	for (size_t at = 0; at < len; at += SZ_2M)
		nr += dax_extent_huge(fd, at);
	return nr;
}

/* The blocks of each page of a file. */
static uint64_t *blocks_of(int fd, size_t len)
{
	uint64_t *blocks = dax_shared(len / SZ_4K * sizeof(*blocks));

	for (size_t at = 0; at < len; at += SZ_4K)
		blocks[at / SZ_4K] = dax_block(fd, at);
	return blocks;
}

static bool same_blocks(const uint64_t *before, int fd, size_t len)
{
	return !memcmp(before, blocks_of(fd, len), len / SZ_4K * sizeof(*before));
}

/* A file in pieces, mapped by 4 KiB, and the one between its pieces. */
FIXTURE(pieces) {
	int fd, other;
	char *p;
	uint64_t *blocks;
};

FIXTURE_SETUP(pieces)
{
	DAX_SETUP_IF(dax_needs());
	self->fd = in_pieces(LEN, &self->other);
	self->blocks = blocks_of(self->fd, LEN);
	self->p = dax_map(self->fd, 0, LEN);
	dax_touch_each(self->p, LEN, SZ_4K, false);
	ASSERT_EQ(0, huge_ranges(self->fd, LEN));
	ASSERT_MAPPED("4K", self->p);
}

FIXTURE_TEARDOWN(pieces)
{
	close(self->fd);
	close(self->other);
	DAX_TEARDOWN();
}

/* After each test, when the scratch filesystem is unmounted. */
void dax_restore(void)
{
	EXPECT_EQ(0, dax_sh("xfs_repair -n %s", dax_scratch_device()));
}

/* Nothing was moved, and the bytes are there. */
#define EXPECT_STAYED() do {						\
	EXPECT_TRUE(same_blocks(self->blocks, self->fd, LEN));		\
	EXPECT_TRUE(has_bytes(self->p, LEN));				\
} while (0)

/* --- what is moved ----------------------------------------------------------- */

TEST_F(pieces, each_range)
{
	struct stat before, after;
	unsigned long space = dax_free_blocks();

	ASSERT_EQ(0, fstat(self->fd, &before));
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	EXPECT_EQ(RANGES, huge_ranges(self->fd, LEN));
	for (size_t at = 0; at < LEN; at += SZ_2M)
		EXPECT_MAPPED("2M", self->p + at);
	EXPECT_TRUE(has_bytes(self->p, LEN));

	ASSERT_EQ(0, fstat(self->fd, &after));
	/* there are fewer extents, and so perhaps fewer blocks for their map */
	EXPECT_GE(before.st_blocks, after.st_blocks);
	EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	EXPECT_TRUE(dax_space_is_back(space));
	EXPECT_TRUE(has_bytes(dax_map(self->other, 0, LEN), LEN));
}

/* A second call finds nothing to move. */
TEST_F(pieces, once)
{
	uint64_t *moved;

	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	moved = blocks_of(self->fd, LEN);
	dax_zap(self->p, LEN);
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	EXPECT_TRUE(same_blocks(moved, self->fd, LEN));
}

TEST_F(pieces, one_range_alone)
{
	EXPECT_EQ(0, dax_collapse(self->p + SZ_2M, SZ_2M));
	EXPECT_EQ(1, huge_ranges(self->fd, LEN));
	EXPECT_TRUE(dax_extent_huge(self->fd, SZ_2M));
	EXPECT_MAPPED("4K", self->p);
	EXPECT_MAPPED("2M", self->p + SZ_2M);
	EXPECT_TRUE(has_bytes(self->p, LEN));
}

/* Stores before and after, by this mapping and by another. */
TEST_F(pieces, stores)
{
	char *other = dax_map_small(self->fd, LEN), *again;

	dax_poke(self->p + 3 * SZ_4K, 'x');
	dax_poke(other + 5 * SZ_4K, 'y');
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	EXPECT_EQ('x', dax_peek(other + 3 * SZ_4K));
	EXPECT_EQ('y', dax_peek(self->p + 5 * SZ_4K));
	dax_poke(other + 7 * SZ_4K, 'z');
	EXPECT_EQ('z', dax_peek(self->p + 7 * SZ_4K));
	dax_fill(self->fd, 9 * SZ_4K, SZ_4K, 'q');
	EXPECT_BYTES('q', self->p + 9 * SZ_4K, SZ_4K);
	dax_fsync(self->fd);

	again = dax_shared(SZ_2M);
	dax_read(self->fd, 0, again, SZ_2M);
	EXPECT_EQ('x', again[3 * SZ_4K]);
	EXPECT_EQ('y', again[5 * SZ_4K]);
	EXPECT_EQ('z', again[7 * SZ_4K]);
}

/* Unwritten blocks are part of a range that is mostly written. */
TEST_F(dax, unwritten_rest)
{
	int fd = dax_create("half"), other;
	char *p;

	dax_align(false);
	other = dax_create("shift");
	dax_fill(other, 0, SZ_4K, 's');
	for (size_t at = 0; at < SZ_2M; at += SZ_1M / 4) {
		dax_falloc(fd, 0, at, SZ_1M / 4);
		dax_falloc(other, 0, at, SZ_1M / 4);
	}
	dax_fill(fd, 0, SZ_1M + SZ_4K, 'h');
	dax_align(true);
	p = dax_map(fd, 0, SZ_2M);
	ASSERT_FALSE(dax_extent_huge(fd, 0));
	EXPECT_EQ(0, dax_collapse(p, SZ_2M));
	EXPECT_TRUE(dax_extent_huge(fd, 0));
	EXPECT_BYTES('h', p, SZ_1M + SZ_4K);
	EXPECT_BYTES(0, p + SZ_1M + SZ_4K, SZ_1M - SZ_4K);
	dax_remove(fd);
	dax_remove(other);
}

/* The policy moves what was filled page by page. */
TEST_F(pieces, eager)
{
	char *p;

	ASSERT_EQ(NULL, dax_policy("eager"));
	p = dax_map(self->fd, 0, LEN);
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	EXPECT_TRUE(dax_extent_huge(self->fd, 0));
	EXPECT_EQ(1, huge_ranges(self->fd, LEN));
	EXPECT_TRUE(has_bytes(p, LEN));
}

/* What was synced before the move is there after a crash, moved or not. */
TEST_F(pieces, crash)
{
	uint32_t flags = SHUTDOWN_NO_LOG;
	char name[PATH_MAX], *p;
	int fd;

	dax_name(self->fd, name, sizeof(name));
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	ASSERT_EQ(0, ioctl(self->fd, SHUTDOWN, &flags));
	dax_unmap(self->p, LEN);
	close(self->fd);
	close(self->other);
	dax_scratch_mount_again();
	fd = open(name, O_RDWR);
	ASSERT_LE(0, fd);
	p = dax_map(fd, 0, LEN);
	EXPECT_TRUE(has_bytes(p, LEN));
	close(fd);
}

/* --- what stays -------------------------------------------------------------- */

TEST_F(pieces, page_in_use)
{
	int pipe_fd[2];

	dax_into_pipe(pipe_fd, self->p + 17 * SZ_4K);
	EXPECT_EQ(EAGAIN, dax_collapse(self->p, SZ_2M));
	EXPECT_STAYED();
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	EXPECT_EQ(0, dax_collapse(self->p, SZ_2M));
	EXPECT_TRUE(dax_extent_huge(self->fd, 0));
}

/* Who may only read may not move. */
TEST_F(pieces, read_only)
{
	char name[PATH_MAX], *p;
	int fd;

	dax_name(self->fd, name, sizeof(name));
	fd = open(name, O_RDONLY);
	p = dax_mmap(fd, 0, LEN, PROT_READ, MAP_SHARED, 0);
	EXPECT_EQ(EINVAL, dax_collapse(p, LEN));
	EXPECT_STAYED();
	close(fd);
}

TEST_F(pieces, shared_blocks)
{
	int clone = dax_clone(self->fd, "clone");

	EXPECT_EQ(EINVAL, dax_collapse(self->p, LEN));
	EXPECT_STAYED();
	dax_remove(clone);
	EXPECT_TRUE(dax_wait_for(dax_collapse(self->p, LEN) == 0));
	EXPECT_EQ(RANGES, huge_ranges(self->fd, LEN));
	EXPECT_TRUE(has_bytes(self->p, LEN));
}

TEST_F(pieces, hole)
{
	dax_punch_hole(self->fd, 100 * SZ_4K, SZ_4K);
	EXPECT_EQ(EINVAL, dax_collapse(self->p, SZ_2M));
	EXPECT_FALSE(dax_extent_huge(self->fd, 0));
	EXPECT_EQ(0, dax_block(self->fd, 100 * SZ_4K));
	EXPECT_EQ(page_byte(99), dax_peek(self->p + 99 * SZ_4K));
	EXPECT_EQ(0, dax_peek(self->p + 100 * SZ_4K));
}

TEST_F(pieces, switched_off)
{
	dax_align(false);
	EXPECT_EQ(EINVAL, dax_collapse(self->p, LEN));
	EXPECT_STAYED();
}

/*
 * There is space, but in pieces. XFS keeps some blocks for itself, so the first
 * ranges may still find a huge page there.
 */
TEST_F(dax, no_window)
{
	size_t len = 16 * SZ_2M, at = 0;
	unsigned long space;
	uint64_t *blocks;
	int fds[3], fill, err = 0;
	char *p;

	in_turn(fds, 3, len);
	ASSERT_EQ(0, dax_sh("xfs_io -x -c 'resblks 0' %s", dax_dir()));
	fill = dax_fill_up(0);
	space = dax_free_blocks();
	dax_remove(fds[2]);
	EXPECT_TRUE(dax_space_is_back(space + len / SZ_4K / 2));
	p = dax_map(fds[0], 0, len);

	for (; at < len; at += SZ_2M) {
		space = dax_free_blocks();
		blocks = blocks_of(fds[0], len);
		err = dax_collapse(p + at, SZ_2M);
		if (err)
			break;
	}
	dax_print_msg("%zu of %zu ranges were moved", at / SZ_2M, len / SZ_2M);
	EXPECT_EQ(ENOSPC, err);
	EXPECT_TRUE(same_blocks(blocks, fds[0], len));
	EXPECT_TRUE(has_bytes(p, len));
	EXPECT_TRUE(dax_space_is_back(space));
	dax_remove(fill);
	dax_remove(fds[0]);
	dax_remove(fds[1]);
}

/* --- with others at work ----------------------------------------------------- */

static char *busy_map;
static int busy_fd;

/* Add 1 to the first byte of a page by a store, and to that of another by write(2). */
static void add_one(unsigned long nr)
{
	char *p = busy_map + nr % PAGES_2M * SZ_4K + 8;
	off_t at = nr * 7 % PAGES_2M * SZ_4K + 9;
	char c;

	dax_poke(p, dax_peek(p) + 1);
	if (pread(busy_fd, &c, 1, at) != 1)
		dax_exit_fail("pread: %m");
	c++;
	if (pwrite(busy_fd, &c, 1, at) != 1)
		dax_exit_fail("pwrite: %m");
}

/* What the bytes must be after @laps. */
static unsigned int wrong_counts(const char *p, unsigned long laps)
{
	unsigned char by_store[PAGES_2M], by_write[PAGES_2M];
	unsigned int wrong = 0;

	memset(by_store, FILL, sizeof(by_store));
	memset(by_write, FILL, sizeof(by_write));
	for (unsigned long nr = 0; nr < laps; nr++) {
		by_store[nr % PAGES_2M]++;
		by_write[nr * 7 % PAGES_2M]++;
	}
	for (size_t i = 0; i < PAGES_2M; i++)
		wrong += (unsigned char)p[i * SZ_4K + 8] != by_store[i] ||
			 (unsigned char)p[i * SZ_4K + 9] != by_write[i];
	return wrong;
}

TEST_F(dax, beside_a_writer)
{
	unsigned int moved = 0, rounds = dax_scale(40);

	for (unsigned int i = 0; i < rounds; i++) {
		int other, err, fd = in_pieces(SZ_2M, &other);
		unsigned long laps;
		char *p;

		busy_fd = fd;
		p = dax_map(fd, 0, SZ_2M);
		busy_map = p;
		dax_background(add_one);
		err = EAGAIN;
		for (int tries = 0; err == EAGAIN && tries < 1000; tries++)
			err = dax_collapse(p, SZ_2M);
		laps = dax_background_stop();
		EXPECT_TRUE(!err || err == EAGAIN);
		moved += !err;
		EXPECT_EQ(0, wrong_counts(p, laps));
		dax_unmap(p, SZ_2M);
		dax_remove(fd);
		dax_remove(other);
	}
	dax_print_msg("moved in %u of %u rounds", moved, rounds);
	EXPECT_LE(1, moved);
}

TEST_HARNESS_MAIN
