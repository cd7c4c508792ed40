/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events of the DAX core besides those of trace/events/fs_dax.h.
 *
 * Other programs parse the events of that header, so their format stays.  The
 * events of this header report what the core adds: the life of an entry, the
 * order and reason of each fallback, and the walks and waits of the core.
 *
 * Page offsets and sizes are in pages.  A pgoff is that of the request, or the
 * first page offset of the entry if the event is about an entry.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM fs_dax
#undef TRACE_SYSTEM_VAR
#define TRACE_SYSTEM_VAR fs_dax_core

#if !defined(_FS_DAX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _FS_DAX_TRACE_H

#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>

#include "dax-internal.h"

#ifndef _FS_DAX_TRACE_NAMES
#define _FS_DAX_TRACE_NAMES

/* The kind that is traced if there is no entry. */
#define DAX_TRACE_NONE		(-1)

static inline int dax_trace_kind(void *entry)
{
	return entry ? dax_entry_kind(entry) : DAX_TRACE_NONE;
}

static inline unsigned int dax_trace_order(void *entry)
{
	return entry ? dax_entry_order(entry) : 0;
}
#endif

TRACE_DEFINE_ENUM(DAX_MAPPED);
TRACE_DEFINE_ENUM(DAX_ZERO);
TRACE_DEFINE_ENUM(DAX_EMPTY);

#define DAX_KIND_NAMES							\
	{ DAX_TRACE_NONE,		"none" },			\
	{ DAX_MAPPED,			"mapped" },			\
	{ DAX_ZERO,			"zero" },			\
	{ DAX_EMPTY,			"empty" }

TRACE_DEFINE_ENUM(DAX_GRAB_INSERT);
TRACE_DEFINE_ENUM(DAX_GRAB_LOCK);
TRACE_DEFINE_ENUM(DAX_GRAB_DEMOTE);
TRACE_DEFINE_ENUM(DAX_GRAB_REFUSE);
TRACE_DEFINE_ENUM(DAX_GRAB_PROMOTE);

#define DAX_GRAB_NAMES							\
	{ DAX_GRAB_INSERT,		"insert" },			\
	{ DAX_GRAB_LOCK,		"lock" },			\
	{ DAX_GRAB_DEMOTE,		"demote" },			\
	{ DAX_GRAB_REFUSE,		"refuse" },			\
	{ DAX_GRAB_PROMOTE,		"promote" }

TRACE_DEFINE_ENUM(DAX_PROMOTE_TRY);
TRACE_DEFINE_ENUM(DAX_PROMOTE_FRAGMENTED);
TRACE_DEFINE_ENUM(DAX_PROMOTE_LOCKED);
TRACE_DEFINE_ENUM(DAX_PROMOTE_NO_MEMORY);
TRACE_DEFINE_ENUM(DAX_PROMOTE_GONE);
TRACE_DEFINE_ENUM(DAX_PROMOTE_REPLACE);
TRACE_DEFINE_ENUM(DAX_PROMOTE_ROLLBACK);
TRACE_DEFINE_ENUM(DAX_PROMOTE_DONE);

/* Also the names of the counters in debugfs. */
#define DAX_PROMOTE_NAMES						\
	{ DAX_PROMOTE_TRY,		"try" },			\
	{ DAX_PROMOTE_FRAGMENTED,	"refuse-fragmented" },		\
	{ DAX_PROMOTE_LOCKED,		"refuse-locked" },		\
	{ DAX_PROMOTE_NO_MEMORY,	"refuse-no-memory" },		\
	{ DAX_PROMOTE_GONE,		"gone" },			\
	{ DAX_PROMOTE_REPLACE,		"replace" },			\
	{ DAX_PROMOTE_ROLLBACK,		"rollback" },			\
	{ DAX_PROMOTE_DONE,		"done" }

TRACE_DEFINE_ENUM(DAX_DELETE_TRUNCATE);
TRACE_DEFINE_ENUM(DAX_DELETE_INVALIDATE);
TRACE_DEFINE_ENUM(DAX_DELETE_DEMOTE);

#define DAX_DELETE_NAMES						\
	{ DAX_DELETE_TRUNCATE,		"truncate" },			\
	{ DAX_DELETE_INVALIDATE,	"invalidate" },			\
	{ DAX_DELETE_DEMOTE,		"demote" }

TRACE_DEFINE_ENUM(DAX_WALK_BUSY);
TRACE_DEFINE_ENUM(DAX_WALK_DROP);
TRACE_DEFINE_ENUM(DAX_WALK_WRITE);
TRACE_DEFINE_ENUM(DAX_WALK_UNSHARE);
TRACE_DEFINE_ENUM(DAX_WALK_COMPARE);

