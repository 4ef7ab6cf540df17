/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SEV-ES or SEV-SNP guest: its VM, its launch without firmware, and the certificates it asks for
 *
 * What the guest finds is a promise: <vmrun/snp.h>.
 */
#ifndef VMRUN_SEV_H
#define VMRUN_SEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

struct vcpu;
struct vm;

/* Before the VM is created: fail()s unless this machine can run what the options ask for. */
void sev_require(const struct vm *vm);

/* For a VM that was created just now and has no vCPU yet: KVM_SEV_INIT2. */
void sev_begin(const struct vm *vm);

/*
 * With the guest's file loaded into RAM, and info, the address that the boot protocol hands over: makes of it the
 * pages and vCPUs that the guest starts with. fail()s if it cannot.
 */
void sev_launch(struct vm *vm, const uint8_t *file, size_t size, const struct image *image,
		uint32_t info);

/* Answers a KVM_EXIT_SNP_REQ_CERTS: there are no certificates, by an empty table. */
void sev_certificates(struct vcpu *vcpu);

#endif
