#include "config/endpoint.h"

#include <sys/un.h>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "config/bounds.h"

namespace sluice {

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "\"", std::string(text), "\" is not an address and a port; write it like 127.0.0.1:9910 or \"[::1]:9910\""));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find('\0') != std::string_view::npos) return wrong;
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const absl::StatusOr<Address> address = ParseAddress(host);
  uint32_t port = 0;
  if (!address.ok() || address->IsIpv4() == brackets || !absl::SimpleAtoi(std::string(text.substr(colon + 1)), &port)) {
    return wrong;
  }
  if (port < 1 || port > config::kMaxPort) {
    return absl::InvalidArgumentError(absl::StrCat("there is no port ", port, "; ports are 1 to ", config::kMaxPort));
  }
  return Endpoint{*address, static_cast<uint16_t>(port)};
}

absl::StatusOr<std::string> ParseUnixSocket(std::string_view text) {
  constexpr std::string_view kScheme = "unix:";
  const std::string_view path = text.substr(0, kScheme.size()) == kScheme ? text.substr(kScheme.size()) : "";
  if (path.empty() || path.front() != '/' || path.back() == '/' || path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text),
                                                   "\" is not the absolute path of a Unix socket; write it like "
                                                   "\"unix:/run/sluice/api.sock\""));
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("a socket's path of ", path.size(), " bytes; at most ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " are possible"));
  }
  return std::string(path);
}

}  // namespace sluice
