// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way from a byte of a block device to memory.
 *
 * A disk is a namespace of persistent memory, which starts at a physical address.
 * A partition starts somewhere in a disk, and a device-mapper device has pieces of
 * other devices. An address that cannot be read may still be known modulo its
 * alignment: struct place has the address modulo @modulus. Only powers of two
 * count, since a huge page needs no more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

#define SECTOR	512ULL

/*
 * DAX wants page structures, and memory hotplug makes them for such pieces alone
 * (PAGES_PER_SUBSECTION).
 */
#define HOTPLUG_ALIGN	SZ_2M

static struct device **known;
static size_t nr_known;

/* A file of the device in /sys. */
static const char *sys(const struct device *d, const char *name)
{
	static char paths[4][64];
	static unsigned int turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "/sys/dev/block/%u:%u/%s", major(d->number),
		 minor(d->number), name);
	return path;
}

static bool get_number(const char *text, dev_t *number)
{
	unsigned int major, minor;

	if (!text || sscanf(text, "%u:%u", &major, &minor) != 2)
		return false;
	*number = makedev(major, minor);
	return true;
}

static void read_name(struct device *d)
{
	char *text = fact_file("%s", sys(d, "uevent"));
	char *name = text ? strstr(text, "DEVNAME=") : NULL;

	if (!name || sscanf(name, "DEVNAME=%63s", d->name) != 1)
		snprintf(d->name, sizeof(d->name), "%u:%u", major(d->number), minor(d->number));
	free(text);
}

/* --- disks ------------------------------------------------------------------ */

static const char *mode_of(const char *namespace)
{
	static const struct {
		const char *prefix, *mode;
	} modes[] = {
		{ "pfn", "fsdax" }, { "btt", "sector" }, { "dax", "devdax" },
		{ "namespace", "raw" },
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (!strncmp(namespace, modes[i].prefix, strlen(modes[i].prefix)))
			return modes[i].mode;
	return NULL;
}

static bool has_pages(const struct device *d)
{
	return !strcmp(d->mode, "fsdax") || !strcmp(d->mode, "memory");
}

/* A kernel that shows the alignment of a disk; Linux 6.12 does not. */
static bool read_align_of_disk(struct device *d)
{
	uint64_t align = fact_number(0, "%s", sys(d, "dax/align"));

	if (!align)
		return false;
	d->base = align >= SZ_1G ? 0 : align;
	d->modulus = align >= SZ_1G ? align : 2 * align;
	return true;
}

/*
 * "resource" of a pfn device is where its data start, that of a namespace where
 * the memory starts, which is the same for a raw one.
 */
static void read_base(struct device *d)
{
	uint64_t align;
	bool denied;

	d->base = fact_number(UINT64_MAX, "%s", sys(d, "device/resource"));
	denied = d->base == UINT64_MAX && errno == EACCES;
	if (d->base != UINT64_MAX && d->base) {
		d->modulus = 1ULL << 63;
		d->exact = true;
		return;
	}
	d->base = 0;
	if (read_align_of_disk(d))
		return;
	align = fact_number(0, "%s", sys(d, "device/align"));
	d->modulus = align;
	if (has_pages(d))
		d->modulus = MAX(align, HOTPLUG_ALIGN);
	if (denied)
		d->hidden = "the start of the namespace (root)";
}

/* "memory": a raw one that has page structures, as memmap= makes it */
static void read_mode(struct device *d)
{
	char *mode = fact_file("%s", sys(d, "device/mode"));

	if (mode && !strcmp(mode, "memory"))
		d->mode = "memory";
	free(mode);
}

static void read_disk(struct device *d)
{
	char *name = fact(sys(d, "device.link"), read_link, sys(d, "device"));

	if (!name)
		return;
	snprintf(d->namespace, sizeof(d->namespace), "%s", name);
	d->mode = mode_of(name);
	free(name);
	if (d->mode && !strcmp(d->mode, "raw"))
		read_mode(d);
	if (d->mode)
		read_base(d);
}

/* --- partitions ------------------------------------------------------------- */

static void read_partition(struct device *d)
{
	char *text = fact(sys(d, "parent.dev"), read_file, sys(d, "../dev"));
	dev_t number;

	d->start *= SECTOR;
	if (get_number(text, &number))
		d->parent = device_find(number);
	free(text);
}

/* --- device-mapper ------------------------------------------------------------ */

/* "N CHUNK DEVICE OFFSET..." or "DEVICE OFFSET" */
static void read_params(struct target *t, const char *params)
{
	unsigned long long chunk, offset;
	unsigned int nr = 1;
	int used = 0;
	char number[32];
	dev_t to;

	if (!strcmp(t->type, "striped")) {
		if (sscanf(params, "%u %llu %n", &nr, &chunk, &used) < 2 || !nr || !chunk)
			return;
		t->chunk = chunk * SECTOR;
		params += used;
	} else if (strcmp(t->type, "linear")) {
		return;
	}
	t->to = zalloc(nr * sizeof(t->to[0]));
	for (unsigned int i = 0; i < nr; i++) {
		if (sscanf(params, "%31s %llu%n", number, &offset, &used) < 2 ||
		    !get_number(number, &to))
			return;
		params += used;
		t->to[i].device = device_find(to);
		t->to[i].offset = offset * SECTOR;
	}
	t->nr = nr;
}

static void read_table(struct device *d, char *text)
{
	char *save = NULL, *line;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long start, len;
		struct target t = {};
		int used = 0;

		if (sscanf(line, "%llu %llu %15s %n", &start, &len, t.type, &used) < 3)
			continue;
		t.start = start * SECTOR;
		t.len = len * SECTOR;
		read_params(&t, line + used);
		d->targets = grow(d->targets, d->nr_targets, sizeof(t));
		d->targets[d->nr_targets++] = t;
	}
}

