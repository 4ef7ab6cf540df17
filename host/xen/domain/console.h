/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console that Xen's toolstack gives each domain: a ring in a page of the guest's, and an event channel
 * (xen/include/public/io/console.h)
 */
#ifndef DOMAIN_CONSOLE_H
#define DOMAIN_CONSOLE_H

#include <stdint.h>

/* To be called before the domain is created: plays the part of xenconsoled, for which libxl waits. */
void console_expect(uint32_t domid);

/* Maps the console of a domain that does not run yet. Ends this program if that cannot be. */
void console_open(uint32_t domid);

/* Readable when the guest has rung: then console_hear() is due, and console_relay(). */
int console_fd(void);
void console_hear(void);

/* Writes to stdout what is in the ring. */
void console_relay(void);

#endif
