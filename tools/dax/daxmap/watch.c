// SPDX-License-Identifier: GPL-2.0-only
/*
 * --watch: faults that fall back, as they happen.
 *
 * With tracefs, an instance of its own has the events of the files and processes
 * that are watched; the other instances are left alone. Without it, the processes
 * are looked at again and again, and a line says how their sizes changed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daxmap.h"

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	stopped = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = stop };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* --- by scanning ------------------------------------------------------------------------- */

/* Returns 0 or an errno. */
static int sum_pages(pid_t pid, uint64_t sums[NR_MAPPED])
{
	size_t nr_vmas = 0, nr;
	struct vma *vmas = dax_vmas(pid, &nr_vmas);

	if (!vmas)
		return errno;
	memset(sums, 0, NR_MAPPED * sizeof(sums[0]));
	for (size_t i = 0; i < nr_vmas; i++) {
		struct pages *pages = pages_of(pid, vmas[i].start, vmas[i].end, &nr);

		for (size_t k = 0; k < nr; k++)
			sums[pages[k].mapped] += pages[k].end - pages[k].start;
		free(pages);
		free(vmas[i].path);
	}
	free(vmas);
	return 0;
}

static int scan_once(pid_t pid, uint64_t before[NR_MAPPED])
{
	uint64_t sums[NR_MAPPED];
	int err = sum_pages(pid, sums);

	if (err || !memcmp(sums, before, sizeof(sums)))
		return err;
	memcpy(before, sums, sizeof(sums));
	printf("%d: 2M %s, zero %s, 4K %s\n", pid, size_text(sums[MAPPED_2M]),
	       size_text(sums[MAPPED_2M_ZERO] + sums[MAPPED_4K_ZERO]),
	       size_text(sums[MAPPED_4K]));
	fflush(stdout);
	return 0;
}

static enum status watch_by_scanning(const pid_t *pids, size_t nr)
{
	uint64_t (*before)[NR_MAPPED] = zalloc(nr * sizeof(*before));
	size_t left = nr;
	int err = 0;

	for (size_t i = 0; i < nr; i++) {
		if (!pids[i]) {
			warn("no tracefs (root): only processes can be watched, by scanning");
			return DAXMAP_UNKNOWN;
		}
	}
	warn("no tracefs (root): scanning every %u s", opt.seconds);
	memset(before, 0xff, nr * sizeof(*before));
	while (!stopped && left) {
		left = 0;
		for (size_t i = 0; i < nr; i++) {
			err = scan_once(pids[i], before[i]);
			left += !err;
		}
		if (left)
			sleep(opt.seconds);
	}
	free(before);
	if (!left && err != ENOENT && err != ESRCH) {
		warn("process %d: %s", pids[nr - 1], strerror(err));
		return DAXMAP_UNKNOWN;
	}
	return DAXMAP_OK;
}

/* --- by tracefs -------------------------------------------------------------------------- */

#ifdef HAVE_TRACEFS
#include <event-parse.h>
#include <tracefs.h>

struct watched {
	char **names;
	pid_t *pids;
	struct file **files;
	size_t nr;
};

/* The path that the process has mapped, if it is still there. */
static char *name_in_maps(int pid, dev_t number, uint64_t ino)
{
	char *path = format("/proc/%d/maps", pid), *text = read_file(path);
	char *line, *save = NULL, *name = NULL;

	free(path);
	if (!text)
		return NULL;
	for (line = strtok_r(text, "\n", &save); line && !name;
	     line = strtok_r(NULL, "\n", &save)) {
		unsigned int major, minor;
		unsigned long long got;
		int at = 0;

		if (sscanf(line, "%*s %*s %*s %x:%x %llu %n", &major, &minor, &got, &at) == 3 &&
		    at && got == ino && makedev(major, minor) == number)
			name = format("%s", line + at);
	}
	free(text);
	return name;
}

static char *name_of(const struct watched *w, int pid, dev_t number, uint64_t ino)
{
	char *name;

	for (size_t i = 0; i < w->nr; i++)
		if (w->files[i] && w->files[i]->ino == ino && w->files[i]->number == number)
			return format("%s", w->names[i]);
	name = name_in_maps(pid, number, ino);
	return name ?: format("inode %llu", (unsigned long long)ino);
}

