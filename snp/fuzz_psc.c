// SPDX-License-Identifier: BSD-2-Clause
/*
 * Random page state changes, and requests of the MSR protocol
 *
 * As snp/fuzz.c, which has the invariants, for what is no GHCB: each result must be one that there is and
 * belong to the request, what is bad be told as such, header and entries be what they were but for
 * what is done, and no page change that no request names. 2 MiB half done are left to
 * snp/psc_large.c.
 *
 * Sources: GHCB specification, 2.3.1, 4.1.6; KVM: arch/x86/kvm/svm/sev.c,
 * sev_handle_vmgexit_msr_protocol, snp_begin_psc_msr, snp_begin_psc, snp_do_psc.
 */
#include <sev/fuzz.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <test/test.h>
#include <x86/memory.h>

#define LARGE	    512
#define INFO(value) ((value)&GHCB_MSR_INFO_MASK)

/* --- the MSR protocol ----------------------------------------------------- */

/* What belongs to a request; 0: there is none, and the MSR stays. */
static uint64_t response_of(uint64_t code)
{
	switch (code) {
	case GHCB_MSR_SEV_INFO_REQ:
	case GHCB_MSR_CPUID_REQ:
	case GHCB_MSR_PREFERRED_REQ:
	case GHCB_MSR_REGISTER_REQ:
	case GHCB_MSR_PSC_REQ:
	case GHCB_MSR_FEATURES_REQ:
		return code == GHCB_MSR_SEV_INFO_REQ ? GHCB_MSR_SEV_INFO : code + 1;
	default:
		return 0;
	}
}

static uint64_t any_block_gfn(void)
{
	return ((uintptr_t)fuzz_memory.block >> PAGE_SHIFT) + fuzz_below(LARGE);
}

static uint64_t any_msr_request(void)
{
	static const uint16_t codes[] = { GHCB_MSR_SEV_INFO_REQ,  GHCB_MSR_CPUID_REQ,
					  GHCB_MSR_PREFERRED_REQ, GHCB_MSR_REGISTER_REQ,
					  GHCB_MSR_FEATURES_REQ,  GHCB_MSR_PSC_REQ };
	uint64_t request;

	if (fuzz_one_in(3))
		return fuzz_number();
	request = (fuzz_number() & ~GHCB_MSR_INFO_MASK) | FUZZ_ONE_OF(codes);
	if (INFO(request) == GHCB_MSR_PSC_REQ)
		request = GHCB_MSR_PSC(any_block_gfn(), fuzz_below(16)) | fuzz_number() << 56;
	return request;
}

/* The VMM grants it: the page is RAM. */
static bool is_change(uint64_t request)
{
	unsigned int operation = request >> 52 & 0xf;

	return operation == PSC_PRIVATE || operation == PSC_SHARED;
}

static const char *msr_round(void)
{
	uint64_t request = any_msr_request(), response;
	uint64_t code = INFO(request);

	/* A request for another page than the block's would take it from the guest. */
	if (!code || code == GHCB_MSR_TERMINATE || code == GHCB_MSR_AP_HOLD_REQ)
		return NULL;
	if (code == GHCB_MSR_PSC_REQ &&
	    (request >> PAGE_SHIFT & 0xffffffffff) - ((uintptr_t)fuzz_memory.block >> PAGE_SHIFT) >=
		    LARGE)
		return NULL;
	response = ghcb_msr(request);
	if (code == GHCB_MSR_REGISTER_REQ)
		ghcb_msr(ghcb_gpa() | GHCB_MSR_REGISTER_REQ);
	if (!response_of(code))
		return response == request ? NULL : "an unknown request of the MSR is answered";
	if (code == GHCB_MSR_PSC_REQ && (response == GHCB_MSR_PSC_RESP) != is_change(request))
		return "a page state change is done that is none, or not done";
	return INFO(response) == response_of(code) ? NULL : "a response of the MSR is not that";
}

TEST("random requests of the MSR protocol have the response that belongs to them, or none")
{
	fuzz_run(msr_round);
}

/* --- page state changes --------------------------------------------------- */

