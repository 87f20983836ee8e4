"""Training health: what is recorded while a network learns, the rules that judge it, and the profile of the job."""
