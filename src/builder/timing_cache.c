/* SPDX-License-Identifier: Apache-2.0
 *
 * timing_cache.c: see timing_cache.h. Entries are found by hash and written sorted, so that equal caches are equal files.
 */
#include "builder/timing_cache.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

enum { MAX_FILE_BYTES = 64 << 20, MAX_WARNINGS = 8 };
static const char first_line[] = "# tenon timing cache 1";

typedef struct timing_entry {
    char *key; /* all fields but the time, with their tabs */
    double us;
    bool is_estimate;
} timing_entry;

struct tn_timing_cache {
    tn_allocator allocator_copy;
    const tn_allocator *allocator;
    TN_ARRAY(timing_entry) entries;
    uint32_t *slots; /* 1 + entry */
    size_t num_slots;
    size_t num_measured;
};

tn_status tn_timing_cache_create(const tn_allocator *allocator, tn_timing_cache **out_cache) {
    return tn_timing_cache_create_diag(allocator, NULL, out_cache);
}

tn_status tn_timing_cache_create_diag(const tn_allocator *allocator, tn_diag *diag, tn_timing_cache **out_cache) {
    *out_cache = NULL;
    tn_timing_cache *cache = tn_alloc_zero(allocator, sizeof *cache);
    if (cache == NULL) return tn_fail_memory(diag, "a timing cache", sizeof *cache);
    if (allocator != NULL) {
        cache->allocator_copy = *allocator;
        cache->allocator = &cache->allocator_copy;
    }
    *out_cache = cache;
    return TN_OK;
}

void tn_timing_cache_destroy(tn_timing_cache *cache) {
    if (cache == NULL) return;
    for (size_t i = 0; i < cache->entries.count; i++) tn_free(cache->allocator, cache->entries.data[i].key);
    tn_array_deinit(cache->allocator, &cache->entries);
    tn_free(cache->allocator, cache->slots);
    tn_allocator copy = cache->allocator_copy;
    tn_free(cache->allocator != NULL ? &copy : NULL, cache);
}

size_t tn_timing_cache_num_measured(const tn_timing_cache *cache) {
    return cache->num_measured;
}

/* --- entries ------------------------------------------------------------------------------------------------------------------ */

