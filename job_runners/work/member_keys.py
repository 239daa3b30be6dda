"""The keys of the members of a group."""

from job_runners.names import without_surrogates
from job_runners.work.errors import DuplicateMember, NameNotText, NameTooLong, TooManyMembers

MAX_MEMBERS = 100_000  # members of a group
_LONGEST_KEY = 128  # bytes


class MemberKeys:
    """Checks the keys of a group's members in their order."""

    def __init__(self) -> None:
        self._number = 0
        self._seen: dict[str, int] = {}  # the number of the member with each key

    def next(self, given: str | None) -> str:
        """Return the key of the next member: its own, or its number.

        Raises TooManyMembers, NameNotText, NameTooLong and DuplicateMember.
        """
        index, self._number = self._number, self._number + 1
        if index >= MAX_MEMBERS:
            raise TooManyMembers(MAX_MEMBERS)
        key = f"{index:06d}" if given is None else given
        if without_surrogates(key) != key:
            raise NameNotText(f"key of member {index:,}, counted from 0,")
        if not 0 < len(key.encode()) <= _LONGEST_KEY:
            what = f"key of member {index:,}, counted from 0,"
            raise NameTooLong(what, len(key.encode()), _LONGEST_KEY)
        if (first := self._seen.setdefault(key, index)) != index:
            raise DuplicateMember(first, index)
        return key
