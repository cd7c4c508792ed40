// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps a file for vm/guest/deb/check.sh.
 *
 *   mapping map FILE	make the file, store to each page of it by 4 KiB faults, and
 *			map it again, aligned. Prints "mapped" when each page was
 *			read, and waits for a signal.
 *   mapping check FILE	read the file, and compare it with what was stored.
 */

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define SIZE	(16 * HUGE)

/* Room for the file and for any offset from an aligned address. */
static char *room(void)
{
	char *p = mmap(NULL, SIZE + 2 * HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

static uint64_t *map(int fd, char *address)
{
	void *p = mmap(address, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of the file");
	return p;
}

static uint64_t pattern(size_t page)
{
	return 0x9e3779b97f4a7c15ULL * (page + 1);
}

/* No huge page fits where the address and the offset in the file disagree. */
static void store_by_small_pages(int fd)
{
	uint64_t *p = map(fd, room() + PAGE);

	for (size_t page = 0; page < SIZE / PAGE; page++)
		p[page * PAGE / sizeof(*p)] = pattern(page);
	if (msync(p, SIZE, MS_SYNC))
		err(1, "msync");
	munmap(p, SIZE);
}

static void read_aligned(int fd)
{
	volatile uint64_t *p = map(fd, room());

	for (size_t page = 0; page < SIZE / PAGE; page++)
		if (p[page * PAGE / sizeof(*p)] != pattern(page))
			errx(1, "page %zu has other data", page);
}

static void check(int fd)
{
	uint64_t word;

	for (size_t page = 0; page < SIZE / PAGE; page++)
		if (pread(fd, &word, sizeof(word), page * PAGE) != sizeof(word) ||
		    word != pattern(page))
			errx(1, "page %zu has other data", page);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 3)
		errx(2, "usage: mapping map|check FILE");
	fd = open(argv[2], O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		err(1, "%s", argv[2]);
	if (!strcmp(argv[1], "check")) {
		check(fd);
		return 0;
	}
	if (posix_fallocate(fd, 0, SIZE))
		errx(1, "no space for %s", argv[2]);
	store_by_small_pages(fd);
	read_aligned(fd);
	puts("mapped");
	fflush(stdout);
	pause();
	return 0;
}
