"""Least-privilege policies computed from a compiled definition: what each role may do, to what, and who takes it."""
