// SPDX-License-Identifier: BSD-2-Clause
/*
 * Random GHCBs, requests of the MSR protocol, and page state change buffers
 *
 * Each round writes one of the three at random, most of it near to what is right, and has the
 * hypervisor look at it. What must hold whatever it was:
 *
 * - the guest goes on, and the result is one that there is: of a GHCB, SW_EXITINFO1 of 0, 1 or 2, with an
 *   error of 1 to 6 or an exception's vector; of a page state change one of four; of the MSR
 *   protocol the request as it was, or the response that belongs to it;
 * - memory that no request named keeps its contents and its state: two blocks of 2 MiB around the one
 *   that page state changes are about, private pages which MMIO and scratch areas name, and the
 *   GHCB beyond what is given back;
 * - the host says nothing: supervise looks at its log.
 *
 * What by its nature ends the guest is left out: termination, what KVM answers by an error of KVM_RUN
 * (event 0x8000ffff; string I/O of more than INT_MAX elements; guest requests where no memory is), AP
 * reset hold without another CPU, and ports at which vmrun ends or prints. 2 MiB half done are left to
 * snp/psc_large.c.
 *
 * The seed is the TSC, or seed=N of the command line, and is told; seconds=N is how long it takes.
 *
 * Sources: GHCB specification, 2.3.1, 4.1; KVM: arch/x86/kvm/svm/sev.c, sev_handle_vmgexit and what it
 * calls.
 */
#include <libc/array.h>
#include <libc/random.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/instructions.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/fpu.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/platform.h>
#include <x86/time.h>

#define LARGE	    512
#define SECONDS	    1
#define INFO(value) ((value)&GHCB_MSR_INFO_MASK)
#define EVENT_MAX   0x410 /* a little more than the exits of SVM */
#define NO_MSR	    0x4f000000u
#define HYPERCALLS  16 /* from here on there is none */
#define DEVICES	    0xfe000000ull
#define RAM_PAGES   4
#define COUNT_MAX   0x1000000 /* of string I/O */

static struct random random;
static uint8_t *below, *block, *above;

static uint32_t below_limit(uint32_t limit)
{
	return random_below(&random, limit);
}

static bool one_in(uint32_t count)
{
	return !below_limit(count);
}

#define ONE_OF(array) ((array)[below_limit(COUNT_OF(array))])

/* A number as mistakes are made of: small, near a power of two, or anything. */
static uint64_t any_number(void)
{
	uint64_t power = 1ull << below_limit(64);

	switch (below_limit(4)) {
	case 0:
		return below_limit(20);
	case 1:
		return power - 1 + below_limit(3);
	case 2:
		return -(uint64_t)below_limit(20);
	default:
		return random_next(&random);
	}
}

static void number(uint8_t *memory, uint64_t seed)
{
	for (unsigned int i = 0; i < LARGE * PAGE_SIZE / sizeof(uint64_t); i++)
		((uint64_t *)memory)[i] = seed + i;
}

static void expect_untouched(uint8_t *memory, uint64_t seed, const char *name)
{
	EXPECT_EQ(vmm_private_pages((uintptr_t)memory, LARGE * PAGE_SIZE), LARGE, "%s", name);
	for (unsigned int i = 0; i < LARGE * PAGE_SIZE / sizeof(uint64_t); i++)
		if (!EXPECT_EQ(((uint64_t *)memory)[i], seed + i, "%s, word %u", name, i))
			return;
}

static void set_up(void)
{
	uint64_t seed = cmdline_number("seed", rdtsc());

	random.state = seed;
	test_diag("seed=%llu", (unsigned long long)seed);
	if (block)
		return;
	above = pages_alloc(PAGE_ORDER_MAX);
	block = memory_untouched();
	below = pages_alloc(PAGE_ORDER_MAX);
	REQUIRE(below + LARGE * PAGE_SIZE == block && block + LARGE * PAGE_SIZE == above);
	number(below, 0x100000000);
	number(above, 0x200000000);
}

static void check_memory(void)
{
	expect_untouched(below, 0x100000000, "the 2 MiB below");
	expect_untouched(above, 0x200000000, "the 2 MiB above");
}

