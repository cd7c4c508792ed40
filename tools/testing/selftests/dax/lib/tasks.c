// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads, processes, and where they are.
 */
#include "internal.h"

pthread_t dax_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fn, arg);

	if (err)
		dax_exit_fail("pthread_create: %s", strerror(err));
	return thread;
}

void dax_join(pthread_t thread)
{
	int err = pthread_join(thread, NULL);

	if (err)
		dax_exit_fail("pthread_join: %s", strerror(err));
}

struct gang_member {
	pthread_barrier_t *start;
	void (*fn)(unsigned int id, void *arg);
	unsigned int id;
	void *arg;
	pthread_t thread;
};

static void *gang_run(void *arg)
{
	struct gang_member *member = arg;

	pthread_barrier_wait(member->start);
	member->fn(member->id, member->arg);
	return NULL;
}

void dax_run_threads(unsigned int nr, void (*fn)(unsigned int id, void *arg),
		     void *arg)
{
	struct gang_member member[64];
	pthread_barrier_t start;

	if (nr > ARRAY_LEN(member))
		dax_exit_fail("%u threads are too many", nr);
	pthread_barrier_init(&start, NULL, nr);
	for (unsigned int i = 0; i < nr; i++) {
		member[i] = (struct gang_member){ &start, fn, i, arg };
		member[i].thread = dax_thread(gang_run, &member[i]);
	}
	for (unsigned int i = 0; i < nr; i++)
		dax_join(member[i].thread);
	pthread_barrier_destroy(&start);
}

static struct {
	pthread_t thread;
	void (*lap)(unsigned long nr);
	volatile unsigned long laps;
	volatile bool stop;
} background;

static void *background_run(void *arg)
{
	do {
		background.lap(background.laps);
		background.laps++;
	} while (!background.stop);
	return NULL;
}

void dax_background(void (*lap)(unsigned long nr))
{
	background.lap = lap;
	background.laps = 0;
	background.stop = false;
	background.thread = dax_thread(background_run, NULL);
}

unsigned long dax_background_laps(void)
{
	return background.laps;
}

unsigned long dax_background_stop(void)
{
	background.stop = true;
	dax_join(background.thread);
	return background.laps;
}

pid_t dax_fork_process(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		dax_exit_fail("fork: %m");
	return pid;
}

int dax_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		dax_exit_fail("waitpid: %m");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

bool dax_ended(pid_t pid)
{
	siginfo_t info = {};

	if (waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT))
		dax_exit_fail("waitid: %m");
	return info.si_pid == pid;
}

static void nothing(int sig)
{
}

void dax_take_sigusr1(int sa_flags)
{
	struct sigaction action = {
		.sa_handler = nothing, .sa_flags = sa_flags,
	};

	sigaction(SIGUSR1, &action, NULL);
}

/* The text is empty if there is no such task. */
static void read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
}

char dax_state(pid_t pid)
{
	char text[256], state;

	read_proc(pid, "stat", text, sizeof(text));
	return sscanf(text, "%*d (%*[^)]) %c", &state) == 1 ? state : 0;
}

long dax_syscall(pid_t pid)
{
	char text[256];
	long nr;

	read_proc(pid, "syscall", text, sizeof(text));
	return sscanf(text, "%ld", &nr) == 1 ? nr : -1;
}

bool dax_sleeps_in(pid_t pid, const char *name)
{
	char text[128];

	read_proc(pid, "wchan", text, sizeof(text));
	return strstr(text, name);
}

static void take_steps(int ask, int answer, int (*step)(int nr, void *arg),
		       void *arg)
{
	int nr, ret;

	while (read(ask, &nr, sizeof(nr)) == sizeof(nr)) {
		ret = step(nr, arg);
		if (write(answer, &ret, sizeof(ret)) != sizeof(ret))
			break;
	}
	_exit(0);
}

void dax_helper_start(struct dax_helper *peer, int (*step)(int nr, void *arg),
		      void *arg)
{
	int ask[2], answer[2];

	if (pipe(ask) || pipe(answer))
		dax_exit_fail("pipe: %m");
	peer->pid = dax_fork_process();
	if (!peer->pid) {
		/* A later peer has copies of our pipes, too. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ask[1]);
		close(answer[0]);
		take_steps(ask[0], answer[1], step, arg);
	}
	close(ask[0]);
	close(answer[1]);
	peer->ask = ask[1];
	peer->answer = answer[0];
}

int dax_helper_step(struct dax_helper *peer, int nr)
{
	int ret;

	if (write(peer->ask, &nr, sizeof(nr)) != sizeof(nr) ||
	    read(peer->answer, &ret, sizeof(ret)) != sizeof(ret))
		dax_exit_fail("the other process is gone at step %d", nr);
	return ret;
}

void dax_helper_stop(struct dax_helper *peer)
{
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	close(peer->ask);
	close(peer->answer);
}
