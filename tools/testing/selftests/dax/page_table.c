// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables against entries: what mm does to a mapping of 2 MiB, and faults
 * that find another state than the one that mm saw.
 */
#include "dax_harness.h"

/* Each page of the file tells its own number. */
static int numbered_file(size_t len)
{
	int fd = dax_file(len, WRITTEN);

	for (off_t off = 0; off < len; off += SZ_4K)
		if (pwrite(fd, &off, sizeof(off), off) != sizeof(off))
			dax_exit_fail("pwrite: %m");
	return fd;
}

static off_t number(const char *p)
{
	return *(const volatile off_t *)p;
}

/* The first page of [@off, @off + @len) that does not tell its number. */
static off_t wrong_page(const char *p, off_t off, size_t len)
{
	for (size_t i = 0; i < len; i += SZ_4K)
		if (number(p + i) != off + i)
			return off + i;
	return -1;
}

/* Two threads that take each step together. */
static unsigned int arrived;

static void meet(unsigned int step)
{
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < 2 * (step + 1))
		;
}

/* A mapping of two times 2 MiB moves: it has the same bytes there. */
static void move_all(size_t shift, const char *mapped)
{
	int fd = numbered_file(2 * SZ_2M);
	char *p = dax_map(fd, 0, 2 * SZ_2M);
	char *to = dax_map_shift(fd, 2 * SZ_2M, shift);

	dax_poke(p + 100, 'w');
	dax_poke(p + SZ_2M + 100, 'x');
	ASSERT_MAPPED("2M", p);
	ASSERT_EQ(to, mremap(p, 2 * SZ_2M, 2 * SZ_2M,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p, false, NULL));
	EXPECT_EQ('w', dax_peek(to + 100));
	EXPECT_EQ('x', dax_peek(to + SZ_2M + 100));
	EXPECT_MAPPED(mapped, to);
	EXPECT_MAPPED(mapped, to + SZ_2M);
	EXPECT_EQ(-1, wrong_page(to, 0, 2 * SZ_2M));
	dax_poke(to + 101, 'y');
	dax_fsync(fd);
	dax_poke(to + 101, 'z');
	EXPECT_EQ('z', dax_peek(to + 101));
}

/* To another aligned place: a huge mapping again. */
TEST_F(dax, mremap_by_2m) DAX_CALL(move_all(0, "2M"))

/* Off colour: the address and the file no longer agree, no huge page. */
TEST_F(dax, mremap_by_4k) DAX_CALL(move_all(SZ_4K, "4K"))

/* A part of a huge mapping moves, the rest stays. */
TEST_F(dax, mremap_a_part)
{
	int fd = numbered_file(2 * SZ_2M);
	char *p = dax_map(fd, 0, 2 * SZ_2M);
	char *to = dax_map(fd, 0, 2 * SZ_2M);
	size_t off = 64 * SZ_4K, len = 128 * SZ_4K;

	dax_peek(p);
	dax_peek(to);
	ASSERT_EQ(to + SZ_2M, mremap(p + off, len, len,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to + SZ_2M));
	EXPECT_EQ(-1, wrong_page(to + SZ_2M, off, len));
	EXPECT_EQ(-1, wrong_page(to + SZ_2M + len, SZ_2M + len, SZ_2M - len));
	EXPECT_EQ(-1, wrong_page(p, 0, off));
	EXPECT_EQ(-1, wrong_page(p + off + len, off + len,
				 2 * SZ_2M - off - len));
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p + off, false, NULL));
}

TEST_F(dax, mremap_zero_page)
{
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *p = dax_map(fd, 0, SZ_2M), *to = dax_map(fd, SZ_2M, SZ_2M);

	dax_peek(p);
	ASSERT_MAPPED("2M zero", p);
	ASSERT_EQ(to, mremap(p, SZ_2M, SZ_2M, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	EXPECT_EQ(0, dax_peek(to));
	dax_poke(to, 'w');
	dax_fill(fd, SZ_4K, SZ_4K, 'x');
	EXPECT_EQ('w', dax_peek(to));
	EXPECT_BYTES('x', to + SZ_4K, SZ_4K);
}

TEST_F(dax, munmap_a_part)
{
	int fd = numbered_file(SZ_2M);
	char *p = dax_map(fd, 0, SZ_2M);
	size_t gap = 200 * SZ_4K, len = 3 * SZ_4K;

	dax_poke(p + gap + 8, 'w');
	dax_poke(p + gap - 1, 'x');
	ASSERT_MAPPED("2M", p);
	dax_unmap(p + gap, len);
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p + gap, true, NULL));
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p + gap + len - 1, false, NULL));
	EXPECT_EQ('x', dax_peek(p + gap - 1));
	EXPECT_EQ(-1, wrong_page(p, 0, gap));
	EXPECT_EQ(-1, wrong_page(p + gap + len, gap + len, SZ_2M - gap - len));

	p = dax_map(fd, 0, SZ_2M);
	EXPECT_EQ('w', dax_peek(p + gap + 8));
	EXPECT_MAPPED("2M", p);
}

