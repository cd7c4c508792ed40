// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers of the DAX selftests; dax_test.h says what they are for.
 *
 * Every test runs in a process of its own, so state is plain static data and
 * what a test leaves open ends with it.
 */
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "dax_test.h"

#define TRACEFS		"/sys/kernel/tracing"
#define SCRATCH_DM	"dax-scratch"
#define SCRATCH_RT	"dax-scratch-rt"

static char scratch_dir[64];		/* where the scratch fs is mounted */
static char scratch_dev[PATH_MAX];	/* what is mounted there */
static char work_dir[PATH_MAX];		/* this test's folder */

/* Messages and small things. */

void dax_die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "# cannot go on: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	dax_leave();
	abort();
}

void dax_note(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "# ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
}

int dax_write_file(const char *path, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int fd, len, ret = 0;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != len)
		ret = -errno;
	close(fd);
	return ret;
}

/* Runs a shell command, whose output only a failure shows. */
int dax_sh(const char *fmt, ...)
{
	char command[1024], wrapped[1200];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);

	snprintf(wrapped, sizeof(wrapped),
		 "out=$( { %s ; } 2>&1 ) || { echo \"$out\" | sed 's/^/# /' >&2; exit 1; }",
		 command);
	status = system(wrapped);
	if (status)
		dax_note("failed: %s", command);
	return status;
}

unsigned int dax_scale(unsigned int rounds)
{
	const char *scale = getenv("DAX_TEST_SCALE");
	unsigned int scaled = scale ? rounds * atoi(scale) / 100 : rounds;

	return scaled ? scaled : 1;
}

/* The mount under test. */

const char *dax_dir(void)
{
	return scratch_dir[0] ? scratch_dir : getenv("DAX_DIR");
}

bool dax_is_xfs(void)
{
	struct statfs st;

	if (statfs(getenv("DAX_DIR"), &st))
		dax_die("DAX_DIR=%s: %s", getenv("DAX_DIR"), strerror(errno));
	return st.f_type == XFS_SUPER_MAGIC;
}

static bool is_dax(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx))
		dax_die("statx: %s", strerror(errno));
	return stx.stx_attributes & STATX_ATTR_DAX;
}

static void enter_work_dir(void)
{
	snprintf(work_dir, sizeof(work_dir), "%s/test-%d", dax_dir(), getpid());
	if (mkdir(work_dir, 0700) && errno != EEXIST)
		dax_die("%s: %s", work_dir, strerror(errno));
}

static void remove_work_dir(void)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	DIR *dir;

	dir = opendir(work_dir);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", work_dir, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	rmdir(work_dir);
}

/*
 * A child that sleeps through the test, and if it lasts that long tells the
 * kernel stacks of all tasks of it: they are gone when the harness kills it.
 */
static pid_t watchdog;

static void start_watchdog(void)
{
	char group[16];

	snprintf(group, sizeof(group), "%d", getpgrp());
	watchdog = fork();
	if (watchdog)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sleep(DAX_HANG_SECONDS);
	execl("/bin/sh", "sh", "-c",
	      "for task in $(pgrep -g $0 | sed 's,.*,/proc/&/task/*,'); do\n"
	      "	[ -e $task/stack ] || continue\n"
	      "	echo \"# ${task##*/} $(cat $task/comm) $(grep State $task/status)\"\n"
	      "	sed 's/^/#   /' $task/stack\n"
	      "done >&2", group, NULL);
	_exit(1);
}

static void stop_watchdog(void)
{
	if (watchdog <= 0)
		return;
	kill(watchdog, SIGKILL);
	waitpid(watchdog, NULL, 0);
	watchdog = 0;
}

void dax_enter(void)
{
	int fd;

	start_watchdog();
	enter_work_dir();
	fd = dax_create("is-it-dax");
	if (!is_dax(fd))
		dax_die("%s is not mounted with dax=always", dax_dir());
	dax_unlink(fd);
	close(fd);
}

/* Files. */

int dax_create(const char *name)
{
	char path[PATH_MAX + NAME_MAX + 2];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", work_dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		dax_die("%s: %s", path, strerror(errno));
	return fd;
}

/* A file is of the kind that its folder says when it is made. */
int dax_create_as(const char *name, bool dax)
{
	struct fsxattr attr;
	int dir, fd;

	dir = open(work_dir, O_RDONLY | O_DIRECTORY);
	if (dir < 0 || ioctl(dir, FS_IOC_FSGETXATTR, &attr))
		dax_die("%s: %s", work_dir, strerror(errno));
	attr.fsx_xflags &= ~FS_XFLAG_DAX;
	attr.fsx_xflags |= dax ? FS_XFLAG_DAX : 0;
	if (ioctl(dir, FS_IOC_FSSETXATTR, &attr))
		dax_die("FS_IOC_FSSETXATTR: %s", strerror(errno));
	close(dir);
	fd = dax_create(name);
	if (is_dax(fd) != dax)
		dax_die("%s %s DAX", name, dax ? "is not" : "is");
	return fd;
}

