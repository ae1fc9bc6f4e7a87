// What is told of what happens.
#include "control/events.h"

#include <gmock/gmock.h>

#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class Collector : public EventSink {
 public:
  bool Wants() override { return wants; }
  void Take(const v1::Event& event) override {
    events.push_back(event);
    texts.push_back(event.text());
  }
  std::vector<std::string> TakeTexts() { return std::exchange(texts, {}); }

  bool wants = true;
  std::vector<v1::Event> events;
  std::vector<std::string> texts;
};

class EventsTest : public ControllerTest {
 protected:
  EventsTest() {
    EXPECT_TRUE(controller_.Apply(Usual()).ok());
    controller_.Tick();
    events_.SetSink(&sink_);
  }
  void Tick() {
    controller_.Tick();
    events_.Tick();
  }

  Events events_{&controller_};
  Collector sink_;
};

TEST_F(EventsTest, NothingIsToldUntilSomebodyWatches) {
  next_hops_.Resolve(At("10.0.1.1"), Hop(7));
  Tick();
  events_.Changed("apply", {});
  EXPECT_THAT(sink_.TakeTexts(), ElementsAre());
  const v1::Event begin = events_.Begin();
  EXPECT_EQ(begin.kind(), v1::Event::BEGIN);
  EXPECT_EQ(begin.generation(), controller_.generation());
  Tick();
  EXPECT_THAT(sink_.TakeTexts(), ElementsAre());
}

TEST_F(EventsTest, TellsWhatBackendsDo) {
  events_.Begin();
  next_hops_.Fail(At("10.0.1.2"), "10.0.1.2 does not answer");
  Tick();
  EXPECT_THAT(sink_.TakeTexts(),
              ElementsAre("backend web/b: no_next_hop, unchecked: no next hop: 10.0.1.2 does not answer",
                          StartsWith("every worker runs generation ")));
  EXPECT_EQ(sink_.events[0].pool(), "web");
  EXPECT_EQ(sink_.events[0].backend().condition(), v1::BackendStatus::NO_NEXT_HOP);
  next_hops_.Resolve(At("10.0.1.2"), Hop(2));
  Tick();
  EXPECT_THAT(sink_.TakeTexts(), ElementsAre("backend web/b: ready, unchecked", HasSubstr("generation")));
  // Another MAC address changes tables, and nothing that a backend does.
  next_hops_.Resolve(At("10.0.1.2"), Hop(3));
  Tick();
  EXPECT_THAT(sink_.TakeTexts(), ElementsAre(HasSubstr("generation")));
}

TEST_F(EventsTest, TellsOfPortsAndChanges) {
  events_.Begin();
  engine_.engine_ports[1].link_up = false;
  engine_.news.ports_changed = true;
  Tick();
  EXPECT_EQ(sink_.TakeTexts()[0], "port eth1: link down, MAC 02:00:00:00:00:02, MTU 1500");
  v1::ChangeReply reply;
  reply.set_generation(9);
  reply.set_revision(4);
  for (int i = 0; i < 12; i++) reply.add_changes("+ pools[p]");
  events_.Changed("apply", reply);
  EXPECT_EQ(sink_.events.back().kind(), v1::Event::CHANGE);
  EXPECT_EQ(sink_.events.back().change().changes_size(), 12);
  EXPECT_THAT(sink_.texts.back(), StartsWith("apply: generation=9 revision=4: + pools[p]; + pools[p]"));
  EXPECT_THAT(sink_.texts.back(), HasSubstr("; and 2 more"));
}

TEST_F(EventsTest, WhoComesAgainHearsOnlyWhatIsNew) {
  events_.Begin();
  sink_.wants = false;
  next_hops_.Fail(At("10.0.1.2"), "10.0.1.2 does not answer");
  Tick();
  sink_.wants = true;
  events_.Begin();
  Tick();
  EXPECT_THAT(sink_.TakeTexts(), ElementsAre());
}

}  // namespace
}  // namespace sluice
