// engine.nat_addresses: each entry alone, that no two overlap, and that nothing else has one of the addresses.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/checks.h"

namespace sluice::config {
namespace {

const char kList[] = "engine.nat_addresses";

// How many addresses it has, or some number that is too large.
uint64_t Size(const Prefix& prefix) {
  return uint64_t{1} << std::min(AddressBits(prefix.address) - prefix.length, 32);
}

// An address alone is a prefix of all its bits. None and an error when the entry is wrong.
std::optional<Prefix> ReadEntry(const std::string& text, const std::string& path, Report& report) {
  if (text.find('/') == std::string::npos) {
    const std::optional<Address> address = CheckUnicast(
        report, [&path] { return path; }, text);
    if (!address.has_value()) return std::nullopt;
    return Prefix{*address, AddressBits(*address)};
  }
  const absl::StatusOr<Prefix> prefix = ParsePrefix(text);
  if (!prefix.ok()) {
    report.AddError(path, std::string(prefix.status().message()));
    return std::nullopt;
  }
  const Address first = FirstAddress(*prefix);
  if (const std::string reason = NotUnicast(first); !reason.empty()) {
    report.AddError(path, absl::StrCat("\"", text, "\" ", reason, "; write addresses of this node"));
    return std::nullopt;
  }
  if (!CheckHostBits(report, path, text, *prefix)) return std::nullopt;
  return *prefix;
}

// Prefixes overlap only where one holds the other: the smaller goes.
void DropOverlaps(const v1::Engine& engine, std::vector<NatBlock>& blocks, Report& report) {
  std::sort(blocks.begin(), blocks.end(), [](const NatBlock& a, const NatBlock& b) {
    return std::tie(a.first, b.last, a.index) < std::tie(b.first, a.last, b.index);
  });
  std::vector<NatBlock> kept;
  for (const NatBlock& block : blocks) {
    if (kept.empty() || kept.back().last < block.first) {
      kept.push_back(block);
      continue;
    }
    const auto [earlier, later] = std::minmax(kept.back().index, block.index);
    report.AddError(At(kList, later, ""),
                    absl::StrCat(engine.nat_addresses(later), " overlaps ", engine.nat_addresses(earlier), " (",
                                 report.Where(At(kList, earlier, "")), "); keep one of the two"));
  }
  blocks = std::move(kept);
}

std::string Text(NatClash clash, const std::string& name) {
  switch (clash) {
    case NatClash::kListener:
      return absl::StrCat("the virtual address of listener \"", name, "\"");
    case NatClash::kBackend:
      return absl::StrCat("the address of backend \"", name, "\"");
    case NatClash::kTunnelSource:
      return "in engine.tunnel_source";
    case NatClash::kInterface:
      break;
  }
  return "an address of an interface";
}

}  // namespace

void CheckNatAddresses(const v1::Config& config, Report& report, Facts& facts) {
  const v1::Engine& engine = config.engine();
  uint64_t addresses = 0;
  for (int i = 0; i < engine.nat_addresses_size(); ++i) {
    const std::string path = At(kList, i, "");
    const std::optional<Prefix> prefix = ReadEntry(engine.nat_addresses(i), path, report);
    facts.nat_ipv4 |= !prefix.has_value() || prefix->address.IsIpv4();
    facts.nat_ipv6 |= !prefix.has_value() || !prefix->address.IsIpv4();
    if (!prefix.has_value()) continue;
    const uint64_t before = addresses;
    addresses += Size(*prefix);
    if (before <= kMaxNatAddresses && addresses > kMaxNatAddresses) {
      report.AddError(path, absl::StrCat("nat_addresses holds more than ", kMaxNatAddresses,
                                         " addresses up to here; take fewer, such as one /22 of IPv4 or /118 of IPv6"));
    }
    facts.nat_blocks.push_back({FirstAddress(*prefix), LastAddress(*prefix), i});
  }
  if (report.MissingIsExplained(kList)) facts.nat_ipv4 = facts.nat_ipv6 = true;
  DropOverlaps(engine, facts.nat_blocks, report);
}

void CheckNotNat(const Address& address, NatClash clash, const std::string& name, MakePath path, Report& report,
                 Facts& facts) {
  auto block = std::upper_bound(facts.nat_blocks.begin(), facts.nat_blocks.end(), address,
                                [](const Address& a, const NatBlock& b) { return a < b.first; });
  if (block == facts.nat_blocks.begin() || (--block)->last < address) return;
  const unsigned bit = 1u << static_cast<unsigned>(clash);
  if ((block->told & bit) != 0) return;
  block->told |= bit;
  report.AddError(At(kList, block->index, ""),
                  absl::StrCat(FormatAddress(address), " is ", Text(clash, name), " (", report.Where(path()),
                               "); take addresses here that nothing else has"));
}

}  // namespace sluice::config
