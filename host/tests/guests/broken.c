// SPDX-License-Identifier: BSD-2-Clause
/*
 * A guest that goes wrong, in the way that its command line names
 *
 * No test of a hypervisor: make check runs it to see that each way of going wrong is told as what it is,
 * within the time limit, and never taken for a pass (scripts/tests/ends.bats).
 */
#include <test/test.h>
#include <x86/descriptors.h>
#include <x86/instructions.h>
#include <x86/interrupt.h>
#include <x86/platform.h>

static void halt_for_ever(void)
{
	irq_disable();
	for (;;)
		hlt();
}

static void spin(void)
{
	for (;;)
		;
}

/* #BP finds no gate, nor does the #NP of that, nor the #DF of that. */
static void triple_fault(void)
{
	idt_set_present(BP, false);
	idt_set_present(NP, false);
	idt_set_present(DF, false);
	int3();
}

static void raise_exception(void)
{
	ud2();
}

static void exit_early(void)
{
	platform_exit(PLATFORM_PASSED);
}

static void fail(void)
{
	EXPECT_EQ(2 + 2, 5, "the case at hand is %s", "arithmetic");
}

static void fail_and_claim_success(void)
{
	fail();
	platform_exit(PLATFORM_PASSED);
}

static void error(void)
{
	REQUIRE(!"what this point needs");
}

static void skip(void)
{
	SKIP("this machine has no such thing");
}

static const struct {
	const char *how;
	void (*go_wrong)(void);
} ways[] = {
	{ "halt", halt_for_ever },
	{ "spin", spin },
	{ "triple-fault", triple_fault },
	{ "exception", raise_exception },
	{ "exit-early", exit_early },
	{ "fail", fail },
	{ "claim-success", fail_and_claim_success },
	{ "error", error },
	{ "skip", skip },
};

TEST("a point before anything goes wrong")
{
	EXPECT_TRUE(true);
}

TEST("the point that goes wrong")
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (cmdline_has(ways[i].how))
			ways[i].go_wrong();
}

TEST("a point after it")
{
	EXPECT_TRUE(true);
}
