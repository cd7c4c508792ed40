/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _EXT4_DAX_H
#define _EXT4_DAX_H

#include "ext4.h"

/*
 * Without CONFIG_FS_DAX, IS_DAX() is false at compile time, and calls that
 * depend on it are not linked.  The stubs are for calls that do not test it.
 */
extern const struct address_space_operations ext4_dax_aops;
extern const struct vm_operations_struct ext4_dax_vm_ops;

ssize_t ext4_dax_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t ext4_dax_write_iter(struct kiocb *iocb, struct iov_iter *from);

struct ext4_allocation_context;

#ifdef CONFIG_FS_DAX
void ext4_dax_init_align(struct super_block *sb);
void ext4_dax_new_blocks(struct ext4_allocation_context *ac,
			 const struct ext4_allocation_request *ar);
int ext4_dax_may_relocate(struct inode *inode, ext4_lblk_t start);
struct inode *ext4_dax_take_window(struct inode *inode, ext4_lblk_t start);
int ext4_dax_relocate(struct inode *inode, struct inode *donor,
		      ext4_lblk_t start);
bool ext4_should_enable_dax(struct inode *inode);
bool ext4_dax_defer_drop(struct inode *inode);
bool ext4_dax_flush_deferred(struct super_block *sb);
void ext4_dax_init_defer(struct ext4_sb_info *sbi);
void ext4_dax_drain(struct super_block *sb);
void ext4_dax_resume_defer(struct super_block *sb);
#else
static inline void ext4_dax_init_align(struct super_block *sb)
{
}

static inline void
ext4_dax_new_blocks(struct ext4_allocation_context *ac,
		    const struct ext4_allocation_request *ar)
{
}

static inline bool ext4_should_enable_dax(struct inode *inode)
{
	return false;
}

static inline bool ext4_dax_defer_drop(struct inode *inode)
{
	return false;
}

static inline bool ext4_dax_flush_deferred(struct super_block *sb)
{
	return false;
}

static inline void ext4_dax_init_defer(struct ext4_sb_info *sbi)
{
}

static inline void ext4_dax_drain(struct super_block *sb)
{
}

static inline void ext4_dax_resume_defer(struct super_block *sb)
{
}
#endif

#endif /* _EXT4_DAX_H */
