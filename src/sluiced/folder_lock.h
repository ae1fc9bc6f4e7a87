// A folder that one daemon has for itself, as long as the object lives: a lock that goes with its process, however that
// ends.
//
// Thread-safety: none.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sluice {

class FolderLock {
 public:
  // Of the file `folder`/`name`, which stays: to remove it would race with the next. Makes the folder where there is
  // none. Errors, which name `flag`, the one that the folder came by: AlreadyExists, another sluiced has it;
  // PermissionDenied, the file cannot be made.
  static absl::StatusOr<FolderLock> Take(const std::string& folder, const char* name, const char* flag);
  FolderLock() = default;
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

 private:
  explicit FolderLock(int file) : file_(file) {}

  int file_ = -1;
};

}  // namespace sluice
