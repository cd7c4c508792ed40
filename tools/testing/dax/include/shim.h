/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for the kernel headers that fs/dax-entry.c, lib/xarray.c and their
 * tests include.  The Makefile makes one line headers of their names that lead
 * here; the rest comes from the kernel's tools/include.
 *
 * dup.h needs the XArray and comes after it: see linux/fs.h in the Makefile.
 */
#ifndef _DAX_SHIM_H
#define _DAX_SHIM_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kconfig.h>
#include <linux/kernel.h>
#include <linux/list.h>

#include "stubs.h"
#include "custom.h"

/* For inline functions that nothing calls here. */
void bitmap_complement(unsigned long *dst, const unsigned long *src,
		       unsigned int nbits);
unsigned long find_last_bit(const unsigned long *addr, unsigned long size);

#endif /* _DAX_SHIM_H */
