// SPDX-License-Identifier: BSD-2-Clause
/*
 * How long a guest_memfd lives: duplicates, children, and a VM that is gone
 *
 * Descriptors from dup() and fork() name one file, with one set of bindings. The memory belongs to
 * the file's inode, which every descriptor and every mapping holds; the file in turn holds the VM,
 * so that closing the VM ends neither (virt/kvm/guest_memfd.c, __kvm_gmem_create: kvm_get_kvm;
 * kvm_gmem_release).
 */
#include "common/gmem.h"
#include "common/touch.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 4
#define SIZE  (PAGES * PAGE)
#define GPA   (1ull << 30)

struct memory {
	int vm, file;
	volatile uint64_t *words;
};

static struct memory filled(void)
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	struct memory memory = { vm, file, gmem_map(file, PAGES) };

	pages_fill(memory.words, 0, PAGES, 1);
	return memory;
}

TEST("a duplicate is the same file")
{
	struct memory memory = filled();
	int copy = dup(memory.file);
	struct stat one, two;

	REQUIRE(copy >= 0);
	ASSERT_EQ(fstat(memory.file, &one) | fstat(copy, &two), 0);
	EXPECT_EQ(one.st_ino, two.st_ino);
	EXPECT_EQ(pages_changed(gmem_map(copy, PAGES), 0, PAGES, 1), 0);
	EXPECT_EQ(gmem_punch(copy, PAGE, PAGE), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 1, 1), 0);
}

TEST("a duplicate outlives the first descriptor")
{
	struct memory memory = filled();
	int copy = dup(memory.file);

	REQUIRE(copy >= 0);
	close(memory.file);
	EXPECT_EQ(pages_changed(gmem_map(copy, PAGES), 0, PAGES, 1), 0);
	EXPECT_EQ(gmem_punch(copy, 0, PAGE), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 0, 1), 0);
}

TEST("pages bound by one descriptor are taken for its duplicate too")
{
	struct memory memory = filled();
	int copy = dup(memory.file);

	REQUIRE(copy >= 0);
	EXPECT_EQ(BIND(memory.vm, 0, GPA, SIZE, memory.file), 0);
	EXPECT_EQ(BIND(memory.vm, 1, GPA + SIZE, SIZE, copy), -EEXIST);
	close(memory.file);
	EXPECT_EQ(BIND(memory.vm, 1, GPA + SIZE, SIZE, copy), -EEXIST, "the first is closed");
	EXPECT_EQ(gmem_unbind(memory.vm, 0), 0);
	EXPECT_EQ(BIND(memory.vm, 1, GPA + SIZE, SIZE, copy), 0);
}

static int child_reads_and_writes(void *context)
{
	struct memory *memory = context;

	if (pages_changed(memory->words, 0, PAGES, 1))
		return 1;
	pages_fill(memory->words, 1, 1, 2);
	return 0;
}

TEST("a child shares the mapping, in both directions")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_in_child(child_reads_and_writes, &memory), 0);
	EXPECT_EQ(pages_changed(memory.words, 1, 1, 2), 0);
	EXPECT_EQ(pages_changed(memory.words, 0, 1, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 2, PAGES - 2, 1), 0);
}

static int child_punches(void *context)
{
	struct memory *memory = context;

	if (gmem_punch(memory->file, 2 * PAGE, PAGE))
		return 1;
	return pages_not_zero(memory->words, 2, 1) ? 2 : 0;
}

TEST("a hole that a child punches is one for the parent")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_in_child(child_punches, &memory), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 2, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 0, 2, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 3, 1, 1), 0);
}

static int child_reads_past_the_end(void *context)
{
	struct memory *memory = context;
	volatile uint64_t *words = gmem_map(memory->file, PAGES + 1);

	return touch_read(words + PAGES * PAGE_WORDS).signal;
}

TEST("a child can map the file that it has from its parent, up to its end")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_in_child(child_reads_past_the_end, &memory), SIGBUS);
}

/* KVM ties a VM to the process that made it (kvm_main.c, kvm_vm_ioctl: EIO). */
static int child_asks_the_vm(void *context)
{
	struct memory *memory = context;

	return -gmem_try_new(memory->vm, PAGE, MAPPABLE);
}

TEST("a child makes no file of its parent's VM")
{
	struct memory memory = filled();

	EXPECT_EQ(gmem_in_child(child_asks_the_vm, &memory), EIO);
}

TEST("a mapping outlives the descriptor")
{
	struct memory memory = filled();

	close(memory.file);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0);
	pages_fill(memory.words, 0, PAGES, 2);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 2), 0);
}

TEST("a mapping outlives the VM and the descriptor, and gets pages on")
{
	int vm = gmem_vm(KVM_X86_DEFAULT_VM), file = gmem_new(vm, PAGES, MAPPABLE);
	volatile uint64_t *words = gmem_map(file, PAGES + 1);

	pages_fill(words, 0, 1, 1);
	close(vm);
	close(file);
	EXPECT_EQ(pages_changed(words, 0, 1, 1), 0);
	EXPECT_EQ(pages_not_zero(words, 1, PAGES - 1), 0);
	pages_fill(words, 1, PAGES - 1, 2);
	EXPECT_EQ(pages_changed(words, 1, PAGES - 1, 2), 0);
	EXPECT_EQ(touch_read(words + PAGES * PAGE_WORDS).signal, SIGBUS);
}

TEST("a file outlives the descriptor of its VM: it maps, and takes holes")
{
	struct memory memory = filled();

	close(memory.vm);
	EXPECT_EQ(pages_changed(gmem_map(memory.file, PAGES), 0, PAGES, 1), 0);
	EXPECT_EQ(gmem_punch(memory.file, PAGE, PAGE), 0);
	EXPECT_EQ(pages_not_zero(memory.words, 1, 1), 0);
	EXPECT_EQ(pages_changed(memory.words, 0, 1, 1), 0);
}

TEST("what was bound outlives the VM, and deleting the slot changes no memory")
{
	struct memory memory = filled();

	ASSERT_EQ(BIND(memory.vm, 0, GPA, SIZE, memory.file), 0);
	ASSERT_EQ(gmem_unbind(memory.vm, 0), 0);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0);
	ASSERT_EQ(BIND(memory.vm, 0, GPA, SIZE, memory.file), 0);
	close(memory.vm);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0);
	close(memory.file);
	EXPECT_EQ(pages_changed(memory.words, 0, PAGES, 1), 0);
}
