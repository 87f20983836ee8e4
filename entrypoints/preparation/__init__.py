"""What prepare.py consists of: from anybody's pictures to shards, with a doctor in between."""
