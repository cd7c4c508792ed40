// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsync: instructions, and bytes that were flushed.
 *
 * The bytes are told by the trace event dax_writeback_one, in a run of its own
 * that is not measured, since a trace takes instructions.
 */
#include "bench.h"

#define INSTANCE	"/sys/kernel/tracing/instances/bench"

static void trace_set(const char *file, const char *value)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	err = dax_write_file(path, "%s", value);
	if (err)
		dax_exit_fail("\"%s\" to %s: %s", value, path, strerror(-err));
}

static void trace_begin(void)
{
	if (mkdir(INSTANCE, 0700))
		dax_exit_fail(INSTANCE ": %s", strerror(errno));
	trace_set("buffer_size_kb", "32768");
	trace_set("events/fs_dax/dax_writeback_one/enable", "1");
}

/* How many bytes the events since trace_begin() tell of. */
static unsigned long trace_end(void)
{
	FILE *file = fopen(INSTANCE "/trace", "r");
	unsigned long pages = 0;
	char line[512];

	if (!file)
		dax_exit_fail(INSTANCE "/trace: %s", strerror(errno));
	trace_set("events/fs_dax/dax_writeback_one/enable", "0");
	while (fgets(line, sizeof(line), file)) {
		const char *len = strstr(line, " pglen ");

		if (line[0] != '#' && len)
			pages += strtoul(len + strlen(" pglen "), NULL, 0);
	}
	fclose(file);
	rmdir(INSTANCE);
	return pages * SZ_4K;
}

enum dirt { ONE_BYTE, ONE_PAGE, PAGE_PER_2M, ALL, NR_DIRTS };

static const char * const dirt_name[] = {
	[ONE_BYTE]	= "fsync, 1 byte",
	[ONE_PAGE]	= "fsync, 4 KiB",
	[PAGE_PER_2M]	= "fsync, page per 2 MiB",
	[ALL]		= "fsync, all",
};

static void make_dirty(char *map, size_t len, enum dirt dirt)
{
	switch (dirt) {
	case ONE_BYTE:
		dax_poke(map + SZ_2M + 5, 3);
		break;
	case ONE_PAGE:
		memset(map + SZ_2M + SZ_4K, 3, SZ_4K);
		break;
	case PAGE_PER_2M:
		for (size_t off = SZ_4K; off < len; off += SZ_2M)
			memset(map + off, 3, SZ_4K);
		break;
	default:
		touch_pages(map, len, true);
	}
}

static unsigned long timed_fsync(const char *what, int fd)
{
	unsigned long t;

	profile_begin();
	t = ticks();
	dax_fsync(fd);
	t = ticks() - t;
	profile_end();
	profile_report(what, 1);
	return t;
}

static void sync_dirt(int fd, char *map, size_t len, enum dirt dirt)
{
	unsigned long spent = 0, took;

	for (unsigned int run = 0; more_runs(&run, spent); spent += took) {
		settle();
		make_dirty(map, len, dirt);
		took = timed_fsync(dirt_name[dirt], fd);
		report(dirt_name[dirt], "instr", took);
	}
	make_dirty(map, len, dirt);
	trace_begin();
	dax_fsync(fd);
	report(dirt_name[dirt], "bytes", trace_end());
}

/* After the first fsync of much, does the second have nothing to do? */
static void sync_twice(void)
{
	size_t len = scaled(1024);
	unsigned long first, second;

	if (strcmp(mkfs_name, "aligned")) {
		report_why("fsync, 1 GiB",
			   "only where files are huge: by 4 KiB it is \"all\" four times");
		report_why("fsync, 1 GiB, again", "see the first");
		return;
	}
	for (int run = 0; run < 3; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, 0);

		settle();
		touch_pages(map, len, true);
		first = timed_fsync("fsync, 1 GiB", fd);
		second = timed_fsync("fsync, 1 GiB, again", fd);
		report("fsync, 1 GiB", "instr", first);
		report("fsync, 1 GiB, again", "instr", second);
		dax_unmap(map, len);
		close(fd);
	}
}

void bench_sync(void)
{
	size_t len = scaled(64);
	int fd = file_falloc(len);
	char *map = map_file(fd, len, 0);

	touch_pages(map, len, true);
	dax_fsync(fd);
	for (int dirt = 0; dirt < NR_DIRTS; dirt++)
		sync_dirt(fd, map, len, dirt);
	dax_unmap(map, len);
	close(fd);
	sync_twice();
}
