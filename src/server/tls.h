/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.h: the certificate, which may change while the server runs: a handshake takes the newest.
 */
#ifndef TN_SERVER_TLS_H_
#define TN_SERVER_TLS_H_

#include "tenon/diag.h"

typedef struct tn_tls tn_tls;

/* Reads PEM files and checks that they belong together. TN_INVALID_DATA with GnuTLS's reason. */
TN_MUST_CHECK tn_status tn_tls_create(const char *certificate_path, const char *key_path, const tn_allocator *allocator, tn_diag *diag,
                                      tn_tls **out_tls);
/* Reads them again; on failure the old ones stay. The last ones before are kept until the next time, for handshakes that
 * have begun. */
TN_MUST_CHECK tn_status tn_tls_reload(tn_tls *tls, const char *certificate_path, const char *key_path, tn_diag *diag);
void tn_tls_destroy(tn_tls *tls); /* accepts NULL */
/* A gnutls_certificate_retrieve_function2 for the daemons of servers. */
void *tn_tls_callback(void);

#endif
