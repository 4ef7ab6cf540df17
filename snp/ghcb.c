// SPDX-License-Identifier: BSD-2-Clause
/*
 * The GHCB: what the hypervisor accepts, and what it says to the rest
 *
 * A GHCB is a page that the guest fills in and the hypervisor reads while the guest cannot stop
 * changing it, so that all of it is input to be doubted: which fields the bitmap declares valid,
 * where the scratch area lies, what the event is. The guest must be able to tell what was wrong:
 * SW_EXITINFO1 is 2 then, and SW_EXITINFO2 one of six codes. Here each code by each way to get it
 * that does not end the guest, every required field left out by itself, the scratch area at every
 * edge, and that the bitmap is taken back each time.
 *
 * Sources: GHCB specification, 4.1 "Invoking VMGEXIT", tables 5 to 8; KVM:
 * arch/x86/kvm/svm/sev.c, sev_handle_vmgexit, sev_es_are_required_ghcb_fields_valid,
 * setup_vmgexit_scratch. Code 1, a GHCB that is not registered, is in snp/msr_protocol.c.
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>
#include <x86/msr.h>

#define IOIO_BYTE   (1u << IOIO_SIZE_SHIFT)
#define PORT_UNUSED 0x80u /* POST codes: writes go nowhere */
#define NO_MSR	    0x4f000000u
#define BUFFER_END  (ghcb_buffer_gpa() + GHCB_SHARED_BUFFER_SIZE)

/*
 * EVENTINJ: valid, an exception, #GP. KVM says that there is no error code (svm_vmgexit_inject_exception), and
 * what is then in its place, bits 63:32, means nothing.
 */
#define EVENT_GP (1u << 31 | 3u << 8 | GP)

struct answer {
	uint64_t info_1, info_2;
	bool bitmap_is_right;
};

/* A call with every field valid that any event asks for; "change" then spoils something. */
struct call {
	uint64_t event, info_1, info_2;
	uint64_t rax, rcx, rdx;
	uint64_t scratch; /* 0: the shared buffer */
	uint32_t usage;
	unsigned int missing; /* bit of the field that is not valid; 0: none */
};

static bool is_valid(const struct ghcb *ghcb, unsigned int bit)
{
	return ghcb->valid_bitmap[bit / 8] >> bit % 8 & 1;
}

/* Afterwards valid is what the hypervisor gives, and nothing of what it was given. */
static bool bitmap_is_right(const struct ghcb *ghcb)
{
	static const uint8_t given[] = { GHCB_BIT(cpl), GHCB_BIT(sw_exit_code),
					 GHCB_BIT(sw_scratch), GHCB_BIT(xcr0) };

	for (unsigned int i = 0; i < COUNT_OF(given); i++)
		if (is_valid(ghcb, given[i]))
			return false;
	return is_valid(ghcb, GHCB_BIT(sw_exit_info_1)) && is_valid(ghcb, GHCB_BIT(sw_exit_info_2));
}

static void fill(struct ghcb *ghcb, const struct call *call)
{
	memset(ghcb, 0, sizeof(*ghcb));
	ghcb->protocol_version = GHCB_VERSION;
	ghcb->usage = call->usage;
	ghcb->cpl = 0;
	ghcb_set_valid(ghcb, GHCB_BIT(cpl), true);
	GHCB_SET(ghcb, sw_exit_code, call->event);
	GHCB_SET(ghcb, sw_exit_info_1, call->info_1);
	GHCB_SET(ghcb, sw_exit_info_2, call->info_2);
	GHCB_SET(ghcb, rax, call->rax);
	GHCB_SET(ghcb, rcx, call->rcx);
	GHCB_SET(ghcb, rdx, call->rdx);
	GHCB_SET(ghcb, xcr0, 1);
	GHCB_SET(ghcb, sw_scratch, call->scratch ? call->scratch : ghcb_buffer_gpa());
	if (call->missing)
		ghcb_set_valid(ghcb, call->missing, false);
}

