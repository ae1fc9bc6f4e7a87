#include "sluiced/folder_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST(FolderLockTest, OneHasTheFolderUntilItIsGone) {
  const TemporaryFolder above;
  const std::string folder = above.path() + "/made/for/it";
  std::optional<FolderLock> first;
  {
    absl::StatusOr<FolderLock> taken = FolderLock::Take(folder, "lock", "--run_dir");
    ASSERT_TRUE(taken.ok()) << taken.status();
    first = *std::move(taken);
  }
  const absl::Status refused = FolderLock::Take(folder, "lock", "--run_dir").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(refused.message(),
            "another sluiced runs with --run_dir=" + folder + "; stop it, or give this one a folder of its own");
  // A folder may be both, for what runs and for what is kept.
  EXPECT_TRUE(FolderLock::Take(folder, "wanted.lock", "--state_dir").ok());
  first.reset();
  EXPECT_TRUE(FolderLock::Take(folder, "lock", "--run_dir").ok());
}

TEST(FolderLockTest, AFolderThatCannotBeMadeIsTold) {
  const absl::Status refused = FolderLock::Take("/proc/none", "wanted.lock", "--state_dir").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("give a writable --state_dir"));
}

}  // namespace
}  // namespace sluice
