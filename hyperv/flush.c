// SPDX-License-Identifier: BSD-2-Clause
/*
 * TLB flushes on a set of CPUs by one hypercall
 *
 * HvCallFlushVirtualAddressSpace and ..List and their _EX (TLFS), each with its input in memory and
 * fast: eight forms. After the call no CPU of the set may use a translation from before it; whoever
 * is left out goes on with a page that is no longer its own.
 *
 * Two things are looked at. A CPU that reads a page all the time, while its entry is changed and then
 * flushed by another, must not read the old page any more. That shows a flush that is missing only
 * where nothing else flushes, as on CPUs of its own; on an emulated CPU each vmexit does. So KVM's
 * own count of each CPU's flushes (its statistic "tlb_flush") is looked at, too. It is one for an
 * address space, and for a list that is longer than KVM can keep (15 entries; hv_tlb_flush_enqueue()).
 * For a shorter list it is one for each entry, or one where KVM flushes all in any case, as on AMD
 * with nested paging since Linux 7.2 (svm_flush_tlb_gva()).
 *
 * KVM: arch/x86/kvm/hyperv.c, kvm_hv_flush_tlb(), the same in Linux 6.12 and 7.2. An empty mask of the
 * plain forms means all CPUs there, for the sake of Windows Server 2012; an empty set of the
 * extended ones is a success that flushes nothing.
 */
#include <hyperv/hypercall.h>
#include <hyperv/page.h>
#include <hyperv/targets.h>
#include <hyperv/xmm.h>
#include <libc/array.h>
#include <libc/string.h>
#include <test/test.h>
#include <vmrun/vmm.h>
#include <x86/memory.h>
#include <x86/msr.h>
#include <x86/paging.h>
#include <x86/smp.h>
#include <x86/time.h>

#define CPUS	      3
#define ALL	      ((1u << CPUS) - 1)
#define ENTRIES_KEPT  15
#define INVALID_INPUT HV_STATUS_INVALID_HYPERCALL_INPUT
#define REPS(n)	      ((uint64_t)(n) << HV_HYPERCALL_REP_COUNT)
#define REPS_DONE(n)  ((uint64_t)(n) << HV_RESULT_REPS_SHIFT)

static uint64_t list[400];

static void prepare(void)
{
	hv_skip_if_absent();
	REQUIRE(cpu_count() >= CPUS);
	hv_enable_hypercalls();
	for (size_t i = 0; i < COUNT_OF(list); i++)
		list[i] = VA_FREE + i * PAGE_SIZE;
}

static void read_flushes(void *count)
{
	REQUIRE(vmm_statistic("tlb_flush", count) == 0);
}

static uint64_t flushes[CPUS];

static void count_flushes(uint64_t counts[CPUS])
{
	for (unsigned int cpu = 0; cpu < CPUS; cpu++)
		on_cpu(cpu, read_flushes, &counts[cpu]);
}

/* The CPUs of the mask, and no others, were flushed at least once since count_flushes(flushes). */
static void expect_flushes(uint64_t mask, unsigned int most, const char *name)
{
	uint64_t now[CPUS];

	count_flushes(now);
	for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
		const bool in_set = mask >> cpu & 1;

		EXPECT_GE(now[cpu] - flushes[cpu], in_set, "CPU %u, set 0x%llx, %s", cpu,
			  (unsigned long long)mask, name);
		EXPECT_LE(now[cpu] - flushes[cpu], in_set ? most : 0, "CPU %u, set 0x%llx, %s", cpu,
			  (unsigned long long)mask, name);
	}
	memcpy(flushes, now, sizeof(now));
}

/* A list of three, where the form has one. */
#define LENGTH 3

static void expect_flushed(const struct hv_form *form, const struct hv_targets *targets,
			   uint64_t mask)
{
	EXPECT_EQ(hv_flush(form, targets, list, LENGTH), form->list ? REPS_DONE(LENGTH) : 0, "%s",
		  form->name);
	expect_flushes(mask, form->list ? LENGTH : 1, form->name);
}

