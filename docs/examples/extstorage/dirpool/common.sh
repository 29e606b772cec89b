# Shared by the scripts of provider "dirpool": volumes are files in one directory, attached as loop
# devices. Where that is not possible (no root), only the userspace URIs are offered.
#
# `pool.conf` beside the scripts may set POOL, a directory that all nodes reach.

set -eu
POOL=/srv/ganeti/dirpool
here=$(dirname "$0")
# shellcheck disable=SC1091 # the site's own file
[ ! -f "$here/pool.conf" ] || . "$here/pool.conf"
POOL=$POOL/${EXTP_PARAM1:-default}
VOLUME=$POOL/$VOL_NAME

fail() { echo "dirpool: $*" >&2; exit 1; }

case ${1:-} in
  "") ;;
  *) echo "usage: $(basename "$0"), with VOL_NAME and the like in the environment"; exit 1 ;;
esac

devices() { losetup --noheadings --output NAME --associated "$VOLUME" 2>/dev/null || true; }
