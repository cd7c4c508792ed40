// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is removed while its files are in use: without notice, and
 * below a device-mapper target even without notice to the filesystem. No entry
 * is mapped, and no page of one is accessed, unless the device is still there.
 * All later calls get an error, all waiters are woken, and the filesystem can
 * be unmounted.
 *
 * A device that comes back is another one, though its memory is the same: the
 * files on the first one get none of it.
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

void dax_restore(void)
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
	dax_restore();
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	dax_unbind(&driver);
	dax_bind(&driver);
}

/* A filesystem on a device that came back, apart from the scratch filesystem. */
#define NEW_DIR		"/tmp/dax-scratch-new"

void dax_cleanup(void)
{
	if (access("/dev/mapper/" DAX_SCRATCH_DM, F_OK) == 0)
		dax_resume();
	if (rmdir(NEW_DIR) && errno == EBUSY) {
		umount2(NEW_DIR, MNT_DETACH);
		rmdir(NEW_DIR);
	}
	close_pipe();
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

/* The device itself, or below a device-mapper target. */
DAX_EITHER(removal, mount_it(variant->below), below, direct, dm);

/* 0, or -1 if it does not end. */
static int unbind(void)
{
	pid_t pid = dax_spawn((dax_unbind(&driver), 0));

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
	UNLINK_AND_SYNC,
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

static int prepare(void)
{
	char from[PATH_MAX], to[PATH_MAX + 16];

	/*
	 * Processes that map a page get a signal; the test checks the next
	 * access.
	 */
	signal(SIGBUS, SIG_IGN);
	dax_take_sigusr1(0);
	user.fd = dax_file(FILE_LEN, WRITTEN);
	/* The next process calls its own file the same. */
	dax_name(user.fd, from, sizeof(from));
	snprintf(to, sizeof(to), "%s-%d", from, getpid());
	if (rename(from, to))
		dax_exit_fail("rename to %s: %m", to);
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

static const struct touch {
	char **map;
	size_t at;
	bool write;
} touches[] = {
	[READ_SMALL] = { &user.fresh.second, 0, false },
	[READ_SMALL_DIRTY] = { &user.fresh.second, SZ_4K, false },
	[READ_OUT_OF_HUGE] = { &user.fresh.small, 0, false },
	[READ_HUGE] = { &user.fresh.huge, 0, false },
	[STORE_SMALL] = { &user.fresh.second, 0, true },
	[STORE_SMALL_DIRTY] = { &user.fresh.second, SZ_4K, true },
	[STORE_OUT_OF_HUGE] = { &user.fresh.small, 0, true },
	[STORE_HUGE] = { &user.fresh.huge, 0, true },
	[STORE_PRIVATE] = { &user.fresh.private, 0, true },
};

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
	case UNLINK_AND_SYNC:
		return unlink_file() || syncfs(user.fd);
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
		return dax_touch_signal(*touches[nr].map + touches[nr].at,
					touches[nr].write, NULL);
	return do_call(nr) ? errno : 0;
}

#define KILLED	(-1)
#define HANGS	(-2)

static int begin(struct dax_helper *peer, int nr)
{
	return write(peer->ask, &nr, sizeof(nr)) == sizeof(nr) ? 0 : KILLED;
}

/* Returns what take() has returned, KILLED or HANGS. */
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
	return dax_stall_ends(dax_spawn_call(umount2(dax_dir(), 0)));
}

/* Starts a process that has prepared its file, and done the steps of @before. */
static void start(struct dax_helper *peer, const int *before)
{
	dax_helper_start(peer, take, NULL);
	if (dax_helper_step(peer, PREPARE))
		dax_exit_fail("the file is not mapped as it should be");
	for (; *before; before++)
		if (dax_helper_step(peer, *before))
			dax_exit_fail("step %d fails, and the device is there",
				      *before);
}

#define STEPS(...)	((const int[]) { __VA_ARGS__, 0 })

static void finish_all(struct dax_helper *peer)
{
	EXPECT_EQ(0, step(peer, UNMAP));
	EXPECT_EQ(0, step(peer, UNMAP_ALL));
	EXPECT_EQ(0, step(peer, CLOSE));
	dax_helper_stop(peer);
}

/* --- calls ------------------------------------------------------------------- */

/*
 * All that a user does after the device has gone, one after the other; then what is
 * left is closed, and all unmounted. @error: what each step is to return, or
 * ANY_ERROR, or MAYBE.
 */
#define ANY_ERROR	(-3)
#define MAYBE		(-4)

static const struct scenario {
	const char *name;
	int before[2];
	struct {
		int step, error;
	} after[12];
	bool exits;	/* the process is killed, and its exit does all at once */
} scenarios[] = {
	{ "unmap and close" },
	{ "collapse", .after = { { COLLAPSE, ANY_ERROR } } },
	{ "read", .after = {
		{ READ, ANY_ERROR }, { UNMAP, 0 }, { READ, ANY_ERROR },
	} },
	/* A fault checks the device even if it needs nothing but the entry. */
#define FAULTS		3	/* their place in the list */
	{ "faults", { UNMAP }, {
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
	} },
#define NR_HARMLESS	4	/* so far, but for the stores */
	{ "sync", .after = {
		{ MSYNC, ANY_ERROR }, { FSYNC, ANY_ERROR }, { SYNCFS, MAYBE },
		{ FSYNC, ANY_ERROR },
	} },
	{ "write", .after = {
		{ WRITE, ANY_ERROR }, { UNMAP, 0 }, { READ, ANY_ERROR },
	} },
	/* The log of the filesystem may not have been written to yet. */
	{ "punch and truncate", .after = {
		{ PUNCH_SMALL, MAYBE }, { PUNCH_HUGE, MAYBE },
		{ TRUNCATE, MAYBE }, { FSYNC, ANY_ERROR },
	} },
	{ "truncate unmapped", { UNMAP }, { { TRUNCATE, MAYBE } } },
	{ "unlink", .after = { { UNLINK, MAYBE } } },
	{ "exit with deleted", { UNLINK }, .exits = true },
};

static void goes_on(const struct scenario *scenario, struct dax_helper *peer)
{
	for (unsigned int i = 0; scenario->after[i].step; i++) {
		int ret = step(peer, scenario->after[i].step);
		int error = scenario->after[i].error;

		EXPECT_TRUE(error == ANY_ERROR ? ret > 0 :
			    error == MAYBE ? ret >= 0 : ret == error)
			TH_LOG("%s, step %d: %d", scenario->name,
			       scenario->after[i].step, ret);
		if (ret == KILLED || ret == HANGS)
			break;
	}
	if (scenario->exits)
		dax_helper_stop(peer);
	else
		finish_all(peer);
}

FIXTURE_VARIANT(calls) {
	bool below;
	unsigned int first, nr;
};

DAX_FIXTURE(calls, mount_it(variant->below))

/*
 * A filesystem that hears of the removal shuts down, for all calls alike. Over
 * device-mapper a call may have it shut down, which the next call would find.
 */
FIXTURE_VARIANT_ADD(calls, direct) { false, 0, ARRAY_LEN(scenarios) };
FIXTURE_VARIANT_ADD(calls, dm_harmless) { true, 0, NR_HARMLESS };
FIXTURE_VARIANT_ADD(calls, dm_sync) { true, NR_HARMLESS, 1 };
FIXTURE_VARIANT_ADD(calls, dm_write) { true, NR_HARMLESS + 1, 1 };
FIXTURE_VARIANT_ADD(calls, dm_punch) { true, NR_HARMLESS + 2, 1 };
FIXTURE_VARIANT_ADD(calls, dm_truncate) { true, NR_HARMLESS + 3, 1 };
FIXTURE_VARIANT_ADD(calls, dm_unlink) { true, NR_HARMLESS + 4, 1 };
FIXTURE_VARIANT_ADD(calls, dm_exit) { true, NR_HARMLESS + 5, 1 };

TEST_F(calls, calls_after)
{
	const struct scenario *scenario = &scenarios[variant->first];
	struct dax_helper peer[ARRAY_LEN(scenarios)];

	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; i < variant->nr; i++)
		start(&peer[i], scenario[i].before);
	ASSERT_EQ(0, unbind());
	for (unsigned int i = 0; i < variant->nr; i++)
		goes_on(&scenario[i], &peer[i]);
	EXPECT_EQ(0, unmount());
}

