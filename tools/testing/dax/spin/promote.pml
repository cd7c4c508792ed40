/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Promotion of small DAX entries, as a model for Spin.
 *
 * One large entry takes the place of several small ones while faults, fsyncs,
 * writes, invalidation and memory failure go on in the same range.
 * fs/dax-promote.c claims that no task sleeps for ever, that no dirty mark is
 * lost and that no stale page stays mapped.  The model tries these claims in
 * every order in which the steps of a few tasks can follow each other.  ./check
 * says which tasks, and what they find when they start.
 *
 * WHAT IS MODELLED
 *
 *	tree	one mapping of two pages: two small entries (slots 0 and 1), or
 *		one large entry, which stands in slot 0.  Kind, lock, marks and
 *		pfn of each, and nrpages
 *	xa_lock	all that a task does under one hold of it is one atomic step.
 *		Between two steps of a task there may be any steps of others.
 *		To unmap, protect or flush the pages of a locked entry is one
 *		step, too: a store looks at one page only
 *	queues	a sleeper has a key, the start of the entry that it found, and
 *		waits exclusively (IN_TURN) or not (BESIDE).  The kernel wakes
 *		exclusive ones first come, first served.  Here it may be any of
 *		them, so that nothing depends on it
 *	pages	what some page table maps at each page, file memory or a zero
 *		page; stores, which reach the CPU's cache and are lost in a
 *		power cut until they are flushed
 *	blocks	which pages have some, and whether they are where one large
 *		entry needs them.  Of the range as a whole the filesystem may
 *		always say no, and have allocated some even so
 *
 * WHAT IS NOT
 *
 *	- More than two slots, and more than one large entry; other files whose
 *	  sleepers share a queue.
 *	- XArray nodes and cursors: tools/testing/dax/ has tests of those.  Want
 *	  of memory is modelled as a refusal, which comes before any change.
 *	- Truncation, which locks out faults with invalidate_lock.
 *	- Shared blocks, MAP_SYNC, private mappings; a small fault that fails.
 *	- Which process maps what: a page table that forbids a large page shows
 *	  as a fault that gives up before it asks the filesystem.
 *	- A task that is busy for ever: tasks have one or two jobs.
 *	- Wakeups that no task needs.  A grab that was woken in turn and then is
 *	  refused passes the wakeup on in the kernel, and not here: it is refused
 *	  since its entry has gone, and the task that deleted it has woken all.
 *
 * WHAT MUST NEVER BE, by the name that Spin prints
 *
 *	two_owners		a lock taken twice, or given back by another
 *	lost_store		fsync returns, and a store that came before it
 *				was not flushed since
 *	marked_not_mapped	writeback meets a mark on what has no blocks
 *	stale_zero_page		a zero page is mapped, with nothing that says so
 *	stale_page		the same for file memory
 *	zero_with_blocks	an entry says hole where there are blocks, and
 *				no write(2) is about to remove it
 *	wrong_pfn		a mapped entry says what the filesystem does not
 *	wrong_nrpages		not the sum of the entries
 *	invalid end state	a task sleeps, and no other will wake it
 *
 * RULES that the code keeps.  With -DBREAK=RULE the model does not keep that
 * one, and ./check sees to it that Spin notices.
 */

