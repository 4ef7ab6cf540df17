// SPDX-License-Identifier: BSD-2-Clause
/*
 * Indirect branch tracking: code that has no ENDBR, the legacy code page bitmap, and suppression
 *
 * With LEG_IW_EN, an instruction that is not the ENDBR which a branch wants raises #CP only if the bitmap has no
 * bit for its page. The bitmap begins at the address in bits 63:12 of IA32_U_CET or IA32_S_CET and has a bit for
 * each 4 KiB of linear addresses: bit LA[14:12] of the byte at base + LA[47:15] (LA[31:15] outside of 64-bit
 * mode). It is read as data, with the rights of the CPL; if that faults, the tracker goes on waiting, and the IP is
 * that of the target. If the bit is set, the tracker becomes idle, and unless SUPPRESS_DIS is set, SUPPRESS too
 * is set: then near indirect branches are not tracked until an ENDBR is executed, or a far branch or an event
 * that enters this class of privilege levels ends that.
 *
 * Sources: Intel SDM volume 1, "Legacy Compatibility Treatment", "Legacy Code Page Bitmap Format", and the table
 * "Indirect Branch Tracking State Machine".
 */
#include <test/test.h>
#include <x86/cet.h>
#include <x86/cet_branches.h>
#include <x86/descriptors.h>
#include <x86/interrupt.h>
#include <x86/msr.h>
#include <x86/paging.h>

/*
 * Code is in two pages, where linear addresses have bits above bit 31 in 64-bit guests, and in one 128 MiB
 * further up, whose bit is in the bitmap's next page.
 */
#define CODE_VA	    VA_FREE
#define FAR_CODE_VA (CODE_VA + 0x8000000)
#ifdef __x86_64__
#define UPPER_CODE_VA 0xffff800000003000ul
#endif

/*
 * One page of the bitmap is mapped, if at all. The bits for the guest's own code are right behind the base, where
 * nothing is mapped: that code has ENDBRs.
 */
#define BITMAP_BASE	     (VA_FREE + 0x1000000)
#define BITMAP_BYTE(address) (BITMAP_BASE + ((address) >> 15))
#define BITMAP_PAGE	     (BITMAP_BYTE(CODE_VA) & PAGE_MASK)

#define LEGACY		     (CET_ENDBR_EN | CET_LEG_IW_EN | BITMAP_BASE)

struct legacy {
	uintptr_t code, second, far; /* targets without ENDBR, each at the start of its page */
	volatile uint8_t *bitmap;    /* its page in ordinary memory, all of whose bits are clear */
};

/* The page of the bitmap has these rights, which may be none. */
static struct legacy legacy_new(uint64_t bitmap_rights)
{
	struct legacy legacy = { .code = CODE_VA,
				 .second = CODE_VA + PAGE_SIZE,
				 .far = FAR_CODE_VA };

	ibt_enable();
	map_page(legacy.code, target_new(TARGET_NO_ENDBR), LEVEL_4K, PTE_RAM);
	map_page(legacy.second, target_new(TARGET_NO_ENDBR), LEVEL_4K, PTE_RAM);
	map_page(legacy.far, target_new(TARGET_NO_ENDBR), LEVEL_4K, PTE_RAM);
	legacy.bitmap = page_alloc();
	map_page(BITMAP_PAGE, (uintptr_t)legacy.bitmap, LEVEL_4K, bitmap_rights);
	return legacy;
}

/* The bit of a page of code in its byte; and that byte. */
static uint8_t bit_of(uintptr_t address)
{
	return 1 << (address >> PAGE_SHIFT & 7);
}

static volatile uint8_t *byte_of(const struct legacy *legacy, uintptr_t address)
{
	return legacy->bitmap + (BITMAP_BYTE(address) - BITMAP_PAGE);
}

/* The same with the bit of the first page of code set, and no other. */
static struct legacy legacy_allowed(uint64_t bitmap_rights)
{
	struct legacy legacy = legacy_new(bitmap_rights);

	*byte_of(&legacy, legacy.code) = bit_of(legacy.code);
	return legacy;
}

static void expect_reached(struct branch_result result, uint64_t cet)
{
	EXPECT_FAULT_EQ(result.fault, NO_FAULT, 0);
	EXPECT_EQ(result.value, TARGET_REACHED);
	EXPECT_EQ(result.cet, cet);
}

