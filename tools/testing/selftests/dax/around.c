// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small fault maps pages around its own, if their entries are there.
 *
 * Reads map an aligned window of fault_around_bytes.  Stores map what follows a run of
 * stores: nothing is dirtied for nothing.
 */
#include "dax_harness.h"

const char *dax_needs(void)
{
	return dax_no_event("dax_map_around");
}

#define WINDOW		16U	/* pages, as fault_around_bytes is by itself */
#define MIN_RUN		8U	/* so many stores in a row: more are likely */
#define PAGE(n)		((n) * SZ_4K)

/* How many of 512 pages are mapped, from the first of them that is on. */
struct seen {
	unsigned int first, nr;
};

static struct seen seen(const char *p)
{
	struct seen seen = {};

	for (unsigned int i = 0; i < PAGES_2M; i++) {
		if (!strcmp("none", dax_mapped(p + PAGE(i))))
			continue;
		if (!seen.nr++)
			seen.first = i;
	}
	return seen;
}

static void expect_seen(const char *p, unsigned int first, unsigned int nr)
{
	struct seen found = seen(p);

	EXPECT_EQ(nr, found.nr);
	EXPECT_EQ(first, found.first);
}

/* A file of 2 MiB with an entry for each page, or one for all of it; all clean. */
static int file_with_entries(bool huge)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = huge ? dax_map(fd, 0, SZ_2M) : dax_map_small(fd, SZ_2M);

	dax_touch_each(p, SZ_2M, SZ_4K, true);
	ASSERT_MAPPED(huge ? "2M" : "4K", p + PAGE(100));
	dax_fill(fd, 0, SZ_2M, FILL);
	dax_fsync(fd);
	dax_unmap(p, SZ_2M);
	dax_trace(fd, NULL);
	return fd;
}

DAX_FILE_FIXTURE(small, dax_needs(), file_with_entries(false),
		 dax_map_small(self->fd, SZ_2M))
DAX_FILE_FIXTURE(large, dax_needs(), file_with_entries(true),
		 dax_map_small(self->fd, SZ_2M))

/* --- reads ----------------------------------------------------------------- */

/* A window is aligned in memory, and small mappings are off colour. */
static unsigned int window_start(const char *p, unsigned int page, unsigned int window)
{
	return page - ((uintptr_t)p / SZ_4K + page) % window;
}

static void read_one(char *p)
{
	unsigned int first = window_start(p, 37, WINDOW);

	dax_peek(p + PAGE(37));
	expect_seen(p, first, WINDOW);
	for (int i = 1; i < WINDOW; i++)
		EXPECT_EQ(dax_pfn(p + PAGE(first)) + i, dax_pfn(p + PAGE(first + i)));
	EXPECT_BYTES(FILL, p + PAGE(first), PAGE(WINDOW));
	EXPECT_EQ(1, SMALL_FAULTS());
}

TEST_F(small, read_maps_a_window) DAX_CALL(read_one(self->p))
TEST_F(large, read_maps_a_window) DAX_CALL(read_one(self->p))

/* The first and the last window are cut by the ends of the mapping. */
#define WINDOWS		(PAGES_2M / WINDOW + 1)

static void read_all(char *p)
{
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	EXPECT_EQ(WINDOWS, SMALL_FAULTS());
	EXPECT_BYTES(FILL, p, SZ_2M);
}

TEST_F(small, stream_of_reads) DAX_CALL(read_all(self->p))
TEST_F(large, stream_of_reads) DAX_CALL(read_all(self->p))

static void obeys_the_knob(char *p)
{
	unsigned int first = window_start(p, 102, 4);

	dax_fault_around(SZ_4K);
	dax_peek(p + PAGE(37));
	expect_seen(p, 37, 1);
	dax_zap(p, SZ_2M);
	dax_fault_around(PAGE(4));
	dax_peek(p + PAGE(102));
	expect_seen(p, first, 4);
}

TEST_F(small, obeys_the_knob) DAX_CALL(obeys_the_knob(self->p))
TEST_F(large, obeys_the_knob) DAX_CALL(obeys_the_knob(self->p))

