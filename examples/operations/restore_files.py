"""Restore the deleted files under a prefix of a stack's bucket.

python restore_files.py BUCKET results/ORGANIZATION/
"""

import os
import sys

import boto3

bucket = boto3.resource("s3", region_name=os.environ.get("AWS_REGION")).Bucket(sys.argv[1])
pages = bucket.meta.client.get_paginator("list_object_versions")
for page in pages.paginate(Bucket=bucket.name, Prefix=sys.argv[2]):
    for marker in page.get("DeleteMarkers", []):
        if marker["IsLatest"]:
            bucket.Object(marker["Key"]).Version(marker["VersionId"]).delete()
