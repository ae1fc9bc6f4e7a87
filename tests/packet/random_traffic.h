// Packets by chance, for a site: flows with all that belongs to them (their packets, pieces, errors about them), asked
// for again and again, what is nearly right, and what is not for us. The same seed and feedback, the same packets.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/packet/random_site.h"

namespace sluice::packet_test {

class RandomTraffic {
 public:
  // The site outlives it.
  RandomTraffic(uint64_t seed, const RandomSite& site);

  // 14 to 1,600 bytes.
  std::string Next();

  // A frame that left: a server may answer it.
  void Saw(const std::string& frame);

 private:
  uint32_t Random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  template <typename T, size_t kCount>
  const T& OneOf(const T (&all)[kCount]) {
    return all[Random(kCount)];
  }
  void Keep(const std::string& text);
  void KeepFrame(std::string frame);

  std::string Client(bool ipv6);
  std::string Ip(const std::string& source, const std::string& destination, bool ipv6, const std::string& more = "");
  std::string Payload();
  void AddFlow();
  void AddTcp(const std::string& ip, uint32_t source, uint32_t destination);
  void AddUdp(const std::string& ip, uint32_t source, uint32_t destination);
  void AddFragments(const std::string& source, const std::string& destination, bool ipv6, const std::string& transport);
  void AddError(const std::string& client, const std::string& address, bool ipv6, const std::string& quoted);
  void AddEcho(const std::string& client, const std::string& address, bool ipv6);
  void AddOther();

  std::mt19937_64 random_;
  const RandomSite& site_;
  std::vector<std::string> window_;
};

}  // namespace sluice::packet_test
