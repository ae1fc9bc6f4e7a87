// File and API as the sources of one wanted state, over an engine that does what the test says.
#include "control/wanted.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/state_file.h"
#include "tests/unit/control/fake_engine.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"
#include "tests/unit/temporary_folder.h"

namespace sluice {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kA[] = "{name: a, address: 10.0.1.1}";
constexpr const char* kNames[] = {"a", "b", "c", "d"};
constexpr char kB[] = "{name: b, address: 10.0.1.2}";

LoadedConfig File(const std::string& backends) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(
      absl::StrCat("engine: {interfaces: [{name: eth0}]}\n"
                   "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}]\n"
                   "pools: [{name: web, backends: [",
                   backends, "]}]\n"),
      "test.yaml");
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *loaded : LoadedConfig();
}

v1::Backend Backend(const std::string& name, const std::string& address) {
  v1::Backend backend;
  backend.set_name(name);
  backend.set_address(address);
  return backend;
}

BackendEdit AddEdit(const std::string& pool, const v1::Backend& backend, const v1::ChangeOptions& options) {
  BackendEdit edit = EditOf(pool, backend.name(), options);
  *edit.change.mutable_added() = backend;
  return edit;
}

BackendEdit RemoveEdit(const std::string& name, const v1::ChangeOptions& options) {
  BackendEdit edit = EditOf("web", name, options);
  edit.change.set_removed(true);
  return edit;
}

BackendEdit UpdateEdit(const std::string& name, std::optional<uint32_t> weight, std::optional<v1::Backend::State> state,
                       const v1::ChangeOptions& options) {
  BackendEdit edit = EditOf("web", name, options);
  if (weight.has_value()) edit.change.set_weight(*weight);
  if (state.has_value()) edit.change.set_state(*state);
  return edit;
}

class WantedTest : public testing::Test {
 protected:
  WantedTest() { Start(); }

  // A daemon's life: the state folder stays, everything else is new.
  void Start() {
    wanted_.reset();
    controller_.reset();
    health_ = std::make_unique<HealthChecker>(prober_.Options());
    keeper_.reset();
    engine_ = FakeEngine();
    engine_.swept.flows_of_slot.resize(SLUICE_BACKENDS);
    keeper_ = std::make_unique<StateKeeper>(folder_.path(), [](const std::function<void()>&) {});
    controller_ = std::make_unique<Controller>(Controller::Options{&engine_, &next_hops_, health_.get(), {1, 2, 3}});
    wanted_ = std::make_unique<Wanted>(keeper_.get());
    const absl::StatusOr<FoundState> found = ReadState(folder_.path());
    ASSERT_TRUE(found.ok()) << found.status();
    notes_ = found->notes;
    ASSERT_TRUE(controller_->Apply(wanted_->Begin(file_, found->state, &notes_)).ok());
    wanted_->Serve(controller_.get());
  }

  // "a1 b5drain" of what the controller runs.
  std::string Running() const {
    std::vector<std::string> words;
    for (const v1::Backend& backend : controller_->config().pools(0).backends()) {
      words.push_back(absl::StrCat(backend.name(), backend.weight(),
                                   backend.state() == v1::Backend::DRAIN      ? "drain"
                                   : backend.state() == v1::Backend::DISABLED ? "disabled"
                                                                              : ""));
    }
    EXPECT_TRUE(MessageDifferencer::Equals(controller_->config(), wanted_->config()));
    std::string text;
    for (const std::string& word : words) absl::StrAppend(&text, text.empty() ? "" : " ", word);
    return text;
  }
  absl::StatusOr<v1::ChangeReply> Change(const BackendEdit& edit) { return wanted_->ChangeBackends({edit}).at(0); }
  absl::StatusOr<v1::ChangeReply> Add(const std::string& pool, const v1::Backend& backend,
                                      const v1::ChangeOptions& options) {
    return Change(AddEdit(pool, backend, options));
  }
  absl::StatusOr<v1::ChangeReply> Remove(const std::string& name, const v1::ChangeOptions& options) {
    return Change(RemoveEdit(name, options));
  }
  absl::StatusOr<v1::ChangeReply> Update(const std::string& name, std::optional<uint32_t> weight,
                                         std::optional<v1::Backend::State> state, const v1::ChangeOptions& options) {
    return Change(UpdateEdit(name, weight, state, options));
  }
  absl::StatusOr<v1::ChangeReply> SetWeight(const std::string& name, uint32_t weight) {
    return Update(name, weight, std::nullopt, {});
  }
  absl::StatusOr<v1::ChangeReply> SetState(const std::string& name, v1::Backend::State state) {
    return Update(name, std::nullopt, state, {});
  }

