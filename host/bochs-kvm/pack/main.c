// SPDX-License-Identifier: BSD-2-Clause
/*
 * pack: makes of a kernel what Bochs boots
 *
 * The kernel and its initrd are laid out as they are to lie in L1's memory, and written as the loader
 * (loader.S) takes them.
 */
#include "linux.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmrun/elf.h>

static const char usage[] =
	"usage: pack MIB VMLINUX INITRD COMMAND-LINE ROM INPUT\n"
	"Writes to the files ROM and INPUT what boots this kernel in Bochs, with MIB MiB of memory.\n";

struct file {
	const uint8_t *data;
	size_t size;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	fputs("pack: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static struct file map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat))
		die("%s: %s", path, strerror(errno));
	void *data = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die("%s: cannot be mapped: %s", path, strerror(errno));
	close(fd);
	return (struct file){ .data = data, .size = stat.st_size };
}

static struct ram make_ram(const char *mib)
{
	struct ram ram = { .size = strtoul(mib, NULL, 10) << 20 };

	ram.data = mmap(NULL, ram.size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram.data == MAP_FAILED)
		die("no memory for a machine of %s MiB", mib);
	return ram;
}

static FILE *create(const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		die("%s: %s", path, strerror(errno));
	return file;
}

static void finish(FILE *file, const char *path)
{
	if (fflush(file) || ferror(file) || fclose(file))
		die("%s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	struct image image;
	struct message why;
	uint32_t start_info;

	if (argc != 7) {
		fputs(usage, stderr);
		return 2;
	}
	struct ram ram = make_ram(argv[1]);
	struct file kernel = map_file(argv[2]), initrd = map_file(argv[3]);
	if (!elf_load(kernel.data, kernel.size, &ram, &image, &why))
		die("%s: %s", argv[2], why.text);
	if (image.protocol != BOOT_PVH)
		die("%s: it has no PVH entry; build it with CONFIG_PVH", argv[2]);
	if (!linux_build(&ram, initrd.data, initrd.size, argv[4], &start_info, &why))
		die("%s: %s", argv[2], why.text);
	FILE *rom = create(argv[5]);
	stream_write_rom(rom);
	finish(rom, argv[5]);
	FILE *input = create(argv[6]);
	stream_write(input, &ram, image.entry, start_info);
	finish(input, argv[6]);
	return 0;
}
