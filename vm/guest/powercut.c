// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's half of vm/powercut: a process that does what the host asks, on files
 * of a DAX mount.
 *
 * The host sends a command as a line of words on a serial line, and this program
 * answers with a line: "ok" and its results, or "err" and an errno. It holds no model
 * of the files: the host knows what each byte must be, and says with each store which
 * bytes to store. Numbers are hexadecimal.
 *
 * BYTES	The bytes of a range depend on a base and the offset alone: each 8 bytes
 *		are the number base + offset / 64, so a cache line has one value.
 *
 * SLOTS	An open file has a number, and is mapped three times: where its pages
 *		can be huge, where they cannot, and with MAP_SYNC.
 *
 * LOAD		The bytes of a file go to a buffer of huge pages, whose physical
 *		addresses the host knows. It reads the guest's memory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#define SZ_4K		0x1000UL
#define SZ_2M		0x200000UL
#define LINE		64UL
#define SLOTS		16
#define MAP_LEN		(3 * SZ_2M)
#define BUFFER		(4 * SZ_2M)
#define MADV_COLLAPSE	25

enum { HUGE, SMALL, SYNC, NR_MAPS };

static const char * const dir = "/mnt/pmem";
static struct slot {
	int fd;
	char *map[NR_MAPS];
} slots[SLOTS];
static char *buffer;
static int line_fd;
static sigjmp_buf on_sigbus;
static volatile bool guarded;

/* A command: its words after the first, as text and as numbers. */
struct words {
	unsigned int nr;
	char *text[12];
	uint64_t n[12];
};

static char reply[4096];

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	size_t len = strlen(reply);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reply + len, sizeof(reply) - len, fmt, ap);
	va_end(ap);
}

static const char *path(const char *name)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s/%s", dir, name);
	return text;
}

/* Bytes. */

static char *bytes_for(uint64_t base, uint64_t off, uint64_t len)
{
	uint64_t first = off / 8, last = (off + len + 7) / 8;
	uint64_t *word = (uint64_t *)buffer;

	for (uint64_t w = first; w < last; w++)
		word[w - first] = base + w / 8;
	return buffer + off % 8;
}

static void sigbus(int sig)
{
	if (guarded)
		siglongjmp(on_sigbus, 1);
	_exit(128 + sig);
}

/* memcpy() that fails with EFAULT on SIGBUS. */
static int copy(char *to, const char *from, size_t len)
{
	if (sigsetjmp(on_sigbus, 1)) {
		guarded = false;
		errno = EFAULT;
		return -1;
	}
	guarded = true;
	memcpy(to, from, len);
	guarded = false;
	return 0;
}

/* Slots. */

static char *map_file(int fd, size_t shift, int flags)
{
	char *space = mmap(NULL, MAP_LEN + 2 * SZ_2M, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((uintptr_t)space + SZ_2M - 1) & -SZ_2M) + shift;

	return mmap(at, MAP_LEN, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
}

static int do_open(const struct words *w)
{
	struct slot *s = &slots[w->n[0]];

	s->fd = open(path(w->text[1]), O_RDWR | O_CREAT, 0600);
	if (s->fd < 0)
		return -1;
	s->map[HUGE] = map_file(s->fd, 0, MAP_SHARED);
	s->map[SMALL] = map_file(s->fd, SZ_4K, MAP_SHARED);
	s->map[SYNC] = map_file(s->fd, 0, MAP_SHARED_VALIDATE | MAP_SYNC);
	for (int i = 0; i < NR_MAPS; i++)
		if (s->map[i] == MAP_FAILED)
			return -1;
	return 0;
}

static int do_close(const struct words *w)
{
	struct slot *s = &slots[w->n[0]];

	for (int i = 0; i < NR_MAPS; i++)
		munmap(s->map[i], MAP_LEN);
	return close(s->fd);
}

static int fd_of(const struct words *w)
{
	return slots[w->n[0]].fd;
}

/* store SLOT MAP OFF LEN BASE */
static int do_store(const struct words *w)
{
	return copy(slots[w->n[0]].map[w->n[1]] + w->n[2],
		    bytes_for(w->n[4], w->n[2], w->n[3]), w->n[3]);
}

/* touch SLOT MAP OFF LEN: a load from each page */
static int do_touch(const struct words *w)
{
	char *from = slots[w->n[0]].map[w->n[1]] + w->n[2], byte;

	for (size_t at = 0; at < w->n[3]; at += SZ_4K)
		if (copy(&byte, from + at, 1))
			return -1;
	return 0;
}

static int say_pfns(char *addr, size_t len)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uintptr_t first = (uintptr_t)addr / SZ_4K;
	uint64_t word;

	for (uintptr_t page = first; page * SZ_4K < (uintptr_t)addr + len; page++) {
		if (pread(fd, &word, 8, page * 8) != 8) {
			close(fd);
			return -1;
		}
		say(" %llx", (unsigned long long)(word & ((1ULL << 55) - 1)));
	}
	return close(fd);
}

