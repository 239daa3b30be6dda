"""Create the two tables of template.yaml. tests/build/test_template.py compares their keys."""

from job_runners.fake_dynamodb import behind_moto


def create(jobs: str, coordination: str) -> None:
    """Create the tables with these names, empty."""
    _create_table(
        jobs,
        {"id": "S"},
        by_organization={"organization_id": "S", "created_key": "S"},
        due={"due_shard": "S", "due_at": "N"},
        failed={"failed_organization": "S", "failed_key": "S"},
        unfinished={"unfinished_organization": "S", "created_key": "S"},
    )
    _create_table(
        coordination,
        {"pk": "S", "sk": "S"},
        due={"due_shard": "S", "due_at": "N"},
    )


def _create_table(name: str, keys: dict[str, str], **indexes: dict[str, str]) -> None:
    """Create an on-demand table with KEYS_ONLY indexes. `keys` and each index have the types of
    their key attributes by name, hash key first."""
    types = dict(keys)
    for index_keys in indexes.values():
        types |= index_keys
    behind_moto.create_table(
        name,
        attributes=[
            {"AttributeName": attribute, "AttributeType": kind} for attribute, kind in types.items()
        ],
        keys=_key_schema(keys),
        indexes=[
            {
                "IndexName": index,
                "KeySchema": _key_schema(index_keys),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index, index_keys in indexes.items()
        ],
    )


def _key_schema(keys: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"AttributeName": attribute, "KeyType": kind}
        for attribute, kind in zip(keys, ("HASH", "RANGE"), strict=False)
    ]
