// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PTE_P	     (1ull << 0)
#define PTE_W	     (1ull << 1)
#define PTE_PS	     (1ull << 7)
#define CODE	     8
#define GDT_CODE64   0x00af9b000000ffffull
#define VC	     29
#define GATE_INT_P   0x8eull
#define CR0	     0x80000011 /* PG, ET, PE */
#define CR4_PAE	     0x20
#define EFER_LME_LMA 0x500

extern const uint8_t guest_program[];
extern const uint64_t guest_program_size, guest_program_vc;

struct mailbox {
	uint64_t operation, address, rcx, rdx, rax, carry, vc;
};

_Static_assert(offsetof(struct mailbox, vc) == BOX_VC, "as the program has it");

static void make_page_tables(uint8_t *memory)
{
	uint64_t c_bit = snp_c_bit(), *pdpt = (uint64_t *)(memory + GUEST_PDPT);
	uint64_t *private = (uint64_t *)(memory + GUEST_PD_PRIVATE);
	uint64_t *shared = (uint64_t *)(memory + GUEST_PD_SHARED);

	*(uint64_t *)(memory + GUEST_PML4) = GUEST_PDPT | PTE_P | PTE_W | c_bit;
	pdpt[0] = GUEST_PD_PRIVATE | PTE_P | PTE_W | c_bit;
	pdpt[1] = GUEST_PD_SHARED | PTE_P | PTE_W | c_bit;
	for (uint64_t i = 0; i < 512; i++) {
		shared[i] = i * LARGE | PTE_P | PTE_W | PTE_PS;
		private[i] = shared[i] | c_bit;
	}
}

static void make_descriptors(uint8_t *memory)
{
	uint64_t *gdt = (uint64_t *)(memory + GUEST_DESCRIPTORS);
	uint64_t *gate = (uint64_t *)(memory + GUEST_DESCRIPTORS + GUEST_IDT_OFFSET) + VC * 2;
	uint64_t handler = GUEST_CODE + guest_program_vc;

	gdt[CODE / 8] = GDT_CODE64;
	gate[0] = (handler & 0xffff) | CODE << 16 | GATE_INT_P << 40 | (handler >> 16) << 48;
	gate[1] = 0;
}

static void set_registers(int vcpu)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rsp = GUEST_STACK_END, .rflags = 2 };
	struct kvm_sregs sregs;

	REQUIRE(!ioctl(vcpu, KVM_GET_SREGS, &sregs));
	sregs.cr0 = CR0;
	sregs.cr4 = CR4_PAE;
	sregs.cr3 = GUEST_PML4 | snp_c_bit();
	sregs.efer = EFER_LME_LMA;
	sregs.cs = (struct kvm_segment){
		.selector = CODE, .limit = ~0u, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	sregs.gdt.base = GUEST_DESCRIPTORS;
	sregs.gdt.limit = GUEST_IDT_OFFSET - 1;
	sregs.idt.base = GUEST_DESCRIPTORS + GUEST_IDT_OFFSET;
	sregs.idt.limit = (VC + 1) * 16 - 1;
	REQUIRE(!ioctl(vcpu, KVM_SET_SREGS, &sregs));
	REQUIRE(!ioctl(vcpu, KVM_SET_REGS, &regs));
}

struct guest guest_new(void)
{
	int vm = snp_vm();
	uint8_t *memory = snp_slot(vm, 0, 0, GUEST_SIZE / PAGE, snp_file(vm, GUEST_SIZE / PAGE), 0);
	struct guest guest = { .vm = vm, .box = (void *)(memory + GUEST_MAILBOX) };
	struct sev_snp_update update = { .gfn_start = GUEST_PML4 / PAGE,
					 .uaddr = (uintptr_t)memory + GUEST_PML4,
					 .len = GUEST_MAILBOX - GUEST_PML4,
					 .type = SEV_PAGE_NORMAL };
	uint32_t error;

	make_page_tables(memory);
	make_descriptors(memory);
	memcpy(memory + GUEST_CODE, guest_program, guest_program_size);
	REQUIRE(!snp_attributes(vm, 0, GUEST_MAILBOX / PAGE, true));
	REQUIRE(!snp_start(vm, POLICY, &error));
	REQUIRE(!snp_update(vm, &update, &error) && !update.len);
	guest.vcpu = snp_vcpu(vm);
	guest.run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, guest.vcpu, 0);
	REQUIRE(guest.run != MAP_FAILED);
	set_registers(guest.vcpu);
	return guest;
}

