// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory failure in a file: the right page is marked, each process that maps it
 * gets SIGBUS with the right address, and the rest of the file stays usable.
 *
 * MADV_HWPOISON does what a machine check would do. Each test has a scratch
 * filesystem of its own, since a poisoned page stays poisoned: neither
 * unpoison-pfn nor /proc/kpageflags support pages of a device. A kprobe event
 * therefore reads the flag from the array of struct pages.
 */
#include "dax_harness.h"
#include "dax_hold.h"

#define KPROBE_EVENTS	TRACEFS "/kprobe_events"
#define STRUCT_PAGE	64
#define VMEMMAP		0xffffea0000000000ULL

/* A filesystem for poison. XFS with rmapbt finds the files by itself. */
static const char *poison_fs(const char *mkfs)
{
	if (access("/proc/sys/vm/memory_failure_early_kill", F_OK))
		return "needs CONFIG_MEMORY_FAILURE";
	return dax_scratch(400, dax_is_xfs() ? mkfs : "", "dax=always");
}

static const char *reverse_map = "-m reflink=1,rmapbt=1";
static const char *no_reverse_map = "-m reflink=1,rmapbt=0";

DAX_NEEDS(poison_fs(reverse_map))

/* Tests that make another filesystem. */
DAX_FIXTURE(own_fs, NULL)

/*
 * A probe on a system call that the test then makes. Its arguments are the words
 * page->flags of three pages. Without data symbols the array is where x86-64 has
 * it when addresses are not randomised.
 */
#define NR_FLAGS	3
#define PROBE		"p:dax_test/page_%d __x64_sys_getppid"

static bool probe_flags(const uint64_t *pfn, bool by_symbol)
{
	const char *where[NR_FLAGS];

	for (int i = 0; i < NR_FLAGS; i++) {
		unsigned long long offset = pfn[i] * STRUCT_PAGE;

		where[i] = by_symbol ?
			dax_text("+%llu(@vmemmap_base)", offset) :
			dax_text("@0x%llx", VMEMMAP + offset);
	}
	return !dax_write_file(KPROBE_EVENTS, PROBE " flags=%s:x64 flags1=%s:x64 flags2=%s:x64",
			       getpid(), where[0], where[1], where[2]);
}

static bool read_flags(uint64_t *flags)
{
	const char *text, *path = dax_text("dax_test/page_%d", getpid());
	bool found;

	dax_trace_thread(path, NULL);
	syscall(SYS_getppid);
	text = strstr(dax_trace_text(), "flags=");
	found = text && sscanf(text, "flags=%lx flags1=%lx flags2=%lx",
			       &flags[0], &flags[1], &flags[2]) == NR_FLAGS;
	dax_trace_stop(path);
	dax_trace_clear();
	return found;
}

static void unprobe_flags(void)
{
	dax_write_file(KPROBE_EVENTS, "-:dax_test/page_%d", getpid());
}

/* The flags of the pages, from now on until unprobe_flags(). */
static bool flags_readable(const uint64_t *pfn, uint64_t *flags)
{
	for (int by_symbol = 1; by_symbol >= 0; by_symbol--) {
		if (probe_flags(pfn, by_symbol) && read_flags(flags))
			return true;
		unprobe_flags();
	}
	return false;
}

static void poison_at(char *at)
{
	siginfo_t info = {};

	EXPECT_EQ(SIGBUS, dax_poison(at, &info));
	EXPECT_EQ(BUS_MCEERR_AR, info.si_code);
	EXPECT_EQ((uintptr_t)at, (uintptr_t)info.si_addr & -SZ_4K);
}

/* Poisons page @page of a mapping of 2 MiB, and looks at the flags around. */
static void poison_one(char *p, unsigned int page)
{
	uint64_t first = dax_pfn(p), pfn = dax_pfn(p + page * SZ_4K);
	uint64_t pfns[NR_FLAGS] = { pfn, first, pfn + 1 };
	uint64_t before[NR_FLAGS], after[NR_FLAGS] = {};
	bool readable;

	EXPECT_EQ(first + page, pfn);
	readable = flags_readable(pfns, before);
	poison_at(p + page * SZ_4K);
	if (!readable) {
		dax_print_msg("page flags not seen: no kprobe events here");
		return;
	}
	read_flags(after);
	unprobe_flags();
	EXPECT_NE(before[0], after[0]);
	EXPECT_EQ(before[1], after[1]);
	EXPECT_EQ(before[2], after[2]);
}

