// SPDX-License-Identifier: BSD-2-Clause
/*
 * Extended guest requests, where the hypervisor asks the VMM for the certificates
 *
 * Who checks a report needs the certificates of the key that has signed it, and the host has them. An
 * extended request for a report names pages for them. The VMM, asked before the firmware is, fills
 * them in, or says that they are too few, and how many it takes; then the firmware has not seen the
 * message, and the guest sends the same one again, with more room. Were it otherwise, each try would
 * use up a number, and the key would be lost when one answer went astray.
 *
 * vmrun has no certificates, and so a table that is just its end. snp/guest_request.c has the same
 * request where the VMM is not asked.
 *
 * Sources: GHCB specification, "SNP Extended Guest Request"; KVM: Documentation/virt/kvm/api.rst,
 * KVM_EXIT_SNP_REQ_CERTS; arch/x86/kvm/svm/sev.c, snp_handle_ext_guest_req, snp_complete_req_certs;
 * include/uapi/linux/sev-guest.h (the VMM's errors).
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/ghcb.h>
#include <sev/message.h>
#include <sev/psc.h>
#include <test/test.h>
#include <x86/memory.h>

#define TABLE_END	24 /* bytes of zeros */
#define GUARD		0xcc
#define VMM_INVALID_LEN (1ull << 32)
#define VMM_GENERIC	(0xffffffffull << 32) /* sev.c, SNP_GUEST_VMM_ERR_GENERIC */
#define VMM_PAGES	1		      /* what vmrun's table takes */

static struct message *request, *response;
static uint8_t *data;
static void *request_page, *response_page, *data_page;
static uint64_t number = 1;

struct answer {
	uint64_t info_1, info_2, rbx;
};

static void make(enum message_type type, uint16_t size)
{
	if (!request) {
		request = page_share(request_page = page_alloc());
		response = page_share(response_page = page_alloc());
		data = page_share(data_page = page_alloc());
	}
	memset(request, 0, sizeof(*request));
	memset(response, GUARD, sizeof(*response));
	memset(data, GUARD, PAGE_SIZE);
	message_seal(request, type, 0, number, size);
}

static void make_report_request(void)
{
	make(MESSAGE_REPORT_REQUEST, sizeof(struct report_request));
}

static struct answer send(uint64_t event, uint64_t data_gpa, uint64_t pages, unsigned int missing)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	GHCB_SET(ghcb, rax, data_gpa);
	GHCB_SET(ghcb, rbx, pages);
	if (missing)
		ghcb_set_valid(ghcb, missing, false);
	answer.info_1 = ghcb_exit(ghcb, event, (uintptr_t)request_page, (uintptr_t)response_page);
	answer.info_2 = ghcb->sw_exit_info_2;
	answer.rbx = ghcb->rbx;
	ghcb_release(&hold);
	return answer;
}

static struct answer send_extended(uint64_t data_gpa, uint64_t pages)
{
	return send(GHCB_EXT_GUEST_REQUEST, data_gpa, pages, 0);
}

/* So many of the page's first bytes are zero, and the rest is as it was. */
static void expect_data(unsigned int zeros)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (!EXPECT_EQ(data[i], i < zeros ? 0 : GUARD, "byte %u of the data", i))
			return;
}

/* The firmware has seen the message, and answered. */
static void expect_answered(struct answer answer, enum message_type type)
{
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, 0);
	EXPECT_EQ(response->header.type, type);
	EXPECT_EQ(response->header.number, number + 1);
	EXPECT_TRUE(message_open(response), "the tag is right");
	number += 2;
}

static void expect_unseen(void)
{
	const uint8_t *bytes = (const uint8_t *)response;

	for (unsigned int i = 0; i < sizeof(*response); i++)
		if (!EXPECT_EQ(bytes[i], GUARD, "byte %u of the answer", i))
			return;
}

