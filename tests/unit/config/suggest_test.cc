#include "config/suggest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace sluice::config {
namespace {

// Straight from the recurrence of the definition.
size_t Oracle(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

TEST(EditDistance, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 5000; ++round) {
    std::string a(random() % 9, 'a'), b(random() % 9, 'a');
    for (char& c : a) c = static_cast<char>('a' + random() % 3);
    for (char& c : b) c = static_cast<char>('a' + random() % 3);
    for (size_t limit = 0; limit < 10; ++limit) {
      EXPECT_EQ(EditDistance(a, b, limit), std::min(Oracle(a, b), limit + 1)) << a << " " << b << " " << limit;
    }
  }
}

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> keys = {"engine", "listeners", "pools"};
  EXPECT_EQ(Nearest("lisener", keys), "listeners");
  EXPECT_EQ(Nearest("listner", keys), "listeners");
  EXPECT_EQ(Nearest("pool", keys), "pools");
  EXPECT_EQ(Nearest("egnine", keys), "engine");
  EXPECT_EQ(Nearest("pools", keys), "pools");
}

TEST(Nearest, LeavesOtherWordsAlone) {
  const std::vector<std::string> keys = {"engine", "listeners", "pools", "ip"};
  EXPECT_EQ(Nearest("metrics", keys), "");
  EXPECT_EQ(Nearest("", keys), "");
  EXPECT_EQ(Nearest("xy", keys), "");
  EXPECT_EQ(Nearest(std::string(1 << 20, 'x'), keys), "");
}

TEST(Suggest, NamesTheChoices) {
  EXPECT_EQ(Suggest("tpc", {"tcp", "udp"}), "did you mean \"tcp\"?");
  EXPECT_EQ(Suggest("sctp4", {"on", "off"}), "it is one of on, off");
  EXPECT_EQ(Suggest("x", {}), "");
  const std::vector<std::string> many(20, "longword");
  EXPECT_TRUE(Suggest("x", many).ends_with("longword and 4 more"));
}

}  // namespace
}  // namespace sluice::config
