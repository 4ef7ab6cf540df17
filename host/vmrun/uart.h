/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a 16550A whose transmitter is always ready and whose line is silent
 *
 * Enough for a polling guest and for Linux' 8250 driver: its probing (scratch register, FIFO,
 * loopback of the modem lines) and the interrupt of an empty transmitter.
 */
#ifndef VMRUN_UART_H
#define VMRUN_UART_H

#include <stdbool.h>
#include <stdint.h>

struct uart {
	uint8_t ier, lcr, mcr, scratch, dll, dlm;
	bool fifo;
	bool empty_pending; /* the transmitter's interrupt awaits its acknowledgement */
};

/* The register numbers are offsets from the base port: 0 to 7. */
uint8_t uart_read(struct uart *uart, unsigned int reg);

/* Returns whether the value is a byte for the line, which the caller sends. */
bool uart_write(struct uart *uart, unsigned int reg, uint8_t value);

/* Whether the interrupt line is up now. */
bool uart_interrupt(const struct uart *uart);

#endif
