// SPDX-License-Identifier: BSD-2-Clause
/*
 * Faults in a host kernel's log
 *
 * The lines are of the form that Linux 6.12 and 7.2 print (the files that print them are named in
 * klog.h). Ordinary lines of a healthy boot, some of which come near, must not count.
 */
#include <test/test.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supervise/klog.h>
#include <unistd.h>

static const char *const faults[] = {
	"[    4.1] WARNING: CPU: 0 PID: 1 at arch/x86/kvm/x86.c:11204 vcpu_run+0x1/0x2 [kvm]",
	"[    4.1] WARNING: arch/x86/kvm/x86.c:11204 at vcpu_run+0x1/0x2 [kvm], CPU#0: vmrun/77",
	"[    4.1] kernel BUG at mm/slub.c:4200!",
	"[    4.1] BUG: kernel NULL pointer dereference, address: 0000000000000000",
	"[    4.1] BUG: unable to handle page fault for address: ffffc90000000000",
	"[    4.1] Oops: 0000 [#1] PREEMPT SMP NOPTI",
	"[    4.1] Oops: general protection fault, probably for non-canonical address 0xdead: 0000",
	"[   64.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
	"[   64.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
	"[   64.1] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
	"[   64.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [vmrun:77]",
	"[   64.1] watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
	"[  124.1] INFO: task vmrun:77 blocked for more than 10 seconds.",
	"[    4.1] UBSAN: array-index-out-of-bounds in arch/x86/kvm/hyperv.c:100:2",
	"[    4.1] BUG: KASAN: use-after-free in kvm_vcpu_ioctl+0x1/0x2",
	"[    4.1] list_add corruption. next->prev should be prev",
	"[    4.1] unchecked MSR access error: WRMSR to 0x40000200 (tried to write 0x0)",
	"[    4.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
	"(XEN) Panic on CPU 0:",
	"(XEN) FATAL TRAP: vector = 2 (nmi)",
	"(XEN) Xen BUG at mm.c:1234",
	"(XEN) Xen WARN at common/domain.c:1",
	"(XEN) Assertion 'rc == 0' failed at event_channel.c:1",
	"(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.",
};

static const char *const healthy[] = {
	"[    0.0] Linux version 7.2.12+deb13-cloud-amd64",
	"[    0.0] Command line: quiet panic=-1 oops=panic softlockup_panic=1",
	"[    0.1] kvm: Nested Virtualization enabled",
	"[    0.1] kvm_amd: TSC scaling supported",
	"[    0.1] Speculative Store Bypass: Vulnerable",
	"[    0.1] kvm [77]: vcpu0, guest rIP: 0x100000 Unhandled WRMSR(0x8b) = 0x0",
	"[    0.1] debug: ignoring loglevel setting.",
	"(XEN) d1v0 Triple fault - invoking HVM shutdown action 1",
	"(XEN) viridian.c:300:d1v0 Bad GMFN d0000 (MFN 0xffffffffffffffff)",
	"",
};

TEST("every way in which Linux reports a fault of its own counts")
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		EXPECT_TRUE(klog_is_fault(faults[i]), "%s", faults[i]);
}

TEST("ordinary lines do not count")
{
	for (size_t i = 0; i < sizeof(healthy) / sizeof(*healthy); i++)
		EXPECT_FALSE(klog_is_fault(healthy[i]), "%s", healthy[i]);
}

static void read_log(const char *text, struct klog_report *report)
{
	char path[] = "/tmp/klog_test.XXXXXX";
	int fd = mkstemp(path);

	REQUIRE(fd >= 0);
	REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	memset(report, 0, sizeof(*report));
	EXPECT_EQ(klog_read(path, report), 0);
	unlink(path);
}

TEST("the report shows the fault and the lines after it, not those before")
{
	struct klog_report report;

	read_log("fine\nWARNING: CPU: 0\nRIP: here\n", &report);
	EXPECT_EQ(report.lines, 1);
	EXPECT_FALSE(report.panic);
	EXPECT_STR_EQ(report.text, "WARNING: CPU: 0\nRIP: here\n");
}

TEST("a panic is told from other faults")
{
	struct klog_report report;

	read_log("Kernel panic - not syncing: x\r\n", &report);
	EXPECT_TRUE(report.panic);
	EXPECT_STR_EQ(report.text, "Kernel panic - not syncing: x\n");
}

TEST("a log of many faults is counted in full and shown as far as there is room")
{
	static char text[65536];
	struct klog_report report;

	for (int i = 0; i < 1000; i++)
		strcat(text, "WARNING: CPU: 0 PID: 1 at somewhere\n");
	read_log(text, &report);
	EXPECT_EQ(report.lines, 1000);
	EXPECT_LT(strlen(report.text), sizeof(report.text));
}

TEST("a log that cannot be read is an error and no clean log")
{
	struct klog_report report = {};

	EXPECT_EQ(klog_read("/nonexistent/log", &report), -ENOENT);
}
