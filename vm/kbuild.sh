# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# vm/build, vm/series and vm/deb share these functions: was the configuration
# granted, how far is make, and with which objects does a first build begin. To be
# sourced after lib.sh.

# check_config CONFIG FRAGMENT...: options that a fragment asks for, and Kconfig
# did not grant. The last fragment that names an option counts.
check_config()
{
	local missing
	missing=$(cat "${@:2}" | awk -v config="$1" '
		function name(s) { sub(/^# /, "", s); sub(/[= ].*/, "", s); return s }
		/^CONFIG_/ || /^# CONFIG_.* is not set/ { want[name($0)] = $0 }
		END {
			while ((getline line < config) > 0)
				if (line ~ /^(# )?CONFIG_/)
					got[name(line)] = line
			for (n in want) {
				if (want[n] ~ /^#/ && !(n in got))
					continue
				if (got[n] != want[n])
					printf "    %-36s %s\n", want[n], got[n] ? got[n] : "(no such option, or hidden)"
			}
		}' | sort)
	if [[ $missing ]]; then
		printf '%s\n' "$missing" >&2
		die "the options above are asked for in vm/config, and this tree" \
		    "does not grant them"
	fi
}

# seed NAME TREE OUT [COMMAND...]: begin the first build of TREE in OUT with the
# objects of the kernel NAME. kbuild decides what to compile by the command lines
# and dates that it kept, with absolute names in them: these get the names of TREE
# and OUT. It would also make objtool anew, and then every object, if its archives
# were not there.
#
# A file that is the same in both trees has either the same date in both, or a new
# one in TREE:
#
#   COMMAND prints the other files, as the command lines of NAME have them. Their
#	objects are left out, since dates cannot tell that they are out of date.
#   Without COMMAND, TREE has the files of NAME, which git has just written. All
#	objects get one date that is newer.
seed()
{
	local from=$obj/$1 from_tree=$src/$1 tree=$2 out=$3 lock cmd target
	shift 3
	# A build of NAME that is itself about to wait here has no Makefile yet, so
	# no two builds wait for each other.
	if [[ ! -e $from/Makefile || -e $out/Makefile ]]; then return; fi
	exec {lock}>"$work/.build-${from##*/}-lock"
	# Waiting for it is quicker than compiling the same beside it.
	flock -n -s "$lock" ||
		{ note "waiting for a build of ${from##*/}"; flock -s "$lock"; }
	if [[ ! -e $from/built.id ]]; then
		exec {lock}>&-
		return
	fi
	step SEED "${out##*/}: from the objects of ${from##*/}"
	rm -rf "$out.seed"
	rsync -a --include='/tools/**.a' --exclude='vmlinux*' \
		--exclude='.vmlinux*' --exclude='.tmp_*' --exclude='*.a' \
		--exclude=built.id "$from/" "$out.seed/"
	if (( $# )); then
		"$@" >"$out.differ"
		find "$out.seed" -name '.*.cmd' -print0 |
			{ xargs -0 grep -lF -f "$out.differ" || true; } |
			while IFS= read -r cmd; do
				target=${cmd##*/.}
				rm -f "$cmd" "${cmd%/*}/${target%.cmd}"
			done
	fi
	find "$out.seed" -name '*.cmd' -print0 |
		xargs -0 sed -i "s,$from_tree/,$tree/,g
				 s,$from/,$out/,g"
	if (( ! $# )); then
		find "$out.seed" -type f -exec touch -d "@$EPOCHSECONDS" {} +
	fi
	rm -rf "$out" "$out.differ"
	mv "$out.seed" "$out"
	exec {lock}>&-
}

# count_objects DIR
count_objects() { find "$1" -name '*.o' | wc -l; }

# expected_objects NAME DIR: as many as the last build had, or as vm/config/objects
# says
expected_objects()
{
	cat "$2/objects" 2>/dev/null || sed -n "s/^$1 //p" "$top/vm/config/objects"
}

# watch_compile NAME DIR: reads make's output, and says how many objects are made.
# How many of them a change touches, is not known.
watch_compile()
{
	local line total made of start=$SECONDS
	total=$(expected_objects "$1" "$2")
	made=$(count_objects "$2")
	of=" of $total"
	if (( made >= total )); then
		made=0 of=
	fi
	while IFS= read -r line; do
		case $line in
		'  CC '*|'  AS '*)
			made=$((made + 1))
			if (( made > total )); then of=; fi
			progress "CC      $1: $made$of objects," \
				"$(elapsed $((SECONDS - start)))" ;;
		'  LD      vmlinux'*|'  LD      .tmp_vmlinux'*)
			progress "LD      $1: vmlinux," \
				"$(elapsed $((SECONDS - start)))" ;;
		esac
	done
	progress_end
}

# show_errors LOG: the first of them, or else how it ends
show_errors()
{
	grep -E 'error:|undefined reference|\*\*\*|No space left' "$1" | head -n 8 >&2 ||
		tail -n 8 "$1" >&2
}
