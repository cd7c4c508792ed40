// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's process 1: make a Debian-like system out of the host's files,
 * run one command in it, report its exit status, and restart the machine,
 * which ends QEMU. main() is the table of contents.
 *
 * The kernel has mounted the host's root read-only. The files that this program
 * adds go to an overlay on tmpfs and die with the guest; two folders of the
 * host are writable, over 9p shares of their own:
 *
 *   tag "run"		/run/vm		command, stdout, stderr, status: the
 *					conversation with vm/run
 *   tag "results"	$RESULTS	what the command wants to keep
 *
 * A write to such a share is with the host when it returns, so no byte of
 * output is lost however the guest ends. The status file is written last: a
 * guest that ends without one did not end well, and vm/run says so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARE_OPTIONS	"trans=virtio,version=9p2000.L,msize=262144,cache=none"

/* Says why on the console, and ends the guest without a status. */
static void __attribute__((noreturn, format(printf, 1, 2)))
give_up(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "init: cannot ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, ": %s\n", strerror(err));
	va_end(ap);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void must_mount(const char *what, const char *where, const char *type,
		       unsigned long flags, const char *options)
{
	if (mount(what, where, type, flags, options))
		give_up("mount %s on %s", type ?: what, where);
}

/* For what a command may live without. */
static void may_mount(const char *what, const char *where, const char *type,
		      const char *options)
{
	mkdir(where, 0755);
	if (mount(what, where, type, MS_NOSUID, options))
		fprintf(stderr, "init: no %s on %s: %s\n", type, where,
			strerror(errno));
}

static void write_file(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | flags, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fprintf(stderr, "init: write %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Put a tmpfs over the host's root, and make the two together the root. */
static void enter_overlay(void)
{
	must_mount("tmpfs", "/run", "tmpfs", 0, "mode=755,size=75%");
	if (mkdir("/run/upper", 0755) || mkdir("/run/work", 0755) ||
	    mkdir("/run/root", 0755))
		give_up("make folders for the overlay");
	must_mount("overlay", "/run/root", "overlay", 0,
		   "lowerdir=/,upperdir=/run/upper,workdir=/run/work");
	if (chdir("/run/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		give_up("change to the overlay");
}

static void mount_kernel_filesystems(void)
{
	must_mount("proc", "/proc", "proc", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
	must_mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
	may_mount("devpts", "/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666");
	may_mount("tmpfs", "/dev/shm", "tmpfs", "mode=1777");
	may_mount("mqueue", "/dev/mqueue", "mqueue", NULL);
	may_mount("hugetlbfs", "/dev/hugepages", "hugetlbfs", NULL);
	may_mount("debugfs", "/sys/kernel/debug", "debugfs", NULL);
	may_mount("tracefs", "/sys/kernel/tracing", "tracefs", NULL);
	may_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", NULL);
}

static void mount_shares(void)
{
	const char *results = getenv("RESULTS");

	if (mkdir("/run/vm", 0755))
		give_up("mkdir /run/vm");
	must_mount("run", "/run/vm", "9p", 0, SHARE_OPTIONS);
	if (results)
		must_mount("results", results, "9p", 0, SHARE_OPTIONS);
}

/* A project that is itself below /tmp stays visible. */
static void mount_tmp(void)
{
	const char *top = getenv("VM_TOP");

	if (!top || strncmp(top, "/tmp/", 5))
		must_mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777");
}

static void make_device_links(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") ||
	    symlink("/proc/self/fd/0", "/dev/stdin") ||
	    symlink("/proc/self/fd/1", "/dev/stdout") ||
	    symlink("/proc/self/fd/2", "/dev/stderr"))
		fprintf(stderr, "init: links in /dev: %s\n", strerror(errno));
	unlink("/etc/mtab");
	if (symlink("/proc/self/mounts", "/etc/mtab"))
		fprintf(stderr, "init: /etc/mtab: %s\n", strerror(errno));
}

static bool file_has_line(const char *path, const char *start)
{
	char line[1024];
	bool found = false;
	FILE *f = fopen(path, "r");

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, start, strlen(start));
	if (f)
		fclose(f);
	return found;
}

/*
 * The users that xfstests wants. No password is asked for (root changes to
 * them by su), and without an "x" nothing looks for a shadow entry.
 */
static void add_users(void)
{
	static const char * const names[] = {
		"fsgqa", "fsgqa2", "123456-fsgqa"
	};
	char start[32], line[128];
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(start, sizeof(start), "%s:", names[i]);
		if (!file_has_line("/etc/group", start)) {
			snprintf(line, sizeof(line), "%s:*:%u:\n", names[i],
				 61000 + i);
			write_file("/etc/group", line, O_APPEND);
		}
		if (!file_has_line("/etc/passwd", start)) {
			snprintf(line, sizeof(line),
				 "%s:*:%u:%u::/tmp:/bin/bash\n", names[i],
				 61000 + i, 61000 + i);
			write_file("/etc/passwd", line, O_APPEND);
		}
	}
}

static void start_network(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		fprintf(stderr, "init: loopback: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (sethostname("hugedax", strlen("hugedax")))
		fprintf(stderr, "init: hostname: %s\n", strerror(errno));
}

/* A command that people talk to has one of the machine's serial lines as terminal. */
static void open_terminal(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) || dup2(fd, STDIN_FILENO) < 0 ||
	    dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		give_up("use the terminal %s", path);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void open_streams(int out, int err)
{
	int in = open("/dev/null", O_RDONLY);

	if (in < 0 || dup2(in, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		give_up("redirect the streams");
}

static void run_command(int out, int err)
{
	static char * const argv[] = { "bash", "/run/vm/command", NULL };
	static char * const envp[] = {
		"HOME=/root", "TERM=dumb", "USER=root", "LOGNAME=root",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		NULL
	};
	const char *terminal = getenv("VM_TERMINAL");
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (terminal)
		open_terminal(terminal);
	else
		open_streams(out, err);
	execve("/bin/bash", argv, envp);
	give_up("exec /bin/bash");
}

/*
 * One stream of the command: a pipe, since a file could be truncated by
 * whoever opens /dev/stdout, and behind it a file that the host reads.
 */
struct stream {
	int file;
	int reader;
	int writer;
};

static void open_stream(struct stream *s, const char *path)
{
	int fds[2];

	s->file = open(path, O_WRONLY | O_CLOEXEC);
	if (s->file < 0 || pipe2(fds, O_CLOEXEC))
		give_up("open %s", path);
	s->reader = fds[0];
	s->writer = fds[1];
	fcntl(s->reader, F_SETFL, O_NONBLOCK);
}

static void pass_on(const struct stream *s)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(s->reader, buf, sizeof(buf))) > 0)
		if (write(s->file, buf, n) != n)
			give_up("pass output to the host");
}

/* Buries the dead. Returns whether @command is one of them. */
static bool reap(pid_t command, int *status)
{
	bool done = false;
	pid_t pid;
	int how;

	while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) :
					     WEXITSTATUS(how);
		done = true;
	}
	return done;
}

/*
 * The output is complete when the command is gone and the pipes are empty;
 * whom it leaves behind may hold them open for as long as they like.
 */
static int run_and_listen(void)
{
	struct stream out, err;
	struct pollfd fds[3];
	sigset_t child;
	bool done = false;
	int status = 0;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	fds[0].fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	open_stream(&out, "/run/vm/stdout");
	open_stream(&err, "/run/vm/stderr");
	fds[1].fd = out.reader;
	fds[2].fd = err.reader;
	for (int i = 0; i < 3; i++)
		fds[i].events = POLLIN;

	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (!pid)
		run_command(out.writer, err.writer);

	while (!done) {
		struct signalfd_siginfo info;

		poll(fds, 3, -1);
		while (read(fds[0].fd, &info, sizeof(info)) > 0)
			;
		done = reap(pid, &status);
		pass_on(&out);
		pass_on(&err);
	}
	return status;
}

/*
 * With kmemleak=on, let it look; its list goes to the console, where vm/run
 * looks for splats. It believes a leak when it sees it a second time. Without,
 * the file is not there or takes no orders.
 */
static void scan_for_leaks(void)
{
	int fd = open("/sys/kernel/debug/kmemleak", O_RDWR);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return;
	if (write(fd, "scan", 4) == 4 && write(fd, "scan", 4) == 4)
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			if (write(STDERR_FILENO, buf, n) != n)
				break;
	close(fd);
}

static void report(int status)
{
	char text[16];

	snprintf(text, sizeof(text), "%d\n", status);
	write_file("/run/vm/status.new", text, O_CREAT | O_TRUNC);
	if (rename("/run/vm/status.new", "/run/vm/status"))
		give_up("report the status");
}

/*
 * Keep the trace events that tests switch on and off all the time switched on,
 * to nowhere. An event that has two users already is given a third one without
 * a change to the kernel's text, and such changes are what QEMU's translator
 * before 8.1 can miss when two CPUs run ("Always lock pages before
 * translation", deba78709ae8): the guest then dies of a stale int3.
 */
static void hold_trace_events(void)
{
	static const char * const systems[] = { "fs_dax", "jbd2" };
	char dir[64], path[128];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return;
	for (int i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir),
			 "/sys/kernel/tracing/instances/hold-%d", i);
		if (mkdir(dir, 0700))
			return;
		snprintf(path, sizeof(path), "%s/tracing_on", dir);
		write_file(path, "0", 0);
		for (size_t n = 0; n < sizeof(systems) / sizeof(*systems); n++) {
			snprintf(path, sizeof(path), "%s/events/%s/enable",
				 dir, systems[n]);
			if (!access(path, W_OK))
				write_file(path, "1", 0);
		}
	}
}

int main(void)
{
	int status;

	enter_overlay();
	mount_kernel_filesystems();
	make_device_links();
	mount_tmp();
	mount_shares();
	add_users();
	start_network();
	hold_trace_events();

	status = run_and_listen();

	scan_for_leaks();
	report(status);
	reboot(RB_AUTOBOOT);
	give_up("reboot");
}
