// SPDX-License-Identifier: BSD-2-Clause
/*
 * AP creation: the guest starts a CPU from a VMSA of its own
 *
 * An SNP guest does not leave the state in which a CPU starts to the hypervisor: it makes the page
 * that holds it, turns it into a VMSA by RMPADJUST, and has the hypervisor run the CPU by that, at
 * once or with the next INIT; or stop it. That four CPUs start so is what x86/runtime_smp.c shows
 * as an SNP guest. Here: each bad input is refused with code 5 and leaves the CPU as it was; a CPU
 * that runs can be created anew, destroyed, and created again; and it starts with INIT and SIPI if
 * that was asked for, and not before.
 *
 * Sources: GHCB specification, 4.1.9 "SNP AP Creation"; KVM: arch/x86/kvm/svm/sev.c,
 * sev_snp_ap_creation, sev_snp_init_protected_guest_state.
 */
#include <libc/array.h>
#include <sev/ap.h>
#include <sev/ghcb.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/apic.h>
#include <x86/memory.h>
#include <x86/smp.h>
#include <x86/time.h>

#define WAIT_MS	     2000
#define SHORT_MS     50
#define STOPPED_MS   1000
#define NO_APIC_ID   77
#define STACK_ORDER  1
#define NOT_RELEASED (~0ull)

static unsigned int landed; /* a CPU that has come to landing(), by its APIC id + 1 */

/* In a state that has no IDT: nothing here may raise an exception. */
static void landing(void)
{
	__atomic_add_fetch(&landed, 1, __ATOMIC_SEQ_CST);
	for (;;)
		asm volatile("hlt");
}

static unsigned int landings(void)
{
	return __atomic_load_n(&landed, __ATOMIC_SEQ_CST);
}

static struct vmsa *landing_vmsa(void)
{
	uint8_t *stack = pages_alloc(STACK_ORDER);
	/* As a CALL leaves it. */
	struct vmsa *vmsa =
		vmsa_new((uintptr_t)landing, (uintptr_t)stack + (PAGE_SIZE << STACK_ORDER) - 8);

	REQUIRE(vmsa_seal(vmsa));
	return vmsa;
}

static void need_two_cpus(void)
{
	if (cpu_count() < 2)
		SKIP("needs 2 CPUs, and there is one");
}

static void note(void *argument)
{
	*(bool *)argument = true;
}

static void expect_cpu_runs(void)
{
	bool ran = false;

	on_cpu(1, note, &ran);
	EXPECT_TRUE(ran);
}

static void expect_done(enum ap_creation request, const struct vmsa *vmsa)
{
	uint64_t info_2;

	EXPECT_EQ(ap_creation(request, cpu_apic_id(1), (uintptr_t)vmsa, sev.features, &info_2),
		  GHCB_NO_ACTION);
	EXPECT_EQ(info_2, 0);
}

TEST("bad input is refused as invalid, and the CPU runs on")
{
	uint64_t vmsa, large, info_2;

	need_two_cpus();
	vmsa = (uintptr_t)landing_vmsa();
	large = (uintptr_t)pages_alloc(PAGE_ORDER_MAX);

	const struct {
		const char *name;
		unsigned int request, apic_id;
		uint64_t gpa, features;
	} bad[] = {
		{ "no such APIC id", AP_CREATE, NO_APIC_ID, vmsa, sev.features },
		{ "no such APIC id, on INIT", AP_CREATE_ON_INIT, NO_APIC_ID, vmsa, sev.features },
		{ "no such APIC id, destroy", AP_DESTROY, NO_APIC_ID, 0, sev.features },
		{ "all bits of the APIC id", AP_CREATE, 0xffffffff, vmsa, sev.features },
		{ "request 3", 3, cpu_apic_id(1), vmsa, sev.features },
		{ "request of all ones", 0xffffffff, cpu_apic_id(1), vmsa, sev.features },
		{ "a VMSA that is not aligned", AP_CREATE, cpu_apic_id(1), vmsa + 16,
		  sev.features },
		{ "a VMSA in the last byte of a page", AP_CREATE_ON_INIT, cpu_apic_id(1),
		  vmsa + 4095, sev.features },
		{ "a VMSA aligned to 2 MiB", AP_CREATE, cpu_apic_id(1), large, sev.features },
		{ "a VMSA aligned to 2 MiB, on INIT", AP_CREATE_ON_INIT, cpu_apic_id(1), large,
		  sev.features },
		{ "a VMSA beyond all addresses", AP_CREATE, cpu_apic_id(1), 0xffffffff00001000,
		  sev.features },
		{ "no features", AP_CREATE, cpu_apic_id(1), vmsa, 0 },
		{ "another injection mode", AP_CREATE, cpu_apic_id(1), vmsa,
		  sev.features ^ 1 << 3 },
		{ "a feature that is not", AP_CREATE, cpu_apic_id(1), vmsa,
		  sev.features | 1ull << 63 },
	};

	for (unsigned int i = 0; i < COUNT_OF(bad); i++) {
		EXPECT_EQ(ap_creation(bad[i].request, bad[i].apic_id, bad[i].gpa, bad[i].features,
				      &info_2),
			  GHCB_BAD_INPUT, "%s", bad[i].name);
		EXPECT_EQ(info_2, GHCB_ERROR_INVALID, "%s", bad[i].name);
	}
	expect_cpu_runs();
	EXPECT_EQ(landings(), 0);
}

