// SPDX-License-Identifier: GPL-2.0-only
/*
 * demo - make each kind of DAX entry and each collision happen, and look on
 *
 * usage: DAX_DIR=DIRECTORY demo ext4|xfs
 *
 * DIRECTORY is on a filesystem mounted with -o dax=always. Every row is a
 * process and a file of its own: the file is brought into the wanted state,
 * then one thing is done to it, and the trace events of system fs_dax say what
 * the kernel did. The helpers are those of the selftests (dax_test.h).
 *
 * Output, a line per row, fields separated by tabs:
 *
 *	filesystem  section  row  faults  size  verdict  detail
 *
 * faults   faults that came to an end (those that fell back not counted);
 *          ~N, those that waited, where the number is a matter of timing
 * size     2M, 4K or - (nothing mapped) per mapping of the block, older first
 * verdict  seen, NOT SEEN (an expected event is missing) or WRONG (data, size
 *          or count is not what it has to be)
 *
 * The exit status is 0 when every row was run, whatever its verdict: to judge is
 * up to the reader of the lines.
 */
#include <stdarg.h>

#include "dax_rules.h"
#include "dax_test.h"

#define ORDER_4K	0
#define ORDER_2M	9

/*
 * A fault meets an entry in the second block of a two-block file, on its fourth
 * page: neither is the first of its kind, and a mapping has something on both
 * sides.
 */
#define FILE_SIZE	(2 * SZ_2M)
#define BLOCK		SZ_2M
#define SPOT		(BLOCK + 3 * SZ_4K)
#define BLOCK_PGOFF	(BLOCK / SZ_4K)
#define SPOT_PGOFF	(SPOT / SZ_4K)

#define KIND_BLOCKS	4
#define KIND_SIZE	(KIND_BLOCKS * SZ_2M)

struct state {
	int fd;
	char *view[3];		/* the mappings, oldest first */
	int nr_views;
	unsigned int faults;
	bool faults_vary;
	char size[16];
	const char *verdict;
	char detail[512];
};

/* Complaints, and the checks that make them. */

__attribute__((format(printf, 3, 4)))
static void complain(struct state *s, const char *verdict, const char *fmt, ...)
{
	size_t len = strlen(s->detail);
	va_list ap;

	if (strcmp(s->verdict, "WRONG"))
		s->verdict = verdict;
	if (len && len < sizeof(s->detail) - 3) {
		strcat(s->detail, "; ");
		len += 2;
	}
	va_start(ap, fmt);
	vsnprintf(s->detail + len, sizeof(s->detail) - len, fmt, ap);
	va_end(ap);
}

