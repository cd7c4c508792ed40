// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks of DAX files that can be mapped by huge pages.
 *
 * fs/dax-align.c tells how many blocks a huge page has, N, and the phase of the
 * filesystem: the place in memory of its first block, mod N.  A *window* is N
 * blocks of a file from a multiple of N on, and a window of the device is N
 * blocks from a multiple of N in memory on.  A window of the file can be huge
 * if it lies in one window of the device.
 *
 * Before mballoc looks for blocks in its ordinary way, ext4_dax_new_blocks()
 * does:
 *
 *	home		If the window already has blocks, only the blocks beside
 *			them are of use.  If it has none, prefer the blocks that
 *			follow those of the window before it.
 *	run		The window has no block yet: find free windows of the
 *			device, in one piece if possible.
 *	fragment	A small file, or a window that cannot be huge any more:
 *			take blocks outside of free windows.
 *
 * The blocks of the window that were not requested become a preallocation of
 * mballoc, in which the next requests of the window find their blocks.
 *
 * If all of this fails, the ordinary way follows, so an allocation fails only
 * if it would fail without this file.
 *
 * SMALL FILES	fill the blocks that no window needs, because most files stay
 *		small, and each of them would break a window.  Therefore the
 *		first window of a file that grows by small steps cannot be huge.
 *
 * WASTE	A preallocation is in memory only: it is neither in the bitmap
 *		on disk, nor in df, nor in the quota.  mballoc drops it when the
 *		last writer closes the file, at truncate or punch, and if it
 *		finds no other space.
 *
 * LENGTHS	mballoc relies on relations between the goal, the request and
 *		the extent that was found, see ext4_mb_new_inode_pa().  Here
 *		the extent is always the whole goal.  The goal holds all of the
 *		request, or it is a part of the request that begins where the
 *		request does, and then there is no preallocation.
 *		ext4_dax_try() is the only place that takes blocks.
 *
 * COST		A search looks into a bounded number of groups.  A pass over a
 *		group checks each of its windows at most once.  The event
 *		ext4_dax_alloc reports the number of checks.
 *
 * LOCKING	i_data_sem of the file, which protects its extents and its
 *		preallocations.  Then the lock of one group at a time.
 */

#include <linux/dax.h>
#include <linux/fs.h>

#include "ext4.h"
#include "ext4_extents.h"
#include "mballoc.h"
#include "dax.h"

#include <trace/events/ext4.h>

/* A file is small while it has fewer blocks than this: 128 KiB. */
#define EXT4_DAX_SMALL		32

/* A piece in which the small files of a locality group can stay together. */
#define EXT4_DAX_GROUP_PIECE	64

/* How many extents of free space a walk outside of windows looks at. */
#define EXT4_DAX_WALK		32

/* How many groups a search passes, looks into, and reads the bitmap of. */
#define EXT4_DAX_PASS		1024
#define EXT4_DAX_GROUPS		16
#define EXT4_DAX_INITS		8
#define EXT4_DAX_OUTSIDE	4

/* As many windows in one piece are good enough. */
#define EXT4_DAX_RUN		16

/* The state of a search for blocks. */
struct ext4_dax_search {
	struct ext4_allocation_context		*ac;
	const struct ext4_allocation_request	*ar;
	ext4_lblk_t	window;		/* first block of the window */
	ext4_lblk_t	first;		/* first block that is requested */
	loff_t		stop;		/* end of what to allocate now */
	ext4_lblk_t	start;		/* that, and the rest of its windows: */
	loff_t		end;		/* nothing of it is allocated */
	unsigned int	groups;		/* looked into */
	unsigned int	inits;		/* whose bitmap was read */
	unsigned int	looks;		/* at windows and free extents */
	bool		left_out;	/* a spared group may have windows */
};

/* A piece of free space of a group. */
struct ext4_dax_piece {
	ext4_grpblk_t	bit;
	unsigned int	nr;		/* of windows, or of blocks */
};

