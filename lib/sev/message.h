/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages between a guest and the secure processor: SEV-SNP firmware ABI (56860), 7 "Guest
 * Messages", 8.17.2.5 "Secrets Page", 8.26 SNP_GUEST_REQUEST
 *
 * A message is a page: a header, and a payload that is encrypted under one of the four keys of the
 * secrets page, one for each VMPL. Requests have odd sequence numbers, which count for each key by
 * itself.
 */
#ifndef SEV_MESSAGE_H
#define SEV_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_KEYS	    4
#define MESSAGE_KEY_SIZE    32
#define MESSAGE_AES_256_GCM 1
#define MESSAGE_HEADER_1    1 /* version of the header */
#define MESSAGE_VERSION_1   1

enum message_type {
	MESSAGE_KEY_REQUEST = 3,
	MESSAGE_KEY_RESPONSE = 4,
	MESSAGE_REPORT_REQUEST = 5,
	MESSAGE_REPORT_RESPONSE = 6,
};

struct __attribute__((packed)) message_header {
	uint8_t tag[32];
	uint64_t number;
	uint64_t reserved_28;
	uint8_t algorithm; /* from here on the header is authenticated */
	uint8_t header_version;
	uint16_t header_size;
	uint8_t type;
	uint8_t version;
	uint16_t size; /* of the payload */
	uint32_t reserved_38;
	uint8_t key;
	uint8_t reserved_3d[35];
};

struct message {
	struct message_header header;
	uint8_t payload[4096 - sizeof(struct message_header)];
};

_Static_assert(sizeof(struct message_header) == 0x60, "as in table \"Message Header Format\"");

struct secrets_page {
	uint32_t version;
	uint8_t reserved_004[0x20 - 4];
	uint8_t keys[MESSAGE_KEYS][MESSAGE_KEY_SIZE];
};

struct report_request {
	uint8_t report_data[64];
	uint32_t vmpl;
	uint8_t reserved[28];
};

struct __attribute__((packed)) report {
	uint32_t version, guest_svn;
	uint64_t policy;
	uint8_t family_id[16], image_id[16];
	uint32_t vmpl, signature_algorithm;
	uint8_t reserved_038[0x50 - 0x38];
	uint8_t report_data[64];
	uint8_t measurement[48];
	uint8_t host_data[32];
	uint8_t reserved_0e0[0x140 - 0xe0];
	uint8_t report_id[32];
	uint8_t rest[0x4a0 - 0x160];
};

struct report_response {
	uint32_t status, size;
	uint8_t reserved[24];
	struct report report;
};

struct key_request {
	uint32_t root_key, reserved;
	uint64_t fields;
	uint32_t vmpl, guest_svn;
	uint64_t tcb;
};

struct key_response {
	uint32_t status;
	uint8_t reserved[28];
	uint8_t key[32];
};

_Static_assert(__builtin_offsetof(struct report, report_id) == 0x140, "as in the table of 7.3");
_Static_assert(sizeof(struct report) == 0x4a0, "as in the table of 7.3");

/* Status of the firmware: SW_EXITINFO2, bits 31:0, and in responses. SNP ABI, 6 "Status Codes". */
enum message_status {
	MESSAGE_SUCCESS = 0,
	MESSAGE_BAD_MEASUREMENT = 0x0b, /* the tag is not right */
	MESSAGE_INVALID_PARAM = 0x16,
};

/* Fills in the header and encrypts the payload of this size, which is in its place already. */
void message_seal(struct message *message, enum message_type type, unsigned int key,
		  uint64_t number, uint16_t size);

/* Decrypts the payload by what the header says; false: the tag is not right. */
bool message_open(struct message *message);

#endif