/* Pieces of an event's text, joined by ", "; see dax_count(). */
__attribute__((format(printf, 3, 4)))
static void expect(struct state *s, const char *event, const char *fmt, ...)
{
	char pattern[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(pattern, sizeof(pattern), fmt, ap);
	va_end(ap);
	if (!dax_count(event, "%s", pattern))
		complain(s, "NOT SEEN", "no %s %s", event, pattern);
}

static void expect_count(struct state *s, unsigned int want, const char *event,
			 const char *pattern)
{
	unsigned int nr = dax_count(event, "%s", pattern);

	if (nr < want)
		complain(s, "NOT SEEN", "%u of %u %s %s", nr, want, event,
			 pattern);
	else if (nr > want)
		complain(s, "WRONG", "%u %s %s, not %u", nr, event, pattern,
			 want);
}

static void expect_faults(struct state *s, unsigned int want)
{
	if (s->faults != want)
		complain(s, "WRONG", "%u faults, not %u", s->faults, want);
}

static void expect_size(struct state *s, const char *want)
{
	if (strcmp(s->size, want))
		complain(s, "WRONG", "mapped as %s, not %s", s->size, want);
}

static void expect_byte(struct state *s, const char *p, char want)
{
	char value = dax_peek(p);

	if (value != want)
		complain(s, "WRONG", "a load gave %#x, not %#x", value & 255,
			 want & 255);
}

static void expect_in_file(struct state *s, off_t off, char want)
{
	char value;

	dax_read(s->fd, off, &value, 1);
	if (value != want)
		complain(s, "WRONG", "read() gave %#x, not %#x", value & 255,
			 want & 255);
}

static unsigned int count_finished_faults(void)
{
	static const char * const done[] = {
		"dax_pte_fault_done", "dax_pmd_fault_done"
	};
	unsigned int nr = 0;

	for (size_t i = 0; i < ARRAY_LEN(done); i++)
		nr += dax_count(done[i], "%s", "") -
		      dax_count(done[i], "FALLBACK") -
		      dax_count(done[i], "RETRY");
	return nr;
}

/* From here to stop() events count. */
static void start(void)
{
	dax_trace_clear();
}

static void stop(struct state *s)
{
	s->faults = count_finished_faults();
}

/* How is the page at @off mapped, by each of the mappings? */
static void look(struct state *s, off_t off)
{
	s->size[0] = '\0';
	for (int i = 0; i < s->nr_views; i++) {
		const char *size = dax_mapped(s->view[i] + off);

		if (i)
			strcat(s->size, "+");
		strncat(s->size, strcmp(size, "none") ? size : "-", 2);
	}
}

/* Files and mappings. */

static void take_file(struct state *s, int fd)
{
	s->fd = fd;
	dax_trace(fd, NULL);
}

static void new_file(struct state *s, enum dax_layout layout)
{
	take_file(s, dax_file(FILE_SIZE, layout));
}

/*
 * A page of BLOCK has lost its block to its neighbour, so that a store gets
 * no 2 MiB; and the last one is written, so that a load gets no huge zero page.
 */
static void short_extent_file(struct state *s)
{
	int fd = dax_file(FILE_SIZE + SZ_2M, PREALLOC);

	dax_falloc(fd, FALLOC_FL_INSERT_RANGE, BLOCK + 100 * SZ_4K, SZ_4K);
	dax_truncate(fd, FILE_SIZE);
	dax_fill(fd, FILE_SIZE - SZ_4K, SZ_4K, 'f');
	take_file(s, fd);
}

/*
 * Two blocks of 2 MiB in one piece, then one page taken out before them: what
 * is left is long enough, and off the 2 MiB borders. Files whose blocks came
 * in several pieces stay, so that the allocator looks elsewhere.
 */
static void misaligned_file(struct state *s)
{
	for (int tries = 0; tries < 16; tries++) {
		int fd = dax_file(FILE_SIZE + SZ_2M, PREALLOC);

		if (dax_block(fd, BLOCK) + SZ_2M == dax_block(fd, BLOCK + SZ_2M)) {
			dax_falloc(fd, FALLOC_FL_COLLAPSE_RANGE, 0, SZ_4K);
			take_file(s, fd);
			return;
		}
		close(fd);
	}
	dax_exit_fail("no file of %zu bytes got blocks in one piece",
		      FILE_SIZE + SZ_2M);
}

/* The whole file by default, as large pages as can be. */
static char *map_shifted(struct state *s, size_t len, int flags, size_t shift)
{
	char *p = dax_mmap(s->fd, 0, len, PROT_READ | PROT_WRITE, flags, shift);

	return s->view[s->nr_views++] = p;
}

static char *map_aligned(struct state *s)
{
	return map_shifted(s, FILE_SIZE, MAP_SHARED, 0);
}

/* Address and file offset differ modulo 2 MiB: 4 KiB faults, always. */
static char *map_off_colour(struct state *s)
{
	return map_shifted(s, FILE_SIZE, MAP_SHARED, SZ_4K);
}

/* Section 1: the six kinds. */

static void touch_all(struct state *s, char *map, bool write)
{
	for (size_t off = 0; off < KIND_SIZE; off += SZ_4K) {
		if (write)
			dax_poke(map + off, 'w');
		else
			expect_byte(s, map + off, 0);
	}
}

static void run_kind(struct state *s, unsigned int order, bool write)
{
	unsigned int faults = order ? KIND_BLOCKS : KIND_SIZE / SZ_4K;
	char *map, stored[64];

	take_file(s, dax_file(KIND_SIZE, write ? PREALLOC : HOLE));
	map = map_shifted(s, KIND_SIZE, MAP_SHARED, order ? 0 : SZ_4K);
	start();
	touch_all(s, map, write);
	stop(s);

	for (size_t off = 0; off < KIND_SIZE; off += SZ_2M) {
		look(s, off);
		expect_size(s, order ? "2M" : "4K");
	}
	expect_faults(s, faults);
	snprintf(stored, sizeof(stored), "order %u kind %s", order,
		 write ? "mapped dirty" : "zero clean");
	expect_count(s, faults, "dax_store_entry", stored);
}

static void run_4k_mapped(struct state *s)
{
	run_kind(s, ORDER_4K, true);
}

static void run_4k_zero(struct state *s)
{
	run_kind(s, ORDER_4K, false);
}

static void run_2m_mapped(struct state *s)
{
	run_kind(s, ORDER_2M, true);
}

static void run_2m_zero(struct state *s)
{
	run_kind(s, ORDER_2M, false);
}

static void fill_filesystem(int fd)
{
	off_t at = 0;

	for (off_t chunk = 1L << 30; chunk >= (off_t)SZ_4K; chunk /= 2)
		while (!fallocate(fd, 0, at, chunk))
			at += chunk;
	if (errno != ENOSPC)
		dax_exit_fail("cannot fill the filesystem: %s",
			      strerror(errno));
}

/*
 * A hole, a full filesystem, a store: the fault inserts the empty entry that
 * is its lock, then gets no block for it. Afterwards there is space again.
 */
static void leave_empty_4k(struct state *s, char *map)
{
	int filler = dax_create("filler");

	fill_filesystem(filler);
	if (!dax_touch_signal(map + SPOT, true, NULL))
		complain(s, "WRONG", "stored into a full filesystem");
	dax_unlink(filler);
	close(filler);
	sync();
}

static void run_4k_empty(struct state *s)
{
	char *map;

	new_file(s, HOLE);
	map = map_off_colour(s);
	start();
	leave_empty_4k(s, map);
	stop(s);
	look(s, SPOT);

	expect_size(s, "-");
	expect(s, "dax_grab_entry",
	       "pgoff %#lx order 0 write found none, action insert", SPOT_PGOFF);
	expect_count(s, 0, "dax_store_entry", "");
}

static void run_2m_empty(struct state *s)
{
	char *map;

	short_extent_file(s);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	stop(s);
	look(s, SPOT);

	expect_size(s, "4K");
	expect_faults(s, 1);
	expect(s, "dax_grab_entry", "order 9 write found none, action insert");
	expect(s, "dax_fault_fallback", "order 9 reason extent-short");
	expect(s, "dax_delete_entry", "pgoff %#lx order 9 kind empty by demote",
	       BLOCK_PGOFF);
}

/* Section 2: what is found against what is asked. */

/* A cell of the table of rules: an entry that is found, and a fault. */
struct rule {
	const struct dax_rule *found;
	unsigned int order;
	bool write;
	const char *action;
	char name[32];
};

#define NR_FAULTS	ARRAY_LEN(dax_rules->action)

static struct rule rule_of(const struct dax_rule *found, unsigned int fault)
{
	struct rule rule = {
		.found = found,
		.order = fault < 2 ? ORDER_4K : ORDER_2M,
		.write = fault % 2,
		.action = found->action[fault],
	};
	const char *size = found->order ? "2M " : "4K ", *kind = found->found;
	bool none = !strcmp(kind, "none");

	snprintf(rule.name, sizeof(rule.name), "%s%s, %s %s", none ? "" : size,
		 none ? "nothing" : kind, rule.order ? "2M" : "4K",
		 rule.write ? "write" : "read");
	return rule;
}

static bool finds(const struct rule *rule, const char *kind)
{
	return !strcmp(rule->found->found, kind);
}

static bool finds_empty_2m(const struct rule *rule)
{
	return finds(rule, "empty") && rule->found->order == ORDER_2M;
}

/*
 * The page size of the mappings in the end, the older one first, if there is one.
 * Where an empty entry of 2 MiB was left, no fault gets 2 MiB.
 */
static void rule_size(const struct rule *rule, char *size, size_t len)
{
	const char *older = rule->found->order ? "2M+" : "4K+";
	bool small = !rule->order || finds_empty_2m(rule);

	if (finds(rule, "none") || finds_empty_2m(rule))
		older = "";
	else if (finds(rule, "empty") || (finds(rule, "zero") && rule->write))
		older = "-+";
	snprintf(size, len, "%s%s", older, small ? "4K" : "2M");
}

/*
 * An empty 2M entry that no fault holds is what a 2M fault leaves when it falls
 * back, until the 4K fault that follows. After a collapse none follows.
 */
static void leave_empty_2m(struct state *s)
{
	char *map = dax_map(s->fd, 0, FILE_SIZE);

	if (!dax_collapse(map + BLOCK, SZ_2M))
		complain(s, "WRONG", "collapsed what cannot be huge");
	dax_unmap(map, FILE_SIZE);
}

/* Make the entry that the fault is to find. Returns the byte at SPOT. */
static char prepare(struct state *s, const struct rule *rule)
{
	bool huge = rule->found->order;

	if (finds(rule, "none")) {
		new_file(s, rule->write ? PREALLOC : HOLE);
	} else if (finds_empty_2m(rule)) {
		short_extent_file(s);
		leave_empty_2m(s);
	} else if (finds(rule, "mapped")) {
		new_file(s, huge ? PREALLOC : WRITTEN);
		dax_poke((huge ? map_aligned(s) : map_off_colour(s)) + SPOT, 'm');
		return 'm';
	} else if (finds(rule, "zero")) {
		new_file(s, HOLE);
		expect_byte(s, (huge ? map_aligned(s) : map_off_colour(s)) + SPOT, 0);
	} else {
		new_file(s, HOLE);
		leave_empty_4k(s, map_off_colour(s));
	}
	return 0;
}

static void expect_rule(struct state *s, const struct rule *rule)
{
	bool mapped = rule->write || finds(rule, "mapped");
	bool locks = !strcmp(rule->action, "lock");
	unsigned int left = locks ? rule->found->order : rule->order;
	char found[32];

	if (finds_empty_2m(rule))
		left = ORDER_4K;
	if (finds(rule, "none"))
		snprintf(found, sizeof(found), "none");
	else
		snprintf(found, sizeof(found), "%s found_order %u",
			 rule->found->found, rule->found->order);
	expect(s, "dax_grab_entry", "order %u %s found %s, action %s", rule->order,
	       rule->write ? "write" : "read", found, rule->action);
	if (!strcmp(rule->action, "promote"))
		expect(s, "dax_promote_entry", "pgoff %#lx order 9 entries 1, done",
		       BLOCK_PGOFF);
	if (!strcmp(rule->action, "demote"))
		expect(s, "dax_delete_entry", "pgoff %#lx order 9 kind %s by demote",
		       BLOCK_PGOFF, rule->found->found);
	expect(s, "dax_store_entry", "pgoff %#lx order %u kind %s%s",
	       left ? BLOCK_PGOFF : SPOT_PGOFF, left,
	       mapped ? "mapped" : "zero", rule->write ? " dirty" : "");
}

static void run_rule(struct state *s, const struct rule *rule)
{
	char stands = prepare(s, rule), size[16];
	char *map = rule->order ? map_aligned(s) : map_off_colour(s);

	rule_size(rule, size, sizeof(size));
	start();
	if (rule->write)
		dax_poke(map + SPOT, stands = 'w');
	else
		expect_byte(s, map + SPOT, stands);
	stop(s);
	look(s, SPOT);

	expect_faults(s, 1);
	expect_size(s, size);
	expect_rule(s, rule);
	expect_in_file(s, SPOT, stands);
	for (int i = 0; i < s->nr_views; i++)
		expect_byte(s, s->view[i] + SPOT, stands);
}

static void fault_until_killed(const char *map)
{
	for (;;) {
		dax_zap((void *)(map + BLOCK), SZ_2M);
		dax_peek(map + SPOT);
	}
}

/*
 * One process stores and fsyncs a 2 MiB entry, which holds the entry's lock
 * for as long as the flush takes; another faults on it all the while. Repeated
 * until one was seen to wait.
 */
static void run_locked(struct state *s)
{
	enum { ROUNDS = 2000 };
	pid_t other;
	char *map;

	s->faults_vary = true;
	if (!dax_has_event("dax_wait_entry")) {
		complain(s, "NOT SEEN", "no event dax_wait_entry here");
		return;
	}
	s->fd = dax_file(FILE_SIZE, PREALLOC);
	dax_trace(s->fd, "dax_wait_entry");
	map = map_aligned(s);

	other = fork();
	if (other < 0)
		dax_exit_fail("fork: %s", strerror(errno));
	if (!other)
		fault_until_killed(map);
	for (int i = 0; i < ROUNDS && !s->faults; i++) {
		dax_poke(map + SPOT, i);
		dax_fsync(s->fd);
		s->faults = dax_count("dax_wait_entry", "order 9 kind mapped");
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	look(s, SPOT);

	if (!s->faults)
		complain(s, "NOT SEEN", "nobody waited in %d rounds", ROUNDS);
}

/* Section 3: 2 MiB asked, and the reason why not. */

static void expect_fallback(struct state *s, const char *reason)
{
	stop(s);
	look(s, SPOT);
	expect_faults(s, 1);
	expect_size(s, "4K");
	expect(s, "dax_fault_fallback", "order 9 reason %s", reason);
	expect_byte(s, s->view[0] + SPOT, 'w');
}

/* By the younger of two mappings; the older one keeps its page. */
static void expect_refused(struct state *s, const char *reason)
{
	stop(s);
	look(s, SPOT);
	expect_faults(s, 1);
	expect_size(s, "4K+4K");
	expect(s, "dax_fault_fallback", "order 9 reason %s", reason);
	expect_count(s, 0, "dax_delete_entry", "");
	expect_byte(s, s->view[0] + SPOT, 'w');
	expect_byte(s, s->view[1] + SPOT, 'w');
}

static void run_colour(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_off_colour(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "colour");
}

/* The mapping ends before the block does. */
static void run_vma(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_shifted(s, FILE_SIZE - SZ_4K, MAP_SHARED, 0);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "vma");
}

/* The file ends before the block does. */
static void run_eof(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	dax_truncate(s->fd, FILE_SIZE - SZ_4K);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "eof");
}