TEST_F(dax, mprotect_a_part)
{
	int fd = numbered_file(SZ_2M);
	char *p = dax_map(fd, 0, SZ_2M);
	size_t at = 17 * SZ_4K;

	dax_poke(p + at + 8, 'w');
	ASSERT_EQ(0, mprotect(p + at, SZ_4K, PROT_READ));
	EXPECT_EQ(SIGSEGV, dax_touch_signal(p + at + 8, true, NULL));
	EXPECT_EQ('w', dax_peek(p + at + 8));
	dax_poke(p + at + SZ_4K + 8, 'x');
	ASSERT_EQ(0, mprotect(p + at, SZ_4K, PROT_READ | PROT_WRITE));
	dax_poke(p + at + 8, 'y');
	EXPECT_EQ('y', dax_peek(p + at + 8));
	EXPECT_EQ(-1, wrong_page(p, 0, SZ_2M));
}

static int write_in_child(char *p)
{
	if (dax_peek(p + 8) != 'p')
		return 1;
	dax_poke(p + 8, 'c');
	dax_poke(p + SZ_2M - 1, 'C');
	return number(p + SZ_4K) == SZ_4K ? 0 : 2;
}

/* A child sees the parent's stores, and the parent the child's. */
TEST_F(dax, fork_shared)
{
	int fd = numbered_file(SZ_2M);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_poke(p + 8, 'p');
	ASSERT_MAPPED("2M", p);
	EXPECT_EQ(0, dax_child(write_in_child(p)));
	EXPECT_EQ('c', dax_peek(p + 8));
	EXPECT_EQ('C', dax_peek(p + SZ_2M - 1));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(-1, wrong_page(p, 0, SZ_2M));
}

/*
 * Two threads touch a fresh private mapping at the same time: a read tries to
 * map 2 MiB of the file, a write a private page, and one of them finds what mm
 * has not seen.
 */
static struct {
	char *p;
	char *read_at, *write_at;
} private;

static void read_and_write(unsigned int id, void *arg)
{
	dax_touch(id ? private.read_at : private.write_at, !id);
}

static void collide_private(int fd, int byte)
{
	unsigned int rounds = dax_scale(150);

	private.p = dax_map_private(fd, 0, SZ_2M);
	for (unsigned int i = 0; i < rounds; i++) {
		private.write_at = private.p + i % PAGES_2M * SZ_4K + 8;
		private.read_at = private.p +
				  (i * 7 + 1) % PAGES_2M * SZ_4K + 8;
		dax_run_threads(2, read_and_write, NULL);
		ASSERT_EQ('w', dax_peek(private.write_at));
		ASSERT_EQ(byte, dax_peek(private.write_at + 1));
		if (private.read_at != private.write_at)
			ASSERT_EQ(byte, dax_peek(private.read_at));
		dax_zap(private.p, SZ_2M);
		ASSERT_EQ(byte, dax_peek(private.write_at));
		dax_zap(private.p, SZ_2M);
	}
}

TEST_F(dax, private_collision_over_blocks)
	DAX_CALL(collide_private(dax_file(SZ_2M, WRITTEN), FILL))
TEST_F(dax, private_collision_over_hole)
	DAX_CALL(collide_private(dax_file(SZ_2M, HOLE), 0))

/*
 * The read comes a little after the write, each time by another bit: while the
 * write is about to map its page, it finds no page table yet, wants 2 MiB, and
 * waits for the entry. When it has that, there is a page table.
 */
#define LATE_RANGES	64

static void write_or_read_late(unsigned int id, void *p)
{
	for (unsigned int i = 0; i < LATE_RANGES; i++) {
		meet(i);
		for (volatile unsigned int d = i * 997 % 16384; id && d; d--)
			;
		dax_touch(p + i * SZ_2M + (id ? SZ_4K : 0), !id);
	}
}

/* Each store is where it was made, after all rounds of @threads. */
static void collide_in_steps(char *p, size_t len, size_t step,
			     unsigned int rounds,
			     void (*threads)(unsigned int id, void *p))
{
	unsigned int lost = 0;

	for (unsigned int i = 0; i < rounds; i++) {
		arrived = 0;
		dax_run_threads(2, threads, p);
		for (size_t at = 0; at < len; at += step)
			lost += dax_peek(p + at) != 'w';
		dax_zap(p, len);
	}
	EXPECT_EQ(0, lost);
}

