// SPDX-License-Identifier: GPL-2.0-only
/*
 * A debugger, or process_vm_writev(), stores to a private DAX mapping of
 * another process: that process gets a copy of the file's page with the word in
 * it, whatever the first process maps at the same address. The same holds for a
 * store by /proc/self/mem, even without read permission.
 */
#include <sys/ptrace.h>

#include "dax_harness.h"

#define WORD		0x1122334455667788L
#define AT		(24 * SZ_4K + 40)	/* where it goes */

/* The mapping of the process that pokes, at the same address. */
enum here {
	SAME,		/* the mapping, not touched */
	OTHER,		/* other bytes */
	NOTHING,
};

/* Off colour for small pages. */
static char *map_file(int fd, int prot, const char *size)
{
	return dax_mmap(fd, 0, SZ_2M, prot, MAP_PRIVATE,
			*size == '4' ? SZ_4K : 0);
}

/* The process that is stored to. */

/* 0 if all is the file's but the word, 1 if that is missing, 2 for the rest. */
static int poked_well(const char *p)
{
	long word;

	memcpy(&word, p + AT, sizeof(word));
	if (word != WORD)
		return 1;
	return dax_differs(p, AT, FILL) < 0 &&
	       dax_differs(p + AT + sizeof(word), SZ_2M - AT - sizeof(word),
			   FILL) < 0 ? 0 : 2;
}

enum { TOUCH, SIZE, CHECK };

static int poked(int step, void *arg)
{
	char *p = arg;

	switch (step) {
	case TOUCH:
		dax_peek(p + AT);
		return 0;
	case SIZE:
		return dax_mapped(p + AT)[0];
	}
	return poked_well(p);
}

/* Ways to store: 0 or an errno. */

static int by_ptrace(pid_t pid, char *addr)
{
	int err = 0;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL))
		return errno;
	waitpid(pid, NULL, 0);
	if (ptrace(PTRACE_POKEDATA, pid, addr, WORD))
		err = errno;
	if (ptrace(PTRACE_DETACH, pid, NULL, NULL))
		return errno;
	return err;
}

static int by_writev(pid_t pid, char *addr)
{
	long word = WORD;
	struct iovec from = { &word, sizeof(word) };
	struct iovec to = { addr, sizeof(word) };

	return process_vm_writev(pid, &from, 1, &to, 1, 0) == sizeof(word) ?
		0 : errno;
}

static int by_mem(pid_t pid, char *addr)
{
	int fd = open(dax_text("/proc/%d/mem", pid), O_RDWR);
	long word = WORD;
	ssize_t n;

	if (fd < 0)
		return errno;
	n = pwrite(fd, &word, sizeof(word), (uintptr_t)addr);
	close(fd);
	return n == sizeof(word) ? 0 : errno;
}

static void have_here(enum here here, char *p)
{
	if (here != SAME)
		dax_unmap(p, SZ_2M);
	if (here != OTHER)
		return;
	if (mmap(p, SZ_2M, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
		dax_exit_fail("mmap: %m");
	memset(p, 'x', SZ_2M);
}

#define READ	PROT_READ
#define WRITE	(PROT_READ | PROT_WRITE)

DAX_VARIANTS(poke, dax_needs(), const char *size; int prot; enum here here;
	     int (*by)(pid_t pid, char *addr);)

FIXTURE_VARIANT_ADD(poke, breakpoint) { "4K", READ, OTHER, by_ptrace };
FIXTURE_VARIANT_ADD(poke, breakpoint_nothing_here) { "4K", READ, NOTHING, by_ptrace };
FIXTURE_VARIANT_ADD(poke, breakpoint_same_here) { "4K", READ, SAME, by_ptrace };
FIXTURE_VARIANT_ADD(poke, breakpoint_writable) { "4K", WRITE, OTHER, by_ptrace };
FIXTURE_VARIANT_ADD(poke, breakpoint_huge) { "2M", READ, OTHER, by_ptrace };
FIXTURE_VARIANT_ADD(poke, breakpoint_untouched) { "none", READ, OTHER, by_ptrace };
FIXTURE_VARIANT_ADD(poke, writev) { "4K", WRITE, OTHER, by_writev };
FIXTURE_VARIANT_ADD(poke, writev_nothing_here) { "4K", WRITE, NOTHING, by_writev };
FIXTURE_VARIANT_ADD(poke, writev_huge) { "2M", WRITE, NOTHING, by_writev };
FIXTURE_VARIANT_ADD(poke, mem) { "4K", READ, OTHER, by_mem };
FIXTURE_VARIANT_ADD(poke, mem_nothing_here) { "4K", READ, NOTHING, by_mem };
FIXTURE_VARIANT_ADD(poke, mem_huge) { "2M", READ, OTHER, by_mem };

/* @size: by what the page is mapped, "4K", "2M" or "none". */
TEST_F(poke, private_page_of_another)
{
	int fd = dax_file(2 * SZ_2M, WRITTEN);
	char *p = map_file(fd, variant->prot, variant->size), *file;
	struct dax_helper peer;

	dax_helper_start(&peer, poked, p);
	have_here(variant->here, p);
	if (*variant->size != 'n')
		dax_helper_step(&peer, TOUCH);
	ASSERT_EQ(*variant->size, dax_helper_step(&peer, SIZE));
	EXPECT_EQ(0, variant->by(peer.pid, p + AT));
	EXPECT_EQ(0, dax_helper_step(&peer, CHECK));
	dax_helper_stop(&peer);
	file = dax_map(fd, 0, SZ_2M);
	EXPECT_BYTES(FILL, file, SZ_2M);
}

/* A page that one process has poked is copied again for its child. */
static int poke_again(char *p)
{
	return by_mem(getpid(), p + AT) || poked_well(p);
}

TEST_F(dax, in_a_child)
{
	char *p = map_file(dax_file(2 * SZ_2M, WRITTEN), PROT_READ, "4K");

	dax_peek(p + AT);
	ASSERT_MAPPED("4K", p + AT);
	ASSERT_EQ(0, by_mem(getpid(), p + AT));
	EXPECT_EQ(0, poked_well(p));
	EXPECT_EQ(0, dax_child(poke_again(p)));
	EXPECT_EQ(0, poked_well(p));
}

/* Its own mapping, which it may not access: nor may the kernel, by address. */
static void poke_own(const char *size)
{
	char *p = map_file(dax_file(2 * SZ_2M, WRITTEN), PROT_READ, size);

	dax_peek(p + AT);
	ASSERT_MAPPED(size, p + AT);
	ASSERT_EQ(0, mprotect(p, SZ_2M, PROT_NONE));
	ASSERT_EQ(0, by_mem(getpid(), p + AT));
	ASSERT_EQ(0, mprotect(p, SZ_2M, PROT_READ));
	EXPECT_EQ(0, poked_well(p));
}

TEST_F(dax, no_access) DAX_CALL(poke_own("4K"))
TEST_F(dax, no_access_huge) DAX_CALL(poke_own("2M"))

TEST_HARNESS_MAIN
