#include "config/scalar.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "config/sluice.pb.h"
#include "config/suggest.h"
#include "google/protobuf/duration.pb.h"

namespace sluice::config {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsMessage(const FieldDescriptor& field, const google::protobuf::Descriptor* type) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && field.message_type() == type;
}

bool IsDuration(const FieldDescriptor& field) {
  return IsMessage(field, google::protobuf::Duration::descriptor());
}

bool IsPortRange(const FieldDescriptor& field) {
  return IsMessage(field, v1::PortRange::descriptor());
}

bool IsRate(const FieldDescriptor& field) {
  return IsMessage(field, v1::Rate::descriptor());
}

absl::Status Wrong(const FieldDescriptor& field, std::string_view text, std::string_view rest) {
  return absl::InvalidArgumentError(
      absl::StrCat(field.name(), " \"", std::string(text), "\" is not ", std::string(rest)));
}

std::optional<uint64_t> Digits(std::string_view text) {
  uint64_t value = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(std::string(text), &value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> Count(std::string_view text) {
  uint64_t unit = 1;
  if (!text.empty()) {
    switch (text.back()) {
      case 'k':
        unit = 1'000;
        break;
      case 'M':
        unit = 1'000'000;
        break;
      case 'G':
        unit = 1'000'000'000;
        break;
      default:
        break;
    }
  }
  if (unit != 1) text.remove_suffix(1);
  const std::optional<uint64_t> digits = Digits(text);
  if (!digits.has_value() || *digits > std::numeric_limits<uint64_t>::max() / unit) return std::nullopt;
  return *digits * unit;
}

absl::Status SetCount(Message& message, const FieldDescriptor& field, std::string_view text) {
  const Reflection& reflection = *message.GetReflection();
  const bool narrow = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32;
  const uint64_t most = narrow ? std::numeric_limits<uint32_t>::max() : std::numeric_limits<uint64_t>::max();
  const std::optional<uint64_t> value = Count(text);
  if (!value.has_value()) return Wrong(field, text, "a whole number; write it like 1024, 64k or 4M");
  if (*value > most) return Wrong(field, text, absl::StrCat("in range; it would be at most ", most));
  if (narrow) {
    const auto narrowed = static_cast<uint32_t>(*value);
    field.is_repeated() ? reflection.AddUInt32(&message, &field, narrowed)
                        : reflection.SetUInt32(&message, &field, narrowed);
  } else {
    field.is_repeated() ? reflection.AddUInt64(&message, &field, *value)
                        : reflection.SetUInt64(&message, &field, *value);
  }
  return absl::OkStatus();
}

absl::Status SetBool(Message& message, const FieldDescriptor& field, std::string_view text) {
  if (text != "true" && text != "false") return Wrong(field, text, "a yes or no; write true or false");
  const Reflection& reflection = *message.GetReflection();
  field.is_repeated() ? reflection.AddBool(&message, &field, text == "true")
                      : reflection.SetBool(&message, &field, text == "true");
  return absl::OkStatus();
}

// icmp_echo was a yes or no once.
std::string_view Renamed(const FieldDescriptor& field, std::string_view text) {
  if (field.enum_type() != v1::Listener::IcmpEcho_descriptor()) return text;
  return text == "true" ? "answer" : text == "false" ? "drop" : text;
}

absl::Status SetEnum(Message& message, const FieldDescriptor& field, std::string_view written) {
  const std::string_view text = Renamed(field, written);
  std::vector<std::string> names;
  const EnumValueDescriptor* chosen = nullptr;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const EnumValueDescriptor* value = field.enum_type()->value(i);
    // What proto3 puts for "absent"; absent is said by leaving the key out.
    if (absl::EndsWith(value->name(), "_UNSPECIFIED")) continue;
    names.push_back(absl::AsciiStrToLower(value->name()));
    if (names.back() == text) chosen = value;
  }
  if (chosen == nullptr) return Wrong(field, text, absl::StrCat("known; ", Suggest(text, names)));
  const Reflection& reflection = *message.GetReflection();
  field.is_repeated() ? reflection.AddEnum(&message, &field, chosen) : reflection.SetEnum(&message, &field, chosen);
  return absl::OkStatus();
}

absl::Status SetString(Message& message, const FieldDescriptor& field, std::string_view text) {
  std::string value(text);
  if (field.type() == FieldDescriptor::TYPE_BYTES && !absl::Base64Unescape(std::string(text), &value)) {
    return Wrong(field, text, "base64; make such a value with: head -c 32 /dev/urandom | base64");
  }
  const Reflection& reflection = *message.GetReflection();
  field.is_repeated() ? reflection.AddString(&message, &field, std::move(value))
                      : reflection.SetString(&message, &field, std::move(value));
  return absl::OkStatus();
}

absl::Status SetDuration(Message& message, const FieldDescriptor& field, std::string_view text) {
  absl::Duration duration;
  if (Digits(text).has_value() && text != "0") {
    return Wrong(field, text, absl::StrCat("a time without its unit; write it like ", std::string(text), "s"));
  }
  if (!absl::ParseDuration(std::string(text), &duration) || duration < absl::ZeroDuration() ||
      duration > absl::Hours(24 * 365)) {
    return Wrong(field, text, "a time; write it like 350s, 2m or 500ms");
  }
  const Reflection& reflection = *message.GetReflection();
  Message* value =
      field.is_repeated() ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
  auto& target = static_cast<google::protobuf::Duration&>(*value);
  target.set_seconds(absl::ToInt64Seconds(duration));
  target.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(target.seconds()))));
  return absl::OkStatus();
}

