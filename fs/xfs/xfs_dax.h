/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __XFS_DAX_H__
#define __XFS_DAX_H__

struct xfs_alloc_arg;
struct xfs_bmalloca;
struct xfs_bmbt_irec;
struct xfs_inode;
struct xfs_mount;

/*
 * Without CONFIG_FS_DAX, IS_DAX() is false at compile time, and calls that
 * depend on it are not linked.  The stubs are for calls that do not test it.
 */
extern const struct address_space_operations xfs_dax_aops;
extern const struct vm_operations_struct xfs_dax_vm_ops;

ssize_t xfs_file_dax_read(struct kiocb *iocb, struct iov_iter *to);
ssize_t xfs_file_dax_write(struct kiocb *iocb, struct iov_iter *from);
int xfs_dax_mmaplock_two(struct xfs_inode *ip1, loff_t pos1,
			 struct xfs_inode *ip2, loff_t pos2, loff_t len);

#ifdef CONFIG_FS_DAX
bool xfs_inode_should_enable_dax(struct xfs_inode *ip);
int xfs_dax_break_layout(struct inode *inode, loff_t start, loff_t end);
void xfs_dax_evict_inode(struct xfs_inode *ip);
bool xfs_dax_defer_inactive(struct xfs_inode *ip);
void xfs_dax_init_mount(struct xfs_mount *mp);
void xfs_dax_drain(struct xfs_mount *mp);
void xfs_dax_resume_defer(struct xfs_mount *mp);

/* xfs_dax_alloc.c */
void xfs_dax_init_align(struct xfs_mount *mp);
int xfs_dax_btalloc(struct xfs_bmalloca *ap, struct xfs_alloc_arg *args,
		    xfs_fileoff_t offset, xfs_extlen_t len);
xfs_fileoff_t xfs_dax_widen(struct xfs_inode *ip, xfs_fileoff_t offset,
			    xfs_fileoff_t end);
xfs_filblks_t xfs_dax_cow_blocks(struct xfs_inode *ip, xfs_fileoff_t offset,
				 xfs_filblks_t len);
bool xfs_dax_zeroes_in_place(struct xfs_inode *ip);
int xfs_dax_zero_space(struct xfs_inode *ip, xfs_off_t offset, xfs_off_t len);
bool xfs_dax_needs_space(struct xfs_inode *ip);
bool xfs_dax_has_windows(struct xfs_mount *mp);
xfs_fsblock_t xfs_dax_bmbt_goal(struct xfs_inode *ip, xfs_fsblock_t goal);
bool xfs_dax_aligns(struct xfs_inode *ip);
bool xfs_dax_is_real(const struct xfs_bmbt_irec *irec);
bool xfs_dax_is_aligned(struct xfs_mount *mp, const struct xfs_bmbt_irec *irec);

/* xfs_dax_relocate.c */
int xfs_dax_may_relocate(struct xfs_inode *ip, xfs_fileoff_t start);
int xfs_dax_take_window(struct xfs_inode *ip, xfs_fileoff_t start);
void xfs_dax_free_window(struct xfs_inode *ip, xfs_fileoff_t start);
int xfs_dax_relocate(struct xfs_inode *ip, xfs_fileoff_t start);
#else
static inline bool xfs_inode_should_enable_dax(struct xfs_inode *ip)
{
	return false;
}

static inline int xfs_dax_break_layout(struct inode *inode, loff_t start,
				       loff_t end)
{
	return 0;
}

static inline void xfs_dax_evict_inode(struct xfs_inode *ip)
{
}

static inline bool xfs_dax_defer_inactive(struct xfs_inode *ip)
{
	return false;
}

static inline void xfs_dax_init_mount(struct xfs_mount *mp)
{
}

static inline void xfs_dax_drain(struct xfs_mount *mp)
{
}

static inline void xfs_dax_resume_defer(struct xfs_mount *mp)
{
}

static inline void xfs_dax_init_align(struct xfs_mount *mp)
{
}

static inline int xfs_dax_btalloc(struct xfs_bmalloca *ap,
				  struct xfs_alloc_arg *args,
				  xfs_fileoff_t offset, xfs_extlen_t len)
{
	return 0;
}

static inline xfs_fileoff_t xfs_dax_widen(struct xfs_inode *ip,
					  xfs_fileoff_t offset,
					  xfs_fileoff_t end)
{
	return end;
}

static inline xfs_filblks_t xfs_dax_cow_blocks(struct xfs_inode *ip,
					       xfs_fileoff_t offset,
					       xfs_filblks_t len)
{
	return 0;
}

static inline bool xfs_dax_zeroes_in_place(struct xfs_inode *ip)
{
	return false;
}

static inline int xfs_dax_zero_space(struct xfs_inode *ip, xfs_off_t offset,
				     xfs_off_t len)
{
	return -EOPNOTSUPP;
}

static inline bool xfs_dax_needs_space(struct xfs_inode *ip)
{
	return false;
}

static inline bool xfs_dax_has_windows(struct xfs_mount *mp)
{
	return false;
}

static inline xfs_fsblock_t xfs_dax_bmbt_goal(struct xfs_inode *ip,
					      xfs_fsblock_t goal)
{
	return goal;
}
#endif

#endif /* __XFS_DAX_H__ */
