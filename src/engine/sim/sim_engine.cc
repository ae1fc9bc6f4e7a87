#include "engine/sim/sim_engine.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "engine/announce.h"
#include "engine/burst.h"
#include "engine/counters.h"
#include "engine/loads.h"
#include "engine/nat_owners.h"
#include "engine/sim/rss.h"
#include "sluice/reset.h"

namespace sluice {
namespace {

constexpr uint32_t kRssTable = 128;

uint32_t FirstWorkerOf(uint32_t hash, uint32_t workers) {
  return hash % workers;
}

std::shared_ptr<const NatOwners> OwnersOf(const SimOptions& options, const sluice_nat_ports& ports) {
  if (!options.rss.known) return std::make_shared<NatOwners>(options.workers);
  NatOwners::Rss rss;
  rss.hash = [key = options.rss.key](const NatOwners::Input& input) { return ToeplitzHash(input, key); };
  for (uint32_t i = 0; i < kRssTable; i++) {
    rss.worker_of_hash.push_back(static_cast<uint16_t>(FirstWorkerOf(i, options.workers)));
  }
  rss.with_ports = options.rss.with_ports ? NatOwners::kAllKinds : 0;
  return std::make_shared<NatOwners>(options.workers, rss, ports);
}

// A packet on its way: a buffer of just its size, so that a sanitizer sees a byte too far.
struct Buffer {
  explicit Buffer(const std::vector<uint8_t>& packet) : bytes(SLUICE_HEADROOM + packet.size() + SLUICE_TAILROOM) {
    std::copy(packet.begin(), packet.end(), bytes.begin() + SLUICE_HEADROOM);
    frame.data = bytes.data() + SLUICE_HEADROOM;
    frame.length = static_cast<uint32_t>(packet.size());
    frame.headroom = SLUICE_HEADROOM;
    frame.tailroom = SLUICE_TAILROOM;
  }
  std::vector<uint8_t> bytes;
  Frame frame;
};

// Frames that the path makes by itself.
class SimOutlet : public Outlet {
 public:
  Frame* Take() override {
    frame_ = Frame();
    frame_.data = bytes_.data();
    return &frame_;
  }
  void Send(Frame* frame) override { packets.push_back({{frame->data, frame->data + frame->length}, frame->egress}); }

  std::vector<SimPacket> packets;

