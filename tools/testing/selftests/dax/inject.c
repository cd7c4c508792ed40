// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors that no disk or lack of memory would produce at the right time: the
 * filesystem's block lookup fails, before or after its work, and pages cannot
 * be allocated, in faults of both sizes, in promotions, collapses and system
 * calls.
 *
 * fail_function makes ->iomap_begin or ->iomap_end return an errno and do
 * nothing else. Its probe does not filter by task, so it counts the calls of
 * all tasks; but only this test has files on the filesystem. A number of calls
 * can succeed first, so that the second extent of an operation fails.
 *
 * The same holds after each error: the caller gets it as documented; the bytes
 * are unchanged; another thread can fault there with both sizes, so no lock is
 * left behind; and the next try succeeds.
 */
#include "dax_harness.h"

#define FAIL_FUNCTION	"/sys/kernel/debug/fail_function/"
#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define ALWAYS		-1

enum hook { BEGIN_READ, BEGIN_WRITE, END };

static const char *hook_name(enum hook hook)
{
	static const char *const ext4[] = {
		"ext4_iomap_begin", "ext4_iomap_begin", "ext4_iomap_end" };
	static const char *const xfs[] = {
		"xfs_read_iomap_begin", "xfs_direct_write_iomap_begin",
		"xfs_dax_write_iomap_end" };

	return dax_is_xfs() ? xfs[hook] : ext4[hook];
}

static bool injectable(enum hook hook)
{
	FILE *file = fopen("/sys/kernel/debug/error_injection/list", "r");
	bool found = false;
	char name[256];

	while (file && !found && fscanf(file, "%255s%*[^\n]", name) == 1)
		found = !strcmp(name, hook_name(hook));
	if (file)
		fclose(file);
	return found;
}

static const char *no_injection(void)
{
	if (access(FAIL_FUNCTION "inject", W_OK))
		return "needs CONFIG_FAIL_FUNCTION with its debugfs files";
	if (!injectable(BEGIN_READ) || !injectable(BEGIN_WRITE) ||
	    !injectable(END))
		return "this kernel's iomap operations allow no error injection";
	return NULL;
}

static int set(const char *dir, const char *name, int value)
{
	return dax_write_file(dax_text("%s%s", dir, name), "%d", value);
}

static int hits_left;

/* Of what is in @dir, @times fail, after @skip. */
static void arm(const char *dir, bool of_this_thread, int skip, int times)
{
	hits_left = times == ALWAYS ? INT_MAX / 2 : times;
	if (set(dir, "task-filter", of_this_thread) || set(dir, "verbose", 0) ||
	    set(dir, "interval", 1) || set(dir, "space", skip ? skip + 1 : 0) ||
	    set(dir, "times", hits_left) || set(dir, "probability", 100))
		dax_exit_fail("%s cannot be set up", dir);
}

/* Returns how many failed. */
static int disarm(const char *dir)
{
	const char *path = dax_text("%stimes", dir);
	FILE *file;
	int left;

	set(dir, "probability", 0);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%d", &left) != 1)
		dax_exit_fail("%s: %m", path);
	fclose(file);
	set(dir, "times", 0);
	left = hits_left - left;
	hits_left = 0;
	return left;
}

/*
 * After @skip calls of it, @times more return @err. The probe stays when none of
 * them fails any more: to make and to remove it takes long.
 */
static void inject(enum hook hook, int err, int skip, int times)
{
	static const char *probed;
	const char *name = hook_name(hook);
	int ret = 0;

	if (!probed || strcmp(probed, name)) {
		ret = dax_write_file(FAIL_FUNCTION "inject", "\n");
		ret |= dax_write_file(FAIL_FUNCTION "inject", "%s", name);
		probed = name;
	}
	ret |= dax_write_file(dax_text(FAIL_FUNCTION "%s/retval", name),
			      "%#llx", -(unsigned long long)err);
	if (ret)
		dax_exit_fail("fail_function cannot be set up for %s", name);
	arm(FAIL_FUNCTION, false, skip, times);
}

static int inject_off(void)
{
	return disarm(FAIL_FUNCTION);
}

/*
 * The result of @call, or a negative errno, when one call of @hook returns @err,
 * after @skip calls of it.
 */
#define FAIL_ONCE(hook, err, skip, call) ({	\
	long __ret;				\
						\
	inject(hook, err, skip, 1);		\
	__ret = (call);				\
	if (__ret < 0)				\
		__ret = -errno;			\
	EXPECT_EQ(1, inject_off());		\
	__ret;					\
})

static int hits;	/* of the last FAIL_ALL() */

/* The same when each call of @hook returns @err. */
#define FAIL_ALL(hook, err, call) ({		\
	long __ret;				\
						\
	inject(hook, err, 0, ALWAYS);		\
	__ret = (call);				\
	if (__ret < 0)				\
		__ret = -errno;			\
	hits = inject_off();			\
	__ret;					\
})

