// SPDX-License-Identifier: BSD-2-Clause
#include "vcpu.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <uapi/sev.h>
#include <unistd.h>

#include "conversion.h"
#include "devices.h"
#include "end.h"
#include "exits.h"
#include "hyperv.h"
#include "multiboot.h"
#include "request.h"
#include "say.h"
#include "sev.h"
#include "synic.h"
#include "vm.h"
#include "watchdog.h"
#include "xen.h"

#define CR0_PE	      0x00000001u
#define CR0_ET	      0x00000010u
#define RFLAGS_ONE    0x00000002u
#define SEGMENT_CODE  0xb /* execute, read, accessed */
#define SEGMENT_DATA  0x3 /* read, write, accessed */
#define SEGMENT_TSS32 0xb /* busy */

void vcpu_create(struct vm *vm, unsigned int id)
{
	struct vcpu *vcpu = &vm->vcpus[id];

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		fail("KVM_CREATE_VCPU %u: %s", id, strerror(errno));
	if (vm->options->synic)
		synic_activate(vcpu->fd);
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		fail("cannot map vCPU %u: %s", id, strerror(errno));
}

/* Else KVM gives every guest all of its features, whatever the leaf says. */
static void enforce_kvm_features(int fd)
{
	struct kvm_enable_cap enable = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };

	if (ioctl(fd, KVM_ENABLE_CAP, &enable) < 0)
		fail("--hide-kvm: KVM_ENABLE_CAP(KVM_CAP_ENFORCE_PV_FEATURE_CPUID): %s",
		     strerror(errno));
}

void vcpu_set_cpuid(struct vcpu *vcpu, struct cpuid *cpuid)
{
	cpuid_set_cpu(cpuid, vcpu->id);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		fail("KVM_SET_CPUID2 on vCPU %u: %s", vcpu->id, strerror(errno));
	if (vcpu->vm->options->enforce_cpuid)
		hyperv_enforce_cpuid(vcpu->fd);
	if (vcpu->vm->options->hide_kvm)
		enforce_kvm_features(vcpu->fd);
}

static struct kvm_segment flat_segment(uint8_t type, uint16_t selector)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

/*
 * 32-bit protected mode with flat segments, no paging, no interrupts: Xen, docs/misc/pvh.pandoc;
 * Multiboot Specification 3.2 demands the same.
 */
void vcpu_enter(struct vcpu *vcpu, const struct image *image, uint32_t info)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = image->entry, .rflags = RFLAGS_ONE, .rbx = info };

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		fail("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr4 = 0;
	sregs.efer = 0;
	sregs.cs = flat_segment(SEGMENT_CODE, 0x8);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat_segment(SEGMENT_DATA, 0x10);
	sregs.tr = (struct kvm_segment){ .limit = 0x67, .type = SEGMENT_TSS32, .present = 1 };
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		fail("KVM_SET_SREGS: %s", strerror(errno));
	if (image->protocol == BOOT_MULTIBOOT)
		regs.rax = MULTIBOOT_LOADER_MAGIC;
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		fail("KVM_SET_REGS: %s", strerror(errno));
}

void vcpu_get_state(struct vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;
	bool encrypted = vcpu->vm->options->sev.kind != SEV_NONE;

	if ((!encrypted && (ioctl(vcpu->fd, KVM_GET_REGS, &state->regs) < 0 ||
			    ioctl(vcpu->fd, KVM_GET_SREGS, &state->sregs) < 0)) ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &state->mp) < 0)
		say("cannot read the registers of vCPU %u: %s", vcpu->id, strerror(errno));
}

static __attribute__((noreturn)) void wait_for_the_end(void)
{
	for (;;)
		pause();
}

/* Another thread has claimed the end, or the watchdog wants to know where this vCPU is. */
static __attribute__((noreturn)) void park(struct vcpu *vcpu)
{
	vcpu_get_state(vcpu);
	atomic_store(&vcpu->parked, true);
	watchdog_note_parked();
	wait_for_the_end();
}