static void expect_each_set(unsigned int index)
{
	const struct hv_form *form = &hv_flush_forms[index];
	struct hv_targets targets;

	prepare();
	count_flushes(flushes);
	for (uint64_t mask = 1; mask <= ALL; mask++) {
		targets = HV_TARGETS(mask);
		expect_flushed(form, &targets, mask);
	}
	targets = HV_TARGETS(1);
	targets.all = true;
	expect_flushed(form, &targets, ALL);
}

TEST("a flush of a space is done on each set of CPUs, and on all")
{
	expect_each_set(0);
}

TEST("a fast flush of a space is done on each set of CPUs, and on all")
{
	expect_each_set(1);
}

TEST("a flush of a list is done on each set of CPUs, and on all")
{
	expect_each_set(2);
}

TEST("a fast flush of a list is done on each set of CPUs, and on all")
{
	expect_each_set(3);
}

TEST("an extended flush of a space is done on each set of CPUs, and on all")
{
	expect_each_set(4);
}

TEST("a fast extended flush of a space is done on each set of CPUs, and on all")
{
	expect_each_set(5);
}

TEST("an extended flush of a list is done on each set of CPUs, and on all")
{
	expect_each_set(6);
}

TEST("a fast extended flush of a list is done on each set of CPUs, and on all")
{
	expect_each_set(7);
}

/* What a CPU reads that does nothing but read, until it is told that it has been flushed. */
static struct {
	uintptr_t reads, flushed;
	uint64_t last;
} reader;

static void read_until_flushed(void *unused)
{
	volatile uint64_t *va = (volatile uint64_t *)VA_FREE;

	(void)unused;
	for (bool flushed = false; !flushed;) {
		flushed = __atomic_load_n(&reader.flushed, __ATOMIC_ACQUIRE);
		reader.last = *va;
		__atomic_fetch_add(&reader.reads, 1, __ATOMIC_RELEASE);
	}
}

static void expect_fresh(unsigned int index, uint64_t *pages[2])
{
	const struct hv_targets targets = HV_TARGETS(2);

	map_page(VA_FREE, (uintptr_t)pages[0], LEVEL_4K, PTE_RAM | PTE_A | PTE_D);
	memset(&reader, 0, sizeof(reader));
	on_cpu_start(1, read_until_flushed, NULL);
	EXPECT_TRUE(WAIT_FOR(__atomic_load_n(&reader.reads, __ATOMIC_ACQUIRE) > 2, 1000));
	*pte_at(VA_FREE, LEVEL_4K) = (uintptr_t)pages[1] | PTE_RAM | PTE_A | PTE_D;
	hv_flush(&hv_flush_forms[index], &targets, list, LENGTH);
	__atomic_store_n(&reader.flushed, 1, __ATOMIC_RELEASE);
	on_cpu_wait(1);
	EXPECT_EQ(reader.last, *pages[1], "%s", hv_flush_forms[index].name);
	invlpg(VA_FREE);
}

TEST("no CPU reads a page that was replaced, once a flush has returned")
{
	uint64_t *pages[2] = { page_alloc(), page_alloc() };

	prepare();
	*pages[0] = 0x01d;
	*pages[1] = 0x4e3;
	for (unsigned int round = 0; round < 3; round++)
		for (unsigned int i = 0; i < HV_FLUSH_FORMS; i++)
			expect_fresh(i, pages);
}

TEST("a CPU with an entry of a list that covers more pages is flushed")
{
	uint64_t entry = (VA_FREE - 5 * PAGE_SIZE) | 9, *pages[2] = { page_alloc(), page_alloc() };

	prepare();
	*pages[0] = 0x01d;
	*pages[1] = 0x4e3;
	list[0] = list[1] = list[2] = entry;
	expect_fresh(2, pages);
	list[0] = list[1] = list[2] = entry;
	expect_fresh(7, pages);
}

TEST("an empty mask of a plain form means all CPUs")
{
	const struct hv_targets none = HV_TARGETS(0);

	prepare();
	count_flushes(flushes);
	for (unsigned int i = 0; i < 4; i++)
		expect_flushed(&hv_flush_forms[i], &none, ALL);
}