/* The window ends where the mapping does, and other memory begins. */
static void stays_in_the_mapping(int fd)
{
	char *other = dax_anonymous(PAGE(2 * WINDOW), PROT_READ | PROT_WRITE), *p;

	/* In the middle of a window. */
	p = other + PAGE(WINDOW) - (uintptr_t)other % PAGE(WINDOW) + PAGE(5);

	ASSERT_EQ(p, mmap(p, PAGE(6), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, fd, PAGE(5)));
	dax_peek(p + PAGE(2));
	for (int i = 0; i < 6; i++)
		EXPECT_MAPPED("4K", p + PAGE(i));
	EXPECT_EQ(1, SMALL_FAULTS());
	EXPECT_BYTES(FILL, p, PAGE(6));
	for (char *q = other; q < other + PAGE(2 * WINDOW); q += SZ_4K) {
		if (q < p || q >= p + PAGE(6))
			EXPECT_STREQ("none", dax_mapped(q));
	}
}

TEST_F(small, stays_in_the_mapping) DAX_CALL(stays_in_the_mapping(self->fd))
TEST_F(large, stays_in_the_mapping) DAX_CALL(stays_in_the_mapping(self->fd))

/* A page without an entry, or with another kind of entry, has a fault of its own. */
TEST_F(dax, only_what_is_known)
{
	int fd = dax_file_fragmented();
	char *p = dax_map(fd, 0, SZ_2M), *q = dax_map(fd, 0, SZ_2M);

	for (int i = DAX_GAP - 3; i <= DAX_GAP + 3; i++)
		dax_peek(p + PAGE(i));
	ASSERT_MAPPED("4K zero", p + PAGE(DAX_GAP));
	dax_trace(fd, NULL);
	dax_peek(q + PAGE(DAX_GAP - 1));
	/* Behind the gap, the blocks are one page earlier in memory. */
	expect_seen(q, DAX_GAP - 3, 3);
	dax_peek(q + PAGE(DAX_GAP));
	EXPECT_MAPPED("4K zero", q + PAGE(DAX_GAP));
}