int dax_clone(int fd, const char *name)
{
	int clone = dax_create(name);

	if (ioctl(clone, FICLONE, fd))
		dax_die("FICLONE: %s", strerror(errno));
	return clone;
}

void dax_name(int fd, char *path, size_t size)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, size - 1);
	if (len < 0)
		dax_die("%s: %s", link, strerror(errno));
	path[len] = '\0';
}

void dax_unlink(int fd)
{
	char path[PATH_MAX];

	dax_name(fd, path, sizeof(path));
	if (unlink(path))
		dax_die("unlink %s: %s", path, strerror(errno));
}

void dax_fill(int fd, off_t off, size_t len, int byte)
{
	size_t chunk = len < SZ_2M ? len : SZ_2M;
	char *buf = malloc(chunk);

	if (!buf)
		dax_die("no memory");
	memset(buf, byte, chunk);
	while (len) {
		ssize_t n = pwrite(fd, buf, len < chunk ? len : chunk, off);

		if (n <= 0)
			dax_die("pwrite at %#lx: %s", off, strerror(errno));
		off += n;
		len -= n;
	}
	free(buf);
}

void dax_read(int fd, off_t off, void *buf, size_t len)
{
	ssize_t n = pread(fd, buf, len, off);

	if (n < 0)
		dax_die("pread at %#lx: %s", off, strerror(errno));
	if ((size_t)n != len)
		dax_die("pread at %#lx: %zd of %zu bytes", off, n, len);
}

void dax_falloc(int fd, int mode, off_t off, off_t len)
{
	if (fallocate(fd, mode, off, len))
		dax_die("fallocate mode %#x at %#lx+%#lx: %s", mode, off, len,
			strerror(errno));
}

void dax_punch_hole(int fd, off_t off, off_t len)
{
	dax_falloc(fd, PUNCH_HOLE, off, len);
}

void dax_truncate(int fd, off_t len)
{
	if (ftruncate(fd, len))
		dax_die("ftruncate to %#lx: %s", len, strerror(errno));
}

ssize_t dax_differs(const char *buf, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != (char)byte)
			return i;
	return -1;
}

static bool first_extent(int fd, off_t off, struct fiemap_extent *extent)
{
	char space[sizeof(struct fiemap) + sizeof(*extent)] = {};
	struct fiemap *map = (struct fiemap *)space;

	map->fm_start = off;
	map->fm_length = SZ_2M;
	map->fm_extent_count = 1;
	if (ioctl(fd, FS_IOC_FIEMAP, map))
		dax_die("FIEMAP: %s", strerror(errno));
	*extent = map->fm_extents[0];
	return map->fm_mapped_extents == 1 &&
	       extent->fe_logical <= (uint64_t)off;
}

/* The byte on the device that @off lies at, 0 for a hole. */
uint64_t dax_block(int fd, off_t off)
{
	struct fiemap_extent extent;

	if (!first_extent(fd, off, &extent))
		return 0;
	return extent.fe_physical + off - extent.fe_logical;
}

/* Is [@off, @off + 2 MiB) one extent, at a 2 MiB border of the device? */
bool dax_extent_huge(int fd, off_t off)
{
	struct fiemap_extent extent;

	if (!first_extent(fd, off, &extent))
		return false;
	if (extent.fe_logical + extent.fe_length < off + SZ_2M)
		return false;
	return (extent.fe_physical + off - extent.fe_logical) % SZ_2M == 0;
}

static bool all_extents_huge(int fd, size_t len)
{
	for (off_t off = 0; off + SZ_2M <= len; off += SZ_2M)
		if (!dax_extent_huge(fd, off))
			return false;
	return true;
}

/*
 * A new file. The allocator gives aligned blocks when it likes: files that it
 * gave others stay, so that it has to look elsewhere, until the test ends.
 */
int dax_file(size_t len, enum dax_layout layout)
{
	static unsigned int serial;
	char name[32];
	int fd;

	for (int tries = 0; tries < 16; tries++) {
		snprintf(name, sizeof(name), "file-%u", serial++);
		fd = dax_create(name);
		if (layout == HOLE) {
			dax_truncate(fd, len);
			return fd;
		}
		dax_falloc(fd, 0, 0, len);
		if (layout == WRITTEN)
			dax_fill(fd, 0, len, FILL);
		if (all_extents_huge(fd, len)) {
			dax_fsync(fd);
			return fd;
		}
		close(fd);
	}
	dax_die("no file of %zu bytes got 2 MiB aligned blocks", len);
}

