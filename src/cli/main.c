/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: `tenon VERB …`.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const tn_verb verbs[] = {
    {"run", "answer a prompt with a model", tn_verb_run},
    {"chat", "talk with a model", tn_verb_chat},
    {"serve", "answer OpenAI's clients over HTTP", tn_verb_serve},
    {"build", "make an engine directory from a model", tn_verb_build},
    {"inspect", "show an engine's steps, tactics and memory", tn_verb_inspect},
    {"tokenize", "turn text into ids, or ids into text", tn_verb_tokenize},
    {"bench", "measure decode, prefill, throughput, latency, the scheduler, or a server", tn_verb_bench},
    {"doctor", "look at this machine with Tenon's eyes", tn_verb_doctor},
};

static void print_help(FILE *file) {
    fputs("usage: tenon VERB [OPTION…] …\n\n", file);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) fprintf(file, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n`tenon VERB --help` explains a verb.\n"
          "MODEL is a GGUF file, a Hugging Face directory, or an engine directory made by `tenon build`.\n",
          file);
}

int main(int argc, char **argv) {
    argp_err_exit_status = TN_EXIT_USAGE;
    if (argc < 2) {
        print_help(stderr);
        return TN_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return TN_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("tenon " TN_VERSION);
        return TN_EXIT_OK;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0) continue;
        char name[32];
        snprintf(name, sizeof name, "tenon %s", verbs[i].name);
        argv[1] = name;
        return verbs[i].run(argc - 1, argv + 1);
    }
    tn_cli_fail("there is no verb '%s'", argv[1]);
    print_help(stderr);
    return TN_EXIT_USAGE;
}
