#include "sluiced/hash_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using Key = std::array<uint8_t, 32>;

absl::Status FileError(const std::string& path, const char* what) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", what, ": ", std::strerror(errno),
                                                    "; give a writable --state_dir, or set engine.hash_key"));
}

absl::StatusOr<Key> ReadKey(int file, const std::string& path) {
  // One byte more than a key has tells a longer file.
  std::array<uint8_t, std::tuple_size_v<Key> + 1> bytes{};
  const ssize_t got = read(file, bytes.data(), bytes.size());
  if (got < 0) return FileError(path, "cannot be read");
  Key key{};
  if (got != static_cast<ssize_t>(key.size())) {
    const std::string has = got > static_cast<ssize_t>(key.size()) ? "more" : std::to_string(got);
    return absl::FailedPreconditionError(absl::StrCat(path, " should have ", key.size(), " bytes and has ", has,
                                                      "; put the key back, or remove it to have a new key made (flows "
                                                      "then lose their backends)"));
  }
  std::copy_n(bytes.begin(), key.size(), key.begin());
  return key;
}

// Written aside, synced and renamed: there is a whole key or none.
absl::StatusOr<Key> MakeKey(const std::string& path) {
  Key key{};
  if (getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    return FileError(path, "no random bytes for it");
  const std::string aside = path + ".new";
  // What a crash left may have another owner or mode.
  unlink(aside.c_str());
  const int file = open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return FileError(aside, "cannot be written");
  const absl::Cleanup closer = [file] { close(file); };
  if (write(file, key.data(), key.size()) != static_cast<ssize_t>(key.size()) || fsync(file) != 0) {
    return FileError(aside, "cannot be written");
  }
  if (rename(aside.c_str(), path.c_str()) != 0) return FileError(path, "cannot be written");
  return key;
}

}  // namespace

absl::StatusOr<Key> FindHashKey(const std::string& configured, const std::string& state_dir) {
  Key key{};
  if (configured.size() == key.size()) {
    std::copy(configured.begin(), configured.end(), key.begin());
    return key;
  }
  std::error_code ignored;
  std::filesystem::create_directories(state_dir, ignored);
  const std::string path = state_dir + "/hash_key";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? MakeKey(path) : FileError(path, "cannot be read");
  const absl::Cleanup closer = [file] { close(file); };
  return ReadKey(file, path);
}

}  // namespace sluice
