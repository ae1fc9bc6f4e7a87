#include "engine/dpdk/dpdk_engine.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <set>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "engine/announce.h"
#include "engine/counters.h"
#include "engine/dpdk/answer_rss.h"
#include "engine/dpdk/eal.h"
#include "engine/dpdk/flow_tables.h"
#include "engine/dpdk/local_addresses.h"
#include "engine/dpdk/port_set.h"
#include "engine/dpdk/stand_in.h"
#include "engine/dpdk/worker.h"

namespace sluice {
namespace {

constexpr uint64_t kPublishPatienceNs = 2'000'000'000;
constexpr uint64_t kPortCheckIntervalNs = 250'000'000;
constexpr size_t kAnnouncementsAtOnce = 256;

// Mbufs of the ports and of the control thread, with room to spare.
uint32_t PacketMemoryMib(const DpdkOptions& options) {
  uint64_t bytes = uint64_t{32} << 20;
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    // Mbufs are of the usual size at least.
    const uint64_t mtu = std::max<uint64_t>(interface.mtu, 1500);
    const uint64_t room = interface.name.empty() ? mtu + 1024 : 512;
    bytes += uint64_t{options.workers} * (6144 + uint64_t{options.kept_packets}) * room;
    bytes += uint64_t{4096} * (mtu + 512);
  }
  return static_cast<uint32_t>(bytes >> 20) + 1;
}

absl::Status CheckOptions(const DpdkOptions& options) {
  if (options.interfaces.empty()) {
    return absl::InvalidArgumentError("the engine needs an interface; add one to engine.interfaces");
  }
  if (options.workers == 0) {
    return absl::InvalidArgumentError("the engine needs a worker; set engine.workers to 1 or more");
  }
  const bool kernel = !options.interfaces[0].name.empty();
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    if (interface.name.empty() == kernel) {
      return absl::InvalidArgumentError(
          "kernel interfaces (name) and DPDK devices (pci, device) cannot be mixed; use one kind for all of "
          "engine.interfaces");
    }
  }
  return absl::OkStatus();
}

int RunWorker(void* worker) {
  static_cast<Worker*>(worker)->Run();
  return 0;
}

class DpdkEngine : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const DpdkOptions& options, std::vector<std::string>* notes);
  ~DpdkEngine() override { Close(); }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override;
  uint64_t switched_at() const override { return switched_at_; }
  EngineCounters ReadCounters() override;
  std::vector<EnginePort> ports() override;
  void Sweep() override;
  const Occupancy& occupancy() const override { return flows_->connections().occupancy(); }
  const SessionOccupancy& session_occupancy() const override { return flows_->sessions().occupancy(); }
  const std::vector<Partition>& partitions() const override { return flows_->connections().partitions(); }
  const std::vector<SessionPartition>& session_partitions() const override { return flows_->sessions().partitions(); }
  void SetLatencies(absl::Span<const BackendLatency> latencies) override {
    loads_.SetLatencies(latencies, LoadedWorkers());
  }
  void Announce(absl::Span<const Address> addresses) override {
    announcements_.insert(announcements_.end(), addresses.begin(), addresses.end());
    SendAnnouncements();
  }
  bool Send(absl::Span<const uint8_t> frame, uint16_t port) override;
  EngineNews Poll() override;
  void Close() override;

 private:
  explicit DpdkEngine(DpdkOptions options) : options_(std::move(options)) {}
  absl::Status MakeStandIn();
  absl::Status CreateWorkers();
  absl::Status Settle(const Tables& tables);
  absl::Status PublishToKernel();
  std::vector<LoadedWorker> LoadedWorkers() const;
  // By workers of the kernel that there have been.
  absl::Span<const sluice_traffic> CountedByTheGone() const {
    if (stand_in_ == nullptr) return {};
    return stand_in_->forwarding().counted_before();
  }
  absl::Status StartWorkers();
  void Switch(std::shared_ptr<const Tables> tables);
  bool WaitForWorkers();
  bool running() const { return launched_ > 0 && launched_ == workers_.size(); }
  absl::Status SetVirtualAddresses(const std::set<Address>& addresses);
  absl::Status SetServices(const std::vector<Service>& services);
  void FollowLocalAddresses(EngineNews* news);
  void SendAnnouncements();
  bool FollowPorts(EngineNews* news);

  const DpdkOptions options_;
  std::unique_ptr<PortSet> ports_;
  std::unique_ptr<FlowTables> flows_;
  // Over kernel interfaces.
  std::unique_ptr<StandIn> stand_in_;
  rte_rcu_qsbr* qsbr_ = nullptr;
  std::vector<std::unique_ptr<Worker>> workers_;
  // The worker that sends what comes from the kernel's sides, whose threads start before it exists.
  std::atomic<Worker*> injector_ = nullptr;
  // Lcores that run a worker; fewer than all when one could not be started.
  uint32_t launched_ = 0;
  std::atomic<const sluice_tables*> view_ = nullptr;
  uint64_t switched_at_ = 0;
  std::shared_ptr<const Tables> current_;
  // Whose addresses and services the ports have.
  std::shared_ptr<const TablesFront> front_;
  Loads loads_;
  // Generations that a worker may still be reading because it did not answer in time.
  std::vector<std::shared_ptr<const Tables>> unreleased_;
  std::set<Address> virtual_addresses_;
  std::vector<Service> services_;
  std::set<Address> local_addresses_;
  // For the next Poll.
  EngineNews news_;
  std::deque<Address> announcements_;
  // Nobody stands in for workers: the kernel has refused to.
  bool stands_alone_ = false;
  std::vector<EnginePort> last_ports_;
  uint64_t last_port_check_ = 0;
};

