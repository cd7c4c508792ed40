// SPDX-License-Identifier: GPL-2.0-only
/*
 * Few stores between two flushes: the core tracks them by page, and flushes
 * these pages. Many stores: the range is mapped huge, and flushed whole.
 *
 * Each test begins with a file of 2 MiB, one entry, whose stores are tracked by
 * page. Nothing of it is dirty.
 */
#include <sys/uio.h>

#include "dax_harness.h"

const char *dax_needs(void)
{
	return dax_no_event("dax_fault_fallback");
}

#define FLUSHED_PAGES(first, nr)	FLUSHED((first) * SZ_4K, (nr) * SZ_4K)

/* So many stores between two flushes are many. */
#define MANY		32

static int start(void)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	dax_trace(fd, NULL);
	return fd;
}

/* The second flush makes the entry by page. */
static char *map_by_page(int fd)
{
	char *p = dax_map(fd, 0, SZ_2M);

	for (int i = 0; i < 2; i++) {
		dax_poke(p, 'w');
		ASSERT_MAPPED("2M", p);
		EXPECT_FLUSHES(i + 1, fd);
	}
	EXPECT_EQ(2, FLUSHED_PAGES(0, PAGES_2M));
	dax_trace_clear();
	return p;
}

DAX_FILE_FIXTURE(page, dax_needs(), start(), map_by_page(self->fd))

static void store(char *p, unsigned long page)
{
	dax_poke(p + page * SZ_4K + page, 's');
}

/* A flush covers the pages that were stored to, and no others. */
TEST_F(page, few_stores)
{
	static const unsigned long pages[] = { 3, 200, 201, 63, 64, 511 };

	for (int round = 0; round < 3; round++) {
		dax_trace_clear();
		for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
			store(self->p, pages[i]);
			store(self->p, pages[i]);
		}
		EXPECT_EQ(ARRAY_LEN(pages), SMALL_FAULTS());
		EXPECT_FLUSHES(4, self->fd);
		EXPECT_EQ(1, FLUSHED_PAGES(3, 1));
		EXPECT_EQ(1, FLUSHED_PAGES(200, 2));
		EXPECT_EQ(1, FLUSHED_PAGES(63, 2));
		EXPECT_EQ(1, FLUSHED_PAGES(511, 1));
		EXPECT_FLUSHES(4, self->fd);
	}
}

/* The reason is told, once: after that, the range has a page table. */
TEST_F(page, refused_fault_has_reason)
{
	store(self->p, 5);
	EXPECT_MAPPED("4K", self->p + 5 * SZ_4K);
	ONCE_OR_TWICE(FALLBACKS("small-writes"));
	dax_trace_clear();
	dax_fsync(self->fd);
	store(self->p, 6);
	EXPECT_EQ(0, ALL_FALLBACKS());
}

/* A page that was never dirty in the meantime, and one that was. */
TEST_F(page, each_flush_starts_anew)
{
	for (unsigned long i = 0; i < PAGES_2M; i += 7) {
		dax_trace_clear();
		store(self->p, i);
		store(self->p, 0);
		dax_fsync(self->fd);
		EXPECT_EQ(1, FLUSHED_PAGES(i, 1));
		EXPECT_EQ(1, FLUSHED_PAGES(0, 1));
	}
}

/* No more than small entries would flush, and a constant. */
TEST_F(page, bytes_flushed)
{
	const unsigned int rounds = dax_scale(500), stores = 16;
	bool dirty[PAGES_2M];
	unsigned long pages = 0, flushed = 0, n = 1;

	for (unsigned int i = 0; i < rounds; i++) {
		memset(dirty, 0, sizeof(dirty));
		for (unsigned int k = 0; k < stores; k++) {
			n = n * 1103515245 + 12345;
			dirty[n / 65536 % PAGES_2M] = true;
			store(self->p, n / 65536 % PAGES_2M);
		}
		dax_msync(self->p, SZ_2M);
		for (unsigned long k = 0; k < PAGES_2M; k++)
			pages += dirty[k];
		for (const char *at = dax_trace_text();
		     (at = strstr(at, "pglen ")); at++)
			flushed += strtoul(at + strlen("pglen "), NULL, 0);
		dax_trace_clear();
	}
	EXPECT_EQ(pages, flushed);
}

