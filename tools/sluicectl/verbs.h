// The one description of sluicectl's verbs: what runs them, --help, the completion of shells and the tests of the man
// page go by it.
//
// Thread-safety: immutable.
#pragma once

#include <string>
#include <vector>

#include "tools/sluicectl/client.h"

namespace sluice {

struct Client::Verb {
  enum class Kind { kReads, kChanges, kOther };

  // "backend add"
  std::vector<std::string> words;
  // "POOL/NAME ADDRESS"
  std::vector<std::string> arguments;
  // How many of them may be left out, from the end.
  size_t optional;
  Kind kind;
  // Of its own; those of its kind and of all verbs come to them.
  std::vector<std::string> flags;
  const char* help;
  Exit (Client::*run)(const Words& arguments);

  std::string name() const;
  std::string usage() const;
  // All that mean something to it.
  std::vector<std::string> all_flags() const;
};

}  // namespace sluice
