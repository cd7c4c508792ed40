// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a measured stretch begins and ends: two functions that do nothing, at
 * addresses that vm/profile tells QEMU, which counts in between.
 */
#include "bench.h"

__attribute__((noinline)) void profile_begin(void)
{
	asm volatile("# profile_begin" : : : "memory");
}

__attribute__((noinline)) void profile_end(void)
{
	asm volatile("# profile_end" : : : "memory");
}

void profile_report(const char *what, unsigned long nr)
{
	if (getenv("BENCH_PROFILE"))
		report(what, "profile", nr);
}
