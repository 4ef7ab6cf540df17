/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest asks of vmrun, by requests: see <vmrun/abi.h>
 *
 * So a guest sees its vCPU through KVM's ioctls, as a VMM does. All functions work on the vCPU that
 * calls, on any CPU, at CPL 0, and return 0, or what KVM refused it with: -22 (VMRUN_EINVAL) and so
 * on. A VMM that does not answer is an error of the test point: the test was sent to the wrong
 * host.
 *
 * The vmexit of a request is one of KVM_EXIT_IO; a request changes no register but those of the
 * call.
 */
#ifndef VMRUN_VMM_H
#define VMRUN_VMM_H

#include <stdbool.h>
#include <stdint.h>

#include <vmrun/abi.h>
#include <x86/vectors.h>

/* Whether there is a VMM that takes requests. */
bool has_vmm(void);

/*
 * An MSR, by KVM_GET_MSRS and KVM_SET_MSRS: a "host-initiated" access, to which KVM allows more
 * than to the guest's own. *value is 0 if it is refused.
 */
int vmm_msr_read(uint32_t msr, uint64_t *value);
int vmm_msr_write(uint32_t msr, uint64_t value);

/*
 * A register, by KVM_GET_ONE_REG and KVM_SET_ONE_REG; the ids are in <kvm/abi.h>. -95
 * (VMRUN_EOPNOTSUPP) where KVM has no such ioctl (before Linux 6.18).
 */
int vmm_reg_read(uint64_t id, uint64_t *value);
int vmm_reg_write(uint64_t id, uint64_t value);

/*
 * Makes an exception pending, which KVM then delivers behind the OUT of the request: within
 * FAULT_OF() it is caught. These return only if it was refused, or did not arrive. KVM delivers
 * what it is told to: whether an exception has an error code is not checked, but by the CPU. It
 * refuses vectors above 31 and 2 (x86.c, kvm_vcpu_ioctl_x86_set_vcpu_events).
 */
int vmm_inject(unsigned int vector);
int vmm_inject_error(unsigned int vector, uint32_t error_code);
int vmm_inject_pf(uint32_t error_code, uint64_t cr2);

/*
 * An NMI, by KVM_NMI: arrives behind the OUT unless NMIs are masked, and else when they no longer
 * are.
 */
int vmm_inject_nmi(void);

/*
 * Moves this guest to a new VM on the same memory: a migration in miniature. 0: it now runs there.
 * Else it still runs in the old one, and a diagnostic in the TAP names the step that failed, such
 * as "KVM_SET_MSRS 0xc0000080". With more than one CPU it is -95 (VMRUN_EOPNOTSUPP). The statistics
 * of the vCPU begin at 0 again.
 */
int vmm_move(void);

/*
 * The same with interrupts enabled by an STI just before, and an instruction behind. With shadow
 * the state that moves has an interrupt shadow over that instruction. Returns, with interrupts
 * disabled, as vmm_move(). An interrupt that is pending arrives at move_first without a shadow, and
 * at move_second with one.
 */
int vmm_move_interruptible(bool shadow);
extern const char move_first[], move_second[];

/*
 * For call_with_registers() of <hypercall/registers.h>: a function that writes EAX to port DX, and
 * nothing else; and the request to move, whose address EAX is to hold.
 */
void vmm_move_stub(void);
struct vmrun_request *vmm_move_request(void);

/*
 * A statistic of this vCPU, by KVM_GET_STATS_FD: "exits", "nmi_injections", "irq_injections",
 * "insn_emulation" and so on (x86.c, kvm_vcpu_stats_desc). "exits" counts every vmexit, also those
 * for the host's own interrupts and that of the request itself: compare 1000 accesses with 1000,
 * and not one with one.
 */
int vmm_statistic(const char *name, uint64_t *value);

/*
 * Whether KVM_EMULATE_PREFIX of <kvm/emulate.h> works: vmrun --force-emulation, or the module
 * parameter.
 */
bool vmm_forces_emulation(void);