/* Wakeups. */
#define UNLOCK_WAKES_BESIDE	1	/* those that want no lock */
#define UNLOCK_WAKES_NEXT	2	/* and one of those that do */
#define REMOVAL_WAKES		3	/* a task that deletes wakes */
#define REMOVAL_WAKES_ALL	4	/* all waiters, not one */
#define DEMOTION_WAKES		5
#define DEMOTION_WAKES_ALL	6
#define PROMOTION_WAKES		7	/* on each small key that goes */
#define PROMOTION_WAKES_ALL	8
#define PROMOTION_WAKES_KEY_1	9	/* not only on the one that stays */
#define ROLLBACK_WAKES		10	/* on the key of the large one */
#define ROLLBACK_WAKES_ALL	11
#define LEAVER_PASSES_ON	12	/* woken in turn, does not lock: next */
#define KEY_IS_OF_FOUND		13	/* and not of the request */
#define WRITEBACK_IS_BESIDE	14	/* as it may find nothing to do */
#define SCAN_IS_BESIDE		15	/* as it may find another one locked */
/* Scan, replacement and rollback of small entries. */
#define SCAN_MINDS_LOCKS	20
#define SCAN_IS_ONE_WITH_REPLACE 21	/* one hold of the xa_lock */
#define SCAN_MINDS_PFNS		22	/* fragmented: refuse */
#define REPLACED_BY_LOCKED	23	/* no task gets in before the fault */
#define PROMOTION_COUNTS_GAPS	24	/* nrpages */
#define ROLLBACK_COUNTS_GAPS	25
#define FAILURE_ROLLS_BACK	26	/* rather than leave an empty entry */
/* Marks. */
#define REPLACE_CARRIES_DIRTY	30
#define REPLACE_CARRIES_TOWRITE	31
#define COMMIT_KEEPS_MARKS	32
#define ROLLBACK_RETURNS_DIRTY	33
#define ROLLBACK_SPREADS_TOWRITE 34	/* also one that came meanwhile */
#define ROLLBACK_MINDS_CLEAN	35	/* but to dirty ones only */
#define DIRTY_BEFORE_MAP	36	/* a store may follow at once */
/* Writeback. */
#define WRITEBACK_WAITS		40	/* for an entry that is locked */
#define WRITEBACK_LOOKS_AGAIN	41	/* at the same place */
#define WRITEBACK_PROTECTS	42	/* before it flushes */
#define MARKS_OFF_LAST		43	/* after the flush */
#define TOWRITE_OFF_LAST	44	/* of the two, the one that must */
#define REMOVAL_FLUSHES		45
#define REMOVAL_UNMAPS_FIRST	46	/* and then flushes */
/* Writeback of one page of a large entry. */
#define PART_KEEPS_DIRTY	60	/* stores go on without a fault */
#define PART_KEEPS_TOWRITE	61	/* it is the request of another */
#define PART_WAITS		62	/* for an entry that is locked */
#define PART_LOOKS_AGAIN	63	/* it may be small by then */
#define PART_MINDS_SMALL	64	/* and then tags and walks */
/* Zero pages. */
#define COMMIT_UNMAPS_ZERO	50
#define FAILED_WRITE_UNMAPS	51	/* there may be blocks by now */
#define FAILED_WRITE_DROPS_ZERO	52
#define DEMOTION_UNMAPS		53
#define WRITE_MINDS_EMPTY	54	/* locked: it may become zero */

#ifndef BREAK
#define BREAK			0
#endif
#define KEPT(rule)		(BREAK != rule)

/* Kinds of an entry; a task finds one of them at the start. */
#define NOTHING			0	/* no entry */
#define EMPTY			1
#define ZERO			2
#define MAPPED			3
#define DIRTY			4	/* mapped, and stored to */
#define ANY			5	/* any of these */

/* Jobs.  The digit is the page; H is huge, for either page. */
#define R0			1	/* read fault */
#define R1			2
#define RH			3
#define W0			4	/* write fault, and a store */
#define W1			5
#define WH			6
#define FSYNC			7
#define DROP			8	/* delete all, as for copy on write */
#define ALLOC0			9	/* write(2) that allocates */
#define ALLOC1			10
#define INVAL0			11	/* delete what is clean */
#define INVAL1			12
#define FAIL0			13	/* memory failure */
#define FAIL1			14
#define CH			15	/* collapse: a huge read that unmaps */
#define PART0			16	/* fsync of this page alone */
#define PART1			17
#define S0			18	/* a store, unless it would fault */
#define S1			19

/* How often a promotion waits for a small entry before it gives up. */
#ifndef MAX_WAITS
#define MAX_WAITS		1
#endif

/* --- the mapping --------------------------------------------------------- */

bit large;			/* there is one entry, in slot 0 */
byte kind[2];
bit locked[2];
bit dirty[2];
bit towrite[2];
bit pfn[2];			/* of mapped: 0 if a large one can hold it */
byte nrpages;

/* Mapped by page tables.  Both may be, each in some process. */
#define READ_ONLY		1
#define WRITABLE		2
byte mapped[2];			/* file memory: 0 or one of these */
bit zero_page[2];

/* The filesystem. */
bit block[2];			/* the page has one */
bit block_pfn[2];		/* as pfn; also of one that is not there yet */
byte writing;			/* how many write(2) are under way */

/* By _pid: how the task sleeps, or that it is awake. */
#define AWAKE			0
#define BESIDE(key)		(1 + (key))
#define IN_TURN(key)		(3 + (key))
byte asleep[7];

/* The kernel has no such state; only the model does. */
byte owner[2];			/* of the entry lock */
bit stored[2];			/* and not flushed */
byte owed[2];			/* by which fsyncs: a bit for each _pid */

#define SLOT(page)		(large -> 0 : (page))
#define HOLDS(slot, page)	(large || (slot) == (page))
#define PRESENT(slot)		(kind[slot] != NOTHING)
#define MARKED(slot)		(dirty[slot] || towrite[slot])
#define PAGES			(large -> 2 : PRESENT(0) + PRESENT(1))
#define NO_SLOT			2

/* --- states that must never be ------------------------------------------- */

/* So that Spin prints a name, and not what the macros have made of it. */
#define NEVER(name, condition)	name = (condition); assert(!name)

hidden byte two_owners, lost_store, marked_not_mapped, stale_zero_page;
hidden byte stale_page, zero_with_blocks, wrong_pfn, wrong_nrpages;

/* While an entry is locked, its owner may be about to put things right. */
#define SAYS(page)		kind[SLOT(page)]
#define AT_REST(page)		(SAYS(page) == NOTHING || !locked[SLOT(page)])

