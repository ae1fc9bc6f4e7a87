// What is checked in the engine section.
#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "config/bounds.h"
#include "config/checks.h"
#include "config/forwarding.h"

namespace sluice::config {
namespace {

const char kList[] = "engine.interfaces";

// First owner, as an index of engine.interfaces, of each name, device or address.
using Owners = absl::flat_hash_map<std::string, int>;

bool IsInterfaceName(const std::string& name) {
  return name.size() <= kMaxInterfaceNameBytes && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isgraph(c) && c != '/' && c != ':'; });
}

// As Linux prints it: 0000:3b:00.0.
bool IsPci(const std::string& text) {
  const std::string form = "xxxx:xx:xx.o";
  return text.size() == form.size() && std::equal(text.begin(), text.end(), form.begin(), [](char c, char wanted) {
           if (wanted == 'x') return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
           return wanted == 'o' ? c >= '0' && c <= '7' : c == wanted;
         });
}

void CheckUnique(Owners& owners, const std::string& value, int index, const std::string& path, Report& report) {
  const auto [first, is_new] = owners.emplace(value, index);
  if (is_new) return;
  report.AddError(path, absl::StrCat("\"", value, "\" is already used by ", report.Where(At(kList, first->second, "")),
                                     "; each interface stands here once"));
}

void CheckInterfaceName(const std::string& name, const std::string& path, Report& report) {
  if (IsInterfaceName(name)) return;
  report.AddError(path, absl::StrCat("\"", name, "\" cannot be an interface of this system; names have at most ",
                                     kMaxInterfaceNameBytes, " characters, as ip link shows them"));
}

void CheckDevice(const v1::Interface& interface, const std::string& path, Report& report) {
  if (!interface.pci().empty() && !IsPci(interface.pci())) {
    report.AddError(absl::StrCat(path, ".pci"), absl::StrCat("\"", interface.pci(),
                                                             "\" is not a PCI address; write it "
                                                             "like 0000:3b:00.0, as lspci -D shows it"));
  }
  const std::string& device = interface.device();
  const bool printable = std::all_of(device.begin(), device.end(), absl::ascii_isgraph);
  if (!device.empty() && (!printable || device.size() > kMaxDeviceBytes || device.front() == ',')) {
    report.AddError(absl::StrCat(path, ".device"), absl::StrCat("\"", device,
                                                                "\" is not a DPDK device; write it like "
                                                                "net_memif0,role=server,id=0, without spaces"));
  }
}

void CheckTapAddresses(const v1::Interface& interface, int index, Owners& owners, Report& report, Facts& facts) {
  const std::string list = At(kList, index, "addresses");
  for (int i = 0; i < interface.addresses_size(); ++i) {
    const std::string& text = interface.addresses(i);
    const std::string path = At(list, i, "");
    const absl::StatusOr<Prefix> prefix = ParsePrefix(text);
    if (!prefix.ok()) {
      report.AddError(path, std::string(prefix.status().message()));
      continue;
    }
    if (const std::string reason = NotUnicast(prefix->address); !reason.empty()) {
      report.AddError(path, absl::StrCat("\"", text, "\" ", reason, "; write an address of this node"));
      continue;
    }
    CheckUnique(owners, FormatAddress(prefix->address), index, path, report);
    CheckNotNat(
        prefix->address, NatClash::kInterface, "", [&path] { return path; }, report, facts);
    if (facts.listener_by_address.contains(prefix->address)) {
      report.AddError(path, absl::StrCat(FormatAddress(prefix->address),
                                         " is a listener's address, which the kernel "
                                         "must never hold; remove it here"));
    }
  }
}

// The keys that a port has and a kernel interface brings itself.
void CheckKernelSide(const v1::Interface& interface, const std::string& path, Report& report) {
  if (!interface.name().empty()) {
    if (interface.has_mtu()) {
      report.AddError(absl::StrCat(path, ".mtu"), absl::StrCat("a kernel interface follows its own MTU; remove this, "
                                                               "and use: ip link set dev ",
                                                               interface.name(), " mtu N"));
    }
    if (!interface.tap().empty()) {
      report.AddError(absl::StrCat(path, ".tap"), "a kernel interface needs no tap; remove this");
    }
    if (!interface.addresses().empty()) {
      report.AddError(absl::StrCat(path, ".addresses"),
                      absl::StrCat("a kernel interface keeps its own addresses; remove this, and use: ip address add ",
                                   interface.addresses(0), " dev ", interface.name()));
    }
    return;
  }
  if (!interface.tap().empty()) CheckInterfaceName(interface.tap(), absl::StrCat(path, ".tap"), report);
  if (interface.tap().empty() && !interface.addresses().empty()) {
    Missing(report, absl::StrCat(path, ".tap"), "addresses need a tap to stand on; add tap: with a name for it");
  }
  if (interface.has_mtu() && (interface.mtu() < kMinMtu || interface.mtu() > kMaxMtu)) {
    report.AddError(absl::StrCat(path, ".mtu"),
                    absl::StrCat("mtu ", interface.mtu(), " is out of range; choose from ", kMinMtu, " to ", kMaxMtu));
  }
}