absl::StatusOr<std::unique_ptr<Engine>> DpdkEngine::Open(const DpdkOptions& options, std::vector<std::string>* notes) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  EalOptions eal;
  eal.workers = options.workers;
  eal.huge_pages = options.huge_pages;
  eal.memory_mib = PacketMemoryMib(options);
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    if (!interface.pci.empty()) eal.pci.push_back(interface.pci);
    if (absl::StrContains(interface.device, "zero-copy=yes")) eal.single_file = true;
  }
  if (absl::Status status = StartEal(eal, notes); !status.ok()) return status;
  auto engine = std::unique_ptr<DpdkEngine>(new DpdkEngine(options));
  DpdkEngine* self = engine.get();
  // Frames from the kernel's side leave by the first worker: they are few.
  auto inject = [self](rte_mbuf* packet, uint16_t port) {
    Worker* worker = self->injector_.load(std::memory_order_acquire);
    return worker != nullptr && worker->Inject(packet, port);
  };
  absl::StatusOr<std::unique_ptr<PortSet>> ports = PortSet::Open(options, inject, notes);
  if (!ports.ok()) return ports.status();
  engine->ports_ = *std::move(ports);
  absl::StatusOr<std::unique_ptr<FlowTables>> flows = FlowTables::Take(options, *engine->ports_, notes);
  if (!flows.ok()) return flows.status();
  engine->flows_ = *std::move(flows);
  if (absl::Status status = engine->MakeStandIn(); !status.ok()) return status;
  if (absl::Status status = engine->CreateWorkers(); !status.ok()) return status;
  engine->last_ports_ = engine->ports();
  // Links come up in their own time: perhaps since the kernel's sides were made.
  for (uint32_t i = 0; i < engine->ports_->size(); i++) {
    if (absl::Status status = engine->ports_->TellKernelSide(i); !status.ok()) return status;
  }
  return std::unique_ptr<Engine>(std::move(engine));
}