/**
 * ext4_dax_init_align - find out where the device has huge pages
 * @sb: superblock that is being mounted
 *
 * Context: Process context.
 */
void ext4_dax_init_align(struct super_block *sb)
{
	struct ext4_sb_info *sbi = EXT4_SB(sb);
	unsigned long phase;

	if (!test_bit(EXT4_FLAGS_BDEV_IS_DAX, &sbi->s_ext4_flags) ||
	    ext4_has_feature_bigalloc(sb))
		return;
	sbi->s_dax_align = dax_align_phase(sbi->s_daxdev,
					   PHYS_PFN(sbi->s_dax_part_off),
					   ext4_blocks_count(sbi->s_es), &phase);
	if (sbi->s_dax_align)
		sbi->s_dax_phase = phase;
}

static bool ext4_dax_found(const struct ext4_dax_search *search)
{
	return search->ac->ac_status == AC_STATUS_FOUND;
}

static struct ext4_sb_info *ext4_dax_sbi(const struct ext4_dax_search *search)
{
	return EXT4_SB(search->ac->ac_sb);
}

static unsigned int ext4_dax_align(const struct ext4_dax_search *search)
{
	return ext4_dax_sbi(search)->s_dax_align;
}

/* Can a window be huge that has file block @lblk at block @pblk? */
static bool ext4_dax_is_aligned(const struct ext4_dax_search *search,
				ext4_fsblk_t pblk, ext4_lblk_t lblk)
{
	u64 place = pblk + ext4_dax_sbi(search)->s_dax_phase - lblk;

	return !(place & (ext4_dax_align(search) - 1));
}

/* How many blocks of the group precede its first window? */
static ext4_grpblk_t ext4_dax_head(const struct ext4_dax_search *search,
				   ext4_group_t group)
{
	u64 place = ext4_group_first_block_no(search->ac->ac_sb, group) +
		    ext4_dax_sbi(search)->s_dax_phase;

	return -place & (ext4_dax_align(search) - 1);
}

/* Is the file small, together with the request? */
static bool ext4_dax_is_small(const struct ext4_dax_search *search)
{
	struct inode *inode = search->ac->ac_inode;

	return (search->ac->ac_flags & EXT4_MB_HINT_GROUP_ALLOC) ||
	       (search->stop < EXT4_DAX_SMALL &&
		i_size_read(inode) < EXT4_DAX_SMALL << inode->i_blkbits);
}

/* Are all of these blocks of a locked group free? */
static bool ext4_dax_is_free(struct ext4_dax_search *search,
			     const struct ext4_buddy *e4b, ext4_grpblk_t bit,
			     unsigned int len)
{
	search->looks++;
	if (bit < 0 || bit + len > EXT4_BLOCKS_PER_GROUP(e4b->bd_sb))
		return false;
	return ext4_find_next_bit(e4b->bd_bitmap, bit + len, bit) >= bit + len;
}

/*
 * Take blocks @from to @to of the file, if they are free.  @bit is the place of the
 * first block that is requested.  A part of the request gets no preallocation, so
 * it begins where the request does.
 */
static void ext4_dax_try(struct ext4_dax_search *search, struct ext4_buddy *e4b,
			 ext4_grpblk_t bit, ext4_lblk_t from, loff_t to)
{
	struct ext4_allocation_context *ac = search->ac;

	if (to < extent_logical_end(ext4_dax_sbi(search), &ac->ac_o_ex))
		from = search->first;
	bit -= search->first - from;
	if (!ext4_dax_is_free(search, e4b, bit, to - from))
		return;

	ac->ac_g_ex.fe_logical = from;
	ac->ac_g_ex.fe_group = e4b->bd_group;
	ac->ac_g_ex.fe_start = bit;
	ac->ac_g_ex.fe_len = to - from;
	ac->ac_orig_goal_len = to - from;
	ac->ac_b_ex = ac->ac_g_ex;
	ac->ac_found++;
	ext4_mb_use_best_found(ac, e4b);
}

