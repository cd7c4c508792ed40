// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals to tasks that wait.
 *
 * Truncate and punch wait until no device uses the blocks any more. A signal ends
 * the wait before anything has changed. No signal ends the wait of a fault for an
 * entry: a task that is killed there exits as soon as the lock is free, and other
 * waiters get their turn.
 *
 * The test suspends the device that uses the blocks, or that the filesystem waits
 * for with an entry locked, and resumes it later. So the order of events does not
 * depend on time.
 */
#include "dax_aio.h"
#include "dax_harness.h"
#include "dax_stall.h"

/* A test that fails leaves a suspended device, which cannot be unmounted. */
void dax_cleanup(void)
{
	if (access("/dev/mapper/" DAX_SCRATCH_DM, F_OK) == 0)
		dax_resume();
}

/* --- waits for a device ------------------------------------------------------ */

/* A device reads into a page of the file, and does not get on with it. */
static struct {
	int fd, source;
	char *p;
} pinned;

static const char *pin_page(void)
{
	const char *why = access("/proc/self/syscall", R_OK) ?
		"needs CONFIG_HAVE_ARCH_TRACEHOOK, /proc/self/syscall" :
		dax_stall_device(0);

	if (why)
		return why;
	pinned.source = open("/dev/mapper/" DAX_SCRATCH_DM,
			     O_RDONLY | O_DIRECT);
	if (pinned.source < 0)
		dax_exit_fail("the source device: %m");
	pinned.fd = dax_file(SZ_2M, WRITTEN);
	pinned.p = dax_map(pinned.fd, 0, SZ_2M);
	dax_poke(pinned.p, FILL);
	dax_suspend();
	dax_aio_read(pinned.source, pinned.p + 7 * SZ_4K);
	return NULL;
}

static void let_go(void)
{
	EXPECT_EQ(0, dax_aio_completed(0));
	dax_resume();
	EXPECT_EQ(1, dax_aio_completed(1));
	dax_aio_end(1);
}

/* Its page is the device's; the others are what they were. */
static void expect_untouched(void)
{
	EXPECT_EQ(SZ_2M, lseek(pinned.fd, 0, SEEK_END));
	EXPECT_BYTES(FILL, pinned.p, 7 * SZ_4K);
	EXPECT_BYTES(FILL, pinned.p + 8 * SZ_4K, SZ_2M - 8 * SZ_4K);
	dax_poke(pinned.p + SZ_1M, FILL);
	dax_fsync(pinned.fd);
}

/* By the system call @nr. */
static int cut(long nr, int fd)
{
	return nr == __NR_ftruncate ? ftruncate(fd, 0) :
				      fallocate(fd, PUNCH_HOLE, 0, SZ_2M);
}

/* In a system call, and asleep so that a signal can wake it. */
static bool wait_for_wait(pid_t pid, long nr)
{
	return dax_wait_for(dax_state(pid) == 'S' && dax_syscall(pid) == nr);
}

DAX_FIXTURE(interrupt, pin_page())
/* The system call that cuts, by number, the signal, and how the call ends. */
DAX_VARIANTS(signalled, pin_page(), long nr; int sig, want;)

FIXTURE_VARIANT_ADD(signalled, truncate) { __NR_ftruncate, SIGUSR1, EINTR };
FIXTURE_VARIANT_ADD(signalled, truncate_killed)
	{ __NR_ftruncate, SIGKILL, 128 + SIGKILL };
FIXTURE_VARIANT_ADD(signalled, punch) { __NR_fallocate, SIGUSR1, EINTR };
FIXTURE_VARIANT_ADD(signalled, punch_killed)
	{ __NR_fallocate, SIGKILL, 128 + SIGKILL };

/* The signal comes while the device has the page. */
TEST_F(signalled, signal_ends_cut)
{
	pid_t pid;

	dax_take_sigusr1(0);
	pid = dax_spawn_call(cut(variant->nr, pinned.fd));
	EXPECT_TRUE(wait_for_wait(pid, variant->nr));
	kill(pid, variant->sig);
	EXPECT_EQ(variant->want, dax_wait(pid));
	expect_untouched();
	let_go();
	expect_untouched();
	/* With the page free, it is done. */
	EXPECT_EQ(0, cut(variant->nr, pinned.fd));
}

