#include "engine/dpdk/afxdp_umem_pool.h"

#include <rte_errno.h>
#include <rte_mempool.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr uint64_t kHugePage = 2 << 20;
constexpr uint32_t kMempoolCache = 256;

void* Map(uint64_t size, int flags) {
  void* area = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);
  return area == MAP_FAILED ? nullptr : area;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UmemPool>> UmemPool::Create(const Options& options) {
  if (options.chunk_size != 2048 && options.chunk_size != 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk size ", options.chunk_size, ": AF_XDP takes chunks of 2048 or 4096 bytes"));
  }
  if (options.chunks == 0) return absl::InvalidArgumentError("a packet pool of no chunks");
  auto pool = std::unique_ptr<UmemPool>(new UmemPool());
  pool->chunk_shift_ = static_cast<uint32_t>(std::countr_zero(options.chunk_size));
  if (absl::Status status = pool->MapArea(options); !status.ok()) return status;
  if (absl::Status status = pool->CreateMempool(options); !status.ok()) return status;
  return pool;
}

absl::Status UmemPool::MapArea(const Options& options) {
  const uint64_t bytes = uint64_t{options.chunks} * options.chunk_size;
  if (options.huge_pages) {
    size_ = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    area_ = Map(size_, MAP_HUGETLB | (21 << MAP_HUGE_SHIFT));
    huge_pages_ = area_ != nullptr;
    if (huge_pages_) return absl::OkStatus();
  }
  // A whole number of 4 KiB pages, as the kernel asks of a UMEM.
  size_ = (bytes + 4095) / 4096 * 4096;
  area_ = Map(size_, 0);
  if (area_ != nullptr) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("no memory for ", options.chunks, " packets of ", options.chunk_size,
                                                   " bytes (", size_ >> 20, " MiB)"));
}

absl::Status UmemPool::CreateMempool(const Options& options) {
  const rte_pktmbuf_extmem memory{.buf_ptr = area_,
                                  .buf_iova = RTE_BAD_IOVA,
                                  .buf_len = size_,
                                  .elt_size = static_cast<uint16_t>(options.chunk_size)};
  const uint32_t cache = std::min(kMempoolCache, options.chunks / 2);
  mempool_ = rte_pktmbuf_pool_create_extbuf(options.name.c_str(), options.chunks, cache, /*priv_size=*/0,
                                            memory.elt_size, options.numa_node, &memory, 1);
  if (mempool_ == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("packet pool ", options.name, " of ", options.chunks,
                                                     " packets: ", rte_strerror(rte_errno),
                                                     "; give DPDK more memory (huge pages, or -m without them)"));
  }
  mbufs_.resize(options.chunks);
  users_.assign(options.chunks, kWorker);
  rte_mempool_obj_iter(
      mempool_,
      [](rte_mempool*, void* context, void* object, unsigned) {
        auto* pool = static_cast<UmemPool*>(context);
        auto* mbuf = static_cast<rte_mbuf*>(object);
        pool->mbufs_[pool->AddressOf(mbuf) >> pool->chunk_shift_] = mbuf;
      },
      this);
  return absl::OkStatus();
}

UmemPool::~UmemPool() {
  rte_mempool_free(mempool_);
  if (area_ != nullptr) munmap(area_, size_);
}

absl::StatusOr<uint8_t> UmemPool::AddUser() {
  const auto free = std::find(user_taken_.begin(), user_taken_.end(), false);
  if (free == user_taken_.end()) {
    return absl::ResourceExhaustedError("a worker serves 255 queues at most; use more workers or fewer queues");
  }
  *free = true;
  return static_cast<uint8_t>(free - user_taken_.begin());
}

void UmemPool::RemoveUser(uint8_t user) {
  for (uint32_t chunk = 0; chunk < users_.size(); ++chunk) {
    if (users_[chunk] != user) continue;
    users_[chunk] = kWorker;
    rte_mempool_generic_put(mempool_, reinterpret_cast<void**>(&mbufs_[chunk]), 1, /*cache=*/nullptr);
  }
  user_taken_[user] = false;
}

}  // namespace sluice
