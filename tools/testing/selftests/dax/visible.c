// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files that show DAX mappings to an administrator: how much is mapped, and by
 * which size (smaps), that it is the memory of a file (pagemap), how faults ended (the
 * counters), and to what the memory of a disk is aligned (sysfs).
 */
#include <sys/sysmacros.h>

#include "dax_harness.h"

/* A line of /proc/self/smaps of the mapping at @addr, or -1 if it is not there. */
static long smaps(const char *addr, const char *name)
{
	size_t len = strlen(name);
	char line[256], start[32];
	bool here = false;
	long value = -1;
	FILE *file = fopen("/proc/self/smaps", "r");

	if (!file)
		dax_exit_fail("/proc/self/smaps: %m");
	snprintf(start, sizeof(start), "%lx-", (unsigned long)addr);
	while (value < 0 && fgets(line, sizeof(line), file)) {
		/* A line of maps begins each mapping. */
		if (strspn(line, "0123456789abcdef") && strchr(line, '-'))
			here = !strncmp(line, start, strlen(start));
		else if (here && !strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	}
	fclose(file);
	return value;
}

#define EXPECT_SMAPS(kib, huge_kib, addr) do {				\
	EXPECT_EQ((long)(kib), smaps(addr, "DaxMapped"));		\
	EXPECT_EQ((long)(huge_kib), smaps(addr, "DaxPmdMapped"));	\
} while (0)

/* smaps: the sum, and the part that is huge. */

TEST_F(dax, smaps_by_size)
{
	int fd = dax_file(3 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 3 * SZ_2M), *small;

	EXPECT_SMAPS(0, 0, p);
	dax_poke(p, 'w');
	ASSERT_MAPPED("2M", p);
	EXPECT_SMAPS(2048, 2048, p);
	dax_peek(p + SZ_2M);
	EXPECT_SMAPS(4096, 4096, p);

	dax_fault_around(SZ_4K);
	small = dax_map_small(fd, SZ_2M);
	dax_poke(small, 'w');
	dax_peek(small + 2 * SZ_4K);
	ASSERT_MAPPED("4K", small);
	EXPECT_SMAPS(8, 0, small);
	EXPECT_SMAPS(4096, 4096, p);
}

/* A zero page is not memory of the device. */
TEST_F(dax, smaps_without_holes)
{
	int fd = dax_file(2 * SZ_2M, HOLE);
	char *p = dax_map(fd, 0, 2 * SZ_2M), *small = dax_map(fd, SZ_2M, SZ_4K);

	dax_peek(p);
	ASSERT_MAPPED("2M zero", p);
	EXPECT_SMAPS(0, 0, p);
	dax_peek(small);
	ASSERT_MAPPED("4K zero", small);
	EXPECT_SMAPS(0, 0, small);
}

TEST_F(dax, smaps_without_private_copies)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_private(fd, 0, SZ_2M);

	dax_poke(p, 'w');
	dax_peek(p + SZ_4K);
	EXPECT_SMAPS(4, 0, p);
	EXPECT_EQ(4, smaps(p, "Anonymous"));
}

TEST_F(dax, smaps_of_dax_only)
{
	char *p = dax_anonymous(SZ_2M, PROT_READ | PROT_WRITE);

	dax_poke(p, 'w');
	EXPECT_LE(4, smaps(p, "Rss"));
	EXPECT_EQ(-1, smaps(p, "DaxMapped"));
	EXPECT_EQ(-1, smaps(p, "DaxPmdMapped"));
}

/* THPeligible: the address, the length and the advice allow a huge page. */
TEST_F(dax, eligible_for_huge_pages)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 2 * SZ_2M);

	EXPECT_EQ(1, smaps(p, "THPeligible"));
	EXPECT_EQ(0, smaps(dax_map(fd, 0, SZ_2M - SZ_4K), "THPeligible"));
	EXPECT_EQ(0, smaps(dax_map_small(fd, SZ_2M), "THPeligible"));
	ASSERT_EQ(0, madvise(p, 2 * SZ_2M, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, smaps(p, "THPeligible"));
	dax_poke(p, 'w');
	EXPECT_MAPPED("4K", p);
}

