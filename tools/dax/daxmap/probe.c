// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes: what the kernel tells by system calls, as texts. None of them changes
 * what it looks at.
 *
 * probe_scratch() is the one that makes something: a file without a name, which
 * is gone when the probe returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fsmap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xfs/xfs.h>

#include "daxmap.h"
#include "uapi.h"

/* A stream that becomes an allocated text. */
struct text {
	char *text;
	size_t size;
	FILE *out;
};

static void text_begin(struct text *t)
{
	t->out = open_memstream(&t->text, &t->size);
	if (!t->out)
		die("out of memory");
}

static char *text_end(struct text *t)
{
	fclose(t->out);
	return t->text;
}

static char *text_fail(struct text *t, int err)
{
	free(text_end(t));
	errno = err;
	return NULL;
}

/* No process may be stopped by a pipe or a device that is opened. */
static int open_quietly(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* The facts of statx(2); those of FS_IOC_FSGETXATTR need the file open, and may be absent. */
char *probe_file(const char *path)
{
	struct fsxattr attr = {};
	struct statx stx;
	struct text t;
	int fd = -1;

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx))
		return NULL;
	if (S_ISREG(stx.stx_mode) || S_ISDIR(stx.stx_mode))
		fd = open_quietly(path);
	if (fd >= 0 && ioctl(fd, FS_IOC_FSGETXATTR, &attr))
		memset(&attr, 0, sizeof(attr));
	if (fd >= 0)
		close(fd);
	text_begin(&t);
	fprintf(t.out, "dev %u:%u ino %llu mode %o ", stx.stx_dev_major, stx.stx_dev_minor,
		(unsigned long long)stx.stx_ino, stx.stx_mode);
	fprintf(t.out, "size %llu block %u dax %d ", (unsigned long long)stx.stx_size,
		stx.stx_blksize, !!(stx.stx_attributes & STATX_ATTR_DAX));
	fprintf(t.out, "xflags %#x extsize %u\n", attr.fsx_xflags, attr.fsx_extsize);
	return text_end(&t);
}

static unsigned int extent_flags(const struct fiemap_extent *e)
{
	unsigned int flags = 0;

	if (e->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
		flags |= EXTENT_UNWRITTEN;
	if (e->fe_flags & FIEMAP_EXTENT_SHARED)
		flags |= EXTENT_SHARED;
	if (e->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_ENCODED |
			   FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_NOT_ALIGNED))
		flags |= EXTENT_NO_BLOCKS;
	return flags;
}

/* "OFFSET AT LENGTH FLAGS" for each extent. FIEMAP_FLAG_SYNC would write. */
char *probe_extents(const char *path)
{
	enum { NR = 1024 };
	struct fiemap *map = zalloc(sizeof(*map) + NR * sizeof(map->fm_extents[0]));
	int fd = open_quietly(path), err = 0;
	bool last = fd < 0;
	uint64_t next = 0;
	struct text t;

	text_begin(&t);
	err = fd < 0 ? errno : 0;
	while (!last) {
		memset(map, 0, sizeof(*map));
		map->fm_start = next;
		map->fm_length = FIEMAP_MAX_OFFSET - next;
		map->fm_extent_count = NR;
		if (ioctl(fd, FS_IOC_FIEMAP, map)) {
			err = errno;
			break;
		}
		last = !map->fm_mapped_extents;
		for (unsigned int i = 0; i < map->fm_mapped_extents; i++) {
			struct fiemap_extent *e = &map->fm_extents[i];

			fprintf(t.out, "%llu %llu %llu %u\n",
				(unsigned long long)e->fe_logical,
				(unsigned long long)e->fe_physical,
				(unsigned long long)e->fe_length, extent_flags(e));
			next = e->fe_logical + e->fe_length;
			last |= !!(e->fe_flags & FIEMAP_EXTENT_LAST);
		}
	}
	free(map);
	if (fd >= 0)
		close(fd);
	return err ? text_fail(&t, err) : text_end(&t);
}

char *probe_device_number(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return NULL;
	return format("%u:%u\n", major(st.st_rdev), minor(st.st_rdev));
}

/* Whether an XFS has reflink, and the block size of any filesystem. */
char *probe_geometry(const char *path)
{
	struct xfs_fsop_geom geo;
	struct statvfs vfs;
	int fd, reflink = -1;

	if (statvfs(path, &vfs))
		return NULL;
	fd = open_quietly(path);
	if (fd >= 0 && !ioctl(fd, XFS_IOC_FSGEOMETRY, &geo))
		reflink = !!(geo.flags & XFS_FSOP_GEOM_FLAGS_REFLINK);
	if (fd >= 0)
		close(fd);
	return format("block %lu reflink %d\n", vfs.f_frsize, reflink);
}

