// What packets make of a session: states, timeouts, which FIN and RST are believed.
#include "sluice/session.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace sluice::path_test {
namespace {

constexpr uint32_t kNow = 1000;
constexpr uint32_t kClientSequence = 0xfffffff0;
constexpr uint32_t kServerSequence = 7000;
constexpr uint8_t kFin = SLUICE_TCP_FIN;
constexpr uint8_t kSyn = SLUICE_TCP_SYN;
constexpr uint8_t kRst = SLUICE_TCP_RST;
constexpr uint8_t kAck = SLUICE_TCP_ACK;
// Each another number of ticks.
constexpr sluice_session_terms kTerms = {.handshake = 10, .established = 100, .half_closed = 40, .closed = 20};

// Both words of a TCP session, as its packets make them.
struct Tcp {
  uint64_t forward = 0;
  uint64_t reverse = 0;
  uint8_t scales = SLUICE_NO_SCALE | SLUICE_NO_SCALE << 4;

  bool Believed(bool server, const sluice_segment& segment) const {
    return sluice_segment_in_window(&segment, server ? reverse : forward, server ? forward : reverse,
                                    sluice_window_shift(scales, !server));
  }
  // Whether it was believed.
  bool Send(bool server, const sluice_segment& segment, uint32_t tick = kNow) {
    uint64_t& own = server ? reverse : forward;
    const bool believed = Believed(server, segment);
    own = sluice_word_segment(own, &segment, believed, tick);
    return believed;
  }
  enum sluice_session_state State() const { return sluice_session_state(SLUICE_IP_TCP, forward, reverse); }
  // By a SYN of the client's; flags of the record and of its backend.
  bool IsReplaced(uint8_t flags = 0, uint8_t backend_flags = SLUICE_BACKEND_LIVE) const {
    const sluice_session session = {.protocol = SLUICE_IP_TCP, .flags = flags, .forward = forward, .reverse = reverse};
    const sluice_backend backend = {.flags = backend_flags};
    return sluice_session_is_replaced(&session, &backend);
  }

