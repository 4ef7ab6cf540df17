/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Absent pages, and what CPU 0 is told of them, or is not: for tests of asynchronous page faults
 *
 * CPU 0 makes pages absent and touches them. CPU 1 looks on, and brings a page back where CPU 0 cannot
 * do it: while it waits for the page, and when KVM has forgotten it, which is a failure then and
 * not a test that hangs.
 */
#ifndef KVM_ASYNC_PF_PAGES_H
#define KVM_ASYNC_PF_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include <kvm/async_pf.h>
#include <x86/fault.h>

/* How many pages may be absent at a time. */
#define ABSENT_MAX 80

/*
 * Begins a test point: SKIPs it without the CPUID bits, brings back what an earlier point left
 * absent, and switches asynchronous page faults on with these flags, or off.
 */
void async_pf_begin(uint32_t flags);
void async_pf_begin_off(void);

/* The first word of page number n: what absent_page() puts there. */
uint32_t absent_contents(unsigned int n);

/* A new page with these contents, which is then absent; of this very page; without contents. */
uintptr_t absent_page(unsigned int n);
void absent_page_at(uintptr_t page, unsigned int n);
void absent_make(uintptr_t page);

/* Brings one back. That it was absent is expected. */
void absent_end(uintptr_t page);

/*
 * Ways to touch a page. They return what that raised, and its first word in *value if it was
 * read. "Masked" is with interrupts disabled; they are, when these return.
 */
typedef struct x86_fault touch_function(uintptr_t page, uintptr_t *value);

touch_function touch_kernel, touch_kernel_masked, touch_user, touch_user_masked;

/* As user_function and for the touches: reads the word at this address. */
uintptr_t read_word(uintptr_t address);

/* CPU 0 touches this page: "page not present" is to come. Clears the flags, and returns the token. */
uint32_t expect_not_present(touch_function *touch, uintptr_t page);

/* The same at CPL 3. */
uint32_t fault_at_user(uintptr_t page);

/* Checks that this is "page not present", clears the flags, and returns the token. */
uint32_t take_not_present(struct x86_fault fault);

/* The fault of a touch, be there one or none, with CPU 1 to end it if it does not come back. */
struct x86_fault touch_rescued(touch_function *touch, uintptr_t page, uintptr_t *value);

/* The next "page ready" is to be the count-th, with this token; takes it. */
void expect_ready(uint32_t token, unsigned int count);

/* Brings the page back before that. */
void bring_back(uintptr_t page, uint32_t token, unsigned int count);

/* At CPL 3 the page is there, with the contents of number n. */
void expect_contents(uintptr_t page, unsigned int n);

/*
 * CPU 0 touches a page that is absent and waits for it, without "page not present"; CPU 1 brings it
 * back. While it waits it takes interrupts (KVM has halted the vCPU) or takes none (it waits in the
 * host): this too is expected. Returns what the touch raised.
 */
enum silence { TAKES_INTERRUPTS, TAKES_NONE };

struct x86_fault expect_wait(touch_function *touch, uintptr_t page, enum silence silence,
			     uintptr_t *value);

/* The same, and it is not followed by "page ready" either. */
struct x86_fault expect_silence(touch_function *touch, uintptr_t page, enum silence silence,
				uintptr_t *value);

/* The same, with a new page, which the touch is to read. */
void expect_silent_read(touch_function *touch, enum silence silence);

/*
 * CPU 0 touches page number n, of which it was told already: it is not told again, and waits halted
 * until an interrupt of CPU 1 gets it out. The page stays absent.
 */
void expect_not_told_again(uintptr_t page, unsigned int n);

/*
 * CPU 1 brings the page back a moment after this is called, and interrupts CPU 0 if that is then
 * stuck; until absent_end_elsewhere_done().
 */
void absent_end_elsewhere(uintptr_t page);
void absent_end_elsewhere_done(void);

#endif
