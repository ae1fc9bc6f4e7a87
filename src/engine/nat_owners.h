// Whose a source port of ours is, toward one server: the worker that alone takes it, and that its answers are looked
// for at. Two rules, and a tuple always has exactly one owner, so that no two workers can take it:
//
//   by RSS     Where the devices' RSS is known, the owner of a port is the worker to whose queue RSS brings the
//              server's answers (Toeplitz; Microsoft, "RSS Hashing Functions"; the input is the answer's addresses and
//              ports in their order and byte order). They are met where their session is.
//   dealt out  Else by a multiplication of the port (sluice/nat_port.h). Answers arrive anywhere, and are looked up.
//
// Which of them holds is fixed at start, for each protocol and IP version: a device may hash UDP by addresses alone,
// and then the port has no say. A device whose table changes later only makes answers arrive elsewhere.
//
// The hash is linear: of each byte at each place there is a part of it in a table, and the whole is their exclusive or.
// So a search for a port adds addresses and the server's port up once, and each port then costs two look-ups.
//
// Thread-safety: immutable; shared by all workers.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "sluice/nat_port.h"
#include "sluice/types.h"

namespace sluice {

class NatOwners {
 public:
  // What is hashed of IPv6; of IPv4 it is 12 bytes: both addresses, both ports.
  static constexpr size_t kInput = 36;
  using Input = std::array<uint8_t, kInput>;
  // A bit of Rss::with_ports.
  static constexpr uint32_t Kind(bool ipv6, bool udp) { return SLUICE_NAT_KIND(uint32_t{ipv6}, uint32_t{udp}); }
  static constexpr uint32_t kAllKinds = 15;

  // How devices choose the worker of a packet.
  struct Rss {
    // Toeplitz under the devices' key; a shorter input ends in zeros.
    std::function<uint32_t(const Input&)> hash;
    // By the lower bits of the hash: a power of two of them.
    std::vector<uint16_t> worker_of_hash;
    // Which packets (whole ones) are hashed with their ports.
    uint32_t with_ports = 0;
  };

  explicit NatOwners(uint32_t owners) : owners_(owners) {}
  // By RSS where it can be: each worker must have ports enough toward any server, else that IP version's are dealt out.
  NatOwners(uint32_t owners, const Rss& rss, const sluice_nat_ports& ports);

  // Kinds whose ports are owned by RSS.
  uint32_t by_rss() const { return by_rss_; }

  // Of the port (network order) that the answer comes to.
  uint32_t Of(const sluice_flow& answer) const {
    const sluice_nat_rss by = rss();
    const sluice_port_owners toward = sluice_port_owners_toward(&by, &answer);
    return sluice_port_owner(&toward, owners_, SLUICE_16(answer.destination_port));
  }
  // Valid as long as this object.
  sluice_nat_rss rss() const;
  uint32_t owners() const { return owners_; }

 private:
  using Place = std::array<uint32_t, 256>;

  bool EnoughForAll(const sluice_nat_ports& ports, const Place* places) const;

  uint32_t owners_;
  uint32_t by_rss_ = 0;
  std::vector<uint16_t> worker_of_hash_;
  // A byte's part of the hash, by its place in the input: 36 KiB.
  std::vector<Place> parts_;
};

// "TCP and UDP over IPv4, TCP over IPv6", for people.
std::string KindsText(uint32_t kinds);

}  // namespace sluice
