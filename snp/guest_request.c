// SPDX-License-Identifier: BSD-2-Clause
/*
 * Guest requests: messages to the secure processor, carried by the hypervisor
 *
 * The guest encrypts a message under a key of its secrets page, which the hypervisor has never
 * seen, puts it into a shared page, and names that page and one for the answer. The hypervisor
 * carries both, and may drop them, but can neither read nor change nor repeat one: each has a number
 * that counts up. The firmware's errors come back in bits 31:0 of SW_EXITINFO2, those of the VMM in
 * 63:32, and SW_EXITINFO1 stays 0. An extended request of a report names pages for certificates,
 * too; where the VMM has none, the hypervisor ends their table with zeros at once.
 *
 * Here whole round trips, of reports and of derived keys, and each thing that must not get through.
 *
 * Sources: GHCB specification, 4.1.7 "SNP Guest Request", 4.1.8 "SNP Extended Guest Request"; SNP
 * firmware ABI, 7 and 8.26; KVM: arch/x86/kvm/svm/sev.c, snp_handle_guest_req,
 * snp_handle_ext_guest_req (with certificates not enabled, as vmrun has it by default).
 */
#include <libc/array.h>
#include <libc/string.h>
#include <sev/gcm.h>
#include <sev/ghcb.h>
#include <sev/message.h>
#include <sev/psc.h>
#include <sev/sev.h>
#include <test/test.h>
#include <x86/memory.h>

#define POLICY_RESERVED_1 (1ull << 17) /* must be set: SNP ABI, 4.3 "Guest Policy" */
#define TABLE_END	  24	       /* bytes of zeros */
#define GUARD		  0xcc

static uint8_t *request_page, *response_page, *data_page;
static struct message *request, *response;
static uint8_t *data;
static uint64_t next_number[MESSAGE_KEYS] = { 1, 1, 1, 1 };

/* NIST's test vectors of AES-256-GCM, the two shortest: what the test itself needs. */
static bool cipher_works(void)
{
	static const uint8_t tag_of_nothing[] = { 0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45, 0x36, 0xb9,
						  0xa9, 0x63, 0xb4, 0xf1, 0xc4, 0xcb, 0x73, 0x8b };
	static const uint8_t tag_of_zeros[] = { 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0,
						0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19 };
	static uint8_t zeros[GCM_KEY_SIZE], block[16], tag[GCM_TAG_SIZE];
	struct gcm_message gcm = { .key = zeros, .iv = zeros, .data = block };

	gcm_encrypt(&gcm, tag);
	if (memcmp(tag, tag_of_nothing, sizeof(tag)))
		return false;
	gcm.size = sizeof(block);
	gcm_encrypt(&gcm, tag);
	return !memcmp(tag, tag_of_zeros, sizeof(tag));
}

static void set_up(void)
{
	if (!request) {
		REQUIRE(cipher_works());
		request_page = page_alloc();
		response_page = page_alloc();
		data_page = page_alloc();
		request = page_share(request_page);
		response = page_share(response_page);
		data = page_share(data_page);
	}
	memset(request, 0, sizeof(*request));
	memset(response, GUARD, sizeof(*response));
	memset(data, GUARD, PAGE_SIZE);
}

static uint64_t send(uint64_t event)
{
	uint32_t result;
	uint64_t info_2 =
		ghcb_event(event, (uintptr_t)request_page, (uintptr_t)response_page, &result);

	EXPECT_EQ(result, GHCB_NO_ACTION);
	return info_2;
}

static void make_report_request(unsigned int key, uint32_t vmpl)
{
	struct report_request *report;

	set_up();
	report = (void *)request->payload;
	for (unsigned int i = 0; i < sizeof(report->report_data); i++)
		report->report_data[i] = (uint8_t)(0xa0 + i);
	report->vmpl = vmpl;
	message_seal(request, MESSAGE_REPORT_REQUEST, key, next_number[key], sizeof(*report));
}

/* The answer to the request with this key, which is there, and counts. */
static bool expect_response(enum message_type type, unsigned int key, uint16_t size)
{
	const struct message_header *header = &response->header;
	uint64_t number = next_number[key] + 1;

	next_number[key] += 2;
	EXPECT_EQ(header->number, number);
	EXPECT_EQ(header->type, type);
	EXPECT_EQ(header->size, size);
	EXPECT_EQ(header->key, key);
	EXPECT_EQ(header->algorithm, MESSAGE_AES_256_GCM);
	EXPECT_EQ(header->header_version, MESSAGE_HEADER_1);
	EXPECT_EQ(header->header_size, sizeof(*header));
	return EXPECT_TRUE(message_open(response), "the tag is right");
}

