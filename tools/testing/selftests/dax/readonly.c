// SPDX-License-Identifier: GPL-2.0-only
/*
 * A filesystem that stops writing while its files are mapped writable: it is shut
 * down, or an emergency makes it read-only. A fault that maps known memory does
 * not ask the filesystem for blocks, so it must be refused before.
 *
 * A store to a page that is mapped writable needs no fault and goes on. Each
 * state of a page in which a store needs a fault has a page of its own.
 */
#include <mntent.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "dax_harness.h"

#define SYSRQ		"/proc/sysrq-trigger"

static bool emergency;	/* all filesystems were made read-only */

static bool is_ours(const char *dir)
{
	return !strcmp(dir, dax_dir()) || !strcmp(dir, getenv("DAX_DIR"));
}

/* An emergency makes those of all users read-only, where they have a device. */
static const char *no_emergency(void)
{
	const char *why = NULL;
	struct mntent *mount;
	FILE *file;

	if (access(SYSRQ, W_OK))
		return "needs CONFIG_MAGIC_SYSRQ";
	file = setmntent("/proc/self/mounts", "r");
	if (!file)
		dax_exit_fail("/proc/self/mounts: %m");
	while (!why && (mount = getmntent(file))) {
		if (!strncmp(mount->mnt_fsname, "/dev/", 5) &&
		    hasmntopt(mount, "rw") && !is_ours(mount->mnt_dir))
			why = "would make other filesystems read-only";
	}
	endmntent(file);
	return why;
}

static bool is_read_only(void)
{
	struct statvfs st;

	if (statvfs(dax_dir(), &st))
		dax_exit_fail("%s: %m", dax_dir());
	return st.f_flag & ST_RDONLY;
}

static void begin_emergency(void)
{
	emergency = true;
	if (dax_write_file(SYSRQ, "u"))
		dax_exit_fail(SYSRQ ": %m");
	/* A worker of the kernel does it. */
	for (int i = 0; i < DAX_STALL_SECONDS * 100 && !is_read_only(); i++)
		usleep(10000);
	if (!is_read_only())
		dax_exit_fail("%s stays writable", dax_dir());
}

static void end_emergency(void)
{
	if (!emergency)
		return;
	emergency = false;
	dax_scratch_remount("rw");
	if (dax_sh("mount -o remount,rw %s", getenv("DAX_DIR")))
		dax_exit_fail("%s stays read-only", getenv("DAX_DIR"));
}

void dax_cleanup(void)
{
	end_emergency();
}

/* --- the pages ------------------------------------------------------------- */

/* The state of a page; each page is 2 MiB from the next. */
enum { UNKNOWN, KNOWN, KNOWN_DIRTY, MAPPED, FLUSHED, NR_STATES };

static const char *const state[] = {
	[UNKNOWN] = "no entry",
	[KNOWN] = "a clean entry",
	[KNOWN_DIRTY] = "a dirty entry",
	[MAPPED] = "mapped for reading",
	[FLUSHED] = "flushed after a store",
};

#define FILE_LEN	(NR_STATES * SZ_2M)

FIXTURE(stores) {
	int fd;
	char *p;
};

FIXTURE_VARIANT(stores) {
	size_t shift;
};

FIXTURE_SETUP(stores)
{
	char *other;

	DAX_SETUP_IF(dax_scratch(400, "", "dax=always"));
	self->fd = dax_file(FILE_LEN, WRITTEN);
	self->p = dax_map_shift(self->fd, FILE_LEN, variant->shift);
	other = dax_map_shift(self->fd, FILE_LEN, variant->shift);
	dax_poke(self->p + FLUSHED * SZ_2M, FILL);
	dax_fsync(self->fd);
	dax_peek(self->p + MAPPED * SZ_2M);
	dax_peek(other + KNOWN * SZ_2M);
	dax_poke(other + KNOWN_DIRTY * SZ_2M, FILL);
}

FIXTURE_TEARDOWN(stores)
{
	DAX_TEARDOWN();
}

FIXTURE_VARIANT_ADD(stores, 4k) { .shift = SZ_4K };
FIXTURE_VARIANT_ADD(stores, 2m) { .shift = 0 };

static void stores_give(int sig, char *p)
{
	for (int i = 0; i < NR_STATES; i++) {
		EXPECT_EQ(sig, dax_touch_signal(p + i * SZ_2M, true, NULL))
			TH_LOG("%s", state[i]);
	}
}

/* --- the ends of writing ------------------------------------------------------ */

TEST_F(stores, shut_down)
{
	ASSERT_EQ(0, dax_shutdown(self->fd));
	stores_give(SIGBUS, self->p);
}

/*
 * ext4 refuses, as its journal does. XFS needs no transaction for blocks that are
 * written, and goes on; the kernel without us does the same.
 */
TEST_F(stores, emergency_read_only)
{
	NEED(no_emergency());
	begin_emergency();
	stores_give(dax_is_xfs() ? 0 : SIGBUS, self->p);
	if (!dax_is_xfs())
		EXPECT_FILE(FILL, self->fd, 0, FILE_LEN);
	end_emergency();
	stores_give(0, self->p);
}

TEST_HARNESS_MAIN