/* With reason, that of vcpu->run belongs to the cause. */
static __attribute__((noreturn)) void die(struct vcpu *vcpu, const char *cause, bool reason)
{
	if (!end_claim())
		park(vcpu);
	if (vcpu->vm->options->sev.kind != SEV_NONE) {
		exits_say_encrypted(vcpu, cause, reason);
		end_now(vcpu->vm, STATUS_DIED);
	}
	vcpu_get_state(vcpu);
	say("vCPU %u: %s", vcpu->id, cause);
	exits_say_details(vcpu);
	exits_say_registers(vcpu);
	end_now(vcpu->vm, STATUS_DIED);
}

void vcpu_complete_exit(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0 || errno != EINTR)
		die(vcpu, "KVM_RUN with immediate_exit did not return with EINTR", false);
	vcpu->exits++;
	vcpu->run->immediate_exit = 0;
}

/*
 * The watchdog may have asked for a stop meanwhile, and its immediate_exit is then lost: here what
 * it set before is seen.
 */
static void request_exit(struct vcpu *vcpu, const uint8_t *data)
{
	uint32_t address;

	memcpy(&address, data, sizeof(address));
	request_serve(vcpu, address);
	atomic_thread_fence(memory_order_seq_cst);
	if (watchdog_wants_stop())
		park(vcpu);
}

static void io_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct io io = {
		.port = run->io.port,
		.size = run->io.size,
		.count = run->io.count,
		.data = (uint8_t *)run + run->io.data_offset,
	};

	if (run->io.direction == KVM_EXIT_IO_IN) {
		devices_in(vcpu, &io);
		return;
	}
	if (io.port == VMRUN_PORT_REQUEST && io.size == sizeof(uint32_t)) {
		request_exit(vcpu, io.data);
		return;
	}
	if (!devices_out(vcpu, &io))
		return;
	if (!end_claim())
		park(vcpu);
	end_now(vcpu->vm, io.data[0]);
}

/* What KVM asks the VMM for. Returns whether the guest goes on. */
static bool handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		io_exit(vcpu);
		return true;
	case KVM_EXIT_MMIO:
		/* Nothing is there: as on a bus, reads give ones and writes go nowhere. */
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return true;
	case KVM_EXIT_HYPERCALL:
		return conversion_call(vcpu);
	case KVM_EXIT_XEN:
		return vcpu->vm->options->xen && xen_exit(vcpu, &run->xen);
	case KVM_EXIT_HYPERV:
		return vcpu->vm->options->hyperv && hyperv_exit(vcpu, &run->hyperv);
	case KVM_EXIT_SYSTEM_EVENT:
		return hyperv_event(vcpu, run->system_event.type);
	case KVM_EXIT_SNP_REQ_CERTS:
		sev_certificates(vcpu);
		return true;
	default:
		return false;
	}
}

static bool is_memory_fault(const struct vcpu *vcpu, int error)
{
	return (error == EFAULT || error == EHWPOISON) &&
	       vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT;
}

/* What KVM_RUN failed with. Returns whether the guest goes on. */
static bool handle_error(struct vcpu *vcpu, int error)
{
	/* EAGAIN: an INIT arrived at a vCPU that waited for one. */
	if (error == EINTR || error == EAGAIN)
		return true;
	/* With all other errors the reason is an old one (api.rst, KVM_EXIT_MEMORY_FAULT). */
	return is_memory_fault(vcpu, error) && conversion_fault(vcpu);
}

/* What it failed with, in words. */
static const char *error_text(const struct vcpu *vcpu, int error, char *text, size_t size)
{
	const char *reason = error == EFAULT && vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT
				     ? exits_name(KVM_EXIT_MEMORY_FAULT)
				     : "KVM_RUN failed";

	snprintf(text, size, "%s: %s", reason, strerror(error));
	return text;
}

void vcpu_run(struct vcpu *vcpu)
{
	char cause[128];

	for (;;) {
		int result = ioctl(vcpu->fd, KVM_RUN, 0), error = errno;

		vcpu->exits++;
		if (result == 0 && handle_exit(vcpu))
			continue;
		if (result == 0)
			die(vcpu, exits_name(vcpu->run->exit_reason), true);
		if (!handle_error(vcpu, error))
			die(vcpu, error_text(vcpu, error, cause, sizeof(cause)),
			    is_memory_fault(vcpu, error));
		if (watchdog_wants_stop())
			park(vcpu);
	}
}
