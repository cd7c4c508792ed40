# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What vm/build and vm/deb share: was the configuration granted, and how far is
# make. To be sourced after lib.sh.

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
