// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private mappings: reads may be huge, a write copies one page, and the file does
 * not change.
 */
#include "dax_harness.h"

DAX_FILE_FIXTURE(private, NULL, dax_file(2 * SZ_2M, WRITTEN),
		 dax_map_private(self->fd, 0, 2 * SZ_2M))

TEST_F(private, write_over_huge_read)
{
	char *file = dax_map(self->fd, 0, SZ_2M);
	size_t at = 77 * SZ_4K;

	dax_peek(self->p);
	EXPECT_MAPPED("2M", self->p);
	dax_poke(self->p + at, 'w');
	EXPECT_MAPPED("4K", self->p + at);
	EXPECT_PART('w', self->p, at, at + 1, SZ_2M);
	EXPECT_BYTES(FILL, file, SZ_2M);
	EXPECT_NE(dax_pfn(file + at), dax_pfn(self->p + at));
}

TEST_F(dax, write_over_huge_zero)
{
	int fd = dax_file(SZ_2M, HOLE);
	char *p = dax_map_private(fd, 0, SZ_2M), byte;

	dax_peek(p);
	EXPECT_MAPPED("2M zero", p);
	dax_poke(p + SZ_4K, 'w');
	EXPECT_EQ('w', dax_peek(p + SZ_4K));
	EXPECT_BYTES(0, p, SZ_4K);
	EXPECT_BYTES(0, p + SZ_4K + 1, SZ_2M - SZ_4K - 1);
	dax_read(fd, SZ_4K, &byte, 1);
	EXPECT_EQ(0, byte);
	EXPECT_EQ(0, dax_block(fd, SZ_4K));
}

TEST_F(private, write_first)
{
	dax_poke(self->p + 5, 'w');
	EXPECT_PART('w', self->p, 5, 6, SZ_2M);
	EXPECT_FILE(FILL, self->fd, 0, SZ_4K);
}

/* A private page is not the file's: nothing to write back. */
TEST_F(private, nothing_dirty)
{
	dax_trace(self->fd, "dax_writeback_one");
	dax_peek(self->p);
	dax_poke(self->p, 'w');
	EXPECT_FLUSHES(0, self->fd);
}

/* Stores to the file are seen until the page is private. */
TEST_F(private, sees_the_file_until_written)
{
	char *file = dax_map(self->fd, 0, SZ_2M);

	dax_peek(self->p);
	dax_poke(file, '1');
	EXPECT_EQ('1', dax_peek(self->p));
	dax_poke(self->p + 1, 'p');
	dax_poke(file, '2');
	EXPECT_EQ('1', dax_peek(self->p));
	EXPECT_EQ(FILL, dax_peek(file + 1));
}

static int child_writes(char *p)
{
	if (dax_peek(p) != 'p' || dax_peek(p + SZ_4K) != FILL)
		return 1;
	dax_poke(p, 'c');
	dax_poke(p + SZ_4K, 'c');
	return dax_peek(p) == 'c' && dax_peek(p + SZ_4K) == 'c' ? 0 : 2;
}

TEST_F(private, fork)
{
	dax_peek(self->p);
	dax_poke(self->p, 'p');
	EXPECT_EQ(0, dax_child(child_writes(self->p)));
	EXPECT_EQ('p', dax_peek(self->p));
	EXPECT_EQ(FILL, dax_peek(self->p + SZ_4K));
	dax_poke(self->p + SZ_4K, 'P');
	EXPECT_EQ('P', dax_peek(self->p + SZ_4K));
}

/*
 * fork copies the page tables of a mapping that has private pages. A huge page
 * of the file among them is no memory of the process: it is not counted, and
 * not in use after an unmap.
 */
static int child_reads(const char *p)
{
	return dax_peek(p + SZ_4K) == FILL && dax_peek(p + SZ_2M) == 'p' &&
	       dax_peek(p + SZ_2M + SZ_4K) == FILL ? 0 : 1;
}

TEST_F(private, fork_beside_huge)
{
	dax_peek(self->p);
	dax_poke(self->p + SZ_2M, 'p');
	ASSERT_MAPPED("2M", self->p);
	EXPECT_EQ(0, dax_child(child_reads(self->p)));
	EXPECT_BYTES(FILL, self->p, SZ_2M);
	EXPECT_EQ('p', dax_peek(self->p + SZ_2M));
	dax_truncate(self->fd, 0);
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p, false, NULL));
}

