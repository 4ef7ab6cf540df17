// SPDX-License-Identifier: BSD-2-Clause
/*
 * The GHCB MSR protocol
 *
 * Before a guest has a GHCB, and whenever it needs little, it writes a request to the GHCB MSR,
 * executes VMGEXIT, and reads the response from the MSR. Bits 11:0 say what it is. With bits 11:0
 * all zero the MSR is the address of the GHCB. Checked here, request by request: which bits come
 * back, what becomes of the bits that a request does not define, and that what the hypervisor does
 * not know it leaves alone, so that a guest which asks for too much can tell.
 *
 * This is where a guest begins, and where each later mistake of it ends up: a response with a bit
 * too many is a wrong C-bit, a wrong CPUID, or a GHCB that is not the one which was registered.
 *
 * Sources: GHCB specification, 2.3.1 "GHCB MSR Protocol", table 3; KVM: arch/x86/kvm/svm/sev.c,
 * sev_handle_vmgexit_msr_protocol, sev_handle_vmgexit, and sev_es_init_vmcb for the MSR's value
 * after reset. KVM echoes a CPUID request's reserved bits, and takes any GFN as a GHCB's.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/cpuid.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define INFO(value) ((value)&GHCB_MSR_INFO_MASK)
#define DATA(value) ((value) >> GHCB_MSR_DATA_SHIFT)

/* All bits that are the data of a request. */
#define ALL_DATA (~GHCB_MSR_INFO_MASK)

static unsigned int c_bit_of_cpuid(void)
{
	return cpuid(CPUID_SEV, 0).ebx & CPUID_SEV_EBX_C_BIT;
}

static void expect_sev_info(uint64_t info)
{
	EXPECT_EQ(INFO(info), GHCB_MSR_SEV_INFO);
	EXPECT_EQ(info >> 12 & 0xfff, 0, "reserved bits 23:12");
	EXPECT_EQ(SEV_INFO_C_BIT(info), c_bit_of_cpuid());
	EXPECT_GE(SEV_INFO_MIN(info), 1);
	EXPECT_LE(SEV_INFO_MIN(info), GHCB_VERSION);
	EXPECT_GE(SEV_INFO_MAX(info), GHCB_VERSION);
}

TEST("the MSR is reset to the SEV information")
{
	expect_sev_info(sev.ghcb_msr_reset);
}

TEST("the SEV information has the versions, the C-bit, and nothing else")
{
	expect_sev_info(ghcb_msr(GHCB_MSR_SEV_INFO_REQ));
}

TEST("what else is set in a request for the SEV information does not matter")
{
	EXPECT_EQ(ghcb_msr(ALL_DATA | GHCB_MSR_SEV_INFO_REQ), ghcb_msr(GHCB_MSR_SEV_INFO_REQ));
}

TEST("SEV_STATUS tells of SEV, SEV-ES and SNP, and cannot be written")
{
	uint64_t status = rdmsr(MSR_SEV_STATUS);

	EXPECT_EQ(status & (SEV_STATUS_SEV | SEV_STATUS_ES | SEV_STATUS_SNP),
		  SEV_STATUS_SEV | SEV_STATUS_ES | SEV_STATUS_SNP);
	EXPECT_FAULT(GP, 0, wrmsr(MSR_SEV_STATUS, status));
}

/* Some of each range; the last of each is none that exists. */
static const uint32_t cpuid_functions[] = {
	0x00000000, 0x00000001, 0x00000007, 0x0000000b, 0x0000000d, 0x00ffffff, 0x40000000,
	0x40000001, 0x4fffffff, 0x80000000, 0x80000001, 0x80000008, CPUID_SEV,	0x8fffffff,
};

static uint32_t register_of(const struct cpuid *leaf, enum ghcb_cpuid_register number)
{
	const uint32_t values[] = { leaf->eax, leaf->ebx, leaf->ecx, leaf->edx };

	return values[number];
}

static void check_cpuid(uint32_t function, enum ghcb_cpuid_register number, uint64_t reserved)
{
	/* It leaves ECX = 1 behind, which a request of the MSR protocol must not take over. */
	struct cpuid other = cpuid(function, 1);
	struct cpuid leaf = cpuid(function, 0);
	uint64_t request = GHCB_MSR_CPUID(function, number);
	uint64_t response;

	(void)other;
	response = ghcb_msr(request | reserved);
	EXPECT_EQ(INFO(response), GHCB_MSR_CPUID_RESP, "function 0x%x", function);
	EXPECT_EQ(response >> 30 & 3, number, "function 0x%x", function);
	EXPECT_EQ(response >> 32, register_of(&leaf, number), "function 0x%x, register %u",
		  function, number);
	if (!reserved)
		EXPECT_EQ(response >> 12 & 0x3ffff, 0, "function 0x%x, reserved bits", function);
}

