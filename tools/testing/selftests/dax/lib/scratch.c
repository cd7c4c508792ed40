// SPDX-License-Identifier: GPL-2.0-only
/*
 * The filesystem under test, a second one for what would disturb it, and the device
 * below that one.
 */
#include <sys/mount.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include "internal.h"

#define SCRATCH_RT	"dax-scratch-rt"

static const char *scratch_dir;	/* where the scratch fs is mounted, or NULL */
static const char *scratch_dev;	/* what is mounted there */

const char *dax_dir(void)
{
	return scratch_dir ?: getenv("DAX_DIR");
}

bool dax_is_xfs(void)
{
	struct statfs st;

	if (statfs(getenv("DAX_DIR"), &st))
		dax_exit_fail("DAX_DIR=%s: %m", getenv("DAX_DIR"));
	return st.f_type == XFS_SUPER_MAGIC;
}

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
		dax_exit_fail("cannot remount with %s", mount);
}

/* XFS calls it XFS_IOC_GOINGDOWN. */
#define SHUTDOWN	_IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_LOG	2

int dax_shutdown(int fd)
{
	uint32_t flags = SHUTDOWN_NO_LOG;

	return ioctl(fd, SHUTDOWN, &flags);
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
		dax_exit_fail("no scratch filesystem on %s", dev);
}

static void mount_at(const char *dev, const char *dir, const char *options)
{
	if (mount(dev, dir, dax_is_xfs() ? "xfs" : "ext4", 0, options))
		dax_exit_fail("cannot mount %s with %s: %m", dev, options);
}

static void scratch_mount(const char *dev, const char *options)
{
	const char *dir = dax_text("/tmp/dax-scratch-%d", getpid());

	if (mkdir(dir, 0700) && errno != EEXIST)
		dax_exit_fail("%s: %m", dir);
	mount_at(dev, dir, options);
	scratch_dev = dax_text("%s", dev);
	scratch_dir = dir;
	if (!strstr(options, "dax=never"))
		enter_work_dir();
}

/*
 * Makes and mounts a filesystem of @mib MiB; from now on files are made there.
 * The test's folder on the first filesystem is removed.
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

/*
 * A filesystem as mkfs makes it by itself, but for the options @mkfs, on the scratch
 * device, or on what dax_scratch_dm() has made on top of it.
 */
const char *dax_scratch_plain(const char *dev, unsigned int mib,
			      const char *mkfs)
{
	const char *why = dax_no_scratch();
	int err;

	if (why)
		return why;
	if (dax_is_xfs())
		err = dax_sh("mkfs.xfs -q -f -b size=4096 -d size=%um %s %s",
			     mib, mkfs, dev);
	else
		err = dax_sh("mkfs.ext4 -q -F -b 4096 %s %s %uk", mkfs, dev,
			     mib * 1024);
	if (err)
		dax_exit_fail("no plain filesystem on %s", dev);
	remove_work_dir();
	scratch_mount(dev, "dax=always");
	return NULL;
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
			dax_exit_fail("fallocate: %m");
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
		dax_exit_fail("statfs: %m");
	return st.f_bfree;
}

bool dax_space_is_back(unsigned long blocks)
{
	return dax_wait_for(dax_free_blocks() >= blocks);
}

static const char *make_dm(const char *name, const char *table)
{
	const char *why = dax_no_scratch();
	char path[] = "/tmp/dax-table-XXXXXX";
	int fd;

	if (why)
		return why;
	if (access("/dev/mapper/control", F_OK))
		return "no device-mapper here (CONFIG_BLK_DEV_DM)";
	fd = mkstemp(path);
	if (fd < 0 || write(fd, table, strlen(table)) != (ssize_t)strlen(table))
		dax_exit_fail("%s: %m", path);
	close(fd);
	/* There may be no udev here: dmsetup makes the node itself. */
	setenv("DM_DISABLE_UDEV", "1", 1);
	if (dax_sh("dmsetup create %s %s", name, path))
		why = "device-mapper lacks this target";
	unlink(path);
	return why;
}

/* A device-mapper device over the scratch device; see dmsetup(8) for @table. */
const char *dax_scratch_dm(unsigned int mib, const char *table)
{
	const char *why = make_dm(DAX_SCRATCH_DM, table);

	if (!why && mib)
		scratch_on("/dev/mapper/" DAX_SCRATCH_DM, mib, "", "dax=always");
	return why;
}

