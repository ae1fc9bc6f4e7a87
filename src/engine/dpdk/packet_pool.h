// A pool of packets (rte_mbuf) in DPDK's own memory.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

struct rte_mempool;

namespace sluice {

// `mbufs` packets with buffers of `data_room` bytes each (headroom among them), of which every lcore keeps up to
// `cache` for itself. Freed by rte_mempool_free. From any thread, after StartEal. Errors: no memory.
absl::StatusOr<rte_mempool*> CreatePacketPool(const std::string& name, uint32_t mbufs, uint32_t cache,
                                              uint16_t data_room);

}  // namespace sluice