/*
 * A writer that fills the range: its next fault is huge, and the flush is one of
 * all.
 */
TEST_F(page, many_stores)
{
	dax_poke_each(self->p, SZ_2M, SZ_4K, 'm');
	EXPECT_MAPPED("2M", self->p);
	EXPECT_EQ(MANY, SMALL_FAULTS());
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(0, PAGES_2M));

	dax_trace_clear();
	for (int i = 0; i < 7; i++) {
		dax_poke_each(self->p, SZ_2M, SZ_4K, 'n');
		EXPECT_MAPPED("2M", self->p);
		EXPECT_FLUSHES(i + 1, self->fd);
	}
	EXPECT_EQ(7, HUGE_FAULTS());
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ(7, FLUSHED_PAGES(0, PAGES_2M));
}

/* The entry stays whole for longer each time that its stores prove to be many. */
TEST_F(page, many_stores_for_long)
{
	unsigned int rounds = 8 + 32 + 127;

	for (unsigned int i = 0; i < rounds; i++) {
		dax_poke_each(self->p, SZ_2M, SZ_4K, 'm');
		dax_fsync(self->fd);
	}
	EXPECT_EQ(rounds, FLUSHED_PAGES(0, PAGES_2M));
	EXPECT_EQ(rounds, FLUSHES());
	EXPECT_EQ(3 * MANY, SMALL_FAULTS());
}

/* One store less is few. */
TEST_F(page, not_quite_many)
{
	for (int round = 0; round < 4; round++) {
		dax_trace_clear();
		dax_poke_each(self->p, (MANY - 1) * 8 * SZ_4K, 8 * SZ_4K, 'n');
		EXPECT_EQ(MANY - 1, SMALL_FAULTS());
		EXPECT_FLUSHES(MANY - 1, self->fd);
	}
}

/* The page tables of other processes go, too. */
static int store_pages(int nr, void *arg)
{
	int *fd = arg;
	static char *p;

	if (!p)
		p = dax_map(*fd, 0, SZ_2M);
	for (int i = 0; i < (nr & 0xff); i++)
		store(p, nr / 0x100 + i);
	return dax_mapped(p + nr / 0x100 * SZ_4K)[0];
}

TEST_F(page, many_stores_of_two)
{
	struct dax_helper other;

	dax_helper_start(&other, store_pages, &self->fd);
	EXPECT_EQ('4', dax_helper_step(&other, 10));
	dax_poke_each(self->p, SZ_2M, SZ_4K, 'm');
	EXPECT_MAPPED("2M", self->p);
	EXPECT_EQ('2', dax_helper_step(&other, 10));
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(0, PAGES_2M));
	dax_helper_stop(&other);
}

/* Two processes store in turn, each by its own page table. */
TEST_F(page, few_stores_of_two)
{
	struct dax_helper other;

	dax_helper_start(&other, store_pages, &self->fd);
	for (int i = 0; i < 4; i++) {
		dax_trace_clear();
		store(self->p, 5);
		dax_helper_step(&other, (100 + i) * 0x100 + 2);
		store(self->p, 300);
		EXPECT_FLUSHES(3, self->fd);
		EXPECT_EQ(1, FLUSHED_PAGES(5, 1));
		EXPECT_EQ(1, FLUSHED_PAGES(100 + i, 2));
		EXPECT_EQ(1, FLUSHED_PAGES(300, 1));
		/* Both have stored to it, and both fault again. */
		dax_trace_clear();
		dax_helper_step(&other, 5 * 0x100 + 1);
		store(self->p, 5);
		EXPECT_FLUSHES(1, self->fd);
		dax_trace_clear();
		dax_helper_step(&other, 5 * 0x100 + 1);
		EXPECT_EQ(1, SMALL_FAULTS());
		EXPECT_FLUSHES(1, self->fd);
		dax_trace_clear();
		store(self->p, 5);
		EXPECT_EQ(1, SMALL_FAULTS());
		EXPECT_FLUSHES(1, self->fd);
	}
	dax_helper_stop(&other);
}

