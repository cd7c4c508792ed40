/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stage of the KUnit tests of the DAX entries.
 *
 * Who waits, and who is woken, is told by scripts.  The test's own thread is
 * the director.  The actors are kthreads that make one call each and may stop
 * once on the way, with an entry lock held, until the director lets them go.
 * After each line of the script the director waits until the stage is still:
 * every actor sleeps on an entry, holds one, or is done (settle()).  Then it
 * looks who does what.  A wakeup that was lost is an actor that sleeps where
 * it should hold; a wakeup too many is an actor that has slept twice, since a
 * probe on the trace event of going to sleep counts.  No delay decides.
 *
 * Include it last: see the short names below.
 */
#ifndef _FS_TESTS_DAX_STAGE_H
#define _FS_TESTS_DAX_STAGE_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "../dax-internal.h"

/* A page offset that is aligned to all orders, and one that follows all. */
#define BASE		BIT(19)
#define BEYOND		(BASE + BIT(18))

/* Only a hang takes that long. */
#define PATIENCE	(30 * HZ)

struct order_param {
	const char *desc;
	unsigned int order;
};

static inline unsigned int param_order(struct kunit *test)
{
	const struct order_param *param = test->param_value;

	return param->order;
}

/* --- actors ------------------------------------------------------------- */

enum actor_state {
	ACTOR_RUNS,
	ACTOR_SLEEPS,		/* on an entry that is locked */
	ACTOR_HOLDS,		/* an entry lock, until told to go on */
	ACTOR_DONE,
};

#define MAX_SEEN	8

struct actor {
	struct dax_test *dt;
	struct address_space *mapping;

	/* What it is told to do. */
	void (*job)(struct actor *actor);
	pgoff_t index;
	unsigned int order;
	bool write;
	bool undo;			/* what it has promoted */

	struct task_struct *task;
	struct task_struct *self;	/* the same, set by itself */
	struct completion stopped;
	struct completion go;
	struct completion done;

	/* Written when it goes to sleep, read when it sleeps. */
	unsigned int sleeps;
	pgoff_t slept_at;
	unsigned int slept_order;

	/* What came out; to be read when it holds or is done. */
	int ret;
	void *entry;
	bool promoted;
	unsigned int nr_seen;
	pgoff_t seen[MAX_SEEN];
};

#define MAX_ACTORS	8
#define MAX_GRABS	4

struct dax_test {
	struct address_space *mapping;
	struct super_block *sb;
	void *room;

	struct actor actors[MAX_ACTORS];
	unsigned int nr_actors;
	char stage[MAX_ACTORS + 1];
	bool probing;

	/* What the director's own grabs were traced as. */
	struct task_struct *director;
	unsigned int nr_grabs;
	enum dax_grab_action grabs[MAX_GRABS];
	void *found[MAX_GRABS];

	/* What promotions were traced as, and what they had put there. */
	spinlock_t lock;
	unsigned int promotions[NR_DAX_PROMOTE];
	void *put_there;
	bool put_dirty;
	bool put_towrite;

	/* Protected by the entry lock, if that is any good. */
	unsigned long nr_owned;
	struct actor *owner;
	bool shared;
};

/*
 * The tests are scripts, and read best with short names; but the linker sees
 * all the kernel's names, and there these have a prefix.
 */
#define actor_state(...)	dax_stage_actor_state(__VA_ARGS__)
#define enter(...)		dax_stage_enter(__VA_ARGS__)
#define free_mapping(...)	dax_stage_free_mapping(__VA_ARGS__)
#define holder(...)		dax_stage_holder(__VA_ARGS__)
#define let_go(...)		dax_stage_let_go(__VA_ARGS__)
#define new_mapping(...)	dax_stage_new_mapping(__VA_ARGS__)
#define nr_actors(...)		dax_stage_nr_actors(__VA_ARGS__)
#define send_home(...)		dax_stage_send_home(__VA_ARGS__)
#define settle(...)		dax_stage_settle(__VA_ARGS__)
#define stage(...)		dax_stage_line(__VA_ARGS__)
#define stop_until_told(...)	dax_stage_stop(__VA_ARGS__)

int dax_stage_init(struct kunit *test);
void dax_stage_exit(struct kunit *test);
struct address_space *new_mapping(struct kunit *test, struct super_block *sb);
void free_mapping(struct address_space *mapping);
enum actor_state actor_state(struct actor *actor);
void stop_until_told(struct actor *actor);
bool send_home(struct kunit *test);
void settle(struct kunit *test);
const char *stage(struct kunit *test);
unsigned int nr_actors(struct kunit *test, enum actor_state state);
struct actor *enter(struct kunit *test, void (*job)(struct actor *actor),
		    pgoff_t index, unsigned int order, bool write);
void let_go(struct kunit *test, struct actor *actor);
struct actor *holder(struct kunit *test);

/* --- props -------------------------------------------------------------- */

