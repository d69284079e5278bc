#!/bin/sh
# Healthy: what was mounted is alive, and doctor finds nothing wrong, as the user that the command runs as.
#   SHARDSTREAM_URL   the dataset that must be there
set -eu
set -- shardstream doctor --quick
[ -z "${MOUNT_BUCKET:-}" ] || set -- "$@" --mount "${MOUNT_POINT:-/mnt/data}"
[ -z "${SHARDSTREAM_URL:-}" ] || set -- "$@" "$SHARDSTREAM_URL"
[ "$(id -u)" != 0 ] || set -- env HOME=/home/shardstream setpriv --reuid=10001 --regid=10001 --clear-groups -- "$@"
exec timeout 25 "$@"
