#include "tables/maglev.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using HashKey = std::span<const uint8_t, kMaglevHashKeySize>;

// Where a backend stands in its permutation of the entries, and how far the next one is.
struct Permutation {
  uint32_t position;
  uint32_t skip;
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

  absl::StatusOr<Permutation> PermutationOf(std::string_view backend, uint32_t size) {
    std::array<uint8_t, EVP_MAX_MD_SIZE> hash;
    if (context_ == nullptr || digest_ == nullptr || EVP_DigestInit_ex2(context_, digest_, nullptr) != 1 ||
        EVP_DigestUpdate(context_, key_.data(), key_.size()) != 1 ||
        EVP_DigestUpdate(context_, backend.data(), backend.size()) != 1 ||
        EVP_DigestFinal_ex(context_, hash.data(), nullptr) != 1) {
      return absl::InternalError("libcrypto does not compute SHA-256; check its configuration and providers");
    }
    return Permutation{.position = static_cast<uint32_t>(LittleEndian64(&hash[0]) % size),
                       .skip = static_cast<uint32_t>(LittleEndian64(&hash[8]) % (size - 1) + 1)};
  }

 private:
  HashKey key_;
  EVP_MD_CTX* context_;
  EVP_MD* digest_;
};

// The backends that have a weight, heavier first, by key among equals.
std::vector<uint32_t> TurnOrder(std::span<const MaglevBackend> backends) {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < backends.size(); i++) {
    if (backends[i].weight > 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (backends[a].weight != backends[b].weight) return backends[a].weight > backends[b].weight;
    return backends[a].key < backends[b].key;
  });
  return order;
}

std::vector<WeightClass> WeightClasses(std::span<const MaglevBackend> backends, std::span<const uint32_t> order) {
  std::vector<WeightClass> classes;
  for (uint32_t i = 0; i < order.size(); i++) {
    const uint32_t weight = backends[order[i]].weight;
    if (classes.empty() || classes.back().weight != weight) classes.push_back({weight, 0, i, i});
    classes.back().end = i + 1;
  }
  return classes;
}

absl::Status Check(std::span<const MaglevBackend> backends, std::span<const uint32_t> order, uint32_t size) {
  if (size > kMaglevMaxSize || !IsPrime(size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a Maglev table of ", size, " entries; take a prime of at most ", kMaglevMaxSize, ", as 65537"));
  }
  if (order.size() > size) {
    return absl::InvalidArgumentError(absl::StrCat(order.size(), " backends in a Maglev table of ", size,
                                                   " entries; take a prime more than 100 times their number"));
  }
  std::vector<std::string_view> keys;
  for (const MaglevBackend& backend : backends) keys.push_back(backend.key);
  std::sort(keys.begin(), keys.end());
  const auto twin = std::adjacent_find(keys.begin(), keys.end());
  if (twin == keys.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("two backends are called '", std::string(*twin), "'"));
}

// Which entries are taken, in an eighth of a byte each: the search for a free one stays in the first-level cache.
class Occupancy {
 public:
  explicit Occupancy(uint32_t size) : words_((size + 63) / 64) {}
  bool Test(uint32_t entry) const { return words_[entry / 64] >> entry % 64 & 1; }
  void Set(uint32_t entry) { words_[entry / 64] |= uint64_t{1} << entry % 64; }

 private:
  std::vector<uint64_t> words_;
};

// The paper's next[i]: the first entry of the permutation that is free.
uint32_t TakeNextFree(Permutation& permutation, Occupancy& taken, uint32_t size) {
  uint32_t position = permutation.position;
  const uint32_t skip = permutation.skip;
  while (taken.Test(position)) {
    position += skip;
    if (position >= size) position -= size;
  }
  taken.Set(position);
  permutation.position = position;
  return position;
}

std::vector<uint32_t> Fill(std::span<const uint32_t> order, std::vector<WeightClass> classes,
                           std::vector<Permutation> permutations, uint32_t size) {
  std::vector<uint32_t> table(size);
  Occupancy taken(size);
  std::make_heap(classes.begin(), classes.end(), IsLater);
  uint32_t filled = 0;
  while (true) {
    std::pop_heap(classes.begin(), classes.end(), IsLater);
    WeightClass& turn = classes.back();
    for (uint32_t i = turn.begin; i < turn.end; i++) {
      table[TakeNextFree(permutations[i], taken, size)] = order[i];
      if (++filled == size) return table;
    }
    // The first turn is at 0, so that every weight gets an entry; turn k > 0 at (k + 1/2) / weight.
    turn.half_turns = turn.half_turns == 0 ? 3 : turn.half_turns + 2;
    std::push_heap(classes.begin(), classes.end(), IsLater);
  }
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> BuildMaglev(std::span<const MaglevBackend> backends, uint32_t size,
                                                  std::span<const uint8_t, kMaglevHashKeySize> hash_key) {
  const std::vector<uint32_t> order = TurnOrder(backends);
  absl::Status status = Check(backends, order, size);
  if (!status.ok()) return status;
  if (order.empty()) return std::vector<uint32_t>();
  KeyedHash hash(hash_key);
  std::vector<Permutation> permutations;
  permutations.reserve(order.size());
  for (uint32_t backend : order) {
    absl::StatusOr<Permutation> permutation = hash.PermutationOf(backends[backend].key, size);
    if (!permutation.ok()) return permutation.status();
    permutations.push_back(*permutation);
  }
  return Fill(order, WeightClasses(backends, order), std::move(permutations), size);
}

}  // namespace sluice
