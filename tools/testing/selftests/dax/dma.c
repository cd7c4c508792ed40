// SPDX-License-Identifier: GPL-2.0-only
/*
 * A DAX mapping as the buffer of I/O. While a device may still access a page,
 * truncate and punch must wait, whether or not the page is still mapped, and
 * whatever the size of its entry is by then.
 */
#include <asm/posix_types.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/loop.h>

#include "dax_aio.h"
#include "dax_harness.h"
#include "dax_stall.h"

static int source;	/* the other end of the I/O */

/*
 * A loop device over memory. It takes a request, pins its pages, and leaves the
 * copying to a worker. Gone when closed.
 */
static const char *open_source(void)
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	const char *path;
	int control = open("/dev/loop-control", O_RDWR);

	if (control < 0)
		return "needs CONFIG_BLK_DEV_LOOP";
	config.fd = memfd_create("source", 0);
	dax_truncate(config.fd, 2 * SZ_2M);
	path = dax_text("/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	source = open(path, O_RDWR | O_DIRECT);
	if (source < 0 || ioctl(source, LOOP_CONFIGURE, &config))
		dax_exit_fail("%s: %m", path);
	close(config.fd);
	close(control);
	return NULL;
}

DAX_FIXTURE(loop, open_source())

static void fill_source(size_t len, int byte)
{
	void *buf;

	if (posix_memalign(&buf, SZ_4K, len))
		dax_exit_fail("no memory");
	memset(buf, byte, len);
	if (pwrite(source, buf, len, 0) != (ssize_t)len)
		dax_exit_fail("write to the source: %m");
	free(buf);
}

static void into_and_out_of(char *p, size_t len, const char *mapped)
{
	char *buf = aligned_alloc(SZ_4K, len);

	fill_source(len, 'S');
	ASSERT_EQ(len, pread(source, p, len, 0));
	EXPECT_BYTES('S', p, len);
	memset(p, 'D', len);
	ASSERT_EQ(len, pwrite(source, p, len, 0));
	ASSERT_EQ(len, pread(source, buf, len, 0));
	EXPECT_BYTES('D', buf, len);
	EXPECT_MAPPED(mapped, p);
}

TEST_F(loop, into_and_out_of_2m)
	DAX_CALL(into_and_out_of(dax_map(dax_file(SZ_2M, PREALLOC), 0, SZ_2M),
				 SZ_2M, "2M"))
TEST_F(loop, into_and_out_of_4k)
	DAX_CALL(into_and_out_of(dax_map_small(dax_file(SZ_2M, HOLE), SZ_1M),
				 SZ_1M, "4K"))

/* A device may not write into what is mapped for reading only. */
TEST_F(loop, into_read_only)
{
	char *p = dax_mmap(dax_file(SZ_2M, WRITTEN), 0, SZ_2M, PROT_READ,
			   MAP_SHARED, 0);

	dax_peek(p);
	EXPECT_ERRNO(EFAULT, pread(source, p, SZ_4K, 0));
	EXPECT_BYTES(FILL, p, SZ_2M);
}

/* The device dirties the file: fsync has to see it. */
TEST_F(loop, into_is_dirty)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_peek(p);
	dax_trace(fd, "dax_writeback_one");
	ASSERT_EQ(SZ_4K, pread(source, p + SZ_4K, SZ_4K, 0));
	EXPECT_FLUSHED(fd, 0, SZ_2M);
}

/*
 * I/O in both directions while the file is punched and truncated, and another
 * file of a nearly full filesystem gets the freed blocks: its bytes must not
 * change.
 */
static struct {
	int fd, other;
	char *p;
	bool write;
} busy_io;

static void io_on(unsigned long nr)
{
	size_t len = 16 * SZ_4K;
	off_t at = nr % 8 * len;
	ssize_t n = busy_io.write ? pwrite(source, busy_io.p + at, len, at) :
				    pread(source, busy_io.p + at, len, at);

	/* EFAULT is what truncate leaves of the buffer. */
	if (n < 0 && errno != EFAULT)
		dax_exit_fail("I/O: %m");
}

