/* SPDX-License-Identifier: Apache-2.0
 *
 * tenon/allocator.h: where host memory comes from. Every create and load function takes one through its options.
 *
 * The struct is copied by the object that receives it; `user` must outlive every object made with it. The function may be
 * called from several threads at once when the objects are. Tensor memory of a device is not taken from here.
 */
#ifndef TENON_ALLOCATOR_H_
#define TENON_ALLOCATOR_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_allocator {
    void *user;
    /* One function does all three, as realloc does:
     *   block NULL: allocate new_size bytes, aligned for any C type (16)
     *   new_size 0: free block, return NULL
     *   else:       resize block, keeping its contents
     * Returns NULL when there is no memory; block is then still valid. */
    void *(*reallocate)(void *user, void *block, size_t new_size);
} tn_allocator;

#ifdef __cplusplus
}
#endif
#endif
