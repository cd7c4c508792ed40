#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# stress.sh DAXSTRESS SEED SECONDS: that program on ext4 and XFS, side by side:
# half of the time as a stream that can be replayed, a quarter each with threads
# and with processes. It prints what diverged, the operations done, and the
# totals.

set -euo pipefail

daxstress=$1
seed=$2
part=$(($3 / 4))

mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 /dev/pmem0
mkfs.xfs -q -f -d su=2m,sw=1 -m reflink=1,rmapbt=1 /dev/pmem1
mkdir -p /tmp/ext4 /tmp/xfs
mount -o dax=always /dev/pmem0 /tmp/ext4
mount -o dax=always /dev/pmem1 /tmp/xfs

# stress FS DEVICE: its output, each line with the file system before it
stress()
{
	{
		"$daxstress" --dir "/tmp/$1" --seed "$seed" \
			--seconds $((2 * part)) --device "$2" || true
		"$daxstress" --dir "/tmp/$1" --seed $((seed + 1)) \
			--seconds "$part" --threads 2 || true
		"$daxstress" --dir "/tmp/$1" --seed $((seed + 2)) \
			--seconds "$part" --processes 2 --threads 2 || true
	} 2>&1 | sed -u "/passed, .* failed/! s/^/# $1: /"
}

stress ext4 /dev/pmem0 &
stress xfs /dev/pmem1 &
wait
umount /tmp/ext4 /tmp/xfs
