// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same work with each promotion policy (fs_dax.promote). A case is called
 * "case@policy"; a kernel that has no policies runs it once, as "case".
 */
#include "bench.h"

static void touch_then_aligned(const char *what)
{
	size_t len = scaled(256);
	struct touch touch;

	for (int run = 0; run < 3; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, SZ_4K);

		touch_pages(map, len, true);
		dax_unmap(map, len);
		map = map_file(fd, len, 0);
		settle();
		touch = touch_counted(what, map, len, true);
		touch_report(what, &touch);
		dax_unmap(map, len);
		close(fd);
	}
}

/*
 * A log that grows under its own mapping: blocks are there, the size is not.
 * Then somebody else comes to read it.
 */
static void grow_in_steps(const char *what, const char *later)
{
	const size_t step = 16 * SZ_4K;
	size_t len = scaled(64);
	struct touch touch;

	for (int run = 0; run < 3; run++) {
		int fd = file_falloc_keep_size(len);
		char *map = map_file(fd, len, 0);
		unsigned long t;

		settle();
		touch.faults = count_faults();
		profile_begin();
		t = ticks();
		for (size_t off = 0; off < len; off += step) {
			dax_truncate(fd, off + step);
			touch_pages(map + off, step, true);
		}
		touch.ticks = ticks() - t;
		profile_end();
		touch.faults = count_faults() - touch.faults;
		profile_report(what, touch.faults);
		touch_report(what, &touch);
		report(what, "huge%", share_huge(map, len));
		dax_unmap(map, len);

		map = map_file(fd, len, 0);
		touch = touch_counted(later, map, len, false);
		touch_report(later, &touch);
		dax_unmap(map, len);
		close(fd);
	}
}

/* All pages of a file that can never be huge, in an order without a pattern. */
static void touch_at_random(const char *what)
{
	size_t len = scaled(64), nr = len / SZ_4K;
	unsigned int *page = calloc(nr, sizeof(*page));
	unsigned long seed = 9;
	struct touch touch;

	if (!page)
		dax_exit_fail("no memory");
	for (size_t i = 0; i < nr; i++) {
		size_t k = random_next(&seed) % (i + 1);

		page[i] = page[k];
		page[k] = i;
	}
	for (int run = 0; run < 3; run++) {
		int fd = file_fragmented(len);
		char *map = map_file(fd, len, 0);
		unsigned long t;

		settle();
		touch.faults = count_faults();
		profile_begin();
		t = ticks();
		for (size_t i = 0; i < nr; i++)
			dax_poke(map + page[i] * SZ_4K, 6);
		touch.ticks = ticks() - t;
		profile_end();
		touch.faults = count_faults() - touch.faults;
		profile_report(what, touch.faults);
		touch_report(what, &touch);
		dax_unmap(map, len);
		close(fd);
	}
	free(page);
}

static void play_policy(const char *policy)
{
	char what[3][64], later[64];
	const char *at = policy ? "@" : "", *name = policy ?: "";

	snprintf(what[0], sizeof(what[0]), "off-colour then aligned%s%s", at, name);
	snprintf(what[1], sizeof(what[1]), "grown by 64 KiB%s%s", at, name);
	snprintf(later, sizeof(later), "grown, mapped again%s%s", at, name);
	snprintf(what[2], sizeof(what[2]), "fragmented, at random%s%s", at, name);
	touch_then_aligned(what[0]);
	grow_in_steps(what[1], later);
	touch_at_random(what[2]);
}

/* A process that has all of it by 4 KiB, and asks for better. */
static void collapse(void)
{
	size_t len = scaled(256);
	int err = 0;

	for (int run = 0; run < 3 && !err; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, SZ_4K);
		unsigned long t;

		touch_pages(map, len, true);
		dax_unmap(map, len);
		set_policy("off");
		map = map_file(fd, len, 0);
		touch_pages(map, len, true);
		set_policy("fault");
		settle();
		profile_begin();
		t = ticks();
		err = dax_collapse(map, len);
		t = ticks() - t;
		profile_end();
		profile_report(err ? "MADV_COLLAPSE, refused" :
				     "MADV_COLLAPSE of 256 MiB", 1);
		if (err) {
			report_why("MADV_COLLAPSE of 256 MiB", strerror(err));
		} else {
			report("MADV_COLLAPSE of 256 MiB", "instr", t);
			report("MADV_COLLAPSE of 256 MiB", "huge%",
			       share_huge(map, len));
		}
		dax_unmap(map, len);
		close(fd);
	}
}

void bench_policy(void)
{
	if (set_policy("off")) {
		play_policy("off");
		set_policy("eager");
		play_policy("eager");
		set_policy("fault");
		play_policy("fault");
	} else {
		play_policy(NULL);
	}
	collapse();
}
