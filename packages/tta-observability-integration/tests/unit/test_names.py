import re
from itertools import pairwise

from tta_observability_integration import names

METRICS = [value for value in vars(names).values() if isinstance(value, names.Metric)]


def test_prometheus_names_follow_from_the_opentelemetry_names() -> None:
    """Dots become underscores; the unit and `_total` are appended."""
    assert names.DURATION.prometheus == "tta_primitive_duration_seconds"
    assert names.DROPPED.prometheus == "tta_telemetry_dropped_total"
    assert names.label(names.PRIMITIVE_TYPE) == "tta_primitive_type"


def test_every_metric_has_a_valid_name_and_a_description() -> None:
    """Promtool refuses other names and complains of missing help."""
    assert METRICS
    for metric in METRICS:
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", metric.prometheus)
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", metric.name)
        assert metric.description.endswith(".")


def test_buckets_reach_from_a_cache_hit_to_a_long_model_call() -> None:
    """They rise, from half a millisecond to five minutes."""
    buckets = names.DURATION.buckets

    assert (buckets[0], buckets[-1], len(buckets)) == (0.0005, 300.0, 18)
    assert all(low < high for low, high in pairwise(buckets))


def test_a_span_is_named_after_its_primitive() -> None:
    """The form is that of the specification."""
    assert names.span_name("input_processor") == "input_processor.execute"
