// SPDX-License-Identifier: GPL-2.0-only
/*
 * The blocks of a file are where huge pages can map them, on a filesystem that was
 * made without options, on any partition, however the file came to be; and that
 * costs no space.
 */
#include <asm/posix_types.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fsmap.h>
#include <sys/ioctl.h>

#include "dax_harness.h"

static const char *no_align(void)
{
	return dax_align(true) ?: dax_no_scratch();
}

DAX_NEEDS(no_align())

#define FS_MIB		1024
#define SMALL_BOUND	(128 * 1024UL)	/* files below are small */

/* About @mib MiB, scaled by DAX_TEST_SCALE. */
static size_t scaled(unsigned int mib)
{
	unsigned int ranges = dax_scale(mib / 2);

	return (ranges < 4 ? 4 : ranges) * SZ_2M;
}

/*
 * How many pages the first block of the filesystem lies behind a border of 2 MiB in
 * memory: a page that is mapped tells.
 */
static unsigned int phase;

static void learn_phase(void)
{
	int fd = dax_create("phase");
	char *p;

	dax_fill(fd, 0, SZ_4K, 'p');
	dax_fsync(fd);
	p = dax_map(fd, 0, SZ_4K);
	dax_poke(p, 'p');
	phase = (dax_pfn(p) - dax_block(fd, 0) / SZ_4K) % PAGES_2M;
	dax_unmap(p, SZ_4K);
	dax_remove(fd);
}

/*
 * The blocks of a 2 MiB range of a file: how many of its pages lie where the first of
 * its pages says.
 */
struct range {
	uint64_t first;		/* page that its first page lies at, by its blocks */
	unsigned int pages;
	bool broken;
};

static void add_pages(struct range *range, uint64_t first, unsigned int nr)
{
	if ((first + phase) % PAGES_2M || (range->pages && range->first != first))
		range->broken = true;
	range->first = first;
	range->pages += nr;
}

static void add_extent(const struct fiemap_extent *extent, struct range *ranges,
		       size_t nr)
{
	uint64_t at = extent->fe_logical / SZ_4K;
	uint64_t end = at + extent->fe_length / SZ_4K;
	uint64_t block = extent->fe_physical / SZ_4K;

	while (at < end && at / PAGES_2M < nr) {
		unsigned int len = PAGES_2M - at % PAGES_2M;

		if (len > end - at)
			len = end - at;
		add_pages(&ranges[at / PAGES_2M], block - at % PAGES_2M, len);
		at += len;
		block += len;
	}
}

static struct range *read_ranges(int fd, size_t nr)
{
	size_t size = sizeof(struct fiemap) + 512 * sizeof(struct fiemap_extent);
	struct range *ranges = calloc(nr, sizeof(*ranges));
	struct fiemap *map = calloc(1, size);
	uint64_t from = 0;

	if (!ranges || !map)
		dax_exit_fail("no memory");
	do {
		memset(map, 0, size);
		map->fm_start = from;
		map->fm_length = nr * SZ_2M - from;
		map->fm_extent_count = 512;
		if (ioctl(fd, FS_IOC_FIEMAP, map))
			dax_exit_fail("FIEMAP: %m");
		for (unsigned int i = 0; i < map->fm_mapped_extents; i++) {
			add_extent(&map->fm_extents[i], ranges, nr);
			from = map->fm_extents[i].fe_logical +
			       map->fm_extents[i].fe_length;
		}
	} while (map->fm_mapped_extents && from < nr * SZ_2M);
	free(map);
	return ranges;
}

/* How many ranges can be huge, by their blocks. */
static unsigned int huge_by_blocks(int fd, size_t len)
{
	struct range *ranges = read_ranges(fd, len / SZ_2M);
	unsigned int huge = 0;

	for (size_t i = 0; i < len / SZ_2M; i++)
		huge += ranges[i].pages == PAGES_2M && !ranges[i].broken;
	free(ranges);
	return huge;
}

