"""The rules that judge a training: plain functions over what was recorded, their parameters, and how they are asked."""
