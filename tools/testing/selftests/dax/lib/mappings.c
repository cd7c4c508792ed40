// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of a known alignment, what is mapped there, and accesses that may fail.
 */
#include <setjmp.h>

#include "internal.h"

/* A mapping keeps a filesystem busy: all are unmapped before an unmount. */
static struct {
	void *addr;
	size_t len;
} reserved[4096];
static unsigned int nr_reserved;

void unmap_all(void)
{
	while (nr_reserved--)
		munmap(reserved[nr_reserved].addr, reserved[nr_reserved].len);
	nr_reserved = 0;
}

char *dax_mmap(int fd, off_t off, size_t len, int prot, int flags, size_t shift)
{
	size_t room = len + 2 * SZ_2M;
	char *addr, *p;

	addr = dax_anonymous(room, PROT_NONE);
	if (nr_reserved < ARRAY_LEN(reserved)) {
		reserved[nr_reserved].addr = addr;
		reserved[nr_reserved++].len = room;
	}
	p = (char *)(((uintptr_t)addr + SZ_2M - 1) & -SZ_2M);
	p += (off + shift) % SZ_2M;
	p = mmap(p, len, prot, flags | MAP_FIXED, fd, off);
	if (p == MAP_FAILED)
		dax_exit_fail("mmap of %zu bytes at %#lx: %m", len, off);
	return p;
}

char *dax_map(int fd, off_t off, size_t len)
{
	return dax_mmap(fd, off, len, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

char *dax_map_private(int fd, off_t off, size_t len)
{
	return dax_mmap(fd, off, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}

char *dax_map_shift(int fd, size_t len, size_t shift)
{
	return dax_mmap(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, shift);
}

char *dax_map_small(int fd, size_t len)
{
	return dax_map_shift(fd, len, SZ_4K);
}

void *dax_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		dax_exit_fail("mmap: %m");
	return p;
}

char *dax_anonymous(size_t len, int prot)
{
	char *p = mmap(NULL, len, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		dax_exit_fail("no address space for %zu bytes: %m", len);
	return p;
}

void dax_unmap(void *addr, size_t len)
{
	if (munmap(addr, len))
		dax_exit_fail("munmap: %m");
}

void dax_zap(void *addr, size_t len)
{
	if (madvise(addr, len, MADV_DONTNEED))
		dax_exit_fail("MADV_DONTNEED: %m");
}

void dax_msync(void *addr, size_t len)
{
	if (msync(addr, len, MS_SYNC))
		dax_exit_fail("msync: %m");
}

void dax_fsync(int fd)
{
	if (fsync(fd))
		dax_exit_fail("fsync: %m");
}

void dax_touch_by_ptes(int fd, char *p, size_t len, bool write)
{
	for (size_t at = 0; at < len; at += SZ_2M) {
		char *one = dax_map(fd, at + 9 * SZ_4K, SZ_4K);

		dax_peek(one);
		dax_unmap(one, SZ_4K);
	}
	dax_touch_each(p, len, SZ_4K, write);
}

void dax_into_pipe(int pipe_fd[2], char *page)
{
	struct iovec iov = { page, SZ_4K };

	if (pipe(pipe_fd))
		dax_exit_fail("pipe: %m");
	if (vmsplice(pipe_fd[1], &iov, 1, 0) != (ssize_t)SZ_4K)
		dax_exit_fail("vmsplice: %m");
}

static int open_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0)
		dax_exit_fail("/proc/self/pagemap: %m");
	return fd;
}

/* PAGEMAP_SCAN is the one interface that tells the size of a DAX mapping. */
static unsigned int pagemap_scan(int fd, uint64_t start, size_t len,
				 struct page_region *regions, unsigned int nr)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = start + len,
		.vec = (uintptr_t)regions,
		.vec_len = nr,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_HUGE | PAGE_IS_PFNZERO,
	};
	int ret = ioctl(fd, PAGEMAP_SCAN, &arg);

	if (ret < 0)
		dax_exit_fail("PAGEMAP_SCAN: %m");
	return ret;
}

static const char *region_name(const struct page_region *region)
{
	bool zero = region->categories & PAGE_IS_PFNZERO;

	if (region->categories & PAGE_IS_HUGE)
		return zero ? "2M zero" : "2M";
	return zero ? "4K zero" : "4K";
}

