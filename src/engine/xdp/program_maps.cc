#include "engine/xdp/program_maps.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/xdp/bpf_status.h"

namespace sluice {

absl::StatusOr<int> MakeSharedArray(const char* name, uint32_t record, uint64_t records, const char* what) {
  LogLibbpf();
  bpf_map_create_opts options;
  PrepareBpfOptions(&options);
  options.map_flags = BPF_F_MMAPABLE;
  const int fd = records > UINT32_MAX ? -E2BIG
                                      : bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), record,
                                                       static_cast<uint32_t>(records), &options);
  if (fd >= 0) return fd;
  return LoadStatus(-fd, absl::StrCat("taking ", records * record >> 10, " KiB for ", what));
}

ProgramMap OpenProgramMap(int program, std::string_view name) {
  std::array<uint32_t, 64> ids{};
  bpf_prog_info info{};
  info.nr_map_ids = ids.size();
  info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program, &info, &size) != 0) return {};
  for (uint32_t i = 0; i < info.nr_map_ids && i < ids.size(); i++) {
    const int fd = bpf_map_get_fd_by_id(ids[i]);
    bpf_map_info map{};
    size = sizeof(map);
    if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &size) == 0 && map.name == name) {
      return {fd, map.max_entries, map.value_size};
    }
    if (fd >= 0) close(fd);
  }
  return {};
}

absl::StatusOr<Region> ReadProgramMap(int program, std::string_view name, uint32_t record) {
  const ProgramMap map = OpenProgramMap(program, name);
  if (map.fd < 0) return absl::NotFoundError(std::string(name));
  const absl::Cleanup closer = [&map] { close(map.fd); };
  if (map.record_size != record) return absl::FailedPreconditionError(std::string(name));
  return Region::Share(map.fd, size_t{map.records} * record);
}

}  // namespace sluice