static void storm(bool write)
{
	unsigned int rounds = dax_scale(40);
	bool kept = true;

	NEED(dax_small_scratch());
	busy_io.write = write;
	fill_source(SZ_1M, 'S');
	busy_io.fd = dax_file(SZ_2M, WRITTEN);
	busy_io.other = dax_create("other");
	busy_io.p = dax_map(busy_io.fd, 0, SZ_2M);
	dax_fill_up(3 * SZ_1M);
	dax_background(io_on);
	for (unsigned int i = 0; i < rounds && kept; i++) {
		if (i % 2) {
			dax_punch_hole(busy_io.fd, 0, SZ_1M);
		} else {
			dax_truncate(busy_io.fd, 0);
			dax_truncate(busy_io.fd, SZ_2M);
		}
		dax_fsync(busy_io.fd);
		dax_fill(busy_io.other, 0, SZ_1M, 'o');
		sched_yield();
		kept = dax_file_has(busy_io.other, 0, SZ_1M, 'o');
		dax_truncate(busy_io.other, 0);
	}
	EXPECT_LT(0, dax_background_stop());
	EXPECT_TRUE(kept);
}

TEST_F(loop, punch_against_io_into) DAX_CALL(storm(false))
TEST_F(loop, punch_against_io_out_of) DAX_CALL(storm(true))

/*
 * A slow device reads into the mapping, the mapping is unmapped, the file is
 * cut: the cut must wait for the device. The order is not a matter of time: a
 * request completes before it drops its pages, so the completion must be
 * available when the cut returns.
 */
#define DELAY_MS	600

static const char *slow_source(void)
{
	const char *why = dax_scratch_dm(0, dax_text("0 32768 delay %s 0 %u\n",
						     dax_scratch_device() ?: "",
						     DELAY_MS));

	if (why)
		return why;
	source = open("/dev/mapper/dax-scratch", O_RDONLY | O_DIRECT);
	if (source < 0)
		dax_exit_fail("the slow device: %m");
	return NULL;
}

DAX_FIXTURE(slow, slow_source())

static struct {
	int fd;
	char *p;
} slow;

/* @p is mapped by a pte and is being read into. */
static void promote_under_io(int fd, char *p)
{
	uint64_t pfn = dax_pfn(p + SZ_4K);
	char *huge;

	ASSERT_MAPPED("4K", p + SZ_4K);
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge, 'h');
	EXPECT_MAPPED("2M", huge);
	EXPECT_MAPPED("4K", p + SZ_4K);
	EXPECT_EQ(pfn, dax_pfn(huge + SZ_4K));
	dax_unmap(huge, SZ_2M);
}

static void cut_by_truncate(int fd)
{
	dax_truncate(fd, 0);
}

static void cut_by_punch(int fd)
{
	dax_punch_hole(fd, 0, SZ_2M);
}

/*
 * A waiter for a page also polls it, for users that do not wake it. A device
 * does: its wakeup must end the wait. A core with the event dax_idle_page
 * reports that.
 */
static bool traces_waits(void)
{
	if (dax_has_event("dax_grab_entry"))
		EXPECT_EQ(NULL, dax_no_event("dax_idle_page"));
	return dax_has_event("dax_idle_page");
}

static void cut_once(void (*cut)(int fd), void (*busy)(unsigned long nr),
		     bool promote)
{
	/* A store meanwhile may hold the page for a moment. */
	bool alone = !busy && (cut == cut_by_truncate || cut == cut_by_punch);
	long early, done;
	bool traced;
	char *p;

	slow.fd = dax_file(SZ_2M, PREALLOC);
	traced = alone && traces_waits();
	if (traced)
		dax_trace(slow.fd, "dax_idle_page");
	slow.p = dax_map(slow.fd, 0, SZ_2M);
	p = promote ? dax_map_small(slow.fd, SZ_2M) :
		      dax_map(slow.fd, 0, SZ_2M);
	dax_poke(p, 'w');
	ASSERT_MAPPED(promote ? "4K" : "2M", p);
	dax_aio_read(source, p + SZ_4K);
	if (promote)
		promote_under_io(slow.fd, p);
	early = dax_aio_completed(0);
	dax_unmap(p, SZ_2M);
	if (busy) {
		dax_background(busy);
		while (!dax_background_laps())
			sched_yield();
	} else {
		dax_unmap(slow.p, SZ_2M);
	}
	cut(slow.fd);
	done = dax_aio_completed(0);
	if (busy)
		dax_background_stop();
	EXPECT_EQ(0, early);
	EXPECT_EQ(1, done);
	if (traced) {
		EXPECT_EQ(1, dax_count("dax_idle_page", "woken"));
		EXPECT_EQ(0, dax_count("dax_idle_page", "polled"));
	}
	dax_aio_end(done);
	close(slow.fd);
}

