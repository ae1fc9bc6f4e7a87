#include "sluiced/reload_socket.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

constexpr char kRequest[] = "reload\n";
constexpr char kGeneration[] = "generation=";
constexpr size_t kLongestRequest = 64;
// Out of file descriptors: others may give some back.
constexpr std::chrono::milliseconds kRetry(100);

absl::StatusOr<std::string> SocketPath(const std::string& run_dir) {
  const std::string path = run_dir + "/reload.sock";
  if (path.size() < sizeof(sockaddr_un::sun_path)) return path;
  return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a socket (", path.size(), " bytes of ",
                                                 sizeof(sockaddr_un::sun_path) - 1, "); give a shorter --run_dir"));
}

absl::Status Unwritable(const std::string& path, const std::string& reason) {
  return absl::PermissionDeniedError(absl::StrCat(path, " cannot be opened: ", reason, "; give a writable --run_dir"));
}

}  // namespace

// One connection; keeps itself alive by its handlers, and its timer ends it.
class ReloadSocket::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(Protocol::socket socket, std::shared_ptr<Shared> shared)
      : socket_(std::move(socket)), deadline_(socket_.get_executor()), shared_(std::move(shared)) {
    shared_->clients++;
  }
  ~Client() {
    shared_->clients--;
    if (shared_->make_room) shared_->make_room();
  }

  void Serve() {
    SetDeadline();
    asio::async_read_until(
        socket_, asio::dynamic_buffer(text_, kLongestRequest), '\n',
        [self = shared_from_this()](const boost::system::error_code& error, size_t) { self->Answer(error); });
  }

 private:
  void SetDeadline() {
    deadline_.expires_after(shared_->patience);
    deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code&) {
      const std::shared_ptr<Client> self = weak.lock();
      // It may have been moved on when this was on its way already.
      if (self == nullptr || self->deadline_.expiry() > asio::steady_timer::clock_type::now()) return;
      boost::system::error_code ignored;
      self->socket_.close(ignored);
    });
  }

  // One that says nothing, such as a probe, changes nothing.
  void Answer(const boost::system::error_code& error) {
    if (error || shared_->reload == nullptr) return;
    if (text_ == kRequest) {
      const absl::StatusOr<uint32_t> generation = shared_->reload();
      text_ = generation.ok() ? absl::StrCat(kGeneration, *generation) : std::string(generation.status().message());
    } else {
      text_ = "the request is not \"reload\"; is sluiced --reload of another version?";
    }
    // The reload was not the client's time.
    SetDeadline();
    asio::async_write(socket_, asio::buffer(text_),
                      [self = shared_from_this()](const boost::system::error_code&, size_t) {});
  }

  Protocol::socket socket_;
  asio::steady_timer deadline_;
  std::shared_ptr<Shared> shared_;
  // The request, then the answer.
  std::string text_;
};

absl::StatusOr<std::unique_ptr<ReloadSocket>> ReloadSocket::Open(asio::io_context& io, const std::string& run_dir,
                                                                 std::function<absl::StatusOr<uint32_t>()> reload,
                                                                 std::chrono::milliseconds patience) {
  const absl::StatusOr<std::string> path = SocketPath(run_dir);
  if (!path.ok()) return path.status();
  absl::StatusOr<FolderLock> lock = FolderLock::Take(run_dir, "lock", "--run_dir");
  if (!lock.ok()) return lock.status();
  auto socket = std::unique_ptr<ReloadSocket>(new ReloadSocket(io, *path, *std::move(lock)));
  if (absl::Status status = socket->Listen(); !status.ok()) return status;
  socket->shared_->reload = std::move(reload);
  socket->shared_->patience = patience;
  socket->shared_->make_room = [self = socket.get()] {
    if (!self->accepting_) self->Accept();
  };
  socket->Accept();
  return socket;
}

absl::Status ReloadSocket::Listen() {
  // What a killed daemon left; the lock says that it is nobody's.
  unlink(path_.c_str());
  boost::system::error_code error;
  // Only the owner may reload.
  const mode_t before = umask(0177);
  acceptor_.open(Protocol(), error);
  if (!error) acceptor_.bind(Protocol::endpoint(path_), error);
  umask(before);
  if (!error) acceptor_.listen(Protocol::acceptor::max_listen_connections, error);
  return error ? Unwritable(path_, error.message()) : absl::OkStatus();
}

ReloadSocket::~ReloadSocket() {
  shared_->reload = nullptr;
  shared_->make_room = nullptr;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  unlink(path_.c_str());
}

void ReloadSocket::Accept() {
  accepting_ = true;
  acceptor_.async_accept([this, shared = shared_](const boost::system::error_code& error, Protocol::socket peer) {
    // Then this object is gone.
    if (shared->reload == nullptr) return;
    accepting_ = false;
    if (error) return AcceptLater();
    std::make_shared<Client>(std::move(peer), shared_)->Serve();
    // Otherwise who leaves makes room.
    if (!accepting_ && shared_->clients < kClients) Accept();
  });
}

void ReloadSocket::AcceptLater() {
  accepting_ = true;
  retry_.expires_after(kRetry);
  retry_.async_wait([this, shared = shared_](const boost::system::error_code&) {
    if (shared->reload != nullptr) Accept();
  });
}

absl::StatusOr<uint32_t> RequestReload(const std::string& run_dir) {
  const absl::StatusOr<std::string> path = SocketPath(run_dir);
  if (!path.ok()) return path.status();
  asio::io_context io;
  Protocol::socket socket(io);
  boost::system::error_code error;
  socket.connect(Protocol::endpoint(*path), error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("no sluiced answers at ", *path, " (", error.message(),
                                               "); is it running, and with the same --run_dir?"));
  }
  std::string answer;
  asio::write(socket, asio::buffer(kRequest, sizeof(kRequest) - 1), error);
  if (!error) asio::read(socket, asio::dynamic_buffer(answer), error);
  absl::string_view rest = answer;
  uint32_t generation = 0;
  if (absl::ConsumePrefix(&rest, kGeneration) && absl::SimpleAtoi(rest, &generation)) return generation;
  if (answer.empty()) return absl::UnavailableError("the daemon closed the connection without an answer; see its log");
  return absl::InvalidArgumentError(answer);
}

}  // namespace sluice