absl::Status DpdkEngine::MakeStandIn() {
  if (flows_->kernel_connections() == nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<StandIn>> stand_in = StandIn::Create(
      ports_->afxdp(), flows_->kernel_connections(), flows_->kernel_sessions(), options_.takeover_after);
  if (!stand_in.ok()) return stand_in.status();
  stand_in_ = *std::move(stand_in);
  return absl::OkStatus();
}

absl::Status DpdkEngine::CreateWorkers() {
  const DpdkOptions& options = options_;
  workers_.clear();
  rte_free(qsbr_);
  qsbr_ =
      static_cast<rte_rcu_qsbr*>(rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(options.workers), RTE_CACHE_LINE_SIZE));
  if (qsbr_ == nullptr || rte_rcu_qsbr_init(qsbr_, options.workers) != 0) {
    return absl::ResourceExhaustedError("no memory for the workers' quiescent states");
  }
  AnswerRss answers;
  answers.owners = std::make_shared<NatOwners>(options.workers);
  if (options.max_sessions > 0) {
    std::vector<Port*> all;
    for (uint32_t i = 0; i < ports_->size(); i++) all.push_back(&ports_->port(i));
    answers = ChooseAnswerRss(all, options.workers, flows_->nat_ports());
    news_.messages = std::move(answers.messages);
  }
  for (uint32_t i = 0; i < options.workers; i++) {
    Worker::Options worker_options;
    worker_options.index = i;
    worker_options.queues = ports_->ReceiveQueues(i);
    for (Worker::Queue& queue : worker_options.queues) {
      if (stand_in_ != nullptr) queue.owner = stand_in_->owner(queue.partition);
    }
    worker_options.transmit = ports_->TransmitQueues(i);
    worker_options.tables = &view_;
    worker_options.qsbr = qsbr_;
    worker_options.pool = ports_->control_pool();
    worker_options.spin = options.spin;
    if (stand_in_ != nullptr) worker_options.wait_for_kernel = [this] { stand_in_->WaitForPackets(); };
    absl::StatusOr<std::unique_ptr<Worker>> worker =
        Worker::Create(std::move(worker_options), flows_->connections().partitions(),
                       {flows_->sessions().partitions(), i, flows_->nat_ports(), answers.owners});
    if (!worker.ok()) return worker.status();
    rte_rcu_qsbr_thread_register(qsbr_, i);
    workers_.push_back(*std::move(worker));
  }
  injector_.store(workers_[0].get(), std::memory_order_release);
  return absl::OkStatus();
}

absl::Status DpdkEngine::StartWorkers() {
  for (; launched_ < workers_.size(); launched_++) {
    if (rte_eal_remote_launch(RunWorker, workers_[launched_].get(), launched_ + 1) != 0) {
      return absl::InternalError(absl::StrCat("worker ", launched_,
                                              " does not start: its lcore is busy with another engine of this "
                                              "process; close that one first"));
    }
  }
  return absl::OkStatus();
}

// Additions come to the workers after the tables that know them, removals before.
absl::Status DpdkEngine::Publish(std::shared_ptr<const Tables> tables) {
  if (ports_ == nullptr) return absl::FailedPreconditionError("the engine is closed; open one again to publish");
  if (absl::Status status = Settle(*tables); !status.ok()) return status;
  std::shared_ptr<const Tables> old = current_;
  if (running() && tables->front() == front_) {
    Switch(std::move(tables));
    absl::Status status = PublishToKernel();
    if (!status.ok()) Switch(std::move(old));
    return status;
  }
  front_ = nullptr;
  std::set<Address> next;
  for (const VirtualAddress& address : tables->virtual_addresses()) next.insert(address.address);
  const std::set<Address> before = virtual_addresses_;
  std::set<Address> both;
  std::set_intersection(next.begin(), next.end(), before.begin(), before.end(), std::inserter(both, both.begin()));
  if (absl::Status status = SetVirtualAddresses(both); !status.ok()) return status;
  Switch(std::move(tables));
  absl::Status status = running() ? absl::OkStatus() : StartWorkers();
  if (status.ok()) status = SetVirtualAddresses(next);
  const std::vector<Service> services_before = services_;
  if (status.ok()) status = SetServices(current_->services());
  if (status.ok()) status = PublishToKernel();
  if (status.ok()) front_ = current_->front();
  if (status.ok() || old == nullptr) return status;
  Switch(std::move(old));
  SetVirtualAddresses(before).IgnoreError();
  SetServices(services_before).IgnoreError();
  return status;
}

// Before the first tables: workers work on the connections that an instance before us has left, once it is known whose
// they are.
absl::Status DpdkEngine::Settle(const Tables& tables) {
  if (current_ != nullptr) return absl::OkStatus();
  const absl::StatusOr<bool> moved = flows_->Settle(tables);
  if (!moved.ok()) return moved.status();
  return *moved ? CreateWorkers() : absl::OkStatus();
}

// The first time it may fail: then workers have what they need, and nobody stands in for them.
absl::Status DpdkEngine::PublishToKernel() {
  if (stand_in_ == nullptr || stands_alone_) return absl::OkStatus();
  const absl::Status status = stand_in_->Publish(current_);
  if (status.ok() || stand_in_->forwarding().attached()) return status;
  stands_alone_ = true;
  news_.warnings.push_back(absl::StrCat("the kernel cannot stand in for workers: ", std::string(status.message())));
  for (AfxdpPort* port : ports_->afxdp()) {
    if (absl::Status redirected = port->Redirect(); !redirected.ok()) return redirected;
  }
  return absl::OkStatus();
}

