// SPDX-License-Identifier: GPL-2.0-only
/*
 * A flush of a whole entry covers all pages of it that may be dirty, in every
 * mapping. A store after such a flush must fault again, or the next fsync misses
 * it. Only events of the stock kernel are counted here.
 *
 * If the range of an fsync or msync begins or ends inside an entry, only the part
 * in the range is flushed. The entry stays dirty then, and stores to it do not
 * fault.
 */
#include "dax_harness.h"
#include "dax_hold.h"

DAX_SIZES(dax);

static int start(size_t len)
{
	int fd = dax_file(len, WRITTEN);

	dax_trace(fd, "dax_writeback_one dax_pte_fault dax_pmd_fault");
	return fd;
}

/* Of the file, 2 MiB, the start is mapped by one entry. */
DAX_SIZES_FILE(whole, start(SZ_2M), dax_map(self->fd, 0, variant->size));

/* The stock kernel flushes whole entries, for whatever range. */
static const char *dax_no_parts(void)
{
	return dax_no_event("dax_grab_entry");
}

static unsigned int faults(void)
{
	return SMALL_FAULTS() +
	       HUGE_FAULTS();
}

/* The second fsync finds nothing: the first one cleared the marks. */
TEST_F(dax, second_fsync_flushes_nothing)
{
	int fd = start(4 * SZ_2M);

	for (off_t off = 0; off < 4 * SZ_2M; off += SZ_2M)
		dax_poke(dax_map(fd, off, variant->size), 'w');
	EXPECT_FLUSHES(4, fd);
	dax_trace_clear();
	EXPECT_FLUSHES(0, fd);
}

/* Dirty once, and no longer mapped: the store faults again. */
TEST_F(whole, store_after_fsync_and_zap)
{
	for (int i = 0; i < 3; i++) {
		dax_trace_clear();
		dax_poke(self->p, 'a' + i);
		dax_zap(self->p, variant->size);
		dax_poke(self->p + 1, 'a' + i);
		EXPECT_FLUSHES(1, self->fd);
		dax_zap(self->p, variant->size);
	}
}

/* Reading makes nothing dirty. */
TEST_F(whole, reads_are_clean)
{
	dax_peek(self->p);
	ASSERT_MAPPED(variant->mapped, self->p);
	EXPECT_FLUSHES(0, self->fd);
}

/*
 * A store after fsync faults, and the next fsync flushes it. From the third
 * flush on, ours may flush the page that was stored to: by_page has the details.
 */
TEST_F(whole, store_fsync_store_fsync)
{
	size_t size = variant->size;

	dax_poke(self->p, '1');
	ASSERT_MAPPED(variant->mapped, self->p);
	for (int i = 0; i < 8; i++) {
		dax_fsync(self->fd);
		if (i == 2 && !FLUSHED(0, size))
			size = SZ_4K;
		EXPECT_EQ(1, FLUSHED(0, size));
		EXPECT_EQ(1, FLUSHES());
		dax_trace_clear();
		dax_poke(self->p + i * 64, '2');
		/* The huge fault falls back, once. */
		EXPECT_LE(1, faults());
		EXPECT_GE(i == 1 && variant->size > SZ_4K ? 3 : 1, faults());
		dax_trace_clear();
		dax_poke(self->p + i * 64 + 1, '3');
		EXPECT_EQ(0, faults());
	}
}

/* msync of one page in the middle flushes that page, and no other. */
TEST_F(dax, msync_of_a_part)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = start(2 * SZ_2M);
	char *p = dax_map(fd, SZ_2M, size);

	NEED(dax_no_parts());
	dax_poke(p, 'w');
	dax_poke(p + size - 1, 'w');
	dax_msync(p + middle, SZ_4K);
	EXPECT_EQ(1, FLUSHED(SZ_2M + middle, SZ_4K));
	EXPECT_EQ(1, FLUSHES());

	/* The rest of it is left for a later fsync. */
	dax_trace_clear();
	EXPECT_FLUSHES(size == SZ_2M, fd);
	EXPECT_EQ(size == SZ_2M, FLUSHED(SZ_2M, size));
}

/*
 * A file of four entries of 2 MiB, which are all mapped writable and dirty. It
 * has flushes and faults only after that.
 */
#define PARTS_LEN	(4 * SZ_2M)

static char *map_dirty(int fd, size_t len)
{
	char *p = dax_map(fd, 0, len);

	dax_poke_each(p, len, SZ_2M, 'w');
	EXPECT_MAPPED("2M", p);
	dax_trace_clear();
	return p;
}

