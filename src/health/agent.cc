#include "health/agent.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr absl::string_view kBetween = " \t,";

// The agent is not trusted: what it says goes into the log and to whoever asks.
std::string Shown(absl::string_view line) {
  std::string shown(absl::StripAsciiWhitespace(line.substr(0, kMaxShownLine)));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, '?');
  return shown;
}

bool IsShare(absl::string_view word) {
  return word.size() > 1 && word.back() == '%' && std::all_of(word.begin(), word.end() - 1, [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c));
         });
}

// Whether the word is one of an agent's; takes what it says.
bool TakeWord(absl::string_view word, AgentAnswer* answer) {
  if (absl::EqualsIgnoreCase(word, "ready")) {
    answer->order = AgentOrder::kReady;
  } else if (absl::EqualsIgnoreCase(word, "drain")) {
    answer->order = AgentOrder::kDrain;
  } else if (absl::EqualsIgnoreCase(word, "maint")) {
    answer->order = AgentOrder::kDisabled;
  } else if (absl::EqualsIgnoreCase(word, "up")) {
    answer->down = false;
  } else if (absl::EqualsIgnoreCase(word, "down") || absl::EqualsIgnoreCase(word, "stopped") ||
             absl::EqualsIgnoreCase(word, "fail") || absl::EqualsIgnoreCase(word, "failed")) {
    answer->down = true;
  } else {
    return absl::StartsWithIgnoreCase(word, "maxconn:");
  }
  return true;
}

}  // namespace

absl::StatusOr<AgentAnswer> ParseAgentAnswer(absl::string_view line) {
  AgentAnswer answer;
  answer.line = Shown(line);
  bool any = false;
  for (size_t at = line.find_first_not_of(kBetween); at != absl::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(kBetween, at), line.size());
    const absl::string_view word = line.substr(at, end - at);
    if (IsShare(word)) {
      uint32_t percent = 0;
      if (!absl::SimpleAtoi(word.substr(0, word.size() - 1), &percent) || percent > kMaxAgentPercent) {
        return absl::InvalidArgumentError(
            absl::StrCat("says \"", answer.line, "\", which is more than ", kMaxAgentPercent, "%"));
      }
      answer.percent = percent;
    } else if (!TakeWord(word, &answer)) {
      break;
    }
    any = true;
    at = line.find_first_not_of(kBetween, end);
  }
  if (any) return answer;
  return absl::InvalidArgumentError(absl::StrCat(
      "says \"", answer.line, "\", which is none of 75%, ready, drain, maint, up, down, stopped and fail"));
}

AgentState::Change AgentState::Take(const AgentAnswer& answer, absl::Time now) {
  const auto take = [&](const auto& said, auto* value, Said* by) {
    if (!said.has_value()) return false;
    const bool changed = *value != *said;
    if (changed) by->since = now;
    *value = *said;
    by->line = answer.line;
    return changed;
  };
  const bool share = take(answer.percent, &percent, &percent_said);
  const bool ordered = take(answer.order, &order, &order_said);
  const bool state = take(answer.down, &down, &down_said) || ordered;
  if (state) return Change::kState;
  return share ? Change::kShare : Change::kNone;
}

}  // namespace sluice
