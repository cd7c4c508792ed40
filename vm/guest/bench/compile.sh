# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# vm/bench and vm/profile share this: the making of the program.

# compile_bench PROGRAM OPTION...: if it is older than its sources
compile_bench()
{
	local program=$1 selftests=$top/tools/testing/selftests/dax sources f
	need gcc
	mkdir -p "${program%/*}"
	sources=("$top"/vm/guest/bench/*.c "$selftests"/lib/*.c)
	for f in "${sources[@]}" "$top/vm/guest/bench/bench.h" \
		 "$selftests"/lib/*.h; do
		if [[ $program -nt $f ]]; then continue; fi
		step CC "vm/guest/bench"
		gcc -D_GNU_SOURCE -O2 -Wall -pthread -I"$selftests/lib" \
		    -isystem "$src/hugedax/tools/include/uapi" "${@:2}" \
		    -o "$program.new" "${sources[@]}" ||
			die "vm/guest/bench does not compile; the errors are above"
		mv "$program.new" "$program"
		return
	done
}