/* The scratch device is split in two: 1 GiB for what is not in rt extents. */
#define RT_DEVICE	"/dev/mapper/" SCRATCH_RT
#define RT_MOUNT	"dax=always,rtdev=" RT_DEVICE

const char *dax_scratch_rt(unsigned int rt_mib, const char *extsize)
{
	const char *dev = dax_scratch_device() ?: "", *why;
	unsigned int mib = 1024;

	why = make_dm(DAX_SCRATCH_DM,
		      dax_text("0 %u linear %s 0\n", mib * 2048, dev)) ?:
	      make_dm(SCRATCH_RT, dax_text("0 %u linear %s %u\n", rt_mib * 2048,
					   dev, mib * 2048));
	if (!why)
		scratch_on("/dev/mapper/" DAX_SCRATCH_DM, mib,
			   dax_text("-m reflink=0,rmapbt=0 -d rtinherit=1 -r rtdev=%s,extsize=%s",
				    RT_DEVICE, extsize),
			   RT_MOUNT);
	return why;
}

static void scratch_umount(void)
{
	if (umount(scratch_dir))
		dax_exit_fail("cannot unmount %s: %m", scratch_dir);
}

/* After a shutdown, for example: the log is recovered. */
void dax_scratch_mount_again(const char *mount)
{
	scratch_umount();
	mount_at(scratch_dev, scratch_dir, mount);
}

/* Is it clean, as its own checker says?  It is mounted again after that. */
int dax_scratch_check(void)
{
	int err;

	scratch_umount();
	err = dax_sh(dax_is_xfs() ? "xfs_repair -n %s" : "e2fsck -fn %s",
		     scratch_dev);
	mount_at(scratch_dev, scratch_dir, "dax=always");
	return err;
}

int dax_scratch_check_rt(void)
{
	int err;

	scratch_umount();
	err = dax_sh("xfs_repair -n -r %s %s", RT_DEVICE, scratch_dev);
	mount_at(scratch_dev, scratch_dir, RT_MOUNT);
	return err;
}

void dax_scratch_drop(void)
{
	if (scratch_dir) {
		if (umount2(scratch_dir, 0))
			umount2(scratch_dir, MNT_DETACH);
		rmdir(scratch_dir);
		scratch_dir = NULL;
	}
	setenv("DM_DISABLE_UDEV", "1", 1);
	if (access("/dev/mapper/" DAX_SCRATCH_DM, F_OK) == 0)
		dax_sh("dmsetup remove --retry " DAX_SCRATCH_DM);
	if (access("/dev/mapper/" SCRATCH_RT, F_OK) == 0)
		dax_sh("dmsetup remove --retry " SCRATCH_RT);
}

const char *dax_scratch_driver(struct dax_driver *driver)
{
	const char *small = getenv("DAX_REMOVABLE"), *why;
	char *path, target[PATH_MAX];
	int fd;

	if (small && small[0])
		setenv("DAX_SCRATCH", small, 1);
	why = dax_no_scratch();
	if (why)
		return why;
	path = dax_text("/sys/block/%s/device",
			strrchr(dax_scratch_device(), '/') + 1);
	if (!realpath(path, target))
		dax_exit_fail("%s: %m", path);
	snprintf(driver->device, sizeof(driver->device), "%s",
		 strrchr(target, '/') + 1);
	path = dax_text("%s/driver", path);
	if (!realpath(path, driver->path))
		dax_exit_fail("%s: %m", path);
	fd = open(dax_scratch_device(), O_RDONLY);
	if (fd < 0)
		dax_exit_fail("%s: %m", dax_scratch_device());
	driver->mib = lseek(fd, 0, SEEK_END) / SZ_1M;
	close(fd);
	return NULL;
}

static void driver_do(const struct dax_driver *driver, const char *what)
{
	dax_must_write(dax_text("%s/%s", driver->path, what), driver->device);
}

void dax_unbind(const struct dax_driver *driver)
{
	driver_do(driver, "unbind");
}

void dax_bind(const struct dax_driver *driver)
{
	driver_do(driver, "bind");
}
