/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host kernel's log, or Xen's, says of a test
 *
 * A test can pass in the guest while the kernel under it finds itself broken. These are the lines by
 * which Linux says so (lib/bug.c, kernel/panic.c, kernel/rcu/tree_stall.h, kernel/watchdog.c,
 * kernel/hung_task.c, lib/ubsan.c, lib/list_debug.c, mm/kasan/report.c, kernel/locking/lockdep.c,
 * arch/x86/mm/extable.c, arch/x86/kernel/dumpstack.c), and Xen (common/shutdown.c, drivers/char/console.c,
 * arch/x86/traps.c, include/asm-x86/bug.h).
 */
#ifndef SUPERVISE_KLOG_H
#define SUPERVISE_KLOG_H

#include <stdbool.h>
#include <stddef.h>

/* Who could not go on. Under Xen dom0's kernel says what any says, and Xen then whose it was. */
enum klog_panic { KLOG_PANIC_NONE, KLOG_PANIC_KERNEL, KLOG_PANIC_DOM0, KLOG_PANIC_XEN };

struct klog_report {
	unsigned int lines; /* how many lines say that something is wrong */
	enum klog_panic panic;
	char text[4096]; /* those lines and what follows each of them, as far as there is room */
};

/* Whether one line of a kernel log, without its newline, says that the kernel found a fault. */
bool klog_is_fault(const char *line);

/*
 * Reads a kernel log of which a part may have been seen before (a snapshot's own boot). Returns 0,
 * or a negative errno if the file cannot be read.
 */
int klog_read(const char *path, struct klog_report *report);

#endif
