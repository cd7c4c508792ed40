// SPDX-License-Identifier: GPL-2.0-only
/* The view of a file: layers, sizes, ranges, what to repair, and a verdict. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

/* --- the layers ------------------------------------------------------------------ */

enum { L_LAYER, L_NAME, L_START, L_ALIGNED, L_DETAIL };

static const struct show_column layer_columns[] = {
	[L_LAYER] = { "LAYER" },
	[L_NAME] = { "NAME" },
	[L_START] = { "START", .right = true },
	[L_ALIGNED] = { "ALIGNED", .right = true, .number = true },
	[L_DETAIL] = { "DETAIL" },
};

static void show_aligned(struct show_table *t, const struct device *d, uint64_t offset)
{
	struct place place = device_place(d, offset, SZ_1G);
	uint64_t align = place_alignment(&place);

	if (align)
		show_size(t, L_ALIGNED, align);
	else
		show_text(t, L_ALIGNED, "?");
}

static void show_disk(struct show_table *t, const struct device *d)
{
	show_row(t);
	show_text(t, L_LAYER, "namespace");
	show_text(t, L_NAME, "%s", d->name);
	if (d->exact)
		show_text(t, L_START, "%#llx", (unsigned long long)d->base);
	else
		show_text(t, L_START, "?");
	show_aligned(t, d, 0);
	show_text(t, L_DETAIL, "%s, mode %s", d->namespace[0] ? d->namespace : "no namespace",
		  d->mode ?: "none");
}

static void show_device(struct show_table *t, const struct device *d)
{
	if (d->kind == DEVICE_DISK) {
		show_disk(t, d);
		return;
	}
	if (d->parent)
		show_device(t, d->parent);
	for (size_t i = 0; i < d->nr_targets; i++)
		for (unsigned int k = 0; k < d->targets[i].nr; k++)
			if (!i || d->targets[i].to[k].device != d->targets[i - 1].to[0].device)
				show_device(t, d->targets[i].to[k].device);
	if (d->kind == DEVICE_PARTITION) {
		show_row(t);
		show_text(t, L_LAYER, "partition");
		show_text(t, L_NAME, "%s", d->name);
		show_size(t, L_START, d->start);
		show_aligned(t, d, 0);
		return;
	}
	for (size_t i = 0; i < MAX(d->nr_targets, 1); i++) {
		const struct target *target = d->nr_targets ? &d->targets[i] : NULL;

		show_row(t);
		show_text(t, L_LAYER, "dm");
		show_text(t, L_NAME, "%s", d->name);
		if (target && target->nr)
			show_size(t, L_START, target->to[0].offset);
		show_aligned(t, d, target ? target->start : 0);
		show_text(t, L_DETAIL, "%s%s", target ? target->type : "table not readable",
			  i == 7 && d->nr_targets > 8 ? ", and more" : "");
		if (i == 7)
			return;
	}
}

static uint64_t extent_alignment(const struct file *f)
{
	uint64_t worst = SZ_1G;

	for (size_t i = 0; i < f->nr_extents; i++) {
		struct place place = device_place(f->device, f->extents[i].at, SZ_2M);

		place.address -= f->extents[i].offset;
		worst = MIN(worst, place_alignment(&place));
	}
	return f->nr_extents ? worst : 0;
}

static void show_layers(const struct file *f)
{
	struct show_table *t = show_table("layers", layer_columns, ARRAY_LEN(layer_columns));
	uint64_t align;

	if (f->device)
		show_device(t, f->device);
	show_row(t);
	show_text(t, L_LAYER, "filesystem");
	show_text(t, L_NAME, "%s", f->mount.target ?: "?");
	show_text(t, L_DETAIL, "%s, blocks of %s%s", f->mount.type ?: "?", size_text(f->block),
		  f->realtime ? ", realtime" : "");
	show_row(t);
	show_text(t, L_LAYER, "extent");
	show_text(t, L_NAME, "%zu extent%s", f->nr_extents, f->nr_extents == 1 ? "" : "s");
	align = f->device ? extent_alignment(f) : 0;
	if (align)
		show_size(t, L_ALIGNED, align);
	show_text(t, L_DETAIL, "the worst of them%s%s", f->extsize ? ", size hint " : "",
		  f->extsize ? size_text(f->extsize) : "");
	show_print(t);
}

/* --- the sizes ------------------------------------------------------------------- */

enum { S_FOR, S_GETS, S_BYTES, S_RANGES, S_SHARE, S_REASON, S_LAYER };

