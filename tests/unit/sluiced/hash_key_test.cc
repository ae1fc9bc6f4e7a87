#include "sluiced/hash_key.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class HashKeyTest : public ::testing::Test {
 protected:
  std::string KeyPath() const { return folder_.path() + "/hash_key"; }

  void Write(const std::string& path, size_t bytes) {
    std::ofstream(path, std::ios::binary) << std::string(bytes, 'k');
  }

  std::string RefusalOf(const std::string& state_dir) {
    const auto key = FindHashKey("", state_dir);
    return key.ok() ? "" : std::string(key.status().message());
  }

  TemporaryFolder folder_;
};

TEST_F(HashKeyTest, AConfiguredKeyIsTakenAndNothingIsKept) {
  const std::string configured = "0123456789abcdef0123456789abcdef";
  const auto key = FindHashKey(configured, folder_.path() + "/state");
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(std::string(key->begin(), key->end()), configured);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/state"));
}

TEST_F(HashKeyTest, AKeyIsMadeOnceAndKept) {
  const auto first = FindHashKey("", folder_.path());
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = FindHashKey("", folder_.path());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  EXPECT_NE(*first, (std::array<uint8_t, 32>{}));
}

TEST_F(HashKeyTest, TwoNodesHaveDifferentKeys) {
  const TemporaryFolder other;
  const auto first = FindHashKey("", folder_.path());
  const auto second = FindHashKey("", other.path());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
}

TEST_F(HashKeyTest, OnlyItsOwnerReadsIt) {
  // A crash may have left the file aside, for all to read.
  Write(KeyPath() + ".new", 5);
  std::filesystem::permissions(KeyPath() + ".new", std::filesystem::perms(0666));
  const mode_t before = umask(0);
  const auto key = FindHashKey("", folder_.path());
  umask(before);
  ASSERT_TRUE(key.ok()) << key.status();
  struct stat file {};
  ASSERT_EQ(stat(KeyPath().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0600u);
  EXPECT_EQ(file.st_size, 32);
  EXPECT_FALSE(std::filesystem::exists(KeyPath() + ".new"));
}

TEST_F(HashKeyTest, TheFolderIsMade) {
  const std::string state_dir = folder_.path() + "/not/yet";
  ASSERT_TRUE(FindHashKey("", state_dir).ok());
  EXPECT_TRUE(std::filesystem::exists(state_dir + "/hash_key"));
}

TEST_F(HashKeyTest, AFileOfAnotherSizeIsRefusedAndKept) {
  for (const size_t size : {0, 31, 33, 4096}) {
    Write(KeyPath(), size);
    EXPECT_THAT(RefusalOf(folder_.path()), AllOf(HasSubstr(KeyPath()), HasSubstr("32 bytes"), HasSubstr("remove it")))
        << size;
    EXPECT_EQ(std::filesystem::file_size(KeyPath()), size);
  }
}

TEST_F(HashKeyTest, AFolderThatCannotBeWrittenIsAnErrorWithAHint) {
  // A file stands where the folder should be: root is refused as well.
  Write(folder_.path() + "/file", 1);
  EXPECT_THAT(RefusalOf(folder_.path() + "/file/state"), AllOf(HasSubstr("--state_dir"), HasSubstr("engine.hash_key")));
}

TEST_F(HashKeyTest, AKeyThatCannotBeReadIsAnErrorWithAHint) {
  std::filesystem::create_directory(KeyPath());
  EXPECT_THAT(RefusalOf(folder_.path()), AllOf(HasSubstr(KeyPath()), HasSubstr("cannot be read")));
}

}  // namespace
}  // namespace sluice
