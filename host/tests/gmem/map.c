// SPDX-License-Identifier: BSD-2-Clause
/*
 * Mapping a guest_memfd: who may, how, and what an access to the mapping does
 *
 * A file can be mapped if it was made with GUEST_MEMFD_FLAG_MMAP; without, mmap() is ENODEV,
 * whatever else it asks for. The mapping must be shared: a private one would be a copy of guest
 * memory, and is EINVAL (virt/kvm/guest_memfd.c, kvm_gmem_mmap). The file lies on a mount without
 * exec: PROT_EXEC is EPERM (kvm_gmem_init_mount; mm/mmap.c, do_mmap).
 *
 * A mapped page can be touched if it lies inside of the file, and if the file was made with
 * GUEST_MEMFD_FLAG_INIT_SHARED, or else is private to the guest (kvm_gmem_fault_user_mapping). Any
 * other access is a SIGBUS with the address; made by the kernel in a system call, an EFAULT.
 */
#include "common/gmem.h"
#include "common/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES	     4
#define MAPPED_PAGES 8
#define READ_WRITE   (PROT_READ | PROT_WRITE)

/* 0, or the negative errno. */
static int try_map(int file, uint64_t size, int protection, int flags, int64_t offset)
{
	void *memory = mmap(NULL, size, protection, flags, file, offset);

	if (memory == MAP_FAILED)
		return -errno;
	munmap(memory, size);
	return 0;
}

static void check_no_mapping(unsigned long type)
{
	static const int protections[] = { PROT_NONE, PROT_READ, PROT_WRITE, READ_WRITE };
	static const uint64_t flags[] = { 0, GUEST_MEMFD_FLAG_INIT_SHARED };
	int vm = gmem_vm(type);

	for (size_t f = 0; f < 2; f++) {
		if (flags[f] & ~gmem_vm_flags(vm))
			continue;
		int file = gmem_new(vm, PAGES, flags[f]);

		for (size_t i = 0; i < sizeof(protections) / sizeof(*protections); i++) {
			EXPECT_EQ(try_map(file, PAGE, protections[i], MAP_SHARED, 0), -ENODEV,
				  "flags %u, PROT %d", (unsigned int)flags[f], protections[i]);
			EXPECT_EQ(try_map(file, PAGES * PAGE, protections[i], MAP_PRIVATE, 0),
				  -ENODEV, "flags %u, PROT %d", (unsigned int)flags[f],
				  protections[i]);
		}
		close(file);
	}
	close(vm);
}

static void check_private_mapping(unsigned long type, uint64_t flags)
{
	static const int protections[] = { PROT_NONE, PROT_READ, PROT_WRITE, READ_WRITE };
	int file = gmem_new(gmem_vm(type), PAGES, flags);

	for (size_t i = 0; i < sizeof(protections) / sizeof(*protections); i++) {
		EXPECT_EQ(try_map(file, PAGE, protections[i], MAP_PRIVATE, 0), -EINVAL, "PROT %d",
			  protections[i]);
		EXPECT_EQ(try_map(file, PAGES * PAGE, protections[i], MAP_PRIVATE, 0), -EINVAL,
			  "PROT %d", protections[i]);
	}
}

static void expect_fault(struct touch touch, int signal, const volatile void *address,
			 const char *what)
{
	EXPECT_EQ(touch.signal, signal, "%s", what);
	EXPECT_EQ(touch.code, signal == SIGBUS ? BUS_ADRERR : SEGV_ACCERR, "%s", what);
	EXPECT_EQ((uintptr_t)touch.address, (uintptr_t)address, "%s", what);
}

static void check_private_pages(unsigned long type)
{
	int file = gmem_new(gmem_vm(type), PAGES, MMAP);
	volatile uint64_t *memory = gmem_map(file, PAGES);

	for (unsigned int page = 0; page < PAGES; page++) {
		volatile uint64_t *word = memory + page * PAGE_WORDS;

		expect_fault(touch_read(word), SIGBUS, word, "reading");
		expect_fault(touch_write(word, 1), SIGBUS, word, "writing");
	}
}

TEST("the file of a default VM that was made without MMAP cannot be mapped")
{
	check_no_mapping(KVM_X86_DEFAULT_VM);
}

TEST("the file of a software-protected VM that was made without MMAP cannot be mapped")
{
	check_no_mapping(KVM_X86_SW_PROTECTED_VM);
}

TEST("a private mapping of shared memory is refused")
{
	check_private_mapping(KVM_X86_DEFAULT_VM, MAPPABLE);
}

TEST("a private mapping of a default VM's private memory is refused")
{
	check_private_mapping(KVM_X86_DEFAULT_VM, MMAP);
}

TEST("a private mapping of a software-protected VM's memory is refused")
{
	check_private_mapping(KVM_X86_SW_PROTECTED_VM, MMAP);
}

TEST("a mapping that can be executed is refused, and one does not become so")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, PAGES);

	EXPECT_EQ(try_map(file, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0), -EPERM);
	EXPECT_EQ(mprotect((void *)memory, PAGE, PROT_READ | PROT_EXEC), -1);
	EXPECT_EQ(errno, EACCES);
}

