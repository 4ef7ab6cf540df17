// SPDX-License-Identifier: BSD-2-Clause
#include <x86/platform.h>

#include <libc/string.h>

#define CMDLINE_SIZE 1024

static char whole[CMDLINE_SIZE];
static char words[CMDLINE_SIZE]; /* the same, with a 0 behind each word */
static size_t length;

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

void cmdline_set(const char *text)
{
	for (length = 0; length < CMDLINE_SIZE - 1 && text[length]; length++) {
		whole[length] = text[length];
		words[length] = is_blank(text[length]) ? '\0' : text[length];
	}
}

const char *cmdline(void)
{
	return whole;
}

const char *cmdline_value(const char *key)
{
	size_t key_length = strlen(key);
	const char *value = NULL;

	for (size_t i = 0; i < length; i += strlen(words + i) + 1)
		if (!strncmp(words + i, key, key_length) && words[i + key_length] == '=')
			value = words + i + key_length + 1;
	return value;
}

bool cmdline_has(const char *word)
{
	for (size_t i = 0; i < length; i += strlen(words + i) + 1)
		if (!strcmp(words + i, word))
			return true;
	return false;
}

/* The value of a digit in bases up to 16, or 16 for what is none. */
static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

uint64_t cmdline_number(const char *key, uint64_t otherwise)
{
	const char *text = cmdline_value(key);
	unsigned int base = 10;
	uint64_t number = 0;

	if (!text || !*text)
		return otherwise;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && text[2]) {
		base = 16;
		text += 2;
	}
	for (; *text; text++) {
		if (digit(*text) >= base)
			return otherwise;
		number = number * base + digit(*text);
	}
	return number;
}
