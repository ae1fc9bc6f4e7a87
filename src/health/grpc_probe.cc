#include "health/grpc_probe.h"

#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"

namespace sluice {

namespace asio = boost::asio;

void GrpcProbe::Ready() {
  WaitFor("answer");
  if (secure()) return AskThroughTls();
  Error error;
  socket_.native_non_blocking(true, error);
  if (error) return FailBy(error);
  // With its RST when it is closed.
  const int descriptor = socket_.release(error);
  if (error) return FailBy(error);
  Ask(descriptor);
}

void GrpcProbe::Ask(int descriptor) {
  const std::string authority = spec().host.empty() ? FormatEndpoint(target().asked(), target().port) : spec().host;
  call_ =
      calls_->Check(descriptor, authority, spec().service, [this, self = shared_from_this()](const GrpcAnswer& answer) {
        if (!over()) Answered(answer);
      });
}

void GrpcProbe::Close() {
  if (call_ != nullptr) GrpcCalls::Cancel(*call_);
  call_.reset();
  Error ignored;
  ours_.close(ignored);
  ConnectionProbe::Close();
}

void GrpcProbe::Answered(const GrpcAnswer& answer) {
  if (answer.code == "OK" && answer.serving == "SERVING") return Pass("answered SERVING");
  if (answer.code == "OK") {
    // A server of HTTP/1 that says 200 is a call without an answer to gRPC, so UNKNOWN.
    const std::string or_not = answer.serving == "UNKNOWN" ? ", or not in gRPC" : "";
    const std::string serving = answer.serving.empty() ? "a status that is none" : answer.serving;
    return Fail(absl::StrCat("answered ", serving, or_not, "; expected SERVING"));
  }
  if (answer.code == "NOT_FOUND") {
    return Fail(absl::StrCat("answered NOT_FOUND: the server has no service \"", spec().service, "\""));
  }
  if (answer.code == "UNIMPLEMENTED") return Fail("answered UNIMPLEMENTED: the server has no grpc.health.v1.Health");
  if (broken_ && broken_ != asio::error::eof && broken_ != asio::ssl::error::stream_truncated) return FailBy(broken_);
  // The words of the status may be the server's own, which are not to be trusted in a log.
  Fail(absl::StrCat("the call ended with ", answer.code,
                    answer.code == "UNAVAILABLE" ? ": closed, or not answered in gRPC" : ""));
}

void GrpcProbe::AskThroughTls() {
  asio::local::stream_protocol::socket theirs(ours_.get_executor());
  Error error;
  asio::local::connect_pair(ours_, theirs, error);
  if (!error) theirs.native_non_blocking(true, error);
  const int descriptor = error ? -1 : theirs.release(error);
  if (error) return FailBy(error);
  Ask(descriptor);
  ToServer();
  FromServer();
}

void GrpcProbe::ToServer() {
  ours_.async_read_some(asio::buffer(to_server_), [this, self = shared_from_this()](const Error& read, size_t size) {
    if (over() || read) return;
    WithStream([&](auto& stream) {
      asio::async_write(stream, asio::buffer(to_server_, size), [this, self](const Error& written, size_t) {
        if (!over() && !written) ToServer();
      });
    });
  });
}

void GrpcProbe::FromServer() {
  WithStream([this](auto& stream) {
    stream.async_read_some(
        asio::buffer(from_server_), [this, self = shared_from_this()](const Error& read, size_t size) {
          if (over()) return;
          if (read) {
            // What came before may be the answer: gRPC says how the call ended.
            broken_ = read;
            Error ignored;
            ours_.shutdown(asio::socket_base::shutdown_send, ignored);
            return;
          }
          asio::async_write(ours_, asio::buffer(from_server_, size), [this, self](const Error& written, size_t) {
            if (!over() && !written) FromServer();
          });
        });
  });
}

}  // namespace sluice
