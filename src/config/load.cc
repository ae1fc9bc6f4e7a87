#include "config/load.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/validate.h"
#include "config/yaml.h"

namespace sluice {
namespace {

// At most one byte more than ParseConfig() accepts, so that it tells a file that is too large.
absl::StatusOr<std::string> ReadText(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read the configuration ", path));
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat status {};
  if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a folder; name the configuration file in it"));
  }
  std::string text;
  std::array<char, 65536> buffer;
  while (text.size() <= config::kMaxFileBytes) {
    const ssize_t bytes = read(file, buffer.data(), buffer.size());
    if (bytes == 0) break;
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read the configuration ", path));
    text.append(buffer.data(), static_cast<size_t>(bytes));
  }
  return text;
}

}  // namespace

absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  return LoadConfigText(*text, path);
}

absl::StatusOr<LoadedConfig> LoadConfigText(std::string_view text, const std::string& filename) {
  config::Report report(filename);
  LoadedConfig loaded;
  loaded.config = ParseConfig(text, report);
  ValidateConfig(loaded.config, report);
  if (!report.ok()) return report.ToStatus();
  loaded.warnings = report.Warnings();
  loaded.sha256.resize(SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(loaded.sha256.data()));
  return loaded;
}

}  // namespace sluice
