#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench.sh PROGRAM icount|smp [FS:MKFS...]: the guest's half of vm/bench. Makes
# and mounts each file system, plain and aligned, and plays on it the sections
# that the machine is made for: its clock counts instructions, or it has two
# CPUs.
#
# The layouts plain and aligned are those of vm/filesystems.

set -euo pipefail

# shellcheck source=vm/filesystems
. "${BASH_SOURCE[0]%/*}/../../filesystems"

# ext4 begins to look for blocks at a place that depends on the pid, by 16: so that
# files lie alike with all kernels, it is one that 16 divides.
run_program()
{
	local rc
	while :; do
		rc=0
		(
			if (( BASHPID % 16 )); then exit 200; fi
			exec "$program" "${clock[@]}" "$@"
		) || rc=$?
		if (( rc != 200 )); then return "$rc"; fi
	done
}

# play SECTION...: on a file system that is new
play()
{
	make_fs "$fs" "$mkfs" "${dev:-/dev/pmem0}" "${size:-}"
	mount_dax "$fs" "${dev:-/dev/pmem0}" "$mnt"
	if [[ $mkfs == aligned ]]; then align_files "$fs" "$mnt"; fi
	run_program "$fs" "$mkfs" "$@"
	umount "$mnt"
}

play_icount()
{
	play ${BENCH_SECTIONS:-touch fault sync io range processes locks}
	if [[ ${BENCH_SECTIONS:-} ]]; then return; fi
	dev=/dev/pmem1 size=640 play aged
	if [[ $mkfs == aligned ]]; then play grow policy; fi
}

# With two CPUs, vm/init has switched on all events of fs_dax, to nowhere: that
# is instructions, and more of them the more events a kernel has.
drop_trace_events()
{
	local instance
	for instance in /sys/kernel/tracing/instances/hold-*; do
		[[ -d $instance ]] || continue
		echo 0 >"$instance/events/enable"
		rmdir "$instance"
	done
}

# A device of its own, of what was /dev/pmem1; or why not.
device_dax()
{
	local namespace
	namespace=$(basename "$(readlink -f /sys/block/pmem1/device)")
	if [[ $namespace != namespace* ]]; then
		namespace=$(cat /sys/block/pmem1/device/namespace 2>/dev/null) ||
			namespace=namespace1.0
	fi
	if ! ndctl create-namespace -f -e "$namespace" -m devdax \
			>/tmp/ndctl.out 2>&1; then
		echo "ndctl: $(tail -n 1 /tmp/ndctl.out)"
		return
	fi
	ls /dev/dax* 2>/dev/null | head -n 1 | grep . || echo "no /dev/dax*"
}

program=$1 machine=$2
shift 2
if (( $# == 0 )); then
	for fs in "${filesystems[@]}"; do set -- "$@" "$fs:plain" "$fs:aligned"; done
fi
mnt=$(mktemp -d)
clock=()
if [[ $machine == icount ]]; then clock=(-i); fi
export DAX_DIR=$mnt BENCH_SPARE=/dev/pmem1
drop_trace_events
# Whether a mapping lies across a border of 1 GiB, and needs a page table more,
# is not left to chance.
echo 0 >/proc/sys/kernel/randomize_va_space

if [[ ${BENCH_SECTIONS:-} == peers ]]; then set --; fi	# no file system
printf -- '-\t-\t-\trelease\t%s\n' "$(uname -r)"
for which; do
	fs=${which%:*} mkfs=${which#*:}
	if [[ $machine == smp ]]; then
		if [[ $mkfs == aligned ]]; then play threads; fi
	else
		play_icount
	fi
done
if [[ $machine == icount && ${BENCH_SECTIONS:-peers} == peers ]]; then
	BENCH_DEVICE_DAX=$(device_dax) run_program - - peers
fi
