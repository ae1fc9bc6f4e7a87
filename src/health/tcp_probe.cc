#include "health/tcp_probe.h"

#include <algorithm>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "health/ip_address.h"

namespace sluice {

namespace asio = boost::asio;

void ConnectionProbe::Open() {
  const asio::ip::tcp::endpoint to(ToBoost(target().asked()), target().port);
  Error error;
  socket_.open(to.protocol(), error);
  // Closed by a RST: otherwise the port of each check would wait for a minute (TIME-WAIT), hundreds of thousands of
  // them where ten thousand backends are checked every second.
  if (!error) socket_.set_option(asio::socket_base::linger(true, 0), error);
  if (!error && target().via.has_value()) error = marked_->Prepare(socket_, target());
  if (error) return FailBy(error);
  WaitFor("connection");
  socket_.async_connect(to, Then([this](size_t) { Connected(); }));
}

void ConnectionProbe::Close() {
  Error ignored;
  socket_.close(ignored);
}

void TcpProbe::Connected() {
  script_ = spec().script.empty() ? std::vector<CheckStep>{{spec().send, spec().expect}} : spec().script;
  Say();
}

void TcpProbe::Say() {
  if (step().send.empty()) return Listen();
  asio::async_write(socket_, asio::buffer(step().send), Then([this](size_t bytes) {
                      sent_ += bytes;
                      Listen();
                    }));
}

void TcpProbe::Listen() {
  if (step().expect.empty()) return StepDone();
  WaitFor("expected answer" + WhichStep());
  Look(0);
}

void TcpProbe::Look(size_t before) {
  const size_t from = before - std::min(before, step().expect.size());
  const size_t at = answer_.find(step().expect, from);
  if (at != std::string::npos) {
    // What came behind it may be what the next step expects.
    answer_.erase(0, at + step().expect.size());
    return StepDone();
  }
  if (read_ >= kMaxAnswer) {
    return Fail(absl::StrCat("the expected answer", WhichStep(), " is not in its first ", read_, " bytes"));
  }
  socket_.async_read_some(asio::buffer(piece_), Then([this](size_t bytes) {
                            const size_t looked_at = answer_.size();
                            answer_.append(piece_.data(), bytes);
                            read_ += bytes;
                            Look(looked_at);
                          }));
}

void TcpProbe::StepDone() {
  if (++step_ < script_.size()) return Say();
  if (read_ > 0) return Pass("answered as expected");
  Pass(sent_ == 0 ? "connected" : absl::StrCat("connected, ", sent_, " bytes sent"));
}

std::string TcpProbe::WhichStep() const {
  return script_.size() == 1 ? "" : absl::StrCat(" of step ", step_ + 1);
}

void TcpProbe::FailBy(const Error& error) {
  if (error != asio::error::eof) return ConnectionProbe::FailBy(error);
  Fail(absl::StrCat("closed after ", read_, " bytes without the expected answer", WhichStep()));
}

}  // namespace sluice
