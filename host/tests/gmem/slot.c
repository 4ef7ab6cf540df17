// SPDX-License-Identifier: BSD-2-Clause
/*
 * Binding pages of a guest_memfd to memory slots: KVM_SET_USER_MEMORY_REGION2
 *
 * A slot takes a range of whole pages inside of a file of its own VM; no two slots take the same
 * pages of one file, or the same guest physical addresses: both EEXIST (virt/kvm/guest_memfd.c,
 * kvm_gmem_bind; kvm_main.c, kvm_set_memory_region). A slot that is bound cannot be changed, only
 * deleted. It can be neither read-only nor logged (check_memory_region_flags). The file's end does
 * not end the slot, and the slot does not hold the file (kvm_gmem_release, kvm_gmem_unbind).
 */
#include "common/gmem.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8
#define SIZE  (PAGES * PAGE)
#define GPA   (1ull << 30)

static const uint64_t ways[] = { 0, MMAP, MAPPABLE };
#define WAYS (sizeof(ways) / sizeof(*ways))

static void check_whole(unsigned long type)
{
	int vm = gmem_vm(type);

	for (size_t i = 0; i < WAYS; i++) {
		if (ways[i] & ~gmem_vm_flags(vm))
			continue;
		EXPECT_EQ(BIND(vm, i, GPA + i * SIZE, SIZE, gmem_new(vm, PAGES, ways[i])), 0,
			  "flags %u", (unsigned int)ways[i]);
	}
	close(vm);
}

TEST("a slot of a default VM takes a file, however it was made")
{
	check_whole(KVM_X86_DEFAULT_VM);
}

TEST("a slot of a software-protected VM takes a file, however it was made")
{
	check_whole(KVM_X86_SW_PROTECTED_VM);
}

TEST("slots take what lies side by side in a file, in any order")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	EXPECT_EQ(BIND(vm, 0, GPA, 3 * PAGE, file, .offset = 5 * PAGE), 0);
	EXPECT_EQ(BIND(vm, 1, GPA + 3 * PAGE, 4 * PAGE, file, .offset = PAGE), 0);
	EXPECT_EQ(BIND(vm, 2, GPA + 7 * PAGE, PAGE, file), 0);
}

TEST("a range that is not of whole pages, or not inside of the file, is refused")
{
	static const struct {
		uint64_t offset, size;
	} cases[] = {
		{ 1, PAGE },	      { PAGE / 2, PAGE },	 { PAGE - 1, PAGE },
		{ 0, PAGE / 2 },      { 0, PAGE + 1 },		 { 0, SIZE + PAGE },
		{ PAGE, SIZE },	      { SIZE - PAGE, 2 * PAGE }, { SIZE, PAGE },
		{ 1ull << 40, PAGE }, { -PAGE, PAGE },		 { -PAGE, 2 * PAGE },
		{ 1ull << 63, PAGE },
	};
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		EXPECT_EQ(BIND(vm, 0, GPA, cases[i].size, file, .offset = cases[i].offset), -EINVAL,
			  "offset 0x%llx, size 0x%llx", (unsigned long long)cases[i].offset,
			  (unsigned long long)cases[i].size);
	EXPECT_EQ(BIND(vm, 0, GPA, PAGE, file, .offset = SIZE - PAGE), 0);
}

TEST("a guest physical address that is not a page's is refused")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	EXPECT_EQ(BIND(vm, 0, GPA + 1, PAGE, file), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, GPA + PAGE / 2, PAGE, file), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, -PAGE, 2 * PAGE, file), -EINVAL);
}

