/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.h: fields as a request to the executor.
 */
#ifndef TN_SERVER_SAMPLING_H_
#define TN_SERVER_SAMPLING_H_

#include "server/generation.h"
#include "server/prompt.h"

/* What the fields of a body ask for, for one prompt; what it lends is the preparation's arena's. `is_chat` decides the
 * default of max_tokens. ids of the prompt are set by the caller. */
bool tn_sampling_read(const tn_preparation *self, const tn_api_fields *fields, bool is_chat, tn_request *out_request);
/* stop, stop_token_ids */
bool tn_stops_read(const tn_preparation *self, const tn_api_fields *fields, tn_generation *generation);

#endif
