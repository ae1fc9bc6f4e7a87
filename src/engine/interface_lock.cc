#include "engine/interface_lock.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

struct AbstractName {
  sockaddr_un address{};
  socklen_t length = 0;

  explicit AbstractName(std::string_view interface) {
    const std::string text = "sluice/port/" + std::string(interface);
    address.sun_family = AF_UNIX;
    // The zero in front makes it abstract.
    const size_t size = std::min(text.size(), sizeof(address.sun_path) - 1);
    std::memcpy(address.sun_path + 1, text.data(), size);
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// " (pid 123)", or nothing when the holder does not tell.
std::string Holder(const AbstractName& name) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return "";
  std::string holder;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (connect(fd, name.get(), name.length) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
    holder = absl::StrCat(" (pid ", peer.pid, ")");
  }
  close(fd);
  return holder;
}

}  // namespace

absl::StatusOr<InterfaceLock> InterfaceLock::Take(std::string_view interface) {
  const AbstractName name(interface);
  const std::string text(interface);
  InterfaceLock lock(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (lock.fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat(text, ": socket"));
  if (bind(lock.fd_, name.get(), name.length) != 0) {
    if (errno != EADDRINUSE) return absl::ErrnoToStatus(errno, absl::StrCat(text, ": taking the interface"));
    return absl::FailedPreconditionError(absl::StrCat(text, " is in use by another sluiced", Holder(name),
                                                      "; stop that one first, or use another interface"));
  }
  // Never accepted from: it listens so that others can ask who it is.
  if (listen(lock.fd_, 8) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(text, ": taking the interface"));
  return lock;
}

InterfaceLock::InterfaceLock(InterfaceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

InterfaceLock::~InterfaceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace sluice
