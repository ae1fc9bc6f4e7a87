#include "tables/maglev.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using HashKey = std::span<const uint8_t, kMaglevHashKeySize>;

// Four entries at once.
using Entries [[gnu::vector_size(4 * sizeof(int32_t))]] = int32_t;

// Where a backend stands in its permutation of the entries, and how far the next one is.
struct Permutation {
  uint32_t backend;
  uint32_t position;
  uint32_t skip;
  // Four of them.
  uint32_t four_skips;
  // None to three of them, all modulo the size.
  Entries skips;
};

// Backends of one weight take their turns together.
struct WeightClass {
  uint32_t weight;
  // The time of the next turn is half_turns / (2 * weight).
  uint64_t half_turns;
  // The members, in the order that they take their turns in.
  uint32_t begin;
  uint32_t end;
};

// Later turns sink in a max-heap. Exact: a turn is less than 2^25 half turns and a weight less than 2^32.
bool IsLater(const WeightClass& a, const WeightClass& b) {
  const uint64_t left = a.half_turns * b.weight;
  const uint64_t right = b.half_turns * a.weight;
  return left != right ? left > right : a.weight < b.weight;
}

bool IsPrime(uint32_t number) {
  if (number < 2) return false;
  for (uint32_t divisor = 2; uint64_t{divisor} * divisor <= number; divisor++) {
    if (number % divisor == 0) return false;
  }
  return true;
}

uint64_t LittleEndian64(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
  return value;
}

// h1 and h2 of the paper are the first two words of SHA-256(hash key, backend key): a function that every version of
// every library agrees on, and that nobody without the hash key can steer. The context is reused: to make one costs
// more than to hash.
class KeyedHash {
 public:
  explicit KeyedHash(HashKey key)
      : key_(key), context_(EVP_MD_CTX_new()), digest_(EVP_MD_fetch(nullptr, "SHA256", "")) {}
  ~KeyedHash() {
    EVP_MD_free(digest_);
    EVP_MD_CTX_free(context_);
  }
  KeyedHash(const KeyedHash&) = delete;
  KeyedHash& operator=(const KeyedHash&) = delete;

  absl::StatusOr<Permutation> PermutationOf(uint32_t backend, std::string_view key, uint32_t size) {
    std::array<uint8_t, EVP_MAX_MD_SIZE> hash;
    if (context_ == nullptr || digest_ == nullptr || EVP_DigestInit_ex2(context_, digest_, nullptr) != 1 ||
        EVP_DigestUpdate(context_, key_.data(), key_.size()) != 1 ||
        EVP_DigestUpdate(context_, key.data(), key.size()) != 1 ||
        EVP_DigestFinal_ex(context_, hash.data(), nullptr) != 1) {
      return absl::InternalError("libcrypto does not compute SHA-256; check its configuration and providers");
    }
    const auto skip = static_cast<uint32_t>(LittleEndian64(&hash[8]) % (size - 1) + 1);
    const auto skips = [&](uint64_t count) { return static_cast<uint32_t>(count * skip % size); };
    const auto lane = [&](uint64_t count) { return static_cast<int32_t>(skips(count)); };
    return Permutation{.backend = backend,
                       .position = static_cast<uint32_t>(LittleEndian64(&hash[0]) % size),
                       .skip = skip,
                       .four_skips = skips(4),
                       .skips = {0, lane(1), lane(2), lane(3)}};
  }

 private:
  HashKey key_;
  EVP_MD_CTX* context_;
  EVP_MD* digest_;
};

// A backend, by its place among all of them.
struct Taker {
  uint32_t weight;
  uint32_t backend;
  std::string_view key;
};

// Those that have a weight: heavier ones first, by key among equals.
absl::StatusOr<std::vector<Taker>> TurnOrder(std::span<const MaglevBackend> backends) {
  std::vector<Taker> order;
  order.reserve(backends.size());
  for (uint32_t i = 0; i < backends.size(); i++) order.push_back({backends[i].weight, i, backends[i].key});
  std::sort(order.begin(), order.end(), [](const Taker& a, const Taker& b) { return a.key < b.key; });
  const auto twin =
      std::adjacent_find(order.begin(), order.end(), [](const Taker& a, const Taker& b) { return a.key == b.key; });
  if (twin != order.end()) {
    return absl::InvalidArgumentError(absl::StrCat("two backends are called '", std::string(twin->key), "'"));
  }
  std::erase_if(order, [](const Taker& taker) { return taker.weight == 0; });
  std::stable_sort(order.begin(), order.end(), [](const Taker& a, const Taker& b) { return a.weight > b.weight; });
  return order;
}