TEST("an empty set of an extended form means none")
{
	const struct hv_targets none = { 0 }, empty_bank = HV_TARGETS(0);

	prepare();
	count_flushes(flushes);
	for (unsigned int i = 4; i < HV_FLUSH_FORMS; i++) {
		expect_flushed(&hv_flush_forms[i], &none, 0);
		expect_flushed(&hv_flush_forms[i], &empty_bank, 0);
	}
}

TEST("all CPUs may be named without any bank, and with banks that do not matter")
{
	struct hv_targets targets = { .all = true };

	prepare();
	count_flushes(flushes);
	for (unsigned int i = 4; i < HV_FLUSH_FORMS; i++) {
		targets.valid = 0;
		expect_flushed(&hv_flush_forms[i], &targets, ALL);
		targets.valid = 0b101;
		expect_flushed(&hv_flush_forms[i], &targets, ALL);
	}
}

TEST("CPUs that are not there are left out")
{
	const struct hv_targets nobody = HV_TARGETS(~0ull << CPUS), more = HV_TARGETS(~0ull << 1);

	prepare();
	count_flushes(flushes);
	for (unsigned int i = 0; i < HV_FLUSH_FORMS; i++) {
		expect_flushed(&hv_flush_forms[i], &nobody, 0);
		expect_flushed(&hv_flush_forms[i], &more, ALL & ~1u);
	}
}

/* Each bank that is valid follows the one before; the list is behind the last. */
static const struct {
	struct hv_targets targets;
	uint64_t reached;
} bank_cases[] = {
	{ { .valid = 1ull << 1, .banks = { 7 } }, 0 },
	{ { .valid = 0b11, .banks = { 2, 5 } }, 2 },
	{ { .valid = 0b101, .banks = { 4, 3 } }, 4 },
	{ { .valid = 0b110, .banks = { 7, 7 } }, 0 },
	{ { .valid = 0b11111, .banks = { 5, 0, 0, 0, 2 } }, 5 },
};

TEST("the banks of a set are those that its mask names, the lowest first")
{
	prepare();
	count_flushes(flushes);
	for (size_t i = 0; i < COUNT_OF(bank_cases); i++)
		for (unsigned int form = 4; form < HV_FLUSH_FORMS; form++)
			expect_flushed(&hv_flush_forms[form], &bank_cases[i].targets,
				       bank_cases[i].reached);
}

TEST("a header that says another number of banks is refused")
{
	prepare();
	count_flushes(flushes);
	for (unsigned int form = 4; form < HV_FLUSH_FORMS; form++) {
		struct hv_targets targets = HV_TARGETS(7);

		targets.header_off_by = 1;
		EXPECT_EQ(hv_flush(&hv_flush_forms[form], &targets, list, 1), INVALID_INPUT);
		targets.header_off_by = -1;
		EXPECT_EQ(hv_flush(&hv_flush_forms[form], &targets, list, 1), INVALID_INPUT);
		targets.all = true;
		EXPECT_EQ(hv_flush(&hv_flush_forms[form], &targets, list, 1), INVALID_INPUT);
	}
	expect_flushes(0, 0, "refused");
}

static void set_index(void *index)
{
	REQUIRE(vmm_msr_write(HV_X64_MSR_VP_INDEX, *(const uint64_t *)index) == 0);
}

TEST("a CPU is addressed by its index, which the VMM may change")
{
	const struct hv_targets second = { .valid = 1ull << 1, .banks = { 1ull << 5 } };
	const struct hv_targets old = HV_TARGETS(2);
	uint64_t index = 64 + 5;

	prepare();
	on_cpu(1, set_index, &index);
	count_flushes(flushes);
	for (unsigned int form = 0; form < HV_FLUSH_FORMS; form++) {
		if (hv_flush_forms[form].ex)
			expect_flushed(&hv_flush_forms[form], &second, 2);
		expect_flushed(&hv_flush_forms[form], &old, 0);
	}
	index = 1;
	on_cpu(1, set_index, &index);
}

