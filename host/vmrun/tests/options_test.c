// SPDX-License-Identifier: BSD-2-Clause
/*
 * vmrun's command line: every option, and a clear line for every wrong one
 */
#include <string.h>
#include <test/test.h>

#include "../options.h"

#define MAX_WORDS 12

struct outcome {
	bool good;
	struct options options;
	struct message why;
};

static struct outcome parse(const char *const words[MAX_WORDS])
{
	struct outcome outcome = { .options = OPTIONS_DEFAULT };
	char *argv[MAX_WORDS + 2] = { "vmrun" };
	int argc = 1;

	while (argc <= MAX_WORDS && words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	outcome.good = options_parse(&outcome.options, argc, argv, &outcome.why) &&
		       options_complete(&outcome.options, &outcome.why);
	return outcome;
}

#define PARSE(...) parse((const char *const[MAX_WORDS]){ __VA_ARGS__ })

TEST("a guest alone gets the documented defaults")
{
	struct outcome outcome = PARSE("guest.elf");

	ASSERT_TRUE(outcome.good, "%s", outcome.why.text);
	EXPECT_EQ(outcome.options.action, ACTION_RUN);
	EXPECT_STR_EQ(outcome.options.guest, "guest.elf");
	EXPECT_STR_EQ(outcome.options.append, "");
	EXPECT_EQ(outcome.options.smp, 1);
	EXPECT_EQ(outcome.options.mem_mib, 64);
	EXPECT_EQ(outcome.options.ram, RAM_ANONYMOUS);
	EXPECT_EQ(outcome.options.timeout_ns, 0);
	EXPECT_FALSE(outcome.options.xen);
	EXPECT_FALSE(outcome.options.hyperv);
	EXPECT_FALSE(outcome.options.enforce_cpuid);
	EXPECT_FALSE(outcome.options.force_emulation);
	EXPECT_EQ(outcome.options.hide_kvm, 0);
	EXPECT_FALSE(outcome.options.synic);
	EXPECT_EQ(outcome.options.hide_hyperv[0].bits, 0);
	EXPECT_EQ(outcome.options.sev.kind, SEV_NONE);
	EXPECT_FALSE(outcome.options.stats);
}

TEST("options are taken with = or as the next word, before and after the guest")
{
	struct outcome outcome = PARSE("--smp=4", "--mem", "128", "g", "--append", "a=b c",
				       "--timeout=1.5", "--hyperv", "--enforce-cpuid", "--stats",
				       "--force-emulation", "--hide-kvm=0x4010");

	ASSERT_TRUE(outcome.good, "%s", outcome.why.text);
	EXPECT_STR_EQ(outcome.options.guest, "g");
	EXPECT_STR_EQ(outcome.options.append, "a=b c");
	EXPECT_EQ(outcome.options.smp, 4);
	EXPECT_EQ(outcome.options.mem_mib, 128);
	EXPECT_EQ(outcome.options.timeout_ns, 1500000000);
	EXPECT_TRUE(outcome.options.hyperv);
	EXPECT_TRUE(outcome.options.enforce_cpuid);
	EXPECT_TRUE(outcome.options.force_emulation);
	EXPECT_EQ(outcome.options.hide_kvm, 0x4010);
	EXPECT_TRUE(outcome.options.stats);
}

TEST("--ram takes each kind by its name")
{
	static const enum ram_kind kinds[] = { RAM_ANONYMOUS, RAM_GMEM, RAM_PRIVATE };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct outcome outcome = PARSE("g", "--ram", options_ram_name(kinds[i]));

		EXPECT_TRUE(outcome.good, "%s", outcome.why.text);
		EXPECT_EQ(outcome.options.ram, kinds[i]);
	}
	EXPECT_EQ(PARSE("g", "--ram=gmem").options.ram, RAM_GMEM);
	EXPECT_EQ(PARSE("g", "--ram=private", "--ram=anonymous").options.ram, RAM_ANONYMOUS);
}

