// Where something of the daemon's own is served: an address and a TCP port, or a Unix socket.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/address.h"

namespace sluice {

struct Endpoint {
  Address address;
  uint16_t port = 0;
};

// "127.0.0.1:9910" or "[::1]:9910"; any address that this machine may have, 0.0.0.0 and [::] for all of them.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// The path of "unix:/run/sluice/api.sock": absolute, and no longer than the kernel takes.
absl::StatusOr<std::string> ParseUnixSocket(std::string_view text);

}  // namespace sluice
