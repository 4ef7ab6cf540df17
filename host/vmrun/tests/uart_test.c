// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun's 16550A: what drivers probe, and the transmitter's interrupt
 *
 * Texas Instruments PC16550D data sheet; the probing is Linux' (drivers/tty/serial/8250,
 * autoconfig).
 */
#include <test/test.h>

#include "../uart.h"

#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

TEST("a byte written to the transmitter goes to the line, and it is ready at once")
{
	struct uart uart = { 0 };

	EXPECT_EQ(uart_read(&uart, LSR), 0x60);
	EXPECT_TRUE(uart_write(&uart, THR, 'x'));
	EXPECT_EQ(uart_read(&uart, LSR), 0x60);
}

TEST("with DLAB set the divisor is behind registers 0 and 1, and nothing is sent")
{
	struct uart uart = { 0 };

	EXPECT_FALSE(uart_write(&uart, LCR, 0x83));
	EXPECT_FALSE(uart_write(&uart, 0, 0x12));
	EXPECT_FALSE(uart_write(&uart, 1, 0x34));
	EXPECT_EQ(uart_read(&uart, 0), 0x12);
	EXPECT_EQ(uart_read(&uart, 1), 0x34);
	uart_write(&uart, LCR, 3);
	EXPECT_EQ(uart_read(&uart, LCR), 3);
	EXPECT_EQ(uart_read(&uart, 0), 0, "nothing was received");
	EXPECT_EQ(uart_read(&uart, IER), 0);
}

TEST("it is a 16550A: the FIFO shows in IIR once enabled, and the scratch register holds")
{
	struct uart uart = { 0 };

	EXPECT_EQ(uart_read(&uart, IIR), 0x01);
	uart_write(&uart, FCR, 1);
	EXPECT_EQ(uart_read(&uart, IIR), 0xc1);
	uart_write(&uart, FCR, 0);
	EXPECT_EQ(uart_read(&uart, IIR), 0x01);
	uart_write(&uart, SCR, 0xa5);
	EXPECT_EQ(uart_read(&uart, SCR), 0xa5);
	uart_write(&uart, IER, 0xff);
	EXPECT_EQ(uart_read(&uart, IER), 0x0f);
}

TEST("loopback connects the modem's outputs to its inputs, and keeps bytes off the line")
{
	struct uart uart = { 0 };

	EXPECT_EQ(uart_read(&uart, MSR) & 0xf0, 0xb0, "a modem that is there");
	uart_write(&uart, MCR, 0x1a);
	EXPECT_EQ(uart_read(&uart, MSR) & 0xf0, 0x90);
	uart_write(&uart, MCR, 0x15);
	EXPECT_EQ(uart_read(&uart, MSR) & 0xf0, 0x60);
	EXPECT_FALSE(uart_write(&uart, THR, 'x'));
}

TEST("the empty transmitter interrupts when enabled, until IIR is read, and after each byte")
{
	struct uart uart = { 0 };

	uart_write(&uart, MCR, 0x08);
	EXPECT_FALSE(uart_interrupt(&uart));
	uart_write(&uart, IER, 0x02);
	EXPECT_TRUE(uart_interrupt(&uart));
	EXPECT_EQ(uart_read(&uart, IIR), 0x02);
	EXPECT_FALSE(uart_interrupt(&uart));
	EXPECT_EQ(uart_read(&uart, IIR), 0x01);
	uart_write(&uart, THR, 'x');
	EXPECT_TRUE(uart_interrupt(&uart));
	uart_write(&uart, IER, 0x00);
	EXPECT_FALSE(uart_interrupt(&uart));
}

TEST("the interrupt needs OUT2")
{
	struct uart uart = { 0 };

	uart_write(&uart, IER, 0x02);
	EXPECT_FALSE(uart_interrupt(&uart));
	uart_write(&uart, MCR, 0x08);
	EXPECT_TRUE(uart_interrupt(&uart));
}
