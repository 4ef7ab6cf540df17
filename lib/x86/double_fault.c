// SPDX-License-Identifier: BSD-2-Clause
/*
 * #DF in 32-bit guests: a task of its own, since only a task switch gives it a stack that surely
 * works
 *
 * Intel SDM volume 3, "Task Management". The CPU saves the interrupted registers in the
 * main TSS, and loads them from there when the task ends by IRET.
 */
#ifndef __x86_64__
#include <x86/cpu.h>

void double_fault_dispatch(uint32_t error_code);

/* The main TSS, as a frame and back. */
void double_fault_dispatch(uint32_t error_code)
{
	struct cpu *cpu = this_cpu();
	struct x86_tss *tss = &cpu->tss;
	struct x86_frame frame = {
		.gs = tss->gs,
		.fs = tss->fs,
		.es = tss->es,
		.ds = tss->ds,
		.di = tss->di,
		.si = tss->si,
		.bp = tss->bp,
		.bx = tss->bx,
		.dx = tss->dx,
		.cx = tss->cx,
		.ax = tss->ax,
		.vector = DF,
		.error_code = error_code,
		.ip = tss->ip,
		.cs = tss->cs,
		.flags = tss->flags,
		.sp = tss->sp,
		.ss = tss->ss,
	};

	/* The task switch has set CR0.TS. */
	asm volatile("clts");
	exception_dispatch(&frame);
	tss->ip = frame.ip;
	tss->cs = frame.cs;
	tss->ss = KERNEL_DS;
	tss->ds = frame.ds;
	tss->es = frame.es;
	tss->fs = frame.fs;
	tss->gs = frame.gs;
	tss->flags = frame.flags;
	tss->ax = frame.ax;
	pdptes_clean(cpu->page_table);
	/* A stack that jump_restore() may leave from, wherever the broken one was. */
	tss->sp = cpu_stack(cpu, CPU_FREE_STACK);
}

/* The way back has set CR0.TS. The next #DF needs clean PDPTEs again. */
void double_fault_done(void)
{
	asm volatile("clts");
	pdptes_clean(this_cpu()->df_page_table);
}
#endif
