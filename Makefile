# SPDX-License-Identifier: GPL-2.0-only
#
# hugedax: what can be asked for. The work is done by the scripts in vm/.

release := $(shell sed -n 's/^release[[:space:]]*//p' vm/base)
package := $(shell sed -n 's/^package[[:space:]]*//p' vm/base)

help:
	@echo 'hugedax $(shell cat VERSION): a DAX core for Linux $(release)'
	@echo
	@echo '  make run           build, boot, and see every kind of entry on ext4 and XFS'
	@echo '  make test          all tests, on a debug kernel; T=name for one selftest,'
	@echo '                     T=name:case for one case of it'
	@echo '  make test-long     the long ones: races in full, an hour of daxstress; T=stage'
	@echo '  make powercut      cut the power again and again: do acknowledged data survive?'
	@echo '  make daxmap        a program that tells which page size a DAX file gets'
	@echo '  make daxmap-test   compare it with what faults get, on both kernels'
	@echo '  make bench         side by side with the stock kernel, in instructions'
	@echo '  make bench-picture the last figures, as results/bench.svg and .txt'
	@echo '  make apps          LMDB, PMDK, memkind, a JVM...: what they gain; resumes'
	@echo '  make pmdk DIR=DIR  the tests of PMDK, from a tree that is built; resumes'
	@echo '  make profile       the instructions of make bench by kernel function; T=section'
	@echo '  make mutants       break the core in many ways: do the tests notice? T=name'
	@echo '  make lint          style and static checks of our files'
	@echo '  make series        our tree as a mailable patch series, in build/series'
	@echo '  make series-check  that it applies, is the same tree, and compiles'
	@echo '  make fixes         the fixes for a stock kernel alone, in build/fixes'
	@echo '  make fixes-test    the tests of each fix, on stock and on stock with the fixes'
	@echo '  make deb           Debian packages of the kernel and daxmap, in build/deb; resumes'
	@echo '  make deb-test      install such packages in an image of Debian, and boot it'
	@echo '  make release       the series, the fixes and one patch of all, as an archive'
	@echo '  make clang-format  link .clang-format to that of the kernel tree'
	@echo '  make setup         install the Debian packages that are missing'
	@echo '  make clean         remove objects, logs and results; keep the sources'
	@echo '  make distclean     remove all that was built'
	@echo
	@echo '  KERNEL=DIR  another $(release) tree than $(package)    JOBS=N  processes'
	@echo '  KVM=1       use /dev/kvm                                T=name  one test'
	@echo '  FLAVOUR=amd64, LOCALMODCONFIG=1  which kernel make deb builds: see vm/deb --help'
	@echo '  DEBUG_INFO=1  build kernels with file and line, for gdb and stacks'
	@echo
	@echo 'vm/run COMMAND runs a command in our kernel, vm/run --shell a shell.'
	@echo 'vm/README.md explains each script.'

setup:
	@vm/setup

run: setup
	@vm/demo

test: setup
	@vm/test $(T)

test-long: setup
	@vm/test --long $(T)

powercut: setup
	@vm/powercut --record --seed $${POWERCUT_SEED:-1} --seconds $${POWERCUT_SECONDS:-1800}

daxmap: setup
	@$(MAKE) -s -C tools/dax/daxmap
	@echo 'daxmap is in tools/dax/daxmap; make -C tools/dax/daxmap install installs it'

daxmap-test: setup
	@vm/daxmap $(T)

bench: setup
	@vm/bench

bench-picture: setup
	@vm/bench picture

apps:
	@vm/setup vm/apps.packages
	@vm/apps

pmdk: setup
	@vm/pmdk "$(DIR)"

profile: setup
	@vm/profile $(or $(T),fault)

mutants: setup
	@mutation/mutants $(if $(T),$(T),--entries)

lint: setup
	@vm/lint

series: setup
	@vm/series

series-check: setup
	@vm/series check

fixes: setup
	@vm/series fixes

fixes-test: setup
	@vm/fixes

deb:
	@vm/setup vm/deb.packages
	@vm/deb

deb-test:
	@vm/setup vm/deb.packages
	@vm/deb-test

release: setup
	@vm/release

clang-format: setup
	@vm/tree stock
	@ln -sfn build/src/stock/.clang-format .clang-format
	@echo 'clang-format and editors now use build/src/stock/.clang-format'

clean:
	rm -rf build/obj build/kernel-*/obj build/kernel-*/log build/log build/results build/init

distclean:
	rm -rf build

.PHONY: help setup run test test-long powercut daxmap daxmap-test bench bench-picture apps pmdk profile mutants lint series series-check fixes fixes-test deb deb-test release clang-format clean distclean