/* --- free windows ---------------------------------------------------------- */

/* How many windows does the request touch?  A group has no more than these. */
static unsigned int ext4_dax_wanted(const struct ext4_dax_search *search)
{
	int order = ilog2(ext4_dax_align(search));
	loff_t nr = (search->stop - 1 - search->window) >> order;

	return min_t(loff_t, nr + 1,
		     EXT4_BLOCKS_PER_GROUP(search->ac->ac_sb) >> order);
}

/* Free windows from @bit on. */
static unsigned int ext4_dax_count(struct ext4_dax_search *search,
				   const struct ext4_buddy *e4b,
				   ext4_grpblk_t bit, unsigned int want)
{
	unsigned int align = ext4_dax_align(search), nr = 0;

	while (nr < want &&
	       ext4_dax_is_free(search, e4b, bit + nr * align, align))
		nr++;
	return nr;
}

/* The first piece of a group that has @want windows, or else the longest one. */
static struct ext4_dax_piece ext4_dax_look(struct ext4_dax_search *search,
					   const struct ext4_buddy *e4b,
					   unsigned int want)
{
	ext4_grpblk_t max = EXT4_BLOCKS_PER_GROUP(e4b->bd_sb);
	ext4_grpblk_t align = ext4_dax_align(search);
	struct ext4_dax_piece best = {};
	ext4_grpblk_t bit = ext4_dax_head(search, e4b->bd_group);

	while (best.nr < want && bit + align <= max) {
		unsigned int nr = ext4_dax_count(search, e4b, bit, want);

		if (nr > best.nr) {
			best.bit = bit;
			best.nr = nr;
		}
		/* the window behind them is not free */
		bit += (nr + 1) * align;
	}
	return best;
}

/* Take what of the request fits into the @nr free windows from @bit on. */
static void ext4_dax_take_windows(struct ext4_dax_search *search,
				  struct ext4_buddy *e4b, ext4_grpblk_t bit,
				  unsigned int nr)
{
	loff_t end = search->window + (loff_t)nr * ext4_dax_align(search);

	ext4_dax_try(search, e4b, bit + (search->first - search->window),
		     search->start, min(end, search->end));
}

/* Take windows from a group if it has @min in one piece. */
static void ext4_dax_search_group(struct ext4_dax_search *search,
				  ext4_group_t group, unsigned int min)
{
	struct super_block *sb = search->ac->ac_sb;
	struct ext4_dax_piece best;
	struct ext4_buddy e4b;

	if (ext4_mb_load_buddy(sb, group, &e4b))
		return;
	search->groups++;
	ext4_lock_group(sb, group);
	if (!EXT4_MB_GRP_BBITMAP_CORRUPT(e4b.bd_info)) {
		best = ext4_dax_look(search, &e4b, ext4_dax_wanted(search));
		if (best.nr >= min)
			ext4_dax_take_windows(search, &e4b, best.bit, best.nr);
	}
	ext4_unlock_group(sb, group);
	ext4_mb_unload_buddy(&e4b);
}

/*
 * Can the group have @min windows in one piece, as far as its fields in memory tell?
 * As many blocks that are not aligned have at least a buddy of half their size.
 */
static bool ext4_dax_may_have(struct ext4_dax_search *search,
			      ext4_group_t group, unsigned int min)
{
	struct ext4_group_info *grp = ext4_get_group_info(search->ac->ac_sb, group);
	unsigned int len = min * ext4_dax_align(search);
	int order = ilog2(len);

	if (!grp || EXT4_MB_GRP_BBITMAP_CORRUPT(grp) || grp->bb_free < len)
		return false;
	if (EXT4_MB_GRP_NEED_INIT(grp))
		return search->inits++ < EXT4_DAX_INITS;
	if (min > 1 || ext4_dax_head(search, group))
		order--;
	return grp->bb_largest_free_order >= order;
}

