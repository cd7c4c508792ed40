/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults that stop where they hold the lock of their entry, for as long as a
 * test likes.
 *
 * A file on a device-mapper device has so many extents that the filesystem
 * keeps them in a block of their own. After a fresh mount that block is not in
 * memory: the first fault has to read it, inside ->iomap_begin, and if the
 * device is suspended by then, waits until it is resumed. Others that need the
 * same block queue up behind it, each with its own entry locked.
 *
 * The faults are taken by processes of their own, which can be killed, and
 * have no lock of ours. For counts to be exact, dax_stall_run_on() makes them
 * run one after the other, by priority on one CPU.
 */
#ifndef DAX_STALL_H
#define DAX_STALL_H

#include "dax_test.h"

/*
 * Suspends the device. It is resumed when a test dies, or the unmount would
 * hang.
 */
static inline void dax_suspend(void)
{
	if (dax_sh("dmsetup suspend --nolockfs --noflush " DAX_SCRATCH_DM))
		dax_exit_fail("the device cannot be suspended");
}

static inline void dax_resume(void)
{
	if (dax_sh("dmsetup resume " DAX_SCRATCH_DM))
		dax_exit_fail("the device cannot be resumed");
}

/*
 * A linear target over the scratch device, without a filesystem if @mib is 0.
 */
static inline const char *dax_stall_device(unsigned int mib)
{
	return dax_scratch_dm(mib, dax_text("0 %u linear %s 0\n",
					    (mib ?: 16) * 2048,
					    dax_scratch_device() ?: ""));
}

/*
 * Drops the cached metadata of the filesystem. @fd: all files that are open,
 * and may not be mapped.
 */
static inline void dax_stall_remount(int *fd, unsigned int nr)
{
	char path[16][PATH_MAX];

	for (unsigned int i = 0; i < nr; i++) {
		dax_name(fd[i], path[i], sizeof(path[i]));
		close(fd[i]);
	}
	if (dax_sh("umount %s && mount -o dax=always /dev/mapper/%s %s",
		   dax_dir(), DAX_SCRATCH_DM, dax_dir()))
		dax_exit_fail("cannot mount the scratch filesystem again");
	for (unsigned int i = 0; i < nr; i++) {
		fd[i] = open(path[i], O_RDWR);
		if (fd[i] < 0)
			dax_exit_fail("%s: %m", path[i]);
	}
}

/*
 * A file whose first 2 MiB are one aligned extent, full of FILL, and whose
 * extents are not cached yet, in @fd. Returns NULL or the reason why not.
 */
static inline const char *dax_stall_file(int *fdp)
{
	const char *why = dax_stall_device(600);

	if (why)
		return why;
	*fdp = dax_file(3 * SZ_2M, WRITTEN);
	/* Each other page of the rest becomes a hole. */
	for (off_t off = SZ_2M; off < (off_t)(2 * SZ_2M); off += 2 * SZ_4K)
		dax_punch_hole(*fdp, off, SZ_4K);
	dax_fsync(*fdp);
	dax_stall_remount(fdp, 1);
	return NULL;
}

/* From now on this process runs on @cpu, before all of lower priority. */
static inline void dax_stall_run_on(int cpu, int priority)
{
	struct sched_param param = { .sched_priority = priority };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) ||
	    sched_setscheduler(0, SCHED_FIFO, &param))
		dax_exit_fail("no real time priority: %m");
}

static inline int dax_stall_do_touch(char *p, bool write, int priority)
{
	if (priority)
		dax_stall_run_on(0, priority);
	return dax_touch_signal(p, write, NULL);
}

/* A process that touches @p. It exits with 0, or with the signal it got. */
static inline pid_t dax_stall_touch(char *p, bool write, int priority)
{
	return dax_spawn(dax_stall_do_touch(p, write, priority));
}

/* The same as dax_wait(); or -1 if it does not end, and is killed then. */
static inline int dax_stall_ends(pid_t pid)
{
	if (dax_wait_for(dax_ended(pid)))
		return dax_wait(pid);
	dax_sh("cat /proc/%d/stack; kill -KILL %d; false", pid, pid);
	return -1;
}

static inline bool dax_stall_asleep(pid_t pid)
{
	char state = dax_state(pid);

	return state == 'S' || state == 'D';
}

/*
 * Waits until @pid has been asleep in 20 looks in a row; false if it ends
 * before that. It must not sleep for any other reason than the stall.
 */
static inline bool dax_stall_waits(pid_t pid)
{
	for (int i = 0, asleep = 0; i < DAX_STALL_SECONDS * 100; i++) {
		if (dax_ended(pid))
			return false;
		asleep = dax_stall_asleep(pid) ? asleep + 1 : 0;
		if (asleep == 20)
			return true;
		usleep(10000);
	}
	return false;
}

/* Waits until so many events with @pattern were seen. */
static inline void dax_stall_until(unsigned int nr, const char *event,
				   const char *pattern)
{
	if (dax_wait_for(dax_count(event, "%s", pattern) >= nr))
		return;
	dax_resume();
	dax_exit_fail("no %u events %s in %u seconds", nr, event,
		      DAX_STALL_SECONDS);
}

#endif
