#!/bin/sh
# Make .venv-django: Django's newest minor version, with which the tests of job_runners/django run.
#
# In .venv-django/versions/ are one folder for each minor version that has tasks, with the version's
# own tests of tasks, and for the older one also with the package. Django's wheels have no tests, so
# they come from the source distribution. It has the hash that the lock file has.
set -eu

folder=.venv-django
sh tools/make_environment.sh $folder requirements/django.txt

stamp=$folder/versions/made-from
wanted=$(cat requirements/django.txt requirements/django_6_0.txt tools/make_django.sh | cksum)
if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

rm -rf $folder/versions
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
for lock in django_6_0 django; do
    # Only Django: its version and its hashes.
    sed -n '/^django==/,/# via/p' requirements/$lock.txt >$folder/only-django.txt
    version=$(sed -n 's/^django==\([0-9]*\.[0-9]*\).*/\1/p' $folder/only-django.txt)
    into=$folder/versions/$version
    mkdir -p "$into/source"
    # The build system is that of the environment, so that nothing without a hash is downloaded.
    pip download --no-deps --require-hashes --no-binary django --no-build-isolation \
        --dest "$into/source" --requirement $folder/only-django.txt
    tar --extract --gzip --strip-components 1 --directory "$into" \
        --file "$into"/source/*.tar.gz --wildcards '*/tests/tasks/*'
    rm -r "$into/source"
    if [ $lock != django ]; then
        pip install --no-deps --require-hashes --only-binary django --target "$into/package" \
            --requirement $folder/only-django.txt
    fi
done
printf '%s' "$wanted" >$stamp
