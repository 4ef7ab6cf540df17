// SPDX-License-Identifier: BSD-2-Clause
/*
 * Interrupts to a set of CPUs by one hypercall
 *
 * HvCallSendSyntheticClusterIpi and its _EX (TLFS), each with its input in memory and fast: four
 * forms, which must reach each CPU of the set once, and no other. An input that is read from a wrong
 * place, a bank that is taken for another one, or a check that looks at the wrong word sends
 * interrupts to CPUs that do not expect them, or leaves one waiting for ever.
 *
 * Vectors are 0x10 to 0xff; any other is refused with HV_STATUS_INVALID_HYPERCALL_INPUT. An empty set
 * of the extended form is a success before anything else of it is looked at. KVM:
 * arch/x86/kvm/hyperv.c, kvm_hv_send_ipi(), the same in Linux 6.12 and 7.2. The rest of the first
 * word is the target VTL and reserved: up to Linux 7.2 KVM refuses it in the fast plain form alone,
 * and with host/kernel/patches/7.2/0023 in all.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <hyperv/targets.h>
#include <hyperv/xmm.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/smp.h>
#include <x86/time.h>

#define CPUS	      3
#define VECTOR	      0x40
#define FENCE	      0x31 /* behind the interrupt in question, and of lower priority */
#define INVALID_INPUT HV_STATUS_INVALID_HYPERCALL_INPUT

static volatile unsigned int taken[CPUS], fences[CPUS];

static void take(struct x86_frame *frame)
{
	(void)frame;
	taken[cpu_id()]++;
	apic_eoi();
}

static void take_fence(struct x86_frame *frame)
{
	(void)frame;
	fences[cpu_id()]++;
	apic_eoi();
}

static void start_apic(void *unused)
{
	(void)unused;
	apic_id();
}

static void prepare(void)
{
	hv_skip_if_absent();
	REQUIRE(cpu_count() >= CPUS);
	hv_enable_hypercalls();
	irq_handler(VECTOR, take);
	irq_handler(FENCE, take_fence);
	on_all_cpus(start_apic, NULL);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		taken[cpu] = fences[cpu] = 0;
}

/*
 * How many interrupts each CPU has taken since; those still on their way too: an interrupt of lower
 * priority, sent later by the APIC, comes in behind them.
 */
static void expect_taken(uint64_t mask, const char *name)
{
	irq_window();
	for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
		apic_ipi(cpu, FENCE);
		EXPECT_TRUE(WAIT_FOR(fences[cpu], 1000), "CPU %u", cpu);
		fences[cpu] = 0;
	}
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		EXPECT_EQ(taken[cpu], mask >> cpu & 1, "CPU %u, set 0x%llx, %s", cpu,
			  (unsigned long long)mask, name);
		taken[cpu] = 0;
	}
}

static void expect_each_set(const struct hv_form *form)
{
	prepare();
	for (uint64_t mask = form->ex ? 0 : 1; mask < 1 << CPUS; mask++) {
		struct hv_targets targets = HV_TARGETS(mask);

		EXPECT_EQ(hv_send_ipi(form, &targets, VECTOR), HV_STATUS_SUCCESS);
		expect_taken(mask, form->name);
	}
}

TEST("an IPI reaches each set of CPUs")
{
	expect_each_set(&hv_ipi_forms[0]);
}

TEST("a fast IPI reaches each set of CPUs")
{
	expect_each_set(&hv_ipi_forms[1]);
}

TEST("an extended IPI reaches each set of CPUs")
{
	expect_each_set(&hv_ipi_forms[2]);
}

TEST("a fast extended IPI reaches each set of CPUs")
{
	expect_each_set(&hv_ipi_forms[3]);
}

TEST("an extended IPI to all reaches all, without banks and with them")
{
	struct hv_targets targets = { .all = true };

	prepare();
	for (unsigned int i = 2; i < HV_IPI_FORMS; i++) {
		targets.valid = 0;
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[i], &targets, VECTOR), HV_STATUS_SUCCESS);
		expect_taken((1 << CPUS) - 1, hv_ipi_forms[i].name);
		targets.valid = 5;
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[i], &targets, VECTOR), HV_STATUS_SUCCESS);
		expect_taken((1 << CPUS) - 1, hv_ipi_forms[i].name);
	}
}

TEST("CPUs that are not there are left out")
{
	prepare();
	for (unsigned int i = 0; i < HV_IPI_FORMS; i++) {
		struct hv_targets targets = HV_TARGETS(~0ull << CPUS);

		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[i], &targets, VECTOR), HV_STATUS_SUCCESS);
		expect_taken(0, hv_ipi_forms[i].name);
		targets.banks[0] = ~0ull;
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[i], &targets, VECTOR), HV_STATUS_SUCCESS);
		expect_taken((1 << CPUS) - 1, hv_ipi_forms[i].name);
	}
}

