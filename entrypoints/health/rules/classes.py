"""Rules over classes: how often the network saw each one, and what it takes its pictures for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.verdicts import Verdict, fine, issues, missing, number
from health.view import Records

FEWEST = 5  # pictures of a class, that a share of them says something
GET_SHOWN = "let TrainModel record classes: its epochs count what was shown"
GET_CONFUSION = "wait for the first validation: the confusion matrix is counted there"
Matrix = NDArray[np.int64]


def class_imbalance(
    records: Records, *, threshold_imbalance: float = 10.0, threshold_misprediction: float = 0.7, samples: int = 500
) -> Verdict:
    """The largest class was shown more than threshold_imbalance times as often as the smallest, once `samples` labels
    were seen; or more than threshold_misprediction of a class were taken for another one (AWS).

    Ours: what was shown is counted over the whole training so far, as sampling made it. Mispredictions are those of the
    latest confusion matrix, of classes with at least 5 pictures, and count only where the network as a whole does
    better than the threshold: a class stays behind then, and it is not that nothing is learned yet.
    """
    rule = "ClassImbalance"
    rows = [row for row in records.classes if row["mode"] == "train" and row.get("shown")]
    if not rows:
        return missing(rule, "How often each class was shown was not recorded", GET_SHOWN)
    shown: Matrix = np.asarray([row["shown"] for row in rows], dtype=np.int64).sum(0)
    total, most, least = int(shown.sum()), int(shown.argmax()), int(shown.argmin())
    if total < samples:
        return missing(rule, f"{total:,} labels were seen of {samples:,}", "train for longer, or lower samples", total)
    ratio = float(shown[most] / shown[least]) if shown[least] else np.inf
    times = f"{number(ratio)} times as often as" if shown[least] else "and never"
    if ratio > threshold_imbalance:
        message = (
            f"Class {most} was shown {shown[most]:,} times, {times} class {least}: more than "
            f"{number(threshold_imbalance)} times"
        )
        advice = "set sampling or class_weights to balanced, or gather more pictures of the rare classes"
        return issues(rule, total, message, advice, int(rows[-1]["step"]), f"class {least}", ratio, threshold_imbalance)
    behind = _behind(rule, records, total, threshold_misprediction)
    return behind or fine(rule, total, f"Each class was shown {shown[least]:,} to {shown[most]:,} times")


def confusion(records: Records, *, min_diag: float = 0.9, max_off_diag: float = 0.1) -> Verdict:
    """Of the pictures taken for a class at least min_diag are of it, and at most max_off_diag of any other one (AWS).

    Ours: the latest validation's matrix is judged, and a class that is never predicted is not. AWS divides the diagonal
    by its own sum, of which no class of several can have nine tenths: here it is divided by its column, as AWS does
    with what lies off it.
    """
    rule = "Confusion"
    latest = _latest(records)
    if latest is None:
        return missing(rule, "No confusion matrix was recorded", GET_CONFUSION)
    step, matrix = latest
    points, columns = int(matrix.sum()), matrix.sum(0)
    shares = np.divide(matrix, columns, out=np.full(matrix.shape, np.nan), where=columns > 0)
    diagonal = np.diag(shares).copy()
    np.fill_diagonal(shares, np.nan)
    low, high = diagonal < min_diag, shares > max_off_diag
    if not low.any() and not high.any():
        worst = np.nanmin(diagonal) if np.isfinite(diagonal).any() else np.nan
        return fine(rule, points, f"Of what is taken for a class at least {number(100 * worst)} % are of it")
    advice = "look at pictures of both classes and at their labels, train for longer, or gather more pictures of them"
    if low.any():
        place = int(np.nanargmin(diagonal))
        value = float(diagonal[place])
        message = (
            f"Of the pictures taken for class {place} {number(100 * value)} % are of it at step {step}, less than "
            f"{number(100 * min_diag)} % ({int(low.sum())} of {len(matrix)} classes)"
        )
        return issues(rule, points, message, advice, step, f"class {place}", value, min_diag)
    actual, taken = divmod(int(np.nanargmax(shares)), len(matrix))
    value = float(shares[actual, taken])
    message = (
        f"Of the pictures taken for class {taken} {number(100 * value)} % are of class {actual} at step {step}, more "
        f"than {number(100 * max_off_diag)} % ({int(high.sum())} such pairs)"
    )
    return issues(rule, points, message, advice, step, f"class {taken}", value, max_off_diag)


def _behind(rule: str, records: Records, points: int, threshold: float) -> Verdict | None:
    """A class that is mispredicted though the others are not."""
    latest = _latest(records)
    if latest is None:
        return None
    step, matrix = latest
    wrong, pictures = 1 - np.diag(matrix) / np.maximum(matrix.sum(1), 1), matrix.sum(1)
    overall = 1 - np.trace(matrix) / max(int(matrix.sum()), 1)
    wrong[pictures < FEWEST] = 0.0
    place = int(wrong.argmax())
    value = float(wrong[place])
    if value <= threshold or overall > threshold:
        return None
    message = (
        f"{number(100 * value)} % of class {place} are taken for others at step {step}, more than "
        f"{number(100 * threshold)} %, and {number(100 * overall)} % of all pictures"
    )
    advice = "set class_weights or sampling to balanced, and look at the class's pictures and labels"
    return issues(rule, points, message, advice, step, f"class {place}", value, threshold)


def _latest(records: Records) -> tuple[int, Matrix] | None:
    """Step and counts [actual, taken for] of the latest validation, else of the latest epoch of training."""
    rows: list[dict[str, Any]] = [row for row in records.classes if row.get("confusion")]
    rows = [row for row in rows if row["mode"] == "validation"] or rows
    if not rows:
        return None
    return int(rows[-1]["step"]), np.asarray(rows[-1]["confusion"], dtype=np.int64)
