"""The account around a pipeline, as a CloudFormation template: rendered from pipeline.yaml, byte-stable."""
