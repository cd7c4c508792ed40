// SPDX-License-Identifier: GPL-2.0-only
/*
 * The view of a process: the page sizes of its DAX mappings, and the reasons of its
 * 4 KiB pages.
 *
 * Page sizes are from the page table. The kernel does not keep the reason of a 4 KiB
 * page, so it is the reason for which a fault would map 4 KiB now. If there is none,
 * the page was mapped under other conditions, and can become a part of a huge one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "daxmap.h"

/* --- which mappings are DAX --------------------------------------------------------- */

static struct file **files;
static size_t nr_files;

static struct file *open_if_mapped(char *path, const struct vma *vma)
{
	struct file *f = file_open(path, vma->path);

	free(path);
	if (!f || (f->number == vma->number && f->ino == vma->ino))
		return f;
	file_close(f);
	return NULL;
}

/* The file behind a mapping, which may have another root, or no name any more. */
static struct file *open_mapped(pid_t pid, const struct vma *vma)
{
	struct file *f = open_if_mapped(format("/proc/%d/root%s", pid, vma->path), vma);

	if (!f)
		f = open_if_mapped(format("/proc/%d/map_files/%llx-%llx", pid,
					  (unsigned long long)vma->start,
					  (unsigned long long)vma->end), vma);
	/* overlayfs and the like show another number, and have no DAX */
	if (!f && major(vma->number))
		missing("files that have no name any more (root)");
	return f;
}

static struct file *file_of(pid_t pid, const struct vma *vma)
{
	struct device *device;
	enum layer layer;
	char *why = NULL;
	struct file *f;

	for (size_t i = 0; i < nr_files; i++)
		if (files[i]->number == vma->number && files[i]->ino == vma->ino)
			return files[i];
	device = major(vma->number) ? device_find(vma->number) : NULL;
	if (device && !device_is_dax(device, &layer, &why)) {
		free(why);
		return NULL;
	}
	f = open_mapped(pid, vma);
	if (!f)
		return NULL;
	files = grow(files, nr_files, sizeof(*files));
	files[nr_files++] = f;
	return f;
}

/* "START-END MODE OFFSET MAJOR:MINOR INODE PATH" */
static bool parse_header(const char *line, struct vma *vma)
{
	unsigned long long start, end, offset, ino;
	unsigned int major, minor;
	int path = 0;

	if (sscanf(line, "%llx-%llx %7s %llx %x:%x %llu %n", &start, &end, vma->mode, &offset,
		   &major, &minor, &ino, &path) < 7)
		return false;
	vma->start = start;
	vma->end = end;
	vma->offset = offset;
	vma->number = makedev(major, minor);
	vma->ino = ino;
	vma->path = format("%s", path ? line + path : "");
	return true;
}

static void add_vma(struct vma **vmas, size_t *nr, struct vma *vma, pid_t pid)
{
	if (vma->ino && vma->path[0] == '/')
		vma->file = file_of(pid, vma);
	if (vma->file && vma->file->dax) {
		*vmas = grow(*vmas, *nr, sizeof(*vma));
		(*vmas)[(*nr)++] = *vma;
	} else {
		free(vma->path);
	}
	memset(vma, 0, sizeof(*vma));
}

/* NULL and errno if the process cannot be looked at. */
struct vma *dax_vmas(pid_t pid, size_t *nr)
{
	char *text = fact_file("/proc/%d/smaps", pid);
	char *line, *save = NULL;
	struct vma *vmas = zalloc(sizeof(*vmas));
	struct vma vma = {};

	*nr = 0;
	if (!text) {
		int err = errno;

		free(vmas);
		errno = err;
		return NULL;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct vma next = {};
		unsigned long long kib;

		if (parse_header(line, &next)) {
			if (vma.path)
				add_vma(&vmas, nr, &vma, pid);
			vma = next;
		} else if (sscanf(line, "Anonymous: %llu kB", &kib) == 1) {
			vma.anonymous = kib * 1024;
		} else if (!strncmp(line, "VmFlags:", 8)) {
			vma.nohuge = strstr(line, " nh");
		}
	}
	if (vma.path)
		add_vma(&vmas, nr, &vma, pid);
	free(text);
	return vmas;
}

/* --- why it is 4 KiB ------------------------------------------------------------------ */