int dax_file_growing(size_t len)
{
	char name[32];
	int fd;

	for (int tries = 0; tries < 16; tries++) {
		snprintf(name, sizeof(name), "growing-%d", tries);
		fd = dax_create(name);
		dax_falloc(fd, FALLOC_FL_KEEP_SIZE, 0, len);
		if (all_extents_huge(fd, len)) {
			dax_fsync(fd);
			return fd;
		}
		close(fd);
	}
	dax_die("no file of %zu bytes got 2 MiB aligned blocks", len);
}

int dax_file_fragmented(void)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);

	/* What was behind the gap moves on by a page, off its border. */
	dax_falloc(fd, FALLOC_FL_INSERT_RANGE, DAX_GAP * SZ_4K, SZ_4K);
	dax_fsync(fd);
	return fd;
}

/* Mappings. */

/* What is mapped keeps a file system busy: all of it goes before an unmount. */
static struct {
	void *addr;
	size_t len;
} reserved[4096];
static unsigned int nr_reserved;

static void unmap_all(void)
{
	while (nr_reserved--)
		munmap(reserved[nr_reserved].addr, reserved[nr_reserved].len);
	nr_reserved = 0;
}

char *dax_map_shifted(int fd, off_t off, size_t len, int prot, int flags,
		      size_t shift)
{
	size_t room = len + 2 * SZ_2M;
	char *addr, *p;

	addr = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr == MAP_FAILED)
		dax_die("no address space for %zu bytes", room);
	if (nr_reserved < ARRAY_LEN(reserved)) {
		reserved[nr_reserved].addr = addr;
		reserved[nr_reserved++].len = room;
	}
	p = (char *)(((uintptr_t)addr + SZ_2M - 1) & -SZ_2M);
	p += (off + shift) % SZ_2M;
	p = mmap(p, len, prot, flags | MAP_FIXED, fd, off);
	if (p == MAP_FAILED)
		dax_die("mmap of %zu bytes at %#lx: %s", len, off,
			strerror(errno));
	return p;
}

char *dax_map(int fd, off_t off, size_t len)
{
	return dax_map_shifted(fd, off, len, PROT_READ | PROT_WRITE,
			       MAP_SHARED, 0);
}

char *dax_map_private(int fd, off_t off, size_t len)
{
	return dax_map_shifted(fd, off, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE, 0);
}

char *dax_map_by(int fd, size_t len, size_t shift)
{
	return dax_map_shifted(fd, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED,
			       shift);
}

char *dax_map_small(int fd, size_t len)
{
	return dax_map_by(fd, len, SZ_4K);
}

void *dax_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		dax_die("mmap: %s", strerror(errno));
	return p;
}

void dax_unmap(void *addr, size_t len)
{
	if (munmap(addr, len))
		dax_die("munmap: %s", strerror(errno));
}

void dax_zap(void *addr, size_t len)
{
	if (madvise(addr, len, MADV_DONTNEED))
		dax_die("MADV_DONTNEED: %s", strerror(errno));
}

void dax_msync(void *addr, size_t len)
{
	if (msync(addr, len, MS_SYNC))
		dax_die("msync: %s", strerror(errno));
}

void dax_fsync(int fd)
{
	if (fsync(fd))
		dax_die("fsync: %s", strerror(errno));
}

static int open_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0)
		dax_die("/proc/self/pagemap: %s", strerror(errno));
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
		dax_die("PAGEMAP_SCAN: %s", strerror(errno));
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

static void pagemap_pfns(int fd, const void *addr, uint64_t *pfns,
			 unsigned int nr)
{
	off_t off = (uintptr_t)addr / SZ_4K * sizeof(*pfns);
	ssize_t len = nr * sizeof(*pfns);

	if (pread(fd, pfns, len, off) != len)
		dax_die("/proc/self/pagemap: %s", strerror(errno));
	for (unsigned int i = 0; i < nr; i++)
		pfns[i] = pfns[i] >> 63 ? pfns[i] & ((1ULL << 55) - 1) : 0;
}

uint64_t dax_pfn(const void *addr)
{
	int fd = open_pagemap();
	uint64_t pfn;

	pagemap_pfns(fd, addr, &pfn, 1);
	close(fd);
	return pfn;
}

void dax_look(struct dax_view *view, const char *addr)
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
	pagemap_pfns(fd, addr, view->pfn, PAGES_2M);
	close(fd);
}

