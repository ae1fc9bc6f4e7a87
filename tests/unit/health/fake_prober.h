// Checks as a test says: each is kept until the test ends it.
//
// Thread-safety: as of a struct.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "health/health_checker.h"

namespace sluice {

class FakeProber : public Prober {
 public:
  std::unique_ptr<Probe> Start(const CheckTarget& target, Done done) override {
    const uint64_t number = next_++;
    started.push_back({number, target, now});
    open_[number] = std::move(done);
    return std::make_unique<Open>(this, number);
  }

  // Ends the check with this outcome, if it is still under way.
  void End(uint64_t number, CheckResult::Outcome outcome, const std::string& reason = "as the test says") {
    EndWith(number, {outcome, reason, duration, now});
  }
  void EndWith(uint64_t number, const CheckResult& result) {
    const auto at = open_.find(number);
    if (at == open_.end()) return;
    const Done done = std::move(at->second);
    open_.erase(at);
    done(result);
  }
  // Ends all of them by what `healthy` says of their addresses.
  template <typename Healthy>
  void EndAll(const Healthy& healthy) {
    for (const Started& one : std::exchange(started, {})) {
      End(one.number, healthy(one.target) ? CheckResult::Outcome::kPassed : CheckResult::Outcome::kFailed);
    }
  }
  size_t open() const { return open_.size(); }

  // A checker by this prober and its clock.
  HealthChecker::Options Options() {
    return {this, [this] { return now; }, [this] { return now; }};
  }

  struct Started {
    uint64_t number = 0;
    CheckTarget target;
    absl::Time at;
  };
  std::vector<Started> started;
  // Of checks that end.
  absl::Duration duration = absl::Milliseconds(1);
  absl::Time now = absl::FromUnixSeconds(1'000);

 private:
  struct Open : Probe {
    Open(FakeProber* of, uint64_t which) : prober(of), number(which) {}
    ~Open() override { prober->open_.erase(number); }
    FakeProber* prober;
    uint64_t number;
  };

  uint64_t next_ = 0;
  std::map<uint64_t, Done> open_;
};

}  // namespace sluice
