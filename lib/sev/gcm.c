// SPDX-License-Identifier: BSD-2-Clause
#ifdef __x86_64__
#include <sev/gcm.h>

#include <libc/string.h>

#define BLOCK	   16
#define ROUNDS	   14
#define KEY_WORDS  8
#define SCHEDULE   (4 * (ROUNDS + 1))
#define POLYNOMIAL 0x1b /* x^8 + x^4 + x^3 + x + 1 */
#define REDUCTION  0xe1 /* of GF(2^128), in GCM's order of bits */

struct aes {
	uint8_t keys[SCHEDULE][4];
};

static uint8_t times_2(uint8_t value)
{
	return (uint8_t)(value << 1 ^ (value & 0x80 ? POLYNOMIAL : 0));
}

static uint8_t times(uint8_t a, uint8_t b)
{
	uint8_t product = 0;

	for (; b; b >>= 1, a = times_2(a))
		product ^= b & 1 ? a : 0;
	return product;
}

static uint8_t rotate(uint8_t value, unsigned int count)
{
	return (uint8_t)(value << count | value >> (8 - count));
}

/* FIPS 197, 5.1.1: the inverse in GF(2^8), which is the 254th power, and an affine transformation. */
static uint8_t make_sbox_entry(uint8_t value)
{
	uint8_t inverse = 1;

	for (unsigned int i = 0; i < 254; i++)
		inverse = times(inverse, value);
	return inverse ^ rotate(inverse, 1) ^ rotate(inverse, 2) ^ rotate(inverse, 3) ^
	       rotate(inverse, 4) ^ 0x63;
}

static uint8_t sbox(uint8_t value)
{
	static uint8_t table[256];

	/* Entry 0 is 0x63. */
	for (unsigned int i = 0; !table[0] && i < 256; i++)
		table[255 - i] = make_sbox_entry((uint8_t)(255 - i));
	return table[value];
}

/* FIPS 197, 5.2 */
static void expand_key(struct aes *aes, const uint8_t *key)
{
	uint8_t constant = 1;

	memcpy(aes->keys, key, GCM_KEY_SIZE);
	for (unsigned int i = KEY_WORDS; i < SCHEDULE; i++) {
		const uint8_t *last = aes->keys[i - 1];

		for (unsigned int byte = 0; byte < 4; byte++) {
			uint8_t value = last[byte];

			if (i % KEY_WORDS == 0)
				value = sbox(last[(byte + 1) % 4]) ^ (byte ? 0 : constant);
			else if (i % KEY_WORDS == 4)
				value = sbox(value);
			aes->keys[i][byte] = aes->keys[i - KEY_WORDS][byte] ^ value;
		}
		if (i % KEY_WORDS == 0)
			constant = times_2(constant);
	}
}

static void add_key(uint8_t *state, const struct aes *aes, unsigned int round)
{
	for (unsigned int i = 0; i < BLOCK; i++)
		state[i] ^= aes->keys[4 * round + i / 4][i % 4];
}

static void substitute_and_shift(uint8_t *state)
{
	uint8_t old[BLOCK];

	memcpy(old, state, BLOCK);
	for (unsigned int i = 0; i < BLOCK; i++)
		state[i] = sbox(old[(i + 4 * (i % 4)) % BLOCK]);
}

static void mix_columns(uint8_t *state)
{
	for (uint8_t *column = state; column < state + BLOCK; column += 4) {
		uint8_t all = column[0] ^ column[1] ^ column[2] ^ column[3], first = column[0];

		for (unsigned int i = 0; i < 4; i++)
			column[i] ^= all ^ times_2(column[i] ^ (i == 3 ? first : column[i + 1]));
	}
}

static void encrypt_block(const struct aes *aes, uint8_t *state)
{
	add_key(state, aes, 0);
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		substitute_and_shift(state);
		if (round < ROUNDS)
			mix_columns(state);
		add_key(state, aes, round);
	}
}

/* SP 800-38D, 6.3: a = a * b */
static void multiply(uint8_t *a, const uint8_t *b)
{
	uint8_t product[BLOCK] = { 0 }, power[BLOCK];

	memcpy(power, b, BLOCK);
	for (unsigned int bit = 0; bit < 8 * BLOCK; bit++) {
		uint8_t out = power[BLOCK - 1] & 1;

		for (unsigned int i = 0; i < BLOCK; i++)
			product[i] ^= a[bit / 8] >> (7 - bit % 8) & 1 ? power[i] : 0;
		for (unsigned int i = BLOCK - 1; i; i--)
			power[i] = (uint8_t)(power[i] >> 1 | power[i - 1] << 7);
		power[0] = (uint8_t)(power[0] >> 1 ^ (out ? REDUCTION : 0));
	}
	memcpy(a, product, BLOCK);
}

/* SP 800-38D, 6.4, of what is filled up with zeros */
static void hash(uint8_t *state, const uint8_t *key, const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size; at += BLOCK) {
		for (size_t i = 0; i < BLOCK && at + i < size; i++)
			state[i] ^= data[at + i];
		multiply(state, key);
	}
}

static void put_number(uint8_t *at, uint64_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static void counter_block(const struct aes *aes, const struct gcm_message *message,
			  uint32_t counter, uint8_t *block)
{
	memcpy(block, message->iv, GCM_IV_SIZE);
	put_number(block + GCM_IV_SIZE, counter, BLOCK - GCM_IV_SIZE);
	encrypt_block(aes, block);
}

static void apply_stream(const struct aes *aes, const struct gcm_message *message)
{
	uint8_t *data = message->data, block[BLOCK];

	for (size_t i = 0; i < message->size; i++) {
		if (i % BLOCK == 0)
			counter_block(aes, message, (uint32_t)(2 + i / BLOCK), block);
		data[i] ^= block[i % BLOCK];
	}
}

/* Of the ciphertext. */
static void make_tag(const struct aes *aes, const struct gcm_message *message, uint8_t *tag)
{
	uint8_t key[BLOCK] = { 0 }, lengths[BLOCK], block[BLOCK];

	encrypt_block(aes, key);
	memset(tag, 0, GCM_TAG_SIZE);
	hash(tag, key, message->header, message->header_size);
	hash(tag, key, message->data, message->size);
	put_number(lengths, 8 * message->header_size, 8);
	put_number(lengths + 8, 8 * message->size, 8);
	hash(tag, key, lengths, BLOCK);
	counter_block(aes, message, 1, block);
	for (unsigned int i = 0; i < GCM_TAG_SIZE; i++)
		tag[i] ^= block[i];
}

void gcm_encrypt(const struct gcm_message *message, uint8_t tag[GCM_TAG_SIZE])
{
	struct aes aes;

	expand_key(&aes, message->key);
	apply_stream(&aes, message);
	make_tag(&aes, message, tag);
}

void gcm_decrypt(const struct gcm_message *message, uint8_t tag[GCM_TAG_SIZE])
{
	struct aes aes;

	expand_key(&aes, message->key);
	make_tag(&aes, message, tag);
	apply_stream(&aes, message);
}
#endif
