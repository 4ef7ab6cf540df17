// SPDX-License-Identifier: BSD-2-Clause
#include "sev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARAMETER "/sys/module/kvm/parameters/gmem_2m"
#define CPUID_SEV 0x8000001f
#define LEAVES	  256

static int open_kvm(void)
{
	static int kvm;

	if (!kvm)
		kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	REQUIRE(kvm >= 0);
	return kvm;
}

static int open_sev(void)
{
	static int sev;

	if (!sev)
		sev = open("/dev/sev", O_RDWR | O_CLOEXEC);
	REQUIRE(sev >= 0);
	return sev;
}

int sev_vm(unsigned long type)
{
	int types = ioctl(open_kvm(), KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES), vm;

	if (!(types & 1 << type))
		SKIP("this kernel has no VM of type %lu", type);
	vm = ioctl(open_kvm(), KVM_CREATE_VM, type);
	REQUIRE(vm >= 0);
	return vm;
}

int sev_system_attribute(struct kvm_device_attr *attr)
{
	return ioctl(open_kvm(), KVM_GET_DEVICE_ATTR, attr) ? -errno : 0;
}

int snp_vm(void)
{
	int vm = sev_vm(KVM_X86_SNP_VM);

	REQUIRE(snp_init2(vm) == 0);
	return vm;
}

int snp_vm_started(void)
{
	int vm = snp_vm();
	uint32_t error;

	REQUIRE(snp_start(vm, POLICY, &error) == 0);
	return vm;
}

int sev_command(int vm, unsigned int id, void *data, uint32_t *error)
{
	struct kvm_sev_cmd command = { .id = id,
				       .data = (uintptr_t)data,
				       .sev_fd = (uint32_t)open_sev() };
	int result = ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command) ? -errno : 0;

	*error = command.error;
	return result;
}

int snp_init2(int vm)
{
	struct sev_init2 init = { 0 };
	uint32_t error;

	return sev_command(vm, SEV_INIT2, &init, &error);
}

int snp_start(int vm, uint64_t policy, uint32_t *error)
{
	struct sev_snp_start start = { .policy = policy };

	return sev_command(vm, SEV_SNP_LAUNCH_START, &start, error);
}

int snp_finish(int vm, uint32_t *error)
{
	struct sev_snp_finish finish = { 0 };

	return sev_command(vm, SEV_SNP_LAUNCH_FINISH, &finish, error);
}

int snp_update(int vm, struct sev_snp_update *update, uint32_t *error)
{
	return sev_command(vm, SEV_SNP_LAUNCH_UPDATE, update, error);
}

static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[LEAVES];
} cpuid;

static void get_cpuid(void)
{
	if (cpuid.head.nent)
		return;
	cpuid.head.nent = LEAVES;
	REQUIRE(!ioctl(open_kvm(), KVM_GET_SUPPORTED_CPUID, &cpuid));
}

uint64_t snp_c_bit(void)
{
	get_cpuid();
	for (unsigned int i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entries[i].function == CPUID_SEV)
			return 1ull << (cpuid.entries[i].ebx & 0x3f);
	REQUIRE(!"KVM has CPUID 0x8000001f");
	return 0;
}

int snp_vcpu(int vm)
{
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	REQUIRE(vcpu >= 0);
	get_cpuid();
	REQUIRE(!ioctl(vcpu, KVM_SET_CPUID2, &cpuid));
	return vcpu;
}

int snp_file(int vm, unsigned int pages)
{
	struct kvm_create_guest_memfd create = { .size = pages * PAGE };
	int file = ioctl(vm, KVM_CREATE_GUEST_MEMFD, &create);

	REQUIRE(file >= 0);
	return file;
}

uint8_t *snp_slot(int vm, unsigned int id, uint64_t gpa, unsigned int pages, int file,
		  uint64_t offset)
{
	uint8_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region2 region = {
		.slot = id,
		.flags = file < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = pages * PAGE,
		.userspace_addr = (uintptr_t)memory,
		.guest_memfd = file,
		.guest_memfd_offset = offset,
	};

	REQUIRE(memory != MAP_FAILED);
	REQUIRE(!ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));
	return memory;
}

int snp_attributes(int vm, uint64_t gpa, unsigned int pages, bool private)
{
	struct kvm_memory_attributes set = {
		.address = gpa,
		.size = pages * PAGE,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	return ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, &set) ? -errno : 0;
}

int snp_punch(int file, unsigned int page, unsigned int pages)
{
	return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * PAGE,
			 pages * PAGE)
		       ? -errno
		       : 0;
}

/* The nested host has no /sys until somebody asks for it. */
static int open_parameter(void)
{
	int file = open(PARAMETER, O_WRONLY | O_CLOEXEC);

	if (file < 0 && access("/sys/module", F_OK)) {
		mkdir("/sys", 0755);
		mount("sysfs", "/sys", "sysfs", 0, NULL);
		file = open(PARAMETER, O_WRONLY | O_CLOEXEC);
	}
	return file;
}

void snp_use_2m(bool on)
{
	int file = open_parameter();

	if (file < 0)
		SKIP("this kernel cannot be told to have private memory of 2 MiB (kvm.gmem_2m)");
	REQUIRE(write(file, on ? "Y" : "N", 1) == 1);
	close(file);
}
