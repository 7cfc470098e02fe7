/* SPDX-License-Identifier: Apache-2.0
 *
 * render_templates.c FILE: renders the chats of a JSON file for scripts/check_templates.py.
 *
 * The file is an array of {"template", "messages", "tools", "variables", "prompt": bool, "now": seconds}. For each it prints a
 * line "STATUS SIZE" and SIZE bytes with a newline behind: the text, or where STATUS is not 0 the message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/chat.h"

static const char tokenizer_json[] = "{\"added_tokens\":[],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}";

static tn_status render(const tn_tokenizer *tokenizer, const tn_json_value *job, tn_diag *diag) {
    int64_t now;
    tn_chat_values values = {
        .messages = tn_json_find(job, "messages"), .tools = tn_json_find(job, "tools"), .variables = tn_json_find(job, "variables")};
    tn_chat_options options;
    tn_chat_options_init(&options);
    options.diag = diag;
    options.has_now = true;
    tn_status status = tn_json_get_string(job, "template", diag, &options.template_text, NULL);
    if (status == TN_OK) status = tn_json_get_bool(job, "prompt", diag, &options.add_generation_prompt);
    if (status == TN_OK) status = tn_json_get_integer(job, "now", 0, INT32_MAX, diag, &now);
    if (status != TN_OK) return status;
    options.now_unix_s = now;
    tn_text_segment *segments;
    size_t count, size = 0;
    status = tn_chat_render_values(tokenizer, &values, &options, &segments, &count);
    if (status != TN_OK) return status;
    for (size_t i = 0; i < count; i++) size += segments[i].size_bytes;
    printf("0 %zu\n", size);
    for (size_t i = 0; i < count; i++) fwrite(segments[i].text, 1, segments[i].size_bytes, stdout);
    printf("\n");
    tn_tokenizer_free(tokenizer, segments);
    return TN_OK;
}

int main(int argc, char **argv) {
    tn_json *jobs;
    tn_tokenizer *tokenizer;
    tn_diag *diag;
    if (argc != 2 || tn_json_load(argv[1], NULL, NULL, NULL, &jobs) != TN_OK || tn_diag_create(NULL, &diag) != TN_OK) return 1;
    if (tn_tokenizer_load_json(tokenizer_json, sizeof tokenizer_json - 1, NULL, &tokenizer) != TN_OK) return 1;
    for (size_t i = 0; i < tn_json_count(tn_json_root(jobs)); i++) {
        tn_status status = render(tokenizer, tn_json_at(tn_json_root(jobs), i), diag);
        tn_diag_entry entry;
        if (status == TN_OK) continue;
        if (tn_diag_get(diag, 0, &entry) != TN_OK) return 1;
        printf("%d %zu\n%s\n", (int)status, strlen(entry.message), entry.message);
        tn_diag_clear(diag);
    }
    tn_tokenizer_destroy(tokenizer);
    tn_json_destroy(jobs);
    tn_diag_destroy(diag);
    return 0;
}
