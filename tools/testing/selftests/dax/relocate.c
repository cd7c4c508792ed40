// SPDX-License-Identifier: GPL-2.0-only
/*
 * MADV_COLLAPSE of a file whose blocks no huge page can map: the blocks are moved to
 * where one can. Nothing else changes, and what cannot be moved stays.
 */
#include "dax_harness.h"

#define RANGES		4
#define LEN		(RANGES * SZ_2M)
#define STEP		(16 * SZ_4K)

#define FS_MIB		512
#define FIRST_SECTOR	2056	/* of a filesystem that is misaligned */

static const char *no_relocation(void)
{
	return dax_no_scratch() ?: dax_align(true) ?: dax_policy("fault");
}

DAX_NEEDS(no_relocation() ?:
	  dax_scratch_plain(dax_scratch_device(), FS_MIB, ""))

/* mballoc aligns 2 MiB on the device, which is not aligned in memory here. */
static const char *no_misaligned(void)
{
	const char *why;

	if (dax_is_xfs())
		return dax_needs();
	why = no_relocation() ?:
		dax_scratch_dm(0, dax_text("0 %u linear %s %u\n", FS_MIB * 2048,
					   dax_scratch_device(), FIRST_SECTOR));
	return why ?: dax_scratch_plain("/dev/mapper/" DAX_SCRATCH_DM, FS_MIB,
					"");
}

/* --- a file in pieces -------------------------------------------------------- */

/* Page @nr of a file begins with this byte. */
static char page_byte(size_t nr)
{
	return 'A' + nr % 53;
}

static void write_step(int fd, size_t at, size_t step)
{
	static char buf[SZ_2M];

	memset(buf, FILL, step);
	for (size_t page = 0; page < step; page += SZ_4K)
		buf[page] = page_byte((at + page) / SZ_4K);
	if (pwrite(fd, buf, step, at) != (ssize_t)step)
		dax_exit_fail("pwrite: %m");
}

/* Files in turn: no piece of any is longer than a step. */
static void in_turn(int *fds, unsigned int nr, size_t len, size_t step)
{
	for (unsigned int i = 0; i < nr; i++)
		fds[i] = dax_create(dax_text("pieces-%u", i));
	dax_align(false);
	for (size_t at = 0; at < len; at += step)
		for (unsigned int i = 0; i < nr; i++) {
			/* ext4 preallocates 2 MiB for a write */
			dax_falloc(fds[i], 0, at, step);
			write_step(fds[i], at, step);
		}
	dax_align(true);
	for (unsigned int i = 0; i < nr; i++)
		dax_fsync(fds[i]);
}