unsigned int dax_looks_different(const struct dax_view *view, const char *addr)
{
	struct dax_view now;
	unsigned int nr = 0;

	dax_look(&now, addr);
	for (unsigned int i = 0; i < PAGES_2M; i++)
		nr += strcmp(view->mapped[i], now.mapped[i]) ||
		      view->pfn[i] != now.pfn[i];
	return nr;
}

static sigjmp_buf touch_env;
static siginfo_t touch_info;

static void touch_handler(int sig, siginfo_t *info, void *context)
{
	touch_info = *info;
	siglongjmp(touch_env, sig);
}

/* What @fn returns, or the signal that it raises. */
static int catch_signal(int (*fn)(volatile char *addr), volatile char *addr,
			siginfo_t *info)
{
	struct sigaction action = {
		.sa_sigaction = touch_handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	}, old_bus, old_segv;
	int ret;

	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segv);
	ret = sigsetjmp(touch_env, 1);
	if (!ret)
		ret = fn(addr);
	else if (info)
		*info = touch_info;
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	return ret;
}

static int load(volatile char *addr)
{
	(void)*addr;
	return 0;
}

static int store(volatile char *addr)
{
	*addr = 'w';
	return 0;
}

int dax_touch_signal(volatile char *addr, bool write, siginfo_t *info)
{
	return catch_signal(write ? store : load, addr, info);
}

static int poison(volatile char *addr)
{
	return madvise((void *)addr, SZ_4K, MADV_HWPOISON) ? -errno : 0;
}

int dax_poison(char *addr, siginfo_t *info)
{
	return catch_signal(poison, addr, info);
}

/*
 * Trace events: an instance of our own, so that nobody else's events are in
 * it, with the "counter" clock, which orders the events of all CPUs exactly.
 */

static char trace_dir[128];
static int trace_pipe = -1;
static char *trace_text;
static size_t trace_len, trace_room;

bool dax_has_event(const char *event)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TRACEFS "/events/fs_dax/%s", event);
	return access(path, F_OK) == 0;
}

const char *dax_no_event(const char *event)
{
	static char reason[64];

	if (dax_has_event(event))
		return NULL;
	snprintf(reason, sizeof(reason), "this kernel has no event %s", event);
	return reason;
}

static void trace_write(const char *file, const char *text)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/%s", trace_dir, file);
	err = dax_write_file(path, "%s", text);
	if (err)
		dax_die("\"%s\" to %s: %s", text, path, strerror(-err));
}

static void trace_open(void)
{
	char path[PATH_MAX];

	if (trace_pipe >= 0)
		return;
	snprintf(trace_dir, sizeof(trace_dir), TRACEFS "/instances/dax-%d",
		 getpid());
	if (mkdir(trace_dir, 0700))
		dax_die("%s: %s", trace_dir, strerror(errno));
	trace_write("trace_clock", "counter");
	trace_write("trace_options", "nocontext-info");
	trace_write("buffer_size_kb", "4096");
	snprintf(path, sizeof(path), "%s/trace_pipe", trace_dir);
	trace_pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (trace_pipe < 0)
		dax_die("%s: %s", path, strerror(errno));
}

static void trace_close(void)
{
	if (trace_pipe < 0)
		return;
	trace_write("tracing_on", "0");
	close(trace_pipe);
	trace_pipe = -1;
	rmdir(trace_dir);
}

/* The kernel keeps a device number with 20 bits of minor. */
static unsigned int kernel_dev(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}

void dax_trace(int fd, const char *events)
{
	char filter[128], path[128];
	char *list, *name, *save;
	struct stat st;

	if (fstat(fd, &st))
		dax_die("fstat: %s", strerror(errno));
	snprintf(filter, sizeof(filter), "dev == %u && ino == %lu",
		 kernel_dev(st.st_dev), st.st_ino);

	trace_open();
	if (!events) {
		trace_write("events/fs_dax/filter", filter);
		trace_write("events/fs_dax/enable", "1");
		return;
	}
	list = strdup(events);
	for (name = strtok_r(list, " ", &save); name;
	     name = strtok_r(NULL, " ", &save)) {
		snprintf(path, sizeof(path), "events/fs_dax/%s/filter", name);
		trace_write(path, filter);
		snprintf(path, sizeof(path), "events/fs_dax/%s/enable", name);
		trace_write(path, "1");
	}
	free(list);
}

