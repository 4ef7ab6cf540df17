// SPDX-License-Identifier: BSD-2-Clause
/*
 * Making a guest_memfd: the sizes and flags that KVM_CREATE_GUEST_MEMFD takes, per type of VM
 *
 * A size is a whole number of pages above 0 and, as it becomes a loff_t, below 2^63; no memory is
 * allocated for it (virt/kvm/guest_memfd.c, kvm_gmem_create). The flags are checked against what
 * the VM offers, which is what KVM_CAP_GUEST_MEMFD_FLAGS says of it (include/linux/kvm_host.h,
 * kvm_gmem_get_supported_flags): a VM with private memory has no INIT_SHARED, as KVM tracks
 * private and shared pages outside of the file (arch/x86/kvm/x86.c,
 * kvm_arch_supports_gmem_init_shared). /dev/kvm, asked itself, says what some VM may have.
 */
#include "common/gmem.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t bad_sizes[] = {
	0,
	1,
	512,
	PAGE - 1,
	PAGE + 1,
	3 * PAGE / 2,
	2 * PAGE - 1,
	(1ull << 30) + 8,
	1ull << 63,
	(uint64_t)-PAGE,
	UINT64_MAX,
};
static const uint64_t good_sizes[] = {
	PAGE, 2 * PAGE, 3 * PAGE, 1ull << 21, (1ull << 21) + PAGE, 1ull << 40, 1ull << 62,
};

static void check_bad_sizes(unsigned long type)
{
	int vm = gmem_vm(type);
	uint64_t offered = gmem_vm_flags(vm);

	for (uint64_t flags = 0; flags <= offered; flags++)
		for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(*bad_sizes); i++)
			EXPECT_EQ(gmem_try_new(vm, bad_sizes[i], flags & offered), -EINVAL,
				  "size 0x%llx, flags 0x%llx", (unsigned long long)bad_sizes[i],
				  (unsigned long long)(flags & offered));
	close(vm);
}

static void check_good_sizes(unsigned long type)
{
	int vm = gmem_vm(type);
	struct stat status;

	for (size_t i = 0; i < sizeof(good_sizes) / sizeof(*good_sizes); i++) {
		int file = gmem_try_new(vm, good_sizes[i], 0);

		EXPECT_TRUE(file >= 0, "size 0x%llx: %d", (unsigned long long)good_sizes[i], file);
		if (file < 0)
			continue;
		EXPECT_EQ(fstat(file, &status), 0);
		EXPECT_EQ(status.st_size, good_sizes[i]);
		close(file);
	}
	close(vm);
}

/* What is not offered is refused, alone and beside what is. */
static void check_flags(unsigned long type)
{
	int vm = gmem_vm(type);
	uint64_t offered = gmem_vm_flags(vm);

	for (unsigned int bit = 0; bit < 64; bit++) {
		int file = gmem_try_new(vm, PAGE, 1ull << bit);

		if (offered & 1ull << bit) {
			EXPECT_TRUE(file >= 0, "flag %u: %d", bit, file);
			close(file);
			continue;
		}
		EXPECT_EQ(file, -EINVAL, "flag %u", bit);
		EXPECT_EQ(gmem_try_new(vm, PAGE, offered | 1ull << bit), -EINVAL,
			  "flag %u beside all that are offered", bit);
	}
	int file = gmem_try_new(vm, PAGE, offered);

	EXPECT_TRUE(file >= 0, "all flags that are offered: %d", file);
	close(file);
	close(vm);
}

TEST("a default VM refuses a size that is not a number of pages")
{
	check_bad_sizes(KVM_X86_DEFAULT_VM);
}

TEST("a software-protected VM refuses a size that is not a number of pages")
{
	check_bad_sizes(KVM_X86_SW_PROTECTED_VM);
}

TEST("a default VM takes any number of pages, and the file has that size")
{
	check_good_sizes(KVM_X86_DEFAULT_VM);
}

TEST("a software-protected VM takes any number of pages, and the file has that size")
{
	check_good_sizes(KVM_X86_SW_PROTECTED_VM);
}

TEST("a default VM takes the flags that it offers, and no others")
{
	check_flags(KVM_X86_DEFAULT_VM);
}

TEST("a software-protected VM takes the flags that it offers, and no others")
{
	check_flags(KVM_X86_SW_PROTECTED_VM);
}

TEST("/dev/kvm offers a mapping, and memory that is shared from the start")
{
	EXPECT_EQ(gmem_system_flags(), MAPPABLE);
}

TEST("a default VM offers a mapping, and memory that is shared from the start")
{
	EXPECT_EQ(gmem_vm_flags(gmem_vm(KVM_X86_DEFAULT_VM)), MAPPABLE);
}

TEST("a software-protected VM offers a mapping, and no memory that is shared from the start")
{
	EXPECT_EQ(gmem_vm_flags(gmem_vm(KVM_X86_SW_PROTECTED_VM)), MMAP);
}

TEST("a request that cannot be read is EFAULT")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM);

	EXPECT_EQ(ioctl(vm, KVM_CREATE_GUEST_MEMFD, NULL), -1);
	EXPECT_EQ(errno, EFAULT);
	close(vm);
}