#define DAX_WALK_NAMES							\
	{ DAX_WALK_BUSY,		"busy" },			\
	{ DAX_WALK_DROP,		"drop" },			\
	{ DAX_WALK_WRITE,		"write" },			\
	{ DAX_WALK_UNSHARE,		"unshare" },			\
	{ DAX_WALK_COMPARE,		"compare" }

#define DAX_FALLBACK_DEFINE(id, name)	TRACE_DEFINE_ENUM(DAX_FALLBACK_##id);
#define DAX_FALLBACK_NAME(id, name)	{ DAX_FALLBACK_##id, name },
#define DAX_FALLBACK_LAST(id, name)	{ DAX_FALLBACK_##id, name }

DAX_FALLBACK_REASONS(DAX_FALLBACK_DEFINE, DAX_FALLBACK_DEFINE)

#define DAX_FALLBACK_NAMES						\
	DAX_FALLBACK_REASONS(DAX_FALLBACK_NAME, DAX_FALLBACK_LAST)

TRACE_EVENT(dax_grab_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff,
		 unsigned int order, bool write, void *found,
		 enum dax_grab_action action),
	TP_ARGS(mapping, pgoff, order, write, found, action),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(pgoff_t, pgoff)
		__field(unsigned int, order)
		__field(bool, write)
		__field(int, found)
		__field(unsigned int, found_order)
		__field(int, action)
	),
	TP_fast_assign(
		__entry->dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->pgoff = pgoff;
		__entry->order = order;
		__entry->write = write;
		__entry->found = dax_trace_kind(found);
		__entry->found_order = dax_trace_order(found);
		__entry->action = action;
	),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx order %u %s found %s found_order %u action %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->order,
		  __entry->write ? "write" : "read",
		  __print_symbolic(__entry->found, DAX_KIND_NAMES),
		  __entry->found_order,
		  __print_symbolic(__entry->action, DAX_GRAB_NAMES))
);

TRACE_EVENT(dax_promote_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff,
		 unsigned int order, const struct dax_promotion *promotion,
		 enum dax_promote action),
	TP_ARGS(mapping, pgoff, order, promotion, action),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(pgoff_t, pgoff)
		__field(unsigned int, order)
		__field(unsigned int, nr)
		__field(unsigned int, mapped)
		__field(unsigned int, zero)
		__field(unsigned int, dirty)
		__field(int, action)
	),
	TP_fast_assign(
		__entry->dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->pgoff = pgoff;
		__entry->order = order;
		__entry->nr = promotion ? promotion->nr : 0;
		__entry->mapped = promotion ? promotion->nr_mapped : 0;
		__entry->zero = promotion ? promotion->nr_zero : 0;
		__entry->dirty = promotion ? promotion->nr_dirty : 0;
		__entry->action = action;
	),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx order %u entries %u mapped %u zero %u dirty %u %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->order, __entry->nr,
		  __entry->mapped, __entry->zero, __entry->dirty,
		  __print_symbolic(__entry->action, DAX_PROMOTE_NAMES))
);

DECLARE_EVENT_CLASS(dax_entry_class,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *word,
		 int how),
	TP_ARGS(mapping, pgoff, word, how),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(pgoff_t, pgoff)
		__field(unsigned int, order)
		__field(int, kind)
		__field(int, how)
	),
	TP_fast_assign(
		__entry->dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->pgoff = dax_entry_start(word, pgoff);
		__entry->order = dax_entry_order(word);
		__entry->kind = dax_entry_kind(word);
		__entry->how = how;
	),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx order %u kind %s by %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->order,
		  __print_symbolic(__entry->kind, DAX_KIND_NAMES),
		  __print_symbolic(__entry->how, DAX_DELETE_NAMES))
);

DEFINE_EVENT(dax_entry_class, dax_delete_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *word,
		 int how),
	TP_ARGS(mapping, pgoff, word, how));

DEFINE_EVENT_PRINT(dax_entry_class, dax_store_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *word,
		 int how),
	TP_ARGS(mapping, pgoff, word, how),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx order %u kind %s %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->order,
		  __print_symbolic(__entry->kind, DAX_KIND_NAMES),
		  __entry->how ? "dirty" : "clean")
);