static const struct show_column size_columns[] = {
	[S_FOR] = { "FOR" },
	[S_GETS] = { "GETS" },
	[S_BYTES] = { "BYTES", .right = true, .number = true },
	[S_RANGES] = { "RANGES", .right = true, .number = true },
	[S_SHARE] = { "%", .right = true, .number = true },
	[S_REASON] = { "REASON" },
	[S_LAYER] = { "LAYER" },
};

struct sum {
	uint64_t bytes;
	unsigned long ranges;
};

struct sums {
	struct sum by[NR_GETS][NR_REASONS][NR_LAYERS];
	uint64_t huge;		/* bytes that get 2 MiB, with blocks or without */
	uint64_t could_be_1g;
};

static void add(struct sums *s, const struct range *r, const struct outcome *o)
{
	struct sum *sum = &s->by[o->gets][o->reason][o->layer];

	sum->bytes += r->len;
	sum->ranges++;
	if (o->gets == GETS_2M || o->gets == GETS_ZERO)
		s->huge += r->len;
	if (r->could_be_1g)
		s->could_be_1g += SZ_1G;
}

static void show_sum(struct show_table *t, const char *access, const struct sum *sum,
		     const char *gets, enum reason reason, enum layer layer, uint64_t size)
{
	show_row(t);
	show_text(t, S_FOR, "%s", access);
	show_text(t, S_GETS, "%s", gets);
	show_size(t, S_BYTES, sum->bytes);
	show_text(t, S_RANGES, "%lu", sum->ranges);
	show_text(t, S_SHARE, "%u", percent(sum->bytes, size));
	show_text(t, S_REASON, "%s", reason ? reason_names[reason] : "-");
	show_text(t, S_LAYER, "%s", layer_names[layer]);
}

static void show_sums(struct show_table *t, const char *access, const struct sums *s,
		      uint64_t size)
{
	static const enum gets order[] = {
		GETS_2M, GETS_ZERO, GETS_ANY, GETS_UNKNOWN, GETS_4K
	};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (unsigned int reason = 0; reason < NR_REASONS; reason++)
			for (unsigned int layer = 0; layer < NR_LAYERS; layer++)
				if (s->by[order[i]][reason][layer].ranges)
					show_sum(t, access, &s->by[order[i]][reason][layer],
						 gets_names[order[i]], reason, layer, size);
}

static void show_sizes(const struct file *f, const struct sums *write, const struct sums *read)
{
	struct show_table *t = show_table("sizes", size_columns, ARRAY_LEN(size_columns));
	struct sum sum = { .bytes = write->could_be_1g, .ranges = write->could_be_1g / SZ_1G };

	show_sums(t, "write", write, f->size);
	show_sums(t, "read", read, f->size);
	if (sum.ranges)
		show_sum(t, "1G", &sum, "2M", REASON_UNSUPPORTED, LAYER_KERNEL, f->size);
	show_print(t);
}

/* --- the ranges -------------------------------------------------------------------- */

enum { R_OFFSET, R_LENGTH, R_BLOCKS, R_ADDRESS, R_WRITE, R_READ, R_REASON, R_LAYER };

static const struct show_column range_columns[] = {
	[R_OFFSET] = { "OFFSET", .right = true, .number = true },
	[R_LENGTH] = { "LENGTH", .right = true, .number = true },
	[R_BLOCKS] = { "BLOCKS" },
	[R_ADDRESS] = { "ADDRESS", .right = true },
	[R_WRITE] = { "WRITE" },
	[R_READ] = { "READ" },
	[R_REASON] = { "REASON" },
	[R_LAYER] = { "LAYER" },
};

/* One reason a line: that of the write, which tells more. */
static void show_ranges(const struct range *ranges, size_t nr)
{
	struct show_table *t = show_table("ranges", range_columns, ARRAY_LEN(range_columns));

	for (size_t i = 0; i < nr; i++) {
		const struct range *r = &ranges[i];
		const struct outcome *o = r->write.reason ? &r->write : &r->read;

		show_row(t);
		show_size(t, R_OFFSET, r->offset);
		show_size(t, R_LENGTH, r->len);
		show_text(t, R_BLOCKS, "%s", r->blocks);
		if (r->has_place && r->place.exact)
			show_text(t, R_ADDRESS, "%#llx", (unsigned long long)r->place.address);
		show_text(t, R_WRITE, "%s", gets_names[r->write.gets]);
		show_text(t, R_READ, "%s", gets_names[r->read.gets]);
		show_text(t, R_REASON, "%s", o->reason ? reason_names[o->reason] : "-");
		show_text(t, R_LAYER, "%s", layer_names[o->layer]);
	}
	show_print(t);
}

/* --- what to do about it ----------------------------------------------------------- */