// Answers of a server that is gone find no session, so there is no order to be kept with the tables.
absl::Status DpdkEngine::SetServices(const std::vector<Service>& services) {
  if (services == services_) return absl::OkStatus();
  EngineNews news;
  if (!services.empty()) FollowLocalAddresses(&news);
  for (uint32_t i = 0; i < ports_->size(); i++) {
    if (absl::Status status = ports_->port(i).SetServices(services); !status.ok()) {
      for (uint32_t j = 0; j <= i; j++) ports_->port(j).SetServices(services_).IgnoreError();
      return status;
    }
  }
  services_ = services;
  return absl::OkStatus();
}

// What servers send to the node itself stays the kernel's.
void DpdkEngine::FollowLocalAddresses(EngineNews* news) {
  std::set<Address> addresses = ReadLocalAddresses();
  if (addresses == local_addresses_) return;
  const std::vector<Address> list(addresses.begin(), addresses.end());
  for (uint32_t i = 0; i < ports_->size(); i++) {
    const absl::Status status = ports_->port(i).SetLocalAddresses(list);
    if (!status.ok()) news->warnings.push_back(std::string(status.message()));
  }
  local_addresses_ = std::move(addresses);
}

// All workers run `tables` from here on, and have left the old ones, which a worker that hangs keeps alive.
void DpdkEngine::Switch(std::shared_ptr<const Tables> tables) {
  loads_.Follow(tables->load_terms(), tables->listener_terms(), LoadedWorkers(), CountedByTheGone());
  std::shared_ptr<const Tables> old = std::exchange(current_, std::move(tables));
  view_.store(&current_->view(), std::memory_order_release);
  const bool all_left = launched_ == 0 || WaitForWorkers();
  switched_at_ = MonotonicNow();
  if (all_left) {
    unreleased_.clear();
    return;
  }
  unreleased_.push_back(std::move(old));
  news_.warnings.push_back(absl::StrCat("a worker has not left the tables before generation ", current_->generation(),
                                        " for 2 s: it hangs or gets no CPU; their memory is kept"));
}

