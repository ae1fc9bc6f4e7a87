// Certificates that a test makes for itself.
//
// Thread-safety: pure but for the files.
#pragma once

#include <filesystem>
#include <string>

namespace sluice {

struct TestCertificate {
  // PEM.
  std::filesystem::path certificate;
  std::filesystem::path key;
};

// Writes NAME.pem and NAME.key into `folder`: signed by itself, for `subject` ("DNS:web.example" or "IP:127.0.0.1"),
// until `valid_seconds` from now, which may be negative.
TestCertificate MakeCertificate(const std::filesystem::path& folder, const std::string& name,
                                const std::string& subject, long valid_seconds = 3'600);

}  // namespace sluice
