/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM's interface has of guest_memfd and private memory, for headers older than these
 *
 * Source: include/uapi/linux/kvm.h and arch/x86/include/uapi/asm/kvm.h of Linux 7.2;
 * Documentation/virt/kvm/api.rst, KVM_CREATE_GUEST_MEMFD, KVM_SET_USER_MEMORY_REGION2,
 * KVM_SET_MEMORY_ATTRIBUTES, KVM_PRE_FAULT_MEMORY and KVM_EXIT_MEMORY_FAULT.
 */
#ifndef UAPI_KVM_H
#define UAPI_KVM_H

#include <linux/kvm.h>

#ifndef KVM_X86_DEFAULT_VM
#define KVM_X86_DEFAULT_VM	0
#define KVM_X86_SW_PROTECTED_VM 1
#endif

#ifndef KVM_X86_SNP_VM
#define KVM_X86_SNP_VM 4
#endif

#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_MEMORY_ATTRIBUTES 233
#define KVM_CAP_GUEST_MEMFD	  234
#define KVM_CAP_VM_TYPES	  235
#endif

#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

/* 6.18 was the first with flags; its release candidates called this KVM_CAP_GUEST_MEMFD_MMAP. */
#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS 244
#endif

#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP (1ull << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED (1ull << 1)
#endif

#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd {
	__u64 size;
	__u64 flags;
	__u64 reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif

#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_MEM_GUEST_MEMFD (1u << 2)
struct kvm_userspace_memory_region2 {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size;
	__u64 userspace_addr;
	__u64 guest_memfd_offset;
	__u32 guest_memfd;
	__u32 pad1;
	__u64 pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

#ifndef KVM_SET_MEMORY_ATTRIBUTES
#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ull << 3)
struct kvm_memory_attributes {
	__u64 address;
	__u64 size;
	__u64 attributes;
	__u64 flags;
};
#define KVM_SET_MEMORY_ATTRIBUTES _IOW(KVMIO, 0xd2, struct kvm_memory_attributes)
#endif

#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
	__u64 gpa;
	__u64 size;
	__u64 flags;
	__u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif

/* What lies in struct kvm_run's union when KVM_RUN was EFAULT or EHWPOISON with this reason. */
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT	     39
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ull << 3)
#endif
struct gmem_fault {
	__u64 flags;
	__u64 gpa;
	__u64 size;
};

#endif