static void run_private_write(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_shifted(s, FILE_SIZE, MAP_PRIVATE, 0);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "private-write");
	expect_in_file(s, SPOT, 0);
}

/* Smaller entries are found, and nothing is made of them. */
static void run_small_entries(struct state *s)
{
	char *map;

	dax_policy("off");
	new_file(s, PREALLOC);
	dax_poke(map_off_colour(s) + SPOT, 'm');
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_refused(s, "small-entries");
	expect_count(s, 0, "dax_promote_entry", "");
}

/* The same, and their blocks are one run, but not on a 2 MiB border. */
static void run_fragmented(struct state *s)
{
	char *map;

	misaligned_file(s);
	dax_poke(map_off_colour(s) + SPOT, 'm');
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_refused(s, "fragmented");
	expect(s, "dax_promote_entry", "order 9, refuse-fragmented");
	expect_count(s, 0, "dax_promote_entry", "replace");
}

static void run_extent_short(struct state *s)
{
	char *map;

	short_extent_file(s);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "extent-short");
}

static void run_misaligned(struct state *s)
{
	char *map;

	misaligned_file(s);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	expect_fallback(s, "misaligned-pfn");
}

/* Section 4: small entries become one of 2 MiB. */

/*
 * Of 32 pages one is stored to and one is loaded from; not next to each other,
 * as ext4 writes zeros around a page that it splits off.
 */
