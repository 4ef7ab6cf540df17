// SPDX-License-Identifier: BSD-2-Clause
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void emit(struct tap_relay *relay, const char *text)
{
	relay->write(relay->context, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void emitf(struct tap_relay *relay, const char *format,
							...)
{
	char text[TAP_LINE_MAX + 256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	emit(relay, text);
}

/* A guest may die within its diagnostics; what comes next must not be taken for more of them. */
static void close_diagnostics(struct tap_relay *relay)
{
	if (relay->in_diagnostics)
		emit(relay, "  ...\n");
	relay->in_diagnostics = false;
}

static const struct tap_known *known_bug(const struct tap_relay *relay, const char *name)
{
	for (size_t i = 0; i < relay->known_count; i++)
		if (!strcmp(relay->known[i].point, name))
			return &relay->known[i];
	return NULL;
}

void tap_relay_begin(struct tap_relay *relay)
{
	emit(relay, "TAP version 13\n");
}

/* "1..12" or "1..0 # SKIP reason". Returns whether the line is a plan. */
static bool take_plan(struct tap_relay *relay, const char *line)
{
	char *end;

	if (strncmp(line, "1..", 3))
		return false;
	unsigned long planned = strtoul(line + 3, &end, 10);
	if (end == line + 3 || (*end && *end != ' ') || relay->have_plan)
		return false;
	relay->have_plan = true;
	relay->planned = planned;
	relay->plan_is_skip = planned == 0;
	if (relay->plan_is_skip)
		emitf(relay, "%s\n", line);
	else
		emitf(relay, "1..%lu\n", planned + relay->host_points);
	return true;
}

/*
 * A line with a directive behind it. A "#" before that would begin the directive, as TAP's readers see it, unless it
 * is escaped.
 */
static void emit_known(struct tap_relay *relay, const char *line, const char *reason)
{
	for (; *line; line++) {
		if (*line == '#' && line[-1] != '\\')
			emit(relay, "\\");
		emitf(relay, "%c", *line);
	}
	emitf(relay, " # TODO %s\n", reason);
}

/* "ok 3 - name" or "not ok 3 - name". Returns whether the line is a point. */
static bool take_point(struct tap_relay *relay, const char *line)
{
	bool ok = !strncmp(line, "ok ", 3);
	const char *rest = line + (ok ? 3 : 7);
	char *name;

	if (!ok && strncmp(line, "not ok ", 7))
		return false;
	unsigned long number = strtoul(rest, &name, 10);
	if (name == rest || strncmp(name, " - ", 3))
		return false;
	relay->seen++;
	*relay->stray = '\0';
	close_diagnostics(relay);
	if (number != relay->seen)
		relay->bad_number = true;
	const struct tap_known *known = known_bug(relay, name + 3);
	if (known)
		emit_known(relay, line, known->reason);
	else
		emitf(relay, "%s\n", line);
	relay->not_ok += !ok;
	relay->failed += !ok && !known;
	return true;
}

static void take_stray(struct tap_relay *relay, const char *line)
{
	if (!*relay->stray)
		snprintf(relay->stray, sizeof(relay->stray), "%.255s", line);
	close_diagnostics(relay);
	emitf(relay, "# %s\n", line);
}

static void take_indented(struct tap_relay *relay, const char *line)
{
	if (!strcmp(line, "  ---"))
		relay->in_diagnostics = true;
	else if (!strcmp(line, "  ..."))
		relay->in_diagnostics = false;
	emitf(relay, "%s\n", line);
}

static void take_line(struct tap_relay *relay)
{
	char *line = relay->line;

	while (relay->length && line[relay->length - 1] == '\r')
		relay->length--;
	line[relay->length] = '\0';
	relay->length = 0;

	if (relay->continued)
		take_stray(relay, line);
	else if (!strncmp(line, "TAP version ", 12))
		; /* said by tap_relay_begin() */
	else if (take_plan(relay, line) || take_point(relay, line))
		;
	else if (!*line)
		emit(relay, "\n");
	else if (*line == ' ')
		take_indented(relay, line);
	else if (*line == '#')
		emitf(relay, "%s\n", line);
	else
		take_stray(relay, line);
	relay->continued = false;
}

void tap_relay_bytes(struct tap_relay *relay, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			take_line(relay);
			continue;
		}
		/* A NUL would end the line early for everybody who reads it as a string. */
		relay->line[relay->length++] = bytes[i] ? bytes[i] : '?';
		if (relay->length == TAP_LINE_MAX - 1) {
			take_line(relay);
			relay->continued = true;
		}
	}
}

void tap_relay_end(struct tap_relay *relay)
{
	if (relay->length)
		take_line(relay);
}

bool tap_relay_complete(const struct tap_relay *relay)
{
	return relay->have_plan && relay->seen == relay->planned && !relay->bad_number;
}

/* A YAML literal block takes any text; every line of it must be indented. */
static void emit_message(struct tap_relay *relay, const char *message)
{
	emit(relay, "  ---\n  message: |\n");
	while (*message) {
		size_t length = strcspn(message, "\n");

		emitf(relay, "    %.*s\n", (int)length, message);
		message += length + (message[length] == '\n');
	}
	emit(relay, "  ...\n");
}

void tap_relay_point(struct tap_relay *relay, bool ok, const char *name, const char *message)
{
	close_diagnostics(relay);
	if (!relay->have_plan) {
		relay->have_plan = true;
		emitf(relay, "1..%u\n", relay->host_points + 1);
	}
	emitf(relay, "%sok %lu - %s\n", ok ? "" : "not ", ++relay->seen, name);
	if (!ok) {
		relay->failed++;
		emit_message(relay, message);
	}
}
