// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion of every mix of entries in 2 MiB, by a 2 MiB fault for reading and by
 * one for writing. If the range cannot be promoted, the mapping that made the
 * entries does not change.
 */
#include "dax_harness.h"

DAX_NEEDS(dax_no_promotion())

/* Only events that are counted here are enabled, since each costs time. */
#define EVENTS	"dax_fault_fallback dax_grab_entry dax_pmd_fault " \
		"dax_promote_entry dax_pte_fault dax_writeback_one"

/* The page that the huge fault is about, no part of any mix. */
#define SPOT	(203 * SZ_4K + 9)

enum doing {
	LOAD,		/* through the small mapping */
	STORE,
	HOLE_OUT,	/* punch it */
};

/*
 * How 2 MiB come about, which entries there are then (mapped, zero, dirty), and
 * what an aligned mapping is made of after a read or a write; NULL: the
 * allocator decides.
 */
FIXTURE_VARIANT(dax) {
	enum dax_layout layout;
	struct {
		enum doing doing;
		unsigned int from, to, step;	/* pages */
	} part[3];
	unsigned int mapped, zero, dirty;
	const char *read, *write;
};

#define MIX	FIXTURE_VARIANT(dax)

FIXTURE_VARIANT_ADD(dax, all_dirty)
	{ PREALLOC, { { STORE, 0, 512, 1 } }, 512, 0, 512, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, all_clean)
	{ WRITTEN, { { LOAD, 0, 512, 1 } }, 512, 0, 0, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, first_page)
	{ WRITTEN, { { LOAD, 0, 1, 1 } }, 1, 0, 0, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, last_page)
	{ WRITTEN, { { LOAD, 511, 512, 1 } }, 1, 0, 0, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, one_dirty_page)
	{ WRITTEN, { { STORE, 300, 301, 1 } }, 1, 0, 1, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, dirty_and_clean_and_none)
	{ WRITTEN, { { STORE, 0, 512, 3 }, { LOAD, 1, 512, 3 } },
	  342, 0, 171, "2M", "2M" };
FIXTURE_VARIANT_ADD(dax, one_dirty_among_clean)
	{ WRITTEN, { { LOAD, 0, 512, 1 }, { STORE, 511, 512, 1 } },
	  512, 0, 1, "2M", "2M" };

/* Blocks, but no bytes in them yet: reads see zeros, a write takes them. */
FIXTURE_VARIANT_ADD(dax, all_zero)
	{ PREALLOC, { { LOAD, 0, 512, 1 } }, 0, 512, 0, "2M zero", "2M" };
FIXTURE_VARIANT_ADD(dax, one_zero)
	{ PREALLOC, { { LOAD, 77, 78, 1 } }, 0, 1, 0, "2M zero", "2M" };
FIXTURE_VARIANT_ADD(dax, zero_in_hole)
	{ HOLE, { { LOAD, 0, 512, 7 } }, 0, 74, 0, "2M zero" };

/*
 * Only a part is written: a read can map no 2 MiB of that, and a write makes
 * the rest of it bytes, too.
 */
FIXTURE_VARIANT_ADD(dax, written_then_not)
	{ PREALLOC, { { STORE, 0, 100, 1 } }, 100, 0, 100, "4K zero", "2M" };
FIXTURE_VARIANT_ADD(dax, not_written_then_written)
	{ PREALLOC, { { STORE, 412, 512, 1 } }, 100, 0, 100, "4K zero", "2M" };
FIXTURE_VARIANT_ADD(dax, written_here_and_there)
	{ PREALLOC, { { STORE, 0, 512, 16 } }, 32, 0, 32, "4K zero", "2M" };
FIXTURE_VARIANT_ADD(dax, mapped_then_zero)
	{ PREALLOC, { { STORE, 0, 10, 1 }, { LOAD, 100, 110, 1 } },
	  10, 10, 10, "4K zero", "2M" };
FIXTURE_VARIANT_ADD(dax, mapped_and_zero)
	{ PREALLOC, { { STORE, 0, 512, 32 }, { LOAD, 16, 512, 32 } },
	  16, 16, 16, "4K zero", "2M" };

/* A page without a block. */
FIXTURE_VARIANT_ADD(dax, hole_inside)
	{ WRITTEN, { { HOLE_OUT, 7, 8, 1 }, { LOAD, 10, 512, 64 } },
	  8, 0, 0, "4K" };
FIXTURE_VARIANT_ADD(dax, zero_page_over_hole_inside)
	{ WRITTEN,
	  { { HOLE_OUT, 7, 8, 1 }, { LOAD, 0, 16, 1 }, { STORE, 500, 510, 1 } },
	  25, 1, 10, "4K" };

static void make(const MIX *mix, int fd, char *small)
{
	for (size_t i = 0; i < ARRAY_LEN(mix->part); i++) {
		enum doing doing = mix->part[i].doing;

		for (unsigned int page = mix->part[i].from;
		     page < mix->part[i].to; page += mix->part[i].step) {
			size_t at = page * SZ_4K;

			if (doing == LOAD)
				dax_peek(small + at);
			else if (doing == STORE)
				dax_poke(small + at + 1, 'a' + page % 26);
			else
				dax_punch_hole(fd, at, SZ_4K);
		}
	}
}

/*
 * Compares each page that is mapped. Of the pages that would fault first, only
 * some are compared, since all of those faults would be alike.
 */
