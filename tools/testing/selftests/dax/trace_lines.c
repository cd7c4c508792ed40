// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lines of the older trace events, as scripts parse them: as text, with the
 * context in front, by the name of the event, by the position of a word, and
 * above all by the last word of dax_pmd_fault_done, which tells a huge fault
 * (NOPAGE) from one that fell back (FALLBACK).
 *
 * So the test uses no filter, no field of a format file, and no helper that
 * knows more than that. Its expectations hold for any kernel with these events,
 * and must not change.
 */
#include <regex.h>

#include "dax_harness.h"

#define BLOCKS	6u
#define MAX_WORDS	40

/* comm-pid [cpu] flags seconds: event: */
#define CONTEXT	"^ *[^ ]+-[0-9]+ +\\[[0-9]{3}\\] +[^ ]+ +[0-9]+\\.[0-9]+: %s: "
#define HEX	"0x[0-9a-f]+"
#define FILE_ID	"dev [0-9]+:[0-9]+ ino " HEX
#define FLAGS	"[A-Z_|]+(0x[0-9a-f]+)?"	/* a bit without a name is last */
#define RESULT	"[A-Z_|]+"
#define POINTER	"(0x)?[0-9a-f]+"	/* hashed */

static const char fault_pmd[] =
	FILE_ID " (shared|private) " FLAGS " address " HEX " vm_start " HEX
	" vm_end " HEX " pgoff " HEX " max_pgoff " HEX " (" RESULT ")?$";
static const char fault_pte[] =
	FILE_ID " (shared|private) " FLAGS " address " HEX " pgoff " HEX
	" (" RESULT ")?$";
static const char hole_pmd[] =
	FILE_ID " (shared|private) address " HEX " zero_folio " POINTER
	" radix_entry " POINTER "$";
static const char flush_range[] = FILE_ID " pgoff " HEX "-" HEX "$";
static const char flush_one[] = FILE_ID " pgoff " HEX " pglen " HEX "$";

/* Which event has which line. */
static const struct line {
	const char *event, *text;
} kinds[] = {
	{ "dax_pmd_fault", fault_pmd },
	{ "dax_pmd_fault_done", fault_pmd },
	{ "dax_pte_fault", fault_pte },
	{ "dax_pte_fault_done", fault_pte },
	{ "dax_load_hole", fault_pte },
	{ "dax_pmd_load_hole", hole_pmd },
	{ "dax_writeback_range", flush_range },
	{ "dax_writeback_range_done", flush_range },
	{ "dax_writeback_one", flush_one },
};

/* Words behind the event's name, counted from 1 as awk does. */
enum word {
	DEV = 2, INO = 4, SHARED = 5, WHAT = 6, ADDRESS = 8,
	PMD_PGOFF = 14, PMD_MAX_PGOFF = 16, PTE_PGOFF = 10,
	FLUSH_PGOFF = 6, FLUSH_PGLEN = 8,
};

static const char *instance;
static char *lines[4096];
static unsigned int nr_lines;

static void to_tracefs(const char *file, const char *text)
{
	dax_must_write(dax_text("%s/%s", instance, file), text);
}

static const char *start_tracing(void)
{
	instance = dax_text(TRACEFS "/instances/dax-%d", getpid());
	if (mkdir(instance, 0700))
		dax_exit_fail("%s: %m", instance);
	to_tracefs("buffer_size_kb", "2048");
	for (unsigned int i = 0; i < ARRAY_LEN(kinds); i++)
		to_tracefs(dax_text("events/fs_dax/%s/enable", kinds[i].event),
			   "1");
	return NULL;
}

void dax_cleanup(void)
{
	to_tracefs("tracing_on", "0");
	rmdir(instance);
}

DAX_FIXTURE(trace_lines, start_tracing())

static void read_lines(void)
{
	const char *path = dax_text("%s/trace", instance);
	FILE *file = fopen(path, "r");
	char line[1024];

	if (!file)
		dax_exit_fail("%s: %m", path);
	while (nr_lines)
		free(lines[--nr_lines]);
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || nr_lines == ARRAY_LEN(lines))
			continue;
		lines[nr_lines++] = strdup(line);
	}
	fclose(file);
}

/* The lines of what has happened since the last call. */
static void take_lines(void)
{
	to_tracefs("tracing_on", "0");
	read_lines();
	to_tracefs("trace", "\n");
	to_tracefs("tracing_on", "1");
}

