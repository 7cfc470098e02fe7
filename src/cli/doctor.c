/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor.c: `tenon doctor`: what this machine has, and what that means for Tenon.
 */

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/cli.h"

static void print_devices(void) {
    tn_device_options options;
    tn_diag_entry entry;
    tn_device_options_init(&options);
    if (tn_diag_create(NULL, &options.diag) != TN_OK) return;
    for (const tn_backend *const *backend = tn_backends(); *backend != NULL; backend++) {
        tn_device *device;
        tn_diag_clear(options.diag);
        if (tn_device_create((*backend)->name, &options, &device) != TN_OK) {
            if (tn_diag_get(options.diag, 0, &entry) == TN_OK) printf("device   %-6s none: %s\n", (*backend)->name, entry.message);
            continue;
        }
        printf("device   %-6s %s; %zu tactics, %zu weight layouts\n", (*backend)->name, tn_device_description(device),
               (*backend)->num_tactics, (*backend)->num_layouts);
        tn_device_destroy(device);
    }
    tn_diag_destroy(options.diag);
}

static void print_cache(void) {
    char *folder;
    if (tn_cache_directory(NULL, NULL, &folder) != TN_OK) return;
    printf("cache    %s (%s)\n", folder, tn_path_is_directory(folder) ? "exists" : "not made yet");
    tn_free(NULL, folder);
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    (void)value;
    if (key == ARGP_KEY_ARG) argp_error(state, "there are no arguments");
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

int tn_verb_doctor(int argc, char **argv) {
    static const struct argp argp = {0, parse_option, "", "Look at this machine: what it has, and what that means.", 0, 0, 0};
    argp_parse(&argp, argc, argv, 0, 0, NULL);
    char memory[32];
    printf("tenon    " TN_VERSION "\n");
    printf("threads  %d usable (affinity and cgroup); more would only wait for each other\n", tn_num_usable_cpus());
    printf("memory   %s may still be taken (free memory, cgroup and RLIMIT_AS, whichever is least)\n",
           tn_format_bytes(tn_available_memory_bytes(), memory));
    print_devices();
    print_cache();
    return TN_EXIT_OK;
}