bool DpdkEngine::WaitForWorkers() {
  const uint64_t token = rte_rcu_qsbr_start(qsbr_);
  const uint64_t deadline = MonotonicNow() + kPublishPatienceNs;
  while (rte_rcu_qsbr_check(qsbr_, token, false) == 0) {
    if (MonotonicNow() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return true;
}

// On all ports, or as before on all of them.
absl::Status DpdkEngine::SetVirtualAddresses(const std::set<Address>& addresses) {
  if (addresses == virtual_addresses_) return absl::OkStatus();
  const std::vector<Address> list(addresses.begin(), addresses.end());
  for (uint32_t i = 0; i < ports_->size(); i++) {
    absl::Status status = ports_->port(i).SetVirtualAddresses(list);
    if (status.ok()) continue;
    // The one that failed as well: it may have done a part.
    const std::vector<Address> before(virtual_addresses_.begin(), virtual_addresses_.end());
    for (uint32_t j = 0; j <= i; j++) ports_->port(j).SetVirtualAddresses(before).IgnoreError();
    return status;
  }
  virtual_addresses_ = addresses;
  return absl::OkStatus();
}

EngineCounters DpdkEngine::ReadCounters() {
  EngineCounters sum;
  if (current_ != nullptr) {
    sum.listeners.resize(current_->listener_count());
    sum.backends.resize(current_->backend_slots());
  }
  if (stand_in_ != nullptr) stand_in_->forwarding().AddCounters(&sum);
  // The kernel's partitions are none.
  sum.workers.clear();
  for (const std::unique_ptr<Worker>& worker : workers_) {
    AddCounters(worker->counters(), &sum);
    if (flows_->kernel_sessions() == nullptr) AddCounters(worker->session_counters(), &sum);
    sum.kernel_dropped += worker->kernel_full();
  }
  for (uint32_t i = 0; ports_ != nullptr && i < ports_->size(); i++) {
    const PortCounters counters = ports_->port(i).ReadCounters();
    sum.port_receive_dropped += counters.receive_dropped;
    sum.port_transmit_dropped += counters.transmit_dropped;
    const KernelSide* kernel = ports_->kernel(i);
    if (kernel == nullptr) continue;
    const KernelSide::Counters kernel_counters = kernel->ReadCounters();
    sum.kernel_dropped += kernel_counters.to_kernel_dropped + kernel_counters.from_kernel_dropped;
  }
  return sum;
}

std::vector<EnginePort> DpdkEngine::ports() {
  std::vector<EnginePort> result;
  for (uint32_t i = 0; ports_ != nullptr && i < ports_->size(); i++) {
    const PortInfo info = ports_->port(i).info();
    const KernelSide* kernel = ports_->kernel(i);
    const int ifindex = kernel != nullptr ? kernel->ifindex() : info.kernel_ifindex;
    result.push_back({info.name, info.mac, info.mtu, info.link_up, ifindex, info.mode});
  }
  return result;
}

void DpdkEngine::Sweep() {
  if (current_ == nullptr || ports_ == nullptr) return;
  flows_->connections().Sweep(current_->view(), MonotonicNow());
  flows_->sessions().Sweep(current_->view(), MonotonicNow());
  loads_.Tell(LoadedWorkers(), CountedByTheGone(), occupancy(), session_occupancy());
}

// The kernel's too, which stand in for ours.
std::vector<LoadedWorker> DpdkEngine::LoadedWorkers() const {
  std::vector<LoadedWorker> workers;
  if (stand_in_ != nullptr) workers = stand_in_->forwarding().loaded_workers();
  for (const std::unique_ptr<Worker>& worker : workers_) workers.push_back(worker->loaded());
  return workers;
}

// As many as the first worker takes; the rest at the next Poll.
void DpdkEngine::SendAnnouncements() {
  if (!running()) return;
  for (size_t sent = 0; sent < kAnnouncementsAtOnce && !announcements_.empty(); sent++) {
    for (uint16_t port = 0; port < ports_->size(); port++) {
      if (!Send(AnnouncementFrame(announcements_.front(), last_ports_[port].mac), port)) return;
    }
    announcements_.pop_front();
  }
}

// By the first worker.
bool DpdkEngine::Send(absl::Span<const uint8_t> frame, uint16_t port) {
  if (!running() || port >= ports_->size()) return true;
  rte_mbuf* packet = rte_pktmbuf_alloc(ports_->control_pool());
  if (packet == nullptr) return false;
  std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
  if (workers_[0]->Inject(packet, port)) return true;
  rte_pktmbuf_free(packet);
  return false;
}

EngineNews DpdkEngine::Poll() {
  EngineNews news = std::exchange(news_, {});
  if (ports_ == nullptr) return news;
  const uint64_t now = MonotonicNow();
  if (now - last_port_check_ >= kPortCheckIntervalNs) {
    last_port_check_ = now;
    news.ports_changed = FollowPorts(&news);
    if (stand_in_ != nullptr) {
      for (std::string& warning : stand_in_->TakeNews()) news.warnings.push_back(std::move(warning));
    }
    if (!services_.empty()) FollowLocalAddresses(&news);
  }
  SendAnnouncements();
  return news;
}

bool DpdkEngine::FollowPorts(EngineNews* news) {
  ports_->GiveBack([this] { return launched_ == 0 || WaitForWorkers(); }, &news->warnings);
  std::vector<EnginePort> now = ports();
  if (now == last_ports_) return false;
  for (uint32_t i = 0; i < now.size(); i++) {
    if (now[i] == last_ports_[i]) continue;
    (now[i].link_up ? news->messages : news->warnings)
        .push_back(absl::StrCat("port ", now[i].name, ": link ", now[i].link_up ? "up" : "down", ", MAC ",
                                FormatMac(now[i].mac), ", MTU ", now[i].mtu));
    const absl::Status status = ports_->TellKernelSide(i);
    if (!status.ok()) news->warnings.push_back(std::string(status.message()));
  }
  last_ports_ = std::move(now);
  return true;
}

void DpdkEngine::Close() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Stop();
  for (; launched_ > 0; launched_--) rte_eal_wait_lcore(launched_);
  // Threads first, then who holds packets, then where packets live.
  if (ports_ != nullptr) ports_->CloseKernelSides();
  injector_.store(nullptr);
  workers_.clear();
  if (options_.leave && ports_ != nullptr && stand_in_ != nullptr && stand_in_->forwarding().attached()) {
    for (AfxdpPort* port : ports_->afxdp()) port->attachment().Leave();
  }
  ports_.reset();
  stand_in_.reset();
  rte_free(qsbr_);
  qsbr_ = nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> OpenDpdkEngine(const DpdkOptions& options, std::vector<std::string>* notes) {
  return DpdkEngine::Open(options, notes);
}

}  // namespace sluice
