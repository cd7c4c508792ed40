// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmdb DIR RECORDS: a database in a writable map of 256 MiB, with a commit for each
 * 1,000 records. Then the database is opened again, and all records are read in
 * another order.
 */
#include <lmdb.h>
#include <sys/stat.h>

#include "app.h"

#define MAP_SIZE	(256UL << 20)
#define RECORDS_COMMIT	1000
#define VALUE_SIZE	100

static void check(int err, const char *call)
{
	if (err)
		fail("lmdb: %s: %s", call, mdb_strerror(err));
}

static MDB_env *open_database(const char *dir)
{
	MDB_env *env;

	check(mdb_env_create(&env), "mdb_env_create");
	check(mdb_env_set_mapsize(env, MAP_SIZE), "mdb_env_set_mapsize");
	check(mdb_env_open(env, dir, MDB_WRITEMAP, 0644), "mdb_env_open");
	return env;
}

static void put_some(MDB_env *env, unsigned long from, unsigned long to)
{
	char data[VALUE_SIZE];
	MDB_txn *txn;
	MDB_dbi dbi;

	check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
	check(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	for (unsigned long nr = from; nr < to; nr++) {
		unsigned long key = scattered(nr);
		MDB_val name = { sizeof(key), &key }, value = { sizeof(data), data };

		fill(data, sizeof(data), key);
		check(mdb_put(txn, dbi, &name, &value, 0), "mdb_put");
	}
	check(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void read_all(MDB_env *env, unsigned long records)
{
	MDB_txn *txn;
	MDB_dbi dbi;

	check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
	check(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	for (unsigned long nr = 0; nr < records; nr++) {
		unsigned long key = scattered(records - 1 - nr);
		MDB_val name = { sizeof(key), &key }, value;

		check(mdb_get(txn, dbi, &name, &value), "mdb_get");
		if (value.mv_size != VALUE_SIZE || !filled(value.mv_data, VALUE_SIZE, key))
			fail("lmdb: record %lu has wrong data", records - 1 - nr);
	}
	mdb_txn_abort(txn);
}

int main(int argc, char **argv)
{
	unsigned long records = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	char dir[4096];
	MDB_env *env;

	if (!records)
		fail("usage: lmdb DIR RECORDS");
	snprintf(dir, sizeof(dir), "%s/lmdb", argv[1]);
	if (mkdir(dir, 0755))
		fail("lmdb: mkdir %s: %m", dir);
	env = open_database(dir);
	for (unsigned long nr = 0; nr < records; nr += RECORDS_COMMIT)
		put_some(env, nr, nr + RECORDS_COMMIT < records ? nr + RECORDS_COMMIT : records);
	mdb_env_close(env);

	env = open_database(dir);
	read_all(env, records);
	mdb_env_close(env);
	return 0;
}
