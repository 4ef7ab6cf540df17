// SPDX-License-Identifier: BSD-2-Clause
/*
 * The console: vmrun's text port where there is one, else port 0xe9 where it answers (QEMU's
 * isa-debugcon, Bochs), else the console of a Xen that has one for its domain, else COM1
 *
 * What is written in one call goes out by as few vmexits as can be: one at the text port; one at
 * port 0xe9 and one for each 16 bytes at COM1 where the hypervisor takes a REP OUTSB as a whole.
 * KVM does not, and in a nested VM an exit for each byte would make a line of TAP cost 15 ms. In an
 * SEV-ES guest it does, by the GHCB's buffer, while the text port would need shared memory.
 */
#include <libc/string.h>
#include <sev/sev.h>
#include <vmrun/abi.h>
#include <x86/io.h>
#include <x86/platform.h>
#include <xen/domain.h>

#define PORT_DEBUG  VMRUN_PORT_CONSOLE
#define DEBUG_THERE VMRUN_PORT_CONSOLE /* what the port reads, if it is one */

/* A 16550A: its data sheet (Texas Instruments PC16550D), section 8. */
#define PORT_COM1      0x3f8
#define COM1_DATA      (PORT_COM1 + 0)
#define COM1_IER       (PORT_COM1 + 1)
#define COM1_DIVISOR   (PORT_COM1 + 0) /* with LCR_DLAB */
#define COM1_DIVISOR_H (PORT_COM1 + 1)
#define COM1_FCR       (PORT_COM1 + 2)
#define COM1_LCR       (PORT_COM1 + 3)
#define COM1_MCR       (PORT_COM1 + 4)
#define COM1_LSR       (PORT_COM1 + 5)
#define LCR_8N1	       0x03
#define LCR_DLAB       0x80
#define FCR_ENABLE     0x07 /* both FIFOs on and empty */
#define MCR_READY      0x03 /* DTR, RTS */
#define LSR_THRE       0x20 /* the transmit FIFO is empty */
#define LSR_IDLE       0x60 /* and so is the shift register */
#define FIFO_SIZE      16

/* At 115200 baud a full FIFO is out in 1.4 ms: no host needs so many reads for that. */
#define LSR_READS 1000000

#define TEXT_SIZE 1024

static enum { UNKNOWN, TEXT, DEBUG, XEN, COM1 } console;

static void com1_init(void)
{
	outb(COM1_IER, 0);
	outb(COM1_LCR, LCR_DLAB);
	outb(COM1_DIVISOR, 1);
	outb(COM1_DIVISOR_H, 0);
	outb(COM1_LCR, LCR_8N1);
	outb(COM1_FCR, FCR_ENABLE);
	outb(COM1_MCR, MCR_READY);
}

static void find_console(void)
{
	if (!sev_active() && inl(VMRUN_PORT_TEXT) == VMRUN_TEXT_MAGIC) {
		console = TEXT;
	} else if (inb(PORT_DEBUG) == DEBUG_THERE) {
		console = DEBUG;
	} else if (xen_domain_find()) {
		console = XEN;
	} else {
		com1_init();
		console = COM1;
	}
}

static void com1_wait(uint8_t bits)
{
	for (unsigned int reads = 0; reads < LSR_READS; reads++)
		if ((inb(COM1_LSR) & bits) == bits)
			return;
}

static void com1_write(const char *text, size_t size)
{
	while (size) {
		size_t part = size < FIFO_SIZE ? size : FIFO_SIZE;

		com1_wait(LSR_THRE);
		outsb(COM1_DATA, text, part);
		text += part;
		size -= part;
	}
}

/* The stack is memory like any other, and needs no lock against other CPUs. */
static void text_write(const char *text, size_t size)
{
	union {
		struct vmrun_text text;
		char room[sizeof(struct vmrun_text) + TEXT_SIZE];
	} message;

	while (size) {
		size_t part = size < TEXT_SIZE ? size : TEXT_SIZE;

		message.text.size = part;
		memcpy(message.text.bytes, text, part);
		outl(VMRUN_PORT_TEXT, (uintptr_t)&message);
		text += part;
		size -= part;
	}
}

void console_write(const char *text, size_t size)
{
	if (console == UNKNOWN)
		find_console();
	if (console == TEXT)
		text_write(text, size);
	else if (console == DEBUG)
		outsb(PORT_DEBUG, text, size);
	else if (console == XEN)
		xen_domain_write(text, size);
	else
		com1_write(text, size);
}

void console_drain(void)
{
	if (console == COM1)
		com1_wait(LSR_IDLE);
}
