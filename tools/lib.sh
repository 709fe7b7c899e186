# shellcheck shell=sh
# Shared by the scripts beside it. Source it: . "$(dirname "$0")/lib.sh"
# It leaves the shell in the root of the repository.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

build_packages="g++ cmake ninja-build pkg-config libboost-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev
  libxxhash-dev libssl-dev libgtest-dev libbenchmark-dev liburing-dev libsqlite3-dev libmicrohttpd-dev
  libabsl-dev tzdata python3 python3-xxhash"

fail() { # MESSAGE
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

# Installs Debian packages that are not there yet. Says nothing when there is nothing to do.
need_packages() { # PACKAGE...
  missing=""
  for package in "$@"; do
    case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
      "install ok installed") ;;
      *) missing="$missing $package" ;;
    esac
  done
  [ -n "$missing" ] || return 0

  as_root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these Debian packages are missing, and only root may install them:$missing"
    as_root="sudo"
  fi
  echo "installing:$missing" >&2
  apt_log="$(mktemp)"
  # shellcheck disable=SC2086  # words on purpose
  if ! {
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -yq -o DPkg::Lock::Timeout=120 --no-install-recommends $missing
  } </dev/null >"$apt_log" 2>&1; then
    cat "$apt_log" >&2
    fail "apt-get could not install:$missing"
  fi
  rm -f "$apt_log"
}

# Configures and builds one preset; only errors are printed. Two at once in one folder take turns.
build_preset() { # PRESET
  # shellcheck disable=SC2086  # words on purpose
  need_packages $build_packages
  mkdir -p "build/$1"
  (
    flock 9
    cmake --preset "$1" </dev/null >"build/$1/configure.log" 2>&1 || {
      sed -n '/CMake Error/,$p' "build/$1/configure.log" >&2
      fail "cmake could not configure preset $1 (log: build/$1/configure.log)"
    }
    cmake --build "build/$1" ${2:+--target "$2"} ${RINGMILL_JOBS:+--parallel "$RINGMILL_JOBS"} -- --quiet -k 0 \
      </dev/null >"build/$1/build.log" 2>&1 || {
      cat "build/$1/build.log" >&2
      fail "preset $1 does not build (log: build/$1/build.log)"
    }
  ) 9>"build/$1/lock" || exit 1
}

# Runs one step of a longer run: prints its name, then its seconds. Its output goes to a log; the first failed step ends
# the run with the end of its log. Counts in steps_passed; a run ends with end_steps.
steps_passed=0
steps_log_folder="build/check"
steps_began="$(date +%s)"

step() { # NAME COMMAND...
  step_name="$1"
  shift
  mkdir -p "$steps_log_folder"
  step_log="$steps_log_folder/$(printf %s "$step_name" | tr -cs 'A-Za-z0-9' '-').log"
  step_began="$(date +%s)"
  printf '%-58s' "$step_name"
  if ("$@") </dev/null >"$step_log" 2>&1; then
    steps_passed=$((steps_passed + 1))
    printf ' ok %5s s\n' "$(($(date +%s) - step_began))"
  else
    printf ' FAILED %s s\n' "$(($(date +%s) - step_began))"
    tail -n 60 "$step_log" | sed 's/^/    | /'
    echo
    echo "RESULT: the step '$step_name' failed; its whole log: $step_log"
    echo "$steps_passed passed, 1 failed"
    exit 1
  fi
}

end_steps() { # MESSAGE
  echo
  echo "RESULT: $1 ($(($(date +%s) - steps_began)) s)"
  echo "$steps_passed passed, 0 failed"
}
