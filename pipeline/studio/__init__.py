"""The account, or this machine, as web pages on loopback: what ran and runs, over the same control as the commands."""
