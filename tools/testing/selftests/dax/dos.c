// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user with read access to one file can block: the user puts a page of
 * it into a pipe and sleeps. Only a call that frees this page's block may wait,
 * and it is interruptible. All others end while the pipe is still full: an
 * unmount, sync(2), calls on other files, the removal of the file itself. (R7)
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

struct dos {
	int fd, other, ready[2];
	pid_t user;
};

FIXTURE(dos) {
	struct dos dos;
};

FIXTURE_VARIANT(dos) {
	size_t shift;
};

FIXTURE_VARIANT_ADD(dos, 4k) { .shift = SZ_4K };
FIXTURE_VARIANT_ADD(dos, 2m) { .shift = 0 };

FIXTURE_SETUP(dos)
{
	DAX_SETUP();
}

/* The user is gone by then, whatever became of the test. */
FIXTURE_TEARDOWN(dos)
{
	struct dos *dos = &self->dos;

	if (dos->user > 0 && !kill(dos->user, SIGKILL))
		dax_wait(dos->user);
	dax_test_teardown();
}

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
		dax_exit_fail("fchmod: %s", strerror(errno));
	dax_name(fd, path, sizeof(path));
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (strcmp(path, "/tmp") && chmod(path, 0755))
			dax_exit_fail("chmod %s: %s", path, strerror(errno));
	}
}

static const char *begin(struct dos *dos, size_t shift)
{
	const char *why = dax_small_scratch();
	char path[PATH_MAX], c;

	if (why)
		return why;
	dos->fd = dax_file(2 * SZ_2M, WRITTEN);
	dos->other = dax_create("another");
	dax_fill(dos->other, 0, SZ_2M, FILL);
	dax_fsync(dos->other);
	let_read(dos->fd);
	dax_name(dos->fd, path, sizeof(path));
	if (pipe(dos->ready))
		dax_exit_fail("pipe: %s", strerror(errno));
	dos->user = dax_spawn(close(dos->fd) || close(dos->other) ?
			      errno : hold_page(path, shift, dos->ready[1]));
	close(dos->ready[1]);
	if (read(dos->ready[0], &c, 1) != 1)
		dax_exit_fail("the user has no page: %d", dax_wait(dos->user));
	return NULL;
}

/* --- calls that must not wait --------------------------------------------- */

static pid_t call(int (*fn)(struct dos *dos), struct dos *dos)
{
	return dax_spawn(fn(dos) ? errno : 0);
}

static bool still_held(struct dos *dos)
{
	return !dax_ended(dos->user);
}

static int do_sync(struct dos *dos)
{
	sync();
	return 0;
}

static int do_syncfs(struct dos *dos)
{
	return syncfs(dos->other);
}

static int do_fsync(struct dos *dos)
{
	return fsync(dos->fd);
}

static int do_unmount(struct dos *dos)
{
	return umount2(dax_dir(), 0);
}

static int cut_other(struct dos *dos)
{
	return pwrite(dos->other, "w", 1, 0) < 0 ||
		fallocate(dos->other, PUNCH_HOLE, 0, SZ_4K) ||
		ftruncate(dos->other, SZ_1M);
}

static int remove_other(struct dos *dos)
{
	dax_unlink(dos->other);
	return close(dos->other);
}

static int remove_file(struct dos *dos)
{
	dax_unlink(dos->fd);
	return 0;
}

static int write_file(struct dos *dos)
{
	return pwrite(dos->fd, "w", 1, AT_HELD) < 0;
}

/* Not in what may be one entry with the page. */
static int punch_elsewhere(struct dos *dos)
{
	return fallocate(dos->fd, PUNCH_HOLE, ELSEWHERE, SZ_4K);
}

/* An entry that loses a block goes as a whole. */
static int punch_beside(struct dos *dos)
{
	return fallocate(dos->fd, PUNCH_HOLE, AT_HELD - SZ_4K, SZ_4K) ||
		fallocate(dos->fd, PUNCH_HOLE, AT_HELD + SZ_4K, SZ_4K);
}

static int punch_it(struct dos *dos)
{
	return fallocate(dos->fd, PUNCH_HOLE, AT_HELD, SZ_4K);
}

static int truncate_it(struct dos *dos)
{
	return ftruncate(dos->fd, 0);
}

#define EXPECT_ENDS(fn)	do {						\
	EXPECT_EQ(0, dax_stall_ends(call(fn, dos)));			\
	EXPECT_TRUE(still_held(dos));					\
} while (0)

