// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions per fault: each touch is timed alone, and told as median and
 * 99th percentile, less what a touch without a fault takes. Where one fault may
 * map pages of other touches, the mean of all touches is told, not the median.
 */
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "bench.h"

struct walk {
	size_t len;		/* how much of the file is touched */
	size_t step;		/* and how far apart */
	size_t shift;		/* of address against file offset */
	bool write;
	bool at_random;
	bool mean;
};

static unsigned long one_touch(volatile char *p, bool write)
{
	unsigned long t = ticks();

	if (write)
		*p = 2;
	else
		(void)*p;
	return ticks() - t;
}

/* At random: each once, and none beside the one before. @len is a power of two. */
#define STRIDE	1619

static void walk_touches(struct samples *s, char *map, const struct walk *w)
{
	size_t nr = w->len / w->step;

	for (size_t i = 0; i < nr; i++) {
		size_t at = w->at_random ? i * STRIDE % nr : i;

		samples_add(s, one_touch(map + at * w->step, w->write));
	}
}

/* One pass with faults, @apart of each not counted, and one without. */
static unsigned long walk_report(const char *what, char *map, const struct walk *w,
				 unsigned long apart)
{
	struct samples with = {}, without = {};
	unsigned long start;

	samples_reserve(&with, w->len / w->step);
	settle();
	profile_begin();
	start = ticks();
	walk_touches(&with, map, w);
	start = ticks() - start;
	profile_end();
	profile_report(what, w->len / w->step);
	walk_touches(&without, map, w);
	(w->mean ? samples_report_mean : samples_report)
		(&with, what, samples_median(&without) + apart);
	samples_free(&with);
	samples_free(&without);
	return start;
}

/* A new mapping, and a walk over it. */
static unsigned long walk_map(const char *what, int fd, const struct walk *w,
			      unsigned long apart)
{
	char *map = map_file(fd, w->len, w->shift);
	unsigned long spent = walk_report(what, map, w, apart);

	dax_unmap(map, w->len);
	return spent;
}

/* The first stores of a stream, and of a mapping that is stored to at random. */
static unsigned long first_stores(const struct walk *in_turn,
				  const struct walk *at_random)
{
	unsigned long spent = 0;
	int fd;

	fd = file_written(in_turn->len);
	spent += walk_map("4K first overwrite", fd, in_turn, 0);
	close(fd);
	fd = file_falloc(at_random->len);
	spent += walk_map("4K first writes at random", fd, at_random, 0);
	close(fd);
	return spent;
}

static void fault_4k(void)
{
	const struct walk w = { scaled(16), SZ_4K, SZ_4K, true, .mean = true };
	const struct walk at_random = { scaled(16), SZ_4K, SZ_4K, true, true, true };
	const struct walk read_at_random = { scaled(16), SZ_4K, SZ_4K, false, true, true };
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_falloc(w.len);
		char *map;

		spent += walk_map("4K first write", fd, &w, 0);
		spent += walk_map("4K existing", fd, &w, 0);
		spent += walk_map("4K reads at random", fd, &read_at_random, 0);
		map = map_file(fd, w.len, SZ_4K);
		touch_pages(map, w.len, true);
		dax_fsync(fd);
		spent += walk_report("4K write after fsync", map, &w, 0);
		dax_fsync(fd);
		spent += walk_report("4K writes at random", map, &at_random, 0);
		dax_unmap(map, w.len);
		close(fd);
		spent += first_stores(&w, &at_random);
	}
}

/*
 * The cost for a file system to zero 2 MiB of the device, on the device that has
 * no file system: both file systems call the function that this ioctl calls.
 */
static unsigned long zeroing_2m(void)
{
	const char *dev = getenv("BENCH_SPARE");
	struct samples s = {};
	unsigned long range[2] = { 64 * SZ_1M, SZ_2M }, median;
	int fd = open(dev ?: "", O_RDWR);

	if (fd < 0)
		dax_exit_fail("BENCH_SPARE=%s: %s", dev ?: "", strerror(errno));
	for (int i = 0; i < 9; i++, range[0] += SZ_2M) {
		unsigned long t = ticks();

		if (ioctl(fd, BLKZEROOUT, range))
			dax_exit_fail("BLKZEROOUT on %s: %s", dev,
				      strerror(errno));
		samples_add(&s, ticks() - t);
	}
	close(fd);
	median = samples_median(&s);
	samples_free(&s);
	return median;
}

static bool is_huge(int fd, size_t len)
{
	char *map = map_file(fd, len, 0);
	unsigned int share;

	touch_pages(map, len, true);
	share = share_huge(map, len);
	dax_unmap(map, len);
	return share == 100;
}

static void fault_2m_hole(void)
{
	const struct walk w = { scaled(128), SZ_2M, 0, false };
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_hole(w.len);

		spent += walk_map("2M hole", fd, &w, 0);
		close(fd);
	}
}

static void fault_2m_blocks(void)
{
	static const char * const names[] = {
		"2M first write", "2M existing", "2M write after fsync"
	};
	const struct walk w = { scaled(128), SZ_2M, 0, true };
	unsigned long zeroing = zeroing_2m(), spent = 0;
	int fd = file_falloc(w.len);
	bool huge = is_huge(fd, w.len);

	report("zeroing 2M", "median", zeroing);
	close(fd);
	if (!huge) {
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			report_why(names[i],
				   "this file system gave blocks that are not 2 MiB aligned");
		return;
	}
	for (unsigned int run = 0; more_runs(&run, spent); ) {
		char *map;

		fd = file_falloc(w.len);
		walk_map(names[0], fd, &w, zeroing);
		spent += walk_map(names[1], fd, &w, 0);
		map = map_file(fd, w.len, 0);
		touch_pages(map, w.len, true);
		dax_fsync(fd);
		spent += walk_report(names[2], map, &w, 0);
		dax_unmap(map, w.len);
		close(fd);
	}
}

/*
 * The first touch of each 2 MiB asks for a huge page, and is refused; the cost
 * is that of the refusal and of the 4 KiB fault that follows, on blocks that
 * were written before.
 */
static void fallback_runs(const char *what, int fd, const struct walk *w)
{
	char *map = map_file(fd, w->len, SZ_4K);
	unsigned long spent = 0;

	touch_pages(map, w->len, true);
	dax_unmap(map, w->len);
	for (unsigned int run = 0; more_runs(&run, spent); )
		spent += walk_map(what, fd, w, 0);
	close(fd);
}

/* The same with no entries there: the file system has to be asked. */
static void fallback_first_runs(const char *what, const struct walk *w)
{
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_fragmented(w->len);

		spent += walk_map(what, fd, w, 0);
		close(fd);
	}
}

static void fault_fallback(void)
{
	const struct walk off_colour = { scaled(64), SZ_2M, SZ_4K, true };
	const struct walk aligned = { scaled(64), SZ_2M, 0, true };

	fallback_runs("fallback: colour", file_falloc(off_colour.len),
		      &off_colour);
	fallback_runs("fallback: small entries", file_fragmented(aligned.len),
		      &aligned);
	fallback_first_runs("fallback: extent-short", &aligned);
}

void bench_fault(void)
{
	fault_4k();
	fault_2m_hole();
	fault_2m_blocks();
	fault_fallback();
}