#define STALE_ZERO_PAGE(page)	\
	(AT_REST(page) && zero_page[page] && SAYS(page) != ZERO)
#define STALE_PAGE(page)	\
	(AT_REST(page) && mapped[page] && SAYS(page) != MAPPED)
#define ZERO_WITH_BLOCKS(page)	\
	(AT_REST(page) && SAYS(page) == ZERO && block[page] && !writing)
#define WRONG_PFN(page)		\
	(AT_REST(page) && SAYS(page) == MAPPED && \
	 (!block[page] || pfn[SLOT(page)] != block_pfn[page]))
#define TRUE_OF_ANY(what)	(what(0) || what(1))

/* Has nothing to do unless something is wrong; looks between any two steps. */
active proctype watch()
{
end:	if
	:: TRUE_OF_ANY(STALE_ZERO_PAGE) -> NEVER(stale_zero_page, true)
	:: TRUE_OF_ANY(STALE_PAGE) -> NEVER(stale_page, true)
	:: TRUE_OF_ANY(ZERO_WITH_BLOCKS) -> NEVER(zero_with_blocks, true)
	:: TRUE_OF_ANY(WRONG_PFN) -> NEVER(wrong_pfn, true)
	:: nrpages != PAGES -> NEVER(wrong_nrpages, true)
	fi
}

/* --- sleep and wake ------------------------------------------------------ */

/* Pids begin with those of init and watch. */
#define FIRST_TASK		2
#define LAST_TASK		6

hidden byte who, woken;

inline wake_beside(key)
{
	d_step {
		who = FIRST_TASK;
		do
		:: who > LAST_TASK -> break
		:: asleep[who] == BESIDE(key) ->
			asleep[who] = AWAKE;
			who++
		:: else -> who++
		od;
		who = 0
	}
}

inline wake_one_in_turn(key)
{
	if
	:: asleep[2] == IN_TURN(key) -> asleep[2] = AWAKE
	:: asleep[3] == IN_TURN(key) -> asleep[3] = AWAKE
	:: asleep[4] == IN_TURN(key) -> asleep[4] = AWAKE
	:: asleep[5] == IN_TURN(key) -> asleep[5] = AWAKE
	:: asleep[6] == IN_TURN(key) -> asleep[6] = AWAKE
	:: else
	fi
}

/* No task will ever unlock this key again.  wake, all: the rules. */
inline wake_gone(key, wake, all)
{
	d_step {
		who = FIRST_TASK;
		woken = 0;
		do
		:: who > LAST_TASK || !KEPT(wake) -> break
		:: asleep[who] == BESIDE(key) ->
			asleep[who] = AWAKE;
			who++
		:: asleep[who] == IN_TURN(key) && (KEPT(all) || !woken) ->
			asleep[who] = AWAKE;
			woken++;
			who++
		:: else -> who++
		od;
		who = 0
	}
}

/* An xa_lock section that follows a sleep begins with: asleep[_pid] == AWAKE */
#define KEY(slot, request)	(KEPT(KEY_IS_OF_FOUND) -> (slot) : (request))
#define wait_beside(key)	asleep[_pid] = BESIDE(key)
#define wait_in_turn(key)	asleep[_pid] = IN_TURN(key)

/* --- the entry lock ------------------------------------------------------ */

inline lock_entry(slot)
{
	d_step {
		NEVER(two_owners, !PRESENT(slot) || locked[slot]);
		locked[slot] = 1;
		owner[slot] = _pid
	}
}

inline is_mine(slot)
{
	NEVER(two_owners, !locked[slot] || owner[slot] != _pid)
}

inline unlock_entry(slot)
{
	d_step {
		is_mine(slot);
		locked[slot] = 0;
		owner[slot] = 0
	}
	if
	:: KEPT(UNLOCK_WAKES_BESIDE) -> wake_beside(slot)
	:: else
	fi;
	if
	:: KEPT(UNLOCK_WAKES_NEXT) -> wake_one_in_turn(slot)
	:: else
	fi
}

inline insert_empty_entry(slot)
{
	d_step {
		large = order;
		kind[slot] = EMPTY;
		locked[slot] = 1;
		owner[slot] = _pid;
		nrpages = nrpages + (order -> 2 : 1)
	}
}

inline delete_entry(slot)
{
	d_step {
		is_mine(slot);
		nrpages = nrpages - (large -> 2 : 1);
		large = 0;
		kind[slot] = NOTHING;
		locked[slot] = 0;
		owner[slot] = 0;
		dirty[slot] = 0;
		towrite[slot] = 0;
		pfn[slot] = 0
	}
}

/* --- pages, with the entry locked ---------------------------------------- */

inline unmap_page(slot, page)
{
	if
	:: HOLDS(slot, page) ->
		mapped[page] = 0;
		zero_page[page] = 0
	:: else
	fi
}