#define MIXTURE		(32 * SZ_4K)

static void make_mixture(char *map)
{
	for (size_t at = BLOCK; at < BLOCK + SZ_2M; at += MIXTURE) {
		dax_poke(map + at, 'm');
		dax_peek(map + at + MIXTURE / 2);
	}
}

static void expect_mixture(struct state *s, const char *map)
{
	for (size_t at = BLOCK; at < BLOCK + SZ_2M; at += MIXTURE) {
		expect_byte(s, map + at, 'm');
		expect_byte(s, map + at + MIXTURE / 2, 0);
		expect_byte(s, map + at + MIXTURE / 2 + SZ_4K, 0);
	}
}

static void run_mixture(struct state *s)
{
	char *small, *map;

	new_file(s, PREALLOC);
	small = map_off_colour(s);
	make_mixture(small);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'w');
	stop(s);
	look(s, SPOT);

	expect_faults(s, 1);
	expect_size(s, "-+2M");
	expect_count(s, 1, "dax_promote_entry",
		     "entries 32 mapped 16 zero 16 dirty 16 done");
	expect_byte(s, small + SPOT, 'w');
	expect_mixture(s, small);
	expect_mixture(s, map);
}

/* A fault for each 2 MiB, though all of them were used by small pages before. */
static void run_off_colour(struct state *s)
{
	char *small, *map;

	take_file(s, dax_file(KIND_SIZE, PREALLOC));
	small = map_shifted(s, KIND_SIZE, MAP_SHARED, SZ_4K);
	for (size_t off = 0; off < KIND_SIZE; off += SZ_4K)
		dax_poke(small + off, 's');
	map = map_shifted(s, KIND_SIZE, MAP_SHARED, 0);
	start();
	for (size_t off = 0; off < KIND_SIZE; off += SZ_4K)
		dax_poke(map + off + 1, 'w');
	stop(s);

	expect_faults(s, KIND_BLOCKS);
	expect_count(s, KIND_BLOCKS, "dax_promote_entry",
		     "entries 512 mapped 512 zero 0 dirty 512 done");
	for (size_t off = 0; off < KIND_SIZE; off += SZ_2M) {
		look(s, off);
		expect_size(s, "4K+2M");
	}
	for (size_t off = 0; off < KIND_SIZE; off += SZ_4K) {
		expect_byte(s, map + off, 's');
		expect_byte(s, small + off + 1, 'w');
	}
}