/* At CPL 3 the tracker goes on waiting; see struct branch_result for CPL 0. */
static void expect_missing(enum cpl cpl, struct branch_result result, uintptr_t ip, uint64_t cet)
{
	EXPECT_FAULT_EQ(result.fault, CP, CP_ENDBRANCH);
	EXPECT_EQ(result.fault.ip, ip);
	EXPECT_EQ(result.cet, cpl == CPL3 ? cet | CET_TRACKER : 0);
}

/*
 * --- the bitmap ---------------------------------------------------------------------------------
 */

IN_BOTH_MODES("with LEG_IW_EN, code whose bit is set may be branched to, which suppresses tracking")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);

	expect_reached(branch_run(cpl, LEGACY, branch_call_register, legacy.code),
		       LEGACY | CET_SUPPRESS);
}

IN_BOTH_MODES(
	"with LEG_IW_EN and SUPPRESS_DIS, code whose bit is set may be branched to, and no more")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	const uint64_t cet = LEGACY | CET_SUPPRESS_DIS;

	expect_reached(branch_run(cpl, cet, branch_call_register, legacy.code), cet);
}

IN_BOTH_MODES("with LEG_IW_EN, code whose bit is clear wants ENDBR, whatever the other bits are")
{
	struct legacy legacy = legacy_new(PTE_RAM);

	for (uintptr_t i = 0; i < PAGE_SIZE; i++)
		legacy.bitmap[i] = 0xff;
	*byte_of(&legacy, legacy.code) = ~bit_of(legacy.code);
	expect_missing(cpl, branch_run(cpl, LEGACY, branch_call_register, legacy.code), legacy.code,
		       LEGACY);
}

IN_BOTH_MODES("the second page has a bit of its own")
{
	struct legacy legacy = legacy_new(PTE_RAM);

	*byte_of(&legacy, legacy.second) = bit_of(legacy.second);
	expect_missing(cpl, branch_run(cpl, LEGACY, branch_call_register, legacy.code), legacy.code,
		       LEGACY);
	expect_reached(branch_run(cpl, LEGACY, branch_call_register, legacy.second),
		       LEGACY | CET_SUPPRESS);
}

#ifdef __x86_64__
/* Its byte is 4 GiB behind the base. */
IN_BOTH_MODES("code in the upper half of the addresses has its bit by bits 47 to 12")
{
	const uintptr_t code = UPPER_CODE_VA;
	const uintptr_t byte = BITMAP_BASE + ((code & ((1ul << 48) - 1)) >> 15);
	uint8_t *bitmap = page_alloc();

	ibt_enable();
	map_page(code, target_new(TARGET_NO_ENDBR), LEVEL_4K, PTE_RAM);
	map_page(byte & PAGE_MASK, (uintptr_t)bitmap, LEVEL_4K, PTE_RAM);
	expect_missing(cpl, branch_run(cpl, LEGACY, branch_call_register, code), code, LEGACY);
	bitmap[byte & ~PAGE_MASK] = bit_of(code);
	expect_reached(branch_run(cpl, LEGACY, branch_call_register, code), LEGACY | CET_SUPPRESS);
}
#endif

IN_BOTH_MODES("without LEG_IW_EN, a set bit allows nothing")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	const uint64_t cet = LEGACY & ~CET_LEG_IW_EN;

	expect_missing(cpl, branch_run(cpl, cet, branch_call_register, legacy.code), legacy.code,
		       cet);
}

IN_BOTH_MODES("far branches may go to code whose bit is set, too")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);

	expect_reached(branch_run(cpl, LEGACY, branch_far_call, legacy.code),
		       LEGACY | CET_SUPPRESS);
	expect_reached(branch_run(cpl, LEGACY, branch_far_jmp, legacy.code), LEGACY | CET_SUPPRESS);
}

IN_BOTH_MODES("a bitmap that may only be read will do")
{
	struct legacy legacy = legacy_allowed(PTE_P | PTE_U);

	expect_reached(branch_run(cpl, LEGACY, branch_call_register, legacy.code),
		       LEGACY | CET_SUPPRESS);
}

