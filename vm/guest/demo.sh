#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# demo.sh - the guest's half of vm/demo: a filesystem each on /dev/pmem0 and
# /dev/pmem1, and the demo program on both.
#
# usage: demo.sh PROGRAM
#
# Both are made so that their blocks can be 2 MiB aligned; what a plain mkfs
# gets is another question than what the core does with it.

set -euo pipefail
program=$1
mnt=$(mktemp -d)

on() {
	local fs=$1 dev=$2
	mkdir "$mnt/$fs"
	mount -t "$fs" -o dax=always "$dev" "$mnt/$fs"
	"$program" "$fs" "$mnt/$fs"
	umount "$mnt/$fs"
}

mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 /dev/pmem0
on ext4 /dev/pmem0

mkfs.xfs -q -f -d su=2m,sw=1 /dev/pmem1
on xfs /dev/pmem1

# A line of its own for what the kernel complained of meanwhile.
dmesg | sed -nE 's/^(\[[^]]*\] )?(.*(WARNING:|BUG:|KASAN|possible circular).*)/log\t\2/p'
