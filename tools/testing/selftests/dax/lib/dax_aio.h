/* SPDX-License-Identifier: GPL-2.0-only */
/* One asynchronous read of a page from a device. */
#ifndef DAX_AIO_H
#define DAX_AIO_H

#include <asm/posix_types.h>
#include <linux/aio_abi.h>

#include "dax_test.h"

static aio_context_t dax_aio;

static inline void dax_aio_read(int fd, void *page)
{
	struct iocb cb = {
		.aio_fildes = fd,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_buf = (uintptr_t)page,
		.aio_nbytes = SZ_4K,
	}, *list = &cb;

	dax_aio = 0;
	if (syscall(__NR_io_setup, 8, &dax_aio) ||
	    syscall(__NR_io_submit, dax_aio, 1, &list) != 1)
		dax_exit_fail("aio: %m");
}

/* The number of completed reads, 0 or 1. Waits for @at_least that many. */
static inline long dax_aio_completed(long at_least)
{
	struct timespec now = {};
	struct io_event event;

	return syscall(__NR_io_getevents, dax_aio, at_least, 1, &event,
		       at_least ? NULL : &now);
}

/* @done is what dax_aio_completed() has returned so far. */
static inline void dax_aio_end(long done)
{
	if (!done)
		dax_aio_completed(1);
	syscall(__NR_io_destroy, dax_aio);
}

#endif
