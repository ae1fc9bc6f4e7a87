// What the daemon tells over HTTP: /metrics for Prometheus, /healthz (it lives) and /readyz (it serves).
//
// Thread-safety: the control thread's. Metrics are gathered on it, and written as text on a thread of their own, so
// that 10,000 backends hold nothing up.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>

#include "admin/http_server.h"
#include "control/controller.h"
#include "control/runtime.pb.h"

namespace sluice {

class Admin {
 public:
  struct Backing {
    // Outlives this.
    const Controller* controller = nullptr;
    // What the daemon tells of itself and the controller.
    std::function<v1::Status()> status;
  };

  static absl::StatusOr<std::unique_ptr<Admin>> Open(boost::asio::io_context& io, const Endpoint& endpoint,
                                                     Backing backing);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

 private:
  Admin(boost::asio::io_context& io, Backing backing) : io_(io), backing_(std::move(backing)) {}
  void Answer(const std::string& path, HttpServer::Done done);
  void AnswerMetrics(HttpServer::Done done);

  boost::asio::io_context& io_;
  Backing backing_;
  boost::asio::thread_pool writer_{1};
  std::unique_ptr<HttpServer> server_;
};

}  // namespace sluice
