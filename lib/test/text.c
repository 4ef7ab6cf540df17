// SPDX-License-Identifier: BSD-2-Clause
#include <test/text.h>

#include <libc/format.h>
#include <test/platform.h>

void text_add_v(struct text *text, const char *format, va_list arguments)
{
	size_t room = text->size - text->length;
	size_t length = format_text_v(text->buffer + text->length, room, format, arguments);

	text->length += length < room ? length : room - 1;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_add_v(text, format, arguments);
	va_end(arguments);
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

static bool all_printable(const char *value)
{
	while (is_printable(*value))
		value++;
	return !*value;
}

static void add_single_quoted(struct text *text, const char *value)
{
	text_add(text, "'");
	for (; *value; value++)
		text_add(text, *value == '\'' ? "''" : "%c", *value);
	text_add(text, "'\n");
}

/* Only double quotes know escapes. */
static void add_double_quoted(struct text *text, const char *value)
{
	text_add(text, "\"");
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			text_add(text, "\\%c", *value);
		else
			text_add(text, is_printable(*value) ? "%c" : "\\x%02x",
				 (unsigned char)*value);
	}
	text_add(text, "\"\n");
}

static void add_block(struct text *text, const char *value, unsigned int indent)
{
	text_add(text, "|\n%*s", indent, "");
	for (; *value; value++) {
		if (*value != '\n')
			text_add(text, "%c", is_printable(*value) ? *value : '?');
		else if (value[1])
			text_add(text, "\n%*s", indent, "");
	}
	text_add(text, "\n");
}

static bool is_number(const char *value)
{
	if (value[0] != '0' || value[1] != 'x' || !value[2])
		return false;
	for (value += 2; *value; value++)
		if ((*value < '0' || *value > '9') && (*value < 'a' || *value > 'f'))
			return false;
	return true;
}

void text_add_scalar(struct text *text, const char *value, unsigned int indent)
{
	const char *at = value;

	while (is_printable(*at))
		at++;
	if (*at == '\n')
		add_block(text, value, indent);
	else if (is_number(value))
		text_add(text, "%s\n", value);
	else if (all_printable(value))
		add_single_quoted(text, value);
	else
		add_double_quoted(text, value);
}

/* Whether a TAP reader takes what stands behind a # for a directive. */
static bool is_directive(const char *text)
{
	static const char *const directives[] = { "skip", "todo" };

	while (*text == ' ')
		text++;
	for (unsigned int i = 0; i < 2; i++) {
		size_t length = 0;

		while (length < 4 && (text[length] | 0x20) == directives[i][length])
			length++;
		if (length == 4)
			return true;
	}
	return false;
}

void text_add_description(struct text *text, const char *description, bool before_directive)
{
	for (; *description; description++) {
		if (*description == '#' && (before_directive || is_directive(description + 1)))
			text_add(text, "\\");
		text_add(text, "%c", *description == '\n' ? ' ' : *description);
	}
}
