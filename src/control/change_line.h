// A change of the configuration in one line, for the log and for who watches.
//
// Thread-safety: pure function.
#pragma once

#include <string>

#include "control/runtime.pb.h"

namespace sluice {

// "change: generation=8 revision=4: ~ pools[web].backends[web1].weight: 1 -> 5". Of many changes the first ones.
std::string ChangeLine(const std::string& what, const v1::ChangeReply& reply);

}  // namespace sluice
