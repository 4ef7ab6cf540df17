/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mailbox: how a restored L1 learns what to run
 *
 * It is empty while the snapshot is taken; a restored machine finds in it the files it is to create and
 * the command it is to run. What it costs L1 is a copy: no block layer, no driver, no interrupt.
 *
 * In QEMU it is a piece of memory that is mapped from a file (ivshmem, BAR 2). In Bochs it comes out of
 * ports (host/bochs-kvm/plugin/plugin.c), four bytes at a time: L1_PORT_LEFT says how many bytes are still
 * to be read from L1_PORT_INPUT. What is written to L1_PORT_IDLE does not matter: it says that L1 has
 * nothing to do.
 *
 * Layout: struct mailbox, then at the offsets it names the files' contents and the argument vector
 * (NUL-terminated strings, one after the other). All little-endian, all checked by L1 before use.
 *
 * The way back: what the command writes to stdout and stderr goes to port 0xe9 (isa-debugcon), its
 * exit status to port 0xf4 (isa-debug-exit), which ends the machine. QEMU makes (v << 1) | 1 of a
 * value v written there, and ends with 1 when it cannot start at all; so v is the status plus one,
 * modulo 128, and "QEMU failed" is the same as MAILBOX_FAILED.
 */
#ifndef NESTED_MAILBOX_H
#define NESTED_MAILBOX_H

#include <stdint.h>

#define MAILBOX_SIZE	  (32U << 20) /* as in machine.sh */
#define MAILBOX_MAGIC	  0x31696261766d780aULL
#define MAILBOX_FILES	  16
#define MAILBOX_NAME	  64
#define MAILBOX_ARGUMENTS 64

#define L1_PORT_CONSOLE	  0xe9
#define L1_PORT_EXIT	  0xf4
#define L1_PORT_INPUT	  0x5a0
#define L1_PORT_LEFT	  0x5a4
#define L1_PORT_IDLE	  0x5a8

/* Above what a command may end with: it ran, or was to run, and no result of it is to be had. */
#define MAILBOX_FAILED 127

/* What L1 prints, on a line of its own, when it waits for the mailbox to fill. */
#define L1_READY "l1-ready"

struct mailbox_file {
	char name
		[MAILBOX_NAME]; /* without a slash; it is created in L1's root folder, executable */
	uint64_t offset;
	uint64_t size;
};

struct mailbox {
	uint64_t magic;
	uint32_t file_count;
	uint32_t argument_count;
	uint64_t arguments_offset;
	uint64_t arguments_size;
	struct mailbox_file files[MAILBOX_FILES];
};

#endif
