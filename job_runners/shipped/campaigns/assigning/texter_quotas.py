"""Deal contacts to texters: the next contact always goes to the texter with the fewest."""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace


class TexterQuotas:
    """The numbers of contacts that each texter has: `kept` from before, and `dealt` in this run.

    A texter is identified by its index in these lists. `limits` has the most contacts that each
    texter may have, `kept` and `dealt` together, or None for no limit.
    """

    def __init__(self, limits: Sequence[int | None], kept: list[int], dealt: list[int]) -> None:
        self._limits = [math.inf if each is None else each for each in limits]
        self.kept, self.dealt = list(kept), list(dealt)
        # A heap of counts and texters. A count may be outdated: `deal` corrects it when it comes
        # first.
        self._heap = [(self._count(index), index) for index in range(len(self._limits))]
        heapify(self._heap)

    def deal(self) -> int | None:
        """Give the next contact to the first texter with the fewest. Return the texter's index.

        Return None if all texters have their maximum.
        """
        while self._heap:
            old_count, index = self._heap[0]
            count = self._count(index)
            if count >= self._limits[index]:
                heappop(self._heap)
            elif count != old_count:
                heapreplace(self._heap, (count, index))
            else:
                self.dealt[index] += 1
                return index
        return None

    def take_back(self, index: int) -> None:
        """Undo the deal of a contact that already has a texter."""
        self.dealt[index] -= 1
        heappush(self._heap, (self._count(index), index))

    def _count(self, index: int) -> int:
        return self.kept[index] + self.dealt[index]
