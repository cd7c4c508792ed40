// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of DAX files that can be mapped by huge pages.
 *
 * fs/dax-align.c tells how many blocks a huge page has, N, and the phase of the
 * filesystem: the place in memory of its first block, mod N.  A *window* is N
 * blocks of a file from a multiple of N on, and a window of the device is N
 * blocks from a multiple of N in memory on.  A window of the file can be huge
 * if it lies in one window of the device.  The size of an AG need not be a
 * multiple of N, so the windows of each AG have a phase of their own.
 *
 * Before XFS looks for blocks in its ordinary way, xfs_dax_btalloc() does:
 *
 *	home		Prefer the blocks beside those of the window, or behind
 *			those of the window before it.
 *	run, slot	The window has no block yet: find free windows of the
 *			device.  A run takes whole windows.  A slot takes the
 *			part of a window that was asked for.  The rest of it
 *			stays free, and is the home of the next requests.
 *	fragment	A small file: take blocks outside of free windows.
 *	lost		A window of a larger file that cannot be huge: keep its
 *			blocks together, beside its aligned blocks or in a free
 *			window, and outside of free windows only if that fails.
 *
 * Blocks of the filesystem itself stay together: the AGFL is filled from the
 * head of its AG, and not from the gaps of a file that is written at random.
 * The first windows of an AG are the last to be taken, so that there is room
 * for this.
 *
 * If all of this fails, the ordinary way follows, so an allocation fails only
 * if it would fail without this file.
 *
 * SMALL FILES	fill the blocks that no window needs, because most files stay
 *		small, and each of them would break a window.  Therefore the
 *		first window of a file that grows by small steps cannot be huge.
 *
 * ZERO		Blocks that are zeroed as a whole become unwritten and stay
 *		where they are.  Freed blocks cannot be reallocated until the
 *		log is written.
 *
 * WASTE	A request takes only blocks that were asked for, with two
 *		exceptions.  xfs_dax_widen(): if a write and the written extent
 *		before it are together N / 2 blocks or longer, the write takes
 *		the rest of its window as unwritten blocks.  This at most
 *		doubles the blocks of a file.  Such blocks beyond the end of the
 *		file are freed at each close, at ENOSPC and at EDQUOT.  Copy on
 *		write: a copy takes the rest of its window in the CoW fork.
 *		Neither is done when space or quota is low.
 *
 * COST		A search looks at a bounded number of records of free space, in
 *		a bounded number of AGs.  The event xfs_dax_alloc reports it.
 *		After a search finds no free window in an AG, later searches
 *		skip the AG until it has more free blocks, see
 *		xfs_dax_may_be_found().
 *
 * LOCKING	The AGF of the AG that is looked at.  The transaction may hold
 *		others, so the rules of xfs_alloc_vextent_iterate_ags() apply:
 *		no AG below tp->t_highest_agno, and none is waited for before
 *		all have been tried.  An AGF is released if its AG has no
 *		window.  The blocks are taken by xfs_alloc_vextent_exact_bno(),
 *		which fills the AGFL first, and keeps all reservations.
 */
#include "xfs.h"
#include "xfs_fs.h"
#include "xfs_shared.h"
#include "xfs_format.h"
#include "xfs_log_format.h"
#include "xfs_trans_resv.h"
#include "xfs_mount.h"
#include "xfs_inode.h"
#include "xfs_bit.h"
#include "xfs_btree.h"
#include "xfs_trans.h"
#include "xfs_trans_space.h"
#include "xfs_ag.h"
#include "xfs_alloc.h"
#include "xfs_alloc_btree.h"
#include "xfs_bmap.h"
#include "xfs_bmap_btree.h"
#include "xfs_bmap_util.h"
#include "xfs_error.h"
#include "xfs_extent_busy.h"
#include "xfs_quota.h"
#include "xfs_dquot_item.h"
#include "xfs_dquot.h"
#include "xfs_rtbitmap.h"
#include "xfs_trace.h"
#include "xfs_dax.h"

#include <linux/dax.h>

/* A file is small while it has fewer blocks than this: 128 KiB. */
#define XFS_DAX_SMALL		32

/* How many records a walk looks at; an AG has three walks. */
#define XFS_DAX_WALK		32

/* How many AGs a search looks into, and after how many records it gives up. */
#define XFS_DAX_AGS		8
#define XFS_DAX_LOOKS		512

/* How often to wait for blocks that were freed not long ago. */
#define XFS_DAX_WAITS		8

/* The state of a search for blocks. */
struct xfs_dax_search {
	struct xfs_bmalloca	*ap;
	struct xfs_alloc_arg	args;	/* those of the caller if it succeeds */
	xfs_fileoff_t		offset;
	xfs_extlen_t		len;	/* wanted blocks from there on */
	xfs_extlen_t		minlen;	/* fewer are of no use */
	unsigned int		looks;	/* records of free space */
	bool			locked;	/* an AG was left out: it is locked */
	bool			busy;	/* free space was left out: it is busy */
	unsigned int		busy_gen;
};

/* Free windows of an AG, in one piece; and some of those near its headers. */
struct xfs_dax_windows {
	xfs_agblock_t		agbno;
	xfs_extlen_t		nr;
	xfs_agblock_t		near;
	xfs_extlen_t		nr_near;
};

/**
 * xfs_dax_init_align - find out where the device has huge pages
 * @mp: new mount
 *
 * Context: Process context.
 */
void xfs_dax_init_align(struct xfs_mount *mp)
{
	struct xfs_buftarg *target = mp->m_ddev_targp;
	unsigned long phase;

	if (!target->bt_daxdev || mp->m_sb.sb_blocksize != PAGE_SIZE ||
	    xfs_has_dax_never(mp))
		return;
	mp->m_dax_align = dax_align_phase(target->bt_daxdev,
					  PHYS_PFN(target->bt_dax_part_off),
					  mp->m_sb.sb_dblocks, &phase);
	if (mp->m_dax_align)
		mp->m_dax_phase = phase;
}

/**
 * xfs_dax_has_windows - whether DAX files are allocated for huge pages
 * @mp: mount
 *
 * Context: Any.
 * Return: true if the device has huge pages, and fs_dax.align is on.
 */
