#include "results.h"

#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "sluice/verdict.h"

namespace sluice::bench {

void TellVerdicts(const EngineCounters& before, const EngineCounters& now, Results* results) {
  for (uint32_t verdict = 0; verdict < SLUICE_VERDICT_COUNT; verdict++) {
    const uint64_t count = now.verdicts[verdict] - before.verdicts[verdict];
    if (count == 0 || verdict == SLUICE_VERDICT_forwarded) continue;
    results->not_forwarded += count;
    absl::StrAppend(&results->other_verdicts, results->other_verdicts.empty() ? "" : ", ", count, " ",
                    sluice_verdict_name(verdict));
  }
}

uint64_t ResidentBytes() {
  uint64_t total = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace sluice::bench
