"""Managed Debugger: tensors saved by smdebug's hook as AWS's rules read them, and judged here by our own rules."""