bool xfs_dax_has_windows(struct xfs_mount *mp)
{
	return mp->m_dax_align && dax_align_enabled();
}

/**
 * xfs_dax_aligns - whether the blocks of a file are allocated for huge pages
 * @ip: file
 *
 * Context: Any.
 * Return: true if so.
 */
bool xfs_dax_aligns(struct xfs_inode *ip)
{
	return IS_DAX(VFS_I(ip)) && !XFS_IS_REALTIME_INODE(ip) &&
	       xfs_dax_has_windows(ip->i_mount);
}

/**
 * xfs_dax_bmbt_goal - where to look for a block of a file's extent map
 * @ip: file
 * @goal: where XFS would look
 *
 * The nearest free block is often in the gap of a file that is written at random,
 * whose window can never be huge then.
 *
 * Context: Any.
 * Return: For a DAX file, a block near the headers of the AG; otherwise @goal.
 */
xfs_fsblock_t xfs_dax_bmbt_goal(struct xfs_inode *ip, xfs_fsblock_t goal)
{
	struct xfs_mount *mp = ip->i_mount;

	if (!xfs_dax_aligns(ip))
		return goal;
	return XFS_AGB_TO_FSB(mp, XFS_FSB_TO_AGNO(mp, goal), 1);
}

/* The place of a block in its window of the device. */
static xfs_extlen_t xfs_dax_place(struct xfs_mount *mp, xfs_agnumber_t agno,
				  xfs_agblock_t agbno)
{
	u64 block = (u64)agno * mp->m_sb.sb_agblocks + agbno;

	return (block + mp->m_dax_phase) & (mp->m_dax_align - 1);
}

/* The place of a block in its window of the file. */
static xfs_extlen_t xfs_dax_part(struct xfs_mount *mp, xfs_fileoff_t offset)
{
	return offset & (mp->m_dax_align - 1);
}

/* How many blocks are left in the window from here on. */
static xfs_extlen_t xfs_dax_rest(struct xfs_mount *mp, xfs_fileoff_t offset)
{
	return mp->m_dax_align - xfs_dax_part(mp, offset);
}

/**
 * xfs_dax_is_real - whether an extent has blocks
 * @irec: extent
 *
 * Context: Any.
 * Return: false for a hole, delayed allocation, and no extent at all.
 */
bool xfs_dax_is_real(const struct xfs_bmbt_irec *irec)
{
	return irec->br_startoff != NULLFILEOFF &&
	       !isnullstartblock(irec->br_startblock) &&
	       irec->br_startblock != HOLESTARTBLOCK &&
	       irec->br_startblock != DELAYSTARTBLOCK;
}

static xfs_fileoff_t xfs_dax_end(const struct xfs_bmbt_irec *irec)
{
	return irec->br_startoff + irec->br_blockcount;
}

/**
 * xfs_dax_is_aligned - whether the windows that lie in an extent can be huge
 * @mp: mount
 * @irec: extent with blocks
 *
 * Context: Any.
 * Return: true if the blocks have the right place in memory.
 */
bool xfs_dax_is_aligned(struct xfs_mount *mp,
			const struct xfs_bmbt_irec *irec)
{
	return xfs_dax_place(mp, XFS_FSB_TO_AGNO(mp, irec->br_startblock),
			     XFS_FSB_TO_AGBNO(mp, irec->br_startblock)) ==
	       xfs_dax_part(mp, irec->br_startoff);
}

/*
 * The place of a file's block beside an extent that is aligned, or NULLFSBLOCK if
 * the AG ends before it.
 */
static xfs_fsblock_t xfs_dax_beside(struct xfs_mount *mp,
				    const struct xfs_bmbt_irec *irec,
				    xfs_fileoff_t offset)
{
	xfs_agnumber_t agno = XFS_FSB_TO_AGNO(mp, irec->br_startblock);
	s64 agbno = XFS_FSB_TO_AGBNO(mp, irec->br_startblock);

	agbno += (s64)(offset - irec->br_startoff);
	if (agbno < 0 || agbno >= mp->m_sb.sb_agblocks)
		return NULLFSBLOCK;
	return XFS_AGB_TO_FSB(mp, agno, agbno);
}

/* Is the file small, together with the request? */
static bool xfs_dax_is_small(const struct xfs_dax_search *search)
{
	struct xfs_inode *ip = search->ap->ip;

	return search->offset + search->len < XFS_DAX_SMALL &&
	       XFS_B_TO_FSB(ip->i_mount, XFS_ISIZE(ip)) < XFS_DAX_SMALL;
}

static bool xfs_dax_found(const struct xfs_dax_search *search)
{
	return search->args.fsbno != NULLFSBLOCK;
}

/* Takes between @minlen and @maxlen blocks at @agbno, if they are still free. */
static int xfs_dax_take(struct xfs_dax_search *search, xfs_agblock_t agbno,
			xfs_extlen_t minlen, xfs_extlen_t maxlen)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_agnumber_t agno = args->pag->pag_agno;

	args->minlen = minlen;
	args->maxlen = maxlen;
	return xfs_alloc_vextent_exact_bno(args,
			XFS_AGB_TO_FSB(args->mp, agno, agbno));
}

/* May the transaction still lock this AG? */
static bool xfs_dax_may_lock(const struct xfs_dax_search *search,
			     xfs_agnumber_t agno)
{
	xfs_agnumber_t highest = search->args.tp->t_highest_agno;

	return highest == NULLAGNUMBER || agno >= highest;
}

/* How many blocks are free from @agbno on?  The AGF is locked. */
static int xfs_dax_free_from(struct xfs_dax_search *search,
			     struct xfs_buf *agbp, xfs_agblock_t agbno,
			     xfs_extlen_t *nr)
{
	struct xfs_alloc_arg *args = &search->args;
	struct xfs_btree_cur *cur;
	xfs_agblock_t bno;
	xfs_extlen_t len;
	int stat, error;

	*nr = 0;
	search->looks++;
	cur = xfs_bnobt_init_cursor(args->mp, args->tp, agbp, args->pag);
	error = xfs_alloc_lookup_le(cur, agbno, 0, &stat);
	if (!error && stat)
		error = xfs_alloc_get_rec(cur, &bno, &len, &stat);
	if (!error && stat && bno + len > agbno)
		*nr = bno + len - agbno;
	xfs_btree_del_cursor(cur, error);
	return error;
}

