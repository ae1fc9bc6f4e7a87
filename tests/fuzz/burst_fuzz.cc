// Any bytes as bursts of frames over small tables: every frame gets one verdict and is counted under it; one that
// leaves lies inside its buffer and goes to a port that there is; one that doesn't leave is as it was; the connection
// table names nothing but backends that exist.
//
// The input: records of (clock step, headroom and tailroom, length, frame); a clock step with its highest bit ends a
// burst.
#include <cstring>
#include <string>
#include <vector>

#include "engine/burst.h"
#include "tests/fuzz/burst_buffer.h"
#include "tests/fuzz/packets.h"

namespace sluice::fuzz {
namespace {

constexpr size_t kRecordHead = 4;

class Machine {
 public:
  Machine() : buckets_(8), path_(*BurstPath::Create({{buckets_.data(), 4}, {buckets_.data() + 4, 4}})) {}

  void Process(uint64_t now, uint16_t ingress, const std::vector<Buffer>& buffers) {
    std::array<Frame, SLUICE_BURST> frames;
    for (size_t i = 0; i < buffers.size(); i++) frames[i] = buffers[i].MakeFrame();
    path_.Process(SmallTables().view(), now, ingress, ingress, frames.data(), static_cast<uint32_t>(buffers.size()));
    for (size_t i = 0; i < buffers.size(); i++) Check(frames[i], buffers[i]);
    processed_ += buffers.size();
    CheckCounters();
  }

 private:
  static void Check(const Frame& frame, const Buffer& buffer) {
    Require(frame.verdict < SLUICE_VERDICT_COUNT);
    if (sluice_verdict_kind(frame.verdict) == SLUICE_KIND_TRANSMIT) {
      Require(buffer.Contains(frame));
      Require(frame.length >= SLUICE_ETHERNET_BYTES && frame.egress < kPorts);
    } else {
      Require(frame.data == buffer.memory.get() + buffer.headroom && frame.length == buffer.original.size());
      Require(std::memcmp(frame.data, buffer.original.data(), frame.length) == 0);
    }
  }

  void CheckCounters() const {
    uint64_t verdicts = 0;
    for (const uint64_t count : path_.counters().verdicts) verdicts += count;
    Require(verdicts == processed_ && path_.counters().received == processed_);
    for (const sluice_bucket& bucket : buckets_) {
      for (const uint64_t entry : bucket.entries) Require(entry == 0 || sluice_entry_slot(entry) < kBackends);
    }
  }

  std::vector<sluice_bucket> buckets_;
  BurstPath path_;
  uint64_t processed_ = 0;
};

void Run(const uint8_t* data, size_t size) {
  Machine machine;
  uint64_t now = uint64_t{5000} << SLUICE_TICK_SHIFT;
  std::vector<Buffer> burst;
  while (size >= kRecordHead) {
    const uint8_t step = data[0];
    const uint8_t rooms = data[1];
    const auto length = static_cast<uint32_t>(std::min<size_t>(data[2] | (data[3] & 7) << 8, size - kRecordHead));
    burst.emplace_back(std::string(reinterpret_cast<const char*>(data) + kRecordHead, length),
                       static_cast<uint16_t>((rooms & 0xf) * 9), rooms & 0x10);
    data += kRecordHead + length;
    size -= kRecordHead + length;
    if (!(step & 0x80) && burst.size() < SLUICE_BURST && size >= kRecordHead) continue;
    now += static_cast<uint64_t>(step & 0x3f) << (SLUICE_TICK_SHIFT + (step & 0x40 ? 2 : 0));
    machine.Process(now, rooms >> 7, burst);
    burst.clear();
  }
}

}  // namespace
}  // namespace sluice::fuzz

// Now and then another sample becomes the last record.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  if (size != 0 && random() % 8 != 0) return LLVMFuzzerMutate(data, size, max_size);
  if (size + sluice::fuzz::kRecordHead > max_size) return LLVMFuzzerMutate(data, size, max_size);
  const size_t end = sluice::fuzz::PutSample(data, size + sluice::fuzz::kRecordHead, max_size, random);
  const size_t length = end - size - sluice::fuzz::kRecordHead;
  data[size] = static_cast<uint8_t>(random());
  data[size + 1] = static_cast<uint8_t>(random());
  data[size + 2] = static_cast<uint8_t>(length);
  data[size + 3] = static_cast<uint8_t>(length >> 8);
  return end;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::fuzz::Run(data, size);
  return 0;
}
