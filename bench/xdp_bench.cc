// ns a packet of the engine in the kernel, by BPF_PROG_TEST_RUN, beside a reference in the same run that keeps its
// flows in the kernel's LRU hash and is the same path otherwise (xdp_reference.bpf.c). The wrapper's own cost, measured
// in the same round with an empty body, is taken off both.
//
// Each iteration is a round of all three, which begin in turn; counters are of all rounds:
//   ns, least            the engine's median and fastest round
//   reference, wrapper   the reference's median, and the wrapper's own
//   %reference           engine to reference, medians; %least of the fastest rounds
//   again                rounds that were taken again, because the wrapper alone was slow: the host was busy with
//   others peer, %peer          what the best-known XDP balancer takes, as measured by its own means on an Intel Xeon
//   (Emerald
//                        Rapids) at 2.3 GHz, fastest of many; the engine's median to that
//
// Needs root.
#include <benchmark/benchmark.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "xdp_fixture.h"

namespace sluice::bench {
namespace {

constexpr uint64_t kRoom = 1'000'000;
constexpr uint32_t kReferenceRoom = 4'000'000;
constexpr uint32_t kFewest = 200'000;
constexpr uint32_t kNewFlows = 100'000;
// A round is taken again when its wrapper took so much more than the fastest one, so often in a repetition.
constexpr double kQuiet = 1.15;
constexpr uint32_t kPatience = 10;
constexpr uint32_t kFirstLooks = 20;
constexpr std::array kSides = {Side::kNothing, Side::kPath, Side::kReference};

// What the tables have been through when new flows come.
enum class History { kNone, kUsed, kFull };

struct Row {
  std::string name;
  XdpTraffic traffic;
  // Established; 0: every packet is of a new flow.
  uint32_t flows = 0;
  uint64_t room = kRoom;
  History history = History::kNone;
  // ns; 0 where nobody has measured it.
  double peer = 0;
};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}
double Least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

// A row's programs and tables, and its rounds.
class Run {
 public:
  explicit Run(const Row& row) : row_(row) {}

  // ns a packet by side.
  using Sides = std::array<double, kSides.size()>;

  absl::Status Prepare();
  // What the wrapper takes while the host is not busy; before the first round.
  absl::Status LookAtWrapper();
  absl::StatusOr<Sides> Round();
  void BeginRepetition() { again_ = 0; }
  uint32_t again() const { return again_; }
  uint32_t packets() const { return row_.flows == 0 ? kNewFlows : std::max(row_.flows, kFewest); }
  const Row& row() const { return row_; }
  const XdpFixture& fixture() const { return *fixture_; }

 private:
  absl::StatusOr<Sides> TakeRound();
  absl::Status Check();
  absl::Status Fill();
  absl::StatusOr<double> Measure(Side side);

