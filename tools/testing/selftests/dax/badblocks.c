// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that the driver lists as bad: reads and faults of them fail, all
 * others succeed, and a write of a whole page makes them good again.
 *
 * A page may also turn bad while the file has an entry for it. An existing
 * mapping keeps the page, but the next fault checks the device first.
 *
 * The list is a writable file of the block device. A write to the device
 * removes blocks from the list unless a firmware has to confirm it. Each test
 * restores the device that way.
 */
#include "dax_harness.h"

#define SECTOR	512
#define BAD	100		/* the page of the file that is bad */
#define AT_BAD	(BAD * SZ_4K)

static const char *list_path(void)
{
	const char *dev = dax_scratch_device();

	return dax_text("/sys/block/%s/badblocks", dev ? basename(dev) : "none");
}

/* How many of them there are; @first may be NULL. */
static unsigned int bad_sectors(uint64_t *first)
{
	unsigned long long start, len;
	unsigned int nr = 0;
	FILE *file = fopen(list_path(), "r");

	while (file && fscanf(file, "%llu %llu", &start, &len) == 2) {
		if (first && !nr)
			*first = start;
		nr += len;
	}
	if (file)
		fclose(file);
	return nr;
}

static void make_good(void)
{
	uint64_t first;
	void *buf;
	int fd;

	if (!bad_sectors(NULL))
		return;
	fd = open(dax_scratch_device(), O_WRONLY | O_DIRECT);
	if (fd < 0 || posix_memalign(&buf, SZ_4K, SZ_4K))
		dax_exit_fail("%s: %m", dax_scratch_device());
	memset(buf, 0, SZ_4K);
	while (bad_sectors(&first))
		if (pwrite(fd, buf, SZ_4K, first * SECTOR & -SZ_4K) != SZ_4K)
			dax_exit_fail("%s: cannot write over bad sector %lu",
				      dax_scratch_device(), first);
	free(buf);
	close(fd);
}

static const char *bad_fs(void)
{
	if (dax_scratch_device() && access(list_path(), W_OK))
		return "the second device has no list of bad blocks in /sys/block";
	return dax_scratch(400, "", "dax=always");
}

DAX_NEEDS(bad_fs())

static void make_bad(int fd)
{
	uint64_t sector = dax_block(fd, AT_BAD) / SECTOR + 3;

	if (dax_write_file(list_path(), "%lu 1\n", sector))
		dax_exit_fail("\"%lu 1\" to %s: %m", sector, list_path());
	if (bad_sectors(NULL) != 1)
		dax_exit_fail("%s does not take sector %lu", list_path(),
			      sector);
}

static int bad_file(void)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	make_bad(fd);
	return fd;
}

/* A mounted device cannot be written to. */
void dax_restore(void)
{
	if (dax_scratch_device())
		make_good();
}

DAX_FIXTURE(badblocks, dax_needs())
DAX_FILE_FIXTURE(bad, dax_needs(), bad_file(), dax_map_small(self->fd, SZ_2M))
DAX_FIXTURE(reasons, dax_no_event("dax_fault_fallback") ?: dax_needs())
DAX_FIXTURE(promoted, dax_no_promotion() ?: dax_needs())
DAX_FIXTURE(shared, dax_no_reflink() ?: dax_needs())

/* All pages but the bad one are there, and no lock is held. */
static void *touch_around(void *arg)
{
	char *p = arg;
	uintptr_t odd = 0;

	odd += !!dax_touch_signal(p + AT_BAD - SZ_4K, false, NULL);
	odd += !!dax_touch_signal(p + AT_BAD + SZ_4K, true, NULL);
	odd += !!dax_touch_signal(p + SZ_2M - SZ_4K, false, NULL);
	odd += dax_touch_signal(p + AT_BAD, false, NULL) != SIGBUS;
	return (void *)odd;
}