static const char *no_page_failures(void)
{
	if (access(FAIL_PAGES "probability", W_OK))
		return "needs CONFIG_FAIL_PAGE_ALLOC with its debugfs files";
	return NULL;
}

/* The next @nr page allocations of this thread fail. */
static void fail_pages(int nr)
{
	if (set(FAIL_PAGES, "ignore-gfp-wait", 0) ||
	    set(FAIL_PAGES, "ignore-gfp-highmem", 0) ||
	    set(FAIL_PAGES, "min-order", 0))
		dax_exit_fail("fail_page_alloc cannot be set up");
	dax_fail_me(true);
	arm(FAIL_PAGES, true, 0, nr);
}

static int fail_pages_off(void)
{
	dax_fail_me(false);
	return disarm(FAIL_PAGES);
}

/* An injection that is still armed would fail the next test, too. */
void dax_cleanup(void)
{
	if (!access(FAIL_FUNCTION "inject", W_OK)) {
		inject_off();
		dax_write_file(FAIL_FUNCTION "inject", "\n");
	}
	if (!no_page_failures()) {
		fail_pages_off();
		set(FAIL_PAGES, "task-filter", 0);
	}
}

DAX_FIXTURE(inject, no_injection())
DAX_FIXTURE(promoted, no_injection() ?: dax_no_promotion())
DAX_FIXTURE(reasons, no_injection() ?: dax_no_event("dax_fault_fallback"))

/* Another thread stores and loads at @off of 2 MiB, by both sizes of a fault. */
struct visitor {
	int fd;
	off_t off;
	unsigned int odd;
};

static void *visit(void *arg)
{
	struct visitor *v = arg;
	char *small = dax_map_small(v->fd, SZ_2M) + v->off;
	char *huge = dax_map(v->fd, 0, SZ_2M) + v->off;

	v->odd += !!dax_touch_signal(small, false, NULL);
	v->odd += !!dax_touch_signal(huge, false, NULL);
	v->odd += dax_peek(small) != dax_peek(huge);
	dax_poke(small, 'v');
	v->odd += dax_peek(huge) != 'v';
	dax_unmap(small - v->off, SZ_2M);
	dax_unmap(huge - v->off, SZ_2M);
	return NULL;
}

/* It hangs if an entry is left locked, and the harness tells of that. */
static unsigned int others_fail_at(int fd, off_t off)
{
	struct visitor v = { .fd = fd, .off = off };

	dax_join(dax_thread(visit, &v));
	dax_fsync(fd);
	return v.odd;
}

static enum hook begin(bool write)
{
	return write ? BEGIN_WRITE : BEGIN_READ;
}

static const int fault_errs[] = {
	EIO, EHWPOISON, ENOSPC, EAGAIN, EDQUOT, ENOMEM,
};

/*
 * A fault of 4 KiB makes SIGBUS of an errno. But mm tries again when memory was
 * short, and ext4 when there was no space, since a commit may free some.
 */
static bool retried(int err, bool write)
{
	return err == ENOMEM || (err == ENOSPC && write && !dax_is_xfs());
}

DAX_VARIANTS(small_faults, no_injection(), bool write; enum dax_layout layout;)

FIXTURE_VARIANT_ADD(small_faults, read) { false, WRITTEN };
FIXTURE_VARIANT_ADD(small_faults, read_of_hole) { false, HOLE };
FIXTURE_VARIANT_ADD(small_faults, write) { true, WRITTEN };
FIXTURE_VARIANT_ADD(small_faults, write_of_hole) { true, HOLE };

TEST_F(small_faults, small_fault_fails)
{
	char byte = variant->layout == WRITTEN ? FILL : 0, *p, *other;
	int fd = dax_file(SZ_2M, variant->layout);

	/* Each page needs the block lookup. */
	dax_fault_around(SZ_4K);
	dax_trace(fd, "dax_pte_fault_done");
	p = dax_map_small(fd, SZ_2M);
	other = dax_map_small(fd, SZ_2M);
	for (unsigned int i = 0; i < ARRAY_LEN(fault_errs); i++) {
		int err = fault_errs[i], sig;
		bool again = retried(err, variant->write);
		off_t off = (10 + i) * SZ_4K;
		siginfo_t info = {};

		dax_trace_clear();
		sig = FAIL_ONCE(begin(variant->write), err, 0,
				dax_touch_signal(p + off, variant->write, &info));
		EXPECT_EQ(again ? 0 : SIGBUS, sig);
		if (sig) {
			EXPECT_EQ(err == EHWPOISON ? BUS_MCEERR_AR : BUS_ADRERR,
				  info.si_code);
			EXPECT_EQ((uintptr_t)p + off,
				  (uintptr_t)info.si_addr & -SZ_4K);
			EXPECT_MAPPED("none", p + off);
		}
		/* The first try ends without an error or a mapping. */
		EXPECT_EQ(again,
			  dax_count_ends("dax_pte_fault_done", "NOPAGE"));

		EXPECT_EQ(sig || !variant->write ? byte : 'w',
			  dax_peek(other + off));
		EXPECT_BYTES(byte, other + off + 1, SZ_4K - 1);
		dax_poke(p + off, 'x');
		EXPECT_EQ('x', dax_peek(other + off));
	}
	EXPECT_EQ(0, others_fail_at(fd, 10 * SZ_4K));
	EXPECT_EQ(0, others_fail_at(fd, 300 * SZ_4K));
}