/*
 * Blocks go to another file without a truncate: to the boot loader of ext4, or
 * by xfs_fsr's way of exchanging all that two files have.
 */
#define SWAP_BOOT	_IO('f', 17)

/* The arguments of XFS's call, with its description of the file: a blob. */
struct xfs_file {
	uint64_t words[17];
};

struct xfs_describe {
	uint64_t *ino;
	int32_t nr;
	struct xfs_file *file;
	int32_t *done;
};

struct xfs_swap {
	int64_t version, fd, other, off, len;
	char unused[16];
	struct xfs_file before;
};

#define XFS_DESCRIBE	_IOWR('X', 102, struct xfs_describe)
#define XFS_SWAP	_IOWR('X', 109, struct xfs_swap)

static int swap_on_xfs(int fd, int other)
{
	struct xfs_swap swap = { .fd = fd, .other = other, .len = SZ_2M };
	struct xfs_describe describe = { .nr = 1, .file = &swap.before };
	uint64_t ino;
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	ino = st.st_ino;
	describe.ino = &ino;
	return ioctl(fd, XFS_DESCRIBE, &describe) ?:
	       ioctl(fd, XFS_SWAP, &swap);
}

static void cut_by_swap(int fd)
{
	if (dax_is_xfs() ? swap_on_xfs(fd, dax_file(SZ_2M, PREALLOC)) :
			   ioctl(fd, SWAP_BOOT))
		dax_exit_fail("the blocks cannot be swapped: %m");
}

/*
 * With dax=inode the other file may be one that is not DAX. A page of the DAX
 * file is in a pipe, so its blocks cannot go, whichever of the two XFS locks
 * first: that is the one with the lower number.
 */
struct xfs_exchange {
	int32_t other;
	uint32_t unused;
	uint64_t other_off, off, len, flags;
};

#define XFS_EXCHANGE	_IOW('X', 129, struct xfs_exchange)

static int exchange_on_xfs(int fd, int other)
{
	struct xfs_exchange exchange = { .other = other, .len = SZ_2M };

	return ioctl(fd, XFS_EXCHANGE, &exchange);
}

/* mkfs.xfs of today has no option for it. */
static void allow_exchange(void)
{
	const char *dev = dax_scratch_device();
	const char *file = "/tmp/dax-features";

	if (dax_sh("umount %s", dax_dir()) ||
	    dax_sh("xfs_db -r -c 'sb 0' -c 'p features_incompat' %s >%s",
		   dev, file) ||
	    dax_sh("xfs_db -x -c 'sb 0' -c \"%s $(($(cut -d= -f2 %s) | 0x40))\" %s",
		   "write -d features_incompat", file, dev) ||
	    dax_sh("mount -o dax=inode %s %s", dev, dax_dir()))
		dax_exit_fail("no filesystem that exchanges ranges");
}

static void swap_with_plain(int (*swap)(int fd, int other), bool dax_first)
{
	char *p;
	int fd[2], *dax = fd, *plain = fd + 1, pipe_fd[2];
	struct stat st[2];
	bool early;
	pid_t pid;

	/* The numbers go up as long as no file goes. */
	for (int i = 0; i < 2; i++) {
		int kind = i ^ !dax_first;

		fd[kind] = dax_create_as(dax_text("%d-%d", dax_first, kind),
					 !kind);
		dax_fill(fd[kind], 0, SZ_2M, kind ? 'p' : 'd');
		dax_fsync(fd[kind]);
		ASSERT_EQ(0, fstat(fd[kind], &st[kind]));
	}
	ASSERT_EQ(dax_first, st[0].st_ino < st[1].st_ino);
	p = dax_map(*dax, 0, SZ_2M);
	dax_into_pipe(pipe_fd, p);

	pid = dax_spawn_call(swap(*dax, *plain));
	while (!dax_ended(pid) && !dax_sleeps_in(pid, "dax_"))
		sched_yield();
	early = dax_ended(pid);
	EXPECT_FALSE(early);
	if (early) {
		dax_fill(*plain, 0, SZ_2M, 'x');
		dax_fsync(*plain);
	}
	EXPECT_PIPED('d', pipe_fd);
	EXPECT_EQ(0, dax_wait(pid));
	EXPECT_BYTES('p', p, SZ_2M);
	EXPECT_FILE(early ? 'x' : 'd', *plain, 0, SZ_2M);

	dax_unmap(p, SZ_2M);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(pipe_fd[i]);
	}
}

