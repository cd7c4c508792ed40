# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The scripts in vm/ share this file: where things are, and how they speak.
#
# Everything that a script makes is under build/. Messages to people go to
# stderr, one line a step in the manner of kbuild; stdout belongs to the
# results. A script that is sourced here has set -euo pipefail on.

set -euo pipefail
export LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES CDPATH

top=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd -P)
build=$top/build
me=${0##*/}

# The folders at the root whose files go over the kernel's, at the same path.
overlay_dirs=(Documentation fs include lib mm tools)

if [[ $top == *[[:space:],:]* ]]; then
	echo "vm/$me: neither kbuild nor QEMU takes a path with a blank, comma" \
	     "or colon in it: move $top" >&2
	exit 1
fi

if [[ -t 2 ]]; then
	c_bad=$'\e[1;31m' c_note=$'\e[33m' c_off=$'\e[0m' tty=1
else
	c_bad='' c_note='' c_off='' tty=
fi

# usage: the comment at the top of the script, from the line that names it on
usage() { sed -n '4,/^$/s/^# \{0,1\}//p' "$0"; }

# take_help ARGUMENT...: prints it and ends the script if the first one asks for it
take_help() { case ${1:-} in -h|--help) usage; exit 0 ;; esac; }

# step TAG TEXT...: one line for one piece of work
step() { local tag=$1; shift; printf '  %-8s%s\n' "$tag" "$*" >&2; }

# note TEXT...: something to look at that stops nothing
note() { printf '%snote: %s%s\n' "$c_note" "$*" "$c_off" >&2; }

# warn TEXT...: an error that is not the end of the script
warn() { printf '%svm/%s: %s%s\n' "$c_bad" "$me" "$*" "$c_off" >&2; }

# die TEXT...: what is wrong and what to do about it, and stop
die_status=1
die() { warn "$@"; exit "$die_status"; }

# progress TEXT...: a line that replaces itself on a terminal, and is
# repeated at most every 20 seconds elsewhere
progress_last=-20
progress() {
	if [[ $tty ]]; then
		printf '\r\e[K  %s' "$*" >&2
	elif (( SECONDS - progress_last >= 20 )); then
		progress_last=$SECONDS
		printf '  %s\n' "$*" >&2
	fi
}
progress_end() { if [[ $tty ]]; then printf '\r\e[K' >&2; fi; }

# elapsed SECONDS: "2 min 05 s"
elapsed() {
	if (( $1 < 60 )); then
		printf '%d s' "$1"
	else
		printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
	fi
}

# short PATH: the path as seen from where the user stands
short() { printf '%s' "${1#"$PWD"/}"; }

# need PROGRAM...: they are there, or say which package is not
need() {
	local prog
	for prog; do
		command -v "$prog" >/dev/null ||
			die "no program '$prog' here; run 'make setup'," \
			    "which installs what vm/packages lists"
	done
}

# need_disk DIR MIB WHAT: before it is too late
need_disk() {
	local have
	have=$(($(df --output=avail -k "$1" | tail -n 1) / 1024))
	(( have >= $2 )) ||
		die "$3 needs $2 MiB of disk below $1, and $have MiB are free"
}

# need_memory MIB WHAT
need_memory() {
	local have
	have=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
	(( have >= $1 )) ||
		die "$2 needs $1 MiB of memory, and $have MiB are available;" \
		    "end something, or wait for another run to end"
}

[[ ${JOBS:-1} =~ ^[1-9][0-9]*$ ]] || die "JOBS=$JOBS: not a number of processes"

# shellcheck source=vm/filesystems
. "$top/vm/filesystems"

# The kernel that ours goes over: release, package and archive, from vm/base.
while IFS=$'\t' read -r key value _; do
	case $key in
	release|package|archive) declare "base_$key=$value" ;;
	esac
done <"$top/vm/base"

# Where the trees of the kernel go. Debian's own is built
# in build/src and build/obj; each KERNEL=DIR has a place beside them, so that
# trying another tree does not undo the first.
if [[ ${KERNEL:-} ]]; then
	kernel_dir=$(cd "$KERNEL" 2>/dev/null && pwd -P) ||
		die "KERNEL=$KERNEL is not a folder"
	work=$build/kernel-${kernel_dir##*/}-$(sha256sum <<<"$kernel_dir" | cut -c1-8)
else
	kernel_dir=
	work=$build
fi
# shellcheck disable=SC2034 # used by those who source this
src=$work/src obj=$work/obj log=$build/log results=$build/results

version=$(<"$top/VERSION")

# The names in a list of patches, or other list with # comments.
listed() { sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' "$1"; }

# series_patches: what goes over the kernel of ours, as seen from patches/
series_patches()
{
	if [[ -e $top/patches/series ]]; then listed "$top/patches/series"; fi
}

# fix_patches: what a stock kernel gets, whose fs/dax.c stays
fix_patches()
{
	series_patches | sed -n '/^fixes\//p'
	listed "$top/patches/fixes/stock-dax/series" | sed 's,^,fixes/stock-dax/,'
}

# localversion FLAVOUR: what the release of such a kernel ends with
localversion()
{
	if [[ $1 == stock ]]; then echo -stock; else echo "-$1-$version"; fi
}

# The kernels that vm/build knows.
flavours=(hugedax debug stock mutant fixes modular)

# check_flavour NAME: there is such a kernel
check_flavour()
{
	[[ " ${flavours[*]} " == *" $1 "* ]] || die "no kernel '$1'; there are: ${flavours[*]}"
}

# Messages of the kernel's console that tell of an error in the kernel, whether or
# not a test has noticed it.
# shellcheck disable=SC2034
splats='BUG:|WARNING:|KASAN:|UBSAN:|Oops|possible (circular|recursive)|suspicious RCU|INFO: task .* blocked|INFO: rcu|rcu.*(stall|starved)|soft lockup|kmemleak: [1-9]|unreferenced object'
