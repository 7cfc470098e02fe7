/* SPDX-License-Identifier: Apache-2.0
 *
 * map_probe.h: are weights read as fast from a mapped file as from memory of the device? Depends on the file system and the
 * kernel (large folios), so it is measured: 64 MB of the file against as much device memory.
 */
#ifndef TN_RUNTIME_MAP_PROBE_H_
#define TN_RUNTIME_MAP_PROBE_H_

#include "backend/backend.h"
#include "base/file.h"

/* True if the mapping reads at 95 % or more of the memory's rate. False also where that cannot be told. The file is mapped. */
bool tn_map_probe_is_fast(tn_device *device, const tn_file *file);

#endif
