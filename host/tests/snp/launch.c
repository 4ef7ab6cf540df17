// SPDX-License-Identifier: BSD-2-Clause
/*
 * The launch of an SNP VM: what KVM and the firmware refuse
 *
 * A VM is launched by KVM_SEV_INIT2, SNP_LAUNCH_START, any number of SNP_LAUNCH_UPDATE, and SNP_LAUNCH_FINISH. KVM
 * checks what it can by itself, and the firmware has a state of its own: a command out of turn, a policy that
 * cannot be, pages of types that there are not, addresses and lengths that are not of pages. Whatever is refused
 * changes nothing: the launch can go on with the right command.
 *
 * Sources: Documentation/virt/kvm/x86/amd-memory-encryption.rst; arch/x86/kvm/svm/sev.c, sev_mem_enc_ioctl,
 * __sev_guest_init, snp_enable_certs, snp_launch_start, snp_launch_update, snp_launch_finish, sev_asid_new; SNP
 * firmware ABI (56860), 4.3 "Guest Policy", 8 "SNP_LAUNCH_START", "SNP_LAUNCH_UPDATE", "CPUID Page", and the table of
 * status codes.
 */
#include "common/sev.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define GPA		(16ull << 20)
#define PAGES		4
#define CPUID_SEV	0x8000001f
#define CPUID_MAX	64
#define VMS_MAX		512
#define FEATURE_SNP	1 /* SEV_FEATURES: KVM sets it by itself */

/* A VM that is being launched, and its slot, all private. */
struct place {
	int vm;
	uint8_t *data;
};

static struct place place(void)
{
	struct place place = { .vm = snp_vm_started() };

	place.data = snp_slot(place.vm, 0, GPA, PAGES, snp_file(place.vm, PAGES), 0);
	REQUIRE(!snp_attributes(place.vm, GPA, PAGES, true));
	return place;
}

static struct sev_snp_update one_page(const struct place *place)
{
	return (struct sev_snp_update){ .gfn_start = GPA / PAGE,
					.uaddr = (uintptr_t)place->data,
					.len = PAGE,
					.type = SEV_PAGE_NORMAL };
}

static void expect_update(const struct place *place, struct sev_snp_update update, int result,
			  const char *what)
{
	uint32_t error;

	EXPECT_EQ(snp_update(place->vm, &update, &error), result, "%s", what);
}

/* The three commands of the launch, with nothing wrong in themselves. */
static void expect_commands(int vm, int start, int update, int finish, const char *when)
{
	struct sev_snp_update page = { .len = PAGE, .type = SEV_PAGE_ZERO };
	uint32_t error;

	EXPECT_EQ(snp_update(vm, &page, &error), update, "update %s", when);
	EXPECT_EQ(snp_finish(vm, &error), finish, "finish %s", when);
	EXPECT_EQ(snp_start(vm, POLICY, &error), start, "start %s", when);
}

TEST("a VM that is not initialised for SNP knows none of its commands")
{
	expect_commands(sev_vm(KVM_X86_SNP_VM), -ENOTTY, -EINVAL, -ENOTTY, "before INIT2");
	expect_commands(sev_vm(KVM_X86_DEFAULT_VM), -ENOTTY, -EINVAL, -ENOTTY, "of a plain VM");
	expect_commands(sev_vm(KVM_X86_SEV_ES_VM), -ENOTTY, -EINVAL, -ENOTTY, "of an SEV-ES VM");
}

TEST("an SNP VM refuses the commands of SEV, and those that there are not")
{
	int vm = snp_vm();
	uint64_t data[16] = { 0 };
	uint32_t error;

	for (unsigned int id = 0; id < SEV_SNP_LAUNCH_START; id++)
		EXPECT_EQ(sev_command(vm, id, data, &error), -EPERM, "command %u", id);
	for (unsigned int id = SEV_SNP_ENABLE_REQ_CERTS + 1; id < 256; id++)
		EXPECT_EQ(sev_command(vm, id, data, &error), -EINVAL, "command %u", id);
}

