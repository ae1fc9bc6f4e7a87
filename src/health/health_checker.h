// Checks backends, each in its own rhythm, and knows how each of them is.
//
// Checks lie evenly over their interval, however many backends there are, and keep their place in it. Nothing blocks:
// sockets and clocks are passed in. Thread-safety: the control thread, which calls Tick about a hundred times a second.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "health/prober.h"
#include "health/rise_fall.h"
#include "health/schedule.h"

namespace sluice {

// A backend by its pool's and its own name.
struct BackendId {
  std::string pool;
  std::string backend;
  auto operator<=>(const BackendId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const BackendId& id) {
    return H::combine(std::move(h), id.pool, id.backend);
  }
};

struct CheckedBackend {
  BackendId id;
  CheckTarget target;
};

class HealthChecker {
 public:
  struct Options {
    // Outlives the checker.
    Prober* prober = nullptr;
    // A clock that never goes back, for the rhythm, and the wall clock, for the reader.
    std::function<absl::Time()> monotonic;
    std::function<absl::Time()> wall;
    // Checks under way at a time; those that are due beyond it wait.
    size_t most_running = 20'000;
    // Called for each check that has ended; it does not call Watch. May be empty.
    std::function<void(const BackendId& id, const CheckResult& result)> on_result = nullptr;
  };

  explicit HealthChecker(Options options) : options_(std::move(options)) {}

  // Checks these from now on, and no others. A backend that was checked before, at the same address, keeps its state
  // and its place, also where its check is another one now.
  void Watch(absl::Span<const CheckedBackend> backends);

  // Starts the checks that are due.
  void Tick();

  // What has become of new flows of a checked backend in one window, where its check observes them.
  void Observe(const BackendId& id, const OpenedFlows& flows);

  // Backends whose state is another one since the last call, in the order of the changes.
  std::vector<BackendId> TakeChanges() { return std::exchange(changes_, {}); }

  // Checks that this node could not make since the last call, and why the last one of them was not.
  struct NotMade {
    uint64_t count = 0;
    std::string reason;
  };
  NotMade TakeNotMade() { return std::exchange(not_made_, {}); }

  // Null: not checked. Valid until the next Watch.
  const RiseFall* Find(const BackendId& id) const;
  size_t running() const { return running_; }
  const Options& options() const { return options_; }

 private:
  struct Checked {
    BackendId id;
    CheckTarget target;
    RiseFall health;
    // When the check that runs, or ran last, was due.
    absl::Time due;
    std::unique_ptr<Probe> probe;
  };

  void Add(const CheckedBackend& backend);
  void Update(const CheckedBackend& backend, uint64_t number);
  void Drop(uint64_t number);
  void Start(uint64_t number, absl::Time due);
  void Finish(uint64_t number, const CheckResult& result);

  Options options_;
  CheckSchedule schedule_;
  // By number; each backend that is ever checked has one of its own.
  absl::flat_hash_map<uint64_t, std::unique_ptr<Checked>> checked_;
  absl::flat_hash_map<BackendId, uint64_t> numbers_;
  uint64_t next_number_ = 0;
  size_t running_ = 0;
  std::vector<BackendId> changes_;
  NotMade not_made_;
};

}  // namespace sluice
