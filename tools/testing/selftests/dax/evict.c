// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that go while somebody still has a page of theirs: with their last name
 * and their last user, or with an unmount; or do not. Who has the page is a pipe, into which
 * it was vmspliced: as with a device, munmap() and close() do not take it away,
 * but nothing depends on how fast it is. (T5)
 */
#include <linux/membarrier.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "dax_harness.h"
#include "dax_stall.h"

/* The first page of a file of 2 MiB, written with @byte, in a new pipe. */
struct held {
	int fd, pipe[2];
	char *p;
};

static void put_into_pipe(struct held *held, size_t at)
{
	struct iovec iov = { held->p + at, SZ_4K };

	if (pipe(held->pipe))
		dax_die("pipe: %s", strerror(errno));
	if (vmsplice(held->pipe[1], &iov, 1, 0) != (ssize_t)SZ_4K)
		dax_die("vmsplice: %s", strerror(errno));
}

static void hold(struct held *held, const char *name, int byte)
{
	held->fd = dax_create(name);
	dax_falloc(held->fd, 0, 0, SZ_2M);
	held->p = dax_map(held->fd, 0, SZ_2M);
	memset(held->p, byte, SZ_2M);
	put_into_pipe(held, 0);
}

static void unmap_and_close(struct held *held)
{
	dax_unmap(held->p, SZ_2M);
	close(held->fd);
}

static void let_go(struct held *held)
{
	close(held->pipe[0]);
	close(held->pipe[1]);
}

/* What the page holds by now; the pipe is empty afterwards. */
static void look(struct held *held, char *page)
{
	if (read(held->pipe[0], page, SZ_4K) != (ssize_t)SZ_4K)
		dax_die("read of a pipe: %s", strerror(errno));
}

static unsigned long free_blocks(void)
{
	struct statvfs st;

	sync();
	if (statvfs(dax_dir(), &st))
		dax_die("statvfs: %s", strerror(errno));
	return st.f_bfree;
}

/* Blocks come back in the background, but come they do. */
static void wait_for_space(unsigned long blocks)
{
	while (free_blocks() < blocks)
		sched_yield();
}

/*
 * The blocks of a file that was deleted are not for others yet. When they are,
 * the other file gets all of them.
 */
TEST_F(dax, deleted)
{
	unsigned long before;
	char page[SZ_4K];
	struct held held;
	off_t len;
	int fd;

	NEED(dax_small_scratch());
	before = free_blocks();
	hold(&held, "held", 'h');
	EXPECT_MAPPED("2M", held.p);
	dax_unlink(held.fd);
	unmap_and_close(&held);
	sync();

	fd = dax_fill_up(0);
	len = lseek(fd, 0, SEEK_END);
	dax_fill(fd, 0, len, 'o');
	look(&held, page);
	EXPECT_BYTES('h', page, SZ_4K);

	dax_truncate(fd, 0);
	let_go(&held);
	wait_for_space(before - 64);
}

/*
 * With a change of its DAX flag a file that keeps its name is not kept in memory,
 * either. Who deletes it later would know of no page.
 */
static void change_flag(int fd, char sign)
{
	char path[PATH_MAX];

	dax_name(fd, path, sizeof(path));
	if (dax_sh("xfs_io -c 'chattr %cx' %s", sign, path))
		dax_die("cannot change the DAX flag of %s", path);
}

TEST_F(dax, flag_changed)
{
	char page[SZ_4K], path[PATH_MAX];
	unsigned long before;
	struct held held;
	int fd;

	NEED(dax_scratch(dax_is_xfs() ? 320 : 96, "", "dax=inode"));
	before = free_blocks();
	fd = dax_create("held");
	change_flag(fd, '+');
	close(fd);
	hold(&held, "held", 'h');
	ASSERT_MAPPED("2M", held.p);
	dax_name(held.fd, path, sizeof(path));
	change_flag(held.fd, '-');
	unmap_and_close(&held);
	EXPECT_EQ(0, unlink(path));
	sync();

	fd = dax_fill_up(0);
	dax_fill(fd, 0, lseek(fd, 0, SEEK_END), 'o');
	dax_fsync(fd);
	look(&held, page);
	EXPECT_BYTES('h', page, SZ_4K);
	dax_truncate(fd, 0);
	let_go(&held);
	wait_for_space(before - 64);
}

/* One page after the other comes free: the last one counts. */
TEST_F(dax, deleted_by_and_by)
{
	struct held held, later;
	unsigned long before;
	char page[SZ_4K];

	NEED(dax_small_scratch());
	before = free_blocks();
	hold(&held, "held", 'h');
	later = held;
	put_into_pipe(&later, SZ_2M - SZ_4K);
	dax_unlink(held.fd);
	unmap_and_close(&held);
	let_go(&held);
	EXPECT_GT(before - 64, free_blocks());
	look(&later, page);
	EXPECT_BYTES('h', page, SZ_4K);
	let_go(&later);
	wait_for_space(before - 64);
}

