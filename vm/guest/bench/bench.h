/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that the parts of the benchmark share. Each section (a file here)
 * runs its cases; measure.c counts and prints, file.c makes files and mappings.
 *
 * A line of output is one figure of one run:
 *
 *	case  fs  mkfs  metric  value		fields separated by tabs
 *
 * Runs of the same case repeat the line. The metric "why" has, instead of a
 * number, the reason for which the case cannot be played here.
 */
#ifndef BENCH_H
#define BENCH_H

#include "dax_test.h"

/* Measuring. One tick is one instruction, or one ns on the two-CPU machine. */
struct samples {
	unsigned long *value;
	size_t nr, room;
};

extern bool instructions;
extern const char *fs_name, *mkfs_name;

unsigned long ticks(void);
void check_ticks(void);
void settle(void);
unsigned long count_faults(void);
void report(const char *what, const char *metric, double value);
void report_why(const char *what, const char *why);
/* Another run? At least three; more as long as all of them were short. */
bool more_runs(unsigned int *run, unsigned long spent);

void samples_add(struct samples *s, unsigned long value);
/* Memory for so many: what is measured next will not fault for its own sake. */
void samples_reserve(struct samples *s, size_t nr);
void samples_free(struct samples *s);
unsigned long samples_median(struct samples *s);
/* Prints median and 99th percentile, less @apart, and forgets the samples. */
void samples_report(struct samples *s, const char *what, unsigned long apart);
void samples_report_mean(struct samples *s, const char *what, unsigned long apart);

/* BENCH_SCALE percent of @mib MiB, in bytes, a multiple of 2 MiB. */
size_t scaled(unsigned int mib);

/* Files, in DAX_DIR; they are unlinked at once, so close() is their end. */
int file_hole(size_t len);
int file_falloc(size_t len);
int file_written(size_t len);
int file_falloc_keep_size(size_t len);
int file_fragmented(size_t len);
/* Mappings, shared; @shift as in dax_mmap(). */
char *map_file(int fd, size_t len, size_t shift);
void fill_at_random(unsigned int seed);
unsigned long random_next(unsigned long *state);
/* Percent of the range that is mapped by 2 MiB. */
unsigned int share_huge(const char *map, size_t len);

/* Touch a byte of each page; with a second pass that is only the loop. */
struct touch {
	unsigned long ticks;
	unsigned long faults;
};

void touch_pages(volatile char *map, size_t len, bool write);
struct touch touch_counted(const char *what, char *map, size_t len, bool write);
void touch_report(const char *what, const struct touch *touch);

/*
 * For vm/profile: what runs between begin and end is counted by function, and
 * report says what it was, and of how many faults or calls. Each stretch has
 * its report before the next one begins. All this is nothing in vm/bench.
 */
void profile_begin(void);
void profile_end(void);
void profile_report(const char *what, unsigned long nr);

/* Promotion policy of hugedax; false if this kernel has none. */
bool set_policy(const char *policy);

/* Sections. */
void bench_touch(void);
void bench_aged(void);
void bench_fault(void);
void bench_sync(void);
void bench_io(void);
void bench_range(void);
void bench_processes(void);
void bench_grow(void);
void bench_policy(void);
void bench_locks(void);
void bench_peers(void);
void bench_threads(void);

#endif
