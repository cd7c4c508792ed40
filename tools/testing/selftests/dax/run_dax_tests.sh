#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run_dax_tests.sh [NAME...]: run the DAX selftests on ext4 and XFS.
#
# NAME is a test program (fsync_race), a program on one filesystem
# (xfs/fsync_race), or a filesystem (xfs). Without a NAME, all programs run on
# all filesystems. Everything on the device is lost: it is formatted for each
# filesystem. The output is KTAP: a result line for each program on each
# filesystem, with its own tests below. The last line is "N passed, N failed,
# N skipped", which counts the tests.
#
# Environment:
#   DAX_DEV           the device to format (/dev/pmem0)
#   DAX_SCRATCH       a second one, for tests that need a filesystem of their
#                     own; without it they are skipped (/dev/pmem1)
#   DAX_REMOVABLE     the device to take from its driver, which is quicker the
#                     smaller it is, 1 GiB at least (/dev/pmem2, else DAX_SCRATCH)
#   DAX_TEST_BIN      where the programs are (beside this script)
#   DAX_TEST_SCALE    percent of the rounds that races are run for (100)
#   DAX_TEST_TIMEOUT  seconds for one program (900)
#   DAX_TEST_ARGS     arguments for the programs, "-t NAME" runs one test

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${DAX_TEST_BIN:-$here}
dev=${DAX_DEV:-/dev/pmem0}
scratch=${DAX_SCRATCH:-/dev/pmem1}
removable=${DAX_REMOVABLE:-/dev/pmem2}
limit=${DAX_TEST_TIMEOUT:-900}
tracing=/sys/kernel/tracing
promote=/sys/module/fs_dax/parameters/promote
skip_code=4	# kselftest's

filesystems=(ext4 xfs)
last=(daxstress)	# takes longest, and finds what no other does

tmp="" mnt="" hung="" policy=""
passed=0 failed=0 skipped=0

die() { echo "run_dax_tests: $1" >&2; exit "${2:-1}"; }

# --- what to run -----------------------------------------------------------

