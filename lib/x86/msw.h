/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LMSW: the 80286's way to write CR0, of which it reaches PE, MP, EM and TS, and cannot clear PE
 *
 * Intel SDM volume 2, "LMSW - Load Machine Status Word".
 */
#ifndef X86_MSW_H
#define X86_MSW_H

#include <stdint.h>

static inline void lmsw(uint16_t value)
{
	asm volatile("lmsw %0" ::"r"(value) : "memory");
}

#endif
