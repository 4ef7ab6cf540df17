// SPDX-License-Identifier: BSD-2-Clause
/*
 * What vmrun says of a machine that cannot run encrypted guests: the one thing that is missing, the CPU, the
 * module, its parameter, the kernel or the device, and what helps
 */
#include <errno.h>
#include <string.h>
#include <test/test.h>

#include "../sev_host.h"

#define TYPE_ES	 (1u << 3)
#define TYPE_SNP (1u << 4)

TEST("each thing that is missing is named, with its cure")
{
	static const struct {
		struct sev_host host;
		enum sev_kind kind;
		const char *says[2];
	} cases[] = {
		{ { .vm_types = 3 }, SEV_SNP, { "SEV-SNP is AMD's", "kvm_amd" } },
		{ { .vm_types = 3, .cpu = true }, SEV_ES, { "SEV-ES is AMD's", "kvm_amd" } },
		{ { .amd = true }, SEV_SNP, { "EPYC 7003", "no parameter sev_snp" } },
		{ { .amd = true }, SEV_ES, { "EPYC 7002", "software platform" } },
		{ { .amd = true, .cpu = true }, SEV_SNP, { "no parameter sev_snp", "Linux 6.11" } },
		{ { .amd = true, .cpu = true }, SEV_ES, { "no parameter sev_es", "Linux 6.11" } },
		{ { .amd = true, .cpu = true, .parameter = true, .vm_types = TYPE_ES },
		  SEV_SNP,
		  { "the CPU has SEV-SNP", "sev_snp=1" } },
		{ { .amd = true, .cpu = true, .parameter = true, .vm_types = TYPE_SNP },
		  SEV_ES,
		  { "the CPU has SEV-ES", "sev_es=1" } },
		{ { .amd = true, .parameter = true, .software = true },
		  SEV_SNP,
		  { "EPYC 7003", "snp_sw=insecure" } },
		{ { .amd = true, .parameter = true, .software = true },
		  SEV_ES,
		  { "EPYC 7002", "snp_sw=insecure" } },
		{ { .amd = true, .parameter = true },
		  SEV_SNP,
		  { "the CPU has no SEV-SNP", "no software platform" } },
		{ { .amd = true, .parameter = true, .vm_types = TYPE_SNP },
		  SEV_SNP,
		  { "memory attributes", "Linux 6.11" } },
		{ { .amd = true,
		    .parameter = true,
		    .vm_types = TYPE_SNP,
		    .parts = true,
		    .device_error = ENOENT },
		  SEV_SNP,
		  { "/dev/sev: No such file", "module ccp" } },
		{ { .amd = true,
		    .parameter = true,
		    .vm_types = TYPE_SNP,
		    .parts = true,
		    .device_error = EACCES },
		  SEV_SNP,
		  { "/dev/sev: Permission denied", "root" } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message detail;

		EXPECT_FALSE(sev_host_judge(&cases[i].host, cases[i].kind, &detail), "case %zu", i);
		for (size_t word = 0; word < 2; word++)
			EXPECT_TRUE(strstr(detail.text, cases[i].says[word]), "'%s' says '%s'",
				    detail.text, cases[i].says[word]);
	}
}

TEST("a machine that has it all says by what")
{
	struct sev_host host = { .vm_types = TYPE_SNP | TYPE_ES,
				 .amd = true,
				 .cpu = true,
				 .parameter = true,
				 .parts = true };
	struct message detail;

	EXPECT_TRUE(sev_host_judge(&host, SEV_SNP, &detail));
	EXPECT_STR_EQ(detail.text, "by the CPU");
	host.cpu = false;
	EXPECT_TRUE(sev_host_judge(&host, SEV_ES, &detail));
	EXPECT_TRUE(strstr(detail.text, "software platform"), "%s", detail.text);
}
