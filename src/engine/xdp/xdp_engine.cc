#include "engine/xdp/xdp_engine.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "engine/announce.h"
#include "engine/loads.h"
#include "engine/session_tables.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_forwarding.h"
#include "engine/xdp/kernel_sessions.h"
#include "engine/xdp/xdp_port.h"

namespace sluice {
namespace {

constexpr uint64_t kPortCheckIntervalNs = 250'000'000;
constexpr size_t kAnnouncementsAtOnce = 256;

class XdpEngine : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const XdpOptions& options, std::vector<std::string>* notes);
  ~XdpEngine() override { Close(); }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override;
  EngineCounters ReadCounters() override;
  std::vector<EnginePort> ports() override;
  void Sweep() override;
  const Occupancy& occupancy() const override { return connections_->tables().occupancy(); }
  const SessionOccupancy& session_occupancy() const override { return session_tables().occupancy(); }
  const std::vector<Partition>& partitions() const override { return connections_->tables().partitions(); }
  const std::vector<SessionPartition>& session_partitions() const override { return session_tables().partitions(); }
  void SetLatencies(absl::Span<const BackendLatency> latencies) override {
    if (forwarding_ != nullptr) loads_.SetLatencies(latencies, forwarding_->loaded_workers());
  }
  void Announce(absl::Span<const Address> addresses) override;
  bool Send(absl::Span<const uint8_t> frame, uint16_t port) override;
  EngineNews Poll() override;
  void Close() override;

 private:
  XdpEngine(XdpOptions options, SessionTables none) : options_(std::move(options)), no_sessions_(std::move(none)) {}
  SessionTables& session_tables() const { return sessions_ != nullptr ? sessions_->tables() : no_sessions_; }
  void SendAnnouncements(EngineNews* news);
  void FollowQueues(EngineNews* news);

  XdpOptions options_;
  std::vector<std::unique_ptr<XdpPort>> ports_;
  // By port, as of the last time that partitions were dealt out.
  std::vector<uint16_t> queues_;
  std::unique_ptr<KernelConnections> connections_;
  // Null where nothing is translated.
  std::unique_ptr<KernelSessions> sessions_;
  mutable SessionTables no_sessions_;
  std::unique_ptr<KernelForwarding> forwarding_;
  std::shared_ptr<const Tables> current_;
  Loads loads_;
  std::deque<Address> announcements_;
  // Why frames of ours did not leave, until it is said.
  std::string send_problem_;
  std::vector<EnginePort> last_ports_;
  uint64_t last_port_check_ = 0;
};

absl::StatusOr<std::unique_ptr<Engine>> XdpEngine::Open(const XdpOptions& options, std::vector<std::string>* notes) {
  if (options.interfaces.empty()) {
    return absl::InvalidArgumentError("the engine needs an interface; add one to engine.interfaces");
  }
  // None; it counts its sweeps all the same.
  absl::StatusOr<SessionTables> sessions = SessionTables::Create(1, 0, HugePages::kOff);
  if (!sessions.ok()) return sessions.status();
  auto engine = std::unique_ptr<XdpEngine>(new XdpEngine(options, *std::move(sessions)));
  uint32_t partitions = 0;
  std::vector<XdpAttachment*> places;
  std::vector<KernelForwarding::Port> forwarding;
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<std::unique_ptr<XdpPort>> port = XdpPort::Open(name);
    if (!port.ok()) return port.status();
    const uint16_t queues = (*port)->ReadQueues();
    partitions += queues;
    places.push_back(&(*port)->attachment());
    forwarding.push_back({&(*port)->interface(), &(*port)->attachment(), queues, {}});
    engine->queues_.push_back(queues);
    engine->ports_.push_back(*std::move(port));
  }
  absl::StatusOr<std::unique_ptr<KernelConnections>> connections =
      KernelConnections::Open(partitions, options.max_connections, places, notes);
  if (!connections.ok()) return connections.status();
  engine->connections_ = *std::move(connections);
  if (options.max_sessions > 0) {
    absl::StatusOr<std::unique_ptr<KernelSessions>> made =
        KernelSessions::Open({0, partitions}, options.max_sessions,
                             sluice_nat_ports_around(options.kernel_first_port, options.kernel_last_port), places);
    if (!made.ok()) return made.status();
    engine->sessions_ = *std::move(made);
    if (options.port_seed != 0) engine->sessions_->ScatterPorts(options.port_seed);
  }
  engine->forwarding_ = std::make_unique<KernelForwarding>(std::move(forwarding), engine->connections_.get(),
                                                           engine->sessions_.get(), std::nullopt);
  engine->last_ports_ = engine->ports();
  return std::unique_ptr<Engine>(std::move(engine));
}

absl::Status XdpEngine::Publish(std::shared_ptr<const Tables> tables) {
  if (ports_.empty()) return absl::FailedPreconditionError("the engine is closed; open one again to publish");
  if (absl::Status status = connections_->Settle(*tables).status(); !status.ok()) return status;
  if (sessions_ != nullptr) sessions_->Settle(*tables);
  if (absl::Status status = forwarding_->Publish(tables); !status.ok()) return status;
  // Its room may have grown with the tables.
  loads_.Follow(tables->load_terms(), tables->listener_terms(), forwarding_->loaded_workers(),
                forwarding_->counted_before());
  current_ = std::move(tables);
  return absl::OkStatus();
}

