// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page table of a process, as ranges of one page size.
 *
 * PAGEMAP_SCAN (Linux 6.7) tells the size, and splits nothing. Before that,
 * /proc/PID/pagemap tells only which pages are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daxmap.h"
#include "uapi.h"

static bool sizes = true;

bool pages_have_sizes(void)
{
	return sizes;
}

static enum mapped mapped_by(uint64_t categories)
{
	bool zero = categories & PAGE_IS_PFNZERO;

	if (categories & PAGE_IS_HUGE)
		return zero ? MAPPED_2M_ZERO : MAPPED_2M;
	return zero ? MAPPED_4K_ZERO : MAPPED_4K;
}

static int scan(int fd, uint64_t start, uint64_t end, FILE *out)
{
	enum { NR = 512 };
	static struct page_region regions[NR];

	while (start < end) {
		struct pm_scan_arg arg = {
			.size = sizeof(arg),
			.start = start,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = NR,
			.category_mask = PAGE_IS_PRESENT,
			.return_mask = PAGE_IS_PRESENT | PAGE_IS_HUGE | PAGE_IS_PFNZERO,
		};
		int nr = ioctl(fd, PAGEMAP_SCAN, &arg);

		if (nr < 0)
			return errno;
		for (int i = 0; i < nr; i++)
			fprintf(out, "%llx %llx %d\n", (unsigned long long)regions[i].start,
				(unsigned long long)regions[i].end,
				mapped_by(regions[i].categories));
		if (arg.walk_end <= start)
			break;
		start = arg.walk_end;
	}
	return 0;
}

static void print_some(FILE *out, uint64_t start, uint64_t end)
{
	fprintf(out, "%llx %llx %d\n", (unsigned long long)start, (unsigned long long)end,
		MAPPED_SOME);
}

/* Bit 63 of a word: there is a page. Its size is not told. */
static int read_pagemap(int fd, uint64_t start, uint64_t end, FILE *out)
{
	uint64_t words[512], from = 0;
	bool in = false;

	for (uint64_t at = start; at < end;) {
		size_t nr = MIN(ARRAY_LEN(words), (end - at) / SZ_4K);
		ssize_t got = pread(fd, words, nr * sizeof(words[0]),
				    at / SZ_4K * sizeof(words[0]));

		if (got <= 0)
			return got ? errno : 0;
		for (size_t i = 0; i < got / sizeof(words[0]); i++, at += SZ_4K) {
			bool present = words[i] >> 63;

			if (present && !in)
				from = at;
			if (!present && in)
				print_some(out, from, at);
			in = present;
		}
	}
	if (in)
		print_some(out, from, end);
	return 0;
}

/* "PID START END", the addresses in hexadecimal */
static char *probe_pages(const char *arg)
{
	unsigned long long start, end;
	char *text = NULL, *path;
	int pid, fd, err;
	size_t size;
	FILE *out;

	if (sscanf(arg, "%d %llx %llx", &pid, &start, &end) != 3) {
		errno = EINVAL;
		return NULL;
	}
	path = format("/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	if (fd < 0)
		return NULL;
	out = open_memstream(&text, &size);
	if (!out)
		die("out of memory");
	err = scan(fd, start, end, out);
	if (err == ENOTTY || err == EINVAL)
		err = read_pagemap(fd, start, end, out);
	close(fd);
	fclose(out);
	if (!err)
		return text;
	free(text);
	errno = err;
	return NULL;
}

/* NULL and errno if they cannot be read; *@nr is 0 then. */
struct pages *pages_of(pid_t pid, uint64_t start, uint64_t end, size_t *nr)
{
	unsigned long long from = start, to = end;
	char *arg = format("%d %llx %llx", pid, from, to);
	char *key = format("/proc/%d/pages/%llx-%llx", pid, from, to);
	char *text = fact(key, probe_pages, arg), *line, *save = NULL;
	struct pages *pages = NULL;

	*nr = 0;
	free(arg);
	free(key);
	if (!text)
		return NULL;
	pages = grow(pages, 0, sizeof(*pages));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned int mapped;

		if (sscanf(line, "%llx %llx %u", &from, &to, &mapped) != 3 || mapped >= NR_MAPPED)
			continue;
		pages = grow(pages, *nr, sizeof(*pages));
		pages[(*nr)++] = (struct pages) { from, to, mapped };
		sizes &= mapped != MAPPED_SOME;
	}
	free(text);
	return pages;
}
