// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows a host each flush and each fence of persistent memory by the kernel of its
 * guest. A program on the host simulates power cuts.
 *
 * EVENTS	A kprobe is on each function that flushes or fences. Its handler writes
 *		an event to a page of memory, and writes a byte to a port: the
 *		doorbell. The host maps the guest's memory, so it reads the event and
 *		the bytes that are flushed where they lie. Until the host has answered,
 *		the handler spins. So the CPU does nothing in the meantime, and the
 *		host sees the memory as it is at the flush.
 *
 * THE PAGE	When the module is loaded, it writes the page's address to the port, in
 *		8 bytes. The host answers an event with its number.
 *
 * BEFORE	memcpy_flushcache() is seen at its start: the event has the address of
 * AND AFTER	the source, where the host reads what will be durable. The source of
 *		copy_user_flushcache() is memory of a program, so it is seen at its
 *		end, when the bytes are in their place.
 *
 * CPUS		One CPU at a time tells an event, and interrupts are off. An event on a
 *		second CPU waits.
 *
 * No event gets lost in silence: a probe that was hit and did not run is counted, and
 * each event has that count.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/processor.h>
#include <linux/ptrace.h>

#define DOORBELL	0xe9	/* of QEMU's isa-debugcon */

/* The program on the host uses the same numbers. */
enum kind {
	FLUSH = 1,	/* arch_wb_cache_pmem(): the lines of a range */
	COPY,		/* memcpy_flushcache(), at its start */
	COPIED,		/* copy_user_flushcache(), at its end */
	FENCE,		/* nvdimm_flush() */
};

/* Physical addresses; 0 if an address is not in the direct map. */
static struct shared {
	u64 asked;	/* the number of the event, from 1 on */
	u64 answered;	/* the number of the last event that the host has seen */
	u64 kind;
	u64 to;
	u64 len;
	u64 from;
	u64 missed;
} *shared;

/* The arguments of copy_user_flushcache(), which are known at its start. */
struct copy {
	void *to;
	unsigned long len;
};

static atomic_t busy;
static u64 missed(void);

static u64 phys(void *addr)
{
	return virt_addr_valid(addr) ? virt_to_phys(addr) : 0;
}

static void tell(enum kind kind, void *to, unsigned long len, void *from)
{
	u64 number;
	unsigned long flags;

	local_irq_save(flags);
	while (atomic_cmpxchg_acquire(&busy, 0, 1))
		cpu_relax();
	number = shared->asked + 1;
	shared->kind = kind;
	shared->to = phys(to);
	shared->len = len;
	shared->from = phys(from);
	shared->missed = missed();
	/* The host reads the event once it sees the number. */
	smp_store_release(&shared->asked, number);
	outb(kind, DOORBELL);
	/* The CPU goes on with the memory as the host has left it. */
	while (smp_load_acquire(&shared->answered) != number)
		cpu_relax();
	atomic_set_release(&busy, 0);
	local_irq_restore(flags);
}

/* Arguments of a function at its start. */
static void *pointer(struct pt_regs *regs, unsigned int n)
{
	return (void *)regs_get_kernel_argument(regs, n);
}

static int on_flush(struct kprobe *probe, struct pt_regs *regs)
{
	tell(FLUSH, pointer(regs, 0), regs_get_kernel_argument(regs, 1), NULL);
	return 0;
}

static int on_copy(struct kprobe *probe, struct pt_regs *regs)
{
	tell(COPY, pointer(regs, 0), regs_get_kernel_argument(regs, 2), pointer(regs, 1));
	return 0;
}

static int on_fence(struct kprobe *probe, struct pt_regs *regs)
{
	tell(FENCE, NULL, 0, NULL);
	return 0;
}

static int before_copy_user(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct copy *copy = (struct copy *)instance->data;

	copy->to = pointer(regs, 0);
	copy->len = regs_get_kernel_argument(regs, 2);
	return 0;
}

static int after_copy_user(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct copy *copy = (struct copy *)instance->data;

	/* It returns how many bytes it has not copied. */
	tell(COPIED, copy->to, copy->len - regs_return_value(regs), NULL);
	return 0;
}

static struct kprobe probes[] = {
	{ .symbol_name = "arch_wb_cache_pmem",	.pre_handler = on_flush },
	{ .symbol_name = "__memcpy_flushcache",	.pre_handler = on_copy },
	{ .symbol_name = "nvdimm_flush",	.pre_handler = on_fence },
};

static struct kretprobe copy_user = {
	.kp.symbol_name = "copy_user_flushcache",
	.entry_handler = before_copy_user,
	.handler = after_copy_user,
	.data_size = sizeof(struct copy),
};

static u64 missed(void)
{
	u64 sum = copy_user.nmissed + copy_user.kp.nmissed;

	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++)
		sum += probes[i].nmissed;
	return sum;
}

static void tell_address(u64 address)
{
	for (unsigned int i = 0; i < sizeof(address); i++)
		outb(address >> (8 * i), DOORBELL);
}

/* The module stays until the guest ends, so it has no exit function. */
static int __init powercut_probe_init(void)
{
	int err;

	shared = (struct shared *)get_zeroed_page(GFP_KERNEL);
	if (!shared)
		return -ENOMEM;
	tell_address(virt_to_phys(shared));
	err = register_kretprobe(&copy_user);
	if (err)
		goto free;
	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
		err = register_kprobe(&probes[i]);
		if (err) {
			pr_err("no probe at %s: %d\n", probes[i].symbol_name, err);
			goto unregister;
		}
	}
	return 0;

unregister:
	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++)
		if (probes[i].addr)
			unregister_kprobe(&probes[i]);
	unregister_kretprobe(&copy_user);
free:
	free_page((unsigned long)shared);
	return err;
}
module_init(powercut_probe_init);

MODULE_DESCRIPTION("Shows a host each flush of persistent memory");
MODULE_LICENSE("GPL");
