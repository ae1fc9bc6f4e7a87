#include "engine/dpdk/answer_rss.h"

#include <rte_byteorder.h>
#include <rte_thash.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kLookedUp[] = "answers that arrive elsewhere than at their worker are looked up";

// The device's own order of bytes is the network's; DPDK's function wants words of the host's.
uint32_t SoftRss(const std::array<uint8_t, 40>& key, const NatOwners::Input& input) {
  std::array<uint32_t, NatOwners::kInput / sizeof(uint32_t)> words;
  std::memcpy(words.data(), input.data(), input.size());
  for (uint32_t& word : words) word = rte_be_to_cpu_32(word);
  alignas(uint32_t) std::array<uint8_t, 40> aligned = key;
  return rte_softrss(words.data(), words.size(), aligned.data());
}

NatOwners::Rss RssOf(const PortRss& port, uint32_t workers) {
  NatOwners::Rss rss;
  rss.hash = [key = port.key](const NatOwners::Input& input) { return SoftRss(key, input); };
  for (const uint16_t queue : port.queue_of_hash) rss.worker_of_hash.push_back(static_cast<uint16_t>(queue % workers));
  rss.with_ports = port.with_ports;
  return rss;
}

// Whether `port` brings each packet of `kinds` to the same worker as `first`. Their tables may differ in size.
bool SpreadsAlike(const PortRss& port, const PortRss& first, uint32_t kinds, uint32_t workers) {
  if (port.key != first.key || (port.with_ports & kinds) != kinds || port.queue_of_hash.empty()) return false;
  const size_t size = std::max(port.queue_of_hash.size(), first.queue_of_hash.size());
  for (size_t hash = 0; hash < size; hash++) {
    const uint32_t queue = port.queue_of_hash[hash % port.queue_of_hash.size()];
    const uint32_t other = first.queue_of_hash[hash % first.queue_of_hash.size()];
    if (queue % workers != other % workers) return false;
  }
  return true;
}

// The rest of a sentence about why the port, whose key is known, is no use.
std::string WhyNot(const PortRss& rss) {
  if (rss.with_ports == 0) return "hashes addresses alone";
  return absl::StrCat("has a table of ", rss.queue_of_hash.size(),
                      " that leaves a worker (nearly) without source ports");
}

}  // namespace

AnswerRss ChooseAnswerRss(absl::Span<Port* const> ports, uint32_t workers, const sluice_nat_ports& nat_ports) {
  AnswerRss chosen;
  chosen.owners = std::make_shared<NatOwners>(workers);
  // They come to the only one.
  if (workers == 1) return chosen;
  PortRss first;
  for (Port* port : ports) {
    const std::string name = port->info().name;
    absl::StatusOr<PortRss> rss = port->ReadRss();
    if (!rss.ok()) {
      chosen.messages.push_back(absl::StrCat("nat: RSS key of ", name, " is unknown (",
                                             std::string(rss.status().message()), "): ", kLookedUp));
      continue;
    }
    if (const uint32_t kinds = chosen.owners->by_rss(); kinds != 0) {
      if (rss->key != first.key && port->SetRssKey(first.key).ok()) rss = port->ReadRss();
      const bool alike = rss.ok() && SpreadsAlike(*rss, first, kinds, workers);
      chosen.messages.push_back(
          alike
              ? absl::StrCat("nat: ", name, " spreads answers in the same way")
              : absl::StrCat("nat: ", name, " spreads answers in another way: those that arrive there are looked up"));
      continue;
    }
    auto owners = std::make_shared<NatOwners>(workers, RssOf(*rss, workers), nat_ports);
    if (owners->by_rss() == 0) {
      chosen.messages.push_back(absl::StrCat("nat: RSS of ", name, " ", WhyNot(*rss), ": ", kLookedUp));
      continue;
    }
    first = *rss;
    chosen.messages.push_back(absl::StrCat("nat: answers reach their worker by RSS (Toeplitz key of ", name,
                                           "): ", KindsText(owners->by_rss())));
    chosen.owners = std::move(owners);
  }
  return chosen;
}

}  // namespace sluice