/* A flush after it is of all that was dirty before it. */
static void run_promoted_fsync(struct state *s)
{
	new_file(s, WRITTEN);
	dax_poke(map_off_colour(s) + SPOT, 'm');
	start();
	expect_byte(s, map_aligned(s) + SPOT, 'm');
	stop(s);
	look(s, SPOT);
	expect_faults(s, 1);
	expect_size(s, "4K+2M");
	dax_fsync(s->fd);
	expect_count(s, 1, "dax_writeback_one", "pgoff 0x200 pglen 0x200");
}

/* Entries and a page table of small pages, as a process has them. */
static char *map_by_ptes(struct state *s)
{
	char *map;

	dax_policy("off");
	new_file(s, PREALLOC);
	dax_poke(map_off_colour(s) + SPOT, 'm');
	map = map_aligned(s);
	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		dax_poke(map + BLOCK + at, 's');
	look(s, SPOT);
	expect_size(s, "4K+4K");
	return map;
}

static void run_collapse(struct state *s)
{
	char *map = map_by_ptes(s);
	int err;

	start();
	err = dax_collapse(map + BLOCK, SZ_2M);
	stop(s);
	look(s, SPOT);

	if (err)
		complain(s, "WRONG", "MADV_COLLAPSE: %s", strerror(err));
	expect_faults(s, 0);
	expect_size(s, "4K+2M");
	expect(s, "dax_promote_entry", "entries 512 mapped 512, done");
	expect(s, "dax_collapse", "pgoff 0x200 order 9 result 0");
	for (size_t at = 0; at < SZ_2M; at += SZ_4K)
		expect_byte(s, map + BLOCK + at, 's');
}

