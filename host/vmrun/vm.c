// SPDX-License-Identifier: BSD-2-Clause
#include "vm.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "conversion.h"
#include "hyperv.h"
#include "layout.h"
#include "memory.h"
#include "say.h"
#include "sev.h"
#include "sev_host.h"
#include "synic.h"
#include "xen.h"

int vm_open_kvm(struct message *why)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
		refuse(why,
		       "/dev/kvm: %s: load the module kvm_amd or kvm_intel, and enable "
		       "virtualization (SVM or VT-x) in the firmware or the outer hypervisor",
		       strerror(errno));
	else if (errno == EACCES || errno == EPERM)
		refuse(why, "/dev/kvm: %s: run as root, or join the group that owns it (kvm)",
		       strerror(errno));
	else
		refuse(why, "/dev/kvm: %s", strerror(errno));
	return -1;
}

unsigned int vm_capability(int fd, unsigned int capability)
{
	int value = ioctl(fd, KVM_CHECK_EXTENSION, capability);

	return value > 0 ? (unsigned int)value : 0;
}

/* PIC, I/O APIC, local APICs and PIT, all in the kernel. */
static void create_irqchip(struct vm *vm)
{
	/* The dummy gives port 0x61, by which guests gate PIT channel 2 to measure the TSC. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_map = LAYOUT_IDENTITY_MAP;

	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS) < 0)
		fail("KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		fail("KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		fail("KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
		fail("KVM_CREATE_PIT2: %s", strerror(errno));
}

static void open_kvm(struct vm *vm)
{
	struct message why;
	int size;

	vm->kvm_fd = vm_open_kvm(&why);
	if (vm->kvm_fd < 0)
		fail("%s", why.text);
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		fail("KVM_GET_VCPU_MMAP_SIZE: %s: /dev/kvm is not the KVM of Linux",
		     strerror(errno));
	vm->run_size = (size_t)size;
}

/*
 * Where KVM can tell an exception that is pending from one whose delivery has begun, CR2 and DR6
 * change only when it is delivered; and a guest may ask for one with CR2 (VMRUN_INJECT_EXCEPTION).
 */
static void enable_exception_payload(const struct vm *vm)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

	if (vm_capability(vm->kvm_fd, KVM_CAP_EXCEPTION_PAYLOAD) &&
	    ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0)
		fail("KVM_ENABLE_CAP(KVM_CAP_EXCEPTION_PAYLOAD): %s", strerror(errno));
}

static void create_vm(struct vm *vm)
{
	const struct options *options = vm->options;
	unsigned long type = options->sev.kind == SEV_NONE ? memory_vm_type(options->ram)
							   : sev_host_vm_type(options->sev.kind);

	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, type);
	if (vm->fd < 0)
		fail("KVM_CREATE_VM: %s%s", strerror(errno),
		     errno == EBUSY ? ": another hypervisor uses the CPU's virtualization, stop it"
				    : "");
}

/* Asks KVM for its leaves, and makes of them what the CPUs of this VM show. */
static void build_cpuid(struct vm *vm, struct cpuid *cpuid)
{
	static struct cpuid hyperv;
	int tsc_khz = ioctl(vm->fd, KVM_GET_TSC_KHZ, 0);
	/* An SEV-SNP guest has the GHCB in its place. */
	bool calls = vm->options->ram == RAM_PRIVATE && vm->options->sev.kind == SEV_NONE;
	struct cpuid_wish wish = {
		.xen = vm->options->xen,
		.xen_msr = vm->options->xen_msr,
		.show_kvm = calls ? 1u << KVM_FEATURE_HC_MAP_GPA_RANGE : 0,
		.hide_kvm = vm->options->hide_kvm,
		.hide_hyperv = vm->options->hide_hyperv,
		.tsc_khz = tsc_khz > 0 ? (uint32_t)tsc_khz : 0,
		.tsc_deadline = vm_capability(vm->kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER),
		.cpus = vm->options->smp,
	};

	cpuid->count = CPUID_CAPACITY;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		fail("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
	if (vm->options->hyperv) {
		hyperv_get_cpuid(vm, &hyperv);
		wish.hyperv = &hyperv;
	}
	if (!cpuid_build(cpuid, &wish))
		fail("this KVM has more CPUID leaves than the %u that vmrun has room for",
		     CPUID_CAPACITY);
}

void vm_configure(struct vm *vm)
{
	static struct cpuid cpuid;
	const struct options *options = vm->options;

	if (options->sev.kind != SEV_NONE)
		sev_require(vm);
	else if (options->ram != RAM_ANONYMOUS)
		memory_require(vm);
	create_vm(vm);
	if (options->sev.kind != SEV_NONE)
		sev_begin(vm);
	enable_exception_payload(vm);
	create_irqchip(vm);
	if (options->hyperv)
		hyperv_require(vm);
	if (options->hide_kvm && !vm_capability(vm->kvm_fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID))
		fail("--hide-kvm: this KVM lacks KVM_CAP_ENFORCE_PV_FEATURE_CPUID: it takes Linux "
		     "5.10 or newer");
	if (options->xen)
		xen_enable(vm);
	if (options->ram == RAM_PRIVATE)
		conversion_enable(vm);
	memory_create(vm);
	for (unsigned int id = 0; id < options->smp; id++)
		vcpu_create(vm, id);
	build_cpuid(vm, &cpuid);
	for (unsigned int id = 0; id < options->smp; id++)
		vcpu_set_cpuid(&vm->vcpus[id], &cpuid);
	if (options->synic)
		synic_connect(vm);
}

void vm_create(struct vm *vm, const struct options *options)
{
	vm->options = options;
	open_kvm(vm);
	vm_configure(vm);
}
