#include "sluice/connection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "sluice/hash.h"

namespace sluice::path_test {
namespace {

constexpr uint32_t kIdle = 200;
constexpr uint32_t kSlot = 77;

// A hash whose tag is `tag`; the buckets are given by the test.
uint64_t Tagged(uint64_t tag) {
  return tag;
}
uint64_t Entry(uint64_t tag, uint32_t state, uint32_t tick) {
  return sluice_entry_make(Tagged(tag), kSlot, state, tick & SLUICE_TICK_MASK);
}

TEST(EntryTest, PartsComeBack) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 10000; i++) {
    const uint64_t hash = random();
    const auto slot = static_cast<uint32_t>(random() % SLUICE_BACKENDS);
    const auto state = static_cast<uint32_t>(random() % 4);
    const auto tick = static_cast<uint32_t>(random() % 4096);
    const uint64_t entry = sluice_entry_make(hash, slot, state, tick);
    ASSERT_TRUE(sluice_entry_matches(entry, hash));
    ASSERT_FALSE(sluice_entry_matches(entry, hash ^ 1ull << random() % 30));
    ASSERT_EQ(sluice_entry_slot(entry), slot);
    ASSERT_EQ(sluice_entry_state(entry), state);
    ASSERT_EQ(sluice_entry_seen(entry), tick);
  }
  EXPECT_EQ(sluice_entry_state(SLUICE_ENTRY_EMPTY), static_cast<uint32_t>(SLUICE_STATE_EMPTY));
}

TEST(EntryTest, TouchLikeATableOfStates) {
  const uint32_t kNew = SLUICE_STATE_NEW, kConfirmed = SLUICE_STATE_CONFIRMED, kClosing = SLUICE_STATE_CLOSING;
  struct Row {
    uint32_t before;
    bool syn, close;
    uint32_t after;
  };
  for (const Row& row : std::vector<Row>{{kNew, true, false, kNew},
                                         {kNew, false, false, kConfirmed},
                                         {kNew, false, true, kClosing},
                                         {kConfirmed, true, false, kConfirmed},
                                         {kConfirmed, false, false, kConfirmed},
                                         {kConfirmed, false, true, kClosing},
                                         {kClosing, false, false, kClosing},
                                         {kClosing, false, true, kClosing}}) {
    const uint64_t entry = sluice_entry_touch(Entry(0x3fffffff, row.before, 5), 4095, row.syn, row.close);
    EXPECT_EQ(entry, Entry(0x3fffffff, row.after, 4095));
  }
}

TEST(EntryTest, ExpiryAtEveryTick) {
  for (uint32_t seen = 0; seen < 4096; seen += 111) {
    for (uint32_t age = 0; age < 4096; age++) {
      const uint32_t now = (seen + age) % 4096;
      ASSERT_EQ(sluice_entry_expired(Entry(1, SLUICE_STATE_CONFIRMED, seen), now, kIdle), age > kIdle);
      ASSERT_EQ(sluice_entry_expired(Entry(1, SLUICE_STATE_CLOSING, seen), now, kIdle), age > SLUICE_CLOSING_TICKS);
      ASSERT_EQ(sluice_entry_expired(Entry(1, SLUICE_STATE_CLOSING, seen), now, 5), age > 5);
    }
  }
}

TEST(EntryTest, ClearOnlyWhatWasSeen) {
  uint64_t at = Entry(1, SLUICE_STATE_CONFIRMED, 5);
  EXPECT_FALSE(sluice_entry_clear(&at, Entry(1, SLUICE_STATE_CONFIRMED, 4)));
  EXPECT_EQ(at, Entry(1, SLUICE_STATE_CONFIRMED, 5));
  EXPECT_TRUE(sluice_entry_clear(&at, at));
  EXPECT_EQ(at, SLUICE_ENTRY_VACATED);
  EXPECT_TRUE(sluice_entry_is_empty(at));
  EXPECT_FALSE(sluice_entry_matches(at, 0));
}

