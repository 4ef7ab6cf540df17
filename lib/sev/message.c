// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/message.h>

#include <libc/string.h>
#include <sev/gcm.h>
#include <sev/sev.h>

#define AUTHENTICATED __builtin_offsetof(struct message_header, algorithm)

/* The initialisation vector is the number, filled up with zeros. */
static struct gcm_message cipher(struct message *message, uint8_t iv[GCM_IV_SIZE])
{
	const struct secrets_page *secrets = (void *)(uintptr_t)sev.secrets_page;
	const struct message_header *header = &message->header;

	memset(iv, 0, GCM_IV_SIZE);
	memcpy(iv, &header->number, sizeof(header->number));
	return (struct gcm_message){
		.key = secrets->keys[header->key % MESSAGE_KEYS],
		.iv = iv,
		.header = (const uint8_t *)header + AUTHENTICATED,
		.header_size = sizeof(*header) - AUTHENTICATED,
		.data = message->payload,
		.size = header->size,
	};
}

void message_seal(struct message *message, enum message_type type, unsigned int key,
		  uint64_t number, uint16_t size)
{
	struct gcm_message gcm;
	uint8_t iv[GCM_IV_SIZE];

	message->header = (struct message_header){
		.number = number,
		.algorithm = MESSAGE_AES_256_GCM,
		.header_version = MESSAGE_HEADER_1,
		.header_size = sizeof(message->header),
		.type = type,
		.version = MESSAGE_VERSION_1,
		.size = size,
		.key = key,
	};
	gcm = cipher(message, iv);
	gcm_encrypt(&gcm, message->header.tag);
}

bool message_open(struct message *message)
{
	uint8_t tag[GCM_TAG_SIZE], iv[GCM_IV_SIZE];
	struct gcm_message gcm;

	if (message->header.size > sizeof(message->payload))
		return false;
	gcm = cipher(message, iv);
	gcm_decrypt(&gcm, tag);
	return memcmp(tag, message->header.tag, sizeof(tag)) == 0;
}
#endif
