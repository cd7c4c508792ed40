// SPDX-License-Identifier: GPL-2.0-only
/*
 * The output: tables by libsmartcols, and notes between them.
 *
 * JSON is one document: an object for each target, which has the tables as lists.
 * libsmartcols prints a table as an object with one list in it, so the braces around
 * it are taken off. Notes are for people: JSON, -r and -o leave them out.
 */
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daxmap.h"

struct show_table {
	struct libscols_table *table;
	struct libscols_line *line;
	const char *name;
	const struct show_column *columns;
	size_t nr, shown;
	int at[16];		/* of the column in the table, or -1 */
};

static unsigned int nr_targets, nr_objects, nr_printed;
static const char *target_name, *target_kind;
static uint64_t columns_found;	/* a bit for each name of -o */

const char *size_text(uint64_t bytes)
{
	static char texts[8][24];
	static unsigned int turn;
	char *text = texts[turn++ % ARRAY_LEN(texts)];
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0;
	double value = bytes;

	if (opt.bytes || opt.json) {
		snprintf(text, sizeof(texts[0]), "%llu", (unsigned long long)bytes);
		return text;
	}
	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	if (value == (uint64_t)value)
		snprintf(text, sizeof(texts[0]), "%.0f%c", value, units[unit]);
	else
		snprintf(text, sizeof(texts[0]), "%.1f%c", value, units[unit]);
	if (!bytes)
		snprintf(text, sizeof(texts[0]), "0");
	return text;
}

/* Rounded down: 100 means all. */
unsigned int percent(uint64_t part, uint64_t whole)
{
	return whole ? (__uint128_t)part * 100 / whole : 0;
}

/* The place of the column in -o; without -o, its own. */
static int wanted(const char *name, int nr)
{
	size_t len = strlen(name);
	int place = 0;

	if (!opt.columns)
		return nr;
	for (const char *p = opt.columns; *p; place++) {
		size_t word = strcspn(p, ",");

		if (word == len && !strncasecmp(p, name, len)) {
			columns_found |= 1ULL << place;
			return place;
		}
		p += word + !!p[word];
	}
	return -1;
}

/* A name of -o that no table had is a mistake. */
static bool columns_are_known(void)
{
	int place = 0;

	for (const char *p = opt.columns; p && *p; place++) {
		size_t word = strcspn(p, ",");

		if (!(columns_found & 1ULL << place)) {
			warn("-o: no table that was printed has a column %.*s", (int)word, p);
			return false;
		}
		p += word + !!p[word];
	}
	return true;
}

static void add_column(struct show_table *t, const struct show_column *c)
{
	struct libscols_column *column;
	int flags = (c->right ? SCOLS_FL_RIGHT : 0) | (c->trunc ? SCOLS_FL_TRUNC : 0);

	column = scols_table_new_column(t->table, c->name, 0, flags);
	if (!column)
		die("out of memory");
	if (c->number)
		scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
	t->shown++;
}

struct show_table *show_table(const char *name, const struct show_column *columns, size_t nr)
{
	struct show_table *t = zalloc(sizeof(*t));

	t->table = scols_new_table();
	if (!t->table || nr > ARRAY_LEN(t->at))
		die("out of memory");
	t->name = name;
	t->columns = columns;
	t->nr = nr;
	scols_table_set_name(t->table, name);
	scols_table_enable_json(t->table, opt.json);
	scols_table_enable_raw(t->table, opt.raw);
	scols_table_enable_noheadings(t->table, opt.no_headings);
	if (!isatty(STDOUT_FILENO))
		scols_table_enable_nowrap(t->table, 1);
	for (size_t i = 0; i < nr; i++)
		t->at[i] = -1;
	for (int place = 0; place < MAX_COLUMNS; place++) {
		for (size_t i = 0; i < nr; i++) {
			if (wanted(columns[i].name, i) != place)
				continue;
			t->at[i] = t->shown;
			add_column(t, &columns[i]);
		}
	}
	return t;
}

void show_row(struct show_table *t)
{
	t->line = scols_table_new_line(t->table, NULL);
	if (!t->line)
		die("out of memory");
}

void show_text(struct show_table *t, unsigned int column, const char *fmt, ...)
{
	va_list args;
	char *text;

	if (t->at[column] < 0)
		return;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		die("out of memory");
	va_end(args);
	if (opt.json && (!strcmp(text, "-") ||
			 (t->columns[column].number && !strcmp(text, "?"))))
		free(text);	/* null */
	else if (scols_line_refer_data(t->line, t->at[column], text))
		die("out of memory");
}

void show_size(struct show_table *t, unsigned int column, uint64_t bytes)
{
	show_text(t, column, "%s", size_text(bytes));
}

static void print_object(const char *text)
{
	const char *start = strchr(text, '{'), *end = strrchr(text, '}');

	if (!start || !end || end <= start)
		return;
	printf("%s%.*s", nr_objects++ ? "," : "", (int)(end - start - 1), start + 1);
}

void show_print(struct show_table *t)
{
	char *text = NULL;

	if (t->shown && opt.json) {
		if (scols_print_table_to_string(t->table, &text))
			die("out of memory");
		print_object(text);
		free(text);
	} else if (t->shown && scols_table_get_nlines(t->table)) {
		if (nr_printed++ && !opt.raw && !opt.columns)
			putchar('\n');
		scols_print_table(t->table);
	}
	scols_unref_table(t->table);
	free(t);
}

void show_note(const char *fmt, ...)
{
	va_list args;

	if (opt.json || opt.raw || opt.columns)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

void show_begin(const char *target, const char *kind)
{
	target_name = target;
	target_kind = kind;
	nr_objects = 0;
	if (opt.json)
		printf("%s", nr_targets ? ",{" : "{\"targets\": [{");
	else if (nr_targets && !opt.raw && !opt.columns)
		putchar('\n');
	nr_targets++;
	nr_printed = 0;
}

static void json_target(enum status status, const char *verdict)
{
	static const struct show_column columns[] = {
		{ "TARGET" }, { "KIND" }, { "STATUS", .number = true }, { "VERDICT" }, { "HIDDEN" },
	};
	const char *wanted_columns = opt.columns;
	struct show_table *t;

	opt.columns = NULL;
	t = show_table("target", columns, ARRAY_LEN(columns));
	show_row(t);
	show_text(t, 0, "%s", target_name);
	show_text(t, 1, "%s", target_kind);
	show_text(t, 2, "%d", status);
	show_text(t, 3, "%s", verdict);
	show_text(t, 4, "%s", all_missing() ?: "");
	show_print(t);
	opt.columns = wanted_columns;
	printf("}");
}

void show_end(enum status status, const char *verdict)
{
	if (opt.json) {
		json_target(status, verdict);
		forget_missing();
		return;
	}
	if (nr_printed)
		show_note("%s", "");
	if (all_missing())
		show_note("not seen: %s", all_missing());
	show_note("%s: %s", target_name, verdict);
	forget_missing();
}

/* False if -o asked for what is not there. */
bool show_finish(void)
{
	if (opt.json && nr_targets)
		printf("]}\n");
	return !nr_targets || columns_are_known();
}
