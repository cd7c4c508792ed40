/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interfaces between the files of the DAX core, in the order in which they
 * may call: a file calls only those above it.  Each function is documented at
 * its definition.
 */
#ifndef _FS_DAX_INTERNAL_H
#define _FS_DAX_INTERNAL_H

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "dax-entry.h"

struct dax_device;
struct dev_pagemap;
struct page;

/* dax-entry.c: the lock of an entry */

/**
 * enum dax_wake_mode - Which waiters to wake
 * @DAX_WAKE_NEXT: One exclusive waiter: the entry still exists and can be
 *	locked.
 * @DAX_WAKE_ALL: All waiters: the entry was deleted or its order has changed,
 *	so their wait key is not used any more.
 */
enum dax_wake_mode {
	DAX_WAKE_NEXT,
	DAX_WAKE_ALL,
};

/**
 * enum dax_delete - Why an entry was deleted, for the trace
 * @DAX_DELETE_TRUNCATE: Its blocks are freed: truncate, hole punch, eviction.
 * @DAX_DELETE_INVALIDATE: Its blocks change or may have changed.
 * @DAX_DELETE_DEMOTE: A smaller entry replaces it.
 */
enum dax_delete {
	DAX_DELETE_TRUNCATE,
	DAX_DELETE_INVALIDATE,
	DAX_DELETE_DEMOTE,
};

/* The mapping whose tree @xas walks. */
static inline struct address_space *dax_mapping_of(const struct xa_state *xas)
{
	return container_of(xas->xa, struct address_space, i_pages);
}

void dax_wake_entry(struct xa_state *xas, void *entry,
		    enum dax_wake_mode mode);
void dax_wake_pages(struct xa_state *xas, pgoff_t start, unsigned int nr);
int dax_get_unlocked_entry(struct xa_state *xas, unsigned int order,
			   void **entryp);
void dax_put_unlocked_entry(struct xa_state *xas, void *entry);
void *dax_get_exceeding(struct xa_state *xas, pgoff_t first, pgoff_t last);
void dax_wait_entry(struct xa_state *xas, void *entry);
void dax_wait_entry_unlock(struct xa_state *xas, void *entry)
	__releases(xas->xa->xa_lock);
void dax_lock_entry(struct xa_state *xas, void *entry);
void dax_unlock_walked(struct xa_state *xas, void *entry);
void __dax_unlock_entry(struct xa_state *xas, void *entry);
void dax_unlock_entry(struct xa_state *xas, void *entry);
void dax_replace_entry(struct xa_state *xas, void *old, void *new);
void __dax_delete_entry(struct xa_state *xas, void *entry,
			enum dax_delete why);
void dax_delete_entry(struct xa_state *xas, void *entry, enum dax_delete why);
void dax_unmap_entry(struct address_space *mapping, pgoff_t index,
		     void *entry);
void dax_skip_entry(struct xa_state *xas, void *entry);
void dax_pause_walk(struct xa_state *xas, void *entry);

/* dax-dirty.c: which pages of a large entry are dirty */

/* The parts of an entry that is by page: each has a bit in the word. */
#define DAX_NR_PARTS	8U

/* How many pages a part of @entry has. */
static inline unsigned int dax_part_pages(void *entry)
{
	return dax_entry_nr_pages(entry) / DAX_NR_PARTS;
}

void *dax_record_store(struct xa_state *xas, void *entry, pgoff_t index,
		       unsigned int order);
bool dax_flush_ends_whole(void *entry);
void *dax_record_flush(struct xa_state *xas, void *entry);
unsigned long dax_dirty_parts(void *entry);
unsigned int dax_max_dirty_pages(void *entry);

/* dax-stat.c: counters, and the length of walks */

/**
 * enum dax_promote - The steps of a promotion
 * @DAX_PROMOTE_TRY: A fault found small entries, and may promote them.
 * @DAX_PROMOTE_FRAGMENTED: Refused: their blocks are not one aligned run.
 * @DAX_PROMOTE_LOCKED: Refused: one of them was locked each time.
 * @DAX_PROMOTE_NO_MEMORY: Refused: an allocation failed.
 * @DAX_PROMOTE_GONE: They were deleted while the fault waited or allocated.
 * @DAX_PROMOTE_REPLACE: One locked entry has replaced them.
 * @DAX_PROMOTE_ROLLBACK: They were restored: the range cannot be one entry.
 * @DAX_PROMOTE_DONE: The range is one entry.
 * @NR_DAX_PROMOTE: The number of steps.
 *
 * Each TRY ends in FRAGMENTED, LOCKED, NO_MEMORY, GONE or REPLACE, and each
 * REPLACE in ROLLBACK or DONE.
 */
