// SPDX-License-Identifier: BSD-2-Clause
#include <libc/format.h>

#include <stdbool.h>
#include <stdint.h>

struct output {
	char *buffer;
	size_t size;
	size_t length; /* of all that was put, whether it had room or not */
};

struct conversion {
	bool left, zero, prefix, plus, blank;
	int width;
	int precision; /* -1: none given */
	int bytes;     /* of the integer argument */
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->buffer[out->length] = c;
	out->length++;
}

static void put_repeated(struct output *out, char c, int count)
{
	while (count-- > 0)
		put(out, c);
}

static void put_text(struct output *out, const struct conversion *c, const char *text)
{
	int length = 0;

	while ((c->precision < 0 || length < c->precision) && text[length])
		length++;
	if (!c->left)
		put_repeated(out, ' ', c->width - length);
	for (int i = 0; i < length; i++)
		put(out, text[i]);
	if (c->left)
		put_repeated(out, ' ', c->width - length);
}

/* 64-bit division without the compiler's library, for the bases 10 and 16. */
static unsigned int take_digit(uint64_t *value, unsigned int base)
{
	uint64_t quotient = 0, rest = 0;

	if (base == 16 || *value <= UINT32_MAX) {
		uint32_t low = *value;

		quotient = base == 16 ? *value >> 4 : low / base;
		rest = low % base;
	} else {
		for (int bit = 63; bit >= 0; bit--) {
			rest = rest << 1 | (*value >> bit & 1);
			if (rest >= base) {
				rest -= base;
				quotient |= 1ull << bit;
			}
		}
	}
	*value = quotient;
	return rest;
}

/* sign is the sign or the prefix, "" if there is none. */
static void put_number(struct output *out, const struct conversion *c, uint64_t value,
		       unsigned int base, const char *digits, const char *sign)
{
	char reversed[20];
	int count = 0, sign_length = 0, zeros;

	while (value || (!count && c->precision != 0))
		reversed[count++] = digits[take_digit(&value, base)];
	while (sign[sign_length])
		sign_length++;
	zeros = c->precision - count;
	if (c->precision < 0 && c->zero && !c->left)
		zeros = c->width - count - sign_length;
	if (zeros < 0)
		zeros = 0;

	if (!c->left)
		put_repeated(out, ' ', c->width - count - sign_length - zeros);
	for (int i = 0; i < sign_length; i++)
		put(out, sign[i]);
	put_repeated(out, '0', zeros);
	for (int i = count; i > 0; i--)
		put(out, reversed[i - 1]);
	if (c->left)
		put_repeated(out, ' ', c->width - count - sign_length - zeros);
}

static void put_signed(struct output *out, const struct conversion *c, int64_t value)
{
	const char *sign = value < 0 ? "-" : c->plus ? "+" : c->blank ? " " : "";

	put_number(out, c, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, "0123456789", sign);
}

static void put_unsigned(struct output *out, const struct conversion *c, uint64_t value, char kind)
{
	if (kind == 'u')
		put_number(out, c, value, 10, "0123456789", "");
	else if (kind == 'X')
		put_number(out, c, value, 16, "0123456789ABCDEF", c->prefix && value ? "0X" : "");
	else
		put_number(out, c, value, 16, "0123456789abcdef", c->prefix && value ? "0x" : "");
}

/* va_list is an array in the 64-bit ABI; in a struct it can be handed on by address. */
struct arguments {
	va_list list;
};

static uint64_t take_integer(struct arguments *arguments, int bytes, bool is_signed)
{
	uint64_t value =
		bytes == 8 ? va_arg(arguments->list, uint64_t) : va_arg(arguments->list, uint32_t);
	int unused = 64 - 8 * bytes;

	if (is_signed)
		return (int64_t)(value << unused) >> unused;
	return value << unused >> unused;
}

static int take_count(const char **at, struct arguments *arguments)
{
	int count = 0;

	if (**at == '*') {
		(*at)++;
		return va_arg(arguments->list, int);
	}
	while (**at >= '0' && **at <= '9')
		count = count * 10 + *(*at)++ - '0';
	return count;
}

static void parse_flags(const char **at, struct conversion *c)
{
	for (;; (*at)++) {
		switch (**at) {
		case '-':
			c->left = true;
			break;
		case '0':
			c->zero = true;
			break;
		case '#':
			c->prefix = true;
			break;
		case '+':
			c->plus = true;
			break;
		case ' ':
			c->blank = true;
			break;
		default:
			return;
		}
	}
}

static void parse_size(const char **at, struct conversion *c)
{
	bool is_long = false;

	c->bytes = sizeof(int);
	for (;; (*at)++) {
		switch (**at) {
		case 'h':
			c->bytes /= 2;
			break;
		case 'l':
			c->bytes = is_long ? sizeof(long long) : sizeof(long);
			is_long = true;
			break;
		case 'z':
		case 't':
			c->bytes = sizeof(size_t);
			break;
		case 'j':
			c->bytes = sizeof(intmax_t);
			break;
		default:
			return;
		}
	}
}

/* "at" stands behind the percent sign; returns what follows the conversion. */
static const char *convert(struct output *out, const char *at, struct arguments *arguments)
{
	struct conversion c = { .precision = -1 };

	parse_flags(&at, &c);
	c.width = take_count(&at, arguments);
	if (c.width < 0) {
		c.left = true;
		c.width = -c.width;
	}
	if (*at == '.') {
		at++;
		c.precision = take_count(&at, arguments);
	}
	parse_size(&at, &c);

	switch (*at) {
	case 'd':
	case 'i':
		put_signed(out, &c, take_integer(arguments, c.bytes, true));
		break;
	case 'u':
	case 'x':
	case 'X':
		put_unsigned(out, &c, take_integer(arguments, c.bytes, false), *at);
		break;
	case 'p':
		c.prefix = true;
		put_unsigned(out, &c, take_integer(arguments, sizeof(void *), false), 'x');
		break;
	case 'c':
		put_text(out, &c, (char[]){ va_arg(arguments->list, int), 0 });
		break;
	case 's': {
		const char *text = va_arg(arguments->list, const char *);

		put_text(out, &c, text ? text : "(null)");
		break;
	}
	case '\0':
		return at;
	default:
		put(out, *at);
	}
	return at + 1;
}

size_t format_text_v(char *buffer, size_t size, const char *format, va_list list)
{
	struct output out = { .buffer = buffer, .size = size };
	struct arguments arguments;

	va_copy(arguments.list, list);
	while (*format) {
		if (*format == '%')
			format = convert(&out, format + 1, &arguments);
		else
			put(&out, *format++);
	}
	va_end(arguments.list);
	if (size)
		buffer[out.length < size ? out.length : size - 1] = '\0';
	return out.length;
}

size_t format_text(char *buffer, size_t size, const char *format, ...)
{
	va_list list;
	size_t length;

	va_start(list, format);
	length = format_text_v(buffer, size, format, list);
	va_end(list);
	return length;
}
