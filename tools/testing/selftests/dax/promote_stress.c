// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion under load: workers store, load, read and write one file through
 * mappings of both sizes while others of them promote, collapse, flush, zap,
 * punch and truncate it, all at random.
 *
 * The model is anonymous memory. Each worker owns some cache lines of each
 * page, and no other worker stores to them, so that each of its loads is
 * compared exactly. An operation that zeroes a range holds the locks of its
 * chunks for writing; a store or a comparison holds them for reading; all
 * others, such as faults, flushes and collapses, take no lock.
 *
 * The seed is printed; DAX_TEST_SEED repeats it, but not the order of the
 * workers.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "dax_harness.h"

#define BLOCKS		2
#define LEN		(BLOCKS * SZ_2M)
#define CHUNK		(64 * SZ_4K)
#define CHUNKS		(LEN / CHUNK)
#define PER_BLOCK	(SZ_2M / CHUNK)

#define LINE		64
#define LINES		(SZ_4K / LINE)

#define WORKERS		6
#define EPOCHS		4
#define STEPS		150	/* of each worker in each epoch */

struct load {
	const char *policy;
	bool processes;
	bool clones;
};

FIXTURE_VARIANT(dax) {
	struct load load;
};

FIXTURE_VARIANT_ADD(dax, threads) {
	.load = { .policy = "fault" },
};

FIXTURE_VARIANT_ADD(dax, threads_eager) {
	.load = { .policy = "eager" },
};

FIXTURE_VARIANT_ADD(dax, processes) {
	.load = { .policy = "fault", .processes = true },
};

FIXTURE_VARIANT_ADD(dax, processes_eager) {
	.load = { .policy = "eager", .processes = true },
};

FIXTURE_VARIANT_ADD(dax, clones) {
	.load = { .policy = "fault", .clones = true },
};

struct stress {
	const struct load *load;
	int fd, clone;
	char *model;
	char *huge, *small;		/* mappings that all use */
	unsigned int seed;
	volatile bool diverged;
	unsigned int collapsed, refused;	/* about */
	pthread_rwlock_t chunk[CHUNKS];
};

struct worker {
	struct stress *stress;
	unsigned int id;
	uint64_t random;
	char *huge, *small;		/* mappings of its own */
	unsigned int step;
	const char *op;
};

/* Ranges, and what is random about them. */

static unsigned int pick(struct worker *w, unsigned int n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 16) % n;
}

static void lock(struct worker *w, unsigned int chunk, bool exclusive)
{
	pthread_rwlock_t *lock = &w->stress->chunk[chunk];
	int err = exclusive ? pthread_rwlock_wrlock(lock) :
			      pthread_rwlock_rdlock(lock);

	if (err)
		dax_exit_fail("lock: %s", strerror(err));
}

static void unlock(struct worker *w, unsigned int chunk)
{
	pthread_rwlock_unlock(&w->stress->chunk[chunk]);
}

/* For writing, always in the order of the file. */
static void lock_chunks(struct worker *w, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		lock(w, i, true);
}

static void unlock_chunks(struct worker *w, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		unlock(w, i);
}

/* One of the lines of that page that are this worker's. */
static size_t own_line(struct worker *w, size_t page)
{
	unsigned int nr = LINES / WORKERS;

	return page + (w->id + pick(w, nr) * WORKERS) * LINE;
}

static char *some_view(struct worker *w)
{
	char * const views[] = {
		w->huge, w->huge, w->small, w->small, w->stress->huge,
		w->stress->small,
	};

	return views[pick(w, ARRAY_LEN(views))];
}

static char *some_huge_view(struct worker *w)
{
	return pick(w, 4) ? w->huge : w->stress->huge;
}

