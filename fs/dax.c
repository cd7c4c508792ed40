// SPDX-License-Identifier: GPL-2.0-only
/*
 * The DAX page cache: files on memory that the CPU can address.
 *
 * A file on a DAX device is not cached, since its blocks can be mapped and
 * copied where they are.  What is left of the page cache is its index: for
 * each part of the file that was ever mapped, i_pages holds an entry that says
 * which memory stands there.  The entries serialise everybody who cares:
 *
 *	faults		insert and replace entries, map what they say
 *	writeback	flushes those marked dirty, and write-protects them
 *	truncate,	delete them, after the page tables
 *	invalidate
 *	memory failure	keeps them from changing while it looks for victims
 *
 * ENTRIES	of 4 KiB and 2 MiB, mapped, zero or empty, each with a lock
 *		bit: dax-entry.h says what they are, dax-entry.c how they are
 *		locked, dax-grab.c how they come into being, and
 *		Documentation/filesystems/dax-entries.rst what happens when
 *		sizes meet.
 *
 * LOCKS	from the outermost to the innermost:
 *
 *		inode->i_rwsem			write, truncate; not faults
 *		  mm->mmap_lock or VMA lock
 *		    sb_start_pagefault
 *		      mapping->invalidate_lock	shared: fault; else: truncate
 *			filesystem transaction	where it spans the fault: ext4
 *			  entry lock		sleeps; one at a time
 *			    dax_share_rwsem	memory failure; new sharers
 *			    extent locks	inside ->iomap_begin, ->iomap_end
 *			    i_mmap_rwsem	unmap, write-protect
 *			      page table lock
 *				i_pages.xa_lock	irqs off, sleeps never
 *
 *		dax_read_lock() keeps a device alive while one of its addresses
 *		is in use; it sleeps for nobody and nests in any of these.
 *
 * LIFETIME	An entry that has blocks stays until some of them go or change:
 *		memory pressure does not evict it.  Small ones may be promoted:
 *		one large entry takes their place, with their marks.  Zero and
 *		empty entries give way to others at any time, under the entry
 *		lock.
 *
 * MARKS	PAGECACHE_TAG_DIRTY on a mapped entry, or on the locked one that
 *		took its place: some page table may map it writable, or has since
 *		it was last flushed.  Of what fsync saw dirty when it was called,
 *		all is flushed when it returns, whoever held the entry in between.
 *
 * FILES	each calls those above it only:
 *
 *		dax-entry.h	what an entry is
 *		dax-entry.c	who holds it
 *		dax-grab.c	the entry that a fault works under
 *		dax-page.c	what it points to
 *		dax-access.[ch]	where the bytes are
 *		dax.c		this file: what happens to a mapping as a whole
 *		dax-fault.c	page faults of every order, MAP_SYNC
 *		dax-io.c	read, write, zero, truncate a block
 *		dax-reflink.c	two files: unshare, compare, remap
 *		dax-writeback.c	dirty entries to media
 *		dax-defer.c	deleted files whose pages are in use
 *
 *		Beside them, dax-trace.[ch] has the events that are not in
 *		trace/events/fs_dax.h, and dax-stat.c counts.
 */

#include <linux/dax.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <trace/events/fs_dax.h>

#include "dax-internal.h"

/*
 * Cookies of the lock functions below, beside the entry that was locked: no
 * xarray value has either value.
 */
#define DAX_COOKIE_FAILED	((dax_entry_t)0)
#define DAX_COOKIE_NOTHING	(~(dax_entry_t)0)

/*
 * The entry that @xas stands at is locked, so @folio stays in the mapping; but
 * not yet is it certain that no other file comes to map it, too.  Returns the
 * cookie, or undoes the lock if one has.
 */
static dax_entry_t dax_verify_folio(struct xa_state *xas, struct folio *folio,
				    void *entry)
{
	dax_share_write_lock();
	if (folio->mapping == dax_mapping_of(xas) &&
	    !dax_page_shared(&folio->page))
		return (dax_entry_t)entry;
	dax_share_write_unlock();
	dax_unlock_entry(xas, entry);
	return DAX_COOKIE_FAILED;
}

