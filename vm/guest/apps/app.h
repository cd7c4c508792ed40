/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the programs of "make apps": a message that ends the program, and data that
 * follow from a key alone, so that each program can check the data that it reads.
 */
#ifndef APP_H
#define APP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fail(...) do {				\
	fprintf(stderr, __VA_ARGS__);		\
	fputc('\n', stderr);			\
	exit(1);				\
} while (0)

/* The same sequence in each run. */
static inline unsigned int random_next(unsigned long *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 32;
}

/* Keys of consecutive numbers are apart, and no two are the same: the factor is odd. */
static inline unsigned long scattered(unsigned long nr)
{
	return nr * 0x9e3779b97f4a7c15ULL;
}

/* 64 bits of the data of @key, by their offset; the last ones may be cut off. */
static inline unsigned long word_at(unsigned long key, size_t at)
{
	return (key ^ at) * 0x9e3779b97f4a7c15ULL;
}

static inline size_t word_size(size_t len, size_t at)
{
	return len - at < sizeof(unsigned long) ? len - at : sizeof(unsigned long);
}

static inline void fill(void *data, size_t len, unsigned long key)
{
	for (size_t at = 0; at < len; at += sizeof(unsigned long)) {
		unsigned long word = word_at(key, at);

		memcpy((char *)data + at, &word, word_size(len, at));
	}
}

static inline int filled(const void *data, size_t len, unsigned long key)
{
	for (size_t at = 0; at < len; at += sizeof(unsigned long)) {
		unsigned long word = word_at(key, at);

		if (memcmp((const char *)data + at, &word, word_size(len, at)))
			return 0;
	}
	return 1;
}

#endif
