#include "sluiced/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace sluice {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kIntervalNs = kSecondNs / LimitedSink::kPerSecond;
constexpr size_t kWordBytes = 32;
constexpr char kOther[] = "others";

// "<4>" in front of a line, which journald takes for its priority (sd-daemon(3)).
class Priority : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    constexpr char kOf[] = {'7', '7', '6', '4', '3', '2', '6'};
    const std::string_view text(&kOf[std::min<size_t>(message.level, std::size(kOf) - 1)], 1);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<Priority>(); }
};

// systemd.exec(5): JOURNAL_STREAM has device and inode of what journald reads.
bool IsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
  return absl::StrCat(status.st_dev, ":", status.st_ino) == stream;
}

}  // namespace

bool LimitedSink::Take(Kind* kind, uint64_t now) {
  const uint64_t next = std::max(kind->next, now);
  if (next - now > kIntervalNs * (kBurst - 1)) return false;
  kind->next = next + kIntervalNs;
  return true;
}

void LimitedSink::sink_it_(const spdlog::details::log_msg& message) {
  const std::string_view text(message.payload.data(), message.payload.size());
  const std::string_view word = text.substr(0, std::min(text.find_first_of(" :"), kWordBytes));
  std::string name = absl::StrCat(message.level, " ", std::string(word));
  if (kinds_.size() >= kKinds && !kinds_.contains(name)) name = absl::StrCat(message.level, " ", kOther);
  Kind& kind = kinds_[name];
  kind.level = message.level;
  if (!Take(&kind, clock_())) {
    kind.left_out++;
    return;
  }
  TellLeftOut(name, &kind);
  sink_->log(message);
}

void LimitedSink::flush_() {
  for (auto& [name, kind] : kinds_) {
    if (kind.left_out > 0 && Take(&kind, clock_())) TellLeftOut(name, &kind);
  }
  sink_->flush();
}

void LimitedSink::TellLeftOut(const std::string& name, Kind* kind) {
  const uint64_t count = std::exchange(kind->left_out, 0);
  if (count == 0) return;
  const std::string text = absl::StrCat("log: ", count, " lines that begin with \"", name.substr(name.find(' ') + 1),
                                        "\" were left out: too many at once");
  sink_->log(spdlog::details::log_msg("sluiced", kind->level, text));
}

void OpenLog() {
  const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto log = std::make_shared<spdlog::logger>("sluiced", std::make_shared<LimitedSink>(sink, MonotonicNow));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<Priority>('*').set_pattern(IsJournal() ? "<%*>%v" : "%Y-%m-%dT%H:%M:%S.%e %l %n: %v");
  log->set_formatter(std::move(formatter));
  spdlog::set_default_logger(log);
  // Standard error has no buffer; this is for what was left out.
  spdlog::flush_every(std::chrono::seconds(1));
}

}  // namespace sluice
