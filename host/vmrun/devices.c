// SPDX-License-Identifier: BSD-2-Clause
#include "devices.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vmrun/abi.h>

#include "end.h"
#include "memory.h"
#include "say.h"
#include "uart.h"
#include "vcpu.h"
#include "vm.h"

#define COM1	 0x3f8
#define COM1_IRQ 4

/* Guards COM1 and keeps what one exit brings in one piece. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct uart com1;
static bool com1_interrupt;
static bool output_seen;

static void write_all(const struct vm *vm, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, data, size);

		if (written >= 0) {
			data += written;
			size -= (size_t)written;
		} else if (errno == EAGAIN) {
			struct pollfd ready = { .fd = STDOUT_FILENO, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (errno != EINTR && end_claim()) {
			say("cannot write the guest's console to stdout: %s", strerror(errno));
			end_now(vm, STATUS_FAILED);
		} else if (errno != EINTR) {
			return; /* another thread ends vmrun already */
		}
	}
	if (!output_seen) {
		output_seen = true;
		end_note_output();
	}
}

static bool in_com1(uint32_t port)
{
	return port >= COM1 && port < COM1 + 8;
}

/* Brings the line to KVM's interrupt controllers, but only when it changes: that is a system call. */
static void update_interrupt(const struct vm *vm)
{
	bool now = uart_interrupt(&com1);
	struct kvm_irq_level level = { .irq = COM1_IRQ, .level = now };

	if (now != com1_interrupt && ioctl(vm->fd, KVM_IRQ_LINE, &level) == 0)
		com1_interrupt = now;
}

static uint8_t read_port(uint32_t port)
{
	if (port >= VMRUN_PORT_TEXT && port < VMRUN_PORT_TEXT + sizeof(uint32_t))
		return (uint8_t)(VMRUN_TEXT_MAGIC >> 8 * (port - VMRUN_PORT_TEXT));
	if (port >= VMRUN_PORT_REQUEST && port < VMRUN_PORT_REQUEST + sizeof(uint32_t))
		return (uint8_t)(VMRUN_REQUEST_MAGIC >> 8 * (port - VMRUN_PORT_REQUEST));
	if (in_com1(port))
		return uart_read(&com1, port - COM1);
	if (port == VMRUN_PORT_CONSOLE)
		return VMRUN_PORT_CONSOLE;
	return 0xff;
}

/*
 * The text whose guest-physical address was written to the text port. Its size is read once: another
 * vCPU may change it at any time.
 */
static void write_text(const struct vm *vm, uint32_t address)
{
	const volatile struct vmrun_text *text = memory_at(vm, address, sizeof(*text));
	uint32_t size = text ? text->size : 0;
	const uint8_t *bytes = text ? memory_at(vm, address + sizeof(*text), size) : NULL;

	if (bytes) {
		write_all(vm, bytes, size);
	} else if (end_claim()) {
		say("the guest's text at 0x%x is not in its RAM", address);
		end_now(vm, STATUS_DIED);
	}
}

/* Returns whether the byte goes to the console. */
static bool write_port(uint32_t port, uint8_t value)
{
	if (in_com1(port))
		return uart_write(&com1, port - COM1, value);
	return port == VMRUN_PORT_CONSOLE;
}

static void lock_devices(struct vcpu *vcpu)
{
	atomic_store(&vcpu->in_console, true);
	pthread_mutex_lock(&lock);
}

static void unlock_devices(struct vcpu *vcpu)
{
	update_interrupt(vcpu->vm);
	pthread_mutex_unlock(&lock);
	atomic_store(&vcpu->in_console, false);
}

/* A wide access is one of its bytes after the other at ascending ports, as on the ISA bus. */
void devices_in(struct vcpu *vcpu, const struct io *io)
{
	uint8_t *data = io->data;

	lock_devices(vcpu);
	for (unsigned int i = 0; i < io->count; i++)
		for (unsigned int byte = 0; byte < io->size; byte++)
			*data++ = read_port((uint32_t)io->port + byte);
	unlock_devices(vcpu);
}

bool devices_out(struct vcpu *vcpu, const struct io *io)
{
	const uint8_t *data = io->data;
	uint8_t *output = io->data; /* what goes to the console is gathered in place */

	if (io->port == VMRUN_PORT_EXIT)
		return true;
	lock_devices(vcpu);
	if (io->port == VMRUN_PORT_TEXT && io->size == sizeof(uint32_t)) {
		uint32_t address;

		memcpy(&address, io->data, sizeof(address));
		write_text(vcpu->vm, address);
		unlock_devices(vcpu);
		return false;
	}
	for (unsigned int i = 0; i < io->count; i++) {
		for (unsigned int byte = 0; byte < io->size; byte++, data++)
			if (write_port((uint32_t)io->port + byte, *data))
				*output++ = *data;
	}
	if (output > io->data)
		write_all(vcpu->vm, io->data, (size_t)(output - io->data));
	unlock_devices(vcpu);
	return false;
}