#define delete(...)		dax_stage_delete(__VA_ARGS__)
#define expect_range(...)	dax_stage_expect_range(__VA_ARGS__)
#define expect_seen(...)	dax_stage_expect_seen(__VA_ARGS__)
#define grab(...)		dax_stage_grab(__VA_ARGS__)
#define has_order(...)		dax_stage_has_order(__VA_ARGS__)
#define make_entry(...)		dax_stage_make_entry(__VA_ARGS__)
#define marked(...)		dax_stage_marked(__VA_ARGS__)
#define need_order(...)		dax_stage_need_order(__VA_ARGS__)
#define nrpages(...)		dax_stage_nrpages(__VA_ARGS__)
#define peek(...)		dax_stage_peek(__VA_ARGS__)
#define put(...)		dax_stage_put(__VA_ARGS__)
#define put_dirty(...)		dax_stage_put_dirty(__VA_ARGS__)
#define put_locked(...)		dax_stage_put_locked(__VA_ARGS__)
#define replace(...)		dax_stage_replace(__VA_ARGS__)
#define set_mark(...)		dax_stage_set_mark(__VA_ARGS__)
#define unlock(...)		dax_stage_unlock(__VA_ARGS__)

bool has_order(unsigned int order);
void need_order(struct kunit *test, unsigned int order);
void *make_entry(enum dax_kind kind, unsigned int order);
void *grab(struct kunit *test, pgoff_t index, unsigned int order, bool write);
void unlock(struct kunit *test, pgoff_t index, void *entry);
void replace(struct kunit *test, pgoff_t index, void *old, void *new);
void delete(struct kunit *test, pgoff_t index, void *entry);
void set_mark(struct kunit *test, pgoff_t index, xa_mark_t mark);
bool marked(struct kunit *test, pgoff_t index, xa_mark_t mark);
void *peek(struct kunit *test, pgoff_t index);
unsigned long nrpages(struct kunit *test);
void *put_locked(struct kunit *test, pgoff_t index, enum dax_kind kind,
		 unsigned int order);
void *put(struct kunit *test, pgoff_t index, enum dax_kind kind,
	  unsigned int order);
void put_dirty(struct kunit *test, pgoff_t index, unsigned int order);
void expect_range(struct kunit *test, pgoff_t index, unsigned int order,
		  void *entry);
void expect_seen(struct kunit *test, struct actor *walker,
		 const pgoff_t *starts, unsigned int nr);

/* --- promotion ---------------------------------------------------------- */

/* The first block of what is mapped at the start of a range. */
#define BLOCKS		BASE

#define PICTURE_MARGIN	4
#define PICTURE_PAGES	(512 + 2 * PICTURE_MARGIN)

/* What a range and its neighbours look like. */
struct picture {
	pgoff_t start;
	unsigned int order;
	pgoff_t first;
	unsigned int nr;
	unsigned long nrpages;
	void *word[PICTURE_PAGES];
	bool dirty[PICTURE_PAGES];
	bool towrite[PICTURE_PAGES];
};

#define delete_all(...)		dax_stage_delete_all(__VA_ARGS__)
#define expect_counts(...)	dax_stage_expect_counts(__VA_ARGS__)
#define expect_picture(...)	dax_stage_expect_picture(__VA_ARGS__)
#define finish(...)		dax_stage_finish(__VA_ARGS__)
#define lay(...)		dax_stage_lay(__VA_ARGS__)
#define lay_page(...)		dax_stage_lay_page(__VA_ARGS__)
#define need_promotable(...)	dax_stage_need_promotable(__VA_ARGS__)
#define nr_promoted(...)		dax_stage_nr_promoted(__VA_ARGS__)
#define picture_undone(...)	dax_stage_picture_undone(__VA_ARGS__)
#define promote(...)		dax_stage_promote(__VA_ARGS__)
#define promote_errno(...)	dax_stage_promote_errno(__VA_ARGS__)
#define take_picture(...)	dax_stage_take_picture(__VA_ARGS__)
#define undo(...)		dax_stage_undo(__VA_ARGS__)
#define use_promotable(...)	dax_stage_use_promotable(__VA_ARGS__)

void need_promotable(struct kunit *test, unsigned int order);
unsigned int use_promotable(struct kunit *test);
void lay_page(struct kunit *test, pgoff_t index, unsigned long pfn, char what);
void lay(struct kunit *test, pgoff_t start, unsigned int order,
	 const char *cycle);
void delete_all(struct kunit *test);
void take_picture(struct kunit *test, struct picture *p, pgoff_t start,
		  unsigned int order);
void expect_picture(struct kunit *test, const struct picture *p);
void picture_undone(struct picture *p, bool towrite, bool with_zero);
struct dax_promotion *promote(struct kunit *test, pgoff_t index,
			      unsigned int order, bool write);
int promote_errno(struct kunit *test, pgoff_t index, unsigned int order);
void undo(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	  bool with_zero);
void finish(struct kunit *test, pgoff_t start, struct dax_promotion *promotion,
	    void *new);
unsigned int nr_promoted(struct kunit *test, enum dax_promote what);
void expect_counts(struct kunit *test);

/* --- jobs --------------------------------------------------------------- */

void dax_stage_job_hold(struct actor *actor);
void dax_stage_job_promote(struct actor *actor);
void dax_stage_job_walk_dirty(struct actor *actor);
void dax_stage_job_walk_towrite(struct actor *actor);

#define job_hold		dax_stage_job_hold
#define job_promote		dax_stage_job_promote
#define job_walk_dirty		dax_stage_job_walk_dirty
#define job_walk_towrite	dax_stage_job_walk_towrite

#endif /* _FS_TESTS_DAX_STAGE_H */