TEST("a shared mapping of shared memory is zero, and keeps what is written")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, PAGES);

	EXPECT_EQ(pages_not_zero(memory, 0, PAGES), 0);
	pages_fill(memory, 0, PAGES, 1);
	EXPECT_EQ(pages_changed(memory, 0, PAGES, 1), 0);
}

TEST("what was written is still there when the file is mapped again")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, PAGES);

	pages_fill(memory, 0, PAGES, 1);
	ASSERT_EQ(munmap((void *)memory, PAGES * PAGE), 0);
	EXPECT_EQ(pages_changed(gmem_map(file, PAGES), 0, PAGES, 1), 0);
}

TEST("two mappings show the same memory")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *one = gmem_map(file, PAGES), *two = gmem_map(file, PAGES);

	EXPECT_NE((uintptr_t)one, (uintptr_t)two);
	pages_fill(one, 0, PAGES, 1);
	EXPECT_EQ(pages_changed(two, 0, PAGES, 1), 0);
	pages_fill(two, 1, 1, 2);
	EXPECT_EQ(pages_changed(one, 1, 1, 2), 0);
}

TEST("a mapping from an offset begins at that page of the file")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *all = gmem_map(file, PAGES), *part;

	part = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, file, 2 * PAGE);
	ASSERT_NE((uintptr_t)part, (uintptr_t)MAP_FAILED);
	pages_fill(all, 0, PAGES, 1);
	for (unsigned int i = 0; i < PAGE_WORDS; i += 64)
		EXPECT_EQ(part[i], all[2 * PAGE_WORDS + i]);
	*part = 0x1234;
	EXPECT_EQ(all[2 * PAGE_WORDS], 0x1234);
}

TEST("dropping the pages from a mapping (MADV_DONTNEED) does not change them")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, PAGES);

	pages_fill(memory, 0, PAGES, 1);
	EXPECT_EQ(madvise((void *)memory, PAGES * PAGE, MADV_DONTNEED), 0);
	EXPECT_EQ(pages_changed(memory, 0, PAGES, 1), 0);
}

TEST("a page that was allocated and never written reads zero")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM);
	int first = gmem_new(vm, 64, MAPPABLE), second = gmem_new(vm, 64, MAPPABLE);

	/* What is freed here is likely what the second file gets. */
	pages_fill(gmem_map(first, 64), 0, 64, 1);
	EXPECT_EQ(gmem_punch(first, 0, 64 * PAGE), 0);
	EXPECT_EQ(gmem_fallocate(second, FALLOC_FL_KEEP_SIZE, 0, 64 * PAGE), 0);
	EXPECT_EQ(pages_not_zero(gmem_map(second, 64), 0, 64), 0);
}

TEST("writing to a mapping that can only be read is SIGSEGV")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);

	ASSERT_NE((uintptr_t)memory, (uintptr_t)MAP_FAILED);
	EXPECT_EQ(touch_read(memory).signal, 0);
	expect_fault(touch_write(memory, 1), SIGSEGV, memory, "writing");
	EXPECT_EQ(*memory, 0);
}

TEST("any access to a default VM's memory that is not shared is SIGBUS")
{
	check_private_pages(KVM_X86_DEFAULT_VM);
}

TEST("any access to a software-protected VM's memory is SIGBUS")
{
	check_private_pages(KVM_X86_SW_PROTECTED_VM);
}

TEST("any access past the end of the file is SIGBUS")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, MAPPED_PAGES);

	for (unsigned int page = PAGES; page < MAPPED_PAGES; page++) {
		volatile uint64_t *word = memory + page * PAGE_WORDS;

		expect_fault(touch_read(word), SIGBUS, word, "reading");
		expect_fault(touch_write(word, 1), SIGBUS, word, "writing");
		expect_fault(touch_write(word + 511, 1), SIGBUS, word + 511, "writing");
	}
}

TEST("the last word of the file is no fault, and faults behind it change nothing")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = gmem_map(file, MAPPED_PAGES);

	EXPECT_EQ(touch_write(memory + PAGES * PAGE_WORDS - 1, 1).signal, 0);
	EXPECT_EQ(touch_read(memory + PAGES * PAGE_WORDS - 1).value, 1);
	pages_fill(memory, 0, PAGES, 1);
	expect_fault(touch_write(memory + PAGES * PAGE_WORDS, 2), SIGBUS,
		     memory + PAGES * PAGE_WORDS, "behind the last word");
	EXPECT_EQ(pages_changed(memory, 0, PAGES, 1), 0);
}

TEST("a mapping that begins past the end of the file is only SIGBUS")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	volatile uint64_t *memory = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, file, PAGES * PAGE);

	ASSERT_NE((uintptr_t)memory, (uintptr_t)MAP_FAILED);
	expect_fault(touch_read(memory), SIGBUS, memory, "reading");
}

TEST("a system call that touches what lies past the end is EFAULT")
{
	int file = gmem_new(gmem_vm(KVM_X86_DEFAULT_VM), PAGES, MAPPABLE);
	char *memory = (char *)gmem_map(file, MAPPED_PAGES);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	REQUIRE(zero >= 0);
	EXPECT_EQ(read(zero, memory + PAGES * PAGE, 8), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(read(zero, memory, 8), 8);
	close(zero);
}
