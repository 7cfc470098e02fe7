/* SPDX-License-Identifier: Apache-2.0
 *
 * state_set.h: inside of a state set: where each state's memory is.
 */
#ifndef TN_RUNTIME_STATE_SET_H_
#define TN_RUNTIME_STATE_SET_H_

#include "runtime/engine.h"

/* NULL if the set has no such state. */
void *tn_state_set_memory(const tn_state_set *set, uint32_t state);
/* Differs for all sets of an engine, so that a new one at an old address is noticed; never 0. */
unsigned tn_state_set_serial(const tn_state_set *set);
const tn_engine *tn_state_set_engine(const tn_state_set *set);

#endif