/* How many ranges are, after a fault on each. */
static unsigned int huge_by_faults(int fd, size_t len)
{
	char *p = dax_map(fd, 0, len);
	unsigned int huge = 0;

	for (size_t at = 0; at < len; at += SZ_2M) {
		dax_poke(p + at, 'h');
		huge += !strcmp(dax_mapped(p + at), "2M");
	}
	dax_unmap(p, len);
	return huge;
}

/* All ranges but @lost are huge. */
static void expect_huge(const char *what, int fd, size_t len, unsigned int lost)
{
	unsigned int huge = huge_by_blocks(fd, len);

	dax_print_msg("%s: %u of %zu ranges can be huge", what, huge,
		      len / SZ_2M);
	EXPECT_LE(len / SZ_2M - lost, huge);
	EXPECT_EQ(huge, huge_by_faults(fd, len));
}

/* --- how a file comes to be ------------------------------------------------ */

static void falloc_steps(int fd, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		dax_falloc(fd, 0, at, len - at < step ? len - at : step);
}

static void write_steps(int fd, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		dax_fill(fd, at, step, 'w');
}

/* Each of @nr numbers once, in an order that looks like none. */
static size_t shuffled(size_t i, size_t nr)
{
	size_t step = nr * 5 / 8 | 1;

	/* a step that has no divisor in common with nr meets them all */
	for (;; step += 2) {
		size_t a = nr, b = step;

		while (b) {
			size_t rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return i * step % nr;
	}
}

static void store_steps(int fd, size_t len, size_t step, bool random)
{
	char *p;

	dax_truncate(fd, len);
	p = step < SZ_2M ? dax_map_small(fd, len) : dax_map(fd, 0, len);
	for (size_t i = 0; i < len / step; i++)
		dax_poke(p + (random ? shuffled(i, len / step) : i) * step, 's');
	dax_unmap(p, len);
}

static void stores_in_order(int fd, size_t len, size_t step)
{
	store_steps(fd, len, step, false);
}

static void stores_at_random(int fd, size_t len, size_t step)
{
	store_steps(fd, len, step, true);
}

/* As LMDB does: a header by write(2), and the file is as large as its map then. */
static void header_and_stores(int fd, size_t len, size_t step)
{
	dax_fill(fd, 0, 2 * SZ_4K, 'w');
	store_steps(fd, len, step, true);
}

static void header_and_falloc(int fd, size_t len, size_t step)
{
	dax_fill(fd, 0, step, 'w');
	dax_falloc(fd, 0, 0, len);
}

static void writes_at_random(int fd, size_t len, size_t step)
{
	dax_truncate(fd, len);
	for (size_t i = 0; i < len / step; i++)
		dax_fill(fd, shuffled(i, len / step) * step, step, 'w');
}

static const struct way {
	const char *name;
	void (*make)(int fd, size_t len, size_t step);
	unsigned int mib;
	size_t step;
	unsigned int lost;	/* so many ranges may have no huge page */
	bool chance;		/* another block may come to lie in a gap of the file */
} ways[] = {
	{ "fallocate", falloc_steps, 256, SIZE_MAX / 2, 0 },
	{ "fallocate in 1 MiB steps", falloc_steps, 128, SZ_1M, 0 },
	{ "write in 1 MiB steps", write_steps, 64, SZ_1M, 0 },
	{ "write in 128 KiB steps", write_steps, 48, 32 * SZ_4K, 0 },
	/* the first range, whose first blocks are those of a small file */
	{ "write in 64 KiB steps", write_steps, 48, 16 * SZ_4K, 1 },
	{ "write in 4 KiB steps", write_steps, 16, SZ_4K, 1 },
	{ "stores of 2 MiB", stores_in_order, 128, SZ_2M, 0 },
	{ "stores of 2 MiB at random", stores_at_random, 128, SZ_2M, 0 },
	{ "stores of 4 KiB", stores_in_order, 16, SZ_4K, 0 },
	{ "stores of 4 KiB at random", stores_at_random, 24, SZ_4K, 2, true },
	/* the first range, whose header is that of a small file */
	{ "stores behind a header", header_and_stores, 24, SZ_4K, 2, true },
	{ "fallocate behind a header", header_and_falloc, 128, 2 * SZ_4K, 1 },
	{ "writes of 4 KiB at random", writes_at_random, 24, SZ_4K, 2, true },
};

static void one_way(const struct way *way)
{
	unsigned int tries = way->chance ? 5 : 1;
	size_t len = scaled(way->mib);
	int fd;

	while (true) {
		fd = dax_create("file");
		/* ext4 frees the blocks of deleted files when it commits. */
		syncfs(fd);
		way->make(fd, len, way->step);
		if (!--tries || huge_by_blocks(fd, len) + way->lost >= len / SZ_2M)
			break;
		dax_remove(fd);
	}
	expect_huge(way->name, fd, len, way->lost);
	dax_remove(fd);
}

static void each_way(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		one_way(&ways[i]);
}

/* --- files in turn --------------------------------------------------------- */

static void in_turn(unsigned int files, size_t step, unsigned int mib,
		    unsigned int lost)
{
	size_t len = scaled(mib);
	char name[32];
	int fds[16];

	for (unsigned int i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "turn-%u", i);
		fds[i] = dax_create(name);
	}
	for (size_t at = 0; at < len; at += step)
		for (unsigned int i = 0; i < files; i++)
			dax_fill(fds[i], at, step, 't');
	for (unsigned int i = 0; i < files; i++) {
		snprintf(name, sizeof(name), "%u of %u files in turn", i, files);
		expect_huge(name, fds[i], len, lost);
		dax_remove(fds[i]);
	}
}