inline unmap_entry(slot)
{
	d_step {
		is_mine(slot);
		unmap_page(slot, 0);
		unmap_page(slot, 1)
	}
}

inline protect_page(slot, page)
{
	if
	:: HOLDS(slot, page) && mapped[page] == WRITABLE ->
		mapped[page] = READ_ONLY
	:: else
	fi
}

inline write_protect_entry(slot)
{
	d_step {
		is_mine(slot);
		protect_page(slot, 0);
		protect_page(slot, 1)
	}
}

inline flush_page(slot, page)
{
	if
	:: HOLDS(slot, page) ->
		stored[page] = 0;
		owed[page] = 0
	:: else
	fi
}

inline flush_entry(slot)
{
	d_step {
		is_mine(slot);
		flush_page(slot, 0);
		flush_page(slot, 1)
	}
}

inline flush_marked_entry(slot)
{
	if
	:: MARKED(slot) && KEPT(REMOVAL_FLUSHES) ->
		NEVER(marked_not_mapped, kind[slot] != MAPPED);
		flush_entry(slot)
	:: else
	fi
}

/* Unmap, flush, delete.  A walk goes on behind it. */
inline drop_entry(slot)
{
	if
	:: KEPT(REMOVAL_UNMAPS_FIRST) ->
		unmap_entry(slot);
		atomic { flush_marked_entry(slot) }
	:: else ->
		atomic { flush_marked_entry(slot) };
		unmap_entry(slot)
	fi;
	atomic {
		cur = (large -> 2 : slot + 1);
		delete_entry(slot);
		wake_gone(slot, REMOVAL_WAKES, REMOVAL_WAKES_ALL)
	}
}

/* --- grab: find an entry or make it, and lock it ------------------------- */

/* Results, in got; the entry is in slot s. */
#define REFUSED			0
#define LOCKED			1
#define PROMOTED		2
#define TOO_BIG			3	/* must be demoted */

/* A large entry that does not serve: not even for a read, if it is empty. */
#define DOES_NOT_SERVE(slot)	\
	(large && !order && \
	 (kind[slot] == EMPTY || (kind[slot] == ZERO && write)))

/* Why a promotion would wait, or be refused, on account of one small entry. */
#define IN_USE(slot)		\
	(PRESENT(slot) && locked[slot] && KEPT(SCAN_MINDS_LOCKS))
#define FRAGMENTED(slot)	\
	(kind[slot] == MAPPED && pfn[slot] && KEPT(SCAN_MINDS_PFNS))

/*
 * One locked empty entry for all.  The task remembers the kinds and marks of the
 * small ones for the way back, and since zero ones may still be mapped.
 */
inline replace_small()
{
	d_step {
		was0 = kind[0];
		was1 = kind[1];
		dirty0 = dirty[0];
		dirty1 = dirty[1];
		towrite0 = towrite[0];
		towrite1 = towrite[1];
		nrpages = (KEPT(PROMOTION_COUNTS_GAPS) -> 2 : nrpages);
		large = 1;
		kind[0] = EMPTY;
		kind[1] = NOTHING;
		locked[0] = KEPT(REPLACED_BY_LOCKED);
		owner[0] = _pid;
		dirty[0] = (dirty[0] || dirty[1]) &&
			KEPT(REPLACE_CARRIES_DIRTY);
		towrite[0] = (towrite[0] || towrite[1]) &&
			KEPT(REPLACE_CARRIES_TOWRITE);
		locked[1] = 0;
		owner[1] = 0;
		dirty[1] = 0;
		towrite[1] = 0;
		pfn[0] = 0;
		pfn[1] = 0
	}
	if
	:: was0 != NOTHING ->
		wake_gone(0, PROMOTION_WAKES, PROMOTION_WAKES_ALL)
	:: else
	fi;
	if
	:: was1 != NOTHING && KEPT(PROMOTION_WAKES_KEY_1) ->
		wake_gone(1, PROMOTION_WAKES, PROMOTION_WAKES_ALL)
	:: else
	fi;
	s = 0
}

/* Nothing is held while waiting, and then all is looked at again. */
inline wait_small(slot)
{
	if
	:: waits == MAX_WAITS -> got = REFUSED; break
	:: waits < MAX_WAITS && KEPT(SCAN_IS_BESIDE) ->
		waits++;
		wait_beside(slot)
	:: waits < MAX_WAITS && !KEPT(SCAN_IS_BESIDE) ->
		waits++;
		wait_in_turn(slot)
	fi
}

/*
 * Smaller entries are in the way; look at them in their order.  To refuse is
 * possible at first: there is no memory, or the administrator does not want it.
 */