/* Sets with more banks than one. Each bank that is valid follows the one before. */
static const struct {
	struct hv_targets targets;
	uint64_t reached;
} bank_cases[] = {
	{ { .valid = 1ull << 1, .banks = { 7 } }, 0 },
	{ { .valid = 1ull << 63, .banks = { 7 } }, 0 },
	{ { .valid = 0b11, .banks = { 2, 5 } }, 2 },
	{ { .valid = 0b101, .banks = { 4, 3 } }, 4 },
	{ { .valid = 0b110, .banks = { 7, 7 } }, 0 },
	{ { .valid = 1ull << 63 | 1, .banks = { 1, 6 } }, 1 },
	{ { .valid = 0b11111111, .banks = { 5, 0, 0, 0, 0, 0, 0, 2 } }, 5 },
};

TEST("the banks of a set are those that its mask names, the lowest first")
{
	prepare();
	for (size_t i = 0; i < COUNT_OF(bank_cases); i++) {
		for (unsigned int form = 2; form < HV_IPI_FORMS; form++) {
			EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &bank_cases[i].targets, VECTOR),
				  HV_STATUS_SUCCESS);
			expect_taken(bank_cases[i].reached, hv_ipi_forms[form].name);
		}
	}
}

TEST("a header that says another number of banks is refused")
{
	prepare();
	for (unsigned int form = 2; form < HV_IPI_FORMS; form++) {
		struct hv_targets more = HV_TARGETS(7), less = HV_TARGETS(7);

		more.header_off_by = 1;
		less.header_off_by = -1;
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &more, VECTOR), INVALID_INPUT);
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &less, VECTOR), INVALID_INPUT);
		more.all = true;
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &more, VECTOR), INVALID_INPUT);
		expect_taken(0, hv_ipi_forms[form].name);
	}
}

/* One half of XMM0 is the mask of banks. */
TEST("more banks than the XMM registers hold are refused")
{
	struct hv_targets targets = { .valid = (1ull << (HV_XMM_HALVES - 1)) - 1, .banks = { 7 } };

	prepare();
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[3], &targets, VECTOR), HV_STATUS_SUCCESS);
	expect_taken(7, "as many as fit");
	targets.valid = (1ull << HV_XMM_HALVES) - 1;
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[3], &targets, VECTOR), INVALID_INPUT);
	targets.valid = ~0ull;
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[3], &targets, VECTOR), INVALID_INPUT);
	expect_taken(0, "more");
}

TEST("vectors outside of 0x10 to 0xff are refused")
{
	static const uint32_t vectors[] = { 0, 1, 0xf, 0x100, 0x140, 0x8000, 0xffffffff };

	prepare();
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		for (unsigned int form = 0; form < HV_IPI_FORMS; form++) {
			struct hv_targets targets = HV_TARGETS(7);

			EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &targets, vectors[i]),
				  INVALID_INPUT, "vector 0x%x, %s", vectors[i],
				  hv_ipi_forms[form].name);
		}
	}
	expect_taken(0, "refused");
}

TEST("vectors from 0x10 to 0xff are taken")
{
	const struct hv_targets nobody = HV_TARGETS(1ull << 63);

	prepare();
	for (unsigned int vector = 0x10; vector <= 0xff; vector++)
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[vector % HV_IPI_FORMS], &nobody, vector),
			  HV_STATUS_SUCCESS, "vector 0x%x", vector);
}

TEST("each vector arrives as it was sent")
{
	const struct hv_targets self = HV_TARGETS(1);

	prepare();
	for (unsigned int vector = 0x32; vector < 0xf0; vector += 7) {
		irq_handler(vector, take);
		hv_send_ipi(&hv_ipi_forms[vector % HV_IPI_FORMS], &self, vector);
		EXPECT_TRUE(apic_requested((uint8_t)vector), "vector 0x%x", vector);
		irq_window();
		EXPECT_EQ(taken[0], 1, "vector 0x%x", vector);
		taken[0] = 0;
	}
}

TEST("an empty set of the extended form is a success, whatever the vector is")
{
	const struct hv_targets empty = { 0 };

	prepare();
	for (unsigned int form = 2; form < HV_IPI_FORMS; form++) {
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &empty, 0), HV_STATUS_SUCCESS);
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &empty, VECTOR), HV_STATUS_SUCCESS);
	}
	expect_taken(0, "empty");
}

TEST("an empty mask of the plain form reaches nobody")
{
	const struct hv_targets empty = HV_TARGETS(0);

	prepare();
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[0], &empty, VECTOR), HV_STATUS_SUCCESS);
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[1], &empty, VECTOR), HV_STATUS_SUCCESS);
	expect_taken(0, "empty");
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[0], &empty, 0), INVALID_INPUT, "vector 0");
}

TEST("each bit of the fast plain form's first word above the vector is refused")
{
	const struct hv_targets all = HV_TARGETS(7);

	prepare();
	for (unsigned int bit = 32; bit < 64; bit++)
		EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[1], &all, 1ull << bit | VECTOR), INVALID_INPUT,
			  "bit %u", bit);
	expect_taken(0, "reserved");
}

