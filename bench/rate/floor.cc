#include "floor.h"

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sluice/types.h"

namespace sluice::bench {
namespace {

constexpr uint16_t kDescriptors = 1024;

void SwapMacs(rte_mbuf* packet) {
  auto* header = rte_pktmbuf_mtod(packet, rte_ether_hdr*);
  std::swap(header->src_addr, header->dst_addr);
}

}  // namespace

absl::Status Floor::Start(const std::string& device, rte_mempool* pool) {
  rte_eth_conf conf{};
  int result = rte_eth_dev_get_port_by_name(device.c_str(), &port_id_);
  if (result == 0) result = rte_eth_dev_configure(port_id_, 1, 1, &conf);
  if (result == 0) result = rte_eth_rx_queue_setup(port_id_, 0, kDescriptors, SOCKET_ID_ANY, nullptr, pool);
  if (result == 0) result = rte_eth_tx_queue_setup(port_id_, 0, kDescriptors, SOCKET_ID_ANY, nullptr);
  if (result == 0) result = rte_eth_dev_start(port_id_);
  if (result == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(device, " does not start: ", rte_strerror(-result)));
}

void Floor::Run() {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  stop_.store(false, std::memory_order_relaxed);
  while (!stop_.load(std::memory_order_relaxed)) {
    const uint16_t count = rte_eth_rx_burst(port_id_, 0, packets.data(), SLUICE_BURST);
    if (count == 0) continue;
    for (uint16_t i = 0; i < count; i++) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
    for (uint16_t i = 0; i < count; i++) SwapMacs(packets[i]);
    const uint16_t sent = rte_eth_tx_burst(port_id_, 0, packets.data(), count);
    if (sent < count) rte_pktmbuf_free_bulk(packets.data() + sent, count - sent);
  }
}

}  // namespace sluice::bench
