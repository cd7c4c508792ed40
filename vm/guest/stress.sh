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

# shellcheck source=vm/filesystems
. "${BASH_SOURCE[0]%/*}/../filesystems"

# stress FS DEVICE: its output, each line with the filesystem before it
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

nr=0
for fs in "${filesystems[@]}"; do
	fs_aligned[$fs]+=" ${fs_features[$fs]}"
	make_fs "$fs" aligned "/dev/pmem$nr"
	mount_dax "$fs" "/dev/pmem$nr" "/tmp/$fs"
	nr=$((nr + 1))
done
nr=0
for fs in "${filesystems[@]}"; do
	stress "$fs" "/dev/pmem$nr" &
	nr=$((nr + 1))
done
wait
umount "${filesystems[@]/#//tmp/}"
