#!/usr/bin/env bash
# Turn the output of pip (stdin), which installs into the environment $1, into signs of life on
# stderr. pip says nothing while it downloads a large file, nor for a minute or two while it
# installs what it has: after $2 seconds (15) of that this tells how far it is.
set -euo pipefail

venv=$1
# bash 3.2, which macOS has, cannot tell silence from the end: there only pip's own words are told.
quiet="-t ${2:-15}"
[ "${BASH_VERSINFO[0]}" -ge 4 ] || quiet=
last="starting"
count=0

# One line rewritten on a terminal, else a line of its own.
tell() {
  if [ -t 2 ]; then printf '\r\033[K  %.76s' "$1" >&2; else printf '  %.76s\n' "$1" >&2; fi
}

tell_of_silence() {
  case $last in
    Installing*)
      tell "installing them all: $(find "$venv"/lib -name '*.dist-info' | wc -l) are there" ;;
    *) tell "$count  still at it: $last" ;;
  esac
}

while true; do
  status=0
  # shellcheck disable=SC2086 # two words, or none
  IFS= read -r $quiet line || status=$?
  if [ $status -gt 128 ]; then # nothing came
    tell_of_silence
    continue
  fi
  [ $status = 0 ] || break
  case $line in
    Collecting* | Processing* | "Requirement already"*) count=$((count + 1)) ;;
    "Installing collected"*) line="Installing them all (a minute or two)" ;;
    *) continue ;;
  esac
  last=$line
  if [ -t 2 ] || [ $((count % 25)) = 1 ] || [ "${line%% *}" = Installing ]; then
    tell "$count  $line"
  fi
done
[ ! -t 2 ] || printf '\r\033[K' >&2
