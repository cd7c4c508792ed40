// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counting, and the lines of output.
 *
 * With QEMU's -icount shift=0 the time stamp counter goes on by one for each
 * instruction of the guest, of user space and kernel alike. It is read as it
 * is: clock_gettime() would scale it by what each boot takes for its frequency.
 */
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

#define SHORT_TICKS	60000000UL	/* all runs of a case together */
#define MIN_RUNS	3
#define MAX_RUNS	7

bool instructions;
const char *fs_name = "-", *mkfs_name = "-";

unsigned long ticks(void)
{
	struct timespec ts;

	if (instructions)
		return __builtin_ia32_rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000UL + ts.tv_nsec;
}

/* Is a tick an instruction? A loop of two of them knows. */
void check_ticks(void)
{
	unsigned long least = ULONG_MAX, t;

	for (int i = 0; i < 5; i++) {
		unsigned long rounds = 10000;

		t = ticks();
		asm volatile("1: dec %0; jnz 1b" : "+r" (rounds));
		t = ticks() - t;
		if (t < least)
			least = t;
	}
	if (least < 20000 || least > 20020)
		dax_exit_fail("%lu ticks for 20000 instructions: not under -icount shift=0",
			      least);
}

/*
 * Let what others have begun come to its end: file systems free the blocks of
 * deleted files later, and write back what is old. To sleep costs nothing
 * under -icount: the clock jumps.
 */
void settle(void)
{
	sync();
	usleep(200000);
}

unsigned long count_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

void report(const char *what, const char *metric, double value)
{
	printf("%s\t%s\t%s\t%s\t%.10g\n", what, fs_name, mkfs_name, metric,
	       value);
	fflush(stdout);
}

void report_why(const char *what, const char *why)
{
	printf("%s\t%s\t%s\twhy\t%s\n", what, fs_name, mkfs_name, why);
	fflush(stdout);
}

bool more_runs(unsigned int *run, unsigned long spent)
{
	unsigned int nr = (*run)++;

	return nr < MIN_RUNS || (nr < MAX_RUNS && spent < SHORT_TICKS);
}

size_t scaled(unsigned int mib)
{
	const char *scale = getenv("BENCH_SCALE");
	size_t len = mib * SZ_1M;

	if (scale)
		len = len * atoi(scale) / 100 & -SZ_2M;
	return len < 2 * SZ_2M ? 2 * SZ_2M : len;
}

/* Samples. */

void samples_add(struct samples *s, unsigned long value)
{
	if (s->nr == s->room) {
		s->room = s->room ? s->room * 2 : 4096;
		s->value = realloc(s->value, s->room * sizeof(*s->value));
		if (!s->value)
			dax_exit_fail("no memory for samples");
	}
	s->value[s->nr++] = value;
}

void samples_reserve(struct samples *s, size_t nr)
{
	while (s->room < nr)
		samples_add(s, 0);
	memset(s->value, 0, s->room * sizeof(*s->value));
	s->nr = 0;
}

void samples_free(struct samples *s)
{
	free(s->value);
	*s = (struct samples){};
}

static int compare(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static unsigned long percentile(struct samples *s, unsigned int percent)
{
	if (!s->nr)
		dax_exit_fail("no samples");
	qsort(s->value, s->nr, sizeof(*s->value), compare);
	return s->value[(s->nr - 1) * percent / 100];
}

unsigned long samples_median(struct samples *s)
{
	return percentile(s, 50);
}

static double less(unsigned long value, unsigned long apart)
{
	return value > apart ? value - apart : 0;
}

void samples_report(struct samples *s, const char *what, unsigned long apart)
{
	report(what, "median", less(percentile(s, 50), apart));
	report(what, "p99", less(percentile(s, 99), apart));
	s->nr = 0;
}

/* For calls of which some do the work of others: the mean, and the dearest. */
void samples_report_mean(struct samples *s, const char *what, unsigned long apart)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < s->nr; i++)
		sum += s->value[i];
	report(what, "instr", less(s->nr ? sum / s->nr : 0, apart));
	report(what, "p99", less(percentile(s, 99), apart));
	s->nr = 0;
}

/* Touching. */

void touch_pages(volatile char *map, size_t len, bool write)
{
	if (write) {
		for (size_t off = 0; off < len; off += SZ_4K)
			map[off] = 1;
	} else {
		for (size_t off = 0; off < len; off += SZ_4K)
			(void)map[off];
	}
}

struct touch touch_counted(const char *what, char *map, size_t len, bool write)
{
	unsigned long faults = count_faults();
	unsigned long start, middle, end;

	profile_begin();
	start = ticks();
	touch_pages(map, len, write);
	middle = ticks();
	profile_end();
	faults = count_faults() - faults;
	end = ticks();
	touch_pages(map, len, write);
	end = ticks() - end;
	profile_report(what, faults);
	return (struct touch){ less(middle - start, end), faults };
}

void touch_report(const char *what, const struct touch *touch)
{
	report(what, "instr", touch->ticks);
	report(what, "faults", touch->faults);
}
