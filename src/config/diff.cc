#include "config/diff.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/format.h"
#include "config/scalar.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

class Differ {
 public:
  void Messages(const std::string& path, const Message& before, const Message& after) {
    const google::protobuf::Descriptor& type = *before.GetDescriptor();
    for (int i = 0; i < type.field_count(); i++) {
      const FieldDescriptor& field = *type.field(i);
      const std::string at = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
      if (field.is_repeated() && IsNamed(field)) {
        Lists(at, field, before, after);
      } else if (field.is_repeated() || config::IsScalar(field)) {
        Values(at, field, before, after);
      } else {
        const Reflection& reflection = *before.GetReflection();
        Messages(at, reflection.GetMessage(before, &field), reflection.GetMessage(after, &field));
      }
    }
  }

  std::vector<std::string> Take() {
    if (left_out_ > 0) lines_.push_back(absl::StrCat("... and ", left_out_, " more"));
    return std::move(lines_);
  }

 private:
  // Listeners, pools and backends. Interfaces are a list in which the place counts.
  static bool IsNamed(const FieldDescriptor& field) {
    return !config::IsScalar(field) && field.message_type() != v1::Interface::descriptor();
  }

  static std::string NameOf(const Message& message) {
    const FieldDescriptor* name = message.GetDescriptor()->FindFieldByName("name");
    return name == nullptr ? "" : message.GetReflection()->GetString(message, name);
  }

  void Add(std::string line) {
    if (line.size() > kMaxDiffLineBytes) {
      line = absl::StrCat(line.substr(0, kMaxDiffLineBytes), "... (", line.size() - kMaxDiffLineBytes, " bytes more)");
    }
    if (lines_.size() < kMaxDiffLines) {
      lines_.push_back(std::move(line));
    } else {
      left_out_++;
    }
  }

  void Lists(const std::string& path, const FieldDescriptor& field, const Message& before, const Message& after) {
    const Reflection& reflection = *before.GetReflection();
    absl::flat_hash_map<std::string, const Message*> wanted;
    for (int i = 0; i < reflection.FieldSize(after, &field); i++) {
      const Message& message = reflection.GetRepeatedMessage(after, &field, i);
      wanted.emplace(NameOf(message), &message);
    }
    for (int i = 0; i < reflection.FieldSize(before, &field); i++) {
      const Message& old = reflection.GetRepeatedMessage(before, &field, i);
      const std::string at = absl::StrCat(path, "[", NameOf(old), "]");
      const auto found = wanted.find(NameOf(old));
      if (found == wanted.end()) {
        Add(absl::StrCat("- ", at));
        continue;
      }
      Messages(at, old, *found->second);
      wanted.erase(found);
    }
    // In their order.
    for (int i = 0; i < reflection.FieldSize(after, &field); i++) {
      const Message& message = reflection.GetRepeatedMessage(after, &field, i);
      const std::string name = NameOf(message);
      if (wanted.contains(name)) Add(absl::StrCat("+ ", path, "[", name, "]: ", FormatFlow(message)));
    }
  }

  void Values(const std::string& path, const FieldDescriptor& field, const Message& before, const Message& after) {
    const std::string old = ValueOf(before, field);
    const std::string wanted = ValueOf(after, field);
    if (old == wanted) return;
    if (field.name() == "hash_key") return Add(absl::StrCat("~ ", path));
    if (field.is_repeated() && config::IsScalar(field)) {
      const std::vector<std::string> had = ElementsOf(before, field);
      const std::vector<std::string> has = ElementsOf(after, field);
      if (had.size() > kMaxDiffElements || has.size() > kMaxDiffElements) return LongList(path, had, has);
    }
    Add(absl::StrCat("~ ", path, ": ", old, " -> ", wanted));
  }

  static std::string ValueOf(const Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) {
      if (field.has_presence() && !reflection.HasField(message, &field)) return "none";
      const std::string text = config::FormatScalar(message, field);
      return text.empty() ? "none" : text;
    }
    return absl::StrCat("[", absl::StrJoin(ElementsOf(message, field), ", "), "]");
  }

  static std::vector<std::string> ElementsOf(const Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    std::vector<std::string> elements;
    for (int i = 0; i < reflection.FieldSize(message, &field); i++) {
      elements.push_back(config::IsScalar(field) ? config::FormatScalar(message, field, i)
                                                 : FormatFlow(reflection.GetRepeatedMessage(message, &field, i)));
    }
    return elements;
  }

  // Only what comes and goes, and of that the first ones.
  void LongList(const std::string& path, const std::vector<std::string>& before,
                const std::vector<std::string>& after) {
    const std::vector<std::string> added = Without(after, before);
    const std::vector<std::string> removed = Without(before, after);
    std::string line = absl::StrCat("~ ", path, ": ", before.size(), " -> ", after.size(), " elements");
    if (added.empty() && removed.empty()) absl::StrAppend(&line, ", in another order");
    for (const auto& [sign, elements] : {std::pair{"+", &added}, std::pair{"-", &removed}}) {
      for (size_t i = 0; i < elements->size() && i < kMaxDiffElements; i++) {
        absl::StrAppend(&line, i == 0 ? ", " : " ", sign, (*elements)[i]);
      }
      if (elements->size() > kMaxDiffElements) {
        absl::StrAppend(&line, " and ", elements->size() - kMaxDiffElements, " more");
      }
    }
    Add(std::move(line));
  }

  static std::vector<std::string> Without(const std::vector<std::string>& all, const std::vector<std::string>& others) {
    const absl::flat_hash_set<std::string> left_out(others.begin(), others.end());
    std::vector<std::string> rest;
    for (const std::string& element : all) {
      if (!left_out.contains(element)) rest.push_back(element);
    }
    return rest;
  }

  std::vector<std::string> lines_;
  size_t left_out_ = 0;
};

}  // namespace

std::vector<std::string> DiffConfigs(const v1::Config& before, const v1::Config& after) {
  Differ differ;
  differ.Messages("", before, after);
  return differ.Take();
}

}  // namespace sluice
