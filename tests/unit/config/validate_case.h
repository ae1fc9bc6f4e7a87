// One mistake at a time: a configuration that is valid but for what a case puts in, and the lines it must get.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/load.h"

namespace sluice {

struct Case {
  std::string text;
  // Without "f.yaml:"; empty for valid.
  std::vector<std::string> errors;
};

inline std::vector<std::string> Lines(const absl::Status& status) {
  std::vector<std::string> lines;
  std::string left(status.message());
  while (!left.empty()) {
    const size_t end = left.find('\n');
    std::string line = left.substr(0, end);
    lines.push_back(line.starts_with("f.yaml:") ? line.substr(7) : line);
    left = end == std::string::npos ? "" : left.substr(end + 1);
  }
  return lines;
}

// Each text stands between `before` and `after`.
inline void Check(const std::string& before, const std::vector<Case>& cases, const std::string& after) {
  for (const Case& c : cases) {
    const std::string text = before + c.text + after;
    EXPECT_THAT(Lines(LoadConfigText(text, "f.yaml").status()), ::testing::ElementsAreArray(c.errors)) << text;
  }
}

}  // namespace sluice
