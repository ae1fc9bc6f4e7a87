#include "config/format.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "config/scalar.h"
#include "config/sluice.pb.h"
#include "google/protobuf/duration.pb.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string FormatDuration(const google::protobuf::Duration& duration) {
  constexpr int32_t kNanosPerMilli = 1'000'000;
  if (duration.nanos() == 0) return absl::StrCat(duration.seconds(), "s");
  if (duration.nanos() % kNanosPerMilli == 0) {
    return absl::StrCat(duration.seconds() * 1000 + duration.nanos() / kNanosPerMilli, "ms");
  }
  return absl::FormatDuration(absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos()));
}

// What stands as one value. The file has no times of day.
bool IsValue(const FieldDescriptor& field) {
  return config::IsScalar(field) || field.message_type() == google::protobuf::Timestamp::descriptor();
}

std::string FormatMessage(const Message& message) {
  if (message.GetDescriptor() == google::protobuf::Timestamp::descriptor()) {
    return google::protobuf::util::TimeUtil::ToString(static_cast<const google::protobuf::Timestamp&>(message));
  }
  if (message.GetDescriptor() == google::protobuf::Duration::descriptor()) {
    return FormatDuration(static_cast<const google::protobuf::Duration&>(message));
  }
  if (message.GetDescriptor() == v1::Rate::descriptor()) {
    return absl::StrCat(static_cast<const v1::Rate&>(message).per_second(), "/s");
  }
  const auto& range = static_cast<const v1::PortRange&>(message);
  return range.first() == range.last() ? absl::StrCat(range.first()) : absl::StrCat(range.first(), "-", range.last());
}

std::string FormatEnum(int number, const FieldDescriptor& field) {
  const google::protobuf::EnumValueDescriptor* value = field.enum_type()->FindValueByNumber(number);
  return value == nullptr ? absl::StrCat(number) : absl::AsciiStrToLower(value->name());
}

// Small maps of single values go on one line.
bool IsShort(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return std::all_of(fields.begin(), fields.end(), [](const FieldDescriptor* field) { return IsValue(*field); });
}

// Whether every reader of YAML takes the plain text for text, and not for a number, an address with a colon, a yes.
bool IsPlainWord(const std::string& text) {
  static constexpr std::string_view kOthers[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  const auto is_part = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.'; };
  return !text.empty() && absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), is_part) &&
         std::find(std::begin(kOthers), std::end(kOthers), absl::AsciiStrToLower(text)) == std::end(kOthers);
}

class Writer {
 public:
  explicit Writer(Unset unset) : unset_(unset) {}

  void Map(const Message& message, bool flow) {
    if (flow) out_ << YAML::Flow;
    out_ << YAML::BeginMap;
    const google::protobuf::Descriptor& type = *message.GetDescriptor();
    for (int i = 0; i < type.field_count(); i++) Field(message, *type.field(i));
    out_ << YAML::EndMap;
  }

  std::string Take() { return out_.c_str(); }

 private:
  void Field(const Message& message, const FieldDescriptor& field) {
    const Reflection& reflection = *message.GetReflection();
    if (field.is_repeated()) return List(message, field);
    const bool present = reflection.HasField(message, &field);
    // A field that says by its presence whether it was given stays out without it.
    if (!present && (unset_ == Unset::kLeaveOut || field.has_presence())) return;
    out_ << YAML::Key << field.name() << YAML::Value;
    if (IsValue(field)) {
      Scalar(message, field, -1);
    } else {
      const Message& inner = reflection.GetMessage(message, &field);
      Map(inner, IsShort(inner));
    }
  }

  void List(const Message& message, const FieldDescriptor& field) {
    const int size = message.GetReflection()->FieldSize(message, &field);
    if (size == 0 && unset_ == Unset::kLeaveOut) return;
    out_ << YAML::Key << field.name() << YAML::Value;
    if (IsValue(field) || size == 0) out_ << YAML::Flow;
    out_ << YAML::BeginSeq;
    for (int i = 0; i < size; i++) {
      if (IsValue(field)) {
        Scalar(message, field, i);
      } else {
        const Message& element = message.GetReflection()->GetRepeatedMessage(message, &field, i);
        Map(element, IsShort(element));
      }
    }
    out_ << YAML::EndSeq;
  }

  void Scalar(const Message& message, const FieldDescriptor& field, int index) {
    const std::string text = config::FormatScalar(message, field, index);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !IsPlainWord(text)) out_ << YAML::DoubleQuoted;
    out_ << text;
  }

  YAML::Emitter out_;
  Unset unset_;
};

// Numbers that a double has exactly; larger ones are in quotes, as protobuf has those of 64 bits.
constexpr uint64_t kMostExact = uint64_t{1} << 53;

// yaml-cpp's tag of what has no quotes.
bool IsPlain(const YAML::Node& node) {
  return node.Tag() == "?";
}

google::protobuf::Value ValueOf(const YAML::Node& node) {
  google::protobuf::Value value;
  if (node.IsMap()) {
    auto& fields = *value.mutable_struct_value()->mutable_fields();
    for (const auto& member : node) fields[member.first.Scalar()] = ValueOf(member.second);
    return value;
  }
  if (node.IsSequence()) {
    auto& values = *value.mutable_list_value();
    for (const YAML::Node& element : node) *values.add_values() = ValueOf(element);
    return value;
  }
  const std::string& text = node.Scalar();
  uint64_t number = 0;
  if (IsPlain(node) && (text == "true" || text == "false")) {
    value.set_bool_value(text == "true");
  } else if (IsPlain(node) && absl::SimpleAtoi(text, &number) && number <= kMostExact) {
    value.set_number_value(static_cast<double>(number));
  } else {
    value.set_string_value(text);
  }
  return value;
}

}  // namespace

std::string config::FormatScalar(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (list ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(list ? reflection.GetRepeatedUInt32(message, &field, index)
                               : reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(list ? reflection.GetRepeatedUInt64(message, &field, index)
                               : reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return FormatEnum(
          list ? reflection.GetRepeatedEnumValue(message, &field, index) : reflection.GetEnumValue(message, &field),
          field);
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string value =
          list ? reflection.GetRepeatedString(message, &field, index) : reflection.GetString(message, &field);
      return field.type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(value) : value;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return FormatMessage(list ? reflection.GetRepeatedMessage(message, &field, index)
                                : reflection.GetMessage(message, &field));
    default:
      break;
  }
  // The schema has no signed or floating numbers; scalar_test walks it and would find one.
  return "";
}

std::string FormatYaml(const Message& message, Unset unset) {
  Writer writer(unset);
  writer.Map(message, false);
  return absl::StrCat(writer.Take(), "\n");
}

google::protobuf::Value FileValue(const Message& message) {
  return ValueOf(YAML::Load(FormatYaml(message)));
}

std::string FormatFlow(const Message& message) {
  Writer writer(Unset::kLeaveOut);
  writer.Map(message, true);
  return writer.Take();
}

}  // namespace sluice
