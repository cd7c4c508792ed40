// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem: is DAX on, and if not, why; what space is there for huge pages; and
 * which files could gain.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

struct doctor {
	const char *path;
	struct file *root;
	unsigned long block;
	int reflink;		/* -1: not XFS */
	int dax, sync;		/* of a new file; -1: none could be made */
	char *log;
	enum layer layer;
	char *why, *repair;
};

/* --- facts --------------------------------------------------------------------------- */

static char *probe(const struct doctor *d, const char *name, char *(*fn)(const char *arg))
{
	char *key = format("%s.%s", d->path, name);
	char *text = fact(key, fn, d->path);
	int err = errno;

	free(key);
	errno = err;
	return text;
}

static void read_doctor(struct doctor *d)
{
	char *text = probe(d, "geometry", probe_geometry);

	d->reflink = -1;
	d->dax = -1;
	d->sync = -1;
	if (text)
		sscanf(text, "block %lu reflink %d", &d->block, &d->reflink);
	free(text);
	text = probe(d, "scratch", probe_scratch);
	if (text)
		sscanf(text, "dax %d sync %d", &d->dax, &d->sync);
	free(text);
}

/* The last line of the kernel log about DAX and this device. */
static char *log_line(const struct doctor *d)
{
	char *log = fact("/dev/kmsg.dax", probe_kernel_log, NULL), *line, *save = NULL;
	char *found = NULL;

	if (!log) {
		missing("the kernel log (root, or kernel.dmesg_restrict=0)");
		return NULL;
	}
	for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!d->root->device || !strstr(line, d->root->device->name))
			continue;
		free(found);
		found = format("%s", line);
	}
	free(log);
	return found;
}

/* --- why not ------------------------------------------------------------------------- */

static void blame(struct doctor *d, enum layer at, char *why, char *repair)
{
	d->layer = at;
	d->why = why;
	d->repair = repair;
}

static bool blame_device(struct doctor *d)
{
	const struct device *device = d->root->device;
	enum layer layer = LAYER_FILESYSTEM;
	char *why = NULL;

	if (!device) {
		why = format("a filesystem of type %s has no device", d->root->mount.type);
		blame(d, layer, why, NULL);
		return true;
	}
	if (device_is_dax(device, &layer, &why))
		return false;
	while (device->kind == DEVICE_PARTITION && device->parent)
		device = device->parent;
	blame(d, layer, why, layer != LAYER_NAMESPACE || !device->mode ? NULL :
	      format("ndctl create-namespace -f -e %s --mode=fsdax # erases it",
		     device->namespace));
	return true;
}

static bool is_partition(const struct doctor *d)
{
	return d->root->device && d->root->device->kind == DEVICE_PARTITION;
}

static void blame_mount(struct doctor *d)
{
	const char *target = d->root->mount.target;
	const char *options = d->root->mount.options;
	char value[16] = "";

	has_option(options, "dax", value, sizeof(value));
	if (d->block && d->block != SZ_4K) {
		blame(d, LAYER_FILESYSTEM,
		      format("its blocks have %lu bytes; DAX wants those of a page, 4096",
			     d->block),
		      format("mkfs.%s -b %s4096 %s # erases it", d->root->mount.type,
			     strcmp(d->root->mount.type, "xfs") ? "" : "size=",
			     d->root->mount.source));
	} else if (d->reflink == 1 && is_partition(d)) {
		blame(d, LAYER_PARTITION,
		      format("an XFS with reflink on a partition cannot have DAX"),
		      format("mkfs.xfs -m reflink=0 %s # erases it", d->root->mount.source));
	} else if (!strcmp(value, "never")) {
		blame(d, LAYER_FILESYSTEM, format("it is mounted with dax=never"),
		      format("umount %s; mount -o dax=always %s %s", target,
			     d->root->mount.source, target));
	} else {
		blame(d, LAYER_FILESYSTEM,
		      format("it is not mounted with dax=always, and new files have no DAX flag"),
		      format("umount %s; mount -o dax=always %s %s\n"
			     "    # or, for new files: xfs_io -c 'chattr +x' FOLDER",
			     target, d->root->mount.source, target));
	}
}

