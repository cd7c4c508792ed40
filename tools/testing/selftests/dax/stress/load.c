// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: many workers, threads of processes, on the same files.
 *
 * The model is shared anonymous memory. Each worker owns some cache lines of
 * each page, and no other worker stores to them, so that each of its loads is
 * compared exactly. Each file is cut into chunks with a lock each. A store to
 * an own line, or its comparison, holds the lock of its chunk for reading. An
 * operation that zeroes, moves or replaces bytes of others holds the locks of
 * all its chunks for writing, in the order of files and chunks. Faults without
 * a value, flushes, zaps and collapses hold no lock.
 *
 * The size of a file changes only with all chunks locked that lie behind the
 * smaller of both sizes. The holder of a chunk therefore knows whether a page
 * of it is behind the end, where an access must raise SIGBUS.
 *
 * Each worker has a private mapping. An own line with a store there is compared
 * with what was stored; one on a page without any own store, with the file. For
 * other lines of a page that is a copy, POSIX and Linux do not define when the
 * copy was made. A file counts its truncations and moves; a worker that sees
 * the count changed forgets its copies.
 *
 * Workers are processes of a few threads each, which start anew in each epoch.
 * Between epochs no worker runs, and everything is compared.
 */
#include <assert.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "stress.h"

#define FILES		2
#define CHUNK		(64 * SZ_4K)
#define CHUNKS		(STRESS_LEN / CHUNK)
#define LINE		64
#define LINES		(SZ_4K / LINE)
#define MAX_WORKERS	16

#define LOAD_KINDS	32

/* Some operations need pages that are always there. */
#define MIN_SIZE	(STRESS_LEN / 2 + 16 * SZ_4K)

struct shared_file {
	size_t size;
	unsigned int moves;	/* truncations, and bytes that moved */
	pthread_rwlock_t resize;
	pthread_rwlock_t chunk[CHUNKS];
};

struct load_shared {
	struct shared_file file[FILES];
	volatile bool stop;
	bool diverged;
	char text[400];
	unsigned long done[MAX_WORKERS][LOAD_KINDS];
	unsigned long idle, refused;
};

/* Of this process: files and mappings that all of its threads use. */
struct load_stress {
	const struct target *target;
	struct load load;
	struct load_shared *shared;
	char *model[FILES];
	int fd[FILES], direct[FILES];
	char *huge[FILES], *small[FILES];
	unsigned int epoch;
};

struct private_map {
	char *addr, *data;
	unsigned int moves;	/* of the file, when it was looked at last */
	bool copied[STRESS_PAGES];
	uint64_t stored[STRESS_PAGES];	/* a bit for each line */
};

struct worker {
	struct load_stress *stress;
	unsigned int id;
	unsigned int weight[LOAD_KINDS], all;
	unsigned long step;
	const char *op;
	char *own, *sync, *read_only;	/* of file id % FILES, all of it */
	size_t shift;
	char *window[2];		/* where @own may be */
	unsigned int at;
	struct private_map private;
};

/* What is random about a worker's operation. */

static uint64_t random_word(struct worker *w)
{
	return stress_random(w->stress->load.seed * 1000003 +
			     w->stress->epoch * MAX_WORKERS + w->id, w->step++);
}

static unsigned int pick(struct worker *w, unsigned int n)
{
	return (random_word(w) >> 16) % n;
}

static unsigned int workers(const struct load_stress *stress)
{
	return stress->load.threads * stress->load.processes;
}

/* Half of them meet on a few pages. */
static size_t some_page(struct worker *w)
{
	unsigned int n = pick(w, 4 * STRESS_PAGES);

	if (n < 2 * STRESS_PAGES)
		return n % STRESS_PAGES * SZ_4K;
	if (n < 3 * STRESS_PAGES)
		return n % 16 * SZ_4K;
	return SZ_2M + (n % 16) * SZ_4K - 8 * SZ_4K;
}

/* One of the lines of a page that are this worker's. */
static size_t own_line(struct worker *w, size_t page)
{
	unsigned int nr = LINES / workers(w->stress);

	return page + (w->id + pick(w, nr) * workers(w->stress)) * LINE;
}

static unsigned int own_file(const struct worker *w)
{
	return w->id % FILES;
}

/* Locks. */

static void lock_one(pthread_rwlock_t *lock, bool exclusive)
{
	int err = exclusive ? pthread_rwlock_wrlock(lock) :
			      pthread_rwlock_rdlock(lock);

	if (err)
		dax_exit_fail("lock: %s", strerror(err));
}

static pthread_rwlock_t *chunk_lock(struct worker *w, unsigned int file,
				    size_t off)
{
	return &w->stress->shared->file[file].chunk[off / CHUNK];
}

/* All chunks from the one of @off on, to the one of @end, which is behind. */
static void lock_range(struct worker *w, unsigned int file, size_t off,
		       size_t end)
{
	for (size_t at = off / CHUNK * CHUNK; at < end; at += CHUNK)
		lock_one(chunk_lock(w, file, at), true);
}

