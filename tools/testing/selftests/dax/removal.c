// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is removed while its files are in use: without notice, and
 * below a device-mapper target even without notice to the filesystem. No entry
 * is mapped, and no page of one is accessed, unless the device is still there.
 * All later calls get an error, all waiters are woken, and the filesystem can
 * be unmounted.
 *
 * The sysfs file "unbind" of the driver removes the device. Each call is made
 * by a process of its own: a kernel that has the bug kills it.
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>

#include "dax_harness.h"
#include "dax_stall.h"

#define FILE_LEN	(2 * SZ_2M)

static struct dax_driver driver;
static bool gone;

FIXTURE(removal) {
};

FIXTURE_VARIANT(removal) {
	bool below;	/* a device-mapper target */
};

FIXTURE_VARIANT_ADD(removal, direct) { .below = false };
FIXTURE_VARIANT_ADD(removal, dm) { .below = true };

FIXTURE_SETUP(removal)
{
	DAX_SETUP();
}

static void take_back(void)
{
	if (gone)
		dax_bind(&driver);
	gone = false;
}

static int pipe_fd[2];

/*
 * A page of the device that is in a pipe when the device is removed has no
 * memory: closing the pipe would crash the kernel. When the device is back
 * there are new page structures, which the next removal frees as well.
 */
static void close_pipe(void)
{
	if (!pipe_fd[1])
		return;
	dax_scratch_drop();
	take_back();
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	dax_unbind(&driver);
	dax_bind(&driver);
}

FIXTURE_TEARDOWN(removal)
{
	if (access("/dev/mapper/" DAX_SCRATCH_DM, F_OK) == 0)
		dax_resume();
	close_pipe();
	dax_test_teardown();
	take_back();
}

/* XFS in 6.12 counts on it that the device ends where it ends itself. */
static const char *mount_it(bool below)
{
	const char *why = dax_scratch_driver(&driver);

	if (why)
		return why;
	return below ? dax_stall_device(driver.mib) :
		       dax_scratch(driver.mib, "", "dax=always");
}

static int do_unbind(void)
{
	dax_unbind(&driver);
	return 0;
}

/* 0, or -1 if it does not end. */
static int unbind(void)
{
	pid_t pid = dax_spawn(do_unbind());

	gone = true;
	return dax_stall_ends(pid);
}

/*
 * The file in use: its first 2 MiB are one dirty entry; the second ones are
 * small entries, of which one is dirty.
 */
enum step {
	PREPARE,
	UNMAP,
	UNMAP_ALL,
	CLOSE,
	FSYNC,
	MSYNC,
	SYNCFS,
	READ,
	WRITE,
	TRUNCATE,
	PUNCH_SMALL,
	PUNCH_HUGE,
	UNLINK,
	COLLAPSE,
	READ_SMALL,
	READ_SMALL_DIRTY,
	READ_OUT_OF_HUGE,
	READ_HUGE,
	STORE_SMALL,
	STORE_SMALL_DIRTY,
	STORE_OUT_OF_HUGE,
	STORE_HUGE,
	STORE_PRIVATE,
	SPLICE,
	APPEND,
};

static struct {
	int fd;
	char *huge, *small;
	/*
	 * Mappings that are not touched yet: of the first part, of the second.
	 */
	struct {
		char *huge, *small, *private, *second;
	} fresh;
} user;

static char *map_small(off_t off)
{
	return dax_mmap(user.fd, off, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED,
			SZ_4K);
}

static void nothing(int sig)
{
}

static int prepare(void)
{
	struct sigaction action = { .sa_handler = nothing };

	/*
	 * Processes that map a page get a signal; the test checks the next
	 * access.
	 */
	signal(SIGBUS, SIG_IGN);
	sigaction(SIGUSR1, &action, NULL);
	user.fd = dax_file(FILE_LEN, WRITTEN);
	user.huge = dax_map(user.fd, 0, SZ_2M);
	user.small = map_small(SZ_2M);
	user.fresh.huge = dax_map(user.fd, 0, SZ_2M);
	user.fresh.small = map_small(0);
	user.fresh.private = dax_map_private(user.fd, 0, SZ_2M);
	user.fresh.second = map_small(SZ_2M);
	dax_poke(user.huge, FILL);
	dax_peek(user.small);
	dax_poke(user.small + SZ_4K, FILL);
	return strcmp(dax_mapped(user.huge), "2M") ||
	       strcmp(dax_mapped(user.small), "4K") ||
	       strcmp(dax_mapped(user.small + SZ_4K), "4K");
}

