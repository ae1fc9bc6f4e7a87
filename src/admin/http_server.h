// A small HTTP/1.1 server for what a monitoring system asks: answers GET and HEAD without a body of their own, and
// closes whatever asks for more. Bounded: kConnections at a time (others wait), kPatience for each request and answer.
//
// Thread-safety: the io_context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "config/endpoint.h"

namespace sluice {

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  static constexpr size_t kConnections = 32;
  static constexpr std::chrono::seconds kPatience{10};
  static constexpr size_t kHeaderBytes = 8192;

  using Done = std::function<void(HttpAnswer answer)>;
  // Calls `done` on the io_context's thread, at once or later. `path` is without what follows a question mark.
  using Handler = std::function<void(const std::string& path, Done done)>;

  // Errors: the address is not this machine's, the port is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Open(boost::asio::io_context& io, const Endpoint& endpoint,
                                                          Handler handler);
  // Whoever is connected is not answered any more.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  class Session;
  // What sessions may still look at when the server is gone.
  struct Shared {
    Handler handler;
    // Called when a session has gone.
    std::function<void()> make_room;
    size_t sessions = 0;
  };

  explicit HttpServer(boost::asio::io_context& io) : acceptor_(io), retry_(io) {}
  absl::Status Listen(const Endpoint& endpoint);
  void Accept();
  void AcceptLater();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  bool accepting_ = false;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace sluice