static void unlock_range(struct worker *w, unsigned int file, size_t off,
			 size_t end)
{
	for (size_t at = off / CHUNK * CHUNK; at < end; at += CHUNK)
		pthread_rwlock_unlock(chunk_lock(w, file, at));
}

static void lock_file(struct worker *w, unsigned int file)
{
	lock_one(&w->stress->shared->file[file].resize, true);
	lock_range(w, file, 0, STRESS_LEN);
}

static void unlock_file(struct worker *w, unsigned int file)
{
	unlock_range(w, file, 0, STRESS_LEN);
	pthread_rwlock_unlock(&w->stress->shared->file[file].resize);
}

/* Reports. */

static void __attribute__((format(printf, 2, 3)))
report_end(struct load_shared *shared, const char *fmt, ...)
{
	va_list ap;

	if (!__sync_lock_test_and_set(&shared->diverged, true)) {
		va_start(ap, fmt);
		vsnprintf(shared->text, sizeof(shared->text), fmt, ap);
		va_end(ap);
	}
	shared->stop = true;
}

static struct load_shared *the_shared;

static void stray_signal(const siginfo_t *info)
{
	report_end(the_shared, "a worker ends with signal %d at %p",
		   info->si_signo, info->si_addr);
}

static void differs(struct worker *w, unsigned int file, size_t off,
		    const char *got, const char *want, const char *how)
{
	int i = 0;

	while (i < LINE - 1 && got[i] == want[i])
		i++;
	report_end(w->stress->shared,
		   "seed %llu epoch %u worker %u step %lu: %s: byte %#zx of file %u, size %#zx, %s, is %#x, not %#x",
		   (unsigned long long)w->stress->load.seed, w->stress->epoch,
		   w->id, w->step, w->op, off + i, file,
		   w->stress->shared->file[file].size, how, got[i] & 255,
		   want[i] & 255);
}

static void failed(struct worker *w, const char *what)
{
	report_end(w->stress->shared,
		   "seed %llu epoch %u worker %u step %lu: %s: %s: %s",
		   (unsigned long long)w->stress->load.seed, w->stress->epoch,
		   w->id, w->step, w->op, what, strerror(errno));
}

/* Lines, with the chunk locked. */

static char *model(struct worker *w, unsigned int file, size_t off)
{
	return w->stress->model[file] + off;
}

/* Some mapping of all of the file that may be written. */
static char *some_view(struct worker *w, unsigned int file)
{
	if (file == own_file(w) && pick(w, 3))
		return pick(w, 16) ? w->own : w->sync;
	return pick(w, 2) ? w->stress->huge[file] : w->stress->small[file];
}

static bool behind_end(struct worker *w, unsigned int file, size_t off)
{
	return page_down(off) >= w->stress->shared->file[file].size;
}

/* The last page behind the size: no worker stores there. */
static bool in_tail(struct worker *w, unsigned int file, size_t off)
{
	return off + LINE > w->stress->shared->file[file].size;
}

/* Touches a line; false if it raised a signal, and rightly so. */
static bool touch(struct worker *w, unsigned int file, size_t off, void *to,
		  const void *from)
{
	int want = behind_end(w, file, off) ? SIGBUS : 0;
	int sig = sigbus_guard_copy(to, from, LINE, NULL);

	if (sig != want)
		report_end(w->stress->shared,
			   "seed %llu epoch %u worker %u step %lu: %s: a touch of %#zx of file %u, size %#zx, raises signal %d, not %d",
			   (unsigned long long)w->stress->load.seed,
			   w->stress->epoch, w->id, w->step, w->op, off, file,
			   w->stress->shared->file[file].size, sig, want);
	return !sig;
}

static void load_line(struct worker *w, unsigned int file, size_t off,
		      const char *view, const char *how)
{
	char line[LINE];

	if (touch(w, file, off, line, view + off) &&
	    memcmp(line, model(w, file, off), LINE))
		differs(w, file, off, line, model(w, file, off), how);
}

static void new_bytes(struct worker *w, char *line)
{
	uint64_t word = random_word(w) | 0x0101010101010101;

	for (size_t i = 0; i < LINE; i += sizeof(word))
		memcpy(line + i, &word, sizeof(word));
}

/* The breakage that a test requests. */
static bool loses_store(struct worker *w)
{
	return w->stress->target->broken == BREAK_STORE && w->step % 512 == 0;
}

/* Operations on an own line. */

typedef void (*line_fn)(struct worker *w, unsigned int file, size_t off);

static void with_line(struct worker *w, unsigned int file, line_fn fn)
{
	size_t off = own_line(w, some_page(w));

	lock_one(chunk_lock(w, file, off), false);
	fn(w, file, off);
	pthread_rwlock_unlock(chunk_lock(w, file, off));
}