 private:
  std::array<uint8_t, SLUICE_RESET_BYTES> bytes_{};
  Frame frame_;
};

class Simulation : public SimEngine {
 public:
  Simulation(const SimOptions& options, ConnectionTables connections, SessionTables sessions,
             std::vector<BurstPath> paths)
      : options_(options),
        connections_(std::move(connections)),
        sessions_(std::move(sessions)),
        paths_(std::move(paths)) {
    for (uint32_t i = 0; i < kRssTable; i++) worker_of_hash_.push_back(FirstWorkerOf(i, options_.workers));
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override;
  EngineCounters ReadCounters() override;
  std::vector<EnginePort> ports() override { return options_.ports; }
  void Sweep() override;
  const Occupancy& occupancy() const override { return connections_.occupancy(); }
  const SessionOccupancy& session_occupancy() const override { return sessions_.occupancy(); }
  void SetLatencies(absl::Span<const BackendLatency> latencies) override { loads_.SetLatencies(latencies, Workers()); }
  void Announce(absl::Span<const Address> addresses) override;
  bool Send(absl::Span<const uint8_t> frame, uint16_t port) override {
    outlet_.packets.push_back({{frame.begin(), frame.end()}, port});
    return true;
  }
  EngineNews Poll() override { return {}; }
  void Close() override;

  std::vector<SimResult> Receive(absl::Span<const SimPacket> packets) override;
  void SetRssIndirection(std::vector<uint32_t> worker_of_hash) override;
  std::vector<SimPacket> TakeAnnouncements() override { return std::exchange(announcements_, {}); }
  std::vector<SimPacket> TakeResets() override { return std::exchange(outlet_.packets, {}); }
  const std::vector<Partition>& partitions() const override { return connections_.partitions(); }
  const std::vector<SessionPartition>& session_partitions() const override { return sessions_.partitions(); }

 private:
  // Packets, by their place in what was received, that wait in the receive queue of one partition.
  using Queue = std::vector<uint32_t>;

  std::vector<LoadedWorker> Workers() const;
  uint32_t PartitionOf(const SimPacket& packet) const;
  void ReceiveBurst(uint32_t partition, absl::Span<const uint32_t> queued, absl::Span<const SimPacket> packets,
                    std::vector<SimResult>* results);

  SimOptions options_;
  // Partition `port * workers + worker`.
  ConnectionTables connections_;
  SessionTables sessions_;
  std::vector<BurstPath> paths_;
  Loads loads_;
  std::vector<uint32_t> worker_of_hash_;
  std::shared_ptr<const Tables> tables_;
  std::vector<SimPacket> announcements_;
  SimOutlet outlet_;
  bool closed_ = false;
};

// There is one thread, so no worker is in the old tables.
absl::Status Simulation::Publish(std::shared_ptr<const Tables> tables) {
  if (closed_) return absl::FailedPreconditionError("the engine is closed; open another one to publish to");
  loads_.Follow(tables->load_terms(), tables->listener_terms(), Workers(), {});
  tables_ = std::move(tables);
  return absl::OkStatus();
}

std::vector<LoadedWorker> Simulation::Workers() const {
  std::vector<LoadedWorker> workers;
  for (const BurstPath& path : paths_) workers.push_back(path.loaded());
  return workers;
}

EngineCounters Simulation::ReadCounters() {
  EngineCounters sum;
  if (tables_ != nullptr) {
    sum.listeners.resize(tables_->listener_count());
    sum.backends.resize(tables_->backend_slots());
  }
  for (const BurstPath& path : paths_) {
    AddCounters(path.counters(), &sum);
    AddCounters(path.session_counters(), &sum);
  }
  return sum;
}

void Simulation::Sweep() {
  if (tables_ == nullptr) return;
  connections_.Sweep(tables_->view(), options_.clock());
  sessions_.Sweep(tables_->view(), options_.clock());
  loads_.Tell(Workers(), {}, occupancy(), session_occupancy());
  for (BurstPath& path : paths_) path.Maintain(tables_->view(), options_.clock(), &outlet_);
}

void Simulation::Announce(absl::Span<const Address> addresses) {
  for (const Address& address : addresses) {
    for (uint16_t port = 0; port < options_.ports.size(); port++) {
      announcements_.push_back({AnnouncementFrame(address, options_.ports[port].mac), port});
    }
  }
}

void Simulation::Close() {
  closed_ = true;
  tables_.reset();
}

void Simulation::SetRssIndirection(std::vector<uint32_t> worker_of_hash) {
  assert(worker_of_hash.size() == kRssTable);
  assert(std::all_of(worker_of_hash.begin(), worker_of_hash.end(),
                     [this](uint32_t worker) { return worker < options_.workers; }));
  worker_of_hash_ = std::move(worker_of_hash);
}

uint32_t Simulation::PartitionOf(const SimPacket& packet) const {
  return packet.port * options_.workers +
         worker_of_hash_[RssHash(packet.bytes, options_.rss.key, options_.rss.with_ports) % kRssTable];
}

// Queues are polled in turn, a burst from each: the order within a queue is kept, between queues there is none.
std::vector<SimResult> Simulation::Receive(absl::Span<const SimPacket> packets) {
  assert(tables_ != nullptr);
  std::vector<SimResult> results(packets.size());
  std::vector<Queue> queues(partitions().size());
  for (uint32_t i = 0; i < packets.size(); i++) queues[PartitionOf(packets[i])].push_back(i);
  for (size_t done = 0; done < packets.size(); done += SLUICE_BURST) {
    for (uint32_t partition = 0; partition < queues.size(); partition++) {
      const absl::Span<const uint32_t> queue = queues[partition];
      if (done < queue.size()) ReceiveBurst(partition, queue.subspan(done, SLUICE_BURST), packets, &results);
    }
  }
  return results;
}

void Simulation::ReceiveBurst(uint32_t partition, absl::Span<const uint32_t> queued,
                              absl::Span<const SimPacket> packets, std::vector<SimResult>* results) {
  const uint32_t worker = partition % options_.workers;
  const auto port = static_cast<uint16_t>(partition / options_.workers);
  std::vector<Buffer> buffers;
  buffers.reserve(queued.size());
  std::array<Frame, SLUICE_BURST> frames;
  for (size_t i = 0; i < queued.size(); i++) frames[i] = buffers.emplace_back(packets[queued[i]].bytes).frame;
  paths_[worker].Process(tables_->view(), options_.clock(), port, partition, frames.data(),
                         static_cast<uint32_t>(queued.size()), true);
  paths_[worker].Maintain(tables_->view(), options_.clock(), &outlet_);
  for (size_t i = 0; i < queued.size(); i++) {
    SimResult& result = (*results)[queued[i]];
    result.verdict = static_cast<sluice_verdict>(frames[i].verdict);
    result.worker = worker;
    if (sluice_verdict_kind(result.verdict) != SLUICE_KIND_TRANSMIT) continue;
    result.out.bytes.assign(frames[i].data, frames[i].data + frames[i].length);
    result.out.port = frames[i].egress;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SimEngine>> SimEngine::Open(const SimOptions& options) {
  if (options.workers == 0 || options.ports.empty() || options.ports.size() > SLUICE_PORTS || !options.clock) {
    return absl::InvalidArgumentError("a simulation needs a worker, a port (64 at most) and a clock");
  }
  const auto partitions = static_cast<uint32_t>(options.ports.size()) * options.workers;
  absl::StatusOr<ConnectionTables> connections =
      ConnectionTables::Create(partitions, options.max_connections, HugePages::kOff);
  if (!connections.ok()) return connections.status();
  absl::StatusOr<SessionTables> sessions =
      SessionTables::Create(options.workers, options.max_sessions, HugePages::kOff);
  if (!sessions.ok()) return sessions.status();
  const sluice_nat_ports ports = sluice_nat_ports_around(options.kernel_first_port, options.kernel_last_port);
  const std::shared_ptr<const NatOwners> owners = OwnersOf(options, ports);
  std::vector<BurstPath> paths;
  for (uint32_t i = 0; i < options.workers; i++) {
    absl::StatusOr<BurstPath> path =
        BurstPath::Create(connections->partitions(), {sessions->partitions(), i, ports, owners});
    if (!path.ok()) return path.status();
    paths.push_back(*std::move(path));
  }
  return std::make_unique<Simulation>(options, *std::move(connections), *std::move(sessions), std::move(paths));
}

}  // namespace sluice
