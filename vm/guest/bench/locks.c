// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks taken per fault. Lock statistics would change what is measured and are
 * not in these kernels; but what takes a lock is a function, and a kprobe on it
 * counts its calls. Trylocks and inlined functions are not among them.
 */
#include "bench.h"

#define MAP_4K	(2 * SZ_2M)	/* of each file */

static const char * const lock_functions[] = {
	"_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_irqsave",
	"_raw_spin_lock_bh", "_raw_read_lock", "_raw_write_lock", "mutex_lock",
	"down_read", "down_write", "down",
};

static void probes_on(void)
{
	char line[128];

	for (size_t i = 0; i < ARRAY_LEN(lock_functions); i++) {
		snprintf(line, sizeof(line), "p:bench/%s %s\n",
			 lock_functions[i], lock_functions[i]);
		int fd = open(TRACEFS "/kprobe_events", O_WRONLY | O_APPEND);

		if (fd < 0 || write(fd, line, strlen(line)) < 0)
			dax_print_msg("no probe on %s: %s", lock_functions[i],
				      strerror(errno));
		close(fd);
	}
	dax_write_file(TRACEFS "/events/bench/enable", "1");
}

static void probes_off(void)
{
	dax_write_file(TRACEFS "/events/bench/enable", "0");
	dax_write_file(TRACEFS "/kprobe_events", "\n");
}

static unsigned long count_locks(void)
{
	FILE *file = fopen(TRACEFS "/kprobe_profile", "r");
	unsigned long hits, sum = 0;
	char line[256], name[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%127s %lu", name, &hits) == 2)
			sum += hits;
	if (file)
		fclose(file);
	return sum;
}

static void locks_of(const char *what, char *map, size_t len, size_t step,
		     bool write)
{
	unsigned long locks;

	settle();
	locks = count_locks();
	for (size_t off = 0; off < len; off += step) {
		if (write)
			dax_poke(map + off, 7);
		else
			dax_peek(map + off);
	}
	locks = count_locks() - locks;
	report(what, "locks", (double)locks / (len / step));
}

void bench_locks(void)
{
	size_t len = scaled(64);
	bool huge;

	if (access(TRACEFS "/kprobe_profile", R_OK)) {
		report_why("4K existing, locks", "no CONFIG_KPROBE_EVENTS");
		return;
	}
	probes_on();
	for (int run = 0; run < 3; run++) {
		int fd = file_falloc(len);
		char *map = map_file(fd, len, SZ_4K);

		locks_of("4K first write, locks", map, MAP_4K, SZ_4K, true);
		dax_unmap(map, len);
		map = map_file(fd, len, SZ_4K);
		locks_of("4K existing, locks", map, MAP_4K, SZ_4K, true);
		dax_unmap(map, len);
		close(fd);

		fd = file_falloc(len);
		map = map_file(fd, len, 0);
		touch_pages(map, len, true);
		huge = share_huge(map, len) == 100;
		dax_unmap(map, len);
		if (!huge) {
			close(fd);
			continue;
		}
		map = map_file(fd, len, 0);
		locks_of("2M existing, locks", map, len, SZ_2M, true);
		dax_unmap(map, len);
		close(fd);
	}
	probes_off();
}
