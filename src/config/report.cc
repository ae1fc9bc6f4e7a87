#include "config/report.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "config/bounds.h"

namespace sluice::config {
namespace {

uint64_t Key(std::string_view path) {
  return absl::HashOf(std::string(path));
}

// "pools[2].backends[1].address" -> "pools[2].backends[1]" -> "pools[2].backends" -> "pools[2]" -> "pools" -> "".
std::string_view Parent(std::string_view path) {
  const size_t cut = path.find_last_of(".[");
  return path.substr(0, cut == std::string_view::npos ? 0 : cut);
}

// Values are quoted in errors; a line must stay one line, of a length that a terminal takes.
std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, kMaxErrorLineBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&line, "\\x%02x", byte);
    } else {
      line += c;
    }
  }
  if (text.size() <= kMaxErrorLineBytes) return line;
  while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80) line.pop_back();
  if (!line.empty() && (static_cast<unsigned char>(line.back()) & 0x80) != 0) line.pop_back();
  return line + "...";
}

}  // namespace

Report::Report(std::string filename) : kept_lines_(kMaxErrorLines), filename_(std::move(filename)) {}

void Report::SetPlace(std::string_view path, Place place) {
  places_[Key(path)] = place;
}

void Report::MarkBroken(std::string_view path) {
  broken_.insert(Key(path));
}

bool Report::MissingIsExplained(std::string_view path) const {
  if (incomplete_) return true;
  if (broken_.empty()) return false;
  for (;; path = Parent(path)) {
    const uint64_t key = Key(path);
    if (broken_.contains(key)) return true;
    // The innermost thing that the file does have was read without complaint.
    if (path.empty() || places_.contains(key)) return false;
  }
}

void Report::AddError(std::string_view path, std::string_view text) {
  Add(errors_, error_count_, Find(path), path, text);
}

void Report::AddErrorAt(Place place, std::string_view text) {
  Add(errors_, error_count_, place, "", text);
}

void Report::AddWarning(std::string_view path, std::string_view text) {
  Add(warnings_, warning_count_, Find(path), path, text);
}

std::string Report::Where(std::string_view path) const {
  return Format(Find(path), path);
}

std::vector<std::string> Report::Errors() const {
  return Lines(errors_, error_count_, "errors");
}

std::vector<std::string> Report::Warnings() const {
  return Lines(warnings_, warning_count_, "warnings");
}

absl::Status Report::ToStatus() const {
  if (ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(Errors(), "\n"));
}

Place Report::Find(std::string_view path) const {
  if (places_.empty()) return {};
  for (;; path = Parent(path)) {
    const auto found = places_.find(Key(path));
    if (found != places_.end()) return found->second;
    if (path.empty()) return {};
  }
}

std::string Report::Format(Place place, std::string_view path) const {
  if (place.line != 0) return absl::StrCat(filename_, ":", place.line, ":", place.column);
  if (!path.empty()) return std::string(path);
  return filename_.empty() ? "configuration" : filename_;
}

void Report::Add(std::vector<Finding>& findings, size_t& count, Place place, std::string_view path,
                 std::string_view text) {
  ++count;
  if (findings.size() >= kept_lines_) return;
  findings.push_back({place, absl::StrCat(Format(place, path), ": ", OneLine(text))});
}

std::vector<std::string> Report::Lines(const std::vector<Finding>& findings, size_t count,
                                       std::string_view what) const {
  std::vector<Finding> sorted = findings;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
  });
  std::vector<std::string> lines;
  for (Finding& finding : sorted) lines.push_back(std::move(finding.text));
  if (count > findings.size()) {
    lines.push_back(absl::StrCat(filename_.empty() ? "configuration" : filename_, ": ", count - findings.size(),
                                 " more ", std::string(what)));
  }
  return lines;
}

}  // namespace sluice::config