/* A handler with SA_RESTART: the cut waits again, and succeeds in the end. */
TEST_F(interrupt, truncate_restarts)
{
	pid_t pid;

	dax_take_sigusr1(SA_RESTART);
	pid = dax_spawn_call(cut(__NR_ftruncate, pinned.fd));
	EXPECT_TRUE(wait_for_wait(pid, __NR_ftruncate));
	kill(pid, SIGUSR1);
	usleep(100000);
	EXPECT_TRUE(wait_for_wait(pid, __NR_ftruncate));
	EXPECT_FALSE(dax_ended(pid));
	EXPECT_EQ(SZ_2M, lseek(pinned.fd, 0, SEEK_END));
	let_go();
	EXPECT_EQ(0, dax_wait(pid));
	EXPECT_EQ(0, lseek(pinned.fd, 0, SEEK_END));
}

/* --- waits for an entry ------------------------------------------------------- */

/*
 * Three processes want the page that a fourth has locked. One is killed in the
 * queue: the two others are served.
 */
static int fd;

DAX_VARIANTS(killed, dax_no_event("dax_wait_entry") ?:
	     dax_stall_file(&fd), size_t shift; const char *mapped;)
DAX_FIXTURE(promotion, dax_no_promotion() ?: dax_stall_file(&fd))

FIXTURE_VARIANT_ADD(killed, at_small_entry) { SZ_4K, "4K" };
FIXTURE_VARIANT_ADD(killed, at_huge_entry) { 0, "2M" };

TEST_F(killed, killed_in_queue)
{
	pid_t holder, killed, others[2];
	char *p = dax_map_shift(fd, SZ_2M, variant->shift);

	dax_trace(fd, NULL);
	dax_suspend();
	holder = dax_stall_touch(p + SZ_4K, false, 0);
	dax_stall_until(1, "dax_grab_entry", "action insert");
	killed = dax_stall_touch(p + SZ_4K, false, 0);
	dax_stall_until(1, "dax_wait_entry", "");
	for (int i = 0; i < 2; i++) {
		others[i] = dax_stall_touch(p + SZ_4K, false, 0);
		dax_stall_until(2u + i, "dax_wait_entry", "");
	}
	kill(killed, SIGKILL);
	kill(holder, SIGKILL);
	/* Neither the waiter nor the holder can be killed. */
	usleep(200000);
	EXPECT_FALSE(dax_ended(killed));
	EXPECT_FALSE(dax_ended(holder));
	dax_resume();
	EXPECT_EQ(128 + SIGKILL, dax_wait(killed));
	EXPECT_EQ(128 + SIGKILL, dax_wait(holder));
	EXPECT_EQ(0, dax_wait(others[0]));
	EXPECT_EQ(0, dax_wait(others[1]));
	EXPECT_BYTES(FILL, p, SZ_2M);
	EXPECT_MAPPED(variant->mapped, p + SZ_4K);
	dax_poke(p + SZ_4K, 'w');
	dax_fsync(fd);
	dax_truncate(fd, 0);
}

/* A promotion waits for a small entry, and is killed: nothing is half done. */
TEST_F(promotion, killed_in_promotion)
{
	char *small = dax_map_small(fd, SZ_2M), *p = dax_map(fd, 0, SZ_2M);
	pid_t holder, killed;

	dax_trace(fd, NULL);
	dax_suspend();
	holder = dax_stall_touch(small + 5 * SZ_4K, false, 0);
	dax_stall_until(1, "dax_grab_entry", "order 0, action insert");
	killed = dax_stall_touch(p + SZ_1M, false, 0);
	dax_stall_until(1, "dax_wait_entry", "");
	EXPECT_EQ(1, PROMOTE("try"));
	kill(killed, SIGKILL);
	usleep(200000);
	EXPECT_FALSE(dax_ended(killed));
	dax_resume();
	EXPECT_EQ(0, dax_wait(holder));
	EXPECT_EQ(128 + SIGKILL, dax_wait(killed));
	EXPECT_EQ(PROMOTE("replace"), PROMOTE("done") + PROMOTE("rollback"));
	dax_poke(p, 'w');
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_BYTES(FILL, p + 1, SZ_2M - 1);
	dax_truncate(fd, 0);
}

TEST_HARNESS_MAIN
