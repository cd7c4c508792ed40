// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench - DAX in figures
 *
 * usage: DAX_DIR=DIRECTORY bench [-i] FS MKFS SECTION...
 *
 * DIRECTORY is on a filesystem mounted with -o dax=always; FS and MKFS are only
 * printed. -i says that the clock counts instructions (QEMU's -icount shift=0),
 * which is checked. Each section runs in a process of its own.
 *
 * BENCH_SCALE	percent of the sizes that the sections have (100)
 * BENCH_SPARE	a device of the same kind as that of DIRECTORY, to be overwritten
 */
#include "bench.h"

static const struct section {
	const char *name;
	const char *title;
	void (*play)(void);
} sections[] = {
	{ "touch", "256 MiB, touched page by page: instructions", bench_touch },
	{ "aged", "64 MiB on an aged file system: instructions", bench_aged },
	{ "fault", "Instructions per fault", bench_fault },
	{ "sync", "Instructions per fsync (of 64 MiB)", bench_sync },
	{ "io", "Instructions per read(2) and write(2)", bench_io },
	{ "range", "Instructions per call for a page of a file that was mapped",
	  bench_range },
	{ "processes", "16 MiB in each process: instructions", bench_processes },
	{ "grow", "As work grows: instructions", bench_grow },
	{ "policy", "Promotion", bench_policy },
	{ "locks", "Locks per fault", bench_locks },
	{ "peers", "Peers", bench_peers },
	{ "threads", "Two CPUs, ns per fault", bench_threads },
};

static const struct section *find_section(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (!strcmp(sections[i].name, name))
			return &sections[i];
	fprintf(stderr, "bench: no section '%s'\n", name);
	exit(2);
}

static int play_section(const struct section *section)
{
	printf("-\t-\t-\tsection\t%s\n", section->title);
	fflush(stdout);
	section->play();
	return 0;
}

int main(int argc, char **argv)
{
	int arg = 1, status;

	if (argc > 1 && !strcmp(argv[1], "-i")) {
		instructions = true;
		arg++;
	}
	if (argc - arg < 3 || !getenv("DAX_DIR")) {
		fprintf(stderr,
			"usage: DAX_DIR=DIRECTORY bench [-i] FS MKFS SECTION...\n");
		return 2;
	}
	fs_name = argv[arg++];
	mkfs_name = argv[arg++];
	if (instructions)
		check_ticks();
	for (; arg < argc; arg++) {
		unsigned long start = ticks();

		status = dax_child(play_section(find_section(argv[arg])));
		if (status) {
			fprintf(stderr, "bench: %s %s %s: status %d\n", fs_name,
				mkfs_name, argv[arg], status);
			return 1;
		}
		dax_print_msg("%s %s %s: %lu M ticks", fs_name, mkfs_name,
			      argv[arg], (ticks() - start) / 1000000);
	}
	return 0;
}