/* The first group of many has the metadata of all: it is the last to be taken. */
static bool ext4_dax_spares(const struct ext4_dax_search *search,
			    ext4_group_t group)
{
	unsigned int flex = ext4_flex_bg_size(ext4_dax_sbi(search));

	return flex >= EXT4_FLEX_SIZE_DIR_ALLOC_SCHEME && group % flex == 0;
}

enum ext4_dax_groups {
	EXT4_DAX_MOST_GROUPS,	/* without those that are the last to be taken */
	EXT4_DAX_ALL_GROUPS,
};

/* Look into the groups from the file's own one on. */
static void ext4_dax_search_groups(struct ext4_dax_search *search,
				   unsigned int min, enum ext4_dax_groups which)
{
	ext4_group_t nr = ext4_get_groups_count(search->ac->ac_sb), i;
	ext4_group_t group = search->ac->ac_o_ex.fe_group;

	search->groups = 0;
	for (i = 0; i < min_t(ext4_group_t, nr, EXT4_DAX_PASS); i++, group++) {
		if (group >= nr)
			group = 0;
		if (!ext4_dax_may_have(search, group, min))
			continue;
		if (which == EXT4_DAX_MOST_GROUPS &&
		    ext4_dax_spares(search, group)) {
			search->left_out = true;
			continue;
		}
		ext4_dax_search_group(search, group, min);
		if (ext4_dax_found(search) || search->groups == EXT4_DAX_GROUPS)
			return;
		cond_resched();
	}
}

static void ext4_dax_take_free(struct ext4_dax_search *search)
{
	unsigned int run = min(ext4_dax_wanted(search), EXT4_DAX_RUN);

	if (run > 1)
		ext4_dax_search_groups(search, run, EXT4_DAX_MOST_GROUPS);
	if (!ext4_dax_found(search))
		ext4_dax_search_groups(search, 1, EXT4_DAX_MOST_GROUPS);
	if (!ext4_dax_found(search) && search->left_out)
		ext4_dax_search_groups(search, 1, EXT4_DAX_ALL_GROUPS);
}

/* --- home ------------------------------------------------------------------ */

/*
 * The home of the first block that is requested, or 0: its place on the device
 * that follows from the blocks that its window has, or else from those before
 * the window.  Returns false if the window cannot be huge any more.
 * @fixed: the window has blocks, so it has no other place than its home.
 */
static bool ext4_dax_home(const struct ext4_dax_search *search,
			  ext4_fsblk_t *home, bool *fixed)
{
	const struct ext4_allocation_request *ar = search->ar;
	ext4_lblk_t first = search->first;
	ext4_fsblk_t right;

	*home = 0;
	*fixed = false;
	if (ar->pleft && ar->lleft >= search->window) {
		if (!ext4_dax_is_aligned(search, ar->pleft, ar->lleft))
			return false;
		*home = ar->pleft + (first - ar->lleft);
		*fixed = true;
	}
	if (ar->pright &&
	    ar->lright - search->window < ext4_dax_align(search)) {
		right = ar->pright - (ar->lright - first);
		if (!ext4_dax_is_aligned(search, right, first) ||
		    (*fixed && *home != right))
			return false;
		*home = right;
		*fixed = true;
	}
	if (!*fixed && ext4_dax_is_aligned(search, ar->goal, first))
		*home = ar->goal;
	if (!ext4_inode_block_valid(search->ac->ac_inode, *home, 1))
		*home = 0;
	return *home || !*fixed;
}

/*
 * Beside the blocks of the window: all of the request with the rest of its windows,
 * or only the rest of this one, or what is requested of it.
 */
static void ext4_dax_take_beside(struct ext4_dax_search *search,
				 struct ext4_buddy *e4b, ext4_grpblk_t bit)
{
	loff_t end = search->window + ext4_dax_align(search);

