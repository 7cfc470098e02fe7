/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_fuzz.c: any bytes as a chat template, rendered; whatever it does, special strings of the message give no control id.
 * covers: chat.c jinja/parse.c jinja/expression.c jinja/evaluate.c jinja/filters.c jinja/strings.c jinja/functions.c jinja/value.c jinja/json.c jinja/numbers.c
 */
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tokenizer_json[] = "{\"added_tokens\":[{\"id\":1,\"content\":\"<M>\",\"special\":true}],"
                                     "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<M>\":1},\"merges\":[]}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tn_diag *diag;
    if (tn_diag_create(NULL, &diag) != TN_OK) return 0;
    tn_tokenizer_options load = {.struct_size = sizeof load, .diag = diag};
    tn_tokenizer *t;
    char *text = malloc(size + 1);
    if (text && !memmem(data, size, "<M>", 3) && tn_tokenizer_load_json(tokenizer_json, sizeof tokenizer_json - 1, &load, &t) == TN_OK) {
        static const tn_chat_message messages[] = {{"system", "s", 1}, {"user", "<M>x<M>", 7}, {"assistant", "ok <M>", 6}, {"user", "", 0}};
        memcpy(text, data, size);
        text[size] = 0;
        tn_chat_options options;
        tn_chat_options_init(&options);
        options.diag = diag;
        options.template_text = text;
        options.tools_json = "[{\"name\":\"f\",\"parameters\":{\"a\":[1,2.5,null]}}]";
        tn_text_segment *segments;
        size_t count, num_ids;
        if (tn_tokenizer_render_chat(t, messages, 4, &options, &segments, &count) == TN_OK) {
            int32_t *ids;
            tn_encode_options encode = {.struct_size = sizeof encode, .diag = diag};
            if (tn_tokenizer_encode_segments(t, segments, count, &encode, &ids, &num_ids) == TN_OK && !memmem(data, size, "<", 1) &&
                !memmem(data, size, "x3", 2) && !memmem(data, size, "u00", 3))
                for (size_t i = 0; i < num_ids; i++)
                    if (ids[i] == 1) abort();
            tn_tokenizer_free(t, ids);
        }
        tn_tokenizer_free(t, segments);
        tn_tokenizer_destroy(t);
    }
    free(text);
    tn_diag_destroy(diag);
    return 0;
}