TEST(BucketTest, FindLikeALoop) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100000; i++) {
    sluice_bucket bucket{};
    for (uint64_t& entry : bucket.entries) {
      if (random() % 3) entry = Entry(random() % 4, 1 + random() % 3, random() % 4096);
    }
    const uint64_t tag = random() % 4;
    uint64_t* expected = nullptr;
    for (uint64_t& entry : bucket.entries) {
      // Tag 0 is not used, so that an empty entry has no flow's tag: it counts as 1.
      if (!expected && entry && entry >> 34 == std::max<uint64_t>(tag, 1)) expected = &entry;
    }
    ASSERT_EQ(sluice_bucket_find(&bucket, Tagged(tag)), expected);
  }
}

// Higher bits of the hash are no part of the tag.
TEST(BucketTest, FindGoesByTheTagAlone) {
  sluice_bucket bucket{};
  bucket.entries[7] = sluice_entry_make(0x123456789abcdef0ull, 1, SLUICE_STATE_NEW, 0);
  EXPECT_EQ(sluice_bucket_find(&bucket, 0x9abcdef0ull), &bucket.entries[7]);
  EXPECT_EQ(sluice_bucket_find(&bucket, 0x9abcdef1ull), nullptr);
}

// How good a victim an entry is, in words: the larger gives way first.
std::pair<int, uint32_t> Worth(uint64_t entry, uint32_t tick, uint32_t longest_idle) {
  const uint32_t age = (tick + 4096 - sluice_entry_seen(entry)) % 4096;
  switch (sluice_entry_state(entry)) {
    case SLUICE_STATE_EMPTY:
      return {SLUICE_VICTIM_EMPTY, 0};
    case SLUICE_STATE_CLOSING:
      if (age > SLUICE_CLOSING_TICKS || age > longest_idle) return {SLUICE_VICTIM_EXPIRED, age};
      return {SLUICE_VICTIM_CLOSING, age};
    case SLUICE_STATE_NEW:
      if (age > longest_idle) return {SLUICE_VICTIM_EXPIRED, age};
      return {SLUICE_VICTIM_NEW, age};
    default:
      if (age > longest_idle) return {SLUICE_VICTIM_EXPIRED, age};
      return {SLUICE_VICTIM_CONFIRMED, age};
  }
}

int64_t Empty(const sluice_bucket& bucket) {
  return std::count_if(std::begin(bucket.entries), std::end(bucket.entries),
                       [](uint64_t entry) { return sluice_entry_is_empty(entry); });
}

std::pair<int, uint32_t> MostWorth(const sluice_bucket& bucket, uint32_t tick) {
  std::pair<int, uint32_t> most{};
  for (const uint64_t entry : bucket.entries) most = std::max(most, Worth(entry, tick, kIdle));
  return most;
}

// About half a minute ago, or later.
bool IsKept(uint64_t entry, uint32_t tick) {
  return sluice_entry_state(entry) == SLUICE_STATE_CONFIRMED && (tick + 4096 - sluice_entry_seen(entry)) % 4096 <= 15;
}

// Now and then with nothing but confirmed flows, most of them seen lately.
void Fill(std::mt19937_64& random, uint32_t tick, sluice_bucket (&buckets)[2]) {
  const bool crowded = random() % 4 == 0;
  const uint32_t fill = crowded ? 20 : 1 + random() % 20;
  const uint32_t youngest = crowded ? random() % 16 : 0;
  const bool used = random() % 2 == 0;
  for (sluice_bucket& bucket : buckets) {
    for (uint64_t& entry : bucket.entries) {
      if (used && random() % 2) entry = SLUICE_ENTRY_VACATED;
      if (random() % 20 >= fill) continue;
      const uint32_t age = crowded ? youngest + random() % 4 : random() % (random() % 3 ? 60 : 260);
      const bool confirmed = crowded && random() % 40 != 0;
      entry = Entry(random(), confirmed ? uint32_t{SLUICE_STATE_CONFIRMED} : 1 + random() % 3, tick - age);
    }
  }
}