TEST_F(dax, private_collision_late_read)
{
	size_t len = LATE_RANGES * SZ_2M;
	char *p = dax_map_private(dax_file(len, HOLE), 0, len);

	collide_in_steps(p, len, SZ_2M, dax_scale(30), write_or_read_late);
}

/*
 * The same page, and small: a read fault that was too late must not put the
 * file's page in the place of the private one.
 */
static void read_or_write_each(unsigned int id, void *p)
{
	for (unsigned int i = 0; i < PAGES_2M; i++) {
		meet(i);
		dax_touch(p + i * SZ_4K + (id ? 1 : 0), !id);
	}
}

TEST_F(dax, private_collision_one_page)
{
	char *p = dax_mmap(dax_file(SZ_2M, WRITTEN), 0, SZ_2M,
			   PROT_READ | PROT_WRITE, MAP_PRIVATE, SZ_4K);

	collide_in_steps(p, SZ_2M, SZ_4K, dax_scale(10), read_or_write_each);
}

/* Shared read against shared write: the one entry, and the newer protection. */
static struct {
	char *map[2];
	size_t at;
} shared;

static void read_and_write_shared(unsigned int id, void *arg)
{
	dax_touch(shared.map[id] + shared.at, !id);
}

static void collide_shared(bool two)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *a = dax_map(fd, 0, SZ_2M), *b = two ? dax_map_small(fd, SZ_2M) : a;
	unsigned int rounds = dax_scale(80);

	shared.map[0] = a;
	shared.map[1] = b;
	for (unsigned int i = 0; i < rounds; i++) {
		shared.at = (i * 4099) % SZ_2M;
		dax_run_threads(2, read_and_write_shared, NULL);
		ASSERT_EQ('w', dax_peek(a + shared.at));
		ASSERT_EQ('w', dax_peek(b + shared.at));
		ASSERT_EQ(dax_pfn(a + shared.at), dax_pfn(b + shared.at));
		dax_zap(a, SZ_2M);
		if (two)
			dax_zap(b, SZ_2M);
		dax_falloc(fd, FALLOC_FL_ZERO_RANGE, 0, SZ_2M);
	}
}

TEST_F(dax, shared_collision_one_mapping) DAX_CALL(collide_shared(false))
TEST_F(dax, shared_collision_two_sizes) DAX_CALL(collide_shared(true))

/*
 * Two windows of one file, one of them off colour by a page: a huge fault that
 * trusted the address would lock one range and map another.
 */
#define MAP_LEN	(2 * SZ_2M)

static void touch_all(unsigned int id, void *arg)
{
	char **windows = arg;

	dax_touch_each(windows[id], MAP_LEN, SZ_4K, false);
}

TEST_F(dax, off_colour_window)
{
	unsigned int rounds = dax_scale(4);
	int fd = numbered_file(MAP_LEN);

	for (unsigned int i = 0; i < rounds; i++) {
		size_t shift = i % 2 ? SZ_4K : SZ_2M - SZ_4K;
		char *windows[2];

		windows[0] = dax_map(fd, 0, MAP_LEN);
		windows[1] = dax_map_shift(fd, MAP_LEN, shift);
		dax_run_threads(2, touch_all, windows);
		ASSERT_MAPPED("4K", windows[1]);
		for (int j = 0; j < 2; j++) {
			ASSERT_EQ(-1, wrong_page(windows[j], 0, MAP_LEN));
			dax_unmap(windows[j], MAP_LEN);
		}
	}
}

/*
 * MADV_DONTNEED against fsync, which write-protects the same PMD. If the PMD is
 * gone for a moment, the zap passes it by, and the page stays mapped. The page
 * map does not see it then, either, which tells when to zap; in every other
 * round the zap comes after a few looks, whatever they show.
 */
static struct {
	int fd;
	char *p;
	unsigned int looks;
	volatile bool synced;
} protect;

static void fsync_or_zap(unsigned int id, void *arg)
{
	if (!id) {
		dax_fsync(protect.fd);
		protect.synced = true;
		return;
	}
	for (unsigned int i = 0; i < protect.looks; i++)
		if (protect.synced || !dax_pfn(protect.p))
			break;
	dax_zap(protect.p, SZ_2M);
}

TEST_F(dax, fsync_against_zap)
{
	unsigned int rounds = dax_scale(100), stayed = 0;

	protect.fd = numbered_file(SZ_2M);
	protect.p = dax_map(protect.fd, 0, SZ_2M);
	for (unsigned int i = 0; i < rounds; i++) {
		/* Many pages, so that the range stays huge. */
		for (size_t at = 8; at < SZ_2M / 4; at += SZ_4K)
			dax_poke(protect.p + at, i);
		protect.looks = i % 2 ? UINT_MAX : i;
		protect.synced = false;
		dax_run_threads(2, fsync_or_zap, NULL);
		stayed += !!strcmp("none", dax_mapped(protect.p));
	}
	EXPECT_EQ(0, stayed);
	EXPECT_EQ(-1, wrong_page(protect.p, 0, SZ_2M));
	EXPECT_MAPPED("2M", protect.p);
}

