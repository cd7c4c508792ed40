/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules for order conflicts, one row for each entry that a fault may find:
 * its kind and its order, and what the fault does with it.  Columns: read and
 * write of order 0, of order 9, of order 18.  The words are those of the event
 * dax_grab_entry.  Where a fault cannot or may not promote, it is refused, and
 * falls back.
 *
 * KUnit and the selftest entry_orders read this table.  The table in
 * Documentation/filesystems/dax-entries.rst has the same rules, and explains
 * them.
 */
#ifndef _FS_TESTS_DAX_ORDER_RULES_H
#define _FS_TESTS_DAX_ORDER_RULES_H

#define DAX_ORDER_RULES(row)						      \
	row(none,   0,	insert, insert, insert,  insert,  insert,  insert)    \
	row(empty,  0,	lock,   lock,   promote, promote, promote, promote)   \
	row(zero,   0,	lock,   lock,   promote, promote, promote, promote)   \
	row(mapped, 0,	lock,   lock,   promote, promote, promote, promote)   \
	row(empty,  9,	demote, demote, lock,    lock,    promote, promote)   \
	row(zero,   9,	lock,   demote, lock,    lock,    promote, promote)   \
	row(mapped, 9,	lock,   lock,   lock,    lock,    promote, promote)   \
	row(empty,  18,	demote, demote, demote,  demote,  lock,    lock)      \
	row(zero,   18,	lock,   demote, lock,    demote,  lock,    lock)      \
	row(mapped, 18,	lock,   lock,   lock,    lock,    lock,    lock)

#endif /* _FS_TESTS_DAX_ORDER_RULES_H */
