#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# demo.sh PROGRAM: the guest's half of vm/demo. A filesystem each on /dev/pmem0
# and /dev/pmem1, and the demo program on both.
#
# Both are made so that blocks can be 2 MiB aligned: what a plain mkfs gets is
# a question to the filesystem, not to the DAX core.

set -euo pipefail

# shellcheck source=vm/filesystems
. "${BASH_SOURCE[0]%/*}/../filesystems"

run_on()
{
	local fs=$1 dev=$2
	make_fs "$fs" aligned "$dev"
	mount_dax "$fs" "$dev" "$mnt/$fs"
	DAX_DIR=$mnt/$fs "$program" "$fs"
	umount "$mnt/$fs"
}

program=$1
mnt=$(mktemp -d)
nr=0
for fs in "${filesystems[@]}"; do
	run_on "$fs" "/dev/pmem$((nr++ % 2))"
done
