// SPDX-License-Identifier: BSD-2-Clause
#include "probe.h"

#include "guest.h"
#include "say.h"
#include "xen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/hvm/params.h>

static void answer(const char *name, bool yes, const char *detail)
{
	printf("%s %s %s\n", name, yes ? "yes" : "no", detail);
}

/* Of a domain that is made for the question. Returns 0, or why Xen does not show Hyper-V's interface. */
static int refuses_viridian(void)
{
	struct xen_domctl_createdomain config = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
		.max_vcpus = 1,
		.max_evtchn_port = -1,
		.max_grant_frames = 4,
		.max_maptrack_frames = 4,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
		.arch = { .emulation_flags = XEN_X86_EMU_LAPIC },
	};
	uint32_t domid = 0;
	int error = 0;

	if (xc_domain_create(xen_control(), &domid, &config))
		return errno;
	if (xc_hvm_param_set(xen_control(), domid, HVM_PARAM_VIRIDIAN, GUEST_VIRIDIAN))
		error = errno;
	xc_domain_destroy(xen_control(), domid);
	return error;
}

void probe(void)
{
	xc_physinfo_t info = {};
	xen_extraversion_t extra = "";
	char version[64];
	int number = xc_version(xen_control(), XENVER_version, NULL);

	xc_version(xen_control(), XENVER_extraversion, &extra);
	snprintf(version, sizeof(version), "Xen %d.%d%s", number >> 16, number & 0xffff, extra);
	if (xc_physinfo(xen_control(), &info))
		die("Xen does not say what it can do: %m");

	bool guests = info.capabilities & XEN_SYSCTL_PHYSCAP_hvm &&
		      info.capabilities & XEN_SYSCTL_PHYSCAP_hap;
	int refused = refuses_viridian();

	answer("xen", guests, guests ? version : "no nested paging for guests");
	answer("xen-hcall", guests, "Xen's own");
	answer("xen-shared-info", guests, "Xen's own");
	answer("xen-runstate", guests, "Xen's own");
	answer("xen-evtchn", guests, "Xen's own");
	answer("hyperv", guests && !refused, refused ? strerror(refused) : "Xen's viridian");
}
