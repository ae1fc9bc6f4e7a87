// Tables as text.
#include "tools/sluicectl/output.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(OutputTest, ColumnsAreAsWideAsTheyNeedToBe) {
  const Table table{{"name", "new_flows", "x"}, {{"a", "7", ""}, {"longer name", "1234567890", "y"}}, {1}};
  EXPECT_EQ(FormatTable(table),
            "NAME          NEW FLOWS  X\n"
            "a                     7\n"
            "longer name  1234567890  y\n");
}

TEST(OutputTest, CsvQuotesWhatItMust) {
  const Table table{{"a", "b"}, {{"x,y", "say \"z\""}, {"plain", "two\nlines"}}, {}};
  EXPECT_EQ(FormatCsv(table), "a,b\n\"x,y\",\"say \"\"z\"\"\"\nplain,\"two\nlines\"\n");
}

TEST(OutputTest, FormatsByName) {
  EXPECT_EQ(*ParseFormat("json"), Format::kJson);
  EXPECT_EQ(std::string(ParseFormat("xml").status().message()), "-o xml is not known; use table, json, yaml or csv");
}

}  // namespace
}  // namespace sluice