/* A process or a mapping that does not want huge pages gets none. */
static int touch_where_disabled(int fd)
{
	char *p;

	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
		return 1;
	p = dax_map(fd, 0, SZ_2M);
	dax_peek(p);
	return strcmp("4K", dax_mapped(p)) ? 2 : 0;
}

TEST_F(dax, huge_pages_disabled)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 2 * SZ_2M);

	ASSERT_EQ(0, madvise(p, SZ_2M, MADV_NOHUGEPAGE));
	dax_peek(p);
	EXPECT_MAPPED("4K", p);
	dax_poke(p + SZ_4K, 'w');
	EXPECT_MAPPED("4K", p + SZ_4K);
	EXPECT_EQ(0, dax_child(touch_where_disabled(fd)));
	dax_peek(p + SZ_2M);
	EXPECT_MAPPED("2M", p + SZ_2M);
}

/*
 * ext4 starts the transaction of a fault before the entry is locked. Inside the
 * lock it could wait for a commit, which waits for a task that has a
 * transaction open and waits for the entry.
 */
TEST_F(dax, transaction_before_entry)
{
	const char *grab;
	char *p;
	int fd;

	NEED_EVENT("dax_grab_entry");
	if (dax_is_xfs())
		SKIP(return, "XFS starts them inside, and its commits wait for no entry");
	fd = dax_file(SZ_2M, HOLE);
	p = dax_map_small(fd, SZ_2M);
	dax_trace(fd, "dax_grab_entry");
	dax_trace_thread("jbd2/jbd2_handle_start", NULL);
	dax_poke(p, 'w');
	grab = strstr(dax_trace_text(), "dax_grab_entry:");
	ASSERT_NE(NULL, grab);
	EXPECT_EQ(NULL, strstr(grab, "jbd2_handle_start:"));
	EXPECT_LE(1, dax_count_all("jbd2_handle_start"));
}

/*
 * A 4 KiB fault where there is no page table yet: mm allocates one, and that
 * stays. Page tables are the only pages that are zeroed for a fault on a file
 * with blocks.
 */
static unsigned int zeroed_pages(void)
{
	const char *p = dax_trace_text();
	unsigned int nr = 0;

	while ((p = strstr(p, "__GFP_ZERO"))) {
		nr++;
		p++;
	}
	return nr;
}

DAX_VARIANTS(one_table, dax_needs(), int flags; bool write;)

FIXTURE_VARIANT_ADD(one_table, load) { MAP_SHARED, false };
FIXTURE_VARIANT_ADD(one_table, store) { MAP_SHARED, true };
FIXTURE_VARIANT_ADD(one_table, copy) { MAP_PRIVATE, true };

TEST_F(one_table, one_page_table)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p;

	/* Off colour; and the tables above the page table are there. */
	p = dax_mmap(fd, 0, 2 * SZ_2M, PROT_READ | PROT_WRITE, variant->flags, SZ_4K);
	dax_peek(p);
	dax_trace_thread("kmem/mm_page_alloc", NULL);
	dax_touch(p + SZ_2M, variant->write);
	dax_trace_stop("kmem/mm_page_alloc");
	EXPECT_EQ(1, zeroed_pages());
	EXPECT_MAPPED("4K", p + SZ_2M);
}

DAX_VARIANTS(fallback, dax_no_event("dax_fault_fallback"), int flags; bool write;)

FIXTURE_VARIANT_ADD(fallback, load) { MAP_SHARED, false };
FIXTURE_VARIANT_ADD(fallback, store) { MAP_SHARED, true };
FIXTURE_VARIANT_ADD(fallback, private_load) { MAP_PRIVATE, false };

/*
 * mm takes a fault on DAX under the lock of the VMA, and does not turn it away
 * there when it comes down to 4 KiB, to come again under mmap_lock: the huge
 * one would fall back twice.
 */
TEST_F(fallback, falls_back_once)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p;

	p = dax_mmap(fd, 0, SZ_2M, PROT_READ | PROT_WRITE, variant->flags, SZ_4K);
	dax_trace(fd, "dax_fault_fallback");
	dax_touch(p + SZ_4K, variant->write);
	EXPECT_EQ(1, dax_count_all("dax_fault_fallback"));
	EXPECT_MAPPED("4K", p + SZ_4K);
}

TEST_HARNESS_MAIN