static struct outcome because(enum reason reason, enum layer layer)
{
	return (struct outcome) { GETS_4K, reason, layer };
}

/* The 2 MiB around an address of the mapping. */
static struct outcome why_small(const struct vma *vma, uint64_t address)
{
	uint64_t start = address & ~(SZ_2M - 1);
	struct range range;
	struct outcome o;

	if ((vma->start - vma->offset) & (SZ_2M - 1))
		return because(REASON_COLOUR, LAYER_MAPPING);
	if (start < vma->start || start + SZ_2M > vma->end || vma->nohuge)
		return because(REASON_VMA, LAYER_MAPPING);
	if (vma->mode[3] == 'p' && vma->anonymous)
		return because(REASON_PRIVATE_WRITE, LAYER_MAPPING);
	range = predict_range(vma->file, start - vma->start + vma->offset);
	o = vma->mode[1] == 'w' && vma->mode[3] == 's' ? range.write : range.read;
	switch (o.gets) {
	case GETS_4K:
	case GETS_UNKNOWN:
		return o;
	case GETS_ANY:
		return because(REASON_EXTENT_SHORT, LAYER_EXTENT);
	default:
		return kernel()->ours ? because(REASON_PROMOTABLE, LAYER_KERNEL) :
					because(REASON_SMALL_ENTRIES, LAYER_KERNEL);
	}
}

/* --- sums ------------------------------------------------------------------------------ */

struct task_sums {
	uint64_t by[NR_MAPPED];
	uint64_t reason[NR_REASONS][NR_LAYERS];
	uint64_t len;
};

static void add_sums(struct task_sums *to, const struct task_sums *from)
{
	for (unsigned int i = 0; i < NR_MAPPED; i++)
		to->by[i] += from->by[i];
	for (unsigned int i = 0; i < NR_REASONS; i++)
		for (unsigned int k = 0; k < NR_LAYERS; k++)
			to->reason[i][k] += from->reason[i][k];
	to->len += from->len;
}

static uint64_t sum_mapped(const struct task_sums *s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < NR_MAPPED; i++)
		sum += s->by[i];
	return sum;
}

static uint64_t sum_huge(const struct task_sums *s)
{
	return s->by[MAPPED_2M] + s->by[MAPPED_2M_ZERO];
}

static bool is_small(enum mapped mapped)
{
	return mapped == MAPPED_4K || mapped == MAPPED_4K_ZERO;
}

/* --- tables -------------------------------------------------------------------------------- */

enum { M_ADDRESS, M_LENGTH, M_MODE, M_1G, M_2M, M_ZERO, M_4K, M_NONE, M_FILE, M_ANY };

static const struct show_column mapping_columns[] = {
	[M_ADDRESS] = { "ADDRESS", .right = true },
	[M_LENGTH] = { "LENGTH", .right = true, .number = true },
	[M_MODE] = { "MODE" },
	[M_1G] = { "1G", .right = true, .number = true },
	[M_2M] = { "2M", .right = true, .number = true },
	[M_ZERO] = { "ZERO", .right = true, .number = true },
	[M_4K] = { "4K", .right = true, .number = true },
	[M_NONE] = { "NONE", .right = true, .number = true },
	[M_FILE] = { "FILE" },
	[M_ANY] = { "ANY", .right = true, .number = true },
};

static void show_mapping(struct show_table *t, const struct vma *vma, const struct task_sums *s)
{
	show_row(t);
	show_text(t, M_ADDRESS, "%#llx", (unsigned long long)vma->start);
	show_size(t, M_LENGTH, s->len);
	show_text(t, M_MODE, "%s", vma->mode);
	show_size(t, M_1G, 0);
	show_size(t, M_2M, s->by[MAPPED_2M]);
	show_size(t, M_ZERO, s->by[MAPPED_2M_ZERO] + s->by[MAPPED_4K_ZERO]);
	show_size(t, M_4K, s->by[MAPPED_4K]);
	show_size(t, M_NONE, s->len - sum_mapped(s));
	show_text(t, M_FILE, "%s", vma->path);
	if (!pages_have_sizes())
		show_size(t, M_ANY, s->by[MAPPED_SOME]);
}

enum { P_ADDRESS, P_LENGTH, P_OFFSET, P_MAPPED, P_REASON, P_LAYER };

