// What sluice_parse should say, written once more without any thought of speed: every field is read through a function
// that ends the parse when the bytes are not there.
#pragma once

#include <string>
#include <string_view>

#include "sluice/parse.h"

namespace sluice::path_test {

struct Parsed {
  // SLUICE_CONTINUE, or the packet's verdict; the packet counts only with SLUICE_CONTINUE.
  sluice_verdict verdict = SLUICE_CONTINUE;
  sluice_packet packet{};
};

Parsed NaiveParse(std::string_view frame);
Parsed PathParse(const uint8_t* data, const uint8_t* end);

// For people; equal texts are equal results.
std::string Text(const Parsed& parsed);

}  // namespace sluice::path_test
