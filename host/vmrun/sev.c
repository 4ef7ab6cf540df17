// SPDX-License-Identifier: BSD-2-Clause
#include "sev.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <uapi/sev.h>

#include "conversion.h"
#include "layout.h"
#include "memory.h"
#include "say.h"
#include "sev_host.h"
#include "sev_pages.h"
#include "vm.h"

#define PAGE	      4096u
#define CR0_START     0x80000011u /* PG, ET, PE */
#define CR4_PAE	      0x20u
#define EFER_LONG     0x500u /* LME, LMA */
#define RFLAGS_ONE    0x2u
#define SELECTOR_CODE 0x8
#define SELECTOR_DATA 0x10
#define TYPE_CODE     0xb /* execute, read, accessed */
#define TYPE_DATA     0x3 /* read, write, accessed */

/* SEV API, 6.5 "LAUNCH_MEASURE": the measurement and the nonce. */
#define MEASUREMENT 48
/* GHCB specification, "SNP Extended Guest Request": a certificate table ends with an entry of zeros. */
#define CERTIFICATE_ENTRY 24

static int device = -1;

/* One operation; -1 with errno, and in *error the firmware's word. */
static int command(const struct vm *vm, enum sev_command id, void *data, uint32_t *error)
{
	struct kvm_sev_cmd command = {
		.id = id,
		.data = (uintptr_t)data,
		.sev_fd = (uint32_t)device,
	};
	int result = ioctl(vm->fd, KVM_MEMORY_ENCRYPT_OP, &command);

	*error = command.error;
	return result;
}

static void demand(const struct vm *vm, enum sev_command id, void *data, const char *name)
{
	uint32_t error;

	if (command(vm, id, data, &error) < 0)
		fail("%s: %s (error of the firmware: %#x)", name, strerror(errno), error);
}

/* What KVM supports of something, or all where it does not say. */
static uint64_t supported(const struct vm *vm, uint64_t attribute)
{
	uint64_t value = UINT64_MAX;
	struct kvm_device_attr attr = {
		.group = SEV_ATTR_GROUP,
		.attr = attribute,
		.addr = (uintptr_t)&value,
	};

	ioctl(vm->kvm_fd, KVM_GET_DEVICE_ATTR, &attr);
	return value;
}

static void require_bits(const char *option, const char *what, uint64_t wanted, uint64_t has)
{
	if (wanted & ~has)
		fail("--%s: this KVM does not support %s %#" PRIx64
		     ": of its bits it has %#" PRIx64,
		     option, what, wanted, has);
}

void sev_require(const struct vm *vm)
{
	const struct sev_options *options = &vm->options->sev;
	const char *name = sev_options_name(options->kind);
	struct message detail;

	if (!sev_host_offers(vm->kvm_fd, options->kind, &detail))
		fail("--%s: %s", name, detail.text);
	require_bits(name, "features", options->features, supported(vm, SEV_ATTR_VMSA_FEATURES));
	if (options->kind == SEV_SNP)
		require_bits(name, "policy", sev_options_policy(options),
			     supported(vm, SEV_ATTR_POLICY_BITS));
	if (options->certs && supported(vm, SEV_ATTR_REQ_CERTS) != 1)
		fail("--%s: this KVM cannot ask for certificates: it takes Linux 7.0 or newer, or "
		     "leave certs out",
		     name);
}

void sev_begin(const struct vm *vm)
{
	const struct sev_options *options = &vm->options->sev;
	struct sev_init2 init = {
		.vmsa_features = options->features,
		.ghcb_version = (uint16_t)sev_options_ghcb(options),
	};

	device = sev_host_open_device();
	if (device < 0)
		fail("/dev/sev: %s", strerror(errno));
	demand(vm, SEV_INIT2, &init, "KVM_SEV_INIT2");
	if (options->certs)
		demand(vm, SEV_SNP_ENABLE_REQ_CERTS, NULL, "KVM_SEV_SNP_ENABLE_REQ_CERTS");
}

static struct kvm_segment segment(uint8_t type, uint16_t selector)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = type == TYPE_DATA,
		.l = type == TYPE_CODE,
		.s = 1,
		.g = 1,
	};
}

