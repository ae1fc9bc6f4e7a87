#include "config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <optional>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "config/bounds.h"
#include "config/scalar.h"
#include "config/suggest.h"
#include "config/text.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace sluice {
namespace {

using config::Place;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Ends the reading: yaml-cpp has no other way out of a handler.
struct Stop : std::exception {};

// Feeds the text piece by piece, and ends it early when no value came out of kMaxLookaheadBytes.
class Source : public std::streambuf {
 public:
  explicit Source(std::string_view text) : text_(text) {}
  void ValueCame() { limit_ = given_ + config::kMaxLookaheadBytes; }
  bool ended_early() const { return ended_early_; }

 protected:
  int_type underflow() override {
    const size_t size = std::min(size_t{4096}, text_.size() - given_);
    ended_early_ = size > 0 && given_ >= limit_;
    if (size == 0 || ended_early_) return traits_type::eof();
    // Nothing writes through a streambuf that only reads.
    char* const piece = const_cast<char*>(text_.data()) + given_;
    setg(piece, piece, piece + size);
    given_ += size;
    return traits_type::to_int_type(*piece);
  }

 private:
  std::string_view text_;
  size_t given_ = 0;
  size_t limit_ = config::kMaxLookaheadBytes;
  bool ended_early_ = false;
};

Place ToPlace(const YAML::Mark& mark) {
  if (mark.is_null()) return {1, 1};
  return {static_cast<uint32_t>(mark.line) + 1, static_cast<uint32_t>(mark.column) + 1};
}

std::vector<std::string> Keys(const google::protobuf::Descriptor& type) {
  std::vector<std::string> keys;
  for (int i = 0; i < type.field_count(); ++i) keys.push_back(type.field(i)->name());
  return keys;
}

// Writes events into the message at the top of a stack of open maps and lists.
class Reader : public YAML::EventHandler {
 public:
  Reader(Message& root, Source& source, config::Report& report) : root_(root), source_(source), report_(report) {}

  // Where the last value stood.
  Place last() const { return last_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (document_++ > 0) Fail(ToPlace(mark), "a second document starts here; write everything in one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Null(ToPlace(mark)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(ToPlace(mark), "aliases (*name) are not followed; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& text) override {
    CheckTag(ToPlace(mark), tag);
    Scalar(ToPlace(mark), text);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    CheckTag(ToPlace(mark), tag);
    Open(ToPlace(mark), /*list=*/true);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    CheckTag(ToPlace(mark), tag);
    Open(ToPlace(mark), /*list=*/false);
  }
  void OnMapEnd() override { Close(); }

 private:
  // An open map (fills `message`) or list (appends to `field` of `message`).
  struct Frame {
    Message* message;
    bool list;
    // In a map: the field whose value comes next; null for a key that is not known.
    const FieldDescriptor* field;
    bool value_is_next = false;
    size_t path_length;
    // In a map: where each field of the schema stood, by its index.
    std::vector<Place> seen;
  };

  struct SkippedKey {
    Place place;
    bool list;
  };

  [[noreturn]] void Fail(Place place, std::string_view text) {
    report_.AddErrorAt(place, text);
    throw Stop();
  }

  void CheckTag(Place place, const std::string& tag) {
    source_.ValueCame();
    last_ = place;
    // "?" plain, "!" quoted; anything else is written by the user.
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(place, absl::StrCat("tag \"", tag, "\" is not used here; write the value alone"));
    }
  }

  void Refuse(Place place, std::string_view text) {
    report_.AddErrorAt(place, text);
    report_.MarkBroken(path_);
    if (!stack_.empty() && stack_.back().list) report_.MarkBroken(path_.substr(0, stack_.back().path_length));
  }

  bool KeyIsNext() const { return !stack_.empty() && !stack_.back().list && !stack_.back().value_is_next; }

