#include "sluiced/reload_socket.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

constexpr char kGeneration[] = "generation=";

std::string SocketPath(const std::string& run_dir) {
  return run_dir + "/reload.sock";
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReloadSocket>> ReloadSocket::Open(asio::io_context& io, const std::string& run_dir,
                                                                 std::function<absl::StatusOr<uint32_t>()> reload) {
  const std::string path = SocketPath(run_dir);
  boost::system::error_code error;
  std::error_code ignored;
  std::filesystem::create_directories(run_dir, ignored);
  Protocol::socket probe(io);
  probe.connect(Protocol::endpoint(path), error);
  if (!error) {
    return absl::AlreadyExistsError(absl::StrCat("another sluiced runs with --run_dir=", run_dir,
                                                 "; stop it, or give this one a folder of its own"));
  }
  // What a killed daemon left.
  unlink(path.c_str());
  auto socket = std::unique_ptr<ReloadSocket>(new ReloadSocket(io, path, std::move(reload)));
  // Only the owner may reload.
  const mode_t before = umask(0177);
  socket->acceptor_.open(Protocol(), error);
  if (!error) socket->acceptor_.bind(Protocol::endpoint(path), error);
  umask(before);
  if (!error) socket->acceptor_.listen(8, error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " cannot be opened: ", error.message(), "; give a writable --run_dir"));
  }
  socket->Accept();
  return socket;
}

ReloadSocket::~ReloadSocket() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  unlink(path_.c_str());
}

void ReloadSocket::Accept() {
  acceptor_.async_accept([this](const boost::system::error_code& error, Protocol::socket peer) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      const absl::StatusOr<uint32_t> generation = reload_();
      auto answer = std::make_shared<std::string>(generation.ok() ? absl::StrCat(kGeneration, *generation)
                                                                  : std::string(generation.status().message()));
      auto socket = std::make_shared<Protocol::socket>(std::move(peer));
      asio::async_write(*socket, asio::buffer(*answer),
                        [socket, answer](const boost::system::error_code&, size_t) { socket->close(); });
    }
    Accept();
  });
}

absl::StatusOr<uint32_t> RequestReload(const std::string& run_dir) {
  asio::io_context io;
  Protocol::socket socket(io);
  boost::system::error_code error;
  socket.connect(Protocol::endpoint(SocketPath(run_dir)), error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("no sluiced answers at ", SocketPath(run_dir), " (", error.message(),
                                               "); is it running, and with the same --run_dir?"));
  }
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), error);
  absl::string_view rest = answer;
  uint32_t generation = 0;
  if (absl::ConsumePrefix(&rest, kGeneration) && absl::SimpleAtoi(rest, &generation)) return generation;
  if (answer.empty()) return absl::UnavailableError("the daemon closed the connection without an answer; see its log");
  return absl::InvalidArgumentError(answer);
}

}  // namespace sluice
