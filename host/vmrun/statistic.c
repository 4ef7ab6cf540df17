// SPDX-License-Identifier: BSD-2-Clause
/*
 * Source: Linux, Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD": a header, the descriptors, the
 * data.
 */
#include "statistic.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME_MAX_SIZE 256

struct descriptor {
	struct kvm_stats_desc head;
	char name[NAME_MAX_SIZE];
};

static int read_all(int fd, void *buffer, size_t size, uint64_t offset)
{
	ssize_t got = pread(fd, buffer, size, (off_t)offset);

	return got == (ssize_t)size ? 0 : got < 0 ? -errno : -EIO;
}

int statistic_read(int fd, const char *name, uint64_t *value)
{
	struct kvm_stats_header header;
	int status = read_all(fd, &header, sizeof(header), 0);
	uint64_t at = header.desc_offset;

	if (status)
		return status;
	if (!header.name_size || header.name_size > NAME_MAX_SIZE)
		return -EIO;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		struct descriptor descriptor;
		size_t size = sizeof(descriptor.head) + header.name_size;

		status = read_all(fd, &descriptor, size, at);
		if (status)
			return status;
		at += size;
		if (!strncmp(descriptor.head.name, name, header.name_size))
			return read_all(fd, value, sizeof(*value),
					header.data_offset + descriptor.head.offset);
	}
	return -ENOENT;
}

int statistic_of_vcpu(int vcpu_fd, const char *name, uint64_t *value)
{
	int fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, NULL), status;

	if (fd < 0)
		return -errno;
	status = statistic_read(fd, name, value);
	close(fd);
	return status;
}
