/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines: those that every VM has, and more behind them
 */
#ifndef VMRUN_ROUTING_H
#define VMRUN_ROUTING_H

#include <linux/kvm.h>

/* Lines of two PICs and an I/O APIC, of which the first ones are common: entries, and the first free line. */
#define ROUTING_CHIP_ENTRIES 40
#define ROUTING_FREE_LINE    24

/* Room for the entries of the chips and so many more; fail()s if there is no memory. To be free()d. */
struct kvm_irq_routing *routing_new(unsigned int more);

#endif
