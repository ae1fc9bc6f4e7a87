// The addresses that the kernel of this network namespace has on its interfaces.
//
// Thread-safety: any thread.
#pragma once

#include <set>

#include "base/address.h"

namespace sluice {

// Empty when the kernel does not tell.
std::set<Address> ReadLocalAddresses();

}  // namespace sluice