/* Runs rounds for so long; each returns what was wrong with it, or NULL. */
static void run(const char *(*round)(void))
{
	uint64_t milliseconds = cmdline_number("seconds", SECONDS) * 1000, rounds = 0;
	struct deadline deadline;
	const char *wrong = NULL;

	set_up();
	deadline = (struct deadline){ .start = rdtsc() };
	while (!wrong && !deadline_passed(&deadline, milliseconds)) {
		wrong = round();
		rounds++;
	}
	test_diag("%llu rounds", (unsigned long long)rounds);
	if (wrong)
		FAIL("round %llu: %s", (unsigned long long)rounds, wrong);
	check_memory();
}

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
	return ((uintptr_t)block >> PAGE_SHIFT) + below_limit(LARGE);
}

static uint64_t any_msr_request(void)
{
	static const uint16_t codes[] = { GHCB_MSR_SEV_INFO_REQ,  GHCB_MSR_CPUID_REQ,
					  GHCB_MSR_PREFERRED_REQ, GHCB_MSR_REGISTER_REQ,
					  GHCB_MSR_FEATURES_REQ,  GHCB_MSR_PSC_REQ };
	uint64_t request;

	if (one_in(3))
		return any_number();
	request = (any_number() & ~GHCB_MSR_INFO_MASK) | ONE_OF(codes);
	if (INFO(request) == GHCB_MSR_PSC_REQ)
		request = GHCB_MSR_PSC(any_block_gfn(), below_limit(16)) | any_number() << 56;
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
	    (request >> PAGE_SHIFT & 0xffffffffff) - ((uintptr_t)block >> PAGE_SHIFT) >= LARGE)
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
	run(msr_round);
}

/* --- page state changes --------------------------------------------------- */

