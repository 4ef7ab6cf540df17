/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SynIC of this CPU, and messages and event flags to it
 *
 * TLFS, "Virtual Interrupt Control" and "Inter-Partition Communication". The connections are
 * vmrun's: <vmrun/abi.h>.
 */
#ifndef HYPERV_SYNIC_H
#define HYPERV_SYNIC_H

#include <hyperv/abi.h>
#include <hyperv/page.h>
#include <stdbool.h>

/* What a CPU has set up. */
struct hv_synic {
	volatile struct hv_message *messages; /* one a SINT */
	volatile uint8_t *events;	      /* 256 bytes a SINT */
};

#define HV_EVENT_BYTES 256

/* Ends the test point with a skip if the SynIC is not active. */
void hv_skip_without_synic(void);

/*
 * Gives this CPU new pages for messages and event flags and enables its SynIC, with all SINTs
 * masked, all timers off, hypercalls enabled and the APIC on.
 */
struct hv_synic hv_synic_new(void);

/* Sets this CPU's SINT: a vector, with HV_SYNIC_SINT_AUTO_EOI or _MASKED or neither. */
void hv_sint_set(unsigned int sint, uint64_t value);

/* The slot is free again; and the hypervisor is told, as there may be more (TLFS, "EOM"). */
void hv_message_done(volatile struct hv_message *message);

/* HvCallPostMessage of so many words of payload; HvCallSignalEvent, fast. Return the status. */
uint64_t hv_post_message(uint32_t connection, uint32_t type, const uint64_t *payload,
			 unsigned int words);
uint64_t hv_signal_event(uint32_t connection, uint16_t flag);

/* Whether the flag of the SINT is set. */
bool hv_event_flag(const struct hv_synic *synic, unsigned int sint, unsigned int flag);

#endif
