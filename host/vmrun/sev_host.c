// SPDX-License-Identifier: BSD-2-Clause
#include "sev_host.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <uapi/sev.h>
#include <unistd.h>

#include "vm.h"

#define PARAMETERS "/sys/module/kvm_amd/parameters/"

/* AMD APM volume 3, E.4.17 "Function 8000_001Fh": EAX. */
#define LEAF_SEV 0x8000001f
#define LEAF_ES	 (1u << 3)
#define LEAF_SNP (1u << 4)

static const struct {
	const char *name, *parameter, *path, *cpus, *kernel;
	unsigned int bit;
} kinds[] = {
	[SEV_ES] = { "SEV-ES", "sev_es", PARAMETERS "sev_es", "EPYC 7002 or newer", "6.11",
		     LEAF_ES },
	[SEV_SNP] = { "SEV-SNP", "sev_snp", PARAMETERS "sev_snp", "EPYC 7003 or newer", "6.11",
		      LEAF_SNP },
};

unsigned long sev_host_vm_type(enum sev_kind kind)
{
	return kind == SEV_SNP ? KVM_X86_SNP_VM : KVM_X86_SEV_ES_VM;
}

int sev_host_open_device(void)
{
	return open("/dev/sev", O_RDWR | O_CLOEXEC);
}

/* Why KVM has no such VMs. */
static bool judge_type(const struct sev_host *host, enum sev_kind kind, struct message *detail)
{
	const char *name = kinds[kind].name, *parameter = kinds[kind].parameter;

	if (!host->amd)
		return refuse(detail, "%s is AMD's: /dev/kvm is not of kvm_amd", name);
	if (!host->parameter && !host->cpu)
		return refuse(
			detail,
			"the CPU has no %s (it takes %s), and this KVM knows none (kvm_amd has "
			"no parameter %s): for the software platform see docs/snp.md",
			name, kinds[kind].cpus, parameter);
	if (!host->parameter)
		return refuse(detail,
			      "this KVM knows no %s (kvm_amd has no parameter %s): it takes Linux "
			      "%s or newer with CONFIG_KVM_AMD_SEV",
			      name, parameter, kinds[kind].kernel);
	if (host->cpu)
		return refuse(detail,
			      "the CPU has %s, but kvm_amd has it off: load kvm_amd with %s=1, and "
			      "enable SEV and SNP in the firmware (dmesg tells more)",
			      name, parameter);
	if (host->software)
		return refuse(detail,
			      "the CPU has no %s (it takes %s), and the software platform is off: "
			      "load kvm_amd with snp_sw=insecure (docs/snp.md)",
			      name, kinds[kind].cpus);
	return refuse(detail,
		      "the CPU has no %s (it takes %s), and this kernel no software platform "
		      "(docs/snp.md)",
		      name, kinds[kind].cpus);
}

bool sev_host_judge(const struct sev_host *host, enum sev_kind kind, struct message *detail)
{
	if (!(host->vm_types & 1u << sev_host_vm_type(kind)))
		return judge_type(host, kind, detail);
	if (!host->parts)
		return refuse(detail,
			      "KVM has %s, but lacks memory attributes, guest_memfd or exits of "
			      "KVM_HC_MAP_GPA_RANGE: it takes Linux 6.11 or newer",
			      kinds[kind].name);
	if (host->device_error)
		return refuse(detail, "/dev/sev: %s: %s", strerror(host->device_error),
			      host->device_error == EACCES || host->device_error == EPERM
				      ? "run as root"
				      : "load the module ccp, the driver of the secure processor");
	refuse(detail, "%s", host->cpu ? "by the CPU" : "by the software platform (docs/snp.md)");
	return true;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool cpu_has(enum sev_kind kind)
{
	unsigned int eax = 0, ebx, ecx, edx;

	return __get_cpuid(LEAF_SEV, &eax, &ebx, &ecx, &edx) && eax & kinds[kind].bit;
}

bool sev_host_offers(int kvm_fd, enum sev_kind kind, struct message *detail)
{
	unsigned int attributes = vm_capability(kvm_fd, KVM_CAP_MEMORY_ATTRIBUTES);
	unsigned int calls = vm_capability(kvm_fd, KVM_CAP_EXIT_HYPERCALL);
	int device = sev_host_open_device();
	struct sev_host host = {
		.vm_types = vm_capability(kvm_fd, KVM_CAP_VM_TYPES),
		.amd = exists("/sys/module/kvm_amd"),
		.cpu = cpu_has(kind),
		.parameter = exists(kinds[kind].path),
		.software = exists(PARAMETERS "snp_sw"),
		.parts = kind != SEV_SNP || (attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE &&
					     calls & 1u << KVM_HC_MAP_GPA_RANGE),
		.device_error = device < 0 ? errno : 0,
	};

	if (device >= 0)
		close(device);
	return sev_host_judge(&host, kind, detail);
}