static void diverged(struct worker *w, size_t off, const char *got,
		     const char *view)
{
	const char *want = w->stress->model + off;
	int i = 0;

	while (got[i] == want[i] && i < LINE - 1)
		i++;
	if (__sync_lock_test_and_set(&w->stress->diverged, true))
		return;
	dax_print_msg("seed %u worker %u step %u: %s %s byte %#zx is %#x, not %#x",
		      w->stress->seed, w->id, w->step, w->op, view, off + i,
		      got[i] & 255, want[i] & 255);
}

/*
 * Some pages of a chunk, one own line of each of them; the lock is held.
 * What the file does not show at once it is not to show at all.
 */
static void on_lines(struct worker *w, void (*fn)(struct worker *w, size_t off))
{
	unsigned int chunk = pick(w, CHUNKS), nr = pick(w, 4) ? 1 : 1 + pick(w, 24);
	size_t page = pick(w, CHUNK / SZ_4K - nr + 1);

	lock(w, chunk, false);
	for (unsigned int i = 0; i < nr; i++)
		fn(w, own_line(w, chunk * CHUNK + (page + i) * SZ_4K));
	unlock(w, chunk);
}

/* Operations. */

static void store_line(struct worker *w, size_t off)
{
	char byte = 1 + pick(w, 255), *p = some_view(w) + off;

	memset(p, byte, LINE);
	memset(w->stress->model + off, byte, LINE);
	if (memcmp(p, w->stress->model + off, LINE))
		diverged(w, off, p, "stored");
}

static void op_store(struct worker *w)
{
	on_lines(w, store_line);
}

static void load_line(struct worker *w, size_t off)
{
	char *p = some_view(w) + off;

	if (memcmp(p, w->stress->model + off, LINE))
		diverged(w, off, p, dax_mapped(p));
}

static void op_load(struct worker *w)
{
	on_lines(w, load_line);
}

static void write_line(struct worker *w, size_t off)
{
	char byte = 1 + pick(w, 255);

	memset(w->stress->model + off, byte, LINE);
	if (pwrite(w->stress->fd, w->stress->model + off, LINE, off) != LINE)
		dax_exit_fail("pwrite at %#zx: %s", off, strerror(errno));
}

static void op_write(struct worker *w)
{
	on_lines(w, write_line);
}

static void read_line(struct worker *w, size_t off)
{
	char line[LINE];

	dax_read(w->stress->fd, off, line, LINE);
	if (memcmp(line, w->stress->model + off, LINE))
		diverged(w, off, line, "read");
}

static void op_read(struct worker *w)
{
	on_lines(w, read_line);
}

/* A page table of one's own again: faults begin at 2 MiB. */
static void op_remap(struct worker *w)
{
	size_t block = pick(w, BLOCKS) * SZ_2M;

	if (mmap(w->huge + block, SZ_2M, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, w->stress->fd, block) == MAP_FAILED)
		dax_exit_fail("mmap: %s", strerror(errno));
}

/* Faults whose value is not compared; behind the end of file they fail. */
static void op_fault(struct worker *w)
{
	size_t off = pick(w, LEN / SZ_4K) * SZ_4K;

	if (madvise(some_view(w) + off, SZ_4K,
		    pick(w, 2) ? MADV_POPULATE_READ : MADV_POPULATE_WRITE) &&
	    errno != EFAULT)
		dax_exit_fail("MADV_POPULATE at %#zx: %s", off,
			      strerror(errno));
}

static void op_remap_and_fault(struct worker *w)
{
	op_remap(w);
	for (int i = 0; i < 6; i++)
		op_fault(w);
}

static void op_zap(struct worker *w)
{
	size_t off = pick(w, LEN / SZ_4K) * SZ_4K;

	dax_zap(some_view(w) + off, pick(w, 3) ? SZ_4K : LEN - off);
}

static void op_collapse(struct worker *w)
{
	size_t off = pick(w, 4) ? pick(w, BLOCKS) * SZ_2M : 0;
	int err = dax_collapse(some_huge_view(w) + off, off ? SZ_2M : LEN);

	switch (err) {
	case 0:
		w->stress->collapsed++;
		break;
	case EINVAL:
	case EAGAIN:
	case EBUSY:
		w->stress->refused++;
		break;
	default:
		dax_exit_fail("MADV_COLLAPSE: %s", strerror(err));
	}
}