static int in_pieces(size_t len, int *other)
{
	int fds[2];

	in_turn(fds, 2, len, STEP);
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
	const char *dev = dax_scratch_device();
	int err = dax_sh(dax_is_xfs() ? "xfs_repair -n %s" : "e2fsck -fn %s",
			 dev);

	if (err && !dax_is_xfs())
		err = dax_sh("e2fsck -fn '%s?offset=%u'", dev, FIRST_SECTOR * 512);
	EXPECT_EQ(0, err);
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

/* Most free blocks hold bytes of a deleted file. */
static void leave_junk(void)
{
	size_t len = dax_free_blocks() / 8 * 7 * SZ_4K;
	int fd = dax_create("junk");

	dax_fill(fd, 0, len, 'j');
	dax_remove(fd);
	EXPECT_TRUE(dax_space_is_back(len / SZ_4K));
}

/* Unwritten blocks are part of a range that is mostly written. */
TEST_F(dax, unwritten_rest)
{
	int fd = dax_create("half"), other;
	char *p;

	leave_junk();
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

/* Threads collapse one range at once: the later ones find it moved. */
static void collapse_at_once(unsigned int id, void *arg)
{
	int err = EAGAIN;

	for (int tries = 0; err == EAGAIN && tries < 1000; tries++)
		err = dax_collapse(arg, SZ_2M);
	EXPECT_EQ(0, err);
}

TEST_F(pieces, at_once)
{
	dax_run_threads(4, collapse_at_once, self->p);
	EXPECT_TRUE(dax_extent_huge(self->fd, 0));
	EXPECT_TRUE(has_bytes(self->p, LEN));
}

/* After a crash, all data that were synced before or after the move are there. */
TEST_F(pieces, crash)
{
	char name[PATH_MAX], *p;
	int fd;

	dax_name(self->fd, name, sizeof(name));
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
	dax_poke(self->p + 7 * SZ_4K, 'n');
	EXPECT_EQ(0, fdatasync(self->fd));
	ASSERT_EQ(0, dax_shutdown(self->fd));
	dax_unmap(self->p, LEN);
	close(self->fd);
	close(self->other);
	dax_scratch_mount_again("dax=always");
	fd = open(name, O_RDWR);
	ASSERT_LE(0, fd);
	p = dax_map(fd, 0, LEN);
	EXPECT_EQ('n', dax_peek(p + 7 * SZ_4K));
	dax_poke(p + 7 * SZ_4K, page_byte(7));
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

/* A process that may only read moves nothing. */
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
	int clone;

	NEED_XFS();
	clone = dax_clone(self->fd, "clone");
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

/* Nobody has asked for it. */
TEST_F(pieces, eager)
{
	char *p;

	ASSERT_EQ(NULL, dax_policy("eager"));
	p = dax_map(self->fd, 0, LEN);
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	EXPECT_STAYED();
}

/* A process would lose the record of its stores. */
static int track_stores(int nr, void *arg)
{
	char *p = dax_map_small(*(int *)arg, LEN);

	(void)nr;
	dax_poke(p + 3 * SZ_4K, page_byte(3));
	return dax_write_file("/proc/self/clear_refs", "4");
}

TEST_F(pieces, stores_tracked)
{
	struct dax_helper other;

	dax_helper_start(&other, track_stores, &self->fd);
	if (dax_helper_step(&other, 0)) {
		dax_helper_stop(&other);
		SKIP(return, "this kernel does not track stores");
	}
	EXPECT_EQ(EBUSY, dax_collapse(self->p, LEN));
	EXPECT_STAYED();
	dax_helper_stop(&other);
	EXPECT_EQ(0, dax_collapse(self->p, LEN));
}

/* XFS would take more than a window. */
TEST_F(pieces, cow_extent_size_hint)
{
	char name[PATH_MAX];

	NEED_XFS();
	dax_name(self->fd, name, sizeof(name));
	ASSERT_EQ(0, dax_sh("xfs_io -c 'cowextsize 4m' %s", name));
	EXPECT_EQ(EINVAL, dax_collapse(self->p, LEN));
	EXPECT_STAYED();
}

/* ext4 uses blocks again at once that were freed. */
TEST_F(pieces, data_writeback)
{
	char name[PATH_MAX], *p;
	int fd;

	NEED(dax_is_xfs() ? "data=writeback is an option of ext4" : NULL);
	dax_name(self->fd, name, sizeof(name));
	dax_unmap(self->p, LEN);
	close(self->fd);
	close(self->other);
	dax_scratch_mount_again("dax=always,data=writeback");
	fd = open(name, O_RDWR);
	p = dax_map(fd, 0, LEN);
	EXPECT_EQ(EINVAL, dax_collapse(p, LEN));
	EXPECT_TRUE(same_blocks(self->blocks, fd, LEN));
	EXPECT_TRUE(has_bytes(p, LEN));
	close(fd);
}

TEST_F(pieces, switched_off)
{
	dax_align(false);
	EXPECT_EQ(EINVAL, dax_collapse(self->p, LEN));
	EXPECT_STAYED();
}

static const char *no_pieces(bool misaligned)
{
	return misaligned ? no_misaligned() : dax_needs();
}

DAX_VARIANTS(full, no_pieces(variant->misaligned), bool misaligned;)
FIXTURE_VARIANT_ADD(full, small_pieces) { false };
/* long enough, and in no place for a huge page */
FIXTURE_VARIANT_ADD(full, misaligned) { true };

/*
 * There is space, but in pieces. XFS keeps some blocks for itself, so the first
 * ranges may still find a huge page there.
 */
TEST_F(full, no_window)
{
	size_t len = 16 * SZ_2M, at = 0;
	unsigned long space;
	uint64_t *blocks;
	int fds[4], fill, err = 0;
	char *p;

	/* no piece of the first lies beside one of the third, which goes */
	in_turn(fds, 4, len, variant->misaligned ? SZ_2M : STEP);
	if (dax_is_xfs())
		ASSERT_EQ(0, dax_sh("xfs_io -x -c 'resblks 0' %s", dax_dir()));
	fill = dax_fill_up(0);
	space = dax_free_blocks();
	dax_remove(fds[2]);
	EXPECT_TRUE(dax_space_is_back(space + len / SZ_4K / 2));
	p = dax_map(fds[0], 0, len);
	dax_touch_each(p, len, SZ_2M, false);
	ASSERT_MAPPED("4K", p);

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
	dax_remove(fds[3]);
}

/* --- with others at work ----------------------------------------------------- */

/* The first byte of each page counts, by stores or by write(2). */
static char *busy_map;
static int busy_fd;

static void add_by_store(unsigned long nr)
{
	char *p = busy_map + nr % PAGES_2M * SZ_4K;

	dax_poke(p, dax_peek(p) + 1);
}

static void add_by_write(unsigned long nr)
{
	off_t at = nr % PAGES_2M * SZ_4K;
	char c;

	if (pread(busy_fd, &c, 1, at) != 1)
		dax_exit_fail("pread: %m");
	c++;
	if (pwrite(busy_fd, &c, 1, at) != 1)
		dax_exit_fail("pwrite: %m");
}

/* How many pages are wrong after so many additions. */
static unsigned int wrong_counts(const char *p, unsigned long laps)
{
	unsigned int wrong = 0;

	for (size_t i = 0; i < PAGES_2M; i++) {
		unsigned long times = laps / PAGES_2M + (i < laps % PAGES_2M);

		wrong += p[i * SZ_4K] != (char)(page_byte(i) + times);
	}
	return wrong;
}

/* Returns whether the range was moved. */
static bool move_beside(void (*add)(unsigned long nr))
{
	int other, err = EAGAIN, fd = in_pieces(SZ_2M, &other);
	char *p = dax_map(fd, 0, SZ_2M);

	busy_fd = fd;
	busy_map = p;
	dax_background(add);
	for (int tries = 0; err == EAGAIN && tries < 1000; tries++)
		err = dax_collapse(p, SZ_2M);
	EXPECT_EQ(0, wrong_counts(p, dax_background_stop()));
	EXPECT_TRUE(!err || err == EAGAIN);
	dax_unmap(p, SZ_2M);
	dax_remove(fd);
	dax_remove(other);
	return !err;
}

static void move_beside_each(void (*add)(unsigned long nr))
{
	unsigned int moved = 0, rounds = dax_scale(40);

	for (unsigned int i = 0; i < rounds; i++)
		moved += move_beside(add);
	dax_print_msg("moved in %u of %u rounds", moved, rounds);
	EXPECT_LE(1, moved);
}

TEST_F(dax, beside_stores) DAX_CALL(move_beside_each(add_by_store))

TEST_F(dax, beside_writes) DAX_CALL(move_beside_each(add_by_write))

TEST_HARNESS_MAIN
