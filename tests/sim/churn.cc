#include "tests/sim/churn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "config/load.h"
#include "sluice/hash.h"

namespace sluice::sim_test {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1'000 * kMillisecond;
constexpr uint32_t kWorkers = 4;
constexpr uint64_t kConnections = 8192;
constexpr size_t kFlows = 500;
// Quiet for so long, then a flood; together a round.
constexpr uint32_t kQuietSeconds = 420;
constexpr uint32_t kRoundSeconds = 600;
constexpr uint32_t kLongestIdleSeconds = 130;
// The 12 bits of the path's clock come round a thousand seconds after the start.
constexpr uint64_t kStart = (3ull * (SLUICE_TICK_MASK + 1) << SLUICE_TICK_SHIFT) - 1'000 * kSecond;

uint32_t TagOf(const sluice_settings& settings, const Tuple& tuple) {
  sluice_flow flow{};
  std::copy(tuple.source.bytes.begin(), tuple.source.bytes.end(), reinterpret_cast<uint8_t*>(&flow.source));
  std::copy(tuple.destination.bytes.begin(), tuple.destination.bytes.end(),
            reinterpret_cast<uint8_t*>(&flow.destination));
  flow.source_port = SLUICE_16(tuple.source_port);
  flow.destination_port = SLUICE_16(tuple.destination_port);
  flow.protocol = tuple.protocol;
  return static_cast<uint32_t>(sluice_hash_flow(&settings, &flow) << SLUICE_ENTRY_TAG_SHIFT >> SLUICE_ENTRY_TAG_SHIFT);
}

}  // namespace

Churn::Churn(uint64_t seed) : random_(seed), now_(kStart), oracle_(&site_) {
  SimOptions options;
  options.workers = kWorkers;
  options.max_connections = kConnections;
  options.ports = {{"eth0", Mac{2, 0, 0, 0, 0, 1}, 1500, true, Site::kInterfaces[0], "sim"},
                   {"eth1", Mac{2, 0, 0, 0, 0, 2}, 1500, true, Site::kInterfaces[1], "sim"}};
  options.clock = [this] { return now_; };
  absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  engine_ = std::make_unique<WatchedEngine>(*std::move(engine));
  Controller::Options control;
  control.engine = engine_.get();
  control.next_hops = &next_hops_;
  control.health = &health_;
  control.hash_key.fill(static_cast<uint8_t>(Random(256)));
  controller_ = std::make_unique<Controller>(control);
  for (SitePool& pool : site_.pools()) {
    for (const SiteBackend& backend : pool.backends) next_hops_.Resolve(backend.address, backend.hop);
  }
  Apply();
  controller_->Tick();
}

void Churn::Run(uint32_t seconds) {
  for (uint32_t second = 0; second < seconds && !testing::Test::HasFailure(); second++) {
    Second(second % kRoundSeconds >= kQuietSeconds);
    if (second % 60 == 0) CheckBooks();
  }
  CheckBooks();
  TickFor(kLongestIdleSeconds * 100);
  EXPECT_EQ(engine_->Entries(), 0u) << "entries are left after every idle time";
  const std::vector<uint32_t>& flows = engine_->occupancy().flows_of_slot;
  EXPECT_EQ(std::accumulate(flows.begin(), flows.end(), 0u), 0u);
}

void Churn::Second(bool flood) {
  // Floods of both kinds, in turn: flows that show one packet, and flows that look like any other.
  const bool confirmed = (now_ - kStart) / kSecond / kRoundSeconds % 2 == 1;
  for (uint32_t slice = 0; slice < 10; slice++) {
    // Changes come in rows, so that one meets what the last one left behind.
    changing_ = Chance(changing_ ? 50 : 3);
    if (changing_) ChangeSomething();
    Traffic();
    if (flood) Flood(confirmed);
    TickFor(10);
  }
  fullest_ = std::max(fullest_, engine_->Entries());
}

