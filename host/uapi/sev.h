/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM's interface has of SEV-ES and SEV-SNP, in names of its own: headers may be older, or may
 * have it
 *
 * Source: arch/x86/include/uapi/asm/kvm.h and include/uapi/linux/kvm.h of Linux 7.2;
 * Documentation/virt/kvm/x86/amd-memory-encryption.rst; of errors, include/uapi/linux/psp-sev.h.
 */
#ifndef UAPI_SEV_H
#define UAPI_SEV_H

#include <uapi/kvm.h>

#ifndef KVM_X86_SEV_ES_VM
#define KVM_X86_SEV_ES_VM 3
#endif

/* struct kvm_sev_cmd, id */
enum sev_command {
	SEV_LAUNCH_START = 2,
	SEV_LAUNCH_UPDATE_DATA = 3,
	SEV_LAUNCH_UPDATE_VMSA = 4,
	SEV_LAUNCH_MEASURE = 6,
	SEV_LAUNCH_FINISH = 7,
	SEV_INIT2 = 22,
	SEV_SNP_LAUNCH_START = 100,
	SEV_SNP_LAUNCH_UPDATE = 101,
	SEV_SNP_LAUNCH_FINISH = 102,
	SEV_SNP_ENABLE_REQ_CERTS = 103,
};

struct sev_init2 {
	__u64 vmsa_features;
	__u32 flags;
	__u16 ghcb_version;
	__u16 pad1;
	__u32 pad2[8];
};

struct sev_snp_start {
	__u64 policy;
	__u8 gosvw[16];
	__u16 flags;
	__u8 pad0[6];
	__u64 pad1[4];
};

enum sev_page_type {
	SEV_PAGE_NONE = 0, /* no page of the launch */
	SEV_PAGE_NORMAL = 1,
	SEV_PAGE_ZERO = 3,
	SEV_PAGE_UNMEASURED = 4,
	SEV_PAGE_SECRETS = 5,
	SEV_PAGE_CPUID = 6,
};

struct sev_snp_update {
	__u64 gfn_start;
	__u64 uaddr;
	__u64 len;
	__u8 type;
	__u8 pad0;
	__u16 flags;
	__u32 pad1;
	__u64 pad2[4];
};

struct sev_snp_finish {
	__u64 id_block_uaddr;
	__u64 id_auth_uaddr;
	__u8 id_block_en;
	__u8 auth_key_en;
	__u8 vcek_disabled;
	__u8 host_data[32];
	__u8 pad0[3];
	__u16 flags;
	__u64 pad1[4];
};

/* KVM_GET_DEVICE_ATTR of /dev/kvm */
#define SEV_ATTR_GROUP	       1
#define SEV_ATTR_VMSA_FEATURES 0
#define SEV_ATTR_POLICY_BITS   1
#define SEV_ATTR_REQ_CERTS     2

/* struct kvm_sev_cmd, error: the command's input is not as the firmware wants it. */
#define SEV_ERROR_INVALID_PARAM 0x16

/* What lies in struct kvm_run's union with this exit. */
#ifndef KVM_EXIT_SNP_REQ_CERTS
#define KVM_EXIT_SNP_REQ_CERTS 43
#endif
struct sev_certs_request {
	__u64 gpa;
	__u64 npages;
	__u64 ret;
};

#endif
