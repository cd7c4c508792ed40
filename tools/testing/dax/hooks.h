/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hooks that only user space has, for injection.c and promotion.c: they let
 * allocations fail, act while the xa_lock is dropped for an allocation, and
 * observe each unmap.
 */
#ifndef _DAX_HOOKS_H
#define _DAX_HOOKS_H

#include <kunit/test.h>

/*
 * The allocations from first_to_fail to last_to_fail fail, counted from 0; with
 * fail_atomic, all that may not sleep fail, too.  while_unlocked() is called
 * once, when the xa_lock is dropped, after act_after allocations that may sleep.
 */
extern long nr_allocations;
extern long first_to_fail;
extern long last_to_fail;
extern bool fail_atomic;
extern void (*while_unlocked)(void);
extern long act_after;

/* An unmap that the hook saw, and the entry that was there then. */
#define MAX_UNMAPS	300

struct unmap {
	unsigned long start;
	unsigned long nr;
	bool cows;
	void *entry;
};

extern unsigned int nr_unmaps;
extern struct unmap unmaps[MAX_UNMAPS];
extern void (*while_unmapping)(void);

void set_hooks(struct kunit *test, struct address_space *mapping);
void remove_hooks(void);
void fail_from(long first, long last);

#endif /* _DAX_HOOKS_H */
