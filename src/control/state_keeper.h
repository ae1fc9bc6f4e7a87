// Writes what is wanted to the state folder on a thread of its own, so that a slow disk holds up nothing but the
// acknowledgements that wait for it. Many changes at once are one write: only the latest state counts.
//
// Thread-safety: one thread calls, and `post` brings the answers back to it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "control/state_file.h"

namespace sluice {

class StateKeeper {
 public:
  using Done = std::function<void(absl::Status)>;
  using Post = std::function<void(std::function<void()>)>;

  // `post` has a function called on the caller's thread; it may be called until the destructor returns.
  StateKeeper(std::string folder, Post post);
  // What is not written yet is written first. Who still waits is not called any more.
  ~StateKeeper();
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  // `state` is the one to keep from now on. When it cannot be written, that is tried again every second.
  void Keep(KeptState state);
  // Calls `done` when the last state of Keep is on the disk, or with the reason why it is not.
  void WhenKept(Done done);
  // The same, and waits for it.
  absl::Status Flush();
  // How the last attempt ended.
  absl::Status status() const;

 private:
  struct Waiter {
    uint64_t version = 0;
    Done done;
  };

  void Run();
  void Answer(uint64_t version, const absl::Status& status);

  const std::string folder_;
  const Post post_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<KeptState> next_;
  std::deque<Waiter> waiters_;
  // The state last given, and the last one of which the fate is known.
  uint64_t version_ = 0;
  uint64_t settled_ = 0;
  absl::Status status_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace sluice