TEST("a CPU that runs is created anew, and starts where its VMSA says")
{
	unsigned int before = landings();

	need_two_cpus();
	expect_done(AP_CREATE, landing_vmsa());
	EXPECT_TRUE(WAIT_FOR(landings() == before + 1, WAIT_MS));
	cpu_restart(1);
	expect_cpu_runs();
}

static uint64_t ticks;

static void tick(void *argument)
{
	(void)argument;
	for (;;)
		__atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
}

static bool is_ticking(void)
{
	uint64_t before = __atomic_load_n(&ticks, __ATOMIC_SEQ_CST);

	return WAIT_FOR(__atomic_load_n(&ticks, __ATOMIC_SEQ_CST) > before + 100, WAIT_MS);
}

/* The CPU that is destroyed may still have been on its way out; from then on nothing may come. */
static bool has_stopped(void)
{
	uint64_t before;

	delay_us(SHORT_MS * 1000);
	before = __atomic_load_n(&ticks, __ATOMIC_SEQ_CST);
	return !WAIT_FOR(__atomic_load_n(&ticks, __ATOMIC_SEQ_CST) != before, STOPPED_MS);
}

static void ticking(void)
{
	__atomic_add_fetch(&landed, 1, __ATOMIC_SEQ_CST);
	tick(NULL);
}

TEST("a CPU that is destroyed stops, and runs again when it is created")
{
	struct vmsa *vmsa;

	need_two_cpus();
	vmsa = vmsa_new((uintptr_t)ticking, (uintptr_t)pages_alloc(STACK_ORDER) + PAGE_SIZE - 8);
	REQUIRE(vmsa_seal(vmsa));
	expect_done(AP_CREATE, vmsa);
	EXPECT_TRUE(is_ticking());
	expect_done(AP_DESTROY, NULL);
	EXPECT_TRUE(has_stopped());
	cpu_restart(1);
	expect_cpu_runs();
}

/* To CPU 1, which begins where its VMSA says, not at the SIPI's vector. */
static void send_init_and_sipi(void)
{
	apic_icr_write(ICR_INIT | ICR_ASSERT | ICR_LEVEL, cpu_apic_id(1));
	apic_icr_write(ICR_STARTUP | ICR_ASSERT | 7, cpu_apic_id(1));
}

TEST("a CPU created on INIT runs on until then, and starts anew with INIT and SIPI")
{
	unsigned int before = landings();

	need_two_cpus();
	expect_done(AP_CREATE_ON_INIT, landing_vmsa());
	expect_cpu_runs();
	EXPECT_EQ(landings(), before);
	send_init_and_sipi();
	EXPECT_TRUE(WAIT_FOR(landings() == before + 1, WAIT_MS));
	cpu_restart(1);
	expect_cpu_runs();
}

/* INIT has switched its APIC off. */
static void start_apic(void)
{
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
}

static volatile bool holds; /* from now on */

static void hold_by_msr(void *argument)
{
	holds = true;
	*(uint64_t *)argument = ghcb_msr(GHCB_MSR_AP_HOLD_REQ);
	start_apic();
}

static void hold_by_event(void *argument)
{
	holds = true;
	*(uint64_t *)argument = ghcb_event(GHCB_AP_HOLD, 0, 0, NULL);
	start_apic();
}

static bool release(const uint64_t *result)
{
	send_init_and_sipi();
	return WAIT_FOR(__atomic_load_n(result, __ATOMIC_SEQ_CST) != NOT_RELEASED, WAIT_MS);
}

/*
 * What the held CPU got when an INIT and a SIPI ended it. KVM drops a SIPI to a CPU that is not held yet, which
 * a busy host may not have let come so far: that CPU gets another.
 */
static uint64_t hold(cpu_function *function)
{
	uint64_t result = NOT_RELEASED;

	holds = false;
	on_cpu_start(1, function, &result);
	EXPECT_TRUE(WAIT_FOR(holds, WAIT_MS));
	delay_us(SHORT_MS * 1000);
	EXPECT_EQ(__atomic_load_n(&result, __ATOMIC_SEQ_CST), NOT_RELEASED, "it was not held");
	EXPECT_TRUE(release(&result) || release(&result));
	on_cpu_wait(1);
	return result;
}

/*
 * To the first SIPI of a CPU KVM gives no result (sev_vcpu_deliver_sipi_vector): without SNP it is what starts the
 * CPU, and here, where AP creation does that, it is just the first one.
 */
TEST("AP reset hold lasts until INIT and SIPI, and the result is then not zero, by MSR and event")
{
	need_two_cpus();
	hold(hold_by_msr);
	EXPECT_EQ(hold(hold_by_msr), 1ull << GHCB_MSR_DATA_SHIFT | GHCB_MSR_AP_HOLD_RESP);
	EXPECT_EQ(hold(hold_by_event), 1);
	expect_cpu_runs();
}

TEST("all CPUs but the first are created anew a few times over")
{
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int cpu = 1; cpu < cpu_count(); cpu++) {
			bool ran = false;

			cpu_restart(cpu);
			on_cpu(cpu, note, &ran);
			EXPECT_TRUE(ran, "CPU %u, round %u", cpu, round);
		}
	}
}
