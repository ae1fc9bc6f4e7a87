#include "tests/packet/golden_runner.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/escaping.h"
#include "tables/builder.h"
#include "tests/packet/describe.h"

namespace sluice::packet_test {
namespace {

// The key of every case, so that hashes (ports and labels of tunnels, the choice of backends) are the same always.
constexpr std::array<uint8_t, 32> kHashKey = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                              17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

// Of a case's own process.
constexpr int kSkippedExit = 77;

std::string Described(const std::string& frame) {
  return frame.empty() ? "nothing" : DescribePacket(frame);
}

class GoldenTest : public testing::Test {
 public:
  GoldenTest(const GoldenCase& golden, bool own_process, const GoldenEngineFactory& factory, std::ostream& frames)
      : golden_(golden), own_process_(own_process), factory_(factory), frames_(frames) {}

  void TestBody() override {
    if (!own_process_) return RunCase();
    std::fflush(nullptr);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      RunCase();
      std::fflush(nullptr);
      _exit(HasFailure() ? 1 : IsSkipped() ? kSkippedExit : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kSkippedExit) GTEST_SKIP();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  }

 private:
  void RunCase() {
    absl::StatusOr<std::unique_ptr<TestedEngine>> engine = factory_();
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    for (const Step& step : golden_.steps) {
      std::visit([this](const auto& one) { Run(one); }, step);
      if (HasFatalFailure() || IsSkipped()) return;
    }
  }

  void Run(const PublishStep& step) {
    SCOPED_TRACE(step.place);
    const std::vector<PortDescription> ports = TestedPorts();
    absl::StatusOr<std::shared_ptr<const Tables>> tables =
        builder_.Build({&step.config, kHashKey, &step.next_hops, ports, &step.unhealthy});
    ASSERT_TRUE(tables.ok()) << tables.status();
    if (const std::string reason = engine_->Unable(**tables); !reason.empty()) GTEST_SKIP() << "SKIPPED: " << reason;
    const absl::Status published = engine_->Publish(*std::move(tables));
    ASSERT_TRUE(published.ok()) << published;
  }

  void Run(const WaitStep& step) { ASSERT_TRUE(engine_->Wait(step.time)); }

  void Run(const PacketStep& step) {
    SCOPED_TRACE(step.place);
    SCOPED_TRACE("in: " + Described(step.in));
    for (uint32_t i = 0; i < step.times; i++) {
      const absl::StatusOr<Outcome> outcome = ProcessOne(*engine_, step.in, step.from);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      frames_ << step.place << '\t' << outcome->verdict << '\t' << absl::BytesToHexString(step.in) << '\t'
              << absl::BytesToHexString(outcome->out) << '\n';
      EXPECT_EQ(outcome->verdict, step.verdict);
      EXPECT_EQ(Described(outcome->out), Described(step.out));
      EXPECT_EQ(outcome->out, step.out) << "the bytes";
      if (!step.out.empty()) {
        EXPECT_EQ(outcome->by, step.by) << "the port";
      }
    }
  }

  const GoldenCase& golden_;
  const bool own_process_;
  const GoldenEngineFactory& factory_;
  std::ostream& frames_;
  std::unique_ptr<TestedEngine> engine_;
  Builder builder_;
};

}  // namespace

int RunGoldenCases(int argc, char** argv, const std::string& engine, GoldenKind kind,
                   const GoldenEngineFactory& factory) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: %s FOLDER_OF_CASE_FILES [FILE_FOR_FRAMES]\n", argv[0]);
    return 2;
  }
  // Without a name it takes all and keeps nothing.
  std::ofstream frames;
  if (argc == 3) frames.open(argv[2]);
  if (argc == 3 && !frames.is_open()) {
    std::fprintf(stderr, "%s can't be written\n", argv[2]);
    return 2;
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  // Tests refer to their cases until the end.
  std::vector<std::unique_ptr<const GoldenCase>> cases;
  for (const std::string& file : files) {
    absl::StatusOr<std::vector<GoldenCase>> loaded = LoadGoldenCases(file);
    if (!loaded.ok()) {
      std::fprintf(stderr, "%s\n", std::string(loaded.status().message()).c_str());
      return 1;
    }
    for (GoldenCase& golden : *loaded) cases.push_back(std::make_unique<const GoldenCase>(std::move(golden)));
  }
  for (const auto& golden : cases) {
    if (golden->NeedsClock() && kind != GoldenKind::kSimulated) continue;
    testing::RegisterTest((engine + "/" + golden->file).c_str(), golden->name.c_str(), nullptr, nullptr, __FILE__,
                          __LINE__, [&golden, kind, &factory, &frames]() -> testing::Test* {
                            return new GoldenTest(*golden, kind == GoldenKind::kReal, factory, frames);
                          });
  }
  return cases.empty() ? 1 : RUN_ALL_TESTS();
}

}  // namespace sluice::packet_test