	end = min(end, search->end);
	ext4_dax_try(search, e4b, bit, search->start, search->end);
	if (!ext4_dax_found(search) && end < search->end)
		ext4_dax_try(search, e4b, bit, search->start, end);
	if (!ext4_dax_found(search))
		ext4_dax_try(search, e4b, bit, search->first,
			     min(search->stop, end));
}

static void ext4_dax_take_home(struct ext4_dax_search *search,
			       ext4_fsblk_t home, bool fixed)
{
	struct super_block *sb = search->ac->ac_sb;
	ext4_group_t group;
	struct ext4_buddy e4b;
	ext4_grpblk_t bit, part = search->first - search->window;
	unsigned int nr;

	ext4_get_group_no_and_offset(sb, home, &group, &bit);
	if (ext4_mb_load_buddy(sb, group, &e4b))
		return;
	ext4_lock_group(sb, group);
	if (EXT4_MB_GRP_BBITMAP_CORRUPT(e4b.bd_info))
		goto unlock;
	if (fixed) {
		ext4_dax_take_beside(search, &e4b, bit);
		goto unlock;
	}
	nr = ext4_dax_count(search, &e4b, bit - part, ext4_dax_wanted(search));
	if (nr)
		ext4_dax_take_windows(search, &e4b, bit - part, nr);
unlock:
	ext4_unlock_group(sb, group);
	ext4_mb_unload_buddy(&e4b);
}

/* --- outside of windows ---------------------------------------------------- */

static void ext4_dax_better(struct ext4_dax_piece *best, ext4_grpblk_t bit,
			    ext4_grpblk_t end)
{
	if (end > bit && end - bit > best->nr) {
		best->bit = bit;
		best->nr = end - bit;
	}
}

/* Look at a free extent: its windows are left alone. */
static void ext4_dax_check_extent(const struct ext4_dax_search *search,
				  ext4_grpblk_t head, ext4_grpblk_t bit,
				  ext4_grpblk_t end, struct ext4_dax_piece *best)
{
	ext4_grpblk_t align = ext4_dax_align(search);
	ext4_grpblk_t skip = (head - bit) & (align - 1);

	if (end - bit < skip + align) {
		ext4_dax_better(best, bit, end);
		return;
	}
	ext4_dax_better(best, bit, bit + skip);
	ext4_dax_better(best, end - ((end - head) & (align - 1)), end);
}

/* The first piece of @want blocks, or else the longest of the first pieces. */
static struct ext4_dax_piece
ext4_dax_look_outside(struct ext4_dax_search *search,
		      const struct ext4_buddy *e4b, ext4_grpblk_t bit,
		      unsigned int want)
{
	ext4_grpblk_t max = EXT4_BLOCKS_PER_GROUP(e4b->bd_sb), end;
	ext4_grpblk_t head = ext4_dax_head(search, e4b->bd_group);
	struct ext4_dax_piece best = {};
	int i;

	for (i = 0; i < EXT4_DAX_WALK && best.nr < want; i++) {
		bit = ext4_find_next_zero_bit(e4b->bd_bitmap, max, bit);
		if (bit >= max)
			break;
		search->looks++;
		end = ext4_find_next_bit(e4b->bd_bitmap, max, bit);
		ext4_dax_check_extent(search, head, bit, end, &best);
		bit = end;
	}
	return best;
}