static void fill_one(unsigned int id, void *arg)
{
	write_steps(((int *)arg)[id], scaled(24), SZ_1M);
}

static void at_once(void)
{
	char name[32];
	int fds[4];

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "at-once-%d", i);
		fds[i] = dax_create(name);
	}
	dax_run_threads(4, fill_one, fds);
	for (int i = 0; i < 4; i++) {
		expect_huge("one of 4 threads", fds[i], scaled(24), 0);
		dax_remove(fds[i]);
	}
}

/* Files of 3 MiB: their first 2 MiB can be huge. */
static void many_files(const char *what, size_t step, bool falloc)
{
	unsigned int huge = 0, nr = dax_scale(40);
	char name[32];

	for (unsigned int i = 0; i < nr; i++) {
		int fd;

		snprintf(name, sizeof(name), "3m-%u", i);
		fd = dax_create(name);
		(falloc ? falloc_steps : write_steps)(fd, 3 * SZ_1M, step);
		huge += huge_by_blocks(fd, SZ_2M);
		close(fd);
	}
	dax_print_msg("%s: %u of %u files of 3 MiB can be huge", what, huge, nr);
	EXPECT_EQ(nr, huge);
	dax_sh("rm -f %s/test-%d/3m-*", dax_dir(), getpid());
}

static void many(void)
{
	in_turn(4, 16 * SZ_4K, 16, 1);
	in_turn(16, SZ_1M, 8, 0);
	at_once();
	many_files("fallocate", 3 * SZ_1M, true);
	many_files("writes of 1 MiB", SZ_1M, false);
	many_files("writes of 128 KiB", 32 * SZ_4K, false);
}

/* --- on filesystems of different shapes ------------------------------------ */

FIXTURE(shape) {};
FIXTURE_VARIANT(shape) {
	const char *xfs, *ext4;		/* options of mkfs */
	unsigned int sector;	/* where the filesystem begins, 0: no partition */
};

FIXTURE_VARIANT_ADD(shape, plain) { "", "", 0 };
FIXTURE_VARIANT_ADD(shape, odd_groups) { "-d agsize=65537b", "-g 20008", 0 };
FIXTURE_VARIANT_ADD(shape, at_1mib) { "-m reflink=0", "", 2048 };
FIXTURE_VARIANT_ADD(shape, at_1028kib) { "-m reflink=0", "", 2056 };

