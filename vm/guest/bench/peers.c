// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor: what else maps 2 MiB pages, at the same work. There is nothing to
 * age, to fsync or to promote there, so it is 256 MiB, written and mapped again.
 */
#include <sys/mount.h>
#include <sys/vfs.h>

#include "bench.h"

static const struct peer {
	const char *type, *options;
} peers[] = {
	{ "tmpfs", "huge=always,size=1g" },
	{ "hugetlbfs", "pagesize=2M" },
};

/* A new file in the folder @where; or the device @where, all of it. */
static int open_peer(const char *where, bool device, size_t len)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), device ? "%s" : "%s/file", where);
	fd = open(path, device ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		dax_exit_fail("%s: %s", path, strerror(errno));
	if (!device) {
		dax_unlink(fd);
		dax_truncate(fd, len);
	}
	return fd;
}

static void touch_peer(const char *where, bool device, size_t len)
{
	struct touch touch;

	for (int run = 0; run < 3; run++) {
		int fd = open_peer(where, device, len);
		char *map;

		map = map_file(fd, len, 0);
		settle();
		touch = touch_counted("hole, write", map, len, true);
		touch_report("hole, write", &touch);
		report("hole, write", "huge%", share_huge(map, len));
		dax_unmap(map, len);

		map = map_file(fd, len, 0);
		settle();
		touch = touch_counted("again, read", map, len, false);
		touch_report("again, read", &touch);
		dax_unmap(map, len);
		map = map_file(fd, len, 0);
		settle();
		touch = touch_counted("again, write", map, len, true);
		touch_report("again, write", &touch);
		dax_unmap(map, len);
		close(fd);
	}
}

static void play_peer(const struct peer *peer, size_t len)
{
	char dir[] = "/tmp/bench-XXXXXX";

	fs_name = peer->type;
	if (!mkdtemp(dir) || mount("none", dir, peer->type, 0, peer->options)) {
		report_why("hole, write", strerror(errno));
		return;
	}
	touch_peer(dir, false, len);
	umount(dir);
	rmdir(dir);
}

/* bench.sh makes it of a device that no file system is on any more. */
static void play_device(const char *device, size_t len)
{
	fs_name = "device-dax";
	if (device && device[0] == '/')
		touch_peer(device, true, len);
	else
		report_why("hole, write", device ? device : "no device");
}

void bench_peers(void)
{
	size_t len = scaled(256);

	dax_write_file("/proc/sys/vm/nr_hugepages", "%zu", len / SZ_2M + 2);
	mkfs_name = "-";
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		play_peer(&peers[i], len);
	play_device(getenv("BENCH_DEVICE_DAX"), len);
	dax_write_file("/proc/sys/vm/nr_hugepages", "0");
}
