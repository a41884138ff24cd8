"""What a run would do: estimated from the input and from earlier runs, and told."""

from pipeline.forecast.estimate import Forecast, Pace, Partition, find_pace, forecast
from pipeline.forecast.told import forecast_lines, print_forecast, print_forecast_json

__all__ = [
    "Forecast",
    "Pace",
    "Partition",
    "find_pace",
    "forecast",
    "forecast_lines",
    "print_forecast",
    "print_forecast_json",
]