TEST("pages that one slot has are refused to another")
{
	static const struct {
		unsigned int first, count;
		int result;
	} cases[] = {
		{ 2, 4, -EEXIST }, { 2, 1, -EEXIST }, { 5, 1, -EEXIST },
		{ 3, 2, -EEXIST }, { 0, 3, -EEXIST }, { 5, 3, -EEXIST },
		{ 0, 8, -EEXIST }, { 0, 2, 0 },	      { 6, 2, 0 },
	};
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	ASSERT_EQ(BIND(vm, 0, GPA, 4 * PAGE, file, .offset = 2 * PAGE), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		EXPECT_EQ(BIND(vm, 1 + i, GPA + (1 + i) * SIZE, cases[i].count * PAGE, file,
			       .offset = cases[i].first * PAGE),
			  cases[i].result, "pages %u to %u", cases[i].first,
			  cases[i].first + cases[i].count - 1);
}

TEST("guest physical addresses that one slot has are refused to another")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	int other = gmem_new(vm, PAGES, MAPPABLE);

	ASSERT_EQ(BIND(vm, 0, GPA, SIZE, file), 0);
	EXPECT_EQ(BIND(vm, 1, GPA, SIZE, other), -EEXIST);
	EXPECT_EQ(BIND(vm, 1, GPA + SIZE - PAGE, SIZE, other), -EEXIST);
	EXPECT_EQ(BIND(vm, 1, GPA - SIZE + PAGE, SIZE, other), -EEXIST);
	/* What was refused has left no pages of the file taken. */
	EXPECT_EQ(BIND(vm, 1, GPA + SIZE, SIZE, other), 0);
}

TEST("a slot that is bound cannot be changed")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	int other = gmem_new(vm, PAGES, MAPPABLE);

	ASSERT_EQ(BIND(vm, 0, GPA, PAGE, file), 0);
	EXPECT_EQ(BIND(vm, 0, GPA, PAGE, file), -EINVAL, "the same");
	EXPECT_EQ(BIND(vm, 0, GPA + SIZE, PAGE, file), -EINVAL, "another address");
	EXPECT_EQ(BIND(vm, 0, GPA, 2 * PAGE, file), -EINVAL, "another size");
	EXPECT_EQ(BIND(vm, 0, GPA, PAGE, file, .offset = PAGE), -EINVAL, "another offset");
	EXPECT_EQ(BIND(vm, 0, GPA, PAGE, other), -EINVAL, "another file");
}

TEST("a slot that is deleted gives its pages and its addresses back")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	ASSERT_EQ(BIND(vm, 0, GPA, SIZE, file), 0);
	EXPECT_EQ(BIND(vm, 1, GPA + SIZE, SIZE, file), -EEXIST);
	EXPECT_EQ(gmem_unbind(vm, 0), 0);
	EXPECT_EQ(gmem_unbind(vm, 0), -EINVAL, "it is deleted already");
	EXPECT_EQ(BIND(vm, 1, GPA, SIZE, file), 0);
}

TEST("the file of another VM is refused")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), other = gmem_vm(KVM_X86_DEFAULT_VM);
	int file = gmem_new(other, PAGES, MAPPABLE);

	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file), -EINVAL);
	EXPECT_EQ(BIND(other, 0, GPA, SIZE, file), 0);
}

TEST("what is no guest_memfd is refused")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), plain = memfd_create("plain", MFD_CLOEXEC);

	REQUIRE(plain >= 0 && !ftruncate(plain, SIZE));
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, plain), -EINVAL, "a memfd");
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, vm), -EINVAL, "the VM itself");
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, -1), -EBADF, "none");
	close(plain);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, plain), -EBADF, "closed");
}

TEST("a file that is closed already is refused")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	close(file);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file), -EBADF);
}

TEST("a bound slot is neither read-only nor logged")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);

	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file, .flags = KVM_MEM_READONLY), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file, .flags = KVM_MEM_LOG_DIRTY_PAGES), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file, .flags = 1u << 31), -EINVAL);
	EXPECT_EQ(BIND(vm, 0, GPA, SIZE, file), 0);
}

TEST("the older KVM_SET_USER_MEMORY_REGION binds no file")
{
	struct kvm_userspace_memory_region2 region = { .flags = KVM_MEM_GUEST_MEMFD,
						       .guest_phys_addr = GPA,
						       .memory_size = SIZE };
	int vm = gmem_vm(KVM_X86_DEFAULT_VM);

	region.guest_memfd = gmem_new(vm, PAGES, MAPPABLE);
	EXPECT_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region), 0);
}

TEST("a slot whose file was closed keeps its addresses until it is deleted")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	int other = gmem_new(vm, PAGES, MAPPABLE);

	ASSERT_EQ(BIND(vm, 0, GPA, SIZE, file), 0);
	close(file);
	EXPECT_EQ(BIND(vm, 1, GPA, SIZE, other), -EEXIST);
	EXPECT_EQ(gmem_unbind(vm, 0), 0);
	EXPECT_EQ(BIND(vm, 1, GPA, SIZE, other), 0);
}
