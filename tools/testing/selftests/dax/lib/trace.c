// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trace events, in an instance of this program's own, with the "counter" clock,
 * which orders the events of all CPUs exactly. Its tests, which run one after the
 * other, share the instance: to make and remove one takes longer than most tests.
 */
#include <stdarg.h>
#include <sys/sysmacros.h>

#include "internal.h"

static const char *trace_dir;
static int trace_pipe = -1;
static char *trace_text;
static size_t trace_len, trace_room;

bool dax_has_event(const char *event)
{
	return !access(dax_text(TRACEFS "/events/fs_dax/%s", event), F_OK);
}

const char *dax_no_event(const char *event)
{
	return dax_has_event(event) ? NULL :
		dax_text("this kernel has no event %s", event);
}

static void trace_write(const char *file, const char *text)
{
	dax_must_write(dax_text("%s/%s", trace_dir, file), text);
}

/* Write to @file of the event, or of a folder of events. */
static void event_write(const char *event, const char *file, const char *text)
{
	trace_write(dax_text("events/%s/%s", event, file), text);
}

static void event_enable(const char *event, const char *filter)
{
	event_write(event, "filter", filter);
	event_write(event, "enable", "1");
}

/* The process that all tests of this program are children of. */
static pid_t program;

static void remove_instance(void)
{
	if (getpid() == program)
		rmdir(trace_dir);
}

__attribute__((constructor)) static void name_instance(void)
{
	program = getpid();
	trace_dir = dax_text(TRACEFS "/instances/dax-%d", program);
	atexit(remove_instance);
}

static void make_instance(void)
{
	if (!mkdir(trace_dir, 0700)) {
		trace_write("trace_clock", "counter");
		trace_write("trace_options", "nocontext-info");
		trace_write("buffer_size_kb", "4096");
	} else if (errno != EEXIST) {
		dax_exit_fail("%s: %m", trace_dir);
	}
}

/* A test that was killed may have left its events on, and their text behind. */
static void trace_open(void)
{
	const char *path = dax_text("%s/trace_pipe", trace_dir);

	if (trace_pipe >= 0)
		return;
	make_instance();
	trace_write("events/enable", "0");
	trace_write("trace", "");
	trace_write("tracing_on", "1");
	trace_pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (trace_pipe < 0)
		dax_exit_fail("%s: %m", path);
}

void trace_close(void)
{
	if (trace_pipe < 0)
		return;
	trace_write("tracing_on", "0");
	trace_write("events/enable", "0");
	close(trace_pipe);
	trace_pipe = -1;
}

void dax_trace(int fd, const char *events)
{
	char *filter, *list, *name, *save;
	struct stat st;

	if (fstat(fd, &st))
		dax_exit_fail("fstat: %m");
	/* The kernel keeps a device number with 20 bits of minor. */
	filter = dax_text("dev == %u && ino == %lu",
			  major(st.st_dev) << 20 | minor(st.st_dev), st.st_ino);

	trace_open();
	if (!events)
		event_enable("fs_dax", filter);
	list = dax_text("%s", events ?: "");
	for (name = strtok_r(list, " ", &save); name;
	     name = strtok_r(NULL, " ", &save))
		event_enable(dax_text("fs_dax/%s", name), filter);
	/* The file may have the inode number of another one. */
	dax_trace_clear();
}

/* An event of another system, for example jbd2/jbd2_handle_start. */
void dax_trace_thread(const char *event, const char *filter)
{
	trace_open();
	event_enable(event, dax_text("common_pid == %d%s%s", gettid(),
				     filter ? " && " : "", filter ?: ""));
}

/* The same, whichever thread it is of. */
void dax_trace_threads(const char *event)
{
	trace_open();
	event_enable(event, "0");
}

void dax_trace_stop(const char *event)
{
	event_write(event, "enable", "0");
}

/* Puts a line of ours between the events. */
void dax_trace_mark(const char *text)
{
	static int marker = -1;

	if (marker < 0)
		marker = open(dax_text("%s/trace_marker", trace_dir),
			      O_WRONLY | O_CLOEXEC);
	if (write(marker, text, strlen(text)) < 0)
		dax_exit_fail("trace_marker: %m");
}

static void trace_drain(void)
{
	ssize_t n;

	for (;;) {
		if (trace_room - trace_len < SZ_4K * 2) {
			trace_room = trace_room * 2 + SZ_4K * 16;
			trace_text = realloc(trace_text, trace_room);
			if (!trace_text)
				dax_exit_fail("no memory for the trace");
		}
		n = read(trace_pipe, trace_text + trace_len,
			 trace_room - trace_len - 1);
		if (n <= 0)
			break;
		trace_len += n;
	}
	if (n < 0 && errno != EAGAIN)
		dax_exit_fail("trace_pipe: %m");
	trace_text[trace_len] = '\0';
	if (strstr(trace_text, "LOST"))
		dax_exit_fail("the trace buffer overflowed: counts are not exact");
}

void dax_trace_clear(void)
{
	trace_drain();
	trace_len = 0;
	trace_text[0] = '\0';
}