/**
 * dax_lock_folio() - Keep a folio's file from changing under memory failure
 * @folio: A folio of a DAX device, which the caller has not pinned.
 *
 * Finds the file by folio->mapping and locks the entry that maps the folio.
 * Until it is unlocked, the folio stays where it is in the file, no other file
 * comes to share it, and the inode cannot go.
 *
 * Context: Process context; holds no lock on the inode.  May sleep.
 * Return: A cookie for dax_unlock_folio(), or 0 if no single file maps the
 * folio: none does, or several do and only the filesystem knows which.
 */
dax_entry_t dax_lock_folio(struct folio *folio)
{
	dax_entry_t cookie = DAX_COOKIE_FAILED;
	XA_STATE(xas, NULL, 0);
	void *entry;

	rcu_read_lock();
	for (;;) {
		struct address_space *mapping;

		/* Once the device goes, nobody keeps what the page knows true. */
		if (!dax_pfns_on_device(folio_pfn(folio), 1))
			break;
		mapping = READ_ONCE(folio->mapping);

		if (!mapping || !dax_mapping(mapping))
			break;
		/* Device DAX has no entries; its dev_pagemap pin will do. */
		if (S_ISCHR(mapping->host->i_mode)) {
			cookie = DAX_COOKIE_NOTHING;
			break;
		}

		xas.xa = &mapping->i_pages;
		xas_lock_irq(&xas);
		if (mapping != folio->mapping) {
			xas_unlock_irq(&xas);
			continue;
		}
		xas_set(&xas, folio->index);
		entry = xas_load(&xas);
		if (xa_is_value(entry) && dax_is_locked(entry)) {
			/* The mapping may be gone when this returns. */
			rcu_read_unlock();
			dax_wait_entry_unlock(&xas, entry);
			rcu_read_lock();
			continue;
		}
		if (xa_is_value(entry)) {
			dax_lock_entry(&xas, entry);
			cookie = (dax_entry_t)entry;
		}
		xas_unlock_irq(&xas);
		break;
	}
	rcu_read_unlock();
	if (cookie == DAX_COOKIE_FAILED || cookie == DAX_COOKIE_NOTHING)
		return cookie;
	return dax_verify_folio(&xas, folio, entry);
}

/**
 * dax_unlock_folio() - Undo dax_lock_folio()
 * @folio: The folio.
 * @cookie: What dax_lock_folio() returned, other than 0.
 *
 * Context: Any in which irqs are on.
 */
void dax_unlock_folio(struct folio *folio, dax_entry_t cookie)
{
	if (cookie == DAX_COOKIE_NOTHING)
		return;
	dax_unlock_mapping_entry(folio->mapping, folio->index, cookie);
	dax_share_write_unlock();
}

/**
 * dax_lock_mapping_entry() - Lock the entry of a page offset for memory failure
 * @mapping: The mapping, whose inode the caller holds.
 * @index: The page offset.
 * @page: Where to put the page of @index; left alone if there is none.
 *
 * Context: Process context.  May sleep.
 * Return: A cookie for dax_unlock_mapping_entry(), also if no blocks are
 * mapped at @index and nothing was locked; 0 if @mapping is not of a DAX file.
 */
dax_entry_t dax_lock_mapping_entry(struct address_space *mapping, pgoff_t index,
				   struct page **page)
{
	dax_entry_t cookie = DAX_COOKIE_NOTHING;
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	if (!dax_mapping(mapping))
		return DAX_COOKIE_FAILED;

	xas_lock_irq(&xas);
	for (;;) {
		entry = xas_load(&xas);
		if (!xa_is_value(entry) || !dax_is_locked(entry))
			break;
		dax_wait_entry(&xas, entry);
	}
	if (xa_is_value(entry) && dax_is_mapped(entry)) {
		dax_lock_entry(&xas, entry);
		*page = dax_entry_page(entry, index);
		cookie = (dax_entry_t)entry;
	}
	xas_unlock_irq(&xas);
	return cookie;
}

/**
 * dax_unlock_mapping_entry() - Undo dax_lock_mapping_entry()
 * @mapping: The mapping.
 * @index: The page offset.
 * @cookie: What dax_lock_mapping_entry() returned, other than 0.
 *
 * Context: Any in which irqs are on.
 */