/* The text behind the name of @event; NULL if the line is of another one. */
static const char *text_of(const char *line, const char *event)
{
	const char *name = dax_text(" %s: ", event);

	line = strstr(line, name);
	return line ? line + strlen(name) : NULL;
}

/* Lines of @event that end in @word; any line if that is NULL. */
static unsigned int count_last(const char *event, const char *word)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_lines; i++)
		nr += text_of(lines[i], event) &&
		      (!word || !strcmp(strrchr(lines[i], ' ') + 1, word));
	return nr;
}

/* Lines of @event that have @text anywhere, as grep would find it. */
static unsigned int count_text(const char *event, const char *text)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < nr_lines; i++)
		nr += text_of(lines[i], event) && strstr(lines[i], text);
	return nr;
}

/* The @nth line of @event, behind its name. */
static const char *nth_line(const char *event, unsigned int nth)
{
	for (unsigned int i = 0; i < nr_lines; i++)
		if (text_of(lines[i], event) && !nth--)
			return text_of(lines[i], event);
	return "";
}

static const char *get_word(const char *text, unsigned int nr)
{
	while (--nr && (text = strchr(text, ' ')))
		text++;
	return text ? dax_text("%.*s", (int)strcspn(text, " "), text) : "";
}

static unsigned long get_hex(const char *text, unsigned int nr)
{
	return strtoul(get_word(text, nr), NULL, 16);
}

/* All lines keep the original form of their event. */
static void expect_form(void)
{
	unsigned int odd = 0, known = 0;

	for (unsigned int k = 0; k < ARRAY_LEN(kinds); k++) {
		regex_t regex;

		ASSERT_EQ(0, regcomp(&regex, dax_text(CONTEXT "%s", kinds[k].event,
						      kinds[k].text),
				     REG_EXTENDED | REG_NOSUB));
		for (unsigned int i = 0; i < nr_lines; i++) {
			if (!text_of(lines[i], kinds[k].event))
				continue;
			known++;
			if (!regexec(&regex, lines[i], 0, NULL, 0))
				continue;
			odd++;
			dax_print_msg("not as it was: %s", lines[i]);
		}
		regfree(&regex);
	}
	EXPECT_EQ(0, odd);
	EXPECT_EQ(nr_lines, known);
	EXPECT_LT(0, nr_lines);
}

/* @event's line of block @i says where that is. */
static void expect_place(const char *event, unsigned int i, int fd, char *p)
{
	const char *text = nth_line(event, i);
	struct stat st;

	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(st.st_ino, get_hex(text, INO));
	EXPECT_STREQ("shared", get_word(text, SHARED));
	EXPECT_EQ((unsigned long)p + i * SZ_2M, get_hex(text, ADDRESS));
	EXPECT_EQ(i * PAGES_2M, get_hex(text, PMD_PGOFF));
	EXPECT_EQ(BLOCKS * PAGES_2M, get_hex(text, PMD_MAX_PGOFF));
}

/* The figure that such a script prints: huge faults, and all of them. */
static void expect_all_huge(int fd, char *p, bool write)
{
	take_lines();
	dax_touch_each(p, BLOCKS * SZ_2M, SZ_2M, write);
	take_lines();
	expect_form();
	EXPECT_EQ(BLOCKS, count_last("dax_pmd_fault", NULL));
	EXPECT_EQ(BLOCKS, count_last("dax_pmd_fault_done", NULL));
	EXPECT_EQ(BLOCKS, count_last("dax_pmd_fault_done", "NOPAGE"));
	EXPECT_EQ(0, count_text("dax_pmd_fault_done", "FALLBACK"));
	EXPECT_EQ(0, count_last("dax_pte_fault_done", NULL));
	EXPECT_EQ(write ? BLOCKS : 0,
		  count_text("dax_pmd_fault_done", " WRITE|"));
	for (unsigned int i = 0; i < BLOCKS; i++) {
		expect_place("dax_pmd_fault", i, fd, p);
		expect_place("dax_pmd_fault_done", i, fd, p);
	}
}

static void huge(enum dax_layout layout)
{
	int fd = dax_file(BLOCKS * SZ_2M, layout);
	char *p = dax_map(fd, 0, BLOCKS * SZ_2M);

	expect_all_huge(fd, p, true);
	dax_zap(p, BLOCKS * SZ_2M);
	expect_all_huge(fd, p, false);
}

