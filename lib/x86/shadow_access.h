/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow stack accesses one by one, and a page on the way to which everything can be changed
 *
 *	const struct shadow_probe *probe = shadow_probe(LEVEL_4K, PTE_SHADOW_SUPERVISOR);
 *
 *	cet_enable();
 *	shadow_probe_entry(probe, LEVEL_2M, PTE_P | PTE_U);
 *	EXPECT_FAULT_EQ(shadow_access(SHADOW_STORE, probe), PF,
 *			shadow_access_error(SHADOW_STORE, PF_PRESENT));
 *
 * The entries of a probe at all levels are its own, so that nothing else depends on what a test makes of
 * them. The supervisor's shadow stack, on which an exception's frame goes, is a good page elsewhere, just
 * below the probe. At CPL 3 the probe's word is all of the shadow stack.
 *
 * Shadow stack accesses, whether of user or supervisor mode: Intel SDM volume 3, "Determination of Access
 * Rights"; volume 2 for what each instruction loads and stores.
 */
#ifndef X86_SHADOW_ACCESS_H
#define X86_SHADOW_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <x86/fault.h>
#include <x86/paging.h>
#include <x86/shadow_stack.h>

/* The highest level whose entries have W, U, A and NX: in PAE paging a PDPTE has none of them. */
#ifdef __x86_64__
#define LEVEL_LAST LEVEL_512G
#else
#define LEVEL_LAST LEVEL_2M
#endif

enum shadow_access {
	SHADOW_STORE, /* WRSS at CPL 0 */
	SHADOW_LOAD,  /* INCSSP at CPL 0 */
	SHADOW_WRUSS, /* at CPL 0; a user access all the same */
	SHADOW_USER_STORE,
	SHADOW_USER_LOAD,
	SHADOW_BASIC, /* so many are above: for probes of every level */

	SHADOW_RETURN = SHADOW_BASIC, /* RET at CPL 0; for probes of 4 KiB and 2 MiB */
	SHADOW_USER_CALL,
	SHADOW_USER_RETURN,
	SHADOW_PLAIN, /* those above load or store; these load, locked, and store */

	SHADOW_RESTORE = SHADOW_PLAIN, /* RSTORSSP */
	SHADOW_USER_RESTORE,
	SHADOW_ACCESSES,
};

struct shadow_access_kind {
	const char *name;
	bool user;
	bool write; /* as the error code has it */
};

extern const struct shadow_access_kind shadow_access_kinds[SHADOW_ACCESSES];

struct shadow_probe {
	enum page_level level; /* of its leaf */
	uintptr_t start; /* of what the leaf maps; no other entry of any level is used for it */
	uintptr_t va;	 /* the word that is accessed; a CPL 0 load's is the one at start */
	uint64_t pa;	 /* what the leaf maps */
	uint8_t *page;	 /* of that, the page with the word at va, as ordinary memory */
	struct shadow_stack below;
};

/*
 * The one probe of this level, its page zeroed, its leaf with these flags (PTE_PS need not be among them) and
 * all entries above it with PTE_RAM. At 1 GiB "start" is not in "page", and may only be read.
 */
const struct shadow_probe *shadow_probe(enum page_level level, uint64_t flags);

/* Gives its entry of this level, its leaf's or a higher one, these flags and no others. */
void shadow_probe_entry(const struct shadow_probe *probe, unsigned int level, uint64_t flags);

/* The same without a flush of any TLB. */
void shadow_probe_entry_unflushed(const struct shadow_probe *probe, unsigned int level,
				  uint64_t flags);

/* The flags of that entry, those that the CPU has set among them. */
uint64_t shadow_probe_flags(const struct shadow_probe *probe, unsigned int level);

/*
 * Makes that access, with CR4.CET set, and returns what it raised. A store of WRSS or WRUSS writes
 * SHADOW_WRITTEN. What else the access needs to succeed, such as a token, is put there before. Leaves
 * IA32_S_CET and IA32_U_CET zero.
 */
struct x86_fault shadow_access(enum shadow_access access, const struct shadow_probe *probe);

#define SHADOW_WRITTEN 0x5ad0ba5eul

/* Where it accesses. */
uintptr_t shadow_access_address(enum shadow_access access, const struct shadow_probe *probe);

/* The probe's word, as ordinary memory has it. */
uintptr_t shadow_probe_word(const struct shadow_probe *probe);

/* A restore token that belongs at the probe's word. */
uint64_t shadow_restore_token(const struct shadow_probe *probe);

/* The error code of a #PF on that access, of which the rest is "reason". */
uint32_t shadow_access_error(enum shadow_access access, uint32_t reason);

/*
 * Makes the access and notes a failure unless it raises this vector: NO_FAULT; or PF, with this reason in the
 * error code beside what the access has there, and its address in CR2. Also unless WRSS and WRUSS have
 * written the word if they raised nothing, and else not.
 */
#define EXPECT_SHADOW(access, probe, vector, reason)                                              \
	shadow_access_expect(TEST_SITE(#access " raises " #vector, false), access, probe, vector, \
			     reason)

void shadow_access_expect(const struct test_site *site, enum shadow_access access,
			  const struct shadow_probe *probe, unsigned int vector, uint32_t reason);

#endif
