#!/usr/bin/env bash
# Make .venv hold just what requirements.lock says, and the project itself, editable. Run by
# `make install`, from the root. The stamp is written last: a half-finished install is resumed.
# With --usable: only tell, by the exit status, whether .venv was made here and its Python runs.
set -euo pipefail

venv=.venv
stamp=$venv/.installed
log=$venv/install.log

# The version of a Python and where it is installed, also of one in an environment.
origin() {
  "$1" -c 'import os, sys; print(sys.version, os.path.realpath(sys.base_prefix))' 2>/dev/null
}

# Python's own record says where the environment was made: moved, its scripts are dead.
usable() {
  local made
  made=$(grep '^command = ' $venv/pyvenv.cfg 2>/dev/null) || return 1
  case $made in *" $(pwd -P)/$venv") ;; *) return 1 ;; esac
  # Where a Python was asked for, it is of that one.
  [ -z "${PYTHON:-}" ] || [ "$(origin "$PYTHON")" = "$(origin $venv/bin/python)" ] || return 1
  PYTHON=$venv/bin/python bash tools/find_python.sh >/dev/null 2>&1
}

# Isolated from PYTHONPATH, whose packages pip would take for installed; and never for the user
# instead, as pip's own settings may have it.
export PIP_USER=0
pip() {
  $venv/bin/python -I -m pip --disable-pip-version-check --no-input "$@"
}

# pip writes INSTALLER after all else of a package: one that was cut off there has no scripts.
remove_halves() {
  local info
  for info in $venv/lib/python3*/site-packages/*.dist-info; do
    [ ! -d "$info" ] || [ -e "$info/INSTALLER" ] || rm -rf "$info"
  done
}

make_environment() {
  local python
  python=$(bash tools/find_python.sh)
  [ ! -e $venv ] || echo "$venv is incomplete, damaged, of another Python or was made elsewhere: making it anew" >&2
  rm -rf $venv
  echo "making $venv with $("$python" --version)" >&2
  "$python" -m venv $venv
}

if [ "${1:-}" = --usable ]; then
  usable
  exit
fi

rm -f $stamp
if ! usable || ! pip --version >/dev/null 2>&1; then
  make_environment
fi
remove_halves
# pip unpacks all downloads there before it installs the first: gigabytes, where /tmp may be small.
export TMPDIR=$PWD/$venv/tmp
mkdir -p "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT
echo "installing requirements.lock into $venv (the first time: minutes; log in $log)" >&2
if ! pip install --root-user-action ignore -r requirements.lock 2>&1 | tee $log | bash tools/pip_progress.sh $venv; then
  tail -n 20 $log >&2
  echo "installing requirements.lock failed: the end of $log is above" >&2
  exit 1
fi
echo "  installing Trellis itself" >&2
# The lock holds setuptools: nothing is fetched to build the project.
pip install --root-user-action ignore --quiet --no-deps --no-build-isolation --editable .
touch $stamp
echo "installed in $SECONDS s" >&2
