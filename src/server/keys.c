/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.c: the key file.
 */
#include "server/keys.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/memory.h"

enum { HASH_SIZE = 32, MIN_KEY = 8, MAX_KEY = 512, MAX_NAME = 63, MAX_FILE = 1 << 20 };

typedef struct key {
    uint8_t hash[HASH_SIZE];
    char name[MAX_NAME + 1];
} key;

struct tn_keys {
    tn_allocator allocator;
    TN_ARRAY(key) keys;
};

static bool hash_of(const char *text, size_t size, uint8_t hash[HASH_SIZE]) {
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, text, size, hash) == 0;
}

static tn_status add_line(tn_keys *keys, const char *path, unsigned number, char *line, tn_diag *diag) {
    char *words[3] = {NULL};
    size_t num_words = 0;
    for (char *word; (word = strsep(&line, " \t\r")) != NULL;)
        if (word[0] != '\0' && num_words < 3) words[num_words++] = word;
    if (num_words == 0 || words[0][0] == '#') return TN_OK;
    if (num_words > 2) return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: line %u has more than a name and a key", path, number);
    const char *text = words[num_words - 1], *name = num_words == 2 ? words[0] : "";
    size_t size = strlen(text);
    if (size < MIN_KEY || size > MAX_KEY)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: the key in line %u has %zu characters, must have %d to %d", path, number,
                       size, MIN_KEY, MAX_KEY);
    if (strlen(name) > MAX_NAME)
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: the name in line %u has more than %d characters", path, number, MAX_NAME);
    key added = {.name = ""};
    memcpy(added.name, name, strlen(name) + 1);
    if (!hash_of(text, size, added.hash)) return tn_fail(diag, TN_INTERNAL, "cannot hash a key: SHA-256 is not there");
    for (size_t i = 0; i < keys->keys.count; i++) {
        const key *other = &keys->keys.data[i];
        if (memcmp(other->hash, added.hash, HASH_SIZE) == 0 || (name[0] != '\0' && strcmp(other->name, name) == 0))
            return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: line %u has a key or a name that was there before", path, number);
    }
    if (!tn_array_push(&keys->allocator, &keys->keys, added)) return tn_fail_memory(diag, "the keys", sizeof added);
    return TN_OK;
}

tn_status tn_keys_load(const char *path, const tn_allocator *allocator, tn_diag *diag, tn_keys **out_keys) {
    *out_keys = NULL;
    char *text = NULL;
    size_t size;
    tn_status status = tn_file_read_all(path, MAX_FILE, allocator, diag, &text, &size);
    tn_keys *keys = status == TN_OK ? tn_alloc_zero(allocator, sizeof *keys) : NULL;
    if (status == TN_OK && keys == NULL) status = tn_fail_memory(diag, "the keys", sizeof *keys);
    if (status != TN_OK) goto cleanup;
    if (allocator != NULL) keys->allocator = *allocator;
    unsigned number = 1;
    char *rest = text;
    for (char *line; status == TN_OK && (line = strsep(&rest, "\n")) != NULL; number++) status = add_line(keys, path, number, line, diag);
    if (status == TN_OK && keys->keys.count == 0) status = tn_fail(diag, TN_INVALID_DATA, "cannot read %s: it has no key", path);

cleanup:
    if (text != NULL) gnutls_memset(text, 0, size);
    tn_free(allocator, text);
    if (status == TN_OK)
        *out_keys = keys;
    else
        tn_keys_destroy(keys);
    return status;
}

void tn_keys_destroy(tn_keys *keys) {
    if (keys == NULL) return;
    tn_allocator allocator = keys->allocator;
    tn_array_deinit(&allocator, &keys->keys);
    tn_free(&allocator, keys);
}

bool tn_keys_check(const tn_keys *keys, const char *header, char out_name[64], uint64_t *out_salt) {
    static const char scheme[] = "Bearer ";
    uint8_t hash[HASH_SIZE];
    const key *found = NULL;
    out_name[0] = '\0';
    *out_salt = 0;
    if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0) return false;
    const char *text = header + sizeof scheme - 1;
    size_t size = strlen(text);
    if (size > MAX_KEY || !hash_of(text, size, hash)) return false;
    for (size_t i = 0; i < keys->keys.count; i++)
        if (gnutls_memcmp(keys->keys.data[i].hash, hash, HASH_SIZE) == 0) found = &keys->keys.data[i];
    if (found == NULL) return false;
    memcpy(out_name, found->name, sizeof found->name);
    memcpy(out_salt, found->hash + 8, sizeof *out_salt);
    return true;
}