std::vector<WeightClass> WeightClasses(std::span<const Taker> order) {
  std::vector<WeightClass> classes;
  for (uint32_t i = 0; i < order.size(); i++) {
    const uint32_t weight = order[i].weight;
    if (classes.empty() || classes.back().weight != weight) classes.push_back({weight, 0, i, i});
    classes.back().end = i + 1;
  }
  return classes;
}

absl::Status CheckSize(uint32_t size, size_t takers) {
  if (size > kMaglevMaxSize || !IsPrime(size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a Maglev table of ", size, " entries; take a prime of at most ", kMaglevMaxSize, ", as 65537"));
  }
  if (takers <= size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(takers, " backends in a Maglev table of ", size,
                                                 " entries; take a prime more than 100 times their number"));
}

// A set of entries, in a byte each: to shift a bit to its place takes longer than the second-level cache.
class EntrySet {
 public:
  // All of them.
  explicit EntrySet(uint32_t size) : has_(size, 1) {}
  uint32_t Has(uint32_t entry) const { return has_[entry]; }
  void Remove(uint32_t entry) { has_[entry] = 0; }
  std::vector<uint32_t> List() const {
    std::vector<uint32_t> entries;
    for (uint32_t i = 0; i < has_.size(); i++) {
      if (has_[i] != 0) entries.push_back(i);
    }
    return entries;
  }

 private:
  std::vector<uint8_t> has_;
};

// The number whose product with `number` is 1 modulo the prime, by Euclid.
uint32_t Inverse(uint32_t number, uint32_t prime) {
  int64_t factor = 1;
  int64_t next_factor = 0;
  uint32_t rest = number;
  for (uint32_t next_rest = prime; next_rest != 0;) {
    const uint32_t quotient = rest / next_rest;
    rest = std::exchange(next_rest, rest % next_rest);
    factor = std::exchange(next_factor, factor - quotient * next_factor);
  }
  return static_cast<uint32_t>(factor < 0 ? factor + prime : factor);
}

// The entries that nobody has yet: finds the first of them in a permutation, the paper's next[i].
//
// A walk along the permutation finds one in a few steps until few are left; more than half of the steps for a table
// would be for the last few hundred. An entry is (entry - position) / skip steps away, modulo the size. When there are
// few, each of them is asked how far it is, which takes one multiplication: 2^64 * distance / size compares as the
// distance does, and is (entry - position) * step modulo 2^64, where step is 2^64 / skip / size. What rounding the step
// takes away is less than 2^24, and distances are 2^40 apart.
class FreeEntries {
 public:
  FreeEntries(uint32_t size, size_t backends)
      : size_(size), left_(size), few_(FewOf(size)), free_(size), steps_(backends) {}

  // One for each of the backends from `begin` to `end`, in their order, until none is left.
  void Take(std::span<Permutation> permutations, uint32_t begin, uint32_t end, std::span<uint32_t> table) {
    const auto give = [&](uint32_t entry, Permutation& permutation) {
      permutation.position = After(entry, permutation.skip);
      table[entry] = permutation.backend;
    };
    const uint32_t walks = std::min(end - begin, left_ - std::min(left_, few_));
    // Walks alone, so that all they need stays in registers.
    for (Permutation& permutation : permutations.subspan(begin, walks)) give(Walk(permutation), permutation);
    left_ -= walks;
    for (uint32_t i = begin + walks; i < end && left_ > 0; i++) {
      give(Nearest(i, permutations[i]), permutations[i]);
      left_--;
    }
  }

  bool none() const { return left_ == 0; }

 private:
  // A walk takes size / left steps, and a step takes as long as one question.
  static uint32_t FewOf(uint32_t size) { return static_cast<uint32_t>(std::sqrt(size)); }

  // One of the two is too large or has wrapped around: the lesser, as nobody can predict which, so never a branch.
  uint32_t After(uint32_t position, uint32_t skip) const { return std::min(position + skip, position + skip - size_); }

  // The same of four, which are less than 2^31, so that they may be compared as signed numbers.
  Entries After(Entries positions, uint32_t skip) const {
    const auto size = static_cast<int32_t>(size_);
    const Entries further = positions + static_cast<int32_t>(skip);
    return further - ((further >= size) & size);
  }

  // Four steps at once, as nobody can predict which one is the last.
  uint32_t Walk(const Permutation& permutation) {
    Entries positions = After(permutation.skips, permutation.position);
    while (true) {
      std::array<uint32_t, 4> entries;
      std::memcpy(entries.data(), &positions, sizeof(positions));
      const uint32_t free = free_.Has(entries[0]) | free_.Has(entries[1]) << 8 | free_.Has(entries[2]) << 16 |
                            free_.Has(entries[3]) << 24;
      if (free != 0) {
        const uint32_t entry = entries[static_cast<uint32_t>(std::countr_zero(free)) / 8];
        free_.Remove(entry);
        return entry;
      }
      positions = After(positions, permutation.four_skips);
    }
  }

  uint32_t Nearest(uint32_t place, const Permutation& permutation) {
    if (last_.empty()) last_ = free_.List();
    uint64_t& step = steps_[place];
    if (step == 0) step = StepOf(permutation.skip);
    uint64_t nearest = UINT64_MAX;
    size_t at = 0;
    for (size_t i = 0; i < last_.size(); i++) {
      const uint64_t distance = (uint64_t{last_[i]} - permutation.position) * step;
      at = distance < nearest ? i : at;
      nearest = std::min(nearest, distance);
    }
    const uint32_t entry = last_[at];
    last_[at] = last_.back();
    last_.pop_back();
    return entry;
  }

  // 2^64 / skip / size modulo 2^64, rounded down; never 0, as a size is less than 2^32.
  uint64_t StepOf(uint32_t skip) const {
    const uint64_t upper = uint64_t{Inverse(skip, size_)} << 32;
    return (upper / size_) << 32 | ((upper % size_) << 32) / size_;
  }

  const uint32_t size_;
  uint32_t left_;
  // From so many on they are listed.
  const uint32_t few_;
  // Until they are.
  EntrySet free_;
  std::vector<uint32_t> last_;
  // By place; 0 until it is needed.
  std::vector<uint64_t> steps_;
};

std::vector<uint32_t> Fill(std::vector<WeightClass> classes, std::vector<Permutation> permutations, uint32_t size) {
  std::vector<uint32_t> table(size);
  FreeEntries free(size, permutations.size());
  std::make_heap(classes.begin(), classes.end(), IsLater);
  while (true) {
    std::pop_heap(classes.begin(), classes.end(), IsLater);
    WeightClass& turn = classes.back();
    free.Take(permutations, turn.begin, turn.end, table);
    if (free.none()) return table;
    // The first turn is at 0, so that every weight gets an entry; turn k > 0 at (k + 1/2) / weight.
    turn.half_turns = turn.half_turns == 0 ? 3 : turn.half_turns + 2;
    std::push_heap(classes.begin(), classes.end(), IsLater);
  }
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> BuildMaglev(std::span<const MaglevBackend> backends, uint32_t size,
                                                  std::span<const uint8_t, kMaglevHashKeySize> hash_key) {
  const absl::StatusOr<std::vector<Taker>> order = TurnOrder(backends);
  if (!order.ok()) return order.status();
  if (absl::Status status = CheckSize(size, order->size()); !status.ok()) return status;
  if (order->empty()) return std::vector<uint32_t>();
  KeyedHash hash(hash_key);
  std::vector<Permutation> permutations;
  permutations.reserve(order->size());
  for (const Taker& taker : *order) {
    absl::StatusOr<Permutation> permutation = hash.PermutationOf(taker.backend, taker.key, size);
    if (!permutation.ok()) return permutation.status();
    permutations.push_back(*permutation);
  }
  return Fill(WeightClasses(*order), std::move(permutations), size);
}

}  // namespace sluice
