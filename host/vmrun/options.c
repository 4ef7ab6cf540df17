// SPDX-License-Identifier: BSD-2-Clause
/*
 * Not getopt_long: its messages name neither the allowed range nor a cure, it takes abbreviations,
 * which would be an interface one has to keep, and it costs a start in a cold emulated host more
 * than this does.
 */
#include "options.h"

#include <string.h>

#include "layout.h"

#define XEN_MSR_MIN	    0x40000000u /* KVM_XEN_MSR_MIN_INDEX in Linux */
#define XEN_MSR_MAX	    0x4fffffffu
#define XEN_MSR_ALONE	    0x40000000u
#define XEN_MSR_WITH_HYPERV 0x40000200u

#define NANOSECONDS	    1000000000ull

bool options_parse_number(const char *text, uint64_t *value)
{
	static const char digits[] = "0123456789abcdef";
	unsigned int base = 10;
	uint64_t sum = 0;

	if (text[0] == '0' && (text[1] | 0x20) == 'x') {
		base = 16;
		text += 2;
	}
	if (!*text)
		return false;
	for (; *text; text++) {
		char lower = *text >= 'A' && *text <= 'F' ? (char)(*text | 0x20) : *text;
		const char *digit = memchr(digits, lower, base);

		if (!digit || __builtin_mul_overflow(sum, base, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(digit - digits), &sum))
			return false;
	}
	*value = sum;
	return true;
}

/* The same with at most 32 bits. */
static bool parse_number(const char *text, uint32_t *value)
{
	uint64_t wide;

	if (!options_parse_number(text, &wide) || wide > UINT32_MAX)
		return false;
	*value = (uint32_t)wide;
	return true;
}

static const char *const ram_names[] = {
	[RAM_ANONYMOUS] = "anonymous",
	[RAM_GMEM] = "gmem",
	[RAM_PRIVATE] = "private",
};

const char *options_ram_name(enum ram_kind kind)
{
	return ram_names[kind];
}

static bool parse_ram(const char *text, enum ram_kind *kind, struct message *why)
{
	for (size_t i = 0; i < sizeof(ram_names) / sizeof(ram_names[0]); i++) {
		if (!strcmp(text, ram_names[i])) {
			*kind = (enum ram_kind)i;
			return true;
		}
	}
	return refuse(why, "--ram %s: give anonymous, gmem or private", text);
}

bool options_parse_seconds(const char *text, uint64_t *nanoseconds)
{
	uint64_t sum = 0, unit = NANOSECONDS;
	bool digits = false, fraction = false;

	for (; *text; text++) {
		if (*text == '.' && !fraction) {
			fraction = true;
			continue;
		}
		if (*text < '0' || *text > '9')
			return false;
		digits = true;
		if (fraction) {
			unit /= 10;
			sum += (uint64_t)(*text - '0') * unit;
		} else {
			sum = sum * 10 + (uint64_t)(*text - '0') * NANOSECONDS;
		}
		if (sum > 1000000 * NANOSECONDS)
			return false;
	}
	*nanoseconds = sum;
	return digits && sum > 0;
}

static bool parse_range(const char *name, const char *text, unsigned int min, unsigned int max,
			unsigned int *value, struct message *why)
{
	if (parse_number(text, value) && *value >= min && *value <= max)
		return true;
	return refuse(why, "%s %s: give a number from %u to %u", name, text, min, max);
}

/* One "LEAF:REG:BITS", which is changed. */
static bool parse_hidden_bits(struct hidden_bits *hidden, char *text)
{
	static const char *const registers[] = { "eax", "ebx", "ecx", "edx" };
	char *reg = strchr(text, ':');
	char *bits = reg ? strchr(reg + 1, ':') : NULL;

	if (!bits)
		return false;
	*reg++ = 0;
	*bits++ = 0;
	for (hidden->reg = 0; hidden->reg < 4; hidden->reg++)
		if (!strcmp(reg, registers[hidden->reg]))
			break;
	return hidden->reg < 4 && parse_number(text, &hidden->leaf) &&
	       parse_number(bits, &hidden->bits) && hidden->bits;
}

static bool parse_hidden(struct hidden_bits *hidden, const char *value, struct message *why)
{
	unsigned int count = 0;
	size_t length;
	char text[32];

	for (const char *at = value;; at += length + 1) {
		length = strcspn(at, ",");
		snprintf(text, sizeof(text), "%.*s", (int)length, at);
		if (count == HIDDEN_MAX)
			return refuse(why, "--hide-hyperv %s: give at most %u", value, HIDDEN_MAX);
		if (length >= sizeof(text) || !parse_hidden_bits(&hidden[count++], text))
			return refuse(why,
				      "--hide-hyperv %s: give LEAF:REG:BITS, such as "
				      "0x40000003:eax:0x40, and more of them after commas",
				      value);
		if (!at[length])
			break;
	}
	hidden[count].bits = 0;
	return true;
}

static bool set_flag(struct options *options, const char *name)
{
	if (!strcmp(name, "--hyperv"))
		options->hyperv = true;
	else if (!strcmp(name, "--enforce-cpuid"))
		options->enforce_cpuid = true;
	else if (!strcmp(name, "--synic"))
		options->synic = true;
	else if (!strcmp(name, "--force-emulation"))
		options->force_emulation = true;
	else if (!strcmp(name, "--gmem-2m"))
		options->gmem_2m = true;
	else if (!strcmp(name, "--stats"))
		options->stats = true;
	else if (!strcmp(name, "--probe"))
		options->action = ACTION_PROBE;
	else if (!strcmp(name, "--help"))
		options->action = ACTION_HELP;
	else if (!strcmp(name, "--version"))
		options->action = ACTION_VERSION;
	else
		return false;
	return true;
}