const char *dax_trace_text(void)
{
	trace_drain();
	return trace_text;
}

/* A blank stands before and behind each word of @line. */
static bool matches(const char *line, const char *pattern)
{
	char words[256];

	for (size_t len; *pattern; pattern += strspn(pattern, ", ")) {
		len = strcspn(pattern, ",");
		snprintf(words, sizeof(words), " %.*s ", (int)len, pattern);
		if (!strstr(line, words))
			return false;
		pattern += len;
	}
	return true;
}

unsigned int dax_count(const char *event, const char *fmt, ...)
{
	char pattern[256], line[1024];
	unsigned int count = 0;
	size_t name = strlen(event);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(pattern, sizeof(pattern), fmt, ap);
	va_end(ap);

	trace_drain();
	for (const char *p = trace_text; *p; p = dax_next_line(p)) {
		if (strncmp(p, event, name) || p[name] != ':')
			continue;
		snprintf(line, sizeof(line), "%.*s ", (int)strcspn(p, "\n"), p);
		count += matches(line + name, pattern);
	}
	return count;
}

static void add_walk(struct dax_walks *walks, const char *line,
		     const char *what)
{
	unsigned long entries, pages;
	char word[16];

	if (sscanf(line, " dev %*s ino %*s %15s entries %lu pages %lu", word,
		   &entries, &pages) != 3)
		dax_exit_fail("dax_walk has another text than expected: %.80s",
			      line);
	if (what && strcmp(what, word))
		return;
	walks->nr++;
	walks->entries += entries;
	walks->pages += pages;
	if (walks->longest < pages)
		walks->longest = pages;
}

struct dax_walks dax_walks(const char *what)
{
	static const char event[] = "dax_walk:";
	struct dax_walks walks = {};

	trace_drain();
	for (const char *p = trace_text; *p; p = dax_next_line(p))
		if (!strncmp(p, event, strlen(event)))
			add_walk(&walks, p + strlen(event), what);
	return walks;
}

/* Promotion. */

#define POLICY	"/sys/module/fs_dax/parameters/promote"
#define ALIGN	"/sys/module/fs_dax/parameters/align"
#define PROMOTIONS	"/sys/kernel/debug/fs_dax/promote"
#define FAULT_COUNTERS	"/sys/kernel/debug/fs_dax/faults"

static char policy_before[16];

const char *dax_policy(const char *policy)
{
	int fd = open(POLICY, O_RDONLY);

	if (fd < 0)
		return "this kernel does not promote";
	if (!policy_before[0] &&
	    read(fd, policy_before, sizeof(policy_before) - 1) <= 0)
		dax_exit_fail(POLICY ": %m");
	close(fd);
	dax_must_write(POLICY, policy);
	return NULL;
}

static bool align_changed;

const char *dax_align(bool on)
{
	if (dax_write_file(ALIGN, on ? "Y" : "N"))
		return "this core does not align blocks";
	align_changed = !on;
	return NULL;
}

#define UNMOUNT_WAIT	"/sys/module/fs_dax/parameters/unmount_wait"
#define UNMOUNT_SECONDS	2	/* what the kernel begins with */

static bool unmount_wait_changed;

const char *dax_unmount_wait(unsigned int seconds)
{
	if (dax_write_file(UNMOUNT_WAIT, "%u", seconds))
		return "an unmount of this kernel does not wait";
	unmount_wait_changed = seconds != UNMOUNT_SECONDS;
	return NULL;
}

#define FAULT_AROUND	"/sys/kernel/debug/fault_around_bytes"
#define FAULT_AROUND_BYTES	65536	/* what the kernel begins with */

static bool around_changed;

void dax_fault_around(unsigned long bytes)
{
	if (dax_write_file(FAULT_AROUND, "%lu", bytes))
		dax_exit_fail(FAULT_AROUND ": %m");
	around_changed = bytes != FAULT_AROUND_BYTES;
}

void restore_policy(void)
{
	if (policy_before[0])
		dax_write_file(POLICY, "%s", policy_before);
	policy_before[0] = '\0';
	if (align_changed)
		dax_align(true);
	if (around_changed)
		dax_fault_around(FAULT_AROUND_BYTES);
	if (unmount_wait_changed)
		dax_unmount_wait(UNMOUNT_SECONDS);
}

static unsigned long counter(const char *path, const char *what)
{
	unsigned long count;
	char name[32];
	FILE *file = fopen(path, "r");

	if (!file)
		dax_exit_fail("%s: %m", path);
	while (fscanf(file, "%31s %lu", name, &count) == 2) {
		if (!strcmp(name, what)) {
			fclose(file);
			return count;
		}
	}
	dax_exit_fail("%s has no \"%s\"", path, what);
}

unsigned long dax_promotions(const char *action)
{
	return counter(PROMOTIONS, action);
}

unsigned long dax_faults(const char *what)
{
	return counter(FAULT_COUNTERS, what);
}

int dax_collapse(void *addr, size_t len)
{
	return madvise(addr, len, MADV_COLLAPSE) ? errno : 0;
}
