# Shared by the scripts of this OS definition; they run in its directory.

BUSYBOX="$PWD/busybox-static"
MAX_MOTD=200

fail() {
  echo "busybox: $*" >&2
  exit 1
}

need() {
  command -v "$1" > /dev/null || fail "$1 is not installed on this node (Debian package $2)"
}

# The message of the day must be one short line.
check_motd() {
  OSP_MOTD="${OSP_MOTD:-}"
  [ "$(printf '%s' "$OSP_MOTD" | wc -l)" = 0 ] || fail "parameter motd must be one line"
  [ "${#OSP_MOTD}" -le "$MAX_MOTD" ] || fail "parameter motd is longer than $MAX_MOTD characters"
}

# Bytes of a disk or file.
size_of() {
  if [ -b "$1" ]; then blockdev --getsize64 "$1"; else stat -L -c %s "$1"; fi
}
