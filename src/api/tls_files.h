// Certificates of the API over TCP: whether the files are what they have to be.
//
// Thread-safety: pure function but for reading the files.
#pragma once

#include "absl/status/status.h"
#include "config/sluice.pb.h"

namespace sluice {

// The error names the file that cannot be used, and why. gRPC itself would start, and refuse every client.
absl::Status CheckTlsFiles(const v1::ApiTls& tls);

}  // namespace sluice