static const char *make_shape(const char *xfs, const char *ext4,
			      unsigned int sector)
{
	const char *dev = dax_scratch_device(), *why;
	char table[256];

	if (sector) {
		snprintf(table, sizeof(table), "0 %u linear %s %u\n",
			 FS_MIB * 2048, dev, sector);
		why = dax_scratch_dm(0, table);
		if (why)
			return why;
		dev = "/dev/mapper/" DAX_SCRATCH_DM;
	}
	why = dax_scratch_plain(dev, FS_MIB, dax_is_xfs() ? xfs : ext4);
	if (!why)
		learn_phase();
	return why;
}

FIXTURE_SETUP(shape)
{
	DAX_SETUP_IF(no_align() ?: make_shape(variant->xfs, variant->ext4,
					      variant->sector));
}

FIXTURE_TEARDOWN(shape)
{
	DAX_TEARDOWN();
}

TEST_F(shape, each_way)
{
	EXPECT_EQ(variant->sector / 8 % PAGES_2M, phase % PAGES_2M);
	each_way();
	EXPECT_EQ(0, dax_scratch_check());
}

/* --- on a plain filesystem ------------------------------------------------- */

DAX_FIXTURE(plain, no_align() ?: make_shape("", "", 0))

TEST_F(plain, many_files)
{
	many();
	EXPECT_EQ(0, dax_scratch_check());
}

/* Where no range is aligned by itself, not even on ext4, which aligns in its groups. */
DAX_FIXTURE(odd, no_align() ?: make_shape("-m reflink=0", "", 2056))

TEST_F(odd, switched_off)
{
	int fd = dax_create("file");

	ASSERT_EQ(NULL, dax_align(false));
	dax_falloc(fd, 0, 0, 16 * SZ_2M);
	EXPECT_EQ(0, huge_by_blocks(fd, 16 * SZ_2M));
	dax_remove(fd);
	dax_align(true);
	fd = dax_create("file");
	dax_falloc(fd, 0, 0, 16 * SZ_2M);
	EXPECT_EQ(16, huge_by_blocks(fd, 16 * SZ_2M));
}

static unsigned long blocks_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		dax_exit_fail("fstat: %m");
	return st.st_blocks / 8;
}

/*
 * On a filesystem that can grow to 4.5 TiB, as one of 4 GiB has it by itself: the
 * metadata take more than one window from the second group of ext4.
 */
DAX_FIXTURE(can_grow, no_align() ?: make_shape("", "-E resize=1200000000", 0))

/*
 * An inode of ext4 holds four extents.  With more of them, the file needs a block for
 * its extent tree, and each change writes to it.
 */
TEST_F(can_grow, few_extents)
{
	size_t len = 256 * SZ_1M;
	int fd = dax_create("file");

	dax_falloc(fd, 0, 0, len);
	/* The first store splits an extent. */
	dax_fill(fd, 0, SZ_4K, 'f');
	dax_fsync(fd);
	EXPECT_EQ(len / SZ_4K, blocks_of(fd));
	dax_remove(fd);
}

/* One page in each 2 MiB: such a file gets what it asks for. */
TEST_F(plain, thin_file)
{
	size_t len = scaled(128);
	int fd = dax_create("thin"), fd2 = dax_create("thin2");
	char *p;

	dax_truncate(fd, len);
	dax_truncate(fd2, len);
	p = dax_map_small(fd2, len);
	for (size_t at = 0; at < len; at += SZ_2M) {
		dax_fill(fd, at + 7 * SZ_4K, SZ_4K, 't');
		dax_poke(p + at + 9 * SZ_4K, 't');
	}
	/* and the blocks of the map of the blocks */
	EXPECT_GE(len / SZ_2M + 2, blocks_of(fd));
	EXPECT_GE(len / SZ_2M + 2, blocks_of(fd2));
}