TEST("nothing is launched or finished that was not started, and nothing is started twice")
{
	int vm = snp_vm();
	uint32_t error;

	expect_commands(vm, 0, -EINVAL, -EINVAL, "before start");
	EXPECT_EQ(snp_start(vm, POLICY, &error), -EINVAL, "the second start");
	EXPECT_EQ(snp_finish(vm, &error), 0);
}

TEST("after its end a launch is refused by the firmware, which says why")
{
	struct place new = place();
	struct sev_snp_update update = one_page(&new);
	uint32_t error;

	EXPECT_EQ(snp_finish(new.vm, &error), 0);
	EXPECT_EQ(snp_update(new.vm, &update, &error), -EIO);
	EXPECT_EQ(error, SEV_ERROR_INVALID_GUEST_STATE);
	EXPECT_EQ(update.len, PAGE);
	EXPECT_EQ(snp_finish(new.vm, &error), -EIO);
	EXPECT_EQ(error, SEV_ERROR_INVALID_GUEST_STATE);
	EXPECT_EQ(snp_start(new.vm, POLICY, &error), -EINVAL);
}

TEST("INIT2 refuses flags, features and GHCB versions that SNP does not have, and vCPUs before it")
{
	static const struct {
		struct sev_init2 init;
		int result;
	} cases[] = {
		{ { .flags = 1 }, -EINVAL },
		{ { .flags = 1u << 31 }, -EINVAL },
		{ { .vmsa_features = FEATURE_SNP }, -EINVAL },
		{ { .vmsa_features = 1ull << 63 }, -EINVAL },
		{ { .ghcb_version = 1 }, -EINVAL },
		{ { .ghcb_version = 3 }, -EINVAL },
		{ { .ghcb_version = 0xffff }, -EINVAL },
		{ { .ghcb_version = 2 }, 0 },
	};
	int vm = sev_vm(KVM_X86_SNP_VM);
	uint32_t error;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct sev_init2 init = cases[i].init;

		EXPECT_EQ(sev_command(vm, SEV_INIT2, &init, &error), cases[i].result, "case %zu",
			  i);
	}
	vm = sev_vm(KVM_X86_SNP_VM);
	REQUIRE(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
	EXPECT_EQ(snp_init2(vm), -EINVAL);
}

TEST("a VMM can ask to be asked for certificates until there is a vCPU, of an SNP VM alone")
{
	uint64_t has = 0;
	struct kvm_device_attr attr = { .group = SEV_ATTR_GROUP,
					.attr = SEV_ATTR_REQ_CERTS,
					.addr = (uintptr_t)&has };
	int vm = snp_vm();
	uint32_t error;

	if (sev_system_attribute(&attr) || !has)
		SKIP("KVM does not ask for certificates (KVM_X86_SEV_SNP_REQ_CERTS)");
	EXPECT_EQ(has, 1);
	EXPECT_EQ(sev_command(vm, SEV_SNP_ENABLE_REQ_CERTS, NULL, &error), 0);
	EXPECT_EQ(sev_command(vm, SEV_SNP_ENABLE_REQ_CERTS, NULL, &error), 0, "once more");
	REQUIRE(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
	EXPECT_EQ(sev_command(vm, SEV_SNP_ENABLE_REQ_CERTS, NULL, &error), -EINVAL, "too late");
	vm = sev_vm(KVM_X86_SEV_ES_VM);
	EXPECT_EQ(sev_command(vm, SEV_SNP_ENABLE_REQ_CERTS, NULL, &error), -EINVAL, "SEV-ES");
}

static uint64_t policy_bits(void)
{
	uint64_t bits = 0;
	struct kvm_device_attr attr = { .group = SEV_ATTR_GROUP,
					.attr = SEV_ATTR_POLICY_BITS,
					.addr = (uintptr_t)&bits };

	if (sev_system_attribute(&attr))
		SKIP("KVM does not say which policies it takes (KVM_X86_SNP_POLICY_BITS)");
	return bits;
}

TEST("a policy with a bit that KVM does not know, or without the one that must be, is refused")
{
	uint64_t known = policy_bits();
	int vm = snp_vm();
	uint32_t error;

	EXPECT_EQ(known & POLICY, POLICY);
	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(known & 1ull << bit))
			EXPECT_EQ(snp_start(vm, POLICY | 1ull << bit, &error), -EINVAL, "bit %u",
				  bit);
	EXPECT_EQ(snp_start(vm, POLICY_SMT, &error), -EINVAL);
	EXPECT_EQ(snp_start(vm, POLICY, &error), 0);
}