/* How many of the @nr free blocks from @agbno on can be allocated at once. */
static xfs_extlen_t xfs_dax_not_busy(struct xfs_dax_search *search,
				     xfs_agblock_t agbno, xfs_extlen_t nr)
{
	xfs_agblock_t bno = agbno;
	unsigned int gen;

	search->args.minlen = 1;
	xfs_extent_busy_trim(&search->args, &bno, &nr, &gen);
	return bno == agbno ? nr : 0;
}

/*
 * Take blocks at a home, of which some lie in windows that have no block yet.  Such
 * a window must be free as a whole.  If not all blocks fit there, the last one that
 * is taken must be the last one of its window, so that the rest can lie elsewhere.
 */
static int xfs_dax_take_windows_at(struct xfs_dax_search *search,
				   xfs_agblock_t agbno, bool fixed)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_extlen_t rest = xfs_dax_rest(args->mp, search->offset);
	xfs_extlen_t before = fixed ? 0 : args->mp->m_dax_align - rest, nr;
	struct xfs_buf *agbp;
	int error;

	if (agbno < before)
		return 0;
	error = xfs_alloc_read_agf(args->pag, args->tp, 0, &agbp);
	if (error)
		return error;
	error = xfs_dax_free_from(search, agbp, agbno - before, &nr);
	if (!error && nr >= before + rest)
		nr = xfs_dax_not_busy(search, agbno - before, nr);
	if (!error && nr >= before + rest) {
		nr -= before;
		if (nr < search->len)
			nr -= xfs_dax_part(args->mp, search->offset + nr);
		nr = min(nr, search->len);
		if (nr >= search->minlen)
			error = xfs_dax_take(search, agbno,
					     max(min(rest, nr), search->minlen),
					     nr);
	}
	xfs_trans_brelse(args->tp, agbp);
	return error;
}

/*
 * The blocks were freed not long ago, and a crash might bring their last owner back:
 * wait until the log is written.  Returns 1 if there was something to wait for.
 */
static int xfs_dax_wait_busy(struct xfs_dax_search *search,
			     xfs_agblock_t agbno)
{
	struct xfs_alloc_arg *args = &search->args;
	struct xfs_buf *agbp;
	xfs_extlen_t nr;
	unsigned int gen;
	int error;

	error = xfs_alloc_read_agf(args->pag, args->tp, 0, &agbp);
	if (error)
		return error;
	error = xfs_dax_free_from(search, agbp, agbno, &nr);
	nr = min(nr, search->len);
	if (!error && nr == search->len &&
	    xfs_extent_busy_trim(args, &agbno, &nr, &gen))
		error = xfs_extent_busy_flush(args->tp, args->pag, gen, 0) ?: 1;
	xfs_trans_brelse(args->tp, agbp);
	return error;
}

/* Blocks in one window; @wait for those that were freed just now. */
static int xfs_dax_take_part_at(struct xfs_dax_search *search,
				xfs_agblock_t agbno, bool wait)
{
	int error, tries;

	/* each wait ends when any blocks of the AG are not busy any more */
	for (tries = 0; tries < XFS_DAX_WAITS; tries++) {
		error = xfs_dax_take(search, agbno, search->len, search->len);
		if (error || xfs_dax_found(search) || !wait)
			return error;
		error = xfs_dax_wait_busy(search, agbno);
		if (error <= 0)
			return error;
	}
	return 0;
}

/* How to take blocks at a place. */
enum xfs_dax_how {
	XFS_DAX_NEXT,		/* because they are the next ones */
	XFS_DAX_FREE,		/* if their windows are free */
	XFS_DAX_FIXED,		/* because the window has blocks beside them */
};

static int xfs_dax_take_at(struct xfs_dax_search *search, xfs_fsblock_t fsbno,
			   enum xfs_dax_how how)
{
	struct xfs_mount *mp = search->args.mp;
	xfs_agblock_t agbno = XFS_FSB_TO_AGBNO(mp, fsbno);
	bool fixed = how == XFS_DAX_FIXED;
	int error;

	if (!xfs_dax_may_lock(search, XFS_FSB_TO_AGNO(mp, fsbno)))
		return 0;
	search->args.pag = xfs_perag_grab(mp, XFS_FSB_TO_AGNO(mp, fsbno));
	if (!search->args.pag)
		return 0;
	if (how == XFS_DAX_FREE ||
	    (fixed && search->len > xfs_dax_rest(mp, search->offset)))
		error = xfs_dax_take_windows_at(search, agbno, fixed);
	else
		error = xfs_dax_take_part_at(search, agbno, fixed);
	xfs_perag_rele(search->args.pag);
	search->args.pag = NULL;
	return error;
}

/*
 * The home of a window is its place on the device that follows from the blocks that
 * the window has, or else from the last blocks of the window before it.  Returns
 * false if the window cannot be huge any more, because its blocks are not aligned.
 * @home: NULLFSBLOCK if it has none.
 * @fixed: the window has blocks, so it has no other place than its home.
 */
static bool xfs_dax_home(const struct xfs_dax_search *search,
			 xfs_fsblock_t *home, bool *fixed)
{
	const struct xfs_bmalloca *ap = search->ap;
	struct xfs_mount *mp = search->args.mp;
	xfs_fileoff_t start, offset = search->offset;

	*home = NULLFSBLOCK;
	*fixed = false;
	start = offset - xfs_dax_part(mp, offset);
	if (xfs_dax_is_real(&ap->prev) && xfs_dax_end(&ap->prev) >= start) {
		*fixed = xfs_dax_end(&ap->prev) > start;
		if (xfs_dax_is_aligned(mp, &ap->prev))
			*home = xfs_dax_beside(mp, &ap->prev, offset);
		else if (*fixed)
			return false;
	}
	if (!ap->eof && xfs_dax_is_real(&ap->got) &&
	    ap->got.br_startoff < start + mp->m_dax_align) {
		if (!xfs_dax_is_aligned(mp, &ap->got))
			return false;
		if (!*fixed)
			*home = xfs_dax_beside(mp, &ap->got, offset);
		*fixed = true;
	}
	return true;
}

