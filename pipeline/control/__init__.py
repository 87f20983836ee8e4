"""What people do with pipelines, executions, packages, endpoints: functions over a client, wherever it leads."""
