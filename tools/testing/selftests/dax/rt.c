// SPDX-License-Identifier: GPL-2.0-only
/*
 * XFS files whose blocks are on a realtime device. XFS allocates such blocks in rt
 * extents, and has no record of parts of one: a write or store of 4 KiB into a
 * hole gets all rt extents that it touches, aligned to their borders.
 * The parts of them that are not written read zero, and are not zeroed by the
 * write.
 */
#include <linux/fiemap.h>

#include "dax_harness.h"

DAX_NEEDS(dax_no_reflink())

#define RT_MIB	256
#define RT_MIB_MANY_FILES	512	/* eight rt extents of the largest size */
#define FILE_SIZE	(6 * SZ_2M)

FIXTURE_VARIANT(dax) {
	const char *text;	/* of an rt extent, for mkfs.xfs */
	size_t size;
};

FIXTURE_VARIANT_ADD(dax, 12k) { .text = "12k", .size = 3 * SZ_4K };
FIXTURE_VARIANT_ADD(dax, 64m) { .text = "64m", .size = 32 * SZ_2M };

/* The bytes that a file should hold, and the rt extents that it should have. */
struct model {
	char *bytes;
	size_t rt_size;
	bool *rt;
	bool any_blocks;	/* not known which it has */
};

static void model_init(struct model *model, size_t rt_size)
{
	model->rt_size = rt_size;
	model->any_blocks = false;
	model->bytes = calloc(1, FILE_SIZE);
	model->rt = calloc(FILE_SIZE / rt_size + 1, sizeof(bool));
	if (!model->bytes || !model->rt)
		dax_exit_fail("no memory");
}

static void model_touch(struct model *model, size_t at, size_t len)
{
	for (size_t rt = at / model->rt_size;
	     rt <= (at + len - 1) / model->rt_size; rt++)
		model->rt[rt] = true;
}

static void model_fill(struct model *model, size_t at, size_t len, int byte)
{
	memset(model->bytes + at, byte, len);
	model_touch(model, at, len);
}

static void fill(struct model *model, int fd, size_t at, size_t len, int byte)
{
	dax_fill(fd, at, len, byte);
	model_fill(model, at, len, byte);
}

static void store(struct model *model, char *p, size_t at, int byte)
{
	dax_poke(p + at, byte);
	model_fill(model, at, 1, byte);
}

static size_t model_blocks(const struct model *model)
{
	size_t nr = 0;

	for (size_t rt = 0; rt <= (FILE_SIZE - 1) / model->rt_size; rt++)
		nr += model->rt[rt];
	return nr * model->rt_size;
}

/* The list of them is counted, too, but takes less than an rt extent. */
static size_t file_blocks(int fd, size_t rt_size)
{
	struct stat st;

	if (fstat(fd, &st))
		dax_exit_fail("fstat: %m");
	return st.st_blocks * 512UL / rt_size * rt_size;
}

static void compare(const struct model *model, int fd, const char *name)
{
	char *p = dax_map_small(fd, FILE_SIZE);

	TH_LOG("%s", name);
	if (!model->any_blocks)
		EXPECT_EQ(model_blocks(model), file_blocks(fd, model->rt_size));
	EXPECT_TRUE(dax_file_is(fd, 0, model->bytes, FILE_SIZE));
	EXPECT_EQ(0, memcmp(model->bytes, p, FILE_SIZE));
	dax_unmap(p, FILE_SIZE);
}

/*
 * Each of @files makes one, and a model of it. They are compared, at once and after
 * a look at what is on the devices.
 */
struct file {
	const char *name;
	/* @p: all of the file, by small faults. */
	void (*make)(struct model *model, int fd, char *p);
};

static void check_files(size_t rt_size, const struct file *files, size_t nr)
{
	char path[8][PATH_MAX];
	struct model model[8];
	char *p;
	int fd;

	for (size_t i = 0; i < nr; i++) {
		model_init(&model[i], rt_size);
		fd = dax_create(files[i].name);
		dax_name(fd, path[i], sizeof(path[i]));
		p = dax_map_small(fd, FILE_SIZE);
		files[i].make(&model[i], fd, p);
		dax_unmap(p, FILE_SIZE);
		compare(&model[i], fd, files[i].name);
		close(fd);
	}
	EXPECT_EQ(0, dax_scratch_check_rt());
	for (size_t i = 0; i < nr; i++) {
		fd = open(path[i], O_RDWR);
		ASSERT_LE(0, fd);
		compare(&model[i], fd, files[i].name);
		close(fd);
	}
}