TEST("a list as long as KVM can keep is flushed, and a longer one by a single flush")
{
	static const struct {
		unsigned int count, most;
	} cases[] = { { 1, 1 },	 { 2, 2 },  { ENTRIES_KEPT, ENTRIES_KEPT }, { ENTRIES_KEPT + 1, 1 },
		      { 17, 1 }, { 400, 1 } };
	const struct hv_targets targets = HV_TARGETS(3);

	prepare();
	count_flushes(flushes);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (unsigned int form = 2; form < HV_FLUSH_FORMS; form += 4) {
			EXPECT_EQ(hv_flush(&hv_flush_forms[form], &targets, list, cases[i].count),
				  REPS_DONE(cases[i].count));
			expect_flushes(3, cases[i].most, hv_flush_forms[form].name);
		}
	}
}

TEST("no flush gets lost that comes while others are kept")
{
	const struct hv_targets targets = HV_TARGETS(2);

	prepare();
	count_flushes(flushes);
	for (unsigned int i = 0; i < 8; i++)
		hv_flush(&hv_flush_forms[2], &targets, list, 10);
	expect_flushes(2, 8 * 10, "eight lists");
}

/* Eleven: one half of the six registers is the mask, or two those of an empty set of banks. */
TEST("a fast list as long as the XMM registers hold is done")
{
	struct hv_targets targets = HV_TARGETS(2);

	prepare();
	count_flushes(flushes);
	EXPECT_EQ(hv_flush(&hv_flush_forms[3], &targets, list, HV_XMM_HALVES - 1),
		  REPS_DONE(HV_XMM_HALVES - 1));
	expect_flushes(2, HV_XMM_HALVES - 1, "plain");
	EXPECT_EQ(hv_flush(&hv_flush_forms[7], &targets, list, HV_XMM_HALVES - 3),
		  REPS_DONE(HV_XMM_HALVES - 3));
	expect_flushes(2, HV_XMM_HALVES - 3, "extended");
}

/* TLFS, "Extended Fast Hypercalls": that is all the input that there can be. */
static void expect_refused_from(const struct hv_form *form, unsigned int first, unsigned int last)
{
	const struct hv_targets targets = HV_TARGETS(2);

	for (unsigned int count = first; count <= last; count++)
		EXPECT_EQ(hv_flush(form, &targets, list, count), INVALID_INPUT, "%u entries, %s",
			  count, form->name);
}

TEST("a fast list longer than the XMM registers hold is refused")
{
	prepare();
	expect_refused_from(&hv_flush_forms[3], HV_XMM_HALVES, ENTRIES_KEPT);
	expect_refused_from(&hv_flush_forms[7], HV_XMM_HALVES - 2, ENTRIES_KEPT);
}

TEST("a fast list is refused too when it is longer than KVM can keep")
{
	prepare();
	expect_refused_from(&hv_flush_forms[3], ENTRIES_KEPT + 1, 40);
	expect_refused_from(&hv_flush_forms[7], ENTRIES_KEPT + 1, 40);
}

TEST("more banks than the XMM registers hold are refused")
{
	struct hv_targets targets = { .banks = { 2 } };

	prepare();
	count_flushes(flushes);
	for (unsigned int banks = HV_XMM_HALVES - 1; banks < 64; banks += 13) {
		targets.valid = (1ull << banks) - 1;
		EXPECT_EQ(hv_flush(&hv_flush_forms[5], &targets, NULL, 0), INVALID_INPUT);
		EXPECT_EQ(hv_flush(&hv_flush_forms[7], &targets, list, 1), INVALID_INPUT);
	}
	expect_flushes(0, 0, "refused");
	targets.valid = (1ull << (HV_XMM_HALVES - 2)) - 1;
	EXPECT_EQ(hv_flush(&hv_flush_forms[5], &targets, NULL, 0), HV_STATUS_SUCCESS);
	expect_flushes(2, 1, "as many as fit");
}
