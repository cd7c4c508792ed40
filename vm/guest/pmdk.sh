#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# pmdk.sh DIR TEST...: the guest's half of vm/pmdk. Makes the filesystem and the
# configuration that PMDK's tests look for, and runs each test by itself, such as
# obj_basic_integration/TEST5, with a line before and after it.

set -uo pipefail

# shellcheck source=vm/filesystems
. "${BASH_SOURCE[0]%/*}/../filesystems"

tests=$1/src/test
shift
pmem=/mnt/pmem

# The guest's tree is a throw-away layer over the host's. Tests in Python call pmem
# "cacheline", and older ones have the names of those in shell.
write_config()
{
	cat >"$tests/testconfig.sh" <<-CONFIG
	PMEM_FS_DIR=$pmem
	NON_PMEM_FS_DIR=/tmp
	CONFIG
	cat >"$tests/testconfig.py" <<-CONFIG
	config = {
	    'unittest_log_level': 1, 'pmem_fs_dir': '$pmem', 'non_pmem_fs_dir': '/tmp',
	    'tm': True, 'test_type': 'check', 'build': '$PMDK_BUILD', 'fs': 'pmem',
	    'keep_going': False, 'timeout': '10m', 'fs_dir_force_pmem': 0, 'dump_lines': 30,
	    'force_enable': None, 'device_dax_path': [], 'granularity': 'cacheline',
	    'page_fs_dir': '/tmp', 'cacheline_fs_dir': '$pmem',
	    'force_cacheline': False, 'force_byte': False, 'force_page': False,
	    'enable_admin_tests': False,
	}
	CONFIG
}

# A test is a script, or a class in TESTS.py; a few names are both.
run_test()
{
	local group=${1%/*} name=${1##*/} rc=0
	cd "$tests" || return
	if [[ -e $group/$name ]]; then
		"./$PMDK_RUNNER" -t check -f pmem -b "$PMDK_BUILD" -o 10m -s "$name" "$group" ||
			rc=$?
	fi
	cd "$group" || return
	if grep -q "^class $name\\b" TESTS.py 2>/dev/null; then
		./TESTS.py -u "${name#TEST}" || rc=$?
	fi
	return "$rc"
}

make_fs "$FSTYP" plain /dev/pmem0 || exit
mount_dax "$FSTYP" /dev/pmem0 "$pmem" || exit
write_config
for test; do
	echo "== begin $test"
	run_test "$test" </dev/null 2>&1
	printf '\n== end %d\n' $?
	rm -rf "${pmem:?}"/*
done
