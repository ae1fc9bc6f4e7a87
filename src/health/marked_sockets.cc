#include "health/marked_sockets.h"

#include <sys/socket.h>

#include <cerrno>

#include "health/ip_address.h"

namespace sluice {

namespace asio = boost::asio;

void MarkedSockets::SetMark(uint32_t mark) {
  mark_ = mark;
  noted_.clear();
}

MarkedSockets::Error MarkedSockets::Mark(int socket) const {
  if (mark_ == 0) return {ENODEV, boost::system::system_category()};
  if (setsockopt(socket, SOL_SOCKET, SO_MARK, &mark_, sizeof(mark_)) == 0) return {};
  return {errno, boost::system::system_category()};
}

// That of packets to the backend's own address, so that it has a way to answer. Between IP versions the kernel's
// choice.
asio::ip::address MarkedSockets::FindSource(const asio::any_io_executor& executor, const CheckTarget& target,
                                            Error& error) const {
  const bool same_family = target.address.IsIpv4() == target.via->address.IsIpv4();
  // Any port: nothing is sent.
  const asio::ip::udp::endpoint to(ToBoost(same_family ? target.address : target.via->address), 9);
  asio::ip::udp::socket socket(executor);
  socket.open(to.protocol(), error);
  if (!error && !same_family) error = Mark(socket.native_handle());
  if (!error) socket.connect(to, error);
  if (error) return {};
  return socket.local_endpoint(error).address();
}

void MarkedSockets::Note(int protocol, const asio::ip::address& source, uint16_t port, const CheckTarget& target) {
  noted_.insert_or_assign(Source(protocol, FromBoost(source), port), Whose{target.via->pool, target.address});
}

const MarkedSockets::Whose* MarkedSockets::Find(int protocol, const Address& source, uint16_t port) const {
  const auto noted = noted_.find(Source(protocol, source, port));
  return noted == noted_.end() ? nullptr : &noted->second;
}

}  // namespace sluice