TEST("a policy that asks for newer firmware is refused by it, and another one is taken then")
{
	int vm = snp_vm();
	uint32_t error;

	EXPECT_EQ(snp_start(vm, POLICY | 0xffff, &error), -EIO);
	EXPECT_EQ(error, SEV_ERROR_POLICY_FAILURE);
	EXPECT_EQ(snp_start(vm, POLICY, &error), 0);
}

TEST("flags of a start, an update and a finish are refused, as there are none")
{
	struct place new = place();
	int vm = snp_vm();
	uint32_t error;

	for (unsigned int bit = 0; bit < 16; bit++) {
		struct sev_snp_start start = { .policy = POLICY, .flags = (__u16)(1u << bit) };
		struct sev_snp_update update = one_page(&new);
		struct sev_snp_finish finish = { .flags = (__u16)(1u << bit) };

		update.flags = (__u16)(1u << bit);
		EXPECT_EQ(sev_command(vm, SEV_SNP_LAUNCH_START, &start, &error), -EINVAL);
		expect_update(&new, update, -EINVAL, "flags");
		EXPECT_EQ(sev_command(new.vm, SEV_SNP_LAUNCH_FINISH, &finish, &error), -EINVAL);
	}
	expect_update(&new, one_page(&new), 0, "without flags");
	EXPECT_EQ(snp_finish(new.vm, &error), 0);
}

TEST("of 256 page types KVM takes five")
{
	struct place new = place();

	for (unsigned int type = 0; type < 256; type++) {
		struct sev_snp_update update = one_page(&new);

		update.type = (__u8)type;
		if (type == SEV_PAGE_NORMAL || (type >= SEV_PAGE_ZERO && type <= SEV_PAGE_CPUID))
			continue;
		expect_update(&new, update, -EINVAL, "a type that there is not");
	}
	for (unsigned int page = 0; page < PAGES; page++) {
		static const uint8_t types[PAGES] = { SEV_PAGE_NORMAL, SEV_PAGE_ZERO,
						      SEV_PAGE_UNMEASURED, SEV_PAGE_SECRETS };
		struct sev_snp_update update = one_page(&new);

		update.gfn_start += page;
		update.type = types[page];
		expect_update(&new, update, 0, "a type that there is");
	}
}

TEST("lengths and addresses that are not of pages are refused, and a GFN without a slot")
{
	static const uint64_t lengths[] = { 0, 1, PAGE - 1, PAGE + 1, ~0ull };
	struct place new = place();
	struct sev_snp_update update;

	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		update = one_page(&new);
		update.len = lengths[i];
		expect_update(&new, update, -EINVAL, "the length");
	}
	update = one_page(&new);
	update.uaddr += 8;
	expect_update(&new, update, -EINVAL, "an address within a page");
	update = one_page(&new);
	update.gfn_start += PAGES;
	expect_update(&new, update, -EINVAL, "behind the slot");
	update.gfn_start = ~0ull;
	expect_update(&new, update, -EINVAL, "no GFN");
	expect_update(&new, one_page(&new), 0, "the right one");
}

TEST("address 0 has no contents to launch, and a page of zeros needs none")
{
	static const uint8_t types[] = { SEV_PAGE_NORMAL, SEV_PAGE_UNMEASURED, SEV_PAGE_SECRETS,
					 SEV_PAGE_CPUID };
	struct place new = place();
	struct sev_snp_update update = one_page(&new);

	update.uaddr = 0;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		update.type = types[i];
		expect_update(&new, update, -EINVAL, "address 0");
	}
	update.type = SEV_PAGE_ZERO;
	expect_update(&new, update, 0, "zeros");
}

/* SNP firmware ABI, "CPUID Page" */
struct cpuid_page {
	uint32_t count, reserved_1;
	uint64_t reserved_2;
	struct {
		uint32_t eax_in, ecx_in;
		uint64_t xcr0, xss;
		uint32_t eax, ebx, ecx, edx;
		uint64_t reserved;
	} entries[CPUID_MAX];
};