DAX_FILE_FIXTURE(part, dax_no_parts(), start(PARTS_LEN),
		 map_dirty(self->fd, PARTS_LEN));

/* A page is stored to and flushed, again and again, without a fault. */
TEST_F(part, stays_writable)
{
	for (int i = 1; i <= 8; i++) {
		char *page = self->p + i * 37 * SZ_4K;

		dax_poke(page, 'a' + i);
		dax_msync(page, SZ_4K);
		EXPECT_EQ(1, FLUSHED(i * 37 * SZ_4K, SZ_4K));
		EXPECT_EQ(i, FLUSHES());
	}
	EXPECT_EQ(0, faults());
	/* It is still dirty, and after a flush of all the next store faults. */
	dax_trace_clear();
	EXPECT_FLUSHES(4, self->fd);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	dax_poke(self->p + 5, 'x');
	EXPECT_EQ(1, faults());
}

/* Of a range, the ends are flushed in part, and what lies between as a whole. */
TEST_F(part, at_both_ends)
{
	size_t from = SZ_2M - 2 * SZ_4K, to = 3 * SZ_2M + SZ_4K;

	dax_msync(self->p + from, to - from);
	EXPECT_EQ(1, FLUSHED(from, 2 * SZ_4K));
	EXPECT_EQ(1, FLUSHED(SZ_2M, SZ_2M));
	EXPECT_EQ(1, FLUSHED(2 * SZ_2M, SZ_2M));
	EXPECT_EQ(1, FLUSHED(3 * SZ_2M, SZ_4K));
	EXPECT_EQ(4, FLUSHES());

	/* The ends are still dirty. */
	dax_trace_clear();
	EXPECT_FLUSHES(2, self->fd);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	EXPECT_EQ(1, FLUSHED(3 * SZ_2M, SZ_2M));
}

/* The end of one entry and the start of the next, and nothing between. */
TEST_F(part, of_two)
{
	dax_msync(self->p + SZ_2M - SZ_4K, 2 * SZ_4K);
	EXPECT_EQ(1, FLUSHED(SZ_2M - SZ_4K, SZ_4K));
	EXPECT_EQ(1, FLUSHED(SZ_2M, SZ_4K));
	EXPECT_EQ(2, FLUSHES());
	EXPECT_EQ(0, faults());
}

/* A part of what is clean: nothing is flushed. */
TEST_F(part, of_a_clean_entry)
{
	dax_fsync(self->fd);
	dax_trace_clear();
	dax_msync(self->p + SZ_4K, SZ_4K);
	dax_msync(self->p + SZ_2M - SZ_4K, 2 * SZ_4K);
	EXPECT_EQ(0, FLUSHES());
	EXPECT_FLUSHES(0, self->fd);
}

/* A write(2) with O_DSYNC syncs what it has written. */
TEST_F(part, by_dsync_write)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", self->fd);
	fd = open(name, O_RDWR | O_DSYNC);
	ASSERT_LE(0, fd);
	dax_fill(fd, 5 * SZ_4K, SZ_4K, 'd');
	EXPECT_EQ(1, FLUSHED(5 * SZ_4K, SZ_4K));
	EXPECT_EQ(1, FLUSHES());
	dax_poke(self->p + 5 * SZ_4K, 'e');
	EXPECT_EQ(0, faults());
	close(fd);
}

/* Only fsync and msync work by parts. Others may need the write protection. */
TEST_F(part, not_by_sync_file_range)
{
	dax_msync(self->p, SZ_4K);
	dax_trace_clear();
	ASSERT_EQ(0, sync_file_range(self->fd, SZ_4K, SZ_4K,
				     SYNC_FILE_RANGE_WRITE_AND_WAIT));
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	EXPECT_EQ(1, FLUSHES());
	dax_poke(self->p, 'x');
	EXPECT_EQ(1, faults());
}

/* A later writeback of the file flushes all of the entry. */
TEST_F(part, then_syncfs)
{
	dax_msync(self->p + SZ_4K, SZ_4K);
	dax_poke(self->p + 8 * SZ_4K, 'x');
	dax_trace_clear();
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	EXPECT_EQ(4, FLUSHES());
	dax_poke(self->p, 'y');
	EXPECT_EQ(1, faults());
}

