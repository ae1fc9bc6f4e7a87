#include "control/controller.h"

#include <google/protobuf/util/message_differencer.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clock.h"
#include "control/check_targets.h"

namespace sluice {
namespace {

// As often as a backend is checked at most.
constexpr uint32_t kTicksBetweenLatencies = 10;
// Before others have their turn on this thread.
constexpr int kProbesAtOnce = 256;

// Which fields of `engine` differ that only a restart can change.
std::vector<std::string> FixedFields(const v1::Engine& running, const v1::Engine& wanted) {
  std::vector<std::string> names;
  const google::protobuf::Descriptor* descriptor = v1::Engine::descriptor();
  for (int i = 0; i < descriptor->field_count(); i++) {
    const google::protobuf::FieldDescriptor* field = descriptor->field(i);
    if (field->name() == "tunnel_source") continue;
    google::protobuf::util::MessageDifferencer differencer;
    const std::vector<const google::protobuf::FieldDescriptor*> one = {field};
    if (!differencer.CompareWithFields(running, wanted, one, one)) names.push_back("engine." + field->name());
  }
  return names;
}

ProbeFamilies ProbedFamilies(const std::vector<CheckedBackend>& checked) {
  ProbeFamilies families;
  for (const CheckedBackend& backend : checked) {
    if (!backend.target.via.has_value()) continue;
    (backend.target.via->address.IsIpv4() ? families.ipv4 : families.ipv6) = true;
  }
  return families;
}

std::vector<Address> BackendAddresses(const v1::Config& config) {
  absl::flat_hash_set<Address> addresses;
  for (const v1::Pool& pool : config.pools()) {
    for (const v1::Backend& backend : pool.backends()) {
      const absl::StatusOr<Address> address = ParseAddress(backend.address());
      if (address.ok()) addresses.insert(*address);
    }
  }
  std::vector<Address> sorted(addresses.begin(), addresses.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace

Controller::Controller(const Options& options)
    : options_(options),
      ports_(options.engine->ports()),
      states_(options.health),
      flow_ender_(std::make_unique<FlowEnder>(options.engine)),
      probe_forwarder_(options.engine) {}

absl::StatusOr<uint32_t> Controller::Apply(std::shared_ptr<const v1::Config> shared) {
  const v1::Config& config = *shared;
  if (absl::Status status = CheckFixed(config); !status.ok()) return status;
  const absl::StatusOr<std::vector<CheckedBackend>> checked = ReadCheckTargets(config);
  if (!checked.ok()) return checked.status();
  const BackendNames unhealthy = states_.UnhealthyOf(config, *checked);
  const absl::Time now = options_.clock();
  Effective next = effective_.Next(config, now);
  next.Refresh(unhealthy, states_, now);
  absl::StatusOr<std::shared_ptr<const Tables>> tables = Build(next.config(), unhealthy, nullptr);
  if (!tables.ok()) return tables.status();
  const ProbeFamilies probed = ProbedFamilies(*checked);
  // What the old checks need stays until the new ones are in force.
  const ProbeFamilies both{probed_.ipv4 || probed.ipv4, probed_.ipv6 || probed.ipv6};
  if (absl::Status status = WantProbes(both); !status.ok()) return status;
  if (absl::Status status = Publish(*tables); !status.ok()) {
    WantProbes(probed_).IgnoreError();
    return status;
  }
  effective_ = std::move(next);
  change_ = {};
  probe_forwarder_.Follow(config);
  states_.Watch(*config_, config, *checked);
  config_ = std::move(shared);
  TellRoles();
  WatchBackends(effective_.config());
  observer_.Watch(*checked);
  WantProbes(probed).IgnoreError();
  probed_ = probed;
  AnnounceNew(**tables);
  return generation_;
}

absl::Status Controller::Check(const v1::Config& config) const {
  if (absl::Status status = CheckFixed(config); !status.ok()) return status;
  return ReadCheckTargets(config).status();
}

absl::Status Controller::CheckFixed(const v1::Config& config) const {
  if (generation_ == 0) return absl::OkStatus();
  std::vector<std::string> fixed = FixedFields(config_->engine(), config.engine());
  if (!google::protobuf::util::MessageDifferencer::Equals(config_->api(), config.api())) fixed.push_back("api");
  if (config_->admin().listen() != config.admin().listen()) fixed.push_back("admin.listen");
  if (fixed.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(absl::StrJoin(fixed, ", "), " cannot change while sluiced runs; restart it for that"));
}

absl::StatusOr<std::shared_ptr<const Tables>> Controller::Build(const v1::Config& config, const BackendNames& unhealthy,
                                                                const InputChange* change) {
  const std::vector<PortDescription> ports = DescribePorts();
  BuildInput input;
  input.config = &config;
  input.hash_key = options_.hash_key;
  input.next_hops = &next_hops_;
  input.ports = ports;
  input.unhealthy = &unhealthy;
  input.change = change;
  const uint64_t begin = MonotonicNow();
  absl::StatusOr<std::shared_ptr<const Tables>> tables = builder_.Build(input);
  build_timing_.Add(MonotonicNow() - begin);
  return tables;
}

std::vector<PortDescription> Controller::DescribePorts() const {
  std::vector<PortDescription> ports;
  ports.reserve(ports_.size());
  for (const EnginePort& port : ports_) ports.push_back({port.mac, port.mtu});
  return ports;
}

absl::Status Controller::Publish(std::shared_ptr<const Tables> tables) {
  const uint64_t begin = MonotonicNow();
  if (absl::Status status = options_.engine->Publish(tables); !status.ok()) return status;
  const uint64_t end = MonotonicNow();
  publish_timing_.Add(end - begin);
  switched_at_ = options_.engine->switched_at() != 0 ? options_.engine->switched_at() : end;
  const bool renamed = tables_ == nullptr || tables->front() != tables_->front();
  tables_ = std::move(tables);
  generation_ = tables_->generation();
  if (renamed) traffic_.Follow(*tables_, options_.engine);
  flow_ender_->Follow(*tables_);
  stale_ = false;
  FollowRetired(builder_.RetiredSlots(), &retired_);
  FollowRetired(builder_.RetiredListeners(), &retired_listeners_);
  return absl::OkStatus();
}

// What is retired is free after a whole sweep that began later and found nothing of it.
void Controller::FollowRetired(const std::vector<uint32_t>& slots, Retired* retired) const {
  const RetiredSlot now{options_.engine->occupancy().sweeps, options_.engine->session_occupancy().sweeps};
  for (const uint32_t slot : slots) retired->try_emplace(slot, now);
  const std::set<uint32_t> still(slots.begin(), slots.end());
  absl::erase_if(*retired, [&still](const auto& entry) { return !still.contains(entry.first); });
}

void Controller::WatchBackends(const v1::Config& config) {
  std::vector<Address> addresses = BackendAddresses(config);
  if (addresses == watched_) return;
  options_.next_hops->Watch(addresses);
  watched_ = std::move(addresses);
  const auto gone = [this](const auto& entry) {
    return !std::binary_search(watched_.begin(), watched_.end(), entry.first);
  };
  absl::erase_if(next_hops_, gone);
}

void Controller::AnnounceNew(const Tables& tables) {
  std::vector<Address> fresh;
  for (const VirtualAddress& address : tables.virtual_addresses()) {
    const bool known = std::find(announced_.begin(), announced_.end(), address) != announced_.end();
    if (address.announce && !known) fresh.push_back(address.address);
  }
  announced_ = tables.virtual_addresses();
  if (!fresh.empty()) options_.engine->Announce(fresh);
}

void Controller::Tick() {
  options_.engine->Sweep();
  FollowPorts();
  FollowNextHops();
  const absl::Time now = options_.clock();
  if (tables_ != nullptr) observer_.Tick(now, *tables_, options_.engine, &states_);
  for (std::string& pool : states_.Tick()) {
    change_.pools.insert(std::move(pool));
    stale_ = true;
  }
  if (states_.TakeShareChange()) effective_.ShareChanged();
  if (effective_.IsDue(now)) stale_ = true;
  ReleaseSlots();
  TellLatencies();
  if (tables_ != nullptr) flow_ender_->Tick(*tables_, now);
  if (stale_ && generation_ > 0) Rebuild();
}

absl::Status Controller::WantProbes(const ProbeFamilies& families) {
  return options_.probes == nullptr ? absl::OkStatus() : options_.probes->Want(families);
}

void Controller::ForwardProbes() {
  const std::vector<PortDescription> ports = DescribePorts();
  for (int i = 0; i < kProbesAtOnce; i++) {
    const std::optional<ProbePacket> probe = options_.probes->Take();
    if (!probe.has_value()) return;
    const auto hop = next_hops_.find(probe->backend);
    if (tables_ == nullptr || hop == next_hops_.end()) continue;
    probe_forwarder_.Forward(*probe, hop->second, ports, *tables_->view().settings);
  }
}

void Controller::TellRoles() {
  for (const std::string& news : effective_.TakeNews()) spdlog::info("{}", news);
}

void Controller::TellLatencies() {
  if (tables_ == nullptr || ++ticks_ < kTicksBetweenLatencies) return;
  ticks_ = 0;
  const std::vector<BackendLatency> latencies = latencies_.Read(*tables_, states_);
  if (!latencies.empty()) options_.engine->SetLatencies(latencies);
}

void Controller::FollowPorts() {
  const EngineNews news = options_.engine->Poll();
  for (const std::string& message : news.messages) spdlog::info("{}", message);
  for (const std::string& warning : news.warnings) spdlog::warn("{}", warning);
  if (!news.ports_changed) return;
  std::vector<EnginePort> ports = options_.engine->ports();
  std::vector<Address> all;
  for (size_t i = 0; i < ports.size(); i++) {
    const bool came_up = ports[i].link_up && !ports_[i].link_up;
    if (!came_up && ports[i].mac == ports_[i].mac) continue;
    for (const VirtualAddress& address : announced_) {
      if (address.announce) all.push_back(address.address);
    }
    break;
  }
  ports_ = std::move(ports);
  for (const Address& address : watched_) Learn(address);
  stale_ = true;
  if (!all.empty()) options_.engine->Announce(all);
}

void Controller::FollowNextHops() {
  for (const Address& address : options_.next_hops->TakeChanges()) Learn(address);
}

// Takes what is known of the backend's next hop into the next build.
void Controller::Learn(const Address& address) {
  const Resolution resolution = options_.next_hops->Find(address);
  std::string reason = resolution.reason;
  const auto port = std::find_if(ports_.begin(), ports_.end(), [&](const EnginePort& candidate) {
    return candidate.kernel_ifindex != 0 && candidate.kernel_ifindex == resolution.next_hop.ifindex;
  });
  if (resolution.resolved() && port != ports_.end()) {
    const NextHop& hop = resolution.next_hop;
    BackendNextHop next;
    next.port = static_cast<uint16_t>(port - ports_.begin());
    next.vlan = hop.vlan;
    next.source = hop.source;
    next.destination = hop.destination;
    next.mtu = std::min(hop.mtu, port->mtu);
    const auto [at, inserted] = next_hops_.try_emplace(address, next);
    if (!inserted && at->second == next) return;
    at->second = next;
    states_.NextHopFound(address);
    NextHopChanged(address);
    spdlog::info("backend {}: next hop {} on {}", FormatAddress(address), FormatMac(hop.destination), port->name);
    return;
  }
  if (resolution.resolved()) {
    reason =
        absl::StrCat("the kernel's route leads through ", resolution.interface, ", which is not of engine.interfaces");
  }
  if (next_hops_.erase(address) > 0) NextHopChanged(address);
  if (resolution.state == Resolution::State::kResolving) return;
  // Others may have to be used in its place.
  if (!states_.IsMissing(address)) NextHopChanged(address);
  states_.NextHopMissing(address, reason);
}

void Controller::NextHopChanged(const Address& address) {
  change_.next_hops.insert(address);
  stale_ = true;
}

void Controller::Rebuild() {
  const bool left = effective_.Refresh(states_.unhealthy(), states_, options_.clock(), &change_);
  absl::StatusOr<std::shared_ptr<const Tables>> tables = Build(effective_.config(), states_.unhealthy(), &change_);
  absl::Status status = tables.status();
  // The builder has it from here on, whoever runs the tables.
  if (status.ok()) change_ = {};
  if (status.ok()) status = Publish(*std::move(tables));
  stale_ = false;
  retry_ = !status.ok();
  if (left) WatchBackends(effective_.config());
  if (status.ok()) return TellRoles();
  spdlog::error("a change of next hops, ports or health is not published: {}", std::string(status.message()));
}

void Controller::ReleaseSlots() {
  const Engine::Occupancy& occupancy = options_.engine->occupancy();
  const Engine::SessionOccupancy& sessions = options_.engine->session_occupancy();
  if (occupancy.sweeps == sweeps_seen_ && sessions.sweeps == session_sweeps_seen_) return;
  // About once a second.
  if (occupancy.sweeps != sweeps_seen_) {
    if (retry_) stale_ = true;
    ReportRefusals();
  }
  sweeps_seen_ = occupancy.sweeps;
  session_sweeps_seen_ = sessions.sweeps;
  // The sweep that was under way at retirement may have passed an entry already: the one after it counts.
  const auto swept = [&](const RetiredSlot& slot) {
    return occupancy.sweeps >= slot.sweeps_when_retired + 2 && sessions.sweeps >= slot.session_sweeps_when_retired + 2;
  };
  absl::erase_if(retired_, [&](const auto& entry) {
    const bool used = occupancy.flows_of_slot[entry.first] > 0 || sessions.of_slot[entry.first] > 0;
    if (used || !swept(entry.second)) return false;
    builder_.ReleaseSlot(entry.first);
    return true;
  });
  absl::erase_if(retired_listeners_, [&](const auto& entry) {
    if (sessions.of_listener[entry.first] > 0 || !swept(entry.second)) return false;
    builder_.ReleaseListener(entry.first);
    return true;
  });
}

// Once for each second in which there were any: whoever is refused looks at the log first.
void Controller::ReportRefusals() {
  const EngineCounters counters = options_.engine->ReadCounters();
  const uint64_t ports = counters.verdicts[SLUICE_VERDICT_no_nat_port];
  const uint64_t sessions = counters.verdicts[SLUICE_VERDICT_sessions_full];
  if (ports > ports_refused_) {
    spdlog::warn(
        "{} packets of new flows refused: every port of the NAT addresses toward their backend is taken; add to "
        "engine.nat_addresses, or shorten the timeouts of the listener",
        ports - ports_refused_);
  }
  if (sessions > sessions_refused_) {
    spdlog::warn("{} packets of new flows refused: all {} sessions are in use; raise engine.max_sessions",
                 sessions - sessions_refused_, options_.engine->session_occupancy().sessions);
  }
  ports_refused_ = ports;
  sessions_refused_ = sessions;
}

absl::Time Controller::SteadyTime() {
  return absl::FromUnixNanos(static_cast<int64_t>(MonotonicNow()));
}

void Controller::Timing::Add(uint64_t duration) {
  count++;
  sum += duration;
  last = duration;
}

bool Controller::settled() const {
  return std::all_of(watched_.begin(), watched_.end(), [this](const Address& address) {
    return next_hops_.contains(address) || states_.IsMissing(address);
  });
}

}  // namespace sluice