const char *dax_mapped(const void *addr)
{
	struct page_region region = {};
	int fd = open_pagemap();
	unsigned int nr;

	nr = pagemap_scan(fd, (uintptr_t)addr & -SZ_4K, SZ_4K, &region, 1);
	close(fd);
	return nr ? region_name(&region) : "none";
}

void dax_pagemap(const void *addr, uint64_t *words, unsigned int nr)
{
	off_t off = (uintptr_t)addr / SZ_4K * sizeof(*words);
	ssize_t len = nr * sizeof(*words);
	int fd = open_pagemap();

	if (pread(fd, words, len, off) != len)
		dax_exit_fail("/proc/self/pagemap: %m");
	close(fd);
}

static void pagemap_pfns(const void *addr, uint64_t *pfns, unsigned int nr)
{
	dax_pagemap(addr, pfns, nr);
	for (unsigned int i = 0; i < nr; i++)
		pfns[i] = pfns[i] >> 63 ? pfns[i] & ((1ULL << 55) - 1) : 0;
}

uint64_t dax_pfn(const void *addr)
{
	uint64_t pfn;

	pagemap_pfns(addr, &pfn, 1);
	return pfn;
}

void dax_snapshot_ptes(struct dax_ptes *view, const char *addr)
{
	uint64_t start = (uintptr_t)addr & -SZ_4K;
	struct page_region regions[PAGES_2M];
	int fd = open_pagemap();
	unsigned int nr;

	for (unsigned int i = 0; i < PAGES_2M; i++)
		view->mapped[i] = "none";
	nr = pagemap_scan(fd, start, SZ_2M, regions, PAGES_2M);
	for (unsigned int i = 0; i < nr; i++)
		for (uint64_t at = regions[i].start; at < regions[i].end; at += SZ_4K)
			view->mapped[(at - start) / SZ_4K] =
				region_name(&regions[i]);
	close(fd);
	pagemap_pfns(addr, view->pfn, PAGES_2M);
}

unsigned int dax_ptes_changed(const struct dax_ptes *view, const char *addr)
{
	struct dax_ptes now;
	unsigned int nr = 0;

	dax_snapshot_ptes(&now, addr);
	for (unsigned int i = 0; i < PAGES_2M; i++)
		nr += strcmp(view->mapped[i], now.mapped[i]) ||
		      view->pfn[i] != now.pfn[i];
	return nr;
}

/* An access of this thread that raises a signal returns here. */
static __thread struct {
	sigjmp_buf env;
	volatile bool armed;
	siginfo_t info;
} guard;

static void (*guard_stray)(const siginfo_t *info);

static void guard_handler(int sig, siginfo_t *info, void *context)
{
	if (guard.armed) {
		guard.info = *info;
		siglongjmp(guard.env, sig);
	}
	if (guard_stray)
		guard_stray(info);
	signal(sig, SIG_DFL);
}

static void guard_install(struct sigaction *old_bus, struct sigaction *old_segv)
{
	struct sigaction action = {
		.sa_sigaction = guard_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &action, old_bus);
	sigaction(SIGSEGV, &action, old_segv);
}

void dax_guard(void (*stray)(const siginfo_t *info))
{
	guard_stray = stray;
	guard_install(NULL, NULL);
}

/* The compiler must not see that nobody wants what a load returns. */
__attribute__((noinline))
int dax_guarded_copy(void *to, const void *from, size_t len, siginfo_t *info)
{
	int sig;

	/* The mask need not be saved, as SA_NODEFER leaves it as it is. */
	sig = sigsetjmp(guard.env, 0);
	if (!sig) {
		guard.armed = true;
		if (from)
			memcpy(to, from, len);
		else if (madvise(to, len, MADV_HWPOISON))
			sig = -errno;
	} else if (info) {
		*info = guard.info;
	}
	guard.armed = false;
	return sig;
}

static int touch(void *to, const void *from, size_t len, siginfo_t *info)
{
	struct sigaction bus, segv;
	int ret;

	guard_install(&bus, &segv);
	ret = dax_guarded_copy(to, from, len, info);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return ret;
}

int dax_touch_signal(char *addr, bool write, siginfo_t *info)
{
	char byte = 'w';

	return write ? touch(addr, &byte, 1, info) : touch(&byte, addr, 1, info);
}

int dax_poison(char *addr, siginfo_t *info)
{
	return touch(addr, NULL, SZ_4K, info);
}