TEST("each bit of the first word above the vector is refused in the other forms, too")
{
	const struct hv_targets all = HV_TARGETS(7);

	prepare();
	for (unsigned int bit = 32; bit < 64; bit++)
		for (unsigned int form = 0; form < HV_IPI_FORMS; form++)
			EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[form], &all, 1ull << bit | VECTOR),
				  INVALID_INPUT, "bit %u, %s", bit, hv_ipi_forms[form].name);
	expect_taken(0, "reserved");
}

TEST("repetitions are refused, and a variable header in the plain form")
{
	static const uint16_t codes[] = { HVCALL_SEND_IPI, HVCALL_SEND_IPI_EX };
	const uintptr_t input = (uintptr_t)page_alloc();

	prepare();
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		EXPECT_EQ(hv_hypercall(codes[i] | 1ull << HV_HYPERCALL_REP_COUNT, input, 0),
			  INVALID_INPUT);
		EXPECT_EQ(hv_hypercall(codes[i] | 1ull << HV_HYPERCALL_REP_START, input, 0),
			  INVALID_INPUT);
	}
	EXPECT_EQ(hv_hypercall(HVCALL_SEND_IPI | 1ull << HV_HYPERCALL_VARHEAD_SHIFT, input, 0),
		  INVALID_INPUT);
}

TEST("an input without memory behind it is refused")
{
	prepare();
	EXPECT_EQ(hv_hypercall(HVCALL_SEND_IPI, memory_hole(), 0), INVALID_INPUT);
	EXPECT_EQ(hv_hypercall(HVCALL_SEND_IPI_EX, memory_hole(), 0), INVALID_INPUT);
}

TEST("banks without memory behind them are refused")
{
	uint64_t *input, kept[3];

	prepare();
	input = hv_last_words(3);
	memcpy(kept, input, sizeof(kept));
	input[0] = VECTOR;
	input[1] = HV_GENERIC_SET_SPARSE_4K;
	input[2] = 1;
	EXPECT_EQ(hv_hypercall(HVCALL_SEND_IPI_EX | 1ull << HV_HYPERCALL_VARHEAD_SHIFT,
			       (uintptr_t)input, 0),
		  INVALID_INPUT);
	memcpy(input, kept, sizeof(kept));
	expect_taken(0, "no banks");
}

static void set_index(void *index)
{
	REQUIRE(vmm_msr_write(HV_X64_MSR_VP_INDEX, *(const uint64_t *)index) == 0);
}

/* sparse_set_to_vcpu_mask() and kvm_hv_send_ipi_to_many() go by the index. */
TEST("a CPU is addressed by its index, which the VMM may change")
{
	const struct hv_targets second = { .valid = 1ull << 1, .banks = { 1ull << 5 } };
	const struct hv_targets first = HV_TARGETS(2);
	uint64_t index = 64 + 5;

	prepare();
	on_cpu(1, set_index, &index);
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[2], &second, VECTOR), HV_STATUS_SUCCESS);
	expect_taken(2, "by its new index");
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[3], &second, VECTOR), HV_STATUS_SUCCESS);
	expect_taken(2, "by its new index, fast");
	EXPECT_EQ(hv_send_ipi(&hv_ipi_forms[0], &first, VECTOR), HV_STATUS_SUCCESS);
	expect_taken(0, "by its old index");
	index = 1;
	on_cpu(1, set_index, &index);
}

TEST("a fast call leaves the XMM registers as they were")
{
	static const uint64_t halves[HV_XMM_HALVES] = { 1,    7,    0x1111, 0x2222, 0x3333, 0x4444,
							0x55, 0x66, 0x77,   0x88,   0x99,   0xaa };

	prepare();
	EXPECT_EQ(hv_xmm_call(HVCALL_SEND_IPI_EX | 1ull << HV_HYPERCALL_VARHEAD_SHIFT, VECTOR,
			      HV_GENERIC_SET_SPARSE_4K, halves),
		  HV_STATUS_SUCCESS);
	EXPECT_TRUE(hv_xmm_kept(halves));
	expect_taken(7, "all");
}

static void send_to_0(void *unused)
{
	const struct hv_targets first = HV_TARGETS(1);

	(void)unused;
	EXPECT_EQ(hv_hypercall(HVCALL_SEND_IPI | HV_HYPERCALL_FAST, VECTOR, first.banks[0]),
		  HV_STATUS_SUCCESS);
}

TEST("any CPU may send, and each interrupt stays pending until it is let in")
{
	prepare();
	on_cpu(1, send_to_0, NULL);
	EXPECT_EQ(taken[0], 0);
	EXPECT_TRUE(apic_requested(VECTOR));
	on_cpu(2, send_to_0, NULL);
	expect_taken(1, "twice pending is once taken");
}
