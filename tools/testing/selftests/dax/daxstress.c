// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: random operations on DAX files, for a number of steps or seconds.
 *
 * Without arguments it is a short selftest like the others, on the mount that
 * DAX_DIR names. With long options it runs on its own for a given time; see
 * "daxstress --help".
 *
 * It runs rounds, which begin with empty files. A profile says which operations
 * they have, how often, and on what. With one worker the seed alone determines
 * a round. When such a round diverges from the model, the program searches for
 * the smallest list of operations that still diverges and prints it. With more
 * workers the order is left to chance, and there is no replay.
 *
 * Other tests drop some stores, writes and holes on purpose, and check that the
 * program detects it.
 */
#include <getopt.h>

#include "dax_harness.h"
#include "stress.h"

/*
 * Name and mix; files, their size, and mappings; threads, processes, and steps;
 * when to promote.
 */
static const struct profile profiles[] = {
	/* Every operation. */
	{ "stream", MIX_STREAM, 3, STRESS_LEN, 10, 1, 1, 10000 },
	/* Operations that race with each other. */
	{ "threads", MIX_CROWD, 2, STRESS_LEN, 10, 4, 1, 10000 },
	{ "processes", MIX_CROWD, 2, STRESS_LEN, 10, 1, 4, 10000 },
	{ "both", MIX_CROWD, 2, STRESS_LEN, 10, 2, 2, 10000 },
	/* Unlinked heaps and sparse maps: stores allocate, punches give back. */
	{ "heap", MIX_CROWD, 2, STRESS_LEN, 10, 4, 1, 10000, .heap = true },
	/* Promotions, while other workers use what is promoted. */
	{ "promote", MIX_PROMOTION, 1, 2 * SZ_2M, 4, 6, 1, 5000,
	  "fault", .whole = true },
	{ "promote-eager", MIX_PROMOTION, 1, 2 * SZ_2M, 4, 6, 1, 5000,
	  "eager", .whole = true },
	{ "promote-processes", MIX_PROMOTION, 1, 2 * SZ_2M, 4, 1, 6, 5000,
	  "fault", .whole = true },
	{ "promote-processes-eager", MIX_PROMOTION, 1, 2 * SZ_2M, 4, 1, 6, 5000,
	  "eager", .whole = true },
	{ "promote-clones", MIX_PROMOTION, 2, 2 * SZ_2M, 6, 6, 1, 5000,
	  "fault", .whole = true },
	/* Each operation on a file, with a look at all of it. */
	{ "file", MIX_FILE, 2, STRESS_LEN, 3, 1, 1, 150,
	  .whole = true, .large = true, .compare = true },
	{ "file-huge", MIX_FILE, 2, STRESS_LEN, 3, 1, 1, 150,
	  .whole = true, .huge = true, .large = true, .compare = true },
};

