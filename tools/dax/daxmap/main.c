// SPDX-License-Identifier: GPL-2.0-only
/* Options, targets, and the exit status. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <libsmartcols.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daxmap.h"

struct options opt;

static const char usage_text[] =
"Usage: daxmap [OPTION]... [-p PID] [FILE|MOUNTPOINT|PID]...\n"
"Tell which page size a DAX file, filesystem or process gets, and why.\n"
"\n"
"  -p, --pid PID          a process, also where a file has that name\n"
"      --list             each 2 MiB of a file, each range of a process\n"
"      --require SIZE[:PERCENT]\n"
"                         exit with 1 unless so much is 2M or 1G (100 percent)\n"
"      --for read|write   what --require asks about, for a file (write)\n"
"      --collapse         map 2 MiB pages where possible\n"
"      --watch[=SECONDS]  faults that fall back, as they happen\n"
"      --dump DIR         also copy each fact that is read to DIR\n"
"      --sysroot DIR      read the facts from such a copy\n"
"\n"
"  -J, --json             one JSON document\n"
"  -o, --output COLUMNS   these columns, separated by commas\n"
"  -n, --noheadings       no headings\n"
"  -r, --raw              no alignment, and nothing but tables\n"
"  -b, --bytes            sizes in bytes\n"
"  -h, --help             this text\n"
"  -V, --version          the version\n"
"\n"
"Exit status: 0, 1 if --require is not met, 2 for an error, 3 if it is not DAX,\n"
"4 if it cannot be told without privilege.\n";

void warn(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fputs("daxmap: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void die(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fputs("daxmap: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(DAXMAP_ERROR);
}

void *zalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("out of memory");
	return p;
}

char *format(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		die("out of memory");
	va_end(args);
	return text;
}

/* The room doubles each time that @nr is a power of two. */
void *grow(void *array, size_t nr, size_t size)
{
	if (nr & (nr - 1))
		return array;
	array = realloc(array, MAX(2 * nr, 1) * size);
	if (!array)
		die("out of memory");
	return array;
}

enum {
	OPT_LIST = 256, OPT_REQUIRE, OPT_FOR, OPT_COLLAPSE, OPT_WATCH, OPT_DUMP, OPT_SYSROOT,
};

static const struct option long_options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "require", required_argument, NULL, OPT_REQUIRE },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "collapse", no_argument, NULL, OPT_COLLAPSE },
	{ "watch", optional_argument, NULL, OPT_WATCH },
	{ "dump", required_argument, NULL, OPT_DUMP },
	{ "sysroot", required_argument, NULL, OPT_SYSROOT },
	{ "json", no_argument, NULL, 'J' },
	{ "output", required_argument, NULL, 'o' },
	{ "noheadings", no_argument, NULL, 'n' },
	{ "raw", no_argument, NULL, 'r' },
	{ "bytes", no_argument, NULL, 'b' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{}
};

/* All digits, and not more than @max. */
static bool number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return !errno && !*end && *value <= max;
}

static void parse_require(const char *text)
{
	unsigned long percent = 100;

	if (!strncmp(text, "2M", 2))
		opt.require = SZ_2M;
	else if (!strncmp(text, "1G", 2))
		opt.require = SZ_1G;
	if (!opt.require || (text[2] && (text[2] != ':' || !number(text + 3, 100, &percent))))
		die("--require %s: it is 2M or 1G, and :PERCENT after it", text);
	opt.percent = percent;
}

static void parse_for(const char *text)
{
	opt.for_read = !strcmp(text, "read");
	if (!opt.for_read && strcmp(text, "write"))
		die("--for %s: it is read or write", text);
}

static pid_t parse_pid(const char *text)
{
	unsigned long pid;

	if (!number(text, INT_MAX, &pid) || !pid)
		die("%s: not the number of a process", text);
	return pid;
}

static void parse_watch(const char *text)
{
	unsigned long seconds = 2;

	opt.watch = true;
	if (text && (!number(text, 86400, &seconds) || !seconds))
		die("--watch=%s: not a number of seconds", text);
	opt.seconds = seconds;
}

static void parse_folder(const char *name, const char *path, const char **into)
{
	struct stat st;

	if (!strcmp(name, "--dump") && mkdir(path, 0777) && errno != EEXIST)
		die("%s %s: %s", name, path, strerror(errno));
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		die("%s %s: not a folder", name, path);
	*into = path;
}

