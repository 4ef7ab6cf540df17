// SPDX-License-Identifier: BSD-2-Clause
/*
 * --gmem-2m: the parameter is on while a vmrun that wants it runs, and is as it was afterwards; on a file in its place
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <test/test.h>
#include <unistd.h>

#include "../gmem_2m.h"

static char path[] = "/tmp/vmrun-gmem-2m-XXXXXX";

static void set_up(const char *value)
{
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	REQUIRE(fd >= 0 && write(fd, value, 2) == 2);
	close(fd);
}

static char value(void)
{
	int fd = open(path, O_RDONLY);
	char byte = 0;

	REQUIRE(fd >= 0 && pread(fd, &byte, 1, 0) == 1);
	close(fd);
	return byte;
}

TEST("what was off is on until the end, and what was on stays on")
{
	static const struct {
		const char *before;
		char after;
	} cases[] = { { "N\n", 'N' }, { "Y\n", 'Y' } };

	for (size_t i = 0; i < 2; i++) {
		struct message why;

		set_up(cases[i].before);
		EXPECT_TRUE(gmem_2m_offered(path, &why), "%s", why.text);
		EXPECT_EQ(value(), cases[i].before[0]);
		EXPECT_TRUE(gmem_2m_begin(path, &why), "%s", why.text);
		EXPECT_EQ(value(), 'Y');
		gmem_2m_end();
		EXPECT_EQ(value(), cases[i].after);
		unlink(path);
	}
}

TEST("while another vmrun wants it, it stays on")
{
	struct message why;
	int other;

	set_up("Y\n");
	other = open(path, O_RDWR);
	REQUIRE(other >= 0 && flock(other, LOCK_SH) == 0);
	EXPECT_TRUE(gmem_2m_begin(path, &why), "%s", why.text);
	gmem_2m_end();
	EXPECT_EQ(value(), 'Y');
	EXPECT_TRUE(gmem_2m_begin(path, &why), "%s", why.text);
	close(other);
	gmem_2m_end();
	EXPECT_EQ(value(), 'N');
	unlink(path);
}

TEST("a machine without it is told so")
{
	struct message why;

	EXPECT_FALSE(gmem_2m_begin("/nowhere/gmem_2m", &why));
	EXPECT_TRUE(strstr(why.text, "/nowhere/gmem_2m: No such file"), "%s", why.text);
	EXPECT_TRUE(strstr(why.text, "software SNP platform"), "%s", why.text);
	EXPECT_FALSE(gmem_2m_offered("/nowhere/gmem_2m", &why));
}