  TemporaryFolder folder_;
  LoadedConfig file_ = File(absl::StrCat(kA, ", ", kB));
  FakeEngine engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  std::unique_ptr<HealthChecker> health_;
  std::unique_ptr<StateKeeper> keeper_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<Wanted> wanted_;
  std::vector<std::string> notes_;
};

TEST_F(WantedTest, ChangesAreRunAndToldAndComeBack) {
  absl::StatusOr<v1::ChangeReply> reply = Add("web", Backend("c", "10.0.1.3"), {});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->generation(), 2u);
  EXPECT_EQ(reply->revision(), 1u);
  EXPECT_THAT(reply->changes(), ElementsAre(R"(+ pools[web].backends[c]: {name: c, address: "10.0.1.3", weight: 1})"));
  ASSERT_TRUE(SetWeight("a", 5).ok());
  ASSERT_TRUE(SetState("a", v1::Backend::DRAIN).ok());
  reply = Remove("b", {});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(reply->changes(), ElementsAre("- pools[web].backends[b]"));
  EXPECT_EQ(Running(), "a5drain c1");
  EXPECT_EQ(engine_.published->generation(), 5u);
  Start();
  EXPECT_EQ(Running(), "a5drain c1");
  EXPECT_EQ(wanted_->revision(), 4u);
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(WantedTest, WhatIsSoAlreadyChangesNothing) {
  ASSERT_TRUE(SetWeight("a", 5).ok());
  const absl::StatusOr<v1::ChangeReply> again = SetWeight("a", 5);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->generation(), 2u);
  EXPECT_EQ(again->revision(), 1u);
  EXPECT_THAT(again->changes(), IsEmpty());
  EXPECT_EQ(engine_.publishes, 2u);
}

TEST_F(WantedTest, ADryRunTellsAndDoesNothing) {
  v1::ChangeOptions dry;
  dry.set_dry_run(true);
  const absl::StatusOr<v1::ChangeReply> reply = Remove("a", dry);
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->dry_run());
  EXPECT_THAT(reply->changes(), ElementsAre("- pools[web].backends[a]"));
  EXPECT_THAT(wanted_->Apply(File(kB).config, dry)->changes(), ElementsAre("- pools[web].backends[a]"));
  EXPECT_EQ(wanted_->Rollback(dry).status().code(), absl::StatusCode::kFailedPrecondition);
  // What the change would be refused for.
  v1::Config unreadable = File(kB).config;
  unreadable.mutable_pools(0)->mutable_health_check()->set_type(v1::HealthCheck::HTTPS);
  unreadable.mutable_pools(0)->mutable_health_check()->set_ca_file("/nowhere/ca.pem");
  const absl::Status refused = wanted_->Apply(unreadable, dry).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("/nowhere/ca.pem"));
  EXPECT_EQ(Running(), "a1 b1");
  EXPECT_EQ(engine_.publishes, 1u);
  EXPECT_EQ(wanted_->revision(), 0u);
}

