// Messages of the schema -> the text that the configuration file has for them: the other way of scalar.h and yaml.h.
//
// Thread-safety: pure functions.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>

#include <string>

namespace sluice {

namespace config {

// A field of `message`, or with `index` an element of a list: "350s", "8000-8099", "full_nat", "1000000". Required:
// IsScalar(field), scalar.h.
std::string FormatScalar(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                         int index = -1);

}  // namespace config

// Fields that are absent or, without presence, have their default.
enum class Unset { kLeaveOut, kShow };

// YAML of any message; ParseConfig reads a configuration's back as it was.
std::string FormatYaml(const google::protobuf::Message& message, Unset unset = Unset::kLeaveOut);
// The same as a value to be printed as JSON, which ParseConfig reads as well: the names and the words of the file, not
// those of the protocol.
google::protobuf::Value FileValue(const google::protobuf::Message& message);
// The same on one line: `{name: web, weight: 5}`.
std::string FormatFlow(const google::protobuf::Message& message);

}  // namespace sluice
