// SPDX-License-Identifier: GPL-2.0-only
/*
 * count FILE COMMAND...: runs a command, and writes to FILE how many instructions it
 * and its children have executed, in user space and in the kernel.
 *
 * With QEMU's -icount shift=0, each instruction takes 1 ns. So the CPU time of a control
 * group is a number of instructions. The kernel's own threads and an idle CPU are left
 * out. The clock of an idle CPU jumps from timer to timer while the CPU waits for the
 * host, and the number of these timers depends on the host. Without -icount, the figure
 * means nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUP		"/sys/fs/cgroup/count"

static void __attribute__((noreturn)) fail(const char *text)
{
	perror(text);
	exit(1);
}

static unsigned long cpu_usec(void)
{
	FILE *file = fopen(GROUP "/cpu.stat", "r");
	unsigned long usec;

	if (!file || fscanf(file, "usage_usec %lu", &usec) != 1)
		fail(GROUP "/cpu.stat");
	fclose(file);
	return usec;
}

static void enter_group(void)
{
	int fd = open(GROUP "/cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		fail(GROUP "/cgroup.procs");
	close(fd);
}

/*
 * ext4 looks for blocks at a place that depends on the pid, by 16: so that files lie
 * alike with all kernels, it is one that 16 divides.
 */
static pid_t start(char **command)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid && pid % 16 == 0)
			return pid;
		if (pid) {
			waitpid(pid, &status, 0);
			continue;
		}
		if (getpid() % 16)
			_exit(0);
		enter_group();
		execvp(command[0], command);
		fail(command[0]);
	}
}

int main(int argc, char **argv)
{
	unsigned long usec;
	FILE *file;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: count FILE COMMAND...\n");
		return 1;
	}
	mkdir(GROUP, 0755);
	usec = cpu_usec();
	pid = start(argv + 2);
	waitpid(pid, &status, 0);
	usec = cpu_usec() - usec;

	file = fopen(argv[1], "w");
	if (!file || fprintf(file, "%lu\n", usec * 1000) < 0 || fclose(file))
		fail(argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
