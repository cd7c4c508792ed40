// SPDX-License-Identifier: GPL-2.0-only
/*
 * ndctl(1) lists the devices, and changes the mode of a namespace. Files on that
 * namespace are mapped by 2 MiB as before. If a namespace holds its own struct
 * pages, its data start behind them, at a multiple of 2 MiB. Otherwise no page
 * could be huge.
 */
#include "dax_harness.h"

static const char *namespace, *block;

/* The output of a command, without blanks and ends of lines. */
static bool run(char *text, size_t size, const char *command)
{
	size_t len = 0;
	FILE *pipe = popen(command, "r");
	int c;

	while (pipe && (c = fgetc(pipe)) != EOF)
		if (c != ' ' && c != '\n' && len < size - 1)
			text[len++] = c;
	text[len] = '\0';
	return pipe && pclose(pipe) == 0;
}

/* The object of the list that is about our namespace. */
static const char *list_one(void)
{
	static char text[4096];

	return run(text, sizeof(text),
		   dax_text("ndctl list -N -n %s", namespace)) ? text : "nothing";
}

static bool says(const char *name, const char *value)
{
	return strstr(list_one(), dax_text("\"%s\":\"%s\"", name, value));
}

/* Finds the namespace that the second device is made of. */
static const char *find_namespace(void)
{
	char text[4096], *at, *dev;

	if (!dax_scratch_device())
		return "needs a second device in DAX_SCRATCH";
	if (system("ndctl --version >/dev/null 2>&1"))
		return "no program ndctl here: install Debian's package ndctl";
	block = basename(dax_scratch_device());
	if (!run(text, sizeof(text), "ndctl list -N"))
		return "ndctl list fails";
	at = strstr(text, dax_text("\"blockdev\":\"%s\"", block));
	if (!at)
		return "ndctl does not list the second device";
	*at = '\0';
	for (dev = text; (at = strstr(dev, "\"dev\":\"")); )
		dev = at + strlen("\"dev\":\"");
	namespace = dax_text("%.*s", (int)strcspn(dev, "\""), dev);
	return NULL;
}

static int make_mode(const char *mode)
{
	return dax_sh("ndctl create-namespace -f -e %s -m %s", namespace, mode);
}

DAX_NEEDS(find_namespace())

/* The other tests want the device as it was. */
void dax_restore(void)
{
	if (!says("map", "mem"))
		make_mode("raw");
}

DAX_FIXTURE(ndctl, dax_needs())

TEST_F(ndctl, list)
{
	EXPECT_TRUE(says("dev", namespace));
	EXPECT_TRUE(says("mode", "fsdax"));
	EXPECT_TRUE(says("blockdev", block));
}

/* The struct pages lie on the device, and the files behind them. */
TEST_F(ndctl, fsdax)
{
	char *p;
	int fd;

	NEED(system("ls /sys/bus/nd/devices | grep -q ^pfn") ?
	     "needs CONFIG_NVDIMM_PFN" : NULL);
	ASSERT_EQ(0, make_mode("fsdax"));
	EXPECT_TRUE(says("mode", "fsdax"));
	EXPECT_TRUE(says("map", "dev"));
	EXPECT_TRUE(says("blockdev", block));
	NEED(dax_scratch(600, "", "dax=always"));
	fd = dax_file(4 * SZ_2M, PREALLOC);
	p = dax_map(fd, 0, 4 * SZ_2M);
	for (int i = 0; i < 4; i++) {
		dax_poke(p + i * SZ_2M, 'n');
		EXPECT_MAPPED("2M", p + i * SZ_2M);
		EXPECT_EQ(0, dax_pfn(p + i * SZ_2M) % PAGES_2M);
	}
	dax_fsync(fd);
}

/* Without files: the same memory, as a character device. */
TEST_F(ndctl, devdax)
{
	char *at, *p;
	int fd;

	NEED(access("/sys/bus/dax", F_OK) ? "needs CONFIG_DEV_DAX" : NULL);
	ASSERT_EQ(0, make_mode("devdax"));
	EXPECT_TRUE(says("mode", "devdax"));
	EXPECT_NE(0, access(dax_scratch_device(), F_OK));
	at = strstr(list_one(), "\"chardev\":\"");
	ASSERT_NE(NULL, at);
	at += strlen("\"chardev\":\"");
	fd = open(dax_text("/dev/%.*s", (int)strcspn(at, "\""), at), O_RDWR);
	ASSERT_LE(0, fd);
	p = dax_map(fd, 0, 2 * SZ_2M);
	dax_poke(p, 'd');
	dax_poke(p + SZ_2M, 'e');
	EXPECT_EQ('d', dax_peek(p));
	EXPECT_MAPPED("2M", p);
	EXPECT_MAPPED("2M", p + SZ_2M);
	dax_unmap(p, 2 * SZ_2M);
	close(fd);
	ASSERT_EQ(0, make_mode("raw"));
	EXPECT_EQ(0, access(dax_scratch_device(), F_OK));
	EXPECT_TRUE(says("blockdev", block));
}

TEST_HARNESS_MAIN
