// The Maglev table against the paper (NSDI 2016): an oracle that is its pseudocode, and the figures of section 5.3.
#include "tables/maglev.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using HashKey = std::array<uint8_t, kMaglevHashKeySize>;
using Table = std::vector<uint32_t>;

constexpr uint32_t kSmall = 65537;
constexpr uint32_t kLarge = 655373;

HashKey SomeHashKey(uint8_t seed = 7) {
  HashKey key;
  for (size_t i = 0; i < key.size(); i++) key[i] = static_cast<uint8_t>(seed + i);
  return key;
}

struct Backend {
  std::string key;
  uint32_t weight;
};

Table Build(const std::vector<Backend>& backends, uint32_t size, const HashKey& hash_key = SomeHashKey()) {
  std::vector<MaglevBackend> views;
  views.reserve(backends.size());
  for (const Backend& backend : backends) views.push_back({backend.key, backend.weight});
  absl::StatusOr<Table> table = BuildMaglev(views, size, hash_key);
  EXPECT_TRUE(table.ok()) << table.status();
  return table.ok() ? *table : Table();
}

std::vector<Backend> Pool(size_t count, uint32_t weight = 10) {
  std::vector<Backend> backends;
  for (size_t i = 0; i < count; i++) {
    backends.push_back({"10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256), weight});
  }
  return backends;
}

std::vector<size_t> Counts(const Table& table, size_t backends) {
  std::vector<size_t> counts(backends);
  for (uint32_t backend : table) counts.at(backend)++;
  return counts;
}

// The name of each entry's backend, so that tables of different pools can be compared.
std::vector<std::string> Names(const Table& table, const std::vector<Backend>& backends) {
  std::vector<std::string> names;
  for (uint32_t backend : table) names.push_back(backends.at(backend).key);
  return names;
}

// ---- The oracle: slow, and plain enough to be compared with the paper by eye.

// Section 3.4: permutation[i][j] = (offset + j x skip) mod M.
struct OraclePermutation {
  uint64_t offset, skip, m;
  uint64_t operator[](uint64_t j) const { return (offset + j * skip) % m; }
};

std::vector<OraclePermutation> OraclePermutations(const std::vector<Backend>& backends, uint64_t m,
                                                  const HashKey& hash_key) {
  std::vector<OraclePermutation> permutation;
  for (const Backend& backend : backends) {
    const std::string text = std::string(hash_key.begin(), hash_key.end()) + backend.key;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), hash);
    uint64_t h1 = 0, h2 = 0;
    for (int i = 0; i < 8; i++) h1 += uint64_t{hash[i]} << (8 * i);
    for (int i = 0; i < 8; i++) h2 += uint64_t{hash[8 + i]} << (8 * i);
    permutation.push_back({h1 % m, h2 % (m - 1) + 1, m});
  }
  return permutation;
}

// Pseudocode 1 to the letter; the backends have to be sorted by key, and have one weight.
Table PaperOracle(const std::vector<Backend>& backends, uint64_t m, const HashKey& hash_key) {
  const auto permutation = OraclePermutations(backends, m, hash_key);
  std::vector<uint64_t> next(backends.size(), 0);
  std::vector<int64_t> entry(m, -1);
  uint64_t n = 0;
  while (true) {
    for (size_t i = 0; i < backends.size(); i++) {
      uint64_t c = permutation[i][next[i]];
      while (entry[c] >= 0) {
        next[i] = next[i] + 1;
        c = permutation[i][next[i]];
      }
      entry[c] = static_cast<int64_t>(i);
      next[i] = next[i] + 1;
      n = n + 1;
      if (n == m) return Table(entry.begin(), entry.end());
    }
  }
}

// The same with turns by weight: whoever's turn is the earliest, and of several the heaviest, and of those the first by
// key.
Table WeightedOracle(const std::vector<Backend>& backends, uint64_t m, const HashKey& hash_key) {
  const auto permutation = OraclePermutations(backends, m, hash_key);
  std::vector<uint64_t> next(backends.size(), 0);
  std::vector<uint64_t> turns(backends.size(), 0);
  std::vector<int64_t> entry(m, -1);
  const auto is_before = [&](size_t a, size_t b) {
    const auto time = [&](size_t i, size_t other) {
      return turns[i] == 0 ? 0 : (2 * turns[i] + 1) * backends[other].weight;
    };
    if (time(a, b) != time(b, a)) return time(a, b) < time(b, a);
    if (backends[a].weight != backends[b].weight) return backends[a].weight > backends[b].weight;
    return backends[a].key < backends[b].key;
  };
  for (uint64_t n = 0; n < m; n++) {
    int64_t turn = -1;
    for (size_t i = 0; i < backends.size(); i++) {
      if (backends[i].weight == 0) continue;
      if (turn < 0 || is_before(i, static_cast<size_t>(turn))) turn = static_cast<int64_t>(i);
    }
    if (turn < 0) return {};
    const auto i = static_cast<size_t>(turn);
    while (entry[permutation[i][next[i]]] >= 0) next[i]++;
    entry[permutation[i][next[i]]] = turn;
    turns[i]++;
  }
  return Table(entry.begin(), entry.end());
}

