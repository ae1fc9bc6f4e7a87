// The rhythm of checks and the states that they make, by a clock that the test moves.
#include "health/health_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/unit/health/fake_prober.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Outcome = CheckResult::Outcome;

std::shared_ptr<const CheckSpec> Spec(absl::Duration interval = absl::Seconds(1)) {
  CheckSpec spec;
  spec.terms = {interval, interval, interval, 2, 3};
  spec.timeout = interval;
  return std::make_shared<const CheckSpec>(spec);
}

CheckedBackend Backend(int number, const std::shared_ptr<const CheckSpec>& spec = Spec()) {
  CheckedBackend backend;
  backend.id = {"web", std::to_string(number)};
  backend.target.address.bytes[14] = static_cast<uint8_t>(number >> 8);
  backend.target.address.bytes[15] = static_cast<uint8_t>(number);
  backend.target.port = 80;
  backend.target.spec = spec;
  return backend;
}

class HealthCheckerTest : public testing::Test {
 protected:
  HealthCheckerTest() : checker_(prober_.Options()) {}

  // Ticks of 10 ms; every check ends at once, as `healthy` says.
  template <typename Healthy>
  void Run(absl::Duration time, const Healthy& healthy) {
    for (absl::Duration run; run < time; run += absl::Milliseconds(10)) {
      prober_.now += absl::Milliseconds(10);
      checker_.Tick();
      prober_.EndAll(healthy);
    }
  }
  void Pass(absl::Duration time) {
    Run(time, [](const CheckTarget&) { return true; });
  }
  void Fail(absl::Duration time) {
    Run(time, [](const CheckTarget&) { return false; });
  }
  HealthState State(int number = 1) const { return checker_.Find(Backend(number).id)->state(); }

  FakeProber prober_;
  HealthChecker checker_;
};

TEST_F(HealthCheckerTest, ABackendFallsAndRises) {
  checker_.Watch({{Backend(1)}});
  EXPECT_EQ(State(), HealthState::kInitial);
  EXPECT_EQ(checker_.Find({"web", "2"}), nullptr);
  Pass(absl::Seconds(1));
  EXPECT_EQ(State(), HealthState::kHealthy);
  EXPECT_THAT(checker_.TakeChanges(), ElementsAre(BackendId{"web", "1"}));
  Pass(absl::Seconds(1));
  Fail(absl::Seconds(2));
  EXPECT_EQ(State(), HealthState::kHealthy);
  Fail(absl::Seconds(1));
  EXPECT_EQ(State(), HealthState::kUnhealthy);
  Pass(absl::Seconds(1));
  EXPECT_EQ(State(), HealthState::kUnhealthy);
  Pass(absl::Seconds(1));
  EXPECT_EQ(State(), HealthState::kHealthy);
  EXPECT_THAT(checker_.TakeChanges(), ElementsAre(BackendId{"web", "1"}, BackendId{"web", "1"}));
  EXPECT_THAT(checker_.TakeChanges(), IsEmpty());
}

