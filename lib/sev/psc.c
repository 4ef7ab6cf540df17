// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/psc.h>

#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>

uint64_t psc_msr(uint64_t gfn, unsigned int operation)
{
	return ghcb_msr(GHCB_MSR_PSC(gfn, operation));
}

struct psc_outcome psc_ghcb(struct psc_buffer *buffer)
{
	struct psc_outcome outcome;
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);

	memcpy(ghcb->shared_buffer, buffer, sizeof(*buffer));
	GHCB_SET(ghcb, sw_scratch, ghcb_buffer_gpa());
	outcome.info_1 = ghcb_exit(ghcb, GHCB_PSC, 0, 0);
	outcome.info_2 = ghcb->sw_exit_info_2;
	memcpy(buffer, ghcb->shared_buffer, sizeof(*buffer));
	ghcb_release(&hold);
	return outcome;
}

static void validate(const void *page, bool valid)
{
	struct rmp_outcome outcome = pvalidate_raw((uintptr_t)page, RMP_4K, valid);

	if ((uint32_t)outcome.rax != RMP_OK || outcome.carry)
		test_error(TEST_SITE("PVALIDATE", true),
			   "of page 0x%lx to %u: result %u, carry flag %u", (unsigned long)page,
			   valid, (uint32_t)outcome.rax, outcome.carry);
}

static void change(const void *page, enum psc_operation operation)
{
	uint64_t response = psc_msr((uintptr_t)page >> PAGE_SHIFT, operation);

	if (response != GHCB_MSR_PSC_RESP)
		test_error(TEST_SITE("page state change", true),
			   "of page 0x%lx, operation %u: response 0x%llx", (unsigned long)page,
			   operation, (unsigned long long)response);
}

void *page_share(void *page)
{
	if (sev_snp()) {
		validate(page, false);
		change(page, PSC_SHARED);
	}
	return sev_shared(page);
}

void page_unshare(void *page)
{
	if (!sev_snp())
		return;
	change(page, PSC_PRIVATE);
	validate(page, true);
}
#endif
