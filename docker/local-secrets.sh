#!/bin/sh
# Keys for docker/compose.yaml, drawn anew: docker/secrets/credentials for the clients, s3.json for the server.
# Both are ignored by git and by docker build. Nothing is done where they are there already.
set -eu
umask 022
folder="${1:-$(dirname "$0")/secrets}"
[ ! -e "$folder/credentials" ] || { echo "$folder/credentials is there already"; exit 0; }
mkdir -p -m 700 "$folder"
drawn() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
key="$(drawn 10)"
secret="$(drawn 20)"
# The folder is private; the files are not, since user 10001 of the containers must read them through their mount.
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret" >"$folder/credentials"
printf '{"identities": [{"name": "local", "credentials": [{"accessKey": "%s", "secretKey": "%s"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' "$key" "$secret" >"$folder/s3.json"
echo "$folder: credentials and s3.json"
