// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults and instructions to touch 256 MiB, page by page.
 *
 * Each run has a file of its own, new; the runs of "again" follow on that of
 * "fallocated, write", as those of "off-colour, then aligned" do on "off-colour".
 */
#include "bench.h"

static unsigned long touch_as(const char *what, int fd, size_t len, size_t shift,
			      bool write)
{
	char *map = map_file(fd, len, shift);
	struct touch touch;

	settle();
	touch = touch_counted(what, map, len, write);
	touch_report(what, &touch);
	dax_unmap(map, len);
	return touch.ticks;
}

static void touch_hole(bool write)
{
	size_t len = scaled(256);
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_hole(len);

		spent += touch_as(write ? "hole, write" : "hole, read", fd, len,
				  0, write);
		close(fd);
	}
}

static void touch_fallocated(void)
{
	size_t len = scaled(256);
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_falloc(len);

		spent += touch_as("fallocated, write", fd, len, 0, true);
		touch_as("again, read", fd, len, 0, false);
		touch_as("again, write", fd, len, 0, true);
		close(fd);
	}
}

static void touch_off_colour(void)
{
	size_t len = scaled(256);
	unsigned long spent = 0;

	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_falloc(len);

		spent += touch_as("off-colour, write", fd, len, SZ_4K, true);
		touch_as("off-colour, then aligned", fd, len, 0, true);
		close(fd);
	}
}

void bench_touch(void)
{
	touch_hole(false);
	touch_hole(true);
	touch_fallocated();
	touch_off_colour();
}

void bench_aged(void)
{
	size_t len = scaled(64);
	unsigned long spent = 0;

	fill_at_random(4);
	for (unsigned int run = 0; more_runs(&run, spent); ) {
		int fd = file_falloc(len);

		spent += touch_as("aged, fallocated, write", fd, len, 0, true);
		touch_as("aged, again, write", fd, len, 0, true);
		close(fd);
	}
}
