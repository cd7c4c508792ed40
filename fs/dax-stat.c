// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of the DAX core, and the length of its walks.
 *
 * The file fs_dax/promote in debugfs has a line with the name and the count of
 * each step of a promotion, for all files.  The dax_promote_entry event tells
 * the file.  The counters are per CPU and only grow, so counting takes no lock.
 *
 * A walk pauses after DAX_WALK_PAGES, so that others can run.  The dax_walk
 * event tells how much was done at a time.
 */

#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>

#include "dax-internal.h"
#include "dax-trace.h"

static DEFINE_PER_CPU(unsigned long [NR_DAX_PROMOTE], dax_promotions);

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

static int promote_show(struct seq_file *m, void *unused)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(dax_promote_names); i++) {
		const struct trace_print_flags *what = &dax_promote_names[i];
		unsigned long sum = 0;
		int cpu;

		for_each_possible_cpu(cpu)
			sum += per_cpu(dax_promotions, cpu)[what->mask];
		seq_printf(m, "%s %lu\n", what->name, sum);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(promote);

static int __init dax_init_debugfs(void)
{
	debugfs_create_file("promote", 0444, debugfs_create_dir("fs_dax", NULL),
			    NULL, &promote_fops);
	return 0;
}
late_initcall(dax_init_debugfs);
#endif /* CONFIG_DEBUG_FS */