/* Punching elsewhere, or here, does not take a private page away. */
TEST_F(private, survives_punch)
{
	dax_poke(self->p + SZ_4K, 'w');
	dax_poke(self->p + SZ_2M, 'x');
	dax_punch_hole(self->fd, 8 * SZ_4K, 8 * SZ_4K);
	EXPECT_EQ('w', dax_peek(self->p + SZ_4K));
	EXPECT_EQ('x', dax_peek(self->p + SZ_2M));
	EXPECT_EQ(0, dax_peek(self->p + 8 * SZ_4K));
	dax_falloc(self->fd, FALLOC_FL_ZERO_RANGE, SZ_2M + 8 * SZ_4K,
		   8 * SZ_4K);
	EXPECT_EQ('w', dax_peek(self->p + SZ_4K));
	EXPECT_EQ('x', dax_peek(self->p + SZ_2M));
	dax_punch_hole(self->fd, 0, SZ_2M);
	EXPECT_EQ('w', dax_peek(self->p + SZ_4K));
	EXPECT_EQ(0, dax_peek(self->p));
}

TEST_F(private, gone_with_truncate)
{
	dax_poke(self->p, 'w');
	dax_poke(self->p + SZ_2M, 'x');
	dax_truncate(self->fd, SZ_2M);
	EXPECT_EQ('w', dax_peek(self->p));
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p + SZ_2M, false, NULL));
}

/*
 * A private page is copied while its block is punched out and given to another
 * file: the copy holds the file's bytes or zeros, never the other file's.
 */
static struct {
	int fd, other;
} race;

static void punch_and_reuse(unsigned long nr)
{
	dax_punch_hole(race.fd, 0, 4 * SZ_4K);
	dax_fsync(race.fd);
	dax_fill(race.other, 0, 4 * SZ_4K, 'X');
	dax_truncate(race.other, 0);
	dax_fill(race.fd, 0, 4 * SZ_4K, FILL);
}

DAX_FIXTURE(small, dax_small_scratch())

TEST_F(small, copy_against_punch)
{
	unsigned int rounds = dax_scale(400), foreign = 0;
	char *p;

	race.fd = dax_file(SZ_2M, WRITTEN);
	race.other = dax_create("other");
	dax_fill_up(16 * SZ_4K);
	p = dax_map_private(race.fd, 0, SZ_2M);
	dax_background(punch_and_reuse);
	for (unsigned int i = 0; i < rounds; i++) {
		char *page = p + i % 4 * SZ_4K;

		dax_peek(page);
		dax_poke(page, 'w');
		for (size_t j = 1; j < SZ_4K; j++)
			foreign += page[j] != 0 && page[j] != FILL;
		dax_zap(p, 4 * SZ_4K);
	}
	dax_background_stop();
	EXPECT_EQ(0, foreign);
}

/* A read-only filesystem: the fault must not try to write to it. */
TEST_F(dax, read_only_mount)
{
	char path[PATH_MAX], *p, *q;
	int fd;

	NEED(dax_scratch(400, "", "dax=always"));
	fd = dax_file(SZ_2M, WRITTEN);
	dax_truncate(fd, 2 * SZ_2M);
	dax_name(fd, path, sizeof(path));
	close(fd);
	dax_scratch_remount("ro");

	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	p = dax_map_private(fd, 0, 2 * SZ_2M);
	dax_peek(p);
	EXPECT_MAPPED("2M", p);
	dax_poke(p, 'w');
	dax_poke(p + SZ_4K, 'w');
	EXPECT_EQ('w', dax_peek(p));
	EXPECT_EQ(FILL, dax_peek(p + 1));
	dax_poke(p + SZ_2M, 'w');
	EXPECT_EQ('w', dax_peek(p + SZ_2M));

	q = dax_mmap(fd, 0, SZ_2M, PROT_READ, MAP_SHARED, 0);
	EXPECT_BYTES(FILL, q, SZ_2M);
	EXPECT_MAPPED("2M", q);
}

TEST_HARNESS_MAIN
