// Sessions of unhealthy backends end where their pool wants that, their ends are told, and all others stay.
#include "control/flow_ender.h"

#include <gmock/gmock.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/session_tables.h"
#include "sluice/session.h"
#include "sluice/translate.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

// More than are looked at in one go.
constexpr uint32_t kSessions = 40'000;
constexpr uint8_t kOver = SLUICE_SESSION_ENDED | SLUICE_SESSION_OVER;

class FlowEnderTest : public ControllerTest {
 protected:
  FlowEnderTest() : sessions_(*SessionTables::Create(1, kSessions, HugePages::kOff)) {
    engine_.nat_sessions = sessions_.partitions();
  }
  void Use(const std::string& on_unhealthy) {
    Apply(Load(absl::StrCat(kEngine, kListener,
                            "pools: [{name: web, forwarding: nat, health_check: {type: tcp, interval: 1s, rise: 2, "
                            "fall: 3}, on_unhealthy: ",
                            on_unhealthy, ", backends: [", kA, ", ", kB, "]}]\n")));
    Run(2);
  }
  uint64_t Now() const { return static_cast<uint64_t>(absl::ToUnixNanos(prober_.now)); }
  sluice_session& At(uint32_t index) { return sessions_.partitions()[0].sessions[index]; }
  // An established one.
  sluice_session& Put(uint32_t index, const std::string& backend) {
    sluice_session& session = At(index);
    const Address client = sluice::At("192.0.2.7");
    std::memcpy(&session.client, client.bytes.data(), client.bytes.size());
    session.ports = sluice_ports(SLUICE_16(static_cast<uint16_t>(index)), SLUICE_16(80));
    session.backend = SlotOf(backend);
    session.nat_address = SLUICE_NO_NAT_ADDRESS;
    const uint32_t tick = sluice_tick(Now());
    session.forward = SLUICE_WORD_SYN | SLUICE_WORD_ACK | tick;
    session.reverse = session.forward;
    session.protocol = SLUICE_IP_TCP;
    return session;
  }

  SessionTables sessions_;
};

TEST_F(FlowEnderTest, TheSessionsOfAnUnhealthyBackendAreReset) {
  Use("reset");
  for (const uint32_t index : {0u, 20'000u, kSessions - 1}) Put(index, "a");
  Put(1, "b");
  down_ = {"10.0.1.1"};
  Run(8);
  for (const uint32_t index : {0u, 20'000u, kSessions - 1}) EXPECT_EQ(At(index).flags, kOver);
  EXPECT_EQ(At(1).flags, 0);
  // Both ends of each.
  EXPECT_EQ(engine_.sent.size(), 6u);
  // Once: one that is there by now is one that the kernel has handed back, say.
  Put(2, "a");
  Run(3);
  EXPECT_EQ(At(2).flags, 0);
  // Until it is unhealthy anew.
  down_.clear();
  Run(8);
  down_ = {"10.0.1.1"};
  Run(8);
  EXPECT_EQ(At(2).flags, kOver);
  EXPECT_EQ(engine_.sent.size(), 8u);
}

TEST_F(FlowEnderTest, TheyStayWhereThatIsWanted) {
  Use("keep");
  Put(0, "a");
  down_ = {"10.0.1.1"};
  Run(8);
  EXPECT_EQ(At(0).flags, 0);
  EXPECT_TRUE(engine_.sent.empty());
}

TEST_F(FlowEnderTest, EndsAreToldWhenThereIsRoomAndNotForEver) {
  Use("reset");
  Put(0, "a");
  engine_.full = true;
  const FlowReader reader(engine_, engine_.published->view(), Now());
  reader.Read(0, reader.places(), [this](const FlowRecord& flow) {
    EXPECT_TRUE(controller_.flow_ender().End(flow));
    return true;
  });
  Run(1);
  EXPECT_EQ(At(0).flags, SLUICE_SESSION_ENDED);
  engine_.full = false;
  Run(1);
  EXPECT_EQ(At(0).flags, kOver);
  EXPECT_EQ(engine_.sent.size(), 2u);
  engine_.full = true;
  Put(3, "a");
  down_ = {"10.0.1.1"};
  Run(12);
  EXPECT_EQ(At(3).flags, kOver);
  EXPECT_EQ(engine_.sent.size(), 2u);
}

}  // namespace
}  // namespace sluice
