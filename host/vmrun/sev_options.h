/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --snp and --sev-es: an encrypted guest, and what it is launched with
 */
#ifndef VMRUN_SEV_OPTIONS_H
#define VMRUN_SEV_OPTIONS_H

#include "image.h"

enum sev_kind { SEV_NONE, SEV_ES, SEV_SNP };

struct sev_options {
	enum sev_kind kind;
	bool policy_given;
	bool certs; /* KVM asks vmrun for certificates */
	uint64_t policy;
	uint64_t features; /* of the VMSA, beside those that KVM adds */
	uint64_t ghcb;	   /* version; 0: not given */
};

/* What the option is called, without --, and the guests of this kind. */
const char *sev_options_name(enum sev_kind kind);

/* The option with its value, which may be NULL. False with cause and cure in *why. */
bool sev_options_parse(struct sev_options *options, enum sev_kind kind, const char *value,
		       struct message *why);

/* After all arguments. */
bool sev_options_complete(const struct sev_options *options, struct message *why);

/* What was given, or else the kind's own. */
uint64_t sev_options_policy(const struct sev_options *options);
unsigned int sev_options_ghcb(const struct sev_options *options);

#endif
