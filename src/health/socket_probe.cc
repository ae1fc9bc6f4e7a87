#include "health/socket_probe.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace sluice {
namespace {

// A deadline that is handled later than this was kept waiting by this thread's other work.
constexpr std::chrono::milliseconds kPunctual(10);

// Nothing that the backend could help.
bool IsOurs(const boost::system::error_code& error) {
  if (error.category() != boost::system::system_category()) return false;
  switch (error.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
    case ENODEV:
    case EAGAIN:
      return true;
    default:
      return false;
  }
}

}  // namespace

SocketProbe::SocketProbe(boost::asio::io_context& io, CheckTarget target, Prober::Done done)
    : target_(std::move(target)), done_(std::move(done)), deadline_(io) {}

void SocketProbe::Begin() {
  boost::asio::post(deadline_.get_executor(), [self = shared_from_this()] {
    if (self->over()) return;
    self->started_ = Clock::now();
    self->deadline_.expires_at(self->started_ + absl::ToChronoNanoseconds(self->spec().timeout));
    self->WaitForDeadline();
    self->Open();
  });
}

void SocketProbe::WaitForDeadline() {
  deadline_.async_wait([self = shared_from_this()](const Error& error) {
    if (error || self->over()) return;
    const Clock::duration late = Clock::now() - self->deadline_.expiry();
    // An answer may have come that nobody has looked at: so much time was ours, not the backend's.
    if (late > kPunctual && !self->extended_) {
      self->extended_ = true;
      self->deadline_.expires_after(late);
      return self->WaitForDeadline();
    }
    self->Fail(absl::StrCat("no ", self->waiting_for_, " within ", absl::FormatDuration(self->spec().timeout)));
  });
}

void SocketProbe::Cancel() {
  if (over()) return;
  done_ = nullptr;
  deadline_.cancel();
  Close();
}

void SocketProbe::FailBy(const Error& error) {
  if (IsOurs(error)) return NotMade(error.message());
  Fail(error.message());
}

void SocketProbe::End(CheckResult::Outcome outcome, const std::string& reason,
                      const std::optional<AgentAnswer>& agent) {
  if (over()) return;
  const Prober::Done done = std::exchange(done_, nullptr);
  deadline_.cancel();
  Close();
  done({outcome, reason, absl::FromChrono(Clock::now() - started_), absl::Now(), agent});
}

bool Has(const std::string& answer, size_t before, const std::string& expected) {
  const size_t from = before - std::min(before, expected.size());
  return answer.find(expected, from) != std::string::npos;
}

std::string FormatEndpoint(const Address& address, uint16_t port) {
  const std::string text = FormatAddress(address);
  return address.IsIpv4() ? absl::StrCat(text, ":", port) : absl::StrCat("[", text, "]:", port);
}

}  // namespace sluice
