/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The helpers of dax_test.h for the kselftest harness: the fixture, reasons to
 * skip, and assertions about mappings.
 */
#ifndef DAX_HARNESS_H
#define DAX_HARNESS_H

#include "dax_test.h"
#include "kselftest_harness.h"

/*
 * Only a hang reaches the timeout. Software emulation with KASAN is some hundred
 * times slower than hardware, and the host may be busy.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT (DAX_HANG_SECONDS + 30)

/*
 * The running test, so that helpers can use EXPECT_*() and ASSERT_*(). In the
 * body of a test, a parameter of the harness hides it.
 */
static struct __test_metadata *_metadata;

static inline void dax_this_test(struct __test_metadata *test)
{
	_metadata = test;
}

/*
 * Makes a fresh folder for the test, or skips it if the expression gives a
 * reason. A setup that skips has no teardown: this is the place for it.
 */
#define DAX_SETUP_IF(reason_expr) do {					\
	const char *__why;						\
									\
	dax_this_test(_metadata);					\
	if (!getenv("DAX_DIR"))						\
		SKIP(return, "DAX_DIR names no DAX mount: use run_dax_tests.sh"); \
	dax_test_setup();						\
	__why = (reason_expr);						\
	if (__why) {							\
		dax_test_teardown();					\
		SKIP(return, "%s", __why);				\
	}								\
} while (0)

/* The needs of all tests of a program: a reason to skip, or NULL. */
#define DAX_NEEDS(reason_expr)	\
	const char *dax_needs(void) { return reason_expr; }

/* A test whose body is one call. */
#define DAX_CALL(call)	{ call; }

#define DAX_TEARDOWN() do {	\
	dax_cleanup();		\
	dax_test_teardown();	\
	dax_restore();		\
} while (0)

/*
 * A fixture that has other needs than the rest of the program. The needs may
 * name the variant, if FIXTURE_VARIANT() is before this.
 */
#define DAX_FIXTURE(name, reason_expr)	\
	FIXTURE(name) {};		\
	FIXTURE_SETUP(name) { DAX_SETUP_IF(reason_expr); }	\
	FIXTURE_TEARDOWN(name) { DAX_TEARDOWN(); }

/*
 * The same for tests that all begin with a file, self->fd, and a mapping of it,
 * self->p.
 */
#define DAX_FILE_FIXTURE(name, reason_expr, file, mapping)	\
	FIXTURE(name) { int fd; char *p; };	\
	FIXTURE_SETUP(name) {			\
		DAX_SETUP_IF(reason_expr);	\
		self->fd = file;		\
		self->p = mapping;		\
	}					\
	FIXTURE_TEARDOWN(name) { DAX_TEARDOWN(); }

/* One whose variants have these members. */
#define DAX_VARIANTS(name, reason_expr, ...)	\
	FIXTURE_VARIANT(name) { __VA_ARGS__ };	\
	DAX_FIXTURE(name, reason_expr)

/* One with two variants, which differ in a flag. */
#define DAX_EITHER(name, reason_expr, flag, without, with)	\
	DAX_VARIANTS(name, reason_expr, bool flag;)		\
	FIXTURE_VARIANT_ADD(name, without) { false };		\
	FIXTURE_VARIANT_ADD(name, with) { true }

/*
 * The fixture of most tests. dax_test_teardown() removes the files, mappings
 * and mounts that a test leaves behind.
 */
DAX_FIXTURE(dax, dax_needs())

/*
 * Run the tests of a fixture with entries of both sizes. A mapping that is off
 * colour, or shorter than 2 MiB, gets 4 KiB entries.
 */
#define DAX_BOTH_SIZES(name)					\
	FIXTURE_VARIANT_ADD(name, 4k) { SZ_4K, SZ_4K, "4K" };	\
	FIXTURE_VARIANT_ADD(name, 2m) { 0, SZ_2M, "2M" }
#define DAX_SIZES(name)								\
	FIXTURE_VARIANT(name) { size_t shift, size; const char *mapped; };	\
	DAX_BOTH_SIZES(name)
/* Each with a file and a mapping, which may depend on the size. */
#define DAX_SIZES_FILE(name, file, mapping)					\
	FIXTURE_VARIANT(name) { size_t shift, size; const char *mapped; };	\
	DAX_FILE_FIXTURE(name, dax_needs(), file, mapping)			\
	DAX_BOTH_SIZES(name)

/* Skips the test if the expression gives a reason to. */
#define NEED(reason_expr) do {						\
	const char *__why = (reason_expr);				\
									\
	if (__why)							\
		SKIP(return, "%s", __why);				\
} while (0)

#define NEED_EVENT(event)	NEED(dax_no_event(event))
/* A core with dax_grab_entry must have dax_walk; the test skips on others. */
static inline const char *dax_no_walks(void)
{
	if (dax_has_event("dax_grab_entry"))
		EXPECT_TRUE(dax_has_event("dax_walk"));
	return dax_no_event("dax_grab_entry");
}

static inline const char *dax_no_reflink(void)
{
	return dax_is_xfs() ? NULL : "reflink is a feature of XFS";
}

#define NEED_XFS()	NEED(dax_no_reflink())

/* A walk rests after 2 MiB, and one entry more. */
#define WALK_PAGES	(2 * PAGES_2M)

/*
 * Some kernels take a fault on ext4 twice when it falls back to 4 KiB: under the
 * VMA lock, where ext4 refuses it, and under the mmap lock.
 */
