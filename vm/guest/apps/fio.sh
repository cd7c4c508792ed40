#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# fio.sh DIR MIB JOB: run fio with a job file of this folder. The job libpmem needs a
# file that exists already.

set -euo pipefail

export DIR=$1 SIZE=$2
if [[ $3 == libpmem ]]; then
	dd if=/dev/zero of="$DIR/file" bs=1M count="$SIZE" conv=fsync status=none
fi
cd /tmp
fio --minimal --output=/tmp/fio.out "${BASH_SOURCE[0]%/*}/$3.fio" || {
	tail -n 5 /tmp/fio.out >&2
	exit 1
}