TEST_F(WantedTest, AChangeOfABackendWarnsOfWhatItMakes) {
  file_ = File(absl::StrCat(kA, "]}, {name: empty, backends: ["));
  Start();
  EXPECT_THAT(SetWeight("a", 3)->warnings(), IsEmpty());
  EXPECT_THAT(SetWeight("a", 0)->warnings(), ElementsAre(HasSubstr("pool \"web\" takes no new flows")));
  EXPECT_THAT(Add("web", Backend("c", "10.0.1.3"), {})->warnings(), IsEmpty());
  EXPECT_THAT(Remove("c", {})->warnings(), ElementsAre(HasSubstr("pool \"web\" takes no new flows")));
  EXPECT_THAT(Add("empty", Backend("c", "10.0.1.3"), {})->warnings(), IsEmpty());
  // A configuration as a whole is warned of whole.
  const absl::StatusOr<v1::ChangeReply> applied = wanted_->Apply(file_.config, {});
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_THAT(applied->warnings(),
              ElementsAre(HasSubstr("pool \"empty\" has no backends"), HasSubstr("is used by no listener")));
}

TEST_F(WantedTest, ErrorsSayWhatToDoAndChangeNothing) {
  const auto refusal = [](const absl::StatusOr<v1::ChangeReply>& reply) {
    return std::string(reply.status().message());
  };
  EXPECT_EQ(refusal(Add("wep", Backend("c", "10.0.1.3"), {})), "no pool is named \"wep\"; did you mean \"web\"?");
  EXPECT_THAT(refusal(Add("web", Backend("a", "10.0.1.3"), {})),
              HasSubstr("pool web has a backend \"a\" (10.0.1.1); remove it first"));
  EXPECT_THAT(refusal(Add("web", Backend("c", "10.0.1.1"), {})),
              HasSubstr("pools[0].backends[2].address: 10.0.1.1 is already backend \"a\""));
  EXPECT_THAT(refusal(Add("web", Backend(std::string(1 << 20, 'x'), "10.0.1.3"), {})),
              HasSubstr("a name of 1048576 bytes; use at most 63"));
  EXPECT_EQ(refusal(Remove("z", {})), "pool web has no backend \"z\"; it is one of a, b");
  EXPECT_LT(refusal(Remove(std::string(1 << 20, 'x'), {})).size(), 300u);
  EXPECT_THAT(refusal(SetWeight("a", 70'000)), HasSubstr("weight 70000 is too large"));
  EXPECT_THAT(refusal(SetState("a", static_cast<v1::Backend::State>(9))), HasSubstr("unknown state 9"));
  v1::Config other = file_.config;
  other.mutable_engine()->set_workers(7);
  other.mutable_admin()->set_listen("127.0.0.1:9910");
  EXPECT_EQ(refusal(wanted_->Apply(other, {})),
            "engine.workers, admin.listen cannot change while sluiced runs; restart it for that");
  engine_.answer = absl::InternalError("not now");
  EXPECT_EQ(refusal(SetWeight("a", 5)), "not now");
  EXPECT_EQ(Running(), "a1 b1");
  EXPECT_EQ(wanted_->revision(), 0u);
}

TEST_F(WantedTest, ARevisionThatHasPassedIsRefused) {
  v1::ChangeOptions options;
  options.set_revision(0);
  ASSERT_TRUE(Update("a", 2, std::nullopt, options).ok());
  const absl::Status status = Update("a", 3, std::nullopt, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at revision 1, not 0"));
  EXPECT_EQ(Running(), "a2 b1");
}

TEST_F(WantedTest, ManyAreMadeTogetherInTheirOrder) {
  std::vector<BackendEdit> edits;
  for (uint32_t weight = 2; weight < 102; weight++) edits.push_back(UpdateEdit("a", weight, std::nullopt, {}));
  edits.push_back(RemoveEdit("b", {}));
  edits.push_back(AddEdit("web", Backend("c", "10.0.1.2"), {}));
  const Wanted::Replies replies = wanted_->ChangeBackends(edits);
  ASSERT_EQ(replies.size(), edits.size());
  for (size_t i = 0; i < replies.size(); i++) {
    ASSERT_TRUE(replies[i].ok()) << i << replies[i].status();
    EXPECT_EQ(replies[i]->revision(), i + 1);
    EXPECT_EQ(replies[i]->generation(), 2u);
    EXPECT_EQ(replies[i]->changes_size(), 1);
  }
  EXPECT_THAT(replies[1]->changes(), ElementsAre("~ pools[web].backends[a].weight: 2 -> 3"));
  EXPECT_EQ(engine_.publishes, 2u);
  EXPECT_EQ(Running(), "a101 c1");
  Start();
  EXPECT_EQ(Running(), "a101 c1");
  EXPECT_EQ(wanted_->revision(), 102u);
}

TEST_F(WantedTest, WhatIsRefusedHoldsUpNoneOfTheOthers) {
  v1::ChangeOptions dry;
  dry.set_dry_run(true);
  v1::ChangeOptions first;
  first.set_revision(0);
  const std::vector<BackendEdit> edits = {UpdateEdit("a", 2, std::nullopt, first),
                                          UpdateEdit("a", 3, std::nullopt, first),
                                          RemoveEdit("z", {}),
                                          UpdateEdit("b", 70'000, std::nullopt, {}),
                                          AddEdit("web", Backend("c", "10.0.1.3"), {}),
                                          AddEdit("web", Backend("d", "10.0.1.1"), {}),
                                          UpdateEdit("c", 9, std::nullopt, dry),
                                          UpdateEdit("c", 5, std::nullopt, {}),
                                          UpdateEdit("b", std::nullopt, v1::Backend::DRAIN, {})};
  std::vector<absl::StatusCode> codes;
  const Wanted::Replies replies = wanted_->ChangeBackends(edits);
  for (const absl::StatusOr<v1::ChangeReply>& reply : replies) codes.push_back(reply.status().code());
  using enum absl::StatusCode;
  EXPECT_THAT(codes, ElementsAre(kOk, kAborted, kNotFound, kInvalidArgument, kOk, kInvalidArgument, kOk, kOk, kOk));
  EXPECT_THAT(std::string(replies[3].status().message()), HasSubstr("weight 70000 is too large"));
  EXPECT_THAT(replies[6]->changes(), ElementsAre("~ pools[web].backends[c].weight: 1 -> 9"));
  EXPECT_EQ(Running(), "a2 b1drain c5");
  EXPECT_EQ(wanted_->revision(), 4u);
}

TEST_F(WantedTest, WhatCannotBePublishedIsToldToAllAndChangesNothing) {
  engine_.answer = absl::InternalError("not now");
  const std::vector<BackendEdit> edits(8, UpdateEdit("a", 5, std::nullopt, {}));
  for (const absl::StatusOr<v1::ChangeReply>& reply : wanted_->ChangeBackends(edits)) {
    EXPECT_EQ(reply.status().message(), "not now");
  }
  // Once, however many they are.
  EXPECT_EQ(engine_.publishes, 2u);
  EXPECT_EQ(Running(), "a1 b1");
  EXPECT_EQ(wanted_->revision(), 0u);
}

TEST_F(WantedTest, AReloadKeepsChangesThatStillHaveAMeaning) {
  ASSERT_TRUE(SetWeight("a", 5).ok());
  ASSERT_TRUE(SetWeight("b", 6).ok());
  file_ = File(absl::StrCat(kA, ", {name: c, address: 10.0.1.3}"));
  const absl::StatusOr<v1::ChangeReply> reply = wanted_->Reload(file_);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Running(), "a5 c1");
  EXPECT_THAT(reply->warnings(), ElementsAre("the change of backend web/b is dropped: there is no such backend any "
                                             "more"));
  Start();
  EXPECT_EQ(Running(), "a5 c1");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(WantedTest, WhatIsAppliedCountsUntilTheFileChanges) {
  ASSERT_TRUE(SetWeight("a", 5).ok());
  ASSERT_TRUE(wanted_->Apply(File("{name: x, address: 10.0.1.7}").config, {}).ok());
  EXPECT_EQ(Running(), "x1");
  ASSERT_TRUE(SetWeight("x", 3).ok());
  Start();
  EXPECT_EQ(Running(), "x3");
  EXPECT_TRUE(wanted_->applied());
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("applied over the API counts, not the file")));
  const LoadedConfig before = file_;
  file_ = File(kB);
  Start();
  EXPECT_EQ(Running(), "b1");
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("the file has changed"), HasSubstr("backend web/x is dropped")));
  // It is over, also when the file is as it was.
  ASSERT_TRUE(keeper_->Flush().ok());
  file_ = before;
  Start();
  EXPECT_EQ(Running(), "a1 b1");
  EXPECT_FALSE(wanted_->applied());
}

TEST_F(WantedTest, AReloadTakesTheFileInPlaceOfWhatWasApplied) {
  ASSERT_TRUE(wanted_->Apply(File("{name: x, address: 10.0.1.7}").config, {}).ok());
  ASSERT_TRUE(wanted_->Reload(file_).ok());
  EXPECT_EQ(Running(), "a1 b1");
  Start();
  EXPECT_EQ(Running(), "a1 b1");
}

TEST_F(WantedTest, RollbackGoesBackOnceAndForth) {
  ASSERT_TRUE(SetWeight("a", 5).ok());
  ASSERT_TRUE(wanted_->Apply(File("{name: x, address: 10.0.1.7}").config, {}).ok());
  ASSERT_TRUE(SetWeight("x", 3).ok());
  absl::StatusOr<v1::ChangeReply> reply = wanted_->Rollback({});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Running(), "a5 b1");
  Start();
  EXPECT_EQ(Running(), "a5 b1");
  ASSERT_TRUE(wanted_->Rollback({}).ok());
  EXPECT_EQ(Running(), "x3");
}