/* sync_store SLOT OFF LEN BASE: durable when it returns; says where, by page */
static int do_sync_store(const struct words *w)
{
	char *to = slots[w->n[0]].map[SYNC] + w->n[1];

	if (copy(to, bytes_for(w->n[3], w->n[1], w->n[2]), w->n[2]))
		return -1;
	for (uintptr_t p = (uintptr_t)to & -LINE; p < (uintptr_t)to + w->n[2]; p += LINE)
		asm volatile("clflush (%0)" : : "r" (p) : "memory");
	asm volatile("sfence" : : : "memory");
	return say_pfns(to, w->n[2]);
}

/* write SLOT OFF LEN BASE DSYNC */
static int do_write(const struct words *w)
{
	struct iovec iov = {
		.iov_base = bytes_for(w->n[3], w->n[1], w->n[2]),
		.iov_len = w->n[2],
	};
	ssize_t n = pwritev2(fd_of(w), &iov, 1, w->n[1], w->n[4] ? RWF_DSYNC : 0);

	if (n >= 0 && n != (ssize_t)w->n[2]) {
		errno = ENOSPC;
		return -1;
	}
	return n < 0 ? -1 : 0;
}

static int do_msync(const struct words *w)
{
	return msync(slots[w->n[0]].map[HUGE] + w->n[1], w->n[2], MS_SYNC);
}

static int do_fsync(const struct words *w)
{
	return w->n[1] ? fdatasync(fd_of(w)) : fsync(fd_of(w));
}

static int do_sync(const struct words *w)
{
	(void)w;
	sync();
	return 0;
}

/* falloc SLOT MODE OFF LEN */
static int do_falloc(const struct words *w)
{
	return fallocate(fd_of(w), w->n[1], w->n[2], w->n[3]);
}

static int do_truncate(const struct words *w)
{
	return ftruncate(fd_of(w), w->n[1]);
}

/* clone SLOT OFF FROM-SLOT FROM-OFF LEN */
static int do_clone(const struct words *w)
{
	struct file_clone_range range = {
		.src_fd = slots[w->n[2]].fd,
		.src_offset = w->n[3],
		.src_length = w->n[4],
		.dest_offset = w->n[1],
	};

	return ioctl(fd_of(w), FICLONERANGE, &range);
}

/* dedupe SLOT OFF FROM-SLOT FROM-OFF LEN */
static int do_dedupe(const struct words *w)
{
	struct file_dedupe_range *range;
	int ret;

	range = calloc(1, sizeof(*range) + sizeof(range->info[0]));
	range->src_offset = w->n[3];
	range->src_length = w->n[4];
	range->dest_count = 1;
	range->info[0].dest_fd = fd_of(w);
	range->info[0].dest_offset = w->n[1];
	ret = ioctl(slots[w->n[2]].fd, FIDEDUPERANGE, range);
	if (!ret)
		say(" %d", range->info[0].status);
	free(range);
	return ret;
}

static int do_collapse(const struct words *w)
{
	return madvise(slots[w->n[0]].map[HUGE] + w->n[1], w->n[2], MADV_COLLAPSE);
}

/* Where new blocks lie. Stock has no choice. */
static int do_align(const struct words *w)
{
	int fd = open("/sys/module/fs_dax/parameters/align", O_WRONLY), ret;

	if (fd < 0)
		return -1;
	ret = write(fd, w->n[0] ? "1" : "0", 1) == 1 ? 0 : -1;
	close(fd);
	return ret;
}

static int do_unlink(const struct words *w)
{
	return unlink(path(w->text[0]));
}

static int do_freeze(const struct words *w)
{
	int fd = open(dir, O_RDONLY), ret;

	ret = ioctl(fd, w->n[0] ? FIFREEZE : FITHAW, 0);
	close(fd);
	return ret;
}

/*
 * race SLOT OFF TIMES BASE: a thread faults on the page again and again, while this
 * one stores another value to it and calls msync.
 */
static volatile bool race_ends;

static void *fault_on(void *page)
{
	volatile char *p = page;

	while (!race_ends) {
		madvise(page, SZ_4K, MADV_DONTNEED);
		(void)*p;
	}
	return NULL;
}

