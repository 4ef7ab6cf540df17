/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a guest of the real Xen's tells its status: with SCHEDOP_shutdown, as the reason
 *
 * The reasons that Xen knows end at 5 (xen/include/public/sched.h); it keeps eight bits of any (common/domain.c,
 * domain_shutdown).
 */
#ifndef XEN_STATUS_H
#define XEN_STATUS_H

#define XEN_STATUS_GIVEN 0x80 /* the other bits are the guest's status */

#endif
