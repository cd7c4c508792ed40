/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of KUnit as lets fs/tests/dax_*_kunit.c, and the tests of this
 * folder, run in user space.  kunit.c is the runner.
 */
#ifndef _KUNIT_TEST_H
#define _KUNIT_TEST_H

#include <linux/fs.h>

#define KUNIT_PARAM_DESC_SIZE	128

struct kunit {
	void *priv;
	const void *param_value;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
	const void *(*generate_params)(const void *prev, char *desc);
};

struct kunit_suite {
	const char *name;
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

void kunit_add_suite(struct kunit_suite *suite);
void kunit_comment(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
/* Does not return if @fatal. */
void kunit_fail(struct kunit *test, bool fatal, const char *file, int line,
		const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void kunit_skip(struct kunit *test, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));

#define kunit_err(test, fmt, ...)	kunit_comment(fmt "\n", ##__VA_ARGS__)
#define kunit_info(test, fmt, ...)	kunit_comment(fmt "\n", ##__VA_ARGS__)

#define KUNIT_CASE(fn)		{ .run_case = fn, .name = #fn }
#define KUNIT_CASE_PARAM(fn, gen) \
	{ .run_case = fn, .name = #fn, .generate_params = gen }

#define KUNIT_ARRAY_PARAM_DESC(name, array, desc_member)		\
static const void *name##_gen_params(const void *prev, char *desc)	\
{									\
	typeof(&(array)[0]) next = prev ? (typeof(next))prev + 1 : (array); \
									\
	if (next - (array) >= (long)ARRAY_SIZE(array))			\
		return NULL;						\
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s", next->desc_member);	\
	return next;							\
}

#define kunit_test_suites(...)						\
static void __attribute__((constructor)) kunit_add_suites(void)		\
{									\
	struct kunit_suite *suites[] = { __VA_ARGS__ };			\
									\
	for (unsigned long i = 0; i < ARRAY_SIZE(suites); i++)		\
		kunit_add_suite(suites[i]);				\
}

#define KUNIT_TRUTH(test, fatal, cond, want, fmt, ...)			\
do {									\
	bool __truth = (cond);						\
									\
	if (__truth != (want))						\
		kunit_fail(test, fatal, __FILE__, __LINE__,		\
			   "%s is %s" fmt, #cond,			\
			   (want) ? "false" : "true", ##__VA_ARGS__);	\
} while (0)

#define KUNIT_COMPARE(test, fatal, left, op, right, fmt, ...)		\
do {									\
	const typeof(left) __left = (left);				\
	const typeof(right) __right = (right);				\
									\
	if (!(__left op __right))					\
		kunit_fail(test, fatal, __FILE__, __LINE__,		\
			   "not %s %s %s: %#lx and %#lx" fmt,		\
			   #left, #op, #right, (long)__left,		\
			   (long)__right, ##__VA_ARGS__);		\
} while (0)

#define KUNIT_STRINGS(test, fatal, left, right)				\
do {									\
	const char *__left = (left);					\
	const char *__right = (right);					\
									\
	if (strcmp(__left, __right))					\
		kunit_fail(test, fatal, __FILE__, __LINE__,		\
			   "not %s == %s: \"%s\" and \"%s\"",		\
			   #left, #right, __left, __right);		\
} while (0)

#define KUNIT_EXPECT_TRUE(test, cond)	KUNIT_TRUTH(test, false, cond, true, "")
#define KUNIT_EXPECT_FALSE(test, cond)	KUNIT_TRUTH(test, false, cond, false, "")
#define KUNIT_ASSERT_TRUE(test, cond)	KUNIT_TRUTH(test, true, cond, true, "")
#define KUNIT_ASSERT_TRUE_MSG(test, cond, fmt, ...) \
	KUNIT_TRUTH(test, true, cond, true, ": " fmt, ##__VA_ARGS__)

#define KUNIT_EXPECT_EQ(test, l, r)	KUNIT_COMPARE(test, false, l, ==, r, "")
#define KUNIT_EXPECT_NE(test, l, r)	KUNIT_COMPARE(test, false, l, !=, r, "")
#define KUNIT_EXPECT_GT(test, l, r)	KUNIT_COMPARE(test, false, l, >, r, "")
#define KUNIT_EXPECT_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_COMPARE(test, false, l, ==, r, ": " fmt, ##__VA_ARGS__)
#define KUNIT_EXPECT_PTR_EQ_MSG(test, l, r, fmt, ...) \
	KUNIT_COMPARE(test, false, l, ==, r, ": " fmt, ##__VA_ARGS__)
#define KUNIT_ASSERT_EQ(test, l, r)	KUNIT_COMPARE(test, true, l, ==, r, "")
#define KUNIT_ASSERT_NE(test, l, r)	KUNIT_COMPARE(test, true, l, !=, r, "")
#define KUNIT_ASSERT_LT(test, l, r)	KUNIT_COMPARE(test, true, l, <, r, "")
#define KUNIT_EXPECT_PTR_EQ(test, l, r)	KUNIT_COMPARE(test, false, l, ==, r, "")
#define KUNIT_EXPECT_PTR_NE(test, l, r)	KUNIT_COMPARE(test, false, l, !=, r, "")
#define KUNIT_ASSERT_PTR_EQ(test, l, r)	KUNIT_COMPARE(test, true, l, ==, r, "")
#define KUNIT_EXPECT_NULL(test, p)	KUNIT_TRUTH(test, false, p, false, "")
#define KUNIT_ASSERT_NOT_NULL(test, p)	KUNIT_TRUTH(test, true, p, true, "")
#define KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p) \
	KUNIT_TRUTH(test, true, !IS_ERR_OR_NULL(p), true, "")
#define KUNIT_EXPECT_STREQ(test, l, r)	KUNIT_STRINGS(test, false, l, r)
#define KUNIT_ASSERT_STREQ(test, l, r)	KUNIT_STRINGS(test, true, l, r)

#endif /* _KUNIT_TEST_H */
