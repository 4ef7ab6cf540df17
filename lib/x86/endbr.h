/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ENDBR64 and ENDBR32: Intel SDM volume 2
 *
 * Each ends the wait for it in its own mode, where indirect branch tracking is on; else both are
 * NOPs.
 */
#ifndef X86_ENDBR_H
#define X86_ENDBR_H

static inline void endbr64(void)
{
	asm volatile("endbr64" ::: "memory");
}

static inline void endbr32(void)
{
	asm volatile("endbr32" ::: "memory");
}

#endif
