// SPDX-License-Identifier: BSD-2-Clause
/* Source: Texas Instruments PC16550D data sheet. */
#include "uart.h"

enum { DATA = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCRATCH = 7 };

#define IER_EMPTY    0x02
#define IER_MASK     0x0f
#define IIR_NONE     0x01
#define IIR_EMPTY    0x02
#define IIR_FIFO     0xc0
#define FCR_ENABLE   0x01
#define LCR_DLAB     0x80
#define MCR_DTR	     0x01
#define MCR_RTS	     0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOPBACK 0x10
#define MCR_MASK     0x1f
#define LSR_EMPTY    0x60 /* holding register and transmitter */
#define MSR_CTS	     0x10
#define MSR_DSR	     0x20
#define MSR_RI	     0x40
#define MSR_DCD	     0x80

static uint8_t modem_status(const struct uart *uart)
{
	uint8_t status = 0;

	if (!(uart->mcr & MCR_LOOPBACK))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	if (uart->mcr & MCR_DTR)
		status |= MSR_DSR;
	if (uart->mcr & MCR_RTS)
		status |= MSR_CTS;
	if (uart->mcr & MCR_OUT1)
		status |= MSR_RI;
	if (uart->mcr & MCR_OUT2)
		status |= MSR_DCD;
	return status;
}

/* Reading the identification acknowledges the interrupt that it names. */
static uint8_t identify(struct uart *uart)
{
	uint8_t fifo = uart->fifo ? IIR_FIFO : 0;

	if (!uart->empty_pending || !(uart->ier & IER_EMPTY))
		return fifo | IIR_NONE;
	uart->empty_pending = false;
	return fifo | IIR_EMPTY;
}

uint8_t uart_read(struct uart *uart, unsigned int reg)
{
	bool divisor = uart->lcr & LCR_DLAB;

	switch (reg) {
	case DATA:
		return divisor ? uart->dll : 0;
	case IER:
		return divisor ? uart->dlm : uart->ier;
	case IIR_FCR:
		return identify(uart);
	case LCR:
		return uart->lcr;
	case MCR:
		return uart->mcr;
	case LSR:
		return LSR_EMPTY;
	case MSR:
		return modem_status(uart);
	default:
		return uart->scratch;
	}
}

static bool write_data(struct uart *uart, uint8_t value)
{
	if (uart->lcr & LCR_DLAB) {
		uart->dll = value;
		return false;
	}
	uart->empty_pending = true;
	return !(uart->mcr & MCR_LOOPBACK);
}

static void write_ier(struct uart *uart, uint8_t value)
{
	if (uart->lcr & LCR_DLAB) {
		uart->dlm = value;
		return;
	}
	/* Enabling it while the transmitter is empty, which it always is, raises it at once. */
	if (value & ~uart->ier & IER_EMPTY)
		uart->empty_pending = true;
	uart->ier = value & IER_MASK;
}

bool uart_write(struct uart *uart, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case DATA:
		return write_data(uart, value);
	case IER:
		write_ier(uart, value);
		break;
	case IIR_FCR:
		uart->fifo = value & FCR_ENABLE;
		break;
	case LCR:
		uart->lcr = value;
		break;
	case MCR:
		uart->mcr = value & MCR_MASK;
		break;
	case SCRATCH:
		uart->scratch = value;
		break;
	default: /* the status registers are read-only */
		break;
	}
	return false;
}

bool uart_interrupt(const struct uart *uart)
{
	/* OUT2 connects the interrupt to the bus, as on a PC; loopback takes it off. */
	return uart->empty_pending && (uart->ier & IER_EMPTY) && (uart->mcr & MCR_OUT2) &&
	       !(uart->mcr & MCR_LOOPBACK);
}
