// What is kept comes back, and damage is found.
#include "control/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::StoredState State(uint64_t revision) {
  v1::StoredState state;
  state.set_revision(revision);
  state.mutable_wanted()->add_changes()->set_pool("web");
  return state;
}

class StateFileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string Read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name), std::ios::binary).rdbuf();
    return text.str();
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
  }
  FoundState Find() const {
    const absl::StatusOr<FoundState> found = ReadState(folder_.path());
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : FoundState();
  }

  TemporaryFolder folder_;
};

TEST_F(StateFileTest, NothingWasEverKept) {
  const FoundState found = Find();
  EXPECT_EQ(found.state.revision(), 0u);
  EXPECT_THAT(found.notes, IsEmpty());
}

TEST_F(StateFileTest, TheLastOneComesBack) {
  for (uint64_t i = 1; i <= 3; i++) ASSERT_TRUE(WriteState(folder_.path(), {State(i), nullptr}).ok());
  const FoundState found = Find();
  EXPECT_EQ(found.state.SerializeAsString(), State(3).SerializeAsString());
  EXPECT_THAT(found.notes, IsEmpty());
  // It may have the key of the flow hash.
  struct stat status {};
  ASSERT_EQ(stat(Path("wanted").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(StateFileTest, CutOffAnywhereTheOneBeforeIsUsed) {
  ASSERT_TRUE(WriteState(folder_.path(), {State(1), nullptr}).ok());
  ASSERT_TRUE(WriteState(folder_.path(), {State(2), nullptr}).ok());
  const std::string whole = Read("wanted");
  for (size_t length = 0; length < whole.size(); length++) {
    Write("wanted", whole.substr(0, length));
    const FoundState found = Find();
    EXPECT_EQ(found.state.revision(), 1u) << length;
    EXPECT_THAT(found.notes, ElementsAre(HasSubstr("wanted is damaged, and kept as"),
                                         HasSubstr("wanted.old, the state before the last change, is used")));
    EXPECT_EQ(Read("wanted.bad"), whole.substr(0, length));
  }
}

TEST_F(StateFileTest, AnyChangedByteIsFound) {
  ASSERT_TRUE(WriteState(folder_.path(), {State(1), nullptr}).ok());
  const std::string whole = Read("wanted");
  for (size_t i = 0; i < whole.size(); i++) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    Write("wanted", changed);
    EXPECT_EQ(Find().state.revision(), 0u) << i;
  }
  EXPECT_THAT(Find().notes, IsEmpty());
  Write("wanted", whole + "x");
  EXPECT_THAT(Find().notes, ElementsAre(HasSubstr("damaged"), HasSubstr("the file alone counts")));
}

TEST_F(StateFileTest, WhatACrashLeftAsideDoesNotCount) {
  ASSERT_TRUE(WriteState(folder_.path(), {State(1), nullptr}).ok());
  Write("wanted.new", "half");
  EXPECT_EQ(Find().state.revision(), 1u);
  ASSERT_TRUE(WriteState(folder_.path(), {State(2), nullptr}).ok());
  EXPECT_EQ(Find().state.revision(), 2u);
}

TEST_F(StateFileTest, AFolderThatCannotBeWritten) {
  const absl::Status status = WriteState(Path("nowhere"), {State(1), nullptr});
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("nowhere/wanted.new cannot be written: No such file"));
}

}  // namespace
}  // namespace sluice
