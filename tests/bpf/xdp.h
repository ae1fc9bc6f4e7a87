// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the composed XDP programs share: stages, tables, and the frame. A program defines its tables with TABLE behind
// this, and includes the path headers that read them behind those.
#pragma once

#include "action.h"
#include "bpf/frame.h"
#include "sluice/verdict.h"

// One generation: the second half is never read.
#define TABLE(name, record, entries)   \
  struct {                             \
    __uint(type, BPF_MAP_TYPE_ARRAY);  \
    __uint(map_flags, BPF_F_MMAPABLE); \
    __uint(max_entries, entries);      \
    __type(key, uint32_t);             \
    __type(value, record);             \
  } sluice_##name##_map SEC(".maps");  \
  static const uint32_t sluice_##name##_room = 0

static const struct sluice_tables kTables = {0};