static int fault(int nr)
{
	switch (nr) {
	case READ_SMALL:
		return dax_touch_signal(user.fresh.second, false, NULL);
	case READ_SMALL_DIRTY:
		return dax_touch_signal(user.fresh.second + SZ_4K, false, NULL);
	case READ_OUT_OF_HUGE:
		return dax_touch_signal(user.fresh.small, false, NULL);
	case READ_HUGE:
		return dax_touch_signal(user.fresh.huge, false, NULL);
	case STORE_SMALL:
		return dax_touch_signal(user.fresh.second, true, NULL);
	case STORE_SMALL_DIRTY:
		return dax_touch_signal(user.fresh.second + SZ_4K, true, NULL);
	case STORE_OUT_OF_HUGE:
		return dax_touch_signal(user.fresh.small, true, NULL);
	case STORE_HUGE:
		return dax_touch_signal(user.fresh.huge, true, NULL);
	default:
		return dax_touch_signal(user.fresh.private, true, NULL);
	}
}

static int unlink_file(void)
{
	char path[PATH_MAX];

	dax_name(user.fd, path, sizeof(path));
	return unlink(path);
}

static int do_call(int nr)
{
	char buf[SZ_4K] = {};

	switch (nr) {
	case UNMAP:
		return munmap(user.huge, SZ_2M) | munmap(user.small, SZ_2M);
	case UNMAP_ALL:
		return munmap(user.fresh.huge, SZ_2M) |
		       munmap(user.fresh.small, SZ_2M) |
		       munmap(user.fresh.private, SZ_2M) |
		       munmap(user.fresh.second, SZ_2M);
	case CLOSE:
		return close(user.fd);
	case FSYNC:
		return fsync(user.fd);
	case MSYNC:
		return msync(user.huge, SZ_2M, MS_SYNC);
	case SYNCFS:
		return syncfs(user.fd);
	case READ:
		return pread(user.fd, buf, SZ_4K, 0) < 0;
	case WRITE:
		return pwrite(user.fd, buf, SZ_4K, SZ_4K) < 0;
	case TRUNCATE:
		return ftruncate(user.fd, 0);
	case PUNCH_SMALL:
		return fallocate(user.fd, PUNCH_HOLE, SZ_2M, 8 * SZ_4K);
	case PUNCH_HUGE:
		return fallocate(user.fd, PUNCH_HOLE, SZ_4K, SZ_4K);
	case UNLINK:
		return unlink_file();
	case SPLICE:
		return vmsplice(pipe_fd[1],
				&(struct iovec){ user.small, SZ_4K }, 1, 0) < 0;
	case APPEND:
		return pwrite(user.fd, buf, SZ_4K, FILE_LEN) < 0;
	default:
		return madvise(user.huge, SZ_2M, MADV_COLLAPSE);
	}
}

/* 0, an errno, or the signal of an access. */
static int take(int nr, void *arg)
{
	if (nr == PREPARE)
		return prepare();
	if (nr >= READ_SMALL && nr <= STORE_PRIVATE)
		return fault(nr);
	return do_call(nr) ? errno : 0;
}

#define KILLED	(-1)
#define HANGS	(-2)

static int begin(struct dax_helper *peer, int nr)
{
	return write(peer->ask, &nr, sizeof(nr)) == sizeof(nr) ? 0 : KILLED;
}

/* What take() returns; or the step kills the process, or does not end. */
static int finish(struct dax_helper *peer, unsigned int seconds)
{
	struct pollfd answer = { .fd = peer->answer, .events = POLLIN };
	int ret;

	if (poll(&answer, 1, seconds * 1000) == 0)
		return HANGS;
	if (read(peer->answer, &ret, sizeof(ret)) != sizeof(ret))
		return KILLED;
	return ret;
}

