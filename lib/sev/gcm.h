/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES-256-GCM (FIPS 197; NIST SP 800-38D), for messages to the secure processor
 *
 * Short and slow: a message is a few hundred bytes. Not for keys that matter.
 */
#ifndef SEV_GCM_H
#define SEV_GCM_H

#include <stddef.h>
#include <stdint.h>

#define GCM_KEY_SIZE 32
#define GCM_IV_SIZE  12
#define GCM_TAG_SIZE 16

struct gcm_message {
	const uint8_t *key; /* GCM_KEY_SIZE */
	const uint8_t *iv;  /* GCM_IV_SIZE */
	const void *header; /* authenticated, in the clear */
	size_t header_size;
	void *data; /* in place */
	size_t size;
};

/* Both write the tag of the ciphertext, which whoever decrypts is to compare. */
void gcm_encrypt(const struct gcm_message *message, uint8_t tag[GCM_TAG_SIZE]);
void gcm_decrypt(const struct gcm_message *message, uint8_t tag[GCM_TAG_SIZE]);

#endif
