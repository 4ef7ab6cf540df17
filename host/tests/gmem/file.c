// SPDX-License-Identifier: BSD-2-Clause
/*
 * A guest_memfd as a file: what the system calls on files say to it
 *
 * It has neither read nor write, so that no system call copies a guest's private memory
 * (virt/kvm/guest_memfd.c, kvm_gmem_fops; fs/read_write.c, vfs_read: EINVAL). Its size and mode
 * are set when it is made and never change (kvm_gmem_setattr). It is an ordinary file to fstat(),
 * each one with an inode of its own. fallocate() allocates and punches holes, with
 * FALLOC_FL_KEEP_SIZE and in whole pages, and nothing else (kvm_gmem_fallocate); it allocates only
 * inside of the file.
 */
#include "common/gmem.h"
#include "common/touch.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGES 4
#define SIZE  (PAGES * PAGE)

/* Each of the ways to make a file of this VM; the check gets one after the other. */
static void for_each_flags(unsigned long type, void (*check)(int file, uint64_t flags))
{
	static const uint64_t ways[] = { 0, MMAP, MAPPABLE };
	int vm = gmem_vm(type);

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (ways[i] & ~gmem_vm_flags(vm))
			continue;
		int file = gmem_new(vm, PAGES, ways[i]);

		check(file, ways[i]);
		close(file);
	}
	close(vm);
}

