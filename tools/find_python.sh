#!/usr/bin/env bash
# Print the Python to make .venv with: the first of these that runs (a shim may not), is version
# 3.11 or 3.12, and can make virtual environments. $PYTHON, where set, is the only candidate.
set -euo pipefail

works='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))'
candidates=(python3.11 python3.12 python3)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON") # its path may have spaces
for python in "${candidates[@]}"; do
  if "$python" -c "$works" 2>/dev/null; then
    echo "$python"
    exit
  fi
done
echo "no usable Python among: ${candidates[*]}. Needed is Python 3.11 or" \
  "3.12 with its venv module (Debian, Ubuntu: apt-get install python3-venv)," \
  "or name one: make install PYTHON=/path/to/python3.12" >&2
exit 1
