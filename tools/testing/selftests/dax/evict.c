// SPDX-License-Identifier: GPL-2.0-only
/*
 * A deleted file whose pages are still in use keeps its blocks until all of its
 * own pages are idle. Nothing else waits for that: no other file, no sync(2),
 * no freeze. An unmount waits for two seconds, logs it, and continues; it does
 * not wait at all for a file that has a name. The pages are in a pipe, by
 * vmsplice(): as with a device, munmap() and close() do not remove them, but no
 * timing depends on it.
 */
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>

#include "dax_harness.h"
#include "dax_stall.h"

/* The first page of a file of 2 MiB, written with @byte, in a new pipe. */
struct held {
	int fd, pipe[2];
	char *p;
};

static struct held hold(const char *name, int byte)
{
	struct held held = { .fd = dax_create(name) };

	dax_falloc(held.fd, 0, 0, SZ_2M);
	held.p = dax_map(held.fd, 0, SZ_2M);
	memset(held.p, byte, SZ_2M);
	dax_into_pipe(held.pipe, held.p);
	return held;
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

/* Check the data of the page. The pipe is gone afterwards. */
static void expect_held(struct held *held, int byte)
{
	EXPECT_PIPED(byte, held->pipe);
	let_go(held);
}

static unsigned long before;	/* free blocks */

static const char *small_fs(void)
{
	const char *why = dax_small_scratch();

	if (!why)
		before = dax_free_blocks();
	return why;
}

DAX_FIXTURE(evict, small_fs())

#define EXPECT_SPACE_BACK()	EXPECT_TRUE(dax_space_is_back(before - 64))

/* A file that is deleted, and of which a page is in use. */
static struct held delete_held(const char *name, int byte)
{
	struct held held = hold(name, byte);

