// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: rounds. A round is a list of operations that starts with empty
 * files and no mappings. It runs in a process of its own, so that a signal or
 * an early exit is a result like any other.
 *
 * A list that diverges is shortened by leaving parts out: first everything
 * after the divergence, then halves, quarters and so on, down to single
 * operations, until none can be left out. Each operation is valid without the
 * others. The result is printed one operation to a line,
 *
 *	KIND WORD WORD WORD WORD
 *	# ^ what it did
 *
 * and a replay reads the same format, without the comments.
 */
#include "stress.h"

#define MAX_TRIES	3000

const char *verdict_name(enum verdict verdict)
{
	static const char * const names[] = {
		[ROUND_CLEAN] = "clean",
		[ROUND_DIVERGED] = "diverged",
		[ROUND_REFUSED] = "refused",
		[ROUND_CRASHED] = "crashed",
		[ROUND_HUNG] = "hung",
		[ROUND_NOT_RUN] = "could not run",
	};

	return names[verdict];
}

void round_choose(struct ops *ops, const struct target *target, uint64_t seed,
		  unsigned int round, unsigned int steps)
{
	struct ops_weights weights;

	ops_weigh(&weights, target);
	ops->nr = steps;
	ops->op = calloc(steps, sizeof(*ops->op));
	if (!ops->op)
		dax_exit_fail("no memory");
	for (unsigned int i = 0; i < steps; i++)
		ops_choose(&ops->op[i], &weights, seed,
			   (uint64_t)round * ROUND_STEPS + i);
}

static void print_op(const struct op *op, FILE *to)
{
	fprintf(to, "%s %x %x %x %x\n", ops_name(op->kind), op->arg[0],
		op->arg[1], op->arg[2], op->arg[3]);
}

/* In the child. Nothing of the model outlives it. */
static int run_here(const struct target *target, const struct ops *ops,
		    struct report *report, bool describe)
{
	struct model *md = model_new(target, files_new(target), report, 0);

	ops_weigh(&md->weights, target);
	md->describe = describe;
	for (unsigned int i = 0; i < ops->nr; i++) {
		report->step = i;
		if (describe) {
			print_op(&ops->op[i], stdout);
			fflush(stdout);
		}
		ops_run(md, &ops->op[i]);
	}
	report->step = ops->nr - 1;
	if (describe)
		fflush(stdout);
	files_compare(md);
	maps_compare(md, true);
	return ROUND_CLEAN;
}

/*
 * A loop in the kernel lasts until a fatal signal: an operation that is under
 * way that long is ended. It is long even in emulation, on a busy host.
 */
#define HANG_SECONDS	60

static void tick(int sig)
{
}

/* Gets the status of the child; returns true if it had to be killed. */
static bool wait_or_kill(pid_t pid, const struct report *report, int *status)
{
	struct sigaction action = { .sa_handler = tick }, old;
	unsigned int last = -1;
	bool hung = false;

	sigaction(SIGALRM, &action, &old);
	alarm(HANG_SECONDS);
	while (waitpid(pid, status, 0) != pid) {
		if (errno != EINTR)
			dax_exit_fail("waitpid: %m");
		if (report->step == last) {
			hung = true;
			kill(pid, SIGKILL);
		}
		last = report->step;
		alarm(HANG_SECONDS);
	}
	alarm(0);
	sigaction(SIGALRM, &old, NULL);
	return hung;
}

enum verdict round_wait(pid_t pid, struct report *report)
{
	int status;

	if (wait_or_kill(pid, report, &status)) {
		snprintf(report->text, sizeof(report->text),
			 "%s does not end", ops_name(report->kind));
		return ROUND_HUNG;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) <= ROUND_CRASHED)
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		return ROUND_NOT_RUN;	/* dax_exit_fail() said why */
	if (!report->text[0])
		snprintf(report->text, sizeof(report->text), "status %#x",
			 status);
	return ROUND_CRASHED;
}

enum verdict round_run(const struct target *target, const struct ops *ops,
		       struct report *report, bool describe)
{
	enum verdict verdict;

	memset(report, 0, sizeof(*report));
	verdict = round_wait(dax_spawn(run_here(target, ops, report, describe)),
			     report);
	target_restore(target);
	return verdict;
}

/* Cutting down. */

static struct ops without(const struct ops *ops, unsigned int from,
			  unsigned int nr)
{
	struct ops rest = { .nr = ops->nr - nr };

	rest.op = calloc(rest.nr + 1, sizeof(*rest.op));
	if (!rest.op)
		dax_exit_fail("no memory");
	memcpy(rest.op, ops->op, from * sizeof(*rest.op));
	memcpy(rest.op + from, ops->op + from + nr,
	       (rest.nr - from) * sizeof(*rest.op));
	return rest;
}