/* An event of another system, for example jbd2/jbd2_handle_start. */
void dax_trace_thread(const char *event, const char *filter)
{
	char path[128], text[256];

	trace_open();
	snprintf(text, sizeof(text), "common_pid == %d%s%s", gettid(),
		 filter ? " && " : "", filter ? filter : "");
	snprintf(path, sizeof(path), "events/%s/filter", event);
	trace_write(path, text);
	snprintf(path, sizeof(path), "events/%s/enable", event);
	trace_write(path, "1");
}

void dax_trace_stop(const char *event)
{
	char path[128];

	snprintf(path, sizeof(path), "events/%s/enable", event);
	trace_write(path, "0");
}

/* Puts a line of ours between the events. */
void dax_trace_mark(const char *text)
{
	static int marker = -1;
	char path[PATH_MAX];

	if (marker < 0) {
		snprintf(path, sizeof(path), "%s/trace_marker", trace_dir);
		marker = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (write(marker, text, strlen(text)) < 0)
		dax_die("trace_marker: %s", strerror(errno));
}

static void trace_drain(void)
{
	ssize_t n;

	for (;;) {
		if (trace_room - trace_len < SZ_4K * 2) {
			trace_room = trace_room * 2 + SZ_4K * 16;
			trace_text = realloc(trace_text, trace_room);
			if (!trace_text)
				dax_die("no memory for the trace");
		}
		n = read(trace_pipe, trace_text + trace_len,
			 trace_room - trace_len - 1);
		if (n <= 0)
			break;
		trace_len += n;
	}
	if (n < 0 && errno != EAGAIN)
		dax_die("trace_pipe: %s", strerror(errno));
	trace_text[trace_len] = '\0';
	if (strstr(trace_text, "LOST"))
		dax_die("the trace buffer overflowed: counts are not exact");
}

void dax_trace_clear(void)
{
	trace_drain();
	trace_len = 0;
	trace_text[0] = '\0';
}

const char *dax_trace_text(void)
{
	trace_drain();
	return trace_text;
}

static bool has_words(const char *line, const char *words, size_t len)
{
	for (const char *p = line; (p = strstr(p, words)); p++)
		if (p[-1] == ' ' && (!p[len] || p[len] == ' '))
			return true;
	return false;
}

static bool matches(const char *line, const char *pattern)
{
	char words[256];
	const char *end;

	for (; *pattern; pattern = *end ? end + 2 : end) {
		end = strstr(pattern, ", ");
		if (!end)
			end = pattern + strlen(pattern);
		snprintf(words, sizeof(words), "%.*s", (int)(end - pattern),
			 pattern);
		if (!has_words(line, words, end - pattern))
			return false;
	}
	return true;
}

unsigned int dax_count(const char *event, const char *fmt, ...)
{
	char pattern[256], line[1024];
	unsigned int count = 0;
	size_t name = strlen(event);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(pattern, sizeof(pattern), fmt, ap);
	va_end(ap);

	trace_drain();
	for (const char *p = trace_text; *p; ) {
		const char *end = strchrnul(p, '\n');

		if (!strncmp(p, event, name) && p[name] == ':') {
			snprintf(line, sizeof(line), "%.*s", (int)(end - p), p);
			count += matches(line + name, pattern);
		}
		p = *end ? end + 1 : end;
	}
	return count;
}

static void add_walk(struct dax_walks *walks, const char *line,
		     const char *what)
{
	unsigned long entries, pages;
	char word[16];

	if (sscanf(line, " dev %*s ino %*s %15s entries %lu pages %lu", word,
		   &entries, &pages) != 3)
		dax_die("dax_walk has another text than expected: %.80s", line);
	if (what && strcmp(what, word))
		return;
	walks->nr++;
	walks->entries += entries;
	walks->pages += pages;
	if (walks->longest < pages)
		walks->longest = pages;
}

struct dax_walks dax_walks(const char *what)
{
	static const char event[] = "dax_walk:";
	struct dax_walks walks = {};

	trace_drain();
	for (const char *p = trace_text; *p; ) {
		const char *end = strchrnul(p, '\n');

		if (!strncmp(p, event, strlen(event)))
			add_walk(&walks, p + strlen(event), what);
		p = *end ? end + 1 : end;
	}
	return walks;
}

/* Promotion. */

#define POLICY	"/sys/module/fs_dax/parameters/promote"
#define COUNTERS	"/sys/kernel/debug/fs_dax/promote"

static char policy_before[16];

const char *dax_policy(const char *policy)
{
	int err, fd;

	fd = open(POLICY, O_RDONLY);
	if (fd < 0)
		return "this kernel does not promote";
	if (!policy_before[0] &&
	    read(fd, policy_before, sizeof(policy_before) - 1) <= 0)
		dax_die(POLICY ": %s", strerror(errno));
	close(fd);
	err = dax_write_file(POLICY, "%s", policy);
	if (err)
		dax_die("\"%s\" to " POLICY ": %s", policy, strerror(-err));
	return NULL;
}

static void restore_policy(void)
{
	if (policy_before[0])
		dax_write_file(POLICY, "%s", policy_before);
	policy_before[0] = '\0';
}

unsigned long dax_promotions(const char *action)
{
	unsigned long count;
	char name[32];
	FILE *file;

	file = fopen(COUNTERS, "r");
	if (!file)
		dax_die(COUNTERS ": %s", strerror(errno));
	while (fscanf(file, "%31s %lu", name, &count) == 2) {
		if (!strcmp(name, action)) {
			fclose(file);
			return count;
		}
	}
	dax_die(COUNTERS " has no \"%s\"", action);
}

int dax_collapse(void *addr, size_t len)
{
	return madvise(addr, len, MADV_COLLAPSE) ? errno : 0;
}

/* Threads and children. */

pthread_t dax_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fn, arg);

	if (err)
		dax_die("pthread_create: %s", strerror(err));
	return thread;
}

