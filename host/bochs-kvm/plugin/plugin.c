// SPDX-License-Identifier: BSD-2-Clause
/*
 * A device of Bochs, by which L1 is given its work, says what came of it, and is saved
 *
 * A shared library that Bochs loads as its plugin "l1" (bochsrc: "plugin_ctrl: l1=1"). Its ports:
 *
 *	L1_PORT_INPUT	reads the next four bytes of the input, file descriptor 3
 *	L1_PORT_LEFT	says how many bytes of it are left
 *	L1_PORT_CONSOLE	writes a byte to the output, file descriptor 4
 *	L1_PORT_IDLE	says that L1 has nothing to do. When it has said so for a while the machine is
 *			saved into the current folder, and Bochs ends
 *	L1_PORT_EXIT	ends Bochs as QEMU's isa-debug-exit would, with (value << 1) | 1; but for the 0, which
 *			could not be told from an error of Bochs
 *
 * The input is the kernel while a snapshot is made, for the loader (pack/loader.S), and the mailbox in a
 * restored machine. The loader runs whenever the machine is reset; when it finds nothing left, the kernel
 * was there already, and Bochs ends with PLUGIN_RESET.
 *
 * A save is made in the middle of an instruction, OUT, of which nothing is left to do: the restored machine
 * goes on behind it.
 *
 * It also mends an error of the CPU model: see unmask_interrupts().
 *
 * What is used of Bochs is what its own plugins use, and two methods: a save has no other way in than a
 * button of its window. The structures are not declared here, for Bochs's headers are in no package.
 * Source: Bochs 3.0, plugin.h, plugin.cc, iodev/iodev.h, gui/siminterface.cc, pc_system.h, cpu/cpu.h.
 */
#include "plugin.h"

#include <nested/mailbox.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often L1 says that it is idle, in steps of some 0.5 ms, before it is saved. */
#define IDLE_ENOUGH 1000

/* Of plugin.h and extplugin.h */
enum { PLUGIN_FINI, PLUGIN_INIT, PLUGIN_PROBE, PLUGIN_FLAGS };
#define PLUGTYPE_OPTIONAL 4
#define IO_LENGTHS	  (1 | 2 | 4)

typedef uint32_t read_handler(void *device, uint32_t port, unsigned int length);
typedef void write_handler(void *device, uint32_t port, uint32_t value, unsigned int length);

extern int (*pluginRegisterIOReadHandler)(void *device, read_handler *handler, unsigned int port,
					  const char *name, uint8_t lengths);
extern int (*pluginRegisterIOWriteHandler)(void *device, write_handler *handler, unsigned int port,
					   const char *name, uint8_t lengths);
extern void pluginRegisterDeviceDevmodel(void *plugin, uint16_t type, void *device,
					 const char *name);

/* The simulator, and bx_real_sim_c::save_state(const char *) by the name that C++ gives it. */
extern void *SIM;
extern bool save_state(void *sim, const char *folder) __asm__("_ZN13bx_real_sim_c10save_stateEPKc");

/* Its clock, and bx_pc_system_c::register_timer(); its CPUs, and BX_CPU_C::handleInterruptMaskChange(). */
extern char bx_pc_system;
extern int
register_timer(void *clock, void *device, void (*handler)(void *device), uint32_t microseconds,
	       bool continuous, bool active,
	       const char *name) __asm__("_ZN14bx_pc_system_c14register_timerEPvPFvS0_EjbbPKc");
extern void **bx_cpu_array;
extern void set_interrupt_mask(void *cpu) __asm__("_ZN8BX_CPU_C25handleInterruptMaskChangeEv");

static const char name[] = "l1";

static const uint32_t *input;
static uint32_t input_left;

static char output[4096];
static size_t output_size;

static void flush_output(void)
{
	const char *from = output;

	while (output_size) {
		ssize_t written = write(FD_OUTPUT, from, output_size);

		if (written < 0)
			_exit(PLUGIN_OUTPUT_LOST);
		from += written;
		output_size -= written;
	}
}