/* Many files, of which each waits for a page of its own. */
TEST_F(dax, deleted_many)
{
	char page[SZ_4K], name[16];
	unsigned int nr = 20;
	struct held held[20];
	unsigned long before;

	NEED(dax_small_scratch());
	before = free_blocks();
	for (unsigned int i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "held%u", i);
		hold(&held[i], name, 'a' + i);
		dax_unlink(held[i].fd);
		unmap_and_close(&held[i]);
	}
	EXPECT_GT(before, free_blocks() + nr * PAGES_2M - 64);
	for (unsigned int i = 0; i < nr; i++) {
		look(&held[i], page);
		EXPECT_BYTES('a' + i, page, SZ_4K);
		let_go(&held[i]);
	}
	wait_for_space(before - 64);
}

/*
 * Who exits closes its files in an order of the kernel's. Its own pipe may not
 * keep it: nobody could kill it.
 */
static int exit_with_pipe(void *arg)
{
	struct held held;

	hold(&held, "held", 'h');
	dax_unlink(held.fd);
	return 0;
}

TEST_F(dax, exit_with_own_pipe)
{
	unsigned long before;

	NEED(dax_small_scratch());
	before = free_blocks();
	EXPECT_EQ(0, dax_child(exit_with_pipe, NULL));
	wait_for_space(before - 64);
}

static bool in_memunmap_pages(pid_t pid)
{
	return !dax_stall_ended(pid) &&
		dax_stall_sleeps_in(pid, "memunmap_pages");
}

/* Who sleeps until others have seen that a device goes is awake after this. */
static void pass_grace_periods(void)
{
	for (int i = 0; i < 10; i++)
		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
			dax_die("membarrier: %s", strerror(errno));
}

/*
 * A device that is removed takes its page structures along. Who has a page of a
 * file that was deleted would put it into nowhere.
 */
TEST_F(dax, device_goes)
{
	struct dax_driver driver;
	char page[SZ_4K];
	struct held held;
	pid_t pid;

	/* A kernel that has the bug does not survive this. */
	if (!getenv("DAX_TEST_CRASH"))
		NEED_EVENT("dax_grab_entry");
	NEED(dax_scratch_driver(&driver));
	/* XFS in 6.12 counts on it that the device ends where it ends itself. */
	NEED(dax_scratch(driver.mib, "", "dax=always"));
	hold(&held, "held", 'h');
	dax_unlink(held.fd);
	unmap_and_close(&held);
	fflush(NULL);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		dax_unbind(&driver);
		_exit(0);
	}
	while (!dax_stall_ended(pid) && !in_memunmap_pages(pid))
		sched_yield();
	pass_grace_periods();
	ASSERT_TRUE(in_memunmap_pages(pid));
	look(&held, page);
	EXPECT_BYTES('h', page, SZ_4K);
	let_go(&held);
	EXPECT_EQ(0, dax_stall_join(pid));
	EXPECT_EQ(0, umount2(dax_dir(), 0));
	dax_bind(&driver);
}

/*
 * An unmount while two files have a page in a pipe each: one that has a name, and
 * one that was deleted.
 */
struct going {
	struct held named, deleted;
	char dir[PATH_MAX];
	pid_t pid;
};

static const char *begin_unmount(struct going *going)
{
	const char *why = dax_small_scratch();

	if (why)
		return why;
	snprintf(going->dir, sizeof(going->dir), "%s", dax_dir());
	hold(&going->named, "named", 'n');
	hold(&going->deleted, "deleted", 'd');
	dax_unlink(going->deleted.fd);
	unmap_and_close(&going->named);
	unmap_and_close(&going->deleted);
	fflush(NULL);
	going->pid = fork();
	if (going->pid < 0)
		dax_die("fork: %s", strerror(errno));
	if (!going->pid)
		_exit(umount2(going->dir, 0) ? errno : 0);
	return NULL;
}

/* The unmount has ended (its exit status), or is waiting for a page (-1). */
static int unmount_ended(struct going *going)
{
	int status;

	for (;;) {
		if (waitpid(going->pid, &status, WNOHANG) == going->pid)
			return status;
		/* Not dax_wait_evictions(), which ends without our doing. */
		if (dax_stall_sleeps_in(going->pid, "dax_wait_page_put") ||
		    dax_stall_sleeps_in(going->pid, "dax_wait_inode_idle") ||
		    dax_stall_sleeps_in(going->pid, "dax_wait_sb_idle"))
			return -1;
		sched_yield();
	}
}

static int unmount_ends(struct going *going)
{
	int status;

	if (waitpid(going->pid, &status, 0) != going->pid)
		dax_die("waitpid: %s", strerror(errno));
	return status;
}