static void expect_report(unsigned int key, uint32_t vmpl)
{
	const struct report_response *answer = (const void *)response->payload;
	const struct report *report = &answer->report;

	if (!expect_response(MESSAGE_REPORT_RESPONSE, key, sizeof(*answer)))
		return;
	EXPECT_EQ(answer->status, MESSAGE_SUCCESS);
	EXPECT_EQ(answer->size, sizeof(*report));
	EXPECT_GE(report->version, 2);
	EXPECT_EQ(report->vmpl, vmpl);
	EXPECT_NE(report->policy & POLICY_RESERVED_1, 0);
	for (unsigned int i = 0; i < sizeof(report->report_data); i++)
		EXPECT_EQ(report->report_data[i], 0xa0 + i, "byte %u of the guest's data", i);
}

TEST("a report comes back, with the guest's data, encrypted and numbered")
{
	make_report_request(0, 0);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	expect_report(0, 0);
}

TEST("each report of a guest has the same measurement and identity, which are not zero")
{
	static struct report first;
	static const uint8_t zeros[sizeof(first.measurement)];
	const struct report *report;

	make_report_request(0, 0);
	report = &((const struct report_response *)response->payload)->report;
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	expect_report(0, 0);
	memcpy(&first, report, sizeof(first));
	EXPECT_NE(memcmp(first.measurement, zeros, sizeof(zeros)), 0);
	EXPECT_NE(memcmp(first.report_id, zeros, sizeof(first.report_id)), 0);

	make_report_request(0, 2);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	expect_report(0, 2);
	EXPECT_MEM_EQ(report->measurement, first.measurement, sizeof(first.measurement));
	EXPECT_MEM_EQ(report->report_id, first.report_id, sizeof(first.report_id));
}

TEST("the keys count their messages by themselves")
{
	for (unsigned int key = 1; key < MESSAGE_KEYS; key++) {
		make_report_request(key, key);
		EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0, "key %u", key);
		expect_report(key, key);
	}
}

TEST("the key of a VMPL gives no report of a higher one")
{
	make_report_request(2, 1);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	if (expect_response(MESSAGE_REPORT_RESPONSE, 2, sizeof(struct report_response)))
		EXPECT_EQ(((struct report_response *)response->payload)->status,
			  MESSAGE_INVALID_PARAM);
}

/* What the firmware does not take has no answer, and does not count. */
static void expect_refused(enum message_status status, const char *what)
{
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), status, "%s", what);
}

TEST("a message with another number than the next is refused, so that none is heard twice")
{
	make_report_request(0, 0);
	next_number[0] -= 2;
	make_report_request(0, 0);
	expect_refused(MESSAGE_INVALID_PARAM, "the one before");
	next_number[0] += 3;
	make_report_request(0, 0);
	expect_refused(MESSAGE_INVALID_PARAM, "one that is even");
	next_number[0] += 1;
	make_report_request(0, 0);
	expect_refused(MESSAGE_INVALID_PARAM, "the one after the next");
	next_number[0] -= 2;
	make_report_request(0, 0);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	expect_report(0, 0);
}

TEST("a message that was changed on its way is refused as such, and does not count")
{
	make_report_request(0, 0);
	request->payload[5] ^= 0x10;
	expect_refused(MESSAGE_BAD_MEASUREMENT, "the payload");
	make_report_request(0, 0);
	request->header.tag[0] ^= 1;
	expect_refused(MESSAGE_BAD_MEASUREMENT, "the tag");
	make_report_request(0, 0);
	request->header.type = MESSAGE_KEY_REQUEST;
	expect_refused(MESSAGE_BAD_MEASUREMENT, "the type, in the header");
	make_report_request(0, 0);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	expect_report(0, 0);
}

TEST("a message in a private page is not what the hypervisor carries, and the answer not either")
{
	static struct message copy;

	make_report_request(0, 0);
	memcpy(&copy, request, sizeof(copy));
	page_unshare(request_page);
	memcpy(request_page, &copy, sizeof(copy));
	expect_refused(MESSAGE_INVALID_PARAM, "a private request");
	EXPECT_MEM_EQ(request_page, &copy, sizeof(copy));
	request = page_share(request_page);

	make_report_request(0, 0);
	page_unshare(response_page);
	memset(response_page, GUARD, PAGE_SIZE);
	EXPECT_EQ(send(GHCB_GUEST_REQUEST), 0);
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		EXPECT_EQ(response_page[i], GUARD, "byte %u", i);
	response = page_share(response_page);
	next_number[0] += 2;
}

