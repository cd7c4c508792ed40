// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: the target, which is the filesystem that it runs on. Each operation
 * is tried once, on a file that is removed again; those that fail are named in
 * one line and not chosen. Also the basics: files, and random numbers that a seed
 * repeats.
 */
#include "stress.h"

#define DROP_CACHES	"/proc/sys/vm/drop_caches"

static const struct {
	enum stress_need need;
	const char *name;
} needs[] = {
	{ NEED_PUNCH, "punch" },
	{ NEED_ZERO_RANGE, "zero range" },
	{ NEED_COLLAPSE_RANGE, "collapse range" },
	{ NEED_INSERT_RANGE, "insert range" },
	{ NEED_REFLINK, "reflink and dedupe" },
	{ NEED_DIRECT, "O_DIRECT" },
	{ NEED_SYNC, "MAP_SYNC" },
	{ NEED_OUTSIDE, "I/O with another device (none was named)" },
	{ NEED_DROP_CACHES, "drop_caches" },
	{ NEED_DEVICE, "unmount and mount (no device was named)" },
	{ NEED_HWPOISON, "memory failure (another mode)" },
	{ NEED_DAX, "MADV_COLLAPSE" },
	{ NEED_ALIGN, "fs_dax.align" },
};

static const char * const break_names[] = {
	[BREAK_NOTHING] = "nothing",
	[BREAK_STORE] = "store",
	[BREAK_WRITE] = "write",
	[BREAK_PUNCH] = "punch",
};

int target_break(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_LEN(break_names); i++)
		if (!strcmp(break_names[i], name))
			return i;
	return -1;
}

bool target_leaves_out(const struct target *target, const char *operation)
{
	size_t len = strlen(operation);

	for (const char *p = target->without; p && *p; p += strspn(p, ",")) {
		size_t n = strcspn(p, ",");

		if (n == len && !strncmp(p, operation, n))
			return true;
		p += n;
	}
	return false;
}

int target_open(const struct target *target, const char *name, int flags)
{
	const char *path = dax_text("%s/%s", target->dir, name);
	int fd = open(path, O_RDWR | O_CREAT | flags, 0600);

	if (fd < 0)
		dax_exit_fail("%s: %m", path);
	return fd;
}

/* Which modes of fallocate() work on a file of four pages? */
static unsigned int try_ranges(int fd)
{
	static const struct {
		int mode;
		enum stress_need need;
	} modes[] = {
		{ PUNCH_HOLE, NEED_PUNCH },
		{ FALLOC_FL_ZERO_RANGE, NEED_ZERO_RANGE },
		{ FALLOC_FL_INSERT_RANGE, NEED_INSERT_RANGE },
		{ FALLOC_FL_COLLAPSE_RANGE, NEED_COLLAPSE_RANGE },
	};
	unsigned int can = 0;

	for (unsigned int i = 0; i < ARRAY_LEN(modes); i++)
		if (!fallocate(fd, modes[i].mode, SZ_4K, SZ_4K))
			can |= modes[i].need;
	return can;
}

static unsigned int try_file(struct target *target)
{
	int fd = target_open(target, "probe", O_TRUNC);
	int clone = target_open(target, "probe-clone", O_TRUNC), direct;
	char path[PATH_MAX];
	unsigned int can;
	void *p;

	target->is_dax = dax_file_is_dax(fd);
	dax_fill(fd, 0, 4 * SZ_4K, 'p');
	can = try_ranges(fd);
	if (!ioctl(clone, FICLONE, fd))
		can |= NEED_REFLINK;
	p = mmap(NULL, SZ_4K, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
	if (p != MAP_FAILED) {
		can |= NEED_SYNC;
		munmap(p, SZ_4K);
	}
	dax_name(fd, path, sizeof(path));
	direct = open(path, O_RDWR | O_DIRECT);
	if (direct >= 0) {
		can |= NEED_DIRECT;
		close(direct);
	}
	dax_unlink(fd);
	dax_unlink(clone);
	close(fd);
	close(clone);
	return can;
}

static void say_what_cannot(unsigned int can)
{
	char text[400] = "";

	for (unsigned int i = 0; i < ARRAY_LEN(needs); i++) {
		if (can & needs[i].need)
			continue;
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s", text[0] ? ", " : "", needs[i].name);
	}
	if (text[0])
		dax_print_msg("left out here: %s", text);
}

void target_probe(struct target *target, bool say)
{
	target->can = try_file(target);
	if (target->is_dax)
		target->can |= NEED_DAX;
	if (!dax_align(true))
		target->can |= NEED_ALIGN;
	if (target->outside)
		target->can |= NEED_OUTSIDE;
	if (target->device)
		target->can |= NEED_DEVICE;
	if (!target->no_drop_caches && !access(DROP_CACHES, W_OK))
		target->can |= NEED_DROP_CACHES;
	/* Elsewhere it would take pages of memory, for good. */
	if (target->hwpoison && !target->is_dax)
		dax_exit_fail("%s is not on DAX: memory failure is tried there only",
			      target->dir);
	if (target->hwpoison)
		target->can |= NEED_HWPOISON;
	if (say && !target->is_dax)
		dax_print_msg("%s is not on DAX: this tries the tool, not the core",
			      target->dir);
	if (say)
		say_what_cannot(target->can);
	if (say && target->without)
		dax_print_msg("left out on purpose: %s", target->without);
}

/* Each round begins alike. */
void target_restore(const struct target *target)
{
	if (target->can & NEED_ALIGN)
		dax_align(true);
}

/* Nothing of it may be open or mapped. */
void target_remount(const struct target *target)
{
	if (dax_sh("umount %s && mount -o dax=always %s %s", target->mount,
		   target->device, target->mount))
		dax_exit_fail("cannot mount %s again", target->device);
}

void target_drop_caches(int what)
{
	dax_must_write(DROP_CACHES, dax_text("%d", what));
}

/* A counter that is scrambled: multiply and fold, twice. */
uint64_t stress_random(uint64_t seed, uint64_t nr)
{
	uint64_t x = (seed + 1) * 0xd1342543de82ef95ULL +
		     nr * 0x9e3779b97f4a7c15ULL;

	for (int i = 0; i < 2; i++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93ULL;
	}
	return x ^ x >> 32;
}