static void private_copy_stays(int fd)
{
	char *p = dax_mmap(fd, 0, SZ_2M / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

	dax_poke(p + PAGE(35), 'p');
	dax_peek(p + PAGE(37));
	EXPECT_MAPPED("4K", p + PAGE(32));
	EXPECT_EQ('p', dax_peek(p + PAGE(35)));
	/* A store to a page around copies it, too. */
	dax_poke(p + PAGE(36), 'p');
	EXPECT_FILE(FILL, fd, 0, SZ_2M);
}

TEST_F(small, private_copy_stays) DAX_CALL(private_copy_stays(self->fd))
TEST_F(large, private_copy_stays) DAX_CALL(private_copy_stays(self->fd))

/* Pages that were read are not writable: the next fsync flushes the stores alone. */
static void store_after_reads(int fd, char *p, unsigned int faults)
{
	dax_touch_each(p, SZ_2M, SZ_4K, false);
	dax_trace_clear();
	dax_poke(p + PAGE(70), 's');
	dax_poke(p + PAGE(200), 's');
	EXPECT_EQ(faults, SMALL_FAULTS());
	dax_fsync(fd);
	dax_trace_clear();
	dax_poke(p + PAGE(71), 's');
	EXPECT_EQ(1, SMALL_FAULTS());
}

TEST_F(small, store_after_reads) DAX_CALL(store_after_reads(self->fd, self->p, 2))
TEST_F(large, store_after_reads) DAX_CALL(store_after_reads(self->fd, self->p, 2))

/* --- stores ---------------------------------------------------------------- */

static void store_run(char *p, unsigned int first, unsigned int nr, char c)
{
	for (unsigned int i = first; i < first + nr; i++)
		dax_poke(p + PAGE(i) + 9, c);
}

/* A large entry is dirty as a whole. */
TEST_F(large, stream_of_stores)
{
	store_run(self->p, 0, PAGES_2M, 's');
	EXPECT_EQ(WINDOWS, SMALL_FAULTS());
	EXPECT_FLUSHES(1, self->fd);
}

static unsigned int faults_of_stores(int fd, char *p, unsigned int round)
{
	dax_trace_clear();
	store_run(p, 0, PAGES_2M, 'a' + round);
	EXPECT_FLUSHES(PAGES_2M, fd);
	for (int i = 0; i < PAGES_2M; i++)
		EXPECT_EQ('a' + (int)round, dax_peek(p + PAGE(i) + 9));
	return SMALL_FAULTS();
}

/* Not mapped yet, and then write-protected: one fault for 64 pages in the end. */
TEST_F(small, stream_of_stores)
{
	for (unsigned int round = 0; round < 3; round++)
		EXPECT_GE(PAGES_2M * 7 / 100, faults_of_stores(self->fd, self->p, round));
}

/* Short runs, in order, at any place: as many faults and flushes as stores. */
TEST_F(small, nothing_is_dirtied_for_nothing)
{
	unsigned int stores = 0;

	for (int i = 0; i + MIN_RUN < PAGES_2M; i += MIN_RUN + 3, stores += MIN_RUN)
		store_run(self->p, i, MIN_RUN, 's');
	EXPECT_EQ(stores, SMALL_FAULTS());
	EXPECT_EQ(0, dax_count("dax_map_around", "write"));
	dax_fsync(self->fd);
	EXPECT_EQ(stores, FLUSHES());
}

/* Half as many clean pages as the run has. */
TEST_F(small, run_grows_by_half)
{
	store_run(self->p, 6 * WINDOW + 7, MIN_RUN + 1, 's');
	EXPECT_EQ(1, dax_count("dax_map_around", "write, pages 4"));
	dax_fsync(self->fd);
	EXPECT_EQ(MIN_RUN + 1 + MIN_RUN / 2, FLUSHES());
}

/* The next fault of the stream is at the start of a window, for the policy eager. */
TEST_F(small, run_ends_at_a_window)
{
	store_run(self->p, 6 * WINDOW, MIN_RUN + 6, 's');
	EXPECT_EQ(1, dax_count("dax_map_around", "write, pages 4"));
	EXPECT_EQ(1, dax_count("dax_map_around", "write, pages 2"));
	dax_fsync(self->fd);
	EXPECT_EQ(WINDOW, FLUSHES());
}

/*
 * Behind a long run, one store in each 32 pages, the first of them where the pages end
 * that were mapped ahead.  Those were not stored to, so they are no run.
 */
static void stores_far_apart(int fd, char *p)
{
	unsigned int run = 4 * WINDOW + 1, stores = 0, faults;

	dax_trace(fd, NULL);
	store_run(p, 0, run, 's');
	faults = SMALL_FAULTS();
	ASSERT_STREQ("4K", dax_mapped(p + PAGE(6 * WINDOW - 1)));
	for (unsigned int i = 6 * WINDOW; i < PAGES_2M; i += 2 * WINDOW, stores++)
		dax_poke(p + PAGE(i), 's');
	EXPECT_EQ(stores, SMALL_FAULTS() - faults);
	dax_fsync(fd);
	EXPECT_GE(run + run / 2 + stores, FLUSHES());
}

TEST_F(small, stores_far_apart) DAX_CALL(stores_far_apart(self->fd, self->p))

/* A dirty page is mapped without a run, and costs no flush. */
TEST_F(small, dirty_pages_are_mapped)
{
	char *q = dax_map_small(self->fd, SZ_2M);

	store_run(self->p, 6 * WINDOW + 3, 5, 's');
	dax_trace_clear();
	store_run(q, 6 * WINDOW + 2, 6, 'q');
	EXPECT_EQ(1, SMALL_FAULTS());
	EXPECT_EQ(1, dax_count("dax_map_around", "write, pages 5"));
	dax_fsync(self->fd);
	EXPECT_EQ(6, FLUSHES());
	dax_trace_clear();
	dax_poke(q + PAGE(6 * WINDOW + 4), 'r');
	EXPECT_EQ(1, SMALL_FAULTS());
}

/* Entries that are flushed together end where the range of the msync does. */
TEST_F(small, flush_ends_with_the_range)
{
	store_run(self->p, 0, MIN_RUN, 's');
	dax_msync(self->p, PAGE(5));
	EXPECT_EQ(5, FLUSHES());
	dax_fsync(self->fd);
	EXPECT_EQ(MIN_RUN, FLUSHES());
}

/* A store without a fault is flushed, and after the flush it faults again. */
TEST_F(small, store_without_a_fault_is_flushed)
{
	size_t at = PAGE(96 + MIN_RUN + 3);

	store_run(self->p, 96, MIN_RUN + 1, 's');
	dax_trace_clear();
	dax_poke(self->p + at, 'q');
	EXPECT_EQ(0, SMALL_FAULTS());
	dax_fsync(self->fd);
	EXPECT_EQ(1, FLUSHED(at, SZ_4K));
	dax_trace_clear();
	dax_poke(self->p + at, 'r');
	EXPECT_EQ(1, SMALL_FAULTS());
	dax_fsync(self->fd);
	EXPECT_EQ(1, FLUSHED(at, SZ_4K));
}

/*
 * Stores to blocks that another file may share are seen one by one, also behind pages
 * that have blocks of their own, and in a mapping in which they are stored to again.
 */
TEST_F(small, shared_blocks)
{
	char *again = dax_map_small(self->fd, SZ_2M);
	int clone;

	NEED_XFS();
	clone = dax_clone(self->fd, "clone");
	dax_trace_clear();
	store_run(self->p, 0, 50, 's');
	store_run(again, 0, 100, 's');
	EXPECT_EQ(0, dax_count("dax_map_around", "write"));
	EXPECT_FILE(FILL, clone, 0, SZ_2M);
	EXPECT_FILE(FILL, self->fd, PAGE(100), SZ_2M - PAGE(100));
}

/* Each store of a MAP_SYNC mapping asks whether the metadata are durable. */
static void map_sync_by_page(int fd)
{
	char *p = dax_mmap(fd, 0, SZ_2M / 2, PROT_READ | PROT_WRITE,
			   MAP_SHARED_VALIDATE | MAP_SYNC, 0);

	store_run(p, 0, 100, 's');
	EXPECT_EQ(0, dax_count("dax_map_around", "write"));
	EXPECT_LE(100, SMALL_FAULTS());
}

TEST_F(small, map_sync_by_page) DAX_CALL(map_sync_by_page(self->fd))
TEST_F(large, map_sync_by_page) DAX_CALL(map_sync_by_page(self->fd))

/* --- first reads ----------------------------------------------------------- */

#define STORED_ENTRIES()	dax_count_all("dax_store_entry")

DAX_FILE_FIXTURE(fresh, dax_needs(), dax_file(SZ_2M, WRITTEN),
		 dax_map_small(self->fd, SZ_2M))

TEST_F(fresh, stream_of_first_reads)
{
	dax_trace(self->fd, NULL);
	dax_touch_each(self->p, SZ_2M, SZ_4K, false);
	EXPECT_GE(PAGES_2M * 7 / 100, SMALL_FAULTS());
	EXPECT_EQ(PAGES_2M, STORED_ENTRIES());
	expect_seen(self->p, 0, PAGES_2M);
	EXPECT_BYTES(FILL, self->p, SZ_2M);
	EXPECT_FLUSHES(0, self->fd);
}

/* Two pages in a row are no stream. */
TEST_F(fresh, first_reads_here_and_there)
{
	unsigned int reads = 0;

	dax_trace(self->fd, NULL);
	for (int i = 0; i < PAGES_2M - 2; i += 4, reads += 2)
		dax_touch_each(self->p + PAGE(i), PAGE(2), SZ_4K, false);
	EXPECT_EQ(reads, SMALL_FAULTS());
	EXPECT_EQ(reads, STORED_ENTRIES());
}

TEST_F(fresh, first_reads_of_one_page_each)
{
	dax_fault_around(SZ_4K);
	dax_trace(self->fd, NULL);
	dax_touch_each(self->p, PAGE(100), SZ_4K, false);
	EXPECT_EQ(100, SMALL_FAULTS());
	EXPECT_EQ(100, STORED_ENTRIES());
}

/* A hole, and what the file does not have, get no blocks and no entries. */
TEST_F(dax, first_reads_end_at_a_hole)
{
	int fd = dax_file_fragmented();
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	dax_touch_each(p, PAGE(DAX_GAP), SZ_4K, false);
	EXPECT_EQ(DAX_GAP, STORED_ENTRIES());
	EXPECT_STREQ("none", dax_mapped(p + PAGE(DAX_GAP)));
	EXPECT_EQ(0, dax_block(fd, PAGE(DAX_GAP)));
	EXPECT_EQ(0, dax_peek(p + PAGE(DAX_GAP)));
	dax_touch_each(p + PAGE(DAX_GAP), SZ_2M - PAGE(DAX_GAP), SZ_4K, false);
	EXPECT_BYTES(FILL, p, PAGE(DAX_GAP));
	EXPECT_BYTES(0, p + PAGE(DAX_GAP), SZ_4K);
	EXPECT_BYTES(FILL, p + PAGE(DAX_GAP + 1), SZ_2M - PAGE(DAX_GAP + 1));
}

/*
 * Unwritten blocks hold what another file has left there.  With each of these lengths,
 * the last page that is written has a fault of its own, or came ahead.
 */
TEST_F(dax, first_reads_end_at_unwritten_blocks)
{
	for (unsigned int written = 3; written < 40; written++) {
		int fd = dax_file(SZ_2M, PREALLOC);
		char *p = dax_map_small(fd, SZ_2M);

		dax_fill(fd, 0, PAGE(written), FILL);
		dax_trace(fd, NULL);
		dax_trace_clear();
		dax_touch_each(p, PAGE(written), SZ_4K, false);
		ASSERT_EQ(written, STORED_ENTRIES());
		ASSERT_STREQ("none", dax_mapped(p + PAGE(written)));
		dax_unmap(p, SZ_2M);
		dax_remove(fd);
	}
}

/* Each store behind such reads has a fault of its own. */
TEST_F(fresh, stores_behind_first_reads)
{
	dax_touch_each(self->p, SZ_2M, SZ_4K, false);
	dax_trace(self->fd, NULL);
	dax_poke(self->p + PAGE(300), 's');
	dax_poke(self->p + PAGE(400), 's');
	EXPECT_EQ(2, SMALL_FAULTS());
	EXPECT_FLUSHES(2, self->fd);
}

/* Memory failure must find all files that have a page. */
TEST_F(fresh, first_reads_of_shared_blocks)
{
	NEED_XFS();
	dax_clone(self->fd, "clone");
	dax_trace(self->fd, NULL);
	dax_touch_each(self->p, PAGE(100), SZ_4K, false);
	EXPECT_EQ(100, STORED_ENTRIES());
	EXPECT_EQ(100, SMALL_FAULTS());
}

/* --- first stores ---------------------------------------------------------- */

/* Blocks with what a deleted file has left there. */
static int file_unwritten(void)
{
	dax_remove(dax_file(SZ_2M, WRITTEN));
	dax_sh("sync -f %s", dax_dir());
	return dax_file(SZ_2M, PREALLOC);
}

DAX_FILE_FIXTURE(unwritten, dax_needs(), file_unwritten(),
		 dax_map_small(self->fd, SZ_2M))

static unsigned long blocks(int fd)
{
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	return st.st_blocks;
}

static void first_stores(int fd, char *p, int before)
{
	char page[SZ_4K];

	dax_trace(fd, NULL);
	store_run(p, 0, PAGES_2M, 's');
	EXPECT_GE(PAGES_2M * 8 / 100, SMALL_FAULTS());
	EXPECT_EQ(PAGES_2M, STORED_ENTRIES());
	expect_seen(p, 0, PAGES_2M);
	EXPECT_FLUSHES(PAGES_2M, fd);
	memset(page, before, sizeof(page));
	page[9] = 's';
	for (int i = 0; i < PAGES_2M; i++)
		EXPECT_EQ(0, memcmp(page, p + PAGE(i), sizeof(page)));
}

TEST_F(fresh, stream_of_first_stores) DAX_CALL(first_stores(self->fd, self->p, FILL))

/* The size on disk is as it was: the blocks belong to the file already. */
TEST_F(unwritten, stream_of_first_stores)
{
	unsigned long was = blocks(self->fd);

	first_stores(self->fd, self->p, 0);
	EXPECT_EQ(was, blocks(self->fd));
}

/* Half as many as there are in the run; and no bytes of another file. */
TEST_F(unwritten, first_stores_zero_what_follows)
{
	unsigned int nr = 4 * WINDOW + 1, ahead;

	store_run(self->p, 0, nr, 's');
	ahead = seen(self->p).nr - nr;
	EXPECT_LE(1, ahead);
	EXPECT_GE(nr / 2, ahead);
	EXPECT_BYTES(0, self->p + PAGE(nr), PAGE(PAGES_2M - nr));
	EXPECT_FILE(0, self->fd, PAGE(nr), PAGE(PAGES_2M - nr));
}

TEST_F(fresh, stores_far_apart) DAX_CALL(stores_far_apart(self->fd, self->p))
TEST_F(unwritten, stores_far_apart) DAX_CALL(stores_far_apart(self->fd, self->p))

/* A store to such a page is flushed, and is a fault after the flush. */
static void store_ahead_is_flushed(int fd, char *p)
{
	size_t at = PAGE(2 * WINDOW + 3);

	store_run(p, 0, 2 * WINDOW + 1, 's');
	dax_trace(fd, NULL);
	dax_poke(p + at, 'q');
	EXPECT_EQ(0, SMALL_FAULTS());
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(at, SZ_4K));
	dax_trace_clear();
	dax_poke(p + at, 'r');
	EXPECT_EQ(1, SMALL_FAULTS());
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(at, SZ_4K));
}