/* --- space ----------------------------------------------------------------------------- */

struct space {
	uint64_t free, ranges;
	bool known;
};

/* How many 2 MiB ranges of a free piece are aligned in memory? */
static uint64_t aligned_ranges(const struct device *device, uint64_t at, uint64_t len)
{
	uint64_t nr = 0;

	while (len >= SZ_2M) {
		struct place place = device_place(device, at, len);
		uint64_t skip = -place.address & (SZ_2M - 1);

		if (place.modulus < SZ_2M || !place.len)
			break;
		if (place.len >= skip + SZ_2M)
			nr += (place.len - skip) / SZ_2M;
		at += place.len;
		len -= MIN(place.len, len);
	}
	return nr;
}

static struct space free_space(const struct doctor *d)
{
	char *text = probe(d, "free", probe_free_ranges), *line, *save = NULL;
	struct space space = { .known = text };

	if (!text)
		return space;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned int major, minor;
		unsigned long long at, len;

		if (sscanf(line, "%u:%u %llu %llu", &major, &minor, &at, &len) != 4 ||
		    makedev(major, minor) != d->root->number)
			continue;
		space.free += len;
		space.ranges += aligned_ranges(d->root->device, at, len);
	}
	free(text);
	return space;
}

/* --- tables ------------------------------------------------------------------------------ */

enum { C_CHECK, C_RESULT, C_DETAIL };

static const struct show_column check_columns[] = {
	[C_CHECK] = { "CHECK" }, [C_RESULT] = { "RESULT" }, [C_DETAIL] = { "DETAIL" },
};

static void show_check(struct show_table *t, const char *check, const char *result,
		       const char *detail)
{
	show_row(t);
	show_text(t, C_CHECK, "%s", check);
	show_text(t, C_RESULT, "%s", result);
	show_text(t, C_DETAIL, "%s", detail);
}

static const char *yes_no(int value)
{
	return value < 0 ? "?" : value ? "yes" : "no";
}

static void show_alignment(struct show_table *t, const struct doctor *d)
{
	const struct device *culprit;
	enum layer layer;
	struct place place;
	uint64_t align;

	if (!d->root->device)
		return;
	place = device_place(d->root->device, 0, SZ_1G);
	align = place_alignment(&place);
	layer = device_blame(d->root->device, 0, SZ_2M, &culprit);
	show_row(t);
	show_text(t, C_CHECK, "alignment");
	show_text(t, C_RESULT, "%s", align ? size_text(align) : "?");
	if (layer)
		show_text(t, C_DETAIL, "%s starts at no multiple of 2M: %s", culprit->name,
			  layer_names[layer]);
}

static void show_checks(const struct doctor *d, const struct space *space)
{
	struct show_table *t = show_table("checks", check_columns, ARRAY_LEN(check_columns));
	const struct mount_facts *mount = &d->root->mount;
	char value[16] = "";
	bool option = has_option(mount->options, "dax", value, sizeof(value));
	char *text = format("%s on %s, %s%s%s", mount->type ?: "?",
			    d->root->device ? d->root->device->name : mount->source,
			    option ? "dax" : "no option dax", value[0] ? "=" : "", value);

	show_check(t, "filesystem", d->root->mount.target ?: "?", text);
	free(text);
	show_check(t, "DAX", yes_no(d->dax), d->dax < 0 ?
		   "no file could be made there to see" : d->why ?: "of a new file");
	if (d->dax > 0)
		show_check(t, "MAP_SYNC", yes_no(d->sync < 0 ? -1 : !d->sync),
			   d->sync > 0 ? strerror(d->sync) : "");
	show_alignment(t, d);
	if (space->known) {
		text = format("of %s free, aligned in memory", size_text(space->free));
		show_row(t);
		show_text(t, C_CHECK, "free 2M ranges");
		show_text(t, C_RESULT, "%llu", (unsigned long long)space->ranges);
		show_text(t, C_DETAIL, "%s", text);
		free(text);
	}
	if (d->log)
		show_check(t, "kernel log", "-", d->log);
	show_print(t);
}

