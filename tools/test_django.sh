#!/bin/sh
# Run the tests of job_runners/django: test_django.sh VERSION pytest's options
#
# VERSION is a minor version of Django, or "newest". Django 6 needs Python 3.12. Without such a Python
# the tests are skipped with a message, or fail if DJANGO_TESTS=required.
set -eu

version=$1
shift

interpreter=$(sed -n 2p .venv/made-from)
for python in "$interpreter" python3.14 python3.13 python3.12; do
    if "$python" -c 'import ensurepip, ssl, sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
        newer=$(command -v "$python")
        break
    fi
done
if [ -z "${newer:-}" ]; then
    echo "Skipped the tests of job_runners/django: they need Python 3.12 or later." >&2
    [ "${DJANGO_TESTS:-}" != required ] || exit 1
    exit 0
fi

PYTHON=$newer sh tools/make_django.sh
# These tests have projects of their own. make exports the one that the other tests run with.
unset JOBS_PROJECT
if [ "$version" != newest ]; then
    export PYTHONPATH=".venv-django/versions/$version/package"
fi
# Without the conftest.py of tests/, whose fixtures need packages of .venv.
exec .venv-django/bin/python -m pytest --quiet --confcutdir tests/django_tasks tests/django_tasks "$@"
