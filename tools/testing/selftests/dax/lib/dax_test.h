/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The library of the DAX selftests.
 *
 * A test needs four things: a file with a known layout on a DAX mount, a
 * mapping of known alignment, the size by which an address is mapped now, and
 * the fs_dax trace events that its file caused. Each has a section below.
 *
 * Helpers do not return errors: when a file or a mapping cannot be made, the
 * test ends with a message. When the environment lacks something (a second
 * device, a debugfs file), a helper returns the reason as a string, and the
 * test skips with it.
 *
 * The headers that most programs need are included here, and only here.
 */
#ifndef DAX_TEST_H
#define DAX_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SZ_4K		0x1000UL
#define SZ_1M		0x100000UL
#define SZ_2M		0x200000UL
#define PAGES_2M	(SZ_2M / SZ_4K)
#define PUNCH_HOLE	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

void dax_exit_fail(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void dax_print_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A string of its own. */
char *dax_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* To a file that is there: 0 or a negative errno. */
int dax_write_file(const char *path, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void dax_must_write(const char *path, const char *text);
int dax_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The mount point: DAX_DIR, or the scratch filesystem while it is mounted. */
const char *dax_dir(void);
bool dax_is_xfs(void);
/* @rounds, times DAX_TEST_SCALE percent, at least one. */
unsigned int dax_scale(unsigned int rounds);
/* After so many seconds a test prints the stacks of its tasks. */
#define DAX_HANG_SECONDS	210
/* A wait of this length counts as a hang. */
#define DAX_STALL_SECONDS	60
/* Looks until @cond holds; false if it does not for that long. */
#define dax_wait_for(cond) ({						\
	time_t __end = time(NULL) + DAX_STALL_SECONDS;			\
	bool __holds;							\
									\
	while (!(__holds = (cond)) && time(NULL) < __end)		\
		usleep(10000);						\
	__holds;							\
})

/*
 * A program may define dax_needs(), a reason to skip all of its tests or NULL,
 * dax_cleanup(), which runs when a test ends, before its files and mounts are
 * removed, and dax_restore(), which runs after that.
 */
const char *dax_needs(void);
void dax_cleanup(void);
void dax_restore(void);
void dax_test_setup(void);
void dax_test_teardown(void);

/* Files. */
enum dax_layout {
	HOLE,		/* size only */
	PREALLOC,	/* unwritten blocks, each 2 MiB aligned and in one piece */
	WRITTEN,	/* the same, written with 'f' */
};

#define FILL	'f'	/* what WRITTEN files hold */

const char *dax_work_dir(void);		/* where they are made */
int dax_create(const char *name);
int dax_create_as(const char *name, bool dax);	/* needs dax=inode */
bool dax_file_is_dax(int fd);
int dax_clone(int fd, const char *name);	/* a reflink copy */
/* Make page 0 of @with share the block of the page at @at. */
void dax_share_page(int fd, off_t at, int with);
/*
 * Returns how many bytes are shared now, which may be less than @len, and 0 if
 * any differ; or -1 and sets errno.
 */
ssize_t dax_dedupe(int fd, off_t at, size_t len, int with, off_t to);
int dax_file(size_t len, enum dax_layout layout);
int dax_file_growing(size_t len);	/* PREALLOC, but the size is still 0 */
/* WRITTEN, 2 MiB that can never be huge: page DAX_GAP is a hole. */
#define DAX_GAP	100
int dax_file_fragmented(void);
void dax_name(int fd, char *path, size_t size);
void dax_unlink(int fd);
void dax_remove(int fd);	/* unlinks and closes it */
void dax_fill(int fd, off_t off, size_t len, int byte);
void dax_read(int fd, off_t off, void *buf, size_t len);
bool dax_file_has(int fd, off_t off, size_t len, int byte);
bool dax_file_is(int fd, off_t off, const void *want, size_t len);
void dax_falloc(int fd, int mode, off_t off, off_t len);
void dax_punch_hole(int fd, off_t off, off_t len);
void dax_truncate(int fd, off_t len);
uint64_t dax_block(int fd, off_t off);
bool dax_extent_huge(int fd, off_t off);
/* The offset of the first byte in @buf that is not @byte, or -1. */
ssize_t dax_differs(const char *buf, size_t len, int byte);

/* Mappings. Addresses are congruent to @off mod 2 MiB, plus @shift. */
char *dax_mmap(int fd, off_t off, size_t len, int prot, int flags,
	       size_t shift);