static bool mounted(const char *dir)
{
	struct stat st, above;
	char path[PATH_MAX + 4];

	snprintf(path, sizeof(path), "%s/..", dir);
	if (stat(dir, &st) || stat(path, &above))
		dax_die("%s: %s", dir, strerror(errno));
	return st.st_dev != above.st_dev;
}

TEST_F(dax, unmount)
{
	struct going going;
	char page[SZ_4K];

	NEED(begin_unmount(&going));
	ASSERT_EQ(-1, unmount_ended(&going));
	look(&going.named, page);
	EXPECT_BYTES('n', page, SZ_4K);
	let_go(&going.named);
	ASSERT_EQ(-1, unmount_ended(&going));
	look(&going.deleted, page);
	EXPECT_BYTES('d', page, SZ_4K);
	let_go(&going.deleted);
	EXPECT_EQ(0, unmount_ends(&going));
	EXPECT_FALSE(mounted(going.dir));
}

/* It may be killed, so that it cannot wait for itself for good. */
TEST_F(dax, unmount_killed)
{
	struct going going;

	NEED(begin_unmount(&going));
	ASSERT_EQ(-1, unmount_ended(&going));
	kill(going.pid, SIGKILL);
	EXPECT_EQ(SIGKILL, unmount_ends(&going));
	EXPECT_FALSE(mounted(going.dir));
	let_go(&going.named);
	let_go(&going.deleted);
	EXPECT_EQ(0, dax_sh("mount -o dax=always %s %s", dax_scratch_device(),
			    going.dir));
}

/*
 * The unmount comes with the exit, and so does the close of the pipe, but maybe
 * later.
 */
static int exit_unmounts(void *arg)
{
	struct held held;

	if (unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		dax_die("a mount namespace: %s", strerror(errno));
	if (dax_small_scratch())
		return 1;
	hold(&held, "named", 'n');
	/* A file that is open would have the mount go with it, after the pipe. */
	unmap_and_close(&held);
	return 0;
}

TEST_F(dax, exit_unmounts_with_own_pipe)
{
	NEED(dax_scratch_device() ? NULL :
				    "needs a second device in DAX_SCRATCH");
	EXPECT_EQ(0, dax_child(exit_unmounts, NULL));
	/* It is gone: a mounted device is busy. */
	while (open(dax_scratch_device(), O_RDWR | O_EXCL) < 0)
		sched_yield();
}

/* Closes @fd when only the queue of a socket has it that only this queue has. */
static void close_in_queue(int fd)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = {}, byte = 0;
	struct iovec iov = { &byte, sizeof(byte) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		dax_die("socketpair: %s", strerror(errno));
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(cmsg), (int[]){ fd, pair[1] }, 2 * sizeof(int));
	if (sendmsg(pair[0], &msg, 0) != (ssize_t)sizeof(byte))
		dax_die("sendmsg: %s", strerror(errno));
	close(fd);
	close(pair[1]);
	/* A socket that goes has the others looked at. */
	close(pair[0]);
}

/*
 * A kworker collects such a queue and closes the file, which was the last one of a
 * mount: so a kworker unmounts, the one of all delayed unmounts. Nobody could kill
 * it, and the page is let go only after that.
 */
TEST_F(dax, unmounted_by_kworker)
{
	struct held held;

	NEED(dax_small_scratch());
	hold(&held, "named", 'n');
	dax_unmap(held.p, SZ_2M);
	ASSERT_EQ(0, umount2(dax_dir(), MNT_DETACH));
	ASSERT_GT(0, open(dax_scratch_device(), O_RDWR | O_EXCL));
	close_in_queue(held.fd);
	/* It is gone: a mounted device is busy. */
	while (open(dax_scratch_device(), O_RDWR | O_EXCL) < 0)
		sched_yield();
	let_go(&held);
}

static void drop_inodes(void)
{
	sync();
	if (dax_write_file("/proc/sys/vm/drop_caches", "2"))
		dax_die("cannot drop caches");
}

static int count_inodes(void)
{
	FILE *file = fopen("/proc/sys/fs/inode-nr", "r");
	int nr;

	if (!file || fscanf(file, "%d", &nr) != 1)
		dax_die("/proc/sys/fs/inode-nr: %s", strerror(errno));
	fclose(file);
	return nr;
}

/*
 * An inode with an entry stays, and is in nobody's way: those behind it are
 * reclaimed. One entry at the start of the file looks like what is left of a page
 * that was evicted.
 */
TEST_F(dax, one_entry_in_the_way)
{
	int fd = dax_file(SZ_4K, WRITTEN);
	char *p = dax_map(fd, 0, SZ_4K);
	char name[16];
	int nr;

	EXPECT_EQ(FILL, dax_peek(p));
	dax_unmap(p, SZ_4K);
	close(fd);
	drop_inodes();

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "other%d", i);
		close(dax_create(name));
	}
	nr = count_inodes();
	drop_inodes();
	EXPECT_GT(nr - 400, count_inodes());
}

TEST_HARNESS_MAIN