/*
 * Makes pages of RAM absent (gpa and size are page-aligned), as if the host had swapped them out:
 * whoever touches one waits until it is brought in, or KVM has the guest do something else
 * meanwhile. -22 (VMRUN_EINVAL): not pages of RAM; -16 (VMRUN_EBUSY): one is absent already. What
 * the runtime itself needs, such as the stack, must stay.
 */
int vmm_page_out(uint64_t gpa, uint64_t size);

/* Brings one page back, with what was in it. -2 (VMRUN_ENOENT): it is not absent. */
int vmm_page_in(uint64_t gpa);

/*
 * From now on system events of this type (VMRUN_EVENT_*; 0: none) that this CPU causes do not end
 * the run. Returns how many have come of the type expected before.
 */
uint64_t vmm_expect_event(uint32_t type);

/* A word (HYPERV_EXIT_*) of what this CPU's last KVM_EXIT_HYPERV was. */
uint64_t vmm_hyperv_exit(unsigned int word);

/* How often this SINT was acknowledged since it was last asked for; from the first time on. */
uint64_t vmm_sint_acks(unsigned int cpu, unsigned int sint);

/* How many events KVM has counted for VMRUN_CONNECTION_EVENTFD since it was last asked. */
uint64_t vmm_connection_signals(void);

/* How many faults wait for a page, of vCPUs or of what KVM has waiting. 0 if it is not absent. */
uint64_t vmm_page_waiting(uint64_t gpa);

/*
 * Has the host's kernel swap a page of RAM out: it comes back by itself, after some time, when it is
 * touched. -16 (VMRUN_EBUSY): the kernel did not do it.
 */
int vmm_page_swap(uint64_t gpa);

/*
 * Memory as vmrun sees it: 8 bytes of RAM or of a region, by its mapping. -14 (VMRUN_EFAULT): it has
 * none there. What is private to the guest is not what is read.
 */
int vmm_host_read(uint64_t gpa, uint64_t *value);
int vmm_host_write(uint64_t gpa, uint64_t value);

/* Pages of the guest_memfd: its mapping in vmrun, and holes. */
int vmm_host_unmap(uint64_t gpa, uint64_t size);
int vmm_host_map(uint64_t gpa, uint64_t size);
int vmm_punch(uint64_t gpa, uint64_t size);

/* More memory, in a slot of its own; flags: VMRUN_REGION_GMEM, VMRUN_REGION_CLOSED. */
int vmm_region_add(uint64_t gpa, uint64_t size, uint32_t flags);
int vmm_region_remove(uint64_t gpa);

/* KVM_SET_MEMORY_ATTRIBUTES. */
int vmm_set_attributes(uint64_t gpa, uint64_t size, uint32_t attributes);

/*
 * What is to become of this vCPU's memory faults (KVM_EXIT_MEMORY_FAULT), whose record starts anew.
 * With VMRUN_FAULT_RAISE the access raises #MC: EXPECT_FAULT(MC, 0, ...). value goes with
 * VMRUN_FAULT_CONVERT: the attributes that the range gets.
 */
void vmm_fault_way(enum vmrun_fault_way way, uint64_t value);

/* A word of the record: how often, and what vmrun was told last. */
uint64_t vmm_record(enum vmrun_record word);

/*
 * For encrypted guests. Requests of this CPU to change the state of pages that have reached the VMM:
 * how many; one of them, by its number from 0 on (gone if there were VMRUN_MAP_RECORDS since); and
 * that the one after "skip" more of them shall fail.
 */
struct vmm_map {
	uint64_t gpa;
	uint32_t pages;
	uint32_t attributes; /* VMRUN_MAP_.. */
};

uint64_t vmm_map_count(void);
struct vmm_map vmm_map_record(uint64_t number);
void vmm_map_fail(unsigned int skip);

/* How many of these pages the VMM has as private. */
uint64_t vmm_private_pages(uint64_t gpa, uint64_t size);

/* Whether requests to change the state of pages reach the VMM, as they do at first, or KVM answers them. */
void vmm_map_capability(bool on);

#endif
