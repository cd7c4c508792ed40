// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the memory of a device has huge pages, for block allocators.
 *
 * A huge page maps N blocks that are contiguous, and whose first lies at a
 * multiple of N both in memory and in the file.  So each block must satisfy:
 *
 *	(pfn - page offset in the file) mod N == 0
 *
 * Partitions, namespaces and device-mapper targets move a filesystem by any
 * number of pages, so the offset of a block on the device says nothing about
 * its pfn.  The filesystem therefore asks at mount for its phase: the pfn of
 * its first block, mod N.
 *
 * A device-mapper device may consist of several devices.  dax_align_phase()
 * checks sample ranges of N pages.  If they differ in phase, or if one is not
 * contiguous in memory, the filesystem does not align blocks.  A sample that
 * hits a bad block is not counted.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/pfn_t.h>
#include <linux/pgtable.h>

#include "dax-internal.h"

/* Enough to meet each of the devices that one filesystem usually spans. */
#define DAX_ALIGN_SAMPLES	64U

static bool dax_align = true;

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "fs_dax."
module_param_named(align, dax_align, bool, 0644);
MODULE_PARM_DESC(align, "Allocate blocks of DAX files where they can be mapped by huge pages");

/**
 * dax_align_enabled() - Check whether allocators align the blocks of DAX files
 *
 * Context: Any.
 * Return: The value of the parameter fs_dax.align.
 */
bool dax_align_enabled(void)
{
	return READ_ONCE(dax_align);
}
EXPORT_SYMBOL_GPL(dax_align_enabled);

/*
 * Is the first whole huge page at or after page @at of the filesystem contiguous
 * in memory, and where @phase says?  If the device returns an error, assume so.
 */
static bool dax_align_sample(struct dax_device *dax_dev, pgoff_t start,
			     unsigned long at, unsigned long phase)
{
	unsigned long nr = PTRS_PER_PMD;
	long avail;
	pfn_t pfn;

	at = ALIGN(at + phase, nr) - phase;
	avail = dax_direct_access(dax_dev, start + at, nr, DAX_ACCESS, NULL,
				  &pfn);
	if (avail < 0)
		return true;
	return avail >= nr && IS_ALIGNED(pfn_t_to_pfn(pfn), nr);
}

/**
 * dax_align_phase() - Get the place of a filesystem in the huge pages of memory
 * @dax_dev: The device.
 * @start: The first page of the filesystem on @dax_dev.
 * @nr_pages: The size of the filesystem in pages.
 * @phase: Where to put how many pages of a huge page precede page @start.
 *
 * Context: Process context.
 * Return: How many pages a huge page has.  0 if the filesystem has no huge pages,
 * or if its memory is not contiguous enough to have a phase.
 */
unsigned long dax_align_phase(struct dax_device *dax_dev, pgoff_t start,
			      unsigned long nr_pages, unsigned long *phase)
{
	unsigned long nr = PTRS_PER_PMD, span, i;
	bool aligned = false;
	pfn_t pfn;
	int id;

	if (!IS_ENABLED(CONFIG_FS_DAX_PMD) || nr_pages < 2 * nr)
		return 0;

	id = dax_read_lock();
	if (dax_direct_access(dax_dev, start, 1, DAX_ACCESS, NULL, &pfn) < 1)
		goto out;
	*phase = pfn_t_to_pfn(pfn) & (nr - 1);
	/* each sample, aligned up, ends within the filesystem */
	span = nr_pages - 2 * nr;
	aligned = true;
	for (i = 0; aligned && i < DAX_ALIGN_SAMPLES; i++)
		aligned = dax_align_sample(dax_dev, start,
					   mul_u64_u32_div(span, i, DAX_ALIGN_SAMPLES - 1),
					   *phase);
out:
	dax_read_unlock(id);
	return aligned ? nr : 0;
}
EXPORT_SYMBOL_GPL(dax_align_phase);