/* -o: each name is that of a column of some table. */
static void parse_columns(const char *names)
{
	unsigned int nr = 1;

	for (const char *p = names; *p; p++) {
		if (!isalnum((unsigned char)*p) && *p != '%' && *p != ',')
			die("-o %s: names of columns, separated by commas", names);
		nr += *p == ',';
	}
	if (!*names || nr > MAX_COLUMNS)
		die("-o: from 1 to %u columns", MAX_COLUMNS);
	opt.columns = names;
}

struct targets {
	char **names;
	pid_t *pids;
	size_t nr;
};

static void add_target(struct targets *t, char *name, pid_t pid)
{
	t->names = grow(t->names, t->nr, sizeof(*t->names));
	t->pids = grow(t->pids, t->nr, sizeof(*t->pids));
	t->names[t->nr] = name;
	t->pids[t->nr++] = pid;
}

static void parse_option(int c, struct targets *targets)
{
	switch (c) {
	case 'p':
		add_target(targets, optarg, parse_pid(optarg));
		break;
	case 'J':
		opt.json = true;
		break;
	case 'o':
		parse_columns(optarg);
		break;
	case 'n':
		opt.no_headings = true;
		break;
	case 'r':
		opt.raw = true;
		break;
	case 'b':
		opt.bytes = true;
		break;
	case OPT_LIST:
		opt.list = true;
		break;
	case OPT_REQUIRE:
		parse_require(optarg);
		break;
	case OPT_FOR:
		parse_for(optarg);
		break;
	case OPT_COLLAPSE:
		opt.collapse = true;
		break;
	case OPT_WATCH:
		parse_watch(optarg);
		break;
	case OPT_DUMP:
		parse_folder("--dump", optarg, &opt.dump);
		break;
	case OPT_SYSROOT:
		parse_folder("--sysroot", optarg, &opt.sysroot);
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(DAXMAP_OK);
	case 'V':
		puts("daxmap " VERSION);
		exit(DAXMAP_OK);
	default:
		fputs("daxmap: 'daxmap --help' tells the options\n", stderr);
		exit(DAXMAP_ERROR);
	}
}

static void check_options(const struct targets *targets)
{
	if (!targets->nr)
		die("no FILE, MOUNTPOINT or PID; 'daxmap --help' tells more");
	if (opt.sysroot && (opt.dump || opt.collapse || opt.watch))
		die("--sysroot is a copy: it goes with none of --dump, --collapse, --watch");
	if (opt.collapse && opt.watch)
		die("--collapse and --watch do not go together");
	if (opt.json && opt.watch)
		die("--watch prints lines without end, which is no JSON document");
}

/* An existing name is a file; another one that is a number is a process. */
static void add_names(struct targets *targets, char **names, int nr)
{
	unsigned long pid;

	for (int i = 0; i < nr; i++) {
		char *real = opt.sysroot ? NULL : realpath(names[i], NULL);

		if (real || !number(names[i], INT_MAX, &pid) || !pid)
			add_target(targets, real ?: names[i], 0);
		else
			add_target(targets, names[i], pid);
	}
}

static enum status show_target(char *name, pid_t pid)
{
	if (pid)
		return opt.collapse ? collapse_task(pid) : show_task(pid);
	if (file_is_folder(name)) {
		if (opt.collapse || opt.require)
			die("%s is a folder: --collapse and --require are for files and processes",
			    name);
		return show_mount(name);
	}
	return opt.collapse ? collapse_file(name) : show_file(name);
}

/* An error counts most, then the largest number. */
static enum status worse(enum status a, enum status b)
{
	if (a == DAXMAP_ERROR || b == DAXMAP_ERROR)
		return DAXMAP_ERROR;
	return MAX(a, b);
}

int main(int argc, char **argv)
{
	struct targets targets = {};
	enum status status = DAXMAP_OK;
	int c;

	setlocale(LC_CTYPE, "");
	scols_init_debug(0);
	opt.percent = 100;
	while ((c = getopt_long(argc, argv, "p:Jo:nrbhV", long_options, NULL)) != -1)
		parse_option(c, &targets);
	add_names(&targets, argv + optind, argc - optind);
	check_options(&targets);
	if (opt.watch)
		return watch(targets.names, targets.pids, targets.nr);
	for (size_t i = 0; i < targets.nr; i++)
		status = worse(status, show_target(targets.names[i], targets.pids[i]));
	if (!show_finish())
		status = DAXMAP_ERROR;
	return fflush(stdout) ? DAXMAP_ERROR : (int)status;
}
