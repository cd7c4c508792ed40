// SPDX-License-Identifier: GPL-2.0-only
/*
 * fsync: instructions, and bytes that were flushed. Then stores, each with a sync
 * of what it has changed: the figures are those of one store and its sync.
 *
 * The bytes are told by the trace event dax_writeback_one, in a run of its own
 * that is not measured, since a trace takes instructions.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

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

/* Stores to some pages, and the sync of these pages alone. */
#define PART_CALLS	512

struct part {
	const char *name;
	size_t len;		/* that is synced; each page of it is stored to */
	unsigned int stores;	/* or so many, anywhere, and then fsync(2) */
	bool dsync;		/* a write(2) to the page that was stored to */
};

static const struct part parts[] = {
	{ "store, msync 4 KiB", SZ_4K },
	{ "16 stores, msync 64 KiB", 16 * SZ_4K },
	{ "store, O_DSYNC write 4 KiB", SZ_4K, .dsync = true },
};

static const struct part uncached_parts[] = {
	{ "no cache: msync of 4 KiB", SZ_4K },
	{ "no cache: 10 stores, fsync", SZ_4K, .stores = 10 },
};

struct part_file {
	int fd, dsync_fd;
	char *map;
	size_t len;
};

static void store_and_sync(const struct part_file *file, const struct part *part,
			   unsigned long *state)
{
	static char page[SZ_4K];
	size_t off = random_next(state) % (file->len / part->len) * part->len;

	for (unsigned int i = 1; i < part->stores; i++)
		dax_poke(file->map + random_next(state) % file->len, i);
	dax_poke_each(file->map + off, part->len, SZ_4K, 3);
	if (part->dsync && pwrite(file->dsync_fd, page, SZ_4K, off) != SZ_4K)
		dax_exit_fail("pwrite: %m");
	else if (part->stores)
		dax_fsync(file->fd);
	else if (!part->dsync)
		dax_msync(file->map + off, part->len);
}

static void sync_part(const struct part_file *file, const struct part *part,
		      const char *size)
{
	unsigned long state = 1, spent = 0, faults, took;
	char name[64];

	snprintf(name, sizeof(name), "%s, %s", part->name, size);
	for (unsigned int run = 0; more_runs(&run, spent); spent += took) {
		settle();
		touch_pages(file->map, file->len, true);
		profile_begin();
		faults = count_faults();
		took = ticks();
		for (int i = 0; i < PART_CALLS; i++)
			store_and_sync(file, part, &state);
		took = ticks() - took;
		faults = count_faults() - faults;
		profile_end();
		profile_report(name, PART_CALLS);
		report(name, "instr", (double)took / PART_CALLS);
		report(name, "faults", (double)faults / PART_CALLS);
	}
	trace_begin();
	for (int i = 0; i < PART_CALLS; i++)
		store_and_sync(file, part, &state);
	report(name, "bytes", (double)trace_end() / PART_CALLS);
}

/* The write cache of the device of the file, if its driver lets it be set. */
static bool set_cache(int fd, bool on)
{
	char path[64];
	struct stat st;

	if (fstat(fd, &st))
		dax_exit_fail("fstat: %m");
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dax/write_cache",
		 major(st.st_dev), minor(st.st_dev));
	return !dax_write_file(path, "%d", on);
}

static void sync_parts(const struct part_file *file, const char *size)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		sync_part(file, &parts[i], size);
	if (!set_cache(file->fd, false))
		return;
	for (size_t i = 0; i < ARRAY_LEN(uncached_parts); i++)
		sync_part(file, &uncached_parts[i], size);
	set_cache(file->fd, true);
}

static void sync_parts_of_size(size_t len, size_t shift, const char *size)
{
	struct part_file file = { .fd = file_falloc(len), .len = len };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file.fd);
	file.dsync_fd = open(path, O_RDWR | O_DSYNC);
	if (file.dsync_fd < 0)
		dax_exit_fail("%s: %m", path);
	file.map = map_file(file.fd, len, shift);
	touch_pages(file.map, len, true);
	if (shift || share_huge(file.map, len) == 100)
		sync_parts(&file, size);
	else
		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			snprintf(path, sizeof(path), "%s, %s", parts[i].name,
				 size);
			report_why(path, "this file system gave small blocks");
		}
	dax_unmap(file.map, len);
	close(file.dsync_fd);
	close(file.fd);
}

/*
 * The same stores and fsync again and again, as a database does. The figure is
 * the mean: how a range is mapped may depend on what came before.
 */
struct repeat {
	const char *what;
	unsigned int mib, rounds;
	void (*stores)(char *map, size_t len, unsigned long *seed);
};

static void ten_stores(char *map, size_t len, unsigned long *seed)
{
	for (int i = 0; i < 10; i++)
		dax_poke(map + random_next(seed) % len, 3);
}

/* As LMDB: some pages that follow each other, and some anywhere. */
static void commit(char *map, size_t len, unsigned long *seed)
{
	size_t run = random_next(seed) % (len - 16 * SZ_4K);

	memset(map + run, 3, 16 * SZ_4K);
	for (int i = 0; i < 16; i++)
		dax_poke(map + random_next(seed) % len, 3);
	dax_poke(map, 3);
}

static void fill(char *map, size_t len, unsigned long *seed)
{
	memset(map, 3, len);
}

static const struct repeat repeats[] = {
	{ "10 random stores, fsync",	64, 400, ten_stores },
	{ "commit of 33 pages, fsync",	16, 200, commit },
	{ "fill, fsync",		4, 200, fill },
};

static void repeat_rounds(const struct repeat *r, int fd, char *map, size_t len,
			  unsigned int rounds)
{
	unsigned long seed = 1;

	for (unsigned int i = 0; i < rounds; i++) {
		r->stores(map, len, &seed);
		dax_fsync(fd);
	}
}

static void sync_repeatedly(const struct repeat *r)
{
	size_t len = scaled(r->mib);

	for (int run = 0; run < 2; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, 0);
		unsigned long t;

		touch_pages(map, len, true);
		dax_fsync(fd);
		profile_begin();
		t = ticks();
		repeat_rounds(r, fd, map, len, r->rounds);
		t = ticks() - t;
		profile_end();
		profile_report(r->what, r->rounds);
		report(r->what, "instr", (double)t / r->rounds);
		/* The bytes are those of the end of a long run. */
		if (run) {
			trace_begin();
			repeat_rounds(r, fd, map, len, 20);
			report(r->what, "bytes", trace_end() / 20);
		}
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
	sync_parts_of_size(len, SZ_4K, "4K");
	sync_parts_of_size(len, 0, "2M");
	for (size_t i = 0; i < ARRAY_LEN(repeats); i++)
		sync_repeatedly(&repeats[i]);
}