DAX_FIXTURE(swap, dax_is_xfs() ? dax_scratch(600, "", "dax=inode") :
		  "ext4 swaps with the boot loader only")

TEST_F(swap, swap_with_plain_waits)
{
	swap_with_plain(swap_on_xfs, true);
	swap_with_plain(swap_on_xfs, false);
}

TEST_F(swap, exchange_with_plain_waits)
{
	allow_exchange();
	swap_with_plain(exchange_on_xfs, true);
	swap_with_plain(exchange_on_xfs, false);
}

/*
 * A punch waits for a device with the file locked. A call with RWF_NOWAIT
 * returns while the device still uses the page.
 */
static void *punch_all(void *arg)
{
	cut_by_punch(*(int *)arg);
	return NULL;
}

TEST_F(slow, nowait_beside_punch)
{
	int fd = dax_file(SZ_2M, PREALLOC), err = 0;
	char *p = dax_map(fd, 0, SZ_2M), c;
	struct iovec iov = { &c, 1 };
	pthread_t thread;
	long done = 0;

	dax_poke(p, 'w');
	dax_aio_read(source, p + SZ_4K);
	thread = dax_thread(punch_all, &fd);
	/* Until the punch has the lock, it is not refused. */
	while (!err && !done) {
		err = preadv2(fd, &iov, 1, 0, RWF_NOWAIT) == 1 ? 0 : errno;
		done = dax_aio_completed(0);
	}
	EXPECT_EQ(EAGAIN, err);
	EXPECT_EQ(0, done);
	dax_join(thread);
	dax_aio_end(done);
}

/*
 * Pages that are pinned for good, here for the buffers of an io_uring, would
 * have a truncate wait for ever: they are refused.
 */
static int register_buffer(void *addr, size_t len)
{
	struct io_uring_params params = {};
	struct iovec iov = { addr, len };
	int ring, err = 0;

	ring = syscall(__NR_io_uring_setup, 2, &params);
	if (ring < 0)
		return errno;
	if (syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS,
		    &iov, 1))
		err = errno;
	close(ring);
	return err;
}

TEST_F(dax, longterm_pin_refused)
{
	int fd = dax_file(SZ_2M, WRITTEN), err;
	char *huge = dax_map(fd, 0, SZ_2M), *small = dax_map_small(fd, SZ_2M);
	void *plain;

	if (posix_memalign(&plain, SZ_4K, SZ_4K))
		dax_exit_fail("no memory");
	err = register_buffer(plain, SZ_4K);
	NEED(err ? "needs CONFIG_IO_URING, and kernel.io_uring_disabled=0" :
		   NULL);
	dax_poke(huge, 'w');
	dax_poke(small, 'w');
	ASSERT_MAPPED("2M", huge);
	ASSERT_MAPPED("4K", small);
	EXPECT_EQ(EOPNOTSUPP, register_buffer(huge, SZ_4K));
	EXPECT_EQ(EOPNOTSUPP, register_buffer(huge, SZ_2M));
	EXPECT_EQ(EOPNOTSUPP, register_buffer(small, SZ_4K));
	dax_truncate(fd, 0);
}

/* An entry that is locked, by fsync here, is not to be skipped. */
static void store_and_fsync(unsigned long nr)
{
	dax_poke(slow.p, nr);
	dax_fsync(slow.fd);
}

DAX_VARIANTS(cut, (variant->promote ? dax_no_promotion() : NULL) ?: slow_source(),
	     void (*cut)(int fd), (*busy)(unsigned long nr); bool promote;)

FIXTURE_VARIANT_ADD(cut, truncate) { .cut = cut_by_truncate };
FIXTURE_VARIANT_ADD(cut, punch) { .cut = cut_by_punch };
FIXTURE_VARIANT_ADD(cut, swap) { .cut = cut_by_swap };
FIXTURE_VARIANT_ADD(cut, punch_behind_fsync)
	{ .cut = cut_by_punch, .busy = store_and_fsync };

/*
 * The entry is small when the device gets the page, and a part of 2 MiB later.
 */
FIXTURE_VARIANT_ADD(cut, truncate_of_promoted)
	{ .cut = cut_by_truncate, .promote = true };
FIXTURE_VARIANT_ADD(cut, punch_of_promoted)
	{ .cut = cut_by_punch, .promote = true };
FIXTURE_VARIANT_ADD(cut, punch_of_promoted_behind_fsync)
	{ .cut = cut_by_punch, .busy = store_and_fsync, .promote = true };

