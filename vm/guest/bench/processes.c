// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables of 1, 8 and 64 processes that map the same 16 MiB and read all
 * of it: their memory, the share that is mapped by 2 MiB, and the instructions
 * per process. Once after a file that was written through an aligned mapping,
 * once after one that was written through an off-colour one.
 *
 * The processes take their turns one after the other.
 */
#include "bench.h"

static const unsigned int counts[] = { 1, 8, 64 };

enum step { TOUCH, SHARE, PAGE_TABLES, DROP };

struct shared_map {
	const char *what;
	int fd;
	size_t len;
	char *map;
};

/* KiB of page tables, of all kinds, of this process. */
static int page_table_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	int kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmPTE: %d kB", &kib) == 1)
			break;
	if (kib < 0)
		dax_exit_fail("no VmPTE in /proc/self/status");
	fclose(file);
	return kib;
}

static int take_step(int step, void *arg)
{
	struct shared_map *m = arg;
	int before;

	switch (step) {
	case TOUCH:
		m->map = map_file(m->fd, m->len, 0);
		return touch_counted(m->what, m->map, m->len, false).ticks;
	case SHARE:
		return share_huge(m->map, m->len);
	case PAGE_TABLES:
		before = page_table_kib();
		dax_zap(m->map, m->len);
		dax_unmap(m->map, m->len);
		return before - page_table_kib();
	}
	return 0;
}

static void run_processes(const char *history, unsigned int nr,
			  struct shared_map *m)
{
	struct dax_helper peer[64];
	double instr = 0, kib = 0, share = 0;
	char what[64];

	snprintf(what, sizeof(what), "%u processes, %s", nr, history);
	m->what = what;
	settle();
	for (unsigned int i = 0; i < nr; i++)
		dax_helper_start(&peer[i], take_step, m);
	for (unsigned int i = 0; i < nr; i++)
		instr += dax_helper_step(&peer[i], TOUCH);
	for (unsigned int i = 0; i < nr; i++)
		share += dax_helper_step(&peer[i], SHARE);
	for (unsigned int i = 0; i < nr; i++)
		kib += dax_helper_step(&peer[i], PAGE_TABLES);
	for (unsigned int i = 0; i < nr; i++)
		dax_helper_stop(&peer[i]);

	report(what, "instr", instr / nr);
	report(what, "kib", kib);
	report(what, "huge%", share / nr);
}

static void run_history(const char *history, size_t shift)
{
	struct shared_map m = { .len = scaled(16) };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		for (int run = 0; run < 3; run++) {
			char *map;

			m.fd = file_falloc(m.len);
			map = map_file(m.fd, m.len, shift);
			touch_pages(map, m.len, true);
			dax_unmap(map, m.len);
			run_processes(history, counts[i], &m);
			close(m.fd);
		}
	}
}

void bench_processes(void)
{
	run_history("aligned first", 0);
	run_history("off-colour first", SZ_4K);
}
