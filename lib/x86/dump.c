// SPDX-License-Identifier: BSD-2-Clause
/*
 * What is said of an exception that nobody expects
 */
#include <libc/array.h>
#include <libc/format.h>
#include <test/report.h>
#include <test/text.h>
#include <x86/cpu.h>
#include <x86/exception.h>
#include <x86/memory.h>
#include <x86/platform.h>
#include <x86/registers.h>
#include <x86/symbols.h>

#define DUMP_SIZE	2048
#define BACKTRACE_DEPTH 16
#define IDENTITY_END	0x80000000ul

static void add_address(struct text *text, const char *prefix, uintptr_t address)
{
	char symbol[128];

	symbol_format(symbol, sizeof(symbol), address);
	text_add(text, "%s%s\n", prefix, symbol);
}

static void add_page_fault(struct text *text, uint32_t code)
{
	static const struct {
		uint32_t bit;
		const char *set, *clear;
	} bits[] = {
		{ PF_PRESENT, "protection", "not present" }, { PF_WRITE, "write", "read" },
		{ PF_USER, "user", "supervisor" },	     { PF_RESERVED, "reserved bit", NULL },
		{ PF_FETCH, "instruction fetch", NULL },     { PF_KEY, "protection key", NULL },
		{ PF_SHADOW_STACK, "shadow stack", NULL },
	};
	const char *separator = " (";

	for (unsigned int i = 0; i < COUNT_OF(bits); i++) {
		const char *name = code & bits[i].bit ? bits[i].set : bits[i].clear;

		if (!name)
			continue;
		text_add(text, "%s%s", separator, name);
		separator = ", ";
	}
	text_add(text, "), address 0x%lx", (unsigned long)read_cr2());
}

static void add_selector(struct text *text, uint32_t code)
{
	const char *table = code & SELECTOR_IDT ? "IDT" : code & 4 ? "LDT" : "GDT";

	text_add(text, " (%s entry %u%s)", table, code >> 3,
		 code & SELECTOR_EXTERNAL ? ", external" : "");
}

static void add_headline(struct text *text, const struct x86_frame *frame)
{
	text_add(text, "unexpected %s, vector %u, error code 0x%x", fault_name(frame->vector),
		 (unsigned int)frame->vector, (unsigned int)frame->error_code);
	if (frame->vector == PF)
		add_page_fault(text, frame->error_code);
	else if (frame->vector >= TS && frame->vector <= GP && frame->error_code)
		add_selector(text, frame->error_code);
	text_add(text, ", on CPU %u at CPL %u\n", cpu_id(), (unsigned int)frame->cs & 3);
}

#ifdef __x86_64__
static void add_registers(struct text *text, const struct x86_frame *f)
{
	text_add(text, "cs:rip %04lx:%016lx  ss:rsp %04lx:%016lx  rflags %08lx\n", f->cs, f->ip,
		 f->ss, f->sp, f->flags);
	text_add(text, "rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", f->ax, f->bx, f->cx,
		 f->dx);
	text_add(text, "rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx\n", f->si, f->di, f->bp,
		 f->r8);
	text_add(text, "r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx\n", f->r9, f->r10, f->r11,
		 f->r12);
	text_add(text, "r13 %016lx  r14 %016lx  r15 %016lx  cr8 %lx\n", f->r13, f->r14, f->r15,
		 read_cr8());
}
#else
static void add_registers(struct text *text, const struct x86_frame *f)
{
	text_add(text, "cs:eip %04x:%08x  esp %08lx  eflags %08x\n", f->cs, f->ip,
		 (unsigned long)frame_sp(f), f->flags);
	text_add(text, "eax %08x  ebx %08x  ecx %08x  edx %08x\n", f->ax, f->bx, f->cx, f->dx);
	text_add(text, "esi %08x  edi %08x  ebp %08x\n", f->si, f->di, f->bp);
	text_add(text, "ds %04x  es %04x  fs %04x  gs %04x\n", f->ds, f->es, f->fs, f->gs);
}
#endif

static void add_control_registers(struct text *text)
{
	text_add(text, "cr0 %08lx  cr2 %0*lx  cr3 %08lx  cr4 %08lx\n", (unsigned long)read_cr0(),
		 (int)sizeof(uintptr_t) * 2, (unsigned long)read_cr2(), (unsigned long)read_cr3(),
		 (unsigned long)read_cr4());
}

/* Frame pointers: each points at the caller's, with the return address above it. */
static void add_backtrace(struct text *text, const struct x86_frame *frame)
{
	const uintptr_t *at = (const uintptr_t *)(uintptr_t)frame->bp;

	text_add(text, "backtrace:\n");
	add_address(text, "  ", frame->ip);
	for (unsigned int depth = 0; depth < BACKTRACE_DEPTH; depth++) {
		const uintptr_t *caller;

		if ((uintptr_t)at % sizeof(*at) || !memory_is_ram((uintptr_t)at, 2 * sizeof(*at)) ||
		    (uintptr_t)at >= IDENTITY_END || !at[1])
			break;
		add_address(text, "  ", at[1]);
		caller = (const uintptr_t *)at[0];
		if (caller <= at)
			break;
		at = caller;
	}
}

/* No TAP point is there to carry it: as comments, and the guest ends. */
static void __attribute__((noreturn)) die(char *dump)
{
	char line[160];

	while (*dump) {
		size_t length = 0;

		while (dump[length] && dump[length] != '\n')
			length++;
		console_write(line, format_text(line, sizeof(line), "# %.*s\n",
						(int)length < 150 ? (int)length : 150, dump));
		dump += length + (dump[length] == '\n');
	}
	platform_exit(PLATFORM_EXCEPTION);
}

void exception_unexpected(struct x86_frame *frame)
{
	struct cpu *cpu = this_cpu();
	const struct test_site site = test_point_site();
	char dump[DUMP_SIZE];
	struct text text = { .buffer = dump, .size = sizeof(dump) };

	if (cpu->in_dump)
		platform_panic("exception %u at 0x%lx while another was reported",
			       (unsigned int)frame->vector, (unsigned long)frame->ip);
	cpu->in_dump = true;
	add_headline(&text, frame);
	add_registers(&text, frame);
	add_control_registers(&text);
	add_backtrace(&text, frame);
	if (!cpu->abort)
		die(dump);
	test_fail(&site, "%s", dump);
	cpu->in_dump = false;
	frame_unwind(frame, cpu->abort);
}
