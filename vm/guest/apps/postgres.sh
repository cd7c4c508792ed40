#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# postgres.sh DIR ROWS: PostgreSQL with checksums. Half of the rows are inserted, 1,000
# in a transaction. Then all server processes are killed in the middle of another one.
# The server is started again, and must have what was committed and nothing else. After
# the other half of the rows, all rows and checksums are checked.

set -euo pipefail

dir=$1/postgres
rows=$2
half=$((rows / 2000 * 1000))
sockets=/tmp/postgres
log=/tmp/postgres.log
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

as_postgres() { runuser -u postgres -- "$@"; }
sql() { as_postgres "$bin/psql" -qAtX -v ON_ERROR_STOP=1 -h "$sockets" -d postgres "$@"; }

die()
{
	echo "postgres: $1" >&2
	tail -n 5 "$log" >&2
	exit 1
}

start()
{
	as_postgres "$bin/pg_ctl" start -s -w -t 600 -D "$dir" -l "$log" \
		-o "-c listen_addresses='' -c unix_socket_directories=$sockets" ||
		die "the server does not start"
}

# insert FROM TO: each transaction ends before the next one begins
insert()
{
	local from
	for (( from = $1; from < $2; from += 1000 )); do
		echo "INSERT INTO t SELECT i, md5(i::text)
		      FROM generate_series($from, $((from + 999))) AS i;"
	done | sql
}

kill_within_transaction()
{
	local pid
	read -r pid <"$dir/postmaster.pid"
	{
		echo "BEGIN;"
		echo "INSERT INTO t SELECT i, 'lost' FROM generate_series(-1000, -1) AS i;"
		echo "\\! kill -KILL $pid \$(pgrep -P $pid)"
		echo "COMMIT;"
	} | sql >/dev/null 2>&1 || true
	while pgrep -u postgres >/dev/null; do sleep 0.1; done
}

# expect ROWS: so many, and each as it was inserted
expect()
{
	local found
	found=$(sql -c "SELECT count(*), count(*) FILTER (WHERE data = md5(id::text)) FROM t")
	[[ $found == "$1|$1" ]] || die "$1 rows were committed, and (rows|right ones) are $found"
}

rm -rf "$sockets" "$log"
install -d -o postgres "$sockets" "$dir"
install -o postgres /dev/null "$log"
as_postgres "$bin/initdb" -k -A trust -D "$dir" >/dev/null || die "initdb fails"
start
sql -c 'CREATE TABLE t (id int PRIMARY KEY, data text)'
insert 0 "$half"
kill_within_transaction
start
expect "$half"
insert "$half" "$rows"
expect "$rows"
as_postgres "$bin/pg_ctl" stop -s -w -t 600 -D "$dir" || die "the server does not stop"
as_postgres "$bin/pg_checksums" --check -D "$dir" >/dev/null || die "a checksum is wrong"