/* The rest works: other pages of the same entry, other files. */
static void rest_is_well(int fd, char *p, unsigned int page)
{
	int other;

	for (unsigned int i = 0; i < PAGES_2M; i += 51) {
		if (i == page)
			continue;
		EXPECT_EQ(0, dax_touch_signal(p + i * SZ_4K + 1, true, NULL));
		EXPECT_EQ(FILL, dax_peek(p + i * SZ_4K));
	}
	dax_fsync(fd);
	other = dax_create("other");
	dax_fill(other, 0, SZ_4K, 'o');
	EXPECT_FILE('o', other, 0, SZ_4K);
	close(other);
}

/* In the middle of a 2 MiB entry. */
TEST_F(dax, middle_of_2m)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map(fd, 0, SZ_2M);

	dax_poke(p + 100 * SZ_4K + 1, 'w');
	ASSERT_MAPPED("2M", p);
	poison_one(p, 100);
	rest_is_well(fd, p, 100);
}

TEST_F(dax, small_entry)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *p = dax_map_small(fd, SZ_2M);

	dax_peek(p + 33 * SZ_4K);
	ASSERT_MAPPED("4K", p + 33 * SZ_4K);
	poison_at(p + 33 * SZ_4K);
	rest_is_well(fd, p, 33);
}

/* The page is mapped by a pte out of a 2 MiB entry, too. */
TEST_F(dax, both_sizes)
{
	int fd = dax_file(SZ_2M, WRITTEN);
	char *huge = dax_map(fd, 0, SZ_2M), *p;

	dax_peek(huge);
	p = dax_map(fd, 60 * SZ_4K, SZ_4K);
	dax_peek(p);
	ASSERT_MAPPED("2M", huge);
	ASSERT_MAPPED("4K", p);
	EXPECT_EQ(SIGBUS, dax_poison(p, NULL));
	rest_is_well(fd, huge, 60);
}

/*
 * One of two mappings is gone, or has not been touched yet: the signal is SIGBUS,
 * not SIGKILL.
 */
static int one_of_two(int fd, bool touched)
{
	char *a = dax_map(fd, 0, SZ_2M), *b = dax_map(fd, 0, SZ_2M);

	if (touched)
		dax_peek(a);
	dax_peek(b);
	if (touched)
		dax_unmap(a, SZ_2M);
	else if (strcmp("none", dax_mapped(a)))
		return 1;
	return dax_poison(b + (touched ? 5 : 6) * SZ_4K, NULL);
}

static void expect_sigbus(bool touched)
{
	EXPECT_EQ(SIGBUS, dax_child(one_of_two(dax_file(SZ_2M, WRITTEN), touched)));
}

TEST_F(dax, one_mapping_gone) DAX_CALL(expect_sigbus(true))
TEST_F(dax, one_mapping_untouched) DAX_CALL(expect_sigbus(false))

/*
 * A page that belongs to no file any more: no signal, no mapping to follow.
 */
#define HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"

TEST_F(dax, freed_page)
{
	uint64_t pfn;
	int fd, err;
	char *p;

	NEED(access(HARD_OFFLINE, W_OK) ? "needs " HARD_OFFLINE : NULL);
	fd = dax_file(SZ_2M, WRITTEN);
	p = dax_map(fd, 0, SZ_2M);
	dax_peek(p);
	pfn = dax_pfn(p + 400 * SZ_4K);
	ASSERT_NE(0, pfn);
	dax_truncate(fd, 0);
	dax_fsync(fd);
	err = dax_write_file(HARD_OFFLINE, "%#llx",
			     (unsigned long long)pfn * SZ_4K);
	/* XFS has looked, and found that it is free: that is an answer. */
	EXPECT_EQ(dax_is_xfs() ? 0 : -EBUSY, err);
	dax_fill(fd, 0, SZ_4K, 'a');
	EXPECT_EQ('a', dax_peek(p));
}

/*
 * Another process maps the page as well, does not access it at that moment, and
 * gets a signal of its own.
 */
struct owner {
	int fd;
	char *p;		/* its mapping; NULL: it makes one of 2 MiB */
	unsigned int page;
	int ready[2];
};

static int wait_for_poison(struct owner *owner)
{
	char *p = owner->p ?: dax_map(owner->fd, 0, SZ_2M);
	siginfo_t info = {};
	sigset_t bus;

	/* By default only the task that hit the poison gets a signal at once. */
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	sigprocmask(SIG_BLOCK, &bus, NULL);
	p += owner->page * SZ_4K;
	dax_peek(p);
	if (write(owner->ready[1], "r", 1) != 1)
		return 1;
	if (sigwaitinfo(&bus, &info) != SIGBUS)
		return 2;
	return ((uintptr_t)info.si_addr & -SZ_4K) == (uintptr_t)p ? 0 : 3;
}

