// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on one file against a plain model in memory: whatever
 * came before, the file read and the file mapped, huge or small, are equal to
 * the model. The seed is printed; DAX_TEST_SEED repeats it.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <time.h>

#include "dax_harness.h"

#define LEN	(3 * SZ_2M)

struct fsx {
	int fd, clone;
	size_t size;
	char *model;
	char *huge, *small;	/* mappings of LEN bytes */
	unsigned int step;
};

struct range {
	size_t off, len;
};

static unsigned int pick(unsigned int n)
{
	return random() % n;
}

/* A range within the file, often a small one, often at round offsets. */
static struct range some_range(size_t size)
{
	struct range r;

	if (!size)
		return (struct range){};
	r.off = pick(size);
	if (pick(2))
		r.off &= -SZ_4K;
	r.len = pick(4) ? 1 + pick(3 * SZ_4K) : 1 + pick(SZ_2M);
	if (pick(3) == 0)
		r.len = (r.len + SZ_4K - 1) & -SZ_4K;
	if (r.off + r.len > size)
		r.len = size - r.off;
	return r;
}

static struct range some_blocks(size_t size)
{
	struct range r = some_range(size);

	r.off &= -SZ_4K;
	r.len = (r.len + SZ_4K - 1) & -SZ_4K;
	return r;
}

static void op_write(struct fsx *fsx)
{
	struct range r = some_range(LEN);
	char byte = 'a' + pick(26);

	if (!r.len)
		return;
	dax_fill(fsx->fd, r.off, r.len, byte);
	memset(fsx->model + r.off, byte, r.len);
	if (r.off + r.len > fsx->size)
		fsx->size = r.off + r.len;
}

static void op_store(struct fsx *fsx)
{
	struct range r = some_range(fsx->size);
	char byte = 'A' + pick(26);

	memset((pick(2) ? fsx->huge : fsx->small) + r.off, byte, r.len);
	memset(fsx->model + r.off, byte, r.len);
}

static void op_truncate(struct fsx *fsx)
{
	size_t size = pick(LEN + 1);

	dax_truncate(fsx->fd, size);
	if (size < fsx->size)
		memset(fsx->model + size, 0, fsx->size - size);
	fsx->size = size;
}

static void op_punch(struct fsx *fsx)
{
	struct range r = some_range(fsx->size);

	if (!r.len)
		return;
	dax_punch_hole(fsx->fd, r.off, r.len);
	memset(fsx->model + r.off, 0, r.len);
}

static void op_zero(struct fsx *fsx)
{
	struct range r = some_range(fsx->size);

	if (!r.len)
		return;
	dax_falloc(fsx->fd, FALLOC_FL_ZERO_RANGE, r.off, r.len);
	memset(fsx->model + r.off, 0, r.len);
}

static void op_alloc(struct fsx *fsx)
{
	struct range r = some_range(fsx->size);

	if (r.len)
		dax_falloc(fsx->fd, 0, r.off, r.len);
}

static void op_collapse(struct fsx *fsx)
{
	struct range r = some_blocks(fsx->size);

	if (!r.len || r.off + r.len >= fsx->size)
		return;
	dax_falloc(fsx->fd, FALLOC_FL_COLLAPSE_RANGE, r.off, r.len);
	fsx->size -= r.len;
	memmove(fsx->model + r.off, fsx->model + r.off + r.len,
		fsx->size - r.off);
	memset(fsx->model + fsx->size, 0, r.len);
}

static void op_insert(struct fsx *fsx)
{
	struct range r = some_blocks(fsx->size);

	if (!r.len || r.off >= fsx->size || fsx->size + r.len > LEN)
		return;
	dax_falloc(fsx->fd, FALLOC_FL_INSERT_RANGE, r.off, r.len);
	memmove(fsx->model + r.off + r.len, fsx->model + r.off,
		fsx->size - r.off);
	memset(fsx->model + r.off, 0, r.len);
	fsx->size += r.len;
}

static void op_fsync(struct fsx *fsx)
{
	dax_fsync(fsx->fd);
}

static void op_zap(struct fsx *fsx)
{
	dax_zap(fsx->huge, LEN);
	if (pick(2))
		dax_zap(fsx->small, LEN);
}

