// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun: runs one small guest on /dev/kvm
 *
 * From here the way is straight: read the command line, create the VM, load the guest, run. Tests
 * start thousands of guests, many of them in a host that is itself emulated: whatever the start
 * does not need is left out, and guest memory is touched where it is used only.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acpi.h"
#include "elf.h"
#include "emulation.h"
#include "end.h"
#include "gmem_2m.h"
#include "layout.h"
#include "multiboot.h"
#include "options.h"
#include "probe.h"
#include "pvh.h"
#include "say.h"
#include "sev.h"
#include "vcpu.h"
#include "vm.h"
#include "watchdog.h"

#ifndef VMABI_VERSION
#define VMABI_VERSION "(version not set by the build)"
#endif

static const char version[] = "vmrun (vmabi) " VMABI_VERSION "\n";

static const char help[] =
	"usage: vmrun [options] GUEST\n"
	"Runs the guest GUEST, an x86 ELF image with a PVH note or a multiboot header, on\n"
	"/dev/kvm. Its console (COM1, port 0xe9, text port 0xec) goes\n"
	"to stdout.\n"
	"\n"
	"  --smp N            number of CPUs, 1 to 64 (1)\n"
	"  --mem MIB          memory in MiB, 2 to 3072 (64)\n"
	"  --ram KIND         what it is made of: anonymous memory, gmem (guest_memfd), or private\n"
	"                     (guest_memfd and memory attributes) (anonymous)\n"
	"  --append STRING    the guest's command line\n"
	"  --xen[=MSR]        Xen's hypercall page, enabled by MSR (0x40000000, or 0x40000200\n"
	"                     with --hyperv)\n"
	"  --hyperv           all Hyper-V features that KVM has, but for the SynIC\n"
	"  --synic            that too: its registers, timers and connections\n"
	"  --enforce-cpuid    let KVM refuse Hyper-V features that CPUID does not show\n"
	"  --hide-hyperv LEAF:REG:BITS[,...]\n"
	"                     hide these bits of Hyper-V's CPUID leaves\n"
	"  --hide-kvm BITS    hide these KVM features (EAX of its leaf +1), and refuse their use\n"
	"  --snp[=WORD,...]   an SEV-SNP guest; WORD: the policy (0x30000), features=BITS of the\n"
	"                     VMSA, ghcb=VERSION (2), certs (KVM asks for certificates)\n"
	"  --sev-es[=WORD,...] an SEV-ES guest; as --snp (policy 0x5), without certs\n"
	"  --gmem-2m          with --snp: private memory by pages of 2 MiB (software platform)\n"
	"  --force-emulation  switch KVM's forced emulation prefix on for the run\n"
	"  --timeout SECONDS  time limit, such as 10 or 0.5 (none)\n"
	"  --stats            times and number of exits on stderr at the end\n"
	"  --probe            print what the KVM here offers, and end\n"
	"  --help, --version\n"
	"\n"
	"Exit status: what the guest writes to port 0xf4; 124 time limit reached; 125 vmrun\n"
	"could not do what was asked; 126 the guest died (triple fault, unexpected exit, hang).\n"
	"The man page vmrun(1) has the details.\n";

/* The file stays open and mapped to the end: only the parts that are loaded are ever read. */
static const uint8_t *map_guest(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;
	void *data;

	if (fd < 0)
		fail("%s: %s: give the path of the guest's ELF file", path, strerror(errno));
	if (fstat(fd, &stat) < 0)
		fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		fail("%s: not a regular file: give the guest's ELF file", path);
	*size = (size_t)stat.st_size;
	if (*size == 0)
		return NULL;
	data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		fail("%s: cannot map it: %s", path, strerror(errno));
	return data;
}

/* Loads the guest and what its boot protocol hands over; returns the address of that. */
static uint32_t load_guest(struct vm *vm, const uint8_t *file, size_t size, struct image *image)
{
	const struct options *options = vm->options;
	const char *name = strrchr(options->guest, '/');
	struct message why;
	uint32_t info;
	bool done;

	if (!elf_load(file, size, &vm->ram, image, &why))
		fail("%s: %s", options->guest, why.text);
	acpi_build(&vm->ram, options->smp);
	name = name ? name + 1 : options->guest;
	done = image->protocol == BOOT_PVH
		       ? pvh_build(&vm->ram, options->append, &info, &why)
		       : multiboot_build(&vm->ram, name, options->append, &info, &why);
	if (!done)
		fail("%s", why.text);
	return info;
}

static void *run_secondary(void *argument)
{
	vcpu_run(argument);
}

static __attribute__((noreturn)) void run(struct vm *vm, const struct options *options)
{
	struct image image;
	struct message why;
	size_t size;
	uint32_t info;
	const uint8_t *file = map_guest(options->guest, &size);

	if (options->gmem_2m && !gmem_2m_begin(GMEM_2M_PARAMETER, &why))
		fail("--gmem-2m: %s", why.text);
	vm_create(vm, options);
	info = load_guest(vm, file, size, &image);
	if (options->sev.kind != SEV_NONE)
		sev_launch(vm, file, size, &image, info);
	else
		vcpu_enter(&vm->vcpus[0], &image, info);

	if (options->force_emulation && !emulation_begin(EMULATION_PARAMETER, &why))
		fail("--force-emulation: %s", why.text);
	vm->vcpus[0].thread = pthread_self();
	for (unsigned int id = 1; id < options->smp; id++)
		if (pthread_create(&vm->vcpus[id].thread, NULL, run_secondary, &vm->vcpus[id]) != 0)
			fail("--smp %u: cannot start a thread for vCPU %u", options->smp, id);
	if (options->timeout_ns)
		watchdog_start(vm);
	vcpu_run(&vm->vcpus[0]);
}

/* Everything that runs no guest. */
static int print(enum action action)
{
	if (action == ACTION_PROBE)
		probe();
	else
		fputs(action == ACTION_HELP ? help : version, stdout);
	if (fflush(stdout) != 0)
		fail("cannot write to stdout: %s", strerror(errno));
	return 0;
}

int main(int argc, char **argv)
{
	static struct vm vm;
	struct options options = OPTIONS_DEFAULT;
	struct message why;

	end_start_clock();
	/* A reader of stdout that went away is an error with a message, not a silent death. */
	signal(SIGPIPE, SIG_IGN);
	if (!options_parse(&options, argc, argv, &why))
		fail("%s", why.text);
	if (options.action != ACTION_RUN)
		return print(options.action);
	if (!options_complete(&options, &why))
		fail("%s", why.text);
	run(&vm, &options);
}
