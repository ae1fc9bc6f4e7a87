// Tables, flows and packets for the benchmarks of the path: one listener of each family over 64 backends, flows drawn
// evenly from as many as asked for.
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/region.h"
#include "engine/burst.h"
#include "sluice/rewrite.h"
#include "tables/access_index.h"

namespace sluice::bench {

inline Region MustCreate(size_t bytes) {
  absl::StatusOr<Region> region = Region::Create(bytes, HugePages::kPreferred);
  if (!region.ok()) std::abort();
  return *std::move(region);
}

// Flat tables as a builder would lay them out, and nothing more.
class Tables {
 public:
  static constexpr uint32_t kBackends = 64;
  static constexpr uint32_t kMaglev = 65537;
  static constexpr uint32_t kIndexSize = 256;

  explicit Tables(sluice_forwarding forwarding);
  const sluice_tables& view() const { return view_; }
  sluice_backend* backend(uint32_t slot) { return &backends_[slot]; }

  void SetAlgorithm(sluice_algorithm algorithm) { pools_[0].algorithm = static_cast<uint16_t>(algorithm); }
  // New flows of both listeners from here on go by these prefixes.
  void Admit(const AccessTree& tree);

  static sluice_address VirtualIpv4() { return sluice_ipv4(SLUICE_32(0xcb00710a)); }
  static sluice_address VirtualIpv6() { return {{SLUICE_32(0x20010db8), 0, 0, SLUICE_32(0x10)}}; }

 private:
  void Translate();
  void AddKey(const sluice_address& address, uint32_t protocol, uint16_t port, sluice_index_kind kind, uint32_t value);

  sluice_settings settings_{};
  std::vector<sluice_index_entry> index_ = std::vector<sluice_index_entry>(kIndexSize);
  std::vector<sluice_listener> listeners_ = {{0, 170, 0}, {0, 170, 0}};
  std::vector<sluice_pool> pools_ = {{0, kMaglev}};
  std::vector<uint32_t> maglev_ = std::vector<uint32_t>(kMaglev);
  Region backend_memory_ = MustCreate(sizeof(sluice_backend) * (kBackends + 1));
  sluice_backend* backends_ = backend_memory_.As<sluice_backend>();
  std::vector<sluice_port> ports_ = {{{2, 0, 0, 0, 0, 1}, 9000}};
  std::vector<sluice_session_terms> session_terms_ = std::vector<sluice_session_terms>(2);
  std::vector<sluice_nat_address> nat_addresses_ = {{sluice_ipv4(SLUICE_32(0xc6336440))}};
  std::vector<sluice_access> access_ = std::vector<sluice_access>(2);
  std::vector<sluice_access_node> access_nodes_;
  sluice_tables view_{};
};

// So many prefixes of random lengths and places; the clients' own, which is allowed, is the longest of those that hold
// one.
AccessTree RandomAccess(bool ipv6, uint32_t prefixes);

// A burst of packets whose flows change from burst to burst.
class Packets {
 public:
  Packets(bool ipv6, uint64_t flows);
  // Puts the headers of a burst back as its clients sent them, each packet of a flow drawn at random.
  void Next();
  // Of the flows first, first + 1, ... in turn.
  void Fill(uint64_t first);
  Frame* frames() { return frames_; }
  bool ipv6() const { return ipv6_; }

 private:
  static constexpr uint32_t kRoom = 512;
  void Write(uint32_t i, uint64_t flow);

  bool ipv6_;
  uint64_t flows_;
  uint64_t random_ = 0x9e3779b97f4a7c15ull;
  std::vector<uint8_t> pristine_;
  Region memory_ = MustCreate(kRoom * SLUICE_BURST);
  Frame frames_[SLUICE_BURST];
};

// A path over one partition that holds `flows` at 12 bytes each, with all of them established when `established`.
class Path {
 public:
  Path(Tables& tables, Packets& packets, uint64_t flows, bool established);
  void Process(Packets& packets, bool unfinished = false) {
    path_.Process(tables_.view(), now_, 0, 0, packets.frames(), SLUICE_BURST, unfinished);
  }
  Partition partition() const { return {buckets_.As<sluice_bucket>(), BucketsFor(flows_)}; }
  // Forgets all flows.
  void Clear() { std::memset(buckets_.data(), 0, buckets_.size()); }
  uint64_t forwarded() const { return path_.counters().verdicts[SLUICE_VERDICT_forwarded]; }

 private:
  Tables& tables_;
  uint64_t flows_;
  uint64_t now_ = uint64_t{1000} << SLUICE_TICK_SHIFT;
  Region buckets_;
  BurstPath path_;
};

}  // namespace sluice::bench
