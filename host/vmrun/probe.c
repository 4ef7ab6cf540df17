// SPDX-License-Identifier: BSD-2-Clause
#include "probe.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <uapi/kvm.h>
#include <unistd.h>

#include "emulation.h"
#include "gmem_2m.h"
#include "memory.h"
#include "pages.h"
#include "sev_host.h"
#include "swap.h"
#include "vm.h"

#define LEAF7_ECX_SHSTK (1u << 7)
#define LEAF7_EDX_IBT	(1u << 20)

static void print(const char *name, bool yes, const char *detail)
{
	printf("%s %s %s\n", name, yes ? "yes" : "no", detail);
}

static bool module_loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return access(path, F_OK) == 0;
}

/*
 * Other modules than these two can offer /dev/kvm, and need not behave as KVM does on hardware:
 * results from there say nothing about KVM. A KVM that is built in shows up just as a module does.
 */
static void probe_module(bool kvm)
{
	bool svm = module_loaded("kvm_amd"), vmx = module_loaded("kvm_intel");
	const char *module = svm ? "kvm_amd" : vmx ? "kvm_intel" : NULL;

	if (!module && module_loaded("kvm_pvm"))
		print("module", true, "kvm_pvm");
	else
		print("module", module, module ? module : "neither kvm_amd nor kvm_intel is there");
	print("faithful", kvm && module,
	      !kvm     ? "no /dev/kvm"
	      : module ? "KVM on the CPU's virtualization"
		       : "/dev/kvm is of another module than kvm_amd and kvm_intel, which may not "
			 "behave as they do");
	print("svm", svm, svm ? "AMD" : "kvm_amd is not there");
	print("vmx", vmx, vmx ? "Intel" : "kvm_intel is not there");
}

/*
 * What the guest's CPUs show of shadow stacks and indirect branch tracking: Intel SDM volume 2,
 * CPUID leaf 7.
 */
static void probe_cet(int fd)
{
	static struct cpuid cpuid = { .count = CPUID_CAPACITY };
	bool shadow_stacks = false, tracking = false;
	char detail[64];

	if (ioctl(fd, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
		cpuid.count = 0;
	for (uint32_t i = 0; i < cpuid.count; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid.entries[i];

		if (entry->function != 7 || entry->index != 0)
			continue;
		shadow_stacks = entry->ecx & LEAF7_ECX_SHSTK;
		tracking = entry->edx & LEAF7_EDX_IBT;
	}
	snprintf(detail, sizeof(detail), "shadow stacks (SHSTK) %s, branch tracking (IBT) %s",
		 shadow_stacks ? "yes" : "no", tracking ? "yes" : "no");
	print("cet", shadow_stacks, detail);
}

static void probe_emulation(void)
{
	struct message detail;
	bool yes = emulation_offered(EMULATION_PARAMETER, &detail);

	print("force-emulation", yes, detail.text);
}

static void probe_pages(void)
{
	struct message detail;
	bool yes = pages_offered(&detail);

	print("userfaultfd", yes, detail.text);
}

static void probe_swap(void)
{
	struct message detail;
	bool yes = swap_offered(&detail);

	print("swap", yes, detail.text);
}

/*
 * Asked of /dev/kvm, an older KVM says that some type of VM has guest_memfd, be that one this machine
 * cannot make: 6.12 has it for VMs with private memory only.
 */
static void probe_guest_memfd(int fd)
{
	int vm = ioctl(fd, KVM_CREATE_VM, 0);

	print("gmem", vm >= 0 && vm_capability(vm, KVM_CAP_GUEST_MEMFD),
	      "KVM_CAP_GUEST_MEMFD of a VM of the default type");
	if (vm >= 0)
		close(vm);
}

static void probe_memory(int fd, const char *name, enum ram_kind kind)
{
	struct message detail;
	bool yes = memory_offered(fd, kind, &detail);

	print(name, yes, detail.text);
}

static void probe_sev(int fd, enum sev_kind kind)
{
	struct message detail;
	bool yes = sev_host_offers(fd, kind, &detail);

	print(sev_options_name(kind), yes, detail.text);
}

static void probe_gmem_2m(int fd)
{
	struct message detail;
	bool yes = sev_host_offers(fd, SEV_SNP, &detail) &&
		   gmem_2m_offered(GMEM_2M_PARAMETER, &detail);

	print("snp-2m", yes, detail.text);
}

static void probe_capabilities(int fd)
{
	unsigned int xen = vm_capability(fd, KVM_CAP_XEN_HVM);
	bool hyperv = vm_capability(fd, KVM_CAP_SYS_HYPERV_CPUID);
	bool enforce = vm_capability(fd, KVM_CAP_HYPERV_ENFORCE_CPUID);
	char detail[64];

	snprintf(detail, sizeof(detail), "KVM_CAP_XEN_HVM %#x", xen);
	print("requests", true, "the request port 0xe4");
	print("xen-msr", xen & KVM_XEN_HVM_CONFIG_HYPERCALL_MSR, detail);
	print("xen-hcall", xen & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL, detail);
	print("xen-shared-info", xen & KVM_XEN_HVM_CONFIG_SHARED_INFO, detail);
	print("xen-runstate", xen & KVM_XEN_HVM_CONFIG_RUNSTATE, detail);
	print("xen-evtchn", xen & KVM_XEN_HVM_CONFIG_EVTCHN_SEND, detail);
	print("hyperv", hyperv, "KVM_CAP_SYS_HYPERV_CPUID");
	print("hyperv-hide", hyperv, "as hyperv: vmrun hides bits of its leaves");
	print("hyperv-synic", hyperv && vm_capability(fd, KVM_CAP_HYPERV_SYNIC2),
	      "KVM_CAP_HYPERV_SYNIC2");
	print("hyperv-enforce", hyperv && enforce, "KVM_CAP_HYPERV_ENFORCE_CPUID");
	probe_cet(fd);
	probe_guest_memfd(fd);
	probe_memory(fd, "gmem-ram", RAM_GMEM);
	probe_memory(fd, "private-memory", RAM_PRIVATE);
	probe_emulation();
	probe_pages();
	probe_swap();
	probe_sev(fd, SEV_SNP);
	probe_sev(fd, SEV_ES);
	probe_gmem_2m(fd);
	print("kvm-hide", vm_capability(fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID),
	      "KVM_CAP_ENFORCE_PV_FEATURE_CPUID");
}

void probe(void)
{
	static const char *const names[] = { "requests",
					     "xen-msr",
					     "xen-hcall",
					     "hyperv",
					     "hyperv-enforce",
					     "cet",
					     "gmem",
					     "gmem-ram",
					     "private-memory",
					     "force-emulation",
					     "userfaultfd",
					     "swap",
					     "snp",
					     "kvm-hide",
					     "hyperv-hide",
					     "hyperv-synic",
					     "xen-shared-info",
					     "xen-runstate",
					     "xen-evtchn",
					     "sev-es",
					     "snp-2m" };
	struct message why;
	int fd = vm_open_kvm(&why);

	if (fd < 0) {
		print("kvm", false, why.text);
	} else {
		int version = ioctl(fd, KVM_GET_API_VERSION, 0);
		snprintf(why.text, sizeof(why.text), "api %d", version);
		print("kvm", version == KVM_API_VERSION, why.text);
	}
	probe_module(fd >= 0);
	if (fd >= 0)
		probe_capabilities(fd);
	else
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			print(names[i], false, "no /dev/kvm");
}
