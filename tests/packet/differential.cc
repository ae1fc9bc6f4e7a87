#include "tests/packet/differential.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "sluice/parse.h"
#include "sluice/reply.h"
#include "sluice/time.h"
#include "sluice/unfinished.h"
#include "tests/packet/bytes.h"
#include "tests/packet/describe.h"
#include "tests/packet/session_site.h"

namespace sluice::packet_test {
namespace {

constexpr std::array<uint8_t, 32> kHashKey = {9, 8, 7, 6, 5, 4, 3, 2, 1};
constexpr uint64_t kPacketsBetweenChanges = 4096;

// The engines' clocks are each a little behind, the kernel's by up to 10 ms: all of a burst has to fall into one tick.
constexpr uint64_t kTickNs = uint64_t{1} << SLUICE_TICK_SHIFT;
constexpr uint64_t kAfterTickNs = 20'000'000;
constexpr uint64_t kBeforeTickNs = 100'000'000;

void LeaveEndOfTick() {
  const uint64_t at = MonotonicNow() % kTickNs;
  uint64_t wait = 0;
  if (at < kAfterTickNs) wait = kAfterTickNs - at;
  if (at > kTickNs - kBeforeTickNs) wait = kTickNs - at + kAfterTickNs;
  std::this_thread::sleep_for(std::chrono::nanoseconds(wait));
}

// Maybe a message of our own that a packet is too big. There are less of them than of such packets, by the clock, so
// whatever looks like one is not compared.
bool IsTooBigMessage(const std::string& frame) {
  const size_t ip = IpOffset(frame);
  if (ip == 0) return false;
  const bool ipv6 = ByteAt(frame, ip) >> 4 == 6;
  const size_t icmp = ip + (ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
  if (frame.size() < icmp + 2 || ByteAt(frame, ip + (ipv6 ? 7 : 8)) != SLUICE_REPLY_TTL) return false;
  return ByteAt(frame, ip + (ipv6 ? 6 : 9)) == (ipv6 ? SLUICE_IP_ICMPV6 : SLUICE_IP_ICMP) &&
         WordAt(frame, icmp) == (ipv6 ? 0x0200 : 0x0304);
}

Outcome Comparable(Outcome outcome) {
  if (outcome.verdict != sluice_verdict_name(SLUICE_VERDICT_replied_too_big)) return outcome;
  return {.verdict = sluice_verdict_name(SLUICE_VERDICT_too_big), .out = "", .by = 0};
}
EngineCounters Comparable(EngineCounters counters) {
  counters.verdicts[SLUICE_VERDICT_too_big] += counters.verdicts[SLUICE_VERDICT_replied_too_big];
  counters.verdicts[SLUICE_VERDICT_replied_too_big] = 0;
  return counters;
}
TestedEngine::Sent Comparable(TestedEngine::Sent sent) {
  for (std::vector<std::string>& frames : sent) std::erase_if(frames, IsTooBigMessage);
  return sent;
}

// What differs, a line each.
class Differences {
 public:
  Differences(std::string one, std::string other) : one_(std::move(one)), other_(std::move(other)) {}

  void Compare(const char* what, uint64_t one, uint64_t other) {
    if (one != other) absl::StrAppend(&text_, what, ": ", one_, " ", one, ", ", other_, " ", other, "\n");
  }
  void Compare(const char* what, size_t index, uint64_t one, uint64_t other) {
    if (one != other) Compare(absl::StrCat(what, " ", index).c_str(), one, other);
  }
  void Compare(const char* what, const std::vector<sluice_traffic>& one, const std::vector<sluice_traffic>& other) {
    Compare(what, one.size(), other.size());
    for (size_t i = 0; i < std::min(one.size(), other.size()); i++) {
      if (std::memcmp(&one[i], &other[i], sizeof(one[i])) == 0) continue;
      Compare(absl::StrCat("packets of ", what).c_str(), i, one[i].packets, other[i].packets);
      Compare(absl::StrCat("bytes of ", what).c_str(), i, one[i].bytes, other[i].bytes);
      Compare(absl::StrCat("new flows of ", what).c_str(), i, one[i].new_flows, other[i].new_flows);
      Compare(absl::StrCat("ended flows of ", what).c_str(), i, one[i].ended, other[i].ended);
    }
  }
  void Compare(const char* what, const std::vector<uint32_t>& one, const std::vector<uint32_t>& other) {
    for (size_t i = 0; i < one.size(); i++) Compare(what, i, one[i], other.at(i));
  }
  void Compare(const EngineCounters& one, const EngineCounters& other) {
    for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
      Compare(sluice_verdict_name(i), one.verdicts[i], other.verdicts[i]);
    }
    for (uint32_t i = 0; i < SLUICE_VICTIM_COUNT; i++) {
      Compare("inserted over victims of kind", i, one.inserted_over[i], other.inserted_over[i]);
    }
    Compare("received", one.received, other.received);
    Compare("bytes", one.bytes, other.bytes);
    Compare("listener", one.listeners, other.listeners);
    Compare("backend", one.backends, other.backends);
    Compare("listener with answer", one.listener_answers, other.listener_answers);
    Compare("backend with answer", one.backend_answers, other.backend_answers);
    Compare("sessions opened", one.sessions.opened, other.sessions.opened);
    Compare("sessions expired", one.sessions.expired, other.sessions.expired);
    Compare("sessions evicted, closed", one.sessions.evicted_closed, other.sessions.evicted_closed);
    Compare("sessions evicted, handshake", one.sessions.evicted_handshake, other.sessions.evicted_handshake);
    Compare("ports taken early", one.sessions.ports_taken_early, other.sessions.ports_taken_early);
  }
  void Compare(const TestedEngine::Sent& one, const TestedEngine::Sent& other) {
    for (size_t port = 0; port < kTestedPorts; port++) {
      Compare("frames that left by port", port, one[port].size(), other[port].size());
      for (size_t i = 0; i < std::min(one[port].size(), other[port].size()); i++) {
        if (one[port][i] == other[port][i]) continue;
        absl::StrAppend(&text_, "frame ", i, " that left by port ", port, ":\n", Named(one_, one[port][i]),
                        Named(other_, other[port][i]));
        break;
      }
    }
  }
  void Compare(const Outcome& one, const Outcome& other) {
    if (one.verdict == other.verdict && one.out == other.out && one.by == other.by) return;
    for (const auto& [name, outcome] : {std::pair(one_, one), std::pair(other_, other)}) {
      absl::StrAppend(&text_, name, ": ", outcome.verdict, "\n");
      if (!outcome.out.empty()) absl::StrAppend(&text_, Named(absl::StrCat("out by port ", outcome.by), outcome.out));
    }
  }
  const std::string& text() const { return text_; }

  // In hex, and as people write it.
  static std::string Named(const std::string& name, const std::string& frame) {
    const std::string described = DescribePacket(frame);
    return absl::StrCat("  ", name, ": ", absl::BytesToHexString(frame), "\n    ",
                        described.substr(0, described.find('\n')), "\n");
  }

 private:
  std::string one_;
  std::string other_;
  std::string text_;
};

}  // namespace

Differential::Differential(uint64_t seed, absl::Span<const PoolKind> pools, size_t burst)
    : random_(seed), site_(seed + 1, pools), traffic_(seed + 2, site_), tables_(Build()), most_(burst) {}

std::shared_ptr<const Tables> Differential::Build() {
  const v1::Config config = site_.Config();
  const absl::flat_hash_map<Address, BackendNextHop> next_hops = site_.NextHops();
  const BackendNames unhealthy = site_.Unhealthy();
  const std::vector<PortDescription> ports = TestedPorts();
  absl::StatusOr<std::shared_ptr<const Tables>> tables =
      builder_.Build({&config, kHashKey, &next_hops, ports, &unhealthy});
  if (tables.ok()) return *std::move(tables);
  std::fprintf(stderr, "%s\n", tables.status().ToString().c_str());
  std::abort();
}

std::string Differential::Add(const std::string& name, std::unique_ptr<TestedEngine> engine) {
  if (std::string reason = engine->Unable(*tables_); !reason.empty()) return reason;
  if (const absl::Status status = engine->Publish(tables_); !status.ok()) return status.ToString();
  engines_.push_back({name, std::move(engine)});
  return "";
}

std::string Differential::Run(uint64_t packets, uint64_t one_by_one_from) {
  while (packets_ < packets) {
    if (packets_ >= changes_ * kPacketsBetweenChanges) {
      if (std::string difference = Change(); !difference.empty()) return difference;
    }
    FillBurst();
    burst_begin_ = packets_;
    packets_ += frames_.size();
    if (burst_begin_ >= one_by_one_from) return OneByOne();
    const std::string difference = Burst();
    if (!difference.empty()) return frames_.size() == 1 ? Told(0, difference) : difference;
  }
  return CompareFlows();
}

std::string Differential::Told(size_t i, const std::string& difference) const {
  return absl::StrCat("packet ", burst_begin_ + i, " by port ", from_, ":\n", Differences::Named("in", frames_[i]),
                      difference);
}

void Differential::FillBurst() {
  frames_.clear();
  flows_.clear();
  from_ = random_() % 8 == 0;
  while (frames_.empty()) {
    for (uint64_t count = 1 + random_() % most_; count > 0; count--) {
      std::string frame = traffic_.Next();
      if (FitsIntoBurst(frame)) frames_.push_back(std::move(frame));
    }
  }
}

bool Differential::FitsIntoBurst(std::string frame) {
  sluice_packet packet;
  auto* data = reinterpret_cast<uint8_t*>(frame.data());
  if (sluice_parse(data, data + frame.size(), &packet) != SLUICE_CONTINUE) return true;
  // One valid checksum in 65,536 looks as if it had been left to a device, and some by chance are like that.
  if (sluice_finish_checksum(data, data + frame.size(), &packet)) return false;
  if (packet.kind != SLUICE_PACKET_FLOW && packet.kind != SLUICE_PACKET_ICMP_ERROR) return true;
  const bool changes = packet.flags & (SLUICE_PACKET_SYN | SLUICE_PACKET_CLOSE);
  const std::string flow(reinterpret_cast<const char*>(&packet.flow), sizeof(packet.flow));
  const auto [at, first] = flows_.try_emplace(flow, changes);
  return first || !(at->second || changes);
}

std::string Differential::Change() {
  site_.Change();
  tables_ = Build();
  changes_++;
  for (const Participant& one : engines_) {
    if (const absl::Status status = one.engine->Publish(tables_); !status.ok()) {
      return absl::StrCat(one.name, " does not take tables: ", status.ToString());
    }
  }
  return CompareFlows();
}

// And slots that no flow has any more may be given to others. A flow whose backend has no listener any more is
// forgotten with the next tick.
std::string Differential::CompareFlows() {
  LeaveEndOfTick();
  const TestedEngine::Flows expected = engines_.front().engine->CountFlows(tables_->backend_slots());
  for (size_t i = 1; i < engines_.size(); i++) {
    Differences differences(engines_.front().name, engines_[i].name);
    const TestedEngine::Flows flows = engines_[i].engine->CountFlows(tables_->backend_slots());
    differences.Compare("connections of slot", expected.connections, flows.connections);
    differences.Compare("sessions of slot", expected.sessions, flows.sessions);
    if (!differences.text().empty()) return differences.text();
  }
  for (const uint32_t slot : builder_.RetiredSlots()) {
    if (expected.connections.at(slot) == 0 && expected.sessions.at(slot) == 0) builder_.ReleaseSlot(slot);
  }
  return "";
}

// Where the tick has changed on the way, some entries are a tick older in one engine than in another, and would give
// way before others some day: the same packets once more make all of them as young.
std::string Differential::Burst() {
  bool again = true;
  while (again) {
    LeaveEndOfTick();
    const uint64_t begin = MonotonicNow() / kTickNs;
    if (std::string difference = ProcessAll(); !difference.empty()) return difference;
    again = MonotonicNow() / kTickNs != begin;
  }
  return CompareCounters();
}

std::string Differential::ProcessAll() {
  TestedEngine::Sent expected;
  for (const Participant& one : engines_) {
    absl::StatusOr<TestedEngine::Sent> sent = one.engine->Process(frames_, from_);
    if (!sent.ok()) return absl::StrCat(one.name, ": ", sent.status().ToString());
    TestedEngine::Sent comparable = Comparable(*std::move(sent));
    if (&one == &engines_.front()) {
      expected = std::move(comparable);
      continue;
    }
    Differences differences(engines_.front().name, one.name);
    differences.Compare(expected, comparable);
    if (!differences.text().empty()) return differences.text();
  }
  for (const std::vector<std::string>& frames : expected) {
    for (const std::string& frame : frames) traffic_.Saw(frame);
  }
  return "";
}

// A worker in a thread of its own counts a little later than it sends.
std::string Differential::CompareCounters() {
  const EngineCounters expected = Comparable(ReadCounters());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (size_t i = 1; i < engines_.size(); i++) {
    while (true) {
      Differences differences(engines_.front().name, engines_[i].name);
      differences.Compare(expected, Comparable(engines_[i].engine->ReadCounters()));
      if (differences.text().empty()) break;
      if (std::chrono::steady_clock::now() > deadline) return differences.text();
    }
  }
  return "";
}

std::string Differential::OneByOne() {
  for (size_t i = 0; i < frames_.size(); i++) {
    LeaveEndOfTick();
    Outcome expected;
    std::string text;
    for (const Participant& one : engines_) {
      const absl::StatusOr<Outcome> outcome = ProcessOne(*one.engine, frames_[i], from_);
      if (!outcome.ok()) {
        absl::StrAppend(&text, one.name, ": ", outcome.status().ToString(), "\n");
        continue;
      }
      if (&one == &engines_.front()) expected = Comparable(*outcome);
      Differences differences(engines_.front().name, one.name);
      differences.Compare(expected, Comparable(*outcome));
      text += differences.text();
    }
    text += CompareCounters();
    if (!text.empty()) return Told(i, text);
  }
  return absl::StrCat("no packet of those from ", burst_begin_, " on makes a difference by itself");
}

}  // namespace sluice::packet_test