  // Before a value: its path is entered and its field returned, null when it goes nowhere.
  const FieldDescriptor* EnterValue(Place place) {
    if (stack_.empty()) return nullptr;
    Frame& frame = stack_.back();
    if (frame.list) {
      if (++elements_ > config::kMaxListElements) {
        Fail(place, absl::StrCat("more than ", config::kMaxListElements, " list elements; split the configuration"));
      }
      path_.resize(frame.path_length);
      // The index that the element gets, also when one before it was refused.
      absl::StrAppend(&path_, "[", frame.message->GetReflection()->FieldSize(*frame.message, frame.field), "]");
    }
    if (frame.field != nullptr) report_.SetPlace(path_, place);
    return frame.field;
  }

  // After a value: a map waits for its next key.
  void LeaveValue() {
    if (!stack_.empty()) stack_.back().value_is_next = false;
  }

  void Null(Place place) {
    if (skipped_ > 0) return;
    if (KeyIsNext()) return Key(place, "");
    const FieldDescriptor* field = EnterValue(place);
    // A list or map whose lines are all commented out is an empty one.
    const bool empties = field != nullptr && !stack_.back().list && (field->is_repeated() || !config::IsScalar(*field));
    if (field != nullptr && !empties) {
      Refuse(place, absl::StrCat(field->name(), " has no value; write one or remove the line"));
    }
    LeaveValue();
  }

  void Key(Place place, const std::string& text) {
    Frame& frame = stack_.back();
    path_.resize(frame.path_length);
    frame.value_is_next = true;
    frame.field = frame.message->GetDescriptor()->FindFieldByName(text);
    if (frame.field == nullptr) {
      return Refuse(place, absl::StrCat("unknown key \"", text, "\"; ",
                                        config::Suggest(text, Keys(*frame.message->GetDescriptor()))));
    }
    absl::StrAppend(&path_, path_.empty() ? "" : ".", text);
    Place& first = frame.seen[static_cast<size_t>(frame.field->index())];
    if (first.line != 0) {
      report_.AddErrorAt(place, absl::StrCat("\"", text, "\" stands here a second time (first in line ", first.line,
                                             "); keep one of the two"));
      frame.field = nullptr;
      return;
    }
    first = place;
  }

  void Scalar(Place place, const std::string& text) {
    if (skipped_ > 0) return;
    if (stack_.empty()) return Refuse(place, NotAMap());
    if (KeyIsNext()) return Key(place, text);
    const FieldDescriptor* field = EnterValue(place);
    if (field != nullptr) SetScalar(place, *field, text);
    LeaveValue();
  }

  void SetScalar(Place place, const FieldDescriptor& field, const std::string& text) {
    const Frame& frame = stack_.back();
    if (field.is_repeated() && !frame.list) {
      const std::string advice = config::IsScalar(field) ? absl::StrCat("write [", text, "]") : ElementAdvice(field);
      return Refuse(place, absl::StrCat(field.name(), " is a list; ", advice));
    }
    if (!config::IsScalar(field)) return Refuse(place, NotAMap(field));
    const absl::Status status = config::SetFromText(*frame.message, field, text);
    if (!status.ok()) Refuse(place, std::string(status.message()));
  }

  void Open(Place place, bool list) {
    if (skipped_ > 0) return Skip(place);
    if (stack_.empty()) return OpenRoot(place, list);
    if (KeyIsNext()) {
      // Told when it ends: in broken YAML, values in brackets pass for keys.
      skipped_key_ = SkippedKey{place, list};
      return Skip(place);
    }
    const FieldDescriptor* field = EnterValue(place);
    if (field == nullptr) return Skip(place);
    Frame& frame = stack_.back();
    const bool wants_list = field->is_repeated() && !frame.list;
    if (list != wants_list || (!list && config::IsScalar(*field))) {
      Refuse(place, wants_list                 ? absl::StrCat(field->name(), " is a list; ", ElementAdvice(*field))
                    : config::IsScalar(*field) ? absl::StrCat(field->name(), " is one value; write it without ",
                                                              list ? "brackets or dashes" : "keys of its own")
                                               : NotAMap(*field));
      return Skip(place);
    }
    if (list) return Push({.message = frame.message, .list = true, .field = field, .path_length = path_.size()});
    const google::protobuf::Reflection& reflection = *frame.message->GetReflection();
    Message* message = field->is_repeated() ? reflection.AddMessage(frame.message, field)
                                            : reflection.MutableMessage(frame.message, field);
    PushMap(*message);
  }