static void store_line(struct worker *w, unsigned int file, size_t off)
{
	char *view = some_view(w, file), line[LINE];

	if (in_tail(w, file, off)) {
		load_line(w, file, off, view, "mapped");
		return;
	}
	new_bytes(w, line);
	if (!loses_store(w) && !touch(w, file, off, view + off, line))
		return;
	memcpy(model(w, file, off), line, LINE);
	load_line(w, file, off, view, "just stored");
}

static bool op_store(struct worker *w)
{
	with_line(w, pick(w, FILES), store_line);
	return true;
}

static void any_load_line(struct worker *w, unsigned int file, size_t off)
{
	if (file == own_file(w) && pick(w, 4) == 0)
		load_line(w, file, off, w->read_only, "mapped read-only");
	else
		load_line(w, file, off, some_view(w, file), "mapped");
}

static bool op_load(struct worker *w)
{
	with_line(w, pick(w, FILES), any_load_line);
	return true;
}

static void write_line(struct worker *w, unsigned int file, size_t off)
{
	char line[LINE];

	if (in_tail(w, file, off))
		return;
	new_bytes(w, line);
	if (pwrite(w->stress->fd[file], line, LINE, off) != LINE)
		failed(w, "pwrite");
	memcpy(model(w, file, off), line, LINE);
}

static bool op_write(struct worker *w)
{
	with_line(w, pick(w, FILES), write_line);
	return true;
}

static void read_line(struct worker *w, unsigned int file, size_t off)
{
	size_t size = w->stress->shared->file[file].size;
	ssize_t want = off < size ? min_size(LINE, size - off) : 0;
	char line[LINE];

	if (pread(w->stress->fd[file], line, LINE, off) != want)
		failed(w, "pread is short");
	else if (memcmp(line, model(w, file, off), want))
		differs(w, file, off, line, model(w, file, off), "read");
}

static bool op_read(struct worker *w)
{
	with_line(w, pick(w, FILES), read_line);
	return true;
}

/* Through pinned pages. */
static void pinned_line(struct worker *w, unsigned int file, size_t off)
{
	char line[LINE], *view = some_view(w, file);
	struct iovec here = { line, LINE }, there = { view + off, LINE };

	if (in_tail(w, file, off))
		return;
	if (pick(w, 2)) {
		if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != LINE)
			failed(w, "process_vm_readv");
		else if (memcmp(line, model(w, file, off), LINE))
			differs(w, file, off, line, model(w, file, off),
				"read through a pin");
		return;
	}
	new_bytes(w, line);
	if (process_vm_writev(getpid(), &here, 1, &there, 1, 0) != LINE)
		failed(w, "process_vm_writev");
	memcpy(model(w, file, off), line, LINE);
}

static bool op_pinned(struct worker *w)
{
	with_line(w, pick(w, FILES), pinned_line);
	return true;
}

/* From one own line to another of the same chunk, by a mapping of the file. */
static void alias_line(struct worker *w, unsigned int file, size_t off)
{
	size_t page = off / CHUNK * CHUNK + pick(w, CHUNK / SZ_4K) * SZ_4K;
	size_t mapped = own_line(w, page);
	char *view = some_view(w, file);

	if (in_tail(w, file, off) || in_tail(w, file, mapped))
		return;
	if (pick(w, 2)) {
		if (pwrite(w->stress->fd[file], view + mapped, LINE, off) !=
		    LINE)
			failed(w, "pwrite from a mapping of the file");
		memmove(model(w, file, off), model(w, file, mapped), LINE);
	} else {
		if (pread(w->stress->fd[file], view + mapped, LINE, off) !=
		    LINE)
			failed(w, "pread to a mapping of the file");
		memmove(model(w, file, mapped), model(w, file, off), LINE);
	}
	load_line(w, file, off, view, "after a copy within the file");
	load_line(w, file, mapped, view, "after a copy within the file");
}

static bool op_alias(struct worker *w)
{
	with_line(w, pick(w, FILES), alias_line);
	return true;
}

