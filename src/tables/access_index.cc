#include "tables/access_index.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "sluice/access.h"

namespace sluice {
namespace {

constexpr absl::uint128 kHighest = std::numeric_limits<absl::uint128>::max();

// The addresses of one prefix, and whether their list admits them.
struct Stretch {
  absl::uint128 first;
  absl::uint128 last;
  bool admitted;

  // Of prefixes, which hold each other or have nothing in common: the outer one first.
  bool operator<(const Stretch& other) const { return std::tie(first, other.last) < std::tie(other.first, last); }
};

absl::uint128 NumberOf(const Address& address) {
  absl::uint128 number = 0;
  for (const uint8_t byte : address.bytes) number = number << 8 | byte;
  return number;
}

absl::Status ReadList(const google::protobuf::RepeatedPtrField<std::string>& list, bool ipv4, bool admitted,
                      std::vector<Stretch>* stretches) {
  for (const std::string& text : list) {
    const absl::StatusOr<Prefix> prefix = ParsePrefixOrAddress(text);
    if (!prefix.ok()) return prefix.status();
    if (prefix->address.IsIpv4() != ipv4) continue;
    stretches->push_back({NumberOf(FirstAddress(*prefix)), NumberOf(LastAddress(*prefix)), admitted});
  }
  return absl::OkStatus();
}

// What holds for the addresses behind others, in ascending order.
class Changes {
 public:
  explicit Changes(bool lowest) : lowest_(lowest) {}

  // From `first` on, up to what is said next.
  void From(absl::uint128 first, bool admitted) {
    if (first == 0) {
      lowest_ = admitted;
    } else if (!changes_.empty() && changes_.back().first == first - 1) {
      changes_.back().second = admitted;
    } else {
      changes_.emplace_back(first - 1, admitted);
    }
  }

  bool lowest() const { return lowest_; }

  // The last address of each stretch whose neighbour is another kind.
  std::vector<absl::uint128> Ends() const {
    std::vector<absl::uint128> ends;
    bool before = lowest_;
    for (const auto& [last, after] : changes_) {
      if (after != before) ends.push_back(last);
      before = after;
    }
    return ends;
  }