/*
 * How many of @nr windows from @agbno on are near the headers of the AG?  They are
 * the last to be taken: metadata and small files break them first.
 */
static xfs_extlen_t xfs_dax_near(xfs_agblock_t agbno, xfs_extlen_t nr,
				 xfs_extlen_t align)
{
	if (agbno >= 2 * align)
		return 0;
	return min(nr, DIV_ROUND_UP(2 * align - agbno, align));
}

/* Does a record have more windows than the best one so far? */
static void xfs_dax_check_record(struct xfs_dax_search *search,
				 xfs_agblock_t bno, xfs_extlen_t len,
				 struct xfs_dax_windows *best)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_extlen_t align = args->mp->m_dax_align, skip, place, nr, near;
	unsigned int gen;

	args->minlen = align;
	if (xfs_extent_busy_trim(args, &bno, &len, &gen)) {
		search->busy = true;
		search->busy_gen = gen;
	}
	place = xfs_dax_place(args->mp, args->pag->pag_agno, bno);
	skip = place ? align - place : 0;
	if (len < skip + align)
		return;
	bno += skip;
	nr = (len - skip) / align;
	near = xfs_dax_near(bno, nr, align);
	if (near == nr) {
		best->near = bno;
		best->nr_near = nr;
	} else if (nr - near > best->nr) {
		best->agbno = bno + near * align;
		best->nr = nr - near;
	}
}

typedef int (*xfs_dax_step_t)(struct xfs_btree_cur *cur, int level, int *stat);

/*
 * Look at records from the cursor on, until one has @want windows.  Those that are
 * too short to be better than the best one end the walk.
 */
static int xfs_dax_walk(struct xfs_dax_search *search,
			struct xfs_btree_cur *cur, xfs_dax_step_t step,
			xfs_extlen_t want, struct xfs_dax_windows *best)
{
	xfs_agblock_t bno;
	xfs_extlen_t len;
	int stat, error, i;

	for (i = 0; i < XFS_DAX_WALK; i++) {
		error = xfs_alloc_get_rec(cur, &bno, &len, &stat);
		if (error || !stat)
			return error;
		search->looks++;
		if (len / search->args.mp->m_dax_align <= best->nr)
			return 0;
		xfs_dax_check_record(search, bno, len, best);
		if (best->nr >= want)
			return 0;
		error = step(cur, 0, &stat);
		if (error || !stat)
			return error;
	}
	return 0;
}

/*
 * The smallest record that has @want windows, or else the one that has most.  A
 * record that is a window longer than it must be has them wherever it begins.
 */
static int xfs_dax_look(struct xfs_dax_search *search, struct xfs_buf *agbp,
			xfs_extlen_t want, struct xfs_dax_windows *best)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_extlen_t align = args->mp->m_dax_align, len = want * align;
	struct xfs_btree_cur *cur;
	int stat, error;

	cur = xfs_cntbt_init_cursor(args->mp, args->tp, agbp, args->pag);
	error = xfs_alloc_lookup_ge(cur, 0, len, &stat);
	if (!error && stat)
		error = xfs_dax_walk(search, cur, xfs_btree_increment, want,
				     best);
	if (!error && stat && best->nr < want) {
		error = xfs_alloc_lookup_ge(cur, 0, len + align - 1, &stat);
		if (!error && stat)
			error = xfs_dax_walk(search, cur, xfs_btree_increment,
					     want, best);
	}
	if (!error && best->nr < want && want > 1) {
		error = xfs_alloc_lookup_le(cur, args->mp->m_sb.sb_agblocks,
					    len - 1, &stat);
		if (!error && stat)
			error = xfs_dax_walk(search, cur, xfs_btree_decrement,
					     want, best);
	}
	xfs_btree_del_cursor(cur, error);
	return error;
}

static int xfs_dax_take_windows(struct xfs_dax_search *search,
				const struct xfs_dax_windows *best)
{
	struct xfs_mount *mp = search->args.mp;
	xfs_extlen_t part = xfs_dax_part(mp, search->offset), len;

	len = min(search->len, best->nr * mp->m_dax_align - part);
	if (len < search->minlen)
		return 0;
	return xfs_dax_take(search, best->agbno + part,
			    max(search->minlen,
				min(len, xfs_dax_rest(mp, search->offset))),
			    len);
}

/*
 * Look for @want windows in an AG whose AGF is locked, and take what is found.
 * Returns 1 if a second look may find more.
 */
static int xfs_dax_search_once(struct xfs_dax_search *search,
			       struct xfs_buf *agbp, xfs_extlen_t want)
{
	struct xfs_alloc_arg *args = &search->args;
	struct xfs_perag *pag = args->pag;
	struct xfs_dax_windows best = {};
	int error;

	search->busy = false;
	error = xfs_dax_look(search, agbp, want, &best);
	if (error)
		return error;
	if (!best.nr) {
		best.agbno = best.near;
		best.nr = best.nr_near;
	}
	if (best.nr) {
		WRITE_ONCE(pag->pag_dax_none, 0);
		error = xfs_dax_take_windows(search, &best);
		/* filling the AGFL may have taken the first blocks of them */
		return error ?: !xfs_dax_found(search);
	}
	if (!search->busy) {
		WRITE_ONCE(pag->pag_dax_none, pag->pagf_freeblks + 1);
		return 0;
	}
	/* freed not long ago; whole windows are worth a write of the log */
	if (search->len < args->mp->m_dax_align)
		return 0;
	return xfs_extent_busy_flush(args->tp, pag, search->busy_gen,
				     XFS_ALLOC_FLAG_TRYFLUSH) ?: 1;
}

static int xfs_dax_search_ag(struct xfs_dax_search *search,
			     struct xfs_perag *pag, int flags,
			     xfs_extlen_t want)
{
	struct xfs_trans *tp = search->args.tp;
	struct xfs_buf *agbp;
	int error;

	error = xfs_alloc_read_agf(pag, tp, flags, &agbp);
	if (error == -EAGAIN) {
		search->locked = true;
		return 0;
	}
	if (error)
		return error;
	search->args.pag = pag;
	error = xfs_dax_search_once(search, agbp, want);
	if (error > 0)
		error = xfs_dax_search_once(search, agbp, want);
	xfs_trans_brelse(tp, agbp);
	return min(error, 0);
}

