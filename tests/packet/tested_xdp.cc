// The engine in the kernel as tests drive it, by BPF_PROG_TEST_RUN on the very program that is attached to interfaces.
// In a network namespace of its own, whose two interfaces are the ports; nothing is attached to them.
//
//   port 0: tested0 ==== tested1 :port 1
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "engine/counters.h"
#include "engine/loads.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/kernel_sessions.h"
#include "tests/bpf/kernel.h"
#include "tests/packet/notation.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {
namespace {

// One worker has both ports: connections by port, sessions by worker.
constexpr uint32_t kPartitions = kTestedPorts;
constexpr uint32_t kSessionPartitions = 1;
constexpr const char* kInterfaces[kTestedPorts] = {"tested0", "tested1"};

uint64_t Verdicts(const EngineCounters& counters, uint32_t kind) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    if (sluice_verdict_kind(i) == kind) sum += counters.verdicts[i];
  }
  return sum;
}

class TestedXdp : public TestedEngine {
 public:
  absl::Status Open(const TestedOptions& options) {
    std::vector<std::string> notes;
    absl::StatusOr<std::unique_ptr<KernelConnections>> connections =
        KernelConnections::Open(kPartitions, options.max_connections, {}, &notes);
    if (!connections.ok()) return connections.status();
    connections_ = *std::move(connections);
    if (options.max_sessions > 0) {
      absl::StatusOr<std::unique_ptr<KernelSessions>> sessions = KernelSessions::Open(
          {0, kSessionPartitions}, options.max_sessions, sluice_nat_ports_around(32768, 60999), {});
      if (!sessions.ok()) return sessions.status();
      sessions_ = *std::move(sessions);
    }
    for (uint16_t port = 0; port < kTestedPorts; port++) {
      const uint32_t ifindex = if_nametoindex(kInterfaces[port]);
      if (ifindex == 0) return absl::NotFoundError(absl::StrCat("no interface ", kInterfaces[port]));
      ingress_.push_back({ifindex, 1, port, 0, port, port, 1, {}});
    }
    return absl::OkStatus();
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override {
    absl::Status status = absl::ResourceExhaustedError("none yet");
    if (path_ != nullptr && path_->Fits(*tables)) status = path_->Publish(tables);
    if (absl::IsResourceExhausted(status)) {
      status = Load(*tables);
      if (status.ok()) status = path_->Publish(tables);
    }
    if (status.ok()) loads_.Follow(tables->load_terms(), tables->listener_terms(), path_->loaded_workers(), {});
    tables_ = std::move(tables);
    return status;
  }

  std::string Unable(const Tables& tables) const override {
    const sluice_backend* backends = tables.view().backends;
    const bool tells = std::any_of(backends, backends + tables.backend_slots(), [](const sluice_backend& backend) {
      return backend.flags & (SLUICE_BACKEND_PROXY | SLUICE_BACKEND_TOA);
    });
    return tells ? "the kernel tells servers no client's address" : "";
  }

  absl::StatusOr<Sent> Process(absl::Span<const std::string> frames, uint16_t from) override {
    Sent sent;
    const EngineCounters before = ReadVerdicts();
    std::array<uint64_t, SLUICE_KIND_DROP + 1> by_action{};
    for (const std::string& frame : frames) {
      xdp_md context{};
      context.ingress_ifindex = ingress_.at(from).ifindex;
      uint32_t action = XDP_ABORTED;
      std::string out = RunProgram(path_->program(), frame, &action, &context);
      if (action == XDP_PASS && out != frame) return absl::InternalError("the kernel gets another packet than came");
      by_action[action == XDP_PASS ? SLUICE_KIND_PASS : action == XDP_DROP ? SLUICE_KIND_DROP : SLUICE_KIND_TRANSMIT]++;
      if (action == XDP_TX) sent[from].push_back(std::move(out));
      // There are two ports.
      if (action == XDP_REDIRECT) sent[1 - from].push_back(std::move(out));
    }
    const EngineCounters after = ReadVerdicts();
    for (const auto kind : {SLUICE_KIND_TRANSMIT, SLUICE_KIND_PASS, SLUICE_KIND_DROP}) {
      const uint64_t counted = Verdicts(after, kind) - Verdicts(before, kind);
      if (counted == by_action[kind]) continue;
      return absl::InternalError(absl::StrCat(counted, " verdicts of kind ", kind, ", and ", by_action[kind],
                                              " packets whose action says so"));
    }
    return sent;
  }

  EngineCounters ReadCounters() override {
    EngineCounters sum = past_;
    MakeRoom(&sum);
    path_->AddCounters(&sum);
    if (sessions_ != nullptr) sessions_->AddCounters(&sum);
    sum.verdicts[SLUICE_VERDICT_pass_not_virtual] -= strays_;
    sum.received -= strays_;
    sum.bytes -= stray_bytes_;
    return sum;
  }

  Flows CountFlows(uint32_t slots) override {
    ConnectionTables& connections = connections_->tables();
    const uint64_t sweeps = connections.occupancy().sweeps;
    while (connections.occupancy().sweeps == sweeps) connections.Sweep(tables_->view(), MonotonicNow());
    Flows flows{connections.occupancy().flows_of_slot, {}};
    if (sessions_ != nullptr) {
      SessionTables& sessions = sessions_->tables();
      for (int sweep = 0; sweep < 2; sweep++) {
        const uint64_t before = sessions.occupancy().sweeps;
        while (sessions.occupancy().sweeps == before) sessions.Sweep(tables_->view(), MonotonicNow());
        EndExpired();
      }
      flows.sessions = sessions.occupancy().of_slot;
    }
    flows.connections.resize(slots);
    flows.sessions.resize(slots);
    return flows;
  }

 private:
  absl::Status Load(const Tables& tables) {
    if (path_ != nullptr) {
      MakeRoom(&past_);
      path_->AddCounters(&past_);
    }
    KernelPath::Options options;
    options.room = KernelRoom::For(tables);
    options.partitions = kPartitions;
    options.buckets = connections_->buckets();
    options.connections = connections_->array();
    if (sessions_ != nullptr) options.sessions = sessions_->arrays();
    absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
    if (!path.ok()) return path.status();
    for (const sluice_ingress& ingress : ingress_) {
      absl::Status status = (*path)->SetDevice(ingress.port, static_cast<int>(ingress.ifindex));
      if (!status.ok()) return status;
    }
    // The second one is to be found behind another, whose place in the table is the same.
    sluice_ingress other = ingress_.at(0);
    other.ifindex = ingress_.at(1).ifindex + SLUICE_INGRESS;
    (*path)->SetIngress({other, ingress_.at(0), ingress_.at(1)});
    path_ = *std::move(path);
    return absl::OkStatus();
  }

  // What the sweep has found to be over ends with the packets that come next, one each: these are nobody's, and not
  // counted.
  void EndExpired() {
    const std::string stray = Packet("eth/ipv4(src=192.0.2.251, dst=192.0.2.250)/udp");
    const sluice_expired& queue = *sessions_->tables().partitions()[0].expired;
    while (queue.head != queue.tail) {
      xdp_md context{};
      context.ingress_ifindex = ingress_[0].ifindex;
      uint32_t action = XDP_ABORTED;
      RunProgram(path_->program(), stray, &action, &context);
      strays_++;
      stray_bytes_ += stray.size();
    }
  }

  // Indices only ever grow.
  void MakeRoom(EngineCounters* sum) const {
    sum->listeners.resize(tables_->listener_count());
    sum->backends.resize(tables_->backend_slots());
    sum->listener_answers.resize(sum->listeners.size());
    sum->backend_answers.resize(sum->backends.size());
  }

  // Without traffic.
  EngineCounters ReadVerdicts() const {
    EngineCounters counters;
    path_->AddCounters(&counters);
    return counters;
  }

  std::vector<sluice_ingress> ingress_;
  std::unique_ptr<KernelConnections> connections_;
  // Null where nothing is to be translated.
  std::unique_ptr<KernelSessions> sessions_;
  std::shared_ptr<const Tables> tables_;
  std::unique_ptr<KernelPath> path_;
  // Weights and limits; whoever counts is alone here.
  Loads loads_;
  uint64_t strays_ = 0;
  uint64_t stray_bytes_ = 0;
  // Of those that had less room.
  EngineCounters past_;
};

}  // namespace

absl::Status MakeTestedXdpInterfaces() {
  if (unshare(CLONE_NEWNET) != 0) return absl::ErrnoToStatus(errno, "a network namespace for the test");
  for (const char* command : {"ip link set lo up", "ip link add tested0 type veth peer name tested1",
                              "ip link set tested0 up", "ip link set tested1 up"}) {
    if (std::system(command) != 0) return absl::InternalError(absl::StrCat("'", command, "' failed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedXdp(const TestedOptions& options) {
  auto engine = std::make_unique<TestedXdp>();
  if (absl::Status status = engine->Open(options); !status.ok()) return status;
  return std::unique_ptr<TestedEngine>(std::move(engine));
}

}  // namespace sluice::packet_test
