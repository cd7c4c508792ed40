// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters and version of the DAX core, and the length of its walks.
 *
 * The folder fs_dax in debugfs has two files.  promote has a line with a name
 * and a count for each step of a promotion.  faults has such a line for each
 * order of served faults and for each reason for a fallback.  The counters are
 * for all DAX files together.  The events dax_promote_entry and
 * dax_fault_fallback report the same for each file.  The counters are per CPU
 * and only grow, so counting takes no lock.
 *
 * A walk pauses after DAX_WALK_PAGES, so that others can run.  The dax_walk
 * event tells how much was done at a time.
 *
 * /sys/module/fs_dax/version has the version of the core.
 */

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include "dax-internal.h"
#include "dax-trace.h"

/* Of the core, whichever file defines it. */
#undef KBUILD_MODNAME
#define KBUILD_MODNAME "fs_dax"
MODULE_VERSION("0.1.0");

static DEFINE_PER_CPU(unsigned long [NR_DAX_PROMOTE], dax_promotions);
static DEFINE_PER_CPU(unsigned long [NR_DAX_FALLBACK], dax_fallbacks);
static DEFINE_PER_CPU(unsigned long [2], dax_served);

/**
 * dax_count_promote() - Count a step of a promotion
 * @what: The step.
 *
 * Context: Any.
 */
void dax_count_promote(enum dax_promote what)
{
	this_cpu_inc(dax_promotions[what]);
}

/**
 * dax_count_served() - Count a fault that was served
 * @order: Order of the fault, 0 or PMD_ORDER.
 *
 * Context: Any.
 */
void dax_count_served(unsigned int order)
{
	this_cpu_inc(dax_served[order > 0]);
}

/**
 * dax_count_fallback() - Count a fallback
 * @reason: The reason for it.
 *
 * Context: Any.
 */
void dax_count_fallback(enum dax_fallback reason)
{
	this_cpu_inc(dax_fallbacks[reason]);
}

/**
 * dax_walk_end() - Trace what a walk has done since its last pause
 * @walk: The walk.
 * @mapping: The mapping that it is in.
 *
 * Context: Any.
 */
void dax_walk_end(struct dax_walk *walk, struct address_space *mapping)
{
	if (walk->pages)
		trace_dax_walk(mapping, walk);
	walk->entries = 0;
	walk->pages = 0;
}

/**
 * dax_walk_step() - Count an entry of a walk, and pause if it is time
 * @walk: The walk.
 * @xas: The cursor of the walk.
 * @entry: The entry.
 * @pages: How many of its pages the walk has examined, at least 1.
 *
 * Context: Process context, xa_lock held; dropped and retaken for a pause.  May
 * sleep.
 */
void dax_walk_step(struct dax_walk *walk, struct xa_state *xas, void *entry,
		   unsigned long pages)
	__must_hold(xas->xa->xa_lock)
{
	walk->entries++;
	walk->pages += pages;
	if (walk->pages < DAX_WALK_PAGES)
		return;
	dax_walk_end(walk, dax_mapping_of(xas));
	dax_pause_walk(xas, entry);
}

#ifdef CONFIG_DEBUG_FS
static const struct trace_print_flags dax_promote_names[] = {
	DAX_PROMOTE_NAMES
};

static const struct trace_print_flags dax_fallback_names[] = {
	DAX_FALLBACK_NAMES
};

/* The sum of @counter over all CPUs */
static unsigned long dax_sum(const unsigned long __percpu *counter)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += *per_cpu_ptr(counter, cpu);
	return sum;
}

static int promote_show(struct seq_file *m, void *unused)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(dax_promote_names); i++)
		seq_printf(m, "%s %lu\n", dax_promote_names[i].name,
			   dax_sum(&dax_promotions[dax_promote_names[i].mask]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(promote);

static int faults_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "order-0 %lu\norder-%u %lu\n", dax_sum(&dax_served[0]),
		   PMD_ORDER, dax_sum(&dax_served[1]));
	for (unsigned int i = 0; i < ARRAY_SIZE(dax_fallback_names); i++) {
		unsigned long reason = dax_fallback_names[i].mask;

		if (reason != DAX_FALLBACK_NONE)
			seq_printf(m, "%s %lu\n", dax_fallback_names[i].name,
				   dax_sum(&dax_fallbacks[reason]));
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(faults);

static int __init dax_init_debugfs(void)
{
	struct dentry *dir = debugfs_create_dir("fs_dax", NULL);

	debugfs_create_file("promote", 0444, dir, NULL, &promote_fops);
	debugfs_create_file("faults", 0444, dir, NULL, &faults_fops);
	return 0;
}
late_initcall(dax_init_debugfs);
#endif /* CONFIG_DEBUG_FS */
