#include "engine/xdp/xdp_engine.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "engine/announce.h"
#include "engine/session_tables.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_path.h"
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
  const SessionOccupancy& session_occupancy() const override { return sessions_->occupancy(); }
  void Announce(absl::Span<const Address> addresses) override;
  EngineNews Poll() override;
  void Close() override;

 private:
  XdpEngine(XdpOptions options, SessionTables sessions) : options_(std::move(options)) {
    sessions_ = std::make_unique<SessionTables>(std::move(sessions));
  }
  absl::Status MakePath(const std::shared_ptr<const Tables>& tables);
  absl::Status AttachAll();
  void SendAnnouncements(EngineNews* news);
  uint32_t partitions() const;

  XdpOptions options_;
  std::vector<std::unique_ptr<XdpPort>> ports_;
  // By port, as of the last time that partitions were dealt out.
  std::vector<uint16_t> queues_;
  std::unique_ptr<KernelConnections> connections_;
  std::unique_ptr<SessionTables> sessions_;
  std::unique_ptr<KernelPath> path_;
  std::shared_ptr<const Tables> current_;
  // Counted by programs that others of ours have replaced.
  EngineCounters counted_before_;
  std::deque<Address> announcements_;
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
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<std::unique_ptr<XdpPort>> port = XdpPort::Open(name);
    if (!port.ok()) return port.status();
    engine->queues_.push_back((*port)->ReadQueues());
    engine->ports_.push_back(*std::move(port));
  }
  const auto left = std::find_if(engine->ports_.begin(), engine->ports_.end(),
                                 [](const auto& port) { return port->attachment().predecessor() >= 0; });
  const int predecessor = left == engine->ports_.end() ? -1 : (*left)->attachment().predecessor();
  absl::StatusOr<std::unique_ptr<KernelConnections>> connections =
      KernelConnections::Open(engine->partitions(), options.max_connections, predecessor, notes);
  if (!connections.ok()) return connections.status();
  engine->connections_ = *std::move(connections);
  engine->last_ports_ = engine->ports();
  return std::unique_ptr<Engine>(std::move(engine));
}

uint32_t XdpEngine::partitions() const {
  uint32_t sum = 0;
  for (const uint16_t queues : queues_) sum += queues;
  return sum;
}

absl::Status XdpEngine::Publish(std::shared_ptr<const Tables> tables) {
  if (ports_.empty()) return absl::FailedPreconditionError("the engine is closed; open one again to publish");
  absl::Status status = absl::ResourceExhaustedError("");
  if (path_ != nullptr && path_->Fits(*tables)) status = path_->Publish(tables);
  if (absl::IsResourceExhausted(status)) status = MakePath(tables);
  if (status.ok()) current_ = std::move(tables);
  return status;
}

// A program with room for the tables takes the place of the one that is there.
absl::Status XdpEngine::MakePath(const std::shared_ptr<const Tables>& tables) {
  if (absl::Status status = connections_->Settle(*tables).status(); !status.ok()) return status;
  KernelPath::Options options;
  options.room = KernelRoom::For(*tables);
  options.partitions = partitions();
  options.buckets = connections_->buckets();
  options.connections = connections_->array();
  absl::StatusOr<std::unique_ptr<KernelPath>> made = KernelPath::Load(options);
  if (!made.ok()) return made.status();
  std::vector<sluice_ingress> interfaces;
  uint32_t first = 0;
  for (uint32_t i = 0; i < ports_.size(); i++) {
    const uint32_t direct = ports_[i]->SendsBack() ? i : SLUICE_PORTS;
    interfaces.push_back(
        {static_cast<uint32_t>(ports_[i]->ifindex()), static_cast<uint16_t>(i), queues_[i], first, direct});
    first += queues_[i];
    if (absl::Status status = (*made)->SetDevice(i, ports_[i]->ifindex()); !status.ok()) return status;
  }
  (*made)->SetIngress(interfaces);
  if (absl::Status status = (*made)->Publish(tables); !status.ok()) return status;
  std::unique_ptr<KernelPath> before = std::exchange(path_, *std::move(made));
  if (absl::Status status = AttachAll(); !status.ok()) {
    // Whoever has taken the new one goes back; at the first start there is nothing to go back to.
    if (before != nullptr) {
      path_ = std::move(before);
      AttachAll().IgnoreError();
    }
    return status;
  }
  connections_->EndInheritance();
  if (before != nullptr) {
    counted_before_.listeners.resize(current_->listener_count());
    counted_before_.backends.resize(current_->backend_slots());
    before->AddCounters(&counted_before_);
  }
  return absl::OkStatus();
}

absl::Status XdpEngine::AttachAll() {
  for (const std::unique_ptr<XdpPort>& port : ports_) {
    if (absl::Status status = port->attachment().Attach(path_->program()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

EngineCounters XdpEngine::ReadCounters() {
  EngineCounters sum = counted_before_;
  if (current_ != nullptr) {
    sum.listeners.resize(std::max<size_t>(sum.listeners.size(), current_->listener_count()));
    sum.backends.resize(std::max<size_t>(sum.backends.size(), current_->backend_slots()));
  }
  sum.listener_answers.resize(sum.listeners.size());
  sum.backend_answers.resize(sum.backends.size());
  if (path_ != nullptr) path_->AddCounters(&sum);
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
  sessions_->Sweep(current_->view(), MonotonicNow());
}

void XdpEngine::Announce(absl::Span<const Address> addresses) {
  announcements_.insert(announcements_.end(), addresses.begin(), addresses.end());
}

// A bounded number at a time; the rest at the next Poll.
void XdpEngine::SendAnnouncements(EngineNews* news) {
  for (size_t sent = 0; sent < kAnnouncementsAtOnce && !announcements_.empty(); sent++) {
    for (size_t i = 0; i < ports_.size(); i++) {
      const absl::Status status = ports_[i]->Send(AnnouncementFrame(announcements_.front(), last_ports_[i].mac));
      if (status.ok()) continue;
      // One sentence for all of them: the link will ask for those that it needs.
      news->messages.push_back(
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
  std::vector<EnginePort> ports = this->ports();
  news.ports_changed = ports != last_ports_;
  last_ports_ = std::move(ports);
  return news;
}

void XdpEngine::Close() {
  if (options_.leave && path_ != nullptr) {
    for (const std::unique_ptr<XdpPort>& port : ports_) port->attachment().Leave();
  }
  ports_.clear();
  path_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> OpenXdpEngine(const XdpOptions& options, std::vector<std::string>* notes) {
  return XdpEngine::Open(options, notes);
}

absl::StatusOr<bool> RemoveXdp(const std::string& interface) {
  absl::StatusOr<std::unique_ptr<XdpPort>> port = XdpPort::Open(interface);
  if (!port.ok()) return port.status();
  if ((*port)->attachment().predecessor() < 0) return false;
  const absl::Status removed = (*port)->attachment().Remove();
  return removed.ok() ? absl::StatusOr<bool>(true) : removed;
}

}  // namespace sluice
