// Echo requests and their replies, one raw socket a family for all checks: with a socket for each, the kernel would
// give every reply to every one of them.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/icmp.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/address.h"

namespace sluice {

// What an echo request carries and its reply brings back; what outsiders can't guess.
using EchoNonce = std::array<uint8_t, 16>;

// The whole ICMP message, for IPv4 with its checksum; the kernel computes that of IPv6.
std::array<uint8_t, 24> EchoRequest(bool ipv4, const EchoNonce& nonce);
// The nonce of an echo reply, as a raw socket gives it: with its IP header in IPv4. False: it is none of ours.
bool ReadEchoReply(bool ipv4, const uint8_t* packet, size_t size, EchoNonce* nonce);

class IcmpSocket {
 public:
  explicit IcmpSocket(boost::asio::io_context& io, bool ipv4) : socket_(io), ipv4_(ipv4) {}
  ~IcmpSocket();

  // Sends an echo request; `replied` is called when its reply comes, unless it is forgotten before. An error is one of
  // opening the socket or of sending.
  boost::system::error_code Ask(const Address& address, const EchoNonce& nonce, std::function<void()> replied);
  void Forget(const EchoNonce& nonce) { waiting_.erase(nonce); }

 private:
  struct Waiting {
    Address address;
    std::function<void()> replied;
  };

  boost::system::error_code OpenOnce();
  void WaitForReplies();
  void ReadReplies();
  void Replied(const EchoNonce& nonce, const Address& from);

  boost::asio::ip::icmp::socket socket_;
  bool ipv4_;
  absl::flat_hash_map<EchoNonce, Waiting> waiting_;
  // Handlers that come too late see by it that this object is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sluice