static void run_collapse_refused(struct state *s)
{
	char *map;
	int err;

	dax_policy("off");
	misaligned_file(s);
	dax_poke(map_off_colour(s) + SPOT, 'm');
	map = map_aligned(s);
	dax_poke(map + SPOT, 's');
	start();
	err = dax_collapse(map + BLOCK, SZ_2M);
	stop(s);
	look(s, SPOT);

	if (err != EINVAL)
		complain(s, "WRONG", "MADV_COLLAPSE: %s, not EINVAL",
			 err ? strerror(err) : "success");
	expect_size(s, "4K+4K");
	expect(s, "dax_promote_entry", "order 9, refuse-fragmented");
	expect(s, "dax_collapse", "result %d, reason fragmented", -EINVAL);
	expect_byte(s, map + SPOT, 's');
}

/* As a file grows it is stored to; with the policy "eager" nobody has to ask. */
static void run_eager(struct state *s)
{
	char *map;

	dax_policy("eager");
	take_file(s, dax_file_growing(FILE_SIZE));
	map = map_aligned(s);
	start();
	for (size_t at = BLOCK; at < BLOCK + SZ_2M; at += SZ_4K) {
		dax_truncate(s->fd, at + SZ_4K);
		dax_poke(map + at, 'w');
	}
	look(s, SPOT);
	s->faults = count_finished_faults();
	s->faults_vary = true;

	expect_size(s, "2M");
	expect(s, "dax_collapse", "pgoff 0x200 order 9 result 0");
	for (size_t at = BLOCK; at < BLOCK + SZ_2M; at += SZ_4K)
		expect_byte(s, map + at, 'w');
}

