// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holes and the zero pages that represent them: once blocks are allocated, in
 * whatever way, no mapping may show zero pages.
 */
#include "dax_harness.h"

DAX_SIZES(dax);

#define ZERO(size)	((size) == SZ_2M ? "2M zero" : "4K zero")

static char pread_byte(int fd, off_t off)
{
	char c;

	dax_read(fd, off, &c, 1);
	return c;
}

TEST_F(dax, read_then_write)
{
	size_t size = variant->size, last = size - 1;
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *a = dax_map(fd, 0, size), *b = dax_map(fd, 0, size);

	EXPECT_EQ(0, dax_peek(a));
	EXPECT_EQ(0, dax_peek(b + last));
	ASSERT_MAPPED(ZERO(size), a);
	ASSERT_MAPPED(ZERO(size), b);
	dax_poke(a + last, 'w');
	EXPECT_EQ('w', dax_peek(a + last));
	EXPECT_EQ('w', dax_peek(b + last));
	EXPECT_EQ('w', pread_byte(fd, last));
	EXPECT_BYTES(0, b, last);
}

/* The same over unwritten blocks, which are there and are aligned. */
TEST_F(dax, read_then_write_prealloc)
{
	size_t size = variant->size, last = size - 1;
	int fd = dax_file(SZ_2M, PREALLOC);
	char *a = dax_map(fd, 0, size), *b = dax_map(fd, 0, size);

	EXPECT_EQ(0, dax_peek(a));
	EXPECT_EQ(0, dax_peek(b));
	ASSERT_MAPPED(ZERO(size), a);
	dax_poke(a + last, 'w');
	EXPECT_MAPPED(variant->mapped, a);
	EXPECT_MAPPED("none", b);
	EXPECT_EQ('w', dax_peek(b + last));
	EXPECT_EQ(dax_pfn(a), dax_pfn(b));
	EXPECT_BYTES(0, b, last);
}

/* One shared page represents every hole. */
TEST_F(dax, holes_share_zero_page)
{
	size_t size = variant->size;
	int fd = dax_file(2 * SZ_2M, HOLE), other = dax_file(SZ_2M, HOLE);
	char *a = dax_map(fd, 0, size), *b = dax_map(fd, SZ_2M, size);
	char *c = dax_map(other, 0, size);

	dax_peek(a);
	dax_peek(b);
	dax_peek(c);
	EXPECT_NE(0, dax_pfn(a));
	EXPECT_EQ(dax_pfn(a), dax_pfn(b));
	EXPECT_EQ(dax_pfn(a), dax_pfn(c));
}

/* A page written through another mapping, in the middle of the zeros. */
TEST_F(dax, small_write_seen_by_all)
{
	size_t size = variant->size, at = size / 2 & -SZ_4K;
	int fd = dax_file(SZ_2M, HOLE);
	char *p = dax_map(fd, 0, size), *page = dax_map(fd, at, SZ_4K);

	dax_peek(p);
	dax_peek(page);
	dax_poke(page + 5, 'w');
	EXPECT_EQ('w', dax_peek(p + at + 5));
	EXPECT_EQ('w', pread_byte(fd, at + 5));
	EXPECT_EQ(0, dax_peek(p + at));
	EXPECT_EQ(dax_pfn(page), dax_pfn(p + at));
	if (at)
		EXPECT_EQ(0, dax_peek(p + at - 1));
}

/* write(2) allocates under a mapped zero page. */
static void pwrite_replaces_zero(int fd, size_t size, size_t at, size_t len)
{
	char *p = dax_map(fd, 0, size);

	dax_peek(p + at);
	ASSERT_MAPPED(ZERO(size), p + at);
	dax_fill(fd, at, len, 'w');
	EXPECT_BYTES('w', p + at, len);
	EXPECT_BYTES(0, p, at);
}

TEST_F(dax, pwrite_replaces_zero)
	DAX_CALL(pwrite_replaces_zero(dax_file(SZ_2M, HOLE), variant->size,
				      variant->size / 2 & -SZ_4K, SZ_4K))
TEST_F(dax, pwrite_replaces_zero_of_prealloc)
	DAX_CALL(pwrite_replaces_zero(dax_file(SZ_2M, PREALLOC), variant->size,
				      0, variant->size))

