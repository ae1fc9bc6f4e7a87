// Bytes at random, and good files with mistakes at random: an error or a valid configuration, never a crash. The long
// search is tests/fuzz/config_fuzz.cc.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "config/load.h"
#include "config/validate.h"

namespace sluice {
namespace {

void Try(const std::string& text) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(text, "f");
  if (!loaded.ok()) {
    EXPECT_FALSE(loaded.status().message().empty());
    return;
  }
  v1::Config again = loaded->config;
  config::Report report;
  ValidateConfig(again, report);
  EXPECT_TRUE(report.ok()) << report.ToStatus() << "\n" << text;
  EXPECT_EQ(again.SerializeAsString(), loaded->config.SerializeAsString());
}

std::string Read(const std::string& name) {
  std::stringstream text;
  text << std::ifstream(std::string(SLUICE_EXAMPLES) + "/" + name).rdbuf();
  return text.str();
}

TEST(Random, Bytes) {
  std::mt19937 random(20);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 200, ' ');
    for (char& c : text) c = static_cast<char>(random());
    Try(text);
  }
}

TEST(Random, YamlLikeText) {
  const std::string alphabet = "{}[],:-\n \"'#&*!|>%@?0a~<\t";
  std::mt19937 random(21);
  for (int round = 0; round < 5000; ++round) {
    std::string text(random() % 60, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    Try(text);
  }
}

TEST(Random, MistakesInExamples) {
  std::mt19937 random(22);
  for (const char* name : {"dsr_l2.yaml", "ipip.yaml", "gue.yaml", "nat.yaml", "full_nat.yaml"}) {
    const std::string good = Read(name);
    ASSERT_FALSE(good.empty());
    for (int round = 0; round < 300; ++round) {
      std::string text = good;
      for (int mistakes = 1 + static_cast<int>(random() % 3); mistakes > 0; --mistakes) {
        const size_t at = random() % text.size();
        switch (random() % 4) {
          case 0:
            text.erase(at, 1 + random() % 5);
            break;
          case 1:
            text[at] = static_cast<char>(' ' + random() % 95);
            break;
          case 2:
            text.insert(at, good.substr(random() % good.size(), random() % 30));
            break;
          default:
            text.resize(at + 1);
            break;
        }
      }
      Try(text);
    }
  }
}

}  // namespace
}  // namespace sluice
