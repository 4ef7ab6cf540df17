/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DOMAIN_SAY_H
#define DOMAIN_SAY_H

/* The domain did not come to an end of its own. */
#define STATUS_FAILED 126

/* Says a line on stderr. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* Says it, and ends this program with STATUS_FAILED: the machine goes with it, and the domain. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