static unsigned int wrong_pages(const char *view, const char *model)
{
	struct dax_ptes now;
	unsigned int nr = 0;

	dax_snapshot_ptes(&now, view);
	for (unsigned int i = 0; i < PAGES_2M; i++)
		if (i % 32 == 0 || strcmp(now.mapped[i], "none"))
			nr += !!memcmp(view + i * SZ_4K, model + i * SZ_4K,
				       SZ_4K);
	return nr;
}

/* Both mappings show the bytes that pread() returns. */
static void expect_bytes(int fd, const char *model, const char *small,
			 const char *huge)
{
	EXPECT_TRUE(dax_file_is(fd, 0, model, SZ_2M));
	EXPECT_EQ(0, wrong_pages(small, model));
	EXPECT_EQ(0, wrong_pages(huge, model));
}

static void expect_promoted(const MIX *mix, bool write)
{
	const char *access = write ? "write" : "read";

	EXPECT_EQ(1, dax_count("dax_grab_entry", "order 9 %s, action promote",
			       access));
	EXPECT_EQ(1, PROMOTED(mix->mapped + mix->zero, mix->mapped, mix->zero,
			      mix->dirty));
	EXPECT_EQ(1, PROMOTE("try"));
	EXPECT_EQ(1, PROMOTE("replace"));
	EXPECT_EQ(1, PROMOTE("done"));
	EXPECT_EQ(0, ALL_FALLBACKS());
	EXPECT_EQ(0, SMALL_FAULTS());
	EXPECT_EQ(1, HUGE_FAULTS());
}

static void expect_rolled_back(void)
{
	unsigned int nr = PROMOTE("rollback");

	ONCE_OR_TWICE(nr);
	EXPECT_EQ(nr, PROMOTE("try"));
	EXPECT_EQ(nr, PROMOTE("replace"));
	EXPECT_EQ(0, PROMOTE("done"));
	EXPECT_EQ(nr, FALLBACKS("extent-short"));
	EXPECT_EQ(nr, ALL_FALLBACKS());
}

/* The zero pages among those of @view are no longer what is mapped. */
static void expect_no_zero_page(const struct dax_ptes *view, const char *small)
{
	struct dax_ptes now;
	unsigned int stale = 0;

	dax_snapshot_ptes(&now, small);
	for (unsigned int i = 0; i < PAGES_2M; i++)
		stale += !strcmp(view->mapped[i], "4K zero") &&
			 !strcmp(now.mapped[i], "4K zero");
	EXPECT_EQ(0, stale);
}

static void expect_clean(int fd)
{
	dax_trace_clear();
	EXPECT_FLUSHES(0, fd);
}

/* The marks: what is dirty is flushed, once, and the rest is not. */
static void expect_flushes(int fd, const MIX *mix, bool promoted, bool write)
{
	dax_trace_clear();
	if (promoted) {
		EXPECT_FLUSHES(mix->dirty || write, fd);
		EXPECT_EQ(FLUSHES(), FLUSHED(0, SZ_2M));
	} else if (!write) {
		EXPECT_SMALL_FLUSHES(mix->dirty, fd);
	} else {
		dax_fsync(fd);
	}
	expect_clean(fd);
}

/* From here on, stores through either mapping are seen and flushed. */
static void expect_alive(int fd, char *model, char *small, char *huge)
{
	for (size_t at = 5; at < SZ_2M; at += 37 * SZ_4K) {
		dax_poke(small + at, 'S');
		dax_poke(huge + at + 1, 'H');
		model[at] = 'S';
		model[at + 1] = 'H';
	}
	expect_bytes(fd, model, small, huge);
	dax_trace_clear();
	dax_fsync(fd);
	EXPECT_LE(1, FLUSHES());
	expect_clean(fd);
}

static void promote(const MIX *mix, bool write)
{
	const char *want = write ? mix->write : mix->read;
	bool promoted = want && !strncmp(want, "2M", 2);
	char *small, *huge, *model = malloc(SZ_2M);
	struct dax_ptes view;
	int fd = dax_file(SZ_2M, mix->layout);

	/* A fault maps its own page, and no store dirties another. */
	dax_fault_around(SZ_4K);
	small = dax_map_small(fd, SZ_2M);
	make(mix, fd, small);
	dax_read(fd, 0, model, SZ_2M);
	dax_snapshot_ptes(&view, small);

	dax_trace(fd, EVENTS);
	huge = dax_map(fd, 0, SZ_2M);
	if (write)
		dax_poke(huge + SPOT, model[SPOT] = 'W');
	else
		EXPECT_EQ(model[SPOT], dax_peek(huge + SPOT));

	if (want)
		EXPECT_MAPPED(want, huge + SPOT);
	if (promoted)
		expect_promoted(mix, write);
	else if (!write)
		expect_rolled_back();
	if (promoted && mix->zero && write)
		expect_no_zero_page(&view, small);
	else if (promoted ? !mix->zero : !write)
		EXPECT_EQ(0, dax_ptes_changed(&view, small));
	expect_flushes(fd, mix, promoted, write);
	expect_bytes(fd, model, small, huge);
	/* Where a page table is by now, no other page is tried again. */
	if (!promoted && !write)
		EXPECT_EQ(0, PROMOTE("try"));
	expect_alive(fd, model, small, huge);
}

TEST_F(dax, read_and_write_fault)
{
	promote(variant, false);
	promote(variant, true);
}

TEST_HARNESS_MAIN
