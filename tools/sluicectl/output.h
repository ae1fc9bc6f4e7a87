// What sluicectl prints: tables for people, and the same for programs.
//
// Thread-safety: pure functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

enum class Format { kTable, kJson, kYaml, kCsv };

absl::StatusOr<Format> ParseFormat(const std::string& text);

struct Table {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  // Columns of numbers stand to the right.
  std::vector<size_t> numbers;
};

// For people: the head in capitals, columns as wide as they need to be.
std::string FormatTable(const Table& table);
// RFC 4180 with plain line ends.
std::string FormatCsv(const Table& table);
// Proto3's JSON with the schema's own names; all fields are there.
std::string FormatJson(const google::protobuf::Message& message);
// The same in one line.
std::string FormatJsonLine(const google::protobuf::Message& message);

}  // namespace sluice
