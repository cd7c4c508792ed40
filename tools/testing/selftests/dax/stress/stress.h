/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daxstress: what its parts know of each other.
 *
 *	../daxstress.c	the profiles, the tests, the command line
 *	load.c		a round of many workers at once
 *	round.c		a round of one stream: replays, and how a replay is cut
 *			down
 *	ops.c		the operations, and how often each profile has them
 *	model.c		files and mappings, what each byte of them is, and the
 *			locks of many workers
 *	target.c	where it runs, and what can be done there
 *
 * Calls go down this list.
 */
#ifndef DAX_STRESS_H
#define DAX_STRESS_H

#include "dax_test.h"

/* The most that a profile may have. */
#define STRESS_FILES	3
#define STRESS_LEN	(3 * SZ_2M)
#define STRESS_PAGES	(STRESS_LEN / SZ_4K)
#define STRESS_MAPS	10
#define STRESS_WORKERS	16

#define STRESS_CHUNK	(64 * SZ_4K)		/* has a lock of its own */
#define STRESS_CHUNKS	(STRESS_LEN / STRESS_CHUNK)
#define STRESS_OUTSIDE	SZ_1M

static inline size_t page_up(size_t n)
{
	return (n + SZ_4K - 1) & -SZ_4K;
}

static inline size_t page_down(size_t n)
{
	return n & -SZ_4K;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Of @len bytes at @at, those in the first page. */
static inline size_t in_page(size_t at, size_t len)
{
	return min_size(len, SZ_4K - at % SZ_4K);
}

/* How often each operation is chosen: a column of the table in ops.c. */
enum stress_mix {
	MIX_STREAM,	/* all there is, for one worker */
	MIX_CROWD,	/* for many workers */
	MIX_PROMOTION,	/* small entries become huge ones, for many workers */
	MIX_FILE,	/* what changes a file, for one worker */
	STRESS_MIXES,
};

struct profile {
	const char *name;
	enum stress_mix mix;
	unsigned int files;
	size_t len;		/* the largest size of a file */
	unsigned int maps;
	unsigned int threads, processes;
	unsigned int steps;	/* of all workers, in a test */
	const char *policy;	/* of promotion, in a test */
	bool whole;		/* each mapping is shared, and of all of a file */
	bool huge;		/* no mapping is off colour */
	bool large;		/* long loads, stores, reads and writes */
	bool compare;		/* after each operation, a file and a mapping */
	bool heap;		/* files are unlinked, and sparse but for 8 KiB */
};

static inline unsigned int profile_workers(const struct profile *profile)
{
	return profile->threads * profile->processes;
}

/* The target: target.c. */

enum stress_need {
	NEED_COLLAPSE_RANGE	= 1 << 0,
	NEED_INSERT_RANGE	= 1 << 1,
	NEED_PUNCH		= 1 << 2,
	NEED_ZERO_RANGE		= 1 << 3,
	NEED_REFLINK		= 1 << 4,
	NEED_DIRECT		= 1 << 5,
	NEED_SYNC		= 1 << 6,
	NEED_OUTSIDE		= 1 << 7,
	NEED_DROP_CACHES	= 1 << 8,
	NEED_DEVICE		= 1 << 9,
	NEED_HWPOISON		= 1 << 10,
	/* Huge pages of tmpfs may be mapped behind the end of a file. */
	NEED_DAX		= 1 << 11,
	NEED_ALIGN		= 1 << 12,
};

/* Errors that daxstress makes, to see whether its checks notice them. */
enum stress_break {
	BREAK_NOTHING,
	BREAK_STORE,		/* some stores are lost */
	BREAK_WRITE,		/* some writes change a byte */
	BREAK_PUNCH,		/* some holes are not punched */
};

struct target {
	const struct profile *profile;
	const char *dir;	/* where the files are */
	const char *device;	/* what is mounted there, if it may be remounted */
	const char *mount;	/* and where */
	const char *outside;	/* a file or device of another filesystem */
	const char *without;	/* names of operations, joined by commas */
	bool no_drop_caches;
	bool hwpoison;
	enum stress_break broken;
	bool is_dax;
	unsigned int can;	/* enum stress_need */
};

void target_probe(struct target *target, bool say);
int target_open(const struct target *target, const char *name, int flags);
void target_restore(const struct target *target);
void target_remount(const struct target *target);
void target_drop_caches(int what);
bool target_leaves_out(const struct target *target, const char *operation);
int target_break(const char *name);	/* enum stress_break, -1 if unknown */
/* Uniform in 64 bits, and the same for the same arguments. */
uint64_t stress_random(uint64_t seed, uint64_t nr);

/* The model: model.c. */

/* All workers have the same files, in shared memory. */
struct file {
	int fd, direct;
	size_t size;
	char *data;		/* STRESS_LEN bytes; zero behind the size */
	unsigned int moves;	/* truncations, and bytes that moved */
	pthread_rwlock_t chunk[STRESS_CHUNKS];
};

enum map_kind { MAP_KIND_SHARED, MAP_KIND_SYNC, MAP_KIND_PRIVATE };
extern const char * const map_kinds[];	/* their names */

/* Of each page of a mapping. */
#define PAGE_MAPPED	1
#define PAGE_WRITE	2
#define PAGE_COPIED	4	/* private, and written to */

struct map {
	bool used;
	bool whole;		/* one VMA, as it was made */
	enum map_kind kind;
	struct file *file;
	size_t off, len;
	size_t shift;		/* the colour of its address */
	unsigned int window;	/* which of its two places it has */
	char *addr;
	uint8_t page[STRESS_PAGES];
	char *copy;		/* what the copied pages hold */
	unsigned int moves;	/* of the file, when the copies were right */
};

/* The report of a round to the process that started it: in shared memory. */
#define STRESS_KINDS	48

struct report {
	unsigned int step, kind;	/* the operation under way */
	unsigned long done[STRESS_KINDS], idle;
	unsigned long refused;	/* MADV_COLLAPSE that could not */
	unsigned long poisoned;
	char text[400];		/* what diverged */
};

enum verdict {		/* exit status of a round */
	ROUND_CLEAN,
	ROUND_DIVERGED,
	ROUND_REFUSED,	/* a call failed that should not */
	ROUND_CRASHED,
	ROUND_HUNG,
	ROUND_NOT_RUN,	/* its own mistake, or no memory */
};

/* How often each kind of operation is chosen here. */
struct ops_weights {
	unsigned int kind[STRESS_KINDS], all;
};

/* The state of one worker. */
struct model {
	const struct target *target;
	const struct profile *profile;
	struct ops_weights weights;
	struct report *report;
	bool describe;		/* describe each operation */
	struct file *file;
	struct map map[STRESS_MAPS];
	unsigned int common;	/* so many maps are those of all threads */
	char *windows;
	int outside;
	char *outside_data;

	unsigned int id, workers;
	size_t min_size, len;	/* of each file, at any time */
	uint32_t chunks[STRESS_FILES];	/* what the operation holds, a bit each */
	bool holds;
};

struct file *files_new(const struct target *target);
struct model *model_new(const struct target *target, struct file *files,
			struct report *report, unsigned int id);
void model_enter(struct model *md);	/* this thread is that worker */
void model_open(struct model *md);
void model_close(struct model *md);

void __attribute__((noreturn, format(printf, 3, 4)))
round_ends(struct model *md, enum verdict end, const char *fmt, ...);
#define diverged(md, ...)	round_ends(md, ROUND_DIVERGED, __VA_ARGS__)
#define refused(md, ...)		round_ends(md, ROUND_REFUSED, __VA_ARGS__)

/*
 * An operation of one of many workers holds the chunks of what it changes or
 * compares: HOLD_LINES, so that its own lines of them stay, or HOLD_ALL, so that
 * nobody else is there. The result is false if a range is not within its file.
 * One worker alone holds nothing, and may grow files: always true.
 */
enum hold { HOLD_LINES, HOLD_ALL };

bool hold_two(struct model *md, enum hold how, struct file *f, size_t off,
	      struct file *g, size_t to, size_t len);
bool hold(struct model *md, enum hold how, struct file *f, size_t off,
	  size_t len);
void let_go(struct model *md);
/* Changes a range to one of the worker's own lines; returns its length. */
size_t own_line(const struct model *md, size_t *off, size_t len);

static inline bool alone(const struct model *md)
{
	return md->workers == 1;
}

unsigned int file_nr(const struct model *md, const struct file *f);
unsigned int map_nr(const struct model *md, const struct map *m);

/* Changes of the model by operations. */
void file_grows(struct file *f, size_t size);
void file_shrinks(struct model *md, struct file *f, size_t size);
void file_written(struct file *f, size_t off, const void *data, size_t len);
void map_written(struct map *m, size_t at, const void *data, size_t len);
/* The bytes at @at of a mapping, and the signal of an access there, or 0. */
const char *map_bytes(const struct map *m, size_t at);
int map_signal(const struct map *m, size_t at, bool write);
bool map_allows(const struct map *m, size_t at, size_t len, bool write);

/* Mappings as they are made and go. */
void map_make(struct model *md, struct map *m, bool writable);
bool map_move(struct model *md, struct map *m, size_t len, size_t shift);
void map_cut(struct model *md, struct map *m, size_t at, size_t len);
void map_gone(struct model *md, struct map *m);
/* Copies of pages from @from on of the file: forget them, here and there. */
void maps_forget(struct model *md, struct file *f, size_t from);

/* Comparisons; what differs ends the round. */
void map_compare(struct model *md, struct map *m, size_t at, size_t len);
void file_compare(struct model *md, struct file *f, size_t off, size_t len);
void files_compare(struct model *md);
/* Those pages of the mappings that are mapped, or all. */
void maps_compare(struct model *md, bool all);

/* Operations: ops.c. */

struct op {
	unsigned int kind;
	uint32_t arg[4];
};

unsigned int ops_nr(void);
const char *ops_name(unsigned int kind);
/* Before there are threads. */
void ops_weigh(struct ops_weights *weights, const struct target *target);
void ops_choose(struct op *op, const struct ops_weights *weights, uint64_t seed,
		uint64_t nr);
void ops_run(struct model *md, const struct op *op);

/* Rounds: round.c. */

#define ROUND_STEPS	20000

struct ops {
	struct op *op;
	unsigned int nr;
};

struct tally {
	struct report sum;
	unsigned long operations, passed, failed;
};

struct shrunk {
	struct ops ops;
	enum verdict verdict;
	unsigned int tries;
};

void round_choose(struct ops *ops, const struct target *target, uint64_t seed,
		  unsigned int round, unsigned int steps);
/* The end of the process that runs a round, and what it says. */
enum verdict round_wait(pid_t pid, struct report *report);
void report_add(struct report *sum, const struct report *report);
/* @describe: prints what each operation does, in the form that a replay has. */
enum verdict round_run(const struct target *target, const struct ops *ops,
		       struct report *report, bool describe);
void round_shrink(const struct target *target, const struct ops *ops,
		  enum verdict verdict, struct shrunk *shrunk);
const char *round_parse(struct ops *ops, FILE *from);	/* NULL or an error */
void round_print(const struct ops *ops, FILE *to);
void tally_add(struct tally *tally, const struct report *report,
	       enum verdict verdict);
void tally_print(const struct tally *tally);
const char *verdict_name(enum verdict verdict);

/* Many workers: load.c. */

enum verdict load_run(const struct target *target, uint64_t seed,
		      unsigned int round, unsigned int steps,
		      struct report *report);

#endif
