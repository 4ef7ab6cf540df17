// SPDX-License-Identifier: BSD-2-Clause
#include <hyperv/hypercall.h>
#include <hyperv/targets.h>
#include <hyperv/xmm.h>
#include <test/test.h>
#include <x86/memory.h>

#define SPACE	 HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE
#define LIST	 HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST
#define SPACE_EX HVCALL_FLUSH_VIRTUAL_ADDRESS_SPACE_EX
#define LIST_EX	 HVCALL_FLUSH_VIRTUAL_ADDRESS_LIST_EX

const struct hv_form hv_flush_forms[HV_FLUSH_FORMS] = {
	{ .name = "space", .code = SPACE },
	{ .name = "space, fast", .code = SPACE, .fast = true },
	{ .name = "list", .code = LIST, .list = true },
	{ .name = "list, fast", .code = LIST, .list = true, .fast = true },
	{ .name = "space_EX", .code = SPACE_EX, .ex = true },
	{ .name = "space_EX, fast", .code = SPACE_EX, .ex = true, .fast = true },
	{ .name = "list_EX", .code = LIST_EX, .ex = true, .list = true },
	{ .name = "list_EX, fast", .code = LIST_EX, .ex = true, .list = true, .fast = true },
};

const struct hv_form hv_ipi_forms[HV_IPI_FORMS] = {
	{ .name = "IPI", .code = HVCALL_SEND_IPI },
	{ .name = "IPI, fast", .code = HVCALL_SEND_IPI, .fast = true },
	{ .name = "IPI_EX", .code = HVCALL_SEND_IPI_EX, .ex = true },
	{ .name = "IPI_EX, fast", .code = HVCALL_SEND_IPI_EX, .ex = true, .fast = true },
};

/* Input is built as 64-bit words, of which a fast call has the first two in general registers. */
struct input {
	unsigned int count;
	uint64_t words[PAGE_SIZE / 8];
};

static void add(struct input *input, uint64_t word)
{
	REQUIRE(input->count < PAGE_SIZE / 8);
	input->words[input->count++] = word;
}

static void add_set(struct input *input, const struct hv_targets *targets)
{
	add(input, targets->all ? HV_GENERIC_SET_ALL : HV_GENERIC_SET_SPARSE_4K);
	add(input, targets->valid);
	for (unsigned int i = 0; i < (unsigned int)__builtin_popcountll(targets->valid); i++)
		add(input, i < HV_BANKS_MAX ? targets->banks[i] : 0);
}

static uint64_t variable_header(const struct hv_form *form, const struct hv_targets *targets)
{
	int banks = form->ex ? __builtin_popcountll(targets->valid) : 0;

	return (uint64_t)(unsigned int)(banks + targets->header_off_by)
	       << HV_HYPERCALL_VARHEAD_SHIFT;
}

/* What does not fit into the registers of a fast call stays away: KVM is to refuse the call. */
static uint64_t call(const struct hv_form *form, uint64_t control, const struct input *input)
{
	uint64_t halves[HV_XMM_HALVES] = { 0 };

	if (!form->fast)
		return hv_hypercall(control, (uintptr_t)input->words, 0);
	for (unsigned int i = 2; i < input->count && i - 2 < HV_XMM_HALVES; i++)
		halves[i - 2] = input->words[i];
	return hv_xmm_call(control, input->words[0], input->words[1], halves);
}

/* A page of its own, so that all of it is readable. */
static struct input *new_input(void)
{
	static struct input input __attribute__((aligned(PAGE_SIZE)));

	input.count = 0;
	return &input;
}

uint64_t hv_flush(const struct hv_form *form, const struct hv_targets *targets,
		  const uint64_t *list, unsigned int count)
{
	uint64_t control = form->code | variable_header(form, targets);
	struct input *input = new_input();

	add(input, 0);
	add(input, HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES |
			   (!form->ex && targets->all ? HV_FLUSH_ALL_PROCESSORS : 0));
	if (form->ex)
		add_set(input, targets);
	else
		add(input, targets->banks[0]);
	for (unsigned int i = 0; form->list && i < count; i++)
		add(input, list[i]);
	if (form->list)
		control |= (uint64_t)count << HV_HYPERCALL_REP_COUNT;
	return call(form, control, input);
}

uint64_t hv_send_ipi(const struct hv_form *form, const struct hv_targets *targets, uint64_t vector)
{
	struct input *input = new_input();

	add(input, vector);
	if (form->ex)
		add_set(input, targets);
	else
		add(input, targets->banks[0]);
	return call(form, form->code | variable_header(form, targets), input);
}

uint64_t *hv_last_words(unsigned int count)
{
	uintptr_t end = memory_size() & PAGE_MASK;

	while (memory_is_ram(end, PAGE_SIZE))
		end += PAGE_SIZE;
	while (!memory_is_ram(end - PAGE_SIZE, PAGE_SIZE))
		end -= PAGE_SIZE;
	return (uint64_t *)end - count;
}