inline promote_small()
{
	if
	:: waits == 0 -> got = REFUSED; break
	:: FRAGMENTED(0) || (!IN_USE(0) && FRAGMENTED(1)) ->
		got = REFUSED;
		break
	:: !FRAGMENTED(0) && IN_USE(0) -> wait_small(0)
	:: !FRAGMENTED(0) && !IN_USE(0) && !FRAGMENTED(1) && IN_USE(1) ->
		wait_small(1)
	:: !FRAGMENTED(0) && !IN_USE(0) && !FRAGMENTED(1) && !IN_USE(1) ->
		got = PROMOTED;
		if
		:: KEPT(SCAN_IS_ONE_WITH_REPLACE) -> replace_small()
		:: else
		fi;
		break
	fi
}

/* The entry is locked.  It makes room under one hold of the xa_lock. */
inline demote_entry()
{
	if
	:: kind[0] == ZERO && KEPT(DEMOTION_UNMAPS) -> unmap_entry(0)
	:: else
	fi;
	atomic {
		delete_entry(0);
		wake_gone(0, DEMOTION_WAKES, DEMOTION_WAKES_ALL);
		s = page;
		insert_empty_entry(s)
	}
}

inline grab_entry()
{
	waits = 0;
	do
	:: atomic {
		asleep[_pid] == AWAKE;
		if
		:: order ->
			s = (PRESENT(0) -> 0 : (PRESENT(1) -> 1 : NO_SLOT))
		:: else ->
			s = (PRESENT(SLOT(page)) -> SLOT(page) : NO_SLOT)
		fi;
		if
		:: s == NO_SLOT ->
			s = (order -> 0 : page);
			insert_empty_entry(s);
			got = LOCKED;
			break
		:: s != NO_SLOT && order && !large ->
			promote_small()
		:: s != NO_SLOT && (!order || large) && locked[s] ->
			wait_in_turn(KEY(s, (order -> 0 : page)))
		:: s != NO_SLOT && (!order || large) && !locked[s] ->
			lock_entry(s);
			got = (DOES_NOT_SERVE(s) -> TOO_BIG : LOCKED);
			break
		fi
	   }
	od;
	if
	:: got == TOO_BIG -> demote_entry()
	:: got == PROMOTED && !KEPT(SCAN_IS_ONE_WITH_REPLACE) ->
		atomic { replace_small() }
	:: else
	fi
}

/* --- faults -------------------------------------------------------------- */

#define IS_AT(i)		(block[i] -> MAPPED : ZERO)

/*
 * The filesystem answers for one extent, which here is a page: a large fault
 * asks twice.  answer is MAPPED or ZERO if all extents so far are that; EMPTY
 * for none yet; NOTHING if they are not all the same, or not one run, or if
 * there was an error.  Blocks may have been allocated even so.
 */
inline ask_extent(i)
{
	atomic {
		asked = 1;
		if
		:: order -> answer = NOTHING
		:: order && write ->
			block[i] = 1;
			answer = NOTHING
		:: true ->
			block[i] = block[i] || write;
			if
			:: order && block[i] && block_pfn[i] -> answer = NOTHING
			:: else ->
				answer = (answer == EMPTY ||
					  answer == IS_AT(i) ->
					  IS_AT(i) : NOTHING)
			fi
		fi
	}
}

inline ask_filesystem()
{
	answer = EMPTY;
	if
	:: order || page == 0 -> ask_extent(0)
	:: else
	fi;
	if
	:: answer != NOTHING && (order || page == 1) -> ask_extent(1)
	:: else
	fi
}

/* File memory stays mapped: the large entry will say the same of it. */
inline unmap_promoted_zero()
{
	if
	:: was0 == ZERO || was1 == ZERO ->
		d_step {
			is_mine(0);
			zero_page[0] = zero_page[0] && was0 != ZERO;
			zero_page[1] = zero_page[1] && was1 != ZERO
		}
	:: else
	fi
}

/* A write may have got blocks although it failed: then zero is a lie. */
#define COMES_BACK(was)		\
	((was) == ZERO && write && asked && KEPT(FAILED_WRITE_DROPS_ZERO) -> \
	 NOTHING : (was))

/* The large entry has TOWRITE if any had it, or if it came meanwhile. */
#define COMES_BACK_TAGGED(slot, was_dirty, was_tagged)	\
	(KEPT(ROLLBACK_SPREADS_TOWRITE) -> \
	 towrite[0] && PRESENT(slot) && \
	 (was_dirty || !KEPT(ROLLBACK_MINDS_CLEAN)) : was_tagged)

/* All at once, and unlocked. */
inline roll_back()
{
	atomic {
		d_step {
			is_mine(0);
			large = 0;
			locked[0] = 0;
			owner[0] = 0;
			kind[0] = COMES_BACK(was0);
			kind[1] = COMES_BACK(was1);
			dirty[0] = dirty0 && KEPT(ROLLBACK_RETURNS_DIRTY);
			dirty[1] = dirty1 && KEPT(ROLLBACK_RETURNS_DIRTY);
			towrite[1] = COMES_BACK_TAGGED(1, dirty1, towrite1);
			towrite[0] = COMES_BACK_TAGGED(0, dirty0, towrite0);
			nrpages = (KEPT(ROLLBACK_COUNTS_GAPS) -> PAGES : 2)
		}
		wake_gone(0, ROLLBACK_WAKES, ROLLBACK_WAKES_ALL)
	}
}