TEST_F(fresh, store_ahead_is_flushed) DAX_CALL(store_ahead_is_flushed(self->fd, self->p))
TEST_F(unwritten, store_ahead_is_flushed)
	DAX_CALL(store_ahead_is_flushed(self->fd, self->p))

/* Short runs, one page in two, and from the end: one fault for each store. */
static void here_and_there(int fd, char *p)
{
	unsigned int stores = 0;

	dax_trace(fd, NULL);
	for (int i = 0; i < PAGES_2M / 4; i += MIN_RUN + 3, stores += MIN_RUN)
		store_run(p, i, MIN_RUN, 's');
	for (int i = PAGES_2M / 4 + 16; i < PAGES_2M / 2; i += 2, stores++)
		dax_poke(p + PAGE(i), 's');
	for (int i = PAGES_2M; i-- > PAGES_2M / 2; stores++)
		dax_poke(p + PAGE(i), 's');
	EXPECT_EQ(stores, SMALL_FAULTS());
	EXPECT_EQ(stores, STORED_ENTRIES());
	EXPECT_FLUSHES(stores, fd);
}

TEST_F(fresh, no_first_stores_for_nothing) DAX_CALL(here_and_there(self->fd, self->p))
TEST_F(unwritten, no_first_stores_for_nothing) DAX_CALL(here_and_there(self->fd, self->p))