static void expect_rest_well(int fd, char *p)
{
	pthread_t thread = dax_thread(touch_around, p);
	void *odd;

	ASSERT_EQ(0, pthread_join(thread, &odd));
	EXPECT_EQ(NULL, odd);
	EXPECT_EQ('w', dax_peek(p + AT_BAD + SZ_4K));
	EXPECT_BYTES(FILL, p, AT_BAD);
	EXPECT_BYTES(FILL, p + AT_BAD + SZ_4K + 1, SZ_2M - AT_BAD - SZ_4K - 1);
	EXPECT_FILE(FILL, fd, AT_BAD - SZ_4K, SZ_4K);
	dax_fsync(fd);
}

/* A whole page is written, and all is well; by 2 MiB, too. */
static void expect_recovers(int fd)
{
	char buf[SZ_4K], *p;

	memset(buf, 'n', sizeof(buf));
	EXPECT_EQ(SZ_4K, pwrite(fd, buf, SZ_4K, AT_BAD));
	EXPECT_EQ(0, bad_sectors(NULL));
	EXPECT_FILE('n', fd, AT_BAD, SZ_4K);
	p = dax_map(fd, 0, SZ_2M);
	EXPECT_EQ(0, dax_touch_signal(p + AT_BAD + 1, true, NULL));
	EXPECT_EQ('n', dax_peek(p + AT_BAD));
	EXPECT_EQ('w', dax_peek(p + AT_BAD + 1));
	if (dax_has_event("dax_promote_entry"))
		EXPECT_MAPPED("2M", p + AT_BAD);
}

/* A read that comes to it ends there, and one that starts there fails. */
TEST_F(bad, read)
{
	char *buf = malloc(SZ_2M);

	EXPECT_EQ(AT_BAD, pread(self->fd, buf, SZ_2M, 0));
	EXPECT_BYTES(FILL, buf, AT_BAD);
	EXPECT_ERRNO(EIO, pread(self->fd, buf, 1, AT_BAD + 8));
	EXPECT_ERRNO(EIO, pread(self->fd, buf, SZ_2M, AT_BAD));
	EXPECT_FILE(FILL, self->fd, AT_BAD + SZ_4K, SZ_2M - AT_BAD - SZ_4K);
	expect_recovers(self->fd);
}

/* Less than a page cannot make it good: the rest would be lost in silence. */
TEST_F(bad, part_of_page_written)
{
	EXPECT_ERRNO(EIO, pwrite(self->fd, "x", 1, AT_BAD));
	EXPECT_ERRNO(EIO, pwrite(self->fd, "xyz", 3, AT_BAD + 100));
	EXPECT_EQ(1, bad_sectors(NULL));
	expect_rest_well(self->fd, self->p);
	expect_recovers(self->fd);
}

TEST_F(bad, all_written)
{
	char *buf = malloc(SZ_2M), *p;

	memset(buf, 'n', SZ_2M);
	EXPECT_EQ(SZ_2M, pwrite(self->fd, buf, SZ_2M, 0));
	EXPECT_EQ(0, bad_sectors(NULL));
	p = dax_map(self->fd, 0, SZ_2M);
	EXPECT_BYTES('n', p, SZ_2M);
	EXPECT_MAPPED("2M", p);
}

static void expect_poison(char *p, bool write)
{
	siginfo_t info = {};

	EXPECT_EQ(SIGBUS, dax_touch_signal(p + AT_BAD + 8, write, &info));
	EXPECT_EQ(BUS_MCEERR_AR, info.si_code);
	EXPECT_EQ((uintptr_t)p + AT_BAD, (uintptr_t)info.si_addr & -SZ_4K);
	EXPECT_MAPPED("none", p + AT_BAD);
}

TEST_F(bad, small_fault)
{
	expect_poison(self->p, false);
	expect_poison(self->p, true);
	expect_rest_well(self->fd, self->p);
	expect_recovers(self->fd);
}

TEST_F(bad, private_write)
{
	char *p = dax_map_private(self->fd, 0, SZ_2M);

	expect_poison(p, true);
	expect_rest_well(self->fd, p);
	expect_recovers(self->fd);
}