static uint64_t any_entry(void)
{
	bool is_2m = fuzz_one_in(8);
	uint64_t gfn = any_block_gfn() & (is_2m && !fuzz_one_in(4) ? ~(LARGE - 1ull) : ~0ull);
	uint64_t done = fuzz_one_in(4) ? fuzz_below(3) : 0;

	if (is_2m && done)
		done += LARGE - 1;
	if (fuzz_one_in(30))
		gfn = (memory_hole() >> PAGE_SHIFT) + fuzz_below(LARGE);
	return PSC_ENTRY(gfn, fuzz_one_in(10) ? fuzz_below(16) : 1 + fuzz_below(2), is_2m, done) |
	       (fuzz_one_in(5) ? fuzz_number() << 57 : 0);
}

static bool is_psc_result(uint64_t result)
{
	return result == PSC_DONE || result == PSC_BAD_HEADER || result == PSC_BAD_ENTRY ||
	       result == PSC_GENERIC;
}

static bool is_bad(uint64_t entry)
{
	unsigned int pages = entry >> 56 & 1 ? LARGE : 1;

	return PSC_CUR_PAGE(entry) > pages || (entry >> PAGE_SHIFT) % pages;
}

/* An entry that is bad is told as such, and no other is. */
static const char *check_bad(const struct psc_buffer *before, unsigned int at, uint64_t result)
{
	unsigned int from = before->header.cur_entry, end = before->header.end_entry;

	for (unsigned int i = from; result == PSC_DONE && i <= end; i++)
		if (is_bad(before->entries[i]))
			return "a bad entry is taken";
	if ((result == PSC_BAD_ENTRY || result == PSC_GENERIC) &&
	    (at > end || is_bad(before->entries[at]) != (result == PSC_BAD_ENTRY)))
		return "a good entry is told to be bad, or a bad one to have failed";
	return NULL;
}

static const char *check_psc(const struct psc_buffer *before, const struct psc_buffer *after,
			     uint64_t result)
{
	unsigned int from = before->header.cur_entry, end = before->header.end_entry;

	if (end >= PSC_ENTRIES && result != PSC_BAD_HEADER)
		return "a bad header is taken";
	if (end < PSC_ENTRIES && result == PSC_BAD_HEADER)
		return "a good header is not taken";
	if (after->header.end_entry != end || after->header.reserved != before->header.reserved)
		return "the header is not what it was";
	if (result == PSC_DONE && from <= end && after->header.cur_entry != end + 1)
		return "cur_entry of a request that is done is not behind the last";
	if (after->header.cur_entry < from)
		return "cur_entry goes back";
	for (unsigned int i = 0; i < PSC_ENTRIES; i++) {
		uint64_t change = before->entries[i] ^ after->entries[i];

		if (change >> 12)
			return "an entry is not what it was";
		if (change && (i < from || i > end || i >= after->header.cur_entry))
			return "an entry is changed that was none of the request's";
	}
	return check_bad(before, after->header.cur_entry, result);
}

static const char *psc_round(void)
{
	static struct psc_buffer before, after;
	static const uint16_t ends[] = { 252, 253, 254, 0x7fff, 0xffff };
	unsigned int count = 1 + fuzz_below(fuzz_one_in(10) ? PSC_ENTRIES : 12);
	struct psc_outcome outcome;

	for (unsigned int i = 0; i < PSC_ENTRIES; i++)
		before.entries[i] = any_entry();
	before.header = (struct psc_header){
		.cur_entry = fuzz_one_in(5)   ? fuzz_number()
			     : fuzz_one_in(3) ? fuzz_below(count)
					      : 0,
		.end_entry = fuzz_one_in(20) ? FUZZ_ONE_OF(ends) : count - 1,
		.reserved = fuzz_number(),
	};
	after = before;
	outcome = psc_ghcb(&after);
	if (outcome.info_1 != GHCB_NO_ACTION)
		return "SW_EXITINFO1 of a page state change is not 0";
	if (!is_psc_result(outcome.info_2))
		return "the result of a page state change is none";
	return check_psc(&before, &after, outcome.info_2);
}

TEST("random page state changes have a result that there is, and concern no page that none names")
{
	fuzz_run(psc_round);
}
