// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user with read access to one file puts a page of it into a pipe and sleeps.
 * Which calls does that block? Only a call that frees this page's block may wait,
 * and it is interruptible. All others end while the pipe is still full: an
 * unmount, sync(2), calls on other files, the removal of the file itself.
 *
 * Each call is made by a process of its own, which must end without help.
 */
#include <linux/falloc.h>
#include <sys/mount.h>
#include <sys/uio.h>

#include "dax_harness.h"
#include "dax_stall.h"

#define NOBODY		65534
#define AT_HELD		(3 * SZ_4K)	/* the page that is in the pipe */
#define ELSEWHERE	(SZ_2M + SZ_1M)	/* one of another 2 MiB */

/* The page's file and another one, and the user that has the page. */
static int held_fd, other_fd;
static pid_t user;

/* --- the user ----------------------------------------------------------------- */

/* Nothing but the pipe is left of it: no descriptor of the file, no mapping. */
static int hold_page(const char *path, size_t shift, int ready)
{
	int fd, pipe_fd[2];
	struct iovec iov;
	char *p;

	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (open(path, O_RDWR) >= 0 || errno != EACCES)
		return 2;
	fd = open(path, O_RDONLY);
	if (fd < 0 || pipe(pipe_fd))
		return 3;
	p = dax_mmap(fd, 0, SZ_2M, PROT_READ, MAP_SHARED, shift);
	iov = (struct iovec){ p + AT_HELD, SZ_4K };
	if (vmsplice(pipe_fd[1], &iov, 1, 0) != (ssize_t)SZ_4K)
		return 4;
	dax_unmap(p, SZ_2M);
	close(fd);
	if (write(ready, "r", 1) != 1)
		return 5;
	for (;;)
		pause();
}

/* All on the way to the file may be searched. */
static void let_read(int fd)
{
	char path[PATH_MAX], *slash;

	if (fchmod(fd, 0644))
		dax_exit_fail("fchmod: %m");
	dax_name(fd, path, sizeof(path));
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (strcmp(path, "/tmp") && chmod(path, 0755))
			dax_exit_fail("chmod %s: %m", path);
	}
}

static const char *begin(size_t shift)
{
	const char *why = dax_small_scratch();
	char path[PATH_MAX], c;
	int ready[2];

	if (why)
		return why;
	held_fd = dax_file(2 * SZ_2M, WRITTEN);
	other_fd = dax_create("another");
	dax_fill(other_fd, 0, SZ_2M, FILL);
	dax_fsync(other_fd);
	let_read(held_fd);
	dax_name(held_fd, path, sizeof(path));
	if (pipe(ready))
		dax_exit_fail("pipe: %m");
	user = dax_spawn(close(held_fd) || close(other_fd) ?
			 errno : hold_page(path, shift, ready[1]));
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		dax_exit_fail("the user has no page: %d", dax_wait(user));
	close(ready[0]);
	return NULL;
}

/* The user is gone by then, whatever became of the test. */
void dax_cleanup(void)
{
	if (user > 0 && !kill(user, SIGKILL))
		dax_wait(user);
}

FIXTURE_VARIANT(dos) {
	size_t shift;
};

DAX_FIXTURE(dos, begin(variant->shift))

FIXTURE_VARIANT_ADD(dos, 4k) { .shift = SZ_4K };
FIXTURE_VARIANT_ADD(dos, 2m) { .shift = 0 };

/* --- the calls ----------------------------------------------------------------- */

static int punch(int fd, off_t off)
{
	return fallocate(fd, PUNCH_HOLE, off, SZ_4K);
}

static int punch_held(void)
{
	return punch(held_fd, AT_HELD);
}

/* An entry that loses a block goes as a whole. */
static int punch_beside(void)
{
	return punch(held_fd, AT_HELD - SZ_4K) ||
		punch(held_fd, AT_HELD + SZ_4K);
}

static int cut_held(void)
{
	return ftruncate(held_fd, 0);
}

static int cut_other(void)
{
	return pwrite(other_fd, "w", 1, 0) < 0 || punch(other_fd, 0) ||
		ftruncate(other_fd, SZ_1M);
}

#define SYNC_CALL	(sync(), 0)

#define EXPECT_STILL_HELD()	EXPECT_FALSE(dax_ended(user))

#define EXPECT_ENDS(call)	do {					\
	EXPECT_EQ(0, dax_stall_ends(dax_spawn_call(call)));		\
	EXPECT_STILL_HELD();						\
} while (0)

/* --- calls that must not wait --------------------------------------------- */

TEST_F(dos, sync)
{
	EXPECT_ENDS(fsync(held_fd));
	EXPECT_ENDS(syncfs(other_fd));
	EXPECT_ENDS(SYNC_CALL);
}

TEST_F(dos, unmount)
{
	pid_t unmount;

	close(held_fd);
	close(other_fd);
	unmount = dax_spawn_call(umount2(dax_dir(), 0));
	EXPECT_ENDS(SYNC_CALL);
	EXPECT_EQ(0, dax_stall_ends(unmount));
	EXPECT_STILL_HELD();
}

TEST_F(dos, same_and_other_files)
{
	unsigned long before = dax_free_blocks();

	EXPECT_ENDS(cut_other());
	EXPECT_ENDS((dax_remove(other_fd), 0));
	close(other_fd);
	/* Their space comes back, too. */
	EXPECT_TRUE(dax_space_is_back(before + PAGES_2M - 64));
	EXPECT_STILL_HELD();

	EXPECT_ENDS(pwrite(held_fd, "w", 1, AT_HELD) < 0);
	EXPECT_ENDS(punch(held_fd, ELSEWHERE));
	EXPECT_FILE(FILL, held_fd, AT_HELD + 1, SZ_4K - 1);
	EXPECT_FILE(0, held_fd, ELSEWHERE, SZ_4K);
	if (variant->shift)
		EXPECT_ENDS(punch_beside());
}

/* --- calls that wait, and signals that end them --------------------------- */

static pid_t start_waiting(int (*call)(void))
{
	pid_t pid = dax_spawn_call(call());

	EXPECT_TRUE(dax_stall_waits(pid));
	return pid;
}

static void waits_for_page(int (*call)(void))
{
	pid_t pid;

	dax_take_sigusr1(0);
	pid = start_waiting(call);
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, dax_stall_ends(pid));
	EXPECT_FILE(FILL, held_fd, AT_HELD, SZ_4K);

	pid = start_waiting(call);
	EXPECT_ENDS(SYNC_CALL);
	EXPECT_ENDS(cut_other());
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, dax_stall_ends(pid));

	pid = start_waiting(call);
	kill(user, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, dax_stall_ends(user));
	user = 0;
	EXPECT_EQ(0, dax_stall_ends(pid));
}

TEST_F(dos, punch) DAX_CALL(waits_for_page(punch_held))

/* Of small pages, each has an entry of its own. */
DAX_FIXTURE(huge, begin(0))

TEST_F(huge, punch_beside_in_one_entry) DAX_CALL(waits_for_page(punch_beside))
TEST_F(dos, truncate) DAX_CALL(waits_for_page(cut_held))

TEST_HARNESS_MAIN
