// SPDX-License-Identifier: BSD-2-Clause
/*
 * rom: makes a ROM image that boots one guest
 *
 * What vmrun would put into the guest's memory (its image by PVH, start_info, the command line, the ACPI
 * tables of its CPUs) is put there by the ROM.
 */
#include "rom.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmrun/acpi.h>
#include <vmrun/elf.h>
#include <vmrun/layout.h>
#include <vmrun/pvh.h>

static const char usage[] =
	"usage: rom [--smp N] [--mem MIB] [--append STRING] GUEST\n"
	"Writes to stdout a ROM image that boots the ELF image GUEST by PVH, on a PC without a BIOS.\n";

struct options {
	unsigned int smp, mem_mib;
	const char *append, *guest;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	fputs("rom: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static unsigned int number(const char *option, const char *text, unsigned int min, unsigned int max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || value < min || value > max)
		die("--%s takes a number from %u to %u, not '%s'", option, min, max, text);
	return value;
}

static struct options parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "smp", required_argument, NULL, 's' },
		{ "mem", required_argument, NULL, 'm' },
		{ "append", required_argument, NULL, 'a' },
		{},
	};
	struct options options = { .smp = 1, .mem_mib = 64, .append = "" };
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 's')
			options.smp = number("smp", optarg, 1, LAYOUT_MAX_CPUS);
		else if (option == 'm')
			options.mem_mib = number("mem", optarg, LAYOUT_MIN_MIB, LAYOUT_MAX_MIB);
		else if (option == 'a')
			options.append = optarg;
		else
			exit(2);
	}
	if (optind != argc - 1) {
		fputs(usage, stderr);
		exit(2);
	}
	options.guest = argv[optind];
	return options;
}

static const uint8_t *map_guest(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat))
		die("%s: %s", path, strerror(errno));
	*size = stat.st_size;
	void *data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die("%s: cannot be mapped: %s", path, strerror(errno));
	return data;
}

static struct ram make_ram(unsigned int mib)
{
	struct ram ram = { .size = (uint64_t)mib << 20 };

	ram.data = mmap(NULL, ram.size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram.data == MAP_FAILED)
		die("no memory for a guest of %u MiB", mib);
	return ram;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct ram ram = make_ram(options.mem_mib);
	struct image image;
	struct message why;
	struct rom rom;
	uint32_t start_info;
	size_t size;
	const uint8_t *file = map_guest(options.guest, &size);

	if (!elf_load(file, size, &ram, &image, &why))
		die("%s: %s", options.guest, why.text);
	if (image.protocol != BOOT_PVH)
		die("%s: it has no PVH entry", options.guest);
	acpi_build(&ram, options.smp);
	if (!pvh_build(&ram, options.append, &start_info, &why) ||
	    !rom_build(&rom, &ram, image.entry, start_info, &why))
		die("%s: %s", options.guest, why.text);
	if (fwrite(rom.data, rom.size, 1, stdout) != 1 || fflush(stdout))
		die("cannot write the ROM: %s", strerror(errno));
	free(rom.data);
	return 0;
}