static struct answer make(const struct call *call)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	fill(ghcb, call);
	ghcb_exit_raw(ghcb_gpa());
	answer = (struct answer){ ghcb->sw_exit_info_1, ghcb->sw_exit_info_2,
				  bitmap_is_right(ghcb) };
	ghcb_release(&hold);
	return answer;
}

#define MAKE(...) make(&(const struct call){ __VA_ARGS__ })

static void expect(struct answer answer, uint64_t info_1, uint64_t info_2)
{
	EXPECT_EQ(answer.info_1, info_1);
	EXPECT_EQ(answer.info_2, info_2);
	EXPECT_TRUE(answer.bitmap_is_right);
}

static void expect_error(struct answer answer, enum ghcb_error error)
{
	expect(answer, GHCB_BAD_INPUT, error);
}

static void expect_gp(struct answer answer)
{
	EXPECT_EQ(answer.info_1, GHCB_EXCEPTION);
	EXPECT_EQ((uint32_t)answer.info_2, EVENT_GP);
}

TEST("the features come back, and the bitmap says so")
{
	expect(MAKE(.event = GHCB_FEATURES), GHCB_NO_ACTION, sev.hv_features);
}

TEST("a usage other than 0 is refused as such, before anything else")
{
	static const uint32_t usages[] = { 1, 2, 0x10000, 0x80000000, 0xffffffff };

	for (unsigned int i = 0; i < COUNT_OF(usages); i++) {
		expect_error(MAKE(.event = GHCB_FEATURES, .usage = usages[i]), GHCB_ERROR_USAGE);
		expect_error(MAKE(.event = 0x80000000, .usage = usages[i],
				  .missing = GHCB_BIT(sw_exit_code)),
			     GHCB_ERROR_USAGE);
	}
}

TEST("an event that does not exist is refused as such")
{
	static const uint64_t events[] = {
		0x80000000, 0x80000006, 0x8000000f, 0x80000014, 0x80000018, 0x8000001a,
		0x8000fffc, 0x8000fff0, 0xffffffff, 0x60,	0x73,	    0x78,
		0x80,	    0x8d,	0x400,	    0x403,
	};

	for (unsigned int i = 0; i < COUNT_OF(events); i++)
		expect_error(MAKE(.event = events[i]), GHCB_ERROR_EVENT);
}

/* What each event needs beside the three that say what it is: one field a row. */
static const struct {
	struct call call;
	const char *name;
} missing[] = {
#define ROW(event_, field, ...)                                                                  \
	{                                                                                        \
		{ .event = event_, .missing = GHCB_BIT(field), __VA_ARGS__ }, #event_ " " #field \
	}
	ROW(GHCB_FEATURES, sw_exit_code),
	ROW(GHCB_FEATURES, sw_exit_info_1),
	ROW(GHCB_FEATURES, sw_exit_info_2),
	ROW(SVM_EXIT_WRITE_DR7, rax, .rax = 0x400),
	ROW(SVM_EXIT_RDPMC, rcx),
	ROW(SVM_EXIT_CPUID, rax),
	ROW(SVM_EXIT_CPUID, rcx),
	ROW(SVM_EXIT_CPUID, xcr0, .rax = 0xd),
	ROW(SVM_EXIT_IOIO, rax, .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_BYTE),
	ROW(SVM_EXIT_IOIO, sw_scratch,
	    .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_BYTE | IOIO_STRING, .info_2 = 1),
	ROW(SVM_EXIT_IOIO, sw_scratch,
	    .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_BYTE | IOIO_STRING | IOIO_IN,
	    .info_2 = 1),
	ROW(SVM_EXIT_MSR, rcx, .rcx = MSR_IA32_TSC),
	ROW(SVM_EXIT_MSR, rcx, .rcx = MSR_IA32_TSC, .info_1 = 1),
	ROW(SVM_EXIT_MSR, rax, .rcx = MSR_IA32_TSC, .info_1 = 1),
	ROW(SVM_EXIT_MSR, rdx, .rcx = MSR_IA32_TSC, .info_1 = 1),
	ROW(SVM_EXIT_VMMCALL, rax),
	ROW(SVM_EXIT_VMMCALL, cpl),
	ROW(SVM_EXIT_MONITOR, rax),
	ROW(SVM_EXIT_MONITOR, rcx),
	ROW(SVM_EXIT_MONITOR, rdx),
	ROW(SVM_EXIT_MWAIT, rax),
	ROW(SVM_EXIT_MWAIT, rcx),
	ROW(GHCB_MMIO_READ, sw_scratch, .info_1 = 0xd0000000, .info_2 = 4),
	ROW(GHCB_MMIO_WRITE, sw_scratch, .info_1 = 0xd0000000, .info_2 = 4),
	ROW(GHCB_PSC, sw_scratch),
	ROW(GHCB_AP_CREATION, rax, .info_1 = 0xffffffff00000001),
#undef ROW
};

