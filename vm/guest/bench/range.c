// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that change a page of a file, by what else of the file has been mapped;
 * and a heap that frees its blocks one by one while the others are in use.
 */
#include "bench.h"

#define KEEP	FALLOC_FL_KEEP_SIZE

enum range_call { PUNCH, ZERO, ALLOCATE, CUT };

static const struct {
	const char *name;
	enum range_call call;
	unsigned int mib;
	size_t shift;		/* off colour gives 4 KiB entries */
} cases[] = {
	{ "punch 4K of 2 MiB",		PUNCH,		2,	0 },
	{ "punch 4K of 64 MiB",		PUNCH,		64,	0 },
	{ "punch 4K of 64 MiB, small",	PUNCH,		64,	SZ_4K },
	{ "zero 4K of 64 MiB, small",	ZERO,		64,	SZ_4K },
	{ "alloc 4K of 64 MiB, small",	ALLOCATE,	64,	SZ_4K },
	{ "cut 4K of 64 MiB, small",	CUT,		64,	SZ_4K },
};

#define CALLS	32	/* a run, each at another page */

static void one_call(int fd, enum range_call call, off_t off, off_t len)
{
	switch (call) {
	case PUNCH:
		dax_falloc(fd, FALLOC_FL_PUNCH_HOLE | KEEP, off, SZ_4K);
		return;
	case ZERO:
		dax_falloc(fd, FALLOC_FL_ZERO_RANGE | KEEP, off, SZ_4K);
		return;
	case ALLOCATE:
		dax_falloc(fd, 0, off, SZ_4K);
		return;
	case CUT:
		dax_truncate(fd, len);
	}
}

/* A file all of whose pages have been mapped, and are not any more. */
static int file_mapped_before(size_t len, size_t shift)
{
	int fd = file_falloc(len);
	char *map = map_file(fd, len, shift);

	touch_pages(map, len, true);
	dax_unmap(map, len);
	dax_fsync(fd);
	return fd;
}

static void range_calls(unsigned int nr)
{
	size_t len = cases[nr].mib * SZ_1M;
	struct samples s = {};

	samples_reserve(&s, CALLS);
	for (int run = 0; run < 3; run++) {
		int fd = file_mapped_before(len, cases[nr].shift);

		settle();
		profile_begin();
		for (unsigned int i = 1; i <= CALLS; i++) {
			unsigned long t = ticks();

			one_call(fd, cases[nr].call, (2 * i * 37) % 512 * SZ_4K,
				 len - i * SZ_4K);
			samples_add(&s, ticks() - t);
		}
		profile_end();
		profile_report(cases[nr].name, CALLS);
		samples_report(&s, cases[nr].name, 0);
		close(fd);
	}
	samples_free(&s);
}

static void heap(const char *what)
{
	size_t len = SZ_1M;

	for (int run = 0; run < 3; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, SZ_4K);
		unsigned long t, nr;

		touch_pages(map, len, true);
		settle();
		nr = count_faults();
		t = ticks();
		for (size_t at = 0; at < len; at += SZ_4K) {
			if (madvise(map + at, SZ_4K, MADV_REMOVE))
				dax_exit_fail("MADV_REMOVE: %s",
					      strerror(errno));
			for (size_t i = at + SZ_4K; i < len; i += SZ_4K)
				dax_peek(map + i);
		}
		report(what, "instr", ticks() - t);
		report(what, "faults", count_faults() - nr);
		dax_unmap(map, len);
		close(fd);
	}
}

void bench_range(void)
{
	for (unsigned int i = 0; i < ARRAY_LEN(cases); i++)
		range_calls(i);
	heap("heap of 1 MiB, freed by page");
}
