// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM's binary statistics, from a file laid out as KVM does (api.rst, "KVM_GET_STATS_FD")
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <test/test.h>
#include <unistd.h>

#include "../statistic.h"

#define NAME_SIZE 48

static const struct {
	const char *name;
	uint32_t offset;
	uint64_t value;
} statistics[] = {
	{ "exits", 0, 0x123456789abcdef0 },
	{ "exits_of_another_kind", 8, 7 },
	{ "halt", 24, 9 },
};

#define COUNT (sizeof(statistics) / sizeof(statistics[0]))

static FILE *statistics_file(uint32_t name_size)
{
	struct kvm_stats_header header = {
		.name_size = name_size,
		.num_desc = COUNT,
		.desc_offset = 100,
		.data_offset = 1000,
	};
	FILE *file = tmpfile();

	REQUIRE(file);
	fwrite(&header, sizeof(header), 1, file);
	for (size_t i = 0; i < COUNT; i++) {
		struct kvm_stats_desc head = { .size = 1, .offset = statistics[i].offset };
		char name[NAME_SIZE] = "";

		strcpy(name, statistics[i].name);
		fseek(file, (long)(100 + i * (sizeof(head) + NAME_SIZE)), SEEK_SET);
		fwrite(&head, sizeof(head), 1, file);
		fwrite(name, sizeof(name), 1, file);
		fseek(file, 1000 + statistics[i].offset, SEEK_SET);
		fwrite(&statistics[i].value, sizeof(uint64_t), 1, file);
	}
	REQUIRE(fflush(file) == 0);
	return file;
}

TEST("each statistic is found by its whole name, and read at its place")
{
	FILE *file = statistics_file(NAME_SIZE);

	for (size_t i = 0; i < COUNT; i++) {
		uint64_t value = 0;

		EXPECT_EQ(statistic_read(fileno(file), statistics[i].name, &value), 0, "%s",
			  statistics[i].name);
		EXPECT_EQ(value, statistics[i].value, "%s", statistics[i].name);
	}
	fclose(file);
}

TEST("a name that is not there is refused, a part of one too")
{
	static const char *const names[] = { "", "exit", "exits_of", "halts", "HALT" };
	FILE *file = statistics_file(NAME_SIZE);
	uint64_t value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		EXPECT_EQ((int64_t)statistic_read(fileno(file), names[i], &value), -ENOENT, "'%s'",
			  names[i]);
	fclose(file);
}

TEST("a file that ends early, or makes no sense, is an error")
{
	FILE *file = statistics_file(100000);
	uint64_t value;

	EXPECT_EQ((int64_t)statistic_read(fileno(file), "exits", &value), -EIO);
	fclose(file);
	file = statistics_file(NAME_SIZE);
	REQUIRE(ftruncate(fileno(file), 1004) == 0);
	EXPECT_EQ((int64_t)statistic_read(fileno(file), "exits", &value), -EIO);
	REQUIRE(ftruncate(fileno(file), 120) == 0);
	EXPECT_EQ((int64_t)statistic_read(fileno(file), "exits", &value), -EIO);
	REQUIRE(ftruncate(fileno(file), 4) == 0);
	EXPECT_EQ((int64_t)statistic_read(fileno(file), "exits", &value), -EIO);
	fclose(file);
}