  // By both sides, with windows of 1000 (unscaled).
  static Tcp Established() {
    Tcp tcp;
    tcp.Send(false, {kClientSequence, 0, 1000, kSyn});
    tcp.Send(true, {kServerSequence, kClientSequence + 1, 1000, kSyn | kAck});
    tcp.Send(false, {kClientSequence + 1, kServerSequence + 1, 1000, kAck});
    return tcp;
  }
};

TEST(SessionTest, StatesOfAConnection) {
  Tcp tcp;
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  tcp.Send(false, {kClientSequence, 0, 1000, kSyn});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  tcp.Send(true, {kServerSequence, kClientSequence + 1, 1000, kSyn | kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  tcp.Send(false, {kClientSequence + 1, kServerSequence + 1, 1000, kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_ESTABLISHED);
  EXPECT_TRUE(tcp.Send(false, {kClientSequence + 1, kServerSequence + 1, 1000, kFin | kAck}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HALF_CLOSED);
  tcp.Send(true, {kServerSequence + 1, kClientSequence + 2, 1000, kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HALF_CLOSED);
  EXPECT_TRUE(tcp.Send(true, {kServerSequence + 1, kClientSequence + 2, 1000, kFin | kAck}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_CLOSED);
  tcp.Send(false, {kClientSequence + 2, kServerSequence + 2, 1000, kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_CLOSED);
}

TEST(SessionTest, TheServerMayCloseFirst) {
  Tcp tcp = Tcp::Established();
  EXPECT_TRUE(tcp.Send(true, {kServerSequence + 1, kClientSequence + 1, 1000, kFin | kAck}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HALF_CLOSED);
  EXPECT_TRUE(tcp.Send(false, {kClientSequence + 1, kServerSequence + 2, 1000, kFin | kAck}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_CLOSED);
}

TEST(SessionTest, DatagramsAreEstablishedAtOnce) {
  const uint64_t word = sluice_word_datagram(kNow);
  EXPECT_EQ(sluice_session_state(SLUICE_IP_UDP, word, 0), SLUICE_SESSION_ESTABLISHED);
  EXPECT_EQ(sluice_session_state(SLUICE_IP_UDP, word, word), SLUICE_SESSION_ESTABLISHED);
  EXPECT_EQ(word & SLUICE_WORD_TICK, kNow);
}

TEST(SessionTest, WordsKeepWhatASegmentDoesNotSay) {
  Tcp tcp;
  // A SYN without an acknowledgment: what is behind it.
  tcp.Send(false, {kClientSequence, 77, 500, kSyn});
  EXPECT_EQ(tcp.forward >> SLUICE_WORD_NUMBER_SHIFT, kClientSequence + 1);
  EXPECT_EQ(tcp.forward & SLUICE_WORD_FLAGS, SLUICE_WORD_SYN);
  EXPECT_EQ(tcp.forward >> SLUICE_WORD_WINDOW_SHIFT & 0xffff, 0u);
  tcp.Send(false, {123, 77, 500, kAck}, kNow + 1);
  EXPECT_EQ(tcp.forward, uint64_t{77} << 32 | uint64_t{500} << 16 | SLUICE_WORD_SYN | SLUICE_WORD_ACK | (kNow + 1));
  // A SYN now says nothing about what has been acknowledged.
  tcp.Send(false, {9, 0, 1, kSyn}, kNow + 2);
  EXPECT_EQ(tcp.forward, uint64_t{77} << 32 | uint64_t{500} << 16 | SLUICE_WORD_SYN | SLUICE_WORD_ACK | (kNow + 2));
  // Nor does a RST that is believed, or a segment without any flag.
  const sluice_segment reset{5, 6, 7, kRst | kAck};
  const uint64_t over = sluice_word_segment(tcp.forward, &reset, true, kNow + 3);
  EXPECT_EQ(over, (tcp.forward & ~SLUICE_WORD_TICK) | SLUICE_WORD_RESET | (kNow + 3));
  EXPECT_EQ(sluice_word_segment(tcp.forward, &reset, false, kNow + 3), tcp.forward) << "it changes nothing";
  const sluice_segment bare{5, 6, 7, 0};
  EXPECT_EQ(sluice_word_segment(tcp.forward, &bare, false, kNow + 3), (tcp.forward & ~SLUICE_WORD_TICK) | (kNow + 3));
}

TEST(SessionTest, AServerThatStillHasAConnectionOfBefore) {
  Tcp tcp;
  tcp.Send(false, {kClientSequence, 0, 500, kSyn});
  // It acknowledges what it has had of the other one. The client has never sent that, and resets.
  tcp.Send(true, {kServerSequence, 4711, 1000, kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  EXPECT_FALSE(tcp.IsReplaced());
  const uint64_t before = tcp.forward;
  EXPECT_TRUE(tcp.Send(false, {4711, 0, 0, kRst}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_CLOSED);
  EXPECT_EQ(sluice_word_ends(before, tcp.forward), 1);
  EXPECT_FALSE(tcp.IsReplaced()) << "the same way is free now";
  const uint64_t reset = tcp.forward;
  tcp.Send(false, {kClientSequence, 0, 500, kSyn}, kNow + 1);
  EXPECT_EQ(sluice_word_ends(reset, tcp.forward), -1);
  EXPECT_EQ(tcp.forward, before + 1) << "all but the tick is as after the first SYN";
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  tcp.Send(true, {kServerSequence, kClientSequence + 1, 1000, kSyn | kAck});
  tcp.Send(false, {kClientSequence + 1, kServerSequence + 1, 500, kAck});
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_ESTABLISHED);
  EXPECT_TRUE(tcp.Send(false, {kClientSequence + 1, 0, 0, kRst}));
  EXPECT_TRUE(tcp.IsReplaced()) << "both had agreed on this one";
}

TEST(SessionTest, OneThatIsOverIsReplaced) {
  Tcp refused;
  refused.Send(false, {kClientSequence, 0, 500, kSyn});
  refused.Send(true, {0, kClientSequence + 1, 0, kRst | kAck});
  EXPECT_TRUE(refused.IsReplaced());
  refused.Send(true, {kServerSequence, kClientSequence + 1, 1000, kSyn | kAck});
  EXPECT_EQ(refused.State(), SLUICE_SESSION_CLOSED) << "who has refused does not open it again";
  const Tcp ended = Tcp::Established();
  EXPECT_FALSE(ended.IsReplaced());
  EXPECT_TRUE(ended.IsReplaced(SLUICE_SESSION_ENDED));
}

TEST(SessionTest, OneWhoseServerIsDownAndHasNotAnswered) {
  constexpr uint8_t kDown = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_UNHEALTHY;
  Tcp tcp;
  tcp.Send(false, {kClientSequence, 0, 500, kSyn});
  EXPECT_FALSE(tcp.IsReplaced(0));
  EXPECT_TRUE(tcp.IsReplaced(0, kDown));
  tcp.Send(true, {kServerSequence, kClientSequence + 1, 1000, kSyn | kAck});
  EXPECT_FALSE(tcp.IsReplaced(0, kDown)) << "the client may be about to acknowledge that";
  EXPECT_FALSE(Tcp::Established().IsReplaced(0, kDown));
}

TEST(SessionTest, ResetsWithinTheWindow) {
  const Tcp tcp = Tcp::Established();
  const uint32_t expected = kClientSequence + 1;
  struct Case {
    uint32_t sequence;
    bool believed;
  };
  for (const Case& one : std::vector<Case>{{expected, true},
                                           {expected + 1, true},
                                           {expected + 1000, true},
                                           {expected + 1001, false},
                                           {expected - 1, false},
                                           {expected - 1000, false},
                                           {expected + 0x80000000, false},
                                           {0, true},
                                           {kServerSequence, false}}) {
    Tcp copy = tcp;
    EXPECT_EQ(copy.Send(false, {one.sequence, 0, 0, kRst}), one.believed) << one.sequence - expected;
    EXPECT_EQ(copy.State(), one.believed ? SLUICE_SESSION_CLOSED : SLUICE_SESSION_ESTABLISHED);
    EXPECT_EQ(copy.forward == tcp.forward, !one.believed);
  }
}

TEST(SessionTest, FinsMayComeAgain) {
  const uint32_t expected = kServerSequence + 1;
  struct Case {
    uint32_t sequence;
    bool believed;
  };
  for (const Case& one : std::vector<Case>{{expected, true},
                                           {expected + 1000, true},
                                           {expected + 1001, false},
                                           {expected - 1, true},
                                           {expected - 0xffff, true},
                                           {expected - 0x10000, false},
                                           {expected + 0x80000000, false}}) {
    Tcp tcp = Tcp::Established();
    EXPECT_EQ(tcp.Send(true, {one.sequence, kClientSequence + 1, 1000, kFin | kAck}), one.believed);
    EXPECT_EQ(tcp.State(), one.believed ? SLUICE_SESSION_HALF_CLOSED : SLUICE_SESSION_ESTABLISHED);
  }
}

TEST(SessionTest, WindowsAreScaledWhenBothSidesSaySo) {
  struct Case {
    uint8_t scales;
    uint32_t client_shift;
    uint32_t server_shift;
  };
  for (const Case& one : {Case{7 | 3 << 4, 7, 3}, Case{0 | 14 << 4, 0, 14}, Case{7 | 15 << 4, 0, 0},
                          Case{15 | 7 << 4, 0, 0}, Case{15 | 15 << 4, 0, 0}}) {
    EXPECT_EQ(sluice_window_shift(one.scales, false), one.client_shift);
    EXPECT_EQ(sluice_window_shift(one.scales, true), one.server_shift);
    Tcp tcp = Tcp::Established();
    tcp.scales = one.scales;
    // The client's RST has to fit into the server's window, and the other way round.
    const uint32_t to_server = kClientSequence + 1 + (1000u << one.server_shift);
    const uint32_t to_client = kServerSequence + 1 + (1000u << one.client_shift);
    EXPECT_TRUE(tcp.Believed(false, {to_server, 0, 0, kRst}));
    EXPECT_FALSE(tcp.Believed(false, {to_server + 1, 0, 0, kRst}));
    EXPECT_TRUE(tcp.Believed(true, {to_client, 0, 0, kRst}));
    EXPECT_FALSE(tcp.Believed(true, {to_client + 1, 0, 0, kRst}));
  }
}

// What the server's counters hear of a handshake.
class OpeningTest : public testing::Test {
 protected:
  enum sluice_opening Send(bool server, const sluice_segment& segment, uint32_t tick = kNow) {
    const uint64_t before = server ? tcp_.reverse : tcp_.forward;
    tcp_.Send(server, segment, tick);
    return sluice_session_opening(server, before, server ? tcp_.reverse : tcp_.forward,
                                  server ? tcp_.forward : tcp_.reverse);
  }
  Tcp tcp_;
};

constexpr sluice_segment kOpens{kClientSequence, 0, 1000, kSyn};
constexpr sluice_segment kAgrees{kServerSequence, kClientSequence + 1, 1000, kSyn | kAck};
constexpr sluice_segment kRefuses{0, kClientSequence + 1, 0, kRst | kAck};

TEST_F(OpeningTest, AnsweredOnce) {
  EXPECT_EQ(Send(false, kOpens), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, kAgrees), SLUICE_OPENING_ANSWERED);
  EXPECT_EQ(Send(true, kAgrees), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(false, kOpens, kNow + 1), SLUICE_OPENING_NO_NEWS) << "its answer was lost behind us";
  EXPECT_EQ(Send(false, {kClientSequence + 1, kServerSequence + 1, 1000, kAck}), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, {kServerSequence + 1, kClientSequence + 1, 1000, kAck}), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, {kServerSequence + 1, kClientSequence + 1, 1000, kRst}), SLUICE_OPENING_NO_NEWS)
      << "it has agreed to it before";
}

TEST_F(OpeningTest, RefusedOnce) {
  EXPECT_EQ(Send(false, kOpens), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, {0, kClientSequence + 7, 0, kRst | kAck}), SLUICE_OPENING_NO_NEWS) << "of another SYN";
  EXPECT_EQ(Send(true, kRefuses), SLUICE_OPENING_FAILED);
  EXPECT_EQ(Send(true, kRefuses), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, kAgrees), SLUICE_OPENING_NO_NEWS);
}

TEST_F(OpeningTest, LeftWithoutAnAnswerOnce) {
  EXPECT_EQ(Send(false, kOpens), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(false, kOpens), SLUICE_OPENING_NO_NEWS) << "sooner than anybody could have answered";
  EXPECT_EQ(Send(false, kOpens, kNow + 1), SLUICE_OPENING_FAILED);
  EXPECT_EQ(Send(false, kOpens, kNow + 3), SLUICE_OPENING_NO_NEWS);
  // It has failed, however it goes on.
  EXPECT_EQ(Send(true, kAgrees, kNow + 3), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(true, kRefuses, kNow + 3), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(tcp_.forward & SLUICE_WORD_FLAGS, SLUICE_WORD_SYN);
  EXPECT_EQ(tcp_.forward >> SLUICE_WORD_NUMBER_SHIFT, kClientSequence + 1);
}

TEST_F(OpeningTest, AnotherConnectionOfBefore) {
  Send(false, kOpens);
  // The server still has it, and its client resets that: nobody has refused anything.
  EXPECT_EQ(Send(true, {kServerSequence, 4711, 1000, kAck}), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(false, {4711, 0, 0, kRst}), SLUICE_OPENING_NO_NEWS);
  EXPECT_EQ(Send(false, kOpens, kNow + 1), SLUICE_OPENING_NO_NEWS);
  EXPECT_FALSE(sluice_word_sent_again(tcp_.forward)) << "it begins anew";
  EXPECT_EQ(Send(true, kAgrees), SLUICE_OPENING_ANSWERED);
}

TEST_F(OpeningTest, AWindowIsNoMark) {
  Send(false, kOpens);
  Send(true, kAgrees);
  EXPECT_EQ(Send(false, {kClientSequence + 1, kServerSequence + 1, 1, kAck}), SLUICE_OPENING_NO_NEWS);
  EXPECT_FALSE(sluice_word_sent_again(tcp_.forward));
}

TEST(SessionTest, ServerRefusesAConnection) {
  Tcp tcp;
  tcp.Send(false, {kClientSequence, 0, 1000, kSyn});
  EXPECT_FALSE(tcp.Send(true, {0, kClientSequence + 2, 0, kRst | kAck})) << "of another SYN";
  EXPECT_FALSE(tcp.Send(true, {0, kClientSequence, 0, kRst | kAck}));
  EXPECT_FALSE(tcp.Send(true, {kClientSequence + 1, kClientSequence + 1, 0, kRst})) << "acknowledges nothing";
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_HANDSHAKE);
  EXPECT_TRUE(tcp.Send(true, {0, kClientSequence + 1, 0, kRst | kAck}));
  EXPECT_EQ(tcp.State(), SLUICE_SESSION_CLOSED);
}

TEST(SessionTest, ClientGivesUpItsOwnSyn) {
  Tcp tcp;
  tcp.Send(false, {kClientSequence, 0, 1000, kSyn});
  EXPECT_FALSE(tcp.Send(false, {kClientSequence, 0, 0, kRst}));
  EXPECT_FALSE(tcp.Send(false, {kClientSequence + 2, 0, 0, kRst}));
  EXPECT_TRUE(tcp.Send(false, {kClientSequence + 1, 0, 0, kRst}));
  // After the answer it is the server's window that counts.
  tcp.forward &= ~SLUICE_WORD_RESET;
  tcp.Send(true, {kServerSequence, kClientSequence + 1, 10, kSyn | kAck});
  EXPECT_TRUE(tcp.Believed(false, {kClientSequence + 11, 0, 0, kRst}));
  EXPECT_FALSE(tcp.Believed(false, {kClientSequence + 12, 0, 0, kRst}));
}

uint64_t Seen(uint64_t word, uint32_t tick) {
  return (word & ~SLUICE_WORD_TICK) | (tick & SLUICE_TICK_MASK);
}

TEST(SessionTest, EachStateHasItsTimeout) {
  Tcp handshake;
  handshake.Send(false, {kClientSequence, 0, 1000, kSyn});
  Tcp half = Tcp::Established();
  half.Send(false, {kClientSequence + 1, kServerSequence + 1, 1000, kFin | kAck});
  Tcp closed = Tcp::Established();
  closed.Send(true, {kServerSequence + 1, 0, 0, kRst});
  struct Case {
    Tcp tcp;
    uint32_t timeout;
  };
  for (const Case& one : {Case{handshake, 10}, Case{Tcp::Established(), 100}, Case{half, 40}, Case{closed, 20}}) {
    // At each place of the clock's round.
    for (uint32_t seen = 0; seen < 4096; seen += 63) {
      const uint64_t forward = Seen(one.tcp.forward, seen);
      const uint64_t reverse = one.tcp.reverse == 0 ? 0 : Seen(one.tcp.reverse, seen + 4096 - 5);
      const auto over = [&](uint32_t age) {
        const uint32_t now = (seen + age) & SLUICE_TICK_MASK;
        return sluice_session_expired(SLUICE_IP_TCP, forward, reverse, &kTerms, now);
      };
      ASSERT_FALSE(over(0));
      ASSERT_FALSE(over(one.timeout));
      ASSERT_TRUE(over(one.timeout + 1));
    }
  }
}

TEST(SessionTest, EitherSideKeepsItAlive) {
  const Tcp tcp = Tcp::Established();
  EXPECT_EQ(sluice_session_age(Seen(tcp.forward, 10), Seen(tcp.reverse, 50), 60), 10u);
  EXPECT_EQ(sluice_session_age(Seen(tcp.forward, 50), Seen(tcp.reverse, 10), 60), 10u);
  // A side that has not been seen has no age.
  EXPECT_EQ(sluice_session_age(Seen(tcp.forward, 10), 60, 60), 50u);
}

TEST(SessionTest, SessionsOfAListenerThatIsGoneAreOver) {
  const sluice_session_terms gone{};
  const uint64_t word = sluice_word_datagram(kNow);
  EXPECT_TRUE(sluice_session_expired(SLUICE_IP_UDP, word, word, &gone, kNow));
  const Tcp tcp = Tcp::Established();
  EXPECT_TRUE(sluice_session_expired(SLUICE_IP_TCP, tcp.forward, tcp.reverse, &gone, kNow));
}

TEST(SessionTest, ReadsASegment) {
  const uint8_t header[20] = {0, 80, 1, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x50, 0x12, 0x98, 0x76};
  const sluice_segment segment = sluice_segment_read(header);
  EXPECT_EQ(segment.sequence, 0x11223344u);
  EXPECT_EQ(segment.acknowledgment, 0x55667788u);
  EXPECT_EQ(segment.window, 0x9876);
  EXPECT_EQ(segment.flags, 0x12);
}

uint32_t ScaleOf(const std::string& options, size_t cut = 0) {
  std::string header(20, '\0');
  header[12] = static_cast<char>((20 + options.size()) / 4 << 4);
  header += options;
  auto* at = reinterpret_cast<uint8_t*>(header.data());
  return sluice_syn_scale(at, at + header.size() - cut);
}

TEST(SessionTest, WindowScaleOfASyn) {
  EXPECT_EQ(ScaleOf(""), SLUICE_NO_SCALE);
  EXPECT_EQ(ScaleOf(std::string("\x02\x04\x05\xb4\x01\x03\x03\x07", 8)), 7u);
  EXPECT_EQ(ScaleOf(std::string("\x03\x03\x00\x00", 4)), 0u);
  EXPECT_EQ(ScaleOf(std::string("\x03\x03\xff\x00", 4)), 14u) << "the most that there is";
  EXPECT_EQ(ScaleOf(std::string("\x00\x03\x03\x07", 4)), SLUICE_NO_SCALE) << "behind the end of options";
  EXPECT_EQ(ScaleOf(std::string("\x03\x02\x07\x00", 4)), SLUICE_NO_SCALE) << "of a wrong length";
  EXPECT_EQ(ScaleOf(std::string("\x08\x00\x03\x03", 4)), SLUICE_NO_SCALE) << "behind one without length";
  EXPECT_EQ(ScaleOf(std::string("\x01\x01\x03\x03", 4)), SLUICE_NO_SCALE) << "it ends with the header";
  EXPECT_EQ(ScaleOf(std::string("\x01\x03\x03\x07", 4), 1), SLUICE_NO_SCALE) << "or with the packet";
  EXPECT_EQ(ScaleOf(std::string("\x01\x01\x01\x03", 4)), SLUICE_NO_SCALE);
}

// Whatever the options are, nothing is read behind them.
TEST(SessionTest, AnyOptions) {
  std::mt19937 random(1);
  for (int round = 0; round < 100'000; round++) {
    std::string options(random() % 11 * 4, '\0');
    for (char& byte : options) byte = static_cast<char>(random() % 2 == 0 ? random() % 6 : random());
    const std::string sentinel(options.size(), '\0');
    const uint32_t scale = ScaleOf(options, std::min<size_t>(options.size(), random() % 3));
    ASSERT_TRUE(scale <= 14 || scale == SLUICE_NO_SCALE);
  }
}

}  // namespace
}  // namespace sluice::path_test