/* Take blocks of a group that no window needs: up to @end, from @want on. */
static void ext4_dax_outside_group(struct ext4_dax_search *search,
				   ext4_group_t group, unsigned int want,
				   loff_t end)
{
	struct super_block *sb = search->ac->ac_sb;
	ext4_grpblk_t bit = 0;
	struct ext4_dax_piece best;
	struct ext4_buddy e4b;

	if (ext4_mb_load_buddy(sb, group, &e4b))
		return;
	if (group == search->ac->ac_o_ex.fe_group)
		bit = search->ac->ac_o_ex.fe_start;
	ext4_lock_group(sb, group);
	if (!EXT4_MB_GRP_BBITMAP_CORRUPT(e4b.bd_info)) {
		best = ext4_dax_look_outside(search, &e4b, bit, want);
		if (search->first + best.nr >= search->stop)
			ext4_dax_try(search, &e4b, best.bit, search->first,
				     min(end, (loff_t)search->first + best.nr));
	}
	ext4_unlock_group(sb, group);
	ext4_mb_unload_buddy(&e4b);
}

/* Has a group free blocks outside of windows, as far as its buddies tell? */
static bool ext4_dax_has_outside(const struct ext4_dax_search *search,
				 ext4_group_t group)
{
	struct super_block *sb = search->ac->ac_sb;
	struct ext4_group_info *grp = ext4_get_group_info(sb, group);
	ext4_grpblk_t windows = 0;
	int order;

	if (!grp || EXT4_MB_GRP_BBITMAP_CORRUPT(grp) ||
	    EXT4_MB_GRP_NEED_INIT(grp))
		return false;
	if (!ext4_dax_head(search, group))
		for (order = ilog2(ext4_dax_align(search));
		     order < MB_NUM_ORDERS(sb); order++)
			windows += grp->bb_counters[order] << order;
	return grp->bb_free > windows;
}

/* How many blocks of a file, or of a locality group, are to lie together? */
static unsigned int ext4_dax_outside_len(const struct ext4_dax_search *search,
					 loff_t *end)
{
	unsigned int flags = search->ac->ac_flags;

	*end = search->end;
	if (flags & EXT4_MB_HINT_NOPREALLOC) {
		*end = search->stop;
	} else if (flags & EXT4_MB_HINT_GROUP_ALLOC) {
		*end = (loff_t)search->first +
		       ext4_dax_sbi(search)->s_mb_group_prealloc;
		return EXT4_DAX_GROUP_PIECE;
	}
	return *end - search->first;
}

static void ext4_dax_take_outside(struct ext4_dax_search *search)
{
	ext4_group_t nr = ext4_get_groups_count(search->ac->ac_sb), i;
	ext4_group_t group = search->ac->ac_o_ex.fe_group;
	unsigned int want;
	loff_t end;

	want = ext4_dax_outside_len(search, &end);
	nr = min_t(ext4_group_t, nr, EXT4_DAX_OUTSIDE);
	for (i = 0; i < nr && !ext4_dax_found(search); i++, group++) {
		if (group >= ext4_get_groups_count(search->ac->ac_sb))
			group = 0;
		if (ext4_dax_has_outside(search, group))
			ext4_dax_outside_group(search, group, want, end);
	}
}

/* --- one allocation -------------------------------------------------------- */

/*
 * The window cannot be huge any more, but the next one may be: let the ordinary
 * allocator not go beyond this one.
 */
static void ext4_dax_cut(const struct ext4_dax_search *search)
{
	struct ext4_allocation_context *ac = search->ac;
	loff_t end = (loff_t)ac->ac_g_ex.fe_logical + ac->ac_orig_goal_len;

	end = clamp(end, search->stop,
		    search->window + (loff_t)ext4_dax_align(search));
	if (ac->ac_g_ex.fe_logical < search->window)
		ac->ac_g_ex.fe_logical = search->first;
	ac->ac_g_ex.fe_len = end - ac->ac_g_ex.fe_logical;
	ac->ac_orig_goal_len = ac->ac_g_ex.fe_len;
	ac->ac_o_ex.fe_len = search->stop - search->first;
}

/* The request is not to go beyond its first window. */
static void ext4_dax_one_window(struct ext4_dax_search *search)
{
	loff_t end = search->window + (loff_t)ext4_dax_align(search);

	search->stop = min(search->stop, end);
	search->end = min(search->end, end);
}

