// What all checks by sockets have in common: they begin later, end once, and end at their deadline.
//
// Thread-safety: the thread that runs the io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "health/prober.h"

namespace sluice {

// Kept alive by the handlers that it waits for.
class SocketProbe : public std::enable_shared_from_this<SocketProbe> {
 public:
  SocketProbe(boost::asio::io_context& io, CheckTarget target, Prober::Done done);
  virtual ~SocketProbe() = default;

  void Begin();
  // `done` is not called any more.
  void Cancel();

 protected:
  using Error = boost::system::error_code;

  // Opens the socket and starts.
  virtual void Open() = 0;
  // Ends what is under way on the socket, whose handlers then find the check over.
  virtual void Close() = 0;

  // What it waits for from now on: "no answer within 1s" when it does not come.
  void WaitFor(std::string what) { waiting_for_ = std::move(what); }
  void Pass(const std::string& reason, const std::optional<AgentAnswer>& agent = std::nullopt) {
    End(CheckResult::Outcome::kPassed, reason, agent);
  }
  void Fail(const std::string& reason) { End(CheckResult::Outcome::kFailed, reason); }
  // What an error of a socket says about the backend, or about this node.
  virtual void FailBy(const Error& error);
  void NotMade(const std::string& reason) { End(CheckResult::Outcome::kNotMade, reason); }

  // A handler that goes on with `next` (of the number of bytes) unless the check is over or there was an error.
  template <typename Next>
  auto Then(Next next) {
    return [self = shared_from_this(), next = std::move(next)](const Error& error, size_t bytes = 0) {
      if (self->over()) return;
      if (error) return self->FailBy(error);
      next(bytes);
    };
  }

  bool over() const { return done_ == nullptr; }
  const CheckTarget& target() const { return target_; }
  const CheckSpec& spec() const { return *target_.spec; }

 private:
  using Clock = boost::asio::steady_timer::clock_type;

  void WaitForDeadline();
  void End(CheckResult::Outcome outcome, const std::string& reason,
           const std::optional<AgentAnswer>& agent = std::nullopt);

  CheckTarget target_;
  Prober::Done done_;
  boost::asio::steady_timer deadline_;
  Clock::time_point started_;
  std::string waiting_for_ = "answer";
  bool extended_ = false;
};

// Whether the answer so far has what is expected. `before`: bytes of it that were looked at already.
bool Has(const std::string& answer, size_t before, const std::string& expected);

// "10.0.1.11:80", "[2001:db8::11]:80".
std::string FormatEndpoint(const Address& address, uint16_t port);

}  // namespace sluice
