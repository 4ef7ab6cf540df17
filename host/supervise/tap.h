/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay for the TAP of one guest
 *
 * Takes the bytes of a guest as they come and passes whole lines on. On the way it
 *	- makes room in the plan for the points that the host adds,
 *	- marks the points of known bugs with a TODO directive,
 *	- turns whatever is not TAP into a comment, so that a stray line cannot be taken for a result,
 *	- counts, so that at the end it is known whether the guest completed its plan.
 */
#ifndef SUPERVISE_TAP_H
#define SUPERVISE_TAP_H

#include <stdbool.h>
#include <stddef.h>

/* A longer line is passed on in pieces; none of the guests' lines comes near. */
#define TAP_LINE_MAX 4096

/* A known bug: the point with this name is expected to fail, for this reason. */
struct tap_known {
	const char *point;
	const char *reason;
};

struct tap_relay {
	/* Where lines go; set by the caller, as are the next three. */
	void (*write)(void *context, const char *text, size_t size);
	void *context;
	const struct tap_known *known;
	size_t known_count;
	unsigned int host_points; /* how many the host adds after the guest's own */

	/* What was seen. */
	bool have_plan;
	bool plan_is_skip; /* 1..0: the guest skipped the whole of its tests */
	unsigned long planned;
	unsigned long seen;
	unsigned long not_ok; /* the guest's points that failed, known bugs among them */
	unsigned long failed; /* all points that failed, known bugs not counted */
	bool bad_number;      /* points were not numbered 1, 2, 3... */
	bool in_diagnostics;  /* a YAML block is open */
	/* The first line after the last point that is not TAP: what went wrong is mostly said there. */
	char stray[256];

	char line[TAP_LINE_MAX];
	size_t length;
	bool continued; /* the line at hand is the rest of one that was too long */
};

/*
 * To be called first. The version is said here and not left to the guest, since harnesses take it
 * only from the first line, and a guest's firmware may speak before the guest does.
 */
void tap_relay_begin(struct tap_relay *relay);

void tap_relay_bytes(struct tap_relay *relay, const char *bytes, size_t size);

/* The end of the guest's output: a last line without a newline is passed on too. */
void tap_relay_end(struct tap_relay *relay);

/* Whether the guest made a plan and reported as many points as it planned. */
bool tap_relay_complete(const struct tap_relay *relay);

/*
 * A point of the host's own, behind the guest's. Where the guest never made a plan, the host's is
 * made first. The message (may hold several lines) becomes the diagnostics of a failed point.
 */
void tap_relay_point(struct tap_relay *relay, bool ok, const char *name, const char *message);

#endif