/* A mapping of one page, off colour, and of the whole. */
TEST_F(page, other_mappings)
{
	char *one = dax_map(self->fd, 77 * SZ_4K, SZ_4K);
	char *small = dax_map_small(self->fd, SZ_2M);

	dax_poke(one, 'o');
	store(small, 150);
	store(self->p, 400);
	EXPECT_FLUSHES(3, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(77, 1));
	EXPECT_EQ(1, FLUSHED_PAGES(150, 1));
	EXPECT_EQ(1, FLUSHED_PAGES(400, 1));
	dax_trace_clear();
	dax_poke(one, 'p');
	store(self->p, 77);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(77, 1));
}

/* Reads are as huge as before, also those of a process that began to store. */
static int read_page(int page, void *arg)
{
	int *fd = arg;
	static char *p;

	if (!p)
		p = dax_map(*fd, 0, SZ_2M);
	dax_peek(p + page * SZ_4K);
	return dax_mapped(p)[0];
}

TEST_F(page, reads_stay_huge)
{
	struct dax_helper reader;
	char *p = dax_map(self->fd, 0, SZ_2M);

	dax_peek(p);
	EXPECT_MAPPED("2M", p);
	dax_helper_start(&reader, read_page, &self->fd);
	EXPECT_EQ('2', dax_helper_step(&reader, 1));
	for (int i = 0; i < 3; i++) {
		store(self->p, i);
		dax_fsync(self->fd);
		EXPECT_EQ('2', dax_helper_step(&reader, 2));
		EXPECT_MAPPED("2M", p);
	}
	dax_helper_stop(&reader);
}

/* A page is flushed even if its page table entry is gone. */
TEST_F(page, dirty_then_zap)
{
	store(self->p, 9);
	dax_zap(self->p, SZ_2M);
	store(self->p, 8);
	dax_zap(self->p, SZ_2M);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(8, 2));
}

TEST_F(page, dirty_then_munmap)
{
	store(self->p, 9);
	dax_unmap(self->p, SZ_2M);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 1));
}

TEST_F(page, dirty_then_mprotect)
{
	store(self->p, 9);
	ASSERT_EQ(0, mprotect(self->p, SZ_2M, PROT_READ));
	ASSERT_EQ(0, mprotect(self->p, SZ_2M, PROT_READ | PROT_WRITE));
	store(self->p, 9);
	store(self->p, 10);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 2));
	dax_trace_clear();
	store(self->p, 9);
	EXPECT_FLUSHES(1, self->fd);
}

TEST_F(page, dirty_then_mremap)
{
	char *to = dax_anonymous(2 * SZ_2M, PROT_NONE);

	to += -(uintptr_t)to % SZ_2M;
	store(self->p, 9);
	ASSERT_EQ((void *)to, mremap(self->p, SZ_2M, SZ_2M,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 1));
	dax_trace_clear();
	store(to, 9);
	store(to, 10);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 2));
}

static int store_and_exit(char *p)
{
	store(p, 10);
	return 0;
}

TEST_F(page, dirty_then_fork)
{
	store(self->p, 9);
	ASSERT_EQ(0, dax_child(store_and_exit(self->p)));
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 2));
}

/* The kernel stores: in a system call, and as for another process. */
TEST_F(page, stores_of_the_kernel)
{
	struct iovec from = { "kernel", 6 };
	struct iovec to = { self->p + 20 * SZ_4K, 6 };

	ASSERT_EQ(6, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	ASSERT_EQ(6, pread(self->fd, self->p + 30 * SZ_4K, 6, 0));
	EXPECT_FLUSHES(2, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(20, 1));
	EXPECT_EQ(1, FLUSHED_PAGES(30, 1));
}

/* A collapse makes the range huge again, and the next flush covers all of it. */
TEST_F(page, collapse)
{
	store(self->p, 9);
	ASSERT_EQ(0, dax_collapse(self->p, SZ_2M));
	EXPECT_MAPPED("2M", self->p);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(0, PAGES_2M));
	store(self->p, 400);
	EXPECT_MAPPED("2M", self->p);
}