char *dax_map(int fd, off_t off, size_t len);		/* shared, read/write */
char *dax_map_private(int fd, off_t off, size_t len);
/* From the start of the file, shared, and off colour if @shift is not 0. */
char *dax_map_shift(int fd, size_t len, size_t shift);
char *dax_map_small(int fd, size_t len);		/* faults are small */
void *dax_shared(size_t len);				/* with children, zeros */
char *dax_anonymous(size_t len, int prot);		/* private, zeros */
void dax_unmap(void *addr, size_t len);
void dax_zap(void *addr, size_t len);			/* MADV_DONTNEED */
void dax_msync(void *addr, size_t len);
void dax_fsync(int fd);
void dax_into_pipe(int pipe_fd[2], char *page);	/* makes the pipe, too */
/* "none", "4K", "4K zero", "2M" or "2M zero" */
const char *dax_mapped(const void *addr);
uint64_t dax_pfn(const void *addr);
/* The words of /proc/self/pagemap for @nr pages. */
void dax_pagemap(const void *addr, uint64_t *words, unsigned int nr);
/* The same for each page of 2 MiB, and how many pages it is no more so for. */
struct dax_ptes {
	const char *mapped[PAGES_2M];
	uint64_t pfn[PAGES_2M];
};

void dax_snapshot_ptes(struct dax_ptes *view, const char *addr);
unsigned int dax_ptes_changed(const struct dax_ptes *view, const char *addr);

static inline char dax_peek(const volatile char *p)
{
	return *p;
}

static inline void dax_poke(volatile char *p, char c)
{
	*p = c;
}

static inline void dax_touch(char *p, bool write)
{
	if (write)
		dax_poke(p, 'w');
	else
		dax_peek(p);
}

/* Store @c, or store 'w' or load, once in each @step bytes. */
static inline void dax_poke_each(char *p, size_t len, size_t step, char c)
{
	for (size_t at = 0; at < len; at += step)
		dax_poke(p + at, c);
}

static inline void dax_touch_each(char *p, size_t len, size_t step, bool write)
{
	if (write)
		dax_poke_each(p, len, step, 'w');
	for (size_t at = 0; !write && at < len; at += step)
		dax_peek(p + at);
}

/* Each page; small entries in each 2 MiB of the file have @p get ptes. */
void dax_touch_by_ptes(int fd, char *p, size_t len, bool write);
/* The signal that a touch of @addr raises, 0 for none; @info may be NULL. */
int dax_touch_signal(char *addr, bool write, siginfo_t *info);
/* The same for a memory failure at @addr; a negative errno if it was refused. */
int dax_poison(char *addr, siginfo_t *info);
/*
 * Of @len bytes, once dax_guard() was called, which also takes signals of other
 * accesses. Without @from, memory fails at @to.
 */
int dax_guarded_copy(void *to, const void *from, size_t len, siginfo_t *info);
void dax_guard(void (*stray)(const siginfo_t *info));

#define TRACEFS	"/sys/kernel/tracing"

/*
 * Trace events of one file, or of this thread. A pattern is a list of pieces
 * joined by ", ": each has to stand in the event's text as whole words.
 */
bool dax_has_event(const char *event);
const char *dax_no_event(const char *event);	/* a reason to skip */
/* From now on; NULL: all of fs_dax. */
void dax_trace(int fd, const char *events);
void dax_trace_thread(const char *event, const char *filter);
void dax_trace_threads(const char *event);	/* of all threads */
void dax_trace_stop(const char *event);
void dax_trace_mark(const char *text);
void dax_trace_clear(void);
const char *dax_trace_text(void);
/* The next line, or the end of the text. */
static inline const char *dax_next_line(const char *line)
{
	line = strchrnul(line, '\n');
	return *line ? line + 1 : line;
}