/* Section 5: real files, read, written, synced and truncated. */

static void run_read_write(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_aligned(s);
	start();
	dax_poke(map + SPOT, 'm');
	expect_in_file(s, SPOT, 'm');
	dax_fill(s->fd, SPOT + 1, 1, 'p');
	expect_byte(s, map + SPOT, 'm');
	expect_byte(s, map + SPOT + 1, 'p');
	stop(s);
	look(s, SPOT);

	expect_faults(s, 1);
	expect_size(s, "2M");
}

static void run_write_to_zero(struct state *s)
{
	char *map;

	new_file(s, HOLE);
	map = map_aligned(s);
	expect_byte(s, map + SPOT, 0);
	start();
	dax_fill(s->fd, SPOT, 1, 'p');
	expect_byte(s, map + SPOT, 'p');
	stop(s);
	look(s, SPOT);

	expect_faults(s, 1);
	expect(s, "dax_delete_entry",
	       "pgoff %#lx order 9 kind zero by invalidate", BLOCK_PGOFF);
}

/*
 * Dirty, flush; clean, no flush; dirty again by a new fault, flush again. The
 * unit of all three is the entry, not the page that was stored to.
 */
static void run_fsync(struct state *s, unsigned int order)
{
	char *map, flush[64];

	snprintf(flush, sizeof(flush), "pgoff %#lx pglen %#lx",
		 order ? BLOCK_PGOFF : SPOT_PGOFF, 1UL << order);
	new_file(s, PREALLOC);
	map = order ? map_aligned(s) : map_off_colour(s);

	start();
	dax_poke(map + SPOT, 'a');
	dax_fsync(s->fd);
	expect_count(s, 1, "dax_writeback_one", flush);

	start();
	dax_fsync(s->fd);
	expect_count(s, 0, "dax_writeback_one", "");

	start();
	dax_poke(map + SPOT, 'b');
	dax_fsync(s->fd);
	expect_count(s, 1, "dax_writeback_one", flush);
	stop(s);
	look(s, SPOT);
	expect_faults(s, 1);
	expect_size(s, order ? "2M" : "4K");
}

static void run_fsync_4k(struct state *s)
{
	run_fsync(s, ORDER_4K);
}

static void run_fsync_2m(struct state *s)
{
	run_fsync(s, ORDER_2M);
}

/* A pte of a clean 2 MiB entry is stored to: all of the entry is flushed. */
static void run_fsync_pte(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	dax_poke(map_aligned(s) + SPOT, 'a');
	dax_fsync(s->fd);
	map = map_off_colour(s);
	start();
	dax_poke(map + SPOT, 'b');
	dax_fsync(s->fd);
	stop(s);
	look(s, SPOT);

	expect_faults(s, 1);
	expect_size(s, "2M+4K");
	expect_count(s, 1, "dax_writeback_one", "pgoff 0x200 pglen 0x200");
}

static void run_map_sync(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_shifted(s, FILE_SIZE, MAP_SHARED_VALIDATE | MAP_SYNC, 0);
	start();
	dax_poke(map + SPOT, 'w');
	stop(s);
	look(s, SPOT);

	expect_size(s, "2M");
	expect(s, "dax_pmd_fault_done", "NEEDDSYNC");
	expect(s, "dax_insert_pfn_mkwrite", "NOPAGE");
	expect_in_file(s, SPOT, 'w');
}

static void expect_deleted(struct state *s)
{
	stop(s);
	look(s, SPOT);
	expect_size(s, "-");
	expect(s, "dax_delete_entry",
	       "pgoff %#lx order 9 kind mapped by truncate", BLOCK_PGOFF);
}

static void run_truncate(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_aligned(s);
	dax_poke(map + SPOT, 'w');
	start();
	dax_truncate(s->fd, BLOCK + SZ_1M);
	expect_deleted(s);
	expect_byte(s, map + SPOT, 'w');
	if (dax_touch_signal(map + BLOCK + SZ_1M, false, NULL) != SIGBUS)
		complain(s, "WRONG", "no SIGBUS behind the new end of file");
}