void dax_join(pthread_t thread)
{
	int err = pthread_join(thread, NULL);

	if (err)
		dax_die("pthread_join: %s", strerror(err));
}

struct gang {
	void (*fn)(unsigned int id, void *arg);
	void *arg;
	pthread_barrier_t start;
};

struct gang_member {
	struct gang *gang;
	unsigned int id;
	pthread_t thread;
};

static void *gang_run(void *arg)
{
	struct gang_member *member = arg;
	struct gang *gang = member->gang;

	pthread_barrier_wait(&gang->start);
	gang->fn(member->id, gang->arg);
	return NULL;
}

void dax_gang(unsigned int nr, void (*fn)(unsigned int id, void *arg),
	      void *arg)
{
	struct gang gang = { .fn = fn, .arg = arg };
	struct gang_member member[64];

	if (nr > ARRAY_LEN(member))
		dax_die("a gang of %u threads", nr);
	pthread_barrier_init(&gang.start, NULL, nr);
	for (unsigned int i = 0; i < nr; i++) {
		member[i].gang = &gang;
		member[i].id = i;
		member[i].thread = dax_thread(gang_run, &member[i]);
	}
	for (unsigned int i = 0; i < nr; i++)
		dax_join(member[i].thread);
	pthread_barrier_destroy(&gang.start);
}

pid_t dax_fork_process(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		dax_die("fork: %s", strerror(errno));
	return pid;
}

int dax_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		dax_die("waitpid: %s", strerror(errno));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

int dax_child(int (*fn)(void *arg), void *arg)
{
	return dax_wait(dax_spawn(fn(arg)));
}

bool dax_ended(pid_t pid)
{
	siginfo_t info = {};

	if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT))
		dax_die("waitid: %s", strerror(errno));
	return info.si_pid == pid;
}

/* The text is empty if there is no such task. */
static void read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
}

char dax_state(pid_t pid)
{
	char text[256], state;

	read_proc(pid, "stat", text, sizeof(text));
	return sscanf(text, "%*d (%*[^)]) %c", &state) == 1 ? state : 0;
}

long dax_syscall(pid_t pid)
{
	char text[256];
	long nr;

	read_proc(pid, "syscall", text, sizeof(text));
	return sscanf(text, "%ld", &nr) == 1 ? nr : -1;
}

bool dax_sleeps_in(pid_t pid, const char *name)
{
	char text[128];

	read_proc(pid, "wchan", text, sizeof(text));
	return strstr(text, name);
}

static void take_steps(int ask, int answer, int (*step)(int nr, void *arg),
		       void *arg)
{
	int nr, ret;

	while (read(ask, &nr, sizeof(nr)) == sizeof(nr)) {
		ret = step(nr, arg);
		if (write(answer, &ret, sizeof(ret)) != sizeof(ret))
			break;
	}
	_exit(0);
}