#define ONCE_OR_TWICE(count) do {	\
	unsigned int __count = (count);	\
					\
	EXPECT_LE(1, __count);		\
	EXPECT_GE(2, __count);		\
} while (0)

/* mm also tries 1 GiB, for the first mapping in a range of 1 GiB. */
#define FALLBACKS(why) \
	dax_count("dax_fault_fallback", "order 9, reason %s", why)
#define ALL_FALLBACKS()	dax_count("dax_fault_fallback", "order %s", "9")

/* Faults with @result, also with MAJOR, which may come first or last. */
static inline unsigned int dax_count_ends(const char *event, const char *result)
{
	return dax_count(event, "%s", result) +
	       dax_count(event, "MAJOR|%s", result) +
	       dax_count(event, "%s|MAJOR", result);
}

/* Faults since the last dax_trace_clear(), by the size that mm asks for. */
#define SMALL_FAULTS()	dax_count_all("dax_pte_fault")
#define HUGE_FAULTS()	dax_count_all("dax_pmd_fault")
/* Those that mapped a page of that size. */
#define SMALL_MAPPED()	dax_count_ends("dax_pte_fault_done", "NOPAGE")
#define HUGE_MAPPED()	dax_count_ends("dax_pmd_fault_done", "NOPAGE")

/* In a file of small entries: some pages, far from each other, are stored to. */
#define DIRTY(page)	((page) % 50 == 7)
#define NR_DIRTY(pages)	(((pages) + 42) / 50)

/* Small entries become huge when a fault of 2 MiB meets them. */
static inline const char *dax_no_promotion(void)
{
	return dax_policy("fault") ?: dax_no_event("dax_promote_entry");
}

/* Steps of promotions, by the names of the counters. */
#define PROMOTE(action)	dax_count("dax_promote_entry", "order 9, %s", action)
#define PROMOTED(nr, mapped, zero, dirty) \
	dax_count("dax_promote_entry", \
		  "order 9, entries %u mapped %u zero %u dirty %u done", \
		  nr, mapped, zero, dirty)

/*
 * No promotion may be under way any more, and none may have been lost: each try
 * ended in one way, and each replacement in one of two.
 */
static inline void expect_balance(void)
{
	EXPECT_EQ(dax_promotions("try"),
		  dax_promotions("refuse-fragmented") +
		  dax_promotions("refuse-locked") +
		  dax_promotions("refuse-no-memory") +
		  dax_promotions("gone") + dax_promotions("replace"));
	EXPECT_EQ(dax_promotions("replace"),
		  dax_promotions("rollback") + dax_promotions("done"));
}

#define EXPECT_ERRNO(err, call) do {	\
	EXPECT_EQ(-1, call);		\
	EXPECT_EQ(err, errno);		\
} while (0)
/* read(2) must return these bytes. */
#define EXPECT_FILE(byte, fd, off, len)	\
	EXPECT_TRUE(dax_file_has(fd, off, len, byte))
/* The pipe must hold the page that dax_into_pipe() has put there. */
#define EXPECT_PIPED(byte, pipe_fd) do {				\
	char __page[SZ_4K];						\
									\
	ASSERT_EQ((ssize_t)SZ_4K, read((pipe_fd)[0], __page, SZ_4K));	\
	EXPECT_BYTES(byte, __page, SZ_4K);				\
} while (0)
/* Flushes since the last dax_trace_clear(); with an fsync first. */
#define FLUSHES()	dax_count_all("dax_writeback_one")
#define EXPECT_FLUSHES(nr, fd) do {	\
	dax_fsync(fd);			\
	EXPECT_EQ(nr, FLUSHES());	\
} while (0)
/* The same of these bytes, as one piece. */
#define FLUSHED(off, len) \
	dax_count("dax_writeback_one", "pgoff 0x%lx, pglen 0x%lx", \
		  (off) / SZ_4K, (len) / SZ_4K)
/* From here on, and each of them is of one page. */
#define EXPECT_SMALL_FLUSHES(nr, fd) do {				\
	dax_trace_clear();						\
	EXPECT_FLUSHES(nr, fd);						\
	EXPECT_EQ(nr, dax_count("dax_writeback_one", "pglen 0x1"));	\
} while (0)
/* An fsync flushes these bytes, and no more. */
#define EXPECT_FLUSHED(fd, off, len) do {	\
	EXPECT_FLUSHES(1, fd);			\
	EXPECT_EQ(1, FLUSHED(off, len));	\
} while (0)
#define EXPECT_MAPPED(size, addr)	EXPECT_STREQ(size, dax_mapped(addr))
#define ASSERT_MAPPED(size, addr)	ASSERT_STREQ(size, dax_mapped(addr))
#define EXPECT_BYTES(byte, buf, len)	\
	EXPECT_EQ(-1, dax_differs(buf, len, byte))
/* Of @all bytes, those from @at to @end are @byte, and the others FILL. */
#define EXPECT_PART(byte, buf, at, end, all) do {		\
	EXPECT_BYTES(FILL, buf, at);				\
	EXPECT_BYTES(byte, (buf) + (at), (end) - (at));		\
	EXPECT_BYTES(FILL, (buf) + (end), (all) - (end));	\
} while (0)
#define ASSERT_BYTES(byte, buf, len)	\
	ASSERT_EQ(-1, dax_differs(buf, len, byte))

#endif
