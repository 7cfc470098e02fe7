/* SPDX-License-Identifier: Apache-2.0
 *
 * einsum.c: equations read and completed.
 */
#include "op/einsum.h"

#include <string.h>

#include "base/text.h"

static int label_of(char c) {
    return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? 26 + c - 'A' : -1;
}

bool tn_einsum_read(const tn_label *equation, tn_einsum *out) {
    *out = (tn_einsum){.num_inputs = 1};
    uint64_t seen = 0, in_output = 0;
    int list = 0;
    for (const char *at = equation->text; *at != '\0'; at++) {
        if (*at == ',') {
            if (list == TN_EINSUM_OUTPUT || out->num_inputs == TN_EINSUM_MAX_INPUTS) return false;
            list = out->num_inputs++;
            continue;
        }
        if (at[0] == '-' && at[1] == '>') {
            if (list == TN_EINSUM_OUTPUT) return false;
            list = TN_EINSUM_OUTPUT;
            at++;
            continue;
        }
        int label = label_of(*at);
        if (label < 0 || out->rank[list] == TN_MAX_RANK) return false;
        uint64_t bit = (uint64_t)1 << label;
        if (list == TN_EINSUM_OUTPUT && ((seen & bit) == 0 || (in_output & bit) != 0)) return false;
        *(list == TN_EINSUM_OUTPUT ? &in_output : &seen) |= bit;
        out->labels[list][out->rank[list]++] = (uint8_t)label;
    }
    return list == TN_EINSUM_OUTPUT;
}

bool tn_einsum_sizes(const tn_einsum *einsum, const int64_t (*shapes)[TN_MAX_RANK], int64_t sizes[TN_EINSUM_NUM_LABELS]) {
    for (int i = 0; i < TN_EINSUM_NUM_LABELS; i++) sizes[i] = 1;
    for (int i = 0; i < einsum->num_inputs; i++)
        for (int d = 0; d < einsum->rank[i]; d++) {
            int64_t *size = &sizes[einsum->labels[i][d]];
            if (shapes[i][d] == 1 || shapes[i][d] == *size) continue;
            if (*size != 1) return false;
            *size = shapes[i][d];
        }
    return true;
}

/* --- completing --------------------------------------------------------------------------------------------------------------- */

typedef struct writer {
    char text[TN_MAX_LABEL_BYTES];
    size_t size;
    int ellipsis; /* dimensions of the longest one */
    int counts[26];
    bool too_long;
} writer;

static void write(writer *w, char c) {
    if (w->size + 1 < sizeof w->text)
        w->text[w->size++] = c;
    else
        w->too_long = true;
}

/* The last `count` of the ellipsis' letters, so that dimensions align at the end. */
static void write_ellipsis(writer *w, int count) {
    for (int i = 0; i < count; i++) write(w, (char)('A' + TN_MAX_RANK - count + i));
}

/* One list of letters up to a comma, an arrow or the end; rank < 0: the output. */
static const char *copy_list(writer *w, const char *at, int rank, bool writes, const char **out_reason) {
    int letters = 0;
    bool has_ellipsis = false;
    for (const char *look = at; *look != '\0' && *look != ',' && *look != '-'; look++) letters += *look >= 'a' && *look <= 'z';
    int rest = rank < 0 ? w->ellipsis : rank - letters;
    for (; *at != '\0' && *at != ',' && *at != '-'; at++) {
        if (*at == ' ') continue;
        if (*at == '.') {
            if (strncmp(at, "...", 3) != 0 || has_ellipsis) return *out_reason = "an ellipsis is three dots and stands once", NULL;
            has_ellipsis = true;
            at += 2;
            if (rest < 0) break;
            if (writes) write_ellipsis(w, rest);
            if (rest > w->ellipsis) w->ellipsis = rest;
            continue;
        }
        if (*at < 'a' || *at > 'z') return *out_reason = "labels are the letters a to z", NULL;
        if (rank >= 0 && writes) w->counts[*at - 'a']++;
        if (writes) write(w, *at);
    }
    if (rank >= 0 && (rest < 0 || (rest > 0 && !has_ellipsis)))
        return *out_reason = "an input has another number of dimensions than the equation has letters", NULL;
    return at;
}

static bool write_output(writer *w, const char *at, const char **out_reason) {
    write(w, '-');
    write(w, '>');
    if (*at == '\0') {
        write_ellipsis(w, w->ellipsis);
        for (int i = 0; i < 26; i++)
            if (w->counts[i] == 1) write(w, (char)('a' + i));
        return true;
    }
    if (strncmp(at, "->", 2) != 0) return *out_reason = "an output follows '->'", false;
    at = copy_list(w, at + 2, -1, true, out_reason);
    return at != NULL && (*at == '\0' || (*out_reason = "it goes on behind the output", false));
}

bool tn_einsum_complete(const char *equation, const int *ranks, int num_inputs, tn_label *out, const char **out_reason) {
    writer w = {.size = 0};
    const char *at = equation;
    tn_einsum read;
    *out = (tn_label){{0}};
    if (num_inputs < 1 || num_inputs > TN_EINSUM_MAX_INPUTS) return *out_reason = "it takes 1 to 4 inputs", false;
    for (int i = 0; i < num_inputs; i++) {
        at = copy_list(&w, at, ranks[i], true, out_reason);
        if (at == NULL) return false;
        if (i + 1 == num_inputs) break;
        if (*at != ',') return *out_reason = "it has fewer lists than there are inputs", false;
        write(&w, ',');
        at++;
    }
    if (*at == ',') return *out_reason = "it has more lists than there are inputs", false;
    if (!write_output(&w, at, out_reason)) return false;
    if (w.too_long || !tn_label_set(out, w.text, w.size)) return *out_reason = "it is too long", false;
    if (tn_einsum_read(out, &read)) return true;
    *out_reason = "a letter of the output stands in no input, or twice, or there are too many dimensions";
    return false;
}
