"""CloudWatch's metrics of endpoints, as their supervisors gathered them."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local import metrics
from pipeline.local.operations import paging
from pipeline.local.operations.answers import Operations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

_MOST_POINTS = 1440  # of GetMetricStatistics
_MOST_METRICS = 500


class Metrics(Operations):
    """Of boto3's `cloudwatch` client, what reads."""

    def get_metric_statistics(self, **request: Any) -> dict[str, Any]:
        operation = "GetMetricStatistics"
        if ("Statistics" in request) == ("ExtendedStatistics" in request):
            message = "give either Statistics or ExtendedStatistics"
            raise ServiceError("InvalidParameterCombination", message, operation)
        period, unit = request["Period"], metrics.UNITS.get(request["MetricName"], "None")
        points = []
        for moment, summary in self._windows(request, request, request.get("Dimensions", ())):
            plain = {name: metrics.statistic(summary, name) for name in request.get("Statistics", ())}
            extended = {name: metrics.statistic(summary, name) for name in request.get("ExtendedStatistics", ())}
            more = {"ExtendedStatistics": extended} if extended else {}
            points.append({"Timestamp": _datetime(moment), **plain, **more, "Unit": unit})
        if len(points) > _MOST_POINTS:
            message = f"{len(points)} datapoints of {period} s; at most {_MOST_POINTS} are given at once"
            raise ServiceError("InvalidParameterCombination", message, operation)
        return {"Label": request["MetricName"], "Datapoints": points}

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """Without expressions: they are refused."""
        results = []
        for query in request["MetricDataQueries"]:
            if "MetricStat" not in query:
                message = f"{query['Id']}: the local service reads metrics, and computes no expressions"
                raise ServiceError("ValidationError", message, "GetMetricData")
            if query.get("ReturnData", True):
                results.append(self._result(query, request))
        return {"MetricDataResults": results, "Messages": []}

    def _result(self, query: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        wanted, metric = query["MetricStat"], query["MetricStat"]["Metric"]
        found = self._windows({**metric, "Period": wanted["Period"]}, request, metric.get("Dimensions", ()))
        if request.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            found.reverse()
        return {
            "Id": query["Id"],
            "Label": query.get("Label", metric["MetricName"]),
            "Timestamps": [_datetime(moment) for moment, _ in found],
            "Values": [metrics.statistic(summary, wanted["Stat"]) for _, summary in found],
            "StatusCode": "Complete",
        }

    def list_metrics(self, **request: Any) -> dict[str, Any]:
        """All on one page, up to 500 as on AWS."""
        filters = {each["Name"]: each.get("Value") for each in request.get("Dimensions", ())}
        found = [
            {
                "Namespace": metrics.NAMESPACE,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            }
            for metric, dimensions in metrics.known(self.store)
            if request.get("MetricName", metric) == metric
            and request.get("Namespace", metrics.NAMESPACE) == metrics.NAMESPACE
            and all(name in dimensions and value in (None, dimensions[name]) for name, value in filters.items())
        ]
        return {"Metrics": found[:_MOST_METRICS]}

    def _windows(
        self, metric: Mapping[str, Any], times: Mapping[str, Any], dimensions: Any
    ) -> list[tuple[float, dict[str, Any]]]:
        wanted = metrics.series(metric["MetricName"], dimensions) if metric["Namespace"] == metrics.NAMESPACE else None
        if wanted is None:
            return []
        period = metric["Period"]
        start = paging.seconds(times["StartTime"]) // period * period
        return metrics.windows(self.store, wanted, start, paging.seconds(times["EndTime"]) + period - 1e-3, period)


def _datetime(moment: float) -> datetime:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC)
