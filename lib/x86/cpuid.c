// SPDX-License-Identifier: BSD-2-Clause
#include <x86/cpuid.h>

#include <libc/string.h>

#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_END	 0x40010000u
#define HYPERVISOR_STEP	 0x100u

struct cpuid cpuid_checked(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid range = cpuid(leaf & 0xffff0000u, 0);

	/* Outside of a range that exists EAX is not a leaf of this range at all. */
	if (range.eax < leaf || (range.eax & 0xffff0000u) != (leaf & 0xffff0000u))
		return (struct cpuid){ 0 };
	return cpuid(leaf, subleaf);
}

bool cpuid_hypervisor(const char signature[12], uint32_t *base)
{
	for (uint32_t leaf = HYPERVISOR_FIRST; leaf < HYPERVISOR_END; leaf += HYPERVISOR_STEP) {
		struct cpuid id = cpuid(leaf, 0);

		if (!memcmp(&id.ebx, signature, 4) && !memcmp(&id.ecx, signature + 4, 4) &&
		    !memcmp(&id.edx, signature + 8, 4)) {
			*base = leaf;
			return true;
		}
	}
	return false;
}

bool cpu_is_amd(void)
{
	struct cpuid id = cpuid(0, 0);

	return (!memcmp(&id.ebx, "Auth", 4) && !memcmp(&id.edx, "enti", 4) &&
		!memcmp(&id.ecx, "cAMD", 4)) ||
	       (!memcmp(&id.ebx, "Hygo", 4) && !memcmp(&id.edx, "nGen", 4) &&
		!memcmp(&id.ecx, "uine", 4));
}