TEST_F(part, then_punch)
{
	dax_msync(self->p + SZ_4K, SZ_4K);
	dax_poke(self->p + 8 * SZ_4K, 'x');
	dax_trace_clear();
	dax_punch_hole(self->fd, 5 * SZ_4K, SZ_4K);
	EXPECT_EQ(1, FLUSHED(0, SZ_2M));
	EXPECT_EQ('x', dax_peek(self->p + 8 * SZ_4K));
}

/* --- mtime and ctime ------------------------------------------------------ */

static void set_past(int fd)
{
	const struct timespec past[2] = { { .tv_sec = 1000000 },
					  { .tv_sec = 1000000 } };

	if (futimens(fd, past))
		dax_exit_fail("futimens: %m");
}

/* Has mtime changed since set_past()? */
static bool modified(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		dax_exit_fail("fstat: %m");
	return st.st_mtim.tv_sec != 1000000;
}

static void sync_part(int fd, char *p)
{
	dax_msync(p, SZ_4K);
}

static void sync_all(int fd, char *p)
{
	dax_fsync(fd);
}

static void sync_fs(int fd, char *p)
{
	if (syncfs(fd))
		dax_exit_fail("syncfs: %m");
}

static void sync_range(int fd, char *p)
{
	if (sync_file_range(fd, 0, SZ_4K, SYNC_FILE_RANGE_WRITE_AND_WAIT))
		dax_exit_fail("sync_file_range: %m");
}

FIXTURE_VARIANT(times) { void (*sync)(int fd, char *p); bool cleans; };
DAX_FILE_FIXTURE(times, dax_no_parts(), start(PARTS_LEN),
		 map_dirty(self->fd, PARTS_LEN));
FIXTURE_VARIANT_ADD(times, part) { sync_part, false };
FIXTURE_VARIANT_ADD(times, fsync) { sync_all, true };
FIXTURE_VARIANT_ADD(times, syncfs) { sync_fs, true };
FIXTURE_VARIANT_ADD(times, sync_file_range) { sync_range, false };

/*
 * A store that needs no fault, because a part was flushed before, changes mtime
 * with the next flush, whichever that is.
 */
TEST_F(times, store_without_fault)
{
	/* The fault has updated mtime: this flush has nothing to tell. */
	set_past(self->fd);
	sync_part(self->fd, self->p);
	EXPECT_FALSE(modified(self->fd));

	dax_poke(self->p + 5, 'x');
	EXPECT_EQ(0, faults());
	EXPECT_FALSE(modified(self->fd));
	variant->sync(self->fd, self->p);
	EXPECT_TRUE(modified(self->fd));
}

/*
 * A time that a task sets is not replaced for a store that came before, and is
 * for the next one.
 */
TEST_F(times, set_after_the_store)
{
	sync_part(self->fd, self->p);
	dax_poke(self->p + 5, 'x');
	set_past(self->fd);
	variant->sync(self->fd, self->p);
	EXPECT_FALSE(modified(self->fd));

	dax_poke(self->p + 6, 'y');
	variant->sync(self->fd, self->p);
	EXPECT_TRUE(modified(self->fd));
}

/* A call that flushes nothing does not change mtime. */
TEST_F(times, nothing_flushed)
{
	sync_part(self->fd, self->p);
	dax_fsync(self->fd);
	set_past(self->fd);
	dax_peek(self->p);
	variant->sync(self->fd, self->p);
	sync_part(self->fd, self->p + SZ_2M);
	EXPECT_FALSE(modified(self->fd));
}

/* Once all is clean, each store faults again, and a flush tells nothing. */
TEST_F(times, after_all_is_clean)
{
	sync_part(self->fd, self->p);
	variant->sync(self->fd, self->p);
	if (!variant->cleans)
		dax_fsync(self->fd);
	dax_trace_clear();
	dax_poke(self->p, 'x');
	EXPECT_EQ(1, faults());
	set_past(self->fd);
	variant->sync(self->fd, self->p);
	EXPECT_FALSE(modified(self->fd));
}

/*
 * The same if the flush of all was under way already when the part was flushed: it
 * is stopped at the first entry, and cleans the last one after the store.
 */
TEST_F(part, store_during_fsync)
{
	char *page = self->p + 3 * SZ_2M;
	struct dax_hold *hold;
	pid_t pid;

	NEED(dax_no_hold());
	set_past(self->fd);
	hold = dax_hold_start("fs_dax/dax_writeback_one", NULL);
	pid = dax_spawn_held(hold, (dax_fsync(self->fd), 0));
	ASSERT_TRUE(dax_held(hold, pid));
	dax_msync(page, SZ_4K);
	dax_poke(page + 5, 'x');
	EXPECT_EQ(0, faults());
	EXPECT_FALSE(modified(self->fd));
	EXPECT_EQ(0, dax_hold_end(hold, pid));
	EXPECT_TRUE(modified(self->fd));
}