/* Fadvise and drop_caches may not take an entry that is mapped. */
TEST_F(dax, dropped_caches)
{
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *a = dax_map(fd, 0, variant->size);
	char *b = dax_map(fd, SZ_2M, variant->size);

	dax_peek(a);
	dax_peek(b);
	ASSERT_EQ(0, posix_fadvise(fd, 0, SZ_2M, POSIX_FADV_DONTNEED));
	dax_fill(fd, 0, SZ_4K, 'w');
	EXPECT_BYTES('w', a, SZ_4K);

	ASSERT_EQ(0, dax_write_file("/proc/sys/vm/drop_caches", "1"));
	dax_fill(fd, SZ_2M, SZ_4K, 'w');
	EXPECT_BYTES('w', b, SZ_4K);
}

/* fallocate over the hole, then zero range, then punch: still zeros. */
TEST_F(dax, fallocate_under_zero)
{
	size_t size = variant->size;
	int fd = dax_file(SZ_2M, HOLE);
	char *p = dax_map(fd, 0, size);

	dax_peek(p);
	dax_falloc(fd, 0, 0, SZ_2M);
	EXPECT_BYTES(0, p, size);
	dax_poke(p, 'w');
	EXPECT_EQ('w', pread_byte(fd, 0));
	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, 0, SZ_2M);
	EXPECT_BYTES(0, p, size);
	dax_poke(p, 'x');
	dax_punch_hole(fd, 0, SZ_2M);
	EXPECT_BYTES(0, p, size);
	EXPECT_EQ(0, pread_byte(fd, 0));
}

/*
 * Reads fault zero pages in while write(2) allocates; at the end no zero page
 * may be left where there are bytes.
 */
static struct {
	int fd;
	size_t size, len;
	char *map;
	volatile off_t at;	/* the writer has come so far */
} race;

static void writer_and_reader(unsigned int id, void *arg)
{
	unsigned int faults = 0;

	if (id == 0) {
		for (off_t off = 0; off < race.len; off += race.size) {
			race.at = off;
			dax_fill(race.fd, off + race.size / 2, 64, 'w');
		}
		race.at = race.len;
		return;
	}
	/* Each time by another bit later, so that some are in the middle of it. */
	for (off_t off; (off = race.at) < race.len; faults++) {
		for (volatile unsigned int d = faults * 997 % 8192; d; d--)
			;
		dax_peek(race.map + off);
	}
}

TEST_F(dax, pwrite_against_read_faults)
{
	unsigned int rounds = dax_scale(12);

	race.size = variant->size;
	race.len = variant->size == SZ_2M ? 16 * SZ_2M : 2 * SZ_2M;
	for (unsigned int i = 0; i < rounds; i++) {
		race.at = 0;
		race.fd = dax_file(race.len, HOLE);
		race.map = dax_mmap(race.fd, 0, race.len, PROT_READ, MAP_SHARED,
				    variant->shift);
		dax_run_threads(2, writer_and_reader, NULL);
		for (off_t off = 0; off < race.len; off += race.size) {
			off_t at = off + race.size / 2;

			ASSERT_EQ('w', pread_byte(race.fd, at));
			ASSERT_EQ('w', dax_peek(race.map + at));
		}
		dax_unmap(race.map, race.len);
		dax_remove(race.fd);
	}
}

/*
 * The write needs blocks that cannot be mapped huge, while a huge zero page is
 * mapped: the fallback has to unmap it, or the 4 KiB fault never ends. Collapse
 * range has moved the blocks off their border.
 */
TEST_F(dax, fallback_under_zero)
{
	int fd = dax_file(2 * SZ_2M, PREALLOC);
	char *p;

	dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K);
	dax_trace(fd, "dax_pte_fault dax_pmd_fault");
	p = dax_map(fd, 0, variant->size);
	dax_peek(p);
	if (variant->size == SZ_2M && dax_is_xfs())
		ASSERT_MAPPED("2M zero", p);
	dax_trace_clear();
	dax_poke(p, 'w');
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ('w', dax_peek(p));
	EXPECT_EQ(0, dax_peek(p + 1));
	EXPECT_EQ('w', pread_byte(fd, 0));
	/* The fault may have been taken twice, but it was not a loop. */
	EXPECT_GE(3, SMALL_FAULTS());
	EXPECT_GE(3, HUGE_FAULTS());
	if (variant->size == SZ_2M)
		EXPECT_EQ(0, dax_peek(p + SZ_2M - 1));
}

TEST_HARNESS_MAIN