/* The rest of a window is no reason to take the rest of the next one. */
TEST_F(plain, thin_behind_data)
{
	size_t len = scaled(128);
	int fd = dax_create("thin");

	dax_fill(fd, 0, SZ_1M, 'd');
	for (size_t at = SZ_2M; at < len; at += SZ_2M)
		dax_fill(fd, at, SZ_4K, 't');
	EXPECT_GE(PAGES_2M + len / SZ_2M + 2, blocks_of(fd));
}

/* The blocks beyond the end of a growing file are freed at each close. */
TEST_F(plain, waste_goes_at_close)
{
	char path[PATH_MAX];
	int fd = dax_create("grows");
	size_t len = 0;

	dax_name(fd, path, sizeof(path));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++, len += SZ_1M + SZ_4K)
			dax_fill(fd, len, SZ_1M + SZ_4K, 'g');
		/* at most twice the blocks that were asked for */
		EXPECT_GE(2 * len / SZ_4K, blocks_of(fd));
		close(fd);
		fd = open(path, O_RDWR);
		ASSERT_LE(0, fd);
		EXPECT_GE(len / SZ_4K + 2, blocks_of(fd));
	}
	close(fd);
	EXPECT_EQ(0, dax_scratch_check());
}

/* Later writes get their blocks beside the earlier ones. */
TEST_F(plain, reopened)
{
	size_t len = 4 * SZ_2M;
	char path[PATH_MAX];
	int fd = dax_create("reopened");

	dax_name(fd, path, sizeof(path));
	for (size_t at = 0; at < len; at += SZ_1M / 4) {
		dax_fill(fd, at, SZ_1M / 4, 'r');
		close(fd);
		fd = open(path, O_RDWR);
		ASSERT_LE(0, fd);
	}
	expect_huge("closed after each 256 KiB", fd, len, 0);
	close(fd);
	EXPECT_EQ(0, dax_scratch_check());
}

/* Blocks that fallocate() has put beyond the end of a file stay when it is closed. */
TEST_F(plain, kept_beyond_the_end)
{
	char path[PATH_MAX];
	int fd = dax_create("kept");

	dax_name(fd, path, sizeof(path));
	dax_falloc(fd, FALLOC_FL_KEEP_SIZE, 0, 3 * SZ_1M);
	dax_fill(fd, 0, SZ_1M, 'k');
	close(fd);
	fd = open(path, O_RDWR);
	EXPECT_EQ(3 * SZ_1M / SZ_4K, blocks_of(fd));
}

/*
 * Blocks that are zeroed stay where they are, and no others are looked for.  Holes of
 * the range get blocks.
 */
TEST_F(plain, zeroed_in_place)
{
	size_t from = 3 * SZ_4K + 77, to = 9 * SZ_4K + 5;
	int fd = dax_create("zeroed");
	uint64_t block;
	char *p;

	dax_fill(fd, 0, 2 * SZ_2M, FILL);
	p = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(p + 5 * SZ_4K, 'd');
	block = dax_block(fd, 0);
	dax_trace_thread("xfs/xfs_dax_alloc", "looks >= 0");
	dax_trace_clear();
	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, from, to - from);
	EXPECT_EQ(0, dax_count_all("xfs_dax_alloc"));
	for (size_t at = 0; at < 12 * SZ_4K; at += SZ_4K)
		EXPECT_EQ(block + at, dax_block(fd, at));
	EXPECT_PART(0, p, from, to, 2 * SZ_2M);
	dax_poke_each(p, 12 * SZ_4K, SZ_4K, 'a');
	EXPECT_EQ('a', dax_peek(p + 5 * SZ_4K));
	EXPECT_EQ(0, dax_peek(p + 5 * SZ_4K + 1));

	dax_punch_hole(fd, 20 * SZ_4K, 2 * SZ_4K);
	/* ext4 has what was freed only after a commit of the journal. */
	if (!dax_is_xfs())
		sync();
	dax_falloc(fd, FALLOC_FL_ZERO_RANGE, 19 * SZ_4K, 4 * SZ_4K);
	for (size_t at = 19 * SZ_4K; at < 23 * SZ_4K; at += SZ_4K)
		EXPECT_EQ(block + at, dax_block(fd, at));
	EXPECT_BYTES(0, p + 19 * SZ_4K, 4 * SZ_4K);
	dax_unmap(p, 2 * SZ_2M);
	close(fd);
	EXPECT_EQ(0, dax_scratch_check());
}

