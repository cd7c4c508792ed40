// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every way to release a page wakes every waiter for it. Before blocks are
 * freed, their pages must be idle. Some users of a page wake the waiter on
 * release; others, such as a futex call and access to another process's memory,
 * do not: the wait must not depend on it.
 *
 * Each way to use a page is tested against each way to wait for it: one thread
 * takes and releases the page in a loop, another frees its block and allocates
 * a new one, for a number of rounds. A process that makes no progress in a
 * round is killed.
 */
#include <linux/futex.h>

#include "dax_exchange.h"
#include "dax_harness.h"
#include "dax_stall.h"

#define FILE_LEN	(4 * SZ_4K)

/* How long a round may take: hundreds of times what a slow machine takes. */
#define ROUND_SECONDS	20

#define WAKER	FIXTURE_VARIANT(waker)

/* Shared with the process that is watched. */
struct job {
	volatile unsigned int round, uses;
	volatile bool stop;
	unsigned int rounds;
	int fd, source, device, memory, pipe[2], copy[2];
	char *p;
	char *buf;
	const WAKER *waker;
};

/* --- users of the page ---------------------------------------------------- */

static bool wake_futex(struct job *job)
{
	return syscall(SYS_futex, job->p, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0;
}

static bool read_memory(struct job *job)
{
	return pread(job->memory, job->buf, 8, (uintptr_t)job->p) == 8;
}

static bool write_memory(struct job *job)
{
	return pwrite(job->memory, job->buf, 1, (uintptr_t)job->p + 8) == 1;
}

static bool read_process(struct job *job)
{
	struct iovec here = { job->buf, 8 }, there = { job->p, 8 };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 8;
}

static bool direct_write(struct job *job)
{
	return pwrite(job->device, job->p, SZ_4K, 0) == (ssize_t)SZ_4K;
}

static bool direct_read(struct job *job)
{
	return pread(job->device, job->p, SZ_4K, 0) == (ssize_t)SZ_4K;
}

static bool into_pipe(struct job *job, const int *pipe)
{
	struct iovec iov = { job->p, SZ_4K };

	return vmsplice(pipe[1], &iov, 1, SPLICE_F_NONBLOCK) > 0;
}

static bool pipe_and_read(struct job *job)
{
	return into_pipe(job, job->pipe) &&
		read(job->pipe[0], job->buf, SZ_4K) > 0;
}

/* The page is in two pipes, and the one is emptied after the other. */
static bool pipe_and_tee(struct job *job)
{
	ssize_t n;

	if (!into_pipe(job, job->pipe))
		return false;
	n = tee(job->pipe[0], job->copy[1], SZ_4K, SPLICE_F_NONBLOCK);
	return read(job->pipe[0], job->buf, SZ_4K) > 0 && n > 0 &&
		read(job->copy[0], job->buf, SZ_4K) > 0;
}

/* Closing a pipe releases its pages. */
static bool pipe_and_close(struct job *job)
{
	bool used;
	int fd[2];

	if (pipe(fd))
		return false;
	used = into_pipe(job, fd);
	close(fd[0]);
	close(fd[1]);
	return used;
}

/* More rounds for those that do not wake; some want a second device. */
DAX_VARIANTS(waker,
	     NULL, bool (*use)(struct job *job); unsigned int rounds; bool device;)

FIXTURE_VARIANT_ADD(waker, futex) { wake_futex, 300 };
FIXTURE_VARIANT_ADD(waker, memory_read) { read_memory, 300 };
FIXTURE_VARIANT_ADD(waker, memory_write) { write_memory, 300 };
FIXTURE_VARIANT_ADD(waker, process_vm) { read_process, 100 };
FIXTURE_VARIANT_ADD(waker, direct_write) { direct_write, 100, .device = true };
FIXTURE_VARIANT_ADD(waker, direct_read) { direct_read, 100, .device = true };
FIXTURE_VARIANT_ADD(waker, pipe_read) { pipe_and_read, 100 };
FIXTURE_VARIANT_ADD(waker, pipe_tee) { pipe_and_tee, 100 };
FIXTURE_VARIANT_ADD(waker, pipe_close) { pipe_and_close, 100 };

/* --- waiters for the page ------------------------------------------------- */

static bool refill(struct job *job)
{
	char c = 'a' + job->round % 26, seen = 0;

	if (pwrite(job->fd, &c, 1, 16) != 1 || pread(job->fd, &seen, 1, 16) != 1)
		return false;
	/* The device may have stored to the new block by then. */
	return seen == c || job->waker->use == direct_read;
}

static bool by_truncate(struct job *job)
{
	return !ftruncate(job->fd, 0) && !ftruncate(job->fd, FILE_LEN) &&
		refill(job);
}

static bool by_punch(struct job *job)
{
	return !fallocate(job->fd, PUNCH_HOLE, 0, SZ_4K) && refill(job);
}

static bool by_zero_range(struct job *job)
{
	return !fallocate(job->fd, FALLOC_FL_ZERO_RANGE, 0, SZ_4K) &&
		refill(job);
}

static bool by_collapse(struct job *job)
{
	return !fallocate(job->fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K) &&
		!ftruncate(job->fd, FILE_LEN) && refill(job);
}

static bool by_insert(struct job *job)
{
	return !fallocate(job->fd, FALLOC_FL_INSERT_RANGE, 0, SZ_4K) &&
		!ftruncate(job->fd, FILE_LEN) && refill(job);
}

static bool by_remap(struct job *job)
{
	dax_share_page(job->source, 0, job->fd);
	return refill(job);
}

static bool by_unshare(struct job *job)
{
	dax_share_page(job->source, 0, job->fd);
	return !fallocate(job->fd, FALLOC_FL_UNSHARE_RANGE, 0, SZ_4K) &&
		refill(job);
}

/*
 * The store gives the file a copy of the page. Only the other file has the page
 * after that, and no entry for it, so the punch looks at the memory of its blocks.
 */
static bool by_punch_of_left(struct job *job)
{
	dax_share_page(job->fd, 0, job->source);
	return refill(job) && !fallocate(job->source, PUNCH_HOLE, 0, SZ_4K);
}

/* XFS refuses it if the file has changed since it was described. */
static bool by_swap(struct job *job)
{
	int err;

	if (!dax_is_xfs())
		return !ioctl(job->fd, DAX_SWAP_BOOT) &&
			!ftruncate(job->fd, FILE_LEN) && refill(job);
	do
		err = dax_xfs_swap_all(job->fd, job->source, FILE_LEN);
	while (err && errno == EBUSY);
	return !err && refill(job);
}

/* --- both --------------------------------------------------------------------- */

static void *use_on(void *arg)
{
	struct job *job = arg;

	while (!job->stop)
		job->uses += job->waker->use(job);
	return NULL;
}

static int open_for_waker(struct job *job)
{
	job->memory = open("/proc/self/mem", O_RDWR);
	if (job->memory < 0 || pipe(job->pipe) || pipe(job->copy) ||
	    posix_memalign((void **)&job->buf, SZ_4K, SZ_4K))
		return 1;
	if (!job->waker->device)
		return 0;
	job->device = open(dax_scratch_device(), O_RDWR | O_DIRECT);
	return job->device < 0;
}

static int run_job(struct job *job, bool (*wait)(struct job *job))
{
	pthread_t thread;

	if (open_for_waker(job))
		return 1;
	thread = dax_thread(use_on, job);
	for (; job->round < job->rounds; job->round++)
		if (!wait(job))
			return 2;
	/* On a fast machine, wait until the other thread has run. */
	while (!job->uses)
		sched_yield();
	job->stop = true;
	dax_join(thread);
	return 0;
}

#define STANDS_STILL	(-1)

static int watch(struct job *job, pid_t pid)
{
	unsigned int seen = 0, still = 0;

	while (!dax_ended(pid)) {
		usleep(10000);
		still = job->round == seen ? still + 1 : 0;
		seen = job->round;
		if (still > ROUND_SECONDS * 100) {
			dax_sh("cat /proc/%d/stack; false", pid);
			kill(pid, SIGKILL);
			dax_wait(pid);
			return STANDS_STILL;
		}
	}
	return dax_wait(pid);
}

static void against(const WAKER *waker, bool (*wait)(struct job *job),
		    unsigned int rounds)
{
	struct job *job;
	pid_t pid;

	NEED(waker->device ? dax_no_scratch() : NULL);
	job = dax_shared(sizeof(*job));
	job->waker = waker;
	job->rounds = dax_scale(rounds);
	job->fd = dax_create("file");
	job->source = dax_create("source");
	dax_fill(job->fd, 0, FILE_LEN, FILL);
	dax_fill(job->source, 0, FILE_LEN, FILL);
	dax_fsync(job->fd);
	job->p = dax_map(job->fd, 0, FILE_LEN);
	pid = dax_spawn(run_job(job, wait));
	EXPECT_EQ(0, watch(job, pid))
		TH_LOG("round %u of %u", job->round, job->rounds);
	EXPECT_LT(0, job->uses);
}

TEST_F(waker, truncate) DAX_CALL(against(variant, by_truncate, variant->rounds))
TEST_F(waker, punch) DAX_CALL(against(variant, by_punch, variant->rounds))
TEST_F(waker, zero_range)
	DAX_CALL(against(variant, by_zero_range, variant->rounds))
TEST_F(waker, collapse) DAX_CALL(against(variant, by_collapse, variant->rounds))

static void against_on_xfs(const WAKER *waker, bool (*wait)(struct job *job),
			   unsigned int rounds)
{
	NEED_XFS();
	against(waker, wait, rounds);
}

TEST_F(waker, remap)
	DAX_CALL(against_on_xfs(variant, by_remap, variant->rounds))

/* These wait in the same way, or only poll: fewer rounds do. */
#define FEWER	(variant->rounds / 5)

TEST_F(waker, insert) DAX_CALL(against(variant, by_insert, FEWER))
TEST_F(waker, swap) DAX_CALL(against(variant, by_swap, FEWER))
TEST_F(waker, unshare) DAX_CALL(against_on_xfs(variant, by_unshare, FEWER))
TEST_F(waker, left_page)
	DAX_CALL(against_on_xfs(variant, by_punch_of_left, FEWER))

TEST_HARNESS_MAIN
