/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interrupt descriptor table, common to all CPUs. For the runtime's own use.
 */
#ifndef X86_IDT_H
#define X86_IDT_H

/* Gates for all 256 vectors. */
void idt_init(void);

/* Makes it this CPU's. */
void idt_load(void);

/* exception_entry.S: 256 stubs of STUB_SIZE bytes; and where the task of #DF begins (32-bit). */
#define STUB_SIZE 16
extern const char exception_stubs[];
void double_fault_task(void);

#endif
