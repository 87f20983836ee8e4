"""What train.py consists of besides its loop: batches, steps, checkpoints, the archive at the end."""