/* 2 MiB with a bad page are mapped by the pages that are good. */
static void huge_fault(bool write)
{
	int fd = bad_file();
	char *p;

	dax_trace(fd, NULL);
	p = dax_map(fd, 0, SZ_2M);
	EXPECT_EQ(0, dax_touch_signal(p + AT_BAD + SZ_4K, write, NULL));
	ONCE_OR_TWICE(FALLBACKS("device-error"));
	EXPECT_MAPPED("4K", p + AT_BAD + SZ_4K);
	expect_poison(p, false);
	expect_poison(p, true);
	expect_rest_well(fd, p);
	expect_recovers(fd);
}

TEST_F(reasons, huge_read_fault) DAX_CALL(huge_fault(false))
TEST_F(reasons, huge_write_fault) DAX_CALL(huge_fault(true))

/*
 * The entry is there, clean or dirty, when the block turns bad. Pages that are
 * mapped stay mapped; a new mapping gets all pages but that one.
 */
static void bad_below_entry(bool huge, bool dirty)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *old = huge ? dax_map(fd, 0, SZ_2M) : dax_map_small(fd, SZ_2M), *p;

	for (int page = BAD - 1; page <= BAD + 1; page++) {
		if (dirty)
			dax_poke(old + page * SZ_4K, FILL);
		else
			dax_peek(old + page * SZ_4K);
	}
	ASSERT_MAPPED(huge ? "2M" : "4K", old + AT_BAD);
	make_bad(fd);
	/* Unmapped, mapped anew, and as the first fault of a page table. */
	dax_zap(old, SZ_2M);
	expect_poison(old, dirty);
	p = huge ? dax_map(fd, 0, SZ_2M) : dax_map_small(fd, SZ_2M);
	expect_poison(p, false);
	expect_poison(p, true);
	EXPECT_EQ(0, dax_touch_signal(p + AT_BAD + SZ_4K, false, NULL));
	EXPECT_MAPPED("4K", p + AT_BAD + SZ_4K);
	expect_rest_well(fd, p);
	expect_poison(p, false);
	dax_unmap(p, SZ_2M);
	dax_unmap(old, SZ_2M);
	expect_recovers(fd);
}

TEST_F(badblocks, below_small_entry) DAX_CALL(bad_below_entry(false, false))
TEST_F(badblocks, below_small_dirty_entry)
	DAX_CALL(bad_below_entry(false, true))
TEST_F(badblocks, below_huge_entry) DAX_CALL(bad_below_entry(true, false))
TEST_F(badblocks, below_huge_dirty_entry) DAX_CALL(bad_below_entry(true, true))

/*
 * A small mapping of a page out of a large entry, by a process that has not seen
 * the file before; and a private store, which copies the page.
 */
TEST_F(badblocks, below_entry_of_others)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *huge = dax_map(fd, 0, SZ_2M), *p;

	dax_poke(huge, FILL);
	make_bad(fd);
	p = dax_map_small(fd, SZ_2M);
	expect_poison(p, false);
	expect_poison(p, true);
	expect_poison(dax_map_private(fd, 0, SZ_2M), true);
	expect_rest_well(fd, p);
	dax_unmap(huge, SZ_2M);
	dax_unmap(p, SZ_2M);
	expect_recovers(fd);
}

