/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What dax-fault.c and dax-collapse.c share: the promotion policy, which
 * dax-collapse.c defines, and the fault path, which it calls.
 */
#ifndef _FS_DAX_FAULT_H
#define _FS_DAX_FAULT_H

#include <linux/compiler.h>
#include <linux/mm_types.h>

#include "dax-internal.h"

struct iomap_ops;
struct vm_fault;

/**
 * enum dax_policy - When small entries become a large one without a request
 * @DAX_POLICY_OFF: Never.
 * @DAX_POLICY_FAULT: When a huge fault finds them in its range.
 * @DAX_POLICY_EAGER: Also when a 4 KiB fault finds that they fill most of the
 *	range.
 */
enum dax_policy {
	DAX_POLICY_OFF,
	DAX_POLICY_FAULT,
	DAX_POLICY_EAGER,
};

extern enum dax_policy dax_policy;

/* May a huge fault promote small entries? */
static inline bool dax_promotion_enabled(void)
{
	return READ_ONCE(dax_policy) != DAX_POLICY_OFF;
}

enum dax_fallback dax_fault_eligible(const struct vm_fault *vmf,
				     unsigned int order);
vm_fault_t dax_fault_for_collapse(struct vm_fault *vmf, unsigned int order,
				  const struct iomap_ops *ops,
				  enum dax_fallback *reasonp, int *errorp);

#endif /* _FS_DAX_FAULT_H */
