/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Indirect branch tracking: branches of each kind, what they lead to, and how they ended
 *
 *	uintptr_t target = target_write(address, TARGET_NO_ENDBR);
 *	struct branch_result result = branch_run(CPL3, CET_ENDBR_EN, branch_call_register, target);
 *
 * A branch is a function of one argument that runs at CPL 0 and at CPL 3; it begins with the ENDBR of its
 * mode. What it leads to is code that a test writes: a first instruction of the test's choice, then "return
 * TARGET_REACHED". All of it returns by near RET, so that a branch comes back to where it was called.
 */
#ifndef X86_CET_BRANCHES_H
#define X86_CET_BRANCHES_H

#include <stdint.h>

#include <test/test.h>
#include <x86/cet.h>
#include <x86/user.h>

/* The value that a branch to a target has if the target was run. */
#define TARGET_REACHED 0x600d600dul

/* Intel SDM volume 2, "ENDBR32" and "ENDBR64": one of the two is a NOP in this mode. */
#ifdef __x86_64__
#define BYTES_ENDBR	  0xf3, 0x0f, 0x1e, 0xfa
#define BYTES_OTHER_ENDBR 0xf3, 0x0f, 0x1e, 0xfb
#else
#define BYTES_ENDBR	  0xf3, 0x0f, 0x1e, 0xfb
#define BYTES_OTHER_ENDBR 0xf3, 0x0f, 0x1e, 0xfa
#endif

struct target_bytes {
	uint8_t length;
	uint8_t bytes[15];
};

#define TARGET_BYTES(...) \
	((struct target_bytes){ sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } })
#define TARGET_ENDBR	   TARGET_BYTES(BYTES_ENDBR)
#define TARGET_OTHER_ENDBR TARGET_BYTES(BYTES_OTHER_ENDBR)
#define TARGET_NO_ENDBR	   TARGET_BYTES(0x90)

/* Writes a target that begins with these bytes; returns its address. */
uintptr_t target_write(uintptr_t address, struct target_bytes first);

/* The same in a page of its own. */
uintptr_t target_new(struct target_bytes first);

/* CR4.CET is set; SKIP where CPUID shows no indirect branch tracking. */
void ibt_enable(void);

enum cpl { CPL0, CPL3 };

struct branch_result {
	uintptr_t value;	/* what it returned; 0 if it did not */
	struct x86_fault fault; /* what ended it */
	/*
	 * IA32_S_CET or IA32_U_CET as the branch left it. At CPL 0 it is lost if an exception ended the branch,
	 * whose delivery and whose handler change it: 0.
	 */
	uint64_t cet;
};

/* Runs branch(argument) with IA32_S_CET (CPL 0) or IA32_U_CET (CPL 3) = cet, which is 0 afterwards. */
struct branch_result branch_run(enum cpl cpl, uint64_t cet, user_function *branch,
				uintptr_t argument);

/* Goes on at CPL 3 by IRET at this address, with IA32_U_CET as it is. */
struct branch_result branch_resume(uintptr_t ip);

/*
 * A test of two points, one at each CPL. Points of one file are run in the order of their lines, and need one
 * each: the second has the line that follows.
 */
#define IN_BOTH_MODES(statement) IN_BOTH_MODES_(statement, TEST_CAT(test_at_line_, __LINE__))

#define IN_BOTH_MODES_(statement, function)                          \
	static void function(enum cpl cpl);                          \
	IN_MODE_(statement " (CPL 0)", function, CPL0, __LINE__)     \
	IN_MODE_(statement " (CPL 3)", function, CPL3, __LINE__ + 1) \
	static void function(enum cpl cpl)

#define IN_MODE_(statement, function, at_cpl, at_line)                                           \
	static void function##_##at_cpl(void)                                                    \
	{                                                                                        \
		function(at_cpl);                                                                \
	}                                                                                        \
	static const struct test function##_##at_cpl##_entry __attribute__((                     \
		used, section("vmabi_tests"), aligned(sizeof(void *)))) = {                      \
		.name = statement, .file = __FILE__, .line = at_line, .run = function##_##at_cpl \
	};

/* --- branches to an address that is the argument ------------------------------------------------ */

user_function branch_call_register, branch_call_memory, branch_jmp_register, branch_jmp_memory;

/* Same selector of CS: m16:64 or m16:32. */
user_function branch_far_call, branch_far_jmp;

/* With the prefix 3EH; and a near CALL by register with another segment prefix before or behind it. */
user_function notrack_call_register, notrack_call_memory, notrack_jmp_register, notrack_jmp_memory;
user_function notrack_far_call, notrack_far_jmp;
user_function notrack_then_fs, fs_then_notrack, notrack_then_es, es_then_notrack;

#ifdef __x86_64__
/* A far JMP to compatibility mode; and a near CALL there. What they lead to returns from there. */
user_function branch_compat_far_jmp, branch_compat_call;
#endif

/* CALL by register with RFLAGS.TF, which POPF has set right before. */
user_function branch_stepped;

/*
 * INT VECTOR_BRANCH_IOPL, whose handler gives it the right to use STI, and CALL in STI's shadow: a pending
 * interrupt comes between the CALL and its target.
 */
#define VECTOR_BRANCH_IOPL 0x41
user_function branch_after_sti;

/* --- others ------------------------------------------------------------------------------------- */

/* CALL by the word that the argument points to. */
user_function branch_call_pointer;

/* CALLs by register, one for each word of the array that the argument points to, whose end is 0. */
user_function branch_call_list;

/* The same for two, the second of which is a far CALL. */
user_function branch_call_then_far;

/* To code without ENDBR, which returns TARGET_REACHED; the argument is ignored. */
user_function direct_call, direct_call_zero, direct_jmp, direct_jcc, direct_loop;
user_function return_near, return_imm, return_far, return_iret;

/* RET after its return address was replaced. */
user_function return_corrupted;

/* ENDBR32 and ENDBR64 with these flags. Returns the flags after them; 0 if a register has changed. */
user_function endbr_both;

/* Writes its argument to IA32_S_CET, and goes on with a NOP, or with an ENDBR. Then TARGET_REACHED. */
user_function tracker_set_then_nop, tracker_set_then_endbr;
extern const char tracker_set_nop[];

/* INT VECTOR_BRANCH_GATE, and then TARGET_REACHED. */
#define VECTOR_BRANCH_GATE 0x42
user_function branch_int;

/* --- gates -------------------------------------------------------------------------------------- */

/* Makes a gate lead to another entry, and returns where it led before. */
uintptr_t gate_set(unsigned int vector, uintptr_t entry);

/* An entry that goes back to CPL 3 by far RET: with other flags than before, and with AX and CX lost. */
extern const char gate_far_return[];

/* An entry without ENDBR, which returns by IRET. */
extern const char gate_without_endbr[];

/*
 * An entry for the #CP of such an entry: it notes the exception, and returns in the other entry's place.
 */
extern const char gate_of_cp[];
struct gate_seen {
	uintptr_t error_code, ip;
};
extern volatile struct gate_seen gate_seen;

#endif
