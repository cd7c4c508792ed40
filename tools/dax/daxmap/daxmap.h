/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daxmap: tell which page size a DAX file gets, and why.
 *
 * daxmap knows a machine by facts. A fact is a text with a path: a file of /proc
 * or /sys, or the output of a probe, such as the extents of a file. All facts come
 * through facts.c, which can keep them in a folder (--dump) and read them from
 * there (--sysroot). So each output of daxmap can be repeated on another machine.
 *
 * The other files, in the order of their calls:
 *
 *	main.c		options, targets, exit status
 *	predict.c	a file: what each 2 MiB would get
 *	task.c		a process: what each mapping has got
 *	doctor.c	a filesystem: is DAX on, and if not, why
 *	collapse.c	--collapse
 *	watch.c		--watch
 *	advice.c	what repairs a reason
 *	file.c		file, mount and extents
 *	device.c	the way from a byte of a device to memory
 *	pages.c		the page table of a process
 *	probe.c, dm.c	the probes behind facts
 *	show.c		tables, JSON, sizes
 *
 * Offsets, lengths and addresses are in bytes.
 */
#ifndef DAXMAP_H
#define DAXMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/param.h>
#include <sys/types.h>

#define SZ_4K		0x1000ULL
#define SZ_2M		0x200000ULL
#define SZ_1G		0x40000000ULL
#define MAX_COLUMNS	64	/* of -o: a bit each */
#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define PRINTF(a, b)	__attribute__((format(printf, a, b)))

/* Exit status. The largest one of all targets counts, but for an error. */
enum status {
	DAXMAP_OK,
	DAXMAP_NOT_MET,		/* --require */
	DAXMAP_ERROR,		/* usage, or the target cannot be looked at */
	DAXMAP_NOT_DAX,
	DAXMAP_UNKNOWN,		/* cannot be told without privilege */
};

struct options {
	bool list, collapse, watch;
	bool json, raw, no_headings, bytes;
	const char *columns;	/* -o */
	const char *dump, *sysroot;
	uint64_t require;	/* SZ_2M, SZ_1G or 0 */
	unsigned int percent;
	bool for_read;
	unsigned int seconds;	/* of --watch */
};

extern struct options opt;

/* --- main.c ------------------------------------------------------------- */

void die(const char *fmt, ...) __attribute__((noreturn)) PRINTF(1, 2);
void warn(const char *fmt, ...) PRINTF(1, 2);
void *zalloc(size_t size);
char *format(const char *fmt, ...) PRINTF(1, 2);
/* Appends an element of @size to an array of @nr. */
void *grow(void *array, size_t nr, size_t size);

/* --- reasons ---------------------------------------------------------------- */

#include "kernel-reasons.h"

/* Reasons without a fallback in the kernel, or without a name there. */
#define DAXMAP_REASONS(R)						\
	/* Blocks are allocated, or copied, when the store comes. */	\
	R(ALLOCATOR,		"allocator")				\
	/* A fact is missing, see missing(). */				\
	R(HIDDEN,		"hidden")				\
	/* It could be huge now, and was not when it was mapped. */	\
	R(PROMOTABLE,		"promotable")				\
	R(NOT_DAX,		"not-dax")

#define REASON_ENUM(id, name)	REASON_##id,
#define REASON_NAME(id, name)	[REASON_##id] = name,

enum reason {
	DAX_FALLBACK_REASONS(REASON_ENUM, REASON_ENUM)
	DAXMAP_REASONS(REASON_ENUM)
	NR_REASONS
};

extern const char * const reason_names[NR_REASONS];

/* The layer at fault. */
enum layer {
	LAYER_NONE,
	LAYER_NAMESPACE,
	LAYER_PARTITION,
	LAYER_DM,
	LAYER_FILESYSTEM,
	LAYER_EXTENT,
	LAYER_FILE,
	LAYER_MAPPING,
	LAYER_KERNEL,
	NR_LAYERS
};

extern const char * const layer_names[NR_LAYERS];

/* --- facts.c -------------------------------------------------------------- */

/* A probe returns an allocated text, or NULL and sets errno. */
char *fact(const char *path, char *(*probe)(const char *arg), const char *arg);
char *fact_file(const char *fmt, ...) PRINTF(1, 2);
uint64_t fact_number(uint64_t otherwise, const char *fmt, ...) PRINTF(2, 3);
char *fact_location(const char *path);
char *read_file(const char *path);
char *read_link(const char *path);
/* Takes note of what a privilege would show; @what is kept. */
void missing(const char *what);
const char *all_missing(void);
void forget_missing(void);

/* --- probe.c, dm.c -------------------------------------------------------- */

char *probe_file(const char *path);
char *probe_extents(const char *path);
char *probe_device_number(const char *path);
char *probe_geometry(const char *path);
char *probe_scratch(const char *folder);
char *probe_kernel_log(const char *unused);
char *probe_free_ranges(const char *path);
char *probe_tree(const char *path);
char *probe_dm_table(const char *number);

/* --- device.c ------------------------------------------------------------- */

enum device_kind { DEVICE_DISK, DEVICE_PARTITION, DEVICE_DM };

struct target {			/* of device-mapper */
	uint64_t start, len;
	char type[16];
	unsigned int nr;	/* stripes, or 1 */
	uint64_t chunk;
	struct {
		struct device *device;
		uint64_t offset;
	} *to;
};

