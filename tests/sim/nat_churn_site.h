// What is configured for translation, and what becomes of it by and by: listeners and backends that come and go.
//
// Thread-safety: one thread.
#pragma once

#include <string>
#include <vector>

#include "neighbor/next_hop.h"
#include "tests/sim/nat_churn_packet.h"

namespace sluice::sim_test {

struct NatBackend {
  std::string name;
  Address address;
  // 0: the listener's.
  uint16_t port = 0;
  uint32_t pool = 0;
  bool present = false;
  uint32_t weight = 1;
  bool reachable = true;
  // How often it has come, and when it went.
  uint32_t incarnation = 0;
  uint64_t left = 0;
  uint8_t moves = 0;
  NextHop hop;
  // As the frame of a packet to it.
  Link link;

  bool TakesFlows() const { return present && weight > 0 && reachable; }
};

struct NatPool {
  std::string name;
  // Else only the destination.
  bool full = false;
  std::vector<NatBackend> backends;
};

struct NatListener {
  std::string name;
  Address address;
  uint16_t first_port = 0;
  uint16_t last_port = 0;
  // As in the file.
  std::string protocol;
  uint32_t pool = 0;
  // Seconds.
  uint32_t idle = 0;
  uint32_t handshake = 0;
  uint32_t half_closed = 0;
  uint32_t closed = 0;

  bool present = true;
  uint32_t incarnation = 0;
  uint64_t left = 0;

  bool Has(uint8_t number) const;
};

class NatSite {
 public:
  static constexpr int kInterfaces[] = {11, 12};
  static constexpr uint32_t kBackends = 6;

  explicit NatSite(uint32_t workers);

  std::vector<NatPool>& pools() { return pools_; }
  const std::vector<NatPool>& pools() const { return pools_; }
  std::vector<NatListener>& listeners() { return listeners_; }
  const std::vector<NatListener>& listeners() const { return listeners_; }
  // Of one family.
  const std::vector<Address>& nat_addresses(bool ipv4) const { return ipv4 ? nat_ipv4_ : nat_ipv6_; }
  static Mac PortMac(uint16_t port) { return {2, 0, 0, 0, 0, static_cast<uint8_t>(port + 1)}; }

  std::string Yaml() const;
  bool TakesFlows(uint32_t pool) const;
  // Whether a listener that is there has the address, or it is one of ours.
  bool IsVirtual(const Address& address) const;
  bool IsNat(const Address& address) const;
  // Whether a backend of a pool that keeps clients' addresses has it.
  bool IsServer(const Address& address) const;
  // Gives the backend another next hop.
  static void Move(NatBackend& backend);
  // Who has this next hop; null: nobody.
  const NatBackend* Recipient(const Bytes& frame) const;

 private:
  void AddPool(const std::string& name, bool full, const std::string& network, uint16_t port);
  void AddListener(const std::string& address, NatListener listener);

  uint32_t workers_;
  std::vector<NatPool> pools_;
  std::vector<NatListener> listeners_;
  std::vector<Address> nat_ipv4_;
  std::vector<Address> nat_ipv6_;
};

}  // namespace sluice::sim_test
