// SPDX-License-Identifier: GPL-2.0-only
/* read(2) and write(2) of a file that has its blocks, by size of the request. */
#include "bench.h"

static const struct request {
	const char *read, *write;
	size_t len;
	unsigned int nr;	/* a run, each at another place of the file */
} requests[] = {
	{ "read 64 B",	 "write 64 B",	 64,		256 },
	{ "read 4 KiB",	 "write 4 KiB",	 SZ_4K,		256 },
	{ "read 2 MiB",	 "write 2 MiB",	 SZ_2M,		8 },
	{ "read 64 MiB", "write 64 MiB", 32 * SZ_2M,	1 },
};

static void io_request(int fd, size_t len, char *buf, const struct request *rq,
		       bool write)
{
	const char *what = write ? rq->write : rq->read;
	struct samples s = {};

	samples_reserve(&s, rq->nr);
	profile_begin();
	for (unsigned int i = 0; i < rq->nr; i++) {
		off_t off = (i * 37 * SZ_4K) % (len - rq->len + 1);
		unsigned long t = ticks();
		ssize_t n = write ? pwrite(fd, buf, rq->len, off) :
				    pread(fd, buf, rq->len, off);

		t = ticks() - t;
		if (n != (ssize_t)rq->len)
			dax_exit_fail("%s: %zd", what, n);
		samples_add(&s, t);
	}
	profile_end();
	profile_report(what, rq->nr);
	samples_report(&s, what, 0);
	samples_free(&s);
}

void bench_io(void)
{
	size_t len = 32 * SZ_2M;
	int fd = file_falloc(len);
	char *buf = malloc(len);

	if (!buf)
		dax_exit_fail("no memory");
	memset(buf, 5, len);
	dax_fill(fd, 0, len, 5);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		for (int run = 0; run < 5; run++) {
			settle();
			io_request(fd, len, buf, &requests[i], false);
			io_request(fd, len, buf, &requests[i], true);
		}
	}
	free(buf);
	close(fd);
}
