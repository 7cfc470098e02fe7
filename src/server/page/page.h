/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h: the web page, whose files are part of the binary: "/" and what it loads from "/page/". They stay files that an editor
 * knows; embed.cmake makes bytes of them.
 *
 *     const tn_page_file *file = tn_page_find(path);
 *     if (file != NULL) … 200 with file->bytes, its Content-Type and ETag, Cache-Control: no-cache, and tn_page_policy
 *
 * The policy lets the page load its own files and ask its own server, and nothing else: no other origin, no inline script or style,
 * no frame around it, and no HTML made from strings. Text of a model reaches it as text nodes only.
 */
#ifndef TN_SERVER_PAGE_PAGE_H_
#define TN_SERVER_PAGE_PAGE_H_

#include <stddef.h>

typedef struct tn_page_file {
    const char *path;         /* "/page/app.js" */
    const char *content_type; /* "text/javascript; charset=utf-8" */
    const char *etag;         /* with its quotes */
    const unsigned char *bytes;
    size_t size_bytes;
} tn_page_file;

/* NULL: no such file. `path` without a query. */
const tn_page_file *tn_page_find(const char *path);

/* The value of Content-Security-Policy. */
extern const char tn_page_policy[];

/* Made by embed.cmake. */
extern const tn_page_file tn_page_files[];
extern const size_t tn_num_page_files;

#endif
