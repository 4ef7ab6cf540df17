/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of vmrun
 */
#ifndef VMRUN_OPTIONS_H
#define VMRUN_OPTIONS_H

#include "cpuid.h"
#include "image.h"
#include "sev_options.h"

/* What RAM is made of: memory.h. */
enum ram_kind { RAM_ANONYMOUS, RAM_GMEM, RAM_PRIVATE };
/* Most that --hide-hyperv takes. */
#define HIDDEN_MAX 8

enum action { ACTION_RUN, ACTION_PROBE, ACTION_HELP, ACTION_VERSION };

struct options {
	enum action action;
	const char *guest;
	const char *append;
	unsigned int smp;
	unsigned int mem_mib;
	enum ram_kind ram;
	uint64_t timeout_ns; /* 0: none */
	uint32_t xen_msr;    /* where xen is set */
	uint32_t hide_kvm;   /* bits of EAX of KVM's feature leaf */
	bool xen;
	bool hyperv;
	bool enforce_cpuid;
	bool synic;
	struct hidden_bits hide_hyperv[HIDDEN_MAX + 1];
	bool force_emulation;
	struct sev_options sev;
	bool gmem_2m;
	bool stats;
};

/* Where options begin, before any is parsed. */
#define OPTIONS_DEFAULT                               \
	{                                             \
		.append = "", .smp = 1, .mem_mib = 64 \
	}

/*
 * Adds what the arguments say; argv[0] is not looked at. Returns false with the cause in *why if
 * they are wrong. The options point into argv.
 */
bool options_parse(struct options *options, int argc, char **argv, struct message *why);

/* After all arguments: checks that a guest can be run so, and fills in what others imply. */
bool options_complete(struct options *options, struct message *why);

/* What --ram calls it. */
const char *options_ram_name(enum ram_kind kind);

/* A decimal or (0x) hexadecimal number of at most 64 bits, and nothing after it. */
bool options_parse_number(const char *text, uint64_t *value);

/* Seconds with an optional fraction, as nanoseconds; more than 0, at most 1000000 seconds. */
bool options_parse_seconds(const char *text, uint64_t *nanoseconds);

#endif