EngineCounters XdpEngine::ReadCounters() {
  EngineCounters sum;
  if (current_ == nullptr) return sum;
  sum.listeners.resize(current_->listener_count());
  sum.backends.resize(current_->backend_slots());
  sum.listener_answers.resize(sum.listeners.size());
  sum.backend_answers.resize(sum.backends.size());
  forwarding_->AddCounters(&sum);
  return sum;
}

std::vector<EnginePort> XdpEngine::ports() {
  std::vector<EnginePort> result;
  for (const std::unique_ptr<XdpPort>& port : ports_) result.push_back(port->Describe());
  return result;
}

void XdpEngine::Sweep() {
  if (current_ == nullptr || ports_.empty()) return;
  connections_->tables().Sweep(current_->view(), MonotonicNow());
  session_tables().Sweep(current_->view(), MonotonicNow());
  loads_.Tell(forwarding_->loaded_workers(), forwarding_->counted_before(), occupancy(), session_occupancy());
}

void XdpEngine::Announce(absl::Span<const Address> addresses) {
  announcements_.insert(announcements_.end(), addresses.begin(), addresses.end());
}

bool XdpEngine::Send(absl::Span<const uint8_t> frame, uint16_t port) {
  if (port >= ports_.size()) return true;
  const absl::Status status = ports_[port]->Send({frame.begin(), frame.end()});
  if (!status.ok()) send_problem_ = std::string(status.message());
  return true;
}

// A bounded number at a time; the rest at the next Poll.
void XdpEngine::SendAnnouncements(EngineNews* news) {
  for (size_t sent = 0; sent < kAnnouncementsAtOnce && !announcements_.empty(); sent++) {
    for (size_t i = 0; i < ports_.size(); i++) {
      const absl::Status status = ports_[i]->Send(AnnouncementFrame(announcements_.front(), last_ports_[i].mac));
      if (status.ok()) continue;
      // One sentence for all of them: the link will ask for those that it needs.
      news->warnings.push_back(
          absl::StrCat("virtual addresses are not announced on the link: ", std::string(status.message())));
      return announcements_.clear();
    }
    announcements_.pop_front();
  }
}

EngineNews XdpEngine::Poll() {
  EngineNews news;
  SendAnnouncements(&news);
  const uint64_t now = MonotonicNow();
  if (ports_.empty() || now - last_port_check_ < kPortCheckIntervalNs) return news;
  last_port_check_ = now;
  if (!send_problem_.empty()) {
    news.warnings.push_back(absl::StrCat("frames of our own did not leave: ", std::exchange(send_problem_, "")));
  }
  std::vector<EnginePort> ports = this->ports();
  news.ports_changed = ports != last_ports_;
  if (news.ports_changed) FollowQueues(&news);
  for (size_t i = 0; i < ports.size() && i < last_ports_.size(); i++) {
    // Whether the driver can is known when the first tables are published.
    if (ports[i].mode == last_ports_[i].mode) continue;
    std::vector<std::string>& lines = ports_[i]->attachment().generic() ? news.warnings : news.messages;
    lines.push_back(absl::StrCat("port ", ports[i].name, ": ", ports[i].mode));
  }
  last_ports_ = std::move(ports);
  return news;
}

// Partitions are dealt out at the start: queues that have come since have their interface's first one together with its
// own.
void XdpEngine::FollowQueues(EngineNews* news) {
  for (size_t i = 0; i < ports_.size(); i++) {
    const uint16_t queues = ports_[i]->ReadQueues();
    if (queues <= queues_[i]) continue;
    news->warnings.push_back(absl::StrCat(ports_[i]->interface().name(), " has ", queues,
                                          " queues now, and flow state for ", queues_[i],
                                          "; restart sluiced to give each its own"));
  }
}

void XdpEngine::Close() {
  if (options_.leave && forwarding_ != nullptr && forwarding_->attached()) {
    for (const std::unique_ptr<XdpPort>& port : ports_) port->attachment().Leave();
  }
  ports_.clear();
  forwarding_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> OpenXdpEngine(const XdpOptions& options, std::vector<std::string>* notes) {
  return XdpEngine::Open(options, notes);
}

absl::StatusOr<bool> RemoveXdp(const std::string& interface) {
  const absl::StatusOr<KernelInterface> found = KernelInterface::Find(interface);
  if (!found.ok()) return found.status();
  const absl::StatusOr<InterfaceLock> lock = InterfaceLock::Take(interface);
  if (!lock.ok()) return lock.status();
  XdpAttachment attachment(found->index(), interface);
  if (absl::Status status = attachment.Look(); !status.ok()) return status;
  if (attachment.predecessor() < 0) return false;
  const absl::Status detached = attachment.Detach();
  return detached.ok() ? absl::StatusOr<bool>(true) : detached;
}

}  // namespace sluice