enum dax_promote {
	DAX_PROMOTE_TRY,
	DAX_PROMOTE_FRAGMENTED,
	DAX_PROMOTE_LOCKED,
	DAX_PROMOTE_NO_MEMORY,
	DAX_PROMOTE_GONE,
	DAX_PROMOTE_REPLACE,
	DAX_PROMOTE_ROLLBACK,
	DAX_PROMOTE_DONE,
	NR_DAX_PROMOTE,
};

void dax_count_promote(enum dax_promote what);

/**
 * enum dax_walk_kind - The purpose of a walk over the entries of a file
 * @DAX_WALK_BUSY: A layout break, or the check of a deleted file, looks for
 *	pages that are in use.
 * @DAX_WALK_DROP: The blocks of a range change, and entries are deleted.
 * @DAX_WALK_WRITE: Not a walk: a write(2) that excludes faults.
 * @DAX_WALK_UNSHARE: Not a walk: FALLOC_FL_UNSHARE_RANGE, which excludes
 *	faults.
 * @DAX_WALK_COMPARE: Not a walk: two files are compared for dedupe.
 */
enum dax_walk_kind {
	DAX_WALK_BUSY,
	DAX_WALK_DROP,
	DAX_WALK_WRITE,
	DAX_WALK_UNSHARE,
	DAX_WALK_COMPARE,
};

/*
 * After this many pages, a walk pauses, and a write or an unshare that excludes
 * faults allows them: 2 MiB with pages of 4 KiB.
 */
#define DAX_WALK_PAGES	512U

/**
 * struct dax_walk - What a walk has done since its last pause
 * @kind: Its purpose.
 * @entries: How many entries it has visited.
 * @pages: How many pages it has examined; at least one for each entry.
 */
struct dax_walk {
	enum dax_walk_kind kind;
	unsigned long entries;
	unsigned long pages;
};

void dax_walk_step(struct dax_walk *walk, struct xa_state *xas, void *entry,
		   unsigned long pages);
void dax_walk_end(struct dax_walk *walk, struct address_space *mapping);

/* dax-promote.c: many small entries to one large entry, and back */

/*
 * The highest order that entries of order 0 can be promoted to.  xas_split(),
 * which the rollback uses, splits over two levels of the tree at most.
 */
#define DAX_PROMOTE_MAX_ORDER	\
	(2 * XA_CHUNK_SHIFT - 1 < 9 ? 2 * XA_CHUNK_SHIFT - 1 : 9)
#define DAX_PROMOTE_MAX_PAGES	BIT(DAX_PROMOTE_MAX_ORDER)

/**
 * struct dax_promotion - The small entries that a large entry has replaced
 * @undo: Holds the tree nodes that the rollback needs.
 * @order: The order of the large entry.
 * @waits: How many times promotion has waited for a locked entry.
 * @conflict_offset: The page offset, from the start of the range, of an entry
 *	that is locked or does not fit.
 * @nr: How many small entries there were.
 * @nr_mapped: How many of them were mapped.
 * @nr_zero: How many of them were zero.
 * @nr_dirty: How many of them were dirty.
 * @pfn: If @nr_mapped is not 0: the pfn of a mapped entry of @order.
 * @mapped: One bit for each page of the range: there was a mapped entry, with
 *	the pfn @pfn + bit number.
 * @zero: The same for zero entries.
 * @empty: The same for empty entries.
 * @dirty: The same for entries that were marked dirty.
 */
struct dax_promotion {
	struct xa_state undo;
	unsigned int order;
	unsigned int waits;
	unsigned int conflict_offset;
	unsigned int nr;
	unsigned int nr_mapped;
	unsigned int nr_zero;
	unsigned int nr_dirty;
	unsigned long pfn;
	DECLARE_BITMAP(mapped, DAX_PROMOTE_MAX_PAGES);
	DECLARE_BITMAP(zero, DAX_PROMOTE_MAX_PAGES);
	DECLARE_BITMAP(empty, DAX_PROMOTE_MAX_PAGES);
	DECLARE_BITMAP(dirty, DAX_PROMOTE_MAX_PAGES);
};

