/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules for order conflicts, in the words of the event dax_grab_entry: what
 * a fault of 4 KiB or 2 MiB does with the entry that it finds.
 */
#ifndef DAX_RULES_H
#define DAX_RULES_H

#include "dax_test.h"
#include "../../../../../fs/tests/dax_order_rules.h"

struct dax_rule {
	const char *found;	/* a kind, or "none" */
	unsigned int order;
	const char *action[4];	/* 4 KiB read and write, 2 MiB read and write */
};

#define DAX_RULE(found, order, r0, w0, r9, w9, ...)	\
	{ #found, order, { #r0, #w0, #r9, #w9 } },

static const struct dax_rule dax_rules[] = { DAX_ORDER_RULES(DAX_RULE) };

static inline const struct dax_rule *dax_rule(const char *found,
					      unsigned int order)
{
	for (size_t i = 0; i < ARRAY_LEN(dax_rules); i++)
		if (dax_rules[i].order == order &&
		    !strcmp(dax_rules[i].found, found))
			return &dax_rules[i];
	dax_exit_fail("no rule for %s of order %u", found, order);
}

#endif