	dax_unlink(held.fd);
	unmap_and_close(&held);
	return held;
}

/* Another file gets all blocks that are free, and only later those of the page. */
static void expect_kept(struct held *held, int byte)
{
	int fd = dax_fill_up(0);

	dax_fill(fd, 0, lseek(fd, 0, SEEK_END), 'o');
	expect_held(held, byte);
	dax_truncate(fd, 0);
	close(fd);
	EXPECT_SPACE_BACK();
}

TEST_F(evict, deleted)
{
	struct held held = hold("held", 'h');

	EXPECT_MAPPED("2M", held.p);
	dax_unlink(held.fd);
	unmap_and_close(&held);
	sync();
	expect_kept(&held, 'h');
}

/* One page after the other comes free: the last one counts. */
TEST_F(evict, deferred_eviction)
{
	struct held held = hold("held", 'h'), later = held;

	dax_into_pipe(later.pipe, later.p + SZ_2M - SZ_4K);
	dax_unlink(held.fd);
	unmap_and_close(&held);
	let_go(&held);
	EXPECT_GT(before - 64, dax_free_blocks());
	expect_held(&later, 'h');
	EXPECT_SPACE_BACK();
}

/* Many files, of which each waits for a page of its own. */
TEST_F(evict, deleted_many)
{
	struct held held[20];

	for (unsigned int i = 0; i < ARRAY_LEN(held); i++)
		held[i] = delete_held(dax_text("held%u", i), 'a' + i);
	EXPECT_GT(before, dax_free_blocks() + ARRAY_LEN(held) * PAGES_2M - 64);
	for (unsigned int i = 0; i < ARRAY_LEN(held); i++)
		expect_held(&held[i], 'a' + i);
	EXPECT_SPACE_BACK();
}

/* statfs(2) waits for the work item that checks a large deleted file. */
TEST_F(evict, space_back_at_once)
{
	int fd = dax_file(4 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 4 * SZ_2M);
	struct statfs st;

	NEED(dax_is_xfs() ? "XFS counts such blocks when it has freed them" : NULL);
	dax_touch_each(p, 4 * SZ_2M, SZ_2M, false);
	dax_unmap(p, 4 * SZ_2M);
	dax_remove(fd);
	ASSERT_EQ(0, statfs(dax_dir(), &st));
	EXPECT_LE(before - 64, st.f_bfree);
}

/*
 * At exit the kernel closes the files of a process in its own order. The
 * process must not wait for its own pipe: it could not be killed.
 */
static int exit_with_pipe(void)
{
	struct held held = hold("held", 'h');

	dax_unlink(held.fd);
	return 0;
}

TEST_F(evict, exit_with_own_pipe)
{
	EXPECT_EQ(0, dax_child(exit_with_pipe()));
	EXPECT_SPACE_BACK();
}

/*
 * Blocks that two files share keep neither of them: when one is deleted and
 * idle, its space is freed, although a page of the other is in use.
 */
#define BIG	(8 * SZ_2M)

DAX_FIXTURE(shared, dax_no_reflink() ?: small_fs())

static void shared_in_use(size_t shift)
{
	struct held other = { .fd = dax_create("other") };
	int fd = dax_file(BIG, WRITTEN);
	char *a;

	dax_share_page(fd, 0, other.fd);
	a = dax_mmap(fd, 0, BIG, PROT_READ, MAP_SHARED, shift);
	other.p = dax_map(other.fd, 0, SZ_4K);
	dax_touch_each(a, SZ_2M, SZ_4K, false);
	dax_peek(other.p);
	ASSERT_EQ(dax_pfn(a), dax_pfn(other.p));
	dax_into_pipe(other.pipe, other.p);
	dax_unlink(fd);
	dax_unmap(a, BIG);
	close(fd);
	EXPECT_SPACE_BACK();
	EXPECT_BYTES(FILL, other.p, SZ_4K);
	expect_held(&other, FILL);
}

TEST_F(shared, shared_in_use_small) DAX_CALL(shared_in_use(SZ_4K))
TEST_F(shared, shared_in_use_huge) DAX_CALL(shared_in_use(0))

/* The other page that is in use is its own: that one it waits for. */
TEST_F(shared, shared_and_own_in_use)
{
	struct held own = { .fd = dax_file(SZ_2M, WRITTEN) };
	struct held other = { .fd = dax_create("other") };

	dax_share_page(own.fd, 0, other.fd);
	own.p = dax_map(own.fd, 0, SZ_2M);
	other.p = dax_map(other.fd, 0, SZ_4K);
	dax_peek(own.p);
	dax_peek(other.p);
	dax_into_pipe(own.pipe, own.p + SZ_1M);
	dax_into_pipe(other.pipe, other.p);
	dax_unlink(own.fd);
	unmap_and_close(&own);
	EXPECT_GT(before - PAGES_2M + 64, dax_free_blocks());
	expect_held(&own, FILL);
	EXPECT_SPACE_BACK();
	expect_held(&other, FILL);
}

/* --- calls that do not wait ----------------------------------------------- */

/* A child that waits must not have copies of the pipes that the test closes. */
static bool without_pipes(void)
{
	return !close_range(STDERR_FILENO + 1, ~0U, 0);
}

static int remount(unsigned long flags)
{
	return mount("none", dax_dir(), NULL, MS_REMOUNT | flags, "dax=always");
}

#define SYNC()		dax_spawn_call((sync(), 0))
#define UNMOUNT() \
	dax_spawn_call(without_pipes() ? umount2(dax_dir(), 0) : -1)
#define REMOUNT(flags) \
	dax_spawn_call(without_pipes() ? remount(flags) : -1)

/* As long as it is mounted, only the file itself waits. */
TEST_F(evict, sync_beside_deleted)
{
	struct held held = delete_held("held", 'h');
	int dir = open(dax_dir(), O_RDONLY | O_DIRECTORY);

	EXPECT_EQ(0, dax_stall_ends(SYNC()));
	EXPECT_EQ(0, dax_stall_ends(dax_spawn_call(syncfs(dir))));
	EXPECT_EQ(0, dax_stall_ends(dax_spawn_call(ioctl(dir, FIFREEZE, 0) |
						   ioctl(dir, FITHAW, 0))));
	expect_held(&held, 'h');
}

/* The line of an unmount that did not wait for the end. */
static bool log_tells(void)
{
	return !system("dmesg | grep -qi 'unmounted while.*in use'");
}

static void clear_log(void)
{
	if (system("dmesg -C"))
		dax_exit_fail("dmesg -C fails");
}

static bool mounted(void)
{
	struct stat st, above;

	if (stat(dax_dir(), &st) || stat(dax_text("%s/..", dax_dir()), &above))
		dax_exit_fail("%s: %m", dax_dir());
	return st.st_dev != above.st_dev;
}

/* A file that has a name keeps its blocks while a page is in use. */
TEST_F(evict, unmount_named)
{
	struct held held = hold("named", 'n');

	unmap_and_close(&held);
	clear_log();
	EXPECT_EQ(0, dax_stall_ends(UNMOUNT()));
	EXPECT_FALSE(mounted());
	EXPECT_FALSE(log_tells());
	expect_held(&held, 'n');
}

static int check(void)
{
	return dax_sh(dax_is_xfs() ? "xfs_repair -n %s" : "e2fsck -fn %s",
		      dax_scratch_device());
}

/* The next mount frees the rest of the file. */
static void expect_freed_by_mount(void)
{
	if (dax_sh("mount -o dax=always %s %s", dax_scratch_device(),
		   dax_dir()))
		dax_exit_fail("cannot mount the scratch filesystem again");
	EXPECT_SPACE_BACK();
	ASSERT_EQ(0, umount2(dax_dir(), 0));
	EXPECT_EQ(0, check());
}

/* A deleted file delays the unmount only for a while, and the log says so. */
TEST_F(evict, unmount_deleted)
{
	struct held held = delete_held("held", 'h');
	pid_t unmount;

	clear_log();
	unmount = UNMOUNT();
	EXPECT_EQ(0, dax_stall_ends(SYNC()));
	EXPECT_EQ(0, dax_stall_ends(unmount));
	ASSERT_FALSE(mounted());
	EXPECT_TRUE(log_tells());
	expect_held(&held, 'h');
	expect_freed_by_mount();
}

static bool waits_for_pages(pid_t pid)
{
	return dax_wait_for(dax_ended(pid) || dax_sleeps_in(pid, "dax_defer")) &&
		!dax_ended(pid);
}

/* The page comes free while the unmount waits for it, long before the bound. */
TEST_F(evict, unmount_page_released)
{
	struct held held;
	pid_t unmount;

	NEED(dax_unmount_wait(60));
	held = delete_held("held", 'h');
	clear_log();
	unmount = UNMOUNT();
	EXPECT_TRUE(waits_for_pages(unmount));
	let_go(&held);
	EXPECT_EQ(0, dax_stall_ends(unmount));
	EXPECT_FALSE(mounted());
	EXPECT_FALSE(log_tells());
	expect_freed_by_mount();
}

static bool two_mounted;

/* The first filesystem is unmounted as that of each test is. */
void dax_cleanup(void)
{
	if (two_mounted)
		umount2(dax_dir(), MNT_DETACH);
}

/*
 * The parameter is the bound of each unmount that begins after it was set: one
 * without a wait ends while one with a long wait, which began before it, waits on.
 * The second filesystem is mounted over the first one, and unmounted first.
 */
TEST_F(evict, unmount_wait_bound)
{
	const char *other = getenv("DAX_REMOVABLE");
	struct held first, second;
	pid_t unmount;

	NEED(!other || !strcmp(other, dax_scratch_device()) ?
	     "needs a third device in DAX_REMOVABLE" : NULL);
	NEED(dax_unmount_wait(60));
	first = delete_held("first", '1');
	ASSERT_EQ(NULL, dax_scratch_plain(other, dax_is_xfs() ? 320 : 96, ""));
	two_mounted = true;
	second = delete_held("second", '2');

	unmount = UNMOUNT();
	EXPECT_TRUE(waits_for_pages(unmount));
	ASSERT_EQ(NULL, dax_unmount_wait(0));
	clear_log();
	EXPECT_EQ(0, dax_stall_ends(UNMOUNT()));
	EXPECT_FALSE(mounted());
	EXPECT_TRUE(log_tells());
	EXPECT_FALSE(dax_ended(unmount));

	expect_held(&first, '1');
	expect_held(&second, '2');
	EXPECT_EQ(0, dax_stall_ends(unmount));
	EXPECT_EQ(0, check());
}

/*
 * A filesystem that becomes read-only deletes its files like one that is unmounted.
 * When it is writable again, a deleted file waits again.
 */
TEST_F(evict, remount_ro_deleted)
{
	struct held held = delete_held("held", 'h'), later;

	clear_log();
	EXPECT_EQ(0, dax_stall_ends(REMOUNT(MS_RDONLY)));
	EXPECT_TRUE(log_tells());
	EXPECT_EQ(0, dax_stall_ends(REMOUNT(0)));
	EXPECT_SPACE_BACK();
	expect_held(&held, 'h');

	later = delete_held("later", 'l');
	expect_kept(&later, 'l');
}

/* Nothing is in use any more when it is unmounted: there is nothing to tell. */
TEST_F(evict, unmount_idle)
{
	struct held held = delete_held("held", 'h');

	let_go(&held);
	clear_log();
	EXPECT_EQ(0, dax_stall_ends(UNMOUNT()));
	EXPECT_FALSE(log_tells());
	EXPECT_EQ(0, check());
}

/*
 * The unmount comes with the exit, and so does the close of the pipe, but maybe
 * later.
 */
static int exit_unmounts(bool delete)
{
	struct held held;

	if (unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		dax_exit_fail("a mount namespace: %m");
	if (dax_small_scratch())
		return 1;
	held = hold("held", 'h');
	if (delete)
		dax_unlink(held.fd);
	/* A file that is open would have the mount go with it, after the pipe. */
	unmap_and_close(&held);
	return 0;
}

static bool device_is_free(void)
{
	/* A mounted device is busy. */
	return dax_wait_for(!close(open(dax_scratch_device(), O_RDWR | O_EXCL)));
}

TEST_F(dax, exit_unmounts_with_own_pipe)
{
	NEED(dax_no_scratch());
	for (int delete = 0; delete < 2; delete++) {
		EXPECT_EQ(0, dax_child(exit_unmounts(delete)));
		EXPECT_TRUE(device_is_free());
	}
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
		dax_exit_fail("socketpair: %m");
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(cmsg), (int[]){ fd, pair[1] }, 2 * sizeof(int));
	if (sendmsg(pair[0], &msg, 0) != (ssize_t)sizeof(byte))
		dax_exit_fail("sendmsg: %m");
	close(fd);
	close(pair[1]);
	/* A socket that goes has the others looked at. */
	close(pair[0]);
}

/*
 * A kworker collects such a queue and closes the last file of a mount: so a
 * kworker unmounts, the one for all delayed unmounts. It cannot be killed, and
 * the page is released only after that.
 */
static void unmounted_by_kworker(bool delete)
{
	struct held held = hold("held", 'h');

	if (delete)
		dax_unlink(held.fd);
	dax_unmap(held.p, SZ_2M);
	ASSERT_EQ(0, umount2(dax_dir(), MNT_DETACH));
	ASSERT_GT(0, open(dax_scratch_device(), O_RDWR | O_EXCL));
	close_in_queue(held.fd);
	EXPECT_TRUE(device_is_free());
	let_go(&held);
}

TEST_F(evict, unmounted_by_kworker) DAX_CALL(unmounted_by_kworker(false))
TEST_F(evict, deleted_and_unmounted_by_kworker)
	DAX_CALL(unmounted_by_kworker(true))

static void drop_inodes(void)
{
	sync();
	dax_must_write("/proc/sys/vm/drop_caches", "2");
}

static int count_inodes(void)
{
	FILE *file = fopen("/proc/sys/fs/inode-nr", "r");
	int nr;

	if (!file || fscanf(file, "%d", &nr) != 1)
		dax_exit_fail("/proc/sys/fs/inode-nr: %m");
	fclose(file);
	return nr;
}

/*
 * An inode with an entry stays cached, and does not stop the reclaim of others.
 * One entry at the start of the file looks like the shadow of an evicted page.
 */
TEST_F(dax, entry_does_not_stall_shrinker)
{
	int fd = dax_file(SZ_4K, WRITTEN);
	char *p = dax_map(fd, 0, SZ_4K);
	int nr;

	EXPECT_EQ(FILL, dax_peek(p));
	dax_unmap(p, SZ_4K);
	close(fd);
	drop_inodes();

	for (int i = 0; i < 500; i++)
		close(dax_create(dax_text("other%d", i)));
	nr = count_inodes();
	drop_inodes();
	EXPECT_GT(nr - 400, count_inodes());
}

TEST_HARNESS_MAIN
