#include "xdp_fixture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "config/load.h"
#include "engine/burst.h"
#include "engine/xdp/bpf_status.h"
#include "engine/xdp/inheritance.h"
#include "tables/builder.h"
#include "xdp_sessions.h"
// The last ones: their types are those of the path.
#include "xdp_reference.skel.h"
#include "xdp_wrapper.skel.h"

namespace sluice::bench {
namespace {

constexpr std::array<uint8_t, 32> kHashKey = {5, 4, 3, 2, 1};
constexpr uint32_t kBackends = 64;
// Room for a packet as it leaves.
constexpr size_t kMostBytes = 256;
// Where packets come in: any interface has a receive queue to come by.
constexpr const char* kInterface = "lo";

absl::StatusOr<std::shared_ptr<const Tables>> MakeTables(XdpTraffic traffic) {
  std::string yaml = "engine:\n  interfaces: [{name: eth0}]\n  tunnel_source: {ipv4: 198.51.100.2}\n";
  if (traffic.translates()) {
    absl::StrAppend(&yaml, "  nat_addresses: [", NatNetwork(false), "64/28, \"", NatNetwork(true), "40/124\"]\n");
  }
  yaml +=
      "listeners:\n"
      "  - {name: four, address: 203.0.113.10, protocol: tcp_udp, ports: [80], pool: four}\n"
      "  - {name: six, address: \"2001:db8::10\", protocol: tcp_udp, ports: [80], pool: six}\n"
      "pools:\n";
  absl::flat_hash_map<Address, BackendNextHop> hops;
  for (const bool ipv6 : {false, true}) {
    traffic.ipv6 = ipv6;
    absl::StrAppend(&yaml, "  - name: ", ipv6 ? "six" : "four", "\n    forwarding: ", traffic.forwarding,
                    "\n    backends:\n");
    for (uint32_t i = 1; i <= kBackends; i++) {
      const std::string address = absl::StrCat(ServerNetwork(traffic), i);
      absl::StrAppend(&yaml, "      - {name: b", i, ", address: \"", address, "\"}\n");
      Mac server = kServerMac;
      server.back() = static_cast<uint8_t>(i);
      hops[*ParseAddress(address)] = {0, 0, {2, 0, 0, 0, 0, 1}, server, 1500};
    }
  }
  absl::StatusOr<LoadedConfig> loaded = LoadConfigText(yaml, "benchmark");
  if (!loaded.ok()) return loaded.status();
  Builder builder;
  const std::vector<PortDescription> ports = {{Mac{2, 0, 0, 0, 0, 1}, 1500}};
  return builder.Build({&loaded->config, kHashKey, &hops, ports});
}

// A map of the program, told by its name, of which the kernel keeps 15 characters, and by its record's size. -1: none.
int OpenMap(int program, std::string_view name, uint32_t record) {
  std::array<uint32_t, 64> ids{};
  bpf_prog_info info{};
  info.nr_map_ids = ids.size();
  info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return -1;
  for (uint32_t i = 0; i < info.nr_map_ids; i++) {
    const int fd = bpf_map_get_fd_by_id(ids.at(i));
    bpf_map_info map{};
    size = sizeof(map);
    if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &size) == 0 && map.value_size == record &&
        name.substr(0, sizeof(map.name) - 1) == map.name) {
      return fd;
    }
    if (fd >= 0) close(fd);
  }
  return -1;
}

double ThreadNs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

absl::StatusOr<std::unique_ptr<XdpFixture>> XdpFixture::Open(const XdpTraffic& traffic, uint64_t connections,
                                                             uint32_t reference_flows) {
  LogLibbpf();
  auto fixture = std::unique_ptr<XdpFixture>(new XdpFixture(traffic));
  if (absl::Status status = fixture->OpenPath(connections); !status.ok()) return status;
  if (absl::Status status = fixture->OpenReference(reference_flows); !status.ok()) return status;
  // One of each session.
  const uint32_t answers = traffic.translates() ? static_cast<uint32_t>(connections) : 1;
  if (absl::Status status = fixture->OpenWrapper(answers); !status.ok()) return status;
  return fixture;
}

XdpFixture::~XdpFixture() {
  xdp_wrapper_bpf::destroy(wrapper_);
  xdp_reference_bpf::destroy(reference_);
  if (connections_ >= 0) close(connections_);
}

