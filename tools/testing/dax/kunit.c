// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the KUnit suites that are linked with it, and says KTAP.
 *
 *	PROGRAM [WORD]	runs the cases whose name has WORD in it
 *
 * With DAX_TEST_STOP set, the program ends at the first failure.
 *
 * A case that takes longer than DAX_TEST_ALARM seconds (120) hangs.  The program
 * then prints which task sleeps on which entry, and ends.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <kunit/test.h>

enum outcome {
	PASSED,
	FAILED,
	SKIPPED,
};

#define MAX_SUITES	8

static struct kunit_suite *suites[MAX_SUITES];
static unsigned int nr_suites;

/* Of all cases, a parameter being a case. */
static unsigned int nr[3];

/* The case that runs. */
static const char *name;
static enum outcome outcome;
static char reason[200];
static jmp_buf out;
static unsigned int seconds = 120;

void kunit_add_suite(struct kunit_suite *suite)
{
	assert(nr_suites < MAX_SUITES);
	suites[nr_suites++] = suite;
}

void kunit_comment(const char *fmt, ...)
{
	va_list args;

	printf("# %s: ", name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

void kunit_fail(struct kunit *test, bool fatal, const char *file, int line,
		const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;

	printf("# %s: failed at %s:%d: ", name, base ? base + 1 : file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	outcome = FAILED;
	if (fatal)
		longjmp(out, 1);
}

void kunit_skip(struct kunit *test, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	outcome = SKIPPED;
	longjmp(out, 1);
}

static void print_totals(void)
{
	printf("%u passed, %u failed, %u skipped\n", nr[PASSED], nr[FAILED],
	       nr[SKIPPED]);
}

/* Nothing moves, so printf() is as good as it will get. */
static void hang(int sig)
{
	printf("# %s: hangs since %u seconds\n", name, seconds);
	shim_show_tasks();
	printf("not ok 1 %s # hangs\n", name);
	printf("Bail out!\n");
	nr[FAILED]++;
	print_totals();
	fflush(stdout);
	_exit(1);
}

static void check_no_warning(struct kunit *test)
{
	unsigned int warnings = shim_nr_warnings;

	if (warnings)
		kunit_fail(test, false, __FILE__, __LINE__,
			   "%u warnings, the last: %s", warnings,
			   shim_last_warning);
	shim_nr_warnings = 0;
}

static enum outcome run(struct kunit_suite *suite, struct kunit_case *c,
			const void *param)
{
	struct kunit test = { .param_value = param };

	outcome = PASSED;
	fflush(stdout);
	alarm(seconds);
	if (!setjmp(out)) {
		if (suite->init && suite->init(&test))
			kunit_fail(&test, true, __FILE__, __LINE__,
				   "the suite's init failed");
		c->run_case(&test);
		check_no_warning(&test);
	}
	if (!setjmp(out) && suite->exit)
		suite->exit(&test);
	alarm(0);
	shim_nr_warnings = 0;
	nr[outcome]++;
	if (outcome == FAILED && getenv("DAX_TEST_STOP")) {
		print_totals();
		fflush(stdout);
		_exit(1);
	}
	return outcome;
}

static void print_result(const char *indent, enum outcome result,
			 unsigned int number, const char *what)
{
	printf("%s%sok %u %s%s%s\n", indent, result == FAILED ? "not " : "",
	       number, what, result == SKIPPED ? " # SKIP " : "",
	       result == SKIPPED ? reason : "");
}

static enum outcome run_params(struct kunit_suite *suite, struct kunit_case *c)
{
	char desc[KUNIT_PARAM_DESC_SIZE];
	const void *param = NULL;
	enum outcome all = SKIPPED;
	unsigned int number = 0;

	printf("        KTAP version 1\n        # Subtest: %s\n", c->name);
	while ((param = c->generate_params(param, desc))) {
		enum outcome one = run(suite, c, param);

		print_result("        ", one, ++number, desc);
		if (one == FAILED || (one == PASSED && all == SKIPPED))
			all = one;
	}
	printf("        1..%u\n", number);
	snprintf(reason, sizeof(reason), "all of them");
	return all;
}

static bool selected(struct kunit_case *c, const char *word)
{
	return !word || strstr(c->name, word);
}

static enum outcome run_suite(struct kunit_suite *suite, const char *word)
{
	enum outcome all = PASSED;
	unsigned int number = 0;

	printf("    KTAP version 1\n    # Subtest: %s\n", suite->name);
	for (struct kunit_case *c = suite->test_cases; c->run_case; c++)
		number += selected(c, word);
	printf("    1..%u\n", number);
	number = 0;
	for (struct kunit_case *c = suite->test_cases; c->run_case; c++) {
		enum outcome one;

		if (!selected(c, word))
			continue;
		name = c->name;
		one = c->generate_params ? run_params(suite, c) :
					   run(suite, c, NULL);
		print_result("    ", one, ++number, c->name);
		if (one == FAILED)
			all = FAILED;
	}
	return all;
}

int main(int argc, char **argv)
{
	const char *limit = getenv("DAX_TEST_ALARM");
	const char *word = argv[1];

	if (argc > 2) {
		fprintf(stderr, "usage: %s [WORD]\n", argv[0]);
		return 2;
	}
	if (limit)
		seconds = atoi(limit);
	signal(SIGALRM, hang);
	printf("KTAP version 1\n1..%u\n", nr_suites);
	for (unsigned int i = 0; i < nr_suites; i++)
		print_result("", run_suite(suites[i], word), i + 1,
			     suites[i]->name);
	if (!nr[PASSED] && !nr[FAILED] && !nr[SKIPPED])
		printf("# no case has '%s' in its name\n", word);
	print_totals();
	return nr[FAILED] || !(nr[PASSED] + nr[SKIPPED]);
}
