# shellcheck shell=bash
# Helpers of .ci/run: sections with timings, retries, packages of the system, interpreters.  Sourced, not run.

SECTION='' SECTION_START=0

# section NAME: end the section before, saying how long it took, and begin another.
section() {
  end_section
  SECTION=$1 SECTION_START=$SECONDS
  printf '\n==> %s\n' "$SECTION"
}

end_section() {
  if [ -n "$SECTION" ]; then
    printf '<== %s: %d s\n' "$SECTION" $((SECONDS - SECTION_START))
  fi
  SECTION=''
}

# retry COMMAND...: three attempts, for what depends on a network.
retry() {
  local attempt
  for attempt in 1 2 3; do
    if "$@"; then
      return 0
    fi
    printf 'attempt %d failed: %s\n' "$attempt" "$*" >&2
    sleep $((attempt * 5))
  done
  return 1
}

# apt_install PACKAGE...: install Debian packages, without letting them start a service.
apt_install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    printf 'needs: apt-get install %s\n' "$*" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  local policy=/usr/sbin/policy-rc.d ours=''
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    ours=yes
  fi
  local status=0
  retry apt-get update -q -o DPkg::Lock::Timeout=300 &&
    retry apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" || status=$?
  if [ -n "$ours" ]; then
    rm -f "$policy"
  fi
  return "$status"
}

# find_python VERSION: print an interpreter of that version that really runs (the name alone may be an empty shim).
find_python() {
  local candidate root
  local candidates=("python$1")
  if command -v pyenv >/dev/null && root=$(pyenv root 2>/dev/null); then
    candidates+=("$root"/versions/"$1".*/bin/python)
  fi
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# readme_command NAME: print the shell line that stands in README.rst between `.. ci-NAME-begin` and `.. ci-NAME-end`.
readme_command() {
  local line
  line=$(sed -n "/^\.\. ci-$1-begin/,/^\.\. ci-$1-end/p" README.rst |
    sed -n '/^ .*[^ ]/{/^ *:/d;s/^ *//;s/^\$ //;p}')
  if [ -z "$line" ] || [ "$(printf '%s\n' "$line" | wc -l)" != 1 ]; then
    printf 'README.rst: no single line between the markers ci-%s-begin and ci-%s-end\n' "$1" "$1" >&2
    return 1
  fi
  printf '%s\n' "$line"
}
