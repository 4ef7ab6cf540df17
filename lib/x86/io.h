/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port I/O, one instruction each
 */
#ifndef X86_IO_H
#define X86_IO_H

#include <stddef.h>
#include <stdint.h>

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t value;

	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

/* All bytes by one REP OUTSB: one vmexit, whatever their number, where the host can do that. */
static inline void outsb(uint16_t port, const void *bytes, size_t count)
{
	asm volatile("rep outsb" : "+S"(bytes), "+c"(count) : "d"(port) : "memory");
}

#endif
