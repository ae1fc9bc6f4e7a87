#include "control/state_file.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// The form: this line, SHA-256 of the rest, the rest.
constexpr std::string_view kHead = "sluice state 1\n";
constexpr char kName[] = "/wanted";

absl::Status FileError(const std::string& path, const char* what) {
  return absl::FailedPreconditionError(absl::StrCat(path, " cannot be ", what, ": ", std::strerror(errno),
                                                    "; make room, or give a writable --state_dir"));
}

std::string Digest(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

absl::Status WriteAll(int file, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError(path, "written");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  // What a crash left may have another owner or mode.
  unlink(path.c_str());
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return FileError(path, "written");
  const absl::Cleanup closer = [file] { close(file); };
  if (absl::Status status = WriteAll(file, text, path); !status.ok()) return status;
  return fsync(file) == 0 ? absl::OkStatus() : FileError(path, "written");
}

// Names are on the disk only with their folder.
absl::Status SyncFolder(const std::string& folder) {
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return FileError(folder, "opened");
  const absl::Cleanup closer = [file] { close(file); };
  return fsync(file) == 0 ? absl::OkStatus() : FileError(folder, "written");
}

// Nothing when there is no such file.
absl::StatusOr<std::optional<std::string>> ReadFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return std::nullopt;
  if (file < 0) return FileError(path, "read");
  const absl::Cleanup closer = [file] { close(file); };
  std::string text;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t bytes = read(file, buffer.data(), buffer.size());
    if (bytes == 0) return text;
    if (bytes < 0 && errno != EINTR) return FileError(path, "read");
    if (bytes > 0) text.append(buffer.data(), static_cast<size_t>(bytes));
  }
}

bool Decode(std::string_view text, v1::StoredState* state) {
  if (text.substr(0, kHead.size()) != kHead) return false;
  text.remove_prefix(kHead.size());
  if (text.size() < SHA256_DIGEST_LENGTH) return false;
  const std::string_view payload = text.substr(SHA256_DIGEST_LENGTH);
  return Digest(payload) == text.substr(0, SHA256_DIGEST_LENGTH) &&
         state->ParseFromArray(payload.data(), static_cast<int>(payload.size()));
}

}  // namespace

absl::Status WriteState(const std::string& folder, const KeptState& kept) {
  // What is parsed of two messages, one behind the other, is both merged.
  std::string payload = kept.ground != nullptr ? *kept.ground : "";
  kept.state.AppendToString(&payload);
  const std::string path = folder + kName;
  const std::string aside = path + ".new";
  if (absl::Status status = WriteFile(aside, absl::StrCat(std::string(kHead), Digest(payload), payload));
      !status.ok()) {
    return status;
  }
  const std::string old = path + ".old";
  unlink(old.c_str());
  if (link(path.c_str(), old.c_str()) != 0 && errno != ENOENT) return FileError(old, "written");
  if (rename(aside.c_str(), path.c_str()) != 0) return FileError(path, "written");
  return SyncFolder(folder);
}

absl::StatusOr<FoundState> ReadState(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  FoundState found;
  const std::string path = folder + kName;
  for (const std::string& name : {path, path + ".old"}) {
    const absl::StatusOr<std::optional<std::string>> text = ReadFile(name);
    if (!text.ok()) return text.status();
    // The last one is missing without a fault only when there never was any.
    if (!text->has_value()) continue;
    if (Decode(**text, &found.state)) {
      if (name != path) found.notes.push_back(absl::StrCat(name, ", the state before the last change, is used"));
      return found;
    }
    found.state.Clear();
    rename(name.c_str(), (path + ".bad").c_str());
    found.notes.push_back(absl::StrCat(name, " is damaged, and kept as ", path, ".bad"));
  }
  if (!found.notes.empty()) found.notes.push_back("changes made over the API are lost; the file alone counts");
  return found;
}

}  // namespace sluice