DAX_VARIANTS(known, no_injection(), bool huge, write, still_mapped;)

FIXTURE_VARIANT_ADD(known, small_read) { false, false, false };
FIXTURE_VARIANT_ADD(known, small_write) { false, true, false };
FIXTURE_VARIANT_ADD(known, small_write_on_read_only) { false, true, true };
FIXTURE_VARIANT_ADD(known, huge_read) { true, false, false };
FIXTURE_VARIANT_ADD(known, huge_write) { true, true, false };
FIXTURE_VARIANT_ADD(known, huge_write_on_read_only) { true, true, true };

/* Touch 2 MiB with clean entries. Every block lookup fails meanwhile. */
static int touch_known(int fd, bool huge, bool write, bool still_mapped)
{
	char *p = huge ? dax_map(fd, 0, SZ_2M) : dax_map_small(fd, SZ_2M);

	dax_peek(p);
	if (!still_mapped)
		dax_zap(p, SZ_2M);
	return FAIL_ALL(begin(write), EIO,
			dax_touch_signal(p, write, NULL));
}

/* A fault on memory that the entry knows asks for no blocks. */
TEST_F(known, known_page_needs_no_blocks)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	dax_trace(fd, "dax_writeback_one");
	EXPECT_EQ(0, touch_known(fd, variant->huge, variant->write,
				 variant->still_mapped));
	EXPECT_EQ(0, hits);
	dax_fsync(fd);
	EXPECT_EQ(variant->write, dax_count_all("dax_writeback_one"));
}

/* Unless another file may have the block. */
TEST_F(known, known_page_of_clone_needs_blocks)
{
	int fd = dax_file(SZ_2M, WRITTEN);

	NEED_XFS();
	dax_clone(fd, "clone");
	EXPECT_EQ(variant->write ? SIGBUS : 0,
		  touch_known(fd, variant->huge, variant->write,
			      variant->still_mapped));
	EXPECT_EQ(variant->write, hits > 0);
}

DAX_VARIANTS(huge_faults, no_injection() ?:
	     dax_no_event("dax_fault_fallback"), bool write; enum dax_layout layout;)

FIXTURE_VARIANT_ADD(huge_faults, read) { false, WRITTEN };
FIXTURE_VARIANT_ADD(huge_faults, read_of_hole) { false, HOLE };
FIXTURE_VARIANT_ADD(huge_faults, write) { true, PREALLOC };

/* A 2 MiB fault falls back, whatever the error is; the 4 KiB one is served. */
TEST_F(huge_faults, huge_fault_fails)
{
	char byte = variant->layout == WRITTEN ? FILL : 0;

	for (unsigned int i = 0; i < ARRAY_LEN(fault_errs); i++) {
		int fd = dax_file(SZ_2M, variant->layout);
		char *p = dax_map(fd, 0, SZ_2M), *q;

		dax_trace(fd, NULL);
		EXPECT_EQ(0, FAIL_ONCE(begin(variant->write), fault_errs[i], 0,
				       dax_touch_signal(p + 5 * SZ_4K,
							variant->write, NULL)));
		EXPECT_EQ(1, FALLBACKS("iomap-error"));
		EXPECT_EQ(1, dax_count("dax_pmd_fault_done", "FALLBACK"));
		/* ext4 gets a second call, with the mmap lock. */
		if (dax_is_xfs())
			EXPECT_STRNE("2M", dax_mapped(p + 5 * SZ_4K));
		EXPECT_EQ(variant->write ? 'w' : byte, dax_peek(p + 5 * SZ_4K));
		EXPECT_BYTES(byte, p + 5 * SZ_4K + 1, SZ_2M - 5 * SZ_4K - 1);

		/* The entry that is left does not stop the next fault. */
		EXPECT_EQ(0, others_fail_at(fd, 9 * SZ_4K));
		q = dax_map(fd, 0, SZ_2M);
		dax_poke(q, 'q');
		if (variant->layout == WRITTEN && dax_has_event("dax_promote_entry"))
			EXPECT_MAPPED("2M", q);
		dax_trace_stop("fs_dax");
		dax_unmap(p, SZ_2M);
		dax_unmap(q, SZ_2M);
		dax_remove(fd);
	}
}