TEST_F(HealthCheckerTest, TenThousandBackendsDoNotBeatTogether) {
  std::vector<CheckedBackend> backends;
  const auto spec = Spec();
  for (int i = 0; i < 10'000; i++) backends.push_back(Backend(i, spec));
  checker_.Watch(backends);
  size_t most = 0;
  std::map<Address, int> checks;
  for (int tick = 0; tick < 500; tick++) {
    prober_.now += absl::Milliseconds(10);
    checker_.Tick();
    most = std::max(most, prober_.started.size());
    for (const FakeProber::Started& one : prober_.started) checks[one.target.address]++;
    prober_.EndAll([](const CheckTarget&) { return true; });
  }
  // 100 a tick would be even; the first second and the one in which each finds its place have up to twice that.
  EXPECT_LE(most, 220u);
  for (const auto& [address, count] : checks) {
    ASSERT_GE(count, 4);
    ASSERT_LE(count, 6);
  }
}

TEST_F(HealthCheckerTest, ABackendIsCheckedOnceAnInterval) {
  checker_.Watch({{Backend(1, Spec(absl::Seconds(2)))}});
  Pass(absl::Seconds(4));
  int checks = 0;
  Run(absl::Seconds(200), [&checks](const CheckTarget&) { return ++checks > 0; });
  EXPECT_EQ(checks, 100);
}

TEST_F(HealthCheckerTest, FastWhileChangingAndSlowWhileDown) {
  CheckSpec spec = *Spec();
  spec.terms = {absl::Seconds(10), absl::Seconds(1), absl::Seconds(100), 2, 3};
  checker_.Watch({{Backend(1, std::make_shared<const CheckSpec>(spec))}});
  Pass(absl::Seconds(15));
  ASSERT_EQ(State(), HealthState::kHealthy);
  // The first failure within 10 s, two more within 2 s.
  Fail(absl::Seconds(12));
  EXPECT_EQ(State(), HealthState::kUnhealthy);
  int checks = 0;
  Run(absl::Seconds(1'000), [&checks](const CheckTarget&) { return ++checks < 0; });
  EXPECT_NEAR(checks, 10, 1);
}

TEST(ObserveTermsTest, TooManyAreAtLeastSoManyAndSuchAShare) {
  const ObserveTerms terms{50, 20};
  for (const auto& [answered, failed, too_many] :
       {std::tuple(0, 0, false), {0, 19, false}, {0, 20, true}, {20, 20, true}, {21, 20, false}, {1000, 999, false}}) {
    EXPECT_EQ(terms.TooManyFailed({static_cast<uint64_t>(answered), static_cast<uint64_t>(failed)}), too_many)
        << answered << " " << failed;
  }
  const ObserveTerms all{100, 1};
  EXPECT_TRUE(all.TooManyFailed({0, 1}));
  EXPECT_FALSE(all.TooManyFailed({1, 1000}));
}

TEST_F(HealthCheckerTest, FlowsThatFailTakeABackendDownAndItsChecksBringItBack) {
  CheckSpec spec = *Spec(absl::Seconds(1));
  spec.terms.interval = absl::Seconds(100);
  spec.terms.observe = ObserveTerms{50, 20};
  checker_.Watch({{Backend(1, std::make_shared<const CheckSpec>(spec)), Backend(2)}});
  Pass(absl::Seconds(2));
  checker_.TakeChanges();
  checker_.Observe(Backend(1).id, {4, 3});
  checker_.Observe(Backend(2).id, {3, 37});
  EXPECT_THAT(checker_.TakeChanges(), IsEmpty()) << "too few, and of one that is not observed";
  checker_.Observe(Backend(1).id, {3, 37});
  checker_.Observe(Backend(1).id, {3, 40});
  checker_.Observe({"web", "nobody"}, {3, 37});
  EXPECT_THAT(checker_.TakeChanges(), ElementsAre(Backend(1).id));
  EXPECT_EQ(State(), HealthState::kUnhealthy);
  EXPECT_EQ(checker_.Find(Backend(1).id)->reason(), "observed: 37 of 40 new flows refused or not answered");
  // By its down_interval, not as late as it would have been checked.
  Pass(absl::Seconds(3));
  EXPECT_EQ(State(), HealthState::kHealthy);
}

TEST_F(HealthCheckerTest, AHangingCheckIsTheOnlyOneOfItsBackend) {
  checker_.Watch({{Backend(1)}});
  for (int i = 0; i < 1'000; i++) {
    prober_.now += absl::Milliseconds(10);
    checker_.Tick();
  }
  ASSERT_EQ(prober_.started.size(), 1u);
  EXPECT_EQ(checker_.running(), 1u);
  // It comes back as soon as it has ended, and does not make up for what it has missed.
  prober_.End(0, Outcome::kFailed);
  EXPECT_EQ(checker_.running(), 0u);
  checker_.Tick();
  EXPECT_EQ(prober_.started.size(), 2u);
  prober_.End(1, Outcome::kPassed);
  prober_.now += absl::Milliseconds(10);
  checker_.Tick();
  EXPECT_EQ(prober_.started.size(), 2u);
}

TEST_F(HealthCheckerTest, NoMoreRunAtATimeThanAllowed) {
  HealthChecker::Options options = prober_.Options();
  options.most_running = 10;
  HealthChecker checker(options);
  std::vector<CheckedBackend> backends;
  for (int i = 0; i < 30; i++) backends.push_back(Backend(i));
  checker.Watch(backends);
  prober_.now += absl::Seconds(1);
  checker.Tick();
  EXPECT_EQ(prober_.open(), 10u);
  prober_.End(0, Outcome::kPassed);
  checker.Tick();
  EXPECT_EQ(prober_.open(), 10u);
  EXPECT_EQ(prober_.started.size(), 11u);
}

TEST_F(HealthCheckerTest, ABackendThatIsGoneIsNotCheckedAnyMore) {
  checker_.Watch({{Backend(1), Backend(2)}});
  prober_.now += absl::Seconds(1);
  checker_.Tick();
  EXPECT_EQ(prober_.open(), 2u);
  checker_.Watch({{Backend(2)}});
  EXPECT_EQ(prober_.open(), 1u);
  EXPECT_EQ(checker_.running(), 1u);
  EXPECT_EQ(checker_.Find({"web", "1"}), nullptr);
}

TEST_F(HealthCheckerTest, AReloadKeepsStatesAlsoWithAnotherCheck) {
  checker_.Watch({{Backend(1), Backend(2)}});
  Run(absl::Seconds(10), [](const CheckTarget& target) { return target.address.bytes[15] == 1; });
  checker_.TakeChanges();
  const absl::Time since = checker_.Find({"web", "2"})->since();
  checker_.Watch({{Backend(1, Spec(absl::Seconds(5))), Backend(2, Spec(absl::Seconds(5))), Backend(3)}});
  EXPECT_EQ(State(1), HealthState::kHealthy);
  EXPECT_EQ(State(2), HealthState::kUnhealthy);
  EXPECT_EQ(State(3), HealthState::kInitial);
  EXPECT_EQ(checker_.Find({"web", "2"})->since(), since);
  EXPECT_THAT(checker_.TakeChanges(), IsEmpty());
  // The new interval is in force.
  int checks = 0;
  Run(absl::Seconds(50),
      [&checks](const CheckTarget& target) { return (checks += target.address.bytes[15] == 1) > 0; });
  EXPECT_NEAR(checks, 10, 1);
}

TEST_F(HealthCheckerTest, AnotherAddressIsAnotherServer) {
  checker_.Watch({{Backend(1)}});
  Pass(absl::Seconds(3));
  checker_.TakeChanges();
  CheckedBackend moved = Backend(1);
  moved.target.address.bytes[15] = 99;
  checker_.Watch({{moved}});
  EXPECT_EQ(State(), HealthState::kInitial);
  Fail(absl::Seconds(1));
  EXPECT_EQ(State(), HealthState::kUnhealthy);
}

TEST_F(HealthCheckerTest, ChecksThatCouldNotBeMadeAreCounted) {
  checker_.Watch({{Backend(1)}});
  Pass(absl::Seconds(3));
  for (int i = 0; i < 500; i++) {
    prober_.now += absl::Milliseconds(10);
    checker_.Tick();
    for (const FakeProber::Started& one : std::exchange(prober_.started, {})) {
      prober_.End(one.number, Outcome::kNotMade, "Too many open files");
    }
  }
  EXPECT_EQ(State(), HealthState::kHealthy);
  const HealthChecker::NotMade not_made = checker_.TakeNotMade();
  EXPECT_NEAR(static_cast<double>(not_made.count), 5, 1);
  EXPECT_EQ(not_made.reason, "Too many open files");
  EXPECT_EQ(checker_.TakeNotMade().count, 0u);
}

TEST(HealthCheckerClockTest, AWallClockThatIsSetBackChangesNoRhythm) {
  FakeProber prober;
  absl::Time wall = absl::FromUnixSeconds(1'000'000);
  HealthChecker checker({&prober, [&prober] { return prober.now; }, [&wall] { return wall; }});
  checker.Watch({{Backend(1)}});
  const auto run = [&](absl::Duration time, Outcome outcome) {
    int checks = 0;
    for (absl::Duration done; done < time; done += absl::Milliseconds(10)) {
      prober.now += absl::Milliseconds(10);
      checker.Tick();
      for (const FakeProber::Started& one : std::exchange(prober.started, {})) {
        checks++;
        prober.End(one.number, outcome);
      }
    }
    return checks;
  };
  run(absl::Seconds(5), Outcome::kPassed);
  wall -= absl::Hours(24);
  EXPECT_EQ(run(absl::Seconds(5), Outcome::kFailed), 5);
  EXPECT_EQ(checker.Find({"web", "1"})->state(), HealthState::kUnhealthy);
  wall += absl::Hours(48);
  EXPECT_EQ(run(absl::Seconds(5), Outcome::kPassed), 5);
  EXPECT_EQ(checker.Find({"web", "1"})->state(), HealthState::kHealthy);
}

}  // namespace
}  // namespace sluice