static size_t find_slot(const tn_timing_cache *cache, const char *key, size_t size) {
    size_t mask = cache->num_slots - 1, slot = (size_t)tn_hash(key, size, 0) & mask;
    while (cache->slots[slot] != 0) {
        const char *other = cache->entries.data[cache->slots[slot] - 1].key;
        if (strncmp(other, key, size) == 0 && other[size] == '\0') break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

static bool grow_slots(tn_timing_cache *cache) {
    if (cache->entries.count * 2 < cache->num_slots) return true;
    size_t count = cache->num_slots == 0 ? 64 : cache->num_slots * 2;
    uint32_t *slots = tn_alloc_array(cache->allocator, count, sizeof *slots);
    if (slots == NULL) return false;
    tn_free(cache->allocator, cache->slots);
    cache->slots = slots;
    cache->num_slots = count;
    for (size_t i = 0; i < cache->entries.count; i++) {
        const char *key = cache->entries.data[i].key;
        slots[find_slot(cache, key, strlen(key))] = (uint32_t)i + 1;
    }
    return true;
}

static tn_status put_entry(tn_timing_cache *cache, const char *key, size_t size, double us, bool is_estimate, tn_diag *diag) {
    if (!grow_slots(cache)) return tn_fail_memory(diag, "a timing cache", cache->num_slots * 2 * sizeof *cache->slots);
    size_t slot = find_slot(cache, key, size);
    if (cache->slots[slot] != 0) {
        timing_entry *old = &cache->entries.data[cache->slots[slot] - 1];
        old->us = us;
        old->is_estimate = is_estimate;
        return TN_OK;
    }
    timing_entry entry = {.key = tn_copy_bytes(cache->allocator, key, size), .us = us, .is_estimate = is_estimate};
    if (entry.key == NULL || !tn_array_push(cache->allocator, &cache->entries, entry)) {
        tn_free(cache->allocator, entry.key);
        return tn_fail_memory(diag, "a timing cache entry", size);
    }
    cache->slots[slot] = (uint32_t)cache->entries.count;
    return TN_OK;
}

static void print_key(const tn_timing_key *key, const char *fingerprint, tn_text *out) {
    tn_text_reset(out);
    tn_text_append_format(out, "%s\t%s\t%" PRIu32 "\t%s", fingerprint, key->tactic, key->version, key->problem);
}

bool tn_timing_cache_find(const tn_timing_cache *cache, const tn_timing_key *key, double *out_us, bool *out_is_estimate) {
    if (cache == NULL || cache->num_slots == 0) return false;
    const char *const fingerprints[2] = {key->fingerprint, "*"};
    tn_text text = {.allocator = cache->allocator};
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        print_key(key, fingerprints[i], &text);
        if (text.failed) break; /* a miss is only slower */
        size_t slot = find_slot(cache, text.data, text.size);
        if (cache->slots[slot] == 0) continue;
        *out_us = cache->entries.data[cache->slots[slot] - 1].us;
        *out_is_estimate = cache->entries.data[cache->slots[slot] - 1].is_estimate;
        found = true;
    }
    tn_text_deinit(&text);
    return found;
}

tn_status tn_timing_cache_put(tn_timing_cache *cache, const tn_timing_key *key, double us, bool is_estimate, tn_diag *diag) {
    tn_text text = {.allocator = cache->allocator};
    print_key(key, key->fingerprint, &text);
    tn_status status =
        text.failed ? tn_fail_memory(diag, "a timing cache entry", 0) : put_entry(cache, text.data, text.size, us, is_estimate, diag);
    tn_text_deinit(&text);
    if (status == TN_OK && !is_estimate) cache->num_measured++;
    return status;
}

/* --- file ---------------------------------------------------------------------------------------------------------------------- */

/* The end of the key in a line, at the tab before the time; NULL if the line is no entry. */
static const char *parse_line(const char *line, double *out_us, bool *out_is_estimate) {
    const char *tab = NULL;
    int tabs = 0;
    for (const char *c = line; *c != '\0'; c++)
        if (*c == '\t') {
            tab = c;
            tabs++;
        }
    if (tabs != 4 || tab[1] == '\0') return NULL;
    *out_is_estimate = tab[1] == '~';
    const char *number = tab + (*out_is_estimate ? 2 : 1);
    char *end;
    *out_us = strtod(number, &end);
    return end != number && *end == '\0' && isfinite(*out_us) && *out_us > 0.0 ? tab : NULL;
}

tn_status tn_timing_cache_load(tn_timing_cache *cache, const char *path, tn_diag *diag) {
    if (!tn_path_exists(path)) return TN_OK;
    char *data = NULL;
    size_t size;
    tn_status status = tn_file_read_all(path, MAX_FILE_BYTES, cache->allocator, diag, &data, &size);
    if (status != TN_OK) return status;
    char *line = data, *rest = data;
    int number = 0, num_damaged = 0;
    while (status == TN_OK && (line = strsep(&rest, "\n")) != NULL) {
        number++;
        double us;
        bool is_estimate;
        if (line[0] == '\0' || line[0] == '#') continue;
        const char *end = parse_line(line, &us, &is_estimate);
        if (end != NULL)
            status = put_entry(cache, line, (size_t)(end - line), us, is_estimate, diag);
        else if (num_damaged++ < MAX_WARNINGS)
            tn_warn(diag, &(tn_where){.file = path}, "skipped line %d of timing cache %s: it is no entry", number, path);
    }
    if (num_damaged > MAX_WARNINGS)
        tn_warn(diag, &(tn_where){.file = path}, "skipped %d lines of timing cache %s altogether", num_damaged, path);
    tn_free(cache->allocator, data);
    return status;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp((*(const timing_entry *const *)a)->key, (*(const timing_entry *const *)b)->key);
}

static tn_status write_text(const tn_text *text, const char *path, const tn_allocator *allocator, tn_diag *diag) {
    tn_file_writer *writer = NULL;
    tn_status status = tn_file_writer_create(path, allocator, diag, &writer);
    if (status == TN_OK) status = tn_file_writer_write_at(writer, 0, text->data, text->size);
    if (status == TN_OK) status = tn_file_writer_commit(writer);
    tn_file_writer_destroy(writer);
    return status;
}

tn_status tn_timing_cache_save(const tn_timing_cache *cache, const char *path, tn_diag *diag) {
    const timing_entry **sorted = tn_alloc_array(cache->allocator, cache->entries.count, sizeof *sorted);
    if (sorted == NULL) return tn_fail_memory(diag, "a timing cache", cache->entries.count * sizeof *sorted);
    for (size_t i = 0; i < cache->entries.count; i++) sorted[i] = &cache->entries.data[i];
    qsort(sorted, cache->entries.count, sizeof *sorted, compare_entries);
    tn_text text = {.allocator = cache->allocator};
    tn_text_append_format(&text, "%s\n", first_line);
    for (size_t i = 0; i < cache->entries.count; i++)
        tn_text_append_format(&text, "%s\t%s%.6g\n", sorted[i]->key, sorted[i]->is_estimate ? "~" : "", sorted[i]->us);
    tn_status status = text.failed ? tn_fail_memory(diag, "a timing cache", text.size) : write_text(&text, path, cache->allocator, diag);
    tn_text_deinit(&text);
    tn_free(cache->allocator, sorted);
    return status;
}
