// SPDX-License-Identifier: GPL-2.0-only
/* The definitions of the trace events of the DAX core. */
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/pfn_t.h>

#include "dax-internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/fs_dax.h>
#include "dax-trace.h"