static void close_files(struct dos *dos)
{
	close(dos->fd);
	close(dos->other);
	close(dos->ready[0]);
}

TEST_F(dos, sync)
{
	struct dos *dos = &self->dos;

	NEED(begin(dos, variant->shift));
	EXPECT_ENDS(do_fsync);
	EXPECT_ENDS(do_syncfs);
	EXPECT_ENDS(do_sync);
}

TEST_F(dos, unmount)
{
	struct dos *dos = &self->dos;
	pid_t unmount;

	NEED(begin(dos, variant->shift));
	close_files(dos);
	unmount = call(do_unmount, dos);
	EXPECT_ENDS(do_sync);
	EXPECT_EQ(0, dax_stall_ends(unmount));
	EXPECT_TRUE(still_held(dos));
}

TEST_F(dos, other_files)
{
	struct dos *dos = &self->dos;
	unsigned long before;

	NEED(begin(dos, variant->shift));
	before = dax_free_blocks();
	EXPECT_ENDS(cut_other);
	EXPECT_ENDS(remove_other);
	close(dos->other);
	/* Their space comes back, too. */
	EXPECT_TRUE(dax_space_is_back(before + PAGES_2M - 64));
	EXPECT_TRUE(still_held(dos));
}

TEST_F(dos, same_file)
{
	struct dos *dos = &self->dos;
	char page[SZ_4K];

	NEED(begin(dos, variant->shift));
	EXPECT_ENDS(write_file);
	EXPECT_ENDS(punch_elsewhere);
	dax_read(dos->fd, AT_HELD + 1, page, SZ_4K - 1);
	EXPECT_BYTES(FILL, page, SZ_4K - 1);
	dax_read(dos->fd, ELSEWHERE, page, SZ_4K);
	EXPECT_BYTES(0, page, SZ_4K);
	if (variant->shift)
		EXPECT_ENDS(punch_beside);
}

/*
 * The file is deleted; neither its last close nor the unmount after it waits.
 */
static int close_file(struct dos *dos)
{
	close_files(dos);
	return 0;
}

TEST_F(dos, remove)
{
	struct dos *dos = &self->dos;

	NEED(begin(dos, variant->shift));
	EXPECT_ENDS(remove_file);
	close_file(dos);
	EXPECT_ENDS(do_sync);
	EXPECT_EQ(0, dax_stall_ends(call(do_unmount, dos)));
	EXPECT_TRUE(still_held(dos));
}

/* --- calls that wait, and signals that end them --------------------------- */

static void nothing(int sig)
{
}

static void waits_for_page(struct __test_metadata *_metadata,
			   struct dos *dos,
			   int (*cut)(struct dos *dos))
{
	struct sigaction action = { .sa_handler = nothing };
	char page[SZ_4K];
	pid_t pid;

	sigaction(SIGUSR1, &action, NULL);
	pid = call(cut, dos);
	EXPECT_TRUE(dax_stall_waits(pid));
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, dax_stall_ends(pid));
	dax_read(dos->fd, AT_HELD, page, SZ_4K);
	EXPECT_BYTES(FILL, page, SZ_4K);
	pid = call(cut, dos);
	EXPECT_TRUE(dax_stall_waits(pid));
	EXPECT_ENDS(do_sync);
	EXPECT_ENDS(cut_other);
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, dax_stall_ends(pid));

	pid = call(cut, dos);
	EXPECT_TRUE(dax_stall_waits(pid));
	kill(dos->user, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, dax_stall_ends(dos->user));
	dos->user = 0;
	EXPECT_EQ(0, dax_stall_ends(pid));
}

TEST_F(dos, punch)
{
	struct dos *dos = &self->dos;

	NEED(begin(dos, variant->shift));
	waits_for_page(_metadata, dos, punch_it);
}

TEST_F(dos, punch_beside_in_one_entry)
{
	struct dos *dos = &self->dos;

	if (variant->shift)
		SKIP(return, "each page has an entry of its own");
	NEED(begin(dos, variant->shift));
	waits_for_page(_metadata, dos, punch_beside);
}

TEST_F(dos, truncate)
{
	struct dos *dos = &self->dos;

	NEED(begin(dos, variant->shift));
	waits_for_page(_metadata, dos, truncate_it);
}

TEST_HARNESS_MAIN