# Each .c file beside this script is a program; where only programs were installed,
# each executable without an extension is one.
list_programs() {
	local file
	local -A names=()

	for file in "$here"/*.c; do
		[[ ! -e $file ]] || names[$(basename "$file" .c)]=1
	done
	if (( ! ${#names[@]} )); then
		for file in "$bin"/*; do
			[[ ! -f $file || ! -x $file || ${file##*/} == *.* ]] || names[${file##*/}]=1
		done
	fi
	for file in "${last[@]}"; do
		unset "names[$file]"
	done
	(( ! ${#names[@]} )) || printf '%s\n' "${!names[@]}" | LC_ALL=C sort
	printf '%s\n' "${last[@]}"
}

# Prints "fs program" for each name, in the order of both lists.
select_tests() {
	local fs name want

	for fs in "${filesystems[@]}"; do
		for name in "${programs[@]}"; do
			(( $# )) || { echo "$fs $name"; continue; }
			for want; do
				[[ $want == "$name" || $want == "$fs/$name" ||
				   $want == "$fs" ]] || continue
				echo "$fs $name"
				break
			done
		done
	done
}

check_names() {
	local want

	for want; do
		[[ -n $(select_tests "$want") ]] ||
			die "no test is called '$want'; there are: ${programs[*]}, alone or as ext4/NAME, xfs/NAME; and ext4, xfs"
	done
}

check_machine() {
	local name

	[[ $EUID == 0 ]] || die "needs root, to format and mount $dev"
	[[ -b $dev ]] ||
		die "$dev is missing: boot with memmap=4G!4G, or name a device in DAX_DEV" $skip_code
	! grep -q "^$dev " /proc/mounts || die "$dev is mounted: unmount it first, it would be formatted"
	for name in "${programs[@]}"; do
		[[ -x $bin/$name ]] ||
			die "$bin/$name is not built: make -C tools/testing/selftests/dax"
	done
	if [[ ! -b $scratch ]]; then
		echo "# no second device $scratch: some tests are skipped"
		scratch=
	elif grep -q "^$scratch " /proc/mounts; then
		echo "# $scratch is mounted and left alone: some tests are skipped"
		scratch=
	fi
	[[ -b $removable ]] && ! grep -q "^$removable " /proc/mounts || removable=$scratch
	[[ -d $tracing/events ]] || mount -t tracefs tracefs $tracing ||
		die "no tracefs at $tracing: CONFIG_ENABLE_DEFAULT_TRACERS=y"
	[[ -d $tracing/events/fs_dax ]] || die "no trace events fs_dax: CONFIG_FS_DAX=y"
	[[ -d /sys/kernel/debug/tracing || -d /sys/kernel/debug/bdi ]] ||
		mount -t debugfs debugfs /sys/kernel/debug ||
		echo "# no debugfs: fault injection is skipped"
	[[ ! -e $promote ]] || policy=$(<"$promote")
	if [[ ! -d $tracing/events/fs_dax/dax_grab_entry ]]; then
		echo "# no trace event dax_grab_entry: not our DAX core; tests that need"
		echo "# its events are skipped, the others run and may fail"
	fi
}

# --- the filesystem -------------------------------------------------------

format() {
	case $1 in
	ext4)	mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "$dev" ;;
	xfs)	mkfs.xfs -q -f -d su=2m,sw=1 -m reflink=1,rmapbt=1 "$dev" ;;
	esac
}

mount_fs() {
	format "$1" >"$tmp/mkfs" 2>&1 || { cat "$tmp/mkfs" >&2; die "cannot make $1 on $dev"; }
	mount -t "$1" -o dax=always "$dev" "$mnt" || die "cannot mount $1 on $dev with dax=always"
}

unmount_fs() {
	mountpoint -q "$mnt" || return 0
	umount "$mnt" || umount -l "$mnt"
}

# Remove the trace instances, mounts and mapped devices of a program that was
# killed, and restore the promotion policy.
sweep() {
	local instance dir name

	for instance in "$tracing"/instances/dax-[0-9]*; do
		[[ -d $instance ]] || continue
		echo 0 > "$instance/events/enable"
		rmdir "$instance" || true
	done
	for dir in /tmp/dax-scratch-*; do
		[[ -d $dir ]] || continue
		umount -l "$dir" 2>/dev/null || true
		rmdir "$dir" || true
	done
	[[ ! $policy ]] || echo "$policy" >"$promote"
	for name in dax-scratch dax-scratch-rt; do
		[[ -b /dev/mapper/$name ]] || continue
		DM_DISABLE_UDEV=1 dmsetup remove -f $name >/dev/null 2>&1 || true
	done
}

cleanup() {
	sweep
	[[ -z $mnt ]] || unmount_fs
	[[ -z $tmp ]] || rm -rf "$tmp"
}

# --- one program -----------------------------------------------------------

# Indents the program's own KTAP below ours, and keeps a copy.
relay() {
	local line

	while IFS= read -r line; do
		if [[ $line == "TAP version"* ]]; then
			echo "    KTAP version 1"
			line="# Subtest: $1"
		fi
		echo "    $line"
		echo "$line" >&3
	done 3>"$tmp/out"
}

# Where the tasks of a session that does not end are waiting.
tell_stacks() {
	local pid task

	for pid in $(pgrep -s "$1" || true); do
		for task in /proc/"$pid"/task/*; do
			echo "# task ${task##*/} ($(cat "$task/comm"), state $(awk '/^State/ { print $2 }' "$task/status")):"
			sed 's/^/#   /' "$task/stack" || true
		done
	done 2>/dev/null
}

# Runs it in a session of its own, so that all of it can be ended. "wait -n" of bash
# misses the end of a program now and then, so look once a second. That takes builtins
# alone: where the CPU is emulated, to start a program takes half a second.
run_program() {
	local pid never end=$(( SECONDS + limit )) pids=()

	[[ -p $tmp/pipe ]] || mkfifo "$tmp/pipe" "$tmp/never"
	relay "$1 $2" <"$tmp/pipe" &
	relay_pid=$!
	# shellcheck disable=SC2086 # arguments are words
	DAX_DIR=$mnt DAX_SCRATCH=$scratch DAX_REMOVABLE=$removable \
		setsid "$bin/$2" ${DAX_TEST_ARGS:-} \
		>"$tmp/pipe" 2>&1 </dev/null &
	pid=$!
	exec {never}<>"$tmp/never"
	while kill -0 $pid 2>/dev/null && (( SECONDS < end )); do
		read -r -t 1 -u $never || true
	done
	exec {never}<&-
	if kill -0 $pid 2>/dev/null; then
		echo "    # $2 did not end in $limit seconds"
		tell_stacks $pid | sed 's/^/    /'
		mapfile -t pids < <(pgrep -s $pid)
		kill -KILL "${pids[@]}" 2>/dev/null || true
		sleep 5
		[[ -z $(pgrep -s $pid) ]] || { hung=1; kill $relay_pid; }
	fi
	[[ $hung ]] || wait $pid 2>/dev/null || true
	wait $relay_pid 2>/dev/null || true
}

count() { grep -c "$1" "$tmp/out" || true; }

# judge NUMBER FS NAME: counts the program's tests, prints its result line.
judge() {
	local plan bad skip good missing

	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$tmp/out" | head -n 1)
	skip=$(count '^ok .*# SKIP')
	good=$(( $(count '^ok ') - skip ))
	bad=$(count '^not ok ')
	missing=$(( ${plan:-1} - good - bad - skip ))
	if (( missing > 0 )); then
		echo "    # $missing tests gave no result"
		bad=$(( bad + missing ))
	fi
	passed=$(( passed + good )) failed=$(( failed + bad ))
	skipped=$(( skipped + skip ))
	if (( bad )); then
		echo "not ok $1 $2 $3"
	elif (( ! good )); then
		echo "ok $1 $2 $3 # SKIP all of its tests"
	else
		echo "ok $1 $2 $3"
	fi
}

# --- main ------------------------------------------------------------------

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
	sed -n '4,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 0
fi

mapfile -t programs < <(list_programs)
check_names "$@"
mapfile -t list < <(select_tests "$@")
echo "KTAP version 1"
check_machine
tmp=$(mktemp -d /tmp/dax-tests.XXXXXX)
mnt=$tmp/mnt
mkdir "$mnt"
trap cleanup EXIT

echo "1..${#list[@]}"
number=0 mounted=""
for entry in "${list[@]}"; do
	read -r fs name <<<"$entry"
	if [[ $fs != "$mounted" ]]; then
		unmount_fs
		mount_fs "$fs"
		mounted=$fs
	fi
	number=$(( number + 1 ))
	start=$SECONDS
	run_program "$fs" "$name"
	echo "# $fs $name took $(( SECONDS - start )) s"
	judge $number "$fs" "$name"
	if [[ $hung ]]; then
		echo "Bail out! a task of $fs $name hangs in the kernel"
		break
	fi
	sweep
done

echo "$passed passed, $failed failed, $skipped skipped"
(( failed == 0 ))