static void read_dm(struct device *d, char *name)
{
	char number[32];
	char *text;

	d->kind = DEVICE_DM;
	snprintf(d->name, sizeof(d->name), "%s", name);
	text = fact_file("%s", sys(d, "dm/uuid"));
	snprintf(d->uuid, sizeof(d->uuid), "%s", text ?: "");
	free(text);
	snprintf(number, sizeof(number), "%u:%u", major(d->number), minor(d->number));
	text = fact(sys(d, "dm/table"), probe_dm_table, number);
	if (text) {
		read_table(d, text);
	} else if (!read_align_of_disk(d)) {
		d->hidden = errno == EOPNOTSUPP ?
			"the device-mapper table (daxmap was built without libdevmapper)" :
			"the device-mapper table (root)";
	}
	free(text);
}

/* --- all -------------------------------------------------------------------------- */

struct device *device_find(dev_t number)
{
	struct device *d;
	char *name;

	for (size_t i = 0; i < nr_known; i++)
		if (known[i]->number == number)
			return known[i];
	d = zalloc(sizeof(*d));
	d->number = number;
	known = grow(known, nr_known, sizeof(*known));
	known[nr_known++] = d;

	read_name(d);
	d->start = fact_number(UINT64_MAX, "%s", sys(d, "start"));
	name = fact_file("%s", sys(d, "dm/name"));
	if (d->start != UINT64_MAX) {
		d->kind = DEVICE_PARTITION;
		read_partition(d);
	} else if (name) {
		read_dm(d, name);
	} else {
		d->kind = DEVICE_DISK;
		read_disk(d);
	}
	free(name);
	return d;
}

struct device *device_named(const char *path)
{
	char *key = format("%s.number", path);
	char *text = fact(key, probe_device_number, path);
	dev_t number;
	bool found = get_number(text, &number);

	free(key);
	free(text);
	return found ? device_find(number) : NULL;
}

/* Can a filesystem on it use DAX? If not, @layer and @why tell what is in the way. */
bool device_is_dax(const struct device *d, enum layer *layer, char **why)
{
	if (d->kind == DEVICE_PARTITION)
		return d->parent && device_is_dax(d->parent, layer, why);
	if (fact_number(0, "%s", sys(d, "queue/dax")))
		return true;
	*layer = d->kind == DEVICE_DM ? LAYER_DM : LAYER_NAMESPACE;
	for (size_t i = 0; i < d->nr_targets; i++) {
		if (!d->targets[i].nr) {
			*why = format("%s has a target of type %s, which has no DAX", d->name,
				      d->targets[i].type);
			return false;
		}
		for (unsigned int k = 0; k < d->targets[i].nr; k++)
			if (!device_is_dax(d->targets[i].to[k].device, layer, why))
				return false;
	}
	if (d->mode)
		*why = format("%s has the mode %s, which has no DAX; fsdax has", d->namespace,
			      d->mode);
	else
		*why = format("%s is not persistent memory that the kernel can map", d->name);
	return false;
}

