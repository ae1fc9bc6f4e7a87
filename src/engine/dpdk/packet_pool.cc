#include "engine/dpdk/packet_pool.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

void FreeMemory(rte_mempool_memhdr* /*header*/, void* memory) {
  rte_memzone_free(static_cast<const rte_memzone*>(memory));
}

// One packet right behind the other. DPDK has none in two pages of 4 KiB, so that each begins a page; then the same
// line of all packets lies in one of the 64 sets of a first-level cache, which has room for 12 of them.
bool Fill(rte_mempool* pool, const std::string& name) {
  const uint32_t each = pool->header_size + pool->elt_size + pool->trailer_size;
  const rte_memzone* memory =
      rte_memzone_reserve_aligned(name.c_str(), size_t{each} * pool->size, SOCKET_ID_ANY, 0, RTE_MEMPOOL_ALIGN);
  if (memory == nullptr) return false;
  const int filled = rte_mempool_populate_iova(pool, static_cast<char*>(memory->addr), memory->iova, memory->len,
                                               FreeMemory, const_cast<rte_memzone*>(memory));
  if (filled == static_cast<int>(pool->size)) return true;
  // Not the pool's yet.
  if (filled <= 0) rte_memzone_free(memory);
  rte_errno = ENOMEM;
  return false;
}

// As rte_pktmbuf_pool_create, but for where the packets lie. Where IOVAs are addresses, packets in two pages are as
// contiguous to a device as others; a pool that does not ask for it is the only one that DPDK fills without gaps.
rte_mempool* CreateDense(const std::string& name, uint32_t mbufs, uint32_t cache, uint16_t data_room) {
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), mbufs, sizeof(rte_mbuf) + data_room, cache,
                               sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) return nullptr;
  if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr) != 0) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_pktmbuf_pool_private room{};
  room.mbuf_data_room_size = data_room;
  rte_pktmbuf_pool_init(pool, &room);
  if (!Fill(pool, name)) {
    rte_mempool_free(pool);
    return nullptr;
  }
  pool->flags &= ~(RTE_MEMPOOL_F_NO_IOVA_CONTIG | RTE_MEMPOOL_F_NON_IO);
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace

absl::StatusOr<rte_mempool*> CreatePacketPool(const std::string& name, uint32_t mbufs, uint32_t cache,
                                              uint16_t data_room) {
  // What is contiguous to us must be so to devices. In huge pages DPDK lays packets densely itself.
  const bool dense = rte_eal_has_hugepages() == 0 && rte_eal_iova_mode() == RTE_IOVA_VA;
  rte_mempool* pool = dense ? CreateDense(name, mbufs, cache, data_room)
                            : rte_pktmbuf_pool_create(name.c_str(), mbufs, cache, 0, data_room, SOCKET_ID_ANY);
  if (pool != nullptr) return pool;
  return absl::ResourceExhaustedError(absl::StrCat("no memory for ", mbufs, " packets of ", data_room,
                                                   " bytes: ", rte_strerror(rte_errno),
                                                   "; reserve more huge pages or use fewer workers"));
}

}  // namespace sluice
