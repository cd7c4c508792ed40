/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of the kernel's interfaces, those that do here what they do there: tasks,
 * locks, wait queues and completions on pthreads, an allocator that fails on
 * demand, and warnings that fail the test.  The bodies are in kernel.c.
 *
 * Three things are stricter than in the kernel.  A node that leaves an XArray
 * is freed at once, so a cursor that was kept over an unlock is a use after
 * free that the sanitizer sees.  A task that sleeps, allocates memory that it
 * may wait for, or unmaps pages with a spinlock held is stopped.  So is a task
 * that gets into a queue without a spinlock.
 */
#ifndef _DAX_SHIM_CUSTOM_H
#define _DAX_SHIM_CUSTOM_H

#include <pthread.h>

/* For ThreadSanitizer: an access that is marked as a race is none. */
#undef READ_ONCE
#undef WRITE_ONCE
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, val)	__atomic_store_n(&(x), (val), __ATOMIC_RELAXED)

/* The kernel's tools/include leaves these out. */
#define ATOMIC_INIT(i)		{ (i) }
#define atomic_read(v)		__atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define atomic_inc(v)		\
	((void)__atomic_fetch_add(&(v)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(v)		\
	((void)__atomic_fetch_sub(&(v)->counter, 1, __ATOMIC_RELAXED))

/* --- warnings ----------------------------------------------------------- */

void shim_warn(const char *what, const char *file, int line);
void shim_bug(const char *what, const char *file, int line)
	__attribute__((noreturn));

/* How often something was warned of.  A test that expects it resets it. */
extern unsigned int shim_nr_warnings;
extern char shim_last_warning[];

/* tools/include has assert() behind them. */
#undef BUG_ON
#undef BUG

/* Each time, not once: many tests run in one process. */
#define WARN_ON_ONCE(cond) ({						\
	bool __warn = !!(cond);						\
	if (__warn)							\
		shim_warn(#cond, __FILE__, __LINE__);			\
	__warn;								\
})
#define WARN_ON(cond)		WARN_ON_ONCE(cond)
#define BUG_ON(cond)							\
do {									\
	if (cond)							\
		shim_bug(#cond, __FILE__, __LINE__);			\
} while (0)
#define BUG()			shim_bug("BUG()", __FILE__, __LINE__)

#define pr_info(...)		fprintf(stderr, __VA_ARGS__)
#define pr_cont(...)		fprintf(stderr, __VA_ARGS__)

/* --- tasks -------------------------------------------------------------- */

#define TASK_RUNNING		0
#define TASK_INTERRUPTIBLE	1
#define TASK_UNINTERRUPTIBLE	2
#define TASK_NORMAL		(TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)

struct task_struct {
	char comm[16];
	unsigned int __state;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int usage;

	int (*fn)(void *data);
	void *data;
	bool started;
	unsigned int nr_spinlocks;

	/* For the report of a hang: the entry that it last slept on. */
	void *entry;
	unsigned long index;
	struct list_head tasks;
};

struct task_struct *shim_current(void);
#define current			shim_current()

struct task_struct *kthread_create(int (*fn)(void *data), void *data,
				   const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int wake_up_process(struct task_struct *task);
void get_task_struct(struct task_struct *task);
void put_task_struct(struct task_struct *task);

void schedule(void);

/* A task that was woken calls it, if set, before it does anything else. */
extern void (*shim_resume_hook)(void);

long schedule_timeout(long timeout);
void cond_resched(void);
void usleep_range(unsigned long low, unsigned long high);

/* For the report of a hang: the entry that each task sleeps on. */
void shim_sleeps_on(unsigned long index, void *entry);
void shim_show_tasks(void);

#define HZ			1000
#define jiffies			shim_jiffies()
#define time_before(a, b)	((long)((a) - (b)) < 0)

unsigned long shim_jiffies(void);

/* --- spinlocks ---------------------------------------------------------- */

typedef struct {
	pthread_mutex_t mutex;
	struct task_struct *owner;	/* also for the sanitizer to look at */
} spinlock_t;

void spin_lock_init(spinlock_t *lock);
void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
int spin_trylock(spinlock_t *lock);

#define spin_lock_irq(lock)			spin_lock(lock)
#define spin_unlock_irq(lock)			spin_unlock(lock)
#define spin_lock_bh(lock)			spin_lock(lock)
#define spin_unlock_bh(lock)			spin_unlock(lock)
#define spin_lock_irqsave(lock, flags)		\
	do { (flags) = 0; spin_lock(lock); } while (0)
#define spin_unlock_irqrestore(lock, flags)	\
	do { (void)(flags); spin_unlock(lock); } while (0)

/* --- wait queues -------------------------------------------------------- */

typedef struct wait_queue_head {
	spinlock_t lock;
	struct list_head head;
	unsigned int nr;
} wait_queue_head_t;

typedef struct wait_queue_entry {
	bool exclusive;
	struct task_struct *task;
	struct wait_queue_head *wq;
	int (*func)(struct wait_queue_entry *wait, unsigned int mode, int sync,
		    void *key);
	struct list_head entry;
} wait_queue_entry_t;

void init_waitqueue_head(wait_queue_head_t *wq);
bool waitqueue_active(wait_queue_head_t *wq);
void init_wait(wait_queue_entry_t *wait);
void prepare_to_wait(wait_queue_head_t *wq, wait_queue_entry_t *wait,
		     int state);
bool prepare_to_wait_exclusive(wait_queue_head_t *wq, wait_queue_entry_t *wait,
			       int state);
void finish_wait(wait_queue_head_t *wq, wait_queue_entry_t *wait);
int autoremove_wake_function(wait_queue_entry_t *wait, unsigned int mode,
			     int sync, void *key);
int __wake_up(wait_queue_head_t *wq, unsigned int mode, int nr_exclusive,
	      void *key);

/* --- completions -------------------------------------------------------- */

struct completion {
	wait_queue_head_t wait;
	unsigned int done;
};

void init_completion(struct completion *x);
void complete_all(struct completion *x);
bool completion_done(struct completion *x);
int wait_for_completion_interruptible(struct completion *x);
unsigned long wait_for_completion_timeout(struct completion *x,
					  unsigned long timeout);

/* --- memory ------------------------------------------------------------- */

struct rcu_head {
	void (*func)(struct rcu_head *head);
};

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));

/*
 * Called, if set, before each allocation; true lets it fail.
 * It may look at the tree if @gfp lets the caller sleep: then nothing is
 * locked.
 */
extern bool (*shim_alloc_hook)(gfp_t gfp);

/* The tests' own memory does not fail. */
#define kvzalloc(size, gfp)	calloc(1, size)
#define kvfree(p)		free(p)

/* Tree nodes that exist. */
extern unsigned long shim_nr_nodes;

/* --- page tables -------------------------------------------------------- */

struct address_space;

/* Called, if set, in place of the removal of pages from page tables. */
extern void (*shim_unmap_hook)(struct address_space *mapping,
			       unsigned long start, unsigned long nr,
			       bool even_cows);

void unmap_mapping_pages(struct address_space *mapping, unsigned long start,
			 unsigned long nr, bool even_cows);

/* --- start-up ----------------------------------------------------------- */

#define fs_initcall(fn)							\
static void __attribute__((constructor)) fn##_call(void)		\
{									\
	fn();								\
}

#endif /* _DAX_SHIM_CUSTOM_H */
