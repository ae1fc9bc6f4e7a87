// Checks against servers on loopback that do what a test says, all on one thread.
//
// Thread-safety: as of a struct.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "health/socket_prober.h"

namespace sluice {

class ProberTest : public testing::Test {
 protected:
  using Outcome = CheckResult::Outcome;
  using Tcp = boost::asio::ip::tcp;
  using Socket = std::shared_ptr<Tcp::socket>;

  // A server on 127.0.0.1; `serve` is called with each connection. Returns the port.
  uint16_t Listen(std::function<void(Socket)> serve) {
    acceptors_.push_back(
        std::make_unique<Tcp::acceptor>(io_, Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)));
    Accept(acceptors_.back().get(), std::move(serve));
    return acceptors_.back()->local_endpoint().port();
  }

  // Reads up to an empty line, sends `answer`, and closes unless it is to stay open.
  std::function<void(Socket)> Answer(const std::string& answer, bool close = true) {
    return [this, answer, close](const Socket& socket) {
      auto request = std::make_shared<std::string>();
      boost::asio::async_read_until(*socket, boost::asio::dynamic_buffer(*request), "\r\n\r\n",
                                    [this, socket, request, answer, close](const boost::system::error_code&, size_t) {
                                      requests_.push_back(*request);
                                      boost::system::error_code ignored;
                                      boost::asio::write(*socket, boost::asio::buffer(answer), ignored);
                                      if (!close) held_.push_back(socket);
                                    });
    };
  }
  // Accepts and says nothing.
  std::function<void(Socket)> Hang() {
    return [this](const Socket& socket) { held_.push_back(socket); };
  }
  // Sends `piece` every `pause` for as long as the client takes it.
  std::function<void(Socket)> Drip(const std::string& piece, std::chrono::milliseconds pause) {
    return [this, piece, pause](const Socket& socket) {
      auto timer = std::make_shared<boost::asio::steady_timer>(io_);
      auto next = std::make_shared<std::function<void()>>();
      *next = [socket, timer, piece, pause, weak = std::weak_ptr<std::function<void()>>(next)] {
        boost::asio::async_write(*socket, boost::asio::buffer(piece),
                                 [timer, pause, again = weak.lock()](const boost::system::error_code& error, size_t) {
                                   if (error) return;
                                   timer->expires_after(pause);
                                   timer->async_wait([again](const boost::system::error_code&) { (*again)(); });
                                 });
      };
      drips_.push_back(next);
      (*next)();
    };
  }

  // Of a check that is to run into it.
  static constexpr absl::Duration kShort = absl::Milliseconds(300);
  // Of all others: a machine may do something else for a while.
  static constexpr absl::Duration kLong = absl::Seconds(20);
  // What has not waited for a long timeout, or has ended at a short one, took less.
  static constexpr absl::Duration kSoon = absl::Seconds(10);

  static CheckSpec Spec(CheckType type, absl::Duration timeout = kLong) {
    CheckSpec spec;
    spec.type = type;
    spec.timeout = timeout;
    spec.method = std::string("GET");
    spec.path = std::string("/");
    spec.statuses = {{200, 399}};
    spec.expected_statuses = std::string("200-399");
    return spec;
  }

  CheckResult Check(const CheckSpec& spec, uint16_t port, const std::string& address = "127.0.0.1") {
    CheckTarget target{*ParseAddress(address), port, std::make_shared<const CheckSpec>(spec)};
    std::optional<CheckResult> result;
    std::unique_ptr<Probe> probe = prober_.Start(target, [&](CheckResult made) {
      EXPECT_FALSE(result.has_value());
      result = std::move(made);
      probe.reset();
    });
    EXPECT_FALSE(result.has_value());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!result.has_value() && std::chrono::steady_clock::now() < deadline) io_.run_one_for(std::chrono::seconds(1));
    EXPECT_TRUE(result.has_value());
    // What still waits finds the check over.
    io_.poll();
    return result.value_or(CheckResult());
  }

  // A port of loopback that nobody listens on.
  uint16_t ClosedPort() {
    Tcp::acceptor acceptor(io_, Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    return acceptor.local_endpoint().port();
  }

  boost::asio::io_context io_;
  // It is not stopped between two checks.
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ = make_work_guard(io_);
  SocketProber prober_{io_};
  std::vector<std::string> requests_;
  std::vector<Socket> held_;

 private:
  void Accept(Tcp::acceptor* acceptor, std::function<void(Socket)> serve) {
    acceptor->async_accept([this, acceptor, serve](const boost::system::error_code& error, Tcp::socket peer) {
      if (error) return;
      serve(std::make_shared<Tcp::socket>(std::move(peer)));
      Accept(acceptor, serve);
    });
  }

  std::vector<std::unique_ptr<Tcp::acceptor>> acceptors_;
  std::vector<std::shared_ptr<std::function<void()>>> drips_;
};

// Of a CheckResult.
MATCHER_P2(Is, outcome, reason, "") {
  *result_listener << "\"" << arg.reason << "\"";
  return arg.outcome == outcome && testing::ExplainMatchResult(testing::HasSubstr(reason), arg.reason, result_listener);
}

}  // namespace sluice
