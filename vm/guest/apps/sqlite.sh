#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# sqlite.sh DIR ROWS: a database with a write-ahead log, which reads by mmap. Each
# 1,000 rows are a transaction. Then the database is opened again and checked.

set -euo pipefail

db=$1/sqlite
rows=$2

settings()
{
	echo ".bail on"
	echo "PRAGMA mmap_size = 268435456;"
	echo "PRAGMA journal_mode = WAL;"
}

insert()
{
	local from to
	echo "CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT);"
	for (( from = 1; from <= rows; from = to + 1 )); do
		to=$(( from + 999 < rows ? from + 999 : rows ))
		echo "WITH RECURSIVE n(i) AS (VALUES($from) UNION ALL
			SELECT i + 1 FROM n WHERE i < $to)
		      INSERT INTO t SELECT i, printf('%064d', i) FROM n;"
	done
}

check()
{
	echo "SELECT count(*), sum(data = printf('%064d', id)) FROM t;"
	echo "PRAGMA integrity_check;"
}

{ settings; insert; } | sqlite3 "$db" >/dev/null
result=$({ settings; check; } | sqlite3 "$db" | tail -n 2)
if [[ $result != "$rows|$rows"$'\n'ok ]]; then
	echo "sqlite: $rows rows were inserted, and the check says: $result" >&2
	exit 1
fi
