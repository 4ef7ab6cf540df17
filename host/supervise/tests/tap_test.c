// SPDX-License-Identifier: BSD-2-Clause
/*
 * The relay of a guest's TAP
 *
 * supervise stands between the guest and the harness (prove). What the harness is given must be TAP 13
 * (https://testanything.org/tap-version-13-specification.html) whatever the guest did; and a guest that
 * dies, stops early or speaks nonsense must never look complete.
 */
#include <test/test.h>

#include <string.h>
#include <supervise/tap.h>

static char output[65536];
static struct tap_relay relay;

static void collect(void *context, const char *text, size_t size)
{
	(void)context;
	strncat(output, text, size);
}

/* Relays the text in pieces of so many bytes, as a pipe may deliver it. */
static const char *relayed_in_pieces(const char *text, size_t piece, unsigned int host_points,
				     const struct tap_known *known, size_t known_count)
{
	size_t size = strlen(text);

	*output = '\0';
	memset(&relay, 0, sizeof(relay));
	relay.write = collect;
	relay.host_points = host_points;
	relay.known = known;
	relay.known_count = known_count;
	for (size_t at = 0; at < size; at += piece)
		tap_relay_bytes(&relay, text + at, size - at < piece ? size - at : piece);
	tap_relay_end(&relay);
	return output;
}

static const char *relayed(const char *text)
{
	return relayed_in_pieces(text, strlen(text) + 1, 0, NULL, 0);
}

static const struct {
	const char *what, *guest, *relayed;
} lines[] = {
	{ "points and plan", "1..1\nok 1 - a\n", "1..1\nok 1 - a\n" },
	{ "diagnostics", "1..1\nnot ok 1 - a\n  ---\n  line: 4\n  ...\n",
	  "1..1\nnot ok 1 - a\n  ---\n  line: 4\n  ...\n" },
	{ "a comment", "# hello\n", "# hello\n" },
	{ "a stray line", "SeaBIOS\n", "# SeaBIOS\n" },
	{ "a stray line that looks like a point", "ok then\n", "# ok then\n" },
	{ "a point without a name", "ok 1\n", "# ok 1\n" },
	{ "a request to bail out, which would end other tests too", "Bail out!\n",
	  "# Bail out!\n" },
	{ "carriage returns", "1..1\r\nok 1 - a\r\n", "1..1\nok 1 - a\n" },
	{ "a second plan", "1..1\n1..2\n", "1..1\n# 1..2\n" },
	{ "a plan with something behind it", "1..1x\n", "# 1..1x\n" },
	{ "a version that the harness may not know", "TAP version 14\n", "" },
	{ "a last line without a newline", "1..1\nok 1 - a", "1..1\nok 1 - a\n" },
	{ "a skipped point", "1..1\nok 1 - a # SKIP no\n", "1..1\nok 1 - a # SKIP no\n" },
};

TEST("TAP is passed on and all else becomes a comment")
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		EXPECT_STR_EQ(relayed(lines[i].guest), lines[i].relayed, "%s", lines[i].what);
}

TEST("it does not matter how the bytes are cut")
{
	const char *text = "1..2\nok 1 - a\nstray\nnot ok 2 - b\n  ---\n  ...\n";
	char whole[256];

	strcpy(whole, relayed(text));
	for (size_t piece = 1; piece < strlen(text); piece++)
		EXPECT_STR_EQ(relayed_in_pieces(text, piece, 0, NULL, 0), whole, "pieces of %zu",
			      piece);
}

TEST("the plan makes room for the host's points")
{
	EXPECT_STR_EQ(relayed_in_pieces("1..3\n", 9, 1, NULL, 0), "1..4\n");
}

TEST("a plan that skips everything stays as it is")
{
	EXPECT_STR_EQ(relayed_in_pieces("1..0 # SKIP no\n", 99, 1, NULL, 0), "1..0 # SKIP no\n");
	EXPECT_TRUE(relay.plan_is_skip);
	EXPECT_TRUE(tap_relay_complete(&relay));
}

