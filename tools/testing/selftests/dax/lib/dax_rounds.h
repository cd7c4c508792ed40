/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rounds of stores that a flush follows. Marks in the trace surround a round,
 * and the trace clock orders the events of all CPUs. A store is missed if no
 * flush between the marks covers its page.
 */
#ifndef DAX_ROUNDS_H
#define DAX_ROUNDS_H

#include "dax_test.h"

struct dax_rounds {
	unsigned int first, step;	/* pages that are stored to, in 2 MiB */
	unsigned int rounds, stores, missed;
};

static inline void dax_round_begins(void)
{
	dax_trace_mark("round-begin\n");
}

static inline void dax_round_ends(unsigned int stores)
{
	dax_trace_mark(dax_text("round-end %u\n", stores));
}

/* Bit n: store n is flushed by the event in @line. */
static inline unsigned long dax_round_flushed(const struct dax_rounds *r,
					      const char *line)
{
	const char *pgoff = strstr(line, "pgoff "), *pglen;
	unsigned long first, nr, mask = 0;

	if (strncmp(line, "dax_writeback_one:", 18) || !pgoff)
		return 0;
	pglen = strstr(line, "pglen ");
	first = strtoul(pgoff + 6, NULL, 0) % PAGES_2M;
	nr = strtoul(pglen + 6, NULL, 0);
	for (int i = 0; i < 16; i++)
		if (r->first + i * r->step - first < nr)
			mask |= 1UL << i;
	return mask;
}

/* The events of a round with a miss. */
static inline void dax_round_show(const char *line, const char *end)
{
	for (int i = 0; line < end && i < 80; i++, line = dax_next_line(line))
		dax_print_msg("  %.*s", (int)strcspn(line, "\n"), line);
}

/* Read the trace so far, and count the stores that were not flushed. */
static inline void dax_rounds_count(struct dax_rounds *r)
{
	const char *begin = dax_trace_text();
	unsigned long flushed = 0;

	for (const char *p = begin; *p; p = dax_next_line(p)) {
		const char *mark = memmem(p, strcspn(p, "\n"), "round-", 6);

		if (!mark) {
			flushed |= dax_round_flushed(r, p);
		} else if (!strncmp(mark, "round-end", 9)) {
			unsigned int nr = strtoul(mark + 9, NULL, 0);
			unsigned long missed = ((1UL << nr) - 1) & ~flushed;

			if (!r->missed && missed)
				dax_round_show(begin, p);
			r->rounds++;
			r->stores += nr;
			r->missed += __builtin_popcountl(missed);
		} else {
			begin = p;
			flushed = 0;
		}
	}
	dax_trace_clear();
}

#endif
