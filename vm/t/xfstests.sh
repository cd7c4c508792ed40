#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vm/t/xfstests.sh [KERNEL]: does vm/xfstests pass on what a test needs, and
# report what check says? Run on a tree of three tests, one of each outcome.

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

says() { grep -q "$1" "$out"; }

# run STATUS ARGUMENT...: vm/xfstests ends with that status
run()
{
	local want=$1 rc=0
	shift
	"$top/vm/xfstests" "$@" >"$out" 2>&1 || rc=$?
	(( rc == want )) || { sed 's/^/# /' "$out"; return 1; }
}

echo "TAP version 13"
for FSTYP in ext4 xfs; do
	export FSTYP
	check "$FSTYP: a failure is a failure" run 1 --kernel "$kernel" "$tree" \
		generic/001 generic/002 generic/003
	check "$FSTYP: all three are counted" says '^1 passed, 1 failed, 1 skipped'
	check "$FSTYP: the reason of not run" says 'generic/003  this test requires'
	check "$FSTYP: the reason of failed" says 'generic/002  \[failed, exit'
	check "$FSTYP: no failure is none" run 0 --kernel "$kernel" "$tree" \
		generic/001 generic/003
done
check "no xfstests tree: an error" run 1 "$top/vm"
check "no xfstests tree: says so" says 'is no xfstests tree'
FSTYP=btrfs check "another filesystem: an error" run 1 "$tree"
check "another filesystem: says so" says 'FSTYP=btrfs: it is ext4 or xfs'
echo "1..$((passed + failed))"
echo "$passed passed, $failed failed, 0 skipped"
(( failed == 0 ))
