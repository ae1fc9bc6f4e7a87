// Scalars of the configuration file: the text that people write -> the value of a field of the schema.
//
// The form follows from the field's type: true and false; whole numbers with an optional k, M or G (thousands, not
// 1024); enumerations by their names in lower case; bytes in base64; google.protobuf.Duration as 350s, 2m, 500ms;
// sluice.v1.PortRange as 80 or 8000-8099; sluice.v1.Rate as 200/s; strings as they are. Thread-safety: pure functions.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string_view>

#include "absl/status/status.h"

namespace sluice::config {

// Whether the field's value (or, for a list, each element) is one scalar in the file.
bool IsScalar(const google::protobuf::FieldDescriptor& field);

// Sets the field of `message`, or appends when it is a list. Required: IsScalar(field). On error nothing is changed,
// and the text says what is wrong and what would be right.
absl::Status SetFromText(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                         std::string_view text);

}  // namespace sluice::config