static void ext4_dax_find(struct ext4_dax_search *search)
{
	ext4_fsblk_t home;
	bool fixed, lost;

	if (ext4_dax_is_small(search)) {
		search->end = clamp_t(loff_t, EXT4_DAX_SMALL, search->stop,
				      search->end);
		ext4_dax_take_outside(search);
		return;
	}
	lost = !ext4_dax_home(search, &home, &fixed);
	if (!lost && home)
		ext4_dax_take_home(search, home, fixed);
	if (ext4_dax_found(search))
		return;
	if (!lost && !fixed) {
		ext4_dax_take_free(search);
		return;
	}
	ext4_dax_one_window(search);
	ext4_dax_take_outside(search);
	if (!ext4_dax_found(search))
		ext4_dax_cut(search);
}

/*
 * Where to end a request that is longer than an unwritten extent can be.  Not
 * within a window.  And always at the same places in a file: if a group ends
 * before the border, the blocks of the next group then fill up the extent.  An
 * inode holds four extents, and each change of a tree block is a checksum of
 * 4 KiB.
 */
static loff_t ext4_dax_extent_border(const struct ext4_dax_search *search)
{
	unsigned int len = round_down(EXT_UNWRITTEN_MAX_LEN,
				      ext4_dax_align(search));

	return (loff_t)search->first - search->first % len + len;
}

/*
 * The request with the rest of its windows, as far as that has no blocks.  A window
 * behind the request's first one that has blocks has its own home.
 */
static void ext4_dax_init_search(struct ext4_dax_search *search)
{
	const struct ext4_allocation_request *ar = search->ar;
	struct ext4_allocation_context *ac = search->ac;
	loff_t align = ext4_dax_align(search), right;

	search->first = ac->ac_o_ex.fe_logical;
	search->stop = (loff_t)search->first + ac->ac_o_ex.fe_len;
	if (ac->ac_o_ex.fe_len >= EXT_UNWRITTEN_MAX_LEN)
		search->stop = ext4_dax_extent_border(search);
	search->window = round_down(search->first, (ext4_lblk_t)align);
	search->start = search->window;
	search->end = min_t(loff_t, round_up(search->stop, align),
			    EXT_MAX_BLOCKS);
	if (ar->pleft)
		search->start = max(search->start, ar->lleft + 1);
	if (ar->pright && ar->lright < search->end) {
		right = round_down((loff_t)ar->lright, align);
		search->end = right > search->first ? right : ar->lright;
	}
	ext4_mb_pa_adjust_overlap(ac, &search->start, &search->end);
	search->stop = min(search->stop, search->end);
}

/* Does this request get an aligned place? */
static bool ext4_dax_is_for_us(const struct ext4_allocation_context *ac)
{
	return EXT4_SB(ac->ac_sb)->s_dax_align && IS_DAX(ac->ac_inode) &&
	       dax_align_enabled() && (ac->ac_flags & EXT4_MB_HINT_DATA) &&
	       !(ac->ac_flags & EXT4_MB_HINT_GOAL_ONLY) &&
	       ext4_test_inode_flag(ac->ac_inode, EXT4_INODE_EXTENTS);
}

/**
 * ext4_dax_new_blocks - allocate blocks that a huge page can map
 * @ac: the request, with the goal of the ordinary allocator
 * @ar: the request, with its neighbours
 *
 * If @ac has no blocks afterwards, the ordinary allocator is to look for some.
 *
 * Context: i_data_sem of the file held for writing.
 */
void ext4_dax_new_blocks(struct ext4_allocation_context *ac,
			 const struct ext4_allocation_request *ar)
{
	struct ext4_dax_search search = {
		.ac = ac,
		.ar = ar,
	};

	if (!ext4_dax_is_for_us(ac))
		return;
	ext4_dax_init_search(&search);
	ext4_dax_find(&search);
	trace_ext4_dax_alloc(ac, search.looks);
}
