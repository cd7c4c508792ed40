# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# bash completion for daxmap(1)

_daxmap()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local options="--pid --list --require --for --collapse --watch --dump --sysroot --json
		--output --noheadings --raw --bytes --help --version"
	local columns="LAYER NAME START ALIGNED DETAIL FOR GETS BYTES RANGES REASON OFFSET LENGTH
		BLOCKS ADDRESS WRITE READ MODE 1G 2M ZERO 4K NONE FILE ANY MAPPED CHECK RESULT GAIN SIZE"

	# "--for=read" comes as three words.
	if [[ $word == = ]]; then word=; fi
	if [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
	compopt -o filenames 2>/dev/null
	case $before in
	-p|--pid)	mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$word") ;;
	--require)	mapfile -t COMPREPLY < <(compgen -W "2M 1G" -- "$word") ;;
	--for)		mapfile -t COMPREPLY < <(compgen -W "read write" -- "$word") ;;
	--dump|--sysroot)
			mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	-o|--output)	mapfile -t COMPREPLY < <(compgen -W "$columns" -- "$word") ;;
	*)	if [[ $word == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
		fi ;;
	esac
}
complete -F _daxmap daxmap
