// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page size that a fault gets in each 2 MiB of a file, if nothing has mapped
 * 4 KiB pages of it.
 *
 * The kernel asks the filesystem for the 2 MiB around the fault and gets pieces:
 * extents and holes. The stock kernel wants one piece. A kernel with promotion
 * joins pieces if all of them are zero for a read, or if their blocks follow each
 * other; but not shared ones. The blocks have to be aligned in memory, after
 * the partition and device-mapper. A write to a hole or to shared blocks gets new
 * ones, which the filesystem chooses only then.
 *
 * A write also converts unwritten blocks, which become one extent with the written
 * blocks around them. On the stock kernel, a write falls back if the first of two
 * pieces is unwritten. A fault under the lock of the VMA is then repeated, and the
 * second attempt finds one piece. So the result cannot be predicted. Of three pieces,
 * the second attempt still finds two.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

const char * const reason_names[NR_REASONS] = {
	DAX_FALLBACK_REASONS(REASON_NAME, REASON_NAME)
	DAXMAP_REASONS(REASON_NAME)
};

const char * const layer_names[NR_LAYERS] = {
	[LAYER_NONE] = "-",
	[LAYER_NAMESPACE] = "namespace",
	[LAYER_PARTITION] = "partition",
	[LAYER_DM] = "dm",
	[LAYER_FILESYSTEM] = "filesystem",
	[LAYER_EXTENT] = "extent",
	[LAYER_FILE] = "file",
	[LAYER_MAPPING] = "mapping",
	[LAYER_KERNEL] = "kernel",
};

const char * const gets_names[NR_GETS] = {
	[GETS_4K] = "4K", [GETS_2M] = "2M", [GETS_ZERO] = "2M zero",
	[GETS_ANY] = "any", [GETS_UNKNOWN] = "?",
};

