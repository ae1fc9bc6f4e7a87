#include "health/icmp_socket.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <utility>

#include "health/ip_address.h"

namespace sluice {
namespace {

namespace asio = boost::asio;

constexpr uint8_t kRequest4 = 8;
constexpr uint8_t kReply4 = 0;
constexpr size_t kHeader = 8;
// Replies of a few thousand servers that answer while this thread does something else.
constexpr int kReceiveBuffer = 1 << 20;
// Read in one go, so that others have their turn.
constexpr int kAtOnce = 256;

uint16_t Checksum(const std::array<uint8_t, 24>& message) {
  uint32_t sum = 0;
  for (size_t i = 0; i < message.size(); i += 2) sum += uint32_t{message[i]} << 8 | message[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// Nothing but replies: each socket of this kind gets all ICMP messages of the machine otherwise.
int KeepReplies(int socket, bool ipv4) {
  if (ipv4) {
    icmp_filter filter{~(uint32_t{1} << kReply4)};
    return setsockopt(socket, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
  }
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  return setsockopt(socket, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
}

}  // namespace

std::array<uint8_t, 24> EchoRequest(bool ipv4, const EchoNonce& nonce) {
  // Type, code, checksum, identifier, sequence number.
  std::array<uint8_t, 24> message{ipv4 ? kRequest4 : uint8_t{ICMP6_ECHO_REQUEST}};
  std::copy(nonce.begin(), nonce.end(), message.begin() + kHeader);
  if (!ipv4) return message;
  const uint16_t checksum = Checksum(message);
  message[2] = static_cast<uint8_t>(checksum >> 8);
  message[3] = static_cast<uint8_t>(checksum);
  return message;
}

bool ReadEchoReply(bool ipv4, const uint8_t* packet, size_t size, EchoNonce* nonce) {
  size_t at = 0;
  if (ipv4) {
    if (size < 20) return false;
    at = size_t{4} * (packet[0] & 15);
  }
  if (size < at + kHeader + nonce->size()) return false;
  if (packet[at] != (ipv4 ? kReply4 : ICMP6_ECHO_REPLY)) return false;
  std::copy_n(packet + at + kHeader, nonce->size(), nonce->begin());
  return true;
}

IcmpSocket::~IcmpSocket() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

boost::system::error_code IcmpSocket::OpenOnce() {
  boost::system::error_code error;
  if (socket_.is_open()) return error;
  socket_.open(ipv4_ ? asio::ip::icmp::v4() : asio::ip::icmp::v6(), error);
  if (error) return error;
  socket_.non_blocking(true, error);
  if (!error && KeepReplies(socket_.native_handle(), ipv4_) != 0) {
    error.assign(errno, boost::system::system_category());
  }
  if (!error) socket_.set_option(asio::socket_base::receive_buffer_size(kReceiveBuffer), error);
  if (error) {
    boost::system::error_code ignored;
    socket_.close(ignored);
    return error;
  }
  WaitForReplies();
  return error;
}

boost::system::error_code IcmpSocket::Ask(const Address& address, const EchoNonce& nonce,
                                          std::function<void()> replied) {
  boost::system::error_code error = OpenOnce();
  if (error) return error;
  const std::array<uint8_t, 24> message = EchoRequest(ipv4_, nonce);
  socket_.send_to(asio::buffer(message), asio::ip::icmp::endpoint(ToBoost(address), 0), 0, error);
  if (!error) waiting_.insert_or_assign(nonce, Waiting{address, std::move(replied)});
  return error;
}

void IcmpSocket::WaitForReplies() {
  socket_.async_wait(asio::socket_base::wait_read,
                     [this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
                       if (error || alive.expired()) return;
                       ReadReplies();
                       WaitForReplies();
                     });
}

void IcmpSocket::ReadReplies() {
  std::array<uint8_t, 256> packet;
  asio::ip::icmp::endpoint from;
  for (int i = 0; i < kAtOnce; i++) {
    boost::system::error_code error;
    const size_t size = socket_.receive_from(asio::buffer(packet), from, 0, error);
    if (error) return;
    EchoNonce nonce;
    if (ReadEchoReply(ipv4_, packet.data(), size, &nonce)) Replied(nonce, FromBoost(from.address()));
  }
}

void IcmpSocket::Replied(const EchoNonce& nonce, const Address& from) {
  const auto at = waiting_.find(nonce);
  if (at == waiting_.end() || at->second.address != from) return;
  const std::function<void()> replied = std::move(at->second.replied);
  waiting_.erase(at);
  replied();
}

}  // namespace sluice