TEST("CPUID gives each register of subleaf 0, its number, and nothing else")
{
	for (unsigned int i = 0; i < COUNT_OF(cpuid_functions); i++)
		for (unsigned int number = GHCB_CPUID_EAX; number <= GHCB_CPUID_EDX; number++)
			check_cpuid(cpuid_functions[i], number, 0);
}

TEST("what else is set in a CPUID request does not change the value")
{
	for (unsigned int number = GHCB_CPUID_EAX; number <= GHCB_CPUID_EDX; number++)
		check_cpuid(0x80000001, number, 0x3ffffull << 12);
}

TEST("there is no preferred GHCB, and the response says so in all bits")
{
	const uint64_t none = GHCB_NO_PREFERENCE << GHCB_MSR_DATA_SHIFT | GHCB_MSR_PREFERRED_RESP;

	EXPECT_EQ(ghcb_msr(GHCB_MSR_PREFERRED_REQ), none);
	EXPECT_EQ(ghcb_msr(0x123456789000 | GHCB_MSR_PREFERRED_REQ), none, "with a GFN");
}

TEST("the features include SNP and AP creation, and are those of the event")
{
	uint64_t response = ghcb_msr(GHCB_MSR_FEATURES_REQ);
	const uint64_t features = GHCB_FEATURE_SNP | GHCB_FEATURE_AP_CREATION;
	uint32_t result;

	EXPECT_EQ(INFO(response), GHCB_MSR_FEATURES_RESP);
	EXPECT_EQ(DATA(response) & features, features);
	EXPECT_EQ(ghcb_event(GHCB_FEATURES, 0, 0, &result), DATA(response));
	EXPECT_EQ(result, GHCB_NO_ACTION);
	EXPECT_EQ(ghcb_msr(ALL_DATA | GHCB_MSR_FEATURES_REQ), response, "with data");
}

static uint64_t register_ghcb(uint64_t gpa)
{
	return ghcb_msr(gpa | GHCB_MSR_REGISTER_REQ);
}

TEST("the registration of a GHCB echoes its GFN, of all 52 bits")
{
	const uint64_t gpas[] = {
		ghcb_gpa(),	    0,	     0x1000, 0x8000000000000000, 0x5555555555555000,
		0xaaaaaaaaaaaaa000, ALL_DATA
	};

	uint64_t responses[COUNT_OF(gpas)];

	for (unsigned int i = 0; i < COUNT_OF(gpas); i++)
		responses[i] = register_ghcb(gpas[i]);
	/* Without a GHCB nothing can be reported. */
	REQUIRE(register_ghcb(ghcb_gpa()) == (ghcb_gpa() | GHCB_MSR_REGISTER_RESP));
	for (unsigned int i = 0; i < COUNT_OF(gpas); i++)
		EXPECT_EQ(responses[i], gpas[i] | GHCB_MSR_REGISTER_RESP, "GPA 0x%llx",
			  (unsigned long long)gpas[i]);
}

/* Asks for the features by the GHCB in this page, and returns what became of SW_EXITINFO1 and 2. */
struct answer {
	uint64_t info_1, info_2;
};

#define UNTOUCHED 0x5a5a5a5a5a5aull

static struct answer ask_by(struct ghcb *ghcb, uint64_t gpa)
{
	memset(ghcb, 0, sizeof(*ghcb));
	ghcb->protocol_version = GHCB_VERSION;
	GHCB_SET(ghcb, sw_exit_code, GHCB_FEATURES);
	GHCB_SET(ghcb, sw_exit_info_1, UNTOUCHED);
	GHCB_SET(ghcb, sw_exit_info_2, UNTOUCHED);
	ghcb_exit_raw(gpa);
	return (struct answer){ ghcb->sw_exit_info_1, ghcb->sw_exit_info_2 };
}

static void expect_answer(struct answer answer, uint64_t info_1, uint64_t info_2)
{
	EXPECT_EQ(answer.info_1, info_1);
	EXPECT_EQ(answer.info_2, info_2);
}

