// SPDX-License-Identifier: BSD-2-Clause
/*
 * KVM first tries to get a page without waiting for it, of which userfaultfd tells nobody
 * (fs/userfaultfd.c, handle_userfault: FAULT_FLAG_RETRY_NOWAIT). A fault is read here when someone
 * really waits: the vCPU itself, or the worker of an asynchronous page fault (virt/kvm/async_pf.c,
 * async_pf_execute).
 *
 * The end of the process closes the descriptor, which wakes who still waits.
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "end.h"
#include "say.h"
#include "vm.h"

#define PAGE 4096u

struct page {
	atomic_bool out;
	atomic_uint waiting;
};

/* Guards what follows, but for what is atomic. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int faults_fd = -1;
static uint8_t *contents; /* of absent pages, each at its guest-physical address */
static _Atomic(struct page *) pages;

static int open_faults(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC), error;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

bool pages_offered(struct message *detail)
{
	int fd = open_faults();

	if (fd < 0) {
		const char *cure = errno == ENOSYS ? ": it takes CONFIG_USERFAULTFD"
				   : errno == EPERM
					   ? ": be root, or set vm.unprivileged_userfaultfd to 1"
					   : "";

		return refuse(detail, "userfaultfd: %s%s", strerror(errno), cure);
	}
	close(fd);
	snprintf(detail->text, sizeof(detail->text), "pages of RAM can be made absent");
	return true;
}

static void *record_faults(void *argument)
{
	const struct vm *vm = argument;
	struct uffd_msg message;

	for (;;) {
		ssize_t size = read(faults_fd, &message, sizeof(message));
		uint64_t address = message.arg.pagefault.address - (uintptr_t)vm->ram.data;

		if (size == sizeof(message) && message.event == UFFD_EVENT_PAGEFAULT) {
			atomic_fetch_add(&pages[address / PAGE].waiting, 1);
		} else if (size < 0 && errno != EINTR && errno != EAGAIN && end_claim()) {
			say("cannot read from userfaultfd: %s", strerror(errno));
			end_now(vm, STATUS_FAILED);
		}
	}
}

static int32_t undo(void *store, struct page *table, uint64_t size, int error)
{
	if (store != MAP_FAILED)
		munmap(store, size);
	free(table);
	if (faults_fd >= 0)
		close(faults_fd);
	faults_fd = -1;
	return -error;
}

static int32_t begin(const struct vm *vm)
{
	uint64_t size = vm->ram.size;
	struct page *table = calloc(size / PAGE, sizeof(*table));
	void *store = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_t thread;

	if (!table || store == MAP_FAILED)
		return undo(store, table, size, ENOMEM);
	faults_fd = open_faults();
	if (faults_fd < 0)
		return undo(store, table, size, errno);
	atomic_store(&pages, table);
	if (pthread_create(&thread, NULL, record_faults, (void *)vm) != 0) {
		atomic_store(&pages, NULL);
		return undo(store, table, size, EAGAIN);
	}
	contents = store;
	return 0;
}

/* What is absent already cannot be copied: its contents would have to be waited for. */
static int32_t take_out(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	uint8_t *data = vm->ram.data + gpa;
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)data, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (!pages_present(gpa, size))
		return -EBUSY;
	if (ioctl(faults_fd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	memcpy(contents + gpa, data, size);
	for (uint64_t at = gpa; at < gpa + size; at += PAGE) {
		atomic_store(&pages[at / PAGE].waiting, 0);
		atomic_store(&pages[at / PAGE].out, true);
	}
	if (madvise(data, size, MADV_DONTNEED) == 0)
		return 0;
	for (uint64_t at = gpa; at < gpa + size; at += PAGE)
		atomic_store(&pages[at / PAGE].out, false);
	return -errno;
}

int32_t pages_out(const struct vm *vm, uint64_t gpa, uint64_t size)
{
	int32_t status = 0;

	if ((gpa | size) % PAGE || !size || gpa >= vm->ram.size || size > vm->ram.size - gpa)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	if (faults_fd < 0)
		status = begin(vm);
	if (!status)
		status = take_out(vm, gpa, size);
	pthread_mutex_unlock(&lock);
	return status;
}

/* The page that is absent at gpa, or NULL. */
static struct page *find(const struct vm *vm, uint64_t gpa)
{
	if (!atomic_load(&pages) || gpa % PAGE || gpa >= vm->ram.size ||
	    !atomic_load(&pages[gpa / PAGE].out))
		return NULL;
	return &pages[gpa / PAGE];
}

static int32_t bring_in(const struct vm *vm, uint64_t gpa)
{
	struct page *page = find(vm, gpa);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)vm->ram.data + gpa,
		.src = (uintptr_t)contents + gpa,
		.len = PAGE,
	};

	if (!page)
		return -ENOENT;
	/* EAGAIN: the address space changes just now. */
	while (ioctl(faults_fd, UFFDIO_COPY, &copy) < 0)
		if (errno != EAGAIN)
			return -errno;
	atomic_store(&page->out, false);
	return 0;
}

int32_t pages_in(const struct vm *vm, uint64_t gpa)
{
	int32_t status;

	pthread_mutex_lock(&lock);
	status = bring_in(vm, gpa);
	pthread_mutex_unlock(&lock);
	return status;
}

int32_t pages_waiting(const struct vm *vm, uint64_t gpa, uint64_t *count)
{
	struct page *page = find(vm, gpa);

	if (!page)
		return -ENOENT;
	*count = atomic_load(&page->waiting);
	return 0;
}

bool pages_present(uint64_t gpa, uint64_t size)
{
	const struct page *table = atomic_load(&pages);

	for (uint64_t at = gpa - gpa % PAGE; table && at < gpa + size; at += PAGE)
		if (atomic_load(&table[at / PAGE].out))
			return false;
	return true;
}
