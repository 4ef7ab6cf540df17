/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that Xen shares with a guest: shared_info, vcpu_info, the time, and the states of vCPUs
 *
 * Where each lies the guest says: on Xen itself by hypercalls, on KVM by requests to vmrun. The functions choose by
 * the host, so that a test need not know.
 *
 * Sources, in Xen's tree: xen/include/public/xen.h (struct shared_info, vcpu_info, vcpu_time_info), vcpu.h, arch-x86/
 * xen.h (struct arch_shared_info); KVM, arch/x86/kvm/xen.h, the same for 32-bit guests (compat_...). "unsigned long" is
 * as wide as in the guest's kernel, and 64-bit members are aligned as there: to 4 bytes in 32-bit guests.
 */
#ifndef XEN_SHARED_H
#define XEN_SHARED_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/ops.h>

#define XEN_WORD_BITS (8 * sizeof(unsigned long))
/* Of the two-level ABI: as many as a word of selectors has bits, times that. */
#define XEN_PORTS	(XEN_WORD_BITS * XEN_WORD_BITS)
#define XEN_SHARED_CPUS 32

struct xen_time {
	uint32_t version; /* odd: being written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time; /* ns, at that TSC */
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};

#define XEN_TIME_TSC_STABLE (1u << 0)

struct xen_vcpu_info {
	uint8_t upcall_pending;
	uint8_t upcall_mask;
	unsigned long pending_sel;
	unsigned long arch[(32 - 2 * sizeof(unsigned long)) / sizeof(unsigned long)];
	struct xen_time time;
};

struct xen_shared_info {
	struct xen_vcpu_info vcpu[XEN_SHARED_CPUS];
	unsigned long pending[XEN_WORD_BITS];
	unsigned long mask[XEN_WORD_BITS];
	uint32_t wc_version; /* odd: being written */
	uint32_t wc_sec;
	uint32_t wc_nsec;
#ifdef __x86_64__
	uint32_t wc_sec_hi;
#else
	uint32_t arch[6];
	uint32_t wc_sec_hi;
#endif
};

_Static_assert(sizeof(struct xen_time) == 32, "as in Xen's headers");
_Static_assert(sizeof(struct xen_vcpu_info) == 64, "as in Xen's headers");
_Static_assert(__builtin_offsetof(struct xen_shared_info, pending) == XEN_SHARED_INFO_PENDING,
	       "as in Xen's headers");

/*
 * shared_info, one page for the whole run; the first call places it, after a hypercall page that latches the guest's
 * mode. The test point is skipped if there is no Xen.
 */
volatile struct xen_shared_info *xen_shared_info(void);

/* Places it at another page too: the contents stay those of shared_info on Xen, and are the page's own on KVM. */
int xen_place_shared_info(volatile void *page);

/*
 * This CPU's vcpu_info: the one in shared_info, until it is placed elsewhere. Xen places it once, and copies what it
 * was; KVM as often as it is told to, and copies nothing. These return 0, or a negative error.
 */
volatile struct xen_vcpu_info *xen_vcpu_info(void);
int xen_place_vcpu_info(volatile struct xen_vcpu_info *info);

/* More copies of this CPU's time, and of its states; NULL: none any more, which Xen does not know. */
int xen_place_time(volatile struct xen_time *time);
int xen_place_runstate(volatile void *runstate);

/* Whether the states' entry time has its highest bit set while they are written (VMASST_TYPE_runstate_update_flag). */
int xen_runstate_update_flag(bool on);

/* A consistent copy of a time; an error of the point if there is none in some 100 attempts. */
struct xen_time xen_time_read(const volatile struct xen_time *time);

/* Nanoseconds by such a copy, at this TSC (public/xen.h, struct vcpu_time_info). */
uint64_t xen_time_at(const struct xen_time *time, uint64_t tsc);

/* Nanoseconds since the guest's start, by this CPU's vcpu_info. */
uint64_t xen_now(void);

#endif
