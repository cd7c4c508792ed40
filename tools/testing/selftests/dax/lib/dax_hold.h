/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stop a task at a trace event, until the test lets it continue.
 *
 * The task shares a CPU with a holder, a process of higher priority. The event
 * wakes the holder, which keeps the CPU until the test releases it. The task
 * must be preemptible where it emits the event.
 */
#ifndef DAX_HOLD_H
#define DAX_HOLD_H

#include "dax_stall.h"

/* A name that run_dax_tests.sh removes, and that is not used elsewhere. */
#define DAX_HOLD	"/sys/kernel/tracing/instances/dax-0"
#define DAX_HOLD_CPU	0
#define DAX_OTHERS_CPU	1

struct dax_hold {
	const char *event;	/* or a folder of them */
	const char *too_late;	/* an event that means: not stopped; or NULL */
	int pipe;
	pid_t holder;
	volatile bool ready, held, go_on;
};

static inline const char *dax_no_hold(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) < 2 ? "needs two CPUs" : NULL;
}

static inline int dax_hold_run(struct dax_hold *hold)
{
	char text[SZ_4K];
	ssize_t n;

	/* Nothing else would end it if the test dies. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dax_stall_run_on(DAX_HOLD_CPU, 2);
	hold->ready = true;
	n = read(hold->pipe, text, sizeof(text) - 1);
	if (n <= 0)
		return 1;
	text[n] = '\0';
	if (hold->too_late && strstr(text, hold->too_late))
		return 2;
	hold->held = true;
	while (!hold->go_on)
		;
	return 0;
}

/* From here on, the test and its other processes run on another CPU. */
static inline struct dax_hold *dax_hold_start(const char *event,
					      const char *too_late)
{
	struct dax_hold *hold = dax_shared(sizeof(*hold));
	cpu_set_t set;

	hold->event = event;
	hold->too_late = too_late;
	if (mkdir(DAX_HOLD, 0700) && errno != EEXIST)
		dax_exit_fail(DAX_HOLD ": %m");
	hold->pipe = open(DAX_HOLD "/trace_pipe", O_RDONLY);
	if (hold->pipe < 0)
		dax_exit_fail(DAX_HOLD "/trace_pipe: %m");
	CPU_ZERO(&set);
	CPU_SET(DAX_OTHERS_CPU, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		dax_exit_fail("sched_setaffinity: %m");
	hold->holder = dax_spawn(dax_hold_run(hold));
	while (!hold->ready && !dax_ended(hold->holder))
		usleep(1000);
	return hold;
}

static inline int dax_hold_write(const char *event, const char *file,
				 const char *text)
{
	return dax_write_file(dax_text(DAX_HOLD "/events/%s/%s", event, file),
			      "%s", text);
}

/* The task calls this. Its next event stops it. */
static inline bool dax_hold_me(const struct dax_hold *hold)
{
	dax_stall_run_on(DAX_HOLD_CPU, 1);
	return !dax_hold_write(hold->event, "filter",
			       dax_text("common_pid == %d", getpid())) &&
	       !dax_hold_write(hold->event, "enable", "1");
}

/* A process whose next event stops it, in @call. */
#define dax_spawn_held(hold, call) \
	dax_spawn(dax_hold_me(hold) ? (call) : 1)

/* Wait until the task is stopped, or has ended. Returns true if stopped. */
static inline bool dax_held(const struct dax_hold *hold, pid_t pid)
{
	while (!hold->held && !dax_ended(pid))
		usleep(1000);
	return hold->held && !dax_ended(pid);
}

/* The task goes on, and ends. Returns what dax_stall_ends() does. */
static inline int dax_hold_end(struct dax_hold *hold, pid_t pid)
{
	int ret;

	hold->go_on = true;
	ret = dax_stall_ends(pid);
	/* Without an event, the holder still waits. */
	kill(hold->holder, SIGKILL);
	dax_wait(hold->holder);
	close(hold->pipe);
	dax_hold_write(hold->event, "enable", "0");
	rmdir(DAX_HOLD);
	return ret;
}

#endif