/* Nothing is mapped beside the page of a store. */
static void each_store_faults(int fd, char *p)
{
	dax_trace(fd, NULL);
	store_run(p, 0, 100, 's');
	EXPECT_LE(100, SMALL_FAULTS());
	EXPECT_EQ(0, dax_count_all("dax_map_around"));
}

TEST_F(fresh, first_stores_of_one_page_each)
{
	dax_fault_around(SZ_4K);
	each_store_faults(self->fd, self->p);
}

static void first_stores_of_map_sync(int fd)
{
	each_store_faults(fd, dax_mmap(fd, 0, SZ_2M / 2, PROT_READ | PROT_WRITE,
				       MAP_SHARED_VALIDATE | MAP_SYNC, 0));
}

TEST_F(fresh, first_stores_of_map_sync) DAX_CALL(first_stores_of_map_sync(self->fd))
TEST_F(unwritten, first_stores_of_map_sync) DAX_CALL(first_stores_of_map_sync(self->fd))

/* The clone keeps its bytes, and each store copies one block. */
TEST_F(fresh, first_stores_to_shared_blocks)
{
	int clone;

	NEED_XFS();
	clone = dax_clone(self->fd, "clone");
	each_store_faults(self->fd, self->p);
	EXPECT_FILE(FILL, clone, 0, SZ_2M);
	EXPECT_FILE(FILL, self->fd, PAGE(100), SZ_2M - PAGE(100));
}

