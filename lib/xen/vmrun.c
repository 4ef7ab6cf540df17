// SPDX-License-Identifier: BSD-2-Clause
#include <test/test.h>
#include <xen/hypercall.h>
#include <xen/page.h>
#include <xen/vmrun.h>

void xen_skip_without_vmrun(void)
{
	if (xen_answers())
		SKIP("Xen itself, or QEMU, takes the calls, and does not tell what arrived");
}

static uintptr_t word(unsigned int index)
{
	return (uintptr_t)xen_hypercall(XEN_VMRUN_RECORD, index);
}

struct xen_record xen_last_call(void)
{
	struct xen_record record;

	xen_skip_without_vmrun();
	record.number = word(XEN_RECORD_NUMBER);
	for (unsigned int i = 0; i < XEN_ARGUMENTS; i++)
		record.arguments[i] = word(XEN_RECORD_PARAM0 + i);
	record.cpl = (unsigned int)word(XEN_RECORD_CPL);
	REQUIRE(record.cpl <= 3);
	record.longmode = word(XEN_RECORD_LONGMODE) != 0;
	return record;
}

unsigned long xen_calls_counted(void)
{
	long count;

	xen_skip_without_vmrun();
	count = xen_hypercall(XEN_VMRUN_COUNT);
	REQUIRE(count >= 0);
	return (unsigned long)count;
}
