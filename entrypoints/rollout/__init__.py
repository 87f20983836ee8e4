"""The parts of lambda_deploy.py: a state machine over DescribeEndpoint, whose state lies in tags of the endpoint."""
