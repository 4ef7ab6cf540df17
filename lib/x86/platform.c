// SPDX-License-Identifier: BSD-2-Clause
#include <x86/platform.h>

#include <libc/format.h>
#include <sev/sev.h>
#include <vmrun/abi.h>
#include <x86/io.h>
#include <xen/domain.h>

/*
 * Bochs has nothing at port 0xf4. What is written to the info port of its BIOS, and ended at the panic port,
 * is a line in its log (iodev/biosdev.cc). No other host comes so far.
 */
#define PORT_BIOS_PANIC 0x401
#define PORT_BIOS_INFO	0x402

static void end_in_bochs(uint8_t status)
{
	char line[32];

	outsb(PORT_BIOS_INFO, line, format_text(line, sizeof(line), "vmabi: status %u", status));
	outb(PORT_BIOS_PANIC, 1);
}

void platform_exit(uint8_t status)
{
	console_drain();
	outb(VMRUN_PORT_EXIT, status);
	xen_domain_exit(status);
	end_in_bochs(status);
	for (;;)
		asm volatile("cli\n"
			     "hlt");
}

/* To say why may itself have gone wrong: in an encrypted guest the console takes #VC and a GHCB. */
static void panic_once(void)
{
	static bool panicking;

	if (!panicking) {
		panicking = true;
		return;
	}
	if (sev_active())
		sev_terminate(VMRUN_SEV_TERM_PANIC);
	platform_exit(PLATFORM_PANIC);
}

void platform_panic(const char *format, ...)
{
	static const char prefix[] = "# panic: ";
	char line[256];
	size_t length = format_text(line, sizeof(line), prefix);
	va_list list;

	panic_once();
	va_start(list, format);
	length += format_text_v(line + length, sizeof(line) - length, format, list);
	va_end(list);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	console_write(line, length);
	platform_exit(PLATFORM_PANIC);
}
