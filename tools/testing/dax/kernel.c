// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bodies of include/custom.h: as much of a kernel as fs/dax-entry.c needs.
 */
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/slab.h>

#include "dax-internal.h"

/* --- trace events ------------------------------------------------------- */

void (*dax_grab_entry_probe)(void *data, struct address_space *mapping,
			     pgoff_t pgoff, unsigned int order, bool write,
			     void *found, enum dax_grab_action action);
void (*dax_promote_entry_probe)(void *data, struct address_space *mapping,
				pgoff_t pgoff, unsigned int order,
				const struct dax_promotion *promotion,
				enum dax_promote action);
void (*dax_delete_entry_probe)(void *data, struct address_space *mapping,
			       pgoff_t pgoff, void *entry, int how);
void (*dax_wait_entry_probe)(void *data, struct address_space *mapping,
			     pgoff_t pgoff, void *entry);
void *dax_grab_entry_data, *dax_promote_entry_data;
void *dax_delete_entry_data, *dax_wait_entry_data;
unsigned long nr_dax_grab_entry, nr_dax_promote_entry;
unsigned long nr_dax_delete_entry, nr_dax_wait_entry;

/* --- sanitizers --------------------------------------------------------- */

/* lib/xarray.c looks at a flag beside the root's marks without the lock. */
const char *__tsan_default_suppressions(void)
{
	return "race_top:xas_nomem\nrace_top:xas_split_alloc\n";
}

/* --- warnings ----------------------------------------------------------- */

unsigned int shim_nr_warnings;
char shim_last_warning[200];

void shim_warn(const char *what, const char *file, int line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	snprintf(shim_last_warning, sizeof(shim_last_warning),
		 "%s at %s:%d in %s", what, file, line, current->comm);
	pthread_mutex_unlock(&lock);
	__atomic_fetch_add(&shim_nr_warnings, 1, __ATOMIC_RELEASE);
}

void shim_bug(const char *what, const char *file, int line)
{
	fflush(stdout);
	fprintf(stderr, "# BUG: %s at %s:%d in %s\n", what, file, line,
		current->comm);
	abort();
}

/* --- tasks -------------------------------------------------------------- */

static pthread_mutex_t tasks_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(all_tasks);

static __thread struct task_struct *me;

static struct task_struct *new_task(void)
{
	struct task_struct *task = calloc(1, sizeof(*task));

	assert(task);
	pthread_mutex_init(&task->lock, NULL);
	pthread_cond_init(&task->cond, NULL);
	task->usage = 1;
	pthread_mutex_lock(&tasks_lock);
	list_add_tail(&task->tasks, &all_tasks);
	pthread_mutex_unlock(&tasks_lock);
	return task;
}

struct task_struct *shim_current(void)
{
	static struct task_struct main_task = {
		.comm = "main",
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
		.usage = 1,
	};

	return me ?: &main_task;
}

void get_task_struct(struct task_struct *task)
{
	__atomic_fetch_add(&task->usage, 1, __ATOMIC_RELAXED);
}

void put_task_struct(struct task_struct *task)
{
	if (__atomic_sub_fetch(&task->usage, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_lock(&tasks_lock);
	list_del(&task->tasks);
	pthread_mutex_unlock(&tasks_lock);
	free(task);
}

static void *task_thread(void *data)
{
	me = data;
	me->fn(me->data);
	put_task_struct(me);
	return NULL;
}

struct task_struct *kthread_create(int (*fn)(void *data), void *data,
				   const char *fmt, ...)
{
	struct task_struct *task = new_task();
	va_list args;

	va_start(args, fmt);
	vsnprintf(task->comm, sizeof(task->comm), fmt, args);
	va_end(args);
	task->fn = fn;
	task->data = data;
	return task;
}

static int try_to_wake_up(struct task_struct *task, unsigned int mode)
{
	int woken = 0;

	pthread_mutex_lock(&task->lock);
	if (READ_ONCE(task->__state) & mode) {
		WRITE_ONCE(task->__state, TASK_RUNNING);
		pthread_cond_signal(&task->cond);
		woken = 1;
	}
	pthread_mutex_unlock(&task->lock);
	return woken;
}

/* The first call for a new task sets it off. */
int wake_up_process(struct task_struct *task)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (task->started)
		return try_to_wake_up(task, TASK_NORMAL);
	assert(task->fn);
	task->started = true;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, task_thread, task);
	assert(!err);
	pthread_attr_destroy(&attr);
	return 1;
}

static void might_sleep(void)
{
	assert(!current->nr_spinlocks);
}

long schedule_timeout(long timeout)
{
	struct task_struct *task = current;
	struct timespec end;
	int err = 0;

	might_sleep();
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += timeout / HZ;
	end.tv_nsec += timeout % HZ * (1000000000 / HZ);
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	pthread_mutex_lock(&task->lock);
	while (READ_ONCE(task->__state) != TASK_RUNNING && !err)
		err = pthread_cond_timedwait(&task->cond, &task->lock, &end);
	WRITE_ONCE(task->__state, TASK_RUNNING);
	pthread_mutex_unlock(&task->lock);
	return err ? 0 : timeout;
}

