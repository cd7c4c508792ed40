// SPDX-License-Identifier: GPL-2.0-only
/*
 * --collapse: ask the kernel to map 2 MiB pages where it can, by MADV_COLLAPSE.
 *
 * A file is collapsed for all processes. It is mapped for reading. If it can
 * also be opened for writing, the kernel may move its blocks. The mappings of a
 * process are collapsed by process_madvise(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daxmap.h"
#include "uapi.h"

struct tally {
	unsigned long done, refused, impossible;
	int err;		/* of the last one refused */
};

static void count(struct tally *t, int err)
{
	if (err) {
		t->refused++;
		t->err = err;
	} else {
		t->done++;
	}
}

static const char *reason_of(int err)
{
	switch (err) {
	case EINVAL:	return "this kernel does not collapse DAX mappings, or not this range";
	case EPERM:
		return "not permitted; a process other than daxmap itself needs CAP_SYS_NICE";
	case ENOSPC:	return "no 2M of free space that are aligned";
	default:	return strerror(err);
	}
}

static enum status finish(const char *name, const char *kind, const struct tally *t)
{
	enum status status = t->err == EPERM ? DAXMAP_UNKNOWN :
			     t->refused ? DAXMAP_NOT_MET : DAXMAP_OK;
	char *text;

	text = format("%lu ranges of 2M collapsed, %lu refused%s%s, %lu cannot be huge", t->done,
		      t->refused, t->refused ? ": " : "", t->refused ? reason_of(t->err) : "",
		      t->impossible);
	show_begin(name, kind);
	show_end(status, text);
	free(text);
	return status;
}

/* A mapping of the file whose addresses are those of the file modulo 2 MiB. */
static char *map_aligned(int fd, uint64_t offset, size_t len)
{
	char *room = mmap(NULL, len + SZ_2M, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = (char *)(((uintptr_t)room + SZ_2M - 1) & ~(SZ_2M - 1));

	if (room == MAP_FAILED)
		return NULL;
	if (mmap(start, len, PROT_READ, MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED)
		return NULL;
	return start;
}

static int collapse_range(int fd, uint64_t offset)
{
	char *map = map_aligned(fd, offset, SZ_2M);
	int err;

	if (!map)
		return errno;
	err = madvise(map, SZ_2M, MADV_COLLAPSE) ? errno : 0;
	munmap(map, SZ_2M);
	return err;
}

static bool can_be_huge(const struct range *r)
{
	return r->len == SZ_2M && (r->read.gets == GETS_2M || r->read.gets == GETS_UNKNOWN);
}

/* Could it be huge if its blocks were elsewhere? */
static bool can_be_moved(const struct range *r)
{
	return r->len == SZ_2M && (r->read.reason == REASON_EXTENT_SHORT ||
				   r->read.reason == REASON_MISALIGNED_PFN ||
				   r->read.reason == REASON_FRAGMENTED);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? open(path, O_RDONLY | O_CLOEXEC) : fd;
}

static void collapse_predicted(int fd, const struct range *r, struct tally *t)
{
	int err = EINVAL;

	if (can_be_huge(r) || can_be_moved(r))
		err = collapse_range(fd, r->offset);
	if (err == EINVAL && !can_be_huge(r))
		t->impossible++;
	else
		count(t, err);
}

enum status collapse_file(const char *path)
{
	struct file *f = file_open(path, path);
	struct tally tally = {};
	struct range *r;
	size_t nr;
	int fd;

	fd = f ? open_file(path) : -1;
	if (fd < 0) {
		warn("%s: %s", path, strerror(errno));
		return DAXMAP_ERROR;
	}
	if (!f->dax) {
		warn("%s: not-dax", path);
		return DAXMAP_NOT_DAX;
	}
	r = predict(f, &nr);
	for (size_t i = 0; i < nr; i++)
		collapse_predicted(fd, &r[i], &tally);
	free(r);
	close(fd);
	file_close(f);
	return finish(path, "file", &tally);
}

static void collapse_vma(int pidfd, const struct vma *vma, struct tally *t)
{
	uint64_t at = (vma->start + SZ_2M - 1) & ~(SZ_2M - 1);

	for (; at + SZ_2M <= vma->end; at += SZ_2M) {
		uint64_t offset = at - vma->start + vma->offset;
		struct iovec iov = { (void *)(uintptr_t)at, SZ_2M };
		struct range r;

		if (offset % SZ_2M) {
			t->impossible++;
			continue;
		}
		r = predict_range(vma->file, offset);
		if (!can_be_huge(&r))
			t->impossible++;
		else if (syscall(SYS_process_madvise, pidfd, &iov, 1, MADV_COLLAPSE, 0) < 0)
			count(t, errno);
		else
			count(t, 0);
	}
}

enum status collapse_task(pid_t pid)
{
	struct tally tally = {};
	struct vma *vmas;
	char name[24];
	size_t nr;
	int pidfd;

	vmas = dax_vmas(pid, &nr);
	pidfd = vmas ? syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd < 0) {
		warn("process %d: %s", pid, strerror(errno));
		return errno == EACCES || errno == EPERM ? DAXMAP_UNKNOWN : DAXMAP_ERROR;
	}
	if (!nr) {
		warn("process %d: not-dax: it has no DAX mapping", pid);
		return DAXMAP_NOT_DAX;
	}
	for (size_t i = 0; i < nr; i++)
		collapse_vma(pidfd, &vmas[i], &tally);
	close(pidfd);
	free(vmas);
	snprintf(name, sizeof(name), "%d", pid);
	return finish(name, "process", &tally);
}