/* One VMA, two, and one again: ptes of whatever entry there is. */
static void op_split(struct worker *w)
{
	size_t off = pick(w, BLOCKS) * SZ_2M;
	char *half = w->huge + off + SZ_1M;

	if (mprotect(half, SZ_1M, PROT_READ | PROT_WRITE | PROT_EXEC))
		dax_exit_fail("mprotect: %s", strerror(errno));
	for (int i = 0; i < 8; i++)
		madvise(w->huge + off + pick(w, PAGES_2M) * SZ_4K, SZ_4K,
			MADV_POPULATE_READ);
	if (mprotect(half, SZ_1M, PROT_READ | PROT_WRITE))
		dax_exit_fail("mprotect: %s", strerror(errno));
}

static void op_fsync(struct worker *w)
{
	dax_fsync(w->stress->fd);
}

static void op_msync(struct worker *w)
{
	size_t off = pick(w, LEN / SZ_4K) * SZ_4K;

	dax_msync(some_view(w) + off, SZ_4K);
}

/* A few bytes or pages of a chunk become zero. */
static void zero_some(struct worker *w, int mode)
{
	unsigned int chunk = pick(w, CHUNKS);
	size_t off = pick(w, CHUNK), len = 1 + pick(w, 3 * SZ_4K);

	if (pick(w, 2)) {
		off &= -SZ_4K;
		len = (len + SZ_4K - 1) & -SZ_4K;
	}
	if (off + len > CHUNK)
		len = CHUNK - off;
	off += chunk * CHUNK;
	lock(w, chunk, true);
	dax_falloc(w->stress->fd, mode, off, len);
	memset(w->stress->model + off, 0, len);
	unlock(w, chunk);
}

static void op_punch(struct worker *w)
{
	zero_some(w, PUNCH_HOLE);
}