/*
 * Have more blocks been freed than allocated in the AG since the last search found
 * no window there?  If not, there is probably none.  A search after the next block
 * is freed finds one that there is nevertheless.
 */
static bool xfs_dax_may_be_found(struct xfs_perag *pag)
{
	xfs_extlen_t none = READ_ONCE(pag->pag_dax_none);
	xfs_extlen_t now = READ_ONCE(pag->pagf_freeblks) + 1;

	if (none && now < none)
		WRITE_ONCE(pag->pag_dax_none, now);
	return !none || now > none;
}

/* Do the fields in memory of the AG allow an extent of @len blocks in it? */
static bool xfs_dax_may_have(struct xfs_perag *pag, xfs_extlen_t len)
{
	if (xfs_perag_prefers_metadata(pag))
		return false;
	if (!xfs_perag_initialised_agf(pag))
		return true;
	return pag->pagf_longest >= len && xfs_dax_may_be_found(pag);
}

/* The AG of the blocks before, or that of the inode. */
static xfs_agnumber_t xfs_dax_first_ag(const struct xfs_bmalloca *ap)
{
	struct xfs_mount *mp = ap->ip->i_mount;

	if (xfs_dax_is_real(&ap->prev))
		return XFS_FSB_TO_AGNO(mp, ap->prev.br_startblock);
	return XFS_INO_TO_AGNO(mp, ap->ip->i_ino);
}

/*
 * Look into AGs whose longest extent may have @min windows: at most XFS_DAX_AGS of
 * them, and at most about XFS_DAX_LOOKS records.
 */
static int xfs_dax_search_ags(struct xfs_dax_search *search, int flags,
			      xfs_extlen_t min, xfs_extlen_t want)
{
	xfs_agnumber_t highest = search->args.tp->t_highest_agno, agno, first;
	struct xfs_mount *mp = search->args.mp;
	struct xfs_perag *pag;
	int error = 0, nr = 0;

	first = xfs_dax_first_ag(search->ap);
	if (highest == NULLAGNUMBER)
		highest = 0;
	first = max(first, highest);
	for_each_perag_wrap_range(mp, first, highest, mp->m_sb.sb_agcount, agno,
				  pag) {
		/* a failed attempt to take blocks leaves its AG locked */
		if (!xfs_dax_may_lock(search, agno) ||
		    !xfs_dax_may_have(pag, min * mp->m_dax_align))
			continue;
		error = xfs_dax_search_ag(search, pag, flags, want);
		if (error || xfs_dax_found(search) || ++nr == XFS_DAX_AGS ||
		    search->looks >= XFS_DAX_LOOKS)
			break;
	}
	if (pag)
		xfs_perag_rele(pag);
	search->args.pag = NULL;
	return error;
}

/* Take free windows, or a part of one. */
static int xfs_dax_take_free(struct xfs_dax_search *search)
{
	struct xfs_mount *mp = search->args.mp;
	xfs_extlen_t want;
	int error = 0;

	want = (xfs_dax_part(mp, search->offset) + search->len +
		mp->m_dax_align - 1) / mp->m_dax_align;
	if (want > 1)
		error = xfs_dax_search_ags(search, XFS_ALLOC_FLAG_TRYLOCK,
					   want, want);
	if (!error && !xfs_dax_found(search))
		error = xfs_dax_search_ags(search, XFS_ALLOC_FLAG_TRYLOCK, 1,
					   want);
	if (!error && !xfs_dax_found(search) && search->locked)
		error = xfs_dax_search_ags(search, 0, 1, want);
	return error;
}

/*
 * Where @len blocks of a free extent are outside of its windows, or NULLAGBLOCK.
 */
static xfs_agblock_t xfs_dax_outside(const struct xfs_dax_search *search,
				     xfs_agblock_t bno, xfs_extlen_t free,
				     xfs_extlen_t len)
{
	struct xfs_mount *mp = search->args.mp;
	xfs_extlen_t place, head, tail;

	place = xfs_dax_place(mp, search->args.pag->pag_agno, bno);
	head = place ? mp->m_dax_align - place : 0;
	if (free < head + mp->m_dax_align)
		return free < len ? NULLAGBLOCK : bno;
	tail = (free - head) & (mp->m_dax_align - 1);
	if (head >= len)
		return bno;
	return tail >= len ? bno + free - tail : NULLAGBLOCK;
}

/* Look at records from @min blocks on for @len blocks outside of windows. */
static int xfs_dax_walk_outside(struct xfs_dax_search *search,
				struct xfs_btree_cur *cur, xfs_extlen_t min,
				xfs_agblock_t *agbno)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_agblock_t bno;
	xfs_extlen_t len;
	unsigned int gen;
	int stat, error, i;

	args->minlen = search->len;
	error = xfs_alloc_lookup_ge(cur, 0, min, &stat);
	for (i = 0; !error && stat && i < XFS_DAX_WALK; i++) {
		error = xfs_alloc_get_rec(cur, &bno, &len, &stat);
		if (error || !stat)
			break;
		search->looks++;
		xfs_extent_busy_trim(args, &bno, &len, &gen);
		*agbno = xfs_dax_outside(search, bno, len, search->len);
		if (*agbno != NULLAGBLOCK)
			break;
		error = xfs_btree_increment(cur, 0, &stat);
	}
	return error;
}

/*
 * Prefer a piece in which a small file can grow: as small as possible, but large
 * enough for a small file.
 */
static int xfs_dax_look_outside(struct xfs_dax_search *search,
				struct xfs_buf *agbp, xfs_agblock_t *agbno)
{
	struct xfs_alloc_arg *args = &search->args;
	struct xfs_btree_cur *cur;
	int error;

	*agbno = NULLAGBLOCK;
	cur = xfs_cntbt_init_cursor(args->mp, args->tp, agbp, args->pag);
	error = xfs_dax_walk_outside(search, cur,
				     max_t(xfs_extlen_t, search->len,
					   XFS_DAX_SMALL), agbno);
	if (!error && *agbno == NULLAGBLOCK && search->len < XFS_DAX_SMALL)
		error = xfs_dax_walk_outside(search, cur, search->len, agbno);
	xfs_btree_del_cursor(cur, error);
	return error;
}

