#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# demo.sh PROGRAM: the guest's half of vm/demo. A filesystem each on /dev/pmem0
# and /dev/pmem1, and the demo program on both.
#
# Both are made so that blocks can be 2 MiB aligned: what a plain mkfs gets is
# a question to the filesystem, not to the DAX core.

set -euo pipefail

play()
{
	local fs=$1 dev=$2
	mkdir "$mnt/$fs"
	mount -t "$fs" -o dax=always "$dev" "$mnt/$fs"
	DAX_DIR=$mnt/$fs "$program" "$fs"
	umount "$mnt/$fs"
}

program=$1
mnt=$(mktemp -d)

mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 /dev/pmem0
play ext4 /dev/pmem0

mkfs.xfs -q -f -d su=2m,sw=1 /dev/pmem1
play xfs /dev/pmem1
