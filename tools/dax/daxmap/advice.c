// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command that repairs a reason.
 *
 * Where a command destroys data, its text says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

static const struct device *culprit_of(const struct file *f, enum layer layer)
{
	const struct device *d = f->device, *culprit = f->device;

	if (!d || !layer)
		return d;
	for (size_t i = 0; i < f->nr_extents; i++)
		if (device_blame(d, f->extents[i].at, SZ_2M, &culprit) == layer)
			return culprit;
	device_blame(d, 0, SZ_2M, &culprit);
	return culprit;
}

static char *move_blocks(const struct file *f)
{
	bool xfs = f->mount.type && !strcmp(f->mount.type, "xfs");
	unsigned long long size = f->size;

	if (xfs && f->realtime)
		return format("mkfs.xfs -r extsize=2m, then a copy of the file # erases all");
	if (kernel()->ours)
		return format("daxmap --collapse %s # if blocks of it are not shared",
			      f->path);
	if (xfs)
		return format("xfs_io -f -c 'extsize 2m' -c 'falloc 0 %llu' NEW &&\n"
			      "    dd if=%s of=NEW bs=2M conv=notrunc && mv NEW %s",
			      size, f->path, f->path);
	return format("fallocate -l %llu NEW &&\n"
		      "    dd if=%s of=NEW bs=2M conv=notrunc && mv NEW %s\n"
		      "    # aligned if fs_dax.align is on, or\n"
		      "    # mkfs.ext4 had -E stride=512,stripe_width=512",
		      size, f->path, f->path);
}

static char *move_device(enum layer layer, const struct device *d)
{
	if (layer == LAYER_NAMESPACE)
		return format("ndctl create-namespace -f -e %s --mode=fsdax --align=2M # erases it",
			      d->namespace[0] ? d->namespace : "NAMESPACE");
	if (layer == LAYER_PARTITION)
		return format("echo 'start=4096' | sfdisk /dev/%s\n"
			      "    # or another multiple of 4096 sectors; erases it",
			      d->parent ? d->parent->name : "DISK");
	if (!strncmp(d->uuid, "LVM-", 4))
		return format("pvcreate --dataalignment 2m, vgcreate -s 4m, lvcreate # erases %s",
			      d->name);
	return format("dmsetup: let each target of %s start and end at a multiple of\n"
		      "    4096 sectors, on both sides # erases it", d->name);
}

char *advice(enum reason reason, enum layer layer, const struct file *f)
{
	if (layer == LAYER_NAMESPACE || layer == LAYER_PARTITION || layer == LAYER_DM)
		return move_device(layer, culprit_of(f, layer));
	switch (reason) {
	case REASON_EOF:
		return format("truncate -s %%2M %s # a multiple of 2 MiB", f->path);
	case REASON_EXTENT_SHORT:
	case REASON_MISALIGNED_PFN:
	case REASON_FRAGMENTED:
		return move_blocks(f);
	case REASON_ALLOCATOR:
		return format("fallocate -l %llu %s, and look again", (unsigned long long)f->size,
			      f->path);
	case REASON_PROMOTABLE:
		return format("daxmap --collapse %s", f->path);
	case REASON_SMALL_ENTRIES:
		return format("unmap the file in all processes, then:\n"
			      "    echo 2 > /proc/sys/vm/drop_caches");
	case REASON_COLOUR:
		return format("mmap the file so that address and offset are equal modulo 2 MiB");
	case REASON_VMA:
		return format("map whole multiples of 2 MiB, at once");
	default:
		return NULL;
	}
}