TEST("a known bug becomes TODO, by its exact name only, failed or not")
{
	static const struct tap_known known[] = { { "a bug", "why" } };

	EXPECT_STR_EQ(
		relayed_in_pieces("1..3\nnot ok 1 - a bug\nok 2 - a bug\nnot ok 3 - a bug too\n",
				  99, 0, known, 1),
		"1..3\nnot ok 1 - a bug # TODO why\nok 2 - a bug # TODO why\n"
		"not ok 3 - a bug too\n");
	EXPECT_EQ(relay.failed, 1);
	EXPECT_EQ(relay.not_ok, 2);
}

static const struct {
	const char *what, *guest;
	bool complete;
} endings[] = {
	{ "all points came", "1..2\nok 1 - a\nnot ok 2 - b\n", true },
	{ "nothing came", "", false },
	{ "a plan alone", "1..2\n", false },
	{ "one point is missing", "1..2\nok 1 - a\n", false },
	{ "one point too many", "1..1\nok 1 - a\nok 2 - b\n", false },
	{ "no plan", "ok 1 - a\n", false },
	{ "a number twice", "1..2\nok 1 - a\nok 1 - a\n", false },
	{ "a number left out", "1..2\nok 1 - a\nok 3 - b\n", false },
};

TEST("only a guest that reported as many points as it planned is complete")
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		relayed(endings[i].guest);
		EXPECT_EQ(tap_relay_complete(&relay), endings[i].complete, "%s", endings[i].what);
	}
}

TEST("diagnostics that were cut off are closed before what follows")
{
	relayed("1..2\nnot ok 1 - a\n  ---\n  line: 4\nvmrun: dead\n");
	EXPECT_STR_EQ(output, "1..2\nnot ok 1 - a\n  ---\n  line: 4\n  ...\n# vmrun: dead\n");
	relayed("1..2\nnot ok 1 - a\n  ---\n  line: 4\n");
	*output = '\0';
	tap_relay_point(&relay, false, "it ran", "no");
	EXPECT_EQ(strncmp(output, "  ...\nnot ok 2 - it ran\n", 24), 0);
}

TEST("of several stray lines after a point the first is kept")
{
	relayed("firmware\n1..2\nok 1 - a\nvmrun: the cause\nvmrun: rax 0\n");
	EXPECT_STR_EQ(relay.stray, "vmrun: the cause");
}

TEST("an endless line is cut, and its rest is no TAP")
{
	static char text[TAP_LINE_MAX + 32];

	memset(text, 'x', sizeof(text) - 1);
	strcpy(text + TAP_LINE_MAX - 1, "ok 1 - forged\n");
	relayed(text);
	EXPECT_EQ(relay.seen, 0);
	EXPECT_TRUE(strstr(output, "\n# ok 1 - forged\n") != NULL);
}

TEST("a NUL byte does not hide what follows it")
{
	*output = '\0';
	memset(&relay, 0, sizeof(relay));
	relay.write = collect;
	tap_relay_bytes(&relay, "a\0b\n", 4);
	EXPECT_STR_EQ(output, "# a?b\n");
}

TEST("the host's own point is numbered after the guest's and carries its message")
{
	relayed_in_pieces("1..1\nok 1 - a\n", 99, 1, NULL, 0);
	*output = '\0';
	tap_relay_point(&relay, false, "the log is clean", "one\ntwo");
	EXPECT_STR_EQ(output, "not ok 2 - the log is clean\n  ---\n  message: |\n    one\n    two\n"
			      "  ...\n");
	EXPECT_EQ(relay.failed, 1);
}

TEST("the host's point makes the plan where the guest made none")
{
	relayed("");
	tap_relay_point(&relay, false, "it ran", "no");
	EXPECT_EQ(strncmp(output, "1..1\nnot ok 1 - it ran\n", 23), 0);
}
