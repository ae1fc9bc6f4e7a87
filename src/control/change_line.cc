#include "control/change_line.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int kShown = 10;

}  // namespace

std::string ChangeLine(const std::string& what, const v1::ChangeReply& reply) {
  std::string line = absl::StrCat(what, ": generation=", reply.generation(), " revision=", reply.revision());
  const int shown = std::min(reply.changes_size(), kShown);
  for (int i = 0; i < shown; i++) absl::StrAppend(&line, i == 0 ? ": " : "; ", reply.changes(i));
  if (shown < reply.changes_size()) absl::StrAppend(&line, "; and ", reply.changes_size() - shown, " more");
  return line;
}

}  // namespace sluice
