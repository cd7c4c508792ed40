// SPDX-License-Identifier: GPL-2.0-only
/* The table of a device-mapper device, by libdevmapper where it is there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daxmap.h"

#ifdef HAVE_DEVMAPPER
#include <libdevmapper.h>

static void no_log(int level, const char *file, int line, int err, const char *fmt, ...)
{
}

static char *table_of(struct dm_task *task)
{
	char *type, *params, *text = format("%s", "");
	uint64_t start, len;
	void *next = NULL;

	do {
		char *longer;

		next = dm_get_next_target(task, next, &start, &len, &type, &params);
		if (!type)
			break;
		longer = format("%s%llu %llu %s %s\n", text, (unsigned long long)start,
				(unsigned long long)len, type, params);
		free(text);
		text = longer;
	} while (next);
	return text;
}

/* As "dmsetup table" prints it; @number is MAJOR:MINOR. */
char *probe_dm_table(const char *number)
{
	unsigned int major, minor;
	struct dm_task *task;
	char *text = NULL;

	if (geteuid()) {	/* the library would only say so */
		errno = EACCES;
		return NULL;
	}
	if (sscanf(number, "%u:%u", &major, &minor) != 2) {
		errno = EINVAL;
		return NULL;
	}
	dm_log_with_errno_init(no_log);
	task = dm_task_create(DM_DEVICE_TABLE);
	if (task && dm_task_set_major(task, major) && dm_task_set_minor(task, minor) &&
	    dm_task_run(task))
		text = table_of(task);
	if (task)
		dm_task_destroy(task);
	if (!text)
		errno = EACCES;
	return text;
}

#else

char *probe_dm_table(const char *number)
{
	errno = EOPNOTSUPP;
	return NULL;
}

#endif
