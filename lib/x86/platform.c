// SPDX-License-Identifier: BSD-2-Clause
#include <x86/platform.h>

#include <libc/format.h>
#include <vmrun/abi.h>
#include <x86/io.h>

void platform_exit(uint8_t status)
{
	console_drain();
	outb(VMRUN_PORT_EXIT, status);
	for (;;)
		asm volatile("cli\n"
			     "hlt");
}

void platform_panic(const char *format, ...)
{
	static const char prefix[] = "# panic: ";
	char line[256];
	size_t length = format_text(line, sizeof(line), prefix);
	va_list list;

	va_start(list, format);
	length += format_text_v(line + length, sizeof(line) - length, format, list);
	va_end(list);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	console_write(line, length);
	platform_exit(PLATFORM_PANIC);
}
