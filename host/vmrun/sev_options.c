// SPDX-License-Identifier: BSD-2-Clause
#include "sev_options.h"

#include <inttypes.h>
#include <string.h>

#include "options.h"

/* SNP firmware ABI, 4.3 "Guest Policy": bit 17 is reserved and must be set; 16: SMT is allowed. */
#define POLICY_SNP	0x30000
#define POLICY_SNP_MUST 0x20000
/* SEV API, 2 "Guest Policy": no debugging; SEV-ES is required. */
#define POLICY_SEV_ES	   0x5
#define POLICY_SEV_ES_MUST 0x4
#define POLICY_SEV_MASK	   0xffffffff

#define GHCB_VERSION	   2

const char *sev_options_name(enum sev_kind kind)
{
	return kind == SEV_SNP ? "snp" : "sev-es";
}

uint64_t sev_options_policy(const struct sev_options *options)
{
	if (options->policy_given)
		return options->policy;
	return options->kind == SEV_SNP ? POLICY_SNP : POLICY_SEV_ES;
}

unsigned int sev_options_ghcb(const struct sev_options *options)
{
	return options->ghcb ? (unsigned int)options->ghcb : GHCB_VERSION;
}

static uint64_t policy_bits(enum sev_kind kind)
{
	return kind == SEV_SNP ? POLICY_SNP_MUST : POLICY_SEV_ES_MUST;
}

static bool parse_word(struct sev_options *options, const char *word)
{
	static const char features[] = "features=", ghcb[] = "ghcb=";

	if (!strcmp(word, "certs")) {
		options->certs = true;
		return true;
	}
	if (!strncmp(word, features, strlen(features)))
		return options_parse_number(word + strlen(features), &options->features);
	if (!strncmp(word, ghcb, strlen(ghcb)))
		return options_parse_number(word + strlen(ghcb), &options->ghcb) &&
		       options->ghcb >= 1 && options->ghcb <= GHCB_VERSION;
	options->policy_given = true;
	return options_parse_number(word, &options->policy) &&
	       (options->kind == SEV_SNP || options->policy <= POLICY_SEV_MASK);
}

bool sev_options_parse(struct sev_options *options, enum sev_kind kind, const char *value,
		       struct message *why)
{
	size_t length;
	char word[32];

	if (options->kind != SEV_NONE && options->kind != kind)
		return refuse(why, "--snp and --sev-es are two kinds of guests: give one of them");
	*options = (struct sev_options){ .kind = kind };
	for (const char *at = value; at; at = at[length] ? at + length + 1 : NULL) {
		length = strcspn(at, ",");
		snprintf(word, sizeof(word), "%.*s", (int)length, at);
		if (length >= sizeof(word) || !parse_word(options, word))
			return refuse(
				why,
				"--%s=%s: give the policy, features=BITS, ghcb=1 or 2, certs, "
				"with commas between them, such as %s",
				sev_options_name(kind), value,
				kind == SEV_SNP ? "0x30000,features=0x20" : "0x5,ghcb=1");
	}
	return true;
}

/* KVM or the firmware refuse these without telling why. */
bool sev_options_complete(const struct sev_options *options, struct message *why)
{
	uint64_t policy = sev_options_policy(options), must = policy_bits(options->kind);

	if ((policy & must) != must)
		return refuse(why, "--%s=%#" PRIx64 ": bit %#" PRIx64 " of the policy must be set",
			      sev_options_name(options->kind), policy, must);
	if (options->kind == SEV_SNP && options->ghcb == 1)
		return refuse(why,
			      "--snp: version 1 of the GHCB knows no SEV-SNP: leave ghcb=1 out");
	if (options->kind == SEV_ES && options->certs)
		return refuse(why, "--sev-es: certificates are SEV-SNP's: leave certs out");
	return true;
}