/* Returns when the process waits. */
static pid_t start_owner(struct owner *owner)
{
	pid_t pid;
	char c;

	if (pipe(owner->ready))
		dax_exit_fail("pipe: %m");
	pid = dax_spawn(wait_for_poison(owner));
	if (read(owner->ready[0], &c, 1) != 1)
		dax_exit_fail("the other process does not wait for the poison");
	return pid;
}

TEST_F(dax, other_process)
{
	struct owner owner = { .fd = dax_file(SZ_2M, WRITTEN), .page = 9 };
	char *p = dax_map(owner.fd, 0, SZ_2M);
	pid_t pid;

	dax_peek(p);
	pid = start_owner(&owner);
	EXPECT_EQ(SIGBUS, dax_poison(p + 9 * SZ_4K, NULL));
	EXPECT_EQ(0, dax_wait(pid));
}

/*
 * A promoted range is one entry, mapped by ptes where it was small, and huge
 * elsewhere: the page and each reported address are the right ones. Each of
 * these tests poisons another page, as the next filesystem has the same blocks.
 */
static int fd;
static char *small, *huge;

static const char *promote_one(void)
{
	fd = dax_file(SZ_2M, WRITTEN);
	small = dax_map_small(fd, SZ_2M);
	for (unsigned int page = 0; page < PAGES_2M; page += 3) {
		if (page % 2)
			dax_poke(small + page * SZ_4K + 1, 's');
		else
			dax_peek(small + page * SZ_4K);
	}
	huge = dax_map(fd, 0, SZ_2M);
	dax_poke(huge + 100 * SZ_4K + 1, 'w');
	ASSERT_MAPPED("2M", huge);
	ASSERT_MAPPED("4K", small + 99 * SZ_4K);
	return NULL;
}

DAX_FIXTURE(promoted, dax_no_promotion() ?: dax_needs() ?: promote_one())

TEST_F(promoted, middle_of_promoted)
{
	poison_one(huge, 130);
	rest_is_well(fd, huge, 130);
	rest_is_well(fd, small, 130);
}

TEST_F(promoted, pte_of_promoted)
{
	poison_at(small + 99 * SZ_4K);
	rest_is_well(fd, huge, 99);
	rest_is_well(fd, small, 99);
}

/* A process that maps the page by a pte. */
TEST_F(promoted, other_process_of_promoted)
{
	struct owner owner = { .p = small, .page = 201 };
	pid_t pid = start_owner(&owner);

	dax_unmap(small, SZ_2M);
	EXPECT_EQ(SIGBUS, dax_poison(huge + owner.page * SZ_4K, NULL));
	EXPECT_EQ(0, dax_wait(pid));
}

/* XFS without a reverse map. A kernel that has the bug does not survive it. */
static const char *no_shared_poison(void)
{
	const char *why = dax_no_reflink();

	if (!why && !getenv("DAX_TEST_CRASH"))
		why = dax_no_event("dax_grab_entry");
	return why ?: poison_fs(no_reverse_map);
}

DAX_FIXTURE(shared, no_shared_poison())

/*
 * A page of two files on XFS without a reverse map: the files cannot be found,
 * and the mark of a shared page must not be taken for a pointer.
 */
TEST_F(shared, shared_without_reverse_map)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *a = dax_map(fd, 0, SZ_2M), *b = dax_map(clone, 0, SZ_2M);

	dax_peek(a);
	dax_peek(b);
	ASSERT_EQ(dax_pfn(a), dax_pfn(b));
	/* A signal or an error, but not the word that all is well. */
	EXPECT_NE(0, dax_poison(a + 4 * SZ_4K, NULL));
	EXPECT_EQ(0, dax_touch_signal(b + SZ_2M - 1, false, NULL));
	EXPECT_EQ(FILL, dax_peek(b + SZ_2M - 1));
}

/*
 * The page belongs to one file when it fails, and a second file maps it while
 * memory failure handles it: the page's owner must not change meanwhile.
 *
 * Memory failure is held when it unmaps the page, with the folio locked, in a
 * function that can be preempted. It must not have got further than that.
 */
static const char *failure_events(void)
{
	if (dax_no_hold())
		return dax_no_hold();
	if (dax_write_file(KPROBE_EVENTS,
			   "p:dax_test/failure_has_page unmap_mapping_range\n"
			   "p:dax_test/failure_is_done dax_unlock_folio\n"))
		return "needs CONFIG_KPROBE_EVENTS, and both functions in it";
	return NULL;
}