TEST("a GHCB that is not the registered one is refused as such")
{
	void *page = page_alloc();
	struct answer answer = ask_by(page_share(page), (uintptr_t)page);

	expect_answer(answer, GHCB_BAD_INPUT, GHCB_ERROR_NOT_REGISTERED);
	page_unshare(page);
	page_free(page);
}

TEST("another GHCB can be registered, and the one before is refused from then on")
{
	void *page = page_alloc();
	struct ghcb *other = page_share(page);
	struct answer by_other, by_own;
	struct ghcb_hold hold;
	struct ghcb *own = ghcb_take(&hold);

	register_ghcb((uintptr_t)page);
	by_other = ask_by(other, (uintptr_t)page);
	by_own = ask_by(own, ghcb_gpa());
	register_ghcb(ghcb_gpa());
	ghcb_release(&hold);

	expect_answer(by_other, GHCB_NO_ACTION, sev.hv_features);
	expect_answer(by_own, GHCB_BAD_INPUT, GHCB_ERROR_NOT_REGISTERED);
	expect_answer(ask_by(other, (uintptr_t)page), GHCB_BAD_INPUT, GHCB_ERROR_NOT_REGISTERED);
	page_unshare(page);
	page_free(page);
}

TEST("a GHCB in a private page is neither read nor written")
{
	struct ghcb *page = page_alloc();
	struct answer answer;

	register_ghcb((uintptr_t)page);
	answer = ask_by(page, (uintptr_t)page);
	register_ghcb(ghcb_gpa());
	expect_answer(answer, UNTOUCHED, UNTOUCHED);
	EXPECT_EQ(page->valid_bitmap[GHCB_BIT(sw_exit_code) / 8] >> GHCB_BIT(sw_exit_code) % 8 & 1,
		  1);
	page_free(page);
}

TEST("a GHCB where no memory is does nothing, and the guest goes on")
{
	const uint64_t gpas[] = { 0, memory_hole(), 0xffffff000, ALL_DATA >> 12 << 12 };

	for (unsigned int i = 0; i < COUNT_OF(gpas); i++) {
		uint64_t msr;

		ghcb_exit_raw(gpas[i]);
		msr = rdmsr(MSR_GHCB);
		EXPECT_EQ(msr, gpas[i]);
	}
}

TEST("a GHCB that is not aligned to a page is a request of the MSR protocol, and no GHCB")
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;
	uint64_t msr;

	answer = ask_by(ghcb, ghcb_gpa() | 0x800);
	msr = rdmsr(MSR_GHCB);
	ghcb_release(&hold);
	expect_answer(answer, UNTOUCHED, UNTOUCHED);
	EXPECT_EQ(msr, ghcb_gpa() | 0x800);
}

/* The requests that there are in revision 2, and what ends the guest. */
static bool is_known(unsigned int code)
{
	static const uint16_t known[] = {
		GHCB_MSR_SEV_INFO_REQ,	GHCB_MSR_CPUID_REQ,    GHCB_MSR_AP_HOLD_REQ,
		GHCB_MSR_PREFERRED_REQ, GHCB_MSR_REGISTER_REQ, GHCB_MSR_PSC_REQ,
		GHCB_MSR_FEATURES_REQ,	GHCB_MSR_TERMINATE,
	};

	for (unsigned int i = 0; i < COUNT_OF(known); i++)
		if (known[i] == code)
			return true;
	return false;
}

static void expect_left_alone(uint64_t request)
{
	EXPECT_EQ(ghcb_msr(request), request);
}

TEST("a code that is no request leaves the MSR as it is, response codes included")
{
	for (unsigned int code = 1; code < 0x120; code++)
		if (!is_known(code))
			expect_left_alone(0x123456789abcd000 | code);
	for (unsigned int code = 0x120; code <= GHCB_MSR_INFO_MASK; code += 0x6b)
		expect_left_alone(0x123456789abcd000 | code);
	expect_left_alone(ALL_DATA | GHCB_MSR_INFO_MASK);
	expect_left_alone(GHCB_MSR_RUN_VMPL_REQ);
}

TEST("the MSR keeps its response until it is written again")
{
	uint64_t response = ghcb_msr(GHCB_MSR_FEATURES_REQ);

	EXPECT_EQ(rdmsr(MSR_GHCB), response);
	EXPECT_EQ(rdmsr(MSR_GHCB), response);
}
