#include "control/shares.h"

#include <algorithm>

#include "config/bounds.h"

namespace sluice {
namespace {

// Per cent.
constexpr uint32_t kWhole = 100;

bool TakesFlows(const v1::Backend& backend, const Candidate& candidate) {
  return candidate.usable && candidate.percent > 0 && backend.weight() > 0 && backend.state() == v1::Backend::READY;
}

class Selection {
 public:
  Selection(const v1::Pool& pool, const std::string& zone, absl::Span<const Candidate> candidates)
      : pool_(pool), zone_(zone), candidates_(candidates), shares_(candidates.size()) {}

  // One group after the other comes in, until there are enough.
  std::vector<Share> Run() {
    const bool zones = pool_.cross_zone() != v1::Pool::ALWAYS && !zone_.empty();
    const bool others = !zones || pool_.cross_zone() == v1::Pool::PREFER_LOCAL;
    for (Share& share : shares_) share.role = Share::Role::kReserve;
    Let(false, true, zones);
    if (zones && others && !Enough()) Let(false, false, zones);
    if (!Enough()) Let(true, true, zones);
    if (zones && others && !Enough()) Let(true, false, zones);
    for (size_t i = 0; i < shares_.size(); i++) {
      const bool waits = shares_[i].role == Share::Role::kReserve && !Backend(i).backup();
      if (waits) shares_[i].role = Share::Role::kOtherZone;
    }
    Weigh();
    return std::move(shares_);
  }

 private:
  const v1::Backend& Backend(size_t i) const { return pool_.backends(static_cast<int>(i)); }
  bool Enough() const { return taking_ >= std::max(1U, pool_.minimum_healthy()); }

  void Let(bool backup, bool local, bool zones) {
    for (size_t i = 0; i < shares_.size(); i++) {
      const v1::Backend& backend = Backend(i);
      const bool is_local = !zones || backend.zone().empty() || backend.zone() == zone_;
      if (backend.backup() != backup || is_local != local) continue;
      shares_[i].role = Share::Role::kInUse;
      if (TakesFlows(backend, candidates_[i])) taking_++;
    }
  }

  // While one starts slowly, or has another percentage than the others, all weights are so many times larger that its
  // own has room.
  void Weigh() {
    uint64_t largest = 0;
    uint64_t sum = 0;
    uint64_t room = 1;
    for (size_t i = 0; i < shares_.size(); i++) {
      if (shares_[i].role != Share::Role::kInUse) continue;
      const uint64_t most = Backend(i).weight() * uint64_t{std::max(kWhole, candidates_[i].percent)} / kWhole;
      largest = std::max(largest, most);
      sum += most;
      room = std::max(room, RoomFor(i));
    }
    const uint64_t fits = std::min(config::kMaxWeight / std::max(uint64_t{1}, largest),
                                   config::kMaxWeightSum / std::max(uint64_t{1}, sum));
    const uint64_t scale = std::clamp(fits, uint64_t{1}, room);
    for (size_t i = 0; i < shares_.size(); i++) {
      if (shares_[i].role == Share::Role::kInUse) shares_[i].weight = WeightOf(i, scale);
    }
  }

  uint64_t RoomFor(size_t i) const {
    if (!TakesFlows(Backend(i), candidates_[i])) return 1;
    return uint64_t{candidates_[i].steps < kSlowStartSteps ? kSlowStartSteps : 1} *
           (candidates_[i].percent != kWhole ? kWhole : 1);
  }

  // Whose weight and percentage are not 0 keeps 1 at least.
  uint32_t WeightOf(size_t i, uint64_t scale) const {
    const uint64_t whole = scale * Backend(i).weight() * candidates_[i].percent;
    if (whole == 0) return 0;
    const uint64_t weight = whole * candidates_[i].steps / kSlowStartSteps / kWhole;
    return static_cast<uint32_t>(std::clamp(weight, uint64_t{1}, uint64_t{config::kMaxWeight}));
  }

  const v1::Pool& pool_;
  const std::string& zone_;
  absl::Span<const Candidate> candidates_;
  std::vector<Share> shares_;
  // Backends that are in use and take flows.
  uint32_t taking_ = 0;
};

}  // namespace

std::vector<Share> ShareOut(const v1::Pool& pool, const std::string& zone, absl::Span<const Candidate> candidates) {
  return Selection(pool, zone, candidates).Run();
}

bool HasRoles(const v1::Pool& pool) {
  return pool.has_slow_start() || pool.has_agent() || pool.cross_zone() != v1::Pool::ALWAYS ||
         std::any_of(pool.backends().begin(), pool.backends().end(),
                     [](const v1::Backend& backend) { return backend.backup(); });
}

}  // namespace sluice
