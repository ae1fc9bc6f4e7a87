// A configuration that changes by chance: backends come, go, are down, change their weights and next hops, listeners
// come and go and change their pools. The same seed, the same changes.
//
//   203.0.113.10-13, 2001:db8::10-13    tcp 80, udp 53, tcp_udp 443 and 1000-1015, each with one of the pools, or two
//   pool i      10.<i>.0.1-6 or 2001:db8:<i>::1-6, next hops 02:01:<moves>:00:<i>:<backend> by both ports
//
// Thread-safety: none.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "config/sluice.pb.h"
#include "tables/builder.h"

namespace sluice::packet_test {

// What pools are made of; a row more is a pool more.
struct PoolKind {
  // As in the file.
  const char* forwarding;
  // Of its backends' addresses.
  bool ipv6;
  // As in the file. Not by load: what the control thread tells workers of each other comes when it comes.
  const char* algorithm = "maglev";
};
inline constexpr PoolKind kDirectPools[] = {{"dsr_l2", false},
                                            {"dsr_l2", true},
                                            {"ipip", false},
                                            {"ipip", true},
                                            {"gue", false},
                                            {"gue", true},
                                            {"ipip", false, "round_robin"},
                                            {"ipip", true, "source_hash"}};
inline constexpr PoolKind kTranslatingPools[] = {
    {"nat", false}, {"nat", true}, {"full_nat", false, "round_robin"}, {"full_nat", true, "source_hash"}};

// A virtual address, port in [first, last]. `both`: UDP as well as TCP.
struct SiteListener {
  std::string address;
  bool ipv6;
  const char* protocol;
  uint16_t first;
  uint16_t last;
  uint32_t pool;
  // Another one among which and `pool` its flows are split, with these weights; `pool` itself: none.
  uint32_t other;
  uint32_t weights[2];
  bool present;
  // Some clients open no flows.
  bool denies;
};

class RandomSite {
 public:
  RandomSite(uint64_t seed, absl::Span<const PoolKind> pools);

  // One to four things.
  void Change();

  // Valid.
  v1::Config Config() const;
  absl::flat_hash_map<Address, BackendNextHop> NextHops() const;
  // Those that are down.
  BackendNames Unhealthy() const;

  const std::vector<SiteListener>& listeners() const { return listeners_; }
  // Whether a frame that left goes to a server that answers through us.
  bool IsTranslated(const std::string& frame) const;

 private:
  struct Backend {
    std::string address;
    bool present;
    uint32_t weight;
    bool reachable;
    bool healthy;
    BackendNextHop hop;
  };
  struct Pool {
    PoolKind kind;
    uint32_t maglev_table_size;
    std::vector<Backend> backends;
  };
  struct Virtual {
    std::string address;
    bool announce;
    bool echo;
    // What its listeners' flows are hashed by, where they are hashed.
    const char* affinity;
  };

  uint32_t Random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  void AddPool(PoolKind kind);
  void AddVirtual(const std::string& address, bool ipv6);
  void ChangeBackend();
  void ChangeListener();
  void Move(Backend& backend, size_t pool, size_t number);
  uint32_t PoolFor(bool ipv6);
  void ChangePools(SiteListener& listener);
  static bool Translates(const PoolKind& kind);
  std::string PoolsOf(const SiteListener& listener) const;
  std::string Yaml() const;

  std::mt19937_64 random_;
  std::vector<Pool> pools_;
  std::vector<Virtual> virtuals_;
  std::vector<SiteListener> listeners_;
};

}  // namespace sluice::packet_test