TRACE_EVENT(dax_wait_entry,
	TP_PROTO(struct address_space *mapping, pgoff_t pgoff, void *word),
	TP_ARGS(mapping, pgoff, word),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(pgoff_t, pgoff)
		__field(unsigned int, order)
		__field(int, kind)
	),
	TP_fast_assign(
		__entry->dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->pgoff = dax_entry_start(word, pgoff);
		__entry->order = dax_entry_order(word);
		__entry->kind = dax_entry_kind(word);
	),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx order %u kind %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->order,
		  __print_symbolic(__entry->kind, DAX_KIND_NAMES))
);

/* The work between two pauses, at which others may run. */
TRACE_EVENT(dax_walk,
	TP_PROTO(struct address_space *mapping, const struct dax_walk *walk),
	TP_ARGS(mapping, walk),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(int, kind)
		__field(unsigned long, entries)
		__field(unsigned long, pages)
	),
	TP_fast_assign(
		__entry->dev = mapping->host->i_sb->s_dev;
		__entry->ino = mapping->host->i_ino;
		__entry->kind = walk->kind;
		__entry->entries = walk->entries;
		__entry->pages = walk->pages;
	),
	TP_printk("dev %d:%d ino %#lx %s entries %lu pages %lu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __print_symbolic(__entry->kind, DAX_WALK_NAMES),
		  __entry->entries, __entry->pages)
);

/* A wait for an idle page has ended. */
TRACE_EVENT(dax_idle_page,
	TP_PROTO(const struct inode *inode, unsigned long pfn, bool woken),
	TP_ARGS(inode, pfn, woken),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(unsigned long, pfn)
		__field(bool, woken)
	),
	TP_fast_assign(
		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->pfn = pfn;
		__entry->woken = woken;
	),
	TP_printk("dev %d:%d ino %#lx pfn %#lx %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pfn, __entry->woken ? "woken" : "polled")
);

/* Pages that were mapped beside the one of the fault. */
TRACE_EVENT(dax_map_around,
	TP_PROTO(const struct vm_fault *vmf, pgoff_t first, pgoff_t last,
		 bool write, unsigned int pages),
	TP_ARGS(vmf, first, last, write, pages),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(pgoff_t, pgoff)
		__field(pgoff_t, first)
		__field(pgoff_t, last)
		__field(bool, write)
		__field(unsigned int, pages)
	),
	TP_fast_assign(
		const struct inode *inode = vmf->vma->vm_file->f_mapping->host;

		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->pgoff = vmf->pgoff;
		__entry->first = first;
		__entry->last = last;
		__entry->write = write;
		__entry->pages = pages;
	),
	TP_printk("dev %d:%d ino %#lx pgoff %#lx first %#lx last %#lx %s pages %u",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->pgoff, __entry->first, __entry->last,
		  __entry->write ? "write" : "read", __entry->pages)
);

DECLARE_EVENT_CLASS(dax_vmf_class,
	TP_PROTO(const struct vm_fault *vmf, unsigned int order,
		 enum dax_fallback reason, int result),
	TP_ARGS(vmf, order, reason, result),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(unsigned long, ino)
		__field(unsigned long, address)
		__field(pgoff_t, pgoff)
		__field(unsigned int, order)
		__field(int, reason)
		__field(int, result)
	),
	TP_fast_assign(
		const struct inode *inode = vmf->vma->vm_file->f_mapping->host;

		__entry->dev = inode->i_sb->s_dev;
		__entry->ino = inode->i_ino;
		__entry->address = vmf->address;
		__entry->pgoff = vmf->pgoff;
		__entry->order = order;
		__entry->reason = reason;
		__entry->result = result;
	),
	TP_printk("dev %d:%d ino %#lx address %#lx pgoff %#lx order %u reason %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->address, __entry->pgoff, __entry->order,
		  __print_symbolic(__entry->reason, DAX_FALLBACK_NAMES))
);

DEFINE_EVENT(dax_vmf_class, dax_fault_fallback,
	TP_PROTO(const struct vm_fault *vmf, unsigned int order,
		 enum dax_fallback reason, int result),
	TP_ARGS(vmf, order, reason, result));

DEFINE_EVENT_PRINT(dax_vmf_class, dax_collapse,
	TP_PROTO(const struct vm_fault *vmf, unsigned int order,
		 enum dax_fallback reason, int result),
	TP_ARGS(vmf, order, reason, result),
	TP_printk("dev %d:%d ino %#lx address %#lx pgoff %#lx order %u result %d reason %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino,
		  __entry->address, __entry->pgoff, __entry->order,
		  __entry->result,
		  __print_symbolic(__entry->reason, DAX_FALLBACK_NAMES))
);

#endif /* _FS_DAX_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE dax-trace

#include <trace/define_trace.h>
