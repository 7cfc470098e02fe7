/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.c: the CPUs and the memory this process may use (declared in thread.h): the affinity mask, the free memory, and the
 * limits of every cgroup above us, version 2 and version 1. A file that is missing or unreadable sets no limit.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"

#define UNLIMITED UINT64_MAX

/* The start of a small file of /proc or /sys as a string; false if it cannot be read. */
static bool read_small_file(const char *path, char *buffer, size_t buffer_size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    size_t size = 0;
    for (;;) {
        ssize_t got = size + 1 < buffer_size ? read(descriptor, buffer + size, buffer_size - 1 - size) : 0;
        if (got <= 0) break;
        size += (size_t)got;
    }
    (void)close(descriptor);
    buffer[size] = '\0';
    return size > 0;
}

/* "max" and anything that is no number: UNLIMITED */
static uint64_t parse_limit(const char *text) {
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    return end == text || text[0] == '-' ? UNLIMITED : value;
}

/* The number behind "\n<key>" in a file of such lines; `missing` if there is none. The first line counts too. */
static uint64_t find_number(const char *text, const char *key, uint64_t missing) {
    size_t key_length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, key_length) == 0) return strtoull(line + key_length, NULL, 10);
    }
    return missing;
}

static bool read_cgroup_file(const char *root, const char *group, const char *name, char *buffer, size_t buffer_size) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s%s/%s", root, group, name);
    return length > 0 && (size_t)length < sizeof path && read_small_file(path, buffer, buffer_size);
}

static uint64_t cpus_of_quota(uint64_t quota_us, uint64_t period_us) {
    if (quota_us == UNLIMITED || period_us == UNLIMITED || period_us == 0) return UNLIMITED;
    return quota_us / period_us + (quota_us % period_us != 0);
}

static uint64_t cpu_limit_v2(const char *root, const char *group) {
    char text[128];
    if (!read_cgroup_file(root, group, "cpu.max", text, sizeof text)) return UNLIMITED;
    const char *space = strchr(text, ' '); /* "<quota or max> <period>" */
    return space != NULL ? cpus_of_quota(parse_limit(text), parse_limit(space + 1)) : UNLIMITED;
}

static uint64_t cpu_limit_v1(const char *root, const char *group) {
    char quota[64], period[64];
    if (!read_cgroup_file(root, group, "cpu.cfs_quota_us", quota, sizeof quota)) return UNLIMITED;
    if (!read_cgroup_file(root, group, "cpu.cfs_period_us", period, sizeof period)) return UNLIMITED;
    return cpus_of_quota(parse_limit(quota), parse_limit(period)); /* -1: none */
}

/* What the group may still take. Pages of the file cache are counted as used there, yet go when memory is asked for. */
static uint64_t memory_room(const char *root, const char *group, const char *limit_file, const char *usage_file,
                            const char *const keys[2]) {
    char text[64], stat[8192];
    if (!read_cgroup_file(root, group, limit_file, text, sizeof text)) return UNLIMITED;
    uint64_t limit = parse_limit(text);
    if (limit == UNLIMITED || !read_cgroup_file(root, group, usage_file, text, sizeof text)) return limit;
    uint64_t used = parse_limit(text), cached = 0;
    if (read_cgroup_file(root, group, "memory.stat", stat, sizeof stat))
        cached = find_number(stat, keys[0], 0) + find_number(stat, keys[1], 0);
    used = used > cached ? used - cached : 0;
    return limit > used ? limit - used : 0;
}

static uint64_t memory_room_v2(const char *root, const char *group) {
    static const char *const keys[2] = {"active_file ", "inactive_file "};
    return memory_room(root, group, "memory.max", "memory.current", keys);
}

static uint64_t memory_room_v1(const char *root, const char *group) {
    static const char *const keys[2] = {"total_active_file ", "total_inactive_file "};
    return memory_room(root, group, "memory.limit_in_bytes", "memory.usage_in_bytes", keys);
}

typedef uint64_t (*cgroup_limit_fn)(const char *root, const char *group);

/* The least of the limits of `group` and all groups above it. Inside a container the group's name may be that of the host
 * while the files of our own group lie at the root: the root is always asked. */
static uint64_t least_limit(const char *root, char *group, cgroup_limit_fn limit) {
    uint64_t least = UNLIMITED;
    for (;;) {
        uint64_t here = limit(root, group);
        if (here < least) least = here;
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup is "<id>:<controllers>:<path>"; version 2 has id 0 and no controllers. */
static uint64_t cgroup_limit(const char *controller, const char *root_v1, cgroup_limit_fn v1, cgroup_limit_fn v2) {
    char text[8192];
    uint64_t least = UNLIMITED;
    if (!read_small_file("/proc/self/cgroup", text, sizeof text)) return least;
    char *next = text;
    for (char *line; (line = strsep(&next, "\n")) != NULL;) {
        char *group = line;
        const char *id = strsep(&group, ":");
        char *controllers = strsep(&group, ":");
        if (group == NULL || controllers == NULL) continue;
        uint64_t here = UNLIMITED;
        if (strcmp(id, "0") == 0 && controllers[0] == '\0') {
            here = least_limit("/sys/fs/cgroup", group, v2);
        } else {
            for (char *name; (name = strsep(&controllers, ",")) != NULL;)
                if (strcmp(name, controller) == 0) here = least_limit(root_v1, group, v1);
        }
        if (here < least) least = here;
    }
    return least;
}

static int num_cpus_of_affinity(void) {
    for (size_t num_cpus = 1024; num_cpus <= 1 << 20; num_cpus *= 2) { /* EINVAL until the set is as large as the kernel's */
        cpu_set_t *set = CPU_ALLOC(num_cpus);
        if (set == NULL) break;
        size_t size = CPU_ALLOC_SIZE(num_cpus);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0) return count;
    }
    return 1;
}

int tn_num_usable_cpus(void) {
    int num_cpus = num_cpus_of_affinity();
    uint64_t quota = cgroup_limit("cpu", "/sys/fs/cgroup/cpu", cpu_limit_v1, cpu_limit_v2);
    if (quota < (uint64_t)num_cpus) num_cpus = (int)quota;
    return num_cpus > 0 ? num_cpus : 1;
}

static uint64_t address_space_room(void) {
    struct rlimit limit;
    char text[128];
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UNLIMITED;
    uint64_t used = 0;
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (page_bytes > 0 && read_small_file("/proc/self/statm", text, sizeof text)) used = strtoull(text, NULL, 10) * (uint64_t)page_bytes;
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

uint64_t tn_available_memory_bytes(void) {
    char text[8192];
    uint64_t least = UNLIMITED;
    if (read_small_file("/proc/meminfo", text, sizeof text)) {
        uint64_t kilobytes = find_number(text, "MemAvailable:", UNLIMITED);
        if (kilobytes != UNLIMITED) least = kilobytes * 1024;
    }
    uint64_t group = cgroup_limit("memory", "/sys/fs/cgroup/memory", memory_room_v1, memory_room_v2);
    if (group < least) least = group;
    uint64_t address_space = address_space_room();
    return address_space < least ? address_space : least;
}