TEST("bits to hide are taken one by one, from commas")
{
	struct outcome outcome =
		PARSE("g", "--hyperv", "--synic", "--hide-hyperv=0x40000003:eax:0x40,4:edx:0x80");
	const struct hidden_bits *hidden = outcome.options.hide_hyperv;

	ASSERT_TRUE(outcome.good, "%s", outcome.why.text);
	EXPECT_TRUE(outcome.options.synic);
	EXPECT_EQ(hidden[0].leaf, 0x40000003);
	EXPECT_EQ(hidden[0].reg, 0);
	EXPECT_EQ(hidden[0].bits, 0x40);
	EXPECT_EQ(hidden[1].leaf, 4);
	EXPECT_EQ(hidden[1].reg, 3);
	EXPECT_EQ(hidden[1].bits, 0x80);
	EXPECT_EQ(hidden[2].bits, 0);
}

TEST("--append keeps a value that looks like an option or holds =")
{
	EXPECT_STR_EQ(PARSE("g", "--append", "--smp").options.append, "--smp");
	EXPECT_STR_EQ(PARSE("g", "--append=a=b").options.append, "a=b");
	EXPECT_STR_EQ(PARSE("g", "--append=").options.append, "");
}

TEST("after -- a name may begin with -")
{
	EXPECT_STR_EQ(PARSE("--", "--guest").options.guest, "--guest");
}

TEST("the Xen MSR is as given, else by whether Hyper-V is there too")
{
	EXPECT_EQ(PARSE("g", "--xen").options.xen_msr, 0x40000000);
	EXPECT_EQ(PARSE("g", "--xen", "--hyperv").options.xen_msr, 0x40000200);
	EXPECT_EQ(PARSE("g", "--hyperv", "--xen").options.xen_msr, 0x40000200);
	EXPECT_EQ(PARSE("g", "--xen=0x40000000", "--hyperv").options.xen_msr, 0x40000000);
	EXPECT_EQ(PARSE("g", "--xen=1073742336").options.xen_msr, 0x40000200);
	EXPECT_EQ(PARSE("g", "--xen=0x4FFFFFFF").options.xen_msr, 0x4fffffff);
	EXPECT_TRUE(PARSE("g", "--xen").options.xen);
}