/* Entries were small when the block turned bad: so they stay. */
TEST_F(promoted, promotion)
{
	struct dax_ptes *view = malloc(sizeof(*view));
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small = dax_map_small(fd, SZ_2M), *p;
	unsigned int nr, dirty = 0;

	for (unsigned int i = 0; i < PAGES_2M; i += 7) {
		if (i % 2)
			dax_poke(small + i * SZ_4K, FILL);
		else
			dax_peek(small + i * SZ_4K);
		dirty += i % 2;
	}
	dax_snapshot_ptes(view, small);
	make_bad(fd);
	p = dax_map(fd, 0, SZ_2M);
	dax_trace(fd, NULL);
	dax_peek(p);
	nr = FALLBACKS("device-error");
	ONCE_OR_TWICE(nr);
	EXPECT_EQ(nr, PROMOTE("rollback"));
	EXPECT_EQ(0, PROMOTE("done"));
	EXPECT_MAPPED("4K", p);
	EXPECT_EQ(0, dax_ptes_changed(view, small));
	EXPECT_SMALL_FLUSHES(dirty, fd);

	expect_rest_well(fd, small);
	EXPECT_EQ(EINVAL, dax_collapse(p, SZ_2M));
	expect_recovers(fd);
	EXPECT_EQ(0, dax_collapse(p, SZ_2M));
	EXPECT_MAPPED("2M", p);
}

/* Part of a bad page cannot be zeroed. */
TEST_F(badblocks, zero)
{
	int fd = bad_file();
	char *p;
	int ret;

	EXPECT_ERRNO(EIO, fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    AT_BAD + 10, 20));
	EXPECT_ERRNO(EIO, fallocate(fd, PUNCH_HOLE, AT_BAD + 10, 20));
	p = dax_map(fd, 0, SZ_2M);
	expect_rest_well(fd, p);
	ret = ftruncate(fd, AT_BAD + 10);
	/* XFS says so, and leaves the file as it is; ext4 cuts all the same. */
	if (dax_is_xfs()) {
		EXPECT_ERRNO(EIO, ret);
		EXPECT_EQ(SZ_2M, lseek(fd, 0, SEEK_END));
		expect_rest_well(fd, p);
		expect_recovers(fd);
	} else {
		EXPECT_EQ(0, ret);
		EXPECT_EQ(AT_BAD + 10, lseek(fd, 0, SEEK_END));
		EXPECT_BYTES(FILL, p, AT_BAD);
		EXPECT_EQ(SIGBUS, dax_touch_signal(p + AT_BAD, false, NULL));
	}
}

/*
 * Two files share the bad page. A store to one of them would have to copy it;
 * a write of all of it would not.
 */
TEST_F(shared, shared)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char buf[SZ_4K], *p;

	make_bad(fd);
	EXPECT_ERRNO(EIO, dax_dedupe(fd, 0, SZ_2M,
				     dax_file(SZ_2M, WRITTEN), 0));

	p = dax_map(clone, 0, SZ_2M);
	expect_poison(p, true);
	EXPECT_ERRNO(EIO, pwrite(clone, "x", 1, AT_BAD + 8));
	EXPECT_EQ(dax_block(fd, AT_BAD), dax_block(clone, AT_BAD));
	expect_rest_well(clone, p);

	memset(buf, 'n', sizeof(buf));
	EXPECT_EQ(SZ_4K, pwrite(clone, buf, SZ_4K, AT_BAD));
	EXPECT_NE(dax_block(fd, AT_BAD), dax_block(clone, AT_BAD));
	EXPECT_BYTES('n', p + AT_BAD, SZ_4K);
	EXPECT_EQ(1, bad_sectors(NULL));
	EXPECT_ERRNO(EIO, pread(fd, buf, 1, AT_BAD));
}

/* A store that cannot copy leaves the block where it is, also in 2 MiB. */
TEST_F(shared, shared_store)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *p = dax_map(clone, 0, SZ_2M);

	make_bad(fd);
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + AT_BAD + 8, true, NULL));
	EXPECT_EQ(dax_block(fd, AT_BAD), dax_block(clone, AT_BAD));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + AT_BAD + 8, false, NULL));
	expect_rest_well(clone, p);
}

/* A page that cannot be read is not the same as any other. */
TEST_F(shared, compared)
{
	int fd = bad_file(), other = dax_file(SZ_2M, WRITTEN);

	EXPECT_ERRNO(EIO, dax_dedupe(fd, 0, SZ_2M, other, 0));
	EXPECT_NE(dax_block(fd, 0), dax_block(other, 0));
}

TEST_HARNESS_MAIN