static struct sev_snp_update cpuid_page(const struct place *place, unsigned int page,
					unsigned int c_bit)
{
	struct cpuid_page *cpuid = (void *)(place->data + page * PAGE);

	memset(cpuid, 0, sizeof(*cpuid));
	cpuid->count = 1;
	cpuid->entries[0].eax_in = CPUID_SEV;
	cpuid->entries[0].ebx = c_bit;
	return (struct sev_snp_update){ .gfn_start = GPA / PAGE + page,
					.uaddr = (uintptr_t)cpuid,
					.len = PAGE,
					.type = SEV_PAGE_CPUID };
}

TEST("a CPUID page that is wrong comes back corrected, and is taken then")
{
	struct place new = place();
	unsigned int c_bit = (unsigned int)__builtin_ctzll(snp_c_bit());
	struct sev_snp_update update = cpuid_page(&new, 0, c_bit - 1);
	struct cpuid_page *cpuid = (void *)new.data;
	uint32_t error;

	EXPECT_EQ(snp_update(new.vm, &update, &error), -EIO);
	EXPECT_EQ(error, SEV_ERROR_INVALID_PARAM);
	EXPECT_EQ(update.len, PAGE);
	EXPECT_EQ(cpuid->entries[0].ebx & 0x3f, c_bit);
	EXPECT_EQ(snp_update(new.vm, &update, &error), 0);
}

TEST("a CPUID page with too many functions is refused")
{
	struct place new = place();
	struct sev_snp_update update =
		cpuid_page(&new, 0, (unsigned int)__builtin_ctzll(snp_c_bit()));
	uint32_t error;

	((struct cpuid_page *)new.data)->count = CPUID_MAX + 1;
	EXPECT_EQ(snp_update(new.vm, &update, &error), -EIO);
	EXPECT_EQ(error, SEV_ERROR_INVALID_PARAM);
	((struct cpuid_page *)new.data)->count = CPUID_MAX;
	EXPECT_EQ(snp_update(new.vm, &update, &error), 0);
}

/*
 * KVM asks the firmware of each page, and tells of the first that fails only if none before it was done
 * (kvm_gmem_populate). By then the firmware has corrected the page, so that the next command, which would have told
 * of the error, finds nothing wrong: that something was is seen by the contents alone.
 */
TEST("a range of CPUID pages ends before the wrong one, which has been corrected by then")
{
	struct place new = place();
	unsigned int c_bit = (unsigned int)__builtin_ctzll(snp_c_bit());
	struct sev_snp_update update = cpuid_page(&new, 0, c_bit);
	struct cpuid_page *second = (void *)(new.data + PAGE);
	uint32_t error;

	cpuid_page(&new, 1, c_bit - 1);
	update.len = 2 * PAGE;
	EXPECT_EQ(snp_update(new.vm, &update, &error), 0);
	EXPECT_EQ(update.len, PAGE);
	EXPECT_EQ(update.gfn_start, GPA / PAGE + 1);
	EXPECT_EQ(update.uaddr, (uintptr_t)second);
	EXPECT_EQ(second->entries[0].ebx & 0x3f, c_bit);
	EXPECT_EQ(snp_update(new.vm, &update, &error), 0);
	EXPECT_EQ(update.len, 0);
}

/* Initialises VMs until there is no ASID left, and closes them all. Returns how many. */
static unsigned int use_all_asids(void)
{
	static int vms[VMS_MAX];
	unsigned int count = 0;
	int result = 0;

	while (!result && count < VMS_MAX) {
		vms[count] = sev_vm(KVM_X86_SNP_VM);
		result = snp_init2(vms[count]);
		count++;
	}
	for (unsigned int i = 0; i < count; i++)
		close(vms[i]);
	if (!result)
		SKIP("this host has ASIDs for %u VMs, and more", VMS_MAX);
	EXPECT_EQ(result, -EBUSY, "VM %u", count);
	return count - 1;
}

TEST("when the ASIDs have run out a VM is refused, and those of closed VMs are used again")
{
	unsigned int first = use_all_asids();

	EXPECT_GE(first, 1);
	EXPECT_EQ(use_all_asids(), first);
	snp_vm_started();
}
