// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of a known layout, in a folder of the test's own.
 */
#include <dirent.h>
#include <linux/fiemap.h>

#include "internal.h"

static char work_dir[PATH_MAX];		/* this test's folder */

bool dax_file_is_dax(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &stx))
		dax_exit_fail("statx: %m");
	return stx.stx_attributes & STATX_ATTR_DAX;
}

const char *dax_work_dir(void)
{
	return work_dir;
}

void enter_work_dir(void)
{
	snprintf(work_dir, sizeof(work_dir), "%s/test-%d", dax_dir(), getpid());
	if (mkdir(work_dir, 0700) && errno != EEXIST)
		dax_exit_fail("%s: %m", work_dir);
}

void remove_work_dir(void)
{
	struct dirent *entry;
	DIR *dir = opendir(work_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(work_dir);
}

int dax_create(const char *name)
{
	const char *path = dax_text("%s/%s", work_dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		dax_exit_fail("%s: %m", path);
	return fd;
}

/* A file is of the kind that its folder says when it is made. */
int dax_create_as(const char *name, bool dax)
{
	struct fsxattr attr;
	int dir = open(work_dir, O_RDONLY | O_DIRECTORY), fd;

	if (dir < 0 || ioctl(dir, FS_IOC_FSGETXATTR, &attr))
		dax_exit_fail("%s: %m", work_dir);
	attr.fsx_xflags &= ~FS_XFLAG_DAX;
	attr.fsx_xflags |= dax ? FS_XFLAG_DAX : 0;
	if (ioctl(dir, FS_IOC_FSSETXATTR, &attr))
		dax_exit_fail("FS_IOC_FSSETXATTR: %m");
	close(dir);
	fd = dax_create(name);
	if (dax_file_is_dax(fd) != dax)
		dax_exit_fail("%s %s DAX", name, dax ? "is not" : "is");
	return fd;
}

int dax_clone(int fd, const char *name)
{
	int clone = dax_create(name);

	if (ioctl(clone, FICLONE, fd))
		dax_exit_fail("FICLONE: %m");
	return clone;
}

void dax_share_page(int fd, off_t at, int with)
{
	struct file_clone_range range = {
		.src_fd = fd, .src_offset = at, .src_length = SZ_4K,
	};

	if (ioctl(with, FICLONERANGE, &range))
		dax_exit_fail("FICLONERANGE: %m");
}

ssize_t dax_dedupe(int fd, off_t at, size_t len, int with, off_t to)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = {
		.range = { .src_offset = at, .src_length = len,
			   .dest_count = 1 },
		.info = { .dest_fd = with, .dest_offset = to },
	};

	if (ioctl(fd, FIDEDUPERANGE, &arg))
		dax_exit_fail("FIDEDUPERANGE: %m");
	if (arg.info.status == FILE_DEDUPE_RANGE_SAME)
		return arg.info.bytes_deduped;
	errno = -arg.info.status;
	return arg.info.status == FILE_DEDUPE_RANGE_DIFFERS ? 0 : -1;
}

void dax_name(int fd, char *path, size_t size)
{
	const char *link = dax_text("/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, size - 1);

	if (len < 0)
		dax_exit_fail("%s: %m", link);
	path[len] = '\0';
}

void dax_unlink(int fd)
{
	char path[PATH_MAX];

	dax_name(fd, path, sizeof(path));
	if (unlink(path))
		dax_exit_fail("unlink %s: %m", path);
}

void dax_remove(int fd)
{
	dax_unlink(fd);
	close(fd);
}

void dax_fill(int fd, off_t off, size_t len, int byte)
{
	size_t chunk = len < SZ_2M ? len : SZ_2M;
	char *buf = malloc(chunk);

	if (!buf)
		dax_exit_fail("no memory");
	memset(buf, byte, chunk);
	while (len) {
		ssize_t n = pwrite(fd, buf, len < chunk ? len : chunk, off);

		if (n <= 0)
			dax_exit_fail("pwrite at %#lx: %m", off);
		off += n;
		len -= n;
	}
	free(buf);
}

void dax_read(int fd, off_t off, void *buf, size_t len)
{
	ssize_t n = pread(fd, buf, len, off);

	if (n < 0)
		dax_exit_fail("pread at %#lx: %m", off);
	if ((size_t)n != len)
		dax_exit_fail("pread at %#lx: %zd of %zu bytes", off, n, len);
}

void dax_falloc(int fd, int mode, off_t off, off_t len)
{
	if (fallocate(fd, mode, off, len))
		dax_exit_fail("fallocate mode %#x at %#lx+%#lx: %m", mode, off,
			      len);
}

void dax_punch_hole(int fd, off_t off, off_t len)
{
	dax_falloc(fd, PUNCH_HOLE, off, len);
}

void dax_truncate(int fd, off_t len)
{
	if (ftruncate(fd, len))
		dax_exit_fail("ftruncate to %#lx: %m", len);
}

ssize_t dax_differs(const char *buf, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != (char)byte)
			return i;
	return -1;
}

bool dax_file_has(int fd, off_t off, size_t len, int byte)
{
	char *buf = malloc(len);
	bool has;

	dax_read(fd, off, buf, len);
	has = dax_differs(buf, len, byte) < 0;
	free(buf);
	return has;
}

bool dax_file_is(int fd, off_t off, const void *want, size_t len)
{
	char *buf = malloc(len);
	bool same;

	dax_read(fd, off, buf, len);
	same = !memcmp(buf, want, len);
	free(buf);
	return same;
}

static bool first_extent(int fd, off_t off, struct fiemap_extent *extent)
{
	char space[sizeof(struct fiemap) + sizeof(*extent)] = {};
	struct fiemap *map = (struct fiemap *)space;

	map->fm_start = off;
	map->fm_length = SZ_2M;
	map->fm_extent_count = 1;
	if (ioctl(fd, FS_IOC_FIEMAP, map))
		dax_exit_fail("FIEMAP: %m");
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

static int next_file(void)
{
	static unsigned int serial;

	return dax_create(dax_text("file-%u", serial++));
}

/*
 * A new file. The allocator gives aligned blocks when it likes: files that it
 * gave others stay, so that it has to look elsewhere, until the test ends.
 */
static int aligned_file(size_t len, int mode, bool fill)
{
	for (int tries = 0; tries < 16; tries++) {
		int fd = next_file();

		dax_falloc(fd, mode, 0, len);
		if (fill && all_extents_huge(fd, len))
			dax_fill(fd, 0, len, FILL);
		if (all_extents_huge(fd, len)) {
			dax_fsync(fd);
			return fd;
		}
		close(fd);
	}
	dax_exit_fail("no file of %zu bytes got 2 MiB aligned blocks", len);
}

int dax_file(size_t len, enum dax_layout layout)
{
	int fd;

	if (layout != HOLE)
		return aligned_file(len, 0, layout == WRITTEN);
	fd = next_file();
	dax_truncate(fd, len);
	return fd;
}

int dax_file_growing(size_t len)
{
	return aligned_file(len, FALLOC_FL_KEEP_SIZE, false);
}

int dax_file_fragmented(void)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);

	/* The blocks behind the gap move on by a page, off their border. */
	dax_falloc(fd, FALLOC_FL_INSERT_RANGE, DAX_GAP * SZ_4K, SZ_4K);
	dax_fsync(fd);
	return fd;
}
