#include "tools/sluicectl/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sluice {
namespace {

constexpr char kGap[] = "  ";

std::string Quoted(const std::string& cell) {
  if (cell.find_first_of(",\"\n") == std::string::npos) return cell;
  return absl::StrCat("\"", absl::StrReplaceAll(cell, {{"\"", "\"\""}}), "\"");
}

std::string CsvLine(const std::vector<std::string>& cells) {
  std::string line;
  for (size_t i = 0; i < cells.size(); i++) absl::StrAppend(&line, i == 0 ? "" : ",", Quoted(cells[i]));
  return absl::StrCat(line, "\n");
}

std::string PaddedLine(const std::vector<std::string>& cells, const std::vector<size_t>& widths,
                       const std::vector<size_t>& numbers) {
  std::string line;
  for (size_t i = 0; i < cells.size(); i++) {
    const std::string padding(widths[i] - cells[i].size(), ' ');
    const bool right = std::find(numbers.begin(), numbers.end(), i) != numbers.end();
    absl::StrAppend(&line, i == 0 ? "" : kGap, right ? padding : "", cells[i], right ? "" : padding);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return absl::StrCat(line, "\n");
}

std::string Json(const google::protobuf::Message& message, bool lines) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = lines;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Only an Any of an unknown type can't be printed, and there is none.
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "";
  return text;
}

}  // namespace

absl::StatusOr<Format> ParseFormat(const std::string& text) {
  if (text == "table") return Format::kTable;
  if (text == "json") return Format::kJson;
  if (text == "yaml") return Format::kYaml;
  if (text == "csv") return Format::kCsv;
  return absl::InvalidArgumentError(absl::StrCat("-o ", text, " is not known; use table, json, yaml or csv"));
}

std::string FormatTable(const Table& table) {
  std::vector<std::string> head;
  std::vector<size_t> widths;
  for (const std::string& name : table.head) {
    head.push_back(absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"_", " "}})));
    widths.push_back(name.size());
  }
  for (const std::vector<std::string>& row : table.rows) {
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text = PaddedLine(head, widths, table.numbers);
  for (const std::vector<std::string>& row : table.rows) absl::StrAppend(&text, PaddedLine(row, widths, table.numbers));
  return text;
}

std::string FormatCsv(const Table& table) {
  std::string text = CsvLine(table.head);
  for (const std::vector<std::string>& row : table.rows) absl::StrAppend(&text, CsvLine(row));
  return text;
}

std::string FormatJson(const google::protobuf::Message& message) {
  return Json(message, true);
}

std::string FormatJsonLine(const google::protobuf::Message& message) {
  return absl::StrCat(Json(message, false), "\n");
}

}  // namespace sluice
