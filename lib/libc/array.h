/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIBC_ARRAY_H
#define LIBC_ARRAY_H

/* The elements of an array (not of a pointer). */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
