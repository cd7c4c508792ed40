// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files and mappings of the benchmark. Those of the selftests insist on
 * aligned blocks; here it is the file system that is asked what it gives.
 */
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "bench.h"

static int new_file(const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dax_dir(), name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		dax_exit_fail("%s: %s", path, strerror(errno));
	return fd;
}

static int temporary_file(void)
{
	int fd = new_file("file");

	dax_unlink(fd);
	return fd;
}

int file_hole(size_t len)
{
	int fd = temporary_file();

	dax_truncate(fd, len);
	dax_fsync(fd);
	return fd;
}

int file_falloc(size_t len)
{
	int fd = temporary_file();

	dax_falloc(fd, 0, 0, len);
	dax_fsync(fd);
	return fd;
}

int file_written(size_t len)
{
	int fd = file_falloc(len);

	dax_fill(fd, 0, len, 'w');
	dax_fsync(fd);
	return fd;
}

int file_falloc_keep_size(size_t len)
{
	int fd = temporary_file();

	dax_falloc(fd, FALLOC_FL_KEEP_SIZE, 0, len);
	dax_fsync(fd);
	return fd;
}

/*
 * In each 2 MiB, from a place of its own on, the blocks are those of another
 * run: none of them can ever be mapped huge.
 */
int file_fragmented(size_t len)
{
	unsigned long seed = 4;
	int fd = temporary_file();

	dax_falloc(fd, 0, 0, len);
	for (size_t off = 0; off < len; off += SZ_2M)
		dax_falloc(fd, FALLOC_FL_INSERT_RANGE,
			   off + (1 + random_next(&seed) % 510) * SZ_4K, SZ_4K);
	dax_truncate(fd, len);
	dax_falloc(fd, 0, 0, len);
	dax_fsync(fd);
	return fd;
}

char *map_file(int fd, size_t len, size_t shift)
{
	return dax_mmap(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, shift);
}

/* Good enough for shuffling, and the same everywhere (xorshift64). */
unsigned long random_next(unsigned long *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/*
 * Age a new file system: files of 4 KiB to 1 MiB until it is full, small ones
 * as often as large ones, and then every second of them deleted at random.
 */
void fill_at_random(unsigned int seed)
{
	unsigned long state = seed;
	char path[PATH_MAX], name[32];
	unsigned int nr = 0;
	int fd, err = 0;

	while (!err) {
		unsigned long pages = 1UL << random_next(&state) % 9;

		pages = pages / 2 + random_next(&state) % pages;
		snprintf(name, sizeof(name), "old-%u", nr);
		fd = new_file(name);
		err = fallocate(fd, 0, 0, (pages + 1) * SZ_4K);
		if (err && errno != ENOSPC)
			dax_exit_fail("fallocate: %s", strerror(errno));
		close(fd);
		nr++;
	}
	sync();
	for (unsigned int i = 0; i < nr; i++) {
		if (random_next(&state) >> 32 & 1)
			continue;
		snprintf(path, sizeof(path), "%s/old-%u", dax_dir(), i);
		if (unlink(path))
			dax_exit_fail("%s: %s", path, strerror(errno));
	}
	settle();
}

unsigned int share_huge(const char *map, size_t len)
{
	struct page_region region[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)map,
		.end = (uintptr_t)map + len,
		.vec = (uintptr_t)region,
		.vec_len = ARRAY_LEN(region),
		.category_mask = PAGE_IS_PRESENT | PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t huge = 0;
	int nr;

	if (fd < 0)
		dax_exit_fail("/proc/self/pagemap: %s", strerror(errno));
	while (arg.start < arg.end) {
		nr = ioctl(fd, PAGEMAP_SCAN, &arg);
		if (nr < 0)
			dax_exit_fail("PAGEMAP_SCAN: %s", strerror(errno));
		for (int i = 0; i < nr; i++)
			huge += region[i].end - region[i].start;
		if (!arg.walk_end || arg.walk_end == arg.start)
			break;
		arg.start = arg.walk_end;
	}
	close(fd);
	return huge * 100 / len;
}

bool set_policy(const char *policy)
{
	int err;

	err = dax_write_file("/sys/module/fs_dax/parameters/promote", "%s",
			     policy);
	if (err && err != -ENOENT)
		dax_exit_fail("promote=%s: %s", policy, strerror(-err));
	return !err;
}
