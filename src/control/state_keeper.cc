#include "control/state_keeper.h"

#include <utility>

namespace sluice {
namespace {

constexpr std::chrono::seconds kRetry(1);

}  // namespace

StateKeeper::StateKeeper(std::string folder, Post post)
    : folder_(std::move(folder)), post_(std::move(post)), thread_([this] { Run(); }) {}

StateKeeper::~StateKeeper() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    waiters_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void StateKeeper::Keep(KeptState state) {
  {
    const std::lock_guard lock(mutex_);
    next_ = std::move(state);
    version_++;
  }
  changed_.notify_all();
}

void StateKeeper::WhenKept(Done done) {
  absl::Status status;
  {
    const std::lock_guard lock(mutex_);
    if (settled_ < version_) {
      waiters_.push_back({version_, std::move(done)});
      return;
    }
    status = status_;
  }
  done(status);
}

absl::Status StateKeeper::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return settled_ >= version_; });
  return status_;
}

absl::Status StateKeeper::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void StateKeeper::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto has_work = [this] { return ending_ || (next_.has_value() && (status_.ok() || settled_ < version_)); };
    // After a failure there is something to do by itself.
    if (next_.has_value() && !has_work()) {
      changed_.wait_for(lock, kRetry, has_work);
    } else {
      changed_.wait(lock, has_work);
    }
    if (!next_.has_value()) return;
    KeptState state = *std::exchange(next_, std::nullopt);
    const uint64_t version = version_;
    lock.unlock();
    const absl::Status status = WriteState(folder_, state);
    lock.lock();
    status_ = status;
    settled_ = version;
    // Unless there is a newer one.
    if (!status.ok() && !next_.has_value()) next_ = std::move(state);
    Answer(version, status);
    changed_.notify_all();
    if (ending_ && (!status.ok() || !next_.has_value())) return;
  }
}

void StateKeeper::Answer(uint64_t version, const absl::Status& status) {
  while (!waiters_.empty() && waiters_.front().version <= version) {
    post_([done = std::move(waiters_.front().done), status] { done(status); });
    waiters_.pop_front();
  }
}

}  // namespace sluice