void CheckInterfaces(const v1::Engine& engine, Report& report, Facts& facts) {
  Owners names, devices, addresses;
  int first_kernel = -1, first_port = -1;
  for (int i = 0; i < engine.interfaces_size(); ++i) {
    const v1::Interface& interface = engine.interfaces(i);
    const std::string path = At(kList, i, "");
    const int kinds = !interface.name().empty() + !interface.pci().empty() + !interface.device().empty();
    if (kinds == 0) {
      Missing(report, path, "an interface needs one of name, pci and device; add one, such as name: eth0");
      continue;
    }
    if (kinds > 1) {
      report.AddError(path, "an interface is one of name, pci and device; keep one and remove the others");
      continue;
    }
    int& first = interface.name().empty() ? first_port : first_kernel;
    if (first < 0) first = i;
    if (!interface.name().empty()) {
      CheckInterfaceName(interface.name(), absl::StrCat(path, ".name"), report);
      CheckUnique(names, interface.name(), i, absl::StrCat(path, ".name"), report);
    }
    if (!interface.tap().empty()) CheckUnique(names, interface.tap(), i, absl::StrCat(path, ".tap"), report);
    if (!interface.pci().empty()) CheckUnique(devices, interface.pci(), i, absl::StrCat(path, ".pci"), report);
    const std::string device = interface.device().substr(0, interface.device().find(','));
    if (!device.empty()) CheckUnique(devices, device, i, absl::StrCat(path, ".device"), report);
    CheckDevice(interface, path, report);
    CheckKernelSide(interface, path, report);
    CheckTapAddresses(interface, i, addresses, report, facts);
  }
  if (first_kernel >= 0 && first_port >= 0) {
    const int later = std::max(first_kernel, first_port);
    report.AddError(At(kList, later, ""),
                    absl::StrCat("kernel interfaces (name) and DPDK devices (pci, device) cannot be mixed, see ",
                                 report.Where(At(kList, std::min(first_kernel, first_port), "")),
                                 ": a packet could not cross from one to the other; use one kind"));
  }
}

void CheckSource(const std::string& text, bool ipv4, Report& report, Facts& facts) {
  if (text.empty()) return;
  const std::string path = absl::StrCat("engine.tunnel_source.", ipv4 ? "ipv4" : "ipv6");
  const std::optional<Address> address = CheckUnicast(
      report, [&path] { return path; }, text);
  if (!address.has_value()) return;
  if (address->IsIpv4() != ipv4) {
    report.AddError(
        path, absl::StrCat(text, " is not ", ipv4 ? "IPv4" : "IPv6", "; write it under ", ipv4 ? "ipv6" : "ipv4"));
  } else if (facts.listener_by_address.contains(*address)) {
    report.AddError(path, absl::StrCat(text, " is a listener's address; write an address of this node"));
  }
  CheckNotNat(
      *address, NatClash::kTunnelSource, "", [&path] { return path; }, report, facts);
}

void CheckEnums(const v1::Engine& engine, Report& report) {
  const auto check = [&report](bool valid, const char* field, int value) {
    if (!valid)
      report.AddError(absl::StrCat("engine.", field), absl::StrCat("unknown value ", value, "; leave it out"));
  };
  check(v1::Engine::Type_IsValid(engine.type()), "type", engine.type());
  check(v1::Engine::HugePages_IsValid(engine.huge_pages()), "huge_pages", engine.huge_pages());
  check(v1::Engine::Idle_IsValid(engine.idle()), "idle", engine.idle());
  check(v1::Engine::Shutdown_IsValid(engine.shutdown()), "shutdown", engine.shutdown());
}

// 0 is for who translates nothing.
void CheckSessions(const v1::Config& config, Report& report, const Facts& facts) {
  const uint64_t sessions = config.engine().max_sessions();
  const char path[] = "engine.max_sessions";
  if (sessions != 0) {
    if (sessions >= kMinSessions && sessions <= kMaxSessions) return;
    return report.AddError(path, absl::StrCat("max_sessions ", sessions, " is out of range; choose from 1k to 1G"));
  }
  for (int i = 0; i < config.pools_size(); ++i) {
    if (!Translates(facts.pools[static_cast<size_t>(i)].forwarding)) continue;
    return report.AddError(path,
                           absl::StrCat("max_sessions 0 leaves no session to pool \"", config.pools(i).name(), "\" (",
                                        report.Where(At("pools", i, "")),
                                        "), which translates; remove it for as many as max_connections, or choose "
                                        "from 1k to 1G"));
  }
}

}  // namespace

void CheckEngine(const v1::Config& config, Report& report, Facts& facts) {
  const v1::Engine& engine = config.engine();
  CheckEnums(engine, report);
  const bool has_workers = engine.type() != v1::Engine::XDP;
  if (has_workers && (engine.workers() < kMinWorkers || engine.workers() > kMaxWorkers)) {
    report.AddError("engine.workers", absl::StrCat("workers ", engine.workers(), " is out of range; choose from ",
                                                   kMinWorkers, " to ", kMaxWorkers));
  }
  if (engine.max_connections() < kMinConnections || engine.max_connections() > kMaxConnections) {
    report.AddError("engine.max_connections", absl::StrCat("max_connections ", engine.max_connections(),
                                                           " is out of range; choose from 1k to 1G"));
  }
  CheckSessions(config, report, facts);
  if (engine.has_hash_key() && engine.hash_key().size() != kHashKeyBytes) {
    report.AddError("engine.hash_key",
                    absl::StrCat("hash_key has ", engine.hash_key().size(), " bytes, not ", kHashKeyBytes,
                                 "; make one with: head -c 32 /dev/urandom | base64"));
  }
  CheckSource(engine.tunnel_source().ipv4(), /*ipv4=*/true, report, facts);
  CheckSource(engine.tunnel_source().ipv6(), /*ipv4=*/false, report, facts);
  if (engine.interfaces().empty()) {
    Missing(report, kList, "the engine needs an interface; add interfaces: [{name: eth0}] under engine");
  }
  if (static_cast<size_t>(engine.interfaces_size()) > kMaxInterfaces) {
    return report.AddError(
        kList, absl::StrCat(engine.interfaces_size(), " interfaces; at most ", kMaxInterfaces, " are possible"));
  }
  CheckInterfaces(engine, report, facts);
}

}  // namespace sluice::config
