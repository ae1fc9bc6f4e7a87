#include "admin/admin.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "admin/metrics.h"
#include "control/view.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<Admin>> Admin::Open(boost::asio::io_context& io, const Endpoint& endpoint,
                                                   Backing backing) {
  auto admin = std::unique_ptr<Admin>(new Admin(io, std::move(backing)));
  absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Open(
      io, endpoint,
      [self = admin.get()](const std::string& path, HttpServer::Done done) { self->Answer(path, std::move(done)); });
  if (!server.ok()) return server.status();
  admin->server_ = *std::move(server);
  return admin;
}

Admin::~Admin() {
  server_.reset();
  writer_.join();
}

void Admin::Answer(const std::string& path, HttpServer::Done done) {
  if (path == "/metrics") return AnswerMetrics(std::move(done));
  if (path == "/healthz") return done({200, "text/plain; charset=utf-8", "ok\n"});
  if (path == "/readyz") {
    if (backing_.status().ready()) return done({200, "text/plain; charset=utf-8", "ready\n"});
    return done({503, "text/plain; charset=utf-8", "next hops of backends are still being looked for\n"});
  }
  done({404, "text/plain; charset=utf-8", "there is /metrics, /healthz and /readyz\n"});
}

void Admin::AnswerMetrics(HttpServer::Done done) {
  boost::asio::post(writer_, [this, status = backing_.status(), inventory = ViewInventory(*backing_.controller),
                              done = std::move(done)]() mutable {
    HttpAnswer answer{200, kMetricsType, MetricsText(status, inventory)};
    boost::asio::post(io_, [done = std::move(done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
  });
}

}  // namespace sluice
