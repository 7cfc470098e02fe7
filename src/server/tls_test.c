/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_test.c: TLS by loopback: a certificate of our own making, another one after a reload, and clients that speak something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/server.h"

static tn_test_server self;
static char folder[] = "/tmp/tenon-tls-XXXXXX", certificate_path[64], key_path[64];

static void write_pem(const char *path, const gnutls_datum_t *pem) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(pem->data, 1, pem->size, file), pem->size);
    assert_int_equal(fclose(file), 0);
}

/* A key and its self-signed certificate with this serial number. */
static void make_identity(uint8_t serial) {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t pem;
    assert_int_equal(gnutls_x509_privkey_init(&key) | gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
    assert_int_equal(gnutls_x509_crt_set_version(certificate, 3) | gnutls_x509_crt_set_serial(certificate, &serial, 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(certificate, time(NULL) - 60), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, "localhost", 9), 0);
    assert_int_equal(gnutls_x509_crt_set_key(certificate, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_pem(certificate_path, &pem);
    gnutls_free(pem.data);
    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_pem(key_path, &pem);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

static gnutls_session_t open_session(int fd, const char *priorities, gnutls_certificate_credentials_t *out_credentials) {
    gnutls_session_t session;
    assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT) | gnutls_certificate_allocate_credentials(out_credentials), 0);
    assert_int_equal(gnutls_priority_set_direct(session, priorities, NULL), 0);
    assert_int_equal(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, *out_credentials), 0);
    gnutls_transport_set_int(session, fd);
    gnutls_handshake_set_timeout(session, 10000);
    return session;
}

static int shake_hands(gnutls_session_t session) {
    int code;
    do code = gnutls_handshake(session);
    while (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED);
    return code;
}

/* Asks and returns the serial number of the certificate that answered; 0: no answer. */
static int ask(const char *priorities, const char *text, const char *words) {
    gnutls_certificate_credentials_t credentials;
    gnutls_x509_crt_t certificate;
    unsigned count = 0;
    char answer[4096];
    size_t used = 0;
    uint8_t serial[20] = {0};
    size_t serial_size = sizeof serial;
    int fd = tn_test_connect(self.port);
    gnutls_session_t session = open_session(fd, priorities, &credentials);
    int code = shake_hands(session);
    if (code == 0) {
        const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);
        assert_true(list != NULL && count == 1);
        assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
        assert_int_equal(gnutls_x509_crt_import(certificate, &list[0], GNUTLS_X509_FMT_DER), 0);
        assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial, &serial_size), 0);
        gnutls_x509_crt_deinit(certificate);
        assert_int_equal(gnutls_record_send(session, text, strlen(text)), (int)strlen(text));
        ssize_t size;
        while (used + 1 < sizeof answer && (size = gnutls_record_recv(session, answer + used, sizeof answer - used - 1)) > 0)
            used += (size_t)size;
        answer[used] = '\0';
        if (strstr(answer, words) == NULL) fail_msg("'%s' is not in:\n%s", words, answer);
        (void)gnutls_bye(session, GNUTLS_SHUT_WR);
    }
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
    return code == 0 ? serial[0] : 0;
}

#define HEALTH "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#define BODY   "{\"prompt\": \"a\", \"max_tokens\": 9, \"stream\": true}"
#define STREAM "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 48\r\n\r\n" BODY

static void handshakes_take_the_newest_certificate(void **state) {
    (void)state;
    assert_int_equal(ask("NORMAL", HEALTH, "\"ok\""), 1);
    assert_int_equal(ask("NORMAL", STREAM, "[DONE]"), 1);
    make_identity(2);
    assert_int_equal(tn_server_reload(self.server, NULL), TN_OK);
    assert_int_equal(ask("NORMAL", HEALTH, "\"ok\""), 2);
    make_identity(3);
    assert_int_equal(tn_server_reload(self.server, NULL), TN_OK);
    assert_int_equal(ask("NORMAL", HEALTH, "\"ok\""), 3);
}

static void key_of_another_certificate_is_refused(void **state) {
    (void)state;
    char other[96], command[256];
    snprintf(other, sizeof other, "%s.old", key_path);
    snprintf(command, sizeof command, "cp '%s' '%s'", key_path, other);
    assert_int_equal(system(command), 0);
    make_identity(4);
    snprintf(command, sizeof command, "mv '%s' '%s'", other, key_path);
    assert_int_equal(system(command), 0);
    tn_diag *diag;
    assert_int_equal(tn_diag_create(NULL, &diag), TN_OK);
    assert_int_equal(tn_server_reload(self.server, diag), TN_INVALID_DATA);
    tn_diag_destroy(diag);
    assert_int_equal(ask("NORMAL", HEALTH, "\"ok\""), 3);
}

static void plain_and_old_clients_get_no_answer(void **state) {
    (void)state;
    tn_test_http answer = tn_test_get(self.port, "/health");
    assert_int_equal(answer.status, 0);
    tn_test_http_free(&answer);
    assert_int_equal(ask("NORMAL:-VERS-ALL:+VERS-TLS1.1", HEALTH, ""), 0);
    assert_int_equal(ask("NORMAL:-VERS-ALL:+VERS-TLS1.2", HEALTH, "\"ok\""), 3);
    assert_int_equal(ask("NORMAL:-VERS-ALL:+VERS-TLS1.3", HEALTH, "\"ok\""), 3);
}

/* Asked for again and again, handshakes would cost the server more than the client. */
static void renegotiation_is_refused(void **state) {
    (void)state;
    gnutls_certificate_credentials_t credentials;
    int fd = tn_test_connect(self.port);
    gnutls_session_t session = open_session(fd, "NORMAL:-VERS-ALL:+VERS-TLS1.2", &credentials);
    assert_int_equal(shake_hands(session), 0);
    assert_int_not_equal(shake_hands(session), 0);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
    assert_int_equal(ask("NORMAL", HEALTH, "\"ok\""), 3);
}

static int open_all(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) return 1;
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    make_identity(1);
    tn_test_server_open(&self, "cpu");
    tn_server_options options = tn_test_server_options(&self);
    options.tls_certificate_path = certificate_path;
    options.tls_key_path = key_path;
    tn_test_server_start(&self, NULL, &options);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tn_test_server_close(&self);
    return unlink(certificate_path) + unlink(key_path) + rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes_take_the_newest_certificate),
        cmocka_unit_test(key_of_another_certificate_is_refused),
        cmocka_unit_test(plain_and_old_clients_get_no_answer),
        cmocka_unit_test(renegotiation_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
