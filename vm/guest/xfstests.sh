#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# xfstests.sh DIR TEST...: the guest's half of vm/xfstests. Makes what the
# tests look for on a machine, and runs check.
#
# xfstests.sh DIR --list [check arguments]: which tests check would run.

set -euo pipefail

# shellcheck source=vm/filesystems
. "${BASH_SOURCE[0]%/*}/../filesystems"

dir=$1
shift

# The users and groups that xfstests' README asks for. The guest's /etc is a
# throw-away layer over the host's.
add_users()
{
	local name
	for name in fsgqa fsgqa2 123456-fsgqa; do
		getent passwd "$name" >/dev/null ||
			useradd --badname -m -U -s /bin/bash "$name" 2>/dev/null ||
			useradd --badnames -m -U -s /bin/bash "$name"
	done
}

# Some tests want a huge page to be there, most only its size.
add_huge_pages()
{
	mkdir -p /dev/hugepages
	mountpoint -q /dev/hugepages || mount -t hugetlbfs none /dev/hugepages
	echo 16 >/proc/sys/vm/nr_hugepages
}

make_test_filesystem()
{
	# shellcheck disable=SC2086 # options are words
	${fs_mkfs[$FSTYP]} ${MKFS_OPTIONS:-} "$1"
}

# A file of our own instead of the tree's local.config, which may be of
# another machine.
write_config()
{
	cat >"$1" <<-CONFIG
	export FSTYP=$FSTYP
	export TEST_DEV=/dev/pmem0 TEST_DIR=/mnt/test
	export SCRATCH_DEV=/dev/pmem1 SCRATCH_MNT=/mnt/scratch
	export MOUNT_OPTIONS="-o dax=always"
	export TEST_FS_MOUNT_OPTS="-o dax=always"
	export RESULT_BASE=$RESULTS
	CONFIG
	if [[ ${MKFS_OPTIONS:-} ]]; then
		printf 'export MKFS_OPTIONS="%s"\n' "$MKFS_OPTIONS" >>"$1"
	fi
}

add_users
add_huge_pages
mkdir -p /mnt/test /mnt/scratch
make_test_filesystem /dev/pmem0
write_config /tmp/xfstests.config
[[ ${MKFS_OPTIONS:-} ]] || unset MKFS_OPTIONS

cd "$dir"
if [[ ${1:-} == --list ]]; then
	shift
	set -- -n "$@"
fi
HOST_OPTIONS=/tmp/xfstests.config exec ./check "$@"