TEST_F(trace_lines, huge_written) DAX_CALL(huge(WRITTEN))
TEST_F(trace_lines, huge_prealloc) DAX_CALL(huge(PREALLOC))

TEST_F(trace_lines, huge_hole)
{
	int fd = dax_file(BLOCKS * SZ_2M, HOLE);
	char *p = dax_map(fd, 0, BLOCKS * SZ_2M);

	expect_all_huge(fd, p, false);
	EXPECT_EQ(BLOCKS, count_last("dax_pmd_load_hole", NULL));
	EXPECT_EQ((unsigned long)p, get_hex(nth_line("dax_pmd_load_hole", 0),
					    ADDRESS - 1));
}

/* Each fault of 2 MiB ends in FALLBACK; the one of 4 KiB that follows does not. */
static void expect_all_small(char *p, unsigned int nr)
{
	take_lines();
	expect_form();
	EXPECT_LE(nr, count_last("dax_pmd_fault_done", "FALLBACK"));
	EXPECT_GE(2 * nr, count_last("dax_pmd_fault_done", "FALLBACK"));
	EXPECT_EQ(count_last("dax_pmd_fault", NULL),
		  count_last("dax_pmd_fault_done", "FALLBACK"));
	EXPECT_EQ(0, count_text("dax_pmd_fault_done", "NOPAGE"));
	EXPECT_EQ(nr, count_last("dax_pte_fault_done", NULL));
	EXPECT_EQ(nr, count_text("dax_pte_fault_done", "NOPAGE"));
	EXPECT_EQ((unsigned long)p,
		  get_hex(nth_line("dax_pte_fault_done", 0), ADDRESS));
	EXPECT_EQ(0, get_hex(nth_line("dax_pte_fault_done", 0), PTE_PGOFF));
}

TEST_F(trace_lines, off_colour)
{
	int fd = dax_file(BLOCKS * SZ_2M, WRITTEN);
	char *p = dax_map_small(fd, BLOCKS * SZ_2M);

	take_lines();
	dax_touch_each(p, BLOCKS * SZ_2M, SZ_2M, false);
	expect_all_small(p, BLOCKS);
	p = dax_map_small(fd, BLOCKS * SZ_2M);
	dax_touch_each(p, BLOCKS * SZ_2M, SZ_2M, true);
	expect_all_small(p, BLOCKS);
	EXPECT_EQ(BLOCKS, count_text("dax_pte_fault_done", " WRITE|"));
}

TEST_F(trace_lines, fragmented)
{
	char *p = dax_map(dax_file_fragmented(), 0, SZ_2M);

	take_lines();
	dax_poke(p, 'w');
	expect_all_small(p, 1);
}

TEST_F(trace_lines, small_hole)
{
	char *p = dax_map_small(dax_file(SZ_2M, HOLE), SZ_2M);

	take_lines();
	dax_peek(p);
	expect_all_small(p, 1);
	EXPECT_EQ(1, count_last("dax_load_hole", "NOPAGE"));
}

/* fsync: the range of the call, and each piece that it flushed. */
TEST_F(trace_lines, fsync)
{
	int fd = dax_file(BLOCKS * SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, BLOCKS * SZ_2M);
	char *small = dax_map_small(fd, BLOCKS * SZ_2M);
	const char *line;

	dax_poke(small + 2 * SZ_2M + 5 * SZ_4K, 's');
	dax_poke(p + SZ_2M, 'w');
	take_lines();
	dax_fsync(fd);
	take_lines();
	expect_form();
	EXPECT_EQ(1, count_last("dax_writeback_range", NULL));
	EXPECT_EQ(1, count_last("dax_writeback_range_done", NULL));
	EXPECT_EQ(2, count_last("dax_writeback_one", NULL));
	EXPECT_EQ(1, count_last("dax_writeback_one", "0x200"));
	EXPECT_EQ(1, count_last("dax_writeback_one", "0x1"));
	line = nth_line("dax_writeback_one", 0);
	EXPECT_EQ(PAGES_2M, get_hex(line, FLUSH_PGOFF));
	EXPECT_EQ(PAGES_2M, get_hex(line, FLUSH_PGLEN));
	line = nth_line("dax_writeback_one", 1);
	EXPECT_EQ(2 * PAGES_2M + 5, get_hex(line, FLUSH_PGOFF));

	dax_fsync(fd);
	take_lines();
	EXPECT_EQ(0, count_last("dax_writeback_one", NULL));
}

TEST_HARNESS_MAIN