static void check_no_read(int file, uint64_t flags)
{
	char byte = 0x5a;
	struct iovec vector = { &byte, 1 };

	EXPECT_EQ(read(file, &byte, 1), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(readv(file, &vector, 1), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(pread(file, &byte, 1, 0), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(byte, 0x5a);
}

static void check_no_write(int file, uint64_t flags)
{
	char byte = 0x5a;
	struct iovec vector = { &byte, 1 };

	EXPECT_EQ(write(file, &byte, 1), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(writev(file, &vector, 1), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(pwrite(file, &byte, 1, 0), -1, "flags %u", (unsigned int)flags);
}

static void check_fixed_size(int file, uint64_t flags)
{
	static const long sizes[] = { 0, PAGE, 2 * PAGES * PAGE };
	struct stat status;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		EXPECT_EQ(ftruncate(file, sizes[i]), -1, "flags %u, to %ld", (unsigned int)flags,
			  sizes[i]);
		EXPECT_EQ(errno, EINVAL);
	}
	EXPECT_EQ(fchmod(file, 0777), -1, "flags %u", (unsigned int)flags);
	EXPECT_EQ(errno, EINVAL);
	ASSERT_EQ(fstat(file, &status), 0);
	EXPECT_EQ(status.st_size, PAGES * PAGE);
}

static void check_fstat(int file, uint64_t flags)
{
	struct stat status;

	ASSERT_EQ(fstat(file, &status), 0, "flags %u", (unsigned int)flags);
	EXPECT_EQ(status.st_size, PAGES * PAGE, "flags %u", (unsigned int)flags);
	EXPECT_EQ(status.st_blksize, PAGE);
	EXPECT_TRUE(S_ISREG(status.st_mode), "mode 0%o", status.st_mode);
}

TEST("reading the file of a default VM is refused")
{
	for_each_flags(KVM_X86_DEFAULT_VM, check_no_read);
}

TEST("reading the file of a software-protected VM is refused")
{
	for_each_flags(KVM_X86_SW_PROTECTED_VM, check_no_read);
}

TEST("writing the file of a default VM is refused")
{
	for_each_flags(KVM_X86_DEFAULT_VM, check_no_write);
}

TEST("writing the file of a software-protected VM is refused")
{
	for_each_flags(KVM_X86_SW_PROTECTED_VM, check_no_write);
}

TEST("neither size nor mode of the file of a default VM can be changed")
{
	for_each_flags(KVM_X86_DEFAULT_VM, check_fixed_size);
}

TEST("neither size nor mode of the file of a software-protected VM can be changed")
{
	for_each_flags(KVM_X86_SW_PROTECTED_VM, check_fixed_size);
}

TEST("the file of a default VM is to fstat a file of its size and of pages")
{
	for_each_flags(KVM_X86_DEFAULT_VM, check_fstat);
}

TEST("the file of a software-protected VM is to fstat a file of its size and of pages")
{
	for_each_flags(KVM_X86_SW_PROTECTED_VM, check_fstat);
}

TEST("files of one VM have inodes and sizes of their own")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM);
	int one = gmem_new(vm, 1, 0), two = gmem_new(vm, 2, 0);
	struct stat first, second;

	EXPECT_NE(one, two);
	ASSERT_EQ(fstat(one, &first) | fstat(two, &second), 0);
	EXPECT_NE(first.st_ino, second.st_ino);
	EXPECT_EQ(first.st_size, PAGE);
	EXPECT_EQ(second.st_size, 2 * PAGE);
	close(one);
	ASSERT_EQ(fstat(two, &second), 0);
	EXPECT_EQ(second.st_size, 2 * PAGE);
	close(two);
	close(vm);
}

TEST("files of one VM and of two have contents of their own")
{
	int vms[] = { gmem_vm(KVM_X86_DEFAULT_VM), gmem_vm(KVM_X86_DEFAULT_VM) };
	int files[] = { gmem_new(vms[0], PAGES, MAPPABLE), gmem_new(vms[0], PAGES, MAPPABLE),
			gmem_new(vms[1], PAGES, MAPPABLE) };
	volatile uint64_t *memory[3];

	for (unsigned int i = 0; i < 3; i++) {
		memory[i] = gmem_map(files[i], PAGES);
		pages_fill(memory[i], 0, PAGES, i + 1);
	}
	EXPECT_EQ(gmem_punch(files[1], PAGE, PAGE), 0);
	EXPECT_EQ(pages_changed(memory[0], 0, PAGES, 1), 0);
	EXPECT_EQ(pages_not_zero(memory[1], 1, 1), 0);
	EXPECT_EQ(pages_changed(memory[2], 0, PAGES, 3), 0);
}

static const struct {
	const char *what;
	int mode;
	int64_t offset, size;
	int result;
} allocations[] = {
	{ "all", FALLOC_FL_KEEP_SIZE, 0, SIZE, 0 },
	{ "the last page", FALLOC_FL_KEEP_SIZE, (PAGES - 1) * PAGE, PAGE, 0 },
	{ "all, again", FALLOC_FL_KEEP_SIZE, 0, SIZE, 0 },
	{ "without KEEP_SIZE", 0, 0, PAGE, -EOPNOTSUPP },
	{ "a hole without KEEP_SIZE", FALLOC_FL_PUNCH_HOLE, 0, PAGE, -EOPNOTSUPP },
	{ "zeroes", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE, -EOPNOTSUPP },
	{ "collapsing", FALLOC_FL_COLLAPSE_RANGE, 0, PAGE, -EOPNOTSUPP },
	{ "inserting", FALLOC_FL_INSERT_RANGE, 0, PAGE, -EOPNOTSUPP },
	{ "half a page", FALLOC_FL_KEEP_SIZE, 0, PAGE / 2, -EINVAL },
	{ "from a half", FALLOC_FL_KEEP_SIZE, PAGE / 2, PAGE, -EINVAL },
	{ "nothing", FALLOC_FL_KEEP_SIZE, 0, 0, -EINVAL },
	{ "before the file", FALLOC_FL_KEEP_SIZE, -(int64_t)PAGE, PAGE, -EINVAL },
	{ "behind the file", FALLOC_FL_KEEP_SIZE, SIZE, PAGE, -EINVAL },
	{ "over the end", FALLOC_FL_KEEP_SIZE, (PAGES - 1) * PAGE, 2 * PAGE, -EINVAL },
};

static void check_fallocate(int file, uint64_t flags)
{
	for (size_t i = 0; i < sizeof(allocations) / sizeof(*allocations); i++)
		EXPECT_EQ(gmem_fallocate(file, allocations[i].mode, allocations[i].offset,
					 allocations[i].size),
			  allocations[i].result, "%s, flags %u", allocations[i].what,
			  (unsigned int)flags);
}

TEST("pages of a default VM's file are allocated inside of it, in whole pages")
{
	for_each_flags(KVM_X86_DEFAULT_VM, check_fallocate);
}

TEST("pages of a software-protected VM's file are allocated inside of it, in whole pages")
{
	for_each_flags(KVM_X86_SW_PROTECTED_VM, check_fallocate);
}
