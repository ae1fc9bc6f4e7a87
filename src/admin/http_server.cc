#include "admin/http_server.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

// Out of file descriptors: others may give some back.
constexpr std::chrono::milliseconds kRetry(100);

tcp::endpoint ToTcp(const Endpoint& endpoint) {
  const std::array<uint8_t, 16>& bytes = endpoint.address.bytes;
  if (!endpoint.address.IsIpv4()) return {asio::ip::address_v6(bytes), endpoint.port};
  return {asio::ip::address_v4({bytes[12], bytes[13], bytes[14], bytes[15]}), endpoint.port};
}

}  // namespace

// One connection; keeps itself alive by its handlers, and its stream's timer ends it.
class HttpServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, std::shared_ptr<Shared> shared) : stream_(std::move(socket)), shared_(std::move(shared)) {
    shared_->sessions++;
  }
  ~Session() {
    shared_->sessions--;
    if (shared_->make_room) shared_->make_room();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytes);
    parser_->body_limit(0);
    stream_.expires_after(kPatience);
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](const beast::error_code& error, size_t) {
      if (!error) return self->Ask();
      // It has gone, or is too slow. What is no request gets an answer and no second chance.
      if (error.category() == http::make_error_code(http::error::bad_method).category() &&
          error != http::error::end_of_stream) {
        self->keep_ = false;
        self->Write({400, "text/plain; charset=utf-8", "this is not a request that is understood here\n"});
      }
    });
  }

 private:
  void Ask() {
    const http::request<http::empty_body>& request = parser_->get();
    keep_ = request.keep_alive();
    head_ = request.method() == http::verb::head;
    if (request.method() != http::verb::get && !head_) {
      return Write({405, "text/plain; charset=utf-8", "only GET and HEAD are served here\n"});
    }
    if (shared_->handler == nullptr) return;
    std::string path(request.target());
    path.resize(std::min(path.find('?'), path.size()));
    shared_->handler(path, [self = shared_from_this()](HttpAnswer answer) { self->Write(std::move(answer)); });
  }

  void Write(HttpAnswer answer) {
    response_ = {};
    response_.result(answer.status);
    response_.version(11);
    response_.set(http::field::content_type, answer.content_type);
    response_.keep_alive(keep_);
    response_.content_length(answer.body.size());
    if (answer.status == 405) response_.set(http::field::allow, "GET, HEAD");
    if (!head_) response_.body() = std::move(answer.body);
    serializer_.emplace(response_);
    stream_.expires_after(kPatience);
    const auto written = [self = shared_from_this()](const beast::error_code& error, size_t) {
      if (error) return;
      if (self->keep_) return self->Read();
      beast::error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    };
    if (head_) {
      http::async_write_header(stream_, *serializer_, written);
    } else {
      http::async_write(stream_, *serializer_, written);
    }
  }

  beast::tcp_stream stream_;
  std::shared_ptr<Shared> shared_;
  beast::flat_buffer buffer_{kHeaderBytes};
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  bool keep_ = false;
  bool head_ = false;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Open(asio::io_context& io, const Endpoint& endpoint,
                                                             Handler handler) {
  auto server = std::unique_ptr<HttpServer>(new HttpServer(io));
  if (absl::Status status = server->Listen(endpoint); !status.ok()) return status;
  server->shared_->handler = std::move(handler);
  server->shared_->make_room = [self = server.get()] {
    if (!self->accepting_) self->Accept();
  };
  server->Accept();
  return server;
}

absl::Status HttpServer::Listen(const Endpoint& endpoint) {
  const tcp::endpoint where = ToTcp(endpoint);
  beast::error_code error;
  acceptor_.open(where.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(where, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("nothing can be served at ", FormatAddress(endpoint.address),
                                                    " port ", endpoint.port, " (", error.message(),
                                                    "); set another admin.listen"));
}

HttpServer::~HttpServer() {
  shared_->handler = nullptr;
  shared_->make_room = nullptr;
  beast::error_code ignored;
  acceptor_.close(ignored);
}

void HttpServer::Accept() {
  accepting_ = true;
  acceptor_.async_accept([this, shared = shared_](const beast::error_code& error, tcp::socket peer) {
    // Then this object is gone.
    if (shared->handler == nullptr) return;
    accepting_ = false;
    if (error) return AcceptLater();
    std::make_shared<Session>(std::move(peer), shared_)->Read();
    // Otherwise who leaves makes room.
    if (!accepting_ && shared_->sessions < kConnections) Accept();
  });
}

void HttpServer::AcceptLater() {
  accepting_ = true;
  retry_.expires_after(kRetry);
  retry_.async_wait([this, shared = shared_](const beast::error_code&) {
    if (shared->handler != nullptr) Accept();
  });
}

}  // namespace sluice
