/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In place of fs/dax-trace.h: trace events that count and call one probe.  It
 * is included before anything else, and its guard is that of the original.
 */
#ifndef _FS_DAX_TRACE_H
#define _FS_DAX_TRACE_H

#include <linux/fs.h>

#include "dax-internal.h"

/* The names that the original takes from linux/tracepoint.h. */
#define TP_PROTO(...)	__VA_ARGS__
#define TP_ARGS(...)	__VA_ARGS__

/* In place of fs/dax-stat.c. */
extern unsigned long nr_promote[NR_DAX_PROMOTE];

#define DAX_SHIM_EVENT(event, proto, args, note)			\
extern void (*event##_probe)(void *data, proto);			\
extern void *event##_data;						\
extern unsigned long nr_##event;					\
									\
static inline void trace_##event(proto)					\
{									\
	note;								\
	__atomic_fetch_add(&nr_##event, 1, __ATOMIC_RELAXED);		\
	if (event##_probe)						\
		event##_probe(event##_data, args);			\
}									\
									\
static inline int register_trace_##event(void (*probe)(void *, proto),	\
					 void *data)			\
{									\
	event##_probe = probe;						\
	event##_data = data;						\
	return 0;							\
}									\
									\
static inline void unregister_trace_##event(void (*probe)(void *, proto), \
					    void *data)			\
{									\
	event##_probe = NULL;						\
}

DAX_SHIM_EVENT(dax_grab_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff,
		 unsigned int order, bool write, void *found,
		 enum dax_grab_action action),
	TP_ARGS(mapping, pgoff, order, write, found, action),
	do { } while (0))

DAX_SHIM_EVENT(dax_promote_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff,
		 unsigned int order, const struct dax_promotion *promotion,
		 enum dax_promote action),
	TP_ARGS(mapping, pgoff, order, promotion, action),
	do { } while (0))

DAX_SHIM_EVENT(dax_delete_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *entry,
		 int how),
	TP_ARGS(mapping, pgoff, entry, how),
	do { } while (0))

DAX_SHIM_EVENT(dax_wait_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *entry),
	TP_ARGS(mapping, pgoff, entry),
	shim_sleeps_on(pgoff, entry))

#endif /* _FS_DAX_TRACE_H */