absl::Status XdpFixture::OpenPath(uint64_t connections) {
  absl::StatusOr<std::shared_ptr<const Tables>> tables = MakeTables(traffic_);
  if (!tables.ok()) return tables.status();
  tables_ = *tables;
  const uint32_t buckets = BucketsFor(connections);
  const absl::StatusOr<int> array = MakeConnectionArray(buckets);
  if (!array.ok()) return array.status();
  connections_ = *array;
  absl::StatusOr<Region> memory = Region::Share(connections_, size_t{buckets} * sizeof(sluice_bucket));
  if (!memory.ok()) return memory.status();
  connection_memory_ = *std::move(memory);
  KernelPath::Options options;
  options.room = room_ = KernelRoom::For(**tables);
  options.buckets = buckets;
  options.connections = connections_;
  if (traffic_.translates()) {
    if (absl::Status status = OpenSessions(connections); !status.ok()) return status;
    options.sessions = sessions_->arrays();
  }
  absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
  if (!path.ok()) return path.status();
  path_ = *std::move(path);
  path_->SetIngress({{if_nametoindex(kInterface), 1, 0, 0, 0, 0, 0, {}}});
  return path_->Publish(*std::move(tables));
}

// With those that an owner keeps free.
absl::Status XdpFixture::OpenSessions(uint64_t sessions) {
  const sluice_nat_ports ports = sluice_nat_ports_around(32768, 60999);
  absl::StatusOr<std::unique_ptr<KernelSessions>> opened =
      KernelSessions::Open({0, 1}, sessions + SLUICE_MOST_SPARE, ports, {});
  if (!opened.ok()) return opened.status();
  sessions_ = *std::move(opened);
  return absl::OkStatus();
}

// Over the memory of the path.
absl::Status XdpFixture::OpenReference(uint32_t flows) {
  reference_ = xdp_reference_bpf::open();
  if (reference_ == nullptr) return BpfStatus(errno, "opening the reference");
  auto* constants = reference_->rodata;
  constants->sluice_index_room = room_.index;
  constants->sluice_ranges_room = room_.ranges;
  constants->sluice_listeners_room = room_.listeners;
  constants->sluice_pools_room = room_.pools;
  constants->sluice_backends_room = room_.backends;
  constants->sluice_ports_room = room_.ports;
  constants->sluice_partition_buckets = BucketsFor(1);
  constants->sluice_session_terms_room = room_.listeners;
  constants->sluice_nat_addresses_room = room_.nat_addresses;
  if (sessions_ != nullptr) {
    const KernelSessionArrays arrays = sessions_->arrays();
    constants->sluice_session_records = arrays.records;
    constants->sluice_session_buckets = arrays.buckets;
    std::memcpy(const_cast<sluice_nat_ports*>(&constants->sluice_nat_ranges), &arrays.ports, sizeof(arrays.ports));
  }
  const auto& maps = reference_->maps;
  bpf_map__set_max_entries(traffic_.translates() ? maps.reference_sessions : maps.reference_flows, flows);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, reference_->obj) {
    const int fd = OpenMap(path_->program(), bpf_map__name(map), bpf_map__value_size(map));
    if (fd < 0) continue;
    const absl::Cleanup closer = [fd] { close(fd); };
    if (const int error = bpf_map__reuse_fd(map, fd); error != 0) return BpfStatus(-error, bpf_map__name(map));
  }
  if (const int error = xdp_reference_bpf::load(reference_); error != 0) {
    return BpfStatus(-error, "loading the reference");
  }
  const uint32_t key = 0;
  sluice_kernel_state state{};
  if (bpf_map_lookup_elem(bpf_map__fd(maps.sluice_state_map), &key, &state) != 0) {
    return BpfStatus(errno, "reading which half of the tables packets read");
  }
  reference_->bss->sluice_half = state.half;
  reference_->bss->sluice_settings[state.half] = *tables_->view().settings;
  const uint32_t ifindex = if_nametoindex(kInterface);
  reference_->bss->sluice_ingress[ifindex % SLUICE_INGRESS] = {ifindex, 1, 0, 0, 0, 0, 0, {}};
  return absl::OkStatus();
}

absl::Status XdpFixture::OpenWrapper(uint32_t answers) {
  wrapper_ = xdp_wrapper_bpf::open();
  if (wrapper_ == nullptr) return BpfStatus(errno, "opening the wrapper");
  bpf_map__set_max_entries(wrapper_->maps.wrapper_answers, answers);
  if (const int error = xdp_wrapper_bpf::load(wrapper_); error != 0) return BpfStatus(-error, "loading the wrapper");
  wrapper_->bss->wrapper_ipv6 = traffic_.ipv6;
  wrapper_->bss->wrapper_grows = traffic_.ours && traffic_.tunnels();
  const int bodies = bpf_map__fd(wrapper_->maps.wrapper_bodies);
  for (const Side side : {Side::kNothing, Side::kPath, Side::kReference, Side::kFloor}) {
    const auto key = static_cast<uint32_t>(side);
    const int body = program(side);
    if (bpf_map_update_elem(bodies, &key, &body, BPF_ANY) != 0) return BpfStatus(errno, "giving the wrapper its body");
  }
  return absl::OkStatus();
}