TEST_F(WantedTest, AReloadCanBeTakenBack) {
  ASSERT_TRUE(wanted_->Reload(File(kB)).ok());
  EXPECT_EQ(Running(), "b1");
  ASSERT_TRUE(wanted_->Rollback({}).ok());
  EXPECT_EQ(Running(), "a1 b1");
}

TEST_F(WantedTest, NothingIsChangedBeforeItServes) {
  Wanted early(keeper_.get());
  std::vector<std::string> notes;
  early.Begin(file_, {}, &notes);
  EXPECT_EQ(early.ChangeBackends({UpdateEdit("a", 2, std::nullopt, {})})[0].status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(early.Reload(file_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(WantedTest, AnyLifeComesToWhatTheModelSays) {
  std::mt19937 random(11);
  std::map<std::string, std::string> model = {{"a", "1"}, {"b", "1"}};
  for (int i = 0; i < 300; i++) {
    const size_t which = random() % 4;
    const std::string name = kNames[which];
    const auto at = model.find(name);
    if (random() % 20 == 0) {
      Start();
    } else if (at == model.end()) {
      ASSERT_TRUE(Add("web", Backend(name, absl::StrCat("10.0.1.", which + 1)), {}).ok());
      model[name] = "1";
    } else if (random() % 4 == 0) {
      ASSERT_TRUE(Remove(name, {}).ok());
      model.erase(at);
    } else {
      const uint32_t weight = static_cast<uint32_t>(random() % 9);
      const bool drain = random() % 2 == 0;
      ASSERT_TRUE(Update(name, weight, drain ? v1::Backend::DRAIN : v1::Backend::READY, {}).ok());
      at->second = absl::StrCat(weight, drain ? "drain" : "");
    }
    std::set<std::string> expected;
    for (const auto& [backend, rest] : model) expected.insert(backend + rest);
    const std::vector<std::string> running = absl::StrSplit(Running(), ' ', absl::SkipEmpty());
    ASSERT_EQ(std::set<std::string>(running.begin(), running.end()), expected) << i;
  }
}

}  // namespace
}  // namespace sluice
