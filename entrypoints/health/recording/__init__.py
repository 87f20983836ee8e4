"""What a training records of itself: losses and times of steps, statistics of tensors; tables that survive a kill."""