/* The blocks behind the file's last ones, if they do not begin a window. */
static int xfs_dax_take_next(struct xfs_dax_search *search)
{
	const struct xfs_bmbt_irec *prev = &search->ap->prev;
	struct xfs_mount *mp = search->args.mp;
	xfs_extlen_t place;
	xfs_fsblock_t next;

	if (!xfs_dax_is_real(prev) || xfs_dax_end(prev) != search->offset)
		return 0;
	next = xfs_dax_beside(mp, prev, search->offset);
	if (next == NULLFSBLOCK)
		return 0;
	place = xfs_dax_place(mp, XFS_FSB_TO_AGNO(mp, next),
			      XFS_FSB_TO_AGBNO(mp, next));
	if (!place || place + search->len > mp->m_dax_align)
		return 0;
	return xfs_dax_take_at(search, next, XFS_DAX_NEXT);
}

/* Take blocks that no window needs, in the file's own AG. */
static int xfs_dax_take_outside(struct xfs_dax_search *search)
{
	struct xfs_alloc_arg *args = &search->args;
	xfs_agnumber_t agno = xfs_dax_first_ag(search->ap);
	xfs_agblock_t agbno;
	struct xfs_buf *agbp;
	int error;

	error = xfs_dax_take_next(search);
	if (error || xfs_dax_found(search) || !xfs_dax_may_lock(search, agno))
		return error;
	args->pag = xfs_perag_grab(args->mp, agno);
	if (!args->pag)
		return 0;
	error = xfs_perag_prefers_metadata(args->pag) ? -EAGAIN :
		xfs_alloc_read_agf(args->pag, args->tp, XFS_ALLOC_FLAG_TRYLOCK,
				   &agbp);
	if (!error) {
		error = xfs_dax_look_outside(search, agbp, &agbno);
		if (!error && agbno != NULLAGBLOCK)
			error = xfs_dax_take(search, agbno, search->len,
					     search->len);
		xfs_trans_brelse(args->tp, agbp);
	}
	xfs_perag_rele(args->pag);
	args->pag = NULL;
	return error == -EAGAIN ? 0 : error;
}

/* All of the request, or else what belongs to the window that has blocks. */
static int xfs_dax_take_home(struct xfs_dax_search *search, xfs_fsblock_t home,
			     enum xfs_dax_how how)
{
	xfs_extlen_t rest = xfs_dax_rest(search->args.mp, search->offset);
	xfs_extlen_t len = search->len;
	int error;

	error = xfs_dax_take_at(search, home, how);
	if (error || xfs_dax_found(search) || how != XFS_DAX_FIXED ||
	    len <= rest || search->minlen > rest)
		return error;
	search->len = rest;
	error = xfs_dax_take_at(search, home, how);
	if (!xfs_dax_found(search))
		search->len = len;
	return error;
}

/* Take blocks that can be huge. */
static int xfs_dax_take_aligned(struct xfs_dax_search *search, bool *lost)
{
	xfs_fsblock_t home;
	bool fixed;
	int error;

	*lost = !xfs_dax_home(search, &home, &fixed);
	if (*lost)
		return 0;
	if (home != NULLFSBLOCK) {
		error = xfs_dax_take_home(search, home, fixed ? XFS_DAX_FIXED :
					  XFS_DAX_FREE);
		if (error || xfs_dax_found(search))
			return error;
	}
	*lost = fixed;
	if (fixed || xfs_dax_is_small(search))
		return 0;
	return xfs_dax_take_free(search);
}

/*
 * A window of a large file that cannot be huge gets its blocks in one place, too:
 * beside aligned ones that it has, or else in a free window.  Outside of free
 * windows are the gaps that other windows keep for themselves.
 */
static int xfs_dax_take_lost(struct xfs_dax_search *search)
{
	const struct xfs_bmalloca *ap = search->ap;
	struct xfs_mount *mp = search->args.mp;
	xfs_fsblock_t home = NULLFSBLOCK;
	xfs_fileoff_t start;
	int error;

	error = xfs_dax_take_next(search);
	if (error || xfs_dax_found(search))
		return error;

	start = search->offset - xfs_dax_part(mp, search->offset);
	if (xfs_dax_is_real(&ap->prev) && xfs_dax_end(&ap->prev) > start &&
	    xfs_dax_is_aligned(mp, &ap->prev))
		home = xfs_dax_beside(mp, &ap->prev, search->offset);
	else if (!ap->eof && xfs_dax_is_real(&ap->got) &&
		 ap->got.br_startoff < start + mp->m_dax_align &&
		 xfs_dax_is_aligned(mp, &ap->got))
		home = xfs_dax_beside(mp, &ap->got, search->offset);
	if (home == NULLFSBLOCK)
		return xfs_dax_take_free(search);
	return xfs_dax_take_home(search, home, XFS_DAX_FIXED);
}

/*
 * The blocks of the CoW fork that a copy gets: as much of the windows of the
 * request as is a hole there, if the transaction has reserved so many.
 */
static bool xfs_dax_cow_range(struct xfs_dax_search *search)
{
	const struct xfs_bmalloca *ap = search->ap;
	struct xfs_mount *mp = search->args.mp;
	struct xfs_trans *tp = ap->tp;
	xfs_fileoff_t start, end = search->offset + search->len;

	start = search->offset - xfs_dax_part(mp, search->offset);
	end = round_up(end, mp->m_dax_align);
	if (ap->prev.br_startoff != NULLFILEOFF)
		start = max(start, xfs_dax_end(&ap->prev));
	if (!ap->eof)
		end = min(end, ap->got.br_startoff);
	if (end - start <= search->len || end - start > mp->m_ag_max_usable ||
	    tp->t_blk_res - tp->t_blk_res_used <
	    XFS_DIOSTRAT_SPACE_RES(mp, end - start))
		return false;
	search->offset = start;
	search->len = end - start;
	return true;
}

/* Try a range of the file that is larger than the request: all of it or nothing. */
static int xfs_dax_take_range(struct xfs_dax_search *search,
			      xfs_fileoff_t offset, xfs_extlen_t len)
{
	bool lost;

	search->offset = offset;
	search->len = len;
	search->minlen = len;
	return xfs_dax_take_aligned(search, &lost);
}

