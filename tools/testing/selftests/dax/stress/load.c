// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: a round of many workers, threads of processes, on the same files.
 * Each chooses and runs its own operations; model.c tells what it holds
 * meanwhile. When all have ended, and nothing changes any more, each compares
 * what it has mapped, and last of all the files are compared.
 *
 * The round runs in a process of its own, like that of one stream, and the
 * workers are its children. The first report is that of the round: its steps
 * are those of all workers, so that a hang of all of them is seen.
 */
#include "stress.h"

struct crowd {
	const struct target *target;
	struct file *files;
	struct report *report;		/* of the round */
	struct ops_weights weights;
	uint64_t seed;
	unsigned int round, steps;	/* of each worker */
	struct {			/* in shared memory */
		pthread_barrier_t end;
		struct report report[STRESS_WORKERS];
	} *shared;
};

struct worker {
	struct crowd *crowd;
	struct model *md;
};

/* The mappings that all threads of a process use: two of each file. */
static void map_common(struct model *md, struct map *common)
{
	unsigned int nr = 2 * md->profile->files;

	for (unsigned int i = 0; i < nr; i++) {
		struct map *m = &common[i];

		m->file = &md->file[i / 2];
		m->len = md->len;
		m->kind = MAP_KIND_SHARED;
		m->shift = md->profile->huge ? 0 : i % 2 * SZ_4K;
		m->addr = dax_map_shift(m->file->fd, m->len, m->shift);
		m->used = true;
		memset(m->page, PAGE_MAPPED | PAGE_WRITE, sizeof(m->page));
	}
}

static void work(unsigned int thread, void *arg)
{
	const struct worker *w = (struct worker *)arg + thread;
	const struct crowd *crowd = w->crowd;
	struct model *md = w->md;
	struct op op;

	model_enter(md);
	for (unsigned int i = 0; i < crowd->steps; i++) {
		ops_choose(&op, &md->weights, crowd->seed * 1000003 + md->id,
			   (uint64_t)crowd->round * ROUND_STEPS + i);
		md->report->step = i;
		ops_run(md, &op);
		__atomic_add_fetch(&crowd->report->step, 1, __ATOMIC_RELAXED);
	}
	pthread_barrier_wait(&crowd->shared->end);
	maps_compare(md, false);
}

/* One of the processes, from its start to its end. */
static int run_process(struct crowd *crowd, unsigned int nr)
{
	unsigned int threads = crowd->target->profile->threads;
	struct worker worker[STRESS_WORKERS];
	struct map common[STRESS_MAPS] = {};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned int i = 0; i < threads; i++) {
		unsigned int id = nr * threads + i;
		struct model *md = model_new(crowd->target, crowd->files,
					     &crowd->shared->report[id], id);

		if (!i)
			map_common(md, common);
		md->weights = crowd->weights;
		md->common = 2 * md->profile->files;
		memcpy(md->map, common, md->common * sizeof(*common));
		worker[i] = (struct worker){ crowd, md };
	}
	if (threads == 1)
		work(0, worker);
	else
		dax_run_threads(threads, work, worker);
	return ROUND_CLEAN;
}

/* The text of a worker, with its number. */
static void report_worker(struct crowd *crowd)
{
	for (unsigned int id = 0; id < STRESS_WORKERS; id++) {
		const struct report *r = &crowd->shared->report[id];

		if (!r->text[0])
			continue;
		snprintf(crowd->report->text, sizeof(crowd->report->text),
			 "worker %u step %u: %s: %.300s", id, r->step,
			 ops_name(r->kind), r->text);
		return;
	}
}

/* A worker that is gone may hold locks: the others would wait for ever. */
static void wait_for(struct crowd *crowd, const pid_t *pid, unsigned int nr)
{
	int status;

	for (unsigned int left = nr; left; left--) {
		if (wait(&status) < 0)
			dax_exit_fail("wait: %m");
		if (!status)
			continue;
		for (unsigned int i = 0; i < nr; i++)
			kill(pid[i], SIGKILL);
		report_worker(crowd);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
			_exit(ROUND_NOT_RUN);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : ROUND_CRASHED);
	}
}

static int run_crowd(struct crowd *crowd)
{
	const struct profile *profile = crowd->target->profile;
	unsigned int workers = profile_workers(profile);
	pid_t pid[STRESS_WORKERS];
	pthread_barrierattr_t attr;

	crowd->shared = dax_shared(sizeof(*crowd->shared));
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&crowd->shared->end, &attr, workers);
	ops_weigh(&crowd->weights, crowd->target);
	crowd->files = files_new(crowd->target);
	for (unsigned int i = 0; i < profile->processes; i++)
		pid[i] = dax_spawn(run_process(crowd, i));
	wait_for(crowd, pid, profile->processes);
	for (unsigned int id = 0; id < workers; id++)
		report_add(crowd->report, &crowd->shared->report[id]);
	files_compare(model_new(crowd->target, crowd->files, crowd->report, 0));
	return ROUND_CLEAN;
}

enum verdict load_run(const struct target *target, uint64_t seed,
		      unsigned int round, unsigned int steps,
		      struct report *report)
{
	struct crowd crowd = {
		.target = target, .report = report, .seed = seed,
		.round = round, .steps = steps,
	};
	enum verdict verdict;

	memset(report, 0, sizeof(*report));
	verdict = round_wait(dax_spawn(run_crowd(&crowd)), report);
	target_restore(target);
	return verdict;
}
