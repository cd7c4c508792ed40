// SPDX-License-Identifier: GPL-2.0-only
/*
 * rocksdb DIR RECORDS: a database of RocksDB that writes and reads its files by mmap.
 * After all records are put, it is compacted, closed and opened, and all records are
 * read in another order, with checksums.
 */
#include <rocksdb/c.h>

#include "app.h"

#define VALUE_SIZE	400

static void check(char *error, const char *call)
{
	if (error)
		fail("rocksdb: %s: %s", call, error);
}

static rocksdb_t *open_database(const char *path)
{
	rocksdb_options_t *options = rocksdb_options_create();
	char *error = NULL;
	rocksdb_t *db;

	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_allow_mmap_reads(options, 1);
	rocksdb_options_set_allow_mmap_writes(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_write_buffer_size(options, 16 << 20);
	db = rocksdb_open(options, path, &error);
	check(error, "rocksdb_open");
	rocksdb_options_destroy(options);
	return db;
}

static void put_all(rocksdb_t *db, unsigned long records)
{
	rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
	char *error = NULL, value[VALUE_SIZE];

	for (unsigned long nr = 0; nr < records; nr++) {
		unsigned long key = scattered(nr);

		fill(value, sizeof(value), key);
		/* As an application that batches its durable writes. */
		rocksdb_writeoptions_set_sync(options, nr % 1000 == 999);
		rocksdb_put(db, options, (char *)&key, sizeof(key), value, sizeof(value), &error);
		check(error, "rocksdb_put");
	}
	rocksdb_writeoptions_destroy(options);
	rocksdb_compact_range(db, NULL, 0, NULL, 0);
}

static void read_all(rocksdb_t *db, unsigned long records)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	char *error = NULL;

	rocksdb_readoptions_set_verify_checksums(options, 1);
	for (unsigned long nr = 0; nr < records; nr++) {
		unsigned long key = scattered(records - 1 - nr);
		size_t len;
		char *value = rocksdb_get(db, options, (char *)&key, sizeof(key), &len, &error);

		check(error, "rocksdb_get");
		if (!value || len != VALUE_SIZE || !filled(value, len, key))
			fail("rocksdb: record %lu has wrong data", records - 1 - nr);
		rocksdb_free(value);
	}
	rocksdb_readoptions_destroy(options);
}

int main(int argc, char **argv)
{
	unsigned long records = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	char path[4096];
	rocksdb_t *db;

	if (!records)
		fail("usage: rocksdb DIR RECORDS");
	snprintf(path, sizeof(path), "%s/rocksdb", argv[1]);
	db = open_database(path);
	put_all(db, records);
	rocksdb_close(db);

	db = open_database(path);
	read_all(db, records);
	rocksdb_close(db);
	return 0;
}
