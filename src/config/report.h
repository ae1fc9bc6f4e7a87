// What is wrong or doubtful in one configuration, and where.
//
// The parser tells where each value stands in the file; the validator names values by their path in the schema, such as
// "pools[2].backends[1].address". A report turns the path into "sluice.yaml:12:5" when it knows the place, and into the
// path itself when the configuration did not come from a file (the API).
//
// Errors are lines "<where>: what is wrong; what would be right". Memory is bounded: kMaxErrorLines lines are kept, the
// rest is counted. Thread-safety: none, one report belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

namespace sluice::config {

// Both count from 1, columns in bytes (as compilers do); 0 is "not known".
struct Place {
  uint32_t line = 0;
  uint32_t column = 0;
};

class Report {
 public:
  // `filename` as the user wrote it; empty for a configuration that came over the API.
  explicit Report(std::string filename = "");

  // For the parser. The path of the whole configuration is "".
  void SetPlace(std::string_view path, Place place);
  // A value at `path` was refused (or a key in it was not understood): that it is missing afterwards is not the user's
  // mistake, and MissingIsExplained() tells so.
  void MarkBroken(std::string_view path);
  // The reading ended early: whatever is missing may stand in the rest.
  void SetIncomplete() { incomplete_ = true; }
  bool MissingIsExplained(std::string_view path) const;

  void AddError(std::string_view path, std::string_view text);
  void AddErrorAt(Place place, std::string_view text);
  void AddWarning(std::string_view path, std::string_view text);

  // "sluice.yaml:12:5" of the value, or of the nearest thing around it that stands in the file.
  std::string Where(std::string_view path) const;

  bool ok() const { return error_count_ == 0; }
  // Whether further errors are only counted, so that costly advice for them can be saved.
  bool full() const { return errors_.size() >= kept_lines_; }
  size_t error_count() const { return error_count_; }

  // In the order of the file. The last line says how many were left out, if any.
  std::vector<std::string> Errors() const;
  std::vector<std::string> Warnings() const;
  // OK, or InvalidArgument with Errors() joined by newlines.
  absl::Status ToStatus() const;

 private:
  struct Finding {
    Place place;
    std::string text;
  };

  Place Find(std::string_view path) const;
  std::string Format(Place place, std::string_view path) const;
  void Add(std::vector<Finding>& findings, size_t& count, Place place, std::string_view path, std::string_view text);
  std::vector<std::string> Lines(const std::vector<Finding>& findings, size_t count, std::string_view what) const;

  size_t kept_lines_;
  bool incomplete_ = false;
  std::string filename_;
  // By a 64-bit hash of the path: a million backends would cost several times more with their paths as text, and a
  // collision only sends a message to another line.
  absl::flat_hash_map<uint64_t, Place> places_;
  absl::flat_hash_set<uint64_t> broken_;
  std::vector<Finding> errors_;
  std::vector<Finding> warnings_;
  size_t error_count_ = 0;
  size_t warning_count_ = 0;
};

}  // namespace sluice::config