TEST("the VMM's table is in the first page, and nothing behind it, and the report comes")
{
	static const uint64_t rooms[] = { 1, 2, 1ull << 32, ~0ull };

	for (unsigned int i = 0; i < COUNT_OF(rooms); i++) {
		struct answer answer;

		make_report_request();
		answer = send_extended((uintptr_t)data_page, rooms[i]);
		expect_answered(answer, MESSAGE_REPORT_RESPONSE);
		EXPECT_EQ(answer.rbx, rooms[i]);
		expect_data(TABLE_END);
	}
}

TEST("without room the VMM says how many pages it takes, and the same message is answered then")
{
	struct answer answer;

	make_report_request();
	answer = send_extended((uintptr_t)data_page, 0);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, VMM_INVALID_LEN);
	EXPECT_EQ(answer.rbx, VMM_PAGES);
	expect_unseen();
	expect_data(0);
	expect_answered(send_extended((uintptr_t)data_page, answer.rbx), MESSAGE_REPORT_RESPONSE);
	expect_data(TABLE_END);
}

TEST("pages that are no memory are refused by the VMM, and the same message is answered then")
{
	const uint64_t nowhere[] = { memory_hole(), 0xfffffffffffff000 };

	make_report_request();
	for (unsigned int i = 0; i < COUNT_OF(nowhere); i++) {
		struct answer answer = send_extended(nowhere[i], 1);

		EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
		EXPECT_EQ(answer.info_2, VMM_GENERIC);
		expect_unseen();
	}
	expect_answered(send_extended((uintptr_t)data_page, 1), MESSAGE_REPORT_RESPONSE);
	expect_data(TABLE_END);
}

TEST("without RAX or RBX, or with a page that is not aligned, the VMM is not asked")
{
	static const struct {
		unsigned int offset, missing;
		const char *name;
	} bad[] = { { 0, GHCB_BIT(rax), "no RAX" },
		    { 0, GHCB_BIT(rbx), "no RBX" },
		    { 8, 0, "unaligned" } };

	make_report_request();
	for (unsigned int i = 0; i < COUNT_OF(bad); i++) {
		struct answer answer =
			send(GHCB_EXT_GUEST_REQUEST, (uintptr_t)data_page + bad[i].offset, 1,
			     bad[i].missing);

		EXPECT_EQ(answer.info_1, GHCB_BAD_INPUT, "%s", bad[i].name);
		EXPECT_EQ(answer.info_2, GHCB_ERROR_INVALID, "%s", bad[i].name);
		expect_unseen();
		expect_data(0);
	}
	expect_answered(send_extended((uintptr_t)data_page, 1), MESSAGE_REPORT_RESPONSE);
}

/* It would refuse them, for want of room. */
TEST("a plain request, and one of something else than a report, do not ask the VMM")
{
	make_report_request();
	expect_answered(send(GHCB_GUEST_REQUEST, (uintptr_t)data_page, 0, 0),
			MESSAGE_REPORT_RESPONSE);
	expect_data(0);
	make(MESSAGE_KEY_REQUEST, sizeof(struct key_request));
	expect_answered(send_extended((uintptr_t)data_page, 0), MESSAGE_KEY_RESPONSE);
	expect_data(0);
}

TEST("what the firmware refuses is told as such, with the VMM's table in its place")
{
	struct answer answer;

	make_report_request();
	request->payload[5] ^= 0x10;
	answer = send_extended((uintptr_t)data_page, 1);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, MESSAGE_BAD_MEASUREMENT);
	expect_data(TABLE_END);
	make_report_request();
	expect_answered(send_extended((uintptr_t)data_page, 1), MESSAGE_REPORT_RESPONSE);
}

TEST("a private page is refused by the VMM, and keeps what it has")
{
	struct answer answer;

	make_report_request();
	page_unshare(data_page);
	memset(data_page, GUARD, PAGE_SIZE);
	answer = send_extended((uintptr_t)data_page, 1);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, VMM_GENERIC);
	expect_unseen();
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (!EXPECT_EQ(((uint8_t *)data_page)[i], GUARD, "byte %u", i))
			break;
	data = page_share(data_page);
	expect_answered(send_extended((uintptr_t)data_page, 1), MESSAGE_REPORT_RESPONSE);
}
