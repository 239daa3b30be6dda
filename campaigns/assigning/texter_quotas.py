"""Deals contacts to texters: the next one always goes to whoever has fewest."""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace


class TexterQuotas:
    """How many contacts each texter has: `kept` from before, `dealt` in this run.

    Texters are known by their place. `most` is how many each may have in all, None for no limit.
    """

    def __init__(self, most: Sequence[int | None], kept: list[int], dealt: list[int]) -> None:
        self._most = [math.inf if each is None else each for each in most]
        self.kept, self.dealt = list(kept), list(dealt)
        # Counts as they were when last looked at: any that has changed since is put right then.
        self._order = [(self._count(place), place) for place in range(len(self._most))]
        heapify(self._order)

    def deal(self) -> int | None:
        """Who gets the next contact: of those with fewest the first. None once all have their
        most."""
        while self._order:
            seen, place = self._order[0]
            count = self._count(place)
            if count >= self._most[place]:
                heappop(self._order)
            elif count != seen:
                heapreplace(self._order, (count, place))
            else:
                self.dealt[place] += 1
                return place
        return None

    def take_back(self, place: int) -> None:
        """Take back a contact that was dealt and turned out to have a texter already."""
        self.dealt[place] -= 1
        heappush(self._order, (self._count(place), place))

    def _count(self, place: int) -> int:
        return self.kept[place] + self.dealt[place]