TEST("an encrypted guest gets its kind's policy, GHCB version and memory, or what is given")
{
	static const struct {
		const char *option;
		enum sev_kind kind;
		uint64_t policy, features;
		unsigned int ghcb;
		bool certs;
	} cases[] = {
		{ "--snp", SEV_SNP, 0x30000, 0, 2, false },
		{ "--snp=0x1030000", SEV_SNP, 0x1030000, 0, 2, false },
		{ "--snp=131072", SEV_SNP, 0x20000, 0, 2, false },
		{ "--snp=0xffffffffffffffff", SEV_SNP, UINT64_MAX, 0, 2, false },
		{ "--snp=features=0x8000000000000020", SEV_SNP, 0x30000, 0x8000000000000020, 2,
		  false },
		{ "--snp=certs,ghcb=2,features=1,0xb0000", SEV_SNP, 0xb0000, 1, 2, true },
		{ "--sev-es", SEV_ES, 0x5, 0, 2, false },
		{ "--sev-es=4,ghcb=1", SEV_ES, 4, 0, 1, false },
		{ "--sev-es=0xffffffff", SEV_ES, 0xffffffff, 0, 2, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome = PARSE("g", cases[i].option);
		const struct sev_options *sev = &outcome.options.sev;

		EXPECT_TRUE(outcome.good, "%s: %s", cases[i].option, outcome.why.text);
		EXPECT_EQ(sev->kind, cases[i].kind, "%s", cases[i].option);
		EXPECT_EQ(sev_options_policy(sev), cases[i].policy, "%s", cases[i].option);
		EXPECT_EQ(sev->features, cases[i].features, "%s", cases[i].option);
		EXPECT_EQ(sev_options_ghcb(sev), cases[i].ghcb, "%s", cases[i].option);
		EXPECT_EQ(sev->certs, cases[i].certs, "%s", cases[i].option);
		EXPECT_EQ(outcome.options.ram,
			  cases[i].kind == SEV_SNP ? RAM_PRIVATE : RAM_ANONYMOUS, "%s",
			  cases[i].option);
	}
}

TEST("of two --snp the last one counts as a whole")
{
	struct outcome outcome = PARSE("g", "--snp=0x70000,features=1", "--snp");

	EXPECT_TRUE(outcome.good, "%s", outcome.why.text);
	EXPECT_EQ(sev_options_policy(&outcome.options.sev), 0x30000);
	EXPECT_EQ(outcome.options.sev.features, 0);
}

TEST("--probe, --help and --version need no guest")
{
	static char *argv[] = { "vmrun", "", NULL };
	static const struct {
		char *option;
		enum action action;
	} cases[] = { { "--probe", ACTION_PROBE },
		      { "--help", ACTION_HELP },
		      { "--version", ACTION_VERSION } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options = OPTIONS_DEFAULT;
		struct message why;

		argv[1] = cases[i].option;
		EXPECT_TRUE(options_parse(&options, 2, argv, &why));
		EXPECT_EQ(options.action, cases[i].action);
	}
}

TEST("wrong command lines are refused with the cause")
{
	static const struct {
		const char *words[MAX_WORDS];
		const char *says;
	} cases[] = {
		{ { NULL }, "no guest given" },
		{ { "a", "b" }, "two guests given, a and b" },
		{ { "g", "--smpp", "2" }, "unknown option --smpp" },
		{ { "g", "-s" }, "unknown option -s" },
		{ { "g", "--xenon=3" }, "unknown option --xenon" },
		{ { "g", "--smp" }, "--smp needs a value" },
		{ { "g", "--smp", "0" }, "--smp 0: give a number from 1 to 64" },
		{ { "g", "--smp", "65" }, "--smp 65: give a number from 1 to 64" },
		{ { "g", "--smp", "two" }, "--smp two: give a number" },
		{ { "g", "--smp", "4x" }, "--smp 4x: give a number" },
		{ { "g", "--smp=" }, "--smp : give a number" },
		{ { "g", "--smp", "4294967297" }, "--smp 4294967297: give a number" },
		{ { "g", "--mem", "1" }, "--mem 1: give a number from 2 to 3072" },
		{ { "g", "--mem", "3073" }, "--mem 3073: give a number from 2 to 3072" },
		{ { "g", "--mem", "-1" }, "--mem -1: give a number" },
		{ { "g", "--ram" }, "--ram needs a value" },
		{ { "g", "--ram", "" }, "--ram : give anonymous, gmem or private" },
		{ { "g", "--ram=gmemfd" }, "--ram gmemfd: give anonymous, gmem or private" },
		{ { "g", "--timeout", "0" }, "--timeout 0: give seconds above 0" },
		{ { "g", "--timeout", "1s" }, "--timeout 1s: give seconds" },
		{ { "g", "--hide-kvm" }, "--hide-kvm needs a value" },
		{ { "g", "--hide-kvm", "all" }, "--hide-kvm all: give 32 bits" },
		{ { "g", "--hide-hyperv" }, "--hide-hyperv needs a value" },
		{ { "g", "--hide-hyperv", "" }, "--hide-hyperv : give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv", "1:eax" }, "--hide-hyperv 1:eax: give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv", "1:esi:1" }, "give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv", "1:eax:0" }, "give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv", "1:eax:1," }, "give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv", "1:eax:0x000000000000000000000001" },
		  "give LEAF:REG:BITS" },
		{ { "g", "--hide-hyperv",
		    "1:eax:1,1:eax:1,1:eax:1,1:eax:1,1:eax:1,1:eax:1,1:eax:1,1:eax:1,1:eax:1" },
		  "give at most 8" },
		{ { "g", "--hide-hyperv", "1:eax:1" }, "give --hyperv too" },
		{ { "g", "--synic" }, "give --hyperv too" },
		{ { "g", "--xen=1" }, "--xen=1: give an MSR from 0x40000000 to 0x4fffffff" },
		{ { "g", "--xen=0x50000000" }, "--xen=0x50000000: give an MSR" },
		{ { "g", "--xen=0x" }, "--xen=0x: give an MSR" },
		{ { "g", "--xen=" }, "--xen=: give an MSR" },
		{ { "g", "--hyperv=1" }, "--hyperv takes no value" },
		{ { "g", "--enforce-cpuid" }, "give --hyperv too" },
		{ { "g", "--snp=" }, "--snp=: give the policy, features=BITS" },
		{ { "g", "--snp=0x30000," }, "--snp=0x30000,: give the policy" },
		{ { "g", "--snp=,0x30000" }, "--snp=,0x30000: give the policy" },
		{ { "g", "--snp=policy" }, "--snp=policy: give the policy" },
		{ { "g", "--snp=0x10000000000000000" }, "give the policy" },
		{ { "g", "--snp=features=" }, "give the policy" },
		{ { "g", "--snp=features=0x00000000000000000000000001" }, "give the policy" },
		{ { "g", "--snp=ghcb=0" }, "give the policy" },
		{ { "g", "--snp=ghcb=3" }, "give the policy" },
		{ { "g", "--snp=0" }, "--snp=0: bit 0x20000 of the policy must be set" },
		{ { "g", "--snp=0x10000,certs" }, "bit 0x20000 of the policy" },
		{ { "g", "--sev-es=0x1" }, "--sev-es=0x1: bit 0x4 of the policy must be set" },
		{ { "g", "--snp=ghcb=1" }, "--snp: version 1 of the GHCB knows no SEV-SNP" },
		{ { "g", "--sev-es=0x100000000" }, "--sev-es=0x100000000: give the policy" },
		{ { "g", "--gmem-2m" }, "--gmem-2m is about the memory of SEV-SNP guests" },
		{ { "g", "--gmem-2m", "--sev-es" }, "give --snp too" },
		{ { "g", "--sev-es=certs" }, "--sev-es: certificates are SEV-SNP's" },
		{ { "g", "--snp", "--sev-es" }, "--snp and --sev-es are two kinds" },
		{ { "g", "--sev-es", "--snp" }, "--snp and --sev-es are two kinds" },
		{ { "g", "--snp", "--ram=gmem" }, "--snp says itself what memory is made of" },
		{ { "g", "--snp", "--ram=private" }, "leave --ram private out" },
		{ { "g", "--ram=gmem", "--sev-es" }, "--sev-es says itself" },
		{ { "g", "--snp", "--xen" }, "leave --xen out" },
		{ { "g", "--sev-es", "--hyperv" }, "leave --hyperv out" },
		{ { "g", "--snp", "--force-emulation" }, "leave --force-emulation out" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome = parse(cases[i].words);

		EXPECT_FALSE(outcome.good, "%s", cases[i].says);
		if (!outcome.good)
			EXPECT_TRUE(strstr(outcome.why.text, cases[i].says), "'%s' says '%s'",
				    outcome.why.text, cases[i].says);
	}
}

TEST("seconds are read to the nanosecond")
{
	static const struct {
		const char *text;
		uint64_t nanoseconds; /* 0: refused */
	} cases[] = {
		{ "1", 1000000000 },
		{ "0.5", 500000000 },
		{ ".25", 250000000 },
		{ "2.", 2000000000 },
		{ "0.000000001", 1 },
		{ "0.0000000001", 0 },
		{ "1000000", 1000000000000000 },
		{ "1000001", 0 },
		{ "99999999999999999999999", 0 },
		{ "", 0 },
		{ ".", 0 },
		{ "1.5.", 0 },
		{ "1e3", 0 },
		{ "-1", 0 },
		{ " 1", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 0;
		bool good = options_parse_seconds(cases[i].text, &value);

		EXPECT_EQ(good, cases[i].nanoseconds != 0, "'%s'", cases[i].text);
		if (good)
			EXPECT_EQ(value, cases[i].nanoseconds, "'%s'", cases[i].text);
	}
}