static char *comm_of(int pid)
{
	char *path = format("/proc/%d/comm", pid), *comm = read_file(path);

	free(path);
	if (!comm)
		return format("task");
	comm[strcspn(comm, "\n")] = 0;
	return comm;
}

static bool is_watched(const struct watched *w, int pid, dev_t number, uint64_t ino)
{
	for (size_t i = 0; i < w->nr; i++)
		if (w->pids[i] ? w->pids[i] == pid :
		    !w->files[i] || w->files[i]->number == number)
			return w->pids[i] || !w->files[i] || w->files[i]->ino == ino ||
				S_ISDIR(w->files[i]->mode);
	return false;
}

/* The kernel keeps a device number as 12 and 20 bits. */
static dev_t kernel_number(unsigned long long dev)
{
	return makedev(dev >> 20, dev & 0xfffff);
}

static void print_event(struct tep_handle *tep, struct tep_event *event,
			struct tep_record *record, const struct watched *w)
{
	unsigned long long dev = 0, ino = 0;
	struct trace_seq s;
	char *name, *comm;
	int pid;

	tep_get_field_val(NULL, event, "dev", record, &dev, 0);
	tep_get_field_val(NULL, event, "ino", record, &ino, 0);
	pid = tep_data_pid(tep, record);
	if (!is_watched(w, pid, kernel_number(dev), ino))
		return;
	name = name_of(w, pid, kernel_number(dev), ino);
	comm = comm_of(pid);
	trace_seq_init(&s);
	tep_print_event(tep, &s, record, "%s", TEP_PRINT_INFO);
	trace_seq_terminate(&s);
	printf("%s-%d %s: %s\n", comm, pid, name, s.buffer);
	trace_seq_destroy(&s);
	fflush(stdout);
	free(name);
	free(comm);
}

static int take_event(struct tep_event *event, struct tep_record *record, int cpu, void *arg)
{
	/* Of the stock kernel's event, only fallbacks are of interest. */
	if (strstr(event->name, "done")) {
		unsigned long long result = 0;

		tep_get_field_val(NULL, event, "result", record, &result, 0);
		if (!(result & 0x800 /* VM_FAULT_FALLBACK */))
			return 0;
	}
	print_event(event->tep, event, record, arg);
	return 0;
}

static enum status follow(struct tracefs_instance *instance, struct watched *w)
{
	static const char * const systems[] = { "fs_dax", NULL };
	struct tep_handle *tep = tracefs_local_events_system(NULL, systems);

	if (!tep)
		return DAXMAP_UNKNOWN;
	while (!stopped) {
		tracefs_iterate_raw_events(tep, instance, NULL, 0, take_event, w);
		usleep(200000);
	}
	tracefs_iterate_raw_events(tep, instance, NULL, 0, take_event, w);
	tep_free(tep);
	return DAXMAP_OK;
}

static bool watch_by_tracefs(struct watched *w, enum status *status)
{
	struct tracefs_instance *instance;
	char name[32];
	bool enabled;

	snprintf(name, sizeof(name), "daxmap-%d", getpid());
	if (!tracefs_tracing_dir())
		return false;
	instance = tracefs_instance_create(name);
	if (!instance)
		return false;
	enabled = !tracefs_event_enable(instance, "fs_dax", "dax_fault_fallback") ||
		  !tracefs_event_enable(instance, "fs_dax", "dax_pmd_fault_done");
	if (enabled) {
		warn("watching; Ctrl-C ends it");
		*status = follow(instance, w);
	}
	tracefs_instance_destroy(instance);
	tracefs_instance_free(instance);
	return enabled;
}

enum status watch(char **names, pid_t *pids, size_t nr)
{
	struct watched w = { names, pids, zalloc(nr * sizeof(struct file *)), nr };
	enum status status = DAXMAP_ERROR;

	for (size_t i = 0; i < nr; i++) {
		if (pids[i])
			continue;
		w.files[i] = file_open(names[i], names[i]);
		if (!w.files[i])
			die("%s: %s", names[i], strerror(errno));
	}
	catch_signals();
	if (watch_by_tracefs(&w, &status))
		return status;
	return watch_by_scanning(pids, nr);
}

#else

enum status watch(char **names, pid_t *pids, size_t nr)
{
	catch_signals();
	return watch_by_scanning(pids, nr);
}

#endif
