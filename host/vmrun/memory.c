// SPDX-License-Identifier: BSD-2-Clause
/*
 * Three kinds of memory (Documentation/virt/kvm/api.rst, KVM_CREATE_GUEST_MEMFD):
 *
 *	RAM_ANONYMOUS	a mapping of vmrun's own
 *	RAM_GMEM	a guest_memfd that vmrun maps, too: what either writes the other sees
 *	RAM_PRIVATE	both of an anonymous mapping, for what is shared, and a guest_memfd, which vmrun
 *			cannot map, for what is private; KVM takes the one or the other by the attributes
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <uapi/kvm.h>
#include <unistd.h>
#include <vmrun/abi.h>

#include "pages.h"
#include "say.h"
#include "vm.h"

#define PAGE	 4096u
#define LARGE	 (2u << 20)
#define MAPPABLE (GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED)

struct region {
	uint64_t gpa, size; /* size 0: there is none */
	uint8_t *host;	    /* NULL: there is no mapping */
	int file;	    /* the guest_memfd, or -1 */
	bool mappable;	    /* what host maps is the file */
};

/* Of a page of RAM: why vmrun cannot touch it. */
#define PAGE_UNMAPPED 1u
#define PAGE_PRIVATE  2u

/* Guards the regions and their mappings. The number of a region is that of its slot. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region regions[1 + VMRUN_REGIONS];
static atomic_uchar *ram_pages; /* NULL: all can be touched */

unsigned long memory_vm_type(enum ram_kind kind)
{
	return kind == RAM_PRIVATE ? KVM_X86_SW_PROTECTED_VM : KVM_X86_DEFAULT_VM;
}

static bool offered_gmem(int kvm_fd, struct message *detail)
{
	int vm = ioctl(kvm_fd, KVM_CREATE_VM, (unsigned long)KVM_X86_DEFAULT_VM);
	unsigned int flags = vm < 0 ? 0 : vm_capability(vm, KVM_CAP_GUEST_MEMFD_FLAGS);

	if (vm >= 0)
		close(vm);
	refuse(detail, "KVM_CAP_GUEST_MEMFD_FLAGS %#x of a VM of the default type", flags);
	return (flags & MAPPABLE) == MAPPABLE;
}

static bool offered_private(int kvm_fd, struct message *detail)
{
	unsigned int types = vm_capability(kvm_fd, KVM_CAP_VM_TYPES);
	unsigned int attributes = vm_capability(kvm_fd, KVM_CAP_MEMORY_ATTRIBUTES);
	unsigned int calls = vm_capability(kvm_fd, KVM_CAP_EXIT_HYPERCALL);

	refuse(detail, "KVM_CAP_VM_TYPES %#x, KVM_CAP_MEMORY_ATTRIBUTES %#x", types, attributes);
	return types & 1u << KVM_X86_SW_PROTECTED_VM && attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE &&
	       calls & 1u << KVM_HC_MAP_GPA_RANGE;
}

bool memory_offered(int kvm_fd, enum ram_kind kind, struct message *detail)
{
	switch (kind) {
	case RAM_GMEM:
		return offered_gmem(kvm_fd, detail);
	case RAM_PRIVATE:
		return offered_private(kvm_fd, detail);
	default:
		return true;
	}
}

/* The guest_memfd of a region of the VM's kind, or -1. */
static int create_file(const struct vm *vm, uint64_t size)
{
	struct kvm_create_guest_memfd create = {
		.size = size,
		.flags = vm->options->ram == RAM_GMEM ? MAPPABLE : 0,
	};

	return ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &create);
}

static uint8_t *map_anonymous(uint64_t size)
{
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return data == MAP_FAILED ? NULL : data;
}

/*
 * The same, of large pages where the host has them: for KVM to have something to split when the guest makes
 * a part of one private.
 */
static uint8_t *map_large(uint64_t size)
{
	uint8_t *all = map_anonymous(size + LARGE), *data;
	size_t before;

	if (!all)
		return NULL;
	before = -(uintptr_t)all % LARGE;
	data = all + before;
	if (before)
		munmap(all, before);
	munmap(data + size, LARGE - before);
	madvise(data, size, MADV_HUGEPAGE);
	return data;
}

static uint8_t *map_file(int file, uint64_t size)
{
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	return data == MAP_FAILED ? NULL : data;
}

static void release(struct region *region)
{
	if (region->host)
		munmap(region->host, region->size);
	if (region->file >= 0)
		close(region->file);
	*region = (struct region){ .file = -1 };
}

/* Makes the memory of a region. False with errno; nothing is left then. */
static bool allocate(const struct vm *vm, struct region *region, bool gmem)
{
	int error;

	region->file = gmem ? create_file(vm, region->size) : -1;
	region->mappable = gmem && vm->options->ram == RAM_GMEM;
	if (!gmem || region->file >= 0)
		region->host = region->mappable ? map_file(region->file, region->size)
			       : vm->options->ram == RAM_PRIVATE ? map_large(region->size)
								 : map_anonymous(region->size);
	if (region->host)
		return true;
	error = errno;
	release(region);
	errno = error;
	return false;
}

