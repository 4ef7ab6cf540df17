/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NESTED_SWAP_H
#define NESTED_SWAP_H

/*
 * Gives L1 something to swap to, if its kernel has swap and loop devices: what a guest's page is in need
 * not be in memory then. A kernel without them goes on without: vmrun --probe says whether there is swap.
 */
void swap_on(void);

#endif
