/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Functions that the parts of the library share.
 */
#ifndef DAX_INTERNAL_H
#define DAX_INTERNAL_H

#include "dax_test.h"

void enter_work_dir(void);
void remove_work_dir(void);
void unmap_all(void);
void trace_close(void);
void restore_policy(void);

#endif
