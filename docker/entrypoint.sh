#!/bin/sh
# Mount the bucket where one is named, become an ordinary user, run the command.
#
#   MOUNT_BUCKET   bucket or bucket/prefix, mounted read-only by mount-s3 where that is installed, else by rclone.
#                  Needs user 0, SYS_ADMIN, SETUID, SETGID, KILL, /dev/fuse; the command runs as user 10001 all the same.
#   MOUNT_POINT    default /mnt/data
#   MOUNT_PATIENCE seconds until a mount that is not ready, or does not answer, counts as failed; default 30
#
# Credentials are found where every AWS client looks: the environment, AWS_SHARED_CREDENTIALS_FILE, a role.
# They are never an argument, so neither `ps` nor a log shows them.
set -eu

user=10001
point="${MOUNT_POINT:-/mnt/data}"
bucket="${MOUNT_BUCKET:-}"
patience="${MOUNT_PATIENCE:-30}"
server=""

fail() {
  echo "shardstream-entrypoint: $*" >&2
  [ -z "$server" ] || unmount
  exit 1
}

# $@ as the ordinary user, without a way back. A shell lets what it starts in the background ignore Ctrl-C: undone.
as_user() {
  set -- env --default-signal=INT,QUIT HOME=/home/shardstream \
    setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs -- "$@"
  exec "$@"
}

mount_by_mountpoint() {
  name="${bucket%%/*}"
  set -- "$name" "$point" --foreground --read-only --allow-other
  case "$bucket" in */*) set -- "$@" --prefix "${bucket#*/}/" ;; esac
  [ -z "${AWS_ENDPOINT_URL:-}" ] || set -- "$@" --endpoint-url "$AWS_ENDPOINT_URL" --force-path-style
  [ -z "${AWS_REGION:-}" ] || set -- "$@" --region "$AWS_REGION"
  exec setsid mount-s3 "$@"
}

mount_by_rclone() {
  export RCLONE_CONFIG_MOUNTED_TYPE=s3 RCLONE_CONFIG_MOUNTED_ENV_AUTH=true
  export RCLONE_CONFIG_MOUNTED_PROVIDER="${MOUNT_PROVIDER:-$([ -n "${AWS_ENDPOINT_URL:-}" ] && echo Other || echo AWS)}"
  export RCLONE_CONFIG_MOUNTED_ENDPOINT="${AWS_ENDPOINT_URL:-}" RCLONE_CONFIG_MOUNTED_REGION="${AWS_REGION:-}"
  # Few and large requests; no disk cache below ours. The slash: a prefix is not looked for as an object first.
  exec setsid rclone mount --config /dev/null --read-only --allow-other --vfs-cache-mode off --buffer-size 16M \
    --contimeout 10s --timeout 30s --low-level-retries 3 --log-level ERROR "mounted:${bucket%/}/" "$point"
}

# Its own session: a signal for the command must not take the mount away while the last batches are read.
mount_bucket() {
  [ "$(id -u)" = 0 ] || fail "MOUNT_BUCKET=$bucket needs user 0 to mount (docker run --user 0 --cap-add SYS_ADMIN" \
    "--device /dev/fuse); the command runs as user $user all the same. Without it, read s3://$bucket directly."
  [ -c /dev/fuse ] || fail "MOUNT_BUCKET=$bucket needs /dev/fuse: docker run --device /dev/fuse --cap-add SYS_ADMIN."
  mkdir -p "$point"
  if command -v mount-s3 >/dev/null; then (mount_by_mountpoint) & else (mount_by_rclone) & fi
  server=$!
  tries=0
  until mountpoint -q "$point"; do
    kill -0 "$server" 2>/dev/null || fail "s3://$bucket could not be mounted on $point: see the lines above; without" \
      "SYS_ADMIN (docker run --cap-add SYS_ADMIN) nothing can be."
    tries=$((tries + 1))
    [ "$tries" -le $((patience * 10)) ] || fail "s3://$bucket was not mounted on $point within $patience s."
    sleep 0.1
  done
  listing="$(timeout "$patience" ls -A "$point")" || fail "s3://$bucket is mounted on $point but cannot be listed: check" \
    "the credentials and AWS_ENDPOINT_URL; shardstream doctor s3://$bucket tells which."
  [ -n "$listing" ] || fail "s3://$bucket is mounted on $point and shows nothing: check the bucket's name and the prefix."
}

# Read-only: its server has nothing to finish.
unmount() {
  fusermount3 -uz "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || true
  kill -KILL "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}

if [ -z "$bucket" ]; then
  [ "$(id -u)" != 0 ] || as_user "$@"
  exec "$@"
fi

trap 'unmount; exit 143' TERM INT HUP
mount_bucket
(as_user "$@") <&0 &
child=$!
for signal in TERM INT HUP; do trap "kill -$signal $child 2>/dev/null || true" "$signal"; done
code=0
wait "$child" || code=$?
# A signal ends `wait`, not the command: it may have a checkpoint to write.
while kill -0 "$child" 2>/dev/null; do
  code=0
  wait "$child" || code=$?
done
unmount
exit "$code"
