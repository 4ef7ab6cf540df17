/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's memory: what it is made of, and what becomes of it while the guest runs
 *
 * It consists of regions, each in a memory slot of its own. The first is RAM, of the kind that --ram
 * names; a guest may add others, and look at all of them as the host does. Those of what follows that
 * return a number do what a request asks for: 0 or an error as -errno.
 */
#ifndef VMRUN_MEMORY_H
#define VMRUN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"
#include "options.h"

struct vm;

/* The type that KVM_CREATE_VM gets for this kind of RAM. */
unsigned long memory_vm_type(enum ram_kind kind);

/* Whether a KVM can have it. The reason, either way, is in *detail. */
bool memory_offered(int kvm_fd, enum ram_kind kind, struct message *detail);

/* Before the VM is created: fail()s unless the KVM at hand can have what --ram asks for. */
void memory_require(const struct vm *vm);

/* For a VM that was created just now: makes its RAM if there is none yet, and the slot of it; or fail()s. */
void memory_create(struct vm *vm);

/*
 * Where vmrun itself can touch [gpa, gpa + size) of RAM; NULL: it lies elsewhere, or is absent,
 * unmapped or private. Only a guest that changes this at the same moment makes the answer worthless.
 */
void *memory_at(const struct vm *vm, uint64_t gpa, uint64_t size);

/* Takes note that pages become private, or shared: a range that may reach beyond RAM. */
void memory_note_private(const struct vm *vm, uint64_t gpa, uint64_t size, bool private);

/* Of a page of RAM. */
bool memory_is_private(uint64_t gpa);

/*
 * Gives back what pages of RAM have held in the state that they were in before: becoming private, the shared memory;
 * becoming shared, that of the guest_memfd.
 */
int32_t memory_drop(const struct vm *vm, uint64_t gpa, uint64_t size, bool private);

/* Whether RAM is there, private or shared: no memory fault is final. */
bool memory_is_ram(const struct vm *vm, uint64_t gpa);

int32_t memory_read(uint64_t gpa, uint64_t *value);
int32_t memory_write(uint64_t gpa, uint64_t value);
int32_t memory_unmap(const struct vm *vm, uint64_t gpa, uint64_t size);
int32_t memory_map(const struct vm *vm, uint64_t gpa, uint64_t size);
int32_t memory_punch(uint64_t gpa, uint64_t size);
int32_t memory_add(const struct vm *vm, uint64_t gpa, uint64_t size, uint32_t flags);
int32_t memory_remove(const struct vm *vm, uint64_t gpa);

#endif