static const struct profile *profile_named(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_LEN(profiles); i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Reports of a divergence, and how to see it again. */

static void report_divergence(const struct target *target,
			      const struct ops *ops, struct report *report,
			      enum verdict verdict)
{
	struct shrunk shrunk;

	if (verdict == ROUND_HUNG)
		dax_print_msg("a hang is not shortened: --tell prints each operation first");
	if (verdict == ROUND_NOT_RUN || verdict == ROUND_HUNG)
		return;
	round_shrink(target, ops, verdict, &shrunk);
	if (shrunk.verdict == ROUND_CLEAN) {
		dax_print_msg("it does not happen again from empty files: no replay");
		return;
	}
	dax_print_msg("%u operations are left after %u tries:", shrunk.ops.nr,
		      shrunk.tries);
	fflush(stderr);
	round_run(target, &shrunk.ops, report, true);
	dax_print_msg("%s", report->text);
	dax_print_msg("the lines above are for --profile %s --replay",
		      target->profile->name);
	free(shrunk.ops.op);
}

/* Rounds: @steps are those of each worker. */

static bool one_round(const struct target *target, uint64_t seed,
		      unsigned int round, unsigned int steps, bool describe,
		      struct tally *tally)
{
	bool alone = profile_workers(target->profile) == 1;
	struct report *report = dax_shared(sizeof(*report));
	enum verdict verdict;
	struct ops ops = {};

	if (alone) {
		round_choose(&ops, target, seed, round, steps);
		verdict = round_run(target, &ops, report, describe);
	} else {
		verdict = load_run(target, seed, round, steps, report);
	}
	tally_add(tally, report, verdict);
	if (verdict != ROUND_CLEAN) {
		dax_print_msg("seed %llu round %u step %u: %s: %s",
			      (unsigned long long)seed, round, report->step,
			      verdict_name(verdict), report->text);
		dax_print_msg("all of it: --profile %s --seed %llu --from-round %u --steps %u",
			      target->profile->name, (unsigned long long)seed,
			      round, steps);
	}
	if (verdict != ROUND_CLEAN && alone)
		report_divergence(target, &ops, report, verdict);
	free(ops.op);
	munmap(report, sizeof(*report));
	return verdict == ROUND_CLEAN;
}

/* More than that would leave the clock out of sight. */
static unsigned int steps_of_round(const struct profile *profile)
{
	return ROUND_STEPS / profile_workers(profile);
}

/* The folder of this test, which goes with all that is in it. */
static struct target here(const char *profile)
{
	return (struct target){
		.profile = profile_named(profile), .dir = dax_work_dir(),
	};
}

static const char *spare_device(void)
{
	const char *device = dax_scratch_device();

	return device && device[0] ? device : NULL;
}

static unsigned long how_often(const struct tally *tally, const char *name)
{
	for (unsigned int i = 0; i < ops_nr(); i++)
		if (!strcmp(ops_name(i), name))
			return tally->sum.done[i];
	return 0;
}

static void all_rounds(struct target *target, uint64_t seed)
{
	const struct profile *profile = target->profile;
	unsigned int steps = dax_scale(profile->steps) / profile_workers(profile);
	struct tally tally = {};

	target_probe(target, true);
	for (unsigned int round = 0; steps; round++) {
		unsigned int part = min_size(steps, steps_of_round(profile));

		ASSERT_TRUE(one_round(target, seed, round, part, false, &tally));
		steps -= part;
	}
	tally_print(&tally);
	EXPECT_LT(0, tally.operations);
	if (target->hwpoison)
		EXPECT_LT(0, how_often(&tally, "poison"));
}

DAX_VARIANTS(profile, NULL, const char *name;)

FIXTURE_VARIANT_ADD(profile, one_stream) { "stream" };
FIXTURE_VARIANT_ADD(profile, threads) { "threads" };
FIXTURE_VARIANT_ADD(profile, processes) { "processes" };
FIXTURE_VARIANT_ADD(profile, threads_of_processes) { "both" };
FIXTURE_VARIANT_ADD(profile, unlinked_heap) { "heap" };
FIXTURE_VARIANT_ADD(profile, file_in_both_sizes) { "file" };
FIXTURE_VARIANT_ADD(profile, file_in_huge_pages) { "file-huge" };
FIXTURE_VARIANT_ADD(profile, promote_threads) { "promote" };
FIXTURE_VARIANT_ADD(profile, promote_threads_eager) { "promote-eager" };
FIXTURE_VARIANT_ADD(profile, promote_processes) { "promote-processes" };
FIXTURE_VARIANT_ADD(profile, promote_processes_eager)
	{ "promote-processes-eager" };
FIXTURE_VARIANT_ADD(profile, promote_clones) { "promote-clones" };

TEST_F(profile, agrees_with_model)
{
	struct target target = here(variant->name);
	const struct profile *profile = target.profile;
	unsigned long done;

	target.outside = spare_device();
	if (!profile->policy) {
		all_rounds(&target, 1);
		return;
	}
	NEED(profile->files > 1 ? dax_no_reflink() : NULL);
	NEED(dax_policy(profile->policy));
	done = dax_promotions("done");
	all_rounds(&target, 1);
	expect_balance();
	dax_print_msg("%lu promoted", dax_promotions("done") - done);
	EXPECT_LT(done, dax_promotions("done"));
}

static const char *scratch_fs(void)
{
	if (!spare_device())
		return "needs a second device in DAX_SCRATCH";
	return dax_scratch(600, dax_is_xfs() ? "-m reflink=1,rmapbt=1" : "",
			   "dax=always");
}

DAX_FIXTURE(scratch, scratch_fs())

TEST_F(scratch, stream_with_remounts)
{
	struct target target = here("stream");

	target.device = dax_scratch_device();
	target.mount = dax_dir();
	all_rounds(&target, 3);
}

TEST_F(scratch, stream_with_memory_failure)
{
	struct target target = here("stream");

	NEED(access("/proc/sys/vm/memory_failure_early_kill", F_OK) ?
	     "needs CONFIG_MEMORY_FAILURE" : NULL);
	target.hwpoison = true;
	all_rounds(&target, 4);
}

/* It notices what is lost, and what it then prints is short and repeats it. */
static void notices(enum stress_break broken, unsigned int enough)
{
	struct report *report = dax_shared(sizeof(*report));
	struct target target = here("stream");
	struct shrunk shrunk;
	struct ops ops;
	FILE *text;

	target.no_drop_caches = true;
	target.broken = broken;
	target_probe(&target, false);
	round_choose(&ops, &target, 6, 0, 5000);
	ASSERT_EQ(ROUND_DIVERGED, round_run(&target, &ops, report, false));
	dax_print_msg("step %u: %s", report->step, report->text);
	round_shrink(&target, &ops, ROUND_DIVERGED, &shrunk);
	EXPECT_EQ(ROUND_DIVERGED, shrunk.verdict);
	dax_print_msg("%u operations are left after %u tries", shrunk.ops.nr,
		      shrunk.tries);
	EXPECT_GE(enough, shrunk.ops.nr);

	text = tmpfile();
	ASSERT_NE(NULL, text);
	round_print(&shrunk.ops, text);
	rewind(text);
	ASSERT_EQ(NULL, round_parse(&ops, text));
	fclose(text);
	EXPECT_EQ(shrunk.ops.nr, ops.nr);
	EXPECT_EQ(ROUND_DIVERGED, round_run(&target, &ops, report, false));
	/* Nothing is wrong with these operations by themselves. */
	target.broken = BREAK_NOTHING;
	EXPECT_EQ(ROUND_CLEAN, round_run(&target, &ops, report, false));
}

TEST_F(dax, detects_lost_store) DAX_CALL(notices(BREAK_STORE, 4))
TEST_F(dax, detects_wrong_write) DAX_CALL(notices(BREAK_WRITE, 2))
TEST_F(dax, detects_lost_punch) DAX_CALL(notices(BREAK_PUNCH, 4))

TEST_F(dax, detects_lost_store_of_thread)
{
	struct report *report = dax_shared(sizeof(*report));
	struct target target = here("threads");

	target.broken = BREAK_STORE;
	target_probe(&target, false);
	EXPECT_EQ(ROUND_DIVERGED, load_run(&target, 5, 0, 5000, report));
	dax_print_msg("%s", report->text);
}

/* By itself. */

static const char usage[] =
"daxstress: random operations on files, checked against a model\n"
"\n"
"  daxstress --dir DIR [options]\n"
"  daxstress [-t TEST]\n"
"\n"
"The first form runs by itself, in a folder that it makes in DIR, and ends with\n"
"\"N passed, N failed, N skipped\", which counts rounds: 20000 operations of all\n"
"workers, which begin with empty files. The second form is the selftest, on the\n"
"mount that the variable DAX_DIR names; run_dax_tests.sh runs it.\n"
"\n"
"  --seed N        what the operations follow from (1)\n"
"  --steps N       how many, of each worker (20000)\n"
"  --seconds N     go on for so long instead\n"
"  --profile NAME  which operations, on what: stream, threads, processes, both,\n"
"                  heap, promote, promote-eager, promote-processes,\n"
"                  promote-processes-eager, promote-clones, file, file-huge\n"
"  --threads N     of each process; without --profile, the profile is stream for\n"
"  --processes N   one worker, which can be replayed, and threads for many\n"
"  --from-round N  leave out the rounds before\n"
"  --tell          print each operation before it runs: the last one hangs\n"
"  --replay FILE   run these operations, and no others\n"
"  --mode hwpoison memory fails, too: on DAX only, on a device that is thrown\n"
"                  away, for one worker\n"
"  --device DEV    what is mounted on DIR: it is unmounted and mounted at times\n"
"  --outside DEV   1 MiB of it are overwritten: O_DIRECT to and from mappings\n"
"  --no-drop-caches\n"
"                  spare the caches of this machine\n"
"  --without LIST  leave out these operations: names as they are counted at the\n"
"                  end, joined by commas\n"
"  --break KIND    lose stores (store), change bytes (write) or leave out holes\n"
"                  (punch) on purpose, to see that it is noticed\n"
"\n"
"With one worker a seed does the same each time. On a divergence the smallest\n"
"list of operations that still diverges is printed, for --replay.\n";

struct options {
	struct target target;
	struct profile profile;
	unsigned long seed, steps, seconds, threads, processes, from_round;
	const char *profile_name, *replay, *mode, *broken;
	bool describe, help;
};

static struct options given = { .seed = 1, .steps = ROUND_STEPS };

/* Where the argument goes; a flag has none. */
static const struct choice {
	const char *name, **text;
	unsigned long *number;
	bool *flag;
} choices[] = {
	{ "dir", .text = &given.target.dir },
	{ "profile", .text = &given.profile_name },
	{ "seed", .number = &given.seed },
	{ "steps", .number = &given.steps },
	{ "seconds", .number = &given.seconds },
	{ "threads", .number = &given.threads },
	{ "processes", .number = &given.processes },
	{ "from-round", .number = &given.from_round },
	{ "replay", .text = &given.replay },
	{ "device", .text = &given.target.device },
	{ "outside", .text = &given.target.outside },
	{ "mode", .text = &given.mode },
	{ "break", .text = &given.broken },
	{ "without", .text = &given.target.without },
	{ "no-drop-caches", .flag = &given.target.no_drop_caches },
	{ "tell", .flag = &given.describe },
	{ "help", .flag = &given.help },
};

static void __attribute__((noreturn)) bad_option(const char *what)
{
	fprintf(stderr, "daxstress: %s; see daxstress --help\n", what);
	exit(2);
}

static unsigned long number(const char *name, const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	if (*end || !*text)
		bad_option(dax_text("--%s %s: not a number", name, text));
	return n;
}

static void take_option(const struct choice *choice, const char *arg)
{
	if (choice->text)
		*choice->text = arg;
	else if (choice->number)
		*choice->number = number(choice->name, arg);
	else
		*choice->flag = true;
}

static void choose_profile(struct options *o)
{
	bool many = o->threads > 1 || o->processes > 1;
	const struct profile *named =
		profile_named(o->profile_name ?: many ? "threads" : "stream");
	unsigned int workers;

	if (!named)
		bad_option("--profile has one of the names that --help lists");
	o->profile = *named;
	if (o->threads || o->processes) {
		o->profile.threads = o->threads ?: 1;
		o->profile.processes = o->processes ?: 1;
	}
	workers = profile_workers(&o->profile);
	if (workers > STRESS_WORKERS)
		bad_option("too many workers: --threads and --processes");
	if (workers > 1 && profile_workers(named) == 1)
		bad_option("that profile is for one worker");
	if (o->target.hwpoison && workers > 1)
		bad_option("--mode hwpoison is for one worker");
}

static void parse_options(int argc, char **argv)
{
	struct option options[ARRAY_LEN(choices) + 1] = {};
	int which = 0, broken, c;

	for (unsigned int i = 0; i < ARRAY_LEN(choices); i++) {
		options[i].name = choices[i].name;
		options[i].has_arg = !choices[i].flag;
	}
	while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
		if (c)
			bad_option("that is no option, or its argument is missing");
		take_option(&choices[which], optarg);
	}
	if (given.help) {
		fputs(usage, stdout);
		exit(0);
	}
	broken = given.broken ? target_break(given.broken) : BREAK_NOTHING;
	if (broken < 0 || (given.mode && strcmp(given.mode, "hwpoison")))
		bad_option("--mode is hwpoison, --break is store, write or punch");
	given.target.broken = broken;
	given.target.hwpoison = given.mode;
	if (!given.target.dir || optind < argc)
		bad_option("--dir DIR says where, and there are only options");
	choose_profile(&given);
}

