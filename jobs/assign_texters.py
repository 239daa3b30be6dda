"""Splits a campaign's contacts over its texters evenly, and takes no contact from anyone."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from campaigns.assigning.even_split import Assigning
from work import RunningJob


class Texter(BaseModel):
    """Someone who texts for the campaign."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^\S{1,100}$")] = Field(
        description="What your own system calls the texter. No spaces.", examples=["ada"]
    )
    max_contacts: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(
        default=None,
        description="How many of the campaign's contacts the texter may have in all, those from "
        "before included. A texter who has more keeps them, and gets none.",
        examples=[500],
    )


class AssignTexters(BaseModel):
    """Says who texts. The campaign is the job's own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"texters": [{"id": "ada"}, {"id": "grace", "max_contacts": 500}]}]
        },
    )

    texters: Annotated[list[Texter], Field(min_length=1, max_length=1000)] = Field(
        description="Each at most once.", examples=[[{"id": "ada"}]]
    )

    @field_validator("texters")
    @classmethod
    def _each_once(cls, texters: list[Texter]) -> list[Texter]:
        first: dict[str, int] = {}
        for number, texter in enumerate(texters, start=1):
            if first.setdefault(texter.id, number) != number:
                raise ValueError(f"number {number} has the id of number {first[texter.id]}")
        return texters


def assign_texters(job: RunningJob, payload: AssignTexters) -> dict[str, Any]:
    """Give every contact that has no texter to the texter who has fewest.

    Earlier assignments stay, also those to texters who are not listed. However often and
    wherever it is interrupted, contacts end up with the texters they would have had without.
    """
    texters = {texter.id: texter.max_contacts for texter in payload.texters}
    return Assigning(job, texters).run()
