/* SPDX-License-Identifier: Apache-2.0
 *
 * option_sources.h: options of a verb from its configuration file and from variables too. They become words before those of the
 * command line, so a flag beats a variable and a variable beats the file.
 *
 * --max-body-size 8M is also TENON_MAX_BODY_SIZE=8M, and in the file of --config FILE or TENON_CONFIG
 *
 *     # a comment
 *     model = /srv/model.gguf
 *     max-body-size = 8M
 *     log-json = true
 *
 * An option without an argument takes true, yes, on, 1 or false, no, off, 0.
 */
#ifndef TN_CLI_OPTION_SOURCES_H_
#define TN_CLI_OPTION_SOURCES_H_

#include <argp.h>
#include <stdbool.h>

#include "base/memory.h"
#include "base/text.h"

typedef struct tn_option_words {
    TN_ARRAY(char *) words; /* as argv: ends with NULL, which is not counted */
    char *model;            /* of TENON_MODEL, else of the file; NULL: in neither */
} tn_option_words;

/* tables: NULL-terminated. False after reporting: a line of the file, or a value, that cannot be. */
bool tn_option_words_make(const struct argp_option *const *tables, int argc, char **argv, tn_option_words *out);
void tn_option_words_deinit(tn_option_words *words);

#endif
