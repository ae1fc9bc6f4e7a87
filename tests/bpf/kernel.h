// What the tests of BPF programs share: maps filled, and a program run over one frame.
//
// Thread-safety: none.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "mutate.h"
#include "sluice/tables.h"

namespace sluice {

template <typename Record>
void FillMap(const bpf_map* map, const Record* records, size_t count) {
  ASSERT_LE(count, bpf_map__max_entries(map));
  for (uint32_t i = 0; i < count; i++) {
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(map), &i, &records[i], BPF_ANY), 0) << std::strerror(errno);
  }
}

// A map of lines with room for several entries each.
inline void FillMaglev(const bpf_map* map, const uint32_t* slots, size_t count) {
  std::vector<sluice_maglev_line> lines(count / std::size(sluice_maglev_line{}.slots) + 1);
  std::memcpy(lines.data(), slots, count * sizeof(*slots));
  FillMap(map, lines.data(), lines.size());
}

// The frame as the program left it, which may be longer; *action is an xdp_action.
inline std::string RunProgram(int program, const std::string& in, uint32_t* action, xdp_md* context = nullptr) {
  std::string out(in.size() + 256, '\0');
  bpf_test_run_opts options = {};
  options.sz = sizeof(options);
  options.data_in = in.data();
  options.data_size_in = static_cast<uint32_t>(in.size());
  options.data_out = out.data();
  options.data_size_out = static_cast<uint32_t>(out.size());
  options.repeat = 1;
  if (context != nullptr) {
    context->data_end = options.data_size_in;
    options.ctx_in = context;
    options.ctx_size_in = sizeof(*context);
  }
  EXPECT_EQ(bpf_prog_test_run_opts(program, &options), 0) << std::strerror(errno);
  out.resize(options.data_size_out);
  *action = options.retval;
  return out;
}
inline std::string RunProgram(const bpf_program* program, const std::string& in, uint32_t* action) {
  return RunProgram(bpf_program__fd(program), in, action);
}

}  // namespace sluice