void dax_unlock_mapping_entry(struct address_space *mapping, pgoff_t index,
			      dax_entry_t cookie)
{
	XA_STATE(xas, &mapping->i_pages, index);

	if (cookie != DAX_COOKIE_NOTHING)
		dax_unlock_entry(&xas, (void *)cookie);
}

/* How many pages of @entry, found at @index, are in the range that is asked for. */
static unsigned long dax_nr_scanned(void *entry, pgoff_t index, pgoff_t first,
				    pgoff_t last)
{
	pgoff_t start = dax_entry_start(entry, index);

	if (!dax_is_mapped(entry))
		return 1;
	return min(last, start + dax_entry_nr_pages(entry) - 1) -
		max(first, start) + 1;
}

/* The entry at @index goes as a whole.  Its first page offset, and its last. */
static void dax_entry_bounds(struct address_space *mapping, pgoff_t index,
			     pgoff_t *first, pgoff_t *last)
{
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	*first = index;
	*last = index;
	xas_lock_irq(&xas);
	entry = xas_load(&xas);
	if (xa_is_value(entry)) {
		*first = dax_entry_start(entry, index);
		*last = *first + dax_entry_nr_pages(entry) - 1;
	}
	xas_unlock_irq(&xas);
}

/**
 * dax_layout_busy_page_range() - Find a page of a file that is in use
 * @mapping: The mapping of the file.
 * @start: First byte of the range.
 * @end: Last byte of the range; LLONG_MAX for the end of the file.
 *
 * Before a filesystem takes blocks away from a file, nobody may use their
 * pages: no page table, and no device that does DMA into them.  This unmaps
 * the range and looks for references.  A page may well be in use although no
 * page table maps the file any more: DMA does not end with munmap().  A page
 * that another file has, too, keeps its block, and so does not count.
 *
 * An entry that the range ends in goes as a whole, and nobody would find its
 * other pages afterwards.  So the whole of it is unmapped and looked at.
 *
 * Context: Process context; mapping->invalidate_lock held exclusively, so that
 * nobody maps the range again.  May sleep.
 * Return: A page for dax_wait_page_idle(), to which the caller has no
 * reference; it may go with its device at any time.  NULL if there is none.
 */
struct page *dax_layout_busy_page_range(struct address_space *mapping,
					loff_t start, loff_t end)
{
	pgoff_t first = start >> PAGE_SHIFT;
	pgoff_t last = end == LLONG_MAX ? ULONG_MAX : end >> PAGE_SHIFT;
	struct dax_walk walk = { .kind = DAX_WALK_BUSY };
	XA_STATE(xas, &mapping->i_pages, first);
	struct page *page = NULL;
	pgoff_t other;
	void *entry;

	/* Without page structures GUP fails, and so does DMA. */
	if (IS_ENABLED(CONFIG_FS_DAX_LIMITED) || !dax_mapping(mapping))
		return NULL;

	dax_entry_bounds(mapping, last, &other, &last);
	dax_entry_bounds(mapping, first, &first, &other);
	xas_set(&xas, first);

	/*
	 * GUP takes a reference and then looks whether the page is still
	 * mapped, or it takes the page table lock, which the unmap takes, too.
	 * So a reference that the scan below does not see will not come.
	 */
	unmap_mapping_pages(mapping, first, last - first + 1, false);

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, last) {
		if (WARN_ON_ONCE(!xa_is_value(entry)))
			continue;
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		page = dax_busy_page(entry, xas.xa_index, first, last);
		if (page)
			break;
		dax_walk_step(&walk, &xas, entry,
			      dax_nr_scanned(entry, xas.xa_index, first, last));
	}
	xas_unlock_irq(&xas);
	dax_walk_end(&walk, mapping);
	return page;
}
EXPORT_SYMBOL_GPL(dax_layout_busy_page_range);

/**
 * dax_layout_busy_page() - dax_layout_busy_page_range() for a whole file
 * @mapping: The mapping of the file.
 *
 * Context: As dax_layout_busy_page_range().
 * Return: As dax_layout_busy_page_range().
 */