static struct place nowhere(uint64_t len)
{
	return (struct place) { .modulus = 0, .len = len };
}

/* The piece of a device-mapper target that has @offset, which counts from its start. */
static struct place target_place(const struct target *t, uint64_t offset, uint64_t len)
{
	uint64_t stripe;

	if (!t->nr)
		return nowhere(len);
	if (!t->chunk)
		return device_place(t->to[0].device, t->to[0].offset + offset,
				    MIN(len, t->len - offset));
	stripe = offset / t->chunk;
	return device_place(t->to[stripe % t->nr].device,
			    t->to[stripe % t->nr].offset + stripe / t->nr * t->chunk +
			    offset % t->chunk,
			    MIN(len, t->chunk - offset % t->chunk));
}

static const struct target *find_target(const struct device *d, uint64_t offset)
{
	for (size_t i = 0; i < d->nr_targets; i++)
		if (offset - d->targets[i].start < d->targets[i].len)
			return &d->targets[i];
	return NULL;
}

struct place device_place(const struct device *d, uint64_t offset, uint64_t len)
{
	const struct target *t;

	if (d->kind == DEVICE_PARTITION)
		return d->parent ? device_place(d->parent, d->start + offset, len) : nowhere(len);
	t = find_target(d, offset);
	if (t)
		return target_place(t, offset - t->start, len);
	if (d->hidden && d->modulus < SZ_2M)
		missing(d->hidden);
	if (!d->modulus)
		return nowhere(len);
	return (struct place) {
		.address = (d->base + offset) & (d->modulus - 1),
		.modulus = d->modulus, .exact = d->exact, .len = len,
	};
}

int place_aligned(const struct place *place, uint64_t offset, uint64_t size)
{
	uint64_t modulus = MIN(place->modulus, size);

	if (!modulus)
		return -1;
	if ((place->address - offset) & (modulus - 1))
		return 0;
	return modulus == size ? 1 : -1;
}

/* The largest power of two that is sure to divide it, at most 1 GiB; 0: not known. */
uint64_t place_alignment(const struct place *place)
{
	uint64_t align = MIN(place->modulus, SZ_1G);

	while (align && (place->address & (align - 1)))
		align /= 2;
	return align;
}

/*
 * The lowest layer whose start is not a multiple of @size, for a byte of @d;
 * LAYER_NONE if all are, or if it is not known.
 */
enum layer device_blame(const struct device *d, uint64_t offset, uint64_t size,
			const struct device **culprit)
{
	struct place place = { .address = d->base, .modulus = d->modulus };
	const struct device *below;
	const struct target *t;
	enum layer layer;
	uint64_t start;
	unsigned int i;

	*culprit = d;
	if (d->kind == DEVICE_DISK)
		return place_aligned(&place, 0, size) ? LAYER_NONE : LAYER_NAMESPACE;
	if (d->kind == DEVICE_PARTITION) {
		layer = d->parent ? device_blame(d->parent, d->start + offset, size, culprit) :
				    LAYER_NONE;
		if (layer)
			return layer;
		*culprit = d;
		return d->start & (size - 1) ? LAYER_PARTITION : LAYER_NONE;
	}
	t = find_target(d, offset);
	if (!t || !t->nr)
		return t || place_aligned(&place, 0, size) ? LAYER_NONE : LAYER_DM;
	offset -= t->start;
	i = t->chunk ? offset / t->chunk % t->nr : 0;
	start = t->chunk ? t->to[i].offset | t->start : t->to[i].offset - t->start;
	below = t->to[i].device;
	layer = device_blame(below, t->to[i].offset, size, culprit);
	if (layer)
		return layer;
	*culprit = d;
	return (start | t->chunk) & (size - 1) ? LAYER_DM : LAYER_NONE;
}
