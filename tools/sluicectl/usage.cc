// What is made of the verbs' description: --help, and the completion of bash.
#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/sluicectl/verbs.h"

namespace sluice {
namespace {

constexpr char kEnd[] = R"(
Verbs that change something return when every worker runs the change and it is kept over a restart.

Examples:
  sluicectl status
  sluicectl list --rate --watch
  sluicectl list 203.0.113.10:80 --stats
  sluicectl health web -o json
  sluicectl backend add web/web4 10.0.1.14 --weight=10
  sluicectl backend remove web/web1 --wait
  sluicectl explain 192.0.2.7:40000 203.0.113.10:80
  sluicectl flows list web/web1 --source=192.0.2.0/24
  sluicectl flows kill web/web1 --dry_run
  sluicectl diff sluice.yaml && echo same
  sluicectl export | sed 's/weight: 1$/weight: 2/' | sluicectl apply -
  sluicectl list -o json | jq '.pools[].backends[] | select(.condition != "READY") | .name'

Who knows ipvsadm: -Ln is list, with the same --stats and --rate; -a is backend add, -d backend remove, -e backend
weight, and -Lcn flows list.

Exit codes: 0 done, 1 refused (nothing has changed), 2 the command line is not understood, 3 no answer from sluiced, or
it could not be written, 4 the change runs but is not kept over a restart, 5 diff has found differences.
)";

constexpr char kCompletion[] = R"(# Completion of sluicectl for bash, made by: sluicectl completion
_sluicectl_names() {
  local -a api=()
  [[ $line =~ (--api=[^ ]+) ]] && api=("${BASH_REMATCH[1]}")
  "${words[0]}" health -o csv --timeout=2s "${api[@]}" 2>/dev/null | awk -F, "NR > 1 { print $1 }" | sort -u
}

_sluicectl() {
  local line="${COMP_LINE:0:COMP_POINT}" current="" before="" verb="" word candidates=""
  local -i arguments=0
  local -a words
  read -ra words <<<"$line"
  if [[ $line != *" " ]]; then
    current="${words[-1]}"
    unset "words[-1]"
  fi
  for word in "${words[@]:1}"; do
    if [[ $word == -* || $before == -o ]]; then
      before=$word
      continue
    fi
    before=$word
    case "$verb $word" in
      @WORDS@) verb="${verb:+$verb }$word" ;;
      *) arguments+=1 ;;
    esac
  done
  if [[ $before == -o ]]; then
    candidates="table json yaml csv"
  elif [[ $current == -* ]]; then
    case "$verb" in
@FLAGS@
      *) candidates="--help" ;;
    esac
  else
    case "$verb:$arguments" in
@ARGUMENTS@
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$current")
  # What bash has taken for words of their own is there already.
  local -i at=0
  [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && at=$((${#current} - ${#current##*:}))
  for word in "${!COMPREPLY[@]}"; do COMPREPLY[word]=${COMPREPLY[word]:at}; done
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
}
complete -F _sluicectl sluicectl
)";

// How it is written: --interval=, --stats, -o.
std::string Written(const Flag& flag) {
  if (flag.name.size() == 1) return absl::StrCat("-", flag.name);
  return absl::StrCat("--", flag.name, flag.is_switch ? "" : "=");
}

// What an argument may be, in the words of the script.
std::string Candidates(const std::string& argument) {
  const auto names = [](const char* what) { return absl::StrCat("candidates=$(_sluicectl_names '", what, "')"); };
  if (argument == "FILE") return "mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return";
  if (argument == "POOL/NAME" || absl::StartsWith(argument, "POOL[/NAME]")) return names("$1 \"/\" $2");
  return absl::StartsWith(argument, "POOL") ? names("$1") : "";
}

}  // namespace

std::string UsageText(const Flags& flags) {
  std::string text = "sluicectl VERB [ARGUMENT...] [--FLAG...]: looks at and changes a running sluiced\n\n";
  for (const Client::Verb& verb : Client::Verbs())
    absl::StrAppendFormat(&text, "  %-34s %s\n", verb.usage(), verb.help);
  absl::StrAppend(&text, "\n");
  for (const Flag& flag : flags) {
    absl::StrAppendFormat(&text, "  %-34s %s\n",
                          absl::StrCat(Written(flag), flag.name.size() == 1 ? " " : "", flag.otherwise), flag.help);
  }
  return absl::StrCat(text, kEnd);
}

std::string CompletionText(const Flags& flags) {
  std::map<std::string, std::string> written;
  for (const Flag& flag : flags) written[flag.name] = Written(flag);
  std::vector<std::string> words;
  std::vector<std::string> flag_lines;
  std::vector<std::string> argument_lines;
  // What may come behind a part of a verb.
  std::map<std::string, std::vector<std::string>> next;
  for (const Client::Verb& verb : Client::Verbs()) {
    std::string before;
    for (const std::string& word : verb.words) {
      const std::string part = absl::StrCat("\"", before, " ", word, "\"");
      if (std::find(words.begin(), words.end(), part) == words.end()) {
        words.push_back(part);
        next[before].push_back(word);
      }
      before = before.empty() ? word : absl::StrCat(before, " ", word);
    }
    std::vector<std::string> own;
    for (const std::string& name : verb.all_flags()) own.push_back(written[name]);
    flag_lines.push_back(absl::StrCat("      \"", verb.name(), "\") candidates=\"", absl::StrJoin(own, " "), "\" ;;"));
    for (size_t i = 0; i < verb.arguments.size(); i++) {
      const std::string candidates = Candidates(verb.arguments[i]);
      if (candidates.empty()) continue;
      argument_lines.push_back(absl::StrCat("      \"", verb.name(), ":", i, "\") ", candidates, " ;;"));
    }
  }
  for (const auto& [before, list] : next) {
    argument_lines.push_back(
        absl::StrCat("      \"", before, ":0\") candidates=\"", absl::StrJoin(list, " "), "\" ;;"));
  }
  return absl::StrReplaceAll(kCompletion, {{"@WORDS@", absl::StrJoin(words, " | ")},
                                           {"@FLAGS@", absl::StrJoin(flag_lines, "\n")},
                                           {"@ARGUMENTS@", absl::StrJoin(argument_lines, "\n")}});
}

}  // namespace sluice
