"""SageMaker, S3 and CloudWatch Logs of an AWS account, behind the interfaces that this machine's service has."""
