#include "pcap.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <numeric>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice::bench {
namespace {

// https://www.tcpdump.org/manpages/pcap-savefile.5.html, in the byte order of this machine.
constexpr std::array<uint32_t, 6> kFileHeader = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, /*LINKTYPE_ETHERNET*/ 1};

template <typename Words>
void Write(std::ofstream& file, const Words& words) {
  file.write(reinterpret_cast<const char*>(words.data()), sizeof(words));
}

}  // namespace

absl::Status WritePcap(const std::string& path, const TrafficOptions& options) {
  std::ofstream file(path, std::ios::binary);
  Write(file, kFileHeader);
  std::vector<uint32_t> order(options.flows);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(options.flows));
  Traffic traffic(options);
  // As in a pool: the buffer is right behind.
  alignas(rte_mbuf) std::array<uint8_t, sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE> memory{};
  auto* packet = reinterpret_cast<rte_mbuf*>(memory.data());
  packet->buf_addr = packet + 1;
  for (const uint32_t flow : order) {
    traffic.WriteFlow(packet, false, flow, Traffic::kAck);
    const uint32_t length = packet->data_len;
    Write(file, std::array<uint32_t, 4>{0, 0, length, length});
    file.write(rte_pktmbuf_mtod(packet, const char*), length);
  }
  file.flush();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, " can't be written"));
}

}  // namespace sluice::bench