/* A child sees the file, and the file sees what it stores. */
static void fork_line(struct worker *w, unsigned int file, size_t off)
{
	char *view = some_view(w, file), line[LINE];
	int status;
	pid_t pid;

	if (in_tail(w, file, off))
		return;
	new_bytes(w, line);
	pid = fork();
	if (pid < 0) {
		failed(w, "fork");
		return;
	}
	if (!pid) {
		load_line(w, file, off, view, "mapped by a child");
		touch(w, file, off, view + off, line);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		report_end(w->stress->shared, "a child ends with status %#x",
			   status);
	memcpy(model(w, file, off), line, LINE);
	load_line(w, file, off, view, "stored by a child");
}

static bool op_fork(struct worker *w)
{
	with_line(w, pick(w, FILES), fork_line);
	return true;
}

/* The private mapping. */

static void zap_private(struct worker *w)
{
	struct private_map *p = &w->private;

	dax_zap(p->addr, STRESS_LEN);
	memset(p->copied, 0, sizeof(p->copied));
	memset(p->stored, 0, sizeof(p->stored));
}

/* With a chunk locked: a move that concerns it is in the count. */
static void follow_moves(struct worker *w)
{
	unsigned int now = __atomic_load_n(&w->stress->shared->file[own_file(w)].moves,
					   __ATOMIC_ACQUIRE);

	if (now == w->private.moves)
		return;
	zap_private(w);
	w->private.moves = now;
}

static void private_line(struct worker *w, unsigned int file, size_t off)
{
	struct private_map *p = &w->private;
	size_t page = off / SZ_4K;
	uint64_t bit = 1ULL << (off % SZ_4K / LINE);
	char line[LINE];

	follow_moves(w);
	if (in_tail(w, file, off))
		return;
	if (pick(w, 3) == 0) {
		new_bytes(w, p->data + off);
		if (!touch(w, file, off, p->addr + off, p->data + off))
			return;
		p->copied[page] = true;
		p->stored[page] |= bit;
	}
	if (!p->copied[page])
		load_line(w, file, off, p->addr, "mapped privately");
	else if (p->stored[page] & bit &&
		 touch(w, file, off, line, p->addr + off) &&
		 memcmp(line, p->data + off, LINE))
		differs(w, file, off, line, p->data + off, "a private copy");
}

static bool op_private(struct worker *w)
{
	with_line(w, own_file(w), private_line);
	return true;
}

static bool op_zap_private(struct worker *w)
{
	size_t off = some_page(w), page = off / SZ_4K;

	dax_zap(w->private.addr + off, SZ_4K);
	w->private.copied[page] = false;
	w->private.stored[page] = 0;
	return true;
}

/* Operations that lock nothing. */

static bool op_fault(struct worker *w)
{
	unsigned int file = pick(w, FILES);
	char *view = some_view(w, file), byte;
	int sig = sigbus_guard_copy(&byte, view + some_page(w), 1, NULL);

	if (sig && sig != SIGBUS)
		failed(w, "a load raises a signal that is not SIGBUS");
	return true;
}

static bool op_populate(struct worker *w)
{
	char *p = some_view(w, pick(w, FILES)) + some_page(w);

	if (madvise(p, SZ_4K, pick(w, 2) ? MADV_POPULATE_READ :
					   MADV_POPULATE_WRITE) &&
	    errno != EFAULT)
		failed(w, "MADV_POPULATE");
	return true;
}

static bool op_zap(struct worker *w)
{
	size_t off = some_page(w), len = SZ_4K;

	if (pick(w, 16) == 0)
		len = STRESS_LEN - off;
	dax_zap(some_view(w, pick(w, FILES)) + off, len);
	return true;
}

static bool op_collapse(struct worker *w)
{
	size_t off = pick(w, STRESS_LEN / SZ_2M) * SZ_2M;

	if (!madvise(some_view(w, pick(w, FILES)) + off, SZ_2M, MADV_COLLAPSE))
		return true;
	if (errno != EINVAL && errno != EAGAIN && errno != EBUSY)
		failed(w, "MADV_COLLAPSE");
	__atomic_add_fetch(&w->stress->shared->refused, 1, __ATOMIC_RELAXED);
	return true;
}

static bool op_sync(struct worker *w)
{
	if (fsync(w->stress->fd[pick(w, FILES)]))
		failed(w, "fsync");
	return true;
}

static bool op_msync(struct worker *w)
{
	if (msync(some_view(w, pick(w, FILES)) + some_page(w), SZ_4K, MS_SYNC))
		failed(w, "msync");
	return true;
}

static bool op_alloc(struct worker *w)
{
	size_t off = some_page(w);
	size_t len = min_size((1 + pick(w, 64)) * SZ_4K, STRESS_LEN - off);

	if (fallocate(w->stress->fd[pick(w, FILES)], FALLOC_FL_KEEP_SIZE, off,
		      len))
		failed(w, "fallocate");
	return true;
}

/* Whole pages from here on, 64 KiB of them, are within the smallest size. */
static size_t low_page(struct worker *w)
{
	return page_down(some_page(w) / 2);
}

static bool op_unshare(struct worker *w)
{
	size_t off = low_page(w);

	if (fallocate(w->stress->fd[pick(w, FILES)],
		      FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE,
		      off, 8 * SZ_4K))
		failed(w, "unshare");
	return true;
}

/* The worker's own mapping. */

static void map_own(struct worker *w, char *addr, size_t off, size_t len)
{
	if (mmap(addr + off, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, w->stress->fd[own_file(w)], off) ==
	    MAP_FAILED)
		dax_exit_fail("mmap: %s", strerror(errno));
}

/*
 * To the other window, in another colour. No other thread maps anything while
 * the old one is empty.
 */
static bool op_remap(struct worker *w)
{
	size_t shift = pick(w, 2) ? 0 : pick(w, PAGES_2M) * SZ_4K;
	char *to = w->window[!w->at] + shift;

	if (mremap(w->own, STRESS_LEN, STRESS_LEN,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
		failed(w, "mremap");
		return true;
	}
	if (mmap(w->own, STRESS_LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		 MAP_FIXED, -1, 0) == MAP_FAILED)
		dax_exit_fail("mmap: %s", strerror(errno));
	w->own = to;
	w->at = !w->at;
	return true;
}

/* A part of it goes and comes: a page table of its own, a VMA in pieces. */
static bool op_unmap(struct worker *w)
{
	size_t off = some_page(w);
	size_t len = min_size((1 + pick(w, 2 * PAGES_2M)) * SZ_4K,
			      STRESS_LEN - off);

	if (mprotect(w->own + off, len, PROT_READ))
		failed(w, "mprotect");
	if (munmap(w->own + off, len))
		failed(w, "munmap");
	map_own(w, w->own, off, len);
	return true;
}

/* Operations that lock others out. */

static size_t *size_of(struct worker *w, unsigned int file)
{
	return &w->stress->shared->file[file].size;
}

static void moved(struct worker *w, unsigned int file)
{
	__atomic_add_fetch(&w->stress->shared->file[file].moves, 1,
			   __ATOMIC_RELEASE);
}

static bool zero_some(struct worker *w, int mode)
{
	unsigned int file = pick(w, FILES);
	size_t off = some_page(w) + pick(w, SZ_4K), len = 1 + pick(w, 3 * SZ_4K);

	if (pick(w, 2)) {
		off = page_down(off);
		len = page_up(len);
	}
	if (pick(w, 8) == 0)
		len += pick(w, SZ_2M);
	len = min_size(len, STRESS_LEN - off);
	lock_range(w, file, off, off + len);
	if (fallocate(w->stress->fd[file], mode | FALLOC_FL_KEEP_SIZE, off,
		      len))
		failed(w, "fallocate");
	memset(model(w, file, off), 0, len);
	unlock_range(w, file, off, off + len);
	return true;
}

static bool op_punch(struct worker *w)
{
	return zero_some(w, FALLOC_FL_PUNCH_HOLE);
}

static bool op_zero(struct worker *w)
{
	return zero_some(w, FALLOC_FL_ZERO_RANGE);
}

static bool op_truncate(struct worker *w)
{
	unsigned int file = pick(w, FILES);
	size_t *size = size_of(w, file), to, from;

	lock_one(&w->stress->shared->file[file].resize, true);
	to = pick(w, 2) ? STRESS_LEN :
	     MIN_SIZE + pick(w, (STRESS_LEN - MIN_SIZE) / 8) * 8;
	from = min_size(*size, to);
	lock_range(w, file, from, STRESS_LEN);
	if (ftruncate(w->stress->fd[file], to))
		failed(w, "ftruncate");
	memset(model(w, file, to), 0, STRESS_LEN - to);
	*size = to;
	moved(w, file);
	unlock_range(w, file, from, STRESS_LEN);
	pthread_rwlock_unlock(&w->stress->shared->file[file].resize);
	return true;
}

static void cut_out(struct worker *w, unsigned int file, size_t off, size_t len)
{
	size_t *size = size_of(w, file);

	if (fallocate(w->stress->fd[file], FALLOC_FL_COLLAPSE_RANGE, off, len))
		failed(w, "collapse range");
	memmove(model(w, file, off), model(w, file, off + len),
		*size - off - len);
	memset(model(w, file, *size - len), 0, len);
	*size -= len;
}

static void put_in(struct worker *w, unsigned int file, size_t off, size_t len)
{
	size_t *size = size_of(w, file);

	if (fallocate(w->stress->fd[file], FALLOC_FL_INSERT_RANGE, off, len))
		failed(w, "insert range");
	memmove(model(w, file, off + len), model(w, file, off), *size - off);
	memset(model(w, file, off), 0, len);
	*size += len;
}

static bool op_move_range(struct worker *w)
{
	unsigned int file = pick(w, FILES);
	size_t off = low_page(w), len = (1 + pick(w, 16)) * SZ_4K;

	if (pick(w, 4) == 0)
		len = SZ_2M;
	lock_file(w, file);
	if (pick(w, 2) && *size_of(w, file) + len <= STRESS_LEN)
		put_in(w, file, off, len);
	else if (*size_of(w, file) >= MIN_SIZE + len)
		cut_out(w, file, off, len);
	moved(w, file);
	unlock_file(w, file);
	return true;
}

/* New blocks for 2 MiB, contiguous if possible. */
static bool op_renew(struct worker *w)
{
	unsigned int file = pick(w, FILES);
	size_t off = pick(w, STRESS_LEN / SZ_2M) * SZ_2M;
	int fd = w->stress->fd[file];

	lock_range(w, file, off, off + SZ_2M);
	if (fallocate(fd, PUNCH_HOLE, off, SZ_2M) ||
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, off, SZ_2M))
		failed(w, "fallocate");
	memset(model(w, file, off), 0, SZ_2M);
	unlock_range(w, file, off, off + SZ_2M);
	return true;
}

/* One file becomes the other: the blocks of both are shared. */
static bool op_clone(struct worker *w)
{
	unsigned int from = pick(w, FILES), to = !from;

	for (unsigned int file = 0; file < FILES; file++)
		lock_file(w, file);
	if (ftruncate(w->stress->fd[to], 0) ||
	    ioctl(w->stress->fd[to], FICLONE, w->stress->fd[from]))
		failed(w, "FICLONE");
	memcpy(model(w, to, 0), model(w, from, 0), STRESS_LEN);
	*size_of(w, to) = *size_of(w, from);
	moved(w, to);
	for (unsigned int file = 0; file < FILES; file++)
		unlock_file(w, file);
	return true;
}

/* Pages of one file are made equal to those of the other, and then the same. */
static bool op_dedupe(struct worker *w)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = {};
	size_t off = low_page(w), len = 8 * SZ_4K;

	for (unsigned int file = 0; file < FILES; file++)
		lock_range(w, file, off, off + len);
	memcpy(model(w, 1, off), model(w, 0, off), len);
	if (pwrite(w->stress->fd[1], model(w, 1, off), len, off) !=
	    (ssize_t)len)
		failed(w, "pwrite");
	arg.range.src_offset = off;
	arg.range.src_length = len;
	arg.range.dest_count = 1;
	arg.info.dest_fd = w->stress->fd[1];
	arg.info.dest_offset = off;
	if (ioctl(w->stress->fd[0], FIDEDUPERANGE, &arg))
		failed(w, "FIDEDUPERANGE");
	else if (arg.info.status != FILE_DEDUPE_RANGE_SAME)
		report_end(w->stress->shared,
			   "FIDEDUPERANGE says %d of equal pages at %#zx",
			   arg.info.status, off);
	for (unsigned int file = 0; file < FILES; file++)
		unlock_range(w, file, off, off + len);
	return true;
}