static void run_punch(struct state *s)
{
	char *map;

	new_file(s, PREALLOC);
	map = map_aligned(s);
	dax_poke(map + SPOT, 'w');
	start();
	dax_falloc(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK,
		   SZ_2M);
	expect_deleted(s);
	expect_byte(s, map + SPOT, 0);
}

/* The rows. */

struct row {
	const char *section;
	const char *name;
	void (*run)(struct state *s);
	const struct rule *rule;	/* for run_rule() instead */
};

static const struct row kinds[] = {
	{ "kind",	"2M mapped",		run_2m_mapped },
	{ "kind",	"2M zero",		run_2m_zero },
	{ "kind",	"2M empty",		run_2m_empty },
	{ "kind",	"4K mapped",		run_4k_mapped },
	{ "kind",	"4K zero",		run_4k_zero },
	{ "kind",	"4K empty",		run_4k_empty },
};

static const struct row others[] = {
	{ "rule",	"2M locked: wait",	run_locked },
	{ "fallback",	"colour",		run_colour },
	{ "fallback",	"vma",			run_vma },
	{ "fallback",	"eof",			run_eof },
	{ "fallback",	"private-write",	run_private_write },
	{ "fallback",	"extent-short",		run_extent_short },
	{ "fallback",	"misaligned-pfn",	run_misaligned },
	{ "fallback",	"small-entries",	run_small_entries },
	{ "fallback",	"fragmented",		run_fragmented },
	{ "promote",	"mapped, zero, none; write", run_mixture },
	{ "promote",	"8 MiB off colour, aligned", run_off_colour },
	{ "promote",	"dirty, then fsync",	run_promoted_fsync },
	{ "promote",	"MADV_COLLAPSE",	run_collapse },
	{ "promote",	"MADV_COLLAPSE: EINVAL", run_collapse_refused },
	{ "promote",	"growing file, eager",	run_eager },
	{ "file",	"read(), write(), 2M",	run_read_write },
	{ "file",	"write() to zero 2M",	run_write_to_zero },
	{ "file",	"fsync 4K",		run_fsync_4k },
	{ "file",	"fsync 2M",		run_fsync_2m },
	{ "file",	"fsync 2M by one pte",	run_fsync_pte },
	{ "file",	"MAP_SYNC store, 2M",	run_map_sync },
	{ "file",	"truncate inside 2M",	run_truncate },
	{ "file",	"punch 2M",		run_punch },
};

static const char *fs;

static void print_row(const struct row *row, const struct state *s)
{
	printf("%s\t%s\t%s", fs, row->section, row->name);
	if (row->rule)
		printf(": %s", row->rule->action);
	printf("\t%s%u\t%s\t%s\t%s\n", s->faults_vary ? "~" : "", s->faults,
	       s->size, s->verdict, s->detail);
	fflush(stdout);
}

static int run_row(const struct row *row)
{
	struct state s = { .fd = -1, .verdict = "seen" };

	dax_test_setup();
	if (row->rule)
		run_rule(&s, row->rule);
	else
		row->run(&s);
	dax_test_teardown();
	print_row(row, &s);
	return 0;
}

static void run(const struct row *row)
{
	int status = dax_child(run_row(row));
	struct state s = { .size = "-", .verdict = "WRONG" };

	if (!status)
		return;
	complain(&s, "WRONG", "ended with status %d", status);
	print_row(row, &s);
}

static void run_cell(const struct dax_rule *found, unsigned int fault)
{
	struct rule rule = rule_of(found, fault);

	run(&(struct row){ "rule", rule.name, NULL, &rule });
}

int main(int argc, char **argv)
{
	if (argc != 2 || !getenv("DAX_DIR")) {
		fprintf(stderr, "usage: DAX_DIR=DIRECTORY demo ext4|xfs\n");
		return 2;
	}
	fs = argv[1];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		run(&kinds[i]);
	for (size_t i = 0; i < ARRAY_LEN(dax_rules); i++)
		for (size_t fault = 0; fault < NR_FAULTS; fault++)
			if (dax_rules[i].order <= ORDER_2M)
				run_cell(&dax_rules[i], fault);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		run(&others[i]);
	return 0;
}
