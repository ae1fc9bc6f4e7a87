// What the ways of forwarding have in common.
//
// Thread-safety: pure functions.
#pragma once

#include "config/sluice.pb.h"

namespace sluice {

// Whether packets get other addresses and ports, so that each flow has a session and answers come back through this
// node.
inline bool Translates(v1::Pool::Forwarding forwarding) {
  return forwarding == v1::Pool::NAT || forwarding == v1::Pool::FULL_NAT;
}

inline bool Translates(const v1::Pool& pool) {
  return Translates(pool.forwarding());
}

}  // namespace sluice
