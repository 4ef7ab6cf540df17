/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SNP VMs and the commands of KVM_MEMORY_ENCRYPT_OP, for tests on the host
 *
 * What may fail returns the negative errno. What a test needs for its set-up is an error of the
 * test (REQUIRE) if it fails, and a skip where the kernel does not have it.
 */
#ifndef SNP_SEV_H
#define SNP_SEV_H

#include <test/test.h>
#include <uapi/sev.h>

#define PAGE  4096ull
#define LARGE (512 * PAGE)

/* Guest policy: SNP firmware ABI, 4.3: SMT allowed, and the bit that must be one. */
#define POLICY_SMT	(1ull << 16)
#define POLICY_RESERVED (1ull << 17)
#define POLICY		(POLICY_SMT | POLICY_RESERVED)

/* Status codes of the firmware: SNP firmware ABI, table "Status Codes"; include/uapi/linux/psp-sev.h */
#define SEV_ERROR_INVALID_GUEST_STATE 0x02
#define SEV_ERROR_POLICY_FAILURE      0x07

/* A new VM of this type, before KVM_SEV_INIT2; skips the point where there is none. */
int sev_vm(unsigned long type);

/* The same, an SNP VM after KVM_SEV_INIT2; and after SNP_LAUNCH_START with POLICY. */
int snp_vm(void);
int snp_vm_started(void);

/* A command; what the firmware said is left in *error. */
int sev_command(int vm, unsigned int id, void *data, uint32_t *error);

int snp_init2(int vm);
int snp_start(int vm, uint64_t policy, uint32_t *error);
int snp_finish(int vm, uint32_t *error);

/* SNP_LAUNCH_UPDATE, once; *update is as KVM left it. */
int snp_update(int vm, struct sev_snp_update *update, uint32_t *error);

/* KVM_GET_DEVICE_ATTR of /dev/kvm. */
int sev_system_attribute(struct kvm_device_attr *attr);

/* The C-bit, by KVM's word: what CPUID says in the nested host is no SEV. */
uint64_t snp_c_bit(void);

/* vCPU 0, with all that KVM supports in its CPUID. */
int snp_vcpu(int vm);

/* A guest_memfd, and a slot that has pages of it behind ordinary memory, whose address is returned. */
int snp_file(int vm, unsigned int pages);
uint8_t *snp_slot(int vm, unsigned int id, uint64_t gpa, unsigned int pages, int file,
		  uint64_t offset);

/* KVM_SET_MEMORY_ATTRIBUTES, for so many pages. */
int snp_attributes(int vm, uint64_t gpa, unsigned int pages, bool private);

/* A hole in the file, in pages. */
int snp_punch(int file, unsigned int page, unsigned int pages);

/* Whether private memory comes as pages of 2 MiB (patch 0011 of the kernel); skips where nobody can tell. */
void snp_use_2m(bool on);

#endif