constexpr uint32_t kPrimes[] = {41, 43, 101, 211, 503, 1009, 2003};

TEST(MaglevTest, EqualWeightsGiveThePapersTable) {
  std::mt19937 random(2016);
  for (int round = 0; round < 100; round++) {
    std::vector<Backend> backends = Pool(1 + random() % 40, 1 + random() % 100);
    std::sort(backends.begin(), backends.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    const uint32_t size = kPrimes[random() % std::size(kPrimes)];
    const HashKey key = SomeHashKey(static_cast<uint8_t>(random()));
    ASSERT_EQ(Build(backends, size, key), PaperOracle(backends, size, key)) << backends.size() << " in " << size;
  }
}

TEST(MaglevTest, LargeTablesAreThePapersToo) {
  for (const auto& [count, size] : {std::pair{50, kSmall}, {1000, kSmall}, {1000, kLarge}}) {
    std::vector<Backend> backends = Pool(count);
    std::sort(backends.begin(), backends.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    // Not ASSERT_EQ, which would print both.
    ASSERT_TRUE(Build(backends, size) == PaperOracle(backends, size, SomeHashKey())) << count << " in " << size;
  }
}

TEST(MaglevTest, WeightsAgreeWithTheOracle) {
  std::mt19937 random(34);
  for (int round = 0; round < 300; round++) {
    std::vector<Backend> backends = Pool(1 + random() % 40);
    const uint32_t heaviest = round % 3 == 0 ? 3 : round % 3 == 1 ? 1000 : UINT32_MAX;
    for (Backend& backend : backends) backend.weight = random() % heaviest + (random() % 8 != 0);
    std::shuffle(backends.begin(), backends.end(), random);
    const uint32_t size = kPrimes[random() % std::size(kPrimes)];
    const HashKey key = SomeHashKey(static_cast<uint8_t>(random()));
    ASSERT_EQ(Build(backends, size, key), WeightedOracle(backends, size, key)) << backends.size() << " in " << size;
  }
}

TEST(MaglevTest, WeightsInALargeTableAgreeWithTheOracle) {
  std::vector<Backend> backends = Pool(100);
  for (size_t i = 0; i < backends.size(); i++) backends[i].weight = static_cast<uint32_t>(1 + i % 7);
  ASSERT_TRUE(Build(backends, kSmall) == WeightedOracle(backends, kSmall, SomeHashKey()));
}

// Computed apart from this code, from the description in maglev.h: a node of another version must build the same.
TEST(MaglevTest, StaysTheSameTableForEver) {
  const std::vector<Backend> backends = {{"10.0.1.11", 10}, {"10.0.1.12", 20}, {"2001:db8::1", 5}};
  EXPECT_EQ(Build(backends, 31),
            Table({0, 2, 1, 0, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 2, 2}));
}

TEST(MaglevTest, OrderOfBackendsDoesNotMatter) {
  std::mt19937 random(1);
  std::vector<Backend> backends = Pool(100);
  for (Backend& backend : backends) backend.weight = 1 + random() % 5;
  const std::vector<std::string> expected = Names(Build(backends, kSmall), backends);
  for (int round = 0; round < 20; round++) {
    std::shuffle(backends.begin(), backends.end(), random);
    ASSERT_EQ(Names(Build(backends, kSmall), backends), expected);
  }
}

TEST(MaglevTest, BackendsWithoutWeightDoNotMatter) {
  const std::vector<Backend> backends = Pool(20);
  std::vector<Backend> more = backends;
  more.insert(more.begin(), {"10.0.0.1", 0});
  more.push_back({"10.9.0.1", 0});
  EXPECT_EQ(Names(Build(more, kSmall), more), Names(Build(backends, kSmall), backends));
}

TEST(MaglevTest, OnlyProportionsMatter) {
  std::vector<Backend> light = Pool(50);
  for (size_t i = 0; i < light.size(); i++) light[i].weight = static_cast<uint32_t>(1 + i % 7);
  std::vector<Backend> heavy = light;
  for (Backend& backend : heavy) backend.weight *= 613'566'756;
  EXPECT_EQ(Build(light, kSmall), Build(heavy, kSmall));
}

TEST(MaglevTest, AnotherHashKeyGivesAnotherTable) {
  const Table one = Build(Pool(10), kSmall, SomeHashKey(1));
  const Table other = Build(Pool(10), kSmall, SomeHashKey(2));
  size_t same = 0;
  for (size_t i = 0; i < one.size(); i++) same += one[i] == other[i];
  EXPECT_NEAR(static_cast<double>(same) / kSmall, 0.1, 0.02);
}

TEST(MaglevTest, NothingToTakeTheEntries) {
  EXPECT_EQ(Build({}, kSmall), Table());
  EXPECT_EQ(Build({{"a", 0}, {"b", 0}}, kSmall), Table());
}

TEST(MaglevTest, OneBackendTakesAll) {
  EXPECT_EQ(Build({{"a", 1}}, kSmall), Table(kSmall, 0));
  EXPECT_EQ(Build({{"a", 0}, {"b", UINT32_MAX}}, 2), Table({1, 1}));
}

TEST(MaglevTest, AsManyBackendsAsEntries) {
  EXPECT_EQ(Counts(Build(Pool(101), 101), 101), std::vector<size_t>(101, 1));
}

TEST(MaglevTest, ErrorsSayWhatToDo) {
  const HashKey key = SomeHashKey();
  const MaglevBackend one[] = {{"a", 1}};
  for (uint32_t size : {0u, 1u, 65536u, 65535u, 16777259u}) {
    EXPECT_EQ(BuildMaglev(one, size, key).status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
  const MaglevBackend three[] = {{"a", 1}, {"b", 1}, {"c", 1}};
  EXPECT_EQ(BuildMaglev(three, 2, key).status().message(),
            "3 backends in a Maglev table of 2 entries; take a prime more than 100 times their number");
  const MaglevBackend twins[] = {{"a", 1}, {"b", 1}, {"a", 0}};
  EXPECT_EQ(BuildMaglev(twins, kSmall, key).status().message(), "two backends are called 'a'");
}

// ---- Figures beside the paper's.

TEST(MaglevTest, EveryBackendHasItsShare) {
  std::printf(
      "evenness, entries of a backend / average. Paper, section 3.4: within 1 %% for more than 100 entries a backend;\n"
      "section 5.3, 1,000 backends: over-provisioning by 29.7 %% (Karger) or 49.5 %% (rendezvous) at 65,537, 10.3 %%\n"
      "or 12.3 %% at 655,373, almost none with Maglev.\n"
      "   entries  backends  max/avg  min/avg\n");
  for (uint32_t size : {kSmall, kLarge}) {
    for (size_t count : {10, 30, 100, 300, 1000}) {
      const std::vector<size_t> counts = Counts(Build(Pool(count), size), count);
      const auto [min, max] = std::minmax_element(counts.begin(), counts.end());
      const double average = static_cast<double>(size) / static_cast<double>(count);
      std::printf("%10u %9zu %8.4f %8.4f\n", size, count, static_cast<double>(*max) / average,
                  static_cast<double>(*min) / average);
      EXPECT_LE(*max - *min, 1u);
    }
  }
}

TEST(MaglevTest, SharesFollowTheWeights) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; round++) {
    std::vector<Backend> backends = Pool(1 + random() % 600);
    double total = 0;
    for (size_t i = 0; i < backends.size(); i++) {
      backends[i].weight = static_cast<uint32_t>(round == 0 ? 1 + i % 3 : 1 + random() % 1000);
      total += backends[i].weight;
    }
    const std::vector<size_t> counts = Counts(Build(backends, kSmall), backends.size());
    for (size_t i = 0; i < backends.size(); i++) {
      const double share = kSmall * backends[i].weight / total;
      ASSERT_GE(counts[i], 1u);
      ASSERT_NEAR(static_cast<double>(counts[i]), std::max(share, 1.0), 1.0) << "weight " << backends[i].weight;
    }
  }
}

TEST(MaglevTest, OneTwoThree) {
  const std::vector<size_t> counts = Counts(Build({{"a", 1}, {"b", 2}, {"c", 3}}, kSmall), 3);
  EXPECT_NEAR(static_cast<double>(counts[0]), kSmall / 6.0, 1);
  EXPECT_NEAR(static_cast<double>(counts[1]), kSmall / 3.0, 1);
  EXPECT_NEAR(static_cast<double>(counts[2]), kSmall / 2.0, 1);
}

TEST(MaglevTest, ALightBackendGetsAnEntryAmongHeavyOnes) {
  std::vector<Backend> backends = Pool(10, UINT32_MAX);
  backends.push_back({"light", 1});
  EXPECT_EQ(Counts(Build(backends, kSmall), 11)[10], 1u);
}

struct Disruption {
  // Shares of the table: entries that name another backend than before, and those that no change of shares asks for.
  double changed = 0;
  double needless = 0;
};

Disruption Compare(const std::vector<Backend>& before, const std::vector<Backend>& after, uint32_t size) {
  // Both pools' backends by one number each.
  std::map<std::string, size_t> numbers;
  const auto numbered = [&](const std::vector<Backend>& backends) {
    std::vector<size_t> of_backend;
    of_backend.reserve(backends.size());
    for (const Backend& backend : backends) {
      of_backend.push_back(numbers.emplace(backend.key, numbers.size()).first->second);
    }
    std::vector<size_t> entries;
    for (uint32_t backend : Build(backends, size)) entries.push_back(of_backend.at(backend));
    return entries;
  };
  const std::vector<size_t> from = numbered(before);
  const std::vector<size_t> to = numbered(after);
  std::vector<int64_t> growth(numbers.size());
  int64_t changed = 0;
  for (uint32_t i = 0; i < size; i++) {
    changed += from[i] != to[i];
    growth[from[i]]--;
    growth[to[i]]++;
  }
  int64_t needed = 0;
  for (int64_t count : growth) needed += std::max<int64_t>(count, 0);
  return {static_cast<double>(changed) / size, static_cast<double>(changed - needed) / size};
}

struct Change {
  const char* name;
  // Into how many different weights 10, 20, 30 ... the pool is mixed.
  uint32_t weights;
  void (*apply)(std::vector<Backend>& backends, size_t victim);
};

void Leave(std::vector<Backend>& pool, size_t i) {
  pool.erase(pool.begin() + static_cast<ptrdiff_t>(i));
}
void Join(std::vector<Backend>& pool, size_t i) {
  pool.push_back({"10.99.0." + std::to_string(i), 10});
}

const Change kChanges[] = {
    {"one leaves", 1, Leave},
    {"one joins", 1, Join},
    {"weight + 10 %", 1, [](auto& pool, size_t i) { pool[i].weight += pool[i].weight / 10; }},
    {"weight halved", 1, [](auto& pool, size_t i) { pool[i].weight /= 2; }},
    {"weight doubled", 1, [](auto& pool, size_t i) { pool[i].weight *= 2; }},
    {"weight to 0", 1, [](auto& pool, size_t i) { pool[i].weight = 0; }},
    {"mixed: one leaves", 10, Leave},
    {"mixed: one joins", 10, Join},
    {"mixed: + 10 %", 10, [](auto& pool, size_t i) { pool[i].weight += pool[i].weight / 10; }},
    {"mixed: halved", 10, [](auto& pool, size_t i) { pool[i].weight /= 2; }},
    {"mixed: x 10", 10, [](auto& pool, size_t i) { pool[i].weight *= 10; }},
};

Disruption MeanDisruption(const Change& change, uint32_t size, size_t backends, int rounds) {
  std::vector<Backend> before = Pool(backends);
  for (size_t i = 0; i < before.size(); i++) before[i].weight *= static_cast<uint32_t>(1 + i * 7 % change.weights);
  Disruption mean;
  for (int round = 0; round < rounds; round++) {
    std::vector<Backend> after = before;
    change.apply(after, backends * static_cast<size_t>(2 * round + 1) / static_cast<size_t>(2 * rounds));
    const Disruption one = Compare(before, after, size);
    mean.changed += one.changed / rounds;
    mean.needless += one.needless / rounds;
  }
  return mean;
}

TEST(MaglevTest, AChangeMovesLittle) {
  std::printf(
      "disruption, per cent of the table: changed (and without need). Paper, figure 12: a curve without numbers;\n"
      "\"more resilient to backend changes when the table size is larger\".\n"
      "%-18s %10s %17s %17s %17s\n",
      "change", "entries", "10 backends", "100", "1000");
  for (const Change& change : kChanges) {
    for (uint32_t size : {kSmall, kLarge}) {
      std::printf("%-18s %10u", change.name, size);
      for (size_t backends : {10, 100, 1000}) {
        const Disruption mean = MeanDisruption(change, size, backends, size == kSmall ? 10 : 1);
        std::printf("    %5.2f (%5.2f)", 100 * mean.changed, 100 * mean.needless);
        // About twice what was measured.
        EXPECT_LE(mean.needless, size == kSmall ? 0.012 : 0.007) << change.name << " of " << backends;
      }
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace sluice