static void op_drop(struct fsx *fsx)
{
	posix_fadvise(fsx->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* All blocks shared with another file: from now on writes copy. */
static void op_clone(struct fsx *fsx)
{
	if (!dax_is_xfs())
		return;
	dax_truncate(fsx->clone, 0);
	if (ioctl(fsx->clone, FICLONE, fsx->fd))
		dax_exit_fail("FICLONE: %s", strerror(errno));
}

static void op_unshare(struct fsx *fsx)
{
	struct range r = some_range(fsx->size);

	if (dax_is_xfs() && r.len)
		dax_falloc(fsx->fd, FALLOC_FL_UNSHARE_RANGE, r.off, r.len);
}

/* A part of the file becomes a reflink to another part of it. */
static void op_clone_range(struct fsx *fsx)
{
	struct range r = some_blocks(fsx->size & -SZ_4K);
	struct file_clone_range arg;
	size_t to;

	if (!dax_is_xfs() || !r.len || fsx->size < 2 * r.len + SZ_4K)
		return;
	to = pick((fsx->size - r.len) / SZ_4K) * SZ_4K;
	if (to < r.off + r.len && r.off < to + r.len)
		return;
	arg = (struct file_clone_range){
		.src_fd = fsx->fd, .src_offset = r.off, .src_length = r.len,
		.dest_offset = to,
	};
	if (ioctl(fsx->fd, FICLONERANGE, &arg))
		dax_exit_fail("FICLONERANGE: %s", strerror(errno));
	memmove(fsx->model + to, fsx->model + r.off, r.len);
}

static const struct {
	const char *name;
	void (*run)(struct fsx *fsx);
} ops[] = {
	{ "write", op_write }, { "write", op_write }, { "write", op_write },
	{ "store", op_store }, { "store", op_store }, { "store", op_store },
	{ "store", op_store }, { "truncate", op_truncate },
	{ "punch", op_punch }, { "punch", op_punch }, { "zero", op_zero },
	{ "alloc", op_alloc }, { "collapse", op_collapse },
	{ "insert", op_insert }, { "fsync", op_fsync }, { "zap", op_zap },
	{ "drop", op_drop }, { "clone", op_clone }, { "unshare", op_unshare },
	{ "clone range", op_clone_range },
};

static ssize_t first_difference(const char *a, const char *b, size_t len)
{
	if (!memcmp(a, b, len))
		return -1;
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			return i;
	return -1;
}

static unsigned int seed(void)
{
	const char *env = getenv("DAX_TEST_SEED");
	unsigned int seed = env ? strtoul(env, NULL, 0) : 20261123;

	srandom(seed);
	return seed;
}

static void fsx(struct __test_metadata *_metadata, bool mapped_only)
{
	unsigned int steps = dax_scale(300), from = seed();
	struct fsx fsx = { .size = 0 };
	char *buf = malloc(LEN);

	fsx.model = calloc(1, LEN);
	fsx.fd = dax_file(LEN, HOLE);
	fsx.clone = dax_create("clone");
	fsx.huge = dax_map(fsx.fd, 0, LEN);
	fsx.small = dax_map_small(fsx.fd, LEN);
	if (mapped_only)	/* keep huge entries huge */
		fsx.small = fsx.huge;
	dax_truncate(fsx.fd, 0);

	for (fsx.step = 0; fsx.step < steps; fsx.step++) {
		unsigned int op = pick(ARRAY_LEN(ops));
		const char *view = pick(6) ? fsx.huge : fsx.small;
		ssize_t bad;

		ops[op].run(&fsx);
		bad = first_difference(fsx.model, view, fsx.size);
		if (bad < 0 && pick(4) == 0) {
			dax_read(fsx.fd, 0, buf, fsx.size);
			bad = first_difference(fsx.model, buf, fsx.size);
		}
		if (bad >= 0)
			dax_print_msg("seed %u step %u: after %s byte %#zx of %#zx differs",
				      from, fsx.step, ops[op].name, bad,
				      fsx.size);
		ASSERT_EQ(-1, bad);
	}
	free(buf);
	free(fsx.model);
}

TEST_F(dax, both_sizes)
{
	fsx(_metadata, false);
}

TEST_F(dax, huge_only)
{
	fsx(_metadata, true);
}

TEST_HARNESS_MAIN