/* Some 4 KiB or a little more, at odd places, by turns read(2)'s way or not. */
static void touch_odd_places(struct model *model, int fd, char *p)
{
	static const struct {
		size_t at, len;
	} places[] = {
		{ 5 * SZ_4K, SZ_4K },
		{ 7 * SZ_4K + 100, 10 },
		{ 100 * SZ_4K + 4000, 200 },
		{ 200 * SZ_4K, SZ_4K },
		{ SZ_2M - 10, 20 },
		{ SZ_2M + 300 * SZ_4K, 3 * SZ_4K },
		{ 2 * SZ_2M + 1, 1 },
		{ 3 * SZ_2M + 77 * SZ_4K - 1, 2 },
		{ 201 * SZ_4K, SZ_4K },
		{ 4 * SZ_2M + 100 * SZ_4K, 100 * SZ_4K },
		{ 99 * SZ_4K, 10 },
		{ 5 * SZ_2M - SZ_4K, SZ_4K },
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (i % 2)
			dax_fill(fd, places[i].at, places[i].len, 'a' + i);
		else
			memset(p + places[i].at, 'a' + i, places[i].len);
		model_fill(model, places[i].at, places[i].len, 'a' + i);
	}
}

static void into_holes(struct model *model, int fd, char *p)
{
	dax_truncate(fd, FILE_SIZE);
	touch_odd_places(model, fd, p);
}

/* A mapped zero page is no reason to miss a store. */
static void into_mapped_holes(struct model *model, int fd, char *p)
{
	char *huge = dax_map(fd, 0, FILE_SIZE);

	dax_truncate(fd, FILE_SIZE);
	for (size_t at = 0; at < FILE_SIZE; at += SZ_4K)
		if (dax_peek(huge + at) || dax_peek(p + at))
			dax_exit_fail("a hole is not zero");
	touch_odd_places(model, fd, p);
	if (memcmp(model->bytes, huge, FILE_SIZE) ||
	    memcmp(model->bytes, p, FILE_SIZE))
		dax_exit_fail("a mapping shows old data");
	dax_unmap(huge, FILE_SIZE);
}

/*
 * Huge faults touch 2 MiB, be that a part of an rt extent or many of them. If these
 * are not in one piece, the fault is a small one in the end, and some of them stay.
 * The data that were written there before stay, too.
 */
static void huge_faults(struct model *model, int fd, char *small)
{
	static const size_t where[] = { 0, SZ_2M, 4 * SZ_2M };
	char *p = dax_map(fd, 0, FILE_SIZE);

	dax_truncate(fd, FILE_SIZE);
	fill(model, fd, 100 * SZ_4K, SZ_4K, 'w');
	fill(model, fd, SZ_2M + 511 * SZ_4K, SZ_4K, 'w');
	for (size_t i = 0; i < ARRAY_LEN(where); i++) {
		store(model, p, where[i] + 12345, 'h');
		model_touch(model, where[i], SZ_2M);
		if (model->rt_size >= SZ_2M &&
		    strcmp("2M", dax_mapped(p + where[i])))
			dax_exit_fail("an rt extent is not mapped huge");
	}
	model->any_blocks = model->rt_size < SZ_2M;
	dax_unmap(p, FILE_SIZE);
}

/* Punched are whole rt extents. Parts of them are zeroed, and stay. */
static void punched(struct model *model, int fd, char *p)
{
	size_t from = 3 * SZ_2M - 100, to = 5 * SZ_2M - 100;

	fill(model, fd, 0, FILE_SIZE, FILL);
	dax_punch_hole(fd, 17 * SZ_4K, SZ_4K);
	memset(model->bytes + 17 * SZ_4K, 0, SZ_4K);
	dax_punch_hole(fd, from, to - from);
	memset(model->bytes + from, 0, to - from);
	for (size_t rt = from / model->rt_size + 1; rt < to / model->rt_size;
	     rt++)
		model->rt[rt] = false;
	touch_odd_places(model, fd, p);
}

