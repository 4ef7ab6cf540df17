// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a guest whose memory is a guest_memfd sees of the host's doings, and the other way round
 *
 * In a VM of the default type the guest's pages of a file made with GUEST_MEMFD_FLAG_MMAP are the
 * file's, be they mapped or not (arch/x86/kvm/mmu/mmu.c, kvm_mmu_faultin_pfn_gmem). A hole leaves
 * the guest's page tables as it leaves the host's (virt/kvm/guest_memfd.c, kvm_gmem_punch_hole),
 * and so does everything when the last of the file's descriptors and mappings is gone
 * (kvm_gmem_release): from then on KVM_RUN is EFAULT with KVM_EXIT_MEMORY_FAULT
 * (Documentation/virt/kvm/api.rst, 6.28 and KVM_EXIT_MEMORY_FAULT).
 *
 * The guest is one in real mode that copies a word from page 2 to page 3 and halts. Its code, in
 * page 0, is written by the host.
 */
#include "common/gmem.h"
#include "common/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES	  4
#define FROM	  (2 * PAGE_WORDS)
#define TO	  (3 * PAGE_WORDS)
#define FROM_PAGE (2 * PAGE)
#define SIZE	  (PAGES * PAGE)

/* mov ax, [0x2000]; mov [0x3000], ax; hlt; and nothing behind it. */
#define CODE 0xf43000a32000a1ull

struct machine {
	int vm, file, vcpu;
	struct kvm_run *run;
	volatile uint64_t *words;
};

static struct machine machine(void)
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	struct machine machine = { vm, file, ioctl(vm, KVM_CREATE_VCPU, 0), MAP_FAILED, NULL };

	REQUIRE(machine.vcpu >= 0);
	machine.run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vcpu, 0);
	REQUIRE(machine.run != MAP_FAILED);
	machine.words = gmem_map(file, PAGES);
	machine.words[0] = CODE;
	REQUIRE(BIND(vm, 0, 0, SIZE, file) == 0);
	return machine;
}

/* Runs the guest from its start to its end: 0, or the negative errno, with the reason in *run. */
static int run(const struct machine *machine)
{
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;

	REQUIRE(!ioctl(machine->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	REQUIRE(!ioctl(machine->vcpu, KVM_SET_SREGS, &sregs));
	REQUIRE(!ioctl(machine->vcpu, KVM_SET_REGS, &regs));
	machine->run->exit_reason = KVM_EXIT_UNKNOWN;
	return ioctl(machine->vcpu, KVM_RUN, 0) ? -errno : 0;
}

static void expect_halt(const struct machine *machine)
{
	EXPECT_EQ(run(machine), 0);
	EXPECT_EQ(machine->run->exit_reason, KVM_EXIT_HLT);
}

TEST("guest and host see one another's writes")
{
	struct machine m = machine();

	for (unsigned int value = 0x1234; value < 0x1238; value++) {
		m.words[FROM] = value;
		expect_halt(&m);
		EXPECT_EQ(m.words[TO], value);
	}
}

TEST("the guest runs without any mapping, and its writes show in a later one")
{
	struct machine m = machine();

	m.words[FROM] = 0x4321;
	ASSERT_EQ(munmap((void *)m.words, SIZE), 0);
	expect_halt(&m);
	EXPECT_EQ(gmem_map(m.file, PAGES)[TO], 0x4321);
}

TEST("a page that was punched reads zero in the guest")
{
	struct machine m = machine();

	m.words[FROM] = 0x1234;
	expect_halt(&m);
	EXPECT_EQ(m.words[TO], 0x1234);
	EXPECT_EQ(gmem_punch(m.file, FROM_PAGE, PAGE), 0);
	expect_halt(&m);
	EXPECT_EQ(m.words[TO], 0);
	m.words[FROM] = 0x5678;
	expect_halt(&m);
	EXPECT_EQ(m.words[TO], 0x5678);
}

TEST("when nobody has the file any more, the guest's next access is a memory fault")
{
	struct machine m = machine();

	expect_halt(&m);
	close(m.file);
	ASSERT_EQ(munmap((void *)m.words, SIZE), 0);
	EXPECT_EQ(run(&m), -EFAULT);
	EXPECT_EQ(m.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	EXPECT_EQ(gmem_fault_of(m.run)->flags, 0);
	EXPECT_EQ(gmem_fault_of(m.run)->gpa, 0);
	EXPECT_EQ(gmem_fault_of(m.run)->size, PAGE);
}

TEST("a mapping keeps the guest running when the file is closed")
{
	struct machine m = machine();

	close(m.file);
	m.words[FROM] = 0x1234;
	expect_halt(&m);
	EXPECT_EQ(m.words[TO], 0x1234);
}

TEST("a duplicate keeps the guest running when the file is closed")
{
	struct machine m = machine();
	int copy = dup(m.file);

	REQUIRE(copy >= 0);
	m.words[FROM] = 0x1234;
	close(m.file);
	ASSERT_EQ(munmap((void *)m.words, SIZE), 0);
	expect_halt(&m);
	EXPECT_EQ(gmem_map(copy, PAGES)[TO], 0x1234);
}
