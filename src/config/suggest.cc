#include "config/suggest.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice::config {
namespace {

constexpr size_t kMostDifferences = 3;
constexpr size_t kLongestWord = 64;
constexpr size_t kLongestList = 16;

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b, size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return limit + 1;
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    // A swap looks two rows back, so one row beyond the limit decides nothing yet.
    if (std::min(*std::min_element(row.begin(), row.end()), *std::min_element(last.begin(), last.end())) > limit) {
      return limit + 1;
    }
  }
  return std::min(row[b.size()], limit + 1);
}

std::string Nearest(std::string_view word, const std::vector<std::string>& words) {
  if (word.size() > kLongestWord) return "";
  size_t least = std::min(kMostDifferences, std::max<size_t>(1, word.size() / 3)) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& candidate : words) {
    const size_t distance = EditDistance(word, candidate, least - 1);
    // As many differences as letters is another word.
    if (distance >= least || distance >= candidate.size()) continue;
    least = distance;
    nearest = &candidate;
    if (least == 0) break;
  }
  return nearest == nullptr ? "" : *nearest;
}

std::string Suggest(std::string_view word, const std::vector<std::string>& words) {
  const std::string nearest = Nearest(word, words);
  if (!nearest.empty()) return absl::StrCat("did you mean \"", nearest, "\"?");
  if (words.empty()) return "";
  if (words.size() <= kLongestList) return absl::StrCat("it is one of ", absl::StrJoin(words, ", "));
  return absl::StrCat("it is one of ", absl::StrJoin(words.begin(), words.begin() + kLongestList, ", "), " and ",
                      words.size() - kLongestList, " more");
}

}  // namespace sluice::config