void (*shim_resume_hook)(void);

void schedule(void)
{
	struct task_struct *task = current;
	void (*resume)(void);

	might_sleep();
	pthread_mutex_lock(&task->lock);
	while (READ_ONCE(task->__state) != TASK_RUNNING)
		pthread_cond_wait(&task->cond, &task->lock);
	pthread_mutex_unlock(&task->lock);
	resume = READ_ONCE(shim_resume_hook);
	if (resume)
		resume();
}

void cond_resched(void)
{
	might_sleep();
	sched_yield();
}

void usleep_range(unsigned long low, unsigned long high)
{
	might_sleep();
	usleep(low);
}

unsigned long shim_jiffies(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * HZ + now.tv_nsec / (1000000000 / HZ);
}

void shim_sleeps_on(unsigned long index, void *entry)
{
	current->index = index;
	current->entry = entry;
}

/* Called when nothing moves any more, so without the lock. */
void shim_show_tasks(void)
{
	static const char * const kinds[] = { "mapped", "zero", "empty", "?" };
	struct task_struct *task;

	list_for_each_entry(task, &all_tasks, tasks) {
		unsigned int state = READ_ONCE(task->__state);

		if (state & TASK_UNINTERRUPTIBLE && task->entry)
			printf("# %s sleeps on index %#lx: %s entry of order %u at %#lx\n",
			       task->comm, task->index,
			       kinds[dax_entry_kind(task->entry)],
			       dax_entry_order(task->entry),
			       dax_entry_start(task->entry, task->index));
		else
			printf("# %s %s\n", task->comm,
			       state == TASK_RUNNING ? "runs" :
			       state == TASK_INTERRUPTIBLE ?
			       "waits to be told to go on" : "waits");
	}
}

/* --- spinlocks ---------------------------------------------------------- */

void spin_lock_init(spinlock_t *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
	lock->owner = NULL;
}

void spin_lock(spinlock_t *lock)
{
	pthread_mutex_lock(&lock->mutex);
	lock->owner = current;
	current->nr_spinlocks++;
}

int spin_trylock(spinlock_t *lock)
{
	if (pthread_mutex_trylock(&lock->mutex))
		return 0;
	lock->owner = current;
	current->nr_spinlocks++;
	return 1;
}

void spin_unlock(spinlock_t *lock)
{
	assert(lock->owner == current);
	lock->owner = NULL;
	current->nr_spinlocks--;
	pthread_mutex_unlock(&lock->mutex);
}

/* --- wait queues -------------------------------------------------------- */

void init_waitqueue_head(wait_queue_head_t *wq)
{
	spin_lock_init(&wq->lock);
	INIT_LIST_HEAD(&wq->head);
	wq->nr = 0;
}

/* The caller has the barrier, or a reason. */
bool waitqueue_active(wait_queue_head_t *wq)
{
	return READ_ONCE(wq->nr);
}

void init_wait(wait_queue_entry_t *wait)
{
	wait->exclusive = false;
	wait->task = current;
	wait->wq = NULL;
	wait->func = autoremove_wake_function;
	INIT_LIST_HEAD(&wait->entry);
}

/* An exclusive waiter queues up behind all, any other before all. */
static void queue_wait(wait_queue_head_t *wq, wait_queue_entry_t *wait,
		       bool exclusive, int state)
{
	spin_lock(&wq->lock);
	wait->exclusive = exclusive;
	if (list_empty(&wait->entry)) {
		wait->wq = wq;
		WRITE_ONCE(wq->nr, wq->nr + 1);
		if (exclusive)
			list_add_tail(&wait->entry, &wq->head);
		else
			list_add(&wait->entry, &wq->head);
	}
	WRITE_ONCE(current->__state, state);
	spin_unlock(&wq->lock);
}

static void unqueue_wait(wait_queue_entry_t *wait)
{
	if (list_empty(&wait->entry))
		return;
	list_del_init(&wait->entry);
	WRITE_ONCE(wait->wq->nr, wait->wq->nr - 1);
}

/*
 * A task goes to sleep for a reason, and queues up before it releases the lock
 * under which the reason was true.
 */
void prepare_to_wait(wait_queue_head_t *wq, wait_queue_entry_t *wait, int state)
{
	assert(current->nr_spinlocks);
	queue_wait(wq, wait, false, state);
}

bool prepare_to_wait_exclusive(wait_queue_head_t *wq, wait_queue_entry_t *wait,
			       int state)
{
	assert(current->nr_spinlocks);
	queue_wait(wq, wait, true, state);
	return true;
}

void finish_wait(wait_queue_head_t *wq, wait_queue_entry_t *wait)
{
	WRITE_ONCE(current->__state, TASK_RUNNING);
	spin_lock(&wq->lock);
	unqueue_wait(wait);
	spin_unlock(&wq->lock);
}