  const Row& row_;
  std::unique_ptr<XdpFixture> fixture_;
  // How many flows there have been where they are not forgotten: the reference's, and sessions.
  uint32_t next_ = 0;
  uint32_t rounds_ = 0;
  // In this repetition, taken again.
  uint32_t again_ = 0;
  // The fastest wrapper, ns a packet.
  double wrapper_ = std::numeric_limits<double>::infinity();
};

absl::Status Run::Prepare() {
  absl::StatusOr<std::unique_ptr<XdpFixture>> fixture = XdpFixture::Open(row_.traffic, row_.room, kReferenceRoom);
  if (!fixture.ok()) return fixture.status();
  fixture_ = *std::move(fixture);
  next_ = 0;
  if (row_.flows != 0) {
    if (absl::Status status = fixture_->Establish(row_.flows); !status.ok()) return status;
  }
  if (absl::Status status = Check(); !status.ok()) return status;
  return row_.history == History::kNone ? absl::OkStatus() : Fill();
}

// What is measured is what leaves.
absl::Status Run::Check() {
  for (const Side side : {Side::kPath, Side::kReference}) {
    if (absl::Status status = fixture_->Check(side, row_.flows == 0); !status.ok()) return status;
  }
  next_ += row_.flows == 0;
  return absl::OkStatus();
}

// Both tables have been full; of a used one, half has gone again.
absl::Status Run::Fill() {
  const auto connections = static_cast<uint32_t>(2 * row_.room);
  const uint32_t flows = kReferenceRoom + kReferenceRoom / 8;
  for (int packet = 0; packet < 2; packet++) {
    if (auto status = fixture_->RunEach(Side::kPath, connections, 0, false).status(); !status.ok()) return status;
  }
  if (auto status = fixture_->RunEach(Side::kReference, flows, 0, false).status(); !status.ok()) return status;
  next_ = flows;
  if (row_.history == History::kFull) return absl::OkStatus();
  fixture_->ClearHalf();
  return fixture_->ForgetReference(flows - kReferenceRoom / 2, kReferenceRoom / 2);
}

// Established flows have each had a packet in this tick, as they have with traffic that goes on.
absl::StatusOr<double> Run::Measure(Side side) {
  if (row_.flows == 0) {
    if (row_.history == History::kNone) fixture_->Clear();
    return fixture_->RunEach(side, kNewFlows, next_, true);
  }
  if (auto status = fixture_->RunEach(side, row_.flows, 0, false).status(); !status.ok()) return status;
  return fixture_->RunRandom(side, packets(), row_.flows);
}

absl::Status Run::LookAtWrapper() {
  for (uint32_t i = 0; i < kFirstLooks; i++) {
    const absl::StatusOr<double> ns = Measure(Side::kNothing);
    if (!ns.ok()) return ns.status();
    wrapper_ = std::min(wrapper_, *ns / packets());
  }
  return absl::OkStatus();
}

// Tables with a history are not the same after a round.
absl::StatusOr<Run::Sides> Run::Round() {
  if (row_.history != History::kNone) return TakeRound();
  for (;; again_++) {
    absl::StatusOr<Sides> round = TakeRound();
    if (!round.ok()) return round;
    wrapper_ = std::min(wrapper_, round->front());
    if (round->front() <= kQuiet * wrapper_ || again_ >= kPatience) return round;
  }
}

absl::StatusOr<Run::Sides> Run::TakeRound() {
  // Fresh ones have room for so many rounds.
  const uint64_t most = row_.traffic.translates() ? row_.room / 2 : kReferenceRoom / 2;
  if (row_.flows == 0 && row_.history == History::kNone && next_ + kNewFlows > most) {
    if (absl::Status status = Prepare(); !status.ok()) return status;
  }
  Sides result{};
  for (size_t i = 0; i < kSides.size(); i++) {
    const size_t side = (rounds_ + i) % kSides.size();
    const absl::StatusOr<double> ns = Measure(kSides[side]);
    if (!ns.ok()) return ns.status();
    result[side] = *ns / packets();
  }
  if (row_.flows == 0) next_ += kNewFlows;
  rounds_++;
  return result;
}

// The benchmark library asks for a row several times, until it has been long enough: the tables stay.
Run* Prepared(const Row& row, benchmark::State& state) {
  static std::unique_ptr<Run> run;
  if (run != nullptr && &run->row() == &row) return run.get();
  // Before there is another one: it has much memory.
  run.reset();
  run = std::make_unique<Run>(row);
  absl::Status status = run->Prepare();
  if (status.ok()) status = run->LookAtWrapper();
  if (status.ok()) return run.get();
  state.SkipWithError(status.ToString().c_str());
  run.reset();
  return nullptr;
}

void Report(const Row& row, const Run& run, const std::array<std::vector<double>, kSides.size()>& rounds,
            benchmark::State& state) {
  const auto& [nothing, path, reference] = rounds;
  const double ns = Median(path) - Median(nothing);
  const double reference_ns = Median(reference) - Median(nothing);
  const double least = Least(path) - Least(nothing);
  state.counters["ns"] = ns;
  state.counters["least"] = least;
  state.counters["reference"] = reference_ns;
  state.counters["wrapper"] = Median(nothing);
  state.counters["again"] = run.again();
  state.counters["%reference"] = 100 * ns / reference_ns;
  state.counters["%least"] = 100 * least / (Least(reference) - Least(nothing));
  if (row.peer == 0) return;
  state.counters["peer"] = row.peer;
  state.counters["%peer"] = 100 * ns / row.peer;
}

void RunRow(benchmark::State& state, const Row& row) {
  Run* run = Prepared(row, state);
  if (run == nullptr) return;
  std::array<std::vector<double>, kSides.size()> rounds;
  run->BeginRepetition();
  for (auto _ : state) {
    const absl::StatusOr<Run::Sides> round = run->Round();
    if (!round.ok()) return state.SkipWithError(round.status().ToString().c_str());
    for (size_t side = 0; side < kSides.size(); side++) rounds[side].push_back((*round)[side]);
    state.SetIterationTime((*round)[1] * run->packets() * 1e-9);
  }
  Report(row, *run, rounds, state);
}

// Of PEERS' figures, ns.
double EstablishedPeer(const XdpTraffic& traffic, uint32_t flows) {
  if (traffic.forwarding != "ipip") return 0;
  struct {
    bool ipv6, udp;
    uint32_t flows;
    double ns;
  } constexpr kMeasured[] = {{false, false, 1, 75},          {false, false, 1'000, 89}, {false, false, 64'000, 233},
                             {false, false, 1'000'000, 309}, {false, true, 1'000, 118}, {false, true, 64'000, 267},
                             {true, false, 1'000, 72},       {true, false, 64'000, 221}};
  for (const auto& one : kMeasured) {
    if (one.ipv6 == traffic.ipv6 && one.udp == traffic.udp && one.flows == flows) return one.ns;
  }
  return 0;
}

std::string NameOf(const XdpTraffic& traffic) {
  return absl::StrCat(traffic.forwarding, traffic.ipv6 ? "/ipv6" : "/ipv4", traffic.udp ? "/udp" : "/tcp",
                      traffic.reverse ? "/answers" : "");
}

std::vector<Row> Rows() {
  std::vector<Row> rows;
  std::vector<XdpTraffic> all;
  for (const char* forwarding : {"ipip", "gue", "dsr_l2", "nat", "full_nat"}) {
    for (const bool ipv6 : {false, true}) {
      for (const bool udp : {false, true}) {
        all.push_back({forwarding, ipv6, udp});
        XdpTraffic answers = all.back();
        answers.reverse = true;
        if (answers.translates()) all.push_back(answers);
      }
    }
  }
  for (const XdpTraffic& traffic : all) {
    for (const uint32_t flows : {1u, 1'000u, 64'000u, 1'000'000u}) {
      const double peer = EstablishedPeer(traffic, flows);
      for (const uint64_t room : {kRoom, uint64_t{2} * flows}) {
        rows.push_back({absl::StrCat("established/", NameOf(traffic), "/flows:", flows, "/room:", room), traffic, flows,
                        room, History::kNone, peer});
      }
    }
  }
  for (const XdpTraffic& traffic : all) {
    if (traffic.reverse) continue;
    const bool measured = NameOf(traffic) == "ipip/ipv4/tcp";
    rows.push_back(
        {absl::StrCat("new/", NameOf(traffic), "/fresh"), traffic, 0, kRoom, History::kNone, measured ? 450.0 : 0});
    if (!measured) continue;
    rows.push_back({absl::StrCat("new/", NameOf(traffic), "/used"), traffic, 0, kRoom, History::kUsed, 844});
    rows.push_back({absl::StrCat("new/", NameOf(traffic), "/full"), traffic, 0, kRoom, History::kFull, 1108});
  }
  for (const bool ipv6 : {false, true}) {
    const XdpTraffic traffic = {"ipip", ipv6, false, false};
    rows.push_back(
        {absl::StrCat("not_ours/", ipv6 ? "ipv6" : "ipv4"), traffic, 1'000, kRoom, History::kNone, ipv6 ? 0.0 : 40.0});
  }
  return rows;
}

// And what the kernel says of the two programs.
absl::Status Introduce() {
  const absl::StatusOr<std::unique_ptr<XdpFixture>> fixture = XdpFixture::Open({}, kRoom, 1000);
  if (!fixture.ok()) return fixture.status();
  for (const auto& [side, name] : {std::pair(Side::kPath, "engine"), std::pair(Side::kReference, "reference")}) {
    const XdpFixture::Size size = (*fixture)->SizeOf(side);
    benchmark::AddCustomContext(name, absl::StrCat(size.machine_code, " bytes of machine code; the verifier looked at ",
                                                   size.verified, " instructions"));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  if (geteuid() != 0) {
    std::fprintf(stderr, "xdp_bench: loading a BPF program needs root; run: sudo %s\n", argv[0]);
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  spdlog::set_level(spdlog::level::warn);
  if (const absl::Status status = sluice::bench::Introduce(); !status.ok()) {
    std::fprintf(stderr, "xdp_bench: %s\n", status.ToString().c_str());
    return 1;
  }
  const std::vector<sluice::bench::Row> rows = sluice::bench::Rows();
  for (const sluice::bench::Row& row : rows) {
    benchmark::RegisterBenchmark(row.name.c_str(), [&row](benchmark::State& state) {
      sluice::bench::RunRow(state, row);
    })->UseManualTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
