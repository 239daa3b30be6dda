#!/bin/sh
# Make a virtual environment from a lock file: make_environment.sh .venv requirements/dev.txt
#
# The stamp is written last. It names the lock file's contents, the folder and the interpreter. If it
# is missing or differs, the environment is incomplete, moved or outdated, and is made again.
set -eu

folder=$1
lock=$2
stamp=$folder/made-from
wanted="$(cksum <"$lock") $(pwd)"

if [ -f "$stamp" ] && "$folder/bin/python" -c '' 2>/dev/null; then
    interpreter=$(sed -n 2p "$stamp")
    if [ -n "${PYTHON:-}" ]; then
        interpreter=$(sh tools/find_python.sh)
    fi
    if [ "$(cat "$stamp")" = "$(printf '%s\n%s' "$wanted" "$interpreter")" ]; then
        exit 0
    fi
fi

interpreter=${interpreter:-$(sh tools/find_python.sh)}
version=$("$interpreter" -c 'import platform; print(platform.python_version())')
echo "Making $folder with Python $version (a minute, once)" >&2
rm -rf "$folder"
"$interpreter" -m venv "$folder"
# The lock file is complete, so pip resolves nothing. Each file must match its hash.
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --require-hashes --requirement "$lock"
printf '%s\n%s\n' "$wanted" "$interpreter" >"$stamp"