/* Has the promotion replaced small entries? */
static inline bool dax_has_promoted(const struct dax_promotion *promotion)
{
	return promotion && promotion->nr;
}

void dax_account_promotion(struct xa_state *xas, unsigned int order,
			   const struct dax_promotion *promotion,
			   enum dax_promote what);
bool dax_may_promote(struct xarray *xa, pgoff_t start, unsigned int order);
int dax_prepare_promotion(struct xa_state *xas, unsigned int order, gfp_t gfp,
			  struct dax_promotion **promotionp);
int dax_promote_small(struct xa_state *xas, struct dax_promotion *p,
		      void **entryp);
struct dax_promotion *dax_end_attempt(struct xa_state *xas, unsigned int order,
				      struct dax_promotion *p, int ret);
void dax_unmap_promoted_zero(struct xa_state *xas,
			     const struct dax_promotion *promotion);
void dax_finish_promotion(struct xa_state *xas,
			  struct dax_promotion *promotion);
void dax_undo_promotion(struct xa_state *xas, struct dax_promotion *promotion,
			bool with_zero);
unsigned int dax_count_mapped_pages(struct address_space *mapping,
				    pgoff_t index, unsigned int order);

/* dax-grab.c: the entry for a fault */

/**
 * enum dax_grab_action - How the search for an entry ended, for the trace
 * @DAX_GRAB_INSERT: There was no entry; a locked empty one was inserted.
 * @DAX_GRAB_LOCK: The entry that was found can serve the fault, and was locked.
 * @DAX_GRAB_DEMOTE: The entry that was found is too large, and was deleted.
 * @DAX_GRAB_REFUSE: There are smaller entries; or the fault is a write of a
 *	large order, and the stores to the entry are tracked by page.
 * @DAX_GRAB_PROMOTE: There were smaller entries; one locked empty entry has
 *	replaced them.
 */
enum dax_grab_action {
	DAX_GRAB_INSERT,
	DAX_GRAB_LOCK,
	DAX_GRAB_DEMOTE,
	DAX_GRAB_REFUSE,
	DAX_GRAB_PROMOTE,
};

/**
 * struct dax_grab - The request for the entry of a fault, and its result
 * @order: The order of the fault.
 * @write: Whether the fault will write to the file.
 * @promote: Whether smaller entries may be promoted.
 * @unshared: Whether no other file can share blocks of this one.
 * @keep_huge: Whether a write of a large order is served although the stores to
 *	the entry are tracked by page.  The entry is whole after it.
 * @dirtied: Result of dax_grab_mapped(): the entry was clean, and is marked
 *	dirty now.
 * @crowded: Result of dax_grab_mapped(): the entry was by page, and the fault
 *	has shown that huge pages are better.
 * @entry: Result: the entry, without the lock bit; or the one that prevents the
 *	grab; NULL if there is none.
 * @promotion: Result: the smaller entries that were promoted, or NULL.
 */
struct dax_grab {
	unsigned int order;
	bool write;
	bool promote;
	bool unshared;
	bool keep_huge;
	bool dirtied;
	bool crowded;
	void *entry;
	struct dax_promotion *promotion;
};

/* Does @entry, which may be locked, say which memory a fault of @order maps? */
static inline bool dax_is_known(void *entry, unsigned int order)
{
	return xa_is_value(entry) && dax_is_mapped(entry) &&
		dax_entry_order(entry) >= order;
}

bool dax_grab_mapped(struct xa_state *xas, struct dax_grab *grab);
int dax_peek_entry(struct address_space *mapping, pgoff_t index,
		   unsigned int order, bool write, bool promote);
int dax_grab_entry(struct xa_state *xas, struct dax_grab *grab);

/* dax-page.c: the pages that an entry points to */

void dax_share_read_lock(void);
void dax_share_read_unlock(void);
void dax_share_write_lock(void);
void dax_share_write_unlock(void);
bool dax_page_shared(const struct page *page);
void dax_associate_entry(void *entry, struct address_space *mapping,
			 pgoff_t index, const unsigned long *associated);
bool dax_disassociate_entry(void *entry, struct address_space *mapping,
			    pgoff_t index);
void dax_disassociate_promoted(const struct dax_promotion *promotion,
			       struct address_space *mapping, pgoff_t start);
void dax_adopt_pages(struct xa_state *xas, void *entry, pgoff_t index,
		     unsigned int order);
