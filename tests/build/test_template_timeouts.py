"""The times of the functions against what AWS allows."""

import botocore.loaders

from expanded_template import deployed


def test_a_worker_may_take_as_long_as_lambda_allows() -> None:
    """botocore has the limit in prose alone: its number is that of Managed Instances."""
    service = botocore.loaders.Loader().load_service_model("lambda", "service-2")
    told = service["shapes"]["CreateFunctionRequest"]["members"]["Timeout"]["documentation"]
    most = deployed()["Parameters"]["WorkerTimeout"]["MaxValue"]
    assert f"the maximum allowed value is {most:,} seconds" in told
    assert most == 1800