/* --- a device without a volatile cache ------------------------------------ */

static bool cache_is_off;

static int set_cache(bool on)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/block/%s/dax/write_cache",
		 strrchr(dax_scratch_device(), '/') + 1);
	cache_is_off = !on;
	return dax_write_file(path, "%d", on);
}

void dax_restore(void)
{
	if (cache_is_off && set_cache(true))
		dax_exit_fail("the write cache of the scratch device is still off");
}

static const char *without_cache(void)
{
	const char *why = dax_no_parts() ?: dax_scratch(400, "", "dax=always");

	if (why)
		return why;
	return set_cache(false) ? "the device has no dax/write_cache" : NULL;
}

DAX_FILE_FIXTURE(uncached, without_cache(), start(PARTS_LEN),
		 map_dirty(self->fd, PARTS_LEN));

/* There is nothing to flush, and all stays dirty and writable. */
TEST_F(uncached, fsync_returns_at_once)
{
	dax_fsync(self->fd);
	dax_msync(self->p, SZ_4K);
	EXPECT_EQ(0, FLUSHES());
	dax_poke(self->p, 'x');
	EXPECT_EQ(0, faults());

	/* Stores made while the cache was off are flushed when it is on. */
	ASSERT_EQ(0, set_cache(true));
	EXPECT_FLUSHES(4, self->fd);
}

TEST_F(uncached, syncfs_protects)
{
	dax_fsync(self->fd);
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(4, FLUSHES());
	dax_poke(self->p, 'x');
	EXPECT_EQ(1, faults());
}

TEST_F(uncached, mtime)
{
	set_past(self->fd);
	dax_fsync(self->fd);
	EXPECT_FALSE(modified(self->fd));
	dax_poke(self->p, 'x');
	EXPECT_EQ(0, faults());
	dax_fsync(self->fd);
	EXPECT_TRUE(modified(self->fd));

	/* Nothing is dirty any more. */
	ASSERT_EQ(0, syncfs(self->fd));
	set_past(self->fd);
	dax_fsync(self->fd);
	EXPECT_FALSE(modified(self->fd));
}

/* msync leaves pages outside its range dirty. */
TEST_F(dax, msync_of_one_of_two)
{
	size_t size = variant->size;
	int fd = start(2 * SZ_2M);
	char *a = dax_map(fd, 0, size), *b = dax_map(fd, SZ_2M, size);

	dax_poke(a, 'w');
	dax_poke(b, 'w');
	dax_msync(a, size);
	EXPECT_EQ(1, FLUSHED(0, size));
	EXPECT_EQ(1, FLUSHES());
	dax_trace_clear();
	EXPECT_FLUSHED(fd, SZ_2M, size);
}

/* Entries by the hundred: the scan comes to its end, once. */
TEST_F(dax, many_dirty)
{
	unsigned int nr = variant->size == SZ_2M ? 12 : 300;
	int fd = start(12 * SZ_2M);

	for (unsigned int i = 0; i < nr; i++)
		dax_poke(dax_map(fd, i * variant->size, variant->size), 'w');
	EXPECT_FLUSHES(nr, fd);
	for (unsigned int i = 0; i < nr; i++)
		EXPECT_EQ(1, FLUSHED(i * variant->size, variant->size));
}

/*
 * More than a walk looks at without a rest; it continues where it stopped.
 * Of 2 MiB each, they would be 9 GiB.
 */
DAX_FIXTURE(small, dax_needs())

TEST_F(small, more_than_one_batch)
{
	unsigned int nr = 9 * PAGES_2M;
	int fd = dax_file(nr * SZ_4K, WRITTEN);
	char *p = dax_map_small(fd, nr * SZ_4K);

	dax_trace(fd, "dax_writeback_one");
	for (unsigned int i = 0; i < nr; i++)
		dax_poke(p + i * SZ_4K, 'w');
	EXPECT_FLUSHES(nr, fd);
	dax_trace_clear();
	EXPECT_FLUSHES(0, fd);
}

/* The driver flushes the whole entry, or the part that was asked for. */
#define KPROBES	"/sys/kernel/tracing/kprobe_events"

