/* SPDX-License-Identifier: Apache-2.0
 *
 * peers.c: addresses, and how many connections each has. Of IPv6 the first 64 bits count: who has one has 2^64.
 */
#include <string.h>

#include "base/hash.h"
#include "server/server_internal.h"

static void read_address(const struct sockaddr_storage *address, uint8_t out[16]) {
    memset(out, 0, 16);
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &v4->sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        memcpy(out, &v6->sin6_addr, is_mapped ? 16 : 8);
    }
}

static tn_peer **bucket_of(tn_server *server, const uint8_t address[16]) {
    return &server->peers[tn_hash(address, 16, server->salt) % TN_NUM_PEER_BUCKETS];
}

tn_peer *tn_peers_find(tn_server *server, const struct sockaddr_storage *address) {
    uint8_t bytes[16];
    read_address(address, bytes);
    tn_peer **bucket = bucket_of(server, bytes);
    for (tn_peer *peer = *bucket; peer != NULL; peer = peer->next)
        if (memcmp(peer->address, bytes, sizeof bytes) == 0) return peer;
    tn_peer *peer = tn_alloc_zero(&server->allocator, sizeof *peer);
    if (peer == NULL) return NULL;
    memcpy(peer->address, bytes, sizeof bytes);
    peer->next = *bucket;
    *bucket = peer;
    return peer;
}

/* Wrong keys are remembered for a minute, which the next look at its bucket ends. */
void tn_peers_release(tn_server *server, tn_peer *peer) {
    const int64_t minute_ns = (int64_t)60 * 1000000000;
    for (tn_peer **link = bucket_of(server, peer->address); *link != NULL;) {
        tn_peer *seen = *link;
        bool is_over = seen->num_key_failures == 0 || server->now_ns - seen->failures_since_ns > minute_ns;
        if (seen->num_connections > 0 || !is_over) {
            link = &seen->next;
            continue;
        }
        *link = seen->next;
        tn_free(&server->allocator, seen);
    }
}

void tn_peers_deinit(tn_server *server) {
    for (size_t i = 0; i < TN_NUM_PEER_BUCKETS; i++)
        for (tn_peer *peer = server->peers[i], *next; peer != NULL; peer = next) {
            next = peer->next;
            tn_free(&server->allocator, peer);
        }
}
