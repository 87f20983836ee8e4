"""What an AWS account lacks for this pipeline, found by read calls alone before money is spent."""