/* No blocks at any size: SIGBUS, and one event for each try. */
TEST_F(huge_faults, all_fail)
{
	int fd = dax_file(SZ_2M, variant->layout);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	EXPECT_EQ(SIGBUS, FAIL_ALL(begin(variant->write), EIO,
				   dax_touch_signal(p, variant->write, NULL)));
	EXPECT_EQ(1, dax_count("dax_pte_fault_done", "SIGBUS"));
	EXPECT_EQ(hits - 1, FALLBACKS("iomap-error"));
	ONCE_OR_TWICE(FALLBACKS("iomap-error"));
	EXPECT_MAPPED("none", p);
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
	EXPECT_EQ(variant->layout == WRITTEN ? FILL : 0, dax_peek(p));
}

/* Promotion: small entries of all kinds, of which some are dirty. */

#define LOADED(page)	((page) % 50 == 9)

static char *small_entries(int fd)
{
	char *small = dax_map_small(fd, SZ_2M);

	for (unsigned int i = 0; i < PAGES_2M; i++) {
		if (DIRTY(i))
			dax_poke(small + i * SZ_4K, 's');
		else if (LOADED(i))
			dax_peek(small + i * SZ_4K);
	}
	return small;
}

static unsigned int wrong_bytes(const char *p)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < PAGES_2M; i++)
		nr += dax_peek(p + i * SZ_4K) != (DIRTY(i) ? 's' : 0);
	return nr;
}

/* Each promotion is undone, and each is reported as a fallback. */
static void expect_rollbacks(unsigned int nr)
{
	EXPECT_EQ(nr, PROMOTE("try"));
	EXPECT_EQ(nr, PROMOTE("replace"));
	EXPECT_EQ(nr, PROMOTE("rollback"));
	EXPECT_EQ(0, PROMOTE("done"));
}

DAX_VARIANTS(promotion,
	     no_injection() ?: dax_no_promotion(), bool write; int err;)

FIXTURE_VARIANT_ADD(promotion, by_read) { false, EIO };
FIXTURE_VARIANT_ADD(promotion, by_write) { true, EIO };
FIXTURE_VARIANT_ADD(promotion, without_space) { true, EDQUOT };