/* Pages of one file are written to the other, from a mapping of it. */
static bool op_direct(struct worker *w)
{
	unsigned int from = pick(w, FILES), to = !from;
	size_t off = low_page(w), len = (1 + pick(w, 8)) * SZ_4K;
	char *view = some_view(w, from);

	for (unsigned int file = 0; file < FILES; file++)
		lock_range(w, file, off, off + len);
	if (pick(w, 2)) {
		if (pwrite(w->stress->direct[to], view + off, len, off) !=
		    (ssize_t)len)
			failed(w, "O_DIRECT from a mapping");
		memcpy(model(w, to, off), model(w, from, off), len);
	} else {
		if (pread(w->stress->direct[to], view + off, len, off) !=
		    (ssize_t)len)
			failed(w, "O_DIRECT to a mapping");
		memcpy(model(w, from, off), model(w, to, off), len);
	}
	for (unsigned int file = 0; file < FILES; file++)
		unlock_range(w, file, off, off + len);
	return true;
}

static bool op_drop_caches(struct worker *w)
{
	target_drop_caches(pick(w, 4) ? 1 : 3);
	return true;
}

static const struct {
	const char *name;
	bool (*run)(struct worker *w);
	unsigned int weight;
	unsigned int needs;
} kinds[] = {
	{ "store", op_store, 30000, 0 },
	{ "load", op_load, 24000, 0 },
	{ "write", op_write, 6000, 0 },
	{ "read", op_read, 6000, 0 },
	{ "pinned", op_pinned, 800, 0 },
	{ "alias", op_alias, 800, 0 },
	{ "fork", op_fork, 10, 0 },
	{ "private", op_private, 8000, 0 },
	{ "zap-private", op_zap_private, 600, 0 },
	{ "fault", op_fault, 4000, 0 },
	{ "populate", op_populate, 1500, 0 },
	{ "zap", op_zap, 2500, 0 },
	{ "collapse", op_collapse, 300, NEED_DAX },
	{ "sync", op_sync, 60, 0 },
	{ "msync", op_msync, 300, 0 },
	{ "alloc", op_alloc, 200, 0 },
	{ "unshare", op_unshare, 30, NEED_REFLINK },
	{ "remap", op_remap, 120, 0 },
	{ "unmap", op_unmap, 300, 0 },
	{ "punch", op_punch, 200, NEED_PUNCH },
	{ "zero", op_zero, 200, NEED_ZERO_RANGE },
	{ "truncate", op_truncate, 40, 0 },
	{ "move-range", op_move_range, 15,
	  NEED_COLLAPSE_RANGE | NEED_INSERT_RANGE },
	{ "renew", op_renew, 20, NEED_PUNCH },
	{ "clone", op_clone, 4, NEED_REFLINK },
	{ "dedupe", op_dedupe, 20, NEED_REFLINK },
	{ "direct", op_direct, 100, NEED_DIRECT },
	{ "drop-caches", op_drop_caches, 1, NEED_DROP_CACHES },
};

