#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# guest.sh DIR [--all] NAME...: the guest's half of mutation/mutants. Runs selftests of
# DIR by names such as xfs/fsync, and stops at the first failure, without waiting for
# the rest of that program, which may hang; or not, with --all.
#
# The results are for mutation/mutants, in lines that begin with @:
#
#   @ at NAME				the test that begins
#   @ failed NAME WHAT			its first failure
#   @ passed NAME SECONDS		all is well, in so many seconds
#   @ skipped NAME			none of it could be run
#   @ error NAME TEXT			it gave no result, which proves nothing

set -uo pipefail

# The results of one program, in run_dax_tests.sh's KTAP; its own are indented.
# Returns 1 as soon as one is bad.
read_results()
{
	local line bad='' end=''
	while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		"    not ok "*)
			bad=${line#    not ok }
			bad=${bad#* }
			bad=${bad%% #*} ;;
		"    # "*" did not end in "*)
			bad=hangs ;;
		"not ok "*)
			bad='gives no result' ;;
		[0-9]*' passed, '*' failed, '*)
			end=$line ;;
		esac
		if [[ $bad ]]; then
			echo "@ failed $1 $bad"
			[[ ! $all ]] || cat
			return 1
		fi
	done
	case $end in
	'')		echo "@ error $1 run_dax_tests.sh gave up" ;;
	'0 passed'*)	echo "@ skipped $1" ;;
	*)		echo "@ passed $1 $((SECONDS - start))" ;;
	esac
	[[ $end ]]
}

selftests=$1 all=
shift
if [[ ${1:-} == --all ]]; then
	all=1
	shift
fi
for name; do
	echo "@ at $name"
	start=$SECONDS
	read_results "$name" < <("$selftests/run_dax_tests.sh" "$name" 2>&1) ||
		[[ $all ]] || exit 1
done
