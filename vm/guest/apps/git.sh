#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# git.sh prepare COMMITS: a repository in /tmp, of which each commit changes 10 files.
# git.sh DIR COMMITS: clones it, collects garbage, checks all objects, and compares the
# files with those of the first repository.

set -euo pipefail

source=/tmp/git-source
export GIT_CONFIG_NOSYSTEM=1 HOME=/tmp

# A stream for git fast-import. Lines differ, so that packs have something to pack.
commits()
{
	awk -v commits="$1" 'BEGIN {
		for (c = 1; c <= commits; c++) {
			print "commit refs/heads/main"
			print "committer A <a@localhost> " 1700000000 + c " +0000"
			print "data 2\nc"
			for (f = 0; f < 10; f++) {
				text = ""
				for (l = 0; l < 200; l++)
					text = text (c * 7919 + f * 104729 + l * l * 31) % 999983 "\n"
				print "M 644 inline dir" f "/file" (c % 50)
				print "data " length(text)
				printf "%s\n", text
			}
		}
	}'
}

if [[ $1 == prepare ]]; then
	rm -rf "$source"
	git init -q -b main "$source"
	commits "$2" | git -C "$source" fast-import --quiet
	git -C "$source" checkout -q main
	exit
fi
clone=$1/clone
git clone -q "file://$source" "$clone"
git -C "$clone" gc -q
git -C "$clone" fsck --full --strict --no-progress
if [[ $(git -C "$clone" rev-list --count HEAD) != "$2" ]]; then
	echo "git: the clone has not $2 commits" >&2
	exit 1
fi
diff -r --exclude=.git "$source" "$clone"
