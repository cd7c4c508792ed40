// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a flush covers: the whole entry, and every mapping of it. A store after
 * a flush has to fault again, or nobody would know that it is dirty (lesson 8).
 * Only events of the stock kernel are counted here.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "dax_harness.h"

/* Each test runs with entries of either size. */
FIXTURE_VARIANT(dax) {
	size_t size;
	const char *mapped;
};

FIXTURE_VARIANT_ADD(dax, 4k) { .size = SZ_4K, .mapped = "4K" };
FIXTURE_VARIANT_ADD(dax, 2m) { .size = SZ_2M, .mapped = "2M" };

#define FLUSHES()	dax_count("dax_writeback_one", "%s", "")
#define FLUSHED(off, len) \
	dax_count("dax_writeback_one", "pgoff 0x%lx, pglen 0x%lx", \
		  (off) / SZ_4K, (len) / SZ_4K)

/* Mappings of @size, so that the fault cannot be larger. */
static char *map_one(int fd, off_t off, size_t size)
{
	return dax_map(fd, off, size);
}

static int start(size_t len)
{
	int fd = dax_file(len, WRITTEN);

	dax_trace(fd, "dax_writeback_one dax_pte_fault dax_pmd_fault");
	return fd;
}

static unsigned int faults(void)
{
	return dax_count("dax_pte_fault", "%s", "") +
	       dax_count("dax_pmd_fault", "%s", "");
}

/* The second fsync finds nothing: the first one cleared the marks. (F1) */
TEST_F(dax, second_fsync_flushes_nothing)
{
	int fd = start(4 * SZ_2M);

	for (off_t off = 0; off < 4 * SZ_2M; off += SZ_2M)
		dax_poke(map_one(fd, off, variant->size), 'w');
	dax_fsync(fd);
	EXPECT_EQ(4, FLUSHES());
	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_EQ(0, FLUSHES());
}

/* It was dirty once, and is mapped by nobody: the store starts all over. */
TEST_F(dax, store_after_fsync_and_zap)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	for (int i = 0; i < 3; i++) {
		dax_trace_clear();
		dax_poke(p, 'a' + i);
		dax_zap(p, variant->size);
		dax_poke(p + 1, 'a' + i);
		dax_fsync(fd);
		EXPECT_EQ(1, FLUSHES());
		dax_zap(p, variant->size);
	}
}

/* Reading makes nothing dirty. */
TEST_F(dax, reads_are_clean)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_peek(p);
	ASSERT_MAPPED(variant->mapped, p);
	dax_fsync(fd);
	EXPECT_EQ(0, FLUSHES());
}

/* A store after fsync faults, and the next fsync flushes it. (F2) */
TEST_F(dax, store_fsync_store_fsync)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, '1');
	ASSERT_MAPPED(variant->mapped, p);
	for (int i = 0; i < 8; i++) {
		dax_fsync(fd);
		EXPECT_EQ(1, FLUSHED(0, variant->size));
		EXPECT_EQ(1, FLUSHES());
		dax_trace_clear();
		dax_poke(p + i * 64, '2');
		EXPECT_EQ(1, faults());
		dax_poke(p + i * 64 + 1, '3');
		EXPECT_EQ(1, faults());
	}
}

/* msync of one page in the middle flushes the entry that covers it. (F4) */
TEST_F(dax, msync_of_a_part)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = start(2 * SZ_2M);
	char *p = map_one(fd, SZ_2M, size);

	dax_poke(p, 'w');
	dax_poke(p + size - 1, 'w');
	dax_msync(p + middle, SZ_4K);
	EXPECT_EQ(1, FLUSHED(SZ_2M, size));
	EXPECT_EQ(1, FLUSHES());
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHES());
}