static void show_repairs(const struct file *f, const struct sums *s)
{
	bool told[NR_REASONS][NR_LAYERS] = {};
	bool first = true;

	for (unsigned int gets = 0; gets < NR_GETS; gets++) {
		for (unsigned int reason = 1; reason < NR_REASONS; reason++) {
			for (unsigned int layer = 0; layer < NR_LAYERS; layer++) {
				char *text = NULL;

				if (s->by[gets][reason][layer].ranges && !told[reason][layer])
					text = advice(reason, layer, f);
				if (!text)
					continue;
				told[reason][layer] = true;
				show_note("%srepair of %s (%s):\n    %s", first ? "\n" : "",
					  reason_names[reason], layer_names[layer], text);
				first = false;
				free(text);
			}
		}
	}
}

/* The reason and layer of most bytes that are not huge. */
static void worst(const struct sums *s, enum reason *reason, enum layer *layer)
{
	uint64_t most = 0;

	*reason = REASON_NONE;
	*layer = LAYER_NONE;
	for (unsigned int gets = 0; gets < NR_GETS; gets++)
		for (unsigned int i = 1; i < NR_REASONS; i++)
			for (unsigned int k = 0; k < NR_LAYERS; k++)
				if (s->by[gets][i][k].bytes > most) {
					most = s->by[gets][i][k].bytes;
					*reason = i;
					*layer = k;
				}
}

static uint64_t hidden(const struct sums *s)
{
	return s->by[GETS_UNKNOWN][REASON_HIDDEN][LAYER_NONE].bytes;
}

/* Does the file get what --require asks for? */
static enum status required(const struct file *f, const struct sums *s)
{
	uint64_t huge = opt.require == SZ_1G ? 0 : s->huge;

	if (opt.require && f->size && percent(huge, f->size) >= opt.percent)
		return DAXMAP_OK;
	if (hidden(s) && (!opt.require || percent(huge + hidden(s), f->size) >= opt.percent))
		return DAXMAP_UNKNOWN;
	return opt.require ? DAXMAP_NOT_MET : DAXMAP_OK;
}

static char *verdict(const struct file *f, const struct sums *write, const struct sums *read,
		     enum status status)
{
	const char *met = "";
	enum reason reason;
	enum layer layer;
	char *text, *end;

	if (!f->size)
		return format("the file is empty");
	if (opt.require)
		met = status == DAXMAP_OK ? "met; " : status == DAXMAP_NOT_MET ? "NOT MET; " : "";
	worst(write, &reason, &layer);
	if (!reason)
		worst(read, &reason, &layer);
	end = reason ? format("; mostly %s%s%s", reason_names[reason], layer ? ", by: " : "",
			      layer ? layer_names[layer] : "") : format("%s", "");
	text = format("%s2M for %u %% of writes, %u %% of reads%s%s", met,
		      percent(write->huge, f->size), percent(read->huge, f->size), end,
		      opt.require == SZ_1G ? "; no 1G in this kernel" : "");
	free(end);
	return text;
}

static enum status show_dax_file(const struct file *f)
{
	struct sums *sums = zalloc(2 * sizeof(*sums));
	struct sums *write = &sums[0], *read = &sums[1];
	enum status status;
	struct range *r;
	char *text;
	size_t nr;

	r = predict(f, &nr);
	for (size_t i = 0; i < nr; i++) {
		add(write, &r[i], &r[i].write);
		add(read, &r[i], &r[i].read);
	}
	status = required(f, opt.for_read ? read : write);
	show_layers(f);
	show_sizes(f, write, read);
	if (opt.list)
		show_ranges(r, nr);
	show_repairs(f, write);
	text = verdict(f, write, read, status);
	show_end(status, text);
	free(text);
	free(r);
	free(sums);
	return status;
}

enum status show_file(const char *path)
{
	enum status status = DAXMAP_NOT_DAX;
	struct file *f = file_open(path, path);
	char *text;

	if (!f) {
		warn("%s: %s", path, strerror(errno));
		return errno == EACCES ? DAXMAP_UNKNOWN : DAXMAP_ERROR;
	}
	show_begin(path, "file");
	if (!S_ISREG(f->mode)) {
		show_end(status, "not-dax: it is not a regular file");
	} else if (!f->dax) {
		text = format("not-dax: the kernel caches it in memory; 'daxmap %s' tells why",
			      f->mount.target ?: "MOUNTPOINT");
		show_end(status, text);
		free(text);
	} else if (!f->nr_extents && all_missing() && strstr(all_missing(), "extents")) {
		status = DAXMAP_UNKNOWN;
		show_end(status, "its blocks cannot be seen");
	} else {
		status = show_dax_file(f);
	}
	file_close(f);
	return status;
}