static uint64_t any_entry(void)
{
	bool is_2m = one_in(8);
	uint64_t gfn = any_block_gfn() & (is_2m && !one_in(4) ? ~(LARGE - 1ull) : ~0ull);
	uint64_t done = one_in(4) ? below_limit(3) : 0;

	if (is_2m && done)
		done += LARGE - 1;
	if (one_in(30))
		gfn = (memory_hole() >> PAGE_SHIFT) + below_limit(LARGE);
	return PSC_ENTRY(gfn, one_in(10) ? below_limit(16) : 1 + below_limit(2), is_2m, done) |
	       (one_in(5) ? any_number() << 57 : 0);
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
	unsigned int count = 1 + below_limit(one_in(10) ? PSC_ENTRIES : 12);
	struct psc_outcome outcome;

	for (unsigned int i = 0; i < PSC_ENTRIES; i++)
		before.entries[i] = any_entry();
	before.header = (struct psc_header){
		.cur_entry = one_in(5)	 ? any_number()
			     : one_in(3) ? below_limit(count)
					 : 0,
		.end_entry = one_in(20) ? ONE_OF(ends) : count - 1,
		.reserved = any_number(),
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
	run(psc_round);
}

/* --- the GHCB ------------------------------------------------------------- */

static struct ghcb before;
static uint8_t *shared_pages[RAM_PAGES];

/* A page that may be read and written by the VMM, or one whose contents it must not touch. */
static uint64_t any_ram(void)
{
	if (!shared_pages[0])
		for (unsigned int i = 0; i < RAM_PAGES; i++) {
			shared_pages[i] = page_alloc();
			page_share(shared_pages[i]);
		}
	if (one_in(2))
		return (uintptr_t)ONE_OF(shared_pages);
	return (uintptr_t)(one_in(2) ? above : below) + below_limit(LARGE) * PAGE_SIZE;
}

/* An AP's hold has no end here. RDTSC, RDTSCP and RDPMC: see the list of known bugs. */
static bool is_left_out(uint64_t event)
{
	return event == GHCB_AP_HOLD || event == SVM_EXIT_RDTSC || event == SVM_EXIT_RDTSCP ||
	       event == SVM_EXIT_RDPMC;
}

static uint64_t any_event(void)
{
	static const uint64_t known[] = {
		SVM_EXIT_READ_DR7,	SVM_EXIT_WRITE_DR7, SVM_EXIT_CPUID,   SVM_EXIT_INVD,
		SVM_EXIT_IOIO,		SVM_EXIT_IOIO,	    SVM_EXIT_IOIO,    SVM_EXIT_MSR,
		SVM_EXIT_VMMCALL,	SVM_EXIT_WBINVD,    SVM_EXIT_MONITOR, SVM_EXIT_MWAIT,
		GHCB_MMIO_READ,		GHCB_MMIO_READ,	    GHCB_MMIO_WRITE,  GHCB_MMIO_WRITE,
		GHCB_NMI_COMPLETE,	GHCB_AP_JUMP_TABLE, GHCB_PSC,	      GHCB_GUEST_REQUEST,
		GHCB_EXT_GUEST_REQUEST, GHCB_AP_CREATION,   GHCB_FEATURES,
	};
	uint64_t event = ONE_OF(known);

	if (one_in(10))
		event = one_in(2) ? below_limit(EVENT_MAX) : 0x80000000 + below_limit(0x40);
	return is_left_out(event) ? GHCB_FEATURES : event;
}

static uint64_t any_scratch(void)
{
	if (one_in(10))
		return any_number();
	return ghcb_buffer_gpa() +
	       (one_in(2) ? below_limit(GHCB_SHARED_BUFFER_SIZE + 16) & ~7u : below_limit(64));
}

/* No port that does something. */
static void fill_io(struct ghcb *ghcb)
{
	uint64_t port = one_in(2) ? 0x80 : 0x1000 + below_limit(0x8000);
	uint64_t size = one_in(4) ? below_limit(8) : 1u << below_limit(3);

	ghcb->sw_exit_info_1 = port << IOIO_PORT_SHIFT | size << IOIO_SIZE_SHIFT |
			       (below_limit(16) & ~2u) | (any_number() & 0xfe00);
	ghcb->sw_exit_info_2 = below_limit(one_in(4) ? COUNT_MAX : 600);
}

static void fill_mmio(struct ghcb *ghcb)
{
	uint64_t gpa = one_in(3)   ? any_ram()
		       : one_in(2) ? memory_hole() + below_limit(8192)
				   : any_number() & 0xffffffffffff;

	ghcb->sw_exit_info_1 = gpa >= DEVICES && gpa < 1ull << 32 ? memory_hole() : gpa;
	ghcb->sw_exit_info_2 = one_in(8) ? any_number() : below_limit(10);
}

static void fill_guest_request(struct ghcb *ghcb)
{
	ghcb->sw_exit_info_1 = any_ram() + (one_in(5) ? below_limit(4096) : 0);
	ghcb->sw_exit_info_2 = any_ram() + (one_in(5) ? below_limit(4096) : 0);
	ghcb->rax = any_ram() + (one_in(5) ? below_limit(4096) : 0);
}

/* What the event would do must be harmless. */
static void fill_event(struct ghcb *ghcb)
{
	switch (ghcb->sw_exit_code) {
	case SVM_EXIT_IOIO:
		fill_io(ghcb);
		break;
	case SVM_EXIT_MSR:
		ghcb->rcx = one_in(2) ? NO_MSR + below_limit(16) : any_number();
		ghcb->sw_exit_info_1 = (uint32_t)ghcb->rcx - NO_MSR < 16 ? any_number() : 0;
		break;
	case SVM_EXIT_VMMCALL:
		ghcb->rax = HYPERCALLS + (any_number() & 0xfffffff);
		break;
	case GHCB_MMIO_READ:
	case GHCB_MMIO_WRITE:
		fill_mmio(ghcb);
		break;
	case GHCB_GUEST_REQUEST:
	case GHCB_EXT_GUEST_REQUEST:
		fill_guest_request(ghcb);
		break;
	case GHCB_AP_CREATION:
		/* No CPU has such an APIC id. */
		ghcb->sw_exit_info_1 = any_number() | 1ull << 62;
		break;
	default:
		break;
	}
}

static void fill_ghcb(struct ghcb *ghcb)
{
	uint64_t *words = (void *)ghcb;

	for (unsigned int i = 0; i < sizeof(*ghcb) / sizeof(*words); i++)
		words[i] = random_next(&random);
	memset(ghcb->valid_bitmap, 0xff, sizeof(ghcb->valid_bitmap));
	ghcb->sw_exit_code = any_event();
	ghcb->sw_exit_info_1 = any_number();
	ghcb->sw_exit_info_2 = any_number();
	ghcb->sw_scratch = any_scratch();
	ghcb->rax = any_number();
	ghcb->rcx = any_number();
	ghcb->xcr0 = one_in(2) ? XSTATE_X87 : any_number();
	ghcb->xss = one_in(2) ? 0 : any_number();
	fill_event(ghcb);
	ghcb->usage = one_in(20) ? any_number() : 0;
	if (one_in(5))
		ghcb->valid_bitmap[below_limit(sizeof(ghcb->valid_bitmap))] = any_number();
}

/* The bits of the words that are given back, and no others. */
static bool bitmap_is_right(const struct ghcb *ghcb)
{
	static const unsigned int given[] = { GHCB_BIT(rax),
					      GHCB_BIT(rbx),
					      GHCB_BIT(rcx),
					      GHCB_BIT(rdx),
					      GHCB_BIT(sw_exit_info_1),
					      GHCB_BIT(sw_exit_info_2) };
	uint8_t bitmap[sizeof(ghcb->valid_bitmap)];

	memcpy(bitmap, ghcb->valid_bitmap, sizeof(bitmap));
	for (unsigned int i = 0; i < COUNT_OF(given); i++)
		bitmap[given[i] / 8] &= ~(1u << given[i] % 8);
	for (unsigned int i = 0; i < sizeof(bitmap); i++)
		if (bitmap[i])
			return false;
	return true;
}

/* What the hypervisor may write to. */
static bool is_answer(unsigned int word, bool reads)
{
	if (word >= offsetof(struct ghcb, valid_bitmap) / 8 &&
	    word < offsetof(struct ghcb, x87_state_gpa) / 8)
		return true;
	if (word >= offsetof(struct ghcb, shared_buffer) / 8 &&
	    word < offsetof(struct ghcb, reserved_ff0) / 8)
		return reads;
	return word == GHCB_BIT(rax) || word == GHCB_BIT(rbx) || word == GHCB_BIT(rcx) ||
	       word == GHCB_BIT(rdx) || word == GHCB_BIT(sw_exit_info_1) ||
	       word == GHCB_BIT(sw_exit_info_2);
}

static const char *check_answer(const struct ghcb *ghcb)
{
	uint64_t event = before.sw_exit_code;
	bool reads = event == SVM_EXIT_IOIO || event == GHCB_MMIO_READ || event == GHCB_PSC;
	const uint64_t *after = (const void *)ghcb, *was = (const void *)&before;
	uint64_t info = ghcb->sw_exit_info_2;

	for (unsigned int i = 0; i < sizeof(*ghcb) / 8; i++)
		if (!is_answer(i, reads) && after[i] != was[i])
			return "a field of the GHCB is changed that is none of the answer's";
	if (!bitmap_is_right(ghcb))
		return "a field is valid that was not given back";
	switch (ghcb->sw_exit_info_1) {
	case GHCB_NO_ACTION:
		return NULL;
	case GHCB_EXCEPTION:
		return info & GHCB_EVENT_VALID && GHCB_EVENT_VECTOR(info) < 32
			       ? NULL
			       : "an exception that is none";
	case GHCB_BAD_INPUT:
		return info > GHCB_ERROR_NOT_REGISTERED && info <= GHCB_ERROR_EVENT
			       ? NULL
			       : "an error that there is not";
	default:
		return "a result that there is not";
	}
}

static const char *ghcb_round(void)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb;
	const char *wrong;
	uint64_t event;

	any_ram();
	fill_ghcb(&before);
	ghcb = ghcb_take(&hold);
	memcpy(ghcb, &before, sizeof(before));
	ghcb_exit_raw(ghcb_gpa());
	wrong = check_answer(ghcb);
	ghcb_release(&hold);
	event = before.sw_exit_code;
	if (wrong)
		test_diag("event 0x%llx, info 0x%llx, 0x%llx", (unsigned long long)event,
			  (unsigned long long)before.sw_exit_info_1,
			  (unsigned long long)before.sw_exit_info_2);
	return wrong;
}

TEST("random GHCBs have an answer that there is, and change nothing beside it")
{
	run(ghcb_round);
}