int autoremove_wake_function(wait_queue_entry_t *wait, unsigned int mode,
			     int sync, void *key)
{
	/* Once woken it may return from the frame that @wait stands in. */
	struct task_struct *task = wait->task;
	int woken = try_to_wake_up(task, mode);

	if (woken)
		unqueue_wait(wait);
	return woken;
}

static int wake_up_locked(wait_queue_head_t *wq, unsigned int mode,
			  int nr_exclusive, void *key)
{
	wait_queue_entry_t *wait, *next;
	int woken = 0;

	list_for_each_entry_safe(wait, next, &wq->head, entry) {
		bool exclusive = wait->exclusive;

		if (!wait->func(wait, mode, 0, key))
			continue;
		woken++;
		if (exclusive && !--nr_exclusive)
			break;
	}
	return woken;
}

int __wake_up(wait_queue_head_t *wq, unsigned int mode, int nr_exclusive,
	      void *key)
{
	int woken;

	spin_lock(&wq->lock);
	woken = wake_up_locked(wq, mode, nr_exclusive, key);
	spin_unlock(&wq->lock);
	return woken;
}

/* --- completions -------------------------------------------------------- */

void init_completion(struct completion *x)
{
	init_waitqueue_head(&x->wait);
	x->done = 0;
}

void complete_all(struct completion *x)
{
	spin_lock(&x->wait.lock);
	x->done = UINT_MAX / 2;
	wake_up_locked(&x->wait, TASK_NORMAL, 0, NULL);
	spin_unlock(&x->wait.lock);
}

bool completion_done(struct completion *x)
{
	bool done;

	spin_lock(&x->wait.lock);
	done = x->done;
	spin_unlock(&x->wait.lock);
	return done;
}

static long wait_for_completion_state(struct completion *x, int state,
				      long timeout)
{
	wait_queue_entry_t wait;

	init_wait(&wait);
	for (;;) {
		queue_wait(&x->wait, &wait, false, state);
		if (completion_done(x) || !timeout)
			break;
		timeout = schedule_timeout(timeout);
	}
	finish_wait(&x->wait, &wait);
	return completion_done(x) ? max(timeout, 1L) : 0;
}

/* Threads of the kernel get no signals, and neither do ours. */
int wait_for_completion_interruptible(struct completion *x)
{
	while (!wait_for_completion_state(x, TASK_INTERRUPTIBLE, HZ))
		;
	return 0;
}

unsigned long wait_for_completion_timeout(struct completion *x,
					  unsigned long timeout)
{
	return wait_for_completion_state(x, TASK_UNINTERRUPTIBLE, timeout);
}

/* --- memory ------------------------------------------------------------- */

struct kmem_cache {
	size_t size;
};

static struct kmem_cache node_cache = { sizeof(struct xa_node) };
struct kmem_cache *radix_tree_node_cachep = &node_cache;
bool (*shim_alloc_hook)(gfp_t gfp);
unsigned long shim_nr_nodes;

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru,
			   int gfp)
{
	struct xa_node *node;

	if (gfpflags_allow_blocking(gfp))
		might_sleep();
	if (shim_alloc_hook && shim_alloc_hook(gfp))
		return NULL;
	node = calloc(1, cache->size);
	assert(node);
	INIT_LIST_HEAD(&node->private_list);
	__atomic_fetch_add(&shim_nr_nodes, 1, __ATOMIC_RELAXED);
	return node;
}

void kmem_cache_free(struct kmem_cache *cache, void *node)
{
	__atomic_fetch_sub(&shim_nr_nodes, 1, __ATOMIC_RELAXED);
	free(node);
}

void radix_tree_node_rcu_free(struct rcu_head *head)
{
	kmem_cache_free(radix_tree_node_cachep,
			container_of(head, struct xa_node, rcu_head));
}

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	func(head);
}

void *kmalloc(size_t size, gfp_t gfp)
{
	void *p;

	if (gfpflags_allow_blocking(gfp))
		might_sleep();
	if (shim_alloc_hook && shim_alloc_hook(gfp))
		return NULL;
	p = gfp & __GFP_ZERO ? calloc(1, size) : malloc(size);
	assert(p);
	return p;
}

void kfree(void *p)
{
	free(p);
}

/* --- counters ----------------------------------------------------------- */

unsigned long nr_promote[NR_DAX_PROMOTE];

void dax_count_promote(enum dax_promote what)
{
	__atomic_fetch_add(&nr_promote[what], 1, __ATOMIC_RELAXED);
}

/* --- page tables -------------------------------------------------------- */

void (*shim_unmap_hook)(struct address_space *mapping, unsigned long start,
			unsigned long nr, bool even_cows);

void unmap_mapping_pages(struct address_space *mapping, unsigned long start,
			 unsigned long nr, bool even_cows)
{
	might_sleep();
	if (shim_unmap_hook)
		shim_unmap_hook(mapping, start, nr, even_cows);
}
