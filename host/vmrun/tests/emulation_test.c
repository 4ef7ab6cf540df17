// SPDX-License-Identifier: BSD-2-Clause
/*
 * The module parameter that --force-emulation sets: with a file in its place, what is left there
 * however a vmrun ends, and with several at once
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <test/test.h>
#include <unistd.h>

#include "../emulation.h"

static FILE *file;
static char path[32];

/* A file whose path works in every process that has it open. */
static void parameter_is(const char *text)
{
	if (!file)
		file = tmpfile();
	REQUIRE(file && ftruncate(fileno(file), 0) == 0);
	REQUIRE(pwrite(fileno(file), text, strlen(text), 0) == (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
}

static long parameter(void)
{
	struct message why;

	return emulation_value(path, &why);
}

/* A vmrun that switches it on, and then does what it is told through a pipe. */
struct other {
	pid_t pid;
	int orders, answers;
};

static struct other start_other(void)
{
	int orders[2], answers[2];
	struct other other;
	char byte = 0;

	REQUIRE(pipe(orders) == 0 && pipe(answers) == 0);
	other = (struct other){ fork(), orders[1], answers[0] };
	REQUIRE(other.pid >= 0);
	if (other.pid == 0) {
		struct message why;

		byte = emulation_begin(path, &why) ? 'y' : 'n';
		if (write(answers[1], &byte, 1) == 1 && read(orders[0], &byte, 1) == 1)
			emulation_end();
		_exit(0);
	}
	close(orders[0]);
	close(answers[1]);
	REQUIRE(read(other.answers, &byte, 1) == 1 && byte == 'y');
	return other;
}

static int end_other(struct other *other, int signal)
{
	int status;

	if (signal)
		kill(other->pid, signal);
	else
		REQUIRE(write(other->orders, "e", 1) == 1);
	close(other->orders);
	waitpid(other->pid, &status, 0);
	close(other->answers);
	return status;
}

TEST("it is on until the end, and then off as before")
{
	struct other other;

	parameter_is("0\n");
	other = start_other();
	EXPECT_GT(parameter(), 0);
	EXPECT_EQ(end_other(&other, 0), 0);
	EXPECT_EQ(parameter(), 0);
}

TEST("it is off again after each signal that ends a process, and the signal is what ended it")
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct other other;
		int status;

		parameter_is("0\n");
		other = start_other();
		EXPECT_GT(parameter(), 0);
		status = end_other(&other, signals[i]);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signals[i], "signal %d",
			    signals[i]);
		EXPECT_EQ(parameter(), 0, "signal %d", signals[i]);
	}
}

TEST("of several at once the last one switches it off, in whatever order they end")
{
	for (int first = 0; first < 2; first++) {
		struct other others[2];

		parameter_is("0\n");
		others[0] = start_other();
		others[1] = start_other();
		end_other(&others[first], 0);
		EXPECT_GT(parameter(), 0, "first %d", first);
		end_other(&others[!first], 0);
		EXPECT_EQ(parameter(), 0, "first %d", first);
	}
}

TEST("after one that was killed outright the next one switches it off")
{
	struct other other;

	parameter_is("0\n");
	other = start_other();
	end_other(&other, SIGKILL);
	EXPECT_GT(parameter(), 0);
	other = start_other();
	end_other(&other, 0);
	EXPECT_EQ(parameter(), 0);
}

TEST("what the user has set stays")
{
	static const struct {
		const char *text;
		long value;
	} cases[] = { { "1\n", 1 }, { "2\n", 2 }, { "Y\n", 1 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct other other;

		parameter_is(cases[i].text);
		other = start_other();
		EXPECT_EQ(parameter(), cases[i].value, "%s", cases[i].text);
		end_other(&other, 0);
		EXPECT_EQ(parameter(), cases[i].value, "%s", cases[i].text);
	}
}

TEST("a parameter that is not there is refused with the cause, and not offered")
{
	struct message why;

	EXPECT_FALSE(emulation_begin("/nowhere/force_emulation_prefix", &why));
	EXPECT_TRUE(strstr(why.text, "/nowhere/force_emulation_prefix: No such file"), "%s",
		    why.text);
	EXPECT_TRUE(strstr(why.text, "Linux 6.2"), "%s", why.text);
	EXPECT_FALSE(emulation_offered("/nowhere/force_emulation_prefix", &why));
}

TEST("one that is off and cannot be written is not offered, one that is on is")
{
	struct message why;

	parameter_is("0\n");
	REQUIRE(fchmod(fileno(file), 0444) == 0);
	EXPECT_FALSE(emulation_offered(path, &why));
	parameter_is("0\n");
	REQUIRE(fchmod(fileno(file), 0644) == 0);
	EXPECT_TRUE(emulation_offered(path, &why));
	parameter_is("1\n");
	REQUIRE(fchmod(fileno(file), 0444) == 0);
	EXPECT_TRUE(emulation_offered(path, &why));
}