/* pagemap and PAGEMAP_SCAN: the page of a file, or not. */
#define PM_FILE		0x2000000000000000ULL

static bool is_file(char *addr)
{
	struct page_region region = {};
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + SZ_4K,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_FILE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || ioctl(fd, PAGEMAP_SCAN, &arg) != 1)
		dax_exit_fail("PAGEMAP_SCAN: %m");
	close(fd);
	return region.categories & PAGE_IS_FILE;
}

#define EXPECT_OF_FILE(want, addr) do {			\
	uint64_t __word;				\
							\
	dax_pagemap(addr, &__word, 1);			\
	EXPECT_EQ(want, !!(__word & PM_FILE));		\
	EXPECT_EQ(want, is_file(addr));			\
} while (0)

TEST_F(dax, pages_of_a_file)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M), *small = dax_map_small(fd, SZ_2M);

	dax_poke(p, 'w');
	ASSERT_MAPPED("2M", p);
	EXPECT_OF_FILE(true, p);
	dax_peek(small);
	EXPECT_OF_FILE(true, small);
}

TEST_F(dax, private_copies_are_not_of_the_file)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_private(fd, 0, SZ_4K);

	dax_peek(p);
	EXPECT_OF_FILE(true, p);
	dax_poke(p, 'w');
	EXPECT_OF_FILE(false, p);
}

/* The counters of faults; other files may have faults meanwhile. */
TEST_F(dax, faults_are_counted)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, 2 * SZ_2M), *small = dax_map_small(fd, SZ_2M);
	unsigned long huge = dax_faults("order-9"), pages;
	unsigned long colour = dax_faults("colour"), vma = dax_faults("vma");

	dax_poke(p, 'w');
	ASSERT_MAPPED("2M", p);
	EXPECT_EQ(huge + 1, dax_faults("order-9"));

	pages = dax_faults("order-0");
	dax_poke(small + SZ_1M, 'w');
	ASSERT_MAPPED("4K", small + SZ_1M);
	EXPECT_LE(pages + 1, dax_faults("order-0"));
	EXPECT_EQ(huge + 1, dax_faults("order-9"));
	/* The 2 MiB around it do not fit into this mapping, or have another colour. */
	EXPECT_LT(colour + vma, dax_faults("colour") + dax_faults("vma"));
}

/* sysfs: what byte 0 of a disk is aligned to. */
static unsigned long align_of(const char *device)
{
	unsigned long align;
	struct stat st;
	FILE *file;
	char *path;

	if (stat(device, &st))
		dax_exit_fail("%s: %m", device);
	path = dax_text("/sys/dev/block/%u:%u/dax/align", major(st.st_rdev),
			minor(st.st_rdev));
	if (stat(path, &st))
		dax_exit_fail("%s: %m", path);
	if ((st.st_mode & 0777) != 0444)
		dax_exit_fail("%s has mode %o", path, st.st_mode & 0777);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu", &align) != 1)
		dax_exit_fail("%s: %m", path);
	fclose(file);
	return align;
}

DAX_FIXTURE(disk, dax_no_scratch());

TEST_F(disk, alignment)
{
	const char *device = dax_scratch_device();
	unsigned int mib = 64;

	/* Guests have their devices at multiples of 1 GiB, or at least of 2 MiB. */
	EXPECT_LE(SZ_2M, align_of(device));
	for (unsigned long at = SZ_4K; at <= SZ_2M; at *= 2) {
		char *table = dax_text("0 %u linear %s %lu", mib * 2048, device,
				       at / 512);

		NEED(dax_scratch_dm(0, table));
		EXPECT_EQ(at, align_of("/dev/mapper/" DAX_SCRATCH_DM));
		dax_scratch_drop();
	}
}

TEST_HARNESS_MAIN
