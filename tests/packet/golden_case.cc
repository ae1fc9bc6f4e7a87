#include "tests/packet/golden_case.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "config/load.h"
#include "tests/packet/notation.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {
namespace {

// A mistake in a case file; yaml-cpp throws, so this does too, and LoadGoldenCases catches both.
struct Mistake {
  std::string text;
};

std::string Place(const std::string& file, const YAML::Node& node) {
  return absl::StrCat(file, ":", node.Mark().line + 1);
}

template <typename T>
T Unwrap(absl::StatusOr<T> value, const std::string& place) {
  if (!value.ok()) throw Mistake{absl::StrCat(place, ": ", value.status().message())};
  return *std::move(value);
}

void AllowKeys(const YAML::Node& node, const std::set<std::string>& allowed, const std::string& file) {
  for (const auto& entry : node) {
    const auto key = entry.first.as<std::string>();
    if (!allowed.contains(key)) throw Mistake{absl::StrCat(Place(file, entry.first), ": no key '", key, "' here")};
  }
}

class Reader {
 public:
  Reader(std::string file, YAML::Node root) : file_(std::move(file)), root_(std::move(root)) {}

  std::vector<GoldenCase> Read() {
    AllowKeys(root_, {"about", "names", "config", "next_hops", "cases"}, file_);
    for (const auto& name : root_["names"]) names_[name.first.as<std::string>()] = name.second.as<std::string>();
    const PublishStep first = Publish(root_);
    std::vector<GoldenCase> cases;
    for (const auto& node : root_["cases"]) cases.push_back(Case(node, first));
    if (cases.empty()) throw Mistake{file_ + ": no cases"};
    return cases;
  }

 private:
  GoldenCase Case(const YAML::Node& node, const PublishStep& first) {
    AllowKeys(node, {"name", "steps"}, file_);
    GoldenCase golden{.file = std::filesystem::path(file_).stem(), .name = node["name"].as<std::string>(), .steps = {}};
    std::replace(golden.name.begin(), golden.name.end(), ' ', '_');
    golden.steps.emplace_back(first);
    for (const auto& step : node["steps"]) golden.steps.push_back(OneStep(step));
    return golden;
  }

  Step OneStep(const YAML::Node& node) {
    if (node["in"]) return OnePacket(node);
    if (node["config"]) {
      AllowKeys(node, {"config", "next_hops", "unhealthy"}, file_);
      return Publish(node);
    }
    AllowKeys(node, {"wait"}, file_);
    return WaitStep{std::chrono::seconds(node["wait"].as<int>())};
  }

  PacketStep OnePacket(const YAML::Node& node) {
    AllowKeys(node, {"about", "in", "from", "verdict", "out", "by", "times"}, file_);
    PacketStep step;
    step.place = absl::StrCat(Place(file_, node), ": ", node["about"].as<std::string>(""));
    step.in = Encode(node["in"]);
    step.from = node["from"].as<uint16_t>(0);
    step.verdict = node["verdict"].as<std::string>();
    if (node["out"]) step.out = Encode(node["out"]);
    step.by = node["by"].as<uint16_t>(0);
    step.times = node["times"].as<uint32_t>(1);
    return step;
  }

  std::string Encode(const YAML::Node& node) {
    return Unwrap(EncodePacket(Expand(node.as<std::string>(), Place(file_, node))), Place(file_, node));
  }

  // $name stands for what `names` says, which may have names in it.
  std::string Expand(std::string text, const std::string& place) const {
    for (int depth = 0; depth < 100; depth++) {
      const size_t at = text.find('$');
      if (at == std::string::npos) return text;
      size_t end = at + 1;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) end++;
      const auto name = names_.find(text.substr(at + 1, end - at - 1));
      if (name == names_.end()) {
        throw Mistake{absl::StrCat(place, ": no name '", text.substr(at, end - at), "'")};
      }
      text.replace(at, end - at, name->second);
    }
    throw Mistake{place + ": names that need one another"};
  }

  PublishStep Publish(const YAML::Node& node) {
    const std::string place = Place(file_, node["config"]);
    PublishStep step{.place = place, .config = {}, .next_hops = {}, .unhealthy = {}};
    std::string text = node["config"].as<std::string>();
    if (text.find("engine:") == std::string::npos) {
      text =
          "engine: {interfaces: [{name: eth0}], tunnel_source: {ipv4: 198.51.100.2, ipv6: \"2001:db8:1::2\"}}\n" + text;
    }
    step.config = Unwrap(LoadConfigText(text, place + " config"), place).config;
    for (const auto& hop : node["next_hops"] ? node["next_hops"] : root_["next_hops"]) NextHop(hop, &step);
    for (const auto& pool : node["unhealthy"]) {
      for (const auto& name : pool.second) step.unhealthy[pool.first.as<std::string>()].insert(name.as<std::string>());
    }
    return step;
  }

  void NextHop(const YAML::detail::iterator_value& hop, PublishStep* step) {
    const std::string place = Place(file_, hop.first);
    AllowKeys(hop.second, {"mac", "vlan", "port", "mtu"}, file_);
    BackendNextHop next;
    next.port = hop.second["port"].as<uint16_t>(0);
    next.vlan = hop.second["vlan"].as<uint16_t>(0);
    next.mtu = hop.second["mtu"].as<uint16_t>(1500);
    next.source = TestedPorts().at(next.port).mac;
    next.destination = Unwrap(ParseMac(hop.second["mac"].as<std::string>()), place);
    step->next_hops[Unwrap(ParseAddress(hop.first.as<std::string>()), place)] = next;
  }

  std::string file_;
  YAML::Node root_;
  absl::flat_hash_map<std::string, std::string> names_;
};

}  // namespace

bool GoldenCase::NeedsClock() const {
  return std::any_of(steps.begin(), steps.end(),
                     [](const Step& step) { return std::holds_alternative<WaitStep>(step); });
}

absl::StatusOr<std::vector<GoldenCase>> LoadGoldenCases(const std::string& path) {
  try {
    return Reader(path, YAML::LoadFile(path)).Read();
  } catch (const Mistake& mistake) {
    return absl::InvalidArgumentError(mistake.text);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
}

}  // namespace sluice::packet_test