static_assert(ARRAY_LEN(kinds) <= LOAD_KINDS, "LOAD_KINDS is too small");

/* Workers. */

static unsigned int weight(const struct worker *w, unsigned int kind)
{
	unsigned int needs = kinds[kind].needs;

	if ((w->stress->target->can & needs) != needs ||
	    target_leaves_out(w->stress->target, kinds[kind].name))
		return 0;
	return kinds[kind].weight;
}

static void one_step(struct worker *w)
{
	unsigned int at = pick(w, w->all), kind = 0;

	while (at >= w->weight[kind])
		at -= w->weight[kind++];
	w->op = kinds[kind].name;
	if (kinds[kind].run(w))
		w->stress->shared->done[w->id][kind]++;
}

static char *map_file(struct load_stress *stress, unsigned int file, int prot,
		      int flags, size_t shift)
{
	return dax_mmap(stress->fd[file], 0, STRESS_LEN, prot, flags, shift);
}

static char *window(void)
{
	size_t len = STRESS_LEN + 2 * SZ_2M;
	char *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		dax_exit_fail("no address space for %zu bytes", len);
	return (char *)(((uintptr_t)p + SZ_2M - 1) & -SZ_2M);
}

static struct worker *worker_new(struct load_stress *stress, unsigned int id)
{
	struct worker *w = calloc(1, sizeof(*w));
	int flags = MAP_SHARED;

