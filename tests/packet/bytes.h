// Bytes in network order and their sums, in the plainest way: what the tests of the path believe in instead of the
// path.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::packet_test {

inline std::string Byte(uint64_t value) {
  return std::string(1, static_cast<char>(value & 0xff));
}
inline std::string Word(uint64_t value) {
  return Byte(value >> 8) + Byte(value);
}
inline std::string Long(uint64_t value) {
  return Word(value >> 16) + Word(value);
}

inline uint32_t ByteAt(std::string_view bytes, size_t offset) {
  return static_cast<uint8_t>(bytes.at(offset));
}
inline uint32_t WordAt(std::string_view bytes, size_t offset) {
  return ByteAt(bytes, offset) << 8 | ByteAt(bytes, offset + 1);
}
inline uint32_t LongAt(std::string_view bytes, size_t offset) {
  return WordAt(bytes, offset) << 16 | WordAt(bytes, offset + 2);
}

// Of 16-bit words in network order, a zero behind an odd last byte (RFC 1071).
inline uint32_t Sum(std::string_view bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i++) sum += ByteAt(bytes, i) << (i % 2 == 0 ? 8 : 0);
  return sum;
}
inline uint16_t Fold(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

}  // namespace sluice::packet_test
