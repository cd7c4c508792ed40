// SPDX-License-Identifier: GPL-2.0-only
/*
 * MAP_SYNC: before a page becomes writable, the metadata that leads to it is
 * on the media. The fault says so with NEEDDSYNC, the filesystem syncs, and
 * the fault is finished.
 */
#include <sys/xattr.h>

#include "dax_harness.h"
#include "dax_hold.h"

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
 * A mapping without MAP_SYNC makes a page dirty. The page has a block that the
 * media do not know of: a store with MAP_SYNC has to sync, although the page is
 * dirty already.
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
 * A flush has locked the entry of a page, and a fault waits for the lock. If the
 * file grows meanwhile, its metadata are not durable any more: the fault must ask
 * for them after the wait. If it does not grow, there is nothing to sync.
 *
 * The flush is held where it write-protects the page, in a function that can be
 * preempted.
 */
#define PROBES	"/sys/kernel/tracing/kprobe_events"

static const char *no_held_flush(void)
{
	if (dax_no_hold())
		return dax_no_hold();
	if (dax_write_file(PROBES, "p:dax_test/flush pfn_mkclean_range\n"))
		return "needs CONFIG_KPROBE_EVENTS, and pfn_mkclean_range() in it";
	return NULL;
}

void dax_restore(void)
{
	if (!access(PROBES, W_OK))
		dax_write_file(PROBES, "\n");
}

static int flush_data(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE_AND_WAIT);
}

/* No process can be made during the flush: fork() would wait for its locks. */
static int store_on_request(volatile char *request, char *p)
{
	while (!*request)
		usleep(1000);
	*request = 'b';
	return dax_touch_signal(p, true, NULL);
}

static unsigned int syncs_after_wait(size_t size, const char *done, bool grow)
{
	volatile char *request = dax_shared(1);
	pid_t flusher, fault;
	struct dax_hold *hold;
	char *p, *plain;
	int fd;

	fd = dax_file(SZ_2M, WRITTEN);
	plain = dax_map(fd, 0, size);
	p = map_sync(fd, size);
	dax_poke(plain, 'd');
	/* Not of all: two of these, and the entry is by page. */
	dax_msync(plain, SZ_4K);
	dax_poke(plain, 'd');
	dax_trace(fd, done);

	hold = dax_hold_start("dax_test/flush", NULL);
	EXPECT_TRUE(hold->ready);
	fault = dax_spawn(store_on_request(request, p));
	flusher = dax_spawn_held(hold, flush_data(fd));
	EXPECT_TRUE(dax_held(hold, flusher));
	*request = 'g';
	while (*request != 'b')
		usleep(1000);
	EXPECT_TRUE(dax_stall_waits(fault));
	if (grow)
		dax_fill(fd, SZ_2M, SZ_4K, FILL);
	EXPECT_EQ(0, dax_hold_end(hold, flusher));
	EXPECT_EQ(0, dax_wait(fault));
	EXPECT_EQ('w', dax_peek(plain));
	return dax_count_ends(done, "NEEDDSYNC");
}

TEST_F(dax, asks_after_wait)
{
	NEED(no_held_flush());
	EXPECT_EQ(0, syncs_after_wait(variant->size, DONE, false));
	EXPECT_EQ(1, syncs_after_wait(variant->size, DONE, true));
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

/* Store right after the fault's own sync, then syncfs. */
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

/*
 * The stores reach the device only when it is told to wait for them. If ext4 has a
 * transaction to commit, the thread of its journal does that.
 */
TEST_F(synced, syncfs_flushes_device)
{
	dax_poke(self->p, 'w');
	dax_trace_threads("block/block_bio_queue");
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_LE(1, dax_count("block_bio_queue", "FWS"));
	dax_trace_stop("block/block_bio_queue");
}

DAX_FIXTURE(reflinked, dax_no_reflink());

/*
 * The file gets the copy of a shared block after the block lookup.  The first copy
 * allocates more blocks than it needs, so the second one changes nothing before.
 */
TEST_F(reflinked, copy_of_shared_block_syncs)
{
	int fd = dax_file(SZ_2M, WRITTEN), clone = dax_clone(fd, "clone");
	char *p = map_sync(fd, SZ_2M / 2);

	dax_fsync(clone);
	for (int i = 0; i < 4; i++) {
		dax_fsync(fd);
		dax_trace(fd, NULL);
		dax_poke(p + i * SZ_4K, 'w');
		EXPECT_EQ(1, dax_count_ends("dax_pte_fault_done", "NEEDDSYNC"));
	}
	EXPECT_FILE(FILL, clone, 0, SZ_2M);
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

/* A file without DAX cannot keep the promise: mmap() fails. */
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
