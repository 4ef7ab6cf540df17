/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMs and their guest_memfds, for tests on the host
 *
 * What may fail returns the negative errno. What a test needs for its set-up is an error of the
 * test (REQUIRE) if it fails, and a skip where the kernel does not have it.
 */
#ifndef GMEM_GMEM_H
#define GMEM_GMEM_H

#include <uapi/kvm.h>

#include <linux/falloc.h>
#include <stdint.h>
#include <test/test.h>

#define PAGE 4096ull
#define MMAP GUEST_MEMFD_FLAG_MMAP
/* What makes a file that the host can map and touch. */
#define MAPPABLE (GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED)

/* A new VM of this type; skips the point where the kernel has none. */
int gmem_vm(unsigned long type);

/* The flags that KVM says it takes: of this VM, or of /dev/kvm. */
uint64_t gmem_vm_flags(int vm);
uint64_t gmem_system_flags(void);

/* A new file, or the negative errno. */
int gmem_try_new(int vm, uint64_t size, uint64_t flags);

/* A new file of so many pages; skips the point where the VM does not offer the flags. */
int gmem_new(int vm, unsigned int pages, uint64_t flags);

/* A shared mapping of all pages of a file, readable and writable. */
volatile uint64_t *gmem_map(int file, unsigned int pages);

/* fallocate() with this mode, in bytes: 0 or the negative errno. */
int gmem_fallocate(int file, int mode, int64_t offset, int64_t size);
int gmem_punch(int file, int64_t offset, int64_t size);

/* A memory slot of the VM with pages of the file: 0 or the negative errno. */
struct gmem_slot {
	unsigned int id;
	uint64_t gpa, size; /* bytes */
	int file;
	uint64_t offset;    /* bytes */
	unsigned int flags; /* beside KVM_MEM_GUEST_MEMFD */
};
int gmem_bind(int vm, const struct gmem_slot *slot);
int gmem_unbind(int vm, unsigned int id);

/* The same in one line; what follows the file, such as .offset = PAGE, may be left out. */
#define BIND(vm, slot_id, slot_gpa, slot_size, slot_file, ...)        \
	gmem_bind(vm, &(const struct gmem_slot){ .id = (slot_id),     \
						 .gpa = (slot_gpa),   \
						 .size = (slot_size), \
						 .file = (slot_file), \
						 __VA_ARGS__ })

/* What KVM says of a memory fault. */
const struct gmem_fault *gmem_fault_of(const struct kvm_run *run);

/*
 * Runs a body in a child of fork() and returns its exit status, or 128 and the signal that ended
 * it. The child has no test points of its own.
 */
int gmem_in_child(int (*body)(void *context), void *context);

#endif