TEST_F(shared, not_shared_during_failure)
{
	struct dax_hold *hold;
	pid_t victim, sharer;
	int fd, clone;
	char *a, *b;
	bool held;

	NEED(failure_events());
	fd = dax_file(SZ_2M, WRITTEN);
	a = dax_map(fd, 0, SZ_2M);
	/* While there is no clone yet: the page gets to know its file. */
	dax_peek(a);
	clone = dax_clone(fd, "clone");
	b = dax_map(clone, 0, SZ_2M);
	ASSERT_EQ(dax_block(fd, 0), dax_block(clone, 0));

	hold = dax_hold_start("dax_test", "failure_is_done");
	EXPECT_TRUE(hold->ready);
	victim = dax_spawn_held(hold, dax_poison(a + 77 * SZ_4K, NULL));
	held = dax_held(hold, victim);
	if (held) {
		sharer = dax_stall_touch(b + 77 * SZ_4K, false, 0);
		while (!dax_ended(sharer) && !dax_sleeps_in(sharer, "rwsem"))
			usleep(1000);
		EXPECT_FALSE(dax_ended(sharer)) {
			TH_LOG("the page became shared under memory failure");
			/* This kernel is at its end: let it be read. */
			sleep(1);
		}
		hold->go_on = true;
		EXPECT_EQ(0, dax_wait(sharer));
	}
	EXPECT_EQ(SIGBUS, dax_hold_end(hold, victim));
	dax_write_file(KPROBE_EVENTS, "-:dax_test/failure_has_page\n"
		       "-:dax_test/failure_is_done\n");
	if (!held)
		SKIP(return, "memory failure was not preempted");
	/* The page belongs to both now, and the files cannot be found. */
	EXPECT_EQ(-EBUSY, dax_poison(a + 78 * SZ_4K, NULL));
}

/* With one, both files are found. */
static int poison_clone(const int *fd)
{
	char *a = dax_map(fd[0], 0, SZ_2M), *b = dax_map(fd[1], 0, SZ_2M);

	dax_peek(a);
	dax_peek(b);
	if (dax_pfn(a) != dax_pfn(b))
		return 1;
	return dax_poison(b + 4 * SZ_4K, NULL);
}

DAX_FIXTURE(found, dax_no_reflink() ?: dax_needs())

TEST_F(found, shared_with_reverse_map)
{
	int fd[2];

	fd[0] = dax_file(SZ_2M, WRITTEN);
	fd[1] = dax_clone(fd[0], "clone");
	EXPECT_EQ(SIGBUS, dax_child(poison_clone(fd)));
}

/*
 * Many pages poisoned while another thread faults, truncates and unlinks the
 * file: no hang, no file used after it is gone.
 */
static void make_and_cut(unsigned long nr)
{
	int fd = dax_create(dax_text("churn-%lu", nr));

	dax_fill(fd, 0, SZ_1M, 'c');
	dax_truncate(fd, SZ_4K);
	dax_remove(fd);
}

TEST_F(dax, against_truncate)
{
	unsigned int rounds = dax_scale(12), odd = 0;

	dax_background(make_and_cut);
	for (unsigned int i = 0; i < rounds; i++) {
		int fd = dax_file(SZ_2M, WRITTEN), sig;
		char *p = dax_map(fd, 0, SZ_2M);

		dax_peek(p);
		sig = dax_poison(p + i * SZ_4K, NULL);
		odd += sig != SIGBUS;
		dax_truncate(fd, i * SZ_4K);
		dax_unmap(p, SZ_2M);
		dax_remove(fd);
	}
	dax_background_stop();
	EXPECT_EQ(0, odd);
}

/*
 * The driver is unbound from the device while a file there is mapped. XFS
 * unmaps the memory everywhere and shuts down; it can be unmounted, and the
 * device can be bound again.
 */
TEST_F(own_fs, device_goes)
{
	struct dax_driver driver;
	char *p;
	int fd;

	NEED_XFS();
	NEED(dax_scratch_driver(&driver));
	/* XFS in 6.12 counts on it that the device ends where it ends itself. */
	NEED(dax_scratch(driver.mib, reverse_map, "dax=always"));
	fd = dax_file(SZ_2M, WRITTEN);
	p = dax_map(fd, 0, SZ_2M);
	dax_poke(p, 'w');
	/* This process gets the signal at once, too, but not by an access. */
	signal(SIGBUS, SIG_IGN);
	ASSERT_EQ(0, dax_sh("dmesg -C"));
	ASSERT_EQ(0, dax_child((dax_unbind(&driver), 0)));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p, false, NULL));
	EXPECT_EQ(SIGBUS, dax_touch_signal(p + SZ_4K, true, NULL));
	dax_unmap(p, SZ_2M);
	close(fd);
	dax_scratch_drop();
	/* A reference that was not put is found when it is unmounted. */
	EXPECT_EQ(0, dax_sh("! dmesg | grep 'XFS.*Internal error'"));
	dax_bind(&driver);
}

TEST_HARNESS_MAIN
