// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two threads on two CPUs that fault: ns of the emulated machine per fault, so
 * only the ratio of two kernels on the same host says something.
 *
 * The faults are those on entries that exist, the cheapest there are, where
 * locks weigh most; between rounds the mapping is dropped. The best of several
 * short runs is what counts.
 */
#include "bench.h"

#define NR_THREADS	2
#define ROUNDS_4K	4
#define ROUNDS_2M	500

struct work {
	char *map[NR_THREADS];
	size_t len, step;
	unsigned int rounds;
};

static void fault_all(unsigned int id, void *arg)
{
	const struct work *w = arg;

	for (unsigned int round = 0; round < w->rounds; round++) {
		for (size_t off = 0; off < w->len; off += w->step)
			dax_poke(w->map[id] + off, 8);
		dax_zap(w->map[id], w->len);
	}
}

struct syncer {
	int fd;
	volatile bool stop;
};

static void *sync_all_the_while(void *arg)
{
	struct syncer *syncer = arg;

	while (!syncer->stop) {
		dax_fsync(syncer->fd);
		usleep(1000);
	}
	return NULL;
}

static void play_threads(const char *what, const struct work *w, int sync_fd)
{
	struct syncer syncer = { .fd = sync_fd };
	unsigned long faults = NR_THREADS * w->rounds * (w->len / w->step);
	pthread_t thread;
	unsigned long t;

	for (int run = 0; run < 9; run++) {
		syncer.stop = false;
		if (sync_fd >= 0)
			thread = dax_thread(sync_all_the_while, &syncer);
		t = ticks();
		dax_run_threads(NR_THREADS, fault_all, (void *)w);
		t = ticks() - t;
		syncer.stop = true;
		if (sync_fd >= 0)
			dax_join(thread);
		report(what, "ns", (double)t / faults);
	}
}

static void play_size(const char *size, size_t shift, size_t step,
		      unsigned int rounds)
{
	size_t len = scaled(64), half = len / 2 & -SZ_2M;
	struct work w = { .len = half, .step = step, .rounds = rounds };
	int fd[NR_THREADS];
	char what[64];

	for (int i = 0; i < NR_THREADS; i++) {
		fd[i] = file_falloc(len);
		w.map[i] = map_file(fd[i], len, shift);
		touch_pages(w.map[i], len, true);
	}
	settle();
	snprintf(what, sizeof(what), "%s, two files", size);
	play_threads(what, &w, -1);
	snprintf(what, sizeof(what), "%s, two files, fsync", size);
	play_threads(what, &w, fd[0]);
	w.map[1] = w.map[0] + half;
	snprintf(what, sizeof(what), "%s, one file", size);
	play_threads(what, &w, -1);
	snprintf(what, sizeof(what), "%s, one file, fsync", size);
	play_threads(what, &w, fd[0]);
	w.map[1] = w.map[0];
	snprintf(what, sizeof(what), "%s, same pages", size);
	play_threads(what, &w, -1);
	for (int i = 0; i < NR_THREADS; i++)
		close(fd[i]);
}

void bench_threads(void)
{
	play_size("4K", SZ_4K, SZ_4K, ROUNDS_4K);
	play_size("2M", 0, SZ_2M, ROUNDS_2M);
}