/* A file that grows by a page at a time, and shrinks into an rt extent. */
static void grown_and_shrunk(struct model *model, int fd, char *p)
{
	size_t end = SZ_1M + 5 * SZ_4K + 11;

	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		dax_fill(fd, at, SZ_4K, 'a' + at / SZ_4K % 20);
	dax_truncate(fd, end);
	for (size_t at = 0; at < end; at += SZ_4K)
		model_fill(model, at, at + SZ_4K < end ? SZ_4K : end - at,
			   'a' + at / SZ_4K % 20);
	dax_truncate(fd, FILE_SIZE);
	for (size_t at = end; at < end + 3 * SZ_4K; at += SZ_4K)
		store(model, p, at, 's');
}

TEST_F(dax, into_holes)
{
	static const struct file files[] = {
		{ "into-holes", into_holes },
		{ "into-mapped-holes", into_mapped_holes },
		{ "huge-faults", huge_faults },
		{ "punched", punched },
		{ "grown-and-shrunk", grown_and_shrunk },
	};

	NEED(dax_scratch_rt(RT_MIB_MANY_FILES, variant->text));
	check_files(variant->size, files, ARRAY_LEN(files));
}

/* How many bytes of the file are written blocks, as the filesystem says it. */
static size_t written(int fd)
{
	char space[sizeof(struct fiemap) + 64 * sizeof(struct fiemap_extent)];
	struct fiemap *map = (struct fiemap *)space;
	size_t len = 0;

	memset(space, 0, sizeof(space));
	map->fm_length = FIEMAP_MAX_OFFSET;
	map->fm_extent_count = 64;
	if (ioctl(fd, FS_IOC_FIEMAP, map))
		dax_exit_fail("FIEMAP: %m");
	for (unsigned int i = 0; i < map->fm_mapped_extents; i++)
		if (!(map->fm_extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN))
			len += map->fm_extents[i].fe_length;
	return len;
}

/*
 * Zeroing a large rt extent takes long, with the inode locked: it must not
 * happen.
 */
TEST_F(dax, zeroes_requested_range_only)
{
	char *p;
	int fd;

	NEED(dax_scratch_rt(RT_MIB, variant->text));
	fd = dax_file(FILE_SIZE, HOLE);
	p = dax_map_small(fd, FILE_SIZE);
	dax_poke(p + 10 * SZ_4K, 's');
	EXPECT_EQ(SZ_4K, written(fd));
	dax_fill(fd, 300 * SZ_4K, 2 * SZ_4K, 'w');
	EXPECT_EQ(3 * SZ_4K, written(fd));
	dax_unmap(p, FILE_SIZE);

	fd = dax_create("end");
	dax_fill(fd, 0, SZ_4K, 'w');
	EXPECT_EQ(SZ_4K, written(fd));
	dax_fill(fd, SZ_4K, SZ_4K, 'w');
	EXPECT_EQ(2 * SZ_4K, written(fd));
	EXPECT_EQ((2 * SZ_4K + variant->size - 1) / variant->size *
		  variant->size, file_blocks(fd, variant->size));
}

/* Allocated extents can be written to, also if no others are left. */
static void on_a_full_device(struct model *model, int fd, char *p)
{
	size_t rt = FILE_SIZE / model->rt_size, hole;
	int rest;

	dax_truncate(fd, FILE_SIZE);
	dax_falloc(fd, 0, 0, SZ_2M);
	model_touch(model, 0, SZ_2M);
	rest = dax_fill_up(0);
	if (dax_touch_signal(p + 9 * SZ_4K, true, NULL))
		dax_exit_fail("a store to allocated blocks fails");
	store(model, p, 9 * SZ_4K, 's');
	fill(model, fd, 19 * SZ_4K + 5, 10, 'w');

	/* One comes free, and is enough. */
	hole = (rt - 1) * model->rt_size;
	if (rt > 1) {
		if (dax_touch_signal(p + hole, true, NULL) != SIGBUS)
			dax_exit_fail("there should be no space left");
		dax_punch_hole(rest, 0, model->rt_size);
		if (dax_touch_signal(p + hole, true, NULL))
			dax_exit_fail("a store fails although there is space");
		store(model, p, hole, 's');
	}
	close(rest);
}

TEST_F(dax, on_a_full_device)
{
	static const struct file file = { "file", on_a_full_device };

	NEED(dax_scratch_rt(RT_MIB, variant->text));
	check_files(variant->size, &file, 1);
}

TEST_HARNESS_MAIN
