// SPDX-License-Identifier: BSD-2-Clause
/*
 * Random GHCBs
 *
 * Each round writes a GHCB at random, most of it near to what is right, and has the
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
#include <libc/string.h>
#include <sev/fuzz.h>
#include <sev/ghcb.h>
#include <sev/psc.h>
#include <test/test.h>
#include <x86/fpu.h>
#include <x86/memory.h>

#define LARGE	   512
#define EVENT_MAX  0x410 /* a little more than the exits of SVM */
#define NO_MSR	   0x4f000000u
#define HYPERCALLS 16 /* from here on there is none */
#define DEVICES	   0xfe000000ull
#define RAM_PAGES  4
#define COUNT_MAX  0x1000000 /* of string I/O */

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
	if (fuzz_one_in(2))
		return (uintptr_t)FUZZ_ONE_OF(shared_pages);
	return (uintptr_t)(fuzz_one_in(2) ? fuzz_memory.above : fuzz_memory.below) +
	       fuzz_below(LARGE) * PAGE_SIZE;
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
	uint64_t event = FUZZ_ONE_OF(known);

	if (fuzz_one_in(10))
		event = fuzz_one_in(2) ? fuzz_below(EVENT_MAX) : 0x80000000 + fuzz_below(0x40);
	return is_left_out(event) ? GHCB_FEATURES : event;
}

static uint64_t any_scratch(void)
{
	if (fuzz_one_in(10))
		return fuzz_number();
	return ghcb_buffer_gpa() +
	       (fuzz_one_in(2) ? fuzz_below(GHCB_SHARED_BUFFER_SIZE + 16) & ~7u : fuzz_below(64));
}

/* No port that does something. */
static void fill_io(struct ghcb *ghcb)
{
	uint64_t port = fuzz_one_in(2) ? 0x80 : 0x1000 + fuzz_below(0x8000);
	uint64_t size = fuzz_one_in(4) ? fuzz_below(8) : 1u << fuzz_below(3);

	ghcb->sw_exit_info_1 = port << IOIO_PORT_SHIFT | size << IOIO_SIZE_SHIFT |
			       (fuzz_below(16) & ~2u) | (fuzz_number() & 0xfe00);
	ghcb->sw_exit_info_2 = fuzz_below(fuzz_one_in(4) ? COUNT_MAX : 600);
}

static void fill_mmio(struct ghcb *ghcb)
{
	uint64_t gpa = fuzz_one_in(3)	? any_ram()
		       : fuzz_one_in(2) ? memory_hole() + fuzz_below(8192)
					: fuzz_number() & 0xffffffffffff;

	ghcb->sw_exit_info_1 = gpa >= DEVICES && gpa < 1ull << 32 ? memory_hole() : gpa;
	ghcb->sw_exit_info_2 = fuzz_one_in(8) ? fuzz_number() : fuzz_below(10);
}

static void fill_guest_request(struct ghcb *ghcb)
{
	ghcb->sw_exit_info_1 = any_ram() + (fuzz_one_in(5) ? fuzz_below(4096) : 0);
	ghcb->sw_exit_info_2 = any_ram() + (fuzz_one_in(5) ? fuzz_below(4096) : 0);
	ghcb->rax = any_ram() + (fuzz_one_in(5) ? fuzz_below(4096) : 0);
}

/* What the event would do must be harmless. */
static void fill_event(struct ghcb *ghcb)
{
	switch (ghcb->sw_exit_code) {
	case SVM_EXIT_IOIO:
		fill_io(ghcb);
		break;
	case SVM_EXIT_MSR:
		ghcb->rcx = fuzz_one_in(2) ? NO_MSR + fuzz_below(16) : fuzz_number();
		ghcb->sw_exit_info_1 = (uint32_t)ghcb->rcx - NO_MSR < 16 ? fuzz_number() : 0;
		break;
	case SVM_EXIT_VMMCALL:
		ghcb->rax = HYPERCALLS + (fuzz_number() & 0xfffffff);
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
		ghcb->sw_exit_info_1 = fuzz_number() | 1ull << 62;
		break;
	default:
		break;
	}
}

static void fill_ghcb(struct ghcb *ghcb)
{
	uint64_t *words = (void *)ghcb;

	for (unsigned int i = 0; i < sizeof(*ghcb) / sizeof(*words); i++)
		words[i] = fuzz_next();
	memset(ghcb->valid_bitmap, 0xff, sizeof(ghcb->valid_bitmap));
	ghcb->sw_exit_code = any_event();
	ghcb->sw_exit_info_1 = fuzz_number();
	ghcb->sw_exit_info_2 = fuzz_number();
	ghcb->sw_scratch = any_scratch();
	ghcb->rax = fuzz_number();
	ghcb->rcx = fuzz_number();
	ghcb->xcr0 = fuzz_one_in(2) ? XSTATE_X87 : fuzz_number();
	ghcb->xss = fuzz_one_in(2) ? 0 : fuzz_number();
	fill_event(ghcb);
	ghcb->usage = fuzz_one_in(20) ? fuzz_number() : 0;
	if (fuzz_one_in(5))
		ghcb->valid_bitmap[fuzz_below(sizeof(ghcb->valid_bitmap))] = fuzz_number();
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
	fuzz_run(ghcb_round);
}
