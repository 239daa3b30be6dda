"""Traces of the simulated Lambda, which kills workers and loses, doubles and delays messages."""

from opentelemetry.trace import SpanKind

from histories.history import play_seed, simulated_aws
from spans import Spans, id_of, links_of, parent_of

_SEEDS = range(8)


def test_every_invocation_leads_to_its_jobs_dispatch_whatever_happens(spans: Spans) -> None:
    invocations = 0
    with simulated_aws(TRACES="true"):
        for seed in _SEEDS:
            played = Spans()
            play_seed(seed)
            invocations += _invocations_that_lead_to_their_dispatch(played)
    assert invocations > 20


def _invocations_that_lead_to_their_dispatch(spans: Spans) -> int:
    known = {id_of(span): span for span in spans.all}
    invocations = [
        span
        for span in spans.all
        if span.kind is SpanKind.CONSUMER and "job_runners.invocation" in (span.attributes or {})
    ]
    for invocation in invocations:
        kinds, ahead = set(), [id_of(invocation)]
        while ahead:
            span = known[ahead.pop()]
            kinds.add(span.kind)
            ahead += [each for each in (parent_of(span), *links_of(span)) if each in known]
        assert SpanKind.PRODUCER in kinds, invocation.to_json()
    return len(invocations)