static void progress(const struct options *o, unsigned long operations,
		     double start, bool always)
{
	static double last;
	double t = now();

	if (!always && t - last < 10)
		return;
	last = t;
	dax_print_msg("seed %lu: %lu operations in %.0f seconds, %.0f per second",
		      o->seed, operations, t - start, operations / (t - start));
}

static void run_rounds(const struct options *o, struct tally *tally)
{
	double start = now();
	unsigned long done = 0;

	for (unsigned int round = o->from_round;
	     o->seconds ? now() < start + o->seconds : done < o->steps;
	     round++) {
		unsigned int part = steps_of_round(&o->profile);

		if (!o->seconds)
			part = min_size(part, o->steps - done);
		if (!one_round(&o->target, o->seed, round, part, o->describe, tally))
			break;
		done += part;
		progress(o, tally->operations, start, false);
	}
	progress(o, tally->operations, start, true);
	tally_print(tally);
}

static void run_replay(const struct options *o, struct tally *tally)
{
	struct report *report = dax_shared(sizeof(*report));
	FILE *from = fopen(o->replay, "r");
	enum verdict verdict;
	const char *error;
	struct ops ops;

	if (!from)
		dax_exit_fail("%s: %m", o->replay);
	error = round_parse(&ops, from);
	if (error)
		dax_exit_fail("%s: %s", o->replay, error);
	fclose(from);
	verdict = round_run(&o->target, &ops, report, true);
	dax_print_msg("%s: %s %s", o->replay, verdict_name(verdict),
		      report->text);
	tally_add(tally, report, verdict);
	free(ops.op);
}

static int by_itself(int argc, char **argv)
{
	struct tally tally = {};
	const char *folder;

	parse_options(argc, argv);
	given.target.profile = &given.profile;
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A folder of its own; the mount is where it is. */
	given.target.mount = given.target.dir;
	folder = dax_text("%s/daxstress", given.target.dir);
	if (mkdir(folder, 0700) && errno != EEXIST)
		dax_exit_fail("%s: %m", folder);
	given.target.dir = folder;
	target_probe(&given.target, true);
	if (given.replay)
		run_replay(&given, &tally);
	else
		run_rounds(&given, &tally);
	printf("%lu passed, %lu failed, 0 skipped\n", tally.passed,
	       tally.failed);
	return tally.failed != 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strncmp(argv[1], "--", 2))
		return by_itself(argc, argv);
	return test_harness_run(argc, argv);
}
