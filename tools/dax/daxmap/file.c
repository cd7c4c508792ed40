// SPDX-License-Identifier: GPL-2.0-only
/* A file: what it is, where it is mounted, and its extents. */
#include <errno.h>
#include <libmount.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

const struct kernel *kernel(void)
{
	static struct kernel k;
	char *text;

	if (k.release)
		return &k;
	k.release = fact_file("/proc/sys/kernel/osrelease") ?: format("unknown");
	text = fact_file("/sys/module/fs_dax/parameters/promote");
	k.ours = text;
	k.promotes = text && strcmp(text, "off");
	free(text);
	k.huge = fact_number(0, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") == SZ_2M;
	return &k;
}

/* The value of an option of a comma-separated list, or only whether it is there. */
bool has_option(const char *options, const char *name, char *value, size_t size)
{
	size_t found_size;
	char *found;

	if (!options || mnt_optstr_get_option(options, name, &found, &found_size))
		return false;
	if (value)
		snprintf(value, size, "%.*s", (int)found_size, found ?: "");
	return true;
}

static struct libmnt_table *mount_table(void)
{
	static struct libmnt_table *table;
	char *path;

	if (table)
		return table;
	path = fact_location("/proc/self/mountinfo");
	if (path)
		table = mnt_new_table_from_file(path);
	if (!table)
		die("%s/proc/self/mountinfo cannot be read", opt.sysroot ?: "");
	free(path);
	return table;
}

static char *options_of(struct libmnt_fs *fs)
{
	return format("%s,%s", mnt_fs_get_vfs_options(fs) ?: "", mnt_fs_get_fs_options(fs) ?: "");
}

/*
 * The mount of a device, or if @path is a mount point, that one. The last one is on
 * top of the others.
 */
bool find_mount(dev_t number, const char *path, struct mount_facts *mount)
{
	struct libmnt_table *table = mount_table();
	struct libmnt_fs *fs = NULL;

	if (path)
		fs = mnt_table_find_mountpoint(table, path, MNT_ITER_BACKWARD);
	if (fs && number && mnt_fs_get_devno(fs) != number)
		fs = NULL;
	if (!fs && number)
		fs = mnt_table_find_devno(table, number, MNT_ITER_BACKWARD);
	if (!fs)
		return false;
	mount->number = mnt_fs_get_devno(fs);
	mount->target = format("%s", mnt_fs_get_target(fs));
	mount->type = format("%s", mnt_fs_get_fstype(fs) ?: "?");
	mount->source = format("%s", mnt_fs_get_source(fs) ?: "?");
	mount->options = options_of(fs);
	return true;
}

static void read_extents(struct file *f)
{
	char *key = format("%s.extents", f->facts);
	char *text = fact(key, probe_extents, f->facts);
	char *line, *save = NULL;

	free(key);
	if (!text) {
		missing(errno == EACCES ? "the extents (permission to read the file)" :
					  "the extents (FIEMAP)");
		return;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long offset, at, len;
		struct extent e = {};

		if (sscanf(line, "%llu %llu %llu %u", &offset, &at, &len, &e.flags) != 4)
			continue;
		e.offset = offset;
		e.at = at;
		e.len = len;
		f->extents = grow(f->extents, f->nr_extents, sizeof(e));
		f->extents[f->nr_extents++] = e;
	}
	free(text);
}

/* what probe_file() prints */
#define FILE_FACTS \
	"dev %u:%u ino %llu mode %o size %llu block %llu dax %d xflags %x extsize %llu"

static bool read_facts(struct file *f)
{
	unsigned int major, minor, xflags;
	unsigned long long ino, size, block, extsize;
	char *key = format("%s.file", f->facts);
	char *text = fact(key, probe_file, f->facts);
	int dax, nr = 0;

	free(key);
	if (!text)
		return false;
	nr = sscanf(text, FILE_FACTS, &major, &minor, &ino, &f->mode, &size, &block, &dax, &xflags,
		    &extsize);
	free(text);
	errno = EINVAL;
	if (nr != 9)
		return false;
	f->number = makedev(major, minor);
	f->ino = ino;
	f->size = size;
	f->block = block;
	f->dax = dax;
	f->realtime = xflags & FS_XFLAG_REALTIME;
	f->dax_flag = xflags & FS_XFLAG_DAX;
	f->extsize = extsize;
	return true;
}

bool file_is_folder(const char *path)
{
	struct file f = { .facts = (char *)path };

	return read_facts(&f) && S_ISDIR(f.mode);
}

/* Its extents are on the device of the filesystem, or on the realtime device. */
static struct device *device_of(const struct file *f)
{
	char rtdev[PATH_MAX];

	if (f->realtime)
		return has_option(f->mount.options, "rtdev", rtdev, sizeof(rtdev)) ?
			device_named(rtdev) : NULL;
	return major(f->number) ? device_find(f->number) : NULL;
}

struct file *file_open(const char *path, const char *shown)
{
	struct file *f = zalloc(sizeof(*f));

	f->facts = format("%s", path);
	f->path = format("%s", shown);
	if (!read_facts(f)) {
		int err = errno;

		file_close(f);
		errno = err;
		return NULL;
	}
	find_mount(f->number, strcmp(path, shown) ? NULL : path, &f->mount);
	f->device = device_of(f);
	if (S_ISREG(f->mode) && f->dax)
		read_extents(f);
	return f;
}

void file_close(struct file *f)
{
	if (!f)
		return;
	free(f->path);
	free(f->facts);
	free(f->extents);
	free(f->mount.target);
	free(f->mount.type);
	free(f->mount.options);
	free(f->mount.source);
	free(f);
}
