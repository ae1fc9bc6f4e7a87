#include "generate.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "memif_server.h"
#include "moments.h"
#include "sluice/types.h"

namespace sluice::bench {
namespace {

constexpr int kPatienceMs = 60'000;
constexpr uint64_t kSilenceNs = 5'000'000'000;
// As many as the generator of this process has (generator.h). The ring back to here has room for all of them.
constexpr uint64_t kMostOnTheirWay = 1023;
// Turns between two looks at the clock.
constexpr uint32_t kTurnsUnwatched = 4;
class Peer {
 public:
  Peer(const GenerateOptions& options, MemifServer& server)
      : options_(options), server_(server), traffic_(options.traffic) {}

  absl::Status OpenFlows();
  Generated Run();

 private:
  // Takes back what has come, and sends what `write` writes: it returns a length, or 0 for no more. With `answers`
  // what servers answer goes out first. False: the client makes no sense.
  template <typename Write>
  bool Turn(bool answers, Write write);
  bool AnswerFirst(uint32_t came_back, uint32_t* used);
  absl::Status Pass(Traffic::Kind kind, bool answers);
  uint64_t OnTheirWay() const { return sent_ - returned_; }

  const GenerateOptions& options_;
  MemifServer& server_;
  Traffic traffic_;
  uint64_t sent_ = 0;
  uint64_t returned_ = 0;
};

bool Peer::AnswerFirst(uint32_t came_back, uint32_t* used) {
  for (uint32_t i = 0; i < came_back; i++) {
    const uint8_t* packet = server_.Packet(i);
    uint8_t* buffer = server_.Buffer(*used);
    if (packet == nullptr || buffer == nullptr) return false;
    std::memcpy(buffer, packet, Traffic::kTemplateBytes);
    if (!traffic_.TurnAround(buffer)) continue;
    server_.SetLength((*used)++, server_.Length(i));
  }
  return true;
}

template <typename Write>
bool Peer::Turn(bool answers, Write write) {
  const uint32_t room = std::min<uint32_t>(server_.Room(), SLUICE_BURST);
  uint32_t came_back = server_.Waiting();
  if (answers) came_back = std::min(came_back, room);
  uint32_t used = 0;
  if (answers && !AnswerFirst(came_back, &used)) return false;
  server_.Release(came_back);
  returned_ += came_back;
  const uint64_t limit = std::min<uint64_t>(room, kMostOnTheirWay - std::min(kMostOnTheirWay, OnTheirWay()));
  for (uint32_t i = used; i < limit; i++) __builtin_prefetch(server_.Buffer(i), 1);
  for (; used < limit; used++) {
    uint8_t* buffer = server_.Buffer(used);
    if (buffer == nullptr) return false;
    const uint16_t length = write(buffer);
    if (length == 0) break;
    server_.SetLength(used, length);
  }
  server_.Send(used);
  sent_ += used;
  return true;
}

absl::Status Peer::Pass(Traffic::Kind kind, bool answers) {
  const uint64_t flows = options_.traffic.flows;
  const uint64_t before = returned_;
  uint64_t next = 0;
  uint64_t heard = MonotonicNow();
  while (next < flows || OnTheirWay() > 0) {
    const uint64_t returned = returned_;
    const bool sound = Turn(answers, [&](uint8_t* at) -> uint16_t {
      return next == flows ? uint16_t{0} : traffic_.WriteFlow(at, next++, kind);
    });
    if (!sound) return absl::InvalidArgumentError("the memif client has buffers nowhere");
    const uint64_t now = MonotonicNow();
    if (returned_ != returned) heard = now;
    if (now - heard < kSilenceNs) continue;
    return absl::DeadlineExceededError(absl::StrCat("of the packets that open flows, ", OnTheirWay(),
                                                    " did not come back, after ", returned_ - before, " that did",
                                                    server_.Connected() ? "" : "; the client has gone"));
  }
  return absl::OkStatus();
}

absl::Status Peer::OpenFlows() {
  if (absl::Status status = Pass(options_.handshake ? Traffic::kSyn : Traffic::kAck, options_.handshake);
      !status.ok()) {
    return status;
  }
  return Pass(Traffic::kAck, false);
}

Generated Peer::Run() {
  double on_their_way = 0;
  uint64_t looks = 0;
  Moments moments(1000, MonotonicNow(), returned_);
  bool sound = true;
  while (sound && server_.Connected()) {
    while (sound && !moments.Look(MonotonicNow(), returned_)) {
      for (uint32_t i = 0; sound && i < kTurnsUnwatched; i++) {
        sound = Turn(false, [this](uint8_t* at) { return traffic_.Write(at); });
      }
    }
    on_their_way += static_cast<double>(OnTheirWay());
    looks++;
  }
  return {sent_, looks == 0 ? 0 : on_their_way / static_cast<double>(looks), moments.Undisturbed()};
}

}  // namespace

absl::StatusOr<Generated> Generate(const GenerateOptions& options,
                                   const std::function<void(const std::string&)>& progress,
                                   const std::function<void()>& opened) {
  absl::StatusOr<std::unique_ptr<MemifServer>> server = MemifServer::Listen(options.path);
  if (!server.ok()) return server.status();
  progress("waiting for a client");
  if (absl::Status status = (*server)->Accept(kPatienceMs); !status.ok()) return status;
  Peer peer(options, **server);
  progress(absl::StrCat("opening ", options.traffic.flows, " flows"));
  if (absl::Status status = peer.OpenFlows(); !status.ok()) return status;
  opened();
  progress("sending");
  return peer.Run();
}

}  // namespace sluice::bench
