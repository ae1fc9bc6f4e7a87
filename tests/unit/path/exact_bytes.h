// Bytes that end where readable memory ends: the page behind them is nobody's, so that a read past the end stops the
// test in every build, with or without a sanitizer.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace sluice::path_test {

class ExactBytes {
 public:
  ExactBytes() {
    void* memory = mmap(nullptr, kRoom + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    memory_ = static_cast<uint8_t*>(memory);
    if (mprotect(memory_ + kRoom, kPage, PROT_NONE) != 0) std::abort();
  }
  ~ExactBytes() { munmap(memory_, kRoom + kPage); }
  ExactBytes(const ExactBytes&) = delete;
  ExactBytes& operator=(const ExactBytes&) = delete;

  // Copies the bytes; they end at end(). What was there before is gone. At most kRoom.
  uint8_t* Place(std::string_view bytes) {
    if (bytes.size() > kRoom) std::abort();
    uint8_t* at = end() - bytes.size();
    std::memcpy(at, bytes.data(), bytes.size());
    return at;
  }
  uint8_t* end() const { return memory_ + kRoom; }

  static constexpr size_t kPage = 65536;
  static constexpr size_t kRoom = 2 * kPage;

 private:
  uint8_t* memory_;
};

}  // namespace sluice::path_test