static int do_race(const struct words *w)
{
	struct slot *s = &slots[w->n[0]];
	pthread_t thread;
	int ret = 0;

	race_ends = false;
	pthread_create(&thread, NULL, fault_on, s->map[HUGE] + w->n[1]);
	for (uint64_t i = 0; !ret && i < w->n[2]; i++) {
		char *bytes = bytes_for(w->n[3] + (i << 20), w->n[1], LINE);

		ret = copy(s->map[SMALL] + w->n[1], bytes, LINE);
		if (!ret)
			ret = msync(s->map[SMALL] + w->n[1], SZ_4K, MS_SYNC);
	}
	race_ends = true;
	pthread_join(thread, NULL);
	return ret;
}

/* The filesystem. */

static int do_mount(const struct words *w)
{
	mkdir(dir, 0755);
	return mount(w->text[1], dir, w->text[0], 0, w->text[2]);
}

static int do_umount(const struct words *w)
{
	(void)w;
	return umount(dir);
}

static int do_list(const struct words *w)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	(void)w;
	if (!d)
		return -1;
	while (errno = 0, (entry = readdir(d)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lost+found"))
			say(" %s", entry->d_name);
	closedir(d);
	return errno ? -1 : 0;
}

/* load NAME: to the buffer; says the size */
static int do_load(const struct words *w)
{
	int fd = open(path(w->text[0]), O_RDONLY);
	size_t at = 0;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st))
		return -1;
	while (at < BUFFER && (n = pread(fd, buffer + at, BUFFER - at, at)) > 0)
		at += n;
	close(fd);
	say(" %zx %llx", at, (unsigned long long)st.st_size);
	return n < 0 ? -1 : 0;
}

static int do_buffer(const struct words *w)
{
	(void)w;
	for (size_t at = 0; at < BUFFER; at += SZ_2M)
		if (say_pfns(buffer + at, 1))
			return -1;
	return 0;
}

static int do_quit(const struct words *w)
{
	(void)w;
	exit(0);
}

static const struct command {
	const char *name;
	int (*fn)(const struct words *w);
} commands[] = {
	{ "align",	do_align },
	{ "buffer",	do_buffer },
	{ "clone",	do_clone },
	{ "close",	do_close },
	{ "collapse",	do_collapse },
	{ "dedupe",	do_dedupe },
	{ "falloc",	do_falloc },
	{ "freeze",	do_freeze },
	{ "fsync",	do_fsync },
	{ "list",	do_list },
	{ "load",	do_load },
	{ "mount",	do_mount },
	{ "msync",	do_msync },
	{ "open",	do_open },
	{ "quit",	do_quit },
	{ "race",	do_race },
	{ "store",	do_store },
	{ "sync",	do_sync },
	{ "sync_store",	do_sync_store },
	{ "touch",	do_touch },
	{ "truncate",	do_truncate },
	{ "umount",	do_umount },
	{ "unlink",	do_unlink },
	{ "write",	do_write },
};

#define BLANKS	"\n "

static int run(char *line)
{
	char *name = strtok(line, BLANKS), *word;
	struct words w = {};

	while (w.nr < 12 && (word = strtok(NULL, BLANKS))) {
		w.text[w.nr] = word;
		w.n[w.nr++] = strtoull(word, NULL, 16);
	}
	for (size_t i = 0; name && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].fn(&w);
	errno = EINVAL;	/* no such command */
	return -1;
}

static void answer(char *line)
{
	strcpy(reply, "ok");
	if (run(line))
		sprintf(reply, "err %d", errno);
	strcat(reply, "\n");
	if (write(line_fd, reply, strlen(reply)) < 0)
		exit(1);
}

static void open_line(const char *name)
{
	struct termios raw;

	line_fd = open(name, O_RDWR | O_NOCTTY);
	if (line_fd < 0 || tcgetattr(line_fd, &raw))
		exit(1);
	cfmakeraw(&raw);
	tcsetattr(line_fd, TCSANOW, &raw);
}

static void take_buffer(void)
{
	FILE *f = fopen("/proc/sys/vm/nr_hugepages", "w");

	if (f) {
		fprintf(f, "%lu\n", BUFFER / SZ_2M);
		fclose(f);
	}
	buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED)
		exit(1);
	memset(buffer, 0, BUFFER);
}

/* That tells the host of flushes. */
static void load_module(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
		exit(1);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = sigbus };
	char line[512];
	FILE *in;

	if (argc != 2 && argc != 3)
		return 2;
	sigaction(SIGBUS, &act, NULL);
	take_buffer();
	open_line(argv[1]);
	if (argc == 3)
		load_module(argv[2]);
	in = fdopen(dup(line_fd), "r");
	if (write(line_fd, "ready\n", 6) != 6)
		return 1;
	while (fgets(line, sizeof(line), in))
		answer(line);
	return 0;
}
