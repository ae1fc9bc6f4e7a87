#include "health/tcp_probe.h"

#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "health/ip_address.h"

namespace sluice {

namespace asio = boost::asio;

void ConnectionProbe::Open() {
  const asio::ip::tcp::endpoint to(ToBoost(target().address), target().port);
  Error error;
  socket_.open(to.protocol(), error);
  // Closed by a RST: otherwise the port of each check would wait for a minute (TIME-WAIT), hundreds of thousands of
  // them where ten thousand backends are checked every second.
  if (!error) socket_.set_option(asio::socket_base::linger(true, 0), error);
  if (error) return FailBy(error);
  WaitFor("connection");
  socket_.async_connect(to, Then([this](size_t) { Connected(); }));
}

void ConnectionProbe::Close() {
  Error ignored;
  socket_.close(ignored);
}

void TcpProbe::Connected() {
  if (spec().send.empty()) return spec().expect.empty() ? Pass("connected") : Read();
  asio::async_write(socket_, asio::buffer(spec().send), Then([this](size_t bytes) {
                      spec().expect.empty() ? Pass(absl::StrCat("connected, ", bytes, " bytes sent")) : Read();
                    }));
}

void TcpProbe::Read() {
  WaitFor("expected answer");
  socket_.async_read_some(asio::buffer(piece_), Then([this](size_t bytes) { Look(bytes); }));
}

void TcpProbe::Look(size_t bytes) {
  const size_t before = answer_.size();
  answer_.append(piece_.data(), bytes);
  if (Has(answer_, before, spec().expect)) return Pass("answered as expected");
  if (answer_.size() < kMaxAnswer) return Read();
  Fail(absl::StrCat("the expected answer is not in its first ", answer_.size(), " bytes"));
}

void TcpProbe::FailBy(const Error& error) {
  if (error != asio::error::eof) return ConnectionProbe::FailBy(error);
  Fail(absl::StrCat("closed after ", answer_.size(), " bytes without the expected answer"));
}

}  // namespace sluice