/* What KVM makes the VMSA of. */
static void set_registers(const struct vcpu *vcpu, uint64_t entry, uint32_t info, uint64_t c_bit)
{
	struct kvm_regs regs = {
		.rip = entry, .rflags = RFLAGS_ONE, .rbx = info, .rsi = LAYOUT_SEV
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		fail("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cr0 = CR0_START;
	sregs.cr3 = LAYOUT_SEV_TABLES | c_bit;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LONG;
	sregs.cs = segment(TYPE_CODE, SELECTOR_CODE);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(TYPE_DATA, SELECTOR_DATA);
	sregs.gdt.limit = sregs.idt.limit = 0;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		fail("KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		fail("KVM_SET_REGS: %s", strerror(errno));
}

/*
 * The firmware refuses a CPUID page whose functions are not all as it knows them, and writes down how it does; KVM hands
 * that back in the place of the page.
 */
static void update_cpuid(struct vm *vm, struct sev_snp_update update)
{
	struct sev_snp_update again;
	uint8_t given[PAGE];
	uint32_t error;

	do {
		memcpy(given, vm->ram.data + LAYOUT_SEV_CPUID, sizeof(given));
		again = update;
		if (command(vm, SEV_SNP_LAUNCH_UPDATE, &again, &error) == 0)
			return;
	} while (error == SEV_ERROR_INVALID_PARAM && sev_pages_drop_cpuid(&vm->ram, given));
	fail("KVM_SEV_SNP_LAUNCH_UPDATE of the CPUID page: %s (error of the firmware: %#x)",
	     strerror(errno), error);
}

static void update_snp(struct vm *vm, uint64_t gpa, uint64_t size, enum sev_page_type type)
{
	struct sev_snp_update update = {
		.gfn_start = gpa / PAGE,
		.uaddr = (uintptr_t)(vm->ram.data + gpa),
		.len = size,
		.type = (uint8_t)type,
	};

	if (type == SEV_PAGE_CPUID) {
		update_cpuid(vm, update);
		return;
	}
	/* KVM moves it on by what it has done. */
	while (update.len)
		demand(vm, SEV_SNP_LAUNCH_UPDATE, &update, "KVM_SEV_SNP_LAUNCH_UPDATE");
}

/* Encrypted where they are. */
static void update_es(struct vm *vm, uint64_t gpa, uint64_t size, enum sev_page_type type)
{
	struct kvm_sev_launch_update_data update = {
		.uaddr = (uintptr_t)(vm->ram.data + gpa),
		.len = (uint32_t)size,
	};

	(void)type;
	demand(vm, SEV_LAUNCH_UPDATE_DATA, &update, "KVM_SEV_LAUNCH_UPDATE_DATA");
}

static void update_all(struct vm *vm, const uint8_t *types,
		       void (*update)(struct vm *vm, uint64_t gpa, uint64_t size,
				      enum sev_page_type type))
{
	uint64_t count = vm->ram.size / PAGE, next;

	for (uint64_t at = 0; at < count; at = next) {
		for (next = at + 1; next < count && types[next] == types[at]; next++)
			;
		if (types[at] != SEV_PAGE_NONE)
			update(vm, at * PAGE, (next - at) * PAGE, types[at]);
	}
}

static void launch_snp(struct vm *vm, const uint8_t *types)
{
	struct sev_snp_start start = { .policy = sev_options_policy(&vm->options->sev) };
	struct sev_snp_finish finish = { .flags = 0 };
	/* They wait for the VMSA that the guest gives them, not for INIT. */
	struct kvm_mp_state waiting = { KVM_MP_STATE_HALTED };
	int32_t status = conversion_set(vm, 0, vm->ram.size, KVM_MEMORY_ATTRIBUTE_PRIVATE);

	if (status)
		fail("KVM_SET_MEMORY_ATTRIBUTES: %s", strerror(-status));
	demand(vm, SEV_SNP_LAUNCH_START, &start, "KVM_SEV_SNP_LAUNCH_START");
	update_all(vm, types, update_snp);
	demand(vm, SEV_SNP_LAUNCH_FINISH, &finish, "KVM_SEV_SNP_LAUNCH_FINISH");
	memory_drop(vm, 0, vm->ram.size, true);
	for (unsigned int id = 1; id < vm->options->smp; id++)
		if (ioctl(vm->vcpus[id].fd, KVM_SET_MP_STATE, &waiting) < 0)
			fail("KVM_SET_MP_STATE: %s", strerror(errno));
}

static void launch_es(struct vm *vm, const uint8_t *types)
{
	struct kvm_sev_launch_start start = { .policy = (uint32_t)sev_options_policy(
						      &vm->options->sev) };
	uint8_t measurement[MEASUREMENT];
	struct kvm_sev_launch_measure measure = { .uaddr = (uintptr_t)measurement,
						  .len = sizeof(measurement) };
	/* What is encrypted depends on where it lies, so the host must not move it. */
	struct kvm_enc_region region = { .addr = (uintptr_t)vm->ram.data, .size = vm->ram.size };

	demand(vm, SEV_LAUNCH_START, &start, "KVM_SEV_LAUNCH_START");
	if (ioctl(vm->fd, KVM_MEMORY_ENCRYPT_REG_REGION, &region) < 0)
		fail("KVM_MEMORY_ENCRYPT_REG_REGION: %s: raise the limit of locked memory (ulimit "
		     "-l) to more than --mem %u",
		     strerror(errno), vm->options->mem_mib);
	update_all(vm, types, update_es);
	demand(vm, SEV_LAUNCH_UPDATE_VMSA, NULL, "KVM_SEV_LAUNCH_UPDATE_VMSA");
	demand(vm, SEV_LAUNCH_MEASURE, &measure, "KVM_SEV_LAUNCH_MEASURE");
	demand(vm, SEV_LAUNCH_FINISH, NULL, "KVM_SEV_LAUNCH_FINISH");
}

static void check_image(const struct options *options, const struct image *image)
{
	const char *name = sev_options_name(options->sev.kind);

	if (!image->is_64)
		fail("%s: a 32-bit ELF file: guests of --%s start in 64-bit mode, build it for x86_64",
		     options->guest, name);
	if (!image->has_sev_entry)
		fail("%s: it has no note with an entry for --%s (owner vmabi, type 1): see "
		     "lib/vmrun/snp.h",
		     options->guest, name);
	if (image->sev_entry >= SEV_PAGES_MAPPED)
		fail("%s: its entry for --%s, %#" PRIx64
		     ", lies above the first GiB: link it lower",
		     options->guest, name, image->sev_entry);
}

void sev_launch(struct vm *vm, const uint8_t *file, size_t size, const struct image *image,
		uint32_t info)
{
	static struct cpuid cpuid = { .count = CPUID_CAPACITY };
	enum sev_kind kind = vm->options->sev.kind;
	uint8_t *types = calloc(vm->ram.size / PAGE, 1);
	unsigned int c_bit;

	check_image(vm->options, image);
	if (!types)
		fail("no memory");
	/* Of vCPU 0: what KVM supports, as it was set. CPUID itself may tell of another machine. */
	if (ioctl(vm->vcpus[0].fd, KVM_GET_CPUID2, &cpuid) < 0)
		fail("KVM_GET_CPUID2: %s", strerror(errno));
	c_bit = sev_pages_c_bit(&cpuid);
	if (!c_bit)
		fail("this KVM does not tell the C-bit: CPUID leaf 0x8000001f is not among those it supports");
	sev_pages_mark_image(file, size, types);
	sev_pages_build(&vm->ram, kind, &cpuid, types);
	set_registers(&vm->vcpus[0], image->sev_entry, info, 1ull << c_bit);
	if (kind == SEV_SNP)
		launch_snp(vm, types);
	else
		launch_es(vm, types);
	free(types);
}

/* Documentation/virt/kvm/api.rst, KVM_EXIT_SNP_REQ_CERTS: errors are positive. */
void sev_certificates(struct vcpu *vcpu)
{
	struct sev_certs_request *request = (struct sev_certs_request *)vcpu->run->padding;
	void *table;

	if (!request->npages) {
		request->npages = 1;
		request->ret = ENOSPC;
		return;
	}
	table = memory_at(vcpu->vm, request->gpa, CERTIFICATE_ENTRY);
	if (table)
		memset(table, 0, CERTIFICATE_ENTRY);
	request->ret = table ? 0 : EIO;
}
