// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"

#include "console.h"
#include "say.h"
#include "xen.h"

#include <elf.h>
#include <libxl.h>
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/params.h>
#include <xentoollog.h>

#define GUEST_DOMID 1

static libxl_ctx *context;

static void open_libxl(void)
{
	/* libxl's own words about an error. */
	xentoollog_logger_stdiostream *log =
		xtl_createlogger_stdiostream(stderr, XTL_ERROR, XTL_STDIOSTREAM_HIDE_PROGRESS);

	if (!log || libxl_ctx_alloc(&context, LIBXL_VERSION, 0, (xentoollog_logger *)log))
		die("libxl does not come up");
}

/*
 * QEMU's TCG sets the accessed bit in the page-directory pointers of PAE paging (target/i386/tcg/sysemu/excp_helper.c,
 * mmu_translate), where it is reserved: Xen, when it has to read an instruction of the guest's, takes the entry for a
 * faulty one (xen/arch/x86/mm/guest_walk.c) and raises #PF. With shadow page tables the CPU never walks the guest's own.
 */
static bool is_32bit(const char *kernel)
{
	unsigned char ident[EI_NIDENT];
	FILE *file = fopen(kernel, "re");

	if (!file || fread(ident, sizeof(ident), 1, file) != 1)
		die("cannot read %s: %m", kernel);
	fclose(file);
	return ident[EI_CLASS] == ELFCLASS32;
}

static void configure(libxl_domain_config *config, const struct guest_options *options)
{
	libxl_domain_build_info *build = &config->b_info;

	libxl_domain_config_init(config);
	config->c_info.type = LIBXL_DOMAIN_TYPE_PVH;
	config->c_info.name = strdup("guest");
	config->c_info.domid = GUEST_DOMID;
	libxl_defbool_set(&config->c_info.hap, !is_32bit(options->kernel));
	libxl_uuid_generate(&config->c_info.uuid);
	libxl_domain_build_info_init_type(build, LIBXL_DOMAIN_TYPE_PVH);
	build->kernel = strdup(options->kernel);
	build->cmdline = options->append ? strdup(options->append) : NULL;
	/* The TSC as it is, as on KVM. By default Xen makes an exit of each RDTSC, where the CPU's may not be constant. */
	build->tsc_mode = LIBXL_TSC_MODE_NATIVE;
	build->max_memkb = build->target_memkb = (uint64_t)options->memory << 10;
	build->max_vcpus = options->vcpus;
	if (libxl_cpu_bitmap_alloc(context, &build->avail_vcpus, options->vcpus))
		die("no memory for %u vCPUs", options->vcpus);
	libxl_bitmap_set_any(&build->avail_vcpus);
}

uint32_t guest_create(const struct guest_options *options)
{
	libxl_domain_config config;
	uint32_t domid = GUEST_DOMID;

	open_libxl();
	configure(&config, options);
	console_expect(domid);
	if (libxl_domain_create_new(context, &config, &domid, NULL, NULL))
		die("libxl does not create the domain");
	/* libxl knows this of HVM domains only; to Xen a PVH one is no other. */
	if (options->viridian &&
	    xc_hvm_param_set(xen_control(), domid, HVM_PARAM_VIRIDIAN, GUEST_VIRIDIAN))
		die("Xen does not show Hyper-V's interface: %m");
	return domid;
}

void guest_unpause(uint32_t domid)
{
	if (libxl_domain_unpause(context, domid, NULL))
		die("libxl does not start the domain");
}