static int set_slot(const struct vm *vm, const struct region *region)
{
	struct kvm_userspace_memory_region2 slot = {
		.slot = (uint32_t)(region - regions),
		.guest_phys_addr = region->gpa,
		.memory_size = region->size,
		.userspace_addr = (uintptr_t)region->host,
	};

	/* An older KVM has but the older call. The one is the beginning of the other. */
	if (region->file < 0)
		return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);
	slot.flags = KVM_MEM_GUEST_MEMFD;
	slot.guest_memfd = (uint32_t)region->file;
	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot);
}

void memory_require(const struct vm *vm)
{
	static const char *const cures[] = {
		[RAM_GMEM] = "it takes Linux 6.18 or newer",
		[RAM_PRIVATE] = "it takes Linux 6.8 or newer with CONFIG_KVM_SW_PROTECTED_VM, and "
				"nested paging (kvm_amd npt=1, kvm_intel ept=1)",
	};
	struct message detail;

	if (!memory_offered(vm->kvm_fd, vm->options->ram, &detail))
		fail("--ram %s: this KVM cannot have it (%s): %s",
		     options_ram_name(vm->options->ram), detail.text, cures[vm->options->ram]);
}

static void make_ram(struct vm *vm)
{
	bool gmem = vm->options->ram != RAM_ANONYMOUS;
	struct region *ram = &regions[0];

	for (size_t i = 0; i <= VMRUN_REGIONS; i++)
		regions[i].file = -1;
	ram->size = (uint64_t)vm->options->mem_mib << 20;
	if (gmem)
		ram_pages = calloc(ram->size / PAGE, sizeof(*ram_pages));
	if ((gmem && !ram_pages) || !allocate(vm, ram, gmem))
		fail("--mem %u: no memory for the guest: %s: give it less", vm->options->mem_mib,
		     strerror(errno));
	vm->ram = (struct ram){ .data = ram->host, .size = ram->size };
}

