// What a server answers from.
//
// Thread-safety: as of a struct.
#pragma once

#include <compare>
#include <cstdint>

#include "base/address.h"

namespace sluice {

struct Service {
  Address address;
  // An IP protocol number.
  uint16_t protocol = 0;
  // Host order.
  uint16_t port = 0;
  auto operator<=>(const Service&) const = default;
};

}  // namespace sluice