/* How many ranges of 2 MiB of memory a free extent has. */
static unsigned int windows_of(const struct fsmap *map)
{
	uint64_t start = map->fmr_physical / SZ_4K + phase;
	uint64_t end = start + map->fmr_length / SZ_4K;

	start = (start + PAGES_2M - 1) / PAGES_2M;
	return end / PAGES_2M > start ? end / PAGES_2M - start : 0;
}

/* How many there are in the free space of the filesystem. */
static unsigned int free_windows(void)
{
	static struct {
		struct fsmap_head head;
		struct fsmap maps[256];
	} fs;
	int fd = open(dax_dir(), O_RDONLY | O_DIRECTORY);
	unsigned int nr = 0, n;

	memset(&fs, 0, sizeof(fs));
	fs.head.fmh_count = ARRAY_LEN(fs.maps);
	fs.head.fmh_keys[1] = (struct fsmap) {
		.fmr_device = UINT_MAX,
		.fmr_flags = UINT_MAX,
		.fmr_physical = UINT64_MAX,
		.fmr_owner = UINT64_MAX,
		.fmr_offset = UINT64_MAX,
	};
	do {
		if (fd < 0 || ioctl(fd, FS_IOC_GETFSMAP, &fs.head))
			dax_exit_fail("GETFSMAP: %m");
		n = fs.head.fmh_entries;
		for (unsigned int i = 0; i < n; i++)
			if ((fs.maps[i].fmr_flags & FMR_OF_SPECIAL_OWNER) &&
			    fs.maps[i].fmr_owner == FMR_OWN_FREE)
				nr += windows_of(&fs.maps[i]);
		if (n)
			fs.head.fmh_keys[0] = fs.maps[n - 1];
	} while (n && !(fs.maps[n - 1].fmr_flags & FMR_OF_LAST));
	close(fd);
	return nr;
}

static void small_files(const char *prefix, unsigned int nr, size_t len)
{
	char name[64];

	for (unsigned int i = 0; i < nr; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s-%u", prefix, i);
		fd = dax_create(name);
		dax_fill(fd, 0, len, 's');
		close(fd);
	}
}

/* Small files fill up what is broken, also between files that are not small. */
TEST_F(plain, small_files_break_few_windows)
{
	unsigned int nr = dax_scale(400), before, after, files, big = 8;
	char name[32];

	before = free_windows();
	small_files("head", 10, SZ_4K);
	for (unsigned int i = 0; i < big; i++) {
		int fd;

		snprintf(name, sizeof(name), "big-%u", i);
		fd = dax_create(name);
		/* leaves 1 MiB of its second window */
		dax_falloc(fd, 0, 0, 3 * SZ_1M);
		close(fd);
		snprintf(name, sizeof(name), "small-%u", i);
		small_files(name, nr / big, 3 * SZ_4K);
	}
	after = free_windows();
	files = nr * 3 / PAGES_2M + 1;
	dax_print_msg("%u windows before, %u after %u small files and %u of 3 MiB",
		      before, after, nr, big);
	EXPECT_LE(before, after + 2 * big + files);
	EXPECT_EQ(0, dax_scratch_check());
}

/*
 * Free space in pieces of all sizes: files from 4 KiB to 4 MiB, of which each second
 * one is deleted.
 */