static void op_zero(struct worker *w)
{
	zero_some(w, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

/*
 * 2 MiB get fresh blocks, contiguous if possible: otherwise there would soon be
 * nothing to promote.
 */
static void op_renew(struct worker *w)
{
	unsigned int block = pick(w, BLOCKS);
	size_t off = block * SZ_2M;

	lock_chunks(w, block * PER_BLOCK, (block + 1) * PER_BLOCK);
	dax_punch_hole(w->stress->fd, off, SZ_2M);
	if (pick(w, 4))
		dax_falloc(w->stress->fd, FALLOC_FL_KEEP_SIZE, off, SZ_2M);
	memset(w->stress->model + off, 0, SZ_2M);
	if (pick(w, 2)) {
		char byte = 1 + pick(w, 255);

		dax_fill(w->stress->fd, off, SZ_2M, byte);
		memset(w->stress->model + off, byte, SZ_2M);
	}
	unlock_chunks(w, block * PER_BLOCK, (block + 1) * PER_BLOCK);
}

static void op_alloc(struct worker *w)
{
	size_t off = pick(w, LEN / SZ_4K) * SZ_4K;
	size_t len = (1 + pick(w, 64)) * SZ_4K;

	if (off + len > LEN)
		len = LEN - off;
	dax_falloc(w->stress->fd, FALLOC_FL_KEEP_SIZE, off, len);
}

/* Down to somewhere in the second half, and up again. */
static void op_truncate(struct worker *w)
{
	size_t size = LEN / 2 + pick(w, LEN / 2);
	unsigned int chunk = size / CHUNK;

	if (pick(w, 2))
		size &= -SZ_4K;
	lock_chunks(w, chunk, CHUNKS);
	dax_truncate(w->stress->fd, size);
	memset(w->stress->model + size, 0, LEN - size);
	if (pick(w, 2))
		op_fault(w);
	dax_truncate(w->stress->fd, LEN);
	unlock_chunks(w, chunk, CHUNKS);
}

/* All blocks are shared then, and each first store after it copies. */
static void op_clone(struct worker *w)
{
	if (!w->stress->load->clones)
		return;
	if (ioctl(w->stress->clone, FICLONE, w->stress->fd))
		dax_exit_fail("FICLONE: %s", strerror(errno));
	if (pick(w, 2))
		dax_truncate(w->stress->clone, 0);
}

static const struct {
	const char *name;
	void (*run)(struct worker *w);
	unsigned int weight;
} ops[] = {
	{ "store", op_store, 30 },
	{ "load", op_load, 20 },
	{ "write", op_write, 6 },
	{ "read", op_read, 6 },
	{ "remap", op_remap_and_fault, 14 },
	{ "fault", op_fault, 8 },
	{ "zap", op_zap, 6 },
	{ "collapse", op_collapse, 12 },
	{ "split", op_split, 3 },
	{ "fsync", op_fsync, 6 },
	{ "msync", op_msync, 6 },
	{ "punch", op_punch, 2 },
	{ "zero", op_zero, 2 },
	{ "renew", op_renew, 5 },
	{ "alloc", op_alloc, 2 },
	{ "truncate", op_truncate, 2 },
	{ "clone", op_clone, 1 },
};

static void one_step(struct worker *w)
{
	unsigned int all = 0, at, i;

	for (i = 0; i < ARRAY_LEN(ops); i++)
		all += ops[i].weight;
	at = pick(w, all);
	for (i = 0; at >= ops[i].weight; i++)
		at -= ops[i].weight;
	w->op = ops[i].name;
	ops[i].run(w);
}

/* Threads or processes, and what they leave behind. */

static void work(unsigned int id, void *arg)
{
	struct worker *w = (struct worker *)arg + id;
	unsigned int steps = dax_scale(STEPS);

	for (unsigned int i = 0; i < steps && !w->stress->diverged; i++) {
		one_step(w);
		w->step++;
	}
}

static void work_in_processes(struct __test_metadata *_metadata,
			      struct worker *workers)
{
	pid_t pid[WORKERS];

	for (unsigned int id = 0; id < WORKERS; id++) {
		pid[id] = dax_fork_process();
		if (!pid[id]) {
			work(id, workers);
			_exit(0);
		}
	}
	for (unsigned int id = 0; id < WORKERS; id++)
		EXPECT_EQ(0, dax_wait(pid[id]));
}

/* Which pages of a view are mapped: the others are no different from a new one. */
static void find_mapped(const char *view, uint64_t *words)
{
	off_t off = (uintptr_t)view / SZ_4K * sizeof(*words);
	ssize_t len = LEN / SZ_4K * sizeof(*words);
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, words, len, off) != len)
		dax_exit_fail("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
}

/* @words: of find_mapped(), or NULL for all pages. */
static ssize_t first_difference(const char *model, const char *view,
				const uint64_t *words)
{
	for (size_t at = 0; at < LEN; at += SZ_4K) {
		if (words && !(words[at / SZ_4K] >> 63))
			continue;
		if (!memcmp(model + at, view + at, SZ_4K))
			continue;
		while (model[at] == view[at])
			at++;
		return at;
	}
	return -1;
}

/* Now that all is quiet, the whole of it, by every way there is. */
static void compare_all(struct __test_metadata *_metadata,
			struct stress *stress, struct worker *workers,
			unsigned int epoch)
{
	char *buf = malloc(LEN), *fresh = dax_map(stress->fd, 0, LEN);
	uint64_t *words = malloc(LEN / SZ_4K * sizeof(*words));
	const char *view[4 + 2 * WORKERS] = {
		buf, fresh, stress->huge, stress->small,
	};
	unsigned int nr = 4;

	dax_read(stress->fd, 0, buf, LEN);
	for (unsigned int id = 0; id < WORKERS; id++) {
		view[nr++] = workers[id].huge;
		view[nr++] = workers[id].small;
	}
	for (unsigned int i = 0; i < nr; i++) {
		ssize_t bad;

		if (i > 1)
			find_mapped(view[i], words);
		bad = first_difference(stress->model, view[i],
				       i > 1 ? words : NULL);
		if (bad >= 0)
			dax_print_msg("seed %u epoch %u: view %u differs at %#zx: %#x, not %#x",
				      stress->seed, epoch, i, bad,
				      view[i][bad] & 255,
				      stress->model[bad] & 255);
		ASSERT_EQ(-1, bad);
	}
	dax_unmap(fresh, LEN);
	free(words);
	free(buf);
}

/*
 * No promotion may be under way any more, and none may have been lost: each
 * try ended in one way, and each replacement in one of two.
 */
static void expect_balance(struct __test_metadata *_metadata)
{
	EXPECT_EQ(dax_promotions("try"),
		  dax_promotions("refuse-fragmented") +
		  dax_promotions("refuse-locked") +
		  dax_promotions("refuse-no-memory") +
		  dax_promotions("gone") + dax_promotions("replace"));
	EXPECT_EQ(dax_promotions("replace"),
		  dax_promotions("rollback") + dax_promotions("done"));
}

static unsigned int seed(void)
{
	const char *env = getenv("DAX_TEST_SEED");

	return env ? strtoul(env, NULL, 0) : 20261125;
}

static struct stress *set_up(const struct load *load, struct worker *workers)
{
	struct stress *stress = dax_shared(sizeof(*stress));
	pthread_rwlockattr_t attr;

	stress->load = load;
	stress->seed = seed();
	stress->model = dax_shared(LEN);
	stress->fd = dax_file(LEN, PREALLOC);
	stress->clone = dax_create("clone");
	stress->huge = dax_map(stress->fd, 0, LEN);
	stress->small = dax_map_small(stress->fd, LEN);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	for (unsigned int i = 0; i < CHUNKS; i++)
		pthread_rwlock_init(&stress->chunk[i], &attr);
	for (unsigned int id = 0; id < WORKERS; id++) {
		workers[id].stress = stress;
		workers[id].id = id;
		workers[id].random = stress->seed * 0x9e3779b97f4a7c15ULL + id + 1;
		workers[id].huge = dax_map(stress->fd, 0, LEN);
		workers[id].small = dax_map_small(stress->fd, LEN);
	}
	return stress;
}

TEST_F(dax, random_operations)
{
	const struct load *load = &variant->load;
	unsigned long done, rollback, try;
	struct worker *workers;
	struct stress *stress;

	NEED(load->clones && !dax_is_xfs() ? "reflink is a feature of XFS" : NULL);
	NEED(dax_policy(load->policy));
	try = dax_promotions("try");
	done = dax_promotions("done");
	rollback = dax_promotions("rollback");
	workers = dax_shared(WORKERS * sizeof(*workers));
	stress = set_up(load, workers);

	for (unsigned int epoch = 0; epoch < EPOCHS; epoch++) {
		if (load->processes)
			work_in_processes(_metadata, workers);
		else
			dax_run_threads(WORKERS, work, workers);
		ASSERT_FALSE(stress->diverged);
		compare_all(_metadata, stress, workers, epoch);
	}
	expect_balance(_metadata);
	try = dax_promotions("try") - try;
	done = dax_promotions("done") - done;
	rollback = dax_promotions("rollback") - rollback;
	dax_print_msg("seed %u, %u workers of %u steps", stress->seed, WORKERS,
		      workers[0].step);
	dax_print_msg("of %lu tries %lu promoted, %lu rolled back; collapses: %u done, %u not",
		      try, done, rollback, stress->collapsed, stress->refused);
	EXPECT_LT(0, done);
}

TEST_HARNESS_MAIN
