/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DOMAIN_XEN_H
#define DOMAIN_XEN_H

#include <xenctrl.h>

/* The handle of libxenctrl; opened when first asked for. Ends this program if there is none. */
xc_interface *xen_control(void);

#endif
