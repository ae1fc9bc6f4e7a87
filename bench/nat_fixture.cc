#include "nat_fixture.h"

#include <cstdlib>
#include <cstring>

#include "engine/session_path.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kRoom = 512;
constexpr uint32_t kFrame = 60;
constexpr uint8_t kSyn = 2;
constexpr uint8_t kAck = 16;

// With those that an owner keeps free.
SessionTables MustCreateSessions(uint64_t flows) {
  absl::StatusOr<SessionTables> sessions = SessionTables::Create(1, flows + 64, HugePages::kPreferred);
  if (!sessions.ok()) std::abort();
  return *std::move(sessions);
}

BurstPath MustCreatePath(const Partition& partition, const SessionTables& sessions) {
  const sluice_nat_ports ports = sluice_nat_ports_around(32768, 60999);
  absl::StatusOr<BurstPath> path = BurstPath::Create({partition}, {sessions.partitions(), 0, ports});
  if (!path.ok()) std::abort();
  return *std::move(path);
}

uint8_t* Ip(const Frame& frame) {
  return frame.data + SLUICE_ETHERNET_BYTES;
}

}  // namespace

NatPath::NatPath(Tables& tables, uint64_t flows, bool established)
    : tables_(tables),
      flows_(flows),
      clients_(false, flows),
      seen_(flows),
      sessions_(MustCreateSessions(flows)),
      path_(MustCreatePath({buckets_.As<sluice_bucket>(), 2}, sessions_)) {
  // Pages come with the first write to them, and that is not to be timed.
  const SessionPartition& all = sessions();
  std::memset(all.sessions, 0, sizeof(*all.sessions) * all.session_count);
  std::memset(all.buckets, 0, sizeof(*all.buckets) * all.bucket_count);
  for (uint64_t first = 0; established && first < flows; first += SLUICE_BURST) Open(first);
}

void NatPath::FillSyns(uint64_t first) {
  clients_.Fill(first);
  for (uint32_t i = 0; i < SLUICE_BURST; i++) Ip(clients_.frames()[i])[SLUICE_IPV4_BYTES + 13] = kSyn;
}

void NatPath::Open(uint64_t first) {
  FillSyns(first);
  Frame* frames = clients_.frames();
  Process(frames);
  for (uint32_t i = 0; i < SLUICE_BURST; i++) {
    const uint8_t* ip = Ip(frames[i]);
    seen_[(first + i) % flows_] = {sluice_load32(ip + 12), sluice_load32(ip + 16), sluice_load32(ip + 20)};
  }
  for (uint32_t i = 0; i < SLUICE_BURST; i++) WriteAnswer(i, (first + i) % flows_, kSyn | kAck);
  ProcessReverse();
  clients_.Fill(first);
  ProcessForward();
}

void NatPath::NextReverse() {
  for (uint32_t i = 0; i < SLUICE_BURST; i++) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    WriteAnswer(i, (random_ >> 32) * flows_ >> 32, kAck);
  }
}

void NatPath::WriteAnswer(uint32_t i, uint64_t flow, uint8_t tcp_flags) {
  Frame& frame = answer_frames_[i];
  const Seen& seen = seen_[flow];
  frame.data = memory_.data() + size_t{i} * kRoom + SLUICE_HEADROOM;
  frame.length = kFrame;
  frame.headroom = SLUICE_HEADROOM;
  frame.tailroom = 64;
  std::memset(frame.data, 0, kFrame);
  frame.data[0] = frame.data[6] = 2;
  sluice_store16(frame.data + 12, SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  uint8_t* ip = Ip(frame);
  ip[0] = 0x45;
  ip[3] = SLUICE_IPV4_BYTES + SLUICE_TCP_BYTES;
  ip[8] = 64;
  ip[9] = SLUICE_IP_TCP;
  sluice_store32(ip + 12, seen.destination);
  sluice_store32(ip + 16, seen.source);
  sluice_store32(ip + 20, seen.ports >> 16 | seen.ports << 16);
  ip[SLUICE_IPV4_BYTES + 12] = 0x50;
  ip[SLUICE_IPV4_BYTES + 13] = tcp_flags;
}

}  // namespace sluice::bench
