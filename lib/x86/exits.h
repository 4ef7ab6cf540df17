/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that a hypervisor carries out by emulation, in the forms that it must tell apart
 *
 * The register that they write begins as a pattern, so that what stays of it is seen.
 */
#ifndef X86_EXITS_H
#define X86_EXITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXITS_PATTERN 0x1122334455667788ull

/* REP INS and REP OUTS; "down" is with the direction flag set. What is left in RSI or RDI and RCX. */
struct string_end {
	uintptr_t pointer;
	size_t count;
};

#define STRING_IO(name, instruction, constraint)                                          \
	static inline struct string_end name(uint16_t port, const void *at, size_t count, \
					     bool down)                                   \
	{                                                                                 \
		struct string_end end = { (uintptr_t)at, count };                         \
                                                                                          \
		if (down)                                                                 \
			asm volatile("std\n"                                              \
				     "rep " instruction "\n"                              \
				     "cld"                                                \
				     : constraint(end.pointer), "+c"(end.count)           \
				     : "d"(port)                                          \
				     : "memory");                                         \
		else                                                                      \
			asm volatile("rep " instruction                                   \
				     : constraint(end.pointer), "+c"(end.count)           \
				     : "d"(port)                                          \
				     : "memory");                                         \
		return end;                                                               \
	}

STRING_IO(rep_insb, "insb", "+D")
STRING_IO(rep_insl, "insl", "+D")
STRING_IO(rep_outsb, "outsb", "+S")
STRING_IO(rep_outsl, "outsl", "+S")

/* Without REP: one element, whatever RCX is. */
static inline struct string_end one_outsb(uint16_t port, const void *at, size_t count)
{
	struct string_end end = { (uintptr_t)at, count };

	asm volatile("outsb" : "+S"(end.pointer), "+c"(end.count) : "d"(port) : "memory");
	return end;
}

#ifdef __x86_64__

/* IN into a part of RAX. */
#define IN_RAX(name, instruction)                                             \
	static inline uint64_t name(uint16_t port)                            \
	{                                                                     \
		uint64_t rax = EXITS_PATTERN;                                 \
                                                                              \
		asm volatile(instruction : "+a"(rax) : "d"(port) : "memory"); \
		return rax;                                                   \
	}

IN_RAX(in_al, "inb %%dx, %%al")
IN_RAX(in_eax, "inl %%dx, %%eax")
IN_RAX(in_al_pic, "inb $0x21, %%al")

/* A load from "at" into a part of a register. */
#define LOAD(name, instruction)                                                         \
	static inline uint64_t name(const volatile void *at)                            \
	{                                                                               \
		uint64_t value = EXITS_PATTERN;                                         \
                                                                                        \
		asm volatile(instruction : "+a"(value) : "b"(at), "c"(2ul) : "memory"); \
		return value;                                                           \
	}

LOAD(load_al, "movb (%%rbx), %%al")
LOAD(load_ah, "movb (%%rbx), %%ah")
LOAD(load_ax, "movw (%%rbx), %%ax")
LOAD(load_eax, "movl (%%rbx), %%eax")
LOAD(load_rax, "movq (%%rbx), %%rax")
LOAD(load_zx_byte, "movzbl (%%rbx), %%eax")
LOAD(load_zx_word, "movzwq (%%rbx), %%rax")
LOAD(load_sx_byte_word, "movsbw (%%rbx), %%ax")
LOAD(load_sx_byte, "movsbl (%%rbx), %%eax")
LOAD(load_sx_word, "movswq (%%rbx), %%rax")
/* The same address by all parts that an address has. */
LOAD(load_disp8, "subq $0x40, %%rbx\n movl 0x40(%%rbx), %%eax\n addq $0x40, %%rbx")
LOAD(load_disp32, "subq $0x4000, %%rbx\n movl 0x4000(%%rbx), %%eax\n addq $0x4000, %%rbx")
LOAD(load_sib, "subq $0x18, %%rbx\n movl 8(%%rbx, %%rcx, 8), %%eax\n addq $0x18, %%rbx")

/* A store to "at" from a part of a register, or of an immediate. */
#define STORE(name, instruction)                                            \
	static inline void name(volatile void *at, uint64_t value)          \
	{                                                                   \
		asm volatile(instruction ::"b"(at), "a"(value) : "memory"); \
	}

STORE(store_al, "movb %%al, (%%rbx)")
STORE(store_ah, "movb %%ah, (%%rbx)")
STORE(store_ax, "movw %%ax, (%%rbx)")
STORE(store_eax, "movl %%eax, (%%rbx)")
STORE(store_rax, "movq %%rax, (%%rbx)")

/* The value is a constant. */
#define store_immediate_8(at, value)  asm volatile("movb %0, (%1)" ::"i"(value), "b"(at) : "memory")
#define store_immediate_32(at, value) asm volatile("movl %0, (%1)" ::"i"(value), "b"(at) : "memory")

/* By registers that take a REX prefix. */
static inline uint32_t load_extended(const volatile void *at)
{
	uint32_t value;

	asm volatile("movq %1, %%r13\n"
		     "movl (%%r13), %%r9d\n"
		     "movl %%r9d, %0"
		     : "=r"(value)
		     : "r"(at)
		     : "r9", "r13", "memory");
	return value;
}

static inline uint64_t rep_movsl(volatile void *to, const volatile void *from, uint64_t count)
{
	asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count)::"memory");
	return count;
}

static inline uint64_t rep_stosl(volatile void *to, uint32_t value, uint64_t count)
{
	asm volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
	return count;
}
#endif

static inline void monitor(const void *at)
{
	asm volatile("monitor" ::"a"(at), "c"(0), "d"(0) : "memory");
}

static inline void mwait(void)
{
	asm volatile("mwait" ::"a"(0), "c"(0) : "memory");
}

#endif
