// SPDX-License-Identifier: BSD-2-Clause
/*
 * A vCPU is stopped by a signal, which makes KVM_RUN return with EINTR. If the signal arrives just
 * before KVM_RUN begins, immediate_exit, which is set before it is sent, makes KVM_RUN return at
 * once: there is no moment at which the request can be lost.
 */
#include "watchdog.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "end.h"
#include "exits.h"
#include "say.h"
#include "vcpu.h"
#include "vm.h"

#define NANOSECONDS 1000000000ull
#define RFLAGS_IF   (1u << 9)
#define KICK_SIGNAL SIGUSR1

static atomic_bool stopping;
static sem_t parked;

bool watchdog_wants_stop(void)
{
	return atomic_load(&stopping);
}

void watchdog_note_parked(void)
{
	sem_post(&parked);
}

static bool is_halted(const struct vcpu *vcpu)
{
	return vcpu->state.mp.mp_state == KVM_MP_STATE_HALTED;
}

static bool is_started(const struct vcpu *vcpu)
{
	return vcpu->state.mp.mp_state != KVM_MP_STATE_UNINITIALIZED &&
	       vcpu->state.mp.mp_state != KVM_MP_STATE_INIT_RECEIVED;
}

/* Of an encrypted guest nobody knows the registers. */
static bool is_open(const struct vcpu *vcpu)
{
	return vcpu->vm->options->sev.kind == SEV_NONE;
}

/* Only an NMI or INIT could still wake it, and nothing is left to send one if all are so. */
static bool is_dead(const struct vcpu *vcpu)
{
	return is_open(vcpu) && is_halted(vcpu) && !(vcpu->state.regs.rflags & RFLAGS_IF);
}

static void describe(const struct vcpu *vcpu, char *text, size_t size)
{
	char rip[32] = "";

	if (is_open(vcpu))
		snprintf(rip, sizeof(rip), " (RIP=%#" PRIx64 ")", (uint64_t)vcpu->state.regs.rip);
	if (is_dead(vcpu))
		snprintf(text, size, "is halted with interrupts off%s", rip);
	else if (is_halted(vcpu))
		snprintf(text, size, "is halted and waits for an interrupt%s%s", rip,
			 is_open(vcpu) ? "" : ", or was not started");
	else if (!is_started(vcpu))
		snprintf(text, size, "was not started");
	else if (is_open(vcpu))
		snprintf(text, size, "still runs at RIP=%#" PRIx64, (uint64_t)vcpu->state.regs.rip);
	else
		snprintf(text, size, "still runs");
}

static const struct vcpu *find_unparked(const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->options->smp; i++)
		if (!atomic_load(&vm->vcpus[i].parked))
			return &vm->vcpus[i];
	return NULL;
}

/* The vCPU that most likely keeps the guest from ending: one that runs, else one that waits. */
static const struct vcpu *find_culprit(const struct vm *vm)
{
	const struct vcpu *waiting = NULL;

	for (unsigned int i = 0; i < vm->options->smp; i++) {
		const struct vcpu *vcpu = &vm->vcpus[i];

		if (!is_started(vcpu) || is_dead(vcpu))
			continue;
		if (!is_halted(vcpu))
			return vcpu;
		if (!waiting)
			waiting = vcpu;
	}
	return waiting;
}

static void say_all(const struct vm *vm, const struct vcpu *except)
{
	char text[96];

	for (unsigned int i = 0; i < vm->options->smp; i++) {
		const struct vcpu *vcpu = &vm->vcpus[i];

		if (vcpu == except || !atomic_load(&vcpu->parked))
			continue;
		describe(vcpu, text, sizeof(text));
		say("  vCPU %u %s", vcpu->id, text);
	}
}

/* "10" or "0.25". */
static const char *limit_text(const struct vm *vm, char *text, size_t size)
{
	uint64_t milliseconds = vm->options->timeout_ns / 1000000;

	if (milliseconds % 1000)
		snprintf(text, size, "%" PRIu64 ".%03" PRIu64, milliseconds / 1000,
			 milliseconds % 1000);
	else
		snprintf(text, size, "%" PRIu64, milliseconds / 1000);
	return text;
}

/* Not all vCPUs could be stopped. */
static int judge_unparked(const struct vm *vm, const struct vcpu *vcpu, const char *limit)
{
	if (atomic_load(&vcpu->in_console)) {
		say("the guest did not end within %s s: vCPU %u is blocked writing to stdout, "
		    "which nobody reads",
		    limit, vcpu->id);
		return STATUS_TIMEOUT;
	}
	say("vCPU %u does not leave KVM_RUN: stuck in the host kernel (%s s, then %d s after it "
	    "was signalled)",
	    vcpu->id, limit, WATCHDOG_GRACE_SECONDS);
	say_all(vm, vcpu);
	return STATUS_DIED;
}

static int judge(const struct vm *vm)
{
	const struct vcpu *vcpu = find_unparked(vm);
	char limit[32], text[96];
	int status = STATUS_TIMEOUT;

	limit_text(vm, limit, sizeof(limit));
	if (vcpu)
		return judge_unparked(vm, vcpu, limit);
	vcpu = find_culprit(vm);
	if (!vcpu) {
		vcpu = &vm->vcpus[0];
		status = STATUS_DIED;
	}
	describe(vcpu, text, sizeof(text));
	if (status == STATUS_DIED)
		say("vCPU %u hangs: it %s", vcpu->id, text);
	else
		say("the guest did not end within %s s: vCPU %u %s", limit, vcpu->id, text);
	say_all(vm, vcpu);
	if (is_open(vcpu))
		exits_say_registers(vcpu);
	return status;
}

static void stop_all(struct vm *vm)
{
	struct timespec deadline;

	atomic_store(&stopping, true);
	for (unsigned int i = 0; i < vm->options->smp; i++) {
		vm->vcpus[i].run->immediate_exit = 1;
		pthread_kill(vm->vcpus[i].thread, KICK_SIGNAL);
	}
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WATCHDOG_GRACE_SECONDS;
	while (find_unparked(vm) && sem_clockwait(&parked, CLOCK_MONOTONIC, &deadline) == 0)
		;
}

static void *watch(void *argument)
{
	struct timespec deadline;
	struct vm *vm = argument;
	uint64_t end = end_start_time() + vm->options->timeout_ns;

	deadline.tv_sec = (time_t)(end / NANOSECONDS);
	deadline.tv_nsec = (long)(end % NANOSECONDS);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) != 0)
		;
	stop_all(vm);
	while (!end_claim())
		pause();
	end_now(vm, judge(vm));
}

static void interrupt_only(int signal)
{
	(void)signal;
}

void watchdog_start(struct vm *vm)
{
	/* No SA_RESTART: KVM_RUN shall return. */
	struct sigaction action = { .sa_handler = interrupt_only };
	pthread_t thread;

	if (sem_init(&parked, 0, 0) < 0 || sigaction(KICK_SIGNAL, &action, NULL) < 0 ||
	    pthread_create(&thread, NULL, watch, vm) != 0)
		fail("--timeout: cannot start the watchdog thread");
}