struct device {
	dev_t number;
	enum device_kind kind;
	char name[64];
	/* a disk */
	char namespace[64];
	const char *mode;
	uint64_t base, modulus;	/* byte 0 is at @base modulo @modulus; 0: not known */
	bool exact;		/* @base is the address itself */
	const char *hidden;	/* what could not be read, see missing() */
	/* a partition */
	struct device *parent;
	uint64_t start;
	/* device-mapper; no targets: they could not be read */
	struct target *targets;
	size_t nr_targets;
	char uuid[132];
};

/* Where a byte is in memory, as far as it is known. */
struct place {
	uint64_t address, modulus;
	bool exact;
	uint64_t len;		/* so many bytes follow it */
};

struct device *device_find(dev_t number);
struct device *device_named(const char *path);
bool device_is_dax(const struct device *device, enum layer *layer, char **why);
struct place device_place(const struct device *device, uint64_t offset, uint64_t len);
enum layer device_blame(const struct device *device, uint64_t offset, uint64_t size,
			const struct device **culprit);
/* Tri-state: 1 aligned, 0 not, -1 not known. */
int place_aligned(const struct place *place, uint64_t offset, uint64_t size);
uint64_t place_alignment(const struct place *place);

/* --- file.c ----------------------------------------------------------------- */

#define EXTENT_UNWRITTEN	1
#define EXTENT_SHARED		2
#define EXTENT_NO_BLOCKS	4	/* inline, delayed, encoded */

struct extent {
	uint64_t offset, at, len;
	unsigned int flags;
};

struct mount_facts {
	dev_t number;
	char *target, *type, *options, *source;
};

struct file {
	char *path;		/* as it is shown */
	char *facts;		/* as it is opened */
	uint64_t size, ino, extsize, block;
	dev_t number;
	unsigned int mode;
	bool dax, realtime, dax_flag;
	struct mount_facts mount;
	struct device *device;	/* that has the extents; NULL: none is known */
	struct extent *extents;
	size_t nr_extents;
};

struct kernel {
	char *release;
	bool ours;
	bool huge;		/* can map 2 MiB at all */
	bool promotes;
};

const struct kernel *kernel(void);
/* NULL and errno if it cannot be looked at. */
struct file *file_open(const char *path, const char *shown);
bool file_is_folder(const char *path);
void file_close(struct file *file);
bool find_mount(dev_t number, const char *path, struct mount_facts *mount);
bool has_option(const char *options, const char *name, char *value, size_t size);

/* --- predict.c -------------------------------------------------------------- */

enum gets { GETS_4K, GETS_2M, GETS_ZERO, GETS_ANY, GETS_UNKNOWN, NR_GETS };

extern const char * const gets_names[NR_GETS];

struct outcome {
	enum gets gets;
	enum reason reason;
	enum layer layer;
};

struct range {
	uint64_t offset, len;	/* @len is less than 2 MiB at the end of the file */
	const char *blocks;
	struct place place;	/* of the first byte, if it has a block */
	bool has_place;
	struct outcome read, write;
	bool could_be_1g;	/* the first of 512 */
};

struct range *predict(const struct file *file, size_t *nr);
struct range predict_range(const struct file *file, uint64_t offset);
enum status show_file(const char *path);
uint64_t could_gain(const struct file *file);

/* --- pages.c, task.c ---------------------------------------------------------- */

enum mapped { MAPPED_4K, MAPPED_4K_ZERO, MAPPED_2M, MAPPED_2M_ZERO, MAPPED_SOME, NR_MAPPED };

struct pages {
	uint64_t start, end;
	enum mapped mapped;
};

struct pages *pages_of(pid_t pid, uint64_t start, uint64_t end, size_t *nr);
bool pages_have_sizes(void);

struct vma {
	uint64_t start, end, offset;
	char mode[8];
	dev_t number;
	uint64_t ino;
	char *path;
	uint64_t anonymous;
	bool nohuge;
	struct file *file;
};

struct vma *dax_vmas(pid_t pid, size_t *nr);
enum status show_task(pid_t pid);

/* --- doctor.c, collapse.c, watch.c, advice.c ------------------------------------ */

enum status show_mount(const char *path);
enum status collapse_file(const char *path);
enum status collapse_task(pid_t pid);
enum status watch(char **names, pid_t *pids, size_t nr);
/* The layer of the device at fault, by name and command. */
char *advice(enum reason reason, enum layer layer, const struct file *file);

/* --- show.c --------------------------------------------------------------------- */

struct show_column {
	const char *name;
	bool right, number, trunc;
};

struct show_table;

struct show_table *show_table(const char *name, const struct show_column *columns, size_t nr);
void show_row(struct show_table *table);
void show_text(struct show_table *table, unsigned int column, const char *fmt, ...) PRINTF(3, 4);
void show_size(struct show_table *table, unsigned int column, uint64_t bytes);
void show_print(struct show_table *table);
/* A target: its tables belong together in JSON. */
void show_begin(const char *target, const char *kind);
void show_end(enum status status, const char *verdict);
void show_note(const char *fmt, ...) PRINTF(1, 2);
bool show_finish(void);
const char *size_text(uint64_t bytes);
unsigned int percent(uint64_t part, uint64_t whole);

#endif /* DAXMAP_H */
