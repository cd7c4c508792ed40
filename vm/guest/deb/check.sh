#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# check.sh RELEASE VERSION: what vm/deb-test asks of the system that it has booted;
# runs in it as a service. Each line on stdout is "ok NAME", "not ok NAME" or "# "
# with what a command printed. The system is off afterwards.

here=${0%/*}
release=$1 version=$2
out=/run/deb-test

# check NAME COMMAND...
check()
{
	if "${@:2}" >"$out" 2>&1; then
		echo "ok $1"
	else
		echo "not ok $1"
		sed 's/^/# /' "$out"
	fi
}

system_runs()
{
	local state
	state=$(systemctl is-system-running --wait)
	echo "$state"
	systemctl --no-legend --plain list-units --state=failed
	[[ $state == running ]]
}

# says TEXT COMMAND..., has TEXT COMMAND...: it prints that, or something with that
says()
{
	local text
	text=$("${@:2}")
	echo "$text"
	[[ $text == "$1" ]]
}

has()
{
	local text
	text=$("${@:2}")
	echo "$text"
	[[ $text == *"$1"* ]]
}

# Is the module that an admin would load part of the package, and not of vmlinux?
modules_are_loaded()
{
	local name
	for name in nd_pmem xfs ext4; do
		modinfo -n "$name"
		[[ $(modinfo -n "$name") == "(builtin)" ]] || grep "^$name " /proc/modules ||
			return 1
	done
}

external_module()
{
	insmod "$here/deb_test.ko" && rmmod deb_test && dmesg | grep 'deb_test: hello'
}

# map_file FILE: a process that has mapped it, as $mapper
map_file()
{
	coproc MAP { exec "$here/mapping" map "$1"; }
	mapper=$MAP_PID
	read -r -t 600 -u "${MAP[0]}" line && [[ $line == mapped ]]
}

# is_huge TARGET...: daxmap's verdict
is_huge() { daxmap --require=2M:100 "$@"; }

mount_again()
{
	systemctl stop "mnt-$1.mount" && ! mountpoint -q "/mnt/$1" &&
		systemctl start "mnt-$1.mount" && mountpoint -q "/mnt/$1"
}

check_filesystem()
{
	local fs=$1 file=/mnt/$1/file
	check "$fs: mounted by fstab" says "$fs" findmnt -no FSTYPE "/mnt/$fs"
	check "$fs: with dax" has dax=always findmnt -no OPTIONS "/mnt/$fs"
	check "$fs: a file, by small pages first" map_file "$file"
	check "$fs: daxmap: 100 % of the process is 2M" is_huge -p "$mapper"
	kill "$mapper"
	wait "$mapper"
	check "$fs: daxmap: 100 % of the file is 2M" is_huge "$file"
	check "$fs: unmounted and mounted again" mount_again "$fs"
	check "$fs: the data are there" "$here/mapping" check "$file"
	check "$fs: daxmap: still" is_huge "$file"
}

# An error of the kernel, the filesystems or the core; the rest is not our matter.
journal_is_clean()
{
	! journalctl -b -q -o cat -p err |
		grep -iE 'dax|pmem|nvdimm|xfs|ext4|mnt-|BUG:|WARNING:|Oops|INFO: task'
}

check "the system runs" system_runs
check "uname -r" says "$release" uname -r
check "the core's version" says "$version" cat /sys/module/fs_dax/version
check "modules are loaded" modules_are_loaded
check "a module made with linux-headers is loaded" external_module
check_filesystem xfs
check_filesystem ext4
check "no error in the journal" journal_is_clean
echo "done"
systemctl poweroff
