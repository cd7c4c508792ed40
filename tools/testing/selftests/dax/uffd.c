// SPDX-License-Identifier: GPL-2.0-only
/*
 * userfaultfd does not write-protect DAX, nor does PAGEMAP_SCAN: the one mode
 * that accepts any type of memory refuses a DAX mapping, as all others do, so
 * that no fault repeats for ever.
 */
#include <linux/userfaultfd.h>

#include "dax_harness.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY	1
#endif

/* Ends a fault that repeats for ever. */
#define FAULT_SECONDS	15

#define READ_WRITE	(PROT_READ | PROT_WRITE)

/* Any user may open it, without a privilege. */
static int open_uffd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		return -1;
	}
	return uffd;
}

static int open_async(void)
{
	return open_uffd(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
}

/* 0 or the errno. */
static int try_register(int uffd, char *p, size_t len, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)p, .len = len },
		.mode = mode,
	};

	return ioctl(uffd, UFFDIO_REGISTER, &reg) ? errno : 0;
}

static int write_protect(int uffd, char *p, size_t len)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)p, .len = len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? errno : 0;
}

DAX_NEEDS(open_async() < 0 ? "needs userfaultfd with WP_ASYNC" : NULL)

static void refused(int flags)
{
	static const uint64_t modes[] = {
		UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MISSING,
		UFFDIO_REGISTER_MODE_MINOR,
		UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING,
	};
	int async = open_async(), plain = open_uffd(0);
	char *p, *anonymous;
	int fd;

	ASSERT_LE(0, plain);
	fd = dax_file(2 * SZ_2M, WRITTEN);
	p = dax_mmap(fd, 0, 2 * SZ_2M, PROT_READ | PROT_WRITE, flags, 0);
	dax_peek(p);
	for (unsigned int i = 0; i < ARRAY_LEN(modes); i++) {
		EXPECT_EQ(EINVAL, try_register(async, p, SZ_2M, modes[i]));
		EXPECT_EQ(EINVAL, try_register(plain, p, SZ_2M, modes[i]));
	}
	EXPECT_NE(0, write_protect(async, p, SZ_2M));

	/* It is the file that is refused: other memory is not. */
	anonymous = dax_anonymous(SZ_2M, READ_WRITE);
	EXPECT_EQ(0, try_register(async, anonymous, SZ_2M,
				  UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(0, write_protect(async, anonymous, SZ_2M));
}

TEST_F(dax, refused_shared) DAX_CALL(refused(MAP_SHARED))
TEST_F(dax, refused_private) DAX_CALL(refused(MAP_PRIVATE))

/* One DAX mapping in the range is enough, and then nothing is registered. */
TEST_F(dax, refused_beside_others)
{
	char *p = dax_anonymous(3 * SZ_2M, READ_WRITE);
	int uffd = open_async();

	if (mmap(p + SZ_2M, SZ_2M, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, dax_file(SZ_2M, WRITTEN), 0) !=
	    p + SZ_2M)
		dax_exit_fail("mmap: %m");
	EXPECT_EQ(EINVAL, try_register(uffd, p, 3 * SZ_2M,
				       UFFDIO_REGISTER_MODE_WP));
	EXPECT_NE(0, write_protect(uffd, p, SZ_2M));
	EXPECT_EQ(0, try_register(uffd, p, SZ_2M, UFFDIO_REGISTER_MODE_WP));
}

/*
 * Whatever userfaultfd says, a load and a store come to an end. It is a child
 * that tries, and it does not call the kernel with these addresses: in a system
 * call the fault could not be ended.
 */
struct attempt {
	size_t shift;
	bool touched, store;
};

static int protect_and_touch(const struct attempt *attempt, char *p)
{
	char *addr = p + 5 * SZ_4K;
	int uffd = open_async();

	if (attempt->touched)
		dax_peek(p);
	if (!try_register(uffd, p, SZ_2M, UFFDIO_REGISTER_MODE_WP) &&
	    write_protect(uffd, p, SZ_2M))
		return 1;
	alarm(FAULT_SECONDS);
	if (attempt->store)
		dax_poke(addr, 'w');
	return dax_peek(addr) == (attempt->store ? 'w' : FILL) ? 0 : 2;
}

TEST_F(dax, comes_to_an_end)
{
	static const struct attempt attempts[] = {
		{ 0, false, false },	/* a load of nothing mapped */
		{ SZ_4K, true, false },	/* a load of no small page */
		{ 0, false, true },	/* a store to nothing mapped */
		{ 0, true, true },	/* a store to a huge page */
	};

	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		char *p = dax_map_shift(dax_file(2 * SZ_2M, WRITTEN), SZ_2M,
					attempts[i].shift);

		EXPECT_EQ(0, dax_child(protect_and_touch(&attempts[i], p)))
			TH_LOG("attempt %zu", i);
	}
}

/* PAGEMAP_SCAN is to write-protect what it finds: it leaves DAX alone. */
static long scan(char *p, size_t len, uint64_t flags)
{
	struct page_region regions[8];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + len,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_LEN(regions),
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long ret = ioctl(fd, PAGEMAP_SCAN, &arg);

	if (ret < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int scan_and_touch(char *p)
{
	int uffd = open_async();

	try_register(uffd, p, SZ_2M, UFFDIO_REGISTER_MODE_WP);
	if (scan(p, SZ_2M, PM_SCAN_WP_MATCHING) < 0)
		return 1;
	alarm(FAULT_SECONDS);
	for (size_t at = 0; at < SZ_2M; at += 64 * SZ_4K) {
		if (dax_peek(p + at) != FILL)
			return 2;
		dax_poke(p + at, 'w');
		if (dax_peek(p + at) != 'w')
			return 3;
	}
	return 0;
}

TEST_F(dax, pagemap_scan)
{
	int uffd = open_async();
	char *p = dax_map(dax_file(SZ_2M, WRITTEN), 0, SZ_2M), *anonymous;

	EXPECT_EQ(0, dax_child(scan_and_touch(p)));
	dax_poke(p, 'x');
	try_register(uffd, p, SZ_2M, UFFDIO_REGISTER_MODE_WP);
	EXPECT_EQ(-EPERM, scan(p, SZ_2M,
			       PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC));

	anonymous = dax_anonymous(SZ_4K, READ_WRITE);
	dax_poke(anonymous, 'w');
	ASSERT_EQ(0, try_register(uffd, anonymous, SZ_4K,
				  UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(1, scan(anonymous, SZ_4K,
			  PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC));
}

TEST_HARNESS_MAIN
