#include "sluiced/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder, const char* name, const char* flag) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  const std::string path = absl::StrCat(folder, "/", name);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  FolderLock lock(file);
  if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0) return lock;
  if (file >= 0 && errno == EWOULDBLOCK) {
    return absl::AlreadyExistsError(absl::StrCat("another sluiced runs with ", flag, "=", folder,
                                                 "; stop it, or give this one a folder of its own"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path, " cannot be opened: ", std::strerror(errno), "; give a writable ", flag));
}

FolderLock::~FolderLock() {
  if (file_ >= 0) close(file_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

}  // namespace sluice
