// Sockets of checks that take the way of clients' packets (via: vip). Their packets bear a mark, by which the kernel
// gives them back to this process (neighbor/check_device.h) instead of sending them, and leave by the way of their
// backend. Here is known whose packets they are.
//
// Thread-safety: the thread that runs the sockets' io_context.
#pragma once

#include <netinet/in.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/unicast.hpp>
#include <cstdint>
#include <string>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "base/address.h"
#include "health/prober.h"

namespace sluice {

class MarkedSockets {
 public:
  using Error = boost::system::error_code;

  // What sockets get from now on; 0: nobody takes their packets, and none is prepared.
  void SetMark(uint32_t mark);

  // Marks and binds an open socket that is to ask target.via.
  template <typename BoostSocket>
  Error Prepare(BoostSocket& socket, const CheckTarget& target) {
    typename BoostSocket::endpoint_type local;
    Error error = Mark(socket.native_handle());
    if (!error) socket.set_option(boost::asio::ip::unicast::hops(target.via->hops), error);
    if (!error) local.address(FindSource(socket.get_executor(), target, error));
    if (!error) socket.bind(local, error);
    if (!error) local = socket.local_endpoint(error);
    if (!error) Note(local.protocol().protocol(), local.address(), local.port(), target);
    return error;
  }

  // Whose packets come from there; null: nobody's. A port's last user stays noted until there is another one: its last
  // packets (RST) come when it is over. So there are never more than there are ports. Valid until the next Prepare.
  struct Whose {
    std::string pool;
    Address backend;
  };
  const Whose* Find(int protocol, const Address& source, uint16_t port) const;

 private:
  using Source = std::tuple<int, Address, uint16_t>;

  Error Mark(int socket) const;
  boost::asio::ip::address FindSource(const boost::asio::any_io_executor& executor, const CheckTarget& target,
                                      Error& error) const;
  void Note(int protocol, const boost::asio::ip::address& source, uint16_t port, const CheckTarget& target);

  uint32_t mark_ = 0;
  absl::flat_hash_map<Source, Whose> noted_;
};

}  // namespace sluice
