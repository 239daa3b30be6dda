#!/bin/sh
# Print the path of a Python that can make this project's environments, or explain why none can.
#
# It runs each candidate, because a name on PATH may be a shim that fails, and Debian's python3 comes
# without ensurepip. If PYTHON is set, it is the only candidate.

CHECK='
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit("it is Python %d.%d" % sys.version_info[:2])
try:
    import ensurepip, ssl, venv
except ImportError as error:
    sys.exit(str(error))
print(getattr(sys, "_base_executable", sys.executable))
'

if [ -n "${PYTHON:-}" ]; then
    if path=$("$PYTHON" -I -c "$CHECK" 2>&1); then
        echo "$path"
        exit 0
    fi
    echo "PYTHON=$PYTHON can't be used: $(echo "$path" | head -n 1)" >&2
    echo "It must be Python 3.11, 3.12, 3.13 or 3.14 with the modules venv, ensurepip and ssl." >&2
    exit 1
fi

for name in python3.13 python3.14 python3.12 python3.11 python3 python; do
    # Try every folder on PATH, because a good interpreter may come after a shim of the same name.
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        IFS=$old_ifs
        [ -x "$folder/$name" ] || continue
        if path=$("$folder/$name" -I -c "$CHECK" 2>/dev/null); then
            echo "$path"
            exit 0
        fi
    done
    IFS=$old_ifs
done

echo "No usable Python found: Job Runners needs 3.11, 3.12, 3.13 or 3.14 with the modules venv," >&2
echo "ensurepip and ssl (on Debian and Ubuntu: apt install python3 python3-venv)." >&2
echo "If you have one that isn't on PATH, name it: make PYTHON=/path/to/python3.13" >&2
exit 1
