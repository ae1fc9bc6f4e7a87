// Several engines under the same random traffic and the same random changes of tables: after every burst the same
// frames have left by the same ports, byte for byte, and everything that is counted is the same; so are the flows in
// the tables, now and then.
//
// Thread-safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "tests/packet/random_site.h"
#include "tests/packet/random_traffic.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {

class Differential {
 public:
  // `burst`: most packets at once. An engine looks at a burst before it settles what is new or ends in it, so there are
  // no two packets of a flow in one when one of them opens or ends the flow; and where flows push each other out, who
  // goes depends on what else is in the burst: connections that have no room want single packets.
  Differential(uint64_t seed, absl::Span<const PoolKind> pools, size_t burst);

  // An engine that has nothing yet; the first one is what the others are held against. Not added when it is unable to
  // serve such pools: returned is why.
  std::string Add(const std::string& name, std::unique_ptr<TestedEngine> engine);

  // A difference, told for people; empty when there is none after so many packets. From packet number `one_by_one_from`
  // on they go one by one, for one burst.
  std::string Run(uint64_t packets, uint64_t one_by_one_from);

  // Of the burst that Run has ended with, the first packet's number.
  uint64_t burst_begin() const { return burst_begin_; }
  uint64_t packets() const { return packets_; }
  uint64_t changes() const { return changes_; }
  // The first engine's.
  EngineCounters ReadCounters() { return engines_.front().engine->ReadCounters(); }

 private:
  struct Participant {
    std::string name;
    std::unique_ptr<TestedEngine> engine;
  };

  std::shared_ptr<const Tables> Build();
  void FillBurst();
  bool FitsIntoBurst(std::string frame);
  std::string Change();
  std::string CompareFlows();
  std::string Burst();
  std::string OneByOne();
  std::string Told(size_t packet, const std::string& difference) const;
  std::string ProcessAll();
  std::string CompareCounters();

  std::mt19937_64 random_;
  RandomSite site_;
  RandomTraffic traffic_;
  Builder builder_;
  std::shared_ptr<const Tables> tables_;
  std::vector<Participant> engines_;
  const size_t most_;
  // The burst under way, and its flows: whether they are opened or ended in it.
  std::vector<std::string> frames_;
  absl::flat_hash_map<std::string, bool> flows_;
  uint16_t from_ = 0;
  uint64_t burst_begin_ = 0;
  uint64_t packets_ = 0;
  uint64_t changes_ = 0;
};

}  // namespace sluice::packet_test