/*
 * Half of the file is shared and the rest is unwritten.  The copies are in a window,
 * which the stores behind them fill.
 */
TEST_F(unwritten, window_of_copies)
{
	NEED_XFS();
	dax_fill(self->fd, 0, SZ_1M, FILL);
	dax_clone(self->fd, "clone");
	store_run(self->p, 0, PAGES_2M, 's');
	dax_fsync(self->fd);
	EXPECT_TRUE(dax_extent_huge(self->fd, 0));
}

/* A hole gets no block before a store to it. */
TEST_F(dax, first_stores_end_at_a_hole)
{
	int fd = dax_file_fragmented();
	char *p = dax_map_small(fd, SZ_2M);
	unsigned long was = blocks(fd);

	dax_trace(fd, NULL);
	store_run(p, 0, DAX_GAP, 's');
	EXPECT_LE(1, dax_count("dax_map_around", "write"));
	EXPECT_EQ(DAX_GAP, STORED_ENTRIES());
	EXPECT_STREQ("none", dax_mapped(p + PAGE(DAX_GAP)));
	EXPECT_EQ(was, blocks(fd));
	EXPECT_EQ(0, dax_peek(p + PAGE(DAX_GAP)));
	EXPECT_EQ(FILL, dax_peek(p + PAGE(DAX_GAP + 1)));
}