#define OUTCOME(gets, reason, layer) \
	((struct outcome) { GETS_##gets, REASON_##reason, LAYER_##layer })

/* The pieces of a range, added up. */
struct pieces {
	unsigned int nr, zero, written, unwritten, hole, shared, no_blocks;
	bool first_zero;	/* the first piece is a hole or unwritten */
	bool apart;		/* a block does not follow the one before it */
	bool device_apart;	/* a target of device-mapper ends in an extent */
	int aligned;
	struct place first;	/* where a block would be at the start of the range */
	uint64_t first_at;	/* the same on the device */
	bool blocks;
	enum layer blame;
};

/* A piece with blocks: is it where the pieces before it want it? */
static void add_blocks(struct pieces *p, const struct file *f, uint64_t start, uint64_t at,
		       uint64_t from, uint64_t len)
{
	const struct device *culprit;

	if (p->blocks && at - (from - start) != p->first_at)
		p->apart = true;
	if (!p->blocks)
		p->first_at = at - (from - start);
	if (f->device) {
		struct place place = device_place(f->device, at, len);
		uint64_t in_range = from - start;

		if (place.len < len)
			p->device_apart = true;
		if (p->blocks && p->first.exact && place.address - in_range != p->first.address)
			p->apart = true;
		if (!p->blocks) {
			p->first = place;
			p->first.address -= in_range;
			p->aligned = place_aligned(&place, in_range, SZ_2M);
			p->blame = device_blame(f->device, at, SZ_2M, &culprit);
		}
	}
	p->blocks = true;
}

static void add_extent(struct pieces *p, const struct file *f, uint64_t start,
		       const struct extent *e, uint64_t from, uint64_t to)
{
	if (!p->nr++)
		p->first_zero = e->flags & EXTENT_UNWRITTEN;
	if (e->flags & EXTENT_NO_BLOCKS) {
		p->no_blocks++;
		return;
	}
	if (e->flags & EXTENT_SHARED)
		p->shared++;
	if (e->flags & EXTENT_UNWRITTEN) {
		p->unwritten++;
		p->zero++;
	} else {
		p->written++;
	}
	add_blocks(p, f, start, e->at + (from - e->offset), from, to - from);
}

static void add_hole(struct pieces *p)
{
	if (!p->nr++)
		p->first_zero = true;
	p->hole++;
	p->zero++;
}

/* The first extent that ends after @offset. */
static size_t find_extent(const struct file *f, uint64_t offset)
{
	size_t low = 0, high = f->nr_extents;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (f->extents[mid].offset + f->extents[mid].len > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void read_pieces(const struct file *f, uint64_t start, struct pieces *p)
{
	uint64_t at = start, end = start + SZ_2M;

	p->aligned = -1;
	for (size_t i = find_extent(f, start); at < end; i++) {
		const struct extent *e = i < f->nr_extents ? &f->extents[i] : NULL;
		uint64_t to;

		if (!e || e->offset > at) {
			add_hole(p);
			at = e ? MIN(e->offset, end) : end;
			if (!e || at == end)
				break;
		}
		to = MIN(e->offset + e->len, end);
		add_extent(p, f, start, e, at, to);
		at = to;
	}
}

/* All have blocks: are they one aligned piece of memory, if they are @joined? */
static struct outcome outcome_of_blocks(const struct pieces *p, bool joined)
{
	if (p->nr > 1 && (!joined || p->apart || p->shared))
		return OUTCOME(4K, EXTENT_SHORT, EXTENT);
	if (p->device_apart)
		return OUTCOME(4K, DEVICE_SHORT, DM);
	if (!p->aligned)
		return (struct outcome) { GETS_4K, REASON_MISALIGNED_PFN,
					  p->blame ?: LAYER_EXTENT };
	if (p->aligned < 0)
		return OUTCOME(UNKNOWN, HIDDEN, NONE);
	return OUTCOME(2M, NONE, NONE);
}

static struct outcome read_outcome(const struct pieces *p)
{
	if (p->zero == p->nr && (p->nr == 1 || kernel()->ours))
		return OUTCOME(ZERO, NONE, NONE);
	if (p->zero)
		return OUTCOME(4K, EXTENT_SHORT, EXTENT);
	return outcome_of_blocks(p, kernel()->ours);
}

static struct outcome write_outcome(const struct pieces *p)
{
	bool changed = !kernel()->ours && p->nr > 1 && p->first_zero;
	struct outcome blocks;

	if (p->shared && p->nr > 1)
		return OUTCOME(4K, EXTENT_SHORT, EXTENT);
	if (p->shared || p->hole == p->nr)
		return OUTCOME(ANY, ALLOCATOR, EXTENT);
	blocks = outcome_of_blocks(p, kernel()->ours || changed);
	if (blocks.gets == GETS_4K)
		return blocks;
	if (p->hole || (changed && p->nr == 2))
		return OUTCOME(ANY, ALLOCATOR, EXTENT);
	return changed ? OUTCOME(4K, EXTENT_SHORT, EXTENT) : blocks;
}

static const char *blocks_name(const struct pieces *p)
{
	if (p->shared)
		return "shared";
	if (p->hole == p->nr)
		return "hole";
	if (p->hole || (p->written && p->unwritten))
		return "mixed";
	return p->unwritten ? "unwritten" : "written";
}

struct range predict_range(const struct file *f, uint64_t offset)
{
	struct range r = { .offset = offset };
	struct pieces p = {};

	r.len = offset < f->size ? MIN(SZ_2M, f->size - offset) : 0;
	read_pieces(f, offset, &p);
	r.blocks = blocks_name(&p);
	r.has_place = p.blocks && p.first.modulus;
	r.place = p.first;
	if (!kernel()->huge) {
		r.read = OUTCOME(4K, UNSUPPORTED, KERNEL);
	} else if (p.no_blocks) {
		r.read = OUTCOME(4K, NOT_DAX, FILE);
	} else if ((f->size + SZ_4K - 1) / SZ_4K < (offset + SZ_2M) / SZ_4K) {
		r.read = OUTCOME(4K, EOF, FILE);
	} else {
		r.read = read_outcome(&p);
		r.write = write_outcome(&p);
		return r;
	}
	r.write = r.read;
	return r;
}

/* 512 ranges that follow each other in memory, from a multiple of 1 GiB on. */
static bool is_1g(const struct range *r, size_t nr)
{
	if (nr < 512 || r->offset % SZ_1G || !r->has_place ||
	    place_aligned(&r->place, 0, SZ_1G) != 1)
		return false;
	for (size_t i = 0; i < 512; i++)
		if (r[i].write.gets != GETS_2M ||
		    r[i].place.address != r->place.address + i * SZ_2M)
			return false;
	return true;
}

struct range *predict(const struct file *f, size_t *nr)
{
	struct range *ranges;

	*nr = (f->size + SZ_2M - 1) / SZ_2M;
	ranges = zalloc((*nr ?: 1) * sizeof(*ranges));
	for (size_t i = 0; i < *nr; i++)
		ranges[i] = predict_range(f, i * SZ_2M);
	for (size_t i = 0; i < *nr; i += 512)
		ranges[i].could_be_1g = is_1g(&ranges[i], *nr - i);
	return ranges;
}

/* So many bytes would be mapped by 2 MiB after a repair. */
uint64_t could_gain(const struct file *f)
{
	uint64_t gain = 0;
	size_t nr;
	struct range *r = predict(f, &nr);

	for (size_t i = 0; i < nr; i++)
		if (r[i].write.gets == GETS_4K)
			gain += r[i].len;
	free(r);
	return gain;
}