TEST("each field that an event requires, if it is not valid, is missing input")
{
	for (unsigned int i = 0; i < COUNT_OF(missing); i++) {
		struct answer answer = make(&missing[i].call);

		EXPECT_EQ(answer.info_1, GHCB_BAD_INPUT, "%s", missing[i].name);
		EXPECT_EQ(answer.info_2, GHCB_ERROR_MISSING, "%s", missing[i].name);
	}
}

TEST("a field that an event does not require may be missing")
{
	expect(MAKE(.event = GHCB_FEATURES, .missing = GHCB_BIT(rax)), GHCB_NO_ACTION,
	       sev.hv_features);
	expect(MAKE(.event = SVM_EXIT_CPUID, .rax = 1, .missing = GHCB_BIT(xcr0)), GHCB_NO_ACTION,
	       0);
	expect(MAKE(.event = SVM_EXIT_MSR, .rcx = MSR_IA32_TSC, .missing = GHCB_BIT(rdx)),
	       GHCB_NO_ACTION, 0);
	expect(MAKE(.event = SVM_EXIT_IOIO,
		    .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_BYTE | IOIO_IN,
		    .missing = GHCB_BIT(rax)),
	       GHCB_NO_ACTION, 0);
}

TEST("an MSR that does not exist is answered by #GP, for reading and writing")
{
	expect_gp(MAKE(.event = SVM_EXIT_MSR, .rcx = NO_MSR));
	expect_gp(MAKE(.event = SVM_EXIT_MSR, .rcx = NO_MSR, .info_1 = 1));
	expect_gp(MAKE(.event = SVM_EXIT_MSR, .rcx = MSR_IA32_APIC_BASE, .info_1 = 1,
		       .rax = 0xffffffff, .rdx = 0xffffffff));
}

/* Each event with the least that it uses of the scratch area. */
static struct answer psc_at(uint64_t scratch)
{
	return MAKE(.event = GHCB_PSC, .scratch = scratch);
}

static struct answer mmio_at(uint64_t scratch, uint64_t size)
{
	return MAKE(.event = GHCB_MMIO_READ, .info_1 = memory_hole(), .info_2 = size,
		    .scratch = scratch);
}

static struct answer outs_at(uint64_t scratch, uint64_t count)
{
	return MAKE(.event = SVM_EXIT_IOIO,
		    .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_BYTE | IOIO_STRING | IOIO_REP,
		    .info_2 = count, .scratch = scratch);
}

TEST("a scratch area that ends with the shared buffer is accepted")
{
	expect(mmio_at(BUFFER_END - 8, 8), GHCB_NO_ACTION, 0);
	expect(mmio_at(BUFFER_END - 1, 1), GHCB_NO_ACTION, 0);
	expect(outs_at(BUFFER_END - 16, 16), GHCB_NO_ACTION, 0);
	expect(outs_at(ghcb_buffer_gpa(), GHCB_SHARED_BUFFER_SIZE), GHCB_NO_ACTION, 0);
	/* There is room for the header, and for no entry. */
	expect(psc_at(BUFFER_END - 8), GHCB_NO_ACTION, 0x100000001);
}