/* What the fault of reading the bitmap looks like, and that the tracker waits on. */
static void expect_bitmap_fault(enum cpl cpl, uintptr_t code, uint32_t error_code)
{
	struct branch_result result = branch_run(cpl, LEGACY, branch_call_register, code);

	EXPECT_FAULT_EQ(result.fault, PF, error_code);
	EXPECT_EQ(result.fault.cr2, BITMAP_BYTE(code));
	EXPECT_EQ(result.fault.ip, code);
	EXPECT_EQ(result.cet, cpl == CPL3 ? LEGACY | CET_TRACKER : 0);
}

TEST("a page of the bitmap that is missing raises the PF of a read at CPL 0")
{
	expect_bitmap_fault(CPL0, legacy_new(0).code, 0);
}

TEST("a page of the bitmap that is missing raises the PF of a read at CPL 3")
{
	expect_bitmap_fault(CPL3, legacy_new(0).code, PF_USER);
}

TEST("a bitmap of the supervisor's may be read at CPL 0")
{
	struct legacy legacy = legacy_allowed(PTE_P);

	expect_reached(branch_run(CPL0, LEGACY, branch_call_register, legacy.code),
		       LEGACY | CET_SUPPRESS);
}

TEST("a bitmap of the supervisor's raises PF at CPL 3")
{
	struct legacy legacy = legacy_allowed(PTE_P);

	expect_bitmap_fault(CPL3, legacy.code, PF_PRESENT | PF_USER);
}

/* The same instruction is begun again, and looks up the bitmap again. */
TEST("behind a PF of the bitmap, IRET to CPL 3 goes on waiting")
{
	struct legacy legacy = legacy_allowed(0);
	struct branch_result result;

	result = branch_run(CPL3, LEGACY, branch_call_register, legacy.code);
	EXPECT_EQ(result.fault.vector, PF);
	map_page(BITMAP_PAGE, (uintptr_t)legacy.bitmap, LEVEL_4K, PTE_RAM);
	wrmsr(MSR_IA32_U_CET, result.cet);
	expect_reached(branch_resume(legacy.code), LEGACY | CET_SUPPRESS);
}

IN_BOTH_MODES("an ENDBR at the target needs no bitmap")
{
	struct legacy legacy = legacy_new(0);

	target_write(legacy.code, TARGET_ENDBR);
	expect_reached(branch_run(cpl, LEGACY, branch_call_register, legacy.code), LEGACY);
}

IN_BOTH_MODES("a branch that is not tracked needs no bitmap")
{
	struct legacy legacy = legacy_new(0);
	const uint64_t cet = LEGACY | CET_NO_TRACK_EN;

	expect_reached(branch_run(cpl, cet, notrack_call_register, legacy.code), cet);
}

IN_BOTH_MODES("INT3 at the target needs no bitmap")
{
	struct legacy legacy = legacy_new(0);
	struct branch_result result;

	target_write(legacy.code, TARGET_BYTES(0xcc));
	result = branch_run(cpl, LEGACY, branch_call_register, legacy.code);
	EXPECT_FAULT_EQ(result.fault, BP, 0);
	EXPECT_EQ(result.cet, cpl == CPL3 ? LEGACY | CET_TRACKER : 0);
}

/*
 * --- suppression --------------------------------------------------------------------------------
 */

/* Calls first, second and third, the last of which may be 0; the first is legacy code. */
static struct branch_result run_list(enum cpl cpl, uint64_t cet, uintptr_t first, uintptr_t second,
				     uintptr_t third)
{
	const uintptr_t list[] = { first, second, third, 0 };

	return branch_run(cpl, cet, branch_call_list, (uintptr_t)list);
}

IN_BOTH_MODES("behind legacy code, near branches are not tracked, and read no bitmap")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);

	expect_reached(run_list(cpl, LEGACY, legacy.code, legacy.second, legacy.far),
		       LEGACY | CET_SUPPRESS);
}

IN_BOTH_MODES("behind legacy code with SUPPRESS_DIS, near branches are tracked")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	const uint64_t cet = LEGACY | CET_SUPPRESS_DIS;

	expect_missing(cpl, run_list(cpl, cet, legacy.code, legacy.second, 0), legacy.second, cet);
}

