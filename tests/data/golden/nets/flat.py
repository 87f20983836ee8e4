"""A rule of one's own: the loss of training stays where it is."""


def rule(records):
    steps, losses = records.losses("train")
    return bool(len(losses) > 50 and losses[-50:].std() < 1e-6), "the loss of the last 50 steps"