TEST("a scratch area that ends beyond the shared buffer is refused")
{
	expect_error(mmio_at(BUFFER_END - 7, 8), GHCB_ERROR_SCRATCH);
	expect_error(mmio_at(BUFFER_END, 1), GHCB_ERROR_SCRATCH);
	expect_error(outs_at(BUFFER_END - 16, 17), GHCB_ERROR_SCRATCH);
	expect_error(outs_at(ghcb_buffer_gpa(), GHCB_SHARED_BUFFER_SIZE + 1), GHCB_ERROR_SCRATCH);
	expect_error(psc_at(BUFFER_END - 7), GHCB_ERROR_SCRATCH);
}

TEST("a scratch area that begins before the shared buffer is refused")
{
	expect_error(mmio_at(ghcb_buffer_gpa() - 1, 1), GHCB_ERROR_SCRATCH);
	expect_error(mmio_at(ghcb_gpa(), 4), GHCB_ERROR_SCRATCH);
	expect_error(outs_at(ghcb_buffer_gpa() - 1, 16), GHCB_ERROR_SCRATCH);
	expect_error(psc_at(ghcb_buffer_gpa() - 8), GHCB_ERROR_SCRATCH);
}

/* In version 1 it could lie anywhere. */
TEST("a scratch area outside of the GHCB is refused, in shared memory and without memory")
{
	const uint64_t elsewhere[] = { (uintptr_t)sev_bounce(), memory_hole(), 0xfffffffffffffff0 };

	for (unsigned int i = 0; i < COUNT_OF(elsewhere); i++) {
		expect_error(mmio_at(elsewhere[i], 4), GHCB_ERROR_SCRATCH);
		expect_error(outs_at(elsewhere[i], 4), GHCB_ERROR_SCRATCH);
		expect_error(psc_at(elsewhere[i]), GHCB_ERROR_SCRATCH);
	}
}

TEST("MMIO of 1, 2, 4 and 8 bytes is done, of none is nothing, and of more is invalid")
{
	static const uint64_t invalid[] = { 9, 16, 4096, 1ull << 32, ~0ull };

	for (uint64_t size = 1; size <= 8; size *= 2)
		expect(mmio_at(0, size), GHCB_NO_ACTION, 0);
	expect(mmio_at(0, 0), GHCB_NO_ACTION, 0);
	for (unsigned int i = 0; i < COUNT_OF(invalid); i++)
		expect_error(mmio_at(0, invalid[i]), GHCB_ERROR_INVALID);
}

TEST("a port access of no size does nothing")
{
	expect(MAKE(.event = SVM_EXIT_IOIO, .info_1 = PORT_UNUSED << IOIO_PORT_SHIFT | IOIO_IN),
	       GHCB_NO_ACTION, 0);
}

TEST("the AP jump table is what was set, and other requests for it are invalid")
{
	expect(MAKE(.event = GHCB_AP_JUMP_TABLE, .info_1 = 0, .info_2 = 0x123456789000),
	       GHCB_NO_ACTION, 0);
	expect(MAKE(.event = GHCB_AP_JUMP_TABLE, .info_1 = 1), GHCB_NO_ACTION, 0x123456789000);
	expect_error(MAKE(.event = GHCB_AP_JUMP_TABLE, .info_1 = 2), GHCB_ERROR_INVALID);
	expect_error(MAKE(.event = GHCB_AP_JUMP_TABLE, .info_1 = 1ull << 32), GHCB_ERROR_INVALID);
}

TEST("a guest request with pages that are not aligned, or the same, is invalid")
{
	uint64_t page = (uintptr_t)sev_bounce();
	static const uint64_t events[] = { GHCB_GUEST_REQUEST, GHCB_EXT_GUEST_REQUEST };

	for (unsigned int i = 0; i < COUNT_OF(events); i++) {
		expect_error(MAKE(.event = events[i], .info_1 = page, .info_2 = page),
			     GHCB_ERROR_INVALID);
		expect_error(MAKE(.event = events[i], .info_1 = page + 8, .info_2 = page + 4096),
			     GHCB_ERROR_INVALID);
		expect_error(MAKE(.event = events[i], .info_1 = page, .info_2 = page + 4095),
			     GHCB_ERROR_INVALID);
	}
}