TEST_F(cut, cut_waits_for_io)
{
	/* Whether the entry is locked at the time is a matter of chance. */
	unsigned int rounds = variant->busy ? 5 : 1;

	while (rounds--)
		cut_once(variant->cut, variant->busy, variant->promote);
}

DAX_FIXTURE(slow_promoted, dax_no_promotion() ?: slow_source())

/* The data of the device arrive in the file: both mappings and pread() show them. */
TEST_F(slow_promoted, into_collapsed)
{
	char *small, *huge, *want;
	uint64_t pfn;
	int fd;

	if (posix_memalign((void **)&want, SZ_4K, SZ_4K))
		dax_exit_fail("no memory");
	ASSERT_EQ(SZ_4K, pread(source, want, SZ_4K, 0));
	fd = dax_file(SZ_2M, WRITTEN);
	ASSERT_EQ(NULL, dax_policy("off"));
	small = dax_map_small(fd, SZ_2M);
	dax_poke(small + 9 * SZ_4K, 'x');
	huge = dax_map(fd, 0, SZ_2M);
	dax_peek(huge + 8 * SZ_4K);
	pfn = dax_pfn(small + 9 * SZ_4K);
	dax_aio_read(source, small + 9 * SZ_4K);
	EXPECT_EQ(0, dax_collapse(huge, SZ_2M));
	EXPECT_EQ(0, dax_aio_completed(0));
	EXPECT_MAPPED("2M", huge);
	EXPECT_EQ(pfn, dax_pfn(huge + 9 * SZ_4K));
	EXPECT_EQ(1, dax_aio_completed(1));
	EXPECT_EQ(0, memcmp(want, huge + 9 * SZ_4K, SZ_4K));
	EXPECT_EQ(0, memcmp(want, small + 9 * SZ_4K, SZ_4K));
	EXPECT_TRUE(dax_file_is(fd, 9 * SZ_4K, want, SZ_4K));
	EXPECT_EQ(FILL, dax_peek(huge + 8 * SZ_4K));
	/* It was stored to before the device was done, and is to be flushed. */
	dax_trace(fd, "dax_writeback_one");
	EXPECT_FLUSHED(fd, 0, SZ_2M);
	dax_aio_end(1);
}

/* I/O without end, while its pages become part of 2 MiB and small again. */
static struct {
	char *small;
	unsigned long wrong;
} transit;

static void io_through(unsigned long nr)
{
	size_t len = 16 * SZ_4K;
	off_t at = nr % 8 * len;
	char *p = transit.small + at, byte = 'a' + nr % 26;

	memset(p, byte, len);
	if (pwrite(source, p, len, at) != (ssize_t)len)
		dax_exit_fail("I/O: %m");
	memset(p, '-', len);
	if (pread(source, p, len, at) != (ssize_t)len)
		dax_exit_fail("I/O: %m");
	transit.wrong += dax_differs(p, len, byte) >= 0;
}

DAX_FIXTURE(loop_promoted, dax_no_promotion() ?: open_source())

TEST_F(loop_promoted, promotion_against_io)
{
	unsigned int rounds = dax_scale(60), promoted = 0;
	int fd = dax_file(SZ_2M, WRITTEN);
	off_t spare = SZ_2M - SZ_4K;
	char *huge;

	transit.small = dax_map_small(fd, SZ_2M);
	dax_background(io_through);
	for (unsigned int i = 0; i < rounds; i++) {
		unsigned long laps = dax_background_laps();

		/* One page gives back its block, and gets it again. */
		dax_punch_hole(fd, spare, SZ_4K);
		dax_fsync(fd);
		dax_fill(fd, spare, SZ_4K, FILL);
		dax_fsync(fd);
		dax_poke(transit.small + 200 * SZ_4K, i);
		huge = dax_map(fd, 0, SZ_2M);
		if (i % 2)
			dax_poke(huge + 201 * SZ_4K, i);
		else
			dax_peek(huge);
		promoted += !strcmp(dax_mapped(huge), "2M");
		dax_unmap(huge, SZ_2M);
		while (dax_background_laps() == laps)
			sched_yield();
	}
	dax_print_msg("%u rounds, %u times huge, %lu times written and read back",
		      rounds, promoted, dax_background_stop());
	EXPECT_EQ(0, transit.wrong);
	EXPECT_LT(0, promoted);
}

TEST_HARNESS_MAIN