// As the daemon does, a hundred times a second: all of the table is swept in that time.
void Churn::TickFor(uint32_t ticks) {
  for (uint32_t tick = 0; tick < ticks; tick++) {
    now_ += 10 * kMillisecond;
    controller_->Tick();
  }
}

void Churn::CheckBooks() {
  const EngineCounters counters = engine_->ReadCounters();
  EXPECT_EQ(counters.received, received_);
  EXPECT_EQ(counters.bytes, bytes_);
  EXPECT_EQ(std::accumulate(counters.verdicts.begin(), counters.verdicts.end(), uint64_t{0}), received_);
  uint64_t sent = 0;
  uint64_t flows = 0;
  for (const sluice_traffic& traffic : counters.backends) {
    sent += traffic.packets;
    flows += traffic.new_flows;
  }
  EXPECT_EQ(sent, counters.verdicts[SLUICE_VERDICT_forwarded]);
  EXPECT_EQ(engine_->PacketsByBackend(), oracle_.forwarded());
  uint64_t flows_of_listeners = 0;
  for (const sluice_traffic& traffic : counters.listeners) flows_of_listeners += traffic.new_flows;
  EXPECT_EQ(flows, flows_of_listeners);
}

void Churn::ChangeSomething() {
  changes_++;
  SitePool& pool = site_.pools()[Random(site_.pools().size())];
  SiteBackend& backend = pool.backends[Random(pool.backends.size())];
  switch (Random(10)) {
    case 0: {
      std::vector<uint32_t> workers(128);
      for (uint32_t& worker : workers) worker = static_cast<uint32_t>(Random(kWorkers));
      engine_->sim().SetRssIndirection(std::move(workers));
      rss_epoch_++;
      break;
    }
    case 1:
    case 2:
    case 3:
      ChangeNextHop(backend);
      break;
    default:
      ChangeBackend(backend);
  }
}

void Churn::ChangeBackend(SiteBackend& backend) {
  const std::vector<SiteBackend>& all = site_.pools()[backend.pool].backends;
  const auto present = std::count_if(all.begin(), all.end(), [](const SiteBackend& one) { return one.present; });
  if (backend.present && Chance(40)) {
    backend.weight = static_cast<uint32_t>(Random(5));
    return Apply();
  }
  if (backend.present && present == 1) return;
  // A backend that comes back has its slot again, and entries that no sweep has met yet are its flows again, wherever
  // these have gone meanwhile.
  if (!backend.present && now_ - backend.left < 3 * kSecond) return;
  backend.present = !backend.present;
  if (!backend.present) {
    backend.left = now_;
    return Apply();
  }
  backend.incarnation++;
  backend.weight = static_cast<uint32_t>(Random(5));
  Apply();
  // Its next hop is learned.
  controller_->Tick();
}

void Churn::ChangeNextHop(SiteBackend& backend) {
  backend.reachable = !backend.reachable || Chance(50);
  if (backend.reachable) {
    site_.Move(backend);
    next_hops_.Resolve(backend.address, backend.hop);
  } else {
    next_hops_.Fail(backend.address, backend.name + " does not answer");
  }
  controller_->Tick();
}

