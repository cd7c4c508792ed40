/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls by which two files exchange blocks, and what they need. No header of today
 * has all of them.
 */
#ifndef DAX_EXCHANGE_H
#define DAX_EXCHANGE_H

#include "dax_test.h"

/* All that a file of ext4 has, for all that the boot loader has, which may be nothing. */
#define DAX_SWAP_BOOT	_IO('f', 17)

/* The arguments of xfs_fsr's call, with its description of the file: a blob. */
struct dax_xfs_file {
	uint64_t words[17];
};

struct dax_xfs_describe {
	uint64_t *ino;
	int32_t nr;
	struct dax_xfs_file *file;
	int32_t *done;
};

struct dax_xfs_swap {
	int64_t version, fd, other, off, len;
	char unused[16];
	struct dax_xfs_file before;
};

#define DAX_XFS_DESCRIBE	_IOWR('X', 102, struct dax_xfs_describe)
#define DAX_XFS_SWAP		_IOWR('X', 109, struct dax_xfs_swap)

/* All that two files of XFS have, of @len bytes each; EBUSY if @fd changes meanwhile. */
static inline int dax_xfs_swap_all(int fd, int other, size_t len)
{
	struct dax_xfs_swap swap = { .fd = fd, .other = other, .len = len };
	struct dax_xfs_describe describe = { .nr = 1, .file = &swap.before };
	uint64_t ino;
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	ino = st.st_ino;
	describe.ino = &ino;
	return ioctl(fd, DAX_XFS_DESCRIBE, &describe) ?:
	       ioctl(fd, DAX_XFS_SWAP, &swap);
}

struct dax_xfs_exchange {
	int32_t other;
	uint32_t unused;
	uint64_t other_off, off, len, flags;
};

#define DAX_XFS_EXCHANGE	_IOW('X', 129, struct dax_xfs_exchange)

/* The page at @off of @fd, for the first page of @other. */
static inline int dax_xfs_exchange_page(int fd, off_t off, int other)
{
	struct dax_xfs_exchange exchange = {
		.other = other, .off = off, .len = SZ_4K,
	};

	return ioctl(fd, DAX_XFS_EXCHANGE, &exchange);
}

/* The scratch filesystem may exchange ranges then. mkfs.xfs of today has no option for it. */
static inline void dax_xfs_allow_exchange(const char *mount)
{
	const char *dev = dax_scratch_device();
	const char *file = "/tmp/dax-features";

	if (dax_sh("umount %s", dax_dir()) ||
	    dax_sh("xfs_db -r -c 'sb 0' -c 'p features_incompat' %s >%s",
		   dev, file) ||
	    dax_sh("xfs_db -x -c 'sb 0' -c \"%s $(($(cut -d= -f2 %s) | 0x40))\" %s",
		   "write -d features_incompat", file, dev) ||
	    dax_sh("mount -o %s %s %s", mount, dev, dax_dir()))
		dax_exit_fail("no filesystem that exchanges ranges");
}

#endif
