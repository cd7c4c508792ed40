/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of the kernel's interfaces, those that mean nothing in user space.
 */
#ifndef _DAX_SHIM_STUBS_H
#define _DAX_SHIM_STUBS_H

/* sparse */
#define __rcu
#define __acquires(x)
#define __releases(x)
#define __must_hold(x)

/* lockdep; custom.h sees who sleeps with a spinlock held */
#define lockdep_is_held(lock)		true

/* Readers hold the xa_lock here, so there is nothing to wait for. */
#define rcu_read_lock()			do { } while (0)
#define rcu_read_unlock()		do { } while (0)
#define rcu_dereference_raw(p)		READ_ONCE(p)
#define rcu_dereference_check(p, c)	READ_ONCE(p)
#define rcu_dereference_protected(p, c)	READ_ONCE(p)
#define rcu_assign_pointer(p, v)	WRITE_ONCE(p, v)
#define RCU_INIT_POINTER(p, v)		WRITE_ONCE(p, v)

/* dax-internal.h names it in the prototype of another file */
typedef struct {
	unsigned long val;
} pfn_t;

#define tracepoint_synchronize_unregister()	do { } while (0)

#endif /* _DAX_SHIM_STUBS_H */