inline map_page(i)
{
	if
	:: answer == ZERO -> zero_page[i] = 1
	:: answer == MAPPED && write -> mapped[i] = WRITABLE
	:: answer == MAPPED && !write && !mapped[i] -> mapped[i] = READ_ONLY
	:: else
	fi
}

/*
 * Make room, store, map.  Others may have it mapped by small pages, and keep
 * that, unless this is a collapse.
 */
inline commit()
{
	if
	:: answer == MAPPED && got == PROMOTED && KEPT(COMMIT_UNMAPS_ZERO) ->
		unmap_promoted_zero()
	:: answer == MAPPED && got == LOCKED && kind[s] == ZERO ->
		unmap_entry(s)
	:: else
	fi;
	d_step {
		is_mine(s);
		if
		:: kind[s] != answer ->
			kind[s] = answer;
			pfn[s] = answer == MAPPED && !order && block_pfn[page];
			dirty[s] = dirty[s] && KEPT(COMMIT_KEEPS_MARKS);
			towrite[s] = towrite[s] && KEPT(COMMIT_KEEPS_MARKS)
		:: else
		fi;
		dirty[s] = dirty[s] || (write && KEPT(DIRTY_BEFORE_MAP))
	}
	if
	:: collapse -> unmap_entry(s)
	:: else
	fi;
	d_step {
		if
		:: order || page == 0 -> map_page(0)
		:: else
		fi;
		if
		:: order || page == 1 -> map_page(1)
		:: else
		fi
	}
}

/* A large entry that does not say what the small fault found has to go. */
#define CONTRADICTS(slot)	(large && !order && kind[slot] != answer)

inline fault()
{
	do
	:: grab_entry();
	   asked = 0;
	   answer = NOTHING;
	   if
	   :: got == REFUSED
	   :: got != REFUSED -> ask_filesystem()
	   :: got != REFUSED && order && !collapse
		/* Nothing was asked: the page table cannot take it. */
	   fi;
	   if
	   :: answer != NOTHING && !CONTRADICTS(s) -> commit()
	   :: else
	   fi;
	   if
	   :: got == REFUSED
	   :: got == PROMOTED && answer == NOTHING &&
	      KEPT(FAILURE_ROLLS_BACK) ->
		if
		:: write && asked && KEPT(FAILED_WRITE_UNMAPS) ->
			unmap_promoted_zero()
		:: else
		fi;
		roll_back()
	   :: got == LOCKED &&
	      (answer == NOTHING -> write && asked && kind[s] == ZERO :
	       CONTRADICTS(s)) ->
		answer = NOTHING;
		drop_entry(s)
	   :: else ->
		atomic {
			dirty[s] = dirty[s] || (write && answer == MAPPED);
			unlock_entry(s)
		}
	   fi;
	   if
	   :: answer != NOTHING || collapse -> break
	   :: else -> order = 0		/* fall back, or try again */
	   fi
	od;
	/* The instruction is repeated.  If it would fault again, let it be. */
	atomic {
		if
		:: write && mapped[page] == WRITABLE -> stored[page] = 1
		:: else
		fi
	}
}

/* --- walks --------------------------------------------------------------- */

/* The first slot from cur to last for which this is true, or NO_SLOT. */
#define FIRST(is_it)		\
	((cur == 0 || large) && cur <= last && is_it(0) -> 0 : \
	 (!large && cur <= 1 && last == 1 && is_it(1) -> 1 : NO_SLOT))
#define BEHIND(slot)		(large -> 2 : (slot) + 1)

#define ME			(1 << _pid)

/* DIRTY gets TOWRITE; fsync owes the flush of each store so far. */
inline tag_page(page)
{
	if
	:: stored[page] -> owed[page] = owed[page] | ME
	:: else
	fi;
	if
	:: dirty[SLOT(page)] -> towrite[SLOT(page)] = 1
	:: else
	fi
}

inline write_back_entry()
{
	if
	:: KEPT(WRITEBACK_PROTECTS) ->
		write_protect_entry(s);
		flush_entry(s)
	:: else ->
		flush_entry(s);
		write_protect_entry(s)
	fi;
	atomic {
		unlock_entry(s);
		dirty[s] = 0;
		towrite[s] = 0;
		cur = BEHIND(s)
	}
}

#define IS_TAGGED(slot)		(towrite[slot])

