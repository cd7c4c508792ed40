// SPDX-License-Identifier: GPL-2.0-only
/*
 * A flush covers the whole entry, and every mapping of it. A store after a
 * flush must fault again, or it is lost by the next fsync. Only events of the
 * stock kernel are counted here.
 */
#include "dax_harness.h"

DAX_SIZES(dax);

static int start(size_t len)
{
	int fd = dax_file(len, WRITTEN);

	dax_trace(fd, "dax_writeback_one dax_pte_fault dax_pmd_fault");
	return fd;
}

/* Of the file, 2 MiB, the start is mapped by one entry. */
DAX_SIZES_FILE(whole, start(SZ_2M), dax_map(self->fd, 0, variant->size));

static unsigned int faults(void)
{
	return dax_count_all("dax_pte_fault") +
	       dax_count_all("dax_pmd_fault");
}

/* The second fsync finds nothing: the first one cleared the marks. (F1) */
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

/* A store after fsync faults, and the next fsync flushes it. (F2) */
TEST_F(whole, store_fsync_store_fsync)
{
	dax_poke(self->p, '1');
	ASSERT_MAPPED(variant->mapped, self->p);
	for (int i = 0; i < 8; i++) {
		EXPECT_FLUSHED(self->fd, 0, variant->size);
		dax_trace_clear();
		dax_poke(self->p + i * 64, '2');
		EXPECT_EQ(1, faults());
		dax_poke(self->p + i * 64 + 1, '3');
		EXPECT_EQ(1, faults());
	}
}

/* msync of one page in the middle flushes the entry that covers it. (F4) */
TEST_F(dax, msync_of_a_part)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = start(2 * SZ_2M);
	char *p = dax_map(fd, SZ_2M, size);

	dax_poke(p, 'w');
	dax_poke(p + size - 1, 'w');
	dax_msync(p + middle, SZ_4K);
	EXPECT_EQ(1, FLUSHED(SZ_2M, size));
	EXPECT_EQ(1, FLUSHES());
	EXPECT_FLUSHES(1, fd);
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

/* Entries by the hundred: the scan comes to its end, once. (F3) */
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
 * More than a walk looks at without a rest; it continues where it stopped. (F3)
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

/* The driver flushes the whole entry. (F4, F6) */
#define KPROBES	"/sys/kernel/tracing/kprobe_events"

TEST_F(dax, flush_covers_entry)
{
	int fd = dax_file(SZ_2M, WRITTEN), flushes = 0;
	const char *event, *want;
	char *p;

	if (dax_write_file(KPROBES, "p:dax_test/flush_%d dax_flush size=%%dx:x64",
			   getpid()))
		SKIP(return, "needs CONFIG_KPROBE_EVENTS, and dax_flush() in it");
	event = dax_text("dax_test/flush_%d", getpid());
	p = dax_map(fd, 0, variant->size);
	dax_poke(p + variant->size - 1, 'w');
	dax_trace_thread(event, NULL);
	dax_msync(p, SZ_4K);
	dax_trace_stop(event);
	want = dax_text("size=0x%lx\n", variant->size);
	for (const char *at = dax_trace_text(); (at = strstr(at, want)); at++)
		flushes++;
	EXPECT_EQ(1, flushes);
	dax_trace_clear();
	dax_write_file(KPROBES, "-:%s", event);
}

/*
 * A second process maps one page out of the middle by a pte. Its mapping has
 * to be write-protected as well, or its next store is never flushed. (F5)
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
		EXPECT_EQ(1, dax_count_all("dax_pte_fault"));
		EXPECT_EQ(c, dax_peek(p + middle.off));
		EXPECT_FLUSHED(middle.fd, 0, size);
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

/* A mapping that is taken apart leaves its dirt behind. (F15) */
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