static struct key_response make_key(uint64_t fields, uint64_t event)
{
	struct key_response answer = { 0 };
	struct key_request *key;

	set_up();
	key = (void *)request->payload;
	key->fields = fields;
	message_seal(request, MESSAGE_KEY_REQUEST, 0, next_number[0], sizeof(*key));
	EXPECT_EQ(send(event), 0);
	if (expect_response(MESSAGE_KEY_RESPONSE, 0, sizeof(answer)))
		memcpy(&answer, response->payload, sizeof(answer));
	EXPECT_EQ(answer.status, MESSAGE_SUCCESS);
	return answer;
}

TEST("a derived key is the same for the same request, and another for another")
{
	struct key_response first = make_key(0, GHCB_GUEST_REQUEST);
	struct key_response again = make_key(0, GHCB_GUEST_REQUEST);
	struct key_response other = make_key(1, GHCB_GUEST_REQUEST);

	EXPECT_MEM_EQ(again.key, first.key, sizeof(first.key));
	EXPECT_NE(memcmp(other.key, first.key, sizeof(first.key)), 0);
}

struct answer {
	uint64_t info_1, info_2;
};

/* Bit 0 and 1 of "missing": RAX, RBX. */
static struct answer send_extended(uint64_t data_gpa, uint64_t pages, unsigned int missing)
{
	struct ghcb_hold hold;
	struct ghcb *ghcb = ghcb_take(&hold);
	struct answer answer;

	GHCB_SET(ghcb, rax, data_gpa);
	GHCB_SET(ghcb, rbx, pages);
	if (missing & 1)
		ghcb_set_valid(ghcb, GHCB_BIT(rax), false);
	if (missing & 2)
		ghcb_set_valid(ghcb, GHCB_BIT(rbx), false);
	answer.info_1 = ghcb_exit(ghcb, GHCB_EXT_GUEST_REQUEST, (uintptr_t)request_page,
				  (uintptr_t)response_page);
	answer.info_2 = ghcb->sw_exit_info_2;
	ghcb_release(&hold);
	return answer;
}

/* So many of the page's first bytes are zero, and the rest is as it was. */
static void expect_data(unsigned int zeros)
{
	for (unsigned int i = 0; i < PAGE_SIZE; i++)
		if (!EXPECT_EQ(data[i], i < zeros ? 0 : GUARD, "byte %u", i))
			return;
}

TEST("an extended request has a report, and an empty table of certificates")
{
	struct answer answer;

	make_report_request(0, 0);
	answer = send_extended((uintptr_t)data_page, 1, 0);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, 0);
	expect_report(0, 0);
	expect_data(TABLE_END);
}

TEST("an extended request without room for certificates leaves that page alone")
{
	struct answer answer;

	make_report_request(0, 0);
	answer = send_extended((uintptr_t)data_page, 0, 0);
	EXPECT_EQ(answer.info_1, GHCB_NO_ACTION);
	EXPECT_EQ(answer.info_2, 0);
	expect_report(0, 0);
	expect_data(0);
}

TEST("an extended request of a report that lacks RAX or RBX, or with a page that is none, is invalid")
{
	static const struct {
		unsigned int offset, missing;
		const char *name;
	} bad[] = { { 0, 1, "no RAX" }, { 0, 2, "no RBX" }, { 8, 0, "unaligned" } };

	for (unsigned int i = 0; i < COUNT_OF(bad); i++) {
		struct answer answer;

		make_report_request(0, 0);
		answer = send_extended((uintptr_t)data_page + bad[i].offset, 1, bad[i].missing);
		EXPECT_EQ(answer.info_1, GHCB_BAD_INPUT, "%s", bad[i].name);
		EXPECT_EQ(answer.info_2, GHCB_ERROR_INVALID, "%s", bad[i].name);
		EXPECT_EQ(response->payload[0], GUARD, "%s: an answer", bad[i].name);
		expect_data(0);
	}
}

TEST("an extended request of something else needs neither, and leaves that page alone")
{
	make_key(0, GHCB_EXT_GUEST_REQUEST);
	expect_data(0);
}
