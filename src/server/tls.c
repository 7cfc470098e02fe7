/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.c: certificates for GnuTLS, which asks for one at each handshake.
 */
#include "server/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>

#include "base/file.h"
#include "base/memory.h"
#include "server/server_internal.h"

enum { MAX_CERTIFICATES = 16, MAX_PEM = 1 << 20 };

typedef struct identity {
    gnutls_pcert_st certificates[MAX_CERTIFICATES];
    unsigned num_certificates;
    gnutls_privkey_t key;
} identity;

struct tn_tls {
    tn_allocator allocator;
    pthread_mutex_t lock;
    identity *now, *before; /* handshakes that have begun may still use the one before */
};

static void destroy_identity(const tn_allocator *allocator, identity *self) {
    if (self == NULL) return;
    for (unsigned i = 0; i < self->num_certificates; i++) gnutls_pcert_deinit(&self->certificates[i]);
    if (self->key != NULL) gnutls_privkey_deinit(self->key);
    tn_free(allocator, self);
}

static tn_status read_pem(const char *path, const tn_allocator *allocator, tn_diag *diag, gnutls_datum_t *out) {
    char *data;
    size_t size;
    tn_status status = tn_file_read_all(path, MAX_PEM, allocator, diag, &data, &size);
    if (status == TN_OK) *out = (gnutls_datum_t){(unsigned char *)data, (unsigned)size};
    return status;
}

/* The key signs what the certificate can check. */
static int check_pair(const identity *self) {
    static const gnutls_datum_t text = {(unsigned char *)(uintptr_t) "tenon", 5};
    gnutls_datum_t signature = {0};
    gnutls_pubkey_t public_key = self->certificates[0].pubkey;
    unsigned bits = 0;
    int algorithm = gnutls_pubkey_get_pk_algorithm(public_key, &bits);
    gnutls_sign_algorithm_t sign = gnutls_pk_to_sign((gnutls_pk_algorithm_t)algorithm, GNUTLS_DIG_SHA256);
    if (algorithm == GNUTLS_PK_EDDSA_ED25519) sign = GNUTLS_SIGN_EDDSA_ED25519;
    int code = gnutls_privkey_sign_data2(self->key, sign, 0, &text, &signature);
    if (code >= 0) code = gnutls_pubkey_verify_data2(public_key, sign, 0, &text, &signature);
    gnutls_free(signature.data);
    return code;
}

static tn_status load_identity(const char *certificate_path, const char *key_path, const tn_allocator *allocator, tn_diag *diag,
                               identity **out) {
    gnutls_datum_t certificate = {0}, key = {0};
    gnutls_x509_crt_t list[MAX_CERTIFICATES];
    unsigned count = MAX_CERTIFICATES;
    *out = NULL;
    identity *self = tn_alloc_zero(allocator, sizeof *self);
    tn_status status = self != NULL ? read_pem(certificate_path, allocator, diag, &certificate) : tn_fail_memory(diag, "TLS", sizeof *self);
    if (status == TN_OK) status = read_pem(key_path, allocator, diag, &key);
    if (status != TN_OK) goto cleanup;
    int code = gnutls_x509_crt_list_import(list, &count, &certificate, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    if (code < 0) {
        status = tn_fail(diag, TN_INVALID_DATA, "cannot read the certificate %s: %s", certificate_path, gnutls_strerror(code));
        goto cleanup;
    }
    for (unsigned i = 0; i < count; i++) {
        if (code >= 0) code = gnutls_pcert_import_x509(&self->certificates[i], list[i], 0);
        if (code >= 0) self->num_certificates++;
        gnutls_x509_crt_deinit(list[i]);
    }
    if (code >= 0) code = gnutls_privkey_init(&self->key);
    if (code >= 0) code = gnutls_privkey_import_x509_raw(self->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code < 0) {
        status = tn_fail(diag, TN_INVALID_DATA, "cannot read the key %s: %s", key_path, gnutls_strerror(code));
    } else if ((code = check_pair(self)) < 0) {
        status = tn_fail(diag, TN_INVALID_DATA, "the key %s is not that of the certificate %s: %s", key_path, certificate_path,
                         gnutls_strerror(code));
    }

cleanup:
    if (key.data != NULL) gnutls_memset(key.data, 0, key.size);
    tn_free(allocator, key.data);
    tn_free(allocator, certificate.data);
    if (status == TN_OK)
        *out = self;
    else
        destroy_identity(allocator, self);
    return status;
}

tn_status tn_tls_create(const char *certificate_path, const char *key_path, const tn_allocator *allocator, tn_diag *diag,
                        tn_tls **out_tls) {
    *out_tls = NULL;
    tn_tls *tls = tn_alloc_zero(allocator, sizeof *tls);
    if (tls == NULL) return tn_fail_memory(diag, "TLS", sizeof *tls);
    if (allocator != NULL) tls->allocator = *allocator;
    tn_status status = load_identity(certificate_path, key_path, allocator, diag, &tls->now);
    if (status == TN_OK && pthread_mutex_init(&tls->lock, NULL) != 0) {
        destroy_identity(allocator, tls->now);
        status = tn_fail_memory(diag, "a lock", sizeof tls->lock);
    }
    if (status == TN_OK)
        *out_tls = tls;
    else
        tn_free(allocator, tls);
    return status;
}

tn_status tn_tls_reload(tn_tls *tls, const char *certificate_path, const char *key_path, tn_diag *diag) {
    identity *fresh;
    tn_status status = load_identity(certificate_path, key_path, &tls->allocator, diag, &fresh);
    if (status != TN_OK) return status;
    pthread_mutex_lock(&tls->lock);
    identity *oldest = tls->before;
    tls->before = tls->now;
    tls->now = fresh;
    pthread_mutex_unlock(&tls->lock);
    destroy_identity(&tls->allocator, oldest);
    return TN_OK;
}

void tn_tls_destroy(tn_tls *tls) {
    if (tls == NULL) return;
    tn_allocator allocator = tls->allocator;
    destroy_identity(&allocator, tls->now);
    destroy_identity(&allocator, tls->before);
    pthread_mutex_destroy(&tls->lock);
    tn_free(&allocator, tls);
}

/* libmicrohttpd leaves its connection in the session. */
static int find_identity(gnutls_session_t session, const gnutls_datum_t *request_names, int num_names,
                         const gnutls_pk_algorithm_t *algorithms, int num_algorithms, gnutls_pcert_st **out_certificates,
                         unsigned *out_count, gnutls_privkey_t *out_key) {
    (void)request_names, (void)num_names, (void)algorithms, (void)num_algorithms;
    struct MHD_Connection *mhd = gnutls_session_get_ptr(session);
    const union MHD_ConnectionInfo *info = mhd != NULL ? MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT) : NULL;
    const tn_connection *connection = info != NULL ? info->socket_context : NULL;
    if (connection == NULL) return -1;
    tn_tls *tls = connection->server->tls;
    pthread_mutex_lock(&tls->lock);
    identity *now = tls->now;
    *out_certificates = now->certificates;
    *out_count = now->num_certificates;
    *out_key = now->key;
    pthread_mutex_unlock(&tls->lock);
    return 0;
}

void *tn_tls_callback(void) {
    gnutls_certificate_retrieve_function2 *function = find_identity;
    return (void *)(uintptr_t)function;
}
