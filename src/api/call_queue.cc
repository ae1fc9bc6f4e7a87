#include "api/call_queue.h"

#include <boost/asio/post.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// A new line takes three bytes on the way.
constexpr size_t kMessageBytes = 4'000;

std::string Cut(std::string message) {
  if (message.size() <= kMessageBytes) return message;
  const size_t line = message.rfind('\n', kMessageBytes);
  message.resize(line == std::string::npos ? kMessageBytes : line);
  return absl::StrCat(message, "\n... and more; sluicectl check FILE shows all");
}

absl::Status Stopping() {
  return absl::UnavailableError("sluiced is stopping; try again when it runs");
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), Cut(std::string(status.message())));
}

void Call::Finish(const absl::Status& status) {
  if (finished()) return;
  std::exchange(reactor_, nullptr)->Finish(ToGrpc(status));
}

bool Call::EndIfAbandoned() {
  // Closed meanwhile.
  if (finished()) return true;
  if (!context_->IsCancelled() && context_->deadline() > std::chrono::system_clock::now()) return false;
  Finish(absl::CancelledError("given up by its client before it was begun"));
  return true;
}

absl::Status CallQueue::Admit(const std::shared_ptr<Call>& call) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->closed) return Stopping();
  auto& calls = shared_->calls;
  // Those that were finished later than their work.
  if (calls.size() >= limit_) absl::erase_if(calls, [](const auto& one) { return one.use_count() == 1; });
  if (calls.size() >= limit_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(limit_, " calls of this kind are under way already; wait for answers, then send it again"));
  }
  calls.insert(call);
  return absl::OkStatus();
}

void CallQueue::Run(const std::shared_ptr<Shared>& shared, const std::shared_ptr<Call>& call, const Work& work) {
  if (!call->EndIfAbandoned()) work(call);
  if (!call->finished()) return;
  const std::lock_guard lock(shared->mutex);
  shared->calls.erase(call);
}

grpc::ServerUnaryReactor* CallQueue::Submit(grpc::CallbackServerContext* context, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto call = std::make_shared<Call>(context, reactor);
  if (const absl::Status status = Admit(call); !status.ok()) {
    call->Finish(status);
  } else {
    boost::asio::post(io_, [shared = shared_, call, work = std::move(work)] { Run(shared, call, work); });
  }
  return reactor;
}

void CallQueue::Close() {
  absl::flat_hash_set<std::shared_ptr<Call>> calls;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
    calls.swap(shared_->calls);
  }
  for (const std::shared_ptr<Call>& call : calls) call->Finish(Stopping());
}

}  // namespace sluice