/*
 * How many of @len bytes, from @offset in an entry of @size: the addresses of an
 * entry are aligned as it is.
 */
static int driver_flushes(size_t offset, size_t size, size_t len)
{
	unsigned long at, nr;
	int flushes = 0;

	for (const char *line = dax_trace_text(); *line;
	     line = dax_next_line(line)) {
		const char *args = strstr(line, "at=");

		if (args && sscanf(args, "at=%lx size=%lx", &at, &nr) == 2)
			flushes += nr == len && (at & (size - 1)) == offset;
	}
	dax_trace_clear();
	return flushes;
}

TEST_F(dax, flush_covers_entry)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = dax_file(SZ_2M, WRITTEN);
	const char *event;
	char *p;

	if (dax_write_file(KPROBES, "p:dax_test/flush_%d dax_flush at=%%si:x64 size=%%dx:x64",
			   getpid()))
		SKIP(return, "needs CONFIG_KPROBE_EVENTS, and dax_flush() in it");
	event = dax_text("dax_test/flush_%d", getpid());
	p = dax_map(fd, 0, size);
	dax_poke(p + size - 1, 'w');
	ASSERT_MAPPED(variant->mapped, p);
	if (!dax_no_parts()) {
		dax_trace_thread(event, NULL);
		dax_msync(p + middle, SZ_4K);
		dax_trace_stop(event);
		EXPECT_EQ(1, driver_flushes(middle, size, SZ_4K));
		dax_poke(p + size - 1, 'w');
	}
	dax_trace_thread(event, NULL);
	dax_msync(p, size);
	dax_trace_stop(event);
	EXPECT_EQ(1, driver_flushes(0, size, size));
	dax_write_file(KPROBES, "-:%s", event);
}

/*
 * A second process maps one page out of the middle by a pte. Its mapping has
 * to be write-protected as well, or its next store is never flushed.
 */
struct middle {
	int fd;
	off_t off;
};

static int store_in_middle(int c, void *arg)
{
	struct middle *middle = arg;
	static char *p;

	if (!p)
		p = dax_map(middle->fd, middle->off, SZ_4K);
	dax_poke(p, c);
	return 0;
}

TEST_F(dax, other_process_maps_the_middle)
{
	size_t size = variant->size;
	struct middle middle = { start(SZ_2M), size / 2 & -SZ_4K };
	char *p = dax_map(middle.fd, 0, size);
	struct dax_helper other;

	dax_poke(p, 'w');
	ASSERT_MAPPED(variant->mapped, p);
	dax_helper_start(&other, store_in_middle, &middle);
	dax_helper_step(&other, '1');
	EXPECT_EQ('1', dax_peek(p + middle.off));
	EXPECT_FLUSHED(middle.fd, 0, size);

	for (char c = '2'; c < '6'; c++) {
		dax_trace_clear();
		dax_helper_step(&other, c);
		EXPECT_EQ(1, SMALL_FAULTS());
		EXPECT_EQ(c, dax_peek(p + middle.off));
		dax_fsync(middle.fd);
		/* Ours may flush only the page, from the third flush on. */
		EXPECT_EQ(1, FLUSHED(0, size) + (c > '2') *
			     FLUSHED(middle.off, SZ_4K) * (size > SZ_4K));
		EXPECT_EQ(1, FLUSHES());
	}
}

/* The same in one process, where both mappings store in turn. */
TEST_F(dax, two_mappings_in_turn)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = start(SZ_2M);
	char *whole = dax_map(fd, 0, size);
	char *part = dax_map(fd, middle, SZ_4K);

	for (int i = 0; i < 6; i++) {
		dax_poke(i % 2 ? part : whole + middle, 'a' + i);
		EXPECT_EQ('a' + i, dax_peek(part));
		EXPECT_FLUSHES(1, fd);
		dax_trace_clear();
	}
}

/* A mapping that is taken apart leaves its dirt behind. */
TEST_F(whole, dirty_then_mprotect)
{
	dax_poke(self->p, 'w');
	ASSERT_MAPPED(variant->mapped, self->p);
	ASSERT_EQ(0, mprotect(self->p, SZ_4K, PROT_READ));
	EXPECT_FLUSHED(self->fd, 0, variant->size);
}

TEST_F(whole, dirty_then_munmap)
{
	dax_poke(self->p, 'w');
	dax_unmap(self->p, SZ_4K);
	EXPECT_FLUSHED(self->fd, 0, variant->size);
}