static bool set_value(struct options *options, const char *name, const char *value,
		      struct message *why)
{
	if (!strcmp(name, "--smp"))
		return parse_range(name, value, 1, LAYOUT_MAX_CPUS, &options->smp, why);
	if (!strcmp(name, "--mem"))
		return parse_range(name, value, LAYOUT_MIN_MIB, LAYOUT_MAX_MIB, &options->mem_mib,
				   why);
	if (!strcmp(name, "--ram"))
		return parse_ram(value, &options->ram, why);
	if (!strcmp(name, "--hide-kvm")) {
		if (parse_number(value, &options->hide_kvm))
			return true;
		return refuse(why, "--hide-kvm %s: give 32 bits as a number, such as 0x4010",
			      value);
	}
	if (!strcmp(name, "--hide-hyperv"))
		return parse_hidden(options->hide_hyperv, value, why);
	if (!strcmp(name, "--timeout")) {
		if (options_parse_seconds(value, &options->timeout_ns))
			return true;
		return refuse(why, "--timeout %s: give seconds above 0, such as 10 or 0.5", value);
	}
	options->append = value; /* --append */
	return true;
}

static bool takes_value(const char *name)
{
	static const char *const names[] = { "--smp",	   "--mem",	    "--ram",	"--append",
					     "--hide-kvm", "--hide-hyperv", "--timeout" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static bool parse_xen(struct options *options, const char *value, struct message *why)
{
	options->xen = true;
	if (!value)
		return true;
	if (parse_number(value, &options->xen_msr) && options->xen_msr >= XEN_MSR_MIN &&
	    options->xen_msr <= XEN_MSR_MAX)
		return true;
	return refuse(why, "--xen=%s: give an MSR from %#x to %#x, the range that KVM allows",
		      value, XEN_MSR_MIN, XEN_MSR_MAX);
}

/* One option at argv[*at]; moves *at if its value is the next argument. */
static bool parse_option(int argc, char **argv, int *at, struct options *options,
			 struct message *why)
{
	char *value = strchr(argv[*at], '=');
	char name[32];
	int length = value ? (int)(value - argv[*at]) : (int)strlen(argv[*at]);

	snprintf(name, sizeof(name), "%.*s", length, argv[*at]);
	if (value)
		value++;
	if (!strcmp(name, "--xen"))
		return parse_xen(options, value, why);
	if (!strcmp(name, "--snp"))
		return sev_options_parse(&options->sev, SEV_SNP, value, why);
	if (!strcmp(name, "--sev-es"))
		return sev_options_parse(&options->sev, SEV_ES, value, why);
	if (takes_value(name)) {
		if (!value && *at + 1 < argc)
			value = argv[++*at];
		if (!value)
			return refuse(why, "%s needs a value: see vmrun --help", name);
		return set_value(options, name, value, why);
	}
	if (!set_flag(options, name))
		return refuse(why, "unknown option %.*s: see vmrun --help", length, argv[*at]);
	if (value)
		return refuse(why, "%s takes no value", name);
	return true;
}

bool options_parse(struct options *options, int argc, char **argv, struct message *why)
{
	bool only_names = false;

	for (int at = 1; at < argc; at++) {
		if (!only_names && !strcmp(argv[at], "--")) {
			only_names = true;
		} else if (!only_names && argv[at][0] == '-') {
			if (!parse_option(argc, argv, &at, options, why))
				return false;
		} else if (options->guest) {
			return refuse(why, "two guests given, %s and %s: give one", options->guest,
				      argv[at]);
		} else {
			options->guest = argv[at];
		}
	}
	return true;
}

/* What an encrypted guest cannot have. */
static bool check_sev(const struct options *options, struct message *why)
{
	const char *name = sev_options_name(options->sev.kind);

	if (options->ram != RAM_ANONYMOUS)
		return refuse(why, "--%s says itself what memory is made of: leave --ram %s out",
			      name, ram_names[options->ram]);
	if (options->xen || options->hyperv)
		return refuse(why,
			      "--%s: KVM cannot write a hypercall page into encrypted memory: "
			      "leave --%s out",
			      name, options->xen ? "xen" : "hyperv");
	if (options->force_emulation)
		return refuse(why,
			      "--%s: KVM cannot read the instructions of an encrypted guest to "
			      "emulate them: leave --force-emulation out",
			      name);
	return sev_options_complete(&options->sev, why);
}

bool options_complete(struct options *options, struct message *why)
{
	if (!options->guest)
		return refuse(why, "no guest given: vmrun [options] GUEST, see vmrun --help");
	if (options->enforce_cpuid && !options->hyperv)
		return refuse(why,
			      "--enforce-cpuid is about the Hyper-V features: give --hyperv too");
	if (options->synic && !options->hyperv)
		return refuse(why, "--synic is one of the Hyper-V features: give --hyperv too");
	if (options->hide_hyperv[0].bits && !options->hyperv)
		return refuse(why,
			      "--hide-hyperv is about the Hyper-V features: give --hyperv too");
	if (options->sev.kind != SEV_NONE && !check_sev(options, why))
		return false;
	if (options->gmem_2m && options->sev.kind != SEV_SNP)
		return refuse(why,
			      "--gmem-2m is about the memory of SEV-SNP guests: give --snp too");
	if (options->sev.kind == SEV_SNP)
		options->ram = RAM_PRIVATE;
	if (options->xen && !options->xen_msr)
		options->xen_msr = options->hyperv ? XEN_MSR_WITH_HYPERV : XEN_MSR_ALONE;
	return true;
}
