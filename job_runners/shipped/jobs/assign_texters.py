"""Split a campaign's contacts evenly between its texters, and keep existing assignments."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from job_runners.shipped.campaigns.assigning.even_split import Assigning
from job_runners.work import RunningJob


class Texter(BaseModel):
    """A person who texts for the campaign."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^\S{1,100}$")] = Field(
        description="The texter's id in your own system, without spaces.", examples=["ada"]
    )
    max_contacts: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(
        default=None,
        description="The highest number of the campaign's contacts that the texter may have, "
        "including earlier ones. A texter who already has more keeps them, and gets no new ones.",
        examples=[500],
    )


class AssignTexters(BaseModel):
    """The texters of the job's campaign."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"texters": [{"id": "ada"}, {"id": "grace", "max_contacts": 500}]}]
        },
    )

    texters: Annotated[list[Texter], Field(min_length=1, max_length=1000)] = Field(
        description="The texters, each at most once.", examples=[[{"id": "ada"}]]
    )

    @field_validator("texters")
    @classmethod
    def _check_each_once(cls, texters: list[Texter]) -> list[Texter]:
        first: dict[str, int] = {}
        for number, texter in enumerate(texters, start=1):
            if first.setdefault(texter.id, number) != number:
                raise ValueError(f"number {number} has the id of number {first[texter.id]}")
        return texters


def assign_texters(job: RunningJob, payload: AssignTexters) -> dict[str, Any]:
    """Assign every contact without a texter to the texter with the fewest contacts.

    Earlier assignments stay, even those to texters who aren't listed. Interruptions don't change
    the result: contacts get the same texters as in an uninterrupted run.
    """
    texters = {texter.id: texter.max_contacts for texter in payload.texters}
    return Assigning(job, texters).run()
