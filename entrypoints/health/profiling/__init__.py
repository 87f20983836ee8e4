"""Where a job's time goes: timers, looks at the machine, torch.profiler's window, and the figures made of them."""