/* And the end of the file stays where it is. */
TEST_F(unwritten, first_stores_end_with_the_file)
{
	dax_truncate(self->fd, PAGE(37));
	dax_trace(self->fd, NULL);
	store_run(self->p, 0, 37, 's');
	EXPECT_EQ(37, STORED_ENTRIES());
	expect_seen(self->p, 0, 37);
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p + PAGE(37), true, NULL));
}

/* --- locked entries ahead ---------------------------------------------------- */

#define DATA	(WINDOW + 5)	/* so many pages, and a hole behind them */

static struct {
	int fd;
	char *p;
} race;

/* One task goes towards the hole, and the others wait for pages ahead of it. */
static void touch_ahead(unsigned int id, void *arg)
{
	if (!id)
		dax_touch_each(race.p, PAGE(DATA), SZ_4K, arg);
	for (unsigned int i = DATA; id && i-- > 0; )
		dax_peek(race.p + PAGE(i));
}

static void waiters_ahead(bool write)
{
	race.fd = dax_file(SZ_2M, HOLE);
	race.p = dax_map_small(race.fd, SZ_2M);
	for (unsigned int i = 0; i < dax_scale(400); i++) {
		dax_fill(race.fd, 0, PAGE(DATA), FILL);
		dax_run_threads(4, touch_ahead, write ? &race : NULL);
		EXPECT_BYTES(write ? 'w' : FILL, race.p, 1);
		EXPECT_BYTES(0, race.p + PAGE(DATA), PAGE(WINDOW));
		dax_punch_hole(race.fd, 0, SZ_2M);
	}
}

TEST_F(dax, waiters_ahead_of_reads) DAX_CALL(waiters_ahead(false))
TEST_F(dax, waiters_ahead_of_stores) DAX_CALL(waiters_ahead(true))

/* --- what a deletion and a removal find -------------------------------------- */

/* The pages around a fault are unmapped with their entries. */
static void punch(int fd, char *p)
{
	dax_peek(p + PAGE(37));
	EXPECT_MAPPED("4K", p + PAGE(40));
	dax_punch_hole(fd, PAGE(40), SZ_4K);
	EXPECT_EQ(0, dax_peek(p + PAGE(40)));
	EXPECT_EQ(FILL, dax_peek(p + PAGE(41)));
}

TEST_F(small, punch) DAX_CALL(punch(self->fd, self->p))
TEST_F(large, punch) DAX_CALL(punch(self->fd, self->p))

TEST_F(small, truncate)
{
	dax_peek(self->p + PAGE(37));
	dax_truncate(self->fd, PAGE(40));
	EXPECT_EQ(SIGBUS, dax_touch_signal(self->p + PAGE(40), false, NULL));
	EXPECT_EQ(FILL, dax_peek(self->p + PAGE(39)));
}

TEST_HARNESS_MAIN