void dax_peer_start(struct dax_peer *peer, int (*step)(int nr, void *arg),
		    void *arg)
{
	int ask[2], answer[2];

	if (pipe(ask) || pipe(answer))
		dax_die("pipe: %s", strerror(errno));
	peer->pid = dax_fork_process();
	if (!peer->pid) {
		/* A later peer has copies of our pipes, too. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ask[1]);
		close(answer[0]);
		take_steps(ask[0], answer[1], step, arg);
	}
	close(ask[0]);
	close(answer[1]);
	peer->ask = ask[1];
	peer->answer = answer[0];
}

int dax_peer_step(struct dax_peer *peer, int nr)
{
	int ret;

	if (write(peer->ask, &nr, sizeof(nr)) != sizeof(nr) ||
	    read(peer->answer, &ret, sizeof(ret)) != sizeof(ret))
		dax_die("the other process is gone at step %d", nr);
	return ret;
}

void dax_peer_stop(struct dax_peer *peer)
{
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	close(peer->ask);
	close(peer->answer);
}

/* The scratch file system. */

const char *dax_scratch_device(void)
{
	return getenv("DAX_SCRATCH");
}

const char *dax_no_scratch(void)
{
	if (!dax_scratch_device())
		return "needs a second device in DAX_SCRATCH";
	return NULL;
}

void dax_scratch_remount(const char *mount)
{
	if (dax_sh("mount -o remount,%s %s", mount, scratch_dir))
		dax_die("cannot remount with %s", mount);
}

static void scratch_mkfs(const char *dev, unsigned int mib, const char *mkfs)
{
	int err;

	if (dax_is_xfs())
		err = dax_sh("mkfs.xfs -q -f -d size=%um,%s %s %s", mib,
			     "su=2m,sw=1,agcount=2 -l size=64m,su=32k",
			     mkfs, dev);
	else
		err = dax_sh("mkfs.ext4 -q -F -b 4096 %s %s %s %uk",
			     "-E stride=512,stripe_width=512", mkfs, dev,
			     mib * 1024);
	if (err)
		dax_die("no scratch file system on %s", dev);
}

static void scratch_mount(const char *dev, const char *mount)
{
	char dir[sizeof(scratch_dir)];

	snprintf(dir, sizeof(dir), "/tmp/dax-scratch-%d", getpid());
	if (mkdir(dir, 0700) && errno != EEXIST)
		dax_die("%s: %s", dir, strerror(errno));
	if (dax_sh("mount -o %s %s %s", mount, dev, dir))
		dax_die("cannot mount %s with %s", dev, mount);
	snprintf(scratch_dev, sizeof(scratch_dev), "%s", dev);
	strcpy(scratch_dir, dir);
	if (!strstr(mount, "dax=never"))
		enter_work_dir();
}

/*
 * Makes and mounts a file system of @mib MiB; from now on files are made
 * there. Its own folder on the first file system goes away here.
 */
static void scratch_on(const char *dev, unsigned int mib, const char *mkfs,
		       const char *mount)
{
	scratch_mkfs(dev, mib, mkfs);
	remove_work_dir();
	scratch_mount(dev, mount);
}

const char *dax_scratch(unsigned int mib, const char *mkfs, const char *mount)
{
	const char *why = dax_no_scratch();

	if (!why)
		scratch_on(dax_scratch_device(), mib, mkfs, mount);
	return why;
}

/* A small one, for what happens when it is nearly full. */
const char *dax_small_scratch(void)
{
	return dax_scratch(dax_is_xfs() ? 320 : 96, "", "dax=always");
}

/* Takes all blocks but @leave bytes. Returns the file that has them. */
int dax_fill_up(size_t leave)
{
	int fd = dax_create("fill");
	size_t len = 0, step = 8 * SZ_2M;

	while (step >= SZ_4K) {
		if (fallocate(fd, 0, len, step) == 0)
			len += step;
		else if (errno == ENOSPC)
			step /= 2;
		else
			dax_die("fallocate: %s", strerror(errno));
	}
	dax_fsync(fd);
	if (leave) {
		dax_truncate(fd, len > leave ? len - leave : 0);
		dax_fsync(fd);
	}
	return fd;
}

unsigned long dax_free_blocks(void)
{
	struct statfs st;

	sync();
	if (statfs(dax_dir(), &st))
		dax_die("statfs: %s", strerror(errno));
	return st.f_bfree;
}

bool dax_space_is_back(unsigned long blocks)
{
	for (int i = 0; i < DAX_STALL_SECONDS * 10; i++) {
		if (dax_free_blocks() >= blocks)
			return true;
		usleep(100000);
	}
	return false;
}

static const char *make_dm(const char *name, const char *table)
{
	const char *why = dax_no_scratch();
	char path[] = "/tmp/dax-table-XXXXXX";
	int fd;

	if (why)
		return why;
	if (system("dmsetup version >/dev/null 2>&1"))
		return "no device-mapper here (dmsetup, CONFIG_BLK_DEV_DM)";
	fd = mkstemp(path);
	if (fd < 0 || write(fd, table, strlen(table)) != (ssize_t)strlen(table))
		dax_die("%s: %s", path, strerror(errno));
	close(fd);
	/* Nobody may run udev here: let dmsetup make the node itself. */
	setenv("DM_DISABLE_UDEV", "1", 1);
	if (dax_sh("dmsetup create %s %s", name, path))
		why = "device-mapper lacks this target";
	unlink(path);
	return why;
}

/* A device-mapper device over the scratch device; see dmsetup(8) for @table. */
const char *dax_scratch_dm(unsigned int mib, const char *table)
{
	const char *why = make_dm(SCRATCH_DM, table);

	if (!why && mib)
		scratch_on("/dev/mapper/" SCRATCH_DM, mib, "", "dax=always");
	return why;
}

/* The scratch device is split in two: 1 GiB for what is not in rt extents. */
#define RT_DEVICE	"/dev/mapper/" SCRATCH_RT
#define RT_MOUNT	"dax=always,rtdev=" RT_DEVICE

const char *dax_scratch_rt(unsigned int rt_mib, const char *extsize)
{
	const char *dev = dax_scratch_device() ?: "", *why;
	unsigned int mib = 1024;
	char options[256];

	snprintf(options, sizeof(options), "0 %u linear %s 0\n", mib * 2048,
		 dev);
	why = make_dm(SCRATCH_DM, options);
	if (why)
		return why;
	snprintf(options, sizeof(options), "0 %u linear %s %u\n",
		 rt_mib * 2048, dev, mib * 2048);
	why = make_dm(SCRATCH_RT, options);
	if (why)
		return why;
	snprintf(options, sizeof(options),
		 "-m reflink=0,rmapbt=0 -d rtinherit=1 -r rtdev=%s,extsize=%s",
		 RT_DEVICE, extsize);
	scratch_on("/dev/mapper/" SCRATCH_DM, mib, options, RT_MOUNT);
	return NULL;
}

int dax_scratch_check_rt(void)
{
	int err;

	if (dax_sh("umount %s", scratch_dir))
		dax_die("cannot unmount %s", scratch_dir);
	err = dax_sh("xfs_repair -n -r %s %s", RT_DEVICE, scratch_dev);
	if (dax_sh("mount -o %s %s %s", RT_MOUNT, scratch_dev, scratch_dir))
		dax_die("cannot mount %s again", scratch_dev);
	return err;
}

void dax_scratch_drop(void)
{
	if (scratch_dir[0]) {
		if (umount2(scratch_dir, 0))
			umount2(scratch_dir, MNT_DETACH);
		rmdir(scratch_dir);
		scratch_dir[0] = '\0';
	}
	setenv("DM_DISABLE_UDEV", "1", 1);
	if (access("/dev/mapper/" SCRATCH_DM, F_OK) == 0)
		dax_sh("dmsetup remove --retry " SCRATCH_DM);
	if (access("/dev/mapper/" SCRATCH_RT, F_OK) == 0)
		dax_sh("dmsetup remove --retry " SCRATCH_RT);
}

void dax_leave(void)
{
	stop_watchdog();
	restore_policy();
	trace_close();
	unmap_all();
	close_range(STDERR_FILENO + 1, ~0U, 0);
	remove_work_dir();
	dax_scratch_drop();
}

const char *dax_scratch_driver(struct dax_driver *driver)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *small = getenv("DAX_REMOVABLE");
	const char *why;
	int fd;

	if (small && small[0])
		setenv("DAX_SCRATCH", small, 1);
	why = scratch_missing();
	if (why)
		return why;
	snprintf(path, sizeof(path), "/sys/block/%s/device",
		 strrchr(dax_scratch_device(), '/') + 1);
	if (!realpath(path, target))
		dax_die("%s: %s", path, strerror(errno));
	snprintf(driver->device, sizeof(driver->device), "%s",
		 strrchr(target, '/') + 1);
	strcat(path, "/driver");
	if (!realpath(path, driver->path))
		dax_die("%s: %s", path, strerror(errno));
	fd = open(dax_scratch_device(), O_RDONLY);
	if (fd < 0)
		dax_die("%s: %s", dax_scratch_device(), strerror(errno));
	driver->mib = lseek(fd, 0, SEEK_END) / SZ_1M;
	close(fd);
	return NULL;
}

static void driver_do(const struct dax_driver *driver, const char *what)
{
	char path[PATH_MAX + 8];
	int err;

	snprintf(path, sizeof(path), "%s/%s", driver->path, what);
	err = dax_write_file(path, "%s", driver->device);
	if (err)
		dax_die("%s of %s: %s", path, driver->device, strerror(-err));
}

void dax_unbind(const struct dax_driver *driver)
{
	driver_do(driver, "unbind");
}

void dax_bind(const struct dax_driver *driver)
{
	driver_do(driver, "bind");
}