TEST_F(whole, dirty_then_zap)
{
	dax_poke(self->p, 'w');
	dax_zap(self->p, variant->size);
	EXPECT_MAPPED("none", self->p);
	EXPECT_FLUSHED(self->fd, 0, variant->size);
	EXPECT_EQ('w', dax_peek(self->p));
}

/* While a filesystem is frozen, a store that would dirty a page waits. */
DAX_FIXTURE(frozen, dax_scratch(400, "", "dax=always"))
DAX_SIZES(frozen);

TEST_F(frozen, store_while_frozen)
{
	volatile char *stored = dax_shared(SZ_4K);
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, variant->size);
	pid_t pid;

	dax_peek(p);
	ASSERT_MAPPED(variant->mapped, p);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	pid = dax_spawn((dax_poke(p, 'w'), *stored = 1, 0));
	while (!*stored && dax_state(pid) != 'D')
		sched_yield();
	EXPECT_EQ(0, *stored);
	EXPECT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_EQ(0, dax_wait(pid));
	EXPECT_EQ(1, *stored);
	EXPECT_EQ('w', dax_peek(p));
}

/* The same if a part of the entry was flushed before, and left it writable. */
TEST_F(frozen, store_after_a_part)
{
	volatile char *stored = dax_shared(SZ_4K);
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);
	pid_t pid;

	NEED(dax_no_parts());
	dax_poke(p, '1');
	set_past(fd);
	dax_msync(p, SZ_4K);
	dax_poke(p, '2');
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	EXPECT_TRUE(modified(fd));
	/* Nothing is dirty, so neither call has to wait for the thaw. */
	dax_msync(p, SZ_4K);
	dax_fsync(fd);
	pid = dax_spawn((dax_poke(p, 'w'), *stored = 1, 0));
	while (!*stored && dax_state(pid) != 'D')
		sched_yield();
	EXPECT_EQ(0, *stored);
	EXPECT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_EQ(0, dax_wait(pid));
	EXPECT_EQ('w', dax_peek(p));
}

/* Has freeze protection until the pipe ends, as a write(2) has. */
static int splice_from(int pipe_fd[2], int fd)
{
	close(pipe_fd[1]);
	return splice(pipe_fd[0], NULL, fd, NULL, SZ_4K, 0) < 0;
}

static int freeze(int pipe_fd[2], int fd)
{
	close(pipe_fd[1]);
	return ioctl(fd, FIFREEZE, 0);
}

/*
 * fsync cannot update mtime once a freeze has begun. It leaves that to the sync
 * of the freeze, which has to find the entry.
 */
TEST_F(frozen, fsync_while_freezing)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_create("other");
	char *p = dax_map(fd, 0, SZ_2M);
	pid_t writer, freezer;
	int pipe_fd[2];

	NEED(dax_no_parts());
	dax_poke(p, '1');
	set_past(fd);
	dax_msync(p, SZ_4K);
	dax_poke(p, '2');

	ASSERT_EQ(0, pipe(pipe_fd));
	writer = dax_spawn(splice_from(pipe_fd, other));
	while (dax_state(writer) != 'S')
		sched_yield();
	freezer = dax_spawn(freeze(pipe_fd, fd));
	while (dax_state(freezer) != 'D')
		sched_yield();
	dax_trace(fd, "dax_writeback_one");
	EXPECT_FLUSHES(1, fd);
	EXPECT_FALSE(modified(fd));

	close(pipe_fd[1]);
	EXPECT_EQ(0, dax_wait(writer));
	EXPECT_EQ(0, dax_wait(freezer));
	EXPECT_TRUE(modified(fd));
	EXPECT_EQ(0, ioctl(fd, FITHAW, 0));
}

/* sync_file_range and fdatasync are no different. */
TEST_F(whole, fdatasync_flushes)
{
	dax_poke(self->p, 'w');
	ASSERT_EQ(0, fdatasync(self->fd));
	EXPECT_EQ(1, FLUSHED(0, variant->size));
	dax_poke(self->p, 'x');
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0,
				     SYNC_FILE_RANGE_WRITE_AND_WAIT));
	EXPECT_EQ(2, FLUSHED(0, variant->size));
}

TEST_F(whole, syncfs_flushes)
{
	dax_poke(self->p, 'w');
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(1, FLUSHED(0, variant->size));
	/* Now the entry knows the memory, and the filesystem is not called. */
	dax_poke(self->p, 'x');
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(2, FLUSHED(0, variant->size));
}

TEST_HARNESS_MAIN