unsigned int dax_count(const char *event, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define dax_count_all(event)	dax_count(event, "%s", "")

/*
 * The walks over a file, by the event dax_walk: the number of stretches without a
 * rest, the entries and pages in all of them, and the pages in the longest one.
 * @what is a word of the event, or NULL for all of them.
 */
struct dax_walks {
	unsigned int nr;
	unsigned long entries, pages, longest;
};

struct dax_walks dax_walks(const char *what);

/*
 * Promotion: when it happens until the test ends, "off", "fault" or "eager",
 * or a reason to skip; what its counters say; and on request.
 */
const char *dax_policy(const char *policy);
unsigned long dax_promotions(const char *action);
/* How many faults ended so, of all files: "order-9", or a reason to fall back. */
unsigned long dax_faults(const char *what);
int dax_collapse(void *addr, size_t len);	/* 0 or an errno */
/* Whether blocks are allocated for huge pages; returns a reason to skip. */
const char *dax_align(bool on);
/* How many seconds an unmount waits for pages in use; returns a reason to skip. */
const char *dax_unmount_wait(unsigned int seconds);
/* How much a small fault maps in all; SZ_4K is its page alone.  64 KiB at first. */
void dax_fault_around(unsigned long bytes);

/* Fault injection hits this thread or not; objects of a slab cache in use. */
void dax_fail_me(bool on);
unsigned long dax_slab_objects(const char *cache);

/* Threads. */
pthread_t dax_thread(void *(*fn)(void *), void *arg);
void dax_join(pthread_t thread);
/* Starts @nr threads at the same time; returns when all have ended. */
void dax_run_threads(unsigned int nr, void (*fn)(unsigned int id, void *arg),
		     void *arg);

/* Start a thread that calls @lap again and again, at least once. */
void dax_background(void (*lap)(unsigned long nr));
unsigned long dax_background_laps(void);	/* so far */
unsigned long dax_background_stop(void);	/* in all */

/* Processes. */
pid_t dax_fork_process(void);
/* Starts a process that exits with the value of @call. */
#define dax_spawn(call) ({			\
	pid_t __pid = dax_fork_process();	\
						\
	if (!__pid)				\
		_exit(call);			\
	__pid;					\
})
/* The same for a call that sets errno, which becomes the exit status. */
#define dax_spawn_call(call)	dax_spawn((call) ? errno : 0)
int dax_wait(pid_t pid);	/* the exit status, or 128 + the signal */
bool dax_ended(pid_t pid);	/* without waiting for it */
#define dax_child(call)	dax_wait(dax_spawn(call))
/* SIGUSR1 only ends a wait of this process from here on. */
void dax_take_sigusr1(int sa_flags);
/* The state of a task as in ps(1), or 0 if there is no such task. */
char dax_state(pid_t pid);
/* The system call that a task sleeps in, or -1. */
long dax_syscall(pid_t pid);
/* Does a task sleep in a kernel function with @name in its name? */
bool dax_sleeps_in(pid_t pid, const char *name);

/* A child process that runs steps on request, until it or the test ends. */
struct dax_helper {
	pid_t pid;
	int ask, answer;
};

void dax_helper_start(struct dax_helper *peer, int (*step)(int nr, void *arg),
		      void *arg);
int dax_helper_step(struct dax_helper *peer, int nr);	/* what @step returns */
void dax_helper_stop(struct dax_helper *peer);

#define DAX_SCRATCH_DM	"dax-scratch"	/* what dax_scratch_dm() makes */

/*
 * A second filesystem on DAX_SCRATCH, for tests that would disturb the first
 * one: no space, read-only, poison. Device-mapper targets are on top of it.
 * Returns NULL or the reason why it is not available.
 */
const char *dax_scratch(unsigned int mib, const char *mkfs, const char *mount);
/* The same as mkfs makes it by itself, on @dev. */
const char *dax_scratch_plain(const char *dev, unsigned int mib,
			      const char *mkfs);
void dax_scratch_mount_again(const char *mount);
int dax_scratch_check(void);		/* leaves it mounted again; 0: clean */
const char *dax_small_scratch(void);
int dax_fill_up(size_t leave);
unsigned long dax_free_blocks(void);
/* Blocks come back in the background: waits until so many are free. */
bool dax_space_is_back(unsigned long blocks);
void dax_scratch_remount(const char *mount);
/* Stop the filesystem of @fd as a crash does: its log is not written. */
int dax_shutdown(int fd);
const char *dax_scratch_dm(unsigned int mib, const char *table);
/* XFS, where new files have their blocks on a device apart, by rt extents. */
const char *dax_scratch_rt(unsigned int rt_mib, const char *extsize);
int dax_scratch_check_rt(void);		/* leaves it mounted again; 0: clean */
const char *dax_scratch_device(void);
const char *dax_no_scratch(void);	/* a reason to skip */
void dax_scratch_drop(void);

/*
 * The driver of the scratch device, taken from it and given back. The scratch device
 * is DAX_REMOVABLE from then on: with the driver come the page structures of all of it.
 */
struct dax_driver {
	char device[NAME_MAX + 1];
	char path[PATH_MAX];
	unsigned int mib;	/* the size of the device */
};

const char *dax_scratch_driver(struct dax_driver *driver);
void dax_unbind(const struct dax_driver *driver);
void dax_bind(const struct dax_driver *driver);

#endif