struct page *dax_layout_busy_page(struct address_space *mapping)
{
	return dax_layout_busy_page_range(mapping, 0, LLONG_MAX);
}
EXPORT_SYMBOL_GPL(dax_layout_busy_page);

/**
 * dax_break_layout() - Wait until nobody uses the pages of a range of a file
 * @inode: The file, which the caller is about to take blocks from.
 * @start: First byte of the range.
 * @end: Last byte of the range; LLONG_MAX for the end of the file.
 *
 * Unmaps the range.  As the caller holds the lock that keeps faults out, no
 * page of it can become busy again after the last look.
 *
 * Context: Process context; invalidate_lock of the file held exclusively; it is
 * dropped while waiting.
 * Return: 0, or -ERESTARTSYS if a signal came first.
 */
int dax_break_layout(struct inode *inode, loff_t start, loff_t end)
{
	struct address_space *mapping = inode->i_mapping;
	struct page *page;
	int err = 0;

	rwsem_assert_held_write(&mapping->invalidate_lock);

	while (!err &&
	       (page = dax_layout_busy_page_range(mapping, start, end))) {
		filemap_invalidate_unlock(mapping);
		err = dax_wait_page_idle(inode, page);
		filemap_invalidate_lock(mapping);
	}
	return err;
}
EXPORT_SYMBOL_GPL(dax_break_layout);

static bool dax_entry_marked(struct xa_state *xas)
{
	return xas_get_mark(xas, PAGECACHE_TAG_DIRTY) ||
		xas_get_mark(xas, PAGECACHE_TAG_TOWRITE);
}

/*
 * The file still has a part of the entry, and somebody may yet call fsync for
 * it: not so if all of it is beyond the end of the file, or the inode goes.
 */
static bool dax_entry_in_file(struct address_space *mapping, pgoff_t start)
{
	return !mapping_exiting(mapping) &&
		start < DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE);
}

/**
 * dax_drop_entry() - Delete an entry that the caller has locked, losing nothing
 * @xas: An index within the entry.
 * @entry: The entry, without the lock bit.
 * @why: For the trace, and whether its blocks are about to be freed.
 *
 * An entry may be larger than the range that makes it go.  So all of it is
 * unmapped: what callers unmap themselves is that range, and small pages of a
 * large zero entry, above all, would go on to read as zeroes with no entry left
 * to say so.  And what is dirty in it is flushed before the mark that tells
 * fsync of it disappears.
 *
 * Context: Process context; the entry locked, the xa_lock not held.  May sleep.
 * Return: true if a page of it is in use, which nobody finds by the entry any
 * more.
 */
bool dax_drop_entry(struct xa_state *xas, void *entry, enum dax_delete why)
{
	struct address_space *mapping = dax_mapping_of(xas);
	pgoff_t start = dax_entry_start(entry, xas->xa_index);
	bool dirty, in_use;

	/* Unmapped first: then nobody can make it dirty once more. */
	if (!dax_is_empty(entry))
		dax_unmap_entry(mapping, start, entry);

	xas_reset(xas);
	xas_lock_irq(xas);
	xas_load(xas);
	dirty = dax_entry_marked(xas) && dax_entry_in_file(mapping, start);
	xas_unlock_irq(xas);
	if (dirty) {
		dax_flush_entry(entry);
		trace_dax_writeback_one(mapping->host, start,
					dax_entry_nr_pages(entry));
	}

	xas_lock_irq(xas);
	in_use = dax_disassociate_entry(entry, mapping, start);
	dax_delete_entry(xas, entry, why);
	xas_unlock_irq(xas);
	return in_use;
}

/* Must an entry of a range that is written to go?  It may be locked. */
static bool dax_should_drop(void *entry, enum dax_drop which)
{
	if (which == DAX_DROP_ALL)
		return true;
	/* Whoever holds an empty one may be about to make it zero. */
	return dax_is_zero(entry) ||
		(dax_is_empty(entry) && dax_is_locked(entry));
}

