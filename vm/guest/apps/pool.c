// SPDX-License-Identifier: GPL-2.0-only
/*
 * pool DIR BLOCKS: a pool of libpmemobj, of 256 MiB. Each transaction allocates one
 * block and puts it at the head of a list. Then the pool is closed and opened, and the
 * list is walked.
 */
#include <libpmemobj.h>

#include "app.h"

#define POOL_SIZE	(256UL << 20)
#define DATA_SIZE	240
#define LAYOUT		"list"

struct root {
	PMEMoid head;
};

struct block {
	PMEMoid next;
	unsigned long nr;
	char data[DATA_SIZE];
};

static struct root *root_of(PMEMobjpool *pool)
{
	return pmemobj_direct(pmemobj_root(pool, sizeof(struct root)));
}

/* A transaction that fails ends the program. */
static void add_block(PMEMobjpool *pool, struct root *root, unsigned long nr)
{
	TX_BEGIN(pool) {
		PMEMoid new = pmemobj_tx_alloc(sizeof(struct block), 0);
		struct block *block = pmemobj_direct(new);

		block->next = root->head;
		block->nr = nr;
		fill(block->data, DATA_SIZE, nr);
		pmemobj_tx_add_range_direct(root, sizeof(*root));
		root->head = new;
	} TX_ONABORT {
		fail("pool: transaction %lu: %s", nr, pmemobj_errormsg());
	} TX_END
}

static void check_list(struct root *root, unsigned long blocks)
{
	struct block *block = pmemobj_direct(root->head);
	unsigned long nr = blocks;

	while (block) {
		nr--;
		if (block->nr != nr || !filled(block->data, DATA_SIZE, nr))
			fail("pool: block %lu has wrong data", nr);
		block = pmemobj_direct(block->next);
	}
	if (nr)
		fail("pool: %lu blocks are missing", nr);
}

int main(int argc, char **argv)
{
	unsigned long blocks = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	PMEMobjpool *pool;
	char path[4096];

	if (!blocks)
		fail("usage: pool DIR BLOCKS");
	snprintf(path, sizeof(path), "%s/pool", argv[1]);
	pool = pmemobj_create(path, LAYOUT, POOL_SIZE, 0644);
	if (!pool)
		fail("pool: pmemobj_create: %s", pmemobj_errormsg());
	for (unsigned long nr = 0; nr < blocks; nr++)
		add_block(pool, root_of(pool), nr);
	pmemobj_close(pool);

	pool = pmemobj_open(path, LAYOUT);
	if (!pool)
		fail("pool: pmemobj_open: %s", pmemobj_errormsg());
	check_list(root_of(pool), blocks);
	pmemobj_close(pool);
	return 0;
}