int XdpFixture::program(Side side) const {
  switch (side) {
    case Side::kPath:
      return path_->program();
    case Side::kReference:
      return bpf_program__fd(reference_->progs.reference);
    case Side::kFloor:
      return bpf_program__fd(wrapper_->progs.wrapper_floor);
    default:
      return bpf_program__fd(wrapper_->progs.wrapper_nothing);
  }
}

XdpFixture::Size XdpFixture::SizeOf(Side side) const {
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program(side), &info, &size) != 0) return {};
  return {info.verified_insns, info.jited_prog_len};
}

absl::Status XdpFixture::Establish(uint32_t flows) {
  if (traffic_.translates()) return EstablishSessions(flows);
  for (const Side side : {Side::kPath, Side::kReference}) {
    // The second packet confirms a flow.
    for (int packet = 0; packet < 2; packet++) {
      if (auto status = RunClients(side, flows, 0, kAck).status(); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

// The reference gets the very sessions that the path has opened.
absl::Status XdpFixture::EstablishSessions(uint32_t flows) {
  if (auto status = RunClients(Side::kPath, flows, 0, kSyn).status(); !status.ok()) return status;
  const SessionPartition& partition = sessions_->tables().partitions().front();
  answers_ = MakeAnswers(partition, tables_->view());
  if (answers_.size() != flows) {
    return absl::InternalError(absl::StrCat(flows, " flows have ", answers_.size(), " sessions"));
  }
  if (absl::Status status = ShareAnswers(); !status.ok()) return status;
  if (auto status = RunAnswers(Side::kPath, flows, kSynAck).status(); !status.ok()) return status;
  if (auto status = RunClients(Side::kPath, flows, 0, kAck).status(); !status.ok()) return status;
  return CopySessions(partition, tables_->view(), bpf_map__fd(reference_->maps.reference_sessions));
}

absl::Status XdpFixture::ShareAnswers() {
  const size_t bytes = answers_.size() * sizeof(wrapper_answer);
  absl::StatusOr<Region> region = Region::Share(bpf_map__fd(wrapper_->maps.wrapper_answers), bytes);
  if (!region.ok()) return region.status();
  std::memcpy(region->data(), answers_.data(), bytes);
  return absl::OkStatus();
}

void XdpFixture::WritePacket(bool answer, uint8_t tcp_flags) {
  const Packet packet = MakePacket(traffic_, answer, tcp_flags);
  wrapper_->bss->wrapper_answering = answer ? static_cast<uint32_t>(answers_.size()) : 0;
  std::memcpy(&wrapper_->bss->wrapper_first, packet.data(), sizeof(uint64_t));
  std::memcpy(wrapper_->bss->wrapper_packet, packet.data() + 6, sizeof(wrapper_->bss->wrapper_packet));
}

absl::StatusOr<double> XdpFixture::RunRandom(Side side, uint32_t packets, uint32_t flows) {
  if (traffic_.reverse) return RunAnswers(side, packets, kAck);
  WritePacket(false, kAck);
  wrapper_->bss->wrapper_flows = flows;
  // The same for every side.
  wrapper_->bss->wrapper_random = 0x9e3779b97f4a7c15ull + packets;
  return Run(side, packets);
}

absl::StatusOr<double> XdpFixture::RunEach(Side side, uint32_t packets, uint32_t first, bool opening) {
  if (traffic_.reverse) return RunAnswers(side, packets, kAck);
  return RunClients(side, packets, first, opening ? kSyn : kAck);
}

absl::StatusOr<double> XdpFixture::RunClients(Side side, uint32_t packets, uint32_t first, uint8_t tcp_flags) {
  WritePacket(false, tcp_flags);
  wrapper_->bss->wrapper_flows = 0;
  wrapper_->bss->wrapper_next = first;
  return Run(side, packets);
}

absl::StatusOr<double> XdpFixture::RunAnswers(Side side, uint32_t packets, uint8_t tcp_flags) {
  WritePacket(true, tcp_flags);
  wrapper_->bss->wrapper_next = 0;
  return Run(side, packets);
}

absl::StatusOr<std::vector<uint8_t>> XdpFixture::Become(Side side, bool answer, uint32_t flow, uint8_t tcp_flags) {
  auto status = answer ? RunAnswers(side, 1, tcp_flags).status() : RunClients(side, 1, flow, tcp_flags).status();
  if (!status.ok()) return status;
  return output_;
}

absl::Status XdpFixture::Check(Side side, bool opening) {
  const uint8_t flags = opening ? kSyn : kAck;
  const absl::StatusOr<std::vector<uint8_t>> in = Become(Side::kNothing, traffic_.reverse, 0, flags);
  if (!in.ok()) return in.status();
  const absl::StatusOr<std::vector<uint8_t>> out = Become(side, traffic_.reverse, 0, flags);
  if (!out.ok()) return out.status();
  if (absl::Status status = CheckOutput(traffic_, *in, *out); !status.ok() || !traffic_.reverse) return status;
  // An answer is to the client whose packets come from where it goes.
  const Ends answer = EndsOf(traffic_, *in);
  const absl::StatusOr<std::vector<uint8_t>> sent = Become(side, false, FlowTo(EndsOf(traffic_, *out)), kAck);
  if (!sent.ok()) return sent.status();
  const Ends turned = {answer.destination, answer.source, answer.destination_port, answer.source_port};
  return EndsOf(traffic_, *sent) == turned ? absl::OkStatus() : absl::InternalError("an answer is to somebody else");
}

uint64_t XdpFixture::CountExpected() const {
  EngineCounters counters;
  path_->AddCounters(&counters);
  if (!traffic_.ours) return counters.verdicts[SLUICE_VERDICT_pass_not_virtual];
  return counters.verdicts[wrapper_->bss->wrapper_answering != 0 ? SLUICE_VERDICT_returned : SLUICE_VERDICT_forwarded];
}

absl::StatusOr<double> XdpFixture::Run(Side side, uint32_t packets) {
  const bpf_program* const wrappers[] = {wrapper_->progs.wrapper_of_nothing, wrapper_->progs.wrapper_of_path,
                                         wrapper_->progs.wrapper_of_reference, wrapper_->progs.wrapper_of_floor};
  Packet packet{};
  output_.resize(kMostBytes);
  xdp_md context{};
  context.data_end = packet.size();
  context.ingress_ifindex = if_nametoindex(kInterface);
  bpf_test_run_opts options;
  PrepareBpfOptions(&options);
  options.data_in = packet.data();
  options.data_size_in = packet.size();
  options.data_out = output_.data();
  options.data_size_out = static_cast<uint32_t>(output_.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  options.repeat = static_cast<int>(packets);
  const uint64_t before = CountExpected();
  const double begin = ThreadNs();
  const int error = bpf_prog_test_run_opts(bpf_program__fd(wrappers[static_cast<size_t>(side)]), &options);
  const double end = ThreadNs();
  if (error != 0) return BpfStatus(-error, "running the program");
  output_.resize(options.data_size_out);
  const uint64_t counted = CountExpected() - before;
  // The two others do not count.
  if (counted != (side == Side::kPath || side == Side::kReference ? packets : 0)) {
    return absl::InternalError(
        absl::StrCat("of ", packets, " packets ", counted, " had the verdict that they are to have"));
  }
  return end - begin;
}

uint64_t XdpFixture::table_bytes() const {
  if (sessions_ == nullptr) return connection_memory_.size();
  const SessionPartition& partition = sessions_->tables().partitions().front();
  return uint64_t{partition.bucket_count} * sizeof(sluice_bucket) +
         uint64_t{partition.session_count} * (sizeof(sluice_session) + sizeof(*partition.free));
}

void XdpFixture::Clear() {
  std::memset(connection_memory_.data(), 0, connection_memory_.size());
}

// Every other entry.
void XdpFixture::ClearHalf() {
  auto* entries = connection_memory_.As<uint64_t>();
  for (size_t i = 0; i < connection_memory_.size() / sizeof(uint64_t); i += 2) entries[i] = SLUICE_ENTRY_VACATED;
}

absl::Status XdpFixture::ForgetReference(uint32_t first, uint32_t count) {
  const int map = bpf_map__fd(reference_->maps.reference_flows);
  sluice_flow key{};
  sluice_flow next{};
  std::vector<sluice_flow> keys;
  for (bool more = bpf_map_get_next_key(map, nullptr, &next) == 0; more;) {
    key = next;
    more = bpf_map_get_next_key(map, &key, &next) == 0;
    const uint32_t client = __builtin_bswap32(key.source.words[3]) - 0x0b000000u;
    const uint32_t flow = client << 15 | ((__builtin_bswap16(key.source_port) - 0x4000u) & 0x7fff);
    if (flow - first < count) keys.push_back(key);
  }
  for (const sluice_flow& one : keys) {
    if (bpf_map_delete_elem(map, &one) != 0) return BpfStatus(errno, "making the reference forget");
  }
  return absl::OkStatus();
}

}  // namespace sluice::bench
