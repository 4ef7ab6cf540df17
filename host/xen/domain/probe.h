/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DOMAIN_PROBE_H
#define DOMAIN_PROBE_H

/* Prints what Xen offers a guest in the words of scripts/hosts.sh, as vmrun --probe does: NAME yes|no DETAIL. */
void probe(void);

#endif
