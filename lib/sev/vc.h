/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * #VC: what each exit becomes as an event of the GHCB. For the folder's own use
 *
 * GHCB specification, section 4 "GHCB Protocol", table 5: what each event takes and gives.
 */
#ifndef SEV_VC_H
#define SEV_VC_H

#include <stdbool.h>

#include <sev/ghcb.h>
#include <sev/vc_decode.h>

/*
 * How it ended: carried out; the hypervisor has the guest raise an exception, which is in the frame
 * now; or not known here, so that it stays a #VC.
 */
enum vc_result { VC_DONE, VC_RAISED, VC_UNKNOWN };

/* The event, and what the hypervisor says to it. */
enum vc_result vc_exit(struct x86_frame *frame, struct ghcb *ghcb, uint64_t event, uint64_t info_1,
		       uint64_t info_2);

/* vc_io.c, vc_mmio.c */
enum vc_result vc_io(struct x86_frame *frame, const struct instruction *instruction);
enum vc_result vc_mmio(struct x86_frame *frame, const struct instruction *instruction);

#endif
