// Changes of backends that come while others are being made are made together, as one: what takes time is that every
// worker has left the old tables (10 ms where the kernel is one of them), and that takes no longer for many changes
// than for one.
//
// Thread-safety: the control thread's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>

#include "api/call_queue.h"
#include "control/runtime.pb.h"
#include "control/wanted.h"

namespace sluice {

// Finishes `call` with what became of its change, once it is kept.
void AnswerWhenKept(Wanted& wanted, const std::shared_ptr<Call>& call, v1::ChangeReply* reply,
                    absl::StatusOr<v1::ChangeReply> changed);

class ChangeBatch : public std::enable_shared_from_this<ChangeBatch> {
 public:
  // So many at a time, that the control thread has time for other things: where none is valid, each half is tried, and
  // to validate a thousand listeners takes milliseconds.
  static constexpr size_t kTogether = 32;

  // Both outlive it.
  ChangeBatch(boost::asio::io_context& io, Wanted* wanted) : io_(io), wanted_(wanted) {}

  // The call is finished when the change is made and kept, or refused.
  void Add(const std::shared_ptr<Call>& call, v1::ChangeReply* reply, BackendEdit edit);
  // Makes all that were added, for who has to come after them.
  void MakeAll();

 private:
  struct Change {
    std::shared_ptr<Call> call;
    v1::ChangeReply* reply = nullptr;
    BackendEdit edit;
  };

  void MakeSoon();
  void Make();

  boost::asio::io_context& io_;
  Wanted* wanted_;
  std::deque<Change> changes_;
  // Make is on its way.
  bool soon_ = false;
};

}  // namespace sluice
