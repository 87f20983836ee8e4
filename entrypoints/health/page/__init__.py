"""profiler-report.html, drawn from figures alone."""
