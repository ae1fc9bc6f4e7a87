// What is configured, and what becomes of it by and by: pools whose backends come, go, change weights and next hops.
//
// Thread-safety: one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "neighbor/next_hop.h"
#include "tests/sim/frames.h"

namespace sluice::sim_test {

struct SiteBackend {
  std::string name;
  Address address;
  uint32_t pool = 0;
  bool present = false;
  uint32_t weight = 1;
  // Has a next hop, by port index % 2, to Hop().destination.
  bool reachable = true;
  uint8_t moves = 0;
  // How often it has come: flows of an earlier time may have been forgotten.
  uint32_t incarnation = 0;
  // When it went.
  uint64_t left = 0;
  NextHop hop;

  bool TakesFlows() const { return present && weight > 0 && reachable; }
};

struct SitePool {
  std::string name;
  std::string forwarding;
  std::vector<SiteBackend> backends;
};

struct SiteListener {
  std::string name;
  Address address;
  uint16_t port = 0;
  // As in the file, and one that it stands for.
  std::string protocol;
  uint8_t number = 0;
  uint32_t pool = 0;
  uint32_t idle_seconds = 0;
};

class Site {
 public:
  static constexpr int kInterfaces[] = {11, 12};
  static constexpr uint32_t kBackends = 10;

  Site();

  std::vector<SitePool>& pools() { return pools_; }
  // One for each protocol: tcp_udp is there twice.
  const std::vector<SiteListener>& listeners() const { return listeners_; }
  std::string Yaml() const;
  bool TakesFlows(uint32_t pool) const;
  // Gives the backend another next hop.
  void Move(SiteBackend& backend);
  // Whose frame it is, as of now; none: nobody's.
  const SiteBackend* Recipient(const Bytes& frame, uint16_t port) const;

 private:
  void AddPool(const std::string& name, const std::string& forwarding, const std::string& network);
  void AddListener(SiteListener listener, const std::string& address);

  std::vector<SitePool> pools_;
  std::vector<SiteListener> listeners_;
};

}  // namespace sluice::sim_test