void memory_create(struct vm *vm)
{
	if (!vm->ram.data)
		make_ram(vm);
	if (set_slot(vm, &regions[0]) < 0)
		fail("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

static bool page_is(uint64_t gpa, unsigned int flags)
{
	return ram_pages && atomic_load(&ram_pages[gpa / PAGE]) & flags;
}

void *memory_at(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	if (gpa > vm->ram.size || size > vm->ram.size - gpa || !pages_present(gpa, size))
		return NULL;
	for (uint64_t at = gpa - gpa % PAGE; at < gpa + size; at += PAGE)
		if (page_is(at, PAGE_UNMAPPED | PAGE_PRIVATE))
			return NULL;
	return vm->ram.data + gpa;
}

static void mark(uint64_t gpa, uint64_t size, unsigned int flag, bool set)
{
	for (uint64_t at = gpa; at < gpa + size; at += PAGE)
		if (set)
			atomic_fetch_or(&ram_pages[at / PAGE], (unsigned char)flag);
		else
			atomic_fetch_and(&ram_pages[at / PAGE], (unsigned char)~flag);
}

void memory_note_private(const struct vm *vm, uint64_t gpa, uint64_t size, bool private)
{
	if (!ram_pages || gpa >= vm->ram.size)
		return;
	mark(gpa, size < vm->ram.size - gpa ? size : vm->ram.size - gpa, PAGE_PRIVATE, private);
}

bool memory_is_private(uint64_t gpa)
{
	return page_is(gpa, PAGE_PRIVATE);
}

int32_t memory_drop(const struct vm *vm, uint64_t gpa, uint64_t size, bool private)
{
	if (!size)
		return 0;
	if (private)
		return madvise(vm->ram.data + gpa, size, MADV_DONTNEED) ? -errno : 0;
	return memory_punch(gpa, size);
}

bool memory_is_ram(const struct vm *vm, uint64_t gpa)
{
	return gpa < vm->ram.size;
}

/* The region that all of the range lies in, or NULL. */
static struct region *find(uint64_t gpa, uint64_t size)
{
	for (size_t i = 0; i <= VMRUN_REGIONS; i++) {
		struct region *region = &regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->size &&
		    size <= region->size - (gpa - region->gpa))
			return region;
	}
	return NULL;
}

static bool whole_pages(uint64_t gpa, uint64_t size)
{
	return !((gpa | size) % PAGE) && size;
}

/* Where the 8 bytes at gpa are, for vmrun; NULL with *status: they are not. */
static volatile uint64_t *word_at(uint64_t gpa, int32_t *status)
{
	struct region *region = find(gpa, sizeof(uint64_t));

	*status = !region || gpa % sizeof(uint64_t) ? -EINVAL : 0;
	if (*status)
		return NULL;
	if (!region->host)
		*status = -EFAULT;
	if (region == &regions[0] &&
	    (page_is(gpa, PAGE_UNMAPPED) || !pages_present(gpa, sizeof(uint64_t))))
		*status = -EFAULT;
	return *status ? NULL : (volatile uint64_t *)(region->host + (gpa - region->gpa));
}

int32_t memory_read(uint64_t gpa, uint64_t *value)
{
	volatile uint64_t *word;
	int32_t status;

	pthread_mutex_lock(&lock);
	word = word_at(gpa, &status);
	if (word)
		*value = *word;
	pthread_mutex_unlock(&lock);
	return status;
}

int32_t memory_write(uint64_t gpa, uint64_t value)
{
	volatile uint64_t *word;
	int32_t status;

	pthread_mutex_lock(&lock);
	word = word_at(gpa, &status);
	if (word)
		*word = value;
	pthread_mutex_unlock(&lock);
	return status;
}

/*
 * Where it is unmapped there stays a mapping that nothing can touch: so nothing else comes to lie there,
 * which KVM, that knows the address, would take for the guest's.
 */
static int32_t remap(const struct vm *vm, uint64_t gpa, uint64_t size, bool mapped)
{
	struct region *ram = &regions[0];
	int flags = mapped ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *at = vm->ram.data + gpa;

	if (!whole_pages(gpa, size) || find(gpa, size) != ram)
		return -EINVAL;
	if (!ram->mappable)
		return -EOPNOTSUPP;
	mark(gpa, size, PAGE_UNMAPPED, true);
	if (mmap(at, size, mapped ? PROT_READ | PROT_WRITE : PROT_NONE, flags | MAP_FIXED,
		 mapped ? ram->file : -1, mapped ? (off_t)gpa : 0) == MAP_FAILED)
		return -errno;
	mark(gpa, size, PAGE_UNMAPPED, !mapped);
	return 0;
}

int32_t memory_unmap(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = remap(vm, gpa, size, false);
	pthread_mutex_unlock(&lock);
	return status;
}

int32_t memory_map(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = remap(vm, gpa, size, true);
	pthread_mutex_unlock(&lock);
	return status;
}

/* No lock is held in the meantime: that two vCPUs punch at once is for the kernel to cope with. */
int32_t memory_punch(uint64_t gpa, uint64_t size)
{
	struct region *region;
	int file;
	off_t offset;

	pthread_mutex_lock(&lock);
	region = find(gpa, size);
	file = region ? region->file : -1;
	offset = region ? (off_t)(gpa - region->gpa) : 0;
	pthread_mutex_unlock(&lock);
	if (!region)
		return -EINVAL;
	if (file < 0)
		return -EOPNOTSUPP;
	return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)size)
		       ? -errno
		       : 0;
}

/* KVM alone still has the file then, and does not hold it (virt/kvm/guest_memfd.c, kvm_gmem_bind). */
static void close_file(struct region *region)
{
	if (region->mappable) {
		munmap(region->host, region->size);
		region->host = NULL;
	}
	close(region->file);
	region->file = -1;
}

static int32_t add(const struct vm *vm, uint64_t gpa, uint64_t size, uint32_t flags)
{
	struct region *region = &regions[1];
	int error;

	if (!whole_pages(gpa, size))
		return -EINVAL;
	if (flags & VMRUN_REGION_GMEM && vm->options->ram == RAM_ANONYMOUS)
		return -EOPNOTSUPP;
	while (region <= &regions[VMRUN_REGIONS] && region->size)
		region++;
	if (region > &regions[VMRUN_REGIONS])
		return -ENOSPC;
	*region = (struct region){ .gpa = gpa, .size = size, .file = -1 };
	if (!allocate(vm, region, flags & VMRUN_REGION_GMEM))
		return -errno;
	if (set_slot(vm, region) < 0) {
		error = errno;
		release(region);
		return -error;
	}
	if (flags & VMRUN_REGION_CLOSED && region->file >= 0)
		close_file(region);
	return 0;
}

int32_t memory_add(const struct vm *vm, uint64_t gpa, uint64_t size, uint32_t flags)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = add(vm, gpa, size, flags);
	pthread_mutex_unlock(&lock);
	return status;
}

static int32_t remove_region(const struct vm *vm, uint64_t gpa)
{
	for (struct region *region = &regions[1]; region <= &regions[VMRUN_REGIONS]; region++) {
		struct kvm_userspace_memory_region slot = { .slot = (uint32_t)(region - regions) };

		if (!region->size || region->gpa != gpa)
			continue;
		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return -errno;
		release(region);
		return 0;
	}
	return -ENOENT;
}

int32_t memory_remove(const struct vm *vm, uint64_t gpa)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = remove_region(vm, gpa);
	pthread_mutex_unlock(&lock);
	return status;
}