/* --- a device that comes back ---------------------------------------------- */

DAX_FIXTURE(back, mount_it(true))

/*
 * The memory is the same, and has new page structures. The table of device-mapper
 * still leads to the device that went, and the filesystem is told nothing.
 */
static void replace_device(void)
{
	ASSERT_EQ(0, unbind());
	dax_restore();
}

TEST_F(back, faults_refused)
{
	struct dax_helper peer;

	start(&peer, scenarios[FAULTS].before);
	replace_device();
	goes_on(&scenarios[FAULTS], &peer);
	EXPECT_EQ(0, unmount());
}

/*
 * Its table leads elsewhere, and the memory may go to another user, although the
 * device that has it is still there.
 */
#define TABLE	"/tmp/dax-scratch-table"

static void load_table(const char *how)
{
	dax_suspend();
	if (dax_sh("dmsetup load " DAX_SCRATCH_DM " %s", how))
		dax_exit_fail("the table was not replaced");
	dax_resume();
}

TEST_F(back, table_replaced)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *huge = dax_map(fd, 0, SZ_2M), *small;

	small = dax_mmap(fd, SZ_2M, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED,
			 SZ_4K);
	dax_poke(huge, 'x');
	dax_poke(small, 'x');
	ASSERT_MAPPED("2M", huge);
	dax_zap(huge, SZ_2M);
	dax_zap(small, SZ_2M);
	ASSERT_EQ(0, syncfs(fd));

	ASSERT_EQ(0, dax_sh("dmsetup table " DAX_SCRATCH_DM " >" TABLE));
	load_table("--table \"0 $(cut -d' ' -f2 " TABLE ") error\"");
	EXPECT_EQ(SIGBUS, dax_touch_signal(huge, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(huge, true, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(small, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(small, true, NULL));

	load_table(TABLE);
	EXPECT_EQ('x', dax_peek(huge));
	EXPECT_EQ('x', dax_peek(small));
	dax_unmap(huge, SZ_2M);
	dax_unmap(small, SZ_2M);
	close(fd);
	EXPECT_EQ(0, unmount());
}

/*
 * The filesystem is mounted from the new device as well. Its files have the same
 * pages there, which on XFS two files share: neither of them is the old file.
 */
static void mount_new(void)
{
	mkdir(NEW_DIR, 0700);
	if (mount(dax_scratch_device(), NEW_DIR, dax_is_xfs() ? "xfs" : "ext4",
		  0, dax_is_xfs() ? "dax=always,nouuid" : "dax=always"))
		dax_exit_fail("mount of %s: %m", dax_scratch_device());
}

static int open_new(int old_fd)
{
	char old[PATH_MAX], path[PATH_MAX + 32];
	int fd;

	dax_name(old_fd, old, sizeof(old));
	snprintf(path, sizeof(path), NEW_DIR "%s", old + strlen(dax_dir()));
	fd = open(path, O_RDWR);
	if (fd < 0)
		dax_exit_fail("%s: %m", path);
	return fd;
}

TEST_F(back, pages_of_new_files)
{
	unsigned int nr = dax_is_xfs() ? 2 : 1;
	int fd[2], new[2];
	char *huge, *small;
	uint64_t pfn;

	fd[0] = dax_file(SZ_2M, WRITTEN);
	if (nr == 2)
		fd[1] = dax_clone(fd[0], "clone");
	huge = dax_map(fd[0], 0, SZ_2M);
	small = dax_map_small(fd[0], SZ_2M);
	dax_peek(huge);
	ASSERT_MAPPED("2M", huge);
	pfn = dax_pfn(huge);
	dax_zap(huge, SZ_2M);
	ASSERT_EQ(0, syncfs(fd[0]));

	replace_device();
	mount_new();
	for (unsigned int i = 0; i < nr; i++) {
		char *p;

		new[i] = open_new(fd[i]);
		p = dax_map(new[i], 0, SZ_2M);
		EXPECT_EQ(FILL, dax_peek(p));
		ASSERT_EQ(pfn, dax_pfn(p));
	}
	EXPECT_EQ(SIGBUS, dax_touch_signal(huge, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(huge, true, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(small + SZ_4K, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(small + SZ_4K, true, NULL));
	for (unsigned int i = 0; i < nr; i++) {
		EXPECT_FILE(FILL, new[i], 0, SZ_2M);
		close(new[i]);
		close(fd[i]);
	}
	dax_unmap(huge, SZ_2M);
	dax_unmap(small, SZ_2M);
	EXPECT_EQ(0, unmount());
}

/* --- flushes --------------------------------------------------------------- */

/* Writes the data of the file and nothing else: errors are those of the data. */
static int sync_data(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT);
}

/*
 * The memory of a dirty entry is not flushed any more. An fsync would fail for
 * the metadata alone.
 */
TEST_F(removal, dirty_entries_not_flushed)
{
	char *huge, *small;
	int fd;

	fd = dax_file(FILE_LEN, WRITTEN);
	huge = dax_map(fd, 0, SZ_2M);
	small = dax_mmap(fd, SZ_2M, SZ_2M, PROT_READ | PROT_WRITE, MAP_SHARED,
			 SZ_4K);
	dax_trace(fd, "dax_writeback_one");
	dax_poke(huge, FILL);
	dax_poke(small, FILL);
	ASSERT_EQ(0, sync_data(fd));
	ASSERT_EQ(2, FLUSHES());

	dax_poke(huge, FILL);
	dax_poke(small, FILL);
	dax_trace_clear();
	ASSERT_EQ(0, unbind());
	EXPECT_EQ(EIO, dax_stall_ends(dax_spawn_call(sync_data(fd))));
	EXPECT_LT(0, dax_stall_ends(dax_spawn_call(fsync(fd))));
	EXPECT_EQ(0, FLUSHES());
	dax_unmap(huge, SZ_2M);
	dax_unmap(small, SZ_2M);
	close(fd);
	EXPECT_EQ(0, unmount());
}

/* --- waiters -------------------------------------------------------------- */

/*
 * A cut waits for a page in a pipe. It ends by itself, or at the latest by a
 * signal, as what it waited for is no more. The last one is not given the time.
 */
static const struct {
	int call;
	unsigned int patience;
} cuts[] = {
	{ TRUNCATE, 2 }, { PUNCH_SMALL, 2 }, { TRUNCATE, 0 },
};

TEST_F(removal, cuts_wait)
{
	struct dax_helper peer[ARRAY_LEN(cuts)];
	int ret;

	ASSERT_EQ(0, pipe(pipe_fd));
	for (unsigned int i = 0; i < ARRAY_LEN(cuts); i++) {
		start(&peer[i], STEPS(SPLICE, UNMAP, UNMAP_ALL));
		ASSERT_EQ(0, begin(&peer[i], cuts[i].call));
		EXPECT_TRUE(waits(&peer[i]));
	}
	EXPECT_EQ(0, unbind());
	for (unsigned int i = 0; i < ARRAY_LEN(cuts); i++) {
		ret = finish(&peer[i], cuts[i].patience);
		if (ret == HANGS) {
			kill(peer[i].pid, SIGUSR1);
			ret = finish(&peer[i], DAX_STALL_SECONDS);
		}
		EXPECT_LE(0, ret)
			TH_LOG("cut %u", i);
		finish_all(&peer[i]);
	}
	EXPECT_EQ(0, unmount());
}

/*
 * A file that was deleted waits for its page, too; but neither the removal nor the
 * unmount waits for the file.
 */
TEST_F(removal, deleted_waits)
{
	struct dax_helper peer;

	ASSERT_EQ(0, pipe(pipe_fd));
	start(&peer, STEPS(SPLICE, UNLINK));
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
/* The calls begin one after the other, each when the one before it waits. */
static const char *file_to_stall(void)
{
	return dax_scratch_driver(&driver) ?: dax_stall_file(&user.fd);
}

DAX_FIXTURE(stalled, file_to_stall())
DAX_FIXTURE(stalled_collapse, dax_no_promotion() ?: file_to_stall())

static void stalled(const int *calls)
{
	unsigned int nr = 0;
	pid_t pid[4];
	int ret;

	user.huge = dax_map(user.fd, 0, SZ_2M);
	user.fresh.huge = user.huge;
	dax_suspend();
	for (; calls[nr]; nr++) {
		pid[nr] = dax_spawn(take(calls[nr], NULL));
		EXPECT_TRUE(dax_stall_waits(pid[nr]))
			TH_LOG("call %u", nr);
	}
	EXPECT_EQ(0, unbind());
	dax_resume();
	for (unsigned int i = 0; i < nr; i++) {
		ret = dax_stall_ends(pid[i]);
		EXPECT_TRUE(ret > 0 && ret < 128)
			TH_LOG("call %u: %d", i, ret);
	}
	dax_unmap(user.huge, SZ_2M);
	close(user.fd);
	EXPECT_EQ(0, unmount());
}

/* The entry is locked, and so is the mapping against truncation. */
TEST_F(stalled, stalled_faults)
	DAX_CALL(stalled(STEPS(READ_HUGE, STORE_HUGE, TRUNCATE)))
TEST_F(stalled, stalled_write)
	DAX_CALL(stalled(STEPS(WRITE, READ, TRUNCATE)))
TEST_F(stalled, stalled_punch)
	DAX_CALL(stalled(STEPS(PUNCH_HUGE, READ_HUGE)))
TEST_F(stalled, stalled_unlink)
	DAX_CALL(stalled(STEPS(UNLINK_AND_SYNC)))

TEST_F(stalled_collapse, stalled_collapse)
	DAX_CALL(stalled(STEPS(COLLAPSE, TRUNCATE)))

/* With entries, and something in the log that has to be written. */
DAX_FIXTURE(stalled_log, mount_it(true))

static void stalled_sync(int sync)
{
	struct dax_helper peer;

	start(&peer, STEPS(APPEND));
	dax_suspend();
	ASSERT_EQ(0, begin(&peer, sync));
	EXPECT_TRUE(waits(&peer));
	EXPECT_EQ(0, unbind());
	dax_resume();
	EXPECT_LT(0, finish(&peer, DAX_STALL_SECONDS));
	finish_all(&peer);
	EXPECT_EQ(0, unmount());
}

TEST_F(stalled_log, stalled_fsync) DAX_CALL(stalled_sync(FSYNC))
TEST_F(stalled_log, stalled_syncfs) DAX_CALL(stalled_sync(SYNCFS))

TEST_F(stalled_log, stalled_unmount)
{
	struct dax_helper peer;
	pid_t pid;

	start(&peer, STEPS(APPEND));
	dax_helper_stop(&peer);
	dax_suspend();
	pid = dax_spawn_call(umount2(dax_dir(), 0));
	EXPECT_TRUE(dax_stall_waits(pid));
	EXPECT_EQ(0, unbind());
	dax_resume();
	EXPECT_EQ(0, dax_stall_ends(pid));
}

/*
 * Without device-mapper it is a frozen filesystem that has calls wait, before they
 * take a lock of ours.
 */
DAX_FIXTURE(frozen, mount_it(false))

TEST_F(frozen, frozen)
{
	static const int calls[] = { STORE_SMALL_DIRTY, WRITE, TRUNCATE, UNLINK };
	struct dax_helper peer[ARRAY_LEN(calls)];
	int dir;

	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++)
		start(&peer[i], STEPS(0));
	dir = open(dax_dir(), O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(0, ioctl(dir, FIFREEZE, 0));
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++) {
		ASSERT_EQ(0, begin(&peer[i], calls[i]));
		EXPECT_TRUE(waits(&peer[i]));
	}
	EXPECT_EQ(0, unbind());
	ioctl(dir, FITHAW, 0);
	close(dir);
	for (unsigned int i = 0; i < ARRAY_LEN(calls); i++) {
		EXPECT_LT(0, finish(&peer[i], DAX_STALL_SECONDS))
			TH_LOG("step %d", calls[i]);
		finish_all(&peer[i]);
	}
	EXPECT_EQ(0, unmount());
}

TEST_HARNESS_MAIN