static int run(struct guest *guest)
{
	guest->run->exit_reason = KVM_EXIT_UNKNOWN;
	return ioctl(guest->vcpu, KVM_RUN, 0) ? -errno : 0;
}

void guest_finish(struct guest *guest)
{
	uint32_t error;

	REQUIRE(!snp_finish(guest->vm, &error));
	REQUIRE(!run(guest));
	REQUIRE(guest->run->exit_reason == KVM_EXIT_HLT);
}

/* An operation that ended with a fault is tried again by the next KVM_RUN, before it gets to another. */
static struct outcome operate(struct guest *guest, const struct mailbox *operation)
{
	struct outcome outcome;

	*guest->box = *operation;
	outcome.result = run(guest);
	if (!outcome.result && guest->stuck) {
		guest->stuck = false;
		*guest->box = *operation;
		outcome.result = run(guest);
	}
	guest->stuck = outcome.result;
	if (!outcome.result)
		ASSERT_EQ(guest->run->exit_reason, KVM_EXIT_HLT, "operation %llu at 0x%llx",
			  (unsigned long long)operation->operation,
			  (unsigned long long)operation->address);
	outcome.value = guest->box->rax;
	outcome.carry = guest->box->carry;
	outcome.vc = guest->box->vc;
	return outcome;
}

struct outcome guest_read(struct guest *guest, uint64_t address)
{
	return operate(guest, &(struct mailbox){ .operation = OPERATION_READ, .address = address });
}

struct outcome guest_write(struct guest *guest, uint64_t address, uint64_t value)
{
	return operate(guest, &(struct mailbox){ .operation = OPERATION_WRITE,
						 .address = address,
						 .rdx = value });
}

struct outcome guest_pvalidate(struct guest *guest, uint64_t address, bool large, bool valid)
{
	return operate(guest, &(struct mailbox){ .operation = OPERATION_PVALIDATE,
						 .address = address,
						 .rcx = large,
						 .rdx = valid });
}

void guest_validate(struct guest *guest, uint64_t gpa)
{
	struct outcome outcome = guest_pvalidate(guest, PRIVATE(gpa), false, true);

	ASSERT_EQ(outcome.result, 0, "0x%llx", (unsigned long long)gpa);
	EXPECT_EQ((uint32_t)outcome.value, PVALIDATE_OK, "0x%llx", (unsigned long long)gpa);
	EXPECT_FALSE(outcome.carry, "0x%llx was validated before", (unsigned long long)gpa);
}

void guest_expect(struct guest *guest, uint64_t address, uint64_t value)
{
	struct outcome outcome = guest_read(guest, address);

	ASSERT_EQ(outcome.result, 0, "0x%llx", (unsigned long long)address);
	EXPECT_EQ(outcome.vc, 0, "0x%llx", (unsigned long long)address);
	EXPECT_EQ(outcome.value, value, "0x%llx", (unsigned long long)address);
}

void guest_expect_not_validated(struct guest *guest, uint64_t gpa)
{
	struct outcome outcome = guest_read(guest, PRIVATE(gpa));

	ASSERT_EQ(outcome.result, 0, "0x%llx", (unsigned long long)gpa);
	EXPECT_EQ(outcome.vc, VC_NOT_VALIDATED, "0x%llx", (unsigned long long)gpa);
}

void guest_expect_fault(struct guest *guest, uint64_t address, uint64_t gpa, bool private)
{
	const struct gmem_fault *fault = (const struct gmem_fault *)guest->run->padding;
	struct outcome outcome = guest_read(guest, address);

	ASSERT_EQ(outcome.result, -EFAULT, "0x%llx", (unsigned long long)address);
	EXPECT_EQ(guest->run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	EXPECT_EQ(fault->flags, private ? KVM_MEMORY_EXIT_FLAG_PRIVATE : 0, "0x%llx",
		  (unsigned long long)address);
	EXPECT_EQ(fault->gpa, gpa & -PAGE);
	EXPECT_EQ(fault->size, PAGE);
}
