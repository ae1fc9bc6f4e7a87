// The daemon's log: lines on standard error, with priorities for journald where that reads them. However much there is
// to say, of one kind of line there are only so many.
//
// Thread-safety: any thread.
#pragma once

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace sluice {

// Lines are of a kind when they begin with the same word and are of the same level. Of each kind, kBurst lines at once
// and kPerSecond on average go on to `sink`; how many were left out is said when there is room again, and on flush().
class LimitedSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  static constexpr uint64_t kBurst = 1'000;
  static constexpr uint64_t kPerSecond = 50;
  // Beyond these, all others are one.
  static constexpr size_t kKinds = 100;

  // `clock`: monotonic, ns.
  LimitedSink(std::shared_ptr<spdlog::sinks::sink> into, std::function<uint64_t()> clock)
      : sink_(std::move(into)), clock_(std::move(clock)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override;
  void set_pattern_(const std::string& pattern) override { sink_->set_pattern(pattern); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    sink_->set_formatter(std::move(formatter));
  }

 private:
  struct Kind {
    // As of sluice_limiter (sluice/time.h).
    uint64_t next = 0;
    uint64_t left_out = 0;
    spdlog::level::level_enum level = spdlog::level::info;
  };
  static bool Take(Kind* kind, uint64_t now);
  void TellLeftOut(const std::string& word, Kind* kind);

  std::shared_ptr<spdlog::sinks::sink> sink_;
  std::function<uint64_t()> clock_;
  // By level and first word.
  std::map<std::string, Kind> kinds_;
};

// Becomes spdlog's default.
void OpenLog();

}  // namespace sluice
