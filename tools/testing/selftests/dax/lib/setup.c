// SPDX-License-Identifier: GPL-2.0-only
/*
 * The begin and the end of a test, and its messages.
 *
 * Every test runs in a process of its own, so state is plain static data and
 * what a test leaves open ends with it.
 */
#include <spawn.h>
#include <stdarg.h>

#include "internal.h"

static void print_msg(const char *prefix, const char *fmt, va_list ap)
{
	int err = errno;	/* for "%m" */

	fprintf(stderr, "# %s", prefix);
	errno = err;
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
}

void dax_exit_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_msg("cannot go on: ", fmt, ap);
	va_end(ap);
	dax_test_teardown();
	abort();
}

void dax_print_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_msg("", fmt, ap);
	va_end(ap);
}

/* It is not freed: a test ends soon, and its process with it. */
char *dax_text(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		dax_exit_fail("no memory");
	va_end(ap);
	return text;
}

int dax_write_file(const char *path, const char *fmt, ...)
{
	int fd = open(path, O_WRONLY | O_TRUNC), ret = 0;
	va_list ap;

	if (fd < 0)
		return -errno;
	va_start(ap, fmt);
	if (vdprintf(fd, fmt, ap) < 0)
		ret = -errno;
	va_end(ap);
	close(fd);
	return ret;
}

void dax_must_write(const char *path, const char *text)
{
	int err = dax_write_file(path, "%s", text);

	if (err)
		dax_exit_fail("\"%s\" to %s: %s", text, path, strerror(-err));
}

void dax_fail_me(bool on)
{
	dax_must_write(dax_text("/proc/self/task/%d/make-it-fail", gettid()),
		       on ? "1" : "0");
}

/* Shrinking the cache makes KASAN release freed objects. */
unsigned long dax_slab_objects(const char *cache)
{
	unsigned long nr, found = 0;
	char line[512], name[64];
	FILE *file;

	dax_write_file(dax_text("/sys/kernel/slab/%s/shrink", cache), "1");
	file = fopen("/proc/slabinfo", "r");
	if (!file)
		dax_exit_fail("/proc/slabinfo: %m");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %lu", name, &nr) == 2 &&
		    !strcmp(name, cache))
			found = nr;
	fclose(file);
	return found;
}

static void print_output(int fd)
{
	FILE *file = fdopen(dup(fd), "r");
	char line[1024];

	if (!file)
		return;
	rewind(file);
	while (fgets(line, sizeof(line), file))
		fprintf(stderr, "# %s", line);
	fclose(file);
}

static int run_program(char *const argv[], int output)
{
	posix_spawn_file_actions_t actions;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	if (!posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&actions);
	return status;
}

/* Most commands need no shell, which would take as long again to start. */
static int run_command(const char *command, int output)
{
	char words[1024], *argv[64] = { "sh", "-c", (char *)command }, *save;
	int nr = 0;

	if (strpbrk(command, "|&;<>()$`\\\"'*?[#~!{}\n"))
		return run_program(argv, output);
	strcpy(words, command);
	argv[nr] = strtok_r(words, " ", &save);
	while (argv[nr] && nr + 1 < (int)ARRAY_LEN(argv))
		argv[++nr] = strtok_r(NULL, " ", &save);
	return run_program(argv, output);
}

/* Runs a shell command, whose output only a failure shows. */
int dax_sh(const char *fmt, ...)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	char command[1024];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);

	status = run_command(command, output);
	if (status) {
		print_output(output);
		dax_print_msg("failed: %s", command);
	}
	close(output);
	return status;
}

unsigned int dax_scale(unsigned int rounds)
{
	const char *scale = getenv("DAX_TEST_SCALE");
	unsigned int scaled = scale ? rounds * atoi(scale) / 100 : rounds;

	return scaled ? scaled : 1;
}

/*
 * A child that sleeps through the test, and if it lasts that long tells the
 * kernel stacks of all tasks of it: they are gone when the harness kills it.
 */
static pid_t watchdog;

static void start_watchdog(void)
{
	watchdog = fork();
	if (watchdog)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sleep(DAX_HANG_SECONDS);
	execl("/bin/sh", "sh", "-c",
	      "for task in $(pgrep -g $0 | sed 's,.*,/proc/&/task/*,'); do\n"
	      "	[ -e $task/stack ] || continue\n"
	      "	echo \"# ${task##*/} $(cat $task/comm) $(grep State $task/status)\"\n"
	      "	sed 's/^/#   /' $task/stack\n"
	      "done >&2", dax_text("%d", getpgrp()), NULL);
	_exit(1);
}

__attribute__((weak)) const char *dax_needs(void)
{
	return NULL;
}

__attribute__((weak)) void dax_cleanup(void)
{
}

__attribute__((weak)) void dax_restore(void)
{
}

void dax_test_setup(void)
{
	int fd;

	start_watchdog();
	enter_work_dir();
	fd = dax_create("is-it-dax");
	if (!dax_file_is_dax(fd))
		dax_exit_fail("%s is not mounted with dax=always", dax_dir());
	dax_remove(fd);
}

void dax_test_teardown(void)
{
	if (watchdog > 0) {
		kill(watchdog, SIGKILL);
		waitpid(watchdog, NULL, 0);
		watchdog = 0;
	}
	restore_policy();
	trace_close();
	unmap_all();
	close_range(STDERR_FILENO + 1, ~0U, 0);
	remove_work_dir();
	dax_scratch_drop();
}