enum { F_GAIN, F_SIZE, F_FILE };

static const struct show_column file_columns[] = {
	[F_GAIN] = { "GAIN", .right = true, .number = true },
	[F_SIZE] = { "SIZE", .right = true, .number = true },
	[F_FILE] = { "FILE" },
};

struct gain {
	uint64_t gain, size;
	char *path;
};

static int compare_gain(const void *a, const void *b)
{
	const struct gain *x = a, *y = b;

	return (x->gain < y->gain) - (x->gain > y->gain);
}

/* The ten largest files, in the order of what they could gain. */
static void show_files(const struct doctor *d)
{
	char *text = probe(d, "tree", probe_tree), *line, *save = NULL;
	struct show_table *t;
	struct gain gains[10];
	size_t nr = 0;

	if (!text)
		return;
	for (line = strtok_r(text, "\n", &save); line && nr < ARRAY_LEN(gains);
	     line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ' ');
		struct file *f = path ? file_open(path + 1, path + 1) : NULL;

		if (f && f->dax && f->size >= SZ_2M)
			gains[nr++] = (struct gain) { could_gain(f), f->size,
						      format("%s", f->path) };
		file_close(f);
	}
	free(text);
	qsort(gains, nr, sizeof(gains[0]), compare_gain);
	t = show_table("files", file_columns, ARRAY_LEN(file_columns));
	for (size_t i = 0; i < nr; i++) {
		show_row(t);
		show_size(t, F_GAIN, gains[i].gain);
		show_size(t, F_SIZE, gains[i].size);
		show_text(t, F_FILE, "%s", gains[i].path);
		free(gains[i].path);
	}
	show_print(t);
}

/* --- the verdict ------------------------------------------------------------------------- */

static enum status show_verdict(const struct doctor *d)
{
	enum status status = d->dax > 0 ? DAXMAP_OK : d->dax ? DAXMAP_UNKNOWN : DAXMAP_NOT_DAX;
	const struct device *culprit;
	enum layer layer = LAYER_NONE;
	char *text;

	if (d->root->device)
		layer = device_blame(d->root->device, 0, SZ_2M, &culprit);
	if (d->dax > 0 && layer) {
		char *repair = advice(REASON_MISALIGNED_PFN, layer, d->root);

		show_note("\nrepair of misaligned-pfn (%s):\n    %s", layer_names[layer], repair);
		free(repair);
		text = format("DAX is on, and no block is 2M aligned in memory, by: %s",
			      layer_names[layer]);
	} else if (d->dax > 0) {
		text = format("DAX is on");
	} else if (d->why) {
		if (d->repair)
			show_note("\nrepair of not-dax (%s):\n    %s", layer_names[d->layer],
				  d->repair);
		text = format("not-dax, by: %s: %s", layer_names[d->layer], d->why);
	} else {
		text = format("it cannot be told: no file could be made in it %s",
			      "(permission, or read-only)");
	}
	show_end(status, text);
	free(text);
	return status;
}

enum status show_mount(const char *path)
{
	struct doctor d = { .path = path, .root = file_open(path, path) };
	struct space space = {};
	enum status status;

	if (!d.root) {
		warn("%s: %s", path, strerror(errno));
		return DAXMAP_ERROR;
	}
	show_begin(path, "filesystem");
	read_doctor(&d);
	if (blame_device(&d)) {
		d.dax = 0;
	} else {
		if (!d.dax)
			blame_mount(&d);
		space = free_space(&d);
	}
	if (!d.dax)
		d.log = log_line(&d);
	show_checks(&d, &space);
	if (d.dax > 0)
		show_files(&d);
	status = show_verdict(&d);
	file_close(d.root);
	free(d.log);
	free(d.why);
	free(d.repair);
	return status;
}
