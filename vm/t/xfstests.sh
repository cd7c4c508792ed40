#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vm/t/xfstests.sh [KERNEL]: does vm/xfstests pass on what a test needs, report
# what check says, survive a test that does not end or that takes the guest with
# it, and go on where it was interrupted? Run on a tree of eight tests, at least
# one of each outcome, by guests of three tests each.
#
# With KERNEL, which is hugedax if not said, ours; and for what is compared, the
# stock one.

. "${BASH_SOURCE[0]%/*}/../lib.sh"

kernel=${1:-hugedax}
tree=$top/vm/t/xfstests
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0 failed=0

# check NAME COMMAND...
check()
{
	if "${@:2}"; then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) $1"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) $1"
	fi
}

says() { grep -q "$1" "$out" || { sed 's/^/# /' "$out"; return 1; }; }
says_not() { ! grep -q "$1" "$out" || { sed 's/^/# /' "$out"; return 1; }; }

# run STATUS ARGUMENT...: vm/xfstests ends with that status
run()
{
	local want=$1 rc=0
	shift
	TIMEOUT=40 "$top/vm/xfstests" "$@" >"$out" 2>&1 || rc=$?
	(( rc == want )) || { sed 's/^/# /' "$out"; return 1; }
}

# Ends a run like Ctrl-C does, as soon as a test of the second guest has begun.
interrupt()
{
	local pid i
	TIMEOUT=40 "$top/vm/xfstests" "$@" >"$out" 2>&1 &
	pid=$!
	for (( i = 0; i < 600; i++ )); do
		if ! kill -0 $pid 2>/dev/null || grep -q '3 of 8 done' "$out"; then
			break
		fi
		sleep 0.2
	done
	kill -TERM $pid 2>/dev/null || return 1
	wait $pid || true
	says '3 of 8 done'
}

# How many tests are known of that were done before this run.
first_says() { [[ $(grep -m 1 -o '[0-9]* of 8 done' "$out") == "$1 of 8 done" ]]; }

echo "TAP version 13"
for FSTYP in ext4 xfs; do
	export FSTYP
	check "$FSTYP: a failure is a failure" run 1 --again --kernel "$kernel" \
		"$tree" generic/001 generic/002 generic/003
	check "$FSTYP: all three are counted" says '^1 passed, 1 failed, 1 skipped'
	check "$FSTYP: the reason of not run" says 'generic/003  this test requires'
	check "$FSTYP: the reason of failed" says 'generic/002  \[failed, exit'
	check "$FSTYP: no failure is none" run 0 --again --kernel "$kernel" \
		"$tree" generic/001 generic/003
done
unset FSTYP

slices=(--slice 3 --kernel "$kernel")
check "interrupted in the second guest" \
	interrupt --again "${slices[@]}" "$tree" -g auto
check "goes on to the end" run 1 "${slices[@]}" "$tree" -g auto
check "goes on where it was" first_says 3
check "each test has one result" says '^4 passed, 3 failed, 1 skipped'
check "the one that hangs has failed" says 'generic/004  no end after 40 seconds'
check "the one that panics has failed" says 'generic/006  Kernel panic'
check "those behind them were run" says_not '^  generic/00[578] '
check "all was done: the same result" run 1 "${slices[@]}" "$tree" -g auto
check "all was done: no guest" says_not ' of 8 done'
check "all was done: the same figures" says '^4 passed, 3 failed, 1 skipped'
check "a group" run 1 --again "${slices[@]}" "$tree" -g quick
check "a group: its tests only" says '^2 passed, 1 failed, 1 skipped'

check "ours and stock" run 0 --again --compare "$tree" \
	generic/002 generic/003 generic/007 generic/008
check "ours and stock: the difference" says 'generic/007  passed  failed'
check "ours and stock: nothing else" says_not '^  generic/00[238] '
check "ours and stock: no test is worse" says '^3 passed, 0 failed, 1 skipped'
check "two filesystems" run 0 --again --fs ext4,xfs "$tree" generic/008
check "two filesystems: both are told" says '^xfstests xfs, hugedax'
check "two filesystems: both are counted" says '^2 passed, 0 failed, 0 skipped'

check "no xfstests tree: an error" run 1 "$top/vm" generic/001
check "no xfstests tree: says so" says 'is no xfstests tree'
FSTYP=btrfs check "another filesystem: an error" run 1 "$tree" generic/001
check "another filesystem: says so" says 'FSTYP=btrfs: it is ext4 or xfs'
check "no such test: an error" run 1 --again "$tree" -g nothing
check "no such test: says so" says 'names no test'
echo "1..$((passed + failed))"
echo "$passed passed, $failed failed, 0 skipped"
(( failed == 0 ))
