/* SPDX-License-Identifier: Apache-2.0
 *
 * page.c: see page.h.
 */
#include "server/page/page.h"

#include <string.h>

const char tn_page_policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
                              "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                              "require-trusted-types-for 'script'; trusted-types 'none'";

const tn_page_file *tn_page_find(const char *path) {
    for (size_t i = 0; i < tn_num_page_files; i++)
        if (strcmp(tn_page_files[i].path, path) == 0) return &tn_page_files[i];
    return NULL;
}