TEST_F(promotion, promotion_rolls_back)
{
	struct dax_ptes *view = malloc(sizeof(*view));
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = small_entries(fd), *p = dax_map(fd, 0, SZ_2M);
	unsigned int tries;

	dax_snapshot_ptes(view, small);
	dax_trace(fd, NULL);
	inject(begin(variant->write), variant->err, 0, ALWAYS);
	EXPECT_EQ(SIGBUS, dax_touch_signal(p, variant->write, NULL));
	tries = inject_off() - 1;
	ONCE_OR_TWICE(tries);
	EXPECT_EQ(tries, FALLBACKS("iomap-error"));
	expect_rollbacks(tries);
	/*
	 * A write may have got blocks before it failed, so the zero pages are
	 * gone then; everything else is mapped as it was.
	 */
	for (unsigned int i = 0; i < PAGES_2M && variant->write; i++) {
		if (strcmp(view->mapped[i], "4K zero"))
			continue;
		view->mapped[i] = "none";
		view->pfn[i] = 0;
	}
	EXPECT_EQ(0, dax_ptes_changed(view, small));
	/* The entries are small, and those that were dirty are so still. */
	EXPECT_SMALL_FLUSHES(NR_DIRTY(PAGES_2M), fd);
	EXPECT_EQ(0, wrong_bytes(small));

	/* The next one is promoted. */
	dax_trace_clear();
	dax_poke(p + 1, 'p');
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(1, PROMOTE("done"));
	EXPECT_EQ(0, wrong_bytes(small));
	EXPECT_EQ(0, wrong_bytes(p));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

/* The lookup of the first extent succeeds, that of the adjacent one fails. */
TEST_F(reasons, second_extent_of_huge)
{
	char *p;
	int fd = dax_file(SZ_2M, PREALLOC);

	/* Written and unwritten blocks are two extents. */
	dax_fill(fd, 0, SZ_1M, FILL);
	dax_fsync(fd);
	if (!dax_extent_huge(fd, 0)) {
		p = dax_map(fd, 0, SZ_2M);
		dax_trace(fd, NULL);
		EXPECT_EQ(0, FAIL_ONCE(BEGIN_WRITE, EIO, 1,
				       dax_touch_signal(p, true, NULL)));
		EXPECT_EQ(1, FALLBACKS("iomap-error"));
		EXPECT_EQ('w', dax_peek(p));
	}
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p + 1, 'w');
	EXPECT_EQ('w', dax_peek(p + 1));
	EXPECT_BYTES(FILL, p + 2, SZ_1M - 2);
	EXPECT_BYTES(0, p + SZ_1M, SZ_1M);
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

DAX_VARIANTS(collapse,
	     no_injection() ?: dax_no_promotion(), int inject_err, want;)

FIXTURE_VARIANT_ADD(collapse, error) { EIO, EINVAL };
FIXTURE_VARIANT_ADD(collapse, no_memory) { ENOMEM, ENOMEM };
FIXTURE_VARIANT_ADD(collapse, again) { EAGAIN, EAGAIN };

TEST_F(collapse, collapse_rolls_back)
{
	struct dax_ptes *view = malloc(sizeof(*view));
	char *p;
	int fd;

	ASSERT_EQ(NULL, dax_policy("off"));
	fd = dax_file(SZ_2M, WRITTEN);
	dax_peek(dax_map(fd, 9 * SZ_4K, SZ_4K));
	p = dax_map(fd, 0, SZ_2M);
	for (unsigned int i = 0; i < PAGES_2M; i += 3)
		dax_poke(p + i * SZ_4K, 'c');
	ASSERT_MAPPED("4K", p);
	dax_snapshot_ptes(view, p);
	dax_trace(fd, NULL);
	inject(BEGIN_READ, variant->inject_err, 0, ALWAYS);
	EXPECT_EQ(variant->want, dax_collapse(p, SZ_2M));
	EXPECT_EQ(1, inject_off());
	expect_rollbacks(1);
	EXPECT_EQ(1, dax_count("dax_collapse", "result %d", -variant->want));
	EXPECT_EQ(0, dax_ptes_changed(view, p));
	EXPECT_SMALL_FLUSHES((PAGES_2M + 2) / 3, fd);

	EXPECT_EQ(0, dax_collapse(p, SZ_2M));
	EXPECT_MAPPED("2M", p);
	for (unsigned int i = 0; i < PAGES_2M; i++)
		ASSERT_EQ(i % 3 ? FILL : 'c', dax_peek(p + i * SZ_4K));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

static off_t size_of(int fd)
{
	return lseek(fd, 0, SEEK_END);
}

TEST_F(inject, read)
{
	static const int errs[] = { EIO, ENOMEM, EINTR, EUCLEAN };
	char *buf = malloc(2 * SZ_2M);
	int fd = dax_file_fragmented();

	for (unsigned int i = 0; i < ARRAY_LEN(errs); i++) {
		EXPECT_EQ(-errs[i], FAIL_ONCE(BEGIN_READ, errs[i], 0,
					      pread(fd, buf, 2 * SZ_2M, 0)));
	}
	/* The part before the error is read, and its length returned. */
	EXPECT_EQ(DAX_GAP * SZ_4K, FAIL_ONCE(BEGIN_READ, EIO, 1,
					     pread(fd, buf, 2 * SZ_2M, 0)));
	EXPECT_BYTES(FILL, buf, DAX_GAP * SZ_4K);
	dax_read(fd, 0, buf, 2 * SZ_2M);
	EXPECT_BYTES(0, buf + DAX_GAP * SZ_4K, SZ_4K);
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

TEST_F(inject, write)
{
	static const int errs[] = { EIO, ENOMEM, EDQUOT, ENOSPC };
	char *buf = malloc(2 * SZ_2M);
	int fd = dax_file_fragmented();
	char *p = dax_map(fd, 0, SZ_2M);

	dax_peek(p);
	memset(buf, 'n', 2 * SZ_2M);
	for (unsigned int i = 0; i < ARRAY_LEN(errs); i++) {
		EXPECT_EQ(-errs[i], FAIL_ONCE(BEGIN_WRITE, errs[i], 0,
					      pwrite(fd, buf, SZ_2M, 0)));
		EXPECT_BYTES(FILL, p, DAX_GAP * SZ_4K);
	}
	EXPECT_EQ(DAX_GAP * SZ_4K, FAIL_ONCE(BEGIN_WRITE, EIO, 1,
					     pwrite(fd, buf, SZ_2M, 0)));
	EXPECT_BYTES('n', p, DAX_GAP * SZ_4K);
	EXPECT_BYTES(0, p + DAX_GAP * SZ_4K, SZ_4K);
	EXPECT_BYTES(FILL, p + (DAX_GAP + 1) * SZ_4K, SZ_4K);
	EXPECT_EQ(SZ_2M, pwrite(fd, buf, SZ_2M, 0));
	EXPECT_BYTES('n', p, SZ_2M);
	EXPECT_EQ(0, others_fail_at(fd, DAX_GAP * SZ_4K));
}

/* The size grows by what was written, and so not at all. */
TEST_F(inject, append)
{
	int fd = dax_file(SZ_4K, WRITTEN);
	char buf[3 * SZ_4K];

	memset(buf, 'a', sizeof(buf));
	EXPECT_EQ(-ENOSPC, FAIL_ONCE(BEGIN_WRITE, ENOSPC, 0,
				     pwrite(fd, buf, sizeof(buf), SZ_4K)));
	EXPECT_EQ(SZ_4K, size_of(fd));
	EXPECT_EQ(sizeof(buf), pwrite(fd, buf, sizeof(buf), SZ_4K));
	EXPECT_EQ(4 * SZ_4K, size_of(fd));
	dax_fsync(fd);
	EXPECT_FILE('a', fd, SZ_4K, 3 * SZ_4K);
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

/* The page that the new end is in cannot be zeroed. */
TEST_F(inject, truncate)
{
	off_t end = SZ_1M + 100;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);
	int ret;

	dax_poke(p, FILL);
	ret = FAIL_ONCE(BEGIN_WRITE, EIO, 0, ftruncate(fd, end));
	if (dax_is_xfs()) {
		EXPECT_EQ(-EIO, ret);
		EXPECT_EQ(SZ_2M, size_of(fd));
		EXPECT_BYTES(FILL, p, SZ_2M);
	} else {
		/* ext4 cuts the file all the same, and returns 0. */
		EXPECT_EQ(0, ret);
		EXPECT_EQ(end, size_of(fd));
		EXPECT_BYTES(FILL, p, end);
	}
	dax_truncate(fd, end - 1);
	EXPECT_EQ(end - 1, size_of(fd));
	EXPECT_BYTES(FILL, p, end - 1);
	EXPECT_BYTES(0, p + end - 1, SZ_4K - 99);
	dax_truncate(fd, SZ_2M);
	EXPECT_BYTES(0, p + end - 1, SZ_2M - end + 1);
	EXPECT_EQ(0, others_fail_at(fd, 0));
	EXPECT_EQ(0, others_fail_at(fd, end));
}

/* The parts of pages at both ends of a range that is to be zero. */
static void zero_edges(int mode)
{
	off_t start = 5 * SZ_4K + 100, len = 10 * SZ_4K;
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_peek(p);
	for (int skip = 0; skip < 2; skip++) {
		EXPECT_EQ(-EIO, FAIL_ONCE(BEGIN_WRITE, EIO, skip,
					  fallocate(fd, mode, start, len)));
		EXPECT_EQ(SZ_2M, size_of(fd));
		EXPECT_BYTES(FILL, p, start);
		EXPECT_BYTES(FILL, p + start + len, SZ_2M - start - len);
	}
	dax_falloc(fd, mode, start, len);
	EXPECT_PART(0, p, start, start + len, SZ_2M);
	EXPECT_EQ(0, others_fail_at(fd, start + SZ_4K));
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

TEST_F(inject, zero_range)
	DAX_CALL(zero_edges(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
TEST_F(inject, punch_hole) DAX_CALL(zero_edges(PUNCH_HOLE))

DAX_FIXTURE(shared, dax_no_reflink() ?: no_injection())

static void expect_both(int fd, int clone)
{
	char *a = dax_map(fd, 0, SZ_2M), *b = dax_map(clone, 0, SZ_2M);

	EXPECT_BYTES(FILL, a, SZ_2M);
	EXPECT_BYTES(FILL, b, SZ_2M);
	dax_unmap(a, SZ_2M);
	dax_unmap(b, SZ_2M);
}

TEST_F(shared, unshare)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");

	EXPECT_EQ(-ENOSPC, FAIL_ONCE(BEGIN_WRITE, ENOSPC, 0,
				     fallocate(clone, FALLOC_FL_UNSHARE_RANGE, 0,
					       SZ_2M)));
	expect_both(fd, clone);
	EXPECT_EQ(dax_block(fd, 0), dax_block(clone, 0));
	dax_falloc(clone, FALLOC_FL_UNSHARE_RANGE, 0, SZ_2M);
	EXPECT_NE(dax_block(fd, 0), dax_block(clone, 0));
	expect_both(fd, clone);
	EXPECT_EQ(0, others_fail_at(clone, 0));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

/*
 * A write to shared blocks takes 2 MiB at a time, with faults locked out. Where the
 * filesystem fails, they are let in again, and what is written stays written.
 */
TEST_F(shared, write_to_shared)
{
	size_t border = SZ_2M;
	char data[200];
	int fd = dax_file(2 * SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *p = dax_map(clone, 0, 2 * SZ_2M), *q = dax_map(fd, 0, 2 * SZ_2M);

	dax_peek(p);
	dax_peek(p + border);
	memset(data, 'x', sizeof(data));

	EXPECT_EQ(-EIO, FAIL_ONCE(BEGIN_WRITE, EIO, 0,
				  pwrite(clone, data, sizeof(data), border - 100)));
	expect_both(fd, clone);
	EXPECT_BYTES(FILL, p + border, SZ_2M);

	EXPECT_EQ(100, FAIL_ONCE(BEGIN_WRITE, EIO, 1,
				 pwrite(clone, data, sizeof(data), border - 100)));
	EXPECT_PART('x', p, border - 100, border, 2 * SZ_2M);

	EXPECT_EQ(200, pwrite(clone, data, sizeof(data), border - 100));
	EXPECT_BYTES('x', p + border - 100, 200);
	EXPECT_BYTES(FILL, q, 2 * SZ_2M);
	EXPECT_EQ(0, others_fail_at(clone, 0));
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

TEST_F(shared, store_to_shared)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *p = dax_map(clone, 0, SZ_2M), *q = dax_map(fd, 0, SZ_2M);

	dax_peek(p);
	dax_peek(q);
	EXPECT_EQ(SIGBUS, FAIL_ALL(BEGIN_WRITE, ENOSPC,
				   dax_touch_signal(p + SZ_4K, true, NULL)));
	EXPECT_LT(0, hits);
	expect_both(fd, clone);
	dax_poke(p + SZ_4K, 'w');
	EXPECT_EQ('w', dax_peek(p + SZ_4K));
	EXPECT_EQ(FILL, dax_peek(q + SZ_4K));
	EXPECT_EQ(0, others_fail_at(clone, 0));
	EXPECT_EQ(FILL, dax_peek(q));
}

/* Either of two files that are compared. */
TEST_F(shared, dedupe)
{
	int fd = dax_file(SZ_2M, WRITTEN), other = dax_file(SZ_2M, WRITTEN);

	for (int skip = 0; skip < 2; skip++) {
		EXPECT_EQ(-EIO, FAIL_ONCE(BEGIN_READ, EIO, skip,
					  dax_dedupe(fd, 0, SZ_2M, other, 0)));
		expect_both(fd, other);
		EXPECT_NE(dax_block(fd, 0), dax_block(other, 0));
	}
	EXPECT_EQ(SZ_2M, dax_dedupe(fd, 0, SZ_2M, other, 0));
	expect_both(fd, other);
	EXPECT_EQ(0, others_fail_at(other, 0));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

/*
 * ->iomap_end fails. After something was done its error has no one to go to,
 * since that is done; where nothing was, it may be the error that is returned.
 * The files here share nothing: what XFS leaves out was nothing.
 */
TEST_F(inject, end_of_faults)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *small, *p;

	dax_trace(fd, NULL);
	small = dax_map_small(fd, SZ_2M);
	inject(END, EIO, 0, ALWAYS);
	EXPECT_EQ(0, dax_touch_signal(small, true, NULL));
	EXPECT_EQ(0, dax_touch_signal(small + SZ_4K, false, NULL));
	EXPECT_EQ(dax_is_xfs() ? 1 : 2, inject_off());
	EXPECT_EQ('w', dax_peek(small));
	EXPECT_EQ(FILL, dax_peek(small + SZ_4K));

	fd = dax_file(SZ_2M, WRITTEN);
	p = dax_map(fd, 0, SZ_2M);
	EXPECT_EQ(0, FAIL_ALL(END, EIO, dax_touch_signal(p, true, NULL)));
	EXPECT_EQ(1, hits);
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ('w', dax_peek(p));
	EXPECT_BYTES(FILL, p + 1, SZ_2M - 1);
	dax_trace_clear();
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

TEST_F(promoted, end_of_promotion)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = small_entries(fd), *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	EXPECT_EQ(0, FAIL_ALL(END, EIO, dax_touch_signal(p + 1, true, NULL)));
	EXPECT_LE(1, hits);
	EXPECT_EQ(1, PROMOTE("done"));
	EXPECT_EQ(0, PROMOTE("rollback"));
	EXPECT_MAPPED("2M", p);
	EXPECT_EQ(0, wrong_bytes(small));
	EXPECT_EQ(0, wrong_bytes(p));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

/* Nothing came of it, and it fails at the end, too: it falls back. */
TEST_F(reasons, end_of_fallback)
{
	int fd = dax_file_fragmented();
	char *p = dax_map(fd, 0, SZ_2M);

	dax_trace(fd, NULL);
	EXPECT_EQ(0, FAIL_ALL(END, EIO, dax_touch_signal(p + 8 * SZ_4K, true, NULL)));
	EXPECT_LE(2, hits);
	ONCE_OR_TWICE(FALLBACKS("extent-short"));
	EXPECT_EQ(0, FALLBACKS("iomap-error"));
	EXPECT_EQ('w', dax_peek(p + 8 * SZ_4K));
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

TEST_F(inject, end_of_io)
{
	char *buf = malloc(SZ_2M), *bad;
	int fd = dax_file(SZ_2M, WRITTEN);

	memset(buf, 'n', SZ_2M);
	EXPECT_EQ(SZ_2M, FAIL_ALL(END, EIO, pwrite(fd, buf, SZ_2M, 0)));
	EXPECT_LE(1, hits);
	memset(buf, 0, SZ_2M);
	EXPECT_EQ(SZ_2M, FAIL_ALL(END, EIO, pread(fd, buf, SZ_2M, 0)));
	EXPECT_BYTES('n', buf, SZ_2M);

	/* The caller gets the error of its own mistake. */
	bad = dax_anonymous(SZ_4K, PROT_NONE);
	EXPECT_EQ(-EFAULT, FAIL_ALL(END, EIO, pwrite(fd, bad, SZ_4K, 0)));
	EXPECT_EQ(1, hits);
	EXPECT_FILE('n', fd, 0, SZ_2M);
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

/*
 * Pages that cannot be allocated: page tables, and the copy of a private write.
 * mm repeats such a fault until there is memory.
 */
#define SZ_1G	(512 * SZ_2M)

/* Where there is no page table yet, of any level that a process can lack. */
static char *map_afar(int fd, int flags, size_t shift, unsigned int nr)
{
	char *p = (char *)((64UL << 40) + nr * SZ_1G + shift);

	p = mmap(p, SZ_2M, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (p == MAP_FAILED)
		dax_exit_fail("mmap at %p: %m", p);
	return p;
}

DAX_FIXTURE(pages, no_page_failures())

DAX_VARIANTS(without_pages,
	     no_page_failures(), enum dax_layout layout; int flags; size_t shift; bool write;)

FIXTURE_VARIANT_ADD(without_pages, small_read) { WRITTEN, MAP_SHARED, SZ_4K, false };
FIXTURE_VARIANT_ADD(without_pages, small_write) { WRITTEN, MAP_SHARED, SZ_4K, true };
FIXTURE_VARIANT_ADD(without_pages, huge_write) { WRITTEN, MAP_SHARED, 0, true };
FIXTURE_VARIANT_ADD(without_pages, hole) { HOLE, MAP_SHARED, 0, false };
FIXTURE_VARIANT_ADD(without_pages, private_copy) { WRITTEN, MAP_PRIVATE, 0, true };

TEST_F(without_pages, fault_without_pages)
{
	char byte = variant->layout == WRITTEN ? FILL : 0, *p, *q;
	int fd = dax_file(SZ_2M, variant->layout);

	q = dax_map_small(fd, SZ_2M);
	/* The filesystem has its own pages for a store. */
	dax_poke(q + 511 * SZ_4K, byte);
	for (int nr = 1; nr <= 6; nr++) {
		char *at;

		p = map_afar(fd, variant->flags, variant->shift, nr);
		at = p + (300 + nr) * SZ_4K;
		fail_pages(nr);
		EXPECT_EQ(0, dax_touch_signal(at, variant->write, NULL));
		EXPECT_EQ(nr, fail_pages_off());
		EXPECT_EQ(variant->write ? 'w' : byte, dax_peek(at));
		EXPECT_EQ(variant->write && variant->flags == MAP_SHARED ? 'w' : byte,
			  dax_peek(q + (300 + nr) * SZ_4K));
		EXPECT_BYTES(byte, at + 1, SZ_4K - 1);
		dax_unmap(p, SZ_2M);
	}
	EXPECT_EQ(0, others_fail_at(fd, 0));
	EXPECT_EQ(0, others_fail_at(fd, SZ_1M));
}

/* Such a fault is not lost on one that waits for the same entry. */
static char *rival;

static void fault_and_zap(unsigned long nr)
{
	dax_poke(rival, 'r');
	dax_zap(rival, SZ_4K);
}

TEST_F(pages, no_page_table_beside_another)
{
	unsigned int rounds = dax_scale(60);
	int hits = 0;
	int fd = dax_file(SZ_2M, WRITTEN);
	unsigned long touched;

	rival = dax_map_small(fd, SZ_2M);
	dax_background(fault_and_zap);
	for (unsigned int i = 0; i < rounds; i++) {
		char *p = map_afar(fd, MAP_SHARED, SZ_4K, i);

		fail_pages(3);
		EXPECT_EQ(0, dax_touch_signal(p, i % 2, NULL));
		hits += fail_pages_off();
		dax_unmap(p, SZ_2M);
	}
	touched = dax_background_stop();
	dax_print_msg("%u faults, %d pages refused, %lu faults of the other",
		      rounds, hits, touched);
	EXPECT_EQ(3 * rounds, hits);
	EXPECT_LT(0, touched);
	EXPECT_EQ(0, others_fail_at(fd, 0));
}

/* And nothing that was allocated on the way stays behind. */
TEST_F(promoted, no_leak)
{
	unsigned int tries = 100, failed = 0;
	int fd = dax_file(SZ_2M, PREALLOC);
	char *small = small_entries(fd), *p = dax_map(fd, 0, SZ_2M);
	long before = dax_slab_objects("radix_tree_node"), more;

	/* Each try promotes, which takes nine nodes, and comes back. */
	inject(BEGIN_READ, EIO, 0, ALWAYS);
	for (unsigned int i = 0; i < tries; i++)
		failed += dax_touch_signal(p, false, NULL) == SIGBUS;
	EXPECT_LE(2 * tries, inject_off());
	EXPECT_EQ(tries, failed);
	/* RCU frees the nodes later. */
	more = dax_slab_objects("radix_tree_node") - before;
	dax_print_msg("%u promotions undone, %ld nodes more at once", tries, more);
	EXPECT_TRUE(dax_wait_for((long)dax_slab_objects("radix_tree_node") - before <
				 (long)tries));
	EXPECT_EQ(0, wrong_bytes(small));
	expect_balance();
}

TEST_HARNESS_MAIN
