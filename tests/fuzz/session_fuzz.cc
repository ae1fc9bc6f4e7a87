// Any bytes as the life of some sessions: clients open them, servers answer, routers report errors, datagrams come in
// pieces, floods fill the few records and ports, backends and listeners go and come back, the clock moves, and three
// workers get any of it. After every burst: each frame has one verdict and is counted under it; one that leaves lies
// inside its buffer; one that doesn't is as it was, but for a checksum that was finished; checksums that were right
// are right; each session is in the buckets as often as it should be, and nothing else is.
//
// The input: records of (what, who, how) with more bytes behind some; `what` with its highest bit ends a burst.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow_end.h"
#include "engine/session_path.h"
#include "sluice/reset.h"
#include "tests/fuzz/burst_buffer.h"
#include "tests/fuzz/packets.h"
#include "tests/fuzz/session_frames.h"
#include "tests/packet/checksums.h"
#include "tests/packet/session_site.h"

namespace sluice::fuzz {
namespace {

using packet_test::Checked;
using packet_test::ChecksumsOf;

constexpr uint32_t kWorkers = 3;
// Few, so that all of them are taken now and then.
constexpr uint32_t kSessions = 8;
constexpr uint32_t kBuckets = 2;
constexpr sluice_nat_ports kFewPorts = {1024, 65530, 10, 16};
constexpr size_t kRecordHead = 3;

// Bytes of the input, zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t Byte() {
    if (size_ == 0) return 0;
    size_--;
    return *data_++;
  }
  std::string Bytes(size_t count) {
    count = std::min(count, size_);
    const std::string bytes(reinterpret_cast<const char*>(data_), count);
    data_ += count;
    size_ -= count;
    return bytes;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// What one worker owns.
struct Owner {
  std::array<sluice_bucket, kBuckets> buckets{};
  std::array<sluice_session, kSessions> sessions{};
  std::vector<sluice_fragment> fragments = std::vector<sluice_fragment>(SLUICE_FRAGMENTS);
  std::array<uint32_t, kSessions> free{};
  sluice_session_owner state{};
  ExpiredSessions expired{};

  SessionPartition View() {
    for (uint32_t i = 0; i < kSessions; i++) free[i] = i;
    sluice_session_owner_begin(&state, kSessions);
    return {buckets.data(), kBuckets, kSessions, sessions.data(), fragments.data(), free.data(), &state, &expired};
  }
};

// RSTs of sessions that are over.
class ResetOutlet : public Outlet {
 public:
  Frame* Take() override {
    frame_ = {};
    frame_.data = memory_.data();
    return &frame_;
  }
  void Send(Frame* frame) override {
    Require(frame->length <= SLUICE_RESET_BYTES && frame->egress < packet_test::kSessionPorts);
    const std::string sent(reinterpret_cast<const char*>(frame->data), frame->length);
    Require(ChecksumsOf(sent).transport == Checked::kRight && ChecksumsOf(sent).ip != Checked::kWrong);
  }

 private:
  std::array<uint8_t, SLUICE_RESET_BYTES> memory_{};
  Frame frame_;
};

// The tables that all runs begin with.
packet_test::HandTables& SiteTables() {
  static packet_test::HandTables* const tables = [] {
    auto* made = new packet_test::HandTables(256);
    packet_test::FillSessionTables(*made);
    for (uint32_t i = 0; i < made->counts().listeners; i += 2) made->terms(i).flags = SLUICE_TERMS_RESET_ON_IDLE;
    return made;
  }();
  return *tables;
}

// Tables of which something may be gone.
class Site {
 public:
  Site() : tables_(SiteTables().view()) {
    const packet_test::HandTables::Counts counts = SiteTables().counts();
    index_.assign(tables_.index, tables_.index + counts.index);
    terms_.assign(tables_.session_terms, tables_.session_terms + counts.listeners);
    backends_.assign(tables_.backends, tables_.backends + counts.backends);
    tables_.index = index_.data();
    tables_.session_terms = terms_.data();
    tables_.backends = backends_.data();
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;
  const sluice_tables& tables() const { return tables_; }

  void ToggleBackend(uint8_t which) {
    sluice_backend& backend = backends_[which % backends_.size()];
    backend.flags ^= which & 0x80 ? SLUICE_BACKEND_NEXT_HOP : SLUICE_BACKEND_LIVE;
  }
  // Its keys become nobody's; its record stays, without timeouts.
  void ToggleListener(uint8_t which) {
    const uint32_t listener = which % static_cast<uint32_t>(terms_.size());
    const bool goes = terms_[listener].established != 0;
    const sluice_session_terms& whole = SiteTables().terms(listener);
    terms_[listener] = {};
    terms_[listener].address = whole.address;
    if (!goes) terms_[listener] = whole;
    for (size_t i = 0; i < index_.size(); i++) {
      if (index_[i].kind != SLUICE_INDEX_LISTENER || index_[i].value != listener) continue;
      index_[i].key = goes ? sluice_index_key(254, 1) : SiteTables().view().index[i].key;
    }
  }

 private:
  sluice_tables tables_;
  std::vector<sluice_index_entry> index_;
  std::vector<sluice_session_terms> terms_;
  std::vector<sluice_backend> backends_;
};

class Machine {
 public:
  Machine() {
    std::vector<SessionPartition> partitions;
    for (Owner& owner : owners_) partitions.push_back(owner.View());
    for (uint32_t i = 0; i < kWorkers; i++) {
      paths_.push_back(*BurstPath::Create({{&connections_, 1}}, {partitions, i, kFewPorts}));
    }
  }

  void Run(Input input) {
    while (!input.empty()) {
      const uint8_t what = input.Byte();
      const uint8_t who = input.Byte();
      const uint8_t how = input.Byte();
      Do(what & 0xf, who, how, input);
      if ((what & 0x80) || burst_.size() >= SLUICE_BURST) Process(what, how);
    }
    Process(0, 0);
  }

 private:
  void Do(uint8_t what, uint8_t who, uint8_t how, Input& input) {
    switch (what) {
      case 0:
      case 1:
      case 2:
        return Put(ClientPacket(who, how, what), how);
      case 3:
        for (uint8_t i = 0; i < how % SLUICE_BURST; i++) Put(ClientPacket(who, i, 0, 2000 + how * 64 + i), 1);
        return;
      case 4:
      case 5:
      case 6:
        if (CanAnswer(Seen(who))) Put(packet_test::AnswerTo(Seen(who), NumbersOf(how)), what == 6 ? how : 1);
        return;
      case 7:
        if (packet_test::IpOffset(Seen(who)) == 0) return;
        return Put(packet_test::ErrorAbout(Seen(who), how & 0xf, how >> 4, input.Byte() << 8, 28 + 4 * input.Byte()),
                   1);
      case 8:
      case 9: {
        std::string frame = LastOf(who);
        for (uint8_t i = 0; i <= how % 4; i++) {
          const size_t at = input.Byte();
          if (at < frame.size()) frame[at] = static_cast<char>(input.Byte());
        }
        return Put(frame, how | 1);
      }
      case 10:
        return Put(input.Bytes(who | (how & 7) << 8), how >> 3);
      case 11:
        for (const std::string& piece : ClientPieces(who, how)) Put(piece, 1);
        return;
      case 12:
        now_ += static_cast<uint64_t>(who) << (SLUICE_TICK_SHIFT - (how & 1 ? 4 : 0));
        return;
      case 13:
        return site_.ToggleBackend(who);
      case 14:
        return site_.ToggleListener(who);
      default:
        return how & 1 ? End(who, how) : Sweep();
    }
  }

  // Ends a session from outside of the path, or tells the ends of one that was ended.
  void End(uint8_t who, uint8_t how) {
    sluice_session& session = owners_[(how >> 1) % kWorkers].sessions[who % kSessions];
    if (how & 0x80) {
      Require(FinishSession(&session, site_.tables(), [](absl::Span<const uint8_t> frame, uint16_t port) {
        const packet_test::FrameChecksums sums = ChecksumsOf(std::string(frame.begin(), frame.end()));
        Require(sums.ip != Checked::kWrong && sums.transport == Checked::kRight && port < packet_test::kSessionPorts);
        return true;
      }));
      return;
    }
    if (session.protocol == 0) return;
    FlowRecord flow;
    flow.slot = session.backend;
    flow.record = &session;
    flow.session.emplace().flow.ports = session.ports;
    flow.session->flow.protocol = session.protocol;
    const bool ended = session.flags & SLUICE_SESSION_ENDED;
    Require(EndFlow(flow) != ended && (session.flags & SLUICE_SESSION_ENDED));
  }

  void Put(std::string frame, uint8_t rooms) {
    if (burst_.size() >= SLUICE_BURST) return;
    inputs_[next_input_++ % inputs_.size()] = frame;
    const auto headroom = static_cast<uint16_t>(rooms & 1 ? SLUICE_HEADROOM : (rooms & 0xe) * 3);
    burst_.emplace_back(std::move(frame), headroom, rooms & 0x10);
  }
  const std::string& LastOf(uint8_t who) const { return inputs_[who % inputs_.size()]; }
  const std::string& Seen(uint8_t who) const { return sent_[who % sent_.size()]; }

  void Process(uint8_t what, uint8_t how) {
    std::array<Frame, SLUICE_BURST> frames;
    const auto count = static_cast<uint32_t>(burst_.size());
    for (uint32_t i = 0; i < count; i++) frames[i] = burst_[i].MakeFrame();
    const uint32_t worker = (what >> 4 & 7) % kWorkers;
    const bool unfinished = how & 0x20;
    paths_[worker].Process(site_.tables(), now_, how >> 7, 0, frames.data(), count, unfinished);
    processed_[worker] += count;
    for (uint32_t i = 0; i < count; i++) Check(frames[i], burst_[i], unfinished);
    burst_.clear();
    CheckCounters(worker);
    CheckSessions();
  }

  void Check(const Frame& frame, const Buffer& buffer, bool unfinished) {
    Require(frame.verdict < SLUICE_VERDICT_COUNT);
    const std::string out(reinterpret_cast<const char*>(frame.data), frame.length);
    if (sluice_verdict_kind(frame.verdict) != SLUICE_KIND_TRANSMIT) {
      Require(frame.data == buffer.memory.get() + buffer.headroom && frame.length == buffer.original.size());
      Require(unfinished || out == buffer.original);
      return;
    }
    Require(buffer.Contains(frame));
    Require(frame.length >= SLUICE_ETHERNET_BYTES && frame.egress < packet_test::kSessionPorts);
    const packet_test::FrameChecksums before = ChecksumsOf(buffer.original);
    const packet_test::FrameChecksums after = ChecksumsOf(out);
    if (before.ip != Checked::kWrong) Require(after.ip != Checked::kWrong);
    if (before.transport == Checked::kRight) Require(after.transport == Checked::kRight);
    if (frame.verdict == SLUICE_VERDICT_replied_too_big) Require(after.transport == Checked::kRight);
    if (frame.verdict != SLUICE_VERDICT_forwarded && frame.verdict != SLUICE_VERDICT_returned) return;
    if (before.quoted_ip != Checked::kWrong) Require(after.quoted_ip != Checked::kWrong);
    if (before.quoted_transport == Checked::kRight) Require(after.quoted_transport != Checked::kWrong);
    sent_[next_sent_++ % sent_.size()] = out;
  }

  void CheckCounters(uint32_t worker) const {
    uint64_t verdicts = 0;
    for (const uint64_t count : paths_[worker].counters().verdicts) verdicts += count;
    Require(verdicts == processed_[worker] && paths_[worker].counters().received == processed_[worker]);
  }

  // Each session twice, from either side; one that was replaced from its server's alone.
  void CheckSessions() const {
    for (const Owner& owner : owners_) {
      std::array<uint32_t, kSessions> forward{};
      std::array<uint32_t, kSessions> reverse{};
      for (const sluice_bucket& bucket : owner.buckets) {
        for (const uint64_t entry : bucket.entries) {
          if (sluice_entry_is_empty(entry)) continue;
          const auto index = static_cast<uint32_t>(entry);
          Require(index < kSessions && owner.sessions[index].protocol != 0);
          (sluice_entry_state(entry) == SLUICE_ENTRY_FORWARD ? forward : reverse)[index]++;
        }
      }
      for (uint32_t i = 0; i < kSessions; i++) {
        const sluice_session& session = owner.sessions[i];
        const bool live = session.protocol != 0;
        Require(forward[i] == (live && !(session.flags & SLUICE_SESSION_REPLACED)) && reverse[i] == live);
        Require(!live || session.backend < packet_test::kSessionBackends);
      }
    }
  }

  // As the sweep would, if it were sure of nothing; the owners look again.
  void Sweep() {
    for (uint32_t worker = 0; worker < kWorkers; worker++) {
      ExpiredSessions& queue = owners_[worker].expired;
      for (uint32_t i = 0; i < kSessions; i++) {
        if (queue.tail - queue.head == SLUICE_EXPIRED) break;
        queue.ring[queue.tail % SLUICE_EXPIRED] = i;
        queue.tail++;
      }
      ResetOutlet outlet;
      paths_[worker].Maintain(site_.tables(), now_, &outlet);
    }
    CheckSessions();
  }

  Site site_;
  sluice_bucket connections_{};
  std::array<Owner, kWorkers> owners_;
  std::vector<BurstPath> paths_;
  std::vector<Buffer> burst_;
  // What came and what went, the last ones.
  std::array<std::string, 16> inputs_;
  std::array<std::string, 16> sent_;
  uint32_t next_input_ = 0;
  uint32_t next_sent_ = 0;
  std::array<uint64_t, kWorkers> processed_{};
  uint64_t now_ = uint64_t{5000} << SLUICE_TICK_SHIFT;
};

}  // namespace
}  // namespace sluice::fuzz

// Now and then a sample of the parser's, as a record of its own behind the others.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  if (random() % 16 != 0 || size + sluice::fuzz::kRecordHead > max_size) return LLVMFuzzerMutate(data, size, max_size);
  const size_t end = sluice::fuzz::PutSample(data, size + sluice::fuzz::kRecordHead, max_size, random);
  const size_t length = end - size - sluice::fuzz::kRecordHead;
  data[size] = static_cast<uint8_t>(0x8a | (random() & 0x70));
  data[size + 1] = static_cast<uint8_t>(length);
  data[size + 2] = static_cast<uint8_t>(8 | (length >> 8 & 7));
  return end;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::fuzz::Machine machine;
  machine.Run({data, size});
  return 0;
}