/* Takes @candidate as the result, if it ends the same way. */
static bool still_ends(const struct target *target, struct shrunk *shrunk,
		       struct ops *candidate)
{
	struct report *report = dax_shared(sizeof(*report));
	bool same;

	shrunk->tries++;
	same = round_run(target, candidate, report, false) == shrunk->verdict;
	if (same) {
		free(shrunk->ops.op);
		shrunk->ops = *candidate;
		/* The operations after the divergence are not needed. */
		shrunk->ops.nr = report->step + 1;
	} else {
		free(candidate->op);
	}
	munmap(report, sizeof(*report));
	return same;
}

static bool leave_out(const struct target *target, struct shrunk *shrunk,
		      unsigned int nr)
{
	bool any = false;

	for (unsigned int from = 0; from < shrunk->ops.nr; ) {
		unsigned int part = min_size(nr, shrunk->ops.nr - from);
		struct ops candidate = without(&shrunk->ops, from, part);

		if (shrunk->tries >= MAX_TRIES) {
			free(candidate.op);
			return false;
		}
		if (still_ends(target, shrunk, &candidate))
			any = true;
		else
			from += part;
	}
	return any;
}

/*
 * If it does not repeat, the result is the whole list, and @verdict is clean.
 */
void round_shrink(const struct target *target, const struct ops *ops,
		  enum verdict verdict, struct shrunk *shrunk)
{
	struct ops all = without(ops, 0, 0);

	*shrunk = (struct shrunk){ .verdict = verdict };
	if (!still_ends(target, shrunk, &all)) {
		shrunk->ops = without(ops, 0, 0);
		shrunk->verdict = ROUND_CLEAN;
		return;
	}
	for (unsigned int nr = shrunk->ops.nr / 2; nr > 1; nr /= 2)
		leave_out(target, shrunk, nr);
	while (leave_out(target, shrunk, 1))
		;
}

/* The text of a replay. */

void round_print(const struct ops *ops, FILE *to)
{
	for (unsigned int i = 0; i < ops->nr; i++)
		print_op(&ops->op[i], to);
}

static bool parse_line(const char *line, struct op *op)
{
	char name[32];

	if (sscanf(line, "%31s %x %x %x %x", name, &op->arg[0], &op->arg[1],
		   &op->arg[2], &op->arg[3]) != 5)
		return false;
	for (op->kind = 0; op->kind < ops_nr(); op->kind++)
		if (!strcmp(name, ops_name(op->kind)))
			return true;
	return false;
}

const char *round_parse(struct ops *ops, FILE *from)
{
	unsigned int room = 0, nr = 0;
	char line[300], first;

	*ops = (struct ops){};
	while (fgets(line, sizeof(line), from)) {
		nr++;
		first = line[strspn(line, " \t\n")];
		if (first == '#' || !first)
			continue;
		if (ops->nr == room) {
			room = room ? 2 * room : 64;
			ops->op = realloc(ops->op, room * sizeof(*ops->op));
			if (!ops->op)
				dax_exit_fail("no memory");
		}
		if (!parse_line(line, &ops->op[ops->nr++])) {
			line[strcspn(line, "\n")] = '\0';
			return dax_text("line %u is no KIND and four words: %s",
					nr, line);
		}
	}
	return NULL;
}

/* Sums. */

void report_add(struct report *sum, const struct report *report)
{
	for (unsigned int i = 0; i < STRESS_KINDS; i++)
		sum->done[i] += report->done[i];
	sum->idle += report->idle;
	sum->refused += report->refused;
	sum->poisoned += report->poisoned;
}

void tally_add(struct tally *tally, const struct report *report,
	       enum verdict verdict)
{
	for (unsigned int i = 0; i < STRESS_KINDS; i++)
		tally->operations += report->done[i];
	report_add(&tally->sum, report);
	tally->passed += verdict == ROUND_CLEAN;
	tally->failed += verdict != ROUND_CLEAN;
}

void tally_print(const struct tally *tally)
{
	const struct report *sum = &tally->sum;
	char text[1200] = "";

	for (unsigned int i = 0; i < ops_nr(); i++) {
		if (!sum->done[i])
			continue;
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " %s %lu", ops_name(i), sum->done[i]);
	}
	dax_print_msg("operations:%s", text);
	dax_print_msg("%lu found nothing to work on, %lu collapses were refused",
		      sum->idle, sum->refused);
	if (sum->poisoned)
		dax_print_msg("%lu accesses hit failed memory", sum->poisoned);
}
