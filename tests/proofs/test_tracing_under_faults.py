"""Traces of the simulated Lambda, which kills workers and loses, doubles and delays messages."""

from opentelemetry.trace import SpanKind

from histories.history import play_seed, simulated_aws
from spans import Spans, id_of, links_of, parent_of

_SEEDS = range(8)


def test_every_leg_leads_to_its_jobs_dispatch_whatever_happens(spans: Spans) -> None:
    legs = 0
    with simulated_aws(TRACES="true"):
        for seed in _SEEDS:
            played = Spans()
            play_seed(seed)
            legs += _legs_that_lead_to_their_dispatch(played)
    assert legs > 20


def _legs_that_lead_to_their_dispatch(spans: Spans) -> int:
    known = {id_of(span): span for span in spans.all}
    legs = [
        span
        for span in spans.all
        if span.kind is SpanKind.CONSUMER and "job_runners.leg" in (span.attributes or {})
    ]
    for leg in legs:
        kinds, ahead = set(), [id_of(leg)]
        while ahead:
            span = known[ahead.pop()]
            kinds.add(span.kind)
            ahead += [each for each in (parent_of(span), *links_of(span)) if each in known]
        assert SpanKind.PRODUCER in kinds, leg.to_json()
    return len(legs)