/**
 * dax_drop_range() - Delete the entries of a range whose blocks change
 * @mapping: The mapping.
 * @pos: First byte of the range.
 * @len: Its length in bytes, not 0.
 * @which: Which of its entries.
 *
 * A fault that is not locked out may insert an entry again at once; it then
 * says what the filesystem says by then.
 *
 * Context: Process context; i_rwsem held exclusively.  May sleep.
 * Return: true if a page of an entry that was deleted is in use.
 */
bool dax_drop_range(struct address_space *mapping, loff_t pos, u64 len,
		    enum dax_drop which)
{
	XA_STATE(xas, &mapping->i_pages, pos >> PAGE_SHIFT);
	struct dax_walk walk = { .kind = DAX_WALK_DROP };
	pgoff_t end = (pos + len - 1) >> PAGE_SHIFT;
	bool in_use = false;
	void *entry;

	xas_lock_irq(&xas);
	xas_for_each(&xas, entry, end) {
		if (WARN_ON_ONCE(!xa_is_value(entry)))
			continue;
		if (!dax_should_drop(entry, which)) {
			dax_walk_step(&walk, &xas, entry, 1);
			continue;
		}
		if (dax_is_locked(entry)) {
			dax_wait_entry(&xas, entry);
			continue;
		}
		dax_lock_entry(&xas, entry);
		xas_unlock_irq(&xas);
		in_use |= dax_drop_entry(&xas, entry, DAX_DELETE_INVALIDATE);
		cond_resched();
		xas_lock_irq(&xas);
		/* On behind it, or faults at this index could hold us up. */
		dax_skip_entry(&xas, entry);
	}
	xas_unlock_irq(&xas);
	dax_walk_end(&walk, mapping);
	return in_use;
}

/* Returns true if the entry that covers @index was deleted. */
static bool dax_invalidate_entry(struct address_space *mapping, pgoff_t index,
				 enum dax_delete why)
{
	XA_STATE(xas, &mapping->i_pages, index);
	void *entry;

	xas_lock_irq(&xas);
	if (dax_get_unlocked_entry(&xas, 0, &entry) || !entry) {
		xas_unlock_irq(&xas);
		return false;
	}
	if (why != DAX_DELETE_TRUNCATE && dax_entry_marked(&xas)) {
		dax_put_unlocked_entry(&xas, entry);
		xas_unlock_irq(&xas);
		return false;
	}

	/* The caller unmaps the range, and does without the data in it. */
	if (dax_entry_order(entry) == 0) {
		dax_disassociate_entry(entry, mapping, index);
		__dax_delete_entry(&xas, entry, why);
		xas_unlock_irq(&xas);
		return true;
	}

	dax_lock_entry(&xas, entry);
	xas_unlock_irq(&xas);
	dax_drop_entry(&xas, entry, why);
	return true;
}

/**
 * dax_delete_mapping_entry() - Delete an entry whose blocks go
 * @mapping: The mapping.
 * @index: A page offset at which the caller has seen an entry.
 *
 * Waits for the entry lock.  Deletes dirty entries, too, and always whole ones;
 * of those larger than a page, which may reach beyond what the caller truncates,
 * the rest is flushed if it is dirty.
 *
 * Context: Process context; i_rwsem and invalidate_lock held exclusively, or
 * the inode is being evicted.  May sleep.
 * Return: 1; 0, after a warning, if there is no entry.
 */
int dax_delete_mapping_entry(struct address_space *mapping, pgoff_t index)
{
	bool deleted = dax_invalidate_entry(mapping, index,
					    DAX_DELETE_TRUNCATE);

	/* The caller's locks keep everybody else from deleting it. */
	WARN_ON_ONCE(!deleted);
	return deleted;
}

/**
 * dax_invalidate_mapping_entry_sync() - Delete an entry if it is clean
 * @mapping: The mapping.
 * @index: A page offset.
 *
 * Waits for the entry lock.
 *
 * Context: Process context; i_rwsem held, but not invalidate_lock, so faults
 * go on.  May sleep.
 * Return: 1 if the entry was deleted; 0 if it is dirty, or there is none.
 */
int dax_invalidate_mapping_entry_sync(struct address_space *mapping,
				      pgoff_t index)
{
	return dax_invalidate_entry(mapping, index, DAX_DELETE_INVALIDATE);
}