static int step(struct dax_helper *peer, int nr)
{
	return begin(peer, nr) ?: finish(peer, DAX_STALL_SECONDS);
}

/* Has the step that was begun come to where it waits? */
static bool waits(struct dax_helper *peer)
{
	return dax_stall_waits(peer->pid) &&
		!dax_sleeps_in(peer->pid, "pipe_read");
}

static int unmount(void)
{
	return dax_stall_ends(dax_spawn(umount2(dax_dir(), 0) ? errno : 0));
}

/*
 * All that a user does after the device has gone, one after the other; then what is
 * left is closed, and all unmounted. @error: what each step is to return, or
 * ANY_ERROR, or MAYBE.
 */
#define ANY_ERROR	(-3)
#define MAYBE		(-4)

struct after {
	int step, error;
};

static void goes(struct __test_metadata *_metadata, bool below,
		 const int *before, const struct after *after, unsigned int nr)
{
	struct dax_helper peer;
	int ret;

	NEED(mount_it(below));
	signal(SIGPIPE, SIG_IGN);
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	for (; before && *before; before++)
		ASSERT_EQ(0, dax_helper_step(&peer, *before));
	ASSERT_EQ(0, unbind());
	for (unsigned int i = 0; i < nr; i++) {
		ret = step(&peer, after[i].step);
		if (after[i].error == ANY_ERROR) {
			EXPECT_LT(0, ret)
				TH_LOG("step %d", after[i].step);
		} else if (after[i].error == MAYBE) {
			EXPECT_LE(0, ret)
				TH_LOG("step %d", after[i].step);
		} else {
			EXPECT_EQ(after[i].error, ret)
				TH_LOG("step %d", after[i].step);
		}
		if (getenv("DAX_TEST_SHOW"))
			dax_print_msg("step %d: %d", after[i].step, ret);
		if (ret == KILLED || ret == HANGS)
			break;
	}
	dax_helper_stop(&peer);
	EXPECT_EQ(0, unmount());
}

/* A fault checks the device even if it needs nothing but the entry. (R2) */
TEST_F(removal, faults)
{
	static const int before[] = { UNMAP, 0 };
	static const struct after after[] = {
		{ READ_SMALL, SIGBUS },
		{ READ_SMALL_DIRTY, SIGBUS },
		{ READ_OUT_OF_HUGE, SIGBUS },
		{ READ_HUGE, SIGBUS },
		{ STORE_SMALL_DIRTY, SIGBUS },
		{ STORE_SMALL, SIGBUS },
		{ STORE_OUT_OF_HUGE, SIGBUS },
		{ STORE_HUGE, SIGBUS },
		{ STORE_PRIVATE, SIGBUS },
		{ READ_SMALL, SIGBUS },
		{ UNMAP_ALL, 0 }, { CLOSE, 0 },
	};

	goes(_metadata, variant->below, before, after, ARRAY_LEN(after));
}

/* Without a store first: that may have the filesystem shut down. */
TEST_F(removal, store_first)
{
	static const int before[] = { UNMAP, 0 };
	static const struct after after[] = {
		{ STORE_SMALL_DIRTY, SIGBUS },
		{ UNMAP_ALL, 0 }, { CLOSE, 0 },
	};

	goes(_metadata, variant->below, before, after, ARRAY_LEN(after));
}

