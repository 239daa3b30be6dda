"""Check the keys that name a group's members."""

from job_runners.names import without_surrogates
from job_runners.work.errors import DuplicateMember, NameNotText, NameTooLong, TooManyMembers

MAX_MEMBERS = 100_000  # per group
_MAX_KEY_LENGTH = 128  # bytes


class MemberKeys:
    """Checks the keys of one group's members, which must be passed in their order."""

    def __init__(self) -> None:
        self._count = 0
        self._index_by_key: dict[str, int] = {}

    def check_next(self, key: str | None) -> str:
        """Check and return the key of the next member. By default, it is the index, as six digits.

        Raises TooManyMembers, NameNotText, NameTooLong and DuplicateMember.
        """
        index = self._count
        self._count += 1
        if index >= MAX_MEMBERS:
            raise TooManyMembers(MAX_MEMBERS)
        if key is None:
            key = f"{index:06d}"
        noun = f"key of member {index:,}, counted from 0,"
        if without_surrogates(key) != key:
            raise NameNotText(noun)
        if not 0 < len(key.encode()) <= _MAX_KEY_LENGTH:
            raise NameTooLong(noun, len(key.encode()), _MAX_KEY_LENGTH)
        first_index = self._index_by_key.setdefault(key, index)
        if first_index != index:
            raise DuplicateMember(first_index, index)
        return key
