// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cost as work grows: the size of a file from 16 MiB to 2 GiB, and the number
 * of entries that it has from 1 to 500,000. The figure is the cost per MiB and
 * per entry: if it stays the same, the slope is a straight line.
 */
#include "bench.h"

static void grow_size(void)
{
	static const unsigned int mib[] = { 16, 64, 256, 1024, 2048 };
	char what[64];

	for (size_t i = 0; i < ARRAY_LEN(mib); i++) {
		size_t len = scaled(mib[i]);

		snprintf(what, sizeof(what), "fallocated %u MiB, per MiB", mib[i]);
		for (int run = 0; run < 3; run++) {
			int fd = file_falloc(len);
			char *map = map_file(fd, len, 0);
			struct touch touch;

			settle();
			touch = touch_counted(what, map, len, true);
			report(what, "instr", (double)touch.ticks * SZ_1M / len);
			dax_unmap(map, len);
			close(fd);
		}
	}
}

/*
 * Holes, read by 4 KiB: entries are the work here, and blocks are not. Zero
 * entries, three runs' worth of samples at each number of them, one file.
 */
static void sample_entries(const char *what, char *map, size_t *off)
{
	struct samples s = {};

	for (int run = 0; run < 3; run++) {
		samples_reserve(&s, 512);
		profile_begin();
		for (int i = 0; i < 512; i++, *off += SZ_4K) {
			unsigned long t = ticks();

			dax_peek(map + *off);
			samples_add(&s, ticks() - t);
		}
		profile_end();
		profile_report(what, s.nr);
		samples_report(&s, what, 0);
	}
	samples_free(&s);
}

static void grow_entries(void)
{
	static const unsigned int nr[] = { 1, 1000, 32000, 500000 };
	size_t len = scaled(2048), off = SZ_4K;
	int fd = file_hole(len);
	char *map = map_file(fd, len, SZ_4K);
	char what[64];
	unsigned long t;

	settle();
	dax_peek(map);
	for (size_t i = 0; i < ARRAY_LEN(nr); i++) {
		size_t to = scaled(nr[i] / 256 + 1);

		if (i && to > off && to + SZ_2M * 4 < len) {
			touch_pages(map + off, to - off, false);
			off = to;
		}
		snprintf(what, sizeof(what), "4K hole at %u entries", nr[i]);
		sample_entries(what, map, &off);
	}
	dax_unmap(map, len);
	settle();
	profile_begin();
	t = ticks();
	dax_truncate(fd, 0);
	t = ticks() - t;
	profile_end();
	profile_report("truncate 500000 entries, each", off / SZ_4K);
	report("truncate 500000 entries, each", "instr",
	       (double)t / (off / SZ_4K));
	close(fd);
}

void bench_grow(void)
{
	grow_size();
	grow_entries();
}