// Two random buckets, an insertion, and what must hold whatever the buckets were.
TEST(InsertTest, LikeTheRulesInWords) {
  std::mt19937_64 random(3);
  uint32_t refused = 0;
  uint32_t at_once = 0;
  uint32_t in_primary = 0;
  for (int i = 0; i < 200000; i++) {
    sluice_bucket before[2]{};
    const uint32_t tick = random() % 4096;
    Fill(random, tick, before);
    sluice_bucket after[2] = {before[0], before[1]};
    const uint32_t state = random() % 4 ? SLUICE_STATE_NEW : SLUICE_STATE_CONFIRMED;
    const uint64_t entry = Entry(42, state, tick);
    const sluice_victim victim = sluice_connection_insert(&after[0], &after[1], entry, kIdle);
    sluice_bucket short_way = before[0];
    if (sluice_bucket_put_at_once(&short_way, entry)) {
      ASSERT_EQ(memcmp(&short_way, &after[0], sizeof(short_way)), 0);
      at_once++;
    } else {
      ASSERT_EQ(memcmp(&short_way, &before[0], sizeof(short_way)), 0);
    }
    const auto kept = [&](uint64_t other) { return IsKept(other, tick); };
    const bool all_kept = std::all_of(std::begin(before[0].entries), std::end(before[0].entries), kept) &&
                          std::all_of(std::begin(before[1].entries), std::end(before[1].entries), kept);
    ASSERT_EQ(victim == SLUICE_VICTIM_NONE, all_kept && state == SLUICE_STATE_NEW);
    if (victim == SLUICE_VICTIM_NONE) {
      ASSERT_EQ(memcmp(before, after, sizeof(before)), 0);
      refused++;
      continue;
    }
    // Exactly one entry has changed, and it is the new one.
    std::vector<std::pair<int, int>> changed;
    for (int b = 0; b < 2; b++) {
      for (int e = 0; e < SLUICE_BUCKET_ENTRIES; e++) {
        if (after[b].entries[e] != before[b].entries[e]) changed.emplace_back(b, e);
      }
    }
    ASSERT_EQ(changed.size(), 1u);
    const auto [b, e] = changed[0];
    ASSERT_EQ(after[b].entries[e], entry);
    const auto gone = Worth(before[b].entries[e], tick, kIdle);
    ASSERT_EQ(gone.first, victim);
    for (const uint64_t other : before[b].entries) ASSERT_LE(Worth(other, tick, kIdle), gone);
    const int64_t empty[2] = {Empty(before[0]), Empty(before[1])};
    if (empty[0] > SLUICE_BUCKET_ENTRIES - SLUICE_PRIMARY_FILL) {
      ASSERT_EQ(b, 0);
    } else if (empty[0] + empty[1] > 0) {
      ASSERT_EQ(gone.first, SLUICE_VICTIM_EMPTY) << "nobody gives way while there is room";
      ASSERT_EQ(b, empty[1] > empty[0] ? 1 : 0);
    } else if (MostWorth(before[0], tick).first != SLUICE_VICTIM_CONFIRMED) {
      ASSERT_EQ(b, 0) << "who is not confirmed gives way where the flow is looked for first";
      in_primary++;
    } else {
      for (const uint64_t other : before[1 - b].entries) ASSERT_LE(Worth(other, tick, kIdle), gone);
      ASSERT_TRUE(b == 0 || gone != MostWorth(before[0], tick)) << "the first of two that are as old";
    }
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_GT(at_once, 1000u);
  EXPECT_GT(in_primary, 1000u);
}

// A partition's table as the engines compose it.
class Table {
 public:
  explicit Table(uint32_t buckets) : buckets_(buckets) {}

  uint64_t* Find(uint64_t hash) {
    uint64_t* at = sluice_bucket_find(Primary(hash), hash);
    if (at || !sluice_bucket_was_crowded(Primary(hash))) return at;
    return sluice_bucket_find(Secondary(hash), hash);
  }
  sluice_victim Insert(uint64_t hash, uint32_t slot, uint32_t state, uint32_t tick, uint32_t longest_idle) {
    return sluice_connection_insert(Primary(hash), Secondary(hash),
                                    sluice_entry_make(hash, slot, state, tick & SLUICE_TICK_MASK), longest_idle);
  }
  // As the control thread's sweep does.
  void Sweep(uint32_t tick, uint32_t longest_idle) {
    for (sluice_bucket& bucket : buckets_) {
      for (uint64_t& entry : bucket.entries) {
        if (!sluice_entry_is_empty(entry) && sluice_entry_expired(entry, tick & SLUICE_TICK_MASK, longest_idle)) {
          ASSERT_TRUE(sluice_entry_clear(&entry, entry));
        }
      }
    }
  }

 private:
  sluice_bucket* Primary(uint64_t hash) {
    return &buckets_[sluice_primary_bucket(hash, static_cast<uint32_t>(buckets_.size()))];
  }
  sluice_bucket* Secondary(uint64_t hash) {
    return &buckets_[sluice_secondary_bucket(hash, static_cast<uint32_t>(buckets_.size()))];
  }

  std::vector<sluice_bucket> buckets_;
};

// Flows come, speak, end and are forgotten for several turns of the tick counter; nothing is evicted, so the table and
// the map agree on every flow all the time. The map's clock does not wrap.
TEST(ConnectionTest, LikeAMapForManyTurnsOfTheClock) {
  struct Flow {
    uint32_t slot;
    uint32_t state;
    uint32_t seen;
  };
  std::mt19937_64 random(4);
  std::vector<uint64_t> hashes(500);
  for (uint64_t& hash : hashes) hash = random();
  std::map<uint64_t, Flow> map;
  Table table(256);
  for (uint32_t tick = 0; tick < 5 * 4096; tick++) {
    if (tick % 100 == 0) table.Sweep(tick, kIdle);
    for (int packets = random() % 8; packets > 0; packets--) {
      const uint64_t hash = hashes[random() % hashes.size()];
      const bool close = random() % 10 == 0;
      uint64_t* at = table.Find(hash);
      const bool live = at && !sluice_entry_expired(*at, tick & SLUICE_TICK_MASK, kIdle);
      const auto known = map.find(hash);
      const bool expected =
          known != map.end() && tick - known->second.seen <= (known->second.state == SLUICE_STATE_CLOSING ? 28 : kIdle);
      ASSERT_EQ(live, expected) << "tick " << tick;
      if (live) {
        ASSERT_EQ(sluice_entry_slot(*at), known->second.slot);
        ASSERT_EQ(sluice_entry_state(*at), known->second.state);
        *at = sluice_entry_touch(*at, tick & SLUICE_TICK_MASK, false, close);
        if (known->second.state != SLUICE_STATE_CLOSING) known->second.state = SLUICE_STATE_CONFIRMED;
        if (close) known->second.state = SLUICE_STATE_CLOSING;
        known->second.seen = tick;
        continue;
      }
      const auto slot = static_cast<uint32_t>(random() % 1000);
      if (at) *at = SLUICE_ENTRY_VACATED;
      ASSERT_GE(table.Insert(hash, slot, SLUICE_STATE_NEW, tick, kIdle), SLUICE_VICTIM_EXPIRED);
      map[hash] = {slot, SLUICE_STATE_NEW, tick};
    }
  }
}

// Loads `flows` confirmed flows and tells how many are still there.
uint32_t Load(Table& table, const std::vector<uint64_t>& hashes, std::array<uint32_t, SLUICE_VICTIM_COUNT>* victims) {
  for (const uint64_t hash : hashes) (*victims)[table.Insert(hash, kSlot, SLUICE_STATE_CONFIRMED, 1, kIdle)]++;
  return static_cast<uint32_t>(
      std::count_if(hashes.begin(), hashes.end(), [&](uint64_t hash) { return table.Find(hash) != nullptr; }));
}

std::vector<uint64_t> Hashes(uint32_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> hashes(count);
  for (uint64_t& hash : hashes) hash = random();
  return hashes;
}

TEST(ConnectionTest, AMillionFlowsAtTwelveBytesEach) {
  constexpr uint32_t kFlows = 1 << 20;
  Table table(kFlows * 12 / sizeof(sluice_bucket));
  const std::vector<uint64_t> hashes = Hashes(kFlows, 5);
  std::array<uint32_t, SLUICE_VICTIM_COUNT> victims{};
  const uint32_t found = Load(table, hashes, &victims);
  std::cout << "1 M flows at 12 bytes a flow: " << kFlows - found << " lost, " << victims[SLUICE_VICTIM_CONFIRMED]
            << " evicted\n";
  EXPECT_LE(kFlows - found, kFlows / 100000);
}

TEST(ConnectionTest, AFullTableKeepsAsManyFlowsAsItHasRoomFor) {
  constexpr uint32_t kBuckets = 1 << 15;
  Table table(kBuckets);
  const std::vector<uint64_t> hashes = Hashes(kBuckets * 8, 6);
  std::array<uint32_t, SLUICE_VICTIM_COUNT> victims{};
  const uint32_t found = Load(table, hashes, &victims);
  std::cout << "as many flows as entries: " << 100.0 * found / (kBuckets * 8.0) << " % kept\n";
  EXPECT_EQ(found + victims[SLUICE_VICTIM_CONFIRMED], kBuckets * 8);
  EXPECT_GT(found, kBuckets * 8 * 0.95);
}

// Ten times as many SYNs as the table has entries, when it holds what it is made for and when it is full of confirmed
// flows. None of those is lost; those that have been silent for longer go where there is nobody else.
TEST(ConnectionTest, ASynFloodPushesOutItsOwn) {
  constexpr uint32_t kBuckets = 1 << 14;
  for (const uint32_t flows : {static_cast<uint32_t>(kBuckets * sizeof(sluice_bucket) / 12), kBuckets * 8}) {
    Table table(kBuckets);
    const std::vector<uint64_t> hashes = Hashes(flows, 7);
    const auto remembered = [&] {
      return std::count_if(hashes.begin(), hashes.end(), [&](uint64_t hash) { return table.Find(hash) != nullptr; });
    };
    std::array<uint32_t, SLUICE_VICTIM_COUNT> victims{};
    const uint32_t before = Load(table, hashes, &victims);
    victims = {};
    const std::vector<uint64_t> syns = Hashes(kBuckets * 8 * 10, 8);
    for (const uint64_t syn : syns) victims[table.Insert(syn, kSlot, SLUICE_STATE_NEW, 1 + 15, kIdle)]++;
    EXPECT_EQ(remembered(), before);
    EXPECT_EQ(victims[SLUICE_VICTIM_CONFIRMED], 0u);
    EXPECT_EQ(victims[SLUICE_VICTIM_EXPIRED], 0u);
    EXPECT_GT(victims[SLUICE_VICTIM_NEW], 0u);
    EXPECT_GE(victims[SLUICE_VICTIM_NONE], flows == kBuckets * 8 ? kBuckets : 0);
    victims = {};
    for (const uint64_t syn : syns) {
      if (table.Find(syn) == nullptr) victims[table.Insert(syn, kSlot, SLUICE_STATE_NEW, 1 + 16, kIdle)]++;
    }
    EXPECT_EQ(victims[SLUICE_VICTIM_NONE], 0u);
    EXPECT_EQ(before - remembered(), victims[SLUICE_VICTIM_CONFIRMED]);
    EXPECT_GE(victims[SLUICE_VICTIM_CONFIRMED], flows == kBuckets * 8 ? 1u : 0u);
  }
}

}  // namespace
}  // namespace sluice::path_test
