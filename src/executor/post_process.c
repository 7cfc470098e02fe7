/* SPDX-License-Identifier: Apache-2.0
 *
 * post_process.c: logits post-processors, between the network and the drawing.
 */
#include <stdio.h>

#include "executor/beams.h"
#include "executor/step.h"

static size_t offset_of(const tn_step_runner *runner, const tn_step_row *row) {
    return (size_t)(row->first_logits + row->plan.num_logits - 1) * (size_t)runner->vocab_size * sizeof(float);
}

static bool is_processed(const tn_step_row *row) {
    return row->plan.draws && row->plan.sequence->uses_host_logits && row->plan.beam == 0 && !row->plan.sequence->is_done;
}

/* Logits of beams are on the host already, and stay there. */
static bool is_copied(const tn_step_row *row) {
    return is_processed(row) && row->plan.sequence->beams == NULL;
}

static tn_logits_view view_of(const tn_step_runner *runner, const tn_step_row *row) {
    const tn_sequence *sequence = row->plan.sequence;
    const int32_t *const *tokens = sequence->beams != NULL ? (const int32_t *const *)sequence->beams->tokens : &row->plan.tokens;
    return (tn_logits_view){.request_id = sequence->lead->id,
                            .client_id = sequence->client_id,
                            .has_client_id = sequence->has_client_id,
                            .sequence_index = sequence->sequence_index,
                            .logits = sequence->host_logits,
                            .vocab_size = runner->vocab_size,
                            .ids = sequence->tokens,
                            .num_ids = (size_t)sequence->num_known,
                            .num_beams = row->plan.num_beams,
                            .beam_ids = tokens};
}

static void fail_if_asked(tn_sequence *sequence, const tn_logits_view *view) {
    if (view->status == TN_OK) return;
    char message[128];
    snprintf(message, sizeof message, "the logits post-processor failed: %s", tn_status_name(view->status));
    tn_sequence_fail(sequence, view->status, message);
}

static void call_processors(tn_step_runner *runner, const tn_engine_step *step) {
    size_t num_batched = 0;
    for (int32_t i = 0; i < step->num_rows; i++) {
        tn_sequence *sequence = step->rows[i].plan.sequence;
        if (!is_processed(&step->rows[i])) continue;
        tn_logits_view view = view_of(runner, &step->rows[i]);
        if (sequence->is_logits_batched) {
            runner->views[num_batched++] = view;
            continue;
        }
        sequence->logits_callback(sequence->logits_user, &view, 1);
        fail_if_asked(sequence, &view);
    }
    if (num_batched == 0) return;
    runner->batched_callback(runner->batched_user, runner->views, num_batched);
    num_batched = 0;
    for (int32_t i = 0; i < step->num_rows; i++) {
        tn_sequence *sequence = step->rows[i].plan.sequence;
        if (is_processed(&step->rows[i]) && sequence->is_logits_batched) fail_if_asked(sequence, &runner->views[num_batched++]);
    }
}

tn_status tn_step_runner_process_logits(tn_step_runner *runner, tn_engine_step *step) {
    size_t row_bytes = (size_t)runner->vocab_size * sizeof(float);
    tn_status status = TN_OK;
    bool has_any = false;
    for (int32_t i = 0; status == TN_OK && i < step->num_rows; i++) {
        has_any = has_any || is_processed(&step->rows[i]);
        if (!is_copied(&step->rows[i])) continue;
        status = tn_context_read(runner->forward, "logits", offset_of(runner, &step->rows[i]), row_bytes,
                                 step->rows[i].plan.sequence->host_logits, runner->stream);
    }
    if (status != TN_OK || !has_any) return status;
    status = tn_stream_synchronize(runner->stream, runner->diag);
    if (status != TN_OK) return status;
    call_processors(runner, step);
    for (int32_t i = 0; status == TN_OK && i < step->num_rows; i++)
        if (is_copied(&step->rows[i]))
            status = tn_context_write(runner->forward, "logits", offset_of(runner, &step->rows[i]), row_bytes,
                                      step->rows[i].plan.sequence->host_logits, runner->stream);
    return status;
}