static void age(void)
{
	char name[32], path[PATH_MAX];
	int fd;

	srandom(17);
	for (unsigned int i = 0; i < 1200; i++) {
		snprintf(name, sizeof(name), "aged-%u", i);
		fd = dax_create(name);
		dax_falloc(fd, 0, 0, (1 + random() % 2) * SZ_4K << random() % 10);
		close(fd);
	}
	for (unsigned int i = 0; i < 1200; i += 2) {
		snprintf(path, sizeof(path), "%s/test-%d/aged-%u", dax_dir(),
			 getpid(), i);
		unlink(path);
	}
	sync();
}

/* The free windows are found among all other free space. */
TEST_F(plain, aged)
{
	unsigned int nr, before;
	size_t len;
	int fd;

	dax_align(false);
	age();
	dax_align(true);
	/* an unmount waits until deleted files have given back their blocks */
	EXPECT_EQ(0, dax_scratch_check());
	before = free_windows();
	fd = dax_create("fallocate");
	len = before / 2 * SZ_2M;
	dax_falloc(fd, 0, 0, len);
	expect_huge("fallocate", fd, len, 0);
	EXPECT_EQ(before - before / 2, free_windows());
	close(fd);
	nr = free_windows() / 8;
	fd = dax_create("write");
	write_steps(fd, nr * SZ_2M, 64 * SZ_4K);
	expect_huge("write in 256 KiB steps", fd, nr * SZ_2M, 0);
	close(fd);
	fd = dax_create("late");
	dax_falloc(fd, 0, SZ_1M, nr * SZ_2M - SZ_1M);
	dax_falloc(fd, 0, 0, SZ_1M);
	expect_huge("fallocate from 1 MiB on, then before", fd, nr * SZ_2M, 0);
	close(fd);
	EXPECT_EQ(0, dax_scratch_check());
}

/* A shared file that is overwritten piece by piece is whole again. */
TEST_F(plain, copy_on_write)
{
	size_t len = 4 * SZ_2M;
	int fd = dax_create("shared"), clone;
	char *p;

	NEED(dax_no_reflink());
	dax_fill(fd, 0, len, 'o');
	dax_fsync(fd);
	clone = dax_clone(fd, "clone");
	p = dax_map_small(clone, len);
	for (size_t at = 0; at < len / SZ_4K; at++)
		dax_poke(p + shuffled(at, len / SZ_4K) * SZ_4K, 'c');
	dax_unmap(p, len);
	expect_huge("copied by stores at random", clone, len, 0);
	expect_huge("the original", fd, len, 0);
	EXPECT_FILE('o', fd, SZ_4K, SZ_4K);
	close(clone);
	close(fd);
	EXPECT_EQ(0, dax_scratch_check());
}

/* How many files of 400 KiB fit, and then of 4 KiB. */
static unsigned int files_until_full(void)
{
	size_t len = 100 * SZ_4K;
	unsigned int nr = 0;
	char path[PATH_MAX];
	int fd;

	for (;;) {
		snprintf(path, sizeof(path), "%s/full-%u", dax_dir(), nr);
		fd = open(path, O_RDWR | O_CREAT, 0600);
		if (fd >= 0 && !fallocate(fd, 0, 0, len)) {
			nr++;
			close(fd);
			continue;
		}
		if (fd >= 0)
			dax_remove(fd);
		if (len == SZ_4K)
			return nr;
		len = SZ_4K;
	}
}

/*
 * Files in a filesystem that is nearly full: as many as without alignment, although
 * files that are still open keep the rest of their windows: a growing one, a thin one
 * and, on XFS, a copy.
 */
