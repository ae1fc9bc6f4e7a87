// Next hops as a test says. Like the kernel's: what is watched anew is told as a change when it resolves.
//
// Thread-safety: as of a struct.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/next_hop_source.h"

namespace sluice {

class FakeNextHops : public NextHopSource {
 public:
  void Watch(absl::Span<const Address> addresses) override {
    const std::set<Address> wanted(addresses.begin(), addresses.end());
    for (const Address& address : wanted) {
      if (!watched_.contains(address) && known_.contains(address)) changes_.insert(address);
    }
    watched_ = wanted;
    std::erase_if(changes_, [this](const Address& address) { return !watched_.contains(address); });
  }
  std::vector<Address> TakeChanges() override {
    std::vector<Address> changes(changes_.begin(), changes_.end());
    changes_.clear();
    return changes;
  }
  Resolution Find(const Address& address) const override {
    const auto known = known_.find(address);
    return known == known_.end() || !watched_.contains(address) ? Resolution() : known->second;
  }

  void Resolve(const Address& address, const NextHop& hop) {
    Set(address, {Resolution::State::kResolved, "", hop, absl::StrCat("eth", hop.ifindex)});
  }
  void Fail(const Address& address, const std::string& reason) {
    Set(address, {Resolution::State::kFailed, reason, {}});
  }
  const std::set<Address>& watched() const { return watched_; }

 private:
  void Set(const Address& address, const Resolution& resolution) {
    known_[address] = resolution;
    if (watched_.contains(address)) changes_.insert(address);
  }

  std::map<Address, Resolution> known_;
  std::set<Address> watched_;
  std::set<Address> changes_;
};

}  // namespace sluice
