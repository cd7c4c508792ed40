# SPDX-License-Identifier: GPL-2.0-only
#
# The makefiles in tools/testing read this file: it names the kernel tree that they
# use, and the folder in which tools/testing/dax builds.

root := $(dir $(lastword $(MAKEFILE_LIST)))build
KSRC ?= $(firstword $(wildcard $(addprefix $(root)/src/,hugedax stock)) \
	$(root)/src/hugedax)
O ?= $(root)/obj/tools-dax