/* msync leaves what it was not asked for dirty. */
TEST_F(dax, msync_of_one_of_two)
{
	size_t size = variant->size;
	int fd = start(2 * SZ_2M);
	char *a = map_one(fd, 0, size), *b = map_one(fd, SZ_2M, size);

	dax_poke(a, 'w');
	dax_poke(b, 'w');
	dax_msync(a, size);
	EXPECT_EQ(1, FLUSHED(0, size));
	EXPECT_EQ(1, FLUSHES());
	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(SZ_2M, size));
	EXPECT_EQ(1, FLUSHES());
}

/* Entries by the hundred: the scan comes to its end, once. (F3) */
TEST_F(dax, many_dirty)
{
	unsigned int nr = variant->size == SZ_2M ? 12 : 300;
	int fd = start(12 * SZ_2M);

	for (unsigned int i = 0; i < nr; i++)
		dax_poke(map_one(fd, i * variant->size, variant->size), 'w');
	dax_fsync(fd);
	EXPECT_EQ(nr, FLUSHES());
	for (unsigned int i = 0; i < nr; i++)
		EXPECT_EQ(1, FLUSHED(i * variant->size, variant->size));
}

/* More than a walk looks at without a rest, and it goes on where it was. (F3) */
TEST_F(dax, more_than_in_one_go)
{
	unsigned int nr = 9 * PAGES_2M;
	char *p;
	int fd;

	if (variant->size != SZ_4K)
		SKIP(return, "of 2 MiB each, they would be 9 GiB");
	fd = dax_file(nr * SZ_4K, WRITTEN);
	p = dax_map_small(fd, nr * SZ_4K);
	dax_trace(fd, "dax_writeback_one");
	for (unsigned int i = 0; i < nr; i++)
		dax_poke(p + i * SZ_4K, 'w');
	dax_fsync(fd);
	EXPECT_EQ(nr, FLUSHES());
	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_EQ(0, FLUSHES());
}

/* What the driver is asked to flush is the entry, all of it. (F4, F6) */
#define KPROBES	"/sys/kernel/tracing/kprobe_events"

TEST_F(dax, flush_is_of_all)
{
	int fd = dax_file(SZ_2M, WRITTEN), flushes = 0;
	char event[64], want[64], *p;

	if (dax_write_file(KPROBES, "p:dax_test/flush_%d dax_flush size=%%dx:x64",
			   getpid()))
		SKIP(return, "needs CONFIG_KPROBE_EVENTS, and dax_flush() in it");
	snprintf(event, sizeof(event), "dax_test/flush_%d", getpid());
	p = map_one(fd, 0, variant->size);
	dax_poke(p + variant->size - 1, 'w');
	dax_trace_thread(event, NULL);
	dax_msync(p, SZ_4K);
	dax_trace_stop(event);
	snprintf(want, sizeof(want), "size=0x%lx\n", variant->size);
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
struct other_process {
	int fd;
	off_t off;
	int go[2], done[2];
	pid_t pid;
};

static void other_store(struct other_process *other)
{
	char *p = dax_map(other->fd, other->off, SZ_4K);
	char c;

	while (read(other->go[0], &c, 1) == 1) {
		dax_poke(p, c);
		if (write(other->done[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

static void other_start(struct other_process *other)
{
	if (pipe(other->go) || pipe(other->done))
		dax_die("pipe: %s", strerror(errno));
	other->pid = fork();
	if (!other->pid) {
		close(other->go[1]);
		other_store(other);
	}
	close(other->go[0]);
	close(other->done[1]);
}

static void other_poke(struct other_process *other, char c)
{
	if (write(other->go[1], &c, 1) != 1 || read(other->done[0], &c, 1) != 1)
		dax_die("the other process is gone");
}

static void other_stop(struct other_process *other)
{
	close(other->go[1]);
	waitpid(other->pid, NULL, 0);
}

TEST_F(dax, other_process_maps_the_middle)
{
	size_t size = variant->size;
	struct other_process other = { .off = size / 2 & -SZ_4K };
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, size);

	other.fd = fd;
	dax_poke(p, 'w');
	ASSERT_MAPPED(variant->mapped, p);
	other_start(&other);
	other_poke(&other, '1');
	EXPECT_EQ('1', dax_peek(p + other.off));
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(0, size));

	for (char c = '2'; c < '6'; c++) {
		dax_trace_clear();
		other_poke(&other, c);
		EXPECT_EQ(1, dax_count("dax_pte_fault", "%s", ""));
		EXPECT_EQ(c, dax_peek(p + other.off));
		dax_fsync(fd);
		EXPECT_EQ(1, FLUSHED(0, size));
		EXPECT_EQ(1, FLUSHES());
	}
	other_stop(&other);
}

/* The same in one process, where both mappings store in turn. */
TEST_F(dax, two_mappings_in_turn)
{
	size_t size = variant->size, middle = size / 2 & -SZ_4K;
	int fd = start(SZ_2M);
	char *whole = map_one(fd, 0, size);
	char *part = dax_map(fd, middle, SZ_4K);

	for (int i = 0; i < 6; i++) {
		dax_poke(i % 2 ? part : whole + middle, 'a' + i);
		EXPECT_EQ('a' + i, dax_peek(part));
		dax_fsync(fd);
		EXPECT_EQ(1, FLUSHES());
		dax_trace_clear();
	}
}

/* A mapping that is taken apart leaves its dirt behind. (F15) */
TEST_F(dax, dirty_then_mprotect)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, 'w');
	ASSERT_MAPPED(variant->mapped, p);
	ASSERT_EQ(0, mprotect(p, SZ_4K, PROT_READ));
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(0, variant->size));
}

TEST_F(dax, dirty_then_munmap)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, 'w');
	dax_unmap(p, SZ_4K);
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(0, variant->size));
}

