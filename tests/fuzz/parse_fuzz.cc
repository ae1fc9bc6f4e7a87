// Any bytes as one frame: parse ends, reads nothing behind the frame (its buffer is as long as it is), what it says of
// offsets is inside, and the naive parser of the unit tests agrees.
#include "sluice/dispatch.h"
#include "tests/fuzz/packets.h"
#include "tests/unit/path/naive_parse.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  if (size == 0 || random() % 16 == 0) return sluice::fuzz::PutSample(data, 0, max_size, random);
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::fuzz::Require;
  const uint8_t* end = data + size;
  const sluice::path_test::Parsed parsed = sluice::path_test::PathParse(data, end);
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  Require(Text(parsed) == Text(sluice::path_test::NaiveParse(frame)));
  Require(parsed.verdict <= SLUICE_CONTINUE);
  if (parsed.verdict != SLUICE_CONTINUE) return 0;
  const sluice_packet& packet = parsed.packet;
  Require(packet.l3_offset + packet.l3_length <= size);
  if (packet.kind == SLUICE_PACKET_FLOW) Require(packet.l4_offset + 8u <= size);
  const sluice_tables& tables = sluice::fuzz::SmallTables().view();
  uint32_t listener = 0;
  uint32_t pool = 0;
  const sluice_verdict verdict = sluice_dispatch(&tables, tables.settings, &packet, &listener, &pool);
  Require(verdict <= SLUICE_CONTINUE);
  // The two kinds that go on without a listener are told from those that have one.
  if (verdict == SLUICE_CONTINUE) {
    Require((listener == SLUICE_NO_LISTENER) == (packet.kind == SLUICE_PACKET_LATER_FRAGMENT));
    Require(listener == SLUICE_NO_LISTENER ? pool == SLUICE_NO_POOL
                                           : listener < 10 && pool == tables.listeners[listener].pool);
  }
  return 0;
}