	if (!w)
		dax_exit_fail("no memory");
	w->stress = stress;
	w->id = id;
	if (stress->target->can & NEED_SYNC)
		flags = MAP_SHARED_VALIDATE | MAP_SYNC;
	w->window[0] = window();
	w->window[1] = window();
	w->own = w->window[0];
	map_own(w, w->own, 0, STRESS_LEN);
	w->sync = map_file(stress, own_file(w), PROT_READ | PROT_WRITE, flags,
			   id % 3 * SZ_4K);
	w->read_only = map_file(stress, own_file(w), PROT_READ, MAP_SHARED, 0);
	w->private.addr = map_file(stress, own_file(w), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE, 0);
	w->private.moves = stress->shared->file[own_file(w)].moves;
	w->private.data = mmap(NULL, STRESS_LEN, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->private.data == MAP_FAILED)
		dax_exit_fail("no memory");
	return w;
}

static void work(unsigned int thread, void *arg)
{
	struct worker *w = ((struct worker **)arg)[thread];

	for (unsigned int i = 0; i < ARRAY_LEN(kinds); i++) {
		w->weight[i] = weight(w, i);
		w->all += w->weight[i];
	}
	for (unsigned int i = 0;
	     i < w->stress->load.steps && !w->stress->shared->stop; i++)
		one_step(w);
}

/* One of the processes, from its start to its end. */
static void __attribute__((noreturn)) run_process(struct load_stress *stress,
						  unsigned int nr)
{
	struct worker *worker[MAX_WORKERS];

	the_shared = stress->shared;
	sigbus_guard_arm(stray_signal);
	for (unsigned int file = 0; file < FILES; file++) {
		stress->huge[file] = map_file(stress, file, PROT_READ | PROT_WRITE,
					      MAP_SHARED, 0);
		stress->small[file] = map_file(stress, file, PROT_READ | PROT_WRITE,
					       MAP_SHARED, SZ_4K);
	}
	for (unsigned int i = 0; i < stress->load.threads; i++)
		worker[i] = worker_new(stress, nr * stress->load.threads + i);
	if (stress->load.threads == 1)
		work(0, worker);
	else
		dax_run_threads(stress->load.threads, work, worker);
	_exit(0);
}

/* A worker that is gone may hold locks: the others would wait for ever. */
static void wait_for(struct load_stress *stress, pid_t *pid)
{
	unsigned int left = stress->load.processes;

	while (left) {
		bool ours = false;
		int status;
		pid_t gone = wait(&status);

		if (gone < 0)
			dax_exit_fail("wait: %s", strerror(errno));
		for (unsigned int i = 0; i < stress->load.processes; i++) {
			if (pid[i] != gone)
				continue;
			pid[i] = 0;
			ours = true;
			left--;
		}
		if (!ours || !status)
			continue;
		report_end(stress->shared, "a process ends with status %#x",
			   status);
		for (unsigned int i = 0; i < stress->load.processes; i++)
			if (pid[i])
				kill(pid[i], SIGKILL);
	}
}