  void OpenRoot(Place place, bool list) {
    report_.SetPlace("", place);
    if (!list) return PushMap(root_);
    Refuse(place, NotAMap());
    Skip(place);
  }

  void PushMap(Message& message) {
    Push({.message = &message,
          .list = false,
          .field = nullptr,
          .path_length = path_.size(),
          .seen = std::vector<Place>(static_cast<size_t>(message.GetDescriptor()->field_count()))});
  }

  void Push(Frame frame) { stack_.push_back(std::move(frame)); }

  // A map or list that goes nowhere: passed over up to its end.
  void Skip(Place place) {
    if (++skipped_ + stack_.size() > config::kMaxDepth) {
      Fail(place, absl::StrCat("more than ", config::kMaxDepth, " levels of nesting; no setting is that deep"));
    }
  }

  void Close() {
    if (skipped_ > 0) {
      if (--skipped_ > 0) return;
      // A map or list in a key's place was the key; its value is still to come.
      if (skipped_key_.has_value()) {
        Key(skipped_key_->place, skipped_key_->list ? "[...]" : "{...}");
        skipped_key_.reset();
        return;
      }
    } else {
      path_.resize(stack_.back().path_length);
      stack_.pop_back();
    }
    LeaveValue();
  }

  static std::string ElementAdvice(const FieldDescriptor& field) {
    if (config::IsScalar(field)) return "write it in brackets: [a, b]";
    return absl::StrCat("start each entry with \"- ", field.message_type()->field(0)->name(), ":\"");
  }

  static std::string NotAMap(const FieldDescriptor& field) {
    return absl::StrCat(field.name(), " has keys of its own; write it as {", field.message_type()->field(0)->name(),
                        ": ...}");
  }

  std::string NotAMap() const {
    return absl::StrCat("this is not a configuration; ", config::Suggest("", Keys(*root_.GetDescriptor())));
  }

  Message& root_;
  Source& source_;
  config::Report& report_;
  Place last_{1, 1};
  std::vector<Frame> stack_;
  std::string path_;
  size_t skipped_ = 0;
  std::optional<SkippedKey> skipped_key_;
  size_t elements_ = 0;
  int document_ = 0;
};

}  // namespace

v1::Config ParseConfig(std::string_view text, config::Report& report) {
  v1::Config result;
  const auto unreadable = [&report](Place place, std::string_view what) {
    report.AddErrorAt(place, what);
    report.SetIncomplete();
  };
  if (text.size() > config::kMaxFileBytes) {
    unreadable({}, absl::StrCat("larger than ", config::kMaxFileBytes >> 20, " MiB; split the configuration"));
    return result;
  }
  if (const std::optional<config::BadByte> bad = config::FindBadByte(text); bad.has_value()) {
    unreadable(bad->place, bad->what);
    return result;
  }
  report.SetPlace("", {1, 1});
  Source source(text);
  Reader reader(result, source, report);
  const auto ended_early = [&] {
    unreadable(reader.last(), absl::StrCat("no end within ", config::kMaxLookaheadBytes >> 20,
                                           " MiB from here; write large lists in lines that start with dashes"));
  };
  try {
    std::istream stream(&source);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(reader)) {
    }
    if (source.ended_early()) ended_early();
  } catch (const Stop&) {
    report.SetIncomplete();
  } catch (const YAML::Exception& error) {
    if (source.ended_early()) {
      ended_early();
    } else {
      unreadable(config::PlaceOf(text, static_cast<size_t>(std::max(error.mark.pos, 0))),
                 absl::StrCat("not YAML: ", error.msg,
                              "; check indentation (no tabs), colons, quotes and brackets up to here"));
    }
  } catch (const std::exception& error) {
    unreadable(reader.last(), absl::StrCat("cannot be read as YAML: ", error.what()));
  }
  return result;
}

}  // namespace sluice
