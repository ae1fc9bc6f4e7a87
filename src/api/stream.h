// One client's stream of messages, on its way out. A client that reads too slowly loses the oldest of what waits, is
// told how much that was, and holds up nobody.
//
// Thread-safety: any thread.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace sluice {

template <typename Message>
class Stream : public grpc::ServerWriteReactor<Message> {
 public:
  // What stands for so many messages that were lost; nothing where the next one says it all.
  using Lost = std::function<std::optional<Message>(uint64_t count)>;

  // `room`: messages that may wait. gRPC and whoever pushes share it; it goes when both have let go.
  static std::shared_ptr<Stream> Open(size_t room, Lost lost) {
    auto stream = std::shared_ptr<Stream>(new Stream(room, std::move(lost)));
    stream->self_ = stream;
    return stream;
  }

  void Push(Message message) {
    std::unique_lock lock(mutex_);
    if (end_.has_value()) return;
    if (waiting_.size() >= room_) {
      waiting_.pop_front();
      lost_count_++;
    }
    waiting_.push_back(std::move(message));
    GoOn(std::move(lock));
  }
  // What waits is not sent any more. Further ones do nothing.
  void End(const grpc::Status& status) {
    std::unique_lock lock(mutex_);
    if (end_.has_value()) return;
    end_ = status;
    GoOn(std::move(lock));
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return end_.has_value();
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mutex_);
    writing_ = false;
    if (!ok && !end_.has_value()) end_ = grpc::Status::CANCELLED;
    GoOn(std::move(lock));
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { const std::shared_ptr<Stream> last = std::move(self_); }

 private:
  Stream(size_t room, Lost lost) : room_(room), lost_(std::move(lost)) {}

  // One thing at a time is under way; gRPC is called without the lock, as it may call back.
  void GoOn(std::unique_lock<std::mutex> lock) {
    if (writing_ || finished_) return;
    if (end_.has_value()) {
      finished_ = true;
      const grpc::Status status = *end_;
      lock.unlock();
      return this->Finish(status);
    }
    std::optional<Message> next;
    if (lost_count_ > 0) next = lost_(std::exchange(lost_count_, 0));
    if (!next.has_value() && !waiting_.empty()) {
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    if (!next.has_value()) return;
    writing_ = true;
    current_ = *std::move(next);
    lock.unlock();
    this->StartWrite(&current_);
  }

  const size_t room_;
  const Lost lost_;
  mutable std::mutex mutex_;
  std::deque<Message> waiting_;
  uint64_t lost_count_ = 0;
  // Being written.
  Message current_;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> end_;
  // gRPC's hold on it.
  std::shared_ptr<Stream> self_;
};

}  // namespace sluice