struct page *dax_busy_page(void *entry, pgoff_t index, pgoff_t first,
			   pgoff_t last);
bool dax_entry_in_use(void *entry);
bool dax_memory_in_use(struct dax_device *dax_dev, pgoff_t pgoff, long nr);
struct dev_pagemap *dax_get_entry_pgmap(struct xa_state *xas, void *entry,
					pgoff_t index, unsigned int order);
bool dax_pfns_on_device(unsigned long pfn, unsigned long nr);
struct page *dax_entry_page(void *entry, pgoff_t index);
void *dax_entry_kaddr(void *entry);
void dax_flush_entry(void *entry);
void dax_set_page_dirty(void *entry, pgoff_t index);
unsigned int dax_next_dirty_pages(void *entry, unsigned int end,
				  unsigned int *offset);
void dax_clear_dirty_pages(void *entry, unsigned int offset, unsigned int nr);

/* dax-access.c has a header of its own */

/* dax.c: operations on a whole mapping */

/**
 * enum dax_drop - Which entries of a range to delete
 * @DAX_DROP_ZERO: Zero entries, and locked empty entries, which may become zero
 *	entries.
 * @DAX_DROP_ALL: All entries.
 */
enum dax_drop {
	DAX_DROP_ZERO,
	DAX_DROP_ALL,
};

bool dax_drop_entry(struct xa_state *xas, void *entry, enum dax_delete why);
bool dax_drop_range(struct address_space *mapping, loff_t pos, u64 len,
		    enum dax_drop which);

/* dax-fault.c: page faults */

/*
 * Why a fault was not served with the order that was tried: R(id, name) for
 * each reason, with LAST in place of R for the last one.  The name is the one
 * in the trace.
 */
#define DAX_FALLBACK_REASONS(R, LAST)					\
	/* The fault was served, or it failed. */			\
	R(NONE,			"none")					\
	/* This kernel has no entries of the order. */			\
	R(UNSUPPORTED,		"unsupported")				\
	/* Address and file offset differ modulo the size. */		\
	R(COLOUR,		"colour")				\
	/* The range is not completely in the VMA. */			\
	R(VMA,			"vma")					\
	/* The range extends beyond the end of the file. */		\
	R(EOF,			"eof")					\
	/* Private copies are made page by page. */			\
	R(PRIVATE_WRITE,	"private-write")			\
	/* There are smaller entries, and promotion is off, or is */	\
	/* not possible for the order. */				\
	R(SMALL_ENTRIES,	"small-entries")			\
	/* There are smaller entries, and their blocks are not one */	\
	/* aligned run. */						\
	R(FRAGMENTED,		"fragmented")				\
	/* There are smaller entries, and each time that promotion */	\
	/* checked them, one was locked. */				\
	R(ENTRY_LOCKED,		"entry-locked")				\
	/* The filesystem's block lookup failed. */			\
	R(IOMAP_ERROR,		"iomap-error")				\
	/* The extent does not cover the range. */			\
	R(EXTENT_SHORT,		"extent-short")				\
	/* The extent cannot be mapped, or not for writing. */		\
	R(EXTENT_TYPE,		"extent-type")				\
	/* The device cannot give access to the range. */		\
	R(DEVICE_ERROR,		"device-error")				\
	/* The device is not contiguous over the range. */		\
	R(DEVICE_SHORT,		"device-short")				\
	/* The blocks are not aligned to the order. */			\
	R(MISALIGNED_PFN,	"misaligned-pfn")			\
	/* The huge zero page could not be allocated. */		\
	R(NO_ZERO_PAGE,		"no-zero-page")				\
	/* The stores between two flushes are few, and small pages show */	\
	/* which pages must be flushed. */				\
	R(SMALL_WRITES,		"small-writes")				\
	/* The page table maps smaller pages in the range. */		\
	R(PAGE_TABLE,		"page-table")				\
	/* An allocation failed. */					\
	LAST(NO_MEMORY,		"no-memory")

#define DAX_FALLBACK_ENUM(id, name)	DAX_FALLBACK_##id,

enum dax_fallback {
	DAX_FALLBACK_REASONS(DAX_FALLBACK_ENUM, DAX_FALLBACK_ENUM)
	NR_DAX_FALLBACK
};

/* dax-stat.c: counters of faults */

void dax_count_served(unsigned int order);
void dax_count_fallback(enum dax_fallback reason);

#endif /* _FS_DAX_INTERNAL_H */