absl::Status SetPortRange(Message& message, const FieldDescriptor& field, std::string_view text) {
  const size_t dash = text.find('-');
  const std::optional<uint64_t> first = Digits(text.substr(0, dash));
  const std::optional<uint64_t> last = dash == std::string_view::npos ? first : Digits(text.substr(dash + 1));
  const uint64_t most = std::numeric_limits<uint32_t>::max();
  if (!first.has_value() || !last.has_value() || *first > most || *last > most) {
    return Wrong(field, text, "a port or a range of ports; write it like 80 or 8000-8099");
  }
  const Reflection& reflection = *message.GetReflection();
  Message* value =
      field.is_repeated() ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
  auto& range = static_cast<v1::PortRange&>(*value);
  range.set_first(static_cast<uint32_t>(*first));
  range.set_last(static_cast<uint32_t>(*last));
  return absl::OkStatus();
}

absl::Status SetRate(Message& message, const FieldDescriptor& field, std::string_view text) {
  const bool per_second = absl::EndsWith(std::string(text), "/s");
  const std::optional<uint64_t> events = Count(text.substr(0, per_second ? text.size() - 2 : 0));
  if (!events.has_value() || *events > std::numeric_limits<uint32_t>::max()) {
    return Wrong(field, text, "a rate; write it like 200/s or 10k/s");
  }
  const Reflection& reflection = *message.GetReflection();
  Message* value =
      field.is_repeated() ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
  static_cast<v1::Rate&>(*value).set_per_second(static_cast<uint32_t>(*events));
  return absl::OkStatus();
}

}  // namespace

bool IsScalar(const FieldDescriptor& field) {
  return field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || IsDuration(field) || IsPortRange(field) ||
         IsRate(field);
}

absl::Status SetFromText(Message& message, const FieldDescriptor& field, std::string_view text) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(message, field, text);
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetCount(message, field, text);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(message, field, text);
    case FieldDescriptor::CPPTYPE_STRING:
      return SetString(message, field, text);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (IsRate(field)) return SetRate(message, field, text);
      return IsDuration(field) ? SetDuration(message, field, text) : SetPortRange(message, field, text);
    default:
      break;
  }
  // The schema has no signed or floating numbers; scalar_test walks it and would find one.
  return absl::InternalError(absl::StrCat(field.full_name(), " has a type that the file has no form for"));
}

}  // namespace sluice::config
