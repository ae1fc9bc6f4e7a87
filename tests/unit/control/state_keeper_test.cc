// The thread that writes what is wanted.
#include "control/state_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "control/state_file.h"
#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

v1::StoredState State(uint64_t revision) {
  v1::StoredState state;
  state.set_revision(revision);
  return state;
}

class StateKeeperTest : public testing::Test {
 protected:
  std::unique_ptr<StateKeeper> Make(const std::string& folder) {
    return std::make_unique<StateKeeper>(folder, [this](std::function<void()> answer) {
      {
        const std::lock_guard lock(mutex_);
        answers_.push_back(std::move(answer));
      }
      came_.notify_all();
    });
  }
  // Answers of the other thread, one by one.
  void RunOne() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(came_.wait_for(lock, std::chrono::seconds(20), [this] { return !answers_.empty(); }));
    const std::function<void()> answer = std::move(answers_.front());
    answers_.pop_front();
    lock.unlock();
    answer();
  }
  static uint64_t Kept(const std::string& folder) { return ReadState(folder)->state.revision(); }

  TemporaryFolder folder_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<std::function<void()>> answers_;
};

TEST_F(StateKeeperTest, NothingToKeepIsKept) {
  const auto keeper = Make(folder_.path());
  bool called = false;
  keeper->WhenKept([&](const absl::Status& status) { called = status.ok(); });
  EXPECT_TRUE(called);
  EXPECT_TRUE(keeper->Flush().ok());
}

TEST_F(StateKeeperTest, AnAnswerComesWhenItIsOnTheDisk) {
  const auto keeper = Make(folder_.path());
  for (uint64_t i = 1; i <= 50; i++) {
    keeper->Keep({State(i), nullptr});
    bool called = false;
    keeper->WhenKept([&](const absl::Status& status) { called = status.ok(); });
    if (!called) RunOne();
    ASSERT_TRUE(called);
    ASSERT_EQ(Kept(folder_.path()), i);
  }
}

TEST_F(StateKeeperTest, ManyAtOnceAreAllAnsweredInOrder) {
  const auto keeper = Make(folder_.path());
  std::vector<uint64_t> answered;
  for (uint64_t i = 1; i <= 200; i++) {
    keeper->Keep({State(i), nullptr});
    keeper->WhenKept([&, i](const absl::Status& status) {
      EXPECT_TRUE(status.ok());
      EXPECT_GE(Kept(folder_.path()), i);
      answered.push_back(i);
    });
  }
  ASSERT_TRUE(keeper->Flush().ok());
  EXPECT_EQ(Kept(folder_.path()), 200u);
  while (answered.size() < 200) RunOne();
  EXPECT_TRUE(std::is_sorted(answered.begin(), answered.end()));
}

TEST_F(StateKeeperTest, TheLastIsWrittenBeforeTheEnd) {
  {
    const auto keeper = Make(folder_.path());
    for (uint64_t i = 1; i <= 20; i++) keeper->Keep({State(i), nullptr});
  }
  EXPECT_EQ(Kept(folder_.path()), 20u);
}

TEST_F(StateKeeperTest, AFailureIsToldAndTriedAgain) {
  const std::string folder = folder_.path() + "/later";
  const auto keeper = Make(folder);
  keeper->Keep({State(1), nullptr});
  EXPECT_THAT(std::string(keeper->Flush().message()), HasSubstr("cannot be written"));
  absl::Status told;
  keeper->WhenKept([&](const absl::Status& status) { told = status; });
  EXPECT_FALSE(told.ok());
  EXPECT_FALSE(keeper->status().ok());
  std::filesystem::create_directory(folder);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!keeper->status().ok() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(keeper->status().ok());
  EXPECT_EQ(Kept(folder), 1u);
}

TEST_F(StateKeeperTest, EndsWhereNothingCanBeWritten) {
  const auto keeper = Make(folder_.path() + "/nowhere");
  keeper->Keep({State(1), nullptr});
  EXPECT_FALSE(keeper->Flush().ok());
}

}  // namespace
}  // namespace sluice