/*
 * The window cannot be huge any more, but the next one may be: let the ordinary
 * allocator not go beyond this one, if there are free windows.
 */
static void xfs_dax_cut(const struct xfs_dax_search *search,
			struct xfs_alloc_arg *args)
{
	xfs_extlen_t rest = xfs_dax_rest(args->mp, search->offset);
	struct xfs_perag *pag;

	if (args->maxlen <= rest || args->prod != 1)
		return;
	pag = xfs_perag_get(args->mp, xfs_dax_first_ag(search->ap));
	if (pag->pagf_longest >= args->mp->m_dax_align)
		args->maxlen = rest;
	xfs_perag_put(pag);
}

/* The request itself, of which a part is enough. */
static int xfs_dax_take_request(struct xfs_dax_search *search,
				xfs_fileoff_t offset, xfs_extlen_t len,
				struct xfs_alloc_arg *args)
{
	bool lost;
	int error;

	search->offset = offset;
	search->len = len;
	search->minlen = 1;
	error = xfs_dax_take_aligned(search, &lost);
	if (error || xfs_dax_found(search))
		return error;
	/* the ordinary allocator rounds a copy up, so that others follow */
	if (search->ap->flags & XFS_BMAPI_COWFORK)
		return 0;
	if (lost)
		search->len = min(len, xfs_dax_rest(args->mp, offset));
	if (lost && !xfs_dax_is_small(search))
		error = xfs_dax_take_lost(search);
	if (!error && !xfs_dax_found(search) &&
	    (lost || xfs_dax_is_small(search)))
		error = xfs_dax_take_outside(search);
	if (!error && lost && !xfs_dax_found(search))
		xfs_dax_cut(search, args);
	return error;
}

/* Try ranges that are larger than the request, and then the request itself. */
static int xfs_dax_take_any(struct xfs_dax_search *search,
			    xfs_fileoff_t offset, xfs_extlen_t len,
			    struct xfs_alloc_arg *args)
{
	struct xfs_bmalloca *ap = search->ap;
	int error = 0;

	search->offset = offset;
	search->len = len;
	if ((ap->flags & XFS_BMAPI_COWFORK) && xfs_dax_cow_range(search))
		error = xfs_dax_take_range(search, search->offset, search->len);
	if (error || xfs_dax_found(search))
		return error;
	/* as rounded up to the extent size hint */
	if (ap->offset == offset)
		return xfs_dax_take_request(search, offset, args->maxlen, args);
	if (ap->offset + args->maxlen >= offset + len)
		error = xfs_dax_take_range(search, ap->offset, args->maxlen);
	if (error || xfs_dax_found(search))
		return error;
	return xfs_dax_take_request(search, offset, min(len, args->maxlen),
				    args);
}

/* Does this request get an aligned place? */
static bool xfs_dax_is_for_us(const struct xfs_bmalloca *ap)
{
	return (ap->datatype & XFS_ALLOC_USERDATA) && xfs_dax_aligns(ap->ip) &&
	       !ap->wasdel && ap->minlen == 1 &&
	       !(ap->tp->t_flags & XFS_TRANS_LOWMODE);
}

/**
 * xfs_dax_btalloc - allocate blocks that a huge page can map
 * @ap: the request, rounded to its extent size hint
 * @args: the arguments for the allocator
 * @offset: first block of the file that was requested
 * @len: how many blocks were requested
 *
 * Context: In a transaction, with the ILOCK held exclusive.
 * Return: 0 with the blocks in @args and their place in the file in @ap; 0 with
 * @args->fsbno NULLFSBLOCK if the ordinary allocator is to look; or a negative
 * errno.
 */
int xfs_dax_btalloc(struct xfs_bmalloca *ap, struct xfs_alloc_arg *args,
		    xfs_fileoff_t offset, xfs_extlen_t len)
{
	struct xfs_dax_search search = {
		.ap = ap,
	};
	int error;

	if (!xfs_dax_is_for_us(ap))
		return 0;
	search.args = *args;
	search.args.total = ap->total;
	search.args.prod = 1;
	search.args.mod = 0;

	error = xfs_dax_take_any(&search, offset, len, args);
	trace_xfs_dax_alloc(ap->ip, search.offset, search.len,
			    search.args.fsbno, search.looks);
	if (!error && xfs_dax_found(&search)) {
		*args = search.args;
		ap->offset = search.offset;
	}
	return error;
}

static bool xfs_dax_quota_low(struct xfs_inode *ip, xfs_dqtype_t type,
			      xfs_extlen_t len)
{
	struct xfs_dquot *dq = xfs_inode_dquot(ip, type);

	return dq && xfs_this_quota_on(ip->i_mount, type) &&
	       dq->q_prealloc_hi_wmark &&
	       dq->q_blk.reserved + len >= dq->q_prealloc_lo_wmark;
}

/* Is there space enough that @len more blocks than requested do no harm? */
static bool xfs_dax_may_waste(struct xfs_inode *ip, xfs_extlen_t len)
{
	struct xfs_mount *mp = ip->i_mount;

	return percpu_counter_read_positive(&mp->m_fdblocks) >=
	       mp->m_low_space[XFS_LOWSP_5_PCNT] + len &&
	       !xfs_dax_quota_low(ip, XFS_DQTYPE_USER, len) &&
	       !xfs_dax_quota_low(ip, XFS_DQTYPE_GROUP, len) &&
	       !xfs_dax_quota_low(ip, XFS_DQTYPE_PROJ, len);
}

/**
 * xfs_dax_widen - how far to allocate for a write into a hole
 * @ip: file
 * @offset: first block that is written to; a hole, or beyond the last extent
 * @end: the block behind the last one
 *
 * A write that continues a long stretch of data probably goes on: it takes the
 * rest of its window, before another file does.  Unwritten blocks are no data.
 * They may be the rest of another window, which nothing was written to.
 *
 * Context: ILOCK held, extents read.
 * Return: The end of the blocks to allocate, @end or more.
 */
