# Shared by the scripts: where volumes lie, and the usage line.
# A volume is a file; the pool must be the same directory on every node.

POOL="${FILEPOOL_DIR:-${GANETI_ROOTDIR:-}/srv/ganeti/filepool}"

case "${1:-}" in
-h | --help)
  echo "Usage: $(basename "$0") (variables: see the ExtStorage Interface)"
  exit 0
  ;;
esac

: "${VOL_NAME:?the variable VOL_NAME is not set}"
case "$VOL_NAME" in
*/* | .*)
  echo "'$VOL_NAME' cannot be a volume's name" >&2
  exit 1
  ;;
esac
FILE="$POOL/$VOL_NAME"

loop_of() { losetup --associated "$FILE" --output NAME --noheadings; }
