// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's: how often the guest executed each instruction of its
 * kernel, from where its program begins to be measured to where that ends.
 *
 *	-plugin qemu-count.so,begin=PC,end=PC,text=PC,etext=PC,out=FILE
 *
 * begin and end are functions of the guest's program, at addresses that no other
 * program there has; text to etext is the kernel. FILE gets a line for each
 * measured stretch, "stretch USER ELSEWHERE", instructions of user space and
 * of the kernel outside of that range, and below it "PC COUNT" for each
 * instruction within.
 *
 * Whatever else runs meanwhile, an interrupt for one, is counted too. An
 * instruction that faults counts twice, since it begins twice.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The part of qemu-plugin.h that is needed here: Debian has no package with that
 * file. vm/profile defines QEMU_PLUGIN_API as the version of its QEMU; between 1
 * and 2 none of this has changed.
 */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
unsigned long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(unsigned long id,
					   void (*cb)(unsigned long id,
						      struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int vcpu, void *data),
					    int flags, void *data);

#define CB_NO_REGS	0
#define EXPORT		__attribute__((visibility("default")))
#define KERNEL_HALF	0xffff800000000000UL

EXPORT int qemu_plugin_version = QEMU_PLUGIN_API;

static struct {
	const char *name;
	unsigned long value;
} args[] = { { "begin=" }, { "end=" }, { "text=" }, { "etext=" } };

enum { BEGIN, END, TEXT, ETEXT, NR_ARGS };

static FILE *out;
static bool on;
static unsigned int *counts;		/* by address, from text on */
static unsigned int user, elsewhere;

static void count(unsigned int vcpu, void *counter)
{
	if (on)
		++*(unsigned int *)counter;
}

static void begin(unsigned int vcpu, void *unused)
{
	on = true;
}

static void end(unsigned int vcpu, void *unused)
{
	unsigned long nr = args[ETEXT].value - args[TEXT].value;

	on = false;
	fprintf(out, "stretch %u %u\n", user, elsewhere);
	for (unsigned long i = 0; i < nr; i++) {
		if (!counts[i])
			continue;
		fprintf(out, "%lx %u\n", args[TEXT].value + i, counts[i]);
		counts[i] = 0;
	}
	user = 0;
	elsewhere = 0;
	fflush(out);
}

static unsigned int *counter_of(unsigned long pc)
{
	if (pc < KERNEL_HALF)
		return &user;
	if (pc < args[TEXT].value || pc >= args[ETEXT].value)
		return &elsewhere;
	return &counts[pc - args[TEXT].value];
}

static void translated(unsigned long id, struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned long pc = qemu_plugin_insn_vaddr(insn);
		void (*cb)(unsigned int vcpu, void *data) = count;

		if (pc == args[BEGIN].value)
			cb = begin;
		else if (pc == args[END].value)
			cb = end;
		qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, CB_NO_REGS,
						       counter_of(pc));
	}
}

static int take_arg(const char *arg)
{
	if (!strncmp(arg, "out=", 4)) {
		out = fopen(arg + 4, "w");
		if (!out)
			perror(arg + 4);
		return out ? 0 : -1;
	}
	for (int i = 0; i < NR_ARGS; i++) {
		size_t len = strlen(args[i].name);

		if (strncmp(arg, args[i].name, len))
			continue;
		args[i].value = strtoul(arg + len, NULL, 16);
		return 0;
	}
	fprintf(stderr, "qemu-count: unknown argument %s\n", arg);
	return -1;
}

EXPORT int qemu_plugin_install(unsigned long id, const void *info, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (take_arg(argv[i]))
			return -1;
	if (!out || args[ETEXT].value <= args[TEXT].value) {
		fprintf(stderr, "qemu-count: out=, text= and etext= are needed\n");
		return -1;
	}
	counts = calloc(args[ETEXT].value - args[TEXT].value, sizeof(*counts));
	if (!counts) {
		fprintf(stderr, "qemu-count: no memory\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