static unsigned int fill_and_count(void)
{
	int full = dax_fill_up(40 * SZ_1M), grows = dax_create("grows");
	int fd = dax_create("shared"), thin = dax_create("thin"), clone = -1;
	unsigned int nr;
	char *p;

	dax_fill(fd, 0, 2 * SZ_2M, 'o');
	if (dax_is_xfs())
		clone = dax_clone(fd, "clone");
	else
		dax_truncate(thin, 2 * SZ_2M);
	p = dax_map_small(dax_is_xfs() ? clone : thin, 2 * SZ_2M);
	dax_poke(p, 'c');
	dax_poke(p + SZ_2M, 'c');
	write_steps(grows, SZ_2M, SZ_1M);
	dax_fill(grows, SZ_2M, SZ_4K, 'g');
	nr = files_until_full();
	dax_print_msg("%lu blocks are free, a full file has %lu", dax_free_blocks(),
		      blocks_of(full));
	dax_unmap(p, 2 * SZ_2M);
	close(clone);
	close(thin);
	close(grows);
	close(fd);
	close(full);
	return nr;
}

DAX_FIXTURE(full, no_align())

TEST_F(full, as_many_files_as_unaligned)
{
	unsigned int aligned, unaligned;

	NEED(dax_scratch_plain(dax_scratch_device(), 320, ""));
	aligned = fill_and_count();
	dax_scratch_drop();
	NEED(dax_scratch_plain(dax_scratch_device(), 320, ""));
	dax_align(false);
	unaligned = fill_and_count();
	dax_print_msg("%u files when aligned, %u when not", aligned, unaligned);
	/* on ext4, a file in more than 4 pieces has a block for their map */
	EXPECT_LE(unaligned, aligned + !dax_is_xfs());
	EXPECT_EQ(0, dax_scratch_check());
}

/* The most looks at free space of the allocations since the trace was cleared. */
static unsigned long most_looks(void)
{
	unsigned long looks, most = 0;
	const char *line;

	for (line = dax_trace_text(); *line; line = dax_next_line(line)) {
		const char *at = strstr(line, "looks ");

		if (at && sscanf(at, "looks %lu", &looks) == 1 && looks > most)
			most = looks;
	}
	dax_print_msg("%lu looks at most", most);
	return most;
}

static void trace_looks(void)
{
	dax_trace_thread(dax_is_xfs() ? "xfs/xfs_dax_alloc" :
			 "ext4/ext4_dax_alloc", "looks >= 0");
	dax_trace_clear();
}

/*
 * A walk over free space has an end, also if it meets many pieces that are large
 * enough and hold no aligned window.
 */
TEST_F(plain, bounded_looks)
{
	int fd = dax_create("comb");
	unsigned long most;

	NEED(dax_is_xfs() ? NULL : "ext4 knows groups without windows");
	dax_falloc(fd, 0, 0, 200 * SZ_2M);
	for (size_t at = 0; at < 200 * SZ_2M; at += 2 * SZ_2M)
		dax_punch_hole(fd, at + SZ_4K, 2 * SZ_2M - 2 * SZ_4K);
	close(fd);
	/* After a mount, nothing is known of AGs in which no window was found. */
	EXPECT_EQ(0, dax_scratch_check());
	trace_looks();
	dax_falloc(dax_create("file"), 0, 0, SZ_2M);
	most = most_looks();
	/* Of more than 60 pieces in an AG, a walk looks at 32. */
	EXPECT_LE(16, most);
	EXPECT_GE(48, most);
}

/* The same for a small file, which looks for a piece outside of windows. */
TEST_F(plain, bounded_looks_outside)
{
	int fd = dax_create("comb");
	unsigned long most;

	dax_falloc(fd, 0, 0, 4 * SZ_2M);
	for (size_t at = 0; at < 4 * SZ_2M; at += 2 * SZ_4K)
		dax_punch_hole(fd, at, SZ_4K);
	close(fd);
	/* what was punched is free when the journal is written */
	sync();
	trace_looks();
	dax_falloc(dax_create("file"), 0, 0, 20 * SZ_4K);
	most = most_looks();
	/* a walk, or one in each of 4 groups */
	EXPECT_LE(1, most);
	EXPECT_GE(4 * 32 + 4, most);
}

TEST_HARNESS_MAIN
