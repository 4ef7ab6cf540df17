// SPDX-License-Identifier: BSD-2-Clause
#include "undo.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static void (*_Atomic pending)(void);

void undo_now(void)
{
	void (*undo)(void) = atomic_exchange(&pending, NULL);

	if (undo)
		undo();
}

static void end_by_signal(int number)
{
	undo_now();
	signal(number, SIG_DFL);
	raise(number);
}

/* Those that end a process and may be sent to vmrun from outside; one that is ignored stays so. */
void undo_at_end(void (*undo)(void))
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

	atomic_store(&pending, undo);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (signal(numbers[i], end_by_signal) == SIG_IGN)
			signal(numbers[i], SIG_IGN);
}
