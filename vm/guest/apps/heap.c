// SPDX-License-Identifier: GPL-2.0-only
/*
 * heap DIR BLOCKS [conservative]: a heap of memkind in an unlinked file, at most 512 MiB,
 * is filled with blocks of up to 4 KiB. In each of three rounds, every other block is
 * checked, freed and replaced. A conservative heap gives back pages that are free at
 * once, by a punch.
 */
#include <memkind.h>

#include "app.h"

#define HEAP_SIZE	(512UL << 20)
#define BLOCK_SIZE	4096
#define ROUNDS		3

struct block {
	char *data;
	size_t len;
	unsigned long key;
};

static void check(int err, const char *call)
{
	char text[MEMKIND_ERROR_MESSAGE_SIZE];

	if (!err)
		return;
	memkind_error_message(err, text, sizeof(text));
	fail("heap: %s: %s", call, text);
}

static memkind_t make_heap(const char *dir, int conservative)
{
	struct memkind_config *config = memkind_config_new();
	memkind_t kind;

	if (!config)
		fail("heap: memkind_config_new: no memory");
	memkind_config_set_path(config, dir);
	memkind_config_set_size(config, HEAP_SIZE);
	memkind_config_set_memory_usage_policy(config, conservative ?
			MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE : MEMKIND_MEM_USAGE_POLICY_DEFAULT);
	check(memkind_create_pmem_with_config(config, &kind), "memkind_create_pmem");
	memkind_config_delete(config);
	return kind;
}

static void put(memkind_t kind, struct block *block, unsigned long *state)
{
	block->len = 1 + random_next(state) % BLOCK_SIZE;
	block->key = random_next(state);
	block->data = memkind_malloc(kind, block->len);
	if (!block->data)
		fail("heap: memkind_malloc: %m");
	fill(block->data, block->len, block->key);
}

static void drop(memkind_t kind, struct block *block)
{
	if (!filled(block->data, block->len, block->key))
		fail("heap: a block of %zu bytes has wrong data", block->len);
	memkind_free(kind, block->data);
}

int main(int argc, char **argv)
{
	unsigned long nr = argc >= 3 ? strtoul(argv[2], NULL, 10) : 0;
	int conservative = argc == 4 && !strcmp(argv[3], "conservative");
	struct block *blocks = calloc(nr, sizeof(*blocks));
	unsigned long state = 1;
	memkind_t kind;

	if (!nr || !blocks || argc > 3 + conservative)
		fail("usage: heap DIR BLOCKS [conservative]");
	kind = make_heap(argv[1], conservative);
	for (unsigned long i = 0; i < nr; i++)
		put(kind, &blocks[i], &state);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned long i = round % 2; i < nr; i += 2)
			drop(kind, &blocks[i]);
		for (unsigned long i = round % 2; i < nr; i += 2)
			put(kind, &blocks[i], &state);
	}
	for (unsigned long i = 0; i < nr; i++)
		drop(kind, &blocks[i]);
	check(memkind_destroy_kind(kind), "memkind_destroy_kind");
	return 0;
}