 private:
  bool lowest_;
  std::vector<std::pair<absl::uint128, bool>> changes_;
};

Changes Flatten(std::vector<Stretch> stretches, bool otherwise) {
  std::sort(stretches.begin(), stretches.end());
  Changes changes(otherwise);
  // Those that hold where we are, the innermost last.
  std::vector<Stretch> open;
  const auto close_below = [&](std::optional<absl::uint128> first) {
    while (!open.empty() && (!first.has_value() || open.back().last < *first)) {
      const absl::uint128 last = open.back().last;
      open.pop_back();
      if (last != kHighest) changes.From(last + 1, open.empty() ? otherwise : open.back().admitted);
    }
  };
  for (const Stretch& stretch : stretches) {
    close_below(stretch.first);
    changes.From(stretch.first, stretch.admitted);
    open.push_back(stretch);
  }
  close_below(std::nullopt);
  return changes;
}

sluice_number PathNumber(absl::uint128 number) {
  return {absl::Uint128High64(number), absl::Uint128Low64(number)};
}

// The nodes above those of the level that begins at `first`, whose last ends these are: to a node's next child go all
// sources above the last end of the one before, and to a child without ends goes none.
void FillAbove(std::vector<sluice_access_node>& nodes, size_t first, std::vector<absl::uint128> lasts) {
  const sluice_number highest = PathNumber(kHighest);
  while (first > 0) {
    const size_t above = (first - 1) / SLUICE_ACCESS_CHILDREN;
    std::vector<absl::uint128> lasts_above;
    for (size_t node = 0; node < first - above; node++) {
      const size_t child = node * SLUICE_ACCESS_CHILDREN;
      for (size_t i = 0; i < SLUICE_ACCESS_ENDS; i++) {
        nodes[above + node].ends[i] = child + i + 1 < lasts.size() ? PathNumber(lasts[child + i]) : highest;
      }
      if (child >= lasts.size()) continue;
      lasts_above.push_back(lasts[std::min(child + SLUICE_ACCESS_ENDS, lasts.size() - 1)]);
    }
    lasts = std::move(lasts_above);
    first = above;
  }
}

AccessTree MakeTree(const Changes& changes) {
  AccessTree tree;
  tree.admits_lowest = changes.lowest();
  const std::vector<absl::uint128> ends = changes.Ends();
  if (ends.empty()) return tree;
  const size_t leaves = (ends.size() + SLUICE_ACCESS_ENDS - 1) / SLUICE_ACCESS_ENDS;
  // Where the last level begins.
  size_t first = 0;
  tree.levels = 1;
  for (size_t width = 1; width < leaves; width *= SLUICE_ACCESS_CHILDREN, tree.levels++) first += width;
  tree.nodes.resize(first + leaves);
  std::vector<absl::uint128> lasts(leaves);
  for (size_t i = 0; i < leaves * SLUICE_ACCESS_ENDS; i++) {
    const bool used = i < ends.size();
    tree.nodes[first + i / SLUICE_ACCESS_ENDS].ends[i % SLUICE_ACCESS_ENDS] = PathNumber(used ? ends[i] : kHighest);
    if (used) lasts[i / SLUICE_ACCESS_ENDS] = ends[i];
  }
  FillAbove(tree.nodes, first, std::move(lasts));
  return tree;
}

// What the lists say to a listener of this family.
std::string KeyOf(const v1::Access& access, bool ipv4) {
  v1::Access lists;
  *lists.mutable_allow() = access.allow();
  *lists.mutable_deny() = access.deny();
  return absl::StrCat(ipv4 ? "4" : "6", lists.SerializeAsString());
}

absl::StatusOr<std::shared_ptr<const AccessTree>> TreeOf(const v1::Access& access, bool ipv4, const AccessTrees& before,
                                                         AccessTrees& trees) {
  std::string key = KeyOf(access, ipv4);
  if (const auto known = trees.find(key); known != trees.end()) return known->second;
  if (const auto known = before.find(key); known != before.end()) {
    trees.emplace(std::move(key), known->second);
    return known->second;
  }
  absl::StatusOr<AccessTree> built = BuildAccessTree(access, ipv4);
  if (!built.ok()) return built.status();
  auto tree = std::make_shared<const AccessTree>(*std::move(built));
  trees.emplace(std::move(key), tree);
  return tree;
}

}  // namespace

uint32_t FlowsInWindow(uint32_t per_second) {
  constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
  const uint64_t flows =
      ((uint64_t{per_second} << SLUICE_WINDOW_SHIFT) + kNanosecondsPerSecond / 2) / kNanosecondsPerSecond;
  return static_cast<uint32_t>(flows);
}

bool HasAccess(const v1::Listener& listener) {
  const v1::Access& access = listener.access();
  return access.allow_size() > 0 || access.deny_size() > 0 || access.has_new_connections_per_source() ||
         listener.has_max_connections();
}

absl::StatusOr<AccessTree> BuildAccessTree(const v1::Access& access, bool ipv4) {
  std::vector<Stretch> stretches;
  absl::Status status = ReadList(access.allow(), ipv4, true, &stretches);
  status.Update(ReadList(access.deny(), ipv4, false, &stretches));
  if (!status.ok()) return status;
  return MakeTree(Flatten(std::move(stretches), access.allow().empty()));
}

absl::StatusOr<AccessIndex> BuildAccessIndex(const DesiredState& state, std::span<const uint32_t> indices,
                                             size_t listeners, const AccessTrees& before, HugePages pages) {
  AccessIndex index;
  absl::StatusOr<Region> access = Region::Create(listeners * sizeof(sluice_access), pages);
  if (!access.ok()) return access.status();
  index.access = *std::move(access);
  absl::flat_hash_map<const AccessTree*, uint32_t> places;
  std::vector<const AccessTree*> placed;
  size_t nodes = 0;
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    const v1::Listener& listener = *state.front->listeners[i].config;
    if (!HasAccess(listener)) continue;
    const absl::StatusOr<std::shared_ptr<const AccessTree>> tree =
        TreeOf(listener.access(), state.front->listeners[i].address.IsIpv4(), before, index.trees);
    if (!tree.ok()) return tree.status();
    const auto [place, is_new] = places.emplace(tree->get(), static_cast<uint32_t>(nodes));
    if (is_new) placed.push_back(tree->get());
    if (is_new) nodes += (*tree)->nodes.size();
    sluice_access& record = index.access.As<sluice_access>()[indices[i]];
    record.first = place->second;
    record.levels = (*tree)->levels;
    record.flags = (*tree)->admits_lowest ? SLUICE_ACCESS_LOWEST : 0;
    record.most_flows = FlowsInWindow(listener.access().new_connections_per_source().per_second());
    index.limits_sources |= record.most_flows != 0;
    if (listener.access().on_refused() == v1::Access::RESET) record.flags |= SLUICE_ACCESS_TELLS;
    if (listener.has_max_connections()) record.flags |= SLUICE_ACCESS_LIMITED;
  }
  absl::StatusOr<Region> memory = Region::Create(nodes * sizeof(sluice_access_node), pages);
  if (!memory.ok()) return memory.status();
  index.nodes = *std::move(memory);
  auto* to = index.nodes.As<sluice_access_node>();
  for (const AccessTree* tree : placed) to = std::copy(tree->nodes.begin(), tree->nodes.end(), to);
  return index;
}

}  // namespace sluice