static void put(char byte)
{
	output[output_size++] = byte;
	if (byte == '\n' || output_size == sizeof(output))
		flush_output();
}

__attribute__((noreturn)) static void end(int status)
{
	flush_output();
	/* Bochs would ask its devices to end in order, in the middle of an instruction of its CPU. */
	_exit(status);
}

static void save_when_idle(void)
{
	static unsigned int times;

	if (++times == IDLE_ENOUGH)
		end(save_state(SIM, ".") ? PLUGIN_SAVED : PLUGIN_NOT_SAVED);
}

static uint32_t read_port(void *device, uint32_t port, unsigned int length)
{
	(void)device;
	(void)length;
	if (port == L1_PORT_LEFT)
		return input_left;
	if (!input_left)
		end(PLUGIN_RESET);
	input_left -= sizeof(*input);
	return *input++;
}

static void write_port(void *device, uint32_t port, uint32_t value, unsigned int length)
{
	(void)device;
	(void)length;
	if (port == L1_PORT_CONSOLE)
		put(value);
	else if (port == L1_PORT_EXIT)
		end(value ? (value << 1 | 1) & 255 : PLUGIN_L1_FAILED);
	else
		save_when_idle();
}

/*
 * With "external-interrupt exiting" an interrupt leaves the guest whatever its EFLAGS.IF (Intel SDM volume 3,
 * "Other Causes of VM Exits"). Bochs computes what is masked during VM entry, before it counts itself as in
 * the guest (cpu/vmx.cc, VMLAUNCH): a guest that is entered with IF = 0, and neither sets it nor exits, would
 * have L1's CPU for itself for ever. Computed once more a little later, it is right.
 */
static void unmask_interrupts(void *device)
{
	(void)device;
	set_interrupt_mask(bx_cpu_array[0]);
}

#define UNMASK_INTERVAL 250 /* microseconds */

/* Bochs calls this when it has set up its table of ports. */
static void init(void *device)
{
	static const uint16_t read_ports[] = { L1_PORT_INPUT, L1_PORT_LEFT };
	static const uint16_t write_ports[] = { L1_PORT_CONSOLE, L1_PORT_EXIT, L1_PORT_IDLE };
	struct stat stat;

	for (unsigned int i = 0; i < sizeof(read_ports) / sizeof(*read_ports); i++)
		pluginRegisterIOReadHandler(device, read_port, read_ports[i], name, IO_LENGTHS);
	for (unsigned int i = 0; i < sizeof(write_ports) / sizeof(*write_ports); i++)
		pluginRegisterIOWriteHandler(device, write_port, write_ports[i], name, IO_LENGTHS);
	register_timer(&bx_pc_system, device, unmask_interrupts, UNMASK_INTERVAL, true, true, name);
	if (fstat(FD_INPUT, &stat))
		_exit(PLUGIN_NO_INPUT);
	input_left = stat.st_size & -sizeof(*input);
	input = mmap(NULL, input_left, PROT_READ, MAP_PRIVATE, FD_INPUT, 0);
	if (input == MAP_FAILED)
		_exit(PLUGIN_NO_INPUT);
}

static void nothing(void *device)
{
	(void)device;
}

/*
 * An object of the class bx_devmodel_c, of which Bochs calls the virtual methods and leaves the rest to the
 * device. They are in the order of their declaration (Itanium C++ ABI): two for the destructor, init, reset,
 * register_state, after_restore_state, debug_dump.
 */
static void (*const methods[])(void *device) = {
	nothing, nothing, init, nothing, nothing, nothing, nothing,
};

static struct {
	void (*const *methods)(void *device);
} device = { methods };

/* Found by its name, lib, the plugin's, and _plugin_entry. */
int libl1_plugin_entry(void *plugin, uint16_t type, uint8_t mode);

int libl1_plugin_entry(void *plugin, uint16_t type, uint8_t mode)
{
	if (mode == PLUGIN_INIT)
		pluginRegisterDeviceDevmodel(plugin, type, &device, name);
	return mode == PLUGIN_PROBE ? PLUGTYPE_OPTIONAL : 0;
}
