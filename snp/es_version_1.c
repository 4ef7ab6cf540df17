// SPDX-License-Identifier: BSD-2-Clause
/*
 * Version 1 of the GHCB protocol, which SEV-ES guests may be given (vmrun --sev-es=ghcb=1)
 *
 * It differs in where the scratch area may lie: version 2 demands the GHCB's shared buffer, version 1
 * takes any shared memory, which the hypervisor has to copy from and back to. A hypervisor that forgot
 * the way back would leave a guest with what was in its buffer before; one that copied too much would
 * change what lies beside it. A scratch area that lies in the GHCB, but not in its buffer, is refused
 * by both.
 *
 * Sources: GHCB specification, 2.1 "GHCB Layout" (SW_SCRATCH), 2.3.1, table 3, 4.1.1 "IOIO", table 5
 * (MMIO); KVM: arch/x86/kvm/svm/sev.c, setup_vmgexit_scratch, sev_handle_vmgexit.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>

#define PORT_UNUSED 0x80u /* POST codes: reads give ones */
#define LENGTH	    8
#define BEFORE	    0xa5

struct answer {
	uint32_t info_1;
	uint64_t info_2;
};

static struct answer ask(uint64_t event, uint64_t info_1, uint64_t info_2, uint64_t scratch)
{
	struct answer answer;
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	GHCB_SET(ghcb, rax, 0);
	GHCB_SET(ghcb, sw_scratch, scratch);
	answer.info_1 = ghcb_exit(ghcb, event, info_1, info_2);
	answer.info_2 = ghcb->sw_exit_info_2;
	ghcb_release(&hold);
	return answer;
}

static struct answer read_mmio(uint64_t scratch)
{
	return ask(GHCB_MMIO_READ, memory_hole(), LENGTH, scratch);
}

static struct answer read_ports(uint64_t scratch)
{
	uint64_t info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | 1u << IOIO_SIZE_SHIFT | IOIO_IN |
			  IOIO_STRING | IOIO_REP;

	return ask(SVM_EXIT_IOIO, info_1, LENGTH, scratch);
}

static struct answer write_mmio(uint64_t scratch)
{
	return ask(GHCB_MMIO_WRITE, memory_hole(), LENGTH, scratch);
}

TEST("the SEV information has version 1 alone")
{
	uint64_t info = ghcb_msr(GHCB_MSR_SEV_INFO_REQ);

	EXPECT_EQ(SEV_INFO_MIN(info), 1);
	EXPECT_EQ(SEV_INFO_MAX(info), 1);
}

TEST("a scratch area in other shared memory is read and written, and nothing beside it")
{
	static const struct {
		const char *name;
		struct answer (*call)(uint64_t scratch);
		uint8_t after;
	} cases[] = { { "MMIO read", read_mmio, 0xff },
		      { "MMIO write", write_mmio, BEFORE },
		      { "string input", read_ports, 0xff } };
	static const unsigned int places[] = { 0, 8, 0x7f9, PAGE_SIZE - LENGTH };
	void *page = page_alloc();
	uint8_t *shared = page_share(page);

	for (unsigned int i = 0; i < COUNT_OF(cases) * COUNT_OF(places); i++) {
		unsigned int place = places[i / COUNT_OF(cases)], wrong = 0;
		const char *name = cases[i % COUNT_OF(cases)].name;
		struct answer answer;

		memset(shared, BEFORE, PAGE_SIZE);
		answer = cases[i % COUNT_OF(cases)].call((uintptr_t)page + place);
		EXPECT_EQ(answer.info_1, GHCB_NO_ACTION, "%s at 0x%x", name, place);
		for (unsigned int at = 0; at < PAGE_SIZE; at++) {
			bool inside = at >= place && at < place + LENGTH;

			wrong += shared[at] != (inside ? cases[i % COUNT_OF(cases)].after : BEFORE);
		}
		EXPECT_EQ(wrong, 0, "wrong bytes, %s at 0x%x", name, place);
	}
	page_unshare(page);
	page_free(page);
}

TEST("a scratch area in the GHCB is in its shared buffer, or refused")
{
	const struct {
		uint64_t scratch;
		bool good;
	} cases[] = {
		{ ghcb_buffer_gpa(), true },
		{ ghcb_buffer_gpa() + GHCB_SHARED_BUFFER_SIZE - LENGTH, true },
		{ ghcb_buffer_gpa() + GHCB_SHARED_BUFFER_SIZE - LENGTH + 1, false },
		{ ghcb_buffer_gpa() - 1, false },
		{ ghcb_gpa(), false },
		{ 0, false },
	};

	for (unsigned int i = 0; i < COUNT_OF(cases); i++) {
		struct answer answer = read_mmio(cases[i].scratch);

		EXPECT_EQ(answer.info_1, cases[i].good ? GHCB_NO_ACTION : GHCB_BAD_INPUT, "case %u",
			  i);
		if (!cases[i].good)
			EXPECT_EQ(answer.info_2, GHCB_ERROR_SCRATCH, "case %u", i);
	}
}
