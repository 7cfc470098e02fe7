/* SPDX-License-Identifier: Apache-2.0
 *
 * page_test.c: what the binary has of the page is what the page needs, and nothing of it comes from elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/page/page.h"

static bool contains(const tn_page_file *file, const char *text) {
    return memmem(file->bytes, file->size_bytes, text, strlen(text)) != NULL;
}

static void every_file_has_its_type_and_a_tag_of_its_own(void **state) {
    (void)state;
    assert_true(tn_num_page_files >= 10);
    for (size_t i = 0; i < tn_num_page_files; i++) {
        const tn_page_file *file = &tn_page_files[i];
        assert_true(file->size_bytes > 0);
        assert_int_equal(strlen(file->etag), 18);
        assert_true(strchr(file->content_type, '/') != NULL);
        assert_ptr_equal(tn_page_find(file->path), file);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(tn_page_files[k].etag, file->etag);
    }
    assert_string_equal(tn_page_find("/")->content_type, "text/html; charset=utf-8");
    assert_string_equal(tn_page_find("/page/app.js")->content_type, "text/javascript; charset=utf-8");
    assert_string_equal(tn_page_find("/page/style.css")->content_type, "text/css; charset=utf-8");
    assert_string_equal(tn_page_find("/page/icon.svg")->content_type, "image/svg+xml");
}

static void what_is_no_file_of_the_page_is_not_found(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "", "/index.html", "/page", "/page/", "/page/page.c", "/page/../page.c", "/page/app.js/", "/PAGE/app.js"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_null(tn_page_find(wrong[i]));
}

static void all_that_the_page_loads_is_there(void **state) {
    (void)state;
    const tn_page_file *page = tn_page_find("/");
    static const char *const loaded[] = {"/page/app.js", "/page/theme.js", "/page/style.css", "/page/icon.svg"};
    static const char *const imported[] = {"dom", "server", "settings", "chat", "status", "markdown", "highlight", "metrics"};
    for (size_t i = 0; i < sizeof loaded / sizeof *loaded; i++) {
        assert_true(contains(page, loaded[i]));
        assert_non_null(tn_page_find(loaded[i]));
    }
    for (size_t i = 0; i < sizeof imported / sizeof *imported; i++) {
        char path[64];
        snprintf(path, sizeof path, "/page/%s.js", imported[i]);
        assert_non_null(tn_page_find(path));
    }
}

static void nothing_comes_from_elsewhere_and_no_html_is_made_of_strings(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",     "new Function", "DOMParser",
        "srcdoc",    "@import",   "url(http",           "src=\"http",     " onclick=", "style=\""};
    for (size_t i = 0; i < tn_num_page_files; i++)
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
            if (contains(&tn_page_files[i], wrong[k])) fail_msg("%s has '%s'", tn_page_files[i].path, wrong[k]);
    assert_true(strncmp(tn_page_policy, "default-src 'none'; ", 20) == 0);
    assert_null(strstr(tn_page_policy, "unsafe"));
    assert_null(strstr(tn_page_policy, "http"));
    assert_null(strchr(tn_page_policy, '*'));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_has_its_type_and_a_tag_of_its_own),
        cmocka_unit_test(what_is_no_file_of_the_page_is_not_found),
        cmocka_unit_test(all_that_the_page_loads_is_there),
        cmocka_unit_test(nothing_comes_from_elsewhere_and_no_html_is_made_of_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