IN_BOTH_MODES("behind legacy code, an ENDBR ends the suppression")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	uintptr_t endbr = target_new(TARGET_ENDBR);

	expect_reached(run_list(cpl, LEGACY, legacy.code, endbr, 0), LEGACY);
	expect_missing(cpl, run_list(cpl, LEGACY, legacy.code, endbr, legacy.second), legacy.second,
		       LEGACY);
}

IN_BOTH_MODES("behind legacy code, the other mode's ENDBR does not end the suppression")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	uintptr_t other = target_new(TARGET_OTHER_ENDBR);

	expect_reached(run_list(cpl, LEGACY, legacy.code, other, legacy.second),
		       LEGACY | CET_SUPPRESS);
}

IN_BOTH_MODES("behind legacy code, a far CALL ends the suppression")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);
	uintptr_t to_endbr[] = { legacy.code, target_new(TARGET_ENDBR) };
	uintptr_t to_none[] = { legacy.code, legacy.second };

	expect_reached(branch_run(cpl, LEGACY, branch_call_then_far, (uintptr_t)to_endbr), LEGACY);
	expect_missing(cpl, branch_run(cpl, LEGACY, branch_call_then_far, (uintptr_t)to_none),
		       legacy.second, LEGACY);
}

static void do_nothing(struct x86_frame *frame)
{
	(void)frame;
}

/* Behind legacy code, an event (INT n) and then a target without ENDBR. */
static struct branch_result run_event(enum cpl cpl, const struct legacy *legacy)
{
	uintptr_t event = target_new(TARGET_BYTES(0xcd, VECTOR_BRANCH_GATE));
	struct branch_result result;

	irq_handler(VECTOR_BRANCH_GATE, do_nothing);
	idt_set_dpl(VECTOR_BRANCH_GATE, 3);
	result = run_list(cpl, LEGACY, legacy->code, event, legacy->second);
	idt_set_dpl(VECTOR_BRANCH_GATE, 0);
	return result;
}

TEST("behind legacy code at CPL 0, an event ends the suppression")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);

	expect_missing(CPL0, run_event(CPL0, &legacy), legacy.second, LEGACY);
}

TEST("behind legacy code at CPL 3, an event leaves the suppression")
{
	struct legacy legacy = legacy_allowed(PTE_RAM);

	expect_reached(run_event(CPL3, &legacy), LEGACY | CET_SUPPRESS);
}

/* The branch begins with ENDBR, which ends it. */
IN_BOTH_MODES("SUPPRESS set by WRMSR lasts until an ENDBR")
{
	uintptr_t target = target_new(TARGET_NO_ENDBR);
	struct branch_result result;

	ibt_enable();
	result = branch_run(cpl, CET_ENDBR_EN | CET_SUPPRESS, direct_jmp, 0);
	expect_reached(result, CET_ENDBR_EN);
	result = branch_run(cpl, CET_ENDBR_EN | CET_SUPPRESS, branch_call_register, target);
	expect_missing(cpl, result, target, CET_ENDBR_EN);
}

/* CALL to the next instruction; POP AX; ADD what it is to the end, AX; JMP *AX */
#ifdef __x86_64__
#define JMP_BEHIND \
	TARGET_BYTES(0xe8, 0x00, 0x00, 0x00, 0x00, 0x58, 0x48, 0x83, 0xc0, 0x07, 0xff, 0xe0)
#else
#define JMP_BEHIND TARGET_BYTES(0xe8, 0x00, 0x00, 0x00, 0x00, 0x58, 0x83, 0xc0, 0x06, 0xff, 0xe0)
#endif

/* Code at CPL 3 without ENDBR, entered by IRET: JMP by register to its end. */
TEST("SUPPRESS set by WRMSR lets CPL 3 branch as it likes")
{
	uintptr_t code = target_new(JMP_BEHIND);

	ibt_enable();
	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN | CET_SUPPRESS);
	expect_reached(branch_resume(code), CET_ENDBR_EN | CET_SUPPRESS);
	wrmsr(MSR_IA32_U_CET, CET_ENDBR_EN);
	expect_missing(CPL3, branch_resume(code), code + JMP_BEHIND.length, CET_ENDBR_EN);
}