/* All entries with TOWRITE, from cur to last. */
inline write_back_tagged()
{
	do
	:: do
	   :: atomic {
		asleep[_pid] == AWAKE;
		s = FIRST(IS_TAGGED);
		if
		:: s == NO_SLOT -> break
		:: s != NO_SLOT && locked[s] && KEPT(WRITEBACK_WAITS) ->
			if
			:: KEPT(WRITEBACK_IS_BESIDE) -> wait_beside(KEY(s, cur))
			:: else -> wait_in_turn(KEY(s, cur))
			fi;
			cur = (KEPT(WRITEBACK_LOOKS_AGAIN) -> cur : BEHIND(s))
		:: s != NO_SLOT && locked[s] && !KEPT(WRITEBACK_WAITS) ->
			cur = BEHIND(s)
		:: s != NO_SLOT && !locked[s] ->
			NEVER(marked_not_mapped, kind[s] != MAPPED);
			lock_entry(s);
			dirty[s] = dirty[s] && KEPT(MARKS_OFF_LAST);
			towrite[s] = towrite[s] && KEPT(MARKS_OFF_LAST) &&
				KEPT(TOWRITE_OFF_LAST);
			break
		fi
	      }
	   od;
	   if
	   :: s == NO_SLOT -> break
	   :: else -> write_back_entry()
	   fi
	od
}

inline fsync()
{
	/* The kernel drops the xa_lock now and then while it tags; so here. */
	d_step { tag_page(0) }
	d_step { tag_page(1) }
	last = 1;
	write_back_tagged();
	atomic { NEVER(lost_store, (owed[0] | owed[1]) & ME) }
}

/* Does a large entry extend beyond the page?  Then it is in slot 0. */
inline find_part()
{
	do
	:: atomic {
		asleep[_pid] == AWAKE;
		got = REFUSED;
		s = NO_SLOT;
		if
		:: waits && !KEPT(PART_LOOKS_AGAIN) -> s = 0; break
		:: else
		fi;
		if
		:: !large -> break
		:: large && !dirty[0] -> s = 0; break
		:: large && dirty[0] && locked[0] && KEPT(PART_WAITS) ->
			waits = 1;
			wait_beside(KEY(0, page))
		:: large && dirty[0] && locked[0] && !KEPT(PART_WAITS) ->
			s = 0;
			break
		:: large && dirty[0] && !locked[0] ->
			NEVER(marked_not_mapped, kind[0] != MAPPED);
			s = 0;
			lock_entry(s);
			got = LOCKED;
			break
		fi
	   }
	od
}

/* Neither marks nor page tables change, if the entry is large. */
inline sync_part()
{
	atomic {
		if
		:: stored[page] -> owed[page] = owed[page] | ME
		:: else
		fi
	}
	waits = 0;
	find_part();
	if
	:: got == LOCKED ->
		d_step {
			is_mine(0);
			flush_page(0, page)
		}
		atomic {
			unlock_entry(0);
			dirty[0] = dirty[0] && KEPT(PART_KEEPS_DIRTY);
			towrite[0] = towrite[0] && KEPT(PART_KEEPS_TOWRITE)
		}
	:: got != LOCKED && s == NO_SLOT && KEPT(PART_MINDS_SMALL) ->
		/* It may be large by now, and is flushed as a whole then. */
		d_step { tag_page(page) }
		cur = page;
		last = page;
		write_back_tagged()
	:: else
	fi;
	atomic { NEVER(lost_store, owed[page] & ME) }
}

/* All entries, or those that a write(2) has to remove after it allocates. */
#define IS_IN_THE_WAY(slot)	\
	(PRESENT(slot) && (job == DROP || kind[slot] == ZERO || \
			   (kind[slot] == EMPTY && locked[slot] && \
			    KEPT(WRITE_MINDS_EMPTY))))

inline drop_range()
{
	do
	:: do
	   :: atomic {
		asleep[_pid] == AWAKE;
		s = FIRST(IS_IN_THE_WAY);
		if
		:: s == NO_SLOT -> break
		:: s != NO_SLOT && locked[s] -> wait_beside(KEY(s, cur))
		:: s != NO_SLOT && !locked[s] -> lock_entry(s); break
		fi
	      }
	   od;
	   if
	   :: s == NO_SLOT -> break
	   :: else -> drop_entry(s)
	   fi
	od
}

/* --- tasks that want one entry ------------------------------------------- */

/* Waits in turn, but is not interested if the entry is dirty. */
inline invalidate()
{
	do
	:: atomic {
		asleep[_pid] == AWAKE;
		s = (PRESENT(SLOT(page)) -> SLOT(page) : NO_SLOT);
		if
		:: s == NO_SLOT -> break
		:: s != NO_SLOT && locked[s] -> wait_in_turn(KEY(s, page))
		:: s != NO_SLOT && !locked[s] && !MARKED(s) ->
			lock_entry(s);
			break
		:: s != NO_SLOT && !locked[s] && MARKED(s) ->
			if
			:: KEPT(LEAVER_PASSES_ON) ->
				wake_beside(s);
				wake_one_in_turn(s)
			:: else
			fi;
			s = NO_SLOT;
			break
		fi
	   }
	od;
	if
	:: s == NO_SLOT
	:: else -> drop_entry(s)
	fi
}

