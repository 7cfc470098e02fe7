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
    for (const tn_backend *const *backend = tn_backends(); *backend != NULL; backend++) {
        tn_device *device;
        if (tn_device_create((*backend)->name, NULL, &device) != TN_OK) continue;
        printf("device   %-6s %s; %zu tactics, %zu weight layouts\n", (*backend)->name, tn_device_description(device),
               (*backend)->num_tactics, (*backend)->num_layouts);
        tn_device_destroy(device);
    }
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