TEST_F(removal, unmap_and_close)
{
	static const struct after after[] = {
		{ UNMAP, 0 }, { UNMAP_ALL, 0 },
		{ CLOSE, 0 },
	};

	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

TEST_F(removal, sync)
{
	static const struct after after[] = {
		{ MSYNC, ANY_ERROR }, { FSYNC, ANY_ERROR }, { SYNCFS, MAYBE },
		{ FSYNC, ANY_ERROR }, { UNMAP, 0 }, { UNMAP_ALL, 0 },
		{ CLOSE, 0 },
	};

	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

TEST_F(removal, read_and_write)
{
	static const struct after after[] = {
		{ READ, ANY_ERROR }, { WRITE, ANY_ERROR }, { UNMAP, 0 }, { READ, ANY_ERROR },
		{ UNMAP_ALL, 0 }, { CLOSE, 0 },
	};

	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

/* The log of the filesystem may not have been written to yet. */
TEST_F(removal, punch_and_truncate)
{
	static const struct after after[] = {
		{ PUNCH_SMALL, MAYBE }, { PUNCH_HUGE, MAYBE },
		{ TRUNCATE, MAYBE }, { FSYNC, ANY_ERROR },
		{ UNMAP, 0 }, { UNMAP_ALL, 0 },
		{ CLOSE, 0 },
	};

	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

TEST_F(removal, truncate_unmapped)
{
	static const int before[] = { UNMAP, 0 };
	static const struct after after[] = {
		{ TRUNCATE, MAYBE }, { UNMAP_ALL, 0 }, { CLOSE, 0 },
	};

	goes(_metadata, variant->below, before, after, ARRAY_LEN(after));
}

TEST_F(removal, collapse)
{
	static const struct after after[] = {
		{ COLLAPSE, ANY_ERROR }, { UNMAP, 0 }, { UNMAP_ALL, 0 },
		{ CLOSE, 0 },
	};

	NEED_PROMOTION();
	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

TEST_F(removal, unlink)
{
	static const struct after after[] = {
		{ UNLINK, MAYBE }, { UNMAP, 0 }, { UNMAP_ALL, 0 },
		{ CLOSE, 0 },
	};

	goes(_metadata, variant->below, NULL, after, ARRAY_LEN(after));
}

/* The process is killed, and its exit does all at once. */
TEST_F(removal, exit_with_deleted)
{
	static const int before[] = { UNLINK, 0 };

	goes(_metadata, variant->below, before, NULL, 0);
}

/* --- waiters -------------------------------------------------------------- */

/*
 * A cut waits for a page in a pipe. It ends by itself, or at the latest by a
 * signal, as what it waited for is no more.
 */
static void cut_waits(struct __test_metadata *_metadata, bool below, int cut,
		      unsigned int patience)
{
	struct dax_helper peer;
	int ret;

	NEED(mount_it(below));
	ASSERT_EQ(0, pipe(pipe_fd));
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	ASSERT_EQ(0, dax_helper_step(&peer, SPLICE));
	ASSERT_EQ(0, dax_helper_step(&peer, UNMAP));
	ASSERT_EQ(0, dax_helper_step(&peer, UNMAP_ALL));
	ASSERT_EQ(0, begin(&peer, cut));
	EXPECT_TRUE(waits(&peer));
	EXPECT_EQ(0, unbind());
	ret = finish(&peer, patience);
	if (ret == HANGS) {
		kill(peer.pid, SIGUSR1);
		ret = finish(&peer, DAX_STALL_SECONDS);
	}
	EXPECT_LE(0, ret);
	EXPECT_EQ(0, step(&peer, CLOSE));
	dax_helper_stop(&peer);
	EXPECT_EQ(0, unmount());
}

TEST_F(removal, truncate_waits)
{
	cut_waits(_metadata, variant->below, TRUNCATE, 5);
}

TEST_F(removal, punch_waits)
{
	cut_waits(_metadata, variant->below, PUNCH_SMALL, 5);
}

TEST_F(removal, truncate_interrupted)
{
	cut_waits(_metadata, variant->below, TRUNCATE, 0);
}

/*
 * A file that was deleted waits for its page, too; but neither the removal nor the
 * unmount waits for the file.
 */
TEST_F(removal, deleted_waits)
{
	struct dax_helper peer;

	NEED(mount_it(variant->below));
	ASSERT_EQ(0, pipe(pipe_fd));
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	ASSERT_EQ(0, dax_helper_step(&peer, SPLICE));
	ASSERT_EQ(0, dax_helper_step(&peer, UNLINK));
	dax_helper_stop(&peer);
	EXPECT_EQ(0, unbind());
	EXPECT_EQ(0, unmount());
}

/* Faults without end: each but the last is served, and it gets SIGBUS. */
static int fault_on(char *p)
{
	int sig;

	do {
		dax_zap(p, SZ_2M);
		sig = dax_touch_signal(p, false, NULL) ?:
		      dax_touch_signal(p + SZ_4K, true, NULL);
	} while (!sig);
	return sig;
}

TEST_F(removal, faults_all_the_time)
{
	pid_t pid[2];
	char *p[2];
	int fd;

	NEED(mount_it(variant->below));
	signal(SIGBUS, SIG_IGN);
	fd = dax_file(2 * SZ_2M, WRITTEN);
	p[0] = dax_map(fd, 0, SZ_2M);
	p[1] = dax_mmap(fd, SZ_2M, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED,
			SZ_4K);
	for (int i = 0; i < 2; i++)
		pid[i] = dax_spawn(fault_on(p[i]));
	usleep(100000);
	EXPECT_EQ(0, unbind());
	EXPECT_EQ(SIGBUS, dax_stall_ends(pid[0]));
	EXPECT_EQ(SIGBUS, dax_stall_ends(pid[1]));
	dax_unmap(p[0], SZ_2M);
	dax_unmap(p[1], SZ_2M);
	close(fd);
	EXPECT_EQ(0, unmount());
}

/* --- stall points ------------------------------------------------------------ */

/*
 * The device below is suspended while a call waits for it, and removed when it
 * is resumed. First with the extents of the file not cached, then with entries.
 */
static int cold_fd;
static char *cold;

static int cold_read_fault(void)
{
	return dax_touch_signal(cold, false, NULL);
}

static int cold_store_fault(void)
{
	return dax_touch_signal(cold, true, NULL);
}

static int cold_write(void)
{
	return pwrite(cold_fd, "w", 1, SZ_4K) < 0 ? errno : 0;
}

static int cold_read(void)
{
	char c;

	return pread(cold_fd, &c, 1, SZ_4K) < 0 ? errno : 0;
}

static int cold_truncate(void)
{
	return ftruncate(cold_fd, 0) ? errno : 0;
}

static int cold_punch(void)
{
	return fallocate(cold_fd, PUNCH_HOLE, 0, SZ_2M) ? errno : 0;
}

static int cold_collapse(void)
{
	return dax_collapse(cold, SZ_2M);
}

static int cold_unlink(void)
{
	dax_unlink(cold_fd);
	return syncfs(cold_fd) ? errno : 0;
}

/* The calls begin one after the other, each when the one before it waits. */
static void stalled(struct __test_metadata *_metadata, bool below,
		    int (*const *calls)(void), unsigned int nr)
{
	pid_t pid[4];
	int ret;

	if (!below)
		SKIP(return, "needs device-mapper, to suspend the device");
	NEED(dax_scratch_driver(&driver));
	NEED(dax_stall_file(&cold_fd));
	cold = dax_map(cold_fd, 0, SZ_2M);
	dax_suspend();
	for (unsigned int i = 0; i < nr; i++) {
		pid[i] = dax_spawn(calls[i]());
		EXPECT_TRUE(dax_stall_waits(pid[i]))
			TH_LOG("call %u", i);
	}
	EXPECT_EQ(0, unbind());
	dax_resume();
	for (unsigned int i = 0; i < nr; i++) {
		ret = dax_stall_ends(pid[i]);
		EXPECT_TRUE(ret > 0 && ret < 128)
			TH_LOG("call %u: %d", i, ret);
	}
	dax_unmap(cold, SZ_2M);
	close(cold_fd);
	EXPECT_EQ(0, unmount());
}

/* The entry is locked, and so is the mapping against truncation. */
TEST_F(removal, stalled_faults)
{
	static int (*const calls[])(void) = {
		cold_read_fault, cold_store_fault, cold_truncate,
	};

	stalled(_metadata, variant->below, calls, ARRAY_LEN(calls));
}

TEST_F(removal, stalled_write)
{
	static int (*const calls[])(void) = {
		cold_write, cold_read, cold_truncate,
	};

	stalled(_metadata, variant->below, calls, ARRAY_LEN(calls));
}

TEST_F(removal, stalled_punch)
{
	static int (*const calls[])(void) = { cold_punch, cold_read_fault };

	stalled(_metadata, variant->below, calls, ARRAY_LEN(calls));
}

TEST_F(removal, stalled_unlink)
{
	static int (*const calls[])(void) = { cold_unlink };

	stalled(_metadata, variant->below, calls, ARRAY_LEN(calls));
}

TEST_F(removal, stalled_collapse)
{
	static int (*const calls[])(void) = { cold_collapse, cold_truncate };

	NEED_PROMOTION();
	stalled(_metadata, variant->below, calls, ARRAY_LEN(calls));
}

/* With entries, and something in the log that has to be written. */
static void stalled_sync(struct __test_metadata *_metadata, bool below,
			 int sync)
{
	struct dax_helper peer;

	if (!below)
		SKIP(return, "needs device-mapper, to suspend the device");
	NEED(mount_it(below));
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	ASSERT_EQ(0, dax_helper_step(&peer, APPEND));
	dax_suspend();
	ASSERT_EQ(0, begin(&peer, sync));
	EXPECT_TRUE(waits(&peer));
	EXPECT_EQ(0, unbind());
	dax_resume();
	EXPECT_LT(0, finish(&peer, DAX_STALL_SECONDS));
	EXPECT_EQ(0, step(&peer, UNMAP));
	EXPECT_EQ(0, step(&peer, CLOSE));
	dax_helper_stop(&peer);
	EXPECT_EQ(0, unmount());
}

TEST_F(removal, stalled_fsync)
{
	stalled_sync(_metadata, variant->below, FSYNC);
}

TEST_F(removal, stalled_syncfs)
{
	stalled_sync(_metadata, variant->below, SYNCFS);
}

TEST_F(removal, stalled_unmount)
{
	struct dax_helper peer;
	pid_t pid;

	if (!variant->below)
		SKIP(return, "needs device-mapper, to suspend the device");
	NEED(mount_it(true));
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	ASSERT_EQ(0, dax_helper_step(&peer, APPEND));
	dax_helper_stop(&peer);
	dax_suspend();
	pid = dax_spawn(umount2(dax_dir(), 0) ? errno : 0);
	EXPECT_TRUE(dax_stall_waits(pid));
	EXPECT_EQ(0, unbind());
	dax_resume();
	EXPECT_EQ(0, dax_stall_ends(pid));
}

/*
 * Without device-mapper it is a frozen filesystem that has a call wait, before it
 * takes a lock of ours.
 */
static void frozen(struct __test_metadata *_metadata, bool below, int call)
{
	struct dax_helper peer;
	int dir;

	if (below)
		SKIP(return, "the other variant suspends the device instead");
	NEED(mount_it(below));
	dax_helper_start(&peer, take, NULL);
	ASSERT_EQ(0, dax_helper_step(&peer, PREPARE));
	dir = open(dax_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(0, ioctl(dir, FIFREEZE, 0));
	ASSERT_EQ(0, begin(&peer, call));
	EXPECT_TRUE(waits(&peer));
	EXPECT_EQ(0, unbind());
	ioctl(dir, FITHAW, 0);
	close(dir);
	EXPECT_LT(0, finish(&peer, DAX_STALL_SECONDS));
	EXPECT_EQ(0, step(&peer, UNMAP));
	EXPECT_EQ(0, step(&peer, CLOSE));
	dax_helper_stop(&peer);
	EXPECT_EQ(0, unmount());
}

TEST_F(removal, frozen_store_fault)
{
	frozen(_metadata, variant->below, STORE_SMALL_DIRTY);
}

TEST_F(removal, frozen_write)
{
	frozen(_metadata, variant->below, WRITE);
}

TEST_F(removal, frozen_truncate)
{
	frozen(_metadata, variant->below, TRUNCATE);
}

TEST_F(removal, frozen_unlink)
{
	frozen(_metadata, variant->below, UNLINK);
}

TEST_HARNESS_MAIN