/* As little interested, but never waits in turn. */
inline memory_failure()
{
	do
	:: atomic {
		asleep[_pid] == AWAKE;
		s = (PRESENT(SLOT(page)) -> SLOT(page) : NO_SLOT);
		if
		:: s == NO_SLOT -> break
		:: s != NO_SLOT && locked[s] -> wait_beside(KEY(s, page))
		:: s != NO_SLOT && !locked[s] && kind[s] == MAPPED ->
			lock_entry(s);
			break
		:: s != NO_SLOT && !locked[s] && kind[s] != MAPPED ->
			s = NO_SLOT;
			break
		fi
	   }
	od;
	if
	:: s == NO_SLOT
	:: else -> atomic { unlock_entry(s) }
	fi
}

/* --- tasks --------------------------------------------------------------- */

proctype task(byte job; byte next)
{
	bit order, write, page;		/* the fault; page of other jobs, too */
	bit collapse;
	unsigned s : 2;			/* the slot that it is about */
	unsigned got : 2;		/* what grab has come to */
	unsigned waits : 2;
	unsigned was0 : 2;		/* what was promoted */
	unsigned was1 : 2;
	bit dirty0, dirty1, towrite0, towrite1;
	bit asked;			/* the filesystem, which answered: */
	unsigned answer : 2;
	unsigned cur : 2;		/* of a walk */
	bit last;

	do
	:: job == NOTHING -> break
	:: else ->
		d_step {
			order = job == RH || job == WH || job == CH;
			collapse = job == CH;
			write = job == W0 || job == W1 || job == WH;
			page = job == R1 || job == W1 || job == ALLOC1 ||
				job == INVAL1 || job == FAIL1 ||
				job == PART1 || job == S1
		}
		if
		:: job <= WH || job == CH ->
			if
			:: order -> page = 0
			:: order -> page = 1
			:: else
			fi;
			fault()
		:: job == FSYNC -> fsync()
		:: job == PART0 || job == PART1 -> sync_part()
		:: job == S0 || job == S1 ->
			atomic {
				if
				:: mapped[page] == WRITABLE -> stored[page] = 1
				:: else
				fi
			}
		:: job == DROP || job == ALLOC0 || job == ALLOC1 ->
			atomic {
				if
				:: job == DROP -> last = 1
				:: else ->
					block[page] = 1;
					writing++;
					cur = page;
					last = page
				fi
			}
			drop_range();
			atomic { writing = writing - (job != DROP) }
		:: job == INVAL0 || job == INVAL1 -> invalidate()
		:: job == FAIL0 || job == FAIL1 -> memory_failure()
		fi;
		/* Variables that are 0 between jobs make fewer states. */
		atomic {
			order = 0; write = 0; page = 0; collapse = 0;
			s = 0; got = 0; waits = 0;
			was0 = 0; was1 = 0; dirty0 = 0; dirty1 = 0;
			towrite0 = 0; towrite1 = 0; asked = 0; answer = 0;
			cur = 0; last = 0;
			job = next;
			next = NOTHING
		}
	od
}

inline find_small(i, what)
{
	if
	:: what == NOTHING || what == ANY
	:: what == EMPTY || what == ANY -> kind[i] = EMPTY
	:: what == ZERO || what == ANY -> kind[i] = ZERO; zero_page[i] = 1
	:: what == MAPPED || what == ANY ->
		kind[i] = MAPPED; block[i] = 1; mapped[i] = READ_ONLY
	:: what == DIRTY || what == ANY ->
		kind[i] = MAPPED; block[i] = 1; mapped[i] = WRITABLE;
		dirty[i] = 1; stored[i] = 1
	fi;
	pfn[i] = kind[i] == MAPPED && block_pfn[i]
}

inline find_large(what)
{
	large = 1;
	if
	:: what == EMPTY || what == ANY -> kind[0] = EMPTY
	:: what == ZERO || what == ANY ->
		kind[0] = ZERO; zero_page[0] = 1; zero_page[1] = 1
	:: what == MAPPED || what == ANY ->
		kind[0] = MAPPED; block[0] = 1; block[1] = 1;
		mapped[0] = READ_ONLY; mapped[1] = READ_ONLY
	:: what == DIRTY || what == ANY ->
		kind[0] = MAPPED; block[0] = 1; block[1] = 1;
		mapped[0] = WRITABLE; mapped[1] = WRITABLE;
		dirty[0] = 1; stored[0] = 1; stored[1] = 1
	fi
}

/* SMALL0 and SMALL1, LARGE or both; RUN, which starts the tasks. */
init
{
	atomic {
#ifdef STRAY
		/* The second block is where no large entry can have it. */
		block_pfn[1] = 1;
#endif
		if
#ifdef SMALL0
		:: find_small(0, SMALL0); find_small(1, SMALL1)
#endif
#ifdef LARGE
		:: find_large(LARGE)
#endif
		fi;
		nrpages = PAGES;
		RUN
	}
}
