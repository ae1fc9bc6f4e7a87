// The configuration as the tables are built from it at this moment: what is wanted, with the weights that roles, slow
// start and agents make of it (shares.h), with those drained or disabled whose agents want it, and with backends whose
// flows may still end in peace though they are removed.
//
// Thread-safety: the control thread. Times are of a clock that never goes back.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "config/sluice.pb.h"
#include "control/backend_states.h"
#include "control/shares.h"

namespace sluice {

class Effective {
 public:
  // As long as nothing was followed: an empty configuration.
  Effective() = default;

  // What it is after this one once `wanted` counts, which outlives it. Nothing starts slowly with the first one.
  Effective Next(const v1::Config& wanted, absl::Time now) const;

  // Takes the backends' states and the time into the weights; whether backends have left that were leaving. `change` is
  // what has changed of them since the last call, and gets the pools that have to be looked at besides; null: all.
  bool Refresh(const BackendNames& unhealthy, const BackendStates& states, absl::Time now,
               InputChange* change = nullptr);
  // Whether time alone has made Refresh necessary: a step of a slow start, which is taken with others once a second at
  // most, the end of a drain.
  bool IsDue(absl::Time now) const;
  // An agent has changed a weight, which makes Refresh necessary, a second after the last one at the earliest.
  void ShareChanged() { share_changed_ = true; }

  // For the builder; the same object until Next.
  const v1::Config& config() const;

  // What the roles make of a backend, and since when by the wall clock.
  struct RoleStatus {
    Share::Role role = Share::Role::kInUse;
    absl::Time since;
    bool starts_slowly = false;
  };
  RoleStatus Role(const std::string& pool, const std::string& backend) const;

  // A backend that is removed, and when its flows end at the latest.
  struct Leaving {
    v1::Backend backend;
    absl::Time until;
    // By the wall clock.
    absl::Time since;
  };
  const absl::flat_hash_map<std::string, std::vector<Leaving>>& leaving() const { return leaving_; }

  // Sentences about what Refresh has changed, to be told once it counts.
  std::vector<std::string> TakeNews() { return std::exchange(news_, {}); }

 private:
  // Of a backend of a pool that has roles.
  struct Memory {
    std::string address;
    RoleStatus role;
    bool usable = true;
    absl::Time started = absl::InfinitePast();
  };
  // Of one that is drained by the operator or by its agent, since when.
  using Drains = absl::flat_hash_map<BackendId, absl::Time>;

  // When time alone changes a pool.
  struct Due {
    absl::Time step = absl::InfiniteFuture();
    absl::Time end = absl::InfiniteFuture();
  };

  void TakeMemory(const Effective& before, const v1::Pool* pool_before, const v1::Pool& pool);
  void TakeLeaving(const Effective& before, const v1::Pool* pool_before, const v1::Pool& pool, absl::Time now);
  void TakeDrains(const Effective& before, const v1::Pool& pool);
  bool RefreshPool(int position, const BackendNames& unhealthy, const BackendStates& states, absl::Time now, Due* due);
  std::vector<Candidate> Look(const v1::Pool& pool, const BackendNames& unhealthy, const BackendStates& states,
                              absl::Time now, Due* due);
  static uint32_t StepsOf(const v1::Pool& pool, const Memory& memory, absl::Time now, Due* due);
  void Weigh(const v1::Pool& pool, const std::vector<Candidate>& candidates, v1::Pool* to);
  void SetStates(const v1::Pool& pool, const BackendStates& states, v1::Pool* to) const;
  void EndDrains(const v1::Pool& pool, absl::Time now, v1::Pool* to, Due* due);
  bool EndLeaving(const v1::Pool& pool, absl::Time now, v1::Pool* to, Due* due);

  const v1::Config* wanted_ = nullptr;
  // Positions of pools of `wanted_` whose part of `shaped_` is not just a copy.
  std::vector<int> shaped_pools_;
  // In their order.
  std::vector<Due> dues_;
  // Empty when there are none.
  std::unique_ptr<v1::Config> shaped_ = std::make_unique<v1::Config>();
  absl::flat_hash_map<BackendId, Memory> memory_;
  absl::flat_hash_map<std::string, std::vector<Leaving>> leaving_;
  Drains drains_;
  std::vector<std::string> news_;
  // The earliest of each kind.
  Due due_;
  bool share_changed_ = false;
  absl::Time refreshed_ = absl::InfinitePast();
};

}  // namespace sluice