static const struct show_column range_columns[] = {
	[P_ADDRESS] = { "ADDRESS", .right = true },
	[P_LENGTH] = { "LENGTH", .right = true, .number = true },
	[P_OFFSET] = { "OFFSET", .right = true, .number = true },
	[P_MAPPED] = { "MAPPED" },
	[P_REASON] = { "REASON" },
	[P_LAYER] = { "LAYER" },
};

static const char * const mapped_names[NR_MAPPED] = {
	[MAPPED_4K] = "4K", [MAPPED_4K_ZERO] = "4K zero", [MAPPED_2M] = "2M",
	[MAPPED_2M_ZERO] = "2M zero", [MAPPED_SOME] = "any",
};

static void show_mapped_range(struct show_table *t, const struct vma *vma, uint64_t from,
			      uint64_t to, enum mapped mapped, const struct outcome *o)
{
	show_row(t);
	show_text(t, P_ADDRESS, "%#llx", (unsigned long long)from);
	show_size(t, P_LENGTH, to - from);
	show_size(t, P_OFFSET, from - vma->start + vma->offset);
	show_text(t, P_MAPPED, "%s", mapped_names[mapped]);
	show_text(t, P_REASON, "%s", o->reason ? reason_names[o->reason] : "-");
	show_text(t, P_LAYER, "%s", layer_names[o->layer]);
}

/* Pages of one size, 2 MiB after 2 MiB, since each has a reason of its own. */
static void take_pages(const struct vma *vma, const struct pages *p, struct task_sums *s,
		       struct show_table *list)
{
	uint64_t from = p->start, next;
	struct outcome o = {}, now = {};

	s->by[p->mapped] += p->end - p->start;
	for (uint64_t at = p->start; at < p->end; at = next) {
		next = MIN((at | (SZ_2M - 1)) + 1, p->end);
		if (is_small(p->mapped)) {
			now = why_small(vma, at);
			s->reason[now.reason][now.layer] += next - at;
		}
		if (at != from && (now.reason != o.reason || now.layer != o.layer)) {
			if (list)
				show_mapped_range(list, vma, from, at, p->mapped, &o);
			from = at;
		}
		o = now;
	}
	if (list)
		show_mapped_range(list, vma, from, p->end, p->mapped, &o);
}

static bool take_vma(pid_t pid, const struct vma *vma, struct task_sums *s,
		     struct show_table *list)
{
	size_t nr;
	struct pages *pages = pages_of(pid, vma->start, vma->end, &nr);

	if (!pages)
		return false;
	s->len = vma->end - vma->start;
	for (size_t i = 0; i < nr; i++)
		take_pages(vma, &pages[i], s, list);
	free(pages);
	return true;
}

enum { W_REASON, W_LAYER, W_BYTES };

static const struct show_column reason_columns[] = {
	[W_REASON] = { "REASON" },
	[W_LAYER] = { "LAYER" },
	[W_BYTES] = { "BYTES", .right = true, .number = true },
};

static const struct file *any_file(const struct vma *vmas, size_t nr)
{
	return nr ? vmas[0].file : NULL;
}

static char *advice_for_task(pid_t pid, enum reason reason, enum layer layer,
			     const struct file *f)
{
	if (reason == REASON_PROMOTABLE)
		return format("daxmap --collapse -p %d", pid);
	return advice(reason, layer, f);
}

static void show_reasons(pid_t pid, const struct task_sums *s, const struct file *f)
{
	struct show_table *t = show_table("reasons", reason_columns, ARRAY_LEN(reason_columns));
	bool first = true;

	for (unsigned int i = 0; i < NR_REASONS; i++) {
		for (unsigned int k = 0; k < NR_LAYERS; k++) {
			if (!s->reason[i][k])
				continue;
			show_row(t);
			show_text(t, W_REASON, "%s", reason_names[i]);
			show_text(t, W_LAYER, "%s", layer_names[k]);
			show_size(t, W_BYTES, s->reason[i][k]);
		}
	}
	show_print(t);
	for (unsigned int i = 0; i < NR_REASONS; i++) {
		for (unsigned int k = 0; k < NR_LAYERS; k++) {
			char *text = s->reason[i][k] ? advice_for_task(pid, i, k, f) : NULL;

			if (!text)
				continue;
			show_note("%srepair of %s (%s):\n    %s", first ? "\n" : "",
				  reason_names[i], layer_names[k], text);
			first = false;
			free(text);
		}
	}
}

