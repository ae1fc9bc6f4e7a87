#include "health/http_probe.h"

#include <algorithm>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <limits>

#include "absl/strings/str_cat.h"

namespace sluice {

namespace asio = boost::asio;
namespace http = boost::beast::http;

void HttpProbe::SendRequest() {
  const std::string host = spec().host.empty() ? FormatEndpoint(target().asked(), target().port) : spec().host;
  request_.version(11);
  request_.method_string(spec().method);
  request_.target(spec().path);
  request_.set(http::field::host, host);
  request_.set(http::field::user_agent, "sluice-health-check");
  request_.set(http::field::accept, "*/*");
  request_.set(http::field::connection, "close");
  parser_.body_limit(std::numeric_limits<uint64_t>::max());
  // Answers to HEAD say how long a body would be, and have none.
  parser_.skip(spec().method == "HEAD");
  WithStream([this](auto& stream) { http::async_write(stream, request_, Then([this](size_t) { ReadHeader(); })); });
}

void HttpProbe::ReadHeader() {
  WaitFor("answer");
  WithStream([this](auto& stream) {
    http::async_read_header(stream, buffer_, parser_, Then([this](size_t) { CheckStatus(); }));
  });
}

void HttpProbe::CheckStatus() {
  const uint32_t code = parser_.get().result_int();
  const bool expected = std::any_of(spec().statuses.begin(), spec().statuses.end(), [code](const StatusRange& range) {
    return range.first <= code && code <= range.last;
  });
  // The server's own words for it are not to be trusted in a log.
  const boost::beast::string_view words = http::obsolete_reason(static_cast<http::status>(code));
  const std::string answered = absl::StrCat("answered ", code, " ", absl::string_view(words.data(), words.size()));
  if (!expected) return Fail(absl::StrCat(answered, "; expected ", spec().expected_statuses));
  if (spec().expect_body.empty()) return Pass(answered);
  WaitFor("expected text in the answer's body");
  ReadBody();
}

void HttpProbe::ReadBody() {
  if (parser_.is_done()) return Fail(absl::StrCat("the expected text is not in its body of ", body_.size(), " bytes"));
  if (body_.size() >= kMaxAnswer) {
    return Fail(absl::StrCat("the expected text is not in the first ", body_.size(), " bytes of its body"));
  }
  parser_.get().body().data = piece_.data();
  parser_.get().body().size = piece_.size();
  parser_.get().body().more = true;
  WithStream([this](auto& stream) {
    http::async_read_some(stream, buffer_, parser_,
                          [this, self = shared_from_this()](const Error& error, size_t) { LookAtBody(error); });
  });
}

void HttpProbe::LookAtBody(const Error& error) {
  if (over()) return;
  const size_t before = body_.size();
  body_.append(piece_.data(), piece_.size() - parser_.get().body().size);
  if (Has(body_, before, spec().expect_body)) {
    return Pass(absl::StrCat("answered ", parser_.get().result_int(), " with the expected text"));
  }
  // The piece is full.
  if (error && error != http::error::need_buffer) return FailBy(error);
  ReadBody();
}

void HttpProbe::FailBy(const Error& error) {
  if (error == http::error::end_of_stream || error == asio::error::eof) return Fail("closed without an answer");
  SecureProbe::FailBy(error);
}

}  // namespace sluice
