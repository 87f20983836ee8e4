"""Commands that close the rows of docs/unproven.md, one by one, in an AWS account."""
