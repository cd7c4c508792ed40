// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_SYNC: before a page becomes writable, the metadata that leads to it is
 * on the media. The fault says so with NEEDDSYNC, the filesystem syncs, and
 * the fault is finished.
 */
#include <sys/xattr.h>

#include "dax_harness.h"

DAX_SIZES(dax);

/* The event that tells the result of a fault. */
#define DONE	(variant->shift ? "dax_pte_fault_done" : "dax_pmd_fault_done")

static char *map_sync(int fd, size_t size)
{
	return dax_mmap(fd, 0, size, PROT_READ | PROT_WRITE,
			MAP_SHARED_VALIDATE | MAP_SYNC, 0);
}

DAX_SIZES_FILE(synced, dax_file(SZ_2M, PREALLOC),
	       map_sync(self->fd, variant->size));

#define NEED_SYNC()	dax_count_ends(DONE, "NEEDDSYNC")

TEST_F(synced, first_write_syncs)
{
	dax_trace(self->fd, NULL);
	dax_poke(self->p, 'w');
	EXPECT_EQ(1, NEED_SYNC());
	EXPECT_EQ(1, dax_count_all("dax_insert_pfn_mkwrite"));
	EXPECT_MAPPED(variant->mapped, self->p);
	EXPECT_EQ('w', dax_peek(self->p));

	/* The rest of it needs no fault any more. */
	dax_trace_clear();
	dax_poke(self->p + variant->size - 1, 'w');
	EXPECT_EQ(0, dax_count_all(DONE));
}

/* The blocks are known to the media now: nothing to sync a second time. */
static void store_again(size_t size, const char *mapped, const char *done,
			bool fsync)
{
	int fd = dax_file(SZ_2M, PREALLOC);
	char *p = map_sync(fd, size);

	dax_poke(p, 'w');
	if (fsync)
		dax_fsync(fd);
	dax_zap(p, size);
	dax_trace(fd, NULL);
	dax_poke(p, 'x');
	EXPECT_EQ(0, dax_count_ends(done, "NEEDDSYNC"));
	EXPECT_EQ(1, dax_count_all(done));
	EXPECT_MAPPED(mapped, p);
	EXPECT_EQ('x', dax_peek(p));
}

TEST_F(dax, second_write_not_synced)
	DAX_CALL(store_again(variant->size, variant->mapped, DONE, true))

/* The same if only the fault has synced. */
TEST_F(dax, synced_by_fault)
	DAX_CALL(store_again(variant->size, variant->mapped, DONE, false))

/*
 * What a mapping without MAP_SYNC has made dirty has blocks, which the media do
 * not know of: a page that is dirty is no reason not to sync.
 */
TEST_F(synced, dirty_page_syncs)
{
	char *plain = dax_map(self->fd, 0, variant->size);

	dax_poke(plain, 'd');
	dax_trace(self->fd, NULL);
	dax_poke(self->p + 1, 'w');
	EXPECT_EQ(1, NEED_SYNC());
	EXPECT_MAPPED(variant->mapped, self->p);
	EXPECT_EQ('d', dax_peek(self->p));
	EXPECT_EQ('w', dax_peek(plain + 1));
}

/*
 * After a setxattr(2) on any file, ext4 tracks no inode for fast commits until the
 * next commit. The inode is on no list then, but its metadata are not durable.
 */
TEST_F(dax, synced_without_fast_commit)
{
	int fd, other;
	char *p;

	NEED(dax_is_xfs() ? "fast_commit is a feature of ext4" : NULL);
	NEED(dax_scratch(400, "-O fast_commit", "dax=always"));
	fd = dax_file(SZ_2M, PREALLOC);
	other = dax_create("other");
	p = map_sync(fd, variant->size);
	dax_trace(fd, NULL);
	ASSERT_EQ(0, syncfs(fd));
	ASSERT_EQ(0, fsetxattr(other, "user.dax", "x", 1, 0));
	dax_poke(p, 'w');
	EXPECT_EQ(1, NEED_SYNC());
	EXPECT_MAPPED(variant->mapped, p);
}

TEST_F(synced, read_not_synced)
{
	dax_trace(self->fd, NULL);
	dax_peek(self->p);
	EXPECT_EQ(0, NEED_SYNC());
	EXPECT_EQ(1, dax_count_all(DONE));
	dax_poke(self->p, 'w');
	EXPECT_EQ(1, NEED_SYNC());
	EXPECT_EQ('w', dax_peek(self->p));
}

/* Zeros that another mapping sees are replaced as by any write. */
TEST_F(synced, zero_page_replaced)
{
	char *other = dax_map(self->fd, 0, variant->size);

	dax_peek(other);
	dax_peek(self->p);
	dax_poke(self->p, 'w');
	EXPECT_EQ('w', dax_peek(other));
	EXPECT_EQ(dax_pfn(self->p), dax_pfn(other));
}

/* Store right after the fault's own sync, then syncfs. (F12) */
TEST_F(synced, syncfs_flushes)
{
	dax_trace(self->fd, "dax_writeback_one");
	dax_poke(self->p, 'w');
	dax_trace_clear();
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(1, FLUSHES());
	EXPECT_EQ(1, dax_count("dax_writeback_one", "pgoff 0x0, pglen 0x%lx",
			       variant->size / SZ_4K));
}

TEST_F(dax, private_mapping_not_synced)
{
	int fd = dax_file(SZ_2M, PREALLOC);

	EXPECT_EQ(MAP_FAILED, mmap(NULL, SZ_4K, PROT_READ, MAP_PRIVATE | MAP_SYNC |
				   MAP_SHARED_VALIDATE, memfd_create("m", 0), 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_NE(MAP_FAILED, mmap(NULL, SZ_4K, PROT_READ,
				   MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
}

/* Two threads fault, a third one syncs; all stores are there. */
static struct {
	int fd;
	char *p;
} race;

static void store_and_sync(unsigned int id, void *arg)
{
	if (id == 2) {
		dax_fsync(race.fd);
		return;
	}
	dax_poke(race.p + id * 64, 'w');
}

TEST_F(dax, faults_together)
{
	unsigned int rounds = dax_scale(25);

	race.fd = dax_file(SZ_2M, PREALLOC);
	race.p = map_sync(race.fd, variant->size);
	for (unsigned int i = 0; i < rounds; i++) {
		dax_run_threads(3, store_and_sync, NULL);
		ASSERT_EQ('w', dax_peek(race.p));
		ASSERT_EQ('w', dax_peek(race.p + 64));
		dax_falloc(race.fd, FALLOC_FL_ZERO_RANGE, 0, SZ_2M);
		ASSERT_EQ(0, dax_peek(race.p));
	}
}

/* What is not DAX cannot keep the promise, and says so. (F11) */
TEST_F(dax, refused_without_dax)
{
	char path[PATH_MAX];
	void *p;
	int fd;

	NEED(dax_scratch(400, "", "dax=never"));
	snprintf(path, sizeof(path), "%s/plain", dax_dir());
	fd = open(path, O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	dax_truncate(fd, SZ_2M);
	p = mmap(NULL, variant->size, PROT_READ | PROT_WRITE,
		 MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
	EXPECT_EQ(MAP_FAILED, p);
	EXPECT_EQ(EOPNOTSUPP, errno);
}

TEST_HARNESS_MAIN