/* --- the verdict ------------------------------------------------------------------------------ */

static enum status required(const struct task_sums *s)
{
	uint64_t mapped = sum_mapped(s), some = s->by[MAPPED_SOME];
	uint64_t huge = opt.require == SZ_1G ? 0 : sum_huge(s);

	if (!opt.require)
		return some ? DAXMAP_UNKNOWN : DAXMAP_OK;
	if (mapped && percent(huge, mapped) >= opt.percent)
		return DAXMAP_OK;
	return mapped && percent(huge + some, mapped) >= opt.percent ? DAXMAP_UNKNOWN :
								       DAXMAP_NOT_MET;
}

static char *verdict(const struct task_sums *s, enum status status)
{
	uint64_t mapped = sum_mapped(s), most = 0;
	const char *reason = NULL, *layer = NULL;
	const char *met = "";

	if (!mapped)
		return format("%snothing of its DAX mappings is mapped yet",
			      status == DAXMAP_NOT_MET ? "NOT MET; " : "");
	if (s->by[MAPPED_SOME])
		return format("Linux %s does not tell page sizes of DAX (6.7 and later do)",
			      kernel()->release);
	if (opt.require)
		met = status == DAXMAP_OK ? "met; " : "NOT MET; ";
	for (unsigned int i = 0; i < NR_REASONS; i++)
		for (unsigned int k = 0; k < NR_LAYERS; k++)
			if (s->reason[i][k] > most) {
				most = s->reason[i][k];
				reason = reason_names[i];
				layer = layer_names[k];
			}
	return format("%s2M for %u %% of %s mapped%s%s%s%s", met,
		      percent(sum_huge(s), mapped), size_text(mapped),
		      reason ? "; the rest mostly " : "", reason ?: "", reason ? ", by: " : "",
		      layer ?: "");
}

static enum status cannot_look(pid_t pid, int err)
{
	warn("process %d: %s", pid, err == ENOENT ? "no such process" : strerror(err));
	return err == EACCES || err == EPERM ? DAXMAP_UNKNOWN : DAXMAP_ERROR;
}

static enum status show_vmas(pid_t pid, const struct vma *vmas, size_t nr)
{
	struct show_table *list = NULL, *t;
	struct task_sums all = {}, *each;
	enum status status;
	char *text;

	each = zalloc(nr * sizeof(*each));
	if (opt.list)
		list = show_table("ranges", range_columns, ARRAY_LEN(range_columns));
	for (size_t i = 0; i < nr; i++) {
		if (!take_vma(pid, &vmas[i], &each[i], list)) {
			missing("the page table (the same user or root)");
			break;
		}
		add_sums(&all, &each[i]);
	}
	t = show_table("mappings", mapping_columns,
		       ARRAY_LEN(mapping_columns) - pages_have_sizes());
	for (size_t i = 0; i < nr; i++)
		show_mapping(t, &vmas[i], &each[i]);
	show_print(t);
	if (list)
		show_print(list);
	show_reasons(pid, &all, any_file(vmas, nr));
	status = all_missing() && strstr(all_missing(), "page table") ? DAXMAP_UNKNOWN :
									required(&all);
	text = verdict(&all, status);
	show_end(status, text);
	free(text);
	free(each);
	return status;
}

enum status show_task(pid_t pid)
{
	enum status status = DAXMAP_NOT_DAX;
	char name[24];
	struct vma *vmas;
	size_t nr;

	vmas = dax_vmas(pid, &nr);
	if (!vmas)
		return cannot_look(pid, errno);
	snprintf(name, sizeof(name), "%d", pid);
	show_begin(name, "process");
	if (!nr && all_missing()) {
		status = DAXMAP_UNKNOWN;
		show_end(status, "no DAX mapping that can be seen");
	} else if (!nr) {
		show_end(status, "not-dax: it has no DAX mapping");
	} else {
		status = show_vmas(pid, vmas, nr);
	}
	for (size_t i = 0; i < nr; i++)
		free(vmas[i].path);
	free(vmas);
	return status;
}
