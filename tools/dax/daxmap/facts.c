// SPDX-License-Identifier: GPL-2.0-only
/*
 * Facts: texts with a path, from this machine or from a copy of another one.
 *
 * In a copy, the file of a fact has the path of the fact below the folder. If
 * the user was not permitted to read a fact, the copy has an empty file with
 * ".denied" after the name, so that the copy shows what the machine showed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daxmap.h"

static char *missing_list;

void missing(const char *what)
{
	char *list;

	if (missing_list && strstr(missing_list, what))
		return;
	list = missing_list ? format("%s; %s", missing_list, what) : format("%s", what);
	free(missing_list);
	missing_list = list;
}

const char *all_missing(void)
{
	return missing_list;
}

void forget_missing(void)
{
	free(missing_list);
	missing_list = NULL;
}

char *read_file(const char *path)
{
	size_t size = 0, room = 4096;
	char *text = zalloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t nr = -1;

	while (fd >= 0) {
		nr = read(fd, text + size, room - size - 1);
		if (nr <= 0)
			break;
		size += nr;
		if (size < room - 1)
			continue;
		room *= 2;
		text = realloc(text, room);
		if (!text)
			die("out of memory");
	}
	if (nr < 0) {
		int err = errno;

		free(text);
		if (fd >= 0)
			close(fd);
		errno = err;
		return NULL;
	}
	close(fd);
	text[size] = 0;
	return text;
}

/* The last part of what a link points to. */
char *read_link(const char *path)
{
	char target[PATH_MAX];
	ssize_t nr = readlink(path, target, sizeof(target) - 1);
	char *slash;

	if (nr < 0)
		return NULL;
	target[nr] = 0;
	slash = strrchr(target, '/');
	return format("%s", slash ? slash + 1 : target);
}

static void make_folders(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (mkdir(path, 0777) && errno != EEXIST)
			die("--dump: %s: %s", path, strerror(errno));
		*p = '/';
	}
}

static void keep(const char *fact_path, const char *end, const char *text)
{
	char *path = format("%s%s%s", opt.dump, fact_path, end);
	size_t len = strlen(text);
	int fd;

	make_folders(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		die("--dump: %s: %s", path, strerror(errno));
	close(fd);
	free(path);
}

static char *fact_of_copy(const char *path)
{
	char *file = format("%s%s", opt.sysroot, path);
	char *denied = format("%s.denied", file);
	char *text = read_file(file);
	int err = errno;

	if (!text && !access(denied, F_OK))
		err = EACCES;
	free(file);
	free(denied);
	errno = err;
	return text;
}

char *fact(const char *path, char *(*probe)(const char *arg), const char *arg)
{
	char *text;
	int err;

	if (opt.sysroot)
		return fact_of_copy(path);
	text = probe(arg);
	err = errno;
	if (opt.dump && text)
		keep(path, "", text);
	else if (opt.dump && (err == EACCES || err == EPERM))
		keep(path, ".denied", "");
	errno = err;
	return text;
}

/* The first line of a file of the machine, or all of it if there are more. */
char *fact_file(const char *fmt, ...)
{
	char path[PATH_MAX];
	char *text, *end;
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	text = fact(path, read_file, path);
	end = text ? strchr(text, '\n') : NULL;
	if (end && !end[1])
		*end = 0;
	return text;
}

uint64_t fact_number(uint64_t otherwise, const char *fmt, ...)
{
	uint64_t number = otherwise;
	char path[PATH_MAX];
	char *text, *end;
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	text = fact(path, read_file, path);
	if (!text)
		return otherwise;
	number = strtoull(text, &end, 0);
	if (end == text)
		number = otherwise;
	free(text);
	errno = 0;
	return number;
}

/* Where a library can read a fact that is a file. */
char *fact_location(const char *path)
{
	char *text = fact(path, read_file, path);

	if (!text)
		return NULL;
	free(text);
	return format("%s%s", opt.sysroot ?: "", path);
}
