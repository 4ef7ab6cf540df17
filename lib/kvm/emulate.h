/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that KVM's emulator is made to execute, in place of the CPU
 *
 * With the module parameter force_emulation_prefix KVM takes UD2 and the letters "kvm" for a
 * prefix: the instruction behind it is decoded and executed by arch/x86/kvm/emulate.c, as if the
 * CPU could not do it (x86.c, handle_ud). What the emulator does not know raises #UD, with the
 * address behind the prefix. Without the parameter the prefix itself raises #UD, with its own
 * address: vmm_forces_emulation() of <vmrun/vmm.h> tells.
 */
#ifndef KVM_EMULATE_H
#define KVM_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#define KVM_EMULATE_PREFIX_SIZE 5

/* In assembly: before the mnemonic. */
#define KVM_EMULATE_PREFIX "ud2\n.ascii \"kvm\"\n"

/*
 * Writes the prefix, the instruction and a RET to code, for a call by call_with_registers() of
 * <hypercall/registers.h>, say. Returns how many bytes these are.
 */
size_t emulated_code(uint8_t *code, const uint8_t *instruction, size_t size);

#endif