/* The policy "eager" does not collapse an entry that is by page. */
TEST_F(page, eager_policy)
{
	NEED(dax_policy("eager"));
	store(self->p, 9);
	for (unsigned long i = 0; i < PAGES_2M; i++)
		dax_peek(self->p + i * SZ_4K);
	EXPECT_MAPPED("4K", self->p);
	EXPECT_EQ(0, dax_count_all("dax_collapse"));
}

/* MAP_SYNC is no different, with metadata that are durable and that are not. */
TEST_F(page, map_sync)
{
	char *p = dax_mmap(self->fd, 0, SZ_2M, PROT_READ | PROT_WRITE,
			   MAP_SHARED_VALIDATE | MAP_SYNC, 0);

	store(p, 33);
	store(p, 34);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(33, 2));
	dax_trace_clear();
	dax_falloc(self->fd, 0, SZ_2M, SZ_4K);
	store(p, 44);
	EXPECT_EQ(1, dax_count_all("dax_insert_pfn_mkwrite"));
	dax_trace_clear();
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(44, 1));
}

/* Each store of a file that shares blocks asks the filesystem. */
TEST_F(dax, shares_blocks_elsewhere)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p;

	NEED_XFS();
	dax_share_page(fd, SZ_2M, dax_file(SZ_2M, WRITTEN));
	dax_trace(fd, NULL);
	p = map_by_page(fd);
	store(p, 33);
	store(p, 34);
	store(p, 300);
	EXPECT_FLUSHES(2, fd);
	EXPECT_EQ(1, FLUSHED_PAGES(33, 2));
	EXPECT_EQ(1, FLUSHED_PAGES(300, 1));
	dax_trace_clear();
	dax_poke_each(p, SZ_2M, SZ_4K, 'm');
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(MANY, SMALL_FAULTS());
	EXPECT_FLUSHES(1, fd);
	EXPECT_EQ(1, FLUSHED_PAGES(0, PAGES_2M));
}

/* Dirty pages are flushed before their blocks are shared. Stores go to copies. */
TEST_F(page, reflink)
{
	int clone;

	NEED_XFS();
	store(self->p, 33);
	clone = dax_clone(self->fd, "clone");
	EXPECT_EQ(1, FLUSHED_PAGES(33, 1));
	store(self->p, 34);
	store(self->p, 33);
	EXPECT_FILE(FILL, clone, 34 * SZ_4K, SZ_4K);
	dax_trace_clear();
	dax_fsync(self->fd);
	EXPECT_LE(1, FLUSHES());
	dax_trace_clear();
	EXPECT_FLUSHES(0, self->fd);
}

/* The punch flushes the entry and deletes it. XFS has flushed the dirty page before. */
TEST_F(page, punch)
{
	store(self->p, 33);
	dax_punch_hole(self->fd, 100 * SZ_4K, SZ_4K);
	EXPECT_EQ(1, FLUSHED_PAGES(0, PAGES_2M) + FLUSHED_PAGES(33, 1));
}

/* Flags of pages that a store set earlier do not count. */
TEST_F(page, flags_of_an_earlier_time)
{
	dax_poke_each(self->p, SZ_2M, SZ_4K, 'm');
	for (int i = 0; i < 8; i++) {
		dax_poke(self->p, 'w');
		dax_fsync(self->fd);
	}
	EXPECT_EQ(8, FLUSHED_PAGES(0, PAGES_2M));
	dax_trace_clear();
	store(self->p, 9);
	EXPECT_FLUSHES(1, self->fd);
	EXPECT_EQ(1, FLUSHED_PAGES(9, 1));
}

TEST_HARNESS_MAIN