void Churn::Apply() {
  absl::StatusOr<LoadedConfig> loaded = LoadConfigText(site_.Yaml(), "churn.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.status() << "\n" << site_.Yaml();
  const uint32_t before = controller_->generation();
  const absl::StatusOr<uint32_t> generation = controller_->Apply(loaded->config);
  ASSERT_TRUE(generation.ok()) << generation.status();
  EXPECT_EQ(*generation, before + 1);
  EXPECT_EQ(engine_->tables().generation(), *generation);
}

Tuple Churn::NewTuple(const SiteListener& listener, uint8_t network) {
  Tuple tuple;
  tuple.destination = listener.address;
  tuple.destination_port = listener.port;
  tuple.protocol = listener.number;
  do {
    tuple.source = listener.address;
    tuple.source.bytes[listener.address.IsIpv4() ? 12 : 6] = network;
    for (size_t i = 13; i < 15; i++) tuple.source.bytes[i] = static_cast<uint8_t>(Random(256));
    tuple.source.bytes[15] = static_cast<uint8_t>(1 + Random(250));
    tuple.source_port = static_cast<uint16_t>(1024 + Random(60000));
  } while (!tags_.insert(TagOf(*engine_->tables().view().settings, tuple)).second);
  return tuple;
}

void Churn::AddFlow() {
  auto flow = std::make_unique<Flow>();
  flow->listener = static_cast<uint32_t>(Random(site_.listeners().size()));
  flow->tuple = NewTuple(site_.listeners()[flow->listener], 10);
  flow->port = static_cast<uint16_t>(Random(2));
  flow->rss_epoch = rss_epoch_;
  flows_made_++;
  if (flow->tuple.protocol == SLUICE_IP_TCP) {
    Send(*flow, Kind::kSyn, TcpFrame(flow->tuple, kFlagSyn, 0));
    // A client that repeats itself, or several packets of a flow in one burst.
    if (Chance(10)) Send(*flow, Kind::kSyn, TcpFrame(flow->tuple, kFlagSyn, 0));
    if (Chance(10)) Send(*flow, Kind::kData, TcpFrame(flow->tuple, kFlagAck, 100));
  } else {
    ActUdp(*flow);
  }
  flow->due = now_ + Random(3 * kSecond);
  flows_.push_back(std::move(flow));
}

void Churn::Send(Flow& flow, Kind kind, Bytes bytes) {
  bytes_ += bytes.size();
  packets_.push_back({std::move(bytes), flow.port});
  sent_.push_back({&flow, kind});
}

void Churn::Act(Flow& flow) {
  // Most are busy; some sleep until just before or just after they are forgotten.
  const uint64_t idle = site_.listeners()[flow.listener].idle_seconds * kSecond;
  flow.due = now_ + (Chance(95) ? Random(8 * kSecond) : idle - 2 * kSecond + Random(10 * kSecond));
  if (flow.fragment != 0) {
    Send(flow, Kind::kLaterFragment, LaterFragment(flow.tuple, std::exchange(flow.fragment, 0)));
  } else if (flow.tuple.protocol == SLUICE_IP_TCP) {
    ActTcp(flow);
  } else {
    ActUdp(flow);
  }
}

void Churn::ActTcp(Flow& flow) {
  // Between workers there is no order: an error and what it is about do not travel together.
  if (Chance(7)) return Send(flow, Kind::kIcmpError, IcmpError(flow.tuple));
  // A port is used again, on the same queue: what another queue remembers of the old connection is not what this is
  // about.
  if (flow.state == SLUICE_STATE_CLOSING && Chance(60)) {
    if (flow.rss_epoch == rss_epoch_ && Chance(50)) return Send(flow, Kind::kSyn, TcpFrame(flow.tuple, kFlagSyn, 0));
    flow.over = true;
    return;
  }
  if (flow.state == SLUICE_STATE_CONFIRMED && Chance(12)) {
    return Send(flow, Kind::kClose, TcpFrame(flow.tuple, Chance(50) ? kFlagFin | kFlagAck : kFlagRst, 0));
  }
  Send(flow, Kind::kData, TcpFrame(flow.tuple, kFlagAck, Random(1400)));
  if (Chance(10)) Send(flow, Kind::kData, TcpFrame(flow.tuple, kFlagAck, 0));
}

void Churn::ActUdp(Flow& flow) {
  const uint64_t choice = Random(100);
  if (choice < 60) return Send(flow, Kind::kData, UdpFrame(flow.tuple, Random(1400)));
  if (choice < 66 && flow.backend != nullptr) return Send(flow, Kind::kIcmpError, IcmpError(flow.tuple));
  if (choice < 72 && flow.backend != nullptr) {
    flow.over = true;
    return;
  }
  const uint32_t id = ++next_fragment_;
  if (choice < 80) Send(flow, Kind::kEarlyFragment, LaterFragment(flow.tuple, id));
  Send(flow, Kind::kFirstFragment, FirstFragment(flow.tuple, id));
  if (choice < 92) return Send(flow, Kind::kLaterFragment, LaterFragment(flow.tuple, id));
  flow.fragment = id;
  flow.due = now_ + Random(20 * kSecond);
}

std::vector<SimResult> Churn::Receive(const std::vector<SimPacket>& packets) {
  const Evictions before = engine_->ReadCounters().inserted_over;
  std::vector<SimResult> results = engine_->sim().Receive(packets);
  received_ += packets.size();
  oracle_.Begin(now_, before, engine_->ReadCounters().inserted_over);
  return results;
}

void Churn::Traffic() {
  packets_.clear();
  sent_.clear();
  for (const std::unique_ptr<Flow>& flow : flows_) {
    if (flow->due <= now_) Act(*flow);
  }
  for (int i = 0; i < 5 && flows_.size() < kFlows; i++) AddFlow();
  const std::vector<SimResult> results = Receive(packets_);
  for (size_t i = 0; i < sent_.size(); i++) oracle_.Judge(*sent_[i].flow, sent_[i].kind, results[i]);
  std::erase_if(flows_, [](const std::unique_ptr<Flow>& flow) { return flow->over; });
}

void Churn::Flood(bool confirmed) {
  std::vector<SimPacket> packets;
  for (int i = 0; i < 25; i++) {
    const Tuple tuple = NewTuple(site_.listeners()[0], 11);
    const auto port = static_cast<uint16_t>(Random(2));
    packets.push_back({TcpFrame(tuple, kFlagSyn, 0), port});
    if (confirmed) packets.push_back({TcpFrame(tuple, kFlagAck, 0), port});
  }
  for (const SimPacket& packet : packets) bytes_ += packet.bytes.size();
  for (const SimResult& result : Receive(packets)) oracle_.JudgeStranger(0, result);
}

void Churn::Summarize(uint32_t seconds) {
  const EngineCounters counters = engine_->ReadCounters();
  const Evictions& evicted = counters.inserted_over;
  std::printf(
      "churn: %u s, %lu packets, %lu flows, %lu changes, %u generations; stayed %lu, might change %lu; evicted %lu "
      "confirmed, %lu new, %lu closing; %lu without a place; at most %u entries; %u RSS tables, %u slots reused, %lu "
      "fragments lost\n",
      seconds, received_, flows_made_, changes_, controller_->generation(), oracle_.stays(), oracle_.changes(),
      evicted[SLUICE_VICTIM_CONFIRMED], evicted[SLUICE_VICTIM_NEW], evicted[SLUICE_VICTIM_CLOSING],
      evicted[SLUICE_VICTIM_NONE], fullest_, rss_epoch_, engine_->slots_reused(), oracle_.lost_fragments());
  if (seconds < 2 * kRoundSeconds) return;
  EXPECT_GT(oracle_.stays(), oracle_.changes());
  for (const sluice_victim victim :
       {SLUICE_VICTIM_CONFIRMED, SLUICE_VICTIM_NEW, SLUICE_VICTIM_CLOSING, SLUICE_VICTIM_NONE}) {
    EXPECT_GT(evicted[victim], 0u) << victim;
  }
  EXPECT_GT(rss_epoch_, 5u);
  EXPECT_GT(engine_->slots_reused(), 3u);
  EXPECT_GT(counters.verdicts[SLUICE_VERDICT_unknown_fragment], 100u);
  EXPECT_GT(counters.verdicts[SLUICE_VERDICT_no_next_hop], 10u);
}

}  // namespace sluice::sim_test