static void open_files(struct load_stress *stress)
{
	for (unsigned int file = 0; file < FILES; file++) {
		char name[16];

		snprintf(name, sizeof(name), "load-%u", file);
		stress->fd[file] = target_open(stress->target, name, 0);
		stress->direct[file] = -1;
		if (stress->target->can & NEED_DIRECT)
			stress->direct[file] = target_open(stress->target, name,
							   O_DIRECT);
	}
}

static void close_files(struct load_stress *stress)
{
	for (unsigned int file = 0; file < FILES; file++) {
		close(stress->fd[file]);
		if (stress->direct[file] >= 0)
			close(stress->direct[file]);
	}
}

static void compare_all(struct load_stress *stress, unsigned int file,
			const char *got, const char *how)
{
	const char *want = stress->model[file];
	size_t size = stress->shared->file[file].size, i = 0;

	if (!memcmp(got, want, size))
		return;
	while (got[i] == want[i])
		i++;
	report_end(stress->shared,
		   "seed %llu, after epoch %u: byte %#zx of file %u, %s, is %#x, not %#x",
		   (unsigned long long)stress->load.seed, stress->epoch, i,
		   file, how, got[i] & 255, want[i] & 255);
}

/* All is quiet: the whole of a file, read and mapped. */
static void compare_file(struct load_stress *stress, unsigned int file)
{
	size_t size = stress->shared->file[file].size;
	char *buf = malloc(STRESS_LEN), *view;
	ssize_t n;

	if (!buf)
		dax_exit_fail("no memory");
	n = pread(stress->fd[file], buf, STRESS_LEN, 0);
	if (n != (ssize_t)size)
		report_end(stress->shared, "file %u has %zd bytes, not %zu",
			   file, n, size);
	compare_all(stress, file, buf, "read");
	free(buf);
	view = mmap(NULL, STRESS_LEN, PROT_READ, MAP_SHARED, stress->fd[file], 0);
	if (view == MAP_FAILED)
		dax_exit_fail("mmap: %s", strerror(errno));
	compare_all(stress, file, view, "mapped");
	munmap(view, STRESS_LEN);
}

struct load_stress *load_new(const struct target *target,
			     const struct load *load)
{
	struct load_stress *stress = calloc(1, sizeof(*stress));
	pthread_rwlockattr_t attr;

	if (!stress)
		dax_exit_fail("no memory");
	stress->target = target;
	stress->load = *load;
	if (workers(stress) > MAX_WORKERS)
		dax_exit_fail("%u workers, at most %u are supported",
			      workers(stress), MAX_WORKERS);
	stress->shared = dax_shared(sizeof(*stress->shared));
	open_files(stress);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (unsigned int file = 0; file < FILES; file++) {
		struct shared_file *f = &stress->shared->file[file];

		f->size = STRESS_LEN;
		stress->model[file] = dax_shared(STRESS_LEN);
		dax_truncate(stress->fd[file], 0);
		dax_falloc(stress->fd[file], 0, 0, STRESS_LEN);
		pthread_rwlock_init(&f->resize, &attr);
		for (unsigned int i = 0; i < CHUNKS; i++)
			pthread_rwlock_init(&f->chunk[i], &attr);
	}
	return stress;
}

static unsigned long all_done(const struct load_stress *stress,
			      unsigned int kind)
{
	unsigned long sum = 0;

	for (unsigned int id = 0; id < workers(stress); id++)
		sum += stress->shared->done[id][kind];
	return sum;
}

const char *load_epoch(struct load_stress *stress, unsigned long *operations)
{
	pid_t pid[MAX_WORKERS];

	if (stress->target->can & NEED_DEVICE && stress->epoch) {
		close_files(stress);
		target_remount(stress->target);
		open_files(stress);
	}
	for (unsigned int i = 0; i < stress->load.processes; i++) {
		pid[i] = dax_fork_process();
		if (!pid[i])
			run_process(stress, i);
	}
	wait_for(stress, pid);
	for (unsigned int file = 0; file < FILES && !stress->shared->diverged; file++)
		compare_file(stress, file);
	stress->epoch++;
	*operations = 0;
	for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++)
		*operations += all_done(stress, kind);
	return stress->shared->diverged ? stress->shared->text : NULL;
}

void load_print(struct load_stress *stress)
{
	char text[1200] = "";

	for (unsigned int kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		if (!all_done(stress, kind))
			continue;
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " %s %lu", kinds[kind].name, all_done(stress, kind));
	}
	dax_print_msg("operations:%s", text);
	dax_print_msg("%lu of the collapses were refused",
		      stress->shared->refused);
}

void load_end(struct load_stress *stress)
{
	close_files(stress);
	for (unsigned int file = 0; file < FILES; file++)
		munmap(stress->model[file], STRESS_LEN);
	munmap(stress->shared, sizeof(*stress->shared));
	free(stress);
}