xfs_fileoff_t xfs_dax_widen(struct xfs_inode *ip, xfs_fileoff_t offset,
			    xfs_fileoff_t end)
{
	struct xfs_mount *mp = ip->i_mount;
	struct xfs_bmbt_irec prev, next;
	struct xfs_iext_cursor icur;
	xfs_filblks_t stretch = end - offset;
	xfs_fileoff_t wide;

	if (!xfs_dax_aligns(ip) || !xfs_dax_part(mp, end))
		return end;
	/* the blocks beyond the end of such a file are the user's: they stay */
	if (ip->i_diflags & (XFS_DIFLAG_PREALLOC | XFS_DIFLAG_APPEND))
		return end;
	wide = round_up(end, mp->m_dax_align);
	if (xfs_iext_lookup_extent(ip, &ip->i_df, offset, &icur, &next))
		wide = min(wide, next.br_startoff);
	if (xfs_iext_peek_prev_extent(&ip->i_df, &icur, &prev) &&
	    xfs_dax_end(&prev) == offset && prev.br_state == XFS_EXT_NORM)
		stretch += prev.br_blockcount;
	if (wide <= end || stretch < mp->m_dax_align / 2 ||
	    !xfs_dax_may_waste(ip, wide - end))
		return end;
	return wide;
}

/**
 * xfs_dax_cow_blocks - how many blocks to reserve for a copy
 * @ip: file
 * @offset: first block that is copied
 * @len: how many are copied
 *
 * A window whose blocks are copied one by one is whole again in the end if all of
 * them go to one window.
 *
 * Context: ILOCK held.
 * Return: The size of the windows around the copied blocks; 0 to reserve as
 * without DAX.
 */
xfs_filblks_t xfs_dax_cow_blocks(struct xfs_inode *ip, xfs_fileoff_t offset,
				 xfs_filblks_t len)
{
	struct xfs_mount *mp = ip->i_mount;
	xfs_filblks_t blocks;

	if (!xfs_dax_aligns(ip) || (ip->i_diflags2 & XFS_DIFLAG2_COWEXTSIZE))
		return 0;
	blocks = round_up(offset + len, mp->m_dax_align) -
		 (offset - xfs_dax_part(mp, offset));
	/* a window that the file ends in cannot be huge */
	if (round_up(offset + len, mp->m_dax_align) >
	    XFS_B_TO_FSBT(mp, XFS_ISIZE(ip)) || !xfs_dax_may_waste(ip, blocks))
		return 0;
	return blocks;
}

/**
 * xfs_dax_zeroes_in_place - whether blocks stay when their contents are zeroed
 * @ip: file
 *
 * Freed blocks cannot be reallocated until the log is written, and blocks
 * elsewhere would break the window.  Shared blocks belong to other files, too.
 *
 * Context: IOLOCK held exclusive.
 * Return: true if the caller is to use xfs_dax_zero_space().
 */
bool xfs_dax_zeroes_in_place(struct xfs_inode *ip)
{
	return xfs_dax_aligns(ip) && !xfs_is_reflink_inode(ip);
}

/*
 * Make the extent at @offset unwritten, up to @end.  Sets @next to the block behind
 * what was looked at.
 */
static int xfs_dax_unwrite_extent(struct xfs_inode *ip, xfs_fileoff_t offset,
				  xfs_fileoff_t end, xfs_fileoff_t *next)
{
	struct xfs_mount *mp = ip->i_mount;
	struct xfs_bmbt_irec irec;
	struct xfs_trans *tp;
	int nr = 1, error;

	/* the extent may become three */
	error = xfs_trans_alloc_inode(ip, &M_RES(mp)->tr_write,
				      2 * XFS_DIOSTRAT_SPACE_RES(mp, 0), 0,
				      false, &tp);
	if (error)
		return error;
	error = xfs_iext_count_extend(tp, ip, XFS_DATA_FORK,
				      XFS_IEXT_WRITE_UNWRITTEN_CNT);
	if (!error)
		error = xfs_bmapi_read(ip, offset, end - offset, &irec, &nr, 0);
	if (!error && xfs_dax_is_real(&irec) && irec.br_state == XFS_EXT_NORM)
		error = xfs_bmapi_write(tp, ip, offset, irec.br_blockcount,
					XFS_BMAPI_PREALLOC | XFS_BMAPI_CONVERT,
					0, &irec, &nr);
	if (!error) {
		*next = xfs_dax_end(&irec);
		error = xfs_trans_commit(tp);
	} else {
		xfs_trans_cancel(tp);
	}
	xfs_iunlock(ip, XFS_ILOCK_EXCL);
	return error;
}

/**
 * xfs_dax_zero_space - zero a range of a file whose blocks stay
 * @ip: file for which xfs_dax_zeroes_in_place() is true
 * @offset: first byte
 * @len: number of bytes
 *
 * Whole blocks become unwritten.  Holes stay.
 *
 * Context: IOLOCK and MMAPLOCK held exclusive, the layout of the range broken.
 * Return: 0 or a negative errno.
 */
int xfs_dax_zero_space(struct xfs_inode *ip, xfs_off_t offset, xfs_off_t len)
{
	struct xfs_mount *mp = ip->i_mount;
	xfs_off_t size = mp->m_sb.sb_blocksize;
	xfs_off_t start = round_up(offset, size);
	xfs_off_t end = round_down(offset + len, size);
	xfs_fileoff_t next = XFS_B_TO_FSBT(mp, start);
	int error;

	if (start >= end)
		return xfs_free_file_space(ip, offset, len);
	error = xfs_flush_unmap_range(ip, start, end - start);
	while (!error && next < XFS_B_TO_FSBT(mp, end))
		error = xfs_dax_unwrite_extent(ip, next, XFS_B_TO_FSBT(mp, end),
					       &next);
	/* no block is within the rest, so none is freed */
	if (!error)
		error = xfs_free_file_space(ip, offset, start - offset);
	if (!error)
		error = xfs_free_file_space(ip, end, offset + len - end);
	return error;
}

/**
 * xfs_dax_needs_space - whether blocks that are only kept for a window must be freed
 * @ip: file
 *
 * Context: Any.
 * Return: true if @ip is a DAX file on a filesystem that is nearly full.
 */
bool xfs_dax_needs_space(struct xfs_inode *ip)
{
	struct xfs_mount *mp = ip->i_mount;

	return IS_DAX(VFS_I(ip)) &&
	       percpu_counter_read_positive(&mp->m_fdblocks) <
	       mp->m_low_space[XFS_LOWSP_5_PCNT];
}