TEST_F(dax, dirty_then_zap)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, 'w');
	dax_zap(p, variant->size);
	EXPECT_MAPPED("none", p);
	dax_fsync(fd);
	EXPECT_EQ(1, FLUSHED(0, variant->size));
	EXPECT_EQ('w', dax_peek(p));
}

/* While a file system is frozen, who would make something dirty waits. */
static bool waits(pid_t pid)
{
	char path[32], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
		dax_die("%s: %s", path, strerror(errno));
	fclose(f);
	return state == 'D';
}

TEST_F(dax, store_while_frozen)
{
	volatile char *stored = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	char *p;
	int fd;

	NEED(dax_scratch(400, "", "dax=always"));
	fd = dax_file(SZ_2M, WRITTEN);
	p = map_one(fd, 0, variant->size);
	dax_peek(p);
	ASSERT_MAPPED(variant->mapped, p);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	pid = fork();
	if (!pid) {
		dax_poke(p, 'w');
		*stored = 1;
		_exit(0);
	}
	while (!*stored && !waits(pid))
		sched_yield();
	EXPECT_EQ(0, *stored);
	EXPECT_EQ(0, ioctl(fd, FITHAW, 0));
	waitpid(pid, NULL, 0);
	EXPECT_EQ(1, *stored);
	EXPECT_EQ('w', dax_peek(p));
}

/* sync_file_range and fdatasync are no different. */
TEST_F(dax, fdatasync_flushes)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, 'w');
	ASSERT_EQ(0, fdatasync(fd));
	EXPECT_EQ(1, FLUSHED(0, variant->size));
	dax_poke(p, 'x');
	ASSERT_EQ(0, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT));
	EXPECT_EQ(2, FLUSHED(0, variant->size));
}

TEST_F(dax, syncfs_flushes)
{
	int fd = start(SZ_2M);
	char *p = map_one(fd, 0, variant->size);

	dax_poke(p, 'w');
	ASSERT_EQ(0, syncfs(fd));
	EXPECT_EQ(1, FLUSHED(0, variant->size));
}

TEST_HARNESS_MAIN