/* Is a new file of this folder DAX, and can it be mapped with MAP_SYNC? */
char *probe_scratch(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int err = 0, sync = 0;
	struct statx stx;
	void *map;

	if (fd < 0)
		return NULL;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) || ftruncate(fd, SZ_2M))
		err = errno;
	map = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
	if (map == MAP_FAILED)
		sync = errno;
	else
		munmap(map, SZ_4K);
	close(fd);
	errno = err;
	return err ? NULL : format("dax %d sync %d\n", !!(stx.stx_attributes & STATX_ATTR_DAX),
				   sync);
}

/* The lines about DAX, without their time stamps. */
char *probe_kernel_log(const char *unused)
{
	int size = klogctl(10 /* SYSLOG_ACTION_SIZE_BUFFER */, NULL, 0);
	char *log, *line, *save = NULL;
	struct text t;
	int nr;

	if (size < 0)
		return NULL;
	log = zalloc(size + 1);
	nr = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, size);
	if (nr < 0) {
		int err = errno;

		free(log);
		errno = err;
		return NULL;
	}
	text_begin(&t);
	for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *start = strstr(line, "] ");

		if (strcasestr(line, "dax"))
			fprintf(t.out, "%s\n", start ? start + 2 : line);
	}
	free(log);
	return text_end(&t);
}

/* "AT LENGTH" of each free extent of the data device of a filesystem. */
char *probe_free_ranges(const char *path)
{
	enum { NR = 1024 };
	struct fsmap_head *head = zalloc(fsmap_sizeof(NR));
	int fd = open_quietly(path), err;
	bool last = fd < 0;
	struct text t;

	text_begin(&t);
	err = fd < 0 ? errno : 0;
	head->fmh_count = NR;
	memset(&head->fmh_keys[1], 0xff, sizeof(head->fmh_keys[1]));
	head->fmh_keys[1].fmr_reserved[0] = 0;
	head->fmh_keys[1].fmr_reserved[1] = 0;
	head->fmh_keys[1].fmr_reserved[2] = 0;
	while (!last) {
		if (ioctl(fd, FS_IOC_GETFSMAP, head)) {
			err = errno;
			break;
		}
		last = !head->fmh_entries;
		for (unsigned int i = 0; i < head->fmh_entries; i++) {
			struct fsmap *r = &head->fmh_recs[i];

			if ((r->fmr_flags & FMR_OF_SPECIAL_OWNER) && r->fmr_owner == FMR_OWN_FREE)
				fprintf(t.out, "%u:%u %llu %llu\n", major(r->fmr_device),
					minor(r->fmr_device), (unsigned long long)r->fmr_physical,
					(unsigned long long)r->fmr_length);
			last |= !!(r->fmr_flags & FMR_OF_LAST);
		}
		if (!last)
			fsmap_advance(head);
	}
	free(head);
	if (fd >= 0)
		close(fd);
	return err ? text_fail(&t, err) : text_end(&t);
}

static struct {
	struct { uint64_t size; char *path; } file[200];
	size_t nr;
} largest;

static int compare_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y) - (x > y);
}

static int take_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t last = largest.nr;

	if (type != FTW_F || !S_ISREG(st->st_mode) || strchr(path, '\n'))
		return 0;
	if (largest.nr == ARRAY_LEN(largest.file)) {
		last--;
		if (largest.file[last].size >= (uint64_t)st->st_size)
			return 0;
		free(largest.file[last].path);
	} else {
		largest.nr++;
	}
	largest.file[last].size = st->st_size;
	largest.file[last].path = format("%s", path);
	qsort(largest.file, largest.nr, sizeof(largest.file[0]), compare_size);
	return 0;
}

/* The largest files of a filesystem, "SIZE PATH" each. */
char *probe_tree(const char *path)
{
	struct text t;

	largest.nr = 0;
	if (nftw(path, take_file, 64, FTW_PHYS | FTW_MOUNT))
		return NULL;
	text_begin(&t);
	for (size_t i = 0; i < largest.nr; i++) {
		fprintf(t.out, "%llu %s\n", (unsigned long long)largest.file[i].size,
			largest.file[i].path);
		free(largest.file[i].path);
	}
	return text_end(&t);
}
